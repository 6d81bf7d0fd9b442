//! What an audit found: each as a story that went wrong before it was mended.

use super::*;
use crate::harness::LOCK;
use channel::{Change, Config, RefusalCode};

/// A side that forces what its peer leaves unanswered soon.
const fn soon(config: &mut Config) {
    config.force_transfers_after = Some(4);
}

impl World {
    fn intent(&self, payee: Party, number: u8) -> Option<(Intent, Vec<u8>)> {
        let rows = self.sides[payee].machine().incoming_transfers();
        let row = rows.values().find(|row| row.terms.lock == secret(number).1)?;
        Some((row.intent.clone(), row.instruction.clone()))
    }

    fn failures(&self, payer: Party, number: u8) -> usize {
        self.was_routed(payer, |it| matches!(it, TransferEvent::Failed { key, .. } if *key == name(number)))
    }

    /// The whole store of a side, to be put back when it is old.
    fn back_up(&self, party: Party) -> impl FnOnce(&mut Self) + use<> {
        let side = &self.sides[party];
        let (stored, kept) = side.copy();
        let (rows, transfers, seen) = (side.rows.clone(), side.transfers.clone(), side.seen_stored);
        move |world: &mut Self| {
            let side = &mut world.sides[party];
            (side.stored, side.kept, side.rows, side.transfers) = (stored, kept, rows, transfers);
            (side.seen_stored, side.agreed) = (seen, 0);
            side.signed.clear();
        }
    }
}

/// The payee forces its claim, and its peer undoes that by an older round of the payee's.
fn claim_undone(crash: bool) {
    let mut world = World::opened_with(Responder, soon);
    world.offer(Initiator, 1, 100, 6).unwrap();
    world.run();
    let _id = world.pay(Responder, 1).unwrap();
    let _heard = world.deliver(Initiator);
    let kept = world.kept(Initiator);
    world.kill(Initiator);
    world.claim(Responder, 1).unwrap();
    world.mine_blocks(12);
    assert_eq!(world.ours(Responder), SHARE + 100, "forced");
    if crash {
        world.crash(Responder);
    }
    world.show(Initiator, &kept);
    world.mine();
    assert_eq!(world.ours(Responder), SHARE - 1, "undone");
    let wanted = Some((Intent::Claim(secret(1).0), vec![1; 3]));
    assert_eq!(world.intent(Responder, 1), wanted, "the row is as it was");
    if crash {
        world.crash(Responder);
        assert_eq!(world.intent(Responder, 1), wanted);
    }
    world.mine_blocks(8);
    assert_eq!(world.ours(Responder), SHARE + 99, "claimed again, alone");
    world.restart(Initiator);
    world.run();
    world.mine_blocks(LOCK + 2);
    world.run();
    assert_eq!((world.open_transfers(), world.ours(Responder)), (0, SHARE + 99));
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Fulfilled(secret(1).0)));
    assert_eq!(world.intent(Responder, 1), None, "over once nothing can bring it back");
}

#[test]
fn a_claim_that_was_forced_and_is_undone_by_an_older_round_is_made_again() {
    claim_undone(false);
}

#[test]
fn a_claim_that_was_forced_and_is_undone_by_an_older_round_is_made_again_after_crashes() {
    claim_undone(true);
}

#[test]
fn a_claim_that_was_forced_and_is_undone_by_a_deposit_that_was_signed_before_is_made_again() {
    let mut world = World::opened_with(Responder, |config| config.force_transfers_after = Some(1));
    for party in Party::BOTH {
        world.sides[party].registry.margins = channel::transfer::Margins { register: 0, answer: 0 };
    }
    world.offer(Initiator, 1, 100, 40).unwrap();
    world.run();
    let _new = world.chain.censored.insert("channel_deposit");
    world.command(Initiator, Command::Deposit { amount: 300 }).unwrap();
    world.run();
    let contract = world.contract_of(Responder, 1).unwrap();
    world.kill(Initiator);
    world.claim(Responder, 1).unwrap();
    world.force_claim(Responder, contract, 1).unwrap();
    world.mine_blocks(2);
    assert_eq!(world.ours(Responder), SHARE + 100, "forced");
    world.chain.censored.clear();
    world.restart(Initiator);
    world.mine();
    let wanted = Some((Intent::Claim(secret(1).0), vec![1; 3]));
    assert_eq!((world.ours(Responder), world.ours(Initiator)), (SHARE, SHARE - 100 + 300), "undone by the deposit");
    assert_eq!(world.intent(Responder, 1), wanted, "the row is as it was");
    world.run();
    assert_eq!(world.ours(Responder), SHARE + 100);
}

#[test]
fn an_offer_that_was_lost_in_a_crash_gives_its_id_to_nothing_else() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 10, 30).unwrap();
    world.offer(Initiator, 2, 10, 30).unwrap();
    world.crash(Initiator);
    world.run();
    let why = Some(Progress::Failed(Failure::PeerAway));
    assert_eq!(world.progress(Initiator, 2), why);
    world.offer(Initiator, 3, 10, 30).unwrap();
    world.run();
    assert_eq!(world.progress(Initiator, 2), why, "its row is its own");
    assert_eq!(world.progress(Initiator, 3), Some(Progress::Offered));
    world.command(Initiator, Command::Transfer(TransferCommand::Forget { key: name(2) })).unwrap();
    let _id = world.pay(Initiator, 5).unwrap();
    world.run();
    world.claim(Responder, 3).unwrap();
    world.run();
    assert_eq!(world.progress(Initiator, 3), Some(Progress::Fulfilled(secret(3).0)));
    assert_eq!(world.sides[Initiator].paid().len(), 1);
}

#[test]
fn a_payment_after_a_crash_that_lost_an_offer_is_told_of() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 10, 30).unwrap();
    world.offer(Initiator, 2, 10, 30).unwrap();
    world.crash(Initiator);
    world.run();
    let _id = world.pay(Initiator, 5).unwrap();
    world.run();
    assert_eq!(world.ours(Responder), SHARE + 5);
    assert_eq!(world.sides[Initiator].paid().len(), 1);
}

#[test]
fn an_offer_that_is_told_as_failed_is_not_made_afterwards() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 30).unwrap();
    let Message::Update(ours) = world.steal(Responder) else { panic!("proposed") };
    // The peer says that its store is old, and then goes on as if it were not.
    world.hear(Initiator, Message::UpdateError { round: ours.round, code: RefusalCode::STALE_STORE });
    world.disconnect();
    world.connect();
    let _their = (world.deliver(Initiator), world.deliver(Responder));
    world.wire = protocol::Pair::default();
    world.command(Initiator, Command::Deposit { amount: 300 }).unwrap();
    let round = ours.round + 1;
    let update = world.forge_update(Responder, round, &[7]);
    world.hear(Initiator, Message::Update(update));
    let told = world.failures(Initiator, 1);
    // Whatever it signs now.
    let asked = std::mem::take(&mut world.wire[Responder]);
    for message in asked {
        if let Message::DepositCreated(body) = message {
            world.hear(Initiator, Message::DepositError { round: body.round, code: RefusalCode::POLICY });
        }
    }
    let offered = world.wire[Responder].iter().any(|message| {
        matches!(message, Message::Update(update) if update.changes.iter().any(|it| matches!(it, Change::Offer(_))))
    });
    assert!(told == 0 || !offered, "told as failed, and offered again");
}

fn round_given_up(crash: bool) {
    let mut world = World::opened();
    world.offer(Initiator, 9, 10, 60).unwrap();
    world.run();
    world.offer(Initiator, 1, 100, 60).unwrap();
    let contract = world.contract_of(Responder, 9).unwrap();
    // The round gets lost, a forced step goes on without it, and the link breaks.
    let _lost = world.steal(Responder);
    world.force_claim(Responder, contract, 9).unwrap();
    world.mine();
    world.disconnect();
    if crash {
        world.crash(Initiator);
    }
    assert!(matches!(world.progress(Initiator, 1), Some(Progress::Proposed | Progress::Absent(_))));
    assert_eq!(world.failures(Initiator, 1), 0);
    world.connect();
    world.run();
    world.mine_blocks(LOCK + 1);
    world.run();
    assert_eq!(world.failures(Initiator, 1), 1, "{:?}", world.progress(Initiator, 1));
}

#[test]
fn an_offer_whose_round_was_given_up_and_is_dead_comes_to_nothing_at_once() {
    round_given_up(false);
}

#[test]
fn an_offer_whose_round_was_given_up_comes_to_nothing_with_it_also_after_a_crash() {
    round_given_up(true);
}

#[test]
fn a_claim_that_a_peer_with_an_old_store_cannot_follow_is_not_taken_for_a_failure() {
    let mut world = World::opened_with(Responder, soon);
    world.offer(Initiator, 1, 100, 6).unwrap();
    world.run();
    let put_back = world.back_up(Initiator);
    let _id = world.pay(Responder, 5).unwrap();
    world.run();
    world.kill(Initiator);
    put_back(&mut world);
    world.restart(Initiator);
    // It reads nothing of the registry.
    world.sides[Initiator].registry.blind = true;
    world.claim(Responder, 1).unwrap();
    world.mine_blocks(6);
    world.command(Responder, Command::CloseSolo { certainty: Certainty::OwnStoreIsNewest }).unwrap();
    world.mine_blocks(LOCK + 10);
    assert!(world.chain.is_closed());
    assert_eq!(world.failures(Initiator, 1), 0, "the payee is paid");
}

#[test]
fn a_transfer_that_was_claimed_in_a_round_which_an_old_store_has_not_is_not_told_as_failed_with_the_close() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 40).unwrap();
    world.run();
    let put_back = world.back_up(Initiator);
    world.claim(Responder, 1).unwrap();
    world.run();
    world.kill(Initiator);
    put_back(&mut world);
    world.restart(Initiator);
    world.command(Responder, Command::CloseSolo { certainty: Certainty::OwnStoreIsNewest }).unwrap();
    world.mine_blocks(LOCK + 5);
    assert!(world.chain.is_closed());
    assert_eq!(world.failures(Initiator, 1), 0, "the payee is paid");
    world.crash(Initiator);
    world.mine_blocks(20);
    assert!(world.progress(Initiator, 1).is_some_and(|it| !matches!(it, Progress::Failed(_))), "nor after its expiry");
}

#[test]
fn rows_of_the_peers_end_with_a_channel_whose_end_was_not_seen() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 6).unwrap();
    world.offer(Responder, 2, 50, 6).unwrap();
    world.run();
    world.disconnect();
    world.claim(Responder, 1).unwrap();
    world.kill(Responder);
    world.command(Initiator, Command::CloseSolo { certainty: Certainty::OwnStoreIsNewest }).unwrap();
    world.mine_blocks(LOCK + 10);
    let residual = world.chain.ledger.channels.values().next().is_some();
    world.restart_from_record(Responder);
    world.mine_blocks(20);
    assert!(residual || world.chain.is_closed());
    let rows = world.sides[Responder].machine().incoming_transfers().len();
    assert!(!world.chain.is_closed() || rows == 0, "{rows} rows of a channel that is no more");
}

#[test]
fn a_transfer_and_its_premium_do_not_end_in_opposite_ways() {
    let mut world = World::opened();
    world.sides[Responder].registry.premium = 20;
    let offer = Offer { premium: 20, ..an_offer(1, 100, world.chain.head() + 30) };
    let until = world.chain.head() + 10;
    world.offer_staked(Initiator, 1, offer, until).unwrap();
    world.run();
    assert_eq!(world.open_transfers(), 2);
    let contract = world.contract_of(Responder, 1).unwrap();
    let premium = world.sides[Responder].machine().incoming_transfers()[&contract].premium.unwrap();
    // The payee takes its stake back by the pre-image, and gives the transfer back.
    let changes = vec![
        Change::Claim { contract: premium, preimage: secret(1).0, calls: Vec::new() },
        Change::Fail { contract, reason: FailReason(vec![1]), calls: Vec::new() },
    ];
    let round = world.sides[Initiator].round() + 1;
    let round = if Party::owner_of(round) == Responder { round } else { round + 1 };
    let balances = protocol::Pair::new(SHARE, SHARE);
    let update = world.forge_update_to(Responder, round, changes, balances);
    world.hear(Initiator, Message::Update(update));
    assert_eq!(world.ours(Initiator), SHARE - 100, "not agreed to");
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Fulfilled(secret(1).0)), "and its pre-image is known (I3)");
}

#[test]
fn a_transfer_and_its_premium_are_forced_whole_however_many_there_are() {
    let mut world = World::opened_with(Responder, soon);
    world.sides[Responder].registry.premium = 2;
    let premium = |number: u8| if number == 1 { 0 } else { 2 };
    let until = world.chain.head() + 4;
    for number in 1..=33 {
        let offer = Offer { premium: premium(number), ..an_offer(number, 10, world.chain.head() + 8) };
        match offer.premium {
            0 => world.offer(Initiator, number, 10, 8).unwrap(),
            _ => world.offer_staked(Initiator, number, offer, until).unwrap(),
        }
    }
    world.run();
    assert_eq!(world.open_transfers(), 65);
    world.disconnect();
    for number in 1..=33 {
        world.claim(Responder, number).unwrap();
    }
    world.kill(Initiator);
    world.mine_blocks(60);
    let machine = world.sides[Responder].machine();
    assert_eq!(machine.contracts().unwrap().transfers(), 0, "stakes are left behind");
    assert_eq!(world.ours(Responder), SHARE + 330);
}

#[test]
fn a_premium_that_is_left_alone_is_asked_for_by_agreement() {
    let mut world = World::opened_with(Responder, soon);
    world.sides[Responder].registry.premium = 20;
    let (offer, until) = (Offer { premium: 20, ..an_offer(1, 100, world.chain.head() + 8) }, world.chain.head() + 4);
    world.offer_staked(Initiator, 1, offer, until).unwrap();
    world.run();
    let contract = world.contract_of(Responder, 1).unwrap();
    world.disconnect();
    world.claim(Responder, 1).unwrap();
    world.force_claim(Responder, contract, 1).unwrap();
    world.mine();
    assert_eq!(world.ours(Responder), SHARE - 20 + 100);
    world.run();
    world.mine_blocks(2);
    world.run();
    assert_eq!((world.open_transfers(), world.ours(Responder)), (0, SHARE + 100), "its stake comes back too");
}

#[test]
fn what_is_settled_is_claimed_also_by_a_side_whose_store_is_old() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 6).unwrap();
    world.run();
    let put_back = world.back_up(Responder);
    let _id = world.pay(Initiator, 5).unwrap();
    world.run();
    world.kill(Responder);
    put_back(&mut world);
    world.restart(Responder);
    world.run();
    assert!(world.sides[Responder].machine().status().stale_store);
    world.claim(Responder, 1).unwrap();
    world.mine_blocks(6);
    world.command(Initiator, Command::CloseSolo { certainty: Certainty::OwnStoreIsNewest }).unwrap();
    world.mine_blocks(LOCK + 20);
    assert!(world.chain.is_closed(), "its coins are not locked for ever");
    assert_eq!(world.chain.wealth(Responder), crate::harness::chain::FUNDS + 105);
}

#[test]
fn steps_that_a_newer_round_has_replaced_on_chain_before_they_could_be_answered_do_not_make_a_store_old() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 40).unwrap();
    world.offer(Initiator, 2, 50, 40).unwrap();
    world.run();
    let old = world.sides[Responder].clone();
    world.offer(Responder, 3, 30, 10).unwrap();
    world.run();
    world.claim(Initiator, 3).unwrap();
    world.disconnect();
    // The peer forces a step on the round before, and another one on the newest: both are in one block.
    let force = |world: &mut World, number: u8| {
        let contract = world.contract_of(Responder, number).unwrap();
        world.force_claim(Responder, contract, number).unwrap();
    };
    let new = std::mem::replace(&mut world.sides[Responder], old);
    world.sides[Responder].is_cheat = true;
    force(&mut world, 1);
    world.sides[Responder] = new;
    force(&mut world, 2);
    world.mine();
    let status = world.sides[Initiator].machine().status();
    assert!(!status.stale_store && world.sides[Initiator].machine().base() == world.sides[Responder].machine().base());
    assert_eq!(world.progress(Initiator, 2), Some(Progress::Fulfilled(secret(2).0)));
    world.run();
    assert_eq!(world.ours(Initiator), SHARE - 150 + 30, "its own claim is agreed to");
}

#[test]
fn a_claim_of_what_was_told_as_failed_is_not_agreed_to_by_a_side_that_has_not_read_the_registry_again() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 6).unwrap();
    world.run();
    world.disconnect();
    world.mine_blocks(6);
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Failed(Failure::Expired)));
    // It starts anew, knows nothing of the registry yet, and its router would say yes.
    let registry = &mut world.sides[Initiator].registry;
    (registry.is_unread, registry.verdict) = (true, Some(channel::transfer::Verdict::Agree));
    world.claim(Responder, 1).unwrap();
    world.run();
    assert_eq!((world.open_transfers(), world.ours(Responder)), (1, SHARE), "nothing was failed and paid");
}
