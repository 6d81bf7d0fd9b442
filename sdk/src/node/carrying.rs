//! Carrying out what the router wants: commands to the tasks of the peers whose channels they are for, registrations, announcements; and telling it of heads
//! and of the time.

use super::{
    inbox::PeerInput,
    peers::Peers,
    routing::{Outgoing, Routing, now},
};
use crate::store::Batch;
use channel::ChannelRef;
use network::{ChainPolicy, Command, Input};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval};

/// How often the router looks at the clock.
const TICK: Duration = Duration::from_secs(1);

impl Routing {
    /// Has done what the router wants, now that its rows are durable.
    pub(super) fn carry_out(&self, outgoing: Outgoing, peers: &Arc<Peers>) {
        let Outgoing { commands, notices, registrations, announcements } = outgoing;
        for (channel, command) in commands {
            self.command(channel, command, peers);
        }
        for notice in notices {
            let _nobody = self.notices.send(notice);
        }
        let registry = &peers.registry;
        if !registrations.is_empty() {
            let until = registry.best().saturating_add(registry.margins().forward());
            for error in registry.register_all(registrations, until, peers.config.identity.public()) {
                tracing::error!(%error, "the router wanted a pre-image registered that is none");
            }
        }
        for bytes in announcements {
            for inbox in peers.all() {
                // Who is busy hears of it with the next one.
                let _busy = inbox.try_send(PeerInput::Announce(bytes.clone()));
            }
        }
    }

    /// Sends a command to the task of the channel's peer, or has it refused where there is none.
    fn command(&self, channel: ChannelRef, command: Command, peers: &Arc<Peers>) {
        let owner = self.owners().get(&channel).copied();
        let Some(inbox) = owner.and_then(|owner| peers.inbox(&owner)) else {
            return self.refuse(channel, command, peers);
        };
        match inbox.try_send(PeerInput::Command(channel, command)) {
            Ok(()) => {}
            Err(error) => {
                let PeerInput::Command(channel, command) = error.into_inner() else { return };
                let peers = Arc::clone(peers);
                let _task = tokio::spawn(async move {
                    if let Err(error) = inbox.send(PeerInput::Command(channel, command)).await
                        && let PeerInput::Command(channel, command) = error.0
                    {
                        peers.routing.refuse(channel, command, &peers);
                    }
                });
            }
        }
    }

    /// Nobody is there to take a command: nothing of it was signed.
    fn refuse(&self, channel: ChannelRef, command: Command, peers: &Arc<Peers>) {
        let (at, why) = (self.at(channel), network::CommandRefusal::NotOpen);
        let outgoing = self.handle([Input::Refused { at, command, why }]);
        let peers = Arc::clone(peers);
        let _task = tokio::spawn(async move { peers.route(outgoing).await });
    }
}

impl Peers {
    /// Keeps what the router has to keep, then has done what it wants. Whether it was kept.
    pub(super) async fn route(self: &Arc<Self>, outgoing: Outgoing) -> bool {
        if outgoing.is_empty() && !self.routing.has_rows() {
            return true;
        }
        if self.config.store().is_none() {
            self.routing.drop_rows();
        }
        if let Some(store) = self.config.store()
            && let Err(error) = self.routing.commit(store, Batch::new()).await
        {
            tracing::error!(%error, "the router's rows are not kept: nothing of what it wants is done");
            return false;
        }
        self.routing.carry_out(outgoing, self);
        true
    }
}

/// Tells the router of heads and of the time, and every peer's task of what became known of locks, as long as the node runs.
pub(super) async fn run(peers: Weak<Peers>) {
    let Some(mut changes) = peers.upgrade().map(|peers| peers.registry.changes()) else { return };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let is_tick = tokio::select! {
            changed = changes.changed() => match changed {
                Ok(()) => false,
                Err(_over) => return,
            },
            _ = ticks.tick() => true,
        };
        let Some(peers) = peers.upgrade() else { return };
        let registry = &peers.registry;
        let (chain, best, finalised) = (peers.routing.chain(), registry.best(), registry.finalised());
        let tick = is_tick.then(|| Input::Tick(now()));
        let inputs = std::iter::once(Input::Head { chain, best, finalised }).chain(tick);
        let outgoing = peers.routing.handle(inputs);
        let _kept = peers.route(outgoing).await;
        if !is_tick {
            for inbox in peers.all() {
                // Who is busy looks again with the next block.
                let _busy = inbox.try_send(PeerInput::Locks);
            }
        }
        peers.keep_costs();
    }
}

impl Peers {
    /// Has the router know what a registration costs, once the chain has told.
    fn keep_costs(self: &Arc<Self>) {
        let Some(costs) = self.registry.costs() else { return };
        let chain = self.routing.chain();
        let mut router = self.routing.router();
        let had = *router.policy().chain(&chain);
        // What the account has beyond what the channels themselves need.
        let free = self.fees(0).map(|fees| fees.have.saturating_add(self.registry.reserve()).saturating_sub(fees.need));
        let has = ChainPolicy {
            registration_cost: costs.alone(),
            registrations_per_block: costs.per_block.unwrap_or(u32::MAX),
            reserve: free.unwrap_or(had.reserve),
            ..had
        };
        // In steps: peers need not hear of each coin.
        let is_near = has.reserve.abs_diff(had.reserve) <= had.reserve / 8;
        if (has.registration_cost, has.registrations_per_block) == (had.registration_cost, had.registrations_per_block)
            && is_near
        {
            return;
        }
        let mut policy = router.policy().clone();
        let _former = policy.chains.insert(chain, has);
        let outputs = router.configure(policy);
        let outgoing = self.routing.sort(outputs);
        drop(router);
        let peers = Arc::clone(self);
        let _task = tokio::spawn(async move { peers.route(outgoing).await });
    }
}
