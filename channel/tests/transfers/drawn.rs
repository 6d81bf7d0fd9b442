//! What random stories of an attacker share: its numbers, and what it keeps to show later.

use super::*;
use channel::Update;

/// Numbers that follow from a seed.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn draw(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// What an attacker has seen, and may show.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) states: Vec<(State, Option<Payload>)>,
    /// Rounds that were said to it.
    pub(super) updates: Vec<Update>,
}

impl Kept {
    /// The attacker keeps the states of both, and what is on its way to it.
    pub(super) fn keep(&mut self, world: &World, attacker: Party) {
        for party in Party::BOTH {
            let Some(channel) = &world.sides[party].channel else { continue };
            let (Some(state), Some(evidence)) = (channel.state(), channel.evidence()) else { continue };
            let new = (state.clone(), evidence.payload);
            if !self.states.contains(&new) {
                self.states.push(new);
            }
        }
        for message in &world.wire[attacker] {
            if let Message::Update(update) = message
                && !self.updates.contains(update)
            {
                self.updates.push(update.clone());
            }
        }
    }
}
