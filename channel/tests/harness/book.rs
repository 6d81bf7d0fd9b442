//! The apps of both sides: those of the arbiter's own tests, as native code.

use super::apps;
use channel::AppBook;
use protocol::{
    AccountId, Hash,
    contracts::{AppContext, AppReply, Apps, CallFault, NativeApps},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// What a side knows of apps, and wants of them.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    native: NativeApps,
    /// Codes that are not here (yet).
    pub(crate) missing: BTreeSet<Hash>,
    /// Codes that this side takes no part in.
    pub(crate) refused: BTreeSet<Hash>,
    /// Codes whose contracts are worth nothing without coins.
    pub(crate) worthless: BTreeSet<Hash>,
    /// What each call takes, in picoseconds (R7.4a).
    pub(crate) takes: u64,
    /// How many calls of apps were made, also in vain.
    pub(crate) ran: Arc<AtomicUsize>,
}

impl Book {
    pub(crate) fn new() -> Self {
        let (missing, refused, worthless) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { native: apps::native(), missing, refused, worthless, takes: 0, ran: Arc::default() }
    }
}

impl Apps for Book {
    fn knows(&self, code: &Hash) -> bool {
        !self.missing.contains(code) && self.native.knows(code)
    }

    fn init(&self, code: &Hash, context: &AppContext, input: &[u8]) -> Result<AppReply, CallFault> {
        if self.knows(code) { self.native.init(code, context, input) } else { Err(CallFault::CodeNotThere) }
    }

    fn call(&self, code: &Hash, context: &AppContext, state: &[u8], input: &[u8]) -> Result<AppReply, CallFault> {
        if self.knows(code) { self.native.call(code, context, state, input) } else { Err(CallFault::CodeNotThere) }
    }

    fn call_counted(
        &self,
        code: &Hash,
        context: &AppContext,
        state: &[u8],
        input: &[u8],
    ) -> Result<(AppReply, u64), CallFault> {
        let _before = self.ran.fetch_add(1, Ordering::Relaxed);
        self.call(code, context, state, input).map(|reply| (reply, self.takes))
    }
}

impl AppBook for Book {
    fn accepts(&self, code: &Hash) -> bool {
        !self.refused.contains(code)
    }

    fn worthless_when_empty(&self, code: &Hash) -> bool {
        self.worthless.contains(code)
    }

    fn deployed(&self, code: &Hash) -> Option<AccountId> {
        apps::deployed().into_iter().find(|(_, deployed)| deployed == code).map(|(account, _)| account)
    }
}
