//! Channels whose peer's task does not follow the chain are defended all the same (R6.9e).

use e2e_tests::{Actor, Asked, UNIT, World, signer, within};
use protocol::call::Call;
use sdk::node::{ChannelHandle, DefenceCause, NodeError};
use tracing_subscriber::{Layer, layer::SubscriberExt};

/// Bob pays Alice, and has kept his proof of the state before.
async fn pays_and_regrets(alices: &ChannelHandle, bobs: &ChannelHandle) -> Call {
    let old = Call::ChannelCloseSolo(bobs.evidence().await.unwrap().unwrap());
    let _paid = bobs.pays(40 * UNIT, "what Bob regrets").await;
    let _paid = alices.pays(UNIT, "change").await;
    old
}

/// Whoever logs that a connection is lost breaks down.
struct Fatal;

impl<S: tracing::Subscriber> Layer<S> for Fatal {
    fn on_event(&self, event: &tracing::Event<'_>, _ctx: tracing_subscriber::layer::Context<'_, S>) {
        let mut lost = false;
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            lost |= field.name() == "message" && format!("{value:?}") == "connection lost";
        });
        assert!(!lost, "a fault of this program, for this story");
    }
}

async fn answers(world: &World, alice: &Actor, old: &Call) {
    let _done = within("Bob's close", world.arbiter.call(&signer("bob"), old, 0)).await.unwrap();
    let answered = async || (world.recorder.count("channel_slash").await == 1).then_some(());
    e2e_tests::until("the answer", answered).await;
    assert_eq!(alice.node.defended_peers().len(), 1);
}

#[tokio::test]
async fn a_task_that_has_broken_down_leaves_its_channels_to_the_defence() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let old = pays_and_regrets(&alices, &bobs).await;
    let (peer, channel) = (bob.identity(), alices.reference());
    let mut events = alice.node.events();
    {
        let _fatal = tracing::subscriber::set_default(tracing_subscriber::registry().with(Fatal));
        bob.stop_and_wait().await;
        e2e_tests::until("the task to be over", async || (!alice.node.defended_peers().is_empty()).then_some(())).await;
    }
    let refused = alices.pay(1, "").await;
    assert!(matches!(refused, Err(NodeError::DefendOnly(_))), "{refused:?}");
    let told = async {
        loop {
            let told = events.next().await.unwrap();
            if let Some(channel::Notice::DefendOnly { .. }) = told.event.notice() {
                return (told.peer, told.reference);
            }
        }
    };
    assert_eq!(within("the notice", told).await, (peer, channel));
    assert!(matches!(alice.node.defended_peers()[0].cause, DefenceCause::Over(_)));
    // Nor is the peer heard any more: a new task would know of no channel with it.
    let bob = world.start("bob").await;
    let refused = within("the refusal", alice.node.connect(&bob.address())).await;
    assert!(matches!(refused, Err(NodeError::DefendOnly(_))), "{refused:?}");
    bob.stop_and_wait().await;
    answers(&world, &alice, &old).await;

    // A restart looks at everything again, and the channel goes on to its end.
    alice.stop_and_wait().await;
    let alice = world.start("alice").await;
    assert_eq!(alice.node.defended_peers(), []);
    let channels = within("the list of channels", alice.node.channels(peer)).await.unwrap();
    let alices = channels.into_iter().find(|known| known.reference() == channel).unwrap();
    let id = alices.status().await.unwrap().channel.unwrap();
    let unlock_at = world.arbiter.channel(id).await.unwrap().unwrap().closing().unwrap().unlock_at;
    world.pass_lock(unlock_at).await;
    let gone = async || world.arbiter.channel(id).await.unwrap().is_none().then_some(());
    e2e_tests::until("the settlement", gone).await;
    assert_eq!(alice.node.vault_balance().await.unwrap(), 900 * UNIT);
}
