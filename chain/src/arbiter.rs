//! The arbiter contract as its callers see it: typed calls, typed reads, typed refusals, typed events.

use super::{
    Address, AddressFormat, BlockRef, Chain, ChainError, ContractEvent, Receipt, SharedChain, Signer, Transaction,
    Urgency, Weight,
};
use futures::StreamExt;
use protocol::{
    AccountId, Amount, BlockNumber, ChannelId, Hash, Pair, PartyId, PublicKey, Rejection,
    call::{Call, ProveContractState, Read},
    contracts::conditional::{HashFunction, HashLock, Preimage},
    crypto::{Crypto, Native},
    decode_exact,
    event::{ArbiterEvent, Payout},
    record::{Artefact, Record},
    signing::{Domain, VERSION},
    terms::{CallWeight, Limits, channel_id},
};
use scale::{Decode, Encode};
use std::{fmt, sync::Arc, time::Duration};
use thiserror::Error;

/// Why a call of the arbiter did nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// The arbiter's own rules said no.
    #[error("the arbiter refused: {0}")]
    Rejected(#[from] Rejection),
    /// The chain, or the way to it, failed.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// What stands at the address answers, but not as this SDK's arbiter does.
    #[error(
        "the contract at {address} is not an arbiter this SDK can use: {cause}; check the address and the versions"
    )]
    NotAnArbiter {
        /// Where.
        address: Address,
        /// What is wrong with it.
        cause: String,
    },
    /// Calls of apps that the arbiter allows might not fit a transaction of this chain, so that they could not be forced (R5.13, R7.4).
    #[error(
        "the arbiter lets a call of an app use {asked:?}, and a transaction of this chain holds {limit:?}: at most half of that may be one \
         call's; deploy an arbiter with a smaller `call_weight`"
    )]
    CallsTooHeavy {
        /// The arbiter's `call_weight`.
        asked: CallWeight,
        /// What a transaction may weigh.
        limit: Weight,
    },
}

/// Where an arbiter stands and what it allows: enough to attach to it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArbiterInfo {
    /// What signatures must be made for.
    pub domain: Domain,
    /// Its bounds (R5.13).
    pub limits: Limits,
    /// The hash of its code.
    pub code_hash: Hash,
    /// The most coins that its chain can say ([`Chain::largest_amount`]).
    pub largest_amount: Amount,
    /// How its chain writes accounts ([`Chain::address_format`]).
    pub addresses: AddressFormat,
}

impl ArbiterInfo {
    /// Refuses an amount that its chain cannot say, before anybody signs anything that names it.
    ///
    /// # Errors
    /// [`ChainError::AmountTooLarge`].
    pub const fn check_amount(&self, amount: Amount) -> Result<(), ChainError> {
        let most = self.largest_amount;
        if amount > most { Err(ChainError::AmountTooLarge { amount, most }) } else { Ok(()) }
    }
}

/// An event of the arbiter, with the channel it is about (R5.14).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChannelEvent {
    /// Which channel.
    pub channel: ChannelId,
    /// What happened.
    pub event: ArbiterEvent,
    /// Where coins went.
    pub payouts: Vec<Payout>,
}

/// A pre-image that was shown to every channel of the arbiter (R8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PreimageShown {
    /// Its hash.
    pub digest: Hash,
    /// How it is hashed.
    pub function: HashFunction,
    /// What unlocks.
    pub preimage: Preimage,
    /// The block that counts: the first in which it was shown.
    pub shown_at: BlockNumber,
}

/// What a vault holds since its owner has used it (R5.1, R5.14). Channels that open and end do not announce it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct VaultUsed {
    /// Whose vault.
    pub owner: PartyId,
    /// What it holds now.
    pub balance: Amount,
}

/// What a call that carries a payload may weigh at most, apps of a forced step apart: `contract/tests/costs` holds the arbiter to it.
pub const HEAVIEST: Weight = Weight { ref_time: 6_500_000_000, proof_size: 256 * 1024 };
/// How long such a call may be in bytes, without much of a proof.
const HEAVIEST_BYTES: usize = 2_048;

/// What an opening stores at most: a channel's record, and the nonce of a pair's first one. `contract/tests/costs` has both, and a story holds it to them.
const OPENING_ENTRIES: Amount = 2;
/// The bytes of both.
const OPENING_BYTES: Amount = 1_000;
/// The bytes of a vault's entry, and of a pre-image's.
const VAULT_BYTES: Amount = 16;
const PREIMAGE_BYTES: Amount = 4;

/// How long the next block may take to be final, for a call that only waits for it.
const NEXT_BLOCK: Duration = Duration::from_secs(60);

/// A deployed arbiter on a chain.
#[derive(Clone)]
pub struct Arbiter {
    chain: SharedChain,
    info: ArbiterInfo,
}

/// What a call did, once final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalisedCall {
    /// Its cost and place.
    pub receipt: Receipt,
    /// What the arbiter announced about channels: of a batch, one for each call that did something (R5.18).
    pub events: Vec<ChannelEvent>,
    /// Pre-images that it showed.
    pub preimages: Vec<PreimageShown>,
    /// The vault that its owner used.
    pub vaults: Vec<VaultUsed>,
}

impl Arbiter {
    /// Uploads `code` and instantiates it for this chain. `salt` tells apart several arbiters of one deployer.
    ///
    /// # Errors
    /// [`CallError::Rejected`] where the limits are unsound; the chain's own errors.
    pub async fn deploy(
        chain: SharedChain,
        signer: &dyn Signer,
        code: Vec<u8>,
        limits: Limits,
        salt: Vec<u8>,
    ) -> Result<(Self, Receipt), CallError> {
        let genesis = chain.genesis().await?;
        check_call_weight(&*chain, &limits).await?;
        let transaction = Transaction::Instantiate { code, value: 0, data: constructor_data(genesis, limits), salt };
        let dry_run = chain.dry_run(&signer.account(), &transaction).await?;
        let address = chain.address_format().await?.address(dry_run.instantiated.unwrap_or(AccountId([0; 32])));
        let answer: Result<(), Rejection> = decode_answer(address, &dry_run.returned)?;
        answer?;
        let receipt = chain.submit(signer, transaction, &dry_run).await?;
        let address = receipt
            .instantiated
            .ok_or_else(|| CallError::NotAnArbiter { address, cause: "the chain reported no new contract".into() })?;
        Ok((Self::attach(chain, address, None).await?, receipt))
    }

    /// Attaches to an arbiter that is already deployed, after checking that it is one, of this version, for this chain,
    /// and, where `code_hash` is given, of exactly that code.
    ///
    /// # Errors
    /// [`ChainError::NoContract`], [`CallError::NotAnArbiter`].
    pub async fn attach(chain: SharedChain, address: AccountId, code_hash: Option<Hash>) -> Result<Self, CallError> {
        let addresses = chain.address_format().await?;
        let at = addresses.address(address);
        let found = chain.code_hash(&address).await?.ok_or(ChainError::NoContract(at))?;
        let not = |cause: String| CallError::NotAnArbiter { address: at, cause };
        if let Some(expected) = code_hash.filter(|expected| *expected != found) {
            return Err(not(format!("its code hash is {found}, expected was {expected}")));
        }
        let unreadable = |error: CallError| match error {
            CallError::Chain(ChainError::Unreachable(_)) => error,
            other => not(format!("it does not answer the arbiter's reads ({other})")),
        };
        let version: u16 = read(&*chain, at, Read::Version).await.map_err(unreadable)?;
        if version != VERSION {
            return Err(not(format!("it speaks version {version}, this SDK version {VERSION}")));
        }
        let domain: Domain = read(&*chain, at, Read::Domain).await.map_err(unreadable)?;
        let genesis = chain.genesis().await?;
        if domain != (Domain { genesis, arbiter: address }) {
            return Err(not(format!("it was made for chain {}, this is {genesis}", domain.genesis)));
        }
        let limits = read(&*chain, at, Read::Limits).await.map_err(unreadable)?;
        check_call_weight(&*chain, &limits).await?;
        let largest_amount = chain.largest_amount().await?;
        Ok(Self { chain, info: ArbiterInfo { domain, limits, code_hash: found, largest_amount, addresses } })
    }

    /// What it is.
    #[must_use]
    pub const fn info(&self) -> &ArbiterInfo {
        &self.info
    }

    /// The chain it stands on.
    #[must_use]
    pub fn chain(&self) -> &SharedChain {
        &self.chain
    }

    /// The record of a channel, or none where there is no such channel (any more).
    ///
    /// # Errors
    /// The chain's own.
    pub async fn channel(&self, channel: ChannelId) -> Result<Option<Record>, CallError> {
        self.read(Read::Channel(channel)).await
    }

    /// What an account has inside the arbiter under a key (R5.1).
    ///
    /// # Errors
    /// The chain's own.
    pub async fn vault_balance(&self, owner: PartyId) -> Result<Amount, CallError> {
        self.read(Read::VaultBalance(owner)).await
    }

    /// The id of the channel between these parties with the least nonce that they may name next (R5.2).
    ///
    /// # Errors
    /// The chain's own.
    pub async fn next_channel_id(&self, parties: Pair<PartyId>) -> Result<ChannelId, CallError> {
        Ok(channel_id(&self.info.domain, &parties, self.pair_nonce(parties).await?, &Native))
    }

    /// The least nonce that these parties may name next (R5.2): one above the last that they used.
    ///
    /// # Errors
    /// The chain's own.
    pub async fn pair_nonce(&self, parties: Pair<PartyId>) -> Result<u64, CallError> {
        self.read(Read::PairNonce(parties)).await
    }

    /// The block in which the pre-image of `lock` was first shown, if it was (R8.2).
    ///
    /// # Errors
    /// The chain's own.
    pub async fn preimage_shown_at(&self, lock: HashLock) -> Result<Option<BlockNumber>, CallError> {
        self.read(Read::PreimageShownAt(lock)).await
    }

    /// Where a contract stands in a channel's last state on chain (R5.16).
    ///
    /// # Errors
    /// [`CallError::Rejected`] where it does not; the chain's own.
    pub async fn prove_contract_state(&self, claim: ProveContractState) -> Result<Artefact, CallError> {
        let answer: Result<Artefact, Rejection> = self.read(Read::ProveContractState(claim)).await?;
        Ok(answer?)
    }

    /// As [`channel`](Self::channel), on the state after a final block, and confirmed by a second endpoint where there are several (R6.9a).
    ///
    /// # Errors
    /// The chain's own.
    pub async fn confirmed_channel(&self, channel: ChannelId, at: BlockRef) -> Result<Option<Record>, CallError> {
        self.confirmed_read(Read::Channel(channel), at).await
    }

    /// As [`pair_nonce`](Self::pair_nonce), on the state after a final block, and confirmed by a second endpoint where there are several (R6.9a).
    ///
    /// # Errors
    /// The chain's own.
    pub async fn confirmed_nonce(&self, parties: Pair<PartyId>, at: BlockRef) -> Result<u64, CallError> {
        self.confirmed_read(Read::PairNonce(parties), at).await
    }

    /// As [`preimage_shown_at`](Self::preimage_shown_at), on the state after a final block, and confirmed by a second endpoint where there are several
    /// (R8.31).
    ///
    /// # Errors
    /// The chain's own.
    pub async fn confirmed_shown_at(&self, lock: HashLock, at: BlockRef) -> Result<Option<BlockNumber>, CallError> {
        self.confirmed_read(Read::PreimageShownAt(lock), at).await
    }

    async fn confirmed_read<T: Decode>(&self, what: Read, at: BlockRef) -> Result<T, CallError> {
        let address = &self.info.domain.arbiter;
        let data = [&selector(what.name())[..], &what.arguments()].concat();
        decode_answer(self.address(), &self.chain.confirmed_read(address, data, at).await?)
    }

    async fn read<T: Decode>(&self, what: Read) -> Result<T, CallError> {
        read(&*self.chain, self.address(), what).await
    }

    const fn address(&self) -> Address {
        self.info.addresses.address(self.info.domain.arbiter)
    }

    /// Calls the arbiter with `value` coins attached: a dry run first, so that a refusal costs nothing, then the transaction, until it is final.
    ///
    /// # Errors
    /// [`CallError::Rejected`] with the arbiter's reason; the chain's own.
    pub async fn call(&self, signer: &dyn Signer, call: &Call, value: Amount) -> Result<FinalisedCall, CallError> {
        self.call_urgently(signer, call, value, Urgency::default()).await
    }

    /// What the inclusion of the heaviest call costs that defends a channel ([`HEAVIEST`]), at the finalised head.
    ///
    /// # Errors
    /// The chain's own.
    pub async fn fee(&self) -> Result<Amount, ChainError> {
        let data = vec![0xff; HEAVIEST_BYTES];
        let transaction = Transaction::Call { contract: self.info.domain.arbiter, value: 0, data };
        self.chain.fee(&transaction, HEAVIEST).await
    }

    /// What an opening lays down for its storage at most, by whoever submits it, at the chain's own prices: a record, and a pair's nonce where it is the
    /// pair's first. A new vault of `payer`'s and a pre-image are tried, which store one entry each of different lengths, and nothing is sent.
    ///
    /// # Errors
    /// The chain's own.
    pub async fn opening_deposit(&self, payer: &AccountId) -> Result<Amount, CallError> {
        // Nobody can use this key, so there is no such vault.
        let new_vault = Call::VaultDeposit { key: PublicKey([0xff; 32]) };
        let vault = self.try_deposit(payer, &new_vault, 1).await?;
        // Nobody can have shown what follows from the newest block.
        let newest = self.chain.finalised_head().await?.hash;
        let preimage = Preimage(Native.hash(&(payer, newest).encode()).0);
        let shown = Call::PreimageRegister { preimage, function: HashFunction::Blake2b256 };
        Ok(opening_deposit(vault, self.try_deposit(payer, &shown, 0).await?))
    }

    /// What a call would lay down.
    async fn try_deposit(&self, payer: &AccountId, call: &Call, value: Amount) -> Result<Amount, CallError> {
        let dry_run = self.chain.dry_run(payer, &self.transaction(call, value)).await?;
        self.check_answer(&dry_run.returned)?;
        Ok(Amount::try_from(dry_run.storage_deposit).unwrap_or_default())
    }

    /// As [`call`](Self::call), where it matters that the transaction is in a block soon.
    ///
    /// # Errors
    /// As of [`call`](Self::call).
    pub async fn call_urgently(
        &self,
        signer: &dyn Signer,
        call: &Call,
        value: Amount,
        urgency: Urgency,
    ) -> Result<FinalisedCall, CallError> {
        let transaction = self.transaction(call, value);
        let mut dry_run = self.chain.dry_run(&signer.account(), &transaction).await?;
        if let Err(CallError::Chain(ChainError::NotYet { from })) = self.check_answer(&dry_run.returned) {
            self.reached(from).await?;
            dry_run = self.chain.dry_run(&signer.account(), &transaction).await?;
        }
        self.check_answer(&dry_run.returned)?;
        let receipt = match self.chain.submit_urgently(signer, transaction.clone(), &dry_run, urgency).await {
            // Somebody else was faster: ask once more for the reason.
            Err(failed @ (ChainError::FailedInBlock { .. } | ChainError::Reverted)) => {
                let again = self.chain.dry_run(&signer.account(), &transaction).await?;
                self.check_answer(&again.returned)?;
                return Err(failed.into());
            }
            other => other?,
        };
        let events = receipt.events.iter().filter_map(|event| self.event(event)).collect();
        let preimages = receipt.events.iter().filter_map(|event| self.preimage(event)).collect();
        let vaults = receipt.events.iter().filter_map(|event| self.vault(event)).collect();
        Ok(FinalisedCall { receipt, events, preimages, vaults })
    }

    /// Waits until block `number` is final, which is the next one; or until it takes too long.
    async fn reached(&self, number: BlockNumber) -> Result<(), CallError> {
        let mut blocks = self.chain.finalised_blocks(number).await?;
        match tokio::time::timeout(NEXT_BLOCK, blocks.next()).await {
            Ok(Some(block)) => Ok(block.map(drop)?),
            // Whoever asked asks again.
            Ok(None) | Err(_) => Err(ChainError::NotYet { from: number }.into()),
        }
    }

    /// The transaction that makes `call`.
    #[must_use]
    pub fn transaction(&self, call: &Call, value: Amount) -> Transaction {
        let data = [&selector(call.name())[..], &call.arguments()].concat();
        Transaction::Call { contract: self.info.domain.arbiter, value, data }
    }

    /// The event of this arbiter that `event` is, if it is one about a channel.
    #[must_use]
    pub fn event(&self, event: &ContractEvent) -> Option<ChannelEvent> {
        self.own(event)
    }

    /// The pre-image that `event` shows, if it is such an event of this arbiter. No event about a channel has this length.
    #[must_use]
    pub fn preimage(&self, event: &ContractEvent) -> Option<PreimageShown> {
        self.own(event)
    }

    /// What `event` says of a vault, if it is such an event of this arbiter. No other event of it has this length.
    #[must_use]
    pub fn vault(&self, event: &ContractEvent) -> Option<VaultUsed> {
        self.own(event)
    }

    fn own<T: Decode>(&self, event: &ContractEvent) -> Option<T> {
        (event.contract == self.info.domain.arbiter).then(|| decode_exact(&event.data).ok()).flatten()
    }

    /// The newest finalised block.
    ///
    /// # Errors
    /// The chain's own.
    pub async fn finalised_head(&self) -> Result<BlockRef, ChainError> {
        self.chain.finalised_head().await
    }

    /// The answer of a dry run as the arbiter's verdict: every message answers `Result<_, Rejection>`, and only the refusal matters here.
    pub(crate) fn check_answer(&self, returned: &[u8]) -> Result<(), CallError> {
        let address = self.address();
        // Ok(Ok(..)) starts with two zero bytes; what follows differs by message.
        match returned {
            [0, 0, ..] => Ok(()),
            other => {
                let answer: Result<(), Rejection> = decode_answer(address, other)?;
                match answer {
                    // The dry run was made one block too early to see what the next block may do.
                    Err(Rejection::StillLocked { unlock_at, now })
                        if !self.chain.dry_runs_in_next_block() && now.checked_add(1) == Some(unlock_at) =>
                    {
                        Err(ChainError::NotYet { from: unlock_at }.into())
                    }
                    Err(Rejection::PartiesSettleFirst { from, now })
                        if !self.chain.dry_runs_in_next_block() && now.checked_add(1) == Some(from) =>
                    {
                        Err(ChainError::NotYet { from }.into())
                    }
                    answer => Ok(answer?),
                }
            }
        }
    }
}

impl fmt::Debug for Arbiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arbiter").field("info", &self.info).finish_non_exhaustive()
    }
}

/// What reaches every caller of a message before its own result: the selector was unknown, or the arguments did not decode.
#[derive(Debug, Decode)]
enum LangError {
    #[codec(index = 1)]
    CouldNotReadInput,
}

/// A forced step shows a state and checks signatures and proofs beside the call: half of a transaction is left for these.
async fn check_call_weight(chain: &dyn Chain, limits: &Limits) -> Result<(), CallError> {
    let Some(limit) = chain.transaction_limit().await? else { return Ok(()) };
    let asked = limits.call_weight;
    let fits = |asked: u64, limit: u64| asked <= limit / 2;
    if fits(asked.ref_time, limit.ref_time) && fits(asked.proof_size, limit.proof_size) {
        Ok(())
    } else {
        Err(CallError::CallsTooHeavy { asked, limit })
    }
}

async fn read<T: Decode>(chain: &dyn Chain, at: Address, what: Read) -> Result<T, CallError> {
    let data = [&selector(what.name())[..], &what.arguments()].concat();
    // Reads are free and ask nothing of whoever makes them, so the contract's own account asks: it surely exists.
    let transaction = Transaction::Call { contract: at.account, value: 0, data };
    let dry_run = chain.dry_run(&at.account, &transaction).await?;
    decode_answer(at, &dry_run.returned)
}

fn decode_answer<T: Decode>(address: Address, returned: &[u8]) -> Result<T, CallError> {
    let not = |cause: String| CallError::NotAnArbiter { address, cause };
    decode_exact::<Result<T, LangError>>(returned)
        .map_err(|error| not(format!("its answer does not decode ({error})")))?
        .map_err(|error| not(format!("{error:?}")))
}

/// What an opening lays down at most where a new vault and a new pre-image lay down so much: two entries of known lengths tell the price of an entry and
/// that of a byte.
const fn opening_deposit(vault: Amount, preimage: Amount) -> Amount {
    let byte = vault.saturating_sub(preimage).div_ceil(VAULT_BYTES.saturating_sub(PREIMAGE_BYTES));
    let entry = vault.saturating_sub(byte.saturating_mul(VAULT_BYTES));
    entry.saturating_mul(OPENING_ENTRIES).saturating_add(byte.saturating_mul(OPENING_BYTES))
}

/// What an arbiter for the chain with this genesis is constructed with.
pub(crate) fn constructor_data(genesis: Hash, limits: Limits) -> Vec<u8> {
    [&selector("new")[..], &(genesis, limits).encode()].concat()
}

/// The hash by which a chain knows code.
#[must_use]
pub fn code_hash(code: &[u8]) -> Hash {
    Native.hash(code)
}

/// Where `pallet-contracts` puts an instance: its own address generator has it so.
#[must_use]
pub fn instance_address(deployer: &AccountId, code: &Hash, data: &[u8], salt: &[u8]) -> AccountId {
    let Hash(address) = Native.hash(&(b"contract_addr_v1", deployer, code, data, salt).encode());
    AccountId(address)
}

/// A message's selector: the first four bytes of its name's hash.
#[must_use]
pub fn selector(name: &str) -> [u8; 4] {
    let Hash([a, b, c, d, ..]) = Native.hash(name.as_bytes());
    [a, b, c, d]
}

/// An arbiter that many tasks share.
pub type SharedArbiter = Arc<Arbiter>;

#[cfg(test)]
mod tests {
    use super::opening_deposit;

    #[test]
    fn what_an_opening_lays_down_follows_from_the_prices_of_entries_and_bytes() {
        // Entry and byte on the contracts node, on Bittensor, and where nothing is laid down at all.
        for (entry, byte) in [(100_000_000_000, 5_000_000), (75, 30), (0, 0)] {
            let told = opening_deposit(entry + 16 * byte, entry + 4 * byte);
            assert_eq!(told, 2 * entry + 1_000 * byte);
        }
        assert!(opening_deposit(555, 0) > 30_000, "where the pre-image was known before, rather too much is told");
    }
}
