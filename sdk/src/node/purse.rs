//! The account's coins for fees: a channel can only be defended by whoever can pay for the calls (R6.9e).

use super::{
    config::{FeeReserve, NodeConfig},
    error::NodeError,
    registry::LockRegistry,
};
use crate::chain::{Arbiter, ChainError, Urgency};
use protocol::{AccountId, Amount, BlockNumber};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How many calls one channel may need in its defence: an answer, a snapshot, a forced step, the settlement.
const CALLS: Amount = 4;
/// How many fees are offered at most on top of one, unless told otherwise.
const TIPS: Amount = 10;

/// For how long an answer to what an opening lays down stands: it changes with the chain's runtime, and one endpoint says so.
const DEPOSIT_STANDS: Duration = Duration::from_secs(60);

/// What an account has for fees, and what it should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    /// What the account can spend, as it was seen last.
    pub have: Amount,
    /// What is kept for the defence of the channels that there are, and for registering what this node is paid by in them (R8.33).
    pub need: Amount,
}

impl Fees {
    /// Whether every channel can be defended.
    #[must_use]
    pub const fn suffice(&self) -> bool {
        self.have >= self.need
    }
}

/// What one call costs, as it was told: one endpoint says so, and may say anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Price {
    /// By whoever was asked last.
    last: Amount,
    /// The least that anybody has told since this process began: what is offered on top of a fee is paid, and goes by this.
    least: Amount,
}

impl Price {
    /// Another one was told.
    fn and(before: Option<Self>, told: Amount) -> Self {
        Self { last: told, least: before.map_or(told, |before| before.least.min(told)) }
    }
}

/// What is known of the account.
pub(super) struct Purse {
    arbiter: Arc<Arbiter>,
    account: AccountId,
    reserve: FeeReserve,
    tip_max: Option<Amount>,
    /// What one call costs.
    price: Mutex<Option<Price>>,
    have: Mutex<Option<Amount>>,
    /// Somebody looks just now.
    is_looked_at: AtomicBool,
    /// How many openings that this account pays for are under way.
    openings: Arc<AtomicUsize>,
    /// What one lays down, and when that was asked.
    deposit: tokio::sync::Mutex<Option<(Instant, Amount)>>,
    /// Who knows what may have to be registered.
    registry: LockRegistry,
}

/// An opening that the account pays for, until it is dropped: it goes with the opening, whoever waits for that or does not any more.
#[derive(Debug)]
pub(super) struct PaidOpening(Arc<AtomicUsize>);

impl Drop for PaidOpening {
    fn drop(&mut self) {
        let _before = self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Purse {
    pub(super) fn new(config: &NodeConfig, registry: LockRegistry) -> Self {
        Self {
            arbiter: Arc::clone(&config.arbiter),
            account: config.signer.account(),
            reserve: config.fee_reserve,
            tip_max: config.tip_max,
            price: Mutex::default(),
            have: Mutex::default(),
            is_looked_at: AtomicBool::new(false),
            openings: Arc::default(),
            deposit: tokio::sync::Mutex::default(),
            registry,
        }
    }

    /// Looks what the account has now, unless somebody does so already.
    pub(super) async fn look(&self) -> Result<(), ChainError> {
        if self.is_looked_at.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let done = self.look_now().await;
        self.is_looked_at.store(false, Ordering::Release);
        done
    }

    async fn look_now(&self) -> Result<(), ChainError> {
        match self.arbiter.fee().await {
            Ok(told) => {
                let mut price = self.price.lock().unwrap_or_else(PoisonError::into_inner);
                *price = Some(Price::and(*price, told));
            }
            // It is needed for an estimate alone.
            Err(error) if self.reserve == FeeReserve::Estimated && self.price().is_none() => return Err(error),
            Err(_as_before) => {}
        }
        let have = self.arbiter.chain().free_balance(&self.account).await?;
        *self.have.lock().unwrap_or_else(PoisonError::into_inner) = Some(have);
        Ok(())
    }

    /// What there is and what so many channels need, as far as that is known.
    pub(super) fn fees(&self, channels: usize) -> Option<Fees> {
        let channels = Amount::try_from(channels).unwrap_or(Amount::MAX);
        let have = (*self.have.lock().unwrap_or_else(PoisonError::into_inner))?;
        let defence = match self.reserve {
            FeeReserve::DangerNothing => return Some(Fees { have, need: 0 }),
            FeeReserve::PerChannel(each) => each.saturating_mul(channels),
            FeeReserve::Estimated if channels == 0 => 0,
            FeeReserve::Estimated => {
                let calls = CALLS.saturating_mul(channels);
                self.price()?.last.saturating_mul(calls).saturating_add(self.tip_max())
            }
        };
        // What a registration lays down does not come back (R8.33).
        Some(Fees { have, need: defence.saturating_add(self.registry.reserve()) })
    }

    /// Whether so many channels can be defended, `away` being taken out of the account.
    pub(super) async fn check(&self, channels: usize, away: Amount) -> Result<(), NodeError> {
        if self.reserve == FeeReserve::DangerNothing {
            return Ok(());
        }
        self.look_now().await?;
        self.have_for(channels, away)
    }

    /// The same, by what was seen last.
    fn have_for(&self, channels: usize, away: Amount) -> Result<(), NodeError> {
        let account = self.arbiter.info().addresses.address(self.account);
        match self.fees(channels) {
            Some(Fees { have, need }) if have.saturating_sub(away) < need => {
                Err(NodeError::FeesTooLow { account, have: have.saturating_sub(away), need })
            }
            _ => Ok(()),
        }
    }

    /// Whether so many channels, one more, and all others that are opened just now can be defended, once this account has laid down the deposits for
    /// those that it opens.
    pub(super) async fn check_opening(&self, channels: usize) -> Result<PaidOpening, NodeError> {
        let (opening, others) = self.count_opening();
        if self.reserve == FeeReserve::DangerNothing {
            return Ok(opening);
        }
        let begun = others.saturating_add(1);
        let openings = Amount::try_from(begun).unwrap_or(Amount::MAX);
        // Each of them will be a channel to defend.
        let channels = channels.saturating_add(begun);
        self.check(channels, 0).await?;
        let each = self.deposit().await?;
        self.have_for(channels, each.saturating_mul(openings))?;
        Ok(opening)
    }

    /// Counts an opening that this account pays for, and says how many others are under way.
    fn count_opening(&self) -> (PaidOpening, usize) {
        let others = self.openings.fetch_add(1, Ordering::AcqRel);
        (PaidOpening(Arc::clone(&self.openings)), others)
    }

    /// Counts an opening that was begun before this node was started.
    pub(super) fn resume_opening(&self) -> PaidOpening {
        self.count_opening().0
    }

    /// What one opening lays down, asked once for all that are begun at about the same time.
    async fn deposit(&self) -> Result<Amount, NodeError> {
        let mut known = self.deposit.lock().await;
        if let Some((asked, deposit)) = *known
            && asked.elapsed() < DEPOSIT_STANDS
        {
            return Ok(deposit);
        }
        let deposit = self.arbiter.opening_deposit(&self.account).await?;
        *known = Some((Instant::now(), deposit));
        Ok(deposit)
    }

    fn price(&self) -> Option<Price> {
        *self.price.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most that is offered on top of a fee.
    fn tip_max(&self) -> Amount {
        self.tip_max.unwrap_or_else(|| self.price().map_or(0, |price| price.least.saturating_mul(TIPS)))
    }

    /// How urgent a call is that defends a channel and counts up to this block.
    pub(super) fn urgency(&self, until: Option<BlockNumber>) -> Urgency {
        Urgency { is_first: true, until, tip_max: self.tip_max() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_endpoint_that_tells_of_a_high_price_does_not_have_all_coins_offered_for_ever() {
        let price = Price::and(Some(Price::and(None, 1_000_000)), 7);
        assert_eq!(price, Price { last: 7, least: 7 });
        assert_eq!(Price::and(Some(price), 1_000_000), Price { last: 1_000_000, least: 7 });
    }
}
