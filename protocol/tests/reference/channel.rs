//! One channel as the model sees it: a co-signed base, a number of forced rounds on top of it, and perhaps a close that waits.

use protocol::{
    AccountId, Amount, BlockNumber, Hash, Pair, Party, Rejection, Round,
    event::Payout,
    record::{Closing, Penalty, Phase, Record},
    terms::{Destination, Terms},
};

#[derive(Clone, Debug)]
pub struct Channel {
    pub terms: Terms,
    pub total: Amount,
    /// The newest co-signed round on chain.
    pub co_signed: Round,
    /// How many rounds were forced on top of it (R5.10: each call is exactly one).
    pub forced: u64,
    /// The hash of the newest state, forced or not.
    pub state: Hash,
    pub steps: Pair<u8>,
    pub stage: Stage,
}

#[derive(Clone, Debug)]
pub enum Stage {
    Open,
    Closing(Waiting),
    Residual,
}

/// A close that waits for an answer.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub balances: Pair<Amount>,
    pub until: BlockNumber,
    pub closer: Party,
    /// Whether the closer is shown to have held a newer state.
    pub proven: bool,
}

/// What a co-signed state is to a channel (R5.4).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Candidate {
    Newer,
    Known,
}

impl Channel {
    /// R5.4. Of co-signed states only the base counts: what was forced on it is worth nothing against one of a later round.
    pub fn candidate(&self, round: Round, state: Hash) -> Result<Candidate, Rejection> {
        if round > self.co_signed {
            return Ok(Candidate::Newer);
        }
        if self.forced > 0 {
            return Err(Rejection::RoundTooOld { got: round, have: self.co_signed + 1 });
        }
        if round < self.co_signed {
            return Err(Rejection::RoundTooOld { got: round, have: self.co_signed });
        }
        if state == self.state { Ok(Candidate::Known) } else { Err(Rejection::RoundHasOtherState { round }) }
    }

    /// As [`Channel::candidate`], where the state known will not do.
    pub fn must_be_newer(&self, round: Round, state: Hash) -> Result<(), Rejection> {
        match self.candidate(round, state)? {
            Candidate::Newer => Ok(()),
            Candidate::Known => Err(Rejection::RoundAlreadyKnown { round }),
        }
    }

    /// A co-signed state becomes the base; forced steps are counted anew.
    pub fn take(&mut self, round: Round, state: Hash) {
        (self.co_signed, self.forced, self.state, self.steps) = (round, 0, state, Pair::default());
    }

    /// R5.9: the closer signed its peer's round last, so it held it. Its own rounds prove nothing.
    pub fn show_to_closer(&mut self, round: Round) {
        if let Stage::Closing(waiting) = &mut self.stage {
            let initiators = round % 2 == 1;
            waiting.proven |= initiators != (waiting.closer == Party::Initiator);
        }
    }

    pub fn must_be_open(&self) -> Result<(), Rejection> {
        if matches!(self.stage, Stage::Open) { Ok(()) } else { Err(Rejection::NotOpen) }
    }

    pub fn may_defend(&self, who: &AccountId) -> bool {
        let Pair { initiator, responder } = &self.terms.parties;
        [initiator, responder].into_iter().any(|party| party.account == *who || party.delegates.contains(who))
    }

    pub fn round(&self) -> Round {
        self.co_signed + self.forced
    }

    pub fn forced_from(&self) -> Option<Round> {
        (self.forced > 0).then_some(self.co_signed + 1)
    }

    pub fn closing(&self) -> Option<Closing> {
        let Stage::Closing(Waiting { balances, until, closer, proven }) = self.stage else { return None };
        let penalty = if proven { Penalty::Due(closer) } else { Penalty::AtRisk(closer) };
        Some(Closing { balances, unlock_at: until, penalty })
    }

    /// Coins for both, each where it wants them (R5.1).
    pub fn pay(&self, coins: Pair<Amount>) -> Vec<Payout> {
        let both = [Party::Initiator, Party::Responder].map(|party| {
            let terms = &self.terms.parties[party];
            Payout { to: terms.account, amount: coins[party], destination: terms.payout }
        });
        both.into_iter().filter(|payout| payout.amount != 0).collect()
    }

    /// The record that the arbiter should have.
    pub fn record(&self) -> Record {
        Record {
            terms: self.terms.clone(),
            total: self.total,
            round: self.round(),
            forced_from: self.forced_from(),
            state_hash: self.state,
            forced_steps: self.steps,
            phase: match self.stage {
                Stage::Open => Phase::Open,
                Stage::Closing(_) => Phase::Closing(self.closing().unwrap()),
                Stage::Residual => Phase::Residual,
            },
        }
    }
}

/// A payout to whoever submits a call (R5.12).
pub fn fee(to: AccountId, amount: Amount) -> Option<Payout> {
    (amount > 0).then_some(Payout { to, amount, destination: Destination::Account })
}
