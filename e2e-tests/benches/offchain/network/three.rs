//! A payer, a payee, and a hub between them if there is one.

use crate::nodes::{self, Storage, terms};
use channel::IdempotencyKey;
use e2e_tests::{UNIT, World};
use network::{ChainPolicy, Fee, PaymentId, RouterNotice, RoutingPolicy};
use protocol::{Amount, PublicKey};
use sdk::node::{Node, NodeConfig, RoutingNotices, payment_id};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::sync::oneshot;

/// What a payment moves: more than what a registration costs, since no hub carries less.
pub(crate) const AMOUNT: Amount = UNIT / 8;
/// What whoever pays puts into a channel.
const SHARE: Amount = 4_500 * UNIT;
/// The most transfers that are open in a channel.
const MAX_OPEN: u32 = 16_384;
/// Offers that a peer may make at once and in a second: by default 10,000, which would be measured here instead of everything else.
const OFFERS: u32 = 1_000_000;
/// How many blocks a registration may wait to get into one, by default 5: a hub has no more expire within a few blocks than could be registered then.
const INCLUSION: u32 = 100;
/// The most that is paid for one payment's way.
const MAX_FEE: Amount = UNIT;

/// The nodes, and the way from the payer to the payee.
pub(crate) struct Three {
    pub(crate) world: World,
    pub(crate) payer: Node,
    pub(crate) payee: Node,
    pub(crate) hub: Option<Node>,
}

/// The names of the nodes' stores.
pub(crate) const PAYER: &str = "alice";
pub(crate) const HUB: &str = "hub";
pub(crate) const PAYEE: &str = "bob";

/// How everybody is set up.
pub(crate) fn settings(config: &mut NodeConfig) {
    config.channels.transfers.max_open = MAX_OPEN;
    config.routing = RoutingPolicy {
        is_hub: true,
        fee: Fee { base: 100, parts_per_million: 1_000 },
        burst: OFFERS,
        offers_per_second: OFFERS,
        max_kept: OFFERS,
        // So many transfers expire within the same blocks here that a hub would refuse most: ten thousand that wait would be spread over time.
        chain: ChainPolicy { inclusion: INCLUSION, ..ChainPolicy::default() },
        // Nobody is a stranger here: no places are kept back for better ones.
        revenue: 0,
        ..RoutingPolicy::default()
    };
}

impl Three {
    /// A payer with a channel to the payee, or to the hub that has one to the payee.
    pub(crate) async fn start(storage: Storage, with_hub: bool) -> Self {
        let world = World::new().await;
        let start = async |name| nodes::start(&world, name, storage, settings).await;
        let (payer, payee) = (start(PAYER).await, start(PAYEE).await);
        let hub = if with_hub { Some(start(HUB).await) } else { None };
        if let Some(hub) = &hub {
            connect(&payer, hub).await;
            open(&payer, hub).await;
            connect(hub, &payee).await;
            open(hub, &payee).await;
            is_served(&payer, hub.identity(), payee.identity()).await;
        } else {
            connect(&payer, &payee).await;
            open(&payer, &payee).await;
        }
        Self { world, payer, payee, hub }
    }

    /// Through whom the payee is reached.
    pub(crate) fn hubs(&self) -> Vec<PublicKey> {
        self.hub.iter().map(Node::identity).collect()
    }
}

pub(crate) async fn connect(from: &Node, to: &Node) {
    let _peer = from.connect(&to.address().unwrap()).await.unwrap();
}

async fn open(from: &Node, to: &Node) {
    let ours = from.open_channel(to.identity(), terms(SHARE, 0)).await.unwrap();
    are_open(to, from.identity()).await;
    drop(ours);
}

/// Waits until all channels with this peer are open.
pub(crate) async fn are_open(node: &Node, peer: PublicKey) {
    for channel in node.channels(peer).await.unwrap() {
        while channel.status().await.unwrap().state != channel::Stage::Open {
            tokio::task::yield_now().await;
        }
    }
}

/// Waits until the hub has told the payer that it serves the payee.
pub(crate) async fn is_served(payer: &Node, hub: PublicKey, payee: PublicKey) {
    while !payer.hub_terms(hub).is_some_and(|terms| terms.serves.contains(&payee)) {
        tokio::task::yield_now().await;
    }
}

/// A payer's application: begins payments, and hears how each ends.
pub(crate) struct Payer {
    node: Node,
    payee: PublicKey,
    hubs: Vec<PublicKey>,
    waiting: Arc<Waiting>,
}

/// Whoever waits for a payment, and is told whether it was made.
type Waiting = Mutex<BTreeMap<PaymentId, oneshot::Sender<bool>>>;

impl Payer {
    pub(crate) fn of(three: &Three) -> Self {
        let (node, waiting) = (three.payer.clone(), Arc::<Waiting>::default());
        let _task = tokio::spawn(hear(node.routing_notices(), Arc::clone(&waiting)));
        Self { node, payee: three.payee.identity(), hubs: three.hubs(), waiting }
    }

    /// Pays, and waits until it is made.
    pub(crate) async fn pays(&self, number: u64) {
        let key = key(number);
        let (told, made) = oneshot::channel();
        let _none = self.waiting.lock().unwrap().insert(payment_id(&key), told);
        let begun = self.node.pay_spontaneously(&key, self.payee, self.hubs.clone(), AMOUNT, MAX_FEE).await;
        let _pending = begun.unwrap();
        assert!(made.await.unwrap(), "payment {number} came to nothing: {:?}", self.node.routed_payment(&key));
    }

    /// Begins to pay an invoice.
    pub(crate) async fn begins(&self, number: u64, invoice: &str) {
        let _pending = self.node.pay_invoice(&key(number), invoice, None, MAX_FEE).await.unwrap();
    }
}

/// A payment's key.
pub(crate) fn key(number: u64) -> IdempotencyKey {
    IdempotencyKey(number.to_be_bytes().to_vec())
}

async fn hear(mut notices: RoutingNotices, waiting: Arc<Waiting>) {
    while let Some(notice) = notices.next().await {
        let (id, is_made) = match notice {
            RouterNotice::Paid { id, .. } => (id, true),
            RouterNotice::PaymentFailed { id, .. } => (id, false),
            _ => continue,
        };
        if let Some(told) = waiting.lock().unwrap().remove(&id) {
            let _gone = told.send(is_made);
        }
    }
}
