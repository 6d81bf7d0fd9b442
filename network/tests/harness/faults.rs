//! What goes wrong by request: order, lost and repeated messages, tampered offers, closes on old states, and time that chains do not keep.

use super::{Msg, OTHER, Work, World, channel::Side};
use ::channel::transfer::{Offer, TransferCommand};
use network::RouterInput;
use protocol::contracts::conditional::{HashLock, Preimage};
use std::collections::VecDeque;

/// In which order tasks that are ready are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// The first one.
    #[default]
    First,
    /// The last one.
    Last,
    /// By pseudo-random numbers from this state.
    Seeded(u64),
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meddling {
    /// It is lost: of a channel's, with the connection; of words, alone.
    Lose,
    /// It arrives at once, and again when time has passed.
    Repeat,
    /// It arrives when time has passed, after those that were said later.
    HoldBack,
}

/// What is another thing in an offer than was agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tamper {
    /// One coin less.
    Amount,
    /// Another lock.
    Lock,
    /// It expires one block earlier.
    Expiry,
    /// The hash of the words by which the receiver agreed.
    Words,
}

/// What becomes of the messages of a node that vanishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flight {
    /// They arrive.
    Arrives,
    /// They are lost.
    Lost,
    /// They arrive, but for its claims.
    WithoutClaims,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// In which order tasks are taken.
    pub(crate) order: Order,
    /// What becomes of the message after so many others.
    pub(crate) meddle: Option<(usize, Meddling)>,
    /// Whether every message arrives only when time has passed.
    pub(crate) is_slow: bool,
    /// Who tampers with its offers, and how.
    pub(crate) tamper: Option<(usize, Tamper)>,
    /// Who learns from claims, and signs none.
    pub(crate) signs_no_claim: Option<usize>,
    /// Until when nothing that is said arrives.
    silent_until: u64,
    held: Vec<(usize, usize, Work)>,
}

impl World {
    /// The task that is to work next.
    pub(crate) fn next_task(&mut self) -> Option<(usize, usize)> {
        let ready = self.ready();
        match &mut self.faults.order {
            Order::First => ready.first().copied(),
            Order::Last => ready.last().copied(),
            Order::Seeded(state) => {
                *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let place = usize::try_from(*state >> 33).unwrap().checked_rem(ready.len())?;
                ready.get(place).copied()
            }
        }
    }

    /// Whether nothing is to be done and nothing is on its way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.faults.held.is_empty() && self.ready().is_empty()
    }

    /// A message is on its way to a node.
    pub(crate) fn post(&mut self, to: usize, channel: usize, work: Work) {
        if self.nodes[to].is_away {
            return;
        }
        match self.faults.meddle.take() {
            Some((0, Meddling::Lose)) => {
                if matches!(work, Work::Message(_)) {
                    self.give(to, channel, Work::Down);
                    self.give(self.peer(to, channel), channel, Work::Down);
                    self.link(channel);
                }
                return;
            }
            Some((0, Meddling::Repeat)) => self.faults.held.push((to, channel, work.clone())),
            Some((0, Meddling::HoldBack)) => return self.faults.held.push((to, channel, work)),
            Some((after, how)) => self.faults.meddle = Some((after - 1, how)),
            None => {}
        }
        if self.faults.is_slow || self.now < self.faults.silent_until {
            self.faults.held.push((to, channel, work));
        } else {
            self.give(to, channel, work);
        }
    }

    /// Nothing that the nodes say, and nothing that is on its way, arrives for so long.
    pub(crate) fn silence(&mut self, millis: u64) {
        self.faults.silent_until = self.now + millis;
        let is_said = |work: &Work| matches!(work, Work::Message(_) | Work::Tell(RouterInput::Swap { .. }));
        for (node, this) in self.nodes.iter_mut().enumerate() {
            for (channel, queue) in &mut this.queues {
                let (said, rest): (VecDeque<_>, VecDeque<_>) = std::mem::take(queue).into_iter().partition(is_said);
                self.faults.held.extend(said.into_iter().map(|work| (node, *channel, work)));
                *queue = rest;
            }
        }
    }

    /// What a node's offer says, where it tampers with it: when it is made, or when what was kept back leaves.
    pub(crate) fn tampered(&self, node: usize, command: TransferCommand, side: &mut Side) -> TransferCommand {
        let mut command = command;
        match &mut command {
            TransferCommand::Offer { offer, .. } | TransferCommand::OfferStaked { offer, is_kept_back: false, .. } => {
                self.tamper_with(node, offer)
            }
            TransferCommand::Release { key } => {
                if let Some((offer, _)) = side.kept_back.get_mut(key) {
                    self.tamper_with(node, offer);
                }
            }
            _ => {}
        }
        command
    }

    fn tamper_with(&self, node: usize, offer: &mut Offer) {
        match self.faults.tamper.filter(|(by, _)| *by == node) {
            Some((_, Tamper::Amount)) => offer.terms.amount -= 1,
            Some((_, Tamper::Lock)) => offer.terms.lock.digest.0[0] ^= 1,
            Some((_, Tamper::Expiry)) => offer.terms.expiry -= 1,
            Some((_, Tamper::Words)) => *offer.instruction.last_mut().unwrap() ^= 1,
            None => {}
        }
    }

    /// A node vanishes, and so may what it has said.
    pub(crate) fn vanish_with(&mut self, node: usize, flight: Flight) {
        for channel in self.channels_of(node) {
            let peer = self.peer(node, channel);
            let is_lost = |work: &Work| match flight {
                Flight::Arrives => false,
                Flight::Lost => matches!(work, Work::Message(_) | Work::Tell(RouterInput::Swap { .. })),
                Flight::WithoutClaims => matches!(work, Work::Message(Msg::Claim(..))),
            };
            self.nodes[peer].queues.entry(channel).or_default().retain(|work| !is_lost(work));
            self.faults.held.retain(|(to, on, work)| (*to, *on) != (peer, channel) || !is_lost(work));
        }
        self.vanish(node);
    }

    /// Somebody closes a channel on an old state, and is slashed: the newest state counts, nothing more is said, and what is open ends by registry and expiry.
    pub(crate) fn close_on_old_state(&mut self, channel: usize) {
        let (one, other) = self.channels[&channel];
        for node in [one, other] {
            let queue = self.nodes[node].queues.entry(channel).or_default();
            queue.retain(|work| !matches!(work, Work::Message(_) | Work::Up));
        }
        self.faults.held.retain(|(_, on, work)| *on != channel || !matches!(work, Work::Message(_)));
        let mut first = self.nodes[one].store.sides[&channel].clone();
        let mut second = self.nodes[other].store.sides[&channel].clone();
        first.settle_with(&mut second);
        second.settle_with(&mut first);
        for (node, side) in [(one, first), (other, second)] {
            let _former = self.nodes[node].store.sides.insert(channel, side);
            self.give(node, channel, Work::Down);
        }
    }

    /// Somebody who is away shows a pre-image in exactly this block of the chain of a channel.
    pub(crate) fn show_in(&mut self, channel: usize, block: u32, node: usize, lock: HashLock, preimage: Preimage) {
        let view = if channel < OTHER { &mut self.view } else { &mut self.other };
        view.register_in(block, node, lock, preimage);
    }

    /// Time passes: what was held back arrives, chains make the blocks that are due, and everybody looks at both.
    pub(crate) fn pass_time(&mut self, millis: u64) {
        self.now += millis;
        let now = self.now;
        if now >= self.faults.silent_until {
            for (to, channel, work) in std::mem::take(&mut self.faults.held) {
                self.give(to, channel, work);
            }
        }
        for view in [&mut self.view, &mut self.other] {
            while view.next_at <= now {
                view.next_at += view.every;
                view.make_block(now);
            }
        }
        self.tell_all(|world, node| {
            let tick = std::iter::once(RouterInput::Tick(world.now));
            tick.chain(world.heads(node)).chain(world.shown(node)).collect()
        });
    }
}
