//! The runtime's errors in the words of [`ChainError`].

use super::runtime::Runtime;
use crate::ChainError;
use protocol::AccountId;
use scale::Decode;

/// `sp_runtime::DispatchError`, as far as its bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Decode)]
pub(super) enum DispatchError {
    #[codec(index = 0)]
    Other,
    #[codec(index = 1)]
    CannotLookup,
    #[codec(index = 2)]
    BadOrigin,
    #[codec(index = 3)]
    Module { pallet: u8, error: [u8; 4] },
    #[codec(index = 4)]
    ConsumerRemaining,
    #[codec(index = 5)]
    NoProviders,
    #[codec(index = 6)]
    TooManyConsumers,
    #[codec(index = 7)]
    Token(u8),
    #[codec(index = 8)]
    Arithmetic(u8),
    #[codec(index = 9)]
    Transactional(u8),
    #[codec(index = 10)]
    Exhausted,
    #[codec(index = 11)]
    Corruption,
    #[codec(index = 12)]
    Unavailable,
    #[codec(index = 13)]
    RootNotAllowed,
}

const TOKEN: [&str; 10] = [
    "FundsUnavailable",
    "OnlyProvider",
    "BelowMinimum",
    "CannotCreate",
    "UnknownAsset",
    "Frozen",
    "Unsupported",
    "CannotCreateHold",
    "NotExpendable",
    "Blocked",
];
const ARITHMETIC: [&str; 3] = ["Underflow", "Overflow", "DivisionByZero"];
const TRANSACTIONAL: [&str; 2] = ["LimitReached", "NoLayer"];

/// Errors that say that an account lacks coins. The pallet says `TransferFailed` when the value attached to a call cannot be paid; a contract's
/// own transfers do not end up here.
const ABOUT_FUNDS: [&str; 4] = [
    "Token::FundsUnavailable",
    "Balances::InsufficientBalance",
    "Contracts::StorageDepositNotEnoughFunds",
    "Contracts::TransferFailed",
];

impl DispatchError {
    /// `Pallet::Variant` for a pallet's own error, `Kind::Variant` or the bare variant for the others.
    pub(super) fn name(self, runtime: &Runtime) -> String {
        let one_of = |kind: &str, names: &[&str], number: u8| {
            names.get(usize::from(number)).map_or_else(|| format!("{kind}::{number}"), |name| format!("{kind}::{name}"))
        };
        match self {
            Self::Module { pallet, error: [error, ..] } => runtime.module_error(pallet, error),
            Self::Token(number) => one_of("Token", &TOKEN, number),
            Self::Arithmetic(number) => one_of("Arithmetic", &ARITHMETIC, number),
            Self::Transactional(number) => one_of("Transactional", &TRANSACTIONAL, number),
            other => format!("{other:?}"),
        }
    }
}

/// A transaction that failed when executed: `account` pays for it, and `contract` is what it calls, if it calls one.
pub(super) fn failure(name: String, account: AccountId, contract: Option<AccountId>) -> ChainError {
    match (name.as_str(), contract) {
        ("Contracts::ContractReverted", _) => ChainError::Reverted,
        ("Contracts::ContractNotFound", Some(contract)) => ChainError::NoContract(contract.into()),
        (name, _) if ABOUT_FUNDS.contains(&name) => {
            ChainError::InsufficientFunds { account: account.into(), cause: name.to_owned() }
        }
        _ => ChainError::Failed { cause: name },
    }
}

/// As [`failure`], for a dry run without a limit for the deposit: what limits it then is what the account can afford.
pub(super) fn dry_run_failure(name: String, account: AccountId, contract: Option<AccountId>) -> ChainError {
    if name == "Contracts::StorageDepositLimitExhausted" {
        return ChainError::InsufficientFunds { account: account.into(), cause: name };
    }
    failure(name, account, contract)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYER: AccountId = AccountId([1; 32]);
    const CONTRACT: AccountId = AccountId([2; 32]);

    fn told(name: &str) -> ChainError {
        failure(name.into(), PAYER, Some(CONTRACT))
    }

    #[test]
    fn a_revert_a_missing_contract_and_missing_coins_have_their_own_errors() {
        assert_eq!(told("Contracts::ContractReverted"), ChainError::Reverted);
        assert_eq!(told("Contracts::ContractNotFound"), ChainError::NoContract(CONTRACT.into()));
        for name in ABOUT_FUNDS {
            assert_eq!(told(name), ChainError::InsufficientFunds { account: PAYER.into(), cause: name.into() });
        }
        assert_eq!(told("Contracts::OutOfGas"), ChainError::Failed { cause: "Contracts::OutOfGas".into() });
    }

    #[test]
    fn a_deposit_that_cannot_be_afforded_is_about_funds_in_a_dry_run_only() {
        let name = "Contracts::StorageDepositLimitExhausted";
        assert_eq!(told(name), ChainError::Failed { cause: name.into() });
        let refused = dry_run_failure(name.into(), PAYER, Some(CONTRACT));
        assert_eq!(refused, ChainError::InsufficientFunds { account: PAYER.into(), cause: name.into() });
    }

    #[test]
    fn errors_decode_from_the_runtimes_bytes() {
        for (bytes, error) in [
            (&[0][..], DispatchError::Other),
            (&[3, 9, 5, 0, 0, 0], DispatchError::Module { pallet: 9, error: [5, 0, 0, 0] }),
            (&[7, 0], DispatchError::Token(0)),
            (&[8, 1], DispatchError::Arithmetic(1)),
            (&[13], DispatchError::RootNotAllowed),
        ] {
            assert_eq!(DispatchError::decode(&mut &*bytes), Ok(error));
        }
        assert!(DispatchError::decode(&mut &[99][..]).is_err());
    }
}
