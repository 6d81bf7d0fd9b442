//! Where every coin is.

use crate::{Cost, TestChain};
use protocol::{AccountId, Amount, PartyId};
use sdk::chain::{Arbiter, Chain, Recorder};
use std::collections::BTreeMap;

/// Everybody's coins at one moment.
#[derive(Clone, Debug)]
pub struct Coins {
    issued: Amount,
    /// Account and vault together, the vault under the owner's own key.
    owned: BTreeMap<AccountId, Amount>,
    /// What every transaction so far has cost.
    costs: Vec<Cost>,
}

impl Coins {
    pub(crate) async fn count(
        chain: &impl TestChain,
        recorder: &Recorder,
        arbiter: &Arbiter,
        owners: impl IntoIterator<Item = PartyId>,
        costs: Vec<Cost>,
    ) -> Self {
        let mut owned = BTreeMap::new();
        for owner in owners {
            let free = recorder.free_balance(&owner.account).await.unwrap();
            let _new = owned.insert(owner.account, free + arbiter.vault_balance(owner).await.unwrap());
        }
        let issued = chain.total_issuance().await;
        Self { issued, owned, costs }
    }

    /// Checks that since `before` each account has gained what `gains` says (nothing where it says nothing), fees and storage deposits apart,
    /// and that no coin has come or gone but the fees.
    ///
    /// # Panics
    /// Where a coin is missing, or is there that should not be.
    pub fn check(&self, before: &Self, gains: &[(AccountId, i128)]) {
        let costs = &self.costs[before.costs.len()..];
        let burned: Amount = costs.iter().map(|cost| cost.fee).sum();
        assert_eq!(before.issued - burned, self.issued, "fees are burned, and nothing else is");
        for (account, had) in &before.owned {
            let own = costs.iter().filter(|cost| cost.signer == *account);
            let costs: i128 = own.map(|cost| i128::try_from(cost.fee).unwrap() + cost.deposit).sum();
            let gained: i128 = gains.iter().filter(|(who, _)| who == account).map(|(_, amount)| amount).sum();
            let expected = i128::try_from(*had).unwrap() - costs + gained;
            assert_eq!(i128::try_from(self.owned[account]).unwrap(), expected, "the coins of {account}");
        }
    }
}
