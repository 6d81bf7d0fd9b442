//! What one round may hold, and every reason for which a change is not made: told to the user at once, or when its turn comes, and to a peer
//! that proposes it all the same.

use crate::harness::{
    Initiator, RESERVE, Responder, SHARE, World, apps,
    contracts::{call, counter, creation, escrow, of, pays, puppet},
    forge::{sign, state_body},
    side::Fate,
};
use channel::{
    Change, ChangeFault, Creation, Event, MAX_META, MAX_REFERENCE, MAX_ROUND_BYTES, MAX_ROUND_TIME, Message, Misuse,
    Notice, Payment, RefusalCode, Update, Violation,
};
use protocol::{
    BlockNumber, Hash, Pair, Party, Round,
    contracts::{CallFault, Code, ContractId, MAX_INPUT, MAX_STATE},
};

/// A round of `by`, of changes that nobody has checked.
fn forge(world: &World, by: Party, round: Round, height: BlockNumber, changes: Vec<Change>) -> Update {
    let state_hash = Hash::ZERO;
    let base = world.base(by.peer());
    let signature = sign(by, world.channel_id(), &state_body(round, base, state_hash));
    Update { round, base, height, refuses: None, changes, state_hash, signature }
}

/// What the initiator says to changes that the responder proposes.
fn violation(world: &mut World, changes: Vec<Change>) -> (Violation, RefusalCode) {
    let round = world.sides[Initiator].round() + if world.sides[Initiator].round().is_multiple_of(2) { 2 } else { 3 };
    let update = forge(world, Responder, round, world.chain.head(), changes);
    world.hear(Initiator, Message::Update(update));
    let code = world.refusal(Initiator);
    match world.sides[Initiator].notices().last() {
        Some(Notice::PeerViolated(violation)) => (violation.clone(), code),
        other => panic!("{other:?}"),
    }
}

fn unknown() -> ContractId {
    ContractId([9; 32])
}

/// A change, why it cannot be made, and whether the user that wants it learns that at once.
fn cases(contract: ContractId) -> Vec<(&'static str, Change, ChangeFault, bool)> {
    let nothing = Pair::default();
    let app = |code: Hash| Code::Contract(code);
    let upgrade = |code, state| Change::UpgradeContract { contract, code, state };
    let holds = 60;
    vec![
        ("no such contract", call(unknown(), 0, &0_u8), ChangeFault::ContractUnknown(unknown()), true),
        (
            "none to remove",
            Change::RemoveContract { contract: unknown(), shares: nothing },
            ChangeFault::ContractUnknown(unknown()),
            true,
        ),
        (
            "none to upgrade",
            Change::UpgradeContract { contract: unknown(), code: app(apps::COUNTER.code), state: None },
            ChangeFault::ContractUnknown(unknown()),
            true,
        ),
        ("an app that refuses", counter(nothing, 0), ChangeFault::Call(CallFault::Refused), false),
        (
            "bytes that are no input",
            creation(apps::COUNTER.code, nothing, vec![1]),
            ChangeFault::Call(CallFault::Refused),
            false,
        ),
        ("an app that fails", call(contract, 0, &7_u8), ChangeFault::Call(CallFault::Undecodable), false),
        (
            "more than it holds",
            call(contract, 1, &pays(62, 0)),
            ChangeFault::Call(CallFault::PaysTooMuch { balance: 61 }),
            false,
        ),
        ("more than there is", call(contract, 0, &pays(u128::MAX, 1)), ChangeFault::Call(CallFault::Overflow), false),
        (
            "an input that is too long",
            Change::CallContract { contract, value: 0, input: vec![0; MAX_INPUT + 1] },
            ChangeFault::Call(CallFault::TooLarge),
            true,
        ),
        (
            "a creation with too much to say",
            creation(apps::PUPPET.code, nothing, vec![0; MAX_INPUT + 1]),
            ChangeFault::Call(CallFault::TooLarge),
            true,
        ),
        (
            "a builtin",
            Change::CreateContract(Creation { code: Code::Builtin(1), coins: nothing, input: Vec::new() }),
            ChangeFault::BuiltinNotAccepted,
            true,
        ),
        ("on to a builtin", upgrade(Code::Builtin(1), None), ChangeFault::BuiltinNotAccepted, true),
        (
            "shares too small",
            Change::RemoveContract { contract, shares: Pair::new(30, 29) },
            ChangeFault::SharesDiffer { got: Some(59), holds },
            false,
        ),
        (
            "shares too large",
            Change::RemoveContract { contract, shares: Pair::new(30, 31) },
            ChangeFault::SharesDiffer { got: Some(61), holds },
            false,
        ),
        (
            "shares beyond number",
            Change::RemoveContract { contract, shares: Pair::new(u128::MAX, 1) },
            ChangeFault::SharesDiffer { got: None, holds },
            false,
        ),
        ("the code it has", upgrade(app(apps::PUPPET.code), None), ChangeFault::CodeSame, false),
        (
            "a state that is too long",
            upgrade(app(apps::COUNTER.code), Some(vec![0; MAX_STATE + 1])),
            ChangeFault::StateTooLong { got: 16_385 },
            false,
        ),
        ("a note that is too long", Change::Meta(vec![0; MAX_META + 1]), ChangeFault::MetaTooLong { got: 1_025 }, true),
        (
            "coins of the other that it does not have",
            puppet(of(Initiator, SHARE)),
            ChangeFault::BelowReserve { party: Initiator, have: SHARE, amount: SHARE, reserve: RESERVE },
            false,
        ),
    ]
}

#[test]
fn a_change_that_cannot_be_made_meets_its_one_reason() {
    let (world, ids) = World::with(Responder, vec![puppet(of(Responder, 60))]);
    drop(world);
    for (name, change, fault, at_once) in cases(ids[0]) {
        let (mut world, again) = World::with(Responder, vec![puppet(of(Responder, 60))]);
        assert_eq!(again, ids);
        // The peer that proposes it.
        let (violated, code) = violation(&mut world, vec![Change::Meta(Vec::new()), change.clone()]);
        let want = match fault {
            ChangeFault::BelowReserve { have, amount, reserve, .. } => {
                Violation::BelowReserve { have, amount, reserve }
            }
            fault => Violation::Change(fault),
        };
        assert_eq!((violated, code), (want, RefusalCode::VALIDATION), "{name}");
        // The user that wants it.
        let (mut world, _) = World::with(Responder, vec![puppet(of(Responder, 60))]);
        let _id = world.pay(Responder, 1).unwrap();
        world.run();
        let made = world.make(Responder, vec![change]);
        world.run();
        if at_once {
            let misuse = match fault {
                ChangeFault::ContractUnknown(id) => Misuse::ContractUnknown(id),
                fault => Misuse::Change(fault),
            };
            assert_eq!(made, Err(misuse), "{name}");
        } else {
            let change = made.unwrap()[0];
            let fault = match fault {
                ChangeFault::BelowReserve { party, amount, reserve, .. } => {
                    ChangeFault::BelowReserve { party, have: SHARE + 1, amount, reserve }
                }
                fault => fault,
            };
            let failed = Event::Failed { changes: [change].into(), fault };
            if fault
                != (ChangeFault::BelowReserve { party: Initiator, have: SHARE + 1, amount: SHARE, reserve: RESERVE })
            {
                assert_eq!(world.sides[Responder].events.last(), Some(&failed), "{name}");
                assert_eq!(world.fate(Responder, change), Fate::Failed);
            }
        }
        world.assert_books();
    }
}

#[test]
fn the_rest_of_what_a_user_cannot_ask_for() {
    let (mut world, ids) = World::with(Responder, vec![puppet(of(Responder, 60))]);
    assert_eq!(world.make(Responder, Vec::new()), Err(Misuse::NoChanges));
    let reference = vec![0; MAX_REFERENCE + 1];
    for (payment, misuse) in [
        (Payment { amount: 0, reference: Vec::new() }, Misuse::AmountZero),
        (Payment { amount: 1, reference }, Misuse::ReferenceTooLong { got: 65, max: MAX_REFERENCE }),
    ] {
        let changes = vec![Change::Meta(Vec::new()), Change::Transfer(payment)];
        assert_eq!(world.make(Responder, changes), Err(misuse));
    }
    world.sides[Responder].book.missing = [apps::COUNTER.code].into();
    let unknown = Misuse::Change(ChangeFault::CodeUnknown(apps::COUNTER.code));
    assert_eq!(world.make_one(Responder, counter(Pair::default(), 3)), Err(unknown.clone()));
    let upgrade = Change::UpgradeContract { contract: ids[0], code: Code::Contract(apps::COUNTER.code), state: None };
    assert_eq!(world.make_one(Responder, upgrade), Err(unknown));
    // One that is proposed, and not agreed, can be called already.
    let id = world.make_one(Responder, puppet(Pair::default())).unwrap();
    let Some(Message::Update(update)) = world.wire[Initiator].back().cloned() else { panic!("the round") };
    let contract = ContractId::derive(&world.channel_id(), update.round, 0, &protocol::crypto::Native);
    let called = world.make_one(Responder, call(contract, 0, &pays(0, 0))).unwrap();
    world.run();
    assert_eq!(world.created_by(Responder, id), contract);
    assert!(matches!(world.fate(Responder, called), Fate::Paid(_)));
    let _new = world.chain.censored.insert("channel_close_solo");
    world.close_solo(Responder).unwrap();
    assert_eq!(world.make_one(Responder, Change::Meta(Vec::new())), Err(Misuse::AlreadyClosing));
}

#[test]
fn more_than_one_round_can_take_goes_into_several_and_a_peer_may_not_say_more() {
    let (mut world, ids) = World::with(Responder, vec![counter(Pair::default(), u64::MAX), puppet(Pair::default())]);
    let before = world.sides[Responder].round();
    let calls: Vec<_> = (0..513).map(|_| call(ids[0], 0, &1_u64)).collect();
    let made = world.make(Responder, calls.clone()).unwrap();
    world.run();
    assert!(made.iter().all(|id| matches!(world.fate(Responder, *id), Fate::Paid(_))));
    assert_eq!(world.sides[Responder].round(), before + 4, "two rounds");
    let full = (Violation::Change(ChangeFault::RoundFull), RefusalCode::VALIDATION);
    let contracts = || vec![counter(Pair::default(), u64::MAX), puppet(Pair::default())];
    assert_eq!(violation(&mut World::with(Responder, contracts()).0, calls), full);

    let before = world.sides[Responder].round();
    let notes = |count| (0..count).map(|_| Change::Meta(vec![7; MAX_META])).collect::<Vec<_>>();
    let most = MAX_ROUND_BYTES / MAX_META;
    let made = world.make(Responder, notes(most)).unwrap();
    world.run();
    assert!(made.iter().all(|id| matches!(world.fate(Responder, *id), Fate::Paid(_))));
    assert!(world.sides[Responder].round() <= before + 4);
    assert_eq!(violation(&mut World::with(Responder, contracts()).0, notes(most + 1)), full);
}

/// Each call is bounded by its weight, and so are all of a round together (R7.4a): whoever checks it is busy for so long and no longer.
#[test]
fn calls_that_take_long_go_into_several_rounds_and_a_peer_may_not_say_more() {
    let slow = |takes| {
        let (mut world, ids) = World::with(Responder, vec![counter(Pair::default(), u64::MAX)]);
        Party::BOTH.into_iter().for_each(|party| world.sides[party].book.takes = takes);
        (world, call(ids[0], 0, &1_u64))
    };
    let (mut world, call) = slow(MAX_ROUND_TIME / 4);
    let before = world.sides[Responder].round();
    let made = world.make(Responder, vec![call; 9]).unwrap();
    world.run();
    assert!(made.iter().all(|id| matches!(world.fate(Responder, *id), Fate::Paid(_))));
    assert_eq!(world.sides[Responder].round(), before + 6, "three rounds: of four, of four, and of one");
    let full = (Violation::Change(ChangeFault::RoundFull), RefusalCode::VALIDATION);
    let (mut world, call) = slow(MAX_ROUND_TIME / 4);
    assert_eq!(violation(&mut world, vec![call; 5]), full);
    // One call may be as heavy as its arbiter allows.
    let (mut world, call) = slow(2 * MAX_ROUND_TIME);
    let made = world.make(Responder, vec![call; 2]).unwrap();
    world.run();
    assert!(made.iter().all(|id| matches!(world.fate(Responder, *id), Fate::Paid(_))));
}

/// Whoever refuses a round waits for the answer to that: meanwhile the peer may say as much as it likes, and has nothing run for it (R6.1a, R7.4a).
#[test]
fn a_peer_that_does_not_answer_a_refusal_has_nothing_run_for_what_it_says_besides() {
    let (mut world, ids) = World::with(Responder, vec![counter(Pair::default(), u64::MAX)]);
    world.sides[Initiator].book.takes = MAX_ROUND_TIME / 4;
    let ran = std::sync::Arc::clone(&world.sides[Initiator].book.ran);
    let calls = || vec![call(ids[0], 0, &1_u64); 4];
    ran.store(0, std::sync::atomic::Ordering::Relaxed);
    let first = world.sides[Initiator].round() + if world.sides[Initiator].round().is_multiple_of(2) { 2 } else { 3 };
    for round in (first..).step_by(2).take(16) {
        // Its state is another one, which is seen once all calls have been made.
        let update = forge(&world, Responder, round, world.chain.head(), calls());
        world.hear(Initiator, Message::Update(update));
    }
    assert_eq!(
        ran.load(std::sync::atomic::Ordering::Relaxed),
        4,
        "one round, for as long as its refusal is unanswered"
    );
    let is_refusal = |message: &Message| matches!(message, Message::Update(Update { refuses: Some(_), .. }));
    assert_eq!(world.wire[Responder].iter().filter(|message| is_refusal(message)).count(), 1);
}

/// A queue of own calls that an app refuses, however slowly, is gone through in several turns.
#[test]
fn own_calls_that_fail_one_after_the_other_are_not_all_tried_in_one_turn() {
    let (mut world, ids) = World::with(Responder, vec![counter(Pair::default(), 3)]);
    let ran = std::sync::Arc::clone(&world.sides[Responder].book.ran);
    ran.store(0, std::sync::atomic::Ordering::Relaxed);
    world.sides[Responder].takes_events = false;
    let made = world.make(Responder, vec![call(ids[0], 0, &9_u64); 200]).unwrap();
    let tried = ran.load(std::sync::atomic::Ordering::Relaxed);
    assert!(tried <= 64, "{tried} calls were made for one input");
    // The others follow with the next blocks.
    world.mine_blocks(200 / 32 + 1);
    world.run();
    assert!(made.iter().all(|id| world.fate(Responder, *id) == Fate::Failed));
}

#[test]
fn there_may_be_only_so_many_contracts_at_once() {
    for limited in Party::BOTH {
        let mut world = World::opened_with(limited, |config| config.max_contracts = 2);
        let ids = world.create(Responder, vec![counter(Pair::default(), 3), counter(Pair::default(), 3)]);
        let more = world.make_one(Responder, counter(Pair::default(), 3)).unwrap();
        world.run();
        let fault = ChangeFault::TooManyContracts { max: 2 };
        if limited == Responder {
            assert_eq!(world.sides[Responder].events.last(), Some(&Event::Failed { changes: [more].into(), fault }));
        } else {
            let violated = Notice::PeerViolated(Violation::Change(fault));
            assert_eq!(world.sides[Initiator].notices().last(), Some(&violated));
            assert_eq!(world.fate(Responder, more), Fate::Refused);
        }
        // One may take the place of another, in one round.
        let gone = Change::RemoveContract { contract: ids[0], shares: Pair::default() };
        let made = world.make(Responder, vec![gone, puppet(Pair::default())]).unwrap();
        world.run();
        world.consent(Initiator);
        world.run();
        assert!(made.iter().all(|id| matches!(world.fate(Responder, *id), Fate::Paid(_))));
        world.assert_agreed();
    }
}

/// An honest round of the responder's with a contract in it, taken off the wire.
fn proposed(world: &mut World, change: Change) -> Update {
    let _id = world.make_one(Responder, change).unwrap();
    match world.steal(Initiator) {
        Message::Update(update) => update,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_height_counts_up_to_ones_own_head_or_to_what_the_user_has_set_above_it() {
    let window = 20;
    let cases = [(0, -21_i64, false), (0, -20, true), (0, 0, true), (0, 21, false), (15, 15, true), (15, 21, false)];
    for (ahead, offset, taken) in cases {
        let mut world = World::opened_with(Initiator, |config| config.height_window.ahead = ahead);
        world.mine_blocks(40);
        let head = world.chain.head();
        let mut update = proposed(&mut world, escrow(1_000));
        assert_eq!(update.height, head, "a side names its own head");
        // The hash does not know the height, unless the app looks at it.
        update.height = BlockNumber::try_from(i64::from(head) + offset).unwrap();
        let got = update.height;
        world.hear(Initiator, Message::Update(update));
        if taken {
            assert!(matches!(world.steal(Responder), Message::UpdateAck { .. }), "{offset}");
            continue;
        }
        assert_eq!(world.refusal(Initiator), RefusalCode::HEIGHT);
        let violated = Violation::HeightOutOfWindow { got, min: head - window, max: head + BlockNumber::from(ahead) };
        assert_eq!(world.sides[Initiator].notices().last(), Some(&Notice::PeerViolated(violated)));
    }
}

#[test]
fn heights_never_go_down_and_a_side_that_is_behind_follows_them() {
    let patient = || World::opened_with(Initiator, |config| config.height_window.ahead = 20);
    let mut world = patient();
    world.mine_blocks(40);
    let high = world.chain.head() + 15;
    // The responder's head is ahead, and the initiator's own next round names no lower one.
    let mut update = proposed(&mut world, escrow(1_000));
    update.height = high;
    world.hear(Initiator, Message::Update(update));
    world.wire[Responder].clear();
    let _id = world.make_one(Initiator, counter(Pair::default(), 3)).unwrap();
    let Message::Update(ours) = world.steal(Responder) else { panic!("the round") };
    assert_eq!(ours.height, high);
    // One block lower is too low, also within the window.
    let (mut world, min) = (patient(), 100 + 41 + 10);
    world.mine_blocks(40);
    let mut first = proposed(&mut world, escrow(1_000));
    first.height = min;
    world.hear(Initiator, Message::Update(first));
    let ack = world.steal(Responder);
    world.hear(Responder, ack);
    let mut second = proposed(&mut world, escrow(1_000));
    second.height = min - 1;
    world.hear(Initiator, Message::Update(second));
    let max = world.chain.head() + 20;
    let violated = Violation::HeightOutOfWindow { got: min - 1, min, max };
    assert_eq!(world.sides[Initiator].notices().last(), Some(&Notice::PeerViolated(violated)));
}

#[test]
fn a_round_that_names_a_block_which_is_not_seen_yet_is_answered_when_it_is() {
    for ahead in 1..=20 {
        let mut world = World::opened();
        world.mine_blocks(40);
        // The responder has seen so many blocks more.
        world.lag[Initiator] = ahead;
        world.mine_blocks(ahead);
        let id = world.make_one(Responder, escrow(1_000)).unwrap();
        world.run();
        assert_eq!(world.fate(Responder, id), Fate::Pending);
        assert_eq!(world.rounds(), (1, 1), "no app is run for a block that is not there");
        // It sees one block after the other.
        for missing in (0..ahead).rev() {
            assert_eq!(world.rounds(), (1, 1));
            let next = world.sides[Initiator].seen + 1;
            world.sides[Initiator].seen = next;
            world.tell_block(Initiator, next);
            world.run();
            assert_eq!(world.rounds().0 > 1, missing == 0, "{missing} of {ahead} are missing");
        }
        assert_eq!(world.fate(Responder, id), Fate::Paid(world.rounds().0));
        world.assert_no_complaints();
        world.assert_agreed();
    }
}

#[test]
fn a_round_that_names_a_block_which_never_comes_is_refused_in_the_end() {
    let mut world = World::opened();
    world.lag[Initiator] = 2;
    world.mine_blocks(2);
    let id = world.make_one(Responder, escrow(1_000)).unwrap();
    world.run();
    assert_eq!(world.pay(Initiator, 1).map(drop), Ok(()), "own payments wait meanwhile");
    let patience = world.sides[Initiator].config.timeouts.review;
    world.tick(patience - 1);
    world.run();
    assert_eq!(world.fate(Responder, id), Fate::Pending);
    world.tick(1);
    world.run();
    assert_eq!(world.fate(Responder, id), Fate::Refused);
    world.assert_balances(SHARE - 1, SHARE + 1);
    world.assert_agreed();
}

#[test]
fn a_height_means_nothing_where_nothing_is_executed() {
    let mut world = World::opened();
    let mut update = proposed(&mut world, Change::Meta(b"words".to_vec()));
    update.height = BlockNumber::MAX;
    world.hear(Initiator, Message::Update(update));
    assert!(matches!(world.steal(Responder), Message::UpdateAck { .. }));
    let _id = world.make_one(Initiator, counter(Pair::default(), 3)).unwrap();
    let Message::Update(ours) = world.steal(Responder) else { panic!("the round") };
    assert_eq!(ours.height, world.chain.head());
}

#[test]
fn sides_that_lag_within_the_window_agree_once_they_have_seen_the_block() {
    for lagging in Party::BOTH {
        let (mut world, ids) = World::with(Initiator, vec![counter(Pair::default(), 100)]);
        world.lag[lagging] = 19;
        world.mine_blocks(30);
        for n in 0..6 {
            let party = if n % 2 == 0 { Initiator } else { Responder };
            let id = world.make_one(party, call(ids[0], 1, &1_u64)).unwrap();
            world.run();
            assert_eq!(matches!(world.fate(party, id), Fate::Paid(_)), party == lagging);
            for _block in 0..19 {
                world.mine();
                world.run();
            }
            assert!(matches!(world.fate(party, id), Fate::Paid(_)));
        }
        world.assert_agreed();
        world.assert_no_complaints();
    }
}

#[test]
fn rounds_far_above_all_others_are_refused_and_forgotten() {
    // Were they remembered, the own rounds would have to lie above them, and would run out.
    for (name, changes) in [
        ("a payment", vec![Change::Meta(Vec::new())]),
        ("unwelcome code", vec![puppet(Pair::default())]),
        ("code that is not here", vec![counter(Pair::default(), 3)]),
    ] {
        for victim in Party::BOTH {
            let mut world = World::opened();
            world.sides[victim].book.refused = [apps::PUPPET.code].into();
            world.sides[victim].book.missing = [apps::COUNTER.code].into();
            world.fetch_code = false;
            let cheat = victim.peer();
            let round = if cheat == Initiator { u64::MAX } else { u64::MAX - 1 };
            let update = forge(&world, cheat, round, world.chain.head(), changes.clone());
            world.hear(victim, Message::Update(update));
            assert_eq!(world.steal(cheat), Message::UpdateError { round, code: RefusalCode::VALIDATION }, "{name}");
            let violated = Notice::PeerViolated(Violation::RoundTooFar { got: round, have: 1 });
            assert_eq!(world.sides[victim].notices().last(), Some(&violated), "{name}");
            world.tick(1_000_000);
            let id = world.pay(victim, 5).unwrap();
            world.run();
            assert!(matches!(world.fate(victim, id), Fate::Paid(3 | 4)), "{name}");
        }
    }
}

#[test]
fn an_operation_in_a_round_far_above_all_others_is_refused() {
    for victim in Party::BOTH {
        let (mut world, cheat) = (World::opened(), victim.peer());
        world.deposit(cheat, 5).unwrap();
        let Message::DepositCreated(mut body) = world.steal(victim) else { panic!("the question") };
        body.round = if cheat == Initiator { u64::MAX } else { u64::MAX - 1 };
        let got = body.round;
        world.hear(victim, Message::DepositCreated(body));
        let violated = Notice::PeerViolated(Violation::RoundTooFar { got, have: 1 });
        assert_eq!(world.sides[victim].notices().last(), Some(&violated));
    }
}
