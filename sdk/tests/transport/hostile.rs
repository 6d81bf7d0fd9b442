//! What hostile or broken peers get. The handshake is written out here a second time, from its description, to speak it wrongly.

use crate::{PATIENT, Server, alice, bob};
use proptest::prelude::*;
use protocol::PublicKey;
use sdk::{
    keys::{Identity, PeerAddress},
    transport::{
        ConnectionTimeouts, DialError, HandshakeError, HandshakeStep, MAX_MESSAGE, PROTOCOL_VERSION, RecvError, dial,
    },
};
use snow::StatelessTransportState;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const NOISE: &str = "Noise_XK_25519_ChaChaPoly_BLAKE2b";

async fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = stream.read_u16().await.ok()?;
    let mut frame = vec![0; length.into()];
    let _read = stream.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

async fn write_frame(stream: &mut TcpStream, frame: &[u8]) {
    let length = u16::try_from(frame.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], frame].concat()).await.unwrap();
}

/// Dials Bob with a Noise key of `seed` while claiming to be `claimed`.
async fn dial_by_hand(to: SocketAddr, seed: &[u8; 32], claimed: PublicKey) -> (TcpStream, StatelessTransportState) {
    let bob = bob().public();
    let bob_noise = ed25519_dalek::VerifyingKey::from_bytes(bob.as_bytes()).unwrap().to_montgomery().to_bytes();
    let secret = ed25519_dalek::SigningKey::from_bytes(seed).to_scalar_bytes();
    let greeting = [&b"channels"[..], &PROTOCOL_VERSION.to_be_bytes()].concat();
    let prologue = [&greeting[..], bob.as_bytes()].concat();
    let mut noise = snow::Builder::new(NOISE.parse().unwrap())
        .local_private_key(&secret)
        .and_then(|builder| builder.remote_public_key(&bob_noise))
        .and_then(|builder| builder.prologue(&prologue))
        .and_then(snow::Builder::build_initiator)
        .unwrap();

    let mut stream = TcpStream::connect(to).await.unwrap();
    let mut buffer = [0; 512];
    let length = noise.write_message(&[], &mut buffer).unwrap();
    write_frame(&mut stream, &[&greeting[..], &buffer[..length]].concat()).await;
    let reply = read_frame(&mut stream).await.unwrap();
    assert_eq!(reply[0], 0, "welcome");
    let _empty = noise.read_message(&reply[1..], &mut buffer).unwrap();
    let length = noise.write_message(claimed.as_bytes(), &mut buffer).unwrap();
    write_frame(&mut stream, &buffer[..length]).await;
    (stream, noise.into_stateless_transport_mode().unwrap())
}

/// Writes `bytes` to Bob and closes; what Bob made of it.
async fn what_bob_says_to(bytes: &[u8]) -> HandshakeError {
    let mut server = Server::start(PATIENT).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let refusal = server.refusal().await;
    server.serves_the_next_peer().await;
    refusal
}

/// A listener that answers every hello with `answer` and closes; what dialling it says.
async fn what_dialling_says_to(answer: &'static [u8]) -> HandshakeError {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Server::address_via(listener.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _hello = read_frame(&mut stream).await.unwrap();
        stream.write_all(answer).await.unwrap();
    });
    let error = dial(&alice(), &address, PATIENT).await.unwrap_err();
    answering.await.unwrap();
    match error {
        DialError::Handshake { source, .. } => source,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn something_else_than_this_protocol_is_called_so() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.9\r\n",
        &[0x16, 0x03, 0x01, 0x02],
        &[0, 0],
        &[0, 5, 1, 2, 3, 4, 5],
    ] {
        assert!(matches!(
            what_bob_says_to(bytes).await,
            HandshakeError::NotThisProtocol { step: HandshakeStep::Hello }
        ));
    }
    for answer in
        [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"SSH-2.0-OpenSSH_9.9\r\n", &[0, 0], &[0, 1, 9], &[0, 2, 1, 0]]
    {
        assert!(matches!(
            what_dialling_says_to(answer).await,
            HandshakeError::NotThisProtocol { step: HandshakeStep::Reply }
        ));
    }
}

#[tokio::test]
async fn a_peer_that_closes_midway_is_called_so() {
    for bytes in [&[][..], &[0], &[0, 58], b"\0\x3achannels\0\x01half"] {
        assert!(matches!(what_bob_says_to(bytes).await, HandshakeError::Truncated { step: HandshakeStep::Hello }));
    }
    for answer in [&[][..], &[0], &[0, 49], &[0, 49, 0, 1, 2, 3]] {
        assert!(matches!(
            what_dialling_says_to(answer).await,
            HandshakeError::Truncated { step: HandshakeStep::Reply }
        ));
    }
}

#[tokio::test]
async fn another_version_is_told_to_both_sides() {
    let mut server = Server::start(PATIENT).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    write_frame(&mut stream, b"channels\x00\x63and whatever version 99 says then").await;
    assert_eq!(read_frame(&mut stream).await.unwrap(), [1, 0, 1], "refused: this is version 1");
    assert_eq!(read_frame(&mut stream).await, None, "and closed");
    assert!(matches!(server.refusal().await, HandshakeError::VersionMismatch { ours: PROTOCOL_VERSION, theirs: 99 }));
    server.serves_the_next_peer().await;

    let told = what_dialling_says_to(&[0, 3, 1, 0, 99]).await;
    assert!(matches!(told, HandshakeError::VersionMismatch { ours: PROTOCOL_VERSION, theirs: 99 }), "{told}");
}

#[tokio::test]
async fn dialling_the_wrong_identity_is_told_to_both_sides() {
    let mut server = Server::start(PATIENT).await;
    let carol = Identity::from_seed(&[3; 32]).public();
    let address = PeerAddress::new(carol, "127.0.0.1", server.addr.port()).unwrap();
    let error = dial(&alice(), &address, PATIENT).await.unwrap_err();
    assert!(
        matches!(&error, DialError::Handshake { source: HandshakeError::WrongIdentity { dialled }, .. } if *dialled == carol),
        "{error}"
    );
    assert!(matches!(server.refusal().await, HandshakeError::NotForUs));
    server.serves_the_next_peer().await;
}

#[tokio::test]
async fn a_node_does_not_dial_itself_and_says_where_nobody_listens() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = dial(&bob(), &Server::address_via(free), PATIENT).await.unwrap_err();
    assert!(matches!(error, DialError::Ourselves));
    let error = dial(&alice(), &Server::address_via(free), PATIENT).await.unwrap_err();
    assert!(matches!(&error, DialError::Unreachable { address, .. } if *address == free.to_string()), "{error}");
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_given_up() {
    let handshake = Duration::from_millis(50);
    let timeouts = ConnectionTimeouts { handshake, ..PATIENT };
    let mut server = Server::start(timeouts).await;
    let _silent = TcpStream::connect(server.addr).await.unwrap();
    let mut trickling = TcpStream::connect(server.addr).await.unwrap();
    trickling.write_all(&[0, 58, b'c']).await.unwrap();
    for _ in 0..2 {
        assert!(
            matches!(server.refusal().await, HandshakeError::TimedOut { step: HandshakeStep::Hello, after } if after == handshake)
        );
    }

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = dial(&alice(), &Server::address_via(silent.local_addr().unwrap()), timeouts).await.unwrap_err();
    assert!(
        matches!(
            error,
            DialError::Handshake { source: HandshakeError::TimedOut { step: HandshakeStep::Reply, .. }, .. }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_slow_handshake_holds_up_nobody() {
    let mut server = Server::start(PATIENT).await;
    let _silent: Vec<_> = futures::future::join_all((0..20).map(|_| TcpStream::connect(server.addr))).await;
    server.serves_the_next_peer().await;
}

#[tokio::test]
async fn an_identity_that_does_not_fit_the_noise_key_is_refused() {
    let mut server = Server::start(PATIENT).await;
    let (mut stream, _) = dial_by_hand(server.addr, &[0xee; 32], alice().public()).await;
    assert!(
        matches!(server.refusal().await, HandshakeError::IdentityNotProven { claimed } if claimed == alice().public())
    );
    assert_eq!(read_frame(&mut stream).await, None, "closed");

    let mut small_order = [0; 32];
    small_order[0] = 1;
    let _dialled = dial_by_hand(server.addr, &[0xee; 32], PublicKey(small_order)).await;
    assert!(matches!(server.refusal().await, HandshakeError::NotAnIdentity(_)));
    server.serves_the_next_peer().await;
}

/// Alice's connection by hand, with the true key: her raw side, and Bob's receiver.
async fn raw_session(server: &mut Server) -> (TcpStream, StatelessTransportState, sdk::transport::Receiver) {
    let (stream, cipher) = dial_by_hand(server.addr, &[0xa1; 32], alice().public()).await;
    let session = server.session().await;
    assert_eq!(session.peer(), alice().public());
    (stream, cipher, session.split().1)
}

fn seal(cipher: &StatelessTransportState, nonce: u64, plain: &[u8]) -> Vec<u8> {
    let mut sealed = vec![0; plain.len() + 16];
    assert_eq!(cipher.write_message(nonce, plain, &mut sealed), Ok(sealed.len()));
    sealed
}

#[tokio::test]
async fn a_handmade_session_carries_messages_cut_across_frames() {
    let mut server = Server::start(PATIENT).await;
    let (mut stream, cipher, mut receiver) = raw_session(&mut server).await;
    for (nonce, plain) in [&[0][..], &[0, 0], &[5, b'h', b'e'], b"llo\0\0\0\x01!"].into_iter().enumerate() {
        write_frame(&mut stream, &seal(&cipher, nonce.try_into().unwrap(), plain)).await;
    }
    assert_eq!(receiver.recv().await.unwrap(), b"hello");
    assert_eq!(receiver.recv().await.unwrap(), b"!");
}

#[tokio::test]
async fn a_tampered_repeated_or_moved_frame_ends_the_session() {
    let mut server = Server::start(PATIENT).await;
    let message = b"\0\0\0\x04true";
    for case in 0..4 {
        let (mut stream, cipher, mut receiver) = raw_session(&mut server).await;
        write_frame(&mut stream, &seal(&cipher, 0, message)).await;
        let next = match case {
            0 => {
                let mut tampered = seal(&cipher, 1, message);
                tampered[5] ^= 1;
                tampered
            }
            1 => seal(&cipher, 0, message),
            2 => seal(&cipher, 2, message),
            _ => vec![0x5a; 40],
        };
        write_frame(&mut stream, &next).await;
        assert_eq!(receiver.recv().await.unwrap(), b"true", "what came before is whole");
        assert!(matches!(receiver.recv().await, Err(RecvError::Tampered)));
        assert!(matches!(receiver.recv().await, Err(RecvError::Over)), "nothing is read after it");
    }
    server.serves_the_next_peer().await;
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_by_its_length_alone() {
    let mut server = Server::start(PATIENT).await;
    for length in [u32::try_from(MAX_MESSAGE).unwrap() + 1, u32::MAX] {
        let (mut stream, cipher, mut receiver) = raw_session(&mut server).await;
        write_frame(&mut stream, &seal(&cipher, 0, &length.to_be_bytes())).await;
        let error = receiver.recv().await.unwrap_err();
        assert!(matches!(error, RecvError::TooLong { length: told, limit: MAX_MESSAGE } if told == length), "{error}");
    }
    server.serves_the_next_peer().await;
}

#[tokio::test]
async fn a_frame_that_holds_nothing_is_refused() {
    let mut server = Server::start(PATIENT).await;
    for length in [0, 1, 15, 16] {
        let (mut stream, cipher, mut receiver) = raw_session(&mut server).await;
        let empty = seal(&cipher, 0, &[]);
        write_frame(&mut stream, &empty[..length]).await;
        let error = receiver.recv().await.unwrap_err();
        assert!(matches!(error, RecvError::FrameTooShort { length: told, least: 17 } if told == length), "{error}");
    }
    server.serves_the_next_peer().await;
}

#[tokio::test]
async fn a_connection_that_ends_inside_a_frame_or_a_message_is_told_apart_from_an_orderly_end() {
    let mut server = Server::start(PATIENT).await;
    let (whole, half) = (b"\0\0\0\x04true", b"\0\0\0\x04tr");
    for (plain, cut, orderly) in
        [(&whole[..], 0, true), (&whole[..], 1, false), (&whole[..], 25, false), (&half[..], 0, false)]
    {
        let (mut stream, cipher, mut receiver) = raw_session(&mut server).await;
        let sealed = seal(&cipher, 0, plain);
        let frame = [&u16::try_from(sealed.len()).unwrap().to_be_bytes()[..], &sealed].concat();
        stream.write_all(&frame[..frame.len() - cut]).await.unwrap();
        stream.shutdown().await.unwrap();
        if orderly {
            assert_eq!(receiver.recv().await.unwrap(), b"true");
            assert!(matches!(receiver.recv().await, Err(RecvError::Closed)));
        } else {
            assert!(matches!(receiver.recv().await, Err(RecvError::Truncated)));
        }
    }
    server.serves_the_next_peer().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_never_stop_a_node(hello: Vec<u8>, frames: Vec<u8>, reply: Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut server = Server::start(PATIENT).await;

            let mut stream = TcpStream::connect(server.addr).await.unwrap();
            stream.write_all(&hello).await.unwrap();
            drop(stream);
            let _refusal = server.refusal().await;

            let (mut stream, _, mut receiver) = raw_session(&mut server).await;
            stream.write_all(&frames).await.unwrap();
            drop(stream);
            assert!(receiver.recv().await.is_err());

            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = Server::address_via(listener.local_addr().unwrap());
            let replying = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(&reply).await.unwrap();
            });
            assert!(dial(&alice(), &address, PATIENT).await.is_err());
            replying.await.unwrap();
            server.serves_the_next_peer().await;
        });
    }
}
