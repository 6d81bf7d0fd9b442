//! The chain of this process for nodes in other processes, over a socket of the file system. Transactions are signed here, where the keys are
//! known.
//!
//! Each question has a connection of its own; what comes back are frames of four bytes of length and so many bytes.

use async_trait::async_trait;
use chain::{
    Block, BlockRef, Chain, ChainError, ContractEvent, DryRun, Receipt, SharedChain, Signer, Transaction, Urgency,
    Weight, signer::Sr25519Signer,
};
use futures::{StreamExt, stream::BoxStream};
use protocol::{AccountId, Amount, BlockNumber, Hash};
use scale::{Decode, Encode};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

#[derive(Encode, Decode)]
enum Question {
    Genesis,
    LargestAmount,
    Head,
    BlockHash(BlockNumber),
    FreeBalance(AccountId),
    CodeHash(AccountId),
    Code(Hash),
    DryRun {
        origin: AccountId,
        contract: AccountId,
        value: Amount,
        data: Vec<u8>,
    },
    Fee {
        contract: AccountId,
        value: Amount,
        data: Vec<u8>,
        required: (u64, u64),
    },
    Blocks(BlockNumber),
    Submit {
        account: AccountId,
        contract: AccountId,
        value: Amount,
        data: Vec<u8>,
        required: (u64, u64),
        deposit: i128,
    },
}

type Answer<T> = Result<T, String>;
/// Number and hash.
type At = (BlockNumber, Hash);
/// Emitter, topics, data.
type Emitted = (AccountId, Vec<Hash>, Vec<u8>);
/// Weight used and required, deposit, what was returned, whether it was reverted.
type Tried = ((u64, u64), (u64, u64), i128, Vec<u8>, bool);
/// Block, fee, weight, length, deposit, events.
type Sent = (At, Amount, (u64, u64), u32, i128, Vec<Emitted>);

/// Answers for a chain, until dropped.
#[derive(Debug)]
pub struct Endpoint {
    path: PathBuf,
    serving: JoinHandle<()>,
}

impl Endpoint {
    /// Answers at `path`, and signs for those whose keys these are. Called within a runtime.
    ///
    /// # Errors
    /// The system's, where no socket can be made there.
    pub fn serve(chain: SharedChain, path: PathBuf, keys: Vec<Sr25519Signer>) -> io::Result<Self> {
        let listener = UnixListener::bind(&path)?;
        let keys: Arc<[Sr25519Signer]> = keys.into();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (chain, keys) = (SharedChain::clone(&chain), Arc::clone(&keys));
                let _task = tokio::spawn(async move { answer(&*chain, &keys, stream).await });
            }
        });
        Ok(Self { path, serving })
    }

    /// Where it answers.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers one question; whoever asked may be killed meanwhile.
async fn answer(chain: &dyn Chain, keys: &[Sr25519Signer], mut stream: UnixStream) -> Option<()> {
    let question = Question::decode(&mut &read(&mut stream).await?[..]).ok()?;
    let told = |error: ChainError| error.to_string();
    match question {
        Question::Genesis => write(&mut stream, &chain.genesis().await.map_err(told)).await,
        Question::LargestAmount => write(&mut stream, &chain.largest_amount().await.map_err(told)).await,
        Question::Head => write(&mut stream, &chain.finalised_head().await.map(at).map_err(told)).await,
        Question::BlockHash(number) => write(&mut stream, &chain.block_hash(number).await.map_err(told)).await,
        Question::FreeBalance(account) => write(&mut stream, &chain.free_balance(&account).await.map_err(told)).await,
        Question::CodeHash(contract) => write(&mut stream, &chain.code_hash(&contract).await.map_err(told)).await,
        Question::Code(hash) => write(&mut stream, &chain.code(&hash).await.map_err(told)).await,
        Question::DryRun { origin, contract, value, data } => {
            let tried = chain.dry_run(&origin, &Transaction::Call { contract, value, data }).await;
            let weight = |weight: Weight| (weight.ref_time, weight.proof_size);
            let tried = tried.map(|run| -> Tried {
                (weight(run.used), weight(run.required), run.storage_deposit, run.returned, run.reverted)
            });
            write(&mut stream, &tried.map_err(told)).await
        }
        Question::Fee { contract, value, data, required: (ref_time, proof_size) } => {
            let call = Transaction::Call { contract, value, data };
            let fee = chain.fee(&call, Weight { ref_time, proof_size }).await;
            write(&mut stream, &fee.map_err(told)).await
        }
        Question::Submit { account, contract, value, data, required: (ref_time, proof_size), deposit } => {
            let dry_run = DryRun { storage_deposit: deposit, ..DryRun::of(Weight { ref_time, proof_size }) };
            let key = keys.iter().find(|key| key.account() == account)?;
            let sent = chain.submit(key, Transaction::Call { contract, value, data }, &dry_run).await;
            let sent = sent.map_err(told).map(|receipt| -> Sent {
                let Weight { ref_time, proof_size } = receipt.weight;
                let events = receipt.events.into_iter().map(emitted).collect();
                let Receipt { block, fee, length, storage_deposit, .. } = receipt;
                (at(block), fee, (ref_time, proof_size), length, storage_deposit, events)
            });
            write(&mut stream, &sent).await
        }
        Question::Blocks(from) => {
            let mut blocks = chain.finalised_blocks(from).await.ok()?;
            while let Some(block) = blocks.next().await {
                let block = block
                    .map_err(told)
                    .map(|block| (at(block.at), block.events.into_iter().map(emitted).collect::<Vec<Emitted>>()));
                write(&mut stream, &block).await?;
            }
            Some(())
        }
    }
}

/// The chain behind an [`Endpoint`], for another process.
#[derive(Debug)]
pub struct RemoteChain {
    path: PathBuf,
}

impl RemoteChain {
    /// Asks at `path`.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    async fn start(&self, question: &Question) -> Option<UnixStream> {
        let mut stream = UnixStream::connect(&self.path).await.ok()?;
        write(&mut stream, question).await?;
        Some(stream)
    }

    async fn ask<T: Decode>(&self, question: Question) -> Result<T, ChainError> {
        let mut stream = self.start(&question).await.ok_or_else(gone)?;
        next(&mut stream).await
    }
}

#[async_trait]
impl Chain for RemoteChain {
    async fn genesis(&self) -> Result<Hash, ChainError> {
        self.ask(Question::Genesis).await
    }

    async fn largest_amount(&self) -> Result<Amount, ChainError> {
        self.ask(Question::LargestAmount).await
    }

    async fn finalised_head(&self) -> Result<BlockRef, ChainError> {
        self.ask(Question::Head).await.map(block_ref)
    }

    async fn block_hash(&self, number: BlockNumber) -> Result<Option<Hash>, ChainError> {
        self.ask(Question::BlockHash(number)).await
    }

    async fn free_balance(&self, account: &AccountId) -> Result<Amount, ChainError> {
        self.ask(Question::FreeBalance(*account)).await
    }

    async fn code_hash(&self, contract: &AccountId) -> Result<Option<Hash>, ChainError> {
        self.ask(Question::CodeHash(*contract)).await
    }

    async fn code(&self, hash: &Hash) -> Result<Option<Vec<u8>>, ChainError> {
        self.ask(Question::Code(*hash)).await
    }

    async fn dry_run(&self, origin: &AccountId, transaction: &Transaction) -> Result<DryRun, ChainError> {
        let Transaction::Call { contract, value, data } = transaction.clone() else { return Err(calls_only()) };
        let (used, required, storage_deposit, returned, reverted): Tried =
            self.ask(Question::DryRun { origin: *origin, contract, value, data }).await?;
        let weight = |(ref_time, proof_size)| Weight { ref_time, proof_size };
        let (used, required) = (weight(used), weight(required));
        Ok(DryRun { used, required, storage_deposit, returned, reverted, instantiated: None })
    }

    async fn fee(&self, transaction: &Transaction, required: Weight) -> Result<Amount, ChainError> {
        let Transaction::Call { contract, value, data } = transaction.clone() else { return Err(calls_only()) };
        let required = (required.ref_time, required.proof_size);
        self.ask(Question::Fee { contract, value, data, required }).await
    }

    async fn submit_urgently(
        &self,
        signer: &dyn Signer,
        transaction: Transaction,
        dry_run: &DryRun,
        _urgency: Urgency,
    ) -> Result<Receipt, ChainError> {
        let Transaction::Call { contract, value, data } = transaction else { return Err(calls_only()) };
        let (account, deposit) = (signer.account(), dry_run.storage_deposit);
        let required = (dry_run.required.ref_time, dry_run.required.proof_size);
        let question = Question::Submit { account, contract, value, data, required, deposit };
        let (block, fee, (ref_time, proof_size), length, storage_deposit, events): Sent = self.ask(question).await?;
        let (block, weight) = (block_ref(block), Weight { ref_time, proof_size });
        let events = events.into_iter().map(event).collect();
        Ok(Receipt { block, fee, weight, length, storage_deposit, events, instantiated: None })
    }

    async fn finalised_blocks(
        &self,
        from: BlockNumber,
    ) -> Result<BoxStream<'static, Result<Block, ChainError>>, ChainError> {
        let stream = self.start(&Question::Blocks(from)).await.ok_or_else(gone)?;
        let blocks = futures::stream::unfold(stream, |mut stream| async {
            let block = next(&mut stream).await.map(|(at, emitted): (At, Vec<Emitted>)| Block {
                at: block_ref(at),
                events: emitted.into_iter().map(event).collect(),
            });
            Some((block, stream))
        });
        Ok(blocks.boxed())
    }
}

const fn at(BlockRef { number, hash }: BlockRef) -> At {
    (number, hash)
}

const fn block_ref((number, hash): At) -> BlockRef {
    BlockRef { number, hash }
}

fn gone() -> ChainError {
    ChainError::Unreachable("the process with the chain is gone".into())
}

fn emitted(ContractEvent { contract, topics, data }: ContractEvent) -> Emitted {
    (contract, topics, data)
}

fn event((contract, topics, data): Emitted) -> ContractEvent {
    ContractEvent { contract, topics, data }
}

fn calls_only() -> ChainError {
    ChainError::Unreachable("this endpoint takes nothing but calls".into())
}

async fn next<T: Decode>(stream: &mut UnixStream) -> Result<T, ChainError> {
    let bytes = read(stream).await.ok_or_else(gone)?;
    Answer::<T>::decode(&mut &bytes[..]).map_err(|_| gone())?.map_err(ChainError::Unreachable)
}

async fn read(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let length = stream.read_u32().await.ok()?;
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    let _length = stream.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

async fn write(stream: &mut UnixStream, value: &impl Encode) -> Option<()> {
    let bytes = value.encode();
    stream.write_u32(u32::try_from(bytes.len()).ok()?).await.ok()?;
    stream.write_all(&bytes).await.ok()
}
