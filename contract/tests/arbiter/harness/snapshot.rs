//! All that a call of the arbiter could change, read before and after it.

use devchain::{ContractInfo, DevChain};
use protocol::{AccountId, Amount, BlockNumber, ChannelId, Pair, contracts::conditional::HashLock, record::Record};
use sdk::chain::{Arbiter, Chain};
use std::collections::BTreeMap;

/// What to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) accounts: Vec<AccountId>,
    pub(crate) channels: Vec<ChannelId>,
    pub(crate) pairs: Vec<Pair<AccountId>>,
    pub(crate) locks: Vec<HashLock>,
}

/// The arbiter's storage and everybody's coins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// What each account can spend; the arbiter's is among them.
    pub(crate) free: BTreeMap<AccountId, Amount>,
    /// All coins there are.
    pub(crate) issuance: Amount,
    /// What the arbiter occupies on the chain.
    pub(crate) info: ContractInfo,
    /// As in a ledger: empty vaults are left out.
    pub(crate) vaults: BTreeMap<AccountId, Amount>,
    /// As in a ledger: unused ones are left out.
    pub(crate) nonces: BTreeMap<Pair<AccountId>, u64>,
    /// As in a ledger: ended ones are left out.
    pub(crate) channels: BTreeMap<ChannelId, Record>,
    /// As in a ledger.
    pub(crate) preimages: BTreeMap<HashLock, BlockNumber>,
}

impl Snapshot {
    pub(crate) async fn take(chain: &DevChain, arbiter: &Arbiter, scope: &Scope) -> Self {
        let address = arbiter.info().domain.arbiter;
        let mut free = BTreeMap::new();
        let mut vaults = BTreeMap::new();
        for &account in &scope.accounts {
            let _new = free.insert(account, chain.free_balance(&account).await.unwrap());
            match arbiter.vault_balance(account).await.unwrap() {
                0 => {}
                balance => drop(vaults.insert(account, balance)),
            }
        }
        let _new = free.insert(address, chain.free_balance(&address).await.unwrap());
        let mut nonces = BTreeMap::new();
        for &pair in &scope.pairs {
            match arbiter.pair_nonce(pair).await.unwrap() {
                0 => {}
                nonce => drop(nonces.insert(pair, nonce)),
            }
        }
        let mut channels = BTreeMap::new();
        for &channel in &scope.channels {
            if let Some(record) = arbiter.channel(channel).await.unwrap() {
                let _new = channels.insert(channel, record);
            }
        }
        let mut preimages = BTreeMap::new();
        for &lock in &scope.locks {
            if let Some(shown_at) = arbiter.preimage_shown_at(lock).await.unwrap() {
                let _new = preimages.insert(lock, shown_at);
            }
        }
        let issuance = chain.total_issuance().await.unwrap();
        let info = chain.contract_info(address).await.unwrap().expect("the arbiter stands");
        Self { free, issuance, info, vaults, nonces, channels, preimages }
    }
}
