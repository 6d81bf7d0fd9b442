//! Sequential payments over loopback against the bare cost of what they sign and verify, in one run.
//!
//! Each payment is a round: two signatures, two verifications, two messages, and, where durable, a commit on each side.
//! Run with `just bench`; it writes `docs/benchmarks/payments.md`.

use criterion::{BenchmarkId, Criterion, Throughput};
use devchain::{DevAccount, DevChain};
use protocol::{
    Amount, Hash,
    crypto::{Crypto, Native, SigningKey},
    signing::{Domain, StateBody, signed_bytes},
    terms::{CallWeight, Limits},
};
use sdk::{
    chain::{Arbiter, SharedChain},
    keys::Identity,
    node::{ChannelHandle, Node, NodeConfig, OpenChannel},
    store::{Durability, StoreHandle},
};
use std::{
    fmt::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

const UNIT: Amount = 1_000_000_000_000;
/// How many payments are made at once in the batched case.
const BATCH: usize = 10_000;

/// Where the nodes keep their channels.
#[derive(Clone, Copy)]
enum Keeping {
    Memory,
    NotDurable,
    Durable,
}

impl Keeping {
    const ALL: [Self; 3] = [Self::Memory, Self::NotDurable, Self::Durable];

    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "no store",
            Self::NotDurable => "store without fsync",
            Self::Durable => "every round durable",
        }
    }
}

struct Bench {
    channel: ChannelHandle,
    _nodes: [Node; 2],
    _stores: tempfile::TempDir,
}

impl Bench {
    async fn open(keeping: Keeping) -> Self {
        let chain: SharedChain = Arc::new(DevChain::new().expect("the chain starts"));
        let wasm = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/contract/contract.wasm");
        let code = std::fs::read(wasm).expect("the arbiter is built: cargo xtask contract");
        let limits = Limits {
            lock_period_min: 10,
            lock_period_max: 1_000,
            validity_max: 1_000,
            max_forced_max: 8,
            call_weight: CallWeight::STANDARD,
        };
        let deployer = DevAccount::Charlie.signer();
        let (arbiter, _) = Arbiter::deploy(chain, &deployer, code, limits, Vec::new()).await.expect("it deploys");
        let (arbiter, stores) = (Arc::new(arbiter), tempfile::tempdir().expect("a folder"));
        let mut nodes = Vec::new();
        for (seed, account) in [(1, DevAccount::Alice), (2, DevAccount::Bob)] {
            let identity = Identity::from_seed(&[seed; 32]);
            let mut config = NodeConfig::new(identity, Arc::new(account.signer()), Arc::clone(&arbiter));
            let path = stores.path().join(format!("{account:?}"));
            config.store = match keeping {
                Keeping::Memory => None,
                Keeping::NotDurable => Some(StoreHandle::open(&path, Durability::DangerNone).expect("a store")),
                Keeping::Durable => Some(StoreHandle::open(&path, Durability::Immediate).expect("a store")),
            };
            config.listen = Some("127.0.0.1:0".into());
            nodes.push(Node::start(config).await.expect("the node starts"));
        }
        let nodes: [Node; 2] = nodes.try_into().expect("two nodes");
        let [alice, bob] = &nodes;
        let _done = alice.vault_deposit(1_000 * UNIT).await.expect("funded");
        let peer = alice.connect(&bob.address().expect("Bob listens")).await.expect("connected");
        let open = OpenChannel {
            our_share: 1_000 * UNIT,
            peer_share: 0,
            push: 0,
            reserve: 0,
            lock_period: 100,
            penalty: 0,
            max_forced: 3,
            validity: 100,
        };
        let channel = alice.open_channel(peer, open).await.expect("opened");
        Self { channel, _nodes: nodes, _stores: stores }
    }

    async fn pay(&self, count: u64) -> Duration {
        let began = Instant::now();
        for _ in 0..count {
            let _paid = self.channel.pay(1, Vec::new()).await.expect("paid");
        }
        began.elapsed()
    }

    async fn pay_at_once(&self) {
        let payments = (0..BATCH).map(|_| self.channel.pay(1, Vec::new()));
        for paid in futures::future::join_all(payments).await {
            let _paid = paid.expect("paid");
        }
    }
}

/// What any system with this scheme has to do for a round: both sign, each verifies the other.
fn signatures(criterion: &mut Criterion) {
    let keys = [SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32])];
    let domain = Domain { genesis: Hash([1; 32]), arbiter: protocol::AccountId([2; 32]) };
    let channel = protocol::ChannelId([3; 32]);
    let mut round = 0;
    let _group = criterion.benchmark_group("round").bench_function("two signatures and two verifications", |bencher| {
        bencher.iter(|| {
            round += 1;
            let message = signed_bytes(&domain, &channel, &StateBody { round, state_hash: Hash([4; 32]) });
            keys.each_ref().map(|key| {
                let signature = key.sign(&message);
                assert!(Native.verify(&key.public(), &message, &signature));
            })
        });
    });
}

fn payments(criterion: &mut Criterion, runtime: &Runtime) {
    for keeping in Keeping::ALL {
        let bench = runtime.block_on(Bench::open(keeping));
        let mut group = criterion.benchmark_group("payment");
        let _group = group.bench_function(BenchmarkId::from_parameter(keeping.name()), |bencher| {
            bencher.iter_custom(|count| runtime.block_on(bench.pay(count)));
        });
        group.finish();
        let mut group = criterion.benchmark_group("batch");
        let _group = group.throughput(Throughput::Elements(BATCH as u64)).sample_size(10);
        let _group = group.bench_function(BenchmarkId::from_parameter(keeping.name()), |bencher| {
            bencher.iter(|| runtime.block_on(bench.pay_at_once()));
        });
        group.finish();
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = Runtime::new().expect("a runtime");
    signatures(&mut criterion);
    payments(&mut criterion, &runtime);
    criterion.final_summary();
    report();
}

/// Writes the table, where a full run has left all figures.
fn report() {
    let Some(bare) = median("round", "two signatures and two verifications") else { return };
    let mut text = String::from(
        "# Payments over loopback\n\nWritten by `just bench`: medians of one run on one machine, in the profile that tests use \
         (the SDK at opt-level 2, the curve at 3). Both nodes share the machine. A payment is a round of its own unless batched; the limit is the bare \
         cost of its two signatures and two verifications, one after the other, measured in the same run.\n\n\
         | | µs each | per second | share of the limit |\n|---|---|---|---|\n",
    );
    let mut row = |what: &str, nanos: f64| {
        let _infallible =
            writeln!(text, "| {what} | {:.2} | {:.0} | {:.0} % |", nanos / 1e3, 1e9 / nanos, 100.0 * bare / nanos);
    };
    row("the limit: two signatures, two verifications", bare);
    for keeping in Keeping::ALL {
        let Some(nanos) = median("payment", keeping.name()) else { return };
        row(&format!("one after the other, {}", keeping.name()), nanos);
    }
    for keeping in Keeping::ALL {
        let Some(nanos) = median("batch", keeping.name()) else { return };
        row(&format!("{BATCH} at once, {}", keeping.name()), nanos / BATCH as f64);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks/payments.md");
    std::fs::write(path, text).expect("the table is written");
}

/// The median that this run measured, in nanoseconds.
fn median(group: &str, id: &str) -> Option<f64> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), std::path::PathBuf::from);
    let file = target.join("criterion").join(group).join(id).join("new/estimates.json");
    let estimates: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    estimates.get("median")?.get("point_estimate")?.as_f64()
}
