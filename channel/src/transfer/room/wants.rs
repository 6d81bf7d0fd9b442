//! What a side wants of its transfers and has not got (R8.3d).

use super::left_out::LeftOut;
use crate::{message::RefusalCode, state::ChangeId, transfer::row::Failure};
use protocol::{BlockNumber, call::ForcedCall, contracts::ContractId};
use std::collections::{BTreeMap, BTreeSet};

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

/// What is wanted, by the contract of the transfer, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wants {
    /// Transfers that this side wants to end and has not asked for.
    wanted: BTreeSet<ContractId>,
    /// Refused, or not to be made in their turn: wanted again with the next block.
    postponed: BTreeSet<ContractId>,
    /// What waits for its round or for an answer to it.
    asked: BTreeMap<ChangeId, ContractId>,
    /// Ends that were given up, and that the peer may make all the same: it holds a signature for a round with them. And ends that were agreed and may be undone.
    given_up: BTreeSet<ChangeId>,
    /// The block in which ends were forced last.
    forced_in: Option<BlockNumber>,
    /// Calls without which forced steps are made.
    left_out: LeftOut,
}

impl Wants {
    pub(super) const fn new() -> Self {
        Self {
            wanted: BTreeSet::new(),
            postponed: BTreeSet::new(),
            asked: BTreeMap::new(),
            given_up: BTreeSet::new(),
            forced_in: None,
            left_out: LeftOut::new(),
        }
    }

    pub(super) fn insert(&mut self, contract: ContractId) {
        let _new = self.wanted.insert(contract);
    }

    pub(super) fn remove(&mut self, contract: &ContractId) {
        let _gone = self.wanted.remove(contract);
        let _gone = self.postponed.remove(contract);
    }

    /// Wants it, where it is not asked for and was not refused in this block.
    pub(super) fn insert_unasked(&mut self, contract: ContractId) {
        let is_asked = self.asked.values().any(|asked| *asked == contract);
        if !is_asked && !self.postponed.contains(&contract) {
            self.insert(contract);
        }
    }

    pub(super) fn ask(&mut self, change: ChangeId, contract: ContractId) {
        let _gone = self.wanted.remove(&contract);
        let _none = self.asked.insert(change, contract);
    }

    /// A change that was asked for is in no round and no queue any more: where it is still wanted it is with the next block.
    fn unask(&mut self, change: ChangeId) -> bool {
        let Some(contract) = self.asked.remove(&change) else { return self.given_up.contains(&change) };
        let _new = self.postponed.insert(contract);
        let _new = self.given_up.insert(change);
        true
    }

    /// A change that was asked for is made up anew.
    pub(super) fn want_anew(&mut self, change: ChangeId, is_signed: bool) {
        let _given_up = if is_signed { self.given_up.insert(change) } else { self.given_up.remove(&change) };
        if let Some(contract) = self.asked.remove(&change) {
            self.insert_unasked(contract);
        }
    }

    /// Whether this change was given up.
    pub(super) fn is_given_up(&self, change: ChangeId) -> bool {
        self.given_up.contains(&change) && !self.asked.contains_key(&change)
    }

    /// Whether this change waits for its round or for an answer to it.
    pub(super) fn waits_for(&self, change: ChangeId) -> bool {
        self.asked.contains_key(&change)
    }

    /// It is not asked for before the next block.
    pub(super) fn postpone(&mut self, contract: ContractId) {
        let _gone = self.wanted.remove(&contract);
        let _new = self.postponed.insert(contract);
    }

    /// What has become of a change. Whether it was one of these.
    pub(super) fn note(&mut self, change: ChangeId, became: &Became) -> bool {
        match became {
            Became::Agreed => {
                let is_known = self.asked.remove(&change).is_some() || self.given_up.contains(&change);
                if is_known {
                    // It may be undone.
                    let _new = self.given_up.insert(change);
                }
                is_known
            }
            Became::Not(_) => self.unask(change),
            Became::Undone => self.asked.contains_key(&change) || self.given_up.contains(&change),
        }
    }

    /// What is wanted and not asked for.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &ContractId> {
        self.wanted.iter()
    }

    /// An end that is not asked for any more, as long as an open round of one's own may hold it.
    pub(super) fn give_up(&mut self, change: ChangeId) {
        let _new = self.given_up.insert(change);
    }

    /// Forgets which ends were given up or agreed, but for those of which this is true.
    pub(super) fn retain_given_up(&mut self, may_appear: impl Fn(ChangeId) -> bool) {
        self.given_up.retain(|id| may_appear(*id));
    }

    /// A new block: what was refused is wanted again, where this is true of it.
    pub(super) fn want_again(&mut self, is_known: impl Fn(&ContractId) -> bool) {
        let postponed = std::mem::take(&mut self.postponed);
        self.wanted.extend(postponed.into_iter().filter(is_known));
    }

    /// Whether ends may be forced in block `head`, after a try that came to nothing.
    pub(super) fn may_force(&self, head: BlockNumber, patience: BlockNumber) -> bool {
        self.forced_in.is_none_or(|last| head >= last.saturating_add(patience.max(1)))
    }

    /// Ends are forced in block `head`.
    pub(super) const fn note_try(&mut self, head: BlockNumber) {
        self.forced_in = Some(head);
    }

    /// The chain has refused a step for this call: the next one is made without it, at once.
    pub(super) fn leave_out(&mut self, call: &ForcedCall) {
        self.left_out.insert(call);
        self.forced_in = None;
    }

    /// Whether forced steps are made without this call.
    pub(super) fn is_left_out(&self, call: &ForcedCall) -> bool {
        self.left_out.contains(call)
    }

    /// A forced step was made: what was left out may do something else now.
    pub(super) fn note_step(&mut self) {
        self.left_out.clear();
    }

    /// The changes that were asked for, or given up.
    pub(super) fn known(&self) -> impl Iterator<Item = ChangeId> {
        self.asked.keys().chain(&self.given_up).copied()
    }

    /// Whether this change was asked for, or given up.
    pub(super) fn knows(&self, change: ChangeId) -> bool {
        self.asked.contains_key(&change) || self.given_up.contains(&change)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.given_up.is_empty()
    }
}
