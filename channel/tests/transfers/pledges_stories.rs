//! Random stories of two honest parties that offer, pledge, operate, force, crash and lose their connection: both end on one state, and each knows what is locked.

use super::{
    pledges_audit::{PREMIUM, assert_good, staked},
    stories::Dice,
    *,
};
use channel::{OperationKind, PledgeBody, RefusalCode};
use protocol::{Base, Round, Signature};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The most offers of one story: each has a number.
const MOST: u8 = 60;

struct Story<'a> {
    world: World,
    dice: Dice,
    /// The last offer's number.
    number: u8,
    log: &'a mut Vec<String>,
}

impl<'a> Story<'a> {
    fn new(seed: u64, log: &'a mut Vec<String>) -> Self {
        let mut world = World::opened();
        for party in Party::BOTH {
            world.sides[party].registry.premium = PREMIUM;
            world.sides[party].config.force_transfers_after = Some(if seed.is_multiple_of(2) { 100 } else { 1 });
        }
        Self { world, dice: Dice(seed), number: 0, log }
    }

    fn blocks(&mut self, below: usize) -> BlockNumber {
        BlockNumber::try_from(self.dice.roll(below)).unwrap()
    }

    fn say(&mut self, what: String) {
        let head = self.world.chain.head();
        self.log.push(format!("{head} {what}"));
    }

    fn step(&mut self) {
        let party = if self.dice.roll(2) == 0 { Initiator } else { Responder };
        match self.dice.roll(25) {
            0..=2 => self.offer(party, true),
            3 => self.offer(party, false),
            4 | 5 => {
                let done = self.world.pay(party, 1);
                self.say(format!("{party:?} pays: {done:?}"));
            }
            6 => self.end_one(party),
            7 => {
                let done = match self.dice.roll(2) {
                    0 => self.world.deposit(party, 3),
                    _ => self.world.withdraw(party, 3),
                };
                self.say(format!("{party:?} operates: {done:?}"));
            }
            22 => self.prepare(party),
            23 | 24 => self.release(party),
            kind => self.happen(party, kind),
        }
    }

    /// The side's router has to ask before it stakes, or can tell now.
    fn prepare(&mut self, party: Party) {
        let registry = &mut self.world.sides[party].registry;
        registry.asks_first = !registry.asks_first;
        let (asks_first, mut answers) = (registry.asks_first, Vec::new());
        for event in &self.world.sides[party].routed {
            if let TransferEvent::PledgeWanted { contract, .. } = event {
                answers.push(*contract);
            }
        }
        if !asks_first {
            for contract in answers {
                let answer = TransferCommand::AnswerPledge { contract };
                self.world.command(party, Command::Transfer(answer)).unwrap();
            }
        }
        self.say(format!("{party:?} asks first: {asks_first}"));
    }

    fn release(&mut self, party: Party) {
        let number = u8::try_from(self.dice.roll(usize::from(self.number) + 1)).unwrap();
        self.world.command(party, Command::Transfer(TransferCommand::Release { key: name(number) })).unwrap();
        self.say(format!("{party:?} releases {number}"));
    }

    fn offer(&mut self, party: Party, is_staked: bool) {
        if self.number >= MOST {
            return;
        }
        self.number += 1;
        let (number, lasts) = (self.number, 10 + self.blocks(30));
        if !is_staked {
            let done = self.world.offer(party, number, 10, lasts);
            return self.say(format!("{party:?} offers {number} plain: {done:?}"));
        }
        let head = self.world.chain.head();
        let offer = Offer { premium: PREMIUM, ..an_offer(number, 10, head + lasts) };
        let until = head + 2 + self.blocks(9);
        let (key, pledged_until, is_kept_back) = (name(number), until, self.dice.roll(3) == 0);
        let staked = TransferCommand::OfferStaked { key, offer, pledged_until, is_kept_back };
        let done = self.world.command(party, Command::Transfer(staked));
        self.say(format!("{party:?} offers {number} until {until}, kept back {is_kept_back}: {done:?}"));
    }

    fn end_one(&mut self, party: Party) {
        let open: Vec<u8> = (1..=self.number).filter(|it| self.world.contract_of(party, *it).is_some()).collect();
        let Some(number) = self.dice.pick(&open).copied() else { return };
        let done = match self.dice.roll(3) {
            0 => self.world.fail(party, number),
            1 => self.world.claim(party, number),
            _ => {
                let contract = self.world.contract_of(party, number).unwrap();
                self.world.force_claim(party, contract, number)
            }
        };
        self.say(format!("{party:?} ends {number}: {done:?}"));
    }

    fn happen(&mut self, party: Party, kind: usize) {
        match kind {
            8..=10 => self.world.mine(),
            11 => self.world.disconnect(),
            12 if !self.world.linked => self.world.connect(),
            12 => {}
            13 => self.world.crash(party),
            14 => {
                let (commits, effects) = (self.dice.roll(4), self.dice.roll(3));
                self.world.plan_crash(party, commits, effects, false);
            }
            15 => self.world.run(),
            16 => self.world.lag[party] = self.blocks(4),
            _ => drop(self.world.deliver(party)),
        }
        self.say(format!("{party:?}: {kind} has happened"));
    }

    /// As long as the longest pledge, and some blocks more; then both pay.
    fn end(&mut self) {
        let world = &mut self.world;
        world.crash_plan = None;
        world.lag = protocol::Pair::default();
        for _ in 0..16 {
            world.run();
            world.mine();
        }
        world.run();
        let _paid = (world.pay(Initiator, 1), world.pay(Responder, 1));
        world.run();
        world.mine();
        world.run();
    }

    fn check(&self) {
        let machine = |party| self.world.sides[party].machine();
        let status = |party: Party| machine(party).status();
        let state = |party: Party| machine(party).state().unwrap().commitment();
        let tell = || format!("{:?} {:?}", status(Initiator), status(Responder));
        assert_eq!(self.world.rounds().0, self.world.rounds().1, "{}", tell());
        assert_eq!(state(Initiator), state(Responder));
        for party in Party::BOTH {
            assert_good(&self.world, party);
            assert!(status(party).pending == 0 || status(party).operation.is_some(), "{}", tell());
            // What else is asked for waits for transfers that are about to expire (R8.3f).
            assert_ne!(status(party).operation, Some(OperationKind::Pledge), "{}", tell());
            self.check_rows(party);
        }
    }

    /// What one has is what the other has, and what their routers were told.
    fn check_rows(&self, party: Party) {
        let machine = self.world.sides[party].machine();
        let theirs = self.world.sides[party.peer()].machine().incoming_transfers();
        for row in machine.outgoing_transfers().values() {
            let is_there = row.contract.is_some_and(|id| machine.contract(&id).is_some());
            match &row.progress {
                Progress::Offered => {
                    assert!(is_there, "{row:?}");
                    let other = theirs.get(&row.contract.unwrap());
                    let other = other.unwrap_or_else(|| panic!("{row:?} is not known to its payee"));
                    let said = (other.premium.is_some(), &other.instruction);
                    assert_eq!(said, (row.offer.premium > 0, &row.offer.instruction));
                }
                // Its coins are still there where something else goes first.
                Progress::Failed(Failure::Expired) | Progress::Fulfilled(_) => {}
                Progress::Failed(_) => assert!(!is_there, "{row:?}"),
                other => panic!("{other:?}: {row:?}"),
            }
        }
    }
}

/// `PLEDGES_SEED` and `PLEDGES_STORIES` ask for others, and for more.
#[test]
fn two_honest_parties_agree_on_what_is_locked_whatever_happens_to_them() {
    let asked = |name: &str, or: u64| std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(or);
    let first = asked("PLEDGES_SEED", 0);
    for seed in first..first + asked("PLEDGES_STORIES", 200) {
        let mut log = Vec::new();
        let told = catch_unwind(AssertUnwindSafe(|| {
            let mut story = Story::new(seed, &mut log);
            for _ in 0..120 {
                story.step();
                Party::BOTH.into_iter().for_each(|party| assert_good(&story.world, party));
            }
            story.end();
            story.check();
        }));
        assert!(told.is_ok(), "seed {seed}:\n{}", log.join("\n"));
    }
}

/// Whatever is said of pledges, and whenever: nobody breaks down, and nothing is signed that should not be.
#[test]
fn nonsense_about_pledges_is_harmless() {
    let mut world = World::opened();
    let _until = staked(&mut world, 8);
    let Message::PledgeCreated(good) = world.steal(Responder) else { panic!("asked for") };
    let mut bodies = Vec::new();
    for round in [0, 1, good.round - 1, good.round, good.round + 1, good.round + (1 << 17), Round::MAX] {
        for valid_until in [0, 1, good.valid_until, BlockNumber::MAX] {
            for premium in [0, 1, PREMIUM, SHARE, Amount::MAX] {
                for amount in [0, 1, SHARE, Amount::MAX] {
                    let terms = TransferTerms { amount, ..good.offer.terms };
                    let offer = Offer { terms, premium, ..good.offer.clone() };
                    let base = if premium == 1 { Base { agreed: Round::MAX, steps: u32::MAX } } else { good.base };
                    bodies.push(PledgeBody { round, valid_until, offer, base, ..good.clone() });
                }
            }
        }
    }
    for phase in 0..4 {
        let mut world = World::opened();
        world.sides[Responder].registry.premium = Amount::MAX;
        match phase {
            1 => {
                world.close_solo(Initiator).unwrap();
                world.mine_blocks(2);
            }
            2 => world.shutdown(Responder, 0).unwrap(),
            3 => drop(staked(&mut world, 8)),
            _ => {}
        }
        for body in &bodies {
            let (round, signature) = (body.round, Signature([3; 64]));
            world.hear(Responder, Message::PledgeCreated(body.clone()));
            for party in [Initiator, Responder] {
                world.hear(party, Message::PledgeSigned { round, signature });
                for code in [RefusalCode::ON_CHAIN, RefusalCode::POLICY, RefusalCode::NOT_NOW] {
                    world.hear(party, Message::PledgeError { round, code });
                }
            }
            let pledged = world.wire[Initiator].iter().any(|it| matches!(it, Message::PledgeSigned { .. }));
            assert!(!pledged || *body == good, "{body:?}");
            if !world.linked {
                world.connect();
            }
        }
    }
}
