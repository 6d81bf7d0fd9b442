//! What one transaction cost, and sums of it.

use protocol::Amount;
use sdk::chain::Receipt;
use std::iter::Sum;

/// What transactions cost whoever signed them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) ref_time: u64,
    pub(crate) proof_size: u64,
    pub(crate) length: u32,
    pub(crate) fee: Amount,
    /// The storage deposit that was taken.
    pub(crate) taken: Amount,
    /// The storage deposit that came back.
    pub(crate) returned: Amount,
}

impl From<&Receipt> for Cost {
    fn from(receipt: &Receipt) -> Self {
        Self {
            ref_time: receipt.weight.ref_time,
            proof_size: receipt.weight.proof_size,
            length: receipt.length,
            fee: receipt.fee,
            taken: Amount::try_from(receipt.storage_deposit).unwrap_or(0),
            returned: Amount::try_from(-receipt.storage_deposit).unwrap_or(0),
        }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |sum, cost| Self {
            ref_time: sum.ref_time + cost.ref_time,
            proof_size: sum.proof_size + cost.proof_size,
            length: sum.length + cost.length,
            fee: sum.fee + cost.fee,
            taken: sum.taken + cost.taken,
            returned: sum.returned + cost.returned,
        })
    }
}
