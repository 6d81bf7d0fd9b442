//! The chain and what is inside the channel, moved by the arbiter's own rules.

use crate::{
    Rules, Scenario,
    chain::{APP, CHANNEL, Chain, SECRET, account, context, payload, terms},
};
use protocol::{
    AccountId, Amount, Base, BlockNumber, Hash, Maturity, Pair, Party, Rejection, StateCommitment,
    arbiter::{CallOutcome, Start, close_solo, force_progress, plan, settle, slash, snapshot_solo},
    call::{CloseSolo, ForcedCall, Payload, Slash, SnapshotSolo},
    contracts::{
        Code, Contract, ContractId, Contracts,
        conditional::{BUILTIN, ConditionalInput, ConditionalTransfer, HashFunction},
    },
    crypto::Native,
    decode_exact,
    record::{OnChain, Phase, Record},
};
use scale::Encode;
use std::hash::{Hash as Hashes, Hasher};

const TOKENS: ContractId = ContractId([0x40; 32]);
const TRANSFER: ContractId = ContractId([0xC0; 32]);

/// A state, in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inside {
    /// What the parties own outside contracts.
    pub balances: Pair<Amount>,
    /// What they own in the app, where there is one.
    pub tokens: Option<Pair<Amount>>,
    /// Coins for whoever shows the pre-image in time, which its payee can.
    pub transfer: Option<(Party, Amount)>,
    calls_root: Hash,
}

impl Inside {
    /// A state as the `honest` party sees it: own coins first.
    #[must_use]
    pub fn new(
        honest: Party,
        balances: (Amount, Amount),
        tokens: Option<(Amount, Amount)>,
        transfer: Option<Amount>,
    ) -> Self {
        let pair = |(ours, theirs)| match honest {
            Party::Initiator => Pair::new(ours, theirs),
            Party::Responder => Pair::new(theirs, ours),
        };
        Self {
            balances: pair(balances),
            tokens: tokens.map(pair),
            transfer: transfer.map(|amount| (honest, amount)),
            calls_root: Hash::ZERO,
        }
    }

    /// What a party owns in it, contracts included.
    #[must_use]
    pub fn worth(&self, party: Party) -> Amount {
        let tokens = self.tokens.map_or(0, |tokens| tokens[party]);
        let transfer = self.transfer.filter(|(payee, _)| *payee == party).map_or(0, |(_, amount)| amount);
        self.balances[party].saturating_add(tokens).saturating_add(transfer)
    }

    fn contracts(&self, expiry: BlockNumber) -> Contracts {
        let contract = |code, balance, state| Contract { code, balance, owner: Party::Initiator, state };
        let tokens = self.tokens.map(|tokens| {
            (TOKENS, contract(Code::Contract(APP.1), tokens.sum().unwrap_or(Amount::MAX), tokens.encode()))
        });
        let transfer = self.transfer.map(|(payee, amount)| {
            let lock = SECRET.lock(HashFunction::Blake2b256, &Native);
            (TRANSFER, contract(Code::Builtin(BUILTIN), amount, ConditionalTransfer { payee, lock, expiry }.encode()))
        });
        tokens.into_iter().chain(transfer).collect()
    }

    fn of(balances: Pair<Amount>, contracts: &Contracts, calls_root: Hash) -> Self {
        let tokens = contracts.get(&TOKENS).and_then(|contract| decode_exact(&contract.state).ok());
        let transfer = contracts.get(&TRANSFER).and_then(|contract| {
            let transfer: ConditionalTransfer = decode_exact(&contract.state).ok()?;
            Some((transfer.payee, contract.balance))
        });
        Self { balances, tokens, transfer, calls_root }
    }

    pub(crate) fn commitment(&self, expiry: BlockNumber) -> StateCommitment {
        let contracts_root = self.contracts(expiry).root();
        StateCommitment { balances: self.balances, contracts_root, calls_root: self.calls_root }
    }
}

/// What a party calls inside, all in one forced step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Calls {
    /// Shows the pre-image.
    pub claim: bool,
    /// Asks for the conditional coins back.
    pub refund: bool,
    /// Takes all own tokens out.
    pub redeem: bool,
    /// Gives one token away.
    pub give: bool,
    /// Calls for the call's sake: it takes a round, a lock, and nothing else.
    pub stall: bool,
}

/// A transaction. States are named by their place among [`Scenario::states`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    /// `channel_close_solo`.
    Close(Option<usize>),
    /// `channel_slash`.
    Slash(usize),
    /// `channel_snapshot_solo`.
    Snapshot(usize),
    /// `channel_force_progress`.
    Force(Option<usize>, Calls),
    /// `preimage_register`.
    Register,
    /// `channel_settle`.
    Settle,
}

/// Everything that can be seen at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// The current block.
    pub now: BlockNumber,
    /// What the arbiter stores; none once the channel has ended.
    pub record: Option<Record>,
    /// The state on chain, in full.
    pub inside: Inside,
    /// What the parties were paid.
    pub paid: Pair<Amount>,
    /// When the pre-image was first shown on chain.
    pub shown_at: Option<BlockNumber>,
    /// Whether the honest party's own proposal came on chain.
    pub proposal_shown: bool,
    /// How often a lock started.
    pub locks: u32,
    /// What the honest party has submitted, and how many blocks ago.
    pub pending: Option<(Move, BlockNumber)>,
    /// How many blocks ago it submitted the pre-image, which hinders nothing else.
    pub registering: Option<BlockNumber>,
    /// Whether something that it submitted was refused, because the world had changed.
    pub outrun: bool,
}

impl Hashes for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.now, self.record.encode(), self.inside, self.paid, self.shown_at).hash(hasher);
        (self.proposal_shown, self.locks, self.pending, self.registering, self.outrun).hash(hasher);
    }
}

impl World {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let Some(first) = scenario.agreed.first() else { panic!("a channel begins with a state") };
        let terms = terms(scenario.lock_period, scenario.max_forced, scenario.penalty);
        let record = Record {
            terms,
            total: first.inside.worth(Party::Initiator).saturating_add(first.inside.worth(Party::Responder)),
            on_chain: OnChain::agreed(first.round, first.inside.commitment(scenario.expiry).hash(&Native)),
            forced_steps: Pair::default(),
            phase: Phase::Open,
        };
        Self {
            now: 1,
            record: Some(record),
            inside: first.inside,
            paid: Pair::default(),
            shown_at: None,
            proposal_shown: false,
            locks: 0,
            pending: None,
            registering: None,
            outrun: false,
        }
    }

    /// What becomes of the world when `party` makes this move; none where the arbiter refuses it.
    pub(crate) fn with(&self, scenario: &Scenario, party: Party, made: Move) -> Option<Self> {
        let mut after = self.clone();
        after.make(scenario, party, made).ok().map(|()| after)
    }

    fn make(&mut self, scenario: &Scenario, party: Party, made: Move) -> Result<(), Rejection> {
        let mut chain = Chain { shown_at: self.shown_at };
        let ctx = context(party, self.now);
        if made == Move::Register {
            self.shown_at = self.shown_at.or(Some(self.now));
            return Ok(());
        }
        let before = self.record.clone().ok_or(Rejection::ChannelUnknown)?;
        let was_locked = before.closing().map(|closing| closing.unlock_at).ok();
        let states = scenario.states();
        let shown = |place: usize| {
            let state = states.get(place).ok_or(Rejection::ChannelUnknown)?;
            let commitment = state.inside.commitment(scenario.expiry);
            let body = state.body(scenario.expiry);
            Ok::<(Payload, StateCommitment, Inside), Rejection>((payload(body), commitment, state.inside))
        };
        let outcome = match made {
            Move::Close(place) => {
                let (payload, commitment) = match place {
                    Some(place) => {
                        let (payload, commitment, inside) = shown(place)?;
                        self.inside = inside;
                        (Some(payload), commitment)
                    }
                    None => (None, self.inside.commitment(scenario.expiry)),
                };
                close_solo(&ctx, before, &CloseSolo { channel: CHANNEL, payload, commitment }, &chain)?
            }
            Move::Slash(place) => {
                let (payload, commitment, inside) = shown(place)?;
                self.inside = inside;
                let mut before = before;
                if scenario.rules == Rules::OlderRoundsCount && before.on_chain.state_hash != payload.state_hash {
                    (before.on_chain.at, before.on_chain.maturity) = (Base::default(), Maturity::default());
                }
                slash(&ctx, before, &Slash { channel: CHANNEL, payload, commitment }, &chain)?
            }
            Move::Snapshot(place) => {
                let (payload, _, inside) = shown(place)?;
                self.inside = inside;
                snapshot_solo(&ctx, before, &SnapshotSolo { channel: CHANNEL, payload }, &chain)?
            }
            Move::Force(place, calls) => {
                let payload = match place {
                    Some(place) => {
                        let (payload, _, inside) = shown(place)?;
                        self.inside = inside;
                        Some(payload)
                    }
                    None => None,
                };
                self.force(scenario, before, party, payload, calls, &mut chain)?
            }
            Move::Settle => {
                let mut before = before;
                if let (Rules::NoLock, Phase::Closing(closing)) = (scenario.rules, &mut before.phase) {
                    closing.unlock_at = self.now;
                }
                settle(&ctx, before)?
            }
            Move::Register => return Ok(()),
        };
        if let Move::Close(Some(place)) | Move::Slash(place) | Move::Snapshot(place) | Move::Force(Some(place), _) =
            made
        {
            self.proposal_shown |= place == scenario.agreed.len();
        }
        self.shown_at = chain.shown_at;
        self.take(outcome, was_locked);
        Ok(())
    }

    /// A forced step as its caller plans it, and then as the arbiter judges it.
    fn force(
        &mut self,
        scenario: &Scenario,
        mut before: Record,
        party: Party,
        payload: Option<Payload>,
        calls: Calls,
        chain: &mut Chain,
    ) -> Result<CallOutcome, Rejection> {
        if scenario.rules == Rules::NoQuota {
            before.forced_steps = Pair::default();
        }
        let Inside { balances, calls_root, .. } = self.inside;
        let contracts = self.inside.contracts(scenario.expiry);
        let start = Start { channel: CHANNEL, record: &before, payload, balances, contracts: &contracts, calls_root };
        let mut beforehand = Chain { shown_at: chain.shown_at };
        let deployed = |code: &Hash| (*code == APP.1).then_some(APP.0);
        let planned = plan(&start, party, self.calls(party, calls), self.now, &deployed, &mut beforehand)?;
        let outcome = force_progress(&context(party, self.now), before, &planned.call, chain)?;
        self.inside = Inside::of(planned.balances, &planned.contracts, planned.calls_root);
        Ok(outcome)
    }

    fn calls(&self, party: Party, calls: Calls) -> Vec<ForcedCall> {
        let call = |contract, input| ForcedCall { contract, value: 0, input };
        let own = self.inside.tokens.map_or(0, |tokens| tokens[party]);
        [
            calls.claim.then(|| call(TRANSFER, ConditionalInput::Claim(SECRET).encode())),
            calls.refund.then(|| call(TRANSFER, ConditionalInput::Refund.encode())),
            calls.stall.then(|| call(TOKENS, (true, 0u128).encode())),
            calls.give.then(|| call(TOKENS, (true, 1u128).encode())),
            calls.redeem.then(|| call(TOKENS, (false, own.saturating_sub(u128::from(calls.give))).encode())),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn take(&mut self, outcome: CallOutcome, was_locked: Option<BlockNumber>) {
        let locked = outcome.record.as_ref().and_then(|record| record.closing().ok()).map(|closing| closing.unlock_at);
        // A lock that starts again in the block of the last one ends with it.
        if locked.is_some() && locked != was_locked {
            self.locks = self.locks.saturating_add(1);
        }
        self.record = outcome.record;
        for payout in outcome.payouts {
            let to = |party: &Party| account(*party) == payout.to;
            let party = Party::BOTH.into_iter().find(to);
            let Some(party) = party else { panic!("coins for a stranger: {:?}", AccountId::from(payout.to.0)) };
            self.paid[party] = self.paid[party].saturating_add(payout.amount);
        }
    }

    /// All coins: in the channel, and paid out.
    pub(crate) fn coins(&self) -> Option<Amount> {
        self.paid.sum()?.checked_add(self.record.as_ref().map_or(0, |record| record.total))
    }
}
