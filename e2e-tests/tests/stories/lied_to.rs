//! One endpoint of several that lies, or says nothing, while the peer cheats (R6.9a): nobody loses coins by it.

use channel::Event;
use e2e_tests::{Actor, Asked, Impaired, UNIT, World, signer, terms, until, within};
use protocol::{
    Base, BlockNumber, ChannelId, Pair, Party, Rejection,
    call::{Call, SnapshotSolo},
    event::ArbiterEvent,
    record::{Closing, Penalty},
};
use scale::Encode;
use sdk::{
    chain::{Arbiter, ContractEvent, arbiter::ChannelEvent},
    node::{ChannelHandle, NodeConfig, OpenChannel},
    store::{Batch, Table},
};
use std::{sync::Arc, time::Duration};

/// How long a node may take for a block that is there.
const MOMENT: Duration = Duration::from_millis(300);

/// Settings for a node of Alice's that sees the chain through `chain`.
async fn through(world: &World, chain: &Arc<Impaired>) -> NodeConfig {
    let address = world.arbiter.info().domain.arbiter;
    let arbiter = within("the arbiter", Arbiter::attach(chain.clone(), address, None)).await.unwrap();
    NodeConfig { arbiter: Arc::new(arbiter), ..world.config("alice") }
}

/// Alice, who sees the chain through endpoints of which one may lie, with an open channel in which Bob has paid her.
struct Cheated {
    chain: Arc<Impaired>,
    alice: Actor,
    bob: Actor,
    alices: ChannelHandle,
    id: ChannelId,
    /// Bob's close on the state before he paid.
    old: Call,
}

impl Cheated {
    async fn new(world: &World, terms: OpenChannel) -> Self {
        let chain = Arc::new(Impaired::with_late_answers(world.recorder.clone()));
        let config = through(world, &chain).await;
        let (alice, bob) = world.couple_on(config, world.config("bob")).await;
        let (alices, bobs) = alice.open_on(&bob, terms).await;
        let old = Call::ChannelCloseSolo(bobs.evidence().await.unwrap().unwrap());
        let _paid = bobs.pays(40 * UNIT, "what Bob regrets").await;
        let _paid = alices.pays(UNIT, "change").await;
        let id = alices.status().await.unwrap().channel.unwrap();
        Self { chain, alice, bob, alices, id, old }
    }

    /// Bob closes on the old state; the block from which on it can be settled.
    async fn close(&self, world: &World) -> BlockNumber {
        let _done = within("Bob's close", world.arbiter.call(&signer("bob"), &self.old, 0)).await.unwrap();
        let record = world.arbiter.channel(self.id).await.unwrap().unwrap();
        record.closing().unwrap().unlock_at
    }

    /// Lets blocks come one by one, each with a moment for Alice's node to look at it, until the close can be settled; whether she answered it.
    async fn answers_until(&self, world: &World, unlock_at: BlockNumber) -> bool {
        loop {
            if world.recorder.count("channel_slash").await > 0 {
                return true;
            }
            let head = world.chain.block_number();
            if head + 1 >= unlock_at {
                return false;
            }
            world.pass(1).await;
            let seen =
                until("the block to be seen", || async { (self.alices.head().await.unwrap() > head).then_some(()) });
            let _seen_or_not = tokio::time::timeout(MOMENT, seen).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_about_which_one_endpoint_keeps_silent_is_answered() {
    let world = World::new().await;
    let cheated = Cheated::new(&world, terms()).await;
    cheated.chain.withhold(true);
    let unlock_at = cheated.close(&world).await;
    assert!(cheated.answers_until(&world, unlock_at).await, "Alice is {}", cheated.alice.node.chain_health());
}

/// A close of Bob's on the first state, which never was.
fn forged_close(world: &World, channel: ChannelId) -> ContractEvent {
    let balances = Pair::new(100 * UNIT, 100 * UNIT);
    let penalty = Penalty::AtRisk { closer: Party::Responder, closed_on: 1 };
    let closing = Closing { balances, unlock_at: world.chain.block_number() + 20, penalty };
    let event =
        ArbiterEvent::ChannelClosedSolo { at: Base::of(1), state_hash: channel::State::of(balances).hash(), closing };
    let data = ChannelEvent { channel, event, payouts: Vec::new() }.encode();
    ContractEvent { contract: world.arbiter.info().domain.arbiter, topics: Vec::new(), data }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_is_answered_although_the_answer_to_a_forged_one_was_refused_before() {
    let world = World::new().await;
    let cheated = Cheated::new(&world, terms()).await;
    // Two endpoints contradict each other, and nobody can say which one lies.
    cheated.chain.have_witness(false);
    cheated.chain.forge(forged_close(&world, cheated.id));
    let tried = cheated.chain.tried();
    world.pass(1).await;
    within("the answer to what is not there", cheated.chain.has_tried(tried + 1)).await;
    world.pass(2).await;
    assert_eq!(world.recorder.count("channel_slash").await, 0);
    let unlock_at = cheated.close(&world).await;
    assert!(cheated.answers_until(&world, unlock_at).await, "nothing defends the channel");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_is_answered_although_an_endpoint_that_boasts_has_refused_the_answer() {
    let world = World::new().await;
    let cheated = Cheated::new(&world, terms()).await;
    cheated.chain.boast(1_000_000);
    cheated.chain.refuse_once(Rejection::ChannelUnknown);
    let unlock_at = cheated.close(&world).await;
    assert!(cheated.answers_until(&world, unlock_at).await, "the answer waits for a block that is not there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_is_answered_although_the_endpoint_in_use_refuses_each_answer() {
    let world = World::new().await;
    let cheated = Cheated::new(&world, terms()).await;
    cheated.chain.refuse_until_left(Rejection::ChannelUnknown);
    let unlock_at = cheated.close(&world).await;
    assert!(cheated.answers_until(&world, unlock_at).await, "nobody else is asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_is_answered_although_the_second_endpoint_says_that_it_has_forgotten_all_states() {
    let world = World::new().await;
    let cheated = Cheated::new(&world, OpenChannel { lock_period: 100, ..terms() }).await;
    cheated.chain.have_forgetful_witness();
    // Meanwhile the first one has forgotten the next block too, as every node does after some time.
    cheated.chain.prune_below(BlockNumber::MAX);
    world.pass(1).await;
    until("the doubt", || async { (!cheated.alice.node.chain_health().is_good()).then_some(()) }).await;
    let unlock_at = cheated.close(&world).await;
    assert!(cheated.answers_until(&world, unlock_at).await, "Alice is {}", cheated.alice.node.chain_health());
}

/// A question to an endpoint that takes connections and says nothing is given up after a minute, which is ten blocks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_endpoint_that_says_nothing_does_not_hold_up_a_defence() {
    let world = World::new().await;
    let cheated = Cheated::new(&world, OpenChannel { lock_period: 100, ..terms() }).await;
    let (other, bobs) = cheated.alice.open(&cheated.bob).await;
    let _paid = other.pays(UNIT, "").await;
    cheated.chain.have_mute_witness(10);
    // Something happens in another channel, and the close comes a while after it.
    let channel = other.status().await.unwrap().channel.unwrap();
    let payload = bobs.evidence().await.unwrap().unwrap().payload.unwrap();
    let snapshot = Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload });
    let _done = within("a snapshot", world.arbiter.call(&signer("bob"), &snapshot, 0)).await.unwrap();
    world.pass(30).await;
    let unlock_at = cheated.close(&world).await;
    let answered = cheated.answers_until(&world, unlock_at).await;
    let (seen, head) = (cheated.alices.head().await.unwrap(), world.chain.block_number());
    assert!(answered, "Alice has seen block {seen}, and {head} is final; the close can be settled in {unlock_at}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_that_nobody_confirms_are_known_to_nobody_and_count_in_their_order_once_somebody_does() {
    let world = World::new().await;
    let Cheated { chain, alice, bob, alices, .. } = Cheated::new(&world, terms()).await;
    let bobs = bob.channel(&alice, alices.reference()).await;
    let head = world.chain.block_number();
    until("all blocks to be seen", || async { (alices.head().await.unwrap() == head).then_some(()) }).await;
    chain.have_witness(false);
    world.pass(30).await;
    until("the doubt", || async { (!alice.node.chain_health().is_good()).then_some(()) }).await;
    // A contract's deadline may be over by now, or the channel settled: nothing is agreed any more.
    let before = alices.has().await.ours;
    let mut paid = 0;
    within("a payment that is not agreed to", async {
        while let Ok(payment) = tokio::time::timeout(MOMENT, bobs.pay(1, "in doubt")).await {
            let _made = payment.unwrap();
            paid += 1;
        }
    })
    .await;
    assert_eq!(alices.head().await.unwrap(), head, "nothing expires by what one endpoint says");

    chain.have_witness(true);
    world.pass(1).await;
    let number = world.chain.block_number();
    until("all blocks to count", || async { (alices.head().await.unwrap() == number).then_some(()) }).await;
    // Whoever was put off asks again with the next block.
    world.pass(1).await;
    until("the payment", || async { (alices.has().await.ours == before + paid + 1).then_some(()) }).await;
    assert!(alice.node.chain_health().is_good());
    let skipped = |event: &Event| matches!(event, Event::BlocksSkipped { .. });
    assert!(!alice.events.about(alices.reference()).iter().any(skipped), "nothing was missed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_are_heard_although_an_endpoint_has_boasted_at_the_start() {
    let world = World::new().await;
    let Cheated { chain, alice, bob, alices, .. } = Cheated::new(&world, terms()).await;
    let channel = alices.reference();
    drop(alices);
    alice.stop_and_wait().await;
    chain.boast(1_000_000);
    let config = through(&world, &chain).await;
    let alice = world.start_with("alice", |settings| *settings = config).await;
    chain.boast(0);
    bob.connect(&alice).await;
    world.pass(3).await;
    let alices = alice.channel(&bob, channel).await;
    let paid = tokio::time::timeout(Duration::from_secs(5), alices.pay(UNIT, "at last")).await;
    assert!(matches!(paid, Ok(Ok(_))), "{paid:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_row_hides_no_proof_of_another_channel() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    let (alices, _bobs) = alice.open(&bob).await;
    let _paid = alices.pays(UNIT, "").await;
    let _ended = within("the close", alices.close(0)).await.unwrap();
    assert_eq!(alice.node.ended_channels().unwrap().len(), 1);
    drop(alices);
    alice.stop_and_wait().await;
    let store = world.free_store_of("alice").await;
    store.commit(Batch::new().put(Table::Ended, vec![0xff; 68], vec![1, 2, 3])).await.unwrap();
    drop(store);
    let alice = world.start("alice").await;
    let kept = alice.node.ended_channels();
    assert!(kept.as_ref().is_ok_and(|kept| kept.len() == 1), "{kept:?}");
    let _none = alice.events.all().iter().filter(|told| matches!(told.event.event(), Some(Event::Closed(_)))).count();
}
