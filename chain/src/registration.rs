//! What showing pre-images costs on a chain, as the chain itself says (R8.33): nothing of it is known beforehand.

use super::{Arbiter, CallError, Weight};
use protocol::{
    AccountId, Amount,
    call::{Call, MAX_PREIMAGES},
    contracts::conditional::{HashFunction, Preimage},
};

/// What registrations of pre-images cost: `docs/benchmarks/onchain.md` has what was measured on one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrationCosts {
    /// What a call costs that shows nothing.
    pub call_fee: Amount,
    /// What each pre-image adds to the fee.
    pub fee: Amount,
    /// What each pre-image lays down, for ever.
    pub deposit: Amount,
    /// How many pre-images one block takes at most, in calls of [`MAX_PREIMAGES`]; none where nothing bounds it.
    pub per_block: Option<u32>,
}

impl RegistrationCosts {
    /// What one pre-image costs at most: shown in a call of its own.
    #[must_use]
    pub const fn alone(&self) -> Amount {
        self.call_fee.saturating_add(self.fee).saturating_add(self.deposit)
    }

    /// What so many pre-images cost, shown in as few calls as they fit.
    #[must_use]
    pub fn of(&self, preimages: usize) -> Amount {
        let calls = Amount::try_from(preimages.div_ceil(MAX_PREIMAGES)).unwrap_or(Amount::MAX);
        let preimages = Amount::try_from(preimages).unwrap_or(Amount::MAX);
        let each = self.fee.saturating_add(self.deposit);
        self.call_fee.saturating_mul(calls).saturating_add(each.saturating_mul(preimages))
    }
}

impl Arbiter {
    /// What `payer` would pay for registrations now, at the chain's own prices: one call with one pre-image and one with two are tried, and nothing is
    /// sent. `fresh` are pre-images that nobody has shown: taken at random, so that nobody can have.
    ///
    /// # Errors
    /// The chain's own.
    pub async fn registration_costs(
        &self,
        payer: &AccountId,
        fresh: [Preimage; 2],
    ) -> Result<RegistrationCosts, CallError> {
        let one = self.try_registration(payer, &fresh[..1]).await?;
        let two = self.try_registration(payer, &fresh).await?;
        let fee = two.fee.saturating_sub(one.fee);
        let each = Weight {
            ref_time: two.weight.ref_time.saturating_sub(one.weight.ref_time),
            proof_size: two.weight.proof_size.saturating_sub(one.weight.proof_size),
        };
        let limit = self.chain().transaction_limit().await?;
        Ok(RegistrationCosts {
            call_fee: one.fee.saturating_sub(fee),
            fee,
            deposit: two.deposit.saturating_sub(one.deposit),
            per_block: limit.and_then(|limit| per_block(limit, one.weight, each)),
        })
    }

    async fn try_registration(&self, payer: &AccountId, preimages: &[Preimage]) -> Result<Tried, CallError> {
        let call = Call::PreimagesRegister { preimages: preimages.to_vec(), function: HashFunction::Blake2b256 };
        let transaction = self.transaction(&call, 0);
        let dry_run = self.chain().dry_run(payer, &transaction).await?;
        self.check_answer(&dry_run.returned)?;
        let fee = self.chain().fee(&transaction, dry_run.required).await?;
        let deposit = Amount::try_from(dry_run.storage_deposit).unwrap_or_default();
        Ok(Tried { fee, deposit, weight: dry_run.required })
    }
}

/// What one call would cost.
struct Tried {
    fee: Amount,
    deposit: Amount,
    weight: Weight,
}

/// How many pre-images a block takes whose transactions may weigh `limit` together, a call with one of them weighing `one`, and each further one `each`.
fn per_block(limit: Weight, one: Weight, each: Weight) -> Option<u32> {
    let dimensions =
        [(limit.ref_time, one.ref_time, each.ref_time), (limit.proof_size, one.proof_size, each.proof_size)];
    let most = u64::try_from(MAX_PREIMAGES).unwrap_or(u64::MAX);
    let further = most.saturating_sub(1);
    let counted = dimensions.into_iter().filter_map(|(limit, one, each)| {
        let full = one.saturating_add(each.saturating_mul(further));
        let calls = limit.checked_div(full)?;
        let left = limit.saturating_sub(calls.saturating_mul(full));
        let rest = left.checked_sub(one).map_or(0, |left| left.checked_div(each).unwrap_or(further).saturating_add(1));
        Some(calls.saturating_mul(most).saturating_add(rest.min(further)))
    });
    counted.min().map(|count| u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_takes_what_its_scarcer_part_has_room_for() {
        let weight = |ref_time, proof_size| Weight { ref_time, proof_size };
        // Two full calls of 64 and a third with one: 2 * (100 + 63) + 100.
        assert_eq!(per_block(weight(1_000_000, 426), weight(1, 100), weight(1, 1)), Some(129));
        assert_eq!(per_block(weight(1_000_000, 425), weight(1, 100), weight(1, 1)), Some(128));
        assert_eq!(per_block(weight(99, 1_000_000), weight(100, 1), weight(1, 1)), Some(0));
        assert_eq!(per_block(weight(0, 0), Weight::default(), Weight::default()), None, "nothing is counted there");
    }

    #[test]
    fn what_many_cost_is_counted_in_as_few_calls_as_they_fit() {
        let costs = RegistrationCosts { call_fee: 100, fee: 1, deposit: 10, per_block: None };
        assert_eq!([0, 1, 64, 65].map(|count| costs.of(count)), [0, 111, 804, 915]);
        assert_eq!(costs.alone(), 111);
    }
}
