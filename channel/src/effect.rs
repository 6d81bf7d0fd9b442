//! Everything a channel wants done. Each may be done twice without harm.

use crate::{
    error::{Misuse, Violation},
    message::{Message, RefusalCode},
    operation::OperationKind,
    outbox::EventNumber,
    phase::{CloseReason, certainty::SoloStep},
    proposal::ProposalId,
    state::{Change, ChangeFault, ChangeId, OwnChanges, Payment, Performed},
};
use protocol::{
    Amount, BlockNumber, ChannelId, Hash, Pair, Party, PartyId, Rejection, Round, call::Call, terms::Delegate,
};
use scale::{Decode, Encode};

/// What a channel wants done, in order, after it was committed (R6.4).
pub type Effects = Vec<Effect>;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Say it to the peer, on the connection of its time: what has not been said when the connection is lost is never said. What matters of it
    /// is said again on the next one.
    Send(Message),
    /// Call the arbiter. The same call may be asked for again while it is under way; once is enough.
    Submit(Box<Call>),
    /// Find out the least nonce that these two may name next (R5.2), at the finalised head.
    AskNonce(Pair<PartyId>),
    /// Get the app with this code hash, from the chain or from the peer, and say [`Input::Code`](crate::Input::Code).
    FetchCode(Hash),
    /// Tell the user in passing: a crash may lose it.
    Notify(Event),
    /// Tell the user, and say [`EventsTaken`](crate::Input::EventsTaken) once the user has it. Until then it is stored with the channel, and
    /// delivered again after a restart.
    Deliver {
        /// Grows with each event of the channel.
        number: EventNumber,
        /// What happened.
        event: Event,
    },
}

/// What a user is told. Numbers never change: events that were not taken are stored.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Event {
    /// Both parties have signed the opening; it is on its way to the chain.
    #[codec(index = 0)]
    Signed {
        /// The channel's id on chain.
        channel: ChannelId,
    },
    /// The channel is open and both have seen it on chain.
    #[codec(index = 1)]
    Opened {
        /// The channel's id on chain.
        channel: ChannelId,
        /// First balances.
        balances: Pair<Amount>,
    },
    /// Own payments, and other own changes, are agreed. Whatever may still take their place is told of by [`Event::Replaced`] and
    /// [`Event::Undone`].
    #[codec(index = 2)]
    Paid {
        /// Which, in the order in which they were made.
        payments: OwnChanges,
        /// The round that holds them.
        round: Round,
    },
    /// The peer's payments are agreed.
    #[codec(index = 3)]
    Received {
        /// Each with its own amount and reference.
        payments: Vec<Payment>,
        /// The round that holds them.
        round: Round,
    },
    /// The peer refused own changes: they are not made. Where they were given up for a forced step, or because the peer's store is old, the peer
    /// still holds a signature, and until a higher round is agreed they may appear (R6.1): of payments with a key this is kept as unknown.
    #[codec(index = 4)]
    Refused {
        /// Which.
        payments: OwnChanges,
        /// Why.
        code: RefusalCode,
    },
    /// Changes that waited will not be made: the channel closes, or goes on by force. Those that the peer had been shown before are told of by
    /// [`Event::Refused`] while the channel goes on, because they may still appear.
    #[codec(index = 5)]
    Dropped {
        /// Which.
        payments: OwnChanges,
    },
    /// The peer refused to close in agreement.
    #[codec(index = 6)]
    ShutdownRefused {
        /// Why.
        code: RefusalCode,
    },
    /// Somebody closes alone.
    #[codec(index = 7)]
    ClosingSolo {
        /// The round closed on.
        round: Round,
        /// The first block in which it can be settled.
        unlock_at: BlockNumber,
        /// Whether this side holds a newer state (and, unless told otherwise, posts it).
        outdated: bool,
    },
    /// A close was answered with a newer state.
    #[codec(index = 8)]
    Slashed {
        /// The newer round.
        round: Round,
        /// The first block in which it can be settled.
        unlock_at: BlockNumber,
    },
    /// The channel has ended.
    #[codec(index = 9)]
    Closed(CloseReason),
    /// The peer proposes a round, and the user has it so that it decides itself ([`Acceptance::ByUser`](crate::Acceptance::ByUser)): accept or
    /// refuse. It is told again when the connection was lost meanwhile.
    #[codec(index = 10)]
    Proposed {
        /// Which, by its content: so the decision names it.
        proposal: ProposalId,
        /// What it changes; the peer makes all of it.
        changes: Vec<Change>,
    },
    /// A deposit is final on chain.
    #[codec(index = 11)]
    Deposited {
        /// Whose.
        party: Party,
        /// How much.
        amount: Amount,
        /// The round after it.
        round: Round,
    },
    /// A withdrawal is final on chain.
    #[codec(index = 12)]
    Withdrawn {
        /// Whose.
        party: Party,
        /// How much.
        amount: Amount,
        /// The round after it.
        round: Round,
    },
    /// Other delegates are final on chain.
    #[codec(index = 13)]
    DelegatesSet {
        /// Those of both parties from now on.
        delegates: Pair<Vec<Delegate>>,
        /// The round after it.
        round: Round,
    },
    /// The own deposit, withdrawal or other delegates will not be.
    #[codec(index = 14)]
    OperationFailed {
        /// Which of them.
        operation: OperationKind,
        /// What the peer said; `TIMEOUT` where it did not reach the chain in time, `CLOSING` where the channel closes.
        code: RefusalCode,
    },
    /// The two have parted; the channel stays, and goes on when one of them comes back.
    #[codec(index = 15)]
    Left {
        /// Who wanted it.
        by: Party,
    },
    /// The peer's application says something.
    #[codec(index = 16)]
    Message(Vec<u8>),
    /// Contracts have changed; both sides are told.
    #[codec(index = 17)]
    Executed {
        /// The round that did it; of calls that the arbiter made, the last one's.
        round: Round,
        /// Whether the arbiter made the calls, for one side alone.
        forced: bool,
        /// What was done, in order.
        performed: Vec<Performed>,
    },
    /// An own change cannot be made on the state of its turn: it is given up, the others go on. Where the peer was shown it in an earlier turn it
    /// may still appear (R6.1, R6.3b).
    #[codec(index = 18)]
    Failed {
        /// Which; one.
        changes: OwnChanges,
        /// Why.
        fault: ChangeFault,
    },
    /// Own calls are being forced, because the user wants it or because the peer does not answer.
    #[codec(index = 19)]
    Forcing {
        /// Changes that are made in this way; none where the calls were given by hand.
        changes: Vec<ChangeId>,
    },
    /// The arbiter will not make these calls: they are given up. Where the peer was shown them before they may still appear (R6.1).
    #[codec(index = 20)]
    ForceFailed {
        /// Changes that were to be made in this way.
        changes: Vec<ChangeId>,
        /// The arbiter's reason.
        rejection: Rejection,
    },
    /// A close was paid out, while contracts still hold coins: they are to be had by force (R5.11).
    #[codec(index = 21)]
    Residual {
        /// What each party was paid.
        balances: Pair<Amount>,
        /// What the contracts hold.
        held: Amount,
    },
    /// A state that both had signed has taken the place of forced ones: what was forced from a round on has not happened (R5.4). What that state
    /// did itself is told next.
    #[codec(index = 22)]
    Replaced {
        /// The first forced round that has not happened, nor any after it.
        forced: Round,
        /// The round that counts instead.
        round: Round,
    },
    /// Own changes that were told of as made ([`Event::Paid`], [`Event::Executed`]) are not in the state that counts now: another own round,
    /// which the peer had kept, took their place on chain. Payments with a key have their references here, others where they are still known.
    #[codec(index = 23)]
    Undone {
        /// Which.
        changes: OwnChanges,
        /// The round that counts instead.
        round: Round,
    },
    /// Blocks were not read, because no endpoint keeps their states any more, or because what one of them was said to hold could not be confirmed:
    /// what is told next is derived from what the chain has after them (R6.9b).
    #[codec(index = 24)]
    Skipped {
        /// The first of them.
        from: BlockNumber,
        /// The last.
        to: BlockNumber,
    },
    /// A close was paid out in blocks that were not read, while contracts still hold coins: what each party was paid is not known here, and the
    /// rest is to be had by force (R5.11).
    #[codec(index = 25)]
    ResidualUnseen {
        /// What the contracts hold.
        held: Amount,
    },
    /// Something this side or its peer should know about, while the channel goes on. Never stored.
    #[codec(skip)]
    Notice(Notice),
}

impl Event {
    /// How many payments it tells of: what it weighs in the outbox.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Received { payments, .. } => payments.len(),
            Self::Paid { payments, .. } | Self::Refused { payments, .. } | Self::Dropped { payments } => payments.len(),
            Self::Undone { changes, .. } => changes.len(),
            Self::Executed { performed, .. } => performed.iter().map(Performed::weight).sum(),
            _ => 1,
        }
    }
}

/// Troubles that end nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The peer broke the protocol; it was told, and what it said was ignored.
    PeerViolated(Violation),
    /// The peer says that it cannot go on.
    PeerError(RefusalCode),
    /// Calls were forced that cannot be followed here. Where an app is missing it is fetched, and until it is here this side agrees to nothing;
    /// otherwise this side's store is old, or the blocks with the calls were not read (R6.9b).
    CannotFollow {
        /// The forced round.
        round: Round,
    },
    /// The arbiter refused a call made for this channel.
    CallRejected {
        /// The call's name.
        call: &'static str,
        /// The arbiter's reason.
        rejection: Rejection,
    },
    /// A call made for this channel did not reach the arbiter: the account cannot pay its fee, its owner did not sign, or the chain is not to be
    /// reached. It is made again with each block; told once for each cause.
    CallFailed {
        /// The call's name.
        call: &'static str,
        /// What is wrong, and what to do about it.
        cause: String,
        /// The last block in which it counts for certain, where it defends the channel ([`Channel::defend_by`](crate::Channel::defend_by)).
        until: Option<BlockNumber>,
    },
    /// This side agrees to nothing more in the channel and goes on defending it, until the node is started again: its task has ended, or its store
    /// takes nothing more (R6.9e).
    DefendOnly {
        /// What is wrong.
        cause: String,
    },
    /// The arbiter refused an operation that both have signed. It may be taken yet, should the reason pass: nothing else is agreed until it is on
    /// chain, or this block is over (R6.5). Both sides are told.
    OperationRefused {
        /// Which of them.
        operation: OperationKind,
        /// The arbiter's reason, where it is one's own; the peer says none.
        rejection: Option<Rejection>,
        /// The last block that may take it.
        until: BlockNumber,
    },
    /// A close in agreement was asked for, and the peer cannot be reached: it is offered as soon as it can
    /// ([`Command::CancelShutdown`](crate::Command::CancelShutdown) takes it back).
    ShutdownAwaitsPeer,
    /// A close alone, or calls to be forced, were asked for with the peer's word ([`Certainty::PeerSaidSo`](crate::Certainty::PeerSaidSo)), which has said nothing since this
    /// process started: they are made as soon as it has shown that it knows of no newer state. Asked for with
    /// [`Certainty::OwnStoreIsNewest`](crate::Certainty::OwnStoreIsNewest) they do not wait.
    AwaitsPeersWord {
        /// What waits.
        step: SoloStep,
    },
    /// What has waited for the peer's word is not made.
    StepGivenUp {
        /// What has waited.
        step: SoloStep,
        /// Why not.
        why: Misuse,
    },
    /// This side's store was copied from elsewhere, and may be old: it goes on as if it were (R6.6a). Where its owner knows that it is the newest
    /// there is, the store's lock file is to be deleted before the next start. Told at each start.
    StoreCopied,
    /// The peer has not answered in time.
    PeerSilent,
    /// The peer was asked for a round or an operation again, and again it says that it cannot answer now.
    Postponed {
        /// Which round.
        round: Round,
        /// Why.
        code: RefusalCode,
    },
    /// The peer holds a state that this side has signed and does not remember: this side's store is old (R6.6). What the peer showed was adopted,
    /// but there may be newer. From now on this side signs nothing but a close that pays it what it knows of, closes nothing by itself, and
    /// only answers closes on older states. Told again after each restart.
    CaughtUp {
        /// From which round.
        from: Round,
        /// To which.
        to: Round,
    },
}
