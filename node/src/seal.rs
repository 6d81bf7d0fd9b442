//! Making blocks and making them final: when told over RPC, and by itself unless that is switched off.

use crate::{
    chain::{Backend, Chain, Client, Pool},
    options::Sealing,
};
use contracts_node_runtime::{Hash, opaque::Block};
use futures::{
    Stream, StreamExt,
    channel::mpsc,
    stream::{self, BoxStream},
};
use sc_basic_authorship::ProposerFactory;
use sc_client_api::{Finalizer, UsageProvider};
use sc_consensus::LongestChain;
use sc_consensus_manual_seal::{
    DelayedFinalizeParams, EngineCommand, ManualSealParams, run_delayed_finalize, run_manual_seal,
};
use sc_service::TaskManager;
use sc_transaction_pool_api::TransactionPool;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What the runtime asks two blocks to lie apart, in milliseconds.
const MINIMUM_PERIOD: u64 = contracts_node_runtime::MinimumPeriod::get();

/// Commands that may wait for the block before them; whoever sends more has to wait.
const WAITING_COMMANDS: usize = 1024;

/// Takes commands to make blocks and to make them final.
pub(crate) type Engine = mpsc::Sender<EngineCommand<Hash>>;

/// Starts making blocks.
pub(crate) fn start(chain: &Chain, sealing: Sealing, tasks: &TaskManager) -> Engine {
    let (engine, told) = mpsc::channel(WAITING_COMMANDS);
    let by_itself = if sealing.instant { each_transaction(&chain.pool).boxed() } else { stream::pending().boxed() };
    let commands: BoxStream<'static, _> = stream::select(told, by_itself).boxed();

    let clock = Arc::new(Clock::default());
    let params = ManualSealParams {
        block_import: Arc::clone(&chain.client),
        env: ProposerFactory::new(tasks.spawn_handle(), Arc::clone(&chain.client), Arc::clone(&chain.pool), None, None),
        client: Arc::clone(&chain.client),
        pool: Arc::clone(&chain.pool),
        commands_stream: commands,
        select_chain: LongestChain::<Backend, Block>::new(Arc::clone(&chain.backend)),
        consensus_data_provider: None,
        create_inherent_data_providers: move |_, ()| {
            let now = clock.tick();
            async move { Ok(sp_timestamp::InherentDataProvider::new(now.into())) }
        },
    };
    tasks.spawn_essential_handle().spawn_blocking("seal", None, run_manual_seal(params));

    if let Some(delay) = sealing.finalize_after {
        finalize(Arc::clone(&chain.client), delay, tasks);
    }
    engine
}

/// A block for each transaction, as the official node does it: one that another block has taken along already still makes its own.
fn each_transaction(pool: &Arc<Pool>) -> impl Stream<Item = EngineCommand<Hash>> + Send + 'static + use<> {
    pool.import_notification_stream().map(|_transaction| EngineCommand::SealNewBlock {
        create_empty: true,
        finalize: false,
        parent_hash: None,
        sender: None,
    })
}

/// Makes each block final `delay` after it was made, and first what an earlier run has left.
fn finalize(client: Arc<Client>, delay: Duration, tasks: &TaskManager) {
    let left = client.usage_info().chain;
    if left.best_hash != left.finalized_hash {
        let client = Arc::clone(&client);
        tasks.spawn_handle().spawn("finalize-left", None, async move {
            tokio::time::sleep(delay).await;
            if let Err(error) = client.finalize_block(left.best_hash, None, true) {
                log::warn!("block {} is not final: {error}", left.best_number);
            }
        });
    }
    let spawn_handle = tasks.spawn_handle();
    let params = DelayedFinalizeParams { client, spawn_handle, delay_sec: delay.as_secs() };
    tasks.spawn_essential_handle().spawn_blocking("finalize", None, run_delayed_finalize(params));
}

/// The time for blocks: that of the machine, pushed on where blocks follow each other faster than the runtime lets them.
#[derive(Default)]
struct Clock(AtomicU64);

impl Clock {
    /// Milliseconds since 1970, later than any answer before by what the runtime asks for.
    fn tick(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let later = |last: u64| now.max(last.saturating_add(MINIMUM_PERIOD));
        let update = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(later(last)));
        later(update.unwrap_or_else(|last| last))
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, MINIMUM_PERIOD};

    #[test]
    fn the_clock_never_stands_still_however_often_it_is_asked() {
        let clock = Clock::default();
        let mut last = clock.tick();
        for _ in 0..1000 {
            let now = clock.tick();
            assert!(now >= last + MINIMUM_PERIOD, "{now} after {last}");
            last = now;
        }
    }
}
