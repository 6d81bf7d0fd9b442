//! A door for tests that hold what is encoded and decoded here against the runtime's own types, which the SDK does not depend on.

use super::{
    RemoteChain,
    balance::BalanceWidth,
    dispatch::DispatchError,
    dry_run::{Answer, Question},
    era::Era,
    events::{BlockEvents, digest},
    extrinsic::{self, SignedForm},
    nonces::Wrong,
    runtime::{AccountData, Runtime, unusual},
    wire::RuntimeVersion,
};
use crate::{AddressFormat, BlockRef, ChainError, ContractEvent, DryRun, Receipt, Signer, Transaction};
use protocol::{AccountId, Amount, Hash};
use scale::Decode;
use std::time::Duration;

/// Whether two endpoints have a block with these events, as they are stored.
///
/// # Errors
/// [`ChainError::Disputed`], [`ChainError::Unconfirmed`].
pub async fn confirm(chain: &RemoteChain, at: BlockRef, events: &[u8]) -> Result<(), ChainError> {
    chain.node.confirm_events(at, digest(events)).await
}

/// The nonce with which a call begins that defends a channel; none where no endpoint tells one.
pub async fn nonce_of_what_comes_first(chain: &RemoteChain, account: AccountId) -> Option<u64> {
    chain.node.told_nonces(account).await.lowest(0, &Wrong::default())
}

/// What is encoded and decoded with a runtime's metadata.
pub struct Codec(Runtime);

impl Codec {
    /// Reads metadata.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub fn new(
        genesis: Hash,
        spec_version: u32,
        transaction_version: u32,
        metadata: &[u8],
    ) -> Result<Self, ChainError> {
        Runtime::new(genesis, RuntimeVersion { spec_version, transaction_version }, metadata).map(Self)
    }

    /// A signed transaction, valid for 64 blocks from `birth` on.
    ///
    /// # Errors
    /// [`ChainError::NotSigned`], [`ChainError::Unreachable`].
    pub async fn sign(
        &self,
        transaction: &Transaction,
        dry_run: &DryRun,
        signer: &dyn Signer,
        nonce: u64,
        birth: BlockRef,
    ) -> Result<Vec<u8>, ChainError> {
        extrinsic::sign(
            &self.0,
            transaction,
            dry_run,
            signer,
            SignedForm { nonce, era: Era { from: birth, blocks: 64 }, tip: 0 },
        )
        .await
    }

    /// The most coins that the chain can say.
    #[must_use]
    pub const fn most(&self) -> Amount {
        self.0.balances.most()
    }

    /// How the chain writes its accounts.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub fn address_format(&self) -> Result<AddressFormat, ChainError> {
        self.0.address_format()
    }

    /// The time from block to block that the chain is made for.
    #[must_use]
    pub fn block_time(&self) -> Option<Duration> {
        self.0.block_time()
    }

    /// For how many blocks a transaction can be valid at most.
    #[must_use]
    pub fn longest_era(&self) -> u32 {
        self.0.longest_era()
    }

    /// The contracts' events of a block's stored events.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub fn contract_events(&self, bytes: Vec<u8>) -> Result<Vec<ContractEvent>, ChainError> {
        Ok(BlockEvents::decode(&self.0, bytes)?.of_contracts())
    }

    /// What a block's stored events say of extrinsic `index`.
    ///
    /// # Errors
    /// [`ChainError::FailedInBlock`], [`ChainError::Unreachable`].
    pub fn receipt(
        &self,
        bytes: Vec<u8>,
        block: BlockRef,
        index: u32,
        account: AccountId,
        contract: Option<AccountId>,
    ) -> Result<Receipt, ChainError> {
        BlockEvents::decode(&self.0, bytes)?.receipt(block, index, 0, account, contract)
    }

    /// Where an account's balance is stored, and where what a contract is is.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub fn keys(&self, account: &AccountId) -> Result<[Vec<u8>; 2], ChainError> {
        Ok([self.0.account_key(account)?, self.0.contract_key(account)?])
    }

    /// What a stored account can spend.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub fn spendable(&self, bytes: &[u8]) -> Result<Amount, ChainError> {
        self.0.account(bytes).map(|data: AccountData| data.spendable())
    }

    /// An encoded dispatch error's name.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub fn error_name(&self, mut bytes: &[u8]) -> Result<String, ChainError> {
        let error = DispatchError::decode(&mut bytes).map_err(|error| unusual(&error))?;
        Ok(error.name(&self.0))
    }
}

/// The runtime API's question about a transaction, as `0x..` text, and its name, where balances have 128 bits; none for a transfer.
#[must_use]
pub fn question(origin: &AccountId, transaction: &Transaction) -> Option<(&'static str, String)> {
    let question = Question::about(origin, transaction, BalanceWidth::Bits128).ok()??;
    Some((question.method, question.arguments()))
}

/// The runtime API's answer where balances have 128 bits; none where the transaction failed.
///
/// # Errors
/// [`ChainError::Unreachable`].
pub fn answer(transaction: &Transaction, bytes: &[u8]) -> Result<Option<DryRun>, ChainError> {
    match Answer::decode(transaction, bytes, BalanceWidth::Bits128).map_err(|error| unusual(&error))? {
        Answer::Ran(dry_run) => Ok(Some(dry_run)),
        Answer::Failed { .. } => Ok(None),
    }
}
