//! Coins that a swap has brought, paid out to an account that need not be this node's own: once for each swap, whatever crashes (R8.5g).

use super::{
    ChannelHandle, Node, NodeError, SwapFailed,
    inbox::Request,
    withdrawals::{Withdrawal, key},
};
use crate::store::{Batch, Table};
use network::{SwapError, SwapId, SwapRole, SwapStage};
use protocol::{AccountId, PublicKey, Round, contracts::conditional::HashLock};

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
        let known = self.swap(id).map(|state| state.terms.lock);
        if let Some(round) = self.paid_out(id, known, to)? {
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
            let swap = (*id, state.terms.lock);
            match channel.ask(|reply| Request::WithdrawOnce(swap, (leg.amount, to), reply)).await.and_then(|made| made)
            {
                Ok(round) => return Ok(round),
                Err(error) => why = error,
            }
            // Whoever else has asked meanwhile may have had it paid, or named another account.
            if let Some(round) = self.paid_out(id, Some(state.terms.lock), to)? {
                return Ok(round);
            }
        }
        Err(SwapFailed::Withdrawal(why))
    }

    /// The round after what was paid out for a swap with this lock; none where nothing is yet.
    fn paid_out(&self, id: &SwapId, lock: Option<HashLock>, to: AccountId) -> Result<Option<Round>, SwapFailed> {
        match self.inner.peers.withdrawals.get(id).filter(|one| lock.is_none_or(|lock| lock == one.lock)) {
            Some(one) if one.to != to => Err(SwapFailed::OtherAccount { account: one.to }),
            one => Ok(one.and_then(|one| one.round)),
        }
    }

    /// The channels out of which a swap's coins may be paid: the one in which that is under way; else those with the other party before those with others.
    async fn channels_for(&self, id: &SwapId, party: PublicKey) -> Result<Vec<ChannelHandle>, SwapFailed> {
        let peers = &self.inner.peers;
        if let Some(Withdrawal { peer, reference, round: None, .. }) = peers.withdrawals.get(id)
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
        let Some(made) = peers.withdrawals.get(id).filter(|one| one.round.is_some()) else { return };
        if let Some(store) = self.inner.config.store()
            && let Err(error) = store.commit(Batch::new().delete(Table::Meta, key(id))).await
        {
            tracing::error!(%error, "what was withdrawn for a swap is not forgotten");
        } else if peers.withdrawals.get(id) == Some(made) {
            peers.withdrawals.note(*id, None);
        }
    }
}
