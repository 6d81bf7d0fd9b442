//! All apps that a peer can run: native ones, and those it holds as Wasm, on disk as well.

use crate::{
    AppRefused, ChainCosts, NotUsed, Unusable,
    cache::Cache,
    check::Imports,
    interpreter::{Interpreter, MAX_APPS, room_for_answer},
    module::{LoadedApp, code_hash},
};
use protocol::{
    Hash,
    contracts::{AppContext, AppReply, Apps, CallFault, NativeApps},
};
use scale::Encode;
use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use thiserror::Error;

/// The apps of a peer. Native code is preferred where there is some; [`Library::interpreter`] is the same without it.
///
/// Share it behind an [`Arc`]; apps are added while others run.
#[derive(Debug)]
pub struct Library {
    native: NativeApps,
    interpreter: Interpreter,
    cache: Option<Cache>,
    /// Held by whoever changes what is held: memory and disk change together.
    change: Mutex<()>,
}

/// Why an app was not added.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the message of each variant is its documentation")]
pub enum AddError {
    #[error(transparent)]
    Refused(#[from] AppRefused),
    #[error(
        "the app could not be kept on disk ({0}), and without it its channels could not be continued after a restart"
    )]
    NotKept(#[from] io::Error),
}

impl Library {
    /// The apps that an interpreter holds, and nothing on disk.
    #[must_use]
    pub fn new(interpreter: Interpreter) -> Self {
        Self::around(interpreter, None)
    }

    /// What calls of apps that are Wasm are counted with.
    #[must_use]
    pub const fn costs(&self) -> ChainCosts {
        self.interpreter.costs()
    }

    /// Native apps beside those that are Wasm.
    ///
    /// Nobody counts what native code takes: register an app only if no call of it can ever come near the limit as Wasm. What it signed
    /// could not be forced otherwise.
    #[must_use]
    pub fn with_native(mut self, apps: NativeApps) -> Self {
        self.native = apps;
        self
    }

    /// The apps that `folder` holds, and from now on every one that is added. Creates the folder where there is none, for its owner alone.
    ///
    /// What cannot be used is no error but told: files that are not what their name says were set aside.
    ///
    /// # Errors
    /// Where the folder cannot be read or created.
    pub fn open(interpreter: Interpreter, folder: &Path) -> io::Result<(Self, Vec<NotUsed>)> {
        let cache = Cache::open(folder)?;
        let mut not_used = Vec::new();
        for (place, kept) in cache.list()?.into_iter().enumerate() {
            let loaded = match place < MAX_APPS {
                true => cache.read(&kept).and_then(|code| {
                    let app = LoadedApp::new(&code, Imports::Allowed).map_err(|refused| {
                        cache.set_aside(&kept).map_or_else(Unusable::from, |()| Unusable::from(refused))
                    })?;
                    Ok(interpreter.insert(kept.hash, app)?)
                }),
                false => Err(Unusable::OneTooMany),
            };
            if let Err(why) = loaded {
                not_used.push(NotUsed { file: kept.file, why });
            }
        }
        Ok((Self::around(interpreter, Some(cache)), not_used))
    }

    fn around(interpreter: Interpreter, cache: Option<Cache>) -> Self {
        Self { native: NativeApps::new(), interpreter, cache, change: Mutex::new(()) }
    }

    /// Checks code, keeps it, and runs it from now on. Code that is held already is no error.
    ///
    /// # Errors
    /// [`AddError`]; nothing has changed then.
    pub fn add(&self, code: &[u8]) -> Result<Hash, AddError> {
        let hash = code_hash(code);
        if self.interpreter.knows(&hash) {
            return Ok(hash);
        }
        // Compiled first: a bad app holds nobody up and leaves nothing on disk.
        let app = LoadedApp::new(code, Imports::Allowed)?;
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        self.interpreter.insert(hash, app)?;
        if let Some(cache) = &self.cache
            && let Err(error) = cache.write(&hash, code)
        {
            let _was_there = self.interpreter.remove(&hash);
            return Err(error.into());
        }
        Ok(hash)
    }

    /// [`Library::add`] of code that has to be the one agreed on: what a peer sends for a hash.
    ///
    /// # Errors
    /// [`AppRefused::OtherCode`], and those of [`Library::add`].
    pub fn add_expected(&self, expected: &Hash, code: &[u8]) -> Result<(), AddError> {
        let got = code_hash(code);
        if got != *expected {
            return Err(AppRefused::OtherCode { expected: *expected, got }.into());
        }
        self.add(code).map(drop)
    }

    /// Forgets an app's code; whether there was some. Native apps stay. Channels that hold a contract of it cannot go on without.
    ///
    /// # Errors
    /// Where it could not be taken off the disk; it is still held then.
    pub fn remove(&self, code: &Hash) -> io::Result<bool> {
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cache) = &self.cache {
            let _was_there = cache.remove(code)?;
        }
        Ok(self.interpreter.remove(code))
    }

    /// The same apps without native code: what the chain would do, to the last unit of fuel.
    #[must_use]
    pub const fn interpreter(&self) -> &Interpreter {
        &self.interpreter
    }

    /// An app's code, where it is held as Wasm: to be handed to a peer, or deployed.
    #[must_use]
    pub fn code(&self, code: &Hash) -> Option<Arc<[u8]>> {
        self.interpreter.code(code)
    }
}

impl Apps for Library {
    fn knows(&self, code: &Hash) -> bool {
        self.native.knows(code) || self.interpreter.knows(code)
    }

    fn init(&self, code: &Hash, context: &AppContext, input: &[u8]) -> Result<AppReply, CallFault> {
        self.init_counted(code, context, input).map(|(reply, _took)| reply)
    }

    fn call(&self, code: &Hash, context: &AppContext, state: &[u8], input: &[u8]) -> Result<AppReply, CallFault> {
        self.call_counted(code, context, state, input).map(|(reply, _took)| reply)
    }

    /// Native code is counted as nothing.
    fn init_counted(&self, code: &Hash, context: &AppContext, input: &[u8]) -> Result<(AppReply, u64), CallFault> {
        if !self.native.knows(code) {
            return self.interpreter.init_counted(code, context, input);
        }
        let question = SELECTOR.saturating_add((context, input).encoded_size());
        fits(question, self.native.init(code, context, input)?).map(|reply| (reply, 0))
    }

    /// Native code is counted as nothing.
    fn call_counted(
        &self,
        code: &Hash,
        context: &AppContext,
        state: &[u8],
        input: &[u8],
    ) -> Result<(AppReply, u64), CallFault> {
        if !self.native.knows(code) {
            return self.interpreter.call_counted(code, context, state, input);
        }
        let question = SELECTOR.saturating_add((context, state, input).encoded_size());
        fits(question, self.native.call(code, context, state, input)?).map(|reply| (reply, 0))
    }
}

/// The bytes of a selector.
const SELECTOR: usize = 4;

/// An answer that the arbiter could take from Wasm, and the interpreter here.
fn fits(question: usize, reply: AppReply) -> Result<AppReply, CallFault> {
    // As ink! wraps it: one byte says that the message was reached.
    let answer = reply.encoded_size().saturating_add(1);
    if answer <= room_for_answer(question) { Ok(reply) } else { Err(CallFault::Failed) }
}
