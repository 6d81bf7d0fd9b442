//! Wasm modules: what is taken out of a contract's, and what a contract's must not hold.
//!
//! `pallet-contracts` answers every breach with the same `CodeRejected`; here each is named.

use crate::stable_api::is_stable;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use thiserror::Error;
use wasm_encoder::{ExportKind, ExportSection, Module, RawSection};
use wasmparser::{
    BinaryReaderError, ExternalKind, FunctionBody, KnownCustom, Name, Parser, Payload, TypeRef, ValidPayload,
    Validator, WasmFeatures,
};

/// The functions that the pallet calls, and the only exports it accepts.
const ENTRY_POINTS: [&str; 2] = ["call", "deploy"];

/// The pallet's default limit on a contract's memory, in pages of 64 KiB.
const MEMORY_PAGES_MAX: u64 = 16;

/// The first Wasm, without floats: what every chain with the pallet runs.
const FEATURES: WasmFeatures = WasmFeatures::MVP.difference(WasmFeatures::FLOATS);

/// Functions by index, as the linker named them.
pub(crate) type Names = BTreeMap<u32, String>;

/// Why the pallet would not take a module.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum Refusal {
    #[error("it imports `{module}.{name}`, which is not in the pallet's stable interface")]
    ImportNotStable { module: String, name: String },
    #[error("it imports `{module}.{name}`, which is neither a function nor a memory")]
    ImportNotFunction { module: String, name: String },
    #[error("it imports its memory as `{module}.{name}`, not as `env.memory`")]
    MemoryElsewhere { module: String, name: String },
    #[error("it does not import `env.memory`")]
    MemoryNotImported,
    #[error("it wants {pages:?} pages of memory at most; the pallet gives {MEMORY_PAGES_MAX}")]
    MemoryTooLarge { pages: Option<u64> },
    #[error("it exports `{name}`; the pallet accepts only the functions `call` and `deploy`")]
    ExportForbidden { name: String },
    #[error("it does not export `{name}`")]
    ExportMissing { name: &'static str },
    #[error("it uses floats: {instruction} in {function}")]
    Float { function: String, instruction: String },
    #[error("{function} goes beyond the first Wasm: {message} ({instruction})")]
    Function { function: String, instruction: String, message: String },
    #[error("it is not valid Wasm of the first version without floats: {message} (at byte {offset})")]
    Invalid { message: String, offset: u64 },
}

/// The same module with no exports but the entry points, and without custom sections (names, producers and the like).
pub(crate) fn strip(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut module = Module::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.context("reading the Wasm")? {
            Payload::CustomSection(_) => {}
            Payload::ExportSection(exports) => {
                let mut kept = ExportSection::new();
                for export in exports {
                    let export = export?;
                    if export.kind == ExternalKind::Func && ENTRY_POINTS.contains(&export.name) {
                        let _ = kept.export(export.name, ExportKind::Func, export.index);
                    }
                }
                let _ = module.section(&kept);
            }
            other => {
                if let Some((id, range)) = other.as_section() {
                    let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
                    let data = wasm.get(range).context("a section reaches past the end")?;
                    let _ = module.section(&RawSection { id, data });
                }
            }
        }
    }
    Ok(module.finish())
}

/// The names that the linker left in a module; empty where they were stripped.
pub(crate) fn function_names(wasm: &[u8]) -> Result<Names> {
    let mut names = Names::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let Payload::CustomSection(section) = payload.context("reading the Wasm")? else { continue };
        let KnownCustom::Name(subsections) = section.as_known() else { continue };
        for subsection in subsections {
            let Name::Function(functions) = subsection? else { continue };
            for function in functions {
                let function = function?;
                let _ = names.insert(function.index, function.name.to_owned());
            }
        }
    }
    Ok(names)
}

/// Whether the pallet takes this module: its imports, or the first thing that is wrong with it.
///
/// # Errors
/// A [`Refusal`], which names the offending item; functions by `names`, else by index.
pub(crate) fn check(wasm: &[u8], names: &Names) -> Result<Vec<String>, Refusal> {
    let mut validator = Validator::new_with_features(FEATURES);
    let mut imported = Imported::default();
    let mut exported = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        match &payload {
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    let import = import?;
                    imported.add(import.module, import.name, import.ty)?;
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports.clone() {
                    let export = export?;
                    if export.kind != ExternalKind::Func || !ENTRY_POINTS.contains(&export.name) {
                        return Err(Refusal::ExportForbidden { name: export.name.to_owned() });
                    }
                    exported.push(export.name);
                }
            }
            _ => {}
        }
        if let ValidPayload::Func(function, body) = validator.payload(&payload)? {
            let mut function = function.into_validator(wasmparser::FuncValidatorAllocations::default());
            function.validate(&body).map_err(|error| blame(&error, &body, function.index(), names))?;
        }
    }
    if !imported.memory {
        return Err(Refusal::MemoryNotImported);
    }
    if let Some(name) = ENTRY_POINTS.into_iter().find(|name| !exported.contains(name)) {
        return Err(Refusal::ExportMissing { name });
    }
    Ok(imported.functions)
}

#[derive(Default)]
struct Imported {
    memory: bool,
    functions: Vec<String>,
}

impl Imported {
    fn add(&mut self, module: &str, name: &str, kind: TypeRef) -> Result<(), Refusal> {
        let owned = || (module.to_owned(), name.to_owned());
        match kind {
            TypeRef::Memory(_) if (module, name) != ("env", "memory") => {
                let (module, name) = owned();
                Err(Refusal::MemoryElsewhere { module, name })
            }
            TypeRef::Memory(memory) if memory.maximum.is_none_or(|pages| pages > MEMORY_PAGES_MAX) => {
                Err(Refusal::MemoryTooLarge { pages: memory.maximum })
            }
            TypeRef::Memory(_) => {
                self.memory = true;
                Ok(())
            }
            TypeRef::Func(_) if is_stable(module, name) => {
                self.functions.push(format!("{module}.{name}"));
                Ok(())
            }
            TypeRef::Func(_) => {
                let (module, name) = owned();
                Err(Refusal::ImportNotStable { module, name })
            }
            _ => {
                let (module, name) = owned();
                Err(Refusal::ImportNotFunction { module, name })
            }
        }
    }
}

/// Says which function and which instruction an error is about.
fn blame(error: &BinaryReaderError, body: &FunctionBody<'_>, index: u32, names: &Names) -> Refusal {
    let function = match names.get(&index) {
        Some(name) => format!("function `{name}`"),
        None => format!("function {index}"),
    };
    let operators = body.get_operators_reader().ok().into_iter().flat_map(|reader| reader.into_iter_with_offsets());
    let instruction = operators
        .map_while(Result::ok)
        .take_while(|(_, offset)| *offset <= error.offset())
        .last()
        .map_or_else(|| "its local variables".to_owned(), |(operator, _)| format!("{operator:?}"));
    if error.message().contains("floating-point") {
        Refusal::Float { function, instruction }
    } else {
        Refusal::Function { function, instruction, message: error.message().to_owned() }
    }
}

impl From<BinaryReaderError> for Refusal {
    fn from(error: BinaryReaderError) -> Self {
        Self::Invalid { message: error.message().to_owned(), offset: error.offset() }
    }
}

#[cfg(test)]
mod tests;
