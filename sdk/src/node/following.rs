//! How far each peer's task has come with the chain. Nobody waits for it: what it has not committed is looked at again after a restart, and
//! what it is late with, or can do no more, the [defence](super::defence) does in its place (R6.9e).
//!
//! ```text
//!   watcher --> blocks --> Follower (in the peer's task) --> committed up to --> what is noted, who is late
//! ```

#[cfg(test)]
mod attack_following;

use super::watcher::{UnconfirmedBlock, WatchedBlock};
use protocol::{BlockNumber, PublicKey};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::sync::{Notify, mpsc};

/// What a task hears of the chain, in this order.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// Finalised, with everything the arbiter announced in it.
    Block(Arc<WatchedBlock>),
    /// A block that one endpoint alone tells of.
    Unconfirmed(Arc<UnconfirmedBlock>),
    /// Every block up to the head was looked at.
    Looked,
}

/// All peers' tasks.
#[derive(Debug, Default)]
pub(super) struct Following {
    courses: Mutex<HashMap<PublicKey, Arc<Course>>>,
    /// Some task has done more.
    progress: Arc<Notify>,
}

/// One peer's task, as seen from outside.
#[derive(Debug)]
pub(super) struct Course {
    news: mpsc::UnboundedSender<News>,
    progress: Arc<Notify>,
    /// Whatever came of the blocks up to this one is committed.
    done: AtomicU32,
    /// Why the task has ended before its time.
    failure: OnceLock<String>,
}

impl Course {
    pub(super) fn done(&self) -> BlockNumber {
        self.done.load(Ordering::Acquire)
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Whether it counts: a task that has ended as it should does not.
    fn counts(&self) -> bool {
        self.failure.get().is_some() || !self.news.is_closed()
    }
}

impl Following {
    fn courses(&self) -> MutexGuard<'_, HashMap<PublicKey, Arc<Course>>> {
        self.courses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to follow the chain for a peer's task, from the block after `done` on.
    pub(super) fn begin(&self, peer: PublicKey, done: BlockNumber) -> Follower {
        let (sender, news) = mpsc::unbounded_channel();
        let course =
            Course { news: sender, progress: Arc::clone(&self.progress), done: done.into(), failure: OnceLock::new() };
        let course = Arc::new(course);
        let _retired = self.courses().insert(peer, Arc::clone(&course));
        Follower { course, news, is_over: false }
    }

    /// Tells one who waits that some task has done more.
    pub(super) fn progress(&self) -> Arc<Notify> {
        Arc::clone(&self.progress)
    }

    /// Tells every task; none is waited for.
    pub(super) fn tell(&self, news: &News) {
        let mut courses = self.courses();
        courses.retain(|_, course| course.counts());
        for course in courses.values() {
            let _broken = course.news.send(news.clone());
        }
    }

    /// The last block of which every task has committed what came of it, where `told` is the last one that was told.
    pub(super) fn done(&self, told: BlockNumber) -> BlockNumber {
        let courses = self.courses();
        courses.values().filter(|course| course.counts()).map(|course| course.done()).fold(told, BlockNumber::min)
    }

    /// Why a peer's task has ended before its time, if it has.
    pub(super) fn failure(&self, peer: &PublicKey) -> Option<String> {
        self.courses().get(peer)?.failure().map(str::to_owned)
    }

    /// Every task, also those that have broken down.
    pub(super) fn all(&self) -> Vec<(PublicKey, Arc<Course>)> {
        self.courses()
            .iter()
            .filter(|(_, course)| course.counts())
            .map(|(peer, course)| (*peer, Arc::clone(course)))
            .collect()
    }
}

/// The task's own end. Dropped before it was [ended](Self::end), the task has broken down.
#[derive(Debug)]
pub(super) struct Follower {
    course: Arc<Course>,
    news: mpsc::UnboundedReceiver<News>,
    is_over: bool,
}

impl Follower {
    /// What is next; never, where there will be nothing. Cancel-safe.
    pub(super) async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            None => std::future::pending().await,
        }
    }

    /// What is there already.
    pub(super) fn try_next(&mut self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// Whatever came of the blocks up to this one is committed.
    pub(super) fn done(&self, number: BlockNumber) {
        if self.course.done.fetch_max(number, Ordering::AcqRel) < number {
            self.course.progress.notify_one();
        }
    }

    /// The task ends as it should: nothing of it is left to do.
    pub(super) const fn end(&mut self) {
        self.is_over = true;
    }

    /// The task ends before its time.
    pub(super) fn fail(&mut self, cause: String) {
        self.is_over = true;
        let _earlier = self.course.failure.set(cause);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if !self.is_over {
            self.fail("the task that served its peer has broken down; see the log".into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chain::BlockRef, node::watcher::BlockContents};
    use protocol::Hash;

    fn block(number: BlockNumber) -> News {
        News::Block(Arc::new(WatchedBlock {
            at: BlockRef { number, hash: Hash::ZERO },
            contents: BlockContents::default(),
        }))
    }

    fn number(news: &News) -> Option<BlockNumber> {
        match news {
            News::Block(block) => Some(block.at.number),
            News::Unconfirmed(_) | News::Looked => None,
        }
    }

    #[tokio::test]
    async fn what_counts_as_done_is_what_the_slowest_task_has_done() {
        let following = Following::default();
        assert_eq!(following.done(7), 7, "nobody follows");
        let [mut quick, mut slow] = [1, 2].map(|peer| following.begin(PublicKey([peer; 32]), 4));
        following.tell(&block(5));
        assert_eq!((number(&quick.next().await), following.done(5)), (Some(5), 4));
        quick.done(5);
        assert_eq!(following.done(5), 4);
        slow.done(5);
        slow.done(3);
        assert_eq!(following.done(5), 5, "nothing that is done is undone");
        quick.end();
        drop(quick);
        following.tell(&block(6));
        assert_eq!(following.done(6), 5);
        assert_eq!((following.all().len(), number(&slow.try_next().unwrap())), (1, Some(5)));
    }

    #[test]
    fn a_task_that_has_broken_down_is_not_forgotten() {
        let following = Following::default();
        drop(following.begin(PublicKey([1; 32]), 4));
        following.tell(&block(5));
        assert_eq!(following.done(5), 4, "a restart looks at block 5 again");
        assert!(matches!(&*following.all(), [(_, course)] if course.failure().is_some()));
    }
}
