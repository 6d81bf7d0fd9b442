//! Stories that hold on every chain: told on the embedded one, and on a real node.

use crate::{Asked, TestChain, UNIT, World, signer, terms, within};
use channel::{CloseReason, Event, Misuse};
use protocol::{Pair, Party, call::Call};
use sdk::node::NodeError;

/// Opening, paying, closing in agreement.
pub async fn a_channel_is_opened_paid_through_both_ways_and_closed_and_every_coin_is_accounted_for<C: TestChain>(
    world: &World<C>,
) {
    let before = world.coins().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    assert_eq!(alice.node.vault_balance().await.unwrap(), 900 * UNIT, "her share is in the channel");

    for number in 1..=20_u32 {
        let _paid = alices.pays(2 * UNIT, &format!("to Bob {number}")).await;
        let _paid = bobs.pays(UNIT, &format!("to Alice {number}")).await;
    }
    let has = alices.has().await;
    assert_eq!((has.ours, has.peers, has.spendable), (80 * UNIT, 120 * UNIT, 70 * UNIT));
    let received = bob.events.wait_received(bobs.reference(), 20).await;
    let words: Vec<_> = received.into_iter().map(|payment| payment.reference).collect();
    let said: Vec<_> = (1..=20).map(|number| format!("to Bob {number}").into_bytes()).collect();
    assert_eq!(words, said);

    let balances = Pair::new(80 * UNIT - 1_000, 120 * UNIT);
    let ended = within("the close", alices.close(1_000)).await.unwrap();
    assert_eq!(ended, CloseReason::Mutual { balances });
    assert_eq!(bob.events.wait_end(bobs.reference()).await, ended);
    assert_eq!(alice.node.channels(bob.identity()).await.unwrap().len(), 0);

    // Whoever submitted the close has the fee, and Alice did: she offered it.
    let gain = i128::try_from(20 * UNIT).unwrap();
    world.coins().await.check(&before, &world.recorder, &[(alice.account(), -gain), (bob.account(), gain)]);
    assert_eq!((world.recorder.count("channel_create"), world.recorder.count("channel_close_mutual")), (1, 1));
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
    let ends = tokio::spawn({
        let (alices, bobs) = (alices.clone(), bobs.clone());
        async move { tokio::join!(alices.closed(), bobs.closed()) }
    });
    let balances = Pair::new(144 * UNIT, 56 * UNIT);
    world.pass_lock(unlock_at).await;
    let (alices_end, bobs_end) = within("the end", ends).await.unwrap();
    assert_eq!(
        (alices_end.unwrap(), bobs_end.unwrap()),
        (CloseReason::Settled { balances }, CloseReason::Settled { balances })
    );
    let gain = i128::try_from(44 * UNIT).unwrap();
    world.coins().await.check(&before, &world.recorder, &[(alice.account(), gain), (bob.account(), -gain)]);
    assert_eq!((world.recorder.count("channel_slash"), world.recorder.count("channel_settle")), (1, 1));
}

/// Bob closes alone.
pub async fn a_close_alone_on_the_latest_state_is_settled_after_the_lock_period<C: TestChain>(world: &World<C>) {
    let before = world.coins().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let _paid = alices.pays(30 * UNIT, "for something").await;

    let closing = tokio::spawn({
        let bobs = bobs.clone();
        async move { bobs.close_solo().await }
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
    world.coins().await.check(&before, &world.recorder, &[(alice.account(), -gain), (bob.account(), gain)]);
}

/// Coins go in and out of an open channel.
pub async fn both_deposit_and_withdraw_while_the_channel_is_open_and_no_coin_is_lost<C: TestChain>(world: &World<C>) {
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let (before, vault) = (world.coins().await, alice.node.vault_balance().await.unwrap());
    let deposited = within("a deposit into the channel", alices.deposit(50 * UNIT)).await.unwrap();
    assert_eq!(alice.node.vault_balance().await.unwrap(), vault - 50 * UNIT);
    assert_eq!(alices.has().await.ours, 150 * UNIT);
    let _paid = alices.pays(20 * UNIT, "out of the deposit").await;
    let withdrawn = within("a withdrawal", bobs.withdraw(100 * UNIT)).await.unwrap();
    assert!(deposited < withdrawn, "rounds only grow");
    assert_eq!(bobs.has().await.ours, 20 * UNIT);
    // The other side has heard of each.
    let reference = alices.reference();
    let deposit = |event: &Event| matches!(event, Event::Deposited { party: Party::Initiator, .. }).then_some(());
    bob.events.wait("Alice's deposit", reference, deposit).await;
    let withdrawal = |event: &Event| matches!(event, Event::Withdrawn { party: Party::Responder, .. }).then_some(());
    alice.events.wait("Bob's withdrawal", reference, withdrawal).await;
    let _closed = within("the close", alices.close(0)).await.unwrap();
    // Alice put in 50 and is paid 130; Bob took 100 out and is paid 20.
    let gains = [(alice.account(), 80 * UNIT.cast_signed()), (bob.account(), 120 * UNIT.cast_signed())];
    world.coins().await.check(&before, &world.recorder, &gains);
}

/// Bob cheats while Alice is away.
pub async fn a_node_that_was_away_while_its_peer_closed_on_an_old_state_slashes_when_it_is_back<C: TestChain>(
    world: &World<C>,
) {
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
}
