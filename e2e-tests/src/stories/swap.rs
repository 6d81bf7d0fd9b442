//! Swaps between two chains: two parties, a channel on each chain, one router for each party over its two nodes (R8.5).

use crate::{Actor, TestChain, UNIT, World, until, within};
use network::{
    BlockClock, ChainPolicy, RouterNotice, RoutingPolicy, SwapEvent, SwapId, SwapOutcome, SwapPolicy, SwapQuote,
    SwapStage,
};
use protocol::{Amount, signing::Domain};
use sdk::node::{ChannelHandle, NewSwap, NodeConfig, RouterGroup, RoutingNotices};

/// What the initiator pays on the first chain.
pub const PAID: Amount = 10 * UNIT;
/// What it gets on the second one.
pub const GOT: Amount = 20 * UNIT;
/// What it stakes there.
pub const PREMIUM: Amount = UNIT / 10;
/// The swap.
pub const SWAP: SwapId = SwapId([7; 32]);

/// Two chains, each with an arbiter of its own.
#[derive(Debug)]
pub struct TwoChains<C> {
    /// The source of every swap here.
    pub first: World<C>,
    /// Its target.
    pub second: World<C>,
}

/// The two nodes of a party.
#[derive(Debug)]
pub struct Party {
    /// On the first chain.
    pub first: Actor,
    /// On the second one.
    pub second: Actor,
}

/// Two parties with a channel on each chain.
#[derive(Debug)]
pub struct Swappers<C> {
    /// The chains.
    pub chains: TwoChains<C>,
    /// Alice.
    pub initiator: Party,
    /// Bob.
    pub responder: Party,
    /// The initiator's views of their channels.
    pub channels: [ChannelHandle; 2],
}

/// Blocks of six to twelve seconds: on a chain that makes them on demand nothing else is known.
const CLOCK: BlockClock = BlockClock { shortest: 6_000, longest: 12_000, stall: 600_000 };

pub(super) fn joins(config: &mut NodeConfig, group: &RouterGroup) {
    config.routing.chain = ChainPolicy { clock: Some(CLOCK), ..config.routing.chain };
    config.group = Some(group.clone());
    config.policy.share_max = Amount::MAX;
}

impl Party {
    /// Stops both nodes at once.
    pub fn stop(self) {
        self.first.stop();
        self.second.stop();
    }

    /// Stops both nodes, and waits until nothing of them runs.
    pub async fn stop_and_wait(self) {
        self.first.stop_and_wait().await;
        self.second.stop_and_wait().await;
    }

    pub(super) async fn connect(&self, peer: &Self) {
        self.first.connect(&peer.first).await;
        self.second.connect(&peer.second).await;
    }

    /// How the swap has ended, as this party's router says.
    pub async fn ended(&self) -> SwapOutcome {
        let state = within("the swap to end", self.first.node.swap_ended(&SWAP)).await.unwrap();
        match state.stage {
            SwapStage::Ended { outcome, .. } => outcome,
            other => panic!("{other:?}"),
        }
    }

    /// Waits for something to happen in the swap.
    pub async fn hears(notices: &mut RoutingNotices, wanted: SwapEvent) {
        let hears = async {
            while let Some(notice) = notices.next().await {
                if notice == (RouterNotice::Swap { id: SWAP, event: wanted }) {
                    return;
                }
            }
            panic!("the node has stopped");
        };
        within("something to happen in the swap", hears).await;
    }
}

impl<C: TestChain> TwoChains<C> {
    fn domain(world: &World<C>) -> Domain {
        world.arbiter.info().domain
    }

    /// What the responder swaps by itself: two coins of the second chain for one of the first.
    fn quotes(&self) -> RoutingPolicy {
        let quote = SwapQuote {
            source: Self::domain(&self.first),
            target: Self::domain(&self.second),
            rate: (2, 1),
            amounts: (1, 50 * UNIT),
            premium: 5_000,
            inventory: 100 * UNIT,
            expires_at: u64::MAX,
        };
        let swaps = SwapPolicy { quotes: vec![quote], ..SwapPolicy::default() };
        RoutingPolicy { swaps, ..RoutingPolicy::default() }
    }

    /// Starts both nodes of a party, with what their stores hold.
    pub async fn start(&self, name: &'static str) -> Party {
        let group = RouterGroup::new(self.quotes());
        let first = self.first.start_with(name, |config| joins(config, &group)).await;
        let second = self.second.start_with(name, |config| joins(config, &group)).await;
        Party { first, second }
    }

    /// Makes blocks on both chains.
    pub async fn pass(&self, blocks: u32) {
        self.first.chain.produce_blocks(blocks).await;
        self.second.chain.produce_blocks(blocks).await;
    }
}

impl<C: TestChain> Swappers<C> {
    /// The parties meet, and open a channel on each chain.
    pub async fn meet(chains: TwoChains<C>) -> Self {
        let (initiator, responder) = (chains.start("alice").await, chains.start("bob").await);
        Self::introduced(chains, initiator, responder).await
    }

    /// Two parties that have started meet, and open a channel on each chain.
    pub(super) async fn introduced(chains: TwoChains<C>, initiator: Party, responder: Party) -> Self {
        for actor in [&initiator.first, &initiator.second, &responder.first, &responder.second] {
            let _done = within("a vault to be filled", actor.node.vault_deposit(300 * UNIT)).await.unwrap();
        }
        initiator.connect(&responder).await;
        let (first, _) = initiator.first.open(&responder.first).await;
        let (second, _) = initiator.second.open(&responder.second).await;
        Self { chains, initiator, responder, channels: [first, second] }
    }

    /// The swap of these stories.
    #[must_use]
    pub fn swap(&self) -> NewSwap {
        NewSwap {
            responder: self.responder.first.identity(),
            pay: PAID,
            target: TwoChains::domain(&self.chains.second),
            get: GOT,
            premium: PREMIUM,
        }
    }

    /// The initiator proposes it.
    pub async fn propose(&self) {
        let proposed = self.initiator.first.node.propose_swap(SWAP, self.swap());
        let _stage = within("a swap to be proposed", proposed).await.unwrap();
    }

    /// What the initiator has in both channels.
    pub async fn has(&self) -> [Amount; 2] {
        let mut has = [0; 2];
        for (has, channel) in has.iter_mut().zip(&self.channels) {
            *has = within("balances", channel.balances()).await.unwrap().unwrap().ours;
        }
        has
    }

    /// Both legs have moved: both are told so, and the coins are where they belong.
    pub async fn both_moved(&self, before: [Amount; 2]) {
        for party in [&self.initiator, &self.responder] {
            let outcome = party.ended().await;
            assert!(outcome.source_moved && outcome.target_moved, "{outcome:?}");
        }
        until("the coins to be where they belong", || async {
            (self.has().await == [before[0] - PAID, before[1] + GOT]).then_some(())
        })
        .await;
    }
}

/// All goes well: and what is asked for twice is done once.
pub async fn a_swap_moves_both_legs<C: TestChain>(chains: TwoChains<C>) {
    let swappers = Swappers::meet(chains).await;
    let (node, responder) = (&swappers.initiator.first.node, swappers.responder.first.identity());
    within("to ask for quotes", node.ask_swap_quotes(responder)).await.unwrap();
    let quotes = until("the responder's quotes", || async { node.swap_quotes(responder) }).await;
    assert_eq!(NewSwap::quoted(responder, &quotes[0], PAID), Some(swappers.swap()));
    let before = swappers.has().await;
    swappers.propose().await;
    swappers.both_moved(before).await;
    swappers.propose().await;
    assert_eq!(swappers.has().await, [before[0] - PAID, before[1] + GOT], "asked for again, it is not made again");
    within("to forget it", node.forget_swap(SWAP)).await.unwrap();
    assert_eq!(node.swap(&SWAP), None);
}

/// Either party's process ends at a step, and both of its nodes come back.
pub async fn a_swap_survives_a_crash_of_either_party<C: TestChain>(
    chains: TwoChains<C>,
    of_initiator: bool,
    at: SwapEvent,
) {
    let mut swappers = Swappers::meet(chains).await;
    let before = swappers.has().await;
    let party = if of_initiator { &swappers.initiator } else { &swappers.responder };
    let mut notices = party.first.node.routing_notices();
    swappers.propose().await;
    Party::hears(&mut notices, at).await;
    drop(notices);
    if of_initiator {
        swappers.initiator.stop_and_wait().await;
        swappers.initiator = swappers.chains.start("alice").await;
        swappers.initiator.connect(&swappers.responder).await;
        swappers.channels = swappers.initiators_views().await;
    } else {
        swappers.responder.stop_and_wait().await;
        swappers.responder = swappers.chains.start("bob").await;
        swappers.responder.connect(&swappers.initiator).await;
    }
    swappers.both_moved(before).await;
}

/// A block on both chains, which all of these nodes have seen when this answers: no node is slower than its chain.
pub(super) async fn pass_one<C: TestChain>(
    chains: &TwoChains<C>,
    on_first: &[&ChannelHandle],
    on_second: &[&ChannelHandle],
) {
    chains.pass(1).await;
    for (world, views) in [(&chains.first, on_first), (&chains.second, on_second)] {
        let head = world.chain.block_number().await;
        for view in views {
            until("a block to be seen", || async { (view.head().await.unwrap() >= head).then_some(()) }).await;
        }
    }
}

impl<C: TestChain> Swappers<C> {
    /// The responder's views of both channels.
    pub(super) async fn responders_views(&self) -> [ChannelHandle; 2] {
        let ([first, second], Party { first: here, second: there }) = (&self.channels, &self.responder);
        [
            here.channel(&self.initiator.first, first.reference()).await,
            there.channel(&self.initiator.second, second.reference()).await,
        ]
    }

    /// Blocks come until the swap is over for both.
    pub(super) async fn pass_until_ended(&self) {
        let ([ours, our_second], [theirs, their_second]) = (&self.channels, &self.responders_views().await);
        until("the swap to end for both", || async {
            let is_over = |party: &Party| {
                let state = party.first.node.swap(&SWAP);
                state.is_some_and(|state| matches!(state.stage, SwapStage::Ended { .. }))
            };
            if is_over(&self.initiator) && is_over(&self.responder) {
                return Some(());
            }
            pass_one(&self.chains, &[ours, theirs], &[our_second, their_second]).await;
            None
        })
        .await;
    }

    async fn initiators_views(&self) -> [ChannelHandle; 2] {
        let ([first, second], Party { first: here, second: there }) = (&self.channels, &self.initiator);
        [
            here.channel(&self.responder.first, first.reference()).await,
            there.channel(&self.responder.second, second.reference()).await,
        ]
    }
}

/// The responder vanishes when its leg is locked. The initiator shows the secret in the target chain's registry, and has its coins; the responder finds it there when it is
/// back, and has its own.
pub async fn a_responder_that_vanishes_is_paid_when_it_is_back<C: TestChain>(chains: TwoChains<C>) {
    let mut swappers = Swappers::meet(chains).await;
    let before = swappers.has().await;
    let mut notices = swappers.responder.first.node.routing_notices();
    swappers.propose().await;
    Party::hears(&mut notices, SwapEvent::TargetLocked).await;
    drop(notices);
    swappers.responder.stop_and_wait().await;
    let state = swappers.initiator.first.node.swap(&SWAP).unwrap();
    // Where its leg was not locked in time, nothing moves; where it was, the initiator has what it is due, and the responder when it is back.
    let expiry = state.terms.target.expiry;
    let [ours, our_second] = &swappers.channels;
    while swappers.chains.second.chain.block_number().await < expiry + 5 {
        pass_one(&swappers.chains, &[ours], &[our_second]).await;
    }
    swappers.responder = swappers.chains.start("bob").await;
    swappers.responder.connect(&swappers.initiator).await;
    swappers.pass_until_ended().await;
    let [theirs, ours] = [swappers.responder.ended().await, swappers.initiator.ended().await];
    assert_eq!((theirs.source_moved, theirs.target_moved), (ours.source_moved, ours.target_moved));
    assert_eq!(ours.source_moved, ours.target_moved, "both, or none");
    let has = swappers.has().await;
    let moved = [before[0] - PAID, before[1] + GOT];
    let forfeited = [before[0], before[1] - PREMIUM];
    assert!([before, moved, forfeited].contains(&has), "{has:?}, and {before:?} before");
}
