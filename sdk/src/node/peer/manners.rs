//! How a peer is treated by how it behaves: slowed, cut off, given a place or sent away (R6.9c).

use super::Peer;
use crate::node::{causes::Cause, events::Fill, link::Bounds, slot::Slot};
use channel::ChannelRef;
use tokio::time::Instant;

impl Peer {
    /// Whether the peer gets the least of everything.
    pub(super) fn is_stranger(&self) -> bool {
        !self.conduct.known && !self.link.is_dialled()
    }

    /// The peer has a channel here, or this node wants one with it.
    pub(super) fn befriend(&mut self) {
        if !self.conduct.known {
            self.conduct.known = true;
            if let Some(peers) = self.peers.upgrade() {
                peers.strangers().befriend(self.identity);
            }
            self.set_bounds();
        }
    }

    /// The peer has no channel here any more.
    pub(super) fn estrange(&mut self) {
        self.conduct.idle_since = Instant::now();
        if std::mem::take(&mut self.conduct.known) {
            if let Some(peers) = self.peers.upgrade() {
                peers.strangers().estrange(&self.identity);
            }
            self.settle_place();
            self.set_bounds();
        }
    }

    /// The connection is another one, or the peer has become a stranger: a stranger that is connected takes a place, and whoever is none leaves it.
    pub(super) fn settle_place(&self) {
        let origin = self.link.origin().filter(|_| self.is_stranger());
        let Some(peers) = self.peers.upgrade() else { return };
        match origin {
            Some(origin) => peers.seat(self.identity, origin),
            None => peers.strangers().leave(&self.identity),
        }
    }

    /// The peer is not connected any more: its place is free.
    pub(super) fn leave_place(&self) {
        if let Some(peers) = self.peers.upgrade().filter(|_| !self.conduct.known) {
            peers.strangers().leave(&self.identity);
        }
    }

    /// Has the connection hold as much as its peer may make it hold.
    pub(super) fn set_bounds(&mut self) {
        let limits = &self.conduct.limits;
        let bounds = if self.is_stranger() { Bounds::of_strangers(limits) } else { Bounds::of_known(limits) };
        self.link.bound(bounds);
        if self.slots.is_empty() {
            self.conduct.idle_since = Instant::now();
        }
    }

    /// An opening that the peer asked for is on chain: it takes no place among those that are not.
    pub(super) fn on_asked_is_open(&mut self, reference: ChannelRef) {
        if let Some(Slot { asked, .. }) = self.slots.get_mut(&reference) {
            *asked = None;
        }
        self.befriend();
    }

    /// Counts a ping or a pong; where there are too many, the connection ends.
    pub(super) fn takes_sign_of_life(&mut self) -> bool {
        let allowed = self.conduct.signs_of_life.take(Instant::now());
        if !allowed {
            self.link.cut_off(Cause::TooManyPings, &"the peer sends far more pings than anybody needs");
        }
        allowed
    }

    /// Counts a message of so many bytes, and slows or cuts off a peer that has used up its budgets.
    pub(super) fn restrain(&mut self, bytes: usize) {
        self.conduct.turn.spend(bytes);
        let is_stranger = self.is_stranger();
        let fill = self.conduct.fill(is_stranger);
        if fill == Fill::Over {
            return self.link.cut_off(Cause::EventsOverflow, &"far too many of the peer's events wait to be read here");
        }
        let restraint = self.conduct.restraint(is_stranger, fill);
        let cause = restraint.map(|(_, cause)| cause);
        if let Some((pause, cause)) = restraint {
            if self.conduct.slowed_for != Some(cause) {
                self.conduct.count(cause);
                tracing::info!(peer = %self.identity, %cause, "slowed a peer");
            }
            self.link.pause(pause);
        }
        self.conduct.slowed_for = cause;
    }

    /// Somebody else needs the stranger's place.
    pub(super) fn on_displaced(&mut self) {
        if self.is_stranger() {
            self.link.cut_off(Cause::StrangerDisplaced, &"a stranger's place is needed for somebody else");
        }
    }

    /// A stranger that has no channel for long ends its visit.
    pub(super) fn send_idle_stranger_away(&mut self) {
        let stays = self.conduct.limits.stranger_stays;
        if self.link.is_up()
            && self.is_stranger()
            && self.slots.is_empty()
            && self.conduct.idle_since.elapsed() >= stays
        {
            self.link.cut_off(Cause::StrangerIdle, &"a stranger was here for long without any channel");
        }
    }
}
