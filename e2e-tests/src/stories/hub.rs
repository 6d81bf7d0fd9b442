//! Payments that cross a hub: two channels, one transfer through both (R8.4).

use crate::{Actor, TestChain, UNIT, World, signer, terms, until, within};
use channel::{IdempotencyKey, Stage};
use network::{FailureCode, Fee, Invoice, InvoiceError, InvoiceState, PayError, PaymentState, RoutingPolicy};
use protocol::{
    Amount,
    call::Call,
    contracts::conditional::{HashLock, Preimage},
    crypto::SigningKey,
};
use sdk::node::{ChannelHandle, NewInvoice, NodeConfig, OpenChannel, RoutedPaymentError, invoice_lock};

/// What each payment is of.
pub const AMOUNT: Amount = 10_000;
/// Above every fee here.
const MAX_FEE: Amount = 1_000;
/// What the hub takes for [`AMOUNT`]: 100 and one percent.
pub const FEE: Amount = 200;
/// What opens the lock of a payment that is held.
pub const PRE_IMAGE: Preimage = Preimage([7; 32]);

/// A payer, a hub and a payee, and a channel of the hub's with each.
#[derive(Debug)]
pub struct Three {
    /// Alice.
    pub payer: Actor,
    /// The hub.
    pub hub: Actor,
    /// Bob.
    pub payee: Actor,
    /// The payer's view of its channel.
    pub upstream: ChannelHandle,
    /// The hub's view of its channel with the payee.
    pub downstream: ChannelHandle,
}

/// A hub.
pub fn carries(config: &mut NodeConfig) {
    config.routing = RoutingPolicy {
        is_hub: true,
        fee: Fee { base: 100, parts_per_million: 10_000 },
        revenue: 0,
        ..RoutingPolicy::default()
    };
    config.policy.share_max = Amount::MAX;
}

/// Takes what both hub and payee have to put in.
pub fn takes(config: &mut NodeConfig) {
    config.policy.share_max = Amount::MAX;
}

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::from(name)
}

/// Waits until the hub counts what the payer's transfer has brought.
async fn has_earned(hub: &Actor, payer: &Actor) {
    let (payer, expected) = (payer.identity(), FEE);
    until("the fee to be counted", || async {
        let earned: Vec<_> = hub.node.fees_earned().iter().map(|it| (it.peer, it.amount)).collect();
        (earned == [(payer, expected)]).then_some(())
    })
    .await;
}

impl Three {
    async fn meet<C: TestChain>(world: &World<C>) -> Self {
        Self::meet_with(world, carries).await
    }

    /// They meet, the hub with these settings.
    pub async fn meet_with<C: TestChain>(world: &World<C>, carries: impl FnOnce(&mut NodeConfig)) -> Self {
        let (mut hub, mut payee) = (world.config("hub"), world.config("bob"));
        carries(&mut hub);
        takes(&mut payee);
        Self::meet_as(world, [world.config("alice"), hub, payee], terms()).await
    }

    /// They meet with these settings, the payer and the hub in a channel with these terms.
    pub async fn meet_as<C: TestChain>(world: &World<C>, configs: [NodeConfig; 3], upstream: OpenChannel) -> Self {
        let [payers, hubs, payees] = configs;
        let payer = world.start_with("alice", |config| *config = payers).await;
        let hub = world.start_with("hub", |config| *config = hubs).await;
        let payee = world.start_with("bob", |config| *config = payees).await;
        for actor in [&payer, &hub, &payee] {
            let _done = within("a vault to be filled", actor.node.vault_deposit(300 * UNIT)).await.unwrap();
        }
        payer.connect(&hub).await;
        hub.connect(&payee).await;
        let (upstream, _) = payer.open_on(&hub, upstream).await;
        let (downstream, _) = hub.open(&payee).await;
        let three = Self { payer, hub, payee, upstream, downstream };
        three.is_served().await;
        three
    }

    /// Waits until the hub has told the payer that it serves the payee.
    async fn is_served(&self) {
        let (hub, payee) = (self.hub.identity(), self.payee.identity());
        until("the hub's terms", || async {
            let terms = self.payer.node.hub_terms(hub)?;
            terms.serves.contains(&payee).then_some(())
        })
        .await;
    }

    /// What the hub has in both channels.
    pub async fn hubs(&self) -> Amount {
        let ours = |handle: &ChannelHandle| {
            let handle = handle.clone();
            async move { handle.balances().await.unwrap().unwrap() }
        };
        ours(&self.upstream).await.peers + ours(&self.downstream).await.ours
    }

    /// The payee's invoice, whose lock and text it answers: for a payment to be held, or not.
    pub async fn invoice(&self, held: Option<HashLock>) -> (HashLock, String) {
        let new = NewInvoice { held, ..NewInvoice::new(AMOUNT, self.hub.identity()) };
        let (invoice, text) = within("an invoice", self.payee.node.create_invoice(new)).await.unwrap();
        (invoice.lock, text)
    }

    /// The payer begins to pay.
    pub async fn pay(&self, name: &str, text: &str) -> PaymentState {
        let key = key(name);
        within("a payment to begin", self.payer.node.pay_invoice(&key, text, None, MAX_FEE)).await.unwrap()
    }

    /// How a payment has ended.
    pub async fn ended(&self, name: &str) -> PaymentState {
        let key = key(name);
        within("a payment to end", self.payer.node.routed_payment_ended(&key)).await.unwrap()
    }

    /// Waits until the payee holds the payment.
    pub async fn is_held(&self, lock: &HashLock) {
        until("the payment to be held", || async {
            matches!(self.payee.node.invoice_state(lock), Some(InvoiceState::Held { .. })).then_some(())
        })
        .await;
    }
}

/// Somebody shows the pre-image on chain, in whatever way.
pub async fn is_shown<C: TestChain>(world: &World<C>) {
    let function = invoice_lock(&PRE_IMAGE).function;
    let register = Call::PreimageRegister { preimage: PRE_IMAGE, function };
    let _shown = within("a registration", world.arbiter.call(&signer("mallory"), &register, 0)).await.unwrap();
    world.chain.produce_blocks(1).await;
}

/// A payment goes through a hub, which has its fee for it; asked for again it is not made again. Once it is over, both may forget it.
pub async fn a_payment_crosses_a_hub_and_is_made_once<C: TestChain>(world: &World<C>) {
    let three = Three::meet(world).await;
    let (before, payee) = (three.hubs().await, three.downstream.balances().await.unwrap().unwrap().peers);
    let (lock, text) = three.invoice(None).await;
    let _begun = three.pay("coffee", &text).await;
    assert!(matches!(three.ended("coffee").await, PaymentState::Paid(_)));
    until("the invoice to be paid to its end", || async {
        let state = three.payee.node.invoice_state(&lock);
        matches!(state, Some(InvoiceState::Paid { amount: AMOUNT, open_parts: 0 })).then_some(())
    })
    .await;
    assert!(matches!(three.pay("coffee", &text).await, PaymentState::Paid(_)), "asked for again");
    until("the hub's fee", || async { (three.hubs().await == before + FEE).then_some(()) }).await;
    let now = three.downstream.balances().await.unwrap().unwrap().peers;
    assert_eq!(now, payee + AMOUNT);
    has_earned(&three.hub, &three.payer).await;
    assert_eq!(world.recorder.count("preimages_register").await, 0, "no chain takes part");
    assert!(three.payer.node.forget_routed_payment(&key("coffee")).await.unwrap());
    assert_eq!(three.payer.node.routed_payment(&key("coffee")), None);
    assert!(!three.payer.node.forget_routed_payment(&key("coffee")).await.unwrap(), "there is none any more");
    three.payee.node.forget_invoice(lock).await.unwrap();
    assert_eq!(three.payee.node.invoice_state(&lock), None);
}

/// What nobody claims goes back once it has expired: no channel is closed for it.
pub async fn a_payment_that_is_held_too_long_goes_back_and_every_channel_stays_open<C: TestChain>(world: &World<C>) {
    let three = Three::meet(world).await;
    let before = three.hubs().await;
    let (lock, text) = three.invoice(Some(invoice_lock(&PRE_IMAGE))).await;
    let _begun = three.pay("held", &text).await;
    three.is_held(&lock).await;
    three.payee.node.cancel_invoice(lock).await.unwrap();
    assert!(matches!(three.ended("held").await, PaymentState::Failed(_)));
    until("the hub's coins", || async { (three.hubs().await == before).then_some(()) }).await;
    let payer = three.upstream.balances().await.unwrap().unwrap();
    assert_eq!(payer.ours, terms().our_share);
}

/// Nobody ever decides about what is held: it goes back by itself before it expires, and every channel is open beyond that.
pub async fn a_payment_that_nobody_decides_about_goes_back_by_itself_and_every_channel_stays_open<C: TestChain>(
    world: &World<C>,
) {
    let three = Three::meet(world).await;
    let before = three.hubs().await;
    let (lock, text) = three.invoice(Some(invoice_lock(&PRE_IMAGE))).await;
    let begun_at = world.chain.block_number().await;
    let _begun = three.pay("undecided", &text).await;
    three.is_held(&lock).await;
    // What is held for an invoice expires three margins ahead at least, and is given back two margins before that.
    let margin = RoutingPolicy::default().chain.margins.forward();
    world.pass_until(begun_at + margin - 1).await;
    assert_eq!(three.payer.node.routed_payment(&key("undecided")), Some(PaymentState::Pending), "it is not too late");
    world.pass_until(begun_at + margin + 8).await;
    assert_eq!(three.ended("undecided").await, PaymentState::Failed(FailureCode::HeldTooLong));
    assert!(world.chain.block_number().await < begun_at + 3 * margin, "long before it expires");
    assert_eq!(three.payee.node.invoice_state(&lock), Some(InvoiceState::Cancelled));
    let settled = three.payee.node.settle_invoice(lock, PRE_IMAGE).await;
    assert!(settled.is_err(), "settling it is refused: {settled:?}");
    world.pass_until(begun_at + 4 * margin).await;
    until("the hub's coins", || async { (three.hubs().await == before).then_some(()) }).await;
    for handle in [&three.upstream, &three.downstream] {
        assert_eq!(handle.status().await.unwrap().state, Stage::Open);
    }
    assert_eq!(three.upstream.balances().await.unwrap().unwrap().ours, terms().our_share);
}

/// An invoice that asks for coins of another chain, or of another arbiter on this one, is not paid.
pub async fn an_invoice_of_another_chain_or_arbiter_is_refused_and_nothing_is_paid<C: TestChain>(world: &World<C>) {
    let three = Three::meet(world).await;
    let before = three.upstream.balances().await.unwrap();
    let (_, text) = three.invoice(None).await;
    let invoice = Invoice::parse(&text).unwrap();
    let payee = SigningKey::from_seed(&[5; 32]);
    let mut other_chain = Invoice { payee: payee.public(), ..invoice.clone() };
    other_chain.asset.registry.genesis.0[0] ^= 1;
    let mut other_arbiter = Invoice { payee: payee.public(), ..invoice };
    other_arbiter.asset.registry.arbiter.0[0] ^= 1;
    let key = key("elsewhere");
    for other in [other_chain, other_arbiter] {
        let text = other.sign(&payee).unwrap();
        let refused = within("a refusal", three.payer.node.pay_invoice(&key, &text, None, MAX_FEE)).await;
        let other_chain = RoutedPaymentError::Pay(PayError::Invoice(InvoiceError::OtherChain));
        assert_eq!(refused.unwrap_err().to_string(), other_chain.to_string());
        assert_eq!(three.payer.node.routed_payment(&key), None);
    }
    assert_eq!(three.upstream.balances().await.unwrap(), before);
    // The key names nothing: the right invoice is paid by it.
    let _begun = three.pay("elsewhere", &text).await;
    assert!(matches!(three.ended("elsewhere").await, PaymentState::Paid(_)));
}

/// The payee vanishes with the pre-image shown on chain alone: the hub has it from there, and is paid by the payer.
pub async fn a_payee_that_vanishes_after_showing_its_pre_image_costs_the_hub_nothing<C: TestChain>(world: &World<C>) {
    let three = Three::meet(world).await;
    let before = three.hubs().await;
    let (lock, text) = three.invoice(Some(invoice_lock(&PRE_IMAGE))).await;
    let _begun = three.pay("vanishing", &text).await;
    three.is_held(&lock).await;
    let Three { payer, hub, payee, upstream, downstream } = three;
    payee.stop_and_wait().await;
    is_shown(world).await;
    let key = key("vanishing");
    let paid = within("the payment", payer.node.routed_payment_ended(&key)).await;
    assert_eq!(paid, Some(PaymentState::Paid(PRE_IMAGE)));
    let claimed = || async {
        let up = upstream.balances().await.unwrap().unwrap();
        let down = downstream.balances().await.unwrap().unwrap();
        (up.peers + down.ours == before + FEE).then_some(())
    };
    until("the hub to be paid upstream", claimed).await;
    has_earned(&hub, &payer).await;
}

/// A hub that goes away with a payment under way, and comes back: the payment ends as it would have.
pub async fn a_hub_that_goes_away_with_payments_under_way_ends_them_when_it_is_back<C: TestChain>(world: &World<C>) {
    let three = Three::meet(world).await;
    let before = three.hubs().await;
    let (lock, text) = three.invoice(Some(invoice_lock(&PRE_IMAGE))).await;
    let _begun = three.pay("slow", &text).await;
    three.is_held(&lock).await;
    let Three { payer, hub, payee, upstream, downstream } = three;
    let (reference, other) = (upstream.reference(), downstream.reference());
    hub.stop_and_wait().await;
    payee.node.settle_invoice(lock, PRE_IMAGE).await.unwrap();
    let hub = world.start_with("hub", carries).await;
    payer.connect(&hub).await;
    hub.connect(&payee).await;
    let key = key("slow");
    let paid = within("the payment", payer.node.routed_payment_ended(&key)).await;
    assert_eq!(paid, Some(PaymentState::Paid(PRE_IMAGE)));
    let (up, down) = (hub.channel(&payer, reference).await, hub.channel(&payee, other).await);
    let whole = || async {
        let (up, down) = (up.balances().await.unwrap().unwrap(), down.balances().await.unwrap().unwrap());
        (up.ours + down.ours == before + FEE).then_some(())
    };
    until("the hub's coins", whole).await;
}
