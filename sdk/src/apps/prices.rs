//! Whether a chain charges for calls of apps what the interpreter counts (R7.4).

use crate::chain::{Chain, ChainError, Transaction};
use interpreter::{
    ChainCosts,
    probe::{self, ProbeError, Trial},
};
use protocol::AccountId;
use thiserror::Error;

/// Why calls of apps would not cost on chain what they cost here.
#[derive(Debug, Error)]
pub enum PricesError {
    /// The chain could not be asked.
    #[error("the chain's prices could not be asked for: {0}")]
    Chain(#[from] ChainError),
    /// The interpreter's own prices leave the probe no room.
    #[error("the interpreter's prices cannot be used: {0}")]
    Probe(#[from] ProbeError),
    /// One of them differs.
    #[error(
        "the chain charges {charged} ps for {what} where the interpreter counts {counted} ps: a call agreed on could fail when it is forced; \
         use a chain with the weights of `pallet-contracts` 38, or give the interpreter this chain's prices (`Interpreter::with_costs`)"
    )]
    Differ {
        /// What for.
        what: &'static str,
        /// What the chain charges, in picoseconds.
        charged: u64,
        /// What the interpreter counts, in picoseconds.
        counted: u64,
    },
}

/// Has the chain spend on one thing after the other, in dry runs in the name of `payer`, and compares.
///
/// # Errors
/// [`PricesError`]; the chain's own where `payer` cannot lay down the deposit for a contract of half a kilobyte.
pub(super) async fn check(chain: &dyn Chain, payer: &AccountId, costs: ChainCosts) -> Result<(), PricesError> {
    let idle = charged(chain, payer, &Trial::idle()).await?;
    for trial in Trial::all() {
        let charged = charged(chain, payer, &trial).await?.saturating_sub(idle);
        let counted = trial.price(costs)?;
        if charged != counted {
            return Err(PricesError::Differ { what: trial.what, charged, counted });
        }
    }
    Ok(())
}

/// What the chain charges for a trial and everything around it, in picoseconds.
async fn charged(chain: &dyn Chain, payer: &AccountId, trial: &Trial) -> Result<u64, ChainError> {
    let (code, data, salt) = (probe::CODE.to_vec(), trial.input(), b"prices".to_vec());
    let transaction = Transaction::Instantiate { code, value: 0, data, salt };
    Ok(chain.dry_run(payer, &transaction).await?.used.ref_time)
}
