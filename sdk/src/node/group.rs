//! One router over the nodes of several chains: what a program needs to swap coins of one chain for coins of another (R8.5).
//!
//! ```text
//!   RouterGroup --- Node on chain A: its account, its store, its watcher, its peers
//!        |'-------- Node on chain B: likewise; in trouble, it leaves the other one's defence alone
//!        '--------- Router: told by both, one turn at a time; its rows for A in A's store, and for B in B's
//! ```

use super::outgoing::{Outgoing, RouterRows};
use network::{Router, RouterNotice, RoutingPolicy};
use protocol::{PublicKey, signing::Domain};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tokio::sync::{broadcast, watch};

/// How many notices wait for a subscriber before it misses the oldest.
const NOTICES: usize = 4_096;

/// One router for the nodes of a program, each on a chain of its own, all under one identity. A node joins it by [`NodeConfig::group`](super::NodeConfig::group);
/// a chain is added to a running program by starting a node for it. What has to do with a chain that has not joined waits until it has. A node that has stopped does not
/// join again: what needs it is refused from then on ([`SwapError::NoChain`](network::SwapError::NoChain)), and goes on once all nodes have been started with a new group.
#[derive(Clone)]
pub struct RouterGroup(pub(super) Arc<Group>);

/// What the nodes of a group share.
pub(super) struct Group {
    policy: RoutingPolicy,
    router: Mutex<Option<(PublicKey, Router)>>,
    /// The router's rows that no commit has taken yet, by the chain in whose store they belong. Whoever holds this has the turn.
    pub(super) rows: tokio::sync::Mutex<BTreeMap<Domain, RouterRows>>,
    joined: Mutex<BTreeSet<Domain>>,
    members: Mutex<BTreeMap<Domain, Weak<dyn Member>>>,
    /// The chains whose nodes have stopped: none of them joins again.
    stopped: watch::Sender<BTreeSet<Domain>>,
    pub(super) notices: broadcast::Sender<RouterNotice>,
}

/// A node of a group, as the nodes of other chains reach it.
pub(super) trait Member: Send + Sync {
    /// The router wants this of it, because of something that is durable on another chain.
    fn take_over(self: Arc<Self>, outgoing: Outgoing);
}

/// Why a node does not join a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// A node on this chain has joined it before, and may have stopped: what the router knows of the chain is not what the store has any more.
    #[error(
        "a node on this chain is, or was, in the group: stop the group's other nodes, and start all of them with a new `RouterGroup`"
    )]
    ChainJoined,
    /// The group is another identity's.
    #[error("the group is that of identity {group}, and the node's is another: one router serves one identity")]
    OtherIdentity {
        /// Whose it is.
        group: PublicKey,
    },
}

impl RouterGroup {
    /// A group for nodes with this policy: what each node's own configuration says of routing counts only for its own chain.
    #[must_use]
    pub fn new(policy: RoutingPolicy) -> Self {
        Self(Arc::new(Group::new(policy)))
    }
}

impl Group {
    pub(super) fn new(policy: RoutingPolicy) -> Self {
        Self {
            policy,
            router: Mutex::new(None),
            rows: tokio::sync::Mutex::default(),
            joined: Mutex::default(),
            members: Mutex::default(),
            stopped: watch::Sender::default(),
            notices: broadcast::Sender::new(NOTICES),
        }
    }

    /// Whether the router hears swap words of strangers: asked without the router, which whoever has its turn may be busy with.
    pub(super) const fn takes_strangers(&self) -> bool {
        self.policy.swaps.takes_strangers
    }

    fn slot(&self) -> MutexGuard<'_, Option<(PublicKey, Router)>> {
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A chain joins: `make` makes the router of this identity, where this is the first one.
    pub(super) fn join(
        &self,
        chain: Domain,
        identity: PublicKey,
        make: impl FnOnce(RoutingPolicy) -> Router,
    ) -> Result<(), JoinError> {
        let mut slot = self.slot();
        let (group, _router) = slot.get_or_insert_with(|| (identity, make(self.policy.clone())));
        if *group != identity {
            return Err(JoinError::OtherIdentity { group: *group });
        }
        let is_new = self.joined.lock().unwrap_or_else(PoisonError::into_inner).insert(chain);
        is_new.then_some(()).ok_or(JoinError::ChainJoined)
    }

    /// Asks the router, or tells it something. None before the first node has joined.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Router) -> T) -> Option<T> {
        self.slot().as_mut().map(|(_identity, router)| act(router))
    }

    /// The node of a chain has started.
    pub(super) fn enter(&self, chain: Domain, node: Weak<dyn Member>) {
        let _former = self.members().insert(chain, node);
    }

    /// The node of a chain stops: whoever waits for something that it would have done is told.
    pub(super) fn leave(&self, chain: Domain) {
        let _is_new = self.stopped.send_if_modified(|stopped| stopped.insert(chain));
    }

    /// Whether the node of a chain has stopped. One that has not started yet has not.
    pub(super) fn has_stopped(&self, chain: &Domain) -> bool {
        self.stopped.borrow().contains(chain)
    }

    /// Says which nodes have stopped, now and from now on.
    pub(super) fn stops(&self) -> watch::Receiver<BTreeSet<Domain>> {
        self.stopped.subscribe()
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<Domain, Weak<dyn Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over what the router wants of other chains' nodes. What is for a node that has stopped is lost, as in a crash: the next start derives it from the rows.
    pub(super) fn hand_over(&self, all: BTreeMap<Domain, Outgoing>) {
        for (chain, outgoing) in all {
            if let Some(node) = self.members().get(&chain).and_then(Weak::upgrade) {
                node.take_over(outgoing);
            }
        }
    }
}

impl fmt::Debug for RouterGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterGroup").field("chains", &self.0.members().len()).finish_non_exhaustive()
    }
}
