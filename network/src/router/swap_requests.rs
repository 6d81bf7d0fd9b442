//! What the user asks for about swaps (R8.5).

use super::{
    Router, RouterOutput,
    swaps::{
        kinds::{SwapError, SwapOrder, SwapStage, SwapState},
        negotiate,
    },
};
use crate::swap::{SwapCalls, SwapId, SwapQuote};
use protocol::{PublicKey, signing::Domain};

impl Router {
    /// Proposes a swap, once by this id: asked again, it says how far the swap is. `seed` is drawn at random, and kept.
    ///
    /// # Errors
    /// [`SwapError`]; nothing is kept then.
    pub fn propose_swap(
        &mut self,
        id: SwapId,
        order: SwapOrder,
        seed: &[u8; 32],
    ) -> Result<(SwapStage, Vec<RouterOutput>), SwapError> {
        self.propose_swap_with_calls(id, order, &SwapCalls::NONE, seed)
    }

    /// As [`propose_swap`](Self::propose_swap), with calls of apps under the lock of a leg (R8.3g): the responder's user is asked.
    ///
    /// # Errors
    /// [`SwapError`]; nothing is kept then.
    pub fn propose_swap_with_calls(
        &mut self,
        id: SwapId,
        order: SwapOrder,
        calls: &SwapCalls,
        seed: &[u8; 32],
    ) -> Result<(SwapStage, Vec<RouterOutput>), SwapError> {
        let stage = negotiate::propose(&mut self.core, id, (order, calls), seed)?;
        Ok((stage, self.core.take_outputs()))
    }

    /// Proposes many swaps: what is said to one responder goes in one message for each [`MAX_SWAP_ITEMS`](crate::MAX_SWAP_ITEMS) of them. How far each is, or
    /// why it is not begun.
    #[must_use]
    pub fn propose_swaps(
        &mut self,
        all: &[(SwapId, SwapOrder, [u8; 32])],
    ) -> (Vec<Result<SwapStage, SwapError>>, Vec<RouterOutput>) {
        let core = &mut self.core;
        let mut propose = |id, order, seed| negotiate::propose(core, id, (order, &SwapCalls::NONE), seed);
        let begun = all.iter().map(|(id, order, seed)| propose(*id, *order, seed)).collect();
        (begun, self.core.take_outputs())
    }

    /// Agrees to a swap that somebody proposed.
    ///
    /// # Errors
    /// [`SwapError::Unknown`], [`SwapError::TooLate`], [`SwapError::Terms`] where there is no time any more.
    pub fn accept_swap(&mut self, id: SwapId) -> Result<Vec<RouterOutput>, SwapError> {
        negotiate::accept(&mut self.core, id)?;
        Ok(self.core.take_outputs())
    }

    /// Declines a swap that somebody proposed.
    ///
    /// # Errors
    /// [`SwapError::Unknown`], [`SwapError::TooLate`].
    pub fn decline_swap(&mut self, id: SwapId) -> Result<Vec<RouterOutput>, SwapError> {
        negotiate::decline(&mut self.core, id)?;
        Ok(self.core.take_outputs())
    }

    /// Wants a swap over: what is locked goes back, unless the pre-image has been shown. The responder's word is a wish from when its own leg is locked.
    ///
    /// # Errors
    /// [`SwapError::Unknown`], [`SwapError::TooLate`].
    pub fn cancel_swap(&mut self, id: SwapId) -> Result<Vec<RouterOutput>, SwapError> {
        negotiate::cancel(&mut self.core, id)?;
        Ok(self.core.take_outputs())
    }

    /// Forgets a swap that is over.
    ///
    /// # Errors
    /// [`SwapError::Unknown`], [`SwapError::UnderWay`].
    pub fn forget_swap(&mut self, id: SwapId) -> Result<Vec<RouterOutput>, SwapError> {
        negotiate::forget(&mut self.core, id)?;
        Ok(self.core.take_outputs())
    }

    /// How far a swap is; none where there is none.
    #[must_use]
    pub fn swap(&self, id: &SwapId) -> Option<SwapState> {
        self.core.swaps.get(id).map(|swap| swap.state())
    }

    /// The calls of apps that go with the legs of a swap; none where there is no such swap.
    #[must_use]
    pub fn swap_calls(&self, id: &SwapId) -> Option<&SwapCalls> {
        self.core.swaps.get(id).map(|swap| &swap.row.calls)
    }

    /// All swaps that are kept.
    pub fn swaps(&self) -> impl Iterator<Item = (SwapId, SwapState)> {
        self.core.swaps.iter().map(|(id, swap)| (*id, swap.state()))
    }

    /// Asks a peer what it swaps for coins of this chain: [`Router::quotes`] says it once the peer has answered.
    #[must_use]
    pub fn ask_quotes(&mut self, chain: Domain, peer: PublicKey) -> Vec<RouterOutput> {
        negotiate::ask_quotes(&mut self.core, chain, peer);
        self.core.take_outputs()
    }

    /// What a peer has said that it swaps for coins of this chain; none where it was not asked, or has not answered.
    #[must_use]
    pub fn quotes(&self, chain: Domain, peer: PublicKey) -> Option<&[SwapQuote]> {
        self.core.swaps.quotes.get(&(chain, peer)).map(Vec::as_slice)
    }
}
