//! What the arbiter's messages need of whatever keeps its data: a contract's storage, or a map in memory.

use crate::{
    AccountId, Amount, BlockNumber, ChannelId, Pair, PartyId,
    contracts::{
        Executor,
        conditional::{HashLock, Preimage},
    },
    event::{ArbiterEvent, Payout},
    record::Record,
};
use alloc::vec::Vec;

/// Storage, transfers and events. Whoever implements it undoes everything when a message is refused (R5.14).
pub trait Host: Executor {
    /// What an account has inside the arbiter under a key; zero where there is nothing.
    fn vault(&self, owner: &PartyId) -> Amount;
    /// Stores a vault's balance, also a balance of zero.
    fn set_vault(&mut self, owner: &PartyId, balance: Amount);
    /// Frees a vault's storage: what was laid down for it goes to whoever's call this is, so only the owner's own calls may do it.
    fn free_vault(&mut self, owner: &PartyId);
    /// The least nonce that the pair may name next (R5.2).
    fn nonce(&self, parties: &Pair<PartyId>) -> u64;
    /// Stores the least nonce that the pair may name next.
    fn set_nonce(&mut self, parties: &Pair<PartyId>, nonce: u64);
    /// A channel's record.
    fn record(&self, channel: &ChannelId) -> Option<Record>;
    /// Stores a channel's record, or frees its storage (R5.15).
    fn set_record(&mut self, channel: &ChannelId, record: Option<Record>);
    /// Pays coins out of the arbiter; says whether the chain did it.
    fn transfer(&mut self, to: &AccountId, amount: Amount) -> bool;
    /// Announces what happened to a channel.
    fn announce(&mut self, channel: ChannelId, event: ArbiterEvent, payouts: Vec<Payout>);
    /// Announces a vault's new balance.
    fn announce_vault(&mut self, owner: PartyId, balance: Amount);
    /// Announces a pre-image, and the block that counts for it (R8.2).
    fn announce_preimage(&mut self, lock: HashLock, preimage: Preimage, shown_at: BlockNumber);
}
