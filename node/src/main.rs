//! A development chain in one process: the published contracts runtime, a database, JSON-RPC, and blocks on demand.
//!
//! ```text
//!  JSON-RPC ----> transaction pool --each transaction (instant seal)--.
//!     |                                                               v
//!     `--engine_createBlock, engine_finalizeBlock-----------------> seal --> client --> database (in memory, or a folder)
//! ```
//!
//! There is no network: nothing listens but the RPC server, on loopback. The command line is that of `substrate-contracts-node`
//! where both know an option; see `docs/node.md`.

mod chain;
mod genesis;
mod options;
mod rpc;
mod seal;

use anyhow::Context;
use clap::Parser;
use options::Options;
use sc_service::TaskManager;
use std::{io::Write, process::ExitCode, time::Duration};
use tokio::{
    io::AsyncReadExt,
    runtime::{Handle, Runtime},
    signal::unix::{SignalKind, signal},
};

/// How long tasks may take to end before the process ends without them.
const SHUTDOWN: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    sc_tracing::logging::LoggerBuilder::new(options.log_filter()).init().context("setting up the log")?;
    let runtime = Runtime::new().context("starting the runtime")?;
    let result = runtime.block_on(serve(options, runtime.handle().clone()));
    runtime.shutdown_timeout(SHUTDOWN);
    result
}

/// Runs the chain until a signal, the end of standard input where that was asked for, or the failure of a task it cannot do without.
async fn serve(options: &Options, handle: Handle) -> anyhow::Result<()> {
    let mut tasks = TaskManager::new(handle, None).context("starting the task manager")?;
    let chain = chain::open(options.base_path.as_deref(), &tasks).context("opening the chain")?;
    let engine = seal::start(&chain, options.sealing(), &tasks);
    let server = rpc::start(&chain, engine, options.rpc_port, &tasks).await.context("starting the RPC server")?;
    announce(server.address);

    let outcome = tokio::select! {
        () = stopped(options.until_stdin_closes) => Ok(()),
        failed = tasks.future() => failed.context("a task of the node failed"),
    };
    let _was_running = server.handle.stop();
    outcome
}

/// Tells where the RPC server listens: on standard output the address alone, in the log the line that the official node prints.
fn announce(address: std::net::SocketAddr) {
    eprintln!("Running JSON-RPC server: addr={address},");
    let mut out = std::io::stdout();
    // Nobody has to listen.
    let _ = writeln!(out, "ws://{address}").and_then(|()| out.flush());
}

/// Resolves when the process is asked to end.
async fn stopped(until_stdin_closes: bool) {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    let closed = async {
        if !until_stdin_closes {
            std::future::pending::<()>().await;
        }
        let mut stdin = tokio::io::stdin();
        let mut ignored = [0; 64];
        while stdin.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
        () = closed => {}
    }
}
