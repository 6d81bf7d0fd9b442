//! What a router has a node keep and do.

use channel::{ChannelRef, transfer::TransferCommand};
use network::{RouterNotice, RowKey};
use protocol::{
    BlockNumber, PublicKey,
    contracts::conditional::{HashLock, Preimage},
    signing::Domain,
};
use std::collections::BTreeMap;

/// Rows of the router's own; none for one that is erased.
pub(super) type RouterRows = BTreeMap<RowKey, Option<Vec<u8>>>;

/// What is to be done once the rows are durable.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) commands: Vec<(ChannelRef, TransferCommand)>,
    pub(super) notices: Vec<RouterNotice>,
    /// Each with the first block in which it is too late, and on whose account it is, where that is known.
    pub(super) registrations: Vec<(HashLock, Preimage, BlockNumber, Option<PublicKey>)>,
    pub(super) announcements: Vec<Vec<u8>>,
    /// What peers are told about swaps.
    pub(super) words: Vec<(PublicKey, Vec<u8>)>,
    /// What is for the nodes of other chains, and which of them have rows to keep.
    pub(super) elsewhere: BTreeMap<Domain, Self>,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
            && self.notices.is_empty()
            && self.registrations.is_empty()
            && self.announcements.is_empty()
            && self.words.is_empty()
            && self.elsewhere.is_empty()
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.commands.extend(other.commands);
        self.notices.extend(other.notices);
        self.registrations.extend(other.registrations);
        self.announcements.extend(other.announcements);
        self.words.extend(other.words);
        for (chain, outgoing) in other.elsewhere {
            self.elsewhere.entry(chain).or_default().extend(outgoing);
        }
    }
}
