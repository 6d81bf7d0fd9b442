//! A chain whose answers come late: what a transaction has done is in a block, and told, before whoever sent it hears that it is.

use async_trait::async_trait;
use channel::Outcome;
use e2e_tests::{UNIT, World, until, within};
use futures::stream::BoxStream;
use protocol::{AccountId, Amount, BlockNumber, Hash, Pair, call::ForcedCall};
use scale::Encode;
use sdk::chain::{Arbiter, Block, BlockRef, Chain, ChainError, DryRun, Receipt, SharedChain, Signer, Transaction};
use std::sync::Arc;
use tokio::sync::watch;

/// Holds back the answers to transactions, while it is told to.
struct Late {
    chain: SharedChain,
    holds: watch::Sender<bool>,
}

#[async_trait]
impl Chain for Late {
    async fn genesis(&self) -> Result<Hash, ChainError> {
        self.chain.genesis().await
    }

    async fn finalised_head(&self) -> Result<BlockRef, ChainError> {
        self.chain.finalised_head().await
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

    async fn submit(
        &self,
        signer: &dyn Signer,
        transaction: Transaction,
        dry_run: &DryRun,
    ) -> Result<Receipt, ChainError> {
        let done = self.chain.submit(signer, transaction, dry_run).await;
        let mut holds = self.holds.subscribe();
        // The sender is here as long as we are.
        drop(holds.wait_for(|holds| !holds).await);
        done
    }

    async fn finalised_blocks(
        &self,
        from: BlockNumber,
    ) -> Result<BoxStream<'static, Result<Block, ChainError>>, ChainError> {
        self.chain.finalised_blocks(from).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_step_forced_before_the_first_has_answered_needs_no_further_block() {
    let world = World::new().await;
    let counter = world.deploy_app("counter").await;
    let late = Arc::new(Late { chain: world.recorder.clone(), holds: watch::Sender::new(false) });
    let address = world.arbiter.info().domain.arbiter;
    let arbiter = within("the arbiter", Arbiter::attach(late.clone(), address, None)).await.unwrap();
    let (mut alices, bobs) = (world.config("alice"), world.config("bob"));
    alices.arbiter = Arc::new(arbiter);
    for config in [&alices, &bobs] {
        world.give_app(config, &counter).await;
    }
    let alice = world.start_with("alice", |config| *config = alices).await;
    let bob = world.start_with("bob", |config| *config = bobs).await;
    for actor in [&alice, &bob] {
        let _done = within("a deposit", actor.node.vault_deposit(1_000 * UNIT)).await.unwrap();
    }
    alice.connect(&bob).await;
    let (channel, _bobs) = alice.open(&bob).await;
    let creating = channel.create_contract(counter.code, Pair::new(UNIT, 0), 5_u64.encode());
    let contract = within("a contract", creating).await.unwrap().contract;
    bob.stop_and_wait().await;

    let call = |by: u64| vec![ForcedCall { contract, value: 0, input: by.encode() }];
    let _was = late.holds.send_replace(true);
    let _done = within("the first step's event", channel.force(call(1))).await.unwrap();
    let second = tokio::spawn({
        let (channel, call) = (channel.clone(), call(2));
        async move { channel.force(call).await }
    });
    until("the second step to be wanted", || async { channel.status().await.unwrap().forcing.then_some(()) }).await;
    let _was = late.holds.send_replace(false);
    let done = within("the second step", second).await.unwrap().unwrap();
    assert!(matches!(&done[0].outcome, Outcome::Called { output, .. } if *output == 3_u64.encode()), "{done:?}");
}
