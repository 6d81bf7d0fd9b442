//! What one forced step can take (R3.2, R5.10): everything at its edge and one beyond, and calls that need several steps.

use crate::{apps, fixture::*};
use protocol::{
    arbiter::{MAX_FORCED_ANSWERS, MAX_FORCED_CALLS, MAX_FORCED_INPUTS, MAX_FORCED_STEP, follow, plan_fitting},
    contracts::{AppContext, AppOutcome, AppReply, MAX_INPUT, MAX_OUTPUT, MAX_STATE},
};
use scale::Decode;

const BULKY: apps::Deployed = apps::Deployed { account: AccountId([0xB0; 32]), code: Hash([0xB1; 32]) };

/// Answers with a state and an output of the lengths that the input begins with.
fn answer(_: &AppContext, _state: &[u8], input: &[u8]) -> Result<AppReply, CallFault> {
    let (state, output) = <(u32, u32)>::decode(&mut &*input).map_err(|_undecodable| CallFault::Failed)?;
    Ok(Ok(AppOutcome { state: vec![8; state as usize], output: vec![9; output as usize], ..AppOutcome::default() }))
}

fn id(number: u8) -> ContractId {
    ContractId([number; 32])
}

/// A call of the `number`-th contract that answers so many bytes of state and of output, in an input of at least 8 bytes.
fn ask(number: u8, state: usize, output: usize, input: usize) -> ForcedCall {
    let mut bytes = (u32::try_from(state).unwrap(), u32::try_from(output).unwrap()).encode();
    bytes.resize(input, 0);
    ForcedCall { contract: id(number), value: 0, input: bytes }
}

/// Contracts with states of these lengths, and a world in which forcing never ends.
fn bulky(states: &[usize]) -> (World, State) {
    let contract = |bytes: &usize| Contract {
        code: Code::Contract(BULKY.code),
        balance: 0,
        owner: Party::Initiator,
        state: vec![7; *bytes],
    };
    let contracts = (1..).map(id).zip(states.iter().map(contract)).collect();
    world_on(State { balances: Pair::new(500, 500), contracts, calls_root: Hash::ZERO })
}

fn world_on(state: State) -> (World, State) {
    let mut world = World::on(&state);
    world.record().terms.max_forced = u8::MAX;
    world.ledger.apps.register_as(BULKY.code, |_, _| Err(CallFault::Failed), answer);
    let _new = world.ledger.deployed.insert(BULKY.account, BULKY.code);
    (world, state)
}

/// How a step is planned: all of its calls, or as many as fit.
#[derive(Clone, Copy)]
enum How {
    All,
    Fitting,
}

fn planned(world: &World, state: &State, calls: &[ForcedCall], how: How) -> Result<Plan, Rejection> {
    let record = &world.ledger.channels[&CHANNEL];
    let State { balances, ref contracts, calls_root } = *state;
    let base = Start { channel: CHANNEL, record, payload: None, balances, contracts, calls_root };
    let mut executor = Predictor::new(&world.ledger.apps, &|_| None);
    let deployed = |code: &Hash| if *code == BULKY.code { Some(BULKY.account) } else { account_of(code) };
    match how {
        How::All => plan(&base, Party::Initiator, calls.to_vec(), NOW, &deployed, &mut executor),
        How::Fitting => plan_fitting(&base, Party::Initiator, calls, NOW, &deployed, &mut executor),
    }
}

/// The bytes of a step as R3.2 counts them, written down anew.
fn counted(call: &ForceProgress) -> usize {
    let contracts: usize = call.contracts.iter().map(|shown| 120 + shown.contract.state.len()).sum();
    let calls: usize = call.calls.iter().map(|call| 52 + call.input.len()).sum();
    let nodes: usize = call.proof.nodes.iter().map(Encode::encoded_size).sum();
    384 + contracts + calls + nodes
}

/// A step that its caller can plan, and that the arbiter makes; it comes to what was planned.
fn goes_through(world: &mut World, state: &State, calls: &[ForcedCall]) -> Plan {
    let made = planned(world, state, calls, How::All).unwrap();
    let _applied = world.force(INITIATOR, made.call.clone()).unwrap();
    assert_eq!(world.record().on_chain.state_hash, made.state_hash);
    made
}

/// A step that its caller is refused, and the arbiter's refusal of it by the same number, with whatever proof would be right.
fn is_refused(world: &World, state: &State, calls: &[ForcedCall], rejection: Rejection) {
    assert_eq!(planned(world, state, calls, How::All).map(drop), Err(rejection));
    let shown: std::collections::BTreeSet<_> = calls.iter().map(|call| call.contract).collect();
    let shown = shown.into_iter().map(|id| ShownContract {
        id,
        contract: state.contracts.get(&id).unwrap().clone(),
        app: Some(BULKY.account),
    });
    let contracts: Vec<_> = shown.collect();
    let call = ForceProgress {
        channel: CHANNEL,
        party: Party::Initiator,
        payload: None,
        commitment: state.commitment(),
        proof: state.contracts.prove(&unchanged(&contracts)),
        contracts,
        calls: calls.to_vec(),
        state_hash: None,
    };
    assert_eq!(world.clone().force(INITIATOR, call), Err(rejection));
}

fn failed(round: Round, fault: CallFault) -> Rejection {
    Rejection::CallFailed { round: ROUND + round, fault }
}

#[test]
fn a_step_has_as_many_bytes_as_allowed_and_not_one_more() {
    let calls: Vec<_> = (1..=4).map(|number| ask(number, 0, 0, 8)).collect();
    let (world, state) = bulky(&[MAX_STATE, MAX_STATE, MAX_STATE, 0]);
    let rest = MAX_FORCED_STEP - counted(&planned(&world, &state, &calls, How::All).unwrap().call);
    for (last, fits) in [(rest, true), (rest + 1, false)] {
        let (mut world, state) = bulky(&[MAX_STATE, MAX_STATE, MAX_STATE, last]);
        if fits {
            assert_eq!(counted(&goes_through(&mut world, &state, &calls).call), MAX_FORCED_STEP);
        } else {
            is_refused(&world, &state, &calls, Rejection::StepTooLarge);
        }
    }
}

#[test]
fn a_step_that_is_too_large_runs_no_call_that_could_fail() {
    let (world, state) = bulky(&[MAX_STATE; 4]);
    let mut calls: Vec<_> = (1..=4).map(|number| ask(number, 0, 0, 8)).collect();
    calls[0].input.clear();
    is_refused(&world, &state, &calls, Rejection::StepTooLarge);
    is_refused(&world, &state, &calls[..3], failed(1, CallFault::Failed));
}

#[test]
fn a_call_runs_after_answers_of_so_many_bytes_and_not_after_one_more() {
    let (mut world, state) = bulky(&[0]);
    let large = MAX_STATE + MAX_OUTPUT;
    let whole = MAX_FORCED_ANSWERS / large;
    let mut calls = vec![ask(1, MAX_STATE, MAX_OUTPUT, 8); whole];
    // What is left over of the bound, and then a call that answers as much as it can: what counts is what came before.
    calls.push(ask(1, MAX_FORCED_ANSWERS - whole * large, 0, 8));
    calls.push(ask(1, MAX_STATE, MAX_OUTPUT, 8));
    let mut one_more = calls.clone();
    one_more[whole] = ask(1, MAX_FORCED_ANSWERS - whole * large, 1, 8);
    is_refused(&world, &state, &one_more, Rejection::StepTooLarge);
    let mut after_it = calls.clone();
    after_it.push(ask(1, 0, 0, 8));
    is_refused(&world, &state, &after_it, Rejection::StepTooLarge);
    let made = goes_through(&mut world, &state, &calls);
    assert_eq!(made.taken, whole + 2);
}

#[test]
fn an_output_is_as_long_as_allowed_and_not_a_byte_longer() {
    let (mut world, state) = bulky(&[3]);
    is_refused(&world, &state, &[ask(1, 0, MAX_OUTPUT + 1, 8)], failed(1, CallFault::OutputTooLong));
    // Where the state is too long as well, that is what is said.
    is_refused(&world, &state, &[ask(1, MAX_STATE + 1, MAX_OUTPUT + 1, 8)], failed(1, CallFault::TooLarge));
    let made = goes_through(&mut world, &state, &[ask(1, 0, MAX_OUTPUT, 8)]);
    assert_eq!(made.executed[0].2.output.len(), MAX_OUTPUT);
}

#[test]
fn whatever_call_may_be_made_fits_a_step_of_its_own() {
    // As deep as two peers let a contract stand (R4.5), among others that agree with it in ever more bits.
    let (_, mut state) = bulky(&[MAX_STATE]);
    for bit in 0..64_usize {
        let mut other = id(1);
        other.0[bit / 8] ^= 0x80 >> (bit % 8);
        state.contracts.insert(other, contract(Code::Builtin(BUILTIN), 0, ()));
    }
    assert_eq!(state.contracts.depth(&id(1)), 64);
    let (mut world, state) = world_on(state);
    let largest = ask(1, MAX_STATE, MAX_OUTPUT, MAX_INPUT);
    let made = goes_through(&mut world, &state, std::slice::from_ref(&largest));
    assert_eq!((made.taken, made.executed.len()), (1, 1));
    let more = [largest.clone(), largest];
    assert_eq!(planned(&world, &state, &more, How::All).map(drop), Err(Rejection::CallsTooLarge));
    assert_eq!(planned(&world, &state, &more, How::Fitting).unwrap().taken, 1);
}

#[test]
fn calls_that_one_step_cannot_take_are_made_by_as_few_steps_as_it_needs() {
    let large = MAX_STATE + MAX_OUTPUT;
    let by_turns = |calls: usize, contracts: usize, ask: &dyn Fn(u8) -> ForcedCall| -> Vec<_> {
        (0..calls).map(|call| ask(u8::try_from(call % contracts + 1).unwrap())).collect()
    };
    let per_step = MAX_FORCED_ANSWERS / large + 1;
    for (states, calls, expected) in [
        // As many calls as a step may make, twice, and some more.
        (vec![0; 3], by_turns(2 * MAX_FORCED_CALLS + 5, 3, &|it| ask(it, 1, 1, 8)), vec![64, 64, 5]),
        // As much input as it may have.
        (vec![5; 2], by_turns(7, 2, &|it| ask(it, 0, 0, MAX_FORCED_INPUTS / 3)), vec![3, 3, 1]),
        // As many bytes: three states of 16 KiB each, and another three.
        (vec![MAX_STATE; 7], by_turns(7, 7, &|it| ask(it, MAX_STATE, 0, 8)), vec![3, 3, 1]),
        // As many answers.
        (vec![0], by_turns(2 * per_step + 1, 1, &|it| ask(it, MAX_STATE, MAX_OUTPUT, 8)), vec![per_step, per_step, 1]),
        // Everything fits.
        (vec![9], vec![ask(1, 3, 4, 8)], vec![1]),
    ] {
        let (mut world, mut state) = bulky(&states);
        let (mut one_by_one, mut alone) = bulky(&states);
        let mut rest = &calls[..];
        let mut taken = Vec::new();
        while !rest.is_empty() {
            let made = planned(&world, &state, rest, How::Fitting).unwrap();
            assert_eq!(made.call.calls, rest[..made.taken]);
            if let Some(one_more) = rest.get(..=made.taken) {
                let refused = planned(&world, &state, one_more, How::All).map(drop);
                assert!(
                    matches!(refused, Err(Rejection::StepTooLarge | Rejection::CallsTooLarge)),
                    "one more would have fitted: {refused:?}"
                );
            }
            let _applied = world.force(INITIATOR, made.call.clone()).unwrap();
            assert_eq!(world.record().on_chain.state_hash, made.state_hash);
            state = State { balances: made.balances, contracts: made.contracts, calls_root: made.calls_root };
            taken.push(made.taken);
            rest = &rest[made.taken..];
        }
        assert_eq!(taken, expected);
        for call in &calls {
            let made = goes_through(&mut one_by_one, &alone, std::slice::from_ref(call));
            alone = State { balances: made.balances, contracts: made.contracts, calls_root: made.calls_root };
        }
        // The steps come to what the calls come to, whichever way they are cut.
        assert_eq!(state.hash(), alone.hash());
        assert_eq!(world.record().on_chain.round(), ROUND + calls.len() as Round);
    }
}

#[test]
fn builtins_that_end_in_a_step_count_with_the_larger_proof_that_this_takes() {
    // Each claim needs what stands beside it opened, so fewer fit than calls of apps would.
    let lock = SECRET.lock(HashFunction::Sha2_256, &Native);
    let transfer = ConditionalTransfer { payee: Party::Initiator, lock, expiry: EXPIRY };
    let nth = |number: u32| ContractId::derive(&CHANNEL, 5, number, &Native);
    let with_state = |number: u32| {
        let crowd = (0..3_000).map(|number| (nth(number), contract(Code::Builtin(BUILTIN), 0, transfer)));
        let mut contracts: Contracts = crowd.collect();
        for number in 0..number {
            contracts.insert(
                nth(3_000 + number),
                Contract {
                    code: Code::Contract(BULKY.code),
                    balance: 0,
                    owner: Party::Initiator,
                    state: vec![7; MAX_STATE],
                },
            );
        }
        world_on(State { balances: Pair::new(500, 500), contracts, calls_root: Hash::ZERO })
    };
    let (world, state) = with_state(2);
    let mut calls: Vec<_> =
        (0..2).map(|number| ForcedCall { contract: nth(3_000 + number), ..ask(0, MAX_STATE, 0, 8) }).collect();
    calls.extend((0..62).map(|number| call(nth(number), 0, ConditionalInput::Claim(SECRET))));
    let made = planned(&world, &state, &calls, How::Fitting).unwrap();
    assert!(made.taken > 10 && made.taken < 64, "{} were taken", made.taken);
    let size = counted(&made.call);
    assert!(size <= MAX_FORCED_STEP && MAX_FORCED_STEP - size < 2_000, "{size} bytes");
    let mut exact = world.clone();
    let _applied = exact.force(INITIATOR, made.call).unwrap();
    let one_more = planned(&world, &state, &calls[..=made.taken], How::All);
    assert_eq!(one_more.map(drop), Err(Rejection::StepTooLarge));
}

#[test]
fn a_call_that_fails_is_told_and_not_left_to_a_later_step() {
    let (world, state) = bulky(&[0]);
    let mut calls = vec![ask(1, 0, 0, 8); 5];
    calls[3].input.clear();
    let refused = planned(&world, &state, &calls, How::Fitting).map(drop);
    assert_eq!(refused, Err(failed(4, CallFault::Failed)));
    assert_eq!(planned(&world, &state, &[], How::Fitting).map(drop), Err(Rejection::CallsMissing));
    let alone = [ask(1, 0, 0, MAX_FORCED_INPUTS + 1)];
    assert_eq!(planned(&world, &state, &alone, How::Fitting).map(drop), Err(Rejection::CallsTooLarge));
}

#[test]
fn what_the_arbiter_made_is_followed_to_the_same_state_from_the_same_state_only() {
    let (mut world, state) = bulky(&[MAX_STATE, MAX_STATE, 9]);
    let record = world.record().clone();
    let calls = [ask(1, MAX_STATE, 5, 8), ask(3, 0, 0, 8), ask(2, 1, MAX_OUTPUT, 8)];
    let made = goes_through(&mut world, &state, &calls);
    let followed = |state: &State, calls: &[ForcedCall]| {
        let State { balances, ref contracts, calls_root } = *state;
        let base = Start { channel: CHANNEL, record: &record, payload: None, balances, contracts, calls_root };
        let mut executor = Predictor::new(&world.ledger.apps, &|_| None);
        follow(&base, Party::Initiator, calls, NOW, &mut executor)
    };
    let same = followed(&state, &calls).unwrap();
    assert_eq!((same.state_hash, same.calls_root, same.balances), (made.state_hash, made.calls_root, made.balances));
    assert_eq!((same.contracts, same.executed), (made.contracts, made.executed));
    let elsewhere = State { balances: Pair::new(499, 501), ..state.clone() };
    assert_ne!(followed(&elsewhere, &calls).unwrap().state_hash, made.state_hash);
    assert_eq!(followed(&state, &[]).map(drop), Err(Rejection::CallsMissing));
    let unknown = followed(&state, &[ask(4, 0, 0, 8)]).map(drop);
    assert_eq!(unknown, Err(Rejection::ContractNotShown { contract: id(4) }));
}
