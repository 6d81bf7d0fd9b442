//! What a node takes, and what it risks.

use super::io::Millis;
use crate::{
    fees::Fee,
    swap::{BlockClock, SwapQuote},
};
use channel::transfer::Margins;
use protocol::{Amount, BlockNumber, signing::Domain};
use std::collections::BTreeMap;

/// What a node takes, and what it risks; may be changed while running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingPolicy {
    /// Whether transfers of others are carried on.
    pub is_hub: bool,
    /// What is taken for it.
    pub fee: Fee,
    /// What is taken for the place of a transfer that is to be carried on, in advance (R8.4i); zero for nothing.
    pub slot_fee: Amount,
    /// How much later what comes in expires than what goes on, at least 2 blocks (A5).
    pub delta: BlockNumber,
    /// Whether target legs of swaps are carried on with their premiums: this side stakes a premium where such a leg comes in, once the next one has pledged as much
    /// (R8.5h). Not where places are paid for.
    pub carries_premiums: bool,
    /// Offers that a peer may make at once before it has to wait.
    pub burst: u32,
    /// How many more it may make each second.
    pub offers_per_second: u32,
    /// The fees from which on a peer counts as one that brings revenue: half of places and coins, of what may expire together and of the reserve are for those
    /// alone. Zero keeps nothing back.
    pub revenue: Amount,
    /// How many transfers a peer may always have open (B1).
    pub least_open: u32,
    /// How long a transfer waits after a restart for a peer to come back.
    pub patience: Millis,
    /// How long a payee waits for missing parts.
    pub parts_timeout: Millis,
    /// The most parts that a payment is split into.
    pub max_parts: u32,
    /// The most parts that a payment offers in all, those that failed included.
    pub max_attempts: u32,
    /// The most invoices that are kept, and likewise payments.
    pub max_kept: u32,
    /// Whether spontaneous payments are taken.
    pub takes_spontaneous: bool,
    /// How long an announcement counts.
    pub announced_for: Millis,
    /// What is swapped, and how.
    pub swaps: SwapPolicy,
    /// What holds of a chain that is not in `chains`.
    pub chain: ChainPolicy,
    /// What holds of each chain.
    pub chains: BTreeMap<Domain, ChainPolicy>,
}

/// What a node knows of a chain, and risks on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainPolicy {
    /// What takes how long.
    pub margins: Margins,
    /// How far finality may lag before nothing more is carried on (A2). A block further from the final one is not sure (R8.30).
    pub max_lag: BlockNumber,
    /// How many blocks a transaction waits to get into one: `i` (D18).
    pub inclusion: BlockNumber,
    /// How many registrations a block takes (B2).
    pub registrations_per_block: u32,
    /// What one registration costs; zero where that is unknown, and then nothing is bounded by it.
    pub registration_cost: Amount,
    /// What is there to pay registrations with (B2).
    pub reserve: Amount,
    /// How fast it makes blocks; none where that is not fixed: then nothing is swapped there (A6).
    pub clock: Option<BlockClock>,
    /// How many blocks final ones are behind the newest, while all goes well.
    pub finality: BlockNumber,
}

/// What a node swaps, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapPolicy {
    /// What a peer has for an answer: `a` (D18).
    pub answer: Millis,
    /// How long it may take until both legs of a proposed swap are locked.
    pub handshake: Millis,
    /// The most swaps that are open with one peer.
    pub max_open: u32,
    /// How much of a quote's inventory is kept for swaps that one peer has agreed to and locked nothing of, in parts of a million; peers without a channel have
    /// one such share together (R8.5f). A single swap of more than that is declined.
    pub idle_share: u32,
    /// What a leg may cost beyond its amount, for hubs.
    pub max_fee: Fee,
    /// What is swapped without asking the user. Where two quotes are for the same chains, either counts.
    pub quotes: Vec<SwapQuote>,
    /// Whether the user is asked about proposals for chains of which there is no quote; else they are declined.
    pub asks_user: bool,
    /// Whether peers without a channel on the source chain may propose: their legs come through hubs.
    pub takes_strangers: bool,
}

impl Default for SwapPolicy {
    fn default() -> Self {
        Self {
            answer: 30_000,
            handshake: 30_000,
            max_open: 1_024,
            idle_share: 500_000,
            max_fee: Fee { base: 1_000, parts_per_million: 10_000 },
            quotes: Vec::new(),
            asks_user: false,
            takes_strangers: false,
        }
    }
}

impl Default for ChainPolicy {
    fn default() -> Self {
        Self {
            margins: Margins::default(),
            max_lag: 20,
            inclusion: 5,
            registrations_per_block: 256,
            registration_cost: 0,
            reserve: Amount::MAX,
            clock: None,
            finality: 3,
        }
    }
}

impl Default for RoutingPolicy {
    fn default() -> Self {
        Self {
            is_hub: false,
            fee: Fee::default(),
            slot_fee: 0,
            delta: 2,
            carries_premiums: false,
            burst: 10_000,
            offers_per_second: 10_000,
            revenue: 1,
            least_open: 8,
            patience: 30_000,
            parts_timeout: 60_000,
            max_parts: 16,
            max_attempts: 64,
            max_kept: 100_000,
            takes_spontaneous: true,
            announced_for: 3_600_000,
            swaps: SwapPolicy::default(),
            chain: ChainPolicy::default(),
            chains: BTreeMap::new(),
        }
    }
}

impl RoutingPolicy {
    /// What holds of a chain.
    #[must_use]
    pub fn chain(&self, chain: &Domain) -> &ChainPolicy {
        self.chains.get(chain).unwrap_or(&self.chain)
    }
}
