//! Says which code stands at an address, and which released arbiter that is.

use crate::runtime;
use anyhow::Result;
use clap::Args;
use sdk::chain::{Chain, ChainError, RemoteChain, released, remote::Settings};

/// What is asked about.
#[derive(Args)]
pub(crate) struct Options {
    /// A node of the chain, ws:// or wss://. Several are used in turn when one fails.
    #[arg(long = "url", required = true, value_name = "URL")]
    urls: Vec<String>,
    /// The contract: its address on this chain, or 0x and 64 hex digits.
    address: String,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    runtime()?.block_on(tell(options))
}

async fn tell(options: &Options) -> Result<()> {
    let settings = Settings { endpoints: options.urls.clone(), ..Settings::default() };
    let chain = RemoteChain::connect(settings).await?;
    let addresses = chain.address_format().await?;
    let contract = addresses.read(&options.address)?;
    let code = chain.code_hash(&contract).await?.ok_or(ChainError::NoContract(addresses.address(contract)))?;
    println!("contract {} ({contract})", addresses.write(&contract));
    match released::version_of(&code) {
        Some(version) => println!("code     {code}: the arbiter of release {version}"),
        None => println!("code     {code}: no released arbiter that this program knows"),
    }
    println!("         built from sources and compared: cargo xtask verify {code}");
    Ok(())
}
