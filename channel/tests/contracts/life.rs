//! Contracts begin, are called by both, pay, go on with other code, and end.

use crate::harness::{
    Initiator, PACE, RESERVE, Responder, SHARE, World, apps,
    apps::Tokens,
    contracts::{call, counter, creation, escrow, of, pays, puppet},
    side::Fate,
};
use channel::{Change, ChangeFault, Event, Misuse, Outcome, Payment};
use protocol::{
    Pair, Party,
    contracts::{CallFault, Code},
};
use scale::Encode;

fn payment(amount: u128) -> Change {
    Change::Transfer(Payment { amount, reference: Vec::new() })
}

#[test]
fn a_contract_is_created_called_by_both_and_pays_the_one_who_reaches_its_goal() {
    for owner in Party::BOTH {
        let (mut world, ids) = World::with(owner, vec![counter(of(owner, 100), 3)]);
        world.assert_agreed();
        assert_eq!(world.sides[owner].balances().ours, SHARE - 100);
        for party in [owner, owner.peer(), owner] {
            let id = world.make_one(party, call(ids[0], 5, &1_u64)).unwrap();
            world.run();
            assert!(matches!(world.fate(party, id), Fate::Paid(_)));
            world.assert_agreed();
        }
        // Two calls of five coins each, and one of the other party's: all of it to whoever counted to three.
        assert_eq!(world.sides[owner].balances().ours, SHARE + 5);
        let payouts = of(owner, 115);
        let last = Outcome::Called { contract: ids[0], value: 5, payouts, output: 3_u64.encode(), ended: false };
        for party in Party::BOTH {
            assert_eq!(world.outcomes(party).last(), Some(&last));
        }
        let shares = Pair::default();
        let gone = world.make_one(owner.peer(), Change::RemoveContract { contract: ids[0], shares }).unwrap();
        world.run();
        world.consent(owner);
        world.run();
        assert!(matches!(world.fate(owner.peer(), gone), Fate::Paid(_)));
        assert_eq!(world.sides[owner].machine().contracts().unwrap().len(), 0);
        world.assert_agreed();
        world.assert_no_complaints();
        world.shutdown(owner, 0).unwrap();
        world.run();
        world.mine();
        world.assert_reckoned(None);
    }
}

#[test]
fn a_round_makes_its_changes_in_order_and_both_users_are_told_of_each() {
    let (mut world, ids) = World::with(Initiator, vec![puppet(of(Initiator, 100)), counter(Pair::default(), 9)]);
    let before = world.outcomes(Initiator).len();
    let round = world.sides[Initiator].round() + 2;
    let _made = world.make(
        Initiator,
        vec![
            payment(7),
            call(ids[0], 20, &pays(1, 50)),
            Change::Meta(b"words".to_vec()),
            call(ids[1], 0, &4_u64),
            payment(2),
            call(ids[1], 0, &5_u64),
            puppet(of(Initiator, 3)),
        ],
    );
    world.run();
    assert_eq!(world.rounds(), (round, round), "one round carries all of them");
    let called =
        |contract, value, payouts, output: Vec<u8>| Outcome::Called { contract, value, payouts, output, ended: false };
    let outcomes = &world.outcomes(Responder)[before..];
    let Some(Outcome::Created { contract, .. }) = outcomes.last() else { panic!("{outcomes:?}") };
    assert_eq!(
        outcomes,
        [
            called(ids[0], 20, Pair::new(1, 50), b"done".to_vec()),
            Outcome::Noted(b"words".to_vec()),
            called(ids[1], 0, Pair::default(), 4_u64.encode()),
            called(ids[1], 0, Pair::default(), 9_u64.encode()),
            Outcome::Created { contract: *contract, code: Code::Contract(apps::PUPPET.code), balance: 3 },
        ]
    );
    // The initiator gave 100 at first, then 7, 20, 2 and 3, and got 1.
    world.assert_balances(SHARE - 131, SHARE + 59);
    world.assert_agreed();
    world.assert_no_complaints();
}

#[test]
fn calls_that_cross_are_both_made_one_on_top_of_the_other() {
    let (mut world, ids) = World::with(Responder, vec![counter(Pair::default(), 100)]);
    for _ in 0..5 {
        let theirs =
            [Initiator, Responder].map(|party| (party, world.make_one(party, call(ids[0], 1, &1_u64)).unwrap()));
        world.run();
        for (party, id) in theirs {
            assert!(matches!(world.fate(party, id), Fate::Paid(_)));
        }
        world.assert_agreed();
    }
    let Some(Outcome::Called { output, .. }) = world.outcomes(Initiator).pop() else { panic!("a call") };
    assert_eq!(output, 10_u64.encode());
    world.assert_balances(SHARE - 5, SHARE - 5);
    world.assert_no_complaints();
}

#[test]
fn what_cannot_be_made_any_more_when_its_turn_comes_is_told_and_the_others_are_made() {
    for loser in Party::BOTH {
        let (mut world, ids) = World::with(loser, vec![counter(Pair::default(), 3)]);
        // The winner's call crosses, and takes the counter to its goal.
        let made = world.make(loser, vec![payment(1), call(ids[0], 9, &2_u64), payment(4)]).unwrap();
        let late = world.make_one(loser, call(ids[0], 0, &3_u64)).unwrap();
        let round = world.sides[loser].signed.last_key_value().unwrap().0 + 1;
        let theirs = world.make_one(loser.peer(), call(ids[0], 0, &3_u64)).unwrap();
        let won = world.sides[loser.peer()].signed.last_key_value().unwrap().0 >= &round;
        world.run();
        world.assert_agreed();
        world.assert_no_complaints();
        let (winner, lost) = if won { (theirs, vec![made[1], late]) } else { (made[1], vec![late]) };
        assert!(matches!(world.fate(if won { loser.peer() } else { loser }, winner), Fate::Paid(_)));
        for id in [made[0], made[2]] {
            assert!(matches!(world.fate(loser, id), Fate::Paid(_)), "payments are made all the same");
        }
        for id in lost {
            assert_eq!(world.fate(loser, id), Fate::Failed);
            let fault = ChangeFault::Call(CallFault::Refused);
            assert_eq!(world.sides[loser].was_told(|event| *event == Event::Failed { changes: [id].into(), fault }), 1);
        }
    }
}

#[test]
fn a_contract_goes_on_with_other_code_on_its_old_state_or_on_another() {
    let (mut world, ids) = World::with(Initiator, vec![counter(of(Initiator, 50), 3), counter(Pair::default(), 3)]);
    let code = Code::Contract(apps::PUPPET.code);
    for (contract, state) in [(ids[0], None), (ids[1], Some(b"other".to_vec()))] {
        let change = Change::UpgradeContract { contract, code, state: state.clone() };
        let id = world.make_one(Responder, change).unwrap();
        world.run();
        assert_eq!(world.fate(Responder, id), Fate::Pending, "the other user is asked");
        world.consent(Initiator);
        world.run();
        for party in Party::BOTH {
            assert_eq!(world.outcomes(party).last(), Some(&Outcome::Upgraded { contract, code }));
            let after = world.sides[party].machine().contract(&contract).unwrap();
            assert_eq!((after.code, after.owner), (code, Initiator));
            assert_eq!(after.state, state.clone().unwrap_or_else(|| (0_u64, 3_u64).encode()));
        }
        world.assert_agreed();
    }
    let _id = world.make_one(Responder, call(ids[0], 0, &pays(0, 50))).unwrap();
    world.run();
    world.assert_balances(SHARE - 50, SHARE + 50);
    world.assert_agreed();
}

#[test]
fn a_change_is_tried_without_changing_anything() {
    let (mut world, ids) = World::with(Initiator, vec![counter(Pair::default(), 5)]);
    let try_it = |world: &World, change: &Change| {
        let side = &world.sides[Responder];
        let ctx = side.context(0, PACE);
        let before = side.machine().save();
        let tried = side.machine().try_change(change, &ctx);
        assert!(before == side.machine().save());
        tried
    };
    let change = call(ids[0], 7, &2_u64);
    let tried = try_it(&world, &change).unwrap().unwrap();
    let _id = world.make_one(Responder, change.clone()).unwrap();
    // On top of what is proposed: one more would still fit, two would not.
    assert!(try_it(&world, &call(ids[0], 0, &3_u64)).is_ok());
    let fault = Misuse::Change(ChangeFault::Call(CallFault::Refused));
    assert_eq!(try_it(&world, &call(ids[0], 0, &4_u64)), Err(fault));
    world.run();
    assert_eq!(world.outcomes(Responder).last(), Some(&tried));
    assert_eq!(try_it(&world, &payment(5)), Ok(None));
    assert!(matches!(try_it(&world, &counter(Pair::default(), 2)), Ok(Some(Outcome::Created { .. }))));
    let _new = world.chain.censored.insert("channel_close_solo");
    world.close_solo(Responder).unwrap();
    assert!(try_it(&world, &payment(5)).is_ok(), "still open");
    world.chain.censored.clear();
    world.mine_blocks(2);
    assert_eq!(try_it(&world, &payment(5)), Err(Misuse::NotOpen { state: "closing" }));
}

#[test]
fn deposits_and_withdrawals_leave_contracts_as_they_are() {
    for party in Party::BOTH {
        let (mut world, ids) = World::with(party, vec![puppet(of(party, 200))]);
        for _ in 0..2 {
            world.deposit(party.peer(), 30).unwrap();
            world.run();
            world.mine();
            world.run();
            world.withdraw(party, 100).unwrap();
            let _id = world.make_one(party.peer(), call(ids[0], 10, &pays(5, 0))).unwrap();
            for _ in 0..3 {
                world.run();
                world.mine();
            }
            world.run();
            world.assert_agreed();
        }
        assert_eq!(world.sides[party].machine().contract(&ids[0]).unwrap().balance, 210);
        world.assert_no_complaints();
        let gone = Change::RemoveContract { contract: ids[0], shares: of(party.peer(), 210) };
        let _id = world.make_one(party.peer(), gone).unwrap();
        world.run();
        world.consent(party);
        world.run();
        world.shutdown(party, 1).unwrap();
        world.run();
        world.mine();
        world.assert_reckoned(None);
    }
}

#[test]
fn what_is_in_contracts_cannot_be_spent_and_the_reserve_stays_outside() {
    let mut world = World::opened();
    let have = SHARE;
    let available = have - RESERVE;
    let too_much = counter(of(Initiator, available + 1), 3);
    let refused = Misuse::InsufficientBalance { amount: available + 1, available };
    assert_eq!(world.make_one(Initiator, too_much), Err(refused));
    let id = world.make_one(Initiator, puppet(of(Initiator, available))).unwrap();
    assert_eq!(world.sides[Initiator].balances().spendable, 0);
    world.run();
    let contract = world.created_by(Initiator, id);
    assert_eq!(world.pay(Initiator, 1), Err(Misuse::InsufficientBalance { amount: 1, available: 0 }));
    let _id = world.make_one(Responder, call(contract, 0, &pays(40, 0))).unwrap();
    world.run();
    assert_eq!(world.sides[Initiator].balances().spendable, 40);
    // A call gives back what it took within one round, but it has to be there first.
    let refused = Misuse::InsufficientBalance { amount: 41, available: 40 };
    assert_eq!(world.make_one(Initiator, call(contract, 41, &pays(41, 0))), Err(refused));
    let _id = world.make_one(Initiator, call(contract, 40, &pays(40, 0))).unwrap();
    world.run();
    world.assert_agreed();
    world.assert_no_complaints();
}

#[test]
fn tokens_change_hands_and_are_redeemed_at_the_end() {
    let (mut world, ids) = World::with(Responder, vec![escrow(150)]);
    let run = |world: &mut World, party: Party, value: u128, tokens: Tokens| {
        let id = world.make_one(party, call(ids[0], value, &tokens)).unwrap();
        world.run();
        world.assert_agreed();
        world.fate(party, id)
    };
    let paid = |fate: Fate| matches!(fate, Fate::Paid(_));
    assert!(paid(run(&mut world, Initiator, 300, Tokens::Issue)));
    assert!(paid(run(&mut world, Initiator, 0, Tokens::Move(120))));
    assert!(paid(run(&mut world, Responder, 0, Tokens::Redeem(20))));
    assert_eq!(run(&mut world, Responder, 0, Tokens::Redeem(101)), Fate::Failed);
    world.mine_blocks(60);
    assert_eq!(run(&mut world, Responder, 0, Tokens::Move(1)), Fate::Failed, "the deadline is over");
    assert!(paid(run(&mut world, Responder, 0, Tokens::Redeem(100))));
    assert!(paid(run(&mut world, Initiator, 0, Tokens::Redeem(180))));
    world.assert_balances(SHARE - 120, SHARE + 120);
    world.assert_no_complaints();
}

#[test]
fn a_broken_link_at_every_message_costs_no_change() {
    for by in Party::BOTH {
        for delivered in 0.. {
            let (mut world, ids) = World::with(by, vec![counter(Pair::default(), 100)]);
            let made = [
                world.make_one(by, call(ids[0], 3, &1_u64)).unwrap(),
                world.make_one(by, puppet(of(by, 5))).unwrap(),
                world.make_one(by, call(ids[0], 0, &1_u64)).unwrap(),
            ];
            let theirs = world.make_one(by.peer(), call(ids[0], 4, &1_u64)).unwrap();
            let mut more = true;
            for turn in 0..delivered {
                let first = if turn % 2 == 0 { Responder } else { Initiator };
                more &= world.deliver(first) || world.deliver(first.peer());
            }
            world.disconnect();
            world.run();
            assert!(made.iter().all(|id| matches!(world.fate(by, *id), Fate::Paid(_))));
            assert!(matches!(world.fate(by.peer(), theirs), Fate::Paid(_)));
            world.assert_agreed();
            world.assert_no_complaints();
            if !more {
                break;
            }
        }
    }
}

#[test]
fn thousands_of_contracts_are_one_of_many_rounds() {
    let mut world = World::opened();
    for party in Party::BOTH {
        world.sides[party].strict = false;
    }
    let creations = (0..1_024).map(|n| creation(apps::COUNTER.code, Pair::default(), (n + 1_u64).encode())).collect();
    let before = world.messages;
    let made = world.make(Initiator, creations).unwrap();
    world.run();
    assert!(made.iter().all(|id| matches!(world.fate(Initiator, *id), Fate::Paid(_))));
    assert_eq!(world.messages - before, 4, "512 a round");
    assert_eq!(world.sides[Responder].machine().contracts().unwrap().len(), 1_024);
    world.assert_agreed();
}
