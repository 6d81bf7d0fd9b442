//! Registrations that are wanted, and how far each is (R8.32).
//!
//! ```text
//!   wanted --> waits --> under way, with up to 63 others --> in a block --> shown in a final block that counts: done
//!                ^             |      |                          |
//!                |             |      '-- for too long ----------+-- not shown when that block counts
//!                '-- failed ---'------------------------------- -'
//! ```

use super::facts::Facts;
use channel::transfer::Registered;
use protocol::{
    BlockNumber, PublicKey,
    call::MAX_PREIMAGES,
    contracts::conditional::{HashFunction, HashLock, Preimage},
};
use std::collections::{BTreeMap, BTreeSet};

/// How far above the last block that counts a call's own block is believed to lie: which one it is in is what one endpoint says.
const BELIEVED: BlockNumber = 4;
/// How many calls may be under way at once, those that have been for too long apart: while finality stands still, one after the other would be one in all.
const AT_ONCE: usize = 4;
/// For how many blocks is waited for others to go with, while a call is under way.
const GATHER: BlockNumber = 2;

/// A number of its own for each call.
pub(super) type CallNumber = u64;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    wanted: BTreeMap<HashLock, Wanted>,
    calls: BTreeMap<CallNumber, Under>,
    next: CallNumber,
    /// How many go together after a call that failed: what is wrong with it may be its size, or its price.
    most: Option<usize>,
}

#[derive(Debug)]
struct Wanted {
    preimage: Preimage,
    /// The first blocks in which it is too late for each transfer with this lock; never empty.
    expiries: BTreeSet<BlockNumber>,
    /// On account of whom.
    peer: PublicKey,
    stage: Stage,
}

impl Wanted {
    /// The first block in which it is too late for all of them.
    fn last(&self) -> BlockNumber {
        self.expiries.last().copied().unwrap_or_default()
    }

    /// The first block in which it is too late for one of those that it is not too late for yet.
    fn until(&self, best: BlockNumber) -> BlockNumber {
        self.expiries.iter().copied().find(|expiry| *expiry > best).unwrap_or_else(|| self.last())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waits,
    UnderWay(CallNumber),
    In(BlockNumber),
}

/// A call whose answer is not here.
#[derive(Debug)]
struct Under {
    /// The newest block when it was made.
    began: BlockNumber,
    /// What it holds has been waited for for too long, and is put into another one: it counts no more among those that are under way.
    is_late: bool,
}

/// What goes into one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RegistrationBatch {
    pub(super) number: CallNumber,
    pub(super) function: HashFunction,
    pub(super) preimages: Vec<Preimage>,
    /// The last block in which all of it is of use.
    pub(super) until: BlockNumber,
    /// Who has it made, once for each pre-image.
    pub(super) peers: Vec<PublicKey>,
}

/// What became of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// It is shown, in time.
    Shown,
    /// It was not shown before it was too late.
    TooLate,
}

/// A registration that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) lock: HashLock,
    pub(super) peer: PublicKey,
    pub(super) over: Over,
    /// The blocks up to which it was asked for.
    pub(super) expiries: BTreeSet<BlockNumber>,
}

impl Queue {
    /// Asks for a registration; asked again, it is one still. Whether it was not asked for up to this block before.
    pub(super) fn want(&mut self, lock: HashLock, preimage: Preimage, until: BlockNumber, peer: PublicKey) -> bool {
        let new = || Wanted { preimage, expiries: BTreeSet::new(), peer, stage: Stage::Waits };
        self.wanted.entry(lock).or_insert_with(new).expiries.insert(until)
    }

    /// The next call to make, with what is needed the soonest: now, where none is under way or as much waits as goes into one; or else once others have had
    /// their time to come along.
    pub(super) fn next(&mut self, best: BlockNumber) -> Option<RegistrationBatch> {
        let mut waiting: Vec<_> = self.wanted.iter().filter(|(_, wanted)| wanted.stage == Stage::Waits).collect();
        waiting.sort_by_key(|(lock, wanted)| (wanted.until(best), **lock));
        let function = waiting.first()?.0.function;
        let most = self.most.unwrap_or(MAX_PREIMAGES);
        let chosen: Vec<_> =
            waiting.iter().filter(|(lock, _)| lock.function == function).take(most).map(|(lock, _)| **lock).collect();
        let on_time = self.calls.values().filter(|call| !call.is_late);
        let (count, newest) =
            on_time.fold((0_usize, 0), |(count, newest), call| (count.saturating_add(1), call.began.max(newest)));
        let is_time = count == 0 || chosen.len() >= most || best.saturating_sub(newest) >= GATHER;
        (is_time && count < AT_ONCE).then(|| self.begin(function, &chosen, best))
    }

    fn begin(&mut self, function: HashFunction, locks: &[HashLock], best: BlockNumber) -> RegistrationBatch {
        let number = self.next;
        self.next = number.wrapping_add(1);
        let _none = self.calls.insert(number, Under { began: best, is_late: false });
        let mut batch =
            RegistrationBatch { number, function, preimages: Vec::new(), until: BlockNumber::MAX, peers: Vec::new() };
        for lock in locks {
            if let Some(wanted) = self.wanted.get_mut(lock) {
                wanted.stage = Stage::UnderWay(number);
                batch.preimages.push(wanted.preimage);
                batch.until = batch.until.min(wanted.until(best).saturating_sub(1));
                batch.peers.push(wanted.peer);
            }
        }
        batch
    }

    /// A call's answer is here: the block that it is in, or that it is in none. `head` is the last block that counts.
    pub(super) fn end(&mut self, number: CallNumber, block: Option<BlockNumber>, head: BlockNumber) {
        let _known = self.calls.remove(&number);
        let stage = match block {
            Some(block) => Stage::In(block.min(head.saturating_add(BELIEVED))),
            None => Stage::Waits,
        };
        let mut together = 0_usize;
        for wanted in self.wanted.values_mut().filter(|wanted| wanted.stage == Stage::UnderWay(number)) {
            wanted.stage = stage;
            together = together.saturating_add(1);
        }
        self.most = match block {
            Some(_) => None,
            None => Some((together / 2).max(1)),
        };
    }

    /// What is known has changed: takes out what is over, and has made again what is not there when its block counts, or has been under way for so many
    /// blocks.
    pub(super) fn review(
        &mut self,
        facts: &Facts,
        (head, best): (BlockNumber, BlockNumber),
        patience: BlockNumber,
    ) -> Vec<Ended> {
        for call in self.calls.values_mut() {
            call.is_late = call.is_late || best.saturating_sub(call.began) > patience;
        }
        let mut over = Vec::new();
        let calls = &self.calls;
        self.wanted.retain(|lock, wanted| {
            let end = match facts.registered(lock) {
                Registered::Shown { at } if at < wanted.last() => Some(Over::Shown),
                known if known.is_silent_at(wanted.last()) => Some(Over::TooLate),
                _ => None,
            };
            if let Some(end) = end {
                over.push(Ended {
                    lock: *lock,
                    peer: wanted.peer,
                    over: end,
                    expiries: std::mem::take(&mut wanted.expiries),
                });
                return false;
            }
            wanted.stage = match wanted.stage {
                Stage::In(block) if block <= head => Stage::Waits,
                Stage::UnderWay(number) if calls.get(&number).is_none_or(|call| call.is_late) => Stage::Waits,
                stage => stage,
            };
            true
        });
        over
    }

    /// How many wait, and how many are under way or in a block that does not count yet.
    pub(super) fn counts(&self) -> (usize, usize) {
        let waiting = self.wanted.values().filter(|wanted| wanted.stage == Stage::Waits).count();
        (waiting, self.wanted.len().saturating_sub(waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::registry::{
        Interest,
        for_tests::{lock, preimage, sha},
    };

    const PEER: PublicKey = PublicKey([7; 32]);
    const PATIENCE: BlockNumber = 12;

    fn wanting(of: impl IntoIterator<Item = u8>) -> Queue {
        let mut queue = Queue::default();
        for of in of {
            let _new = queue.want(lock(of), preimage(of), 100, PEER);
        }
        queue
    }

    fn ends(ended: &[Ended]) -> Vec<Over> {
        ended.iter().map(|ended| ended.over).collect()
    }

    /// What is known where these locks are watched, and were shown in a block.
    fn shown(at: Option<BlockNumber>, of: impl IntoIterator<Item = u8>) -> Facts {
        let mut facts = Facts::default();
        for of in of {
            facts.watch(lock(of), (100, Interest::Paid), None);
            facts.read(&lock(of), 90, at);
        }
        facts
    }

    #[test]
    fn what_waits_goes_together_the_most_pressing_first_and_by_one_function() {
        let mut queue = wanting(0..70);
        let _new = queue.want(lock(99), preimage(99), 50, PEER);
        let _new = queue.want(sha(1), preimage(1), 60, PEER);
        let batch = queue.next(10).unwrap();
        assert_eq!((batch.preimages.len(), batch.preimages[0], batch.until), (MAX_PREIMAGES, preimage(99), 49));
        assert_eq!(batch.peers.len(), MAX_PREIMAGES);
        assert_eq!(queue.next(10), None, "what is left waits for others");
        let other = queue.next(10 + GATHER).unwrap();
        assert_eq!((other.function, other.preimages), (HashFunction::Sha2_256, vec![preimage(1)]));
        assert_eq!(queue.next(10 + 2 * GATHER).unwrap().preimages.len(), 7);
        assert_eq!(queue.next(1_000), None);
    }

    #[test]
    fn while_finality_stands_still_more_calls_are_made_and_not_without_end() {
        let mut queue = wanting(0..=255);
        let made = std::iter::from_fn(|| queue.next(10)).count();
        assert_eq!(made, AT_ONCE);
        let _new = queue.want(lock(0), preimage(0), 20, PEER);
        assert_eq!(queue.next(1_000), None, "it is under way already");
    }

    #[test]
    fn it_is_done_when_a_final_block_has_shown_it_and_not_when_the_call_says_so() {
        let mut queue = wanting([1]);
        let batch = queue.next(10).unwrap();
        queue.end(batch.number, Some(11), 9);
        let nothing = Facts::default();
        assert!(queue.review(&nothing, (10, 12), PATIENCE).is_empty());
        assert_eq!((queue.next(12), queue.counts()), (None, (0, 1)));
        // Block 11 counts, and it is not there: one endpoint had made that up.
        assert!(queue.review(&nothing, (11, 13), PATIENCE).is_empty());
        let again = queue.next(13).unwrap();
        assert_eq!(again.preimages, batch.preimages);
        let over = queue.review(&shown(Some(14), [1]), (14, 14), PATIENCE);
        assert_eq!((ends(&over), over[0].lock, over[0].peer), (vec![Over::Shown], lock(1), PEER));
        assert_eq!(queue.counts(), (0, 0));
    }

    #[test]
    fn a_block_that_an_endpoint_made_up_is_not_waited_for() {
        let mut queue = wanting([1]);
        let batch = queue.next(10).unwrap();
        queue.end(batch.number, Some(BlockNumber::MAX), 9);
        let _none = queue.review(&Facts::default(), (9 + BELIEVED, 20), PATIENCE);
        assert!(queue.next(20).is_some());
    }

    #[test]
    fn what_fails_is_made_again_in_smaller_calls_until_one_succeeds() {
        let mut queue = wanting(0..64);
        let sizes = [64, 32, 16, 8, 4, 2, 1, 1].map(|_size| {
            let batch = queue.next(10).unwrap();
            queue.end(batch.number, None, 9);
            batch.preimages.len()
        });
        assert_eq!(sizes, [64, 32, 16, 8, 4, 2, 1, 1]);
        let one = queue.next(10).unwrap();
        queue.end(one.number, Some(11), 10);
        assert_eq!(queue.next(10).unwrap().preimages.len(), 63);
    }

    #[test]
    fn a_call_that_stands_still_is_not_waited_for_for_ever() {
        let mut queue = wanting([1]);
        let first = queue.next(10).unwrap();
        let _none = queue.review(&Facts::default(), (10, 10 + PATIENCE), PATIENCE);
        assert_eq!(queue.next(10 + PATIENCE), None);
        let _none = queue.review(&Facts::default(), (10, 11 + PATIENCE), PATIENCE);
        let second = queue.next(11 + PATIENCE).unwrap();
        assert_eq!(second.preimages, first.preimages);
        // The first one's answer says nothing of what is in the second.
        queue.end(first.number, None, 10);
        assert_eq!((queue.next(12 + PATIENCE), queue.counts()), (None, (0, 1)));
    }

    #[test]
    fn it_is_given_up_when_the_registry_has_nothing_at_its_expiry_and_not_before() {
        for (at, is_over) in [(99, false), (100, true)] {
            let mut queue = wanting([1]);
            let mut facts = shown(None, [1]);
            facts.read(&lock(1), at, None);
            let over = queue.review(&facts, (at, at), PATIENCE);
            assert_eq!(!over.is_empty(), is_over);
            assert!(ends(&over).iter().all(|end| *end == Over::TooLate));
        }
        for (at, end) in [(98, Over::Shown), (99, Over::Shown), (100, Over::TooLate), (101, Over::TooLate)] {
            let over = wanting([1]).review(&shown(Some(at), [1]), (90, 90), PATIENCE);
            assert_eq!(ends(&over), [end], "shown in block {at}");
        }
    }

    #[test]
    fn it_is_one_registration_however_often_it_is_asked_for() {
        let mut queue = wanting([1, 1, 1]);
        assert!(queue.want(lock(1), preimage(1), 40, PublicKey([8; 32])));
        assert!(!queue.want(lock(1), preimage(1), 40, PublicKey([8; 32])));
        let batch = queue.next(10).unwrap();
        assert_eq!((batch.preimages.len(), batch.until, batch.peers), (1, 39, vec![PEER]));
        // Too late for one transfer, it is made for the other one.
        queue.end(batch.number, None, 39);
        assert!(queue.review(&shown(None, [1]), (40, 40), PATIENCE).is_empty());
        assert_eq!(queue.next(40).unwrap().until, 99);
    }
}
