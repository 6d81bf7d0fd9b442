//! What is told of blocks.

use super::records::Records;
use crate::chain::{BlockRef, arbiter::ChannelEvent};
use channel::UnconfirmedDispute;
use protocol::{BlockNumber, ChannelId};

/// A finalised block with what the arbiter announced in it.
#[derive(Debug)]
pub(in crate::node) struct WatchedBlock {
    pub(in crate::node) at: BlockRef,
    pub(in crate::node) contents: BlockContents,
}

/// What is told of a block.
#[derive(Debug, Default)]
pub(in crate::node) struct BlockContents {
    pub(in crate::node) events: Vec<ChannelEvent>,
    /// What the chain has of channels after it, where blocks were skipped.
    pub(in crate::node) records: Option<Records>,
}

/// A block that one endpoint alone tells of.
#[derive(Debug)]
pub(in crate::node) struct UnconfirmedBlock {
    pub(in crate::node) number: BlockNumber,
    /// What it says of channels of this node that may have to be answered.
    pub(in crate::node) disputes: Vec<(ChannelId, UnconfirmedDispute)>,
}
