//! The apps of a node: their code, whether the node takes part in them, and where they stand on chain (section 7).
//!
//! ```text
//!   Wasm (file, chain, peer) --add--> Library: checked, kept by hash, run by the interpreter or as native code
//!   code hash -------------accept--> the peer may begin contracts with it, and calls can be forced where it stands on chain
//! ```

mod deploy;
mod kept;
mod prices;

pub use deploy::deploy;
pub use interpreter::{AddError, AppRefused, ChainCosts, Interpreter, Library, NotUsed, PerByte};
pub use prices::PricesError;

use crate::{
    chain::{Arbiter, ChainError},
    store::{StoreError, WeakStore},
};
use channel::AppBook;
use protocol::{
    AccountId, Hash,
    contracts::{AppContext, AppReply, Apps, CallFault},
    terms::CallWeight,
};
use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};
use thiserror::Error;

/// What a node thinks of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppTerms {
    /// Where it stands on chain: without it no call could be forced.
    pub deployed: AccountId,
    /// Whether its contracts are worth nothing once they hold no coins: then the peer may remove such a one without asking.
    pub worthless_when_empty: bool,
}

/// Why an app cannot be taken part in.
#[derive(Debug, Error)]
pub enum AcceptAppError {
    /// The chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Nothing, or something else, stands there.
    #[error("at {at} stands {found:?}, not the app {code}: deploy it first, or correct the address")]
    NotThere {
        /// Where it was said to stand.
        at: AccountId,
        /// The app.
        code: Hash,
        /// What stands there.
        found: Option<Hash>,
    },
    /// The chain charges otherwise than the interpreter counts.
    #[error(transparent)]
    Prices(#[from] PricesError),
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The apps of a node. Shared: apps may be added while it runs.
#[derive(Debug)]
pub struct Registry {
    library: Library,
    known: RwLock<BTreeMap<Hash, KnownApp>>,
    /// Where the nodes of this registry keep what they think of apps.
    stores: RwLock<Vec<WeakStore>>,
    /// Whether the chain was seen to charge what the interpreter counts.
    prices_seen: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct KnownApp {
    terms: AppTerms,
    /// Whether the peer may begin contracts with it.
    welcome: bool,
}

impl Registry {
    /// The apps of this library; none of them is taken part in yet.
    #[must_use]
    pub const fn new(library: Library) -> Self {
        Self {
            library,
            known: RwLock::new(BTreeMap::new()),
            stores: RwLock::new(Vec::new()),
            prices_seen: AtomicBool::new(false),
        }
    }

    /// No apps, and room for them in memory. A call may cost what the arbiter allows.
    #[must_use]
    pub fn in_memory(limit: CallWeight) -> Self {
        Self::new(Library::new(Interpreter::new(limit)))
    }

    /// The apps that are kept in a folder, which is made where it is missing; what is added is kept there, so that channels can be continued
    /// after a restart. Files that cannot be used are named beside it.
    ///
    /// # Errors
    /// The file system's own.
    pub fn open(limit: CallWeight, folder: &Path) -> io::Result<(Self, Vec<NotUsed>)> {
        let (library, not_used) = Library::open(Interpreter::new(limit), folder)?;
        Ok((Self::new(library), not_used))
    }

    /// The code itself, and what runs it.
    #[must_use]
    pub const fn library(&self) -> &Library {
        &self.library
    }

    /// Checks an app's Wasm and keeps it: the node can run it from now on. Gives its hash.
    ///
    /// # Errors
    /// [`AddError`] names what an app must not do.
    pub fn add(&self, wasm: &[u8]) -> Result<Hash, AddError> {
        self.library.add(wasm)
    }

    /// Takes part in contracts with this code, once it is seen to stand where the terms say. Where its Wasm is not here, it is fetched from
    /// the chain or from the peer when it is needed.
    ///
    /// The first time, the chain is asked for its prices by dry runs in the name of `payer`, any account that owns a few coins: nothing is sent
    /// and nothing is paid. A call that costs more on chain than here could be agreed on and never be forced (R7.4).
    ///
    /// A node with a store keeps this there, and takes part again after a restart, without another look at the chain (R7.2b): the Wasm it fetches
    /// again, unless the registry keeps that in a folder ([`open`](Self::open)).
    ///
    /// # Errors
    /// [`AcceptAppError::NotThere`], [`AcceptAppError::Prices`], [`AcceptAppError::Store`]; the chain's own.
    pub async fn accept(
        &self,
        arbiter: &Arbiter,
        payer: &AccountId,
        code: Hash,
        terms: AppTerms,
    ) -> Result<(), AcceptAppError> {
        if !self.prices_seen.load(Ordering::Relaxed) {
            prices::check(&**arbiter.chain(), payer, self.library.costs()).await?;
            self.prices_seen.store(true, Ordering::Relaxed);
        }
        let (at, found) = (terms.deployed, arbiter.chain().code_hash(&terms.deployed).await?);
        if found != Some(code) {
            return Err(AcceptAppError::NotThere { at, code, found });
        }
        let known = KnownApp { terms, welcome: true };
        self.keep(code, known).await?;
        let _before = self.write().insert(code, known);
        Ok(())
    }

    /// Takes part in no new contracts with this code. Those that there are go on. Kept as [`accept`](Self::accept) is.
    ///
    /// # Errors
    /// The store's own; nothing new is accepted all the same until the node is started again.
    pub async fn refuse(&self, code: &Hash) -> Result<(), StoreError> {
        let Some(known) = self.known(code).map(|known| KnownApp { welcome: false, ..known }) else { return Ok(()) };
        let _before = self.write().insert(*code, known);
        self.keep(*code, known).await
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<Hash, KnownApp>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, code: &Hash) -> Option<KnownApp> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(code).copied()
    }
}

impl Apps for Registry {
    fn knows(&self, code: &Hash) -> bool {
        self.library.knows(code)
    }

    fn init(&self, code: &Hash, context: &AppContext, input: &[u8]) -> Result<AppReply, CallFault> {
        self.library.init(code, context, input)
    }

    fn call(&self, code: &Hash, context: &AppContext, state: &[u8], input: &[u8]) -> Result<AppReply, CallFault> {
        self.library.call(code, context, state, input)
    }

    fn init_counted(&self, code: &Hash, context: &AppContext, input: &[u8]) -> Result<(AppReply, u64), CallFault> {
        self.library.init_counted(code, context, input)
    }

    fn call_counted(
        &self,
        code: &Hash,
        context: &AppContext,
        state: &[u8],
        input: &[u8],
    ) -> Result<(AppReply, u64), CallFault> {
        self.library.call_counted(code, context, state, input)
    }
}

impl AppBook for Registry {
    fn accepts(&self, code: &Hash) -> bool {
        self.known(code).is_some_and(|known| known.welcome)
    }

    fn worthless_when_empty(&self, code: &Hash) -> bool {
        self.known(code).is_some_and(|known| known.terms.worthless_when_empty)
    }

    fn deployed(&self, code: &Hash) -> Option<AccountId> {
        self.known(code).map(|known| known.terms.deployed)
    }
}
