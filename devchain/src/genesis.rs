//! Block 0: the runtime's own genesis builders, and a header with the root of what they built.

use crate::{
    accounts::{self, DEV_ENDOWMENT, DevAccount, FAUCET_ENDOWMENT},
    coins,
    state::State,
};
use chain::{Address, BlockRef, ChainError};
use protocol::{AccountId, Amount, Hash};
use runtime::{BalancesConfig, EXISTENTIAL_DEPOSIT, Header, RuntimeGenesisConfig, SudoConfig, VERSION};
use sp_core::{H256, crypto::AccountId32};
use sp_runtime::{
    BuildStorage as _,
    traits::{BlakeTwo256, Hash as _, Header as _},
};
use std::collections::BTreeMap;

/// The state and the block that a chain starts from.
pub(crate) struct Genesis {
    pub(crate) state: State,
    pub(crate) block: BlockRef,
}

/// Builds block 0 with the development accounts, the faucet and `endowed`, which has the last word.
///
/// # Errors
/// [`ChainError::Invalid`] where an endowment is below the existential deposit, or all of them exceed what the chain can count.
pub(crate) fn build(endowed: BTreeMap<AccountId, Amount>) -> Result<Genesis, ChainError> {
    let mut balances: BTreeMap<_, _> = DevAccount::ALL.into_iter().map(|who| (who.id(), DEV_ENDOWMENT)).collect();
    let _new = balances.insert(AccountId(accounts::faucet().public_key().0), coins::amount(FAUCET_ENDOWMENT));
    balances.extend(endowed);
    check(&balances)?;

    let owned = |(AccountId(id), amount)| Ok((AccountId32::new(id), coins::balance(amount)?));
    let balances = balances.into_iter().map(owned).collect::<Result<_, ChainError>>()?;
    let config = RuntimeGenesisConfig {
        balances: BalancesConfig { balances },
        sudo: SudoConfig { key: Some(AccountId32::new(DevAccount::Alice.id().0)) },
        ..Default::default()
    };
    let storage = config.build_storage().map_err(|cause| ChainError::Invalid { cause })?;
    let state = State::new(storage);
    let no_extrinsics = BlakeTwo256::trie_root(Vec::new(), VERSION.state_version());
    let header = Header::new(0, no_extrinsics, H256(state.root().0), H256::zero(), Default::default());
    Ok(Genesis { state, block: BlockRef { number: 0, hash: Hash(header.hash().0) } })
}

/// What the runtime's builder would panic about.
fn check(balances: &BTreeMap<AccountId, Amount>) -> Result<(), ChainError> {
    if let Some((account, amount)) = balances.iter().find(|(_, amount)| **amount < coins::amount(EXISTENTIAL_DEPOSIT)) {
        let cause = format!(
            "{} is endowed with {amount}, below the existential deposit of {EXISTENTIAL_DEPOSIT}",
            Address::from(*account)
        );
        return Err(ChainError::Invalid { cause });
    }
    let total = balances.values().try_fold(0, |total: Amount, amount| total.checked_add(*amount));
    let fits = total.is_some_and(|total| total <= coins::most());
    fits.then_some(()).ok_or_else(|| ChainError::Invalid { cause: "the endowments overflow the total issuance".into() })
}
