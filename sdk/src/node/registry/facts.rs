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
    /// The head with which it was read last, or tried to be.
    tried: Option<BlockNumber>,
    /// The head with which its pre-image was looked for last.
    sought: Option<BlockNumber>,
}

impl Lock {
    const fn new() -> Self {
        Self {
            looks: BTreeMap::new(),
            registered: Registered::Unknown,
            preimage: None,
            is_unread: true,
            tried: None,
            sought: None,
        }
    }

    const fn is_shown(&self) -> bool {
        matches!(self.registered, Registered::Shown { .. })
    }

    /// The first expiry that is over with this block, where it is not known what came of it.
    fn overdue(&self, head: BlockNumber) -> Option<BlockNumber> {
        let expiries = self.looks.keys().map(|(expiry, _)| *expiry).take_while(|expiry| *expiry <= head);
        let mut open = expiries.filter(|expiry| !self.registered.is_silent_at(*expiry));
        open.next().filter(|_| !self.is_shown())
    }
}

/// Whether a pre-image is that of a lock.
pub(super) fn opens(lock: &HashLock, preimage: &Preimage) -> bool {
    preimage.lock(lock.function, &Native) == *lock
}

impl Facts {
    pub(super) fn watch(&mut self, lock: HashLock, look: Look) {
        let recent = &self.recent;
        let known = self.locks.entry(lock).or_insert_with(|| Lock { preimage: recent.get(&lock), ..Lock::new() });
        let count = known.looks.entry(look).or_default();
        *count = count.saturating_add(1);
    }

    /// Somebody does not look any more. What nobody looks at is forgotten, but for its pre-image.
    pub(super) fn unwatch(&mut self, lock: &HashLock, look: Look) {
        let Some(known) = self.locks.get_mut(lock) else { return };
        if let Some(count) = known.looks.get_mut(&look) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                let _none = known.looks.remove(&look);
            }
        }
        if known.looks.is_empty()
            && let Some(Lock { preimage: Some(preimage), .. }) = self.locks.remove(lock)
        {
            self.recent.keep(*lock, preimage);
        }
    }

    pub(super) fn registered(&self, lock: &HashLock) -> Registered {
        self.locks.get(lock).map_or(Registered::Unknown, |known| known.registered)
    }

    pub(super) fn preimage(&self, lock: &HashLock) -> Option<Preimage> {
        let known = self.locks.get(lock).and_then(|known| known.preimage);
        known.or_else(|| self.recent.get(lock))
    }

    /// A pre-image became known, from anywhere; whether that is news.
    pub(super) fn learn(&mut self, lock: &HashLock, preimage: Preimage) -> bool {
        if !opens(lock, &preimage) {
            return false;
        }
        match self.locks.get_mut(lock) {
            Some(known) => known.preimage.replace(preimage).is_none(),
            None => {
                self.recent.keep(*lock, preimage);
                false
            }
        }
    }

    /// An arbiter's event tells of a pre-image: in a final block that counts, or in any other.
    pub(super) fn hear(
        &mut self,
        PreimageShown { digest, function, preimage, shown_at }: PreimageShown,
        counts: bool,
    ) -> bool {
        let lock = HashLock { function, digest };
        let is_news = self.learn(&lock, preimage);
        let Some(known) = self.locks.get_mut(&lock).filter(|_| counts) else { return is_news };
        let was_shown = known.is_shown();
        known.registered = Registered::Shown { at: shown_at };
        is_news || !was_shown
    }

    /// What the state after a final block has of a lock.
    pub(super) fn read(&mut self, lock: &HashLock, at: BlockNumber, shown: Option<BlockNumber>) {
        let Some(known) = self.locks.get_mut(lock) else { return };
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
    }

    /// Blocks were skipped: what was in them is read.
    pub(super) fn skip(&mut self) {
        for known in self.locks.values_mut() {
            known.is_unread = !known.is_shown();
            known.tried = None;
        }
    }

    /// The locks to read in the state after `head`, those that have been over for longest first, and at most so many. Each is taken once for one head.
    pub(super) fn take_due(&mut self, head: BlockNumber, most: usize) -> Vec<HashLock> {
        let untried = self.locks.iter_mut().filter(|(_, known)| known.tried != Some(head) && !known.is_shown());
        let mut due = BTreeSet::new();
        for (lock, known) in untried {
            // What is not over yet comes last.
            let first = known.overdue(head).or(known.is_unread.then_some(BlockNumber::MAX));
            due.extend(first.map(|first| (first, *lock)));
        }
        let taken: Vec<_> = due.into_iter().take(most).map(|(_, lock)| lock).collect();
        for lock in &taken {
            if let Some(known) = self.locks.get_mut(lock) {
                known.tried = Some(head);
            }
        }
        taken
    }

    /// Blocks, and at most so many, in which locks were shown whose pre-images are not known: they stand in the blocks' events. Each lock is looked for once
    /// with one head.
    pub(super) fn take_missing(&mut self, head: BlockNumber, most: usize) -> BTreeSet<BlockNumber> {
        let mut blocks = BTreeSet::new();
        for known in self.locks.values_mut() {
            if let (Registered::Shown { at }, None) = (known.registered, known.preimage)
                && known.sought != Some(head)
                && (blocks.len() < most || blocks.contains(&at))
            {
                known.sought = Some(head);
                let _new = blocks.insert(at);
            }
        }
        blocks
    }

    /// How many locks may have to be registered by this node.
    pub(super) fn at_risk(&self) -> usize {
        let may_be = |known: &&Lock| {
            let last =
                known.looks.keys().filter(|(_, interest)| *interest == Interest::Paid).map(|(expiry, _)| *expiry).max();
            !known.is_shown() && last.is_some_and(|expiry| !known.registered.is_silent_at(expiry))
        };
        self.locks.values().filter(may_be).count()
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
        facts.watch(lock(of), LOOK);
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
        facts.watch(lock(1), LOOK);
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
        facts.watch(lock(2), LOOK);
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
            facts.watch(lock(of), (BlockNumber::from(100 - of), Interest::Pays));
        }
        assert_eq!(facts.take_due(95, 3), [lock(8), lock(7), lock(6)]);
    }

    #[test]
    fn a_lock_is_watched_as_long_as_anybody_looks() {
        let mut facts = watching(1);
        facts.watch(lock(1), LOOK);
        facts.watch(lock(1), (200, Interest::Pays));
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
