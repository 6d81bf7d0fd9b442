//! Bytes on the socket of a node before anybody is authenticated, and addresses that lead to the wrong place.

use crate::Witness;
use e2e_tests::{
    Logs, World, address_at,
    hostile::{RawSession, hung_up, write_frame},
    within,
};
use sdk::{
    node::{Cause, NodeError, NodeLimits, StartError},
    transport::{ConnectionTimeouts, DialError, HandshakeError, HandshakeStep, PROTOCOL_VERSION},
};
use std::time::Instant;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Writes bytes to Bob's node and waits until it hangs up.
async fn say_and_be_hung_up_on(witness: &Witness, bytes: &[u8]) {
    let mut stream = TcpStream::connect(witness.bob.socket()).await.unwrap();
    within("bytes to be written", stream.write_all(bytes)).await.unwrap();
    hung_up(&mut stream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn something_else_than_the_protocol_is_hung_up_on_and_logged() {
    let logs = Logs::start();
    let witness = Witness::new().await;
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.9\r\n",
        &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01],
        &[0xff; 1_000],
        // A first frame over the limit of a handshake.
        &[2, 1],
    ] {
        say_and_be_hung_up_on(&witness, bytes).await;
    }
    logs.wait("something else speaks at the other end; check host and port").await;
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_breaks_off_costs_nobody_anything() {
    let logs = Logs::start();
    let witness = Witness::new().await;
    for bytes in [&b""[..], b"\0", b"\0\x3achannels\0\x01half"] {
        let mut stream = TcpStream::connect(witness.bob.socket()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        hung_up(&mut stream).await;
    }
    logs.wait("the peer closed the connection before its hello was whole").await;
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_keep_nobody_else_out() {
    let witness = Witness::new().await;
    let mut idle = Vec::new();
    for _ in 0..4 * NodeLimits::default().handshakes_per_address {
        idle.push(TcpStream::connect(witness.bob.socket()).await.unwrap());
    }
    // The oldest have given way long before their time is up.
    let began = Instant::now();
    hung_up(&mut idle[0]).await;
    witness.alice.connect(&witness.bob).await;
    assert!(began.elapsed() < ConnectionTimeouts::default().handshake);
    witness.lives_on().await;
    drop(idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dialling_another_identity_than_the_one_that_listens_is_told_to_both() {
    let logs = Logs::start();
    let witness = Witness::new().await;
    let wrong = address_at("mallory", witness.bob.socket());
    let refused = within("the dial", witness.alice.node.connect(&wrong)).await.unwrap_err();
    let expected = matches!(
        &refused,
        NodeError::Dial(DialError::Handshake { source: HandshakeError::WrongIdentity { dialled }, .. })
            if *dialled == wrong.identity()
    );
    assert!(expected, "{refused}");
    logs.wait("the dialler's hello is not for this node").await;

    let ourselves = witness.alice.address();
    let refused = witness.alice.node.connect(&ourselves).await.unwrap_err();
    assert!(matches!(refused, NodeError::Dial(DialError::Ourselves)), "{refused}");
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_is_told_to_both() {
    let logs = Logs::start();
    let witness = Witness::new().await;
    let mut stream = TcpStream::connect(witness.bob.socket()).await.unwrap();
    write_frame(&mut stream, b"channels\x00\x63and whatever version 99 says then").await;
    let mut answer = [0; 5];
    let _length = within("the refusal", stream.read_exact(&mut answer)).await.unwrap();
    let [a, b] = PROTOCOL_VERSION.to_be_bytes();
    assert_eq!(answer, [0, 3, 1, a, b]);
    hung_up(&mut stream).await;
    logs.wait("the peer speaks version 99 of the protocol and this node version 1: update the older one").await;
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dialling_what_is_no_node_says_so() {
    let witness = Witness::new().await;
    let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = web.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _from) = web.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let refused = within("the dial", witness.alice.node.connect(&address_at("mallory", at))).await.unwrap_err();
    let expected = matches!(
        &refused,
        NodeError::Dial(DialError::Handshake {
            source: HandshakeError::NotThisProtocol { step: HandshakeStep::Reply },
            ..
        })
    );
    assert!(expected, "{refused}");
    serving.await.unwrap();

    // And where nobody listens any more.
    let refused = within("the dial", witness.alice.node.connect(&address_at("mallory", at))).await.unwrap_err();
    assert!(matches!(&refused, NodeError::Dial(DialError::Unreachable { address, .. }) if *address == at.to_string()));
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authenticated_peer_that_announces_too_long_a_message_is_hung_up_on_before_it_comes() {
    let logs = Logs::start();
    let witness = Witness::new().await;
    let mut session = RawSession::connect("mallory", "bob", witness.bob.socket()).await;
    let limit = NodeLimits::default().stranger_message;
    let length = u32::try_from(limit + 1).unwrap();
    session.send_plain(&length.to_be_bytes()).await;
    session.is_hung_up_on().await;
    logs.wait(&format!("the peer announced a message of {length} bytes; the limit is {limit}")).await;
    assert_eq!(witness.bob.node.counters().of(Cause::MessageTooLong), 1);
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_were_not_sealed_for_this_session_end_it() {
    let logs = Logs::start();
    let witness = Witness::new().await;
    for (frame, told) in [
        (&[7; 100][..], "a frame was altered on the way, or did not come in its turn"),
        (&[7; 3], "a frame of 3 bytes cannot hold anything"),
    ] {
        let mut session = RawSession::connect("mallory", "bob", witness.bob.socket()).await;
        write_frame(&mut session.stream, frame).await;
        session.is_hung_up_on().await;
        logs.wait(told).await;
    }
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_named() {
    let world = World::new().await;
    let bob = world.start("bob").await;
    let mut config = world.config("alice");
    config.listen = Some(bob.socket().to_string());
    let refused = sdk::node::Node::start(config).await.unwrap_err();
    let StartError::Bind(error) = &refused else { panic!("{refused}") };
    assert_eq!((&*error.address, error.source.kind()), (&*bob.socket().to_string(), std::io::ErrorKind::AddrInUse));
    assert!(refused.to_string().contains("choose another address or port, or stop what uses it"), "{refused}");
}
