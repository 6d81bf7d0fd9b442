//! Own offers of conditional transfers, until they are proposed (R8.3d).

use crate::{
    channel::{Channel, LinkState},
    error::Misuse,
    input::Context,
    phase::{
        Phase,
        live::{outgoing::PledgeUse, pledge},
    },
    state::{Change, IdempotencyKey, Offer},
    step::Step,
    transfer::{Failure, Registered, TransferBook, room::Became},
};
use protocol::{Amount, BlockNumber};

/// An own offer, with what is beside it.
pub(crate) enum Offered {
    Alone { offer: Offer, fee: Amount },
    Staked { offer: Offer, pledge: PledgeUse },
}

impl Offered {
    const fn offer(&self) -> &Offer {
        match self {
            Self::Alone { offer, .. } | Self::Staked { offer, .. } => offer,
        }
    }

    fn change(&self) -> Change {
        match self {
            Self::Alone { offer, fee } => Change::of_offer(offer.clone(), *fee),
            Self::Staked { offer, .. } => Change::Offer(offer.clone()),
        }
    }
}

impl Channel {
    /// Transition: open -> open
    pub(crate) fn on_user_offer(
        &mut self,
        key: IdempotencyKey,
        offered: Offered,
        ctx: &Context<'_>,
    ) -> Result<Step, Misuse> {
        let offer = offered.offer().clone();
        if self.transfers.knows(&key, &offer)? {
            return Ok(Step::default());
        }
        let (me, state) = (self.me, self.phase.name());
        let Phase::Open(live) = &mut self.phase else { return Err(Misuse::NotOpen { state }) };
        if self.link != LinkState::Up {
            return Err(Misuse::Disconnected);
        }
        offer.check().map_err(Misuse::Change)?;
        if offer.premium > 0 && matches!(offered, Offered::Alone { .. }) {
            return Err(Misuse::PremiumNotPledged);
        }
        let (expiry, least) = (offer.terms.expiry, least_expiry(ctx.transfers));
        if expiry < least {
            return Err(Misuse::ExpiryTooNear { expiry, least });
        }
        if matches!(ctx.transfers.registered(&offer.terms.lock), Registered::Shown { .. }) {
            return Err(Misuse::LockUsed);
        }
        self.transfers.check_room(me, &offer, ctx.transfers.best())?;
        let max = live.funding.terms().max_forced;
        if !offer.calls.is_none() && self.transfers.open_with_calls(live.agreed.state()) >= usize::from(max) {
            return Err(Misuse::TransfersWithCalls { max });
        }
        if let Offered::Staked { pledge: PledgeUse { until, is_kept_back: true }, .. } = &offered {
            // What the peer forces, or closes on, after it has pledged must not be final before the pledge can be shown.
            let most = ctx.head.saturating_add(live.funding.terms().lock_period);
            if *until > most {
                return Err(Misuse::PledgeTooLong { until: *until, most });
            }
        }
        let change = [offered.change()];
        live.check_changes(me, &change, &self.config, ctx)?;
        let id = live.next_change();
        match offered {
            Offered::Staked { offer, pledge } => live.outgoing.enqueue_staked(me, offer, pledge),
            Offered::Alone { .. } => change.into_iter().for_each(|change| live.outgoing.enqueue(me, change)),
        }
        live.outgoing.keep_ids();
        self.transfers.begin(id, key, offer);
        Ok(Step::commit(Vec::new()).and(self.advance(ctx)))
    }

    /// Offers whose turn has not come before their expiry was too near are not made.
    pub(crate) fn drop_late_offers(&mut self, ctx: &Context<'_>) {
        let me = self.me;
        let Phase::Open(live) = &mut self.phase else { return };
        let (best, margins) = (ctx.transfers.best().max(ctx.head), ctx.transfers.margins());
        // What cannot be asked for, since another transfer is too near to its expiry (R8.3f), would hold up what waits behind it. And whoever does not defend itself
        // would not show a pledge.
        let last = self.transfers.operations_until(ctx.head, margins).saturating_sub(best.saturating_sub(ctx.head));
        let last = last.min(self.config.longest_pledge(ctx.head));
        let is_to_be_had = |until: BlockNumber| {
            self.config.defend && until <= last && pledge::is_in_time(best, until, margins.register)
        };
        for id in live.outgoing.unqueue_unpledged(me, is_to_be_had) {
            let _offer = self.transfers.note(id, Became::Not(Failure::TooLate));
        }
        let least = least_expiry(ctx.transfers);
        if !self.transfers.has_proposed_before(least) {
            return;
        }
        let late = live.outgoing.unqueue_offers(me, |offer| offer.terms.expiry < least);
        for id in late {
            let _offer = self.transfers.note(id, Became::Not(Failure::TooLate));
        }
    }

    /// The peer cannot be reached: offers that are not proposed come to nothing, at once or with the round that was given up and holds them.
    pub(crate) fn drop_unsigned_offers(&mut self) {
        let me = self.me;
        if let Phase::Open(live) | Phase::Closing(live, _) = &mut self.phase {
            // Those of a round that was given up wait as well: they are made only if that round is.
            for id in live.outgoing.unqueue_offers(me, |_| true) {
                let _offer = self.transfers.note(id, Became::Not(Failure::PeerAway));
            }
            live.want_pledge();
            let outgoing = &live.outgoing;
            self.transfers.drop_unproposed(&Failure::PeerAway, |id| outgoing.is_proposed(id));
        }
    }
}

/// The first block that an own offer may expire in now: the payee needs the time to get its pre-image on chain, and an answer before.
fn least_expiry(book: &dyn TransferBook) -> BlockNumber {
    book.best().saturating_add(book.margins().forward()).saturating_add(1)
}
