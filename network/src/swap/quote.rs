//! At what rates a responder swaps, without being asked each time.

use super::terms::{SwapCode, SwapTerms};
use protocol::{Amount, signing::Domain};
use scale::{Decode, Encode};

/// What a responder swaps, by itself, as long as it has the coins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SwapQuote {
    /// The chain on which it is paid.
    pub source: Domain,
    /// The chain on which it pays.
    pub target: Domain,
    /// It pays at most `rate.0` smallest units for each `rate.1` that it is paid.
    pub rate: (u64, u64),
    /// The least and the greatest amount on the source chain.
    pub amounts: (Amount, Amount),
    /// The premium that it asks for, in parts of a million of what it pays, rounded up.
    pub premium: u32,
    /// The most that it has promised or locked on the target chain in swaps at once.
    pub inventory: Amount,
    /// The last second since 1970 in which it holds.
    pub expires_at: u64,
}

/// `amount * numerator / denominator` without the product's size in the way; none where it is more than can be counted.
fn share(amount: Amount, (numerator, denominator): (u64, u64), round_up: bool) -> Option<Amount> {
    let (numerator, denominator) = (Amount::from(numerator), Amount::from(denominator));
    let (wholes, rest) = (amount.checked_div(denominator)?, amount.checked_rem(denominator)?);
    let part = rest.checked_mul(numerator)?;
    let part = if round_up { part.div_ceil(denominator) } else { part.checked_div(denominator)? };
    wholes.checked_mul(numerator)?.checked_add(part)
}

impl SwapQuote {
    /// The most that is paid for this amount on the source chain, rounded down; none where it comes to nothing, or is more than can be counted.
    #[must_use]
    pub fn pays(&self, source: Amount) -> Option<Amount> {
        share(source, self.rate, false).filter(|amount| *amount > 0)
    }

    /// The premium for this amount on the target chain, rounded up; none where it is more than can be counted.
    #[must_use]
    pub fn premium_of(&self, target: Amount) -> Option<Amount> {
        share(target, (u64::from(self.premium), 1_000_000), true)
    }

    /// How much of the inventory this share is, in parts of a million, rounded down: at most all of it.
    #[must_use]
    pub fn idle(&self, share_of_it: u32) -> Amount {
        let part = share(self.inventory, (u64::from(share_of_it), 1_000_000), false);
        part.map_or(self.inventory, |part| part.min(self.inventory))
    }

    /// Whether a swap is within the quote. `open` is what is promised in swaps on the target chain.
    ///
    /// # Errors
    /// [`SwapCode::Chain`], [`SwapCode::Rate`], [`SwapCode::Amount`], [`SwapCode::Premium`], [`SwapCode::Inventory`].
    pub fn check(&self, terms: &SwapTerms, open: Amount, seconds: u64) -> Result<(), SwapCode> {
        if (terms.source.chain, terms.target.chain) != (self.source, self.target) {
            return Err(SwapCode::Chain);
        }
        if seconds > self.expires_at {
            return Err(SwapCode::Rate);
        }
        if !(self.amounts.0..=self.amounts.1).contains(&terms.source.amount) {
            return Err(SwapCode::Amount);
        }
        if self.pays(terms.source.amount).is_none_or(|most| terms.target.amount > most) {
            return Err(SwapCode::Rate);
        }
        if self.premium_of(terms.target.amount).is_none_or(|premium| terms.premium < premium) {
            return Err(SwapCode::Premium);
        }
        let sum = open.checked_add(terms.target.amount);
        sum.is_some_and(|sum| sum <= self.inventory).then_some(()).ok_or(SwapCode::Inventory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_paid_is_rounded_down_and_a_premium_up_and_nothing_overflows() {
        let chain = |byte| Domain { genesis: protocol::Hash([byte; 32]), arbiter: protocol::AccountId([byte; 32]) };
        let quote = SwapQuote {
            source: chain(1),
            target: chain(2),
            rate: (2, 3),
            amounts: (1, Amount::MAX),
            premium: 1,
            inventory: Amount::MAX,
            expires_at: 10,
        };
        assert_eq!((quote.pays(1), quote.pays(2), quote.pays(3), quote.pays(4)), (None, Some(1), Some(2), Some(2)));
        assert_eq!(quote.pays(Amount::MAX), Some(Amount::MAX / 3 * 2));
        assert_eq!(
            (quote.premium_of(0), quote.premium_of(1), quote.premium_of(1_000_001)),
            (Some(0), Some(1), Some(2))
        );
        let some = SwapQuote { inventory: 7, ..quote };
        assert_eq!((some.idle(0), some.idle(500_000), some.idle(1_000_000), some.idle(u32::MAX)), (0, 3, 7, 7));
        assert_eq!((quote.idle(1_000_000), quote.idle(u32::MAX)), (Amount::MAX, Amount::MAX));
        let double = SwapQuote { rate: (2, 1), ..quote };
        assert_eq!(double.pays(Amount::MAX), None);
        let nothing = SwapQuote { rate: (1, 0), ..quote };
        assert_eq!(nothing.pays(5), None, "a rate of nothing is none");
    }
}
