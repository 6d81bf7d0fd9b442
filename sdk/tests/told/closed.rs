//! A program was told of a payment once both had signed it (R6.4c), its node crashed before that was kept, and the peer closes alone while it is away: on the round that was not kept, or on the
//! state before it.

use sdk::{
    Node, NodeConfig, OpenChannel,
    chain::testing::MemoryChain,
    channel::{Certainty, PaymentOutcome},
    keys::PeerAddress,
    node::{Ack, ChannelHandle, Storage, Told},
    protocol::{Amount, call::Call, terms::Destination},
    store::{Durability, StoreHandle},
};
use std::{path::Path, thread, time::Duration};
use tokio::{task::yield_now, time::timeout};

const PATIENCE: Duration = Duration::from_secs(60);
const KEY: &str = "coffee";

async fn alice(chain: &MemoryChain, kept: &Path) -> NodeConfig {
    let mut config = NodeConfig::for_tests(chain, "alice").await.unwrap();
    let store = StoreHandle::open(kept, Durability::Immediate).unwrap();
    (config.told, config.storage) = (Told::OnceAgreed, Storage::Disk(store));
    (config.ack, config.payout) = (Ack::Manual, Destination::Vault);
    config
}

/// Alice in a runtime of her own, which is gone as soon as she is told of her second payment.
fn pays_and_crashes(chain: &MemoryChain, kept: &Path, bob: &PeerAddress, before: std::sync::mpsc::SyncSender<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let node = Node::start(alice(chain, kept).await).await.unwrap();
        let _done = node.vault_deposit(2_000_000).await.unwrap();
        let peer = node.connect(bob).await.unwrap();
        let channel = node.open_channel(peer, OpenChannel::new(1_000_000, 0)).await.unwrap();
        let _paid = channel.pay_once("before", 1, "").await.unwrap();
        // Both keep that, and Bob notes what he may close on.
        let _kept = channel.status().await.unwrap();
        before.send(()).unwrap();
        before.send(()).unwrap();
        let _paid = channel.pay_once(KEY, 5, "").await.unwrap();
    });
}

/// What Alice's payment has come to, and what she has in the end, where Bob has closed.
async fn closed_by_bob(on_it: bool) -> (PaymentOutcome, Amount) {
    let (chain, kept) = (MemoryChain::new(), tempfile::tempdir().unwrap());
    let bob = Node::start(NodeConfig::for_tests(&chain, "bob").await.unwrap()).await.unwrap();
    let (ready, begun) = std::sync::mpsc::sync_channel(0);
    let crashing = thread::spawn({
        let (chain, kept, at) = (chain.clone(), kept.path().to_owned(), bob.address().unwrap());
        move || pays_and_crashes(&chain, &kept, &at, ready)
    });
    tokio::task::block_in_place(|| begun.recv()).unwrap();
    let bobs: ChannelHandle = bob.channels(bob.peers()[0]).await.unwrap()[0].clone();
    let old = bobs.evidence().await.unwrap().unwrap();
    tokio::task::block_in_place(|| begun.recv()).unwrap();
    tokio::task::block_in_place(|| crashing.join()).unwrap();
    assert_eq!(bobs.balances().await.unwrap().unwrap().ours, 6, "Bob has the round");

    if on_it {
        let closing = bobs.clone();
        drop(tokio::spawn(async move { closing.close_solo(Certainty::OwnStoreIsNewest).await }));
    } else {
        // He denies what he has signed, and is gone.
        bob.clone().stop().await;
        let call = Call::ChannelCloseSolo(old);
        let _done = chain.arbiter().await.unwrap().call(&chain.rich("bob"), &call, 0).await.unwrap();
    }
    let node = Node::start(alice(&chain, kept.path()).await).await.unwrap();
    let [channel] = &node.channels(bob.identity()).await.unwrap()[..] else { panic!("there is one channel") };
    let again = tokio::spawn({
        let channel = channel.clone();
        async move { channel.pay_once(KEY, 5, "").await }
    });
    let ended = async {
        while channel.status().await.unwrap().closed.is_none() {
            let head = chain.pass(50).number;
            while channel.head().await.unwrap() < head {
                yield_now().await;
            }
        }
    };
    timeout(PATIENCE, ended).await.expect("the end");
    let answer = timeout(PATIENCE, again).await.expect("an answer").unwrap();
    let outcome = channel.payment(KEY).await.unwrap().unwrap().outcome;
    assert_eq!(answer.is_ok(), matches!(outcome, PaymentOutcome::Paid(_)), "{answer:?}, {outcome:?}");
    (outcome, node.vault_balance().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_is_paid_where_the_peer_closes_on_it_before_it_was_kept() {
    let (outcome, has) = closed_by_bob(true).await;
    assert!(matches!(outcome, PaymentOutcome::Paid(_)), "{outcome:?}");
    assert_eq!(has, 2_000_000 - 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_goes_back_to_its_payer_where_the_peer_closes_on_the_state_before() {
    let (outcome, has) = closed_by_bob(false).await;
    assert_eq!((outcome, has), (PaymentOutcome::Dropped, 2_000_000 - 1));
}
