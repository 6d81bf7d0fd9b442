//! What the other side's user is asked about, and what it is not.

use crate::harness::{
    Initiator, Responder, SHARE, World, apps,
    contracts::{call, counter, forced, of, pays, puppet},
    forge::payment,
    side::Fate,
};
use channel::{Acceptance, Change, Event, Message, Misuse, Notice, RefusalCode, Violation};
use protocol::{Pair, Party, contracts::Code};

/// What the payer's user was told of refusals.
fn refusals(world: &World, party: Party) -> Vec<RefusalCode> {
    let codes = world.sides[party].events.iter();
    codes.filter_map(|event| if let Event::Refused { code, .. } = event { Some(*code) } else { None }).collect()
}

fn asked(world: &World, party: Party) -> usize {
    world.sides[party].was_noticed(|notice| matches!(notice, Notice::Proposed { .. }))
}

#[test]
fn a_contract_with_coins_of_both_begins_when_the_other_user_agrees() {
    for owner in Party::BOTH {
        let mut world = World::opened();
        let creation = puppet(Pair::new(30, 70));
        let id = world.make_one(owner, creation.clone()).unwrap();
        world.run();
        assert_eq!(world.fate(owner, id), Fate::Pending);
        let round = world.asked(owner.peer()).unwrap();
        let proposed = Notice::Proposed { proposal: world.shown(owner.peer(), round), changes: vec![creation] };
        assert_eq!(world.sides[owner.peer()].noticed.last(), Some(&proposed));
        world.accept(owner.peer(), round).unwrap();
        world.run();
        assert_eq!(world.fate(owner, id), Fate::Paid(round));
        world.assert_balances(SHARE - 30, SHARE - 70);
        world.assert_agreed();
    }
}

#[test]
fn what_the_other_user_refuses_or_leaves_undecided_is_not_made() {
    let contract = |world: &mut World| world.create(Initiator, vec![puppet(of(Initiator, 50))])[0];
    type Proposal = fn(protocol::contracts::ContractId) -> Change;
    let proposals: [Proposal; 3] = [
        |_| puppet(Pair::new(1, 1)),
        |contract| Change::RemoveContract { contract, shares: Pair::new(0, 50) },
        |contract| Change::UpgradeContract { contract, code: Code::Contract(apps::COUNTER.code), state: None },
    ];
    for proposal in proposals {
        for patience in [true, false] {
            let mut world = World::opened();
            let change = proposal(contract(&mut world));
            let id = world.make_one(Responder, change).unwrap();
            world.run();
            assert_eq!(asked(&world, Initiator), 1);
            let round = world.asked(Initiator).unwrap();
            if patience {
                world.refuse(Initiator, round, RefusalCode(200)).unwrap();
            } else {
                world.tick(world.sides[Initiator].config.timeouts.review);
            }
            world.run();
            assert_eq!(world.fate(Responder, id), Fate::Refused);
            let code = if patience { RefusalCode(200) } else { RefusalCode::TIMEOUT };
            assert_eq!(refusals(&world, Responder), [code]);
            world.assert_balances(SHARE - 50, SHARE);
            // And the channel goes on above it, both ways.
            for party in Party::BOTH {
                let _id = world.pay(party, 3).unwrap();
                world.run();
            }
            world.assert_agreed();
        }
    }
}

#[test]
fn nobody_is_asked_about_what_takes_nothing_of_ones_own() {
    let (mut world, ids) = World::with(Initiator, vec![counter(of(Initiator, 10), 5)]);
    world.sides[Responder].book.worthless = [apps::COUNTER.code].into();
    for change in [call(ids[0], 5, &2_u64), Change::Meta(b"words".to_vec()), call(ids[0], 0, &3_u64)] {
        let id = world.make_one(Initiator, change).unwrap();
        world.run();
        assert!(matches!(world.fate(Initiator, id), Fate::Paid(_)));
    }
    // It is empty now, and worth nothing to the responder: not so to the initiator.
    let shares = Pair::default();
    let id = world.make_one(Initiator, Change::RemoveContract { contract: ids[0], shares }).unwrap();
    world.run();
    assert!(matches!(world.fate(Initiator, id), Fate::Paid(_)));
    assert_eq!(asked(&world, Responder), 0);
    let ids = world.create(Initiator, vec![counter(Pair::default(), 5)]);
    let id = world.make_one(Responder, Change::RemoveContract { contract: ids[0], shares }).unwrap();
    world.run();
    assert_eq!(world.fate(Responder, id), Fate::Pending);
    assert_eq!(asked(&world, Initiator), 1);
    world.consent(Initiator);
    world.run();
    world.assert_agreed();
}

#[test]
fn a_contract_that_holds_coins_is_not_removed_without_asking_whatever_the_round_does_first() {
    let (mut world, ids) = World::with(Responder, vec![puppet(of(Responder, 100)), puppet(Pair::default())]);
    world.sides[Responder].book.worthless = [apps::PUPPET.code].into();
    // It pays everything to the cheat, and is empty then.
    let (contract, shares) = (ids[0], Pair::default());
    let emptied = vec![call(contract, 0, &pays(100, 0)), Change::RemoveContract { contract, shares }];
    let _ids = world.make(Initiator, emptied).unwrap();
    world.run();
    assert_eq!(asked(&world, Responder), 1);
    let round = world.asked(Responder).unwrap();
    world.refuse(Responder, round, RefusalCode(200)).unwrap();
    world.run();
    // So it is with one that begins and ends in the same round.
    let change = Change::UpgradeContract { contract: ids[1], code: Code::Contract(apps::COUNTER.code), state: None };
    let gone = Change::RemoveContract { contract: ids[1], shares };
    let _ids = world.make(Initiator, vec![change, gone]).unwrap();
    world.run();
    assert_eq!(asked(&world, Responder), 2);
}

#[test]
fn a_user_that_decides_on_everything_is_asked_about_calls_too() {
    let mut world = World::opened_with(Responder, |config| config.acceptance = Acceptance::Manual);
    let id = world.make_one(Initiator, counter(of(Initiator, 10), 5)).unwrap();
    world.run();
    assert_eq!((asked(&world, Responder), world.fate(Initiator, id)), (1, Fate::Pending));
    world.consent(Responder);
    world.run();
    let contract = world.created_by(Initiator, id);
    let id = world.make_one(Initiator, call(contract, 0, &5_u64)).unwrap();
    world.run();
    assert_eq!((asked(&world, Responder), world.fate(Initiator, id)), (2, Fate::Pending));
    world.consent(Responder);
    world.run();
    world.assert_agreed();
}

#[test]
fn a_side_takes_no_part_in_contracts_with_code_that_it_does_not_accept() {
    let (mut world, ids) = World::with(Initiator, vec![counter(Pair::default(), 5)]);
    world.sides[Responder].book.refused = [apps::PUPPET.code].into();
    let code = Code::Contract(apps::PUPPET.code);
    for change in [puppet(Pair::default()), Change::UpgradeContract { contract: ids[0], code, state: None }] {
        let id = world.make_one(Initiator, change).unwrap();
        world.run();
        assert_eq!(world.fate(Initiator, id), Fate::Refused);
        let violated = Notice::PeerViolated(Violation::CodeNotAccepted(apps::PUPPET.code));
        assert_eq!(world.sides[Responder].notices().last(), Some(&violated));
    }
    assert_eq!(refusals(&world, Initiator), [RefusalCode::POLICY; 2]);
    assert_eq!(asked(&world, Responder), 0);
    // Its own are another matter.
    let id = world.make_one(Responder, puppet(Pair::default())).unwrap();
    world.run();
    assert!(matches!(world.fate(Responder, id), Fate::Paid(_)));
    world.assert_agreed();
}

#[test]
fn the_number_that_the_user_decides_on_means_one_round_for_ever() {
    for victim in Party::BOTH {
        let mut world = World::opened_with(victim, |config| config.acceptance = Acceptance::Manual);
        let cheat = victim.peer();
        let round = if cheat == Initiator { 3 } else { 4 };
        let good = world.forge_update(cheat, round, &[500]);
        world.hear(victim, Message::Update(good.clone()));
        assert_eq!(world.asked(victim), Some(round));
        // While the user thinks, and after a broken link, the cheat says something else under the same number, or under a lower one.
        for relinked in [false, true] {
            if relinked {
                world.disconnect();
                world.linked = true;
                world.input(victim, channel::Input::LinkUp).unwrap();
                let Some(Message::Reestablish(theirs)) = world.wire[cheat].pop_back() else { panic!("its notes") };
                world.hear(victim, Message::ReestablishAck(theirs));
                world.hear(victim, Message::Update(good.clone()));
            }
            let shown = asked(&world, victim);
            let swapped = world.forge_update(cheat, round, &[1]);
            world.hear(victim, Message::Update(swapped));
            let mut other_words = good.clone();
            other_words.changes = vec![Change::Transfer(payment(499)), Change::Transfer(payment(1))];
            world.hear(victim, Message::Update(other_words));
            let refused_by_counter_round = |message: &Message| match message {
                Message::Update(counter) => counter.refuses.as_ref().is_some_and(|refusal| refusal.round == round),
                _ => false,
            };
            assert!(world.wire[cheat].drain(..).all(|message| refused_by_counter_round(&message)));
            assert_eq!(asked(&world, victim), shown);
        }
        // What the victim has refused under that number it does not agree to any more, whatever its user decides.
        assert_eq!(world.accept(victim, round), Err(Misuse::NotProposed { round }));
        assert_eq!(world.agreed(victim)[victim], SHARE);
    }
}

#[test]
fn a_round_under_consideration_is_put_off_when_an_operation_of_ones_own_is_signed() {
    // The deposit would come on top of what is agreed now. A round agreed in between would lack its coins: they would be lost.
    for victim in Party::BOTH {
        let mut world = World::opened_with(victim, |config| config.acceptance = Acceptance::Manual);
        let cheat = victim.peer();
        world.deposit(victim, 300).unwrap();
        let Message::DepositCreated(body) = world.steal(cheat) else { panic!("the question") };
        let round = body.round + 1;
        let update = world.forge_update(cheat, round, &[5]);
        world.hear(victim, Message::Update(update));
        assert_eq!(world.asked(victim), Some(round));
        let signature = crate::harness::forge::sign(cheat, world.channel_id(), &body);
        world.hear(victim, Message::DepositSigned { round: body.round, signature });
        assert_eq!(world.steal(cheat), Message::UpdateError { round, code: RefusalCode::NOT_NOW });
        assert_eq!(world.accept(victim, round), Err(Misuse::NotProposed { round }));
        world.kill(cheat);
        world.mine();
        assert_eq!(world.sides[victim].balances().ours, SHARE + 300);
        world.close_solo(victim).unwrap();
        world.mine_blocks(30);
        world.assert_reckoned(Some(cheat));
    }
}

#[test]
fn a_round_under_consideration_is_put_off_when_the_user_forces_calls() {
    let (mut world, ids) = World::with(Initiator, vec![puppet(of(Initiator, 50))]);
    let id = world.make_one(Responder, puppet(Pair::new(5, 5))).unwrap();
    world.run();
    let round = world.asked(Initiator).unwrap();
    world.force(Initiator, vec![forced(ids[0], 0, &pays(50, 0))]).unwrap();
    assert_eq!(world.accept(Initiator, round), Err(Misuse::NotProposed { round }));
    for _ in 0..2 {
        world.run();
        world.mine();
    }
    world.run();
    // The responder has made its change again on top of what was forced, and the initiator is asked again.
    world.consent(Initiator);
    world.run();
    assert!(matches!(world.fate(Responder, id), Fate::Paid(again) if again > round));
    world.assert_balances(SHARE - 5, SHARE - 5);
    world.assert_agreed();
    world.assert_no_complaints();
}
