//! A peer that fills a hub up to its bounds and answers nothing when all of it comes due at once (B1, B2, R8.4e).

use super::hub::{Three, carries, takes};
use crate::{Actor, TestChain, UNIT, World, account, terms, until, within};
use channel::{IdempotencyKey, transfer::TransferLimits};
use network::{ChainPolicy, FailureCode, InvoiceState, PayError, PaymentState, RouterNotice};
use protocol::{
    Amount, BlockNumber,
    contracts::conditional::{HashLock, Preimage},
    crypto::{Crypto, Native},
};
use sdk::node::{Caused, NewInvoice, OpenChannel, RoutedPaymentError, invoice_lock};

/// What each payment is of: more than a registration costs, or it would not be taken.
const AMOUNT: Amount = UNIT / 4;
/// What the hub takes for each.
const FEE: Amount = 100;
/// More than any bound here lets in.
const MANY: u32 = 300;
/// So many blocks after three margins a transfer for what is held expires at the hub: time on its way, and what the hub wants between both.
const BEYOND: BlockNumber = 5;

/// A pre-image of its own for each payment.
fn preimage(number: u32) -> Preimage {
    Preimage(Native.hash(&number.to_le_bytes()).0)
}

fn lock(number: u32) -> HashLock {
    invoice_lock(&preimage(number))
}

fn key(number: u32) -> IdempotencyKey {
    IdempotencyKey::from(number.to_be_bytes())
}

/// A payer that floods the hub, and a payee that helps it: it holds whatever arrives.
struct Flood {
    three: Three,
    /// The newest block, as long as nothing is sent to the chain.
    began: BlockNumber,
}

impl Flood {
    async fn meet<C: TestChain>(world: &World<C>, inclusion: BlockNumber, upstream: OpenChannel) -> Self {
        let (mut hub, mut payee) = (world.config("hub"), world.config("bob"));
        carries(&mut hub);
        takes(&mut payee);
        hub.routing.fee = network::Fee { base: FEE, parts_per_million: 0 };
        hub.routing.chain = ChainPolicy { inclusion, ..hub.routing.chain };
        let three = Three::meet_as(world, [world.config("alice"), hub, payee], upstream).await;
        let began = world.chain.block_number().await;
        Self { three, began }
    }

    /// The payer offers one more. Whether it has come to the payee; else it was refused by what bounds the hub.
    async fn offer(&self, number: u32) -> bool {
        let Three { payer, hub, payee, .. } = &self.three;
        let new = NewInvoice { held: Some(lock(number)), ..NewInvoice::new(AMOUNT, hub.identity()) };
        let (_, text) = within("an invoice", payee.node.create_invoice(new)).await.unwrap();
        match within("a payment to begin", payer.node.pay_invoice(&key(number), &text, None, FEE)).await {
            Ok(_pending) => {}
            Err(RoutedPaymentError::Pay(PayError::NoWay(_full))) => return false,
            Err(error) => panic!("{error}"),
        }
        until("the payment to arrive or to fail", || async {
            match (payee.node.invoice_state(&lock(number)), payer.node.routed_payment(&key(number))) {
                (Some(InvoiceState::Held { .. }), _) => Some(true),
                (_, Some(PaymentState::Failed(code))) => {
                    assert_eq!(code, FailureCode::Limits);
                    Some(false)
                }
                _ => None,
            }
        })
        .await
    }

    /// The hub has asked the chain what registrations cost: from then on it bounds what it takes by that.
    async fn costs_are_known(&self) -> Bounds {
        let node = &self.three.hub.node;
        until("what registrations cost", || async {
            let costs = node.registry().costs()?;
            let chain = node.arbiter().info().domain;
            let policy = *node.routing().chain(&chain);
            let is_known = policy.registration_cost == costs.alone()
                && policy.registrations_per_block == costs.per_block.unwrap_or(u32::MAX);
            let load = node.hub_load();
            is_known.then_some(Bounds { cost: costs.alone(), crowded: load.crowded_bound, reserve: load.reserve })
        })
        .await
    }

    /// The block in which what came to the hub expires.
    fn expiry(&self) -> BlockNumber {
        self.began + 3 * self.three.hub.node.registry().margins().forward() + BEYOND
    }
}

/// What bounds the hub, as it has measured it.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    cost: Amount,
    crowded: u32,
    reserve: Amount,
}

impl Bounds {
    /// How many transfers a peer gets in through a channel with these terms, one after the other: what it has left and what it locks are counted anew with each.
    fn admits(&self, terms: OpenChannel) -> u32 {
        let places = TransferLimits::default().max_open;
        let fits = |count: &u32| {
            let cost = Amount::from(*count) * self.cost;
            let left = terms.our_share.checked_sub(Amount::from(*count) * (AMOUNT + FEE));
            left.is_some_and(|left| left >= terms.reserve && (*count <= 8 || cost <= left))
                && *count <= self.crowded.min(places)
                && cost <= self.reserve
        };
        (1..=MANY).take_while(fits).fold(0, |count, _| count + 1)
    }
}

/// The peer offers until it is refused, and goes away when all of it is claimed. Everything that it has let in is registered in time, at the cost of what was
/// bounded beforehand; once it is back, the hub has all of its coins.
async fn flood<C: TestChain>(world: &World<C>, inclusion: BlockNumber, upstream: OpenChannel) {
    let flood = Flood::meet(world, inclusion, upstream).await;
    let hubs_before = flood.three.hubs().await;
    let mut notices = flood.three.hub.node.routing_notices();
    assert!(flood.offer(0).await, "the first one");
    let bounds = flood.costs_are_known().await;
    let mut count = 1;
    while count < MANY && flood.offer(count).await {
        count += 1;
    }
    assert_eq!(count, bounds.admits(upstream), "{bounds:?}");
    assert_eq!(world.chain.block_number().await, flood.began, "all of it expires in one block");
    let (expiry, margins) = (flood.expiry(), flood.three.hub.node.registry().margins());
    let Flood { three: Three { payer, hub, payee, upstream: payers, downstream }, .. } = flood;
    let theirs = hub.channel(&payer, payers.reference()).await;
    let payer_identity = payer.identity();
    payer.stop_and_wait().await;

    // Everything is claimed at once, and nobody answers the hub for it.
    for number in 0..count {
        within("the payee to settle", payee.node.settle_invoice(lock(number), preimage(number))).await.unwrap();
    }
    until("the payee to be paid", || async {
        let is_paid =
            |number| matches!(payee.node.invoice_state(&lock(number)), Some(InvoiceState::Paid { open_parts: 0, .. }));
        (0..count).all(is_paid).then_some(())
    })
    .await;
    let chain = world.arbiter.chain();
    let account_before = chain.free_balance(&account("hub")).await.unwrap();
    world.pass_until(expiry - margins.register - 1).await;
    assert_eq!(hub.node.registry().caused_by(&payer_identity), Caused::default(), "it still may answer");
    world.pass_until(expiry - margins.register).await;
    let registry = hub.node.registry().clone();
    for number in 0..count {
        let known = within("a registration", registry.settled(&lock(number), expiry)).await;
        assert!(known.is_shown_before(expiry), "payment {number}: {known:?}");
    }
    until("the receipts", || async { (registry.caused_by(&payer_identity).count >= u64::from(count)).then_some(()) })
        .await;
    assert!(world.chain.block_number().await < expiry, "long before it is too late");

    // What that has cost is on account of the peer, was bounded by what it risks, and is all that the hub has lost.
    let caused = registry.caused_by(&payer_identity);
    let fell = account_before - chain.free_balance(&account("hub")).await.unwrap();
    assert!(caused.cost >= fell && caused.cost - fell < 2 * Amount::from(count), "{caused:?} of {fell}");
    assert_eq!((caused.too_late, registry.caused_by(&payee.identity())), (0, Caused::default()));
    assert!(caused.cost <= Amount::from(count) * bounds.cost, "{caused:?} of {bounds:?}");
    assert!(count <= 8 || caused.cost <= upstream.our_share, "no more than the peer has at risk");
    within("the peer to be named", async {
        loop {
            if let RouterNotice::ClaimUnanswered { peer, .. } = notices.next().await.unwrap() {
                return assert_eq!(peer, payer_identity);
            }
        }
    })
    .await;

    // The peer is back: what is registered it has to sign, and nothing that it offers is taken any more.
    let payer = world.start("alice").await;
    payer.connect(&hub).await;
    until("the hub to be paid", || async {
        let (up, down) = (theirs.balances().await.unwrap().unwrap(), downstream.balances().await.unwrap().unwrap());
        (up.ours + down.ours == hubs_before + Amount::from(count) * FEE).then_some(())
    })
    .await;
    is_not_served(&payer, &hub, &payee).await;
    println!(
        "{count} let in by {bounds:?}, registered for {}, {} of them in one block",
        caused.cost,
        registry.report().busiest_block
    );
}

/// What the payer offers now is given back: it left claims unanswered.
async fn is_not_served(payer: &Actor, hub: &Actor, payee: &Actor) {
    let (hub, served) = (hub.identity(), payee.identity());
    until("the hub's terms", || async { payer.node.hub_terms(hub)?.serves.contains(&served).then_some(()) }).await;
    // What it has left may be less than one of those before.
    let new = NewInvoice::new(AMOUNT / 2, hub);
    let (_, text) = within("an invoice", payee.node.create_invoice(new)).await.unwrap();
    let key = IdempotencyKey::from("once more");
    let _begun = within("a payment to begin", payer.node.pay_invoice(&key, &text, None, FEE)).await.unwrap();
    let ended = within("the payment to end", payer.node.routed_payment_ended(&key)).await;
    assert_eq!(ended, Some(PaymentState::Failed(FailureCode::NotServed)));
}

/// The peer has little in its channel: what it risks bounds what it gets in.
pub async fn a_peer_whose_claims_all_come_due_together_costs_a_hub_no_more_than_the_peer_has_at_risk<C: TestChain>(
    world: &World<C>,
) {
    let small = OpenChannel { our_share: 8 * UNIT, reserve: UNIT, penalty: UNIT / 2, ..terms() };
    flood(world, ChainPolicy::default().inclusion, small).await;
}

/// The peer has much in its channel: what the chain takes in time bounds what it gets in.
pub async fn a_peer_whose_claims_all_come_due_together_gets_no_more_of_them_in_than_the_chain_registers_in_time<
    C: TestChain,
>(
    world: &World<C>,
) {
    flood(world, 1, terms()).await;
}
