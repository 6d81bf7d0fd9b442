//! The chain as this client knows it: what every task of it shares, and its questions to a node.

use super::{
    dispatch::dry_run_failure,
    dry_run::{Answer, Question},
    endpoints::Endpoints,
    era::{Era, LONGEST},
    events::{BlockEvents, digest},
    extrinsic::{self, SignedForm},
    nonces::Nonces,
    runtime::{AccountData, Runtime, unusual},
    settings::Settings,
    tracker::Tracker,
    wire::{Bytes, Header, Hex32, RuntimeVersion, SignedBlock, to_hex},
};
use crate::{
    AddressFormat, BlockRef, ChainError, ChainSignature, ContractEvent, DryRun, Health, NotSigned, Signer, Transaction,
    Weight,
};
use async_trait::async_trait;
use protocol::{AccountId, Amount, BlockNumber, Hash};
use scale::{Compact, Decode, Encode};
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, AtomicU32, Ordering},
    },
};
use subxt::{
    rpcs::{client::RpcParams, rpc_params},
    utils::AccountId32,
};
use tokio::sync::{OnceCell, Semaphore, watch};

/// The most transactions on their way at once; more wait for their turn. Nodes allow about a thousand subscriptions on one connection.
const MAX_IN_FLIGHT: usize = 512;
/// How many blocks' events are kept, for the many transactions that share a block and the tasks that follow blocks.
const BLOCKS_KEPT: usize = 32;
/// Where a block's state has its events: the hashes of `System` and `Events`.
pub(super) const EVENTS: &str = "0x26aa394eea5630e07c48ae0c9558cef780d41e5e16056765bc8461851072c9d7";
/// The metadata versions that are understood, the best first. The last one is always there.
const METADATA: [u32; 2] = [15, 14];

/// A block that is read, or being read, by the first who asked.
type Reading = Arc<OnceCell<Arc<FinalBlock>>>;

pub(super) struct Node {
    pub(super) settings: Settings,
    pub(super) endpoints: Endpoints,
    pub(super) genesis: Hash,
    /// The newest finalised block that the endpoint in use tells. It never moves back behind a block that two endpoints have.
    pub(super) head: watch::Sender<BlockRef>,
    pub(super) health: watch::Sender<Health>,
    pub(super) nonces: Nonces,
    pub(super) tracker: Arc<Tracker>,
    pub(super) in_flight: Semaphore,
    runtimes: tokio::sync::Mutex<HashMap<u32, Arc<Runtime>>>,
    /// For how many blocks a transaction can be valid at most, as the runtime that was read last has it.
    longest_era: AtomicU32,
    /// The prefix of accounts, the same.
    prefix: AtomicU16,
    blocks: Mutex<VecDeque<(BlockNumber, Reading)>>,
}

/// A final block, read.
#[derive(Debug)]
pub(super) struct FinalBlock {
    pub(super) at: BlockRef,
    pub(super) parent: Hash,
    pub(super) events: BlockEvents,
    /// The hash of the events as they were read.
    pub(super) digest: Hash,
}

/// The block on which the next one will be built, as the node sees it now.
pub(super) struct Best {
    pub(super) at: BlockRef,
}

impl Node {
    pub(super) async fn connect(settings: Settings) -> Result<Self, ChainError> {
        let endpoints = Endpoints::new(settings.clone())?;
        let _link = endpoints.link().await?;
        let head = endpoints.finalised_head().await?;
        endpoints.saw_head(head);
        let genesis = endpoints.genesis().ok_or_else(|| ChainError::Unreachable("no genesis block".into()))?;
        Ok(Self {
            settings,
            endpoints,
            genesis,
            head: watch::Sender::new(head),
            health: watch::Sender::new(Health::Good),
            nonces: Nonces::default(),
            tracker: Tracker::new(head.number),
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            runtimes: tokio::sync::Mutex::default(),
            longest_era: AtomicU32::new(LONGEST),
            prefix: AtomicU16::new(AddressFormat::GENERIC.prefix()),
            blocks: Mutex::default(),
        })
    }

    pub(super) fn head(&self) -> BlockRef {
        *self.head.borrow()
    }

    // --- Runtimes

    /// The runtime in the state after `block`: it executes the next one.
    pub(super) async fn runtime(&self, block: BlockRef) -> Result<Arc<Runtime>, ChainError> {
        self.runtime_of(self.version(block).await?, block).await
    }

    /// For how many blocks a transaction can be valid at most.
    pub(super) fn longest_era(&self) -> u32 {
        self.longest_era.load(Ordering::Relaxed)
    }

    /// What was done, or an error that shows accounts as this chain writes them.
    pub(super) fn written<T>(&self, done: Result<T, ChainError>) -> Result<T, ChainError> {
        let format = AddressFormat::new(self.prefix.load(Ordering::Relaxed)).unwrap_or(AddressFormat::GENERIC);
        done.map_err(|error| error.written(format))
    }

    async fn version(&self, block: BlockRef) -> Result<RuntimeVersion, ChainError> {
        self.endpoints
            .ask_about(Some(block.number), "state_getRuntimeVersion", rpc_params![block.hash.to_string()])
            .await
    }

    async fn runtime_of(&self, version: RuntimeVersion, block: BlockRef) -> Result<Arc<Runtime>, ChainError> {
        let mut runtimes = self.runtimes.lock().await;
        if let Some(runtime) = runtimes.get(&version.spec_version) {
            return Ok(Arc::clone(runtime));
        }
        let metadata = self.metadata(block).await?;
        let runtime = Arc::new(Runtime::new(self.genesis, version, &metadata)?);
        tracing::info!(spec = version.spec_version, bytes = metadata.len(), "read the runtime's metadata");
        self.longest_era.store(runtime.longest_era(), Ordering::Relaxed);
        if let Ok(format) = runtime.address_format() {
            self.prefix.store(format.prefix(), Ordering::Relaxed);
        }
        let _none = runtimes.insert(version.spec_version, Arc::clone(&runtime));
        Ok(runtime)
    }

    async fn metadata(&self, block: BlockRef) -> Result<Vec<u8>, ChainError> {
        for version in METADATA {
            let answer = self.call("Metadata_metadata_at_version", to_hex(&version.encode()), block).await;
            let found = answer.ok().and_then(|bytes| <Option<Vec<u8>>>::decode(&mut &*bytes).ok().flatten());
            if let Some(metadata) = found {
                return Ok(metadata);
            }
        }
        let bytes = self.call("Metadata_metadata", "0x".into(), block).await?;
        Vec::<u8>::decode(&mut &*bytes).map_err(|error| unusual(&error))
    }

    /// Asks a runtime API on the state after `block`.
    async fn call(&self, method: &str, arguments: String, block: BlockRef) -> Result<Vec<u8>, ChainError> {
        let parameters = rpc_params![method, arguments, block.hash.to_string()];
        let Bytes(answer) = self.endpoints.ask_about(Some(block.number), "state_call", parameters).await?;
        Ok(answer)
    }

    // --- Storage

    async fn stored(&self, key: Vec<u8>, block: BlockRef) -> Result<Option<Vec<u8>>, ChainError> {
        let parameters = rpc_params![to_hex(&key), block.hash.to_string()];
        let answer: Option<Bytes> =
            self.endpoints.ask_about(Some(block.number), "state_getStorage", parameters).await?;
        Ok(answer.map(|Bytes(bytes)| bytes))
    }

    pub(super) async fn account(&self, account: &AccountId) -> Result<Option<AccountData>, ChainError> {
        let head = self.head();
        let runtime = self.runtime(head).await?;
        let bytes = self.stored(runtime.account_key(account)?, head).await?;
        bytes.map(|bytes| runtime.account(&bytes)).transpose()
    }

    pub(super) async fn code_hash(&self, contract: &AccountId) -> Result<Option<Hash>, ChainError> {
        let head = self.head();
        let runtime = self.runtime(head).await?;
        let bytes = self.stored(runtime.contract_key(contract)?, head).await?;
        bytes.map(|bytes| runtime.contract_code_hash(&bytes)).transpose()
    }

    /// The Wasm as it was uploaded.
    pub(super) async fn code(&self, hash: &Hash) -> Result<Option<Vec<u8>>, ChainError> {
        let head = self.head();
        let runtime = self.runtime(head).await?;
        let bytes = self.stored(runtime.code_key(hash)?, head).await?;
        bytes.map(|bytes| Vec::<u8>::decode(&mut &*bytes).map_err(|error| unusual(&error))).transpose()
    }

    // --- Trying

    /// What a transaction would do on the state after `block`.
    pub(super) async fn dry_run(
        &self,
        origin: &AccountId,
        transaction: &Transaction,
        block: BlockRef,
    ) -> Result<DryRun, ChainError> {
        let balances = self.runtime(block).await?.balances;
        balances.check_transaction(transaction)?;
        let Some(question) = Question::about(origin, transaction, balances)? else {
            return self.dry_run_transfer(origin, transaction).await;
        };
        let bytes = self.call(question.method, question.arguments(), block).await?;
        match Answer::decode(transaction, &bytes, balances).map_err(|error| unusual(&error))? {
            Answer::Ran(dry_run) => Ok(dry_run),
            Answer::Failed { error, debug_message } => {
                let runtime = self.runtime(block).await?;
                let name = error.name(&runtime);
                if name == "Contracts::CodeRejected" {
                    // Why code was rejected is told nowhere but here.
                    let why = String::from_utf8_lossy(&debug_message);
                    return Err(ChainError::Failed { cause: format!("{name} ({why})") });
                }
                Err(dry_run_failure(name, *origin, called(transaction)))
            }
        }
    }

    /// No node offers to try a transfer, so what can be wrong with one is looked up.
    async fn dry_run_transfer(&self, origin: &AccountId, transaction: &Transaction) -> Result<DryRun, ChainError> {
        if let Transaction::Transfer { to, amount } = transaction {
            let runtime = self.runtime(self.head()).await?;
            let have = self.account(origin).await?.unwrap_or_default().spendable();
            if have < *amount {
                return Err(ChainError::InsufficientFunds {
                    account: (*origin).into(),
                    cause: "Token::FundsUnavailable".into(),
                });
            }
            let is_new = self.account(to).await?.is_none();
            if is_new && *amount < runtime.existential_deposit {
                return Err(ChainError::Failed { cause: "Token::BelowMinimum".into() });
            }
        }
        Ok(DryRun::of(Weight::default()))
    }

    /// What the inclusion of a transaction costs, as the runtime itself says of one that nobody has signed.
    pub(super) async fn fee(&self, transaction: &Transaction, required: Weight) -> Result<Amount, ChainError> {
        let head = self.head();
        let runtime = self.runtime(head).await?;
        let era = Era::new(head, head.number, (self.settings.valid_for, self.longest_era()));
        let form = SignedForm { nonce: 0, era, tip: 0 };
        let mut bytes = extrinsic::sign(&runtime, transaction, &DryRun::of(required), &Unsigned, form).await?;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        bytes.extend(length.to_le_bytes());
        let answer = self.call("TransactionPaymentApi_query_info", to_hex(&bytes), head).await?;
        // Weight, class, fee.
        let mut input = &*answer;
        let told = <((Compact<u64>, Compact<u64>), u8)>::decode(&mut input);
        told.and_then(|_weight_and_class| runtime.balances.decode(&mut input)).map_err(|error| unusual(&error))
    }

    // --- Before a submission

    /// The best block: not final, but the one that the pool judges by.
    pub(super) async fn best(&self) -> Result<Best, ChainError> {
        let header: Option<Header> = self.endpoints.ask_about(None, "chain_getHeader", rpc_params![]).await?;
        let header = header.ok_or_else(|| ChainError::Unreachable("the node has no best block".into()))?;
        Ok(Best { at: BlockRef { number: header.number, hash: header.hash() } })
    }

    /// The lowest nonce that neither the chain nor the node's pool has seen of an account.
    pub(super) async fn lowest_nonce(&self, account: AccountId, best: &Best) -> Result<u64, ChainError> {
        let text = serde_json::to_value(AccountId32(account.0)).map_err(|error| unusual(&error))?;
        let (link, answer) = self.endpoints.ask("system_accountNextIndex", rpc_params![text]).await?;
        match answer {
            Ok(nonce) => Ok(nonce),
            Err(complaint) if complaint.is_unknown_method() => self.nonce(account, best.at).await,
            Err(complaint) => {
                Err(ChainError::Unreachable(format!("{} does not tell a nonce: {}", link.url, complaint.words())))
            }
        }
    }

    /// How many transactions of an account are on chain up to `block`.
    pub(super) async fn nonce(&self, account: AccountId, block: BlockRef) -> Result<u64, ChainError> {
        let bytes = self.call("AccountNonceApi_account_nonce", to_hex(&account.0), block).await?;
        u32::decode(&mut &*bytes).map(u64::from).map_err(|error| unusual(&error))
    }

    // --- Blocks

    /// The extrinsics of a final block.
    pub(super) async fn body(&self, number: BlockNumber) -> Result<(BlockRef, Vec<String>), ChainError> {
        let at = self.final_block(number).await?;
        let block: Option<SignedBlock> = self.about(at, "chain_getBlock", rpc_params![at.hash.to_string()]).await?;
        let block = block.ok_or(ChainError::Pruned { block: number })?;
        Ok((at, block.block.extrinsics))
    }

    /// A final block with its events, read once for all who ask at about the same time.
    pub(super) async fn block(&self, number: BlockNumber) -> Result<Arc<FinalBlock>, ChainError> {
        let cell = {
            let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
            match blocks.iter().find(|(known, _)| *known == number) {
                Some((_, cell)) => Arc::clone(cell),
                None => {
                    if blocks.len() >= BLOCKS_KEPT {
                        let _oldest = blocks.pop_front();
                    }
                    let cell = Reading::default();
                    blocks.push_back((number, Arc::clone(&cell)));
                    cell
                }
            }
        };
        cell.get_or_try_init(|| async { self.read_block(number).await.map(Arc::new) }).await.cloned()
    }

    async fn read_block(&self, number: BlockNumber) -> Result<FinalBlock, ChainError> {
        let at = self.final_block(number).await?;
        let hash = at.hash.to_string();
        let (header, events, version) = tokio::try_join!(
            self.about::<Option<Header>>(at, "chain_getHeader", rpc_params![&hash]),
            self.about::<Option<Bytes>>(at, "state_getStorage", rpc_params![EVENTS, &hash]),
            self.version(at),
        )?;
        let header = header.filter(|header| header.hash() == at.hash && header.number == number);
        let header = header
            .ok_or_else(|| ChainError::Unreachable(format!("block {number} has another header than its hash says")))?;
        let Hex32(parent) = header.parent_hash;
        // A block that brings a new runtime was itself executed by the old one.
        let version = if header.brings_new_runtime() && number > 0 {
            self.version(BlockRef { number: number.saturating_sub(1), hash: parent }).await?
        } else {
            version
        };
        let executed_by = self.runtime_of(
            version,
            if number == 0 { at } else { BlockRef { number: number.saturating_sub(1), hash: parent } },
        );
        let runtime = executed_by.await?;
        let Bytes(bytes) = events.unwrap_or(Bytes(Vec::new()));
        let digest = digest(&bytes);
        Ok(FinalBlock { at, parent, events: BlockEvents::decode(&runtime, bytes)?, digest })
    }

    /// What contracts announced in a block that need not be final, by the runtime of the newest final one: another one would not matter for a moment.
    pub(super) async fn events_by_newest_runtime(&self, bytes: Vec<u8>) -> Result<Vec<ContractEvent>, ChainError> {
        let runtime = self.runtime(self.head()).await?;
        Ok(BlockEvents::decode(&runtime, bytes)?.of_contracts())
    }

    /// Whoever asks for a block from now on has it read again.
    pub(super) fn forget_blocks(&self) {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn final_block(&self, number: BlockNumber) -> Result<BlockRef, ChainError> {
        let hash = self.final_hash(number).await?;
        let hash =
            hash.ok_or_else(|| ChainError::Unreachable(format!("the endpoint does not know final block {number}")))?;
        Ok(BlockRef { number, hash })
    }

    /// The hash of a final block; none where it is not final, or the endpoint does not know it.
    pub(super) async fn final_hash(&self, number: BlockNumber) -> Result<Option<Hash>, ChainError> {
        let head = self.head();
        if head.number <= number {
            return Ok((head.number == number).then_some(head.hash));
        }
        let hash: Option<Hex32> = self.endpoints.ask_about(None, "chain_getBlockHash", rpc_params![number]).await?;
        Ok(hash.map(|Hex32(hash)| hash))
    }

    async fn about<R: serde::de::DeserializeOwned>(
        &self,
        block: BlockRef,
        method: &'static str,
        parameters: RpcParams,
    ) -> Result<R, ChainError> {
        self.endpoints.ask_about(Some(block.number), method, parameters).await
    }

    pub(super) async fn free_balance(&self, account: &AccountId) -> Result<Amount, ChainError> {
        Ok(self.account(account).await?.unwrap_or_default().spendable())
    }
}

/// Nobody's signature: as long as any other.
struct Unsigned;

#[async_trait]
impl Signer for Unsigned {
    fn account(&self) -> AccountId {
        AccountId([0; 32])
    }

    async fn sign(&self, _payload: &[u8]) -> Result<ChainSignature, NotSigned> {
        Ok(ChainSignature::Sr25519([0; 64]))
    }
}

/// The contract that a transaction calls.
pub(super) const fn called(transaction: &Transaction) -> Option<AccountId> {
    match transaction {
        Transaction::Call { contract, .. } => Some(*contract),
        Transaction::Instantiate { .. } | Transaction::Transfer { .. } => None,
    }
}
