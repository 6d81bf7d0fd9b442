//! A peer without a machine, with its key and everything that it was ever told: whatever it does, in whatever order, its victim loses nothing
//! but what it paid itself.

use crate::harness::{
    Initiator, Responder, SHARE, World, account,
    chain::FUNDS,
    forge::{sign, state_body},
};
use channel::{Message, Reestablish, RefusalCode, State, Update};
use proptest::{
    collection::vec,
    prelude::{Strategy, any, prop_oneof, proptest},
    sample::Index,
};
use protocol::{
    Amount, BlockNumber, Pair, Party, Round, Signature,
    call::{Call, CloseMutual, CloseSolo, Deposit, Payload, Slash, SnapshotSolo, Withdraw},
    signing::{CloseMutualBody, DepositBody, WithdrawBody},
};

#[derive(Clone, Debug)]
enum Op {
    // The victim's user.
    Pay(Amount),
    Shutdown(Amount),
    CloseSolo,
    Deposit(Amount),
    Withdraw(Amount),
    // The victim's surroundings.
    Crash,
    BreakLink,
    Mine(BlockNumber),
    // The cheat.
    Read,
    Update {
        above: Round,
        amount: Amount,
    },
    Ack(Index),
    Refuse(Index, RefusalCode),
    OfferClose {
        fee: Amount,
        valid_for: BlockNumber,
    },
    AckClose(Index),
    RefuseClose,
    Reestablish(Index),
    CloseSoloOn(Index),
    SlashWith(Index),
    CloseMutualWith(Index),
    SnapshotWith(Index),
    OperateWith(Index),
    FundingLocked,
    AskDeposit {
        above: Round,
        amount: Amount,
        valid_for: BlockNumber,
    },
    AskWithdraw {
        above: Round,
        amount: Amount,
        valid_for: BlockNumber,
    },
    /// Signs what the victim asked for.
    Agree,
    RefuseOperation(RefusalCode),
    Locked(Round),
}

fn op() -> impl Strategy<Value = Op> {
    use proptest::prelude::Just;
    let index = any::<Index>;
    let code = prop_oneof![Just(RefusalCode::CLOSING), Just(RefusalCode::VALIDATION), Just(RefusalCode::APPLICATION)];
    prop_oneof![
        8 => (1..60_u128).prop_map(Op::Pay),
        1 => (0..3_u128).prop_map(Op::Shutdown),
        1 => Just(Op::CloseSolo),
        1 => Just(Op::Crash),
        2 => Just(Op::BreakLink),
        3 => (1..12_u32).prop_map(Op::Mine),
        10 => Just(Op::Read),
        8 => (1..7_u64, 1..60_u128).prop_map(|(above, amount)| Op::Update { above, amount }),
        5 => index().prop_map(Op::Ack),
        4 => (index(), code).prop_map(|(index, code)| Op::Refuse(index, code)),
        2 => (0..3_u128, 0..12_u32).prop_map(|(fee, valid_for)| Op::OfferClose { fee, valid_for }),
        1 => index().prop_map(Op::AckClose),
        1 => Just(Op::RefuseClose),
        3 => index().prop_map(Op::Reestablish),
        1 => index().prop_map(Op::CloseSoloOn),
        1 => index().prop_map(Op::SlashWith),
        1 => index().prop_map(Op::CloseMutualWith),
        1 => Just(Op::FundingLocked),
        2 => (1..60_u128).prop_map(Op::Deposit),
        2 => (1..60_u128).prop_map(Op::Withdraw),
        2 => index().prop_map(Op::SnapshotWith),
        3 => index().prop_map(Op::OperateWith),
        3 => (1..7_u64, 1..60_u128, 0..12_u32).prop_map(|(above, amount, valid_for)| Op::AskDeposit { above, amount, valid_for }),
        3 => (1..7_u64, 1..60_u128, 0..12_u32).prop_map(|(above, amount, valid_for)| Op::AskWithdraw { above, amount, valid_for }),
        4 => Just(Op::Agree),
        1 => Just(Op::RefuseOperation(RefusalCode::VALIDATION)),
        1 => (1..30_u64).prop_map(Op::Locked),
    ]
}

/// A state that the victim has signed, made whole with the cheat's signature.
#[derive(Clone, Debug)]
struct Kept {
    payload: Payload,
    state: State,
}

/// What a payment pays.
fn amount_of(change: &channel::Change) -> Amount {
    match change {
        channel::Change::Transfer(payment) => payment.amount,
        other => panic!("only payments are made here: {other:?}"),
    }
}

struct Attack {
    world: World,
    victim: Party,
    /// Everything that the victim ever signed.
    states: Vec<Kept>,
    closes: Vec<CloseMutual>,
    /// Own updates without an answer.
    asked: Vec<(Update, State)>,
    /// Operations that both have signed.
    operations: Vec<Call>,
    /// Own questions without an answer.
    deposits_asked: Vec<DepositBody>,
    withdrawals_asked: Vec<WithdrawBody>,
    /// The victim's last question.
    asked_by_victim: Option<Message>,
    /// Own offers to close without an answer.
    offered: Vec<CloseMutualBody>,
    /// Balances that some state has had: what the victim's next proposal may stand on.
    bases: Vec<Pair<Amount>>,
    fees: Amount,
}

impl Attack {
    fn new(victim: Party) -> Self {
        let mut world = World::new();
        // Short, so that closes expire within a run.
        world.sides[victim].config.close_validity = 12;
        world.sides[victim].config.operation_validity = 8;
        world.open();
        world.run();
        world.mine();
        world.run();
        world.sides[victim.peer()].channel = None;
        Self {
            world,
            victim,
            states: Vec::new(),
            closes: Vec::new(),
            asked: Vec::new(),
            operations: Vec::new(),
            deposits_asked: Vec::new(),
            withdrawals_asked: Vec::new(),
            asked_by_victim: None,
            offered: Vec::new(),
            bases: vec![Pair::new(SHARE, SHARE)],
            fees: 0,
        }
    }

    fn cheat(&self) -> Party {
        self.victim.peer()
    }

    fn live(&self) -> bool {
        self.world.sides[self.victim].machine().evidence().is_some()
    }

    fn both(&self, victims: Signature, cheats: Signature) -> Pair<Signature> {
        match self.victim {
            Initiator => Pair::new(victims, cheats),
            Responder => Pair::new(cheats, victims),
        }
    }

    fn keep(&mut self, (round, base): (Round, protocol::Base), state: State, victims: Signature) {
        let body = state_body(round, base, state.hash());
        let cheats = sign(self.cheat(), self.world.channel_id(), &body);
        let signatures = self.both(victims, cheats);
        self.bases.push(state.balances);
        self.states.push(Kept {
            payload: Payload { round, base, state_hash: state.hash(), valid_until: None, signatures },
            state,
        });
    }

    fn keep_close(&mut self, body: CloseMutualBody, victims: Signature) {
        let channel = self.world.channel_id();
        let signatures = self.both(victims, sign(self.cheat(), channel, &body));
        self.closes.push(CloseMutual { channel, body, signatures });
    }

    /// Reads the next word of the victim, and keeps every signature in it.
    fn read(&mut self) {
        let cheat = self.cheat();
        match self.world.wire[cheat].pop_front() {
            Some(Message::Update(update)) => {
                let sum: Amount = update.changes.iter().map(amount_of).sum();
                let after = |base: &Pair<Amount>| {
                    let mut balances = *base;
                    balances[self.victim] = balances[self.victim].checked_sub(sum)?;
                    balances[cheat] += sum;
                    Some(State::of(balances))
                };
                let state = self.bases.iter().filter_map(after).find(|state| state.hash() == update.state_hash);
                self.keep((update.round, update.base), state.expect("every base is known"), update.signature);
            }
            Some(Message::UpdateAck { round, signature }) => {
                let at = self.asked.iter().position(|(update, _)| update.round == round).expect("it was asked for");
                let (update, state) = self.asked.swap_remove(at);
                self.keep((update.round, update.base), state, signature);
            }
            Some(Message::Shutdown(shutdown)) => self.keep_close(shutdown.body, shutdown.signature),
            Some(Message::ShutdownAck { valid_until, signature }) => {
                let offer = self.offered.iter().rfind(|body| body.valid_until == valid_until);
                if let Some(body) = offer.cloned() {
                    self.keep_close(body, signature);
                }
            }
            Some(Message::DepositSigned { round, signature }) => {
                if let Some(body) = self.deposits_asked.iter().rfind(|body| body.round == round).cloned() {
                    let channel = self.world.channel_id();
                    let signatures = self.both(signature, sign(cheat, channel, &body));
                    self.operations.push(Call::ChannelDeposit(Deposit { channel, body, signatures }));
                }
            }
            Some(Message::WithdrawSigned { round, signature }) => {
                if let Some(body) = self.withdrawals_asked.iter().rfind(|body| body.round == round).cloned() {
                    let channel = self.world.channel_id();
                    let signatures = self.both(signature, sign(cheat, channel, &body));
                    self.operations.push(Call::ChannelWithdraw(Withdraw { channel, body, signatures }));
                }
            }
            Some(asked @ (Message::DepositCreated(_) | Message::WithdrawCreated(_))) => {
                self.asked_by_victim = Some(asked);
            }
            _ => {}
        }
    }

    /// The next round of the cheat's own that lies `above` what is agreed, and what is agreed.
    fn next(&self, above: Round) -> (Round, Pair<Amount>) {
        let round = self.world.sides[self.victim].round() + above;
        let round = if Party::owner_of(round) == self.cheat() { round } else { round + 1 };
        (round, self.world.agreed(self.victim))
    }

    fn kept(&self, index: &Index) -> Option<Kept> {
        (!self.states.is_empty()).then(|| index.get(&self.states).clone())
    }

    fn say(&mut self, message: Message) {
        let victim = self.victim;
        self.world.hear(victim, message);
    }

    fn step(&mut self, op: Op) {
        self.do_step(op);
        if self.live() {
            let agreed = self.world.agreed(self.victim);
            if self.bases.last() != Some(&agreed) {
                self.bases.push(agreed);
            }
        }
    }

    fn do_step(&mut self, op: Op) {
        let (victim, cheat) = (self.victim, self.cheat());
        if self.world.sides[victim].is_over() {
            return;
        }
        match op {
            Op::Pay(amount) => drop(self.world.pay(victim, amount)),
            Op::Shutdown(fee) => {
                if self.world.shutdown(victim, fee).is_ok() {
                    self.fees += fee;
                }
            }
            Op::CloseSolo => drop(self.world.close_solo(victim)),
            Op::Crash => {
                self.read_all();
                self.world.crash(victim);
                self.world.connect();
                self.in_step();
            }
            Op::BreakLink => {
                self.read_all();
                self.world.disconnect();
                self.world.connect();
                self.in_step();
            }
            Op::Mine(blocks) => self.world.mine_blocks(blocks),
            Op::Read => self.read(),
            Op::Update { above, amount } if self.live() => {
                let agreed = self.world.agreed(victim);
                let round = self.world.sides[victim].round() + above;
                let round = if Party::owner_of(round) == cheat { round } else { round + 1 };
                if agreed[cheat] > amount + 10 {
                    let update = self.world.forge_update(cheat, round, &[amount]);
                    let mut balances = agreed;
                    balances[cheat] -= amount;
                    balances[victim] += amount;
                    self.asked.retain(|(earlier, _)| earlier.round != round);
                    self.asked.push((update.clone(), State::of(balances)));
                    self.say(Message::Update(update));
                }
            }
            Op::Ack(index) => {
                if let Some(kept) = self.kept(&index) {
                    let (round, signature) = (kept.payload.round, kept.payload.signatures[cheat]);
                    self.say(Message::UpdateAck { round, signature });
                }
            }
            Op::Refuse(index, code) => {
                if let Some(kept) = self.kept(&index) {
                    self.say(Message::UpdateError { round: kept.payload.round, code });
                }
            }
            Op::OfferClose { fee, valid_for } if self.live() => {
                if self.world.agreed(victim)[cheat] >= fee {
                    let shutdown = self.world.forge_shutdown(cheat, fee, self.world.chain.head() + valid_for);
                    self.offered.push(shutdown.body.clone());
                    self.say(Message::Shutdown(shutdown));
                }
            }
            Op::AckClose(index) => {
                if !self.closes.is_empty() {
                    let close = index.get(&self.closes).clone();
                    let (valid_until, signature) = (close.body.valid_until, close.signatures[cheat]);
                    self.say(Message::ShutdownAck { valid_until, signature });
                }
            }
            Op::RefuseClose => self.say(Message::ShutdownError { code: RefusalCode::VALIDATION }),
            Op::Reestablish(index) => {
                if let Some(Kept { payload, state }) = self.kept(&index) {
                    let signatures = Some(payload.signatures);
                    self.say(Message::Reestablish(Reestablish {
                        at: protocol::Base::of(payload.round),
                        base: payload.base,
                        state: state.commitment(),
                        signatures,
                    }));
                }
            }
            Op::CloseSoloOn(index) => {
                if let Some(Kept { payload, state }) = self.kept(&index) {
                    let (channel, commitment) = (self.world.channel_id(), state.commitment());
                    let close = CloseSolo { channel, payload: Some(payload), commitment };
                    self.world.chain.submit(cheat, Call::ChannelCloseSolo(close));
                }
            }
            Op::SlashWith(index) => {
                if let Some(Kept { payload, state }) = self.kept(&index) {
                    let (channel, commitment) = (self.world.channel_id(), state.commitment());
                    self.world.chain.submit(cheat, Call::ChannelSlash(Slash { channel, payload, commitment }));
                }
            }
            Op::CloseMutualWith(index) => {
                if !self.closes.is_empty() {
                    let close = index.get(&self.closes).clone();
                    self.world.chain.submit(cheat, Call::ChannelCloseMutual(close));
                }
            }
            Op::FundingLocked => self.say(Message::FundingLocked),
            Op::Deposit(amount) => drop(self.world.deposit(victim, amount)),
            Op::Withdraw(amount) => drop(self.world.withdraw(victim, amount)),
            Op::SnapshotWith(index) => {
                if let Some(Kept { payload, .. }) = self.kept(&index) {
                    let channel = self.world.channel_id();
                    self.world.chain.submit(cheat, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
                }
            }
            Op::OperateWith(index) => {
                if !self.operations.is_empty() {
                    self.world.chain.submit(cheat, index.get(&self.operations).clone());
                }
            }
            Op::AskDeposit { above, amount, valid_for } if self.live() => {
                let (round, mut balances) = self.next(above);
                balances[cheat] += amount;
                let (state_hash, valid_until) = (State::of(balances).hash(), self.world.chain.head() + valid_for);
                let base = self.world.base(victim);
                let body = DepositBody { party: cheat, amount, round, base, state_hash, valid_until };
                self.deposits_asked.push(body.clone());
                self.say(Message::DepositCreated(body));
            }
            Op::AskWithdraw { above, amount, valid_for } if self.live() => {
                let (round, mut balances) = self.next(above);
                if let Some(left) = balances[cheat].checked_sub(amount) {
                    balances[cheat] = left;
                    let (state_hash, valid_until) = (State::of(balances).hash(), self.world.chain.head() + valid_for);
                    let (base, to) = (self.world.base(victim), account(cheat));
                    let body = WithdrawBody { party: cheat, amount, to, round, base, state_hash, valid_until };
                    self.withdrawals_asked.push(body.clone());
                    self.say(Message::WithdrawCreated(body));
                }
            }
            Op::Agree => {
                let channel = self.world.channel_id();
                match self.asked_by_victim.clone() {
                    Some(Message::DepositCreated(body)) => {
                        let signature = sign(cheat, channel, &body);
                        self.say(Message::DepositSigned { round: body.round, signature });
                    }
                    Some(Message::WithdrawCreated(body)) => {
                        let signature = sign(cheat, channel, &body);
                        self.say(Message::WithdrawSigned { round: body.round, signature });
                    }
                    _ => {}
                }
            }
            Op::RefuseOperation(code) => match self.asked_by_victim.clone() {
                Some(Message::DepositCreated(body)) => self.say(Message::DepositError { round: body.round, code }),
                Some(Message::WithdrawCreated(body)) => self.say(Message::WithdrawError { round: body.round, code }),
                _ => {}
            },
            Op::Locked(round) => self.say(Message::DepositLocked { round }),
            Op::Update { .. } | Op::OfferClose { .. } | Op::AskDeposit { .. } | Op::AskWithdraw { .. } => {}
        }
    }

    /// The cheat claims to know nothing newer: the victim goes on.
    fn in_step(&mut self) {
        if self.live() {
            let balances = Pair::new(SHARE, SHARE);
            self.say(Message::Reestablish(Reestablish {
                at: protocol::Base::of(1),
                base: protocol::Base::default(),
                state: State::of(balances).commitment(),
                signatures: None,
            }));
        }
    }

    fn read_all(&mut self) {
        while !self.world.wire[self.cheat()].is_empty() {
            self.read();
        }
    }

    /// The victim goes home, and counts its coins.
    fn end(mut self) {
        let victim = self.victim;
        if !self.world.sides[victim].is_over() {
            drop(self.world.close_solo(victim));
        }
        self.world.mine_blocks(100);
        assert!(self.world.sides[victim].is_over() && self.world.chain.is_closed());
        let side = &self.world.sides[victim];
        let (_, received) = side.turnover();
        let made: Amount = side.sent.values().map(|(payment, _)| payment.amount).sum();
        let vanished: Amount = side.vanished.iter().map(|payment| payment.amount).sum();
        let least = FUNDS + received - made - vanished - self.fees;
        let wealth = self.world.chain.wealth(victim);
        assert!(wealth >= least, "{victim:?} got {received}, made {made}, and has {wealth}, less than {least}");
    }
}

fn attack(victim: Party, ops: Vec<Op>) {
    let mut attack = Attack::new(victim);
    ops.into_iter().for_each(|op| attack.step(op));
    attack.end();
}

proptest! {
    #![proptest_config(crate::property::config())]

    #[test]
    fn a_peer_that_does_anything_takes_nothing_from_the_initiator(ops in vec(op(), 1..120)) {
        attack(Initiator, ops);
    }

    #[test]
    fn a_peer_that_does_anything_takes_nothing_from_the_responder(ops in vec(op(), 1..120)) {
        attack(Responder, ops);
    }
}

#[test]
fn the_cheat_of_these_tests_can_close_and_be_slashed() {
    // So that the tests above are known to reach the chain.
    let mut attack = Attack::new(Responder);
    attack.step(Op::Update { above: 2, amount: 30 });
    attack.read_all();
    attack.step(Op::Update { above: 2, amount: 30 });
    attack.read_all();
    assert_eq!(attack.states.len(), 2);
    attack.world.chain.submit(Initiator, {
        let Kept { payload, state } = attack.states[0].clone();
        let channel = attack.world.channel_id();
        Call::ChannelCloseSolo(CloseSolo { channel, payload: Some(payload), commitment: state.commitment() })
    });
    attack.world.mine_blocks(2);
    assert!(attack.world.chain.times_asked(Responder, "channel_slash") > 0);
    attack.end();
}
