//! A node that has not seen yet what the chain has: its blocks come late, or it has just been started again.

use async_trait::async_trait;
use channel::{Certainty, Event, Performed};
use devchain::Sealing;
use e2e_tests::{Actor, Asked, Impaired, UNIT, World, signer, terms, until, within};
use protocol::{
    AccountId, Pair,
    call::{Call, ForcedCall, SnapshotSolo},
    contracts::ContractId,
};
use scale::Encode;
use sdk::{
    chain::{Arbiter, ChainSignature, NotSigned, Signer, signer::Sr25519Signer},
    node::{ChannelHandle, NodeConfig, NodeError, OpenChannel},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinHandle;

/// A chain of one's own that may come late, and a node's settings with it.
async fn late(world: &World, name: &str) -> (Arc<Impaired>, NodeConfig) {
    let late = Arc::new(Impaired::with_late_answers(world.recorder.clone()));
    let mut config = world.config(name);
    config.arbiter = within("the arbiter", attach(world, &late)).await;
    (late, config)
}

async fn attach(world: &World, late: &Arc<Impaired>) -> Arc<Arbiter> {
    let address = world.arbiter.info().domain.arbiter;
    Arc::new(Arbiter::attach(late.clone(), address, None).await.unwrap())
}

/// How many blocks a node is behind.
const BLOCKS: u32 = 12;
/// How long a node may take to do what it should not do.
const MOMENT: Duration = Duration::from_secs(2);

/// Lets blocks after `head` be seen one by one, as long as the node that sees them tries its call again with each. It has tried `tried` calls.
async fn come_one_by_one(chain: &Impaired, head: u32, tried: u32) {
    for block in 1..BLOCKS {
        chain.show_up_to(head + block);
        if tokio::time::timeout(MOMENT, chain.has_tried(tried + block)).await.is_err() {
            return;
        }
    }
}

/// Alice, who forces one step at most, with a contract that pays her ten units for five counts; each has a chain of its own.
struct Claim {
    alices_chain: Arc<Impaired>,
    bobs_chain: Arc<Impaired>,
    alice: Actor,
    bob: Actor,
    alices: ChannelHandle,
    bobs: ChannelHandle,
    contract: ContractId,
    apps: Arc<sdk::apps::Registry>,
}

impl Claim {
    async fn new(world: &World, max_forced: u8) -> Self {
        let counter = world.deploy_app("counter").await;
        let (alices_chain, alices) = late(world, "alice").await;
        let (bobs_chain, bobs) = late(world, "bob").await;
        for config in [&alices, &bobs] {
            world.give_app(config, &counter).await;
        }
        let apps = alices.apps.clone();
        let (alice, bob) = world.couple_on(alices, bobs).await;
        let (alices, bobs) = alice.open_on(&bob, OpenChannel { max_forced, ..terms() }).await;
        let creating = alices.create_contract(counter.code, Pair::new(10 * UNIT, 0), 5_u64.encode());
        let contract = within("a contract", creating).await.unwrap().contract;
        Self { alices_chain, bobs_chain, alice, bob, alices, bobs, contract, apps }
    }

    /// Alice makes her claim by force, beside everything else.
    fn force(&self) -> JoinHandle<Result<Vec<Performed>, NodeError>> {
        force(&self.alices, self.contract)
    }
}

fn force(alices: &ChannelHandle, contract: ContractId) -> JoinHandle<Result<Vec<Performed>, NodeError>> {
    let (alices, calls) = (alices.clone(), vec![ForcedCall { contract, value: 0, input: 5_u64.encode() }]);
    tokio::spawn(async move { alices.force(calls, Certainty::ConfirmedByPeer).await })
}

/// Waits until her step is on chain.
async fn stepped(world: &World) {
    until("the step to be on chain", || async {
        (world.recorder.count("channel_force_progress").await == 1).then_some(())
    })
    .await;
}

fn failed(event: &Event) -> bool {
    matches!(event, Event::ForceFailed { .. })
}

fn forced(event: &Event) -> Option<()> {
    matches!(event, Event::Executed { forced: true, .. }).then_some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_step_whose_answer_was_lost_is_not_given_up_by_what_it_has_done_itself() {
    let world = World::new().await;
    let claim = Claim::new(&world, 1).await;
    let head = world.chain.block_number();
    claim.alices_chain.show_up_to(head);
    world.pass(BLOCKS).await;
    claim.alices_chain.lose_answers(true);
    let before = claim.alices_chain.tried();
    let forcing = claim.force();
    stepped(&world).await;
    claim.alices_chain.lose_answers(false);
    come_one_by_one(&claim.alices_chain, head, before + 1).await;
    claim.alices_chain.show_up_to(u32::MAX);
    let channel = claim.alices.reference();
    claim.alice.events.wait("the step", channel, forced).await;
    assert!(!claim.alice.events.about(channel).iter().any(failed), "{:?}", claim.alice.events.about(channel));
    let _done = within("the user's answer", forcing).await.unwrap().unwrap();
    assert_eq!(claim.alices.has().await.ours, 100 * UNIT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_died_while_its_step_was_on_its_way_gives_up_nothing_when_it_is_back() {
    let world = World::new().await;
    let Claim { alices_chain, alice, bob, alices, contract, apps, .. } = Claim::new(&world, 1).await;
    let head = world.chain.block_number();
    alices_chain.show_up_to(head);
    world.pass(BLOCKS).await;
    alices_chain.lose_answers(true);
    let channel = alices.reference();
    let forcing = force(&alices, contract);
    stepped(&world).await;
    drop(alices);
    alice.stop_and_wait().await;
    let _stopped = within("the user's answer", forcing).await;

    let (slow, mut config) = late(&world, "alice").await;
    config.apps = apps;
    slow.show_up_to(head);
    let alice = world.start_with("alice", |it| *it = config).await;
    come_one_by_one(&slow, head, 0).await;
    slow.show_up_to(u32::MAX);
    alice.events.wait("the step", channel, forced).await;
    assert!(!alice.events.about(channel).iter().any(failed), "{:?}", alice.events.about(channel));
    let alices = alice.channel(&bob, channel).await;
    assert_eq!(alices.has().await.ours, 100 * UNIT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forced_is_not_undone_by_a_round_that_was_signed_before_it_was_seen() {
    let world = World::new().await;
    let claim = Claim::new(&world, 1).await;
    let id = claim.alices.status().await.unwrap().channel.unwrap();
    let head = world.chain.block_number();
    claim.alices_chain.show_up_to(head);
    claim.bobs_chain.show_up_to(head);
    world.pass(BLOCKS).await;
    claim.alices_chain.lose_answers(true);
    let before = claim.alices_chain.tried();
    let _forcing = claim.force();
    stepped(&world).await;
    claim.alices_chain.lose_answers(false);
    come_one_by_one(&claim.alices_chain, head, before + 1).await;
    // Bob pays her, as it seems, and shows the round to the arbiter.
    let paying = claim.bobs.pay(1, "for nothing");
    let _paid = tokio::time::timeout(MOMENT, paying).await;
    let evidence = claim.bobs.evidence().await.unwrap().unwrap();
    if let Some(payload) = evidence.payload {
        let snapshot = Call::ChannelSnapshotSolo(SnapshotSolo { channel: id, payload });
        let _done = within("a snapshot", world.arbiter.call(&signer("bob"), &snapshot, 0)).await;
    }
    let record = world.arbiter.channel(id).await.unwrap().unwrap();
    assert!(record.on_chain.at.steps > 0, "her claim is undone: {:?}", record.on_chain.at);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_whose_answer_was_lost_is_not_told_as_refused_by_itself() {
    let world = World::new().await;
    let (slow, alices) = late(&world, "alice").await;
    let (alice, bob) = world.couple_on(alices, world.config("bob")).await;
    let head = world.chain.block_number();
    slow.show_up_to(head);
    world.pass(BLOCKS).await;
    slow.lose_answers(true);
    let before = slow.tried();
    let opening = tokio::spawn({
        let (node, peer) = (alice.node.clone(), bob.identity());
        async move { node.open_channel(peer, terms()).await }
    });
    until("the opening to be on chain", || async { (world.recorder.count("channel_create").await == 1).then_some(()) })
        .await;
    slow.lose_answers(false);
    come_one_by_one(&slow, head, before + 1).await;
    slow.show_up_to(u32::MAX);
    let opened = within("the opening", opening).await.unwrap();
    assert!(opened.is_ok(), "it is on chain, and its user is told: {}", opened.unwrap_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_paid_with_the_coins_of_a_channel_that_ended_while_one_was_away() {
    let world = World::new().await;
    let (_alices_chain, alices) = late(&world, "alice").await;
    let (bobs_chain, bobs) = late(&world, "bob").await;
    let (alice, bob) = world.couple_on(alices, bobs).await;
    let (alices, bobs) = alice.open(&bob).await;
    let _paid = bobs.pays(UNIT, "for the first thing").await;
    let (channel, head) = (alices.reference(), world.chain.block_number());
    let id = alices.status().await.unwrap().channel.unwrap();
    drop(alices);
    alice.stop_and_wait().await;
    // Bob closes by hand, on the newest state, and is paid; his node does not look.
    bobs_chain.show_up_to(head);
    let evidence = bobs.evidence().await.unwrap().unwrap();
    let close = Call::ChannelCloseSolo(evidence);
    let _done = within("a close", world.arbiter.call(&signer("bob"), &close, 0)).await.unwrap();
    world.pass(terms().lock_period).await;
    let settle = Call::ChannelSettle { channel: id };
    let _done = within("a settlement", world.arbiter.call(&signer("bob"), &settle, 0)).await.unwrap();
    assert_eq!(world.arbiter.channel(id).await.unwrap(), None);

    // Alice is back, and has not looked at all blocks yet.
    let (slow, config) = late(&world, "alice").await;
    slow.show_up_to(head);
    let alice = world.start_with("alice", |it| *it = config).await;
    bob.connect(&alice).await;
    let paid = tokio::time::timeout(MOMENT, bobs.pay(50 * UNIT, "for the second thing")).await;
    assert!(!matches!(paid, Ok(Ok(_))), "she agreed to a payment out of a channel that is not there any more");
    slow.show_up_to(u32::MAX);
    let _ended = alice.events.wait_end(channel).await;
    assert!(!alice.events.received(channel).iter().any(|payment| payment.amount == 50 * UNIT));
}

/// A wallet that breaks down once it is told to, and is well again.
struct Breaking {
    key: Sr25519Signer,
    breaks: AtomicBool,
}

#[async_trait]
impl Signer for Breaking {
    fn account(&self) -> AccountId {
        self.key.account()
    }

    async fn sign(&self, payload: &[u8]) -> Result<ChainSignature, NotSigned> {
        assert!(!self.breaks.swap(false, Ordering::AcqRel), "the wallet has broken down");
        self.key.sign(payload).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_that_breaks_down_while_it_signs_a_defence_is_asked_again() {
    let world = World::new().await;
    let wallet = Arc::new(Breaking { key: signer("alice"), breaks: AtomicBool::new(false) });
    let mut config = world.config("alice");
    config.signer = wallet.clone();
    let (alice, bob) = world.couple_on(config, world.config("bob")).await;
    let (alices, bobs) = alice.open(&bob).await;
    let old = bobs.evidence().await.unwrap().unwrap();
    let _paid = bobs.pays(50 * UNIT, "for something").await;
    let _paid = alices.pays(1, "change").await;
    wallet.breaks.store(true, Ordering::Release);
    let close = Call::ChannelCloseSolo(old);
    let _done = within("a close", world.arbiter.call(&signer("bob"), &close, 0)).await.unwrap();
    until("the wallet to have broken down", || async { (!wallet.breaks.load(Ordering::Acquire)).then_some(()) }).await;
    let slashed = |event: &Event| matches!(event, Event::Slashed { .. });
    for _ in 0..5 {
        world.pass(1).await;
        let head = world.chain.block_number();
        until("the block to be seen", || async { (alices.head().await.unwrap() >= head).then_some(()) }).await;
        if alice.events.about(alices.reference()).iter().any(slashed) {
            break;
        }
    }
    let told = alice.events.wait("the defence", alices.reference(), |event| slashed(event).then_some(()));
    assert!(tokio::time::timeout(MOMENT, told).await.is_ok(), "nothing defends the channel");
}

/// Whoever asks a node is told what it has committed: what a user relied on would otherwise be gone after a crash, or after a stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_user_was_told_is_still_so_when_the_node_was_stopped_right_after() {
    let world = World::new().await;
    let Claim { alice, bob, alices, contract, apps, .. } = Claim::new(&world, 1).await;
    let channel = alices.reference();
    world.chain.set_sealing(Sealing::Manual).await.unwrap();
    let forcing = force(&alices, contract);
    until("the step to be asked for", || async { alices.status().await.unwrap().forcing.then_some(()) }).await;
    drop(alices);
    alice.stop_and_wait().await;
    let _stopped = within("the user's answer", forcing).await;

    let alice = world.start_with("alice", |config| config.apps = apps).await;
    let alices = alice.channel(&bob, channel).await;
    assert!(alices.status().await.unwrap().forcing, "Alice was told that it is being forced");
}
