//! The arbiter as pure functions: `(record, call, now) -> (record, payouts, event) | rejection` (R5.17).
//!
//! The contract enforces these rules, the SDK predicts with them, and [`Ledger`] is them. [`messages`] joins rules, storage,
//! transfers and events through [`Host`], once for all of these.

mod close_mutual;
mod close_solo;
mod create;
mod deposit;
mod force_progress;
mod host;
#[cfg(feature = "std")]
mod ledger;
pub mod messages;
mod newer;
#[cfg(feature = "std")]
mod plan;
mod progress;
mod set_delegates;
mod settle;
mod slash;
mod snapshot_solo;
pub mod vault;
mod withdraw;

pub use close_mutual::close_mutual;
pub use close_solo::close_solo;
pub use create::create;
pub use deposit::deposit;
pub use force_progress::{force_progress, prove_contract_state};
pub use host::Host;
#[cfg(feature = "std")]
pub use ledger::{Applied, Ledger};
pub use newer::{Candidate, Standing, standing};
#[cfg(feature = "std")]
pub use plan::{Followed, Plan, Start, follow, plan, plan_fitting};
pub use progress::{
    ForcedProgress, MAX_FORCED_ANSWERS, MAX_FORCED_CALLS, MAX_FORCED_INPUTS, MAX_FORCED_STEP, Progressed,
};
pub use set_delegates::set_delegates;
pub use settle::settle;
pub use slash::slash;
pub use snapshot_solo::snapshot_solo;
pub use withdraw::withdraw;

use crate::{
    AccountId, Amount, BlockNumber, ChannelId, Hash, Pair, Rejection, Round, StateCommitment,
    call::Payload,
    crypto::Crypto,
    event::{ArbiterEvent, Payout},
    record::{Phase, Record},
    signing::{CoSigned, Domain},
    terms::{Limits, Terms},
};
use alloc::vec::Vec;

/// What a rule needs to know of the call's surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallContext {
    /// Where signatures must have been made for.
    pub domain: Domain,
    /// The arbiter's bounds.
    pub limits: Limits,
    /// The current block.
    pub now: BlockNumber,
    /// Whose transaction this is.
    pub caller: AccountId,
}

impl CallContext {
    /// The first block in which a close locked now can be settled: always a full period away (R5.8 to R5.10).
    const fn unlock_at(&self, record: &Record) -> BlockNumber {
        self.now.saturating_add(record.terms.lock_period)
    }
}

/// What a successful call does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct CallOutcome {
    /// The record to store, or none where the channel has ended (R5.15).
    pub record: Option<Record>,
    /// Coins to pay out, in this order; none of them is zero.
    pub payouts: Vec<Payout>,
    /// What to announce.
    pub event: ArbiterEvent,
}

/// Makes `payload` the channel's state if it is newer (R5.4). After it, no forced chain is left; while closing, it may make the penalty due
/// (R5.9).
fn adopt(
    ctx: &CallContext,
    channel: &ChannelId,
    record: &mut Record,
    payload: &Payload,
    crypto: &impl Crypto,
) -> Result<Standing, Rejection> {
    let standing = standing(&record.on_chain, &record.terms, &payload.into(), ctx.now)?;
    if standing == Standing::Newer {
        let _: CoSigned<_> =
            CoSigned::check(&ctx.domain, channel, &record.terms.keys(), payload.body(), payload.signatures, crypto)?;
        advance(record, payload.round, payload.state_hash);
        if let Phase::Closing(closing) = &mut record.phase {
            closing.penalty = closing.penalty.shown(payload.round, payload.base);
        }
    }
    Ok(standing)
}

/// As [`standing`], where only something newer will do.
fn check_newer(record: &Record, candidate: &Candidate, now: BlockNumber) -> Result<(), Rejection> {
    match standing(&record.on_chain, &record.terms, candidate, now)? {
        Standing::Newer => Ok(()),
        Standing::AlreadyKnown => Err(Rejection::RoundAlreadyKnown { round: candidate.round }),
    }
}

/// Makes a co-signed state the channel's state. After it, no forced chain is left, and forced steps count anew (R5.10).
fn advance(record: &mut Record, round: Round, state_hash: Hash) {
    record.on_chain.adopt(round, state_hash);
    record.forced_steps = Pair::default();
}

/// Checks that `commitment` is that of the record's state (R4.1).
fn check_commitment(record: &Record, commitment: &StateCommitment, crypto: &impl Crypto) -> Result<(), Rejection> {
    if commitment.hash(crypto) == record.on_chain.state_hash { Ok(()) } else { Err(Rejection::CommitmentMismatch) }
}

/// The balances that `commitment` gives the parties, once it is shown to be the record's state (R4.1, R4.4).
fn balances_of(record: &Record, commitment: &StateCommitment, crypto: &impl Crypto) -> Result<Pair<Amount>, Rejection> {
    check_commitment(record, commitment, crypto)?;
    match commitment.balances.sum() {
        Some(sum) if sum <= record.total => Ok(commitment.balances),
        _ => Err(Rejection::BalancesExceedTotal { total: record.total }),
    }
}

/// The payouts of `balances` to the parties, each where it asked for them (R5.1).
fn pay_parties(terms: &Terms, balances: &Pair<Amount>) -> Vec<Payout> {
    terms
        .parties
        .iter()
        .map(|(party, to)| Payout {
            party: Some(party),
            to: to.account,
            amount: balances[party],
            destination: to.payout,
        })
        .filter(|payout| payout.amount > 0)
        .collect()
}
