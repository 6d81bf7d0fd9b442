//! The calls of one forced step (R5.10): the arbiter runs them on what it is shown, the forcer runs them first on what it keeps.

use crate::{
    Amount, BlockNumber, ChannelId, Hash, Pair, Party, Rejection, Round, StateCommitment,
    call::{ForceProgress, ForcedCall, ShownContract},
    contracts::{CallReceipt, Contract, Executed, Executor, Invocation, MAX_INPUT, calls_root, execute},
    crypto::Crypto,
    record::{Phase, Record},
    tree::{Change, Proof, Roots},
};
use alloc::vec::Vec;

/// The most calls of one forced step.
pub const MAX_FORCED_CALLS: usize = 64;
/// The most bytes of their inputs together: they travel in one event.
pub const MAX_FORCED_INPUTS: usize = MAX_INPUT + 2 * 1024;

/// A forced step under way.
pub struct Progress<'a> {
    channel: ChannelId,
    party: Party,
    round: Round,
    total: Amount,
    reserve: Amount,
    /// What the parties own outside contracts. On a residual channel it is paid out already, and stays as it is.
    balances: Pair<Amount>,
    is_residual: bool,
    /// What the contracts paid.
    payouts: Pair<Amount>,
    contracts: Vec<Touched<'a>>,
    last: Option<CallReceipt>,
    inputs: usize,
    calls: usize,
}

/// A contract that was shown, before and after.
struct Touched<'a> {
    shown: &'a ShownContract,
    now: Option<Contract>,
}

/// What the step came to.
pub struct Progressed {
    /// The last call's round.
    pub round: Round,
    /// The state after it.
    pub state_hash: Hash,
    /// The root of the last call, which that state keeps.
    pub calls_root: Hash,
    /// What the parties own outside contracts.
    pub balances: Pair<Amount>,
    /// What the contracts paid on the way; of interest on a residual channel, where it leaves the channel.
    pub payouts: Pair<Amount>,
}

impl<'a> Progress<'a> {
    /// The step that `call` asks for, on the record's state.
    #[must_use]
    pub fn of(record: &Record, call: &'a ForceProgress) -> Self {
        let touched = |shown: &'a ShownContract| Touched { shown, now: Some(shown.contract.clone()) };
        Self {
            channel: call.channel,
            party: call.party,
            round: record.round,
            total: record.total,
            reserve: record.terms.reserve,
            balances: call.commitment.balances,
            is_residual: record.phase == Phase::Residual,
            payouts: Pair::default(),
            contracts: call.contracts.iter().map(touched).collect(),
            last: None,
            inputs: 0,
            calls: 0,
        }
    }

    /// Runs the next call, as the next round.
    ///
    /// # Errors
    /// [`Rejection::CallsTooLarge`], [`Rejection::ContractNotShown`], [`Rejection::BalanceBelowReserve`] where the caller has not the
    /// coins to attach, [`Rejection::CallFailed`], [`Rejection::BalancesExceedTotal`].
    pub fn run(
        &mut self,
        call: &ForcedCall,
        now: BlockNumber,
        executor: &mut impl Executor,
    ) -> Result<Executed, Rejection> {
        self.calls = self.calls.saturating_add(1);
        self.inputs = self.inputs.saturating_add(call.input.len());
        if self.calls > MAX_FORCED_CALLS || self.inputs > MAX_FORCED_INPUTS {
            return Err(Rejection::CallsTooLarge);
        }
        self.round = self.round.checked_add(1).ok_or(Rejection::AmountOverflow)?;
        self.attach(call.value)?;

        let touched = self.contracts.iter_mut().find(|touched| touched.shown.id == call.contract);
        let touched = touched.ok_or(Rejection::ContractNotShown { contract: call.contract })?;
        let contract = touched.now.as_mut().ok_or(Rejection::ContractNotShown { contract: call.contract })?;
        let invocation = Invocation {
            channel: self.channel,
            contract: call.contract,
            round: self.round,
            caller: self.party,
            value: call.value,
            height: now,
            input: &call.input,
            app: touched.shown.app.as_ref(),
        };
        let failed = |fault| Rejection::CallFailed { round: invocation.round, fault };
        let executed = execute(executor, contract, &invocation).map_err(failed)?;
        if executed.ended {
            touched.now = None;
        }
        self.pay(&executed.payouts)?;
        self.last = Some(executed.receipt);
        Ok(executed)
    }

    /// The state after all calls, once `proof` shows the contracts to be those of `base`.
    ///
    /// # Errors
    /// [`Rejection::CallsMissing`], [`Rejection::ProofInvalid`], [`Rejection::ProofOfAnotherState`].
    pub fn conclude(
        &self,
        base: &StateCommitment,
        proof: &Proof,
        crypto: &impl Crypto,
    ) -> Result<Progressed, Rejection> {
        let receipt = self.last.ok_or(Rejection::CallsMissing)?;
        let roots = roots_of(base, proof, &self.changes(crypto), crypto)?;
        let after = StateCommitment {
            balances: self.balances,
            contracts_root: roots.after,
            calls_root: calls_root(&[receipt], crypto),
        };
        Ok(Progressed {
            round: self.round,
            state_hash: after.hash(crypto),
            calls_root: after.calls_root,
            balances: self.balances,
            payouts: self.payouts,
        })
    }

    /// What happens to the leaves of the contracts that were shown, in their order.
    pub fn changes(&self, crypto: &impl Crypto) -> Vec<Change> {
        let change = |Touched { shown, now }: &Touched<'_>| Change {
            key: shown.id.key(),
            before: Some(shown.contract.leaf(crypto)),
            after: now.as_ref().map(|contract| contract.leaf(crypto)),
        };
        self.contracts.iter().map(change).collect()
    }

    /// The contracts that were shown, as they are after the calls; none where one has ended.
    #[cfg(feature = "std")]
    pub(super) fn into_contracts(self) -> impl Iterator<Item = (crate::contracts::ContractId, Option<Contract>)> {
        self.contracts.into_iter().map(|touched| (touched.shown.id, touched.now))
    }

    /// Takes the coins that the caller attaches out of its balance, which stays at or above the reserve (R4.4).
    fn attach(&mut self, value: Amount) -> Result<(), Rejection> {
        if value == 0 {
            return Ok(());
        }
        let (party, reserve) = (self.party, self.reserve);
        let have = if self.is_residual { 0 } else { self.balances[party] };
        let left = have.checked_sub(value).filter(|&left| left >= reserve);
        self.balances[party] = left.ok_or(Rejection::CannotAttach { have, value, reserve })?;
        Ok(())
    }

    fn pay(&mut self, payouts: &Pair<Amount>) -> Result<(), Rejection> {
        let to = if self.is_residual { &mut self.payouts } else { &mut self.balances };
        for (party, &amount) in payouts.iter() {
            to[party] = to[party].checked_add(amount).ok_or(Rejection::AmountOverflow)?;
        }
        match to.sum() {
            Some(sum) if sum <= self.total => Ok(()),
            _ => Err(Rejection::BalancesExceedTotal { total: self.total }),
        }
    }
}

/// The contracts' root before and after `changes`, once `proof` shows them to be changes of the state that `base` commits to.
pub(super) fn roots_of(
    base: &StateCommitment,
    proof: &Proof,
    changes: &[Change],
    crypto: &impl Crypto,
) -> Result<Roots, Rejection> {
    let roots = proof.apply(changes, crypto).map_err(Rejection::ProofInvalid)?;
    if roots.before == base.contracts_root { Ok(roots) } else { Err(Rejection::ProofOfAnotherState) }
}
