//! A contract written by hand. The first byte of a call's input says what it does with the rest.

use crate::send;
use chain::Transaction;
use devchain::{DevAccount, DevChain};
use protocol::AccountId;

const WAT: &str = r#"
(module
  (import "env" "memory" (memory 1 1))
  (import "seal0" "input" (func $input (param i32 i32)))
  (import "seal2" "set_storage" (func $set_storage (param i32 i32 i32 i32) (result i32)))
  (import "seal1" "clear_storage" (func $clear_storage (param i32 i32) (result i32)))
  (import "seal0" "deposit_event" (func $deposit_event (param i32 i32 i32 i32)))
  (import "seal0" "block_number" (func $block_number (param i32 i32)))
  (import "seal0" "now" (func $now (param i32 i32)))
  (import "seal0" "seal_return" (func $return (param i32 i32 i32)))

  (data (i32.const 0) "\00\10\00\00")    ;; in: room for the input; out: its length
  (data (i32.const 8192) "entry")        ;; the storage key
  (data (i32.const 8256) "\04\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07")

  (func $operation (result i32)
    (call $input (i32.const 4) (i32.const 0))
    (if (i32.eqz (i32.load (i32.const 0))) (then (return (i32.const 255))))
    (i32.load8_u (i32.const 4)))
  (func $rest (result i32) (i32.sub (i32.load (i32.const 0)) (i32.const 1)))

  (func (export "deploy")
    (if (i32.eq (call $operation) (i32.const 2)) (then (call $return (i32.const 1) (i32.const 5) (call $rest)))))

  (func (export "call") (local $operation i32)
    (local.set $operation (call $operation))
    (if (i32.eq (local.get $operation) (i32.const 0)) (then
      (drop (call $set_storage (i32.const 8192) (i32.const 5) (i32.const 5) (call $rest)))
      (call $deposit_event (i32.const 8256) (i32.const 33) (i32.const 5) (call $rest))
      (call $return (i32.const 0) (i32.const 5) (call $rest))))
    (if (i32.eq (local.get $operation) (i32.const 1)) (then
      (drop (call $clear_storage (i32.const 8192) (i32.const 5)))))
    (if (i32.eq (local.get $operation) (i32.const 2)) (then
      (drop (call $set_storage (i32.const 8192) (i32.const 5) (i32.const 5) (call $rest)))
      (call $deposit_event (i32.const 8256) (i32.const 33) (i32.const 5) (call $rest))
      (call $return (i32.const 1) (i32.const 5) (call $rest))))
    (if (i32.eq (local.get $operation) (i32.const 3)) (then unreachable))
    (if (i32.eq (local.get $operation) (i32.const 4)) (then
      (i32.store (i32.const 0) (i32.const 4))
      (call $block_number (i32.const 1024) (i32.const 0))
      (i32.store (i32.const 0) (i32.const 8))
      (call $now (i32.const 1028) (i32.const 0))
      (call $deposit_event (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const 12))
      (call $return (i32.const 0) (i32.const 1024) (i32.const 12))))
    (if (i32.eq (local.get $operation) (i32.const 5)) (then (loop $forever (br $forever))))))
"#;

/// The topic of its events.
pub(crate) const TOPIC: [u8; 32] = [7; 32];

pub(crate) fn instantiate(salt: &[u8]) -> Transaction {
    Transaction::Instantiate { code: wat::parse_str(WAT).unwrap(), value: 0, data: Vec::new(), salt: salt.to_vec() }
}

/// An instance whose constructor says no.
pub(crate) fn instantiate_reverting() -> Transaction {
    let code = wat::parse_str(WAT).unwrap();
    Transaction::Instantiate { code, value: 0, data: b"\x02no".to_vec(), salt: Vec::new() }
}

pub(crate) async fn deploy(chain: &DevChain) -> AccountId {
    send(chain, &DevAccount::Alice.signer(), instantiate(b"")).await.unwrap().instantiated.unwrap()
}

fn call(contract: AccountId, operation: u8, rest: &[u8]) -> Transaction {
    Transaction::Call { contract, value: 0, data: [&[operation][..], rest].concat() }
}

/// Stores, emits and returns `bytes`.
pub(crate) fn store(contract: AccountId, bytes: &[u8]) -> Transaction {
    call(contract, 0, bytes)
}

/// Removes what was stored.
pub(crate) fn clear(contract: AccountId) -> Transaction {
    call(contract, 1, b"")
}

/// Stores and emits `bytes`, then undoes everything and returns them.
pub(crate) fn revert(contract: AccountId, bytes: &[u8]) -> Transaction {
    call(contract, 2, bytes)
}

pub(crate) fn trap(contract: AccountId) -> Transaction {
    call(contract, 3, b"")
}

/// Emits and returns the block's number and time, as 4 and 8 bytes.
pub(crate) fn time(contract: AccountId) -> Transaction {
    call(contract, 4, b"")
}

pub(crate) fn spin(contract: AccountId) -> Transaction {
    call(contract, 5, b"")
}
