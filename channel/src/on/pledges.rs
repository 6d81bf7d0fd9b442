//! Pledges (R6.5d): the payee commits to stake coins of its own beside an offer, before the offer is proposed.

use super::{judge::Asked, transfers::Judged};
use crate::{
    channel::{Channel, LinkState},
    effect::Effect,
    input::Context,
    message::{Message, RefusalCode, Update},
    operation::{OperationBody, OperationKind},
    phase::{
        Phase,
        closing::ClosePath,
        live::{
            Live,
            agreed::Posted,
            pledge::{self, Proposed},
            proposing::Sign,
        },
    },
    pledge::PledgeBody,
    state::{Change, IdempotencyKey, State},
    step::{RefusalReply, Step},
    transfer::{Failure, GivenPledge, PledgesLast, Stake, TransferEvent, room::Became},
    wait::Act,
};
use protocol::{BlockNumber, Signature, call::CallKind, contracts::ContractId, crypto::Native};

/// Whether this side pledges for an offer that it would agree to.
pub(crate) enum Pledging {
    /// It does.
    Now,
    /// Its router says so later, by the contract that the offer would make.
    NotYet(ContractId),
}

impl Channel {
    /// Whether this side pledges for an offer of the peer's: as it would agree to the offer, and for no longer than its router says.
    pub(crate) fn judge_pledge(&mut self, body: &PledgeBody, ctx: &Context<'_>) -> Result<Pledging, RefusalCode> {
        let PledgeBody { round, base, offer, state_hash, valid_until } = body;
        let round = Update {
            round: *round,
            base: *base,
            height: 0,
            refuses: None,
            changes: vec![Change::Offer(offer.clone())],
            state_hash: *state_hash,
            signature: Signature([0; 64]),
        };
        match self.judge_as(Asked::Pledge, &round, &[], ctx) {
            Judged::Agreed => {}
            Judged::Later => return Err(RefusalCode::NOT_NOW),
            Judged::Refused(items) => return Err(items.first().map_or(RefusalCode::POLICY, |(_, code)| *code)),
        }
        let contract = self.contract_of(body).ok_or(RefusalCode::POLICY)?;
        match ctx.transfers.stakes(&contract, offer) {
            Stake::Until(lasts) if *valid_until <= lasts => Ok(Pledging::Now),
            Stake::NotYet => Ok(Pledging::NotYet(contract)),
            Stake::Until(_) | Stake::No => Err(RefusalCode::POLICY),
        }
    }

    /// The contract that a pledged offer makes: it is alone in its round.
    fn contract_of(&self, body: &PledgeBody) -> Option<ContractId> {
        Some(ContractId::derive(&self.phase.live()?.funding.channel(), body.round, 0, &Native))
    }

    /// The peer's question for a pledge waits for this side's router.
    pub(crate) fn put_off_pledge(&mut self, contract: ContractId, body: PledgeBody) -> Step {
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        let (offer, valid_until) = (body.offer.clone(), body.valid_until);
        if live.operation.put_off(body) {
            self.transfers.tell(TransferEvent::PledgeWanted { contract, offer, valid_until });
        }
        Step::default()
    }

    /// The router can say by now whether it stakes: the peer's question is answered, where it is still open. It hears where nothing is pledged.
    pub(crate) fn on_user_answer_pledge(&mut self, contract: &ContractId, ctx: &Context<'_>) -> Step {
        let answered = self.answer_put_off(contract, ctx);
        if self.given_pledge().is_none_or(|given| given.contract != *contract) {
            self.transfers.tell(TransferEvent::PledgeNotGiven { contract: *contract });
        }
        answered
    }

    fn answer_put_off(&mut self, contract: &ContractId, ctx: &Context<'_>) -> Step {
        let link = self.link;
        let Phase::Open(live) = &mut self.phase else { return Step::default() };
        let Some(body) = live.operation.take_put_off() else { return Step::default() };
        let have = live.agreed.round().max(live.highest_signed());
        // What has happened since is no wrong of the peer's, who asks again where it still wants an answer.
        let is_open = link == LinkState::Up && body.round > have && body.base == live.agreed.base();
        if !is_open {
            return self.advance(ctx);
        }
        if self.contract_of(&body).as_ref() != Some(contract) {
            let Phase::Open(live) = &mut self.phase else { return Step::default() };
            let _again = live.operation.put_off(body);
            return Step::default();
        }
        let round = body.round;
        if ctx.transfers.stakes(contract, &body.offer) == Stake::NotYet {
            // It was put off once: what cannot be told by now is refused, or nobody would ever hear an answer.
            let refused = Effect::Send(OperationKind::Pledge.error(round, RefusalCode::POLICY));
            return Step::act(vec![refused]).and(self.advance(ctx));
        }
        let answered = self
            .on_peer_created(OperationBody::Pledge(body), ctx)
            .unwrap_or_else(|violation| RefusalReply::OperationError(OperationKind::Pledge, round).refusing(violation));
        answered.and(self.advance(ctx))
    }

    /// The round of an offer that was kept back is proposed; or shown to the chain, where it is late or the peer goes against its pledge.
    pub(crate) fn on_user_release(&mut self, key: &IdempotencyKey, ctx: &Context<'_>) -> Step {
        let Some(change) = self.transfers.find(key).map(|row| row.change) else { return Step::default() };
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let Some(round) = live.outgoing.release(change) else { return Step::default() };
        let is_there = self.link == LinkState::Up && matches!(self.phase, Phase::Open(_));
        let live = self.phase.live().filter(|_| is_there);
        let ours = live.and_then(|live| live.outgoing.proposal()).filter(|ours| ours.round() == round);
        let say = ours.map(|ours| Effect::Send(Message::Update(ours.update().clone())));
        let shown = self.pledge_again(ctx.transfers.best().max(ctx.head), ctx);
        Step::commit(say.into_iter().chain(shown).collect())
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
        match is_in_time.then(|| live.propose_pledged(me, body, state, peers, sign)).flatten() {
            Some(Proposed::Said(say)) => {
                // Where showing it may take until its last block, it is shown at once.
                let shown = self.pledge_again(best, ctx);
                return Step::commit(std::iter::once(say).chain(shown).collect());
            }
            Some(Proposed::KeptBack(change)) => {
                if let Some(key) = self.transfers.key_of(change) {
                    self.transfers.tell(TransferEvent::Pledged { key, valid_until: body.valid_until });
                }
                return Step::commit(Vec::new());
            }
            None => {}
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
    pub(crate) fn pledge_again(&self, best: BlockNumber, ctx: &Context<'_>) -> Vec<Effect> {
        match &self.phase {
            Phase::Closing(live, ClosePath::Solo(solo)) if self.config.defend => {
                let slash = live.slash_by_pledge(ctx.head, &solo.penalty, self.me);
                slash.map(|call| Effect::Submit(Box::new(call))).into_iter().collect()
            }
            Phase::Open(live) | Phase::Closing(live, ClosePath::Offered(_) | ClosePath::Agreed(_)) => {
                let margin = pledge::margin(ctx.transfers.margins().register);
                // A snapshot that is wanted anyway is one of what lies highest.
                let margin = if live.is_in_danger() { BlockNumber::MAX } else { margin };
                let due = live.pledge_due((ctx.head, best.max(ctx.head)), margin);
                due.map(|_until| live.show_pledge()).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// An own offer that the peer has no signature for is not made.
    pub(crate) fn on_user_take_back(&mut self, key: &IdempotencyKey, ctx: &Context<'_>) -> Step {
        let Some(change) = self.transfers.find(key).map(|row| row.change) else { return Step::default() };
        let me = self.me;
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let is_kept_back = |live: &Live| live.outgoing.all().any(|ours| ours.is_kept_back() && ours.makes(change));
        if is_kept_back(live) {
            live.operation.let_go();
            drop(live.outgoing.drop_kept_back());
        } else if live.outgoing.is_queued(change) && !live.outgoing.is_signed(change) {
            live.outgoing.unqueue_one(me, change);
            live.want_pledge();
        } else {
            return Step::default();
        }
        let _offer = self.transfers.note(change, Became::Not(Failure::Dropped));
        Step::commit(Vec::new()).and(self.advance(ctx))
    }

    /// For how long pledges may last in this channel, as far as this side's own settings say; none where it is not open.
    #[must_use]
    pub fn pledges_last(&self) -> Option<PledgesLast> {
        let lock_period = self.phase.live()?.funding.terms().lock_period;
        let asked = self.config.pledges_last();
        Some(PledgesLast { asked, kept_back: asked.min(lock_period) })
    }

    /// What this side has pledged, as long as it may come to count: for a router that begins anew.
    #[must_use]
    pub fn given_pledge(&self) -> Option<GivenPledge> {
        let body = self.phase.live()?.operation.given()?;
        let (offer, valid_until) = (body.offer.clone(), body.valid_until);
        Some(GivenPledge { contract: self.contract_of(body)?, offer, valid_until })
    }

    /// Whether the arbiter refuses a call because it takes the other one of [`Live::show_pledge`]: one of the two is always refused, and nobody is told.
    pub(crate) fn is_other_half(&self, call: CallKind) -> bool {
        matches!(call, CallKind::ChannelSlash | CallKind::ChannelSnapshotSolo)
            && self.phase.live().is_some_and(|live| live.pledge_to_show().is_some())
    }

    /// Pledges that no block takes any more are over.
    pub(crate) fn expire_pledges(&mut self, ctx: &Context<'_>) -> Step {
        let head = ctx.head;
        let is_closing = matches!(self.phase, Phase::Closing(..));
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        if !live.operation.expire_pledges(head, is_closing) {
            return Step::default();
        }
        // What was kept back for a pledge that is over is not said any more: the peer has no signature for it.
        let dropped = if live.operation.held().is_none() { live.outgoing.drop_kept_back() } else { Vec::new() };
        for change in dropped {
            let _offer = self.transfers.note(change, Became::Not(Failure::TooLate));
        }
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        let on_chain = live.dispute.on_chain();
        let posted = Posted { at: on_chain.at, state_hash: on_chain.state_hash };
        Step::commit(Vec::new()).and(self.lose_track(&posted, ctx))
    }
}
