//! Pledges (R6.5d): what this side has of its peer's, or has given, beside the rounds for which they are.

use super::{Live, agreed::both, outgoing::PledgeUse, proposing::Sign};
use crate::{
    effect::Effect,
    event::Event,
    message::{Message, Update},
    operation::OperationKind,
    pledge::PledgeBody,
    state::{Change, ChangeId, State},
    transfer::done::of_round,
};
use protocol::{
    BlockNumber, Hash, Party, Round, Signature,
    arbiter::{Candidate, Standing, standing},
    call::{Call, Payload, Slash},
    record::Penalty,
    signing::signed_bytes,
};

/// What has become of a round for which the peer has pledged.
pub(crate) enum Proposed {
    /// It is proposed.
    Said(Effect),
    /// It is kept back, with this change.
    KeptBack(ChangeId),
}

impl Live {
    /// What the peer is asked to pledge next: for the own offer that waits in front, where its peer stakes something beside it.
    pub(crate) fn want_pledge(&mut self) {
        let wanted = self.outgoing.next_staked();
        let wanted = wanted.map(|(change, offer, PledgeUse { until, .. })| (change, offer.clone(), until));
        self.operation.want_pledge(wanted);
    }

    /// The peer has pledged: the round is proposed for which it has, or kept back. None where what waited has gone meanwhile.
    pub(crate) fn propose_pledged(
        &mut self,
        me: Party,
        body: &PledgeBody,
        state: State,
        peers: Signature,
        sign: Sign<'_>,
    ) -> Option<Proposed> {
        let (change, _, pledge) = self.outgoing.next_staked().filter(|(_, offer, _)| **offer == body.offer)?;
        let own = sign.ctx.key.sign(&signed_bytes(sign.domain, &self.funding.channel(), &body.state_body()));
        self.operation.hold(body.payload(both(me, own, peers)));
        let _taken = self.outgoing.unqueue(me, 1);
        let place = (body.round, body.base, sign.ctx.head.max(self.agreed.height()));
        let made = (state, Vec::new(), vec![change]);
        let ours = self.sign_round(place, None, vec![Change::Offer(body.offer.clone())], made, sign);
        if pledge.is_kept_back {
            self.outgoing.set_proposal(ours.kept_back());
            return Some(Proposed::KeptBack(change));
        }
        let say = Effect::Send(Message::Update(ours.update().clone()));
        self.outgoing.set_proposal(ours);
        Some(Proposed::Said(say))
    }

    /// Whether an operation may be signed beside own rounds that were given up for a forced step and that the chain may still take: none may, but a pledge, which is
    /// of a round, as any round (R6.2a).
    pub(crate) fn may_sign(&self, kind: OperationKind) -> bool {
        let is_free = self.outgoing.all().next().is_none();
        self.outgoing.may_sign_on(self.agreed.base()) && (is_free || kind == OperationKind::Pledge)
    }

    /// The highest round that this side has signed, or pledged.
    pub(crate) fn highest_signed(&self) -> Round {
        self.outgoing.signed().max(self.operation.pledged_up_to())
    }

    /// The highest round this side has signed that is not the one of this update: of a round that it has pledged it has signed the same state already.
    pub(crate) fn signed_before(&self, update: &Update) -> Round {
        if self.operation.is_pledged_by(update) { self.outgoing.signed() } else { self.highest_signed() }
    }

    /// The peer's pledge for an own round that may count yet: until it is answered, or no block takes the pledge any more, nothing else is signed (R6.5d).
    pub(crate) fn open_pledge(&self) -> Option<&Payload> {
        self.operation.held().filter(|held| self.outgoing.find(held.round).is_some())
    }

    /// The same, where this side may show it: not where the round for which it is is kept back.
    pub(crate) fn pledge_to_show(&self) -> Option<&Payload> {
        self.operation.held().filter(|held| self.outgoing.find(held.round).is_some_and(|ours| !ours.is_kept_back()))
    }

    /// The last block in which the chain takes the peer's pledge, where showing it takes until then: by the newest block that anybody shows. Whether it is over is
    /// judged by `head` alone (R8.30).
    pub(crate) fn pledge_due(
        &self,
        (head, best): (BlockNumber, BlockNumber),
        margin: BlockNumber,
    ) -> Option<BlockNumber> {
        let until = self.pledge_to_show()?.valid_until.filter(|until| head < *until)?;
        (best.saturating_add(margin) >= until).then_some(until)
    }

    /// Shows the peer's pledge, as far as this side knows that the channel is open: by a snapshot; and by a slash, since the peer may close in front of it, in a block
    /// that is final only once the pledge is over. The arbiter takes one of the two.
    pub(crate) fn show_pledge(&self) -> Vec<Effect> {
        let Some(payload) = self.pledge_to_show() else { return Vec::new() };
        let slash = self.outgoing.find(payload.round).map(|ours| {
            let (channel, commitment) = (self.funding.channel(), ours.state().commitment());
            Effect::Submit(Box::new(Call::ChannelSlash(Slash { channel, payload: *payload, commitment })))
        });
        std::iter::once(self.snapshot(*payload)).chain(slash).collect()
    }

    /// Shows the peer's pledge against a close on a state without it, in the block after `head`.
    pub(crate) fn slash_by_pledge(&self, head: BlockNumber, penalty: &Penalty, me: Party) -> Option<Call> {
        let payload = self.pledge_to_show()?;
        let after = penalty.shown(payload.round, payload.base);
        if after != *penalty && after == Penalty::Due(me) {
            return None;
        }
        let until = payload.valid_until?;
        let on_chain = self.dispute.on_chain();
        let is_newer = standing(on_chain, self.funding.terms(), &Candidate::from(payload), head.saturating_add(1))
            == Ok(Standing::Newer);
        let commitment = self.outgoing.find(payload.round)?.state().commitment();
        let slash = Slash { channel: self.funding.channel(), payload: *payload, commitment };
        (is_newer && head < until).then_some(Call::ChannelSlash(slash))
    }

    /// The chain has a round that this side has pledged: the state after it is agreed. None where this side has pledged nothing like it.
    pub(crate) fn adopt_pledged(&mut self, round: Round, state_hash: &Hash, me: Party) -> Option<Vec<Event>> {
        let (PledgeBody { base, offer, .. }, state) = self.operation.take_pledge(round, state_hash)?;
        let mut told: Vec<_> = self.replaced(round, base).into_iter().collect();
        let undone = self.operation.take_replaced(self.agreed.base().agreed, base);
        self.outgoing.note_undone(&undone);
        told.extend((!undone.is_empty()).then_some(Event::Undone { changes: undone, round }));
        let place = (&self.funding.channel(), round, me.peer());
        self.transfers_done.extend(of_round(place, &[Change::Offer(offer)], |_| None));
        self.adopt(me, (round, base), state, *state_hash, None);
        Some(told)
    }
}

/// How long before its last block a pledge is shown: what a transaction takes in the worst case.
pub(crate) const fn margin(register: BlockNumber) -> BlockNumber {
    if register < LEAST_MARGIN { LEAST_MARGIN } else { register }
}

/// The least number of blocks that a transaction takes.
const LEAST_MARGIN: BlockNumber = 2;

/// Whether a pledge is good for as long as showing it takes.
pub(crate) const fn is_in_time(best: BlockNumber, until: BlockNumber, register: BlockNumber) -> bool {
    best.saturating_add(margin(register)) <= until
}
