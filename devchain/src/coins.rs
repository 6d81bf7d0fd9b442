//! Amounts in the runtime's own width, which differs between the chains that this code is compiled for.

use chain::ChainError;
use protocol::Amount;
use runtime::Balance;

/// The most coins that the runtime can say.
pub(crate) fn most() -> Amount {
    amount(Balance::MAX)
}

/// An amount of the runtime's as everybody else has it.
pub(crate) fn amount(balance: impl Into<Amount>) -> Amount {
    balance.into()
}

/// An amount as the runtime has it.
///
/// # Errors
/// [`ChainError::AmountTooLarge`].
pub(crate) fn balance<B: TryFrom<Amount>>(amount: Amount) -> Result<B, ChainError> {
    B::try_from(amount).map_err(|_too_large| ChainError::AmountTooLarge { amount, most: most() })
}

/// A limit as the runtime has it: whatever is above all coins is all of them.
pub(crate) fn limit(amount: Amount) -> Balance {
    balance(amount).unwrap_or(Balance::MAX)
}

/// A deposit with a sign. Half of what an amount can hold is more coins than any deposit.
pub(crate) fn signed(balance: Balance) -> i128 {
    i128::try_from(amount(balance)).unwrap_or(i128::MAX)
}
