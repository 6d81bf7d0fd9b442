//! Channels that end otherwise: one party closes alone, or cheats, or is away while the other does.

use crate::{Asked, TestChain, UNIT, World, account, signer, terms, until, within};
use channel::{Certainty, CloseReason, Event, Misuse};
use protocol::{
    Pair, Rejection,
    call::{Call, CloseSolo, Slash},
    terms::Delegate,
};
use sdk::{chain::CallError, node::NodeError};

/// Bob closes alone.
pub async fn a_close_alone_on_the_latest_state_is_settled_after_the_lock_period<C: TestChain>(world: &World<C>) {
    let before = world.coins().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let _paid = alices.pays(30 * UNIT, "for something").await;

    let closing = tokio::spawn({
        let bobs = bobs.clone();
        async move { bobs.close_solo(Certainty::ConfirmedByPeer).await }
    });
    let unlock_at = |event: &Event| match event {
        Event::ClosingSolo { unlock_at, outdated: false, .. } => Some(*unlock_at),
        _ => None,
    };
    let unlock_at = alice.events.wait("the close", alices.reference(), unlock_at).await;
    let refused = within("a payment", alices.pay(1, "too late")).await.unwrap_err();
    assert!(matches!(refused, NodeError::Misuse(Misuse::NotOpen { state: "closing" })), "{refused}");

    // Alice opened, so her node settles first; Bob's would two blocks later.
    world.pass_lock(unlock_at).await;
    let balances = Pair::new(70 * UNIT, 130 * UNIT);
    assert_eq!(within("the end", closing).await.unwrap().unwrap(), CloseReason::Settled { balances });
    assert_eq!(alice.events.wait_end(alices.reference()).await, CloseReason::Settled { balances });
    let gain = i128::try_from(30 * UNIT).unwrap();
    world.coins().await.check(&before, &[(alice.account(), -gain), (bob.account(), gain)]);
}

/// Bob cheats.
pub async fn a_close_on_an_old_state_is_slashed_by_the_node_itself_and_costs_the_penalty<C: TestChain>(
    world: &World<C>,
) {
    let before = world.coins().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let old = bobs.evidence().await.unwrap().unwrap();
    let _paid = bobs.pays(40 * UNIT, "what Bob regrets").await;
    // Bob signs a round of Alice's last: so he provably holds it.
    let _paid = alices.pays(UNIT, "change").await;

    let _done =
        within("Bob's close", world.arbiter.call(&signer("bob"), &Call::ChannelCloseSolo(old), 0)).await.unwrap();
    let outdated = |event: &Event| match event {
        Event::ClosingSolo { round, outdated, .. } => Some((*round, *outdated)),
        _ => None,
    };
    assert_eq!(alice.events.wait("the close", alices.reference(), outdated).await, (1, true));
    let slashed = |event: &Event| match event {
        Event::Slashed { unlock_at, .. } => Some(*unlock_at),
        _ => None,
    };
    let unlock_at = alice.events.wait("the slash", alices.reference(), slashed).await;
    assert_eq!(bob.events.wait("the slash", bobs.reference(), slashed).await, unlock_at);
    // Both have asked before the lock runs out: on a fast chain all would be over a moment later.
    let ends = within("the end", async { tokio::join!(alices.closed(), bobs.closed()) });
    let balances = Pair::new(144 * UNIT, 56 * UNIT);
    let ((alices_end, bobs_end), ()) = tokio::join!(biased; ends, world.pass_lock(unlock_at));
    assert_eq!(
        (alices_end.unwrap(), bobs_end.unwrap()),
        (CloseReason::Settled { balances }, CloseReason::Settled { balances })
    );
    let gain = i128::try_from(44 * UNIT).unwrap();
    world.coins().await.check(&before, &[(alice.account(), gain), (bob.account(), -gain)]);
    assert_eq!((world.recorder.count("channel_slash").await, world.recorder.count("channel_settle").await), (1, 1));
}

/// Bob cheats while Alice is away.
pub async fn a_node_that_was_away_while_its_peer_closed_on_an_old_state_slashes_when_it_is_back<C: TestChain>(
    world: &World<C>,
) {
    let before = world.coins().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let channel = alices.reference();
    let old = bobs.evidence().await.unwrap().unwrap();
    let _paid = bobs.pays(40 * UNIT, "what Bob regrets").await;
    let _paid = alices.pays(UNIT, "change").await;
    drop(alices);
    alice.stop();

    let _done =
        within("Bob's close", world.arbiter.call(&signer("bob"), &Call::ChannelCloseSolo(old), 0)).await.unwrap();
    world.pass(terms().lock_period - 5).await;
    let alice = world.start("alice").await;
    let slashed = |event: &Event| matches!(event, Event::Slashed { .. }).then_some(());
    bob.events.wait("the slash", channel, slashed).await;
    world.pass(terms().lock_period + 5).await;
    let ended = alice.events.wait_end(channel).await;
    assert_eq!(ended, CloseReason::Settled { balances: Pair::new(144 * UNIT, 56 * UNIT) });
    let gain = 44 * UNIT.cast_signed();
    world.coins().await.check(&before, &[(alice.account(), gain), (bob.account(), -gain)]);
}

/// Bob cheats while Alice is away, and somebody whom she trusts is not.
pub async fn a_delegate_slashes_for_a_party_that_is_away_and_nobody_else_may<C: TestChain>(world: &World<C>) {
    let before = world.coins().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let _round = within("a delegate", alices.set_delegates(vec![account("hub")])).await.unwrap();
    let id = alices.status().await.unwrap().channel.unwrap();
    let record = world.arbiter.channel(id).await.unwrap().unwrap();
    assert_eq!(record.terms.parties.initiator.delegates, [Delegate::defender(account("hub"))]);
    let old = bobs.evidence().await.unwrap().unwrap();
    let _paid = bobs.pays(40 * UNIT, "what Bob regrets").await;
    let _paid = alices.pays(UNIT, "change").await;
    // What the delegate is given, and then Alice is away.
    let CloseSolo { channel, payload, commitment } = alices.evidence().await.unwrap().unwrap();
    let slash = Call::ChannelSlash(Slash { channel, payload: payload.unwrap(), commitment });
    drop(alices);
    alice.stop_and_wait().await;

    let close = Call::ChannelCloseSolo(old);
    let _done = within("Bob's close", world.arbiter.call(&signer("bob"), &close, 0)).await.unwrap();
    let refused = within("a refusal", world.arbiter.call(&signer("mallory"), &slash, 0)).await.unwrap_err();
    assert_eq!(refused, CallError::Rejected(Rejection::NotPartyOrDelegate));
    let _done = within("the slash", world.arbiter.call(&signer("hub"), &slash, 0)).await.unwrap();
    let again = within("a refusal", world.arbiter.call(&signer("hub"), &slash, 0)).await.unwrap_err();
    assert!(matches!(again, CallError::Rejected(Rejection::RoundAlreadyKnown { .. })), "{again}");
    // Bob settles what is left to him.
    world.pass(terms().lock_period + 5).await;
    let balances = Pair::new(144 * UNIT, 56 * UNIT);
    assert_eq!(bob.events.wait_end(bobs.reference()).await, CloseReason::Settled { balances });
    let alice = world.start("alice").await;
    until("Alice to learn of it", || async {
        alice.node.channels(bob.identity()).await.unwrap().is_empty().then_some(())
    })
    .await;
    let gain = 44 * UNIT.cast_signed();
    world.coins().await.check(&before, &[(alice.account(), gain), (bob.account(), -gain)]);
    assert_eq!((world.recorder.count("channel_slash").await, world.recorder.count("channel_settle").await), (1, 1));
}
