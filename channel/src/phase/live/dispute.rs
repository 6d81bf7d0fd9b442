//! What stands on chain, and what this side does about it there: the arbiter's view of the channel, its forced steps that are to be replayed, and
//! the calls that this side is forcing.
//!
//! Invariants: the view never goes back to an older state; steps are replayed in the order in which the arbiter made them, and none of them once a
//! co-signed state has taken their place on chain (R5.4).

use super::{agreed::Posted, forcing::Forcing};
use crate::{
    state::{ChangeId, Ids},
    units::Millis,
};
use protocol::{
    Amount, Base, BlockNumber, Hash, Maturity, Pair, Party,
    call::ForcedCall,
    record::{OnChain, Phase},
    terms::Terms,
};
use scale::{Decode, Encode};

/// What is disputed on chain, or may come to be.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Dispute {
    view: ArbiterView,
    /// Forced steps that are on chain, in order, and that this side cannot compute yet.
    pending_replay: Vec<PendingReplay>,
    /// The calls that this side is forcing.
    forcing: Option<Forcing>,
    /// Since when own calls have waited for the peer.
    #[codec(skip)]
    calls_wait_since: Option<Millis>,
}

/// What the arbiter has of the channel, as far as it was announced: what a forced step goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct ArbiterView {
    on_chain: OnChain,
    forced_steps: Pair<u8>,
    /// Once the channel is settled: the block from which each party's steps are counted, for a lock period (R5.11).
    counted_from: Pair<BlockNumber>,
}

/// A forced step that the arbiter has made and that this side has not replayed yet: an app may have to be fetched first.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct PendingReplay {
    pub(crate) party: Party,
    pub(crate) posted: Posted,
    pub(crate) calls: Vec<ForcedCall>,
    /// Its block (R7.3).
    pub(crate) height: BlockNumber,
    /// What the channel held before it.
    pub(crate) total: Amount,
    pub(crate) is_residual: bool,
}

impl Dispute {
    /// Of a channel whose first state has this hash.
    pub(crate) fn new(first: Hash) -> Self {
        let view = ArbiterView {
            on_chain: OnChain::agreed(1, first),
            forced_steps: Pair::default(),
            counted_from: Pair::default(),
        };
        Self { view, pending_replay: Vec::new(), forcing: None, calls_wait_since: None }
    }

    /// The state that the arbiter has.
    pub(crate) const fn on_chain(&self) -> &OnChain {
        &self.view.on_chain
    }

    /// How many steps each party has forced on it.
    pub(crate) const fn forced_steps(&self) -> Pair<u8> {
        self.view.forced_steps
    }

    /// Whether the arbiter was past this state, or at it, when it was last heard of. Co-signed states come in the order of their rounds, and
    /// forced ones in the order of theirs above the co-signed one below them (R5.4).
    pub(crate) fn has_seen(&self, posted: &Posted) -> bool {
        posted.at <= self.view.on_chain.at
    }

    /// Whether the arbiter was past this state when it was last heard of.
    pub(crate) fn is_past(&self, posted: &Posted) -> bool {
        posted.at < self.view.on_chain.at
    }

    /// Whether a forced step on chain lies above what a round goes on from: then the peer's answer to it counts only once the round is on chain
    /// itself (R7.6a).
    pub(crate) fn is_below_a_mark(&self, base: Base) -> bool {
        base < self.view.on_chain.maturity.highest()
    }

    /// Once the channel is settled: the block from which each party's steps are counted, as far as it is known.
    pub(crate) const fn counted_from(&self) -> Pair<BlockNumber> {
        self.view.counted_from
    }

    /// The lowest base that the chain takes a state on in the block after `head` (R5.4b).
    pub(crate) fn floor(&self, head: BlockNumber, lock_period: BlockNumber) -> Base {
        self.view.on_chain.maturity.floor(head.saturating_add(1), lock_period)
    }

    /// Notes a co-signed state that the arbiter has announced.
    pub(crate) fn see(&mut self, posted: &Posted) {
        if !posted.is_forced() && self.view.on_chain.at != posted.at {
            // The quota of forced steps begins anew with each co-signed state (R5.10).
            self.view.forced_steps = Pair::default();
            self.view.on_chain.adopt(posted.at.agreed, posted.state_hash);
            self.pending_replay.clear();
        }
    }

    /// Notes a forced step of `by` that the arbiter has announced in block `head`.
    pub(crate) fn see_forced(
        &mut self,
        (posted, by): (&Posted, Party),
        forced_steps: Pair<u8>,
        head: BlockNumber,
        terms: &Terms,
    ) {
        self.force_anew();
        if posted.at.agreed > self.view.on_chain.at.agreed {
            // A co-signed state that came with it has taken the place of the steps that wait (R5.4).
            self.pending_replay.clear();
        }
        self.view.on_chain.force(posted.at, posted.state_hash, head, terms);
        self.view.forced_steps = forced_steps;
        if forced_steps[by] == 1 {
            // The count began with this step.
            self.view.counted_from[by] = head;
        }
    }

    /// Notes what the record says, where the blocks that led to it were not read (R6.9b).
    pub(crate) fn see_record(&mut self, on_chain: OnChain, forced_steps: Pair<u8>, phase: &Phase) {
        let counted_from = match phase {
            Phase::Residual { counted_from } => *counted_from,
            Phase::Open | Phase::Closing(_) => Pair::default(),
        };
        self.view = ArbiterView { on_chain, forced_steps, counted_from };
    }

    /// The channel is settled: forced steps count anew, and no state but this one counts any more (R5.11).
    pub(crate) fn settle(&mut self) {
        self.view.forced_steps = Pair::default();
        self.view.on_chain.maturity = Maturity::default();
    }

    /// The forced step to be replayed next.
    pub(crate) fn pending_replay(&self) -> Option<&PendingReplay> {
        self.pending_replay.first()
    }

    /// Whether a step that waits to be replayed was made after the channel was settled.
    pub(crate) fn replays_residual(&self) -> bool {
        self.pending_replay.iter().any(|made| made.is_residual)
    }

    /// Has forced steps be replayed, after those that wait.
    pub(crate) fn await_replay(&mut self, made: PendingReplay) {
        self.pending_replay.push(made);
    }

    /// The first step that waited is replayed.
    pub(crate) fn note_replayed(&mut self) {
        if !self.pending_replay.is_empty() {
            let _replayed = self.pending_replay.remove(0);
        }
    }

    /// Steps that wait are not replayed any more: nobody can show them, or nothing that is known here leads to them.
    pub(crate) fn drop_replay(&mut self) {
        self.pending_replay.clear();
    }

    /// The calls that this side is forcing.
    pub(crate) const fn forcing(&self) -> Option<&Forcing> {
        self.forcing.as_ref()
    }

    pub(crate) const fn forcing_mut(&mut self) -> Option<&mut Forcing> {
        self.forcing.as_mut()
    }

    /// Whether calls are being forced that the arbiter has not refused so far.
    pub(crate) fn is_forcing_wanted(&self) -> bool {
        self.forcing.as_ref().is_some_and(Forcing::is_wanted)
    }

    /// From now on these calls are forced.
    pub(crate) fn force(&mut self, forcing: Forcing) {
        self.forcing = Some(forcing);
    }

    /// Something else has come on chain: what was refused because of it is to be tried on what is there now.
    pub(crate) const fn force_anew(&mut self) {
        if let Some(forcing) = &mut self.forcing {
            forcing.begin_again();
        }
    }

    /// Nothing is forced any more. Returns what was.
    pub(crate) const fn take_forcing(&mut self) -> Option<Forcing> {
        self.forcing.take()
    }

    /// Nothing is forced any more, where one of these changes was to be made in this way. Returns what was forced.
    pub(crate) fn take_forcing_of(&mut self, made: &Ids) -> Option<Forcing> {
        self.forcing.take_if(|forcing| forcing.changes().iter().any(|id| made.contains(*id)))
    }

    /// The arbiter has made these calls: they are not forced any more. Their ids, where they are changes that waited.
    pub(crate) fn take_made(&mut self, calls: &[ForcedCall]) -> Vec<ChangeId> {
        let Some(forcing) = self.forcing.take_if(|forcing| forcing.begins_with(calls)) else { return Vec::new() };
        let (ids, left) = forcing.split(calls.len());
        self.forcing = left;
        ids
    }

    /// Own calls wait for the peer. Says whether they have done so for as long as `patience`; then the time begins anew.
    pub(crate) fn calls_waited(&mut self, now: Millis, patience: Millis) -> bool {
        let since = *self.calls_wait_since.get_or_insert(now);
        let is_over = now.saturating_sub(since) >= patience;
        if is_over {
            self.calls_wait_since = None;
        }
        is_over
    }

    /// No own calls wait for the peer.
    pub(crate) const fn note_calls_answered(&mut self) {
        self.calls_wait_since = None;
    }
}
