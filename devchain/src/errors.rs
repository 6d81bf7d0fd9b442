//! The runtime's errors in the words of [`ChainError`].

use chain::ChainError;
use frame_support::traits::PalletsInfoAccess;
use protocol::AccountId;
use runtime::{AllPalletsWithSystem, Runtime};
use sp_runtime::{
    DispatchError, ModuleError, TokenError,
    transaction_validity::{InvalidTransaction, TransactionValidityError},
};
use std::any::Any;

type BalancesError = pallet_balances::Error<Runtime>;
type ContractsError = pallet_contracts::Error<Runtime>;

/// A transaction that failed when executed: `account` pays for it, and `contract` is what it calls, if it calls one.
pub(crate) fn dispatch(error: DispatchError, account: AccountId, contract: Option<AccountId>) -> ChainError {
    if error == ContractsError::ContractReverted.into() {
        return ChainError::Reverted;
    }
    match contract {
        Some(contract) if error == ContractsError::ContractNotFound.into() => ChainError::NoContract(contract.into()),
        _ if is_about_funds(error) => ChainError::InsufficientFunds { account: account.into(), cause: name(error) },
        _ => ChainError::Failed { cause: name(error) },
    }
}

fn is_about_funds(error: DispatchError) -> bool {
    let others: [DispatchError; 3] = [
        BalancesError::InsufficientBalance.into(),
        ContractsError::StorageDepositNotEnoughFunds.into(),
        // The pallet says so when the value attached to a call cannot be paid; a contract's own transfers do not end up here.
        ContractsError::TransferFailed.into(),
    ];
    error == DispatchError::Token(TokenError::FundsUnavailable) || others.contains(&error)
}

/// A transaction that the chain refuses to include.
pub(crate) fn validity(error: TransactionValidityError, account: AccountId) -> ChainError {
    let words: &'static str = error.into();
    let cause = words.to_owned();
    match error {
        TransactionValidityError::Invalid(InvalidTransaction::Payment) => {
            ChainError::InsufficientFunds { account: account.into(), cause }
        }
        _ => ChainError::Invalid { cause },
    }
}

/// A panic inside the runtime: a bug of the runtime's, or of this crate.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> ChainError {
    let words = panic.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    ChainError::Failed { cause: format!("the runtime panicked: {}", words.unwrap_or("without words")) }
}

/// The embedded chain's thread is gone.
pub(crate) fn stopped() -> ChainError {
    ChainError::Unreachable("the embedded chain has stopped".into())
}

/// `Pallet::Variant` for a pallet's own error, `Kind::Variant` or the bare variant for the others.
pub(crate) fn name(error: DispatchError) -> String {
    match error {
        DispatchError::Module(ModuleError { index, error, message }) => {
            let infos = AllPalletsWithSystem::infos();
            let pallet = infos.iter().find(|info| info.index == usize::from(index)).map(|info| info.name);
            let [number, ..] = error;
            match (pallet, message) {
                (Some(pallet), Some(variant)) => format!("{pallet}::{variant}"),
                (Some(pallet), None) => format!("{pallet}::{number}"),
                (None, _) => format!("{index}::{number}"),
            }
        }
        DispatchError::Token(kind) => format!("Token::{kind:?}"),
        DispatchError::Arithmetic(kind) => format!("Arithmetic::{kind:?}"),
        DispatchError::Transactional(kind) => format!("Transactional::{kind:?}"),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYER: AccountId = AccountId([1; 32]);
    const CONTRACT: AccountId = AccountId([2; 32]);

    fn told(error: impl Into<DispatchError>) -> ChainError {
        dispatch(error.into(), PAYER, Some(CONTRACT))
    }

    #[test]
    fn module_errors_are_told_with_the_names_of_pallet_and_variant() {
        assert_eq!(told(ContractsError::OutOfGas), ChainError::Failed { cause: "Contracts::OutOfGas".into() });
        assert_eq!(
            told(BalancesError::ExistentialDeposit),
            ChainError::Failed { cause: "Balances::ExistentialDeposit".into() }
        );
    }

    #[test]
    fn a_revert_and_a_missing_contract_have_their_own_errors() {
        assert_eq!(told(ContractsError::ContractReverted), ChainError::Reverted);
        assert_eq!(told(ContractsError::ContractNotFound), ChainError::NoContract(CONTRACT.into()));
    }

    #[test]
    fn missing_coins_are_told_with_the_account_that_lacks_them() {
        for (error, cause) in [
            (DispatchError::Token(TokenError::FundsUnavailable), "Token::FundsUnavailable"),
            (ContractsError::TransferFailed.into(), "Contracts::TransferFailed"),
            (ContractsError::StorageDepositNotEnoughFunds.into(), "Contracts::StorageDepositNotEnoughFunds"),
        ] {
            assert_eq!(told(error), ChainError::InsufficientFunds { account: PAYER.into(), cause: cause.into() });
        }
    }
}
