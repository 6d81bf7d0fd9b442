//! Points of small and of mixed order, and encodings that nobody should write: the cases in which verifiers of Ed25519 differ (Chalkias,
//! Garillot, Nikolaenko, "Taming the many EdDSAs"), and what checking two together makes of them.

use crate::{
    crafted::{
        CraftedKey, ORDERS, encodings_of_small_order, is_equal, is_equal_but_for_small_order, joined, nonce_of,
        with_orders_added, with_torsion_added,
    },
    signatures::{BothShown, Shown},
};
use protocol::{Pair, Party, Signature};

/// The nonce and the secrets of whoever makes these.
const NONCE: u64 = 0x6e6f_6e63_6521;
const SECRET: u64 = 0x7365_6372_6574;
const OTHER_SECRET: u64 = 0x6f74_6865_7221;

/// Messages enough to meet every multiple of a point of order 8, over and over.
fn messages(count: u32) -> impl Iterator<Item = [u8; 4]> {
    (0..count).map(u32::to_le_bytes)
}

fn shown(key: &CraftedKey, message: &[u8], signature: Signature) -> Shown {
    Shown { key: key.public(), message: message.to_vec(), signature }
}

/// What `make` makes of the first message for which it makes anything.
fn first(key: &CraftedKey, make: impl Fn(&[u8]) -> Option<Signature>) -> Shown {
    let found = messages(1000).find_map(|message| make(&message).map(|made| shown(key, &message, made)));
    found.expect("one message in eight fits")
}

/// One of the twelve cases of the paper, by its number.
struct Edge {
    number: u8,
    shown: Shown,
    /// What lenient verifiers, those with a cofactor and strict ones say.
    lenient: bool,
    cofactor: bool,
    strict: bool,
}

/// The twelve, made anew: the test asks first whether each has the property that the paper gives it.
fn edges() -> [Edge; 12] {
    let (small, mixed, plain) = (CraftedKey::new(0, 1), CraftedKey::new(SECRET, 1), CraftedKey::new(SECRET, 0));
    // Two names of a point of order 4: y = 0, which all bytes zero are as well, and y = p.
    let (zero, prime) = ([0; 32], *encodings_of_small_order().iter().find(|bytes| bytes[0] == 0xed).unwrap());
    let (zero_key, prime_key) = (CraftedKey::written(zero), CraftedKey::written(prime));

    let fits = |key: &CraftedKey, message: &[u8], made: &Signature| is_equal(&key.public(), message, made);
    // With a component of small order in the nonce, too.
    let fitting = |key: &CraftedKey, nonce| {
        let nonces = (1..8).map(move |torsion| nonce_of(&plain.sign(b"", nonce, torsion)));
        first(key, |message| {
            let mut made = nonces.clone().map(|r| key.sign_with(message, nonce, &r, &key.public().0));
            made.find(|made| fits(key, message, made))
        })
    };
    let unfit = |torsion| {
        first(&mixed, |message| Some(mixed.sign(message, NONCE, torsion)).filter(|made| !fits(&mixed, message, made)))
    };
    let too_great = |times| first(&plain, |message| with_orders_added(&plain.sign(message, NONCE, 0), times));
    let hashed_as_zero = first(&mixed, |message| {
        let made = mixed.sign_with(message, 0, &zero, &mixed.public().0);
        fits(&mixed, message, &made).then(|| joined(&prime, made.0.last_chunk().unwrap()))
    });
    let hashed_as_prime = first(&mixed, |message| {
        Some(mixed.sign_with(message, 0, &prime, &mixed.public().0)).filter(|made| fits(&mixed, message, made))
    });
    let fitting_zero_key = first(&prime_key, |message| {
        zero_key.sign_fitting(message, NONCE).filter(|made| !fits(&prime_key, message, made))
    });

    let edge =
        |number, shown, [lenient, cofactor, strict]: [bool; 3]| Edge { number, shown, lenient, cofactor, strict };
    [
        // Of small order are both, the key, the nonce; of mixed order are both, and fit, which is valid even if one is strict.
        edge(0, fitting(&small, 0), [true, true, false]),
        edge(1, fitting(&small, NONCE), [true, true, false]),
        edge(2, fitting(&mixed, 0), [true, true, false]),
        edge(3, fitting(&mixed, NONCE), [true, true, true]),
        // Of mixed order are both, the key, and they do not fit.
        edge(4, unfit(1), [false, true, false]),
        edge(5, unfit(0), [false, true, false]),
        // The scalar is the order too great, or many times.
        edge(6, too_great(1), [false, false, false]),
        edge(7, too_great(ORDERS - 1), [false, false, false]),
        // The nonce is of small order and has a name that it should not have; what is hashed is that name, or its own.
        edge(8, hashed_as_prime, [true, true, false]),
        edge(9, hashed_as_zero, [false, false, false]),
        // So the key.
        edge(10, fitting(&prime_key, NONCE), [true, true, false]),
        edge(11, fitting_zero_key, [false, true, false]),
    ]
}

#[test]
fn of_the_twelve_edge_cases_only_mixed_orders_that_fit_are_valid() {
    for Edge { number, shown, lenient, cofactor, strict } in edges() {
        let Shown { key, message, signature } = &shown;
        assert_eq!(is_equal(key, message, signature), lenient, "case {number}");
        assert_eq!(is_equal_but_for_small_order(key, message, signature), cofactor, "case {number}");
        assert_eq!(shown.check_alone(), strict, "case {number}");
        shown.check_at(Party::Initiator);
        // A responder's key of mixed order has a test of its own.
        if !(4..=5).contains(&number) {
            shown.check_at(Party::Responder);
        }
    }
}

#[test]
fn no_signature_is_valid_under_a_key_of_small_order_all_bytes_zero_among_them() {
    let keys = encodings_of_small_order();
    assert!(keys.len() == 14 && keys.contains(&[0; 32]));
    for bytes in &keys {
        let key = CraftedKey::written(*bytes);
        let large = (0..8).map(|torsion| (NONCE, nonce_of(&CraftedKey::new(SECRET, 0).sign(b"", NONCE, torsion))));
        let nonces: Vec<_> = large.chain(keys.iter().map(|r| (0, *r))).collect();
        let mut forged = 0;
        for (message, (nonce, r)) in messages(8).flat_map(|message| nonces.iter().map(move |nonce| (message, *nonce))) {
            let forgery = shown(&key, &message, key.sign_with(&message, nonce, &r, bytes));
            forged += usize::from(is_equal(&forgery.key, &message, &forgery.signature));
            assert!(!forgery.check_everywhere(), "{forgery:?}");
        }
        assert!(forged >= 4, "lenient verifiers take such forgeries");
    }
}

#[test]
fn no_signature_with_a_nonce_of_small_order_is_valid() {
    // Its own component of small order lets the key fit every such nonce, by one message in eight.
    let key = CraftedKey::new(SECRET, 1);
    for r in encodings_of_small_order() {
        let made = messages(200).map(|message| shown(&key, &message, key.sign_with(&message, 0, &r, &key.public().0)));
        let equal: Vec<_> = made.filter(|made| is_equal(&made.key, &made.message, &made.signature)).take(4).collect();
        assert_eq!(equal.len(), 4, "lenient verifiers take such signatures");
        for made in equal {
            assert!(!made.check_everywhere(), "{made:?}");
        }
    }
}

#[test]
fn no_valid_signature_stays_valid_with_its_nonce_moved_by_a_point_of_small_order() {
    let key = CraftedKey::new(SECRET, 0);
    for message in messages(4) {
        let good = key.sign(&message, NONCE, 0);
        assert!(shown(&key, &message, good).check_everywhere());
        for moved in (1..8).map(|torsion| with_torsion_added(&good, torsion).unwrap()) {
            assert!(!shown(&key, &message, moved).check_everywhere());
        }
    }
}

#[test]
fn no_multiple_of_the_order_may_be_added_to_the_scalar() {
    let key = CraftedKey::new(SECRET, 0);
    for message in messages(4) {
        let good = key.sign(&message, NONCE, 0);
        assert!(shown(&key, &message, good).check_everywhere());
        let moved: Vec<_> = (1..=ORDERS).filter_map(|times| with_orders_added(&good, times)).collect();
        assert!(moved.len() >= usize::from(ORDERS) - 1);
        for signature in moved {
            assert!(!shown(&key, &message, signature).check_everywhere());
        }
    }
}

/// Both sign the same message, each with a component of small order in key and nonce or without.
fn both(keys: [&CraftedKey; 2], message: &[u8], torsions: [u8; 2]) -> BothShown {
    let [one, two] = keys;
    BothShown {
        keys: Pair::new(one.public(), two.public()),
        message: message.to_vec(),
        signatures: Pair::new(one.sign(message, NONCE, torsions[0]), two.sign(message, NONCE + 1, torsions[1])),
    }
}

#[test]
fn beside_a_good_signature_only_a_responders_key_of_mixed_order_is_not_answered_as_alone() {
    for key_torsion in 0..8 {
        let key = CraftedKey::new(SECRET, key_torsion);
        let mut valid = 0;
        for (message, torsion) in messages(8).flat_map(|message| (0..8).map(move |torsion| (message, torsion))) {
            let made = shown(&key, &message, key.sign(&message, NONCE, torsion));
            valid += usize::from(made.check_alone());
            made.check_at(Party::Initiator);
            if key_torsion == 0 {
                made.check_at(Party::Responder);
            }
        }
        assert!(valid > 0 && valid < 64, "{valid} are valid");
    }
}

#[test]
fn a_responder_whose_key_is_of_mixed_order_makes_signatures_that_pass_beside_a_good_one_and_fail_alone() {
    let key = CraftedKey::new(SECRET, 1);
    let mut passed = 0;
    for message in messages(64) {
        let made = shown(&key, &message, key.sign(&message, NONCE, 0));
        let together = made.beside_a_good_one(Party::Responder).check();
        passed += usize::from(together.is_ok() && !made.is_strictly_valid());
    }
    assert!(passed > 0 && passed < 64, "{passed} of 64 passed");
}

#[test]
fn what_every_pairing_of_small_orders_may_do_is_no_more_than_is_written() {
    let mut differ = 0;
    for (one, two) in (0..4).flat_map(|one| (0..4).map(move |two| (one, two))) {
        // Of order 1, 8, 4 and 2.
        let keys = [(SECRET, one), (OTHER_SECRET, two)].map(|(secret, at)| CraftedKey::new(secret, [0, 1, 2, 4][at]));
        for torsions in (0..8).flat_map(|one| [0, 1, 2, 4].map(|two| [one, two])) {
            let both = both(keys.each_ref(), b"every pairing", torsions);
            differ += usize::from(both.check() != both.one_by_one());
        }
    }
    assert!(differ > 0, "some pass together alone");
}

#[test]
fn defects_in_both_nonces_pass_together_only_where_they_are_of_one_order_and_always_where_that_is_two() {
    let keys = [CraftedKey::new(SECRET, 0), CraftedKey::new(OTHER_SECRET, 0)];
    let order = |torsion: u8| 8 >> torsion.trailing_zeros().min(3);
    for torsions in (1..8).flat_map(|one| (1..8).map(move |two| [one, two])) {
        let [one, two] = torsions.map(order);
        let count = messages(16).filter(|message| both(keys.each_ref(), message, torsions).check().is_ok()).count();
        match (one == two, one) {
            (false, _) => assert_eq!(count, 0, "{torsions:?}"),
            (true, 2) => assert_eq!(count, 16, "{torsions:?}"),
            (true, _) => assert!(count > 0 && count < 16, "{torsions:?}: {count} of 16 passed"),
        }
    }
}

#[test]
fn who_does_not_have_the_key_gains_nothing_by_small_orders_of_either() {
    // The initiator's signature is another's; the responder makes whatever it likes.
    let (honest, forger) = (CraftedKey::new(SECRET, 0), CraftedKey::new(OTHER_SECRET, 1));
    for message in messages(2) {
        for torsions in (0..8).flat_map(|one| (0..8).map(move |two| [one, two])) {
            let mut both = both([&forger, &forger], &message, torsions);
            both.keys.initiator = honest.public();
            assert_eq!(both.check(), Err(Party::Initiator));
        }
    }
}
