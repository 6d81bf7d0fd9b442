//! What the honest party does (R6.9): slash or snapshot what is older than what it holds, go on with what contracts owe it, settle.

use crate::{Calls, Move, Scenario, World};
use protocol::record::{Phase, Record};

/// How the honest party defends itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// As it should.
    #[default]
    Defends,
    /// Closes and settles, and looks at nothing else: to see that the model would notice.
    Sleeps,
    /// Forgets the pre-image's deadline: to see that the model would notice.
    ClaimsLate,
}

/// What it wants to submit in this moment, if anything.
pub(crate) fn wants(scenario: &Scenario, world: &World) -> Option<Move> {
    let record = world.record.as_ref()?;
    let relied_on = scenario.relied_on(world.proposal_shown);
    let counts = scenario.states().get(relied_on).is_some_and(|newest| newest.is_newer(record, world.now));
    let is_old = counts && scenario.policy != Policy::Sleeps;

    match &record.phase {
        Phase::Open if is_old && record.on_chain.is_forced() => Some(Move::Snapshot(relied_on)),
        Phase::Open if world.now >= scenario.leaves_at => Some(Move::Close(counts.then_some(relied_on))),
        Phase::Open => None,
        Phase::Closing(_) if is_old => Some(Move::Slash(relied_on)),
        Phase::Closing(closing) => {
            let forced = record.forced_steps[scenario.honest] < record.terms.max_forced;
            let owed = owed(scenario, world).filter(|_| forced);
            let settle = (world.now >= closing.unlock_at).then_some(Move::Settle);
            owed.map(|calls| Move::Force(None, calls)).or(settle)
        }
        Phase::Residual { .. } => owed(scenario, world).map(|calls| Move::Force(None, calls)),
    }
}

/// Whether the pre-image has to be on chain soon, since claims can be delayed and replaced (R8.2).
pub(crate) fn must_register(scenario: &Scenario, world: &World) -> bool {
    let relied_on = scenario.relied_on(world.proposal_shown);
    let transfer = scenario.states().get(relied_on).and_then(|agreed| agreed.inside.transfer);
    let is_payee = transfer.is_some_and(|(payee, _)| payee == scenario.honest);
    let margin = scenario.delay.saturating_add(1);
    scenario.policy == Policy::Defends
        && is_payee
        && world.shown_at.is_none()
        && world.registering.is_none()
        && world.now < scenario.expiry
        && world.now.saturating_add(margin) >= scenario.expiry
}

/// The calls that bring what contracts owe it.
fn owed(scenario: &Scenario, world: &World) -> Option<Calls> {
    let in_time = world.shown_at.unwrap_or(world.now) < scenario.expiry;
    let claim = in_time && world.inside.transfer.is_some_and(|(payee, _)| payee == scenario.honest);
    let redeem = world.inside.tokens.is_some_and(|tokens| tokens[scenario.honest] > 0);
    let awake = scenario.policy != Policy::Sleeps;
    (awake && (claim || redeem)).then_some(Calls { claim, redeem, ..Calls::default() })
}

/// Whether there is nothing more to wait for.
pub(crate) fn has_ended(scenario: &Scenario, world: &World) -> bool {
    let settled = |record: &Record| matches!(record.phase, Phase::Residual { .. });
    world.pending.is_none()
        && world.registering.is_none()
        && world.record.as_ref().is_none_or(settled)
        && wants(scenario, world).is_none()
}
