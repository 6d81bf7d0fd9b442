//! The process starts, and what waits until it is sure that its store is the newest (R6.6b).

use crate::{
    certainty::{Certainty, SoloStep},
    channel::Channel,
    effect::Effect,
    error::Misuse,
    event::{Event, Notice},
    input::Context,
    phase::Phase,
    state::State,
    step::Step,
    transfer::TransferEvent,
};
use protocol::{Base, call::ForcedCall};

impl Channel {
    /// Whether the stored state is as new as it has to be for what the user wants to put on chain.
    pub(crate) fn is_certain(&self, certainty: Certainty) -> bool {
        let base = self.phase.live().map_or(Base::of(1), |live| live.agreed.base());
        self.confirmation.is_certain(certainty, base)
    }

    /// Defers a close alone until the peer has said where it stands.
    pub(crate) fn defer_close(&mut self) -> Step {
        self.confirmation.defer_close();
        Step::notify(Notice::AwaitsPeerConfirmation { step: SoloStep::Close })
    }

    /// Defers calls that are to be forced until the peer has said where it stands.
    pub(crate) fn defer_force(&mut self, calls: Vec<ForcedCall>) -> Result<Step, Misuse> {
        if !self.confirmation.defer_force(calls) {
            return Err(Misuse::AlreadyForcing);
        }
        Ok(Step::notify(Notice::AwaitsPeerConfirmation { step: SoloStep::Force }))
    }

    /// Makes what has waited, where the peer or the chain has said enough, or gives it up.
    pub(crate) fn take_held(&mut self, ctx: &Context<'_>) -> Step {
        let Some(held) = self.confirmation.waiting() else { return Step::default() };
        let is_old = self.phase.live().is_some_and(|live| live.store.is_stale());
        if !is_old && !self.is_certain(Certainty::ConfirmedByPeer) {
            return Step::default();
        }
        let made = match held {
            SoloStep::Close => {
                let _none = self.confirmation.take(held);
                self.on_user_close_solo(Certainty::ConfirmedByPeer)
            }
            SoloStep::Force => {
                let calls = self.confirmation.take(held);
                self.on_user_force(calls, Certainty::ConfirmedByPeer, ctx)
            }
        };
        made.unwrap_or_else(|why| Step::notify(Notice::SoloStepCancelled { step: held, why })).and(self.take_held(ctx))
    }

    /// The process started on a store that was copied from elsewhere: nobody knows what was signed after the copy was made. As
    /// [`on_restarted`](Self::on_restarted), but as a side whose store is old (R6.6a), until it starts on a store that its owner vouches for.
    pub(crate) fn on_restarted_from_copy(&mut self, ctx: &Context<'_>) -> Step {
        self.confirmation.store_is_copy();
        let mut step = Step::default();
        if let Phase::Open(live) | Phase::Closing(live, _) = &mut self.phase
            && live.store.suspect()
        {
            step = Step::commit(Vec::new());
        }
        step.and(self.restart_told(ctx))
    }

    /// The process started, and the store is where it always was.
    pub(crate) fn on_restarted(&mut self, ctx: &Context<'_>) -> Step {
        let is_news = match &mut self.phase {
            Phase::Open(live) | Phase::Closing(live, _) => live.store.trust(),
            _ => false,
        };
        let step = if is_news { Step::commit(Vec::new()) } else { Step::default() };
        step.and(self.restart_told(ctx))
    }

    /// The process started: what may have been lost is asked for and told again. Nothing expires here, because what happened
    /// on chain meanwhile is told only after this.
    pub(crate) fn restart_told(&mut self, ctx: &Context<'_>) -> Step {
        // Nothing is queued any more.
        self.drop_unsigned_offers();
        if let Some(given) = self.given_pledge() {
            self.transfers.tell(TransferEvent::PledgeGiven(given));
        }
        if let Some(contracts) = self.contracts().filter(|_| self.state().is_some_and(State::is_whole)).cloned() {
            self.transfers.note_missing(&contracts);
        }
        let unacknowledged = self.outbox.again();
        let told = match &self.phase {
            Phase::Closed(_) if !self.outbox.holds(|event| matches!(event, Event::Closed(_))) => Some(Effect::Forget),
            phase => phase.live().and_then(|live| live.store.notice()).map(Effect::Notify),
        };
        let again = [
            unacknowledged,
            told.into_iter().collect(),
            self.create_again(ctx.head),
            self.operation_again(ctx.head),
            self.mutual_again(ctx.head),
            self.solo_again(),
            self.shown_again(ctx.transfers.best(), ctx),
        ];
        Step::act(again.concat())
    }
}
