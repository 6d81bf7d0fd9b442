//! What a hub takes for a transfer that it carries on (R8.4b).

use protocol::Amount;
use scale::{Decode, Encode};

const MILLION: Amount = 1_000_000;

/// A fee: so much for each transfer, and so many parts of a million of what is carried on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Fee {
    /// Of each transfer, in coins.
    pub base: Amount,
    /// Of each million coins that are carried on.
    pub parts_per_million: u32,
}

impl Fee {
    /// What carrying `amount` on costs, rounded up (I7); none where it is more than can be counted.
    #[must_use]
    pub fn of(&self, amount: Amount) -> Option<Amount> {
        let parts = Amount::from(self.parts_per_million);
        // Whole millions first: the product of the amount itself might not fit.
        let (millions, rest) = (amount.checked_div(MILLION)?, amount.checked_rem(MILLION)?);
        let part = rest.checked_mul(parts)?.div_ceil(MILLION);
        millions.checked_mul(parts)?.checked_add(part)?.checked_add(self.base)
    }

    /// What has to come in so that `amount` can go on; none where it is more than can be counted.
    #[must_use]
    pub fn with(&self, amount: Amount) -> Option<Amount> {
        self.of(amount)?.checked_add(amount)
    }

    /// The most that can go on when `incoming` comes in.
    #[must_use]
    pub fn without(&self, incoming: Amount) -> Amount {
        let Some(after_base) = incoming.checked_sub(self.base) else { return 0 };
        let parts = MILLION.saturating_add(Amount::from(self.parts_per_million));
        let (wholes, rest) = (after_base.checked_div(parts).unwrap_or(0), after_base.checked_rem(parts).unwrap_or(0));
        let guess =
            wholes.saturating_mul(MILLION).saturating_add(rest.saturating_mul(MILLION).checked_div(parts).unwrap_or(0));
        // Rounding up takes one more coin at most.
        if self.with(guess).is_some_and(|needed| needed <= incoming) { guess } else { guess.saturating_sub(1) }
    }
}
