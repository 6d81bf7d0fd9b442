//! What state channels need of a chain with `pallet-contracts`, and nothing more.
//!
//! The trait [`Chain`] is implemented by `devchain` in the process, by `remote` over a socket to any node, and by `testing` in memory, for tests alone. On top stands [`Arbiter`],
//! which speaks in the arbiter's own calls and rejections, and [`deploy`] puts one there or finds it again. This crate knows nothing of peers
//! or channels' states: `sdk` builds nodes on it and re-exports it as `sdk::chain`.

pub mod account;
pub mod address;
pub mod arbiter;
mod counting;
pub mod deploy;
mod health;
// Hidden: `sdk` keeps keys and states by it, and nobody else is promised anything.
#[doc(hidden)]
pub mod private_files;
pub mod recorder;
mod registration;
pub mod released;
#[cfg(feature = "remote")]
pub mod remote;
pub mod signer;
#[cfg(feature = "testing")]
pub mod testing;

pub use address::{Address, AddressFormat, Ss58Error};
pub use arbiter::{Arbiter, CallError};
pub use health::Health;
pub use recorder::Recorder;
pub use registration::RegistrationCosts;
#[cfg(feature = "remote")]
pub use remote::RemoteChain;
pub use signer::{ChainSignature, NotSigned, Signer};

use async_trait::async_trait;
use futures::{StreamExt, stream::BoxStream};
use protocol::{AccountId, Amount, BlockNumber, Hash};
use std::{sync::Arc, time::Duration};
use thiserror::Error;

/// A block that will not be reverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRef {
    /// Its number.
    pub number: BlockNumber,
    /// Its hash.
    pub hash: Hash,
}

/// Computation time in picoseconds and proof size in bytes: the chain's two-part measure of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Picoseconds on the reference machine.
    pub ref_time: u64,
    /// Bytes of storage proof.
    pub proof_size: u64,
}

/// Something a chain account can sign and send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// Calls a contract.
    Call {
        /// The contract's address.
        contract: AccountId,
        /// Coins attached.
        value: Amount,
        /// Selector and arguments.
        data: Vec<u8>,
    },
    /// Uploads code and instantiates it.
    Instantiate {
        /// The Wasm.
        code: Vec<u8>,
        /// Coins attached.
        value: Amount,
        /// Constructor's selector and arguments.
        data: Vec<u8>,
        /// Distinguishes instances of the same code, arguments and deployer.
        salt: Vec<u8>,
    },
    /// Moves coins to an account.
    Transfer {
        /// Who receives.
        to: AccountId,
        /// How many.
        amount: Amount,
    },
}

/// How much it matters that a transaction is in a block soon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Urgency {
    /// It is signed and sent before whatever else waits for the same account, and waits for no place among many.
    pub is_first: bool,
    /// The last block in which it is of use; none where nothing presses.
    pub until: Option<BlockNumber>,
    /// The most that is offered on top of the fee to whoever makes the block, once `until` comes near.
    pub tip_max: Amount,
}

impl Urgency {
    /// What is offered on top of the fee where the transaction was sent first after block `began` and `head` is final: nothing in the first quarter
    /// of the time that there is, then an eighth of the most, a quarter, a half, and all of it with the last two blocks.
    #[must_use]
    pub fn tip(&self, began: BlockNumber, head: BlockNumber) -> Amount {
        let Some(until) = self.until else { return 0 };
        let (left, all) = (until.saturating_sub(head), until.saturating_sub(began));
        let gone = head.saturating_sub(began);
        match gone.saturating_mul(4).checked_div(all) {
            _ if left <= 2 => self.tip_max,
            Some(0) | None => 0,
            Some(1) => self.tip_max / 8,
            Some(2) => self.tip_max / 4,
            Some(_) => self.tip_max / 2,
        }
    }
}

/// What executing a transaction on top of the finalised head would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DryRun {
    /// The weight that the execution used.
    pub used: Weight,
    /// The weight that a submission must offer; never below `used`.
    pub required: Weight,
    /// The storage deposit: positive is taken from the caller, negative given back.
    pub storage_deposit: i128,
    /// What the contract returned, as SCALE bytes; empty for a transfer.
    pub returned: Vec<u8>,
    /// Whether the contract asked to undo everything.
    pub reverted: bool,
    /// The address of the new instance, for [`Transaction::Instantiate`].
    pub instantiated: Option<AccountId>,
}

impl DryRun {
    /// One that used and needs so much weight, and left nothing behind.
    #[must_use]
    pub const fn of(weight: Weight) -> Self {
        Self {
            used: weight,
            required: weight,
            storage_deposit: 0,
            returned: Vec::new(),
            reverted: false,
            instantiated: None,
        }
    }
}

/// An event that a contract emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractEvent {
    /// Who emitted it.
    pub contract: AccountId,
    /// Its topics, the first being the event's signature.
    pub topics: Vec<Hash>,
    /// Its fields, SCALE-encoded.
    pub data: Vec<u8>,
}

/// A finalised block, as far as contracts are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Which one.
    pub at: BlockRef,
    /// Every contract's events in it, in order.
    pub events: Vec<ContractEvent>,
}

/// What some endpoint shows of the newest blocks, final or not (R8.30). Nothing of it is certain but what proves itself, as a pre-image does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BestBlock {
    /// The number of the newest block that any endpoint shows now. It may be lower than the one before, where an endpoint took back what it had shown.
    pub number: BlockNumber,
    /// What contracts announced in the block that has just been shown; empty where nobody has told yet, or nobody can.
    pub events: Vec<ContractEvent>,
}

/// What became of a transaction that succeeded and is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The block it is in.
    pub block: BlockRef,
    /// What its signer paid for inclusion, tips and deposits apart.
    pub fee: Amount,
    /// The weight it was charged for.
    pub weight: Weight,
    /// The length of the encoded extrinsic in bytes.
    pub length: u32,
    /// The storage deposit: positive was taken from the signer, negative given back.
    pub storage_deposit: i128,
    /// The contract events it emitted, in order.
    pub events: Vec<ContractEvent>,
    /// The address of the new instance, for [`Transaction::Instantiate`].
    pub instantiated: Option<AccountId>,
}

/// Why the chain, or the way to it, failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChainError {
    /// The transaction cannot be paid for.
    #[error("account {account} cannot pay for this: {cause}; send it coins first")]
    InsufficientFunds {
        /// Whose.
        account: Address,
        /// The chain's own words.
        cause: String,
    },
    /// Whoever keeps the account's key did not sign: nothing was sent.
    #[error("the signer of account {account} did not sign: {cause}; nothing was sent")]
    NotSigned {
        /// The account.
        account: Address,
        /// Why not.
        #[source]
        cause: NotSigned,
    },
    /// The chain refused it before inclusion.
    #[error("the chain refused the transaction: {cause}")]
    Invalid {
        /// The chain's own words.
        cause: String,
    },
    /// It was included, or dry-run, and failed in the runtime: `cause` is the runtime's own error, as `Pallet::Variant`.
    #[error("the chain executed the transaction and it failed: {cause}")]
    Failed {
        /// The runtime's error.
        cause: String,
    },
    /// The chain's balances are too narrow for it: nothing was signed.
    #[error(
        "this chain's balances hold at most {most}, and {amount} is more: nothing was signed; take less, or a chain with wider balances"
    )]
    AmountTooLarge {
        /// What was asked for.
        amount: Amount,
        /// The most that the chain can say.
        most: Amount,
    },
    /// The chain wants something of each transaction that this client does not know: nothing was signed.
    #[error(
        "transactions of this chain carry the extension {name}, which wants {wants} that this client does not know: nothing was signed; use a version of the \
         SDK that knows it"
    )]
    ExtensionUnknown {
        /// As the chain's metadata calls it.
        name: String,
        /// What it wants, as far as its type says.
        wants: &'static str,
    },
    /// The contract undid it.
    #[error("the contract undid the transaction")]
    Reverted,
    /// It was included in a block and failed there: only its fee was paid.
    #[error("included in a block, where it failed ({cause}); the fee of {fee} is spent")]
    FailedInBlock {
        /// What its signer paid for inclusion.
        fee: Amount,
        /// Why it failed.
        #[source]
        cause: Box<Self>,
    },
    /// No contract lives at that address.
    #[error("there is no contract at {0}: check the address and the chain")]
    NoContract(Address),
    /// The chain cannot be reached, or answers nonsense.
    #[error("the chain cannot be reached: {0}; check the URL and the node")]
    Unreachable(String),
    /// That is no URL of a node.
    #[error("{url:?} is not the URL of a node ({cause}): it must look like ws://127.0.0.1:9944 or wss://node.example")]
    BadUrl {
        /// As it was given, without what may be secret in it.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The endpoint serves another chain, or another history of the same one.
    #[error(
        "{url} serves another chain: its block {block} is {found}, expected was {expected}; check the URL, and whether the chain was \
         started anew"
    )]
    WrongChain {
        /// The endpoint.
        url: String,
        /// The block by which it shows; 0 is the genesis.
        block: BlockNumber,
        /// What that block should be.
        expected: Hash,
        /// What it is there.
        found: Hash,
    },
    /// The chain is not so far as it was when it was last seen.
    #[error(
        "block {block} ({expected}) was final, and the chain ends at block {head}: the endpoint lags behind, or the chain was started anew; wait \
         until it has caught up, or check the URL"
    )]
    BehindSeen {
        /// The last final block that was seen.
        block: BlockNumber,
        /// Its hash.
        expected: Hash,
        /// The newest final block that there is.
        head: BlockNumber,
    },
    /// Two endpoints tell different things of a final block: one of them lies, or is on a fork of its own.
    #[error(
        "endpoints disagree about block {block} ({cause}): what it says of channels is not believed before two agree; find out which endpoint is \
         wrong, and use another one"
    )]
    Disputed {
        /// The block.
        block: BlockNumber,
        /// In what.
        cause: String,
    },
    /// No second endpoint says what one has said of a final block.
    #[error("no second endpoint confirms block {block} ({cause}): check the other endpoints")]
    Unconfirmed {
        /// The block.
        block: BlockNumber,
        /// The reason why it is not confirmed.
        cause: String,
    },
    /// The endpoint has forgotten the state of a block that is needed.
    #[error("no endpoint keeps the state of block {block} any more: add one that keeps old states (an archive node)")]
    Pruned {
        /// Which block.
        block: BlockNumber,
    },
    /// Every nonce that was tried had been used by somebody else with the same key.
    #[error(
        "another program sends from account {account}: {tries} nonces in a row were taken; give each program its own account, or try again"
    )]
    NonceRace {
        /// The account.
        account: Address,
        /// How many were tried.
        tries: u8,
    },
    /// It was accepted, but no block took it while it was valid. It cannot come back.
    #[error("no block up to {last} took the transaction, and none can any more: nothing was paid; send it again")]
    Dropped {
        /// The last block that could have taken it.
        last: BlockNumber,
    },
    /// The next block may allow it, but a dry run on the last one cannot show that.
    #[error("not before block {from}: try again with the next block")]
    NotYet {
        /// The first block that allows it.
        from: BlockNumber,
    },
}

impl ChainError {
    /// The same, with accounts as a chain of this format writes them.
    #[must_use]
    pub fn written(mut self, format: AddressFormat) -> Self {
        match &mut self {
            Self::InsufficientFunds { account, .. }
            | Self::NotSigned { account, .. }
            | Self::NonceRace { account, .. }
            | Self::NoContract(account) => account.format = format,
            Self::FailedInBlock { cause, .. } => **cause = cause.as_ref().clone().written(format),
            _ => {}
        }
        self
    }

    /// Whether the same transaction may succeed later without anybody doing anything about it.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_)
                | Self::FailedInBlock { .. }
                | Self::Reverted
                | Self::NonceRace { .. }
                | Self::Dropped { .. }
                | Self::NotYet { .. }
        )
    }
}

/// A finalised view of one chain, and a way to send to it. Nothing that is not final is ever told (R6.8), but by [`Chain::best_blocks`].
#[async_trait]
pub trait Chain: Send + Sync + 'static {
    /// The hash of block 0: which chain this is.
    async fn genesis(&self) -> Result<Hash, ChainError>;

    /// How the chain writes its accounts for people. Unless a chain says otherwise, as one without a number of its own.
    async fn address_format(&self) -> Result<AddressFormat, ChainError> {
        Ok(AddressFormat::GENERIC)
    }

    /// The most coins that the chain can say: it refuses amounts above that before anything is signed ([`ChainError::AmountTooLarge`]). Unless a chain
    /// says otherwise, as many as anybody can.
    async fn largest_amount(&self) -> Result<Amount, ChainError> {
        Ok(Amount::MAX)
    }

    /// The newest finalised block.
    async fn finalised_head(&self) -> Result<BlockRef, ChainError>;

    /// The hash of the finalised block with this number; none where it is not final yet, or where nobody knows any more.
    async fn block_hash(&self, number: BlockNumber) -> Result<Option<Hash>, ChainError>;

    /// What an account can spend, at the finalised head.
    async fn free_balance(&self, account: &AccountId) -> Result<Amount, ChainError>;

    /// The code hash of the contract at an address, or none where there is no contract.
    async fn code_hash(&self, contract: &AccountId) -> Result<Option<Hash>, ChainError>;

    /// The Wasm with this hash, where the chain has it. Whoever asks checks that it is the one.
    async fn code(&self, hash: &Hash) -> Result<Option<Vec<u8>>, ChainError>;

    /// The most that one transaction may weigh, where the chain has such a limit.
    async fn transaction_limit(&self) -> Result<Option<Weight>, ChainError> {
        Ok(None)
    }

    /// Executes a transaction without sending it. Balances below what it needs are an error.
    ///
    /// Whether it sees the number of the block that would include it is told by [`dry_runs_in_next_block`](Self::dry_runs_in_next_block).
    async fn dry_run(&self, origin: &AccountId, transaction: &Transaction) -> Result<DryRun, ChainError>;

    /// What the inclusion of a transaction that needs so much weight costs its signer at the finalised head, tips and deposits apart.
    async fn fee(&self, transaction: &Transaction, required: Weight) -> Result<Amount, ChainError>;

    /// Signs and sends a transaction with the weight and deposit limits of `dry_run` (and a margin), and waits until it is final.
    ///
    /// Several may be under way for one signer at the same time; each gets its own nonce.
    async fn submit_urgently(
        &self,
        signer: &dyn Signer,
        transaction: Transaction,
        dry_run: &DryRun,
        urgency: Urgency,
    ) -> Result<Receipt, ChainError>;

    /// As [`submit_urgently`](Self::submit_urgently), where nothing presses.
    async fn submit(
        &self,
        signer: &dyn Signer,
        transaction: Transaction,
        dry_run: &DryRun,
    ) -> Result<Receipt, ChainError> {
        self.submit_urgently(signer, transaction, dry_run, Urgency::default()).await
    }

    /// Every finalised block from `from` on, each once and in order: first those that exist, then those that come.
    async fn finalised_blocks(
        &self,
        from: BlockNumber,
    ) -> Result<BoxStream<'static, Result<Block, ChainError>>, ChainError>;

    /// The newest block that any endpoint shows, at once, and again with each that is shown (R8.30). It ends where nothing more can be seen: then it is
    /// asked for anew. Unless a chain says otherwise, its blocks are final as soon as they are made.
    async fn best_blocks(&self) -> Result<BoxStream<'static, BestBlock>, ChainError> {
        let blocks = self.finalised_blocks(self.finalised_head().await?.number).await?;
        let seen = blocks.scan((), |(), block| std::future::ready(block.ok()));
        Ok(seen.map(|Block { at, events }| BestBlock { number: at.number, events }).boxed())
    }

    /// The least time from one block to the next that the chain's own rules allow; none where blocks are made on demand.
    async fn least_block_time(&self) -> Result<Option<Duration>, ChainError> {
        Ok(None)
    }

    /// The time from block to block that the chain is made for, as its own constants say; none where they say nothing, or where blocks are made on demand.
    async fn block_time(&self) -> Result<Option<Duration>, ChainError> {
        Ok(None)
    }

    /// Whether a second endpoint has this block with these events. Where there is but one endpoint, it is believed (R6.9a).
    ///
    /// [`ChainError::Disputed`] where two tell different things, [`ChainError::Unconfirmed`] where no second one answers within a moment,
    /// [`ChainError::Pruned`] where it cannot, because it has forgotten the block's state.
    async fn confirm(&self, _block: &Block) -> Result<(), ChainError> {
        Ok(())
    }

    /// Whether a second endpoint has this final block. Errors as of [`confirm`](Self::confirm).
    async fn confirm_at(&self, _at: BlockRef) -> Result<(), ChainError> {
        Ok(())
    }

    /// Whether a second endpoint has this block, and has it as a final one: what is read there cannot be undone. Errors as of
    /// [`confirm`](Self::confirm).
    async fn confirm_final(&self, at: BlockRef) -> Result<(), ChainError> {
        self.confirm_at(at).await
    }

    /// What the endpoint in use says cannot be: another one is used from now on, where there is one.
    async fn leave_endpoint(&self, _why: &ChainError) {}

    /// What a contract answers to a question on the state after `at`, or after a later final block: what two endpoints say, where there are several.
    ///
    /// Errors as of [`confirm`](Self::confirm).
    async fn confirmed_read(&self, contract: &AccountId, data: Vec<u8>, _at: BlockRef) -> Result<Vec<u8>, ChainError> {
        let transaction = Transaction::Call { contract: *contract, value: 0, data };
        Ok(self.dry_run(contract, &transaction).await?.returned)
    }

    /// Whether this view of the chain is fresh enough for steps that can only be defended on it (R6.9).
    fn health(&self) -> Health {
        Health::Good
    }

    /// Whether a dry run sees the number of the next block, or else that of the finalised head.
    fn dry_runs_in_next_block(&self) -> bool {
        true
    }
}

/// A chain that many tasks share.
pub type SharedChain = Arc<dyn Chain>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_accounts_as_its_chain_writes_them() {
        let (account, format) = (AccountId([7; 32]), AddressFormat::new(5).unwrap());
        let here = format.write(&account);
        let poor = ChainError::InsufficientFunds { account: account.into(), cause: String::new() };
        let failed = ChainError::FailedInBlock { fee: 1, cause: Box::new(poor.clone()) };
        for error in [poor, failed, ChainError::NoContract(account.into())] {
            assert!(!error.to_string().contains(&here), "{error}");
            let written = error.written(format).to_string();
            assert!(written.contains(&here) && !written.contains("0x"), "{written}");
        }
    }

    #[test]
    fn tips_rise_to_the_most_as_the_last_block_comes_near() {
        let urgency = Urgency { is_first: true, until: Some(140), tip_max: 800 };
        let tips = [100, 109, 110, 120, 130, 137, 138, 200].map(|head| urgency.tip(100, head));
        assert_eq!(tips, [0, 0, 100, 200, 400, 400, 800, 800]);
        assert_eq!(urgency.tip(139, 139), 800, "what is sent late offers all at once");
        assert_eq!(Urgency { until: None, ..urgency }.tip(0, 1_000), 0);
    }
}
