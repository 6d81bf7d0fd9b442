//! Payments that were asked for by a key of the user's own: kept from before they leave until they are known to be made or not, and some time
//! beyond, so that none is ever made twice (R6.3c).
//!
//! ```text
//!   pay once --> Pending, committed --> told: Paid, Refused, .. --> the MAX_REMEMBERED that ended last are kept
//!       ^                |
//!       |                '-- a crash: it waits for its round again
//!       '-- asked again: the same payment answers, whatever has become of it
//! ```
//!
//! Each lies in the store beside the channel, as contracts do: a commit costs what has changed.

use crate::{
    effect::Effect,
    error::Misuse,
    event::{Event, EventNumber},
    keys::was_asked,
    message::RefusalCode,
    state::{ChangeFault, ChangeId, IdempotencyKey, OwnChanges, Payment},
};
use protocol::Round;
use scale::{Decode, Encode};
use std::collections::{BTreeMap, BTreeSet};

/// How many payments with a key a channel remembers beyond those that are still on their way. Where more are known to be made or not, those that
/// ended first are forgotten: asked for again by its key, such a one would be made again.
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
    /// Only the peer can say whether it was made, or will be: it still holds a signature for it (R6.1), this side's store is old (R6.6a), or the
    /// channel's end was not seen (R6.9b). Where the peer can make no use of its signature any more, it is dropped.
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
    ended: Ended,
    /// Those that are unknown as long as the peer may use its signature.
    may_appear: BTreeSet<ChangeId>,
    /// Those that differ from what is stored.
    changed: BTreeSet<ChangeId>,
}

/// In which order payments ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ended {
    /// By when they did, counted from the start of this process.
    by_turn: BTreeMap<u64, ChangeId>,
    turns: BTreeMap<ChangeId, u64>,
    next: u64,
}

impl Ended {
    /// This one has ended now, whatever was known of it before.
    fn push(&mut self, change: ChangeId) {
        if let Some(before) = self.turns.insert(change, self.next) {
            let _was = self.by_turn.remove(&before);
        }
        let _none = self.by_turn.insert(self.next, change);
        self.next = self.next.wrapping_add(1);
    }

    /// Forgets the one that ended first.
    fn pop(&mut self) -> Option<ChangeId> {
        let (_, first) = self.by_turn.pop_first()?;
        let _turn = self.turns.remove(&first);
        Some(first)
    }

    fn len(&self) -> usize {
        self.by_turn.len()
    }
}

impl PaymentOutcome {
    /// Orders what is in the store by when it ended, as far as that can be told: what was made by its round. What was not made comes before that:
    /// whoever asks for it again does not pay twice.
    const fn turn(self) -> (bool, Round) {
        match self {
            Self::Paid(round) | Self::Undone(round) => (true, round),
            Self::Unknown => (true, Round::MAX),
            Self::Pending | Self::Refused(_) | Self::Dropped | Self::Failed(_) => (false, 0),
        }
    }
}

impl Payments {
    /// As they were stored; none where two of them have one id or one key.
    pub(crate) fn stored(records: impl IntoIterator<Item = PaymentRecord>) -> Option<Self> {
        let mut all = Self::default();
        let mut ended = Vec::new();
        for record in records {
            let first_of_key = all.by_key.insert(record.key.clone()?, record.change).is_none();
            if record.outcome != PaymentOutcome::Pending {
                ended.push((record.outcome.turn(), record.change));
            }
            let first_of_id = all.records.insert(record.change, record).is_none();
            if !first_of_key || !first_of_id {
                return None;
            }
        }
        ended.sort_unstable();
        ended.into_iter().for_each(|(_, change)| all.ended.push(change));
        Some(all)
    }

    /// Notes for which of those that are unknown the peer may use its signature, after they were read.
    pub(crate) fn watch(&mut self, may_appear: impl Fn(ChangeId) -> bool) {
        let unknown = self.records.values().filter(|record| record.outcome == PaymentOutcome::Unknown);
        self.may_appear = unknown.map(|record| record.change).filter(|id| may_appear(*id)).collect();
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
        was_asked(key, self.find(key).map(|known| (known.change, known.payment == *payment)))
    }

    pub(crate) fn begin(&mut self, change: ChangeId, key: IdempotencyKey, payment: Payment) {
        let _none = self.by_key.insert(key.clone(), change);
        let record = PaymentRecord { change, key: Some(key), payment, outcome: PaymentOutcome::Pending };
        let _none = self.records.insert(change, record);
        let _new = self.changed.insert(change);
    }

    /// Notes what becomes of payments, as the user is told, and adds their keys to that. What was not made is unknown where nothing is known of the
    /// peer's use of its signatures (`all_unknown`), or where it `may_appear` yet. Says whether there is something to commit.
    pub(crate) fn note(
        &mut self,
        effects: &mut [Effect],
        all_unknown: bool,
        may_appear: impl Fn(ChangeId) -> bool,
    ) -> bool {
        if self.records.is_empty() {
            return false;
        }
        let unmade = |outcome| {
            let may_appear = &may_appear;
            move |id| if all_unknown || may_appear(id) { PaymentOutcome::Unknown } else { outcome }
        };
        for effect in effects {
            let Effect::Deliver { number: EventNumber::UNNUMBERED, event } = effect else { continue };
            match event {
                Event::Paid { payments, round } => {
                    // Of what was undone, and is made again, a round has no references.
                    if payments.iter().any(|own| own.reference.is_empty()) {
                        self.refer(payments);
                    }
                    self.end(payments, |_| PaymentOutcome::Paid(*round));
                }
                Event::Refused { payments, code } => self.end(payments, unmade(PaymentOutcome::Refused(*code))),
                Event::Dropped { payments } => self.end(payments, unmade(PaymentOutcome::Dropped)),
                Event::Failed { changes, fault } => self.end(changes, unmade(PaymentOutcome::Failed(*fault))),
                Event::Undone { changes, round } => {
                    self.refer(changes);
                    self.end(changes, unmade(PaymentOutcome::Undone(*round)));
                }
                _ => {}
            }
        }
        if all_unknown {
            self.may_appear.clear();
        } else {
            self.resolve(may_appear);
        }
        self.forget();
        !self.changed.is_empty()
    }

    /// What cannot appear any more is not made.
    fn resolve(&mut self, may_appear: impl Fn(ChangeId) -> bool) {
        let gone: Vec<_> = self.may_appear.iter().copied().filter(|id| !may_appear(*id)).collect();
        for id in gone {
            let _was = self.may_appear.remove(&id);
            if let Some(record) = self.records.get_mut(&id) {
                record.outcome = PaymentOutcome::Dropped;
                let _new = self.changed.insert(id);
            }
        }
    }

    /// Adds the references that are known here.
    fn refer(&self, changes: &mut OwnChanges) {
        let known = |id| self.records.get(&id).map(|record| record.payment.reference.as_slice());
        *changes = changes.iter().map(|own| (own.id, known(own.id).unwrap_or(own.reference))).collect();
    }

    fn end(&mut self, changes: &mut OwnChanges, outcome: impl Fn(ChangeId) -> PaymentOutcome) {
        let ids = changes.ids();
        let (Some(&lowest), Some(&highest)) = (ids.iter().min(), ids.iter().max()) else { return };
        let mut named = Vec::new();
        for (id, record) in self.records.range_mut(lowest..=highest) {
            let Some(place) = ids.binary_search(id).ok().or_else(|| ids.iter().position(|other| other == id)) else {
                continue;
            };
            record.outcome = outcome(*id);
            let _changed = match record.outcome {
                PaymentOutcome::Unknown => self.may_appear.insert(*id),
                _ => self.may_appear.remove(id),
            };
            named.extend(record.key.clone().map(|key| (place, key)));
            let _new = self.changed.insert(*id);
            self.ended.push(*id);
        }
        named.sort_unstable_by_key(|(place, _)| *place);
        named.into_iter().for_each(|(place, key)| changes.name(place, key));
    }

    fn forget(&mut self) {
        while self.ended.len() > MAX_REMEMBERED
            && let Some(oldest) = self.ended.pop()
        {
            let _unknown = self.may_appear.remove(&oldest);
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

    /// As a step tells of it, not numbered yet.
    const fn deliver(event: Event) -> Effect {
        Effect::Deliver { number: EventNumber::UNNUMBERED, event }
    }

    fn paid(id: ChangeId) -> Effect {
        let payments = [(id, &b"r"[..])].into_iter().collect();
        deliver(Event::Paid { payments, round: 2 })
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
            assert!(payments.note(&mut [paid(ChangeId(id))], false, |_| false));
        }
        assert_eq!(payments.len(), MAX_REMEMBERED + 1);
        payments.begin(ChangeId(count + 1), key(count + 1), payment());
        let _all = payments.take_changed();
        assert!(payments.note(&mut [paid(ChangeId(count + 1))], false, |_| false));
        assert_eq!(payments.find(&key(0)).unwrap().outcome, PaymentOutcome::Pending);
        assert_eq!(payments.find(&key(1)), None, "the oldest that is made");
        assert_eq!(payments.find(&key(2)).unwrap().outcome, PaymentOutcome::Paid(2));
        assert_eq!(payments.take_changed(), vec![ChangeId(1), ChangeId(count + 1)], "its row goes as well");
    }

    /// With the key of its id.
    fn record(id: u64, outcome: PaymentOutcome) -> PaymentRecord {
        let key = IdempotencyKey::from(id.to_be_bytes());
        PaymentRecord { change: ChangeId(id), key: Some(key), payment: payment(), outcome }
    }

    #[test]
    fn what_was_made_last_is_forgotten_last_also_after_a_restart() {
        let count = u64::try_from(MAX_REMEMBERED).unwrap();
        let refused = (2..count).map(|id| record(id, PaymentOutcome::Refused(RefusalCode::VALIDATION)));
        // The one with the lower id was made after the other one.
        let made = [record(0, PaymentOutcome::Paid(9)), record(1, PaymentOutcome::Paid(5))];
        let mut payments = Payments::stored(refused.chain(made)).unwrap();
        let forgotten: Vec<_> = std::iter::from_fn(|| payments.ended.pop()).collect();
        assert_eq!(forgotten.first(), Some(&ChangeId(2)));
        assert_eq!(forgotten[MAX_REMEMBERED - 2..], [ChangeId(1), ChangeId(0)]);
    }

    #[test]
    fn what_the_peer_can_still_sign_is_unknown_until_it_cannot() {
        let key = IdempotencyKey::from(7_u64.to_be_bytes());
        let refused = || {
            let payments = [(ChangeId(7), &b"r"[..])].into_iter().collect();
            [deliver(Event::Refused { payments, code: RefusalCode::STALE_STORE })]
        };
        let mut payments = Payments::default();
        payments.begin(ChangeId(7), key.clone(), payment());
        assert!(payments.note(&mut refused(), false, |_| true));
        let outcome = |payments: &Payments| payments.find(&key).unwrap().outcome;
        assert_eq!(outcome(&payments), PaymentOutcome::Unknown);
        let _all = payments.take_changed();
        assert!(!payments.note(&mut [], false, |_| true));
        let mut again = Payments::stored([record(7, PaymentOutcome::Unknown)]).unwrap();
        again.watch(|_| true);
        for mut payments in [payments, again] {
            assert!(payments.note(&mut [], false, |_| false), "that is committed");
            assert_eq!(outcome(&payments), PaymentOutcome::Dropped);
        }
    }

    #[test]
    fn what_is_told_of_a_payment_has_its_key() {
        let mut payments = Payments::default();
        payments.begin(ChangeId(7), "seven".into(), payment());
        let told: OwnChanges =
            [(ChangeId(6), &b"x"[..]), (ChangeId(7), b"r"), (ChangeId(8), b"y")].into_iter().collect();
        let mut effects = [deliver(Event::Paid { payments: told, round: 4 })];
        assert!(payments.note(&mut effects, false, |_| false));
        let [Effect::Deliver { event: Event::Paid { payments: told, .. }, .. }] = &effects else { panic!() };
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
