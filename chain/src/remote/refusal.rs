//! Why a node's pool does not take a transaction, and what to do about it.

use super::link::Complaint;
use crate::ChainError;
use protocol::AccountId;

// Codes of the node's `author` methods.
const INVALID: i32 = 1010;
const TEMPORARILY_BANNED: i32 = 1012;
const ALREADY_IMPORTED: i32 = 1013;
const PRIORITY_TOO_LOW: i32 = 1014;
const POOL_FULL: i32 = 1016;
const INVALID_BLOCK: i32 = 1020;

// The runtime's words for an invalid transaction.
const STALE: &str = "Transaction is outdated";
const FUTURE: &str = "Transaction will be valid in the future";
const PAYMENT: &str = "Inability to pay some fees";
const ANCIENT_BIRTH_BLOCK: &str = "ancient birth block";
const BAD_PROOF: &str = "bad signature";
const EXHAUSTS_RESOURCES: &str = "would exhaust the block limits";

/// What a refusal means for the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is in the pool already: that is what was wanted.
    AlreadyThere,
    /// Its nonce is used up.
    NonceUsed,
    /// Another transaction with its nonce is in the pool.
    NonceTaken,
    /// The pool has no room now.
    NoRoom,
    /// The pool has seen these very bytes lately, in a block or as invalid, and does not look at them again.
    SeenLately,
    /// It was signed for a block or a runtime that is not (any more) what the node has: sign it anew.
    SignAnew,
    /// It will not do, now or later.
    Final(ChainError),
}

impl Refusal {
    pub(super) fn of(complaint: &Complaint, account: AccountId) -> Self {
        let words = complaint.words();
        let says = |text: &str| words.contains(text);
        match complaint.code {
            ALREADY_IMPORTED => Self::AlreadyThere,
            PRIORITY_TOO_LOW => Self::NonceTaken,
            POOL_FULL => Self::NoRoom,
            TEMPORARILY_BANNED => Self::SeenLately,
            INVALID_BLOCK => Self::SignAnew,
            INVALID if says(STALE) => Self::NonceUsed,
            // A gap below it: its owner signs anew with what is then the lowest.
            INVALID if says(FUTURE) || says(ANCIENT_BIRTH_BLOCK) || says(BAD_PROOF) => Self::SignAnew,
            INVALID if says(EXHAUSTS_RESOURCES) => Self::NoRoom,
            INVALID if says(PAYMENT) => Self::Final(ChainError::InsufficientFunds {
                account: account.into(),
                cause: complaint.data.clone().unwrap_or(words),
            }),
            _ => Self::Final(ChainError::Invalid { cause: words }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: AccountId = AccountId([1; 32]);

    fn refusal(code: i32, message: &str, data: Option<&str>) -> Refusal {
        Refusal::of(&Complaint { code, message: message.into(), data: data.map(Into::into) }, ACCOUNT)
    }

    fn invalid(data: &str) -> Refusal {
        refusal(1010, "Invalid Transaction", Some(data))
    }

    #[test]
    fn each_of_the_pools_answers_is_understood() {
        assert_eq!(invalid("Transaction is outdated"), Refusal::NonceUsed);
        assert_eq!(invalid("Transaction has an ancient birth block"), Refusal::SignAnew);
        assert_eq!(invalid("Transaction has a bad signature"), Refusal::SignAnew);
        assert_eq!(invalid("Transaction will be valid in the future"), Refusal::SignAnew);
        assert_eq!(invalid("Transaction would exhaust the block limits"), Refusal::NoRoom);
        assert_eq!(refusal(1013, "Transaction Already Imported", Some("0x12")), Refusal::AlreadyThere);
        assert_eq!(refusal(1014, "Priority is too low: (1 vs 1)", Some("..")), Refusal::NonceTaken);
        assert_eq!(refusal(1012, "Transaction is temporarily banned", None), Refusal::SeenLately);
        assert_eq!(refusal(1016, "Immediately Dropped", Some("..")), Refusal::NoRoom);
    }

    #[test]
    fn too_few_coins_are_told_with_the_account_that_lacks_them() {
        let cause = "Inability to pay some fees (e.g. account balance too low)";
        let error = ChainError::InsufficientFunds { account: ACCOUNT.into(), cause: cause.into() };
        assert_eq!(invalid(cause), Refusal::Final(error));
    }

    #[test]
    fn what_is_not_known_is_told_in_the_chains_own_words() {
        let error = |cause: &str| Refusal::Final(ChainError::Invalid { cause: cause.into() });
        assert_eq!(invalid("Custom error: 3"), error("Invalid Transaction: Custom error: 3"));
        assert_eq!(refusal(1002, "Verification Error: ..", None), error("Verification Error: .."));
        assert_eq!(refusal(-32_000, "busy", None), error("busy"));
    }
}
