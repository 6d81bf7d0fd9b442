//! What openings that come to nothing cost a node: its store, and its view of the chain.

use crate::party::Stranger;
use async_trait::async_trait;
use futures::stream::BoxStream;
use sdk::{
    Node, NodeConfig,
    chain::{
        Arbiter, Block, BlockRef, Chain, ChainError, DryRun, Receipt, Signer, Transaction, Urgency, Weight,
        arbiter::selector, testing::MemoryChain,
    },
    channel::{ChannelRef, FundingCreated, Message, RefusalCode},
    node::{Packet, Storage},
    protocol::{AccountId, Amount, BlockNumber, Hash, Signature},
    store::{Durability, StoreHandle},
};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

const OPENINGS: u8 = 30;

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

/// Bob's node on a chain that counts how often vaults are read, and a stranger that he has heard.
async fn watched(chain: &MemoryChain, kept: &Path) -> (Node, Arc<Asked>, Stranger) {
    let address = chain.arbiter().await.unwrap().info().domain.arbiter;
    let asked = Arc::new(Asked { chain: chain.clone(), vaults: AtomicUsize::new(0) });
    let (mut config, _store) = config(chain, "bob", kept).await;
    config.arbiter = Arc::new(Arbiter::attach(asked.clone(), address, None).await.unwrap());
    let bob = Node::start(config).await.unwrap();
    let mut stranger = Stranger::connect(chain, &bob.address().unwrap(), 7).await;
    stranger.is_served().await;
    (bob, asked, stranger)
}

/// Says `funding` of an opening, and hears how it is refused.
async fn refused(stranger: &mut Stranger, name: ChannelRef, funding: FundingCreated) -> RefusalCode {
    stranger.say(&Packet::Channel(name, Message::FundingCreated(funding))).await;
    match stranger.hear().await {
        Packet::Channel(about, Message::Error { code }) if about == name => code,
        heard => panic!("{heard:?}"),
    }
}

/// Nothing of it is anything that a crash could take back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_that_nobody_has_signed_costs_the_store_nothing() {
    let (chain, kept) = (MemoryChain::new(), tempfile::tempdir().unwrap());
    let (config, store) = config(&chain, "bob", kept.path()).await;
    let bob = Node::start(config).await.unwrap();
    let mut stranger = Stranger::connect(&chain, &bob.address().unwrap(), 7).await;
    stranger.is_served().await;
    let before = store.counters();
    for number in 0..OPENINGS {
        let _opening = stranger.asks_for(&bob, name(number)).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_without_its_initiators_signature_has_no_vault_read() {
    let (chain, kept) = (MemoryChain::new(), tempfile::tempdir().unwrap());
    let (bob, asked, mut stranger) = watched(&chain, kept.path()).await;
    let valid_until = chain.block_number() + 50;
    let before = asked.vaults.load(Ordering::SeqCst);
    for number in 0..OPENINGS {
        let _opening = stranger.asks_for(&bob, name(number)).await;
        let funding = FundingCreated { nonce: 1 + u64::from(number), valid_until, signature: Signature([7; 64]) };
        assert_eq!(refused(&mut stranger, name(number), funding).await, RefusalCode::VALIDATION);
    }
    assert_eq!(asked.vaults.load(Ordering::SeqCst), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_vault_is_read_once_a_block() {
    let (chain, kept) = (MemoryChain::new(), tempfile::tempdir().unwrap());
    let (bob, asked, mut stranger) = watched(&chain, kept.path()).await;
    let valid_until = chain.block_number() + 50;
    let before = asked.vaults.load(Ordering::SeqCst);
    for number in 0..OPENINGS {
        let opening = stranger.asks_for(&bob, name(number)).await;
        let funding = stranger.signs(&opening, 1 + u64::from(number), valid_until);
        assert_eq!(refused(&mut stranger, name(number), funding).await, RefusalCode::UNFUNDED);
    }
    let reads = asked.vaults.load(Ordering::SeqCst) - before;
    // The stranger's task may hear of the newest block in between.
    assert!((1..=2).contains(&reads), "one vault was read {reads} times within one block");
}

/// An account is only a name to somebody who signs for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_that_names_another_account_each_time_has_few_vaults_read() {
    let (chain, kept) = (MemoryChain::new(), tempfile::tempdir().unwrap());
    let (bob, asked, mut stranger) = watched(&chain, kept.path()).await;
    let valid_until = chain.block_number() + 50;
    let before = asked.vaults.load(Ordering::SeqCst);
    let mut last = None;
    for number in 0..OPENINGS {
        stranger.party.account = AccountId([100 + number; 32]);
        let opening = stranger.asks_for(&bob, name(number)).await;
        let funding = stranger.signs(&opening, 1 + u64::from(number), valid_until);
        last = Some(refused(&mut stranger, name(number), funding).await);
    }
    assert_eq!(last, Some(RefusalCode::BUSY));
    let reads = asked.vaults.load(Ordering::SeqCst) - before;
    assert!((4..=8).contains(&reads), "{reads} vaults were read for one stranger within one block");
}
