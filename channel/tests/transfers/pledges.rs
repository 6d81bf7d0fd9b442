//! Pledges (R6.5d): the payee is committed to its premium before the payer has signed anything, and neither side gains by keeping something back.

use super::*;
use channel::{Event, PledgeBody, RefusalCode, WaitReason};

const PREMIUM: Amount = 20;
const AMOUNT: Amount = 100;

/// A payer (the initiator) whose payee stakes a premium, and the last block of the pledge.
fn staked(world: &mut World, lasts: BlockNumber) -> BlockNumber {
    world.sides[Responder].registry.premium = PREMIUM;
    let offer = Offer { premium: PREMIUM, ..an_offer(1, AMOUNT, world.chain.head() + 30) };
    let until = world.chain.head() + lasts;
    world.offer_staked(Initiator, 1, offer, until).unwrap();
    until
}

fn assert_locked(world: &World) {
    assert_eq!((world.ours(Initiator), world.ours(Responder)), (SHARE - AMOUNT, SHARE - PREMIUM));
    assert_eq!(world.open_transfers(), 2);
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Offered));
    assert!(world.contract_of(Responder, 1).is_some());
}

/// Both go on from the same state.
fn assert_same(world: &World) {
    let state = |party| world.sides[party].machine().state().unwrap().commitment();
    assert_eq!(world.rounds().0, world.rounds().1);
    assert_eq!(state(Initiator), state(Responder));
}

fn assert_nothing_locked(world: &World) {
    assert_eq!((world.ours(Initiator), world.ours(Responder)), (SHARE, SHARE));
    assert_eq!(world.open_transfers(), 0);
}

#[test]
fn an_offer_with_a_premium_is_pledged_for_and_then_agreed_in_the_same_round() {
    let mut world = World::opened();
    let before = world.sides[Initiator].round();
    let _until = staked(&mut world, 10);
    world.run();
    assert_locked(&world);
    assert_eq!(world.sides[Initiator].round(), before + 2, "one round");
    world.claim(Responder, 1).unwrap();
    world.run();
    assert_eq!((world.ours(Initiator), world.ours(Responder)), (SHARE - AMOUNT, SHARE + AMOUNT));
    world.mine_blocks(20);
    assert_eq!(world.chain.times_asked(Initiator, "channel_snapshot_solo"), 0, "nothing was to be shown");
    world.assert_no_complaints();
}

#[test]
fn an_offer_with_a_premium_that_nobody_pledges_for_comes_to_nothing() {
    let mut world = World::opened();
    let offer = Offer { premium: PREMIUM, ..an_offer(1, AMOUNT, world.chain.head() + 30) };
    let plain = TransferCommand::Offer { key: name(1), offer: offer.clone(), fee: 0 };
    assert!(matches!(world.command(Initiator, Command::Transfer(plain)), Err(Misuse::PremiumNotPledged)));
    let until = world.chain.head() + 10;
    world.offer_staked(Initiator, 1, offer, until).unwrap();
    world.run();
    assert_nothing_locked(&world);
    let refused = Failure::Refused(RefusalCode::POLICY);
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Failed(refused)));
    let _paid = world.pay(Initiator, 5).unwrap();
    world.run();
    assert_eq!(world.ours(Initiator), SHARE - 5, "what comes after it goes on");
}

/// The payee keeps back its answer to the round: the payer shows the pledge to the chain, and the premium is staked as agreed.
#[test]
fn a_payee_that_keeps_back_its_answer_has_staked_its_premium_all_the_same() {
    for closes in [false, true] {
        let mut world = World::opened();
        let until = staked(&mut world, 8);
        let kept = world.kept(Responder);
        // The question, the pledge, the round, and no answer.
        assert!(world.deliver(Responder));
        assert!(world.deliver(Initiator));
        let withheld = world.steal(Responder);
        assert!(matches!(withheld, Message::Update(_)), "{withheld:?}");
        if closes {
            // On the state without it, to have the choice longer.
            world.chain.submit(Responder, Call::ChannelCloseSolo(kept));
        }
        while world.chain.head() < until {
            world.mine();
        }
        assert!(
            world.chain.times_asked(Initiator, "channel_snapshot_solo")
                + world.chain.times_asked(Initiator, "channel_slash")
                > 0
        );
        assert_locked(&world);
        if !closes {
            world.claim(Responder, 1).unwrap();
            world.run();
            world.mine_blocks(3);
            world.run();
            assert_eq!(
                (world.ours(Initiator), world.ours(Responder)),
                (SHARE - AMOUNT, SHARE + AMOUNT),
                "the channel goes on"
            );
        }
    }
}

/// The payee keeps back its pledge: the payer has signed nothing, and the offer comes to nothing.
#[test]
fn a_payee_that_keeps_back_its_pledge_has_no_choice_afterwards() {
    let mut world = World::opened();
    let until = staked(&mut world, 8);
    assert!(world.deliver(Responder));
    let pledge = world.steal(Initiator);
    assert!(matches!(pledge, Message::PledgeSigned { .. }), "{pledge:?}");
    while world.chain.head() < until {
        world.mine();
    }
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Failed(Failure::TooLate)));
    world.hear(Initiator, pledge);
    world.run();
    world.mine_blocks(3);
    world.run();
    assert_nothing_locked(&world);
    for party in [Initiator, Responder] {
        let _paid = world.pay(party, 5).unwrap();
        world.run();
    }
    assert_same(&world);
}

/// The payer keeps back the round, and shows the pledge in its last block: the payee learns of the transfer from the chain, and is paid by it.
#[test]
fn a_payer_that_shows_the_pledge_in_its_last_block_takes_no_premium() {
    for is_shown in [true, false] {
        let mut world = World::opened();
        let until = staked(&mut world, 8);
        assert!(world.deliver(Responder));
        assert!(world.deliver(Initiator));
        let _kept = world.steal(Responder);
        let payload = world.sides[Initiator].machine().pledge().cloned().expect("the payer holds it");
        let channel = world.kept(Initiator).channel;
        world.kill(Initiator);
        while world.chain.head() + 1 < until {
            world.mine();
        }
        if is_shown {
            world.chain.submit(Initiator, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
        }
        world.mine_blocks(3);
        if is_shown {
            assert!(world.contract_of(Responder, 1).is_some(), "told of by the chain");
            world.claim(Responder, 1).unwrap();
        } else {
            assert_eq!(world.ours(Responder), SHARE, "it is over with its last block");
        }
    }
}

/// Whoever crashes wherever: both go on, and agree on what is locked.
#[test]
fn a_pledge_survives_crashes_and_lost_connections_of_both() {
    for who in [Initiator, Responder] {
        for at in 0..6 {
            for reconnects in [false, true] {
                let mut world = World::opened();
                let until = staked(&mut world, 8);
                for step in 0..at {
                    let _was_there = world.deliver(if step % 2 == 0 { Responder } else { Initiator });
                }
                match reconnects {
                    true => {
                        world.disconnect();
                        world.connect();
                    }
                    false => world.crash(who),
                }
                world.run();
                while world.chain.head() < until + 3 {
                    world.mine();
                    world.run();
                }
                let progress = world.progress(Initiator, 1);
                match world.open_transfers() {
                    2 => assert_locked(&world),
                    _ => {
                        assert_nothing_locked(&world);
                        assert!(matches!(progress, None | Some(Progress::Failed(_))), "{progress:?}");
                    }
                }
                for party in [Initiator, Responder] {
                    let _paid = world.pay(party, 1).unwrap();
                    world.run();
                }
                assert_same(&world);
            }
        }
    }
}

/// While a payee has pledged it agrees to nothing else, and goes on once the last block of its pledge is over.
#[test]
fn who_has_pledged_agrees_to_that_round_alone_until_its_last_block_is_over() {
    let mut world = World::opened();
    let until = staked(&mut world, 8);
    assert!(world.deliver(Responder));
    let _lost = world.steal(Initiator);
    let _paid = world.pay(Responder, 5).unwrap();
    world.run();
    assert_eq!(world.ours(Responder), SHARE, "it waits");
    assert_eq!(world.sides[Responder].machine().status().waits_for, Some(WaitReason::Operation));
    while world.chain.head() <= until {
        world.mine();
    }
    world.run();
    assert_eq!(world.ours(Responder), SHARE - 5);
    let told = world.sides[Responder].was_told(|event| matches!(event, Event::OperationFailed { .. }));
    assert_eq!(told, 0, "nothing of the user's has failed");
}

/// What is asked for is looked at as an offer is: by state, by limits, by the router, and by its last block.
#[test]
fn a_pledge_is_given_for_what_is_agreed_to_and_no_longer() {
    let mut world = World::opened();
    let _until = staked(&mut world, 8);
    let Message::PledgeCreated(good) = world.steal(Responder) else { panic!("asked for") };
    let hear = |body: PledgeBody| {
        let mut world = World::opened();
        world.sides[Responder].registry.premium = PREMIUM;
        world.hear(Responder, Message::PledgeCreated(body));
        match world.steal(Initiator) {
            Message::PledgeSigned { .. } => None,
            Message::PledgeError { code, .. } => Some(code),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(hear(good.clone()), None);
    let (terms, offer) = (good.offer.terms, good.offer.clone());
    let bad = [
        PledgeBody { valid_until: terms.expiry + 1, ..good.clone() },
        PledgeBody { valid_until: 1, ..good.clone() },
        PledgeBody { state_hash: protocol::Hash([9; 32]), ..good.clone() },
        PledgeBody { offer: Offer { premium: 0, ..offer.clone() }, ..good.clone() },
        PledgeBody { offer: Offer { premium: PREMIUM + 1, ..offer.clone() }, ..good.clone() },
        PledgeBody {
            offer: Offer { terms: TransferTerms { amount: 2 * SHARE, ..terms }, ..offer.clone() },
            ..good.clone()
        },
    ];
    for body in bad {
        assert!(hear(body.clone()).is_some(), "{body:?}");
    }
}

/// The bytes of SPEC: what is asked, and what both sign of it, which is a round's body with its last block.
#[test]
fn a_pledge_has_the_bytes_of_spec() {
    let mut world = World::opened();
    let until = staked(&mut world, 8);
    let Message::PledgeCreated(body) = world.steal(Responder) else { panic!("asked for") };
    let fields = (body.round, body.base, body.offer.clone(), body.state_hash, body.valid_until).encode();
    assert_eq!(Message::PledgeCreated(body.clone()).encode(), [&[17][..], &fields].concat());
    let PledgeBody { round, base, state_hash, valid_until, .. } = body.clone();
    assert_eq!(valid_until, until);
    let signed = protocol::signing::StateBody { round, base, state_hash, valid_until: Some(valid_until) };
    let signature = crate::harness::forge::sign(Responder, world.channel_id(), &signed);
    world.hear(Responder, Message::PledgeCreated(body));
    let answer = world.steal(Initiator);
    assert_eq!(answer, Message::PledgeSigned { round, signature });
    assert_eq!(answer.encode(), [&[18][..], &round.encode(), &signature.0].concat());
    let refused = Message::PledgeError { round, code: RefusalCode::POLICY };
    assert_eq!(refused.encode(), [&[19][..], &round.encode(), &2_u16.encode()].concat());
}
