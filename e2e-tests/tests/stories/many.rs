//! Many channels, many peers.

use e2e_tests::{Asked, UNIT, World, terms, within};
use futures::future::join_all;
use protocol::ChannelId;
use sdk::node::{ChannelHandle, OpenChannel};
use std::collections::BTreeSet;

async fn id(channel: &ChannelHandle) -> ChannelId {
    channel.status().await.unwrap().channel.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_channels_with_one_peer_are_opened_at_once_in_both_directions() {
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    let terms = OpenChannel { our_share: 20 * UNIT, peer_share: 20 * UNIT, ..terms() };
    let forth = join_all((0..10).map(|_| alice.open_on(&bob, terms)));
    let back = join_all((0..10).map(|_| bob.open_on(&alice, terms)));
    let (forth, back) = tokio::join!(forth, back);
    let mut ids = BTreeSet::new();
    for (ours, theirs) in forth.iter().chain(&back) {
        let _paid = ours.pays(UNIT, "hello").await;
        assert_eq!((theirs.has().await.ours, id(ours).await), (21 * UNIT, id(theirs).await));
        assert!(ids.insert(id(ours).await), "each has its own place on chain");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_has_channels_with_ten_peers_at_once() {
    let world = World::new().await;
    let hub = world.start_rich("hub", 2_000 * UNIT).await;
    let names = ["peer0", "peer1", "peer2", "peer3", "peer4", "peer5", "peer6", "peer7", "peer8", "peer9"];
    let peers = join_all(names.map(|name| world.start_rich(name, 200 * UNIT))).await;
    let lives = peers.iter().map(|peer| async {
        peer.connect(&hub).await;
        let (peers, hubs) = peer.open(&hub).await;
        for number in 1..=10_u32 {
            let _paid = peers.pays(UNIT, &format!("{} {number}", peer.name)).await;
        }
        let _paid = hubs.pays(5 * UNIT, "back").await;
        (peers, hubs)
    });
    let channels = within("ten lives at once", join_all(lives)).await;
    for ((peers, hubs), peer) in channels.iter().zip(&peers) {
        assert_eq!((peers.has().await.ours, hubs.has().await.ours), (95 * UNIT, 105 * UNIT));
        let said: Vec<_> = (1..=10).map(|number| format!("{} {number}", peer.name).into_bytes()).collect();
        let heard = hub.events.wait_received(hubs.reference(), 10).await.into_iter().map(|payment| payment.reference);
        assert_eq!(heard.collect::<Vec<_>>(), said);
    }
    let closes = join_all(channels.iter().map(|(peers, _)| peers.close(0)));
    assert!(within("ten closes", closes).await.into_iter().all(|closed| closed.is_ok()));
}
