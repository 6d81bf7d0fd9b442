//! `channel`: the command line of the SDK. It parses, calls and prints; rules live below.

mod demo;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// State channels with an ink! arbiter.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A channel's whole life on an embedded chain: two nodes, real sockets, the real contract.
    Demo(demo::Options),
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_unset| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Cli { command } = Cli::parse();
    let done = match command {
        Command::Demo(options) => demo::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
