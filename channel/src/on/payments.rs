//! Payments that are made once, however often they are asked for (R6.3c).

use crate::{
    channel::Channel,
    error::Misuse,
    input::Context,
    phase::Phase,
    state::{Change, IdempotencyKey, Payment},
    step::Step,
};
use std::collections::{BTreeMap, btree_map::Entry};

impl Channel {
    /// A payment that is made once, however often it is asked for (R6.3c).
    /// Transition: open -> open
    pub(crate) fn on_user_pay_once(
        &mut self,
        key: IdempotencyKey,
        payment: Payment,
        ctx: &Context<'_>,
    ) -> Result<Step, Misuse> {
        if self.payments.knows(&key, &payment)? {
            return Ok(Step::default());
        }
        let (me, state) = (self.me, self.phase.name());
        let Phase::Open(live) = &mut self.phase else { return Err(Misuse::NotOpen { state }) };
        let change = [Change::Transfer(payment.clone())];
        live.check_changes(me, &change, &self.config, ctx)?;
        let id = live.next_change();
        change.into_iter().for_each(|change| live.outgoing.enqueue(me, change));
        self.payments.begin(id, key, payment);
        // It is kept from here on, though its round may not be proposed yet.
        Ok(Step::commit(Vec::new()).and(self.advance(ctx)))
    }

    /// Several at once: those that are not known by their keys wait for the next round, all of them or none, and are kept by one commit. The others
    /// are what they were.
    /// Transition: open -> open
    pub(crate) fn on_user_pay_all_once(
        &mut self,
        payments: Vec<(IdempotencyKey, Payment)>,
        ctx: &Context<'_>,
    ) -> Result<Step, Misuse> {
        let unknown = self.unknown(payments)?;
        if unknown.is_empty() {
            return Ok(Step::default());
        }
        let (me, state) = (self.me, self.phase.name());
        let Phase::Open(live) = &mut self.phase else { return Err(Misuse::NotOpen { state }) };
        let changes: Vec<_> = unknown.iter().map(|(_, payment)| Change::Transfer(payment.clone())).collect();
        live.check_changes(me, &changes, &self.config, ctx)?;
        for ((key, payment), change) in unknown.into_iter().zip(changes) {
            let id = live.next_change();
            live.outgoing.enqueue(me, change);
            self.payments.begin(id, key, payment);
        }
        // They are kept from here on, though their round may not be proposed yet.
        Ok(Step::commit(Vec::new()).and(self.advance(ctx)))
    }

    /// Those that no payment of this channel has the key of, in their order, each once.
    fn unknown(&self, payments: Vec<(IdempotencyKey, Payment)>) -> Result<Vec<(IdempotencyKey, Payment)>, Misuse> {
        let mut asked: BTreeMap<IdempotencyKey, Payment> = BTreeMap::new();
        let mut unknown = Vec::new();
        for (key, payment) in payments {
            if self.payments.knows(&key, &payment)? {
                continue;
            }
            match asked.entry(key) {
                Entry::Occupied(other) if *other.get() == payment => {}
                Entry::Occupied(other) => return Err(Misuse::KeyTwice { key: other.key().clone() }),
                Entry::Vacant(place) => {
                    unknown.push((place.key().clone(), payment.clone()));
                    let _new = place.insert(payment);
                }
            }
        }
        Ok(unknown)
    }
}
