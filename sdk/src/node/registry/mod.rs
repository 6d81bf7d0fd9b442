//! The chain's heads and the registry of pre-images as transfers need them: in memory, answering at once (R8.30 to R8.33).
//!
//! ```text
//!   any endpoint: newest blocks --------.             .--> best(), finalised()
//!   watcher: final blocks that count ---+--> LockRegistry --> registered(lock), preimage(lock)
//!   reader: the state after them -------'      |  '--> changed(): look again
//!                                              '--> registrar: calls that show up to 64 pre-images each
//! ```
//!
//! Nothing here is kept on disk: whoever has a transfer watches its lock from when it sees it first, and again after a start; and asks again for what it
//! wants registered.

mod facts;
mod follow;
mod heads;
mod queue;
mod reader;
mod recent;
mod registrar;
mod tally;
#[cfg(test)]
mod tests;

pub use facts::Interest;
pub use tally::Caused;

use crate::chain::{Arbiter, BlockRef, RegistrationCosts, Signer, Urgency, arbiter::PreimageShown};
use channel::{
    Pace,
    transfer::{Margins, Registered},
};
use facts::{Facts, opens};
use heads::Heads;
use protocol::{
    Amount, BlockNumber, PublicKey,
    contracts::conditional::{HashLock, Preimage},
};
use queue::{Over, Queue};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tally::Tally;
use tokio::{sync::watch, time::Instant};

/// What a node knows of the chain's heads and of locks. Clones share everything.
#[derive(Clone)]
pub struct LockRegistry(Arc<Shared>);

struct Shared {
    margins: Margins,
    state: Mutex<State>,
    /// Counts what became known: whoever waits looks again.
    changed: watch::Sender<u64>,
    /// The same, and what was asked for: for those who work here.
    work: watch::Sender<u64>,
}

struct State {
    heads: Heads,
    facts: Facts,
    queue: Queue,
    tally: Tally,
    /// What registrations cost, once the chain was asked.
    costs: Option<RegistrationCosts>,
}

/// A lock that is watched until this is dropped.
#[derive(Debug)]
#[must_use = "a lock is watched as long as somebody holds this"]
pub struct Watching {
    of: Weak<Shared>,
    lock: HashLock,
    look: facts::Look,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(shared) = self.of.upgrade() {
            shared.state().facts.unwatch(&self.lock, self.look);
        }
    }
}

/// That is not the lock's pre-image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("that pre-image does not open lock {:?}", .0)]
pub struct WrongPreimage(pub HashLock);

/// What there is to tell of heads, locks and registrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryReport {
    /// The newest block that anybody shows, or that there may be by the clock (R8.30).
    pub best: BlockNumber,
    /// The newest final block that counts.
    pub finalised: BlockNumber,
    /// How many locks are watched.
    pub watched: usize,
    /// How many registrations wait for a call.
    pub waiting: usize,
    /// How many are under way, or in a block that does not count yet.
    pub under_way: usize,
    /// Why the last call failed, where it did.
    pub failing: Option<String>,
    /// What is kept in the account for registrations.
    pub reserve: Amount,
    /// What they cost, once the chain was asked.
    pub costs: Option<RegistrationCosts>,
    /// How many pre-images anybody has shown in the last final block, and the most in any since the node started.
    pub in_last_block: usize,
    /// See [`in_last_block`](Self::in_last_block).
    pub busiest_block: usize,
    /// What was registered on account of whom since the node started.
    pub caused: Vec<(PublicKey, Caused)>,
}

impl LockRegistry {
    /// One for a chain of which `began` is the newest final block, as one endpoint tells.
    pub(super) fn new(pace: Pace, began: BlockNumber) -> Self {
        let state = State {
            heads: Heads::new(began, Instant::now()),
            facts: Facts::default(),
            queue: Queue::default(),
            tally: Tally::default(),
            costs: None,
        };
        let (changed, work) = (watch::Sender::new(0), watch::Sender::new(0));
        Self(Arc::new(Shared { margins: margins(pace), state: Mutex::new(state), changed, work }))
    }

    /// The newest block that any endpoint shows, carried on by the clock at the least block time (R8.30). Never below the finalised head. Whether there is
    /// still time is judged by it.
    #[must_use]
    pub fn best(&self) -> BlockNumber {
        self.0.state().heads.best(Instant::now())
    }

    /// The newest final block that counts: whether something is over is judged by it. Nothing is before the first one was told.
    #[must_use]
    pub fn finalised(&self) -> BlockNumber {
        self.0.state().heads.finalised()
    }

    /// What takes how long on this chain.
    #[must_use]
    pub fn margins(&self) -> Margins {
        self.0.margins
    }

    /// What the arbiter's registry has of a lock, as far as it was watched (R8.31).
    #[must_use]
    pub fn registered(&self, lock: &HashLock) -> Registered {
        self.0.state().facts.registered(lock)
    }

    /// A lock's pre-image, from wherever it is known.
    #[must_use]
    pub fn preimage(&self, lock: &HashLock) -> Option<Preimage> {
        self.0.state().facts.preimage(lock)
    }

    /// Changes with each new head, and with whatever becomes known of a lock that is watched.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// Watches a lock, for a transfer that expires with this block: it is read once, with the next head, and again once that block is final.
    pub fn watch(&self, lock: HashLock, expiry: BlockNumber, interest: Interest) -> Watching {
        let look = (expiry, interest);
        self.0.state().watch(lock, look);
        self.0.work();
        Watching { of: Arc::downgrade(&self.0), lock, look }
    }

    /// Has a lock that is watched read at once, and not with the next head.
    pub fn ask(&self, lock: &HashLock) {
        if self.0.state().facts.ask(lock) {
            self.0.work();
        }
    }

    /// Takes note of a pre-image that was shown by somebody, in whatever way: it proves itself. Whether it is the lock's.
    pub fn learn(&self, lock: &HashLock, preimage: Preimage) -> bool {
        let is_news = self.0.state().facts.learn(lock, preimage);
        if is_news {
            self.0.wake();
        }
        is_news || opens(lock, &preimage)
    }

    /// Has a pre-image shown on chain before block `until`, on account of a peer (R8.32): again and again, until a final block that counts has it, or the
    /// registry was read at or after `until` and had it not. Asked again, it is one registration still. After a start it is asked again.
    ///
    /// [`registered`](Self::registered) tells what came of it, as long as the lock is watched.
    ///
    /// # Errors
    /// [`WrongPreimage`]: nothing is registered.
    pub fn register(
        &self,
        lock: HashLock,
        preimage: Preimage,
        until: BlockNumber,
        on_account_of: PublicKey,
    ) -> Result<(), WrongPreimage> {
        self.register_all([(lock, preimage, until)], on_account_of).pop().map_or(Ok(()), Err)
    }

    /// [`register`](Self::register) for many, each with the block before which it is to be shown: those that nothing else keeps from it go on chain in one call.
    /// Answers which of them are none.
    #[must_use]
    pub fn register_all(
        &self,
        wanted: impl IntoIterator<Item = (HashLock, Preimage, BlockNumber)>,
        on_account_of: PublicKey,
    ) -> Vec<WrongPreimage> {
        let mut wrong = Vec::new();
        let mut is_news = false;
        let mut state = self.0.state();
        for (lock, preimage, until) in wanted {
            if !opens(&lock, &preimage) {
                wrong.push(WrongPreimage(lock));
                continue;
            }
            // Whoever asks late, for it has had to keep something first, has nothing left to be registered.
            if state.facts.registered(&lock).is_shown_before(until) {
                continue;
            }
            if state.queue.want(lock, preimage, until, on_account_of) {
                state.watch(lock, (until, Interest::Paid));
            }
            is_news |= state.facts.learn(&lock, preimage);
        }
        drop(state);
        if is_news {
            self.0.wake();
        } else {
            self.0.work();
        }
        wrong
    }

    /// Waits until it is known whether a lock was shown before block `expiry`; which the lock must be watched for.
    pub async fn settled(&self, lock: &HashLock, expiry: BlockNumber) -> Registered {
        let mut changes = self.changes();
        loop {
            let _seen = *changes.borrow_and_update();
            let known = self.registered(lock);
            if known.is_shown_before(expiry) || known.is_silent_at(expiry) {
                return known;
            }
            // The sender is here as long as we are.
            let _changed = changes.changed().await;
        }
    }

    /// What registrations cost on this chain, once it was asked: it is when a lock is first watched that this node may have to register.
    #[must_use]
    pub fn costs(&self) -> Option<RegistrationCosts> {
        self.0.state().costs
    }

    /// What registrations on account of a peer have cost since the node started.
    #[must_use]
    pub fn caused_by(&self, peer: &PublicKey) -> Caused {
        self.0.state().tally.of(peer)
    }

    /// What is kept in the account: what it costs to register every lock that this node is paid by and that is open, each in as few calls as they fit.
    #[must_use]
    pub fn reserve(&self) -> Amount {
        self.0.state().reserve()
    }

    /// What there is to tell of all this.
    #[must_use]
    pub fn report(&self) -> RegistryReport {
        let state = self.0.state();
        let (waiting, under_way) = state.queue.counts();
        RegistryReport {
            best: state.heads.best(Instant::now()),
            finalised: state.heads.finalised(),
            watched: state.facts.count(),
            waiting,
            under_way,
            failing: state.tally.failing.clone(),
            reserve: state.reserve(),
            costs: state.costs,
            in_last_block: state.tally.in_block.1,
            busiest_block: state.tally.busiest,
            caused: state.tally.all(),
        }
    }

    /// A final block counts, in which these pre-images were shown.
    pub(super) fn on_block(&self, at: BlockRef, shown: Vec<PreimageShown>) {
        let mut state = self.0.state();
        state.heads.tell(at);
        state.tally.shown(at.number, shown.len());
        for shown in shown {
            let _news = state.facts.hear(shown, true);
        }
        drop(state);
        self.0.review();
    }

    /// Blocks before this one were skipped: nobody has looked what was shown in them.
    pub(super) fn on_skipped(&self, at: BlockRef) {
        let mut state = self.0.state();
        state.heads.tell(at);
        state.facts.skip();
        drop(state);
        self.0.review();
    }

    /// A block that does not count, or not yet, shows these pre-images.
    pub(super) fn on_rumours(&self, shown: impl IntoIterator<Item = PreimageShown>) {
        self.0.hear(shown);
    }

    /// What runs until it is dropped: who listens for newest blocks, who reads the registry, who registers, and who asks what that costs. `urgency` says how
    /// urgent a call is that counts up to a block.
    pub(super) async fn run(
        self,
        arbiter: Arc<Arbiter>,
        signer: Arc<dyn Signer>,
        urgency: impl Fn(BlockNumber) -> Urgency,
    ) {
        tokio::join!(
            follow::newest(&self.0, arbiter.chain()),
            reader::run(&self.0, &arbiter),
            registrar::run(&self.0, &arbiter, &signer, urgency),
            registrar::keep_costs(&self.0, &arbiter, &signer),
        );
    }
}

impl fmt::Debug for LockRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockRegistry").field("report", &self.report()).finish_non_exhaustive()
    }
}

impl State {
    fn watch(&mut self, lock: HashLock, look: facts::Look) {
        let head = self.heads.told().map(|at| at.number);
        self.facts.watch(lock, look, head);
    }

    fn reserve(&self) -> Amount {
        self.costs.map_or(0, |costs| costs.of(self.facts.at_risk()))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something became known.
    fn wake(&self) {
        self.changed.send_modify(|changes| *changes = changes.wrapping_add(1));
        self.work();
    }

    /// Something is to be done.
    fn work(&self) {
        self.work.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    fn hear(&self, shown: impl IntoIterator<Item = PreimageShown>) {
        let mut state = self.state();
        let mut is_news = false;
        for shown in shown {
            is_news |= state.facts.hear(shown, false);
        }
        drop(state);
        if is_news {
            self.wake();
        }
    }

    /// Facts or heads have changed: registrations that are over are let go of.
    fn review(&self) {
        let mut state = self.state();
        let State { heads, facts, queue, tally, .. } = &mut *state;
        let heads = (heads.finalised(), heads.best(Instant::now()));
        for ended in queue.review(facts, heads, self.margins.register) {
            if ended.over == Over::TooLate {
                tracing::error!(lock = ?ended.lock, peer = %ended.peer, "a pre-image was not registered before its expiry");
                tally.too_late(ended.peer);
            }
            for expiry in ended.expiries {
                facts.unwatch(&ended.lock, (expiry, Interest::Paid));
            }
        }
        drop(state);
        self.wake();
    }
}

/// What takes how long for a node with this pace: two tries to be in a block, and until that block is seen as final; and a moment between.
fn margins(pace: Pace) -> Margins {
    let register = pace.include_within.saturating_mul(2).saturating_add(pace.look_within).saturating_add(2);
    Margins { register, ..Margins::default() }
}

#[cfg(test)]
mod for_tests {
    use protocol::{
        contracts::conditional::{HashFunction, HashLock, Preimage},
        crypto::Native,
    };

    pub(super) const fn preimage(of: u8) -> Preimage {
        Preimage([of; 32])
    }

    pub(super) fn lock(of: u8) -> HashLock {
        preimage(of).lock(HashFunction::Blake2b256, &Native)
    }

    pub(super) fn sha(of: u8) -> HashLock {
        preimage(of).lock(HashFunction::Sha2_256, &Native)
    }
}
