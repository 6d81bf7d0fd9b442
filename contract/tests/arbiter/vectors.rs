//! The committed test vectors (R3.6), replayed byte for byte on the real contract.
//!
//! Signatures are bound to the arbiter's address, and an address follows from the contract's code: it would change with every build.
//! So the vectors' arbiter stands where a *landing pad* was: a few instructions, for ever the same, that are told once which code and
//! which storage to become.

use crate::harness::*;
use devchain::{DevAccount, DevChain};
use protocol::{AccountId, Amount, BlockNumber, ChannelId, call::Call, record::Record};
use sdk::chain::{Arbiter, Chain, Receipt, Transaction, arbiter::selector};
use serde_json::Value;
use std::sync::Arc;

/// ```wat
/// (module
///   (import "seal0" "input" (func $input (param i32 i32)))
///   (import "seal0" "set_code_hash" (func $set_code_hash (param i32) (result i32)))
///   (import "seal2" "set_storage" (func $set_storage (param i32 i32 i32 i32) (result i32)))
///   (import "env" "memory" (memory 1 1))
///   (func (export "deploy"))
///   (func (export "call") ;; code hash, then the value of ink!'s root cell, whose key is four zero bytes
///     (i32.store (i32.const 1024) (i32.const 1000))
///     (call $input (i32.const 0) (i32.const 1024))
///     (drop (call $set_storage (i32.const 2048) (i32.const 4)
///       (i32.const 32) (i32.sub (i32.load (i32.const 1024)) (i32.const 32))))
///     (if (call $set_code_hash (i32.const 0)) (then unreachable))))
/// ```
const LANDING_PAD: &str = "0061736d0100000001160460000060027f7f0060017f017f60047f7f7f7f017f024804057365616c3005696e70757400010573\
    65616c300d7365745f636f64655f686173680002057365616c320b7365745f73746f72616765000303656e76066d656d6f7279020101010303020000\
    071102066465706c6f7900030463616c6c00040a32020300010b2c0041800841e8073602004100418008100041801041044120418008280200412\
    06b10021a4100100104400b0b";

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/vectors/v1.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

fn amount(value: &Value) -> Amount {
    value.as_str().unwrap().parse().unwrap()
}

fn dev(account: AccountId) -> DevAccount {
    DevAccount::ALL.into_iter().find(|dev| dev.id() == account).expect("the vectors' accounts are development accounts")
}

async fn send(chain: &DevChain, who: DevAccount, transaction: Transaction) -> Receipt {
    let dry_run = chain.dry_run(&who.id(), &transaction).await.unwrap();
    assert!(!dry_run.reverted, "{:?}", dry_run.returned);
    chain.submit(&who.signer(), transaction, &dry_run).await.unwrap()
}

/// A chain on which the arbiter has the vectors' domain and limits.
async fn arbiter_of(vectors: &Value) -> (DevChain, AccountId) {
    let chain = DevChain::new().unwrap();
    let ferdie = DevAccount::Ferdie;
    let shared = Arc::new(chain.clone());
    let (somewhere, _receipt) = Arbiter::deploy(shared, &ferdie.signer(), wasm(), LIMITS, Vec::new()).await.unwrap();

    let code = hex::decode(LANDING_PAD).unwrap();
    let pad = Transaction::Instantiate { code, value: 0, data: Vec::new(), salt: Vec::new() };
    let address = send(&chain, ferdie, pad).await.instantiated.unwrap();
    assert_eq!(
        address,
        AccountId(array(&vectors["domain"]["arbiter"])),
        "the vectors' arbiter is the landing pad's address"
    );
    let root = [bytes(&vectors["domain"]["genesis"]), bytes(&vectors["limits_encoded"])].concat();
    let data = [&somewhere.info().code_hash.0[..], &root].concat();
    let _receipt = send(&chain, ferdie, Transaction::Call { contract: address, value: 0, data }).await;
    assert_eq!(chain.code_hash(&address).await.unwrap(), Some(somewhere.info().code_hash));
    (chain, address)
}

/// What a read answers, without the two bytes that say that it did.
async fn read(chain: &DevChain, arbiter: AccountId, name: &str, arguments: &[u8]) -> Vec<u8> {
    let data = [&selector(name)[..], arguments].concat();
    let transaction = Transaction::Call { contract: arbiter, value: 0, data };
    let dry_run = chain.dry_run(&arbiter, &transaction).await.unwrap();
    let (ok, answer) = dry_run.returned.split_first().unwrap();
    assert_eq!(*ok, 0);
    answer.to_vec()
}

#[tokio::test]
async fn the_contract_plays_the_vectors_story_byte_for_byte() {
    let vectors = vectors();
    let (chain, arbiter) = arbiter_of(&vectors).await;
    assert_eq!(read(&chain, arbiter, "domain", &[]).await, bytes(&vectors["domain_encoded"]));
    assert_eq!(read(&chain, arbiter, "limits", &[]).await, bytes(&vectors["limits_encoded"]));
    let channel = ChannelId(array(&vectors["channel"]["id"]));

    for step in vectors["story"].as_array().unwrap() {
        let message = step["message"].as_str().unwrap();
        let block = BlockNumber::try_from(step["block"].as_u64().unwrap()).unwrap();
        let _head = chain.produce_blocks(block - 1 - chain.block_number()).await.unwrap();
        let (caller, attached) = (dev(AccountId(array(&step["caller"]))), amount(&step["attached"]));
        let before = chain.free_balance(&arbiter).await.unwrap();
        let transaction = Transaction::Call { contract: arbiter, value: attached, data: bytes(&step["data"]) };
        if message == "channel_create" {
            let dry_run = chain.dry_run(&caller.id(), &transaction).await.unwrap();
            assert_eq!(dry_run.returned, [&[0, 0], &channel.0[..]].concat(), "the id is the one that was signed for");
        }
        let receipt = send(&chain, caller, transaction).await;
        assert_eq!(receipt.block.number, block);

        let events: Vec<_> = receipt.events.iter().map(|event| event.data.clone()).collect();
        let expected: Vec<_> = step["events"].as_array().unwrap().iter().map(bytes).collect();
        assert_eq!(events, expected, "the events of {message}");
        let paid_out: Amount = step["paid_out"].as_array().unwrap().iter().map(|paid| amount(&paid["amount"])).sum();
        assert_eq!(chain.free_balance(&arbiter).await.unwrap(), before + attached - paid_out);
        let record = match &step["record"] {
            Value::Null => vec![0],
            record => [vec![1], bytes(record)].concat(),
        };
        assert_eq!(read(&chain, arbiter, "channel", &channel.0).await, record, "the record after {message}");
        for (owner, balance) in step["vaults"].as_object().unwrap() {
            let vault = read(&chain, arbiter, "vault_balance", &hex::decode(owner).unwrap()).await;
            assert_eq!(vault, amount(balance).to_le_bytes(), "a vault after {message}");
        }
        for wanted in step["reads"].as_array().unwrap() {
            let name = wanted["message"].as_str().unwrap();
            let answer = read(&chain, arbiter, name, &bytes(&wanted["data"])[4..]).await;
            assert_eq!(answer, bytes(&wanted["answer"]), "{name} after {message}");
        }
    }
}

#[test]
fn the_contracts_metadata_has_every_message_with_its_selector_and_arguments_as_in_the_vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/contract/contract.json");
    let metadata: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap_or_else(|error| {
        panic!("cannot read the arbiter's metadata at {path} ({error}): build it with `cargo xtask contract`")
    }))
    .unwrap();
    let messages = metadata["spec"]["messages"].as_array().unwrap();
    let own = |ty: &Value| ty["type"]["path"].as_array().is_some_and(|path| path.contains(&Value::from("Exact")));
    assert!(!metadata["types"].as_array().unwrap().iter().any(own), "arguments are of the types that protocol names");
    for step in vectors()["story"].as_array().unwrap() {
        let (name, data) = (step["message"].as_str().unwrap(), bytes(&step["data"]));
        let message = messages.iter().find(|message| message["label"] == name).expect("every message has metadata");
        assert_eq!(message["selector"], format!("0x{}", hex::encode(&data[..4])));
        assert_eq!(message["mutates"], true);
        assert!(amount(&step["attached"]) == 0 || message["payable"] == true, "{name} takes coins");
        let arguments = message["args"].as_array().unwrap().len();
        let two = ["vault_withdraw", "preimage_register", "preimages_register"];
        assert_eq!(arguments, if two.contains(&name) { 2 } else { 1 }, "{name}");
    }
    assert!(Call::NAMES.iter().all(|name| messages.iter().any(|message| message["label"] == *name)));
}

#[test]
fn a_record_of_the_vectors_still_decodes() {
    for step in vectors()["story"].as_array().unwrap() {
        if step["record"] != Value::Null {
            let record: Record = protocol::decode_exact(&bytes(&step["record"])).unwrap();
            assert_eq!(scale::Encode::encode(&record), bytes(&step["record"]));
        }
    }
}
