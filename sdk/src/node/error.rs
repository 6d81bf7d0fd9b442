//! What can go wrong for whoever uses a node.

use super::group::JoinError;
use crate::{
    chain::{Address, AddressFormat, CallError, ChainError, Health},
    store::StoreError,
    transport::{BindError, DialError},
};
use channel::{ChangeFault, ChangeId, ChannelRef, CloseReason, Misuse, OperationKind, Pace, RefusalCode, SavedError};
use protocol::{Amount, BlockNumber, Hash, PublicKey, Round, signing::Domain};
use scale::{Decode, Encode};
use std::io;
use thiserror::Error;

/// Why a node did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The operating system gives no thread for whatever follows the chain and defends, or for strangers.
    #[error("the operating system gives no thread for the defence of channels or for strangers: {0}")]
    NoThread(#[source] io::Error),
    /// The group of nodes that share a router.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The address to listen on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The channels in the store were written by other software. A channel that is damaged keeps no node from starting
    /// ([`Node::damaged_channels`](super::Node::damaged_channels)).
    #[error(transparent)]
    Saved(#[from] SavedError),
    /// No lock period that the arbiter allows leaves this node time to answer (R6.9d).
    #[error(
        "with {pace:?} no channel could be defended: the arbiter's longest lock period is {max} blocks; use another arbiter, or set \
         `NodeConfig::pace` to what holds for this node"
    )]
    NoTimeToAnswer {
        /// How soon this node sees and answers.
        pace: Pace,
        /// The arbiter's longest lock period.
        max: BlockNumber,
    },
    /// The chain has the right genesis and other blocks than the store has seen, or fewer: it was started anew, or lags behind. The store's channels
    /// are not on it.
    #[error(
        "the store has seen another history of this chain: {0}. Its channels belong to that one: connect to it, or start with a new store"
    )]
    OtherHistory(#[source] ChainError),
    /// Whether the chain is the one that the store has seen cannot be told.
    #[error(
        "the store has seen block {block} as {expected}; this chain has forgotten which block that was, and has none of the store's {channels} \
         channels: connect to an endpoint that knows old blocks, or start with a new store"
    )]
    UnknownHistory {
        /// The last final block that was seen.
        block: BlockNumber,
        /// Its hash.
        expected: Hash,
        /// How many channels are stored that should be on chain.
        channels: usize,
    },
    /// The store was made by another identity or for another arbiter: its channels would be lost to both.
    #[error("the store belongs to {}, this node is {}: give each its own store", written(store, *addresses), written(node, *addresses))]
    ForeignStore {
        /// Whose it is.
        store: Owner,
        /// Who wants to use it.
        node: Owner,
        /// How this node's chain writes accounts.
        addresses: AddressFormat,
    },
}

/// Whose store one is: it holds what this identity signed for this arbiter, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Owner {
    /// The node's identity.
    pub identity: PublicKey,
    /// The arbiter and its chain.
    pub domain: Domain,
}

/// An owner in words.
fn written(Owner { identity, domain: Domain { genesis, arbiter } }: &Owner, addresses: AddressFormat) -> String {
    format!("{identity} at the arbiter {} on the chain {genesis}", addresses.write(arbiter))
}

/// Why a command did not do what it should.
#[derive(Debug, Error)]
pub enum NodeError {
    /// It is not possible now.
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// The arbiter or the chain said no.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The chain is not seen as it is now, so a new channel could not be defended: what is open goes on meanwhile.
    #[error("no new risks now: {0}")]
    ChainUnhealthy(Health),
    /// The peer could not be reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// No connection to that peer: connect first.
    #[error("not connected to {0}: connect to it first")]
    NotConnected(PublicKey),
    /// This node's vault cannot pay its share, or what it is to put into a channel.
    #[error("the vault holds {have}, and {need} are to come out of it: deposit {} more first", need.saturating_sub(*have))]
    VaultTooLow {
        /// What the vault holds.
        have: Amount,
        /// What is to come out of it.
        need: Amount,
    },
    /// The account cannot pay for the defence of its channels, or could not any more.
    #[error(
        "account {account} would hold {have}, and {need} are kept there for fees, so that every channel can be defended: send it {} more first",
        need.saturating_sub(*have)
    )]
    FeesTooLow {
        /// Whose coins pay for calls.
        account: Address,
        /// What it holds, or would hold.
        have: Amount,
        /// What is kept for fees ([`FeeReserve`](super::FeeReserve)).
        need: Amount,
    },
    /// The chain did not answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// More peers or channels than this node serves.
    #[error("this node serves {max} {what} at most: end some first, or wait until some have ended")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// The peer refused a payment's round.
    #[error("the peer refused payment {payment:?}: {code}")]
    PaymentRefused {
        /// The payment's id.
        payment: ChangeId,
        /// The refuser's reason.
        code: RefusalCode,
    },
    /// The channel closed before the payment was made.
    #[error("the channel closed before payment {0:?} was made")]
    PaymentDropped(ChangeId),
    /// The payment was made, and then another own round, which the peer had kept, took its place on chain.
    #[error("payment {payment:?} was made, and round {round}, which the peer had kept, has taken its place on chain")]
    PaymentUndone {
        /// The payment's id.
        payment: ChangeId,
        /// The round that counts instead.
        round: Round,
    },
    /// Only the peer can say whether the payment was made, or will be: it did not agree to it and still holds a signature for it (R6.1), this node's
    /// store is old (R6.6a), or the channel's end was not seen (R6.9b).
    #[error(
        "whether payment {0:?} was made, or may yet be, only the peer can say: ask it before paying the same again"
    )]
    PaymentUnknown(ChangeId),
    /// A change could not be made when its turn came.
    #[error("change {change:?} was not made: {fault}")]
    ChangeFailed {
        /// The change's id.
        change: ChangeId,
        /// The reason.
        fault: ChangeFault,
    },
    /// A deposit, a withdrawal or other delegates did not come to be; the channel goes on as before.
    #[error("the {operation:?} did not come to be: {code}; nothing has changed")]
    OperationFailed {
        /// The operation.
        operation: OperationKind,
        /// What the peer said; `TIMEOUT` where it did not reach the chain in time, `CLOSING` where the channel closes.
        code: RefusalCode,
    },
    /// The channel has ended in blocks that were not read: whether a deposit, a withdrawal or other delegates that both had signed were made is not known here.
    #[error(
        "whether the {operation:?} was made before the channel ended is not known: its blocks were not read; look at the chain"
    )]
    OperationUnseen {
        /// The operation.
        operation: OperationKind,
    },
    /// The peer refused to close in agreement.
    #[error("the peer refused to close: {0}; close alone, or try again later")]
    ShutdownRefused(RefusalCode),
    /// The close in agreement was taken back before anything was signed ([`ChannelHandle::cancel_close`](super::ChannelHandle::cancel_close)).
    #[error("the close was taken back: the channel goes on")]
    CloseCancelled,
    /// The channel ended in another way than was asked for.
    #[error("the channel ended: {0}")]
    Ended(CloseReason),
    /// A channel with this peer is damaged in the store: with which nonce it was opened is not known, so no other is opened with the peer.
    #[error(
        "channel {0:?} with this peer is damaged in the store: put the newest copy of the store back, or see that the channel ends and forget it, first"
    )]
    Damaged(ChannelRef),
    /// No such channel on this node (any more).
    #[error("this node has no such channel (any more)")]
    UnknownChannel,
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes: nothing can be named safely")]
    NoRandomness,
    /// Nothing more can be kept, so nothing more is signed: the channels are only defended (R6.9e).
    #[error("nothing more is agreed, and what is agreed is defended: {0}; start the node again once that is mended")]
    DefendOnly(String),
    /// The node is shutting down: nothing more is signed.
    #[error("the node has stopped")]
    Stopped,
}
