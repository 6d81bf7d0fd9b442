use super::StoreError;
use scale::{Decode, Encode};

/// The groups of keys. Each is ordered by key; the same key may be in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Table {
    /// What the node knows of itself and its chain: few small values under names.
    #[codec(index = 0)]
    Meta,
    /// The saved state of each channel, effects that are still to be run included.
    #[codec(index = 1)]
    Channels,
    /// Contracts inside channels, one by one: a commit writes those that have changed.
    #[codec(index = 2)]
    Contracts,
    /// What is kept of channels that have ended, for a time.
    #[codec(index = 3)]
    Ended,
    /// Payments with a key of the user's own, one by one: what is on its way, and outcomes.
    #[codec(index = 4)]
    Payments,
    /// What the user thinks of apps, by code hash.
    #[codec(index = 5)]
    Apps,
    /// Conditional transfers of channels, one by one: a commit writes those that have changed.
    #[codec(index = 6)]
    Transfers,
    /// The router's own rows: payments, invoices, what is remembered of peers.
    #[codec(index = 7)]
    Routing,
}

impl Table {
    pub(super) const ALL: [Self; 8] = [
        Self::Meta,
        Self::Channels,
        Self::Contracts,
        Self::Ended,
        Self::Payments,
        Self::Apps,
        Self::Transfers,
        Self::Routing,
    ];

    /// Its name on disk: never changed, never reused.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Channels => "channels",
            Self::Contracts => "contracts",
            Self::Ended => "ended",
            Self::Payments => "payments",
            Self::Apps => "apps",
            Self::Transfers => "transfers",
            Self::Routing => "routing",
        }
    }
}

/// The longest key in bytes: ids are 32, names are short.
pub const MAX_KEY: usize = 256;
/// The longest value in bytes: far above any channel's state, far below what would stop the other channels' commits for long.
pub const MAX_VALUE: usize = 64 * 1024 * 1024;

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Changes that are stored together or not at all. Of several for one key the last counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Change {
    pub(super) table: Table,
    pub(super) key: Vec<u8>,
    /// What the key gets; none removes it.
    pub(super) value: Option<Vec<u8>>,
}

impl Batch {
    /// No changes: committing it waits for what was queued before.
    #[must_use]
    pub const fn new() -> Self {
        Self { changes: Vec::new() }
    }

    /// Sets a value; at most [`MAX_KEY`] and [`MAX_VALUE`] bytes, which the commit checks.
    #[must_use]
    pub fn put(mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.changes.push(Change { table, key: key.into(), value: Some(value.into()) });
        self
    }

    /// Removes a key, where it is.
    #[must_use]
    pub fn delete(mut self, table: Table, key: impl Into<Vec<u8>>) -> Self {
        self.changes.push(Change { table, key: key.into(), value: None });
        self
    }

    pub(super) fn with(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    pub(super) fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Refuses what would fail later, when other batches share the transaction.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        for Change { key, value, .. } in &self.changes {
            let value_length = value.as_ref().map_or(0, Vec::len);
            if key.len() > MAX_KEY {
                return Err(StoreError::TooLong { what: "key", length: key.len(), limit: MAX_KEY });
            }
            if value_length > MAX_VALUE {
                return Err(StoreError::TooLong { what: "value", length: value_length, limit: MAX_VALUE });
            }
        }
        Ok(())
    }
}
