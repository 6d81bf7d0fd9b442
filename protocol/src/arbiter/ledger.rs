//! The whole arbiter as plain data: what the contract keeps in storage, moved by the same messages.
//!
//! Peers predict with it, simulations of the chain in tests are built on it, and the real contract is compared with it.

use super::{CallContext, Host, messages};
use crate::{
    AccountId, Amount, BlockNumber, ChannelId, Hash, Pair, PartyId, Rejection,
    call::Call,
    contracts::{
        AppContext, AppReply, Apps, CallFault, Executor, NativeApps,
        conditional::{HashLock, Preimage},
    },
    crypto::{Crypto, Native},
    event::{ArbiterEvent, Payout},
    record::Record,
};
use std::collections::BTreeMap;

/// All that the arbiter stores. What it pays out leaves it: see [`Applied`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Balances inside the arbiter.
    pub vaults: BTreeMap<PartyId, Amount>,
    /// The least nonce that a pair may name next (R5.2).
    pub nonces: BTreeMap<Pair<PartyId>, u64>,
    /// The channels that have not ended.
    pub channels: BTreeMap<ChannelId, Record>,
    /// Pre-images, by lock, with the block in which each was first shown (R8.2).
    pub preimages: BTreeMap<HashLock, BlockNumber>,
    /// The apps that stand on the chain, by account.
    pub deployed: BTreeMap<AccountId, Hash>,
    /// What those apps do.
    pub apps: NativeApps,
}

/// What an accepted call announced and paid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// What happened to channels, and where coins went; nothing for vault calls, and more than one event only for a batch.
    pub events: Vec<(ChannelId, ArbiterEvent, Vec<Payout>)>,
    /// What became of each call of a batch.
    pub batch: Vec<Result<(), Rejection>>,
    /// Coins that left the arbiter for accounts.
    pub paid_out: Vec<(AccountId, Amount)>,
    /// Pre-images that were shown, with the block that counts for each.
    pub preimages: Vec<(HashLock, Preimage, BlockNumber)>,
    /// What a vault holds since its owner has used it by this call.
    pub vaults: Vec<(PartyId, Amount)>,
}

impl Ledger {
    /// The coins that the arbiter holds for others: vaults and channels. The contract's balance is never below it.
    #[must_use]
    pub fn held(&self) -> Amount {
        self.vaults.values().chain(self.channels.values().map(|record| &record.total)).sum()
    }

    /// Executes `call` with `attached` coins. `accepts` says whether the chain would move an amount to an account.
    ///
    /// # Errors
    /// The rule's rejection; nothing has changed then.
    pub fn apply(
        &mut self,
        ctx: &CallContext,
        call: Call,
        attached: Amount,
        accepts: &dyn Fn(&AccountId, Amount) -> bool,
    ) -> Result<Applied, Rejection> {
        let apps = self.apps.clone();
        self.apply_with(ctx, call, attached, accepts, &apps)
    }

    /// As [`apply`](Self::apply), with apps that are run elsewhere: as the Wasm that is deployed, say. Where they stand is the ledger's to say all the same.
    ///
    /// # Errors
    /// As of [`apply`](Self::apply).
    pub fn apply_with(
        &mut self,
        ctx: &CallContext,
        call: Call,
        attached: Amount,
        accepts: &dyn Fn(&AccountId, Amount) -> bool,
        apps: &dyn Apps,
    ) -> Result<Applied, Rejection> {
        let mut draft = Draft { ledger: self.clone(), applied: Applied::default(), accepts, apps };
        match call {
            Call::VaultDeposit { key } => messages::vault_deposit(&mut draft, ctx, key, attached)?,
            Call::VaultWithdraw { key, amount } => messages::vault_withdraw(&mut draft, ctx, key, amount)?,
            Call::ChannelCreate(call) => {
                let _channel = messages::channel_create(&mut draft, ctx, call, attached)?;
            }
            Call::ChannelDeposit(call) => messages::channel_deposit(&mut draft, ctx, call, attached)?,
            Call::ChannelWithdraw(call) => messages::channel_withdraw(&mut draft, ctx, call)?,
            Call::ChannelSnapshotSolo(call) => messages::channel_snapshot_solo(&mut draft, ctx, &call)?,
            Call::ChannelSetDelegates(call) => messages::channel_set_delegates(&mut draft, ctx, call)?,
            Call::ChannelCloseMutual(call) => messages::channel_close_mutual(&mut draft, ctx, call)?,
            Call::ChannelCloseSolo(call) => messages::channel_close_solo(&mut draft, ctx, &call)?,
            Call::ChannelSlash(call) => messages::channel_slash(&mut draft, ctx, &call)?,
            Call::ChannelSettle { channel } => messages::channel_settle(&mut draft, ctx, channel)?,
            Call::ChannelForceProgress(call) => messages::channel_force_progress(&mut draft, ctx, &call)?,
            Call::PreimageRegister { preimage, function } => {
                let _shown_at = messages::preimage_register(&mut draft, ctx, &preimage, function);
            }
            Call::PreimagesRegister { preimages, function } => {
                let _shown_at = messages::preimages_register(&mut draft, ctx, &preimages, function)?;
            }
            Call::Batch(calls) => draft.applied.batch = messages::batch(&mut draft, ctx, calls)?,
        }
        *self = draft.ledger;
        Ok(draft.applied)
    }
}

/// A copy that becomes the ledger when its message succeeds.
struct Draft<'a> {
    ledger: Ledger,
    applied: Applied,
    accepts: &'a dyn Fn(&AccountId, Amount) -> bool,
    apps: &'a dyn Apps,
}

impl Crypto for Draft<'_> {
    fn hash(&self, bytes: &[u8]) -> Hash {
        Native.hash(bytes)
    }

    fn sha2_256(&self, bytes: &[u8]) -> Hash {
        Native.sha2_256(bytes)
    }
}

impl Executor for Draft<'_> {
    fn call_app(
        &mut self,
        code: &Hash,
        at: Option<&AccountId>,
        context: &AppContext,
        state: &[u8],
        input: &[u8],
    ) -> Result<AppReply, CallFault> {
        let stands = at.is_some_and(|at| self.ledger.deployed.get(at) == Some(code));
        if stands { self.apps.call(code, context, state, input) } else { Err(CallFault::CodeNotThere) }
    }

    fn shown_at(&self, lock: &HashLock) -> Option<BlockNumber> {
        self.ledger.preimages.get(lock).copied()
    }

    fn show(&mut self, lock: &HashLock, preimage: &Preimage, now: BlockNumber) -> BlockNumber {
        let shown_at = *self.ledger.preimages.entry(*lock).or_insert(now);
        self.announce_preimage(*lock, *preimage, shown_at);
        shown_at
    }
}

impl Host for Draft<'_> {
    fn vault(&self, owner: &PartyId) -> Amount {
        self.ledger.vaults.get(owner).copied().unwrap_or(0)
    }

    fn set_vault(&mut self, owner: &PartyId, balance: Amount) {
        let _previous = self.ledger.vaults.insert(*owner, balance);
    }

    fn free_vault(&mut self, owner: &PartyId) {
        let _previous = self.ledger.vaults.remove(owner);
    }

    fn nonce(&self, parties: &Pair<PartyId>) -> u64 {
        self.ledger.nonces.get(parties).copied().unwrap_or(0)
    }

    fn set_nonce(&mut self, parties: &Pair<PartyId>, nonce: u64) {
        let _previous = self.ledger.nonces.insert(*parties, nonce);
    }

    fn record(&self, channel: &ChannelId) -> Option<Record> {
        self.ledger.channels.get(channel).cloned()
    }

    fn set_record(&mut self, channel: &ChannelId, record: Option<Record>) {
        let _previous = match record {
            Some(record) => self.ledger.channels.insert(*channel, record),
            None => self.ledger.channels.remove(channel),
        };
    }

    fn transfer(&mut self, to: &AccountId, amount: Amount) -> bool {
        let accepted = (self.accepts)(to, amount);
        if accepted {
            self.applied.paid_out.push((*to, amount));
        }
        accepted
    }

    fn announce(&mut self, channel: ChannelId, event: ArbiterEvent, payouts: Vec<Payout>) {
        self.applied.events.push((channel, event, payouts));
    }

    fn announce_vault(&mut self, owner: PartyId, balance: Amount) {
        self.applied.vaults.push((owner, balance));
    }

    fn announce_preimage(&mut self, lock: HashLock, preimage: Preimage, shown_at: BlockNumber) {
        self.applied.preimages.push((lock, preimage, shown_at));
    }
}
