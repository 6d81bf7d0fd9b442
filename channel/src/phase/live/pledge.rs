//! Pledges (R6.5d): what this side has of its peer's, or has given, beside the rounds for which they are.

use super::{Live, agreed::both, proposing::Sign};
use crate::{
    effect::Effect,
    event::Event,
    message::{Message, Update},
    pledge::PledgeBody,
    state::{Change, State},
    step::Step,
    transfer::done::of_round,
};
use protocol::{
    BlockNumber, Hash, Party, Round, Signature,
    arbiter::{Candidate, Standing, standing},
    call::{Call, Slash},
    signing::signed_bytes,
};

impl Live {
    /// What the peer is asked to pledge next: for the own offer that waits in front, where its peer stakes something beside it.
    pub(crate) fn want_pledge(&mut self) {
        let wanted = self.outgoing.next_staked().map(|(change, offer, until)| (change, offer.clone(), until));
        self.operation.want_pledge(wanted);
    }

    /// The peer has pledged: the round is proposed for which it has. None where what waited has gone meanwhile.
    pub(crate) fn propose_pledged(
        &mut self,
        me: Party,
        body: &PledgeBody,
        state: State,
        peers: Signature,
        sign: Sign<'_>,
    ) -> Option<Step> {
        let (change, ..) = self.outgoing.next_staked().filter(|(_, offer, _)| **offer == body.offer)?;
        let own = sign.ctx.key.sign(&signed_bytes(sign.domain, &self.funding.channel(), &body.state_body()));
        self.operation.hold(body.payload(both(me, own, peers)));
        let _taken = self.outgoing.unqueue(me, 1);
        let place = (body.round, body.base, sign.ctx.head.max(self.agreed.height()));
        let made = (state, Vec::new(), vec![change]);
        let ours = self.sign_round(place, None, vec![Change::Offer(body.offer.clone())], made, sign);
        let say = Effect::Send(Message::Update(ours.update().clone()));
        self.outgoing.set_proposal(ours);
        Some(Step::commit(vec![say]))
    }

    /// The highest round this side has signed that is not the one of this update: of a round that it has pledged it has signed the same state already.
    pub(crate) fn signed_before(&self, update: &Update) -> Round {
        let signed = self.outgoing.signed();
        if self.operation.is_pledged(update.round, &update.state_hash) {
            signed.min(update.round.saturating_sub(1))
        } else {
            signed
        }
    }

    /// Shows a pledge of the peer's to the chain, where the peer keeps back its answer to the round for which it is: in time while the channel is open, at once where
    /// it is being closed on a state without it.
    pub(crate) fn show_pledge(&self, best: BlockNumber, margin: BlockNumber, is_closing: bool) -> Option<Effect> {
        let payload = self.operation.held().filter(|held| self.outgoing.find(held.round).is_some())?;
        let until = payload.valid_until.filter(|until| best < *until)?;
        if is_closing {
            let on_chain = self.dispute.on_chain();
            let standing = standing(on_chain, self.funding.terms(), &Candidate::from(payload), best.saturating_add(1));
            let commitment = self.outgoing.find(payload.round)?.state().commitment();
            let slash = Slash { channel: self.funding.channel(), payload: payload.clone(), commitment };
            return (standing == Ok(Standing::Newer)).then(|| Effect::Submit(Box::new(Call::ChannelSlash(slash))));
        }
        (best.saturating_add(margin) >= until).then(|| self.snapshot(payload.clone()))
    }

    /// The chain has a round that this side has pledged: the state after it is agreed. None where this side has pledged nothing like it.
    pub(crate) fn adopt_pledged(&mut self, round: Round, state_hash: &Hash, me: Party) -> Option<Vec<Event>> {
        let (PledgeBody { base, offer, .. }, state) = self.operation.take_pledge(round, state_hash)?;
        let told: Vec<_> = self.replaced(round, base).into_iter().collect();
        let place = (&self.funding.channel(), round, me.peer());
        self.transfers_done.extend(of_round(place, &[Change::Offer(offer)], |_| None));
        self.adopt(me, (round, base), state, *state_hash, None);
        Some(told)
    }
}

/// How long before the last block of a pledge it is shown, by what a transaction takes in the worst case: a part of it, since the offer is agreed before as a rule.
pub(crate) const fn margin(register: BlockNumber) -> BlockNumber {
    let half = register.div_ceil(2);
    if half < LEAST_MARGIN { LEAST_MARGIN } else { half }
}

/// The least number of blocks that a pledge has to be good for when the round is proposed.
pub(crate) const LEAST_MARGIN: BlockNumber = 2;

/// Whether a pledge is good for as long as showing it takes.
pub(crate) const fn is_in_time(best: BlockNumber, until: BlockNumber) -> bool {
    best.saturating_add(LEAST_MARGIN) <= until
}
