//! Why code is not taken as an app: each breach by its name, and what its author can do (section 9).

use protocol::Hash;
use thiserror::Error;

/// Why code is refused, before anything of it has run.
///
/// The chain answers nearly all of these with one `CodeRejected`; here each is named. Some of what is refused here the chain would
/// take; [`crate`] lists it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the message of each variant is its documentation")]
pub enum AppRefused {
    #[error(
        "the code has {bytes} bytes, and an app may have {max}: build it with `cargo xtask contract`, which optimises, or leave something out"
    )]
    TooLong { bytes: usize, max: usize },
    #[error(
        "the code is not the one agreed on: its hash is {got:?}, and {expected:?} was expected; fetch it again, from somebody else"
    )]
    OtherCode { expected: Hash, got: Hash },
    #[error(
        "the code is no Wasm module that the chain would take: {message}; take the file that `cargo xtask contract` writes"
    )]
    Invalid { message: String },
    #[error("it uses floats ({message}), which chains refuse: use integers")]
    Float { message: String },
    #[error(
        "it imports the function `{module}.{name}`: an app may read its input and return its answer, and nothing else; take that out of it"
    )]
    ForbiddenImport { module: String, name: String },
    #[error(
        "it imports `{module}.{name}` with other parameters or results than the chain gives it: build it with a current app kit"
    )]
    ImportType { module: String, name: String },
    #[error(
        "it imports `{module}.{name}`, which is neither a function nor the memory: build it as an app, with `cargo xtask contract`"
    )]
    ImportKind { module: String, name: String },
    #[error(
        "it does not import its memory as `env.memory`: build it with `--import-memory`, as `cargo xtask contract` does"
    )]
    MemoryNotImported,
    #[error(
        "it asks for {initial} to {maximum} pages of memory, and the chain gives {max}: build it with `--max-memory=1048576`"
    )]
    MemoryTooLarge { initial: u64, maximum: u64, max: u64 },
    #[error("it does not export the function `{name}`: wrap the app with `app_kit::shell!`")]
    ExportMissing { name: &'static str },
    #[error(
        "it exports `{name}`, and the chain takes only `call` and `deploy`: strip it, as `cargo xtask contract` does"
    )]
    ForbiddenExport { name: String },
    #[error("its `{name}` takes parameters or gives results: wrap the app with `app_kit::shell!`")]
    EntryPointType { name: String },
    #[error("it has a start function, which would run before every call: build it as a library")]
    StartFunction,
    #[error("it has {got} {what}, and an app may have {max}: split what is so large")]
    TooMany { what: Countable, got: u64, max: u64 },
    #[error("it cannot be started: {message}; its data or its table reach past what it asks for")]
    NotStartable { message: String },
    #[error("{max} apps are held, which is the most: remove one that no channel uses")]
    LibraryFull { max: usize },
}

/// What an app may have only so many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[allow(missing_docs, reason = "the message of each variant is its documentation")]
pub enum Countable {
    #[error("global variables")]
    Globals,
    #[error("local variables in one function")]
    Locals,
    #[error("parameters of one function")]
    Parameters,
    #[error("targets of one branch table")]
    BranchTargets,
    #[error("places in its table of functions")]
    TableEntries,
}
