//! The handshake against a peer that sends anything, and sealed frames against somebody on the way who changes them. No panic, no session with
//! nobody, and what is received is what was sent, as far as it comes.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use sdk::{
    keys::{Identity, PeerAddress},
    transport::{Listener, ConnectionTimeouts, dial},
};
use std::{cell::OnceCell, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

const SOON: Duration = Duration::from_millis(200);
const TIMEOUTS: ConnectionTimeouts = ConnectionTimeouts { connect: SOON, handshake: SOON, idle: SOON, stall: SOON };

thread_local! {
    static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some((kind, bytes)) = bytes.split_first() else { return Corpus::Reject };
    RUNTIME.with(|runtime| {
        let runtime = runtime.get_or_init(|| Builder::new_current_thread().enable_all().build().unwrap());
        match kind % 3 {
            0 => runtime.block_on(listens_to(bytes)),
            1 => runtime.block_on(dials(bytes)),
            _ => runtime.block_on(on_the_way(bytes)),
        }
    });
    Corpus::Keep
});

/// Whoever dials says `bytes` and goes.
async fn listens_to(bytes: &[u8]) {
    let listener = Listener::bind("127.0.0.1:0", TIMEOUTS).await.unwrap();
    let mut dialler = TcpStream::connect(listener.local_addr()).await.unwrap();
    dialler.write_all(bytes).await.unwrap();
    dialler.shutdown().await.unwrap();
    let session = listener.accept().await.unwrap().handshake(&Identity::from_seed(&[1; 32])).await;
    assert!(session.is_err(), "nobody is there who could prove who it is");
}

/// Whoever listens answers `bytes` and goes.
async fn dials(bytes: &[u8]) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Identity::from_seed(&[2; 32]).public();
    let to = PeerAddress::new(peer, "127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
    let answer = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        // It may have hung up.
        let _gone = stream.write_all(bytes).await;
        let _gone = stream.shutdown().await;
        let mut heard = Vec::new();
        let _gone = stream.read_to_end(&mut heard).await;
    };
    let identity = Identity::from_seed(&[1; 32]);
    let (session, ()) = tokio::join!(async { dial(&identity, &to, TIMEOUTS).await.map(drop) }, answer);
    assert!(session.is_err(), "nobody is there who could prove who it is");
}

/// Somebody on the way changes what goes forth: each byte of the stream, past a start that the first byte gives, by one of `bytes`.
async fn on_the_way(bytes: &[u8]) {
    let (start, masks) = bytes.split_first().map_or((0, &[][..]), |(start, masks)| (usize::from(*start) * 4, masks));
    let (one, other) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
    let listener = Listener::bind("127.0.0.1:0", TIMEOUTS).await.unwrap();
    let between = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = PeerAddress::new(other.public(), "127.0.0.1", between.local_addr().unwrap().port()).unwrap();
    let relay = async {
        let (dialler, _) = between.accept().await.unwrap();
        let there = TcpStream::connect(listener.local_addr()).await.unwrap();
        let ((mut from, mut back), (mut answers, mut forth)) = (dialler.into_split(), there.into_split());
        let forth = async move {
            let (mut buffer, mut place) = ([0; 4_096], 0_usize);
            while let Ok(length @ 1..) = from.read(&mut buffer).await {
                for byte in &mut buffer[..length] {
                    *byte ^= masks.get(place.wrapping_sub(start)).copied().unwrap_or(0);
                    place += 1;
                }
                if forth.write_all(&buffer[..length]).await.is_err() {
                    return;
                }
            }
        };
        let back = async move { drop(tokio::io::copy(&mut answers, &mut back).await) };
        let ((), ()) = tokio::join!(forth, back);
    };
    let sent: Vec<Vec<u8>> = (0..4u8).map(|number| vec![number; 1 + 300 * usize::from(number)]).collect();
    let sending = async {
        let Ok(session) = dial(&one, &to, TIMEOUTS).await else { return };
        let (mut sender, _receiver) = session.split();
        for message in &sent {
            if sender.send(message).await.is_err() {
                return;
            }
        }
        let _closed = sender.close().await;
    };
    let receiving = async {
        let Ok(session) = listener.accept().await.unwrap().handshake(&other).await else { return Vec::new() };
        assert_eq!(session.peer(), one.public());
        let (_sender, mut receiver) = session.split();
        let mut received = Vec::new();
        while let Ok(message) = receiver.recv().await {
            received.push(message);
        }
        received
    };
    let received = tokio::select! {
        ((), received) = async { tokio::join!(sending, receiving) } => received,
        () = async { relay.await; std::future::pending().await } => unreachable!("it waits for the others"),
    };
    assert!(sent.starts_with(&received), "what came is what was sent");
    assert!(masks.iter().any(|mask| *mask != 0) || received == sent, "nothing was changed, and something is missing");
}
