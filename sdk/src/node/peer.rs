//! One peer: the connection to it and all channels with it, in one task. The loop that joins them to socket, store and chain.
//!
//! ```text
//!   socket, users, chain, clock --> gather --> Channel::handle ... --> commit once --> effects, in order
//! ```
//!
//! No rule lives here: what to do is the channel's to say. Everything that one gathering changed is committed by one durable write, and
//! nothing leaves before it (R6.4).

use super::{
    ChannelHandle, NodeError, OpenChannel, Paid,
    config::{MAX_CHANNELS_PER_PEER, NodeConfig},
    events::{Events, NodeEvent},
    link::{Link, Received},
    packet::Packet,
    slot::{Reply, Slot},
    watcher::Watched,
};
use crate::{
    chain::CallError,
    store::{Batch, Table},
    transport::Session,
};
use channel::{
    Balances, ChainInput, Channel, ChannelOpen, ChannelRef, CloseReason, Command, Context, Effect, Event, Input,
    Message, Millis, OpenRequest, Payment, RefusalCode, Status, Step,
};
use protocol::{
    AccountId, BlockNumber, ChannelId, Pair, PublicKey, Rejection,
    call::{Call, CloseSolo},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval},
};

/// How many inputs wait for a peer's task before whoever sends them has to wait.
pub(super) const INBOX: usize = 4_096;
/// How many inputs one commit may cover: bounds how long the first one waits for the others.
const GATHER: usize = 1_024;
/// How often channels look at the clock.
const TICK: Duration = Duration::from_secs(1);

pub(super) type Inbox = mpsc::Sender<PeerInput>;

/// What reaches a peer's task.
#[derive(Debug)]
pub(super) enum PeerInput {
    /// A connection to it, made by either side.
    Connected(Box<Session>, Option<oneshot::Sender<()>>),
    /// The user wants a channel with it.
    Open(OpenChannel, ChannelRef, Reply<ChannelHandle>),
    /// The user wants something of a channel.
    Ask(ChannelRef, Ask),
    /// All channels with it.
    List(oneshot::Sender<Vec<ChannelRef>>),
    /// Finalised, with everything the arbiter announced in it.
    Block(Arc<Watched>),
    /// How a call of the arbiter ended.
    Called(ChannelRef, &'static str, Result<(), CallError>),
    /// The answer to a question about a pair's nonce.
    Nonce(ChannelRef, Pair<AccountId>, u64),
    /// The node is going away.
    Stop,
}

/// What a user wants of a channel.
#[derive(Debug)]
pub(super) enum Ask {
    Pay(Payment, Reply<Paid>),
    Balances(oneshot::Sender<Option<Balances>>),
    Status(oneshot::Sender<Status>),
    Evidence(oneshot::Sender<Option<CloseSolo>>),
    Close(Command, Reply<CloseReason>),
    Closed(Reply<CloseReason>),
}

/// The task's own data.
pub(super) struct Peer {
    config: Arc<NodeConfig>,
    identity: PublicKey,
    inbox: mpsc::Receiver<PeerInput>,
    /// For the answers of what this task starts.
    answers: mpsc::WeakSender<PeerInput>,
    events: Events,
    link: Link,
    slots: BTreeMap<ChannelRef, Slot>,
    by_id: HashMap<ChannelId, ChannelRef>,
    head: BlockNumber,
    started: Instant,
    /// Channels to commit before the effects below.
    changed: BTreeSet<ChannelRef>,
    effects: Vec<(ChannelRef, Effect)>,
    /// Channels to forget after them.
    ended: Vec<ChannelRef>,
    /// The node is going away.
    stopping: bool,
}

/// The store failed: nothing that was signed can be kept, so nothing more is.
struct StoreFailed;

impl Peer {
    pub(super) fn new(
        config: Arc<NodeConfig>,
        identity: PublicKey,
        (answers, inbox): (&Inbox, mpsc::Receiver<PeerInput>),
        events: Events,
        head: BlockNumber,
        channels: Vec<Channel>,
    ) -> Self {
        let mut peer = Self {
            link: Link::new(config.ping_interval),
            config,
            identity,
            inbox,
            answers: answers.downgrade(),
            events,
            slots: BTreeMap::new(),
            by_id: HashMap::new(),
            head,
            started: Instant::now(),
            changed: BTreeSet::new(),
            effects: Vec::new(),
            ended: Vec::new(),
            stopping: false,
        };
        for channel in channels {
            let reference = channel.reference();
            if let Some(id) = channel.channel_id() {
                let _none = peer.by_id.insert(id, reference);
            }
            let _none = peer.slots.insert(reference, Slot::new(channel));
            peer.input(reference, Input::Restarted);
        }
        peer
    }

    /// Runs until every handle to the peer is gone, or its store fails.
    pub(super) async fn run(mut self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while self.act().await.is_ok() {
            tokio::select! {
                received = self.link.recv() => self.on_received(received),
                input = self.inbox.recv() => match input {
                    None => return,
                    Some(input) => self.on_input(input),
                },
                _ = ticks.tick() => self.on_tick(),
            }
            self.gather();
            if self.stopping || self.is_idle() {
                return;
            }
        }
        tracing::error!(peer = %self.identity, "the store failed: this peer's channels stop here");
    }

    /// Whether nothing is left to do for this peer: a stranger that came and went costs nothing.
    fn is_idle(&self) -> bool {
        self.link.was_up() && !self.link.is_up() && self.slots.is_empty() && self.effects.is_empty() && self.inbox.is_empty()
    }

    /// Takes what else is there already, so that one commit serves all of it.
    fn gather(&mut self) {
        for _ in 0..GATHER {
            if let Some(received) = self.link.try_recv() {
                self.on_received(received);
            } else if let Ok(input) = self.inbox.try_recv() {
                self.on_input(input);
            } else {
                return;
            }
        }
    }

    /// Commits what has changed, then does what the channels want done.
    async fn act(&mut self) -> Result<(), StoreFailed> {
        self.commit().await?;
        for (reference, effect) in std::mem::take(&mut self.effects) {
            self.effect(reference, effect);
        }
        self.link.flush();
        self.forget_closed().await
    }

    async fn commit(&mut self) -> Result<(), StoreFailed> {
        let changed = std::mem::take(&mut self.changed);
        let Some(store) = self.config.store.as_ref().filter(|_| !changed.is_empty()) else { return Ok(()) };
        let mut batch = Batch::default();
        for reference in changed {
            if let Some(slot) = self.slots.get(&reference) {
                batch = batch.put(Table::Channels, store_key(&self.identity, reference), slot.channel.save());
            }
        }
        store.commit(batch).await.map_err(|error| {
            tracing::error!(%error, "could not commit");
            StoreFailed
        })
    }

    fn effect(&mut self, reference: ChannelRef, effect: Effect) {
        match effect {
            Effect::Send(message) => self.link.feed(&Packet::Channel(reference, message)),
            Effect::Submit(call) => self.submit(reference, *call),
            Effect::AskNonce(accounts) => self.ask_nonce(reference, accounts),
            Effect::Notify(event) => {
                if let Some(slot) = self.slots.get_mut(&reference) {
                    slot.answer(&event);
                }
                if matches!(event, Event::Closed(_)) {
                    self.ended.push(reference);
                }
                self.events.send(NodeEvent { peer: self.identity, reference, event });
            }
        }
    }

    /// Channels that have ended leave the store and the task.
    async fn forget_closed(&mut self) -> Result<(), StoreFailed> {
        let ended = std::mem::take(&mut self.ended);
        if ended.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        for reference in ended {
            if let Some(id) = self.slots.remove(&reference).and_then(|slot| slot.id) {
                let _reference = self.by_id.remove(&id);
            }
            batch = batch.delete(Table::Channels, store_key(&self.identity, reference));
        }
        match &self.config.store {
            Some(store) => store.commit(batch).await.map_err(|_error| StoreFailed),
            None => Ok(()),
        }
    }

    fn on_received(&mut self, received: Received) {
        match received {
            Received::Packet(Packet::Channel(reference, message)) => self.on_message(reference, message),
            Received::Packet(Packet::Ping) => self.link.pong(),
            Received::Packet(Packet::Pong) => {}
            Received::Lost => self.on_link(&Input::LinkDown),
        }
    }

    fn on_message(&mut self, reference: ChannelRef, message: Message) {
        if self.slots.contains_key(&reference) {
            self.input(reference, Input::Peer(message));
            return;
        }
        let refusal = match message {
            Message::ChannelOpen(open) => match self.accept(reference, open) {
                Ok(()) => return,
                Err(code) => code,
            },
            // An error about nothing is answered by nothing, or two nodes would go on for ever.
            Message::Error { .. } | Message::UpdateError { .. } | Message::ShutdownError { .. } => return,
            _ => RefusalCode::UNKNOWN_CHANNEL,
        };
        self.effects.push((reference, Effect::Send(Message::Error { code: refusal })));
    }

    fn accept(&mut self, reference: ChannelRef, open: ChannelOpen) -> Result<(), RefusalCode> {
        if self.slots.len() >= MAX_CHANNELS_PER_PEER {
            return Err(RefusalCode::BUSY);
        }
        let (config, identity) = (Arc::clone(&self.config), self.identity);
        let now = self.now();
        let ctx = Context { key: config.identity.signing(), now, head: self.head };
        let accepted =
            Channel::accept(reference, identity, open, config.party(), &config.policy, config.channels, &ctx);
        let (channel, step) = accepted.map_err(|violation| {
            tracing::info!(peer = %identity, %violation, "refused a channel");
            violation.code()
        })?;
        let _none = self.slots.insert(reference, Slot::new(channel));
        self.done(reference, step);
        Ok(())
    }

    fn on_input(&mut self, input: PeerInput) {
        match input {
            PeerInput::Connected(session, told) => self.on_connected(*session, told),
            PeerInput::Open(open, reference, reply) => self.on_open(&open, reference, reply),
            PeerInput::Ask(reference, ask) => self.on_ask(reference, ask),
            PeerInput::List(reply) => {
                let _gone = reply.send(self.slots.keys().copied().collect());
            }
            PeerInput::Block(block) => self.on_block(&block),
            PeerInput::Called(reference, call, result) => self.on_called(reference, call, result),
            PeerInput::Stop => self.stopping = true,
            PeerInput::Nonce(reference, accounts, nonce) => {
                self.input(reference, Input::Chain(ChainInput::Nonce { accounts, nonce }));
            }
        }
    }

    fn on_connected(&mut self, session: Session, told: Option<oneshot::Sender<()>>) {
        let ours = self.config.identity.public();
        if self.link.adopt(session, &ours) {
            self.on_link(&Input::LinkDown);
            self.on_link(&Input::LinkUp);
        }
        if let Some(told) = told {
            let _gone = told.send(());
        }
    }

    fn on_link(&mut self, input: &Input) {
        for reference in self.slots.keys().copied().collect::<Vec<_>>() {
            self.input(reference, input.clone());
        }
    }

    fn on_open(&mut self, open: &OpenChannel, reference: ChannelRef, reply: Reply<ChannelHandle>) {
        let refusal = if !self.link.is_up() {
            NodeError::NotConnected(self.identity)
        } else if self.slots.len() >= MAX_CHANNELS_PER_PEER {
            NodeError::TooMany { what: "channels with one peer", max: MAX_CHANNELS_PER_PEER }
        } else {
            match self.propose(open, reference) {
                Ok(step) => {
                    let handle = self.handle(reference);
                    if let (Some(slot), Some(handle)) = (self.slots.get_mut(&reference), handle) {
                        slot.opening = Some((reply, handle));
                    }
                    self.done(reference, step);
                    return;
                }
                Err(misuse) => misuse,
            }
        };
        let _gone = reply.send(Err(refusal));
    }

    fn propose(&mut self, open: &OpenChannel, reference: ChannelRef) -> Result<Step, NodeError> {
        let config = Arc::clone(&self.config);
        let info = config.arbiter.info();
        let request = OpenRequest {
            reference,
            peer: self.identity,
            limits: info.limits,
            open: ChannelOpen {
                domain: info.domain,
                code_hash: info.code_hash,
                initiator: config.party(),
                reserve: open.reserve,
                lock_period: open.lock_period,
                penalty: open.penalty,
                max_forced: open.max_forced,
                balances: Pair::new(
                    open.our_share.saturating_sub(open.push),
                    open.peer_share.saturating_add(open.push),
                ),
                shares: Pair::new(open.our_share, open.peer_share),
                validity: open.validity,
            },
        };
        let ctx = Context { key: config.identity.signing(), now: self.now(), head: self.head };
        let (channel, step) = Channel::propose(request, config.channels, &ctx)?;
        let _none = self.slots.insert(reference, Slot::new(channel));
        Ok(step)
    }

    fn on_ask(&mut self, reference: ChannelRef, ask: Ask) {
        // A dropped reply tells that the channel is not known.
        let Some(slot) = self.slots.get_mut(&reference) else { return };
        match ask {
            Ask::Balances(reply) => {
                let _gone = reply.send(slot.channel.balances());
            }
            Ask::Status(reply) => {
                let _gone = reply.send(slot.channel.status());
            }
            Ask::Evidence(reply) => {
                let _gone = reply.send(slot.channel.evidence());
            }
            Ask::Closed(reply) => slot.ends.push(reply),
            Ask::Pay(payment, reply) => self.on_pay(reference, payment, reply),
            Ask::Close(command, reply) => self.on_close(reference, command, reply),
        }
    }

    fn on_pay(&mut self, reference: ChannelRef, payment: Payment, reply: Reply<Paid>) {
        let id = self.slots.get(&reference).and_then(|slot| slot.channel.next_payment());
        match (self.command(reference, Command::Pay(payment)), id, self.slots.get_mut(&reference)) {
            (Ok(()), Some(id), Some(slot)) => {
                let _none = slot.payments.insert(id, reply);
            }
            (Err(error), ..) => {
                let _gone = reply.send(Err(error));
            }
            _ => {}
        }
    }

    fn on_close(&mut self, reference: ChannelRef, command: Command, reply: Reply<CloseReason>) {
        let in_agreement = matches!(command, Command::Shutdown { .. });
        match (self.command(reference, command), self.slots.get_mut(&reference)) {
            (Ok(()), Some(slot)) if in_agreement => slot.shutdowns.push(reply),
            (Ok(()), Some(slot)) => slot.ends.push(reply),
            (Err(error), _) => {
                let _gone = reply.send(Err(error));
            }
            (Ok(()), None) => {}
        }
    }

    fn on_block(&mut self, block: &Watched) {
        self.head = block.at.number;
        for event in &block.events {
            if let Some(&reference) = self.by_id.get(&event.channel) {
                self.input(reference, Input::Chain(ChainInput::Event(event.event.clone())));
            }
        }
        self.on_link(&Input::Chain(ChainInput::Head));
    }

    fn on_called(&mut self, reference: ChannelRef, call: &'static str, result: Result<(), CallError>) {
        if let Some(slot) = self.slots.get_mut(&reference) {
            let _was_under_way = slot.calls.remove(call);
        }
        match result {
            // Its event comes with its block.
            Ok(()) => {}
            Err(CallError::Rejected(rejection)) => self.on_rejected(reference, call, rejection),
            // The channel asks again with the next head.
            Err(error) => tracing::warn!(peer = %self.identity, call, %error, "a call did not reach the arbiter"),
        }
    }

    fn on_rejected(&mut self, reference: ChannelRef, call: &'static str, rejection: Rejection) {
        self.input(reference, Input::Chain(ChainInput::Rejected { call, rejection }));
    }

    fn on_tick(&mut self) {
        self.link.keep_alive();
        self.on_link(&Input::Tick);
    }

    fn command(&mut self, reference: ChannelRef, command: Command) -> Result<(), NodeError> {
        let step = self.handle_input(reference, Input::User(command))?;
        self.done(reference, step);
        Ok(())
    }

    fn input(&mut self, reference: ChannelRef, input: Input) {
        match self.handle_input(reference, input) {
            Ok(step) => self.done(reference, step),
            Err(error) => tracing::debug!(%error, "nobody waits for this answer"),
        }
    }

    fn handle_input(&mut self, reference: ChannelRef, input: Input) -> Result<Step, NodeError> {
        let now = self.now();
        let slot = self.slots.get_mut(&reference).ok_or(NodeError::UnknownChannel)?;
        let ctx = Context { key: self.config.identity.signing(), now, head: self.head };
        Ok(slot.channel.handle(input, &ctx)?)
    }

    /// Notes what a channel's step asks for.
    fn done(&mut self, reference: ChannelRef, step: Step) {
        if step.commit {
            let _new = self.changed.insert(reference);
            if let Some(slot) = self.slots.get_mut(&reference).filter(|slot| slot.id.is_none()) {
                slot.id = slot.channel.channel_id();
                if let Some(id) = slot.id {
                    let _none = self.by_id.insert(id, reference);
                }
            }
        }
        self.effects.extend(step.effects.into_iter().map(|effect| (reference, effect)));
    }

    fn submit(&mut self, reference: ChannelRef, call: Call) {
        let name = call.name();
        let Some(slot) = self.slots.get_mut(&reference) else { return };
        if !slot.calls.insert(name) {
            return;
        }
        let (config, answers) = (Arc::clone(&self.config), self.answers.clone());
        let _task = tokio::spawn(async move {
            let result = config.arbiter.call(&*config.signer, &call, 0).await.map(|_done| ());
            if let Some(answers) = answers.upgrade() {
                let _stopped = answers.send(PeerInput::Called(reference, name, result)).await;
            }
        });
    }

    fn ask_nonce(&self, reference: ChannelRef, accounts: Pair<AccountId>) {
        let (config, answers) = (Arc::clone(&self.config), self.answers.clone());
        let _task = tokio::spawn(async move {
            match config.arbiter.pair_nonce(accounts).await {
                Ok(nonce) => {
                    if let Some(answers) = answers.upgrade() {
                        let _stopped = answers.send(PeerInput::Nonce(reference, accounts, nonce)).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "could not read a pair's nonce: the opening will time out"),
            }
        });
    }

    fn handle(&self, reference: ChannelRef) -> Option<ChannelHandle> {
        Some(ChannelHandle { peer: self.identity, reference, inbox: self.answers.upgrade()? })
    }

    fn now(&self) -> Millis {
        Millis::try_from(self.started.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }
}

/// Where a channel is kept: peer, then reference.
pub(super) fn store_key(peer: &PublicKey, reference: ChannelRef) -> Vec<u8> {
    [&peer.0[..], &reference.0[..]].concat()
}
