//! Payments: how many per second, and how long each takes.

use super::{
    page::{Page, Payments, Way},
    three::{Payer, Three},
};
use crate::nodes::Storage;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How many payments are under way at once.
const IN_FLIGHT: [usize; 2] = [1, 100];

/// How many are made.
const fn count(way: Way, in_flight: usize) -> u64 {
    match (way, in_flight) {
        (Way::Direct, 1) => 3_000,
        (Way::Hub, 1) => 2_000,
        (Way::Direct, _) => 30_000,
        (Way::Hub, _) => 20_000,
    }
}

/// `share`: what part of them is enough this time.
pub(crate) async fn run(share: u64, wanted: impl Fn(&str) -> bool, page: &mut Page) {
    for way in [Way::Direct, Way::Hub] {
        for storage in Storage::MEASURED {
            for in_flight in IN_FLIGHT {
                let name = format!("{}, {in_flight} in flight, {}", way.name(), storage.name());
                if !wanted(&name) {
                    continue;
                }
                let three = Three::start(storage, way == Way::Hub).await;
                let (count, used) = (count(way, in_flight) / share, processor_time());
                let (elapsed, latencies) = pay(&three, count, in_flight).await;
                let processor = processor_time() - used;
                page.add(Payments { way, in_flight, storage, elapsed, processor, latencies });
            }
        }
    }
}

/// As an application would: in tasks of the runtime.
async fn pay(three: &Three, count: u64, in_flight: usize) -> (Duration, Vec<Duration>) {
    let (payer, next) = (Arc::new(Payer::of(three)), Arc::new(AtomicU64::new(0)));
    // The first one fetches and finds out what the others then have.
    payer.pays(u64::MAX).await;
    let began = Instant::now();
    let tasks: Vec<_> = (0..in_flight)
        .map(|_| {
            let (payer, next) = (Arc::clone(&payer), Arc::clone(&next));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return latencies;
                    }
                    let asked = Instant::now();
                    payer.pays(number).await;
                    latencies.push(asked.elapsed());
                }
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    (began.elapsed(), latencies)
}

/// What this process has used of the processors: all its nodes, and whoever measures.
pub(crate) fn processor_time() -> Duration {
    /// What the system counts in, whatever it counts by.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name, in brackets, may hold spaces; user and system time are the 14th and 15th field.
    let (_name, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
}
