//! What the defence is told, and what is told of it (R6.9e).

use super::watcher::{Sighted, Watched};
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
    Block(Arc<Watched>),
    /// A block that one endpoint alone tells of.
    Sighted(Arc<Sighted>),
    /// A peer's task can keep nothing more: its channels after a block, and why.
    TakeOver { peer: PublicKey, channels: Vec<Channel>, head: BlockNumber, cause: String },
    /// How a call ended: in which block it is, or why it is in none.
    Called { peer: PublicKey, reference: ChannelRef, call: CallKind, block: BlockNumber, result: Result<(), CallError> },
}

/// Why the defence acts for a peer's channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WardCause {
    /// The peer's task is late with a block: it is busy. This ends by itself.
    Late,
    /// The peer's task has ended before its time, or can keep nothing more. Its channels agree to nothing until the node is started again.
    Over(String),
}

/// A peer whose channels the defence acts for (R6.9e).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ward {
    /// The peer.
    pub peer: PublicKey,
    /// Why.
    pub cause: WardCause,
    /// For how long.
    pub since: Duration,
    /// The channels that are looked after: one whose own machine breaks down here too is not among them any more.
    pub channels: Vec<ChannelRef>,
    /// Calls for them that are under way, or did not reach the arbiter.
    pub calls: Vec<WardCall>,
}

/// A call that the defence makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WardCall {
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
pub(super) struct Report(Mutex<Vec<(Instant, Ward)>>);

impl Report {
    pub(super) fn wards(&self) -> Vec<Ward> {
        let wards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wards.iter().map(|(began, ward)| Ward { since: began.elapsed(), ..ward.clone() }).collect()
    }

    pub(super) fn set(&self, wards: Vec<(Instant, Ward)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = wards;
    }
}
