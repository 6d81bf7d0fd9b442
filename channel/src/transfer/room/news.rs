//! What whoever holds a channel has to do about its transfers: rows to store, and events for the router.

use crate::transfer::row::{TransferEvent, TransferId};
use std::collections::BTreeSet;

/// Collected until it is taken, at the end of each input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    /// Rows that differ from what is stored.
    changed: BTreeSet<TransferId>,
    /// What the router is to be told.
    told: Vec<TransferEvent>,
}

impl News {
    pub(super) const fn new() -> Self {
        Self { changed: BTreeSet::new(), told: Vec::new() }
    }

    pub(super) fn change(&mut self, id: TransferId) {
        let _new = self.changed.insert(id);
    }

    pub(super) fn tell(&mut self, event: TransferEvent) {
        self.told.push(event);
    }

    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    pub(super) fn take_changed(&mut self) -> Vec<TransferId> {
        std::mem::take(&mut self.changed).into_iter().collect()
    }

    pub(super) fn take_told(&mut self) -> Vec<TransferEvent> {
        std::mem::take(&mut self.told)
    }

    /// Everything is as it is stored.
    pub(super) fn forget_changed(&mut self) {
        self.changed.clear();
    }
}
