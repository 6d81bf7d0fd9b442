//! Each misdeed of a running app by its fault; afterwards the others run as before.

use crate::{Answer, CONTEXT, answering, app, ask, behaves, call, interpreter, module, outcome};
use protocol::{
    Hash,
    contracts::{Apps, CALL_SELECTOR, CallFault, INIT_SELECTOR},
};
use scale::Encode;

/// What came of it, each time anew.
fn met(code: &[u8]) -> Answer {
    let interpreter = interpreter();
    let first = ask(&interpreter, code);
    assert_eq!(ask(&interpreter, code), first);
    behaves(&interpreter);
    first
}

#[test]
fn an_app_is_told_the_question_as_the_arbiter_puts_it() {
    // It answers with what it was told, as its output: 2 zero bytes (all is well), an empty state, no payouts, the length, the bytes, no requirement.
    let echo = app("(i32.store (i32.const 0) (i32.const 60000))
         (call $input (i32.const 1000) (i32.const 0))
         (local.set $n (i32.load (i32.const 0)))
         (i32.store16 (i32.const 998) (i32.or (i32.shl (local.get $n) (i32.const 2)) (i32.const 1)))
         (call $return (i32.const 0) (i32.const 963) (i32.add (local.get $n) (i32.const 38)))");
    let interpreter = interpreter();
    let code = interpreter.add(&echo).unwrap();
    let (state, input) = (&[1u8, 2, 3][..], &[4u8, 5][..]);
    let called = interpreter.call(&code, &CONTEXT, state, input).unwrap().unwrap();
    assert_eq!(called.output, (CALL_SELECTOR, CONTEXT, state, input).encode());
    let begun = interpreter.init(&code, &CONTEXT, input).unwrap().unwrap();
    assert_eq!(begun.output, (INIT_SELECTOR, CONTEXT, input).encode());
}

#[test]
fn an_instance_starts_afresh_for_every_call() {
    // It counts its calls in a global and in memory, and answers with an error where it is not the first.
    let code = module(
        r#"(global $calls (mut i32) (i32.const 0))
           (data (i32.const 16) "\00\01\00")
           (func (export "deploy"))
           (func (export "call")
             (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
             (i32.store (i32.const 32) (i32.add (i32.load (i32.const 32)) (i32.const 1)))
             (if (i32.ne (i32.add (global.get $calls) (i32.load (i32.const 32))) (i32.const 2)) (then (unreachable)))
             (call $return (i32.const 0) (i32.const 16) (i32.const 3)))"#,
    );
    assert_eq!(met(&code), Ok(Err(Vec::new())));
}

#[test]
fn code_that_is_not_held_is_not_there() {
    let interpreter = interpreter();
    assert_eq!(call(&interpreter, &Hash([7; 32])), Err(CallFault::CodeNotThere));
    assert_eq!(interpreter.init(&Hash([7; 32]), &CONTEXT, &[]), Err(CallFault::CodeNotThere));
}

#[test]
fn traps_of_every_kind_fail() {
    for instructions in [
        "(unreachable)",
        "(drop (i32.load (i32.const 1048576)))",
        "(i32.store (i32.const -1) (i32.const 1))",
        "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
        "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))",
        // Room for what it is told, of which there is none; outside; almost outside.
        "(call $input (i32.const 1000) (i32.const 0))",
        "(call $input (i32.const 1000) (i32.const -2))",
        "(i32.store (i32.const 0) (i32.const 60000)) (call $input (i32.const 131070) (i32.const 0))",
        "(call $value (i32.const 0) (i32.const 1048576))",
        "(i32.store (i32.const 0) (i32.const 15)) (call $value (i32.const 32) (i32.const 0))",
        "(call $return (i32.const 0) (i32.const 131072) (i32.const 1))",
        "(call $return (i32.const 0) (i32.const 0) (i32.const 131073))",
        "(call $return (i32.const 0) (i32.const 1) (i32.const -1))",
        "(call $return (i32.const 0) (i32.const -1) (i32.const -1))",
    ] {
        assert_eq!(met(&app(instructions)), Err(CallFault::Failed), "{instructions}");
    }
    let call_indirect = module(
        r#"(table 2 funcref) (elem (i32.const 0) $other) (func $other (param i32)) (type $plain (func))
           (func (export "deploy"))
           (func (export "call") (call_indirect (type $plain) (i32.const 0)))"#,
    );
    assert_eq!(met(&call_indirect), Err(CallFault::Failed));
}

#[test]
fn no_coins_ever_come_with_a_call() {
    // Ends well only where all sixteen bytes are zero and the length is told.
    let code = module(
        r#"(data (i32.const 16) "\00\01\00")
           (func (export "deploy"))
           (func (export "call")
             (i64.store (i32.const 64) (i64.const -1)) (i64.store (i32.const 72) (i64.const -1))
             (i32.store (i32.const 0) (i32.const 17))
             (call $value (i32.const 64) (i32.const 0))
             (if (i64.ne (i64.or (i64.load (i32.const 64)) (i64.load (i32.const 72))) (i64.const 0)) (then (unreachable)))
             (if (i32.ne (i32.load (i32.const 0)) (i32.const 16)) (then (unreachable)))
             (call $return (i32.const 0) (i32.const 16) (i32.const 3)))"#,
    );
    assert_eq!(met(&code), Ok(Err(Vec::new())));
}

#[test]
fn an_endless_loop_ends_with_its_weight() {
    assert_eq!(met(&app("(loop $again (br $again))")), Err(CallFault::Failed));
}

#[test]
fn endless_recursion_fails() {
    let deep = module(r#"(func $deep (call $deep)) (func (export "deploy")) (func (export "call") (call $deep))"#);
    assert_eq!(met(&deep), Err(CallFault::Failed));
    // Not by depth, but by the room that its variables take.
    let wide = format!(
        r#"(func $wide (local {}) (call $wide)) (func (export "deploy")) (func (export "call") (call $wide))"#,
        "i64 ".repeat(1000)
    );
    assert_eq!(met(&module(&wide)), Err(CallFault::Failed));
    // Each level takes its time in the end: all of the stack, again and again.
    let again = format!(
        r#"(func $down (param i32) (local {}) (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1))))))
           (func (export "deploy")) (func (export "call") (loop $l (call $down (i32.const 120)) (br $l)))"#,
        "i64 ".repeat(1000)
    );
    assert_eq!(met(&module(&again)), Err(CallFault::Failed));
}

#[test]
fn memory_is_what_the_chain_gives_and_no_more() {
    // 14 pages come on top of two, then none; the growth that is refused harms nobody.
    let code = module(
        r#"(data (i32.const 16) "\00\01\00")
           (func (export "deploy"))
           (func (export "call")
             (if (i32.ne (memory.grow (i32.const 14)) (i32.const 2)) (then (unreachable)))
             (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))
             (if (i32.ne (memory.grow (i32.const 65535)) (i32.const -1)) (then (unreachable)))
             (i32.store (i32.const 1048572) (i32.const 1))
             (call $return (i32.const 0) (i32.const 16) (i32.const 3)))"#,
    );
    assert_eq!(met(&code), Ok(Err(Vec::new())));
}

#[test]
fn an_answer_that_is_no_reply_does_not_decode() {
    let trailing = [outcome(b""), vec![0]].concat();
    let lang_error = Err::<(), u8>(1).encode();
    for bytes in [&[][..], &[0], &[0, 2], &[2], &[0xAB; 33], &trailing, &lang_error, &[0, 1, 252], &[1, 0]] {
        assert_eq!(met(&answering(0, bytes)), Err(CallFault::Undecodable), "{bytes:?}");
    }
    // It goes back without an answer.
    assert_eq!(met(&app("")), Err(CallFault::Undecodable));
    assert_eq!(met(&app("(return)")), Err(CallFault::Undecodable));
}

#[test]
fn an_answer_counts_although_it_reverts_but_flags_that_nobody_knows_fail() {
    assert_eq!(met(&answering(1, &outcome(b"well"))).unwrap().unwrap().output, b"well");
    for flags in [2, 3, -1] {
        assert_eq!(met(&answering(flags, &outcome(b"well"))), Err(CallFault::Failed), "{flags}");
    }
}

#[test]
fn an_answer_is_as_long_as_the_arbiter_can_take() {
    let question = (CALL_SELECTOR, CONTEXT, &[1u8, 2, 3][..], &[4u8, 5][..]).encoded_size();
    let room = 65_536 - 48 - question;
    // An own error of so many bytes: well, an error, a length of four bytes, the bytes.
    let of = |bytes: usize| {
        let length = u32::try_from(bytes - 6).unwrap() << 2 | 2;
        app(&format!(
            "(i32.store16 (i32.const 0) (i32.const 0x0100)) (i32.store (i32.const 2) (i32.const {length}))
             (call $return (i32.const 0) (i32.const 0) (i32.const {bytes}))"
        ))
    };
    assert_eq!(met(&of(room)), Ok(Err(vec![0; room - 6])));
    assert_eq!(met(&of(room + 1)), Err(CallFault::Failed));
    assert_eq!(met(&of(131_072)), Err(CallFault::Failed));
}

#[test]
fn what_is_not_allowed_fails_where_a_test_lets_it_in() {
    let code = wat::parse_str(
        r#"(module (import "seal0" "caller" (func $caller (param i32 i32))) (import "seal0" "now" (func (result i64)))
            (import "env" "memory" (memory 2 16))
            (func (export "deploy")) (func (export "call") (call $caller (i32.const 0) (i32.const 0))))"#,
    );
    let interpreter = interpreter();
    let code = interpreter.add_with_any_imports_for_test_only(&code.unwrap()).unwrap();
    assert_eq!(call(&interpreter, &code), Err(CallFault::Failed));
    behaves(&interpreter);
}
