//! What a block's events say about a transaction, and about contracts.

use crate::{
    block::EventRecord,
    coins::{amount, signed},
};
use chain::{BlockRef, ContractEvent, Receipt, Weight};
use frame_system::Phase;
use protocol::{AccountId, Hash};
use runtime::{EXISTENTIAL_DEPOSIT, Runtime, RuntimeEvent};
use sp_core::crypto::AccountId32;

/// Every event that a contract emitted, in order.
pub(crate) fn contract_events<'a>(events: impl Iterator<Item = &'a EventRecord>) -> Vec<ContractEvent> {
    events
        .filter_map(|record| match &record.event {
            RuntimeEvent::Contracts(pallet_contracts::Event::ContractEmitted { contract, data }) => {
                Some(ContractEvent {
                    contract: account(contract),
                    topics: record.topics.iter().map(|topic| Hash(topic.0)).collect(),
                    data: data.clone(),
                })
            }
            _ => None,
        })
        .collect()
}

/// The receipt of the transaction that is extrinsic `index` of `block`.
pub(crate) fn receipt(block: BlockRef, index: u32, length: u32, signer: AccountId, events: &[EventRecord]) -> Receipt {
    let own = || events.iter().filter(|record| record.phase == Phase::ApplyExtrinsic(index));
    let mut receipt = Receipt {
        block,
        fee: 0,
        weight: Weight::default(),
        length,
        storage_deposit: 0,
        events: contract_events(own()),
        instantiated: None,
    };
    for record in own() {
        read(&mut receipt, &record.event, signer);
    }
    receipt
}

fn read(receipt: &mut Receipt, event: &RuntimeEvent, signer: AccountId) {
    match event {
        RuntimeEvent::TransactionPayment(pallet_transaction_payment::Event::TransactionFeePaid {
            actual_fee,
            tip,
            ..
        }) => receipt.fee = amount(actual_fee.saturating_sub(*tip)),
        RuntimeEvent::System(frame_system::Event::ExtrinsicSuccess { dispatch_info }) => {
            receipt.weight = weight(dispatch_info.weight);
        }
        RuntimeEvent::Contracts(event) => read_contracts(receipt, event, signer),
        _ => {}
    }
}

fn read_contracts(receipt: &mut Receipt, event: &pallet_contracts::Event<Runtime>, signer: AccountId) {
    use pallet_contracts::Event::{
        CodeStored, Instantiated, StorageDepositTransferredAndHeld, StorageDepositTransferredAndReleased,
    };
    let deposit = &mut receipt.storage_deposit;
    match event {
        StorageDepositTransferredAndHeld { from, amount: held, .. } if account(from) == signer => {
            *deposit = deposit.saturating_add(signed(*held));
        }
        StorageDepositTransferredAndReleased { to, amount: given, .. } if account(to) == signer => {
            *deposit = deposit.saturating_sub(signed(*given));
        }
        CodeStored { deposit_held, uploader, .. } if account(uploader) == signer => {
            *deposit = deposit.saturating_add(signed(*deposit_held));
        }
        Instantiated { deployer, contract } => {
            // Whoever signs gives each new contract its existential deposit, by a plain transfer that the pallet counts as deposit.
            *deposit = deposit.saturating_add(signed(EXISTENTIAL_DEPOSIT));
            // What a contract instantiates in turn has that contract as its deployer.
            if account(deployer) == signer {
                receipt.instantiated = Some(account(contract));
            }
        }
        _ => {}
    }
}

pub(crate) fn account(id: &AccountId32) -> AccountId {
    AccountId(*id.as_ref())
}

pub(crate) const fn weight(weight: frame_support::weights::Weight) -> Weight {
    Weight { ref_time: weight.ref_time(), proof_size: weight.proof_size() }
}
