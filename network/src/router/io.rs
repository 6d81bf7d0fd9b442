//! What a router is told, and what it wants done.

use super::swaps::kinds::SwapEvent;
use crate::{instruction::FailureCode, keys::PaymentId, swap::SwapId};
use channel::{
    ChannelRef,
    transfer::{IncomingTransfer, OutgoingTransfer, PledgesLast, TransferCommand, TransferEvent, TransferLimits},
};
use protocol::{
    Amount, BlockNumber, PublicKey,
    contracts::{
        ContractId,
        conditional::{HashLock, Preimage},
    },
    signing::Domain,
};
use scale::{Decode, Encode};

pub use channel::Millis;

/// A channel, across chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct At {
    /// The chain and the arbiter.
    pub chain: Domain,
    /// Which of its channels.
    pub channel: ChannelRef,
}

/// A transfer that came in: the identity of whatever goes on because of it (I9, I10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Origin {
    /// The channel it came by.
    pub at: At,
    /// Its contract there.
    pub contract: ContractId,
}

/// Everything that can happen to a router.
#[derive(Clone, Debug)]
pub enum RouterInput {
    /// A chain has joined: what its store has, before any of its links is up.
    Restored(Restored),
    /// A channel tells of a transfer.
    Transfer(At, TransferEvent),
    /// A channel is open, and its peer there.
    ChannelUp {
        /// Which.
        at: At,
        /// Whose it is too.
        peer: PublicKey,
        /// What the peer lets this side offer.
        limits: TransferLimits,
    },
    /// The peer of a channel is away, or the channel is not open. What is under way stays.
    ChannelDown(At),
    /// What can be offered in a channel now: told after each [`ChannelUp`](Self::ChannelUp), and whenever it changes.
    Spendable {
        /// Which channel.
        at: At,
        /// The coins that this side could offer beside all that its rows hold.
        amount: Amount,
        /// The coins of the peer's in it: what the peer risks (B1).
        risked: Amount,
    },
    /// For how long pledges may last in a channel: told after its first [`ChannelUp`](Self::ChannelUp), and whenever it changes. Before, nothing is bounded by it.
    Pledges {
        /// Which channel.
        at: At,
        /// For how many blocks.
        last: PledgesLast,
    },
    /// A channel has ended, and has no more rows.
    ChannelClosed(At),
    /// A chain's heads: the newest that any endpoint shows, and the final one.
    Head {
        /// Which chain.
        chain: Domain,
        /// The newest, carried on by the clock (A2).
        best: BlockNumber,
        /// The final one.
        finalised: BlockNumber,
    },
    /// A registry has a pre-image, in a final block or not: it proves itself (A4).
    Shown {
        /// Which registry.
        chain: Domain,
        /// The lock that it opens.
        lock: HashLock,
        /// What opens it.
        preimage: Preimage,
        /// The first block that has it, where that block is final; none where it is only seen.
        at: Option<BlockNumber>,
    },
    /// A command was refused at once: nothing of it was ever signed.
    Refused {
        /// Which channel.
        at: At,
        /// Which command.
        command: TransferCommand,
        /// Why.
        why: CommandRefusal,
    },
    /// Time passes.
    Tick(Millis),
    /// A peer says something about swaps, on its connection with the node of their source chain: [`SwapWords`](crate::SwapWords).
    Swap {
        /// Which node's.
        chain: Domain,
        /// Who.
        peer: PublicKey,
        /// Its words.
        bytes: Vec<u8>,
    },
    /// A peer tells its terms: an [`Announcement`](crate::Announcement), signed.
    Announced {
        /// Who.
        peer: PublicKey,
        /// Its words.
        bytes: Vec<u8>,
    },
}

/// What the store has.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Which chain's store.
    pub chain: Domain,
    /// Every channel that has rows.
    pub channels: Vec<RestoredChannel>,
    /// The router's own rows.
    pub rows: Vec<(RowKey, Vec<u8>)>,
}

/// The rows of a channel.
#[derive(Clone, Debug)]
pub struct RestoredChannel {
    /// Which.
    pub at: At,
    /// Whose it is too.
    pub peer: PublicKey,
    /// What the peer offered.
    pub incoming: Vec<IncomingTransfer>,
    /// What this side offered.
    pub outgoing: Vec<OutgoingTransfer>,
    /// Whether these are all the rows that it had: else something may have gone on through it, or come in by it, that nobody knows of any more.
    pub is_whole: bool,
}

/// Why a channel refuses a command at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandRefusal {
    /// It is not open, or its peer is away.
    NotOpen,
    /// It has not the coins.
    Coins,
    /// More than the peer takes.
    Limits,
    /// The expiry is too near or too far by now.
    Expiry,
    /// Anything else.
    Other,
}

/// The name of a row of the router's own, at most 72 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct RowKey(pub Vec<u8>);

/// Everything a router wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterOutput {
    /// A channel is to do something: at once where it is the caller's, after the caller's commit where it is another's (I1).
    Command {
        /// Which channel.
        at: At,
        /// What.
        command: TransferCommand,
    },
    /// A row of the router's own, for the caller's commit; none to erase it. One of another chain than the caller's is for that chain's next commit.
    Row {
        /// The chain in whose store it is.
        chain: Domain,
        /// Its name.
        key: RowKey,
        /// What it says.
        value: Option<Vec<u8>>,
    },
    /// The user is told.
    Notify(RouterNotice),
    /// A pre-image is to be shown in a registry, since the channel that has to claim by it cannot (A5, I11).
    Register {
        /// Which registry.
        chain: Domain,
        /// The lock.
        lock: HashLock,
        /// What opens it.
        preimage: Preimage,
        /// The first block in which that is too late.
        expiry: BlockNumber,
        /// On whose account: the peer who should have signed the claim, where it is known.
        peer: Option<PublicKey>,
    },
    /// A peer is told something about swaps, by the node of this chain.
    Tell {
        /// Which node.
        chain: Domain,
        /// Who.
        peer: PublicKey,
        /// The words.
        bytes: Vec<u8>,
    },
    /// All peers on a chain are told the own terms, signed.
    Announce {
        /// Which chain's peers.
        chain: Domain,
        /// The signed words.
        bytes: Vec<u8>,
    },
}

/// What the user is told.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RouterNotice {
    /// A payment is made, and this proves it. Durable.
    #[codec(index = 0)]
    Paid {
        /// The user's name for it.
        id: PaymentId,
        /// What the payee showed.
        preimage: Preimage,
    },
    /// A payment came to nothing: no coins have moved. Durable.
    #[codec(index = 1)]
    PaymentFailed {
        /// The user's name for it.
        id: PaymentId,
        /// Why.
        code: FailureCode,
    },
    /// An invoice is being paid: its pre-image is shown. Durable.
    #[codec(index = 2)]
    Received {
        /// Its lock.
        lock: HashLock,
        /// What came.
        amount: Amount,
        /// The payer's words, of a spontaneous payment.
        note: Vec<u8>,
    },
    /// All of an invoice is held: it waits to be settled or cancelled. Durable.
    #[codec(index = 3)]
    Held {
        /// Its lock.
        lock: HashLock,
        /// What is held.
        amount: Amount,
    },
    /// What was held is given back. Durable.
    #[codec(index = 4)]
    HoldCancelled {
        /// Its lock.
        lock: HashLock,
    },
    /// A transfer was carried on, and paid for. In passing.
    #[codec(index = 5)]
    Forwarded {
        /// Where it came in.
        origin: Origin,
        /// What is earned.
        fee: Amount,
    },
    /// A peer left a claim unanswered, so that its pre-image has to be registered: it offers nothing more until it is let (B1). Told once the block by which it was
    /// late is final. Durable.
    #[codec(index = 6)]
    ClaimUnanswered {
        /// On which chain.
        chain: Domain,
        /// Who.
        peer: PublicKey,
        /// Which transfer.
        origin: Origin,
    },
    /// A stored row of the router's cannot be read, and was left alone. In passing.
    #[codec(index = 7)]
    RowUnreadable {
        /// Its name.
        key: RowKey,
    },
    /// Something has happened in a swap. In passing.
    #[codec(index = 8)]
    Swap {
        /// Which one.
        id: SwapId,
        /// What.
        event: SwapEvent,
    },
}

impl RouterNotice {
    /// Whether a crash may not lose it.
    #[must_use]
    pub const fn is_durable(&self) -> bool {
        !matches!(self, Self::Forwarded { .. } | Self::RowUnreadable { .. } | Self::Swap { .. })
    }
}
