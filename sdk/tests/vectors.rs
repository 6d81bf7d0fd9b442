//! The vectors of `protocol/vectors/v1.json` hold for what nodes sign and for what they read off the chain (R3.6).
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "tests: a panic is a failure, and a failure is what they look for"
)]

use scale::{Decode, Encode};
use sdk::{
    chain::arbiter::{ChannelEvent, PreimageShown, VaultUsed, selector},
    keys::Identity,
    protocol::{PublicKey, Signature, decode_exact},
};
use serde_json::Value;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/vectors/v1.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

#[test]
fn a_nodes_identity_signs_as_the_vectors_have_it() {
    let vectors = vectors();
    for party in ["initiator", "responder"] {
        let identity = Identity::from_seed(&array(&vectors["parties"][party]["seed"]));
        assert_eq!(identity.public(), PublicKey(array(&vectors["parties"][party]["key"])));
        for vector in list(&vectors["signed"]) {
            let signature = identity.signing().sign(&bytes(&vector["signed_bytes"]));
            assert_eq!(signature, Signature(array(&vector["signatures"][party])), "{}", vector["kind"]);
        }
    }
}

#[test]
fn a_node_names_the_arbiters_messages_as_the_vectors_have_them() {
    for step in list(&vectors()["story"]) {
        assert_eq!(selector(step["message"].as_str().unwrap()), bytes(&step["data"])[..4], "{}", step["message"]);
    }
}

/// Whether bytes are an event of a kind, and nothing else.
fn is<T: Decode + Encode>(event: &[u8]) -> bool {
    decode_exact::<T>(event).is_ok_and(|read| read.encode() == event)
}

#[test]
fn a_node_reads_the_arbiters_events_as_the_vectors_have_them() {
    let mut kinds = [0; 3];
    for step in list(&vectors()["story"]) {
        let message = step["message"].as_str().unwrap();
        for event in list(&step["events"]).iter().map(bytes) {
            if message.starts_with("vault") {
                assert!(is::<VaultUsed>(&event), "{message}");
                kinds[0] += 1;
            } else if message.starts_with("preimage") {
                assert!(is::<PreimageShown>(&event), "{message}");
                kinds[1] += 1;
            } else {
                // A forced step shows pre-images too, each before what it did.
                assert!(is::<ChannelEvent>(&event) || is::<PreimageShown>(&event), "{message}");
                kinds[2] += 1;
            }
        }
    }
    assert!(kinds.iter().all(|&count| count > 0), "{kinds:?}");
}
