//! The chain without its edges: runtime, database, client, transaction pool.

use crate::genesis::{self, Genesis};
use anyhow::Context;
use contracts_node_runtime::{RuntimeApi, opaque::Block};
use sc_client_api::execution_extensions::ExecutionExtensions;
use sc_client_db::{BlocksPruning, DatabaseSettings, DatabaseSource, PruningMode};
use sc_executor::WasmExecutor;
use sc_service::{
    ClientConfig, GenericChainSpec, GenesisBlockBuilder, TFullBackend, TFullClient, TaskManager, config::KeystoreConfig,
};
use sc_transaction_pool::{BasicPool, FullPool};
use sp_io::SubstrateHostFunctions;
use std::{path::Path, sync::Arc};

/// Of the tries' cache, in bytes.
const TRIE_CACHE: usize = 64 * 1024 * 1024;

pub(crate) type Client = TFullClient<Block, RuntimeApi, WasmExecutor<SubstrateHostFunctions>>;
pub(crate) type Backend = TFullBackend<Block>;
pub(crate) type Pool = FullPool<Block, Client>;

/// All that blocks are made from, and asked about.
pub(crate) struct Chain {
    pub(crate) spec: GenericChainSpec,
    pub(crate) client: Arc<Client>,
    pub(crate) backend: Arc<Backend>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) keystore: sc_service::KeystoreContainer,
}

/// What of the past is kept: everything, so that every block's state can be asked for.
pub(crate) const STATES: PruningMode = PruningMode::ArchiveAll;
pub(crate) const BLOCKS: BlocksPruning = BlocksPruning::KeepAll;

/// Goes on with the chain in `folder`, or begins one there, or in memory where there is no folder.
pub(crate) fn open(folder: Option<&Path>, tasks: &TaskManager) -> anyhow::Result<Chain> {
    let spec = genesis::chain_spec();
    let backend = sc_service::new_db_backend(DatabaseSettings {
        trie_cache_maximum_size: Some(TRIE_CACHE),
        state_pruning: Some(STATES),
        source: source(folder)?,
        blocks_pruning: BLOCKS,
    })
    .context("opening the database")?;

    let executor = WasmExecutor::<SubstrateHostFunctions>::builder().build();
    let genesis = GenesisBlockBuilder::new(&Genesis, true, Arc::clone(&backend), executor.clone())
        .context("building the genesis block")?;
    let client = Arc::new(
        sc_service::new_client(
            Arc::clone(&backend),
            executor.clone(),
            genesis,
            Default::default(),
            Default::default(),
            ExecutionExtensions::new(None, Arc::new(executor)),
            Box::new(tasks.spawn_handle()),
            None,
            None,
            ClientConfig::default(),
        )
        .context("starting the client")?,
    );

    let pool =
        BasicPool::new_full(Default::default(), true.into(), None, tasks.spawn_essential_handle(), Arc::clone(&client));
    tasks.spawn_handle().spawn(
        "transaction-pool",
        None,
        sc_transaction_pool::notification_future(Arc::clone(&client), Arc::clone(&pool)),
    );
    let keystore = sc_service::KeystoreContainer::new(&KeystoreConfig::InMemory).context("opening the keystore")?;
    Ok(Chain { spec, client, backend, pool, keystore })
}

fn source(folder: Option<&Path>) -> anyhow::Result<DatabaseSource> {
    let Some(folder) = folder else {
        let db = Arc::new(sp_database::MemDb::new());
        // The flag tells that there is nothing in it yet.
        return Ok(DatabaseSource::Custom { db, require_create_flag: true });
    };
    // Where the official node has it, too.
    let path = folder.join("chains/dev/paritydb/full");
    std::fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
    Ok(DatabaseSource::ParityDb { path })
}
