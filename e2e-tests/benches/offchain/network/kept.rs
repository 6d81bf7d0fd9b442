//! What a party keeps of a channel.

use super::{
    open,
    page::{Kept, Page, Rows},
    three::{PAYER, Payer, Three, key},
};
use crate::{
    contracts,
    nodes::{Nodes, Storage},
};
use channel::Payment;
use std::time::Duration;

/// Payments in all, and in one round's batch.
const PAYMENTS: u64 = 1_000_000;
const AT_ONCE: u64 = 16_384;
/// Contracts.
const CONTRACTS: u64 = 1_000;
/// Transfers that wait, and payments across channels that have ended.
const TRANSFERS: u64 = 1_000;

/// `share`: what part of them is enough this time.
pub(crate) async fn run(share: u64, page: &mut Page) {
    page.add_kept(Kept { what: "a channel as it was opened".to_owned(), rows: after_payments(0).await });
    for count in [PAYMENTS / 100 / share, PAYMENTS / share] {
        page.add_kept(Kept { what: format!("after {count} payments"), rows: after_payments(count).await });
    }
    let rounds = 10_000 / share;
    page.add_kept(Kept { what: format!("after {rounds} rounds"), rows: after_rounds(rounds).await });
    let count = CONTRACTS / share;
    let what = format!("with {count} contracts of 16 bytes");
    page.add_kept(Kept { what, rows: with_contracts(count).await });
    let count = TRANSFERS / share;
    page.add_kept(Kept { what: format!("with {count} open transfers"), rows: with_transfers(count).await });
    let what = format!("after {count} payments by transfers, all ended");
    page.add_kept(Kept { what, rows: after_transfers(count, false).await });
    let what = format!("after {count} payments by transfers, all forgotten");
    page.add_kept(Kept { what, rows: after_transfers(count, true).await });
}

async fn rows_of(nodes: Nodes) -> Rows {
    let Nodes { world, alice, bob } = nodes;
    alice.stop().await;
    bob.stop().await;
    Rows::of(&world.free_store_of(PAYER).await)
}

async fn after_payments(count: u64) -> Rows {
    let nodes = Nodes::start(Storage::Durable, Duration::ZERO).await;
    let channels = nodes.open(1).await;
    let mut left = count;
    // The newest round is kept whole: the last one holds a single payment here, as everywhere below.
    while left > 0 {
        let now = left.min(AT_ONCE);
        let payments = (0..now).map(|number| Payment { amount: 1, reference: number.to_be_bytes().to_vec() });
        let _paid = channels[0].0.pay_all(payments.collect()).await.unwrap();
        left -= now;
    }
    let _paid = channels[0].0.pay(1, Vec::new()).await.unwrap();
    drop(channels);
    rows_of(nodes).await
}

async fn after_rounds(count: u64) -> Rows {
    let nodes = Nodes::start(Storage::Durable, Duration::ZERO).await;
    let channels = nodes.open(1).await;
    for _ in 0..count {
        let _paid = channels[0].0.pay(1, Vec::new()).await.unwrap();
    }
    drop(channels);
    rows_of(nodes).await
}

async fn with_contracts(count: u64) -> Rows {
    let (nodes, counter) = contracts::nodes_with_counters(Storage::Durable).await;
    let channels = nodes.open(1).await;
    let _last = contracts::begin(&channels[0].0, &counter, usize::try_from(count).unwrap()).await;
    let _paid = channels[0].0.pay(1, Vec::new()).await.unwrap();
    drop(channels);
    rows_of(nodes).await
}

async fn with_transfers(count: u64) -> Rows {
    let three = Three::start(Storage::Durable, false).await;
    let _locks = open::hold(&three, count).await;
    rows_of_payer(three).await
}

async fn after_transfers(count: u64, are_forgotten: bool) -> Rows {
    let three = Three::start(Storage::Durable, false).await;
    let payer = Payer::of(&three);
    for number in 0..count {
        payer.pays(number).await;
        if are_forgotten {
            assert!(three.payer.forget_routed_payment(&key(number)).await.unwrap());
        }
    }
    drop(payer);
    rows_of_payer(three).await
}

async fn rows_of_payer(three: Three) -> Rows {
    let Three { world, payer, payee, .. } = three;
    let channels = payer.channels(payee.identity()).await.unwrap();
    let _paid = channels[0].pay(1, Vec::new()).await.unwrap();
    drop(channels);
    payer.stop().await;
    payee.stop().await;
    Rows::of(&world.free_store_of(PAYER).await)
}
