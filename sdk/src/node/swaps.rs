//! Swaps as a program makes and takes them: coins of this node's chain for coins of another chain whose node is in the same [`RouterGroup`](super::RouterGroup).

use super::{ChannelHandle, Node, NodeError, OpenChannel, payments::RouterStopped, random::random};
use network::{Router, RouterOutput, SwapCalls, SwapError, SwapId, SwapOrder, SwapQuote, SwapStage, SwapState};
use protocol::{AccountId, Amount, PublicKey, signing::Domain};
use thiserror::Error;

/// Why a swap is not begun, or something is not done with it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SwapFailed {
    /// The router's reason; nothing was begun.
    #[error(transparent)]
    Swap(#[from] SwapError),
    /// The system gives no randomness.
    #[error("the operating system gives no randomness: nothing was begun")]
    NoRandomness,
    /// The swap has brought this side nothing.
    #[error("the swap has brought nothing: there is nothing to be withdrawn")]
    NotMoved,
    /// What the swap has brought is on another chain.
    #[error("what the swap has brought is on another chain: ask that chain's node")]
    OtherChain,
    /// It is paid, or being paid, to another account: once for each swap.
    #[error("what the swap has brought goes to the account {account}, as was asked for before")]
    OtherAccount {
        /// The account that was named first.
        account: AccountId,
    },
    /// No channel pays it out.
    #[error("the swapped coins are not withdrawn: {0}")]
    Withdrawal(#[source] NodeError),
    /// The node stops, or its store takes nothing more.
    #[error("the node has stopped, or keeps nothing more: what has become of the swap is known after the next start")]
    Stopped,
}

impl From<RouterStopped> for SwapFailed {
    fn from(_stopped: RouterStopped) -> Self {
        Self::Stopped
    }
}

/// A swap to be proposed: this node pays on its own chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewSwap {
    /// Who pays on the other chain.
    pub responder: PublicKey,
    /// What this node pays, in its chain's smallest unit.
    pub pay: Amount,
    /// The other chain.
    pub target: Domain,
    /// What this node gets there.
    pub get: Amount,
    /// What the responder gets of this side's coins on the other chain, where it has locked its leg and this side does not claim it.
    pub premium: Amount,
}

impl NewSwap {
    /// A swap as a quote has it: the most that the responder pays for this amount, and the premium that it asks for. None where the quote does not fit the amount.
    #[must_use]
    pub fn quoted(responder: PublicKey, quote: &SwapQuote, pay: Amount) -> Option<Self> {
        let get = quote.pays(pay)?;
        let fits = (quote.amounts.0..=quote.amounts.1).contains(&pay);
        let premium = quote.premium_of(get).filter(|_| fits)?;
        Some(Self { responder, pay, target: quote.target, get, premium })
    }
}

impl Node {
    /// Proposes a swap, once by this id: asked again, also after a crash, it says how far the swap is. It returns when the proposal is durable; the two nodes of
    /// this process, on this chain and on the target's, do the rest, and [`Node::swap_ended`] waits for the end. The responder has to be connected with this node.
    /// Where the target's node has stopped, nothing is begun ([`SwapError::NoChain`]).
    ///
    /// # Errors
    /// [`SwapFailed`]; nothing is begun then, but for [`SwapFailed::Stopped`].
    pub async fn propose_swap(&self, id: SwapId, swap: NewSwap) -> Result<SwapStage, SwapFailed> {
        self.propose_swap_with_calls(id, swap, SwapCalls::NONE).await
    }

    /// As [`propose_swap`](Self::propose_swap), with calls of apps under the lock of a leg (R8.3g): what they change in the apps moves with the leg's coins, or not at
    /// all. The responder's user is asked ([`Node::swap_calls`]), whatever it quotes; and each leg with calls needs the one channel that the two have there.
    ///
    /// # Errors
    /// As of [`propose_swap`](Self::propose_swap); [`SwapCode::Calls`](network::SwapCode::Calls) where a leg cannot carry them.
    pub async fn propose_swap_with_calls(
        &self,
        id: SwapId,
        swap: NewSwap,
        calls: SwapCalls,
    ) -> Result<SwapStage, SwapFailed> {
        let (order, seed) = (self.order(&swap), seed()?);
        let is_gone = self.inner.peers.routing.group().has_stopped(&swap.target);
        self.with_router(move |router| {
            if is_gone && router.swap(&id).is_none() {
                return Err(SwapError::NoChain.into());
            }
            Ok::<_, SwapFailed>(router.propose_swap_with_calls(id, order, &calls, &seed)?)
        })
        .await
    }

    /// Proposes many swaps in few messages: how far each is, or why it is not begun.
    ///
    /// # Errors
    /// [`SwapFailed::NoRandomness`], [`SwapFailed::Stopped`].
    pub async fn propose_swaps(
        &self,
        swaps: &[(SwapId, NewSwap)],
    ) -> Result<Vec<Result<SwapStage, SwapError>>, SwapFailed> {
        let orders = swaps.iter().map(|(id, swap)| Ok((*id, self.order(swap), seed()?)));
        let orders: Vec<_> = orders.collect::<Result<_, SwapFailed>>()?;
        let stops = self.inner.peers.routing.group().stops();
        self.with_router(move |router| {
            let stopped = stops.borrow();
            let is_refused = |(id, order, _): &(SwapId, SwapOrder, _)| {
                stopped.contains(&order.target.0) && router.swap(id).is_none()
            };
            let refused: Vec<bool> = orders.iter().map(is_refused).collect();
            let taken = orders.iter().zip(&refused).filter(|(_, is_refused)| !**is_refused);
            let (said, outputs) = router.propose_swaps(&taken.map(|(order, _)| *order).collect::<Vec<_>>());
            let mut said = said.into_iter();
            let none = Err(SwapError::NoChain);
            let all = refused.into_iter().map(|is_refused| if is_refused { none } else { said.next().unwrap_or(none) });
            Ok::<_, SwapFailed>((all.collect(), outputs))
        })
        .await
    }

    fn order(&self, swap: &NewSwap) -> SwapOrder {
        let NewSwap { responder, pay, target, get, premium } = *swap;
        SwapOrder { responder, source: (self.inner.peers.routing.chain(), pay), target: (target, get), premium }
    }

    /// Agrees to a swap that a peer proposed. On the node of the source chain it is durable when this returns. Both chains' nodes have to run.
    ///
    /// # Errors
    /// [`SwapFailed`].
    pub async fn accept_swap(&self, id: SwapId) -> Result<(), SwapFailed> {
        self.swap_act(id, true, move |router| router.accept_swap(id)).await
    }

    /// Declines a swap that a peer proposed. The source chain's node has to run, as for [`cancel_swap`](Self::cancel_swap) and [`forget_swap`](Self::forget_swap).
    ///
    /// # Errors
    /// [`SwapFailed`].
    pub async fn decline_swap(&self, id: SwapId) -> Result<(), SwapFailed> {
        self.swap_act(id, false, move |router| router.decline_swap(id)).await
    }

    /// Wants a swap over: what is locked goes back, unless the pre-image has been shown. The responder's word is a wish from when its own leg is locked. Where the
    /// target chain's node has stopped, what is to be done there is done once it has been started again.
    ///
    /// # Errors
    /// [`SwapFailed`].
    pub async fn cancel_swap(&self, id: SwapId) -> Result<(), SwapFailed> {
        self.swap_act(id, false, move |router| router.cancel_swap(id)).await
    }

    /// Forgets a swap that is over: its row is kept until then, and on this node what was withdrawn for it.
    ///
    /// # Errors
    /// [`SwapFailed`].
    pub async fn forget_swap(&self, id: SwapId) -> Result<(), SwapFailed> {
        if self.inner.peers.withdrawals.get(&id).is_some_and(|one| one.round.is_none()) {
            // What becomes of it is told by the swap's id.
            return Err(SwapError::UnderWay.into());
        }
        self.swap_act(id, false, move |router| router.forget_swap(id)).await?;
        self.forget_withdrawal(&id).await;
        Ok(())
    }

    /// Does something with a swap, where the nodes run that have to keep it: the source chain's, and perhaps the target chain's.
    async fn swap_act(
        &self,
        id: SwapId,
        needs_target: bool,
        act: impl FnOnce(&mut Router) -> Result<Vec<RouterOutput>, SwapError> + Send + 'static,
    ) -> Result<(), SwapFailed> {
        let stops = self.inner.peers.routing.group().stops();
        self.with_router(move |router| {
            if let Some(SwapState { terms, .. }) = router.swap(&id) {
                let stopped = stops.borrow();
                if stopped.contains(&terms.source.chain) || (needs_target && stopped.contains(&terms.target.chain)) {
                    return Err(SwapError::NoChain.into());
                }
            }
            Ok::<_, SwapFailed>(((), act(router)?))
        })
        .await
    }

    /// How far a swap is; none where there is none.
    #[must_use]
    pub fn swap(&self, id: &SwapId) -> Option<SwapState> {
        self.inner.peers.routing.ask(|router| router.swap(id))
    }

    /// The calls of apps that go with the legs of a swap; none where there is no such swap.
    #[must_use]
    pub fn swap_calls(&self, id: &SwapId) -> Option<SwapCalls> {
        self.inner.peers.routing.ask(|router| router.swap_calls(id).cloned())
    }

    /// All swaps that are kept, of all chains of the group.
    #[must_use]
    pub fn swaps(&self) -> Vec<(SwapId, SwapState)> {
        self.inner.peers.routing.ask(|router| router.swaps().collect())
    }

    /// Waits until nothing of a swap is open any more, as long as the nodes of both chains run. It waits for a node that has not started yet.
    ///
    /// # Errors
    /// [`SwapError::Unknown`] where there is none, or its source chain's node has not started; [`SwapFailed::Stopped`] where this node has stopped;
    /// [`SwapError::NoChain`] where the other chain's has. The swap goes on once all of them have been started again.
    pub async fn swap_ended(&self, id: &SwapId) -> Result<SwapState, SwapFailed> {
        let routing = &self.inner.peers.routing;
        let (mut notices, mut stops) = (self.routing_notices(), routing.group().stops());
        loop {
            let state = self.swap(id).ok_or(SwapError::Unknown)?;
            if matches!(state.stage, SwapStage::Ended { .. }) {
                return Ok(state);
            }
            {
                let stopped = stops.borrow_and_update();
                if stopped.contains(&routing.chain()) {
                    return Err(SwapFailed::Stopped);
                }
                if [state.terms.source.chain, state.terms.target.chain].iter().any(|chain| stopped.contains(chain)) {
                    return Err(SwapError::NoChain.into());
                }
            }
            // Whatever it is: how far the swap is says the router.
            tokio::select! {
                _notice = notices.next() => {}
                _stopped = stops.changed() => {}
            }
        }
    }

    /// Asks a connected peer what it swaps for coins of this node's chain: [`Node::swap_quotes`] says it once the peer has answered.
    ///
    /// # Errors
    /// [`SwapFailed::Stopped`].
    pub async fn ask_swap_quotes(&self, peer: PublicKey) -> Result<(), SwapFailed> {
        let chain = self.inner.peers.routing.chain();
        self.with_router(move |router| Ok::<_, SwapFailed>(((), router.ask_quotes(chain, peer)))).await
    }

    /// What a peer has said that it swaps for coins of this node's chain; none where it was not asked, or has not answered.
    #[must_use]
    pub fn swap_quotes(&self, peer: PublicKey) -> Option<Vec<SwapQuote>> {
        let chain = self.inner.peers.routing.chain();
        self.inner.peers.routing.ask(|router| router.quotes(chain, peer).map(<[SwapQuote]>::to_vec))
    }
}

/// Why two channels were not opened together.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenBothError {
    /// The first one was not opened; nothing else was tried.
    #[error("the channel on the first chain was not opened: {0}")]
    First(#[source] NodeError),
    /// The second one was not opened, and the first one is closed again.
    #[error("the channel on the second chain was not opened, and that on the first is closed again: {0}")]
    Second(#[source] NodeError),
    /// The second one was not opened, and the first one is still open: close it.
    #[error(
        "the channel on the second chain was not opened ({cause}), and that on the first could not be closed again: {close}"
    )]
    StillOpen {
        /// Why the second one was not opened.
        cause: NodeError,
        /// Why the first one could not be closed.
        #[source]
        close: NodeError,
        /// The first one.
        first: Box<ChannelHandle>,
    },
}

/// Opens a channel with a peer on each of two chains, as one act: where the second one is not opened, the first one is closed in agreement.
///
/// # Errors
/// [`OpenBothError`].
pub async fn open_on_both(
    (first, its): (&Node, OpenChannel),
    (second, others): (&Node, OpenChannel),
    peer: PublicKey,
) -> Result<[ChannelHandle; 2], OpenBothError> {
    let opened = first.open_channel(peer, its).await.map_err(OpenBothError::First)?;
    let cause = match second.open_channel(peer, others).await {
        Ok(other) => return Ok([opened, other]),
        Err(cause) => cause,
    };
    match opened.close(0).await {
        Ok(_closed) => Err(OpenBothError::Second(cause)),
        Err(close) => Err(OpenBothError::StillOpen { cause, close, first: Box::new(opened) }),
    }
}

fn seed() -> Result<[u8; 32], SwapFailed> {
    random().map_err(|_none| SwapFailed::NoRandomness)
}
