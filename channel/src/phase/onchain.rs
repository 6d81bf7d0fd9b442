//! What the chain says, and how a channel defends itself (R6.9). Only final facts come here (R6.8).

use super::{
    CloseReason, Phase,
    closing::{How, Solo},
};
use crate::{
    effect::{Effect, Event, Notice},
    input::Context,
    machine::{Channel, Step},
};
use protocol::{
    BlockNumber, Party, Rejection,
    call::{Call, Slash},
    event::Event as ArbiterEvent,
    record::{Closing, OnChain, Penalty},
};

/// How many blocks the responder leaves to the initiator before it settles itself, so that not both pay for it.
const SETTLE_GRACE: BlockNumber = 2;

impl Solo {
    const fn new(on_chain: OnChain, closing: &Closing) -> Self {
        let closer = match closing.penalty {
            Penalty::AtRisk(closer) | Penalty::Due(closer) => Some(closer),
        };
        Self { on_chain, unlock_at: closing.unlock_at, closer }
    }
}

impl Channel {
    /// A block is final, and all its events have been told.
    pub(crate) fn on_chain_head(&mut self, ctx: &Context<'_>) -> Step {
        let step = self.on_head_while_opening(ctx).and(self.on_head_while_closing(ctx));
        let again = [self.solo_again(), self.defence(ctx.head), self.resume()].concat();
        step.and(Step::act(again))
    }

    /// The process started: what may have been lost is asked for and told again. Nothing expires here, because what happened
    /// on chain meanwhile is told only after this.
    pub(crate) fn on_restarted(&self, ctx: &Context<'_>) -> Step {
        let told = match &self.phase {
            Phase::Closed(reason) => vec![Effect::Notify(Event::Closed(reason.clone()))],
            _ => Vec::new(),
        };
        let again =
            [self.create_again(ctx.head), self.mutual_again(ctx.head), self.solo_again(), self.defence(ctx.head)];
        Step::act([told, again.concat()].concat())
    }

    pub(crate) fn on_chain_event(&mut self, event: ArbiterEvent, ctx: &Context<'_>) -> Step {
        match event {
            ArbiterEvent::ChannelCreated { record } => self.on_chain_created(&record),
            ArbiterEvent::ChannelClosedMutually { balances, .. } => self.close_once(CloseReason::Mutual { balances }),
            ArbiterEvent::ChannelSettled { balances, .. } => self.close_once(CloseReason::Settled { balances }),
            ArbiterEvent::ChannelClosedSolo { round, state_hash, forced_from, closing } => {
                let solo = Solo::new(OnChain { round, forced_from, state_hash }, &closing);
                self.on_chain_closing(solo, ctx, |outdated| Event::ClosingSolo {
                    round,
                    unlock_at: solo.unlock_at,
                    outdated,
                })
            }
            // This machine signs none of these yet, so they cannot happen to its channels (R5.5 to R5.7).
            ArbiterEvent::ChannelDeposited { .. }
            | ArbiterEvent::ChannelWithdrawn { .. }
            | ArbiterEvent::ChannelDelegatesSet { .. }
            // A state that both signed: nothing to answer; what comes after it is compared with ours as ever.
            | ArbiterEvent::ChannelProgressed { .. }
            | ArbiterEvent::ChannelSnapshotted { .. } => Step::default(),
            ArbiterEvent::ChannelSlashed { round, state_hash, closing } => {
                let solo = Solo::new(OnChain { round, forced_from: None, state_hash }, &closing);
                self.on_chain_closing(solo, ctx, |_| Event::Slashed { round, unlock_at: solo.unlock_at })
            }
        }
    }

    /// Transition: signed | open | closing -> closing (solo). Posts a newer state where there is one.
    fn on_chain_closing(&mut self, solo: Solo, ctx: &Context<'_>, event: impl Fn(bool) -> Event) -> Step {
        if matches!(&self.phase, Phase::Closing(_, How::Solo(known)) if *known == solo) {
            return Step::default();
        }
        self.move_to_closing(How::Solo(solo));
        let Phase::Closing(live, _) = &mut self.phase else { return Step::default() };
        let mut told = vec![Effect::Notify(event(live.newer_than(&solo.on_chain).is_some()))];
        told.extend(live.paid_on_chain(&solo.on_chain).map(Effect::Notify));
        Step::commit(told).and(Step::act(self.defence(ctx.head)))
    }

    /// What defends the channel now: a newer state against the one on chain, or settling once the lock has run out.
    fn defence(&self, head: BlockNumber) -> Vec<Effect> {
        let Phase::Closing(live, How::Solo(solo)) = &self.phase else { return Vec::new() };
        if !self.config.defend {
            return Vec::new();
        }
        let channel = live.funding.channel;
        if let Some(payload) = live.newer_than(&solo.on_chain) {
            // This side's own account closed on an old state, by another hand than ours, where a round of the peer's is newer: showing it would
            // cost the penalty, so it is left to the peer. A round of our own is agreed and costs nothing: it is shown.
            if solo.closer != Some(self.me) || Party::owner_of(payload.round) == self.me {
                let commitment = live.agreed.state.commitment();
                return vec![Effect::Submit(Box::new(Call::ChannelSlash(Slash { channel, payload, commitment })))];
            }
        }
        let grace = match self.me {
            Party::Initiator => 0,
            Party::Responder => SETTLE_GRACE,
        };
        // What is sent now is executed in the next block at the earliest.
        let unlocked = head.saturating_add(1) >= solo.unlock_at.saturating_add(grace);
        if unlocked { vec![Effect::Submit(Box::new(Call::ChannelSettle { channel }))] } else { Vec::new() }
    }

    /// The arbiter refused a call. Where it is asked for again with each head, the user is told once.
    pub(crate) fn on_chain_rejected(&mut self, call: &'static str, rejection: Rejection) -> Step {
        let known = self.last_rejection.replace((call, rejection)) == Some((call, rejection));
        if known || matches!(self.phase, Phase::Closed(_)) {
            return Step::default();
        }
        Step::act(vec![Effect::Notify(Event::Notice(Notice::CallRejected { call, rejection }))])
    }

    fn close_once(&mut self, reason: CloseReason) -> Step {
        if matches!(self.phase, Phase::Closed(_)) { Step::default() } else { self.close(reason) }
    }
}
