//! The stage: a chain, the arbiter on it, and whoever is called upon it.

use crate::{
    Actor, Coins, Endpoint, TestChain,
    actor::{START, free_store},
    ledger::Ledger,
    within,
};
use devchain::{DEV_ENDOWMENT, DevAccount, DevChain};
use protocol::{
    AccountId, Amount, BlockNumber, Hash, PartyId,
    terms::{CallWeight, Limits},
};
use sdk::{
    apps::{AppTerms, deploy},
    chain::{
        Arbiter, Chain, Recorder, SharedChain, Signer, Transaction,
        arbiter::code_hash,
        signer::Sr25519Signer,
        testing::{self, MemoryChain},
    },
    keys::{Identity, PeerAddress},
    node::{Ack, NodeConfig, OpenChannel, Storage},
    store::StoreHandle,
};
use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use subxt_signer::{SecretUri, sr25519::Keypair};
use tempfile::TempDir;

/// One unit of the chain's coin in its smallest unit.
pub const UNIT: Amount = 1_000_000_000_000;

/// What each actor's account owns at first.
pub(crate) const ENDOWMENT: Amount = 10_000 * UNIT;

/// What the arbiter allows (R5.13).
pub const LIMITS: Limits = Limits {
    lock_period_min: 10,
    lock_period_max: 1_000,
    validity_max: 1_000,
    max_forced_max: 8,
    call_weight: CallWeight::STANDARD,
};

/// Everybody who may appear.
pub(crate) const CAST: [&str; 14] = [
    "alice", "bob", "mallory", "hub", "peer0", "peer1", "peer2", "peer3", "peer4", "peer5", "peer6", "peer7", "peer8",
    "peer9",
];

/// A chain, an arbiter, and a directory for stores.
#[derive(Debug)]
pub struct World<C = DevChain> {
    /// The chain itself.
    pub chain: C,
    /// The same chain, with a memory for costs: what the actors use.
    pub recorder: Arc<Recorder>,
    /// The arbiter.
    pub arbiter: Arc<Arbiter>,
    ledger: Ledger,
    /// The program that peers and wallets in processes of their own run.
    program: Option<PathBuf>,
    /// Where other processes reach a chain that lives in this one.
    endpoint: OnceLock<Endpoint>,
    directory: TempDir,
}

impl World {
    /// A new embedded chain with the arbiter on it.
    pub async fn new() -> Self {
        let builder =
            CAST.into_iter().fold(DevChain::builder(), |builder, name| builder.endow(account(name), ENDOWMENT));
        Self::on(builder.build().unwrap()).await
    }

    /// Another one, with another genesis.
    pub async fn another() -> Self {
        let builder =
            CAST.into_iter().fold(DevChain::builder(), |builder, name| builder.endow(account(name), ENDOWMENT));
        Self::on(builder.endow(account("another"), ENDOWMENT).build().unwrap()).await
    }
}

impl World<devchain_narrow::DevChain> {
    /// A new embedded chain whose balances have 64 bits, with the arbiter on it.
    pub async fn narrow() -> Self {
        let builder = devchain_narrow::DevChain::builder();
        let builder = CAST.into_iter().fold(builder, |builder, name| builder.endow(account(name), ENDOWMENT));
        Self::on(builder.build().unwrap()).await
    }
}

impl World<MemoryChain> {
    /// A new chain in memory, where the arbiter is its rules.
    pub async fn in_memory() -> Self {
        Self::in_memory_with(|builder| builder).await
    }

    /// As [`in_memory`](Self::in_memory), with other settings.
    pub async fn in_memory_with(change: impl FnOnce(testing::Builder) -> testing::Builder) -> Self {
        let cast = CAST.into_iter().map(|name| (account(name), ENDOWMENT));
        let others = DevAccount::ALL.into_iter().map(|dev| (dev.id(), DEV_ENDOWMENT));
        let builder = MemoryChain::builder();
        let builder = cast.chain(others).fold(builder, |builder, (account, coins)| builder.endow(account, coins));
        Self::on(change(builder).build()).await
    }
}

impl<C> World<C> {
    /// Where an actor's store is.
    #[must_use]
    pub fn store_of(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The store of `name`'s node, once that has let go of it.
    pub async fn free_store_of(&self, name: &str) -> StoreHandle {
        free_store(&self.store_of(name)).await
    }

    /// The program that peers and wallets in processes of their own run.
    pub(crate) fn peer_program(&self) -> &Path {
        self.program.as_deref().expect("a story with processes is told with their program")
    }
}

impl<C: TestChain> World<C> {
    /// Puts the arbiter on a chain on which the cast is rich.
    pub async fn on(chain: C) -> Self {
        Self::salted(chain, Vec::new()).await
    }

    /// As [`on`](Self::on), with an arbiter at another address than those of chains with the same genesis.
    pub async fn salted(chain: C, salt: Vec<u8>) -> Self {
        let recorder = Arc::new(Recorder::new(chain.client()));
        let shared: SharedChain = recorder.clone();
        let deployer = DevAccount::Charlie.signer();
        let deploying = Arbiter::deploy(shared, &deployer, arbiter_code(), LIMITS, salt);
        let (arbiter, _receipt) = within("the arbiter's deployment", deploying).await.unwrap();
        Self {
            chain,
            recorder,
            arbiter: Arc::new(arbiter),
            ledger: Ledger::default(),
            program: None,
            endpoint: OnceLock::new(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// Has peers and wallets in processes of their own run this program, `e2e-peer`.
    #[must_use]
    pub fn with_program(self, program: impl Into<PathBuf>) -> Self {
        Self { program: Some(program.into()), ..self }
    }

    /// Where other processes reach the chain.
    pub(crate) fn reached_at(&self) -> String {
        self.chain.url().unwrap_or_else(|| {
            let chain: SharedChain = self.recorder.clone();
            let endpoint = self.endpoint.get_or_init(|| serve(chain, self.store_of("chain")));
            endpoint.path().to_str().unwrap().to_owned()
        })
    }

    /// Puts coins into an account that is not of the cast.
    pub async fn fund(&self, account: AccountId, amount: Amount) {
        let rich = DevAccount::Dave.signer();
        let transfer = Transaction::Transfer { to: account, amount };
        let dry_run = self.recorder.dry_run(&rich.account(), &transfer).await.unwrap();
        let _receipt = within("coins", self.recorder.submit(&rich, transfer, &dry_run)).await.unwrap();
    }

    /// Starts an actor's node, with what its store holds. It listens on loopback.
    pub async fn start(&self, name: &'static str) -> Actor {
        self.start_with(name, |_config| {}).await
    }

    /// As [`start`](Self::start), with other settings.
    pub async fn start_with(&self, name: &'static str, change: impl FnOnce(&mut NodeConfig)) -> Actor {
        let mut config = self.config(name);
        change(&mut config);
        within(START, Actor::start(name, config, Some(self.store_of(name)))).await
    }

    /// Starts an actor whose vault holds `vault`.
    pub async fn start_rich(&self, name: &'static str, vault: Amount) -> Actor {
        let actor = self.start(name).await;
        let _done = within("a deposit", actor.node.vault_deposit(vault)).await.unwrap();
        actor
    }

    /// Alice and Bob with full vaults, connected.
    pub async fn couple(&self) -> (Actor, Actor) {
        self.couple_on(self.config("alice"), self.config("bob")).await
    }

    /// The same, with settings of their own.
    pub async fn couple_on(&self, alices: NodeConfig, bobs: NodeConfig) -> (Actor, Actor) {
        let alice = self.start_with("alice", |config| *config = alices).await;
        let bob = self.start_with("bob", |config| *config = bobs).await;
        for actor in [&alice, &bob] {
            let _done = within("a deposit", actor.node.vault_deposit(1_000 * UNIT)).await.unwrap();
        }
        alice.connect(&bob).await;
        (alice, bob)
    }

    /// An actor's settings: in memory, listening on loopback.
    #[must_use]
    pub fn config(&self, name: &str) -> NodeConfig {
        let (identity, signer, arbiter) = (identity(name), Arc::new(signer(name)), Arc::clone(&self.arbiter));
        let mut config = NodeConfig::new(identity, signer, arbiter, Storage::DangerInMemory);
        // Stories have both sides put coins in, and hear events without taking them.
        config.policy.share_max = Amount::MAX;
        config.ack = Ack::OnDelivery;
        config.listen = Some("127.0.0.1:0".into());
        // Stories say themselves who dials when.
        config.redial = None;
        config
    }

    /// Lets chain time pass.
    pub async fn pass(&self, blocks: u32) {
        within("blocks", self.chain.produce_blocks(blocks)).await;
    }

    /// Lets chain time pass until block `number` is there.
    pub async fn pass_until(&self, number: BlockNumber) {
        self.pass(number.saturating_sub(self.chain.block_number().await)).await;
    }

    /// Lets a lock run out: passes until a node finds that it may settle in the next block.
    pub async fn pass_lock(&self, unlock_at: BlockNumber) {
        let sees_it_coming = self.recorder.dry_runs_in_next_block();
        self.pass_until(if sees_it_coming { unlock_at - 1 } else { unlock_at }).await;
    }

    /// Puts the app `name` on chain: where it stands, and its Wasm.
    pub async fn deploy_app(&self, name: &str) -> App {
        let wasm = app_code(name);
        let deployer = DevAccount::Charlie.signer();
        let deployed = within("an app's deployment", deploy(&*self.recorder, &deployer, wasm.clone())).await.unwrap();
        App { code: code_hash(&wasm), deployed, wasm }
    }

    /// Has `config`'s node take part in contracts of this app, whose Wasm it has.
    pub async fn give_app(&self, config: &NodeConfig, app: &App) {
        let code = config.apps.add(&app.wasm).unwrap();
        assert_eq!(code, app.code);
        self.tell_of_app(config, app).await;
    }

    /// Has `config`'s node take part in contracts of this app, whose Wasm it does not have.
    pub async fn tell_of_app(&self, config: &NodeConfig, app: &App) {
        let terms = AppTerms { deployed: app.deployed, worthless_when_empty: false };
        within("a look at the app", config.apps.accept(&self.arbiter, &config.signer.account(), app.code, terms))
            .await
            .unwrap();
    }

    /// A look at everybody's coins.
    pub async fn coins(&self) -> Coins {
        self.coins_with(&[]).await
    }

    /// The same, with other accounts than the cast's, each with the key that its vault is under.
    pub async fn coins_with(&self, others: &[PartyId]) -> Coins {
        loop {
            let costs = self.ledger.costs(&self.chain, &self.recorder).await;
            let head = self.chain.block_number().await;
            let owners = CAST.into_iter().map(party).chain(others.iter().copied());
            let coins = Coins::count(&self.chain, &self.recorder, &self.arbiter, owners, costs.paid).await;
            // A block in between, of another process's perhaps, would be half counted.
            if (costs.up_to, self.chain.block_number().await) == (head, head) {
                return coins;
            }
        }
    }
}

/// An app on the chain.
#[derive(Clone, Debug)]
pub struct App {
    /// The hash of its code.
    pub code: Hash,
    /// Where it stands.
    pub deployed: AccountId,
    /// Its Wasm.
    pub wasm: Vec<u8>,
}

/// The chain for processes of their own, at a path: whatever the cast sends is signed here.
#[must_use]
pub fn serve(chain: SharedChain, path: PathBuf) -> Endpoint {
    Endpoint::serve(chain, path, CAST.into_iter().map(signer).collect()).unwrap()
}

/// An actor's chain account.
#[must_use]
pub fn account(name: &str) -> AccountId {
    signer(name).account()
}

/// The key of an actor's chain account.
#[must_use]
pub fn signer(name: &str) -> Sr25519Signer {
    let uri: SecretUri = format!("//{name}").parse().unwrap();
    Sr25519Signer::new(Keypair::from_uri(&uri).unwrap())
}

/// An actor's identity.
#[must_use]
pub fn identity(name: &str) -> Identity {
    let mut seed = [0; 32];
    seed.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    Identity::from_seed(&seed)
}

/// An actor as the arbiter knows it: whose vault and whose nonces they are (R5.1, R5.2).
#[must_use]
pub fn party(name: &str) -> PartyId {
    PartyId { account: account(name), key: identity(name).public() }
}

/// The address of the actor `name` at `at`.
#[must_use]
pub fn address_at(name: &str, at: SocketAddr) -> PeerAddress {
    PeerAddress::new(identity(name).public(), &at.ip().to_string(), at.port()).unwrap()
}

/// A channel with 100 units of each side.
#[must_use]
pub const fn terms() -> OpenChannel {
    OpenChannel {
        our_share: 100 * UNIT,
        peer_share: 100 * UNIT,
        push: 0,
        reserve: 10 * UNIT,
        lock_period: 20,
        penalty: 5 * UNIT,
        max_forced: 3,
        validity: 100,
    }
}

/// The arbiter's Wasm: the one that `ARBITER_WASM` names, or the one that was built here.
///
/// # Panics
/// Where there is none, saying how to build it.
#[must_use]
pub fn arbiter_code() -> Vec<u8> {
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/contract/contract.wasm");
    let path = env::var_os("ARBITER_WASM").map_or(built, PathBuf::from);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("cannot read {}: {error}; build it first with `cargo xtask contract`", path.display())
    })
}

/// An app's Wasm, as it was built here.
///
/// # Panics
/// Where there is none, saying how to build it.
#[must_use]
pub fn app_code(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../target/contract/{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("cannot read {}: {error}; build it first with `cargo xtask contract --package {name}`", path.display())
    })
}
