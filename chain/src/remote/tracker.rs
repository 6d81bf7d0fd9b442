//! Looks for sent transactions in every block that becomes final: the one judge of what became of them (R6.8). It does not matter over which
//! endpoint one was sent, nor whether that endpoint still remembers it.

use protocol::BlockNumber;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{mpsc, watch};

use crate::BlockRef;

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is extrinsic `index` of a final block.
    Included { block: BlockRef, index: u32 },
    /// Every block that could have taken it is final, and none did.
    Expired,
}

#[derive(Debug)]
pub(super) struct Tracker {
    state: Mutex<Waiters>,
    /// Every block up to this one was looked at, or nobody was waiting then.
    seen: watch::Sender<BlockNumber>,
    /// Counts those that began to wait, so that the looking wakes up.
    begun: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Waiters {
    waiting: HashMap<u64, Waiting>,
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    /// As it stands in a block's body: `0x..`.
    extrinsic: String,
    /// It is in no block up to this one.
    after: BlockNumber,
    last: BlockNumber,
    verdicts: mpsc::UnboundedSender<Verdict>,
}

/// Somebody waits for a verdict. Dropped, nobody does.
pub(super) struct Ticket {
    tracker: Arc<Tracker>,
    number: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let _decided = self.tracker.state().waiting.remove(&self.number);
    }
}

impl Tracker {
    pub(super) fn new(head: BlockNumber) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), seen: watch::Sender::new(head), begun: watch::Sender::new(0) })
    }

    /// Begins to look for a transaction that was signed just now and can be in a block after `after`, up to `last`. To be called before it is sent.
    /// Exactly one verdict is given.
    pub(super) fn look_for(
        self: &Arc<Self>,
        extrinsic: String,
        after: BlockNumber,
        last: BlockNumber,
        verdicts: mpsc::UnboundedSender<Verdict>,
    ) -> Ticket {
        let mut state = self.state();
        let number = state.next;
        state.next = number.wrapping_add(1);
        let _none = state.waiting.insert(number, Waiting { extrinsic, after, last, verdicts });
        drop(state);
        self.begun.send_modify(|begun| *begun = begun.wrapping_add(1));
        Ticket { tracker: Arc::clone(self), number }
    }

    /// Whatever comes after this block is looked at, once more or for the first time.
    pub(super) fn look_from(&self, number: BlockNumber) {
        self.seen.send_modify(|seen| *seen = number.min(*seen));
    }

    /// Up to which block everything has been looked at.
    pub(super) fn seen(&self) -> watch::Receiver<BlockNumber> {
        self.seen.subscribe()
    }

    /// Changes when somebody begins to wait.
    pub(super) fn begun(&self) -> watch::Receiver<u64> {
        self.begun.subscribe()
    }

    /// The next block to look at, `head` being final; none where there is none, or where nobody waits and it is passed over.
    pub(super) fn next(&self, head: BlockNumber) -> Option<BlockNumber> {
        // Whoever begins to wait while this is held has signed after `head` was final.
        let state = self.state();
        let mut seen = *self.seen.borrow();
        if seen > head {
            // An endpoint had made blocks up: those that are there are looked at, from the first on that can have what somebody waits for.
            seen = state.waiting.values().map(|waiting| waiting.after).fold(head, BlockNumber::min);
            let _was = self.seen.send_replace(seen);
        }
        if seen >= head {
            return None;
        }
        if state.waiting.is_empty() {
            let _was = self.seen.send_replace(head);
            return None;
        }
        seen.checked_add(1)
    }

    /// Gives verdicts for what is and is not in a final block.
    pub(super) fn judge(&self, block: BlockRef, extrinsics: &[String]) {
        let mut state = self.state();
        let places: HashMap<&str, usize> =
            extrinsics.iter().enumerate().map(|(at, text)| (text.as_str(), at)).collect();
        let decided: Vec<(u64, Verdict)> = state
            .waiting
            .iter()
            .filter_map(|(number, waiting)| {
                let place = places.get(waiting.extrinsic.as_str()).and_then(|at| u32::try_from(*at).ok());
                let expired = (block.number >= waiting.last).then_some(Verdict::Expired);
                let verdict = place.map(|index| Verdict::Included { block, index }).or(expired)?;
                Some((*number, verdict))
            })
            .collect();
        for (number, verdict) in decided {
            if let Some(waiting) = state.waiting.remove(&number) {
                let _gone = waiting.verdicts.send(verdict);
            }
        }
        let _was = self.seen.send_replace(block.number);
    }

    fn state(&self) -> MutexGuard<'_, Waiters> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Hash;

    fn look_for(tracker: &Arc<Tracker>, text: &str, last: BlockNumber) -> (Ticket, mpsc::UnboundedReceiver<Verdict>) {
        let (tell, told) = mpsc::unbounded_channel();
        let after = *tracker.seen().borrow();
        (tracker.look_for(text.into(), after, last, tell), told)
    }

    fn block(number: BlockNumber) -> BlockRef {
        BlockRef { number, hash: Hash([9; 32]) }
    }

    fn body(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_transaction_is_found_where_it_stands() {
        let tracker = Tracker::new(10);
        let (_ticket, mut decided) = look_for(&tracker, "0xaa", 73);
        assert_eq!(tracker.next(12), Some(11));
        tracker.judge(block(11), &body(&["0x00", "0xbb"]));
        assert!(decided.try_recv().is_err(), "not yet");
        assert_eq!(tracker.next(12), Some(12));
        tracker.judge(block(12), &body(&["0x00", "0xaa"]));
        assert_eq!(decided.try_recv(), Ok(Verdict::Included { block: block(12), index: 1 }));
        assert_eq!(tracker.next(12), None);
    }

    #[test]
    fn what_the_last_block_does_not_have_has_expired_and_what_it_has_is_included() {
        let tracker = Tracker::new(0);
        let (_a, mut lost) = look_for(&tracker, "0xaa", 2);
        let (_b, mut late) = look_for(&tracker, "0xbb", 2);
        tracker.judge(block(1), &[]);
        tracker.judge(block(2), &body(&["0xbb"]));
        assert_eq!(lost.try_recv(), Ok(Verdict::Expired));
        assert_eq!(late.try_recv(), Ok(Verdict::Included { block: block(2), index: 0 }));
    }

    #[test]
    fn blocks_that_an_endpoint_made_up_are_looked_at_once_they_are_there() {
        let tracker = Tracker::new(5);
        assert_eq!((tracker.next(1_000), tracker.next(7)), (None, None));
        let (_ticket, mut decided) = look_for(&tracker, "0xaa", 73);
        assert_eq!(tracker.next(8), Some(8));
        tracker.judge(block(8), &body(&["0xaa"]));
        assert_eq!(decided.try_recv(), Ok(Verdict::Included { block: block(8), index: 0 }));
    }

    #[test]
    fn once_made_up_blocks_are_gone_every_block_is_looked_at_since_something_was_signed() {
        let tracker = Tracker::new(5);
        let (_ticket, mut decided) = look_for(&tracker, "0xaa", 73);
        for number in 6..10 {
            assert_eq!(tracker.next(1_000), Some(number));
            tracker.judge(block(number), &[]);
        }
        assert_eq!(tracker.next(7), Some(6));
        tracker.judge(block(6), &body(&["0xaa"]));
        assert_eq!(decided.try_recv(), Ok(Verdict::Included { block: block(6), index: 0 }));
    }

    #[test]
    fn blocks_are_passed_over_where_nobody_waits() {
        let tracker = Tracker::new(0);
        assert_eq!(tracker.next(1_000), None);
        let (ticket, _decided) = look_for(&tracker, "0xaa", 2_000);
        assert_eq!(tracker.next(1_001), Some(1_001), "what was final before it was signed cannot have it");
        drop(ticket);
        assert_eq!(tracker.next(1_001), None);
        assert_eq!(*tracker.seen().borrow(), 1_001);
    }
}
