//! All that a call of the arbiter could change, read before and after it.

use devchain::{ContractInfo, DevChain};
use protocol::{
    AccountId, Amount, BlockNumber, ChannelId, Pair, PartyId, call::Read, contracts::conditional::HashLock,
    decode_exact, record::Record,
};
use scale::Decode;
use sdk::chain::{Chain, Transaction, arbiter::selector};
use std::collections::BTreeMap;

/// What to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) accounts: Vec<AccountId>,
    pub(crate) vaults: Vec<PartyId>,
    pub(crate) channels: Vec<ChannelId>,
    pub(crate) pairs: Vec<Pair<PartyId>>,
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
    /// Empty ones are left out: a read does not tell whether such a one has storage.
    pub(crate) vaults: BTreeMap<PartyId, Amount>,
    /// As in a ledger: unused ones are left out.
    pub(crate) nonces: BTreeMap<Pair<PartyId>, u64>,
    /// As in a ledger: ended ones are left out.
    pub(crate) channels: BTreeMap<ChannelId, Record>,
    /// As in a ledger.
    pub(crate) preimages: BTreeMap<HashLock, BlockNumber>,
}

impl Snapshot {
    pub(crate) async fn take(chain: &DevChain, arbiter: &AccountId, scope: &Scope) -> Self {
        let mut free = BTreeMap::new();
        for &account in scope.accounts.iter().chain([arbiter]) {
            let _new = free.insert(account, chain.free_balance(&account).await.unwrap());
        }
        let mut vaults = BTreeMap::new();
        for &owner in &scope.vaults {
            match read(chain, arbiter, Read::VaultBalance(owner)).await {
                0 => {}
                balance => drop(vaults.insert(owner, balance)),
            }
        }
        let mut nonces = BTreeMap::new();
        for &pair in &scope.pairs {
            match read(chain, arbiter, Read::PairNonce(pair)).await {
                0 => {}
                nonce => drop(nonces.insert(pair, nonce)),
            }
        }
        let mut channels = BTreeMap::new();
        for &channel in &scope.channels {
            if let Some(record) = read::<Option<Record>>(chain, arbiter, Read::Channel(channel)).await {
                let _new = channels.insert(channel, record);
            }
        }
        let mut preimages = BTreeMap::new();
        for &lock in &scope.locks {
            if let Some(shown_at) = read::<Option<BlockNumber>>(chain, arbiter, Read::PreimageShownAt(lock)).await {
                let _new = preimages.insert(lock, shown_at);
            }
        }
        let issuance = chain.total_issuance().await.unwrap();
        let info = chain.contract_info(*arbiter).await.unwrap().expect("the arbiter stands");
        Self { free, issuance, info, vaults, nonces, channels, preimages }
    }
}

/// What a read of the arbiter answers to anybody.
pub(crate) async fn read<T: Decode>(chain: &DevChain, arbiter: &AccountId, what: Read) -> T {
    let data = [&selector(what.name())[..], &what.arguments()].concat();
    let transaction = Transaction::Call { contract: *arbiter, value: 0, data };
    let dry_run = chain.dry_run(&super::Actor::Stranger.id(), &transaction).await.unwrap();
    assert!(!dry_run.reverted, "{} is answered", what.name());
    decode_exact::<Result<T, ()>>(&dry_run.returned).unwrap().unwrap()
}
