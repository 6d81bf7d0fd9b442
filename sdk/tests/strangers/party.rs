//! Somebody without any channel, as a node meets it on the wire.

use sdk::{
    Node, OpenChannel,
    chain::{Signer, testing::MemoryChain},
    channel::{ChannelAccept, ChannelOpen, ChannelRef, FundingCreated, Message},
    keys::{Identity, PeerAddress},
    node::Packet,
    protocol::{
        BlockNumber, Pair,
        crypto::Native,
        decode_exact,
        signing::signed_bytes,
        terms::{Destination, PartyTerms},
    },
    transport::{ConnectionTimeouts, Receiver, Sender, dial},
};
use std::time::Duration;
use tokio::{task::yield_now, time::timeout};

/// What takes longer does not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let holds = async {
        while !holds().await {
            yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, holds).await.is_ok(), "{what} does not come");
}

pub(crate) struct Stranger {
    identity: Identity,
    sender: Sender,
    receiver: Receiver,
    pub(crate) party: PartyTerms,
}

impl Stranger {
    pub(crate) async fn connect(chain: &MemoryChain, to: &PeerAddress, number: u8) -> Self {
        let identity = Identity::from_seed(&[number; 32]);
        let session = dial(&identity, to, ConnectionTimeouts::default()).await.unwrap();
        let account = chain.rich(&format!("stranger{number}")).account();
        let party = PartyTerms { account, key: identity.public(), payout: Destination::Account, delegates: Vec::new() };
        let (sender, receiver) = session.split();
        Self { identity, sender, receiver, party }
    }

    pub(crate) async fn say(&mut self, packet: &Packet) {
        self.sender.send(&scale::Encode::encode(packet)).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> Packet {
        let bytes = timeout(PATIENCE, self.receiver.recv()).await.unwrap().unwrap();
        decode_exact(&bytes).unwrap()
    }

    pub(crate) async fn is_served(&mut self) {
        self.say(&Packet::Ping).await;
        while self.hear().await != Packet::Pong {}
    }

    /// Asks for a channel, and has it accepted. What it asked for, and what it was answered.
    pub(crate) async fn asks_for(&mut self, node: &Node, name: ChannelRef) -> (ChannelOpen, ChannelAccept) {
        let info = *node.arbiter().info();
        let OpenChannel { our_share, peer_share, reserve, lock_period, penalty, max_forced, validity, .. } =
            OpenChannel::new(1_000_000, 0);
        let open = ChannelOpen {
            domain: info.domain,
            code_hash: info.code_hash,
            initiator: self.party.clone(),
            reserve,
            lock_period,
            penalty,
            max_forced,
            balances: Pair::new(our_share, peer_share),
            shares: Pair::new(our_share, peer_share),
            validity,
            transfers: Default::default(),
        };
        self.say(&Packet::Channel(name, Message::ChannelOpen(open.clone()))).await;
        match self.hear().await {
            Packet::Channel(_, Message::ChannelAccept(accept)) => (open, accept),
            heard => panic!("{heard:?}"),
        }
    }

    /// Its signature under an opening that was accepted.
    pub(crate) fn signs(
        &self,
        (open, accept): &(ChannelOpen, ChannelAccept),
        nonce: u64,
        valid_until: BlockNumber,
    ) -> FundingCreated {
        let body = open.body(&accept.responder, valid_until);
        let channel = body.terms.channel_id(&open.domain, nonce, &Native);
        let signature = self.identity.signing().sign(&signed_bytes(&open.domain, &channel, &body));
        FundingCreated { nonce, valid_until, signature }
    }
}
