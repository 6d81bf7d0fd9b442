//! Hostile peers, each of one kind. Whoever is cut off comes back at once under another name.

use channel::{Change, ChannelOpen, ChannelRef, Message, Update, transfer::TransferLimits};
use protocol::{
    AccountId, Base, Hash, Pair, Signature, decode_exact,
    signing::Domain,
    terms::{Delegate, Destination, MAX_DELEGATES, PartyTerms},
};
use scale::Encode;
use sdk::{
    keys::{Identity, PeerAddress},
    node::Packet,
    transport::{ConnectionTimeouts, Receiver, Sender, dial},
};
use std::{collections::VecDeque, env, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// Whom they are hostile to, which of them this one is, the arbiter with its code, and an app that the node has.
pub(crate) const TO: &str = "HOSTILE_TO";
pub(crate) const NUMBER: &str = "HOSTILE_NUMBER";
pub(crate) const ARBITER_CODE: &str = "HOSTILE_ARBITER_CODE";
pub(crate) const CODE: &str = "HOSTILE_CODE";

/// What they do.
pub(crate) const KINDS: [&str; 12] = [
    // Sends pings and reads nothing.
    "pings",    // Answers what nobody asked.
    "pongs",    // Talks about channels that are not there, and reads nothing.
    "talk",     // Sends words of the application before anything is signed.
    "words",    // Asks for one channel after the other.
    "openings", // Asks for an app and does not read it.
    "apps",     // Keeps sessions under many names, with signs of life.
    "idle",     // Connects and says nothing, fifty times a second.
    "half",     // Connects and says what is not the protocol.
    "noise",    // Sends messages that do not decode.
    "garbage",  // Sends messages as long as a stranger's may be, about nothing.
    "long",     // Sends 4 MiB of empty notes.
    "notes",
];

struct Stranger {
    to: PeerAddress,
    number: u64,
    sessions: u64,
    arbiter: (Domain, Hash),
}

pub(crate) async fn play(kind: &str) {
    let to: PeerAddress = env::var(TO).unwrap().parse().unwrap();
    let number = env::var(NUMBER).unwrap().parse().unwrap();
    let arbiter = hex::decode(env::var(ARBITER_CODE).unwrap()).unwrap();
    let mut stranger = Stranger { to, number, sessions: 0, arbiter: decode_exact(&arbiter).unwrap() };
    match kind {
        "half" => stranger.half_open().await,
        "noise" => stranger.noise().await,
        "idle" => stranger.idle().await,
        _ => loop {
            let Some((sender, receiver)) = stranger.connect().await else { continue };
            stranger.be(kind, sender, receiver).await;
        },
    }
}

impl Stranger {
    /// A session under a new name. None where the node is not to be had just now.
    async fn connect(&mut self) -> Option<(Sender, Receiver)> {
        self.sessions += 1;
        let session = dial(&self.identity(), &self.to, ConnectionTimeouts::default()).await;
        match session {
            Ok(session) => Some(session.split()),
            Err(_busy) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                None
            }
        }
    }

    fn identity(&self) -> Identity {
        let mut seed = [77; 32];
        seed[..8].copy_from_slice(&self.number.to_be_bytes());
        seed[8..16].copy_from_slice(&self.sessions.to_be_bytes());
        Identity::from_seed(&seed)
    }

    /// Until it is cut off.
    async fn be(&self, kind: &str, sender: Sender, mut receiver: Receiver) {
        let nowhere = ChannelRef([9; 16]);
        match kind {
            "pings" => flood(sender, || Packet::Ping.encode()).await,
            "pongs" => flood(sender, || Packet::Pong.encode()).await,
            "talk" => flood(sender, || Packet::Channel(nowhere, Message::FundingLocked).encode()).await,
            "apps" => {
                let mut code = [0; 32];
                hex::decode_to_slice(env::var(CODE).unwrap().trim_start_matches("0x"), &mut code).unwrap();
                flood(sender, || Packet::CodeWanted { code: Hash(code), from: 0 }.encode()).await;
            }
            "words" => {
                let mut sender = sender;
                let opening = Packet::Channel(nowhere, Message::ChannelOpen(self.opening())).encode();
                let _asked = sender.send(&opening).await;
                let _answer = receiver.recv().await;
                flood(sender, || Packet::Channel(nowhere, Message::Inband(vec![7])).encode()).await;
            }
            "openings" => {
                let reading = tokio::spawn(async move { while receiver.recv().await.is_ok() {} });
                let mut number = 0_u64;
                flood(sender, || {
                    number += 1;
                    let mut reference = [0; 16];
                    reference[..8].copy_from_slice(&number.to_be_bytes());
                    Packet::Channel(ChannelRef(reference), Message::ChannelOpen(self.opening())).encode()
                })
                .await;
                reading.abort();
            }
            "garbage" => flood(sender, || vec![0x55; 1_000]).await,
            "notes" => {
                let update = Update {
                    round: 3,
                    base: Base::of(1),
                    height: 0,
                    refuses: None,
                    changes: vec![Change::Meta(Vec::new()); 2_000_000],
                    state_hash: Hash([1; 32]),
                    signature: Signature([2; 64]),
                };
                let bytes = Packet::Channel(nowhere, Message::Update(update)).encode();
                flood(sender, || bytes.clone()).await;
            }
            "long" => {
                let bytes = [&[0][..], &nowhere.0, &[0xee; 60_000]].concat();
                flood(sender, || bytes.clone()).await;
            }
            other => panic!("{other} is no kind of hostility"),
        }
    }

    fn opening(&self) -> ChannelOpen {
        ChannelOpen {
            domain: self.arbiter.0,
            code_hash: self.arbiter.1,
            initiator: PartyTerms {
                account: AccountId([4; 32]),
                key: self.identity().public(),
                payout: Destination::Account,
                delegates: vec![Delegate::from(AccountId([5; 32])); MAX_DELEGATES],
            },
            reserve: 0,
            lock_period: 100,
            penalty: 0,
            max_forced: 1,
            balances: Pair::new(1_000, 0),
            shares: Pair::new(1_000, 0),
            validity: 100,
            transfers: TransferLimits::default(),
        }
    }

    /// As many sessions as there is room for, each with a sign of life now and then.
    async fn idle(&mut self) {
        let mut held = VecDeque::new();
        loop {
            if let Some((mut sender, mut receiver)) = self.connect().await {
                held.push_back(tokio::spawn(async move {
                    let living = async {
                        while sender.send(&Packet::Ping.encode()).await.is_ok() {
                            tokio::time::sleep(Duration::from_secs(2)).await;
                        }
                    };
                    let reading = async { while receiver.recv().await.is_ok() {} };
                    let _both = tokio::join!(living, reading);
                }));
            }
            if held.len() > 200 {
                held.pop_front().unwrap().abort();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn half_open(&self) {
        let mut held = VecDeque::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            let _tick = ticks.tick().await;
            if let Ok(stream) = TcpStream::connect((self.to.host(), self.to.port())).await {
                held.push_back(stream);
            }
            if held.len() > 300 {
                drop(held.pop_front());
            }
        }
    }

    async fn noise(&self) {
        loop {
            if let Ok(mut stream) = TcpStream::connect((self.to.host(), self.to.port())).await {
                let _written = stream
                    .write_all(b"\0\x3achannels\0\x01and whatever comes after it, which is nothing that anybody knows")
                    .await;
                let mut answer = [0; 64];
                let _answer = tokio::io::AsyncReadExt::read(&mut stream, &mut answer).await;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// As fast as the node takes it, and nothing is read.
async fn flood(mut sender: Sender, mut next: impl FnMut() -> Vec<u8>) {
    loop {
        for _ in 0..512 {
            if sender.feed(&next()).await.is_err() {
                return;
            }
        }
        if sender.flush().await.is_err() {
            return;
        }
    }
}
