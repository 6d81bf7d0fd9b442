//! Rows of the transfers that the peer has offered.
//!
//! Invariants: an intent is decided once, and a claim is never taken back (I4); a row goes only once no state that holds its transfer can count.

use super::news::News;
use crate::{
    error::Misuse,
    transfer::row::{IncomingEnd, IncomingTransfer, Intent, TransferId},
};
use protocol::{
    Amount,
    contracts::{ContractId, Contracts, conditional::Preimage},
};
use std::collections::BTreeMap;

/// The rows, by their contracts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IncomingRows {
    rows: BTreeMap<ContractId, IncomingTransfer>,
    /// What they hold together.
    amount: Amount,
    /// Transfers that are not in the agreed state, and how they ended there: over once no open round of one's own holds them (I4). Not stored: derived anew at a
    /// start.
    ending: BTreeMap<ContractId, IncomingEnd>,
}

impl IncomingRows {
    pub(super) const fn new() -> Self {
        Self { rows: BTreeMap::new(), amount: 0, ending: BTreeMap::new() }
    }

    pub(super) const fn rows(&self) -> &BTreeMap<ContractId, IncomingTransfer> {
        &self.rows
    }

    pub(super) fn get(&self, contract: &ContractId) -> Option<&IncomingTransfer> {
        self.rows.get(contract)
    }

    pub(super) fn contains(&self, contract: &ContractId) -> bool {
        self.rows.contains_key(contract)
    }

    /// What they hold together.
    pub(super) const fn amount(&self) -> Amount {
        self.amount
    }

    /// Whether there was none with this contract.
    pub(super) fn put(&mut self, row: IncomingTransfer, news: &mut News) -> bool {
        self.amount = self.amount.saturating_add(row.terms.amount);
        news.change(TransferId::Incoming(row.contract));
        self.rows.insert(row.contract, row).is_none()
    }

    /// Takes a row out that is over.
    pub(super) fn remove(&mut self, contract: &ContractId, news: &mut News) -> Option<IncomingTransfer> {
        let _over = self.ending.remove(contract);
        let row = self.rows.remove(contract)?;
        self.amount = self.amount.saturating_sub(row.terms.amount);
        news.change(TransferId::Incoming(*contract));
        Some(row)
    }

    /// A transfer is not in the agreed state any more: a round or a forced step has ended it so. Whether there is a row of it.
    pub(super) fn begin_to_end(&mut self, contract: ContractId, end: IncomingEnd) -> bool {
        let is_known = self.contains(&contract);
        if is_known {
            let _last = self.ending.insert(contract, end);
        }
        is_known
    }

    /// How a transfer has ended that is not in the agreed state any more, as far as it is known.
    pub(super) fn end_of(&self, contract: &ContractId) -> Option<IncomingEnd> {
        self.ending.get(contract).copied()
    }

    /// Transfers that these contracts, which are agreed, do not hold, and how they ended by what this side wanted of them.
    pub(super) fn missing(&self, contracts: &Contracts) -> Vec<(ContractId, IncomingEnd)> {
        let missing = self.rows.values().filter(|row| contracts.get(&row.contract).is_none());
        let end = |intent: &Intent| match intent {
            Intent::Claim(_) => IncomingEnd::Claimed,
            Intent::Fail(_) => IncomingEnd::Failed,
            Intent::Undecided => IncomingEnd::Superseded,
        };
        missing.map(|row| (row.contract, end(&row.intent))).collect()
    }

    /// Transfers that are not in the agreed state.
    pub(super) fn ending(&self) -> Vec<(ContractId, IncomingEnd)> {
        self.ending.iter().map(|(contract, end)| (*contract, *end)).collect()
    }

    /// A transfer is in the agreed state again.
    pub(super) fn come_back(&mut self, contract: &ContractId) {
        let _back = self.ending.remove(contract);
    }

    pub(super) fn is_decided(&self, contract: &ContractId) -> bool {
        self.get(contract).is_some_and(|row| row.intent != Intent::Undecided)
    }

    /// Decides what this side wants of a transfer. Whether that was open.
    ///
    /// # Errors
    /// [`Misuse::TransferUnknown`], and [`Misuse::TransferDecided`] where the opposite is decided.
    pub(super) fn decide(&mut self, contract: ContractId, intent: Intent, news: &mut News) -> Result<bool, Misuse> {
        let row = self.rows.get_mut(&contract).ok_or(Misuse::TransferUnknown(contract))?;
        match (&row.intent, &intent) {
            (Intent::Undecided, _) => {}
            (Intent::Claim(_), Intent::Claim(_)) | (Intent::Fail(_), Intent::Fail(_)) => return Ok(false),
            _ => return Err(Misuse::TransferDecided(contract)),
        }
        row.intent = intent;
        news.change(TransferId::Incoming(contract));
        Ok(true)
    }

    /// A transfer was claimed, whoever did it: where its premium or calls of its are left, they are this side's by the same pre-image, whatever was decided.
    pub(super) fn note_claimed(&mut self, contract: &ContractId, preimage: &Preimage, news: &mut News) {
        let Some(row) = self.rows.get_mut(contract).filter(|row| row.premium.is_some() || !row.calls.is_none()) else {
            return;
        };
        if !matches!(row.intent, Intent::Claim(_)) {
            row.intent = Intent::Claim(*preimage);
            news.change(TransferId::Incoming(*contract));
        }
    }
}
