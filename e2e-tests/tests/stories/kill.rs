//! `kill -9`, for real: Bob's node runs in a process of its own, which is killed again and again while both pay.
//!
//! This test program starts itself again with one test only, and with what that needs in its environment. The chain stays here, and the other
//! process reads it through an endpoint.

use channel::{ChannelRef, CloseReason};
use e2e_tests::{Actor, Endpoint, RemoteChain, UNIT, World, account, signer, terms, within};
use protocol::{AccountId, Pair, call::Call};
use sdk::{
    chain::Arbiter,
    keys::PeerAddress,
    node::{ChannelHandle, Node, NodeConfig},
    store::{Durability, StoreHandle},
};
use std::{env, path::PathBuf, process::Stdio, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

const STORE: &str = "KILL_TEST_STORE";
const CHAIN: &str = "KILL_TEST_CHAIN";
const ARBITER: &str = "KILL_TEST_ARBITER";
const NEXT: &str = "KILL_TEST_NEXT";
const LISTENS: &str = "listens at ";
const PAID: &str = "paid number ";
/// What Bob pays.
const BOBS: u128 = 1_000;
/// What Alice pays.
const ALICES: u128 = 1_000_000;

/// Not a test by itself: Bob's node, which pays Alice numbers one after the other and prints each once it is agreed, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_node_pays_until_it_is_killed() {
    let Some(store) = env::var_os(STORE) else { return };
    let chain = Arc::new(RemoteChain::at(PathBuf::from(env::var_os(CHAIN).unwrap())));
    let address: [u8; 32] = hex(&env::var(ARBITER).unwrap());
    let arbiter = Arc::new(Arbiter::attach(chain, AccountId(address), None).await.unwrap());
    let mut config = NodeConfig::new(e2e_tests::identity("bob"), Arc::new(signer("bob")), arbiter);
    config.listen = Some("127.0.0.1:0".into());
    config.store = Some(StoreHandle::open(&PathBuf::from(store), Durability::Immediate).unwrap());
    let node = Node::start(config).await.unwrap();
    println!("{LISTENS}{}", node.address().unwrap());
    let alice = e2e_tests::identity("alice").public();
    let channel = e2e_tests::until("Alice's channel to be open", || async {
        let channel = node.channels(alice).await.unwrap().into_iter().next()?;
        (channel.status().await.unwrap().state == "open").then_some(channel)
    })
    .await;
    let first: u32 = env::var(NEXT).unwrap().parse().unwrap();
    for number in first.. {
        // Alice may close it, and then there is no more to do.
        let Ok(_paid) = channel.pay(BOBS, number.to_be_bytes()).await else { break };
        println!("{PAID}{number}");
    }
    let _ended = channel.closed().await;
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let digits = text.trim_start_matches("0x");
    std::array::from_fn(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
}

/// Bob's process.
struct Bob {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: PeerAddress,
}

impl Bob {
    async fn start(world: &World, endpoint: &Endpoint, next: u32) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["kill::child_node_pays_until_it_is_killed", "--exact", "--nocapture", "--test-threads=1"])
            .env(STORE, world.store_of("bob"))
            .env(CHAIN, endpoint.path())
            .env(ARBITER, world.arbiter.info().domain.arbiter.to_string())
            .env(NEXT, next.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = within("Bob's process to listen", async {
            loop {
                let line = lines.next_line().await.unwrap().expect("Bob's process goes on");
                if let Some((_, address)) = line.split_once(LISTENS) {
                    return address.parse().unwrap();
                }
            }
        });
        let address = address.await;
        Self { child, lines, address }
    }

    /// The next number that Bob was told is paid; none when the process has ended.
    async fn next_paid(&mut self) -> Option<u32> {
        loop {
            let line = within("Bob's next payment", self.lines.next_line()).await.unwrap()?;
            if let Some((_, number)) = line.split_once(PAID) {
                return Some(number.parse().unwrap());
            }
        }
    }

    /// Kills it, and answers the last number that Bob was told is paid.
    async fn kill(mut self, mut last: Option<u32>) -> Option<u32> {
        self.child.kill().await.unwrap();
        while let Some(number) = self.next_paid().await {
            last = Some(number);
        }
        last
    }
}

async fn open_with(alice: &Actor, bob: &Bob) -> ChannelHandle {
    let peer = within("a connection", alice.node.connect(&bob.address)).await.unwrap();
    within("a channel to open", alice.node.open_channel(peer, terms())).await.unwrap()
}

/// The numbers that Alice was paid, in order.
fn numbers(alice: &Actor, channel: ChannelRef) -> Vec<u32> {
    let number = |reference: Vec<u8>| u32::from_be_bytes(reference.try_into().unwrap());
    alice.events.received(channel).into_iter().map(|payment| number(payment.reference)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_again_and_again_loses_nothing_that_anybody_was_told_and_pays_nothing_twice() {
    let world = World::new().await;
    let alice = world.start_rich("alice", 200 * UNIT).await;
    let (owner, deposit) = (signer("bob"), Call::VaultDeposit);
    let _done = within("Bob's deposit", world.arbiter.call(&owner, &deposit, 200 * UNIT)).await.unwrap();
    let before = world.coins().await;
    let endpoint = Endpoint::serve(Arc::new(world.chain.clone()), world.store_of("chain"));

    let mut bob = Bob::start(&world, &endpoint, 0).await;
    let alices = open_with(&alice, &bob).await;
    let channel = alices.reference();
    let mut paying = alice_pays(&alices);
    let mut alice_paid = 0;
    let mut told = None;
    for kill_after in [1_u32, 3, 10, 25, 60] {
        for _ in 0..kill_after {
            told = bob.next_paid().await;
        }
        told = bob.kill(told).await.or(told);
        // A new process goes on where Bob knows to have left off: what he was not told of he must look up first.
        let next = numbers(&alice, channel).last().copied().max(told).map_or(0, |last| last + 1_000);
        bob = Bob::start(&world, &endpoint, next).await;
        let _peer = within("a connection", alice.node.connect(&bob.address)).await.unwrap();
        alice_paid += within("Alice's payments", paying).await.unwrap();
        paying = alice_pays(&alices);
        let heard = numbers(&alice, channel);
        assert!(told.is_none_or(|told| heard.contains(&told)), "Bob was told that {told:?} is paid: {heard:?}");
    }
    alice_paid += within("Alice's payments", paying).await.unwrap();

    let heard_before = numbers(&alice, channel);
    assert!(heard_before.windows(2).all(|pair| pair[0] < pair[1]), "in order, and each once: {heard_before:?}");
    let CloseReason::Mutual { balances } = within("the close", alices.close(0)).await.unwrap() else { panic!() };
    let _ended = alice.events.wait_end(channel).await;
    let bob_paid = u128::try_from(numbers(&alice, channel).len()).unwrap();
    let gain = bob_paid * BOBS;
    let loss = alice_paid * ALICES;
    assert_eq!(balances, Pair::new(100 * UNIT + gain - loss, 100 * UNIT + loss - gain));
    let won = i128::try_from(gain).unwrap() - i128::try_from(loss).unwrap();
    world.coins().await.check(&before, &[(account("alice"), won), (account("bob"), -won)]);
}

/// Alice makes some payments, whatever happens to Bob; how many she was told are made.
fn alice_pays(channel: &ChannelHandle) -> tokio::task::JoinHandle<u128> {
    let channel = channel.clone();
    tokio::spawn(async move {
        for _ in 0..20 {
            let _paid = channel.pay(ALICES, "from Alice").await.unwrap();
        }
        20
    })
}
