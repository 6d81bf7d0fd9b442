//! What is measured.

use crate::{
    nodes::{Nodes, Storage},
    report::{Measured, Report},
};
use channel::{Event, Payment};
use futures::{StreamExt, future::join_all, stream};
use sdk::node::{ChannelHandle, EventStream, Notification, Processors};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// Rounds of a scenario with one payment in flight, over loopback.
const ONE_BY_ONE: u64 = 3_000;
/// Payments of the batched scenario, how many are asked for at once, and how often that before the first are answered.
const BATCHED: u64 = 1_000_000;
const AT_ONCE: usize = 16_384;
const UNANSWERED: usize = 3;
/// What the slow wire adds to a round trip.
const ROUND_TRIP: Duration = Duration::from_millis(25);

pub(crate) async fn run(storage: Storage, wanted: &impl Fn(&str) -> bool, report: &mut Report) {
    for (round_trip, wire) in [(Duration::ZERO, ""), (ROUND_TRIP, ", 25 ms")] {
        let count = if round_trip.is_zero() { ONE_BY_ONE } else { 100 };
        if wanted("one in flight") {
            report.add(one_in_flight(storage, round_trip, count, wire).await);
            if storage == Storage::Durable {
                report.add(one_in_flight(Storage::DurableOnceAgreed, round_trip, count, wire).await);
                match Processors::stay_awake() {
                    Ok(_they_may) => report.add(one_in_flight(Storage::DurableAwake, round_trip, count, wire).await),
                    Err(error) => println!("{error}"),
                }
            }
        }
        if wanted("both sides") {
            let nodes = Nodes::start(storage, round_trip).await;
            let channels = nodes.open(1).await;
            let (ours, theirs) = &channels[0];
            let began = Instant::now();
            let (one, other) = tokio::join!(one_by_one(ours, count / 2), one_by_one(theirs, count / 2));
            let latencies = [one.1, other.1].concat();
            report.add(rounds(format!("both sides, one in flight each{wire}"), storage, began.elapsed(), latencies));
        }
        if wanted("batched") {
            let nodes = Nodes::start(storage, round_trip).await;
            let channels = nodes.open(1).await;
            report.add(batched(format!("batched{wire}"), storage, &nodes, &channels[0].0).await);
        }
    }
    for count in [1, 100] {
        if wanted("side by side") {
            let nodes = Nodes::start(storage, Duration::ZERO).await;
            let channels = nodes.open(count).await;
            report.add(side_by_side(&channels, ONE_BY_ONE * 2 / count as u64, storage).await);
        }
    }
}

/// One payment after the other in one channel.
async fn one_in_flight(storage: Storage, round_trip: Duration, count: u64, wire: &str) -> Measured {
    let nodes = Nodes::start(storage, round_trip).await;
    let channels = nodes.open(1).await;
    let (elapsed, latencies) = one_by_one(&channels[0].0, count).await;
    rounds(format!("one in flight{wire}"), storage, elapsed, latencies)
}

/// So many payments over each of these channels, which share a connection, with one in flight on each.
pub(crate) async fn side_by_side(channels: &[(ChannelHandle, ChannelHandle)], each: u64, storage: Storage) -> Measured {
    let scenario = format!("{} channels side by side, one in flight each", channels.len());
    let began = Instant::now();
    let all = join_all(channels.iter().map(|(ours, _)| one_by_one(ours, each))).await;
    let elapsed = began.elapsed();
    rounds(scenario, storage, elapsed, all.into_iter().flat_map(|(_, latencies)| latencies).collect())
}

/// Each payment was a round of its own.
fn rounds(scenario: String, storage: Storage, elapsed: Duration, latencies: Vec<Duration>) -> Measured {
    let count = latencies.len() as u64;
    Measured { scenario, storage, unit: "rounds", count, rounds: count, elapsed, latencies }
}

/// As an application would: in a task of the runtime.
async fn one_by_one(channel: &ChannelHandle, count: u64) -> (Duration, Vec<Duration>) {
    let channel = channel.clone();
    let paying = tokio::spawn(async move {
        let mut latencies = Vec::with_capacity(usize::try_from(count).unwrap());
        let began = Instant::now();
        for _ in 0..count {
            let asked = Instant::now();
            let _paid = channel.pay(1, Vec::new()).await.unwrap();
            latencies.push(asked.elapsed());
        }
        (began.elapsed(), latencies)
    });
    paying.await.unwrap()
}

/// A million payments, each with its number as reference; the clock stops when Bob's application has seen the last one.
async fn batched(scenario: String, storage: Storage, nodes: &Nodes, channel: &ChannelHandle) -> Measured {
    let events = nodes.bob.events();
    let receiving = tokio::spawn(receive(events));
    let began = Instant::now();
    let numbers: Vec<u64> = (0..BATCHED).collect();
    let chunks = numbers.chunks(AT_ONCE).map(|numbers| async {
        let payments = numbers.iter().map(|number| Payment { amount: 1, reference: number.to_be_bytes().to_vec() });
        let asked = Instant::now();
        let _paid = channel.pay_all(payments.collect()).await.unwrap();
        asked.elapsed()
    });
    let latencies = stream::iter(chunks).buffered(UNANSWERED).collect().await;
    let rounds = receiving.await.unwrap();
    Measured { scenario, storage, unit: "payments", count: BATCHED, rounds, elapsed: began.elapsed(), latencies }
}

/// Bob's application: sees every payment with its own amount and reference, in order. How many rounds they came in.
async fn receive(mut events: EventStream) -> u64 {
    let (mut next, mut rounds) = (0, BTreeSet::new());
    while next < BATCHED {
        let Notification::Event(Event::Received { payments, round }) = events.next().await.unwrap().event else {
            continue;
        };
        let _new = rounds.insert(round);
        for payment in payments {
            assert_eq!((payment.amount, payment.reference), (1, next.to_be_bytes().to_vec()));
            next += 1;
        }
    }
    rounds.len() as u64
}
