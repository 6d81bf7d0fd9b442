//! What a story has come to, against what its user was told.

use super::{
    AMOUNT, Amount, Contracts, DIGITS, Event, Fate, INCOMING, Initiator, RefusalCode, Rejection, SHARE, Storm,
    WaitReason, count_of, deed_of, name, secret,
};

impl Storm {
    /// Transfers whose calls were not made as they ended.
    fn wrong_transfers(&self, contracts: &Contracts, count: u64, used_up: usize) -> Vec<String> {
        let (side, mut wrong) = (&self.world.sides[Initiator], Vec::new());
        for (at, contract) in self.transfers.iter().enumerate() {
            let row = side.machine().outgoing_transfer(&name(u8::try_from(at).unwrap() + 1));
            let has_calls = row.is_none_or(|row| !row.offer.calls.is_none());
            let is_open = contracts.get(contract).is_some();
            let times = count / DIGITS[at] % 10;
            if has_calls
                && (times > 1
                    || (used_up == 0 && times != u64::from(!is_open) && side.config.force_transfers_after.is_some()))
            {
                wrong.push(format!("transfer {at} open {is_open}: {times}"));
            }
        }
        wrong
    }

    /// Changes that were not told of to their end, though the peer `talks`.
    fn wrong_fates(&self, talks: bool) -> Vec<String> {
        let (side, mut wrong) = (&self.world.sides[Initiator], Vec::new());
        for (id, fate) in self.fates() {
            let is_lost = side.machine().may_be_made(id)
                && matches!(fate, Fate::Refused | Fate::Dropped | Fate::Failed | Fate::ForceFailed);
            if is_lost && talks {
                wrong.push(format!("{id:?} told {fate:?} may be made for ever"));
            }
            let is_keyed = side.keys.contains_key(&id);
            if fate == Fate::Pending && is_keyed && talks {
                wrong.push(format!("{id:?} is pending"));
            }
        }
        wrong
    }

    /// What is wrong in the end.
    pub(super) fn judge(self, talks: bool, late: usize) -> Result<(), String> {
        let side = &self.world.sides[Initiator];
        let used_up = side.was_told(|event| {
            matches!(event, Event::ForceFailed { rejection: Rejection::ForcedStepsUsedUp { .. }, .. })
        });
        let is_told_stale =
            side.was_told(|event| matches!(event, Event::Refused { code: RefusalCode::STALE_STORE, .. })) > 0;
        let mut wrong = Vec::new();
        let grown = side.events.len() - late;
        if grown > 12 {
            wrong.push(format!("events grow by {grown}: {:?}", side.events.last()));
        }
        let paid: Amount = side.paid().iter().map(|(payment, _)| payment.amount).sum();
        let live = side.machine().contracts().cloned().filter(|_| !side.is_over());
        let is_stale = side.machine().status().stale_store;
        if let Some(contracts) = &live {
            let count = count_of(&self.world, Initiator, self.counter);
            for (id, fate) in self.fates() {
                let Some(digit) = self.calls.get(&id) else { continue };
                let times = count / digit % 10;
                let right = u64::from(matches!(fate, Fate::Paid(_) | Fate::Forced(_)));
                if times != right {
                    wrong.push(format!("{id:?} told {fate:?}, made {times} times"));
                }
            }
            wrong.extend(self.wrong_transfers(contracts, count, used_up));
            let open: Amount =
                self.transfers.iter().filter(|id| contracts.get(id).is_some()).count() as Amount * AMOUNT;
            let is_gone = contracts.get(&self.incoming).is_none();
            // After its expiry the peer takes it back.
            let is_taken_back = is_gone
                && self.world.chain.preimages.get(&secret(3).1).is_none_or(|(_, at)| *at >= self.expiry)
                && side.balances().ours < SHARE - paid - open + INCOMING;
            let got = if is_gone && !is_taken_back { INCOMING } else { 0 };
            let expected = SHARE - paid - open + got;
            if side.state() == "open" && side.balances().ours != expected && !is_stale {
                wrong.push(format!("has {}, told {expected}", side.balances().ours));
            }
            let owner = deed_of(&self.world, Initiator, self.deed);
            let shown = self.world.chain.preimages.get(&secret(3).1).map(|(_, at)| *at);
            if used_up == 0
                && got > 0
                && shown.is_some_and(|at| at < self.expiry)
                && owner != Some((Initiator, false))
                && side.config.force_transfers_after.is_some()
            {
                wrong.push(format!("paid, and the deed is {owner:?}"));
            }
            let status = side.machine().status();
            if talks && !is_told_stale && used_up == 0 && (status.pending > 0 || status.forcing) {
                let is_waiting = matches!(status.waits_for, Some(WaitReason::PeerLock | WaitReason::PeerReplay));
                if !is_waiting {
                    wrong.push(format!("pending {} forcing {} {:?}", status.pending, status.forcing, status.waits_for));
                }
            }
            wrong.extend(self.wrong_fates(talks && !is_told_stale));
        } else if side.closed().is_some() {
            let wealth = self.world.chain.wealth(Initiator);
            let outside = crate::harness::chain::FUNDS - SHARE;
            let got = wealth.saturating_sub(outside);
            let least = SHARE - paid;
            if got < least {
                wrong.push(format!("closed: has {got}, told at least {least}"));
            }
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "{wrong:?} talks {talks} used up {used_up} live {}\n{:?}\n{:?}",
                live.is_some(),
                self.fates(),
                self.log
            ))
        }
    }
}
