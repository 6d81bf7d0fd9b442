//! Attacks on what was given up, and on what waits beside calls that go with transfers (R8.3g, R6.1), after they were mended.

use super::*;
use crate::harness::{
    contracts::{call, counter, forced},
    deeds::{calls_of, count_of, returning},
    forge::{payment, sign, state_body},
};
use channel::{
    Change, Event, PaymentOutcome, Refusal, RefusalCode, Refused, Update,
    transfer::{AppCall, Verdict},
};
use protocol::{
    Pair,
    contracts::{AppOutcome, AppReply, Requirement, calls_root},
    crypto::Native,
};
use std::sync::atomic::Ordering;

const STALE: RefusalCode = RefusalCode::STALE_STORE;

impl World {
    /// The initiator's update that is on its way.
    fn stolen(&mut self) -> Update {
        let Message::Update(update) = self.steal(Responder) else { panic!("a round") };
        update
    }

    fn says_old(&mut self, update: &Update) {
        self.hear(Initiator, Message::UpdateError { round: update.round, code: STALE });
    }

    /// A new link, on which the initiator hears what the responder says, and the responder nothing.
    fn relink(&mut self) {
        self.disconnect();
        self.connect();
        for _ in 0..6 {
            let _moved = (self.deliver(Initiator), self.wire[Responder].pop_front());
        }
    }

    /// The responder's payment of so much in this round, on what the initiator has agreed. The updates that the initiator answers.
    fn propose_over(&mut self, round: u64, amount: Amount) -> Vec<Update> {
        assert_eq!(Party::owner_of(round), Responder);
        let mut state = self.sides[Initiator].machine().state().unwrap().clone();
        state.balances[Responder] -= amount;
        state.balances[Initiator] += amount;
        state.calls_root = calls_root(&[], &Native);
        let (state_hash, base, height) = (state.hash(), self.base(Initiator), self.chain.head());
        let changes = vec![Change::Transfer(payment(amount))];
        let signature = sign(Responder, self.channel_id(), &state_body(round, base, state_hash));
        self.sides[Responder].is_cheat = true;
        self.wire[Responder].clear();
        self.hear(
            Initiator,
            Message::Update(Update { round, base, height, refuses: None, changes, state_hash, signature }),
        );
        let said = self.wire[Responder].drain(..);
        said.filter_map(|it| if let Message::Update(update) = it { Some(update) } else { None }).collect()
    }

    fn shows(&mut self, update: &Update) {
        let (channel, payload) = (self.channel_id(), self.co_signed(Initiator, update));
        self.chain.submit(Responder, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    }
}

/// A payment is told of as refused, its round is open again, and the process starts anew. The peer's round above it kills it. It was told of as refused, and is proposed once more.
#[test]
fn what_was_refused_stays_so_over_a_start() {
    let again = [false, true].map(|crashes| {
        let mut world = World::opened();
        let id = world.pay_without_key(Initiator, 5).unwrap();
        let first = world.stolen();
        world.sides[Responder].is_cheat = true;
        world.says_old(&first);
        let refused = |event: &Event| matches!(event, Event::Refused { payments, .. } if payments.ids().contains(&id));
        assert_eq!(world.sides[Initiator].was_told(refused), 1);
        world.relink();
        assert_eq!(world.sides[Initiator].machine().status().pending, 1, "it is open again");
        if crashes {
            world.crash(Initiator);
            world.relink();
        }
        let said = world.propose_over(first.round + 1, 3);
        said.iter().map(|update| update.changes.len()).sum::<usize>()
    });
    assert_eq!(again, [0, 0], "nothing is proposed for it: without a start, and with one");
}

/// A call of the user's, told of as refused, is forced after a start.
#[test]
fn what_was_refused_is_not_forced_after_a_start() {
    let forced = [false, true].map(|crashes| {
        let mut world = World::opened_with(Initiator, |config| config.force_after = Some(1_000));
        let made = world.create(Initiator, vec![counter(Pair::default(), 9)])[0];
        let _id = world.make_one(Initiator, call(made, 0, &1_u64)).unwrap();
        let first = world.stolen();
        world.sides[Responder].is_cheat = true;
        world.says_old(&first);
        world.relink();
        if crashes {
            world.crash(Initiator);
            world.relink();
        }
        world.tick(1);
        world.tick(2_000);
        world.mine_blocks(3);
        count_of(&world, Initiator, made)
    });
    assert_eq!(forced, [0, 0]);
}

/// A payment with a key whose round is open again, and said to the peer again, is no payment that can never be made.
#[test]
fn a_payment_whose_round_is_open_again_is_not_dropped() {
    let mut world = World::opened();
    world.pay_once(Initiator, "key", 5).unwrap();
    let first = world.stolen();
    world.sides[Responder].is_cheat = true;
    world.says_old(&first);
    let outcome =
        |world: &World| world.sides[Initiator].machine().payment(&IdempotencyKey::from("key")).map(|it| it.outcome);
    assert_eq!(outcome(&world), Some(PaymentOutcome::Unknown));
    world.relink();
    let meanwhile = outcome(&world);
    let Update { round, base, state_hash, .. } = first;
    let signature = sign(Responder, world.channel_id(), &state_body(round, base, state_hash));
    world.hear(Initiator, Message::UpdateAck { round, signature });
    assert!(matches!(outcome(&world), Some(PaymentOutcome::Paid(_))), "the peer has answered it");
    assert_ne!(meanwhile, Some(PaymentOutcome::Dropped), "the peer could make it all the time");
}

/// Two calls are being forced, and the process starts anew. The peer shows an older round with the first on chain: the other one waits again, and is made.
#[test]
fn a_call_that_was_to_be_forced_is_not_lost_over_a_start() {
    let made = [false, true].map(|crashes| {
        let mut world = World::opened_with(Initiator, |config| config.force_after = Some(1_000));
        let app = world.create(Initiator, vec![counter(Pair::default(), 9)])[0];
        world.sides[Responder].is_cheat = true;
        let one = world.make_one(Initiator, call(app, 0, &1_u64)).unwrap();
        let first = world.stolen();
        world.disconnect();
        world.force(Responder, vec![forced(app, 0, &4_u64)]).unwrap();
        world.mine_blocks(2);
        assert_eq!(count_of(&world, Initiator, app), 4);
        let two = world.make_one(Initiator, call(app, 0, &2_u64)).unwrap();
        world.connect();
        for _ in 0..20 {
            if let Some(Message::Update(_)) = world.wire[Responder].back() {
                break;
            }
            let _moved = (world.deliver(Initiator), world.deliver(Responder));
        }
        let second = world.stolen();
        assert_eq!(second.changes.len(), 2);
        world.disconnect();
        world.tick(1);
        world.tick(2_000);
        assert!(world.sides[Initiator].machine().status().forcing);
        if crashes {
            world.crash(Initiator);
        }
        world.chain.drop_pool();
        world.shows(&first);
        world.mine();
        world.chain.drop_pool();
        let told = |world: &World, id| format!("{:?}", world.fate(Initiator, id));
        let status = world.sides[Initiator].machine().status();
        println!(
            "{} {} {:?} {}",
            told(&world, one),
            told(&world, two),
            (status.pending, status.forcing),
            count_of(&world, Initiator, app)
        );
        status.pending + usize::from(status.forcing)
    });
    assert_eq!(made, [1, 1], "the second call waits: without a start, and with one");
}

/// The arbiter will not make a call, which is told of as given up: it is not forced, or proposed, again.
#[test]
fn what_was_told_of_as_not_forced_is_not_made_again() {
    let made = [true, false].map(|crosses| {
        let mut world = World::opened_with(Initiator, |config| config.force_after = Some(1_000));
        let app = world.create(Initiator, vec![counter(Pair::default(), 9)])[0];
        world.sides[Responder].is_cheat = true;
        let id = world.make_one(Initiator, call(app, 0, &1_u64)).unwrap();
        let first = world.stolen();
        world.tick(1);
        world.tick(2_000);
        assert!(world.sides[Initiator].machine().status().forcing);
        world.refuse_step(Initiator);
        let failed = |event: &Event| matches!(event, Event::ForceFailed { changes, .. } if changes.contains(&id));
        assert_eq!(world.sides[Initiator].was_told(failed), 1);
        if crosses {
            world.propose_over(first.round + 1, 3).iter().map(|update| update.changes.len()).sum::<usize>()
        } else {
            world.sides[Initiator].is_cheat = true;
            world.tick(1);
            world.tick(2_000);
            usize::from(world.sides[Initiator].machine().status().forcing)
        }
    });
    assert_eq!(made, [0, 0], "proposed once more, and forced once more");
}

/// A failure goes with its calls alone, and an app refuses one of them: it is asked for with each block, in front of everything that expires later, which is tried on top of it and so never asked for.
#[test]
fn a_failure_that_an_app_refuses_holds_up_no_claim() {
    let claimed = [false, true].map(|fails| {
        let mut world = World::opened_with(Responder, |config| config.force_transfers_after = None);
        let app = world.create(Initiator, vec![counter(Pair::default(), 2)])[0];
        world.offer_with(1, returning(app), 400);
        world.sides[Responder].registry.calls = LockedCalls::NONE;
        world.offer(Initiator, 2, 7, 800).unwrap();
        world.run();
        let _id = world.make_one(Initiator, call(app, 0, &2_u64)).unwrap();
        world.run();
        world.consent(Responder);
        world.run();
        assert_eq!(count_of(&world, Responder, app), 2, "it takes no other call");
        if fails {
            world.fail(Responder, 1).unwrap();
            world.run();
        }
        // The payer does not agree at once.
        world.sides[Initiator].registry.verdict = Some(Verdict::Refuse);
        world.claim(Responder, 2).unwrap();
        world.run();
        assert_eq!(world.ours(Responder), SHARE);
        world.sides[Initiator].registry.verdict = None;
        for _ in 0..60 {
            world.mine();
            world.run();
        }
        world.ours(Responder) - SHARE
    });
    assert_eq!(claimed, [7, 7], "without the failure, and with it");
}

/// As steps that transfers with calls need, where another transfer with calls is over, and its payer does not have it back or its router has not forgotten it: the steps go to plain ones all the same.
#[test]
fn one_transfer_with_calls_that_is_due_gives_no_steps_away() {
    let ends = [("none", false), ("own", true), ("peer's", true)].map(|(way, is_stale)| {
        let mut world = World::opened_with(Initiator, |config| config.force_transfers_after = None);
        let locked = deeds(&mut world, 1);
        world.offer_with(1, with_deeds(&locked), 900);
        if way == "peer's" {
            let app = world.create(Initiator, vec![counter(Pair::default(), 9)])[0];
            world.offer_with(9, returning(app), 50);
        } else if is_stale {
            // The payee's own one, given back long ago.
            let app = world.create(Responder, vec![counter(Pair::default(), 9)])[0];
            let calls = returning(app);
            world.sides[Initiator].registry.calls = calls.clone();
            let offer = Offer { calls, ..an_offer(9, AMOUNT, world.chain.head() + 50) };
            let offered = Command::Transfer(TransferCommand::Offer { key: name(9), offer, fee: 0 });
            world.command(Responder, offered).unwrap();
            world.run();
            world.fail(Initiator, 9).unwrap();
            world.run();
            assert_eq!(world.open_transfers(), 1);
        }
        let contract = world.contract_of(Responder, 1).unwrap();
        let stale = world.contract_of(Responder, 9);
        for number in 11..14 {
            world.sides[Initiator].registry.calls = LockedCalls::NONE;
            world.offer(Responder, number, 7, 110 * BlockNumber::from(number - 10)).unwrap();
            world.run();
        }
        world.disconnect();
        world.mine_blocks(450);
        println!("{way}: {}", world.ours(Responder));
        world.close_solo(Initiator).unwrap();
        world.mine();
        world.claim(Responder, 1).unwrap();
        for _ in 0..80 {
            let is_settling = world.chain.waiting().iter().any(|call| matches!(call, Call::ChannelSettle { .. }));
            if is_settling && !world.sides[Initiator].is_over() {
                let (state, _) = kept_state(&world, Initiator);
                // All that is left goes at once.
                let calls = stale.map(refund).into_iter().chain([claim_of(contract, 1)]).collect();
                if let Some(mut step) = world.try_forced_step(Initiator, &state, None, calls) {
                    step.state_hash = None;
                    world.chain.submit(Initiator, Call::ChannelForceProgress(step));
                }
            }
            world.mine();
        }
        calls_of(&world, Responder, locked[0])
    });
    assert_eq!(
        ends, [2; 3],
        "calls of the deed: with no other one, an own one that is over, one of the peer's that has expired"
    );
}

/// Words behind which the pre-image with this number makes an answer that requires it to be shown.
fn claiming_words(number: u8) -> Vec<u8> {
    let (preimage, lock) = secret(number);
    let requirement = Some(Requirement::Shown { lock, preimage, before: BlockNumber::from_le_bytes([1; 4]) });
    let answer: AppReply = Ok(AppOutcome { requirement, ..AppOutcome::default() });
    let words = answer.encode();
    words[..words.len() - 32].to_vec()
}

/// Transfers without calls are tried on top of all calls that are asked for before them: the work of a block is the one times the other.
#[test]
fn plain_claims_do_not_run_the_calls_of_others() {
    let ran = [1_u8, 20, 100].map(|plain| {
        let mut world = World::opened_with(Responder, |config| config.force_transfers_after = None);
        let app = world.create(Initiator, vec![crate::harness::contracts::puppet(Pair::default())])[0];
        for number in 1..=3 {
            let call = AppCall { contract: app, input: claiming_words(number) };
            world.offer_with(number, LockedCalls { claiming: vec![call; 8], ..LockedCalls::NONE }, 500);
        }
        world.sides[Responder].registry.calls = LockedCalls::NONE;
        for number in 10..10 + plain {
            world.offer(Initiator, number, 1, 2_000).unwrap();
            world.run();
        }
        world.sides[Initiator].registry.verdict = Some(Verdict::Refuse);
        for number in (1..=3).chain(10..10 + plain) {
            world.claim(Responder, number).unwrap();
            world.run();
        }
        let ran = world.sides[Responder].book.ran.clone();
        let mut most = 0;
        for _ in 0..3 {
            let before = ran.load(Ordering::Relaxed);
            world.mine();
            most = most.max(ran.load(Ordering::Relaxed) - before);
            world.run();
        }
        most
    });
    println!("{ran:?}");
    assert!(ran[2] <= 2 * ran[0], "calls that are run in one block, by the number of plain transfers: {ran:?}");
}

/// One offer with calls is on its way, and two wait behind it, which the peer has never heard of: they take no steps, and hold up no refund by force.
#[test]
fn offers_that_the_peer_has_never_heard_of_hold_up_no_refund() {
    let ours = [false, true].map(|offers| {
        let mut world = World::opened();
        let app = world.create(Initiator, vec![counter(Pair::default(), 9)])[0];
        world.offer(Initiator, 1, 7, 20).unwrap();
        world.run();
        if offers {
            for number in 2..=4 {
                let calls = returning(app);
                let offer = Offer { calls, ..an_offer(number, 50, world.chain.head() + 5_000) };
                let offered = Command::Transfer(TransferCommand::Offer { key: name(number), offer, fee: 0 });
                world.command(Initiator, offered).unwrap();
            }
        }
        world.kill(Responder);
        world.mine_blocks(600);
        world.sides[Initiator].machine().contracts().unwrap().transfers()
    });
    assert_eq!(ours, [0, 0], "open transfers: the coins are back");
}

/// The payee has failed transfers with calls, and their payer does not agree: they are of no use to the payee, and hold up its refunds until they expire.
#[test]
fn transfers_that_have_failed_hold_up_no_refund() {
    let open = [false, true].map(|fails| {
        let mut world = World::opened();
        let app = world.create(Initiator, vec![counter(Pair::default(), 9)])[0];
        if fails {
            for number in 1..=3 {
                world.offer_with(number, returning(app), 50_000);
            }
        }
        world.sides[Initiator].registry.calls = LockedCalls::NONE;
        world.offer(Responder, 11, 7, 20).unwrap();
        world.run();
        world.disconnect();
        if fails {
            (1..=3).for_each(|number| world.fail(Responder, number).unwrap());
        }
        world.kill(Initiator);
        world.mine_blocks(1_000);
        let failed = world.sides[Responder].was_told(|event| matches!(event, Event::ForceFailed { .. }));
        println!("told {failed}");
        SHARE - world.ours(Responder)
    });
    assert_eq!(open, [0, 0], "the payee's own coins are back");
}

/// A payment was told of as refused, is open again, and the process starts anew: it is told of as refused, or dropped, a second time.
#[test]
fn what_was_refused_is_told_of_once_over_a_start() {
    let told = [(false, true), (true, true), (false, false), (true, false)].map(|(crashes, refuses)| {
        let mut world = World::opened();
        let _id = world.pay_without_key(Initiator, 5).unwrap();
        let first = world.stolen();
        world.sides[Responder].is_cheat = true;
        world.says_old(&first);
        world.relink();
        if crashes {
            world.crash(Initiator);
            world.relink();
        }
        world.sides[Initiator].is_cheat = true;
        let number = world.sides[Initiator].taken.0;
        if refuses {
            let mut state = world.sides[Initiator].machine().state().unwrap().clone();
            state.calls_root = calls_root(&[], &Native);
            let (round, state_hash, base, height) =
                (first.round + 1, state.hash(), world.base(Initiator), world.chain.head());
            let signature = sign(Responder, world.channel_id(), &state_body(round, base, state_hash));
            let items = Refused::All(RefusalCode::POLICY);
            let refuses = Some(Refusal { round: first.round, items });
            let update = Update { round, base, height, refuses, changes: Vec::new(), state_hash, signature };
            world.hear(Initiator, Message::Update(update));
            assert_eq!(world.sides[Initiator].round(), round, "it is agreed");
        } else {
            world.close_solo(Initiator).unwrap();
            world.mine_blocks(2);
        }
        world.sides[Initiator].taken.0 - number
    });
    println!("{told:?}");
    assert_eq!((told[0], told[2]), (told[1], told[3]), "events: without a start, and with one");
}
