//! An endpoint that lies about what a transaction is signed with, or keeps it (R6.9a): whatever is sent is in a block all the same; or about what was
//! registered (R8.31): nothing is known for that.

use crate::liar::{BOAST, Liar, Sent};
use channel::{Stage, transfer::Registered};
use devchain::DevAccount;
use e2e_tests::{
    NodeChain, UNIT,
    stories::hub::{AMOUNT, FEE, PRE_IMAGE, Three, carries, takes},
    terms, until, within,
};
use network::{InvoiceState, PaymentState};
use protocol::{
    AccountId,
    call::Call,
    contracts::conditional::{HashFunction, Preimage},
    crypto::Native,
};
use sdk::{
    chain::{Arbiter, Chain, RemoteChain, Signer, Transaction, Urgency, remote::Settings},
    node::{Interest, Node, NodeConfig, invoice_lock},
};
use std::{sync::Arc, time::Duration};

/// What comes first because it defends a channel.
const FIRST: Urgency = Urgency { is_first: true, until: None, tip_max: 0 };
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_defends_a_channel_is_in_a_block_though_the_endpoint_in_use_makes_its_nonce_up() {
    let Some(chain) = NodeChain::start_bare().await else { return };
    let (from, to) = (DevAccount::Dave.signer(), AccountId([5; 32]));
    let transfer = Transaction::Transfer { to, amount: UNIT };
    let dry_run = chain.remote().dry_run(&from.account(), &transfer).await.unwrap();
    let _receipt = within("a block", chain.remote().submit(&from, transfer.clone(), &dry_run)).await.unwrap();
    let liar = Liar::before(chain.port()).await;
    for nonce in [1_000, 0] {
        liar.lies(|lies| lies.nonce = Some(nonce));
        let client = within("a client", RemoteChain::connect(liar.then(&chain))).await.unwrap();
        let sending = client.submit_urgently(&from, transfer.clone(), &dry_run, FIRST);
        let sent = within("a block", sending).await;
        assert!(sent.is_ok(), "told of nonce {nonce}: {sent:?}");
    }
    assert_eq!(chain.remote().free_balance(&to).await.unwrap(), 3 * UNIT);
}

/// What is signed for blocks after a head that nobody else has is in no block, and its era is never over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_signed_after_a_made_up_head_is_in_a_block_once_all_the_same() {
    let Some(chain) = NodeChain::start_bare().await else { return };
    let (from, to) = (DevAccount::Dave.signer(), AccountId([5; 32]));
    let transfer = Transaction::Transfer { to, amount: UNIT };
    let dry_run = chain.remote().dry_run(&from.account(), &transfer).await.unwrap();
    let liar = Liar::before(chain.port()).await;
    let client = within("a client", RemoteChain::connect(liar.then(&chain))).await.unwrap();
    liar.lies(|lies| (lies.boasts, lies.sent) = (true, Sent::Kept));
    // A block, and with it news of a head.
    let _receipt = within("a block", chain.remote().submit(&from, transfer.clone(), &dry_run)).await.unwrap();
    let _boasted = within("the made-up head", client.reached(BOAST)).await;
    let sent = within("a block", client.submit(&from, transfer, &dry_run)).await;
    assert!(sent.is_ok(), "{sent:?}");
    assert_eq!(chain.remote().free_balance(&to).await.unwrap(), 2 * UNIT);
}

/// The account's other calls wait for their turn meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_defends_a_channel_does_not_wait_for_the_endpoint_in_use_to_say_something() {
    let Some(chain) = NodeChain::start_bare().await else { return };
    let (from, to) = (DevAccount::Dave.signer(), AccountId([5; 32]));
    let transfer = Transaction::Transfer { to, amount: UNIT };
    let dry_run = chain.remote().dry_run(&from.account(), &transfer).await.unwrap();
    let liar = Liar::before(chain.port()).await;
    liar.lies(|lies| lies.sent = Sent::Unanswered);
    let settings = Settings { request_timeout: Duration::from_secs(3_600), ..liar.then(&chain) };
    let client = within("a client", RemoteChain::connect(settings)).await.unwrap();
    let send = || client.submit_urgently(&from, transfer.clone(), &dry_run, FIRST);
    let sent = within("two blocks", async { tokio::join!(send(), send()) }).await;
    assert!(sent.0.is_ok() && sent.1.is_ok(), "{sent:?}");
    assert_eq!(chain.remote().free_balance(&to).await.unwrap(), 2 * UNIT);
}

/// What is registered was shown, and one endpoint says that it was not: with one other endpoint nothing is known, with two the truth is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_hides_what_was_registered_has_nobody_believe_that_it_was_not() {
    let Some(world) = crate::world().await else { return };
    let liar = Liar::before(world.chain.port()).await;
    let honest = world.chain.url();
    let (preimage, function) = (Preimage([7; 32]), HashFunction::Blake2b256);
    let lock = preimage.lock(function, &Native);
    let through = async |endpoints: Vec<String>, name: &str| {
        let settings = Settings { endpoints, ..Settings::for_instant_seal(liar.url()) };
        let chain = Arc::new(within("a client", RemoteChain::connect(settings)).await.unwrap());
        let address = world.arbiter.info().domain.arbiter;
        let arbiter = Arc::new(within("the arbiter", Arbiter::attach(chain, address, None)).await.unwrap());
        Node::start(NodeConfig { arbiter, ..world.config(name) }).await.unwrap()
    };
    let alice = through(vec![liar.url(), honest.clone()], "alice").await;
    let registry = alice.registry().clone();
    let silent = |known| matches!(known, Registered::Silent { .. });
    let far = registry.best() + 500;
    let first = registry.watch(lock, far, Interest::Paid);
    registry.ask(&lock);
    let mut changes = registry.changes();
    within("the truth, so far", async {
        while !silent(registry.registered(&lock)) {
            changes.changed().await.unwrap();
        }
    })
    .await;
    drop(first);
    // From now on it repeats that.
    liar.lies(|lies| lies.hides = true);
    let call = Call::PreimageRegister { preimage, function };
    let shown = within("a registration", world.arbiter.call(&e2e_tests::signer("bob"), &call, 0)).await.unwrap();
    let at = shown.receipt.block.number;
    let [alone, with_two] = [vec![liar.url(), honest.clone()], vec![liar.url(), honest.clone(), honest.clone()]];
    let two = through(with_two, "hub").await;
    let _watching = two.registry().watch(lock, at + 1, Interest::Paid);
    let known = within("the truth", two.registry().settled(&lock, at + 1)).await;
    assert_eq!(known, Registered::Shown { at });
    let one = through(alone, "mallory").await;
    let expiry = at + 2;
    let _watching = one.registry().watch(lock, expiry, Interest::Paid);
    for _ in 0..4 {
        let mut changes = one.registry().changes();
        let head = one.registry().finalised();
        world.pass(1).await;
        within("the block", async {
            while one.registry().finalised() <= head {
                changes.changed().await.unwrap();
            }
        })
        .await;
        assert_eq!(one.registry().registered(&lock), Registered::Unknown, "two voices say different things");
    }
    for node in [alice, two, one] {
        node.stop().await;
    }
}

/// Payer, hub and payee each have an endpoint among three that says that nothing was registered. The payee, whom the hub does not hear, shows its pre-image on
/// chain: the hub is paid, nobody takes back what was shown in time, and the payee has its coins once the two talk again, after the expiry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_through_a_hub_ends_right_although_one_endpoint_of_three_hides_what_was_registered() {
    let Some(world) = crate::world().await else { return };
    let liar = Liar::before(world.chain.port()).await;
    let honest = world.chain.url();
    let through = async |name: &str| {
        let endpoints = vec![liar.url(), honest.clone(), honest.clone()];
        let settings = Settings { endpoints, ..Settings::for_instant_seal(liar.url()) };
        let chain = Arc::new(within("a client", RemoteChain::connect(settings)).await.unwrap());
        let address = world.arbiter.info().domain.arbiter;
        let arbiter = Arc::new(within("the arbiter", Arbiter::attach(chain, address, None)).await.unwrap());
        NodeConfig { arbiter, ..world.config(name) }
    };
    let (mut hubs, mut payees) = (through("hub").await, through("bob").await);
    carries(&mut hubs);
    takes(&mut payees);
    let three = Three::meet_as(&world, [through("alice").await, hubs, payees], terms()).await;
    let before = three.hubs().await;
    let payee_before = three.downstream.balances().await.unwrap().unwrap().peers;
    let (lock, text) = three.invoice(Some(invoice_lock(&PRE_IMAGE))).await;
    let (began, margins) = (three.hub.node.registry().best(), three.hub.node.registry().margins());
    // What is held expires three margins ahead, and what may pass on its way.
    let expiry = began + 3 * margins.forward() + 3;
    let _begun = three.pay("lied about", &text).await;
    three.is_held(&lock).await;
    for actor in [&three.payer, &three.hub] {
        let registry = actor.node.registry();
        let mut changes = registry.changes();
        registry.ask(&lock);
        within("the truth, so far", async {
            while !matches!(registry.registered(&lock), Registered::Silent { .. }) {
                changes.changed().await.unwrap();
            }
        })
        .await;
    }
    // From now on it repeats that.
    liar.lies(|lies| lies.hides = true);
    let Three { payer, hub, payee, upstream, downstream } = three;
    let reference = downstream.reference();
    payee.stop_and_wait().await;
    let mut payees = through("bob").await;
    takes(&mut payees);
    let payee = world.start_with("bob", |config| *config = payees).await;
    within("the payee to settle", payee.node.settle_invoice(lock, PRE_IMAGE)).await.unwrap();
    world.pass_until(expiry - margins.register).await;
    // The payer's own transfer may have been claimed by now: then it does not look at the lock any more.
    for actor in [&payee, &hub] {
        let known = within("the registration", actor.node.registry().settled(&lock, expiry)).await;
        assert!(known.is_shown_before(expiry), "{} knows {known:?}", actor.name);
    }
    let paid = within("the payment", payer.node.routed_payment_ended(&"lied about".into())).await;
    assert_eq!(paid, Some(PaymentState::Paid(PRE_IMAGE)));
    let hub_has = async || {
        let (up, down) = (upstream.balances().await.unwrap().unwrap(), downstream.balances().await.unwrap().unwrap());
        up.peers + down.ours
    };
    until("the hub to be paid", || async { (hub_has().await == before + FEE).then_some(()) }).await;
    // After the expiry: were it true what the endpoint says, the payee's coins would go back to the hub, and the hub's to the payer.
    world.pass_until(expiry + 10).await;
    assert_eq!(hub_has().await, before + FEE, "nobody has taken anything back");
    hub.connect(&payee).await;
    let theirs = payee.channel(&hub, reference).await;
    until("the payee to be paid", || async {
        let has = theirs.balances().await.unwrap().unwrap().ours;
        (has == payee_before + AMOUNT).then_some(())
    })
    .await;
    assert_eq!(hub_has().await, before + FEE);
    assert!(matches!(payee.node.invoice_state(&lock), Some(InvoiceState::Paid { amount: AMOUNT, .. })));
    for handle in [&upstream, &downstream, &theirs] {
        assert_eq!(handle.status().await.unwrap().state, Stage::Open);
    }
}
