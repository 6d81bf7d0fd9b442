//! Contracts of strangers around the arbiter: they call it several times in one transaction, are called by apps, and are paid.

use crate::harness::{apps::deploy_code, *};
use protocol::{
    AccountId, Amount, Pair, Party, PartyId, Rejection,
    call::{BatchedCall, Call, Create, ForcedCall, Read},
    contracts::{AppContext, AppOutcome, AppReply, CallFault, Code, Contract, NativeCall},
    signing::{CloseMutualBody, Kind},
};
use scale::Encode;
use sdk::chain::{Chain, Receipt, Transaction, arbiter::selector};

/// What the chain says to a contract that called another: it went well, the other broke off, the other undid it.
const DONE: u32 = 0;
const TRAPPED: u32 = 1;
const REVERTED: u32 = 2;
/// The same, as the go-between answers it.
const DONE_BYTE: u8 = 0;
const TRAPPED_BYTE: u8 = 1;

fn caller() -> Vec<u8> {
    wat::parse_str(include_str!("callers/caller.wat")).unwrap()
}

/// One call that a contract is told to make.
fn told(account: AccountId, coins: Amount, data: &[u8]) -> Vec<u8> {
    [&(account, coins, u32::try_from(data.len()).unwrap()).encode(), data].concat()
}

fn data(call: &Call) -> Vec<u8> {
    [&selector(call.name())[..], &call.arguments()].concat()
}

/// Has a contract make these calls, and answers what the chain said to each, and the receipt.
async fn make(world: &World, contract: AccountId, coins: Amount, calls: &[(Amount, Vec<u8>)]) -> (Vec<u32>, Receipt) {
    let data = calls.iter().flat_map(|(coins, data)| told(world.address(), *coins, data)).collect();
    let transaction = Transaction::Call { contract, value: coins, data };
    let dry_run = world.chain.dry_run(&Actor::Stranger.id(), &transaction).await.unwrap();
    let said = dry_run.returned.chunks(4).map(|said| u32::from_le_bytes(said.try_into().unwrap()));
    let said = said.collect();
    (said, world.chain.submit(&Actor::Stranger.dev().signer(), transaction, &dry_run).await.unwrap())
}

#[tokio::test]
async fn a_contract_pays_for_each_of_its_calls_once_and_has_back_what_came_with_those_that_are_refused() {
    let world = World::deployed().await;
    let contract = deploy_code(&world.chain, caller(), &[]).await.account;
    let free = world.chain.free_balance(&contract).await.unwrap();
    let key = strangers_key().public();
    let deposit = data(&Call::VaultDeposit { key });
    let withdraw = |amount| data(&Call::VaultWithdraw { key, amount });
    let calls = [
        (UNIT, deposit.clone()),
        (2 * UNIT, deposit.clone()),
        (0, withdraw(5 * UNIT)),
        (0, deposit.clone()),
        (0, withdraw(UNIT)),
        // Takes no coins: breaks off.
        (UNIT, withdraw(UNIT)),
        // Are no messages.
        (UNIT, vec![0; 4]),
        (UNIT, Vec::new()),
        (UNIT, [&deposit[..], &[0]].concat()),
    ];
    let (said, receipt) = make(&world, contract, 3 * UNIT, &calls).await;
    assert_eq!(said, [DONE, DONE, REVERTED, REVERTED, DONE, TRAPPED, REVERTED, REVERTED, REVERTED]);
    assert_eq!(receipt.events.len(), 3, "what was undone announces nothing");
    let owner = PartyId { account: contract, key };
    assert_eq!(world.read::<Amount>(Read::VaultBalance(owner)).await, 2 * UNIT);
    assert_eq!(world.chain.free_balance(&contract).await.unwrap(), free + UNIT);
}

#[tokio::test]
async fn a_fee_is_earned_once_however_often_a_contract_submits_the_same_close_in_one_transaction() {
    let (world, channel) = World::open().await;
    let contract = deploy_code(&world.chain, caller(), &[]).await.account;
    let before = world.chain.free_balance(&contract).await.unwrap();
    let held = world.chain.free_balance(&world.address()).await.unwrap();
    let body = CloseMutualBody { balances: Pair::new(TOTAL - UNIT, 0), fee: UNIT, valid_until: world.now() };
    let close = channel.close_mutual_as(body);
    let batch = Call::Batch(vec![BatchedCall::CloseMutual(close.clone()); 3]);
    let calls = [data(&batch), data(&Call::ChannelCloseMutual(close)), data(&channel.settle()), data(&batch)];
    let (said, receipt) = make(&world, contract, 0, &calls.map(|data| (0, data))).await;
    // A batch succeeds whatever becomes of its calls.
    assert_eq!(said, [DONE, REVERTED, REVERTED, DONE]);
    assert_eq!(receipt.events.len(), 1);
    assert_eq!(world.chain.free_balance(&contract).await.unwrap(), before + UNIT);
    assert_eq!(world.chain.free_balance(&world.address()).await.unwrap(), held - TOTAL);
}

/// What the go-between answers where the chain said this to its call.
fn says<const SAID: u8>(_context: &AppContext, _state: &[u8], _input: &[u8]) -> Result<AppReply, CallFault> {
    Ok(Ok(AppOutcome { output: vec![SAID], ..AppOutcome::default() }))
}

#[tokio::test]
async fn an_app_reaches_the_arbiter_through_no_other_contract_either() {
    let (mut world, channel) = World::open().await;
    let between = wat::parse_str(include_str!("callers/go_between.wat")).unwrap();
    let app = deploy_code(&world.chain, between, &[]).await;
    let first = deploy_code(&world.chain, caller(), &[]).await.account;
    let second = deploy_code(&world.chain, caller(), &[1]).await.account;
    world.know_app_at(app.account, app.code);
    let contract =
        Contract { code: Code::Contract(app.code), balance: 10 * UNIT, owner: Party::Responder, state: Vec::new() };
    let base = Inside::new(6, Pair::new(80 * UNIT, 70 * UNIT), [(HOSTILE, contract)]);
    let arbiter = world.address();
    let to_arbiter = |data: &[u8]| told(arbiter, 0, data);
    let settle = data(&channel.settle());
    let withdraw = data(&Actor::Initiator.vault_withdraw(UNIT));
    let close = data(&channel.close_solo(&base.state()));
    let (reached, broken_off): (NativeCall, NativeCall) = (says::<DONE_BYTE>, says::<TRAPPED_BYTE>);
    for (through, said) in [
        // Any other contract is called, and calls on.
        (told(second, 0, &[]), reached),
        (told(second, 0, &told(second, 0, &[])), reached),
        (to_arbiter(&selector("version")), broken_off),
        (to_arbiter(&settle), broken_off),
        (to_arbiter(&withdraw), broken_off),
        (to_arbiter(&close), broken_off),
        // Coins of its own it may not send either.
        (told(second, 1, &[]), broken_off),
        // Who breaks off here is the second: the first goes on, and nobody hears anything of the arbiter's.
        (told(second, 0, &to_arbiter(&settle)), reached),
    ] {
        let mut world = world.fork_for(&hex::encode(&through)).await;
        world.ledger.apps.register_as(app.code, |_context, _input| Err(CallFault::Failed), said);
        let calls = vec![ForcedCall { contract: HOSTILE, value: 0, input: told(first, 0, &through) }];
        let mut step = world.blind(&channel.step(&base, Party::Initiator, calls));
        step.contracts[0].app = Some(app.account);
        // What the chain said is in the state that the step comes to.
        let _done = world.accept(Actor::Initiator, &Call::ChannelForceProgress(step), 0).await;
    }
}

#[tokio::test]
async fn an_answer_that_claims_to_be_longer_than_it_is_is_no_outcome_and_takes_no_memory() {
    // Ok, Ok, and a state of 2^30 - 1 bytes that is not there; of the last one the output.
    for answer in [r"\00\00\fe\ff\ff\ff", r"\00\01\fe\ff\ff\ff", r"\00\00\03\ff\ff\ff\ff", r"\00\00\04\07"] {
        let (mut world, channel) = World::open().await;
        let bytes = answer.len() / 3;
        let app = format!(
            r#"(module (import "seal0" "seal_return" (func $return (param i32 i32 i32))) (import "env" "memory" (memory 1 1))
            (data (i32.const 0) "{answer}") (func (export "deploy"))
            (func (export "call") (call $return (i32.const 0) (i32.const 0) (i32.const {bytes}))))"#
        );
        let app = deploy_code(&world.chain, wat::parse_str(app).unwrap(), &[]).await;
        world.know_app_at(app.account, app.code);
        let undecodable = |_: &AppContext, _: &[u8], _: &[u8]| Err(CallFault::Undecodable);
        world.ledger.apps.register_as(app.code, |_context, _input| Err(CallFault::Failed), undecodable);
        let contract =
            Contract { code: Code::Contract(app.code), balance: UNIT, owner: Party::Responder, state: Vec::new() };
        let base = Inside::new(6, Pair::new(80 * UNIT, 70 * UNIT), [(HOSTILE, contract)]);
        let mut step = world.blind(&channel.step(&base, Party::Initiator, vec![call(HOSTILE, 0, &())]));
        step.contracts[0].app = Some(app.account);
        let failed = Rejection::CallFailed { round: 7, fault: CallFault::Undecodable };
        world.refuse(Actor::Initiator, &Call::ChannelForceProgress(step), 0, failed).await;
    }
}

#[tokio::test]
async fn a_party_that_is_a_contract_is_paid_without_being_asked() {
    let mut world = World::funded().await;
    let trap =
        r#"(module (import "env" "memory" (memory 1 1)) (func (export "deploy")) (func (export "call") unreachable))"#;
    let party = deploy_code(&world.chain, wat::parse_str(trap).unwrap(), &[]).await.account;
    world.watch_account(party);
    let mut body = create_body(world.now());
    (body.terms.reserve, body.terms.penalty, body.shares) = (0, 0, Pair::new(TOTAL, 0));
    body.terms.parties.responder.account = party;
    let channel = world.next_channel(&body.terms.ids());
    let signatures = channel.binding(Kind::Create).sign(&keys(), &body);
    let _done = world.accept(Actor::Initiator, &Call::ChannelCreate(Create { body, nonce: 0, signatures }), 0).await;
    let before = world.chain.free_balance(&party).await.unwrap();
    let _done = world.accept(Actor::Initiator, &channel.close_solo(&State::new(2, 1, TOTAL - 1)), 0).await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    let _done = world.accept(Actor::Initiator, &channel.settle(), 0).await;
    assert_eq!(world.chain.free_balance(&party).await.unwrap(), before + TOTAL - 1);
}

#[tokio::test]
async fn coins_that_somebody_sends_to_the_arbiter_change_nothing_for_anybody() {
    let (mut world, channel) = World::open().await;
    let gift = Transaction::Transfer { to: world.address(), amount: 3 * UNIT };
    let dry_run = world.chain.dry_run(&Actor::Stranger.id(), &gift).await.unwrap();
    let _receipt = world.chain.submit(&Actor::Stranger.dev().signer(), gift, &dry_run).await.unwrap();
    let close = channel.close_mutual(Pair::new(TOTAL, 0), 0, world.now());
    let _done = world.accept(Actor::Responder, &close, 0).await;
    for party in [Actor::Initiator, Actor::Responder] {
        let all = world.vault(&party.vault());
        let _done = world.accept(party, &party.vault_withdraw(all), 0).await;
    }
    assert_eq!(world.ledger.held(), 0, "the last coin has left");
}
