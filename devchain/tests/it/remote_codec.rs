//! What the client of a node encodes and decodes by metadata, held against the runtime's own types.

use chain::{
    BlockRef, ChainError, DryRun, Transaction, Weight,
    account::{Scheme, from_uri},
    remote::for_test_only::{Codec, answer, question},
};
use devchain::DevAccount;
use frame_support::dispatch::{DispatchInfo, Pays};
use frame_system::{EventRecord, Phase};
use pallet_contracts::{ContractResult, ExecReturnValue, InstantiateReturnValue, StorageDeposit};
use protocol::{AccountId, Hash};
use runtime::{EXISTENTIAL_DEPOSIT, Runtime, RuntimeCall, RuntimeEvent, System, UncheckedExtrinsic, VERSION};
use scale::{Decode, Encode};
use sp_core::{H256, crypto::AccountId32};
use sp_io::TestExternalities;
use sp_runtime::{
    DispatchError, TokenError,
    traits::{Checkable, IdentifyAccount},
};

type Record = EventRecord<RuntimeEvent, H256>;

const GENESIS: Hash = Hash([1; 32]);
const BIRTH: BlockRef = BlockRef { number: 70, hash: Hash([7; 32]) };
const CONTRACT: AccountId = AccountId([9; 32]);

fn codec() -> Codec {
    let metadata = TestExternalities::new_empty().execute_with(|| Runtime::metadata().encode());
    Codec::new(GENESIS, VERSION.spec_version, VERSION.transaction_version, &metadata).unwrap()
}

fn dry_run(storage_deposit: i128) -> DryRun {
    let required = Weight { ref_time: 1_000, proof_size: 200 };
    DryRun { used: required, required, storage_deposit, returned: Vec::new(), reverted: false, instantiated: None }
}

fn transactions() -> [Transaction; 3] {
    [
        Transaction::Call { contract: CONTRACT, value: 5, data: vec![1, 2, 3] },
        Transaction::Instantiate { code: vec![0; 300], value: 6, data: vec![4], salt: b"salt".to_vec() },
        Transaction::Transfer { to: AccountId([3; 32]), amount: 7 },
    ]
}

#[tokio::test]
async fn what_is_signed_is_what_the_runtime_takes_from_accounts_of_both_kinds() {
    let codec = codec();
    for scheme in [Scheme::Sr25519, Scheme::Ecdsa] {
        let signer = from_uri("//Alice", scheme).unwrap();
        for transaction in transactions() {
            let bytes = codec.sign(&transaction, &dry_run(1_000), &*signer, 3, BIRTH).await.unwrap();
            let extrinsic = UncheckedExtrinsic::decode(&mut &*bytes).unwrap();
            assert_eq!(extrinsic.encode(), bytes);
            let checked = |genesis: Hash| {
                TestExternalities::new_empty().execute_with(|| {
                    System::set_block_number(BIRTH.number + 5);
                    frame_system::BlockHash::<Runtime>::insert(0, H256(genesis.0));
                    frame_system::BlockHash::<Runtime>::insert(BIRTH.number, H256(BIRTH.hash.0));
                    extrinsic.clone().check(&frame_system::ChainContext::<Runtime>::default()).is_ok()
                })
            };
            assert!(checked(GENESIS), "the runtime checks the signature");
            assert!(!checked(Hash([2; 32])), "on this chain only");
        }
    }
}

#[tokio::test]
async fn calls_are_the_runtimes_own_with_limits_a_tenth_above_the_dry_run() {
    let codec = codec();
    let signer = DevAccount::Alice.signer();
    let call = async |transaction: &Transaction, deposit| {
        let bytes = codec.sign(transaction, &dry_run(deposit), &signer, 0, BIRTH).await.unwrap();
        UncheckedExtrinsic::decode(&mut &*bytes).unwrap().function
    };
    let [called, instantiated, transferred] = transactions();
    let gas = frame_support::weights::Weight::from_parts(1_100, 220);
    let address = |id: [u8; 32]| sp_runtime::MultiAddress::Id(AccountId32::new(id));
    for (deposit, limit) in [(1_000, Some(1_100)), (0, None), (-50, None)] {
        let storage_deposit_limit = limit.map(scale::Compact);
        let expected = RuntimeCall::Contracts(pallet_contracts::Call::call {
            dest: address(CONTRACT.0),
            value: 5,
            gas_limit: gas,
            storage_deposit_limit,
            data: vec![1, 2, 3],
        });
        assert_eq!(call(&called, deposit).await, expected);
        let expected = RuntimeCall::Contracts(pallet_contracts::Call::instantiate_with_code {
            value: 6,
            gas_limit: gas,
            storage_deposit_limit,
            code: vec![0; 300],
            data: vec![4],
            salt: b"salt".to_vec(),
        });
        assert_eq!(call(&instantiated, deposit).await, expected);
    }
    let expected =
        RuntimeCall::Balances(pallet_balances::Call::transfer_allow_death { dest: address([3; 32]), value: 7 });
    assert_eq!(call(&transferred, 0).await, expected);
}

#[test]
fn accounts_of_both_kinds_are_the_runtimes() {
    let public = subxt_signer::ecdsa::dev::alice().public_key().0;
    let expected = sp_runtime::MultiSigner::Ecdsa(sp_core::ecdsa::Public::from_raw(public)).into_account();
    assert_eq!(from_uri("//Alice", Scheme::Ecdsa).unwrap().account().0, <[u8; 32]>::from(expected));
}

fn events() -> Vec<Record> {
    let (alice, other) = (AccountId32::new(DevAccount::Alice.id().0), AccountId32::new([4; 32]));
    let contract = AccountId32::new(CONTRACT.0);
    let contracts = |event| RuntimeEvent::Contracts(event);
    let info = DispatchInfo {
        weight: frame_support::weights::Weight::from_parts(77, 8),
        class: Default::default(),
        pays_fee: Pays::Yes,
    };
    let by =
        |index, event| Record { phase: Phase::ApplyExtrinsic(index), event, topics: vec![H256([index as u8; 32])] };
    vec![
        by(1, contracts(pallet_contracts::Event::ContractEmitted { contract: contract.clone(), data: vec![1, 2] })),
        by(1, contracts(pallet_contracts::Event::Instantiated { deployer: alice.clone(), contract: contract.clone() })),
        by(
            1,
            contracts(pallet_contracts::Event::CodeStored {
                code_hash: H256([5; 32]),
                deposit_held: 30,
                uploader: alice.clone(),
            }),
        ),
        by(
            1,
            contracts(pallet_contracts::Event::StorageDepositTransferredAndHeld {
                from: alice.clone(),
                to: contract.clone(),
                amount: 200,
            }),
        ),
        by(
            1,
            contracts(pallet_contracts::Event::StorageDepositTransferredAndReleased {
                from: contract.clone(),
                to: alice.clone(),
                amount: 9,
            }),
        ),
        by(
            1,
            contracts(pallet_contracts::Event::StorageDepositTransferredAndHeld {
                from: other.clone(),
                to: contract.clone(),
                amount: 4_000,
            }),
        ),
        by(
            1,
            RuntimeEvent::TransactionPayment(pallet_transaction_payment::Event::TransactionFeePaid {
                who: alice.clone(),
                actual_fee: 55,
                tip: 5,
            }),
        ),
        by(1, RuntimeEvent::System(frame_system::Event::ExtrinsicSuccess { dispatch_info: info })),
        by(2, contracts(pallet_contracts::Event::ContractEmitted { contract, data: vec![3] })),
        by(2, RuntimeEvent::Balances(pallet_balances::Event::Transfer { from: alice.clone(), to: other, amount: 1 })),
        by(
            2,
            RuntimeEvent::TransactionPayment(pallet_transaction_payment::Event::TransactionFeePaid {
                who: alice,
                actual_fee: 66,
                tip: 0,
            }),
        ),
        by(
            2,
            RuntimeEvent::System(frame_system::Event::ExtrinsicFailed {
                dispatch_error: pallet_contracts::Error::<Runtime>::ContractReverted.into(),
                dispatch_info: info,
            }),
        ),
    ]
}

#[test]
fn contract_events_are_read_with_their_topics() {
    let read = codec().contract_events(events().encode()).unwrap();
    let read: Vec<_> = read.into_iter().map(|event| (event.contract, event.topics, event.data)).collect();
    let expected = [(CONTRACT, vec![Hash([1; 32])], vec![1, 2]), (CONTRACT, vec![Hash([2; 32])], vec![3])];
    assert_eq!(read, expected);
    assert_eq!(codec().contract_events(Vec::new()).unwrap(), []);
    assert!(codec().contract_events(vec![4, 0, 1, 0, 0, 0, 99, 99]).is_err(), "nonsense is no event");
}

#[test]
fn a_receipt_says_what_its_signer_paid_and_got() {
    let alice = DevAccount::Alice.id();
    let receipt = codec().receipt(events().encode(), BIRTH, 1, alice, Some(CONTRACT)).unwrap();
    let deposit = 30 + 200 - 9 + i128::try_from(EXISTENTIAL_DEPOSIT).unwrap();
    assert_eq!((receipt.fee, receipt.storage_deposit), (50, deposit));
    assert_eq!(receipt.weight, Weight { ref_time: 77, proof_size: 8 });
    assert_eq!((receipt.instantiated, receipt.events.len(), receipt.block), (Some(CONTRACT), 1, BIRTH));
    let failed = codec().receipt(events().encode(), BIRTH, 2, alice, Some(CONTRACT)).unwrap_err();
    assert_eq!(failed, ChainError::FailedInBlock { fee: 66, cause: Box::new(ChainError::Reverted) });
}

#[test]
fn errors_have_the_same_names_as_on_the_embedded_chain() {
    let codec = codec();
    let name = |error: DispatchError| codec.error_name(&error.encode()).unwrap();
    assert_eq!(name(pallet_contracts::Error::<Runtime>::OutOfGas.into()), "Contracts::OutOfGas");
    assert_eq!(name(pallet_balances::Error::<Runtime>::InsufficientBalance.into()), "Balances::InsufficientBalance");
    assert_eq!(name(TokenError::FundsUnavailable.into()), "Token::FundsUnavailable");
    assert_eq!(name(TokenError::Blocked.into()), "Token::Blocked");
    assert_eq!(name(sp_runtime::ArithmeticError::Overflow.into()), "Arithmetic::Overflow");
    assert_eq!(name(DispatchError::RootNotAllowed), "RootNotAllowed");
    assert_eq!(name(DispatchError::BadOrigin), "BadOrigin");
}

#[test]
fn storage_is_looked_up_where_the_runtime_puts_it() {
    let alice = DevAccount::Alice.id();
    let [account, contract] = codec().keys(&alice).unwrap();
    assert_eq!(account, frame_system::Account::<Runtime>::hashed_key_for(AccountId32::new(alice.0)));
    assert!(contract.starts_with(&frame_support::storage::storage_prefix(b"Contracts", b"ContractInfoOf")));
    assert!(contract.ends_with(&alice.0));
    let data = pallet_balances::AccountData { free: 100_u128, reserved: 10, frozen: 30, flags: Default::default() };
    let info = frame_system::AccountInfo { nonce: 1_u32, consumers: 2, providers: 3, sufficients: 4, data };
    assert_eq!(codec().spendable(&info.encode()).unwrap(), 80);
}

#[test]
fn the_runtime_apis_questions_and_answers_are_the_pallets() {
    let alice = DevAccount::Alice.id();
    let [call, instantiate, transfer] = transactions();
    let no_gas = None::<frame_support::weights::Weight>;
    let origin = AccountId32::new(alice.0);
    let expected = (&origin, AccountId32::new(CONTRACT.0), 5_u128, no_gas, None::<u128>, vec![1_u8, 2, 3]).encode();
    assert_eq!(question(&alice, &call), Some(("ContractsApi_call", format!("0x{}", hex(&expected)))));
    let code = pallet_contracts::Code::<H256>::Upload(vec![0; 300]);
    let expected = (&origin, 6_u128, no_gas, None::<u128>, code, vec![4_u8], b"salt".to_vec()).encode();
    assert_eq!(question(&alice, &instantiate), Some(("ContractsApi_instantiate", format!("0x{}", hex(&expected)))));
    assert_eq!(question(&alice, &transfer), None);

    let result = |result| ContractResult::<_, u128, Record> {
        gas_consumed: frame_support::weights::Weight::from_parts(u64::MAX, 1),
        gas_required: frame_support::weights::Weight::from_parts(5, 6),
        storage_deposit: StorageDeposit::Charge(12),
        debug_message: b"a message".to_vec(),
        result,
        events: Some(events()),
    };
    let returned = ExecReturnValue { flags: pallet_contracts_flags(true), data: vec![8, 9] };
    let bytes = result(Ok::<_, DispatchError>(returned.clone())).encode();
    let read = answer(&call, &bytes).unwrap().unwrap();
    assert_eq!(read.used, Weight { ref_time: u64::MAX, proof_size: 1 });
    assert_eq!((read.required, read.storage_deposit), (Weight { ref_time: 5, proof_size: 6 }, 12));
    assert_eq!((read.returned, read.reverted), (vec![8, 9], true));

    let instance = InstantiateReturnValue {
        result: ExecReturnValue { flags: pallet_contracts_flags(false), data: Vec::new() },
        account_id: AccountId32::new(CONTRACT.0),
    };
    let bytes = ContractResult::<Result<_, DispatchError>, u128, Record> {
        gas_consumed: Default::default(),
        gas_required: Default::default(),
        storage_deposit: StorageDeposit::Refund(3),
        debug_message: Vec::new(),
        result: Ok(instance),
        events: None,
    }
    .encode();
    let read = answer(&instantiate, &bytes).unwrap().unwrap();
    assert_eq!((read.instantiated, read.storage_deposit), (Some(CONTRACT), -3));
    let failed = result(Err::<ExecReturnValue, _>(DispatchError::Exhausted)).encode();
    assert_eq!(answer(&call, &failed).unwrap(), None);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The pallet does not name the type of its flags.
fn pallet_contracts_flags<T: Decode>(revert: bool) -> T {
    T::decode(&mut &u32::from(revert).encode()[..]).unwrap()
}
