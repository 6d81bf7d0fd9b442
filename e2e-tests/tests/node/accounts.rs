//! Whose money it is, and who else sends from the same account.

use crate::world;
use devchain::DevAccount;
use e2e_tests::{NodeChain, TestChain, UNIT, account, identity, signer, within};
use futures::future::join_all;
use protocol::{AccountId, call::Call};
use sdk::chain::{
    CallError, Chain, ChainError, Receipt, RemoteChain, Signer, Transaction, Urgency, Weight, remote::Settings,
};
use std::collections::BTreeSet;

/// Pays one unit from `signer`.
async fn pay(chain: &dyn Chain, signer: &dyn Signer, to: AccountId) -> Result<Receipt, ChainError> {
    let transfer = Transaction::Transfer { to, amount: UNIT };
    let dry_run = chain.dry_run(&signer.account(), &transfer).await?;
    chain.submit(signer, transfer, &dry_run).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_little_for_value_deposit_or_fee_is_told_with_the_account_that_lacks_it() {
    let Some(world) = world().await else { return };
    let client = world.chain.client();
    let (poor, poorer) = (signer("poor"), signer("poorer"));
    let _receipt = world.chain.fund(poor.account(), UNIT).await;
    let told = |error: CallError, whose: AccountId| match error {
        CallError::Chain(ChainError::InsufficientFunds { account, cause }) => {
            assert_eq!(account, whose);
            cause
        }
        other => panic!("{other}"),
    };
    // More than it has.
    let deposit = Call::VaultDeposit { key: identity("poor").public() };
    let refused = world.arbiter.call(&poor, &deposit, 2 * UNIT).await.unwrap_err();
    assert!(told(refused, poor.account()).starts_with("Contracts::"));
    let transfer = Transaction::Transfer { to: account("bob"), amount: 2 * UNIT };
    let refused = client.dry_run(&poor.account(), &transfer).await.unwrap_err();
    assert_eq!(told(refused.into(), poor.account()), "Token::FundsUnavailable");
    // Enough to move, nothing for the fee.
    let all = client.free_balance(&poor.account()).await.unwrap();
    let transfer = Transaction::Transfer { to: account("bob"), amount: all };
    let dry_run = client.dry_run(&poor.account(), &transfer).await.unwrap();
    match within("the refusal", client.submit(&poor, transfer, &dry_run)).await.unwrap_err() {
        ChainError::InsufficientFunds { .. } | ChainError::FailedInBlock { .. } => {}
        other => panic!("{other}"),
    }
    // Nothing at all.
    let transaction = Transaction::Transfer { to: account("bob"), amount: 0 };
    let dry_run = client.dry_run(&poorer.account(), &transaction).await.unwrap();
    let refused = within("the refusal", client.submit(&poorer, transaction, &dry_run)).await.unwrap_err();
    let cause = told(refused.into(), poorer.account());
    assert!(cause.contains("Inability to pay some fees"), "{cause}");
    // Too little for a new account.
    let crumb = Transaction::Transfer { to: poorer.account(), amount: 1 };
    let refused = client.dry_run(&account("bob"), &crumb).await.unwrap_err();
    assert_eq!(refused, ChainError::Failed { cause: "Token::BelowMinimum".into() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_inclusion_will_cost_is_known_and_a_transaction_that_presses_offers_more() {
    let Some(world) = world().await else { return };
    let client = world.chain.client();
    let from = signer("alice");
    let transfer = Transaction::Transfer { to: account("bob"), amount: UNIT };
    let told = client.fee(&transfer, Weight::default()).await.unwrap();
    let before = client.free_balance(&from.account()).await.unwrap();
    let paid = within("a transfer", pay(&*client, &from, account("bob"))).await.unwrap().fee;
    assert!((paid..=paid + paid / 1_000).contains(&told), "told {told}, paid {paid}");
    let dry_run = client.dry_run(&from.account(), &transfer).await.unwrap();
    // It counts in the next block for the last time.
    let until = Some(client.finalised_head().await.unwrap().number + 1);
    let urgency = Urgency { is_first: true, until, tip_max: UNIT / 2 };
    let sending = client.submit_urgently(&from, transfer, &dry_run, urgency);
    let receipt = within("an urgent transfer", sending).await.unwrap();
    let after = client.free_balance(&from.account()).await.unwrap();
    assert_eq!(before - after, 2 * UNIT + paid + receipt.fee + UNIT / 2, "the tip is paid on top of the fee");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_transactions_of_one_account_at_once_all_get_their_own_nonce() {
    let Some(chain) = NodeChain::start_bare().await else { return };
    let (from, to) = (DevAccount::Dave.signer(), AccountId([5; 32]));
    let paying = join_all((0..100).map(|_| pay(chain.remote(), &from, to)));
    let receipts: Vec<_> = within("a hundred payments", paying).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(chain.client().free_balance(&to).await.unwrap(), 100 * UNIT);
    let blocks: BTreeSet<_> = receipts.iter().map(|receipt| receipt.block.number).collect();
    println!("100 transactions in {} blocks", blocks.len());
    assert!(receipts.iter().all(|receipt| receipt.fee > 0 && receipt.weight.ref_time > 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_programs_that_send_from_one_account_both_get_through() {
    let Some(chain) = NodeChain::start_bare().await else { return };
    let other = within("another client", RemoteChain::connect(Settings::for_instant_seal(chain.url()))).await.unwrap();
    let (from, to) = (DevAccount::Dave.signer(), AccountId([5; 32]));
    let ours = join_all((0..20).map(|_| pay(chain.remote(), &from, to)));
    let theirs = join_all((0..20).map(|_| pay(&other, &from, to)));
    let (ours, theirs) = within("forty payments", async { tokio::join!(ours, theirs) }).await;
    for paid in ours.into_iter().chain(theirs) {
        let _receipt = paid.unwrap();
    }
    assert_eq!(chain.client().free_balance(&to).await.unwrap(), 40 * UNIT, "each exactly once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_already_is_not_sent_again() {
    let Some(world) = world().await else { return };
    let (alice, bob) = world.couple().await;
    let (alices, _bobs) = alice.open(&bob).await;
    let evidence = alices.evidence().await.unwrap().unwrap();
    let close = Call::ChannelCloseSolo(evidence);
    let _done = within("a close", world.arbiter.call(&signer("alice"), &close, 0)).await.unwrap();
    let before = world.recorder.free_balance(&account("alice")).await.unwrap();
    // As after a crash that came before the receipt.
    let again = within("the same close", world.arbiter.call(&signer("alice"), &close, 0)).await.unwrap_err();
    assert_eq!(again, CallError::Rejected(protocol::Rejection::NotOpen));
    assert_eq!(world.recorder.free_balance(&account("alice")).await.unwrap(), before, "no fee");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_call_twice_at_once_takes_effect_once() {
    let Some(world) = world().await else { return };
    let (alice, bob) = world.couple().await;
    let (alices, _bobs) = alice.open(&bob).await;
    let close = Call::ChannelCloseSolo(alices.evidence().await.unwrap().unwrap());
    let from = signer("alice");
    let (one, other) = within("both closes", async {
        tokio::join!(world.arbiter.call(&from, &close, 0), world.arbiter.call(&from, &close, 0))
    })
    .await;
    let (done, refused): (Vec<_>, Vec<_>) = [one, other].into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (1, 1));
    let refused = refused.into_iter().next().unwrap().unwrap_err();
    assert_eq!(refused, CallError::Rejected(protocol::Rejection::NotOpen));
}
