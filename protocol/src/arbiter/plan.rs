//! A forced step as its caller makes it, and as its peer follows it: the arbiter's own functions, run on what a peer keeps (R5.10).

use super::progress::{Progress, Progressed};
use crate::{
    AccountId, Amount, BlockNumber, ChannelId, Hash, Pair, Party, Rejection, StateCommitment,
    call::{ForceProgress, ForcedCall, Payload, ShownContract},
    contracts::{Code, ContractId, Contracts, Executed, Executor},
    record::Record,
    tree::Proof,
};
use std::collections::BTreeSet;

/// The state that a forced step goes on from.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
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

/// Makes the forced step in which `party` makes `calls` in block `height`. `deployed` says where an app stands.
///
/// # Errors
/// What the arbiter would refuse of the calls: see [`Progress::run`] and [`Progress::conclude`].
pub fn plan(
    base: &Base<'_>,
    party: Party,
    calls: Vec<ForcedCall>,
    height: BlockNumber,
    deployed: &dyn Fn(&Hash) -> Option<AccountId>,
    executor: &mut impl Executor,
) -> Result<Plan, Rejection> {
    let commitment =
        StateCommitment { balances: base.balances, contracts_root: base.contracts.root(), calls_root: base.calls_root };
    let ids: BTreeSet<_> = calls.iter().map(|call| call.contract).collect();
    let shown = ids.iter().map(|id| {
        let contract = base.contracts.get(id).ok_or(Rejection::ContractNotShown { contract: *id })?.clone();
        let app = match &contract.code {
            Code::Contract(code) => deployed(code),
            Code::Builtin(_) => None,
        };
        Ok(ShownContract { id: *id, contract, app })
    });
    let mut call = ForceProgress {
        channel: base.channel,
        party,
        payload: base.payload,
        commitment,
        contracts: shown.collect::<Result<_, Rejection>>()?,
        proof: Proof { nodes: Vec::new() },
        calls,
        state_hash: None,
    };

    let mut record = base.record.clone();
    if let Some(payload) = &base.payload {
        record.round = payload.round;
    }
    let mut progress = Progress::of(&record, &call);
    let mut executed = Vec::new();
    for call in &call.calls {
        executed.push((call.contract, call.value, progress.run(call, height, executor)?));
    }
    let proof = base.contracts.prove(&progress.changes(executor));
    let Progressed { state_hash, calls_root, balances, .. } = progress.conclude(&commitment, &proof, executor)?;

    let mut contracts = base.contracts.clone();
    for (id, after) in progress.into_contracts() {
        contracts.set(id, after);
    }
    (call.proof, call.state_hash) = (proof, Some(state_hash));
    Ok(Plan { call, contracts, balances, calls_root, state_hash, executed })
}
