//! Who owns how much, and what moves coins.

use super::amounts::EXISTENTIAL_DEPOSIT;
use crate::ChainError;
use protocol::{AccountId, Amount};
use std::collections::{BTreeMap, BTreeSet};

/// The coins of every account.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts {
    balances: BTreeMap<AccountId, Amount>,
    /// Accounts that stay, however little they own: whoever put a contract there has paid for that on a real chain.
    contracts: BTreeSet<AccountId>,
}

impl Accounts {
    /// What an account owns.
    pub(super) fn balance(&self, account: &AccountId) -> Amount {
        self.balances.get(account).copied().unwrap_or(0)
    }

    /// All coins that there are.
    pub(super) fn total(&self) -> Amount {
        self.balances.values().fold(0, |sum, balance| sum.saturating_add(*balance))
    }

    /// Makes coins for an account.
    pub(super) fn endow(&mut self, account: AccountId, amount: Amount) {
        let balance = self.balances.entry(account).or_default();
        *balance = balance.saturating_add(amount);
    }

    /// Says that a contract lives at `account`.
    pub(super) fn add_contract(&mut self, account: AccountId) {
        let _new = self.contracts.insert(account);
    }

    /// Whether a contract lives at `account`.
    pub(super) fn is_contract(&self, account: &AccountId) -> bool {
        self.contracts.contains(account)
    }

    /// Takes a fee out of an account, and of this world.
    ///
    /// # Errors
    /// [`ChainError::InsufficientFunds`].
    pub(super) fn charge(&mut self, account: &AccountId, fee: Amount) -> Result<(), ChainError> {
        if fee == 0 {
            return Ok(());
        }
        let left = self.balance(account).checked_sub(fee);
        let cause = || "Inability to pay some fees (e.g. account balance too low)".to_owned();
        let left = left.ok_or_else(|| ChainError::InsufficientFunds { account: (*account).into(), cause: cause() })?;
        self.set(*account, left);
        Ok(())
    }

    /// Moves coins by a plain transfer, which may empty the sender's account.
    ///
    /// # Errors
    /// [`ChainError::InsufficientFunds`]; [`ChainError::Failed`] for less than the existential deposit to an account that is not there.
    pub(super) fn transfer(&mut self, from: &AccountId, to: &AccountId, amount: Amount) -> Result<(), ChainError> {
        if self.balance(from) < amount {
            return Err(ChainError::InsufficientFunds {
                account: (*from).into(),
                cause: "Token::FundsUnavailable".into(),
            });
        }
        if self.pay(from, to, amount) {
            Ok(())
        } else {
            Err(ChainError::Failed { cause: "Token::BelowMinimum".into() })
        }
    }

    /// Moves the coins that come with a call to its contract. Whoever sends them keeps the existential deposit.
    ///
    /// # Errors
    /// [`ChainError::InsufficientFunds`].
    pub(super) fn attach(&mut self, from: &AccountId, contract: &AccountId, value: Amount) -> Result<(), ChainError> {
        let left = self.balance(from).checked_sub(value).filter(|left| *left >= EXISTENTIAL_DEPOSIT);
        if value > 0 && left.is_none() {
            return Err(ChainError::InsufficientFunds {
                account: (*from).into(),
                cause: "Contracts::TransferFailed".into(),
            });
        }
        let _paid = self.pay(from, contract, value);
        Ok(())
    }

    /// Moves coins if the chain would; says whether it did.
    pub(super) fn pay(&mut self, from: &AccountId, to: &AccountId, amount: Amount) -> bool {
        if amount == 0 || from == to {
            return self.balance(from) >= amount;
        }
        let is_there = self.is_contract(to) || self.balances.contains_key(to);
        let left = self.balance(from).checked_sub(amount).filter(|_| is_there || amount >= EXISTENTIAL_DEPOSIT);
        let more = self.balance(to).checked_add(amount);
        let (Some(left), Some(more)) = (left, more) else { return false };
        self.set(*from, left);
        let _before = self.balances.insert(*to, more);
        true
    }

    /// Sets what an account has left: below the existential deposit it ends, and the rest is lost.
    fn set(&mut self, account: AccountId, left: Amount) {
        let _before = if left < EXISTENTIAL_DEPOSIT && !self.is_contract(&account) {
            self.balances.remove(&account)
        } else {
            self.balances.insert(account, left)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RICH: AccountId = AccountId([1; 32]);
    const NEW: AccountId = AccountId([2; 32]);
    const CONTRACT: AccountId = AccountId([3; 32]);

    fn accounts() -> Accounts {
        let mut accounts = Accounts::default();
        accounts.endow(RICH, 10 * EXISTENTIAL_DEPOSIT);
        accounts.add_contract(CONTRACT);
        accounts
    }

    #[test]
    fn less_than_the_existential_deposit_reaches_only_who_is_there_already() {
        let mut accounts = accounts();
        assert!(!accounts.pay(&RICH, &NEW, EXISTENTIAL_DEPOSIT - 1));
        let failed = ChainError::Failed { cause: "Token::BelowMinimum".into() };
        assert_eq!(accounts.transfer(&RICH, &NEW, EXISTENTIAL_DEPOSIT - 1), Err(failed));
        assert!(accounts.pay(&RICH, &CONTRACT, 1), "a contract is there");
        assert!(accounts.pay(&RICH, &NEW, EXISTENTIAL_DEPOSIT));
        assert!(accounts.pay(&RICH, &NEW, 1));
        assert_eq!(accounts.balance(&NEW), EXISTENTIAL_DEPOSIT + 1);
        assert_eq!(accounts.total(), 10 * EXISTENTIAL_DEPOSIT);
    }

    #[test]
    fn nobody_pays_what_he_does_not_have_and_a_caller_keeps_the_existential_deposit() {
        let mut accounts = accounts();
        let all = accounts.balance(&RICH);
        assert!(matches!(
            accounts.transfer(&RICH, &NEW, all + 1),
            Err(ChainError::InsufficientFunds { account, .. }) if account == RICH
        ));
        let charged = accounts.charge(&RICH, all + 1);
        assert!(matches!(charged, Err(ChainError::InsufficientFunds { account, .. }) if account == RICH));
        let most = all - EXISTENTIAL_DEPOSIT;
        assert!(matches!(accounts.attach(&RICH, &CONTRACT, most + 1), Err(ChainError::InsufficientFunds { .. })));
        assert_eq!(accounts.attach(&NEW, &CONTRACT, 0), Ok(()), "who has nothing may ask");
        assert_eq!(accounts.balance(&RICH), all);
        assert_eq!(accounts.attach(&RICH, &CONTRACT, most), Ok(()));
        assert_eq!((accounts.balance(&RICH), accounts.balance(&CONTRACT)), (EXISTENTIAL_DEPOSIT, most));
    }

    #[test]
    fn an_account_that_is_left_with_too_little_ends_and_a_contract_does_not() {
        let mut accounts = accounts();
        let most = 10 * EXISTENTIAL_DEPOSIT - 1;
        assert_eq!(accounts.transfer(&RICH, &CONTRACT, most), Ok(()));
        assert_eq!((accounts.balance(&RICH), accounts.total()), (0, most), "one coin is lost");
        assert!(accounts.pay(&CONTRACT, &NEW, most - 1));
        assert_eq!(accounts.balance(&CONTRACT), 1);
    }
}
