//! What tests want to know about the state. Everything here runs inside the state's externalities.

use crate::{coins, extrinsic, receipt};
use chain::{ChainError, DryRun, Transaction, Weight};
use frame_support::{
    StorageHasher, Twox64Concat,
    dispatch::{DispatchClass, GetDispatchInfo},
    storage::storage_prefix,
    traits::fungible::{Inspect, InspectHold},
};
use protocol::{AccountId, Amount, Hash};
use runtime::{Balance, Contracts, Runtime, TransactionPayment};
use scale::{Decode, Encode};
use sp_core::{H256, crypto::AccountId32};

type Balances = runtime::Balances;

/// What a contract occupies on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContractInfo {
    /// The hash of its code.
    pub code_hash: Hash,
    /// How many entries its storage has.
    pub items: u32,
    /// How many bytes they take.
    pub bytes: u32,
    /// The coins held on its account for its storage and for its existence.
    pub deposit: Amount,
}

/// The most that one ordinary transaction may be, so that a block takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionLimits {
    /// Computation and proof; the runtime sets no bound where it is the number range's own.
    pub weight: Weight,
    /// Bytes, as encoded.
    pub length: u32,
}

impl TransactionLimits {
    /// The runtime's.
    #[must_use]
    pub fn of_the_runtime() -> Self {
        let weights = <Runtime as frame_system::Config>::BlockWeights::get();
        let weight = weights.get(DispatchClass::Normal).max_extrinsic.unwrap_or(weights.max_block);
        let lengths = <Runtime as frame_system::Config>::BlockLength::get();
        Self { weight: receipt::weight(weight), length: *lengths.max.get(DispatchClass::Normal) }
    }
}

/// The part of the pallet's own record that is of interest; its type is private there.
#[derive(Decode)]
struct Stored {
    _trie_id: Vec<u8>,
    code_hash: H256,
    bytes: u32,
    items: u32,
    byte_deposit: Balance,
    item_deposit: Balance,
    base_deposit: Balance,
}

pub(crate) fn contract(address: &AccountId) -> Result<Option<ContractInfo>, ChainError> {
    let map = storage_prefix(b"Contracts", b"ContractInfoOf");
    let key = [&map[..], &Twox64Concat::hash(&address.0.encode())].concat();
    let Some(bytes) = sp_io::storage::get(&key) else { return Ok(None) };
    let stored = Stored::decode(&mut &bytes[..]).map_err(|error| ChainError::Failed { cause: error.to_string() })?;
    let deposit = stored.byte_deposit.saturating_add(stored.item_deposit).saturating_add(stored.base_deposit);
    Ok(Some(ContractInfo {
        code_hash: Hash(stored.code_hash.0),
        items: stored.items,
        bytes: stored.bytes,
        deposit: coins::amount(deposit),
    }))
}

pub(crate) fn code_hash(contract: &AccountId) -> Option<Hash> {
    Contracts::code_hash(&AccountId32::new(contract.0)).map(|hash| Hash(hash.0))
}

/// The Wasm as it was uploaded; the pallet keeps it under its hash.
pub(crate) fn code(hash: &Hash) -> Result<Option<Vec<u8>>, ChainError> {
    let key = [&storage_prefix(b"Contracts", b"PristineCode")[..], &hash.0].concat();
    let Some(bytes) = sp_io::storage::get(&key) else { return Ok(None) };
    let code = Vec::<u8>::decode(&mut &bytes[..]).map_err(|error| ChainError::Failed { cause: error.to_string() })?;
    Ok(Some(code))
}

/// What the inclusion of a transaction costs on this state. It is as long as one that is signed, or a few bytes longer.
pub(crate) fn fee(transaction: Transaction, required: Weight) -> Result<Amount, ChainError> {
    const SIGNED: usize = 112;
    let call = extrinsic::call(transaction, &DryRun::of(required))?;
    let length = u32::try_from(call.encoded_size().saturating_add(SIGNED)).unwrap_or(u32::MAX);
    Ok(coins::amount(TransactionPayment::compute_fee(length, &call.get_dispatch_info(), 0)))
}

/// Free and not frozen. It includes the existential deposit, as wallets show it, though neither fees nor values can take that.
pub(crate) fn free_balance(account: &AccountId) -> Amount {
    let data = frame_system::Account::<Runtime>::get(AccountId32::new(account.0)).data;
    // What is reserved counts towards what is frozen.
    coins::amount(data.free.saturating_sub(data.frozen.saturating_sub(data.reserved)))
}

pub(crate) fn held_balance(account: &AccountId) -> Amount {
    coins::amount(Balances::total_balance_on_hold(&AccountId32::new(account.0)))
}

pub(crate) fn total_issuance() -> Amount {
    coins::amount(<Balances as Inspect<AccountId32>>::total_issuance())
}
