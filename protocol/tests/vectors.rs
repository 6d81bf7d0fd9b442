//! The committed test vectors are what this code makes (R3.6). After a change that is meant to change bytes, and that has its
//! own version and page in SPEC.md: `UPDATE_VECTORS=1 cargo test -p ink-state-channels-protocol --test vectors`.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs, unreachable_pub)]

#[path = "support/vectors.rs"]
mod generator;

use protocol::{
    AccountId, ChannelId, Hash, Pair, PublicKey, Signature, StateCommitment,
    call::{Call, ForceProgress, ForcedCall, ShownContract},
    contracts::{
        AppContext, AppReply, Contract, ContractEntry,
        conditional::{HashFunction, HashLock, Preimage},
    },
    crypto::{Crypto, Native, SigningKey},
    decode_exact,
    record::Record,
    signing::{
        CloseMutualBody, CoSigned, CreateBody, DepositBody, Domain, SetDelegatesBody, Signed, StateBody, WithdrawBody,
    },
    terms::Terms,
    tree::{Proof, Tree, TreeChange},
};
use scale::{Decode, Encode};
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
        bytes(&vectors["parties"]["initiator"]["key"]),
        bytes(&vectors["parties"]["responder"]["account"]),
        bytes(&vectors["parties"]["responder"]["key"]),
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

#[test]
fn the_locks_are_the_hashes_of_their_pre_images() {
    for lock in committed()["locks"].as_array().unwrap() {
        let encoded: HashLock = decode_exact(&bytes(&lock["encoded"])).unwrap();
        let preimage = Preimage(array(&lock["preimage"]));
        let digest = match encoded.function {
            HashFunction::Blake2b256 => Native.hash(&preimage.0),
            HashFunction::Sha2_256 => Native.sha2_256(&preimage.0),
        };
        assert_eq!((digest, digest), (encoded.digest, Hash(array(&lock["digest"]))));
        assert_eq!(lock["function"], encoded.function.encode()[0]);
    }
}

/// A leaf's value: the hash of code, balance, the state's hash and owner (R4.2).
fn entry_of(contract: &Contract) -> Vec<u8> {
    let state_hash = Native.hash(&contract.state);
    [contract.code.encode(), contract.balance.encode(), state_hash.encode(), contract.owner.encode()].concat()
}

#[test]
fn the_entries_are_those_of_their_contracts() {
    for vector in committed()["contracts"].as_array().unwrap() {
        let contract: Contract = decode_exact(&bytes(&vector["contract"])).unwrap();
        let entry: ContractEntry = decode_exact(&bytes(&vector["entry"])).unwrap();
        assert_eq!(entry, contract.entry(&Native));
        assert_eq!(bytes(&vector["entry"]), entry_of(&contract));
        assert_eq!(Native.hash(&entry_of(&contract)), Hash(array(&vector["entry_hash"])));
    }
}

#[test]
fn each_proof_gives_the_roots_before_and_after_its_changes() {
    let hash = |value: &Value| (!value.is_null()).then(|| Hash(array(value)));
    for vector in committed()["proofs"].as_array().unwrap() {
        let leaves = vector["leaves"].as_array().unwrap().iter();
        let mut tree: Tree = leaves.map(|leaf| (Hash(array(&leaf[0])), Hash(array(&leaf[1])))).collect();
        assert_eq!(tree.root(), Hash(array(&vector["root_before"])));
        let changes = vector["changes"].as_array().unwrap().iter().map(|change| TreeChange {
            key: Hash(array(&change["key"])),
            before: hash(&change["before"]),
            after: hash(&change["after"]),
        });
        let changes: Vec<_> = changes.collect();
        let proof: Proof = decode_exact(&bytes(&vector["proof"])).unwrap();
        let roots = proof.apply(&changes, &Native).unwrap();
        assert_eq!(roots.before, tree.root());
        for TreeChange { key, after, .. } in changes {
            let _before = tree.set(key, after);
        }
        assert_eq!((roots.after, tree.root()), (Hash(array(&vector["root_after"])), tree.root()), "{}", vector["what"]);
    }
}

#[test]
fn each_forced_step_goes_from_one_state_to_the_next_by_its_proof() {
    let vectors = committed();
    let forced = vectors["forced"].as_array().unwrap();
    assert_eq!(forced.len(), 2);
    for vector in forced {
        let step: ForceProgress = decode_exact(&bytes(&vector["encoded"])).unwrap();
        let decode = |name: &str| -> StateCommitment { decode_exact(&bytes(&vector[name])).unwrap() };
        let (before, after) = (decode("commitment_before"), decode("commitment_after"));
        assert_eq!((step.channel.0, step.commitment), (array(&vectors["channel"]["id"]), before));
        assert_eq!(step.state_hash, Some(Hash(array(&vector["state_hash"]))));
        assert_eq!(after.hash(&Native), Hash(array(&vector["state_hash"])));
        let shown = vector["contracts"].as_array().unwrap().iter().map(|shown| decode_exact(&bytes(shown)).unwrap());
        assert_eq!(step.contracts, shown.collect::<Vec<ShownContract>>());
        let calls = vector["calls"].as_array().unwrap().iter().map(|call| decode_exact(&bytes(call)).unwrap());
        assert_eq!(step.calls, calls.collect::<Vec<ForcedCall>>());
        // Each ends the contract that it calls.
        let [ShownContract { id, contract, .. }] = &step.contracts[..] else { panic!("one contract is shown") };
        let removal = [TreeChange { key: id.key(), before: Some(Native.hash(&entry_of(contract))), after: None }];
        let roots = step.proof.apply(&removal, &Native).unwrap();
        assert_eq!((roots.before, roots.after), (before.contracts_root, after.contracts_root));
        let state = vectors["states"].as_array().unwrap().iter().find(|state| state["round"] == vector["round"]);
        assert_eq!(state.unwrap()["hash"], vector["state_hash"]);
    }
}

#[test]
fn an_apps_call_and_its_answers_decode() {
    let call = &committed()["app_call"];
    let data = bytes(&call["data"]);
    assert_eq!(&data[..4], b"CALL");
    let arguments: (AppContext, Vec<u8>, Vec<u8>) = decode_exact(&data[4..]).unwrap();
    assert_eq!(arguments.0.encode(), bytes(&call["context"]));
    assert_eq!((&arguments.1[..], &arguments.2[..]), (&b"state"[..], &b"input"[..]));
    let requiring = ["answer that requires a pre-image", "answer that requires silence"].map(|answer| (answer, true));
    for (answer, accepted) in [("answer", true), ("refusal", false)].into_iter().chain(requiring) {
        let answer = bytes(&call[answer]);
        let reply: AppReply = decode_exact(&answer[1..]).unwrap();
        assert_eq!((answer[0], reply.is_ok()), (0, accepted));
    }
}

#[test]
fn the_storys_reads_are_of_messages_that_there_are() {
    let vectors = committed();
    let steps = vectors["story"].as_array().unwrap().iter();
    let reads: Vec<_> = steps.flat_map(|step| step["reads"].as_array().unwrap()).collect();
    for read in &reads {
        assert_eq!(bytes(&read["data"])[..4], generator::selector(read["message"].as_str().unwrap()));
    }
    assert_eq!(reads.len(), 3);
    let callers = vectors["story"].as_array().unwrap().iter().map(|step| AccountId(array(&step["caller"])));
    assert_eq!(callers.collect::<std::collections::BTreeSet<_>>().len(), 3);
}
