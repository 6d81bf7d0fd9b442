//! Contracts in a world: what users do with them, and what a hand other than a machine's forces.

use super::{Fate, World, apps};
use channel::{Certainty, Change, ChangeId, Channel, Command, Creation, Misuse, ProposalId, RefusalCode, State};
use protocol::{
    Amount, BlockNumber, Hash, Pair, Party, Round, StateCommitment,
    arbiter::{Start, plan},
    call::{Call, ForceProgress, ForcedCall, Payload},
    contracts::{AppOutcome, AppReply, Code, ContractId, Contracts, Predictor},
};
use scale::Encode;

/// A counter to this goal.
pub(crate) fn counter(coins: Pair<Amount>, goal: u64) -> Change {
    creation(apps::COUNTER.code, coins, goal.encode())
}

/// Tokens that move until this block.
pub(crate) fn escrow(deadline: BlockNumber) -> Change {
    creation(apps::ESCROW.code, Pair::default(), deadline.encode())
}

/// Something that does as it is told.
pub(crate) fn puppet(coins: Pair<Amount>) -> Change {
    creation(apps::PUPPET.code, coins, Vec::new())
}

pub(crate) fn creation(code: Hash, coins: Pair<Amount>, input: Vec<u8>) -> Change {
    Change::CreateContract(Creation { code: Code::Contract(code), coins, input })
}

pub(crate) fn call(contract: ContractId, value: Amount, input: &impl Encode) -> Change {
    Change::CallContract { contract, value, input: input.encode() }
}

pub(crate) fn forced(contract: ContractId, value: Amount, input: &impl Encode) -> ForcedCall {
    ForcedCall { contract, value, input: input.encode() }
}

/// The state of these contracts.
pub(crate) fn state_of(balances: Pair<Amount>, contracts: Contracts, calls_root: Hash) -> State {
    let mut state = State::committed(StateCommitment { balances, contracts_root: contracts.root(), calls_root });
    state.contracts = contracts;
    state
}

/// The same state after no calls.
pub(crate) fn without_calls(mut state: State) -> State {
    state.calls_root = Hash::ZERO;
    state
}

/// What a puppet is told: to pay this.
pub(crate) fn pays(initiator: Amount, responder: Amount) -> AppReply {
    let (state, requirement) = (Vec::new(), None);
    Ok(AppOutcome { state, payouts: Pair::new(initiator, responder), output: b"done".to_vec(), requirement })
}

/// So many coins of one party.
pub(crate) fn of(party: Party, amount: Amount) -> Pair<Amount> {
    let mut coins = Pair::default();
    coins[party] = amount;
    coins
}

impl World {
    /// An open channel with contracts that `party` created.
    pub(crate) fn with(party: Party, creations: Vec<Change>) -> (Self, Vec<ContractId>) {
        let mut world = Self::opened();
        let ids = world.create(party, creations);
        (world, ids)
    }

    /// Creates contracts and has the peer agree. Their ids, in the order of the changes.
    pub(crate) fn create(&mut self, party: Party, creations: Vec<Change>) -> Vec<ContractId> {
        let made = self.make(party, creations).unwrap();
        self.run();
        self.consent(party.peer());
        self.run();
        made.iter().map(|change| self.created_by(party, *change)).collect()
    }

    /// The contract that an own change created.
    pub(crate) fn created_by(&self, party: Party, change: ChangeId) -> ContractId {
        let created = self.sides[party].performed.iter().find_map(|(_, _, performed)| match performed.outcome {
            channel::Outcome::Created { contract, .. } if performed.change == Some(change) => Some(contract),
            _ => None,
        });
        created.expect("it was created")
    }

    /// Makes one change.
    pub(crate) fn make_one(&mut self, party: Party, change: Change) -> Result<ChangeId, Misuse> {
        self.make(party, vec![change]).map(|ids| ids[0])
    }

    /// Makes changes. Payments among them are told of as payments.
    pub(crate) fn make(&mut self, party: Party, changes: Vec<Change>) -> Result<Vec<ChangeId>, Misuse> {
        let side = &mut self.sides[party];
        let next = side.channel.as_ref().and_then(Channel::next_change);
        let first = next.unwrap_or(ChangeId(0));
        let ids: Vec<_> = (first.0..).take(changes.len()).map(ChangeId).collect();
        // Known before the machine may report them.
        for (id, change) in ids.iter().zip(&changes).filter(|_| next.is_some()) {
            let earlier = match change {
                Change::Transfer(payment) => side.sent.insert(*id, (payment.clone(), Fate::Pending)).is_some(),
                other => side.made.insert(*id, (other.clone(), Fate::Pending)).is_some(),
            };
            assert!(!earlier, "{id:?} is given once");
        }
        match self.command(party, Command::Make(changes)) {
            Ok(()) => Ok(ids),
            Err(misuse) => {
                for id in ids.into_iter().filter(|_| next.is_some()) {
                    let _none = self.sides[party].sent.remove(&id);
                    let _none = self.sides[party].made.remove(&id);
                }
                Err(misuse)
            }
        }
    }

    pub(crate) fn force(&mut self, party: Party, calls: Vec<ForcedCall>) -> Result<(), Misuse> {
        self.command(party, Command::Force { calls, certainty: Certainty::OwnStoreIsNewest })
    }

    /// The user agrees to whatever it was asked last, if it was.
    pub(crate) fn consent(&mut self, party: Party) {
        if let Some(round) = self.asked(party) {
            let _late = self.accept(party, round);
        }
    }

    /// The user agrees to a round as it was shown last.
    pub(crate) fn accept(&mut self, party: Party, round: Round) -> Result<(), Misuse> {
        self.command(party, Command::Accept { proposal: self.shown(party, round) })
    }

    /// The user refuses a round as it was shown last.
    pub(crate) fn refuse(&mut self, party: Party, round: Round, code: RefusalCode) -> Result<(), Misuse> {
        self.command(party, Command::Refuse { proposal: self.shown(party, round), code })
    }

    /// What names a round as it was shown last; something else where it never was.
    pub(crate) fn shown(&self, party: Party, round: Round) -> ProposalId {
        let shown = self.sides[party].noticed.iter().rev().find_map(|notice| match notice {
            channel::Notice::Proposed { proposal, .. } if proposal.round == round => Some(*proposal),
            _ => None,
        });
        shown.unwrap_or(ProposalId { round, content: Hash::ZERO })
    }

    /// The last round that the user was asked about.
    pub(crate) fn asked(&self, party: Party) -> Option<Round> {
        self.sides[party].noticed.iter().rev().find_map(|notice| match notice {
            channel::Notice::Proposed { proposal, .. } => Some(proposal.round),
            _ => None,
        })
    }

    /// What the user was told of a change of its own.
    pub(crate) fn fate(&self, party: Party, id: ChangeId) -> Fate {
        let side = &self.sides[party];
        side.sent.get(&id).map(|(_, fate)| *fate).unwrap_or_else(|| side.made[&id].1)
    }

    /// What the user was told that contracts did, in order.
    pub(crate) fn outcomes(&self, party: Party) -> Vec<channel::Outcome> {
        self.sides[party].performed.iter().map(|(_, _, performed)| performed.outcome.clone()).collect()
    }

    /// Forces calls by another hand than the machine's, on a state that it keeps, in the next block.
    pub(crate) fn force_by_hand(
        &mut self,
        party: Party,
        state: &State,
        payload: Option<Payload>,
        calls: Vec<ForcedCall>,
    ) {
        let call = self.forced_step(party, state, payload, calls);
        self.chain.submit(party, Call::ChannelForceProgress(call));
    }

    /// Such a step, for the next block.
    pub(crate) fn forced_step(
        &self,
        party: Party,
        state: &State,
        payload: Option<Payload>,
        calls: Vec<ForcedCall>,
    ) -> ForceProgress {
        self.try_forced_step(party, state, payload, calls).expect("the arbiter makes it")
    }

    /// The same, where calls may make no sense.
    pub(crate) fn try_forced_step(
        &self,
        party: Party,
        state: &State,
        payload: Option<Payload>,
        calls: Vec<ForcedCall>,
    ) -> Option<ForceProgress> {
        let (&channel, record) = self.chain.ledger.channels.first_key_value()?;
        let State { balances, contracts, calls_root, .. } = state;
        let base = Start { channel, record, payload, balances: *balances, contracts, calls_root: *calls_root };
        let deployed = |code: &Hash| channel::AppBook::deployed(&self.sides[party].book, code);
        let mut executor = Predictor::new(&self.chain.ledger.apps, &|_| None);
        let height = self.chain.head() + 1;
        plan(&base, party, calls, height, &deployed, &mut executor).ok().map(|plan| plan.call)
    }
}
