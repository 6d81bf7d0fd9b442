//! What an audit found: each as a story that went wrong before it was mended.

use super::*;
use crate::harness::LOCK;
use channel::{Certainty, Change, Config, Message, RefusalCode};
use protocol::call::{Call, CloseSolo, ForcedCall, Payload, SnapshotSolo};

/// A side that forces what its peer leaves unanswered soon.
const fn soon(config: &mut Config) {
    config.force_transfers_after = Some(4);
}

impl World {
    /// What a party may put on chain later.
    fn kept(&self, party: Party) -> CloseSolo {
        self.sides[party].machine().evidence().unwrap()
    }

    fn show(&mut self, party: Party, kept: &CloseSolo) {
        let (channel, payload): (_, Payload) = (kept.channel, kept.payload.clone().unwrap());
        self.chain.submit(party, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    }

    fn intent(&self, payee: Party, number: u8) -> Option<(Intent, Vec<u8>)> {
        let rows = self.sides[payee].machine().incoming_transfers();
        let row = rows.values().find(|row| row.terms.lock == secret(number).1)?;
        Some((row.intent.clone(), row.instruction.clone()))
    }

    fn failures(&self, payer: Party, number: u8) -> usize {
        self.was_routed(payer, |it| matches!(it, TransferEvent::Failed { key, .. } if *key == name(number)))
    }

    /// The whole store of a side, to be put back when it is old.
    fn back_up(&self, party: Party) -> impl FnOnce(&mut World) + use<> {
        let side = &self.sides[party];
        let (stored, kept) = side.copy();
        let (rows, transfers, seen) = (side.rows.clone(), side.transfers.clone(), side.seen_stored);
        move |world| {
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
    world.sides[Initiator].registry.margins.register = 0;
    world.sides[Initiator].registry.margins.answer = 0;
    world.offer(Initiator, 1, 100, 40).unwrap();
    world.run();
    let _new = world.chain.censored.insert("channel_deposit");
    world.command(Initiator, Command::Deposit { amount: 300 }).unwrap();
    world.run();
    let contract = world.contract_of(Responder, 1).unwrap();
    world.kill(Initiator);
    world.claim(Responder, 1).unwrap();
    let input = scale::Encode::encode(&protocol::contracts::conditional::ConditionalInput::Claim(secret(1).0));
    let calls = vec![ForcedCall { contract, value: 0, input }];
    world.command(Responder, Command::Force { calls, certainty: Certainty::OwnStoreIsNewest }).unwrap();
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
    world.command(Initiator, Command::ForgetTransfer { key: name(2) }).unwrap();
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
