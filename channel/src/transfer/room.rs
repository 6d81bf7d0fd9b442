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

mod wants;

pub(crate) use wants::Became;

use super::{
    done::Done,
    limits::TransferLimits,
    row::{Failure, Incoming, IncomingEnd, Intent, Outgoing, Progress, TransferEvent, TransferId, TransferRow},
};
use crate::{
    error::Misuse,
    state::{ChangeId, FailReason, IdempotencyKey, MAX_KEY, Offer, TransferTerms},
};
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

/// The transfers of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transfers {
    /// What each side lets its peer offer.
    limits: Pair<TransferLimits>,
    incoming: BTreeMap<ContractId, Incoming>,
    incoming_amount: Amount,
    outgoing: BTreeMap<ChangeId, Outgoing>,
    /// Own transfers that may hold coins, and how many.
    open: BTreeSet<ChangeId>,
    open_amount: Amount,
    by_key: BTreeMap<IdempotencyKey, ChangeId>,
    by_contract: BTreeMap<ContractId, ChangeId>,
    by_lock: BTreeSet<(HashLock, ChangeId)>,
    by_expiry: BTreeSet<(BlockNumber, TransferId)>,
    /// Premiums, by their contracts, with those of their transfers: they end together.
    premiums: BTreeMap<ContractId, ContractId>,
    /// Transfers to the peer that nothing is known of any more, with their expiries: what is left of rows that were forgotten too soon.
    orphans: BTreeMap<ContractId, (BlockNumber, HashLock)>,
    /// Own transfers that are not in the agreed state, and not known to be absent for good.
    absent: BTreeSet<ChangeId>,
    /// Transfers that this side wants to end and has not asked for.
    wanted: BTreeSet<ContractId>,
    /// Refused, or not to be made in their turn: wanted again with the next block.
    postponed: BTreeSet<ContractId>,
    /// What waits for its round or for an answer to it.
    asked: BTreeMap<ChangeId, ContractId>,
    /// Ends that were given up, and that the peer may make all the same: it holds a signature for a round with them.
    given_up: BTreeSet<ChangeId>,
    /// Transfers of the peer's that are not in the agreed state, and how they ended there: over once no open round of one's own holds them (I4). Not stored:
    /// derived anew at a start.
    ending: BTreeMap<ContractId, IncomingEnd>,
    /// Own transfers to be forgotten once their coins have left them. Not stored: their router asks again after a start.
    forgetting: BTreeSet<ChangeId>,
    /// Rows that differ from what is stored.
    changed: BTreeSet<TransferId>,
    /// What the router is to be told.
    told: Vec<TransferEvent>,
    /// The block in which ends were forced last.
    forced_in: Option<BlockNumber>,
    /// The channel has ended, and this side's store was old: what became of own transfers is not known.
    is_untold: bool,
}

impl Transfers {
    /// None, under these limits.
    pub(crate) const fn new(limits: Pair<TransferLimits>) -> Self {
        Self {
            limits,
            incoming: BTreeMap::new(),
            incoming_amount: 0,
            outgoing: BTreeMap::new(),
            open: BTreeSet::new(),
            open_amount: 0,
            by_key: BTreeMap::new(),
            by_contract: BTreeMap::new(),
            by_lock: BTreeSet::new(),
            by_expiry: BTreeSet::new(),
            premiums: BTreeMap::new(),
            orphans: BTreeMap::new(),
            absent: BTreeSet::new(),
            wanted: BTreeSet::new(),
            postponed: BTreeSet::new(),
            asked: BTreeMap::new(),
            given_up: BTreeSet::new(),
            ending: BTreeMap::new(),
            forgetting: BTreeSet::new(),
            changed: BTreeSet::new(),
            told: Vec::new(),
            forced_in: None,
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
                TransferRow::Incoming(row) => !all.incoming.contains_key(&row.contract),
                TransferRow::Outgoing(row) => !all.outgoing.contains_key(&row.change) && all.find(&row.key).is_none(),
            };
            let _was_put = is_first
                && match row {
                    TransferRow::Incoming(row) => all.put_incoming(row),
                    TransferRow::Outgoing(row) => all.put_outgoing(row),
                };
        }
        let rows = all.len();
        for (id, contract) in contracts.iter().filter(|(_, contract)| contract.is_transfer()) {
            let is_known = all.incoming.contains_key(id) || all.premiums.contains_key(id);
            let transfer = decode_exact::<ConditionalTransfer>(&contract.state);
            if let Ok(transfer) = transfer
                && !is_known
                && transfer.payee == me
            {
                let _first = all.put_incoming(wordless(*id, contract.balance, transfer));
            }
        }
        all.join(me, contracts);
        (all, rows)
    }

    /// Holds rows that were stored against the contracts beside them.
    fn join(&mut self, me: Party, contracts: &Contracts) {
        self.changed.clear();
        let ended: Vec<_> = self.outgoing.values().filter(|row| row.is_over(contracts)).map(|row| row.change).collect();
        ended.into_iter().for_each(|id| self.close(id));
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

    pub(crate) const fn incoming(&self) -> &BTreeMap<ContractId, Incoming> {
        &self.incoming
    }

    pub(crate) const fn outgoing(&self) -> &BTreeMap<ChangeId, Outgoing> {
        &self.outgoing
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.incoming.len().saturating_add(self.outgoing.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn row(&self, id: TransferId) -> Option<TransferRow> {
        match id {
            TransferId::Incoming(contract) => self.incoming.get(&contract).cloned().map(TransferRow::Incoming),
            TransferId::Outgoing(change) => self.outgoing.get(&change).cloned().map(TransferRow::Outgoing),
        }
    }

    /// Rows that have changed since this was asked last.
    pub(crate) fn take_changed(&mut self) -> Vec<TransferId> {
        std::mem::take(&mut self.changed).into_iter().collect()
    }

    /// What the router is to be told since this was asked last.
    pub(crate) fn take_told(&mut self) -> Vec<TransferEvent> {
        std::mem::take(&mut self.told)
    }

    pub(crate) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What the transfers that the peer has offered hold.
    pub(crate) fn incoming_open(&self) -> (usize, Amount) {
        (self.incoming.len(), self.incoming_amount)
    }

    /// An own transfer, by its contract.
    pub(crate) fn outgoing_of(&self, contract: &ContractId) -> Option<&Outgoing> {
        self.outgoing.get(self.by_contract.get(contract)?)
    }

    /// An own transfer, by its key.
    pub(crate) fn find(&self, key: &IdempotencyKey) -> Option<&Outgoing> {
        self.outgoing.get(self.by_key.get(key)?)
    }

    fn put_incoming(&mut self, row: Incoming) -> bool {
        let contract = row.contract;
        self.incoming_amount = self.incoming_amount.saturating_add(row.terms.amount);
        let _new = self.by_expiry.insert((row.terms.expiry, TransferId::Incoming(contract)));
        self.premiums.extend(row.premium.map(|premium| (premium, contract)));
        if row.intent != Intent::Undecided {
            let _new = self.wanted.insert(contract);
        }
        let _new = self.changed.insert(TransferId::Incoming(contract));
        self.incoming.insert(contract, row).is_none()
    }

    fn put_outgoing(&mut self, row: Outgoing) -> bool {
        let id = row.change;
        let terms = row.offer.terms;
        self.by_contract.extend(row.contract.map(|contract| (contract, id)));
        self.premiums.extend(row.premium.zip(row.contract));
        self.open_amount = self.open_amount.saturating_add(terms.amount);
        let _new = self.open.insert(id);
        let _new = self.by_lock.insert((terms.lock, id));
        let _new = self.by_expiry.insert((terms.expiry, TransferId::Outgoing(id)));
        if matches!(row.progress, Progress::Absent(_)) {
            let _new = self.absent.insert(id);
        }
        let is_first_of_key = self.by_key.insert(row.key.clone(), id).is_none();
        let _new = self.changed.insert(TransferId::Outgoing(id));
        self.outgoing.insert(id, row).is_none() && is_first_of_key
    }

    /// A transfer of the peer's is not in the agreed state any more.
    fn end_incoming(&mut self, contract: ContractId, end: IncomingEnd) {
        if self.incoming.contains_key(&contract) {
            self.unwant(&contract);
            let _first = self.ending.entry(contract).or_insert(end);
        }
    }

    /// After a start: transfers of the peer's that these contracts, which are agreed, do not hold.
    pub(crate) fn note_missing(&mut self, contracts: &Contracts) {
        let missing = self.incoming.values().filter(|row| contracts.get(&row.contract).is_none());
        let end = |intent: &Intent| match intent {
            Intent::Claim(_) => IncomingEnd::Claimed,
            Intent::Fail(_) => IncomingEnd::Failed,
            Intent::Undecided => IncomingEnd::Superseded,
        };
        let missing: Vec<_> = missing.map(|row| (row.contract, end(&row.intent))).collect();
        missing.into_iter().for_each(|(contract, how)| self.end_incoming(contract, how));
    }

    /// Transfers of the peer's that are over for good, where `may_count` says of a contract whether the peer holds a signature for a state with it. Those that
    /// are in these contracts again go on as they were: what was wanted of them still is. So does one whose premium alone is left.
    pub(crate) fn settle_ended(&mut self, contracts: &Contracts, may_count: impl Fn(&ContractId) -> bool) {
        let ending: Vec<_> = self.ending.iter().map(|(contract, end)| (*contract, *end)).collect();
        for (contract, end) in ending {
            let premium = self.incoming.get(&contract).and_then(|row| row.premium);
            let is_there = |id: &ContractId| contracts.get(id).is_some();
            if is_there(&contract) {
                let _back = self.ending.remove(&contract);
                self.want_decided(contract);
            } else if premium.as_ref().is_some_and(is_there) {
                self.want_decided(contract);
            } else if !may_count(&contract) && !premium.as_ref().is_some_and(&may_count) {
                let _over = self.ending.remove(&contract);
                self.erase_incoming(contract, end);
            }
        }
    }

    fn want_decided(&mut self, contract: ContractId) {
        if self.incoming.get(&contract).is_some_and(|row| row.intent != Intent::Undecided) {
            self.want(contract);
        }
    }

    fn erase_incoming(&mut self, contract: ContractId, end: IncomingEnd) {
        let Some(row) = self.incoming.remove(&contract) else { return };
        self.incoming_amount = self.incoming_amount.saturating_sub(row.terms.amount);
        let _gone = self.by_expiry.remove(&(row.terms.expiry, TransferId::Incoming(contract)));
        if let Some(premium) = row.premium {
            let _gone = self.premiums.remove(&premium);
        }
        self.unwant(&contract);
        let _new = self.changed.insert(TransferId::Incoming(contract));
        self.told.push(TransferEvent::Ended { contract, end });
    }

    /// An own transfer holds no coins any more.
    fn close(&mut self, id: ChangeId) {
        if self.open.remove(&id)
            && let Some(row) = self.outgoing.get(&id)
        {
            self.open_amount = self.open_amount.saturating_sub(row.offer.terms.amount);
        }
    }

    /// A transfer to the peer that no row tells of is refunded once it has expired.
    fn adopt_orphan(&mut self, me: Party, id: &ContractId, contracts: &Contracts) {
        if self.by_contract.contains_key(id) {
            return;
        }
        let transfer = contracts.get(id).and_then(|contract| decode_exact::<ConditionalTransfer>(&contract.state).ok());
        let Some(transfer) = transfer.filter(|transfer| transfer.payee != me) else { return };
        if !self.premiums.contains_key(id) {
            let _none = self.orphans.insert(*id, (transfer.expiry, transfer.lock));
        }
    }

    fn unwant(&mut self, contract: &ContractId) {
        let _gone = self.wanted.remove(contract);
        let _gone = self.postponed.remove(contract);
    }

    /// Whether an offer was asked for by this key before.
    pub(crate) fn knows(&self, key: &IdempotencyKey, offer: &Offer) -> Result<bool, Misuse> {
        let got = key.0.len();
        if !(1..=MAX_KEY).contains(&got) {
            return Err(Misuse::KeyLength { got, max: MAX_KEY });
        }
        match self.find(key) {
            None => Ok(false),
            Some(known) if known.offer == *offer => Ok(true),
            Some(known) => Err(Misuse::KeyInUse { key: key.clone(), by: known.change }),
        }
    }

    /// Whether the peer's limits leave room for another offer of `me`.
    pub(crate) fn check_room(&self, me: Party, offer: &Offer) -> Result<(), Misuse> {
        let limits = self.limits[me.peer()];
        let open = u32::try_from(self.open.len()).unwrap_or(u32::MAX);
        let amount = self.open_amount.checked_add(offer.terms.amount);
        if offer.terms.amount < limits.min_amount
            || open >= limits.max_open
            || amount.is_none_or(|sum| sum > limits.max_amount)
        {
            return Err(Misuse::TransferLimits { open, limits });
        }
        Ok(())
    }

    /// An own offer begins.
    pub(crate) fn begin(&mut self, change: ChangeId, key: IdempotencyKey, offer: Offer) {
        let _first = self.put_outgoing(Outgoing {
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
        let Some(row) = self.find(key) else { return Ok(()) };
        if !row.is_decided() {
            return Err(Misuse::TransferOpen { key: key.clone() });
        }
        let id = row.change;
        let _new = self.forgetting.insert(id);
        Ok(())
    }

    /// Forgets what is to be forgotten and has left these contracts, which are agreed.
    pub(crate) fn forget_over(
        &mut self,
        contracts: Option<&Contracts>,
        may_count: impl Fn(ChangeId, Option<ContractId>) -> bool,
    ) {
        let has_left = |row: &Outgoing| contracts.is_none_or(|contracts| row.is_over(contracts));
        let is_over = |row: &Outgoing| has_left(row) && !may_count(row.change, row.contract);
        let over: Vec<_> =
            self.forgetting.iter().filter(|id| self.outgoing.get(id).is_none_or(is_over)).copied().collect();
        for id in over {
            let _gone = self.forgetting.remove(&id);
            self.erase(id);
        }
    }

    fn erase(&mut self, id: ChangeId) {
        self.close(id);
        let Some(row) = self.outgoing.remove(&id) else { return };
        let terms = row.offer.terms;
        let _gone = self.by_key.remove(&row.key);
        let _gone = self.by_lock.remove(&(terms.lock, id));
        let _gone = self.by_expiry.remove(&(terms.expiry, TransferId::Outgoing(id)));
        if let Some(contract) = row.contract {
            let _gone = self.by_contract.remove(&contract);
        }
        if let Some(premium) = row.premium {
            let _gone = self.premiums.remove(&premium);
        }
        let _new = self.changed.insert(TransferId::Outgoing(id));
    }

    /// This side wants to be paid.
    pub(crate) fn claim(&mut self, contract: ContractId, preimage: Preimage) -> Result<(), Misuse> {
        let row = self.incoming.get_mut(&contract).ok_or(Misuse::TransferUnknown(contract))?;
        if preimage.lock(row.terms.lock.function, &Native) != row.terms.lock {
            return Err(Misuse::WrongPreimage(contract));
        }
        match row.intent {
            Intent::Claim(_) => return Ok(()),
            Intent::Fail(_) => return Err(Misuse::TransferDecided(contract)),
            Intent::Undecided => row.intent = Intent::Claim(preimage),
        }
        let _new = self.wanted.insert(contract);
        let _new = self.changed.insert(TransferId::Incoming(contract));
        Ok(())
    }

    /// This side gives a transfer back. Never where the pre-image is known (I4).
    pub(crate) fn fail(&mut self, contract: ContractId, reason: FailReason) -> Result<(), Misuse> {
        reason.check().map_err(Misuse::Change)?;
        let row = self.incoming.get_mut(&contract).ok_or(Misuse::TransferUnknown(contract))?;
        match row.intent {
            Intent::Claim(_) => return Err(Misuse::TransferDecided(contract)),
            Intent::Fail(_) => return Ok(()),
            Intent::Undecided => row.intent = Intent::Fail(reason),
        }
        let _new = self.wanted.insert(contract);
        let _new = self.changed.insert(TransferId::Incoming(contract));
        Ok(())
    }

    /// The peer has shown the pre-image of an own transfer, whether its round is agreed to or not (I3).
    pub(crate) fn learn_of(&mut self, contract: &ContractId, preimage: &Preimage) {
        if let Some(id) = self.by_contract.get(self.main_of(contract)).copied() {
            self.fulfil(id, preimage);
        }
    }

    /// The transfer that a contract is of: the contract itself, but for a premium's.
    fn main_of<'a>(&'a self, contract: &'a ContractId) -> &'a ContractId {
        self.premiums.get(contract).unwrap_or(contract)
    }

    /// A transfer of the peer's was claimed, whoever did it: where its premium is left, that is this side's by the same pre-image, whatever was decided.
    fn note_claimed(&mut self, contract: &ContractId, preimage: &Preimage) {
        let Some(row) = self.incoming.get_mut(contract).filter(|row| row.premium.is_some()) else { return };
        if !matches!(row.intent, Intent::Claim(_)) {
            row.intent = Intent::Claim(*preimage);
            let _new = self.changed.insert(TransferId::Incoming(*contract));
        }
    }

    /// The pre-image of a lock is known, from wherever: every own transfer with it is fulfilled (A4).
    pub(crate) fn learn(&mut self, lock: &HashLock, preimage: &Preimage) {
        if preimage.lock(lock.function, &Native) != *lock {
            return;
        }
        let ids: Vec<_> =
            self.by_lock.range((*lock, ChangeId(0))..=(*lock, ChangeId(u64::MAX))).map(|(_, id)| *id).collect();
        ids.into_iter().for_each(|id| self.fulfil(id, preimage));
    }

    fn fulfil(&mut self, id: ChangeId, preimage: &Preimage) {
        let Some(row) = self.outgoing.get_mut(&id) else { return };
        // What is absent for good is: its payee has no use of the pre-image.
        if matches!(row.progress, Progress::Fulfilled(_) | Progress::Failed(_)) {
            return;
        }
        row.progress = Progress::Fulfilled(*preimage);
        let _gone = self.absent.remove(&id);
        let _new = self.changed.insert(TransferId::Outgoing(id));
        self.told.push(TransferEvent::Fulfilled { key: row.key.clone(), preimage: *preimage });
    }

    /// Takes what rounds and forced steps have done, in their order.
    pub(crate) fn take_done(&mut self, me: Party, done: Vec<Done>) {
        for done in done {
            match done {
                Done::Offered { by, change, contract, premium, offer } => {
                    if by == me {
                        self.accepted(change, (contract, premium));
                    } else {
                        let Offer { terms, instruction, .. } = offer;
                        let intent = Intent::Undecided;
                        let row = Incoming { contract, premium, terms, instruction, intent };
                        if self.put_incoming(row.clone()) {
                            self.told.push(TransferEvent::Offered(row));
                        }
                    }
                }
                Done::Claimed { contract, preimage } => {
                    self.note_claimed(&contract, &preimage);
                    self.end_incoming(contract, IncomingEnd::Claimed);
                    self.learn_of(&contract, &preimage);
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
        let Some(id) = change else { return };
        let Some(row) = self.outgoing.get_mut(&id) else { return };
        let before = row.contract.replace(contract);
        if let Some(before) = std::mem::replace(&mut row.premium, premium) {
            let _gone = self.premiums.remove(&before);
        }
        self.premiums.extend(premium.map(|premium| (premium, contract)));
        if matches!(row.progress, Progress::Proposed | Progress::Absent(_)) {
            row.progress = Progress::Offered;
            self.told.push(TransferEvent::Accepted { key: row.key.clone(), contract });
        }
        if self.open.insert(id) {
            self.open_amount = self.open_amount.saturating_add(row.offer.terms.amount);
        }
        let _gone = self.absent.remove(&id);
        if let Some(before) = before {
            let _gone = self.by_contract.remove(&before);
        }
        let _none = self.by_contract.insert(contract, id);
        let _new = self.changed.insert(TransferId::Outgoing(id));
    }

    /// An own transfer is not in the agreed state any more.
    fn left(&mut self, contract: &ContractId, why: Failure) {
        let Some(id) = self.by_contract.get(contract).copied() else { return };
        self.unwant(contract);
        self.miss(id, why);
        if self.outgoing.get(&id).is_some_and(Outgoing::is_decided) {
            self.close(id);
        }
    }

    /// An own transfer is not in the agreed state.
    fn miss(&mut self, id: ChangeId, why: Failure) {
        let Some(row) = self.outgoing.get_mut(&id) else { return };
        if matches!(row.progress, Progress::Proposed | Progress::Offered) {
            row.progress = Progress::Absent(why);
            let _new = self.absent.insert(id);
            let _new = self.changed.insert(TransferId::Outgoing(id));
        }
    }

    /// Holds the rows against the agreed contracts, of which `changed` are others than before.
    pub(crate) fn reconcile(&mut self, me: Party, changed: &[ContractId], now: &Contracts) {
        for id in changed {
            let Some(contract) = now.get(id) else {
                self.end_incoming(*id, IncomingEnd::Superseded);
                self.left(id, Failure::Dropped);
                let _gone = self.orphans.remove(id);
                continue;
            };
            let is_known = self.incoming.contains_key(id) || self.premiums.contains_key(id);
            let Ok(transfer) = decode_exact::<ConditionalTransfer>(&contract.state) else { continue };
            if !contract.is_transfer() || is_known {
                continue;
            }
            if transfer.payee == me {
                // The state that it is in counts again, and what the payer said of it is forgotten.
                let row = wordless(*id, contract.balance, transfer);
                let _first = self.put_incoming(row.clone());
                self.told.push(TransferEvent::Offered(row));
            } else if let Some(change) = self.by_contract.get(id).copied() {
                let premium = self.outgoing.get(&change).and_then(|row| row.premium);
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
        self.outgoing.values().any(|row| !row.is_decided())
    }

    fn contract_of(&self, id: ChangeId) -> Option<ContractId> {
        self.outgoing.get(&id).and_then(|row| row.contract)
    }

    /// Own transfers that are absent for good, now that it can be told: `may_count` says whether the peer holds a signature for a state with such a change or
    /// contract (I4).
    pub(crate) fn settle_absent(&mut self, may_count: impl Fn(ChangeId, Option<ContractId>) -> bool) {
        let gone: Vec<_> = self.absent.iter().copied().filter(|id| !may_count(*id, self.contract_of(*id))).collect();
        for id in gone {
            let _gone = self.absent.remove(&id);
            self.close(id);
            let Some(row) = self.outgoing.get_mut(&id) else { continue };
            if let Progress::Absent(why) = &row.progress {
                let why = why.clone();
                row.progress = Progress::Failed(why.clone());
                let _new = self.changed.insert(TransferId::Outgoing(id));
                self.told.push(TransferEvent::Failed { key: row.key.clone(), why });
            }
        }
    }

    /// An own transfer has expired, and the registry was proved silent.
    pub(crate) fn expire(&mut self, id: ChangeId) {
        let Some(row) = self.outgoing.get_mut(&id) else { return };
        if row.is_decided() {
            return;
        }
        row.progress = Progress::Failed(Failure::Expired);
        self.told.push(TransferEvent::Failed { key: row.key.clone(), why: Failure::Expired });
        let _gone = self.absent.remove(&id);
        let _new = self.changed.insert(TransferId::Outgoing(id));
    }

    /// Own offers that wait, but for those of which this is true, are not made any more, for this reason.
    pub(crate) fn drop_unproposed(&mut self, why: &Failure, is_proposed: impl Fn(ChangeId) -> bool) {
        let waiting = self.outgoing.values().filter(|row| row.progress == Progress::Proposed).map(|row| row.change);
        let dropped: Vec<_> = waiting.filter(|id| !is_proposed(*id)).collect();
        dropped.into_iter().for_each(|id| self.miss(id, why.clone()));
    }
}

/// A transfer of the peer's of which nothing is known but its contract.
const fn wordless(contract: ContractId, amount: Amount, transfer: ConditionalTransfer) -> Incoming {
    let terms = TransferTerms { amount, lock: transfer.lock, expiry: transfer.expiry };
    Incoming { contract, premium: None, terms, instruction: Vec::new(), intent: Intent::Undecided }
}
