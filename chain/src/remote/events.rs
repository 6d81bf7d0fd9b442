//! What a block's events say about contracts, and about a transaction.

use super::{
    dispatch::{self, DispatchError},
    dry_run::signed,
    runtime::{Runtime, unusual},
};
use crate::{BlockRef, ChainError, ContractEvent, Receipt, Weight};
use protocol::{
    AccountId, Amount, Hash,
    crypto::{Crypto, Native},
};
use scale::Decode;
use subxt::{
    config::substrate::SubstrateConfig,
    events::{Event, Phase},
    ext::scale_decode::{DecodeAsFields, DecodeAsType},
    utils::AccountId32,
};

/// What a block's events are compared by.
pub(super) fn digest(events: &[u8]) -> Hash {
    Native.hash(events)
}

/// One event that matters here.
#[derive(Debug)]
struct Recorded {
    /// By which extrinsic of the block, if by one.
    extrinsic: Option<u32>,
    event: Known,
}

#[derive(Debug)]
enum Known {
    FeePaid(Amount),
    Succeeded(Weight),
    /// With the error's name.
    Failed(String),
    Emitted(ContractEvent),
    DepositHeld {
        from: AccountId,
        amount: Amount,
    },
    DepositReleased {
        to: AccountId,
        amount: Amount,
    },
    CodeStored {
        uploader: AccountId,
        deposit: Amount,
    },
    Instantiated {
        deployer: AccountId,
        contract: AccountId,
    },
}

/// The events of one block.
#[derive(Debug)]
pub(super) struct BlockEvents {
    events: Vec<Recorded>,
    existential_deposit: Amount,
}

// The fields that matter, as the pallets name them.

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct TransactionFeePaid {
    actual_fee: Amount,
    tip: Amount,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct ExtrinsicSuccess {
    dispatch_info: DispatchInfo,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct DispatchInfo {
    weight: EventWeight,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct EventWeight {
    ref_time: u64,
    proof_size: u64,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct ContractEmitted {
    contract: AccountId32,
    data: Vec<u8>,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Held {
    from: AccountId32,
    amount: Amount,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Released {
    to: AccountId32,
    amount: Amount,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct CodeStored {
    deposit_held: Amount,
    uploader: AccountId32,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Instantiated {
    deployer: AccountId32,
    contract: AccountId32,
}

impl BlockEvents {
    /// Reads what a block's state holds under `System.Events`.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] where the bytes are not what the metadata says.
    pub(super) fn decode(runtime: &Runtime, bytes: Vec<u8>) -> Result<Self, ChainError> {
        let mut events = Vec::new();
        for event in runtime.events(bytes).iter() {
            let event = event.map_err(|error| unusual(&error))?;
            if let Some(known) = known(runtime, &event)? {
                let extrinsic = match event.phase() {
                    Phase::ApplyExtrinsic(index) => Some(index),
                    Phase::Finalization | Phase::Initialization => None,
                };
                events.push(Recorded { extrinsic, event: known });
            }
        }
        Ok(Self { events, existential_deposit: runtime.existential_deposit })
    }

    /// Every event that a contract emitted, in order.
    pub(super) fn of_contracts(&self) -> Vec<ContractEvent> {
        self.events.iter().filter_map(emitted).collect()
    }

    /// What became of extrinsic `index`, which `account` signed and which called `contract` if it called one.
    ///
    /// # Errors
    /// [`ChainError::FailedInBlock`].
    pub(super) fn receipt(
        &self,
        block: BlockRef,
        index: u32,
        length: u32,
        account: AccountId,
        contract: Option<AccountId>,
    ) -> Result<Receipt, ChainError> {
        let own = || self.events.iter().filter(|recorded| recorded.extrinsic == Some(index));
        let mut receipt = Receipt {
            block,
            fee: 0,
            weight: Weight::default(),
            length,
            storage_deposit: 0,
            events: own().filter_map(emitted).collect(),
            instantiated: None,
        };
        let mut failed = None;
        for Recorded { event, .. } in own() {
            self.note(&mut receipt, &mut failed, event, account);
        }
        match failed {
            None => Ok(receipt),
            Some(name) => {
                let cause = Box::new(dispatch::failure(name, account, contract));
                Err(ChainError::FailedInBlock { fee: receipt.fee, cause })
            }
        }
    }

    fn note(&self, receipt: &mut Receipt, failed: &mut Option<String>, event: &Known, signer: AccountId) {
        let deposit = &mut receipt.storage_deposit;
        match event {
            Known::FeePaid(fee) => receipt.fee = *fee,
            Known::Succeeded(weight) => receipt.weight = *weight,
            Known::Failed(name) => *failed = Some(name.clone()),
            Known::DepositHeld { from, amount } if *from == signer => {
                *deposit = deposit.saturating_add(signed(*amount))
            }
            Known::DepositReleased { to, amount } if *to == signer => {
                *deposit = deposit.saturating_sub(signed(*amount))
            }
            Known::CodeStored { uploader, deposit: held } if *uploader == signer => {
                *deposit = deposit.saturating_add(signed(*held));
            }
            Known::Instantiated { deployer, contract } => {
                // Whoever signs gives each new contract its existential deposit, by a plain transfer that the pallet counts as deposit.
                *deposit = deposit.saturating_add(signed(self.existential_deposit));
                // What a contract instantiates in turn has that contract as its deployer.
                if *deployer == signer {
                    receipt.instantiated = Some(*contract);
                }
            }
            Known::Emitted(_)
            | Known::DepositHeld { .. }
            | Known::DepositReleased { .. }
            | Known::CodeStored { .. } => {}
        }
    }
}

fn emitted(recorded: &Recorded) -> Option<ContractEvent> {
    match &recorded.event {
        Known::Emitted(event) => Some(event.clone()),
        _ => None,
    }
}

fn known(runtime: &Runtime, event: &Event<'_, SubstrateConfig>) -> Result<Option<Known>, ChainError> {
    Ok(Some(match (event.pallet_name(), event.event_name()) {
        ("TransactionPayment", "TransactionFeePaid") => {
            let TransactionFeePaid { actual_fee, tip } = fields(event)?;
            Known::FeePaid(actual_fee.saturating_sub(tip))
        }
        ("System", "ExtrinsicSuccess") => {
            let ExtrinsicSuccess { dispatch_info: DispatchInfo { weight } } = fields(event)?;
            Known::Succeeded(Weight { ref_time: weight.ref_time, proof_size: weight.proof_size })
        }
        ("System", "ExtrinsicFailed") => {
            // The error comes first.
            let error = DispatchError::decode(&mut event.field_bytes()).map_err(|error| unusual(&error))?;
            Known::Failed(error.name(runtime))
        }
        ("Contracts", "ContractEmitted") => {
            let ContractEmitted { contract, data } = fields(event)?;
            let topics = event.topics().iter().map(|topic| Hash(topic.0)).collect();
            Known::Emitted(ContractEvent { contract: AccountId(contract.0), topics, data })
        }
        ("Contracts", "StorageDepositTransferredAndHeld") => {
            let Held { from, amount } = fields(event)?;
            Known::DepositHeld { from: AccountId(from.0), amount }
        }
        ("Contracts", "StorageDepositTransferredAndReleased") => {
            let Released { to, amount } = fields(event)?;
            Known::DepositReleased { to: AccountId(to.0), amount }
        }
        ("Contracts", "CodeStored") => {
            let CodeStored { deposit_held, uploader } = fields(event)?;
            Known::CodeStored { uploader: AccountId(uploader.0), deposit: deposit_held }
        }
        ("Contracts", "Instantiated") => {
            let Instantiated { deployer, contract } = fields(event)?;
            Known::Instantiated { deployer: AccountId(deployer.0), contract: AccountId(contract.0) }
        }
        _ => return Ok(None),
    }))
}

fn fields<T: DecodeAsFields>(event: &Event<'_, SubstrateConfig>) -> Result<T, ChainError> {
    event.decode_fields_unchecked_as().map_err(|error| unusual(&error))
}
