//! What an app requires of a hash lock (R7.1a), by the example of `titles`: judged by the arbiter as it judges a conditional transfer (R8.1), which may have the same lock.

use crate::harness::{apps::deploy, *};
use protocol::{
    Amount, BlockNumber, Pair, Party, Rejection,
    call::{Call, ForcedCall},
    contracts::{
        CallFault, Code, Contract, ContractId,
        conditional::{ConditionalInput, HashFunction, HashLock, Preimage},
    },
    crypto::Native,
};
use scale::Encode;
use titles::{Input, Lock, State as Register, Title, Titles};

const SECRET: Preimage = Preimage([0x71; 32]);
const TITLES: ContractId = ContractId([0x71; 32]);
const AMOUNT: Amount = 10 * UNIT;
/// Beside a transfer of [`AMOUNT`].
const OUTSIDE: Pair<Amount> = Pair::new(80 * UNIT, 70 * UNIT);
const FUNCTIONS: [HashFunction; 2] = [HashFunction::Blake2b256, HashFunction::Sha2_256];
const BLAKE: HashFunction = HashFunction::Blake2b256;

/// The title that is locked for the responder, and one that is not; both are the initiator's.
const LOCKED: u32 = 7;
const FREE: u32 = 9;

fn lock(function: HashFunction) -> HashLock {
    SECRET.lock(function, &Native)
}

/// An open channel, on a chain where the app stands as well.
async fn with_titles() -> (World, Channel, Contract, BlockNumber) {
    let (mut world, channel) = World::open().await;
    let app = deploy(&world.chain, "titles").await;
    world.know_app_at(app.account, app.code);
    world.ledger.apps.register::<Titles>(app.code);
    let contract = Contract { code: Code::Contract(app.code), balance: 0, owner: Party::Initiator, state: Vec::new() };
    let expiry = world.now() + 60;
    (world, channel, contract, expiry)
}

/// A register with one of two titles locked.
fn register(contract: &Contract, function: HashFunction, expiry: BlockNumber) -> Contract {
    let title = |number, lock| Title { number, owner: Party::Initiator, lock };
    let titles = vec![title(LOCKED, Some(Lock { lock: lock(function), expiry })), title(FREE, None)];
    Contract { state: Register { titles }.encode(), ..contract.clone() }
}

/// The register, and a transfer to the responder under the same lock, in the state on chain of an open channel; and the expiry of both.
async fn locked_with(function: HashFunction) -> (World, Channel, Inside, BlockNumber) {
    let (mut world, channel, contract, expiry) = with_titles().await;
    let coins = transfer(AMOUNT, Party::Responder, &SECRET, function, expiry);
    let contracts = [(TITLES, register(&contract, function, expiry)), (TRANSFER, coins)];
    let base = Inside::new(6, OUTSIDE, contracts);
    let _done = world.accept(Actor::Initiator, &channel.snapshot(&base.state()), 0).await;
    (world, channel, base, expiry)
}

async fn locked() -> (World, Channel, Inside, BlockNumber) {
    locked_with(BLAKE).await
}

fn title(input: Input) -> ForcedCall {
    call(TITLES, 0, &input)
}

fn claim() -> ForcedCall {
    title(Input::Claim { title: LOCKED, preimage: SECRET })
}

fn give_back() -> ForcedCall {
    title(Input::Return { title: LOCKED })
}

fn claim_coins() -> ForcedCall {
    call(TRANSFER, 0, &ConditionalInput::Claim(SECRET))
}

fn refund_coins() -> ForcedCall {
    call(TRANSFER, 0, &ConditionalInput::Refund)
}

/// The call of this round fails.
const fn failed(round: u64, fault: CallFault) -> Rejection {
    Rejection::CallFailed { round, fault }
}

fn owner_of(inside: &Inside, number: u32) -> (Party, bool) {
    let title = *inside.state_of::<Register>(TITLES).title(number).unwrap();
    (title.owner, title.lock.is_some())
}

/// Whose the title is that was locked and is not any more.
fn went_to(inside: &Inside) -> Party {
    let (owner, is_locked) = owner_of(inside, LOCKED);
    assert!(!is_locked);
    assert_eq!(owner_of(inside, FREE), (Party::Initiator, false), "the other title stays");
    owner
}

async fn shown_at(world: &World, function: HashFunction) -> Option<BlockNumber> {
    world.arbiter.preimage_shown_at(lock(function)).await.unwrap()
}

#[tokio::test]
async fn a_claim_by_force_before_the_expiry_shows_the_pre_image_and_moves_the_title() {
    for function in FUNCTIONS {
        let (world, channel, base, expiry) = locked_with(function).await;
        for party in Party::BOTH {
            for block in [world.now(), expiry - 1] {
                let mut world = world.fork_for(&(function, party, block)).await;
                world.travel_to(block).await;
                let step = channel.step_on_chain(&base, party, vec![claim()]);
                let (done, after) = world.force_as(party.into(), &step).await;
                assert_eq!((went_to(&after), after.balances), (Party::Responder, OUTSIDE));
                let [shown] = &done.preimages[..] else { panic!("a claim shows its pre-image") };
                assert_eq!((shown.function, shown.preimage, shown.shown_at), (function, SECRET, block));
            }
        }
    }
}

#[tokio::test]
async fn from_the_expiry_on_a_claim_is_too_late_and_shows_nothing_and_a_wrong_pre_image_never_counts() {
    let (world, channel, base, expiry) = locked().await;
    let wrong = title(Input::Claim { title: LOCKED, preimage: Preimage([0; 32]) });
    for block in [world.now(), expiry, expiry + 1_000] {
        let mut world = world.fork_for(&block).await;
        world.travel_to(block).await;
        let step = channel.step_on_chain(&base, Party::Responder, vec![wrong.clone()]);
        world.refuse_step(&step, failed(7, CallFault::WrongPreimage)).await;
        if block >= expiry {
            let step = channel.step_on_chain(&base, Party::Responder, vec![claim()]);
            world.refuse_step(&step, failed(7, CallFault::TooLate { expiry })).await;
        }
        assert_eq!(shown_at(&world, BLAKE).await, None);
    }
}

#[tokio::test]
async fn after_the_expiry_a_title_is_claimed_where_the_pre_image_was_shown_in_time_and_taken_back_where_not() {
    for function in FUNCTIONS {
        let (world, channel, base, expiry) = locked_with(function).await;
        for block in [expiry - 1, expiry] {
            let mut world = world.fork_for(&(function, block)).await;
            world.travel_to(block).await;
            let _done = world.accept(Actor::Stranger, &Call::PreimageRegister { preimage: SECRET, function }, 0).await;
            world.travel_to(expiry + 500).await;
            let claims = channel.step_on_chain(&base, Party::Responder, vec![claim()]);
            let returns = channel.step_on_chain(&base, Party::Initiator, vec![give_back()]);
            let (made, refused, fault, owner) = match block < expiry {
                true => (claims, returns, CallFault::ShownInTime, Party::Responder),
                false => (returns, claims, CallFault::TooLate { expiry }, Party::Initiator),
            };
            world.refuse_step(&refused, failed(7, fault)).await;
            assert_eq!(went_to(&world.force(&made).await), owner);
        }
    }
}

#[tokio::test]
async fn the_owner_has_a_title_back_from_the_expiry_on_and_the_peer_gives_it_up_at_any_time() {
    let (world, channel, base, expiry) = locked().await;
    for party in Party::BOTH {
        for height in [world.now(), expiry - 1, expiry, expiry + 1_000] {
            let mut world = world.fork_for(&(party, height)).await;
            world.travel_to(height).await;
            let step = channel.step_on_chain(&base, party, vec![give_back()]);
            if party == Party::Initiator && height < expiry {
                world.refuse_step(&step, failed(7, CallFault::TooEarly { expiry, height })).await;
                continue;
            }
            let after = world.force(&step).await;
            assert_eq!(went_to(&after), Party::Initiator);
            let claims = channel.step_on_chain(&after, Party::Responder, vec![claim()]);
            world.refuse_step(&claims, failed(8, CallFault::Refused)).await;
        }
    }
}

#[tokio::test]
async fn a_title_and_coins_under_one_lock_move_in_one_step_both_or_none() {
    let (world, channel, base, expiry) = locked().await;
    let paid = Pair::new(OUTSIDE.initiator, OUTSIDE.responder + AMOUNT);
    for calls in [vec![claim_coins(), claim()], vec![claim(), claim_coins()]] {
        let mut early = world.fork_for(&calls).await;
        early.travel_to(expiry - 1).await;
        let step = channel.step_on_chain(&base, Party::Responder, calls.clone());
        let (done, after) = early.force_as(Actor::Responder, &step).await;
        assert_eq!((went_to(&after), after.balances, after.contracts.len()), (Party::Responder, paid, 1));
        assert_eq!(done.preimages.len(), 2, "each of them has it shown");
        assert!(done.preimages.iter().all(|shown| shown.shown_at == expiry - 1));

        // What cannot be claimed takes the other with it, and the pre-image stays hidden.
        let nothing_to_claim = title(Input::Claim { title: FREE, preimage: SECRET });
        let step = channel.step_on_chain(&base, Party::Responder, [calls.clone(), vec![nothing_to_claim]].concat());
        let mut world = world.fork().await;
        world.refuse_step(&step, failed(9, CallFault::Refused)).await;
        assert_eq!(shown_at(&world, BLAKE).await, None);
        world.travel_to(expiry).await;
        let step = channel.step_on_chain(&base, Party::Responder, calls);
        world.refuse_step(&step, failed(7, CallFault::TooLate { expiry })).await;
        for calls in [vec![refund_coins(), give_back()], vec![give_back(), refund_coins()]] {
            let mut world = world.fork().await;
            let after = world.force(&channel.step_on_chain(&base, Party::Initiator, calls)).await;
            let back = Pair::new(OUTSIDE.initiator + AMOUNT, OUTSIDE.responder);
            assert_eq!((went_to(&after), after.balances), (Party::Initiator, back));
        }
    }
}

#[tokio::test]
async fn a_claim_of_either_has_shown_the_pre_image_in_time_for_the_other() {
    let (world, channel, base, expiry) = locked().await;
    for (first, second, back) in [(claim(), claim_coins(), refund_coins()), (claim_coins(), claim(), give_back())] {
        let mut world = world.fork_for(&first).await;
        world.travel_to(expiry - 1).await;
        let tip = world.force(&channel.step_on_chain(&base, Party::Responder, vec![first])).await;
        world.travel_to(expiry + 500).await;
        let takes_back = channel.step_on_chain(&tip, Party::Initiator, vec![back]);
        world.refuse_step(&takes_back, failed(8, CallFault::ShownInTime)).await;
        let after = world.force(&channel.step_on_chain(&tip, Party::Responder, vec![second])).await;
        assert_eq!((went_to(&after), after.contracts.held()), (Party::Responder, 0));
    }
}

#[tokio::test]
async fn a_title_is_locked_by_force_once_and_claimed_by_force() {
    let (mut world, channel, base, expiry) = locked().await;
    let locks = |expiry| title(Input::Lock { title: FREE, lock: lock(BLAKE), expiry });
    let twice = channel.step_on_chain(&base, Party::Initiator, vec![locks(expiry), locks(0)]);
    world.refuse_step(&twice, failed(8, CallFault::Refused)).await;
    let by_the_peer = channel.step_on_chain(&base, Party::Responder, vec![locks(expiry)]);
    world.refuse_step(&by_the_peer, failed(7, CallFault::Refused)).await;
    let tip = world.force(&channel.step_on_chain(&base, Party::Initiator, vec![locks(expiry)])).await;
    assert_eq!(owner_of(&tip, FREE), (Party::Initiator, true));
    let given = channel.step_on_chain(&tip, Party::Initiator, vec![title(Input::Give { title: FREE })]);
    world.refuse_step(&given, failed(8, CallFault::Refused)).await;
    let claims = title(Input::Claim { title: FREE, preimage: SECRET });
    let after = world.force(&channel.step_on_chain(&tip, Party::Responder, vec![claims])).await;
    assert_eq!(owner_of(&after, FREE), (Party::Responder, false));
}

#[tokio::test]
async fn a_claim_whose_forced_chain_is_replaced_is_made_again_long_after_the_expiry() {
    let (mut world, channel, base, expiry) = locked().await;
    world.travel_to(expiry - 1).await;
    let _after = world.force(&channel.step_on_chain(&base, Party::Responder, vec![claim()])).await;
    let instead = base.at(7);
    let _done = world.accept(Actor::Initiator, &channel.snapshot(&instead.state()), 0).await;
    world.travel_to(expiry + 300).await;
    let returns = channel.step_on_chain(&instead, Party::Initiator, vec![give_back()]);
    world.refuse_step(&returns, failed(8, CallFault::ShownInTime)).await;
    let after = world.force(&channel.step_on_chain(&instead, Party::Responder, vec![claim()])).await;
    assert_eq!(went_to(&after), Party::Responder);
}

/// Closes on this state, and settles.
async fn settle_on(world: &mut World, channel: &Channel, base: &Inside) {
    let _done = world.accept(Actor::Initiator, &channel.close_solo(&base.at(7).state()), 0).await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    let _done = world.accept(Actor::InitiatorsDelegate, &channel.settle(), 0).await;
}

#[tokio::test]
async fn in_a_settled_channel_a_title_is_claimed_by_force_before_the_expiry_and_long_after_it() {
    let (mut world, channel, base, expiry) = locked().await;
    settle_on(&mut world, &channel, &base).await;
    let base = base.at(7);
    for block in [world.now(), expiry - 1, expiry + 500] {
        let mut world = world.fork_for(&block).await;
        if block >= expiry {
            world.travel_to(expiry - 1).await;
            let register = Call::PreimageRegister { preimage: SECRET, function: BLAKE };
            let _done = world.accept(Actor::Responder, &register, 0).await;
        }
        world.travel_to(block).await;
        let tip = world.force(&channel.step_on_chain(&base, Party::Responder, vec![claim()])).await;
        assert_eq!(went_to(&tip), Party::Responder);
        assert_eq!(world.recorded(&channel).total, AMOUNT, "no coin has left");
        // With the last coin the channel goes, and what is in it with it.
        let _after = world.force(&channel.step_on_chain(&tip, Party::Responder, vec![claim_coins()])).await;
        assert_eq!(world.record(&channel).await, None);
    }
    world.travel_to(expiry).await;
    let late = channel.step_on_chain(&base, Party::Responder, vec![claim()]);
    world.refuse_step(&late, failed(8, CallFault::TooLate { expiry })).await;
    let after = world.force(&channel.step_on_chain(&base, Party::Initiator, vec![give_back()])).await;
    assert_eq!(went_to(&after), Party::Initiator);
}

#[tokio::test]
async fn titles_of_a_channel_whose_contracts_hold_no_coins_are_claimed_while_it_closes_and_not_afterwards() {
    let (world, channel, contract, expiry) = with_titles().await;
    let outside = Pair::new(OUTSIDE.initiator + AMOUNT, OUTSIDE.responder);
    let base = Inside::new(7, outside, [(TITLES, register(&contract, BLAKE, expiry))]);
    let mut unclaimed = world.fork().await;
    settle_on(&mut unclaimed, &channel, &base).await;
    assert_eq!(unclaimed.record(&channel).await, None, "it leaves the chain when it is settled");
    for who in [Actor::Responder, Actor::RespondersDelegate] {
        let mut world = world.fork_for(&who).await;
        let _done = world.accept(Actor::Initiator, &channel.close_solo(&base.state()), 0).await;
        let step = channel.step_on_chain(&base, Party::Responder, vec![claim()]);
        let (_done, after) = world.force_as(who, &step).await;
        assert_eq!(went_to(&after), Party::Responder);
    }
}
