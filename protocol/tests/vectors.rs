//! The committed test vectors are what this code makes (R3.6). After a change that is meant to change bytes, and that has its
//! own version and page in SPEC.md: `UPDATE_VECTORS=1 cargo test -p protocol --test vectors`.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs, unreachable_pub)]

#[path = "support/vectors.rs"]
mod generator;

use protocol::{
    ChannelId, Hash, Pair, PublicKey, Signature, StateCommitment,
    call::Call,
    crypto::{Crypto, Native, SigningKey},
    decode_exact,
    record::Record,
    signing::{
        CloseMutualBody, CoSigned, CreateBody, DepositBody, Domain, SetDelegatesBody, Signed, StateBody, WithdrawBody,
    },
    terms::Terms,
};
use scale::Decode;
use serde_json::Value;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/v1.json");

fn committed() -> Value {
    let text = std::fs::read_to_string(PATH).unwrap_or_else(|error| panic!("cannot read {PATH}: {error}"));
    serde_json::from_str(&text).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn both<T>(value: &Value, read: impl Fn(&Value) -> T) -> Pair<T> {
    Pair::new(read(&value["initiator"]), read(&value["responder"]))
}

#[test]
fn the_committed_vectors_are_what_this_code_makes() {
    let made = generator::generate();
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(PATH, format!("{made:#}\n")).unwrap();
    }
    let committed = committed();
    for (name, part) in made.as_object().unwrap() {
        assert_eq!(&committed[name], part, "`{name}` is made otherwise than it is committed");
    }
    assert_eq!(committed, made);
}

#[test]
fn the_keys_are_those_of_their_seeds() {
    for (_, party) in both(&committed()["parties"], Clone::clone).iter() {
        assert_eq!(SigningKey::from_seed(&array(&party["seed"])).public(), PublicKey(array(&party["key"])));
    }
}

#[test]
fn the_channel_id_is_the_hash_of_its_parts() {
    let vectors = committed();
    let nonce = vectors["channel"]["pair_nonce"].as_u64().unwrap();
    let parts = [
        bytes(&vectors["tag"]),
        vec![1, 0],
        bytes(&vectors["domain"]["genesis"]),
        bytes(&vectors["domain"]["arbiter"]),
        bytes(&vectors["parties"]["initiator"]["account"]),
        bytes(&vectors["parties"]["responder"]["account"]),
        nonce.to_le_bytes().to_vec(),
    ];
    assert_eq!(Native.hash(&parts.concat()).0, array(&vectors["channel"]["id"]));
}

#[test]
fn the_state_hashes_are_those_of_their_commitments() {
    for state in committed()["states"].as_array().unwrap() {
        let commitment: StateCommitment = decode_exact(&bytes(&state["commitment"])).unwrap();
        assert_eq!(commitment.hash(&Native), Hash(array(&state["hash"])));
        let balances = [commitment.balances.initiator, commitment.balances.responder].map(|amount| amount.to_string());
        assert_eq!(state["balances"], serde_json::json!(balances));
        assert_eq!(commitment.contracts_root, Hash(array(&state["contracts_root"])));
        assert_eq!(commitment.calls_root, Hash(array(&state["calls_root"])));
    }
}

/// Checks a vector's signatures as the arbiter would, from nothing but what is in the file.
fn check<T: Signed + Decode>(vectors: &Value, vector: &Value) {
    let domain: Domain = decode_exact(&bytes(&vectors["domain_encoded"])).unwrap();
    let channel = ChannelId(array(&vectors["channel"]["id"]));
    let keys = both(&vectors["parties"], |party| PublicKey(array(&party["key"])));
    let signatures = both(&vector["signatures"], |signature| Signature(array(signature)));
    let body: T = decode_exact(&bytes(&vector["body"])).unwrap();
    let signed = CoSigned::check(&domain, &channel, &keys, body, signatures, &Native).unwrap();
    assert_eq!(signed.body().encode(), bytes(&vector["body"]));

    let parts = [
        bytes(&vectors["tag"]),
        vec![1, 0],
        bytes(&vectors["domain"]["genesis"]),
        bytes(&vectors["domain"]["arbiter"]),
        bytes(&vectors["channel"]["id"]),
        vec![u8::try_from(vector["kind_index"].as_u64().unwrap()).unwrap()],
        bytes(&vector["body"]),
    ];
    assert_eq!(
        parts.concat(),
        bytes(&vector["signed_bytes"]),
        "tag | version | genesis | arbiter | channel | kind | body"
    );
    for (party, signature) in signatures.iter() {
        assert!(Native.verify(&keys[party], &bytes(&vector["signed_bytes"]), signature));
    }
}

#[test]
fn every_kind_is_there_and_its_signatures_are_valid() {
    let vectors = committed();
    let mut kinds = std::collections::BTreeSet::new();
    for vector in vectors["signed"].as_array().unwrap() {
        let kind = vector["kind"].as_str().unwrap();
        match kind {
            "Create" => check::<CreateBody>(&vectors, vector),
            "State" => check::<StateBody>(&vectors, vector),
            "Deposit" => check::<DepositBody>(&vectors, vector),
            "Withdraw" => check::<WithdrawBody>(&vectors, vector),
            "CloseMutual" => check::<CloseMutualBody>(&vectors, vector),
            "SetDelegates" => check::<SetDelegatesBody>(&vectors, vector),
            other => panic!("an unknown kind: {other}"),
        }
        let _new = kinds.insert(kind);
    }
    assert_eq!(kinds.len(), 6, "{kinds:?}");
}

#[test]
fn the_story_has_every_message_and_its_records_decode() {
    let vectors = committed();
    let mut messages = std::collections::BTreeSet::new();
    for step in vectors["story"].as_array().unwrap() {
        let message = step["message"].as_str().unwrap();
        assert_eq!(bytes(&step["data"])[..4], generator::selector(message));
        if !step["record"].is_null() {
            let record: Record = decode_exact(&bytes(&step["record"])).unwrap();
            let Terms { lock_period, .. } = record.terms;
            assert_eq!(lock_period, 20);
        }
        let _new = messages.insert(message);
    }
    assert!(Call::NAMES.iter().all(|name| messages.contains(name)), "{messages:?}");
}
