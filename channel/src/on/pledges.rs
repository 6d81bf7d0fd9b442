//! Pledges (R6.5d): the payee commits to stake coins of its own beside an offer, before the offer is proposed.

use super::transfers::Judged;
use crate::{
    channel::Channel,
    effect::Effect,
    input::Context,
    message::{RefusalCode, Update},
    phase::{
        Phase,
        closing::ClosePath,
        live::{agreed::Posted, pledge, proposing::Sign},
    },
    pledge::PledgeBody,
    state::{Change, State},
    step::Step,
    transfer::{Failure, room::Became},
    wait::Act,
};
use protocol::{BlockNumber, Signature};

impl Channel {
    /// Whether this side pledges for an offer of the peer's: as it would agree to the offer, and for no longer than its router says.
    pub(crate) fn judge_pledge(&mut self, body: &PledgeBody, ctx: &Context<'_>) -> Result<(), RefusalCode> {
        let PledgeBody { round, base, offer, state_hash, valid_until } = body;
        let lasts = ctx.transfers.stakes_until(offer).ok_or(RefusalCode::POLICY)?;
        if *valid_until > lasts {
            return Err(RefusalCode::POLICY);
        }
        let round = Update {
            round: *round,
            base: *base,
            height: 0,
            refuses: None,
            changes: vec![Change::Offer(offer.clone())],
            state_hash: *state_hash,
            signature: Signature([0; 64]),
        };
        match self.judge(&round, ctx) {
            Judged::Agreed => Ok(()),
            Judged::Later => Err(RefusalCode::NOT_NOW),
            Judged::Refused(items) => Err(items.first().map_or(RefusalCode::POLICY, |(_, code)| *code)),
        }
    }

    /// The peer has pledged: the round for which it has is proposed, in time for the pledge to be shown where the peer keeps back its answer.
    pub(crate) fn on_pledged(&mut self, body: &PledgeBody, state: State, peers: Signature, ctx: &Context<'_>) -> Step {
        if self.waits_for(Act::AskAnew, ctx.head).is_some() {
            return Step::default();
        }
        let (me, domain) = (self.me, self.domain);
        let best = ctx.transfers.best().max(ctx.head);
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        let is_in_time = pledge::is_in_time(best, body.valid_until, ctx.transfers.margins().register);
        let sign = Sign { domain: &domain, ctx };
        if let Some(proposed) = is_in_time.then(|| live.propose_pledged(me, body, state, peers, sign)).flatten() {
            // Where showing it may take until its last block, it is shown at once.
            let shown = self.pledge_again(best, ctx).into_iter().collect();
            return proposed.and(Step::act(shown));
        }
        // What waited has gone, or it is too late for it: its turn says which.
        live.operation.retry_above();
        Step::commit(Vec::new()).and(self.advance(ctx))
    }

    /// The peer does not pledge: nothing is offered.
    pub(crate) fn on_pledge_refused(&mut self, code: RefusalCode, ctx: &Context<'_>) -> Step {
        let me = self.me;
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        if let Some((change, ..)) = live.outgoing.next_staked() {
            live.outgoing.unqueue_one(me, change);
            let _offer = self.transfers.note(change, Became::Not(Failure::Refused(code)));
        }
        live.want_pledge();
        Step::commit(Vec::new()).and(self.advance(ctx))
    }

    /// Shows the peer's pledge to the chain, where it keeps back its answer: as soon as showing it may take until its last block, also by blocks that are not final;
    /// at once where the channel is being closed on a state without it.
    pub(crate) fn pledge_again(&self, best: BlockNumber, ctx: &Context<'_>) -> Option<Effect> {
        match &self.phase {
            Phase::Closing(live, ClosePath::Solo(solo)) if self.config.defend => {
                live.slash_by_pledge(ctx.head, &solo.penalty, self.me).map(|call| Effect::Submit(Box::new(call)))
            }
            Phase::Open(live) | Phase::Closing(live, ClosePath::Offered(_) | ClosePath::Agreed(_)) => {
                let margin = pledge::margin(ctx.transfers.margins().register);
                // A snapshot that is wanted anyway is one of what lies highest.
                let margin = if live.is_in_danger() { BlockNumber::MAX } else { margin };
                let due = live.pledge_due((ctx.head, best.max(ctx.head)), margin);
                due.and_then(|_until| live.snapshot_pledge())
            }
            _ => None,
        }
    }

    /// Pledges that no block takes any more are over.
    pub(crate) fn expire_pledges(&mut self, ctx: &Context<'_>) -> Step {
        let head = ctx.head;
        let is_closing = matches!(self.phase, Phase::Closing(..));
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        if !live.operation.expire_pledges(head, is_closing) {
            return Step::default();
        }
        let on_chain = live.dispute.on_chain();
        let posted = Posted { at: on_chain.at, state_hash: on_chain.state_hash };
        Step::commit(Vec::new()).and(self.lose_track(&posted, ctx))
    }
}
