//! What strangers without any coins may cost a node: its store, its view of the chain, its end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use async_trait::async_trait;
use futures::stream::BoxStream;
use sdk::{
    Node, NodeConfig, OpenChannel,
    chain::{
        Arbiter, Block, BlockRef, Chain, ChainError, DryRun, Receipt, Signer, Transaction, Urgency, Weight,
        arbiter::selector, testing::MemoryChain,
    },
    channel::{ChannelOpen, ChannelRef, FundingCreated, Message, RefusalCode},
    keys::{Identity, PeerAddress},
    node::{Packet, Storage},
    protocol::{
        AccountId, Amount, BlockNumber, Hash, Pair, Signature, decode_exact,
        terms::{Destination, PartyTerms},
    },
    store::{Durability, StoreHandle},
    transport::{ConnectionTimeouts, Receiver, Sender, dial},
};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};

const PATIENCE: Duration = Duration::from_secs(20);

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
        Self { sender, receiver, party }
    }

    async fn say(&mut self, packet: &Packet) {
        self.sender.send(&scale::Encode::encode(packet)).await.unwrap();
    }

    async fn hear(&mut self) -> Packet {
        let bytes = timeout(PATIENCE, self.receiver.recv()).await.unwrap().unwrap();
        decode_exact(&bytes).unwrap()
    }

    async fn is_served(&mut self) {
        self.say(&Packet::Ping).await;
        while self.hear().await != Packet::Pong {}
    }

    /// Asks for a channel, and has it accepted.
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
        self.say(&Packet::Channel(name, Message::ChannelOpen(open))).await;
        let heard = self.hear().await;
        assert!(matches!(heard, Packet::Channel(_, Message::ChannelAccept(_))), "{heard:?}");
    }
}

/// Another chain, and how often somebody's vault was read.
struct Asked {
    chain: MemoryChain,
    vaults: AtomicUsize,
}

#[async_trait]
impl Chain for Asked {
    async fn genesis(&self) -> Result<Hash, ChainError> {
        self.chain.genesis().await
    }

    async fn finalised_head(&self) -> Result<BlockRef, ChainError> {
        self.chain.finalised_head().await
    }

    async fn block_hash(&self, number: BlockNumber) -> Result<Option<Hash>, ChainError> {
        self.chain.block_hash(number).await
    }

    async fn free_balance(&self, account: &AccountId) -> Result<Amount, ChainError> {
        self.chain.free_balance(account).await
    }

    async fn code_hash(&self, contract: &AccountId) -> Result<Option<Hash>, ChainError> {
        self.chain.code_hash(contract).await
    }

    async fn code(&self, hash: &Hash) -> Result<Option<Vec<u8>>, ChainError> {
        self.chain.code(hash).await
    }

    async fn dry_run(&self, origin: &AccountId, transaction: &Transaction) -> Result<DryRun, ChainError> {
        if let Transaction::Call { data, .. } = transaction
            && data.starts_with(&selector("vault_balance"))
        {
            let _before = self.vaults.fetch_add(1, Ordering::SeqCst);
        }
        self.chain.dry_run(origin, transaction).await
    }

    async fn fee(&self, transaction: &Transaction, required: Weight) -> Result<Amount, ChainError> {
        self.chain.fee(transaction, required).await
    }

    async fn submit_urgently(
        &self,
        signer: &dyn Signer,
        transaction: Transaction,
        dry_run: &DryRun,
        urgency: Urgency,
    ) -> Result<Receipt, ChainError> {
        self.chain.submit_urgently(signer, transaction, dry_run, urgency).await
    }

    async fn finalised_blocks(
        &self,
        from: BlockNumber,
    ) -> Result<BoxStream<'static, Result<Block, ChainError>>, ChainError> {
        self.chain.finalised_blocks(from).await
    }
}

async fn config(chain: &MemoryChain, name: &str, kept: &Path) -> (NodeConfig, StoreHandle) {
    let mut config = NodeConfig::for_tests(chain, name).await.unwrap();
    let store = StoreHandle::open(kept, Durability::Immediate).unwrap();
    config.storage = Storage::Disk(store.clone());
    (config, store)
}

fn name(number: u8) -> ChannelRef {
    let mut name = [0xee; 16];
    name[0] = number;
    ChannelRef(name)
}

/// An opening that nobody has signed is nothing that a crash could take back, and yet its end is an event that is stored, and the channel is erased once that is
/// acknowledged: two durable commits for each opening that a stranger asks for and gives up, in the line before the payments of everybody else. One stranger says enough
/// for 64 openings a second. Right would be that nothing of an opening is stored before this side has signed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_that_nobody_has_signed_costs_the_store_nothing() {
    const OPENINGS: u8 = 30;
    let (chain, kept) = (MemoryChain::new(), tempfile::tempdir().unwrap());
    let (config, store) = config(&chain, "bob", kept.path()).await;
    let bob = Node::start(config).await.unwrap();
    let mut stranger = Stranger::connect(&chain, &bob.address().unwrap(), 7).await;
    stranger.is_served().await;
    let before = store.counters();
    for number in 0..OPENINGS {
        stranger.asks_for(&bob, name(number)).await;
        let error = Message::Error { code: RefusalCode::TIMEOUT };
        stranger.say(&Packet::Channel(name(number), error)).await;
    }
    stranger.is_served().await;
    let after = store.counters();
    let (batches, syncs) = (after.batches - before.batches, after.transactions - before.transactions);
    bob.stop().await;
    assert_eq!(
        batches, 0,
        "a stranger that has signed nothing had {syncs} durable writes made for {OPENINGS} openings"
    );
}

/// The vault of whoever wants an opening signed is read once a block for each peer only where there is enough in it. One who has nothing has it read anew for each opening, without
/// a valid signature, and as fast as a stranger may speak: with 64 openings a second from one stranger, and 32 strangers from one address, the node asks its chain's endpoints some 2,000
/// questions a second, which are dry runs. Right would be that an answer counts for the block in which it was given, also where it is "too little", and that a signature which is none is refused
/// before anybody is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_vault_is_read_once_a_block() {
    const OPENINGS: u8 = 30;
    let (chain, kept) = (MemoryChain::new(), tempfile::tempdir().unwrap());
    let address = chain.arbiter().await.unwrap().info().domain.arbiter;
    let asked = Arc::new(Asked { chain: chain.clone(), vaults: AtomicUsize::new(0) });
    let (mut config, _store) = config(&chain, "bob", kept.path()).await;
    config.arbiter = Arc::new(Arbiter::attach(asked.clone(), address, None).await.unwrap());
    let bob = Node::start(config).await.unwrap();
    let mut stranger = Stranger::connect(&chain, &bob.address().unwrap(), 7).await;
    stranger.is_served().await;
    let valid_until = chain.block_number() + 50;
    let before = asked.vaults.load(Ordering::SeqCst);
    for number in 0..OPENINGS {
        stranger.asks_for(&bob, name(number)).await;
        let funding = FundingCreated { nonce: 1 + u64::from(number), valid_until, signature: Signature([7; 64]) };
        stranger.say(&Packet::Channel(name(number), Message::FundingCreated(funding))).await;
        let heard = stranger.hear().await;
        let unfunded = Packet::Channel(name(number), Message::Error { code: RefusalCode::UNFUNDED });
        assert_eq!(heard, unfunded);
    }
    let reads = asked.vaults.load(Ordering::SeqCst) - before;
    bob.stop().await;
    assert!(reads <= 2, "one vault was read {reads} times within one block");
}

/// Strangers who come and go without end, some of whom say nothing.
fn flood(chain: &MemoryChain, to: PeerAddress, over: &Arc<AtomicBool>) -> Vec<tokio::task::JoinHandle<()>> {
    let one = |number: u8| {
        let (chain, to, over) = (chain.clone(), to.clone(), Arc::clone(over));
        tokio::spawn(async move {
            let identity = Identity::from_seed(&[100 + number; 32]);
            while !over.load(Ordering::SeqCst) {
                if number % 4 == 0 {
                    let _silent = TcpStream::connect((to.host(), to.port())).await;
                } else if let Ok(session) = dial(&identity, &to, ConnectionTimeouts::default()).await {
                    let (mut sender, mut receiver) = session.split();
                    let _sent = sender.send(&scale::Encode::encode(&Packet::Ping)).await;
                    let _heard = timeout(Duration::from_millis(20), receiver.recv()).await;
                }
                tokio::task::yield_now().await;
            }
            drop(chain);
        })
    };
    (0..12).map(one).collect()
}

/// Whoever has stopped a node may start another one on its store at once, whatever strangers do meanwhile: `Node::stop` waits until nothing of the node runs any more. It waits for each inbox to be
/// closed, and the task of a stranger that has gone (`Peer::retire`) closes its inbox first and lets go of the node's configuration, and so of the store, last: where its thread, which gives way to
/// all others, is interrupted in between, the store is still in use when `stop` returns and the node is dropped. It is seen in one round of forty on a busy machine, and in none on an
/// idle one. Right would be that `stop` waits for the ends of the tasks themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_was_stopped_beside_strangers_has_let_go_of_its_store() {
    let (chain, kept) = (MemoryChain::new(), tempfile::tempdir().unwrap());
    let mut held = 0;
    for round in 0..40 {
        let config = async {
            let mut config = NodeConfig::for_tests(&chain, "bob").await.unwrap();
            config.storage = Storage::Disk(StoreHandle::open(kept.path(), Durability::Immediate).ok()?);
            Some(config)
        };
        let Some(config) = config.await else {
            held += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let bob = Node::start(config).await.unwrap();
        let over = Arc::default();
        let strangers = flood(&chain, bob.address().unwrap(), &over);
        tokio::time::sleep(Duration::from_millis(20 + round)).await;
        timeout(PATIENCE, bob.stop()).await.expect("a node stops beside strangers");
        over.store(true, Ordering::SeqCst);
        drop(strangers);
    }
    assert_eq!(held, 0, "times that the store of a node which had stopped was in use");
}

/// What a stranger that has gone leaves behind stays listed until another newcomer comes: `Node::peers` names "everybody with whom it has channels or a connection", and names those
/// who have neither. Right would be that a task that ends takes its inbox with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_that_has_gone_is_no_peer() {
    let (chain, kept) = (MemoryChain::new(), tempfile::tempdir().unwrap());
    let (config, _store) = config(&chain, "bob", kept.path()).await;
    let bob = Node::start(config).await.unwrap();
    let mut stranger = Stranger::connect(&chain, &bob.address().unwrap(), 7).await;
    stranger.is_served().await;
    assert_eq!(bob.peers(), [stranger.party.key]);
    drop(stranger);
    let gone = async {
        while !bob.peers().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(timeout(Duration::from_secs(5), gone).await.is_ok(), "somebody who has gone is named as a peer");
}
