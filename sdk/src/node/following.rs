//! How far each peer's task has come with the chain. Nobody waits for it: what it has not committed is looked at again after a restart, and
//! what it is late with, or can do no more, the [defence](super::defence) does in its place (R6.9e).
//!
//! ```text
//!   watcher --> every block ---> Follower of a task with channels --> committed up to --> what is noted, who is late
//!          '--> newest head ---> Follower of a task without any
//! ```
//!
//! A task without a channel that may come to be on chain needs no block: it hears of the newest head alone, so nothing waits for it, and it holds up nobody.

use super::watcher::{UnconfirmedBlock, WatchedBlock};
use protocol::{BlockNumber, PublicKey};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};
use tokio::sync::{Notify, mpsc, watch};

/// What a task hears of the chain, in this order.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// Finalised, with everything the arbiter announced in it.
    Block(Arc<WatchedBlock>),
    /// The number of the newest finalised block, where nothing that is in blocks concerns the task.
    Head(BlockNumber),
    /// A block that one endpoint alone tells of.
    Unconfirmed(Arc<UnconfirmedBlock>),
    /// Every block up to the head was looked at.
    Looked,
}

/// All peers' tasks.
#[derive(Debug, Default)]
pub(super) struct Following(Arc<Courses>);

#[derive(Debug, Default)]
struct Courses {
    courses: Mutex<HashMap<PublicKey, Arc<Course>>>,
    /// For tasks that need no block.
    newest: watch::Sender<Newest>,
    /// Some task has done more.
    progress: Arc<Notify>,
}

/// What was told last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Newest {
    head: Option<BlockNumber>,
    has_looked: bool,
}

/// One peer's task, as seen from outside.
#[derive(Debug)]
pub(super) struct Course {
    news: mpsc::UnboundedSender<News>,
    /// It has channels that may come to be on chain: it is told every block.
    needs_blocks: AtomicBool,
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

    /// Changes with the lock of all courses, so that each block is either told or needless.
    fn needs_blocks(&self) -> bool {
        self.needs_blocks.load(Ordering::Acquire)
    }
}

impl Courses {
    fn courses(&self) -> MutexGuard<'_, HashMap<PublicKey, Arc<Course>>> {
        self.courses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Following {
    /// Begins to follow the chain for a peer's task, from the block after `done` on.
    pub(super) fn begin(&self, peer: PublicKey, done: BlockNumber, needs_blocks: bool) -> Follower {
        let (sender, news) = mpsc::unbounded_channel();
        let course =
            Course { news: sender, needs_blocks: needs_blocks.into(), done: done.into(), failure: OnceLock::new() };
        let course = Arc::new(course);
        let newest = self.0.newest.subscribe();
        let _retired = self.0.courses().insert(peer, Arc::clone(&course));
        let told = Newest { head: Some(done), has_looked: false };
        Follower { peer, course, shared: Arc::clone(&self.0), news, newest, told, is_over: false }
    }

    /// Tells one who waits that some task has done more.
    pub(super) fn progress(&self) -> Arc<Notify> {
        Arc::clone(&self.0.progress)
    }

    /// Tells every task; none is waited for.
    pub(super) fn tell(&self, news: &News) {
        let courses = self.0.courses();
        match news {
            News::Block(block) => self.0.newest.send_modify(|newest| newest.head = Some(block.at.number)),
            News::Looked => self.0.newest.send_modify(|newest| newest.has_looked = true),
            News::Head(_) | News::Unconfirmed(_) => {}
        }
        for course in courses.values().filter(|course| course.needs_blocks()) {
            let _broken = course.news.send(news.clone());
        }
    }

    /// The last block of which every task has committed what came of it, where `told` is the last one that was told.
    pub(super) fn done(&self, told: BlockNumber) -> BlockNumber {
        let courses = self.0.courses();
        courses.values().filter(|course| course.needs_blocks()).map(|course| course.done()).fold(told, BlockNumber::min)
    }

    /// Why a peer's task has ended before its time, if it has.
    pub(super) fn failure(&self, peer: &PublicKey) -> Option<String> {
        self.0.courses().get(peer)?.failure().map(str::to_owned)
    }

    /// Every task that has channels, also those that have broken down.
    pub(super) fn all(&self) -> Vec<(PublicKey, Arc<Course>)> {
        self.0
            .courses()
            .iter()
            .filter(|(_, course)| course.needs_blocks())
            .map(|(peer, course)| (*peer, Arc::clone(course)))
            .collect()
    }
}

/// The task's own end. Dropped before it was [ended](Self::end), the task has broken down.
#[derive(Debug)]
pub(super) struct Follower {
    peer: PublicKey,
    course: Arc<Course>,
    shared: Arc<Courses>,
    news: mpsc::UnboundedReceiver<News>,
    newest: watch::Receiver<Newest>,
    /// What the task has heard of the newest.
    told: Newest,
    is_over: bool,
}

impl Follower {
    /// What is next; never, where there will be nothing. Cancel-safe.
    pub(super) async fn next(&mut self) -> News {
        loop {
            if let Some(news) = self.try_next() {
                return news;
            }
            let needs_blocks = self.course.needs_blocks();
            tokio::select! {
                Some(news) = self.news.recv() => return news,
                Ok(()) = self.newest.changed(), if !needs_blocks => {}
                else => return std::future::pending().await,
            }
        }
    }

    /// What is there already.
    pub(super) fn try_next(&mut self) -> Option<News> {
        match self.news.try_recv() {
            Ok(news) => Some(news),
            Err(_none) if self.course.needs_blocks() => None,
            Err(_none) => self.newer(),
        }
    }

    fn newer(&mut self) -> Option<News> {
        let newest = *self.newest.borrow_and_update();
        if newest.has_looked && !std::mem::replace(&mut self.told.has_looked, newest.has_looked) {
            return Some(News::Looked);
        }
        let head = newest.head.filter(|_| newest.head > self.told.head)?;
        self.told.head = newest.head;
        Some(News::Head(head))
    }

    /// The task has a channel that may come to be on chain from now on: every block that is told after this is for it, and no earlier one is.
    pub(super) fn need_blocks(&mut self) {
        if self.course.needs_blocks() {
            return;
        }
        let _courses = self.shared.courses();
        let newest = *self.newest.borrow_and_update();
        if let Some(head) = newest.head {
            let _own = self.course.news.send(News::Head(head));
            let _earlier = self.course.done.fetch_max(head, Ordering::AcqRel);
        }
        if newest.has_looked && !self.told.has_looked {
            let _own = self.course.news.send(News::Looked);
        }
        self.told = newest;
        self.course.needs_blocks.store(true, Ordering::Release);
    }

    /// The task has no such channel any more.
    pub(super) fn need_no_blocks(&mut self) {
        if self.course.needs_blocks() {
            let _courses = self.shared.courses();
            self.course.needs_blocks.store(false, Ordering::Release);
            // What was noted may go on without it.
            self.shared.progress.notify_one();
        }
    }

    /// Whatever came of the blocks up to this one is committed.
    pub(super) fn done(&self, number: BlockNumber) {
        if self.course.done.fetch_max(number, Ordering::AcqRel) < number && self.course.needs_blocks() {
            self.shared.progress.notify_one();
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
        // What is kept of a task that has broken down are its channels.
        if self.course.failure().is_some() && self.course.needs_blocks() {
            return;
        }
        let mut courses = self.shared.courses();
        if courses.get(&self.peer).is_some_and(|course| Arc::ptr_eq(course, &self.course)) {
            let _over = courses.remove(&self.peer);
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
            News::Head(_) | News::Unconfirmed(_) | News::Looked => None,
        }
    }

    fn peer(number: u32) -> PublicKey {
        let mut key = [0; 32];
        key.iter_mut().zip(number.to_le_bytes()).for_each(|(to, from)| *to = from);
        PublicKey(key)
    }

    #[tokio::test]
    async fn what_counts_as_done_is_what_the_slowest_task_has_done() {
        let following = Following::default();
        assert_eq!(following.done(7), 7, "nobody follows");
        let [mut quick, mut slow] = [1, 2].map(|peer| following.begin(PublicKey([peer; 32]), 4, true));
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
        drop(following.begin(PublicKey([1; 32]), 4, true));
        following.tell(&block(5));
        assert_eq!(following.done(5), 4, "a restart looks at block 5 again");
        assert!(matches!(&*following.all(), [(_, course)] if course.failure().is_some()));
    }

    #[test]
    fn a_task_without_channels_holds_up_nobody_and_hears_of_the_newest_head_alone() {
        let following = Following::default();
        let mut stranger = following.begin(peer(1), 4, false);
        for number in 5..5_000 {
            following.tell(&block(number));
        }
        following.tell(&News::Looked);
        assert_eq!((following.done(4_999), following.all().len()), (4_999, 0));
        assert!(stranger.news.is_empty(), "nothing waits for it");
        assert!(matches!(stranger.try_next(), Some(News::Looked)));
        assert!(matches!(stranger.try_next(), Some(News::Head(4_999))));
        assert!(stranger.try_next().is_none());
        following.tell(&block(5_000));
        assert!(matches!(stranger.try_next(), Some(News::Head(5_000))));
    }

    #[test]
    fn from_its_first_channel_on_a_task_hears_every_block_and_counts_and_with_its_last_one_no_more() {
        let following = Following::default();
        let mut newcomer = following.begin(peer(1), 4, false);
        following.tell(&block(5));
        newcomer.need_blocks();
        following.tell(&block(6));
        assert_eq!(following.done(6), 5, "what is in block 5 is older than its channel");
        assert!(matches!(newcomer.try_next(), Some(News::Head(5))));
        assert_eq!(newcomer.try_next().as_ref().and_then(number), Some(6));
        newcomer.need_no_blocks();
        following.tell(&block(7));
        assert_eq!((following.done(7), following.all().len()), (7, 0));
        assert!(matches!(newcomer.try_next(), Some(News::Head(7))));
        newcomer.need_blocks();
        drop(newcomer);
        assert!(following.failure(&peer(1)).is_some());
    }

    #[test]
    fn tasks_that_have_ended_leave_nothing_while_no_block_comes() {
        let following = Following::default();
        for number in 0..10 {
            let mut follower = following.begin(peer(number), 4, number % 2 == 0);
            follower.end();
        }
        // Broken down, and without channels: a new task would miss nothing.
        drop(following.begin(peer(10), 4, false));
        assert!(following.0.courses().is_empty());
        let mut former = following.begin(peer(1), 4, false);
        let _latter = following.begin(peer(1), 4, false);
        former.end();
        drop(former);
        assert_eq!(following.0.courses().len(), 1, "the course of the task that follows is its own");
    }
}
