//! What happens between a client and its node: broken sockets, nodes that restart, blocks that were missed.

use crate::world;
use devchain::DevAccount;
use e2e_tests::{Asked, NodeChain, Proxy, TestChain, UNIT, arbiter_code, party, terms, until, within};
use futures::{StreamExt, future::join_all};
use protocol::AccountId;
use sdk::{
    chain::{Arbiter, Chain, ChainError, Health, RemoteChain, SharedChain, Signer, Transaction, remote::Settings},
    node::NodeError,
};
use std::{sync::Arc, time::Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_live_through_sockets_that_drop_again_and_again() {
    let Some(world) = world().await else { return };
    let before = world.coins().await;
    let proxy = Proxy::before(([127, 0, 0, 1], world.chain.port()).into()).await;
    let through = Settings::for_instant_seal(format!("ws://{}", proxy.address()));
    let client: SharedChain = Arc::new(within("a client", RemoteChain::connect(through)).await.unwrap());
    let arbiter = Arbiter::attach(client, world.arbiter.info().domain.arbiter, None).await.unwrap();
    let arbiter = Arc::new(arbiter);
    let alice = world.start_with("alice", |config| config.arbiter = Arc::clone(&arbiter)).await;
    let bob = world.start_rich("bob", 1_000 * UNIT).await;
    let _done = within("a deposit", alice.node.vault_deposit(1_000 * UNIT)).await.unwrap();
    alice.connect(&bob).await;
    for _ in 0..3 {
        let cutting = async {
            for _ in 0..5 {
                proxy.cut();
                let _made = until("a new connection", || async { (proxy.connections() > 0).then_some(()) }).await;
                tokio::task::yield_now().await;
            }
        };
        let (opened, ()) = tokio::join!(alice.open(&bob), cutting);
        let (alices, bobs) = opened;
        let _paid = bobs.pays(UNIT, "all is well").await;
        proxy.cut();
        let _ended = within("the close", alices.close(0)).await.unwrap();
        let _ended = bob.events.wait_end(bobs.reference()).await;
    }
    assert!(proxy.connections() > 6, "{} connections", proxy.connections());
    let gain = 3 * UNIT.cast_signed();
    world.coins().await.check(&before, &[(alice.account(), gain), (bob.account(), -gain)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_restarts_under_running_peers_costs_them_nothing() {
    let Some(world) = world().await else { return };
    let before = world.coins().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    world.chain.stop().await;
    until("the loss to be seen", || async { matches!(alice.node.chain_health(), Health::Lost(_)).then_some(()) }).await;
    // Payments need no chain; a new channel does.
    let _paid = alices.pays(10 * UNIT, "without a chain").await;
    let refused = alice.try_open(&bob, terms()).await.unwrap_err();
    assert!(matches!(refused, NodeError::ChainUnhealthy(Health::Lost(_))), "{refused}");

    world.chain.start_again().await;
    until("the chain to be seen", || async { alice.node.chain_health().is_good().then_some(()) }).await;
    let _ended = within("the close", alices.close(0)).await.unwrap();
    let _ended = bob.events.wait_end(bobs.reference()).await;
    let (alices, bobs) = alice.open(&bob).await;
    let _paid = alices.pays(UNIT, "and so on").await;
    let _ended = within("the close", alices.close(0)).await.unwrap();
    let _ended = bob.events.wait_end(bobs.reference()).await;
    let gain = 11 * UNIT.cast_signed();
    world.coins().await.check(&before, &[(alice.account(), -gain), (bob.account(), gain)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_was_sent_while_the_node_was_away_is_there_when_it_is_back() {
    let Some(chain) = NodeChain::start_bare().await else { return };
    let (from, to) = (DevAccount::Dave.signer(), AccountId([5; 32]));
    let transfer = Transaction::Transfer { to, amount: UNIT };
    let dry_run = chain.remote().dry_run(&from.account(), &transfer).await.unwrap();
    // Sent, and the node ends at about the same time.
    let sending = join_all((0..10).map(|_| chain.remote().submit(&from, transfer.clone(), &dry_run)));
    let (sent, ()) = within("ten payments", async {
        tokio::join!(sending, async {
            chain.stop().await;
            chain.start_again().await;
        })
    })
    .await;
    until("the chain to be seen", || async { chain.remote().health().is_good().then_some(()) }).await;
    let paid = sent.iter().filter(|paid| paid.is_ok()).count();
    for refused in sent.iter().filter_map(|paid| paid.as_ref().err()) {
        assert!(matches!(refused, ChainError::Unreachable(_)), "{refused}");
    }
    let have = chain.client().free_balance(&to).await.unwrap();
    assert_eq!(have, UNIT * u128::try_from(paid).unwrap(), "what is told to be paid is, once, and nothing else");
    println!("{paid} of 10 payments went through a restart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_was_lost_is_dead_after_its_era_and_the_next_one_takes_its_nonce() {
    let Some(chain) = NodeChain::start_with_manual_seal().await else { return };
    let proxy = Proxy::before(([127, 0, 0, 1], chain.port()).into()).await;
    let through = Settings { valid_for: 4, ..Settings::for_instant_seal(format!("ws://{}", proxy.address())) };
    let client = within("a client", RemoteChain::connect(through)).await.unwrap();
    let (from, to) = (DevAccount::Dave.signer(), AccountId([5; 32]));
    let transfer = Transaction::Transfer { to, amount: UNIT };
    let dry_run = client.dry_run(&from.account(), &transfer).await.unwrap();
    let head = client.finalised_head().await.unwrap().number;
    let sending = tokio::spawn({
        let (client, from, transfer, dry_run) = (client.clone(), from.clone(), transfer.clone(), dry_run.clone());
        async move { client.submit(&from, transfer, &dry_run).await }
    });
    until("it to be in the pool", || async { (chain.pool_length().await == 1).then_some(()) }).await;
    // The client hears nothing while the node restarts and forgets, and its chain goes on.
    proxy.stall();
    chain.stop().await;
    chain.start_again().await;
    chain.produce_blocks(4).await;
    proxy.cut();
    proxy.mend();
    let dropped = within("the verdict", sending).await.unwrap().unwrap_err();
    assert_eq!(dropped, ChainError::Dropped { last: head + 3 });
    assert_eq!(chain.client().free_balance(&to).await.unwrap(), 0);

    let again = tokio::spawn(async move { client.submit(&from, transfer, &dry_run).await });
    until("the next to be in the pool", || async { (chain.pool_length().await == 1).then_some(()) }).await;
    chain.produce_blocks(1).await;
    let receipt = within("the receipt", again).await.unwrap().unwrap();
    assert_eq!(receipt.block.number, head + 5);
    assert_eq!(chain.client().free_balance(&to).await.unwrap(), UNIT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_a_restarted_node_has_forgotten_is_sent_again_by_itself() {
    let Some(chain) = NodeChain::start_with_manual_seal().await else { return };
    let (from, to) = (DevAccount::Dave.signer(), AccountId([5; 32]));
    let transfer = Transaction::Transfer { to, amount: UNIT };
    let dry_run = chain.remote().dry_run(&from.account(), &transfer).await.unwrap();
    let sending = tokio::spawn({
        let (client, transfer) = (chain.remote().clone(), transfer.clone());
        async move { client.submit(&from, transfer, &dry_run).await }
    });
    until("it to be in the pool", || async { (chain.pool_length().await == 1).then_some(()) }).await;
    chain.stop().await;
    chain.start_again().await;
    until("it to be in the pool again", || async { (chain.pool_length().await == 1).then_some(()) }).await;
    chain.produce_blocks(1).await;
    let _receipt = within("the receipt", sending).await.unwrap().unwrap();
    assert_eq!(chain.client().free_balance(&to).await.unwrap(), UNIT, "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_that_were_missed_are_told_once_and_in_order_and_then_those_that_come() {
    let Some(world) = world().await else { return };
    world.pass(150).await;
    let client = world.chain.client();
    let head = client.finalised_head().await.unwrap().number;
    let began = Instant::now();
    let mut blocks = client.finalised_blocks(0).await.unwrap();
    for number in 0..=head {
        let block = within("a block", blocks.next()).await.unwrap().unwrap();
        assert_eq!(block.at.number, number);
    }
    println!("caught up on {} blocks in {:?}", head + 1, began.elapsed());
    world.pass(2).await;
    assert_eq!(within("a block", blocks.next()).await.unwrap().unwrap().at.number, head + 1);
    // Every event of the arbiter is in them: its deployment emits none, a deposit one.
    let alice = world.start("alice").await;
    let done = within("a deposit", alice.node.vault_deposit(UNIT)).await.unwrap();
    let emitted = done.receipt.events.clone();
    let mut from = client.finalised_blocks(done.receipt.block.number).await.unwrap();
    let told = within("its block", from.next()).await.unwrap().unwrap();
    assert_eq!((told.at, told.events), (done.receipt.block, emitted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_endpoint_takes_over_when_the_first_is_gone() {
    let Some(chain) = NodeChain::start_bare().await else { return };
    let proxy = Proxy::before(([127, 0, 0, 1], chain.port()).into()).await;
    let endpoints = vec![format!("ws://{}", proxy.address()), chain.url()];
    let settings = Settings { endpoints, ..Settings::for_instant_seal("") };
    let client = within("a client", RemoteChain::connect(settings)).await.unwrap();
    assert_eq!(proxy.connections(), 1);
    drop(proxy);
    let head = chain.block_number().await;
    chain.produce_blocks(3).await;
    let _head = within("the next blocks", client.reached(head + 3)).await;
    let shared: SharedChain = Arc::new(client);
    let signer = DevAccount::Bob.signer();
    let deploying = Arbiter::deploy(shared, &signer, arbiter_code(), e2e_tests::LIMITS, Vec::new());
    let (arbiter, _receipt) = within("a deployment", deploying).await.unwrap();
    assert_eq!(arbiter.vault_balance(party("alice")).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_opens_changes_and_closes_within_two_blocks_each() {
    let Some(world) = world().await else { return };
    let (alice, bob) = world.couple().await;
    let at = || world.chain.block_number();
    let block = at().await;
    let (alices, bobs) = alice.open(&bob).await;
    let opened = at().await;
    let _round = within("a deposit", alices.deposit(UNIT)).await.unwrap();
    let deposited = at().await;
    let _ended = within("the close", alices.close(0)).await.unwrap();
    let _ended = bob.events.wait_end(bobs.reference()).await;
    let took = [opened - block, deposited - opened, at().await - deposited];
    assert!(took.iter().all(|blocks| *blocks <= 2), "{took:?}");
}
