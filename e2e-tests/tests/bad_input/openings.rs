//! Channels that cannot be opened, and why.

use crate::Witness;
use channel::{
    ChannelAccept, ChannelOpen, ChannelRef, CloseReason, Event, Message, Misuse, Notice, RefusalCode, Stage, Violation,
    transfer::TransferLimits,
};
use e2e_tests::{
    Actor, Asked, Proxy, UNIT, World, account,
    hostile::{Intruder, funding_created, party_terms, signs_opening},
    signer, terms, within,
};
use protocol::{
    Amount, Pair, Party, PublicKey, Rejection,
    call::{Call, Create},
    crypto::Native,
    signing::CreateBody,
};
use sdk::{
    chain::{CallError, Chain, ChainError, Transaction, Weight},
    node::{Ack, FeeReserve, NodeConfig, NodeError, OpenChannel, Packet},
};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_outside_the_peers_policy_is_refused_with_its_code() {
    let witness = Witness::new().await;
    let strict = witness
        .world
        .start_with("mallory", |config| {
            config.policy.share_max = 50 * UNIT;
            config.policy.reserve_min = 5 * UNIT;
            config.policy.reserve_max = 20 * UNIT;
            config.policy.penalty_min = 1;
            config.policy.penalty_max = 5 * UNIT;
            config.policy.lock_period_min = 20;
            config.policy.lock_period_max = 200;
            config.policy.validity_max = 100;
        })
        .await;
    let _done = within("a deposit", strict.node.vault_deposit(100 * UNIT)).await.unwrap();
    witness.alice.connect(&strict).await;
    let fine = OpenChannel { peer_share: 50 * UNIT, ..terms() };
    for bad in [
        OpenChannel { peer_share: 50 * UNIT + 1, ..fine },
        OpenChannel { reserve: 20 * UNIT + 1, ..fine },
        OpenChannel { reserve: 5 * UNIT - 1, penalty: UNIT, ..fine },
        OpenChannel { penalty: 0, ..fine },
        OpenChannel { penalty: 5 * UNIT + 1, ..fine },
        OpenChannel { lock_period: 19, ..fine },
        OpenChannel { lock_period: 201, ..fine },
        OpenChannel { validity: 101, ..fine },
    ] {
        let refused = witness.alice.try_open(&strict, bad).await.unwrap_err();
        let NodeError::Ended(reason) = &refused else { panic!("{refused}") };
        assert_eq!(*reason, CloseReason::NotOpened { code: Some(RefusalCode::POLICY) }, "{bad:?}");
    }
    let (alices, _theirs) = witness.alice.open_on(&strict, fine).await;
    let _paid = alices.pays(1, "within the policy").await;
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unless_it_is_told_otherwise_a_node_has_no_stranger_lock_its_coins() {
    let witness = Witness::new().await;
    let careful = witness.world.start_with("mallory", |config| {
        let (identity, storage) = (e2e_tests::identity("mallory"), config.storage.clone());
        let defaults = NodeConfig::new(identity, Arc::clone(&config.signer), Arc::clone(&config.arbiter), storage);
        assert_eq!(defaults.ack, Ack::Manual);
        config.policy = defaults.policy;
    });
    let careful = careful.await;
    let _done = within("a deposit", careful.node.vault_deposit(100 * UNIT)).await.unwrap();
    witness.alice.connect(&careful).await;
    let theirs_too = OpenChannel { peer_share: 1, push: 20 * UNIT, ..terms() };
    let refused = witness.alice.try_open(&careful, theirs_too).await.unwrap_err();
    let NodeError::Ended(reason) = &refused else { panic!("{refused}") };
    assert_eq!(*reason, CloseReason::NotOpened { code: Some(RefusalCode::POLICY) });
    let (alices, _theirs) = witness.alice.open_on(&careful, OpenChannel { peer_share: 0, ..theirs_too }).await;
    let _paid = alices.pays(1, "with coins of the opener's alone").await;
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terms_that_the_arbiter_would_refuse_are_refused_before_the_peer_hears_of_them() {
    let witness = Witness::new().await;
    let limits = e2e_tests::LIMITS;
    let min = limits.lock_period_min;
    for (bad, rejection) in [
        (
            OpenChannel { lock_period: min - 1, ..terms() },
            Rejection::LockPeriodOutOfBounds { got: min - 1, min, max: limits.lock_period_max },
        ),
        (
            OpenChannel { penalty: 11 * UNIT, ..terms() },
            Rejection::PenaltyAboveReserve { penalty: 11 * UNIT, reserve: 10 * UNIT },
        ),
        (
            OpenChannel { max_forced: 0, ..terms() },
            Rejection::MaxForcedOutOfBounds { got: 0, max: limits.max_forced_max },
        ),
        (
            OpenChannel { push: 95 * UNIT, ..terms() },
            Rejection::BalanceBelowReserve { party: Party::Initiator, balance: 5 * UNIT, reserve: 10 * UNIT },
        ),
    ] {
        let refused = witness.alice.try_open(&witness.bob, bad).await.unwrap_err();
        let NodeError::Misuse(Misuse::WouldBeRefused(told)) = refused else { panic!("{refused}") };
        assert_eq!(told, rejection);
    }
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_vault_is_told_with_the_numbers_and_a_deposit_helps() {
    let world = World::new().await;
    let (alice, bob) = (world.start("alice").await, world.start_rich("bob", 100 * UNIT).await);
    alice.connect(&bob).await;
    let need = 100 * UNIT;
    let refused = alice.try_open(&bob, terms()).await.unwrap_err();
    assert!(matches!(refused, NodeError::VaultTooLow { have: 0, need: told } if told == need), "{refused}");
    let _done = within("a deposit", alice.node.vault_deposit(need - 1)).await.unwrap();
    let refused = alice.try_open(&bob, terms()).await.unwrap_err();
    assert!(matches!(refused, NodeError::VaultTooLow { have, .. } if have == need - 1), "{refused}");
    assert!(refused.to_string().contains("deposit 1 more first"), "{refused}");
    let _done = within("a deposit", alice.node.vault_deposit(1)).await.unwrap();
    let (alices, _bobs) = alice.open(&bob).await;
    let _paid = alices.pays(1, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peers_empty_vault_is_told_and_what_was_refused_does_not_open_later_behind_ones_back() {
    let world = World::new().await;
    let (alice, bob) = (world.start_rich("alice", 300 * UNIT).await, world.start("bob").await);
    alice.connect(&bob).await;
    // Twice, as somebody does who does not believe it.
    for (share, have) in [(100 * UNIT, 0), (60 * UNIT, 0)] {
        let refused = alice.try_open(&bob, OpenChannel { peer_share: share, ..terms() }).await.unwrap_err();
        let NodeError::Call(CallError::Rejected(rejection)) = refused else { panic!("{refused}") };
        assert_eq!(rejection, Rejection::VaultTooLow { party: Party::Responder, have, need: share });
    }
    let _done = within("a deposit", bob.node.vault_deposit(100 * UNIT)).await.unwrap();
    world.pass(3).await;
    let (alices, bobs) = alice.open_on(&bob, OpenChannel { peer_share: 70 * UNIT, ..terms() }).await;
    let _paid = alices.pays(UNIT, "").await;
    assert_eq!(bobs.has().await.ours, 71 * UNIT);

    // What was refused has expired in the end, here and there; what is open stays.
    world.pass(terms().validity + 1).await;
    for (actor, peer) in [(&alice, &bob), (&bob, &alice)] {
        e2e_tests::until("the refused openings to be forgotten", || async {
            let left = actor.node.channels(peer.identity()).await.unwrap();
            (left.len() == 1 && left[0].reference() == alices.reference()).then_some(())
        })
        .await;
    }
    assert_eq!(bob.node.vault_balance().await.unwrap(), 30 * UNIT);
    assert_eq!(alice.node.vault_balance().await.unwrap(), 200 * UNIT);
    let _ended = within("the close", bobs.close(0)).await.unwrap();
}

/// Takes all but so much out of an account, or a little more. What is left.
async fn drain(world: &World, name: &str, left: Amount) -> Amount {
    let (chain, owner) = (&world.chain, account(name));
    let away = |amount| Transaction::Transfer { to: account("peer9"), amount };
    // The fee of this very transfer has to be left over.
    let fee = chain.fee(&away(UNIT), Weight::default()).await.unwrap();
    let amount = chain.free_balance(&owner).await.unwrap() - left - fee;
    let dry_run = chain.dry_run(&owner, &away(amount)).await.unwrap();
    let _receipt = within("the transfer", chain.submit(&signer(name), away(amount), &dry_run)).await.unwrap();
    chain.free_balance(&owner).await.unwrap()
}

/// The least that an account keeps for one channel.
async fn needed(world: &World) -> Amount {
    // Four calls, and tips of ten fees.
    14 * world.arbiter.fee().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_cannot_pay_the_fee_of_an_opening_is_told_so() {
    let witness = Witness::new().await;
    let poor = witness.world.start_with("mallory", |config| config.fee_reserve = FeeReserve::DangerNothing).await;
    let _done = within("a deposit", poor.node.vault_deposit(100 * UNIT)).await.unwrap();
    poor.connect(&witness.bob).await;
    let _left = drain(&witness.world, "mallory", UNIT / 100).await;
    let refused = poor.try_open(&witness.bob, terms()).await.unwrap_err();
    let expected = matches!(
        &refused,
        NodeError::Call(CallError::Chain(ChainError::InsufficientFunds { account: whose, .. })) if *whose == account("mallory")
    );
    assert!(expected, "{refused}");
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_could_not_pay_for_a_defence_neither_opens_nor_accepts_and_hears_how_much_is_wanted() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    let least = needed(&world).await;
    let left = drain(&world, "alice", least / 2).await;
    let refused = alice.try_open(&bob, terms()).await.unwrap_err();
    // Fees rise and fall with how full blocks are, a little with each.
    let is_least = |need: Amount| need.abs_diff(least) < least / 100;
    let expected = |error: &NodeError| match error {
        NodeError::FeesTooLow { account: whose, have, need } => {
            *whose == account("alice") && *have == left && is_least(*need)
        }
        _ => false,
    };
    assert!(expected(&refused), "{refused}");
    assert!(refused.to_string().ends_with("more first"), "{refused}");
    // Nor does she accept.
    let refused = bob.try_open(&alice, terms()).await.unwrap_err();
    let busy = CloseReason::NotOpened { code: Some(RefusalCode::BUSY) };
    assert!(matches!(&refused, NodeError::Ended(reason) if *reason == busy), "{refused}");

    // What the opening stores is laid down by whoever opens, and is not there for fees then.
    world.fund(account("alice"), least).await;
    let refused = alice.try_open(&bob, terms()).await.unwrap_err();
    assert!(matches!(&refused, NodeError::FeesTooLow { have: 0, need, .. } if is_least(*need)), "{refused}");
    world.fund(account("alice"), UNIT).await;
    let told = world.arbiter.opening_deposit(&account("alice")).await.unwrap();
    let _channel = alice.open(&bob).await;
    world.recorder.quiet().await;
    let opening = world.recorder.entries().into_iter().find(|entry| entry.what == "channel_create").unwrap();
    let laid_down = Amount::try_from(opening.deposit()).unwrap();
    assert!((laid_down..laid_down + laid_down / 10).contains(&told), "{laid_down} were laid down, and {told} told");
    // With a channel, the reserve stays where it is.
    let have = world.chain.free_balance(&account("alice")).await.unwrap();
    let refused = within("the refusal", alice.node.vault_deposit(have - left)).await.unwrap_err();
    assert!(expected(&refused), "{refused}");
    let fees = alice.node.fees().unwrap();
    assert!(is_least(fees.need) && fees.suffice(), "{fees:?}");
}

/// Alice's node, and Bob's that it is connected with, where her account has what it takes to open and defend one channel, and not two.
async fn who_can_open_one_channel(world: &World) -> (Actor, Actor) {
    let (alice, bob) = world.couple().await;
    let deposit = world.arbiter.opening_deposit(&account("alice")).await.unwrap();
    let one = deposit + needed(world).await;
    // Two want another deposit, and four more fees.
    let _left = drain(world, "alice", one + deposit / 2).await;
    (alice, bob)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openings_that_begin_together_are_all_counted_among_those_to_pay_for() {
    let world = World::new().await;
    let (alice, bob) = who_can_open_one_channel(&world).await;
    let opened = tokio::join!(alice.try_open(&bob, terms()), alice.try_open(&bob, terms()));
    let is_refused = |opened: &Result<_, NodeError>| matches!(opened, Err(NodeError::FeesTooLow { .. }));
    let (first, second) = opened;
    assert!(first.is_ok() != second.is_ok() && is_refused(&first) != is_refused(&second), "{first:?} {second:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_is_paid_for_until_it_has_ended_also_where_nobody_waits_for_it_any_more() {
    let world = World::new().await;
    let (alice, bob) = who_can_open_one_channel(&world).await;
    let mut silent = Intruder::connect_to("mallory", &alice.node.address().unwrap()).await;
    let peer = e2e_tests::identity("mallory").public();
    e2e_tests::until("the connection", || async { alice.node.peers().contains(&peer).then_some(()) }).await;
    // Whoever wants the channel gives up once the peer has been asked.
    let asked = async { while !matches!(silent.hear().await, Some(Packet::Channel(_, Message::ChannelOpen(_)))) {} };
    tokio::select! {
        opened = alice.node.open_channel(peer, terms()) => panic!("{opened:?}"),
        () = asked => {}
    }
    let refused = alice.try_open(&bob, terms()).await.unwrap_err();
    assert!(matches!(refused, NodeError::FeesTooLow { .. }), "{refused}");

    // It ends with the connection, as long as nothing is signed.
    drop(silent);
    e2e_tests::until("the opening's end", || async {
        let left = alice.node.channels(peer).await.unwrap();
        left.is_empty().then_some(())
    })
    .await;
    let _channel = alice.open(&bob).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_with_somebody_who_is_not_connected_says_what_to_do() {
    let world = World::new().await;
    let alice = world.start_rich("alice", 100 * UNIT).await;
    let nobody = PublicKey([1; 32]);
    let refused = within("the refusal", alice.node.open_channel(nobody, terms())).await.unwrap_err();
    assert!(matches!(refused, NodeError::NotConnected(peer) if peer == nobody), "{refused}");
    assert!(refused.to_string().ends_with("connect to it first"), "{refused}");

    // Known, but gone.
    let bob = world.start_rich("bob", 100 * UNIT).await;
    alice.connect(&bob).await;
    let peer = bob.identity();
    bob.stop();
    e2e_tests::until("Alice to notice that Bob is gone", || async {
        let refused = alice.node.open_channel(peer, terms()).await.unwrap_err();
        match refused {
            NodeError::NotConnected(_) => Some(()),
            // It was on its way when the connection broke.
            NodeError::Ended(CloseReason::NotOpened { code: None }) => None,
            other => panic!("{other}"),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_answer_an_opening_is_given_up_in_time() {
    let witness = Witness::new().await;
    let slow = witness.world.start_rich("mallory", 100 * UNIT).await;
    let proxy = Proxy::before(slow.socket()).await;
    let hasty = witness.world.start_with("peer1", |config| config.channels.timeouts.opening = 1_500).await;
    let _done = within("a deposit", hasty.node.vault_deposit(100 * UNIT)).await.unwrap();
    hasty.connect_at(&slow, proxy.address()).await;
    proxy.stall();
    let refused = hasty.try_open(&slow, terms()).await.unwrap_err();
    let NodeError::Ended(reason) = &refused else { panic!("{refused}") };
    assert_eq!(*reason, CloseReason::NotOpened { code: Some(RefusalCode::TIMEOUT) });
    assert!(hasty.node.channels(slow.identity()).await.unwrap().is_empty());

    // What was said late is answered late, and then there is a channel again.
    proxy.mend();
    let (ours, _theirs) = hasty.open(&slow).await;
    let _paid = ours.pays(1, "").await;
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openings_of_a_peer_that_leaves_are_forgotten() {
    let witness = Witness::new().await;
    let mut intruder = Intruder::connect("mallory", "bob", witness.bob.socket()).await;
    let open = opening(&witness.world, Pair::new(100 * UNIT, 100 * UNIT));
    // As many as a stranger may have, but for two.
    for number in 0..30 {
        let channel = ChannelRef([number; 16]);
        intruder.say(channel, Message::ChannelOpen(open.clone())).await;
        let accepted = intruder.hear().await.unwrap();
        assert!(matches!(accepted, Packet::Channel(to, Message::ChannelAccept(_)) if to == channel), "{accepted:?}");
    }
    // In somebody else's name, and twice under one name.
    let mut stolen = open.clone();
    stolen.initiator.key = witness.alice.identity();
    for (channel, open, code) in
        [(ChannelRef([200; 16]), stolen, RefusalCode::VALIDATION), (ChannelRef([7; 16]), open, RefusalCode::VALIDATION)]
    {
        intruder.say(channel, Message::ChannelOpen(open)).await;
        assert_eq!(intruder.hear().await, Some(Packet::Channel(channel, Message::Error { code })));
    }
    let peer = e2e_tests::identity("mallory").public();
    assert_eq!(witness.bob.node.channels(peer).await.unwrap().len(), 30);
    drop(intruder);
    e2e_tests::until("the openings to be forgotten", || async {
        witness.bob.node.channels(peer).await.unwrap().is_empty().then_some(())
    })
    .await;
    witness.lives_on().await;
}

/// What Mallory proposes.
fn opening(world: &World, shares: Pair<u128>) -> ChannelOpen {
    let info = world.arbiter.info();
    ChannelOpen {
        domain: info.domain,
        code_hash: info.code_hash,
        initiator: party_terms("mallory"),
        reserve: 10 * UNIT,
        lock_period: 20,
        penalty: 0,
        max_forced: 1,
        balances: Pair::new(100 * UNIT, 100 * UNIT),
        shares,
        validity: 100,
        transfers: TransferLimits::default(),
    }
}

/// Puts coins into the vault of somebody without a node.
async fn fill_vault(world: &World, name: &str, amount: u128) {
    let deposit = Call::VaultDeposit { key: e2e_tests::identity(name).public() };
    let _done = within("a deposit", world.arbiter.call(&signer(name), &deposit, amount)).await.unwrap();
}

/// Mallory proposes a channel to Bob and names this nonce for it: what she signed, and what Bob says to that. Both shares are her own.
async fn offer(mallory: &mut Intruder, world: &World, reference: ChannelRef, nonce: u64) -> (CreateBody, Message) {
    let open = opening(world, Pair::new(200 * UNIT, 0));
    mallory.say(reference, Message::ChannelOpen(open.clone())).await;
    let answer = mallory.hear().await;
    let Some(Packet::Channel(to, Message::ChannelAccept(ChannelAccept { responder, .. }))) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(to, reference);
    let body = open.body(&responder, world.chain.block_number() + 50);
    let domain = world.arbiter.info().domain;
    mallory.say(reference, funding_created("mallory", &domain, &body, nonce)).await;
    let Some(Packet::Channel(to, answer)) = mallory.hear().await else { panic!("Bob hung up") };
    assert_eq!(to, reference);
    (body, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_with_the_id_of_another_channel_is_refused_before_that_one_is_on_chain_and_after() {
    let witness = Witness::new().await;
    let (world, bob) = (&witness.world, &witness.bob);
    fill_vault(world, "mallory", 400 * UNIT).await;
    let domain = world.arbiter.info().domain;
    let mut mallory = Intruder::connect("mallory", "bob", bob.socket()).await;
    let [first, second, third, fourth] = [1, 2, 3, 4].map(|name| ChannelRef([name; 16]));
    let (body, answer) = offer(&mut mallory, world, first, 0).await;
    let Message::FundingSigned(signed) = answer else { panic!("{answer:?}") };
    let id = body.terms.channel_id(&domain, 0, &Native);
    let refusal = Message::Error { code: RefusalCode::VALIDATION };
    assert_eq!(offer(&mut mallory, world, second, 0).await.1, refusal, "before it is on chain");
    let violated = |notice: &Notice| match notice {
        Notice::PeerViolated(violation) => Some(violation.clone()),
        _ => None,
    };
    assert_eq!(bob.events.wait_notice("the violation", second, violated).await, Violation::IdInUse(id));

    let signatures = Pair::new(signs_opening("mallory", &domain, &body, 0), signed.signature);
    let create = Call::ChannelCreate(Create { body, nonce: 0, signatures });
    let _done = within("the opening", world.arbiter.call(&signer("mallory"), &create, 0)).await.unwrap();
    assert_eq!(mallory.hear().await, Some(Packet::Channel(first, Message::FundingLocked)));
    mallory.say(first, Message::FundingLocked).await;
    let opened = |event: &Event| matches!(event, Event::Opened { .. }).then_some(());
    bob.events.wait("the first to open", first, opened).await;
    assert_eq!(offer(&mut mallory, world, third, 0).await.1, refusal, "and while it is open");
    assert_eq!(bob.events.wait_notice("the violation", third, violated).await, Violation::IdInUse(id));

    // With a nonce of its own an opening is as welcome as ever, and neither of the refused has become a channel.
    let answer = offer(&mut mallory, world, fourth, 1).await.1;
    assert!(matches!(answer, Message::FundingSigned(_)), "{answer:?}");
    let peer = e2e_tests::identity("mallory").public();
    for channel in bob.node.channels(peer).await.unwrap() {
        let status = channel.status().await.unwrap();
        let expected = match channel.reference() {
            known if known == first => (Stage::Open, Some(id)),
            known if known == fourth => (Stage::Signed, status.channel),
            _refused => (Stage::Accepted, None),
        };
        assert_eq!((status.state, status.channel), expected);
    }
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_signed_is_said_again_in_the_order_of_the_nonces() {
    let witness = Witness::new().await;
    let (world, bob) = (&witness.world, &witness.bob);
    fill_vault(world, "mallory", 200 * UNIT).await;
    let mut mallory = Intruder::connect("mallory", "bob", bob.socket()).await;
    let references = [5, 1, 4, 2, 3].map(|name| ChannelRef([name; 16]));
    for (nonce, reference) in (0..).zip(references) {
        let (_body, answer) = offer(&mut mallory, world, reference, nonce).await;
        assert!(matches!(answer, Message::FundingSigned(_)), "{answer:?}");
    }
    drop(mallory);
    let mut mallory = Intruder::connect("mallory", "bob", bob.socket()).await;
    let mut heard = Vec::new();
    for _ in references {
        let Some(Packet::Channel(reference, Message::FundingSigned(_))) = mallory.hear().await else {
            panic!("Bob says something else")
        };
        heard.push(reference);
    }
    // Whoever submits them in another order loses those with the lower nonces (R5.2).
    assert_eq!(heard, references);
    witness.lives_on().await;
}
