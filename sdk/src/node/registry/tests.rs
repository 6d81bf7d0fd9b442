//! Heads, locks and registrations on a chain in memory, with whoever tells of final blocks played by hand.

use super::{
    for_tests::{lock, preimage, sha},
    *,
};
use crate::chain::{
    BestBlock, Block, Chain, ChainError, DryRun, Receipt, Recorder, SharedChain, Transaction, Weight,
    testing::{MemoryChain, Sealing},
};
use async_trait::async_trait;
use channel::transfer::Registered as Known;
use futures::{StreamExt, stream::BoxStream};
use protocol::{
    AccountId, Hash,
    call::{Call, MAX_PREIMAGES},
    contracts::conditional::HashFunction,
};
use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};
use tokio::{task::JoinSet, time::timeout};

const PEER: PublicKey = PublicKey([7; 32]);
/// An expiry that no test reaches unless it wants to.
const LATE: BlockNumber = 1_000;

/// A chain, what is seen of it, and everybody who works on that.
struct Scene {
    chain: MemoryChain,
    recorder: Arc<Recorder>,
    arbiter: Arc<Arbiter>,
    registry: LockRegistry,
    tasks: JoinSet<()>,
}

impl Scene {
    /// Transactions wait until a block is made.
    async fn new() -> Self {
        let chain = MemoryChain::builder().fee(10).build();
        let _deployed = chain.arbiter().await.unwrap();
        chain.set_sealing(Sealing::Manual);
        Self::seen(chain.clone(), Arc::new(chain)).await
    }

    /// As `seen` shows the chain.
    async fn seen(chain: MemoryChain, seen: SharedChain) -> Self {
        let address = chain.arbiter().await.unwrap().info().domain.arbiter;
        let recorder = Arc::new(Recorder::new(seen));
        let arbiter = Arc::new(Arbiter::attach(recorder.clone(), address, None).await.unwrap());
        let registry = LockRegistry::new(Pace::default(), chain.block_number());
        Self { chain, recorder, arbiter, registry, tasks: JoinSet::new() }
    }

    /// Has everybody begin to work.
    async fn run(&mut self) {
        let signer: Arc<dyn Signer> = Arc::new(self.chain.rich("hub"));
        let urgency = |until| Urgency { is_first: true, until: Some(until), tip_max: 0 };
        let _task = self.tasks.spawn(self.registry.clone().run(Arc::clone(&self.arbiter), signer, urgency));
        let (registry, arbiter) = (self.registry.clone(), Arc::clone(&self.arbiter));
        let from = arbiter.finalised_head().await.unwrap().number.saturating_add(1);
        let _task = self.tasks.spawn(async move {
            let mut blocks = arbiter.chain().finalised_blocks(from).await.unwrap();
            while let Some(Ok(block)) = blocks.next().await {
                let shown = block.events.iter().filter_map(|event| arbiter.preimage(event)).collect();
                registry.on_block(block.at, shown);
            }
        });
    }

    /// Everybody stops in the middle of what they do, and what they knew is gone.
    fn crash(&mut self) {
        self.tasks = JoinSet::new();
        self.registry = LockRegistry::new(Pace::default(), self.chain.block_number());
    }

    /// Waits until a transaction waits for its block.
    async fn waiting(&self) {
        let in_time = timeout(Duration::from_secs(20), self.chain.waiting(1)).await;
        assert!(in_time.is_ok(), "nothing was sent: {:?}", self.registry.report());
    }

    async fn until(&self, what: &str, is: impl Fn(&LockRegistry) -> bool) {
        let mut changes = self.registry.changes();
        let waiting = async {
            while !is(&self.registry) {
                changes.changed().await.unwrap();
            }
        };
        let in_time = timeout(Duration::from_secs(20), waiting).await;
        assert!(in_time.is_ok(), "{what}: {:?}", self.registry.report());
    }

    async fn registered(&self) -> usize {
        self.recorder.entries().iter().filter(|entry| entry.what == "preimages_register").count()
    }
}

#[tokio::test]
async fn what_waits_is_registered_together_and_known_once_it_is_final() {
    let mut scene = Scene::new().await;
    for of in 1..=5 {
        scene.registry.register(lock(of), preimage(of), LATE, PEER).unwrap();
    }
    let other = PublicKey([8; 32]);
    scene.registry.register(sha(1), preimage(1), LATE, other).unwrap();
    assert_eq!(scene.registry.register(lock(1), preimage(2), LATE, PEER), Err(WrongPreimage(lock(1))));
    let watching: Vec<_> = (1..=5).map(|of| scene.registry.watch(lock(of), LATE, Interest::Pays)).collect();
    scene.run().await;
    scene.waiting().await;
    let _head = scene.chain.pass(2);
    scene.waiting().await;
    let at = scene.chain.block_number() - 1;
    let shown = |registry: &LockRegistry| (1..=5).all(|of| registry.registered(&lock(of)) == Known::Shown { at });
    scene.until("all are shown", shown).await;
    let _head = scene.chain.pass(1);
    scene
        .until("the other function's too", |registry| registry.report().waiting + registry.report().under_way == 0)
        .await;
    assert_eq!(scene.registered().await, 2, "one call for each function");
    scene.until("what it costs", |registry| registry.caused_by(&other).count == 1).await;
    assert_eq!(scene.registry.caused_by(&PEER), Caused { count: 5, cost: 10, too_late: 0 });
    assert_eq!(scene.registry.caused_by(&other), Caused { count: 1, cost: 10, too_late: 0 });
    assert_eq!(scene.registry.report().busiest_block, 5);
    drop(watching);
    assert_eq!(scene.registry.report().watched, 0);
    assert_eq!(scene.registry.preimage(&lock(3)), Some(preimage(3)), "a pre-image is not forgotten at once");
}

#[tokio::test]
async fn more_than_fit_go_into_several_calls_of_one_block() {
    let mut scene = Scene::new().await;
    for of in 0..=64 {
        scene.registry.register(lock(of), preimage(of), LATE, PEER).unwrap();
    }
    scene.run().await;
    scene.waiting().await;
    let _head = scene.chain.pass(2);
    scene.waiting().await;
    let _head = scene.chain.pass(1);
    scene.until("all are done", |registry| registry.report().waiting + registry.report().under_way == 0).await;
    let events = scene.recorder.entries().into_iter().filter_map(|entry| entry.receipt).map(|it| it.events.len());
    assert_eq!(events.collect::<Vec<_>>(), [MAX_PREIMAGES, 1]);
}

#[tokio::test]
async fn a_registration_counts_in_the_block_before_the_expiry_and_not_in_the_next() {
    for (offset, in_time) in [(-1, true), (0, false), (1, false)] {
        let mut scene = Scene::new().await;
        let expiry = scene.chain.block_number() + 10;
        let included = expiry.checked_add_signed(offset).unwrap();
        let _watching = scene.registry.watch(lock(1), expiry, Interest::Paid);
        scene.registry.register(lock(1), preimage(1), expiry, PEER).unwrap();
        let _head = scene.chain.pass(included - 1 - scene.chain.block_number());
        scene.run().await;
        // Once the block of the expiry is final nothing is sent any more.
        if offset <= 0 {
            scene.waiting().await;
        }
        let _head = scene.chain.pass(1);
        let known = timeout(Duration::from_secs(20), scene.registry.settled(&lock(1), expiry)).await.unwrap();
        assert_eq!(known.is_shown_before(expiry), in_time, "included in {included}, expires with {expiry}: {known:?}");
        assert_eq!(known.is_silent_at(expiry), !in_time);
        scene.until("it is over", |registry| registry.report().waiting + registry.report().under_way == 0).await;
        assert_eq!(scene.registry.caused_by(&PEER).too_late, u64::from(!in_time));
    }
}

#[tokio::test]
async fn while_finality_stands_still_pre_images_are_known_and_nothing_is_final() {
    let mut scene = Scene::new().await;
    scene.run().await;
    let expiry = scene.chain.block_number() + 4;
    let [_one, _two] = [1, 2].map(|of| scene.registry.watch(lock(of), expiry, Interest::Paid));
    let silent = |registry: &LockRegistry| matches!(registry.registered(&lock(1)), Known::Silent { .. });
    scene.registry.ask(&lock(1));
    scene.until("it was read once", silent).await;
    let before = scene.chain.block_number();
    scene.chain.set_finality_lag(BlockNumber::MAX);
    scene.registry.register(lock(1), preimage(1), expiry, PEER).unwrap();
    scene.waiting().await;
    let newest = scene.chain.pass(8).number;
    scene.until("the newest block is seen", |registry| registry.best() == newest).await;
    assert!(scene.registry.finalised() <= before);
    for of in [1, 2] {
        let known = scene.registry.registered(&lock(of));
        assert!(!known.is_silent_at(expiry) && !known.is_shown_before(expiry), "{known:?}");
    }
    scene.until("it was shown", |registry| registry.preimage(&lock(1)).is_some()).await;
    scene.chain.set_finality_lag(0);
    let _head = scene.chain.pass(1);
    for (of, in_time) in [(1, true), (2, false)] {
        let known = timeout(Duration::from_secs(20), scene.registry.settled(&lock(of), expiry)).await.unwrap();
        assert_eq!((known.is_shown_before(expiry), known.is_silent_at(expiry)), (in_time, !in_time));
    }
}

#[tokio::test]
async fn pre_images_of_blocks_that_are_not_final_are_known_whoever_shows_them() {
    let mut scene = Scene::new().await;
    scene.chain.set_finality_lag(BlockNumber::MAX);
    scene.run().await;
    let _watching = scene.registry.watch(lock(1), LATE, Interest::Paid);
    let arbiter = Arc::clone(&scene.arbiter);
    let somebody = scene.chain.rich("somebody");
    let call = Call::PreimageRegister { preimage: preimage(1), function: HashFunction::Blake2b256 };
    let _call = tokio::spawn(async move { arbiter.call(&somebody, &call, 0).await });
    scene.waiting().await;
    let _head = scene.chain.pass(1);
    scene.until("it is known", |registry| registry.preimage(&lock(1)) == Some(preimage(1))).await;
    assert!(!matches!(scene.registry.registered(&lock(1)), Known::Shown { .. }));
}

#[tokio::test]
async fn asked_for_again_after_a_crash_it_is_registered_once_and_paid_for_without_harm() {
    let mut scene = Scene::new().await;
    scene.chain.set_finality_lag(BlockNumber::MAX);
    scene.run().await;
    scene.registry.register(lock(1), preimage(1), LATE, PEER).unwrap();
    scene.waiting().await;
    let first = scene.chain.pass(1).number;
    scene.crash();
    scene.run().await;
    let _watching = scene.registry.watch(lock(1), LATE, Interest::Paid);
    scene.registry.register(lock(1), preimage(1), LATE, PEER).unwrap();
    scene.waiting().await;
    let _second = scene.chain.pass(1);
    scene.chain.set_finality_lag(0);
    let _head = scene.chain.pass(1);
    let known = timeout(Duration::from_secs(20), scene.registry.settled(&lock(1), LATE)).await.unwrap();
    assert_eq!(known, Known::Shown { at: first }, "the first block counts");
    scene.until("it is over", |registry| registry.report().waiting + registry.report().under_way == 0).await;
}

#[tokio::test]
async fn who_asks_for_what_is_shown_already_pays_nothing_for_it() {
    let mut scene = Scene::new().await;
    scene.run().await;
    let _watching = scene.registry.watch(lock(1), LATE, Interest::Paid);
    scene.registry.register(lock(1), preimage(1), LATE, PEER).unwrap();
    scene.waiting().await;
    let _head = scene.chain.pass(1);
    let known = timeout(Duration::from_secs(20), scene.registry.settled(&lock(1), LATE)).await.unwrap();
    assert!(known.is_shown_before(LATE));
    scene.until("the receipt", |registry| registry.caused_by(&PEER).count == 1).await;
    scene.until("it is over", |registry| registry.report().waiting + registry.report().under_way == 0).await;
    // A router asks once it has kept something: the channel of the transfer has asked before.
    scene.registry.register(lock(1), preimage(1), LATE, PEER).unwrap();
    let report = scene.registry.report();
    assert_eq!((report.waiting, report.under_way, scene.registry.caused_by(&PEER).count), (0, 0, 1));
}

#[tokio::test]
async fn after_skipped_blocks_locks_are_read_and_their_pre_images_looked_for() {
    let mut scene = Scene::new().await;
    let [_one, _two] = [1, 2].map(|of| scene.registry.watch(lock(of), LATE, Interest::Paid));
    let signer: Arc<dyn Signer> = Arc::new(scene.chain.rich("hub"));
    let nothing = |_until| Urgency::default();
    let _task = scene.tasks.spawn(scene.registry.clone().run(Arc::clone(&scene.arbiter), signer, nothing));
    let silent = |registry: &LockRegistry| matches!(registry.registered(&lock(1)), Known::Silent { .. });
    scene.registry.ask(&lock(1));
    scene.until("it was read once", silent).await;
    // Nobody tells of the block in which it is shown, not even as of the newest.
    scene.chain.set_finality_lag(BlockNumber::MAX);
    let (arbiter, somebody) = (Arc::clone(&scene.arbiter), scene.chain.rich("somebody"));
    let call = Call::PreimageRegister { preimage: preimage(1), function: HashFunction::Blake2b256 };
    let _call = tokio::spawn(async move { arbiter.call(&somebody, &call, 0).await });
    scene.waiting().await;
    let at = scene.chain.pass(1).number;
    scene.chain.set_finality_lag(0);
    let head = scene.chain.pass(3);
    scene.registry.on_skipped(head);
    scene.until("it is read", |registry| registry.registered(&lock(1)) == Known::Shown { at }).await;
    scene.until("and found", |registry| registry.preimage(&lock(1)) == Some(preimage(1))).await;
    scene.until("the other one", |it| it.registered(&lock(2)) == Known::Silent { at: head.number }).await;
}

/// A chain seen through several endpoints, one of which lies.
struct Lying {
    chain: MemoryChain,
    /// No second endpoint says what one has said of final blocks.
    is_unconfirmed: AtomicBool,
    /// Two endpoints have different states.
    is_disputed: AtomicBool,
    /// The liar shows so many blocks more than there are.
    boasts: AtomicU32,
    /// So many calls are refused.
    refuses: AtomicU32,
    asked: AtomicU32,
}

impl Lying {
    fn about(chain: &MemoryChain) -> Arc<Self> {
        Arc::new(Self {
            chain: chain.clone(),
            is_unconfirmed: AtomicBool::new(false),
            is_disputed: AtomicBool::new(false),
            boasts: AtomicU32::new(0),
            refuses: AtomicU32::new(0),
            asked: AtomicU32::new(0),
        })
    }
}

#[async_trait]
impl Chain for Lying {
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
        if self.refuses.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok() {
            return Err(ChainError::Invalid { cause: "for this test".into() });
        }
        self.chain.submit_urgently(signer, transaction, dry_run, urgency).await
    }

    async fn finalised_blocks(
        &self,
        from: BlockNumber,
    ) -> Result<BoxStream<'static, Result<Block, ChainError>>, ChainError> {
        self.chain.finalised_blocks(from).await
    }

    async fn best_blocks(&self) -> Result<BoxStream<'static, BestBlock>, ChainError> {
        let boasts = self.boasts.load(Ordering::Acquire);
        let blocks = self.chain.best_blocks().await?;
        Ok(blocks.map(move |block| BestBlock { number: block.number.saturating_add(boasts), ..block }).boxed())
    }

    async fn confirm_final(&self, at: BlockRef) -> Result<(), ChainError> {
        let _before = self.asked.fetch_add(1, Ordering::AcqRel);
        match self.is_unconfirmed.load(Ordering::Acquire) {
            true => Err(ChainError::Unconfirmed { block: at.number, cause: "for this test".into() }),
            false => Ok(()),
        }
    }

    async fn confirmed_read(&self, contract: &AccountId, data: Vec<u8>, at: BlockRef) -> Result<Vec<u8>, ChainError> {
        match self.is_disputed.load(Ordering::Acquire) {
            true => Err(ChainError::Disputed { block: at.number, cause: "for this test".into() }),
            false => self.chain.confirmed_read(contract, data, at).await,
        }
    }
}

#[tokio::test]
async fn without_a_second_voice_nothing_is_silent_and_nothing_shown_and_the_next_head_is_read() {
    let chain = MemoryChain::new();
    let _deployed = chain.arbiter().await.unwrap();
    chain.set_sealing(Sealing::Manual);
    let lying = Lying::about(&chain);
    for (one, other) in [(&lying.is_unconfirmed, &lying.is_disputed), (&lying.is_disputed, &lying.is_unconfirmed)] {
        one.store(true, Ordering::Release);
        other.store(false, Ordering::Release);
        let mut scene = Scene::seen(chain.clone(), lying.clone()).await;
        let expiry = chain.block_number() + 1;
        let _watching = scene.registry.watch(lock(1), expiry, Interest::Paid);
        scene.run().await;
        for _ in 0..3 {
            let asked = lying.asked.load(Ordering::Acquire);
            let _head = chain.pass(1);
            scene.until("it is asked for", |_| lying.asked.load(Ordering::Acquire) > asked).await;
        }
        assert_eq!(scene.registry.registered(&lock(1)), Known::Unknown);
        one.store(false, Ordering::Release);
        let head = chain.pass(1).number;
        let known = timeout(Duration::from_secs(20), scene.registry.settled(&lock(1), expiry)).await.unwrap();
        assert!(matches!(known, Known::Silent { at } if at <= head), "{known:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_boasts_makes_a_node_careful_and_decides_nothing() {
    let chain = MemoryChain::new();
    let _deployed = chain.arbiter().await.unwrap();
    let lying = Lying::about(&chain);
    lying.boasts.store(1_000_000, Ordering::Release);
    let mut scene = Scene::seen(chain.clone(), lying).await;
    let expiry = chain.block_number() + 100;
    let _watching = scene.registry.watch(lock(1), expiry, Interest::Paid);
    scene.run().await;
    let head = chain.pass(5).number;
    scene.until("the boast is heard", |registry| registry.best() == head + 1_000_000).await;
    scene.until("the final block is told", |registry| registry.finalised() == head).await;
    let known = scene.registry.registered(&lock(1));
    assert!(!known.is_silent_at(expiry) && !known.is_shown_before(expiry), "{known:?}");
}

#[tokio::test]
async fn a_registration_that_is_refused_is_made_again_with_the_next_block_until_it_is_there() {
    let chain = MemoryChain::new();
    let _deployed = chain.arbiter().await.unwrap();
    chain.set_sealing(Sealing::Manual);
    let lying = Lying::about(&chain);
    lying.refuses.store(3, Ordering::Release);
    let mut scene = Scene::seen(chain.clone(), lying.clone()).await;
    for of in 1..=4 {
        scene.registry.register(lock(of), preimage(of), LATE, PEER).unwrap();
    }
    scene.run().await;
    for left in [2, 1, 0] {
        scene.until("it has failed", |_| lying.refuses.load(Ordering::Acquire) <= left).await;
        let _head = chain.pass(1);
    }
    let mut passes = 0;
    while scene.registry.report().waiting + scene.registry.report().under_way > 0 && passes < 50 {
        scene.waiting().await;
        let head = chain.pass(1).number;
        scene.until("the block is told", |registry| registry.finalised() >= head).await;
        passes += 1;
    }
    assert_eq!(scene.registry.caused_by(&PEER).count, 4);
    assert_eq!(scene.registry.report().failing, None);
}
