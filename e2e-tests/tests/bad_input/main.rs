//! Whatever comes in from the network, the chain, the disk and the user: each gets its own error, and everything else goes on.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod apps;
mod arbiter;
mod budgets;
mod handshake;
mod machine;
mod openings;
mod packets;
mod payments;
mod slow;
mod strangers;

use e2e_tests::{Actor, Asked, UNIT, World, within};
use sdk::node::{ChannelHandle, NodeConfig};

/// Alice and Bob with a channel: it must live on, whatever else happens to Bob.
struct Witness {
    world: World,
    alice: Actor,
    bob: Actor,
    alices: ChannelHandle,
    bobs: ChannelHandle,
}

impl Witness {
    async fn new() -> Self {
        Self::with(|_config| {}).await
    }

    /// With other settings of Bob's.
    async fn with(change: impl FnOnce(&mut NodeConfig)) -> Self {
        let world = World::new().await;
        let (alices, mut bobs) = (world.config("alice"), world.config("bob"));
        change(&mut bobs);
        let (alice, bob) = world.couple_on(alices, bobs).await;
        let (alices, bobs) = alice.open(&bob).await;
        Self { world, alice, bob, alices, bobs }
    }

    /// Payments go through both ways, somebody new is served, and the channel closes with what was agreed.
    async fn lives_on(self) {
        let before = self.alices.has().await;
        let _paid = self.alices.pays(2, "still alive").await;
        let _paid = self.bobs.pays(1, "so am I").await;
        let after = self.bobs.has().await;
        assert_eq!((after.peers, after.ours), (before.ours - 1, before.peers + 1));

        let newcomer = self.world.start_rich("peer0", 100 * UNIT).await;
        newcomer.connect(&self.bob).await;
        let (theirs, _bobs) = newcomer.open(&self.bob).await;
        let _paid = theirs.pays(1, "hello").await;
        let _ended = within("the close", self.alices.close(0)).await.unwrap();
        assert!(self.alice.node.channels(self.bob.identity()).await.unwrap().is_empty());
    }
}
