//! A running channel: its parts, and what concerns several of them (R6.1 to R6.5).
//!
//! ```text
//!   funding     what both signed for on chain           agreed      the latest agreed state, and its proof
//!   outgoing    own changes and rounds, unanswered       incoming    the peer's proposals that wait
//!   operation   a deposit, a withdrawal, other delegates dispute     what stands on chain, forced steps
//!   store       whether the store is stale               wish        how the user wants it to close
//! ```
//!
//! Each part keeps its own invariants; here are those between them: what is agreed is above every open round of one's own that goes on from another
//! base, and nothing waits or is wished for that a stale store or the chain has made impossible.

pub(crate) mod agreed;
pub(crate) mod dispute;
pub(crate) mod forcing;
pub(crate) mod incoming;
pub(crate) mod open_round;
pub(crate) mod operation;
pub(crate) mod outgoing;
pub(crate) mod pledge;
pub(crate) mod proposing;
pub(crate) mod replay;
pub(crate) mod review;
pub(crate) mod stale;
pub(crate) mod wish;

use self::{
    agreed::{Agreed, Forced, OwnCosigned, Posted},
    dispute::Dispute,
    incoming::Incoming,
    open_round::OpenRound,
    operation::Operation,
    outgoing::Outgoing,
    stale::StoreAge,
    wish::CloseWish,
};
use super::funding::Funding;
use crate::{
    effect::Effect,
    error::Violation,
    event::Event,
    message::RefusalCode,
    state::{ChangeId, Ids, OwnChanges, State, performed},
    step::Step,
    transfer::{
        done::Done,
        marks::{EndKind, LeftCall},
    },
};
use protocol::{
    Amount, Base, BlockNumber, Hash, Pair, Party, Round, Signature,
    arbiter::{Candidate, Standing, standing},
    call::{Call, CloseSolo, Payload, Slash, SnapshotSolo},
    record::Penalty,
};
use scale::{Decode, Encode};

/// The furthest that a round may lie above the last one that both know of: the peer's rounds that got lost are far fewer, and rounds must not
/// run out.
const MAX_ROUND_JUMP: Round = 1 << 16;

/// A channel that is open or closing. The parts that are stored stand in the order in which they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Live {
    pub(crate) funding: Funding,
    pub(crate) agreed: Agreed,
    /// Own rounds and changes.
    pub(crate) outgoing: Outgoing,
    /// What is under way on chain while the channel is open (R6.5).
    pub(crate) operation: Operation,
    pub(crate) dispute: Dispute,
    /// Whether the peer showed a state that this side signed and does not remember (R6.6).
    pub(crate) store: StoreAge,
    pub(crate) wish: CloseWish,
    /// The peer's proposals. Nothing of them is signed, so nothing is saved.
    #[codec(skip)]
    pub(crate) incoming: Incoming,
    /// What the input that is being handled did to conditional transfers (R8.3).
    #[codec(skip)]
    pub(crate) transfers_done: Vec<Done>,
}

impl Live {
    pub(crate) fn new(funding: Funding, store: StoreAge) -> Self {
        let agreed = Agreed::first(funding.first().clone());
        Self {
            dispute: Dispute::new(agreed.hash()),
            agreed,
            funding,
            outgoing: Outgoing::new(),
            operation: Operation::default(),
            store,
            wish: CloseWish::None,
            incoming: Incoming::default(),
            transfers_done: Vec::new(),
        }
    }

    /// The id of the next change.
    pub(crate) fn next_change(&self) -> ChangeId {
        self.outgoing.next_change()
    }

    /// Changes that are neither agreed nor refused.
    pub(crate) fn pending(&self) -> usize {
        self.outgoing.pending()
    }

    /// What `me` can pay now, above the reserve.
    pub(crate) fn spendable(&self, me: Party) -> Amount {
        // As a rule what is proposed leaves less; but the peer may have put a lower round of ours on chain that leaves less still.
        let agreed = self.agreed.state().balances[me];
        let ours = self.outgoing.proposal().map_or(agreed, |proposal| proposal.state().balances[me].min(agreed));
        let kept = self.funding.terms().reserve.saturating_add(self.operation.takes());
        ours.saturating_sub(kept).saturating_sub(self.outgoing.queued_amount())
    }

    /// Whether the peer holds a signature of this side's for a state that may yet count and that this change has made, or of which this is true: after an open round,
    /// or after an operation (R6.5).
    pub(crate) fn may_count(&self, change: Option<ChangeId>, is_such: impl Fn(&State) -> bool) -> bool {
        self.outgoing.may_count(change, &is_such) || self.operation.may_count(is_such)
    }

    /// Whether it may be told of a change that it is agreed, or undone.
    pub(crate) fn may_tell_of(&self, change: ChangeId) -> bool {
        self.is_undoable(change) || self.outgoing.may_count(Some(change), |_| false)
    }

    /// Whether a change is agreed and it may be told of it that it is undone.
    pub(crate) fn is_undoable(&self, change: ChangeId) -> bool {
        self.agreed.made().contains(change) || self.outgoing.is_undoable(change)
    }

    /// What contracts hold of the agreed total.
    pub(crate) fn held(&self) -> Amount {
        self.funding.total().saturating_sub(self.agreed.state().balances.sum().unwrap_or(Amount::MAX))
    }

    /// The latest agreed state as the arbiter takes it.
    pub(crate) fn close_solo(&self) -> CloseSolo {
        CloseSolo {
            channel: self.funding.channel(),
            payload: self.payload(),
            commitment: self.agreed.state().commitment(),
        }
    }

    /// The proof of the latest agreed state; none for one that is on chain.
    pub(crate) fn payload(&self) -> Option<Payload> {
        self.agreed.payload()
    }

    /// The proof of a state that takes the place of the one on chain in the block after `head`, where this side has one (R5.4).
    pub(crate) fn newer_than_chain(&self, head: BlockNumber) -> Option<Payload> {
        let payload = self.payload()?;
        let on_chain = self.dispute.on_chain();
        let standing = standing(on_chain, self.funding.terms(), &Candidate::from(&payload), head.saturating_add(1));
        (standing == Ok(Standing::Newer)).then_some(payload)
    }

    /// Shows the newest state against a close with this penalty. None where there is no proof of it, or where showing it costs `me` the penalty: where
    /// this side's own account closed on an old state, by another hand than ours, that is left to the peer (R5.9).
    pub(crate) fn slash(&self, penalty: &Penalty, me: Party) -> Option<Call> {
        let payload = self.payload()?;
        let after = penalty.shown(payload.round, payload.base);
        if after != *penalty && after == Penalty::Due(me) {
            return None;
        }
        let (channel, commitment) = (self.funding.channel(), self.agreed.state().commitment());
        Some(Call::ChannelSlash(Slash { channel, payload, commitment }))
    }

    /// Shows the newest state to the arbiter while the channel is open.
    pub(crate) fn snapshot(&self, payload: Payload) -> Effect {
        let channel = self.funding.channel();
        Effect::Submit(Box::new(Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload })))
    }

    /// Whether the peer may make a newer state that this side holds lose its force, by steps on an older one (R5.4b).
    pub(crate) fn is_in_danger(&self) -> bool {
        self.dispute.on_chain().is_forced() || self.dispute.is_below_a_mark(self.agreed.named())
    }

    /// What is told of what will not be: payments, and the user's operation.
    pub(crate) fn drop_pending(&mut self, code: RefusalCode) -> Vec<Event> {
        let mut events = self.drop_payments();
        events.extend(self.operation.give_up(code));
        events
    }

    /// What is told of payments that will not be made: those that wait, and those of a proposal that never came to be.
    pub(crate) fn drop_payments(&mut self) -> Vec<Event> {
        let payments = self.outgoing.drop_all();
        if payments.is_empty() { Vec::new() } else { vec![Event::Dropped { payments }] }
    }

    /// Whether the state on chain is the one agreed here, and known whole.
    pub(crate) fn is_as_on_chain(&self) -> bool {
        let on_chain = self.dispute.on_chain();
        self.agreed.base() == on_chain.at && self.agreed.hash() == on_chain.state_hash && self.agreed.state().is_whole()
    }

    /// Whether the chain has a co-signed state that counts before the one agreed here.
    pub(crate) fn is_behind(&self, posted: &Posted) -> bool {
        !posted.is_forced() && posted.at > self.agreed.base()
    }

    /// What is told where a co-signed state takes the place of forced ones that are not in its base (R5.4).
    pub(crate) fn replaced(&self, round: Round, base: Base) -> Option<Event> {
        let Forced { at, .. } = self.agreed.forced()?;
        let kept = if base.agreed == at.agreed { base.steps } else { 0 };
        let forced = Base { steps: kept, ..at }.round().saturating_add(1);
        (kept < at.steps).then_some(Event::Replaced { forced, round })
    }

    /// These changes are agreed: calls among them are not forced any more. Others that were to be forced with them wait again.
    pub(crate) fn stop_forcing(&mut self, made: &Ids, me: Party) {
        let Some(forcing) = self.dispute.take_forcing_of(made) else { return };
        let rest: Vec<_> = forcing.into_calls().filter(|(id, _)| !made.contains(*id)).collect();
        self.outgoing.return_calls(me, rest.into_iter());
    }

    /// Whether the agreed state is on chain and the peer has not said that it sees it there.
    pub(crate) fn awaits_lock(&self) -> bool {
        let round = self.agreed.round();
        let (saw, replayed) = self.operation.peer_stands_at();
        let stands_at = if self.agreed.forced().is_some() { replayed } else { saw };
        self.agreed.is_on_chain() && round > 1 && stands_at < round
    }

    /// Nothing is left of a call that goes with a transfer, in the agreed state and in those that go on from it (R8.3g).
    pub(crate) fn leave_call(&mut self, (contract, place): LeftCall, kind: EndKind) {
        let base = self.agreed.base();
        let own = self.outgoing.all_mut().filter(|ours| ours.base() == base).map(OpenRound::state_mut);
        for state in own.chain(self.operation.state_on(base)) {
            state.marks.make(contract, kind, usize::from(place));
        }
        self.agreed.marks_mut().make(contract, kind, usize::from(place));
    }

    /// Whether a proposal of the peer's in `round` lost to one that the chain told of before the peer's answer came.
    pub(crate) fn is_overtaken_by_chain(&self, round: Round) -> bool {
        self.agreed.is_on_chain() && round < self.agreed.round()
    }

    /// Whether a round of the peer's lies so near that rounds do not run out.
    pub(crate) fn check_near(&self, round: Round) -> Result<(), Violation> {
        let have = self.agreed.round().max(self.outgoing.signed());
        if round > have.saturating_add(MAX_ROUND_JUMP) {
            return Err(Violation::RoundTooFar { got: round, have });
        }
        Ok(())
    }

    /// Adopts a state that both signed, or that is on chain.
    pub(crate) fn adopt(
        &mut self,
        me: Party,
        (round, named): (Round, Base),
        state: State,
        hash: Hash,
        signatures: Option<Pair<Signature>>,
    ) {
        self.agreed.adopt((round, named), state, hash, signatures);
        self.operation.end_pledges(round);
        self.outgoing.note_signed(round);
        self.outgoing.bury(me, round);
        self.outgoing.abandon_below(me, Base::of(round));
        // A peer that agrees to a round has seen its own offer to close expire.
        let _expired = self.incoming.take_shutdown();
    }

    /// A round of ours that the chain has: the peer made it co-signed, and answered nobody but the arbiter; or one that this side has pledged. None where the chain tells of
    /// nothing new; otherwise the state is the agreed one from now on, and what is told of its changes.
    pub(crate) fn adopt_from_chain(&mut self, posted: &Posted, me: Party) -> Option<Vec<Event>> {
        let Posted { at: Base { agreed: round, steps: 0 }, state_hash } = *posted else { return None };
        let own = self.adopt_own(OwnCosigned { round, state_hash, signatures: None }, me);
        own.or_else(|| self.adopt_pledged(round, &state_hash, me))
    }

    /// Adopts a round of ours that both have signed, answered or not. None where this side does not know it.
    pub(crate) fn adopt_own(&mut self, own: OwnCosigned, me: Party) -> Option<Vec<Event>> {
        let OwnCosigned { round, state_hash, signatures } = own;
        let ours = self.outgoing.take(round, &state_hash)?;
        let base = ours.update().base;
        let mut told: Vec<_> = self.replaced(round, base).into_iter().collect();
        let told_of = self.outgoing.made();
        let (new, undone) = self.outgoing.account_for(me, &ours, self.agreed.base().agreed);
        if !undone.is_empty() {
            told.push(Event::Undone { changes: undone, round });
        }
        self.operation.note_agreed(round, ours.own_changes());
        let executes_at = ours.executes_at();
        let channel = self.funding.channel();
        self.transfers_done.extend(ours.transfers(&channel, me));
        let (state, results, ids) = ours.into_outcome();
        self.adopt(me, (round, base), state, state_hash, signatures);
        self.agreed.raise_height(executes_at);
        self.stop_forcing(&ids, me);
        let id = |place| ids.at(place).filter(|id| !told_of.contains(id));
        let performed = performed(me, results, id);
        self.agreed.set_made(ids);
        told.extend((!performed.is_empty()).then_some(Event::Executed { round, forced: false, performed }));
        told.extend((!new.is_empty()).then_some(Event::Paid { payments: new, round }));
        Some(told)
    }

    /// What is told of own changes that this side gives up: where the peer holds a signature for them they may still appear (R6.1).
    pub(crate) fn given_up(&self, given_up: &OwnChanges, code: RefusalCode) -> Vec<Event> {
        let refused = given_up.only(|id| self.outgoing.is_signed(id));
        let dropped = given_up.only(|id| !self.outgoing.is_signed(id));
        let refused = (!refused.is_empty()).then_some(Event::Refused { payments: refused, code });
        let dropped = (!dropped.is_empty()).then_some(Event::Dropped { payments: dropped });
        refused.into_iter().chain(dropped).collect()
    }

    /// This side's store is older than what it has signed (R6.6): it proposes nothing more. Returns what the user is told, durably and in passing.
    pub(crate) fn note_stale(&mut self, from: Round, to: Round) -> Step {
        let notice = self.store.note_stale(from, to);
        self.incoming.drop_review();
        self.wish.drop_solo();
        let mut events = self.drop_payments();
        let refused = Event::ShutdownRefused { code: RefusalCode::STALE_STORE };
        events.extend(self.wish.drop_mutual().then_some(refused));
        events.extend(self.operation.give_up_unsigned(RefusalCode::STALE_STORE));
        Step::tell(events).and(Step::notify(notice))
    }
}
