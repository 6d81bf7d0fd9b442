//! Puts the arbiter on a chain, or finds the one that an earlier run has put there, and writes down where it stands.

use crate::{account, limits, runtime};
use anyhow::{Context, Result};
use clap::Args;
use protocol::{Hash, terms::Limits};
use sdk::chain::{
    Chain, RemoteChain, SharedChain,
    deploy::{Deployed, Deployment, ensure},
    remote::Settings,
};
use std::{path::PathBuf, sync::Arc};

/// Settings of a deployment.
#[derive(Args)]
pub(crate) struct Options {
    /// A node of the chain, ws:// or wss://. Several are used in turn when one fails.
    #[arg(long = "url", required = true, value_name = "URL")]
    urls: Vec<String>,
    /// The chain's genesis hash; any other chain is refused.
    #[arg(long, value_name = "0x..", value_parser = hash)]
    genesis: Option<Hash>,
    #[command(flatten)]
    account: account::Options,
    /// The arbiter's Wasm, as `cargo xtask contract` builds it.
    #[arg(long, value_name = "FILE", default_value = "target/contract/contract.wasm")]
    contract: PathBuf,
    /// Tells apart several arbiters of one deployer. The same code, limits, account and salt are the same arbiter.
    #[arg(long, value_name = "TEXT", default_value = "")]
    salt: String,
    #[command(flatten)]
    limits: limits::Options,
    /// Where to write down where the arbiter stands.
    #[arg(long, value_name = "FILE", default_value = "deployment.json")]
    out: PathBuf,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    runtime()?.block_on(deploy(options))
}

async fn deploy(options: &Options) -> Result<()> {
    let code = std::fs::read(&options.contract).with_context(|| {
        format!("cannot read {}: build it first with `cargo xtask contract`", options.contract.display())
    })?;
    let signer = options.account.signer()?;
    let settings = Settings { endpoints: options.urls.clone(), genesis: options.genesis, ..Settings::default() };
    let chain = RemoteChain::connect(settings).await?;
    let genesis = chain.genesis().await?;
    println!("chain    {genesis}, final block {}", chain.finalised_head().await?.number);
    let addresses = chain.address_format().await?;
    let account = signer.account();
    println!("account  {} ({account}), {} free", addresses.write(&account), chain.free_balance(&account).await?);

    let shared: SharedChain = Arc::new(chain.clone());
    let limits: Limits = options.limits.limits();
    let Deployed { arbiter, receipt } =
        ensure(shared, &*signer, code, limits, options.salt.clone().into_bytes()).await?;
    let info = arbiter.info();
    let address = info.domain.arbiter;
    println!("arbiter  {} ({address}), code {}", addresses.write(&address), info.code_hash);
    let block = match &receipt {
        Some(receipt) => {
            let (block, fee, deposit) = (receipt.block.number, receipt.fee, receipt.storage_deposit);
            println!("         deployed in block {block}: fee {fee}, deposit {deposit}");
            block
        }
        None => {
            println!("         found there: nothing was paid");
            // What an earlier file says is closer to when it was put there.
            let earlier = Deployment::load(&options.out).ok().filter(|file| file.arbiter == info.domain.arbiter);
            earlier.map_or(chain.finalised_head().await?.number, |file| file.block)
        }
    };
    let deployment = Deployment {
        endpoints: options.urls.clone(),
        genesis,
        arbiter: info.domain.arbiter,
        code_hash: info.code_hash,
        block,
    };
    deployment.save_with_address(&options.out, addresses)?;
    println!("file     {}", options.out.display());
    Ok(())
}

fn hash(text: &str) -> Result<Hash, String> {
    let mut bytes = [0; 32];
    let digits = text.strip_prefix("0x").ok_or("it begins with 0x")?;
    hex::decode_to_slice(digits, &mut bytes).map_err(|_error| "it has 64 hex digits after 0x".to_owned())?;
    Ok(Hash(bytes))
}
