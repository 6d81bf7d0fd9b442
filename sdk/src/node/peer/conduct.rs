//! What a peer may do: budgets for its turn, its pings, its events, its openings (R6.9c).

use crate::node::{
    budget::{Allowance, TurnBudget, pace},
    causes::{Cause, CauseTally},
    events::{Fill, Share},
    limits::{MAX_OPENINGS_PER_PEER, NodeLimits},
    peers::Peers,
    slot::Asked,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::Instant};

/// What one peer has used of its budgets.
pub(super) struct Conduct {
    pub(super) limits: NodeLimits,
    tally: Arc<CauseTally>,
    pub(super) turn: TurnBudget,
    pub(super) signs_of_life: Allowance,
    messages: Allowance,
    /// What its events take of the queue.
    share: Arc<Share>,
    /// How many more openings it may ask for before some are on chain.
    openings: Arc<Semaphore>,
    /// The same for all strangers together.
    strangers_openings: Arc<Semaphore>,
    /// It has, or had, a channel here that was on chain, or this node wants one with it.
    pub(super) known: bool,
    /// Since when it is here without any channel.
    pub(super) idle_since: Instant,
    /// For one pause after the other, the cause is counted once.
    pub(super) slowed_for: Option<Cause>,
}

impl Conduct {
    pub(super) fn new(peers: &Peers) -> Self {
        let limits = peers.limits;
        Self {
            limits,
            tally: Arc::clone(&peers.tally),
            turn: TurnBudget::new(&limits),
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
            self.turn = TurnBudget::new(&self.limits);
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
    pub(super) fn restraint(&mut self, is_stranger: bool, fill: Fill) -> Option<(Duration, Cause)> {
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

    pub(super) fn fill(&self, is_stranger: bool) -> Fill {
        let events = if is_stranger { self.limits.stranger_events } else { self.limits.events };
        self.share.fill(events, &self.limits)
    }
}
