//! Where every coin is.

use crate::TestChain;
use protocol::{AccountId, Amount};
use sdk::chain::{Arbiter, Chain, Recorder};
use std::collections::BTreeMap;

/// Everybody's coins at one moment.
#[derive(Clone, Debug)]
pub struct Coins {
    issued: Amount,
    /// Account and vault together.
    owned: BTreeMap<AccountId, Amount>,
    /// How many transactions had been made.
    transactions: usize,
}

impl Coins {
    pub(crate) async fn count(
        chain: &impl TestChain,
        recorder: &Recorder,
        arbiter: &Arbiter,
        accounts: impl IntoIterator<Item = AccountId>,
    ) -> Self {
        recorder.quiet().await;
        let mut owned = BTreeMap::new();
        for account in accounts {
            let free = recorder.free_balance(&account).await.unwrap();
            let _new = owned.insert(account, free + arbiter.vault_balance(account).await.unwrap());
        }
        let issued = chain.total_issuance().await;
        Self { issued, owned, transactions: recorder.entries().len() }
    }

    /// Checks that since `before` each account has gained what `gains` says (nothing where it says nothing), fees and storage deposits apart,
    /// and that no coin has come or gone but the fees.
    ///
    /// # Panics
    /// Where a coin is missing, or is there that should not be.
    pub fn check(&self, before: &Self, recorder: &Recorder, gains: &[(AccountId, i128)]) {
        let entries = recorder.entries();
        let entries = &entries[before.transactions..self.transactions];
        let burned: Amount = entries.iter().map(|entry| entry.fee).sum();
        assert_eq!(before.issued - burned, self.issued, "fees are burned, and nothing else is");
        for (account, had) in &before.owned {
            let own = entries.iter().filter(|entry| entry.signer == *account);
            let costs: i128 = own.map(|entry| i128::try_from(entry.fee).unwrap() + entry.deposit()).sum();
            let gained: i128 = gains.iter().filter(|(who, _)| who == account).map(|(_, amount)| amount).sum();
            let expected = i128::try_from(*had).unwrap() - costs + gained;
            assert_eq!(i128::try_from(self.owned[account]).unwrap(), expected, "the coins of {account}");
        }
    }
}
