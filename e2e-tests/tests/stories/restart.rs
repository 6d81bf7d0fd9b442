//! Nodes that stop, whenever, and start again from their stores.

use channel::{Certainty, ChannelRef, CloseReason, Event, Misuse, Notice, RefusalCode, SoloStep, Stage};
use devchain::Sealing;
use e2e_tests::{Actor, Asked, Direction, Impaired, Proxy, UNIT, World, signer, terms, until, within};
use futures::future::join_all;
use protocol::{BlockNumber, Pair, call::Call};
use sdk::{
    chain::Arbiter,
    node::{ChannelHandle, NodeError},
    store::{Batch, Table},
};
use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_were_restarted_go_on_with_their_channels() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let channel = alices.reference();
    let _paid = alices.pays(10 * UNIT, "before").await;
    drop(alices);
    alice.stop();

    let alice = world.start("alice").await;
    let alices = alice.channel(&bob, channel).await;
    assert_eq!(alices.has().await.ours, 90 * UNIT, "known before anybody is connected");
    assert_eq!(alices.status().await.unwrap().state, Stage::Disconnected);
    alice.connect(&bob).await;
    let _paid = alices.pays(10 * UNIT, "after").await;
    drop(bobs);
    bob.stop();

    let bob = world.start("bob").await;
    let bobs = bob.channel(&alice, channel).await;
    bob.connect(&alice).await;
    let _paid = bobs.pays(UNIT, "Bob too").await;
    assert_eq!((alices.has().await.ours, bobs.has().await.ours), (81 * UNIT, 119 * UNIT));
    let _ended = within("the close", bobs.close(0)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_whose_answer_was_lost_in_a_crash_is_made_exactly_once() {
    let world = World::new().await;
    let (alice, bob) = (world.start_rich("alice", 200 * UNIT).await, world.start_rich("bob", 200 * UNIT).await);
    let proxy = Proxy::before(bob.socket()).await;
    alice.connect_at(&bob, proxy.address()).await;
    let (alices, bobs) = alice.open(&bob).await;
    let channel = alices.reference();
    let _paid = alices.pays(UNIT, "first").await;

    proxy.swallow(Direction::Back);
    let unanswered = tokio::spawn({
        let alices = alices.clone();
        async move { alices.pay(2 * UNIT, "second").await }
    });
    let _received = bob.events.wait_received(channel, 2).await;
    drop(alices);
    alice.stop();
    let told = within("the payment's end", unanswered).await.unwrap();
    assert!(matches!(told, Err(NodeError::Stopped)), "{told:?}");

    let alice = world.start("alice").await;
    let alices = alice.channel(&bob, channel).await;
    assert_eq!((alices.has().await.ours, bobs.has().await.peers), (99 * UNIT, 97 * UNIT), "Bob knows more");
    alice.connect(&bob).await;
    let paid = |event: &Event| matches!(event, Event::Paid { .. }).then_some(());
    alice.events.wait("the news that the second payment is made", channel, paid).await;
    let _paid = alices.pays(4 * UNIT, "third").await;
    assert_eq!((alices.has().await.ours, bobs.has().await.ours), (93 * UNIT, 107 * UNIT));
    let received = bob.events.wait_received(channel, 3).await;
    assert_eq!(received.into_iter().map(|payment| payment.amount / UNIT).collect::<Vec<_>>(), [1, 2, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_never_left_before_a_crash_is_made_after_it() {
    let world = World::new().await;
    let (alice, bob) = (world.start_rich("alice", 200 * UNIT).await, world.start_rich("bob", 200 * UNIT).await);
    let proxy = Proxy::before(bob.socket()).await;
    alice.connect_at(&bob, proxy.address()).await;
    let (alices, bobs) = alice.open(&bob).await;
    let channel = alices.reference();

    proxy.swallow(Direction::Forth);
    let unanswered = tokio::spawn({
        let alices = alices.clone();
        async move { alices.pay(2 * UNIT, "signed, stored, and lost on the way").await }
    });
    // It is stored before it is sent.
    proxy.loses(Direction::Forth).await;
    assert_eq!(alices.has().await.spendable, 88 * UNIT, "what is proposed cannot be spent again");
    drop(alices);
    alice.stop();
    let _stopped = within("the payment's end", unanswered).await.unwrap();
    assert_eq!(bob.events.received(channel), []);

    let alice = world.start("alice").await;
    let alices = alice.channel(&bob, channel).await;
    alice.connect(&bob).await;
    let _received = bob.events.wait_received(channel, 1).await;
    let _paid = alices.pays(UNIT, "next").await;
    assert_eq!((alices.has().await.ours, bobs.has().await.ours), (97 * UNIT, 103 * UNIT));
    assert_eq!(bob.events.wait_received(channel, 2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_while_its_channel_ended_learns_how() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let _paid = alices.pays(UNIT, "").await;
    let evidence = bobs.evidence().await.unwrap().unwrap();
    drop(alices);
    alice.stop();
    let _done =
        within("a close", world.arbiter.call(&signer("bob"), &Call::ChannelCloseSolo(evidence), 0)).await.unwrap();
    world.pass(terms().lock_period + 5).await;
    let _ended = within("the end", bobs.closed()).await;

    let alice = world.start("alice").await;
    until("the channel to be forgotten", || async {
        alice.node.channels(bob.identity()).await.unwrap().is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_that_reached_the_chain_while_its_initiator_was_away_is_open_when_it_is_back() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    world.chain.set_sealing(Sealing::Manual).await.unwrap();
    let opening = tokio::spawn({
        let (node, peer) = (alice.node.clone(), bob.identity());
        async move { node.open_channel(peer, terms()).await }
    });
    within("the opening to wait for a block", world.chain.pool_filled(1)).await.unwrap();
    let channel = alice.events.wait_any("both signatures", |event| Some(event.reference)).await;
    alice.stop();
    opening.abort();
    let _aborted = opening.await;

    world.pass(3).await;
    world.chain.set_sealing(Sealing::OnSubmit).await.unwrap();
    let alice = world.start("alice").await;
    alice.connect(&bob).await;
    let (alices, bobs) = (alice.view_of(&bob, channel).await, bob.view_of(&alice, channel).await);
    let _paid = alices.pays(UNIT, "at last").await;
    assert_eq!(bobs.has().await.ours, 101 * UNIT);
}

/// Alice, who was away for a few blocks and is not shown them yet, and Bob, who has a channel with her.
struct Returning {
    chain: Arc<Impaired>,
    alice: Actor,
    bob: Actor,
    alices: ChannelHandle,
    bobs: ChannelHandle,
}

impl Returning {
    async fn new(world: &World) -> Self {
        let (alice, bob) = world.couple().await;
        let (alices, bobs) = alice.open(&bob).await;
        let channel = alices.reference();
        drop(alices);
        alice.stop_and_wait().await;
        world.pass(3).await;
        let chain = Arc::new(Impaired::with_late_answers(world.recorder.clone()));
        chain.show_up_to(0);
        let address = world.arbiter.info().domain.arbiter;
        let arbiter = within("the arbiter", Arbiter::attach(chain.clone(), address, None)).await.unwrap();
        let alice = world.start_with("alice", |config| config.arbiter = Arc::new(arbiter)).await;
        let alices = alice.channel(&bob, channel).await;
        Self { chain, alice, bob, alices, bobs }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_back_hears_no_peer_before_it_has_looked_at_what_it_missed() {
    let world = World::new().await;
    let Returning { chain, alice, bob, alices, bobs } = Returning::new(&world).await;
    let looked = Arc::new(AtomicBool::new(false));
    // Twice: the later connection takes the place of the earlier one, and whoever asked for that has this one.
    let connecting = join_all((0..2).map(|_| {
        let (node, bob, looked) = (alice.node.clone(), bob.address(), Arc::clone(&looked));
        tokio::spawn(async move { node.connect(&bob).await.map(|_bob| looked.load(Ordering::SeqCst)) })
    }));
    // Bob's side is up, and nothing comes of it.
    for _ in 0..500 {
        let _bobs = bobs.status().await.unwrap();
        assert!(!alices.status().await.unwrap().connected);
    }
    looked.store(true, Ordering::SeqCst);
    chain.show_up_to(BlockNumber::MAX);
    for connected in within("the connections", connecting).await {
        assert!(connected.unwrap().unwrap(), "Alice had looked when she heard Bob");
    }
    let _paid = alices.pays(UNIT, "after").await;
}

/// While Alice looks at what she missed, Bob dials her as well: her own call is answered all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dials_while_the_node_looks_at_what_it_missed_is_answered_although_the_peer_dials_too() {
    let world = World::new().await;
    let Returning { chain, alice, bob, alices, .. } = Returning::new(&world).await;
    let connecting = tokio::spawn({
        let (node, bob) = (alice.node.clone(), bob.address());
        async move { node.connect(&bob).await }
    });
    // Her call has come through, and waits.
    for _ in 0..500 {
        let _alices = alices.status().await.unwrap();
    }
    bob.connect(&alice).await;
    for _ in 0..500 {
        let _alices = alices.status().await.unwrap();
    }
    chain.show_up_to(BlockNumber::MAX);
    let connected = within("the connection", connecting).await.unwrap();
    assert!(connected.is_ok(), "the node runs: {:?}", connected.err());
    let _paid = alices.pays(UNIT, "after").await;
}

/// Copies a store, whoever looks after it: with its rights, its lock and all.
fn copy_store(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let _bytes = fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Alice, who has paid Bob 1 and then 10 more, and whose store is put back to what it was in between; `lock` says whether its lock is too.
async fn put_back(world: &World, lock: bool) -> (Actor, Actor, ChannelRef) {
    let (alice, bob) = (world.start_rich("alice", 200 * UNIT).await, world.start_rich("bob", 200 * UNIT).await);
    alice.connect(&bob).await;
    let (alices, bobs) = alice.open(&bob).await;
    let channel = alices.reference();
    let _paid = alices.pays(UNIT, "before").await;
    drop(alices);
    alice.stop_and_wait().await;
    let (store, copy) = (world.store_of("alice"), world.store_of("copy"));
    copy_store(&store, &copy);

    let alice = world.start("alice").await;
    alice.connect(&bob).await;
    let alices = alice.channel(&bob, channel).await;
    let _paid = alices.pays(10 * UNIT, "after").await;
    let _paid = bobs.pays(UNIT, "back").await;
    drop(alices);
    alice.stop_and_wait().await;
    fs::remove_dir_all(&store).unwrap();
    copy_store(&copy, &store);
    if !lock {
        fs::remove_file(store.join("lock")).unwrap();
    }
    (world.start("alice").await, bob, channel)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_alone_right_after_an_old_store_was_put_back_is_not_made() {
    let world = World::new().await;
    // Its owner has deleted the lock: the store is taken for the newest.
    let (alice, bob, channel) = put_back(&world, false).await;
    let alices = alice.channel(&bob, channel).await;
    let closing = tokio::spawn({
        let alices = alices.clone();
        async move { alices.close_solo(Certainty::ConfirmedByPeer).await }
    });
    let waits = Notice::AwaitsPeerConfirmation { step: SoloStep::Close };
    alice.events.wait_notice("the close to wait", channel, |notice| (*notice == waits).then_some(())).await;
    assert_eq!(alices.status().await.unwrap().awaits_peer_confirmation, Some(SoloStep::Close));
    world.pass(3).await;
    alice.connect(&bob).await;
    let given_up = within("the close", closing).await.unwrap();
    assert!(matches!(given_up, Err(NodeError::Misuse(Misuse::StaleStore))), "{given_up:?}");
    assert_eq!(world.recorder.count("channel_close_solo").await, 0);
    // Bob offers to close, which is fair.
    let bobs = bob.channel(&alice, channel).await;
    let closed = within("the close", bobs.close(0)).await.unwrap();
    assert_eq!(closed, CloseReason::Mutual { balances: Pair::new(90 * UNIT, 110 * UNIT) });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_put_back_with_its_lock_is_known_also_at_the_next_start() {
    let world = World::new().await;
    let (alice, bob, channel) = put_back(&world, true).await;
    let copied = |notice: &Notice| matches!(notice, Notice::StoreCopied).then_some(());
    alice.events.wait_notice("the news that the store was copied", channel, copied).await;
    let alices = alice.channel(&bob, channel).await;
    assert!(matches!(within("a payment", alices.pay(1, "")).await, Err(NodeError::Misuse(Misuse::StoreCopied))));
    alice.connect(&bob).await;
    let bobs = bob.channel(&alice, channel).await;
    let refused = within("a payment", bobs.pay(1, "")).await;
    // Nothing is signed for the refusal of an old store: the round may be used yet (R6.6a).
    assert!(matches!(refused, Err(NodeError::PaymentUnknown(_))), "{refused:?}");
    drop(alices);
    alice.stop_and_wait().await;
    // The next start knows it as well.
    let alice = world.start("alice").await;
    assert!(alice.channel(&bob, channel).await.status().await.unwrap().stale_store);
}

/// A store that is older than its own lock says: the values were put back, and the lock was not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_store_is_older_than_its_lock_starts_and_defends_what_it_has() {
    let world = World::new().await;
    let (alice, bob) = (world.start_rich("alice", 200 * UNIT).await, world.start_rich("bob", 200 * UNIT).await);
    alice.connect(&bob).await;
    let (alices, bobs) = alice.open(&bob).await;
    let channel = alices.reference();
    let old = Call::ChannelCloseSolo(bobs.evidence().await.unwrap().unwrap());
    let _paid = bobs.pays(40 * UNIT, "what Bob regrets").await;
    drop(alices);
    alice.stop_and_wait().await;
    let (store, copy) = (world.store_of("alice"), world.store_of("copy"));
    copy_store(&store, &copy);
    let alice = world.start("alice").await;
    alice.connect(&bob).await;
    let _paid = alice.channel(&bob, channel).await.pays(UNIT, "lost").await;
    alice.stop_and_wait().await;
    // Written into the old files themselves: the lock stays.
    for file in ["store.redb", "journal"] {
        fs::write(store.join(file), fs::read(copy.join(file)).unwrap()).unwrap();
    }

    for _ in 0..2 {
        let alice = world.start("alice").await;
        let told = |notice: &Notice| matches!(notice, Notice::StoreCopied).then_some(());
        alice.events.wait_notice("the news that the store may be old", channel, told).await;
        let alices = alice.channel(&bob, channel).await;
        assert!(matches!(within("a payment", alices.pay(1, "")).await, Err(NodeError::Misuse(Misuse::StoreCopied))));
        drop(alices);
        alice.stop_and_wait().await;
    }
    let _alice = world.start("alice").await;
    let _done = within("Bob's close", world.arbiter.call(&signer("bob"), &old, 0)).await.unwrap();
    until("the answer", || async { (world.recorder.count("channel_slash").await == 1).then_some(()) }).await;
    assert_eq!(world.recorder.count("channel_close_solo").await, 1, "Alice closes nothing by herself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_channel_keeps_no_other_from_being_defended_and_stays_as_it_is() {
    let world = World::new().await;
    let (alice, bob) = (world.start_rich("alice", 500 * UNIT).await, world.start_rich("bob", 500 * UNIT).await);
    alice.connect(&bob).await;
    let (first, _firsts) = alice.open(&bob).await;
    let (second, seconds) = alice.open(&bob).await;
    let old = Call::ChannelCloseSolo(seconds.evidence().await.unwrap().unwrap());
    let _paid = seconds.pays(40 * UNIT, "what Bob regrets").await;
    let (peer, damaged, whole) = (bob.identity(), first.reference(), second.reference());
    drop((first, second));
    alice.stop_and_wait().await;
    let store = world.free_store_of("alice").await;
    let key = store.load_all(Table::Channels).unwrap().into_iter().map(|(key, _)| key);
    let key = key.into_iter().find(|key| key.ends_with(&damaged.0)).unwrap();
    let damage =
        Batch::new().put(Table::Channels, key.clone(), vec![5, 1, 2, 3]).put(Table::Apps, vec![9; 32], vec![7]);
    store.commit(damage).await.unwrap();
    drop(store);

    let alice = world.start("alice").await;
    let told = |notice: &Notice| matches!(notice, Notice::Damaged { .. }).then_some(());
    alice.events.wait_notice("the news of the damage", damaged, told).await;
    let known: Vec<_> = alice.node.damaged_channels().iter().map(|it| (it.peer, it.reference)).collect();
    assert_eq!(known, [(peer, damaged)]);
    // What goes on goes on, and nothing new is begun with this peer, whose channel's nonce is not known.
    alice.connect(&bob).await;
    let _paid = alice.channel(&bob, whole).await.pays(UNIT, "it goes on").await;
    let busy = Notice::PeerError(RefusalCode::BUSY);
    bob.events.wait_notice("word of the damaged channel", damaged, |notice| (*notice == busy).then_some(())).await;
    let refused = within("an opening", alice.node.open_channel(peer, terms())).await;
    assert!(matches!(refused, Err(NodeError::Damaged(which)) if which == damaged), "{refused:?}");
    let refused = within("an opening", bob.node.open_channel(alice.identity(), terms())).await;
    assert!(matches!(refused, Err(NodeError::Ended(_))), "{refused:?}");
    bob.stop_and_wait().await;
    let _done = within("Bob's close", world.arbiter.call(&signer("bob"), &old, 0)).await.unwrap();
    until("the answer", || async { (world.recorder.count("channel_slash").await == 1).then_some(()) }).await;

    alice.stop_and_wait().await;
    let store = world.free_store_of("alice").await;
    assert_eq!(store.get(Table::Channels, &key).unwrap(), Some(vec![5, 1, 2, 3]), "it stays as it is");
    drop(store);
    // Until its owner is done with it.
    let alice = world.start("alice").await;
    assert!(alice.node.forget_damaged_channel(peer, damaged).await.unwrap());
    assert!(!alice.node.forget_damaged_channel(peer, whole).await.unwrap());
    alice.stop_and_wait().await;
    assert_eq!(world.start("alice").await.node.damaged_channels(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_channel_whose_latest_state_can_be_read_is_defended() {
    let world = World::new().await;
    let (alice, bob) = (world.start_rich("alice", 200 * UNIT).await, world.start_rich("bob", 200 * UNIT).await);
    alice.connect(&bob).await;
    let (alices, bobs) = alice.open(&bob).await;
    let channel = alices.reference();
    let old = Call::ChannelCloseSolo(bobs.evidence().await.unwrap().unwrap());
    let _paid = bobs.pays(40 * UNIT, "what Bob regrets").await;
    let _paid = within("a payment", alices.pay_once("order-1", UNIT, "once")).await.unwrap();
    drop(alices);
    alice.stop_and_wait().await;
    let store = world.free_store_of("alice").await;
    let (key, _) = store.load_all(Table::Payments).unwrap().pop().unwrap();
    store.commit(Batch::new().put(Table::Payments, key.clone(), vec![1])).await.unwrap();
    let row = store.load_all(Table::Channels).unwrap();
    drop(store);

    let alice = world.start("alice").await;
    let told = |notice: &Notice| matches!(notice, Notice::Damaged { .. }).then_some(());
    alice.events.wait_notice("the news of the damage", channel, told).await;
    assert!(alice.node.damaged_channels()[0].evidence.is_some());
    let alices = alice.channel(&bob, channel).await;
    assert!(matches!(within("a payment", alices.pay(1, "")).await, Err(NodeError::Misuse(Misuse::StoreCopied))));
    let _done = within("Bob's close", world.arbiter.call(&signer("bob"), &old, 0)).await.unwrap();
    until("the answer", || async { (world.recorder.count("channel_slash").await == 1).then_some(()) }).await;
    drop(alices);
    alice.stop_and_wait().await;
    let store = world.free_store_of("alice").await;
    assert_eq!(store.load_all(Table::Channels).unwrap(), row, "it stays as it is");
    assert_eq!(store.get(Table::Payments, &key).unwrap(), Some(vec![1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_its_owner_has_moved_goes_on_once_its_lock_is_deleted() {
    let world = World::new().await;
    let (alice, bob) = (world.start_rich("alice", 200 * UNIT).await, world.start_rich("bob", 200 * UNIT).await);
    alice.connect(&bob).await;
    let (alices, _bobs) = alice.open(&bob).await;
    let channel = alices.reference();
    drop(alices);
    alice.stop_and_wait().await;
    let (store, moved) = (world.store_of("alice"), world.store_of("moved"));
    copy_store(&store, &moved);
    fs::remove_dir_all(&store).unwrap();
    copy_store(&moved, &store);
    let alice = world.start("alice").await;
    alice.connect(&bob).await;
    let alices = alice.channel(&bob, channel).await;
    assert!(matches!(within("a payment", alices.pay(1, "")).await, Err(NodeError::Misuse(Misuse::StoreCopied))));
    drop(alices);
    alice.stop_and_wait().await;
    fs::remove_file(store.join("lock")).unwrap();
    let alice = world.start("alice").await;
    alice.connect(&bob).await;
    let _paid = alice.channel(&bob, channel).await.pays(UNIT, "it goes on").await;
}
