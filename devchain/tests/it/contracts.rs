use crate::{NOBODY, UNIT, balance, contract, failed_in_block, send};
use chain::{Chain, ChainError, ContractEvent, DryRun, Transaction, Weight};
use devchain::{ContractInfo, DEV_ENDOWMENT, DevAccount, DevChain, EPOCH_MILLIS, SLOT_MILLIS};
use protocol::Hash;

async fn info(chain: &DevChain, address: protocol::AccountId) -> ContractInfo {
    chain.contract_info(address).await.unwrap().unwrap()
}

fn deposit(amount: i128) -> u128 {
    u128::try_from(amount).unwrap()
}

#[tokio::test]
async fn instantiating_takes_the_deposits_it_announced_and_gives_the_address_it_announced() {
    let chain = DevChain::new().unwrap();
    let alice = DevAccount::Alice.signer();
    let Transaction::Instantiate { code, data, salt, .. } = contract::instantiate(b"salt") else { unreachable!() };
    let transaction = Transaction::Instantiate { code, value: 5 * UNIT, data, salt };
    let dry_run = chain.dry_run(&DevAccount::Alice.id(), &transaction).await.unwrap();
    let receipt = chain.submit(&alice, transaction, &dry_run).await.unwrap();

    let address = receipt.instantiated.unwrap();
    assert_eq!(dry_run.instantiated, Some(address));
    assert_eq!(dry_run.storage_deposit, receipt.storage_deposit);
    assert!(!dry_run.reverted);
    let info = info(&chain, address).await;
    assert_eq!(chain.code_hash(&address).await.unwrap(), Some(info.code_hash));
    assert_eq!((info.items, info.bytes), (0, 0));

    // One deposit is held on the contract, the one for its code on whoever uploaded it.
    let for_code = chain.held_balance(DevAccount::Alice.id()).await.unwrap();
    assert_eq!(chain.held_balance(address).await.unwrap(), info.deposit);
    assert!(for_code > 0);
    // The contract's account needs the existential deposit, and it counts as a part of what is deposited.
    let existential = balance(&chain, address).await - 5 * UNIT;
    assert_eq!(existential, 1_000_000_000);
    assert_eq!(deposit(receipt.storage_deposit), info.deposit + for_code + existential);
    assert_eq!(
        balance(&chain, DevAccount::Alice.id()).await,
        DEV_ENDOWMENT - 5 * UNIT - deposit(receipt.storage_deposit) - receipt.fee
    );
}

#[tokio::test]
async fn storing_takes_a_deposit_and_clearing_gives_it_back() {
    let chain = DevChain::new().unwrap();
    let alice = DevAccount::Alice.signer();
    let address = contract::deploy(&chain).await;
    let (empty, before) = (info(&chain, address).await, balance(&chain, DevAccount::Alice.id()).await);

    let stored = send(&chain, &alice, contract::store(address, b"0123456789")).await.unwrap();
    let full = info(&chain, address).await;
    assert_eq!((full.items, full.bytes), (1, 10));
    assert!(stored.storage_deposit > 0);
    assert_eq!(deposit(stored.storage_deposit), full.deposit - empty.deposit);
    assert_eq!(chain.held_balance(address).await.unwrap(), full.deposit);
    let after = balance(&chain, DevAccount::Alice.id()).await;
    assert_eq!(after, before - deposit(stored.storage_deposit) - stored.fee);

    let dry_run = chain.dry_run(&DevAccount::Alice.id(), &contract::clear(address)).await.unwrap();
    assert_eq!(dry_run.storage_deposit, -stored.storage_deposit);
    let cleared = send(&chain, &alice, contract::clear(address)).await.unwrap();
    assert_eq!(cleared.storage_deposit, -stored.storage_deposit);
    assert_eq!(info(&chain, address).await, empty);
    assert_eq!(balance(&chain, DevAccount::Alice.id()).await, before - stored.fee - cleared.fee);
}

#[tokio::test]
async fn events_come_with_their_topics_and_data() {
    let chain = DevChain::new().unwrap();
    let address = contract::deploy(&chain).await;
    let receipt = send(&chain, &DevAccount::Alice.signer(), contract::store(address, b"data")).await.unwrap();
    let event = ContractEvent { contract: address, topics: vec![Hash(contract::TOPIC)], data: b"data".to_vec() };
    assert_eq!(receipt.events, [event]);
}

#[tokio::test]
async fn a_dry_run_tells_what_is_returned_and_a_weight_that_suffices() {
    let chain = DevChain::new().unwrap();
    let address = contract::deploy(&chain).await;
    let dry_run = chain.dry_run(&DevAccount::Alice.id(), &contract::store(address, b"echo")).await.unwrap();
    assert_eq!(dry_run.returned, b"echo");
    assert!(!dry_run.reverted);
    assert!(dry_run.used.ref_time > 0 && dry_run.required.ref_time >= dry_run.used.ref_time);
    assert!(dry_run.used.proof_size > 0 && dry_run.required.proof_size >= dry_run.used.proof_size);
    let receipt = send(&chain, &DevAccount::Alice.signer(), contract::store(address, b"echo")).await.unwrap();
    // What is charged is what was used, and the runtime's own part for a call.
    assert!(receipt.weight.ref_time > dry_run.used.ref_time);
}

#[tokio::test]
async fn a_dry_run_sees_the_number_and_time_of_the_block_that_would_include_it() {
    let chain = DevChain::new().unwrap();
    let address = contract::deploy(&chain).await;
    let _head = chain.produce_blocks(5).await.unwrap();
    let dry_run = chain.dry_run(&DevAccount::Alice.id(), &contract::time(address)).await.unwrap();
    let receipt = send(&chain, &DevAccount::Alice.signer(), contract::time(address)).await.unwrap();

    assert_eq!(receipt.block.number, 7);
    let time = EPOCH_MILLIS + 7 * SLOT_MILLIS;
    assert_eq!(dry_run.returned, [&7u32.to_le_bytes()[..], &time.to_le_bytes()].concat());
    assert_eq!(receipt.events[0].data, dry_run.returned);
}

#[tokio::test]
async fn a_contract_that_reverts_changes_nothing_and_costs_the_fee_only() {
    let chain = DevChain::new().unwrap();
    let address = contract::deploy(&chain).await;
    let (empty, before) = (info(&chain, address).await, balance(&chain, DevAccount::Alice.id()).await);
    let transaction = contract::revert(address, b"why");
    let dry_run = chain.dry_run(&DevAccount::Alice.id(), &transaction).await.unwrap();
    assert!(dry_run.reverted);
    assert_eq!((dry_run.returned.as_slice(), dry_run.storage_deposit), (&b"why"[..], 0));

    let held = chain.held_balance(DevAccount::Alice.id()).await.unwrap();
    let issuance = chain.total_issuance().await.unwrap();
    let refused = chain.submit(&DevAccount::Alice.signer(), transaction, &dry_run).await;
    let ChainError::FailedInBlock { fee, cause } = refused.unwrap_err() else { panic!("it failed in a block") };
    assert_eq!(*cause, ChainError::Reverted);
    assert_eq!(info(&chain, address).await, empty);
    assert_eq!(chain.held_balance(DevAccount::Alice.id()).await.unwrap(), held);
    assert_eq!(issuance - chain.total_issuance().await.unwrap(), fee);
    assert_eq!(balance(&chain, DevAccount::Alice.id()).await, before - fee);
    let head = chain.block_number();
    let mut blocks = chain.finalised_blocks(head).await.unwrap();
    assert_eq!(futures::StreamExt::next(&mut blocks).await.unwrap().unwrap().events, []);
}

#[tokio::test]
async fn a_constructor_that_reverts_makes_no_contract() {
    let chain = DevChain::new().unwrap();
    let transaction = contract::instantiate_reverting();
    let dry_run = chain.dry_run(&DevAccount::Alice.id(), &transaction).await.unwrap();
    assert_eq!((dry_run.reverted, dry_run.instantiated, dry_run.returned.as_slice()), (true, None, &b"no"[..]));
    let refused = chain.submit(&DevAccount::Alice.signer(), transaction, &dry_run).await;
    let Err(ChainError::FailedInBlock { cause, .. }) = refused else { panic!("it failed in a block") };
    assert_eq!(*cause, ChainError::Reverted);
    assert_eq!(chain.held_balance(DevAccount::Alice.id()).await.unwrap(), 0);
}

#[tokio::test]
async fn failures_are_told_by_the_runtimes_own_names() {
    let chain = DevChain::new().unwrap();
    let (alice, id) = (DevAccount::Alice.signer(), DevAccount::Alice.id());
    let address = contract::deploy(&chain).await;
    let healthy = chain.dry_run(&id, &contract::store(address, b"")).await.unwrap();

    let trapped = ChainError::Failed { cause: "Contracts::ContractTrapped".into() };
    assert_eq!(chain.dry_run(&id, &contract::trap(address)).await, Err(trapped.clone()));
    assert_eq!(failed_in_block(chain.submit(&alice, contract::trap(address), &healthy).await), trapped);

    let out_of_gas = ChainError::Failed { cause: "Contracts::OutOfGas".into() };
    assert_eq!(failed_in_block(chain.submit(&alice, contract::spin(address), &healthy).await), out_of_gas);

    let cheap = DryRun { storage_deposit: 1, ..healthy };
    let no_deposit = ChainError::Failed { cause: "Contracts::StorageDepositLimitExhausted".into() };
    assert_eq!(failed_in_block(chain.submit(&alice, contract::store(address, &[0; 100]), &cheap).await), no_deposit);
}

#[tokio::test]
async fn an_address_without_a_contract_is_told_as_such() {
    let chain = DevChain::new().unwrap();
    let address = contract::deploy(&chain).await;
    let healthy = chain.dry_run(&DevAccount::Alice.id(), &contract::store(address, b"")).await.unwrap();
    let nowhere = contract::store(NOBODY, b"");
    assert_eq!(chain.code_hash(&NOBODY).await.unwrap(), None);
    assert_eq!(chain.contract_info(NOBODY).await.unwrap(), None);
    assert_eq!(chain.dry_run(&DevAccount::Alice.id(), &nowhere).await, Err(ChainError::NoContract(NOBODY.into())));
    let refused = chain.submit(&DevAccount::Alice.signer(), nowhere, &healthy).await;
    assert_eq!(failed_in_block(refused), ChainError::NoContract(NOBODY.into()));
}

#[tokio::test]
async fn a_call_that_its_caller_cannot_pay_for_is_told_as_such() {
    let chain = DevChain::new().unwrap();
    let address = contract::deploy(&chain).await;
    let Transaction::Call { contract, data, .. } = contract::store(address, b"x") else { unreachable!() };
    let too_much = Transaction::Call { contract, value: 2 * DEV_ENDOWMENT, data };
    for (caller, transaction) in [(DevAccount::Alice.id(), too_much), (NOBODY, contract::store(address, b"x"))] {
        let refused = chain.dry_run(&caller, &transaction).await;
        assert!(
            matches!(&refused, Err(ChainError::InsufficientFunds { account, .. }) if *account == caller),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_contract_can_be_read_in_its_own_name() {
    let chain = DevChain::new().unwrap();
    let address = contract::deploy(&chain).await;
    let dry_run = chain.dry_run(&address, &contract::time(address)).await.unwrap();
    assert_eq!(dry_run.storage_deposit, 0);
}

#[tokio::test]
async fn code_that_the_chain_rejects_is_told_with_the_reason() {
    let chain = DevChain::new().unwrap();
    let code = wat::parse_str(r#"(module (func (export "call")) (func (export "deploy")) (func (export "more")))"#);
    let transaction = Transaction::Instantiate { code: code.unwrap(), value: 0, data: Vec::new(), salt: Vec::new() };
    let refused = chain.dry_run(&DevAccount::Alice.id(), &transaction).await;
    let Err(ChainError::Failed { cause }) = refused else { panic!("{refused:?}") };
    assert!(cause.starts_with("Contracts::CodeRejected (") && cause.contains("unknown function"), "{cause}");
}

#[tokio::test]
async fn a_weight_beyond_a_blocks_is_refused_and_no_block_is_made() {
    let chain = DevChain::new().unwrap();
    let address = contract::deploy(&chain).await;
    let transaction = contract::store(address, b"");
    let healthy = chain.dry_run(&DevAccount::Alice.id(), &transaction).await.unwrap();
    let greedy = DryRun { required: Weight { ref_time: 2_000_000_000_000, proof_size: 0 }, ..healthy };
    let refused = chain.submit(&DevAccount::Alice.signer(), transaction, &greedy).await;
    assert!(matches!(refused, Err(ChainError::Invalid { .. })), "{refused:?}");
    assert_eq!(chain.block_number(), 1);
}
