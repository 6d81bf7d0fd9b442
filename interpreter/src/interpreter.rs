//! Apps as the Wasm that is deployed (R7.2).

use crate::{
    AppRefused, ChainCosts,
    check::Imports,
    module::{Allowance, LoadedApp, code_hash},
};
use protocol::{
    Hash,
    contracts::{AppContext, AppReply, Apps, CALL_SELECTOR, CallFault, INIT_SELECTOR},
    decode_exact,
    terms::CallWeight,
};
use scale::{Decode, Encode};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// The most apps held at a time. A compiled app takes some ten times the room of its code.
pub const MAX_APPS: usize = 256;
/// The buffer through which the arbiter asks an app and is answered (`cargo xtask contract`): the question and the answer share it with an
/// address and an amount, and a longer answer breaks off the arbiter's own call.
const ARBITER_BUFFER: usize = 64 * 1024;
const ADDRESS_AND_AMOUNT: usize = 32 + 16;

/// Runs apps as Wasm, and nothing but that; [`Library`](crate::Library) knows native ones too.
///
/// May be shared between threads, and apps be added while others run.
#[derive(Debug)]
pub struct Interpreter {
    allowance: Allowance,
    apps: RwLock<BTreeMap<Hash, Arc<LoadedApp>>>,
}

impl Interpreter {
    /// No apps yet. `limit` is the arbiter's (`Limits::call_weight`); its proof size bounds nothing here, see [`crate`].
    #[must_use]
    pub const fn new(limit: CallWeight) -> Self {
        Self::with_costs(limit, ChainCosts::CONTRACTS_NODE)
    }

    /// For a chain that charges otherwise.
    #[must_use]
    pub const fn with_costs(limit: CallWeight, costs: ChainCosts) -> Self {
        Self { allowance: Allowance { time: limit.ref_time, costs }, apps: RwLock::new(BTreeMap::new()) }
    }

    /// What calls are counted with.
    #[must_use]
    pub const fn costs(&self) -> ChainCosts {
        self.allowance.costs
    }

    /// Checks code, compiles it, and runs it from now on. Code that is held already is no error.
    ///
    /// # Errors
    /// [`AppRefused`]; nothing has changed then.
    pub fn add(&self, code: &[u8]) -> Result<Hash, AppRefused> {
        self.add_checked(code, Imports::Allowed)
    }

    /// [`Interpreter::add`] of an app that imports what it may not; whenever it uses that, the call fails.
    ///
    /// # Errors
    /// [`AppRefused`], for everything else.
    pub fn add_with_any_imports_for_test_only(&self, code: &[u8]) -> Result<Hash, AppRefused> {
        self.add_checked(code, Imports::Any)
    }

    fn add_checked(&self, code: &[u8], imports: Imports) -> Result<Hash, AppRefused> {
        let hash = code_hash(code);
        if !self.knows(&hash) {
            self.check_room(&self.read())?;
            // Compiled without holding anybody up.
            let app = LoadedApp::new(code, imports)?;
            self.insert(hash, app)?;
        }
        Ok(hash)
    }

    pub(crate) fn insert(&self, hash: Hash, app: LoadedApp) -> Result<(), AppRefused> {
        let mut apps = self.write();
        if !apps.contains_key(&hash) {
            self.check_room(&apps)?;
            let _none = apps.insert(hash, Arc::new(app));
        }
        Ok(())
    }

    #[allow(clippy::unused_self, reason = "reads like what it is")]
    fn check_room(&self, apps: &BTreeMap<Hash, Arc<LoadedApp>>) -> Result<(), AppRefused> {
        if apps.len() < MAX_APPS { Ok(()) } else { Err(AppRefused::LibraryFull { max: MAX_APPS }) }
    }

    /// Forgets an app; whether there was one. Calls under way end as they would have.
    pub fn remove(&self, code: &Hash) -> bool {
        self.write().remove(code).is_some()
    }

    /// The hashes of all apps held, in order.
    #[must_use]
    pub fn codes(&self) -> Vec<Hash> {
        self.read().keys().copied().collect()
    }

    /// An app's code, as it was added: to be handed to a peer, or deployed.
    #[must_use]
    pub fn code(&self, code: &Hash) -> Option<Arc<[u8]>> {
        self.read().get(code).map(|app| app.code())
    }

    fn ask(&self, code: &Hash, message: Vec<u8>) -> Result<(AppReply, u64), CallFault> {
        // Not while holding the lock: an app may take its time.
        let app = self.read().get(code).cloned().ok_or(CallFault::CodeNotThere)?;
        let room = room_for_answer(message.len());
        let (answer, took) = app.run(message, &self.allowance)?;
        if answer.len() > room {
            return Err(CallFault::Failed);
        }
        match decode_exact::<Result<AppReply, LangError>>(&answer) {
            Ok(Ok(reply)) => Ok((reply, took)),
            Ok(Err(_)) | Err(_) => Err(CallFault::Undecodable),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Hash, Arc<LoadedApp>>> {
        // Nobody panics halfway through a change of the map.
        self.apps.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Hash, Arc<LoadedApp>>> {
        self.apps.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Apps for Interpreter {
    fn knows(&self, code: &Hash) -> bool {
        self.read().contains_key(code)
    }

    fn init(&self, code: &Hash, context: &AppContext, input: &[u8]) -> Result<AppReply, CallFault> {
        self.init_counted(code, context, input).map(|(reply, _took)| reply)
    }

    fn call(&self, code: &Hash, context: &AppContext, state: &[u8], input: &[u8]) -> Result<AppReply, CallFault> {
        self.call_counted(code, context, state, input).map(|(reply, _took)| reply)
    }

    fn init_counted(&self, code: &Hash, context: &AppContext, input: &[u8]) -> Result<(AppReply, u64), CallFault> {
        self.ask(code, (INIT_SELECTOR, context, input).encode())
    }

    fn call_counted(
        &self,
        code: &Hash,
        context: &AppContext,
        state: &[u8],
        input: &[u8],
    ) -> Result<(AppReply, u64), CallFault> {
        self.ask(code, (CALL_SELECTOR, context, state, input).encode())
    }
}

/// How long an answer the arbiter could take to a question of so many bytes.
pub(crate) const fn room_for_answer(question: usize) -> usize {
    ARBITER_BUFFER.saturating_sub(ADDRESS_AND_AMOUNT).saturating_sub(question)
}

/// What ink! answers where a message does not even reach the app.
#[derive(Debug, Encode, Decode)]
enum LangError {
    #[codec(index = 1)]
    CouldNotReadInput,
}
