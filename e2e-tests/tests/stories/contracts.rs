//! Contracts inside a channel: begun, called, forced and followed, with the real Wasm off chain and on it.

use channel::{Change, ChangeFault, Event, Misuse, Outcome, RefusalCode};
use e2e_tests::{Actor, App, Asked, Impaired, UNIT, World, until, within};
use protocol::{
    Amount, Pair,
    call::ForcedCall,
    contracts::{CallFault, ContractId},
};
use scale::Encode;
use sdk::{
    chain::Arbiter,
    node::{ChannelHandle, Made, NodeConfig, NodeError},
};
use std::sync::Arc;

/// Alice and Bob with the counter, and a channel between them.
struct Stage {
    world: World,
    alice: Actor,
    bob: Actor,
    alices: ChannelHandle,
    bobs: ChannelHandle,
    counter: App,
}

impl Stage {
    async fn new() -> Self {
        Self::with(|_alice| {}).await
    }

    /// The same, with other settings of Alice's.
    async fn with(change: impl FnOnce(&mut NodeConfig)) -> Self {
        let world = World::new().await;
        let counter = world.deploy_app("counter").await;
        let mut alices = world.config("alice");
        change(&mut alices);
        world.give_app(&alices, &counter).await;
        let bobs = world.config("bob");
        world.give_app(&bobs, &counter).await;
        let (alice, bob) = world.couple_on(alices, bobs).await;
        let (alices, bobs) = alice.open(&bob).await;
        Self { world, alice, bob, alices, bobs, counter }
    }

    /// Alice begins a counter up to `goal` with so many of her coins.
    async fn begin(&self, goal: u64, coins: Amount) -> ContractId {
        let creating = self.alices.create_contract(self.counter.code, Pair::new(coins, 0), goal.encode());
        within("a contract", creating).await.unwrap().contract
    }
}

/// Counts on by so much, with so many coins attached, and gives the count.
async fn count(channel: &ChannelHandle, contract: ContractId, by: u64, value: Amount) -> (u64, Pair<Amount>) {
    let called = within("a call", channel.call_contract(contract, value, by.encode())).await.unwrap();
    (protocol::decode_exact(&called.output).unwrap(), called.payouts)
}

fn forced(contract: ContractId, by: u64) -> ForcedCall {
    ForcedCall { contract, value: 0, input: by.encode() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_call_a_contract_and_whoever_reaches_the_goal_has_its_coins() {
    let stage = Stage::new().await;
    let contract = stage.begin(5, 10 * UNIT).await;
    assert_eq!(count(&stage.alices, contract, 1, 0).await, (1, Pair::new(0, 0)));
    assert_eq!(count(&stage.bobs, contract, 2, UNIT).await, (3, Pair::new(0, 0)));
    let goal = Change::CallContract { contract, value: 0, input: 2_u64.encode() };
    let tried = within("a dry run", stage.bobs.try_change(goal)).await.unwrap();
    assert!(
        matches!(tried, Some(Outcome::Called { payouts: Pair { initiator: 0, responder }, .. }) if responder == 11 * UNIT)
    );
    assert_eq!(stage.bobs.contract(contract).await.unwrap().unwrap().balance, 11 * UNIT, "a dry run changes nothing");
    assert_eq!(count(&stage.bobs, contract, 2, 0).await, (5, Pair::new(0, 11 * UNIT)));
    assert_eq!((stage.alices.has().await.ours, stage.bobs.has().await.ours), (90 * UNIT, 110 * UNIT));
    // Alice has heard of Bob's calls and of what they did.
    let bobs_goal = |event: &Event| match event {
        Event::Executed { performed, .. } => performed.iter().find_map(|done| match &done.outcome {
            Outcome::Called { payouts, output, .. } if payouts.responder > 0 => Some(output.clone()),
            _ => None,
        }),
        _ => None,
    };
    let output = stage.alice.events.wait("the goal", stage.alices.reference(), bobs_goal).await;
    assert_eq!(output, 5_u64.encode());
    let closed = within("the close", stage.alices.close(0)).await;
    assert!(closed.is_ok(), "an empty contract keeps nobody from closing: {closed:?}");
}

/// Bob accepts the counter and does not have it; Alice does, and begins one.
async fn fetched(world: World, bobs: NodeConfig) {
    let counter = world.deploy_app("counter").await;
    let alices = world.config("alice");
    world.give_app(&alices, &counter).await;
    world.tell_of_app(&bobs, &counter).await;
    let known = bobs.apps.clone();
    let (alice, bob) = world.couple_on(alices, bobs).await;
    let (alices, bobs) = alice.open(&bob).await;
    assert!(known.library().code(&counter.code).is_none());
    let creating = alices.create_contract(counter.code, Pair::new(UNIT, 0), 3_u64.encode());
    let contract = within("a contract", creating).await.unwrap().contract;
    assert_eq!(known.library().code(&counter.code).as_deref(), Some(&counter.wasm[..]));
    assert_eq!(count(&bobs, contract, 3, 0).await, (3, Pair::new(0, UNIT)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_the_peer_lacks_is_fetched_from_the_chain() {
    let world = World::new().await;
    let bobs = world.config("bob");
    fetched(world, bobs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_chain_does_not_tell_an_app_comes_from_the_peer() {
    let world = World::new().await;
    let mut bobs = world.config("bob");
    let blind = Arc::new(Impaired::without_code(world.recorder.clone()));
    let address = world.arbiter.info().domain.arbiter;
    bobs.arbiter = Arc::new(Arbiter::attach(blind, address, None).await.unwrap());
    fetched(world, bobs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_the_peer_takes_no_part_in_is_refused_and_the_channel_goes_on() {
    let apps = Arc::new(sdk::apps::Registry::in_memory(e2e_tests::LIMITS.call_weight));
    let known = Arc::clone(&apps);
    let stage = Stage::with(|alice| alice.apps = apps).await;
    let unknown = protocol::Hash([5; 32]);
    match stage.alices.create_contract(unknown, Pair::new(0, 0), Vec::new()).await {
        Err(NodeError::Misuse(Misuse::Change(ChangeFault::CodeUnknown(code)))) => assert_eq!(code, unknown),
        other => panic!("{other:?}"),
    }
    // Alice knows it, Bob does not take part in it.
    let escrow = known.add(&e2e_tests::app_code("escrow")).unwrap();
    let refused =
        within("Bob's word", stage.alices.create_contract(escrow, Pair::new(0, 0), (0_u8, 50_u32).encode())).await;
    assert!(matches!(refused, Err(NodeError::PaymentRefused { code: RefusalCode::POLICY, .. })), "{refused:?}");
    let _paid = stage.alices.pays(UNIT, "goes on").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_the_app_refuses_fails_by_name_and_those_around_it_are_made() {
    let stage = Stage::new().await;
    let contract = stage.begin(5, UNIT).await;
    let call = |by: u64| Change::CallContract { contract, value: 0, input: by.encode() };
    // Beyond the goal: the app says no.
    let (first, beyond, last) = within("all three", async {
        tokio::join!(
            stage.alices.make(vec![call(1)]),
            stage.alices.make(vec![call(9)]),
            stage.alices.make(vec![call(1)])
        )
    })
    .await;
    assert!(first.is_ok() && last.is_ok(), "{first:?} {last:?}");
    match beyond {
        Err(NodeError::ChangeFailed { fault: ChangeFault::Call(CallFault::Refused), .. }) => {}
        other => panic!("{other:?}"),
    }
    let Made { outcomes, .. } = within("many calls", stage.alices.make(vec![call(1), call(1)])).await.unwrap();
    assert_eq!(outcomes.len(), 2);
    let unknown = ContractId([7; 32]);
    match stage.alices.call_contract(unknown, 0, Vec::new()).await {
        Err(NodeError::Misuse(Misuse::ContractUnknown(id))) => assert_eq!(id, unknown),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract_is_removed_when_the_other_user_agrees_and_not_otherwise() {
    let stage = Stage::new().await;
    let contract = stage.begin(5, 10 * UNIT).await;
    let shares = Pair::new(6 * UNIT, 4 * UNIT);
    for agrees in [false, true] {
        let removing = tokio::spawn({
            let alices = stage.alices.clone();
            async move { alices.remove_contract(contract, shares).await }
        });
        let proposed = |event: &Event| match event {
            Event::Proposed { round, .. } => Some(*round),
            _ => None,
        };
        let asked = until("Bob to be asked", || async {
            let about = stage.bob.events.about(stage.bobs.reference());
            let rounds: Vec<_> = about.iter().filter_map(proposed).collect();
            (rounds.len() == usize::from(agrees) + 1).then(|| rounds[usize::from(agrees)])
        })
        .await;
        if agrees {
            within("Bob's word", stage.bobs.accept(asked)).await.unwrap();
            let _round = within("the removal", removing).await.unwrap().unwrap();
        } else {
            within("Bob's word", stage.bobs.refuse(asked, RefusalCode::APPLICATION)).await.unwrap();
            let refused = within("the refusal", removing).await.unwrap();
            assert!(matches!(refused, Err(NodeError::PaymentRefused { .. })), "{refused:?}");
        }
    }
    assert_eq!((stage.alices.has().await.ours, stage.bobs.has().await.ours), (96 * UNIT, 104 * UNIT));
    assert_eq!(stage.bobs.contract(contract).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_peer_is_overtaken_on_chain_and_on_its_return_both_go_on_without_closing() {
    let mut stage = Stage::new().await;
    let contract = stage.begin(10, 10 * UNIT).await;
    assert_eq!(count(&stage.bobs, contract, 3, 0).await.0, 3);
    let (before, fees) = (stage.world.coins().await, &stage.world.recorder);
    stage.bob.stop_and_wait().await;
    // Alice goes on alone, twice in one transaction and once in another.
    let done =
        within("forced calls", stage.alices.force(vec![forced(contract, 1), forced(contract, 2)])).await.unwrap();
    assert_eq!(done.len(), 2);
    let done = within("another forced call", stage.alices.force(vec![forced(contract, 1)])).await.unwrap();
    let Outcome::Called { output, .. } = &done[0].outcome else { panic!("{done:?}") };
    assert_eq!(*output, 7_u64.encode());
    // Bob comes back, sees it on chain, and counts on from there.
    let config = stage.world.config("bob");
    stage.world.give_app(&config, &stage.counter).await;
    stage.bob = stage.world.start_with("bob", |it| *it = config).await;
    stage.alice.connect(&stage.bob).await;
    stage.bobs = stage.bob.channel(&stage.alice, stage.alices.reference()).await;
    assert_eq!(count(&stage.bobs, contract, 1, 0).await.0, 8);
    assert_eq!(count(&stage.alices, contract, 2, 0).await, (10, Pair::new(10 * UNIT, 0)));
    let _paid = stage.bobs.pays(UNIT, "no hard feelings").await;
    let _closed = within("the close", stage.bobs.close(0)).await.unwrap();
    let gains = [(stage.alice.account(), 101 * UNIT.cast_signed()), (stage.bob.account(), 99 * UNIT.cast_signed())];
    stage.world.coins().await.check(&before, fees, &gains);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_the_peer_leaves_unanswered_are_forced_by_themselves() {
    let stage = Stage::with(|alice| alice.channels.force_after = Some(1)).await;
    let contract = stage.begin(2, 10 * UNIT).await;
    let Stage { alices, bob, .. } = &stage;
    within("Bob's node to stop", bob.node.clone().stop()).await;
    let (one, two) = within("both calls", async {
        tokio::join!(
            alices.call_contract(contract, 0, 1_u64.encode()),
            alices.call_contract(contract, 0, 1_u64.encode())
        )
    })
    .await;
    assert_eq!(one.unwrap().output, 1_u64.encode());
    assert_eq!(two.unwrap().payouts, Pair::new(10 * UNIT, 0));
    assert_eq!(alices.has().await.ours, 100 * UNIT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_contracts_hold_at_the_end_is_to_be_had_by_force() {
    let stage = Stage::new().await;
    let contract = stage.begin(4, 10 * UNIT).await;
    let before = stage.world.coins().await;
    match stage.alices.close(0).await {
        Err(NodeError::Misuse(Misuse::ContractsHoldCoins { held })) => assert_eq!(held, 10 * UNIT),
        other => panic!("{other:?}"),
    }
    let closing = tokio::spawn({
        let bobs = stage.bobs.clone();
        async move { bobs.close_solo().await }
    });
    let solo = |event: &Event| matches!(event, Event::ClosingSolo { .. }).then_some(());
    stage.alice.events.wait("the close", stage.alices.reference(), solo).await;
    // While closing: Alice counts on.
    let _done = within("a forced call", stage.alices.force(vec![forced(contract, 1)])).await.unwrap();
    let residual = |event: &Event| match event {
        Event::Residual { held, .. } => Some(*held),
        _ => None,
    };
    stage.world.pass(200).await;
    let held = stage.bob.events.wait("what is left", stage.bobs.reference(), residual).await;
    assert_eq!(held, 10 * UNIT);
    let _held = stage.alice.events.wait("what is left", stage.alices.reference(), residual).await;
    // Bob reaches the goal, with nobody's help.
    let done = within("the last call", stage.bobs.force(vec![forced(contract, 3)])).await.unwrap();
    assert!(matches!(&done[0].outcome, Outcome::Called { payouts, .. } if payouts.responder == 10 * UNIT));
    let _closed = within("Bob's end", closing).await.unwrap().unwrap();
    let _closed = within("Alice's end", stage.alices.closed()).await;
    let gains = [(stage.alice.account(), 90 * UNIT.cast_signed()), (stage.bob.account(), 110 * UNIT.cast_signed())];
    stage.world.coins().await.check(&before, &stage.world.recorder, &gains);
}
