//! What the arbiter's messages need of whatever keeps its data: a contract's storage, or a map in memory.

use crate::{
    AccountId, Amount, BlockNumber, ChannelId, Pair,
    contracts::{
        Executor,
        conditional::{HashLock, Preimage},
    },
    event::{Event, Payout},
    record::Record,
};
use alloc::vec::Vec;

/// Storage, transfers and events. Whoever implements it undoes everything when a message is refused (R5.14).
pub trait Host: Executor {
    /// An account's balance inside the arbiter; zero where there is none.
    fn vault(&self, account: &AccountId) -> Amount;
    /// Stores a vault's balance, and frees the storage of an empty one.
    fn set_vault(&mut self, account: &AccountId, balance: Amount);
    /// How many channels the pair has opened (R5.2).
    fn nonce(&self, accounts: &Pair<AccountId>) -> u64;
    /// Stores how many channels the pair has opened.
    fn set_nonce(&mut self, accounts: &Pair<AccountId>, nonce: u64);
    /// A channel's record.
    fn record(&self, channel: &ChannelId) -> Option<Record>;
    /// Stores a channel's record, or frees its storage (R5.15).
    fn set_record(&mut self, channel: &ChannelId, record: Option<Record>);
    /// Pays coins out of the arbiter; says whether the chain did it.
    fn transfer(&mut self, to: &AccountId, amount: Amount) -> bool;
    /// Announces what happened to a channel.
    fn announce(&mut self, channel: ChannelId, event: Event, payouts: Vec<Payout>);
    /// Announces a vault's new balance.
    fn announce_vault(&mut self, account: AccountId, balance: Amount);
    /// Announces a pre-image, and the block that counts for it (R8.2).
    fn announce_preimage(&mut self, lock: HashLock, preimage: Preimage, shown_at: BlockNumber);
}
