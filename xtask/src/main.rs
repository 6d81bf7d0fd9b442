//! The project's chores as one program: `cargo xtask <chore>`.

mod app;
mod bundle;
mod compile;
mod contract;
mod files;
mod metadata;
mod node_runtime;
mod optimise;
mod recipe;
mod stable_api;
mod tidy;
mod toolchain;
mod types;
mod verify;
mod wasm;
mod workspace;

use clap::Parser;
use std::process::ExitCode;

/// Chores of the project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Chore {
    /// Apps, the contracts that live inside channels.
    #[command(subcommand)]
    App(app::Chore),
    /// Build a contract or an app: Wasm, metadata and the bundle of both.
    Contract(contract::Options),
    /// Build the runtime of the chain in `node/` as Wasm; scripts/node.sh asks for it.
    NodeRuntime(node_runtime::Options),
    /// Hold the house to its tables: rules and citations, bytes, crates, licences, sizes, circles.
    Tidy(tidy::Options),
    /// Build a contract by the recipe, and compare with what stands on a chain.
    Verify(verify::Options),
}

fn main() -> ExitCode {
    let result = match Chore::parse() {
        Chore::App(chore) => app::run(&chore),
        Chore::Contract(options) => contract::run(&options),
        Chore::NodeRuntime(options) => node_runtime::run(&options),
        Chore::Tidy(options) => tidy::run(&options),
        Chore::Verify(options) => verify::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
