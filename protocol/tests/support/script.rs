//! Random lives of channels: sequences of calls by the two parties, a delegate and a stranger, most of them sensible, some of them
//! not. The rules in memory are tested with them, and the real contract is compared with the rules by the very same ones.

mod forced;

pub use forced::{App, Apps, State};

// One path a line: this file belongs to crates of two editions, whose formatters sort longer lists differently.
use proptest::prelude::*;
use protocol::arbiter::Ledger;
use protocol::call::{
    Call, CloseMutual, CloseSolo, Create, Deposit, Payload, SetDelegates, Slash, SnapshotSolo, Withdraw,
};
use protocol::crypto::{Native, SigningKey};
use protocol::signing::Signed;
use protocol::signing::{CloseMutualBody, CreateBody, DepositBody, Domain, SetDelegatesBody, StateBody, WithdrawBody};
use protocol::terms::channel_id;
use protocol::terms::{CallWeight, Destination, Limits, PartyTerms, Terms};
use protocol::{AccountId, Amount, BlockNumber, ChannelId, Hash, Pair, Party, Round, Signature, StateCommitment};
use std::collections::BTreeMap;

/// All amounts are made of this, so that every balance is far above what an account must hold.
pub const UNIT: Amount = 1_000_000_000_000;
/// The arbiter that scripts are written for: short locks, so that many of them run out.
pub const LIMITS: Limits = Limits {
    lock_period_min: 10,
    lock_period_max: 100,
    validity_max: 50,
    max_forced_max: 4,
    call_weight: CallWeight::STANDARD,
};
const LOCK_PERIOD: BlockNumber = 10;
const RESERVE: Amount = 2 * UNIT;

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Initiator,
    Responder,
    Delegate,
    Stranger,
}

impl Who {
    pub const ALL: [Self; 4] = [Self::Initiator, Self::Responder, Self::Delegate, Self::Stranger];
}

/// What to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Wait,
    VaultDeposit,
    VaultWithdraw,
    Create,
    Deposit,
    Withdraw,
    Snapshot,
    SetDelegates,
    CloseSolo,
    CloseSoloOnChain,
    Slash,
    Settle,
    CloseMutual,
    Force,
    ForceOnChain,
    ShowPreimage,
}

impl Action {
    #[allow(dead_code, reason = "of interest to whoever makes steps of bytes")]
    pub const ALL: [Self; 16] = [
        Self::Wait,
        Self::VaultDeposit,
        Self::VaultWithdraw,
        Self::Create,
        Self::Deposit,
        Self::Withdraw,
        Self::Snapshot,
        Self::SetDelegates,
        Self::CloseSolo,
        Self::CloseSoloOnChain,
        Self::Slash,
        Self::Settle,
        Self::CloseMutual,
        Self::Force,
        Self::ForceOnChain,
        Self::ShowPreimage,
    ];
}

/// What is wrong with it; mostly nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    SignaturesSwapped,
    SignedByOne,
    SignedForAnotherChannel,
    Expired,
    ValidTooLong,
    SumOneOff,
    CommitmentOfOthers,
    OthersCalls,
    NoCalls,
    ManyCalls,
    LongInput,
    ExpectsOtherState,
    NotShown,
    NotAsShown,
    AppElsewhere,
    ProofTooShort,
    ProofTooLong,
    ProofOfOthers,
    ProofHides,
}

impl Flaw {
    #[allow(dead_code, reason = "of interest to whoever makes steps of bytes")]
    pub const ALL: [Self; 20] = [
        Self::None,
        Self::SignaturesSwapped,
        Self::SignedByOne,
        Self::SignedForAnotherChannel,
        Self::Expired,
        Self::ValidTooLong,
        Self::SumOneOff,
        Self::CommitmentOfOthers,
        Self::OthersCalls,
        Self::NoCalls,
        Self::ManyCalls,
        Self::LongInput,
        Self::ExpectsOtherState,
        Self::NotShown,
        Self::NotAsShown,
        Self::AppElsewhere,
        Self::ProofTooShort,
        Self::ProofTooLong,
        Self::ProofOfOthers,
        Self::ProofHides,
    ];
}

/// One step of a script. Numbers are small: they are scaled to what the channel is like when the step comes.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub action: Action,
    pub who: Who,
    pub flaw: Flaw,
    /// Which of the channels so far.
    pub channel: u8,
    /// Which round, counted from two before the one on chain.
    pub round: u8,
    /// Sixteenths of the total for the initiator.
    pub split: u8,
    /// Sixteenths of the total that contracts inside the channel hold.
    pub rest: u8,
    /// Units, or blocks.
    pub amount: u8,
    pub party: Party,
}

/// Any step. Every action comes often enough to succeed in some scripts and to be refused in others.
pub fn step() -> impl Strategy<Value = Step> {
    let action = prop_oneof![
        4 => Just(Action::Wait),
        3 => Just(Action::VaultDeposit),
        2 => Just(Action::VaultWithdraw),
        6 => Just(Action::Create),
        3 => Just(Action::Deposit),
        3 => Just(Action::Withdraw),
        2 => Just(Action::Snapshot),
        2 => Just(Action::SetDelegates),
        4 => Just(Action::CloseSolo),
        2 => Just(Action::CloseSoloOnChain),
        5 => Just(Action::Slash),
        5 => Just(Action::Settle),
        2 => Just(Action::CloseMutual),
        5 => Just(Action::Force),
        8 => Just(Action::ForceOnChain),
        1 => Just(Action::ShowPreimage),
    ];
    let flaw = prop_oneof![
        40 => Just(Flaw::None),
        14 => prop::sample::select(vec![
            Flaw::SignaturesSwapped,
            Flaw::SignedByOne,
            Flaw::SignedForAnotherChannel,
            Flaw::Expired,
            Flaw::ValidTooLong,
            Flaw::SumOneOff,
            Flaw::CommitmentOfOthers,
        ]),
        9 => prop::sample::select(vec![
            Flaw::OthersCalls,
            Flaw::NoCalls,
            Flaw::ManyCalls,
            Flaw::LongInput,
            Flaw::ExpectsOtherState,
            Flaw::NotShown,
            Flaw::NotAsShown,
            Flaw::AppElsewhere,
            Flaw::ProofTooShort,
            Flaw::ProofTooLong,
            Flaw::ProofOfOthers,
            Flaw::ProofHides,
        ]),
    ];
    let who = prop_oneof![4 => Just(Who::Initiator), 4 => Just(Who::Responder), 2 => Just(Who::Delegate), 1 => Just(Who::Stranger)];
    let party = prop_oneof![Just(Party::Initiator), Just(Party::Responder)];
    let numbers = (0u8..8, prop_oneof![1 => 0u8..3, 3 => 3u8..8], 0u8..=16, prop_oneof![Just(0u8), 0u8..4], 0u8..16);
    (action, who, flaw, numbers, party).prop_map(|(action, who, flaw, (channel, round, split, rest, amount), party)| {
        Step { action, who, flaw, channel, round, split, rest, amount, party }
    })
}

/// What a step comes to.
#[derive(Clone, Debug)]
pub enum Turn {
    /// So many blocks pass.
    Wait(BlockNumber),
    /// Somebody calls, with coins attached.
    Call(Who, Box<Call>, Amount),
}

/// The parties, with all that they remember.
pub struct Script {
    domain: Domain,
    accounts: [AccountId; 4],
    keys: Pair<SigningKey>,
    /// Every channel that was ever tried to be opened, oldest first.
    channels: Vec<ChannelId>,
    /// What each state's hash commits to.
    states: BTreeMap<Hash, State>,
    fresh: Vec<State>,
    apps: Apps,
}

impl Script {
    /// A script for an arbiter, played by these accounts (in the order of [`Who::ALL`]).
    pub fn new(domain: Domain, accounts: [AccountId; 4], apps: Apps) -> Self {
        let keys = Pair::new(SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        Self { domain, accounts, keys, channels: Vec::new(), states: BTreeMap::new(), fresh: Vec::new(), apps }
    }

    /// The states that were made since this was last asked.
    #[allow(dead_code, reason = "of interest to whoever keeps states as well")]
    pub fn new_states(&mut self) -> Vec<State> {
        std::mem::take(&mut self.fresh)
    }

    fn remember(&mut self, state_hash: Hash, state: State) {
        self.fresh.push(state.clone());
        let _known = self.states.insert(state_hash, state);
    }

    /// What `step` comes to in block `now`, given what the arbiter holds.
    pub fn turn(&mut self, step: &Step, ledger: &Ledger, now: BlockNumber) -> Turn {
        let amount = Amount::from(step.amount) * UNIT;
        let (call, attached) = match step.action {
            Action::Wait => return Turn::Wait(u32::from(step.amount)),
            Action::VaultDeposit => (Call::VaultDeposit, amount),
            Action::VaultWithdraw => (Call::VaultWithdraw { amount }, 0),
            Action::Create => (self.create(step, ledger, now), amount),
            Action::Deposit => (self.deposit(step, ledger, now), Amount::from(step.rest) * UNIT),
            Action::Withdraw => (self.withdraw(step, ledger, now), 0),
            Action::Snapshot => {
                let (channel, payload, _) = self.payload(step, ledger, now);
                (Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }), 0)
            }
            Action::SetDelegates => (self.set_delegates(step, ledger, now), 0),
            Action::CloseSolo => {
                let (channel, payload, state) = self.payload(step, ledger, now);
                let commitment = shown(step, &state);
                (Call::ChannelCloseSolo(CloseSolo { channel, payload: Some(payload), commitment }), 0)
            }
            Action::CloseSoloOnChain => {
                let channel = self.channel(step, ledger);
                let commitment = self.on_chain(ledger, &channel).commitment();
                (Call::ChannelCloseSolo(CloseSolo { channel, payload: None, commitment }), 0)
            }
            Action::Slash => {
                let (channel, payload, state) = self.payload(step, ledger, now);
                let commitment = shown(step, &state);
                (Call::ChannelSlash(Slash { channel, payload, commitment }), 0)
            }
            Action::Settle => (Call::ChannelSettle { channel: self.channel(step, ledger) }, 0),
            Action::CloseMutual => (self.close_mutual(step, ledger, now), 0),
            Action::Force => (Call::ChannelForceProgress(self.force(step, ledger, now, true)), 0),
            Action::ForceOnChain => (Call::ChannelForceProgress(self.force(step, ledger, now, false)), 0),
            Action::ShowPreimage => {
                let (preimage, function) = forced::preimage(step.split);
                (Call::PreimageRegister { preimage, function }, 0)
            }
        };
        Turn::Call(step.who, Box::new(call), attached)
    }

    fn account(&self, who: Who) -> AccountId {
        self.accounts[Who::ALL.iter().position(|other| *other == who).unwrap()]
    }

    /// One of the channels so far; mostly one of those that are there, and often the newest.
    fn channel(&self, step: &Step, ledger: &Ledger) -> ChannelId {
        let back = usize::from(step.channel / 4);
        let mut there = self.channels.iter().rev().filter(|channel| ledger.channels.contains_key(channel));
        let there = there.nth(back).filter(|_| step.channel % 4 != 3);
        there.or(self.channels.iter().rev().nth(back)).copied().unwrap_or(ChannelId([0; 32]))
    }

    fn valid_until(step: &Step, now: BlockNumber) -> BlockNumber {
        match step.flaw {
            Flaw::Expired => now - 1,
            Flaw::ValidTooLong => now + LIMITS.validity_max + 1,
            _ => now + u32::from(step.split),
        }
    }

    fn sign<T: Signed>(&self, step: &Step, channel: &ChannelId, body: &T) -> Pair<Signature> {
        let mut channel = *channel;
        if step.flaw == Flaw::SignedForAnotherChannel {
            channel.0[0] ^= 1;
        }
        let bytes = protocol::signing::signed_bytes(&self.domain, &channel, body);
        let Pair { initiator, responder } = self.keys.as_ref().map(|key| key.sign(&bytes));
        match step.flaw {
            Flaw::SignaturesSwapped => Pair::new(responder, initiator),
            Flaw::SignedByOne => Pair::new(initiator, initiator),
            _ => Pair::new(initiator, responder),
        }
    }

    fn round(step: &Step, ledger: &Ledger, channel: &ChannelId) -> Round {
        let on_chain = ledger.channels.get(channel).map_or(1, |record| record.round);
        (on_chain + u64::from(step.round)).saturating_sub(2)
    }

    /// A state in which the parties have what contracts do not hold.
    fn state(&mut self, step: &Step, total: Amount, now: BlockNumber) -> State {
        let outside = total / 16 * (16 - Amount::from(step.rest)) + if step.rest == 0 { total % 16 } else { 0 };
        let initiator = outside / 16 * Amount::from(step.split);
        let excess = Amount::from(step.flaw == Flaw::SumOneOff);
        let balances = Pair::new(initiator, outside - initiator + excess);
        let contracts = self.contracts(step, total - outside, now);
        let state = State { balances, contracts, calls_root: Hash::ZERO };
        self.remember(state.commitment().hash(&Native), state.clone());
        state
    }

    fn payload(&mut self, step: &Step, ledger: &Ledger, now: BlockNumber) -> (ChannelId, Payload, State) {
        let channel = self.channel(step, ledger);
        let total = ledger.channels.get(&channel).map_or(UNIT, |record| record.total);
        // Sometimes the very state that is on chain.
        let known =
            Some(self.on_chain(ledger, &channel)).filter(|state| step.split == 16 && state.balances.sum() != Some(0));
        let state = known.unwrap_or_else(|| self.state(step, total, now));
        let state_hash = state.commitment().hash(&Native);
        let body = StateBody { round: Self::round(step, ledger, &channel), state_hash };
        let signatures = self.sign(step, &channel, &body);
        (channel, Payload { round: body.round, state_hash: body.state_hash, signatures }, state)
    }

    fn create(&mut self, step: &Step, ledger: &Ledger, now: BlockNumber) -> Call {
        let [initiator, responder, delegate, _] = self.accounts;
        let party = |account, key: &SigningKey, payout| PartyTerms {
            account,
            key: key.public(),
            payout,
            delegates: vec![delegate],
        };
        let to_vault = if step.party == Party::Initiator { Destination::Account } else { Destination::Vault };
        let terms = Terms {
            parties: Pair::new(
                party(initiator, &self.keys.initiator, Destination::Account),
                party(responder, &self.keys.responder, to_vault),
            ),
            reserve: RESERVE,
            lock_period: LOCK_PERIOD + u32::from(step.rest),
            penalty: UNIT,
            max_forced: 1 + step.rest,
        };
        let total = Amount::from(step.split + 4) * UNIT;
        let share = UNIT * Amount::from(step.split);
        let balances = Pair::new(share + 1, total - share - 1);
        let mut shares = Pair::new(share, total - share);
        if step.flaw == Flaw::SumOneOff {
            shares.responder += 1;
        }
        let body = CreateBody { terms, balances, shares, valid_until: Self::valid_until(step, now) };
        let accounts = Pair::new(initiator, responder);
        let nonce = ledger.nonces.get(&accounts).copied().unwrap_or(0);
        let channel = channel_id(&self.domain, &accounts, nonce, &Native);
        let signatures = self.sign(step, &channel, &body);
        if self.channels.last() != Some(&channel) {
            self.channels.push(channel);
        }
        let first = State::of_balances(balances);
        self.remember(first.commitment().hash(&Native), first);
        Call::ChannelCreate(Create { body, signatures })
    }

    fn deposit(&mut self, step: &Step, ledger: &Ledger, now: BlockNumber) -> Call {
        let channel = self.channel(step, ledger);
        let amount = Amount::from(step.amount) * UNIT;
        let total = ledger.channels.get(&channel).map_or(UNIT, |record| record.total);
        let state_hash = self.state(step, total + amount, now).commitment().hash(&Native);
        let (round, valid_until) = (Self::round(step, ledger, &channel), Self::valid_until(step, now));
        let body = DepositBody { party: step.party, amount, round, state_hash, valid_until };
        let signatures = self.sign(step, &channel, &body);
        Call::ChannelDeposit(Deposit { channel, body, signatures })
    }

    fn withdraw(&mut self, step: &Step, ledger: &Ledger, now: BlockNumber) -> Call {
        let channel = self.channel(step, ledger);
        let amount = Amount::from(step.amount) * UNIT / 4;
        let total = ledger.channels.get(&channel).map_or(UNIT, |record| record.total);
        let state_hash = self.state(step, total.saturating_sub(amount), now).commitment().hash(&Native);
        let (round, valid_until) = (Self::round(step, ledger, &channel), Self::valid_until(step, now));
        let body = WithdrawBody { party: step.party, amount, round, state_hash, valid_until };
        let signatures = self.sign(step, &channel, &body);
        Call::ChannelWithdraw(Withdraw { channel, body, signatures })
    }

    fn set_delegates(&mut self, step: &Step, ledger: &Ledger, now: BlockNumber) -> Call {
        let channel = self.channel(step, ledger);
        let total = ledger.channels.get(&channel).map_or(UNIT, |record| record.total);
        let state_hash = self.state(step, total, now).commitment().hash(&Native);
        // Up to one more than allowed.
        let delegates = Pair::new(vec![self.account(Who::Delegate); usize::from(step.amount % 10)], Vec::new());
        let (round, valid_until) = (Self::round(step, ledger, &channel), Self::valid_until(step, now));
        let body = SetDelegatesBody { delegates, round, state_hash, valid_until };
        let signatures = self.sign(step, &channel, &body);
        Call::ChannelSetDelegates(SetDelegates { channel, body, signatures })
    }

    fn close_mutual(&mut self, step: &Step, ledger: &Ledger, now: BlockNumber) -> Call {
        let channel = self.channel(step, ledger);
        let total = ledger.channels.get(&channel).map_or(UNIT, |record| record.total);
        let fee = total / 16 * Amount::from(step.rest);
        let initiator = (total - fee) / 16 * Amount::from(step.split);
        let excess = Amount::from(step.flaw == Flaw::SumOneOff);
        let balances = Pair::new(initiator, total - fee - initiator + excess);
        let body = CloseMutualBody { balances, fee, valid_until: Self::valid_until(step, now) };
        let signatures = self.sign(step, &channel, &body);
        Call::ChannelCloseMutual(CloseMutual { channel, body, signatures })
    }
}

/// What is shown of a state.
fn shown(step: &Step, state: &State) -> StateCommitment {
    let mut commitment = state.commitment();
    if step.flaw == Flaw::CommitmentOfOthers {
        commitment.calls_root.0[0] ^= 1;
    }
    commitment
}
