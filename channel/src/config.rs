//! What a node is willing to do: timeouts, and the terms it accepts (R6.7).

use crate::{message::ChannelOpen, transfer::TransferLimits, units::Millis};
use protocol::{Amount, BlockNumber, Hash, Pair, signing::Domain, terms::Limits};
use scale::{Decode, Encode};
use thiserror::Error;

/// How long each answer may take, in milliseconds. An opening that nobody has signed is given up; a review that the user does not end is taken for a no;
/// everywhere else the user is told that the peer is silent, and nothing else changes: what was signed stays possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Timeouts {
    /// For channel_accept (initialized) and funding_created (accepted), each.
    pub opening: Millis,
    /// For funding_signed (half_signed).
    pub funding_signed: Millis,
    /// For the peer's funding_locked once the opening is final here (signed).
    pub funding_locked: Millis,
    /// For the answer to an update (open).
    pub answer: Millis,
    /// For the answer to deposit_created, withdraw_created or set_delegates_created (open).
    pub operation: Millis,
    /// For the peer's deposit_locked, withdraw_locked or set_delegates_locked once the operation is final here (open).
    pub locked: Millis,
    /// For the answer to a shutdown (closing).
    pub shutdown: Millis,
    /// For the answer to reestablish (disconnected).
    pub reestablish: Millis,
    /// For leave_ack; then this side parts all the same.
    pub leave: Millis,
    /// For one's own user to review a round of the peer's; then it is refused. Should be shorter than the peer's `answer`.
    pub review: Millis,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            opening: 120_000,
            funding_signed: 120_000,
            funding_locked: 360_000,
            answer: 60_000,
            operation: 60_000,
            locked: 360_000,
            shutdown: 60_000,
            reestablish: 60_000,
            leave: 10_000,
            review: 30_000,
        }
    }
}

/// Who agrees to the peer's rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub enum Acceptance {
    /// Whatever is valid is agreed to at once.
    #[default]
    #[codec(index = 0)]
    Automatic,
    /// Whatever is valid is shown to the user ([`Notice::Proposed`](crate::Notice::Proposed)), who accepts or refuses.
    #[codec(index = 1)]
    Manual,
}

/// Settings of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Config {
    /// How long each answer may take.
    pub timeouts: Timeouts,
    /// The most changes that wait for the next round: more are refused, so that memory stays bounded.
    pub max_queued: u32,
    /// Within how many blocks a close in agreement must be on chain.
    pub close_validity: BlockNumber,
    /// Within how many blocks a deposit, a withdrawal or other delegates must be on chain. The channel waits that long where they do not get there.
    pub operation_validity: BlockNumber,
    /// Who agrees to the peer's rounds.
    pub acceptance: Acceptance,
    /// The highest close fee that is accepted, in coins of the proposer's balance.
    pub max_close_fee: Amount,
    /// Whether a newer state is posted without asking when the peer closes on an old one (R6.9).
    pub defend: bool,
    /// The most contracts in the channel.
    pub max_contracts: u32,
    /// How far the height of a round may lie from one's own finalised head (R7.3).
    pub height_window: HeightWindow,
    /// How long own calls of contracts may wait for the peer, in milliseconds, before the arbiter makes them (R5.10); none to leave that to
    /// the user. Payments and other changes that wait with them cannot be forced, and are given up then.
    pub force_after: Option<Millis>,
    /// What the peer may offer (R8.3b). It is told when the channel is opened, and stays as it was then.
    pub transfers: TransferLimits,
    /// How many blocks after its expiry a conditional transfer that the peer does not end is ended on chain (R8.3e); none to leave that to the user.
    pub force_transfers_after: Option<BlockNumber>,
}

/// How far the height of a round may lie from one's own finalised head, in blocks (R7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HeightWindow {
    /// Below it. As far above it a round may be that waits until its block is seen here.
    pub behind: u16,
    /// Above it: so much nearer a peer may bring a deadline than this side sees it.
    pub ahead: u16,
}

impl Default for HeightWindow {
    fn default() -> Self {
        Self { behind: 20, ahead: 0 }
    }
}

impl Config {
    /// Whether code that goes with a transfer of this expiry, and is not here, is waited for at block `head` (R8.3g).
    pub(crate) fn waits_for_code(&self, expiry: BlockNumber, head: BlockNumber) -> bool {
        head < self.code_is_awaited_until(expiry)
    }

    /// From which block on that code is waited for no more.
    pub(crate) fn code_is_awaited_until(&self, expiry: BlockNumber) -> BlockNumber {
        expiry.saturating_add(self.force_transfers_after.unwrap_or(0))
    }

    /// The highest height that a round may name while this is one's own finalised head (R7.3).
    pub(crate) fn height_limit(&self, head: BlockNumber) -> BlockNumber {
        head.saturating_add(BlockNumber::from(self.height_window.ahead))
    }

    /// The last block of the longest pledge: as far as whoever is asked for something takes a block for (R6.5a).
    pub(crate) const fn longest_pledge(&self, head: BlockNumber) -> BlockNumber {
        head.saturating_add(self.pledges_last())
    }

    /// For how many blocks a pledge may last.
    pub(crate) const fn pledges_last(&self) -> BlockNumber {
        self.operation_validity.saturating_mul(2)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            max_queued: 1 << 20,
            close_validity: 100,
            operation_validity: 50,
            acceptance: Acceptance::Automatic,
            max_close_fee: Amount::MAX,
            defend: true,
            max_contracts: 1_024,
            height_window: HeightWindow::default(),
            force_after: None,
            transfers: TransferLimits::default(),
            force_transfers_after: Some(100),
        }
    }
}

/// How soon a node sees what happens on chain, and how soon what it sends is in a block (R6.9d).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The longest time between two looks at the chain, finality lag included, in blocks.
    pub look_within: BlockNumber,
    /// The longest time from a look to the block that includes what is sent because of it, in blocks.
    pub include_within: BlockNumber,
}

impl Pace {
    /// The shortest lock period, in blocks, in which a node with this pace can answer everything that a peer with `max_forced` forced steps on
    /// one base can do (R6.9d).
    #[must_use]
    pub fn least_lock(self, max_forced: u8) -> BlockNumber {
        let Self { look_within, include_within } = self;
        let inclusions = BlockNumber::from(max_forced.max(2));
        look_within.max(include_within).saturating_add(include_within.saturating_mul(inclusions))
    }
}

impl Default for Pace {
    /// Four blocks to see something that is final, three to answer it: a chain with free blocks, and a node that is not stopped for longer.
    fn default() -> Self {
        Self { look_within: 4, include_within: 3 }
    }
}

/// The openings that a node accepts (R6.7). Everything in `channel_open` is held against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The only arbiter and chain.
    pub domain: Domain,
    /// The only code that arbiter may have.
    pub code_hash: Hash,
    /// The arbiter's own bounds.
    pub limits: Limits,
    /// The most coins that the chain can say: both shares together are no more.
    pub largest_amount: Amount,
    /// The shortest lock period, in blocks, where [`Pace`] does not ask for a longer one.
    pub lock_period_min: BlockNumber,
    /// The longest, in blocks: own coins wait that long.
    pub lock_period_max: BlockNumber,
    /// The most this node puts into one channel that a peer opens: none, where strangers shall lock no coins of its vault.
    pub share_max: Amount,
    /// The least reserve: what a party has less than that cannot be charged as a penalty.
    pub reserve_min: Amount,
    /// The highest reserve.
    pub reserve_max: Amount,
    /// The least penalty: what a peer risks that closes on an old state.
    pub penalty_min: Amount,
    /// The highest penalty.
    pub penalty_max: Amount,
    /// The longest validity of an opening, in blocks: own coins may be taken that long.
    pub validity_max: BlockNumber,
}

/// Which term does not suit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the message of each variant is its documentation")]
pub enum PolicyRefusal {
    #[error("another arbiter or another chain")]
    Domain,
    #[error("the arbiter's code is {got}, expected was {want}")]
    CodeHash { got: Hash, want: Hash },
    #[error("a lock period of {got} blocks, {min} to {max} would suit")]
    LockPeriod { got: BlockNumber, min: BlockNumber, max: BlockNumber },
    #[error("a share of {got}, at most {max} would suit")]
    Share { got: Amount, max: Amount },
    #[error("shares of {} and {}, and the chain's balances hold at most {most}: both together must be no more", shares.initiator, shares.responder)]
    AmountTooLarge { shares: Pair<Amount>, most: Amount },
    #[error("a reserve of {got}, {min} to {max} would suit")]
    Reserve { got: Amount, min: Amount, max: Amount },
    #[error("a penalty of {got}, {min} to {max} would suit")]
    Penalty { got: Amount, min: Amount, max: Amount },
    #[error("a validity of {got} blocks, 1 to {max} would suit")]
    Validity { got: BlockNumber, max: BlockNumber },
    #[error("an initial balance smaller than what we put in")]
    PushFromResponder,
}

impl Policy {
    /// Holds an opening against this policy, for a node that sees and answers at this pace. The arbiter's own bounds are checked with the full
    /// terms.
    ///
    /// # Errors
    /// The first term that does not suit.
    pub fn check(&self, open: &ChannelOpen, pace: Pace) -> Result<(), PolicyRefusal> {
        if open.domain != self.domain {
            return Err(PolicyRefusal::Domain);
        }
        if open.code_hash != self.code_hash {
            return Err(PolicyRefusal::CodeHash { got: open.code_hash, want: self.code_hash });
        }
        let (min, max) = (self.lock_period_min.max(pace.least_lock(open.max_forced)), self.lock_period_max);
        if open.lock_period < min || open.lock_period > max {
            return Err(PolicyRefusal::LockPeriod { got: open.lock_period, min, max });
        }
        // What no chain can say is refused with the full terms.
        let coins = open.shares.initiator.checked_add(open.shares.responder);
        if coins.is_some_and(|coins| coins > self.largest_amount) {
            return Err(PolicyRefusal::AmountTooLarge { shares: open.shares, most: self.largest_amount });
        }
        if open.shares.responder > self.share_max {
            return Err(PolicyRefusal::Share { got: open.shares.responder, max: self.share_max });
        }
        if !(self.reserve_min..=self.reserve_max).contains(&open.reserve) {
            let (min, max) = (self.reserve_min, self.reserve_max);
            return Err(PolicyRefusal::Reserve { got: open.reserve, min, max });
        }
        if !(self.penalty_min..=self.penalty_max).contains(&open.penalty) {
            let (min, max) = (self.penalty_min, self.penalty_max);
            return Err(PolicyRefusal::Penalty { got: open.penalty, min, max });
        }
        if open.validity == 0 || open.validity > self.validity_max {
            return Err(PolicyRefusal::Validity { got: open.validity, max: self.validity_max });
        }
        if open.balances.responder < open.shares.responder {
            return Err(PolicyRefusal::PushFromResponder);
        }
        Ok(())
    }
}
