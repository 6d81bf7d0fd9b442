//! The vectors of `protocol/vectors/v1.json` hold for what peers say and for the states that they agree on (R3.6).

use channel::{FundingSigned, Message, Reestablish, Shutdown, State};
use protocol::{
    Base, Hash, Pair, Signature, StateCommitment, decode_exact,
    signing::{CloseMutualBody, DepositBody, SetDelegatesBody, StateBody, WithdrawBody},
};
use scale::{Decode, Encode};
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

/// What a message is made of a vector's body and signatures, as the bytes that follow its index.
type Said = (Message, Vec<u8>);

/// The message that brings a body to the peer, and its bytes put together by hand.
fn said(kind: &str, body: &[u8], signatures: Pair<Signature>) -> Option<Said> {
    fn read<T: Decode>(body: &[u8]) -> T {
        decode_exact(body).unwrap()
    }
    let signature = signatures.initiator;
    Some(match kind {
        "Create" => (Message::FundingSigned(FundingSigned { signature }), [&[4], &signature.0[..]].concat()),
        "Deposit" => (Message::DepositCreated(read::<DepositBody>(body)), [&[9], body].concat()),
        "Withdraw" => (Message::WithdrawCreated(read::<WithdrawBody>(body)), [&[13], body].concat()),
        "SetDelegates" => (Message::SetDelegatesCreated(read::<SetDelegatesBody>(body)), [&[24], body].concat()),
        "CloseMutual" => {
            let body_read = read::<CloseMutualBody>(body);
            (Message::Shutdown(Shutdown { body: body_read, signature }), [&[20], body, &signature.0[..]].concat())
        }
        _ => return None,
    })
}

#[test]
fn what_is_signed_goes_over_the_wire_as_the_vectors_have_it() {
    let vectors = vectors();
    let mut kinds = std::collections::BTreeSet::new();
    for vector in list(&vectors["signed"]) {
        let signature = |party: &str| Signature(array(&vector["signatures"][party]));
        let signatures = Pair::new(signature("initiator"), signature("responder"));
        let kind = vector["kind"].as_str().unwrap();
        if let Some((message, expected)) = said(kind, &bytes(&vector["body"]), signatures) {
            assert_eq!(message.encode(), expected, "{kind}");
            assert_eq!(decode_exact::<Message>(&expected).unwrap(), message);
            let _new = kinds.insert(kind);
        }
    }
    assert_eq!(kinds.len(), 5, "{kinds:?}");
}

#[test]
fn a_state_of_two_balances_commits_to_what_the_vectors_have() {
    let vectors = vectors();
    let mut plain = 0;
    for vector in list(&vectors["states"]) {
        let commitment: StateCommitment = decode_exact(&bytes(&vector["commitment"])).unwrap();
        let state = State::committed(commitment);
        assert_eq!((state.hash(), state.commitment()), (Hash(array(&vector["hash"])), commitment));
        if commitment.contracts_root == Hash::ZERO && commitment.calls_root == Hash::ZERO {
            assert_eq!(State::of(commitment.balances).commitment().encode(), bytes(&vector["commitment"]));
            plain += 1;
        }
    }
    assert!(plain > 0);
}

#[test]
fn peers_show_each_other_the_states_that_the_vectors_sign() {
    let vectors = vectors();
    let signed = list(&vectors["signed"]).iter().find(|vector| vector["kind"] == "State").unwrap();
    let body: StateBody = decode_exact(&bytes(&signed["body"])).unwrap();
    let has_hash = |state: &&Value| Hash(array(&state["hash"])) == body.state_hash;
    let state = bytes(&list(&vectors["states"]).iter().find(has_hash).unwrap()["commitment"]);
    let [initiator, responder] = ["initiator", "responder"].map(|party| bytes(&signed["signatures"][party]));
    let at = Base::of(body.round).encode();
    let expected = [&[30], &at[..], &body.base.encode(), &state, &[1], &initiator, &responder].concat();
    let Message::Reestablish(Reestablish { at, base, state, signatures }) = decode_exact(&expected).unwrap() else {
        panic!("30 is reestablish")
    };
    assert_eq!((at, base, state.hash(&protocol::crypto::Native)), (Base::of(body.round), body.base, body.state_hash));
    assert_eq!(signatures.map(|both| both.encode()), Some([initiator, responder].concat()));
}
