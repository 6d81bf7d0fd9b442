//! `channel_force_progress` (R5.10), `prove_contract_state` (R5.16).

use super::{
    Context, Outcome, adopt, balances_of, check_commitment, pay_parties,
    progress::{Progress, roots_of},
    standing,
};
use crate::{
    AccountId, Pair, Party, Rejection,
    arbiter::Standing,
    call::{ForceProgress, ProveContractState},
    contracts::Executor,
    crypto::Crypto,
    event::Event,
    record::{Artefact, Closing, Phase, Record},
    tree::Change,
};
use alloc::vec::Vec;

/// Runs calls that the caller's peer does not answer, on the state shown or the one on chain. Each call is a round. While closing, the
/// closing balances follow and the lock restarts. On a residual channel (R5.11) what the contracts pay leaves at once.
///
/// # Errors
/// [`Rejection::MayNotForce`], [`Rejection::DelegateAttachesCoins`], [`Rejection::StateFinal`], an old payload (R5.4), a wrong
/// signature, a wrong commitment, [`Rejection::ForcedStepsUsedUp`], whatever [`Progress`] refuses, a proof that shows nothing or of
/// another state, [`Rejection::ForcedStateDiffers`].
pub fn force_progress(
    ctx: &Context,
    mut record: Record,
    call: &ForceProgress,
    executor: &mut impl Executor,
) -> Result<Outcome, Rejection> {
    check_may_force(&record, &ctx.caller, call)?;
    let is_residual = record.phase == Phase::Residual;
    if let Some(payload) = &call.payload {
        if is_residual && standing(&record.on_chain(), payload.round, &payload.state_hash)? == Standing::Newer {
            return Err(Rejection::StateFinal);
        }
        let standing = adopt(ctx, &call.channel, &mut record, payload, executor)?;
        if let (Standing::Newer, Phase::Closing(closing)) = (standing, &mut record.phase) {
            closing.penalty = closing.penalty.shown_round(payload.round);
        }
    }
    if is_residual {
        check_commitment(&record, &call.commitment, executor)?;
    } else {
        let _at_most_the_total = balances_of(&record, &call.commitment, executor)?;
        count_step(&mut record, call.party)?;
    }
    let mut progress = Progress::of(&record, call);
    let base = record.round;
    for call in &call.calls {
        let _executed = progress.run(call, ctx.now, executor)?;
    }
    let after = progress.conclude(&call.commitment, &call.proof, executor)?;
    if call.state_hash.is_some_and(|expected| expected != after.state_hash) {
        return Err(Rejection::ForcedStateDiffers { computed: after.state_hash });
    }

    record.round = after.round;
    record.state_hash = after.state_hash;
    let _first = record.forced_from.get_or_insert(base.saturating_add(1));
    if is_residual && after.payouts == Pair::default() {
        // A step that pays nothing only makes others show their contracts anew: not for ever (R5.11).
        count_step(&mut record, call.party)?;
    }
    let mut payouts = Vec::new();
    let unlock_at = ctx.unlock_at(&record);
    match &mut record.phase {
        Phase::Open => {}
        Phase::Closing(closing) => {
            *closing = Closing { balances: after.balances, unlock_at, penalty: closing.penalty };
        }
        Phase::Residual => {
            let paid = after.payouts.sum().ok_or(Rejection::AmountOverflow)?;
            let left = record.total.checked_sub(paid);
            record.total = left.ok_or(Rejection::BalancesExceedTotal { total: record.total })?;
            payouts = pay_parties(&record.terms, &after.payouts);
        }
    }
    let event = Event::ChannelProgressed {
        party: call.party,
        round: record.round,
        forced_from: record.forced_from,
        state_hash: record.state_hash,
        forced_steps: record.forced_steps,
        total: record.total,
        closing: record.closing().ok().cloned(),
        calls: call.calls.clone(),
    };
    let ended = is_residual && record.total == 0;
    Ok(Outcome { record: (!ended).then_some(record), payouts, event })
}

/// A party may always; a delegate while closing, for its own principal, and without touching that party's coins.
fn check_may_force(record: &Record, caller: &AccountId, call: &ForceProgress) -> Result<(), Rejection> {
    let principal = &record.terms.parties[call.party];
    if principal.account == *caller {
        return Ok(());
    }
    if !matches!(record.phase, Phase::Closing(_)) || !principal.delegates.contains(caller) {
        return Err(Rejection::MayNotForce { party: call.party });
    }
    if call.calls.iter().any(|call| call.value > 0) {
        return Err(Rejection::DelegateAttachesCoins);
    }
    Ok(())
}

/// Counts a forced step against the party's quota on this base: so a dispute ends.
fn count_step(record: &mut Record, party: Party) -> Result<(), Rejection> {
    let max = record.terms.max_forced;
    let steps = &mut record.forced_steps[party];
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
    let unchanged = [Change { key: claim.id.key(), before: leaf, after: leaf }];
    let _unchanged_too = roots_of(&claim.commitment, &claim.proof, &unchanged, crypto)?;
    Ok(Artefact {
        round: record.round,
        is_forced: record.forced_from.is_some(),
        is_final: record.phase == Phase::Residual,
    })
}
