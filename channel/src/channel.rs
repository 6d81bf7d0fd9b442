//! [`Channel`]: one channel, whole, and what can be asked of it. No input is handled here.

use crate::{
    certainty::PeerConfirmation,
    config::{Config, Timeouts},
    error::Violation,
    event::CloseReason,
    message::ChannelRef,
    outbox::Outbox,
    payments::{PaymentOutcome, PaymentRecord, Payments},
    phase::{
        Phase,
        closing::ClosePath,
        live::{Live, stale::StoreAge},
        opening::AbandonedOpening,
    },
    state::{ChangeId, IdempotencyKey, State},
    transfer::room::Transfers,
    units::Millis,
};
use protocol::{
    Base, BlockNumber, ChannelId, Pair, Party, PublicKey, Rejection, Round,
    call::{CallKind, CloseSolo, Payload},
    contracts::{Contract, ContractId, Contracts},
    crypto::VerifyingKey,
    signing::Domain,
    terms::Terms,
};
use std::collections::BTreeMap;

/// One channel, as one of its two peers sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub(crate) reference: ChannelRef,
    pub(crate) me: Party,
    pub(crate) peer: VerifyingKey,
    pub(crate) domain: Domain,
    pub(crate) config: Config,
    pub(crate) phase: Phase,
    /// The opening is not submitted any more, and expires.
    pub(crate) abandoned_opening: Option<AbandonedOpening>,
    /// The events that the user has not acknowledged yet.
    pub(crate) outbox: Outbox,
    /// The own payments that have a key.
    pub(crate) payments: Payments,
    /// The conditional transfers.
    pub(crate) transfers: Transfers,
    pub(crate) link: LinkState,
    /// What was heard of the age of the store.
    pub(crate) confirmation: PeerConfirmation,
    /// Since when an answer of the peer is awaited, and whether the user was told that it is late.
    pub(crate) waiting: Option<PendingAnswer>,
    pub(crate) last_rejection: Option<(CallKind, Rejection)>,
    /// What one endpoint told of and nobody confirmed. Not saved: it is told again.
    pub(crate) unconfirmed_head: UnconfirmedHead,
    /// The contracts of the agreed state as they lie in the store.
    pub(crate) stored: Contracts,
}

/// A block that one endpoint alone tells of (R6.9a).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnconfirmedHead {
    /// 0 where there is none.
    pub(crate) block: BlockNumber,
    /// The newest finalised block when it was told of.
    pub(crate) head: BlockNumber,
}

/// Whether the peer can be talked to. Never saved: a channel wakes up without a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// No connection.
    Down,
    /// The two have parted, whether there is a connection or not.
    Left,
    /// Connected; what both know is being compared (R6.6).
    Syncing,
    /// Connected, and both know the same.
    Up,
    /// As [`LinkState::Up`], but nothing new begins: leave_ack is awaited.
    Leaving,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PendingAnswer {
    pub(crate) of: Awaited,
    pub(crate) since: Millis,
    pub(crate) told: bool,
}

/// An answer that the peer owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    FundingSigned,
    FundingLocked,
    Reestablish,
    Round(Round),
    Operation(Round),
    Locked(Round),
    Shutdown,
    LeaveAck,
}

impl Awaited {
    pub(crate) const fn timeout(self, timeouts: &Timeouts) -> Millis {
        match self {
            Self::FundingSigned => timeouts.funding_signed,
            Self::FundingLocked => timeouts.funding_locked,
            Self::Reestablish => timeouts.reestablish,
            Self::Round(_) => timeouts.answer,
            Self::Operation(_) => timeouts.operation,
            Self::Locked(_) => timeouts.locked,
            Self::Shutdown => timeouts.shutdown,
            Self::LeaveAck => timeouts.leave,
        }
    }
}

impl Channel {
    /// A channel in this phase that knows of nothing else yet, and whose peer can be reached.
    pub(crate) fn new(
        reference: ChannelRef,
        me: Party,
        peer: PublicKey,
        domain: Domain,
        config: Config,
        phase: Phase,
    ) -> Self {
        let (abandoned_opening, outbox, stored) = (None, Outbox::default(), Contracts::new());
        let (link, waiting, last_rejection, payments) = (LinkState::Up, None, None, Payments::default());
        let transfers = Transfers::new(Pair::new(config.transfers, config.transfers));
        Self {
            reference,
            me,
            peer: peer.into(),
            domain,
            config,
            phase,
            abandoned_opening,
            outbox,
            payments,
            transfers,
            link,
            confirmation: PeerConfirmation::begun(),
            waiting,
            last_rejection,
            unconfirmed_head: UnconfirmedHead::default(),
            stored,
        }
    }

    pub(crate) const fn out_of_place(&self, message: &'static str) -> Violation {
        Violation::OutOfPlace { message, state: self.phase.name() }
    }

    /// How the two peers name the channel.
    #[must_use]
    pub const fn reference(&self) -> ChannelRef {
        self.reference
    }

    /// Which side this is.
    #[must_use]
    pub const fn party(&self) -> Party {
        self.me
    }

    /// The peer's identity and signing key.
    #[must_use]
    pub const fn peer(&self) -> PublicKey {
        self.peer.public()
    }

    /// The id on chain, once both accounts and the nonce are known.
    #[must_use]
    pub const fn channel_id(&self) -> Option<ChannelId> {
        match &self.phase {
            Phase::HalfSigned(half) => Some(half.channel),
            Phase::Signed(signed) => Some(signed.funding.channel()),
            Phase::Open(live) | Phase::Closing(live, _) => Some(live.funding.channel()),
            Phase::Initialized(_) | Phase::Accepted(_) | Phase::Closed(_) => None,
        }
    }

    /// Whether it is known to be on chain, and has not ended.
    #[must_use]
    pub const fn is_on_chain(&self) -> bool {
        match &self.phase {
            Phase::Signed(signed) => signed.locked,
            Phase::Open(_) | Phase::Closing(..) => true,
            Phase::Initialized(_) | Phase::Accepted(_) | Phase::HalfSigned(_) | Phase::Closed(_) => false,
        }
    }

    /// The agreed terms, once both signed.
    #[must_use]
    pub const fn terms(&self) -> Option<&Terms> {
        match &self.phase {
            Phase::Signed(signed) => Some(signed.funding.terms()),
            Phase::Open(live) | Phase::Closing(live, _) => Some(live.funding.terms()),
            _ => None,
        }
    }

    /// A contract of the agreed state.
    #[must_use]
    pub fn contract(&self, id: &ContractId) -> Option<&Contract> {
        self.contracts()?.get(id)
    }

    /// The contracts of the agreed state; none before the channel is open and after it has ended.
    #[must_use]
    pub fn contracts(&self) -> Option<&Contracts> {
        self.phase.live().map(|live| &live.agreed.state().contracts)
    }

    /// The latest agreed state, whole: enough, with [`evidence`](Self::evidence), to force calls without this SDK.
    #[must_use]
    pub fn state(&self) -> Option<&State> {
        self.phase.live().map(|live| live.agreed.state())
    }

    /// What a round names as its base that goes on from the agreed state (R3.5a).
    #[must_use]
    pub fn base(&self) -> Option<Base> {
        self.phase.live().map(|live| live.agreed.base())
    }

    /// The id that the next change will have, payment or other.
    #[must_use]
    pub fn next_change(&self) -> Option<ChangeId> {
        self.phase.live().map(Live::next_change)
    }

    /// The own payment that was asked for by this key, as long as it is remembered: while it is on its way, then among the
    /// [`MAX_REMEMBERED`](crate::MAX_REMEMBERED) that ended last.
    #[must_use]
    pub fn payment(&self, key: &IdempotencyKey) -> Option<&PaymentRecord> {
        self.payments.find(key)
    }

    /// The own payments that lie in the store beside the channel: those with a key, as far as they are remembered.
    #[must_use]
    pub const fn kept_payments(&self) -> &BTreeMap<ChangeId, PaymentRecord> {
        self.payments.all()
    }

    /// Every own payment that the channel knows of, in the order of their making: those with a key as far as they are remembered, others while
    /// they are on their way.
    #[must_use]
    pub fn list_payments(&self) -> Vec<PaymentRecord> {
        let mut all = self.payments.all().clone();
        for (change, payment) in self.phase.live().into_iter().flat_map(|live| live.outgoing.waiting_payments()) {
            let record =
                || PaymentRecord { change, key: None, payment: payment.clone(), outcome: PaymentOutcome::Pending };
            let _known = all.entry(change).or_insert_with(record);
        }
        all.into_values().collect()
    }

    /// Whether an own change that was told of as not made may have been made all the same, or may be yet: the peer holds a signature for it (R6.1),
    /// this side's store is old (R6.6a), or the channel's end was not seen (R6.9b).
    #[must_use]
    pub fn may_be_made(&self, change: ChangeId) -> bool {
        self.phase.is_unsure() || self.phase.may_appear(change)
    }

    /// The latest agreed state as the arbiter takes it: all that is needed to close without this SDK.
    #[must_use]
    pub fn evidence(&self) -> Option<CloseSolo> {
        self.phase.live().map(Live::close_solo)
    }

    /// The peer's pledge for an own round that it has not answered (R6.5d): both have signed it, and the chain takes it as a snapshot up to its last block. None for a
    /// round that is kept back: shown to the chain it would lock what nothing has come in for (R8.5h).
    #[must_use]
    pub fn pledge(&self) -> Option<&Payload> {
        self.phase.live()?.pledge_to_show()
    }

    /// Takes the running channel out of its phase, leaving a placeholder that the caller replaces at once.
    pub(crate) fn take_live(&mut self) -> Option<Live> {
        let placeholder = Phase::Closed(CloseReason::NotOpened { code: None });
        match std::mem::replace(&mut self.phase, placeholder) {
            Phase::Open(live) | Phase::Closing(live, _) => Some(live),
            Phase::Signed(signed) if signed.locked => Some(Live::new(signed.funding, self.store_age())),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// What is known of the store's age from the moment on in which the channel is open.
    pub(crate) const fn store_age(&self) -> StoreAge {
        StoreAge::of(self.confirmation.is_copy())
    }

    pub(crate) fn move_to_closing(&mut self, how: ClosePath) {
        if let Some(live) = self.take_live() {
            self.phase = Phase::Closing(live, how);
        }
    }

    /// Whether so much of the chain is not confirmed that nothing may be agreed on what is known: a contract's deadline may be over, or the channel.
    pub(crate) fn is_behind_the_chain(&self, head: BlockNumber) -> bool {
        self.unconfirmed_head.block > head.saturating_add(BlockNumber::from(self.config.height_window.behind))
    }
}
