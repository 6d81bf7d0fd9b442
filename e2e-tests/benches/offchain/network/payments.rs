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
pub(crate) async fn run(share: u64, page: &mut Page) {
    for way in [Way::Direct, Way::Hub] {
        for storage in Storage::MEASURED {
            for in_flight in IN_FLIGHT {
                let three = Three::start(storage, way == Way::Hub).await;
                let (elapsed, latencies) = pay(&three, count(way, in_flight) / share, in_flight).await;
                page.add(Payments { way, in_flight, storage, elapsed, latencies });
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
