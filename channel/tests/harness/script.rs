//! A string of bytes as a story: what users, links, stores, crashes and a cheat's hand do, and what must be true of every such story.
//!
//! The suite's property tests tell such stories, and so can any fuzzer that includes this folder by its path.
//!
//! Each operation is a byte and, for some, one or two more; any string means something. In the end everything is allowed to finish. Then coins
//! are conserved, each payment has counted exactly once, no honest party has less than its last co-signed state gives it, and both sides
//! are idle and agree, or the channel is closed.

mod transfers;

use super::{
    Initiator, Responder, World, apps,
    apps::Tokens,
    contracts::{counter, escrow, puppet},
    reckoning::harmless,
};
use channel::{
    Acceptance, Change, Channel, Command, Config, Event, EventNumber, Input, Notice, Payment, RefusalCode, State,
    Timeouts,
};
use protocol::{
    AccountId, Amount, BlockNumber, Pair, Party,
    call::{Call, CloseSolo, ForcedCall, Payload, SnapshotSolo},
    contracts::{Code, ContractId},
};
use scale::Encode;

/// How many blocks a message may be on its way before its link is taken for dead, and a write before the store is quick again.
const PATIENCE: BlockNumber = 5;
/// Calls that the chain can be made to lose.
const CENSORED: [&str; 4] = ["channel_close_mutual", "channel_deposit", "channel_withdraw", "channel_set_delegates"];

/// The bits of the first byte that set a scene with contracts.
pub(crate) const CONTRACTS: u8 = 24;
/// Those that set one with conditional transfers.
pub(crate) const TRANSFERS: u8 = 224;

/// Reads operations off a string of bytes.
struct Bytes<'a>(std::slice::Iter<'a, u8>);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn below(&mut self, bound: u8) -> usize {
        usize::from(self.next() % bound)
    }

    fn blocks(&mut self, bound: u8) -> BlockNumber {
        BlockNumber::from(self.next() % bound)
    }

    fn amount(&mut self, unit: Amount) -> Amount {
        Amount::from(self.next()) * unit
    }
}

struct Story {
    world: World,
    /// What a party may put on chain later, when it is old.
    kept: Option<(Party, Call)>,
    /// The state that goes with it, to force calls on it.
    kept_state: Option<(State, Option<Payload>)>,
    /// Whether there are contracts.
    contracts: bool,
    /// Whether there are conditional transfers, and how many were asked for.
    transfers: bool,
    offered: u8,
    cheat: Option<Party>,
    /// For how many blocks something has been on its way.
    silent: BlockNumber,
}

/// Plays the story that `bytes` tell, lets it finish, and checks its end.
///
/// # Panics
/// Where something that must be true is not.
pub(crate) fn play(bytes: &[u8]) {
    let mut bytes = Bytes(bytes.iter());
    let mut story = Story::new(bytes.next());
    while !bytes.0.as_slice().is_empty() {
        story.step(&mut bytes);
    }
    story.finish();
    story.check();
}

impl Story {
    /// The first byte sets the scene: who decides by its user, whether the channel is open already, whether there are contracts or
    /// transfers, and who forces calls that wait.
    fn new(scene: u8) -> Self {
        let mut world = World::new();
        let timeouts = Timeouts { opening: 50, answer: 50, review: 60, leave: 50, ..Timeouts::default() };
        for (party, bit) in [(Initiator, 1), (Responder, 2)] {
            let acceptance = if scene & bit == 0 { Acceptance::Automatic } else { Acceptance::Manual };
            // Short, so that what is signed expires within a story.
            let force_after = (scene & CONTRACTS == CONTRACTS && scene & (bit << 5) != 0).then_some(40);
            let (close_validity, operation_validity) = (14, 9);
            let config = Config { close_validity, operation_validity, timeouts, acceptance, ..Config::default() };
            world.sides[party].config = Config { force_after, ..config };
        }
        world.open();
        if scene & 4 == 0 {
            world.run();
            world.mine();
            world.run();
        }
        let (contracts, transfers) = (scene & CONTRACTS == CONTRACTS, scene & TRANSFERS == TRANSFERS);
        Self { world, kept: None, kept_state: None, contracts, transfers, offered: 0, cheat: None, silent: 0 }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let byte = bytes.next();
        let party = if byte & 1 == 0 { Initiator } else { Responder };
        let world = &mut self.world;
        // What is not possible now is refused, and nothing else. More of what happens daily.
        match byte >> 1 {
            0..=23 if self.transfers || (self.contracts && byte < 32) => self.step_within(byte >> 1, party, bytes),
            0..=27 => {
                let amount = bytes.amount(1);
                drop(world.pay(party, amount));
            }
            28..=59 => drop(world.deliver(party)),
            60..=65 => world.deliver_all(),
            66..=69 => world.disconnect(),
            70..=75 if !world.linked => world.connect(),
            70..=75 => {}
            76..=77 => world.crash(party),
            78..=80 => {
                let (commit, effects, both) = (bytes.below(4), bytes.below(4), byte & 2 == 0);
                world.plan_crash(party, commit, effects, both);
            }
            81..=82 => world.sides[party].slow = true,
            83..=85 => drop(world.release(party)),
            86 => world.hurry(party),
            87..=88 => {
                let writes = bytes.below(4);
                world.kill_after_writes(party, writes);
                world.restart(party);
            }
            89..=91 => {
                let amount = bytes.amount(3);
                drop(world.deposit(party, amount));
            }
            92..=94 => {
                let amount = bytes.amount(2);
                drop(world.withdraw(party, amount));
            }
            95 => {
                let delegates = vec![AccountId([bytes.next(); 32])];
                drop(world.command(
                    party,
                    Command::SetDelegates {
                        delegates: delegates.into_iter().map(protocol::terms::Delegate::defender).collect(),
                    },
                ));
            }
            96..=101 => self.mine(1),
            102..=103 => {
                let blocks = bytes.blocks(16);
                self.mine(blocks);
            }
            104 => world.lag[party] = bytes.blocks(5),
            105..=106 => world.tick(20),
            107..=110 => {
                let how = bytes.next();
                self.decide(party, how);
            }
            111 => drop(world.command(party, Command::Leave)),
            112..=113 => drop(world.command(party, Command::Rejoin)),
            114 => drop(world.command(party, Command::SendMessage(vec![byte]))),
            115 => {
                let fee = bytes.amount(1) % 5;
                drop(world.shutdown(party, fee));
            }
            116 => {
                let name = CENSORED[bytes.below(4)];
                if !world.chain.censored.remove(name) {
                    let _new = world.chain.censored.insert(name);
                }
            }
            117 => world.sides[party].takes_events = !world.sides[party].takes_events,
            118 => self.snapshot(party),
            119..=120 => self.remember(party),
            121 => self.post(party),
            122 => drop(world.close_solo(party)),
            123 => world.chain.drop_pool(),
            _ => {
                // All that it has.
                if let Some(balances) = world.sides[party].channel.as_ref().and_then(Channel::balances) {
                    drop(world.pay(party, balances.spendable));
                }
            }
        }
    }

    fn step_of_contracts(&mut self, party: Party, bytes: &mut Bytes<'_>) {
        let kind = bytes.next();
        match kind {
            0..=19 => drop(self.world.make_one(party, counter(coins(bytes), u64::from(bytes.next() % 12)))),
            20..=39 => drop(self.world.make_one(party, escrow(self.world.chain.head() + bytes.blocks(40)))),
            40..=49 => drop(self.world.make_one(party, puppet(coins(bytes)))),
            50..=149 => {
                let changes: Vec<_> = (0..=bytes.below(3)).filter_map(|_| self.change(party, bytes)).collect();
                drop(self.world.make(party, changes));
            }
            150..=169 => {
                if let Some(contract) = self.contract(party, bytes) {
                    let holds = self.world.sides[party].machine().contract(&contract).map_or(0, |it| it.balance);
                    let ours = holds * Amount::from(bytes.next()) / 255;
                    let shares = Pair::new(ours, holds - ours);
                    drop(self.world.make_one(party, Change::RemoveContract { contract, shares }));
                }
            }
            170..=179 => {
                if let Some(contract) = self.contract(party, bytes) {
                    let code = [apps::COUNTER.code, apps::PUPPET.code][bytes.below(2)];
                    let state = (bytes.below(2) == 0).then(|| (0_u64, 9_u64).encode());
                    let change = Change::UpgradeContract { contract, code: Code::Contract(code), state };
                    drop(self.world.make_one(party, change));
                }
            }
            180..=184 => drop(self.world.make_one(party, Change::Meta(vec![kind]))),
            185..=224 => {
                let calls: Vec<_> = (0..=bytes.below(2)).filter_map(|_| self.forced_call(party, bytes)).collect();
                drop(self.world.force(party, calls));
            }
            225..=234 => {
                let code = [apps::COUNTER.code, apps::PUPPET.code][bytes.below(2)];
                let missing = &mut self.world.sides[party].book.missing;
                if !missing.remove(&code) {
                    let _new = missing.insert(code);
                }
            }
            235..=239 => self.world.fetch_code = !self.world.fetch_code,
            240..=249 => self.force_by_hand(party, bytes),
            _ => self.world.tick(40),
        }
    }

    /// A contract that the party knows.
    fn contract(&self, party: Party, bytes: &mut Bytes<'_>) -> Option<ContractId> {
        let contracts = self.world.sides[party].channel.as_ref()?.contracts()?;
        let mut ids: Vec<_> = contracts.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.get(usize::from(bytes.next()) % ids.len().max(1)).copied()
    }

    /// A call that makes sense, as a rule; or a payment.
    fn change(&self, party: Party, bytes: &mut Bytes<'_>) -> Option<Change> {
        if bytes.below(4) == 0 {
            return Some(Change::Transfer(Payment { amount: 1 + bytes.amount(1), reference: vec![bytes.next()] }));
        }
        let ForcedCall { contract, value, input } = self.forced_call(party, bytes)?;
        Some(Change::CallContract { contract, value, input })
    }

    fn forced_call(&self, party: Party, bytes: &mut Bytes<'_>) -> Option<ForcedCall> {
        let contract = self.contract(party, bytes)?;
        let known = self.world.sides[party].machine().contract(&contract)?;
        let some = bytes.amount(1) % 30;
        let (value, input) = match known.code {
            Code::Contract(code) if code == apps::COUNTER.code => (some, u64::from(bytes.next() % 4).encode()),
            Code::Contract(code) if code == apps::ESCROW.code => match bytes.below(3) {
                0 => (some, Tokens::Issue.encode()),
                1 => (0, Tokens::Move(some / 2).encode()),
                _ => (0, Tokens::Redeem(some / 2).encode()),
            },
            _ => {
                let payouts = [0, 1].map(|_| known.balance * Amount::from(bytes.next()) / 600);
                (some, super::contracts::pays(payouts[0], payouts[1]).encode())
            }
        };
        Some(ForcedCall { contract, value, input })
    }

    /// Calls on the state that was kept, or on the latest, by another hand than the machine's.
    fn force_by_hand(&mut self, party: Party, bytes: &mut Bytes<'_>) {
        let kept = self.kept.as_ref().filter(|(kept, _)| *kept == party).and(self.kept_state.clone());
        let latest = || {
            let machine = self.world.sides[party].load()?;
            Some((machine.state()?.clone(), machine.evidence()?.payload))
        };
        let is_old = kept.is_some();
        let Some((state, payload)) = kept.or_else(latest) else { return };
        let Some(call) = self.forced_call(party, bytes) else { return };
        if is_old && self.cheat.is_some_and(|known| known != party) {
            return;
        }
        if let Some(step) = self.world.try_forced_step(party, &state, payload, vec![call]) {
            if is_old {
                self.cheat = Some(party);
            }
            self.world.chain.submit(party, Call::ChannelForceProgress(step));
        }
    }

    fn mine(&mut self, blocks: BlockNumber) {
        let world = &mut self.world;
        for _ in 0..blocks {
            world.mine();
            let waits = !world.wire.initiator.is_empty() || !world.wire.responder.is_empty();
            self.silent = if waits { self.silent + 1 } else { 0 };
            if self.silent > PATIENCE {
                // A peer that does not answer is taken for dead.
                world.disconnect();
            }
            for party in Party::BOTH {
                // A store that is slower than the lock period loses the coins: so slow it is not.
                let waits_since = world.sides[party].held.front().map(|held| held.seen);
                if waits_since.is_some_and(|since| since + PATIENCE < world.chain.head()) {
                    world.hurry(party);
                }
            }
        }
    }

    /// The user decides on the last round it was shown, or says nothing.
    fn decide(&mut self, party: Party, how: u8) {
        let shown = self.world.sides[party].noticed.iter().rev().find_map(|notice| match notice {
            Notice::Proposed { proposal, .. } => Some(proposal.round),
            _ => None,
        });
        let Some(round) = shown else { return };
        let decided = match how {
            0..=99 => self.world.accept(party, round),
            100..=199 => self.world.refuse(party, round, RefusalCode(RefusalCode::APPLICATION.0 + u16::from(how))),
            _ => return,
        };
        drop(decided);
    }

    /// The party's latest state is kept, to be put on chain when it is old.
    fn remember(&mut self, party: Party) {
        self.kept = self.evidence(party).map(|evidence| (party, Call::ChannelCloseSolo(evidence)));
        let machine = self.world.sides[party].load();
        self.kept_state = machine.and_then(|it| Some((it.state()?.clone(), it.evidence()?.payload)));
    }

    /// The latest agreed state that the party's store knows of: nothing else has left the process.
    fn evidence(&self, party: Party) -> Option<CloseSolo> {
        self.world.sides[party].load()?.evidence()
    }

    /// What was kept goes on chain, by another hand than the machine's.
    fn post(&mut self, party: Party) {
        if let Some((cheat, call)) = self.kept.take_if(|(kept, _)| *kept == party)
            && self.cheat.is_none_or(|known| known == cheat)
        {
            self.world.chain.submit(cheat, call);
            self.cheat = Some(cheat);
        }
    }

    /// A delegate puts the latest agreed state on chain, as it may at any time.
    fn snapshot(&mut self, party: Party) {
        if let Some((channel, payload)) = self.evidence(party).and_then(|it| Some((it.channel, it.payload?))) {
            self.world.chain.submit(party, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
        }
    }

    /// Everything that is under way comes to its end.
    fn finish(&mut self) {
        let world = &mut self.world;
        world.crash_plan = None;
        world.chain.censored.clear();
        world.lag = Pair::default();
        world.fetch_code = true;
        for party in Party::BOTH {
            world.sides[party].book.missing.clear();
            world.sides[party].takes_events = true;
            world.hurry(party);
            let up_to = EventNumber(u64::MAX);
            world.input(party, Input::EventsAcked { up_to }).unwrap();
        }
        world.tick(1_000);
        for _ in 0..60 {
            let world = &mut self.world;
            world.run();
            for party in Party::BOTH {
                drop(world.command(party, Command::Rejoin));
            }
            for party in Party::BOTH {
                self.decide(party, 0);
            }
            self.world.run();
            self.world.mine();
        }
        self.world.run();
    }

    fn check(&mut self) {
        let states = self.world.states();
        if states == ("open", "open") {
            self.check_transfers();
            self.check_open();
        } else {
            let residual = Party::BOTH.into_iter().all(|party| self.world.is_residual(party));
            let over = Party::BOTH.into_iter().all(|party| self.world.sides[party].is_over());
            assert!(over || residual, "{states:?} in the end");
            assert!(self.world.chain.is_closed() || (residual && !over), "the channel has ended, and is on chain");
            self.world.assert_reckoned(self.cheat);
        }
        for party in Party::BOTH {
            let side = &self.world.sides[party];
            for notice in side.notices() {
                // An app may be missing for a while.
                let passes = self.contracts && passes(notice);
                assert!(harmless(notice) || passes, "{party:?} was told {notice:?}");
            }
            let contracts = self.contracts;
            let user_decides = self.world.sides[party.peer()].config.acceptance == Acceptance::Manual;
            for event in &side.events {
                assert!(expected(event, user_decides, contracts), "{party:?} was told {event:?}");
            }
        }
    }

    /// Both agree, and the channel still works.
    fn check_open(&mut self) {
        self.world.assert_agreed();
        for party in Party::BOTH {
            if self.world.sides[party].balances().spendable > 0 {
                drop(self.world.pay(party, 1));
                self.world.run();
                self.decide(party.peer(), 0);
                self.world.run();
                self.world.assert_agreed();
            }
            drop(self.world.deposit(party, 1));
            for _ in 0..3 {
                self.world.run();
                self.world.mine();
            }
            self.world.run();
            self.world.assert_agreed();
        }
    }
}

/// Only users refuse rounds; operations fail only because of the chain.
fn expected(event: &Event, user_decides: bool, contracts: bool) -> bool {
    match event {
        // Users are asked about contracts, apps may be missing, and what waits before a forced call is given up.
        Event::Refused { code, .. } if contracts => {
            let known = [RefusalCode::TIMEOUT, RefusalCode::CODE_UNKNOWN];
            code.0 >= RefusalCode::APPLICATION.0 || known.contains(code)
        }
        Event::Refused { code, .. } => {
            user_decides && (code.0 >= RefusalCode::APPLICATION.0 || *code == RefusalCode::TIMEOUT)
        }
        Event::OperationFailed { code, .. } => *code == RefusalCode::TIMEOUT || *code == RefusalCode::CLOSING,
        _ => true,
    }
}

/// Coins of one party or of both.
fn coins(bytes: &mut Bytes<'_>) -> Pair<Amount> {
    let which = bytes.below(4);
    let some = bytes.amount(1) / 3;
    match which {
        0 => Pair::default(),
        1 => Pair::new(some, 0),
        2 => Pair::new(0, some),
        _ => Pair::new(some, some / 2),
    }
}

/// Whether a notice is about an app that is not here, or about a height.
fn passes(notice: &Notice) -> bool {
    match notice {
        Notice::PendingReplay { .. } => true,
        // What was on its way for many blocks names an old height, and is made again.
        Notice::PeerViolated(violation) => [RefusalCode::CODE_UNKNOWN, RefusalCode::HEIGHT].contains(&violation.code()),
        _ => false,
    }
}
