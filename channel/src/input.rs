//! Everything that can happen to a channel.

use crate::{
    apps::AppBook,
    certainty::Certainty,
    config::{Config, Pace},
    event::EventNumber,
    message::{Message, RefusalCode},
    proposal::ProposalId,
    state::{Change, IdempotencyKey, Payment},
    transfer::{TransferBook, TransferCommand},
    units::Millis,
};
use protocol::{
    AccountId, Amount, BlockNumber, ChannelId, Hash, Pair, PartyId, Rejection,
    call::{CallKind, ForcedCall},
    crypto::SigningKey,
    event::ArbiterEvent,
    record::Record,
    terms::Delegate,
};

/// What the machine may know of its surroundings at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Signs this side's states.
    pub key: &'a SigningKey,
    /// Now.
    pub now: Millis,
    /// The newest finalised block.
    pub head: BlockNumber,
    /// The apps that can be run here, and what this side thinks of them.
    pub apps: &'a dyn AppBook,
    /// How soon this side sees what happens on chain, and how soon what it sends is in a block.
    pub pace: Pace,
    /// What this side knows outside of the channel when it judges conditional transfers.
    pub transfers: &'a dyn TransferBook,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The peer said something.
    Peer(Message),
    /// The peer said a `funding_created` whose nonce gives the id of another channel of this side ([`Channel::offered_id`](crate::Channel::offered_id)):
    /// it stands here instead of [`Input::Peer`].
    IdInUse(ChannelId),
    /// An opening that was accepted, and that this side has not signed, is refused after all, for this reason: nothing backs it, say (R6.7).
    OpeningRefused(RefusalCode),
    /// What was to be said of open rounds was not: too much waits already to be read by the peer. It is said again with [`Input::Drained`].
    Congested,
    /// The peer has read what waited for it.
    Drained,
    /// The user wants something.
    User(Command),
    /// The chain has something new, and it is final (R6.8).
    Chain(ChainInput),
    /// Time has passed.
    Tick,
    /// The peer can be reached (again). Said twice it means nothing more.
    LinkUp,
    /// The peer cannot be reached any more.
    LinkDown,
    /// The process started with this channel from its store: derive again what may have been lost.
    Restarted,
    /// The same, and the store was put here from elsewhere: this side goes on as one whose store is old (R6.6a).
    RestartedFromCopy,
    /// The user acknowledges every event that was delivered up to this number. Nothing needs to be committed for it.
    EventsAcked {
        /// The last event that the user acknowledges.
        up_to: EventNumber,
    },
    /// An app that was asked for by [`Effect::FetchCode`](crate::Effect::FetchCode) is here now, or cannot be had.
    Code(Hash),
}

/// What the user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Pay the peer.
    Pay(Payment),
    /// Pay the peer several times, in order: all of them or, where one is not possible, none.
    PayAll(Vec<Payment>),
    /// Pay the peer once, however often this is asked for by this key (R6.3c). Asked again it changes nothing, in whatever state the channel is:
    /// [`Channel::payment`](crate::Channel::payment) says what has become of it.
    PayOnce {
        /// The user's own name for the payment.
        key: IdempotencyKey,
        /// What is paid; by one key always the same.
        payment: Payment,
    },
    /// Pay the peer several times, each once by its key, in order: as [`PayOnce`](Self::PayOnce) for each, in one commit. Those that are not known by
    /// their keys wait for the next round, all of them or, where one is not possible, none.
    PayAllOnce(Vec<(IdempotencyKey, Payment)>),
    /// Make these changes, in order: all of them wait for the next round, or none. What fails when its turn comes is told by
    /// [`Event::Failed`](crate::Event::Failed), and the others go on.
    Make(Vec<Change>),
    /// Have the arbiter make these calls, one after the other, without the peer (R5.10). Nothing is agreed until they are on chain or refused.
    Force {
        /// The calls, in order.
        calls: Vec<ForcedCall>,
        /// Why the stored state is the newest (R6.6b).
        certainty: Certainty,
    },
    /// Close in agreement. The fee, out of one's own balance, goes to whoever submits the close.
    Shutdown {
        /// In coins; zero where the submitter pays for itself.
        fee: Amount,
    },
    /// Take the close in agreement back, as long as nothing of it is signed.
    CancelShutdown,
    /// Close alone, on the latest agreed state.
    CloseSolo {
        /// Why that is the newest which was signed (R6.6b).
        certainty: Certainty,
    },
    /// Put coins of one's own vault into the channel, once what is under way is answered (R5.5).
    Deposit {
        /// How many coins; more than none.
        amount: Amount,
    },
    /// Take own coins out of the channel, once what is under way is answered (R5.5).
    Withdraw {
        /// How many; more than none, and no more than can be spent.
        amount: Amount,
        /// The account that is paid; none for one's own, where the channel's payout destination counts.
        to: Option<AccountId>,
    },
    /// Have other accounts for one's own delegates (R5.7).
    SetDelegates {
        /// All of them.
        delegates: Vec<Delegate>,
    },
    /// Take other settings ([`Config`]) from now on.
    Configure(Box<Config>),
    /// Part from the peer: the channel stays.
    Leave,
    /// Come back to a peer that one has parted from.
    Rejoin,
    /// Say something to the peer's application, at most [`MAX_INBAND`](crate::MAX_INBAND) bytes. It is said once, if the connection holds.
    SendMessage(Vec<u8>),
    /// Agree to a round of the peer's that waits for a decision.
    Accept {
        /// Which, as [`Notice::Proposed`](crate::Notice::Proposed) names it.
        proposal: ProposalId,
    },
    /// Refuse it.
    Refuse {
        /// Which, as [`Notice::Proposed`](crate::Notice::Proposed) names it.
        proposal: ProposalId,
        /// Why; the peer's user is told. From [`RefusalCode::APPLICATION`] on.
        code: RefusalCode,
    },
    /// What a router wants of a transfer.
    Transfer(TransferCommand),
}

/// What the chain has, all of it final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainInput {
    /// A new block; its events have been told already.
    Head,
    /// The arbiter announced something about this channel. [`Context::head`] is the event's own block then: forced calls are run again in it.
    Event(ArbiterEvent),
    /// The blocks from `from` up to [`Context::head`] were not read, because nobody keeps their states any more; or what one of them was said to
    /// hold could not be confirmed. This is what the chain has of the channel after them (R6.9b); events of those blocks may follow all the same.
    Record {
        /// The first block that was not read.
        from: BlockNumber,
        /// The record; none where there is no such channel, or not any more.
        record: Option<Record>,
        /// The least nonce that the channel's parties may name next (R5.2), not newer than the record.
        nonce: u64,
    },
    /// One endpoint tells of a block above [`Context::head`], and no second one confirms it (R6.9a). Nothing becomes known by it. What defends the
    /// channel is asked for again, and once the block lies further above the head than heights may differ, no round of the peer's is agreed to
    /// before the next [`Head`](Self::Head).
    UnconfirmedHead(BlockNumber),
    /// What this side knows of locks, or of heads that are not final, has changed ([`Context::transfers`]): the transfers are looked at again.
    Locks,
    /// The answer to [`Effect::AskNonce`](crate::Effect::AskNonce).
    Nonce {
        /// Of whom.
        parties: Pair<PartyId>,
        /// The least that they may name next (R5.2).
        nonce: u64,
    },
    /// The arbiter refused a call that this channel asked for.
    Rejected {
        /// The arbiter's message that was called.
        call: CallKind,
        /// The arbiter's reason.
        rejection: Rejection,
    },
    /// A call that this channel asked for cannot be made: its submitter cannot pay for an opening, say, or the chain cannot execute a forced step
    /// that the rules allow.
    Undeliverable {
        /// The arbiter's message that was called.
        call: CallKind,
    },
}
