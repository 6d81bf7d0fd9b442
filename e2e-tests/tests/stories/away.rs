//! Nodes whose view of the chain is worse than it was: blocks that nobody keeps any more, a chain that cannot be followed, a chain started anew.

use channel::{CloseReason, Event};
use e2e_tests::{Actor, Asked, Impaired, UNIT, World, signer, terms, until, within};
use protocol::{ChannelId, Pair, call::Call, event::ArbiterEvent};
use scale::Encode;
use sdk::{
    chain::{Arbiter, Chain, ChainError, ContractEvent, Health, arbiter::ChannelEvent},
    node::{ChannelHandle, Node, NodeConfig, NodeError, StartError, Storage},
};
use std::sync::Arc;

/// Settings for a node of Alice's that sees the chain through `chain`.
async fn through(world: &World, chain: &Arc<Impaired>) -> NodeConfig {
    let address = world.arbiter.info().domain.arbiter;
    let arbiter = within("the arbiter", Arbiter::attach(chain.clone(), address, None)).await.unwrap();
    NodeConfig { arbiter: Arc::new(arbiter), ..world.config("alice") }
}

/// Alice and Bob with an open channel, and what Bob may close on although it is old.
async fn opened(world: &World) -> (Actor, Actor, ChannelHandle, Call) {
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let old = bobs.evidence().await.unwrap().unwrap();
    let _paid = bobs.pays(40 * UNIT, "what Bob regrets").await;
    let _paid = alices.pays(UNIT, "change").await;
    (alice, bob, alices, Call::ChannelCloseSolo(old))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_for_longer_than_blocks_are_kept_answers_an_old_close_and_goes_on() {
    let world = World::new().await;
    let (alice, bob, alices, old) = opened(&world).await;
    let channel = alices.reference();
    drop(alices);
    alice.stop_and_wait().await;
    world.pass(10).await;
    let _done = within("Bob's close", world.arbiter.call(&signer("bob"), &old, 0)).await.unwrap();
    world.pass(3).await;

    let pruned = Arc::new(Impaired::with_late_answers(world.recorder.clone()));
    let head = world.chain.block_number();
    pruned.prune_below(head);
    let config = through(&world, &pruned).await;
    let alice = world.start_with("alice", |settings| *settings = config).await;
    let skipped = |event: &Event| match event {
        Event::BlocksSkipped { from, to } => Some((*from, *to)),
        _ => None,
    };
    let (from, to) = alice.events.wait("the gap", channel, skipped).await;
    assert!(from + 13 <= to && to >= head, "{from} to {to}, pruned below {head}");
    let slashed = |event: &Event| match event {
        Event::Slashed { unlock_at, .. } => Some(*unlock_at),
        _ => None,
    };
    let unlock_at = alice.events.wait("the slash", channel, slashed).await;
    world.pass_lock(unlock_at).await;
    let balances = Pair::new(144 * UNIT, 56 * UNIT);
    assert_eq!(alice.events.wait_end(channel).await, CloseReason::Settled { balances });
    assert!(alice.node.chain_health().is_good());

    // And a new channel is opened, and seen.
    alice.connect(&bob).await;
    let (alices, _bobs) = alice.open(&bob).await;
    let _paid = alices.pays(UNIT, "at last").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_close_in_skipped_blocks_is_answered_before_a_second_endpoint_confirms_it() {
    let world = World::new().await;
    let (alice, _bob, alices, old) = opened(&world).await;
    let channel = alices.reference();
    drop(alices);
    alice.stop_and_wait().await;
    let _done = within("Bob's close", world.arbiter.call(&signer("bob"), &old, 0)).await.unwrap();
    world.pass(3).await;
    let pruned = Arc::new(Impaired::with_late_answers(world.recorder.clone()));
    pruned.prune_below(world.chain.block_number());
    pruned.have_witness(false);
    let config = through(&world, &pruned).await;
    let alice = world.start_with("alice", |settings| *settings = config).await;
    until("the slash", || async { (world.recorder.count("channel_slash").await > 0).then_some(()) }).await;
    assert!(matches!(alice.node.chain_health(), Health::Blind { cause: ChainError::Unconfirmed { .. }, .. }));
    pruned.have_witness(true);
    world.pass(1).await;
    let skipped = |event: &Event| matches!(event, Event::BlocksSkipped { .. }).then_some(());
    alice.events.wait("certainty", channel, skipped).await;
    assert!(alice.node.chain_health().is_good());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_follow_the_chain_says_since_when_and_opens_nothing() {
    let world = World::new().await;
    let chain = Arc::new(Impaired::with_late_answers(world.recorder.clone()));
    chain.hide_blocks(true);
    let config = through(&world, &chain).await;
    let (alice, bob) = world.couple_on(config, world.config("bob")).await;
    let blind =
        || async { matches!(alice.node.chain_health(), Health::Blind { .. }).then(|| alice.node.chain_health()) };
    let Health::Blind { cause, .. } = until("the blindness to be told", blind).await else { panic!() };
    assert_eq!(cause, ChainError::Unreachable("no blocks here".into()));
    let refused = within("a refusal", alice.node.open_channel(bob.identity(), terms())).await.unwrap_err();
    assert!(matches!(refused, NodeError::ChainUnhealthy(Health::Blind { .. })), "{refused}");
    let refused = bob.try_open(&alice, terms()).await.unwrap_err();
    assert!(matches!(refused, NodeError::Ended(CloseReason::NotOpened { code: Some(channel::RefusalCode::BUSY) })));

    chain.hide_blocks(false);
    until("sight", || async { alice.node.chain_health().is_good().then_some(()) }).await;
    let (alices, _bobs) = alice.open(&bob).await;
    let _paid = alices.pays(UNIT, "at last").await;
}

/// Starts Alice's node on the store of another world.
async fn start_on(world: &World, store: &World) -> Result<Node, StartError> {
    let store = store.free_store_of("alice").await;
    Node::start(NodeConfig { storage: Storage::Disk(store), ..world.config("alice") }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_not_taken_to_a_chain_that_was_started_anew() {
    let before = World::new().await;
    let (alice, _bob, alices, _old) = opened(&before).await;
    drop(alices);
    alice.stop_and_wait().await;

    // The same genesis and the same arbiter, and nothing of what happened.
    let anew = World::new().await;
    assert_eq!(anew.arbiter.info().domain, before.arbiter.info().domain);
    let error = start_on(&anew, &before).await.unwrap_err();
    let StartError::OtherHistory(ChainError::BehindSeen { block, head, .. }) = &error else { panic!("{error}") };
    assert!(head < block && *head == anew.chain.block_number(), "{error}");
    assert!(error.to_string().contains("start with a new store"), "{error}");

    let block = *block;
    anew.pass(block).await;
    let error = start_on(&anew, &before).await.unwrap_err();
    let StartError::OtherHistory(ChainError::WrongChain { block: named, expected, found, .. }) = &error else {
        panic!("{error}")
    };
    assert_eq!(*named, block);
    let (was, is) = (before.recorder.block_hash(block).await.unwrap(), anew.recorder.block_hash(block).await.unwrap());
    assert_eq!((Some(*expected), Some(*found)), (was, is));
    assert!(start_on(&before, &before).await.is_ok(), "where it belongs it is taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_block_is_forgotten_a_channel_tells_whether_the_chain_is_the_same() {
    let before = World::new().await;
    let (alice, _bob, alices, _old) = opened(&before).await;
    drop(alices);
    alice.stop_and_wait().await;
    let start = async |world: &World| {
        let forgetful = Arc::new(Impaired::with_late_answers(world.recorder.clone()));
        forgetful.forget_hashes();
        let arbiter = through(world, &forgetful).await.arbiter;
        let storage = Storage::Disk(before.free_store_of("alice").await);
        Node::start(NodeConfig { storage, arbiter, ..world.config("alice") }).await
    };
    let anew = World::new().await;
    anew.pass(200).await;
    let error = start(&anew).await.unwrap_err();
    assert!(matches!(error, StartError::UnknownHistory { channels: 1, .. }), "{error}");
    let node = start(&before).await.unwrap();
    until("the chain to be followed", || async { node.chain_health().is_good().then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_is_started_anew_under_a_running_node_blinds_it() {
    let world = World::new().await;
    let chain = Arc::new(Impaired::with_late_answers(world.recorder.clone()));
    let config = through(&world, &chain).await;
    let alice = world.start_with("alice", |settings| *settings = config).await;
    until("sight", || async { alice.node.chain_health().is_good().then_some(()) }).await;
    world.pass(3).await;
    chain.start_anew();
    until("the blindness to be told", || async {
        let health = alice.node.chain_health();
        matches!(health, Health::Blind { cause: ChainError::WrongChain { .. }, .. }).then_some(())
    })
    .await;
}

/// An event of the arbiter's that never was.
fn forged(world: &World, channel: ChannelId, event: ArbiterEvent) -> ContractEvent {
    let data = ChannelEvent { channel, event, payouts: Vec::new() }.encode();
    ContractEvent { contract: world.arbiter.info().domain.arbiter, topics: Vec::new(), data }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_endpoint_that_lies_about_an_end_makes_nobody_forget_a_channel() {
    let world = World::new().await;
    let liar = Arc::new(Impaired::with_late_answers(world.recorder.clone()));
    let config = through(&world, &liar).await;
    let (alice, bob) = world.couple_on(config, world.config("bob")).await;
    let (alices, bobs) = alice.open(&bob).await;
    let id = alices.status().await.unwrap().channel.unwrap();
    let balances = Pair::new(0, 200 * UNIT);
    liar.forge(forged(&world, id, ArbiterEvent::ChannelSettled { balances, remaining: 0 }));
    world.pass(1).await;
    let head = world.chain.block_number();
    until("the doubt to be cleared", || async { (alices.head().await.unwrap() >= head).then_some(()) }).await;
    let _paid = alices.pays(UNIT, "all is well").await;
    let _paid = bobs.pays(UNIT, "on both sides").await;
    assert!(alice.node.chain_health().is_good());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_no_second_endpoint_is_there_closes_are_answered_and_nothing_is_counted() {
    let world = World::new().await;
    let chain = Arc::new(Impaired::with_late_answers(world.recorder.clone()));
    let config = through(&world, &chain).await;
    let (alice, bob) = world.couple_on(config, world.config("bob")).await;
    let (alices, bobs) = alice.open(&bob).await;
    let old = bobs.evidence().await.unwrap().unwrap();
    let _paid = bobs.pays(40 * UNIT, "what Bob regrets").await;
    let _paid = alices.pays(UNIT, "change").await;

    // Signed while the second endpoint was there, and on chain while it is away.
    chain.have_witness(false);
    let opening = tokio::spawn({
        let (node, peer) = (alice.node.clone(), bob.identity());
        async move { node.open_channel(peer, terms()).await }
    });
    let blind = || async { (!alice.node.chain_health().is_good()).then(|| alice.node.chain_health()) };
    let Health::Blind { cause, .. } = until("the doubt to be told", blind).await else { panic!() };
    assert!(matches!(cause, ChainError::Unconfirmed { .. }), "{cause}");
    assert!(!opening.is_finished(), "nobody confirms that it is there");

    let (bobs, close) = (signer("bob"), Call::ChannelCloseSolo(old));
    let _done = within("Bob's close", world.arbiter.call(&bobs, &close, 0)).await.unwrap();
    until("the slash", || async { (world.recorder.count("channel_slash").await > 0).then_some(()) }).await;

    chain.have_witness(true);
    world.pass(1).await;
    let opened = within("the opening", opening).await.unwrap().unwrap();
    until("certainty", || async { alice.node.chain_health().is_good().then_some(()) }).await;
    let _paid = opened.pays(UNIT, "counted now").await;
    world.pass(2 * terms().lock_period).await;
    // What was seen in doubt is known by the record, and the end by its event.
    let balances = Pair::new(144 * UNIT, 56 * UNIT);
    assert_eq!(alice.events.wait_end(alices.reference()).await, CloseReason::Settled { balances });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proof_of_a_channel_that_has_ended_is_kept_for_a_time() {
    let world = World::new().await;
    let (mut alices, bobs) = (world.config("alice"), world.config("bob"));
    alices.keep_ended = 100;
    let (alice, bob) = world.couple_on(alices, bobs).await;
    let (alices, _bobs) = alice.open(&bob).await;
    let _paid = alices.pays(UNIT, "").await;
    let (reference, evidence) = (alices.reference(), alices.evidence().await.unwrap());
    let _ended = within("the close", alices.close(0)).await.unwrap();
    let kept = alice.node.ended_channels().unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].peer, kept[0].reference, &kept[0].evidence), (bob.identity(), reference, &evidence));
    assert!(evidence.is_some_and(|evidence| evidence.payload.is_some()));
    world.pass(64).await;
    assert_eq!(alice.node.ended_channels().unwrap(), kept);
    world.pass(128).await;
    until("the proof to be let go of", || async { alice.node.ended_channels().unwrap().is_empty().then_some(()) })
        .await;
}
