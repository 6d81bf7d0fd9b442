//! Transactions as the chain takes them: calls in the shapes of its metadata, signed by whoever holds the account's key.

use super::{
    era::Era,
    extensions::other_fees,
    runtime::{Runtime, unusual},
};
use crate::{ChainError, ChainSignature, DryRun, NotSigned, Signer, Transaction, Weight, signer::SIGNING_TIME};
use protocol::{AccountId, Amount};
use std::time::Duration;
use subxt::{
    config::{DefaultExtrinsicParamsBuilder, substrate::SubstrateConfig},
    dynamic::Value,
    ext::scale_encode::EncodeAsType,
    transactions::{Payload, dynamic},
    utils::{AccountId32, H256, MultiAddress, MultiSignature},
};
use tokio::time::timeout;

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
    signed.map_err(|cause| ChainError::NotSigned { account: signer.account().into(), cause })
}

const fn address(AccountId(account): AccountId) -> MultiAddress<AccountId32, ()> {
    MultiAddress::Id(AccountId32(account))
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;

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
        assert_eq!(waited, Err(ChainError::NotSigned { account: AccountId([7; 32]).into(), cause }));
    }
}
