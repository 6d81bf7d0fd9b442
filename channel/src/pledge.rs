//! A pledge: a party's signature under the round in which it stakes coins of its own beside a peer's offer, given before that round is proposed (R6.5d).
//!
//! ```text
//!   offerer (payer)                                        payee, which stakes the premium
//!     | -- pledge_created(round, offer, valid_until) ------> |   nothing is signed
//!     | <- pledge_signed(round, signature) ----------------- |   counts on chain up to `valid_until`: the payee is bound
//!     | -- update(that round, that offer) -----------------> |   counts for good, as any round
//!     | <- update_ack ------------------------------------- |
//! ```
//!
//! A signature under a round does not expire. Did the offerer propose the round first, the payee could keep its own signature back, and decide until the
//! transfer's expiry whether the offer, and its premium with it, counts: an option for nothing (A7). By the pledge the payee is committed before the offerer has
//! signed anything; keeps it back the answer to the round, the offerer shows the pledge to the chain in time. What both sign is the same state with the same
//! number, so that it makes no difference which of the two counts.

use crate::state::Offer;
use protocol::{Base, BlockNumber, Hash, Pair, Round, Signature, call::Payload, signing::StateBody};
use scale::{Decode, Encode};

/// What a payee pledges: that the state after this offer counts, if it is shown to the chain by its last block.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PledgeBody {
    /// The round in which the offer is to be proposed.
    pub round: Round,
    /// What that round goes on from (R3.5a).
    pub base: Base,
    /// The offer, with its premium.
    pub offer: Offer,
    /// The hash of the state after it.
    pub state_hash: Hash,
    /// The last block in which the chain takes that state by the pledge.
    pub valid_until: BlockNumber,
}

impl PledgeBody {
    /// What both sign of it.
    pub(crate) const fn state_body(&self) -> StateBody {
        let Self { round, base, state_hash, valid_until, .. } = *self;
        StateBody { round, base, state_hash, valid_until: Some(valid_until) }
    }

    /// The proof of it.
    pub(crate) const fn payload(&self, signatures: Pair<Signature>) -> Payload {
        let Self { round, base, state_hash, valid_until, .. } = *self;
        Payload { round, base, state_hash, valid_until: Some(valid_until), signatures }
    }
}
