//! A chain whose answers come late: what a transaction has done is in a block, and told, before whoever sent it hears that it is.

use channel::Outcome;
use e2e_tests::{Impaired, UNIT, World, until, within};
use protocol::{Pair, call::ForcedCall};
use scale::Encode;
use sdk::chain::Arbiter;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_step_forced_before_the_first_has_answered_needs_no_further_block() {
    let world = World::new().await;
    let counter = world.deploy_app("counter").await;
    let late = Arc::new(Impaired::with_late_answers(world.recorder.clone()));
    let address = world.arbiter.info().domain.arbiter;
    let arbiter = within("the arbiter", Arbiter::attach(late.clone(), address, None)).await.unwrap();
    let (mut alices, bobs) = (world.config("alice"), world.config("bob"));
    alices.arbiter = Arc::new(arbiter);
    for config in [&alices, &bobs] {
        world.give_app(config, &counter).await;
    }
    let (alice, bob) = world.couple_on(alices, bobs).await;
    let (channel, _bobs) = alice.open(&bob).await;
    let creating = channel.create_contract(counter.code, Pair::new(UNIT, 0), 5_u64.encode());
    let contract = within("a contract", creating).await.unwrap().contract;
    bob.stop_and_wait().await;

    let call = |by: u64| vec![ForcedCall { contract, value: 0, input: by.encode() }];
    late.hold(true);
    let _done = within("the first step's event", channel.force(call(1))).await.unwrap();
    let second = tokio::spawn({
        let (channel, call) = (channel.clone(), call(2));
        async move { channel.force(call).await }
    });
    until("the second step to be wanted", || async { channel.status().await.unwrap().forcing.then_some(()) }).await;
    late.hold(false);
    let done = within("the second step", second).await.unwrap().unwrap();
    assert!(matches!(&done[0].outcome, Outcome::Called { output, .. } if *output == 3_u64.encode()), "{done:?}");
}
