//! Many channels at once.

use crate::{Actor, Asked, TestChain, UNIT, World, terms, within};
use futures::future::join_all;
use sdk::node::OpenChannel;
use std::time::Instant;

/// A hub, and ten peers with ten channels each.
pub async fn a_hub_opens_a_hundred_channels_at_once<C: TestChain>(world: &World<C>) {
    let before = world.coins().await;
    let hub = world.start_rich("hub", 2_000 * UNIT).await;
    let names = ["peer0", "peer1", "peer2", "peer3", "peer4", "peer5", "peer6", "peer7", "peer8", "peer9"];
    let peers: Vec<Actor> = join_all(names.map(|name| world.start_rich(name, 200 * UNIT))).await;
    for peer in &peers {
        hub.connect(peer).await;
    }
    let terms = OpenChannel { our_share: 15 * UNIT, peer_share: 15 * UNIT, ..terms() };
    let began = Instant::now();
    // Ten with each of ten peers, all asked for at once: the hub submits them all.
    let opening = join_all(peers.iter().flat_map(|peer| (0..10).map(|_| hub.open_on(peer, terms))));
    let channels = within("a hundred channels", opening).await;
    println!("100 channels of one hub were open after {:?}", began.elapsed());
    for (hubs, peers) in &channels {
        let _paid = hubs.pays(UNIT, "hello").await;
        assert_eq!(peers.has().await.ours, 16 * UNIT);
    }
    assert_eq!(world.recorder.count("channel_create").await, 100);
    assert!(world.recorder.entries().iter().all(|entry| entry.receipt.is_some()), "no fee was paid in vain");
    let began = Instant::now();
    let closes = join_all(channels.iter().map(|(hubs, _)| hubs.close(0)));
    let failed: Vec<_> = within("a hundred closes", closes).await.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{failed:?}");
    println!("100 channels of one hub were closed after {:?}", began.elapsed());
    let mut gains = vec![(hub.account(), -100 * UNIT.cast_signed())];
    gains.extend(peers.iter().map(|peer| (peer.account(), 10 * UNIT.cast_signed())));
    world.coins().await.check(&before, &gains);
}
