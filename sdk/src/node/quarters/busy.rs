//! What peers with channels, and whatever follows the chain, wait for where the strangers' thread has no time: it gives way to all others (R6.9c), so on a busy machine it
//! may have none for long. Here it has none at all.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::{
    chain::{Signer, testing::MemoryChain},
    keys::{Identity, PeerAddress},
    node::{Node, NodeConfig, OpenChannel, Packet},
    transport::{ConnectionTimeouts, Receiver, Sender, dial},
};
use channel::{ChannelOpen, ChannelRef, Message, RefusalCode};
use protocol::{
    Pair,
    terms::{Destination, PartyTerms},
};
use scale::Encode;
use std::{sync::mpsc, time::Duration};
use tokio::{task::yield_now, time::timeout};

/// What takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(60);

struct Stranger {
    sender: Sender,
    receiver: Receiver,
    party: PartyTerms,
}

impl Stranger {
    async fn connect(chain: &MemoryChain, to: &PeerAddress, number: u8) -> Self {
        let identity = Identity::from_seed(&[number; 32]);
        let session = dial(&identity, to, ConnectionTimeouts::default()).await.unwrap();
        let account = chain.rich(&format!("stranger{number}")).account();
        let party = PartyTerms { account, key: identity.public(), payout: Destination::Account, delegates: Vec::new() };
        let (sender, receiver) = session.split();
        let mut stranger = Self { sender, receiver, party };
        stranger.is_served().await;
        stranger
    }

    async fn is_served(&mut self) {
        self.sender.send(&Packet::Ping.encode()).await.unwrap();
        while Packet::from_bytes(&self.receiver.recv().await.unwrap()).unwrap() != Packet::Pong {}
    }

    async fn asks_for(&mut self, node: &Node, name: ChannelRef) {
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
        self.sender.send(&Packet::Channel(name, Message::ChannelOpen(open)).encode()).await.unwrap();
        let heard = Packet::from_bytes(&self.receiver.recv().await.unwrap()).unwrap();
        assert!(matches!(heard, Packet::Channel(_, Message::ChannelAccept(_))), "{heard:?}");
    }

    async fn gives_up(&mut self, name: ChannelRef) {
        let error = Message::Error { code: RefusalCode::TIMEOUT };
        self.sender.send(&Packet::Channel(name, error).encode()).await.unwrap();
    }
}

/// Until this is dropped the strangers' thread has no time.
fn busy(node: &Node) -> mpsc::Sender<()> {
    let (end, ended) = mpsc::channel();
    let (began, begun) = mpsc::channel();
    let _task = node.inner.peers.quarters.of(true).spawn(async move {
        let _here = began.send(());
        let _over = ended.recv();
    });
    begun.recv().unwrap();
    end
}

/// Alice and Bob, who hears strangers' words about swaps, and a channel of theirs.
async fn couple(chain: &MemoryChain) -> (Node, Node, crate::ChannelHandle) {
    let alice = Node::start(NodeConfig::for_tests(chain, "alice").await.unwrap()).await.unwrap();
    let mut config = NodeConfig::for_tests(chain, "bob").await.unwrap();
    config.routing.swaps.takes_strangers = true;
    let bob = Node::start(config).await.unwrap();
    let _done = alice.vault_deposit(2_000_000).await.unwrap();
    let peer = alice.connect(&bob.address().unwrap()).await.unwrap();
    let channel = alice.open_channel(peer, OpenChannel::new(1_000_000, 0)).await.unwrap();
    // By now Bob has seen the channel too, and Alice is no stranger to him.
    let _paid = channel.pay(1, "").await.unwrap();
    (alice, bob, channel)
}

/// A program that has nothing to do with strangers does not notice that they get no time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_go_on_while_strangers_get_no_time() {
    let chain = MemoryChain::new();
    let (alice, bob, channel) = couple(&chain).await;
    let _stranger = Stranger::connect(&chain, &bob.address().unwrap(), 7).await;
    let (_alices, _bobs) = (busy(&alice), busy(&bob));
    for _ in 0..100 {
        let _paid = timeout(PATIENCE, channel.pay(1, "")).await.unwrap().unwrap();
    }
}

/// What a stranger has the router told while somebody else has its turn.
async fn payment_beside(said: impl AsyncFnOnce(&mut Stranger, &Node)) {
    let chain = MemoryChain::new();
    let (_alice, bob, channel) = couple(&chain).await;
    let mut stranger = Stranger::connect(&chain, &bob.address().unwrap(), 7).await;
    let mut witness = Stranger::connect(&chain, &bob.address().unwrap(), 8).await;
    let turn = bob.inner.peers.routing.turn().await;
    said(&mut stranger, &bob).await;
    stranger.sender.send(&Packet::Ping.encode()).await.unwrap();
    // The same thread answers another stranger: the first one's task has had its turns meanwhile.
    for _ in 0..20 {
        witness.is_served().await;
    }
    let _busy = busy(&bob);
    turn.leave();
    let paid = timeout(PATIENCE, channel.pay(1, "")).await;
    let _paid = paid.expect("the payment does not wait for the strangers' thread").unwrap();
}

/// Every payment is said to the router, one turn at a time, in the order of asking: so no task of strangers is in that line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_payment_waits_for_the_strangers_thread_where_a_stranger_gives_up_an_opening() {
    payment_beside(async |stranger: &mut Stranger, bob: &Node| {
        let name = ChannelRef([7; 16]);
        stranger.asks_for(bob, name).await;
        stranger.gives_up(name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_payment_waits_for_the_strangers_thread_where_a_stranger_speaks_of_swaps() {
    payment_beside(async |stranger: &mut Stranger, _: &Node| {
        for number in 0..10 {
            stranger.sender.send(&Packet::Swap(vec![number; 40]).encode()).await.unwrap();
        }
    })
    .await;
}

/// A node that catches up after a long absence does so as fast beside strangers as without: their tasks are told of no block, and none waits for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_follows_the_chain_does_not_wait_for_strangers() {
    let chain = MemoryChain::new();
    let bob = Node::start(NodeConfig::for_tests(&chain, "bob").await.unwrap()).await.unwrap();
    let _stranger = Stranger::connect(&chain, &bob.address().unwrap(), 7).await;
    let _busy = busy(&bob);
    let head = chain.pass(2_000).number;
    let follows = async {
        while bob.inner.peers.head() < head {
            yield_now().await;
        }
    };
    timeout(PATIENCE, follows).await.expect("the head");
    let following = &bob.inner.peers.following;
    assert_eq!(following.done(head), head, "what is noted as looked at waits for no stranger");
    assert_eq!(following.all().len(), 0, "and the defence looks for none of them");
}
