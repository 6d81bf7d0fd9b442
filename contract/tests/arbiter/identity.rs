//! A channel's id is never used twice, and nothing signed for one channel counts in another (R5.2).

use crate::harness::*;
use protocol::{
    Pair, Party, PartyId, Rejection, StateCommitment,
    call::{Call, Create},
    crypto::SigningKey,
    signing::Kind,
    terms::MAX_NONCE_AHEAD,
};

const STRANGERS: Rejection = Rejection::SignatureInvalid { party: Party::Initiator };
const NEWEST: State = State::new(6, 30 * UNIT, 130 * UNIT);

#[tokio::test]
async fn an_opening_cannot_be_replayed_while_the_channel_is_open_nor_after_it_ended() {
    let mut world = World::funded().await;
    let call = world.create_call(&create_body(world.now() + LIMITS.validity_max));
    let channel = world.next_channel(&parties());
    let _done = world.accept(Actor::Initiator, &call, 0).await;
    let used = Rejection::NonceOutOfBounds { got: 0, next: 1 };
    world.refuse(Actor::Initiator, &call, 0, used).await;
    let _done = world.accept(Actor::Initiator, &channel.close_mutual(BALANCES, 0, world.now()), 0).await;
    world.refuse(Actor::Initiator, &call, 0, used).await;
}

#[tokio::test]
async fn an_opening_names_any_nonce_from_the_pairs_next_one_on_less_than_1024_above() {
    let (world, _channel) = World::open().await;
    let body = create_body(world.now() + 9);
    for (got, is_good) in [
        (0, false),
        (1, true),
        (2, true),
        (MAX_NONCE_AHEAD - 1, true),
        (MAX_NONCE_AHEAD, true),
        (MAX_NONCE_AHEAD + 1, false),
        (u64::MAX - 1, false),
        (u64::MAX, false),
    ] {
        let mut world = world.fork_for(&got).await;
        let call = Call::ChannelCreate(world.create_with(&body, got));
        if !is_good {
            world.refuse(Actor::Initiator, &call, 0, Rejection::NonceOutOfBounds { got, next: 1 }).await;
            continue;
        }
        let _done = world.accept(Actor::Initiator, &call, 0).await;
        assert!(world.ledger.channels.contains_key(&Channel::of(world.domain(), &parties(), got).id));
        // What was skipped is never named again, and neither is what was used.
        for skipped in got.saturating_sub(1)..=got {
            let call = Call::ChannelCreate(world.create_with(&body, skipped));
            let used = Rejection::NonceOutOfBounds { got: skipped, next: got + 1 };
            world.refuse(Actor::Initiator, &call, 0, used).await;
        }
        let _next = world.accept(Actor::Initiator, &world.create_call(&body), 0).await;
    }
}

#[tokio::test]
async fn several_openings_of_one_pair_may_be_under_way_and_arrive_in_their_order() {
    let mut world = World::funded().await;
    let body = create_body(world.now() + 9);
    let calls: Vec<_> = (0..4).map(|nonce| Call::ChannelCreate(world.create_with(&body, nonce))).collect();
    for call in &calls {
        let _done = world.accept(Actor::Initiator, call, 0).await;
    }
    assert_eq!((world.ledger.channels.len(), world.next_nonce(&parties())), (4, 4));
}

#[tokio::test]
async fn an_opening_counts_for_the_nonce_that_it_was_signed_for() {
    let mut world = World::funded().await;
    let mut create = world.create_with(&create_body(world.now() + 5), 0);
    create.nonce = 1;
    world.refuse(Actor::Initiator, &Call::ChannelCreate(create), 0, STRANGERS).await;
}

#[tokio::test]
async fn a_stranger_neither_moves_a_pairs_nonce_nor_comes_to_its_channels_id() {
    // The two accounts, and keys of the stranger's own for one of them or for both.
    let mut world = World::funded().await;
    let wanted = world.create_call(&create_body(world.now() + 20));
    let channel = world.next_channel(&parties());
    let others = Pair::new(strangers_key(), SigningKey::from_seed(&[0xEF; 32]));
    let own = keys();
    for keys in [
        Pair::new(others.initiator.clone(), others.responder.clone()),
        Pair::new(others.initiator.clone(), own.responder.clone()),
        Pair::new(own.initiator.clone(), others.responder.clone()),
    ] {
        let mut body = create_body(world.now());
        body.terms.parties.initiator.key = keys.initiator.public();
        body.terms.parties.responder.key = keys.responder.public();
        // Without coins: there are none under such keys.
        (body.terms.reserve, body.terms.penalty) = (0, 0);
        (body.balances, body.shares) = (Pair::default(), Pair::default());
        let theirs = world.next_channel(&body.terms.ids());
        assert_ne!(theirs.id, channel.id);
        let signatures = theirs.binding(Kind::Create).sign(&keys, &body);
        let call = Call::ChannelCreate(Create { body, nonce: 0, signatures });
        let _done = world.accept(Actor::Stranger, &call, 0).await;
        assert_eq!(world.next_nonce(&parties()), 0);
    }
    let _done = world.accept(Actor::Initiator, &wanted, 0).await;
    assert!(world.record(&channel).await.is_some());
}

#[tokio::test]
async fn accounts_and_keys_all_take_part_in_a_channels_id() {
    let world = World::deployed().await;
    let Pair { initiator, responder } = parties();
    let other = Actor::Stranger.vault();
    let mut ids: Vec<_> = [
        parties(),
        Pair::new(responder, initiator),
        Pair::new(PartyId { account: other.account, ..initiator }, responder),
        Pair::new(PartyId { key: other.key, ..initiator }, responder),
        Pair::new(initiator, PartyId { account: other.account, ..responder }),
        Pair::new(initiator, PartyId { key: other.key, ..responder }),
        // The keys changed about.
        Pair::new(PartyId { key: responder.key, ..initiator }, PartyId { key: initiator.key, ..responder }),
    ]
    .iter()
    .map(|parties| world.next_channel(parties).id)
    .collect();
    ids.sort();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
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
    let reversed = world.next_channel(&body.terms.ids());
    let signatures = reversed.binding(Kind::Create).sign(&Pair::new(keys.responder, keys.initiator), &body);
    let _done = world.accept(Actor::Initiator, &Call::ChannelCreate(Create { body, nonce: 0, signatures }), 0).await;

    let mut ids = [first.id, second.id, third.id, reversed.id];
    ids.sort();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(world.ledger.nonces[&parties()], 3);
    assert_eq!(world.ledger.nonces[&Pair::new(parties().responder, parties().initiator)], 1);
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
