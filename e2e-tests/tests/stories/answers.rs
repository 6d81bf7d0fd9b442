//! A chain whose answers come late: what a transaction has done is in a block, and told, before whoever sent it hears that it is.

use channel::{Certainty, Outcome};
use e2e_tests::{Actor, Impaired, UNIT, World, until, within};
use protocol::{
    Pair, Rejection,
    call::ForcedCall,
    contracts::{CallFault, ContractId},
};
use scale::Encode;
use sdk::{chain::Arbiter, node::ChannelHandle};
use std::sync::Arc;

/// Alice, whose chain's answers come late, with a contract in a channel with Bob, who is away.
struct Stage {
    late: Arc<Impaired>,
    alice: Actor,
    channel: ChannelHandle,
    contract: ContractId,
}

impl Stage {
    async fn new(world: &World) -> Self {
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
        Self { late, alice, channel, contract }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_step_forced_before_the_first_has_answered_needs_no_further_block() {
    let world = World::new().await;
    let Stage { late, alice: _alice, channel, contract } = Stage::new(&world).await;
    let call = |by: u64| vec![ForcedCall { contract, value: 0, input: by.encode() }];
    late.hold(true);
    let _done = within("the first step's event", channel.force(call(1), Certainty::ConfirmedByPeer)).await.unwrap();
    let second = tokio::spawn({
        let (channel, call) = (channel.clone(), call(2));
        async move { channel.force(call, Certainty::ConfirmedByPeer).await }
    });
    until("the second step to be wanted", || async { channel.status().await.unwrap().forcing.then_some(()) }).await;
    late.hold(false);
    let done = within("the second step", second).await.unwrap().unwrap();
    assert!(matches!(&done[0].outcome, Outcome::Called { output, .. } if *output == 3_u64.encode()), "{done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_was_refused_for_a_reason_that_a_block_has_done_away_with_needs_no_further_block() {
    let world = World::new().await;
    let Stage { late, alice: _alice, channel, contract } = Stage::new(&world).await;
    let call = vec![ForcedCall { contract, value: 0, input: 1_u64.encode() }];
    // The answer of a node that tries calls in the block that is there.
    late.refuse_once(Rejection::CallFailed { round: 4, fault: CallFault::Refused });
    late.hold(true);
    let forcing = tokio::spawn({
        let channel = channel.clone();
        async move { channel.force(call, Certainty::ConfirmedByPeer).await }
    });
    until("the step to be wanted", || async { channel.status().await.unwrap().forcing.then_some(()) }).await;
    world.pass(1).await;
    let head = world.chain.block_number();
    until("the block to be seen", || async { (channel.head().await.unwrap() >= head).then_some(()) }).await;
    late.hold(false);
    let done = within("the step", forcing).await.unwrap().unwrap();
    assert!(matches!(&done[0].outcome, Outcome::Called { output, .. } if *output == 1_u64.encode()), "{done:?}");
}
