//! Transactions as the chain takes them: calls in the shapes of its metadata, signed by whoever holds the account's key.

use super::{
    extensions::other_fees,
    runtime::{Runtime, unusual},
};
use crate::{
    BlockRef, ChainError, ChainSignature, DryRun, NotSigned, Signer, Transaction, Weight, signer::SIGNING_TIME,
};
use protocol::{AccountId, Amount, BlockNumber};
use std::time::Duration;
use subxt::{
    config::{DefaultExtrinsicParamsBuilder, substrate::SubstrateConfig},
    dynamic::Value,
    ext::scale_encode::EncodeAsType,
    transactions::{Payload, dynamic},
    utils::{AccountId32, H256, MultiAddress, MultiSignature},
};
use tokio::time::timeout;

/// For which blocks a transaction is valid, and how it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Era {
    /// A final block: the transaction is valid after it.
    pub(super) from: BlockRef,
    /// For how many blocks, counting that one. A power of two.
    pub(super) blocks: u32,
}

/// The longest validity: well within what chains remember of their own block hashes, and a bound on what is waited for.
const LONGEST: u32 = 1_024;

impl Era {
    /// An era after `head` of at least `least` blocks, and longer where the best block is far ahead of the final one.
    pub(super) fn new(head: BlockRef, best: BlockNumber, least: u32) -> Self {
        let ahead = best.saturating_sub(head.number).saturating_mul(2);
        let blocks = least.saturating_add(ahead).clamp(4, LONGEST);
        Self { from: head, blocks: blocks.checked_next_power_of_two().unwrap_or(LONGEST) }
    }

    /// An era after `from` that lasts for `least` blocks beyond the best one, and for `most` altogether where that is less.
    pub(super) fn short(from: BlockRef, best: BlockNumber, (least, most): (u32, u32)) -> Self {
        let blocks = best.saturating_sub(from.number).saturating_add(least).clamp(4, most);
        Self { from, blocks: blocks.checked_next_power_of_two().unwrap_or(most) }
    }

    /// The last block that can take the transaction.
    pub(super) const fn last(&self) -> BlockNumber {
        self.from.number.saturating_add(self.blocks).saturating_sub(1)
    }
}

#[derive(EncodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
struct GasLimit {
    ref_time: u64,
    proof_size: u64,
}

#[derive(EncodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
struct ContractCall {
    dest: MultiAddress<AccountId32, ()>,
    value: Amount,
    gas_limit: GasLimit,
    storage_deposit_limit: Option<Amount>,
    data: Vec<u8>,
}

#[derive(EncodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
struct InstantiateWithCode {
    value: Amount,
    gas_limit: GasLimit,
    storage_deposit_limit: Option<Amount>,
    code: Vec<u8>,
    data: Vec<u8>,
    salt: Vec<u8>,
}

#[derive(EncodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
struct TransferAllowDeath {
    dest: MultiAddress<AccountId32, ()>,
    value: Amount,
}

/// What one signed form of a transaction has besides its call.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignedForm {
    pub(super) nonce: u64,
    pub(super) era: Era,
    /// What is offered on top of the fee.
    pub(super) tip: Amount,
}

/// Signs `transaction`, with the limits of its dry run and a margin of a tenth: the state may have moved in between. A deposit limit is set
/// where the dry run was charged one; otherwise the runtime's default holds.
///
/// # Errors
/// [`ChainError::AmountTooLarge`], [`ChainError::ExtensionUnknown`], [`ChainError::NotSigned`]; [`ChainError::Unreachable`] where the node's runtime has no
/// such call.
pub(super) async fn sign(
    runtime: &Runtime,
    transaction: &Transaction,
    dry_run: &DryRun,
    signer: &dyn Signer,
    form: SignedForm,
) -> Result<Vec<u8>, ChainError> {
    runtime.balances.check_transaction(transaction)?;
    runtime.balances.check(form.tip)?;
    let Weight { ref_time, proof_size } = dry_run.required;
    let gas_limit = GasLimit {
        ref_time: ref_time.saturating_add(ref_time / 10),
        proof_size: proof_size.saturating_add(proof_size / 10),
    };
    let charge = Amount::try_from(dry_run.storage_deposit).ok().filter(|charge| *charge > 0);
    let most = runtime.balances.most();
    let storage_deposit_limit = charge.map(|charge| charge.saturating_add(charge / 10).min(most));
    match transaction.clone() {
        Transaction::Call { contract, value, data } => {
            let call = ContractCall { dest: address(contract), value, gas_limit, storage_deposit_limit, data };
            sign_call(runtime, &dynamic("Contracts", "call", call), signer, form).await
        }
        Transaction::Instantiate { code, value, data, salt } => {
            let call = InstantiateWithCode { value, gas_limit, storage_deposit_limit, code, data, salt };
            sign_call(runtime, &dynamic("Contracts", "instantiate_with_code", call), signer, form).await
        }
        Transaction::Transfer { to, amount } => {
            let call = TransferAllowDeath { dest: address(to), value: amount };
            sign_call(runtime, &dynamic("Balances", "transfer_allow_death", call), signer, form).await
        }
    }
}

async fn sign_call(
    runtime: &Runtime,
    call: &(impl Payload + Sync),
    signer: &dyn Signer,
    SignedForm { nonce, era: Era { from, blocks }, tip }: SignedForm,
) -> Result<Vec<u8>, ChainError> {
    let mut parameters = DefaultExtrinsicParamsBuilder::<SubstrateConfig>::new()
        .nonce(nonce)
        .tip(tip)
        .mortal_from_unchecked(u64::from(blocks), u64::from(from.number), H256(from.hash.0));
    for fee in other_fees(runtime.at.metadata_ref())? {
        parameters = parameters.custom_extension(fee, Value::u128(tip));
    }
    let parameters = parameters.build();
    let mut signable =
        runtime.at.transactions().create_signable_offline(call, parameters).map_err(|error| unusual(&error))?;
    let payload = signable.signer_payload().map_err(|error| unusual(&error))?;
    let signature = match signature(signer, &payload, SIGNING_TIME).await? {
        ChainSignature::Sr25519(bytes) => MultiSignature::Sr25519(bytes),
        ChainSignature::Ecdsa(bytes) => MultiSignature::Ecdsa(bytes),
    };
    let AccountId(account) = signer.account();
    let signed = signable.sign_with_account_and_signature(&AccountId32(account), &signature);
    Ok(signed.map_err(|error| unusual(&error))?.encoded().to_vec())
}

/// A signature, or why there is none within `time`.
async fn signature(signer: &dyn Signer, payload: &[u8], time: Duration) -> Result<ChainSignature, ChainError> {
    let late = |_elapsed| Err(NotSigned(format!("no answer within {} s", time.as_secs())));
    let signed = timeout(time, signer.sign(payload)).await.unwrap_or_else(late);
    signed.map_err(|cause| ChainError::NotSigned { account: signer.account(), cause })
}

const fn address(AccountId(account): AccountId) -> MultiAddress<AccountId32, ()> {
    MultiAddress::Id(AccountId32(account))
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use protocol::Hash;

    /// A wallet whose owner has gone for lunch.
    struct Silent;

    #[async_trait]
    impl Signer for Silent {
        fn account(&self) -> AccountId {
            AccountId([7; 32])
        }

        async fn sign(&self, _payload: &[u8]) -> Result<ChainSignature, NotSigned> {
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn a_wallet_that_does_not_answer_is_not_waited_for_for_ever() {
        let waited = signature(&Silent, b"payload", Duration::ZERO).await;
        let cause = NotSigned("no answer within 0 s".into());
        assert_eq!(waited, Err(ChainError::NotSigned { account: AccountId([7; 32]), cause }));
    }

    fn era(head: BlockNumber, best: BlockNumber, least: u32) -> (u32, BlockNumber) {
        let era = Era::new(BlockRef { number: head, hash: Hash::ZERO }, best, least);
        (era.blocks, era.last())
    }

    #[test]
    fn an_era_is_a_power_of_two_and_ends_before_its_length_is_over() {
        assert_eq!(era(100, 100, 64), (64, 163));
        assert_eq!(era(100, 100, 65), (128, 227));
        assert_eq!(era(0, 0, 0), (4, 3));
        assert_eq!(era(0, 0, u32::MAX), (LONGEST, LONGEST - 1));
    }

    #[test]
    fn a_short_era_lasts_for_a_retry_beyond_the_best_block_and_no_longer_whatever_that_is_said_to_be() {
        let short = |best| Era::short(BlockRef { number: 100, hash: Hash::ZERO }, best, (8, 64)).blocks;
        assert_eq!([100, 104, 110, 130, 1_000_000, 90].map(short), [8, 16, 32, 64, 64, 8]);
    }

    #[test]
    fn an_era_is_longer_where_finality_lags() {
        assert_eq!(era(100, 130, 64), (128, 227));
        assert_eq!(era(100, 100_000, 64).0, LONGEST);
        assert_eq!(era(100, 90, 64).0, 64, "a best block below the final one is another endpoint's");
    }
}
