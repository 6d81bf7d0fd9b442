//! What a call takes, to the unit; the embedded chain says the same (`contract/tests/differential`).

use crate::{CONTEXT, app, call, outcome};
use interpreter::{ChainCosts, Interpreter};
use protocol::{
    contracts::{Apps, CALL_SELECTOR, CallFault},
    terms::CallWeight,
};
use scale::Encode;

fn with(ref_time: u64) -> Interpreter {
    Interpreter::new(CallWeight { ref_time, proof_size: 1 })
}

fn passes(code: &[u8], ref_time: u64) -> bool {
    let interpreter = with(ref_time);
    let code = interpreter.add(code).unwrap();
    call(&interpreter, &code) != Err(CallFault::Failed)
}

/// The least that a call goes through with.
fn least(code: &[u8]) -> u64 {
    let (mut too_little, mut enough) = (0, CallWeight::STANDARD.ref_time);
    assert!(passes(code, enough));
    while enough - too_little > 1 {
        let middle = too_little.midpoint(enough);
        if passes(code, middle) { enough = middle } else { too_little = middle }
    }
    enough
}

/// Goes round so many times.
fn rounds(count: u32) -> Vec<u8> {
    app(&format!(
        "(local.set $n (i32.const {count}))
         (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
    ))
}

#[test]
fn the_least_that_a_call_takes_is_sharp_and_grows_with_its_work() {
    let fuel = ChainCosts::CONTRACTS_NODE.fuel;
    let [ten, twenty, many] = [10, 20, 1_000_000].map(|count| least(&rounds(count)));
    assert!(ten < twenty && twenty < many);
    let of_a_round = (twenty - ten) / 10 / fuel;
    assert_eq!((of_a_round, (twenty - ten) % fuel), (2, 0), "a subtraction and a branch");
    // A long number has two bytes more than a short one, and those are compiled for 7 each.
    assert_eq!((many - ten) / fuel, 999_990 * 2 + 7 * 2);
    assert!(!passes(&rounds(1_000_000), many - 1));
}

#[test]
fn host_functions_cost_what_the_chain_charges() {
    let costs = ChainCosts::CONTRACTS_NODE;
    let question = (CALL_SELECTOR, CONTEXT, &[1u8, 2, 3][..], &[4u8, 5][..]).encoded_size() as u64;
    let told = "(i32.store (i32.const 0) (i32.const 60000)) (call $input (i32.const 1000) (i32.const 0))";
    let [once, twice] = [told.to_owned(), format!("{told} {told}")].map(|instructions| least(&app(&instructions)));
    let host = costs.host_call + costs.input.base + costs.input.byte * question;
    // The instructions around it: to the next unit, since fuel is not divided.
    let around = (twice - once).checked_sub(host).unwrap();
    assert!(around < 200 * costs.fuel, "{around} ps besides {host}");
    let answering = |bytes: u32| app(&format!("(call $return (i32.const 0) (i32.const 0) (i32.const {bytes}))"));
    assert_eq!(least(&answering(1_064)) - least(&answering(64 + 128)), costs.answer.byte * (1_064 - 192));
}

#[test]
fn nothing_runs_on_nothing() {
    assert!(!passes(&app(""), 0));
    assert!(!passes(&app(""), 1));
    assert!(!passes(&crate::answering(0, &outcome(b"")), 300_000));
}

#[test]
fn functions_are_paid_for_when_they_are_entered_and_only_then() {
    let padded = |entered: bool| {
        let entered = if entered { "(call $long)" } else { "" };
        let long = "(drop (i32.const 1))".repeat(10_000);
        crate::module(&format!(
            r#"(func $long {long}) (func (export "deploy")) (func (export "call") {entered} (nop) (nop) (nop))"#
        ))
    };
    let (entered, not) = (least(&padded(true)), least(&padded(false)));
    let fuel = ChainCosts::CONTRACTS_NODE.fuel;
    // Thirty thousand bytes: two for each number, one to drop it.
    assert!(entered - not >= 30_000 * 7 * fuel, "{}", (entered - not) / fuel);
    assert!(not < 1_000 * fuel, "{}", not / fuel);
}

#[test]
fn the_same_question_takes_the_same_however_often_it_is_put() {
    let code = rounds(1_000);
    let least = least(&code);
    let interpreter = with(least);
    let hash = interpreter.add(&code).unwrap();
    for _ in 0..100 {
        assert_eq!(interpreter.call(&hash, &CONTEXT, &[1, 2, 3], &[4, 5]), Err(CallFault::Undecodable));
    }
    let interpreter = with(least - 1);
    let hash = interpreter.add(&code).unwrap();
    for _ in 0..100 {
        assert_eq!(interpreter.call(&hash, &CONTEXT, &[1, 2, 3], &[4, 5]), Err(CallFault::Failed));
    }
}
