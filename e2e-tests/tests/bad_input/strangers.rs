//! Strangers in the way of honest newcomers, and honest peers that are taken for strangers or for hostile ones (R6.9c).

use crate::Witness;
use channel::{ChannelAccept, ChannelOpen, ChannelRef, Event, Message, Payment, transfer::TransferLimits};
use e2e_tests::{
    Actor, Impaired, UNIT, World,
    hostile::{Intruder, funding_created, party_terms},
    terms, within,
};
use protocol::{BlockNumber, Pair};
use sdk::{
    chain::Arbiter,
    node::{Cause, OpenChannel, Packet},
};
use std::sync::Arc;

/// What somebody proposes who has no coins at all.
fn opening(world: &World, name: &str) -> ChannelOpen {
    let info = world.arbiter.info();
    ChannelOpen {
        domain: info.domain,
        code_hash: info.code_hash,
        initiator: party_terms(name),
        reserve: 10 * UNIT,
        lock_period: 20,
        penalty: 0,
        max_forced: 1,
        balances: Pair::new(100 * UNIT, 20 * UNIT),
        shares: Pair::new(120 * UNIT, 0),
        validity: info.limits.validity_max,
        transfers: TransferLimits::default(),
    }
}

/// A channel's name belongs to one peer: each has its own.
fn named(name: &str, number: u8) -> ChannelRef {
    let mut bytes = [number; 16];
    for (byte, of_name) in bytes.iter_mut().zip(name.bytes().take(15)) {
        *byte = of_name;
    }
    ChannelRef(bytes)
}

/// `name` has so many openings signed by Bob, and goes. Nothing of it is ever put on chain.
async fn has_openings_signed(world: &World, bob: &Actor, name: &str, count: u8) -> usize {
    let mut stranger = Intruder::connect(name, "bob", bob.socket()).await;
    let open = opening(world, name);
    let domain = world.arbiter.info().domain;
    let valid_until = world.chain.block_number() + open.validity;
    for number in 0..count {
        stranger.say(named(name, number), Message::ChannelOpen(open.clone())).await;
    }
    let mut signed = 0;
    let mut answered = 0;
    while answered < count {
        match stranger.hear().await {
            Some(Packet::Channel(reference, Message::ChannelAccept(ChannelAccept { responder, .. }))) => {
                let body = open.body(&responder, valid_until);
                let nonce = u64::from(reference.0[15]);
                stranger.say(reference, funding_created(name, &domain, &body, nonce)).await;
            }
            Some(Packet::Channel(_, Message::FundingSigned(_))) => (signed, answered) = (signed + 1, answered + 1),
            Some(_refused) => answered += 1,
            None => panic!("Bob hung up"),
        }
    }
    signed
}

/// Identities cost nothing, and what Bob has signed keeps its place until it expires: one address, one connection at a time, no coins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_without_coins_does_not_keep_newcomers_from_opening() {
    let witness = Witness::new().await;
    let names: Vec<_> = (0..32).map(|number| format!("nobody{number}")).collect();
    let mut signed = 0;
    for name in &names {
        signed += has_openings_signed(&witness.world, &witness.bob, name, 32).await;
    }
    assert_eq!(signed, 0, "whoever has no coins gets no signature");
    assert_eq!(witness.bob.node.counters().of(Cause::OpeningUnfunded), 1_024);
    let newcomer = witness.world.start_rich("peer0", 200 * UNIT).await;
    newcomer.connect(&witness.bob).await;
    let opened = newcomer.try_open(&witness.bob, OpenChannel { peer_share: 0, push: 20 * UNIT, ..terms() }).await;
    assert!(opened.is_ok(), "{:?}", opened.err());
}

/// A chain of one's own that tells of no block from now on.
async fn blind(world: &World) -> (Arc<Impaired>, Arc<Arbiter>) {
    let chain = Arc::new(Impaired::with_late_answers(world.recorder.clone()));
    let address = world.arbiter.info().domain.arbiter;
    let arbiter = within("the arbiter", Arbiter::attach(chain.clone(), address, None)).await.unwrap();
    (chain, Arc::new(arbiter))
}

fn long(count: u32) -> Vec<Payment> {
    let reference = |number: u32| [&number.to_be_bytes()[..], &[7; 60]].concat();
    (0..count).map(|number| Payment { amount: 1, reference: reference(number) }).collect()
}

/// Bob was restarted between his signature on the opening and its block.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_whose_channel_opened_after_a_restart_is_no_stranger() {
    let world = World::new().await;
    let (chain, arbiter) = blind(&world).await;
    let alice = world.start_rich("alice", 200 * UNIT).await;
    let bob = world.start_with("bob", |config| config.arbiter = arbiter).await;
    alice.connect(&bob).await;
    chain.show_up_to(world.chain.block_number());
    let opening = tokio::spawn({
        let (node, peer) = (alice.node.clone(), bob.identity());
        async move { node.open_channel(peer, OpenChannel { peer_share: 0, push: 20 * UNIT, ..terms() }).await }
    });
    let signed = |event: &sdk::node::NodeEvent| {
        matches!(event.event.event(), Some(Event::Signed { .. })).then_some(event.reference)
    };
    let channel = bob.events.wait_any("both signatures", signed).await;
    bob.stop_and_wait().await;
    chain.show_up_to(BlockNumber::MAX);

    let bob = world.start("bob").await;
    alice.connect(&bob).await;
    let alices = within("the channel to open", opening).await.unwrap().unwrap();
    let _bobs = bob.view_of(&alice, channel).await;
    let paying = alices.pay_all(long(1_000));
    let paid = tokio::time::timeout(std::time::Duration::from_secs(20), paying).await;
    assert_eq!(bob.node.counters().of(Cause::MessageTooLong), 0, "a round of an open channel is no stranger's message");
    let _paid = paid.expect("the payments are made").unwrap();
}

/// What waited while two nodes could not reach each other is said at once when they can: as much as both have signed for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_rounds_of_many_channels_after_a_reconnect_are_no_reason_to_hang_up() {
    const CHANNELS: usize = 26;
    let world = World::new().await;
    let (alice, bob) = world.couple().await;
    let small = OpenChannel { our_share: 30 * UNIT, peer_share: 0, push: 10 * UNIT, ..terms() };
    let opened = futures::future::join_all((0..CHANNELS).map(|_| alice.open_on(&bob, small))).await;
    bob.stop_and_wait().await;
    let paying: Vec<_> = opened
        .iter()
        .map(|(alices, _)| {
            let alices = alices.clone();
            tokio::spawn(async move { alices.pay_all(long(16_384)).await })
        })
        .collect();
    for (alices, _) in &opened {
        e2e_tests::until("the payments to wait", async || {
            (alices.status().await.unwrap().pending == 16_384).then_some(())
        })
        .await;
    }
    let bob = world.start("bob").await;
    alice.connect(&bob).await;
    let all = futures::future::join_all(paying);
    let done = tokio::time::timeout(std::time::Duration::from_secs(45), all).await;
    assert_eq!(alice.node.counters().of(Cause::Unread), 0, "Bob reads as fast as he can");
    assert!(done.is_ok(), "all is paid over one connection");
}

/// Whether whoever is here is still served once somebody else has come, which leaves no place for both.
async fn stays_beside(first: &mut Intruder, bob: &Actor) -> bool {
    let mut second = Intruder::connect("peer2", "bob", bob.socket()).await;
    for _ in 0..5 {
        if !second.is_served().await || !first.is_served().await {
            return false;
        }
    }
    true
}

/// A stranger lets go of one connection in the very moment in which its next one is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_that_changes_connections_keeps_no_place_beyond_those_there_are() {
    let witness = Witness::with(|config| {
        config.limits.strangers = 1;
        config.limits.strangers_per_address = 1;
    })
    .await;
    for attempt in 0..400_u32 {
        let old = Intruder::connect("peer1", "bob", witness.bob.socket()).await;
        let mut new = Intruder::connect("peer1", "bob", witness.bob.socket()).await;
        let began = std::time::Instant::now();
        while began.elapsed() < std::time::Duration::from_micros(u64::from(attempt % 100) * 5) {
            std::hint::spin_loop();
        }
        drop(old);
        assert!(!new.is_served().await || !stays_beside(&mut new, &witness.bob).await, "attempt {attempt}");
    }
}
