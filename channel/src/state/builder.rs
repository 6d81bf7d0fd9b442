//! A round in the making: its changes are tried on the state before it, one by one. Both sides run this very code (R4.5).

mod transfers;

use super::{Change, ChangeFault, Creation, MAX_META, Outcome, Results, State, change::length};
use crate::apps::AppBook;
use protocol::{
    Amount, BlockNumber, ChannelId, Hash, Pair, Party, Round,
    contracts::{
        AppContext, AppReply, Apps, CallFault, CallReceipt, Code, Contract, ContractId, Invocation, MAX_STATE,
        Predictor, Requirement, calls_root, execute, first_state,
    },
    crypto::Native,
    terms::CallWeight,
};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

/// The most contracts that one round may create and call together: bounds the work that one message can ask for.
pub const MAX_EXECUTIONS_PER_ROUND: usize = 512;
/// The most bytes that one round's changes may carry: inputs, states, notes.
pub const MAX_ROUND_BYTES: usize = 1 << 20;
/// What the apps of one round may take together before the last of them is called, in picoseconds as the chain counts them: ten calls of the
/// heaviest kind under the standard limits (R7.4a). One call may always be made, whatever its arbiter allows.
pub const MAX_ROUND_TIME: u64 = 10 * CallWeight::STANDARD.ref_time;
/// The deepest that a contract's leaf may stand. Ids are hashes, so among a million contracts none stands deeper than about 40 by chance; one
/// that does was searched for, to be costly to prove on chain.
const MAX_LEAF_DEPTH: usize = 64;

/// Where a round is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundContext<'a> {
    pub(crate) channel: ChannelId,
    pub(crate) round: Round,
    /// The block that counts for it (R7.3).
    pub(crate) height: BlockNumber,
    pub(crate) proposer: Party,
    /// The least each party keeps (R4.4).
    pub(crate) reserve: Amount,
    pub(crate) max_contracts: u32,
    pub(crate) apps: &'a dyn AppBook,
}

/// A round in the making.
#[derive(Clone)]
pub(crate) struct RoundBuilder<'a> {
    context: RoundContext<'a>,
    before: &'a State,
    balances: Pair<Amount>,
    /// The contracts it has touched; none where one is gone.
    touched: BTreeMap<ContractId, Option<Contract>>,
    contracts: usize,
    /// How many of them are conditional transfers: these have limits of their own (R8.3b).
    transfers: usize,
    created: Vec<ContractId>,
    receipts: Vec<CallReceipt>,
    results: Results,
    /// What its calls require of hash locks, by the places of their changes (R7.1a).
    requirements: Vec<(u32, Requirement)>,
    executions: usize,
    /// What its apps have taken by now.
    time: u64,
    bytes: usize,
    changes: u32,
}

/// Apps, and what they have taken since this was made.
#[derive(Debug)]
struct CountedApps<'a> {
    apps: &'a dyn AppBook,
    took: AtomicU64,
}

impl<'a> CountedApps<'a> {
    const fn new(apps: &'a dyn AppBook) -> Self {
        Self { apps, took: AtomicU64::new(0) }
    }

    fn count(&self, (reply, took): (AppReply, u64)) -> AppReply {
        let _before = self.took.fetch_add(took, Ordering::Relaxed);
        reply
    }
}

impl Apps for CountedApps<'_> {
    fn knows(&self, code: &Hash) -> bool {
        self.apps.knows(code)
    }

    fn init(&self, code: &Hash, context: &AppContext, input: &[u8]) -> Result<AppReply, CallFault> {
        self.apps.init_counted(code, context, input).map(|counted| self.count(counted))
    }

    fn call(&self, code: &Hash, context: &AppContext, state: &[u8], input: &[u8]) -> Result<AppReply, CallFault> {
        self.apps.call_counted(code, context, state, input).map(|counted| self.count(counted))
    }
}

impl<'a> RoundBuilder<'a> {
    pub(crate) const fn new(context: RoundContext<'a>, before: &'a State) -> Self {
        Self {
            context,
            before,
            balances: before.balances,
            touched: BTreeMap::new(),
            contracts: before.contracts.len(),
            transfers: before.contracts.transfers(),
            created: Vec::new(),
            receipts: Vec::new(),
            results: Vec::new(),
            requirements: Vec::new(),
            executions: 0,
            time: 0,
            bytes: 0,
            changes: 0,
        }
    }

    /// Makes the next change, or none of it.
    ///
    /// # Errors
    /// [`ChangeFault`]; the builder is as it was.
    pub(crate) fn make(&mut self, change: &Change) -> Result<(), ChangeFault> {
        let executions = self.executions.saturating_add(change.executions());
        let bytes = self.bytes.saturating_add(change.bytes());
        let is_over = change.executes() && self.time >= MAX_ROUND_TIME;
        if is_over || executions > MAX_EXECUTIONS_PER_ROUND || bytes > MAX_ROUND_BYTES {
            return Err(ChangeFault::RoundFull);
        }
        let outcome = match change {
            Change::Transfer(payment) => {
                payment.check()?;
                let mut shares = Pair::default();
                shares[self.context.proposer.peer()] = payment.amount;
                self.balances = self.moved(&self.taking(payment.amount), &shares)?;
                None
            }
            Change::CreateContract(creation) => Some(self.create(creation)?),
            Change::CallContract { contract, value, input } => Some(self.call(*contract, *value, input)?),
            Change::RemoveContract { contract, shares } => Some(self.remove(*contract, *shares)?),
            Change::UpgradeContract { contract, code, state } => {
                Some(self.upgrade(*contract, *code, state.as_deref())?)
            }
            Change::Meta(words) if words.len() > MAX_META => {
                return Err(ChangeFault::MetaTooLong { got: length(words) });
            }
            Change::Meta(words) => Some(Outcome::Noted(words.clone())),
            Change::Offer(_)
            | Change::PaidOffer { .. }
            | Change::Fail { .. }
            | Change::Claim { .. }
            | Change::Refund { .. } => {
                self.make_of_transfer(change)?;
                None
            }
        };
        (self.executions, self.bytes) = (executions, bytes);
        self.results.extend(outcome.map(|outcome| (self.changes, outcome)));
        self.changes = self.changes.saturating_add(1);
        Ok(())
    }

    /// What the calls so far require of hash locks, by the places of their changes: whether it is so is no matter of the state (R8.3c).
    pub(crate) fn requirements(&self) -> &[(u32, Requirement)] {
        &self.requirements
    }

    /// The state after all changes. The coins are those of before (R4.4).
    ///
    /// # Errors
    /// [`ChangeFault::TooDeep`].
    pub(crate) fn finish(self) -> Result<(State, Results), ChangeFault> {
        let mut contracts = self.before.contracts.clone();
        for (id, contract) in self.touched {
            contracts.set(id, contract);
        }
        let depth = self.created.iter().map(|id| contracts.depth(id)).max().unwrap_or(0);
        if depth > MAX_LEAF_DEPTH {
            return Err(ChangeFault::TooDeep { depth: u32::try_from(depth).unwrap_or(u32::MAX) });
        }
        let mut state = self.before.followed_by(self.balances, contracts, calls_root(&self.receipts, &Native));
        if !self.before.is_whole() {
            state.contracts_root = self.before.contracts_root;
        }
        Ok((state, self.results))
    }

    fn create(&mut self, Creation { code, coins, input }: &Creation) -> Result<Outcome, ChangeFault> {
        let RoundContext { channel, round, height, proposer, max_contracts, apps, .. } = self.context;
        self.check_whole()?;
        check_code(code, apps)?;
        if u32::try_from(self.contracts.saturating_sub(self.transfers)).unwrap_or(u32::MAX) >= max_contracts {
            return Err(ChangeFault::TooManyContracts { max: max_contracts });
        }
        let balances = self.moved(coins, &Pair::default())?;
        let balance = coins.sum().ok_or(ChangeFault::Overflow)?;
        let contract = self.next_id();
        let context = AppContext { channel, contract, round, caller: proposer, value: balance, balance, height };
        let counted = CountedApps::new(apps);
        let state = first_state(&counted, code, &context, input)?;
        self.time = self.time.saturating_add(counted.took.into_inner());
        let new = Contract { code: *code, balance, owner: proposer, state };
        self.balances = balances;
        self.contracts = self.contracts.saturating_add(1);
        self.created.push(contract);
        let _none = self.touched.insert(contract, Some(new));
        Ok(Outcome::Created { contract, code: *code, balance })
    }

    fn call(&mut self, id: ContractId, value: Amount, input: &[u8]) -> Result<Outcome, ChangeFault> {
        let RoundContext { channel, round, height, proposer, apps, .. } = self.context;
        let mut contract = self.contract(id)?;
        check_code(&contract.code, apps)?;
        let call = Invocation { channel, contract: id, round, caller: proposer, value, height, input, app: None };
        let counted = CountedApps::new(apps);
        // What an app requires of the registry of pre-images is judged by what this side knows of it, and not by the height that the proposer names.
        let mut executor = Predictor::replaying(&counted);
        let done = execute(&mut executor, &mut contract, &call)?;
        self.balances = self.moved(&self.taking(value), &done.payouts)?;
        self.time = self.time.saturating_add(counted.took.into_inner());
        self.requirements.extend(done.requirement.map(|requirement| (self.changes, requirement)));
        let payouts = done.payouts;
        let ended = done.ended;
        self.receipts.push(done.receipt);
        self.put(id, (!ended).then_some(contract));
        Ok(Outcome::Called { contract: id, value, payouts, output: done.output, ended })
    }

    fn remove(&mut self, id: ContractId, shares: Pair<Amount>) -> Result<Outcome, ChangeFault> {
        let Contract { balance: holds, code, .. } = self.contract(id)?;
        check_not_builtin(&code)?;
        let got = shares.sum();
        if got != Some(holds) {
            return Err(ChangeFault::SharesDiffer { got, holds });
        }
        self.balances = self.moved(&Pair::default(), &shares)?;
        self.put(id, None);
        Ok(Outcome::Removed { contract: id, shares })
    }

    fn upgrade(&mut self, id: ContractId, code: Code, state: Option<&[u8]>) -> Result<Outcome, ChangeFault> {
        let mut contract = self.contract(id)?;
        check_not_builtin(&contract.code)?;
        check_code(&code, self.context.apps)?;
        if contract.code == code {
            return Err(ChangeFault::CodeSame);
        }
        if let Some(state) = state {
            if state.len() > MAX_STATE {
                return Err(ChangeFault::StateTooLong { got: length(state) });
            }
            contract.state = state.to_vec();
        }
        contract.code = code;
        self.put(id, Some(contract));
        Ok(Outcome::Upgraded { contract: id, code })
    }

    /// The id of the contract that this round creates next (R4.2).
    fn next_id(&self) -> ContractId {
        let index = u32::try_from(self.created.len()).unwrap_or(u32::MAX);
        ContractId::derive(&self.context.channel, self.context.round, index, &Native)
    }

    /// The contract as it is by now.
    fn contract(&self, id: ContractId) -> Result<Contract, ChangeFault> {
        self.check_whole()?;
        let found = match self.touched.get(&id) {
            Some(touched) => touched.clone(),
            None => self.before.contracts.get(&id).cloned(),
        };
        found.ok_or(ChangeFault::ContractUnknown(id))
    }

    fn put(&mut self, id: ContractId, contract: Option<Contract>) {
        self.contracts = self.contracts.saturating_sub(usize::from(contract.is_none()));
        let _before = self.touched.insert(id, contract);
    }

    fn check_whole(&self) -> Result<(), ChangeFault> {
        if self.before.is_whole() { Ok(()) } else { Err(ChangeFault::ContractsLost) }
    }

    /// So much of the proposer's balance.
    fn taking(&self, amount: Amount) -> Pair<Amount> {
        let mut coins = Pair::default();
        coins[self.context.proposer] = amount;
        coins
    }

    /// The balances with these coins taken out and those put in. Whoever gives keeps the reserve (R4.4).
    fn moved(&self, out: &Pair<Amount>, into: &Pair<Amount>) -> Result<Pair<Amount>, ChangeFault> {
        let mut balances = self.balances;
        for (party, &amount) in out.iter().filter(|(_, amount)| **amount > 0) {
            let (have, reserve) = (balances[party], self.context.reserve);
            let left = have.checked_sub(amount).filter(|&left| left >= reserve);
            balances[party] = left.ok_or(ChangeFault::BelowReserve { party, have, amount, reserve })?;
        }
        for (party, &amount) in into.iter() {
            balances[party] = balances[party].checked_add(amount).ok_or(ChangeFault::Overflow)?;
        }
        Ok(balances)
    }
}

/// Whether a contract may be removed or upgraded as any app: conditional transfers end in their own ways alone (R8.3).
const fn check_not_builtin(code: &Code) -> Result<(), ChangeFault> {
    match code {
        Code::Contract(_) => Ok(()),
        Code::Builtin(_) => Err(ChangeFault::BuiltinNotAccepted),
    }
}

/// Whether this code can be run here. The arbiter's builtins are conditional transfers, which have changes of their own (R8.3).
pub(crate) fn check_code(code: &Code, apps: &dyn AppBook) -> Result<(), ChangeFault> {
    match code {
        Code::Contract(code) if apps.knows(code) => Ok(()),
        Code::Contract(code) => Err(ChangeFault::CodeUnknown(*code)),
        Code::Builtin(_) => Err(ChangeFault::BuiltinNotAccepted),
    }
}
