//! What a node keeps of the transfers of one channel, besides their rows: what the router was told, and the locks that are watched; and what the router has to
//! be told.

use super::registry::Watching;
use channel::{
    Channel,
    transfer::{PledgesLast, TransferId, TransferLimits},
};
use network::RouterInput;
use protocol::Amount;
use std::collections::HashMap;

/// What the router is to be told by a peer's task, in order.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    inputs: Vec<RouterInput>,
    /// The peer's terms. Of all that it tells in one gathering the last ones count: a signature is verified for them while everybody else waits for the router.
    terms: Option<RouterInput>,
}

impl Hearing {
    pub(super) fn push(&mut self, input: RouterInput) {
        match input {
            terms @ RouterInput::Announced { .. } => self.terms = Some(terms),
            other => self.inputs.push(other),
        }
    }

    /// What is told before everything else.
    pub(super) fn put_first(&mut self, mut inputs: Vec<RouterInput>) {
        inputs.append(&mut self.inputs);
        self.inputs = inputs;
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.inputs.is_empty() && self.terms.is_none()
    }

    pub(super) fn take(&mut self) -> Vec<RouterInput> {
        let mut inputs = std::mem::take(&mut self.inputs);
        inputs.extend(self.terms.take());
        inputs
    }
}

/// What a channel's router was told of it last, and the locks of its transfers.
#[derive(Debug, Default)]
pub(super) struct Transit {
    /// The router has heard of the channel: it is to hear of its end too.
    pub(super) is_known: bool,
    pub(super) told: Option<Offerable>,
    pub(super) watching: HashMap<TransferId, Watching>,
}

/// What could be offered in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offerable {
    pub(super) limits: TransferLimits,
    pub(super) amount: Amount,
    pub(super) risked: Amount,
    pub(super) pledges: PledgesLast,
}

impl Offerable {
    pub(super) fn of(channel: &Channel) -> Option<Self> {
        let balances = channel.balances().filter(|_| channel.takes_offers())?;
        let (limits, pledges) = (*channel.peer_limits(), channel.pledges_last()?);
        Some(Self { limits, amount: channel.spendable(), risked: balances.peers, pledges })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::PublicKey;

    #[test]
    fn of_all_terms_that_a_peer_tells_in_one_gathering_the_last_ones_are_looked_at() {
        let mut hearing = Hearing::default();
        let terms = |number| RouterInput::Announced { peer: PublicKey([1; 32]), bytes: vec![number] };
        hearing.push(terms(1));
        hearing.push(RouterInput::Tick(1));
        hearing.push(terms(2));
        hearing.put_first(vec![RouterInput::Tick(0)]);
        let told = hearing.take();
        let bytes = [RouterInput::Tick(0), RouterInput::Tick(1), terms(2)].map(|input| format!("{input:?}"));
        assert_eq!(told.iter().map(|input| format!("{input:?}")).collect::<Vec<_>>(), bytes);
        assert!(hearing.is_empty() && hearing.take().is_empty());
    }
}
