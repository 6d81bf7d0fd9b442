//! Follows the finalised chain and tells every peer's task (R6.8, R6.9): blocks missed while down come first.
//!
//! ```text
//!   blocks from `next` on --> a second endpoint has the same --> every peer's task
//!        |                         |
//!        |                         '- not (yet): closes and forced steps are answered, and nothing else becomes known (R6.9a)
//!        '- the state of `next` is nowhere to be had, or endpoints contradict each other: the record of each channel at the head instead,
//!           then on from there (R6.9b)
//! ```
//!
//! Whoever confirms is never waited for: blocks are looked at as fast as the endpoint in use tells them. What stands between the chain and its
//! followers is in the node's health: see [`Sight`].

mod block;
mod history;
mod notes;
mod records;
mod sight;
mod unconfirmed;

pub(super) use block::{BlockContents, UnconfirmedBlock, WatchedBlock};
pub(super) use history::{NEXT_BLOCK, Seen, Verdict, noted, noted_at, verify};
pub(super) use notes::Notes;
pub(super) use records::{Found, Records};
pub(super) use sight::Sight;

use super::{defended::Signal, ended, following::News, peers::Peers};
use crate::{
    chain::{Arbiter, Block, BlockRef, ChainError, arbiter::PreimageShown},
    store::StoreHandle,
};
use channel::UnconfirmedDispute;
use futures::{FutureExt, StreamExt, stream::BoxStream};
use protocol::{BlockNumber, ChannelId};
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use unconfirmed::Unconfirmed;

/// How many blocks without anything for us may be looked at again after a crash: saves a durable write for each of them.
const SAVE_EVERY: BlockNumber = 64;
/// How long to wait before asking a chain again that could not be reached.
const RETRY: Duration = Duration::from_secs(3);
/// How long to wait at most from one reading of all channels' records to the next.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// After so long without such a reading the next one does not wait.
const CALM: Duration = Duration::from_secs(600);
/// How many blocks the slowest task may be behind before blocks are told at leisure: bounds what waits for it after a long absence.
const MAX_AHEAD: BlockNumber = 1_024;
/// How long the next block waits then: far less than any chain takes for one.
const BREATH: Duration = Duration::from_millis(10);
/// How often the head is compared with what was told.
const LOOK: Duration = Duration::from_secs(1);

/// What the watcher works with.
pub(super) struct Watcher {
    arbiter: Arc<Arbiter>,
    store: Option<StoreHandle>,
    peers: Weak<Peers>,
    /// The last block that was told, as far as it is known.
    seen: Option<Seen>,
    /// The next block to tell.
    next: BlockNumber,
    /// The block about which endpoints contradicted each other last.
    disputed: Option<BlockNumber>,
    /// When all records were read last, and how long to wait for the next time.
    resynchronised: Option<(Instant, Duration)>,
    /// For how many blocks the proof of an ended channel is kept.
    keep_ended: BlockNumber,
    /// The last block by which ended channels were let go of.
    expired: BlockNumber,
    /// Who acts where a peer's task does not.
    defence: mpsc::UnboundedSender<Signal>,
    /// A note that is being written. Nobody waits for the disk.
    writing: Option<JoinHandle<()>>,
}

impl Watcher {
    pub(super) fn new(
        (arbiter, store): (Arc<Arbiter>, Option<StoreHandle>),
        peers: Weak<Peers>,
        (next, seen): (BlockNumber, Option<Seen>),
        keep_ended: BlockNumber,
        defence: mpsc::UnboundedSender<Signal>,
    ) -> Self {
        let (disputed, resynchronised, writing, expired) = (None, None, None, 0);
        Self { arbiter, store, peers, seen, next, disputed, resynchronised, keep_ended, expired, defence, writing }
    }

    /// Follows the chain until the node is gone. A fault of the program that ends this is in the node's health.
    pub(super) async fn run(self) {
        let peers = Weak::clone(&self.peers);
        if AssertUnwindSafe(self.watch()).catch_unwind().await.is_err()
            && let Some(peers) = peers.upgrade()
        {
            let cause = "the task that follows the chain has broken down; see the log, and start the node again";
            tracing::error!("{cause}");
            peers.sight.blind(ChainError::Unreachable(cause.into()));
        }
    }

    async fn watch(mut self) {
        while self.peers.strong_count() > 0 {
            let Err(error) = self.follow().await else { continue };
            let done = match &error {
                ChainError::Pruned { .. } => self.resynchronise().await,
                ChainError::Disputed { block, .. } => {
                    let block = *block;
                    self.note_trouble(error);
                    // Once the blocks are read from another endpoint. Where that is contradicted too, the records decide.
                    if self.disputed.replace(block) == Some(block) { self.resynchronise().await } else { Ok(()) }
                }
                _ => Err(error),
            };
            if let Err(error) = done {
                tracing::warn!(%error, next = self.next, "the chain cannot be followed: asking again");
                self.note_trouble(error);
                self.look_for(RETRY).await;
            }
        }
    }

    /// Notes what is in the way of the next block.
    fn note_trouble(&self, error: ChainError) {
        let Some(peers) = self.peers.upgrade() else { return };
        match error {
            ChainError::Disputed { .. } | ChainError::Unconfirmed { .. } => peers.sight.doubt(self.next, error),
            _ => peers.sight.blind(error),
        }
    }

    /// Tells block after block. Ends where the node is gone or blocks have to be read once more, or with what is in the way.
    async fn follow(&mut self) -> Result<(), ChainError> {
        let chain = Arc::clone(self.arbiter.chain());
        if let Some(seen) = self.seen
            && let Err(error) = verify(&*chain, seen).await
        {
            chain.leave_endpoint(&error).await;
            return Err(error);
        }
        let mut blocks = chain.finalised_blocks(self.next).await?;
        let mut unconfirmed = Unconfirmed::new(chain);
        while self.peers.strong_count() > 0 && !unconfirmed.is_over() {
            tokio::select! {
                biased;
                judged = unconfirmed.next(), if !unconfirmed.is_empty() => {
                    if let Some((block, verdict)) = judged {
                        self.judge(&mut unconfirmed, block, verdict).await?;
                    }
                }
                block = self.next_block(&mut blocks), if unconfirmed.takes_more() => {
                    let Some(block) = block? else { return Ok(()) };
                    self.on_block(&mut unconfirmed, block).await?;
                }
            }
        }
        Ok(())
    }

    /// A block was read: a second endpoint is asked about it, and meanwhile it is looked at.
    async fn on_block(&mut self, unconfirmed: &mut Unconfirmed, block: Block) -> Result<(), ChainError> {
        let number = block.at.number;
        let disputes = self.disputes(&block);
        self.tell_preimages(&block);
        unconfirmed.ask(block);
        let judged = self.judge_known(unconfirmed).await;
        if self.next <= number && (unconfirmed.in_doubt() || !disputes.is_empty()) {
            self.tell_unconfirmed(UnconfirmedBlock { number, disputes });
        }
        judged
    }

    /// Judges what is known by now: with a single endpoint, everything.
    async fn judge_known(&mut self, unconfirmed: &mut Unconfirmed) -> Result<(), ChainError> {
        while let Some((block, verdict)) = unconfirmed.known() {
            self.judge(unconfirmed, block, verdict).await?;
        }
        Ok(())
    }

    /// What came of asking about the first block that was not told yet.
    async fn judge(
        &mut self,
        unconfirmed: &mut Unconfirmed,
        block: Block,
        verdict: Result<(), ChainError>,
    ) -> Result<(), ChainError> {
        match verdict {
            Ok(()) => {
                self.disputed = None;
                let events: Vec<_> = block.events.iter().filter_map(|event| self.arbiter.event(event)).collect();
                let save = !events.is_empty() || block.at.number.is_multiple_of(SAVE_EVERY);
                if let Some(peers) = self.peers.upgrade() {
                    peers.registry.on_block(block.at, self.preimages(&block).collect());
                }
                self.tell(block.at, BlockContents { events, records: None }, save).await;
                Ok(())
            }
            Err(error @ (ChainError::Disputed { .. } | ChainError::Pruned { .. })) => Err(error),
            Err(error) => {
                tracing::debug!(%error, block = block.at.number, "a block is not confirmed");
                if let Some(peers) = self.peers.upgrade() {
                    peers.sight.doubt(block.at.number, error);
                }
                unconfirmed.ask_again(block);
                Ok(())
            }
        }
    }

    /// What a block says of channels of this node that may have to be answered.
    fn disputes(&self, block: &Block) -> Vec<(ChannelId, UnconfirmedDispute)> {
        let Some(peers) = self.peers.upgrade() else { return Vec::new() };
        let known = peers.channels();
        let events = block.events.iter().filter_map(|event| self.arbiter.event(event));
        let ours = events.filter(|event| known.contains_key(&event.channel));
        ours.filter_map(|event| Some((event.channel, UnconfirmedDispute::of_event(&event.event)?))).collect()
    }

    fn preimages(&self, block: &Block) -> impl Iterator<Item = PreimageShown> {
        block.events.iter().filter_map(|event| self.arbiter.preimage(event))
    }

    /// What unlocks proves itself, whoever shows it and whether or not the block counts.
    fn tell_preimages(&self, block: &Block) {
        if let Some(peers) = self.peers.upgrade() {
            peers.registry.on_rumours(self.preimages(block));
        }
    }

    /// Tells every peer's task and the defence of a block that nobody confirms.
    fn tell_unconfirmed(&self, unconfirmed: UnconfirmedBlock) {
        let Some(peers) = self.peers.upgrade() else { return };
        let unconfirmed = Arc::new(unconfirmed);
        peers.following.tell(&News::Unconfirmed(Arc::clone(&unconfirmed)));
        let _over = self.defence.send(Signal::Unconfirmed(unconfirmed));
    }

    /// Looks for a while at the blocks that cannot be told, so that what needs an answer is answered.
    async fn look_for(&mut self, pause: Duration) {
        let now = Instant::now();
        let until = now.checked_add(pause).unwrap_or(now);
        let looking = async {
            let mut blocks = self.arbiter.chain().finalised_blocks(self.next).await?;
            while let Some(block) = self.next_block(&mut blocks).await? {
                let (number, disputes) = (block.at.number, self.disputes(&block));
                self.tell_preimages(&block);
                self.tell_unconfirmed(UnconfirmedBlock { number, disputes });
            }
            Ok::<(), ChainError>(())
        };
        let _in_the_way = timeout_at(until, looking).await;
        sleep_until(until).await;
    }

    /// The next block, and a look at the head while there is none; none where the node is gone.
    async fn next_block(
        &mut self,
        blocks: &mut BoxStream<'static, Result<Block, ChainError>>,
    ) -> Result<Option<Block>, ChainError> {
        loop {
            let Some(progress) = self.peers.upgrade().map(|peers| peers.following.progress()) else { return Ok(None) };
            tokio::select! {
                block = blocks.next() => {
                    let ended = || ChainError::Unreachable("the stream of blocks ended".into());
                    return block.ok_or_else(ended)?.map(Some);
                }
                () = progress.notified() => {
                    self.note();
                    continue;
                }
                // What could not be noted while another note was being written.
                () = sleep(LOOK) => self.note(),
            }
            let head = self.arbiter.finalised_head().await?.number;
            let Some(peers) = self.peers.upgrade() else { return Ok(None) };
            peers.sight.saw_head(head);
            drop(peers);
            self.note_looked(head);
        }
    }

    /// Every block up to `head` was told: peers with channels are heard from now on (R6.6a). The head at the start would not do: an endpoint may have
    /// made it up.
    fn note_looked(&self, head: BlockNumber) {
        let Some(peers) = self.peers.upgrade() else { return };
        if self.next > head && peers.set_looked() {
            peers.following.tell(&News::Looked);
        }
    }

    /// Tells every peer's task of a block, and then the defence. Neither is waited for.
    async fn tell(&mut self, at: BlockRef, contents: BlockContents, save: bool) {
        let Some(peers) = self.peers.upgrade() else { return };
        let block = Arc::new(WatchedBlock { at, contents });
        peers.set_head(at.number);
        peers.following.tell(&News::Block(Arc::clone(&block)));
        let done = peers.following.done(at.number);
        let _over = self.defence.send(Signal::Block(block));
        peers.sight.followed(at.number);
        if save {
            peers.notes.owe(at);
        }
        let has_looked = peers.has_looked();
        drop(peers);
        self.next = at.number.saturating_add(1);
        self.seen = Some(at.into());
        if !has_looked && let Ok(head) = self.arbiter.finalised_head().await {
            self.note_looked(head.number);
        }
        self.note();
        // While blocks are caught up with, one look after the other tells nothing new.
        if has_looked {
            self.look_at_purse();
        }
        if at.number.saturating_sub(done) > MAX_AHEAD {
            sleep(BREATH).await;
        }
    }

    /// Has a look at what the account has for fees. Nobody waits for it.
    fn look_at_purse(&self) {
        // Nothing of the store: whatever the chain's endpoints take, a node that was stopped lets go of it.
        let Some(purse) = self.peers.upgrade().map(|peers| Arc::clone(&peers.purse)) else { return };
        let _task = tokio::spawn(async move {
            if let Err(error) = purse.look().await {
                tracing::debug!(%error, "the account could not be looked at");
            }
        });
    }

    /// Notes how far the chain was looked at, as far as every peer's task has committed what came of it.
    fn note(&mut self) {
        let Some((peers, store)) = self.peers.upgrade().zip(self.store.clone()) else { return };
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return;
        }
        let Some(at) = peers.due_note() else { return };
        // Several blocks may be noted at once: the one whose turn it is need not be the last of them.
        let is_due = at.number / SAVE_EVERY > self.expired / SAVE_EVERY;
        let before = is_due.then(|| at.number.saturating_sub(self.keep_ended));
        if is_due {
            self.expired = at.number;
        }
        self.writing = Some(tokio::spawn(peers.running.track(async move {
            if let Err(error) = store.commit(noted_at(at)).await {
                tracing::error!(%error, "could not note the last block");
            }
            if let Some(before) = before {
                expire_ended(&store, before).await;
            }
        })));
    }

    /// The next block cannot be told. Each channel is brought up to date from its record at the head instead, and the blocks after that are followed
    /// (R6.9b). Again and again, it is done ever less often: each time every channel is read, and tells of it.
    async fn resynchronise(&mut self) -> Result<(), ChainError> {
        let pause = match self.resynchronised {
            Some((last, pause)) if last.elapsed() < CALM => {
                self.look_for(pause).await;
                pause.saturating_mul(2).min(MAX_PAUSE)
            }
            _ => RETRY,
        };
        self.resynchronised = Some((Instant::now(), pause));
        let Some(peers) = self.peers.upgrade() else { return Ok(()) };
        let head = self.arbiter.finalised_head().await?;
        let known = peers.known_channels();
        drop(peers);
        tracing::warn!(from = self.next, to = head.number, "skipping blocks that cannot be read, or not be believed");
        match Records::read(&self.arbiter, known.clone(), self.next, head).await {
            Ok(records) => {
                if let Some(peers) = self.peers.upgrade() {
                    peers.registry.on_skipped(head);
                }
                self.tell(head, BlockContents { events: Vec::new(), records: Some(records) }, true).await;
                Ok(())
            }
            // Closes and forced steps are answered, and the rest waits until two endpoints agree: whatever the other one says, that it has forgotten
            // the state too.
            Err(error) => {
                let disputes = records::disputes(&self.arbiter, &known).await?;
                self.tell_unconfirmed(UnconfirmedBlock { number: self.next, disputes });
                Err(error)
            }
        }
    }
}

/// Lets go of proofs that have been kept for long enough after their channels' ends.
async fn expire_ended(store: &StoreHandle, before: BlockNumber) {
    let done = match ended::expire(store, before) {
        Ok(Some(batch)) => store.commit(batch).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        tracing::error!(%error, "could not let go of ended channels");
    }
}
