//! What an account has inside the arbiter under one key (R5.1).

use crate::{Amount, Pair, Rejection};

/// The balance after adding `amount`.
///
/// # Errors
/// [`Rejection::AmountZero`], [`Rejection::AmountOverflow`].
pub fn deposit(balance: Amount, amount: Amount) -> Result<Amount, Rejection> {
    if amount == 0 {
        return Err(Rejection::AmountZero);
    }
    credit(balance, amount)
}

/// The balance after coins arrive that nobody asked for, zero included.
///
/// # Errors
/// [`Rejection::AmountOverflow`].
pub fn credit(balance: Amount, amount: Amount) -> Result<Amount, Rejection> {
    balance.checked_add(amount).ok_or(Rejection::AmountOverflow)
}

/// The balance after taking `amount` out.
///
/// # Errors
/// [`Rejection::AmountZero`], [`Rejection::VaultBalanceTooLow`].
pub fn withdraw(balance: Amount, amount: Amount) -> Result<Amount, Rejection> {
    if amount == 0 {
        return Err(Rejection::AmountZero);
    }
    balance.checked_sub(amount).ok_or(Rejection::VaultBalanceTooLow { have: balance, need: amount })
}

/// Both parties' balances after each paid its share into a channel.
///
/// # Errors
/// [`Rejection::VaultTooLow`], naming the party.
pub fn pay_shares(balances: &Pair<Amount>, shares: &Pair<Amount>) -> Result<Pair<Amount>, Rejection> {
    let mut left = *balances;
    for (party, &need) in shares.iter() {
        let have = balances[party];
        left[party] = have.checked_sub(need).ok_or(Rejection::VaultTooLow { party, have, need })?;
    }
    Ok(left)
}
