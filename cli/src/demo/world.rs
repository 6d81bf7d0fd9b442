//! The demo's stage: an embedded chain, the arbiter on it, two nodes that listen and dial on loopback.

use crate::limits;
use anyhow::{Context, Result};
use devchain::{DevAccount, DevChain};
use protocol::{AccountId, Amount};
use sdk::{
    chain::{Arbiter, Chain, Recorder, SharedChain},
    keys::Identity,
    node::{Node, NodeConfig},
    store::{Durability, StoreHandle},
};
use std::{path::Path, sync::Arc};
use tempfile::TempDir;

pub(super) struct World {
    pub(super) chain: DevChain,
    pub(super) recorder: Arc<Recorder>,
    pub(super) arbiter: Arc<Arbiter>,
    pub(super) alice: Node,
    pub(super) bob: Node,
    _stores: TempDir,
}

/// What an account owns on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holdings {
    pub(super) account: AccountId,
    free: Amount,
    vault: Amount,
}

impl Holdings {
    pub(super) const fn total(&self) -> Amount {
        self.free.saturating_add(self.vault)
    }
}

impl World {
    pub(super) async fn build(contract: &Path, durability: Durability) -> Result<Self> {
        let code = std::fs::read(contract).with_context(|| {
            format!("cannot read {}: build it first with `cargo xtask contract`", contract.display())
        })?;
        let chain = DevChain::new()?;
        let recorder = Arc::new(Recorder::new(Arc::new(chain.clone())));
        let shared: SharedChain = recorder.clone();
        let deployer = DevAccount::Charlie.signer();
        let (arbiter, _receipt) = Arbiter::deploy(shared, &deployer, code, limits::DEFAULT, Vec::new()).await?;
        let arbiter = Arc::new(arbiter);
        let stores = tempfile::tempdir()?;
        let node = |seed: u8, account: DevAccount| {
            let (arbiter, path) = (Arc::clone(&arbiter), stores.path().join(format!("{account:?}")));
            async move {
                let identity = Identity::from_seed(&[seed; 32]);
                let mut config = NodeConfig::new(identity, Arc::new(account.signer()), arbiter);
                config.store = Some(StoreHandle::open(&path, durability)?);
                config.listen = Some("127.0.0.1:0".into());
                anyhow::Ok(Node::start(config).await?)
            }
        };
        let (alice, bob) = (node(1, DevAccount::Alice).await?, node(2, DevAccount::Bob).await?);
        Ok(Self { chain, recorder, arbiter, alice, bob, _stores: stores })
    }

    pub(super) async fn holdings(&self) -> Result<Vec<Holdings>> {
        self.recorder.quiet().await;
        let mut all = Vec::new();
        for account in [DevAccount::Alice, DevAccount::Bob, DevAccount::Charlie] {
            let account = account.id();
            let free = self.recorder.free_balance(&account).await?;
            let vault = self.arbiter.vault_balance(account).await?;
            all.push(Holdings { account, free, vault });
        }
        Ok(all)
    }

    pub(super) fn name(&self, account: &AccountId) -> String {
        DevAccount::ALL
            .into_iter()
            .find(|known| known.id() == *account)
            .map_or_else(|| account.to_string(), |known| format!("{known:?}"))
    }
}
