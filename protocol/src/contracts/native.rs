//! Apps as peers run them, those compiled into this process among them, and the surroundings in which peers predict what the arbiter will do.

use super::{
    App, AppContext, AppReply, CallFault, Code, Executor, MAX_INPUT, MAX_STATE,
    conditional::{self, ConditionalTransfer, HashLock, Preimage},
};
use crate::{
    AccountId, BlockNumber, Hash, Pair,
    crypto::{Crypto, Native},
    decode_exact,
};
use scale::Encode;
use std::{collections::BTreeMap, fmt};

/// Apps by the hash of their deployed code, as a peer runs them (R7.2). The same input gives the same answer, in every process.
pub trait Apps: fmt::Debug + Send + Sync {
    /// Whether the code with this hash can be run here.
    fn knows(&self, code: &Hash) -> bool;

    /// The first state of a new contract.
    ///
    /// # Errors
    /// [`CallFault::CodeNotThere`], [`CallFault::Failed`], [`CallFault::Undecodable`].
    fn init(&self, code: &Hash, context: &AppContext, input: &[u8]) -> Result<AppReply, CallFault>;

    /// One call.
    ///
    /// # Errors
    /// [`CallFault::CodeNotThere`], [`CallFault::Failed`], [`CallFault::Undecodable`].
    fn call(&self, code: &Hash, context: &AppContext, state: &[u8], input: &[u8]) -> Result<AppReply, CallFault>;

    /// As [`init`](Self::init), and what it took in picoseconds as the chain counts them (R7.4a): nothing where nobody counts.
    ///
    /// # Errors
    /// As of [`init`](Self::init).
    fn init_counted(&self, code: &Hash, context: &AppContext, input: &[u8]) -> Result<(AppReply, u64), CallFault> {
        self.init(code, context, input).map(|reply| (reply, 0))
    }

    /// As [`call`](Self::call), and what it took in picoseconds as the chain counts them (R7.4a): nothing where nobody counts.
    ///
    /// # Errors
    /// As of [`call`](Self::call).
    fn call_counted(
        &self,
        code: &Hash,
        context: &AppContext,
        state: &[u8],
        input: &[u8],
    ) -> Result<(AppReply, u64), CallFault> {
        self.call(code, context, state, input).map(|reply| (reply, 0))
    }
}

/// The state in which a new contract begins (R4.5, R7.1): what its app makes of the input; of a builtin, the input itself.
///
/// # Errors
/// [`CallFault`]: the contract is not created then.
pub fn first_state(apps: &dyn Apps, code: &Code, context: &AppContext, input: &[u8]) -> Result<Vec<u8>, CallFault> {
    if input.len() > MAX_INPUT {
        return Err(CallFault::TooLarge);
    }
    let state = match code {
        Code::Contract(code) => {
            let outcome = apps.init(code, context, input)?.map_err(|_apps_own| CallFault::Refused)?;
            if outcome.payouts != Pair::default() || !outcome.output.is_empty() || outcome.requirement.is_some() {
                return Err(CallFault::Undecodable);
            }
            outcome.state
        }
        Code::Builtin(conditional::BUILTIN) => {
            let first: ConditionalTransfer = decode_exact(input).map_err(|_undecodable| CallFault::Malformed)?;
            first.encode()
        }
        Code::Builtin(unknown) => return Err(CallFault::BuiltinUnknown(*unknown)),
    };
    if state.len() > MAX_STATE { Err(CallFault::TooLarge) } else { Ok(state) }
}

/// Apps as native code.
#[derive(Clone, Debug, Default)]
pub struct NativeApps(BTreeMap<Hash, NativeApp>);

/// How an app's first state is made, on bytes.
pub type NativeInit = fn(&AppContext, &[u8]) -> Result<AppReply, CallFault>;
/// How an app is called, on bytes.
pub type NativeCall = fn(&AppContext, &[u8], &[u8]) -> Result<AppReply, CallFault>;

#[derive(Clone, Copy, Debug)]
struct NativeApp {
    init: NativeInit,
    call: NativeCall,
}

impl NativeApps {
    /// No apps.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that the code with this hash is `A`.
    pub fn register<A: App>(&mut self, code: Hash) {
        self.register_as(
            code,
            |context, input| Ok(A::init_bytes(context, input)),
            |context, state, input| Ok(A::call_bytes(context, state, input)),
        );
    }

    /// Says what the code with this hash does, its faults included.
    pub fn register_as(&mut self, code: Hash, init: NativeInit, call: NativeCall) {
        let _replaced = self.0.insert(code, NativeApp { init, call });
    }
}

impl Apps for NativeApps {
    fn knows(&self, code: &Hash) -> bool {
        self.0.contains_key(code)
    }

    fn init(&self, code: &Hash, context: &AppContext, input: &[u8]) -> Result<AppReply, CallFault> {
        self.0.get(code).map_or(Err(CallFault::CodeNotThere), |app| (app.init)(context, input))
    }

    fn call(&self, code: &Hash, context: &AppContext, state: &[u8], input: &[u8]) -> Result<AppReply, CallFault> {
        self.0.get(code).map_or(Err(CallFault::CodeNotThere), |app| (app.call)(context, state, input))
    }
}

/// Two are equal that know the same code: what the code does follows from its hash.
impl PartialEq for NativeApps {
    fn eq(&self, other: &Self) -> bool {
        self.0.keys().eq(other.0.keys())
    }
}

impl Eq for NativeApps {}

/// What peers predict with, and replay with: the apps that they run, and what they know of the pre-images shown on chain.
pub struct Predictor<'a> {
    apps: &'a dyn Apps,
    registry: Registry<'a>,
}

/// What a [`Predictor`] takes to be in the arbiter's registry of pre-images (R8.2).
enum Registry<'a> {
    /// What is known of it: the block in which a lock's pre-image was first shown. What a claim shows itself is shown in its own block.
    Known(&'a dyn Fn(&HashLock) -> Option<BlockNumber>),
    /// What it must have been for calls that the arbiter has made: whatever was claimed had been shown in time, and what was refunded had not. A call that
    /// succeeded can have come to one thing only: what it required changes nothing else of it (R7.1a).
    OfThePast,
}

impl<'a> Predictor<'a> {
    /// For calls that the arbiter might make. `shown_at` gives the block in which a lock's pre-image was first shown.
    #[must_use]
    pub fn new(apps: &'a dyn Apps, shown_at: &'a dyn Fn(&HashLock) -> Option<BlockNumber>) -> Self {
        Self { apps, registry: Registry::Known(shown_at) }
    }

    /// For calls that the arbiter has made: nothing has to be known of the registry to tell what they came to.
    #[must_use]
    pub fn replaying(apps: &'a dyn Apps) -> Self {
        Self { apps, registry: Registry::OfThePast }
    }
}

impl Crypto for Predictor<'_> {
    fn hash(&self, bytes: &[u8]) -> Hash {
        Native.hash(bytes)
    }

    fn sha2_256(&self, bytes: &[u8]) -> Hash {
        Native.sha2_256(bytes)
    }
}

impl Executor for Predictor<'_> {
    fn call_app(
        &mut self,
        code: &Hash,
        _at: Option<&AccountId>,
        context: &AppContext,
        state: &[u8],
        input: &[u8],
    ) -> Result<AppReply, CallFault> {
        self.apps.call(code, context, state, input)
    }

    fn shown_at(&self, lock: &HashLock) -> Option<BlockNumber> {
        match self.registry {
            Registry::Known(shown_at) => shown_at(lock),
            Registry::OfThePast => None,
        }
    }

    fn show(&mut self, lock: &HashLock, _preimage: &Preimage, now: BlockNumber) -> BlockNumber {
        match self.registry {
            Registry::Known(shown_at) => shown_at(lock).unwrap_or(now),
            Registry::OfThePast => 0,
        }
    }
}
