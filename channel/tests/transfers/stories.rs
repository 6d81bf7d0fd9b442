//! Random stories: an honest party, and a peer that does whatever it likes. The honest one never has less in the end than its router was told, and is told
//! nothing that turns out false.

use super::*;
use crate::harness::{LOCK, Side, chain::FUNDS};
use channel::{Certainty, Message, transfer::TransferCommand};
use protocol::{
    call::{Call, CloseSolo, ForcedCall, SnapshotSolo},
    contracts::conditional::ConditionalInput,
};
use std::collections::{BTreeMap, BTreeSet};

/// Splitmix64: a story is its seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(sides).unwrap()).unwrap()
    }

    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { all.get(self.roll(all.len())) }
    }
}

/// A transfer as it was offered.
#[derive(Clone, Debug)]
struct Made {
    by: Party,
    offer: Offer,
}

struct Story {
    world: World,
    dice: Dice,
    honest: Party,
    made: BTreeMap<u8, Made>,
    /// What the honest router was told of its own transfers.
    told: BTreeMap<u8, Progress>,
    forgotten: BTreeSet<u8>,
    /// The honest party's claims, and when it made them.
    claimed: BTreeMap<u8, BlockNumber>,
    given_back: BTreeSet<u8>,
    /// What the cheat may show, old stores that it may put back, and what it has said.
    kept: Vec<CloseSolo>,
    copies: Vec<Side>,
    said: Vec<Message>,
    /// Pledges of the honest party that the cheat holds, and rounds of the honest party's that the cheat has signed and not answered.
    proofs: Vec<Payload>,
    log: Vec<String>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let honest = *dice.pick(&Party::BOTH).unwrap();
        let patience = *dice.pick(&[1, 4, 100]).unwrap();
        let mut world = World::new();
        for party in Party::BOTH {
            world.sides[party].config.force_transfers_after = Some(patience);
            world.sides[party].registry.premium = 20;
        }
        world.open();
        world.run();
        world.mine();
        world.run();
        world.sides[honest.peer()].is_cheat = true;
        world.sides[honest.peer()].strict = false;
        Self {
            world,
            dice,
            honest,
            made: BTreeMap::new(),
            told: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            claimed: BTreeMap::new(),
            given_back: BTreeSet::new(),
            kept: Vec::new(),
            copies: Vec::new(),
            said: Vec::new(),
            proofs: Vec::new(),
            log: Vec::new(),
        }
    }

    fn cheat(&self) -> Party {
        self.honest.peer()
    }

    fn somebody(&mut self) -> Party {
        *self.dice.pick(&Party::BOTH).unwrap()
    }

    fn log(&mut self, what: String) {
        self.log.push(format!("{}: {what}", self.world.chain.head()));
    }

    /// The peer's open transfers that a party has not decided on, by their numbers.
    fn undecided(&self, party: Party) -> Vec<u8> {
        let rows = self.world.sides[party].machine().incoming_transfers().values();
        let locks: Vec<_> = rows.filter(|row| row.intent == Intent::Undecided).map(|row| row.terms.lock).collect();
        self.made.keys().copied().filter(|number| locks.contains(&secret(*number).1)).collect()
    }

    fn step(&mut self) {
        let cheat = self.cheat();
        let party = self.somebody();
        match self.dice.roll(37) {
            0..=3 => self.offer(party),
            4 | 5 => self.claim(party),
            6 => self.give_back(party),
            7 => self.pay(party),
            8 => self.operate(party),
            9 | 10 => {
                let by = self.dice.roll(6);
                self.world.chain.reorder(by);
                self.world.mine();
                self.log("a block".into());
            }
            11 => {
                self.log("the link breaks".into());
                self.world.disconnect();
            }
            12 | 13 => {
                if !self.world.linked {
                    self.log("the link is there".into());
                    self.world.connect();
                }
            }
            14 => {
                self.log(format!("{party:?} crashes"));
                self.world.crash(party);
            }
            15 => {
                let (commits, effects) = (self.dice.roll(4), self.dice.roll(3));
                self.log(format!("{party:?} will crash after {commits} commits and {effects} effects"));
                self.world.plan_crash(party, commits, effects, false);
            }
            16 | 17 => {
                self.log("everything is said".into());
                self.world.run();
            }
            18 => {
                let kept = self.world.sides[cheat].machine().evidence();
                self.kept.extend(kept);
                self.copies.push(self.world.sides[cheat].clone());
            }
            19 => self.show(),
            20 => self.act_from_a_copy(),
            21 => self.force(party),
            22 => self.lose_a_message(),
            23 => self.say_again(),
            24 => self.world.sides[self.honest].registry.blind = self.dice.roll(2) == 0,
            25 => {
                let verdict = self.dice.pick(&[None, Some(channel::transfer::Verdict::NotYet)]).copied().unwrap();
                self.world.sides[self.honest].registry.verdict = verdict;
            }
            26 => self.show_a_preimage(),
            27 => self.forget(),
            28 => self.close_or_not(party),
            29 => {
                if self.dice.roll(6) == 0 {
                    let done = self.world.close_solo(cheat).is_ok();
                    self.log(format!("the cheat closes: {done}"));
                }
            }
            30 => self.show_a_proof(),
            _ => {
                let _heard = self.world.deliver(party);
            }
        }
        self.note_proofs();
        self.said.extend(self.world.wire[self.honest].iter().cloned());
        if self.said.len() > 60 {
            let _old: Vec<_> = self.said.drain(..30).collect();
        }
        self.observe();
    }

    /// What the cheat may show of what it holds, beside what its machine has agreed to.
    fn note_proofs(&mut self) {
        let (honest, cheat) = (self.honest, self.cheat());
        if Party::BOTH.iter().all(|it| self.world.sides[*it].is_over()) {
            return;
        }
        let pledge = self.world.sides[cheat].channel.as_ref().and_then(|it| it.pledge().cloned());
        let rounds: Vec<_> = self.world.wire[cheat]
            .iter()
            .filter_map(|message| match message {
                Message::Update(update) => Some(self.world.co_signed(honest, update)),
                _ => None,
            })
            .collect();
        for proof in pledge.into_iter().chain(rounds) {
            if !self.proofs.contains(&proof) {
                self.proofs.push(proof);
            }
        }
        if self.proofs.len() > 12 {
            let _old: Vec<_> = self.proofs.drain(..4).collect();
        }
    }

    fn show_a_proof(&mut self) {
        let newest = self.dice.roll(2) == 0;
        let proof = if newest { self.proofs.last().cloned() } else { self.dice.pick(&self.proofs).cloned() };
        let Some(payload) = proof.filter(|_| Party::BOTH.iter().any(|it| !self.world.sides[*it].is_over())) else {
            return;
        };
        let (cheat, channel) = (self.cheat(), self.world.channel_id());
        self.log(format!("the cheat shows round {} up to {:?}", payload.round, payload.valid_until));
        self.world.chain.submit(cheat, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    }

    fn pay(&mut self, party: Party) {
        let amount = u128::try_from(1 + self.dice.roll(20)).unwrap();
        let done = if party == self.cheat() {
            let payment = channel::Payment { amount, reference: Vec::new() };
            self.world.command(party, Command::Pay(payment)).is_ok()
        } else {
            self.world.pay(party, amount).is_ok()
        };
        self.log(format!("{party:?} pays {amount}: {done}"));
    }

    fn operate(&mut self, party: Party) {
        let amount = u128::try_from(1 + self.dice.roll(60)).unwrap();
        let done = match self.dice.roll(2) {
            0 => self.world.deposit(party, amount).is_ok(),
            _ => self.world.withdraw(party, amount).is_ok(),
        };
        self.log(format!("{party:?} asks for an operation of {amount}: {done}"));
    }

    fn lose_a_message(&mut self) {
        // The cheat does not say something, or did not hear it.
        let to = self.somebody();
        let lost = self.world.wire[to].pop_front();
        self.log(format!("{to:?} does not hear {}", lost.map_or("nothing", |it| it.name())));
    }

    fn say_again(&mut self) {
        if let Some(message) = self.dice.pick(&self.said).cloned() {
            self.log(format!("again: {}", message.name()));
            let honest = self.honest;
            self.world.hear(honest, message);
        }
    }

    fn show_a_preimage(&mut self) {
        let numbers: Vec<_> = self.made.keys().copied().collect();
        if let Some(number) = self.dice.pick(&numbers).copied() {
            let (preimage, lock) = secret(number);
            self.log(format!("{number} is shown"));
            let cheat = self.cheat();
            self.world.chain.submit(cheat, Call::PreimageRegister { preimage, function: lock.function });
        }
    }

    fn close_or_not(&mut self, party: Party) {
        if self.dice.roll(4) == 0 {
            let done = self.world.shutdown(party, 0).is_ok();
            self.log(format!("{party:?} wants to close: {done}"));
        } else {
            let done = self.world.command(party, Command::CancelShutdown).is_ok();
            self.log(format!("{party:?} does not want to close: {done}"));
        }
    }

    fn offer(&mut self, party: Party) {
        let number = u8::try_from(self.made.len() + 1).unwrap();
        let amount = u128::try_from(10 + self.dice.roll(80)).unwrap();
        let blocks = BlockNumber::try_from(5 + self.dice.roll(25)).unwrap();
        let premium = if self.dice.roll(3) < 2 { 15 } else { 0 };
        let offer = Offer { premium, ..an_offer(number, amount, self.world.chain.head() + blocks) };
        if number > 60 {
            return;
        }
        let done = match premium {
            0 => {
                let command = TransferCommand::Offer { key: name(number), offer: offer.clone(), fee: 0 };
                self.world.command(party, Command::Transfer(command))
            }
            _ => {
                let lasts = BlockNumber::try_from(2 + self.dice.roll(8)).unwrap();
                let until = self.world.chain.head() + lasts.min(blocks);
                self.world.offer_staked(party, number, offer.clone(), until)
            }
        };
        self.log(format!(
            "{party:?} offers {number}: {amount} and {premium}, {blocks} blocks: {:?}",
            done.as_ref().err()
        ));
        let _none = self.made.insert(number, Made { by: party, offer });
        if done.is_err() && party == self.honest {
            // It was refused at once.
            let _new = self.forgotten.insert(number);
        }
    }

    fn claim(&mut self, party: Party) {
        if let Some(number) = self.dice.pick(&self.undecided(party)).copied() {
            let done = self.world.claim(party, number);
            self.log(format!("{party:?} claims {number}: {done:?}"));
            if party == self.honest && done.is_ok() {
                let _none = self.claimed.insert(number, self.world.chain.head());
            }
        }
    }

    fn give_back(&mut self, party: Party) {
        if let Some(number) = self.dice.pick(&self.undecided(party)).copied() {
            let done = self.world.fail(party, number);
            self.log(format!("{party:?} fails {number}: {done:?}"));
            if party == self.honest && done.is_ok() {
                let _new = self.given_back.insert(number);
            }
        }
    }

    fn forget(&mut self) {
        let numbers: Vec<_> = self.made.keys().copied().collect();
        if let Some(number) = self.dice.pick(&numbers).copied()
            && self.told.contains_key(&number)
        {
            self.log(format!("{number} is forgotten"));
            self.world.command(self.honest, Command::Transfer(TransferCommand::Forget { key: name(number) })).unwrap();
            let _new = self.forgotten.insert(number);
        }
    }

    fn show(&mut self) {
        let Some(kept) = self.dice.pick(&self.kept).cloned() else { return };
        let cheat = self.cheat();
        let Some(payload) = kept.payload else { return };
        let round = payload.round;
        let is_closing = self.dice.roll(8) == 0;
        self.log(format!("the cheat shows round {round}, closing: {is_closing}"));
        let call = if is_closing {
            Call::ChannelCloseSolo(kept)
        } else {
            Call::ChannelSnapshotSolo(SnapshotSolo { channel: kept.channel, payload })
        };
        self.world.chain.submit(cheat, call);
    }

    /// Calls of some of the transfers that a party knows, its premiums among them.
    fn calls(&mut self, party: Party) -> Vec<ForcedCall> {
        let known = self.world.sides[party].machine().contracts().into_iter().flat_map(|all| all.iter());
        let contracts: BTreeMap<_, _> = known.map(|(id, it)| (*id, it.clone())).collect();
        let contracts: Vec<_> = contracts.into_iter().collect();
        let mut calls = Vec::new();
        for _ in 0..=self.dice.roll(2) {
            let Some((contract, it)) = self.dice.pick(&contracts).cloned() else { break };
            let state: protocol::contracts::conditional::ConditionalTransfer =
                protocol::decode_exact(&it.state).unwrap();
            let number = self.made.keys().copied().find(|number| secret(*number).1 == state.lock).unwrap();
            let input = match self.dice.roll(2) {
                0 => ConditionalInput::Claim(secret(number).0),
                _ => ConditionalInput::Refund,
            };
            calls.push(ForcedCall { contract, value: 0, input: input.encode() });
        }
        calls
    }

    fn force(&mut self, party: Party) {
        // An honest party shows only what it is told.
        if party == self.honest || self.world.sides[party].is_over() {
            return;
        }
        let calls = self.calls(party);
        let count = calls.len();
        if count > 0 {
            let done = self.world.command(party, Command::Force { calls, certainty: Certainty::OwnStoreIsNewest });
            self.log(format!("{party:?} forces {count}: {done:?}"));
        }
    }

    /// The cheat puts an old store back, does something with it, and then has its newest one again.
    fn act_from_a_copy(&mut self) {
        let cheat = self.cheat();
        if self.copies.is_empty() {
            return;
        }
        let at = self.dice.roll(self.copies.len());
        let old = self.copies[at].clone();
        self.world.kill(cheat);
        let new = std::mem::replace(&mut self.world.sides[cheat], old);
        self.world.sides[cheat].signed.clear();
        self.world.kill(cheat);
        self.world.restart(cheat);
        if !self.world.sides[cheat].is_over() {
            let calls = self.calls(cheat);
            let done = if self.dice.roll(8) == 0 {
                self.world.close_solo(cheat)
            } else if calls.is_empty() {
                Ok(())
            } else {
                self.world.command(cheat, Command::Force { calls, certainty: Certainty::OwnStoreIsNewest })
            };
            self.log(format!("the cheat does something with its copy {at}: {done:?}"));
        }
        if self.dice.roll(3) == 0 && !self.world.linked {
            self.world.connect();
            for _ in 0..self.dice.roll(5) {
                let _heard = [self.world.deliver(cheat), self.world.deliver(self.honest)];
            }
        }
        self.world.kill(cheat);
        self.world.sides[cheat] = new;
        self.world.restart(cheat);
    }

    /// What the honest router was told stays true.
    fn observe(&mut self) {
        let machine = self.world.sides[self.honest].machine();
        assert!(!machine.status().stale_store, "an honest store is not old");
        let rows: Vec<_> = machine.outgoing_transfers().values().cloned().collect();
        for row in rows {
            let number = row.key.0[0];
            if !row.is_decided() {
                let before = self.told.get(&number);
                assert!(before.is_none(), "{number}: told {before:?}, now {:?}", row.progress);
                continue;
            }
            let told = self.told.entry(number).or_insert_with(|| row.progress.clone());
            assert_eq!(*told, row.progress, "{number}");
            let lock = row.offer.terms.lock;
            let shown = self.world.chain.preimages.get(&lock).filter(|(_, at)| *at < row.offer.terms.expiry);
            match &row.progress {
                Progress::Failed(Failure::Expired) => assert!(shown.is_none(), "{number} was shown in time"),
                Progress::Failed(why) => {
                    let is_there =
                        row.contract.is_some_and(|id| self.world.sides[self.honest].machine().contract(&id).is_some());
                    assert!(!is_there, "{number} has failed ({why:?}), and is there");
                }
                _ => {}
            }
        }
    }

    /// Which claims of the honest party have to be paid: those made in time, and those whose pre-image was shown in time.
    fn is_owed(&self, number: u8) -> bool {
        let made = &self.made[&number];
        let expiry = made.offer.terms.expiry;
        let shown = self.world.chain.preimages.get(&secret(number).1);
        self.claimed.get(&number).is_some_and(|at| at + 5 <= expiry || shown.is_some_and(|(_, shown)| *shown < expiry))
    }

    /// What the honest party must have at the least.
    fn owed(&self) -> Amount {
        let side = &self.world.sides[self.honest];
        let (paid, received) = side.turnover();
        let mut plus = FUNDS + received;
        let mut minus = paid;
        for (number, made) in &self.made {
            let Offer { terms, premium, .. } = &made.offer;
            if made.by == self.honest {
                if matches!(self.told.get(number), Some(Progress::Fulfilled(_))) {
                    minus += terms.amount;
                }
            } else if self.is_owed(*number) {
                plus += terms.amount;
            } else {
                minus += premium;
            }
        }
        plus - minus
    }

    fn end(&mut self) {
        let (honest, cheat) = (self.honest, self.cheat());
        self.world.crash_plan = None;
        let side = &mut self.world.sides[honest];
        (side.registry.blind, side.registry.verdict) = (false, None);
        if self.dice.roll(2) == 0 {
            self.log("the cheat comes to its senses".into());
            for _ in 0..70 {
                self.world.run();
                self.world.mine();
                self.observe();
            }
            self.world.run();
        } else {
            self.log("the cheat is gone".into());
            self.world.kill(cheat);
        }
        self.log("the honest party closes".into());
        let closing = self.world.close_solo(honest);
        self.log(format!("{closing:?}"));
        for _ in 0..(LOCK * 3 + 140) {
            self.world.mine();
            self.observe();
        }
        let machine = self.world.sides[honest].machine();
        for row in machine.outgoing_transfers().values() {
            assert!(row.is_decided(), "{:?} waits for ever", row.key);
        }
        for number in self.made.keys().filter(|number| self.made[number].by == honest) {
            let is_known = self.told.contains_key(number) || self.forgotten.contains(number);
            assert!(is_known, "{number} was never told of");
        }
        let (has, owed) = (self.world.chain.wealth(honest), self.owed());
        assert!(has >= owed, "{honest:?} has {has} and is owed {owed}");
    }
}

fn tell(seed: u64, steps: usize) {
    let mut story = Story::new(seed);
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for _ in 0..steps {
            story.step();
        }
        story.end();
    }));
    if let Err(why) = told {
        println!("seed {seed}, honest {:?}:\n{}", story.honest, story.log.join("\n"));
        std::panic::resume_unwind(why);
    }
}

#[test]
fn whatever_a_peer_does_an_honest_party_has_what_its_router_was_told() {
    let number = |name: &str, or: u64| std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(or);
    let first = number("FIRST", 0);
    for seed in first..first + number("COUNT", 150) {
        tell(seed, 150);
    }
}
