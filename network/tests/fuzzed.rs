//! Bytes that anybody may send (case T19b): at random, and what was right with something changed in it.

use crate::decoders::{READERS, read};
use network::{Announcement, Asset, AssetKind, Delivery, Fee, Forward, HubTerms, Instruction, Invoice, RouteFailure};
use proptest::{collection::vec, prelude::*, test_runner::RngSeed};
use protocol::{
    contracts::conditional::{HashFunction, Preimage},
    crypto::{Native, SigningKey},
};
use scale::Encode;

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let rng_seed = if default.rng_seed == RngSeed::Random { RngSeed::Fixed(11) } else { default.rng_seed };
    ProptestConfig { rng_seed, failure_persistence: None, cases: 2_000, ..default }
}

/// Something right for each of the readers, and which of them it is for.
fn right() -> Vec<(u8, Vec<u8>)> {
    let key = SigningKey::from_seed(&[9; 32]);
    let chain = crate::harness::CHAIN;
    let lock = Preimage([1; 32]).lock(HashFunction::Sha2_256, &Native);
    let next = SigningKey::from_seed(&[1; 32]).public();
    let forward = Forward { next, chain: Some(chain), amount: 900, expiry: 900, inner: vec![5; 40] };
    let instruction = Instruction::Forward(forward).to_bytes().unwrap();
    let failure = RouteFailure { code: network::FailureCode::Fee, inner: vec![7; 30] };
    let delivery = Delivery { secret: [1; 32], total: 5, preimage: Some(Preimage([2; 32])), note: b"words".to_vec() };
    let fee = Fee { base: 1, parts_per_million: 2 };
    let terms =
        HubTerms { fee, slot_fee: 3, delta: 4, least_expiry: 5, min_amount: 6, max_amount: 7, pledge_delta: Some(8) };
    let announcement =
        Announcement { hub: key.public(), chain, sequence: 8, valid_until: 9, terms, serves: vec![next; 3] };
    let invoice = Invoice {
        payee: key.public(),
        asset: Asset { registry: chain, kind: AssetKind::Native },
        amount: Some(5),
        lock,
        secret: [3; 32],
        least_expiry: 20,
        description: "a word".into(),
        expires_at: 100,
        hubs: vec![next],
    };
    vec![
        (0, instruction.clone()),
        (1, failure.to_reason().0),
        (2, delivery.encode()),
        (3, announcement.encode()),
        (3, announcement.sign(&key).unwrap()),
        (4, invoice.encode()),
        (4, invoice.sign(&key).unwrap().into_bytes()),
        (6, instruction),
        (6, announcement.sign(&key).unwrap()),
    ]
}

fn look(reader: u8, bytes: &[u8]) {
    read(&[&[reader], bytes].concat());
}

#[test]
fn what_is_right_is_read_cut_at_each_byte_and_changed_in_each() {
    for (reader, bytes) in right() {
        for reader in [reader, 6] {
            look(reader, &bytes);
            for place in 0..bytes.len() {
                look(reader, &bytes[..place]);
                for change in [1, 2, 64, 128, 255] {
                    let mut changed = bytes.clone();
                    changed[place] ^= change;
                    look(reader, &changed);
                }
            }
            look(reader, &[&bytes[..], &[0]].concat());
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_are_read_or_given_back(reader in 0..READERS, bytes in vec(any::<u8>(), 0..300)) {
        look(reader, &bytes);
    }

    #[test]
    fn any_change_of_what_is_right_is_read_or_given_back(
        which in 0_usize..9,
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (reader, mut bytes) = right().swap_remove(which);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        look(reader, &bytes);
    }
}
