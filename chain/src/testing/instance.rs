//! An arbiter on a chain in memory: the rules' own ledger, asked and answered in the contract's bytes.

use super::{
    accounts::Accounts,
    executed::ExecutedCall,
    message::{Message, NOT_UNDERSTOOD, understood},
};
use crate::{ChainError, ContractEvent};
use interpreter::{Interpreter, Library};
use protocol::{
    AccountId, Amount, BlockNumber, ChannelId, Hash, PartyId, Rejection,
    arbiter::{Applied, CallContext, Ledger, prove_contract_state},
    call::{Call, Read},
    crypto::{Crypto, Native},
    signing::{Domain, VERSION},
    terms::Limits,
};
use scale::Encode;
use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

/// One arbiter, with everything that it stores.
#[derive(Clone)]
pub(super) struct Instance {
    domain: Domain,
    limits: Limits,
    ledger: Ledger,
    /// What runs apps in forced steps, within the weight that this arbiter allows.
    library: Arc<Library>,
}

impl Instance {
    /// A new one.
    pub(super) fn new(domain: Domain, limits: Limits) -> Self {
        let library = Arc::new(Library::new(Interpreter::new(limits.call_weight)));
        Self { domain, limits, ledger: Ledger::default(), library }
    }

    /// Has it run this code where an app has it.
    ///
    /// # Errors
    /// [`ChainError::Failed`] where the interpreter refuses the code.
    pub(super) fn add_app(&self, code: &[u8]) -> Result<(), ChainError> {
        let refused =
            |error| ChainError::Failed { cause: format!("the interpreter refuses this code as an app: {error}") };
        self.library.add(code).map(drop).map_err(refused)
    }

    /// Answers a call from `from` in block `now`, to which `value` coins are attached, which are on its account already. `apps` stand on the
    /// chain. Where the answer is a refusal, the caller undoes everything.
    ///
    /// # Errors
    /// [`ChainError::Failed`] where the contract would trap.
    pub(super) fn answer(
        &mut self,
        (from, value, now): (AccountId, Amount, BlockNumber),
        data: &[u8],
        accounts: &mut Accounts,
        apps: &BTreeMap<AccountId, Hash>,
    ) -> Result<ExecutedCall, ChainError> {
        let Some(message) = Message::decode(data) else {
            return Ok(ExecutedCall { returned: NOT_UNDERSTOOD.to_vec(), reverted: true, ..ExecutedCall::default() });
        };
        if value > 0 && !message.is_payable() {
            return Err(ChainError::Failed { cause: "Contracts::ContractTrapped".into() });
        }
        let call = match message {
            Message::Read(read) => return Ok(self.read(read)),
            Message::Call(call) => call,
        };
        let context = CallContext { domain: self.domain, limits: self.limits, now, caller: from };
        let returns = Returns::of(&call);
        self.ledger.deployed.clone_from(apps);
        let balances = RefCell::new(accounts);
        let own = self.domain.arbiter;
        let pays = |to: &AccountId, amount| balances.borrow_mut().pay(&own, to, amount);
        let verdict = self.ledger.apply_with(&context, call, value, &pays, &*self.library);
        let returned = returns.encode(&verdict);
        Ok(match verdict {
            Ok(applied) => ExecutedCall { returned, events: self.events(applied), ..ExecutedCall::default() },
            Err(_refused) => ExecutedCall { returned, reverted: true, ..ExecutedCall::default() },
        })
    }

    fn read(&self, read: Read) -> ExecutedCall {
        let ledger = &self.ledger;
        let mut reverted = false;
        let returned = match read {
            Read::Channel(channel) => understood(&ledger.channels.get(&channel)),
            Read::VaultBalance(owner) => understood(&ledger.vaults.get(&owner).copied().unwrap_or(0)),
            Read::PairNonce(parties) => understood(&ledger.nonces.get(&parties).copied().unwrap_or(0)),
            Read::PreimageShownAt(lock) => understood(&ledger.preimages.get(&lock)),
            Read::Limits => understood(&self.limits),
            Read::Domain => understood(&self.domain),
            Read::Version => understood(&VERSION),
            Read::ProveContractState(claim) => {
                let record = ledger.channels.get(&claim.channel).ok_or(Rejection::ChannelUnknown);
                let artefact = record.and_then(|record| prove_contract_state(record, &claim, &Native));
                reverted = artefact.is_err();
                understood(&artefact)
            }
        };
        ExecutedCall { returned, reverted, ..ExecutedCall::default() }
    }

    /// What the contract emits for an accepted call, in its order: a forced step shows pre-images before it tells of the channel, and no other
    /// call emits events of two kinds.
    fn events(&self, applied: Applied) -> Vec<ContractEvent> {
        let shown = applied.preimages.into_iter().map(|(lock, preimage, shown_at)| {
            let fields = (lock.digest, lock.function, preimage, shown_at);
            self.event("PreimageEvent(protocol::Hash,HashFunction,Preimage,BlockNumber)", lock.digest, &fields)
        });
        let told = applied.events.into_iter().map(|(channel, event, payouts)| {
            self.event("ChannelEvent(ChannelId,Event,Vec<Payout>)", Hash(channel.0), &(channel, event, payouts))
        });
        let used = applied.vaults.into_iter().map(|(PartyId { account, key }, balance)| {
            self.event("VaultEvent(protocol::AccountId,PublicKey,Amount)", Hash(account.0), &(account, key, balance))
        });
        shown.chain(told).chain(used).collect()
    }

    /// An event whose first field can be searched for, as ink! lays it out: its signature is the hash of its name and its fields' types.
    fn event(&self, signature: &str, topic: Hash, fields: &impl Encode) -> ContractEvent {
        let topics = vec![Native.hash(signature.as_bytes()), topic];
        ContractEvent { contract: self.domain.arbiter, topics, data: fields.encode() }
    }
}

/// What the contract returns for a call that its rules accept.
#[derive(Clone, Copy)]
enum Returns {
    Nothing,
    Channel,
    Block,
    Blocks,
    Verdicts,
}

impl Returns {
    const fn of(call: &Call) -> Self {
        match call {
            Call::ChannelCreate(_) => Self::Channel,
            Call::PreimageRegister { .. } => Self::Block,
            Call::PreimagesRegister { .. } => Self::Blocks,
            Call::Batch(_) => Self::Verdicts,
            _ => Self::Nothing,
        }
    }

    /// The answer's bytes.
    fn encode(self, verdict: &Result<Applied, Rejection>) -> Vec<u8> {
        let applied = match verdict {
            Ok(applied) => applied,
            Err(rejection) => return understood(&Err::<(), _>(*rejection)),
        };
        let shown = || applied.preimages.iter().map(|(_, _, shown_at)| *shown_at);
        match self {
            Self::Nothing => understood(&accepted(())),
            Self::Channel => {
                let created = applied.events.first().map(|(channel, ..)| *channel);
                understood(&accepted(created.unwrap_or(ChannelId([0; 32]))))
            }
            Self::Block => understood(&accepted(shown().next().unwrap_or_default())),
            Self::Blocks => understood(&accepted(shown().collect::<Vec<_>>())),
            Self::Verdicts => understood(&accepted(&applied.batch)),
        }
    }
}

const fn accepted<T>(answer: T) -> Result<T, Rejection> {
    Ok(answer)
}
