//! Making the arbiter's forced steps here too, so that both sides go on from the state after them (R5.10).

use super::{Live, agreed::Posted, dispute::PendingReplay};
use crate::{
    event::Event,
    input::Context,
    state::{ChangeId, Ids, Outcome, Performed, State},
    transfer::done::of_calls,
};
use protocol::{
    Base, BlockNumber, Hash, Pair, Party,
    arbiter::{Followed, Start, follow},
    call::Payload,
    contracts::{Code, Contract, ContractId, Predictor},
    record::{OnChain, Phase as RecordPhase, Record},
};
use std::collections::BTreeSet;

/// Why a forced step cannot be replayed.
pub(crate) enum ReplayError {
    /// This app is not here.
    Lacks(Hash),
    /// No state that is known here leads to it: this side's store is old.
    Unknown,
}

/// A settled channel, as far as planning looks at it.
pub(crate) const RESIDUAL: RecordPhase = RecordPhase::Residual { counted_from: Pair::new(0, 0) };

/// What a forced step goes on from, with `state` the co-signed state shown, or the one on chain.
pub(crate) const fn start<'a>(
    live: &'a Live,
    state: &'a State,
    payload: Option<Payload>,
    record: &'a Record,
) -> Start<'a> {
    let (channel, balances, calls_root) = (live.funding.channel(), state.balances, state.calls_root);
    Start { channel, record, payload, balances, contracts: &state.contracts, calls_root }
}

impl Live {
    /// Whether this side holds a state that counts before forced steps which it has not followed: then they will not be followed (R5.4).
    pub(crate) fn replaces_forced(&self, head: BlockNumber) -> bool {
        !self.dispute.replays_residual() && self.newer_than_chain(head).is_some()
    }

    /// Makes the forced state the agreed one, if it can be computed from a state that is known here.
    pub(crate) fn replay(
        &mut self,
        record: Record,
        made: &PendingReplay,
        me: Party,
        ctx: &Context<'_>,
    ) -> Result<Vec<Event>, ReplayError> {
        let PendingReplay { party, posted, calls, height, total, is_residual } = made;
        let steps = u32::try_from(calls.len()).unwrap_or(u32::MAX);
        let before = Base { steps: posted.at.steps.saturating_sub(steps), ..posted.at };
        let phase = if *is_residual { RESIDUAL } else { RecordPhase::Open };
        let on_chain = OnChain { at: before, ..record.on_chain.clone() };
        let record = Record { on_chain, total: *total, phase, ..record };
        let mut executor = Predictor::replaying(ctx.apps);
        let mut run = |state: &State| {
            let start = start(self, state, None, &record);
            let followed = follow(&start, *party, calls, *height, &mut executor).ok()?;
            (followed.state_hash == posted.state_hash).then_some(followed)
        };
        // Either from what is agreed, or from a round of ours that the peer has signed and shown to the arbiter only.
        let ours = self.outgoing.all().map(|ours| (Base::of(ours.round()), ours.state()));
        let below = self.agreed.below();
        // Or from what this side has pledged, which the peer may show together with calls.
        let pledged = self.operation.pledged();
        let states = std::iter::once((self.agreed.base(), self.agreed.state())).chain(ours).chain(below).chain(pledged);
        let states: Vec<_> = states.filter(|(known, _)| *known == before).map(|(_, state)| state).collect();
        let found = states.iter().find_map(|state| {
            let shown = Posted { at: before, state_hash: state.hash() };
            let Followed { balances, contracts, calls_root, executed, .. } = run(state)?;
            Some((shown, state.followed_by(balances, contracts, calls_root), executed))
        });
        let Some((shown, state, executed)) = found else {
            let codes = calls.iter().flat_map(|call| states.iter().filter_map(|it| it.contracts.get(&call.contract)));
            let lacks = codes.filter_map(|contract| match contract.code {
                Code::Contract(code) if !ctx.apps.knows(&code) => Some(code),
                _ => None,
            });
            return Err(lacks.into_iter().next().map_or(ReplayError::Unknown, ReplayError::Lacks));
        };
        let is_transfer =
            |id: &ContractId| states.iter().any(|it| it.contracts.get(id).is_some_and(Contract::is_transfer));
        let transfers = of_calls(calls, is_transfer);
        let mut told = Vec::new();
        let is_below = self.agreed.below().is_some_and(|(at, _)| at == before);
        if is_below && before < self.agreed.base() {
            // The agreed round has lost its force (R5.4b): it was not shown within a lock period.
            let changes = self.agreed.made().iter().map(|id| (id, &[][..])).collect();
            self.outgoing.note_undone(&changes);
            told.push(Event::Undone { changes, round: posted.at.round() });
        } else if shown.state_hash != self.agreed.hash() {
            told.extend(self.adopt_from_chain(&shown, me).ok_or(ReplayError::Unknown)?);
        }
        self.outgoing.bury(me, posted.at.agreed);
        self.outgoing.abandon_below(me, posted.at);
        self.operation.retry_above();
        self.incoming.forget();
        self.transfers_done.extend(transfers);
        // What the base has, and what these calls make of own changes, is made in what may be signed from here on.
        let base = if self.agreed.base() == before { self.agreed.made().clone() } else { Ids::default() };
        self.agreed.force(posted, *party, state, *height);
        let ids = if *party == me { self.dispute.take_made(calls) } else { Vec::new() };
        let made: BTreeSet<ChangeId> = base.iter().chain(ids.iter().copied()).collect();
        self.agreed.set_made(made.into_iter().collect());
        let performed = executed.into_iter().enumerate().map(|(at, (contract, value, done))| Performed {
            by: *party,
            change: ids.get(at).copied(),
            outcome: Outcome::Called { contract, value, payouts: done.payouts, output: done.output, ended: done.ended },
        });
        told.push(Event::Executed { round: posted.at.round(), forced: true, performed: performed.collect() });
        Ok(told)
    }
}
