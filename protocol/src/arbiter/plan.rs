//! A forced step as its caller makes it, and as its peer follows it: the arbiter's own functions, run on what a peer keeps (R5.10).
//!
//! ```text
//!   calls --plan-----------> one step with all of them, or the refusal it would meet
//!         --plan_fitting---> one step with the first of them, as many as it can make; the others are for the next step
//!   event --follow---------> what the arbiter made of them
//! ```

use super::progress::{ForcedProgress, MAX_FORCED_CALLS, Progressed};
use crate::{
    AccountId, Amount, BlockNumber, ChannelId, Hash, Pair, Party, Rejection, StateCommitment,
    call::{ForceProgress, ForcedCall, Payload, ShownContract},
    contracts::{Code, ContractId, Contracts, Executed, Executor},
    record::Record,
    tree::{MAX_NODES, Proof, ProofError, TreeChange},
};
use std::collections::BTreeSet;

/// The state that a forced step goes on from.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// The channel.
    pub channel: ChannelId,
    /// Its record on chain.
    pub record: &'a Record,
    /// The co-signed state to show first; none where the state is on chain.
    pub payload: Option<Payload>,
    /// What the parties own in it.
    pub balances: Pair<Amount>,
    /// Its contracts.
    pub contracts: &'a Contracts,
    /// The root of its calls.
    pub calls_root: Hash,
}

/// A forced step, ready to be submitted.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The call.
    pub call: ForceProgress,
    /// How many of the calls that were asked for it makes, from the first on; at least one.
    pub taken: usize,
    /// The contracts after it.
    pub contracts: Contracts,
    /// What the parties own after it.
    pub balances: Pair<Amount>,
    /// The root of the last call after it: with it, the next step can go on from here.
    pub calls_root: Hash,
    /// The state's hash after it.
    pub state_hash: Hash,
    /// What each call did: which contract, the coins attached, and what came of it.
    pub executed: Vec<(ContractId, Amount, Executed)>,
}

/// What a forced step that the arbiter has made came to.
#[derive(Clone, Debug)]
pub struct Followed {
    /// The contracts after it.
    pub contracts: Contracts,
    /// What the parties own after it.
    pub balances: Pair<Amount>,
    /// The root of the last call after it.
    pub calls_root: Hash,
    /// The state's hash after it.
    pub state_hash: Hash,
    /// What each call did: which contract, the coins attached, and what came of it.
    pub executed: Vec<(ContractId, Amount, Executed)>,
}

/// Makes the forced step in which `party` makes all `calls` in block `height`. `deployed` says where an app stands.
///
/// # Errors
/// What the arbiter would refuse of the calls: see [`ForcedProgress::run`] and [`ForcedProgress::conclude`].
pub fn plan(
    start: &Start<'_>,
    party: Party,
    calls: Vec<ForcedCall>,
    height: BlockNumber,
    deployed: &dyn Fn(&Hash) -> Option<AccountId>,
    executor: &mut impl Executor,
) -> Result<Plan, Rejection> {
    attempt(start, party, &calls, height, deployed, executor).map_err(|refused| refused.rejection)
}

/// As [`plan`], with the longest run of `calls`, from the first on, that one step can make: [`Plan::taken`] says how many. The others are
/// called by steps after it. Any call that may be made can be made in a step of its own.
///
/// # Errors
/// As [`plan`], of a call that no other step could make either. It may stand behind those that fit.
pub fn plan_fitting(
    start: &Start<'_>,
    party: Party,
    calls: &[ForcedCall],
    height: BlockNumber,
    deployed: &dyn Fn(&Hash) -> Option<AccountId>,
    executor: &mut impl Executor,
) -> Result<Plan, Rejection> {
    let mut calls = calls.get(..MAX_FORCED_CALLS).unwrap_or(calls);
    loop {
        match attempt(start, party, calls, height, deployed, executor) {
            Err(Refused { fits: Some(fewer), .. }) => calls = fewer,
            other => return other.map_err(|refused| refused.rejection),
        }
    }
}

/// What `calls` of `party`, which the arbiter has made in block `height`, come to. There is no proof to make and no size to look at: the
/// arbiter has seen to both.
///
/// # Errors
/// What the arbiter would have refused: the calls were made on another state, or an app is not known here.
pub fn follow(
    start: &Start<'_>,
    party: Party,
    calls: &[ForcedCall],
    height: BlockNumber,
    executor: &mut impl Executor,
) -> Result<Followed, Rejection> {
    // Where an app stands is nothing to whoever runs it here.
    let call = start.step(party, calls, &|code| Some(AccountId(code.0)))?;
    let mut progress = ForcedProgress::of(&start.record(), &call);
    let mut executed = Vec::new();
    for call in calls {
        executed.push((call.contract, call.value, progress.run(call, height, executor)?));
    }
    let contracts = start.contracts_after(&progress);
    let Progressed { state_hash, calls_root, balances, .. } = progress.conclude_on(contracts.root(), executor)?;
    Ok(Followed { contracts, balances, calls_root, state_hash, executed })
}

/// Why calls do not make a step.
struct Refused<'a> {
    rejection: Rejection,
    /// Some of the calls, from the first on, where fewer may make one.
    fits: Option<&'a [ForcedCall]>,
}

fn attempt<'a>(
    start: &Start<'_>,
    party: Party,
    calls: &'a [ForcedCall],
    height: BlockNumber,
    deployed: &dyn Fn(&Hash) -> Option<AccountId>,
    executor: &mut impl Executor,
) -> Result<Plan, Refused<'a>> {
    let refused = |rejection| Refused { rejection, fits: None };
    let instead =
        |rejection, fits: usize| Refused { rejection, fits: calls.get(..fits).filter(|calls| !calls.is_empty()) };
    let mut call = start.step(party, calls, deployed).map_err(refused)?;
    // As large as it will be: a builtin ends with its call, an app never does.
    call.proof = start.contracts.prove(&call.contracts.iter().map(expected).collect::<Vec<_>>());
    call.state_hash = Some(Hash::ZERO);
    let all_but_one = calls.len().saturating_sub(1);
    if call.proof.nodes.len() > MAX_NODES {
        return Err(instead(Rejection::ProofInvalid(ProofError::TooLarge), all_but_one));
    }
    let mut progress = ForcedProgress::of(&start.record(), &call);
    let mut executed = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let done = progress.run(call, height, executor).map_err(|rejection| match (rejection, index) {
            // Nothing has run: it is the step that is too large.
            (Rejection::StepTooLarge, 0) => instead(rejection, all_but_one),
            (Rejection::StepTooLarge | Rejection::CallsTooLarge, index) => instead(rejection, index),
            _ => refused(rejection),
        })?;
        executed.push((call.contract, call.value, done));
    }
    let proof = start.contracts.prove(&progress.changes(executor));
    let concluded = progress.conclude(&call.commitment, &proof, executor).map_err(refused)?;
    let Progressed { state_hash, calls_root, balances, .. } = concluded;
    let contracts = start.contracts_after(&progress);
    (call.proof, call.state_hash) = (proof, Some(state_hash));
    Ok(Plan { call, taken: calls.len(), contracts, balances, calls_root, state_hash, executed })
}

/// What will become of the leaf of a contract that is called, as far as the size of its proof goes.
fn expected(ShownContract { id, contract, .. }: &ShownContract) -> TreeChange {
    let stays = matches!(contract.code, Code::Contract(_));
    TreeChange { key: id.key(), before: None, after: stays.then_some(Hash::ZERO) }
}

impl Start<'_> {
    /// The record once the payload is shown.
    fn record(&self) -> Record {
        let mut record = self.record.clone();
        if let Some(payload) = &self.payload {
            record.on_chain.adopt(payload.round, payload.state_hash);
        }
        record
    }

    /// The step that makes these calls, its proof and its outcome left out.
    fn step(
        &self,
        party: Party,
        calls: &[ForcedCall],
        deployed: &dyn Fn(&Hash) -> Option<AccountId>,
    ) -> Result<ForceProgress, Rejection> {
        let Self { channel, payload, balances, contracts, calls_root, .. } = *self;
        let ids: BTreeSet<_> = calls.iter().map(|call| call.contract).collect();
        let shown = ids.into_iter().map(|id| {
            let contract = contracts.get(&id).ok_or(Rejection::ContractNotShown { contract: id })?.clone();
            let app = match &contract.code {
                Code::Contract(code) => deployed(code),
                Code::Builtin(_) => None,
            };
            Ok(ShownContract { id, contract, app })
        });
        Ok(ForceProgress {
            channel,
            party,
            payload,
            commitment: StateCommitment { balances, contracts_root: contracts.root(), calls_root },
            contracts: shown.collect::<Result<_, Rejection>>()?,
            proof: Proof { nodes: Vec::new() },
            calls: calls.to_vec(),
            state_hash: None,
        })
    }

    fn contracts_after(&self, progress: &ForcedProgress<'_>) -> Contracts {
        let mut contracts = self.contracts.clone();
        for (id, after) in progress.contracts() {
            contracts.set(id, after.cloned());
        }
        contracts
    }
}
