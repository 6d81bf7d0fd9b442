//! What is inside the channel: the honest party's coins, and an offer that it may take up to a deadline.

use super::Scenario;
use crate::chain::OFFER;
use protocol::{
    Amount, BlockNumber, Hash, Pair, Party, StateCommitment,
    contracts::{App, AppContext, Code, Contract, ContractId, Contracts},
};
use scale::{Decode, Encode};

/// All coins of the channel.
pub(crate) const TOTAL: Amount = 40;
/// What the offer holds.
const OFFERED: Amount = 5;
/// The contract that makes the offer.
pub(crate) const CONTRACT: ContractId = ContractId([0x40; 32]);

/// What has become of the offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Offered {
    /// It waits.
    #[codec(index = 0)]
    Open,
    /// The honest party took it, before the deadline.
    #[codec(index = 1)]
    Taken,
    /// Its peer took it back, from the deadline on.
    #[codec(index = 2)]
    Withdrawn,
}

/// A call of the offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Ask {
    /// A call for the call's sake: it takes a round, a lock, and nothing else.
    #[codec(index = 0)]
    Nothing,
    /// Takes the offer.
    #[codec(index = 1)]
    Take,
    /// Takes the offer back.
    #[codec(index = 2)]
    Withdraw,
}

/// What the contract keeps: what has become of the offer, to whom it is made, and its deadline.
type Kept = (Offered, Party, BlockNumber);

/// The app: coins for one party up to a deadline, and for its peer from then on.
pub(crate) struct Offer;

impl App for Offer {
    type State = Kept;
    type Creation = ();
    type Input = Ask;
    type Output = ();
    type Error = ();

    fn init(_context: &AppContext, _creation: ()) -> Result<Kept, ()> {
        Err(())
    }

    fn call(context: &AppContext, (offered, to, deadline): &mut Kept, ask: Ask) -> Result<(Pair<Amount>, ()), ()> {
        let in_time = context.height < *deadline;
        let is_payee = context.caller == *to;
        let next = match ask {
            Ask::Nothing => *offered,
            Ask::Take if *offered == Offered::Open && is_payee && in_time => Offered::Taken,
            Ask::Withdraw if *offered == Offered::Open && !is_payee && !in_time => Offered::Withdrawn,
            Ask::Take | Ask::Withdraw => return Err(()),
        };
        let mut payouts = Pair::default();
        if next != *offered {
            payouts[context.caller] = context.balance;
        }
        *offered = next;
        Ok((payouts, ()))
    }
}

/// What a state says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Content {
    /// The honest party's coins, the offer's apart.
    pub own: Amount,
    /// The offer.
    pub offered: Offered,
}

impl Content {
    fn balances(self, honest: Party) -> Pair<Amount> {
        let offered = |taken| if self.offered == taken { OFFERED } else { 0 };
        let mut balances = Pair::default();
        balances[honest] = self.own.saturating_add(offered(Offered::Taken));
        let left = TOTAL.saturating_sub(OFFERED).saturating_sub(self.own);
        balances[honest.peer()] = left.saturating_add(offered(Offered::Withdrawn));
        balances
    }

    pub(crate) fn contracts(self, scenario: &Scenario) -> Contracts {
        let state: Kept = (self.offered, scenario.honest, scenario.deadline());
        let contract = Contract {
            code: Code::Contract(OFFER.1),
            balance: if self.offered == Offered::Open { OFFERED } else { 0 },
            owner: Party::Initiator,
            state: state.encode(),
        };
        [(CONTRACT, contract)].into_iter().collect()
    }

    pub(crate) fn after(self, ask: Ask) -> Self {
        let offered = match ask {
            Ask::Nothing => self.offered,
            Ask::Take => Offered::Taken,
            Ask::Withdraw => Offered::Withdrawn,
        };
        Self { offered, ..self }
    }
}

/// The roots of the three states that the contract can be in: hashed once.
#[derive(Clone, Debug)]
pub(crate) struct Roots([Hash; 3]);

impl Roots {
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let root = |offered| Content { own: 0, offered }.contracts(scenario).root();
        Self([root(Offered::Open), root(Offered::Taken), root(Offered::Withdrawn)])
    }

    pub(crate) fn commitment(&self, honest: Party, content: Content, calls_root: Hash) -> StateCommitment {
        let Self([open, taken, withdrawn]) = self;
        let contracts_root = match content.offered {
            Offered::Open => *open,
            Offered::Taken => *taken,
            Offered::Withdrawn => *withdrawn,
        };
        StateCommitment { balances: content.balances(honest), contracts_root, calls_root }
    }
}
