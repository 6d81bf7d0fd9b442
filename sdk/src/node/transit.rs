//! What a node keeps of the transfers of one channel, besides their rows: what the router was told, and the locks that are watched.

use super::registry::Watching;
use channel::{
    Channel,
    transfer::{TransferId, TransferLimits},
};
use protocol::Amount;
use std::collections::HashMap;

/// What a channel's router was told of it last, and the locks of its transfers.
#[derive(Debug, Default)]
pub(super) struct Transit {
    pub(super) told: Option<Offerable>,
    pub(super) watching: HashMap<TransferId, Watching>,
}

/// What could be offered in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offerable {
    pub(super) limits: TransferLimits,
    pub(super) amount: Amount,
    pub(super) risked: Amount,
}

impl Offerable {
    pub(super) fn of(channel: &Channel) -> Option<Self> {
        let balances = channel.balances().filter(|_| channel.takes_offers())?;
        Some(Self { limits: *channel.peer_limits(), amount: channel.spendable(), risked: balances.peers })
    }
}
