//! What the example programs share: a node's settings out of files, and when to stop. Each program is one file in `src/bin`:
//!
//! - `exchange_desk` swaps coins of one chain for coins of another, by itself, with a customer on two chains in memory;
//! - `hello` is the shortest way through a channel: two nodes in one process, on a chain in memory;
//! - `open_and_pay` opens a channel with a peer, or goes on with the one that is there, and pays through it;
//! - `accept_payments` is a service that turns each payment into one delivery, whatever crashes when;
//! - `react_to_dispute` says what happens to channels that are closed against the peer's will, and what is left to do.
//!
//! The first runs by itself, the others on any chain with the arbiter on it. On a development chain:
//!
//! ```sh
//! scripts/node.sh --slim --rpc-port 9944 &
//! scripts/deploy.sh --url ws://127.0.0.1:9944 --suri //Alice
//! CHANNEL_SURI=//Bob cargo run --package ink-state-channels-examples --bin accept_payments -- --folder bob --instant-seal
//! CHANNEL_SURI=//Alice cargo run --package ink-state-channels-examples --bin open_and_pay -- --folder alice --instant-seal \
//!     --peer <what the service prints> --amount 1000000 --reference 'order 1'
//! ```

use anyhow::{Context, Result};
use clap::Args;
use sdk::{
    chain::{Signer, account, deploy::Deployment, remote::Settings},
    keys::Identity,
    node::{NodeConfig, Storage},
    store::{Durability, StoreHandle},
};
use std::{
    future::pending,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// The README's code, compiled and run. That it is these programs' own is what `tests/readme.rs` checks.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The code in the guide for developers, compiled. It is these programs' own too.
#[cfg(doctest)]
#[doc = include_str!("../../docs/dapps.md")]
struct Guide;

/// The settings of a node on a real chain, with a folder of its own for who it is and for its channels.
///
/// # Errors
/// Each names the file or the endpoint, and says what to do.
pub async fn node_config(
    deployment: &Path,
    chain: Settings,
    signer: Arc<dyn Signer>,
    folder: &Path,
) -> Result<NodeConfig> {
    let deployment = Deployment::load(deployment)
        .context("there is no arbiter to work with: run scripts/deploy.sh, or get this file from whoever did")?;
    let identity = Identity::load_or_create(&folder.join("identity.key"))?; // made at the first start; not the chain account's key
    let store = StoreHandle::open(&folder.join("store"), Durability::Immediate)?; // the newest states: nothing defends without them
    let arbiter = deployment.connect_with(chain).await?; // checks the chain, the address, the code and its version
    Ok(NodeConfig::new(identity, signer, Arc::new(arbiter), Storage::Disk(store)))
}

/// Where a program finds what its node needs.
#[derive(Args, Debug)]
#[group(id = "node")]
pub struct NodeOptions {
    /// Where the arbiter stands: the file that scripts/deploy.sh writes.
    #[arg(long, value_name = "FILE", default_value = "deployment.json")]
    deployment: PathBuf,
    /// The file with the chain account's secret URI (words or seed, derivations, password). Only its owner may open it.
    /// Without it the secret is taken from the environment's CHANNEL_SURI.
    #[arg(long, value_name = "FILE")]
    suri_file: Option<PathBuf>,
    /// The node's own folder, made at the first start: its identity and its channels. No two programs share one.
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
    /// The chain makes blocks only when there is something to put into them, as development chains do: its standing still means nothing.
    #[arg(long)]
    instant_seal: bool,
    /// Stop when the standard input ends, that is with whoever started this program; besides SIGINT and SIGTERM.
    #[arg(long)]
    until_stdin_closes: bool,
}

impl NodeOptions {
    /// The settings of the node.
    ///
    /// # Errors
    /// As [`node_config`], and where there is no secret.
    pub async fn config(&self) -> Result<NodeConfig> {
        let signer = match &self.suri_file {
            Some(file) => account::from_file(file, account::Scheme::Sr25519)?,
            None => account::from_environment("CHANNEL_SURI", account::Scheme::Sr25519)
                .context("which chain account pays? Give --suri-file FILE, or set CHANNEL_SURI")?,
        };
        let chain = if self.instant_seal { Settings::for_instant_seal("") } else { Settings::default() };
        node_config(&self.deployment, chain, signer, &self.folder).await
    }

    /// The node's own folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// From now on signals do not kill the program: they end this future.
    ///
    /// # Errors
    /// The system's own.
    pub fn stop(&self) -> Result<impl Future<Output = ()> + use<>> {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let input = self.until_stdin_closes.then(|| {
            let (open, closed) = oneshot::channel::<()>();
            // Nothing can interrupt a read of the standard input: it is left to a thread that nobody waits for.
            let _thread = thread::spawn(move || {
                let _read = io::copy(&mut io::stdin(), &mut io::sink());
                drop(open);
            });
            closed
        });
        let input = async {
            match input {
                Some(closed) => drop(closed.await),
                None => pending().await,
            }
        };
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = input => {}
            }
        })
    }
}

/// Shows the SDK's warnings, or what the environment's RUST_LOG asks for, on the standard error.
pub fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_unset| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}
