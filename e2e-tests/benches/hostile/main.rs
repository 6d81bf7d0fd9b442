//! One honest stream of payments beside thirty hostile peers: `just hostile`.
//!
//! ```text
//!   this process: chain, Alice ---- payments, one in flight ----> Bob: a process of his own
//!                                                                 ^ ^ ^
//!   thirty processes, niced: one kind of hostility each ----------'-'-'     or thirty that only compute
//! ```
//!
//! Pairs of short phases that follow one another, beside the hostile peers and beside as many processes that only compute, in alternating order: what changes on
//! the machine meanwhile changes both. Then old closes beside the hostile peers, each answered by a Bob whose store is slow: with `strace`, which delays his
//! syncs. Results are written to `docs/benchmarks/hostile.md`, with the node's peak memory and what it counted (R6.9c). `just hostile pairs` measures half of the pairs
//! and `just hostile answers` the answers alone; neither writes anything.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a benchmark fails by panicking"
)]

mod answers;
mod peers;
mod report;

use e2e_tests::{Endpoint, RemoteChain, UNIT, World, identity, signer};
use protocol::AccountId;
use report::{Phase, Report};
use scale::Encode;
use sdk::{
    chain::Arbiter,
    keys::{Identity, PeerAddress},
    node::{Ack, ChannelHandle, Node, NodeConfig, OpenChannel, Storage},
    store::{Durability, StoreHandle},
    transport::{ConnectionTimeouts, dial},
};
use std::{
    env,
    io::Read,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    runtime::Runtime,
};

/// How many hostile peers there are.
const HOSTILE: usize = 30;
/// How many pairs of phases there are, one of them hostile, and how long each phase is measured.
const PAIRS: usize = 12;
const PHASE: Duration = Duration::from_secs(2);
/// How many that have never been there connect in each.
const NEWCOMERS: usize = 5;
/// How often nothing is beside the payments.
const ALONE: usize = 2;
/// How long those beside have to begin before anything is measured, and to be gone.
const BEGINNING: Duration = Duration::from_millis(1_000);
const END: Duration = Duration::from_millis(500);

/// What this program plays where it was started by itself.
const PART: &str = "HOSTILE_PART";
const CHAIN: &str = "HOSTILE_CHAIN";
const ARBITER: &str = "HOSTILE_ARBITER";
/// Where Bob keeps his channels; in memory where it is not set.
const STORE: &str = "HOSTILE_STORE";

fn main() {
    match env::var(PART).as_deref() {
        Ok("node") => Runtime::new().unwrap().block_on(node()),
        Ok("compute") => compute(),
        Ok(kind) => Runtime::new().unwrap().block_on(peers::play(kind)),
        Err(_none) => Runtime::new().unwrap().block_on(measure()),
    }
}

/// Bob: serves everybody until his input ends, then says what he has counted.
async fn node() {
    let chain = Arc::new(RemoteChain::at(PathBuf::from(env::var_os(CHAIN).unwrap())));
    let address: [u8; 32] =
        hex::decode(env::var(ARBITER).unwrap().trim_start_matches("0x")).unwrap().try_into().unwrap();
    let arbiter = Arc::new(Arbiter::attach(chain, AccountId(address), None).await.unwrap());
    let storage = env::var_os(STORE).map_or(Storage::DangerInMemory, |path| {
        Storage::Disk(StoreHandle::open(&PathBuf::from(path), Durability::Immediate).unwrap())
    });
    let mut config = NodeConfig::new(identity("bob"), Arc::new(signer("bob")), arbiter, storage);
    // Nobody here takes events: after 65,536 payments that are not taken nothing more would be agreed.
    config.ack = Ack::OnDelivery;
    config.listen = Some("127.0.0.1:0".into());
    // Something to ask for, as large as an app may be expected to be.
    let code = config.apps.add(&e2e_tests::app_code("exchange")).unwrap();
    let (node, mut events) = Node::start_with_events(config).await.unwrap();
    let _reading = tokio::spawn(async move { while events.next().await.is_ok() {} });
    println!("code {code}");
    println!("listens {}", node.address().unwrap());
    let told = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()).unwrap());
    let _bytes = told.await.unwrap();
    for (cause, count) in node.counters().iter().filter(|(_, count)| *count > 0) {
        println!("counted {cause} {count}");
    }
}

/// What any program costs the others that does not talk to anybody.
fn compute() {
    let mut number = 1_u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

/// Bob's process, from outside.
struct Bob {
    child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    address: PeerAddress,
    code: String,
    /// The arbiter and the hash of its code, encoded.
    arbiter: String,
}

impl Bob {
    /// His channels are in memory.
    async fn start(world: &World, endpoint: &Endpoint) -> Self {
        Self::spawn(Command::new(env::current_exe().unwrap()), world, endpoint).await
    }

    /// His channels are in a store whose syncs take longer.
    async fn start_on_a_slow_disk(world: &World, endpoint: &Endpoint, store: &str) -> Self {
        let delay = format!("inject=fdatasync,fsync,pwritev2:delay_exit={}", answers::SYNC_DELAY.as_micros());
        let mut command = Command::new("strace");
        let _command = command
            .args([
                "-f",
                "-qq",
                "--seccomp-bpf",
                "-o",
                "/dev/null",
                "-e",
                "trace=fdatasync,fsync,pwritev2",
                "-e",
                &delay,
            ])
            .arg(env::current_exe().unwrap())
            .env(STORE, world.store_of(store));
        Self::spawn(command, world, endpoint).await
    }

    async fn spawn(mut command: Command, world: &World, endpoint: &Endpoint) -> Self {
        let mut child = command
            .env(PART, "node")
            .env(CHAIN, endpoint.path())
            .env(ARBITER, world.arbiter.info().domain.arbiter.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut code = String::new();
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if let Some(told) = line.strip_prefix("code ") {
                told.clone_into(&mut code);
            } else if let Some(address) = line.strip_prefix("listens ") {
                let info = world.arbiter.info();
                let arbiter = hex::encode((info.domain, info.code_hash).encode());
                return Self { child, lines, address: address.parse().unwrap(), code, arbiter };
            }
        }
    }

    /// The most memory that he has had so far, in bytes.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
    }

    /// Ends him, and tells what he has counted.
    async fn counted(mut self) -> Vec<(String, u64)> {
        drop(self.child.stdin.take());
        let mut counted = Vec::new();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            if let Some((cause, count)) = line.strip_prefix("counted ").and_then(|words| words.split_once(' ')) {
                counted.push((cause.to_owned(), count.parse().unwrap()));
            }
        }
        counted
    }
}

/// Thirty processes, niced, that end with this value.
struct Crowd(#[allow(dead_code, reason = "held until the phase is over")] Vec<Child>);

impl Crowd {
    fn start(parts: impl Iterator<Item = &'static str>, bob: &Bob) -> Self {
        let start = |(number, part): (usize, &str)| {
            Command::new("nice")
                .args(["-n", "19"])
                .arg(env::current_exe().unwrap())
                .env(PART, part)
                .env(peers::TO, bob.address.to_string())
                .env(peers::NUMBER, number.to_string())
                .env(peers::CODE, &bob.code)
                .env(peers::ARBITER_CODE, &bob.arbiter)
                .stdin(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap()
        };
        Self(parts.take(HOSTILE).enumerate().map(start).collect())
    }
}

async fn measure() {
    let world = World::new().await;
    let endpoint = e2e_tests::serve(Arc::new(world.chain.clone()), world.store_of("chain.socket"));
    let asked = |what: &str| env::args().skip(1).any(|argument| argument == what);
    if asked("answers") {
        let _printed = answers::measure(&world, &endpoint).await;
        return;
    }
    let pairs = if asked("pairs") { PAIRS / 2 } else { PAIRS };
    let bob = Bob::start(&world, &endpoint).await;
    let alice = Node::start(world.config("alice")).await.unwrap();
    let _done = alice.vault_deposit(1_000 * UNIT).await.unwrap();
    let _peer = alice.connect(&bob.address).await.unwrap();
    let terms = OpenChannel {
        our_share: 100 * UNIT,
        peer_share: 0,
        push: 10 * UNIT,
        reserve: 0,
        lock_period: 100,
        penalty: 0,
        max_forced: 3,
        validity: 1_000,
    };
    let channel = alice.open_channel(identity("bob").public(), terms).await.unwrap();
    let _warm = pay(&channel, Duration::from_secs(2)).await;
    let mut report = Report::new(bob.peak());
    for _ in 0..ALONE {
        report.alone(pay(&channel, PHASE).await);
    }
    for pair in 0..pairs {
        let order = [Phase::Hostile, Phase::Computing];
        let order = if pair.is_multiple_of(2) { order } else { [order[1], order[0]] };
        for phase in order {
            let crowd = match phase {
                Phase::Computing => Crowd::start(std::iter::repeat("compute"), &bob),
                _ => Crowd::start(peers::KINDS.into_iter().cycle(), &bob),
            };
            tokio::time::sleep(BEGINNING).await;
            report.add(phase, pay(&channel, PHASE).await);
            report.newcomers(phase, newcomers(&bob.address).await);
            drop(crowd);
            tokio::time::sleep(END).await;
        }
    }
    report.peak = bob.peak();
    report.counted = bob.counted().await;
    if asked("pairs") {
        return println!("{}", report.page());
    }
    if answers::can_delay_syncs() {
        report.answers = answers::measure(&world, &endpoint).await;
    }
    report.write();
}

/// How long a session takes for somebody who has never been there, several times one after the other; none where it was not to be had.
async fn newcomers(to: &PeerAddress) -> Vec<Option<Duration>> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (mut took, to) = (Vec::new(), to.clone());
    let dialling = tokio::spawn(async move {
        for _ in 0..NEWCOMERS {
            let mut seed = [55; 32];
            seed[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            let began = Instant::now();
            let session = dial(&Identity::from_seed(&seed), &to, ConnectionTimeouts::default()).await;
            took.push(session.is_ok().then(|| began.elapsed()));
        }
        took
    });
    dialling.await.unwrap()
}

/// Pays with one payment in flight for so long: how long each took.
async fn pay(channel: &ChannelHandle, long: Duration) -> Vec<Duration> {
    let channel = channel.clone();
    let paying = tokio::spawn(async move {
        let (mut latencies, began) = (Vec::new(), Instant::now());
        while began.elapsed() < long {
            let asked = Instant::now();
            let _paid = channel.pay(1, Vec::new()).await.unwrap();
            latencies.push(asked.elapsed());
        }
        latencies
    });
    paying.await.unwrap()
}
