//! Everything that may be handed to a peer as an app, and everything that an app may do when it runs.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

mod built;
mod cache;
mod faults;
mod fuel;
mod library;
mod probe;
mod refusals;

use interpreter::Interpreter;
use protocol::{
    ChannelId, Hash, Party,
    contracts::{AppContext, AppOutcome, AppReply, Apps, CallFault, ContractId},
    terms::CallWeight,
};
use scale::Encode;

const CONTEXT: AppContext = AppContext {
    channel: ChannelId([1; 32]),
    contract: ContractId([2; 32]),
    round: 7,
    caller: Party::Responder,
    value: 5,
    balance: 50,
    height: 9,
};

type Answer = Result<AppReply, CallFault>;

fn interpreter() -> Interpreter {
    Interpreter::new(CallWeight::STANDARD)
}

/// A module that imports what an app may, with these fields besides.
fn module(fields: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module
            (import "seal0" "input" (func $input (param i32 i32)))
            (import "seal0" "seal_return" (func $return (param i32 i32 i32)))
            (import "seal0" "value_transferred" (func $value (param i32 i32)))
            (import "env" "memory" (memory 2 16))
            {fields})"#
    ))
    .unwrap()
}

/// An app whose `call` is these instructions.
fn app(instructions: &str) -> Vec<u8> {
    module(&format!(
        r#"(func (export "deploy")) (func (export "call") (local $n i32) (local $wide i64) {instructions})"#
    ))
}

/// An app that returns these bytes, with these flags.
fn answering(flags: i32, bytes: &[u8]) -> Vec<u8> {
    let text: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let data = format!(r#"(data (i32.const 0) "{text}")"#);
    let body = format!("(call $return (i32.const {flags}) (i32.const 0) (i32.const {}))", bytes.len());
    module(&format!(r#"(func (export "deploy")) (func (export "call") {body}) {data}"#))
}

/// As ink! wraps an outcome.
fn outcome(output: &[u8]) -> Vec<u8> {
    let reply: AppReply = Ok(AppOutcome { output: output.to_vec(), ..AppOutcome::default() });
    Ok::<_, ()>(reply).encode()
}

fn ask(interpreter: &Interpreter, code: &[u8]) -> Answer {
    let hash = interpreter.add(code).unwrap();
    call(interpreter, &hash)
}

fn call(apps: &dyn Apps, code: &Hash) -> Answer {
    apps.call(code, &CONTEXT, &[1, 2, 3], &[4, 5])
}

/// What a well-behaved app answers: to be asked after every misdeed.
fn behaves(interpreter: &Interpreter) {
    let answer = ask(interpreter, &answering(0, &outcome(b"well")));
    assert_eq!(answer.unwrap().unwrap().output, b"well");
}
