//! Which apps are on their way here.

use channel::ChannelRef;
use protocol::Hash;
use std::collections::BTreeMap;

/// The most apps that are fetched from one peer at once.
pub(super) const MAX_FETCHES: usize = 16;

/// Apps on their way here.
#[derive(Debug, Default)]
pub(super) struct Fetches(pub(super) BTreeMap<Hash, Fetch>);

/// One of them.
#[derive(Debug, Default)]
pub(super) struct Fetch {
    /// Which channels wait for it.
    pub(super) channels: Vec<ChannelRef>,
    /// What the peer has sent so far.
    pub(super) bytes: Vec<u8>,
}

impl Fetches {
    /// The connection is gone; the channels have forgotten what they needed the apps for.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}
