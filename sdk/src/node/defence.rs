//! The defence: a room of its own (R6.9e). It acts for the channels of every peer whose own task does not: one that is late with a block, one that
//! has broken down, one whose store takes nothing more.
//!
//! ```text
//!   watcher -- every block --> Defence --> calls that defend (slash, snapshot, settlement)
//!                                 ^
//!   a peer's task: late (its channels as the store has them), broken (the same), its store failed (it hands its channels over)
//! ```
//!
//! What the defence does is what a node would do that was started now: the channels' own machines hear the same blocks, and of what they want done
//! only that is done which needs no new signature of a state, no peer, and no commit. It runs beside all other tasks, on a thread of its own.

use super::{
    book::Book,
    config::NodeConfig,
    defended::{DefenceCall, DefenceCause, DefendedPeer, Signal},
    disputes::{ANSWERS, UnconfirmedDisputes},
    events::NodeEvent,
    peers::Peers,
    restore,
    submitted::{self, Calls, defends},
    watcher::{Found, Records, UnconfirmedBlock, WatchedBlock},
};
use crate::{chain::CallError, store::StoreHandle};
use channel::{ChainInput, Channel, ChannelRef, Effect, Input, Millis, Notice, SavedError, Step};
use protocol::{
    BlockNumber, ChannelId, PublicKey,
    call::{Call, CallKind},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};

/// How long a peer's task may take for a block before the defence looks after its channels too.
const GRACE: Duration = Duration::from_secs(2);
/// How often the defence looks for tasks that are late.
const LOOK: Duration = Duration::from_secs(1);

/// The task.
pub(super) struct Defence {
    config: Arc<NodeConfig>,
    peers: Weak<Peers>,
    signals: mpsc::UnboundedReceiver<Signal>,
    answers: mpsc::UnboundedSender<Signal>,
    guarded: BTreeMap<PublicKey, Guarded>,
    /// Blocks that some peer's task has not done yet, and when they were told.
    recent: VecDeque<(Instant, Arc<WatchedBlock>)>,
    /// What nobody has confirmed, of every channel: whoever is looked after from now on may have heard of it before.
    disputes: HashMap<ChannelId, UnconfirmedDisputes>,
    head: BlockNumber,
    started: Instant,
}

/// What is to be done about a peer's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Care {
    /// They are read from the store.
    Read,
    /// Their task may look after them again.
    Leave,
    Nothing,
}

impl Care {
    /// Why channels are looked after, and up to which block their task had done what was read, where they are; why they are to be, and what their task
    /// has done by now. What it has agreed to since is in the store.
    fn of(guarded: Option<(&DefenceCause, BlockNumber)>, cause: Option<&DefenceCause>, done: BlockNumber) -> Self {
        match (guarded, cause) {
            (None, Some(_)) | (Some((DefenceCause::Late, _)), Some(DefenceCause::Over(_))) => Self::Read,
            (Some((DefenceCause::Late, before)), Some(DefenceCause::Late)) if before < done => Self::Read,
            (Some((DefenceCause::Late, _)), None) => Self::Leave,
            _ => Self::Nothing,
        }
    }
}

/// A peer's channels.
struct Guarded {
    cause: DefenceCause,
    since: Instant,
    /// Up to which block its task had done what is told here.
    done: BlockNumber,
    channels: BTreeMap<ChannelRef, GuardedChannel>,
}

struct GuardedChannel {
    channel: Channel,
    calls: Calls,
    failing: BTreeMap<CallKind, String>,
}

impl Defence {
    pub(super) fn new(
        peers: &Arc<Peers>,
        (answers, signals): (mpsc::UnboundedSender<Signal>, mpsc::UnboundedReceiver<Signal>),
    ) -> Self {
        Self {
            config: Arc::clone(&peers.config),
            peers: Arc::downgrade(peers),
            signals,
            answers,
            guarded: BTreeMap::new(),
            recent: VecDeque::new(),
            disputes: HashMap::new(),
            head: peers.head(),
            started: Instant::now(),
        }
    }

    /// Runs until the node is gone.
    pub(super) async fn run(mut self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while self.peers.strong_count() > 0 {
            tokio::select! {
                signal = self.signals.recv() => match signal {
                    None => return,
                    Some(signal) => self.hear(signal),
                },
                _ = looks.tick() => {}
            }
            while let Ok(signal) = self.signals.try_recv() {
                self.hear(signal);
            }
            self.look();
            self.report();
        }
    }

    /// A fault of the program that is met with one signal is not the end of the defence of all channels.
    fn hear(&mut self, signal: Signal) {
        if catch_unwind(AssertUnwindSafe(|| self.on_signal(signal))).is_err() {
            tracing::error!("a fault of the program was met in the defence of channels");
        }
    }

    fn on_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Block(block) => self.on_block(block),
            Signal::Unconfirmed(unconfirmed) => self.on_unconfirmed(&unconfirmed),
            Signal::TakeOver { peer, channels, head, cause } => {
                self.guard(peer, DefenceCause::Over(cause), channels, head);
            }
            Signal::Called { peer, reference, call, block, result } => {
                self.on_called((peer, reference), call, block, result)
            }
        }
    }

    fn on_block(&mut self, block: Arc<WatchedBlock>) {
        self.head = block.at.number;
        self.disputes.retain(|_, disputes| {
            disputes.know(block.at.number);
            !disputes.is_empty()
        });
        for peer in self.guarded.keys().copied().collect::<Vec<_>>() {
            self.feed(peer, &block);
        }
        self.recent.push_back((Instant::now(), block));
    }

    /// One endpoint alone tells of a block: what needs an answer is answered, once more with each such block (R6.9a).
    fn on_unconfirmed(&mut self, UnconfirmedBlock { number, disputes }: &UnconfirmedBlock) {
        if *number <= self.head {
            return;
        }
        for (channel, dispute) in disputes {
            self.disputes.entry(*channel).or_default().hear(*number, dispute);
        }
        for peer in self.guarded.keys().copied().collect::<Vec<_>>() {
            for reference in self.references(peer) {
                if let Some(kept) = self.kept(peer, reference) {
                    kept.calls.ask_again(&ANSWERS);
                }
                self.tell((peer, reference), Input::Chain(ChainInput::UnconfirmedHead(*number)));
                self.answer_disputes((peer, reference));
            }
        }
    }

    /// Answers what nobody has confirmed of a channel.
    fn answer_disputes(&mut self, at: (PublicKey, ChannelRef)) {
        let Some(kept) = self.guarded.get(&at.0).and_then(|guarded| guarded.channels.get(&at.1)) else { return };
        for call in kept.disputes(&self.disputes).map(|disputes| disputes.answers(&kept.channel)).unwrap_or_default() {
            self.make(at, call);
        }
    }

    /// Looks after the channels of tasks that are late or over, and leaves those of tasks that have caught up.
    fn look(&mut self) {
        let Some(peers) = self.peers.upgrade() else { return };
        let mut all_done = self.head;
        let courses = peers.following.all();
        let here: BTreeSet<_> = courses.iter().map(|(peer, _)| *peer).collect();
        // A task that has ended as it should has left nothing to look after.
        self.guarded.retain(|peer, guarded| guarded.cause != DefenceCause::Late || here.contains(peer));
        for (peer, course) in courses {
            let done = course.done();
            let first = self.recent.get(self.recent.partition_point(|(_, block)| block.at.number <= done));
            let late = first.filter(|(told, _)| told.elapsed() >= GRACE).map(|_late| DefenceCause::Late);
            let cause = course.failure().map(|cause| DefenceCause::Over(cause.to_owned())).or(late);
            let is_back = first.is_none() && cause.is_none();
            let guarded = self.guarded.get(&peer).map(|guarded| (&guarded.cause, guarded.done));
            match (Care::of(guarded, cause.as_ref(), done), cause) {
                (Care::Read, Some(cause)) => self.guard_stored(peer, cause, done),
                (Care::Leave, _) if is_back => {
                    let _late_no_more = self.guarded.remove(&peer);
                }
                _ => {}
            }
            // What is over hears each block as it comes.
            let is_over = self.guarded.get(&peer).is_some_and(|guarded| matches!(guarded.cause, DefenceCause::Over(_)));
            if !is_over {
                all_done = all_done.min(done);
            }
        }
        while self.recent.pop_front_if(|(_, block)| block.at.number <= all_done).is_some() {}
    }

    /// Begins to look after channels as the store has them.
    fn guard_stored(&mut self, peer: PublicKey, cause: DefenceCause, done: BlockNumber) {
        let Some(store) = self.config.store() else {
            if let DefenceCause::Over(_) = cause {
                tracing::error!(%peer, "the channels with a peer whose task is over are defended by nobody: there is no store");
                self.guard(peer, cause, Vec::new(), done);
            }
            return;
        };
        // The fault that has ended the task may be met with what it has stored.
        let stored = catch_unwind(AssertUnwindSafe(|| restore::channels(store, &peer.0)));
        let fault = |_| Err(SavedError::Damaged("a fault of the program was met".into()).into());
        match stored.unwrap_or_else(fault) {
            Ok(restored) => {
                let channels: Vec<_> = {
                    let readable = restored.readable.into_iter().map(|it| it.channel);
                    restored.channels.into_iter().chain(readable).collect()
                };
                if channels.is_empty() && cause == DefenceCause::Late {
                    let _none_left = self.guarded.remove(&peer);
                } else {
                    self.guard(peer, cause, channels, done);
                }
            }
            Err(error) => {
                tracing::error!(%peer, %error, "the channels with a peer whose task does not follow the chain cannot be read");
                match (self.guarded.get_mut(&peer), cause) {
                    (Some(guarded), cause @ DefenceCause::Over(_)) => guarded.cause = cause,
                    (None, cause @ DefenceCause::Over(_)) => self.guard(peer, cause, Vec::new(), done),
                    (_, DefenceCause::Late) => {}
                }
            }
        }
    }

    /// Begins to look after channels that have heard of every block up to `done`.
    fn guard(&mut self, peer: PublicKey, cause: DefenceCause, channels: Vec<Channel>, done: BlockNumber) {
        let before = self.guarded.remove(&peer);
        let is_told = before.as_ref().is_some_and(|guarded| guarded.cause == cause);
        if !is_told {
            tracing::warn!(%peer, ?cause, channels = channels.len(), "the defence looks after a peer's channels");
        }
        if let (false, DefenceCause::Over(cause), Some(peers)) = (is_told, &cause, self.peers.upgrade()) {
            let share = peers.events.share();
            for channel in &channels {
                let event = Notice::DefendOnly { cause: cause.clone() }.into();
                peers.events.send(NodeEvent { peer, reference: channel.reference(), event, number: None }, &share);
            }
        }
        let since = before.as_ref().filter(|_| is_told).map_or_else(Instant::now, |guarded| guarded.since);
        let mut earlier = before.map(|guarded| guarded.channels).unwrap_or_default();
        // What is under way stays so: whoever held the channel before has asked for it too.
        let mut keep = |channel: Channel| {
            let GuardedChannel { calls, failing, .. } =
                earlier.remove(&channel.reference()).unwrap_or_else(|| GuardedChannel::new(channel.clone()));
            (channel.reference(), GuardedChannel { channel, calls, failing })
        };
        let channels = channels.into_iter().map(&mut keep).collect();
        let _none = self.guarded.insert(peer, Guarded { cause, since, done, channels });
        let may_be_old = self.config.store().and_then(StoreHandle::doubt).is_some();
        self.tell_all(peer, if may_be_old { &Input::RestartedFromCopy } else { &Input::Restarted });
        let missed: Vec<_> = self.recent.iter().map(|(_, block)| Arc::clone(block)).collect();
        for block in missed.into_iter().filter(|block| block.at.number > done) {
            self.feed(peer, &block);
        }
        self.tell_all(peer, &Input::Chain(ChainInput::Head));
        for reference in self.references(peer) {
            self.answer_disputes((peer, reference));
        }
    }

    /// Tells a peer's channels of a block.
    fn feed(&mut self, peer: PublicKey, block: &WatchedBlock) {
        for reference in self.references(peer) {
            let Some(kept) = self.kept(peer, reference) else { continue };
            let inputs = inputs_of(block, &kept.channel);
            for input in inputs {
                self.tell((peer, reference), Input::Chain(input));
            }
            if let Some(kept) = self.kept(peer, reference) {
                kept.calls.saw(block.at.number);
            }
            self.tell((peer, reference), Input::Chain(ChainInput::Head));
        }
    }

    fn references(&self, peer: PublicKey) -> Vec<ChannelRef> {
        self.guarded.get(&peer).into_iter().flat_map(|guarded| guarded.channels.keys().copied()).collect()
    }

    fn kept(&mut self, peer: PublicKey, reference: ChannelRef) -> Option<&mut GuardedChannel> {
        self.guarded.get_mut(&peer)?.channels.get_mut(&reference)
    }

    fn tell_all(&mut self, peer: PublicKey, input: &Input) {
        for reference in self.references(peer) {
            self.tell((peer, reference), input.clone());
        }
    }

    /// Gives an input to a channel's machine, and makes the calls that defend the channel.
    fn tell(&mut self, (peer, reference): (PublicKey, ChannelRef), input: Input) {
        let config = Arc::clone(&self.config);
        let now = Millis::try_from(self.started.elapsed().as_millis()).unwrap_or(Millis::MAX);
        let Some(peers) = self.peers.upgrade() else { return };
        let book = Book { registry: &peers.registry, routing: &peers.routing, channel: reference };
        let ctx = config.context(now, self.head, &book);
        let Some(kept) = self.kept(peer, reference) else { return };
        // A fault of the program that ended the peer's task may be met here too: it ends the defence of this channel, and of no other.
        let Ok(handled) = catch_unwind(AssertUnwindSafe(|| kept.channel.handle(input, &ctx))) else {
            tracing::error!(%peer, ?reference, "a fault of the program leaves this channel without any defence");
            if let Some(guarded) = self.guarded.get_mut(&peer) {
                let _kept = guarded.channels.remove(&reference);
            }
            return;
        };
        let Ok(step) = handled else { return };
        // The defence keeps nothing: what it knows is all in the chain, and in what the peer's own task has stored.
        let effects = match step {
            Step::Act(effects) => effects,
            Step::Commit(commit) => commit.committed(),
        };
        for effect in effects {
            match effect {
                Effect::Submit(call) => self.make((peer, reference), *call),
                // A side that signs nothing any more is paid by the registry all the same (I11).
                Effect::Register { lock, preimage, expiry } => {
                    if let Err(error) = peers.registry.register(lock, preimage, expiry, peer) {
                        tracing::error!(%error, "a channel wants a pre-image registered that is none");
                    }
                }
                _ => {}
            }
        }
    }

    /// Makes a call, where it defends the channel and is not under way.
    fn make(&mut self, (peer, reference): (PublicKey, ChannelRef), call: Call) {
        let (answers, config, kind) = (self.answers.clone(), Arc::clone(&self.config), call.kind());
        let kept = self.guarded.get(&peer).and_then(|guarded| guarded.channels.get(&reference));
        let until = kept.and_then(|kept| kept.answer_by(self.head, &self.disputes));
        let Some(kept) = self.kept(peer, reference).filter(|_| defends(&call)) else { return };
        if !kept.calls.begin(kind) {
            return;
        }
        // The node is gone: so is whoever would hear of it.
        let Some(peers) = self.peers.upgrade() else { return };
        let (urgency, defending) = (peers.purse.urgency(until), Arc::clone(&peers.defending));
        let (arbiter, signer) = (Arc::clone(&config.arbiter), Arc::clone(&config.signer));
        let _task = tokio::spawn(async move {
            let calling = submitted::call(arbiter, async { signer }, call, urgency);
            let (block, result) = defending.make((peer, reference, kind), calling).await;
            let _over = answers.send(Signal::Called { peer, reference, call: kind, block, result });
        });
    }

    fn on_called(
        &mut self,
        at: (PublicKey, ChannelRef),
        call: CallKind,
        block: BlockNumber,
        result: Result<(), CallError>,
    ) {
        let head = self.head;
        let Some(kept) = self.kept(at.0, at.1) else { return };
        let wanted_again = kept.calls.end(call);
        match result {
            Ok(()) | Err(CallError::Rejected(_)) => {
                let _was_failing = kept.failing.remove(&call);
                if block > head {
                    kept.calls.wait_for(call, block, head);
                }
            }
            Err(error) => {
                tracing::error!(peer = %at.0, %call, %error, "a call that defends a channel did not reach the arbiter");
                let _before = kept.failing.insert(call, error.to_string());
                if wanted_again {
                    self.tell(at, Input::Chain(ChainInput::Head));
                }
            }
        }
    }

    fn report(&self) {
        let Some(peers) = self.peers.upgrade() else { return };
        let defended = |(peer, guarded): (&PublicKey, &Guarded)| {
            let calls = guarded
                .channels
                .iter()
                .flat_map(|(reference, kept)| kept.report(*reference, kept.answer_by(self.head, &self.disputes)));
            let defended = DefendedPeer {
                peer: *peer,
                cause: guarded.cause.clone(),
                since: Duration::ZERO,
                channels: guarded.channels.keys().copied().collect(),
                calls: calls.collect(),
            };
            (guarded.since, defended)
        };
        peers.defended_peers.set(self.guarded.iter().map(defended).collect());
    }
}

impl GuardedChannel {
    fn new(channel: Channel) -> Self {
        Self { channel, calls: Calls::default(), failing: BTreeMap::new() }
    }

    /// The last block in which an answer counts for certain, where one is wanted.
    fn answer_by(&self, head: BlockNumber, disputes: &HashMap<ChannelId, UnconfirmedDisputes>) -> Option<BlockNumber> {
        match self.disputes(disputes) {
            Some(disputes) => disputes.defend_by(&self.channel, head),
            None => self.channel.defend_by(head),
        }
    }

    /// What nobody has confirmed of it.
    fn disputes<'a>(&self, all: &'a HashMap<ChannelId, UnconfirmedDisputes>) -> Option<&'a UnconfirmedDisputes> {
        all.get(&self.channel.channel_id()?)
    }

    fn report(&self, reference: ChannelRef, until: Option<BlockNumber>) -> impl Iterator<Item = DefenceCall> {
        let under_way = self.calls.under_way().filter(|call| !self.failing.contains_key(call)).map(|call| (call, None));
        let failing = self.failing.iter().map(|(call, cause)| (*call, Some(cause.clone())));
        under_way.chain(failing).map(move |(call, cause)| DefenceCall { reference, call, until, cause })
    }
}

/// What a channel hears of a block.
fn inputs_of(block: &WatchedBlock, channel: &Channel) -> Vec<ChainInput> {
    let Some(id) = channel.channel_id() else { return Vec::new() };
    let records = block.contents.records.as_ref();
    let record = records.and_then(|Records { from, found }| {
        let Found { record, nonce } = found.get(&id)?;
        Some(ChainInput::Record { from: *from, record: record.clone(), nonce: *nonce })
    });
    let events = block.contents.events.iter().filter(|event| event.channel == id);
    record.into_iter().chain(events.map(|event| ChainInput::Event(event.event.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_defended_as_they_were_when_their_task_was_over_and_not_as_when_it_began_to_be_late() {
        let (late, over) = (DefenceCause::Late, DefenceCause::Over("a full disk".into()));
        assert_eq!(Care::of(None, Some(&late), 7), Care::Read);
        assert_eq!(Care::of(Some((&late, 7)), Some(&over), 7), Care::Read);
        assert_eq!(Care::of(Some((&late, 7)), Some(&late), 7), Care::Nothing);
        assert_eq!(Care::of(Some((&late, 7)), Some(&late), 8), Care::Read, "it has agreed to more meanwhile");
        assert_eq!(Care::of(Some((&late, 7)), None, 8), Care::Leave);
        for cause in [Some(&over), Some(&late), None] {
            assert_eq!(Care::of(Some((&over, 7)), cause, 9), Care::Nothing, "it agrees to nothing any more");
        }
    }
}
