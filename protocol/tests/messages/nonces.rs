//! Which nonces a pair may name (R5.2): a pair is two accounts and two keys, so nobody else moves it or comes to its ids.

use crate::fixture::*;
use protocol::terms::MAX_NONCE_AHEAD;

fn open(world: &mut World, opening: &Opening) -> Result<Applied, Rejection> {
    world.call(opening.parties.initiator.account, Call::ChannelCreate(opening.create()))
}

fn with_nonce(nonce: u64) -> Opening {
    Opening { nonce, ..opening() }
}

/// Alice's and Bob's accounts, under keys of the thief's, with nothing in it.
fn bogus(nonce: u64) -> Opening {
    Opening {
        parties: Pair::new(alice().under(&thief()), bob().under(&accomplice())),
        reserve: 0,
        balances: Pair::new(0, 0),
        shares: Pair::new(0, 0),
        nonce,
        ..opening()
    }
}

#[test]
fn a_stranger_neither_moves_a_pairs_nonce_nor_meets_its_ids() {
    let mut world = World::with_vaults();
    let honest = with_nonce(0);
    let mut ids = vec![honest.channel()];
    // One key of the pair's own is not enough either.
    let half = Opening { parties: Pair::new(alice(), bob().under(&thief())), ..bogus(0) };
    for stranger in [bogus(0), bogus(1_000)] {
        let _opened = world.call(thief().account, Call::ChannelCreate(stranger.create())).unwrap();
        ids.push(stranger.channel());
    }
    let mut create = half.create();
    create.signatures.initiator = thief().key.sign(&signed_bytes(&DOMAIN, &half.channel(), &create.body));
    let unsigned = Rejection::SignatureInvalid { party: Party::Initiator };
    assert_eq!(world.call(thief().account, Call::ChannelCreate(create)), Err(unsigned));
    ids.push(half.channel());
    assert_eq!(world.ledger.nonces.get(&honest.terms().ids()), None);
    let _opened = open(&mut world, &honest).unwrap();
    assert_eq!(world.ledger.nonces[&honest.terms().ids()], 1);
    assert_eq!(world.ledger.nonces[&bogus(0).terms().ids()], 1_001);
    let different: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(different.len(), 4);
    assert_eq!(world.ledger.channels.len(), 3);
}

#[test]
fn a_pair_names_any_nonce_from_its_next_one_on_up_to_a_bound() {
    const NEXT: u64 = 5;
    assert_eq!(MAX_NONCE_AHEAD, 1_024);
    let mut world = World::with_vaults();
    let pair = opening().terms().ids();
    let _known = world.ledger.nonces.insert(pair, NEXT);
    for (got, allowed) in [
        (0, false),
        (NEXT - 1, false),
        (NEXT, true),
        (NEXT + 1, true),
        (NEXT + 1_022, true),
        (NEXT + 1_023, true),
        (NEXT + 1_024, false),
        (NEXT + 1_025, false),
        (u64::MAX, false),
    ] {
        let mut world = world.clone();
        let opened = open(&mut world, &with_nonce(got));
        if allowed {
            let opened = opened.unwrap();
            assert_eq!(opened.events[0].0, with_nonce(got).channel());
            assert_eq!(world.ledger.nonces[&pair], got + 1, "one above the last one used");
        } else {
            assert_eq!(opened, Err(Rejection::NonceOutOfBounds { got, next: NEXT }));
        }
    }
}

#[test]
fn several_openings_of_one_pair_are_under_way_at_once_and_each_id_is_used_once() {
    let mut world = World::with_vaults();
    let (first, second, third) = (with_nonce(0), with_nonce(1), with_nonce(2));
    let _first = open(&mut world, &first).unwrap();
    let _third = open(&mut world, &third).unwrap();
    // What was skipped is lost, and what was used stays used, also when its channel is gone.
    let skipped = |got| Err(Rejection::NonceOutOfBounds { got, next: 3 });
    assert_eq!(open(&mut world, &second), skipped(1));
    let _closed = world.call(bob().account, Call::ChannelCloseMutual(first.close_mutual(Pair::new(100, 100), 0)));
    assert!(!world.ledger.channels.contains_key(&first.channel()));
    assert_eq!(open(&mut world, &first), skipped(0));
    assert_eq!(open(&mut world, &third), skipped(2));
}

#[test]
fn the_last_nonce_is_never_used_since_none_would_follow() {
    let mut world = World::with_vaults();
    let pair = opening().terms().ids();
    let _known = world.ledger.nonces.insert(pair, u64::MAX - 1);
    let refused = |next| Err(Rejection::NonceOutOfBounds { got: u64::MAX, next });
    assert_eq!(open(&mut world, &with_nonce(u64::MAX)), refused(u64::MAX - 1));
    let _last = open(&mut world, &with_nonce(u64::MAX - 1)).unwrap();
    assert_eq!(world.ledger.nonces[&pair], u64::MAX);
    assert_eq!(open(&mut world, &with_nonce(u64::MAX)), refused(u64::MAX));
}

#[test]
fn a_nonce_is_signed_for_and_who_opens_it_the_other_way_round_is_another_pair() {
    let mut world = World::with_vaults();
    let create = Create { nonce: 1, ..with_nonce(0).create() };
    let moved = world.call(alice().account, Call::ChannelCreate(create));
    assert_eq!(moved, Err(Rejection::SignatureInvalid { party: Party::Initiator }));
    let _opened = open(&mut world, &with_nonce(0)).unwrap();
    let swapped = Opening { parties: Pair::new(bob(), alice()), ..opening() };
    let _opened_too = open(&mut world, &swapped).unwrap();
    let nonces: Vec<_> = world.ledger.nonces.values().copied().collect();
    assert_eq!((nonces, world.ledger.channels.len()), (vec![1, 1], 2));
}

#[test]
fn an_opening_that_is_refused_uses_no_nonce() {
    let mut world = World::with_vaults();
    let too_dear = Opening { balances: Pair::new(1_001, 100), shares: Pair::new(1_001, 100), ..with_nonce(3) };
    let low = Rejection::VaultTooLow { party: Party::Initiator, have: 1_000, need: 1_001 };
    assert_eq!(open(&mut world, &too_dear), Err(low));
    let _opened = open(&mut world, &with_nonce(0)).unwrap();
}
