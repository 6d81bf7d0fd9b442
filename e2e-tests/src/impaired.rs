//! A chain that is seen worse than it is: it does not tell the code of contracts, its answers come late or never, its blocks come late, or it
//! refuses what it will allow.

use async_trait::async_trait;
use futures::{StreamExt, stream::BoxStream};
use protocol::{AccountId, Amount, BlockNumber, Hash, Rejection};
use scale::Encode;
use sdk::chain::{
    BestBlock, Block, BlockRef, Chain, ChainError, ContractEvent, DryRun, Health, Receipt, SharedChain, Signer,
    Transaction, Urgency, Weight, arbiter::selector,
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
};
use tokio::sync::watch;

/// Another chain, impaired.
pub struct Impaired {
    chain: SharedChain,
    tells_code: bool,
    holds: watch::Sender<bool>,
    /// What the next call that is tried is answered with.
    refusal: Mutex<Option<Rejection>>,
    /// What every call that is tried is answered with, until another endpoint is used.
    refuses: Mutex<Option<Rejection>>,
    /// The last block that is told of.
    shows: watch::Sender<BlockNumber>,
    /// How many calls were tried and answered, reads apart.
    tried: watch::Sender<u32>,
    /// What becomes of transactions is not told.
    loses_answers: AtomicBool,
    /// Whether it answers questions about a pair's nonce, and how many were asked.
    holds_nonces: watch::Sender<bool>,
    nonces_asked: watch::Sender<usize>,
    /// How often somebody has looked at its health.
    looked: AtomicUsize,
    /// States of blocks below it are discarded.
    keeps_from: AtomicU32,
    /// Nobody can begin to follow blocks.
    hides_blocks: AtomicBool,
    hashes: watch::Sender<Hashes>,
    /// There is a second endpoint, which tells the truth.
    has_witness: AtomicBool,
    /// For how many blocks whoever asks the second endpoint waits, for no answer.
    witness_takes: AtomicU32,
    /// The second endpoint says that it has forgotten the state of whatever it is asked about.
    witness_forgets: AtomicBool,
    /// Nothing that contracts announce is told.
    withholds: Arc<AtomicBool>,
    /// How many blocks more than there are it tells to be final.
    boasts: AtomicU32,
    /// What the next block is told to have besides.
    forged: Arc<Mutex<Vec<ContractEvent>>>,
}

/// What is told of the hashes of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hashes {
    Known,
    Forgotten,
    OfAnotherHistory,
}

impl Impaired {
    /// Tells no code: what is left is to ask the peer.
    #[must_use]
    pub fn without_code(chain: SharedChain) -> Self {
        Self { tells_code: false, ..Self::with_late_answers(chain) }
    }

    /// Holds back the answers to transactions, while it is [told to](Self::hold): what one has done is in a block, and told, before whoever
    /// sent it hears that it is.
    #[must_use]
    pub fn with_late_answers(chain: SharedChain) -> Self {
        Self {
            chain,
            tells_code: true,
            holds: watch::Sender::new(false),
            refusal: Mutex::default(),
            refuses: Mutex::default(),
            shows: watch::Sender::new(BlockNumber::MAX),
            tried: watch::Sender::new(0),
            loses_answers: AtomicBool::new(false),
            holds_nonces: watch::Sender::new(false),
            nonces_asked: watch::Sender::new(0),
            looked: AtomicUsize::new(0),
            keeps_from: AtomicU32::new(0),
            hides_blocks: AtomicBool::new(false),
            hashes: watch::Sender::new(Hashes::Known),
            has_witness: AtomicBool::new(true),
            witness_takes: AtomicU32::new(0),
            witness_forgets: AtomicBool::new(false),
            withholds: Arc::default(),
            boasts: AtomicU32::new(0),
            forged: Arc::default(),
        }
    }

    /// Answers no question about a pair's nonce from now on, or all of them.
    pub fn hold_nonces(&self, holds: bool) {
        let _was = self.holds_nonces.send_replace(holds);
    }

    /// Waits until a pair's nonce was asked for so many times.
    pub async fn was_asked_for_nonces(&self, count: usize) {
        let mut asked = self.nonces_asked.subscribe();
        // The sender is here as long as we are.
        drop(asked.wait_for(|asked| *asked >= count).await);
    }

    async fn on_read(&self, transaction: &Transaction) {
        let Transaction::Call { data, .. } = transaction else { return };
        if data.starts_with(&selector("pair_nonce")) {
            self.nonces_asked.send_modify(|asked| *asked += 1);
            let mut holds = self.holds_nonces.subscribe();
            // The sender is here as long as we are.
            drop(holds.wait_for(|holds| !holds).await);
        }
    }

    /// Tells of no block beyond this one from now on. Reads and calls still meet the newest.
    pub fn show_up_to(&self, number: BlockNumber) {
        let _was = self.shows.send_replace(number);
    }

    /// How many calls were tried so far, reads apart.
    #[must_use]
    pub fn tried(&self) -> u32 {
        *self.tried.borrow()
    }

    /// Waits until so many calls were tried and answered, reads apart.
    pub async fn has_tried(&self, count: u32) {
        let mut tried = self.tried.subscribe();
        // The sender is here as long as we are.
        drop(tried.wait_for(|tried| *tried >= count).await);
    }

    /// Breaks the connection once a transaction is in a block, or no more.
    pub fn lose_answers(&self, loses: bool) {
        self.loses_answers.store(loses, Ordering::Release);
    }

    /// Whoever follows blocks from now on finds the states of those below `number` discarded.
    pub fn prune_below(&self, number: BlockNumber) {
        self.keeps_from.store(number, Ordering::Release);
    }

    /// Lets nobody begin to follow blocks from now on, or does.
    pub fn hide_blocks(&self, hides: bool) {
        self.hides_blocks.store(hides, Ordering::Release);
    }

    /// Knows the hash of no block from now on.
    pub fn forget_hashes(&self) {
        let _was = self.hashes.send_replace(Hashes::Forgotten);
    }

    /// Ends whatever follows blocks, and has other hashes for them from now on.
    pub fn start_anew(&self) {
        let _was = self.hashes.send_replace(Hashes::OfAnotherHistory);
    }

    /// The second endpoint is there, or away.
    pub fn have_witness(&self, is_there: bool) {
        self.has_witness.store(is_there, Ordering::Release);
    }

    /// The second endpoint takes connections and says nothing: whoever asks it gives up after so many blocks.
    pub fn have_mute_witness(&self, blocks: BlockNumber) {
        self.witness_takes.store(blocks, Ordering::Release);
    }

    /// The second endpoint says that it has forgotten the state of every block that it is asked about.
    pub fn have_forgetful_witness(&self) {
        self.witness_forgets.store(true, Ordering::Release);
    }

    /// Tells of no event of any contract from now on, or of all.
    pub fn withhold(&self, withholds: bool) {
        self.withholds.store(withholds, Ordering::Release);
    }

    /// Tells of a final head that lies so many blocks above the one that there is.
    pub fn boast(&self, blocks: BlockNumber) {
        self.boasts.store(blocks, Ordering::Release);
    }

    /// Waits for the second endpoint. Its silence, where it says nothing.
    async fn on_witness(&self, block: BlockNumber) -> Result<(), ChainError> {
        if self.witness_forgets.load(Ordering::Acquire) {
            return Err(ChainError::Pruned { block });
        }
        let takes = self.witness_takes.load(Ordering::Acquire);
        if takes > 0 {
            let from = self.chain.finalised_head().await?.number;
            let _given_up = self.chain.finalised_blocks(from + takes).await?.next().await;
            return Err(ChainError::Unconfirmed { block, cause: "it says nothing".into() });
        }
        if !self.has_witness.load(Ordering::Acquire) {
            return Err(ChainError::Unconfirmed { block, cause: "it is away".into() });
        }
        Ok(())
    }

    /// Tells of an event in the next block that is not there.
    pub fn forge(&self, event: ContractEvent) {
        self.forged.lock().unwrap().push(event);
    }

    /// Has the arbiter refuse the next call that is tried, for a reason that has passed when that is tried again. This answer can be
    /// [held back](Self::hold) too.
    pub fn refuse_once(&self, rejection: Rejection) {
        let _was = self.refusal.lock().unwrap().replace(rejection);
    }

    /// Says of every call that is tried that the arbiter refuses it, until another endpoint is used.
    pub fn refuse_until_left(&self, rejection: Rejection) {
        let _was = self.refuses.lock().unwrap().replace(rejection);
    }

    /// How often somebody has looked at its health: a node does for each opening that it is asked for.
    pub fn looked(&self) -> usize {
        self.looked.load(Ordering::Relaxed)
    }

    /// Waits while answers are held back.
    async fn released(&self) {
        let mut holds = self.holds.subscribe();
        // The sender is here as long as we are.
        drop(holds.wait_for(|holds| !holds).await);
    }

    /// Holds answers back from now on, or lets them go.
    pub fn hold(&self, holds: bool) {
        let _was = self.holds.send_replace(holds);
    }
}

#[async_trait]
impl Chain for Impaired {
    async fn genesis(&self) -> Result<Hash, ChainError> {
        self.chain.genesis().await
    }

    async fn largest_amount(&self) -> Result<Amount, ChainError> {
        self.chain.largest_amount().await
    }

    async fn finalised_head(&self) -> Result<BlockRef, ChainError> {
        let head = self.chain.finalised_head().await?;
        Ok(BlockRef { number: head.number + self.boasts.load(Ordering::Acquire), ..head })
    }

    async fn block_hash(&self, number: BlockNumber) -> Result<Option<Hash>, ChainError> {
        match *self.hashes.borrow() {
            Hashes::Known => {}
            Hashes::Forgotten => return Ok(None),
            Hashes::OfAnotherHistory => return Ok(Some(Hash([0xaa; 32]))),
        }
        self.chain.block_hash(number).await
    }

    async fn free_balance(&self, account: &AccountId) -> Result<Amount, ChainError> {
        self.chain.free_balance(account).await
    }

    async fn code_hash(&self, contract: &AccountId) -> Result<Option<Hash>, ChainError> {
        self.chain.code_hash(contract).await
    }

    async fn code(&self, hash: &Hash) -> Result<Option<Vec<u8>>, ChainError> {
        if self.tells_code { self.chain.code(hash).await } else { Err(ChainError::Unreachable("no code here".into())) }
    }

    async fn dry_run(&self, origin: &AccountId, transaction: &Transaction) -> Result<DryRun, ChainError> {
        let tried = self.chain.dry_run(origin, transaction).await;
        // Reads are asked by the contract itself.
        let is_read = matches!(transaction, Transaction::Call { contract, .. } if contract == origin);
        if is_read {
            self.on_read(transaction).await;
            return tried;
        }
        self.tried.send_modify(|tried| *tried += 1);
        let once = self.refusal.lock().unwrap().take();
        let refusal = once.or_else(|| *self.refuses.lock().unwrap());
        let Some(rejection) = refusal else { return tried };
        self.released().await;
        let answer: Result<Result<(), Rejection>, ()> = Ok(Err(rejection));
        Ok(DryRun { returned: answer.encode(), reverted: true, ..tried? })
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
        let done = self.chain.submit_urgently(signer, transaction, dry_run, urgency).await;
        self.released().await;
        if self.loses_answers.load(Ordering::Acquire) {
            return Err(ChainError::Unreachable("the transaction was sent and may still be included".into()));
        }
        done
    }

    async fn finalised_blocks(
        &self,
        from: BlockNumber,
    ) -> Result<BoxStream<'static, Result<Block, ChainError>>, ChainError> {
        if self.hides_blocks.load(Ordering::Acquire) {
            return Err(ChainError::Unreachable("no blocks here".into()));
        }
        let (blocks, shows) = (self.chain.finalised_blocks(from).await?, self.shows.subscribe());
        let blocks = blocks.then(move |block: Result<Block, ChainError>| {
            let mut shows = shows.clone();
            async move {
                let number = block.as_ref().map_or(0, |block| block.at.number);
                // Whoever follows the chain keeps it.
                drop(shows.wait_for(|shows| *shows >= number).await);
                block
            }
        });
        let withholds = Arc::clone(&self.withholds);
        let (keeps_from, forged) = (self.keeps_from.load(Ordering::Acquire), Arc::clone(&self.forged));
        let told = blocks.map(move |told| {
            let mut block = told?;
            if block.at.number < keeps_from {
                return Err(ChainError::Pruned { block: block.at.number });
            }
            if withholds.load(Ordering::Acquire) {
                block.events.clear();
            }
            block.events.append(&mut forged.lock().unwrap());
            Ok(block)
        });
        let mut hashes = self.hashes.subscribe();
        let anew = async move { drop(hashes.wait_for(|hashes| *hashes == Hashes::OfAnotherHistory).await) };
        Ok(told.take_until(Box::pin(anew)).boxed())
    }

    /// The truth: what is withheld or forged here is what final blocks are told to have.
    async fn best_blocks(&self) -> Result<BoxStream<'static, BestBlock>, ChainError> {
        self.chain.best_blocks().await
    }

    async fn confirm(&self, block: &Block) -> Result<(), ChainError> {
        let number = block.at.number;
        self.on_witness(number).await?;
        let mut truth = self.chain.finalised_blocks(number).await?;
        match truth.next().await {
            Some(Ok(truth)) if truth == *block => Ok(()),
            _ => Err(ChainError::Disputed { block: number, cause: "the other one has it otherwise".into() }),
        }
    }

    async fn confirm_at(&self, at: BlockRef) -> Result<(), ChainError> {
        self.on_witness(at.number).await
    }

    async fn leave_endpoint(&self, _why: &ChainError) {
        let _was = self.refuses.lock().unwrap().take();
    }

    async fn confirmed_read(&self, contract: &AccountId, data: Vec<u8>, at: BlockRef) -> Result<Vec<u8>, ChainError> {
        self.on_witness(at.number).await?;
        self.chain.confirmed_read(contract, data, at).await
    }

    fn health(&self) -> Health {
        let _before = self.looked.fetch_add(1, Ordering::Relaxed);
        self.chain.health()
    }

    fn dry_runs_in_next_block(&self) -> bool {
        self.chain.dry_runs_in_next_block()
    }
}
