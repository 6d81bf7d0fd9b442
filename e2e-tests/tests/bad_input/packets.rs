//! What an authenticated peer can say wrongly inside its session.

use crate::Witness;
use channel::{Change, ChannelRef, FundingSigned, Message, Payment, Reestablish, RefusalCode, Shutdown, Update};
use e2e_tests::{Logs, hostile::Intruder};
use protocol::{Base, Hash, Pair, Signature, StateCommitment, signing::CloseMutualBody};
use scale::Encode;
use sdk::node::{Cause, Packet};

const NOWHERE: ChannelRef = ChannelRef([9; 16]);
/// How many messages a stranger sends who does not stop.
const FLOOD: usize = 600;

fn update() -> Message {
    let changes = vec![Change::Transfer(Payment { amount: 1, reference: Vec::new() })];
    Message::Update(Update {
        base: Base::of(1),
        height: 0,
        round: 3,
        refuses: None,
        changes,
        state_hash: Hash([1; 32]),
        signature: Signature([2; 64]),
    })
}

/// One of each message that is about a channel which must exist, and asks for an answer.
fn messages() -> Vec<Message> {
    let signature = Signature([3; 64]);
    let body = CloseMutualBody { balances: Pair::new(1, 1), fee: 0, valid_until: 100 };
    let state = StateCommitment::of_balances(Pair::new(u128::MAX, u128::MAX));
    vec![
        update(),
        Message::FundingSigned(FundingSigned { signature }),
        Message::FundingLocked,
        Message::UpdateAck { round: 3, signature },
        Message::Shutdown(Shutdown { body, signature }),
        Message::ShutdownAck { valid_until: 100, signature },
        Message::Reestablish(Reestablish { at: Base::of(u64::MAX), base: Base::default(), state, signatures: None }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_that_do_not_decode_end_the_connection() {
    let logs = Logs::start();
    let witness = Witness::new().await;
    let whole = Packet::Channel(NOWHERE, update()).encode();
    for bytes in [
        // Nothing, an unknown packet, an unknown message, half a message, a message and a byte more.
        &[][..],
        &[99],
        &[&[0][..], &[9; 16], &[77]].concat(),
        &whole[..whole.len() / 2],
        &[&whole[..], &[0]].concat(),
        // A list of changes that claims to be endless.
        &[&[0][..], &[9; 16], &[6], &[0; 24], &[3], &[0xff; 4]].concat(),
        &vec![0x55; 60_000],
    ] {
        let mut intruder = Intruder::connect("mallory", "bob", witness.bob.socket()).await;
        intruder.say_bytes(bytes).await;
        assert_eq!(intruder.hear().await, None, "{} bytes", bytes.len());
    }
    logs.wait("connection lost").await;
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_about_an_unknown_channel_are_answered_so_and_the_connection_stays() {
    let witness = Witness::new().await;
    let mut intruder = Intruder::connect("mallory", "bob", witness.bob.socket()).await;
    for message in messages() {
        intruder.say(NOWHERE, message).await;
        let error = Message::Error { code: RefusalCode::UNKNOWN_CHANNEL };
        assert_eq!(intruder.hear().await, Some(Packet::Channel(NOWHERE, error)));
    }
    // Errors are not answered, or two nodes would go on for ever.
    intruder.say(NOWHERE, Message::Error { code: RefusalCode(1) }).await;
    intruder.say(NOWHERE, Message::UpdateError { round: 3, code: RefusalCode(1) }).await;
    assert!(intruder.is_served().await);
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_knows_a_channels_name_cannot_touch_it() {
    let witness = Witness::new().await;
    let mut intruder = Intruder::connect("mallory", "bob", witness.bob.socket()).await;
    let channel = witness.bobs.reference();
    for message in messages() {
        intruder.say(channel, message).await;
        let error = Message::Error { code: RefusalCode::UNKNOWN_CHANNEL };
        assert_eq!(intruder.hear().await, Some(Packet::Channel(channel, error)));
    }
    let notices = witness.bob.events.notices(channel);
    assert!(notices.is_empty(), "{notices:?}");
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_nonsense_from_one_peer_slows_nobody_down_for_long() {
    let witness = Witness::new().await;
    let mut intruder = Intruder::connect("mallory", "bob", witness.bob.socket()).await;
    // More than is read of a stranger at once.
    let flood = tokio::spawn(async move {
        for _ in 0..FLOOD {
            intruder.say(NOWHERE, update()).await;
        }
        intruder
    });
    for number in 0..50 {
        let _paid = e2e_tests::Asked::pays(&witness.alices, 1, &format!("in between {number}")).await;
    }
    let mut intruder = e2e_tests::within("the flood", flood).await.unwrap();
    let mut answers = 0;
    while answers < FLOOD {
        assert!(intruder.hear().await.is_some(), "each is answered, and nothing is lost");
        answers += 1;
    }
    assert!(intruder.is_served().await);
    let counters = witness.bob.node.counters();
    assert_eq!(counters.of(Cause::UnknownChannel), FLOOD as u64);
    assert!(counters.of(Cause::StrangerHasty) > 0);
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_connection_of_the_same_peer_takes_the_place_of_the_first() {
    let witness = Witness::new().await;
    let mut first = Intruder::connect("mallory", "bob", witness.bob.socket()).await;
    assert!(first.is_served().await);
    let mut second = Intruder::connect("mallory", "bob", witness.bob.socket()).await;
    assert!(second.is_served().await);
    assert!(!first.is_served().await, "whoever dials again has lost the first one");

    // The same between honest nodes, with a channel that goes on.
    for _ in 0..5 {
        witness.alice.connect(&witness.bob).await;
        let _paid = e2e_tests::Asked::pays(&witness.alices, 1, "over a new connection").await;
    }
    witness.lives_on().await;
}
