//! What the client of a node encodes by the metadata of a chain with balances of 64 bits, held against that runtime's own types.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use chain::{
    AddressFormat, BlockRef, ChainError, DryRun, Transaction, Weight,
    account::{Scheme, from_uri},
    remote::for_test_only::Codec,
};
use protocol::{AccountId, Amount, Hash};
use runtime::{Runtime, RuntimeCall, System, UncheckedExtrinsic, VERSION};
use scale::{Decode, Encode};
use sp_core::{H256, crypto::AccountId32};
use sp_io::TestExternalities;
use sp_runtime::{MultiAddress, traits::Checkable};

const GENESIS: Hash = Hash([1; 32]);
const BIRTH: BlockRef = BlockRef { number: 70, hash: Hash([7; 32]) };
const MOST: u64 = u64::MAX;

fn codec() -> Codec {
    let metadata = TestExternalities::new_empty().execute_with(|| Runtime::metadata().encode());
    Codec::new(GENESIS, VERSION.spec_version, VERSION.transaction_version, &metadata).unwrap()
}

async fn signed(transaction: &Transaction) -> Result<Vec<u8>, ChainError> {
    let signer = from_uri("//Alice", Scheme::Sr25519).unwrap();
    let dry_run = DryRun { storage_deposit: 1_000, ..DryRun::of(Weight { ref_time: 1_000, proof_size: 200 }) };
    codec().sign(transaction, &dry_run, &*signer, 3, BIRTH).await
}

#[test]
fn the_runtime_is_read_as_one_with_64_bits() {
    let codec = codec();
    assert_eq!((codec.most(), codec.address_format()), (Amount::from(MOST), Ok(AddressFormat::GENERIC)));
    let data = pallet_balances::AccountData { free: 100_u64, reserved: 10, frozen: 30, flags: Default::default() };
    let info = frame_system::AccountInfo { nonce: 1_u32, consumers: 2, providers: 3, sufficients: 4, data };
    assert_eq!(codec.spendable(&info.encode()), Ok(80));
}

#[tokio::test]
async fn what_is_signed_is_what_the_runtime_takes_up_to_all_that_it_can_say() {
    let (contract, value) = (AccountId([9; 32]), Amount::from(MOST));
    let call = Transaction::Call { contract, value, data: vec![1, 2, 3] };
    let instantiate = Transaction::Instantiate { code: vec![0; 300], value, data: vec![4], salt: b"salt".to_vec() };
    for transaction in [call, instantiate, Transaction::Transfer { to: contract, amount: value }] {
        let bytes = signed(&transaction).await.unwrap();
        let extrinsic = UncheckedExtrinsic::decode(&mut &*bytes).unwrap();
        assert_eq!(extrinsic.encode(), bytes);
        let named = match &extrinsic.function {
            RuntimeCall::Contracts(pallet_contracts::Call::call { dest, value, storage_deposit_limit, .. }) => {
                assert_eq!(*dest, MultiAddress::Id(AccountId32::new(contract.0)));
                assert_eq!(*storage_deposit_limit, Some(scale::Compact(1_100)));
                *value
            }
            RuntimeCall::Contracts(pallet_contracts::Call::instantiate_with_code { value, .. })
            | RuntimeCall::Balances(pallet_balances::Call::transfer_allow_death { value, .. }) => *value,
            other => panic!("{other:?}"),
        };
        assert_eq!(named, MOST);
        let is_taken = TestExternalities::new_empty().execute_with(|| {
            System::set_block_number(BIRTH.number + 5);
            frame_system::BlockHash::<Runtime>::insert(0, H256(GENESIS.0));
            frame_system::BlockHash::<Runtime>::insert(BIRTH.number, H256(BIRTH.hash.0));
            extrinsic.check(&frame_system::ChainContext::<Runtime>::default()).is_ok()
        });
        assert!(is_taken, "the runtime checks the signature");
    }
    let amount = Amount::from(MOST) + 1;
    let refused = signed(&Transaction::Transfer { to: contract, amount }).await;
    assert_eq!(refused, Err(ChainError::AmountTooLarge { amount, most: Amount::from(MOST) }));
}
