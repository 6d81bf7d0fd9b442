//! Follows the finalised chain and tells every peer's task (R6.8, R6.9): blocks missed while down come first.
//!
//! ```text
//!   blocks from `next` on --> every peer's task
//!        |
//!        |- no second endpoint confirms what one says of our channels: closes are answered, the rest waits until two agree (R6.9a)
//!        '- the state of `next` is nowhere to be had: the record of each channel at the head instead, then on from there (R6.9b)
//! ```
//!
//! What stands between the chain and its followers is in the node's health: see [`Sight`].

mod history;
mod notes;
mod records;
mod sight;

pub(super) use history::{NEXT_BLOCK, Seen, Verdict, noted, noted_at, verify};
pub(super) use notes::Notes;
pub(super) use records::{Found, Records};
pub(super) use sight::Sight;

use super::{Peers, defence, ended};
use crate::{
    chain::{Arbiter, Block, BlockRef, ChainError, arbiter::ArbiterEvent},
    store::StoreHandle,
};
use futures::{FutureExt, StreamExt, stream::BoxStream};
use protocol::{BlockNumber, ChannelId, Pair, PartyId};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinHandle, time::sleep};

/// How many blocks without anything for us may be looked at again after a crash: saves a durable write for each of them.
const SAVE_EVERY: BlockNumber = 64;
/// How long to wait before asking a chain again that could not be reached.
const RETRY: Duration = Duration::from_secs(3);
/// How many blocks the slowest task may be behind before blocks are told at leisure: bounds what waits for it after a long absence.
const MAX_AHEAD: BlockNumber = 1_024;
/// How long the next block waits then: far less than any chain takes for one.
const BREATH: Duration = Duration::from_millis(10);
/// How often the head is compared with what was told.
const LOOK: Duration = Duration::from_secs(1);

/// A finalised block with what the arbiter announced in it.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) at: BlockRef,
    pub(super) told: Told,
}

/// What is told of a block.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) events: Vec<ArbiterEvent>,
    /// Events of channels that are in doubt: nothing but an alarm is made of them.
    pub(super) doubtful: Vec<ArbiterEvent>,
    /// The channels that are in doubt after it: what was done in them on chain is done, and its event is still to come.
    pub(super) doubted: BTreeSet<ChannelId>,
    /// What the chain has of channels after it, where blocks were skipped or in doubt.
    pub(super) records: Option<Records>,
}

/// What the watcher works with.
pub(super) struct Watcher {
    pub(super) arbiter: Arc<Arbiter>,
    pub(super) store: Option<StoreHandle>,
    pub(super) peers: Weak<Peers>,
    /// The last block that was told, as far as it is known.
    pub(super) seen: Option<Seen>,
    /// The next block to look at.
    pub(super) next: BlockNumber,
    /// Channels of which a block said what was not confirmed: the first such block, and the channel's parties.
    pub(super) doubted: BTreeMap<ChannelId, (BlockNumber, Pair<PartyId>)>,
    /// For how many blocks the proof of an ended channel is kept.
    pub(super) keep_ended: BlockNumber,
    /// Who acts where a peer's task does not.
    pub(super) defence: mpsc::UnboundedSender<defence::Signal>,
    /// A note that is being written. Nobody waits for the disk.
    pub(super) writing: Option<JoinHandle<()>>,
}

impl Watcher {
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
            let Err(error) = self.follow().await else { return };
            let done = match &error {
                ChainError::Pruned { .. } => self.resynchronise().await,
                _ => Err(error),
            };
            if let Err(error) = done {
                tracing::warn!(%error, next = self.next, "the chain cannot be followed: asking again");
                self.note_blind(error);
                sleep(RETRY).await;
            }
        }
    }

    fn note_blind(&self, error: ChainError) {
        if let Some(peers) = self.peers.upgrade() {
            peers.sight.blind(error);
        }
    }

    /// Tells block after block. Ends where the node is gone, or with what is in the way.
    async fn follow(&mut self) -> Result<(), ChainError> {
        let chain = Arc::clone(self.arbiter.chain());
        if let Some(seen) = self.seen {
            let _same_or_forgotten = verify(&*chain, seen).await?;
        }
        let mut blocks = chain.finalised_blocks(self.next).await?;
        loop {
            let Some(block) = self.next_block(&mut blocks).await? else { return Ok(()) };
            let events: Vec<_> = block.events.iter().filter_map(|event| self.arbiter.event(event)).collect();
            let save = !events.is_empty() || block.at.number.is_multiple_of(SAVE_EVERY);
            self.confirm(&block, &events).await;
            let (doubtful, events): (Vec<_>, Vec<_>) =
                events.into_iter().partition(|event| self.doubted.contains_key(&event.channel));
            let records = self.clear_doubts(block.at).await;
            self.tell(block.at, Told { events, doubtful, records, ..Told::default() }, save).await;
            if self.peers.strong_count() == 0 {
                return Ok(());
            }
        }
    }

    /// What a block says of channels of this node is believed once a second endpoint says so too (R6.9a).
    async fn confirm(&mut self, block: &Block, events: &[ArbiterEvent]) {
        let Some(peers) = self.peers.upgrade() else { return };
        let ours: Vec<_> = {
            let known = peers.channels();
            let parties = |event: &ArbiterEvent| Some((event.channel, *known.get(&event.channel)?));
            events.iter().filter_map(parties).collect()
        };
        drop(peers);
        if ours.is_empty() {
            return;
        }
        let Err(error) = self.arbiter.chain().confirm(block).await else { return };
        tracing::warn!(%error, block = block.at.number, "what a block says of channels is not confirmed");
        for (channel, parties) in ours {
            let _earlier = self.doubted.entry(channel).or_insert((block.at.number, parties));
        }
        if let Some(peers) = self.peers.upgrade() {
            peers.sight.doubt(block.at.number, error);
        }
    }

    /// What the chain has of channels that are in doubt, once two endpoints agree about all of them.
    async fn clear_doubts(&mut self, at: BlockRef) -> Option<Records> {
        let from = self.doubted.values().map(|(block, _)| *block).min()?;
        let channels = self.doubted.iter().map(|(channel, (_, parties))| (*channel, *parties)).collect();
        match Records::read(&self.arbiter, channels, from, at).await {
            Ok(records) => {
                self.doubted.clear();
                Some(records)
            }
            Err(error) => {
                self.peers.upgrade()?.sight.doubt(from, error);
                None
            }
        }
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
                () = sleep(LOOK) => {}
            }
            let head = self.arbiter.finalised_head().await?.number;
            let Some(peers) = self.peers.upgrade() else { return Ok(None) };
            peers.sight.saw_head(head);
        }
    }

    /// Tells every peer's task of a block, and then the defence. Neither is waited for.
    async fn tell(&mut self, at: BlockRef, mut told: Told, save: bool) {
        let Some(peers) = self.peers.upgrade() else { return };
        told.doubted = self.doubted.keys().copied().collect();
        let block = Arc::new(Watched { at, told });
        peers.set_head(at.number);
        peers.following.tell(&block);
        let done = peers.following.done(at.number);
        let _over = self.defence.send(defence::Signal::Block(block));
        peers.sight.followed(at.number, self.doubted.is_empty());
        // A block that is in doubt is looked at again after a restart.
        if save && self.doubted.is_empty() {
            peers.notes.owe(at);
        }
        drop(peers);
        self.next = at.number.saturating_add(1);
        self.seen = Some(at.into());
        self.note();
        self.look_at_purse();
        if at.number.saturating_sub(done) > MAX_AHEAD {
            sleep(BREATH).await;
        }
    }

    /// Has a look at what the account has for fees. Nobody waits for it.
    fn look_at_purse(&self) {
        let Some(peers) = self.peers.upgrade() else { return };
        let _task = tokio::spawn(async move {
            if let Err(error) = peers.purse.look().await {
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
        let before = at.number.is_multiple_of(SAVE_EVERY).then(|| at.number.saturating_sub(self.keep_ended));
        self.writing = Some(tokio::spawn(async move {
            if let Err(error) = store.commit(noted_at(at)).await {
                tracing::error!(%error, "could not note the last block");
            }
            if let Some(before) = before {
                expire_ended(&store, before).await;
            }
        }));
    }

    /// The state of the next block is forgotten everywhere. Each channel is brought up to date from its record at the head instead, and the blocks
    /// after that are followed (R6.9b).
    async fn resynchronise(&mut self) -> Result<(), ChainError> {
        let Some(peers) = self.peers.upgrade() else { return Ok(()) };
        let head = self.arbiter.finalised_head().await?;
        let known = peers.known_channels();
        drop(peers);
        tracing::warn!(from = self.next, to = head.number, "skipping blocks whose states no endpoint keeps any more");
        let told = match Records::read(&self.arbiter, known.clone(), self.next, head).await {
            Ok(records) => {
                self.doubted.clear();
                Told { records: Some(records), ..Told::default() }
            }
            // Closes are answered, and the rest waits until two endpoints agree.
            Err(error @ (ChainError::Disputed { .. } | ChainError::Unconfirmed { .. })) => {
                let doubtful = records::closes(&self.arbiter, &known).await?;
                for (channel, parties) in known {
                    let _earlier = self.doubted.entry(channel).or_insert((self.next, parties));
                }
                if let Some(peers) = self.peers.upgrade() {
                    peers.sight.doubt(self.next, error);
                }
                Told { doubtful, ..Told::default() }
            }
            Err(error) => return Err(error),
        };
        self.tell(head, told, true).await;
        Ok(())
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
