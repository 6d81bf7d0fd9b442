//! Which changes a side asks for to have its transfers end, and what becomes of them (R8.3d).

use super::{Transfers, wants::Became};
use crate::{
    state::{Change, ChangeId, IdempotencyKey, LockedCalls, State, TransferTerms},
    transfer::{
        book::Margins,
        row::{Intent, OutgoingTransfer, Progress, TransferEvent, TransferId},
    },
};
use protocol::{
    BlockNumber,
    contracts::{
        ContractId,
        conditional::{ConditionalInput, HashLock},
    },
};

/// What a side asks for: a change, for the transfer with this contract.
pub(crate) type Wanted = (ContractId, Change);

impl Transfers {
    /// Has the router told of something that is in no row.
    pub(crate) fn tell(&mut self, event: TransferEvent) {
        self.news.tell(event);
    }

    /// The key of the own transfer that this change makes.
    pub(crate) fn key_of(&self, change: ChangeId) -> Option<IdempotencyKey> {
        self.outgoing.get(change).map(|row| row.key.clone())
    }

    /// Transfers whose expiry is at most `until`, with it.
    pub(crate) fn due(&self, until: BlockNumber) -> Vec<TransferId> {
        self.by_expiry.iter().take_while(|(expiry, _)| *expiry <= until).map(|(_, id)| *id).collect()
    }

    /// Whether an own offer that expires before this block is not agreed: told without a look at what waits.
    pub(crate) fn has_proposed_before(&self, expiry: BlockNumber) -> bool {
        let is_proposed = |id: &TransferId| match id {
            TransferId::Outgoing(change) => {
                self.outgoing.get(*change).is_some_and(|row| row.progress == Progress::Proposed)
            }
            TransferId::Incoming(_) => false,
        };
        self.by_expiry.iter().take_while(|(of, _)| *of < expiry).any(|(_, id)| is_proposed(id))
    }

    /// The least expiry above this block.
    fn next_expiry(&self, above: BlockNumber) -> Option<BlockNumber> {
        let first = (above.saturating_add(1), TransferId::Incoming(ContractId([0; 32])));
        self.by_expiry.range(first..).next().map(|(expiry, _)| *expiry)
    }

    /// The last block in which an operation may count: one that is signed stops everything else, and is over before an open transfer needs an answer (R8.3f).
    pub(crate) fn operations_until(&self, head: BlockNumber, margins: Margins) -> BlockNumber {
        let before = |expiry: BlockNumber| expiry.saturating_sub(margins.forward()).saturating_sub(1);
        self.next_expiry(head).map_or(BlockNumber::MAX, before)
    }

    /// Transfers to the peer that no row tells of, with their expiries and locks.
    pub(crate) fn orphans(&self) -> impl Iterator<Item = (ContractId, BlockNumber, HashLock)> {
        self.orphans.iter().map(|(contract, (expiry, lock))| (*contract, *expiry, *lock))
    }

    /// There is nothing to be asked for of a transfer.
    pub(crate) fn want_nothing(&mut self, contract: &ContractId) {
        self.wants.remove(contract);
    }

    /// This side wants a transfer to end as it has to, where it has not asked for that.
    pub(crate) fn want(&mut self, contract: ContractId) {
        self.wants.insert_unasked(contract);
    }

    /// What is wanted and not asked for, what expires first in front: as it is forced.
    pub(crate) fn wanted(&self, agreed: &State) -> Vec<Wanted> {
        let wanted = self.wants.wanted().filter_map(|contract| Some((*contract, self.end_of(agreed, *contract)?)));
        let mut wanted: Vec<_> = wanted.collect();
        wanted.sort_by_key(|(contract, _)| self.any_terms_of(contract).map(|terms| terms.expiry));
        wanted
    }

    /// How this side ends a transfer that is in the agreed state, with the calls of apps that go with it; none where it does not want to.
    pub(crate) fn end_of(&self, agreed: &State, contract: ContractId) -> Option<Change> {
        let calls_with = |end: ConditionalInput| {
            self.calls_to_make(agreed, &contract, &end).into_iter().map(|(_, call)| call).collect()
        };
        match self.incoming.get(&contract).map(|row| &row.intent) {
            None => Some(Change::Refund { contract, calls: calls_with(ConditionalInput::Refund) }),
            Some(Intent::Claim(preimage)) => {
                let calls = calls_with(ConditionalInput::Claim(*preimage));
                Some(Change::Claim { contract, preimage: *preimage, calls })
            }
            Some(Intent::Fail(reason)) => {
                Some(Change::Fail { contract, reason: reason.clone(), calls: calls_with(ConditionalInput::Refund) })
            }
            Some(Intent::Undecided) => None,
        }
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

    /// The calls of apps that go with a transfer, of either side, but not with its premium.
    pub(crate) fn calls_of(&self, contract: &ContractId) -> Option<&LockedCalls> {
        let incoming = self.incoming.get(contract).map(|row| &row.calls);
        incoming.or_else(|| self.outgoing_of(contract).map(|row| &row.offer.calls))
    }

    /// Own transfers with this lock.
    pub(crate) fn outgoing_with(&self, lock: &HashLock) -> impl Iterator<Item = &OutgoingTransfer> {
        self.outgoing.with_lock(lock).into_iter().filter_map(|id| self.outgoing.get(id))
    }

    /// This change is asked for.
    pub(crate) fn ask(&mut self, change: ChangeId, contract: ContractId) {
        let contract = *self.main_of(&contract);
        self.wants.ask(change, contract);
    }

    /// The changes that were asked for because of transfers.
    pub(crate) fn asked_for(&self) -> impl Iterator<Item = ChangeId> {
        self.wants.known()
    }

    /// After a start: a round that was signed ends a transfer, or makes a call that goes with one.
    pub(crate) fn note_signed(&mut self, change: ChangeId, contract: ContractId, is_proposed: bool) {
        if is_proposed {
            self.ask(change, contract);
        } else {
            self.give_up(change);
        }
    }

    /// An end that is not asked for any more, as long as an open round of one's own may hold it.
    pub(crate) fn give_up(&mut self, change: ChangeId) {
        self.wants.give_up(change);
    }

    /// Forgets which ends were given up or agreed, but for those of which this is true.
    pub(crate) fn retain_given_up(&mut self, may_appear: impl Fn(ChangeId) -> bool) {
        self.wants.retain_given_up(may_appear);
        self.asked_calls.retain(|id| self.wants.knows(id));
    }

    /// A new block: what was refused is wanted again.
    pub(crate) fn want_again(&mut self, agreed: Option<&State>) {
        let incoming = &self.incoming;
        let has_ended = |contract: &ContractId| agreed.is_some_and(|agreed| agreed.marks.has_ended(contract));
        self.wants.want_again(|contract| incoming.contains(contract) || has_ended(contract));
    }

    /// Whether ends may be forced in block `head`, after a try that came to nothing.
    pub(crate) fn may_force(&self, head: BlockNumber, patience: BlockNumber) -> bool {
        self.wants.may_force(head, patience)
    }

    /// Ends are forced in block `head`.
    pub(crate) const fn note_try(&mut self, head: BlockNumber) {
        self.wants.note_try(head);
    }

    /// What has become of own changes. Says whether it was one of these.
    pub(crate) fn note(&mut self, change: ChangeId, became: Became) -> bool {
        let is_asked = self.wants.note(change, &became);
        let is_offer = self.outgoing.get(change).is_some();
        if let Became::Not(why) = became {
            self.outgoing.miss(change, why, &mut self.news);
        }
        is_asked || is_offer
    }

    /// Whether any change can be one of these.
    pub(crate) fn has_changes(&self) -> bool {
        !self.wants.is_empty() || !self.outgoing().is_empty()
    }
}
