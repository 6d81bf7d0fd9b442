//! Conditional transfers of the channels with the peer, and the router that they are told to, within the peer's own commit (I1, D8).

use super::Peer;
use crate::node::{
    error::NodeError,
    packet::Packet,
    registry::Interest,
    routing::{RouterTurn, Routing},
    slot::Slot,
    transit::Offerable,
};
use channel::{
    ChannelRef, Command, Input, Misuse, Step,
    transfer::{TransferCommand, TransferId, TransferRow},
};
use network::{CommandRefusal, RouterInput};

impl Peer {
    /// Notes what a channel's step tells of transfers.
    pub(super) fn note_transfers(&mut self, reference: ChannelRef, step: &Step) {
        let at = self.routing.at(reference);
        for event in step.transfers() {
            self.know(reference);
            self.heard.push(RouterInput::Transfer(at, event.clone()));
        }
        if let Step::Commit(commit) = step {
            self.watch_locks(reference, commit.transfers());
        }
    }

    /// Watches the locks of these transfers, as long as there are rows of them.
    pub(super) fn watch_locks(&mut self, reference: ChannelRef, changed: &[TransferId]) {
        let Some(slot) = self.slots.get_mut(&reference) else { return };
        for id in changed {
            let watched = match slot.channel.transfer(*id) {
                None => {
                    let _over = slot.transit.watching.remove(id);
                    continue;
                }
                Some(TransferRow::Incoming(row)) => (row.terms.lock, row.terms.expiry, Interest::Paid),
                Some(TransferRow::Outgoing(row)) => (row.offer.terms.lock, row.offer.terms.expiry, Interest::Pays),
            };
            let (lock, expiry, interest) = watched;
            let _watching =
                slot.transit.watching.entry(*id).or_insert_with(|| self.registry.watch(lock, expiry, interest));
        }
    }

    /// The router hears of this channel.
    fn know(&mut self, reference: ChannelRef) {
        if let Some(slot) = self.slots.get_mut(&reference) {
            slot.transit.is_known = true;
        }
    }

    /// Lets the router hear what the channels have to tell, and has it done what it wants of them, until nothing is left to tell. What it wants of other
    /// peers' channels waits for the commit, which ends the router's turn. A stranger's task takes no turn, since all others would wait for its thread
    /// meanwhile (R6.9c): it has no transfers, and what else it tells follows from nothing that is to be kept with it.
    pub(super) async fn route<'a>(&mut self, routing: &'a Routing) -> Option<RouterTurn<'a>> {
        let mut turn = None;
        loop {
            if self.is_outside && self.is_stranger() {
                self.have_told().await;
                return None;
            }
            self.tell_what_can_be_offered();
            if self.heard.is_empty() {
                return turn;
            }
            let turn = match &mut turn {
                Some(turn) => turn,
                none => none.insert(routing.turn().await),
            };
            let mut outgoing = routing.handle(turn, self.heard.take());
            let (ours, others) = std::mem::take(&mut outgoing.commands)
                .into_iter()
                .partition(|(reference, _)| self.slots.contains_key(reference));
            outgoing.commands = others;
            self.outgoing.extend(outgoing);
            for (reference, command) in ours {
                self.on_command(reference, command);
            }
        }
    }

    /// Has the router told by a task on another thread.
    async fn have_told(&mut self) {
        self.touched.clear();
        let heard = self.heard.take();
        let Some(peers) = self.peers.upgrade().filter(|_| !heard.is_empty()) else { return };
        let errands = peers.errands.clone();
        // Whoever waits here for long does not keep a node that was let go of.
        drop(peers);
        for input in heard {
            let _over = errands.send(input).await;
        }
    }

    /// What can be offered in a channel is told before what has happened in it.
    fn tell_what_can_be_offered(&mut self) {
        let mut told = Vec::new();
        for reference in std::mem::take(&mut self.touched) {
            let at = self.routing.at(reference);
            let Some(Slot { channel, transit, .. }) = self.slots.get_mut(&reference) else { continue };
            let now = Offerable::of(channel);
            let before = std::mem::replace(&mut transit.told, now);
            transit.is_known |= now.is_some();
            match (before, now) {
                (before, Some(now)) if before != Some(now) => {
                    if before.map(|before| before.limits) != Some(now.limits) {
                        told.push(RouterInput::ChannelUp { at, peer: self.identity, limits: now.limits });
                    }
                    if before.map(|before| before.pledges) != Some(now.pledges) {
                        told.push(RouterInput::Pledges { at, last: now.pledges });
                    }
                    let Offerable { amount, risked, .. } = now;
                    told.push(RouterInput::Spendable { at, amount, risked });
                }
                (Some(_), None) => told.push(RouterInput::ChannelDown(at)),
                _ => {}
            }
        }
        self.heard.put_first(told);
    }

    /// The router wants something of a channel.
    pub(super) fn on_command(&mut self, reference: ChannelRef, command: TransferCommand) {
        match self.handle_input(reference, Input::User(Command::Transfer(command.clone()))) {
            Ok(step) => self.done(reference, step),
            Err(error) => {
                tracing::debug!(?reference, %error, "a channel refuses what the router wants");
                let why = match misuse(&error) {
                    Some(Misuse::InsufficientBalance { .. }) => CommandRefusal::Coins,
                    Some(
                        Misuse::TransferLimits { .. } | Misuse::TransfersWithCalls { .. } | Misuse::QueueFull { .. },
                    ) => CommandRefusal::Limits,
                    Some(Misuse::ExpiryTooNear { .. }) => CommandRefusal::Expiry,
                    Some(Misuse::NotOpen { .. } | Misuse::Disconnected | Misuse::AlreadyClosing) | None => {
                        CommandRefusal::NotOpen
                    }
                    Some(_) => CommandRefusal::Other,
                };
                self.heard.push(RouterInput::Refused { at: self.routing.at(reference), command, why });
            }
        }
    }

    /// More is known of heads or locks.
    pub(super) fn on_locks(&mut self) {
        let has_some = |slot: &Slot| !slot.transit.watching.is_empty();
        let references: Vec<_> = self.slots.iter().filter(|(_, slot)| has_some(slot)).map(|(it, _)| *it).collect();
        for reference in references {
            let _changed = self.input(reference, Input::Chain(channel::ChainInput::Locks));
        }
    }

    /// Tells the peer the own terms.
    pub(super) fn announce(&mut self, bytes: Vec<u8>) {
        if self.link.is_up() && !self.is_stranger() {
            self.link.feed(&Packet::Terms(bytes));
        }
    }

    /// Tells the peer something about swaps.
    pub(super) fn say(&mut self, bytes: Vec<u8>) {
        if self.link.is_up() {
            self.link.feed(&Packet::Swap(bytes));
        }
    }

    /// The peer says something about swaps: strangers only where the policy takes theirs.
    pub(super) fn on_swap(&mut self, bytes: Vec<u8>) {
        if !self.is_stranger() || self.routing.group().takes_strangers() {
            self.heard.push(RouterInput::Swap { chain: self.routing.chain(), peer: self.identity, bytes });
        }
    }

    /// The peer tells its terms: those of strangers are of no use.
    pub(super) fn on_terms(&mut self, bytes: Vec<u8>) {
        if !self.is_stranger() {
            self.heard.push(RouterInput::Announced { peer: self.identity, bytes });
        }
    }
}

const fn misuse(error: &NodeError) -> Option<&Misuse> {
    match error {
        NodeError::Misuse(misuse) => Some(misuse),
        _ => None,
    }
}
