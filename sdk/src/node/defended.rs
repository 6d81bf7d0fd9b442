//! What the defence is told, and what is told of it (R6.9e).

use super::watcher::{UnconfirmedBlock, WatchedBlock};
use crate::chain::CallError;
use channel::{Channel, ChannelRef};
use protocol::{BlockNumber, PublicKey, call::CallKind};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What reaches the defence.
#[derive(Debug)]
pub(super) enum Signal {
    /// The next block.
    Block(Arc<WatchedBlock>),
    /// A block that one endpoint alone tells of.
    Unconfirmed(Arc<UnconfirmedBlock>),
    /// A peer's task can keep nothing more: its channels after a block, and why.
    TakeOver { peer: PublicKey, channels: Vec<Channel>, head: BlockNumber, cause: String },
    /// How a call ended: in which block it is, or why it is in none.
    Called { peer: PublicKey, reference: ChannelRef, call: CallKind, block: BlockNumber, result: Result<(), CallError> },
}

/// Why the defence acts for a peer's channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefenceCause {
    /// The peer's task is late with a block: it is busy. This ends by itself.
    Late,
    /// The peer's task has ended before its time, or can keep nothing more. Its channels agree to nothing until the node is started again.
    Over(String),
}

/// A peer whose channels the defence acts for (R6.9e).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefendedPeer {
    /// The peer.
    pub peer: PublicKey,
    /// The reason.
    pub cause: DefenceCause,
    /// For how long.
    pub since: Duration,
    /// The channels that are looked after: one whose own machine breaks down here too is not among them any more.
    pub channels: Vec<ChannelRef>,
    /// Calls for them that are under way, or did not reach the arbiter.
    pub calls: Vec<DefenceCall>,
}

/// A call that the defence makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefenceCall {
    /// For which channel.
    pub reference: ChannelRef,
    /// The arbiter's message.
    pub call: CallKind,
    /// The last block in which it counts for certain; none where nothing presses.
    pub until: Option<BlockNumber>,
    /// Why it did not reach the arbiter when it was tried last.
    pub cause: Option<String>,
}

/// What is told of the defence to whoever asks.
#[derive(Debug, Default)]
pub(super) struct Report(Mutex<Vec<(Instant, DefendedPeer)>>);

impl Report {
    pub(super) fn defended_peers(&self) -> Vec<DefendedPeer> {
        let defended_peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        defended_peers
            .iter()
            .map(|(began, defended)| DefendedPeer { since: began.elapsed(), ..defended.clone() })
            .collect()
    }

    pub(super) fn set(&self, defended_peers: Vec<(Instant, DefendedPeer)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = defended_peers;
    }
}
