//! Everything an app must not do, done by a deployed one: refused, or harmless (R7.1).

use crate::harness::*;
use hostile::Input;
use protocol::{
    AccountId, Hash, Pair, Party, Rejection,
    call::{BatchedCall, Call, ForcedCall},
    contracts::{AppContext, CALL_SELECTOR, CallFault, Code, MAX_OUTPUT, MAX_STATE},
};
use scale::Encode;
use sdk::chain::{Chain, Transaction, arbiter::selector};

const HELD: u128 = 10 * UNIT;

async fn open() -> (World, Channel, Inside) {
    let (mut world, channel) = World::open().await;
    let contract = world.apps.hostile(HELD, vec![1, 2, 3]);
    let base = Inside::new(6, Pair::new(80 * UNIT, 70 * UNIT), [(HOSTILE, contract)]);
    let _done = world.accept(Actor::Initiator, &channel.snapshot(&base.state()), 0).await;
    (world, channel, base)
}

fn told(input: &Input) -> Vec<ForcedCall> {
    vec![call(HOSTILE, 0, input)]
}

fn failed(fault: CallFault) -> Rejection {
    Rejection::CallFailed { round: 7, fault }
}

/// Calls back into the arbiter.
fn call_back(message: &str, arguments: &impl Encode) -> Input {
    Input::CallBack { selector: selector(message), arguments: arguments.encode() }
}

#[tokio::test]
async fn when_it_behaves_it_is_an_app_like_any_other() {
    let (mut world, channel, base) = open().await;
    let calls = [told(&Input::Behave), told(&Input::Pay(UNIT, 2 * UNIT)), told(&Input::State(5))].concat();
    let after = world.force(&channel.step_on_chain(&base, Party::Responder, calls)).await;
    assert_eq!((after.balances, after.contract(HOSTILE).state), (Pair::new(81 * UNIT, 72 * UNIT), vec![7; 5]));
}

#[tokio::test]
async fn what_it_may_not_do_fails_and_leaves_the_arbiter_as_it_was() {
    let (world, channel, base) = open().await;
    let other_code = world.apps.counter.code.0;
    let close = channel.close_solo_with(base.commitment());
    for input in [
        Input::Trap,
        Input::Loop,
        Input::TakeMemory,
        Input::Write,
        Input::Announce,
        Input::Send,
        Input::Terminate,
        Input::ChangeCode(other_code),
        Input::ChangeCode([0; 32]),
        // The call-backs allow to be called back themselves; the arbiter's own call does not.
        call_back("version", &()),
        call_back("channel", &channel.id),
        call_back("vault_withdraw", &(Actor::Initiator.key(), UNIT)),
        call_back("vault_deposit", &Actor::Initiator.key()),
        call_back("batch", &vec![BatchedCall::Settle(channel.id)]),
        call_back("channel_close_solo", &close),
        call_back("channel_settle", &channel.id),
        call_back("preimage_register", &([7u8; 32], 0u8)),
        call_back("there is no such message", &()),
    ] {
        let mut world = world.fork_for(&input).await;
        for party in Party::BOTH {
            world.refuse_step(&channel.step_on_chain(&base, party, told(&input)), failed(CallFault::Failed)).await;
        }
        assert_eq!(world.chain.code_hash(&world.apps.hostile.account).await.unwrap(), Some(world.apps.hostile.code));
        // It is still there, and still an app.
        let _after = world.force(&channel.step_on_chain(&base, Party::Initiator, told(&Input::Behave))).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_no_outcome_is_refused() {
    let (world, channel, base) = open().await;
    for input in [Input::Garbage, Input::Silence, Input::Trailing] {
        let mut world = world.fork_for(&input).await;
        let step = channel.step_on_chain(&base, Party::Initiator, told(&input));
        world.refuse_step(&step, failed(CallFault::Undecodable)).await;
    }
}

#[tokio::test]
async fn an_app_that_refuses_is_a_call_refused_with_whatever_error() {
    let (world, channel, base) = open().await;
    for bytes in [0, 1, 1_000, 30_000] {
        let mut world = world.fork_for(&bytes).await;
        let step = channel.step_on_chain(&base, Party::Initiator, told(&Input::Refuse(bytes)));
        world.refuse_step(&step, failed(CallFault::Refused)).await;
    }
}

#[tokio::test]
async fn an_outcome_counts_although_the_app_undoes_what_it_may_not_do_anyway() {
    let (mut world, channel, base) = open().await;
    let step = channel.step_on_chain(&base, Party::Initiator, told(&Input::RevertWithOutcome));
    let after = world.force(&step).await;
    assert_eq!(after.contract(HOSTILE), base.contract(HOSTILE));
}

#[tokio::test]
async fn a_state_and_an_output_are_as_long_as_allowed() {
    let (world, channel, base) = open().await;
    let (state, output) = (u32::try_from(MAX_STATE).unwrap(), u32::try_from(MAX_OUTPUT).unwrap());
    for (input, fault) in [
        (Input::State(0), None),
        (Input::State(state), None),
        (Input::State(state + 1), Some(CallFault::TooLarge)),
        (Input::State(60_000), Some(CallFault::TooLarge)),
        (Input::Output(0), None),
        (Input::Output(output), None),
        (Input::Output(output + 1), Some(CallFault::OutputTooLong)),
        (Input::Output(60_000), Some(CallFault::OutputTooLong)),
    ] {
        let mut world = world.fork_for(&input).await;
        let step = channel.step_on_chain(&base, Party::Responder, told(&input));
        match fault {
            None => drop(world.force(&step).await),
            Some(fault) => world.refuse_step(&step, failed(fault)).await,
        }
    }
}

#[tokio::test]
async fn an_answer_beyond_what_an_app_can_give_fails_in_the_app() {
    let (world, channel, base) = open().await;
    for input in [Input::State(70_000), Input::Output(70_000), Input::Refuse(70_000), Input::Output(u32::MAX)] {
        let mut world = world.fork_for(&input).await;
        let step = channel.step_on_chain(&base, Party::Responder, told(&input));
        world.refuse_step(&step, failed(CallFault::Failed)).await;
    }
}

#[tokio::test]
async fn an_answer_beyond_what_the_arbiter_can_take_breaks_off_the_arbiter_and_changes_nothing() {
    // Its buffer also holds what it gives to the app: an answer that just fits the app's own does not fit the rest.
    let (world, channel, base) = open().await;
    for input in [Input::State(65_450), Input::Output(65_450), Input::Refuse(65_480)] {
        let mut world = world.fork_for(&input).await;
        let call = world.blind(&channel.step_on_chain(&base, Party::Responder, told(&input)));
        let call = Call::ChannelForceProgress(call);
        world.fails_on_chain(Actor::Responder, &call, 0, "Contracts::OutputBufferTooSmall").await;
        let _after = world.force(&channel.step_on_chain(&base, Party::Responder, told(&Input::Behave))).await;
    }
}

#[tokio::test]
async fn an_app_is_stopped_by_its_own_bound_and_not_by_the_transactions() {
    let (mut world, channel, base) = open().await;
    let bound = LIMITS.call_weight.ref_time;
    // Asked directly, it ends by itself either way, and a transaction may take both.
    let (within, beyond) = (TOO_MUCH_WORK / 4, TOO_MUCH_WORK);
    let taken = [taken_directly(&world, within).await, taken_directly(&world, beyond).await];
    assert!(taken[0] < bound && bound < taken[1], "{taken:?} ps");
    let after = world.force(&channel.step_on_chain(&base, Party::Initiator, told(&Input::Work(within)))).await;
    let step = channel.step_on_chain(&after, Party::Responder, told(&Input::Work(beyond)));
    world.refuse_step(&step, failed_in(8, CallFault::Failed)).await;
    // The bound is for each call: two of them may take what one may not.
    let twice = [told(&Input::Work(within)), told(&Input::Work(within))].concat();
    let _after = world.force(&channel.step_on_chain(&after, Party::Responder, twice)).await;
}

/// What so much work takes where nothing but the transaction bounds it.
async fn taken_directly(world: &World, rounds: u64) -> u64 {
    let dry_run =
        world.chain.dry_run(&Actor::Stranger.id(), &told_directly(world, &Input::Work(rounds))).await.unwrap();
    dry_run.used.ref_time
}

#[tokio::test]
async fn an_app_that_fails_after_others_succeeded_undoes_them_too() {
    let (mut world, channel, base) = open().await;
    let calls = [told(&Input::Pay(UNIT, 0)), told(&Input::State(9)), told(&Input::Trap)].concat();
    let step = channel.step_on_chain(&base, Party::Initiator, calls);
    let rejection = Rejection::CallFailed { round: 9, fault: CallFault::Failed };
    world.refuse_step(&step, rejection).await;
}

#[tokio::test]
async fn bytes_that_are_no_instruction_fail() {
    let (world, channel, base) = open().await;
    for input in [vec![], vec![200], vec![6], vec![255; 100]] {
        let mut world = world.fork_for(&input).await;
        let calls = vec![ForcedCall { contract: HOSTILE, value: 0, input }];
        world.refuse_step(&channel.step_on_chain(&base, Party::Initiator, calls), failed(CallFault::Failed)).await;
    }
}

/// Deploys an app once more.
async fn deploy_again(world: &World, package: &str) -> AccountId {
    let deployer = Actor::Deployer.dev().signer();
    let data = selector("new").to_vec();
    let transaction = Transaction::Instantiate { code: built(package), value: 0, data, salt: vec![1] };
    let dry_run = world.chain.dry_run(&Actor::Deployer.id(), &transaction).await.unwrap();
    world.chain.submit(&deployer, transaction, &dry_run).await.unwrap().instantiated.unwrap()
}

#[tokio::test]
async fn an_app_may_stand_at_any_account_as_long_as_its_code_is_the_one_agreed_on() {
    let (mut world, channel, _base) = open().await;
    let (elsewhere, other) = (deploy_again(&world, "counter").await, deploy_again(&world, "escrow").await);
    world.know_app_at(elsewhere, world.apps.counter.code);
    world.know_app_at(other, world.apps.escrow.code);
    let counter = world.apps.counting(HELD, 0, 9);
    let base = Inside::new(8, Pair::new(80 * UNIT, 70 * UNIT), [(COUNTER, counter)]);
    let mut call = world.blind(&channel.step(&base, Party::Initiator, vec![count(1)]));
    call.contracts[0].app = Some(other);
    let there = failed_in(9, CallFault::CodeNotThere);
    world.refuse(Actor::Initiator, &Call::ChannelForceProgress(call.clone()), 0, there).await;
    call.contracts[0].app = Some(elsewhere);
    let (_planned, after) = world.plan(&channel.step(&base, Party::Initiator, vec![count(1)])).unwrap();
    call.proof = world.blind(&channel.step(&base, Party::Initiator, vec![count(1)])).proof;
    call.state_hash = Some(after.state().hash());
    let _done = world.accept(Actor::Initiator, &Call::ChannelForceProgress(call), 0).await;
}

fn failed_in(round: u64, fault: CallFault) -> Rejection {
    Rejection::CallFailed { round, fault }
}

/// Tells the hostile app something without the arbiter in between, so that it may do it.
fn told_directly(world: &World, input: &Input) -> Transaction {
    let context = AppContext {
        channel: protocol::ChannelId([0; 32]),
        contract: HOSTILE,
        round: 1,
        caller: Party::Initiator,
        value: 0,
        balance: 0,
        height: 1,
    };
    let data = [&CALL_SELECTOR[..], &(context, Vec::<u8>::new(), input.encode()).encode()].concat();
    Transaction::Call { contract: world.apps.hostile.account, value: 0, data }
}

async fn tell_directly(world: &World, input: &Input) {
    let transaction = told_directly(world, input);
    let dry_run = world.chain.dry_run(&Actor::Stranger.id(), &transaction).await.unwrap();
    let _receipt = world.chain.submit(&Actor::Stranger.dev().signer(), transaction, &dry_run).await.unwrap();
}

#[tokio::test]
async fn an_app_that_changes_its_code_or_ends_serves_no_channel_any_more_until_it_stands_somewhere_again() {
    for (input, left) in [(Input::ChangeCode([0; 32]), true), (Input::Terminate, false)] {
        let (mut world, channel, base) = open().await;
        let hostile = world.apps.hostile;
        // Elsewhere it stands as it was, so that its code stays on the chain.
        let elsewhere = deploy_again(&world, "hostile").await;
        world.know_app_at(elsewhere, hostile.code);
        let input = if left { Input::ChangeCode(world.apps.counter.code.0) } else { input };
        tell_directly(&world, &input).await;
        let code: Option<Hash> = world.chain.code_hash(&hostile.account).await.unwrap();
        assert_eq!(code, left.then_some(world.apps.counter.code));
        let _was = match code {
            Some(code) => world.ledger.deployed.insert(hostile.account, code),
            None => world.ledger.deployed.remove(&hostile.account),
        };
        let step = channel.step_on_chain(&base, Party::Initiator, told(&Input::Behave));
        world.refuse_step(&step, failed(CallFault::CodeNotThere)).await;
        let mut call = world.blind(&step);
        call.contracts[0].app = Some(elsewhere);
        let _done = world.accept(Actor::Initiator, &Call::ChannelForceProgress(call), 0).await;
    }
}

#[tokio::test]
async fn the_arbiter_is_no_app_of_its_own() {
    // Both agreed on a contract whose code is the arbiter's: it cannot be called from inside itself.
    let (mut world, channel, _base) = open().await;
    let (code, address) = (world.arbiter.info().code_hash, world.address());
    let contract = protocol::contracts::Contract { code: Code::Contract(code), ..world.apps.hostile(HELD, Vec::new()) };
    let base = Inside::new(8, Pair::new(80 * UNIT, 70 * UNIT), [(HOSTILE, contract)]);
    let mut call = world.blind(&channel.step(&base, Party::Initiator, told(&Input::Behave)));
    call.contracts[0].app = Some(address);
    let call = Call::ChannelForceProgress(call);
    world.fails_on_chain(Actor::Initiator, &call, 0, "Contracts::ReentranceDenied").await;
}
