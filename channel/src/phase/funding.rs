//! What both have signed for on chain, and what is locked by it.
//!
//! Invariants: the id and the terms are those that both signed, but for the delegates, which operations change (R5.7); the total is what the
//! arbiter holds for the channel, as far as it was announced.

use crate::state::State;
use protocol::{
    Amount, ChannelId, Pair,
    signing::CreateBody,
    terms::{Delegate, Terms},
};
use scale::{Decode, Encode};

/// A channel that both signed for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Funding {
    /// Its id on chain.
    channel: ChannelId,
    terms: Terms,
    /// What is locked in it.
    total: Amount,
    /// The state of round 1.
    first: State,
}

impl Funding {
    /// Of an opening with this body, which was checked.
    pub(crate) fn new(channel: ChannelId, body: &CreateBody) -> Self {
        // The body was checked: the sum exists.
        let total = body.balances.sum().unwrap_or(Amount::MAX);
        Self { channel, terms: body.terms.clone(), total, first: State::of(body.balances) }
    }

    /// The channel's id on chain.
    pub(crate) const fn channel(&self) -> ChannelId {
        self.channel
    }

    /// What both signed; the delegates are those of today.
    pub(crate) const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// What is locked in the channel.
    pub(crate) const fn total(&self) -> Amount {
        self.total
    }

    /// The state of round 1.
    pub(crate) const fn first(&self) -> &State {
        &self.first
    }

    /// From now on so much is locked. Returns what it was before.
    pub(crate) const fn set_total(&mut self, total: Amount) -> Amount {
        std::mem::replace(&mut self.total, total)
    }

    /// Both parties have these delegates from now on.
    pub(crate) fn set_delegates(&mut self, delegates: Pair<&[Delegate]>) {
        for (party, theirs) in delegates.iter() {
            self.terms.parties[party].delegates = theirs.to_vec();
        }
    }
}
