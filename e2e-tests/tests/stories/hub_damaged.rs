//! What a hub must not lose, whatever happens to its store and to its tasks.

use channel::{ChannelRef, IdempotencyKey, transfer::Registered};
use e2e_tests::{
    TestChain, UNIT, World,
    stories::hub::{AMOUNT, PRE_IMAGE, Three, is_shown},
    until, within,
};
use network::{Fee, InvoiceState, PaymentState, RoutingPolicy};
use protocol::{Amount, BlockNumber};
use sdk::{
    chain::testing::MemoryChain,
    node::{NodeConfig, invoice_lock},
    store::{Batch, Table},
};

/// The payment.
const NAME: &str = "held";

/// It waits for nobody longer than this after a start, in milliseconds.
const PATIENCE: u64 = 500;
/// It tells its terms anew after half of this.
const ANNOUNCED_FOR: u64 = 4_000;
/// So many blocks after three margins a transfer for what is held expires at the hub: time on its way, and what the hub wants between both.
const BEYOND: BlockNumber = 5;

fn carries(config: &mut NodeConfig) {
    config.routing = RoutingPolicy {
        is_hub: true,
        fee: Fee { base: 100, parts_per_million: 0 },
        revenue: 0,
        patience: PATIENCE,
        announced_for: ANNOUNCED_FOR,
        ..RoutingPolicy::default()
    };
    config.policy.share_max = Amount::MAX;
}

/// A payer, a hub and a payee, and a payment that the payee holds.
struct Held {
    world: World<MemoryChain>,
    three: Three,
    /// The newest block when the payment was begun.
    began: BlockNumber,
}

impl Held {
    async fn meet() -> Self {
        let world = World::in_memory().await;
        let three = Three::meet_with(&world, carries).await;
        let (lock, text) = three.invoice(Some(invoice_lock(&PRE_IMAGE))).await;
        let began = three.payer.node.registry().best();
        let _begun = three.pay(NAME, &text).await;
        three.is_held(&lock).await;
        Self { world, three, began }
    }

    async fn is_paid_for(&self) {
        assert_eq!(self.three.ended(NAME).await, PaymentState::Paid(PRE_IMAGE));
    }
}

impl Held {
    /// The hub goes away, something of one of its channels is damaged, and it is back.
    async fn damage(self, of: ChannelRef, table: Table) -> Self {
        let Self { world, three, began } = self;
        three.hub.stop_and_wait().await;
        let store = world.free_store_of("hub").await;
        let channels = store.load_all(Table::Channels).unwrap().into_iter().map(|(key, _)| key);
        let channel = channels.into_iter().find(|key| key.ends_with(&of.0)).unwrap();
        let row = store.load(table, &channel).unwrap().into_iter().map(|(row, _)| row).next();
        let row = row.unwrap_or_else(|| [&channel[..], &[1; 8]].concat());
        store.commit(Batch::new().put(table, row, vec![1])).await.unwrap();
        drop(store);
        let hub = world.start_with("hub", carries).await;
        assert_eq!(hub.node.damaged_channels().len(), 1);
        Self { world, three: Three { hub, ..three }, began }
    }

    /// Waits until the hub has waited for everybody for as long as it does: it tells its terms by its clock.
    async fn patience_is_over(&self) {
        let sequence = || {
            self.three.payer.node.hub_terms(self.three.hub.identity()).map_or(0, |announcement| announcement.sequence)
        };
        let first = sequence();
        until("the hub's terms, again", || async { (sequence() > first + ANNOUNCED_FOR + PATIENCE).then_some(()) })
            .await;
    }
}

/// Something of the channel to the payee is damaged.
async fn damaged_downstream(table: Table) {
    let held = Held::meet().await;
    let downstream = held.three.downstream.reference();
    let held = held.damage(downstream, table).await;
    held.three.payer.connect(&held.three.hub).await;
    held.patience_is_over().await;
    assert_eq!(
        held.three.payer.node.routed_payment(&IdempotencyKey::from(NAME)),
        Some(PaymentState::Pending),
        "the payee may still be paid"
    );
    // By whatever way: the hub has signed that the payee is paid for it.
    is_shown(&held.world).await;
    held.is_paid_for().await;
    let Three { payer, hub, upstream, .. } = &held.three;
    let upstream = hub.channel(payer, upstream.reference()).await;
    until("the hub to be paid", || async {
        (upstream.balances().await.unwrap().unwrap().ours == 100 * UNIT + AMOUNT + 100).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_went_on_through_a_channel_with_a_damaged_payment_is_paid_for_upstream() {
    damaged_downstream(Table::Payments).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_went_on_through_a_channel_whose_transfer_is_damaged_is_paid_for_upstream() {
    damaged_downstream(Table::Transfers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_went_on_through_a_channel_that_cannot_be_read_is_paid_for_upstream() {
    damaged_downstream(Table::Channels).await;
}

/// Something of the channel to the payer is damaged: nothing can be signed there any more, and the hub is paid by the registry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_in_through_a_channel_whose_transfer_is_damaged_is_claimed_by_the_registry() {
    let held = Held::meet().await;
    let upstream = held.three.upstream.reference();
    let held = held.damage(upstream, Table::Transfers).await;
    let Three { hub, payee, .. } = &held.three;
    hub.connect(payee).await;
    let lock = invoice_lock(&PRE_IMAGE);
    within("the payee to settle", payee.node.settle_invoice(lock, PRE_IMAGE)).await.unwrap();
    until("the payee to be paid", || async {
        let state = payee.node.invoice_state(&lock);
        matches!(state, Some(InvoiceState::Paid { open_parts: 0, .. })).then_some(())
    })
    .await;
    // As late as it may be.
    let registry = hub.node.registry();
    let due = held.began + 3 * registry.margins().forward() + BEYOND - registry.margins().register;
    held.world.chain.produce_blocks(due - registry.best()).await;
    until("the pre-image to be registered", || async {
        matches!(registry.registered(&lock), Registered::Shown { .. }).then_some(())
    })
    .await;
    held.is_paid_for().await;
}
