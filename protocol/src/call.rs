//! The arbiter's messages and their arguments, as both the contract and its callers know them.

use crate::{
    AccountId, Amount, Base, BlockNumber, ChannelId, Hash, Pair, Party, PartyId, PublicKey, Round, Signature,
    StateCommitment,
    contracts::{
        Contract, ContractId,
        conditional::{HashFunction, HashLock, Preimage},
    },
    signing::{CloseMutualBody, CreateBody, DepositBody, SetDelegatesBody, StateBody, WithdrawBody},
    tree::Proof,
};
use alloc::vec::Vec;
use scale::{Decode, Encode, MaxEncodedLen};

/// `channel_create` (R5.1, R5.4a).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Create {
    /// What both signed.
    pub body: CreateBody,
    /// Tells this channel from the pair's others: the pair's next one, or one further ahead (R5.2).
    pub nonce: u64,
    /// Over the channel id that the nonce gives (R5.2).
    pub signatures: Pair<Signature>,
}

/// A co-signed state as evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Payload {
    /// Its round.
    pub round: Round,
    /// What it goes on from (R3.5a).
    pub base: Base,
    /// Its hash.
    pub state_hash: Hash,
    /// The last block in which it may be shown; none as a rule.
    pub valid_until: Option<BlockNumber>,
    /// Both parties' signatures over it.
    pub signatures: Pair<Signature>,
}

impl Payload {
    /// What the signatures cover.
    #[must_use]
    pub const fn body(&self) -> StateBody {
        StateBody { round: self.round, base: self.base, state_hash: self.state_hash, valid_until: self.valid_until }
    }
}

/// `channel_close_solo` (R5.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct CloseSolo {
    /// Which channel.
    pub channel: ChannelId,
    /// The state to close on, or none for the one on chain.
    pub payload: Option<Payload>,
    /// What that state's hash commits to.
    pub commitment: StateCommitment,
}

/// `channel_slash` (R5.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Slash {
    /// Which channel.
    pub channel: ChannelId,
    /// The newer state.
    pub payload: Payload,
    /// What that state's hash commits to.
    pub commitment: StateCommitment,
}

macro_rules! co_signed_calls {
    ($($(#[$doc:meta])* $name:ident($body:ident)),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
        #[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
        pub struct $name {
            /// Which channel.
            pub channel: ChannelId,
            /// What both signed.
            pub body: $body,
            /// Both signatures.
            pub signatures: Pair<Signature>,
        }
    )*};
}

co_signed_calls! {
    /// `channel_close_mutual` (R5.12).
    CloseMutual(CloseMutualBody),
    /// `channel_deposit` (R5.5).
    Deposit(DepositBody),
    /// `channel_withdraw` (R5.5).
    Withdraw(WithdrawBody),
    /// `channel_set_delegates` (R5.7).
    SetDelegates(SetDelegatesBody),
}

/// `channel_snapshot_solo` (R5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct SnapshotSolo {
    /// Which channel.
    pub channel: ChannelId,
    /// The newer state.
    pub payload: Payload,
}

/// `channel_force_progress` (R5.10).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct ForceProgress {
    /// Which channel.
    pub channel: ChannelId,
    /// Who makes the calls: whoever submits this, or whom it defends as a delegate.
    pub party: Party,
    /// The state to go on from, or none for the one on chain.
    pub payload: Option<Payload>,
    /// What that state's hash commits to.
    pub commitment: StateCommitment,
    /// The contracts that are called, each once, in ascending order of their ids.
    pub contracts: Vec<ShownContract>,
    /// That they are in that state, and what its root is without them changing place.
    pub proof: Proof,
    /// The calls, in order; each is a round.
    pub calls: Vec<ForcedCall>,
    /// The state expected after the last call. None takes whatever comes out, for contracts that look at the height.
    pub state_hash: Option<Hash>,
}

/// A contract as it stands in the state that a forced step goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct ShownContract {
    /// Its id.
    pub id: ContractId,
    /// The contract, whole.
    pub contract: Contract,
    /// Where its app is deployed; none for builtins.
    pub app: Option<AccountId>,
}

/// One call of a forced step.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct ForcedCall {
    /// Which contract.
    pub contract: ContractId,
    /// The coins attached, out of the caller's balance in the channel.
    pub value: Amount,
    /// What the call says, at most [`MAX_INPUT`](crate::contracts::MAX_INPUT) bytes.
    pub input: Vec<u8>,
}

/// `prove_contract_state` (R5.16).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct ProveContractState {
    /// Which channel.
    pub channel: ChannelId,
    /// What the hash of its last state on chain commits to.
    pub commitment: StateCommitment,
    /// The contract's id.
    pub id: ContractId,
    /// The contract as it is claimed to stand.
    pub contract: Contract,
    /// That it is in that state.
    pub proof: Proof,
}

/// Which of the arbiter's messages a [`Call`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the variant of `Call` with the same name is its documentation")]
pub enum CallKind {
    VaultDeposit,
    VaultWithdraw,
    ChannelCreate,
    ChannelCloseMutual,
    ChannelCloseSolo,
    ChannelSlash,
    ChannelSettle,
    ChannelDeposit,
    ChannelWithdraw,
    ChannelSnapshotSolo,
    ChannelSetDelegates,
    ChannelForceProgress,
    PreimageRegister,
    PreimagesRegister,
    Batch,
}

impl CallKind {
    /// The message's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::VaultDeposit => "vault_deposit",
            Self::VaultWithdraw => "vault_withdraw",
            Self::ChannelCreate => "channel_create",
            Self::ChannelCloseMutual => "channel_close_mutual",
            Self::ChannelCloseSolo => "channel_close_solo",
            Self::ChannelSlash => "channel_slash",
            Self::ChannelSettle => "channel_settle",
            Self::ChannelDeposit => "channel_deposit",
            Self::ChannelWithdraw => "channel_withdraw",
            Self::ChannelSnapshotSolo => "channel_snapshot_solo",
            Self::ChannelSetDelegates => "channel_set_delegates",
            Self::ChannelForceProgress => "channel_force_progress",
            Self::PreimageRegister => "preimage_register",
            Self::PreimagesRegister => "preimages_register",
            Self::Batch => "batch",
        }
    }
}

impl core::fmt::Display for CallKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// A call of the arbiter. The names of its messages are fixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Adds the coins attached to the caller's vault under a key (R5.1).
    VaultDeposit {
        /// Signs for these coins to move into channels.
        key: PublicKey,
    },
    /// Pays coins from the caller's vault under a key to the caller's account (R5.1).
    VaultWithdraw {
        /// Under which key they lie.
        key: PublicKey,
        /// How many.
        amount: Amount,
    },
    /// See [`Create`].
    ChannelCreate(Create),
    /// See [`CloseMutual`].
    ChannelCloseMutual(CloseMutual),
    /// See [`CloseSolo`].
    ChannelCloseSolo(CloseSolo),
    /// See [`Slash`].
    ChannelSlash(Slash),
    /// See [`Deposit`].
    ChannelDeposit(Deposit),
    /// See [`Withdraw`].
    ChannelWithdraw(Withdraw),
    /// See [`SnapshotSolo`].
    ChannelSnapshotSolo(SnapshotSolo),
    /// See [`SetDelegates`].
    ChannelSetDelegates(SetDelegates),
    /// Pays out a close whose lock has run out (R5.11).
    ChannelSettle {
        /// Which channel.
        channel: ChannelId,
    },
    /// See [`ForceProgress`].
    ChannelForceProgress(ForceProgress),
    /// Shows a pre-image to every channel of the arbiter (R8.2).
    PreimageRegister {
        /// What unlocks.
        preimage: Preimage,
        /// How the locks are made that it is shown for.
        function: HashFunction,
    },
    /// Shows several pre-images (R8.2).
    PreimagesRegister {
        /// What unlocks: one at least, and at most [`MAX_PREIMAGES`].
        preimages: Vec<Preimage>,
        /// How the locks are made that they are shown for.
        function: HashFunction,
    },
    /// Makes several calls, each by itself: what one refuses stops no other (R5.18). One at least, and at most [`MAX_BATCH`].
    Batch(Vec<BatchedCall>),
}

/// The most pre-images that one call may show.
pub const MAX_PREIMAGES: usize = 64;
/// The most calls in one batch.
pub const MAX_BATCH: usize = 64;

/// A call in a batch (R5.18): every message about one channel but the forced step, which has bounds of its own.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub enum BatchedCall {
    /// See [`Create`]. Nothing is attached: both shares come out of vaults.
    #[codec(index = 0)]
    Create(Create),
    /// See [`CloseMutual`].
    #[codec(index = 1)]
    CloseMutual(CloseMutual),
    /// See [`CloseSolo`].
    #[codec(index = 2)]
    CloseSolo(CloseSolo),
    /// See [`Slash`].
    #[codec(index = 3)]
    Slash(Slash),
    /// See [`Call::ChannelSettle`].
    #[codec(index = 4)]
    Settle(ChannelId),
    /// See [`Deposit`]. Nothing is attached: the coins come out of the vault.
    #[codec(index = 5)]
    Deposit(Deposit),
    /// See [`Withdraw`].
    #[codec(index = 6)]
    Withdraw(Withdraw),
    /// See [`SnapshotSolo`].
    #[codec(index = 7)]
    SnapshotSolo(SnapshotSolo),
    /// See [`SetDelegates`].
    #[codec(index = 8)]
    SetDelegates(SetDelegates),
}

impl Call {
    /// Every message's name.
    pub const NAMES: [&'static str; 15] = [
        "vault_deposit",
        "vault_withdraw",
        "channel_create",
        "channel_close_mutual",
        "channel_close_solo",
        "channel_slash",
        "channel_settle",
        "channel_deposit",
        "channel_withdraw",
        "channel_snapshot_solo",
        "channel_set_delegates",
        "channel_force_progress",
        "preimage_register",
        "preimages_register",
        "batch",
    ];

    /// The message's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Which message it is.
    #[must_use]
    pub const fn kind(&self) -> CallKind {
        match self {
            Self::VaultDeposit { .. } => CallKind::VaultDeposit,
            Self::VaultWithdraw { .. } => CallKind::VaultWithdraw,
            Self::ChannelCreate(_) => CallKind::ChannelCreate,
            Self::ChannelCloseMutual(_) => CallKind::ChannelCloseMutual,
            Self::ChannelCloseSolo(_) => CallKind::ChannelCloseSolo,
            Self::ChannelSlash(_) => CallKind::ChannelSlash,
            Self::ChannelSettle { .. } => CallKind::ChannelSettle,
            Self::ChannelDeposit(_) => CallKind::ChannelDeposit,
            Self::ChannelWithdraw(_) => CallKind::ChannelWithdraw,
            Self::ChannelSnapshotSolo(_) => CallKind::ChannelSnapshotSolo,
            Self::ChannelSetDelegates(_) => CallKind::ChannelSetDelegates,
            Self::ChannelForceProgress(_) => CallKind::ChannelForceProgress,
            Self::PreimageRegister { .. } => CallKind::PreimageRegister,
            Self::PreimagesRegister { .. } => CallKind::PreimagesRegister,
            Self::Batch(_) => CallKind::Batch,
        }
    }

    /// The message's arguments, encoded as the contract decodes them.
    #[must_use]
    pub fn arguments(&self) -> Vec<u8> {
        match self {
            Self::VaultDeposit { key } => key.encode(),
            Self::VaultWithdraw { key, amount } => (key, amount).encode(),
            Self::ChannelCreate(call) => call.encode(),
            Self::ChannelCloseMutual(call) => call.encode(),
            Self::ChannelCloseSolo(call) => call.encode(),
            Self::ChannelSlash(call) => call.encode(),
            Self::ChannelSettle { channel } => channel.encode(),
            Self::ChannelDeposit(call) => call.encode(),
            Self::ChannelWithdraw(call) => call.encode(),
            Self::ChannelSnapshotSolo(call) => call.encode(),
            Self::ChannelSetDelegates(call) => call.encode(),
            Self::ChannelForceProgress(call) => call.encode(),
            Self::PreimageRegister { preimage, function } => (preimage, function).encode(),
            Self::PreimagesRegister { preimages, function } => (preimages, function).encode(),
            Self::Batch(calls) => calls.encode(),
        }
    }
}

/// A read of the arbiter: free of charge, by dry run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// `channel`: the record, `Option<Record>`.
    Channel(ChannelId),
    /// `vault_balance`: what an account has inside the arbiter under a key, `Amount`.
    VaultBalance(PartyId),
    /// `pair_nonce`: the least nonce that the two may name next, `u64`; a channel's id is made of it (R5.2).
    PairNonce(Pair<PartyId>),
    /// `prove_contract_state`: where a contract stands in the channel's last state on chain (R5.16), `Result<Artefact, Rejection>`.
    ProveContractState(ProveContractState),
    /// `preimage_shown_at`: the block in which a pre-image was first shown (R8.2), `Option<BlockNumber>`.
    PreimageShownAt(HashLock),
    /// `limits`: the arbiter's bounds (R5.13), `Limits`.
    Limits,
    /// `domain`: chain and address it was made for, `Domain`.
    Domain,
    /// `version`: of signed bytes, records and rules, `u16`.
    Version,
}

impl Read {
    /// The message's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Channel(_) => "channel",
            Self::VaultBalance(_) => "vault_balance",
            Self::PairNonce(_) => "pair_nonce",
            Self::ProveContractState(_) => "prove_contract_state",
            Self::PreimageShownAt(_) => "preimage_shown_at",
            Self::Limits => "limits",
            Self::Domain => "domain",
            Self::Version => "version",
        }
    }

    /// The message's arguments, encoded as the contract decodes them.
    #[must_use]
    pub fn arguments(&self) -> Vec<u8> {
        match self {
            Self::Channel(channel) => channel.encode(),
            Self::VaultBalance(owner) => owner.encode(),
            Self::PairNonce(parties) => parties.encode(),
            Self::ProveContractState(claim) => claim.encode(),
            Self::PreimageShownAt(lock) => lock.encode(),
            Self::Limits | Self::Domain | Self::Version => Vec::new(),
        }
    }
}
