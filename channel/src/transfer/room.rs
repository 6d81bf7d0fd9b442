//! What a channel keeps of its conditional transfers: a row for each, stored beside the channel, and the indexes that are derived from the rows.
//!
//! ```text
//!   incoming: Undecided --claim / fail, by command--> wanted --> asked in a round --> gone with the agreed round
//!   outgoing: Proposed --agreed--> Offered --> Fulfilled (pre-image known) | Failed (irrevocably absent) --> forgotten, by command
//!                  '---- refused, superseded ----> Absent, as long as the peer holds a signature --> Failed
//! ```
//!
//! Invariants: an intent to claim is never taken back, and a pre-image that is known of an own transfer neither (I4); a row of one's own goes only when its owner
//! says so and its contract is gone (I5); at most one row has a key (I9). Nothing here is matched by a lock but pre-images (I10).

mod ask;
mod asked_calls;
mod incoming;
mod learning;
mod left;
mod left_out;
mod make_up;
mod news;
mod outgoing;
mod wants;

pub(crate) use left::QueuedEnd;
pub(crate) use wants::Became;

use super::{
    done::Done,
    limits::TransferLimits,
    row::{
        Failure, IncomingEnd, IncomingTransfer, Intent, OutgoingTransfer, Progress, TransferEvent, TransferId,
        TransferRow,
    },
};
use crate::{
    error::Misuse,
    state::{ChangeId, FailReason, IdempotencyKey, Offer, State},
};
use asked_calls::AskedCalls;
use incoming::IncomingRows;
use news::News;
use outgoing::OutgoingRows;
use protocol::{
    Amount, BlockNumber, Pair, Party,
    contracts::{
        ContractId, Contracts,
        conditional::{ConditionalTransfer, HashLock, Preimage},
    },
    crypto::Native,
    decode_exact,
};
use std::collections::{BTreeMap, BTreeSet};
use wants::Wants;

/// The transfers of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transfers {
    /// What each side lets its peer offer.
    limits: Pair<TransferLimits>,
    incoming: IncomingRows,
    outgoing: OutgoingRows,
    asked_calls: AskedCalls,
    wants: Wants,
    news: News,
    by_expiry: BTreeSet<(BlockNumber, TransferId)>,
    /// Premiums, by their contracts, with those of their transfers: they end together.
    premiums: BTreeMap<ContractId, ContractId>,
    /// Transfers to the peer that nothing is known of any more, with their expiries: what is left of rows that were forgotten too soon.
    orphans: BTreeMap<ContractId, (BlockNumber, HashLock)>,
    /// The channel has ended, and this side's store was old: what became of own transfers is not known.
    is_untold: bool,
}

impl Transfers {
    /// None, under these limits.
    pub(crate) const fn new(limits: Pair<TransferLimits>) -> Self {
        Self {
            limits,
            incoming: IncomingRows::new(),
            outgoing: OutgoingRows::new(),
            asked_calls: AskedCalls::new(),
            wants: Wants::new(),
            news: News::new(),
            by_expiry: BTreeSet::new(),
            premiums: BTreeMap::new(),
            orphans: BTreeMap::new(),
            is_untold: false,
        }
    }

    /// As they were stored beside these contracts; none where two rows contradict each other.
    pub(crate) fn stored(
        limits: Pair<TransferLimits>,
        rows: impl IntoIterator<Item = TransferRow>,
        me: Party,
        contracts: &Contracts,
    ) -> Option<Self> {
        let mut all = Self::new(limits);
        for row in rows {
            let is_first = match row {
                TransferRow::Incoming(row) => all.put_incoming(row),
                TransferRow::Outgoing(row) => all.put_outgoing(row),
            };
            if !is_first {
                return None;
            }
        }
        all.join(me, contracts);
        Some(all)
    }

    /// What is left of the rows that were stored beside these contracts, and how many there were. Transfers of the peer's that are in the contracts and have no
    /// row are there without the words of its router.
    pub(crate) fn salvaged(
        limits: Pair<TransferLimits>,
        rows: impl IntoIterator<Item = TransferRow>,
        me: Party,
        contracts: &Contracts,
    ) -> (Self, usize) {
        let mut all = Self::new(limits);
        for row in rows {
            let is_first = match &row {
                TransferRow::Incoming(row) => !all.incoming.contains(&row.contract),
                TransferRow::Outgoing(row) => all.outgoing.get(row.change).is_none() && all.find(&row.key).is_none(),
            };
            let _was_put = is_first
                && match row {
                    TransferRow::Incoming(row) => all.put_incoming(row),
                    TransferRow::Outgoing(row) => all.put_outgoing(row),
                };
        }
        let rows = all.len();
        for (id, contract) in contracts.iter().filter(|(_, contract)| contract.is_transfer()) {
            let is_known = all.incoming.contains(id) || all.premiums.contains_key(id);
            let transfer = decode_exact::<ConditionalTransfer>(&contract.state);
            if let Ok(transfer) = transfer
                && !is_known
                && transfer.payee == me
            {
                let _first = all.put_incoming(IncomingTransfer::wordless(*id, contract.balance, transfer));
            }
        }
        all.join(me, contracts);
        (all, rows)
    }

    /// Holds rows that were stored against the contracts beside them.
    fn join(&mut self, me: Party, contracts: &Contracts) {
        self.news.forget_changed();
        self.outgoing.close_over(contracts);
        let transfers = contracts.iter().filter(|(_, contract)| contract.is_transfer());
        let theirs: Vec<_> = transfers.map(|(id, _)| *id).collect();
        theirs.iter().for_each(|id| self.adopt_orphan(me, id, contracts));
    }

    pub(crate) const fn limits(&self) -> &Pair<TransferLimits> {
        &self.limits
    }

    pub(crate) const fn set_limits(&mut self, party: Party, limits: TransferLimits) {
        match party {
            Party::Initiator => self.limits.initiator = limits,
            Party::Responder => self.limits.responder = limits,
        }
    }

    pub(crate) const fn incoming(&self) -> &BTreeMap<ContractId, IncomingTransfer> {
        self.incoming.rows()
    }

    pub(crate) const fn outgoing(&self) -> &BTreeMap<ChangeId, OutgoingTransfer> {
        self.outgoing.rows()
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.incoming().len().saturating_add(self.outgoing().len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn row(&self, id: TransferId) -> Option<TransferRow> {
        match id {
            TransferId::Incoming(contract) => self.incoming.get(&contract).cloned().map(TransferRow::Incoming),
            TransferId::Outgoing(change) => self.outgoing.get(change).cloned().map(TransferRow::Outgoing),
        }
    }

    /// Rows that have changed since this was asked last.
    pub(crate) fn take_changed(&mut self) -> Vec<TransferId> {
        self.news.take_changed()
    }

    /// What the router is to be told since this was asked last.
    pub(crate) fn take_told(&mut self) -> Vec<TransferEvent> {
        self.news.take_told()
    }

    pub(crate) fn has_changed(&self) -> bool {
        self.news.has_changed()
    }

    /// What the transfers that the peer has offered hold.
    pub(crate) fn incoming_open(&self) -> (usize, Amount) {
        (self.incoming().len(), self.incoming.amount())
    }

    /// An own transfer, by its contract.
    pub(crate) fn outgoing_of(&self, contract: &ContractId) -> Option<&OutgoingTransfer> {
        self.outgoing.get(self.outgoing.id_of(contract)?)
    }

    /// An own transfer, by its key.
    pub(crate) fn find(&self, key: &IdempotencyKey) -> Option<&OutgoingTransfer> {
        self.outgoing.find(key)
    }

    fn put_incoming(&mut self, row: IncomingTransfer) -> bool {
        let contract = row.contract;
        let _new = self.by_expiry.insert((row.terms.expiry, TransferId::Incoming(contract)));
        self.premiums.extend(row.premium.map(|premium| (premium, contract)));
        if row.intent != Intent::Undecided {
            self.wants.insert(contract);
        }
        self.incoming.put(row, &mut self.news)
    }

    fn put_outgoing(&mut self, row: OutgoingTransfer) -> bool {
        let _new = self.by_expiry.insert((row.offer.terms.expiry, TransferId::Outgoing(row.change)));
        self.premiums.extend(row.premium.zip(row.contract));
        self.outgoing.put(row, &mut self.news)
    }

    /// A transfer of the peer's is not in the agreed state any more.
    fn end_incoming(&mut self, contract: ContractId, end: IncomingEnd) {
        if self.incoming.begin_to_end(contract, end) {
            self.wants.remove(&contract);
        }
    }

    /// A transfer of the peer's is not in the agreed state any more, and has ended so where nothing else is known of it.
    fn suppose_end(&mut self, contract: ContractId, end: IncomingEnd) {
        self.end_incoming(contract, self.incoming.end_of(&contract).unwrap_or(end));
    }

    /// After a start: transfers of the peer's that these contracts, which are agreed, do not hold.
    pub(crate) fn note_missing(&mut self, contracts: &Contracts) {
        let missing = self.incoming.missing(contracts);
        missing.into_iter().for_each(|(contract, how)| self.suppose_end(contract, how));
    }

    /// Transfers of the peer's that are over for good, where `may_count` says whether the peer holds a signature for a state of which something is true, and `may_end`
    /// whether it holds one for a round that ends a transfer in another way. Those that are in the agreed state again go on as they were: what was wanted of
    /// them still is. So does one of which its premium alone is left, or calls.
    pub(crate) fn settle_ended(
        &mut self,
        agreed: &State,
        may_count: impl Fn(&dyn Fn(&State) -> bool) -> bool,
        may_end: impl Fn(&ContractId, IncomingEnd) -> bool,
    ) {
        for (contract, end) in self.incoming.ending() {
            let premium = self.incoming.get(&contract).and_then(|row| row.premium);
            let is_left = |state: &State| {
                let is_there = |id: &ContractId| state.contracts.get(id).is_some();
                is_there(&contract) || premium.as_ref().is_some_and(is_there) || self.has_left(state, &contract)
            };
            let is_left_now = is_left(agreed);
            if !is_left_now && !may_count(&is_left) && !may_end(&contract, end) {
                self.erase_incoming(contract, end);
                continue;
            }
            if agreed.contracts.get(&contract).is_some() {
                self.incoming.come_back(&contract);
            }
            if is_left_now {
                self.want_decided(contract);
            }
        }
    }

    fn want_decided(&mut self, contract: ContractId) {
        if self.incoming.is_decided(&contract) {
            self.want(contract);
        }
    }

    fn erase_incoming(&mut self, contract: ContractId, end: IncomingEnd) {
        let Some(row) = self.incoming.remove(&contract, &mut self.news) else { return };
        let _gone = self.by_expiry.remove(&(row.terms.expiry, TransferId::Incoming(contract)));
        if let Some(premium) = row.premium {
            let _gone = self.premiums.remove(&premium);
        }
        self.wants.remove(&contract);
        self.news.tell(TransferEvent::Ended { contract, end });
    }

    /// A transfer to the peer that no row tells of is refunded once it has expired.
    fn adopt_orphan(&mut self, me: Party, id: &ContractId, contracts: &Contracts) {
        if self.outgoing.id_of(id).is_some() {
            return;
        }
        let transfer = contracts.get(id).and_then(|contract| decode_exact::<ConditionalTransfer>(&contract.state).ok());
        let Some(transfer) = transfer.filter(|transfer| transfer.payee != me) else { return };
        if !self.premiums.contains_key(id) {
            let _none = self.orphans.insert(*id, (transfer.expiry, transfer.lock));
        }
    }

    /// Whether an offer was asked for by this key before.
    pub(crate) fn knows(&self, key: &IdempotencyKey, offer: &Offer) -> Result<bool, Misuse> {
        self.outgoing.knows(key, offer)
    }

    /// Whether the peer's limits leave room for another offer of `me`.
    pub(crate) fn check_room(&self, me: Party, offer: &Offer, best: BlockNumber) -> Result<(), Misuse> {
        self.outgoing.check_room(self.limits[me.peer()], offer, best)
    }

    /// An own offer begins.
    pub(crate) fn begin(&mut self, change: ChangeId, key: IdempotencyKey, offer: Offer) {
        let _first = self.put_outgoing(OutgoingTransfer {
            change,
            key,
            offer,
            contract: None,
            premium: None,
            progress: Progress::Proposed,
        });
    }

    /// An own transfer that has come to its end is to be forgotten.
    pub(crate) fn forget(&mut self, key: &IdempotencyKey) -> Result<(), Misuse> {
        self.outgoing.forget(key)
    }

    /// Forgets what is to be forgotten and of which nothing is left in the agreed state, where there is one, nor in any that may count.
    pub(crate) fn forget_over(
        &mut self,
        agreed: Option<&State>,
        may_count: impl Fn(ChangeId, &dyn Fn(&State) -> bool) -> bool,
    ) {
        let is_over = |row: &OutgoingTransfer| {
            let has_calls_left = |state: &State| row.contract.is_some_and(|contract| self.has_left(state, &contract));
            let is_over_in = |state: &State| row.is_over(&state.contracts) && !has_calls_left(state);
            agreed.is_none_or(is_over_in)
                && !may_count(row.change, &|state| row.is_in(&state.contracts) || has_calls_left(state))
        };
        for row in self.outgoing.forgotten(is_over) {
            let _row = self.outgoing.remove(row.change, &mut self.news);
            let _gone = self.by_expiry.remove(&(row.offer.terms.expiry, TransferId::Outgoing(row.change)));
            if let Some(premium) = row.premium {
                let _gone = self.premiums.remove(&premium);
            }
        }
    }

    /// This side wants to be paid.
    pub(crate) fn claim(&mut self, contract: ContractId, preimage: Preimage) -> Result<(), Misuse> {
        let row = self.incoming.get(&contract).ok_or(Misuse::TransferUnknown(contract))?;
        if preimage.lock(row.terms.lock.function, &Native) != row.terms.lock {
            return Err(Misuse::WrongPreimage(contract));
        }
        self.decide(contract, Intent::Claim(preimage))
    }

    /// This side gives a transfer back. Never where it has claimed it (I4).
    pub(crate) fn fail(&mut self, contract: ContractId, reason: FailReason) -> Result<(), Misuse> {
        reason.check().map_err(Misuse::Change)?;
        self.decide(contract, Intent::Fail(reason))
    }

    fn decide(&mut self, contract: ContractId, intent: Intent) -> Result<(), Misuse> {
        if self.incoming.decide(contract, intent, &mut self.news)? {
            self.wants.insert(contract);
        }
        Ok(())
    }

    /// The transfer that a contract is of: the contract itself, but for a premium's.
    fn main_of<'a>(&'a self, contract: &'a ContractId) -> &'a ContractId {
        self.premiums.get(contract).unwrap_or(contract)
    }

    /// Takes what rounds and forced steps have done, in their order.
    pub(crate) fn take_done(&mut self, me: Party, done: Vec<Done>) {
        for done in done {
            match done {
                Done::Offered { by, change, contract, premium, offer, fee } => {
                    if by == me {
                        self.accepted(change, (contract, premium));
                    } else {
                        let Offer { terms, calls, instruction, .. } = offer;
                        let intent = Intent::Undecided;
                        let row = IncomingTransfer { contract, premium, terms, calls, instruction, intent };
                        if self.put_incoming(row.clone()) {
                            if fee > 0 {
                                self.news.tell(TransferEvent::Prepaid { amount: fee });
                            }
                            self.news.tell(TransferEvent::Offered(row));
                        }
                    }
                }
                Done::Claimed { contract, preimage } => {
                    self.incoming.note_claimed(&contract, &preimage, &mut self.news);
                    self.end_incoming(contract, IncomingEnd::Claimed);
                    self.learn_of(&contract, &preimage);
                    if let Some(row) = self.outgoing_of(&contract) {
                        let key = row.key.clone();
                        self.news.tell(TransferEvent::Claimed { key });
                    }
                }
                Done::Failed { contract, reason } => {
                    self.end_incoming(contract, IncomingEnd::Failed);
                    self.left(&contract, Failure::ByPayee(reason));
                }
                Done::Refunded { contract } => {
                    self.end_incoming(contract, IncomingEnd::Refunded);
                    self.left(&contract, Failure::Expired);
                }
            }
        }
    }

    fn accepted(&mut self, change: Option<ChangeId>, (contract, premium): (ContractId, Option<ContractId>)) {
        let Some(id) = change.filter(|id| self.outgoing.get(*id).is_some()) else { return };
        if let Some(former) = self.outgoing.accept(id, (contract, premium), &mut self.news) {
            let _gone = self.premiums.remove(&former);
        }
        self.premiums.extend(premium.map(|premium| (premium, contract)));
    }

    /// An own transfer is not in the agreed state any more.
    fn left(&mut self, contract: &ContractId, why: Failure) {
        let Some(id) = self.outgoing.id_of(contract) else { return };
        self.wants.remove(contract);
        self.outgoing.leave(id, why, &mut self.news);
    }

    /// Holds the rows against the agreed contracts, of which `changed` are others than before.
    pub(crate) fn reconcile(&mut self, me: Party, changed: &[ContractId], now: &Contracts) {
        for id in changed {
            let Some(contract) = now.get(id) else {
                self.suppose_end(*id, IncomingEnd::Superseded);
                self.left(id, Failure::Dropped);
                let _gone = self.orphans.remove(id);
                continue;
            };
            let is_known = self.incoming.contains(id) || self.premiums.contains_key(id);
            let Ok(transfer) = decode_exact::<ConditionalTransfer>(&contract.state) else { continue };
            if !contract.is_transfer() || is_known {
                continue;
            }
            if transfer.payee == me {
                // The state that it is in counts again, and what the payer said of it is forgotten.
                let row = IncomingTransfer::wordless(*id, contract.balance, transfer);
                let _first = self.put_incoming(row.clone());
                self.news.tell(TransferEvent::Offered(row));
            } else if let Some(change) = self.outgoing.id_of(id) {
                let premium = self.outgoing.get(change).and_then(|row| row.premium);
                self.accepted(Some(change), (*id, premium));
            } else {
                self.adopt_orphan(me, id, now);
            }
        }
    }

    /// The channel has ended without telling what became of own transfers that are undecided.
    pub(crate) const fn leave_untold(&mut self) {
        self.is_untold = true;
    }

    /// Whether it has, see [`leave_untold`](Self::leave_untold).
    pub(crate) const fn is_untold(&self) -> bool {
        self.is_untold
    }

    /// Whether something is not known of own transfers.
    pub(crate) fn has_undecided(&self) -> bool {
        self.outgoing().values().any(|row| !row.is_decided())
    }

    /// Own transfers that are absent for good, now that it can be told: `may_count` says whether the peer holds a signature for a state with such a change or
    /// contract (I4).
    pub(crate) fn settle_absent(&mut self, may_count: impl Fn(ChangeId, Option<ContractId>) -> bool) {
        self.outgoing.settle_absent(may_count, &mut self.news);
    }

    /// An own transfer has expired, and the registry was proved silent.
    pub(crate) fn expire(&mut self, id: ChangeId) {
        self.outgoing.expire(id, &mut self.news);
    }

    /// Own offers that wait, but for those of which this is true, are not made any more, for this reason.
    pub(crate) fn drop_unproposed(&mut self, why: &Failure, is_proposed: impl Fn(ChangeId) -> bool) {
        self.outgoing.drop_unproposed(why, is_proposed, &mut self.news);
    }
}
