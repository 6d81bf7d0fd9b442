//! What a side wants of its transfers and has not got: which changes it asks for, and what becomes of them (R8.3d).

use super::Transfers;
use crate::{
    message::RefusalCode,
    state::{Change, ChangeId, TransferTerms},
    transfer::row::{Failure, Intent, Progress, TransferId},
};
use protocol::{
    BlockNumber,
    contracts::{ContractId, conditional::HashLock},
};

/// What a side asks for: a change, for the transfer with this contract.
pub(crate) type Wanted = (ContractId, Change);

/// What has become of an own change.
#[derive(Clone, Debug)]
pub(crate) enum Became {
    Agreed,
    Not(Failure),
    Undone,
}

impl From<RefusalCode> for Became {
    fn from(code: RefusalCode) -> Self {
        Self::Not(Failure::Refused(code))
    }
}

impl Transfers {
    /// Transfers whose expiry is at most `until`, with it.
    pub(crate) fn due(&self, until: BlockNumber) -> Vec<TransferId> {
        self.by_expiry.iter().take_while(|(expiry, _)| *expiry <= until).map(|(_, id)| *id).collect()
    }

    /// Whether an own offer that expires before this block is not agreed: told without a look at what waits.
    pub(crate) fn has_proposed_before(&self, expiry: BlockNumber) -> bool {
        let is_proposed = |id: &TransferId| match id {
            TransferId::Outgoing(change) => {
                self.outgoing.get(change).is_some_and(|row| row.progress == Progress::Proposed)
            }
            TransferId::Incoming(_) => false,
        };
        self.by_expiry.iter().take_while(|(of, _)| *of < expiry).any(|(_, id)| is_proposed(id))
    }

    /// The least expiry above this block.
    pub(crate) fn next_expiry(&self, above: BlockNumber) -> Option<BlockNumber> {
        let first = (above.saturating_add(1), TransferId::Incoming(ContractId([0; 32])));
        self.by_expiry.range(first..).next().map(|(expiry, _)| *expiry)
    }

    /// Transfers to the peer that no row tells of, with their expiries and locks.
    pub(crate) fn orphans(&self) -> impl Iterator<Item = (ContractId, BlockNumber, HashLock)> {
        self.orphans.iter().map(|(contract, (expiry, lock))| (*contract, *expiry, *lock))
    }

    /// This side wants a transfer to end as it has to, where it has not asked for that.
    pub(crate) fn want(&mut self, contract: ContractId) {
        let is_asked = self.asked.values().any(|asked| *asked == contract);
        if !is_asked && !self.postponed.contains(&contract) {
            let _new = self.wanted.insert(contract);
        }
    }

    /// What is wanted and not asked for.
    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        let change = |contract: &ContractId| match self.incoming.get(contract).map(|row| &row.intent) {
            Some(Intent::Claim(preimage)) => Some(Change::Claim { contract: *contract, preimage: *preimage }),
            Some(Intent::Fail(reason)) => Some(Change::Fail { contract: *contract, reason: reason.clone() }),
            Some(Intent::Undecided) => None,
            None => Some(Change::Refund { contract: *contract }),
        };
        self.wanted.iter().filter_map(|contract| Some((*contract, change(contract)?))).collect()
    }

    /// The contract of a transfer's premium, where it has one.
    pub(crate) fn premium_of(&self, contract: &ContractId) -> Option<ContractId> {
        let incoming = self.incoming.get(contract).and_then(|row| row.premium);
        incoming.or_else(|| self.outgoing_of(contract).and_then(|row| row.premium))
    }

    /// The premium of a transfer, or the transfer of a premium.
    pub(crate) fn other_part(&self, contract: &ContractId) -> Option<ContractId> {
        if let Some(premium) = self.premium_of(contract) {
            return Some(premium);
        }
        self.premiums.get(contract).copied()
    }

    /// The terms of a transfer of the peer's, or of its premium.
    pub(crate) fn terms_of(&self, contract: &ContractId) -> Option<TransferTerms> {
        self.incoming.get(self.main_of(contract)).map(|row| row.terms)
    }

    /// This change is asked for.
    pub(crate) fn ask(&mut self, change: ChangeId, contract: ContractId) {
        let contract = *self.main_of(&contract);
        let _gone = self.wanted.remove(&contract);
        let _none = self.asked.insert(change, contract);
    }

    /// A change that was asked for is in no round and no queue any more: where it is still wanted it is with the next block.
    fn unask(&mut self, change: ChangeId) -> bool {
        let Some(contract) = self.asked.remove(&change) else { return self.given_up.contains(&change) };
        let _new = self.postponed.insert(contract);
        self.give_up(change);
        true
    }

    /// An end that is not asked for any more, as long as an open round of one's own may hold it.
    pub(crate) fn give_up(&mut self, change: ChangeId) {
        let _new = self.given_up.insert(change);
    }

    /// Forgets which ends were given up, but for those of which this is true.
    pub(crate) fn retain_given_up(&mut self, may_appear: impl Fn(ChangeId) -> bool) {
        self.given_up.retain(|id| may_appear(*id));
    }

    /// A new block: what was refused is wanted again.
    pub(crate) fn want_again(&mut self) {
        let postponed = std::mem::take(&mut self.postponed);
        let known = postponed.into_iter().filter(|contract| self.incoming.contains_key(contract));
        self.wanted.extend(known.collect::<Vec<_>>());
    }

    /// Whether ends may be forced in block `head`, after a try that came to nothing.
    pub(crate) fn may_force(&mut self, head: BlockNumber, patience: BlockNumber) -> bool {
        let may = self.forced_in.is_none_or(|last| head >= last.saturating_add(patience.max(1)));
        if may {
            self.forced_in = Some(head);
        }
        may
    }

    /// What has become of own changes. Says whether it was one of these.
    pub(crate) fn note(&mut self, change: ChangeId, became: Became) -> bool {
        let is_asked = match became {
            Became::Agreed => self.asked.remove(&change).is_some() || self.given_up.contains(&change),
            Became::Not(_) => self.unask(change),
            Became::Undone => self.asked.contains_key(&change) || self.given_up.contains(&change),
        };
        let is_offer = self.outgoing.contains_key(&change);
        if let Became::Not(why) = became {
            self.miss(change, why);
        }
        is_asked || is_offer
    }

    /// Whether any change can be one of these.
    pub(crate) fn has_changes(&self) -> bool {
        !self.asked.is_empty() || !self.given_up.is_empty() || !self.outgoing.is_empty()
    }
}
