//! What honest peers get.

use crate::{PATIENT, Server, alice, bob, connected};
use futures::FutureExt;
use proptest::prelude::*;
use sdk::transport::{MAX_MESSAGE, RecvError, Role, SendError, dial};
use std::time::Duration;

#[tokio::test]
async fn both_sides_know_who_the_other_one_is() {
    let mut server = Server::start(PATIENT).await;
    let dialled = dial(&alice(), &server.address(), PATIENT).await.unwrap();
    let accepted = server.session().await;
    assert_eq!((dialled.peer(), dialled.role()), (bob().public(), Role::Dialler));
    assert_eq!((accepted.peer(), accepted.role()), (alice().public(), Role::Listener));
    assert_eq!(dialled.remote_addr(), server.addr);
}

#[tokio::test]
async fn messages_of_every_size_up_to_the_limit_arrive() {
    let (_server, (mut sender, _a), (_b, mut receiver)) = connected().await;
    for length in [0, 1, 4, 16, 65_514, 65_515, 65_516, 65_519, 65_535, 65_536, 1 << 20, MAX_MESSAGE] {
        let message: Vec<u8> = (0..=250).cycle().take(length).collect();
        let sending = tokio::spawn({
            let message = message.clone();
            async move {
                sender.send(&message).await.unwrap();
                sender
            }
        });
        assert!(receiver.recv().await.unwrap() == message, "a message of {length} bytes arrives unchanged");
        sender = sending.await.unwrap();
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_and_the_session_goes_on() {
    let (_server, (mut sender, _a), (_b, mut receiver)) = connected().await;
    let error = sender.send(&vec![0; MAX_MESSAGE + 1]).await.unwrap_err();
    assert!(matches!(error, SendError::TooLong { length, limit: MAX_MESSAGE } if length == MAX_MESSAGE + 1));
    sender.send(b"shorter").await.unwrap();
    assert_eq!(receiver.recv().await.unwrap(), b"shorter");
    assert_eq!(receiver.counters().messages, 1);
}

#[tokio::test]
async fn messages_fed_together_share_one_frame() {
    let (_server, (mut sender, _a), (_b, mut receiver)) = connected().await;
    for number in 0..1_000_u32 {
        sender.feed(&number.to_be_bytes()).await.unwrap();
    }
    assert_eq!(sender.counters().frames, 0, "nothing is sealed before the flush");
    sender.flush().await.unwrap();
    for number in 0..1_000_u32 {
        assert_eq!(receiver.recv().await.unwrap(), number.to_be_bytes());
    }
    assert_eq!(receiver.counters(), sender.counters());
    assert_eq!((receiver.counters().messages, receiver.counters().frames), (1_000, 1));
    assert_eq!(receiver.counters().bytes, 2 + 1_000 * 8 + 16);
}

#[tokio::test]
async fn both_directions_flow_at_the_same_time() {
    let (_server, alice, bob) = connected().await;
    let message: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for (mut sender, mut receiver) in [alice, bob] {
        let (to_send, expected) = (message.clone(), message.clone());
        let _task = tasks.spawn(async move {
            for _ in 0..40 {
                sender.send(&to_send).await.unwrap();
            }
        });
        let _task = tasks.spawn(async move {
            for _ in 0..40 {
                assert!(receiver.recv().await.unwrap() == expected);
            }
        });
    }
    // Nobody waits for the other direction, though both buffers overflow many times.
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
}

#[tokio::test]
async fn close_ends_one_direction_in_order() {
    let (_server, (mut sender, mut at_alice), (mut from_bob, mut receiver)) = connected().await;
    sender.feed(b"last words").await.unwrap();
    sender.close().await.unwrap();
    assert_eq!(receiver.recv().await.unwrap(), b"last words");
    assert!(matches!(receiver.recv().await, Err(RecvError::Closed)));
    assert!(matches!(receiver.recv().await, Err(RecvError::Over)));

    from_bob.send(b"and you too").await.unwrap();
    assert_eq!(at_alice.recv().await.unwrap(), b"and you too");
}

#[tokio::test]
async fn a_dropped_recv_or_feed_loses_nothing() {
    let (_server, (mut sender, _a), (_b, mut receiver)) = connected().await;
    let long: Vec<u8> = (0..=255).cycle().take(MAX_MESSAGE).collect();

    // Nobody reads, so the socket fills and `send` is dropped with most of a message unwritten.
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_millis(20), sender.send(&long)).await.is_ok() {
        sent += 1;
        assert!(sent < 100, "the socket never fills");
    }
    sent += 1;
    let rest = tokio::spawn(async move {
        sender.send(b"after").await.unwrap();
        sender
    });
    let mut received = 0;
    let mut dropped = 0;
    loop {
        // Polled once and dropped, again and again, inside frames and messages.
        match receiver.recv().now_or_never() {
            Some(message) => match message.unwrap() {
                message if message == b"after" => break,
                message => {
                    assert!(message == long);
                    received += 1;
                }
            },
            None => {
                dropped += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    assert_eq!(received, sent);
    assert!(dropped > 0);
    let _sender = rest.await.unwrap();
}

#[tokio::test]
async fn a_silent_peer_is_told_apart_from_a_gone_one() {
    let (_server, _alice, (_b, mut receiver)) = connected().await;
    let after = Duration::from_millis(30);
    receiver.set_idle(after);
    assert!(matches!(receiver.recv().await, Err(RecvError::Idle { after: told }) if told == after));
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_given_up() {
    let mut server = Server::start(PATIENT).await;
    let stall = Duration::from_millis(50);
    let timeouts = sdk::transport::ConnectionTimeouts { stall, ..PATIENT };
    let (mut sender, _receiver) = dial(&alice(), &server.address(), timeouts).await.unwrap().split();
    let _not_reading = server.session().await;
    let message = vec![0; MAX_MESSAGE];
    let error = loop {
        if let Err(error) = sender.send(&message).await {
            break error;
        }
    };
    assert!(matches!(error, SendError::Stalled { after } if after == stall), "{error}");
    assert!(matches!(sender.send(b"x").await, Err(SendError::Over)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_sequence_of_messages_arrives_unchanged(
        messages in prop::collection::vec((prop_oneof![0..64_usize, 0..5_000_usize, 60_000..200_000_usize], any::<u8>(), any::<bool>()), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_server, (mut sender, _a), (_b, mut receiver)) = connected().await;
            let expected = messages.clone();
            let sending = tokio::spawn(async move {
                for (length, byte, flush) in messages {
                    sender.feed(&vec![byte; length]).await.unwrap();
                    if flush {
                        sender.flush().await.unwrap();
                    }
                }
                sender.close().await.unwrap();
            });
            for (length, byte, _) in expected {
                assert!(receiver.recv().await.unwrap() == vec![byte; length]);
            }
            assert!(matches!(receiver.recv().await, Err(RecvError::Closed)));
            sending.await.unwrap();
        });
    }
}
