//! One version of the chain's runtime, as its own metadata describes it. No metadata is kept in this repository: what calls, events and
//! errors look like is asked of the node, so a runtime that moves its pallets about is no reason to build anew.

use super::{
    balance::BalanceWidth,
    endless::is_any_endless,
    era::{LONGEST, era_within},
    wire::RuntimeVersion,
};
use crate::{AddressFormat, ChainError, Weight};
use protocol::{AccountId, Amount, Hash};
use std::{sync::Arc, time::Duration};
use subxt::{
    client::{ClientAtBlock, OfflineClient, OfflineClientAtBlockImpl},
    config::substrate::{SpecVersionForRange, SubstrateConfig},
    dynamic::Value,
    events::Events,
    ext::{frame_decode::storage::decode_storage_value, scale_decode::DecodeAsType},
    metadata::Metadata,
    utils::H256,
};

/// What calls are encoded with and events are decoded with.
pub(super) type AtRuntime = ClientAtBlock<SubstrateConfig, OfflineClientAtBlockImpl<SubstrateConfig>>;

pub(super) struct Runtime {
    pub(super) existential_deposit: Amount,
    pub(super) balances: BalanceWidth,
    pub(super) at: AtRuntime,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct AccountInfo {
    data: AccountData,
}

/// What an account owns.
#[derive(Clone, Copy, Debug, Default, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct AccountData {
    free: Amount,
    reserved: Amount,
    frozen: Amount,
}

impl AccountData {
    /// Free and not frozen. What is reserved counts towards what is frozen.
    pub(super) const fn spendable(&self) -> Amount {
        self.free.saturating_sub(self.frozen.saturating_sub(self.reserved))
    }
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct ContractInfo {
    code_hash: H256,
}

/// What a block may weigh, as far as it concerns transactions of users.
#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct BlockWeights {
    per_class: PerClass,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct PerClass {
    normal: ClassWeights,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct ClassWeights {
    max_extrinsic: Option<TwoWeights>,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct TwoWeights {
    ref_time: u64,
    proof_size: u64,
}

impl Runtime {
    /// Reads metadata.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] where this is no chain with `pallet-contracts`.
    pub(super) fn new(genesis: Hash, version: RuntimeVersion, metadata: &[u8]) -> Result<Self, ChainError> {
        let not = |what: &str| ChainError::Unreachable(format!("the node's runtime cannot be used: {what}"));
        let metadata =
            Metadata::decode_from(metadata).map_err(|error| not(&format!("its metadata does not decode ({error})")))?;
        if metadata.pallet_by_name("Contracts").is_none() {
            return Err(not("it has no pallet named Contracts"));
        }
        if is_any_endless(metadata.types()) {
            return Err(not("its metadata has a type that contains itself, so that no value of it has an end"));
        }
        let balances = BalanceWidth::of(&metadata).map_err(|what| not(&what))?;
        let RuntimeVersion { spec_version, transaction_version } = version;
        let config = SubstrateConfig::builder()
            .set_genesis_hash(H256(genesis.0))
            .set_spec_version_for_block_ranges([SpecVersionForRange {
                block_range: 0..u64::MAX,
                spec_version,
                transaction_version,
            }])
            .set_metadata_for_spec_versions([(spec_version, Arc::new(metadata))])
            .build();
        let at = OfflineClient::new_with_config(config).at_block(0_u64).map_err(|error| not(&error.to_string()))?;
        let existential_deposit = at
            .constants()
            .entry(subxt::constants::dynamic::<Amount>("Balances", "ExistentialDeposit"))
            .map_err(|error| not(&error.to_string()))?;
        Ok(Self { existential_deposit, balances, at })
    }

    /// The most that a transaction of a user may weigh.
    pub(super) fn transaction_limit(&self) -> Result<Option<Weight>, ChainError> {
        let constant = subxt::constants::dynamic::<BlockWeights>("System", "BlockWeights");
        let weights = self.at.constants().entry(constant).map_err(|error| unusual(&error))?;
        let limit = weights.per_class.normal.max_extrinsic;
        Ok(limit.map(|TwoWeights { ref_time, proof_size }| Weight { ref_time, proof_size }))
    }

    /// The SS58 prefix that the runtime gives itself.
    pub(super) fn address_format(&self) -> Result<AddressFormat, ChainError> {
        let constant = subxt::constants::dynamic::<u16>("System", "SS58Prefix");
        let prefix = self.at.constants().entry(constant).map_err(|error| unusual(&error))?;
        AddressFormat::new(prefix).ok_or_else(|| unusual(&format!("no chain can have {prefix} as its SS58 prefix")))
    }

    /// The least time between the clocks of two blocks that the runtime lets be. A slot is no such bound: some chains make several blocks in one.
    pub(super) fn least_block_time(&self) -> Option<Duration> {
        self.time("Timestamp", "MinimumPeriod")
    }

    /// The time from block to block that the chain is made for: a slot of Aura's, what Babe expects, or else twice the least. None where the metadata says
    /// nothing of it.
    pub(super) fn block_time(&self) -> Option<Duration> {
        self.time("Aura", "SlotDuration")
            .or_else(|| self.time("Babe", "ExpectedBlockTime"))
            .or_else(|| self.least_block_time()?.checked_mul(2))
    }

    /// A constant in milliseconds; none where there is no such, or where it says nothing.
    fn time(&self, pallet: &str, constant: &str) -> Option<Duration> {
        let constant = subxt::constants::dynamic::<u64>(pallet, constant);
        let millis = self.at.constants().entry(constant).ok()?;
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    /// For how many blocks a transaction can be valid at most: the chain has to know the hash of the one after which it is.
    pub(super) fn longest_era(&self) -> u32 {
        let constant = subxt::constants::dynamic::<u32>("System", "BlockHashCount");
        self.at.constants().entry(constant).map_or(LONGEST, era_within)
    }

    /// Events as they are stored in a block's state.
    pub(super) fn events(&self, bytes: Vec<u8>) -> Events<SubstrateConfig> {
        self.at.events().from_bytes(bytes)
    }

    /// Where what an account owns is stored.
    pub(super) fn account_key(&self, account: &AccountId) -> Result<Vec<u8>, ChainError> {
        self.key("System", "Account", account.0)
    }

    pub(super) fn account(&self, bytes: &[u8]) -> Result<AccountData, ChainError> {
        self.decode::<AccountInfo>("System", "Account", bytes).map(|info| info.data)
    }

    /// Where what a contract is is stored.
    pub(super) fn contract_key(&self, contract: &AccountId) -> Result<Vec<u8>, ChainError> {
        self.key("Contracts", "ContractInfoOf", contract.0)
    }

    /// Where uploaded code is stored.
    pub(super) fn code_key(&self, hash: &Hash) -> Result<Vec<u8>, ChainError> {
        self.key("Contracts", "PristineCode", hash.0)
    }

    pub(super) fn contract_code_hash(&self, bytes: &[u8]) -> Result<Hash, ChainError> {
        self.decode::<ContractInfo>("Contracts", "ContractInfoOf", bytes).map(|info| Hash(info.code_hash.0))
    }

    /// A pallet's own error as `Pallet::Variant`, or numbers where it has no such.
    pub(super) fn module_error(&self, pallet: u8, error: u8) -> String {
        let metadata = self.at.metadata_ref();
        let Some(found) = metadata.pallet_by_error_index(pallet) else { return format!("{pallet}::{error}") };
        found.error_variant_by_index(error).map_or_else(
            || format!("{}::{error}", found.name()),
            |variant| format!("{}::{}", found.name(), variant.name),
        )
    }

    fn key(&self, pallet: &str, entry: &str, of: [u8; 32]) -> Result<Vec<u8>, ChainError> {
        let entry = self.at.storage().entry((pallet, entry)).map_err(|error| unusual(&error))?;
        entry.fetch_key(vec![Value::from_bytes(of)]).map_err(|error| unusual(&error))
    }

    fn decode<T: DecodeAsType>(&self, pallet: &str, entry: &str, mut bytes: &[u8]) -> Result<T, ChainError> {
        let metadata = self.at.metadata_ref();
        decode_storage_value(pallet, entry, &mut bytes, metadata, metadata.types(), T::into_visitor())
            .map_err(|error| unusual(&error))
    }
}

/// The runtime has something by that name, in another shape.
pub(super) fn unusual(error: &impl std::fmt::Display) -> ChainError {
    ChainError::Unreachable(format!("the node's runtime is not as expected: {error}"))
}
