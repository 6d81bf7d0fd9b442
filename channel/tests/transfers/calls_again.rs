//! Attacks on what is made up anew of calls that go with transfers (R8.3g): what waits for a round, and what is being forced.

use super::*;
use crate::harness::{
    contracts::{counter, forced},
    deeds::{deed, deed_of, with_deeds},
};
use channel::{Event, transfer::AppCall};
use protocol::{Pair, call::Payload};

fn deeds(world: &mut World, count: usize) -> Vec<ContractId> {
    world.create(Initiator, (0..count).map(|_| deed(Initiator)).collect())
}

/// What returns is a call that counts by one.
fn returning(counter: ContractId) -> LockedCalls {
    let one_more = AppCall { contract: counter, input: 1_u64.encode() };
    LockedCalls { returning: vec![one_more], ..LockedCalls::NONE }
}

/// A change that makes a call which was left waits behind two offers with calls, of which a round has one. The payee forces the call, so that the change goes from the queue, and its id is
/// given to the claim of another transfer (`unqueue_one` raises no `first_unproposed`, and `asked_calls` keeps what the id was). The payer undoes the forced call by the round with the
/// first offer, which it has kept back: the claim counts as the change that makes the call which is left again (`left_call_of`), is marked so once it is proposed (`mark_asked`), and
/// nothing else asks for the call (`is_asked`). The row is over, and the deed is the payer's. Right would be that no id is given twice.
#[test]
fn an_id_of_a_change_that_waited_is_given_to_no_other() {
    let [without, with] = [false, true].map(after_a_call_that_is_undone);
    let right = (Some((Responder, false)), 0);
    assert_eq!((without, with), (right, right), "the deed, and the rows of what waits for it");
}

/// Who has the deed in the end, and how many rows the payee has then of the transfer with it; where `claims`, another transfer is claimed meanwhile.
fn after_a_call_that_is_undone(claims: bool) -> (Option<(Party, bool)>, usize) {
    let mut world = World::opened_with(Initiator, |config| {
        config.defend = false;
        config.force_transfers_after = None;
    });
    let deed = deeds(&mut world, 1)[0];
    let counter = world.create(Initiator, vec![counter(Pair::default(), 9)])[0];
    world.sides[Initiator].registry.calls = returning(counter);
    world.offer_with(2, LockedCalls::NONE, 2_000);
    world.offer_with(1, with_deeds(&[deed]), 20);
    let contract = world.contract_of(Responder, 1).unwrap();
    let claim = forced(contract, 0, &ConditionalInput::Claim(secret(1).0));
    let (state, payload) = kept_state(&world, Initiator);
    world.force_by_hand(Initiator, &state, payload, vec![claim]);
    world.mine();
    assert!(world.contract_of(Responder, 1).is_some(), "the deed's call is left");
    // The payer has not said yet that it goes on from there.
    let expiry = world.chain.head() + 2_000;
    for number in [3, 4] {
        let offer = Offer { calls: returning(counter), ..an_offer(number, AMOUNT, expiry) };
        world
            .command(Responder, Command::Transfer(TransferCommand::Offer { key: name(number), offer, fee: 0 }))
            .unwrap();
    }
    while world.wire[Initiator].iter().all(|message| !matches!(message, Message::Update(_))) {
        assert!(world.deliver(Responder), "the payer says that it follows");
    }
    while world.deliver(Initiator) {}
    let Message::UpdateAck { .. } = world.steal(Responder) else { panic!("the answer") };
    let (_, offered) = kept_state(&world, Initiator);
    if claims {
        world.claim(Responder, 2).unwrap();
    }
    for _ in 0..180 {
        world.mine();
        world.wire = Pair::default();
        if deed_of(&world, Responder, deed) == Some((Responder, false)) {
            break;
        }
    }
    assert_eq!(deed_of(&world, Responder, deed), Some((Responder, false)), "the call is forced");
    let round = world.sides[Responder].round();
    world.hear(Responder, Message::ForceProgressLocked { round });
    let channel = world.channel_id();
    let payload = offered.expect("it is signed");
    world.chain.submit(Initiator, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    world.mine();
    assert_eq!(deed_of(&world, Responder, deed), Some((Initiator, true)), "the forced call is undone");
    world.disconnect();
    for _ in 0..300 {
        world.run();
        world.mine();
    }
    (deed_of(&world, Responder, deed), usize::from(world.contract_of(Responder, 1).is_some()))
}

/// The agreed state of a party, with what shows it.
fn kept_state(world: &World, party: Party) -> (channel::State, Option<Payload>) {
    let machine = world.sides[party].machine();
    (machine.state().unwrap().clone(), machine.evidence().unwrap().payload)
}

/// Ends of plain transfers are being forced in an open channel, and the peer closes it alone before they are made: they are dropped without a word (`force_again`), though the user was told
/// that they are being forced. Right would be that whatever is told of as being forced is told of as made or as given up.
#[test]
fn what_is_told_of_as_being_forced_comes_to_an_end_that_is_told_of() {
    let mut world = World::opened();
    world.offer_with(1, LockedCalls::NONE, 20);
    world.disconnect();
    for _ in 0..200 {
        world.mine();
        if world.sides[Initiator].machine().status().forcing {
            break;
        }
    }
    world.chain.drop_pool();
    world.close_solo(Responder).unwrap();
    world.mine_blocks(3);
    let side = &world.sides[Initiator];
    let begun = side.was_told(|event| matches!(event, Event::Forcing { .. }));
    let ended =
        side.was_told(|event| matches!(event, Event::ForceFailed { .. } | Event::Executed { forced: true, .. }));
    assert_eq!((side.machine().status().forcing, begun, ended), (false, 1, 1));
}

/// Random stories with half steps, refusals by counter-rounds, plain transfers, and apps that take long.
struct Storm {
    world: World,
    attacker: Party,
    seed: u64,
    kept: Vec<(channel::State, Option<Payload>)>,
    updates: Vec<channel::Update>,
    deeds: Vec<ContractId>,
    transfers: Vec<ContractId>,
    closes: bool,
    next_name: u8,
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
            if seed.is_multiple_of(2) {
                config.acceptance = channel::Acceptance::Manual;
            }
        });
        let deeds = world.create(Initiator, (0..3).map(|_| deed(Initiator)).collect());
        for (number, deeds) in [(1, &deeds[..2]), (2, &deeds[2..])] {
            world.offer_with(number, with_deeds(deeds), 16 + 6 * BlockNumber::from(number));
            world.consent(attacker);
            world.run();
        }
        let transfers = [1, 2].map(|number| world.contract_of(Responder, number).unwrap()).to_vec();
        world.sides[attacker].is_cheat = true;
        let mut storm = Self {
            world,
            attacker,
            seed: seed.wrapping_mul(7_919),
            kept: Vec::new(),
            updates: Vec::new(),
            deeds,
            transfers,
            closes: false,
            next_name: 10,
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

    fn deed_call(&self, which: usize, number: u8, is_claim: bool) -> ForcedCall {
        let input = if is_claim { [&[1][..], &secret(number).0.0].concat() } else { vec![2] };
        ForcedCall { contract: self.deeds[which], value: 0, input }
    }

    fn calls_of(&mut self) -> Vec<ForcedCall> {
        let mut calls = Vec::new();
        for at in 0..2_usize {
            let number = u8::try_from(at).unwrap() + 1;
            let is_claim = self.attacker == Initiator;
            let which = if at == 1 { 2 } else { usize::try_from(self.draw(2)).unwrap() };
            let deed = self.deed_call(which, number, is_claim);
            let end = if is_claim { ConditionalInput::Claim(secret(number).0) } else { ConditionalInput::Refund };
            let end = forced(self.transfers[at], 0, &end);
            match self.draw(6) {
                0 => calls.push(deed),
                1 | 2 => calls.push(end),
                3 => calls.extend([deed, end]),
                4 => calls.extend([end, deed]),
                _ => {}
            }
        }
        calls
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

    fn more(&mut self) {
        use channel::{ChainInput, Input};
        use protocol::{Rejection, call::CallKind, contracts::CallFault};
        let victim = self.attacker.peer();
        let call = CallKind::ChannelForceProgress;
        let is_forcing = self.world.sides[victim].channel.as_ref().is_some_and(|it| it.status().forcing);
        match self.draw(9) {
            0 | 1 if is_forcing => {
                self.world.chain.drop_pool();
                self.log.push("undeliverable".into());
                self.world.input(victim, Input::Chain(ChainInput::Undeliverable { call })).unwrap();
            }
            2 if is_forcing => {
                self.world.chain.drop_pool();
                let fault = CallFault::Refused;
                let rejection = match self.draw(3) {
                    0 => Rejection::StepTooLarge,
                    1 => Rejection::CallFailed { round: 1, fault },
                    _ => Rejection::CommitmentMismatch,
                };
                self.log.push(format!("rejected {rejection:?}"));
                self.world.input(victim, Input::Chain(ChainInput::Rejected { call, rejection })).unwrap();
            }
            3 => {
                if let Some(round) = self.world.asked(self.attacker) {
                    let which = self.draw(2);
                    let code = channel::RefusalCode::APPLICATION;
                    self.log.push(format!("answers {round} {which}"));
                    let _late = if which == 0 {
                        self.world.accept(self.attacker, round)
                    } else {
                        self.world.refuse(self.attacker, round, code)
                    };
                }
            }
            6 => {
                let number = self.next_name;
                let by = if self.draw(2) == 0 { victim } else { self.attacker };
                let blocks = 6 + BlockNumber::try_from(self.draw(40)).unwrap();
                self.world.sides[by.peer()].registry.calls = LockedCalls::NONE;
                if number < 60 && self.world.sides[by].channel.is_some() {
                    self.next_name += 1;
                    let offered = self.world.offer(by, number, 3, blocks).is_ok();
                    self.log.push(format!("plain {number} of {by:?} {offered}"));
                }
            }
            7 => {
                for number in 10..self.next_name {
                    if self.world.sides[victim].channel.is_some()
                        && let Some(contract) = self.world.contract_of(victim, number)
                    {
                        let preimage = secret(number).0;
                        let command = if self.draw(2) == 0 {
                            TransferCommand::Claim { contract, preimage }
                        } else {
                            TransferCommand::Fail { contract, reason: FailReason(vec![1]) }
                        };
                        drop(self.world.command(victim, Command::Transfer(command)));
                    }
                }
            }
            8 => {
                self.world.sides[victim].book.takes = if self.draw(2) == 0 { u64::MAX / 64 } else { 0 };
            }
            _ => {}
        }
    }

    fn step(&mut self) {
        let victim = self.attacker.peer();
        let kind = self.draw(30);
        match kind {
            24.. => self.more(),
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
            17 => {
                self.world.crash(victim);
            }
            18 => {
                let number = u8::try_from(self.draw(2)).unwrap() + 1;
                if victim == Responder
                    && self.world.chain.head() < 140
                    && let Some(contract) = self.world.contract_of(Responder, number)
                {
                    let preimage = secret(number).0;
                    let command = TransferCommand::Claim { contract, preimage };
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

    fn step_on_chain(&mut self, kind: u64) {
        let victim = self.attacker.peer();
        match kind {
            12..=14 => {
                let calls = self.calls_of();
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
        self.world.sides[victim].book.missing.clear();
        self.world.fetch_code = true;
        self.world.sides[victim].book.takes = 0;
        self.world.disconnect();
        let talks = self.draw(2) == 0;
        let mut last: Vec<_> = self.deeds.iter().map(|deed| deed_of(&self.world, victim, *deed)).collect();
        let mut late = (0, 0);
        for block in 0..620 {
            if talks {
                self.world.run();
                self.world.consent(self.attacker);
                self.world.run();
            }
            self.world.mine();
            if block == 500 {
                late = (self.world.messages, self.world.sides[victim].events.len());
            }
            for (at, deed) in self.deeds.clone().into_iter().enumerate() {
                last[at] = deed_of(&self.world, victim, deed).or(last[at]);
            }
        }
        self.verdict(talks, &last, late)
    }

    /// What is wrong in the end.
    fn verdict(&self, talks: bool, last: &[Option<(Party, bool)>], late: (usize, usize)) -> Result<(), String> {
        let victim = self.attacker.peer();
        let owner = if victim == Responder { Responder } else { Initiator };
        let side = &self.world.sides[victim];
        let is_over = side.is_over();
        let open = side.machine().contracts().map_or(0, |it| it.transfers());
        let rows = side.machine().incoming_transfers().len();
        let undecided = side.machine().outgoing_transfers().values().filter(|row| !row.is_decided()).count();
        let calls: Vec<_> =
            self.deeds.iter().map(|deed| crate::harness::deeds::calls_of(&self.world, victim, *deed)).collect();
        let status = side.machine().status();
        let is_stale = side.was_noticed(|notice| matches!(notice, channel::Notice::StaleStore { .. })) > 0;
        let deeds_right = if is_over {
            victim == Initiator || calls.iter().all(|calls| *calls >= 2)
        } else {
            last.iter().all(|it| *it == Some((owner, false)))
        };
        let mut wrong = Vec::new();
        if !deeds_right {
            wrong.push("parted".into());
        }
        if !is_over {
            // What the attacker does not fail or claim has expired by now.
            if undecided > 0 {
                wrong.push(format!("open {open} undecided {undecided}"));
            }
            let contracts = side.machine().contracts().unwrap();
            let is_wrong = |row: &&IncomingTransfer| match row.intent {
                Intent::Claim(_) => true,
                Intent::Fail(_) => contracts.get(&row.contract).is_none(),
                Intent::Undecided => contracts.get(&row.contract).is_none(),
            };
            let waits: Vec<_> =
                side.machine().incoming_transfers().values().filter(is_wrong).map(|row| row.intent.clone()).collect();
            if !waits.is_empty() {
                wrong.push(format!("rows {rows} waits {waits:?}"));
            }
            if status.forcing {
                wrong.push("forcing".into());
            }
            if talks
                && status.pending > 0
                && !is_stale
                && !matches!(status.waits_for, Some(channel::WaitReason::PeerReplay | channel::WaitReason::PeerLock))
            {
                wrong.push(format!("pending {} {:?}", status.pending, status.waits_for));
            }
        }
        let growth = (self.world.messages - late.0, side.events.len() - late.1);
        if growth.0 > 600 || growth.1 > 20 {
            wrong.push(format!("growth {growth:?}"));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{wrong:?} talks {talks} over {is_over} open {open} rows {rows} calls {calls:?} last {last:?} stale {is_stale}\n{:?}",
            self.log
        ))
    }
}

/// No deed is parted from its coins, nothing waits for ever, and nothing goes on for ever: with half steps, counter-rounds, plain transfers beside, and apps that take long. (Where code is missing
/// while a channel closes, or the victim uses its own forced steps up, the rules promise less: R8.3g.)
#[test]
fn no_wider_storm_parts_a_deed_from_its_coins() {
    for seed in 0..12 {
        for attacker in Party::BOTH {
            assert_eq!(Storm::new(seed, attacker).play(100), Ok(()), "{seed} {attacker:?}");
        }
    }
}

/// A call that is left is a call that waits, and is forced as the user's own are where `force_after` is set (`take_calls`). What was asked for it is asked for ever (`Wants::asked`: no event that
/// is told of a forced step takes it out), so that the transfer is wanted no more (`insert_unasked`) once the forced steps are undone and it is open again. Right would be that its claim is
/// asked for.
#[test]
fn a_transfer_whose_left_call_was_forced_as_one_that_waits_is_claimed_where_that_is_undone() {
    let [without, with] = [false, true].map(after_a_left_call_that_was_forced);
    let right = (SHARE + AMOUNT - 5, Some((Responder, false)));
    assert_eq!((without, with), (right, right));
}

/// What the payee has in the end, and who has the deed; where `forces`, the payee has forced the call that was left, by its patience with calls that wait.
fn after_a_left_call_that_was_forced(forces: bool) -> (Amount, Option<(Party, bool)>) {
    let mut world = World::new();
    world.sides[Responder].config.force_after = Some(1_000);
    world.sides[Initiator].config.defend = false;
    for party in Party::BOTH {
        world.sides[party].config.force_transfers_after = None;
    }
    world.open();
    world.run();
    world.mine();
    world.run();
    let deed = deeds(&mut world, 1)[0];
    world.offer_with(1, with_deeds(&[deed]), 40);
    let contract = world.contract_of(Responder, 1).unwrap();
    let (state, payload) = kept_state(&world, Initiator);
    let _id = world.pay(Responder, 5).unwrap();
    assert!(world.deliver(Initiator));
    let Message::UpdateAck { .. } = world.steal(Responder) else { panic!("the answer") };
    let (_, paid) = kept_state(&world, Initiator);
    world.claim(Responder, 1).unwrap();
    let claim = forced(contract, 0, &ConditionalInput::Claim(secret(1).0));
    world.force_by_hand(Initiator, &state, payload, vec![claim]);
    world.mine();
    let round = world.sides[Responder].round();
    world.hear(Responder, Message::ForceProgressLocked { round });
    assert!(
        world.wire[Initiator].iter().any(|message| matches!(message, Message::Update(_))),
        "what is left is asked for"
    );
    world.wire = Pair::default();
    if forces {
        world.tick(1);
        world.tick(2_000);
        world.mine();
        assert_eq!(deed_of(&world, Responder, deed), Some((Responder, false)), "it is forced");
    }
    let (channel, payload) = (world.channel_id(), paid.expect("it is signed"));
    world.chain.submit(Initiator, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    world.mine();
    assert_eq!(deed_of(&world, Responder, deed), Some((Initiator, true)), "it is undone");
    world.disconnect();
    for _ in 0..150 {
        world.run();
        world.mine();
    }
    (world.ours(Responder), deed_of(&world, Responder, deed))
}
