//! A healthy module is accepted; each way to spoil it is refused by name.

use super::{Names, Refusal, check, function_names, strip};
use wasm_encoder::{
    CodeSection, CustomSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, ImportSection, Instruction, MemoryType, Module, NameMap, NameSection, TypeSection, ValType,
};

/// What a module is made of; [`Parts::default`] is one that the pallet accepts.
struct Parts {
    functions: Vec<(&'static str, &'static str)>,
    memory: Option<(&'static str, &'static str, Option<u64>)>,
    imports_global: bool,
    exports: Vec<(&'static str, ExportKind)>,
    locals: Vec<(u32, ValType)>,
    body: Vec<Instruction<'static>>,
    name: Option<&'static str>,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            functions: vec![("seal0", "caller")],
            memory: Some(("env", "memory", Some(16))),
            imports_global: false,
            exports: vec![("call", ExportKind::Func), ("deploy", ExportKind::Func)],
            locals: vec![],
            body: vec![],
            name: None,
        }
    }
}

impl Parts {
    fn wasm(&self) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let mut imports = ImportSection::new();
        for (module, name) in &self.functions {
            let _ = imports.import(module, name, EntityType::Function(0));
        }
        if let Some((module, name, maximum)) = self.memory {
            let memory = MemoryType { minimum: 2, maximum, memory64: false, shared: false, page_size_log2: None };
            let _ = imports.import(module, name, memory);
        }
        let global = GlobalType { val_type: ValType::I32, mutable: false, shared: false };
        if self.imports_global {
            let _ = imports.import("env", "base", global);
        }
        let mut functions = FunctionSection::new();
        let _ = functions.function(0);
        let mut globals = GlobalSection::new();
        let _ = globals.global(global, &wasm_encoder::ConstExpr::i32_const(7));
        let mut exports = ExportSection::new();
        let own = u32::try_from(self.functions.len()).unwrap();
        for (name, kind) in &self.exports {
            let _ = exports.export(name, *kind, if *kind == ExportKind::Func { own } else { 0 });
        }
        let mut body = Function::new(self.locals.clone());
        for instruction in &self.body {
            let _ = body.instruction(instruction);
        }
        let _ = body.instruction(&Instruction::End);
        let mut code = CodeSection::new();
        let _ = code.function(&body);

        let mut module = Module::new();
        let _ = module.section(&types).section(&imports).section(&functions).section(&globals);
        let _ = module.section(&exports).section(&code);
        if let Some(name) = self.name {
            let mut functions = NameMap::new();
            functions.append(own, name);
            let mut names = NameSection::new();
            names.functions(&functions);
            let _ = module.section(&names);
        }
        module.finish()
    }

    fn refusal(&self) -> Refusal {
        check(&self.wasm(), &Names::new()).unwrap_err()
    }
}

#[test]
fn a_healthy_module_is_accepted_and_its_imports_are_told() {
    assert_eq!(check(&Parts::default().wasm(), &Names::new()).unwrap(), ["seal0.caller"]);
}

#[test]
fn a_function_outside_the_stable_interface_is_refused() {
    for (module, name) in [("seal0", "set_transient_storage"), ("env", "abort")] {
        let refusal = Parts { functions: vec![(module, name)], ..Parts::default() }.refusal();
        assert_eq!(refusal, Refusal::ImportNotStable { module: module.to_owned(), name: name.to_owned() });
        assert!(refusal.to_string().contains(&format!("{module}.{name}")), "{refusal}");
    }
}

#[test]
fn an_imported_global_is_refused() {
    let refusal = Parts { imports_global: true, ..Parts::default() }.refusal();
    assert_eq!(refusal, Refusal::ImportNotFunction { module: "env".to_owned(), name: "base".to_owned() });
}

#[test]
fn memory_from_elsewhere_or_none_at_all_is_refused() {
    let refusal = Parts { memory: Some(("host", "memory", Some(16))), ..Parts::default() }.refusal();
    assert_eq!(refusal, Refusal::MemoryElsewhere { module: "host".to_owned(), name: "memory".to_owned() });
    let refusal = Parts { memory: Some(("env", "heap", Some(16))), ..Parts::default() }.refusal();
    assert_eq!(refusal, Refusal::MemoryElsewhere { module: "env".to_owned(), name: "heap".to_owned() });
    assert_eq!(Parts { memory: None, ..Parts::default() }.refusal(), Refusal::MemoryNotImported);
}

#[test]
fn memory_beyond_the_limit_or_without_one_is_refused() {
    for pages in [Some(17), None] {
        let refusal = Parts { memory: Some(("env", "memory", pages)), ..Parts::default() }.refusal();
        assert_eq!(refusal, Refusal::MemoryTooLarge { pages });
    }
}

#[test]
fn any_other_export_is_refused_even_under_an_entry_points_name() {
    for (name, kind) in [
        ("memcpy", ExportKind::Func),
        ("memory", ExportKind::Memory),
        ("__heap_base", ExportKind::Global),
        ("call", ExportKind::Global),
    ] {
        let refusal = Parts { exports: vec![(name, kind)], ..Parts::default() }.refusal();
        assert_eq!(refusal, Refusal::ExportForbidden { name: name.to_owned() });
    }
}

#[test]
fn a_missing_entry_point_is_refused() {
    for (present, name) in [("call", "deploy"), ("deploy", "call")] {
        let refusal = Parts { exports: vec![(present, ExportKind::Func)], ..Parts::default() }.refusal();
        assert_eq!(refusal, Refusal::ExportMissing { name });
    }
}

#[test]
fn a_float_is_refused_with_the_function_and_the_instruction() {
    let parts = Parts {
        body: vec![Instruction::Nop, Instruction::F64Const(1.0.into()), Instruction::Drop],
        name: Some("mean"),
        ..Parts::default()
    };
    let wasm = parts.wasm();
    let refusal = check(&wasm, &function_names(&wasm).unwrap()).unwrap_err();
    let Refusal::Float { function, instruction } = &refusal else { panic!("{refusal}") };
    assert_eq!(function, "function `mean`");
    assert!(instruction.starts_with("F64Const"), "{instruction}");

    let Refusal::Float { function, .. } = parts.refusal() else { panic!("not a float") };
    assert_eq!(function, "function 1");
}

#[test]
fn a_float_variable_is_refused() {
    let refusal = Parts { locals: vec![(1, ValType::F32)], ..Parts::default() }.refusal();
    let Refusal::Float { instruction, .. } = &refusal else { panic!("{refusal}") };
    assert_eq!(instruction, "its local variables");
}

#[test]
fn an_instruction_of_later_wasm_is_refused_by_name() {
    let body = vec![Instruction::I32Const(1), Instruction::I32Extend8S, Instruction::Drop];
    let refusal = Parts { body, ..Parts::default() }.refusal();
    let Refusal::Function { function, instruction, .. } = &refusal else { panic!("{refusal}") };
    assert_eq!((function.as_str(), instruction.as_str()), ("function 1", "I32Extend8S"));
}

#[test]
fn bytes_that_are_no_wasm_are_refused() {
    assert!(matches!(check(b"not wasm at all", &Names::new()), Err(Refusal::Invalid { .. })));
}

#[test]
fn stripping_leaves_the_entry_points_and_no_custom_section() {
    let healthy = Parts::default().wasm();
    let parts = Parts {
        exports: vec![
            ("memcpy", ExportKind::Func),
            ("call", ExportKind::Func),
            ("__heap_base", ExportKind::Global),
            ("deploy", ExportKind::Func),
        ],
        name: Some("main"),
        ..Parts::default()
    };
    let mut wasm = parts.wasm();
    let note = CustomSection { name: "producers".into(), data: (&[1, 2, 3]).into() };
    let note = Module::new().section(&note).as_slice()[8..].to_vec();
    wasm.extend(note);
    assert_eq!(strip(&wasm).unwrap(), healthy);
    assert_eq!(strip(&healthy).unwrap(), healthy);
}
