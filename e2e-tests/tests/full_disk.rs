//! A disk that takes nothing more: what is agreed is defended all the same (R6.9e).
//!
//! The limit that stands for the full disk is the whole process's, so this story has a program of its own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use e2e_tests::{Asked, UNIT, World, signer, within};
use protocol::call::Call;
use rustix::process::{Resource, Rlimit, setrlimit};
use sdk::node::{DefenceCause, EventsError, NodeError};
use std::sync::{Arc, atomic::AtomicBool};

/// From now on no file of this process can be written beyond its first kilobyte.
fn fill_the_disk() {
    let _told = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false))).unwrap();
    setrlimit(Resource::Fsize, Rlimit { current: Some(1_024), maximum: None }).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_close_is_answered_although_the_disk_takes_nothing_more() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let old = Call::ChannelCloseSolo(bobs.evidence().await.unwrap().unwrap());
    let _paid = bobs.pays(40 * UNIT, "what Bob regrets").await;
    let _paid = alices.pays(UNIT, "change").await;
    let channel = alices.status().await.unwrap().channel.unwrap();
    let mut events = alice.node.events();
    drop(bobs);
    bob.stop_and_wait().await;

    fill_the_disk();
    let _done = within("Bob's close", world.arbiter.call(&signer("bob"), &old, 0)).await.unwrap();
    e2e_tests::until("the answer", async || (world.recorder.count("channel_slash").await == 1).then_some(())).await;
    let refused = alices.pay(1, "").await;
    assert!(matches!(refused, Err(NodeError::DefendOnly(_))), "{refused:?}");
    let ended = async {
        loop {
            if let Err(end @ (EventsError::DefendOnly(_) | EventsError::Stopped)) = events.next().await {
                return end;
            }
        }
    };
    assert!(matches!(within("the end of events", ended).await, EventsError::DefendOnly(_)));
    let defended_peers = alice.node.defended_peers();
    let [defended] = &defended_peers[..] else { panic!("{defended_peers:?}") };
    assert_eq!((defended.peer, &*defended.channels), (bob_identity(), &[alices.reference()][..]));
    assert!(matches!(&defended.cause, DefenceCause::Over(cause) if cause.contains("store")), "{defended:?}");

    // And settled, once that is possible.
    let unlock_at = world.arbiter.channel(channel).await.unwrap().unwrap().closing().unwrap().unlock_at;
    world.pass_lock(unlock_at).await;
    let gone = async || world.arbiter.channel(channel).await.unwrap().is_none().then_some(());
    e2e_tests::until("the settlement", gone).await;
    assert_eq!(alice.node.vault_balance().await.unwrap(), 900 * UNIT);
    within("the node to stop", alice.node.stop()).await;
}

fn bob_identity() -> protocol::PublicKey {
    e2e_tests::identity("bob").public()
}
