//! Two nodes over loopback, on the embedded chain with the real arbiter.

use crate::link;
use e2e_tests::{UNIT, World};
use protocol::Amount;
use sdk::{
    keys::PeerAddress,
    node::{self, ChannelHandle, Node, NodeConfig, OpenChannel, Processors, Told},
    store::{Durability, StoreHandle},
};
use std::time::Duration;

/// What is in a node's vault.
const VAULT: Amount = 5_000 * UNIT;

/// Where nodes keep their channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// Nowhere.
    Memory,
    /// On disk, every round with an fsync.
    Durable,
    /// The same, and the payer is told once both have signed.
    DurableOnceAgreed,
    /// The same, and processors stay awake meanwhile.
    DurableAwake,
    /// On disk, without waiting for it: to make many channels quickly.
    Quick,
}

impl Storage {
    pub(crate) const MEASURED: [Self; 2] = [Self::Memory, Self::Durable];

    /// How often a round is kept, one time after the other, before its payer knows that it is agreed: as a proposal by the payer, as agreed by the payee,
    /// as agreed by the payer (R6.4), which may be kept with the next proposal (R6.4c).
    pub(crate) const fn syncs(self) -> u32 {
        match self {
            Self::Memory | Self::Quick => 0,
            Self::Durable => 3,
            Self::DurableOnceAgreed | Self::DurableAwake => 2,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "in memory",
            Self::Durable => "durable",
            Self::DurableOnceAgreed => "durable, told once agreed",
            Self::DurableAwake => "durable, told once agreed, processors awake",
            Self::Quick => "not durable",
        }
    }
}

/// The node of `name`, with a full vault.
pub(crate) async fn start(world: &World, name: &str, storage: Storage, change: impl Fn(&mut NodeConfig)) -> Node {
    let node = restart(world, name, storage, change).await;
    let _done = node.vault_deposit(VAULT).await.unwrap();
    node
}

/// The node of `name`, with what its store holds.
pub(crate) async fn restart(world: &World, name: &str, storage: Storage, change: impl Fn(&mut NodeConfig)) -> Node {
    let mut config = world.config(name);
    change(&mut config);
    let store = |durability| node::Storage::Disk(StoreHandle::open(&world.store_of(name), durability).unwrap());
    config.storage = match storage {
        Storage::Memory => node::Storage::DangerInMemory,
        Storage::Durable => store(Durability::Immediate),
        Storage::DurableOnceAgreed | Storage::DurableAwake => {
            config.told = Told::OnceAgreed;
            if storage == Storage::DurableAwake {
                config.processors = Processors::stay_awake().unwrap();
            }
            store(Durability::Immediate)
        }
        Storage::Quick => store(Durability::DangerNone),
    };
    Node::start(config).await.unwrap()
}

/// A channel in which `ours` and `peers` are put.
pub(crate) const fn terms(ours: Amount, peers: Amount) -> OpenChannel {
    OpenChannel {
        our_share: ours,
        peer_share: peers,
        push: 0,
        reserve: 0,
        lock_period: 100,
        penalty: 0,
        max_forced: 3,
        validity: 1_000,
    }
}

/// Alice and Bob, connected.
pub(crate) struct Nodes {
    pub(crate) world: World,
    pub(crate) alice: Node,
    pub(crate) bob: Node,
}

impl Nodes {
    /// `round_trip` is what the wire between them adds.
    pub(crate) async fn start(storage: Storage, round_trip: Duration) -> Self {
        Self::start_with(World::new().await, storage, round_trip, |_config| {}).await
    }

    /// The same, with other settings of both.
    pub(crate) async fn start_with(
        world: World,
        storage: Storage,
        round_trip: Duration,
        change: impl Fn(&mut NodeConfig),
    ) -> Self {
        let start = async |name| start(&world, name, storage, &change).await;
        let (alice, bob) = (start("alice").await, start("bob").await);
        let address = if round_trip.is_zero() {
            bob.address().unwrap()
        } else {
            let at = link::slow(bob.local_addr().unwrap(), round_trip / 2).await;
            PeerAddress::new(bob.identity(), &at.ip().to_string(), at.port()).unwrap()
        };
        let _peer = alice.connect(&address).await.unwrap();
        Self { world, alice, bob }
    }

    /// So many channels, with a little on each side: Alice's view of each and Bob's.
    pub(crate) async fn open(&self, count: usize) -> Vec<(ChannelHandle, ChannelHandle)> {
        let share = 4_000 * UNIT / count.max(1) as u128;
        let mut channels = Vec::new();
        for _ in 0..count {
            let ours = self.alice.open_channel(self.bob.identity(), terms(share, share)).await.unwrap();
            channels.push(ours);
        }
        let mut theirs: Vec<_> = self.bob.channels(self.alice.identity()).await.unwrap();
        for channel in &theirs {
            // Bob has seen it on chain a moment later.
            while channel.status().await.unwrap().state != channel::Stage::Open {
                tokio::task::yield_now().await;
            }
        }
        theirs.sort_by_key(ChannelHandle::reference);
        channels.sort_by_key(ChannelHandle::reference);
        channels.into_iter().zip(theirs).collect()
    }
}
