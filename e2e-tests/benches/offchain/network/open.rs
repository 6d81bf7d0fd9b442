//! Many transfers that wait for their pre-images: what each node keeps of them, and how long it takes to start with them.

use super::{
    page::{Open, Page, Rows},
    three::{AMOUNT, HUB, PAYEE, PAYER, Payer, Three, are_open, connect, is_served, key, settings},
};
use crate::nodes::{self, Storage};
use futures::{StreamExt, stream};
use network::{InvoiceState, PaymentState};
use protocol::contracts::conditional::{HashLock, Preimage};
use sdk::node::{NewInvoice, Node, invoice_lock};
use std::time::{Duration, Instant};

/// How many transfers wait.
const COUNT: u64 = 10_000;
/// How many are begun at once.
const AT_ONCE: usize = 512;

/// `share`: what part of them is enough this time.
pub(crate) async fn run(share: u64, page: &mut Page) {
    let count = COUNT / share;
    let three = Three::start(Storage::Durable, true).await;
    let (three, before) = stop_and_start(three).await;
    reconnect(&three).await;
    let locks = hold(&three, count).await;
    let (three, after) = stop_and_start(three).await;
    for (Started { name, rows, took }, without) in after.iter().zip(before) {
        page.add_open(Open { name, count, rows: rows.without(without.rows), started: *took });
    }
    let began = Instant::now();
    reconnect(&three).await;
    page.add_reconnected(began.elapsed());
    settle(&three, count, &locks).await;
    println!("all {count} payments were made after it");
}

/// A node that was started on what its store had.
struct Started {
    name: &'static str,
    rows: Rows,
    took: Duration,
}

/// Stops all three, looks into their stores, and starts them again, not connected.
async fn stop_and_start(three: Three) -> (Three, [Started; 3]) {
    let Three { world, payer, payee, hub } = three;
    let start = async |name, node: Node| {
        node.stop().await;
        let rows = Rows::of(&world.free_store_of(name).await);
        let began = Instant::now();
        let node = nodes::restart(&world, name, Storage::Durable, settings).await;
        (node, Started { name, rows, took: began.elapsed() })
    };
    let (payer, payers) = start(PAYER, payer).await;
    let (hub, hubs) = start(HUB, hub.unwrap()).await;
    let (payee, payees) = start(PAYEE, payee).await;
    (Three { world, payer, payee, hub: Some(hub) }, [payers, hubs, payees])
}

/// Connects them, until both channels are open again and the payer knows the hub's terms.
async fn reconnect(three: &Three) {
    let hub = three.hub.as_ref().unwrap();
    connect(&three.payer, hub).await;
    connect(hub, &three.payee).await;
    are_open(&three.payer, hub.identity()).await;
    are_open(&three.payee, hub.identity()).await;
    is_served(&three.payer, hub.identity(), three.payee.identity()).await;
}

/// What opens the lock of a payment.
fn preimage(number: u64) -> Preimage {
    let mut preimage = Preimage([7; 32]);
    preimage.0[..8].copy_from_slice(&number.to_be_bytes());
    preimage
}

/// Has so many payments begun, until the payee holds all of them.
pub(crate) async fn hold(three: &Three, count: u64) -> Vec<HashLock> {
    let payer = Payer::of(three);
    let begun = stream::iter(0..count).map(|number| {
        let payer = &payer;
        async move {
            let lock = invoice_lock(&preimage(number));
            let new = NewInvoice { held: Some(lock), ..invoice_for(three) };
            let (_invoice, text) = three.payee.create_invoice(new).await.unwrap();
            payer.begins(number, &text).await;
            lock
        }
    });
    let locks: Vec<_> = begun.buffered(AT_ONCE).collect().await;
    for (number, lock) in (0..).zip(&locks) {
        while !matches!(three.payee.invoice_state(lock), Some(InvoiceState::Held { .. })) {
            let state = three.payer.routed_payment(&key(number));
            assert_eq!(state, Some(PaymentState::Pending), "payment {number}");
            tokio::task::yield_now().await;
        }
    }
    locks
}

fn invoice_for(three: &Three) -> NewInvoice {
    let through = three.hubs();
    NewInvoice { hubs: through, ..NewInvoice::new(AMOUNT, three.payee.identity()) }
}

/// Every one of them ends as it was to: made.
async fn settle(three: &Three, count: u64, locks: &[HashLock]) {
    let settled = stream::iter((0..count).zip(locks)).map(|(number, lock)| async move {
        three.payee.settle_invoice(*lock, preimage(number)).await.unwrap();
    });
    settled.buffered(AT_ONCE).collect::<()>().await;
    for number in 0..count {
        let ended = three.payer.routed_payment_ended(&key(number)).await;
        assert_eq!(ended, Some(PaymentState::Paid(preimage(number))), "payment {number}");
    }
}
