//! Nodes, their stores and tasks, one chain, and a place for crashes.

use super::{
    chain::{Sight, View},
    channel::{Msg, Said, Side, Work, contract},
    faults::Faults,
};
use ::channel::{
    ChannelRef, IdempotencyKey,
    transfer::{Stake, TransferCommand, TransferLimits, TransferTerms, Verdict},
};
use network::{
    At, ChainPolicy, Fee, Restored, RestoredChannel, Router, RouterInput, RouterNotice, RouterOutput, RoutingPolicy,
    RowKey, SealKey,
};
use protocol::{
    AccountId, Amount, BlockNumber, Hash, PublicKey,
    contracts::conditional::{HashLock, Preimage},
    crypto::SigningKey,
    signing::Domain,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(crate) const CHAIN: Domain = Domain { genesis: Hash([7; 32]), arbiter: AccountId([8; 32]) };
/// A second chain, for swaps: that of all channels from number [`OTHER`] on.
pub(crate) const OTHER_CHAIN: Domain = Domain { genesis: Hash([9; 32]), arbiter: AccountId([10; 32]) };
/// The first channel on the second chain.
pub(crate) const OTHER: usize = 100;

/// Where a crash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// Before the commit: as if the work had never been begun.
    Before,
    /// After it, and before anything leaves.
    After,
}

/// The crash of a node in one of its commits, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CrashPoint {
    pub(crate) node: usize,
    pub(crate) commit: usize,
    pub(crate) crash: Crash,
}

/// What a node has committed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub(crate) sides: BTreeMap<usize, Side>,
    pub(crate) rows: BTreeMap<RowKey, Vec<u8>>,
    /// The store of the node on the second chain: its sides are those from number [`OTHER`] on.
    pub(crate) other_rows: BTreeMap<RowKey, Vec<u8>>,
    pub(crate) notices: Vec<RouterNotice>,
}

pub(crate) struct Node {
    pub(crate) seed: u8,
    pub(crate) policy: RoutingPolicy,
    pub(crate) router: Router,
    pub(crate) store: Store,
    pub(crate) queues: BTreeMap<usize, VecDeque<Work>>,
    pub(crate) is_away: bool,
    /// Rows for either store that no commit there has taken yet.
    pub(crate) pending: BTreeMap<Domain, BTreeMap<RowKey, Option<Vec<u8>>>>,
    pub(crate) commits: usize,
    pub(crate) first_total: Amount,
}

pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    /// The two nodes of each channel.
    pub(crate) channels: BTreeMap<usize, (usize, usize)>,
    pub(crate) view: View,
    /// The second chain.
    pub(crate) other: View,
    pub(crate) now: u64,
    pub(crate) crashes: Vec<CrashPoint>,
    pub(crate) registered_by: Vec<(usize, HashLock)>,
    pub(crate) steps: usize,
    /// How many messages about swaps were said, and which of them, counted from 1, are lost.
    pub(crate) words: usize,
    pub(crate) lost_words: Vec<usize>,
    /// Nodes whose process runs without its node on the second chain from the next start on.
    pub(crate) without_second: BTreeSet<usize>,
    /// Whether the second chain joins before the first one, at a start.
    pub(crate) joins_backwards: bool,
    /// Offers that have left, to be looked at by tests: node, channel, command.
    pub(crate) said: Vec<(usize, usize, Msg)>,
    /// What goes wrong by request.
    pub(crate) faults: Faults,
}

pub(crate) fn hub_policy() -> RoutingPolicy {
    let fee = Fee { base: 1, parts_per_million: 1_000 };
    RoutingPolicy { is_hub: true, fee, revenue: 0, ..RoutingPolicy::default() }
}

/// Whether an output is for a store.
const fn is_kept(output: &RouterOutput) -> bool {
    matches!(output, RouterOutput::Row { .. } | RouterOutput::Notify(_))
}

fn router(seed: u8, policy: &RoutingPolicy) -> Router {
    Router::new(SigningKey::from_seed(&[seed; 32]), SealKey::from_seed(&[seed; 32]), policy.clone())
}

pub(crate) fn at(channel: usize) -> At {
    At { chain: chain_of(channel), channel: ChannelRef([u8::try_from(channel).unwrap() + 1; 16]) }
}

pub(crate) const fn chain_of(channel: usize) -> Domain {
    if channel < OTHER { CHAIN } else { OTHER_CHAIN }
}

fn channel_of(at: &At) -> usize {
    usize::from(at.channel.0[0]) - 1
}

impl World {
    /// Nodes with these policies, and channels between them with what each of the two has in it.
    pub(crate) fn new(policies: Vec<RoutingPolicy>, channels: &[(usize, usize, Amount, Amount)]) -> Self {
        Self::on_two_chains(policies, channels, &[])
    }

    /// As [`new`](Self::new), with channels on a second chain.
    pub(crate) fn on_two_chains(
        policies: Vec<RoutingPolicy>,
        first: &[(usize, usize, Amount, Amount)],
        second: &[(usize, usize, Amount, Amount)],
    ) -> Self {
        let channels = (0..).zip(first).chain((OTHER..).zip(second)).map(|(number, channel)| (number, *channel));
        let channels: BTreeMap<usize, (usize, usize, Amount, Amount)> = channels.collect();
        let node = |(place, policy): (usize, RoutingPolicy)| {
            let seed = u8::try_from(place).unwrap() + 1;
            Node {
                seed,
                router: router(seed, &policy),
                policy,
                store: Store::default(),
                queues: BTreeMap::new(),
                is_away: false,
                pending: BTreeMap::new(),
                commits: 0,
                first_total: 0,
            }
        };
        let nodes = policies.into_iter().enumerate().map(node).collect();
        let mut world = Self {
            nodes,
            channels: channels.iter().map(|(number, (one, other, ..))| (*number, (*one, *other))).collect(),
            view: View::at_height(100),
            other: View::at_height(5_000),
            now: 1_000_000,
            crashes: Vec::new(),
            registered_by: Vec::new(),
            steps: 0,
            words: 0,
            lost_words: Vec::new(),
            without_second: BTreeSet::new(),
            joins_backwards: false,
            said: Vec::new(),
            faults: Faults::default(),
        };
        for (number, (one, other, its, others)) in channels {
            for (node, balance) in [(one, its), (other, others)] {
                let side = Side { balance, ..Side::default() };
                let _new = world.nodes[node].store.sides.insert(number, side);
                world.nodes[node].first_total += balance;
            }
        }
        (0..world.nodes.len()).for_each(|node| world.start(node));
        world.channels.keys().copied().collect::<Vec<_>>().into_iter().for_each(|number| world.link(number));
        world.run();
        for _ in 0..4 {
            world.tick(20_000);
            world.run();
        }
        world
    }

    pub(crate) fn key(&self, node: usize) -> PublicKey {
        SigningKey::from_seed(&[self.nodes[node].seed; 32]).public()
    }

    pub(crate) fn peer(&self, node: usize, channel: usize) -> usize {
        let (one, other) = self.channels[&channel];
        if node == one { other } else { one }
    }

    pub(crate) fn channels_of(&self, node: usize) -> Vec<usize> {
        self.nodes[node].store.sides.keys().copied().collect()
    }

    /// Gives a node's task work to do.
    pub(crate) fn give(&mut self, node: usize, channel: usize, work: Work) {
        let is_missing = channel >= OTHER && self.without_second.contains(&node);
        if !self.nodes[node].is_away && !is_missing {
            self.nodes[node].queues.entry(channel).or_default().push_back(work);
        }
    }

    /// Starts a node from its store.
    fn start(&mut self, node: usize) {
        let channels = self.channels_of(node);
        let restored = channels.iter().map(|number| {
            let side = &self.nodes[node].store.sides[number];
            RestoredChannel {
                at: at(*number),
                peer: self.key(self.peer(node, *number)),
                incoming: side.incoming.values().cloned().collect(),
                outgoing: side.outgoing.values().cloned().collect(),
                is_whole: true,
            }
        });
        let channels: Vec<RestoredChannel> = restored.collect();
        let [first_head, second_head] = self.heads(node);
        let heads = if self.without_second.contains(&node) { vec![first_head] } else { vec![first_head, second_head] };
        let shown = self.shown(node);
        let this = &mut self.nodes[node];
        this.router = router(this.seed, &this.policy);
        this.pending.clear();
        let mut outputs = this.router.handle(RouterInput::Tick(self.now));
        for head in heads {
            outputs.extend(this.router.handle(head));
        }
        let stores = [(CHAIN, &this.store.rows), (OTHER_CHAIN, &this.store.other_rows)];
        let restored = stores.map(|(chain, rows)| Restored {
            chain,
            channels: channels.iter().filter(|channel| channel.at.chain == chain).cloned().collect(),
            rows: rows.clone().into_iter().collect(),
        });
        let [first, second] = restored;
        let has_second =
            !self.without_second.contains(&node) && (!second.channels.is_empty() || !second.rows.is_empty());
        let in_order = if self.joins_backwards { [second, first] } else { [first, second] };
        for one in in_order.into_iter().filter(|one| one.chain == CHAIN || has_second) {
            outputs.extend(this.router.handle(RouterInput::Restored(one)));
        }
        for input in shown {
            outputs.extend(this.router.handle(input));
        }
        self.commit_outside(node, outputs);
    }

    /// Rows first, then the commands to the tasks: what is done where no task calls.
    pub(crate) fn commit_outside(&mut self, node: usize, outputs: Vec<RouterOutput>) {
        let (rows, effects): (Vec<_>, Vec<_>) = outputs.into_iter().partition(is_kept);
        rows.into_iter().for_each(|row| self.note_row(node, row));
        if self.commit(node, CHAIN, None) && self.commit_others(node, CHAIN) {
            effects.into_iter().for_each(|effect| self.effect(node, effect));
        }
    }

    /// One commit of one of a node's stores: the side of a channel, and all rows that wait for this store. False where the node crashed.
    fn commit(&mut self, node: usize, chain: Domain, side: Option<(usize, Side)>) -> bool {
        if self.crash_here(node, Crash::Before) {
            self.nodes[node].commits += 1;
            self.crash(node);
            return false;
        }
        let Node { store, pending, .. } = &mut self.nodes[node];
        if let Some((channel, side)) = side {
            let _former = store.sides.insert(channel, side);
        }
        let rows = if chain == CHAIN { &mut store.rows } else { &mut store.other_rows };
        for (key, value) in pending.remove(&chain).into_iter().flatten() {
            match value {
                Some(value) => drop(rows.insert(key, value)),
                None => drop(rows.remove(&key)),
            }
        }
        let is_crashed = self.crash_here(node, Crash::After);
        self.nodes[node].commits += 1;
        if is_crashed {
            self.crash(node);
        }
        !is_crashed
    }

    /// The commit of the other store, where rows wait for it. False where the node crashed.
    fn commit_others(&mut self, node: usize, chain: Domain) -> bool {
        let other = if chain == CHAIN { OTHER_CHAIN } else { CHAIN };
        !self.nodes[node].pending.contains_key(&other) || self.commit(node, other, None)
    }

    fn note_row(&mut self, node: usize, output: RouterOutput) {
        let this = &mut self.nodes[node];
        match output {
            RouterOutput::Row { chain, key, value } => {
                drop(this.pending.entry(chain).or_default().insert(key, value));
            }
            RouterOutput::Notify(notice) if notice.is_durable() => this.store.notices.push(notice),
            _ => {}
        }
    }

    fn effect(&mut self, node: usize, output: RouterOutput) {
        match output {
            RouterOutput::Command { at, command } => self.give(node, channel_of(&at), Work::Command(command)),
            RouterOutput::Register { chain, lock, preimage, .. } => self.register_on(node, chain, lock, preimage),
            RouterOutput::Announce { chain, bytes } => {
                let peer = self.key(node);
                for channel in self.channels_of(node).into_iter().filter(|channel| chain_of(*channel) == chain) {
                    let to = self.peer(node, channel);
                    self.give(to, channel, Work::Tell(RouterInput::Announced { peer, bytes: bytes.clone() }));
                }
            }
            RouterOutput::Tell { chain, peer, bytes } => {
                let from = self.key(node);
                // By a connection of their own, where the two have no channel.
                let to = (0..self.nodes.len()).find(|to| self.key(*to) == peer).expect("a peer");
                let channel = self.channels_of(to).into_iter().find(|channel| chain_of(*channel) == chain);
                self.words += 1;
                if !self.lost_words.contains(&self.words)
                    && let Some(channel) = channel
                {
                    self.post(to, channel, Work::Tell(RouterInput::Swap { chain, peer: from, bytes }));
                }
            }
            RouterOutput::Row { .. } | RouterOutput::Notify(_) => {}
        }
    }

    fn crash_here(&mut self, node: usize, crash: Crash) -> bool {
        let commit = self.nodes[node].commits;
        let found = self.crashes.iter().position(|point| *point == CrashPoint { node, commit, crash });
        found.map(|place| self.crashes.swap_remove(place)).is_some()
    }

    /// A node's process ends, and starts again from its store. Its links come up anew.
    pub(crate) fn crash(&mut self, node: usize) {
        self.nodes[node].queues.clear();
        for channel in self.channels_of(node) {
            self.nodes[node].store.sides.get_mut(&channel).unwrap().is_up = false;
            let peer = self.peer(node, channel);
            self.give(peer, channel, Work::Down);
        }
        self.start(node);
        for channel in self.channels_of(node) {
            self.link(channel);
        }
    }

    pub(crate) fn link(&mut self, channel: usize) {
        let (one, other) = self.channels[&channel];
        let is_closed = self.nodes[one].store.sides[&channel].is_closed;
        let is_missing = |node| channel >= OTHER && self.without_second.contains(&node);
        let is_there = |node: usize| !self.nodes[node].is_away && !is_missing(node);
        if is_there(one) && is_there(other) && !is_closed {
            self.give(one, channel, Work::Up);
            self.give(other, channel, Work::Up);
        }
    }

    /// What a node sees of the chain of a channel.
    fn sight(&self, node: usize, channel: usize) -> Sight {
        let view = if channel < OTHER { &self.view } else { &self.other };
        view.sight(node, self.now)
    }

    pub(crate) fn heads(&self, node: usize) -> [RouterInput; 2] {
        [(CHAIN, &self.view), (OTHER_CHAIN, &self.other)].map(|(chain, view)| {
            let Sight { best, finalised, .. } = view.sight(node, self.now);
            RouterInput::Head { chain, best, finalised }
        })
    }

    pub(crate) fn shown(&self, node: usize) -> Vec<RouterInput> {
        let all = [(CHAIN, &self.view), (OTHER_CHAIN, &self.other)].map(|(chain, view)| {
            let Sight { finalised, registry, .. } = view.sight(node, self.now);
            registry.into_iter().map(move |(lock, (at, preimage))| {
                let at = Some(at).filter(|at| *at <= finalised);
                RouterInput::Shown { chain, lock, preimage, at }
            })
        });
        all.into_iter().flatten().collect()
    }

    /// Tells each node something, and has its channels look at time and registry.
    pub(crate) fn tell_all(&mut self, inputs: impl Fn(&Self, usize) -> Vec<RouterInput>) {
        for node in 0..self.nodes.len() {
            let Some(first) = self.channels_of(node).first().copied() else { continue };
            for input in inputs(self, node) {
                self.give(node, first, Work::Tell(input));
            }
            for channel in self.channels_of(node) {
                self.give(node, channel, Work::Poll);
            }
        }
    }

    pub(crate) fn advance(&mut self, blocks: BlockNumber) {
        self.advance_both(blocks, 0);
    }

    pub(crate) fn advance_both(&mut self, first: BlockNumber, second: BlockNumber) {
        self.view.height += first;
        self.other.height += second;
        self.tell_all(|world, node| world.heads(node).to_vec());
    }

    pub(crate) fn tick(&mut self, millis: u64) {
        self.now += millis;
        self.tell_all(|world, _| vec![RouterInput::Tick(world.now)]);
    }

    pub(crate) fn register_on(&mut self, node: usize, chain: Domain, lock: HashLock, preimage: Preimage) {
        let view = if chain == CHAIN { &mut self.view } else { &mut self.other };
        if view.register(node, lock, preimage) {
            self.registered_by.push((node, lock));
            self.tell_all(Self::shown);
        }
    }

    /// Tasks that have work.
    pub(crate) fn ready(&self) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            all.extend(
                node.queues.iter().filter(|(_, queue)| !queue.is_empty()).map(|(channel, _)| (number, *channel)),
            );
        }
        all
    }

    /// All tasks work until there is nothing to do.
    pub(crate) fn run(&mut self) {
        let first = self.steps;
        while let Some((node, channel)) = self.next_task() {
            self.step(node, channel);
            assert!(self.steps - first < 100_000, "it never ends: {:?}", self.nodes[node].queues);
        }
    }

    /// One task takes one thing: gathers, asks the router, commits, acts.
    pub(crate) fn step(&mut self, node: usize, channel: usize) {
        self.steps += 1;
        let Some(work) = self.nodes[node].queues.get_mut(&channel).and_then(VecDeque::pop_front) else { return };
        let mut side = self.nodes[node].store.sides[&channel].clone();
        let mut effects = Vec::new();
        let mut rows = Vec::new();
        let mut messages = Vec::new();
        let mut inputs = self.gather(node, channel, &mut side, work, &mut messages, &mut effects);
        while let Some(input) = inputs.pop_front() {
            for output in self.nodes[node].router.handle(input) {
                match output {
                    RouterOutput::Command { at: to, command } if to == at(channel) => {
                        let command = self.tampered(node, command, &mut side);
                        let said = side.command(&command, |key, offer| contract(channel, node, key, offer));
                        messages.extend(said.messages.clone());
                        inputs.extend(after_command(channel, said, command));
                    }
                    RouterOutput::Row { .. } | RouterOutput::Notify(_) => rows.push(output),
                    effect => effects.push(effect),
                }
            }
        }
        let spendable = RouterInput::Spendable { at: at(channel), amount: side.balance, risked: 1_000_000 };
        for output in self.nodes[node].router.handle(spendable) {
            match output {
                RouterOutput::Row { .. } | RouterOutput::Notify(_) => rows.push(output),
                effect => effects.push(effect),
            }
        }
        rows.into_iter().for_each(|row| self.note_row(node, row));
        if !self.commit(node, chain_of(channel), Some((channel, side))) {
            return;
        }
        messages.into_iter().for_each(|message| self.send(node, channel, message));
        if !self.commit_others(node, chain_of(channel)) {
            return;
        }
        effects.into_iter().for_each(|effect| self.effect(node, effect));
    }

    /// What the channel makes of a piece of work: inputs for the router.
    fn gather(
        &mut self,
        node: usize,
        channel: usize,
        side: &mut Side,
        work: Work,
        messages: &mut Vec<Msg>,
        effects: &mut Vec<RouterOutput>,
    ) -> VecDeque<RouterInput> {
        let this = at(channel);
        let said = match work {
            Work::Tell(input) => return VecDeque::from([input]),
            Work::Up => {
                side.is_up = true;
                messages.extend(side.pending());
                let peer = self.key(self.peer(node, channel));
                return VecDeque::from([RouterInput::ChannelUp { at: this, peer, limits: TransferLimits::default() }]);
            }
            Work::Down => {
                side.is_up = false;
                return VecDeque::from([RouterInput::ChannelDown(this)]);
            }
            Work::Poll => side.poll(&self.sight(node, channel), self.nodes[node].policy.chain.margins),
            Work::Message(message) => {
                self.decide_to_stake(node, this, &message);
                let router = &self.nodes[node].router;
                let sight = self.sight(node, channel);
                let signs = self.faults.signs_no_claim != Some(node);
                let agrees = |key: &IdempotencyKey, terms: &TransferTerms| {
                    signs && router.may_be_claimed(&this, key, terms, sight.registered(&terms.lock)) == Verdict::Agree
                };
                side.message(message, agrees, |contract, offer| {
                    matches!(router.stakes(&this, contract, offer), Stake::Until(_))
                })
            }
            Work::Command(command) => {
                let command = self.tampered(node, command, side);
                let said = side.command(&command, |key, offer| contract(channel, node, key, offer));
                messages.extend(said.messages.clone());
                return after_command(channel, said, command);
            }
        };
        messages.extend(said.messages);
        let router = &self.nodes[node].router;
        let owed = said.register.into_iter().filter(|(contract, ..)| router.is_owed(&this, contract));
        let register = |(_, lock, preimage, expiry)| RouterOutput::Register {
            chain: this.chain,
            lock,
            preimage,
            expiry,
            peer: None,
        };
        effects.extend(owed.map(register));
        said.events.into_iter().map(|event| RouterInput::Transfer(this, event)).collect()
    }

    fn send(&mut self, node: usize, channel: usize, message: Msg) {
        self.check_leaving(node, channel, &message);
        self.said.push((node, channel, message.clone()));
        let side = &self.nodes[node].store.sides[&channel];
        if side.is_up {
            let peer = self.peer(node, channel);
            self.post(peer, channel, Work::Message(message));
        }
    }

    /// All that a node has, what is under way by its own offers included.
    pub(crate) fn total(&self, node: usize) -> Amount {
        let own = |side: &Side| {
            let open = side.own.values().filter(|open| open.end.is_none()).map(|open| open.terms.amount);
            side.balance + open.sum::<Amount>()
        };
        self.nodes[node].store.sides.values().map(own).sum()
    }

    /// Everything that may still happen by itself does: links, time, and in the end every expiry.
    pub(crate) fn settle(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].is_away {
                self.come_back(node);
            }
        }
        (0..self.channels.len()).for_each(|channel| self.link(channel));
        self.run();
        for _ in 0..4 {
            self.tick(61_000);
            self.run();
            self.advance(1);
            self.run();
        }
        let locks: BTreeSet<BlockNumber> = self
            .nodes
            .iter()
            .flat_map(|node| node.store.sides.values())
            .flat_map(|side| side.own.values().filter(|open| open.end.is_none()).map(|open| open.terms.expiry))
            .collect();
        while locks.last().is_some_and(|last| self.view.height <= *last) {
            self.advance(1);
            self.run();
        }
        self.tick(61_000);
        self.run();
    }
}

fn after_command(channel: usize, said: Said, command: TransferCommand) -> VecDeque<RouterInput> {
    let refused = said.refused.map(|why| RouterInput::Refused { at: at(channel), command, why });
    let events = said.events.into_iter().map(|event| RouterInput::Transfer(at(channel), event));
    events.chain(refused).collect()
}

/// A chain's bounds that are small enough to be reached.
#[allow(dead_code, reason = "for tests of bounds")]
pub(crate) fn small_bounds() -> ChainPolicy {
    ChainPolicy {
        registrations_per_block: 4,
        inclusion: 5,
        registration_cost: 10,
        reserve: 30,
        ..ChainPolicy::default()
    }
}
