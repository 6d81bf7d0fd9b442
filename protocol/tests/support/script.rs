//! Random lives of channels: sequences of calls by the two parties, a delegate and a stranger, most of them sensible, some of them
//! not. The rules in memory are tested with them, and the real contract is compared with the rules by the very same ones.

mod forced;

pub use forced::{App, Apps, State};

// One path a line: this file belongs to crates of two editions, whose formatters sort longer lists differently.
use proptest::prelude::*;
use protocol::StateCommitment;
use protocol::arbiter::Ledger;
use protocol::call::{
    BatchedCall, Call, CloseMutual, CloseSolo, Create, Deposit, Payload, SetDelegates, Slash, SnapshotSolo, Withdraw,
};
use protocol::crypto::{Native, SigningKey};
use protocol::signing::Signed;
use protocol::signing::{CloseMutualBody, CreateBody, DepositBody, Domain, SetDelegatesBody, StateBody, WithdrawBody};
use protocol::terms::{CallWeight, Delegate, Destination, Limits, MAX_NONCE_AHEAD, PartyTerms, Terms};
use protocol::{AccountId, Amount, Base, BlockNumber, ChannelId, Hash, Pair, Party, PublicKey, Round, Signature};
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
    ShowPreimages,
    Batch,
}

impl Action {
    #[allow(dead_code, reason = "of interest to whoever makes steps of bytes")]
    pub const ALL: [Self; 18] = [
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
        Self::ShowPreimages,
        Self::Batch,
    ];

    /// What a batch is made of.
    const BATCHED: [Self; 10] = [
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
    /// Which round, counted from two before the co-signed one on chain.
    pub round: u8,
    /// What the round goes on from, of a few states around the one on chain. Which nonce, of a few around the pair's next one.
    pub base: u8,
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
        1 => Just(Action::ShowPreimages),
        4 => Just(Action::Batch),
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
    let base = prop_oneof![3 => 0u8..4, 2 => 4u8..8];
    let round = (prop_oneof![1 => 0u8..3, 3 => 3u8..8], base);
    let numbers = (0u8..8, round, 0u8..=16, prop_oneof![Just(0u8), 0u8..4], 0u8..16);
    (action, who, flaw, numbers, party).prop_map(
        |(action, who, flaw, (channel, (round, base), split, rest, amount), party)| Step {
            action,
            who,
            flaw,
            channel,
            round,
            base,
            split,
            rest,
            amount,
            party,
        },
    )
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
        let key = self.vault_key(step);
        let (call, attached) = match step.action {
            Action::Wait => return Turn::Wait(u32::from(step.amount)),
            Action::VaultDeposit => (Call::VaultDeposit { key }, amount),
            Action::VaultWithdraw => (Call::VaultWithdraw { key, amount }, 0),
            Action::Create => (alone(self.create(step, ledger, now)), self.attached(step, amount)),
            Action::Deposit => {
                let attached = self.attached(step, Amount::from(step.rest) * UNIT);
                (alone(self.deposit(step, ledger, now)), attached)
            }
            Action::Force => (Call::ChannelForceProgress(self.force(step, ledger, now, true)), 0),
            Action::ForceOnChain => (Call::ChannelForceProgress(self.force(step, ledger, now, false)), 0),
            Action::ShowPreimage => {
                let (preimage, function) = forced::preimage(step.split);
                (Call::PreimageRegister { preimage, function }, 0)
            }
            Action::ShowPreimages => {
                let (_, function) = forced::preimage(step.split);
                let length = if step.flaw == Flaw::ManyCalls { 65 } else { step.amount % 4 };
                let preimages = (0..length).map(|number| forced::preimage(step.split.wrapping_add(number)).0).collect();
                (Call::PreimagesRegister { preimages, function }, 0)
            }
            Action::Batch => (Call::Batch(self.batch(step, ledger, now)), 0),
            Action::Withdraw
            | Action::Snapshot
            | Action::SetDelegates
            | Action::CloseSolo
            | Action::CloseSoloOnChain
            | Action::Slash
            | Action::Settle
            | Action::CloseMutual => (alone(self.batched(step, ledger, now)), 0),
        };
        Turn::Call(step.who, Box::new(call), attached)
    }

    /// A call that may be made in a batch as well as alone.
    fn batched(&mut self, step: &Step, ledger: &Ledger, now: BlockNumber) -> BatchedCall {
        match step.action {
            Action::Create => self.create(step, ledger, now),
            Action::Deposit => self.deposit(step, ledger, now),
            Action::Withdraw => self.withdraw(step, ledger, now),
            Action::Snapshot => {
                let (channel, payload, _) = self.payload(step, ledger, now);
                BatchedCall::SnapshotSolo(SnapshotSolo { channel, payload })
            }
            Action::SetDelegates => self.set_delegates(step, ledger, now),
            Action::CloseSolo => {
                let (channel, payload, state) = self.payload(step, ledger, now);
                let commitment = shown(step, &state);
                BatchedCall::CloseSolo(CloseSolo { channel, payload: Some(payload), commitment })
            }
            Action::CloseSoloOnChain => {
                let channel = self.channel(step, ledger);
                let commitment = self.on_chain(ledger, &channel).commitment();
                BatchedCall::CloseSolo(CloseSolo { channel, payload: None, commitment })
            }
            Action::Slash => {
                let (channel, payload, state) = self.payload(step, ledger, now);
                let commitment = shown(step, &state);
                BatchedCall::Slash(Slash { channel, payload, commitment })
            }
            Action::CloseMutual => self.close_mutual(step, ledger, now),
            _ => BatchedCall::Settle(self.channel(step, ledger)),
        }
    }

    /// A few calls, of which later ones were made before the earlier ones were known to succeed: some of them come to nothing.
    fn batch(&mut self, step: &Step, ledger: &Ledger, now: BlockNumber) -> Vec<BatchedCall> {
        if step.flaw == Flaw::ManyCalls {
            return vec![BatchedCall::Settle(self.channel(step, ledger)); 65];
        }
        let calls = (0..step.amount % 5).map(|number| {
            let kind = usize::from(step.split.wrapping_mul(3).wrapping_add(number.wrapping_mul(1 + step.rest)));
            let step = Step {
                action: Action::BATCHED[kind % Action::BATCHED.len()],
                // One flaw in a batch is enough.
                flaw: if number == 1 { step.flaw } else { Flaw::None },
                channel: step.channel.wrapping_add(number * 4) % 8,
                round: step.round.saturating_add(number),
                amount: 1 + step.amount / 2,
                ..*step
            };
            self.batched(&step, ledger, now)
        });
        calls.collect()
    }

    /// Under which key the caller's coins lie. Somebody who is no party may name a party's key: with an account of its own it is another vault.
    fn vault_key(&self, step: &Step) -> PublicKey {
        let own = if step.who == Who::Responder { Party::Responder } else { Party::Initiator };
        let party = if step.flaw == Flaw::SignaturesSwapped { own.peer() } else { own };
        self.keys[party].public()
    }

    /// What a caller attaches: only sometimes does somebody try who is no party.
    fn attached(&self, step: &Step, amount: Amount) -> Amount {
        let is_party = matches!(step.who, Who::Initiator | Who::Responder);
        if is_party || step.amount.is_multiple_of(4) { amount } else { 0 }
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
        let on_chain = ledger.channels.get(channel).map_or(1, |record| record.on_chain.at.agreed);
        (on_chain + u64::from(step.round)).saturating_sub(2)
    }

    /// What a round goes on from: mostly the state on chain.
    fn base(step: &Step, ledger: &Ledger, channel: &ChannelId) -> Base {
        let at = ledger.channels.get(channel).map_or(Base::of(1), |record| record.on_chain.at);
        match step.base {
            4 => Base::of(at.agreed),
            5 => Base { steps: at.steps.saturating_sub(1), ..at },
            6 => Base { agreed: at.agreed.saturating_sub(1), steps: 2 },
            7 => Base { steps: at.steps + 1, ..at },
            _ => at,
        }
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
        let (round, base) = (Self::round(step, ledger, &channel), Self::base(step, ledger, &channel));
        let expires = step.flaw == Flaw::Expired || step.amount.is_multiple_of(8);
        let valid_until = expires.then(|| Self::valid_until(step, now));
        let body = StateBody { round, base, state_hash, valid_until };
        let signatures = self.sign(step, &channel, &body);
        (channel, Payload { round, base, state_hash, valid_until, signatures }, state)
    }

    fn create(&mut self, step: &Step, ledger: &Ledger, now: BlockNumber) -> BatchedCall {
        let [initiator, responder, delegate, _] = self.accounts;
        let delegate = if step.base < 4 { Delegate::caller(delegate) } else { Delegate::defender(delegate) };
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
        let next = ledger.nonces.get(&body.terms.ids()).copied().unwrap_or(0);
        let nonce = match step.base {
            4 => next + 1,
            5 => next + MAX_NONCE_AHEAD - 1,
            6 => next + MAX_NONCE_AHEAD,
            7 => next.saturating_sub(1),
            _ => next,
        };
        let channel = body.terms.channel_id(&self.domain, nonce, &Native);
        let signatures = self.sign(step, &channel, &body);
        if self.channels.last() != Some(&channel) {
            self.channels.push(channel);
        }
        let first = State::of_balances(balances);
        self.remember(first.commitment().hash(&Native), first);
        BatchedCall::Create(Create { body, nonce, signatures })
    }

    fn deposit(&mut self, step: &Step, ledger: &Ledger, now: BlockNumber) -> BatchedCall {
        let channel = self.channel(step, ledger);
        let amount = Amount::from(step.amount) * UNIT;
        let total = ledger.channels.get(&channel).map_or(UNIT, |record| record.total);
        let state_hash = self.state(step, total + amount, now).commitment().hash(&Native);
        let (round, valid_until) = (Self::round(step, ledger, &channel), Self::valid_until(step, now));
        let base = Self::base(step, ledger, &channel);
        let body = DepositBody { party: step.party, amount, round, base, state_hash, valid_until };
        let signatures = self.sign(step, &channel, &body);
        BatchedCall::Deposit(Deposit { channel, body, signatures })
    }

    fn withdraw(&mut self, step: &Step, ledger: &Ledger, now: BlockNumber) -> BatchedCall {
        let channel = self.channel(step, ledger);
        let amount = Amount::from(step.amount) * UNIT / 4;
        let total = ledger.channels.get(&channel).map_or(UNIT, |record| record.total);
        let state_hash = self.state(step, total.saturating_sub(amount), now).commitment().hash(&Native);
        let (round, valid_until) = (Self::round(step, ledger, &channel), Self::valid_until(step, now));
        let base = Self::base(step, ledger, &channel);
        let own = if step.party == Party::Initiator { Who::Initiator } else { Who::Responder };
        let to = match step.rest {
            2 => self.account(Who::Responder),
            3 => self.account(Who::Stranger),
            _ => self.account(own),
        };
        let body = WithdrawBody { party: step.party, amount, to, round, base, state_hash, valid_until };
        let signatures = self.sign(step, &channel, &body);
        BatchedCall::Withdraw(Withdraw { channel, body, signatures })
    }

    fn set_delegates(&mut self, step: &Step, ledger: &Ledger, now: BlockNumber) -> BatchedCall {
        let channel = self.channel(step, ledger);
        let total = ledger.channels.get(&channel).map_or(UNIT, |record| record.total);
        let state_hash = self.state(step, total, now).commitment().hash(&Native);
        // Up to one more than allowed.
        let delegate = self.account(Who::Delegate);
        let delegate = if step.rest < 2 { Delegate::caller(delegate) } else { Delegate::defender(delegate) };
        let delegates = Pair::new(vec![delegate; usize::from(step.amount % 10)], Vec::new());
        let (round, valid_until) = (Self::round(step, ledger, &channel), Self::valid_until(step, now));
        let base = Self::base(step, ledger, &channel);
        let body = SetDelegatesBody { delegates, round, base, state_hash, valid_until };
        let signatures = self.sign(step, &channel, &body);
        BatchedCall::SetDelegates(SetDelegates { channel, body, signatures })
    }

    fn close_mutual(&mut self, step: &Step, ledger: &Ledger, now: BlockNumber) -> BatchedCall {
        let channel = self.channel(step, ledger);
        let total = ledger.channels.get(&channel).map_or(UNIT, |record| record.total);
        let fee = total / 16 * Amount::from(step.rest);
        let initiator = (total - fee) / 16 * Amount::from(step.split);
        let excess = Amount::from(step.flaw == Flaw::SumOneOff);
        let balances = Pair::new(initiator, total - fee - initiator + excess);
        let body = CloseMutualBody { balances, fee, valid_until: Self::valid_until(step, now) };
        let signatures = self.sign(step, &channel, &body);
        BatchedCall::CloseMutual(CloseMutual { channel, body, signatures })
    }
}

/// The call that is made alone as it would be in a batch.
pub fn alone(call: BatchedCall) -> Call {
    match call {
        BatchedCall::Create(call) => Call::ChannelCreate(call),
        BatchedCall::CloseMutual(call) => Call::ChannelCloseMutual(call),
        BatchedCall::CloseSolo(call) => Call::ChannelCloseSolo(call),
        BatchedCall::Slash(call) => Call::ChannelSlash(call),
        BatchedCall::Settle(channel) => Call::ChannelSettle { channel },
        BatchedCall::Deposit(call) => Call::ChannelDeposit(call),
        BatchedCall::Withdraw(call) => Call::ChannelWithdraw(call),
        BatchedCall::SnapshotSolo(call) => Call::ChannelSnapshotSolo(call),
        BatchedCall::SetDelegates(call) => Call::ChannelSetDelegates(call),
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
