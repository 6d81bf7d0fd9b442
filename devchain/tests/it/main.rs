//! The embedded chain as its users see it.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod blocks;
mod contract;
mod contracts;
mod fee_multiplier;
mod forks;
mod genesis;
mod manual;
mod remote_codec;
mod transfers;

use chain::{Chain, ChainError, Receipt, Signer, Transaction};
use devchain::DevChain;
use protocol::AccountId;

/// One unit of the chain's coin.
pub(crate) const UNIT: u128 = 1_000_000_000_000;

/// An account that nobody has a key for.
pub(crate) const NOBODY: AccountId = AccountId([7; 32]);

/// Dry run and submission in one.
pub(crate) async fn send(
    chain: &DevChain,
    signer: &dyn Signer,
    transaction: Transaction,
) -> Result<Receipt, ChainError> {
    let dry_run = chain.dry_run(&signer.account(), &transaction).await?;
    chain.submit(signer, transaction, &dry_run).await
}

pub(crate) async fn balance(chain: &DevChain, account: AccountId) -> u128 {
    chain.free_balance(&account).await.unwrap()
}

pub(crate) const fn transfer(to: AccountId, amount: u128) -> Transaction {
    Transaction::Transfer { to, amount }
}

/// Why a submission failed that is in a block, and that cost its fee.
pub(crate) fn failed_in_block(submitted: Result<Receipt, ChainError>) -> ChainError {
    match submitted {
        Err(ChainError::FailedInBlock { fee, cause }) if fee > 0 => *cause,
        other => panic!("expected a failure in a block, not {other:?}"),
    }
}
