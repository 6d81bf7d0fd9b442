//! What the arbiter announces: one event for each success, enough to rebuild the record (R5.14).

use crate::{
    AccountId, Amount, Base, Hash, Pair, Party, Round,
    call::ForcedCall,
    record::{Closing, Record},
    terms::{Delegate, Destination},
};
use alloc::vec::Vec;
use scale::{Decode, Encode};

/// What happened to a channel.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub enum ArbiterEvent {
    /// A channel began. The record is whole.
    #[codec(index = 0)]
    ChannelCreated {
        /// The record as it was stored.
        record: Record,
    },
    /// It ended in agreement; the record is gone.
    #[codec(index = 1)]
    ChannelClosedMutually {
        /// What each party was paid.
        balances: Pair<Amount>,
        /// What the submitter was paid.
        fee: Amount,
    },
    /// A party closed alone.
    #[codec(index = 2)]
    ChannelClosedSolo {
        /// The state closed on: its co-signed round, and how many forced rounds after it.
        at: Base,
        /// Its hash.
        state_hash: Hash,
        /// The close that now waits.
        closing: Closing,
    },
    /// A close was answered with a newer state.
    #[codec(index = 3)]
    ChannelSlashed {
        /// The round that replaced the one closed on.
        round: Round,
        /// Its state.
        state_hash: Hash,
        /// The close that now waits.
        closing: Closing,
    },
    /// A close was paid out. The record is gone, or residual where `remaining` is not zero (R5.11).
    #[codec(index = 4)]
    ChannelSettled {
        /// What each party was paid, after the penalty.
        balances: Pair<Amount>,
        /// What contracts inside the channel still hold.
        remaining: Amount,
    },
    /// A party added coins.
    #[codec(index = 5)]
    ChannelDeposited {
        /// Who.
        party: Party,
        /// How many.
        amount: Amount,
        /// What the channel holds now.
        total: Amount,
        /// The round after it.
        round: Round,
        /// Its state.
        state_hash: Hash,
    },
    /// A party took coins out.
    #[codec(index = 6)]
    ChannelWithdrawn {
        /// Who.
        party: Party,
        /// How many.
        amount: Amount,
        /// What the channel holds now.
        total: Amount,
        /// The round after it.
        round: Round,
        /// Its state.
        state_hash: Hash,
    },
    /// A newer state was put on chain; the channel stays open.
    #[codec(index = 7)]
    ChannelSnapshotted {
        /// Its round.
        round: Round,
        /// Its hash.
        state_hash: Hash,
    },
    /// Both parties' delegates were replaced.
    #[codec(index = 8)]
    ChannelDelegatesSet {
        /// The new lists.
        delegates: Pair<Vec<Delegate>>,
        /// The round after it.
        round: Round,
        /// Its state.
        state_hash: Hash,
    },
    /// A party went on without its peer. Enough for the peer to follow: the calls were made in this block, in these rounds.
    #[codec(index = 9)]
    ChannelProgressed {
        /// Whose calls.
        party: Party,
        /// The state after it: the co-signed round that the calls went on from, and how many forced rounds after that. This block marks it
        /// (R5.4b).
        at: Base,
        /// Its hash.
        state_hash: Hash,
        /// Forced steps of each party so far, as the record counts them.
        forced_steps: Pair<u8>,
        /// What the channel holds now.
        total: Amount,
        /// The close that now waits, if one does.
        closing: Option<Closing>,
        /// The calls.
        calls: Vec<ForcedCall>,
    },
}

/// Coins that leave a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub struct Payout {
    /// Whose coins they are; none for the fee of whoever submits a close.
    pub party: Option<Party>,
    /// Who receives them. Where that is not possible they go to the party's vault.
    pub to: AccountId,
    /// How many.
    pub amount: Amount,
    /// Where they went; in a rule's outcome, where they should go.
    pub destination: Destination,
}
