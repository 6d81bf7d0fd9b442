//! `channel`: the command line of the SDK. It parses, calls and prints; rules live below.

mod account;
mod code;
mod deploy;
mod limits;

use anyhow::Context;
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
    /// Puts the arbiter on a chain, or finds the one that is there, and writes down where it stands. Safe to run twice.
    Deploy(deploy::Options),
    /// Says which code stands at an address, and which released arbiter that is.
    Code(code::Options),
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_unset| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Cli { command } = Cli::parse();
    let done = match command {
        Command::Deploy(options) => deploy::run(&options),
        Command::Code(options) => code::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Runtime::new().context("cannot start the runtime")
}
