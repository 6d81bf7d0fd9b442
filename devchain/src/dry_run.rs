//! Executing a transaction in the next block without keeping it. Everything here runs inside the state's externalities,
//! in a block that [`block::open`](crate::block::open) has opened.

use crate::{coins, errors, extrinsic, receipt};
use chain::{ChainError, DryRun, Transaction};
use frame_support::weights::Weight;
use pallet_contracts::{Code, CollectEvents, DebugInfo, Determinism, ExecReturnValue, StorageDeposit};
use protocol::{AccountId, Amount};
use runtime::{Balance, Contracts, Runtime, RuntimeOrigin};
use sp_core::crypto::AccountId32;
use sp_runtime::{DispatchError, traits::Dispatchable as _};

type ContractsError = pallet_contracts::Error<Runtime>;

/// What `transaction` would do if `origin` sent it.
///
/// # Errors
/// [`ChainError::InsufficientFunds`], [`ChainError::NoContract`], [`ChainError::Failed`]. A revert is not an error here.
pub(crate) fn dry_run(origin: &AccountId, transaction: Transaction) -> Result<DryRun, ChainError> {
    let from = AccountId32::new(origin.0);
    match transaction {
        Transaction::Call { contract, value, data } => call(from, contract, value, data),
        Transaction::Instantiate { code, value, data, salt } => instantiate(from, code, value, data, salt),
        Transaction::Transfer { to, amount } => transfer(from, to, amount),
    }
}

fn call(from: AccountId32, contract: AccountId, value: Amount, data: Vec<u8>) -> Result<DryRun, ChainError> {
    let origin = receipt::account(&from);
    let output = Contracts::bare_call(
        from,
        AccountId32::new(contract.0),
        coins::balance(value)?,
        gas_limit(),
        None,
        data,
        DebugInfo::Skip,
        CollectEvents::Skip,
        Determinism::Enforced,
    );
    let result = output.result.map_err(|error| refusal(error, origin, Some(contract)))?;
    Ok(outcome(output.gas_consumed, output.gas_required, &output.storage_deposit, result, None))
}

fn instantiate(
    from: AccountId32,
    code: Vec<u8>,
    value: Amount,
    data: Vec<u8>,
    salt: Vec<u8>,
) -> Result<DryRun, ChainError> {
    let origin = receipt::account(&from);
    let output = Contracts::bare_instantiate(
        from,
        coins::balance(value)?,
        gas_limit(),
        None,
        Code::Upload(code),
        data,
        salt,
        DebugInfo::UnsafeDebug,
        CollectEvents::Skip,
    );
    let instance = output.result.map_err(|error| {
        if error == ContractsError::CodeRejected.into() {
            // Why code was rejected is told nowhere but here.
            let why = String::from_utf8_lossy(&output.debug_message);
            return ChainError::Failed { cause: format!("{} ({why})", errors::name(error)) };
        }
        refusal(error, origin, None)
    })?;
    let address = (!instance.result.did_revert()).then(|| receipt::account(&instance.account_id));
    Ok(outcome(output.gas_consumed, output.gas_required, &output.storage_deposit, instance.result, address))
}

fn transfer(from: AccountId32, to: AccountId, amount: Amount) -> Result<DryRun, ChainError> {
    let origin = receipt::account(&from);
    let _post_info = extrinsic::transfer(to, amount)?
        .dispatch(RuntimeOrigin::signed(from))
        .map_err(|failure| errors::dispatch(failure.error, origin, None))?;
    Ok(DryRun::of(Default::default()))
}

fn outcome(
    used: Weight,
    required: Weight,
    deposit: &StorageDeposit<Balance>,
    result: ExecReturnValue,
    instantiated: Option<AccountId>,
) -> DryRun {
    DryRun {
        used: receipt::weight(used),
        required: receipt::weight(required),
        storage_deposit: match deposit {
            StorageDeposit::Charge(amount) => coins::signed(*amount),
            StorageDeposit::Refund(amount) => coins::signed(*amount).saturating_neg(),
        },
        reverted: result.did_revert(),
        returned: result.data,
        instantiated,
    }
}

/// Without a limit given, the deposit's limit is what the origin can afford (and never above the runtime's default).
fn refusal(error: DispatchError, origin: AccountId, contract: Option<AccountId>) -> ChainError {
    if error == ContractsError::StorageDepositLimitExhausted.into() {
        return ChainError::InsufficientFunds { account: origin.into(), cause: errors::name(error) };
    }
    errors::dispatch(error, origin, contract)
}

/// A whole block, as the node's own dry run allows.
fn gas_limit() -> Weight {
    <Runtime as frame_system::Config>::BlockWeights::get().max_block
}
