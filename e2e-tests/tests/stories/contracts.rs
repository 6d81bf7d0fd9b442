//! Contracts inside a channel: where an app comes from, and what is refused. What both chains are told is in [`e2e_tests::stories::contracts`].

use channel::{Change, ChangeFault, Misuse, Notice, RefusalCode};
use e2e_tests::{
    Asked, Impaired, UNIT, World,
    stories::contracts::{Stage, count},
    until, within,
};
use protocol::{
    Pair,
    contracts::{CallFault, ContractId},
};
use scale::Encode;
use sdk::{
    chain::Arbiter,
    node::{ChangesReceipt, NodeConfig, NodeError},
};
use std::sync::Arc;

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
    let world = World::new().await;
    let stage = Stage::with(&world, |alice| alice.apps = apps).await;
    let unknown = protocol::Hash([5; 32]);
    match stage.alices.create_contract(unknown, Pair::new(0, 0), Vec::new()).await {
        Err(NodeError::Misuse(Misuse::Change(ChangeFault::CodeUnknown(code)))) => assert_eq!(code, unknown),
        other => panic!("{other:?}"),
    }
    // Alice knows it, Bob does not take part in it.
    let escrow = known.add(&e2e_tests::app_code("escrow")).unwrap();
    let refused = within("Bob's word", stage.alices.create_contract(escrow, Pair::new(0, 0), 50_u32.encode())).await;
    assert!(matches!(refused, Err(NodeError::PaymentRefused { code: RefusalCode::POLICY, .. })), "{refused:?}");
    let _paid = stage.alices.pays(UNIT, "goes on").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_the_app_refuses_fails_by_name_and_those_around_it_are_made() {
    let world = World::new().await;
    let stage = Stage::new(&world).await;
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
    let ChangesReceipt { outcomes, .. } =
        within("many calls", stage.alices.make(vec![call(1), call(1)])).await.unwrap();
    assert_eq!(outcomes.len(), 2);
    let unknown = ContractId([7; 32]);
    match stage.alices.call_contract(unknown, 0, Vec::new()).await {
        Err(NodeError::Misuse(Misuse::ContractUnknown(id))) => assert_eq!(id, unknown),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract_is_removed_when_the_other_user_agrees_and_not_otherwise() {
    let world = World::new().await;
    let stage = Stage::new(&world).await;
    let contract = stage.begin(5, 10 * UNIT).await;
    let shares = Pair::new(6 * UNIT, 4 * UNIT);
    for agrees in [false, true] {
        let removing = tokio::spawn({
            let alices = stage.alices.clone();
            async move { alices.remove_contract(contract, shares).await }
        });
        let proposed = |notice: &Notice| match notice {
            Notice::Proposed { proposal, .. } => Some(*proposal),
            _ => None,
        };
        let asked = until("Bob to be asked", || async {
            let about = stage.bob().events.notices(stage.bobs.reference());
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
async fn an_app_that_was_accepted_is_accepted_after_a_restart_until_it_is_refused() {
    let world = World::new().await;
    let counter = world.deploy_app("counter").await;
    let (alices, bobs) = (world.config("alice"), world.config("bob"));
    world.give_app(&alices, &counter).await;
    // Before its node runs, and so before there is a store.
    world.give_app(&bobs, &counter).await;
    let (alice, bob) = world.couple_on(alices, bobs).await;
    let (alices, bobs) = alice.open(&bob).await;
    let channel = bobs.reference();
    let begin = || alices.create_contract(counter.code, Pair::new(UNIT, 0), 3_u64.encode());
    drop(bobs);
    bob.stop_and_wait().await;
    // Nobody tells the new process of apps.
    let bob = world.start("bob").await;
    alice.connect(&bob).await;
    let _contract = within("a contract", begin()).await.unwrap();
    within("a refusal", bob.node.apps().refuse(&counter.code)).await.unwrap();
    bob.stop_and_wait().await;
    let bob = world.start("bob").await;
    alice.connect(&bob).await;
    let refused = within("a contract", begin()).await;
    assert!(matches!(refused, Err(NodeError::PaymentRefused { code: RefusalCode::POLICY, .. })), "{refused:?}");
    // While it runs.
    let terms = sdk::apps::AppTerms { deployed: counter.deployed, worthless_when_empty: false };
    let asker = e2e_tests::account("bob");
    let accepting = bob.node.apps().accept(bob.node.arbiter(), &asker, counter.code, terms);
    within("a look at the app", accepting).await.unwrap();
    bob.stop_and_wait().await;
    let bob = world.start("bob").await;
    alice.connect(&bob).await;
    let _contract = within("a contract", begin()).await.unwrap();
    let _known = bob.channel(&alice, channel).await;
}
