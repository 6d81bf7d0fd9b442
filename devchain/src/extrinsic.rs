//! Transactions as the runtime's own extrinsics, signed as the chain prescribes.

use crate::coins;
use chain::{ChainError, ChainSignature, DryRun, Signer, Transaction, Weight};
use pallet_transaction_payment::ChargeTransactionPayment;
use protocol::{AccountId, Amount, Hash};
use runtime::{
    Address, BalancesCall, RuntimeCall, SignedExtra, SignedPayload, TimestampCall, UncheckedExtrinsic, VERSION,
};
use scale::{Compact, Encode};
use sp_core::{H256, crypto::AccountId32, ecdsa, sr25519};
use sp_runtime::{MultiSignature, generic::Era};

/// The runtime's call for a transaction, with the limits of its dry run and a margin of a tenth: the state may have moved in between.
///
/// A deposit limit is set where the dry run was charged one; otherwise the runtime's default holds.
///
/// # Errors
/// [`ChainError::AmountTooLarge`].
pub(crate) fn call(transaction: Transaction, dry_run: &DryRun) -> Result<RuntimeCall, ChainError> {
    let Weight { ref_time, proof_size } = dry_run.required;
    let gas_limit = frame_support::weights::Weight::from_parts(
        ref_time.saturating_add(ref_time / 10),
        proof_size.saturating_add(proof_size / 10),
    );
    let charge = Amount::try_from(dry_run.storage_deposit).ok().filter(|charge| *charge > 0);
    let storage_deposit_limit = charge.map(|charge| Compact(coins::limit(charge.saturating_add(charge / 10))));
    Ok(match transaction {
        Transaction::Call { contract, value, data } => RuntimeCall::Contracts(pallet_contracts::Call::call {
            dest: address(contract),
            value: coins::balance(value)?,
            gas_limit,
            storage_deposit_limit,
            data,
        }),
        Transaction::Instantiate { code, value, data, salt } => {
            RuntimeCall::Contracts(pallet_contracts::Call::instantiate_with_code {
                value: coins::balance(value)?,
                gas_limit,
                storage_deposit_limit,
                code,
                data,
                salt,
            })
        }
        Transaction::Transfer { to, amount } => transfer(to, amount)?,
    })
}

/// A plain transfer. It may empty the sender's account.
///
/// # Errors
/// [`ChainError::AmountTooLarge`].
pub(crate) fn transfer(to: AccountId, amount: Amount) -> Result<RuntimeCall, ChainError> {
    let value = coins::balance(amount)?;
    Ok(RuntimeCall::Balances(BalancesCall::transfer_allow_death { dest: address(to), value }))
}

/// Signs a call: immortal, without tip, for this runtime's versions and the chain with this genesis.
///
/// # Errors
/// [`ChainError::NotSigned`].
pub(crate) async fn sign(
    call: RuntimeCall,
    signer: &dyn Signer,
    nonce: u32,
    genesis: Hash,
) -> Result<UncheckedExtrinsic, ChainError> {
    let extra: SignedExtra = (
        frame_system::CheckNonZeroSender::new(),
        frame_system::CheckSpecVersion::new(),
        frame_system::CheckTxVersion::new(),
        frame_system::CheckGenesis::new(),
        frame_system::CheckEra::from(Era::Immortal),
        frame_system::CheckNonce::from(nonce),
        frame_system::CheckWeight::new(),
        ChargeTransactionPayment::from(0),
    );
    let genesis = H256(genesis.0);
    let additional = ((), VERSION.spec_version, VERSION.transaction_version, genesis, genesis, (), (), ());
    let payload = SignedPayload::from_raw(call, extra, additional);
    let account = signer.account();
    let signed = signer.sign(&payload.using_encoded(<[u8]>::to_vec)).await;
    let signature = match signed.map_err(|cause| ChainError::NotSigned { account: account.into(), cause })? {
        ChainSignature::Sr25519(bytes) => MultiSignature::Sr25519(sr25519::Signature::from_raw(bytes)),
        ChainSignature::Ecdsa(bytes) => MultiSignature::Ecdsa(ecdsa::Signature::from_raw(bytes)),
    };
    let (call, extra, _) = payload.deconstruct();
    Ok(UncheckedExtrinsic::new_signed(call, address(account), signature, extra))
}

/// The inherent that tells a block its time.
pub(crate) fn timestamp(now: u64) -> UncheckedExtrinsic {
    UncheckedExtrinsic::new_unsigned(RuntimeCall::Timestamp(TimestampCall::set { now }))
}

const fn address(AccountId(id): AccountId) -> Address {
    Address::Id(AccountId32::new(id))
}
