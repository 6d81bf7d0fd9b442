//! # The arbiter
//!
//! ## Overview
//! Two parties lock coins in a channel, deal off chain, and come here to open, to close, and when they disagree.
//! This file is a shell: environment in, the rules of [`protocol::arbiter`] (checks, effects, interactions, in that order),
//! storage, transfers and events out. `SPEC.md` has the rules by number.
//!
//! ## Error handling
//! Each refusal is a numbered [`protocol::Rejection`]; it undoes everything and emits nothing (R5.14). What is no call of a message is
//! undone without a number, in one of four ways (R5.14a). Bytes that do not decode, or that go on after the arguments ([`Exact`]), are
//! answered with ink!'s `LangError`. The call traps where coins come with a message that takes none, where a message or an app's answer
//! is larger than ink!'s buffer of 64 KiB, and where a call needs more than a contract's memory of 1 MiB.
//!
//! ## Interface
//! `vault_deposit`, `vault_withdraw`, the `channel_*` messages, `batch`, `preimage_register`, `preimages_register`, and free reads. Each
//! success emits one `ChannelEvent`, `VaultEvent` or `PreimageEvent`; a batch one for each call that succeeds, several pre-images one each.

#![cfg_attr(not(feature = "std"), no_std, no_main)]
#![allow(unexpected_cfgs, reason = "ink!'s macros test features of their own")]

mod exact;
#[cfg(target_arch = "wasm32")]
mod memory;
mod stored;

pub use arbiter::{Arbiter, ArbiterRef};
pub use exact::Exact;

#[ink::contract]
mod arbiter {
    use crate::{
        exact::Exact,
        stored::{StoredLimits, StoredRecord},
    };
    use ink::{
        codegen::Env,
        env::{
            CallFlags, DefaultEnvironment,
            call::{ExecutionInput, Selector, build_call},
        },
        prelude::vec::Vec,
        storage::Mapping,
    };
    use protocol::{
        Amount, ChannelId, Pair, PartyId, PublicKey, Rejection,
        arbiter::{CallContext, Host, messages, prove_contract_state},
        call::{
            BatchedCall, CloseMutual, CloseSolo, Create, Deposit, ForceProgress, ProveContractState, SetDelegates,
            Slash, SnapshotSolo, Withdraw,
        },
        contracts::{
            AppContext, AppReply, CALL_SELECTOR, CallFault, Executor,
            conditional::{HashFunction, HashLock, Preimage},
        },
        crypto::Crypto,
        event::{ArbiterEvent as Event, Payout},
        record::{Artefact, Record},
        signing::{Domain, VERSION},
        terms::Limits,
    };
    use scale::Encode;

    /// Everything the arbiter stores.
    #[ink(storage)]
    pub struct Arbiter {
        genesis: [u8; 32],
        limits: StoredLimits,
        vaults: Mapping<PartyId, Amount>,
        /// By the hash of the pair: a key of storage has at most 128 bytes, and a pair has as many.
        nonces: Mapping<protocol::Hash, u64>,
        records: Mapping<ChannelId, StoredRecord>,
        preimages: Mapping<HashLock, BlockNumber>,
    }

    /// What happened to a channel: enough to rebuild its record (R5.14).
    #[ink(event)]
    pub struct ChannelEvent {
        /// Which channel.
        #[ink(topic)]
        channel: ChannelId,
        /// What happened.
        event: Event,
        /// Where coins went.
        payouts: Vec<Payout>,
    }

    /// A vault was used by its owner.
    #[ink(event)]
    pub struct VaultEvent {
        /// Whose vault.
        #[ink(topic)]
        account: protocol::AccountId,
        /// Which of its vaults.
        key: PublicKey,
        /// What it holds now.
        balance: Amount,
    }

    /// A pre-image was shown to every channel (R8.2).
    #[ink(event)]
    pub struct PreimageEvent {
        /// Its hash.
        #[ink(topic)]
        digest: protocol::Hash,
        /// How it is hashed.
        hash_function: HashFunction,
        /// What unlocks.
        preimage: Preimage,
        /// The block that counts: the first in which it was shown.
        shown_at: BlockNumber,
    }

    /// May only read: it is how apps are called (R7.1). The libraries at hand have no name for this flag of the chain's.
    // SAFETY: any bits may stand in these flags; the chain refuses those it does not know.
    #[allow(unsafe_code)]
    const READ_ONLY: CallFlags = unsafe { CallFlags::from_bits_unchecked(0b0001_0000) };

    impl Arbiter {
        /// An arbiter for the chain whose first block has this hash, with these bounds (R3.5, R5.13).
        ///
        /// # Errors
        /// [`Rejection::LimitsUnsound`].
        #[ink(constructor)]
        pub fn new(genesis: protocol::Hash, limits: Exact<Limits>) -> Result<Self, Rejection> {
            Ok(Self {
                genesis: genesis.0,
                limits: StoredLimits(limits.0.check()?),
                vaults: Mapping::new(),
                nonces: Mapping::new(),
                records: Mapping::new(),
                preimages: Mapping::new(),
            })
        }

        /// Adds the coins attached to the caller's vault under `key` (R5.1). Anybody, for itself: the key's signature will move these coins
        /// into channels, so it has to be the caller's own. At least one coin. Emits `VaultEvent`.
        ///
        /// # Errors
        /// [`Rejection::AmountZero`], [`Rejection::AmountOverflow`].
        #[ink(message, payable)]
        pub fn vault_deposit(&mut self, key: Exact<PublicKey>) -> Result<(), Rejection> {
            let (ctx, attached) = (self.context(), self.env().transferred_value());
            messages::vault_deposit(self, &ctx, key.0, attached)
        }

        /// Pays coins from the caller's vault under `key` to the caller's account (R5.1). Anybody, out of its own vaults. A vault that is
        /// emptied by this gives its storage deposit back to the caller. Emits `VaultEvent`.
        ///
        /// # Errors
        /// [`Rejection::AmountZero`], [`Rejection::VaultBalanceTooLow`], [`Rejection::TransferFailed`].
        #[ink(message)]
        pub fn vault_withdraw(&mut self, key: PublicKey, amount: Exact<Amount>) -> Result<(), Rejection> {
            let ctx = self.context();
            messages::vault_withdraw(self, &ctx, key, amount.0)
        }

        /// Opens a channel that both parties signed for, and answers its id (R5.1 to R5.4a). Anybody; only a party may attach coins, which
        /// count for it. Each share lies in the vault of the party's account and key, or is attached; the nonce is the pair's next one, or
        /// at most 1,023 above. Emits [`Event::ChannelCreated`].
        ///
        /// # Errors
        /// Terms out of bounds, expiry, sums that do not match, a wrong signature: see [`protocol::arbiter::create`];
        /// [`Rejection::NonceOutOfBounds`], [`Rejection::NotParty`], [`Rejection::VaultTooLow`].
        #[ink(message, payable)]
        pub fn channel_create(&mut self, call: Exact<Create>) -> Result<ChannelId, Rejection> {
            let (ctx, attached) = (self.context(), self.env().transferred_value());
            messages::channel_create(self, &ctx, call.0, attached)
        }

        /// Adds coins of one party to a channel, as both signed (R5.5). Anybody; only a party may attach coins, which count for it. Only
        /// while open; the coins lie in the depositor's vault, or are attached. Emits [`Event::ChannelDeposited`].
        ///
        /// # Errors
        /// [`Rejection::ChannelUnknown`], expiry, [`Rejection::NotOpen`], [`Rejection::AmountZero`], a round that is not newer (R5.4), a
        /// wrong signature, [`Rejection::NotParty`], [`Rejection::VaultTooLow`].
        #[ink(message, payable)]
        pub fn channel_deposit(&mut self, call: Exact<Deposit>) -> Result<(), Rejection> {
            let (ctx, attached) = (self.context(), self.env().transferred_value());
            messages::channel_deposit(self, &ctx, call.0, attached)
        }

        /// Pays coins of one party out of a channel to the account that both signed (R5.5). Anybody; only while open; twice the reserve
        /// remains. Emits [`Event::ChannelWithdrawn`].
        ///
        /// # Errors
        /// [`Rejection::ChannelUnknown`], expiry, [`Rejection::NotOpen`], [`Rejection::AmountZero`], [`Rejection::BelowReserves`], a round
        /// that is not newer (R5.4), a wrong signature.
        #[ink(message)]
        pub fn channel_withdraw(&mut self, call: Exact<Withdraw>) -> Result<(), Rejection> {
            let ctx = self.context();
            messages::channel_withdraw(self, &ctx, call.0)
        }

        /// Puts a newer co-signed state on chain without closing (R5.6). A party or a delegate of either side; only while open.
        /// Emits [`Event::ChannelSnapshotted`].
        ///
        /// # Errors
        /// [`Rejection::ChannelUnknown`], [`Rejection::NotPartyOrDelegate`], [`Rejection::NotOpen`], a round that is not newer (R5.4), a
        /// wrong signature.
        #[ink(message)]
        pub fn channel_snapshot_solo(&mut self, call: Exact<SnapshotSolo>) -> Result<(), Rejection> {
            let ctx = self.context();
            messages::channel_snapshot_solo(self, &ctx, &call.0)
        }

        /// Replaces both parties' delegates, as both signed (R5.7). Anybody; only while open. Emits [`Event::ChannelDelegatesSet`].
        ///
        /// # Errors
        /// [`Rejection::ChannelUnknown`], expiry, [`Rejection::NotOpen`], [`Rejection::TooManyDelegates`], a round that is not newer (R5.4),
        /// a wrong signature.
        #[ink(message)]
        pub fn channel_set_delegates(&mut self, call: Exact<SetDelegates>) -> Result<(), Rejection> {
            let ctx = self.context();
            messages::channel_set_delegates(self, &ctx, call.0)
        }

        /// Ends a channel as both parties signed (R5.12). Anybody, in any phase; the submitter earns the fee and the record's storage
        /// deposit. Emits [`Event::ChannelClosedMutually`].
        ///
        /// # Errors
        /// [`Rejection::ChannelUnknown`], expiry, sums that do not match, a wrong signature, [`Rejection::TransferFailed`] where the fee
        /// cannot be paid.
        #[ink(message)]
        pub fn channel_close_mutual(&mut self, call: Exact<CloseMutual>) -> Result<(), Rejection> {
            let ctx = self.context();
            messages::channel_close_mutual(self, &ctx, call.0)
        }

        /// Starts a close alone, on the state shown or the one on chain (R5.8). A party; only while open. Emits
        /// [`Event::ChannelClosedSolo`].
        ///
        /// # Errors
        /// [`Rejection::ChannelUnknown`], [`Rejection::NotParty`], [`Rejection::NotOpen`], an old state (R5.4), a wrong signature or
        /// commitment.
        #[ink(message)]
        pub fn channel_close_solo(&mut self, call: Exact<CloseSolo>) -> Result<(), Rejection> {
            let ctx = self.context();
            messages::channel_close_solo(self, &ctx, &call.0)
        }

        /// Answers a close with a newer co-signed state, and locks it anew (R5.9). A party or a delegate of either side; until somebody
        /// settled. Emits [`Event::ChannelSlashed`].
        ///
        /// # Errors
        /// [`Rejection::ChannelUnknown`], [`Rejection::NotPartyOrDelegate`], [`Rejection::NotClosing`], a state that is not newer (R5.4), a
        /// wrong signature or commitment.
        #[ink(message)]
        pub fn channel_slash(&mut self, call: Exact<Slash>) -> Result<(), Rejection> {
            let ctx = self.context();
            messages::channel_slash(self, &ctx, &call.0)
        }

        /// Pays out a close whose lock has run out (R5.11). A party or a delegate; a lock period later anybody. Emits
        /// [`Event::ChannelSettled`].
        ///
        /// # Errors
        /// [`Rejection::ChannelUnknown`], [`Rejection::NotClosing`], [`Rejection::StillLocked`], [`Rejection::PartiesSettleFirst`].
        #[ink(message)]
        pub fn channel_settle(&mut self, channel: Exact<ChannelId>) -> Result<(), Rejection> {
            let ctx = self.context();
            messages::channel_settle(self, &ctx, channel.0)
        }

        /// Runs calls of contracts inside a channel that the caller's peer does not answer (R5.10). A party for itself; while closing also
        /// a delegate of its own that has the power to call. Emits [`Event::ChannelProgressed`], and `PreimageEvent` for each pre-image
        /// shown.
        ///
        /// # Errors
        /// [`Rejection::ChannelUnknown`]; see [`protocol::arbiter::force_progress`].
        #[ink(message)]
        pub fn channel_force_progress(&mut self, call: Exact<ForceProgress>) -> Result<(), Rejection> {
            let ctx = self.context();
            messages::channel_force_progress(self, &ctx, &call.0)
        }

        /// Shows a pre-image to every channel of this arbiter, for good; answers the block that counts (R8.2). Anybody. Emits
        /// `PreimageEvent`.
        ///
        /// # Errors
        /// None: it answers as every message does.
        #[ink(message)]
        pub fn preimage_register(
            &mut self,
            preimage: Preimage,
            hash_function: Exact<HashFunction>,
        ) -> Result<BlockNumber, Rejection> {
            let ctx = self.context();
            Ok(messages::preimage_register(self, &ctx, &preimage, hash_function.0))
        }

        /// As `preimage_register` for 1 to 64 pre-images; answers the block of each, in their order (R8.2). Anybody. Emits a `PreimageEvent`
        /// for each.
        ///
        /// # Errors
        /// [`Rejection::ListLength`].
        #[ink(message)]
        pub fn preimages_register(
            &mut self,
            preimages: Vec<Preimage>,
            hash_function: Exact<HashFunction>,
        ) -> Result<Vec<BlockNumber>, Rejection> {
            let ctx = self.context();
            messages::preimages_register(self, &ctx, &preimages, hash_function.0)
        }

        /// Makes 1 to 64 calls, in order, each by itself: what one refuses leaves nothing behind and stops no other; answers what became of
        /// each (R5.18). Whoever may make the call alone. Emits what each call that succeeds emits.
        ///
        /// # Errors
        /// [`Rejection::ListLength`].
        #[ink(message)]
        pub fn batch(&mut self, calls: Exact<Vec<BatchedCall>>) -> Result<Vec<Result<(), Rejection>>, Rejection> {
            let ctx = self.context();
            messages::batch(self, &ctx, calls.0)
        }

        /// Where a contract stands in a channel's last state on chain, for other contracts to rely on (R5.16).
        ///
        /// # Errors
        /// [`Rejection::ChannelUnknown`], a wrong commitment or proof.
        #[ink(message)]
        pub fn prove_contract_state(&self, claim: Exact<ProveContractState>) -> Result<Artefact, Rejection> {
            let record = self.record(&claim.0.channel).ok_or(Rejection::ChannelUnknown)?;
            prove_contract_state(&record, &claim.0, self)
        }

        /// The block in which a pre-image was first shown here, if it was (R8.2).
        #[ink(message)]
        pub fn preimage_shown_at(&self, lock: Exact<HashLock>) -> Option<BlockNumber> {
            self.preimages.get(lock.0)
        }

        /// A channel's record, or none where there is no such channel (any more).
        #[ink(message)]
        pub fn channel(&self, channel: Exact<ChannelId>) -> Option<Record> {
            self.record(&channel.0)
        }

        /// What an account has inside the arbiter under a key (R5.1).
        #[ink(message)]
        pub fn vault_balance(&self, owner: Exact<PartyId>) -> Amount {
            self.vault(&owner.0)
        }

        /// The least nonce that these two may name in their next opening; a channel's id is made of it (R5.2).
        #[ink(message)]
        pub fn pair_nonce(&self, parties: Exact<Pair<PartyId>>) -> u64 {
            self.nonce(&parties.0)
        }

        /// The bounds on what parties may agree (R5.13).
        #[ink(message)]
        pub fn limits(&self) -> Limits {
            self.limits.0
        }

        /// The chain and address that signatures must be made for (R3.5).
        #[ink(message)]
        pub fn domain(&self) -> Domain {
            Domain { genesis: protocol::Hash(self.genesis), arbiter: ours(&self.env().account_id()) }
        }

        /// The version of signed bytes, records and rules.
        #[ink(message)]
        pub fn version(&self) -> u16 {
            VERSION
        }

        fn context(&self) -> CallContext {
            CallContext {
                domain: self.domain(),
                limits: self.limits.0,
                now: self.env().block_number(),
                caller: ours(&self.env().caller()),
            }
        }
    }

    impl Crypto for Arbiter {
        fn hash(&self, bytes: &[u8]) -> protocol::Hash {
            protocol::Hash(self.env().hash_bytes::<ink::env::hash::Blake2x256>(bytes))
        }

        fn sha2_256(&self, bytes: &[u8]) -> protocol::Hash {
            protocol::Hash(self.env().hash_bytes::<ink::env::hash::Sha2x256>(bytes))
        }
    }

    impl Executor for Arbiter {
        fn call_app(
            &mut self,
            code: &protocol::Hash,
            at: Option<&protocol::AccountId>,
            context: &AppContext,
            state: &[u8],
            input: &[u8],
        ) -> Result<AppReply, CallFault> {
            let at = AccountId::from(at.ok_or(CallFault::CodeNotThere)?.0);
            let found = self.env().code_hash(&at).map_err(|_no_contract| CallFault::CodeNotThere)?;
            if found.as_ref() != code.as_ref() {
                return Err(CallFault::CodeNotThere);
            }
            let input =
                ExecutionInput::new(Selector::new(CALL_SELECTOR)).push_arg(context).push_arg(state).push_arg(input);
            let weight = self.limits.0.call_weight;
            let answer = build_call::<DefaultEnvironment>()
                .call(at)
                .ref_time_limit(weight.ref_time)
                .proof_size_limit(weight.proof_size)
                .call_flags(READ_ONLY)
                .exec_input(input)
                .returns::<AppReply>()
                .try_invoke();
            match answer {
                Ok(Ok(reply)) => Ok(reply),
                Ok(Err(_)) | Err(ink::env::Error::Decode(_)) => Err(CallFault::Undecodable),
                Err(_trapped) => Err(CallFault::Failed),
            }
        }

        fn shown_at(&self, lock: &HashLock) -> Option<BlockNumber> {
            self.preimages.get(lock)
        }

        fn show(&mut self, lock: &HashLock, preimage: &Preimage, now: BlockNumber) -> BlockNumber {
            let shown_at = self.preimages.get(lock).unwrap_or(now);
            if shown_at == now {
                let _size_before = self.preimages.insert(lock, &now);
            }
            self.announce_preimage(*lock, *preimage, shown_at);
            shown_at
        }
    }

    impl Host for Arbiter {
        fn vault(&self, owner: &PartyId) -> Amount {
            self.vaults.get(owner).unwrap_or(0)
        }

        fn set_vault(&mut self, owner: &PartyId, balance: Amount) {
            let _size_before = self.vaults.insert(owner, &balance);
        }

        fn free_vault(&mut self, owner: &PartyId) {
            self.vaults.remove(owner);
        }

        fn nonce(&self, parties: &Pair<PartyId>) -> u64 {
            self.nonces.get(self.hash(&parties.encode())).unwrap_or(0)
        }

        fn set_nonce(&mut self, parties: &Pair<PartyId>, nonce: u64) {
            let _size_before = self.nonces.insert(self.hash(&parties.encode()), &nonce);
        }

        fn record(&self, channel: &ChannelId) -> Option<Record> {
            self.records.get(channel).map(|StoredRecord(record)| record)
        }

        fn set_record(&mut self, channel: &ChannelId, record: Option<Record>) {
            match record {
                Some(record) => {
                    let _size_before = self.records.insert(channel, &StoredRecord(record));
                }
                None => self.records.remove(channel),
            }
        }

        fn transfer(&mut self, to: &protocol::AccountId, amount: Amount) -> bool {
            self.env().transfer(AccountId::from(to.0), amount).is_ok()
        }

        fn announce(&mut self, channel: ChannelId, event: Event, payouts: Vec<Payout>) {
            self.env().emit_event(ChannelEvent { channel, event, payouts });
        }

        fn announce_vault(&mut self, owner: PartyId, balance: Amount) {
            let PartyId { account, key } = owner;
            self.env().emit_event(VaultEvent { account, key, balance });
        }

        fn announce_preimage(&mut self, lock: HashLock, preimage: Preimage, shown_at: BlockNumber) {
            let HashLock { function, digest } = lock;
            self.env().emit_event(PreimageEvent { digest, hash_function: function, preimage, shown_at });
        }
    }

    fn ours(account: &AccountId) -> protocol::AccountId {
        protocol::AccountId(*<AccountId as AsRef<[u8; 32]>>::as_ref(account))
    }
}
