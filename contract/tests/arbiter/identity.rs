//! A channel's id is never used twice, and nothing signed for one channel counts in another (R5.2).

use crate::harness::*;
use protocol::{
    Pair, Party, Rejection, StateCommitment,
    call::{Call, Create},
    signing::Kind,
};

const STRANGERS: Rejection = Rejection::SignatureInvalid { party: Party::Initiator };
const NEWEST: State = State::new(6, 30 * UNIT, 130 * UNIT);

#[tokio::test]
async fn an_opening_cannot_be_replayed_while_the_channel_is_open_nor_after_it_ended() {
    let mut world = World::funded().await;
    let call = world.create_call(&create_body(world.now() + LIMITS.validity_max));
    let channel = world.next_channel(&accounts());
    let _done = world.accept(Actor::Initiator, &call, 0).await;
    world.refuse(Actor::Initiator, &call, 0, STRANGERS).await;
    let _done = world.accept(Actor::Initiator, &channel.close_mutual(BALANCES, 0, world.now()), 0).await;
    world.refuse(Actor::Initiator, &call, 0, STRANGERS).await;
}

#[tokio::test]
async fn an_opening_counts_for_the_pairs_next_nonce_only() {
    let (mut world, _channel) = World::open().await;
    let body = create_body(world.now() + 5);
    for nonce in [0, 2, 3, u64::MAX] {
        let signatures = Channel::of(world.domain(), &accounts(), nonce).binding(Kind::Create).sign(&keys(), &body);
        let call = Call::ChannelCreate(Create { body: body.clone(), signatures });
        world.refuse(Actor::Initiator, &call, 0, STRANGERS).await;
    }
    let _done = world.accept(Actor::Initiator, &world.create_call(&body), 0).await;
}

#[tokio::test]
async fn channels_of_the_same_two_have_different_ids_one_after_the_other_and_side_by_side() {
    let (mut world, first) = World::open().await;
    let second = world.create(&create_body(world.now())).await;
    let _done = world.accept(Actor::Initiator, &first.close_mutual(BALANCES, 0, world.now()), 0).await;
    let third = world.create(&create_body(world.now())).await;

    // The same two the other way round are another pair, with nonces of its own.
    let mut body = create_body(world.now());
    let Pair { initiator, responder } = body.terms.parties.clone();
    body.terms.parties = Pair::new(responder, initiator);
    let keys = keys();
    let reversed = world.next_channel(&body.terms.accounts());
    let signatures = reversed.binding(Kind::Create).sign(&Pair::new(keys.responder, keys.initiator), &body);
    let _done = world.accept(Actor::Initiator, &Call::ChannelCreate(Create { body, signatures }), 0).await;

    let mut ids = [first.id, second.id, third.id, reversed.id];
    ids.sort();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(world.ledger.nonces[&accounts()], 3);
    assert_eq!(world.ledger.nonces[&Pair::new(accounts().responder, accounts().initiator)], 1);
}

#[tokio::test]
async fn nothing_signed_for_a_channel_that_ended_counts_in_the_next_one_of_the_same_two() {
    let (mut world, old) = World::open().await;
    let _done = world.accept(Actor::Initiator, &old.close_mutual(BALANCES, 0, world.now()), 0).await;
    let new = world.create(&create_body(world.now())).await;

    // As they are, they are for a channel that is no more.
    let valid_until = world.now() + 20;
    for call in [old.close_solo(&NEWEST), old.slash(&NEWEST), old.close_mutual(BALANCES, 0, valid_until), old.settle()]
    {
        world.refuse(Actor::Responder, &call, 0, Rejection::ChannelUnknown).await;
    }
    // Under the new channel's name, their signatures do not fit.
    let mut close_solo = old.close_solo_on(&NEWEST);
    let mut slash = old.slash_with(&State { round: 9, ..NEWEST });
    let Call::ChannelCloseMutual(mut close_mutual) = old.close_mutual(BALANCES, 0, valid_until) else { unreachable!() };
    (close_solo.channel, slash.channel, close_mutual.channel) = (new.id, new.id, new.id);
    world.refuse(Actor::Responder, &Call::ChannelCloseSolo(close_solo), 0, STRANGERS).await;
    world.refuse(Actor::Responder, &Call::ChannelCloseMutual(close_mutual), 0, STRANGERS).await;
    let first = StateCommitment::of_balances(BALANCES);
    let _done = world.accept(Actor::Responder, &new.close_solo_on_chain(first), 0).await;
    world.refuse(Actor::Responder, &Call::ChannelSlash(slash), 0, STRANGERS).await;
}

#[tokio::test]
async fn channels_side_by_side_do_not_touch_each_other() {
    let (mut world, first) = World::open().await;
    let second = world.create(&create_body(world.now())).await;
    let _done = world.accept(Actor::Responder, &first.close_solo(&NEWEST), 0).await;
    // Each step is compared with the ledger, which has both records.
    let _done = world.accept(Actor::Initiator, &first.slash(&State { round: 7, ..NEWEST }), 0).await;
    let _done = world.accept(Actor::Initiator, &second.close_mutual(BALANCES, 0, world.now()), 0).await;
    assert!(world.record(&first).await.is_some());
    world.travel_to(world.now() + LOCK_PERIOD).await;
    let _done = world.accept(Actor::Initiator, &first.settle(), 0).await;
    assert!(world.ledger.channels.is_empty());
}
