//! Contracts in the states of scripts, and forced steps on them.

use super::{Flaw, Script, Step, UNIT, Who};
use protocol::arbiter::{Ledger, Plan, Start, plan};
use protocol::call::{ForceProgress, ForcedCall, ShownContract};
use protocol::contracts::conditional::{BUILTIN, ConditionalInput, ConditionalTransfer, HashFunction, Preimage};
use protocol::contracts::{Code, Contract, ContractId, Contracts, MAX_INPUT, MAX_STATE, Predictor};
use protocol::crypto::{Crypto, Native};
use protocol::record::Phase;
use protocol::tree::{TreeChange, TreeNode};
use protocol::{AccountId, Amount, BlockNumber, ChannelId, Hash, Pair, Party, StateCommitment, decode_exact};
use scale::Encode;
use std::collections::BTreeSet;

/// The apps in the scripts' channels, wherever they stand.
#[derive(Clone, Copy, Debug)]
pub struct Apps {
    pub counter: App,
    pub escrow: App,
}

/// An app on the chain.
#[derive(Clone, Copy, Debug)]
pub struct App {
    pub account: AccountId,
    pub code: Hash,
}

/// A state, whole.
#[derive(Clone, Debug)]
pub struct State {
    pub balances: Pair<Amount>,
    pub contracts: Contracts,
    pub calls_root: Hash,
}

/// What the contracts of a state are, in the order in which calls choose among them.
const KINDS: [&[u8]; 3] = [b"counter", b"escrow", b"transfer"];
/// Where counters pay out.
const GOAL: u64 = 3;

fn id(kind: &[u8]) -> ContractId {
    ContractId(Native.hash(kind).0)
}

/// Few enough that one that is shown is often one that is asked for.
pub(super) fn preimage(number: u8) -> (Preimage, HashFunction) {
    let function = if number.is_multiple_of(2) { HashFunction::Blake2b256 } else { HashFunction::Sha2_256 };
    (Preimage([number % 4; 32]), function)
}

impl State {
    /// A state of balances alone.
    pub fn of_balances(balances: Pair<Amount>) -> Self {
        Self { balances, contracts: Contracts::new(), calls_root: Hash::ZERO }
    }

    pub fn commitment(&self) -> StateCommitment {
        let Self { balances, calls_root, .. } = *self;
        StateCommitment { balances, contracts_root: self.contracts.root(), calls_root }
    }
}

impl Script {
    /// Contracts that hold `inside` together. In some states they are not what they should be: parties may sign any state.
    pub(super) fn contracts(&self, step: &Step, inside: Amount, now: BlockNumber) -> Contracts {
        if step.rest == 0 {
            return Contracts::new();
        }
        let share = inside / 3;
        let half = share / 16 * Amount::from(step.split);
        let owner = step.party;
        let (preimage, function) = preimage(step.split);
        let lock = preimage.lock(function, &Native);
        let transfer = ConditionalTransfer { payee: step.party, lock, expiry: now + 2 * u32::from(step.amount) };
        let mut tokens = Pair::new(half, share - half);
        let mut counter = Contract {
            code: Code::Contract(self.apps.counter.code),
            balance: share,
            owner,
            state: (u64::from(step.round % 2), GOAL).encode(),
        };
        let mut escrow = Contract { code: Code::Contract(self.apps.escrow.code), balance: share, ..counter.clone() };
        let mut transfer =
            Contract { code: Code::Builtin(BUILTIN), balance: inside - 2 * share, owner, state: transfer.encode() };
        match step.amount {
            10 => tokens[owner] += 1_000 * UNIT,
            11 => transfer.code = Code::Builtin(2),
            12 => transfer.state.push(0),
            13 => counter.state = vec![0; MAX_STATE + 1],
            14 => {
                tokens[owner] += 1_000 * UNIT;
                escrow.balance = Amount::MAX;
            }
            15 => counter.code = Code::Contract(Hash([9; 32])),
            _ => {}
        }
        escrow.state = (tokens, now + 4 * u32::from(step.amount)).encode();
        KINDS.map(id).into_iter().zip([counter, escrow, transfer]).collect()
    }

    /// What is known of a channel's state on chain.
    pub(super) fn on_chain(&self, ledger: &Ledger, channel: &ChannelId) -> State {
        let record = ledger.channels.get(channel);
        record
            .and_then(|record| self.states.get(&record.on_chain.state_hash))
            .cloned()
            .unwrap_or_else(|| State::of_balances(Pair::default()))
    }

    /// A forced step by whoever calls, as the party that it is.
    pub(super) fn force(&mut self, step: &Step, ledger: &Ledger, now: BlockNumber, shows: bool) -> ForceProgress {
        let (channel, payload, state) = if shows {
            // There is little to force in a state without contracts.
            let (channel, payload, state) = self.payload(&Step { rest: step.rest.max(1), ..*step }, ledger, now);
            (channel, Some(payload), state)
        } else {
            // Often a channel in which contracts are all that is left, where there is one.
            let is_residual = |channel: &&ChannelId| {
                ledger.channels.get(channel).is_some_and(|record| matches!(record.phase, Phase::Residual { .. }))
            };
            let settled = self.channels.iter().find(is_residual).filter(|_| step.channel % 2 == 1);
            let channel = settled.copied().unwrap_or_else(|| self.channel(step, ledger));
            (channel, None, self.on_chain(ledger, &channel))
        };
        let party = match step.who {
            Who::Initiator => Party::Initiator,
            Who::Responder => Party::Responder,
            // The delegate is both parties'.
            Who::Delegate | Who::Stranger => step.party,
        };
        let calls = self.calls(step, party, &state);
        let planned = ledger.channels.get(&channel).and_then(|record| {
            let State { balances, ref contracts, calls_root } = state;
            let start = Start { channel, record, payload, balances, contracts, calls_root };
            self.plan(ledger, &start, party, calls.clone(), now)
        });
        let mut call = match planned {
            Some(Plan { call, contracts, balances, calls_root, state_hash, .. }) => {
                self.remember(state_hash, State { balances, contracts, calls_root });
                ForceProgress { state_hash: call.state_hash.filter(|_| !step.amount.is_multiple_of(4)), ..call }
            }
            None => {
                let (contracts, commitment) = (self.shown(&calls, &state), state.commitment());
                let proof = state.contracts.prove(&unchanged(&contracts));
                ForceProgress { channel, party, payload, commitment, contracts, proof, calls, state_hash: None }
            }
        };
        flawed(step.flaw, &mut call);
        call
    }

    /// The step as its caller predicts it, where it comes to something.
    fn plan(
        &self,
        ledger: &Ledger,
        start: &Start<'_>,
        party: Party,
        calls: Vec<ForcedCall>,
        now: BlockNumber,
    ) -> Option<Plan> {
        let shown_at = |lock: &_| ledger.preimages.get(lock).copied();
        let mut executor = Predictor::new(&ledger.apps, &shown_at);
        plan(start, party, calls, now, &|code| self.account_of(code), &mut executor).ok()
    }

    fn account_of(&self, code: &Hash) -> Option<AccountId> {
        let apps = [self.apps.counter, self.apps.escrow];
        apps.into_iter().find(|app| app.code == *code).map(|app| app.account)
    }

    fn shown(&self, calls: &[ForcedCall], state: &State) -> Vec<ShownContract> {
        let ids: BTreeSet<_> = calls.iter().map(|call| call.contract).collect();
        let shown = ids.into_iter().filter_map(|id| {
            let contract = state.contracts.get(&id)?.clone();
            let app = if let Code::Contract(code) = &contract.code { self.account_of(code) } else { None };
            Some(ShownContract { id, contract, app })
        });
        shown.collect()
    }

    /// One call, or a few.
    fn calls(&self, step: &Step, party: Party, state: &State) -> Vec<ForcedCall> {
        let call = |index| {
            let number = step.amount.wrapping_add(index);
            let kind = KINDS[usize::from(step.split.wrapping_add(index)) % KINDS.len()];
            // Sometimes coins that are welcome, sometimes coins that are not, sometimes more than there is.
            let coins = Amount::from(step.rest.saturating_sub(2)) * UNIT;
            let (value, input) = match kind {
                b"counter" => (coins, u64::from(1 + number / 4 % 3).encode()),
                b"escrow" => self.tokens(number, party, state),
                _ => (if number == 9 { coins } else { 0 }, self.claim(step, number, state)),
            };
            ForcedCall { contract: id(kind), value, input }
        };
        (0..=(step.round / 3)).map(call).collect()
    }

    fn tokens(&self, number: u8, party: Party, state: &State) -> (Amount, Vec<u8>) {
        let held = state.contracts.get(&id(KINDS[1])).and_then(|escrow| decode_exact(&escrow.state).ok());
        let (held, _deadline): (Pair<Amount>, BlockNumber) = held.unwrap_or_default();
        match number % 5 {
            0 => (UNIT / 4 * Amount::from(number % 8), 0u8.encode()),
            1 => (0, (1u8, held[party] / 2).encode()),
            2 => (0, (2u8, held[party] / 2).encode()),
            _ => (0, (2u8, held[party]).encode()),
        }
    }

    fn claim(&self, step: &Step, number: u8, state: &State) -> Vec<u8> {
        if number.is_multiple_of(3) {
            return ConditionalInput::Refund.encode();
        }
        let held = state.contracts.get(&id(KINDS[2])).and_then(|held| decode_exact(&held.state).ok());
        let opens = |number: &u8| {
            let (preimage, function) = preimage(*number);
            held.is_some_and(|held: ConditionalTransfer| preimage.lock(function, &Native) == held.lock)
        };
        let number = (0..4).find(opens).filter(|_| number != 8).unwrap_or(step.split);
        ConditionalInput::Claim(preimage(number).0).encode()
    }
}

fn unchanged(contracts: &[ShownContract]) -> Vec<TreeChange> {
    let change = |shown: &ShownContract| {
        let leaf = Some(shown.contract.leaf(&Native));
        TreeChange { key: shown.id.key(), before: leaf, after: leaf }
    };
    contracts.iter().map(change).collect()
}

/// Puts one thing wrong that only forced steps know; the others are in the payload.
fn flawed(flaw: Flaw, call: &mut ForceProgress) {
    match flaw {
        Flaw::CommitmentOfOthers => call.commitment.calls_root.0[0] ^= 1,
        Flaw::OthersCalls => call.party = call.party.peer(),
        Flaw::NoCalls => call.calls.clear(),
        Flaw::ManyCalls => {
            // An escrow moves a token as often as it is asked to.
            let first = call.calls.first().cloned().filter(|first| first.contract == id(KINDS[1]));
            if let Some(first) = first {
                call.calls = vec![ForcedCall { value: 0, input: (1u8, 1u128).encode(), ..first }; 65];
            }
        }
        Flaw::LongInput => {
            if let Some(first) = call.calls.first_mut() {
                first.input = vec![0; MAX_INPUT + 1];
            }
        }
        Flaw::ExpectsOtherState => call.state_hash = Some(Hash([7; 32])),
        Flaw::NotShown => drop(call.contracts.pop()),
        Flaw::NotAsShown => {
            if let Some(last) = call.contracts.last_mut() {
                last.contract.owner = last.contract.owner.peer();
            }
        }
        Flaw::AppElsewhere => call.contracts.iter_mut().for_each(|shown| shown.app = Some(AccountId([9; 32]))),
        Flaw::ProofTooShort => drop(call.proof.nodes.pop()),
        Flaw::ProofTooLong => call.proof.nodes.push(TreeNode::Empty),
        Flaw::ProofOfOthers => {
            for node in &mut call.proof.nodes {
                if let TreeNode::Opaque(hash) | TreeNode::Pruned { right: hash, .. } = node {
                    hash.0[0] ^= 1;
                }
            }
        }
        Flaw::ProofHides => {
            for node in &mut call.proof.nodes {
                if let TreeNode::Leaf { value, .. } = *node {
                    *node = TreeNode::Opaque(value);
                }
            }
        }
        _ => {}
    }
}
