//! The demo's stage: an embedded chain, the arbiter on it, nodes that listen and dial on loopback.

use anyhow::{Context, Result};
use devchain::{DevAccount, DevChain, Endpoint};
use protocol::{AccountId, Amount, PartyId};
use sdk::{
    apps::Registry,
    chain::{Arbiter, Chain, Recorder, SharedChain, deploy::DEFAULT_LIMITS},
    keys::Identity,
    node::{Ack, EventStream, Node, NodeConfig, Storage},
    store::{Durability, StoreHandle},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

pub(super) struct World {
    pub(super) chain: DevChain,
    pub(super) recorder: Arc<Recorder>,
    pub(super) arbiter: Arc<Arbiter>,
    stores: TempDir,
    durability: Durability,
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
        Self::build_on(DevChain::new()?, contract, durability).await
    }

    pub(super) async fn build_on(chain: DevChain, contract: &Path, durability: Durability) -> Result<Self> {
        let code = std::fs::read(contract).with_context(|| {
            format!("cannot read {}: build it first with `cargo xtask contract`", contract.display())
        })?;
        let recorder = Arc::new(Recorder::new(Arc::new(chain.clone())));
        let shared: SharedChain = recorder.clone();
        let deployer = DevAccount::Charlie.signer();
        let (arbiter, _receipt) = Arbiter::deploy(shared, &deployer, code, DEFAULT_LIMITS, Vec::new()).await?;
        let arbiter = Arc::new(arbiter);
        let stores = tempfile::tempdir()?;
        Ok(Self { chain, recorder, arbiter, stores, durability })
    }

    /// Where a node of this account keeps its channels.
    pub(super) fn store(&self, account: DevAccount) -> Result<StoreHandle> {
        Ok(StoreHandle::open(&self.store_path(account), self.durability)?)
    }

    /// Starts a node of this account, on that store, and with the apps that it takes part in.
    pub(super) async fn start(
        &self,
        account: DevAccount,
        store: StoreHandle,
        apps: Option<Arc<Registry>>,
    ) -> Result<(Node, EventStream)> {
        let takes_part = |config: &mut NodeConfig| config.apps = apps.unwrap_or_else(|| Arc::clone(&config.apps));
        self.start_with(account, store, takes_part).await
    }

    /// Starts a node of this account, on that store, with other settings.
    pub(super) async fn start_with(
        &self,
        account: DevAccount,
        store: StoreHandle,
        change: impl FnOnce(&mut NodeConfig),
    ) -> Result<(Node, EventStream)> {
        let mut config = config(account, Arc::clone(&self.arbiter), store);
        change(&mut config);
        Ok(Node::start_with_events(config).await?)
    }

    /// Where a process of its own finds the chain; it answers as long as this is kept.
    pub(super) fn serve_chain(&self) -> Result<Endpoint> {
        let (chain, keys) = (self.recorder.clone(), DevAccount::ALL.map(DevAccount::signer));
        Ok(Endpoint::serve(chain, self.stores.path().join("chain"), keys.into())?)
    }

    /// Where the store of this account's node is.
    pub(super) fn store_path(&self, account: DevAccount) -> PathBuf {
        self.stores.path().join(format!("{account:?}"))
    }

    pub(super) async fn holdings(&self) -> Result<Vec<Holdings>> {
        self.recorder.quiet().await;
        let mut all = Vec::new();
        for account in [DevAccount::Alice, DevAccount::Bob, DevAccount::Charlie] {
            let owner = PartyId { account: account.id(), key: identity(account).public() };
            let free = self.recorder.free_balance(&owner.account).await?;
            let vault = self.arbiter.vault_balance(owner).await?;
            all.push(Holdings { account: owner.account, free, vault });
        }
        Ok(all)
    }

    pub(super) fn name(&self, account: &AccountId) -> String {
        DevAccount::ALL
            .into_iter()
            .find(|known| known.id() == *account)
            .map_or_else(|| self.arbiter.info().addresses.write(account), |known| format!("{known:?}"))
    }
}

/// Settings of an account's node.
pub(super) fn config(account: DevAccount, arbiter: Arc<Arbiter>, store: StoreHandle) -> NodeConfig {
    let mut config = NodeConfig::new(identity(account), Arc::new(account.signer()), arbiter, Storage::Disk(store));
    // Both sides put coins in, and what is told is shown at once and needed no more.
    config.policy.share_max = Amount::MAX;
    config.ack = Ack::OnDelivery;
    config.listen = Some("127.0.0.1:0".into());
    config
}

/// Who an account's node is to its peers.
pub(super) fn identity(account: DevAccount) -> Identity {
    Identity::from_seed(&account.id().0)
}
