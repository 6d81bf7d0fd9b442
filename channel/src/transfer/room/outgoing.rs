//! Rows of one's own transfers, and the indexes that are derived from them.
//!
//! Invariants: a pre-image that is known is never forgotten, and what has failed is absent for good (I4); a row goes only when its owner says so and its contract
//! is gone (I5); at most one row has a key (I9).

use super::news::News;
use crate::{
    error::Misuse,
    keys::was_asked,
    state::{ChangeId, IdempotencyKey, Offer},
    transfer::{
        limits::TransferLimits,
        row::{Failure, OutgoingTransfer, Progress, TransferEvent, TransferId},
    },
};
use protocol::{
    Amount, BlockNumber,
    contracts::{
        ContractId, Contracts,
        conditional::{HashLock, Preimage},
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// The rows, by their changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OutgoingRows {
    rows: BTreeMap<ChangeId, OutgoingTransfer>,
    /// Transfers that may hold coins, and how many.
    open: BTreeSet<ChangeId>,
    open_amount: Amount,
    by_key: BTreeMap<IdempotencyKey, ChangeId>,
    by_contract: BTreeMap<ContractId, ChangeId>,
    by_lock: BTreeSet<(HashLock, ChangeId)>,
    /// Transfers that are not in the agreed state, and not known to be absent for good.
    absent: BTreeSet<ChangeId>,
    /// Transfers to be forgotten once their coins have left them. Not stored: their router asks again after a start.
    forgetting: BTreeSet<ChangeId>,
}

impl OutgoingRows {
    pub(super) const fn new() -> Self {
        Self {
            rows: BTreeMap::new(),
            open: BTreeSet::new(),
            open_amount: 0,
            by_key: BTreeMap::new(),
            by_contract: BTreeMap::new(),
            by_lock: BTreeSet::new(),
            absent: BTreeSet::new(),
            forgetting: BTreeSet::new(),
        }
    }

    pub(super) const fn rows(&self) -> &BTreeMap<ChangeId, OutgoingTransfer> {
        &self.rows
    }

    pub(super) fn get(&self, id: ChangeId) -> Option<&OutgoingTransfer> {
        self.rows.get(&id)
    }

    /// The row with this key.
    pub(super) fn find(&self, key: &IdempotencyKey) -> Option<&OutgoingTransfer> {
        self.rows.get(self.by_key.get(key)?)
    }

    /// The change of the transfer with this contract.
    pub(super) fn id_of(&self, contract: &ContractId) -> Option<ChangeId> {
        self.by_contract.get(contract).copied()
    }

    /// The contract of a transfer.
    fn contract_of(&self, id: ChangeId) -> Option<ContractId> {
        self.get(id).and_then(|row| row.contract)
    }

    /// Whether there was none with this change or key.
    pub(super) fn put(&mut self, row: OutgoingTransfer, news: &mut News) -> bool {
        let id = row.change;
        let terms = row.offer.terms;
        self.by_contract.extend(row.contract.map(|contract| (contract, id)));
        self.open_amount = self.open_amount.saturating_add(terms.amount);
        let _new = self.open.insert(id);
        let _new = self.by_lock.insert((terms.lock, id));
        if matches!(row.progress, Progress::Absent(_)) {
            let _new = self.absent.insert(id);
        }
        let is_first_of_key = self.by_key.insert(row.key.clone(), id).is_none();
        news.change(TransferId::Outgoing(id));
        self.rows.insert(id, row).is_none() && is_first_of_key
    }

    /// A transfer holds no coins any more.
    pub(super) fn close(&mut self, id: ChangeId) {
        if self.open.remove(&id)
            && let Some(row) = self.rows.get(&id)
        {
            self.open_amount = self.open_amount.saturating_sub(row.offer.terms.amount);
        }
    }

    /// Whether a transfer may hold coins.
    pub(super) fn is_open(&self, id: ChangeId) -> bool {
        self.open.contains(&id)
    }

    /// Those of which everything has left these contracts hold no coins any more.
    pub(super) fn close_over(&mut self, contracts: &Contracts) {
        let ended: Vec<_> = self.rows.values().filter(|row| row.is_over(contracts)).map(|row| row.change).collect();
        ended.into_iter().for_each(|id| self.close(id));
    }

    /// Whether an offer was asked for by this key before.
    pub(super) fn knows(&self, key: &IdempotencyKey, offer: &Offer) -> Result<bool, Misuse> {
        was_asked(key, self.find(key).map(|known| (known.change, known.offer == *offer)))
    }

    /// Whether the peer's limits leave room for another offer.
    pub(super) fn check_room(&self, limits: TransferLimits, offer: &Offer, best: BlockNumber) -> Result<(), Misuse> {
        let open = u32::try_from(self.open.len()).unwrap_or(u32::MAX);
        let amount = self.open_amount.checked_add(offer.terms.amount);
        if offer.terms.amount < limits.min_amount
            || open >= limits.max_open
            || limits.is_too_far(offer.terms.expiry, best)
            || amount.is_none_or(|sum| sum > limits.max_amount)
        {
            return Err(Misuse::TransferLimits { open, limits });
        }
        Ok(())
    }

    /// A transfer that has come to its end is to be forgotten.
    pub(super) fn forget(&mut self, key: &IdempotencyKey) -> Result<(), Misuse> {
        let Some(row) = self.find(key) else { return Ok(()) };
        if !row.is_decided() {
            return Err(Misuse::TransferOpen { key: key.clone() });
        }
        let id = row.change;
        let _new = self.forgetting.insert(id);
        Ok(())
    }

    /// What is to be forgotten and of which `is_over` is true.
    pub(super) fn forgotten(&self, is_over: impl Fn(&OutgoingTransfer) -> bool) -> Vec<OutgoingTransfer> {
        self.forgetting.iter().filter_map(|id| self.rows.get(id)).filter(|row| is_over(row)).cloned().collect()
    }

    /// Takes a row out.
    pub(super) fn remove(&mut self, id: ChangeId, news: &mut News) -> Option<OutgoingTransfer> {
        let _gone = self.forgetting.remove(&id);
        self.close(id);
        let row = self.rows.remove(&id)?;
        let _gone = self.by_key.remove(&row.key);
        let _gone = self.by_lock.remove(&(row.offer.terms.lock, id));
        if let Some(contract) = row.contract {
            let _gone = self.by_contract.remove(&contract);
        }
        news.change(TransferId::Outgoing(id));
        Some(row)
    }

    /// Those with this lock.
    pub(super) fn with_lock(&self, lock: &HashLock) -> Vec<ChangeId> {
        self.by_lock.range((*lock, ChangeId(0))..=(*lock, ChangeId(u64::MAX))).map(|(_, id)| *id).collect()
    }

    /// The pre-image of a transfer is known.
    pub(super) fn fulfil(&mut self, id: ChangeId, preimage: &Preimage, news: &mut News) {
        let Some(row) = self.rows.get_mut(&id) else { return };
        // What is absent for good is: its payee has no use of the pre-image.
        if matches!(row.progress, Progress::Fulfilled(_) | Progress::Failed(_)) {
            return;
        }
        row.progress = Progress::Fulfilled(*preimage);
        let _gone = self.absent.remove(&id);
        news.change(TransferId::Outgoing(id));
        news.tell(TransferEvent::Fulfilled { key: row.key.clone(), preimage: *preimage });
    }

    /// A transfer is agreed, with this contract and this premium. Its former premium.
    pub(super) fn accept(
        &mut self,
        id: ChangeId,
        (contract, premium): (ContractId, Option<ContractId>),
        news: &mut News,
    ) -> Option<ContractId> {
        let row = self.rows.get_mut(&id)?;
        let before = row.contract.replace(contract);
        let former = std::mem::replace(&mut row.premium, premium);
        if matches!(row.progress, Progress::Proposed | Progress::Absent(_)) {
            row.progress = Progress::Offered;
            news.tell(TransferEvent::Accepted { key: row.key.clone(), contract });
        }
        if self.open.insert(id) {
            self.open_amount = self.open_amount.saturating_add(row.offer.terms.amount);
        }
        let _gone = self.absent.remove(&id);
        if let Some(before) = before {
            let _gone = self.by_contract.remove(&before);
        }
        let _none = self.by_contract.insert(contract, id);
        news.change(TransferId::Outgoing(id));
        former
    }

    /// A transfer is not in the agreed state any more.
    pub(super) fn leave(&mut self, id: ChangeId, why: Failure, news: &mut News) {
        self.miss(id, why, news);
        if self.get(id).is_some_and(OutgoingTransfer::is_decided) {
            self.close(id);
        }
    }

    /// A transfer is not in the agreed state.
    pub(super) fn miss(&mut self, id: ChangeId, why: Failure, news: &mut News) {
        let Some(row) = self.rows.get_mut(&id) else { return };
        if matches!(row.progress, Progress::Proposed | Progress::Offered) {
            row.progress = Progress::Absent(why);
            let _new = self.absent.insert(id);
            news.change(TransferId::Outgoing(id));
        }
    }

    /// What is absent is so for good, where `may_count` does not say that the peer holds a signature for a state with such a change or contract (I4).
    pub(super) fn settle_absent(&mut self, may_count: impl Fn(ChangeId, Option<ContractId>) -> bool, news: &mut News) {
        let gone: Vec<_> = self.absent.iter().copied().filter(|id| !may_count(*id, self.contract_of(*id))).collect();
        for id in gone {
            let _gone = self.absent.remove(&id);
            self.close(id);
            if let Some(Progress::Absent(why)) = self.get(id).map(|row| &row.progress) {
                let why = why.clone();
                self.fail(id, why, news);
            }
        }
    }

    /// A transfer has expired, and the registry was proved silent.
    pub(super) fn expire(&mut self, id: ChangeId, news: &mut News) {
        if self.get(id).is_some_and(|row| !row.is_decided()) {
            let _gone = self.absent.remove(&id);
            self.fail(id, Failure::Expired, news);
        }
    }

    fn fail(&mut self, id: ChangeId, why: Failure, news: &mut News) {
        let Some(row) = self.rows.get_mut(&id) else { return };
        row.progress = Progress::Failed(why.clone());
        news.change(TransferId::Outgoing(id));
        news.tell(TransferEvent::Failed { key: row.key.clone(), why });
    }

    /// Offers that wait, but for those of which this is true, are not made any more, for this reason.
    pub(super) fn drop_unproposed(&mut self, why: &Failure, is_proposed: impl Fn(ChangeId) -> bool, news: &mut News) {
        let waiting = self.rows.values().filter(|row| row.progress == Progress::Proposed).map(|row| row.change);
        let dropped: Vec<_> = waiting.filter(|id| !is_proposed(*id)).collect();
        dropped.into_iter().for_each(|id| self.miss(id, why.clone(), news));
    }
}
