//! The apps that the tests' channels hold: deployed on the chain as real Wasm, and known to the rules in memory as native code.

use super::{Actor, built};
use counter::Counter;
use devchain::DevChain;
use escrow::Escrow;
use protocol::{
    AccountId, Hash, Pair,
    contracts::{AppContext, AppOutcome, AppReply, CallFault, NativeApps},
    decode_exact,
};
use scale::Decode;
use sdk::chain::{Chain, Transaction, arbiter::selector};
use std::collections::BTreeMap;

/// An app on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deployed {
    pub(crate) account: AccountId,
    pub(crate) code: Hash,
}

/// All of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Apps {
    pub(crate) counter: Deployed,
    pub(crate) escrow: Deployed,
    pub(crate) hostile: Deployed,
}

impl Apps {
    pub(crate) async fn deploy(chain: &DevChain) -> Self {
        Self {
            counter: deploy(chain, "counter").await,
            escrow: deploy(chain, "escrow").await,
            hostile: deploy(chain, "hostile").await,
        }
    }

    const fn all(&self) -> [Deployed; 3] {
        [self.counter, self.escrow, self.hostile]
    }

    /// Where each stands.
    pub(crate) fn by_account(&self) -> BTreeMap<AccountId, Hash> {
        self.all().into_iter().map(|app| (app.account, app.code)).collect()
    }

    /// Where code stands.
    pub(crate) fn account_of(&self, code: &Hash) -> Option<AccountId> {
        self.all().into_iter().find(|app| app.code == *code).map(|app| app.account)
    }

    /// What each does.
    pub(crate) fn native(&self) -> NativeApps {
        let mut apps = NativeApps::new();
        apps.register::<Counter>(self.counter.code);
        apps.register::<Escrow>(self.escrow.code);
        apps.register_as(self.hostile.code, |_context, _input| Err(CallFault::Failed), hostile_call);
        apps
    }
}

/// Puts an app on the chain.
pub(crate) async fn deploy(chain: &DevChain, package: &str) -> Deployed {
    deploy_code(chain, built(package), &[]).await
}

/// Puts code on the chain. `salt` tells apart several instances of it.
pub(crate) async fn deploy_code(chain: &DevChain, code: Vec<u8>, salt: &[u8]) -> Deployed {
    let deployer = Actor::Deployer.dev().signer();
    let data = selector("new").to_vec();
    let transaction = Transaction::Instantiate { code, value: 0, data, salt: salt.to_vec() };
    let dry_run = chain.dry_run(&Actor::Deployer.id(), &transaction).await.unwrap();
    let receipt = chain.submit(&deployer, transaction, &dry_run).await.unwrap();
    let account = receipt.instantiated.unwrap();
    Deployed { account, code: chain.code_hash(&account).await.unwrap().unwrap() }
}

/// The longest answer that an app can give, as it is encoded: its buffer, as `cargo xtask contract` makes it.
const MAX_ANSWER: usize = 64 * 1024;
/// So many rounds of the hostile app's work are more than an app may take.
pub(crate) const TOO_MUCH_WORK: u64 = 10_000_000;

/// What the arbiter should make of each thing that the hostile app does.
pub(crate) fn hostile_call(_context: &AppContext, state: &[u8], input: &[u8]) -> Result<AppReply, CallFault> {
    use hostile::Input;
    let outcome = AppOutcome { state: state.to_vec(), ..AppOutcome::default() };
    // It does not mind bytes after its instruction.
    let Ok(input) = Input::decode(&mut &*input) else { return Err(CallFault::Failed) };
    let reply = match input {
        Input::Behave | Input::RevertWithOutcome => Ok(outcome),
        Input::Work(rounds) if rounds < TOO_MUCH_WORK => Ok(outcome),
        Input::State(bytes) | Input::Output(bytes) | Input::Refuse(bytes) if bytes as usize > MAX_ANSWER => {
            return Err(CallFault::Failed);
        }
        Input::Trap
        | Input::Loop
        | Input::Work(_)
        | Input::Write
        | Input::Announce
        | Input::Send
        | Input::Terminate
        | Input::ChangeCode(_)
        | Input::TakeMemory
        | Input::CallBack { .. } => return Err(CallFault::Failed),
        Input::Garbage | Input::Silence | Input::Trailing => return Err(CallFault::Undecodable),
        Input::State(bytes) => Ok(AppOutcome { state: vec![7; bytes as usize], ..outcome }),
        Input::Output(bytes) => Ok(AppOutcome { output: vec![7; bytes as usize], ..outcome }),
        Input::Pay(initiator, responder) => Ok(AppOutcome { payouts: Pair::new(initiator, responder), ..outcome }),
        Input::Refuse(bytes) => Err(vec![7; bytes as usize]),
    };
    Ok(reply)
}

/// A value from an app's state.
pub(crate) fn value<T: Decode>(bytes: &[u8]) -> T {
    decode_exact(bytes).unwrap()
}
