//! Bytes of channels as they were stored in every phase: what an earlier build of this version wrote is read, and written again as it was.

use crate::{harness::World, product::in_state};
use channel::{Channel, PaymentRecord, transfer::TransferRow};
use protocol::{
    Party,
    contracts::{Contract, ContractId},
    decode_exact,
};
use scale::{Decode, Encode};
use std::fmt::Write;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/saved-v11-phases.txt");

/// What a channel may wait for, by the names of `product.rs`.
const PHASES: [&str; 24] = [
    "initialized",
    "accepted",
    "initialized, accepted",
    "half_signed",
    "signed",
    "signed, locked",
    "open",
    "open, proposed",
    "open, undecided",
    "open, asked",
    "open, bound and submitting",
    "open, bound",
    "open, locked",
    "open, parted",
    "open, leaving",
    "open, disconnected",
    "open, outdated",
    "open, closing alone",
    "open, forcing",
    "open, forced (awaiting lock)",
    "closing, offered",
    "closing, agreed",
    "closing, solo",
    "closing, residual",
];

/// A channel as a store has it: its own bytes, and the rows beside it.
#[derive(PartialEq, Eq, Encode, Decode)]
struct Stored {
    channel: Vec<u8>,
    contracts: Vec<(ContractId, Contract)>,
    payments: Vec<PaymentRecord>,
    transfers: Vec<TransferRow>,
}

impl Stored {
    fn of(world: &World, party: Party) -> Option<Self> {
        let side = &world.sides[party];
        Some(Self {
            channel: side.channel.as_ref()?.save(),
            contracts: side.rows.clone().into_iter().collect(),
            payments: side.kept.values().cloned().collect(),
            transfers: side.transfers.values().cloned().collect(),
        })
    }

    fn load(&self) -> Channel {
        let (contracts, payments) = (self.contracts.iter().cloned(), self.payments.iter().cloned());
        Channel::load(&self.channel, contracts, payments, self.transfers.iter().cloned()).unwrap()
    }
}

/// Transfers of both sides in every state that a row can have.
fn with_transfers() -> World {
    let mut world = World::opened();
    for number in 1..=4 {
        world.offer(Party::Initiator, number, 10, 20).unwrap();
        world.offer(Party::Responder, number + 10, 10, 20).unwrap();
    }
    world.run();
    world.claim(Party::Responder, 1).unwrap();
    world.fail(Party::Responder, 2).unwrap();
    world.run();
    world.offer(Party::Initiator, 5, 10, 20).unwrap();
    world.disconnect();
    world.claim(Party::Responder, 3).unwrap();
    world.fail(Party::Responder, 4).unwrap();
    world
}

fn write_line(text: &mut String, name: &str, world: &World, party: Party) {
    let Some(stored) = Stored::of(world, party) else { return };
    write!(text, "{party:?}, {name}: ").unwrap();
    stored.encode().iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
    text.push('\n');
}

/// One line for each phase and side that has a channel in it.
fn made() -> String {
    let mut text = String::new();
    for name in PHASES.into_iter().chain(["closed"]) {
        for party in Party::BOTH {
            write_line(&mut text, name, &in_state(name, party), party);
        }
    }
    let world = with_transfers();
    Party::BOTH.into_iter().for_each(|party| write_line(&mut text, "open, transfers", &world, party));
    text
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect()
}

fn kept() -> String {
    std::fs::read_to_string(PATH).unwrap_or_else(|error| panic!("cannot read {PATH}: {error}"))
}

#[test]
fn a_channel_in_any_phase_is_stored_as_it_was_by_earlier_builds() {
    let made = made();
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::write(PATH, &made).unwrap();
    }
    let kept = kept();
    for (made, kept) in made.lines().zip(kept.lines()) {
        let (name, _) = made.split_once(": ").unwrap();
        assert!(made == kept, "`{name}` is stored otherwise now: that needs a new version (channel/src/saved.rs)");
    }
    assert_eq!(made.lines().count(), kept.lines().count());
}

#[test]
fn what_earlier_builds_stored_in_any_phase_is_read_and_written_again_as_it_was() {
    let kept = kept();
    let mut phases = std::collections::BTreeSet::new();
    for line in kept.lines() {
        let (name, hex) = line.split_once(": ").unwrap();
        let stored: Stored = decode_exact(&bytes(hex)).unwrap();
        let channel = stored.load();
        assert_eq!(channel.save(), stored.channel, "{name}");
        let _seen = phases.insert(channel.status().phase);
    }
    assert_eq!(phases.len(), 7, "every phase is there: {phases:?}");
}
