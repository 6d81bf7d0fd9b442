//! One peer: the connection to it and all channels with it, in one task. The loop that joins them to socket, store and chain.
//!
//! ```text
//!   socket, users, chain, clock --> gather --> Channel::handle ... --> commit once --> effects, in order
//! ```
//!
//! No rule lives here: what to do is the channel's to say. Everything that one gathering changed is committed by one durable write, and
//! nothing leaves before it (R6.4). A gathering takes as many turns as it needs, and lets other tasks have theirs in between (R6.9c).

mod aside;
mod calls;
mod code;
mod commands;
mod conduct;
mod steps;
mod vaults;

use super::{
    ChannelHandle, Made, NodeError, OpenChannel, Paid, PaidAll, Peers, Taking,
    causes::Cause,
    config::NodeConfig,
    ended,
    events::{Events, Happening, NodeEvent},
    following::{Follower, News},
    limits::{MAX_CHANNELS_PER_PEER, MAX_UNKNOWN},
    link::{Bounds, Link, Received},
    packet::Packet,
    places::Origin,
    redial::Redial,
    rumours::ANSWERS,
    slot::{Reply, Slot},
    watcher::{Found, Records, Sighted, Watched},
};
use crate::{
    chain::{CallError, arbiter::ArbiterEvent},
    keys::PeerAddress,
    store::{Batch, StoreError, StoreHandle, Table},
    transport::{Role, Session},
};
pub(super) use aside::Pulse;
use calls::CreateTurn;
pub(super) use calls::Kind;
use channel::{
    Balances, Certainty, ChainInput, Change, ChangeId, Channel, ChannelOpen, ChannelRef, CloseReason, Command, Config,
    Effect, Event, EventNumber, IdempotencyKey, Input, Message, Millis, Notice, Outcome, Payment, PaymentRecord,
    Performed, RefusalCode, SavedError, State, Status, Step,
};
use code::Fetches;
use conduct::Conduct;
use protocol::{
    Amount, BlockNumber, ChannelId, Hash, Pair, PartyId, PublicKey, Round,
    call::{CallKind, CloseSolo, ForcedCall},
    contracts::{AppReply, Contract, ContractId},
    decode_exact,
    terms::Terms,
};
use scale::Encode;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Weak},
    time::Duration,
};
use steps::Steps;
use tokio::{
    sync::{mpsc, oneshot},
    task::yield_now,
    time::{Instant, MissedTickBehavior, interval},
};
use vaults::Unfunded;

/// How many inputs wait for a peer's task before whoever sends them has to wait.
pub(super) const INBOX: usize = 4_096;
/// How many inputs one commit may cover: bounds how long the first one waits for the others.
const GATHER: usize = 1_024;
/// How many bytes of the peer's one commit may cover: bounds what its events take before they are told and counted.
const GATHERED_BYTES: usize = 1024 * 1024;
/// How often channels look at the clock.
const TICK: Duration = Duration::from_secs(1);

pub(super) type Inbox = mpsc::Sender<PeerInput>;

/// What reaches a peer's task.
#[derive(Debug)]
pub(super) enum PeerInput {
    /// A connection to it, made by either side.
    Connected(Box<Connected>),
    /// It was not there when it was dialled again.
    NotFound,
    /// It has no channel here, and its place is needed for somebody else.
    Displaced,
    /// The user wants a channel with it.
    Open(OpenChannel, ChannelRef, Reply<ChannelHandle>),
    /// The user wants something of a channel.
    Ask(ChannelRef, Ask),
    /// All channels with it.
    List(oneshot::Sender<Vec<ChannelRef>>),
    /// How a call of the arbiter ended: in which block it is, or why it is in none, by what the chain had up to that block.
    Called(ChannelRef, CallKind, BlockNumber, Result<(), CallError>),
    /// What the chain has of an app.
    Code(Hash, Option<Vec<u8>>),
    /// The answer to a question about a pair's nonce.
    Nonce(ChannelRef, Pair<PartyId>, u64),
    /// What somebody has in its vault; none where the chain did not say.
    Vault(PartyId, Option<Amount>),
    /// The node is going away.
    Stop,
}

/// A new connection.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) session: Session,
    /// Where it was dialled, if the user said so.
    pub(super) address: Option<PeerAddress>,
    /// Who asked for it: told once it is in use.
    pub(super) told: Vec<oneshot::Sender<()>>,
}

/// What a user wants of a channel.
#[derive(Debug)]
pub(super) enum Ask {
    Pay(Payment, Reply<Paid>),
    PayOnce(IdempotencyKey, Payment, Reply<Paid>),
    PayAllOnce(Vec<(IdempotencyKey, Payment)>, Reply<Vec<oneshot::Receiver<Result<Paid, NodeError>>>>),
    Settings(oneshot::Sender<Config>),
    Payment(IdempotencyKey, oneshot::Sender<Option<PaymentRecord>>),
    Payments(oneshot::Sender<Vec<PaymentRecord>>),
    Balances(oneshot::Sender<Option<Balances>>),
    Status(oneshot::Sender<Status>),
    Evidence(oneshot::Sender<Option<CloseSolo>>),
    Close(Command, Reply<CloseReason>),
    CancelClose(Reply<()>),
    Closed(Reply<CloseReason>),
    PayAll(Vec<Payment>, Reply<PaidAll>),
    Make(Vec<Change>, Reply<Made>),
    Try(Change, Reply<Option<Outcome>>),
    App {
        contract: ContractId,
        value: Amount,
        input: Vec<u8>,
        reply: Reply<AppReply>,
    },
    Head(oneshot::Sender<BlockNumber>),
    Force(Vec<ForcedCall>, Certainty, Reply<Vec<Performed>>),
    State(oneshot::Sender<Option<State>>),
    Operate(Command, Reply<Round>),
    /// Whatever is done at once.
    Tell(Command, Reply<()>),
    TakeEvents(EventNumber, oneshot::Sender<()>),
}

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
    /// Where the peer is on this connection.
    origin: Option<Origin>,
    /// Channels that have not said something on this connection, because too much waits to be read by the peer.
    unsaid: BTreeSet<ChannelRef>,
    /// Openings that the initiator has signed, and whose coins are being looked for.
    unfunded: Unfunded,
    redial: Redial,
    /// Where the peer is found has changed since the last commit.
    address_changed: bool,
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
    /// What the chain has new.
    follower: Follower,
    /// The node is going away.
    stopping: bool,
}

/// What lies in the store beside a channel and has changed.
#[derive(Debug, Default)]
struct Rows {
    contracts: BTreeSet<ContractId>,
    payments: BTreeSet<ChangeId>,
}

/// Nothing that was signed can be kept, so nothing more is.
struct NotKept(StoreError);

impl Peer {
    pub(super) fn new(
        peers: &Arc<Peers>,
        identity: PublicKey,
        (answers, inbox): (&Inbox, mpsc::Receiver<PeerInput>),
        channels: Vec<Channel>,
        address: Option<PeerAddress>,
    ) -> Self {
        let config = Arc::clone(&peers.config);
        let conduct = Conduct::new(peers);
        // Before anything is looked at that it will be told of.
        let follower = peers.following.begin(identity, peers.head());
        let bounds = Bounds::of_strangers(&peers.limits);
        let mut peer = Self {
            conduct,
            link: Link::new(config.ping_interval, config.timeouts, bounds, Arc::clone(&peers.tally)),
            origin: None,
            unsaid: BTreeSet::new(),
            unfunded: Unfunded::default(),
            redial: Redial::new(config.redial, address),
            address_changed: false,
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
            follower,
            stopping: false,
        };
        for channel in channels {
            let reference = channel.reference();
            note_id(&mut peer.by_id, &peer.peers, &channel);
            let mut slot = Slot::new(channel);
            if slot.is_known() {
                peer.befriend();
            } else if slot.id.is_some() {
                // What was signed for it before keeps its place; from where it came is not known any more.
                slot.asked = peer.conduct.ask_for_opening(true, None).ok();
            }
            let _none = peer.slots.insert(reference, slot);
            let is_copy = peer.config.store().and_then(StoreHandle::doubt).is_some();
            let may_be_old = is_copy || peer.damaged.contains(&reference);
            let _changed = peer.input(reference, if may_be_old { Input::RestartedFromCopy } else { Input::Restarted });
        }
        if !peer.slots.is_empty() {
            peer.redial.missed();
        }
        peer
    }

    /// Runs until the node stops, its store fails, or the peer is gone and has no channel here.
    pub(super) async fn run(mut self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let error = loop {
            if let Err(NotKept(error)) = self.act().await {
                break error;
            }
            tokio::select! {
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
        };
        self.hand_over(&error);
    }

    /// Nothing can be kept any more: the channels go to the defence, which needs no store. Whoever waits for something of them is told.
    fn hand_over(mut self, error: &StoreError) {
        let cause = error.to_string();
        tracing::error!(peer = %self.identity, cause, "nothing more is agreed with this peer: its channels are only defended");
        // First of all: a defence that met a task that has ended before it had the channels would read them from the store, and pass over the blocks
        // that they have not heard of. Whoever waits for something is told last.
        if let Some(peers) = self.peers.upgrade() {
            let channels = self.slots.values().map(|slot| slot.channel.clone()).collect();
            peers.take_over(self.identity, channels, self.head, cause.clone(), error);
        }
        self.follower.fail(cause);
    }

    /// Whether nothing is left to do for this peer: a stranger that came and went costs nothing.
    fn is_idle(&self) -> bool {
        self.link.was_up() && !self.link.is_up() && self.slots.is_empty() && self.steps.is_empty()
    }

    /// Ends the task, and hands on or answers what has reached it just now.
    async fn retire(mut self) {
        self.follower.end();
        self.leave_place();
        self.inbox.close();
        while let Some(input) = self.inbox.recv().await {
            match input {
                // It has come back just now: to a new task.
                PeerInput::Connected(connected) => {
                    if let Some(peers) = self.peers.upgrade() {
                        let _task = tokio::spawn(async move { drop(peers.connected(*connected).await) });
                    }
                }
                PeerInput::Open(_, _, reply) => {
                    let _gone = reply.send(Err(NodeError::NotConnected(self.identity)));
                }
                PeerInput::List(reply) => {
                    let _gone = reply.send(Vec::new());
                }
                // About channels that are not there (any more).
                PeerInput::Ask(..)
                | PeerInput::Called(..)
                | PeerInput::Nonce(..)
                | PeerInput::Vault(..)
                | PeerInput::Code(..)
                | PeerInput::NotFound
                | PeerInput::Displaced
                | PeerInput::Stop => {}
            }
        }
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
        while !self.changed.is_empty() || !self.steps.is_empty() {
            self.commit().await?;
            let mut effects = std::mem::take(&mut self.steps).committed();
            // Last of all, openings in the order of their nonces: one that is overtaken cannot be on chain any more (R5.2).
            effects.sort_by_key(|(_, effect)| calls::nonce_of(effect));
            for (reference, effect) in effects {
                self.effect(reference, effect);
            }
        }
        for answer in std::mem::take(&mut self.answers_held) {
            answer();
        }
        self.link.flush();
        self.forget_closed().await?;
        self.follower.done(self.head);
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), NotKept> {
        let changed = std::mem::take(&mut self.changed);
        let Some(store) = self.config.store().filter(|_| !changed.is_empty()) else { return Ok(()) };
        let mut batch = Batch::default();
        if std::mem::take(&mut self.address_changed)
            && let Some(address) = self.redial.address()
        {
            batch = batch.put(Table::Meta, address_key(&self.identity), address.to_string());
        }
        for (reference, Rows { contracts, payments }) in changed {
            // What is damaged stays as it is.
            if self.damaged.contains(&reference) {
                continue;
            }
            let Some(slot) = self.slots.get_mut(&reference) else { continue };
            let key = store_key(&self.identity, reference);
            // It had an id on chain, and has none any more.
            if !slot.is_kept && slot.id.is_some() && slot.channel.channel_id().is_none() {
                let rows = contracts.iter().map(|id| (*id, contract_key(&key, id)));
                batch = ended::keep(store, batch, self.head, &key, rows).map_err(NotKept)?;
                slot.is_kept = true;
            }
            for id in contracts {
                let row = contract_key(&key, &id);
                batch = match slot.channel.contract(&id) {
                    Some(contract) => batch.put(Table::Contracts, row, contract.encode()),
                    None => batch.delete(Table::Contracts, row),
                };
            }
            for id in payments {
                let row = payment_key(&key, id);
                batch = match slot.channel.kept_payments().get(&id) {
                    Some(record) => batch.put(Table::Payments, row, record.encode()),
                    None => batch.delete(Table::Payments, row),
                };
            }
            batch = batch.put(Table::Channels, key, slot.channel.save());
        }
        store.commit(batch).await.map_err(NotKept)
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
            // It has ended, and its user knows.
            Effect::Forget => self.ended.push(reference),
            Effect::Deliver { number, event } => {
                self.tell(reference, event.into(), Some(number));
                if self.config.taking == Taking::WhenTold {
                    self.take_events(reference, number);
                }
            }
        }
    }

    fn tell(&mut self, reference: ChannelRef, event: Happening, number: Option<EventNumber>) {
        if let Some(slot) = self.slots.get_mut(&reference) {
            slot.answer(&event);
            if matches!(event, Happening::Event(Event::Closed(_))) {
                slot.last_event = number;
            }
        }
        if matches!(event, Happening::Notice(Notice::PeerViolated(_))) {
            self.conduct.count(Cause::Violation);
        }
        self.events.send(NodeEvent { peer: self.identity, reference, event, number }, self.conduct.share());
    }

    /// The user has these events. A channel that has ended is forgotten with its last one.
    fn take_events(&mut self, reference: ChannelRef, up_to: EventNumber) {
        let _changed = self.input(reference, Input::EventsTaken { up_to });
        let last = self.slots.get(&reference).and_then(|slot| slot.last_event);
        if last.is_some_and(|last| last <= up_to) && !self.ended.contains(&reference) {
            self.ended.push(reference);
        }
    }

    /// Channels that have ended leave the store and the task.
    async fn forget_closed(&mut self) -> Result<(), NotKept> {
        let ended = std::mem::take(&mut self.ended);
        if ended.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        for reference in ended {
            let key = store_key(&self.identity, reference);
            if let Some(slot) = self.slots.remove(&reference) {
                let stored = slot.channel.contracts().filter(|_| !self.damaged.contains(&reference));
                for id in stored.into_iter().flat_map(|all| all.iter()).map(|(id, _)| id) {
                    batch = batch.delete(Table::Contracts, contract_key(&key, id));
                }
                for id in slot.channel.kept_payments().keys() {
                    batch = batch.delete(Table::Payments, payment_key(&key, *id));
                }
                if let Some(id) = slot.id.filter(|id| self.by_id.get(id) == Some(&reference)) {
                    let _was_there = self.by_id.remove(&id);
                    if let Some(peers) = self.peers.upgrade() {
                        let _was_known = peers.channels().remove(&id);
                    }
                }
            }
            if self.damaged.contains(&reference) {
                continue;
            }
            batch = batch.delete(Table::Channels, key);
        }
        if self.slots.is_empty() && self.damaged.is_empty() {
            // Nobody needs the peer any more; its address is noted again with the next channel.
            self.estrange();
            self.redial.give_up();
            self.address_changed = self.redial.address().is_some();
            batch = batch.delete(Table::Meta, address_key(&self.identity));
        }
        match self.config.store() {
            Some(store) => store.commit(batch).await.map_err(NotKept),
            None => Ok(()),
        }
    }

    fn on_received(&mut self, received: Received) {
        match received {
            Received::Message(bytes) => {
                self.on_bytes(&bytes);
                self.restrain(bytes.len());
            }
            Received::Lost => {
                self.leave_place();
                self.on_link(&Input::LinkDown);
                if !self.slots.is_empty() {
                    self.redial.missed();
                }
            }
            Received::Replaced => self.on_new_link(),
            Received::Drained => self.on_drained(),
        }
    }

    /// Has one channel say what it could not: each may have a round of full length.
    fn on_drained(&mut self) {
        if let Some(reference) = self.unsaid.pop_first() {
            let _changed = self.input(reference, Input::Drained);
        }
        if !self.unsaid.is_empty() {
            self.link.tell_when_drained();
        }
    }

    fn on_bytes(&mut self, bytes: &[u8]) {
        if let Some(reference) = Packet::channel_of(bytes).filter(|_| bytes.len() > MAX_UNKNOWN)
            && !self.slots.contains_key(&reference)
        {
            // Too long for an opening, and about nothing that is here: not worth a look inside.
            return self.refuse(reference, self.code_for_unknown(reference));
        }
        match Packet::from_bytes(bytes) {
            Ok(packet) => self.on_packet(packet),
            Err(error) => self.link.cut_off(Cause::Undecodable, &error),
        }
    }

    fn on_packet(&mut self, packet: Packet) {
        match packet {
            Packet::Channel(reference, message) => self.on_message(reference, message),
            Packet::Ping => {
                if self.takes_sign_of_life() {
                    self.link.pong();
                }
            }
            Packet::Pong => {
                if self.takes_sign_of_life() {
                    self.link.answered();
                }
            }
            Packet::CodeWanted { code, from } => self.on_code_wanted(code, from),
            Packet::CodePiece { code, total, from, bytes } => self.on_code_piece(code, (total, from), &bytes),
        }
    }

    fn on_message(&mut self, reference: ChannelRef, message: Message) {
        if let Some(slot) = self.slots.get(&reference) {
            let offered = match &message {
                Message::FundingCreated(funding) => slot.channel.offered_id(funding),
                _ => None,
            };
            let input = match (offered.filter(|id| self.is_taken(id)), message) {
                (Some(taken), _) => Input::IdTaken(taken),
                (None, Message::FundingCreated(funding)) if offered.is_some() => {
                    return self.look_for_coins(reference, funding);
                }
                (None, message) => Input::Peer(message),
            };
            let _changed = self.input(reference, input);
            return;
        }
        let refusal = match message {
            Message::ChannelOpen(open) => match self.accept(reference, open) {
                Ok(()) => return,
                Err(code) => code,
            },
            // An error about nothing is answered by nothing, or two nodes would go on for ever.
            last if last.is_last_word() => return,
            _ => self.code_for_unknown(reference),
        };
        self.refuse(reference, refusal);
    }

    /// What is said of a channel that is not here. One that the store has and that cannot be read is not unknown: its peer is not to forget it.
    fn code_for_unknown(&self, reference: ChannelRef) -> RefusalCode {
        match self.damaged.contains(&reference) {
            true => RefusalCode::BUSY,
            false => RefusalCode::UNKNOWN_CHANNEL,
        }
    }

    fn refuse(&mut self, reference: ChannelRef, code: RefusalCode) {
        if code == RefusalCode::UNKNOWN_CHANNEL {
            self.conduct.count(Cause::UnknownChannel);
        }
        self.steps.push(reference, Step::Act(vec![Effect::Send(Message::Error { code })]));
    }

    /// Whether this is the id of a channel that has not ended. That of an opening that has expired may be used by the next (R5.2, R5.3).
    fn is_taken(&self, id: &ChannelId) -> bool {
        let owner = self.by_id.get(id).and_then(|owner| self.slots.get(owner));
        owner.is_some_and(|slot| slot.channel.channel_id() == Some(*id))
    }

    fn accept(&mut self, reference: ChannelRef, open: ChannelOpen) -> Result<(), RefusalCode> {
        // While the chain is not seen as it is, or fees cannot be paid, a new channel could not be defended (R6.9a, R6.9e).
        let can_defend =
            self.peers.upgrade().is_some_and(|peers| peers.health().is_good() && peers.has_fees_for_another());
        // Which id a channel has that cannot be read is not known: no opening may get the same (R5.2).
        if self.slots.len() >= MAX_CHANNELS_PER_PEER || !can_defend || !self.damaged.is_empty() {
            return Err(RefusalCode::BUSY);
        }
        let its_address = self.origin.and_then(|origin| Some(self.peers.upgrade()?.openings_of.of(origin)));
        let asked = self.conduct.ask_for_opening(self.is_stranger(), its_address.as_ref());
        let asked = asked.map_err(|()| RefusalCode::BUSY)?;
        let (config, identity) = (Arc::clone(&self.config), self.identity);
        let ctx = config.context(self.now(), self.head);
        let accepted =
            Channel::accept(reference, identity, open, config.party(), &config.policy, config.channels, &ctx);
        let (channel, step) = accepted.map_err(|violation| {
            tracing::info!(peer = %identity, %violation, "refused a channel");
            violation.code()
        })?;
        let mut slot = Slot::new(channel);
        slot.asked = Some(asked);
        let _none = self.slots.insert(reference, slot);
        self.done(reference, step);
        Ok(())
    }

    fn on_input(&mut self, input: PeerInput) {
        match input {
            PeerInput::Connected(connected) => self.on_connected(connected),
            PeerInput::NotFound if !self.link.is_up() && !self.slots.is_empty() => self.redial.missed(),
            PeerInput::NotFound => {}
            PeerInput::Displaced => self.on_displaced(),
            PeerInput::Open(open, reference, reply) => self.on_open(&open, reference, reply),
            PeerInput::Ask(reference, ask) => self.on_ask(reference, ask),
            PeerInput::List(reply) => {
                let _gone = reply.send(self.slots.keys().copied().collect());
            }
            PeerInput::Called(reference, call, block, result) => self.on_called(reference, call, block, result),
            PeerInput::Stop => self.stopping = true,
            PeerInput::Code(code, wasm) => self.on_code_of_chain(code, wasm),
            PeerInput::Nonce(reference, parties, next) => self.on_nonce(reference, parties, next),
            PeerInput::Vault(owner, has) => self.on_vault(owner, has),
        }
    }

    fn on_connected(&mut self, connected: Box<Connected>) {
        self.redial.found();
        if !self.has_looked && !self.slots.is_empty() {
            // An old store does not know that it is old before it has seen what the chain took meanwhile: it must take no answer (R6.6a).
            return self.hold(connected);
        }
        let Connected { session, address, told } = *connected;
        let ours = self.config.identity.public();
        let (origin, role) = (Origin::of(session.remote_addr().ip()), session.role());
        if self.link.adopt(session, &ours) {
            self.origin = Some(origin);
            if role == Role::Listener {
                self.take_place(origin);
            }
            self.on_new_link();
        }
        self.set_bounds();
        if let Some(address) = address {
            self.address_changed |= self.redial.learn(address);
        }
        for told in told {
            let _gone = told.send(());
        }
    }

    /// Keeps a connection for later. Of two that the same side dialled, the later one stays; of two that crossed both do: which one the peer keeps
    /// is not known yet.
    fn hold(&mut self, mut connected: Box<Connected>) {
        let role = connected.session.role();
        if let Some(at) = self.held.iter().position(|held| held.session.role() == role) {
            let mut earlier = self.held.swap_remove(at);
            if connected.session.number() < earlier.session.number() {
                std::mem::swap(&mut connected, &mut earlier);
            }
            connected.told.extend(earlier.told);
            connected.address = connected.address.or(earlier.address);
        }
        self.held.push(connected);
    }

    /// Dials a lost peer again, beside everything else.
    fn dial_again(&mut self, address: PeerAddress) {
        let Some(dialler) = self.peers.upgrade().map(|peers| Arc::clone(&peers.dialler)) else { return };
        let (ours, timeouts) = (Arc::clone(&self.config.identity), self.config.timeouts);
        let (peers, answers) = (self.peers.clone(), self.answers.clone());
        let _task = tokio::spawn(async move {
            match dialler.dial(&ours, &address, timeouts).await {
                Ok(session) => {
                    if let Some(peers) = peers.upgrade() {
                        let _stopped = peers.connected(Connected { session, address: None, told: Vec::new() }).await;
                    }
                }
                Err(error) => {
                    tracing::info!(%address, %error, "a lost peer was not found");
                    if let Some(answers) = answers.upgrade() {
                        let _stopped = answers.send(PeerInput::NotFound).await;
                    }
                }
            }
        });
    }

    fn on_new_link(&mut self) {
        self.on_link(&Input::LinkDown);
        self.on_link(&Input::LinkUp);
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

    fn on_news(&mut self, news: &News) {
        match news {
            News::Block(block) => self.on_block(block),
            News::Sighted(sighted) => self.on_sighted(sighted),
            News::Looked => self.on_looked(),
        }
    }

    fn on_block(&mut self, block: &Watched) {
        self.head = block.at.number;
        self.on_records(block);
        for event in &block.told.events {
            self.on_arbiter(event);
        }
        for slot in self.slots.values_mut() {
            slot.rumours.know(self.head);
            slot.calls.saw(self.head);
        }
        self.on_link(&Input::Chain(ChainInput::Head));
    }

    /// Every block up to the head was looked at: who waited for that is heard.
    fn on_looked(&mut self) {
        self.has_looked = true;
        for connected in std::mem::take(&mut self.held) {
            self.on_connected(connected);
        }
    }

    /// One endpoint alone tells of a block: what needs an answer is answered, once more with each such block, and nothing becomes known by it (R6.9a).
    fn on_sighted(&mut self, Sighted { number, rumours }: &Sighted) {
        if *number <= self.head {
            return;
        }
        for (channel, rumour) in rumours {
            let slot = self.by_id.get(channel).and_then(|reference| self.slots.get_mut(reference));
            if let Some(slot) = slot {
                slot.rumours.hear(*number, rumour);
            }
        }
        for slot in self.slots.values_mut() {
            slot.calls.ask_again(&ANSWERS);
        }
        self.on_link(&Input::Chain(ChainInput::Sighted(*number)));
        for (reference, slot) in &self.slots {
            let answers = slot.rumours.answers(&slot.channel).into_iter();
            let submit = answers.map(|call| Effect::Submit(Box::new(call))).collect();
            self.steps.push(*reference, Step::Act(submit));
        }
    }

    /// Tells channels what the chain has of them, where blocks were skipped.
    fn on_records(&mut self, block: &Watched) {
        let Some(Records { from, found }) = &block.told.records else { return };
        for (channel, Found { record, nonce }) in found {
            let Some(reference) = self.by_id.get(channel).copied() else { continue };
            let record = ChainInput::Record { from: *from, record: record.clone(), nonce: *nonce };
            let _changed = self.input(reference, Input::Chain(record));
        }
    }

    /// Tells a channel what the arbiter announced about it.
    fn on_arbiter(&mut self, ArbiterEvent { channel, event, .. }: &ArbiterEvent) {
        if let Some(reference) = self.by_id.get(channel).copied() {
            let _changed = self.input(reference, Input::Chain(ChainInput::Event(event.clone())));
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
        let ctx = self.config.context(now, self.head);
        let Slot { channel, pulse, .. } = slot;
        Ok(pulse.run(aside::may_be_long(&input), || channel.handle(input, &ctx))?)
    }

    /// Notes what a channel's step asks for.
    fn done(&mut self, reference: ChannelRef, step: Step) {
        let mut is_known = false;
        if let Some(slot) = self.slots.get_mut(&reference) {
            slot.note_doubt(&step);
            is_known = slot.is_known();
            if step.is_commit() && slot.id.is_none() {
                slot.id = slot.channel.channel_id();
                slot.nonce = slot.channel.named_nonce();
                note_id(&mut self.by_id, &self.peers, &slot.channel);
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

/// Where it is kept under which address a peer was last found.
pub(super) fn address_key(peer: &PublicKey) -> Vec<u8> {
    [b"address/", &peer.0[..]].concat()
}

/// Where a contract of a channel is kept: the channel's key, then the contract's id.
fn contract_key(channel: &[u8], id: &ContractId) -> Vec<u8> {
    [channel, &id.0].concat()
}

/// Where a payment of a channel is kept: the channel's key, then the payment's id.
fn payment_key(channel: &[u8], ChangeId(id): ChangeId) -> Vec<u8> {
    [channel, &id.to_be_bytes()].concat()
}

/// A contract as it was kept, with its id.
pub(super) fn decode_row(channel: &[u8], row: &[u8], bytes: &[u8]) -> Result<(ContractId, Contract), SavedError> {
    let id = row.strip_prefix(channel).and_then(|id| id.try_into().ok()).map(ContractId);
    let id = id.ok_or_else(|| SavedError::Damaged("a contract without an id".into()))?;
    Ok((id, decode_exact(bytes).map_err(SavedError::Damaged)?))
}

/// Whose channel is kept under a key, and which; none where no channel is.
pub(super) fn of_key(key: &[u8]) -> Option<(PublicKey, ChannelRef)> {
    let (peer, reference) = key.split_first_chunk()?;
    Some((PublicKey(*peer), ChannelRef(reference.try_into().ok()?)))
}

/// Where a channel is kept: peer, then reference.
pub(super) fn store_key(peer: &PublicKey, reference: ChannelRef) -> Vec<u8> {
    [&peer.0[..], &reference.0[..]].concat()
}
