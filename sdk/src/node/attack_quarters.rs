//! What peers with channels, and whatever follows the chain, wait for where the strangers' thread has no time: it gives way to all others (R6.9c), so on a busy machine it
//! may have none for long. Here it has none at all.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{Node, NodeConfig, OpenChannel, Packet};
use crate::{
    chain::testing::MemoryChain,
    keys::{Identity, PeerAddress},
    transport::{ConnectionTimeouts, Receiver, Sender, dial},
};
use channel::{ChannelOpen, ChannelRef, Message, RefusalCode};
use protocol::{
    Pair,
    terms::{Destination, PartyTerms},
};
use scale::Encode;
use std::{
    sync::mpsc,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// What takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(10);

struct Stranger {
    sender: Sender,
    receiver: Receiver,
    party: PartyTerms,
}

impl Stranger {
    async fn connect(chain: &MemoryChain, to: &PeerAddress, number: u8) -> Self {
        let identity = Identity::from_seed(&[number; 32]);
        let session = dial(&identity, to, ConnectionTimeouts::default()).await.unwrap();
        let account = crate::chain::Signer::account(&chain.rich(&format!("stranger{number}")));
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

/// Alice and Bob, and a channel of theirs.
async fn couple(chain: &MemoryChain) -> (Node, Node, crate::ChannelHandle) {
    let alice = Node::start(NodeConfig::for_tests(chain, "alice").await.unwrap()).await.unwrap();
    let bob = Node::start(NodeConfig::for_tests(chain, "bob").await.unwrap()).await.unwrap();
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

/// Every payment changes what can be offered in its channel, and is said to the router, one turn at a time, in the order of asking. A stranger's opening that comes to nothing
/// is said to the router too (`ChannelClosed`), by its task, on the strangers' thread. Once that task is in the line, or has the turn, every payment of every other peer
/// waits for it, and so for a thread that gives way to all others. Right would be that no task of strangers has the router's turn: a channel that was never signed is
/// nothing that the router knows of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_payment_waits_for_the_strangers_thread_behind_the_routers_turn() {
    let chain = MemoryChain::new();
    let (_alice, bob, channel) = couple(&chain).await;
    let mut stranger = Stranger::connect(&chain, &bob.address().unwrap(), 7).await;
    let name = ChannelRef([7; 16]);
    stranger.asks_for(&bob, name).await;
    let mut witness = Stranger::connect(&chain, &bob.address().unwrap(), 8).await;
    let turn = bob.inner.peers.routing.turn().await;
    stranger.gives_up(name).await;
    // Another stranger is answered by the same thread: the first one's task has had its turns meanwhile.
    for _ in 0..20 {
        witness.is_served().await;
    }
    stranger.sender.send(&Packet::Ping.encode()).await.unwrap();
    for _ in 0..20 {
        witness.is_served().await;
    }
    let _busy = busy(&bob);
    turn.leave();
    let paid = timeout(PATIENCE, channel.pay(1, "")).await;
    assert!(paid.is_ok(), "the payment waits for the strangers' thread");
}

/// Blocks are told at leisure, ten milliseconds each, while the slowest peer's task is more than 1,024 of them behind; and the last block that was looked at is noted only as far as
/// every task has come. The tasks of strangers count: so a node that catches up after a long absence, on a machine that is busy, is held up by whoever has connected
/// to it, in what R6.9e has wait for no peer, and peers with channels are not heard meanwhile (R6.6a). Right would be that tasks without a channel count for neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_follows_the_chain_does_not_wait_for_strangers() {
    const BLOCKS: u32 = 4_000;
    let chain = MemoryChain::new();
    let bob = Node::start(NodeConfig::for_tests(&chain, "bob").await.unwrap()).await.unwrap();
    let follows = async || {
        let head = chain.pass(BLOCKS).number;
        let began = Instant::now();
        while bob.inner.peers.head() < head {
            sleep(Duration::from_millis(5)).await;
        }
        (head, began.elapsed())
    };
    let (_head, alone) = follows().await;
    let _stranger = Stranger::connect(&chain, &bob.address().unwrap(), 7).await;
    let _busy = busy(&bob);
    let beside = timeout(alone * 4 + PATIENCE, follows()).await;
    let Ok((head, beside)) = beside else {
        panic!(
            "{BLOCKS} blocks took {alone:?} alone, and are not followed in {:?} beside a stranger",
            alone * 4 + PATIENCE
        )
    };
    println!("{alone:?} alone, {beside:?} beside a stranger");
    assert_eq!(bob.inner.peers.following.done(head), head, "what is noted as looked at waits for a stranger");
}
