//! What peers do to a node's time, memory, places and events: each is slowed, refused or cut off by its own cause, and others notice nothing
//! (R6.9c).

use crate::Witness;
use channel::{ChannelOpen, ChannelRef, Event, Message, Notice, RefusalCode, transfer::TransferLimits};
use e2e_tests::{
    Actor, Asked, Impaired, UNIT, World,
    hostile::{Intruder, RawSession, connect_from, party_terms},
    identity, terms, until, within,
};
use protocol::Pair;
use sdk::{
    chain::Arbiter,
    node::{Cause, EventStream, NodeConfig, NodeEvent, OpenChannel, Packet},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpStream;

/// An opening that suits everybody's policy, by a stranger.
fn opening(world: &World, name: &str) -> Message {
    let info = world.arbiter.info();
    let OpenChannel { reserve, lock_period, penalty, max_forced, validity, .. } = terms();
    Message::ChannelOpen(ChannelOpen {
        domain: info.domain,
        code_hash: info.code_hash,
        initiator: party_terms(name),
        reserve,
        lock_period,
        penalty,
        max_forced,
        balances: Pair::new(100 * UNIT, 10 * UNIT),
        shares: Pair::new(110 * UNIT, 0),
        validity,
        transfers: TransferLimits::default(),
    })
}

/// The reference of an opening with this number.
fn reference(number: u8) -> ChannelRef {
    ChannelRef([number; 16])
}

/// Waits until a node has counted a cause.
async fn counted(actor: &Actor, cause: Cause) {
    until(cause.name(), async || (actor.node.counters().of(cause) > 0).then_some(())).await;
}

/// Everything that waits in a stream, up to and with the first event that `last` takes.
async fn read_up_to(events: &mut EventStream, last: impl Fn(&NodeEvent) -> bool) -> Vec<NodeEvent> {
    let mut read = Vec::new();
    while read.last().is_none_or(|event| !last(event)) {
        read.push(within("an event", events.next()).await.expect("nothing is missed"));
    }
    read
}

/// Whether a payment with this reference was received.
fn received(event: &NodeEvent, reference: &str) -> bool {
    matches!(event.event.event(), Some(Event::Received { payments, .. }) if payments[0].reference == reference.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_pings_without_end_is_cut_off_and_a_lively_one_is_not() {
    let witness = Witness::new().await;
    let mut lively = Intruder::connect("peer1", "bob", witness.bob.socket()).await;
    for packet in [Packet::Ping, Packet::Pong] {
        let mut intruder = Intruder::connect("mallory", "bob", witness.bob.socket()).await;
        let _sent_or_cut_off = intruder.floods(&packet, 10_000).await;
        intruder.is_hung_up_on().await;
    }
    assert_eq!(witness.bob.node.counters().of(Cause::TooManyPings), 2);
    for _ in 0..20 {
        assert!(lively.is_served().await);
    }
    witness.lives_on().await;
}

#[tokio::test(flavor = "current_thread")]
async fn other_tasks_have_their_turn_while_a_peer_floods() {
    let world = World::new().await;
    let chain = Arc::new(Impaired::with_late_answers(world.recorder.clone()));
    let address = world.arbiter.info().domain.arbiter;
    let arbiter = within("the arbiter", Arbiter::attach(chain.clone(), address, None)).await.unwrap();
    let bob = world
        .start_with("bob", |config| {
            config.arbiter = Arc::new(arbiter);
        })
        .await;
    // Not a stranger: those have a thread of their own.
    let mut intruder = Intruder::dialled_by(&bob.node, "mallory").await;
    // In one thread: another task that wants nothing but its turn, and looks how many openings were handled since its last one.
    let over = Arc::new(AtomicBool::new(false));
    let other = tokio::spawn({
        let (chain, over) = (chain.clone(), over.clone());
        async move {
            let (mut most, mut before) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                let now = chain.looked();
                most = most.max(now - before);
                before = now;
                tokio::task::yield_now().await;
            }
            most
        }
    });
    const FLOOD: usize = 2_000;
    let before = chain.looked();
    assert!(intruder.floods(&Packet::Channel(reference(1), opening(&world, "alice")), FLOOD).await);
    until("the flood to be handled", async || (chain.looked() >= before + FLOOD).then_some(())).await;
    over.store(true, Ordering::Relaxed);
    let most = within("the other task", other).await.unwrap();
    // A turn and the first message of the next; a few of them, where the runtime takes another task first.
    assert!(most <= 5 * 17, "{most} messages were handled in one turn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_asks_and_does_not_read_is_cut_off_when_too_much_waits_for_it_or_for_too_long() {
    type Change = fn(&mut NodeConfig);
    let cases: [(Cause, Change); 2] = [
        (Cause::Unread, |config| config.limits.unsent = 1024 * 1024),
        (Cause::Stalled, |config| {
            config.limits.unsent = usize::MAX;
            config.timeouts.stall = Duration::from_millis(300);
        }),
    ];
    for (cause, change) in cases {
        let witness = Witness::with(change).await;
        let app = witness.world.deploy_app("counter").await;
        let code = witness.bob.node.apps().add(&app.wasm).unwrap();
        let intruder = &mut Intruder::connect("mallory", "bob", witness.bob.socket()).await;
        assert!(intruder.is_served().await, "Bob has it");
        // Bob wants a channel with it, so that it is no stranger.
        let node = witness.bob.node.clone();
        let _opening = tokio::spawn(async move {
            let terms = OpenChannel { peer_share: 0, push: 20 * UNIT, ..terms() };
            node.open_channel(identity("mallory").public(), terms).await
        });
        assert!(matches!(intruder.hear().await, Some(Packet::Channel(_, Message::ChannelOpen(_)))));
        // More than the buffers on the way can hold.
        let asks = 64 * 1024 * 1024 / app.wasm.len();
        let _sent_or_cut_off = intruder.floods(&Packet::CodeWanted { code, from: 0 }, asks).await;
        let asking = async {
            // It lives, and says so: each time the node looks again whether what waits can be written.
            let unknown = Packet::CodeWanted { code: protocol::Hash::ZERO, from: 0 };
            while intruder.floods(&unknown, 1).await {
                tokio::task::yield_now().await;
            }
        };
        within("the node to hang up", asking).await;
        assert_eq!(witness.bob.node.counters().of(cause), 1, "{cause}");
        witness.lives_on().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_no_app() {
    let witness = Witness::new().await;
    let app = witness.world.deploy_app("counter").await;
    let code = witness.bob.node.apps().add(&app.wasm).unwrap();
    let mut intruder = Intruder::connect("mallory", "bob", witness.bob.socket()).await;
    assert!(intruder.floods(&Packet::CodeWanted { code, from: 0 }, 1).await);
    assert_eq!(intruder.hear().await, Some(Packet::CodePiece { code, total: 0, from: 0, bytes: Vec::new() }));
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_before_a_channel_is_open_are_refused_and_whoever_goes_on_is_cut_off_without_cost_to_the_events_of_others()
 {
    let witness = Witness::new().await;
    // A service that is slow: it reads nothing until the end.
    let mut slow = witness.bob.node.events();
    let mut intruder = Intruder::connect("mallory", "bob", witness.bob.socket()).await;
    intruder.say(reference(1), opening(&witness.world, "mallory")).await;
    assert!(matches!(intruder.hear().await, Some(Packet::Channel(_, Message::ChannelAccept(_)))));
    let words = Packet::Channel(reference(1), Message::Inband(vec![7]));
    assert!(intruder.floods(&words, 1).await);
    let refused = Message::Error { code: RefusalCode::VALIDATION };
    assert_eq!(intruder.hear().await, Some(Packet::Channel(reference(1), refused)));
    let _sent_or_cut_off = intruder.floods(&words, 10_000).await;
    intruder.is_hung_up_on().await;
    let counters = witness.bob.node.counters();
    assert_eq!(counters.of(Cause::EventsOverflow), 1);
    assert!(counters.of(Cause::EventsWaiting) >= 1, "a stranger is slowed before it is cut off");

    let _paid = witness.alices.pays(1, "after the flood").await;
    let read = read_up_to(&mut slow, |event| received(event, "after the flood")).await;
    let of_intruder = |event: &&NodeEvent| event.peer == identity("mallory").public();
    let told = read.iter().filter(of_intruder).count();
    assert!((1..=100).contains(&told), "{told} events of a stranger");
    assert!(!read.iter().any(|event| matches!(event.event.notice(), Some(Notice::Message(_)))));
    assert!(read.iter().any(|event| matches!(event.event.notice(), Some(Notice::PeerViolated(_)))));
    drop(slow);
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_whose_events_nobody_reads_is_slowed_and_no_event_is_lost_through_it() {
    // What is told at once, up to 1,024, may come on top of the limit.
    const LIMIT: usize = 1_100;
    const WORDS: u32 = 2_000;
    let witness = Witness::with(|config| {
        config.limits.events = LIMIT;
        config.limits.slowed_messages_per_second = 1;
    })
    .await;
    let carol = witness.world.start_rich("peer1", 100 * UNIT).await;
    carol.connect(&witness.bob).await;
    let (carols, _bobs) = carol.open(&witness.bob).await;
    let mut slow = witness.bob.node.events();
    for word in 0..WORDS {
        within("words", witness.alices.send_message(word.to_be_bytes().to_vec())).await.unwrap();
    }
    counted(&witness.bob, Cause::EventsWaiting).await;
    let _paid = carols.pays(1, "in between").await;
    // Once the service reads, everything is there, in order.
    let last = |event: &NodeEvent| event.event == Notice::Message((WORDS - 1).to_be_bytes().to_vec()).into();
    let read = read_up_to(&mut slow, last).await;
    let words = read.iter().filter_map(|event| match event.event.notice() {
        Some(Notice::Message(words)) => Some(u32::from_be_bytes(words[..].try_into().unwrap())),
        _ => None,
    });
    assert!(words.eq(0..WORDS));
    let waiting = read.iter().position(|event| received(event, "in between")).unwrap();
    assert!((LIMIT..WORDS as usize).contains(&waiting), "{waiting} events went before");
    drop(slow);
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_without_a_channel_is_sent_away_however_lively_it_is() {
    let witness = Witness::with(|config| config.limits.stranger_stays = Duration::from_secs(2)).await;
    let carol = witness.world.start("peer1").await;
    witness.bob.connect(&carol).await;
    let mut intruder = Intruder::connect("mallory", "bob", witness.bob.socket()).await;
    let lively = async {
        while intruder.floods(&Packet::Channel(reference(9), Message::LeaveAck), 1).await {
            tokio::task::yield_now().await;
        }
    };
    within("the stranger to be sent away", lively).await;
    assert_eq!(witness.bob.node.counters().of(Cause::StrangerIdle), 1);
    // Nobody else was: neither Alice, nor whoever Bob has dialled himself.
    let _paid = witness.alices.pays(1, "still here").await;
    let (bobs, _carols) = witness.bob.open_on(&carol, OpenChannel { peer_share: 0, push: 10 * UNIT, ..terms() }).await;
    let _paid = bobs.pays(1, "so is she").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_give_way_to_one_another_and_never_to_their_cost_who_have_channels() {
    let witness = Witness::with(|config| {
        config.limits.strangers = 3;
        config.limits.strangers_per_address = 2;
    })
    .await;
    let socket = witness.bob.socket();
    let mut first = Intruder::connect("peer1", "bob", socket).await;
    let mut second = Intruder::connect("peer2", "bob", socket).await;
    assert!(first.is_served().await && second.is_served().await);
    let mut third = Intruder::connect("peer3", "bob", socket).await;
    assert!(third.is_served().await && second.is_served().await);
    first.is_hung_up_on().await;
    // From another address somebody still finds a place, and the next one takes it from the address with the most.
    let mut others = Vec::new();
    for (last, name) in [(2, "peer4"), (3, "peer5")] {
        others.push(RawSession::over(connect_from(last, socket).await, name, "bob").await);
    }
    second.is_hung_up_on().await;
    assert!(third.is_served().await);
    assert_eq!(witness.bob.node.counters().of(Cause::StrangerDisplaced), 2);
    let _paid = witness.alices.pays(1, "never displaced").await;
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_handshakes_of_one_address_displace_nobody_from_another() {
    let witness = Witness::new().await;
    let socket = witness.bob.socket();
    let honest = connect_from(2, socket).await;
    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(TcpStream::connect(socket).await.unwrap());
    }
    counted(&witness.bob, Cause::HandshakeDisplaced).await;
    let mut honest = RawSession::over(honest, "peer1", "bob").await;
    honest.send_plain(&[0, 0, 0, 1, 1]).await;
    let mut pong = [0; 1];
    let read = within("a pong", async { tokio::io::AsyncReadExt::read(&mut honest.stream, &mut pong).await });
    assert_eq!(read.await.unwrap(), 1);
    drop(idle);
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openings_that_are_not_on_chain_are_few_for_each_stranger_and_for_all_of_them() {
    let witness = Witness::with(|config| {
        config.limits.stranger_openings = 2;
        config.limits.strangers_openings = 3;
    })
    .await;
    let socket = witness.bob.socket();
    let busy = |packet| matches!(packet, Some(Packet::Channel(_, Message::Error { code: RefusalCode::BUSY })));
    let accepted = |packet| matches!(packet, Some(Packet::Channel(_, Message::ChannelAccept(_))));
    let mut first = Intruder::connect("mallory", "bob", socket).await;
    for number in 1..=2 {
        first.say(reference(number), opening(&witness.world, "mallory")).await;
        assert!(accepted(first.hear().await));
    }
    first.say(reference(3), opening(&witness.world, "mallory")).await;
    assert!(busy(first.hear().await));
    let mut second = Intruder::connect("peer1", "bob", socket).await;
    second.say(reference(11), opening(&witness.world, "peer1")).await;
    assert!(accepted(second.hear().await));
    second.say(reference(12), opening(&witness.world, "peer1")).await;
    assert!(busy(second.hear().await));
    let counters = witness.bob.node.counters();
    assert_eq!((counters.of(Cause::OpeningsOfPeer), counters.of(Cause::OpeningsOfStrangers)), (1, 1));
    // Alice is no stranger: hers take none of these places.
    let more = OpenChannel { our_share: 30 * UNIT, peer_share: 30 * UNIT, ..terms() };
    let opened = futures::future::join_all((0..5).map(|_| witness.alice.open_on(&witness.bob, more))).await;
    assert_eq!(opened.len(), 5);
    // Who goes leaves its places behind.
    drop((first, second));
    until("the places to be free", async || {
        let mut third = Intruder::connect("peer2", "bob", socket).await;
        third.say(reference(1), opening(&witness.world, "peer2")).await;
        let first = accepted(third.hear().await);
        third.say(reference(2), opening(&witness.world, "peer2")).await;
        (first && accepted(third.hear().await)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_long_for_an_opening_and_about_nothing_is_refused_without_a_look_inside() {
    let witness = Witness::new().await;
    let mut intruder = Intruder::connect("mallory", "bob", witness.bob.socket()).await;
    // No message at all behind the channel's name: looked into, it would end the connection.
    let bytes = [&[0][..], &[9; 16], &[0xee; 60_000]].concat();
    intruder.say_bytes(&bytes).await;
    let unknown = Message::Error { code: RefusalCode::UNKNOWN_CHANNEL };
    assert_eq!(intruder.hear().await, Some(Packet::Channel(reference(9), unknown)));
    assert!(intruder.is_served().await);
    intruder.say_bytes(&bytes[..1_000]).await;
    intruder.is_hung_up_on().await;
    let counters = witness.bob.node.counters();
    assert_eq!((counters.of(Cause::UnknownChannel), counters.of(Cause::Undecodable)), (1, 1));
    witness.lives_on().await;
}
