//! Each reason for which code is no app, by its name.

use crate::{answering, app, interpreter, module, outcome};
use interpreter::{
    AppRefused, Countable, MAX_BRANCH_TARGETS, MAX_CODE, MAX_GLOBALS, MAX_LOCALS, MAX_PARAMETERS, MAX_TABLE_ENTRIES,
};
use protocol::contracts::Apps;
use std::iter::repeat_n;
use wasm_encoder::{CustomSection, Module, RawSection};

/// Refused, and nothing is known of it afterwards.
fn refusal(code: &[u8]) -> AppRefused {
    let interpreter = interpreter();
    let refused = interpreter.add(code).unwrap_err();
    assert!(!interpreter.knows(&interpreter::code_hash(code)) && interpreter.codes().is_empty());
    assert!(refused.to_string().len() > 40, "{refused} tells no next step");
    refused
}

fn accepted(code: &[u8]) {
    let interpreter = interpreter();
    let hash = interpreter.add(code).unwrap();
    assert!(interpreter.knows(&hash));
    assert_eq!(interpreter.code(&hash).unwrap()[..], *code);
}

fn text(module: &str) -> Vec<u8> {
    wat::parse_str(module).unwrap()
}

const ENTRY_POINTS: &str = r#"(func (export "deploy")) (func (export "call"))"#;

fn forbidden(module: &str, name: &str) -> AppRefused {
    AppRefused::ForbiddenImport { module: module.into(), name: name.into() }
}

fn many(what: Countable, got: u64, max: u64) -> AppRefused {
    AppRefused::TooMany { what, got, max }
}

#[test]
fn what_is_no_wasm_at_all_is_refused() {
    let good = answering(0, &outcome(b""));
    for code in [&[][..], b"hello", b"\0asm", &good[..good.len() - 1], &[&good[..], &[0]].concat()] {
        assert!(matches!(refusal(code), AppRefused::Invalid { .. }), "{code:?}");
    }
    // Component models are Wasm, but no modules.
    assert!(matches!(refusal(b"\0asm\x0d\0\x01\0"), AppRefused::Invalid { .. }));
}

#[test]
fn code_is_as_long_as_allowed_and_not_a_byte_longer() {
    let padded = |bytes: usize| {
        let mut code = answering(0, &outcome(b""));
        // Name, length and kind of the padding take eight bytes.
        let data = vec![0; bytes - code.len() - 8];
        let mut section = Module::new();
        let _module = section.section(&CustomSection { name: "pad".into(), data: data.into() });
        code.extend_from_slice(&section.finish()[8..]);
        code
    };
    let exactly = padded(MAX_CODE);
    assert_eq!(exactly.len(), MAX_CODE);
    accepted(&exactly);
    let longer = padded(MAX_CODE + 1);
    assert_eq!(refusal(&longer), AppRefused::TooLong { bytes: MAX_CODE + 1, max: MAX_CODE });
}

#[test]
fn every_function_that_an_app_need_not_have_is_named() {
    for (from, name) in [
        ("seal1", "get_storage"),
        ("seal2", "set_storage"),
        ("seal0", "caller"),
        ("seal0", "block_number"),
        ("seal0", "now"),
        ("seal0", "random"),
        ("seal0", "gas_left"),
        ("seal0", "address"),
        ("seal0", "hash_blake2_256"),
        ("seal0", "debug_message"),
        ("seal0", "call_chain_extension"),
        ("seal0", "set_code_hash"),
        ("seal2", "call"),
        ("seal1", "terminate"),
        // Allowed by another name only.
        ("seal0", "seal_input"),
        ("seal1", "input"),
        ("env", "input"),
        ("env", "abort"),
    ] {
        let code = text(&format!(
            r#"(module (import "{from}" "{name}" (func (param i32 i32))) (import "env" "memory" (memory 2 16)) {ENTRY_POINTS})"#
        ));
        assert_eq!(refusal(&code), forbidden(from, name));
        let told = refusal(&code).to_string();
        assert!(told.contains(name) && told.contains(from), "{told}");
    }
}

#[test]
fn a_known_function_with_another_type_is_refused() {
    for (name, ty) in [
        ("input", "(param i32)"),
        ("input", "(param i32 i64)"),
        ("input", "(param i32 i32) (result i32)"),
        ("seal_return", "(param i32 i32)"),
        ("value_transferred", ""),
    ] {
        let code = text(&format!(
            r#"(module (import "seal0" "{name}" (func {ty})) (import "env" "memory" (memory 2 16)) {ENTRY_POINTS})"#
        ));
        assert_eq!(refusal(&code), AppRefused::ImportType { module: "seal0".into(), name: name.into() });
    }
}

#[test]
fn a_table_or_a_global_cannot_be_imported() {
    for (name, kind) in [("table", "(table 1 funcref)"), ("global", "(global i32)")] {
        let code = text(&format!(
            r#"(module (import "env" "{name}" {kind}) (import "env" "memory" (memory 2 16)) {ENTRY_POINTS})"#
        ));
        assert_eq!(refusal(&code), AppRefused::ImportKind { module: "env".into(), name: name.into() });
    }
}

#[test]
fn memory_is_imported_by_its_name_and_within_the_chains_bounds() {
    let with = |memory: &str| text(&format!("(module {memory} {ENTRY_POINTS})"));
    for memory in
        ["", "(memory 2 16)", r#"(import "env" "mem" (memory 2 16))"#, r#"(import "seal0" "memory" (memory 2 16))"#]
    {
        assert_eq!(refusal(&with(memory)), AppRefused::MemoryNotImported, "{memory}");
    }
    for (initial, maximum) in [(2, 17), (17, 17), (0, 65_536)] {
        let code = with(&format!(r#"(import "env" "memory" (memory {initial} {maximum}))"#));
        assert_eq!(refusal(&code), AppRefused::MemoryTooLarge { initial, maximum, max: 16 });
    }
    // Without a maximum it gets what the chain gives.
    let code = with(r#"(import "env" "memory" (memory 17))"#);
    assert_eq!(refusal(&code), AppRefused::MemoryTooLarge { initial: 17, maximum: 16, max: 16 });
    for memory in ["(memory 0 0)", "(memory 16 16)", "(memory 16)", "(memory 0)"] {
        accepted(&with(&format!(r#"(import "env" "memory" {memory})"#)));
    }
    let twice = r#"(import "env" "memory" (memory 2 16)) (import "env" "memory" (memory 2 16))"#;
    assert!(matches!(refusal(&with(twice)), AppRefused::Invalid { .. }));
    let crossed = r#"(import "env" "memory" (memory 3 2))"#;
    let refused = wat::parse_str(format!("(module {crossed} {ENTRY_POINTS})")).map(|code| refusal(&code)).unwrap();
    assert_eq!(refused, AppRefused::MemoryTooLarge { initial: 3, maximum: 2, max: 16 });
}

#[test]
fn it_exports_its_two_entry_points_and_nothing_else() {
    let exporting =
        |exports: &str| module(&format!("(func $f) (global $g i32 (i32.const 1)) (table $t 1 funcref) {exports}"));
    let (call, deploy) = (r#"(export "call" (func $f))"#, r#"(export "deploy" (func $f))"#);
    assert_eq!(refusal(&exporting(call)), AppRefused::ExportMissing { name: "deploy" });
    assert_eq!(refusal(&exporting(deploy)), AppRefused::ExportMissing { name: "call" });
    assert_eq!(refusal(&exporting("")), AppRefused::ExportMissing { name: "call" });
    for (name, what) in
        [("init", "(func $f)"), ("memory", "(memory 0)"), ("stack", "(global $g)"), ("table", "(table $t)")]
    {
        let code = exporting(&format!(r#"{call} {deploy} (export "{name}" {what})"#));
        assert_eq!(refusal(&code), AppRefused::ForbiddenExport { name: name.into() });
    }
    let code = exporting(&format!(r#"{deploy} (export "call" (global $g))"#));
    assert_eq!(refusal(&code), AppRefused::ForbiddenExport { name: "call".into() });
    let code = module(&format!(r#"{deploy} (func $f) (func (export "call") (result i32) (i32.const 1))"#));
    assert_eq!(refusal(&code), AppRefused::EntryPointType { name: "call".into() });
    let code = module(&format!(r#"{call} (func $f) (func (export "deploy") (param i32))"#));
    assert_eq!(refusal(&code), AppRefused::EntryPointType { name: "deploy".into() });
    // One function for both will do.
    accepted(&exporting(&format!("{call} {deploy}")));
}

#[test]
fn a_start_function_is_refused() {
    assert_eq!(refusal(&module(&format!("{ENTRY_POINTS} (func $s) (start $s)"))), AppRefused::StartFunction);
}

#[test]
fn floats_are_refused_wherever_they_stand() {
    for fields in [
        "(func (drop (f32.const 1)))",
        "(func (drop (f64.add (f64.const 1) (f64.const 2))))",
        "(func (param f64))",
        "(func (result f32) (unreachable))",
        "(func (local f64))",
        "(func (drop (i32.trunc_f32_s (f32.const 1))))",
        "(global f32 (f32.const 1))",
        "(type (func (param f32)))",
    ] {
        let refused = refusal(&module(&format!("{ENTRY_POINTS} {fields}")));
        assert!(matches!(refused, AppRefused::Float { .. }), "{fields}: {refused}");
    }
}

#[test]
fn what_came_after_the_first_wasm_is_refused_but_sign_extensions() {
    for fields in [
        "(func (memory.fill (i32.const 0) (i32.const 0) (i32.const 1)))",
        "(func (memory.copy (i32.const 0) (i32.const 0) (i32.const 1)))",
        "(func (result i32 i32) (i32.const 1) (i32.const 2))",
        "(func (drop (ref.null func)))",
        "(func $f (return_call $f))",
        "(func (drop (v128.const i64x2 0 0)))",
        "(global $g i32 (i32.add (i32.const 1) (i32.const 2)))",
        r#"(data $d "passive")"#,
        "(table 1 externref)",
        "(table 1 funcref) (table 1 funcref)",
        "(memory 1)",
        "(func (throw_ref (unreachable)))",
        "(func (drop (i32.atomic.load (i32.const 0))))",
    ] {
        let refused = refusal(&module(&format!("{ENTRY_POINTS} {fields}")));
        assert!(matches!(refused, AppRefused::Invalid { .. }), "{fields}: {refused}");
    }
    accepted(&module(&format!("{ENTRY_POINTS} (func (drop (i32.extend8_s (i32.const 1))))")));
    accepted(&module(&format!("{ENTRY_POINTS} (global $g (mut i32) (i32.const 1))")));
}

#[test]
fn code_that_does_not_fit_together_is_refused() {
    for fields in ["(func (result i32))", "(func (drop))", "(func (drop (i32.add (i32.const 1) (i64.const 1))))"] {
        let refused = refusal(&module(&format!("{ENTRY_POINTS} {fields}")));
        assert!(matches!(refused, AppRefused::Invalid { .. }), "{fields}: {refused}");
    }
    // A function that is declared and never given: section 3 says one more than section 10.
    let mut module = Module::new();
    for (id, data) in [(1, &[1, 0x60, 0, 0][..]), (3, &[1, 0])] {
        let _module = module.section(&RawSection { id, data });
    }
    assert!(matches!(refusal(&module.finish()), AppRefused::Invalid { .. }));
}

#[test]
fn each_limit_is_reached_and_not_passed() {
    let list = |one: &str, count: u64| repeat_n(one, usize::try_from(count).unwrap()).collect::<String>();
    let globals = |count| module(&format!("{ENTRY_POINTS} {}", list("(global i32 (i32.const 1)) ", count)));
    let locals = |count| module(&format!("{ENTRY_POINTS} (func (local {}))", list("i32 ", count)));
    let parameters = |count| module(&format!("{ENTRY_POINTS} (func (param {}))", list("i64 ", count)));
    // The default is no target of the table.
    let targets = |count| module(&format!("{ENTRY_POINTS} (func (br_table {} 0 (i32.const 0)))", list("0 ", count)));
    let entries = |count: u64| module(&format!("{ENTRY_POINTS} (table {count} funcref)"));
    type Build<'a> = &'a dyn Fn(u64) -> Vec<u8>;
    for (build, what, max) in [
        (&globals as Build<'_>, Countable::Globals, MAX_GLOBALS),
        (&locals, Countable::Locals, MAX_LOCALS),
        (&parameters, Countable::Parameters, MAX_PARAMETERS),
        (&targets, Countable::BranchTargets, MAX_BRANCH_TARGETS),
        (&entries, Countable::TableEntries, MAX_TABLE_ENTRIES),
    ] {
        accepted(&build(max));
        assert_eq!(refusal(&build(max + 1)), many(what, max + 1, max));
    }
    assert_eq!(refusal(&entries(10_000_000)), many(Countable::TableEntries, 10_000_000, MAX_TABLE_ENTRIES));
}

#[test]
fn data_and_table_entries_beyond_what_is_there_are_refused() {
    for fields in [
        r#"(data (i32.const 131072) "x")"#,
        r#"(data (i32.const -1) "x")"#,
        "(table 1 funcref) (func $f) (elem (i32.const 1) $f)",
    ] {
        let refused = refusal(&module(&format!("{ENTRY_POINTS} {fields}")));
        assert!(matches!(refused, AppRefused::NotStartable { .. }), "{fields}: {refused}");
    }
    accepted(&module(&format!(r#"{ENTRY_POINTS} (data (i32.const 131071) "x")"#)));
}

#[test]
fn code_held_already_is_added_once() {
    let interpreter = interpreter();
    let code = app("");
    assert_eq!(interpreter.add(&code).unwrap(), interpreter.add(&code).unwrap());
    assert_eq!(interpreter.codes(), [interpreter::code_hash(&code)]);
    assert!(interpreter.remove(&interpreter::code_hash(&code)));
    assert!(!interpreter.remove(&interpreter::code_hash(&code)));
}
