//! What a user is told.

mod reason;

pub use reason::CloseReason;

use crate::{
    certainty::SoloStep,
    error::{Misuse, Violation},
    message::RefusalCode,
    operation::OperationKind,
    proposal::ProposalId,
    state::{Change, ChangeFault, ChangeId, OwnChanges, Payment, Performed},
};
use protocol::{Amount, BlockNumber, ChannelId, Pair, Party, Rejection, Round, call::CallKind, terms::Delegate};
use scale::{Decode, Encode};

/// Numbers the events of one channel, from 1 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct EventNumber(pub u64);

impl EventNumber {
    /// Of an event that is not in the outbox yet.
    pub(crate) const UNNUMBERED: Self = Self(0);
}

/// What a user is told durably: an event is stored by the commit that makes it true, and delivered again after each start until the user has
/// acknowledged it ([`Input::EventsAcked`](crate::Input::EventsAcked)). So a crash may have it told twice, by the same number, and never loses one. What
/// is told in passing is a [`Notice`]. Variants' numbers never change, since events are stored; 10, 15 and 16 are used up.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[non_exhaustive]
pub enum Event {
    /// Both parties have signed the opening; it is on its way to the chain.
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 0)]
    Signed {
        /// The channel's id on chain.
        channel: ChannelId,
    },
    /// The channel is open and both have seen it on chain.
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 1)]
    Opened {
        /// The channel's id on chain.
        channel: ChannelId,
        /// First balances.
        balances: Pair<Amount>,
    },
    /// Own payments, and other own changes, are agreed. Whatever may still take their place is told of by [`Event::Replaced`] and
    /// [`Event::Undone`].
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 2)]
    Paid {
        /// Which, in the order in which they were made.
        payments: OwnChanges,
        /// The round that holds them.
        round: Round,
    },
    /// The peer's payments are agreed.
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 3)]
    Received {
        /// Each with its own amount and reference.
        payments: Vec<Payment>,
        /// The round that holds them.
        round: Round,
    },
    /// The peer refused own changes: they are not made. Where they were given up for a forced step, or because the peer's store is old, the peer
    /// still holds a signature, and until a higher round is agreed they may appear (R6.1): of payments with a key this is kept as unknown.
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 4)]
    Refused {
        /// The own changes.
        payments: OwnChanges,
        /// The refuser's reason.
        code: RefusalCode,
    },
    /// Changes that waited will not be made: the channel closes, or goes on by force. Those that the peer had been shown before are told of by
    /// [`Event::Refused`] while the channel goes on, because they may still appear.
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 5)]
    Dropped {
        /// The own changes.
        payments: OwnChanges,
    },
    /// The peer refused to close in agreement.
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 6)]
    ShutdownRefused {
        /// The refuser's reason.
        code: RefusalCode,
    },
    /// Somebody closes alone.
    ///
    /// In a crash: told again, until it is acknowledged.
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
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 8)]
    Slashed {
        /// The newer round.
        round: Round,
        /// The first block in which it can be settled.
        unlock_at: BlockNumber,
    },
    /// The channel has ended.
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 9)]
    Closed(CloseReason),
    /// A deposit is final on chain.
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 11)]
    Deposited {
        /// The party whose coins they are.
        party: Party,
        /// How many coins.
        amount: Amount,
        /// The round after it.
        round: Round,
    },
    /// A withdrawal is final on chain.
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 12)]
    Withdrawn {
        /// The party whose coins they are.
        party: Party,
        /// How many coins.
        amount: Amount,
        /// The round after it.
        round: Round,
    },
    /// Other delegates are final on chain.
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 13)]
    DelegatesSet {
        /// Those of both parties from now on.
        delegates: Pair<Vec<Delegate>>,
        /// The round after it.
        round: Round,
    },
    /// The own deposit, withdrawal or other delegates will not be.
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 14)]
    OperationFailed {
        /// The operation.
        operation: OperationKind,
        /// What the peer said; `TIMEOUT` where it did not reach the chain in time, `CLOSING` where the channel closes.
        code: RefusalCode,
    },
    /// Contracts have changed; both sides are told.
    ///
    /// In a crash: told again, until it is acknowledged.
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
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 18)]
    Failed {
        /// The own change; it is one.
        changes: OwnChanges,
        /// The reason.
        fault: ChangeFault,
    },
    /// Own calls are being forced, because the user wants it or because the peer does not answer.
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 19)]
    Forcing {
        /// Changes that are made in this way; none where the calls were given by hand, or end transfers: where a round has ended those meanwhile nothing more is told of it.
        changes: Vec<ChangeId>,
    },
    /// The arbiter will not make these calls: they are given up. Where the peer was shown them before they may still appear (R6.1).
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 20)]
    ForceFailed {
        /// Changes that were to be made in this way.
        changes: Vec<ChangeId>,
        /// The arbiter's reason.
        rejection: Rejection,
    },
    /// A close was paid out, while contracts still hold coins: they are to be had by force (R5.11).
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 21)]
    Residual {
        /// What each party was paid.
        balances: Pair<Amount>,
        /// What the contracts hold.
        held: Amount,
    },
    /// A state that both had signed has taken the place of forced ones: what was forced from a round on has not happened (R5.4). What that state
    /// did itself is told next.
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 22)]
    Replaced {
        /// The first forced round that has not happened, nor any after it.
        forced: Round,
        /// The round that counts instead.
        round: Round,
    },
    /// Own changes that were told of as made ([`Event::Paid`], [`Event::Executed`]) are not in the state that counts now: another own round,
    /// which the peer had kept, took their place on chain. Payments with a key have their references here, others where they are still known.
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 23)]
    Undone {
        /// The own changes.
        changes: OwnChanges,
        /// The round that counts instead.
        round: Round,
    },
    /// Blocks were not read, because no endpoint keeps their states any more, or because what one of them was said to hold could not be confirmed:
    /// what is told next is derived from what the chain has after them (R6.9b).
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 24)]
    BlocksSkipped {
        /// The first of them.
        from: BlockNumber,
        /// The last.
        to: BlockNumber,
    },
    /// A close was paid out in blocks that were not read, while contracts still hold coins: what each party was paid is not known here, and the
    /// rest is to be had by force (R5.11).
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 25)]
    ResidualUnseen {
        /// What the contracts hold.
        held: Amount,
    },
    /// The channel has ended in blocks that were not read, and what both had signed of an own deposit, withdrawal or other delegates may have been made before that: it
    /// is not known here.
    ///
    /// In a crash: told again, until it is acknowledged.
    #[codec(index = 26)]
    OperationUnseen {
        /// The operation.
        operation: OperationKind,
    },
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

impl Notice {
    /// What it weighs where notices wait, in bytes that a peer has caused.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Message(words) => words.len(),
            Self::Proposed { changes, .. } => changes.encoded_size(),
            _ => 1,
        }
    }
}

/// What a user is told in passing, while the channel goes on. It is stored nowhere: a crash may lose it, and each variant says what becomes of its
/// matter then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The peer broke the protocol; it was told, and what it said was ignored.
    ///
    /// In a crash: lost; what the peer said was ignored all the same.
    PeerViolated(Violation),
    /// The peer says that it cannot go on.
    ///
    /// In a crash: lost; an opening that ended because of it is told of by [`Notice::NotOpened`], and is lost with it.
    PeerError(RefusalCode),
    /// An opening that this side had not signed has come to nothing: the peer refused, left, or took too long, or was refused itself. No coin has moved, and the channel is
    /// forgotten.
    ///
    /// In a crash: lost; so is the opening, of which nothing was stored.
    NotOpened {
        /// What the refuser said, where it said something.
        code: Option<RefusalCode>,
    },
    /// Calls were forced that cannot be followed here. Where an app is missing it is fetched, and until it is here this side agrees to nothing;
    /// otherwise this side's store is old, or the blocks with the calls were not read (R6.9b).
    ///
    /// In a crash: lost; the steps are stored, and are replayed when that is possible. A store that is old is told of again ([`Notice::StaleStore`]).
    PendingReplay {
        /// The forced round.
        round: Round,
    },
    /// The arbiter refused a call made for this channel.
    ///
    /// In a crash: lost; the call is made again where it is still wanted, and what refuses it is told again.
    CallRejected {
        /// The arbiter's message that was called.
        call: CallKind,
        /// The arbiter's reason.
        rejection: Rejection,
    },
    /// A call made for this channel did not reach the arbiter: the account cannot pay its fee, its owner did not sign, or the chain is not to be
    /// reached. It is made again with each block; told once for each cause.
    ///
    /// In a crash: lost; the call is made again with the next block, and where it fails again that is told.
    CallFailed {
        /// The arbiter's message that was called.
        call: CallKind,
        /// What is wrong, and what to do about it.
        cause: String,
        /// The last block in which it counts for certain, where it defends the channel ([`Channel::defend_by`](crate::Channel::defend_by)).
        until: Option<BlockNumber>,
    },
    /// This side agrees to nothing more in the channel and goes on defending it, until the node is started again: its task has ended, or its store
    /// takes nothing more (R6.9e).
    ///
    /// In a crash: lost; a new start begins anew.
    DefendOnly {
        /// What is wrong.
        cause: String,
    },
    /// What the store has of the channel cannot be read: it stays there as it is, and the node goes on without the channel (R6.9e).
    ///
    /// In a crash: told again at each start.
    Damaged {
        /// What is wrong with it.
        cause: String,
    },
    /// The arbiter refused an operation that both have signed. It may be taken yet, should the reason pass: nothing else is agreed until it is on
    /// chain, or this block is over (R6.5). Both sides are told.
    ///
    /// In a crash: lost; the operation stays signed, is submitted again, and a refusal is told again.
    OperationRefused {
        /// The operation.
        operation: OperationKind,
        /// The arbiter's reason, where it is one's own; the peer says none.
        rejection: Option<Rejection>,
        /// The last block that may take it.
        until: BlockNumber,
    },
    /// A close in agreement was asked for, and the peer cannot be reached: it is offered as soon as it can
    /// ([`Command::CancelShutdown`](crate::Command::CancelShutdown) takes it back).
    ///
    /// In a crash: lost; the wish is stored, and `Status` shows it.
    ShutdownAwaitsPeer,
    /// A close alone, or calls to be forced, were asked for with the peer's word ([`Certainty::ConfirmedByPeer`](crate::Certainty::ConfirmedByPeer)), which has said nothing since this
    /// process started: they are made as soon as it has shown that it knows of no newer state. Asked for with
    /// [`Certainty::OwnStoreIsNewest`](crate::Certainty::OwnStoreIsNewest) they do not wait.
    ///
    /// In a crash: lost, and the step that waits with it: it is to be asked for again.
    AwaitsPeerConfirmation {
        /// What waits.
        step: SoloStep,
    },
    /// What has waited for the peer's word is not made.
    ///
    /// In a crash: lost; nothing was made.
    SoloStepCancelled {
        /// What has waited.
        step: SoloStep,
        /// The reason why it is not made.
        why: Misuse,
    },
    /// This side's store was copied from elsewhere, or has fewer commits than it has acknowledged, and may be old: it goes on as if it were (R6.6a).
    /// Where its owner knows that it is the newest there is, the store's lock file is to be deleted before the next start. Told at each start.
    ///
    /// In a crash: told again at each start.
    StoreCopied,
    /// The peer has not answered in time.
    ///
    /// In a crash: lost; the time begins anew with the next connection.
    PeerSilent,
    /// The peer was asked for a round or an operation again, and again it says that it cannot answer now.
    ///
    /// In a crash: lost; the round or the operation is said again on the next connection.
    Postponed {
        /// The round.
        round: Round,
        /// The refuser's reason.
        code: RefusalCode,
    },
    /// The peer holds a state that this side has signed and does not remember: this side's store is old (R6.6). What the peer showed was adopted,
    /// but there may be newer. From now on this side signs nothing but a close that pays it what it knows of, closes nothing by itself, and
    /// only answers closes on older states. Told again after each restart.
    ///
    /// In a crash: told again at each start.
    StaleStore {
        /// From which round.
        from: Round,
        /// To which.
        to: Round,
    },
    /// The peer proposes a round, and the user has it so that it decides itself ([`Acceptance::Manual`](crate::Acceptance::Manual)): accept or
    /// refuse. It is told again when the connection was lost meanwhile.
    ///
    /// In a crash: lost with the connection; the peer says the round again, and it is told of again.
    Proposed {
        /// Which, by its content: so the decision names it.
        proposal: ProposalId,
        /// What it changes; the peer makes all of it.
        changes: Vec<Change>,
    },
    /// The two have parted; the channel stays, and goes on when one of them comes back.
    ///
    /// In a crash: lost; the connection is gone with it, and the next one begins by comparing what both know.
    Left {
        /// The party that wanted it.
        by: Party,
    },
    /// The peer's application says something.
    ///
    /// In a crash: lost; the peer said it once, and does not say it again.
    Message(Vec<u8>),
}
