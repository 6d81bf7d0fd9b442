//! A payment that is asked for by a key is made once, however often it is asked for and whatever breaks (R6.3c).

use crate::{
    harness::{Initiator, Responder, SHARE, World, side::Fate},
    property::config,
};
use channel::{
    Acceptance, Change, Channel, Command, IdempotencyKey, MAX_KEY, Message, Misuse, Notice, Payment, PaymentOutcome,
    RefusalCode, SavedError,
};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_oneof, proptest},
};
use protocol::{Amount, BlockNumber, Party};

fn outcome(world: &World, party: Party, key: &str) -> Option<PaymentOutcome> {
    let channel = world.sides[party].channel.as_ref()?;
    channel.payment(&key.into()).map(|record| record.outcome)
}

/// How often the peer of `party` has received the payment with this key, which is its reference.
fn received(world: &World, party: Party, key: &str) -> usize {
    let all = world.sides[party.peer()].received.iter();
    all.filter(|(payment, _)| payment.reference == key.as_bytes()).count()
}

#[test]
fn asked_for_twice_it_is_made_once_and_answers_twice() {
    for payer in Party::BOTH {
        let mut world = World::opened();
        world.pay_once(payer, "order-1", 7).unwrap();
        assert_eq!(outcome(&world, payer, "order-1"), Some(PaymentOutcome::Pending));
        world.pay_once(payer, "order-1", 7).unwrap();
        world.run();
        let Some(PaymentOutcome::Paid(round)) = outcome(&world, payer, "order-1") else { panic!() };
        assert_eq!(round, world.sides[payer].round());
        world.pay_once(payer, "order-1", 7).unwrap();
        world.run();
        assert_eq!(received(&world, payer, "order-1"), 1);
        assert_eq!(world.sides[payer].balances().ours, SHARE - 7);
        world.assert_agreed();
    }
}

#[test]
fn one_key_never_names_two_payments() {
    let mut world = World::opened();
    world.pay_once(Initiator, "order-1", 7).unwrap();
    let key = IdempotencyKey::from("order-1");
    let by = world.sides[Initiator].machine().payment(&key).unwrap().change;
    for round in 0..2 {
        for payment in
            [Payment { amount: 8, reference: b"order-1".into() }, Payment { amount: 7, reference: b"order-2".into() }]
        {
            let other = Command::PayOnce { key: key.clone(), payment };
            assert_eq!(
                world.command(Initiator, other),
                Err(Misuse::KeyInUse { key: key.clone(), by }),
                "{round}: on its way, and made"
            );
        }
        world.run();
    }
    for length in [0, MAX_KEY + 1] {
        let key = IdempotencyKey(vec![b'k'; length]);
        let payment = Payment { amount: 1, reference: Vec::new() };
        let refused = Err(Misuse::KeyLength { got: length, max: MAX_KEY });
        assert_eq!(world.command(Initiator, Command::PayOnce { key, payment }), refused);
    }
    world.assert_agreed();
}

#[test]
fn of_a_batch_only_what_is_not_known_is_paid_and_one_commit_keeps_it() {
    for payer in Party::BOTH {
        let mut world = World::opened();
        world.pay_once(payer, "order-1", 7).unwrap();
        world.run();
        world.disconnect();
        world.linked = false;
        let commits = world.sides[payer].commits;
        world.pay_all_once(payer, &[("order-2", 8), ("order-1", 7), ("order-3", 9), ("order-2", 8)]).unwrap();
        assert_eq!(world.sides[payer].commits, commits + 1);
        // Neither a crash nor being asked again makes one twice.
        world.crash(payer);
        world.pay_all_once(payer, &[("order-3", 9), ("order-4", 1), ("order-2", 8)]).unwrap();
        world.run();
        for (key, amount) in [("order-1", 7), ("order-2", 8), ("order-3", 9), ("order-4", 1)] {
            assert_eq!(received(&world, payer, key), 1, "{key} of {amount}");
            assert!(matches!(outcome(&world, payer, key), Some(PaymentOutcome::Paid(_))));
        }
        let commits = world.sides[payer].commits;
        world.pay_all_once(payer, &[("order-4", 1), ("order-1", 7)]).unwrap();
        world.pay_all_once(payer, &[]).unwrap();
        assert_eq!(world.sides[payer].commits, commits, "all are known");
        assert_eq!(world.sides[payer].balances().ours, SHARE - 25);
        world.assert_agreed();
    }
}

#[test]
fn a_batch_of_which_one_is_wrong_pays_nothing_and_leaves_its_keys_free() {
    let mut world = World::opened();
    world.pay_once(Initiator, "order-1", 7).unwrap();
    world.run();
    let key = IdempotencyKey::from("order-1");
    let by = world.sides[Initiator].machine().payment(&key).unwrap().change;
    let available = world.sides[Initiator].balances().spendable;
    for (batch, misuse) in [
        (vec![("order-2", 8), ("order-1", 8)], Misuse::KeyInUse { key, by }),
        (vec![("order-2", 8), ("order-2", 9)], Misuse::KeyTwice { key: "order-2".into() }),
        (vec![("order-2", 8), ("", 9)], Misuse::KeyLength { got: 0, max: MAX_KEY }),
        (vec![("order-2", 8), ("order-3", 0)], Misuse::AmountZero),
        (
            vec![("order-2", 8), ("order-3", available)],
            Misuse::InsufficientBalance { amount: available + 8, available },
        ),
    ] {
        assert_eq!(world.pay_all_once(Initiator, &batch), Err(misuse));
        assert_eq!(outcome(&world, Initiator, "order-2"), None);
    }
    world.run();
    world.assert_balances(SHARE - 7, SHARE + 7);
    world.assert_agreed();
}

#[test]
fn what_cannot_be_paid_leaves_its_key_free() {
    let mut world = World::opened();
    let all = world.sides[Initiator].balances().spendable;
    let refused = Misuse::InsufficientBalance { amount: all + 1, available: all };
    assert_eq!(world.pay_once(Initiator, "order-1", all + 1), Err(refused));
    assert_eq!(outcome(&world, Initiator, "order-1"), None);
    world.pay_once(Initiator, "order-1", all).unwrap();
    world.run();
    assert_eq!(received(&world, Initiator, "order-1"), 1);
}

#[test]
fn it_waits_through_a_crash_although_it_was_never_proposed() {
    for payer in Party::BOTH {
        let mut world = World::opened();
        world.disconnect();
        world.linked = false;
        world.pay_once(payer, "order-1", 7).unwrap();
        let _without_key = world.pay_without_key(payer, 1).unwrap();
        world.pay_once(payer, "order-2", 8).unwrap();
        let listed = |world: &World| {
            let all = world.sides[payer].machine().list_payments();
            all.into_iter().map(|record| (record.key.is_some(), record.payment.amount)).collect::<Vec<_>>()
        };
        assert_eq!(listed(&world), vec![(true, 7), (false, 1), (true, 8)]);
        world.crash(payer);
        assert_eq!(listed(&world), vec![(true, 7), (true, 8)], "the one without a key is gone");
        let spendable = world.sides[payer].balances().spendable;
        assert_eq!(spendable, SHARE - 15 - crate::harness::RESERVE, "its coins are not given out twice");
        world.pay_once(payer, "order-1", 7).unwrap();
        world.run();
        for key in ["order-1", "order-2"] {
            assert_eq!(received(&world, payer, key), 1);
            assert!(matches!(outcome(&world, payer, key), Some(PaymentOutcome::Paid(_))));
        }
        world.assert_agreed();
    }
}

#[test]
fn it_answers_as_before_when_it_was_refused_and_after_the_channel_has_ended() {
    let mut world = World::opened_with(Responder, |config| config.acceptance = Acceptance::Manual);
    world.pay_once(Initiator, "order-1", 7).unwrap();
    world.run();
    world.refuse(Responder, 3, RefusalCode(200)).unwrap();
    world.run();
    let refused = PaymentOutcome::Refused(RefusalCode(200));
    assert_eq!(outcome(&world, Initiator, "order-1"), Some(refused));
    world.pay_once(Initiator, "order-1", 7).unwrap();
    world.pay_once(Initiator, "order-2", 8).unwrap();
    world.run();
    let next = world.rounds().0.max(world.rounds().1) + 2;
    if world.accept(Responder, next).is_err() {
        let round = world.sides[Responder].noticed.iter().rev().find_map(|notice| match notice {
            Notice::Proposed { proposal, .. } => Some(proposal.round),
            _ => None,
        });
        world.accept(Responder, round.unwrap()).unwrap();
    }
    world.run();
    world.shutdown(Initiator, 0).unwrap();
    for _ in 0..10 {
        world.run();
        world.mine();
    }
    assert!(world.sides[Initiator].is_over());
    world.crash(Initiator);
    assert_eq!(outcome(&world, Initiator, "order-1"), Some(refused));
    assert!(matches!(outcome(&world, Initiator, "order-2"), Some(PaymentOutcome::Paid(_))));
    world.pay_once(Initiator, "order-2", 8).unwrap();
    assert!(matches!(world.pay_once(Initiator, "order-3", 1), Err(Misuse::NotOpen { .. })));
    assert_eq!((received(&world, Initiator, "order-1"), received(&world, Initiator, "order-2")), (0, 1));
}

#[test]
fn an_old_store_says_that_it_does_not_know() {
    let mut world = World::opened();
    world.disconnect();
    world.pay_once(Initiator, "order-1", 7).unwrap();
    let (old, kept) = (world.sides[Initiator].stored.clone().unwrap(), world.sides[Initiator].kept.clone());
    world.run();
    assert_eq!(received(&world, Initiator, "order-1"), 1);
    world.disconnect();
    world.sides[Initiator].agreed = 0;
    world.sides[Initiator].strict = false;
    world.sides[Initiator].channel = Some(Channel::load(&old, [], kept.into_values(), []).unwrap());
    world.sides[Initiator].sent.clear();
    world.sides[Initiator].keys.clear();
    for (id, record) in world.sides[Initiator].machine().kept_payments().clone() {
        let _none = world.sides[Initiator].sent.insert(id, (record.payment, Fate::Pending));
        let _none = world.sides[Initiator].keys.insert(id, record.key.unwrap());
    }
    world.run();
    assert!(world.sides[Initiator].machine().status().stale_store);
    assert_eq!(outcome(&world, Initiator, "order-1"), Some(PaymentOutcome::Unknown));
    world.pay_once(Initiator, "order-1", 7).unwrap();
    world.run();
    assert_eq!(received(&world, Initiator, "order-1"), 1);
}

#[test]
fn a_store_that_lacks_one_of_them_is_damaged() {
    let mut world = World::opened();
    world.pay_once(Initiator, "order-1", 7).unwrap();
    world.pay_once(Initiator, "order-2", 7).unwrap();
    let (bytes, kept) = (world.sides[Initiator].stored.clone().unwrap(), world.sides[Initiator].kept.clone());
    assert!(Channel::load(&bytes, [], kept.values().cloned(), []).is_ok());
    let one = kept.values().take(1).cloned();
    assert!(matches!(Channel::load(&bytes, [], one, []), Err(SavedError::Damaged(_))));
    let doubled = kept.values().chain(kept.values().take(1)).cloned();
    assert!(matches!(Channel::load(&bytes, [], doubled, []), Err(SavedError::Damaged(_))));
}

#[test]
fn the_peer_never_sees_a_key() {
    let mut world = World::opened();
    let payment = Payment { amount: 7, reference: b"what the peer sees".to_vec() };
    let key = IdempotencyKey::from("what only the payer sees");
    world.sides[Initiator].strict = false;
    let id = world.sides[Initiator].machine().next_change().unwrap();
    let _none = world.sides[Initiator].sent.insert(id, (payment.clone(), Fate::Pending));
    let _none = world.sides[Initiator].keys.insert(id, key.clone());
    world.command(Initiator, Command::PayOnce { key, payment: payment.clone() }).unwrap();
    let Some(Message::Update(update)) = world.wire[Responder].front() else { panic!() };
    assert_eq!(update.changes, vec![Change::Transfer(payment)]);
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Op {
    PayOnce(Party, usize),
    Pay(Party),
    DeliverOne(Party),
    DeliverAll,
    Disconnect,
    Connect,
    Crash(Party),
    PlanCrash(Party, usize, usize),
    Decide(bool),
    Slow(Party, bool),
    Deposit(Party),
    Mine(BlockNumber),
    Tick,
    Close(Party, bool),
}

/// The keys of both, with what each pays: some of it may be more than there is when its turn comes.
const KEYS: [(&str, Amount); 6] = [("a", 3), ("b", 30), ("c", 300), ("d", 400), ("e", 500), ("f", 1)];

fn party() -> impl Strategy<Value = Party> {
    any::<bool>().prop_map(|first| if first { Initiator } else { Responder })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        14 => (party(), 0..KEYS.len()).prop_map(|(party, key)| Op::PayOnce(party, key)),
        3 => party().prop_map(Op::Pay),
        14 => party().prop_map(Op::DeliverOne),
        2 => Just(Op::DeliverAll),
        2 => Just(Op::Disconnect),
        3 => Just(Op::Connect),
        2 => party().prop_map(Op::Crash),
        2 => (party(), 0..4_usize, 0..4_usize).prop_map(|(party, commit, effects)| Op::PlanCrash(party, commit, effects)),
        6 => any::<bool>().prop_map(Op::Decide),
        1 => (party(), any::<bool>()).prop_map(|(party, slow)| Op::Slow(party, slow)),
        1 => party().prop_map(Op::Deposit),
        2 => (1..3_u32).prop_map(Op::Mine),
        1 => Just(Op::Tick),
    ]
}

/// The responder's user decides on the round that waits for it, if one does.
fn decide(world: &mut World, accepts: bool) {
    let mut rounds = world.sides[Responder].noticed.iter().rev().filter_map(|notice| match notice {
        Notice::Proposed { proposal, .. } => Some(proposal.round),
        _ => None,
    });
    let Some(round) = rounds.next() else { return };
    let code = RefusalCode(200);
    let _nothing_waits = if accepts { world.accept(Responder, round) } else { world.refuse(Responder, round, code) };
}

fn step(world: &mut World, op: Op) {
    match op {
        Op::PayOnce(party, key) => drop(world.pay_once(party, KEYS[key].0, KEYS[key].1)),
        Op::Pay(party) => drop(world.pay(party, 11)),
        Op::DeliverOne(party) => drop(world.deliver(party)),
        Op::DeliverAll => world.deliver_all(),
        Op::Disconnect => world.disconnect(),
        Op::Connect if !world.linked => world.connect(),
        Op::Connect => {}
        Op::Crash(party) => world.crash(party),
        Op::PlanCrash(party, commit, effects) => world.plan_crash(party, commit, effects, false),
        Op::Decide(accepts) => decide(world, accepts),
        Op::Slow(party, true) => world.sides[party].slow = true,
        Op::Slow(party, false) => world.hurry(party),
        Op::Deposit(party) => drop(world.deposit(party, 40)),
        Op::Mine(blocks) => world.mine_blocks(blocks),
        Op::Tick => world.tick(20),
        Op::Close(party, true) => drop(world.close_solo(party)),
        Op::Close(party, false) => drop(world.shutdown(party, 0)),
    }
}

/// Everything that is under way comes to its end.
fn finish(world: &mut World) {
    world.crash_plan = None;
    for party in Party::BOTH {
        world.hurry(party);
    }
    for _ in 0..60 {
        world.run();
        decide(world, true);
        world.run();
        world.mine();
    }
}

fn run(decides: bool, ops: Vec<Op>) {
    let mut world = World::opened_with(Responder, |config| {
        config.acceptance = if decides { Acceptance::Manual } else { Acceptance::Automatic };
    });
    ops.into_iter().for_each(|op| step(&mut world, op));
    finish(&mut world);
    let made = |world: &World| {
        Party::BOTH.map(|party| {
            KEYS.map(|(key, _)| {
                let outcome = outcome(world, party, key);
                let times = received(world, party, key);
                let is_paid = matches!(outcome, Some(PaymentOutcome::Paid(_)));
                assert_eq!(times, usize::from(is_paid), "{party:?} {key}: {outcome:?}");
                outcome
            })
        })
    };
    let before = made(&world);
    // Every user asks for everything once more: what was known answers, what was not is made.
    for party in Party::BOTH {
        for (key, amount) in KEYS {
            let _refused = world.pay_once(party, key, amount);
        }
    }
    finish(&mut world);
    for (party, (before, after)) in Party::BOTH.into_iter().zip(before.into_iter().zip(made(&world))) {
        for (before, after) in before.into_iter().zip(after) {
            assert!(before.is_none() || before == after, "{party:?}: {before:?} answers for ever, not {after:?}");
        }
    }
    if world.states() == ("open", "open") {
        world.assert_agreed();
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_key_is_paid_at_most_once_whatever_breaks(ops in vec(op(), 1..80), decides in any::<bool>()) {
        run(decides, ops);
    }

    #[test]
    fn a_key_is_paid_at_most_once_also_where_the_channel_closes(
        before in vec(op(), 1..50), closer in party(), alone in any::<bool>(), after in vec(op(), 1..30),
    ) {
        run(false, before.into_iter().chain([Op::Close(closer, alone)]).chain(after).collect());
    }
}
