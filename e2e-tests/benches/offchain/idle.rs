//! The memory that idle channels take: a node in a process of its own, restored from its store.

use crate::{
    nodes::{Nodes, Storage},
    report::Report,
    scenarios,
};
use e2e_tests::{RemoteChain, identity, signer};
use protocol::AccountId;
use sdk::{
    chain::Arbiter,
    node::{self, Ack, Node, NodeConfig},
    store::{Durability, StoreHandle},
};
use std::{
    env,
    io::Read,
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

/// With more channels than this, their payments side by side are measured here: opening so many takes a while.
const BUSY: usize = 100;
/// How many payments each of them makes then.
const PAYMENTS: u64 = 3;

const STORE: &str = "BENCH_STORE";
const CHAIN: &str = "BENCH_CHAIN";
const ARBITER: &str = "BENCH_ARBITER";
const CHANNELS: &str = "BENCH_CHANNELS";

pub(crate) fn is_child() -> bool {
    env::var_os(STORE).is_some()
}

/// Bob's process: connects all its channels, says how much memory it has, and goes.
pub(crate) async fn child() {
    let began = Instant::now();
    let chain = Arc::new(RemoteChain::at(PathBuf::from(env::var_os(CHAIN).unwrap())));
    let address: [u8; 32] =
        hex::decode(env::var(ARBITER).unwrap().trim_start_matches("0x")).unwrap().try_into().unwrap();
    let arbiter = Arc::new(Arbiter::attach(chain, AccountId(address), None).await.unwrap());
    let store = StoreHandle::open(&PathBuf::from(env::var_os(STORE).unwrap()), Durability::DangerNone).unwrap();
    let mut config = NodeConfig::new(identity("bob"), Arc::new(signer("bob")), arbiter, node::Storage::Disk(store));
    config.ack = Ack::OnDelivery;
    config.listen = Some("127.0.0.1:0".into());
    let node = Node::start(config).await.unwrap();
    println!("listens {}", node.address().unwrap());
    let count: usize = env::var(CHANNELS).unwrap().parse().unwrap();
    let channels = node.channels(identity("alice").public()).await.unwrap();
    assert_eq!(channels.len(), count);
    for channel in &channels {
        while channel.status().await.unwrap().state != channel::Stage::Open {
            tokio::task::yield_now().await;
        }
    }
    println!("resident {} {}", resident(), began.elapsed().as_millis());
    // Goes when it is told to: Alice may still be shaking hands.
    let _bytes = std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

pub(crate) async fn measure(channels: usize, report: &mut Report) {
    let nodes = Nodes::start(Storage::Quick, Duration::ZERO).await;
    let began = Instant::now();
    let opened = nodes.open(channels).await;
    println!("{} channels opened in {:.1?}", opened.len(), began.elapsed());
    if channels > BUSY {
        // While they are there: one payment over each at once, again and again.
        report.add(scenarios::side_by_side(&opened, PAYMENTS, Storage::Quick).await);
    }
    drop(opened);
    let Nodes { world, alice, bob } = nodes;
    bob.stop().await;
    drop(world.free_store_of("bob").await);
    let endpoint = e2e_tests::serve(Arc::new(world.chain.clone()), world.store_of("chain.socket"));
    let mut child = Command::new(env::current_exe().unwrap())
        .env(STORE, world.store_of("bob"))
        .env(CHAIN, endpoint.path())
        .env(ARBITER, world.arbiter.info().domain.arbiter.to_string())
        .env(CHANNELS, channels.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(address) = line.strip_prefix("listens ") {
            let _peer = alice.connect(&address.parse().unwrap()).await.unwrap();
        } else if let Some(figures) = line.strip_prefix("resident ") {
            let (resident, millis) = figures.split_once(' ').unwrap();
            report.add_idle(channels, resident.parse().unwrap(), Duration::from_millis(millis.parse().unwrap()));
            drop(child.stdin.take());
        }
    }
    assert!(child.wait().await.unwrap().success());
}
