//! Whose keys sign transactions.

use crate::{Asked, TestChain, UNIT, Wallet, World, account, identity, signer, terms, until, within};
use channel::{CloseReason, Event};
use protocol::{Pair, PartyId, call::Call};
use sdk::{
    chain::{
        CallError, Chain, ChainError, NotSigned,
        account::{Scheme, from_uri},
        arbiter::VaultUsed,
    },
    node::NodeError,
};
use std::sync::Arc;

/// Alice's account is of the other kind.
pub async fn an_ecdsa_account_opens_and_closes_a_channel<C: TestChain>(world: &World<C>) {
    let ecdsa = from_uri("//Ecdsa", Scheme::Ecdsa).unwrap();
    let owner = ecdsa.account();
    world.fund(owner, 1_000 * UNIT).await;
    let her = PartyId { account: owner, key: identity("alice").public() };
    let before = world.coins_with(&[her]).await;
    let bob = world.start_rich("bob", 500 * UNIT).await;
    let alice = world.start_with("alice", |config| config.signer = Arc::clone(&ecdsa)).await;
    let deposited = within("a deposit", alice.node.vault_deposit(500 * UNIT)).await.unwrap();
    assert_eq!(deposited.events, [], "a vault is no channel");
    assert_eq!(deposited.vaults, [VaultUsed { owner: her, balance: 500 * UNIT }]);
    alice.connect(&bob).await;
    let (alices, bobs) = alice.open_on(&bob, terms()).await;
    let _paid = within("a payment", alices.pay(UNIT, "from the other curve")).await.unwrap();
    let _ended = within("the close", alices.close(0)).await.unwrap();
    let _ended = bob.events.wait_end(bobs.reference()).await;
    let free = world.recorder.free_balance(&owner).await.unwrap();
    assert!(free > 590 * UNIT && free < 600 * UNIT, "99 back, 500 - 100 in the vault, fees paid: {free}");
    let gain = UNIT.cast_signed();
    world.coins_with(&[her]).await.check(&before, &[(owner, -gain), (bob.account(), gain)]);
}

/// Alice's key is in another process, all her channel's life, a dispute included.
pub async fn a_wallet_in_another_process_signs_everything_that_a_channel_needs<C: TestChain>(world: &World<C>) {
    let before = world.coins().await;
    let wallet = Arc::new(Wallet::start(world, "alice"));
    let mut alices = world.config("alice");
    alices.signer = wallet.clone();
    let (alice, bob) = world.couple_on(alices, world.config("bob")).await;
    let (alices, bobs) = alice.open(&bob).await;
    let _round = within("a deposit", alices.deposit(50 * UNIT)).await.unwrap();
    let _round = within("a withdrawal", alices.withdraw(30 * UNIT)).await.unwrap();
    let _round = within("a delegate", alices.set_delegates(vec![account("hub")])).await.unwrap();
    // Bob cheats; her node has the slash and the settling signed.
    let old = bobs.evidence().await.unwrap().unwrap();
    let _paid = bobs.pays(40 * UNIT, "what Bob regrets").await;
    let _paid = alices.pays(UNIT, "change").await;
    let close = Call::ChannelCloseSolo(old);
    let _done = within("Bob's close", world.arbiter.call(&signer("bob"), &close, 0)).await.unwrap();
    let slashed = |event: &Event| match event {
        Event::Slashed { unlock_at, .. } => Some(*unlock_at),
        _ => None,
    };
    let unlock_at = alice.events.wait("the slash", alices.reference(), slashed).await;
    world.pass_lock(unlock_at).await;
    let balances = Pair::new(164 * UNIT, 56 * UNIT);
    assert_eq!(alice.events.wait_end(alices.reference()).await, CloseReason::Settled { balances });
    assert_eq!(bob.events.wait_end(bobs.reference()).await, CloseReason::Settled { balances });
    let gain = 44 * UNIT.cast_signed();
    world.coins().await.check(&before, &[(alice.account(), gain), (bob.account(), -gain)]);
    let hers = world.recorder.entries().iter().filter(|entry| entry.signer == alice.account()).count();
    assert!(usize::try_from(wallet.asked()).unwrap() >= hers && hers >= 7, "{hers} of {}", wallet.asked());

    // And a channel whose opening nobody signs is not opened, says why, and is no trouble afterwards.
    wallet.take_away().await;
    let refused = alice.try_open(&bob, terms()).await.unwrap_err();
    let cause = NotSigned("the wallet is gone".into());
    let expected = ChainError::NotSigned { account: alice.account().into(), cause };
    assert!(matches!(&refused, NodeError::Call(CallError::Chain(error)) if *error == expected), "{refused}");
    let (bobs, alices) = bob.open(&alice).await;
    let _paid = bobs.pays(UNIT, "Bob has his key").await;
    assert_eq!(alices.has().await.ours, 101 * UNIT);
    // It is not asked for again, and expires.
    world.pass(terms().validity + 1).await;
    until("the opening to be forgotten", || async {
        (alice.node.channels(bob.identity()).await.unwrap().len() == 1).then_some(())
    })
    .await;
}
