//! How a peer behaves, and what it may do: budgets for its turn, its pings, its events, its openings (R6.9c).

use super::{Peer, Peers, Slot};
use crate::node::{
    budget::{Allowance, Turn, pace},
    causes::{Cause, Tally},
    events::{Fill, Share},
    limits::{Limits, MAX_OPENINGS_PER_PEER},
    link::Bounds,
    places::Origin,
    slot::Asked,
};
use channel::ChannelRef;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::Instant};

/// What one peer has used of its budgets.
pub(super) struct Conduct {
    limits: Limits,
    tally: Arc<Tally>,
    turn: Turn,
    signs_of_life: Allowance,
    messages: Allowance,
    /// What its events take of the queue.
    share: Arc<Share>,
    /// How many more openings it may ask for before some are on chain.
    openings: Arc<Semaphore>,
    /// The same for all strangers together.
    strangers_openings: Arc<Semaphore>,
    /// It has, or had, a channel here that was on chain, or this node wants one with it.
    known: bool,
    /// Since when it is here without any channel.
    idle_since: Instant,
    /// For one pause after the other, the cause is counted once.
    slowed_for: Option<Cause>,
}

impl Conduct {
    pub(super) fn new(peers: &Peers) -> Self {
        let limits = peers.limits;
        Self {
            limits,
            tally: Arc::clone(&peers.tally),
            turn: Turn::new(&limits),
            signs_of_life: Allowance::new(limits.ping_burst, limits.pings_per_second),
            messages: Allowance::new(limits.stranger_burst, limits.stranger_messages_per_second),
            share: peers.events.share(),
            openings: Arc::new(Semaphore::new(MAX_OPENINGS_PER_PEER)),
            strangers_openings: Arc::clone(&peers.openings),
            known: false,
            idle_since: Instant::now(),
            slowed_for: None,
        }
    }

    pub(super) fn count(&self, cause: Cause) {
        self.tally.count(cause);
    }

    pub(super) const fn share(&self) -> &Arc<Share> {
        &self.share
    }

    /// Counts a command of the user's, or whatever else reaches the task from inside.
    pub(super) const fn spend_on_input(&mut self) {
        self.turn.spend(0);
    }

    /// Whether other tasks are to have their turn now; then this one's begins anew.
    pub(super) const fn turn_is_over(&mut self) -> bool {
        let over = self.turn.is_over();
        if over {
            self.turn = Turn::new(&self.limits);
        }
        over
    }

    /// How many effects may wait in one gathering, where a stranger has caused them. The events among them count once they are told: they may fill a
    /// share that had room, so that the stranger is slowed, and never so far that it is cut off at once.
    pub(super) const fn gathered_of_strangers(&self) -> usize {
        self.limits.stranger_events / 2
    }

    /// Places for one more opening that the peer asks for, if there are any; of a stranger, also among those of `its_address`.
    pub(super) fn ask_for_opening(&self, is_stranger: bool, its_address: Option<&Arc<Semaphore>>) -> Result<Asked, ()> {
        let under_way = MAX_OPENINGS_PER_PEER.saturating_sub(self.openings.available_permits());
        if is_stranger && under_way >= self.limits.stranger_openings {
            self.count(Cause::OpeningsOfPeer);
            return Err(());
        }
        let place =
            |of: &Arc<Semaphore>, cause| Arc::clone(of).try_acquire_owned().map_err(|_none_left| self.count(cause));
        let mut places = vec![place(&self.openings, Cause::OpeningsOfPeer)?];
        if is_stranger {
            if let Some(its_address) = its_address {
                places.push(place(its_address, Cause::OpeningsOfAddress)?);
            }
            places.push(place(&self.strangers_openings, Cause::OpeningsOfStrangers)?);
        }
        Ok(places)
    }

    /// How long nothing is to be read from the peer after this message, and why.
    fn restraint(&mut self, is_stranger: bool, fill: Fill) -> Option<(Duration, Cause)> {
        let hasty = if is_stranger {
            let now = Instant::now();
            let _there_or_not = self.messages.take(now);
            Some((self.messages.wait(now), Cause::StrangerHasty)).filter(|(wait, _)| !wait.is_zero())
        } else {
            None
        };
        let waiting =
            (fill >= Fill::Full).then(|| (pace(self.limits.slowed_messages_per_second), Cause::EventsWaiting));
        hasty.max(waiting)
    }

    fn fill(&self, is_stranger: bool) -> Fill {
        let events = if is_stranger { self.limits.stranger_events } else { self.limits.events };
        self.share.fill(events, &self.limits)
    }
}

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
            self.set_bounds();
        }
    }

    /// The peer has connected.
    pub(super) fn take_place(&self, origin: Origin) {
        if let Some(peers) = self.peers.upgrade() {
            peers.seat(self.identity, origin);
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
