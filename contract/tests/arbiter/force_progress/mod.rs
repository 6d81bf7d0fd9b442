//! `channel_force_progress` (R5.10): whoever is left alone goes on by itself.

mod bounds;
mod delegated;
mod mutations;
mod penalty;
mod proofs;
mod replaced;
mod stories;

use crate::harness::*;
use protocol::{Pair, Party, Round};

/// What both agreed on last: a counter that holds 5 units and has a long way to go, the rest outside.
pub(crate) fn agreed(world: &World, round: Round) -> Inside {
    Inside::new(round, Pair::new(85 * UNIT, 70 * UNIT), [(COUNTER, world.apps.counting(5 * UNIT, 0, 1_000))])
}

/// An open channel whose round 6 is on chain.
async fn open() -> (World, Channel, Inside) {
    let (mut world, channel) = World::open().await;
    let base = agreed(&world, 6);
    let _done = world.accept(Actor::Initiator, &channel.snapshot(&base.state()), 0).await;
    (world, channel, base)
}

/// A channel that `closer` closed on round 6.
async fn closing(closer: Party) -> (World, Channel, Inside) {
    let (mut world, channel) = World::open().await;
    let base = agreed(&world, 6);
    let _done = world.accept(closer.into(), &channel.close_solo(&base.state()), 0).await;
    (world, channel, base)
}

/// An open channel in which the initiator forced rounds 7, 8 and 9 on round 6, and the state that this came to.
async fn forced() -> (World, Channel, Inside) {
    let (mut world, channel, base) = open().await;
    let step = channel.step_on_chain(&base, Party::Initiator, vec![count(1), count(2), count(3)]);
    let after = world.force(&step).await;
    assert_eq!(after.round, 9);
    (world, channel, after)
}
