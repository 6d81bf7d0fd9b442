//! Coins that a swap has brought, paid out to an account that need not be this node's own: once for each swap, whatever crashes (R8.5g).
//!
//! What is asked of a channel, and what has come of it, is kept in one commit with the channel's own step: a withdrawal is either not asked for, or under way in
//! the channel that the row names, or made.

use super::{ChannelHandle, Node, NodeError, SwapFailed, error::StartError, inbox::Request};
use crate::store::{Batch, StoreHandle, Table};
use channel::{ChannelRef, Command};
use network::{SwapError, SwapId, SwapRole, SwapStage};
use protocol::{AccountId, PublicKey, Round, decode_exact};
use scale::{Decode, Encode};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What is before a swap's id in the key of its row.
const PREFIX: &[u8] = b"withdrawal/";
/// The version in front of a row.
const VERSION: u8 = 1;

/// A withdrawal for a swap, in a channel with this peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Withdrawal {
    pub(super) peer: PublicKey,
    pub(super) reference: ChannelRef,
    /// The round after it, once it is final on chain.
    pub(super) round: Option<Round>,
}

/// A row as it is to be kept: none for one that is erased.
pub(super) type WithdrawalRow = (Vec<u8>, Option<Vec<u8>>);

/// All withdrawals for swaps, those under way and those that were made.
#[derive(Debug, Default)]
pub(super) struct Withdrawals(Mutex<BTreeMap<SwapId, Withdrawal>>);

fn key(id: &SwapId) -> Vec<u8> {
    [PREFIX, &id.0].concat()
}

impl Withdrawals {
    /// Those that a store has. One that cannot be read is left alone: its swap's coins are not withdrawn once more by this.
    pub(super) fn load(store: Option<&StoreHandle>) -> Result<Self, StartError> {
        let mut all = BTreeMap::new();
        for (row, value) in store.map_or_else(|| Ok(Vec::new()), |store| store.load(Table::Meta, PREFIX))? {
            let id = row.strip_prefix(PREFIX).and_then(|id| id.try_into().ok()).map(SwapId);
            let kept = value.split_first().filter(|(version, _)| **version == VERSION);
            match id.zip(kept.and_then(|(_, kept)| decode_exact(kept).ok())) {
                Some((id, kept)) => drop(all.insert(id, kept)),
                None => tracing::error!("what was withdrawn for a swap cannot be read"),
            }
        }
        Ok(Self(Mutex::new(all)))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<SwapId, Withdrawal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: &SwapId) -> Option<Withdrawal> {
        self.all().get(id).copied()
    }

    /// Notes how a withdrawal stands, and gives the row.
    pub(super) fn note(&self, id: SwapId, withdrawal: Withdrawal) -> WithdrawalRow {
        let _former = self.all().insert(id, withdrawal);
        (key(&id), Some((VERSION, withdrawal).encode()))
    }

    /// The one that is under way in a channel was made, or has come to nothing: then it may be asked for again. Gives the row, where there is one.
    pub(super) fn end(&self, reference: ChannelRef, round: Option<Round>) -> Option<WithdrawalRow> {
        let under_way = |(_, one): &(&SwapId, &Withdrawal)| one.reference == reference && one.round.is_none();
        let (id, one) = self.all().iter().find(under_way).map(|(id, one)| (*id, *one))?;
        match round {
            Some(_) => Some(self.note(id, Withdrawal { round, ..one })),
            None => self.forget(&id),
        }
    }

    /// Forgets one, and gives the row that is erased.
    fn forget(&self, id: &SwapId) -> Option<WithdrawalRow> {
        self.all().remove(id).map(|_| (key(id), None))
    }
}

impl Node {
    /// Pays the coins that a swap has brought this side on this node's chain to an account, which need not be this node's own, and waits until that is final on
    /// chain: it waits for the swap's end first. Once for each swap: asked again, also after a crash, it goes on, or says the round after the withdrawal that was
    /// made. Where the chain refuses the transfer to the account the coins come to this node's vault.
    ///
    /// # Errors
    /// Those of [`swap_ended`](Node::swap_ended); [`SwapFailed::NotMoved`] where the swap has brought nothing, [`SwapFailed::OtherChain`] where it has on
    /// another chain; [`SwapFailed::Withdrawal`] where no channel pays it out now: then nothing is, unless it says that one is pending.
    pub async fn withdraw_swapped(&self, id: &SwapId, to: AccountId) -> Result<Round, SwapFailed> {
        let peers = &self.inner.peers;
        if let Some(Withdrawal { round: Some(round), .. }) = peers.withdrawals.get(id) {
            return Ok(round);
        }
        let state = self.swap_ended(id).await?;
        let SwapStage::Ended { outcome, .. } = state.stage else { return Err(SwapError::UnderWay.into()) };
        let (leg, has_moved) = match state.role {
            SwapRole::Initiator => (state.terms.target, outcome.target_moved),
            SwapRole::Responder => (state.terms.source, outcome.source_moved),
        };
        if leg.chain != peers.routing.chain() {
            return Err(SwapFailed::OtherChain);
        }
        if !has_moved {
            return Err(SwapFailed::NotMoved);
        }
        let mut why = NodeError::NotConnected(state.peer);
        for channel in self.channels_for(id, state.peer).await? {
            let command = Command::Withdraw { amount: leg.amount, to: Some(to) };
            match channel.ask(|reply| Request::WithdrawOnce(*id, command, reply)).await.and_then(|made| made) {
                Ok(round) => return Ok(round),
                Err(error) => why = error,
            }
        }
        Err(SwapFailed::Withdrawal(why))
    }

    /// The channels out of which a swap's coins may be paid: the one in which that is under way; else those with the other party before those with others.
    async fn channels_for(&self, id: &SwapId, party: PublicKey) -> Result<Vec<ChannelHandle>, SwapFailed> {
        let peers = &self.inner.peers;
        if let Some(Withdrawal { peer, reference, .. }) = peers.withdrawals.get(id)
            && let Some(inbox) = peers.inbox(&peer)
        {
            return Ok(vec![self.handle(peer, reference, inbox)]);
        }
        let others = self.peers().into_iter().filter(|peer| *peer != party);
        let mut all = Vec::new();
        for peer in std::iter::once(party).chain(others) {
            all.extend(self.channels(peer).await.map_err(SwapFailed::Withdrawal)?);
        }
        Ok(all)
    }

    /// Forgets what was withdrawn for a swap.
    pub(super) async fn forget_withdrawal(&self, id: &SwapId) {
        let peers = &self.inner.peers;
        let is_made = peers.withdrawals.get(id).is_some_and(|one| one.round.is_some());
        if is_made
            && let Some((key, _)) = peers.withdrawals.forget(id)
            && let Some(store) = self.inner.config.store()
            && let Err(error) = store.commit(Batch::new().delete(Table::Meta, key)).await
        {
            tracing::error!(%error, "what was withdrawn for a swap is not forgotten");
        }
    }
}
