//! Peers that hold keys and obey no rule.

use crate::{account, address_at, identity, within};
use channel::{ChannelRef, FundingCreated, FundingSigned, Message};
use protocol::{
    Signature,
    crypto::Native,
    signing::{CreateBody, Domain, signed_bytes},
    terms::{Destination, PartyTerms},
};
use scale::Encode;
use sdk::{
    keys::PeerAddress,
    node::{Node, Packet},
    transport::{ConnectionTimeouts, Listener, PROTOCOL_VERSION, Receiver, Sender, dial},
};
use snow::StatelessTransportState;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// Somebody with a session of the real protocol, who says in it whatever it likes.
#[derive(Debug)]
pub struct Intruder {
    sender: Sender,
    receiver: Receiver,
}

impl Intruder {
    /// Connects as `name` to the node of `to`.
    pub async fn connect(name: &str, to: &'static str, at: SocketAddr) -> Self {
        Self::connect_to(name, &address_at(to, at)).await
    }

    /// Connects as `name` to the node at `address`.
    pub async fn connect_to(name: &str, address: &PeerAddress) -> Self {
        let us = identity(name);
        let session = within("an intruder's session", dial(&us, address, ConnectionTimeouts::default())).await.unwrap();
        let (sender, receiver) = session.split();
        Self { sender, receiver }
    }

    /// Has the node dial `name`, who is no stranger to it then.
    pub async fn dialled_by(node: &Node, name: &str) -> Self {
        let listener = Listener::bind("127.0.0.1:0", ConnectionTimeouts::default()).await.unwrap();
        let us = identity(name);
        let address = PeerAddress::new(us.public(), "127.0.0.1", listener.local_addr().port()).unwrap();
        let listening = async { listener.accept().await.unwrap().handshake(&us).await.unwrap() };
        let (session, _peer) = within("a node to dial an intruder", async {
            tokio::join!(listening, async { node.connect(&address).await.unwrap() })
        })
        .await;
        let (sender, receiver) = session.split();
        Self { sender, receiver }
    }

    /// Sends bytes as one message.
    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        within("an intruder's message", self.sender.send(bytes)).await.unwrap();
    }

    /// Sends a message about a channel.
    pub async fn say(&mut self, channel: ChannelRef, message: Message) {
        self.say_bytes(&Packet::Channel(channel, message).encode()).await;
    }

    /// Sends the same packet many times over, as one who does not care what comes of it; whether all of them could be sent.
    pub async fn floods(&mut self, packet: &Packet, times: usize) -> bool {
        let bytes = packet.encode();
        within("a flood", async {
            for _ in 0..times {
                if self.sender.feed(&bytes).await.is_err() {
                    return false;
                }
            }
            self.sender.flush().await.is_ok()
        })
        .await
    }

    /// Waits until the node hangs up, and reads what comes meanwhile.
    pub async fn is_hung_up_on(&mut self) {
        within("the node to hang up", async { while self.receiver.recv().await.is_ok() {} }).await;
    }

    /// The next packet that is no sign of life; none where the node has hung up.
    pub async fn hear(&mut self) -> Option<Packet> {
        within("the node's answer to an intruder", async {
            loop {
                let bytes = self.receiver.recv().await.ok()?;
                match Packet::from_bytes(&bytes).unwrap() {
                    Packet::Ping | Packet::Pong => {}
                    packet => return Some(packet),
                }
            }
        })
        .await
    }

    /// Whether the node answers a ping: it lives, and keeps the connection.
    pub async fn is_served(&mut self) -> bool {
        if self.sender.send(&Packet::Ping.encode()).await.is_err() {
            return false;
        }
        within("a pong", async {
            loop {
                match self.receiver.recv().await {
                    Ok(bytes) if Packet::from_bytes(&bytes) == Ok(Packet::Pong) => return true,
                    Ok(_other) => {}
                    Err(_closed) => return false,
                }
            }
        })
        .await
    }
}

/// `name` as a party of a channel.
#[must_use]
pub fn party_terms(name: &str) -> PartyTerms {
    PartyTerms {
        account: account(name),
        key: identity(name).public(),
        payout: Destination::Account,
        delegates: Vec::new(),
    }
}

/// The signature of `name` on an opening with this nonce.
#[must_use]
pub fn signs_opening(name: &str, domain: &Domain, body: &CreateBody, nonce: u64) -> Signature {
    let channel = body.terms.channel_id(domain, nonce, &Native);
    identity(name).signing().sign(&signed_bytes(domain, &channel, body))
}

/// What an initiator says next of an opening that was accepted.
#[must_use]
pub fn funding_created(name: &str, domain: &Domain, body: &CreateBody, nonce: u64) -> Message {
    let signature = signs_opening(name, domain, body, nonce);
    Message::FundingCreated(FundingCreated { nonce, valid_until: body.valid_until, signature })
}

/// What a responder answers to that.
#[must_use]
pub fn funding_signed(name: &str, domain: &Domain, body: &CreateBody, nonce: u64) -> Message {
    Message::FundingSigned(FundingSigned { signature: signs_opening(name, domain, body, nonce) })
}

/// A session whose frames are made by hand.
#[derive(Debug)]
pub struct RawSession {
    /// The connection.
    pub stream: TcpStream,
    cipher: StatelessTransportState,
    nonce: u64,
}

impl RawSession {
    /// Connects as `name` to the node of `to`, by the transport's description and without its code.
    pub async fn connect(name: &str, to: &str, at: SocketAddr) -> Self {
        Self::over(TcpStream::connect(at).await.unwrap(), name, to).await
    }

    /// Shakes hands as `name` with the node of `to`, over a connection to it.
    pub async fn over(mut stream: TcpStream, name: &str, to: &str) -> Self {
        let listener = identity(to).public();
        let mut seed = [0; 32];
        seed.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        let secret = ed25519_dalek::SigningKey::from_bytes(&seed).to_scalar_bytes();
        let noise_key =
            ed25519_dalek::VerifyingKey::from_bytes(listener.as_bytes()).unwrap().to_montgomery().to_bytes();
        let greeting = [&b"channels"[..], &PROTOCOL_VERSION.to_be_bytes()].concat();
        let prologue = [&greeting[..], listener.as_bytes()].concat();
        let mut noise = snow::Builder::new("Noise_XK_25519_ChaChaPoly_BLAKE2b".parse().unwrap())
            .local_private_key(&secret)
            .and_then(|builder| builder.remote_public_key(&noise_key))
            .and_then(|builder| builder.prologue(&prologue))
            .and_then(snow::Builder::build_initiator)
            .unwrap();

        let mut buffer = [0; 512];
        let length = noise.write_message(&[], &mut buffer).unwrap();
        write_frame(&mut stream, &[&greeting[..], &buffer[..length]].concat()).await;
        let length = stream.read_u16().await.unwrap();
        let mut reply = vec![0; length.into()];
        let _length = stream.read_exact(&mut reply).await.unwrap();
        let _empty = noise.read_message(&reply[1..], &mut buffer).unwrap();
        let length = noise.write_message(identity(name).public().as_bytes(), &mut buffer).unwrap();
        write_frame(&mut stream, &buffer[..length]).await;
        Self { stream, cipher: noise.into_stateless_transport_mode().unwrap(), nonce: 0 }
    }

    /// Sends a frame that seals `plain`, which need not be a message.
    pub async fn send_plain(&mut self, plain: &[u8]) {
        let mut sealed = vec![0; plain.len() + 16];
        let _length = self.cipher.write_message(self.nonce, plain, &mut sealed).unwrap();
        self.nonce += 1;
        write_frame(&mut self.stream, &sealed).await;
    }

    /// Waits until the node hangs up.
    pub async fn is_hung_up_on(&mut self) {
        hung_up(&mut self.stream).await;
    }
}

/// Connects to `to` from another address of this machine's own, `127.0.0.` and this number.
pub async fn connect_from(last: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
    within("a connection from another address", socket.connect(to)).await.unwrap()
}

/// Sends a frame as it is.
pub async fn write_frame(stream: &mut TcpStream, frame: &[u8]) {
    let length = u16::try_from(frame.len()).unwrap().to_be_bytes();
    within("a frame to be written", stream.write_all(&[&length[..], frame].concat())).await.unwrap();
}

/// Waits until the other side closes the connection.
pub async fn hung_up(stream: &mut TcpStream) {
    within("the node to hang up", async {
        let mut buffer = [0; 4096];
        while !matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)) {}
    })
    .await;
}
