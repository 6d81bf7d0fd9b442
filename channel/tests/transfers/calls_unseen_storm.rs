//! Attacks on calls that return with transfers (R8.3g), drawn at random, beside calls of the user's own of the same app: what each of them has come to is told by the digits of a counter.

use super::{
    drawn::{Kept, Numbers},
    *,
};
use crate::harness::{
    Fate,
    contracts::{call, counter},
    deeds::count_of,
};
use channel::transfer::AppCall;
use protocol::Pair;

/// What the call of each transfer counts, and what each call of the user's does.
const DIGITS: [u64; 3] = [1, 100, 10_000];
const USERS: u64 = 1_000_000;

struct Storm {
    world: World,
    numbers: Numbers,
    counter: ContractId,
    transfers: Vec<ContractId>,
    kept: Kept,
    calls: u64,
    log: Vec<String>,
}

impl Storm {
    fn draw(&mut self, below: u64) -> u64 {
        self.numbers.draw(below)
    }

    fn new(seed: u64) -> Self {
        let mut world = World::new();
        let patience = [Some(0), Some(1), Some(5), Some(40)][usize::try_from(seed % 4).unwrap()];
        world.sides[Initiator].config.force_transfers_after = patience;
        world.sides[Initiator].config.force_after = [None, Some(1_000)][usize::try_from(seed / 4 % 2).unwrap()];
        world.sides[Responder].config.defend = false;
        world.sides[Responder].config.force_transfers_after = None;
        world.open();
        world.run();
        world.mine();
        world.run();
        let counter = world.create(Initiator, vec![counter(Pair::default(), u64::MAX)])[0];
        for (number, digit) in (1_u8..).zip(DIGITS) {
            let returning = vec![AppCall { contract: counter, input: digit.encode() }];
            world.offer_with(number, LockedCalls { returning, ..LockedCalls::NONE }, 6 + 3 * BlockNumber::from(number));
        }
        let transfers = [1, 2, 3].map(|number| world.contract_of(Responder, number).unwrap()).to_vec();
        world.sides[Responder].is_cheat = true;
        world.lag[Initiator] = [0, 0, 1, 2][usize::try_from(seed / 8 % 4).unwrap()];
        let numbers = Numbers(seed.wrapping_mul(7_919) + 17);
        let mut storm = Self { world, numbers, counter, transfers, kept: Kept::default(), calls: 0, log: Vec::new() };
        for _ in 0..4 {
            let _mixed = storm.draw(2);
        }
        storm
    }

    fn keep(&mut self) {
        self.kept.keep(&self.world, Responder);
    }

    /// A step by hand: the ends of some transfers, each with its call, or without.
    fn force(&mut self) {
        let mut calls = Vec::new();
        let at = usize::try_from(self.draw(self.kept.states.len() as u64)).unwrap();
        let (state, payload) = self.kept.states[at].clone();
        let count = state
            .contracts
            .get(&self.counter)
            .map_or(0, |it| protocol::decode_exact::<(u64, u64)>(&it.state).unwrap().0);
        for (at, digit) in DIGITS.into_iter().enumerate() {
            let end = refund(self.transfers[at]);
            let is_made = !(count / digit).is_multiple_of(100);
            let own = ForcedCall { contract: self.counter, value: 0, input: digit.encode() };
            match self.draw(6) {
                0 | 1 => calls.push(end),
                // What the peer makes a second time is none of this side's.
                2 | 3 if is_made => calls.push(end),
                2 => calls.extend([own, end]),
                3 => calls.extend([end, own]),
                _ => {}
            }
        }
        let shown = self.draw(2) == 0;
        let payload = payload.filter(|_| shown);
        if !calls.is_empty()
            && let Some(step) = self.world.try_forced_step(Responder, &state, payload, calls.clone())
        {
            self.log.push(format!("force {} on {:?}", calls.len(), payload.map(|it| it.round)));
            self.world.chain.submit(Responder, Call::ChannelForceProgress(step));
        }
    }

    fn post(&mut self, payload: Payload) {
        self.log.push(format!("post {}", payload.round));
        let channel = self.world.channel_id();
        self.world.chain.submit(Responder, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    }

    fn step(&mut self) {
        let kind = self.draw(26);
        self.log.push(format!("{kind}@{}", self.world.chain.head()));
        let call_kind = CallKind::ChannelForceProgress;
        let is_forcing = self.world.sides[Initiator].channel.as_ref().is_some_and(|it| it.status().forcing);
        match kind {
            0..=3 => self.world.mine(),
            4 => {
                let blocks = self.draw(12);
                self.world.mine_blocks(BlockNumber::try_from(blocks).unwrap());
            }
            5 => drop(self.world.pay_without_key(Initiator, 1)),
            6 | 7 => drop(self.world.deliver(Responder)),
            8 | 9 => drop(self.world.deliver(Initiator)),
            10 => drop(self.world.wire[Initiator].pop_back()),
            11 => drop(self.world.wire[Responder].pop_front()),
            12 => {
                if self.world.linked {
                    self.world.disconnect();
                } else {
                    self.world.connect();
                }
            }
            13..=15 => self.force(),
            16 => {
                let at = usize::try_from(self.draw(self.kept.states.len() as u64)).unwrap();
                if let Some(payload) = self.kept.states[at].1 {
                    self.post(payload);
                }
            }
            17 => {
                if !self.kept.updates.is_empty() {
                    let at = usize::try_from(self.draw(self.kept.updates.len() as u64)).unwrap();
                    let payload = self.world.co_signed(Initiator, &self.kept.updates[at].clone());
                    self.post(payload);
                }
            }
            18 => self.world.crash(Initiator),
            19 | 20 => {
                if self.calls < 3 && self.world.make(Initiator, vec![call(self.counter, 0, &USERS)]).is_ok() {
                    self.calls += 1;
                }
            }
            21 => {
                self.world.tick(600);
            }
            22 if is_forcing => {
                self.world.chain.drop_pool();
                self.world.input(Initiator, Input::Chain(ChainInput::Undeliverable { call: call_kind })).unwrap();
            }
            23 if is_forcing => {
                self.world.chain.drop_pool();
                let rejection = Rejection::CommitmentMismatch;
                self.world.input(Initiator, Input::Chain(ChainInput::Rejected { call: call_kind, rejection })).unwrap();
            }
            24 => {
                if let Some(update) = self.kept.updates.last() {
                    let (round, code) = (update.round, channel::RefusalCode::STALE_STORE);
                    if self.world.linked {
                        self.world.hear(Initiator, Message::UpdateError { round, code });
                    }
                }
            }
            _ => self.world.run(),
        }
        self.keep();
    }

    fn play(mut self, length: u64) -> Result<(), String> {
        self.keep();
        for _ in 0..length {
            self.step();
            if self.world.sides[Initiator].is_over() {
                break;
            }
        }
        self.world.disconnect();
        let talks = self.draw(2) == 0;
        let mut late = (0, 0);
        for block in 0..520 {
            if talks {
                self.world.run();
            }
            self.world.tick(300);
            self.world.mine();
            if block == 420 {
                late = (self.world.messages, self.world.sides[Initiator].events.len());
            }
        }
        let side = &self.world.sides[Initiator];
        let count = count_of(&self.world, Initiator, self.counter);
        let digits: Vec<_> = DIGITS.iter().map(|digit| count / digit % 100).collect();
        let used_up = side.was_told(|event| {
            matches!(event, channel::Event::ForceFailed { rejection: Rejection::ForcedStepsUsedUp { .. }, .. })
        });
        let contracts = side.machine().contracts().unwrap();
        let mut wrong = Vec::new();
        for (at, contract) in self.transfers.iter().enumerate() {
            let is_open = contracts.get(contract).is_some();
            let right = u64::from(!is_open);
            if digits[at] > 1 || (used_up == 0 && (is_open || digits[at] != right)) {
                wrong.push(format!("transfer {at} open {is_open}: {}", digits[at]));
            }
        }
        let told = side.made.values().filter(|(_, fate)| matches!(fate, Fate::Paid(_) | Fate::Forced(_))).count();
        let users = count / USERS;
        if users + 1 != u64::try_from(told).unwrap() {
            wrong.push(format!("users {users} told {told}: {:?}", side.made));
        }
        let status = side.machine().status();
        let is_stale = side
            .was_told(|event| matches!(event, channel::Event::Refused { code: channel::RefusalCode::STALE_STORE, .. }))
            > 0;
        if used_up == 0
            && (status.forcing
                || (talks
                    && !is_stale
                    && status.pending > 0
                    && !matches!(
                        status.waits_for,
                        Some(channel::WaitReason::PeerReplay | channel::WaitReason::PeerLock)
                    )))
        {
            wrong.push(format!("forcing {} pending {} {:?}", status.forcing, status.pending, status.waits_for));
        }
        let growth = (self.world.messages - late.0, side.events.len() - late.1);
        if growth.0 > 700 || growth.1 > 12 {
            wrong.push(format!("growth {growth:?}"));
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(format!("{wrong:?} talks {talks} used up {used_up}\n{:?}", self.log))
        }
    }
}

/// Each call that is left is made once, and each of the user's as often as it was told. (829 is what is undone without a word, see `what_is_undone_is_told_of_though_a_step_was_forced_in_between`; 2247 is what is forced although it was told of as
/// refused, see `what_was_told_of_as_refused_is_not_forced`.)
#[test]
fn no_storm_makes_a_call_twice_or_not_at_all() {
    for seed in (0..48).chain([829]) {
        assert_eq!(Storm::new(seed).play(150), Ok(()), "{seed}");
    }
}
