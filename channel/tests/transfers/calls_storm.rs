//! Attacks on calls that go with transfers (R8.3g), drawn at random: rounds kept back, steps forced by hand on any state that was ever agreed, crashes, and closes.

use super::*;
use crate::harness::{
    contracts::forced,
    deeds::{calls_of, deed, deed_of, with_deeds},
};
use channel::{State, Update};
use protocol::call::Payload;

struct Storm {
    world: World,
    attacker: Party,
    seed: u64,
    kept: Vec<(State, Option<Payload>)>,
    updates: Vec<Update>,
    deeds: Vec<ContractId>,
    transfers: Vec<ContractId>,
    closes: bool,
    /// Whether the payee gives transfers back as well.
    fails: bool,
    log: Vec<String>,
}

impl Storm {
    fn draw(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    fn new(seed: u64, attacker: Party) -> Self {
        let mut world = World::opened_with(attacker, |config| {
            config.defend = false;
            config.force_transfers_after = None;
        });
        let deeds = world.create(Initiator, (0..3).map(|_| deed(Initiator)).collect());
        for (number, deeds) in [(1, &deeds[..2]), (2, &deeds[2..])] {
            world.offer_with(number, with_deeds(deeds), 16 + 6 * BlockNumber::from(number));
        }
        let transfers = [1, 2].map(|number| world.contract_of(Responder, number).unwrap()).to_vec();
        world.sides[attacker].is_cheat = true;
        let mut storm = Self {
            world,
            attacker,
            seed,
            kept: Vec::new(),
            updates: Vec::new(),
            deeds,
            transfers,
            closes: false,
            fails: false,
            log: Vec::new(),
        };
        for _ in 0..4 {
            let _mixed = storm.draw(2);
        }
        storm.closes = storm.draw(2) == 0;
        storm
    }

    fn keep(&mut self) {
        for party in Party::BOTH {
            let Some(channel) = &self.world.sides[party].channel else { continue };
            let (Some(state), Some(evidence)) = (channel.state(), channel.evidence()) else { continue };
            let new = (state.clone(), evidence.payload);
            if !self.kept.contains(&new) {
                self.kept.push(new);
            }
        }
        for message in &self.world.wire[self.attacker] {
            if let Message::Update(update) = message
                && !self.updates.contains(update)
            {
                self.updates.push(update.clone());
            }
        }
    }

    fn calls(&mut self) -> Vec<ForcedCall> {
        let mut calls = Vec::new();
        for at in 0..2_usize {
            let number = u8::try_from(at).unwrap() + 1;
            let is_claim = self.attacker == Initiator;
            let which = if at == 1 { 2 } else { usize::try_from(self.draw(2)).unwrap() };
            let deed = if is_claim {
                ForcedCall { contract: self.deeds[which], value: 0, input: [&[1][..], &secret(number).0.0].concat() }
            } else {
                ForcedCall { contract: self.deeds[which], value: 0, input: vec![2] }
            };
            let end = if is_claim { ConditionalInput::Claim(secret(number).0) } else { ConditionalInput::Refund };
            let end = forced(self.transfers[at], 0, &end);
            match self.draw(6) {
                // Where it is given back a deed that the payer has claimed for the payee would be the payer's own loss.
                0 if !self.fails => calls.push(deed),
                1 | 2 => calls.push(end),
                3 => calls.extend([deed, end]),
                4 => calls.extend([end, deed]),
                _ => {}
            }
        }
        calls
    }

    fn step(&mut self) {
        let victim = self.attacker.peer();
        let kind = self.draw(24);
        match kind {
            20 => drop(self.world.deposit(self.attacker, 1)),
            21 => {
                let name = "channel_deposit";
                if !self.world.chain.censored.remove(name) {
                    let _new = self.world.chain.censored.insert(name);
                }
            }
            22 => drop(self.world.deposit(victim, 1)),
            23 => drop(self.world.pay_without_key(self.attacker, 1)),
            0..=2 => self.world.mine(),
            3 => {
                let blocks = self.draw(25);
                if self.attacker == Initiator && self.world.chain.head() + 32 > 120 {
                    self.claim_all();
                }
                self.world.mine_blocks(BlockNumber::try_from(blocks).unwrap());
            }
            4 | 5 => drop(self.world.pay_without_key(victim, 1)),
            6 | 7 => drop(self.world.deliver(self.attacker)),
            8 => drop(self.world.deliver(victim)),
            9 => drop(self.world.wire[victim].pop_back()),
            10 => drop(self.world.wire[self.attacker].pop_front()),
            11 => {
                if self.world.linked {
                    self.world.disconnect();
                } else {
                    self.world.connect();
                }
            }
            12..=16 => self.step_on_chain(kind),
            17 => self.world.crash(victim),
            18 => {
                let number = u8::try_from(self.draw(2)).unwrap() + 1;
                let is_early = self.world.chain.head() < 140;
                if victim == Responder
                    && is_early
                    && let Some(contract) = self.world.contract_of(Responder, number)
                {
                    let preimage = secret(number).0;
                    let command = if self.fails && self.draw(2) == 0 {
                        TransferCommand::Fail { contract, reason: FailReason(vec![1]) }
                    } else {
                        TransferCommand::Claim { contract, preimage }
                    };
                    drop(self.world.command(Responder, Command::Transfer(command)));
                }
            }
            _ => {
                if self.closes && self.draw(3) == 0 {
                    let at = usize::try_from(self.draw(self.kept.len() as u64)).unwrap();
                    let (state, payload) = self.kept[at].clone();
                    let (channel, commitment) = (self.world.channel_id(), state.commitment());
                    self.world
                        .chain
                        .submit(self.attacker, Call::ChannelCloseSolo(CloseSolo { channel, payload, commitment }));
                } else {
                    self.world.run();
                }
            }
        }
        self.log.push(format!("{kind}@{}", self.world.chain.head()));
        self.keep();
    }

    /// A step by hand, or a round that is shown.
    fn step_on_chain(&mut self, kind: u64) {
        let victim = self.attacker.peer();
        match kind {
            12..=14 => {
                let calls = self.calls();
                let at = usize::try_from(self.draw(self.kept.len() as u64)).unwrap();
                let (state, payload) = self.kept[at].clone();
                let shown = self.draw(2) == 0;
                let payload = payload.filter(|_| shown);
                if !calls.is_empty()
                    && let Some(step) = self.world.try_forced_step(self.attacker, &state, payload, calls.clone())
                {
                    self.log.push(format!("force {} on {:?}", calls.len(), payload.map(|it| it.round)));
                    self.world.chain.submit(self.attacker, Call::ChannelForceProgress(step));
                }
            }
            15 => {
                let at = usize::try_from(self.draw(self.kept.len() as u64)).unwrap();
                if let Some(payload) = self.kept[at].1 {
                    self.post(payload);
                }
            }
            _ => {
                if !self.updates.is_empty() {
                    let at = usize::try_from(self.draw(self.updates.len() as u64)).unwrap();
                    let payload = self.world.co_signed(victim, &self.updates[at].clone());
                    self.post(payload);
                }
            }
        }
    }

    fn claim_all(&mut self) {
        for number in 1..=2_u8 {
            if self.world.sides[Responder].channel.is_some()
                && let Some(contract) = self.world.contract_of(Responder, number)
            {
                let preimage = secret(number).0;
                drop(self.world.command(Responder, Command::Transfer(TransferCommand::Claim { contract, preimage })));
            }
        }
    }

    fn post(&mut self, payload: Payload) {
        self.log.push(format!("post {}", payload.round));
        let channel = self.world.channel_id();
        self.world.chain.submit(self.attacker, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    }

    fn play(mut self, length: u64) -> Result<(), String> {
        let victim = self.attacker.peer();
        self.keep();
        for _ in 0..length {
            self.step();
            if victim == Responder && self.world.chain.head() + 10 >= 122 {
                self.claim_all();
            }
            if self.world.sides[victim].is_over() {
                break;
            }
        }
        if victim == Responder {
            self.claim_all();
        }
        self.world.disconnect();
        let talks = self.draw(2) == 0;
        let mut last: Vec<_> = self.deeds.iter().map(|deed| deed_of(&self.world, victim, *deed)).collect();
        for _ in 0..520 {
            if talks {
                self.world.run();
            }
            self.world.mine();
            for (at, deed) in self.deeds.clone().into_iter().enumerate() {
                last[at] = deed_of(&self.world, victim, deed).or(last[at]);
            }
        }
        let owner = if victim == Responder { Responder } else { Initiator };
        let is_over = self.world.sides[victim].is_over();
        let open = self.world.sides[victim].machine().contracts().map_or(0, |it| it.transfers());
        let rows = self.world.sides[victim].machine().incoming_transfers().len();
        let calls: Vec<_> = self.deeds.iter().map(|deed| calls_of(&self.world, victim, *deed)).collect();
        let is_right = if is_over {
            victim == Initiator || self.fails || calls.iter().all(|calls| *calls >= 2)
        } else {
            last.iter().all(|it| *it == Some((owner, false))) && open == 0 && rows == 0
        };
        let is_right = if self.fails && victim == Responder && !is_over {
            let coins = self.world.ours(Responder);
            let claimed = usize::try_from((coins + 50).saturating_sub(SHARE) / AMOUNT).unwrap();
            let ours = last.iter().filter(|it| **it == Some((Responder, false))).count();
            let theirs = last.iter().filter(|it| **it == Some((Initiator, false))).count();
            let both = last[0] == last[1];
            let count =
                usize::from(last[0] == Some((Responder, false))) + usize::from(last[2] == Some((Responder, false)));
            let locked =
                usize::from(last[0] == Some((Initiator, true))) + usize::from(last[2] == Some((Initiator, true)));
            let waits = self.world.sides[Responder].machine().incoming_transfers().values();
            let waits = waits.filter(|row| matches!(row.intent, Intent::Fail(_))).count();
            both && (ours + theirs == 3 || locked > 0) && count == claimed && open == locked && locked <= waits
        } else {
            is_right
        };
        if is_right {
            return Ok(());
        }
        let stale = self.world.sides[victim].was_noticed(|notice| matches!(notice, channel::Notice::StaleStore { .. }));
        Err(format!(
            "talks {talks} over {is_over} open {open} rows {rows} calls {calls:?} last {last:?} stale {stale}\n{:?}",
            self.log
        ))
    }
}

/// No deed is parted from its coins, whatever the attacker does.
#[test]
fn no_storm_parts_a_deed_from_its_coins() {
    for seed in 0..30 {
        for (attacker, fails) in [(Initiator, false), (Initiator, true), (Responder, false)] {
            let played = Storm { fails, ..Storm::new(seed, attacker) }.play(90);
            assert_eq!(played, Ok(()), "{seed} {attacker:?} {fails}");
        }
    }
}
