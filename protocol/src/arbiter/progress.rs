//! The calls of one forced step (R5.10): the arbiter runs them on what it is shown, the forcer runs them first on what it keeps.

use crate::{
    Amount, BlockNumber, ChannelId, Hash, Pair, Party, Rejection, Round, StateCommitment,
    call::{ForceProgress, ForcedCall, ShownContract},
    contracts::{CallReceipt, Contract, Executed, Executor, Invocation, MAX_INPUT, calls_root, execute},
    crypto::Crypto,
    record::{Phase, Record},
    tree::{Proof, Roots, TreeChange, TreeNode},
};
use alloc::vec::Vec;

/// The most calls of one forced step.
pub const MAX_FORCED_CALLS: usize = 64;
/// The most bytes of their inputs together: they travel in one event.
pub const MAX_FORCED_INPUTS: usize = MAX_INPUT + 2 * 1024;
/// The most bytes of a forced step, as R3.2 counts them: with the message's selector it has to fit the contract's buffer of 64 KiB.
pub const MAX_FORCED_STEP: usize = 60 * 1024;
/// A further call of a step runs where those before it have answered so many bytes at most, states and outputs together: the contract has
/// 1 MiB of memory, of which nothing is freed before the step's end.
pub const MAX_FORCED_ANSWERS: usize = 256 * 1024;

/// A forced step under way.
pub struct ForcedProgress<'a> {
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
    /// Bytes of the step as it is encoded.
    size: usize,
    /// Bytes that the calls so far were given.
    inputs: usize,
    /// Bytes that they answered.
    answers: usize,
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

impl<'a> ForcedProgress<'a> {
    /// The step that `call` asks for, on the record's state.
    #[must_use]
    pub fn of(record: &Record, call: &'a ForceProgress) -> Self {
        let touched = |shown: &'a ShownContract| Touched { shown, now: Some(shown.contract.clone()) };
        Self {
            channel: call.channel,
            party: call.party,
            round: record.on_chain.round(),
            total: record.total,
            reserve: record.terms.reserve,
            balances: call.commitment.balances,
            is_residual: matches!(record.phase, Phase::Residual { .. }),
            payouts: Pair::default(),
            contracts: call.contracts.iter().map(touched).collect(),
            last: None,
            size: size(call),
            inputs: 0,
            answers: 0,
            calls: 0,
        }
    }

    /// Runs the next call, as the next round.
    ///
    /// # Errors
    /// [`Rejection::CallsTooLarge`] and [`Rejection::StepTooLarge`] before anything else, [`Rejection::ContractNotShown`],
    /// [`Rejection::CannotAttach`] where the caller has not the coins, [`Rejection::CallFailed`], [`Rejection::BalancesExceedTotal`].
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
        if self.size > MAX_FORCED_STEP || self.answers > MAX_FORCED_ANSWERS {
            return Err(Rejection::StepTooLarge);
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
        self.answers = self.answers.saturating_add(contract.state.len()).saturating_add(executed.output.len());
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
        Ok(self.come_to(&receipt, roots.after, crypto))
    }

    /// The state after all calls, which leave the contracts with this root.
    ///
    /// # Errors
    /// [`Rejection::CallsMissing`].
    #[cfg(feature = "std")]
    pub(super) fn conclude_on(&self, contracts_root: Hash, crypto: &impl Crypto) -> Result<Progressed, Rejection> {
        let receipt = self.last.ok_or(Rejection::CallsMissing)?;
        Ok(self.come_to(&receipt, contracts_root, crypto))
    }

    fn come_to(&self, last: &CallReceipt, contracts_root: Hash, crypto: &impl Crypto) -> Progressed {
        let (balances, payouts) = (self.balances, self.payouts);
        let calls_root = calls_root(&[*last], crypto);
        let state_hash = StateCommitment { balances, contracts_root, calls_root }.hash(crypto);
        Progressed { round: self.round, state_hash, calls_root, balances, payouts }
    }

    /// What happens to the leaves of the contracts that were shown, in their order.
    pub fn changes(&self, crypto: &impl Crypto) -> Vec<TreeChange> {
        let change = |Touched { shown, now }: &Touched<'_>| TreeChange {
            key: shown.id.key(),
            before: Some(shown.contract.leaf(crypto)),
            after: now.as_ref().map(|contract| contract.leaf(crypto)),
        };
        self.contracts.iter().map(change).collect()
    }

    /// The contracts that were shown, as they are after the calls; none where one has ended.
    #[cfg(feature = "std")]
    pub(super) fn contracts(&self) -> impl Iterator<Item = (crate::contracts::ContractId, Option<&Contract>)> {
        self.contracts.iter().map(|touched| (touched.shown.id, touched.now.as_ref()))
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

/// The bytes of a forced step, at least as many as its encoding has: what does not vary much counts as the most that it can be.
fn size(step: &ForceProgress) -> usize {
    /// Everything but the three lists.
    const STEP: usize = 384;
    /// A contract but for its state, a call but for its input.
    const CONTRACT: usize = 120;
    const CALL: usize = 52;
    let mut bytes = STEP;
    let mut add = |more: usize| bytes = bytes.saturating_add(more);
    for shown in &step.contracts {
        add(shown.contract.state.len().saturating_add(CONTRACT));
    }
    for call in &step.calls {
        add(call.input.len().saturating_add(CALL));
    }
    for node in &step.proof.nodes {
        add(match node {
            TreeNode::Empty | TreeNode::Branch => 1,
            TreeNode::Opaque(_) => 33,
            TreeNode::Leaf { .. } | TreeNode::Pruned { .. } => 65,
        });
    }
    bytes
}

/// The contracts' root before and after `changes`, once `proof` shows them to be changes of the state that `base` commits to.
pub(super) fn roots_of(
    base: &StateCommitment,
    proof: &Proof,
    changes: &[TreeChange],
    crypto: &impl Crypto,
) -> Result<Roots, Rejection> {
    let roots = proof.apply(changes, crypto).map_err(Rejection::ProofInvalid)?;
    if roots.before == base.contracts_root { Ok(roots) } else { Err(Rejection::ProofOfAnotherState) }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers")]
mod tests {
    use super::*;
    use crate::{
        AccountId, Base, Signature,
        call::Payload,
        contracts::{Code, ContractId},
    };
    use scale::Encode;

    /// A step with so many contracts, calls and nodes, everything in it as long as it can be, with this state and input.
    fn step(count: usize, state: usize, input: usize) -> ForceProgress {
        let key = Hash([1; 32]);
        let kinds = [
            TreeNode::Empty,
            TreeNode::Leaf { key, value: key },
            TreeNode::Opaque(key),
            TreeNode::Branch,
            TreeNode::Pruned { left: key, right: key },
        ];
        let contract =
            Contract { code: Code::Contract(key), balance: 1, owner: Party::Responder, state: vec![1; state] };
        let id = ContractId([2; 32]);
        let shown = ShownContract { id, contract, app: Some(AccountId([3; 32])) };
        let balances = Pair::new(1, 2);
        ForceProgress {
            channel: ChannelId([4; 32]),
            party: Party::Responder,
            payload: Some(Payload {
                round: 1,
                base: Base { agreed: 1, steps: 1 },
                state_hash: key,
                valid_until: Some(1),
                signatures: Pair::new(Signature([5; 64]), Signature([5; 64])),
            }),
            commitment: StateCommitment { balances, contracts_root: key, calls_root: key },
            contracts: vec![shown; count],
            proof: Proof { nodes: kinds.into_iter().cycle().take(5 * count).collect() },
            calls: vec![ForcedCall { contract: id, value: 1, input: vec![1; input] }; count],
            state_hash: Some(key),
        }
    }

    #[test]
    fn a_step_counts_as_many_bytes_as_it_has_or_a_few_more() {
        for (count, state, input) in
            [(0, 0, 0), (1, 0, 0), (1, 63, 64), (1, 16_384, 8_192), (64, 500, 160), (409, 20, 3)]
        {
            let step = step(count, state, input);
            let (counted, encoded) = (size(&step), step.encoded_size());
            assert!(encoded <= counted, "{encoded} bytes count as {counted}");
            assert!(counted - encoded <= 64 + 8 * count, "{encoded} bytes count as {counted}");
        }
    }
}
