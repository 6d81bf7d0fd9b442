//! One channel as the model sees it: a co-signed base, a number of forced rounds on top of it, the steps that were ever forced, and perhaps a
//! close that waits.

use protocol::{
    AccountId, Amount, Base, BlockNumber, Hash, Mark, Maturity, Pair, Party, PartyId, Rejection, Round, decode_exact,
    event::Payout,
    record::{Closing, OnChain, Penalty, Phase, Record},
    terms::{Destination, Power, Terms},
};
use scale::Encode;

#[derive(Clone, Debug)]
pub struct Channel {
    pub terms: Terms,
    pub total: Amount,
    /// The newest co-signed round on chain.
    pub co_signed: Round,
    /// How many rounds were forced on top of it (R5.10: each call is exactly one).
    pub forced: u32,
    /// The hash of the newest state, forced or not.
    pub state: Hash,
    pub steps: Pair<u8>,
    pub history: Vec<Forcing>,
    pub stage: Stage,
}

/// A transaction that forced something, ever (R5.4b).
#[derive(Clone, Copy, Debug)]
pub struct Forcing {
    pub reached: (Round, u32),
    pub block: BlockNumber,
    /// Whether it has gone because there were too many.
    pub is_forgotten: bool,
}

#[derive(Clone, Debug)]
pub enum Stage {
    Open,
    Closing(Waiting),
    /// Settled, with the block from which each party's steps are counted.
    Residual(Pair<BlockNumber>),
}

/// A close that waits for an answer.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub balances: Pair<Amount>,
    pub until: BlockNumber,
    pub closer: Party,
    /// The co-signed round that was closed on, or forced on.
    pub closed_on: Round,
    /// Whether the closer is shown to have held a newer state.
    pub proven: bool,
}

/// A co-signed round that somebody shows.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    pub round: Round,
    pub base: Base,
    pub state: Hash,
    pub last_block: Option<BlockNumber>,
}

/// What a co-signed state is to a channel (R5.4).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Candidate {
    Newer,
    Known,
}

impl Channel {
    /// R5.4. Of co-signed states only the base counts: what was forced on it is worth nothing against one of a later round, as long as that
    /// goes on from what has stood for a lock period.
    pub fn candidate(&self, shown: &Shown, now: BlockNumber) -> Result<Candidate, Rejection> {
        let (round, have) = (shown.round, self.co_signed);
        if round > have {
            if let Some(valid_until) = shown.last_block.filter(|last| *last < now) {
                return Err(Rejection::Expired { valid_until, now });
            }
            let floor = self.floor(now);
            let goes_on_from_floor = (shown.base.agreed, shown.base.steps) >= floor;
            let (agreed, steps) = floor;
            let refused = Rejection::BaseTooOld { got: shown.base, floor: Base { agreed, steps } };
            return if goes_on_from_floor { Ok(Candidate::Newer) } else { Err(refused) };
        }
        match (round == have && self.forced == 0, shown.state == self.state) {
            (true, true) => Ok(Candidate::Known),
            (true, false) => Err(Rejection::RoundHasOtherState { round }),
            (false, _) => Err(Rejection::RoundTooOld { got: round, have }),
        }
    }

    /// As [`Channel::candidate`], where the state known will not do.
    pub fn must_be_newer(&self, shown: &Shown, now: BlockNumber) -> Result<(), Rejection> {
        match self.candidate(shown, now)? {
            Candidate::Newer => Ok(()),
            Candidate::Known => Err(Rejection::RoundAlreadyKnown { round: shown.round }),
        }
    }

    /// A co-signed state becomes the base; forced steps are counted anew. What was ever forced is not forgotten by it.
    pub fn take(&mut self, shown: &Shown) {
        (self.co_signed, self.forced, self.state, self.steps) = (shown.round, 0, shown.state, Pair::default());
    }

    /// R5.4b: the furthest that anything reached which has stood for a lock period.
    pub fn floor(&self, now: BlockNumber) -> (Round, u32) {
        let since =
            |forcing: &Forcing| u64::from(now) >= (u64::from(forcing.block) + u64::from(self.terms.lock_period));
        // Nothing is later than the last block there is: what would mature beyond it does so then.
        let is_last = |forcing: &Forcing| now == BlockNumber::MAX && forcing.block <= now;
        let stands = |forcing: &&Forcing| !forcing.is_forgotten && (since(forcing) || is_last(forcing));
        self.history.iter().filter(stands).map(|forcing| forcing.reached).max().unwrap_or((0, 0))
    }

    /// R5.4b: a step reached the state that the channel has now. Of those not mature yet eight for each step allowed are remembered.
    pub fn mark(&mut self, now: BlockNumber) {
        self.history.push(Forcing { reached: (self.co_signed, self.forced), block: now, is_forgotten: false });
        let most = 8 * usize::from(self.terms.max_forced);
        while self.unripe(now).len() > most {
            let lowest = self.unripe(now).into_iter().min_by_key(|place| self.history[*place].reached).unwrap();
            self.history[lowest].is_forgotten = true;
        }
    }

    /// The places in the history of what is remembered and not mature, nor below what is.
    fn unripe(&self, now: BlockNumber) -> Vec<usize> {
        let floor = self.floor(now);
        let waits = |place: &usize| !self.history[*place].is_forgotten && self.history[*place].reached > floor;
        (0..self.history.len()).filter(waits).collect()
    }

    /// R5.9: the closer signed its peer's round last, so it held it. Of its own rounds only those prove something which go on from another
    /// one above what it closed on.
    pub fn show_to_closer(&mut self, shown: &Shown) {
        if let Stage::Closing(waiting) = &mut self.stage {
            let initiators = shown.round % 2 == 1;
            let is_peers = initiators != (waiting.closer == Party::Initiator);
            let is_above = shown.round > waiting.closed_on;
            waiting.proven |= is_above && (is_peers || shown.base.agreed > waiting.closed_on);
        }
    }

    pub fn must_be_open(&self) -> Result<(), Rejection> {
        if matches!(self.stage, Stage::Open) { Ok(()) } else { Err(Rejection::NotOpen) }
    }

    pub fn may_defend(&self, who: &AccountId) -> bool {
        let Pair { initiator, responder } = &self.terms.parties;
        let is_or_has = |party: &protocol::terms::PartyTerms| {
            party.account == *who || party.delegates.iter().any(|delegate| delegate.account == *who)
        };
        is_or_has(initiator) || is_or_has(responder)
    }

    /// The powers that a party gave an account: none, one, or both.
    pub fn powers(&self, party: Party, who: &AccountId) -> Vec<Power> {
        let delegates = &self.terms.parties[party].delegates;
        delegates.iter().filter(|delegate| delegate.account == *who).map(|delegate| delegate.power).collect()
    }

    pub fn round(&self) -> Round {
        self.co_signed + Round::from(self.forced)
    }

    pub fn at(&self) -> Base {
        Base { agreed: self.co_signed, steps: self.forced }
    }

    /// Account and key of a party: whose vault is meant (R5.1).
    pub fn id_of(&self, party: Party) -> PartyId {
        let terms = &self.terms.parties[party];
        PartyId { account: terms.account, key: terms.key }
    }

    pub fn closing(&self) -> Option<Closing> {
        let Stage::Closing(Waiting { balances, until, closer, closed_on, proven }) = self.stage else { return None };
        let penalty = if proven { Penalty::Due(closer) } else { Penalty::AtRisk { closer, closed_on } };
        Some(Closing { balances, unlock_at: until, penalty })
    }

    /// Coins for both, each where it wants them (R5.1).
    pub fn pay(&self, coins: Pair<Amount>) -> Vec<Payout> {
        let both = [Party::Initiator, Party::Responder].map(|party| {
            let terms = &self.terms.parties[party];
            Payout { party: Some(party), to: terms.account, amount: coins[party], destination: terms.payout }
        });
        both.into_iter().filter(|payout| payout.amount != 0).collect()
    }

    /// The record that the arbiter should have: of the history it keeps what was mature when it last grew, and what was not.
    pub fn record(&self) -> Record {
        let last = self.history.last().map_or(0, |forcing| forcing.block);
        let of = |(agreed, steps)| Base { agreed, steps };
        let floor = if self.history.is_empty() { Base::default() } else { of(self.floor(last)) };
        let marks: Vec<Mark> = (self.unripe(last).into_iter())
            .map(|place| &self.history[place])
            .map(|forcing| Mark { reached: of(forcing.reached), block: forcing.block })
            .collect();
        let maturity: Maturity = decode_exact(&(floor, marks).encode()).unwrap();
        Record {
            terms: self.terms.clone(),
            total: self.total,
            on_chain: OnChain { at: self.at(), state_hash: self.state, maturity },
            forced_steps: self.steps,
            phase: match self.stage {
                Stage::Open => Phase::Open,
                Stage::Closing(_) => Phase::Closing(self.closing().unwrap()),
                Stage::Residual(counted_from) => Phase::Residual { counted_from },
            },
        }
    }
}

/// A payout to whoever submits a call (R5.12).
pub fn fee(to: AccountId, amount: Amount) -> Option<Payout> {
    (amount > 0).then_some(Payout { party: None, to, amount, destination: Destination::Account })
}
