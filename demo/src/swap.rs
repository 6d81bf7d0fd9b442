//! Two parties swap coins of two chains over two channels: once as it should be, once with a responder that vanishes after both legs are locked, once with an initiator that
//! tries to have its leg back by an old state. Every coin of both chains is counted at the end.

use crate::{
    LOCK_PERIOD, Options, PENALTY,
    report::{Books, UNIT, short, signed},
    say, terms, until_within, wait_for,
    wire::Wire,
    world::World,
};
use anyhow::{Context, Result, bail, ensure};
use channel::{CloseReason, Event};
use devchain::{DevAccount, DevChain};
use network::{
    BlockClock, RouterNotice, RoutingPolicy, SwapEvent, SwapId, SwapOutcome, SwapPolicy, SwapQuote, SwapStage,
};
use protocol::{Amount, PublicKey, call::Call};
use sdk::{
    node::{ChannelHandle, NewSwap, Node, RouterGroup, RoutingNotices},
    store::StoreHandle,
};
use std::time::{Duration, Instant};

/// What Alice pays in each swap, on the source chain.
const PAYS: Amount = 10 * UNIT;
/// What each of the two puts into each channel.
const SHARE: Amount = 100 * UNIT;
/// How fast both chains make blocks. They are made when the story says so: what counts here is how much time a ladder leaves.
const SOURCE_CLOCK: BlockClock = BlockClock { shortest: 6_000, longest: 12_000, stall: 60_000 };
const TARGET_CLOCK: BlockClock = BlockClock { shortest: 2_000, longest: 4_000, stall: 60_000 };
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most blocks that pass until somebody has had something done on chain.
const MOST_BLOCKS: u32 = 300;

async fn until<T>(what: &str, ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    until_within(PATIENCE, what, ask).await
}

/// Two chains, each with an arbiter.
struct Chains {
    source: World,
    target: World,
}

/// A party's nodes, one on each chain, and their stores.
struct Party {
    account: DevAccount,
    source: Node,
    target: Node,
    stores: [StoreHandle; 2],
}

/// Alice proposes; Bob answers by himself, at his rate.
struct Story {
    chains: Chains,
    alice: Party,
    bob: Party,
    /// Alice's views.
    channels: [ChannelHandle; 2],
    quote: SwapQuote,
    /// Between the nodes on the target chain.
    wire: Wire,
    /// How many swaps have moved both legs.
    moved: u32,
}

pub(crate) async fn play(options: &Options) -> Result<()> {
    let began = Instant::now();
    say("starting two embedded chains: the source with blocks of 6 to 12 seconds, the target with blocks of 2 to 4");
    let build = async |chain| World::build_on(chain, &options.contract, options.durability()).await;
    let source = build(DevChain::new()?).await?;
    // Other coins at the start are another genesis.
    let target = build(DevChain::builder().endow(protocol::AccountId([0x5a; 32]), UNIT).build()?).await?;
    let books = [Books::open(&source).await?, Books::open(&target).await?];
    let mut story = Story::meet(Chains { source, target }).await?;
    story.goes_well().await?;
    story.responder_vanishes().await?;
    let settled = story.initiator_cheats().await?;
    story.end(settled, books).await?;
    println!("\nEvery coin of both chains is accounted for. Wall time {:.1} s.", began.elapsed().as_secs_f64());
    Ok(())
}

impl Chains {
    async fn start(&self, account: DevAccount, stores: [StoreHandle; 2], quotes: Vec<SwapQuote>) -> Result<Party> {
        let swaps = SwapPolicy { quotes, ..SwapPolicy::default() };
        let group = RouterGroup::new(RoutingPolicy { swaps, ..RoutingPolicy::default() });
        let [first, second] = stores.clone();
        let joins = |clock| {
            let group = group.clone();
            move |config: &mut sdk::NodeConfig| {
                config.routing.chain.clock = Some(clock);
                config.group = Some(group);
            }
        };
        let (source, _events) = self.source.start_with(account, first, joins(SOURCE_CLOCK)).await?;
        let (target, _events) = self.target.start_with(account, second, joins(TARGET_CLOCK)).await?;
        Ok(Party { account, source, target, stores })
    }

    fn stores(&self, account: DevAccount) -> Result<[StoreHandle; 2]> {
        Ok([self.source.store(account)?, self.target.store(account)?])
    }
}

impl Party {
    const fn nodes(&self) -> [&Node; 2] {
        [&self.source, &self.target]
    }

    async fn connect(&self, peer: &Self) -> Result<(PublicKey, Wire)> {
        let _peer = self.source.connect(&peer.source.address().context("it listens")?).await?;
        let wire = Wire::to(&peer.target.address().context("it listens")?).await?;
        let peer = self.target.connect(wire.address()).await?;
        Ok((peer, wire))
    }

    /// How a swap has ended.
    async fn ended(&self, id: &SwapId) -> Result<SwapOutcome> {
        let state = tokio::time::timeout(PATIENCE, self.source.swap_ended(id)).await??;
        match state.stage {
            SwapStage::Ended { outcome, .. } => Ok(outcome),
            other => bail!("the swap is not over: {other:?}"),
        }
    }
}

/// Waits for something to happen in a swap, and tells what happens until then.
async fn hear(name: &str, notices: &mut RoutingNotices, id: SwapId, until: impl Fn(SwapEvent) -> bool) -> Result<()> {
    loop {
        let notice = tokio::time::timeout(PATIENCE, notices.next()).await?.context("the node runs")?;
        let RouterNotice::Swap { id: of, event } = notice else { continue };
        if of != id {
            continue;
        }
        match event {
            SwapEvent::Agreed => say(&format!("  {name}: negotiation is over: both have agreed to both legs")),
            SwapEvent::SourceLocked => say(&format!("  {name}: execution: the source leg is locked")),
            SwapEvent::TargetLocked => say(&format!("  {name}: execution: the target leg is locked")),
            SwapEvent::Revealed => say(&format!("  {name}: execution: the pre-image is shown")),
            SwapEvent::Clearing(code) => say(&format!("  {name}: batch clearing: {code}")),
            SwapEvent::Ended(_) => say(&format!("  {name}: asset clearing is over: nothing is open on either chain")),
            SwapEvent::Proposed | SwapEvent::Violated => {}
        }
        if until(event) {
            return Ok(());
        }
    }
}

impl Story {
    async fn meet(chains: Chains) -> Result<Self> {
        let (source, target) = (chains.source.arbiter.info().domain, chains.target.arbiter.info().domain);
        let quote = SwapQuote {
            source,
            target,
            rate: (3, 2),
            amounts: (UNIT, 20 * UNIT),
            premium: 5_000,
            inventory: 50 * UNIT,
            expires_at: u64::MAX,
        };
        let alice = chains.start(DevAccount::Alice, chains.stores(DevAccount::Alice)?, Vec::new()).await?;
        let bob = chains.start(DevAccount::Bob, chains.stores(DevAccount::Bob)?, vec![quote]).await?;
        say(&format!(
            "each of the two has a node on each chain; a channel on each, with {} units of each",
            short(SHARE)
        ));
        for node in alice.nodes().into_iter().chain(bob.nodes()) {
            let _done = node.vault_deposit(SHARE).await?;
        }
        let (peer, wire) = alice.connect(&bob).await?;
        let first = alice.source.open_channel(peer, terms(SHARE, SHARE)).await?;
        let second = alice.target.open_channel(peer, terms(SHARE, SHARE)).await?;
        alice.source.ask_swap_quotes(peer).await?;
        let story = Self { chains, alice, bob, channels: [first, second], quote, wire, moved: 0 };
        until("Bob's quote", async || Ok(story.alice.source.swap_quotes(peer).map(drop))).await?;
        say("Bob quotes by himself: 3 units of the target chain for 2 of the source chain, and a premium of 0.5 %");
        Ok(story)
    }

    /// What Alice has in both channels.
    async fn has(&self) -> Result<[Amount; 2]> {
        let [first, second] = &self.channels;
        let ours =
            async |channel: &ChannelHandle| Ok::<_, anyhow::Error>(channel.balances().await?.context("open")?.ours);
        Ok([ours(first).await?, ours(second).await?])
    }

    fn gets(&self) -> Result<Amount> {
        self.quote.pays(PAYS).context("an amount within the quote")
    }

    /// Says what both have, and checks that it is what the swaps that have moved make of it.
    async fn balances(&self) -> Result<()> {
        let moved = Amount::from(self.moved);
        let (paid, got) = (PAYS.saturating_mul(moved), self.gets()?.saturating_mul(moved));
        let expected = [SHARE.checked_sub(paid).context("enough coins")?, SHARE.saturating_add(got)];
        until("the coins to be where they belong", async || Ok((self.has().await? == expected).then_some(()))).await?;
        let both = SHARE.saturating_mul(2);
        let [source, target] = expected.map(|ours| (short(ours), short(both.saturating_sub(ours))));
        say(&format!(
            "  source chain: Alice {}, Bob {}; target chain: Alice {}, Bob {}",
            source.0, source.1, target.0, target.1
        ));
        Ok(())
    }

    async fn propose(&self, id: SwapId) -> Result<()> {
        let swap = NewSwap::quoted(self.bob.source.identity(), &self.quote, PAYS).context("within the quote")?;
        let _proposed = self.alice.source.propose_swap(id, swap).await?;
        Ok(())
    }

    async fn goes_well(&mut self) -> Result<()> {
        say(&format!(
            "\nAlice swaps {} units of the source chain for {} of the target chain",
            short(PAYS),
            short(self.gets()?)
        ));
        self.balances().await?;
        let id = SwapId([1; 32]);
        let mut notices = self.alice.source.routing_notices();
        let began = Instant::now();
        self.propose(id).await?;
        hear("Alice", &mut notices, id, |event| matches!(event, SwapEvent::Ended(_))).await?;
        let took = began.elapsed();
        let outcome = self.bob.ended(&id).await?;
        ensure!(outcome.source_moved && outcome.target_moved, "both legs should have moved: {outcome:?}");
        self.moved = self.moved.saturating_add(1);
        say(&format!("  it took {:.1} ms, durable at both", took.as_secs_f64() * 1_000.0));
        self.balances().await
    }

    /// Bob vanishes once both legs are locked and Alice has shown the secret: she is paid by the target chain, and he by Alice when he is back.
    async fn responder_vanishes(&mut self) -> Result<()> {
        say("\nAlice swaps as much again, and Bob vanishes after both legs are locked");
        let id = self.catch().await?;
        let here = &self.chains.target;
        let shown = self.pass_until(here, &self.alice, "preimages_register").await?;
        say(&format!(
            "  Bob does not answer: in block {shown} of the target chain Alice shows the pre-image in its registry"
        ));
        let forced = self.pass_until(here, &self.alice, "channel_force_progress").await?;
        say(&format!(
            "  in block {forced}, after the leg's expiry, the arbiter gives Alice her coins; the channel stays open"
        ));
        let quotes = vec![self.quote];
        self.bob = self.chains.start(DevAccount::Bob, self.bob.stores.clone(), quotes).await?;
        (_, self.wire) = self.alice.connect(&self.bob).await?;
        for party in [&self.alice, &self.bob] {
            let outcome = party.ended(&id).await?;
            ensure!(outcome.source_moved && outcome.target_moved, "both legs should have moved: {outcome:?}");
        }
        say("  Bob is back in time, finds the pre-image there, and has his coins on the source chain");
        self.balances().await
    }

    /// Alice proposes, and Bob is gone before he has heard that she claims his leg.
    async fn catch(&mut self) -> Result<SwapId> {
        let id = SwapId([2; 32]);
        let before = self.has().await?;
        let mut notices = self.alice.source.routing_notices();
        // Her pledge still reaches him: after that he locks his leg.
        self.wire.cut_after(1);
        self.propose(id).await?;
        hear("Alice", &mut notices, id, |event| event == SwapEvent::Revealed).await?;
        self.bob.target.clone().stop().await;
        self.bob.source.clone().stop().await;
        self.moved = self.moved.saturating_add(1);
        let has = self.has().await?;
        let staked = self.quote.premium_of(self.gets()?).context("a premium")?;
        let on_their_way = [before[0].saturating_sub(PAYS), before[1].saturating_sub(staked)];
        ensure!(has == on_their_way, "only the source leg and the premium should be on their way: {has:?}");
        say("  Bob is gone: what Alice has said last on the target chain's channel has not reached him");
        Ok(id)
    }

    /// Blocks pass on a chain, each once the party's node has done what it does about the one before, until it has had this called.
    async fn pass_until(&self, world: &World, party: &Party, what: &str) -> Result<u32> {
        let before = world.recorder.entries().len();
        for _ in 0..MOST_BLOCKS {
            world.recorder.quiet().await;
            let entries = world.recorder.entries();
            let called =
                entries.iter().skip(before).find(|entry| entry.what == what && entry.signer == party.account.id());
            if let Some(receipt) = called.and_then(|entry| entry.receipt.as_ref()) {
                return Ok(receipt.block.number);
            }
            let head = world.chain.produce_blocks(1).await?.number;
            until("a block to be seen", async || {
                let report = party.target.registry().report();
                let is_done = report.waiting == 0 && report.under_way == 0 && report.finalised >= head;
                Ok(is_done.then_some(()))
            })
            .await?;
        }
        bail!("{:?} did not have {what} called within {MOST_BLOCKS} blocks", party.account)
    }

    /// Alice swaps, has her coins on the target chain, and closes the source channel on a state in which she has not paid for them.
    async fn initiator_cheats(&mut self) -> Result<[Amount; 2]> {
        say("\nAlice keeps the state of the source channel, and swaps once more");
        let old = self.channels[0].evidence().await?.context("there is a state")?;
        let id = SwapId([3; 32]);
        self.propose(id).await?;
        for party in [&self.alice, &self.bob] {
            let outcome = party.ended(&id).await?;
            ensure!(outcome.source_moved && outcome.target_moved, "both legs should have moved: {outcome:?}");
        }
        self.moved = self.moved.saturating_add(1);
        self.balances().await?;
        say("Alice closes the source channel on the state that she kept, in which her leg is still hers");
        let mut events = self.bob.source.events();
        let call = Call::ChannelCloseSolo(old);
        let _done = self.chains.source.arbiter.call(&DevAccount::Alice.signer(), &call, 0).await?;
        let slashed = |event: &Event| match event {
            Event::Slashed { round, .. } => Some(*round),
            _ => None,
        };
        let round = tokio::time::timeout(PATIENCE, wait_for(&mut events, slashed)).await??;
        say(&format!(
            "Bob's node has answered by itself with round {round}; the lock period passes: {LOCK_PERIOD} blocks"
        ));
        let _head = self.chains.source.chain.produce_blocks(LOCK_PERIOD).await?;
        let closed = tokio::time::timeout(PATIENCE, self.channels[0].closed()).await??;
        let CloseReason::Settled { balances } = closed else { bail!("not settled: {closed:?}") };
        say(&format!(
            "settled: Alice {}, Bob {}, the penalty of {} units included",
            short(balances.initiator),
            short(balances.responder),
            short(PENALTY)
        ));
        Ok([balances.initiator, balances.responder])
    }

    /// The other channel is closed in agreement, and every coin of both chains is counted.
    async fn end(self, settled: [Amount; 2], books: [Books; 2]) -> Result<()> {
        say("\nAlice and Bob close the target channel in agreement");
        let CloseReason::Mutual { balances } = self.channels[1].close(0).await? else {
            bail!("not closed in agreement")
        };
        let moved = Amount::from(self.moved);
        let (paid, got) = (PAYS.saturating_mul(moved), self.gets()?.saturating_mul(moved));
        let kept = SHARE.checked_sub(paid.saturating_add(PENALTY)).context("Alice keeps something")?;
        ensure!(settled[0] == kept, "Alice should have been paid {kept} on the source chain, was paid {}", settled[0]);
        let due = SHARE.saturating_add(got);
        ensure!(
            balances.initiator == due,
            "Alice should have been paid {due} on the target chain, was paid {}",
            balances.initiator
        );
        let [source_books, target_books] = books;
        let gain = |has: Amount| anyhow::Ok(signed(has)?.saturating_sub(signed(SHARE)?));
        let accounts = [DevAccount::Alice.id(), DevAccount::Bob.id()];
        println!("\nThe source chain");
        let gains = [(accounts[0], gain(settled[0])?), (accounts[1], gain(settled[1])?)];
        source_books.close(&self.chains.source, &gains).await?;
        println!("\nThe target chain");
        let gains = [(accounts[0], gain(balances.initiator)?), (accounts[1], gain(balances.responder)?)];
        target_books.close(&self.chains.target, &gains).await
    }
}
