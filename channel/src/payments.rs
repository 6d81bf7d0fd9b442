//! Payments that were asked for by a key of the user's own: kept from before they leave until they are known to be made or not, and some time
//! beyond, so that none is ever made twice (R6.3c).
//!
//! ```text
//!   pay once --> Pending, committed --> told: Paid, Refused, .. --> the MAX_REMEMBERED newest of these are kept
//!       ^                |
//!       |                '-- a crash: it waits for its round again
//!       '-- asked again: the same payment answers, whatever has become of it
//! ```
//!
//! Each lies in the store beside the channel, as contracts do: a commit costs what has changed.

use crate::{
    effect::{Effect, Event},
    error::Misuse,
    message::RefusalCode,
    state::{ChangeFault, ChangeId, IdempotencyKey, OwnChanges, Payment},
};
use protocol::Round;
use scale::{Decode, Encode};
use std::collections::{BTreeMap, BTreeSet};

/// How many payments with a key a channel remembers beyond those that are still on their way. Where more are known to be made or not, the oldest
/// are forgotten: asked for again by its key, such a one would be made again.
pub const MAX_REMEMBERED: usize = 16_384;

/// What has become of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PaymentOutcome {
    /// It waits for its round, or for the peer's answer.
    #[codec(index = 0)]
    Pending,
    /// It is agreed, in this round.
    #[codec(index = 1)]
    Paid(Round),
    /// The peer refused it ([`Event::Refused`]).
    #[codec(index = 2)]
    Refused(RefusalCode),
    /// The channel closes: it is not made ([`Event::Dropped`]).
    #[codec(index = 3)]
    Dropped,
    /// It could not be made when its turn came ([`Event::Failed`]).
    #[codec(index = 4)]
    Failed(ChangeFault),
    /// It was made, and another own round has taken its place on chain ([`Event::Undone`]).
    #[codec(index = 5)]
    Undone(Round),
    /// This side's store is old (R6.6a): only the peer can say whether it was made.
    #[codec(index = 6)]
    Unknown,
}

/// A payment of one's own that the channel knows of.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PaymentRecord {
    /// Its id.
    pub change: ChangeId,
    /// The key it was asked for with; payments without one are known only while they are on their way.
    pub key: Option<IdempotencyKey>,
    /// What is paid.
    pub payment: Payment,
    /// What has become of it.
    pub outcome: PaymentOutcome,
}

/// The payments with a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Payments {
    records: BTreeMap<ChangeId, PaymentRecord>,
    by_key: BTreeMap<IdempotencyKey, ChangeId>,
    /// Those that are not pending.
    ended: BTreeSet<ChangeId>,
    /// Those that differ from what is stored.
    changed: BTreeSet<ChangeId>,
}

impl Payments {
    /// As they were stored; none where two of them have one id or one key.
    pub(crate) fn stored(records: impl IntoIterator<Item = PaymentRecord>) -> Option<Self> {
        let mut all = Self::default();
        for record in records {
            let first_of_key = all.by_key.insert(record.key.clone()?, record.change).is_none();
            if record.outcome != PaymentOutcome::Pending {
                let _new = all.ended.insert(record.change);
            }
            let first_of_id = all.records.insert(record.change, record).is_none();
            if !first_of_key || !first_of_id {
                return None;
            }
        }
        Some(all)
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) const fn all(&self) -> &BTreeMap<ChangeId, PaymentRecord> {
        &self.records
    }

    /// Those that wait for their round or for an answer to it, with their ids, which ascend.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (ChangeId, Payment)> {
        let pending = self.records.values().filter(|record| record.outcome == PaymentOutcome::Pending);
        pending.map(|record| (record.change, record.payment.clone()))
    }

    pub(crate) fn find(&self, key: &IdempotencyKey) -> Option<&PaymentRecord> {
        self.records.get(self.by_key.get(key)?)
    }

    /// Whether this payment was asked for by this key before.
    pub(crate) fn knows(&self, key: &IdempotencyKey, payment: &Payment) -> Result<bool, Misuse> {
        match self.find(key) {
            None => Ok(false),
            Some(known) if known.payment == *payment => Ok(true),
            Some(PaymentRecord { change, .. }) => Err(Misuse::KeyTaken { key: key.clone(), by: *change }),
        }
    }

    pub(crate) fn begin(&mut self, change: ChangeId, key: IdempotencyKey, payment: Payment) {
        let _none = self.by_key.insert(key.clone(), change);
        let record = PaymentRecord { change, key: Some(key), payment, outcome: PaymentOutcome::Pending };
        let _none = self.records.insert(change, record);
        let _new = self.changed.insert(change);
    }

    /// Notes what becomes of payments, as the user is told, and adds their keys to that. Says whether there is something to commit.
    pub(crate) fn note(&mut self, effects: &mut [Effect], store_is_old: bool) -> bool {
        if self.records.is_empty() {
            return false;
        }
        for effect in effects {
            let Effect::Notify(event) = effect else { continue };
            match event {
                Event::Paid { payments, round } => self.end(payments, PaymentOutcome::Paid(*round)),
                Event::Refused { payments, code } => self.end(payments, PaymentOutcome::Refused(*code)),
                Event::Dropped { payments } if store_is_old => self.end(payments, PaymentOutcome::Unknown),
                Event::Dropped { payments } => self.end(payments, PaymentOutcome::Dropped),
                Event::Failed { changes, fault } => self.end(changes, PaymentOutcome::Failed(*fault)),
                Event::Undone { changes, round } => {
                    self.refer(changes);
                    self.end(changes, PaymentOutcome::Undone(*round));
                }
                _ => {}
            }
        }
        self.forget();
        !self.changed.is_empty()
    }

    /// Adds the references that are known here.
    fn refer(&self, changes: &mut OwnChanges) {
        let known = |id| self.records.get(&id).map(|record| record.payment.reference.as_slice());
        *changes = changes.iter().map(|own| (own.id, known(own.id).unwrap_or(own.reference))).collect();
    }

    fn end(&mut self, changes: &mut OwnChanges, outcome: PaymentOutcome) {
        let ids = changes.ids();
        let (Some(&lowest), Some(&highest)) = (ids.iter().min(), ids.iter().max()) else { return };
        let mut named = Vec::new();
        for (id, record) in self.records.range_mut(lowest..=highest) {
            let Some(place) = ids.binary_search(id).ok().or_else(|| ids.iter().position(|other| other == id)) else {
                continue;
            };
            record.outcome = outcome;
            named.extend(record.key.clone().map(|key| (place, key)));
            let _new = self.changed.insert(*id);
            let _new = self.ended.insert(*id);
        }
        named.sort_unstable_by_key(|(place, _)| *place);
        named.into_iter().for_each(|(place, key)| changes.name(place, key));
    }

    fn forget(&mut self) {
        while self.ended.len() > MAX_REMEMBERED
            && let Some(oldest) = self.ended.pop_first()
        {
            if let Some(key) = self.records.remove(&oldest).and_then(|record| record.key) {
                let _gone = self.by_key.remove(&key);
            }
            let _new = self.changed.insert(oldest);
        }
    }

    /// Those that have changed since this was asked last.
    pub(crate) fn take_changed(&mut self) -> Vec<ChangeId> {
        std::mem::take(&mut self.changed).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment() -> Payment {
        Payment { amount: 1, reference: b"r".to_vec() }
    }

    fn paid(id: ChangeId) -> Effect {
        let payments = [(id, &b"r"[..])].into_iter().collect();
        Effect::Notify(Event::Paid { payments, round: 2 })
    }

    #[test]
    fn the_oldest_that_are_made_are_forgotten_first_and_none_that_is_on_its_way() {
        let mut payments = Payments::default();
        let count = u64::try_from(MAX_REMEMBERED).unwrap();
        let key = |id: u64| IdempotencyKey::from(id.to_be_bytes());
        for id in 0..=count {
            payments.begin(ChangeId(id), key(id), payment());
        }
        for id in 1..=count {
            assert!(payments.note(&mut [paid(ChangeId(id))], false));
        }
        assert_eq!(payments.len(), MAX_REMEMBERED + 1);
        payments.begin(ChangeId(count + 1), key(count + 1), payment());
        let _all = payments.take_changed();
        assert!(payments.note(&mut [paid(ChangeId(count + 1))], false));
        assert_eq!(payments.find(&key(0)).unwrap().outcome, PaymentOutcome::Pending);
        assert_eq!(payments.find(&key(1)), None, "the oldest that is made");
        assert_eq!(payments.find(&key(2)).unwrap().outcome, PaymentOutcome::Paid(2));
        assert_eq!(payments.take_changed(), vec![ChangeId(1), ChangeId(count + 1)], "its row goes as well");
    }

    #[test]
    fn what_is_told_of_a_payment_has_its_key() {
        let mut payments = Payments::default();
        payments.begin(ChangeId(7), "seven".into(), payment());
        let told: OwnChanges =
            [(ChangeId(6), &b"x"[..]), (ChangeId(7), b"r"), (ChangeId(8), b"y")].into_iter().collect();
        let mut effects = [Effect::Notify(Event::Paid { payments: told, round: 4 })];
        assert!(payments.note(&mut effects, false));
        let [Effect::Notify(Event::Paid { payments: told, .. })] = &effects else { panic!() };
        assert_eq!(told.iter().map(|own| own.key).collect::<Vec<_>>(), vec![None, Some(&"seven".into()), None]);
    }

    #[test]
    fn rows_that_contradict_each_other_are_damage() {
        let record = |change, key: &str| PaymentRecord {
            change: ChangeId(change),
            key: Some(key.into()),
            payment: payment(),
            outcome: PaymentOutcome::Pending,
        };
        assert!(Payments::stored([record(1, "a"), record(2, "b")]).is_some());
        assert_eq!(Payments::stored([record(1, "a"), record(2, "a")]), None);
        assert_eq!(Payments::stored([record(1, "a"), record(1, "b")]), None);
        assert_eq!(Payments::stored([PaymentRecord { key: None, ..record(1, "a") }]), None);
    }
}
