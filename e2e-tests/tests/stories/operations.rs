//! What goes on while a channel is open, besides payments: deposits, withdrawals, delegates, words, partings, decisions.

use channel::{Acceptance, Change, Event, Misuse, Notice, PaymentOutcome, RefusalCode, ShutdownStage, Stage};
use e2e_tests::{Actor, Asked, UNIT, World, until, within};
use protocol::Party;
use sdk::node::{Ack, ChannelHandle, Node, NodeError, Storage};

async fn couple(world: &World) -> (Actor, Actor, ChannelHandle, ChannelHandle) {
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    (alice, bob, alices, bobs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deposits_of_both_at_once_and_payments_between_them_all_come_to_be() {
    let world = World::new().await;
    let (_alice, _bob, alices, bobs) = couple(&world).await;
    let (one, other, paid, back) = within("all of it", async {
        tokio::join!(alices.deposit(10 * UNIT), bobs.deposit(20 * UNIT), alices.pay(UNIT, "a"), bobs.pay(2 * UNIT, "b"))
    })
    .await;
    let (_one, _other, _paid, _back) = (one.unwrap(), other.unwrap(), paid.unwrap(), back.unwrap());
    assert_eq!((alices.has().await.ours, bobs.has().await.ours), (111 * UNIT, 119 * UNIT));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deposit_beyond_the_vault_is_refused_by_name_before_anything_is_signed() {
    let world = World::new().await;
    let (alice, _bob, alices, _bobs) = couple(&world).await;
    let have = alice.node.vault_balance().await.unwrap();
    let refused = within("the refusal", alices.deposit(have + 1)).await.unwrap_err();
    assert!(
        matches!(refused, NodeError::VaultTooLow { have: told, need } if (told, need) == (have, have + 1)),
        "{refused}"
    );
    let status = alices.status().await.unwrap();
    assert_eq!((status.operation, status.operation_until), (None, None));
    let _paid = alices.pays(UNIT, "goes on at once").await;
    let _round = within("a deposit of all there is", alices.deposit(have)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_that_waits_for_a_peer_that_is_away_says_so_and_is_taken_back() {
    let world = World::new().await;
    let (_alice, bob, alices, bobs) = couple(&world).await;
    let reference = alices.reference();
    drop(bobs);
    bob.stop_and_wait().await;
    let away = || async { (!alices.status().await.unwrap().connected).then_some(()) };
    until("Bob to be missed", away).await;
    let closing = tokio::spawn({
        let alices = alices.clone();
        async move { alices.close(0).await }
    });
    let stage = until("the close to wait", || async { alices.status().await.unwrap().shutdown }).await;
    assert_eq!(stage, ShutdownStage::AwaitsPeer);
    within("taking it back", alices.cancel_close()).await.unwrap();
    let told = within("the close's end", closing).await.unwrap();
    assert!(matches!(told, Err(NodeError::CloseCancelled)), "{told:?}");
    let status = alices.status().await.unwrap();
    assert_eq!((status.phase, status.shutdown), (Stage::Open, None), "{reference:?}");
    let refused = within("nothing to take back", alices.cancel_close()).await.unwrap_err();
    assert!(matches!(refused, NodeError::Misuse(Misuse::NoShutdown)), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_by_a_key_is_made_once_whoever_asks_and_is_listed() {
    let world = World::new().await;
    let (_alice, bob, alices, bobs) = couple(&world).await;
    {
        // Asked for, and dropped before there is an answer.
        let _not_yet = futures::FutureExt::now_or_never(alices.pay_once("order-1", 5, "for one"));
    }
    let asked = (0..20).map(|_| alices.pay_once("order-1", 5, "for one"));
    let answers = within("all answers", futures::future::join_all(asked)).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|paid| *paid == answers[0]), "{answers:?}");
    let other = within("the refusal", alices.pay_once("order-1", 6, "for one")).await.unwrap_err();
    assert!(matches!(&other, NodeError::Misuse(Misuse::KeyInUse { .. })), "{other}");
    let _paid = alices.pays(7, "without a key").await;
    let _paid = within("another", alices.pay_once([2_u8; 32], 8, "for two")).await.unwrap();
    let received = bob.events.wait_received(bobs.reference(), 3).await;
    assert_eq!(received.iter().map(|payment| payment.amount).collect::<Vec<_>>(), [5, 7, 8]);
    let listed = alices.payments().await.unwrap();
    let amounts: Vec<_> = listed.iter().map(|record| (record.payment.amount, record.outcome)).collect();
    assert_eq!(amounts[0], (5, PaymentOutcome::Paid(answers[0].round)));
    assert_eq!((amounts.len(), amounts[1].0), (2, 8), "what has no key is known only while it is on its way");
    assert_eq!(alices.payment("order-3").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_talk_part_and_come_back() {
    let world = World::new().await;
    let (_alice, bob, alices, bobs) = couple(&world).await;
    let reference = alices.reference();
    within("words", alices.send_message(b"hello".to_vec())).await.unwrap();
    let heard = |notice: &Notice| if let Notice::Message(words) = notice { Some(words.clone()) } else { None };
    assert_eq!(bob.events.wait_notice("words", reference, heard).await, b"hello");
    within("leaving", alices.leave()).await.unwrap();
    let left = |notice: &Notice| matches!(notice, Notice::Left { by: Party::Initiator }).then_some(());
    bob.events.wait_notice("Alice to leave", reference, left).await;
    within("coming back", bobs.rejoin()).await.unwrap();
    let _paid = alices.pays(UNIT, "back again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_looks_at_each_round_refuses_with_its_own_code_and_the_channel_goes_on() {
    let world = World::new().await;
    let alice = world.start_rich("alice", 1_000 * UNIT).await;
    let bob = world.start_with("bob", |config| config.channels.acceptance = Acceptance::Manual).await;
    let _done = within("a deposit", bob.node.vault_deposit(1_000 * UNIT)).await.unwrap();
    alice.connect(&bob).await;
    let (alices, bobs) = alice.open(&bob).await;
    let code = RefusalCode(RefusalCode::APPLICATION.0 + 7);
    let deciding = async {
        for number in 0..2 {
            let all = || async {
                let mut rounds = bob.events.notices(alices.reference()).into_iter().filter_map(|notice| match notice {
                    Notice::Proposed { proposal, changes } => Some((proposal, changes)),
                    _ => None,
                });
                rounds.nth(number)
            };
            let (round, changes) = until("a round to decide on", all).await;
            let [Change::Transfer(payment)] = &changes[..] else { panic!("{changes:?}") };
            if payment.reference == b"unwanted" {
                bobs.refuse(round, code).await.unwrap();
            } else {
                bobs.accept(round).await.unwrap();
            }
        }
    };
    let paying = async {
        match alices.pay(UNIT, "unwanted").await {
            Err(NodeError::PaymentRefused { code: told, .. }) => assert_eq!(told, code),
            other => panic!("{other:?}"),
        }
        let _paid = alices.pays(2 * UNIT, "wanted").await;
    };
    let ((), ()) = within("both", async { tokio::join!(deciding, paying) }).await;
    assert_eq!(bobs.has().await.ours, 102 * UNIT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_were_not_taken_are_told_again_after_a_restart_and_taken_ones_are_not() {
    let world = World::new().await;
    let (alice, bob, alices, _bobs) = couple(&world).await;
    let reference = alices.reference();
    bob.stop_and_wait().await;
    let start = async || {
        let mut config = world.config("bob");
        config.ack = Ack::Manual;
        config.storage = Storage::Disk(world.free_store_of("bob").await);
        within("a node to start", Node::start_with_events(config)).await.unwrap()
    };
    let received = async |events: &mut sdk::node::EventStream| {
        within("a payment", async {
            loop {
                let event = events.next().await.unwrap();
                if let Some(Event::Received { payments, .. }) = event.event.event() {
                    return (event.number.unwrap(), payments[0].amount);
                }
            }
        })
        .await
    };
    let (bob, mut events) = start().await;
    let _peer = within("a connection", alice.node.connect(&bob.address().unwrap())).await.unwrap();
    let _paid = alices.pays(UNIT, "").await;
    let (first, amount) = received(&mut events).await;
    assert_eq!(amount, UNIT);
    within("the node to stop", bob.stop()).await;

    let (bob, mut events) = start().await;
    assert_eq!(received(&mut events).await, (first, UNIT), "it was not taken: the same event again");
    let channels = bob.channels(alice.identity()).await.unwrap();
    let channel = channels.iter().find(|channel| channel.reference() == reference).unwrap();
    channel.ack_events(first).await.unwrap();
    let _peer = within("a connection", alice.node.connect(&bob.address().unwrap())).await.unwrap();
    let _paid = alices.pays(2 * UNIT, "").await;
    let (second, _amount) = received(&mut events).await;
    within("the node to stop", bob.stop()).await;

    let (bob, mut events) = start().await;
    assert_eq!(received(&mut events).await, (second, 2 * UNIT), "the first one was taken");
    within("the node to stop", bob.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_payments_in_one_go_are_all_or_none_and_each_is_seen() {
    let world = World::new().await;
    let (_alice, bob, alices, _bobs) = couple(&world).await;
    let payments = e2e_tests::numbered(1_000, 20_000);
    let paid = within("many payments", alices.pay_all(payments.clone())).await.unwrap();
    assert!(bob.events.wait_received(alices.reference(), 20_000).await == payments);
    assert_eq!(alices.status().await.unwrap().round, Some(paid.round));
    // The last one is too much: none is made.
    let mut too_much = e2e_tests::numbered(1, 10);
    too_much.push(channel::Payment { amount: 90 * UNIT, reference: Vec::new() });
    let has = alices.has().await.ours;
    match alices.pay_all(too_much).await {
        Err(NodeError::Misuse(Misuse::InsufficientBalance { .. })) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(alices.has().await.ours, has);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_a_channel_are_changed_while_it_lives_and_kept() {
    let world = World::new().await;
    let (alice, bob, alices, bobs) = couple(&world).await;
    let channel = bobs.reference();
    let settings = within("settings", bobs.settings()).await.unwrap();
    assert_eq!(settings.max_close_fee, protocol::Amount::MAX);
    let settings = channel::Config { max_close_fee: UNIT, force_after: Some(5_000), ..settings };
    within("other settings", bobs.configure(settings)).await.unwrap();
    let terms = bobs.status().await.unwrap();
    drop(bobs);
    bob.stop_and_wait().await;
    let bob = world.start("bob").await;
    alice.connect(&bob).await;
    let bobs = bob.channel(&alice, channel).await;
    assert_eq!(within("settings", bobs.settings()).await.unwrap(), settings);
    assert_eq!(bobs.status().await.unwrap().channel, terms.channel, "what both have signed is what it was");
    let _paid = alices.pays(UNIT, "first the two are in step").await;
    let refused = within("a close", alices.close(2 * UNIT)).await;
    assert!(matches!(refused, Err(NodeError::ShutdownRefused(_))), "{refused:?}");
}
