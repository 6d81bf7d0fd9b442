//! What is looked at in code before the interpreter sees it: everything that has a name of its own (R7.2).

use crate::{AppRefused, refusal::Countable};
use wasmparser::{
    BinaryReaderError, ExternalKind, FuncType, FuncValidatorAllocations, FunctionBody, Operator, Parser, Payload,
    TypeRef, ValType, ValidPayload, Validator, WasmFeatures,
};

/// The longest code of an app, in bytes. The chain's own limit is the runtime's choice; this is the pallet's recommendation, and what
/// most chains have.
pub const MAX_CODE: usize = 128 * 1024;
/// The most memory, in pages of 64 KiB: the pallet's.
pub const MAX_PAGES: u32 = 16;
/// The most global variables.
pub const MAX_GLOBALS: u64 = 256;
/// The most local variables of one function.
pub const MAX_LOCALS: u64 = 1024;
/// The most parameters of one function.
pub const MAX_PARAMETERS: u64 = 128;
/// The most targets of one branch table.
pub const MAX_BRANCH_TARGETS: u64 = 256;
/// The most places in the table of functions, which is made anew for every call.
pub const MAX_TABLE_ENTRIES: u64 = 4096;

/// The functions that the chain calls, and the only exports it accepts.
const ENTRY_POINTS: [&str; 2] = ["call", "deploy"];

/// The functions that an app may import, by how many `i32` they take; none gives a result. What they do depends on the call alone.
const ALLOWED: [(&str, &str, usize); 3] =
    [("seal0", "input", 2), ("seal0", "seal_return", 3), ("seal0", "value_transferred", 2)];

/// As the pallet sets the interpreter: the first Wasm and the sign extensions, without floats.
const FEATURES: WasmFeatures = WasmFeatures::MVP.union(WasmFeatures::SIGN_EXTENSION).difference(WasmFeatures::FLOATS);

/// Which functions may be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Imports {
    /// Those of [`ALLOWED`].
    Allowed,
    /// Any: those that are not allowed end the call. For tests of what misbehaves.
    Any,
}

/// What the checks learn that the interpreter needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Pages of memory, at first and at most.
    pub(crate) pages: (u32, u32),
    /// The functions imported that are not allowed; empty but in tests.
    pub(crate) forbidden: Vec<(String, String)>,
}

/// Looks through the code, and says what is wrong with it first.
pub(crate) fn check(code: &[u8], imports: Imports) -> Result<Checked, AppRefused> {
    if code.len() > MAX_CODE {
        return Err(AppRefused::TooLong { bytes: code.len(), max: MAX_CODE });
    }
    let mut look = Look { imports, types: Vec::new(), functions: Vec::new(), pages: None, forbidden: Vec::new() };
    let mut exported = Vec::new();
    let mut validator = Validator::new_with_features(FEATURES);
    for payload in Parser::new(0).parse_all(code) {
        let payload = payload?;
        if matches!(payload, Payload::StartSection { .. }) {
            return Err(AppRefused::StartFunction);
        }
        // The limits first: the validator has its own, higher, and says less.
        look.at(&payload)?;
        if let ValidPayload::Func(function, body) = validator.payload(&payload)? {
            bounded(&body)?;
            function.into_validator(FuncValidatorAllocations::default()).validate(&body)?;
        }
        if let Payload::ExportSection(exports) = &payload {
            for export in exports.clone() {
                let export = export?;
                let Some(name) = ENTRY_POINTS.into_iter().find(|&name| name == export.name) else {
                    return Err(AppRefused::ForbiddenExport { name: export.name.to_owned() });
                };
                if export.kind != ExternalKind::Func {
                    return Err(AppRefused::ForbiddenExport { name: export.name.to_owned() });
                }
                let is_plain =
                    look.function(export.index).is_some_and(|ty| ty.params().is_empty() && ty.results().is_empty());
                if !is_plain {
                    return Err(AppRefused::EntryPointType { name: name.to_owned() });
                }
                exported.push(name);
            }
        }
    }
    let pages = look.pages.ok_or(AppRefused::MemoryNotImported)?;
    if let Some(name) = ENTRY_POINTS.into_iter().find(|name| !exported.contains(name)) {
        return Err(AppRefused::ExportMissing { name });
    }
    Ok(Checked { pages, forbidden: look.forbidden })
}

/// What was seen so far.
struct Look {
    imports: Imports,
    types: Vec<FuncType>,
    /// By index, imported ones first: which type.
    functions: Vec<u32>,
    pages: Option<(u32, u32)>,
    forbidden: Vec<(String, String)>,
}

impl Look {
    fn at(&mut self, payload: &Payload<'_>) -> Result<(), AppRefused> {
        match payload {
            Payload::TypeSection(types) => {
                for ty in types.clone().into_iter_err_on_gc_types() {
                    let ty = ty?;
                    at_most(Countable::Parameters, ty.params().len(), MAX_PARAMETERS)?;
                    self.types.push(ty);
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    let import = import?;
                    self.import(import.module, import.name, import.ty)?;
                }
            }
            Payload::FunctionSection(functions) => {
                for function in functions.clone() {
                    self.functions.push(function?);
                }
            }
            Payload::GlobalSection(globals) => at_most(Countable::Globals, globals.count(), MAX_GLOBALS)?,
            Payload::TableSection(tables) => {
                for table in tables.clone() {
                    let ty = table?.ty;
                    at_most(Countable::TableEntries, ty.initial, MAX_TABLE_ENTRIES)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, module: &str, name: &str, kind: TypeRef) -> Result<(), AppRefused> {
        let owned = || (module.to_owned(), name.to_owned());
        match kind {
            TypeRef::Func(ty) => {
                let allowed = ALLOWED.into_iter().find(|&(in_module, called, _)| (in_module, called) == (module, name));
                match allowed {
                    Some((_, _, parameters)) => {
                        let fits = self
                            .ty(ty)
                            .is_some_and(|ty| ty.params() == vec![ValType::I32; parameters] && ty.results().is_empty());
                        let (module, name) = owned();
                        fits.then_some(()).ok_or(AppRefused::ImportType { module, name })?;
                    }
                    None if self.imports == Imports::Any => self.forbidden.push(owned()),
                    None => {
                        let (module, name) = owned();
                        return Err(AppRefused::ForbiddenImport { module, name });
                    }
                }
                self.functions.push(ty);
            }
            TypeRef::Memory(memory) if (module, name) == ("env", "memory") => {
                let maximum = memory.maximum.unwrap_or(u64::from(MAX_PAGES));
                let pages = u32::try_from(memory.initial).ok().zip(u32::try_from(maximum).ok());
                let fits = pages.filter(|&(initial, maximum)| initial <= maximum && maximum <= MAX_PAGES);
                let too_large =
                    AppRefused::MemoryTooLarge { initial: memory.initial, maximum, max: u64::from(MAX_PAGES) };
                self.pages = Some(fits.ok_or(too_large)?);
            }
            TypeRef::Memory(_) => return Err(AppRefused::MemoryNotImported),
            _ => {
                let (module, name) = owned();
                return Err(AppRefused::ImportKind { module, name });
            }
        }
        Ok(())
    }

    fn ty(&self, index: u32) -> Option<&FuncType> {
        self.types.get(usize::try_from(index).ok()?)
    }

    fn function(&self, index: u32) -> Option<&FuncType> {
        self.ty(*self.functions.get(usize::try_from(index).ok()?)?)
    }
}

/// Counts what one function has.
fn bounded(body: &FunctionBody<'_>) -> Result<(), AppRefused> {
    let mut locals = 0u64;
    for group in body.get_locals_reader()? {
        let (count, _ty) = group?;
        locals = locals.saturating_add(u64::from(count));
    }
    at_most(Countable::Locals, locals, MAX_LOCALS)?;
    for operator in body.get_operators_reader()? {
        if let Operator::BrTable { targets } = operator? {
            at_most(Countable::BranchTargets, targets.len(), MAX_BRANCH_TARGETS)?;
        }
    }
    Ok(())
}

fn at_most(what: Countable, got: impl TryInto<u64>, max: u64) -> Result<(), AppRefused> {
    let got = got.try_into().unwrap_or(u64::MAX);
    if got <= max { Ok(()) } else { Err(AppRefused::TooMany { what, got, max }) }
}

impl From<BinaryReaderError> for AppRefused {
    fn from(error: BinaryReaderError) -> Self {
        let message = error.to_string();
        if message.contains("floating-point") { Self::Float { message } } else { Self::Invalid { message } }
    }
}
