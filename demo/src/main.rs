//! `channel-demo`: a channel's whole life, told as it happens: deploy, fund, open, pay, close; then an attempt to cheat, and what comes of it. With `--app`,
//! the life of a contract inside a channel instead; with `--hub`, payments across two channels; with `--swap`, swaps between two chains.

mod apps;
mod hub;
mod report;
mod swap;
mod wire;
mod world;

use anyhow::{Context, Result, bail, ensure};
use channel::{CloseReason, Event, Notice};
use clap::{Args, Parser, Subcommand};
use devchain::DevAccount;
use protocol::{Amount, Party, call::Call};
use report::{Books, Speed, UNIT, signed, units};
use sdk::{
    node::{ChannelHandle, EventStream, Node, Notification, OpenChannel},
    store::Durability,
};
use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};
use world::World;

/// What each node puts into its vault.
const VAULT: Amount = 500 * UNIT;
/// What each node puts into a channel.
const SHARE: Amount = 100 * UNIT;
/// Agreed at opening: what closing on an old state costs.
const PENALTY: Amount = 5 * UNIT;
/// Agreed at opening: blocks a solo close waits for an answer.
const LOCK_PERIOD: u32 = 100;
/// How often something is looked for that nobody announces.
const LOOK: Duration = Duration::from_millis(5);
/// One payment.
const PAYMENT: Amount = UNIT / 1_000;

/// A channel's whole life on an embedded chain: two nodes, real sockets, the real contract.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    process: Option<Process>,
    #[command(flatten)]
    story: Options,
}

/// What the demo starts besides itself.
#[derive(Subcommand)]
enum Process {
    /// The hub of `--hub`: a node in a process of its own, so that it can be killed.
    #[command(name = hub::PROCESS, hide = true)]
    Hub(hub::Options),
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_unset| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Cli { process, story } = Cli::parse();
    let done = match process {
        Some(Process::Hub(options)) => hub::be(&options),
        None => runtime().and_then(|runtime| runtime.block_on(play(&story))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Runtime::new().context("cannot start the runtime")
}

/// Settings of the story.
#[derive(Args)]
struct Options {
    /// The arbiter's Wasm, as `cargo xtask contract` builds it.
    #[arg(long, default_value = "target/contract/contract.wasm")]
    contract: PathBuf,
    /// Payments: each way, or with --hub in all.
    #[arg(long, default_value_t = 1_000)]
    payments: u32,
    /// Do not wait for the disk with each round. Faster, and a crash may then cost coins: for comparison only.
    #[arg(long)]
    not_durable: bool,
    /// Play the story of an app instead: a contract inside a channel, a peer that stops answering, forced steps, and its return.
    #[arg(long, value_enum)]
    app: Option<apps::Which>,
    /// Play the story of a hub instead: payments across it, its death with payments under way, peers that vanish, its attempts to cheat.
    #[arg(long, conflicts_with = "app")]
    hub: bool,
    /// Play the story of swaps between two chains instead: one that goes well, one whose responder vanishes, one whose initiator cheats.
    #[arg(long, conflicts_with_all = ["app", "hub"])]
    swap: bool,
    /// Run the app as native code off chain, instead of interpreting its Wasm.
    #[arg(long, requires = "app")]
    native: bool,
    /// Calls of the app in its bursts, about.
    #[arg(long, default_value_t = 500, requires = "app")]
    calls: u32,
}

impl Options {
    const fn durability(&self) -> Durability {
        if self.not_durable { Durability::DangerNone } else { Durability::Immediate }
    }
}

/// The two of every story. Alice opens the channel, so she is its initiator.
struct Couple {
    alice: Node,
    bob: Node,
}

async fn play(options: &Options) -> Result<()> {
    if let Some(which) = options.app {
        return apps::play(which, options).await;
    }
    if options.hub {
        return hub::play(options).await;
    }
    if options.swap {
        return swap::play(options).await;
    }
    let began = Instant::now();
    let world = build(options).await?;
    let books = Books::open(&world).await?;
    let start = async |account| Ok::<_, anyhow::Error>(world.start(account, world.store(account)?, None).await?.0);
    let couple = Couple { alice: start(DevAccount::Alice).await?, bob: start(DevAccount::Bob).await? };
    let bob = meet(&couple).await?;
    let (first, speeds) = happy_life(&couple, bob, options).await?;
    let second = cheated(&world, &couple, bob).await?;
    let gains = [
        (DevAccount::Alice.id(), first.0.saturating_add(second.0)),
        (DevAccount::Bob.id(), first.1.saturating_add(second.1)),
    ];
    books.close(&world, &gains).await?;
    report::speeds(&speeds);
    println!("\nEvery coin is accounted for. Wall time {:.1} s.", began.elapsed().as_secs_f64());
    Ok(())
}

/// An embedded chain with the arbiter on it.
async fn build(options: &Options) -> Result<World> {
    say("starting the embedded chain: the runtime of substrate-contracts-node 0.42");
    say(&format!("uploading and instantiating the arbiter, {}", options.contract.display()));
    let world = World::build(&options.contract, options.durability()).await?;
    let info = world.arbiter.info();
    say(&format!("arbiter at {}, code hash {}", info.addresses.write(&info.domain.arbiter), info.code_hash));
    Ok(world)
}

/// Fills both vaults, and connects the two. Gives Bob's identity.
async fn meet(Couple { alice, bob }: &Couple) -> Result<protocol::PublicKey> {
    say(&format!("funding two vaults with {} units each", VAULT / UNIT));
    let _done = alice.vault_deposit(VAULT).await?;
    let _done = bob.vault_deposit(VAULT).await?;
    let address = bob.address().context("Bob listens")?;
    say(&format!("Alice dials {address}"));
    Ok(alice.connect(&address).await?)
}

/// What a channel was worth to Alice and to Bob.
type Gains = (i128, i128);

/// Opens, pays both ways, closes in agreement.
async fn happy_life(couple: &Couple, bob: protocol::PublicKey, options: &Options) -> Result<(Gains, Vec<Speed>)> {
    say("opening a channel: both sign, one transaction locks both shares");
    let (alices, bobs) = open(couple, bob).await?;
    let durable = if options.not_durable { "not durable" } else { "each round durable on both sides" };
    let mut speeds = Vec::new();
    for (what, from, amount) in [("Alice pays Bob", &alices, PAYMENT), ("Bob pays Alice", &bobs, PAYMENT * 2)] {
        say(&format!("{what} {} times, one after the other, {durable}", options.payments));
        let began = Instant::now();
        for number in 1..=options.payments {
            let _paid = from.pay(amount, number.to_le_bytes()).await?;
            if number % 250 == 0 {
                say(&format!("  {number} paid"));
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        let what = "one after the other, one way";
        speeds.push(Speed { what, of: "payments", count: options.payments, seconds });
    }
    say(&format!("both pay {} times at once: what waits shares a round", options.payments));
    let began = Instant::now();
    let (a, b) = tokio::join!(pay_at_once(&alices, options.payments), pay_at_once(&bobs, options.payments));
    a.and(b)?;
    let seconds = began.elapsed().as_secs_f64();
    let count = options.payments.saturating_mul(2);
    speeds.push(Speed { what: "both ways at once, batched", of: "payments", count, seconds });

    let agreed = alices.balances().await?.context("the channel is open")?;
    let expected = SHARE.saturating_add(PAYMENT.saturating_mul(Amount::from(options.payments)));
    ensure!(agreed.ours == expected, "Alice should have {expected} in the channel, has {}", agreed.ours);
    say("closing in agreement");
    let CloseReason::Mutual { balances } = alices.close(0).await? else { bail!("not closed in agreement") };
    let _too = bobs.closed().await;
    Ok((gains(&balances)?, speeds))
}

/// Opens, pays, and then Bob closes alone on a state that is long outdated and better for him.
async fn cheated(world: &World, couple: &Couple, bob: protocol::PublicKey) -> Result<Gains> {
    say("opening a second channel");
    let (alices, bobs) = open(couple, bob).await?;
    let _paid = alices.pay(PAYMENT, "first").await?;
    let old = bobs.evidence().await?.context("there is a state")?;
    say("Bob keeps that state, and then pays Alice 40 units; Alice pays a little back");
    let _paid = bobs.pay(40 * UNIT, "what Bob regrets").await?;
    let _paid = alices.pay(PAYMENT, "change").await?;
    let due = alices.balances().await?.context("the channel is open")?;

    let mut events = couple.alice.events();
    say("Bob closes alone on the state he kept");
    let signer = DevAccount::Bob.signer();
    let _done = world.arbiter.call(&signer, &Call::ChannelCloseSolo(old), 0).await?;
    let round = slashed(&mut events).await?;
    say(&format!("Alice's node has answered by itself with round {round}"));
    say(&format!("the lock period passes: {LOCK_PERIOD} blocks"));
    let ends = (alices.closed(), bobs.closed());
    let _head = world.chain.produce_blocks(LOCK_PERIOD).await?;
    let (ended, _too) = tokio::join!(ends.0, ends.1);
    let CloseReason::Settled { balances } = ended? else { bail!("not settled") };
    let expected = due.ours.saturating_add(PENALTY);
    ensure!(
        balances[Party::Initiator] == expected,
        "Alice should be paid {} with the penalty, was paid {}",
        units(expected),
        units(balances[Party::Initiator])
    );
    say(&format!(
        "settled: Alice {}, Bob {}, the penalty included",
        units(balances.initiator),
        units(balances.responder)
    ));
    gains(&balances)
}

/// A channel with Alice's view and Bob's.
async fn open(Couple { alice, bob }: &Couple, identity: protocol::PublicKey) -> Result<(ChannelHandle, ChannelHandle)> {
    let mut opened = bob.events();
    let alices = alice.open_channel(identity, terms(SHARE, SHARE)).await?;
    wait_for(&mut opened, |event| matches!(event, Event::Opened { .. }).then_some(())).await?;
    let bobs = of(bob, alice, &alices).await?;
    Ok((alices, bobs))
}

/// What every channel here is opened with.
const fn terms(our_share: Amount, peer_share: Amount) -> OpenChannel {
    OpenChannel {
        our_share,
        peer_share,
        push: 0,
        reserve: 10 * UNIT,
        lock_period: LOCK_PERIOD,
        penalty: PENALTY,
        max_forced: 3,
        validity: 100,
    }
}

/// `node`'s view of the channel that `peer` holds as `handle`.
async fn of(node: &Node, peer: &Node, handle: &ChannelHandle) -> Result<ChannelHandle> {
    let channels = node.channels(peer.identity()).await?;
    channels.into_iter().find(|channel| channel.reference() == handle.reference()).context("both know the channel")
}

async fn slashed(events: &mut EventStream) -> Result<u64> {
    wait_for(events, |event| match event {
        Event::Slashed { round, .. } => Some(*round),
        _ => None,
    })
    .await
}

async fn wait_for<T>(events: &mut EventStream, what: impl Fn(&Event) -> Option<T>) -> Result<T> {
    wait_for_any(events, |told| what(told.event()?)).await
}

/// The same for what is told in passing.
async fn wait_for_notice<T>(events: &mut EventStream, what: impl Fn(&Notice) -> Option<T>) -> Result<T> {
    wait_for_any(events, |told| what(told.notice()?)).await
}

async fn wait_for_any<T>(events: &mut EventStream, what: impl Fn(&Notification) -> Option<T>) -> Result<T> {
    loop {
        if let Some(found) = what(&events.next().await?.event) {
            return Ok(found);
        }
    }
}

/// Makes `count` payments without waiting for one another.
async fn pay_at_once(from: &ChannelHandle, count: u32) -> Result<()> {
    let payments = (0..count).map(|_| from.pay(PAYMENT, Vec::new()));
    for paid in futures::future::join_all(payments).await {
        let _paid = paid?;
    }
    Ok(())
}

fn gains(balances: &protocol::Pair<Amount>) -> Result<Gains> {
    let share = signed(SHARE)?;
    let gain = |amount| anyhow::Ok(signed(amount)?.saturating_sub(share));
    Ok((gain(balances.initiator)?, gain(balances.responder)?))
}

/// Asks again and again until there is an answer.
async fn until_within<T>(patience: Duration, what: &str, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    while began.elapsed() < patience {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("waited {patience:?} in vain for {what}")
}

fn say(what: &str) {
    println!("{what}");
}
