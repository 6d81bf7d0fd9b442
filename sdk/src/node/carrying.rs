//! Carrying out what the router wants: commands to the tasks of the peers whose channels they are for, registrations, announcements; and telling it of heads
//! and of the time.

use super::{
    group::Member,
    inbox::PeerInput,
    outgoing::Outgoing,
    peers::Peers,
    routing::{RouterTurn, Routing, now},
};
use crate::store::Batch;
use channel::{ChannelRef, transfer::TransferCommand};
use network::{ChainPolicy, RouterInput};
use protocol::{
    BlockNumber, PublicKey,
    contracts::conditional::{HashLock, Preimage},
};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

/// How often the router looks at the clock.
const TICK: Duration = Duration::from_secs(1);
/// How many things of strangers wait to be told to the router before their tasks wait: a few of each stranger's.
pub(super) const MAX_ERRANDS: usize = 256;
/// How long what becomes known of locks waits for more of it: each peer that shows a pre-image would have all others look again at all of their transfers.
const CALM: Duration = Duration::from_millis(50);

impl Routing {
    /// Has done what the router wants, now that its rows are durable.
    pub(super) fn carry_out(&self, outgoing: Outgoing, peers: &Arc<Peers>) {
        let Outgoing { commands, notices, registrations, announcements, words, elsewhere } = outgoing;
        self.group().hand_over(elsewhere);
        for (channel, command) in commands {
            self.command(channel, command, peers);
        }
        for notice in notices {
            let _nobody = self.group().notices.send(notice);
        }
        peers.register(registrations);
        for (peer, bytes) in words {
            // What is lost, for the peer is away or busy, is said again by and by.
            if let Some(inbox) = peers.inbox(&peer) {
                let _busy = inbox.try_send(PeerInput::Say(bytes));
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
    fn command(&self, channel: ChannelRef, command: TransferCommand, peers: &Arc<Peers>) {
        let owner = self.owners().get(&channel).copied();
        let Some(inbox) = owner.and_then(|owner| peers.inbox(&owner)) else {
            return self.refuse(channel, command, peers);
        };
        match inbox.try_send(PeerInput::Command(channel, command)) {
            Ok(()) => {}
            Err(error) => {
                let PeerInput::Command(channel, command) = error.into_inner() else { return };
                let (running, peers) = (peers.running.clone(), Arc::clone(peers));
                let _task = tokio::spawn(running.track(async move {
                    if let Err(error) = inbox.send(PeerInput::Command(channel, command)).await
                        && let PeerInput::Command(channel, command) = error.0
                    {
                        peers.routing.refuse(channel, command, &peers);
                    }
                }));
            }
        }
    }

    /// Nobody is there to take a command: nothing of it was signed.
    pub(super) fn refuse(&self, channel: ChannelRef, command: TransferCommand, peers: &Arc<Peers>) {
        let (at, why) = (self.at(channel), network::CommandRefusal::NotOpen);
        let (running, peers) = (peers.running.clone(), Arc::clone(peers));
        let refused = [RouterInput::Refused { at, command, why }];
        let _task = tokio::spawn(running.track(async move { peers.tell_router(refused).await }));
    }
}

impl Peers {
    /// Tells the router these things, keeps what it has to keep, and has done what it wants. Whether it was kept.
    pub(super) async fn tell_router(self: &Arc<Self>, inputs: impl IntoIterator<Item = RouterInput>) -> bool {
        let mut turn = self.routing.turn().await;
        let outgoing = self.routing.handle(&mut turn, inputs);
        self.keep_if_any(turn, outgoing).await
    }

    /// As [`keep`](Self::keep), where there is anything to be kept or done.
    async fn keep_if_any(self: &Arc<Self>, turn: RouterTurn<'_>, outgoing: Outgoing) -> bool {
        if outgoing.is_empty() && !turn.has_rows() {
            return true;
        }
        self.keep(turn, outgoing).await
    }

    /// Keeps what the router has to keep, and all that anybody had it keep before, then has done what it wants. Whether it was kept.
    pub(super) async fn keep(self: &Arc<Self>, turn: RouterTurn<'_>, outgoing: Outgoing) -> bool {
        let kept = match self.config.store() {
            Some(store) => turn.commit(store, Batch::new()).await,
            // Where nothing is kept, rows are not either.
            None => {
                drop(turn);
                Ok(())
            }
        };
        if let Err(error) = kept {
            tracing::error!(%error, "the router's rows are not kept: of what it wants nothing is done but registrations");
            // A pre-image that is shown needs no row: it is how one is paid that signs nothing any more (I11).
            self.register(outgoing.registrations);
            return false;
        }
        self.routing.carry_out(outgoing, self);
        true
    }

    fn register(&self, registrations: Vec<(HashLock, Preimage, BlockNumber, Option<PublicKey>)>) {
        let mut all: BTreeMap<PublicKey, Vec<_>> = BTreeMap::new();
        for (lock, preimage, expiry, peer) in registrations {
            // What nobody is known to have caused is on one's own account.
            let peer = peer.unwrap_or_else(|| self.config.identity.public());
            all.entry(peer).or_default().push((lock, preimage, expiry));
        }
        for (peer, wanted) in all {
            for error in self.registry.register_all(wanted, peer) {
                tracing::error!(%error, "the router wanted a pre-image registered that is none");
            }
        }
    }
}

impl Peers {
    /// The node has started: from now on the nodes of other chains reach it.
    pub(super) fn enter_group(self: &Arc<Self>) {
        let member: Arc<dyn Member> = Arc::<Self>::clone(self);
        self.routing.group().enter(self.routing.chain(), Arc::downgrade(&member));
    }
}

impl Member for Peers {
    /// Keeps what the router has to keep here, and has done what it wants.
    fn take_over(self: Arc<Self>, outgoing: Outgoing) {
        let running = self.running.clone();
        let _task = tokio::spawn(running.track(async move {
            let turn = self.routing.turn().await;
            if turn.has_rows() {
                let _kept = self.keep(turn, outgoing).await;
            } else {
                drop(turn);
                self.routing.carry_out(outgoing, &self);
            }
        }));
    }
}

/// Tells the router of heads and of the time, and what strangers' tasks have it told; and every peer's task of what became known of locks, as long as the node runs.
pub(super) async fn run(peers: Weak<Peers>, mut errands: mpsc::Receiver<RouterInput>) {
    let Some(mut changes) = peers.upgrade().map(|peers| peers.registry.changes()) else { return };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut calm_until, mut known) = (Instant::now(), None);
    loop {
        let changed = async {
            sleep_until(calm_until).await;
            changes.changed().await
        };
        let is_tick = tokio::select! {
            changed = changed => match changed {
                Ok(()) => false,
                Err(_over) => return,
            },
            _ = ticks.tick() => true,
            Some(errand) = errands.recv() => {
                let Some(peers) = peers.upgrade() else { return };
                // One at a time: others have the router's turn in between.
                let _kept = peers.tell_router([errand]).await;
                continue;
            }
        };
        let Some(peers) = peers.upgrade() else { return };
        let registry = &peers.registry;
        let (chain, best, finalised) = (peers.routing.chain(), registry.best(), registry.finalised());
        let tick = is_tick.then(|| RouterInput::Tick(now()));
        // A channel's own task says what became of its transfers: but for one that cannot be read, or whose task is over.
        let is_news = known.replace((best, finalised)) != Some((best, finalised));
        let shown = if is_news { peers.routing.shown(registry) } else { Vec::new() };
        let inputs = std::iter::once(RouterInput::Head { chain, best, finalised }).chain(shown).chain(tick);
        let _kept = peers.tell_router(inputs).await;
        if !is_tick {
            calm_until = Instant::now().checked_add(CALM).unwrap_or(calm_until);
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
        let had = self.routing.ask(|router| *router.policy().chain(&chain));
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
        let (running, peers) = (self.running.clone(), Arc::clone(self));
        let _task = tokio::spawn(running.track(async move {
            let mut turn = peers.routing.turn().await;
            let configured = peers.routing.with(&mut turn, |router| {
                let mut policy = router.policy().clone();
                let _former = policy.chains.insert(chain, has);
                Ok::<_, Infallible>(((), router.configure(policy)))
            });
            let Ok(((), outgoing)) = configured;
            peers.keep_if_any(turn, outgoing).await
        }));
    }
}
