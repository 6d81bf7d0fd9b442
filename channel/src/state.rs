//! The state that the parties agree on, and the changes a round makes to it (R4.1, R4.5).

use crate::error::Violation;
use protocol::{Amount, Hash, Pair, Party, StateCommitment, crypto::Native};
use scale::{Decode, Encode};

/// The longest reference a payment may carry, in bytes.
pub const MAX_REFERENCE: usize = 64;

/// Names a payment among those its own side made in this channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct PaymentId(pub u64);

/// A payment from one party to the other.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Payment {
    /// How many coins; more than none.
    pub amount: Amount,
    /// The application's own words, at most [`MAX_REFERENCE`] bytes.
    pub reference: Vec<u8>,
}

/// One change of the state (R4.5). The proposer of a round makes all of that round's changes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Change {
    /// The proposer pays its peer.
    #[codec(index = 0)]
    Transfer(Payment),
}

/// What both parties own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct State {
    /// What each party owns.
    pub balances: Pair<Amount>,
}

impl State {
    /// What the state's hash commits to (R4.1).
    #[must_use]
    pub const fn commitment(&self) -> StateCommitment {
        StateCommitment::of_balances(self.balances)
    }

    /// What the parties sign (R4.1).
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.commitment().hash(&Native)
    }

    /// The state after `changes` by `proposer`, in order. The sum never changes (R4.4).
    ///
    /// # Errors
    /// [`Violation::PaymentOfNothing`], [`Violation::ReferenceTooLong`], [`Violation::BelowReserve`].
    pub(crate) fn after<'a>(
        &self,
        proposer: Party,
        changes: impl IntoIterator<Item = &'a Change>,
        reserve: Amount,
    ) -> Result<Self, Violation> {
        let mut balances = self.balances;
        for Change::Transfer(payment) in changes {
            payment.check()?;
            let have = balances[proposer];
            let left = have.checked_sub(payment.amount).filter(|&left| left >= reserve);
            let (Some(left), Some(received)) = (left, balances[proposer.peer()].checked_add(payment.amount)) else {
                return Err(Violation::BelowReserve { have, amount: payment.amount, reserve });
            };
            balances[proposer] = left;
            balances[proposer.peer()] = received;
        }
        Ok(Self { balances })
    }
}

impl Payment {
    /// Checks what does not depend on any state.
    pub(crate) const fn check(&self) -> Result<(), Violation> {
        if self.amount == 0 {
            return Err(Violation::PaymentOfNothing);
        }
        if self.reference.len() > MAX_REFERENCE {
            return Err(Violation::ReferenceTooLong { got: self.reference.len() });
        }
        Ok(())
    }
}
