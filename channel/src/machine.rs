//! [`Channel`]: which handler gets which input. No rule lives here.

use crate::{
    config::Config,
    effect::{Effect, Effects, Event, Notice},
    error::{Misuse, Violation},
    input::{ChainInput, Command, Context, Input, Millis},
    message::{ChannelRef, Message, RefusalCode},
    operation::{Body, OperationKind, Request},
    outbox::Outbox,
    payments::{PaymentOutcome, PaymentRecord, Payments},
    phase::{
        CloseReason, Phase,
        certainty::{Heard, SoloStep},
        live::Live,
        opening::GivenUp,
        wishes::ShutdownStage,
    },
    state::{Change, ChangeId, IdempotencyKey, State},
};
use protocol::{
    Amount, Base, BlockNumber, ChannelId, Party, PublicKey, Rejection, Round,
    call::CloseSolo,
    contracts::{Contract, ContractId, Contracts},
    signing::Domain,
    terms::Terms,
};
use std::collections::BTreeMap;

pub use crate::phase::opening::OpenRequest;

/// One channel, as one of its two peers sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub(crate) reference: ChannelRef,
    pub(crate) me: Party,
    pub(crate) peer: PublicKey,
    pub(crate) domain: Domain,
    pub(crate) config: Config,
    pub(crate) phase: Phase,
    /// The opening is not submitted any more, and expires.
    pub(crate) create_given_up: Option<GivenUp>,
    /// What the user has not taken yet.
    pub(crate) outbox: Outbox,
    /// The own payments that have a key.
    pub(crate) payments: Payments,
    pub(crate) link: Link,
    /// What was heard of the age of the store.
    pub(crate) heard: Heard,
    /// Since when an answer of the peer is awaited, and whether the user was told that it is late.
    pub(crate) waiting: Option<Waiting>,
    pub(crate) last_rejection: Option<(&'static str, Rejection)>,
    /// The last block that one endpoint told of and nobody confirmed; 0 where there is none. Not saved: it is told again.
    pub(crate) sighted: BlockNumber,
    /// The contracts of the agreed state as they lie in the store.
    pub(crate) stored: Contracts,
}

/// Whether the peer can be talked to. Never saved: a channel wakes up without a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// No connection.
    Down,
    /// The two have parted, whether there is a connection or not.
    Left,
    /// Connected; what both know is being compared (R6.6).
    Syncing,
    /// Connected, and both know the same.
    Up,
    /// As [`Link::Up`], but nothing new begins: leave_ack is awaited.
    Leaving,
}

impl Link {
    /// Whether both know the same, so that what the peer proposes is proposed on top of it.
    pub(crate) const fn is_in_step(self) -> bool {
        matches!(self, Self::Up | Self::Leaving)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
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

/// What became of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// What to do, in order, after committing.
    pub effects: Effects,
    /// Whether the channel must be committed before any of it (R6.4).
    pub commit: bool,
    /// The contracts of the agreed state that have changed since the last commit: what [`Channel::contract`] has of each is to be committed
    /// with it, or its absence. In ascending order.
    pub contracts: Vec<ContractId>,
    /// The payments with a key that have changed since the last commit, likewise: [`Channel::kept_payments`] has them, or has them no more.
    pub payments: Vec<ChangeId>,
}

/// What a channel is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The state's name (SPEC.md, section 6).
    pub state: &'static str,
    /// The same, but what it goes on with instead of `disconnected`.
    pub phase: &'static str,
    /// Whether the peer can be reached and both know the same.
    pub connected: bool,
    /// The id on chain, once known.
    pub channel: Option<ChannelId>,
    /// The latest agreed round, once there is one.
    pub round: Option<Round>,
    /// How it ended.
    pub closed: Option<CloseReason>,
    /// Own changes made and neither agreed nor refused yet, payments and others.
    pub pending: usize,
    /// What is under way on chain while the channel is open.
    pub operation: Option<OperationKind>,
    /// The last block that may take the operation this side has signed: nothing else is agreed before it is on chain or that block is over (R6.5).
    pub operation_until: Option<BlockNumber>,
    /// How far a close in agreement has come.
    pub shutdown: Option<ShutdownStage>,
    /// Whether calls are being forced.
    pub forcing: bool,
    /// What waits until the peer has said where it stands, since the stored state may be old (R6.6b).
    pub awaits_word: Option<SoloStep>,
    /// Whether this side's store is older than what it has signed (R6.6a), or may be since it was copied.
    pub outdated: bool,
}

/// Who has what, as far as agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balances {
    /// Agreed.
    pub ours: Amount,
    /// Agreed.
    pub peers: Amount,
    /// What can be paid now: agreed, above the reserve, and not on its way.
    pub spendable: Amount,
}

impl Status {
    /// Every name that [`Status::phase`] may be.
    pub const PHASES: [&'static str; 7] = Phase::NAMES;
}

impl Step {
    pub(crate) const fn act(effects: Effects) -> Self {
        Self { effects, commit: false, contracts: Vec::new(), payments: Vec::new() }
    }

    pub(crate) const fn commit(effects: Effects) -> Self {
        Self { effects, commit: true, contracts: Vec::new(), payments: Vec::new() }
    }

    pub(crate) fn and(mut self, later: Self) -> Self {
        self.effects.extend(later.effects);
        self.commit |= later.commit;
        self
    }
}

impl Channel {
    /// Takes one input. Decides first: when it refuses, the channel is as it was.
    ///
    /// # Errors
    /// [`Misuse`] for a user's command that is not possible now. What the peer does wrong is no error here: the peer is
    /// told, the user gets a [`Notice::PeerViolated`], and the channel goes on.
    pub fn handle(&mut self, input: Input, ctx: &Context<'_>) -> Result<Step, Misuse> {
        let mut step = match input {
            Input::User(command) => self.on_user(command, ctx)?,
            Input::Peer(message) => {
                let answer = Answer::to(&message);
                self.on_peer(message, ctx).unwrap_or_else(|violation| answer.refusing(violation))
            }
            Input::IdTaken(channel) => Answer::Error.refusing(Violation::IdTaken(channel)),
            Input::OpeningRefused(code) => self.refuse_opening(code),
            Input::Congested => self.put_off_rounds(),
            Input::Drained => self.resume(ctx),
            Input::Chain(input) => self.on_chain(input, ctx),
            Input::Tick => self.on_tick(ctx),
            Input::LinkUp => self.on_link_up(),
            Input::LinkDown => self.on_link_down(),
            Input::Restarted => self.on_restarted(ctx),
            Input::RestartedFromCopy => self.on_restarted_from_copy(ctx),
            Input::EventsTaken { up_to } => {
                self.outbox.take(up_to);
                self.advance(ctx)
            }
            Input::Code(code) => self.on_code(code, ctx),
        };
        self.watch_answers(ctx);
        let (phase, all_unknown) = (&self.phase, self.phase.is_unsure());
        step.commit |= self.payments.note(&mut step.effects, all_unknown, |change| phase.may_appear(change));
        if step.commit {
            step.payments = self.payments.take_changed();
            self.outbox.keep(&mut step.effects);
            let now = self.phase.live().map(|live| live.agreed.state.contracts.clone()).unwrap_or_default();
            step.contracts = self.stored.differences(&now);
            self.stored = now;
        }
        Ok(step)
    }

    fn on_user(&mut self, command: Command, ctx: &Context<'_>) -> Result<Step, Misuse> {
        match command {
            Command::Pay(payment) => self.on_user_changes(vec![Change::Transfer(payment)], ctx),
            Command::PayAll(payments) => {
                self.on_user_changes(payments.into_iter().map(Change::Transfer).collect(), ctx)
            }
            Command::PayOnce { key, payment } => self.on_user_pay_once(key, payment, ctx),
            Command::PayAllOnce(payments) => self.on_user_pay_all_once(payments, ctx),
            Command::Make(changes) => self.on_user_changes(changes, ctx),
            Command::Force { calls, certainty } => self.on_user_force(calls, certainty, ctx),
            Command::Shutdown { fee } => Ok(self.on_user_shutdown(fee, ctx)?.and(self.shutdown_waits())),
            Command::CancelShutdown => self.on_user_cancel_shutdown(),
            Command::CloseSolo { certainty } => self.on_user_close_solo(certainty),
            Command::Deposit { amount } => self.on_user_operation(Request::Deposit { amount }, ctx),
            Command::Withdraw { amount, to } => self.on_user_operation(Request::Withdraw { amount, to }, ctx),
            Command::SetDelegates { delegates } => self.on_user_operation(Request::SetDelegates { delegates }, ctx),
            Command::Configure(config) => self.on_user_configure(*config, ctx),
            Command::Leave => self.on_user_leave(),
            Command::Return => self.on_user_return(),
            // Before it is open the peer may be anybody: it has put in nothing.
            Command::SendMessage(_) if self.phase.live().is_none() => Err(Misuse::NotOpen { state: self.phase.name() }),
            Command::SendMessage(words) => self.on_user_message(words),
            Command::Accept { proposal } => self.on_user_accept(proposal, ctx),
            Command::Refuse { proposal, code } => self.on_user_refuse(proposal, code, ctx),
        }
    }

    fn on_peer(&mut self, message: Message, ctx: &Context<'_>) -> Result<Step, Violation> {
        use OperationKind::{Deposit, SetDelegates, Withdraw};
        let name = message.name();
        match message {
            Message::Update(update) => self.on_peer_update(update, ctx),
            Message::UpdateAck { round, signature } => self.on_peer_update_ack(round, signature, ctx),
            Message::UpdateError { round, code } => self.on_peer_update_error(round, code, ctx),
            Message::ChannelAccept(accept) => self.on_peer_accept(accept, ctx),
            Message::FundingCreated(funding) => self.on_peer_funding_created(funding, ctx),
            Message::FundingSigned(funding) => self.on_peer_funding_signed(funding),
            Message::FundingLocked => self.on_peer_funding_locked(),
            Message::Shutdown(shutdown) => self.on_peer_shutdown(shutdown, ctx),
            Message::ShutdownAck { valid_until, signature } => self.on_peer_shutdown_ack(valid_until, signature),
            Message::ShutdownError { code } => self.on_peer_shutdown_error(code),
            Message::DepositCreated(body) => self.on_peer_created(Body::Deposit(body), ctx),
            Message::DepositSigned { round, signature } => self.on_peer_signed(Deposit, round, signature, ctx),
            Message::DepositLocked { round } => self.on_peer_locked(Deposit, round, ctx),
            Message::DepositError { round, code } => self.on_peer_operation_error(Deposit, (round, code), ctx),
            Message::WithdrawCreated(body) => self.on_peer_created(Body::Withdraw(body), ctx),
            Message::WithdrawSigned { round, signature } => self.on_peer_signed(Withdraw, round, signature, ctx),
            Message::WithdrawLocked { round } => self.on_peer_locked(Withdraw, round, ctx),
            Message::WithdrawError { round, code } => self.on_peer_operation_error(Withdraw, (round, code), ctx),
            Message::SetDelegatesCreated(body) => self.on_peer_created(Body::SetDelegates(body), ctx),
            Message::SetDelegatesSigned { round, signature } => {
                self.on_peer_signed(SetDelegates, round, signature, ctx)
            }
            Message::SetDelegatesLocked { round } => self.on_peer_locked(SetDelegates, round, ctx),
            Message::SetDelegatesError { round, code } => {
                self.on_peer_operation_error(SetDelegates, (round, code), ctx)
            }
            Message::ForceProgressLocked { round } => self.on_peer_force_progress_locked(round, ctx),
            Message::Reestablish(theirs) | Message::ReestablishAck(theirs) => {
                self.on_peer_reestablish(theirs, name, ctx)
            }
            Message::Leave => self.on_peer_leave(),
            Message::LeaveAck => self.on_peer_leave_ack(),
            Message::Inband(_) if self.phase.live().is_none() => Err(self.out_of_place(name)),
            Message::Inband(words) => self.on_peer_inband(words),
            Message::Error { code } => Ok(self.on_peer_error(code)),
            Message::ChannelOpen(_) => Err(self.out_of_place(name)),
        }
    }

    fn on_chain(&mut self, input: ChainInput, ctx: &Context<'_>) -> Step {
        match input {
            ChainInput::Head => self.on_chain_head(ctx),
            ChainInput::Sighted(block) => self.on_sighted(block, ctx.head),
            ChainInput::Event(event) => self.on_chain_event(event, ctx),
            ChainInput::Record { from, record, nonce } => self.on_chain_record(from, record, nonce, ctx),
            ChainInput::Nonce { parties, nonce } => self.on_chain_nonce(&parties, nonce, ctx),
            ChainInput::Rejected { call, rejection } => self.on_chain_rejected(call, rejection, ctx),
            ChainInput::Undeliverable { call } => match self.on_force_undeliverable(call, ctx) {
                Some(step) => step,
                None => self.give_up_creating(call, None),
            },
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
        self.peer
    }

    /// What the channel is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let live = self.phase.live();
        let parted = matches!(self.link, Link::Down | Link::Left) && self.phase.outlives_the_link();
        Status {
            state: if parted { "disconnected" } else { self.phase.name() },
            phase: self.phase.name(),
            connected: self.link == Link::Up,
            channel: self.channel_id(),
            round: live.map(|live| live.agreed.round),
            closed: match &self.phase {
                Phase::Closed(reason) => Some(reason.clone()),
                _ => None,
            },
            pending: live.map_or(0, |live| live.pending()),
            operation: live.and_then(|live| live.operating.kind()),
            operation_until: live.and_then(|live| live.operating.bound_until()),
            shutdown: self.shutdown_stage(),
            forcing: live.is_some_and(|live| live.forcing.is_some()),
            awaits_word: self.waits_for_word(),
            outdated: live.is_some_and(|live| live.outdated.is_some()),
        }
    }

    /// The id on chain, once both accounts and the nonce are known.
    #[must_use]
    pub const fn channel_id(&self) -> Option<ChannelId> {
        match &self.phase {
            Phase::HalfSigned(half) => Some(half.channel),
            Phase::Signed(signed) => Some(signed.funding.channel),
            Phase::Open(live) | Phase::Closing(live, _) => Some(live.funding.channel),
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
            Phase::Signed(signed) => Some(&signed.funding.terms),
            Phase::Open(live) | Phase::Closing(live, _) => Some(&live.funding.terms),
            _ => None,
        }
    }

    /// Who has what; none before the channel is open and after it has ended.
    #[must_use]
    pub fn balances(&self) -> Option<Balances> {
        let live = self.phase.live()?;
        let balances = &live.agreed.state.balances;
        Some(Balances { ours: balances[self.me], peers: balances[self.me.peer()], spendable: live.spendable(self.me) })
    }

    /// A contract of the agreed state.
    #[must_use]
    pub fn contract(&self, id: &ContractId) -> Option<&Contract> {
        self.contracts()?.get(id)
    }

    /// The contracts of the agreed state; none before the channel is open and after it has ended.
    #[must_use]
    pub fn contracts(&self) -> Option<&Contracts> {
        self.phase.live().map(|live| &live.agreed.state.contracts)
    }

    /// The latest agreed state, whole: enough, with [`evidence`](Self::evidence), to force calls without this SDK.
    #[must_use]
    pub fn state(&self) -> Option<&State> {
        self.phase.live().map(|live| &live.agreed.state)
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
        for (change, payment) in self.phase.live().into_iter().flat_map(|live| live.out.waiting_payments()) {
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
}

/// How a refused message is answered: a proposal with its own error, the rest with error.
pub(crate) enum Answer {
    UpdateError(Round),
    OperationError(OperationKind, Round),
    ShutdownError,
    Error,
}

impl Answer {
    const fn to(message: &Message) -> Self {
        match message {
            Message::Update(update) => Self::UpdateError(update.round),
            Message::DepositCreated(body) => Self::OperationError(OperationKind::Deposit, body.round),
            Message::WithdrawCreated(body) => Self::OperationError(OperationKind::Withdraw, body.round),
            Message::SetDelegatesCreated(body) => Self::OperationError(OperationKind::SetDelegates, body.round),
            Message::Shutdown(_) => Self::ShutdownError,
            _ => Self::Error,
        }
    }

    /// What the peer hears of its violation: the one place where that is said.
    pub(crate) fn refusing(self, violation: Violation) -> Step {
        let say = self.with(violation.code());
        Step::act(vec![Effect::Send(say), Effect::Notify(Event::Notice(Notice::PeerViolated(violation)))])
    }

    const fn with(self, code: RefusalCode) -> Message {
        match self {
            Self::UpdateError(round) => Message::UpdateError { round, code },
            Self::OperationError(kind, round) => kind.error(round, code),
            Self::ShutdownError => Message::ShutdownError { code },
            Self::Error => Message::Error { code },
        }
    }
}
