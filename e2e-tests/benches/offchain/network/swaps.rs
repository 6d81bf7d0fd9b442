//! Swaps between two embedded chains: how many per second, and how long each takes until both legs have moved.

use super::{
    payments::processor_time,
    three::{are_open, connect},
};
use crate::{
    nodes::{self, Storage, terms},
    report::{Limit, percentile, write_page},
};
use e2e_tests::{UNIT, World};
use network::{
    BlockClock, ChainPolicy, RouterNotice, RoutingPolicy, SwapEvent, SwapId, SwapPolicy, SwapQuote, SwapStage,
};
use protocol::Amount;
use sdk::node::{NewSwap, Node, NodeConfig, RouterGroup};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// What a swap moves on each chain.
const AMOUNT: Amount = UNIT / 8;
/// What the two put into each channel.
const SHARE: Amount = 4_000 * UNIT;
/// How many swaps are under way at once, how many are made, and the premium of each.
const ROWS: [(usize, usize, Amount); 4] = [(1, 1_000, 0), (64, 6_400, 0), (1, 1_000, PREMIUM), (64, 1_280, PREMIUM)];
/// What the initiator stakes where it stakes something.
const PREMIUM: Amount = AMOUNT / 100;
/// Rounds, and commits, that wait for one another in one swap with nothing else under way: proposal, answer, leg, answer, leg, answer and claim, answer, claim, answer.
const LEAST: (u32, u32) = (4, 9);
/// Limits that would be measured here instead of everything else.
const NO_LIMIT: u32 = 1_000_000;

struct Swappers {
    initiator: [Node; 2],
    responder: [Node; 2],
    swap: NewSwap,
    _worlds: [World; 2],
}

impl Swappers {
    async fn start(storage: Storage, premium: Amount) -> Self {
        let worlds = [World::new().await, World::another().await];
        let [source, target] = [0, 1].map(|place: usize| worlds[place].arbiter.info().domain);
        let quote = SwapQuote {
            source,
            target,
            rate: (1, 1),
            amounts: (1, Amount::MAX),
            premium: 0,
            inventory: Amount::MAX,
            expires_at: u64::MAX,
        };
        let initiator = party(&worlds, "alice", storage, quote).await;
        let responder = party(&worlds, "bob", storage, quote).await;
        for (ours, theirs) in initiator.iter().zip(&responder) {
            connect(ours, theirs).await;
            let _channel = ours.open_channel(theirs.identity(), terms(SHARE, SHARE)).await.unwrap();
            are_open(theirs, ours.identity()).await;
        }
        let swap = NewSwap { responder: responder[0].identity(), pay: AMOUNT, target, get: AMOUNT, premium };
        Self { initiator, responder, swap, _worlds: worlds }
    }

    /// Makes so many swaps, `in_flight` of them proposed together whenever as many are over.
    async fn make(&self, count: usize, in_flight: usize) -> Vec<Duration> {
        let node = &self.initiator[0];
        let mut notices = node.routing_notices();
        let (mut began, mut latencies, mut next) = (BTreeMap::new(), Vec::new(), 0_usize);
        let mut free = in_flight;
        while latencies.len() < count {
            let more: Vec<_> = (next..count.min(next + free)).map(|number| (id(number), self.swap)).collect();
            if !more.is_empty() {
                began.extend(more.iter().map(|(id, _)| (*id, Instant::now())));
                let begun = node.propose_swaps(&more).await.unwrap();
                assert!(begun.iter().all(|stage| *stage == Ok(SwapStage::Proposed)), "{begun:?}");
                (next, free) = (next + more.len(), free - more.len());
            }
            let RouterNotice::Swap { id, event: SwapEvent::Ended(outcome) } = notices.next().await.unwrap() else {
                continue;
            };
            assert!(outcome.source_moved && outcome.target_moved, "{outcome:?}");
            latencies.push(began.remove(&id).unwrap().elapsed());
            free += 1;
        }
        latencies
    }
}

fn id(number: usize) -> SwapId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(number as u64).to_be_bytes());
    SwapId(id)
}

async fn party(worlds: &[World; 2], name: &'static str, storage: Storage, quote: SwapQuote) -> [Node; 2] {
    let swaps = SwapPolicy { quotes: vec![quote], max_open: NO_LIMIT, ..SwapPolicy::default() };
    let policy = RoutingPolicy {
        burst: NO_LIMIT,
        offers_per_second: NO_LIMIT,
        max_kept: NO_LIMIT,
        least_open: NO_LIMIT,
        swaps,
        ..RoutingPolicy::default()
    };
    let group = RouterGroup::new(policy);
    let joins = move |config: &mut NodeConfig| {
        let clock = Some(BlockClock { shortest: 6_000, longest: 12_000, stall: 600_000 });
        config.routing.chain = ChainPolicy { clock, inclusion: 100, ..ChainPolicy::default() };
        config.group = Some(group.clone());
        config.policy.share_max = Amount::MAX;
    };
    let first = nodes::start(&worlds[0], name, storage, &joins).await;
    let second = nodes::start(&worlds[1], name, storage, &joins).await;
    [first, second]
}

/// `share`: what part of them is enough this time.
pub(crate) async fn run(share: usize) {
    let mut rows = String::new();
    for storage in Storage::MEASURED {
        for (in_flight, count, premium) in ROWS {
            let swappers = Swappers::start(storage, premium).await;
            let _warm = swappers.make(1, 1).await;
            swappers.forget().await;
            let (count, used) = (count / share, processor_time());
            let began = Instant::now();
            let mut latencies = swappers.make(count, in_flight).await;
            let (elapsed, processor) = (began.elapsed(), processor_time() - used);
            latencies.sort();
            let limit = Limit::now();
            let (rounds, commits) = LEAST;
            let durable = if storage == Storage::Durable { limit.sync * commits } else { Duration::ZERO };
            let least = limit.round * rounds + durable;
            let rate = count as f64 / elapsed.as_secs_f64();
            let row = format!(
                "| {in_flight} at once{} | {} | {rate:.0} | {:.2?} | {:.2?} | {least:.1?} | {:.0} % | {:.0?} |\n",
                if premium > 0 { ", with a premium" } else { "" },
                storage.name(),
                percentile(&latencies, 50),
                percentile(&latencies, 99),
                100.0 * rate * least.as_secs_f64(),
                processor.checked_div(u32::try_from(count).unwrap()).unwrap_or_default()
            );
            print!("{row}");
            rows += &row;
        }
    }
    if share == 1 {
        write_page("swaps.md", &format!("{HEAD}{rows}"));
    }
}

impl Swappers {
    /// Forgets the swap that was made to find out what the others then have.
    async fn forget(&self) {
        for [node, _] in [&self.initiator, &self.responder] {
            while node.forget_swap(id(0)).await.is_err() {
                tokio::task::yield_now().await;
            }
        }
    }
}

const HEAD: &str = "# Swaps between two chains, over loopback\n\nWritten by `just bench-swaps`: one run on one machine, all four nodes in one process, on two embedded chains, in the profile that tests use. A swap counts from its \
proposal until both legs have moved and the initiator's router knows; goals: 12 ms for one, 300 per second many at once, durable at both. The limit is what a swap takes at least, measured right after each row: the bare signatures and verifications of four rounds, and \
where it is durable one `fdatasync` for each of the nine commits that wait for one another. Share: the rate against that limit, above 100 % where swaps share rounds and syncs: not where they have premiums, each of which is staked in a round of its own, one after the other in one channel. Processor time: what all four nodes and the measuring itself used for one swap.\n\n\
| swaps | kept | per second | p50 | p99 | limit of a swap | share | processor time |\n|---|---|---|---|---|---|---|---|\n";
