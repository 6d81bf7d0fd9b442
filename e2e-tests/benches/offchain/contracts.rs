//! Calls of a contract: the counter, whose state is 16 bytes.

use crate::{
    nodes::{Nodes, Storage},
    report::{Measured, Report},
};
use channel::{Change, Creation, Outcome};
use counter::Counter;
use e2e_tests::{App, World};
use futures::{StreamExt, stream};
use protocol::{
    Pair,
    contracts::{Code, ContractId, NativeApps},
};
use scale::Encode;
use sdk::{
    apps::{AppTerms, Interpreter, Library, Registry},
    node::ChannelHandle,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Calls with one in flight.
const ONE_BY_ONE: u64 = 2_000;
/// Calls of the batched scenario, how many are asked for at once, and how often that before the first are answered.
const BATCHED: u64 = 100_000;
const AT_ONCE: u64 = 512;
const UNANSWERED: usize = 4;
/// How many contracts one round begins where many are needed.
const BEGUN_AT_ONCE: usize = 512;
/// How many contracts there are in all, where that is measured.
const AMONG: [usize; 4] = [1, 100, 10_000, 100_000];

/// How an app is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    Interpreted,
    Native,
}

impl Running {
    const fn name(self) -> &'static str {
        match self {
            Self::Interpreted => "interpreted",
            Self::Native => "native",
        }
    }

    async fn nodes(self, storage: Storage) -> (Nodes, App) {
        let world = World::new().await;
        let counter = world.deploy_app("counter").await;
        let mut native = NativeApps::new();
        if self == Self::Native {
            native.register::<Counter>(counter.code);
        }
        let library = Library::new(Interpreter::new(e2e_tests::LIMITS.call_weight)).with_native(native);
        let apps = Arc::new(Registry::new(library));
        let _code = apps.add(&counter.wasm).unwrap();
        let terms = AppTerms { deployed: counter.deployed, worthless_when_empty: false };
        apps.accept(&world.arbiter, &e2e_tests::account("hub"), counter.code, terms).await.unwrap();
        let change = |config: &mut sdk::node::NodeConfig| {
            config.apps = Arc::clone(&apps);
            config.channels.max_contracts = u32::MAX;
        };
        (Nodes::start_with(world, storage, Duration::ZERO, change).await, counter)
    }
}

pub(crate) async fn run(report: &mut Report) {
    for running in [Running::Interpreted, Running::Native] {
        for storage in Storage::MEASURED {
            let (nodes, app) = running.nodes(storage).await;
            let channels = nodes.open(1).await;
            let ours = &channels[0].0;
            let contract = begin(ours, &app, 1).await;
            report.add(one_by_one(ours, contract, format!("calls, {}", running.name()), storage).await);
            report.add(batched(ours, contract, format!("calls batched, {}", running.name()), storage).await);
        }
    }
    for storage in Storage::MEASURED {
        let (nodes, app) = Running::Native.nodes(storage).await;
        let channels = nodes.open(1).await;
        let ours = &channels[0].0;
        let mut before = 0;
        for among in AMONG {
            let contract = begin(ours, &app, among - before).await;
            before = among;
            let scenario = format!("calls, native, one of {among} contracts");
            report.add(one_by_one(ours, contract, scenario, storage).await);
        }
    }
}

/// Two nodes that take part in counters, as native code.
pub(crate) async fn nodes_with_counters(storage: Storage) -> (Nodes, App) {
    Running::Native.nodes(storage).await
}

/// Begins so many counters, and gives the last one.
pub(crate) async fn begin(channel: &ChannelHandle, app: &App, count: usize) -> ContractId {
    let (code, coins, input) = (Code::Contract(app.code), Pair::new(0, 0), u64::MAX.encode());
    let creation = Change::CreateContract(Creation { code, coins, input });
    let mut last = None;
    let mut left = count;
    while left > 0 {
        let now = left.min(BEGUN_AT_ONCE);
        let made = channel.make(vec![creation.clone(); now]).await.unwrap();
        if let Some(Outcome::Created { contract, .. }) = made.outcomes.last() {
            last = Some(*contract);
        }
        left -= now;
    }
    last.unwrap()
}

/// Each call is a round of its own.
async fn one_by_one(channel: &ChannelHandle, contract: ContractId, scenario: String, storage: Storage) -> Measured {
    let channel = channel.clone();
    // As an application would: in a task of the runtime.
    let calling = tokio::spawn(async move {
        let mut latencies = Vec::new();
        let began = Instant::now();
        for _ in 0..ONE_BY_ONE {
            let asked = Instant::now();
            let _called = channel.call_contract(contract, 0, 1_u64.encode()).await.unwrap();
            latencies.push(asked.elapsed());
        }
        (began.elapsed(), latencies)
    });
    let (elapsed, latencies) = calling.await.unwrap();
    let (count, scenario) = (ONE_BY_ONE, format!("{scenario}, one in flight"));
    Measured { scenario, storage, unit: "calls", count, rounds: count, elapsed, latencies }
}

/// Many calls in a round. Every answer is looked at.
async fn batched(channel: &ChannelHandle, contract: ContractId, scenario: String, storage: Storage) -> Measured {
    let call = Change::CallContract { contract, value: 0, input: 1_u64.encode() };
    let began = Instant::now();
    let chunks = (0..BATCHED / AT_ONCE).map(|_| async {
        let asked = Instant::now();
        let made = channel.make(vec![call.clone(); usize::try_from(AT_ONCE).unwrap()]).await.unwrap();
        (made, asked.elapsed())
    });
    let done: Vec<_> = stream::iter(chunks).buffered(UNANSWERED).collect().await;
    let elapsed = began.elapsed();
    let mut counts = done.iter().flat_map(|(made, _)| &made.outcomes).map(|outcome| match outcome {
        Outcome::Called { output, .. } => protocol::decode_exact::<u64>(output).unwrap(),
        other => panic!("{other:?}"),
    });
    let start = counts.next().unwrap();
    assert!(counts.zip(start + 1..).all(|(count, expected)| count == expected), "each call counted once, in order");
    let mut rounds: Vec<_> = done.iter().map(|(made, _)| made.round).collect();
    rounds.dedup();
    let count = BATCHED / AT_ONCE * AT_ONCE;
    let latencies = done.iter().map(|(_, latency)| *latency).collect();
    Measured { scenario, storage, unit: "calls", count, rounds: rounds.len() as u64, elapsed, latencies }
}
