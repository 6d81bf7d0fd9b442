//! Everything that can be told apart at one moment.

use super::{Memory, OnChain, Scenario, Signed};
use protocol::{
    Amount, BlockNumber,
    record::{Penalty, Phase},
};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

/// Which part of a block is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The peers exchange signatures, before anything of the block is executed: what the honest party knows of the chain is older.
    Signing,
    /// Transactions are executed.
    Executing,
}

/// What must never happen, and has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// The honest party was paid less than it had reason to expect.
    pub underpaid: bool,
    /// The honest party owes the penalty.
    pub penalised: bool,
    /// A closer that held a newer round, provably, was let off.
    pub let_off: bool,
    /// An agreed round lost its force before the honest party could show it.
    pub unusable: bool,
    /// A claim that was made in time is undone when its deadline has passed.
    pub undone: bool,
    /// A dispute goes on for too long.
    pub too_long: bool,
}

/// A moment in the life of a channel.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The current block.
    pub now: BlockNumber,
    /// Which part of it.
    pub stage: Stage,
    /// What is on chain.
    pub chain: OnChain,
    /// Everything that the other party can show: it has both signatures.
    pub hand: Vec<Signed>,
    /// What the honest party knows.
    pub memory: Memory,
    /// An older copy of its store, and the least of what was signed since.
    pub backup: Option<(Arc<Memory>, Amount)>,
    /// How many more rounds will be signed.
    pub rounds_left: u8,
    /// When the channel began to close.
    pub closed_at: Option<BlockNumber>,
    /// Whether the peer closed below a round that it provably held.
    pub cheated: bool,
    /// When the honest party's first claim came on chain.
    pub claimed_at: Option<BlockNumber>,
    /// What must not be.
    pub faults: Faults,
    deadline: Option<BlockNumber>,
    measures: bool,
}

impl Moment {
    pub(crate) fn new(scenario: &Scenario, chain: OnChain, memory: Memory) -> Self {
        Self {
            now: 1,
            stage: Stage::Signing,
            chain,
            hand: Vec::new(),
            memory,
            backup: None,
            rounds_left: scenario.rounds,
            closed_at: None,
            cheated: false,
            claimed_at: None,
            faults: Faults::default(),
            deadline: scenario.deadline,
            measures: scenario.measures,
        }
    }

    /// Forgets what can never be shown any more.
    pub(crate) fn prune(&mut self) {
        let Some(record) = &self.chain.record else {
            self.hand.clear();
            return;
        };
        let (now, at, phase) = (self.now, record.on_chain.at, &record.phase);
        self.hand.retain(|shown| {
            let lives = shown.operation.is_none_or(|last| now <= last && *phase == Phase::Open);
            shown.round > at.agreed && lives
        });
        if matches!(phase, Phase::Residual { .. }) {
            self.hand.clear();
        }
        self.hand.sort_unstable();
        self.memory.open.sort_unstable();
    }
}

/// Moments that differ in nothing but the block number are the same, unless a deadline or a measurement tells them apart. So a search without
/// either is complete for all times.
impl Hash for Moment {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let now = self.now;
        let ahead = |block: BlockNumber| block.saturating_sub(now);
        self.deadline.map(ahead).hash(hasher);
        if self.measures {
            self.closed_at.map(|since| now.saturating_sub(since)).hash(hasher);
        }
        if self.deadline.is_some() {
            self.claimed_at.map(|at| now.saturating_sub(at)).hash(hasher);
        }
        (self.stage, self.rounds_left, self.cheated, self.faults, self.chain.content).hash(hasher);
        if let Some(record) = &self.chain.record {
            let lock_period = record.terms.lock_period;
            let on_chain = &record.on_chain;
            (on_chain.at, record.forced_steps, on_chain.maturity.floor(now, lock_period)).hash(hasher);
            for mark in on_chain.maturity.marks() {
                let left = ahead(mark.block.saturating_add(lock_period));
                if left > 0 {
                    (mark.reached, left).hash(hasher);
                }
            }
            match &record.phase {
                Phase::Open => 0u8.hash(hasher),
                Phase::Closing(closing) => {
                    let closed_on = match closing.penalty {
                        Penalty::AtRisk { closed_on, .. } => Some(closed_on),
                        Penalty::Due(_) => None,
                    };
                    (ahead(closing.unlock_at), closing.penalty.closer(), closed_on).hash(hasher);
                }
                Phase::Residual { counted_from } => {
                    counted_from.map(|from| ahead(from.saturating_add(lock_period))).hash(hasher);
                }
            }
        }
        let relative = |signed: &Signed| Signed { operation: signed.operation.map(ahead), ..*signed };
        for shown in &self.hand {
            relative(shown).hash(hasher);
        }
        hash_memory(&self.memory, &relative, hasher);
        if let Some((backup, least)) = &self.backup {
            hash_memory(backup, &relative, hasher);
            least.hash(hasher);
        }
    }
}

/// As the search tells moments apart: by their hashes.
impl PartialEq for Moment {
    fn eq(&self, other: &Self) -> bool {
        let hash = |moment: &Self| {
            let mut hasher = DefaultHasher::new();
            moment.hash(&mut hasher);
            hasher.finish()
        };
        hash(self) == hash(other)
    }
}

impl Eq for Moment {}

fn hash_memory<H: Hasher>(memory: &Memory, relative: &impl Fn(&Signed) -> Signed, hasher: &mut H) {
    let Memory { agreed, co_signed, open, unsent, top, mark, operation, saw_close, claims, pending, unlooked, is_old } =
        memory;
    (agreed, co_signed, open, top, mark).hash(hasher);
    (unsent.as_ref().map(relative), operation.as_ref().map(relative)).hash(hasher);
    (saw_close, claims, pending, unlooked, is_old).hash(hasher);
}
