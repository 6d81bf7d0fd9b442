//! The router of a node: what crosses its channels, and the local payments that do (R8.4).
//!
//! ```text
//!   a peer's task: gather --> steps, their transfers --> Routing::handle --> commands for its own channels: applied, same commit
//!                                                            |  |  '-------> rows: same commit
//!                                                            |  '--> commands for other peers' channels: to their tasks, after the commit (I1)
//!   the node's own task: heads, ticks, what its user asks ---'
//! ```
//!
//! Whoever has the router do something has its [`RouterTurn`] until the commit is queued, with the rows and with whatever they follow from: so none of them is ever
//! stored without the other, and all are in the order in which the router made them.

use super::{
    config::NodeConfig,
    group::{Group, JoinError, RouterGroup},
    outgoing::{Outgoing, RouterRows},
    registry::LockRegistry,
    restore::Loaded,
};
use crate::store::{Batch, StoreError, StoreHandle, Table};
use channel::{Channel, ChannelRef, transfer::Registered};
use network::{
    At, ChainPolicy, Restored, RestoredChannel, Router, RouterInput, RouterNotice, RouterOutput, RowKey, SealKey,
};
use protocol::{PublicKey, signing::Domain};
use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::broadcast;

/// The router as the node of one chain sees it.
pub(super) struct Routing {
    chain: Domain,
    /// The router, which nodes of other chains may share.
    group: Arc<Group>,
    /// Whose each channel of this node is.
    owners: Mutex<HashMap<ChannelRef, PublicKey>>,
}

/// The turn to have the router do something, until what it has to keep is queued. What is not queued when it ends is kept by nobody: it follows from what is not
/// kept either.
pub(super) struct RouterTurn<'a> {
    chain: Domain,
    group: &'a Group,
    /// What the router has had kept in this turn, by the chain in whose store it belongs.
    rows: BTreeMap<Domain, RouterRows>,
    /// What waits for the next commit of each store since earlier turns.
    waiting: tokio::sync::MutexGuard<'a, BTreeMap<Domain, RouterRows>>,
}

/// Whoever breaks down in its turn leaves a router that has heard what no store has.
impl Drop for RouterTurn<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(
                "a task broke down while it had the router do something: from now on only what has been shown is claimed; start the node again"
            );
            let _none = self.group.with(Router::get_ahead);
        }
    }
}

impl RouterTurn<'_> {
    /// Whether there are rows to be kept in this node's store.
    pub(super) fn has_rows(&self) -> bool {
        [&self.rows, &self.waiting].iter().any(|rows| rows.contains_key(&self.chain))
    }

    /// Commits a batch with the rows. The turn is over once it is queued.
    ///
    /// # Errors
    /// The store's own.
    pub(super) async fn commit(mut self, store: &StoreHandle, batch: Batch) -> Result<(), StoreError> {
        let mut rows = self.waiting.remove(&self.chain).unwrap_or_default();
        rows.extend(self.rows.remove(&self.chain).unwrap_or_default());
        let batch = rows.into_iter().fold(batch, |batch, (RowKey(key), value)| match value {
            Some(value) => batch.put(Table::Routing, key, value),
            None => batch.delete(Table::Routing, key),
        });
        let queued = store.queue(batch).await?;
        self.leave();
        queued.outcome().await
    }

    /// Ends the turn: what is to be kept waits for the next commit of its store.
    pub(super) fn leave(mut self) {
        for (chain, rows) in std::mem::take(&mut self.rows) {
            self.waiting.entry(chain).or_default().extend(rows);
        }
    }
}

impl fmt::Debug for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routing").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// Whatever ends a node, nobody waits for it.
impl Drop for Routing {
    fn drop(&mut self) {
        self.group.leave(self.chain);
    }
}

impl Routing {
    /// A router that goes on from what the store has. Its rows are to be committed before what it wants done is.
    ///
    /// # Errors
    /// [`JoinError`].
    pub(super) async fn new(
        config: &NodeConfig,
        registry: &LockRegistry,
        loaded: &Loaded,
    ) -> Result<(Self, Outgoing), JoinError> {
        let chain = config.arbiter.info().domain;
        let given = *config.routing.chain(&chain);
        let identity = &config.identity;
        let seal = SealKey::from_secret(identity.noise_secret(), identity.public());
        let RouterGroup(group) = config.group.clone().unwrap_or_else(|| RouterGroup::new(config.routing.clone()));
        group.join(chain, identity.public(), |policy| Router::new(identity.signing().clone(), seal, policy))?;
        let at = |channel| At { chain, channel };
        let restored = |channel: &Channel, is_whole| RestoredChannel {
            at: at(channel.reference()),
            peer: channel.peer(),
            incoming: channel.incoming_transfers().values().cloned().collect(),
            outgoing: channel.outgoing_transfers().values().cloned().collect(),
            is_whole,
        };
        // An old copy of a store does not have what was signed after it.
        let is_copy = config.store().and_then(StoreHandle::doubt).is_some();
        let is_whole = |channel: &Channel| !is_copy && !loaded.partial.contains(&(channel.peer(), channel.reference()));
        let all = loaded.channels.values().flatten().map(|channel| restored(channel, is_whole(channel)));
        let channels: Vec<_> = all.chain(loaded.remains.iter().map(|remains| remains.restored(at))).collect();
        // Also the names of those that cannot be read: nobody else's channel is to be taken for one of them.
        let owners = channels.iter().map(|channel| (channel.at.channel, channel.peer)).collect();
        let restored = RouterInput::Restored(Restored { chain, channels, rows: loaded.routing.clone() });
        // Whether there is time for anything is not judged before a block is known.
        let head = RouterInput::Head { chain, best: registry.best(), finalised: registry.best() };
        let routing = Self { chain, group, owners: Mutex::new(owners) };
        let mut turn = routing.turn().await;
        let configure = |router: &mut Router| {
            let mut policy = router.policy().clone();
            let _replaced = policy.chains.insert(chain, ChainPolicy { margins: registry.margins(), ..given });
            Ok::<_, Infallible>(((), router.configure(policy)))
        };
        let Ok(((), mut outgoing)) = routing.with(&mut turn, configure);
        outgoing.extend(routing.handle(&mut turn, [RouterInput::Tick(now()), head, restored]));
        turn.leave();
        Ok((routing, outgoing))
    }

    /// Waits for the turn to have the router do something.
    pub(super) async fn turn(&self) -> RouterTurn<'_> {
        let (rows, group) = (BTreeMap::new(), &*self.group);
        RouterTurn { chain: self.chain, group, rows, waiting: group.rows.lock().await }
    }

    /// Takes a name for a channel of this peer: the router knows channels by their names alone, and peers choose them. Whether it is free, or this peer's.
    pub(super) fn take_name(&self, channel: ChannelRef, peer: PublicKey) -> bool {
        *self.owners().entry(channel).or_insert(peer) == peer
    }

    /// The router has not heard of this channel, and it has ended: its name is free.
    pub(super) fn free_name(&self, channel: ChannelRef) {
        let _owner = self.owners().remove(&channel);
    }

    /// A channel, as the router names it.
    pub(super) const fn at(&self, channel: ChannelRef) -> At {
        At { chain: self.chain, channel }
    }

    pub(super) const fn chain(&self) -> Domain {
        self.chain
    }

    /// What the nodes of a group share.
    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    /// Asks the router.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Router) -> T) -> T {
        self.act(|router| question(router))
    }

    fn act<T>(&self, act: impl FnOnce(&mut Router) -> T) -> T {
        #[expect(clippy::expect_used, reason = "whoever has a `Routing` has joined, and nobody takes the router away")]
        self.group.with(act).expect("a router from when the first node joined")
    }

    pub(super) fn owners(&self) -> MutexGuard<'_, HashMap<ChannelRef, PublicKey>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn notices(&self) -> broadcast::Receiver<RouterNotice> {
        self.group.notices.subscribe()
    }

    /// Tells the router these things, in order. Its rows are for the commit that ends the turn; the rest is the caller's to have done after that.
    pub(super) fn handle(&self, turn: &mut RouterTurn<'_>, inputs: impl IntoIterator<Item = RouterInput>) -> Outgoing {
        let mut outgoing = Outgoing::default();
        for input in inputs {
            if let RouterInput::ChannelClosed(at) = &input {
                self.free_name(at.channel);
            }
            outgoing.extend(self.sort(turn, self.act(|router| router.handle(input))));
        }
        outgoing
    }

    /// Has the router do something by itself, and sorts what it wants done.
    ///
    /// # Errors
    /// Those of what it does.
    pub(super) fn with<T, E>(
        &self,
        turn: &mut RouterTurn<'_>,
        act: impl FnOnce(&mut Router) -> Result<(T, Vec<RouterOutput>), E>,
    ) -> Result<(T, Outgoing), E> {
        let (value, outputs) = self.act(act)?;
        Ok((value, self.sort(turn, outputs)))
    }

    /// What a router wants done, by who is to do it: rows wait for the next commit of the store that they belong in.
    fn sort(&self, turn: &mut RouterTurn<'_>, outputs: Vec<RouterOutput>) -> Outgoing {
        let mut all: BTreeMap<Domain, Outgoing> = BTreeMap::new();
        for output in outputs {
            let chain = match &output {
                RouterOutput::Command { at, .. } => at.chain,
                RouterOutput::Row { chain, .. }
                | RouterOutput::Register { chain, .. }
                | RouterOutput::Announce { chain, .. }
                | RouterOutput::Tell { chain, .. } => *chain,
                RouterOutput::Notify(_) => self.chain,
            };
            let outgoing = all.entry(chain).or_default();
            match output {
                RouterOutput::Command { at, command } => outgoing.commands.push((at.channel, command)),
                RouterOutput::Row { key, value, .. } => {
                    let _earlier = turn.rows.entry(chain).or_default().insert(key, value);
                }
                RouterOutput::Notify(notice) => outgoing.notices.push(notice),
                RouterOutput::Register { lock, preimage, expiry, peer, .. } => {
                    outgoing.registrations.push((lock, preimage, expiry, peer));
                }
                RouterOutput::Announce { bytes, .. } => outgoing.announcements.push(bytes),
                RouterOutput::Tell { peer, bytes, .. } => outgoing.words.push((peer, bytes)),
            }
        }
        let mut own = all.remove(&self.chain).unwrap_or_default();
        own.elsewhere = all;
        own
    }

    /// What a registry has of the locks in use, as far as the router may not know it.
    pub(super) fn shown(&self, registry: &LockRegistry) -> Vec<RouterInput> {
        let (chain, unseen) = (self.chain, self.ask(|router| router.unseen(self.chain)));
        let shown = |lock| {
            let preimage = registry.preimage(&lock)?;
            let at = match registry.registered(&lock) {
                Registered::Shown { at } => Some(at),
                Registered::Silent { .. } | Registered::Unknown => None,
            };
            Some(RouterInput::Shown { chain, lock, preimage, at })
        };
        unseen.into_iter().filter_map(shown).collect()
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> network::Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    network::Millis::try_from(since.as_millis()).unwrap_or(network::Millis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Durability;
    use futures::poll;
    use network::{InvoiceRequest, Opening, RoutingPolicy};
    use protocol::{AccountId, Hash, contracts::conditional::Preimage, crypto::SigningKey};
    use std::sync::Arc;

    fn routing(chain: Domain) -> Routing {
        let (key, seed) = (SigningKey::from_seed(&[1; 32]), SealKey::from_seed(&[1; 32]));
        let RouterGroup(group) = RouterGroup::new(RoutingPolicy::default());
        group.join(chain, key.public(), |policy| Router::new(key.clone(), seed, policy)).unwrap();
        Routing { chain, group, owners: Mutex::default() }
    }

    /// Has the router say something that has to be kept.
    fn ask(routing: &Routing, turn: &mut RouterTurn<'_>) {
        let request = InvoiceRequest {
            chain: routing.chain(),
            amount: None,
            opening: Opening::AtOnce(Preimage([1; 32])),
            secret: [2; 32],
            least_expiry: 0,
            description: String::new(),
            expires_at: u64::MAX,
            hubs: Vec::new(),
        };
        let add = |router: &mut Router| router.add_invoice(request).map(|(_, text, outputs)| (text, outputs));
        let _said = routing.with(turn, add).unwrap();
    }

    #[tokio::test]
    async fn what_the_router_has_to_keep_is_kept_with_what_it_follows_from() {
        let chain = Domain { genesis: Hash([1; 32]), arbiter: AccountId([2; 32]) };
        let routing = routing(chain);
        let directory = tempfile::tempdir().unwrap();
        let store = StoreHandle::open(directory.path(), Durability::Immediate).unwrap();
        // One task has the router say something, and has not committed what that follows from.
        let mut turn = routing.turn().await;
        ask(&routing, &mut turn);
        // Another one wants to commit: it waits.
        let other = async { routing.turn().await.commit(&store, Batch::new().put(Table::Meta, b"other", b"1")).await };
        tokio::pin!(other);
        assert!(poll!(&mut other).is_pending());
        assert_eq!(store.load_all(Table::Routing).unwrap(), []);
        turn.commit(&store, Batch::new().put(Table::Meta, b"one", b"1")).await.unwrap();
        assert_eq!(store.load_all(Table::Routing).unwrap().len(), 1);
        assert!(store.get(Table::Meta, b"one").unwrap().is_some());
        other.await.unwrap();
        assert!(store.get(Table::Meta, b"other").unwrap().is_some());
    }

    #[tokio::test]
    async fn what_the_router_has_to_keep_is_kept_by_nobody_where_a_task_ends_within_its_turn() {
        let routing = Arc::new(routing(Domain { genesis: Hash([1; 32]), arbiter: AccountId([2; 32]) }));
        let directory = tempfile::tempdir().unwrap();
        let store = StoreHandle::open(directory.path(), Durability::Immediate).unwrap();
        let ends = Arc::clone(&routing);
        let task = tokio::spawn(async move {
            let mut turn = ends.turn().await;
            ask(&ends, &mut turn);
            panic!("for this test");
        });
        assert!(task.await.is_err());
        routing.turn().await.commit(&store, Batch::new().put(Table::Meta, b"other", b"1")).await.unwrap();
        assert!(store.get(Table::Meta, b"other").unwrap().is_some());
        assert_eq!(store.load_all(Table::Routing).unwrap(), [], "without what it follows from");
        assert!(routing.ask(Router::is_ahead), "the router knows of an invoice that no store has");
    }
}
