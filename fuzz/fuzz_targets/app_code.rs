//! Anything as an app's code: bytes, damaged apps, and modules that are valid and strange. No panic, no hang, no more memory than an app
//! may have; the same question gets the same answer, and more weight never changes it.

#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use interpreter::Interpreter;
use libfuzzer_sys::fuzz_target;
use protocol::{
    ChannelId, Party,
    contracts::{AppContext, Apps, CallFault, ContractId},
    terms::CallWeight,
};
use std::sync::LazyLock;
use wasm_smith::{Config, MemoryOffsetChoices, Module};

/// An app with everything that the checks look at.
static APP: LazyLock<Vec<u8>> = LazyLock::new(|| {
    wat::parse_str(
        r#"(module
            (import "seal0" "input" (func $input (param i32 i32)))
            (import "seal0" "seal_return" (func $return (param i32 i32 i32)))
            (import "seal0" "value_transferred" (func $value (param i32 i32)))
            (import "env" "memory" (memory 2 16))
            (type $plain (func))
            (global $calls (mut i32) (i32.const 0))
            (table 2 funcref) (elem (i32.const 0) $deploy $loop)
            (data (i32.const 16) "\00\01\00")
            (func $deploy (export "deploy"))
            (func $loop (param i64) (result i32) (local i32)
              (loop $again (br_if $again (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.wrap_i64 (local.get 0)))))
              (local.get 1))
            (func (export "call")
              (i32.store (i32.const 0) (i32.const 60000)) (call $input (i32.const 1000) (i32.const 0))
              (i32.store (i32.const 4) (i32.const 16)) (call $value (i32.const 32) (i32.const 4))
              (call_indirect (type $plain) (i32.const 0))
              (block (block (block (br_table 0 1 2 (call $loop (i64.const 10))))))
              (drop (memory.grow (i32.const 1)))
              (call $return (global.get $calls) (i32.const 16) (i32.const 3))))"#,
    )
    .expect("a module")
});

/// What strange modules may import and must export.
static INTERFACE: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let imports = r#"(module
        (import "seal0" "input" (func (param i32 i32)))
        (import "seal0" "seal_return" (func (param i32 i32 i32)))
        (import "seal0" "value_transferred" (func (param i32 i32)))
        (import "env" "memory" (memory 2 16)))"#;
    let exports = r#"(module (func (export "call")) (func (export "deploy")))"#;
    (wat::parse_str(imports).expect("a module"), wat::parse_str(exports).expect("a module"))
});

#[derive(Debug)]
struct Code(Vec<u8>);

impl<'a> Arbitrary<'a> for Code {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        match u.int_in_range(0..=9)? {
            0 => Ok(Self(Vec::arbitrary(u)?)),
            1..=3 => damaged(u).map(Self),
            _ => strange(u).map(Self),
        }
    }
}

/// A good app with bytes overwritten, left out or put in.
fn damaged(u: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    let mut code = APP.clone();
    for _ in 0..u.int_in_range(1..=8)? {
        let at = u.choose_index(code.len())?;
        match u.int_in_range(0..=3)? {
            0 => drop(code.remove(at)),
            1 => code.insert(at, u.arbitrary()?),
            _ => code[at] = u.arbitrary()?,
        }
    }
    Ok(code)
}

fn strange(u: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    let (imports, exports) = &*INTERFACE;
    let config = Config {
        available_imports: Some(imports.clone()),
        exports: Some(exports.clone()),
        allow_start_export: false,
        allow_floats: u.ratio(1, 20)?,
        bulk_memory_enabled: u.ratio(1, 20)?,
        reference_types_enabled: false,
        multi_value_enabled: u.ratio(1, 20)?,
        saturating_float_to_int_enabled: false,
        sign_extension_ops_enabled: true,
        simd_enabled: false,
        relaxed_simd_enabled: false,
        tail_call_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        threads_enabled: false,
        memory64_enabled: false,
        extended_const_enabled: false,
        wide_arithmetic_enabled: false,
        custom_page_sizes_enabled: false,
        max_memories: 1,
        min_imports: 1,
        max_imports: 4,
        max_instructions: 400,
        max_table_elements: 100,
        memory_offset_choices: MemoryOffsetChoices(90, 9, 1),
        ..Config::default()
    };
    Ok(Module::new(config, u)?.to_bytes())
}

#[derive(Arbitrary, Debug)]
struct Input {
    code: Code,
    state: Vec<u8>,
    input: Vec<u8>,
    weight: u32,
}

fuzz_target!(|input: Input| {
    let Input { code: Code(code), state, input, weight } = input;
    let context = AppContext {
        channel: ChannelId([1; 32]),
        contract: ContractId([2; 32]),
        round: 1,
        caller: Party::Initiator,
        value: 0,
        balance: 1,
        height: 1,
    };
    let with = |ref_time: u64| {
        let interpreter = Interpreter::new(CallWeight { ref_time, proof_size: 1 });
        let code = interpreter.add(&code);
        (interpreter, code)
    };
    // At most a quarter of a thousandth of a second of the chain's time.
    let weight = u64::from(weight >> 4);
    let (interpreter, added) = with(weight);
    let Ok(code) = added else { return };
    let answer = interpreter.call(&code, &context, &state, &input);
    assert_eq!(interpreter.call(&code, &context, &state, &input), answer, "the same again");
    let _first = interpreter.init(&code, &context, &input);
    let (generous, _code) = with(weight * 2);
    let with_more = generous.call(&code, &context, &state, &input);
    assert!(answer == with_more || answer == Err(CallFault::Failed), "more weight made {answer:?} into {with_more:?}");
});
