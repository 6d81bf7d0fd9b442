//! One peer: the connection to it and all channels with it, in one task. The loop that joins them to socket, store and chain.
//!
//! ```text
//!   socket, users, chain, clock --> gather --> Channel::handle ... --> commit once --> effects, in order
//! ```
//!
//! No rule lives here: what to do is the channel's to say. Everything that one gathering changed is committed by one durable write, and
//! nothing leaves before it (R6.4). A gathering takes as many turns as it needs, and lets other tasks have theirs in between (R6.9c).

mod amounts;
mod calls;
mod code;
mod commands;
mod commit;
mod conduct;
mod connection;
mod ending;
mod fetches;
mod manners;
mod messages;
mod news;
mod once;
mod steps;
mod told;
mod transfers;
mod turns;
mod unfunded;
mod unkept;
mod vaults;

use super::{
    aside,
    book::Book,
    causes::Cause,
    config::NodeConfig,
    error::NodeError,
    events::{Ack, Events, NodeEvent, Notification},
    following::Follower,
    inbox::{Connected, Inbox, PeerInput},
    link::{Bounds, Link},
    outgoing::Outgoing,
    packet::Packet,
    peers::Peers,
    redial::Redial,
    registry::LockRegistry,
    routing::Routing,
    slot::Slot,
    transit::Hearing,
    withdrawals::Becoming,
};
use crate::{
    keys::PeerAddress,
    store::{StoreError, StoreHandle},
};
use channel::{
    ChangeId, Channel, ChannelRef, Effect, Event, EventNumber, Input, Message, Millis, Notice, Step,
    transfer::TransferId,
};
use conduct::Conduct;
use fetches::Fetches;
use protocol::{BlockNumber, ChannelId, PublicKey, contracts::ContractId, terms::Terms};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Weak},
    time::Duration,
};
use steps::Steps;
use tokio::{
    sync::mpsc,
    task::yield_now,
    time::{Instant, MissedTickBehavior, interval},
};
use turns::CreateTurn;
use unfunded::Unfunded;
use unkept::{Unkept, taken};

/// How many inputs one commit may cover: bounds how long the first one waits for the others.
const GATHER: usize = 1_024;
/// How many bytes of the peer's one commit may cover: bounds what its events take before they are told and counted.
const GATHERED_BYTES: usize = 1024 * 1024;
/// How often channels look at the clock.
const TICK: Duration = Duration::from_secs(1);

/// The task's own data.
pub(super) struct Peer {
    config: Arc<NodeConfig>,
    identity: PublicKey,
    inbox: mpsc::Receiver<PeerInput>,
    /// For the answers of what this task starts.
    answers: mpsc::WeakSender<PeerInput>,
    peers: Weak<Peers>,
    events: Events,
    conduct: Conduct,
    link: Link,
    /// Channels that have not said something on this connection, because too much waits to be read by the peer.
    unsaid: BTreeSet<ChannelRef>,
    /// Openings that the initiator has signed, and whose coins are being looked for.
    unfunded: Unfunded,
    redial: Redial,
    /// Where the peer is found has changed since the last commit.
    address_changed: bool,
    /// The store has where that was.
    has_address_row: bool,
    slots: BTreeMap<ChannelRef, Slot>,
    /// Channels with it that the store has and that cannot be read whole: nothing of them is written.
    damaged: BTreeSet<ChannelRef>,
    /// No two channels have one id: this side names no nonce twice, and refuses an opening of the peer's that would.
    by_id: HashMap<ChannelId, ChannelRef>,
    create_turn: CreateTurn,
    head: BlockNumber,
    /// Whether every block up to the head was looked at since the node started: before, a peer with channels here is not heard (R6.6a).
    has_looked: bool,
    /// Connections that came before that, the latest of each side's dialling.
    #[allow(clippy::vec_box, reason = "they come in boxes, and go on in them")]
    held: Vec<Box<Connected>>,
    started: Instant,
    /// Apps on their way here.
    fetches: Fetches,
    /// Channels to commit before the effects of the steps below, each with its rows that have changed.
    changed: BTreeMap<ChannelRef, Rows>,
    steps: Steps,
    /// Channels to forget after them.
    ended: Vec<ChannelRef>,
    /// Answers to the user that tell of what may not be committed yet: given once it is.
    answers_held: Vec<Box<dyn FnOnce() + Send>>,
    /// What was told and is not kept.
    unkept: Unkept,
    routing: Arc<Routing>,
    registry: LockRegistry,
    /// What the router is to be told.
    heard: Hearing,
    /// Channels that something has happened to since the router was told what can be offered in them.
    touched: BTreeSet<ChannelRef>,
    /// What the router wants done after the commit.
    outgoing: Outgoing,
    /// What the next commit makes of withdrawals for swaps.
    withdrawn: Becoming,
    /// What the chain has new.
    follower: Follower,
    /// It runs among strangers.
    is_outside: bool,
    /// The node is going away.
    stopping: bool,
}

/// What lies in the store beside a channel and has changed.
#[derive(Debug, Default)]
struct Rows {
    contracts: BTreeSet<ContractId>,
    payments: BTreeSet<ChangeId>,
    transfers: BTreeSet<TransferId>,
}

/// Nothing that was signed can be kept, so nothing more is.
struct NotKept(StoreError);

/// Starts the task of a peer.
pub(super) fn launch(
    peers: &Arc<Peers>,
    identity: PublicKey,
    inbox: (&Inbox, mpsc::Receiver<PeerInput>),
    channels: Vec<Channel>,
    address: Option<PeerAddress>,
    is_dialled: bool,
) {
    let peer = Box::new(Peer::new(peers, identity, inbox, channels, address));
    let is_stranger = peer.is_stranger() && !is_dialled;
    peer.settle(is_stranger);
}

impl Peer {
    fn new(
        peers: &Arc<Peers>,
        identity: PublicKey,
        (answers, inbox): (&Inbox, mpsc::Receiver<PeerInput>),
        channels: Vec<Channel>,
        address: Option<PeerAddress>,
    ) -> Self {
        let config = Arc::clone(&peers.config);
        let conduct = Conduct::new(peers);
        // Before anything is looked at that it will be told of.
        let needs_blocks = channels.iter().any(|channel| channel.channel_id().is_some());
        let follower = peers.following.begin(identity, peers.head(), needs_blocks);
        let (bounds, has_address_row) = (Bounds::of_strangers(&peers.limits), address.is_some());
        let mut peer = Self {
            conduct,
            link: Link::new(config.ping_interval, config.timeouts, bounds, Arc::clone(&peers.tally)),
            unsaid: BTreeSet::new(),
            unfunded: Unfunded::default(),
            redial: Redial::new(config.redial, address),
            address_changed: false,
            has_address_row,
            config,
            identity,
            inbox,
            answers: answers.downgrade(),
            peers: Arc::downgrade(peers),
            events: peers.events.clone(),
            slots: BTreeMap::new(),
            damaged: peers.damaged.iter().filter(|it| it.peer == identity).map(|it| it.reference).collect(),
            by_id: HashMap::new(),
            create_turn: CreateTurn::default(),
            head: peers.head(),
            has_looked: peers.has_looked(),
            held: Vec::new(),
            started: Instant::now(),
            fetches: Fetches::default(),
            changed: BTreeMap::new(),
            steps: Steps::default(),
            ended: Vec::new(),
            answers_held: Vec::new(),
            unkept: Unkept::default(),
            routing: Arc::clone(&peers.routing),
            registry: peers.registry.clone(),
            heard: Hearing::default(),
            touched: BTreeSet::new(),
            outgoing: Outgoing::default(),
            withdrawn: Becoming::new(),
            follower,
            is_outside: false,
            stopping: false,
        };
        for channel in channels {
            let reference = channel.reference();
            note_id(&mut peer.by_id, &peer.peers, &channel);
            let mut slot = Slot::new(channel);
            // The store has it, and the router was told of it with all others.
            (slot.is_stored, slot.transit.is_known) = (true, true);
            if slot.is_known() {
                peer.befriend();
            } else if slot.id.is_some() {
                // What was signed for it before keeps its place; from where it came is not known any more.
                slot.asked = peer.conduct.ask_for_opening(true, None).ok();
            }
            let rows: Vec<_> = slot.channel.transfer_ids().collect();
            if slot.is_paid_opening() {
                slot.paid_for = Some(peers.purse.resume_opening());
            }
            let _none = peer.slots.insert(reference, slot);
            peer.watch_locks(reference, &rows);
            let is_copy = peer.config.store().and_then(StoreHandle::doubt).is_some();
            let may_be_old = is_copy || peer.damaged.contains(&reference);
            let _changed = peer.input(reference, if may_be_old { Input::RestartedFromCopy } else { Input::Restarted });
        }
        if !peer.slots.is_empty() {
            peer.redial.missed();
        }
        peer
    }

    /// Goes on where it belongs.
    fn settle(mut self: Box<Self>, is_stranger: bool) {
        self.is_outside = is_stranger;
        if let Some(peers) = self.peers.upgrade() {
            let quarters = peers.quarters.of(self.is_outside);
            let _task = quarters.spawn(peers.running.track(self.run()));
        }
    }

    /// Runs until the node stops, its store fails, or the peer is gone and has no channel here; or until it belongs elsewhere.
    async fn run(mut self: Box<Self>) {
        self.link.watch_here();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let error = loop {
            let awaited = self.awaits_taking();
            if awaited.is_none()
                && let Err(NotKept(error)) = self.act().await
            {
                break error;
            }
            tokio::select! {
                () = taken(awaited) => {}
                news = self.follower.next() => self.on_news(&news),
                received = self.link.recv() => self.on_received(received),
                input = self.inbox.recv() => match input {
                    None => return self.follower.end(),
                    Some(input) => self.on_input(input),
                },
                address = self.redial.due() => self.dial_again(address),
                _ = ticks.tick() => self.on_tick(),
            }
            self.gather().await;
            if self.stopping {
                if let Err(NotKept(error)) = self.act().await {
                    tracing::error!(peer = %self.identity, %error, "the store failed while the node was stopped");
                }
                return self.follower.end();
            }
            if self.is_idle() {
                return self.retire().await;
            }
            let is_stranger = self.is_stranger();
            // One that is dialled is a stranger until there is a connection; one that has a channel is none any more, connected or not.
            if is_stranger != self.is_outside && (self.link.was_up() || !is_stranger) {
                return self.settle(is_stranger);
            }
        };
        self.hand_over(&error);
    }

    /// Takes what else is there already, so that one commit serves all of it. Other tasks have their turn as often as this one's is over.
    async fn gather(&mut self) {
        let mut bytes = 0_usize;
        for _ in 0..GATHER {
            // One of each in turn: neither a talkative peer nor a busy user can keep the other waiting.
            let received = self.link.try_recv().map(|received| {
                bytes = bytes.saturating_add(received.bytes());
                self.on_received(received);
            });
            let input = self.inbox.try_recv().map(|input| self.on_input(input));
            let news = self.follower.try_next().map(|news| self.on_news(&news));
            if received.is_none() && input.is_err() && news.is_none() {
                return;
            }
            if input.is_ok() || news.is_some() {
                self.conduct.spend_on_input();
            }
            if bytes >= GATHERED_BYTES
                || (self.is_stranger() && self.steps.effects() >= self.conduct.gathered_of_strangers())
            {
                return;
            }
            if self.conduct.turn_is_over() {
                yield_now().await;
            }
        }
    }

    /// Commits what has changed, then does what the channels want done, and what comes of that.
    async fn act(&mut self) -> Result<(), NotKept> {
        let routing = Arc::clone(&self.routing);
        let mut turn = self.route(&routing).await;
        while !(self.changed.is_empty()
            && self.withdrawn.is_empty()
            && self.steps.is_empty()
            && self.outgoing.is_empty())
            || turn.is_some()
        {
            self.commit(turn).await?;
            // Where the node is gone, so is whoever would do it: the next start derives it from the rows.
            let outgoing = std::mem::take(&mut self.outgoing);
            if let Some(peers) = self.peers.upgrade() {
                self.routing.carry_out(outgoing, &peers);
            }
            let mut effects = std::mem::take(&mut self.steps).committed();
            // Last of all, openings in the order of their nonces: one that is overtaken cannot be on chain any more (R5.2).
            effects.sort_by_key(|(_, effect)| turns::nonce_of(effect));
            for (reference, effect) in effects {
                self.effect(reference, effect);
            }
            turn = self.route(&routing).await;
        }
        for answer in std::mem::take(&mut self.answers_held) {
            answer();
        }
        self.link.flush();
        self.forget_closed().await?;
        self.follower.done(self.head);
        Ok(())
    }

    fn effect(&mut self, reference: ChannelRef, effect: Effect) {
        match effect {
            Effect::Send(Message::Update(_)) if self.link.is_congested() => {
                let _new = self.unsaid.insert(reference);
                self.link.tell_when_drained();
                let _changed = self.input(reference, Input::Congested);
            }
            Effect::Send(message) => self.link.feed(&Packet::Channel(reference, message)),
            Effect::Submit(call) => self.submit(reference, *call),
            Effect::AskNonce(parties) => self.ask_nonce(reference, parties),
            Effect::FetchCode(code) => self.fetch_code(reference, code),
            Effect::Notify(notice) => self.tell(reference, notice.into(), None),
            // The router has it from the step, within the commit.
            Effect::Transfer(_) => {}
            Effect::Register { lock, preimage, expiry } => {
                if let Err(error) = self.registry.register(lock, preimage, expiry, self.identity) {
                    tracing::error!(%error, "a channel wants a pre-image registered that is none");
                }
            }
            // It has ended, and its user knows.
            Effect::Forget => self.ended.push(reference),
            Effect::Deliver { number, event } => {
                self.tell(reference, event.into(), Some(number));
                if self.config.ack == Ack::OnDelivery {
                    self.ack_events(reference, number);
                }
            }
        }
    }

    fn tell(&mut self, reference: ChannelRef, event: Notification, number: Option<EventNumber>) {
        if let Some(slot) = self.slots.get_mut(&reference) {
            slot.answer(&event);
            if matches!(event, Notification::Event(Event::Closed(_))) {
                slot.last_event = number;
            }
        }
        if matches!(event, Notification::Notice(Notice::PeerViolated(_))) {
            self.conduct.count(Cause::Violation);
        }
        self.events.send(NodeEvent { peer: self.identity, reference, event, number }, self.conduct.share());
    }

    /// The user has these events. A channel that has ended is forgotten with its last one.
    fn ack_events(&mut self, reference: ChannelRef, up_to: EventNumber) {
        let _changed = self.input(reference, Input::EventsAcked { up_to });
        let last = self.slots.get(&reference).and_then(|slot| slot.last_event);
        if last.is_some_and(|last| last <= up_to) && !self.ended.contains(&reference) {
            self.ended.push(reference);
        }
    }

    fn on_input(&mut self, input: PeerInput) {
        match input {
            PeerInput::Connected(connected) => self.on_connected(connected),
            PeerInput::NotFound if !self.link.is_up() && !self.slots.is_empty() => self.redial.missed(),
            PeerInput::NotFound => {}
            PeerInput::Displaced => self.on_displaced(),
            PeerInput::Open(open, reference, opening) => self.on_open(&open, reference, opening),
            PeerInput::Request(reference, ask) => self.on_ask(reference, ask),
            PeerInput::List(reply) => {
                let _gone = reply.send(self.slots.keys().copied().collect());
            }
            PeerInput::Called(reference, call, block, result) => self.on_called(reference, call, block, result),
            PeerInput::Command(reference, command) => self.on_command(reference, command),
            PeerInput::Announce(bytes) => self.announce(bytes),
            PeerInput::Say(bytes) => self.say(bytes),
            PeerInput::Locks => self.on_locks(),
            PeerInput::Stop => self.stopping = true,
            PeerInput::Code(code, wasm) => self.on_code_of_chain(code, wasm),
            PeerInput::Nonce(reference, parties, next) => self.on_nonce(reference, parties, next),
            PeerInput::Vault(owner, has) => self.on_vault(owner, has),
        }
    }

    fn on_link(&mut self, input: &Input) {
        if matches!(input, Input::LinkDown) {
            self.fetches.forget();
            self.unfunded.forget();
            self.unsaid.clear();
            // What was not said on this connection is never said: the next one begins by comparing what both know (R6.6).
            self.steps.drop_messages();
        }
        let mut references: Vec<_> = self.slots.keys().copied().collect();
        if matches!(input, Input::LinkUp) {
            // The peer submits openings in the order in which it hears of them: the lower nonces have to come first (R5.2).
            let nonce = |reference: &ChannelRef| self.slots.get(reference).and_then(|slot| slot.channel.signed_nonce());
            references.sort_by_cached_key(nonce);
        }
        for reference in references {
            let _changed = self.input(reference, input.clone());
        }
    }

    fn on_tick(&mut self) {
        self.link.keep_alive();
        self.send_idle_stranger_away();
        self.on_link(&Input::Tick);
    }

    /// Gives an input to a channel; whether that changed the channel.
    fn input(&mut self, reference: ChannelRef, input: Input) -> bool {
        match self.handle_input(reference, input) {
            Ok(step) => {
                let changed = step.is_commit();
                self.done(reference, step);
                changed
            }
            Err(error) => {
                tracing::debug!(%error, "nobody waits for this answer");
                false
            }
        }
    }

    fn handle_input(&mut self, reference: ChannelRef, input: Input) -> Result<Step, NodeError> {
        let now = self.now();
        let slot = self.slots.get_mut(&reference).ok_or(NodeError::UnknownChannel)?;
        let book = Book { registry: &self.registry, routing: &self.routing, channel: reference };
        let ctx = self.config.context(now, self.head, &book);
        let _new = self.touched.insert(reference);
        let Slot { channel, pulse, .. } = slot;
        Ok(pulse.run(aside::may_be_long(&input), || channel.handle(input, &ctx))?)
    }

    /// Notes what a channel's step asks for.
    fn done(&mut self, reference: ChannelRef, step: Step) {
        self.note_transfers(reference, &step);
        self.note_withdrawal(reference, &step);
        self.tell_of_agreed(reference, &step);
        let mut is_known = false;
        if let Some(slot) = self.slots.get_mut(&reference) {
            slot.note_doubt(&step);
            is_known = slot.is_known();
            if step.is_commit() && slot.id.is_none() {
                slot.id = slot.channel.channel_id();
                slot.nonce = slot.channel.named_nonce();
                note_id(&mut self.by_id, &self.peers, &slot.channel);
                if slot.id.is_some() {
                    self.follower.need_blocks();
                }
            }
        }
        if let Step::Commit(commit) = &step {
            // Asked for before a restart or after it.
            if is_known {
                self.on_asked_is_open(reference);
            }
            let rows = self.changed.entry(reference).or_default();
            rows.contracts.extend(commit.contracts());
            rows.payments.extend(commit.payments());
            rows.transfers.extend(commit.transfers());
        }
        self.steps.push(reference, step);
    }

    fn now(&self) -> Millis {
        Millis::try_from(self.started.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }
}

/// Notes under which id a channel may be on chain. Another one that had this id has ended (R5.2).
fn note_id(by_id: &mut HashMap<ChannelId, ChannelRef>, peers: &Weak<Peers>, channel: &Channel) {
    let Some(id) = channel.channel_id() else { return };
    let _ended = by_id.insert(id, channel.reference());
    let parties = channel.named_nonce().map(|(parties, _)| parties).or_else(|| channel.terms().map(Terms::ids));
    if let Some((peers, parties)) = peers.upgrade().zip(parties) {
        let _was = peers.channels().insert(id, parties);
    }
}
