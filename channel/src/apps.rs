//! The apps of a peer: what is asked of them before a contract runs.

use protocol::{
    AccountId, Hash,
    contracts::{AppContext, AppReply, Apps, CallFault},
};

/// The apps of a peer: how they are run, which of them it takes part in, and where they stand on chain (R7.2).
pub trait AppBook: Apps {
    /// Whether this side takes part in contracts with this code that its peer begins.
    fn accepts(&self, code: &Hash) -> bool;

    /// Whether a contract with this code is worth nothing once it holds no coins, so that its peer may remove it without asking.
    fn worthless_when_empty(&self, code: &Hash) -> bool;

    /// Where the code is deployed: needed to force a call (R5.10).
    fn deployed(&self, code: &Hash) -> Option<AccountId>;
}

/// For a side without contracts: it knows no app.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoApps;

impl Apps for NoApps {
    fn knows(&self, _code: &Hash) -> bool {
        false
    }

    fn init(&self, _code: &Hash, _context: &AppContext, _input: &[u8]) -> Result<AppReply, CallFault> {
        Err(CallFault::CodeNotThere)
    }

    fn call(&self, _code: &Hash, _context: &AppContext, _state: &[u8], _input: &[u8]) -> Result<AppReply, CallFault> {
        Err(CallFault::CodeNotThere)
    }
}

impl AppBook for NoApps {
    fn accepts(&self, _code: &Hash) -> bool {
        false
    }

    fn worthless_when_empty(&self, _code: &Hash) -> bool {
        false
    }

    fn deployed(&self, _code: &Hash) -> Option<AccountId> {
        None
    }
}
