//! The end of a node, and of what strangers leave in it.

use crate::party::{PATIENCE, Stranger, until};
use sdk::{
    Node, NodeConfig,
    chain::testing::MemoryChain,
    keys::{Identity, PeerAddress},
    node::{Packet, Storage},
    store::{Durability, StoreHandle},
    transport::{ConnectionTimeouts, dial},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

/// Strangers who come and go without end, some of whom say nothing; how many were served.
fn flood(to: &PeerAddress, over: &Arc<AtomicBool>, served: &Arc<AtomicUsize>) -> JoinSet<()> {
    let one = |number: u8| {
        let (to, over, served) = (to.clone(), Arc::clone(over), Arc::clone(served));
        async move {
            let identity = Identity::from_seed(&[100 + number; 32]);
            while !over.load(Ordering::SeqCst) {
                if number.is_multiple_of(4) {
                    let _silent = TcpStream::connect((to.host(), to.port())).await;
                } else if let Ok(session) = dial(&identity, &to, ConnectionTimeouts::default()).await {
                    let (mut sender, mut receiver) = session.split();
                    let _sent = sender.send(&scale::Encode::encode(&Packet::Ping)).await;
                    if receiver.recv().await.is_ok() {
                        let _before = served.fetch_add(1, Ordering::SeqCst);
                    }
                }
                tokio::task::yield_now().await;
            }
        }
    };
    (0..12).map(one).collect()
}

/// `Node::stop` waits until nothing of the node runs any more, whatever strangers do meanwhile: whoever has called it may start another node on the store at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_was_stopped_beside_strangers_has_let_go_of_its_store() {
    let (chain, kept) = (MemoryChain::new(), tempfile::tempdir().unwrap());
    for round in 0..40 {
        let mut config = NodeConfig::for_tests(&chain, "bob").await.unwrap();
        let store = StoreHandle::open(kept.path(), Durability::Immediate);
        config.storage = Storage::Disk(store.unwrap_or_else(|error| panic!("round {round}: {error}")));
        let bob = Node::start(config).await.unwrap();
        let (over, served) = (Arc::default(), Arc::default());
        let strangers = flood(&bob.address().unwrap(), &over, &served);
        until("strangers", async || served.load(Ordering::SeqCst) > round % 8).await;
        timeout(PATIENCE, bob.stop()).await.expect("a node stops beside strangers");
        over.store(true, Ordering::SeqCst);
        drop(strangers);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_that_has_gone_is_no_peer() {
    let chain = MemoryChain::new();
    let bob = Node::start(NodeConfig::for_tests(&chain, "bob").await.unwrap()).await.unwrap();
    let mut stranger = Stranger::connect(&chain, &bob.address().unwrap(), 7).await;
    stranger.is_served().await;
    assert_eq!(bob.peers(), [stranger.party.key]);
    drop(stranger);
    until("the end of its task", async || bob.peers().is_empty()).await;
}
