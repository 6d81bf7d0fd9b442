//! `channel_force_progress` (R5.10), `prove_contract_state` (R5.16).

use super::{
    CallContext, CallOutcome, adopt, balances_of, check_commitment, pay_parties,
    progress::{ForcedProgress, roots_of},
    standing,
};
use crate::{
    AccountId, Base, BlockNumber, Party, Rejection,
    arbiter::Standing,
    call::{ForceProgress, ProveContractState},
    contracts::Executor,
    crypto::Crypto,
    event::ArbiterEvent,
    record::{Artefact, Closing, Permanence, Phase, Record},
    terms::Power,
    tree::TreeChange,
};
use alloc::vec::Vec;

/// Runs calls that the caller's peer does not answer, on the state shown or the one on chain. Each call is a round. While closing, the
/// closing balances follow and the lock restarts. On a residual channel (R5.11) what the contracts pay leaves at once.
///
/// # Errors
/// [`Rejection::MayNotForce`], [`Rejection::DelegateMayNotCall`], [`Rejection::DelegateAttachesCoins`], [`Rejection::StateFinal`], an old payload (R5.4), a wrong
/// signature, a wrong commitment, [`Rejection::ForcedStepsUsedUp`], whatever [`ForcedProgress`] refuses, a proof that shows nothing or of
/// another state, [`Rejection::ForcedStateDiffers`].
pub fn force_progress(
    ctx: &CallContext,
    mut record: Record,
    call: &ForceProgress,
    executor: &mut impl Executor,
) -> Result<CallOutcome, Rejection> {
    check_may_force(&record, &ctx.caller, call)?;
    let is_residual = matches!(record.phase, Phase::Residual { .. });
    if let Some(payload) = &call.payload {
        if is_residual && standing(&record.on_chain, &record.terms, &payload.into(), ctx.now)? == Standing::Newer {
            return Err(Rejection::StateFinal);
        }
        let _standing = adopt(ctx, &call.channel, &mut record, payload, executor)?;
    }
    if is_residual {
        check_commitment(&record, &call.commitment, executor)?;
    } else {
        let _at_most_the_total = balances_of(&record, &call.commitment, executor)?;
    }
    count_step(&mut record, call.party, ctx.now)?;
    let mut progress = ForcedProgress::of(&record, call);
    for call in &call.calls {
        let _executed = progress.run(call, ctx.now, executor)?;
    }
    let after = progress.conclude(&call.commitment, &call.proof, executor)?;
    if call.state_hash.is_some_and(|expected| expected != after.state_hash) {
        return Err(Rejection::ForcedStateDiffers { computed: after.state_hash });
    }

    let steps = u32::try_from(call.calls.len()).ok().and_then(|calls| record.on_chain.at.steps.checked_add(calls));
    let at = Base { steps: steps.ok_or(Rejection::AmountOverflow)?, ..record.on_chain.at };
    if is_residual {
        // No co-signed state counts any more: nothing has to mature.
        (record.on_chain.at, record.on_chain.state_hash) = (at, after.state_hash);
    } else {
        record.on_chain.force(at, after.state_hash, ctx.now, &record.terms);
    }
    let mut payouts = Vec::new();
    let unlock_at = ctx.unlock_at(&record);
    match &mut record.phase {
        Phase::Open => {}
        Phase::Closing(closing) => {
            *closing = Closing { balances: after.balances, unlock_at, penalty: closing.penalty };
        }
        Phase::Residual { .. } => {
            let paid = after.payouts.sum().ok_or(Rejection::AmountOverflow)?;
            let left = record.total.checked_sub(paid);
            record.total = left.ok_or(Rejection::BalancesExceedTotal { total: record.total })?;
            payouts = pay_parties(&record.terms, &after.payouts);
        }
    }
    let event = ArbiterEvent::ChannelProgressed {
        party: call.party,
        at: record.on_chain.at,
        state_hash: record.on_chain.state_hash,
        forced_steps: record.forced_steps,
        total: record.total,
        closing: record.closing().ok().cloned(),
        calls: call.calls.clone(),
    };
    let ended = is_residual && record.total == 0;
    Ok(CallOutcome { record: (!ended).then_some(record), payouts, event })
}

/// A party may always; while closing also a delegate whom the terms give that power, for its own principal, and without attaching coins.
fn check_may_force(record: &Record, caller: &AccountId, call: &ForceProgress) -> Result<(), Rejection> {
    let (party, principal) = (call.party, &record.terms.parties[call.party]);
    if principal.account == *caller {
        return Ok(());
    }
    match principal.power_of(caller).filter(|_| matches!(record.phase, Phase::Closing(_))) {
        None => Err(Rejection::MayNotForce { party }),
        Some(Power::Defend) => Err(Rejection::DelegateMayNotCall { party }),
        Some(Power::Call) if call.calls.iter().any(|call| call.value > 0) => Err(Rejection::DelegateAttachesCoins),
        Some(Power::Call) => Ok(()),
    }
}

/// Counts a forced step against the party's quota: on this co-signed round, so that a dispute ends; on a residual channel within a lock
/// period from the party's first one on, so that nobody keeps its peer from its own steps by steps that move next to nothing (R5.11).
fn count_step(record: &mut Record, party: Party, now: BlockNumber) -> Result<(), Rejection> {
    let (max, lock_period) = (record.terms.max_forced, record.terms.lock_period);
    let steps = &mut record.forced_steps[party];
    if let Phase::Residual { counted_from } = &mut record.phase
        && (*steps == 0 || now >= counted_from[party].saturating_add(lock_period))
    {
        counted_from[party] = now;
        *steps = 0;
    }
    *steps = steps.checked_add(1).filter(|&steps| steps <= max).ok_or(Rejection::ForcedStepsUsedUp { max })?;
    Ok(())
}

/// Says whether a contract stands, with this code, balance and state, in the channel's last state on chain (R5.16).
///
/// # Errors
/// A commitment that is not that state's, a proof that shows nothing, of another state, or another contract.
pub fn prove_contract_state(
    record: &Record,
    claim: &ProveContractState,
    crypto: &impl Crypto,
) -> Result<Artefact, Rejection> {
    check_commitment(record, &claim.commitment, crypto)?;
    let leaf = Some(claim.contract.leaf(crypto));
    let unchanged = [TreeChange { key: claim.id.key(), before: leaf, after: leaf }];
    let _unchanged_too = roots_of(&claim.commitment, &claim.proof, &unchanged, crypto)?;
    let permanence = match record.phase {
        Phase::Open | Phase::Closing(_) => Permanence::Replaceable,
        Phase::Residual { .. } => Permanence::OwnCallsOnly,
    };
    Ok(Artefact { state: record.on_chain.at, permanence })
}
