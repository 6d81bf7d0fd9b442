//! What is known of locks (R8.31): pre-images from anywhere, since they prove themselves; when they were shown from final blocks alone; that they were not
//! from nothing but the state of a final block.

use super::recent::Recent;
use crate::chain::arbiter::PreimageShown;
use channel::transfer::Registered;
use protocol::{
    BlockNumber,
    contracts::conditional::{HashLock, Preimage},
    crypto::Native,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Why a lock is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interest {
    /// This node is paid with the pre-image: it may have to register it, and keeps fees for that.
    Paid,
    /// This node pays.
    Pays,
}

/// One look that somebody takes at a lock.
pub(super) type Look = (BlockNumber, Interest);

/// The locks that are watched.
#[derive(Debug, Default)]
pub(super) struct Facts {
    locks: HashMap<HashLock, Lock>,
    /// Of them, by their expiries, what it is not known of what came of it.
    open: BTreeSet<(BlockNumber, HashLock)>,
    /// Of these, what this node is paid by.
    at_risk: BTreeSet<(BlockNumber, HashLock)>,
    /// What is to be read whether or not it is over.
    unread: BTreeSet<HashLock>,
    /// What was shown in these blocks, with a pre-image that is not known.
    lost: BTreeSet<(BlockNumber, HashLock)>,
    /// Pre-images of locks that nobody watches: a transfer may be seen after its pre-image was.
    recent: Recent,
}

#[derive(Debug)]
struct Lock {
    /// Who watches, by expiry: so many of each kind.
    looks: BTreeMap<Look, usize>,
    registered: Registered,
    preimage: Option<Preimage>,
    /// It was not read yet, or blocks were skipped since.
    is_unread: bool,
    /// The head with which it was read last, or tried to be; at first the one with which it was watched first: what is over sooner is never read.
    tried: Option<BlockNumber>,
    /// The head with which its pre-image was looked for last.
    sought: Option<BlockNumber>,
}

impl Lock {
    const fn is_shown(&self) -> bool {
        matches!(self.registered, Registered::Shown { .. })
    }

    /// The looks of which it is not known what came of it.
    fn open(&self) -> impl Iterator<Item = Look> {
        let looks = self.looks.keys().copied().filter(|_| !self.is_shown());
        looks.filter(|(expiry, _)| !self.registered.is_silent_at(*expiry))
    }
}

/// Whether a pre-image is that of a lock.
pub(super) fn opens(lock: &HashLock, preimage: &Preimage) -> bool {
    preimage.lock(lock.function, &Native) == *lock
}

impl Facts {
    /// Somebody looks at a lock, while `head` is the last block that counts.
    pub(super) fn watch(&mut self, lock: HashLock, look: Look, head: Option<BlockNumber>) {
        if !self.locks.contains_key(&lock) {
            let (preimage, registered) = (self.recent.get(&lock), Registered::Unknown);
            let new = Lock { looks: BTreeMap::new(), registered, preimage, is_unread: true, tried: head, sought: None };
            let _none = self.locks.insert(lock, new);
        }
        let _watched = self.change(&lock, |known| {
            let count = known.looks.entry(look).or_default();
            *count = count.saturating_add(1);
        });
    }

    /// Somebody does not look any more. What nobody looks at is forgotten, but for its pre-image.
    pub(super) fn unwatch(&mut self, lock: &HashLock, look: Look) {
        let _watched = self.change(lock, |known| {
            if let Some(count) = known.looks.get_mut(&look) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    let _none = known.looks.remove(&look);
                }
            }
        });
        if self.locks.get(lock).is_some_and(|known| known.looks.is_empty()) {
            self.unsort(lock);
            if let Some(Lock { preimage: Some(preimage), .. }) = self.locks.remove(lock) {
                self.recent.keep(*lock, preimage);
            }
        }
    }

    /// Changes what is known of a lock; whether it is watched at all.
    fn change<T>(&mut self, lock: &HashLock, change: impl FnOnce(&mut Lock) -> T) -> Option<T> {
        self.unsort(lock);
        let done = self.locks.get_mut(lock).map(change);
        self.sort(lock);
        done
    }

    fn unsort(&mut self, lock: &HashLock) {
        let Some(known) = self.locks.get(lock) else { return };
        for (expiry, _) in known.looks.keys() {
            let _open = self.open.remove(&(*expiry, *lock));
            let _paid = self.at_risk.remove(&(*expiry, *lock));
        }
        let _unread = self.unread.remove(lock);
        if let Registered::Shown { at } = known.registered {
            let _lost = self.lost.remove(&(at, *lock));
        }
    }

    fn sort(&mut self, lock: &HashLock) {
        let Some(known) = self.locks.get(lock) else { return };
        for (expiry, interest) in known.open() {
            let _new = self.open.insert((expiry, *lock));
            if interest == Interest::Paid {
                let _new = self.at_risk.insert((expiry, *lock));
            }
        }
        if known.is_unread && !known.is_shown() {
            let _new = self.unread.insert(*lock);
        }
        if let (Registered::Shown { at }, None) = (known.registered, known.preimage) {
            let _new = self.lost.insert((at, *lock));
        }
    }

    pub(super) fn registered(&self, lock: &HashLock) -> Registered {
        self.locks.get(lock).map_or(Registered::Unknown, |known| known.registered)
    }

    pub(super) fn preimage(&self, lock: &HashLock) -> Option<Preimage> {
        let known = self.locks.get(lock).and_then(|known| known.preimage);
        known.or_else(|| self.recent.get(lock))
    }

    /// A lock is to be read at once; whether it is watched.
    pub(super) fn ask(&mut self, lock: &HashLock) -> bool {
        let asked = self.change(lock, |known| (known.is_unread, known.tried) = (true, None));
        asked.is_some()
    }

    /// A pre-image became known, from anywhere; whether that is news.
    pub(super) fn learn(&mut self, lock: &HashLock, preimage: Preimage) -> bool {
        if !opens(lock, &preimage) {
            return false;
        }
        let is_news = self.change(lock, |known| known.preimage.replace(preimage).is_none());
        if is_news.is_none() {
            self.recent.keep(*lock, preimage);
        }
        is_news.unwrap_or_default()
    }

    /// An arbiter's event tells of a pre-image: in a final block that counts, or in any other.
    pub(super) fn hear(&mut self, shown: PreimageShown, counts: bool) -> bool {
        let PreimageShown { digest, function, preimage, shown_at } = shown;
        let lock = HashLock { function, digest };
        let is_news = self.learn(&lock, preimage);
        if !counts {
            return is_news;
        }
        let was_shown = self.change(&lock, |known| {
            let was_shown = known.is_shown();
            known.registered = Registered::Shown { at: shown_at };
            was_shown
        });
        is_news || was_shown == Some(false)
    }

    /// What the state after a final block has of a lock.
    pub(super) fn read(&mut self, lock: &HashLock, at: BlockNumber, shown: Option<BlockNumber>) {
        let _watched = self.change(lock, |known| {
            known.is_unread = false;
            known.registered = match (shown, known.registered) {
                (Some(at), _) => Registered::Shown { at },
                (None, shown @ Registered::Shown { at: before }) => {
                    if before <= at {
                        tracing::error!(?lock, before, at, "the registry has not what a final block had told of it");
                    }
                    shown
                }
                (None, Registered::Silent { at: before }) => Registered::Silent { at: before.max(at) },
                (None, Registered::Unknown) => Registered::Silent { at },
            };
        });
    }

    /// Blocks were skipped: what was in them is read.
    pub(super) fn skip(&mut self) {
        for (lock, known) in &mut self.locks {
            if !known.is_shown() {
                (known.is_unread, known.tried) = (true, None);
                let _new = self.unread.insert(*lock);
            }
        }
    }

    /// The locks to read in the state after `head`, those that have been over for longest first, and at most so many. Each is taken once for one head.
    pub(super) fn take_due(&mut self, head: BlockNumber, most: usize) -> Vec<HashLock> {
        let over = self.open.iter().take_while(|(expiry, _)| *expiry <= head).map(|(_, lock)| *lock);
        let (mut taken, locks) = (Vec::new(), &mut self.locks);
        // What is not over yet comes last.
        for lock in over.chain(self.unread.iter().copied()) {
            if taken.len() >= most {
                break;
            }
            if let Some(known) = locks.get_mut(&lock).filter(|known| known.tried != Some(head)) {
                known.tried = Some(head);
                taken.push(lock);
            }
        }
        taken
    }

    /// Blocks, and at most so many, in which locks were shown whose pre-images are not known: they stand in the blocks' events. Each lock is looked for once
    /// with one head.
    pub(super) fn take_missing(&mut self, head: BlockNumber, most: usize) -> BTreeSet<BlockNumber> {
        let mut blocks = BTreeSet::new();
        for (at, lock) in &self.lost {
            if blocks.len() >= most && !blocks.contains(at) {
                break;
            }
            if let Some(known) = self.locks.get_mut(lock).filter(|known| known.sought != Some(head)) {
                known.sought = Some(head);
                let _new = blocks.insert(*at);
            }
        }
        blocks
    }

    /// How many locks may have to be registered by this node, each once for each of its expiries.
    pub(super) fn at_risk(&self) -> usize {
        self.at_risk.len()
    }

    pub(super) fn count(&self) -> usize {
        self.locks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::registry::for_tests::{lock, preimage};

    const LOOK: Look = (100, Interest::Paid);

    fn event(of: u8, shown_at: BlockNumber) -> PreimageShown {
        let HashLock { function, digest } = lock(of);
        PreimageShown { digest, function, preimage: preimage(of), shown_at }
    }

    fn watching(of: u8) -> Facts {
        let mut facts = Facts::default();
        facts.watch(lock(of), LOOK, None);
        facts
    }

    #[test]
    fn nothing_is_known_of_a_lock_before_it_was_read() {
        let mut facts = watching(1);
        assert_eq!(facts.registered(&lock(1)), Registered::Unknown);
        assert_eq!(facts.take_due(5, 9), [lock(1)], "it is read once when it is first watched");
        facts.read(&lock(1), 5, None);
        assert_eq!(facts.registered(&lock(1)), Registered::Silent { at: 5 });
        assert_eq!(facts.take_due(99, 9), []);
        assert_eq!(facts.take_due(100, 9), [lock(1)], "and again once it is over");
        assert_eq!(facts.take_due(100, 9), [], "once with each head");
        assert_eq!(facts.take_due(101, 9), [lock(1)], "until that was read: a read that fails is no fact");
        facts.read(&lock(1), 100, None);
        assert!(facts.registered(&lock(1)).is_silent_at(100));
        assert_eq!(facts.take_due(200, 9), []);
    }

    #[test]
    fn what_is_watched_for_less_than_a_block_is_never_read_unless_somebody_asks() {
        let mut facts = Facts::default();
        facts.watch(lock(1), LOOK, Some(5));
        facts.watch(lock(2), LOOK, Some(5));
        assert_eq!(facts.take_due(5, 9), []);
        assert!(facts.ask(&lock(2)) && !facts.ask(&lock(3)));
        assert_eq!(facts.take_due(5, 9), [lock(2)]);
        facts.unwatch(&lock(2), LOOK);
        assert_eq!(facts.take_due(6, 9), [lock(1)]);
    }

    #[test]
    fn nothing_is_left_in_any_list_of_what_nobody_watches() {
        let mut facts = Facts::default();
        for of in 0..4 {
            facts.watch(lock(of), LOOK, None);
            facts.watch(lock(of), (200, Interest::Pays), None);
        }
        let _news = facts.hear(event(1, 7), true);
        facts.read(&lock(2), 150, None);
        facts.read(&lock(3), 150, Some(9));
        facts.skip();
        for of in 0..4 {
            facts.unwatch(&lock(of), LOOK);
            facts.unwatch(&lock(of), (200, Interest::Pays));
        }
        let Facts { locks, open, at_risk, unread, lost, .. } = &facts;
        assert_eq!([locks.len(), open.len(), at_risk.len(), unread.len(), lost.len()], [0; 5]);
    }

    #[test]
    fn an_event_of_a_block_that_does_not_count_gives_the_pre_image_and_nothing_else() {
        let mut facts = watching(1);
        assert!(facts.hear(event(1, 7), false));
        assert_eq!((facts.preimage(&lock(1)), facts.registered(&lock(1))), (Some(preimage(1)), Registered::Unknown));
        assert!(facts.hear(event(1, 7), true), "that it counts is news");
        assert_eq!(facts.registered(&lock(1)), Registered::Shown { at: 7 });
        assert!(!facts.hear(event(1, 7), true));
        facts.read(&lock(1), 6, None);
        assert_eq!(facts.registered(&lock(1)), Registered::Shown { at: 7 }, "an earlier state had it not");
    }

    #[test]
    fn a_wrong_pre_image_is_learnt_from_nobody() {
        let mut facts = watching(1);
        assert!(!facts.learn(&lock(1), preimage(2)));
        let forged = PreimageShown { preimage: preimage(2), ..event(1, 7) };
        let _news = facts.hear(forged, false);
        assert_eq!(facts.preimage(&lock(1)), None);
    }

    #[test]
    fn a_pre_image_that_was_shown_before_its_lock_was_watched_is_known() {
        let mut facts = Facts::default();
        assert!(!facts.hear(event(1, 7), true));
        facts.watch(lock(1), LOOK, None);
        assert_eq!((facts.preimage(&lock(1)), facts.registered(&lock(1))), (Some(preimage(1)), Registered::Unknown));
        assert_eq!(facts.take_due(8, 9), [lock(1)], "when it was shown is read");
        facts.read(&lock(1), 8, Some(7));
        assert_eq!(facts.registered(&lock(1)), Registered::Shown { at: 7 });
        assert_eq!(facts.take_due(1_000, 9), []);
    }

    #[test]
    fn what_was_shown_unseen_is_to_be_looked_for_in_its_block() {
        let mut facts = watching(1);
        facts.read(&lock(1), 8, Some(7));
        assert_eq!(facts.take_missing(8, 9), BTreeSet::from([7]));
        assert_eq!(facts.take_missing(8, 9), BTreeSet::new(), "once with each head");
        assert_eq!(facts.take_missing(9, 9), BTreeSet::from([7]));
        let _news = facts.learn(&lock(1), preimage(1));
        assert_eq!(facts.take_missing(10, 9), BTreeSet::new());
    }

    #[test]
    fn after_skipped_blocks_every_lock_is_read_anew_that_was_not_shown() {
        let mut facts = watching(1);
        facts.watch(lock(2), LOOK, None);
        facts.read(&lock(1), 5, None);
        facts.read(&lock(2), 5, Some(4));
        assert_eq!(facts.take_due(6, 9), []);
        facts.skip();
        assert_eq!(facts.take_due(50, 9), [lock(1)]);
        assert_eq!(facts.registered(&lock(1)), Registered::Silent { at: 5 }, "what was read stays true");
    }

    #[test]
    fn one_batch_is_bounded_and_begins_with_what_has_been_over_for_longest() {
        let mut facts = Facts::default();
        for of in 0..9 {
            facts.watch(lock(of), (BlockNumber::from(100 - of), Interest::Pays), None);
        }
        assert_eq!(facts.take_due(95, 3), [lock(8), lock(7), lock(6)]);
        assert_eq!(facts.take_due(95, 9).len(), 6, "the others after them");
    }

    #[test]
    fn a_lock_is_watched_as_long_as_anybody_looks() {
        let mut facts = watching(1);
        facts.watch(lock(1), LOOK, None);
        facts.watch(lock(1), (200, Interest::Pays), None);
        facts.unwatch(&lock(1), LOOK);
        assert_eq!((facts.count(), facts.at_risk()), (1, 1));
        facts.unwatch(&lock(1), LOOK);
        assert_eq!((facts.count(), facts.at_risk()), (1, 0), "who pays registers nothing");
        facts.read(&lock(1), 150, None);
        assert_eq!(facts.take_due(199, 9), []);
        assert_eq!(facts.take_due(200, 9), [lock(1)], "each expiry is read for");
        let _news = facts.learn(&lock(1), preimage(1));
        facts.unwatch(&lock(1), (200, Interest::Pays));
        assert_eq!((facts.count(), facts.preimage(&lock(1))), (0, Some(preimage(1))));
        assert_eq!(facts.registered(&lock(1)), Registered::Unknown);
    }

    #[test]
    fn what_cannot_be_registered_in_time_any_more_needs_no_fees() {
        let mut facts = watching(1);
        facts.read(&lock(1), 99, None);
        assert_eq!(facts.at_risk(), 1);
        facts.read(&lock(1), 100, None);
        assert_eq!(facts.at_risk(), 0);
    }
}
