//! What a round may change (R4.5), and why a change cannot be made.

use super::{AppCall, FailReason, MAX_INSTRUCTION, MAX_LOCKED_CALLS, MAX_LOCKED_WORDS, MAX_REASON, Offer};
use protocol::{
    Amount, Hash, Pair, Party,
    contracts::{CallFault, Code, ContractId, MAX_STATE, conditional::Preimage},
};
use scale::{Decode, Encode};
use thiserror::Error;

/// The longest reference a payment may carry, in bytes.
pub const MAX_REFERENCE: usize = 64;
/// The longest note, in bytes.
pub const MAX_META: usize = 1_024;

/// Names a change among those its own side made in this channel, payments first of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ChangeId(pub u64);

/// A payment from one party to the other.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Payment {
    /// How many coins; more than none.
    pub amount: Amount,
    /// The application's own words, at most [`MAX_REFERENCE`] bytes.
    pub reference: Vec<u8>,
}

/// A contract to begin.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Creation {
    /// What executes it.
    pub code: Code,
    /// What each party puts in. Where the proposer's peer puts something in, its user is asked.
    pub coins: Pair<Amount>,
    /// What its `init` is told; of a builtin, its first state.
    pub input: Vec<u8>,
}

/// One change of the state (R4.5). The proposer of a round makes all of that round's changes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Change {
    /// The proposer pays its peer.
    #[codec(index = 0)]
    Transfer(Payment),
    /// A contract begins.
    #[codec(index = 1)]
    CreateContract(Creation),
    /// The proposer calls a contract.
    #[codec(index = 2)]
    CallContract {
        /// The contract's id.
        contract: ContractId,
        /// The coins attached, out of the proposer's balance.
        value: Amount,
        /// What the call says.
        input: Vec<u8>,
    },
    /// A contract ends, and what it holds is shared out: the other side's user is asked, unless it holds nothing and its code is
    /// known to be worth nothing then.
    #[codec(index = 3)]
    RemoveContract {
        /// The contract's id.
        contract: ContractId,
        /// Who gets what; together what it holds.
        shares: Pair<Amount>,
    },
    /// A contract goes on with other code: the other side's user is asked.
    #[codec(index = 4)]
    UpgradeContract {
        /// The contract's id.
        contract: ContractId,
        /// The new code.
        code: Code,
        /// The state it goes on from, where the new code reads another than the old one left; at most
        /// [`MAX_STATE`] bytes.
        state: Option<Vec<u8>>,
    },
    /// The application's own words, at most [`MAX_META`] bytes, with no effect.
    #[codec(index = 5)]
    Meta(Vec<u8>),
    /// The proposer offers its peer a conditional transfer (R8.3): a contract begins that the arbiter executes itself.
    #[codec(index = 6)]
    Offer(Offer),
    /// The payee of a conditional transfer gives it back.
    #[codec(index = 7)]
    Fail {
        /// Which.
        contract: ContractId,
        /// Why.
        reason: FailReason,
        /// The calls of apps that are made with it (R8.3g).
        calls: Vec<AppCall>,
    },
    /// The payee of a conditional transfer shows the pre-image, and has the coins.
    #[codec(index = 8)]
    Claim {
        /// Which.
        contract: ContractId,
        /// What unlocks it.
        preimage: Preimage,
        /// The calls of apps that are made with it (R8.3g).
        calls: Vec<AppCall>,
    },
    /// The payer of a conditional transfer that has expired has the coins back.
    #[codec(index = 9)]
    Refund {
        /// Which.
        contract: ContractId,
        /// The calls of apps that are made with it (R8.3g).
        calls: Vec<AppCall>,
    },
    /// The proposer offers its peer a conditional transfer, and pays the peer for its place without condition: whatever comes of the transfer, the fee has
    /// moved. One change, so that neither is ever made without the other.
    #[codec(index = 10)]
    PaidOffer {
        /// What the place costs, above zero.
        fee: Amount,
        /// What is offered.
        offer: Offer,
    },
}

/// Why a change cannot be made on a state. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Error)]
#[allow(missing_docs, reason = "the message of each variant is its documentation")]
pub enum ChangeFault {
    #[codec(index = 0)]
    #[error("a payment of zero")]
    PaymentOfNothing,
    #[codec(index = 1)]
    #[error("a reference of {got} bytes, at most {MAX_REFERENCE} are allowed")]
    ReferenceTooLong { got: u32 },
    #[codec(index = 2)]
    #[error("taking {amount} out of the {have} of the {party:?} would leave less than the reserve of {reserve}")]
    BelowReserve { party: Party, have: Amount, amount: Amount, reserve: Amount },
    #[codec(index = 3)]
    #[error("there is no contract {0}")]
    ContractUnknown(ContractId),
    #[codec(index = 4)]
    #[error("the contract: {0}")]
    Call(#[from] CallFault),
    #[codec(index = 5)]
    #[error("the app {0} is not here: give its Wasm to the node")]
    CodeUnknown(Hash),
    #[codec(index = 6)]
    #[error("contracts that the arbiter executes itself are not made here")]
    BuiltinNotAccepted,
    #[codec(index = 7)]
    #[error("there are {max} contracts already: remove one first")]
    TooManyContracts { max: u32 },
    #[codec(index = 8)]
    #[error("the contract's id stands {depth} deep among the others: it was made to be costly to prove")]
    TooDeep { depth: u32 },
    #[codec(index = 9)]
    #[error("the shares come to {got:?}, the contract holds {holds}")]
    SharesDiffer { got: Option<Amount>, holds: Amount },
    #[codec(index = 10)]
    #[error("more than one round can take")]
    RoundFull,
    #[codec(index = 11)]
    #[error("a note of {got} bytes, at most {MAX_META} are allowed")]
    MetaTooLong { got: u32 },
    #[codec(index = 12)]
    #[error("a state of {got} bytes, at most {MAX_STATE} are allowed")]
    StateTooLong { got: u32 },
    #[codec(index = 13)]
    #[error("the contract has this code already")]
    CodeSame,
    #[codec(index = 14)]
    #[error("the amounts exceed the number range")]
    Overflow,
    #[codec(index = 15)]
    #[error("the contracts of this channel are not known here: this side's store is old")]
    ContractsLost,
    #[codec(index = 16)]
    #[error("an instruction of {got} bytes, at most {MAX_INSTRUCTION} are allowed")]
    InstructionTooLong { got: u32 },
    #[codec(index = 17)]
    #[error("a reason of {got} bytes, at most {MAX_REASON} are allowed")]
    ReasonTooLong { got: u32 },
    #[codec(index = 18)]
    #[error("the contract {0} is no conditional transfer")]
    NotATransfer(ContractId),
    #[codec(index = 19)]
    #[error(
        "a conditional transfer is claimed and failed by its payee, and refunded by its payer: the contract {0} is not the proposer's to end in this way"
    )]
    NotTheirs(ContractId),
    #[codec(index = 20)]
    #[error(
        "the calls that go with a conditional transfer are more than {MAX_LOCKED_CALLS} of a kind, or have more than {MAX_LOCKED_WORDS} bytes of words"
    )]
    TooManyCalls,
    #[codec(index = 21)]
    #[error("an offer with calls of apps has no premium")]
    PremiumBesideCalls,
    #[codec(index = 22)]
    #[error("a call that goes with an offer may not depend on what the registry of pre-images has")]
    RequiresInOffer,
    #[codec(index = 23)]
    #[error("calls that lock something in an app go with an offer, and none that returns it")]
    LockedForGood,
}

impl Payment {
    /// Checks what does not depend on any state.
    pub(crate) fn check(&self) -> Result<(), ChangeFault> {
        if self.amount == 0 {
            return Err(ChangeFault::PaymentOfNothing);
        }
        if self.reference.len() > MAX_REFERENCE {
            return Err(ChangeFault::ReferenceTooLong { got: length(&self.reference) });
        }
        Ok(())
    }
}

impl Change {
    /// What it takes out of its proposer's balance.
    pub(crate) fn takes(&self, proposer: Party) -> Amount {
        match self {
            Self::Transfer(payment) => payment.amount,
            Self::CreateContract(creation) => creation.coins[proposer],
            Self::CallContract { value, .. } => *value,
            Self::Offer(offer) => offer.terms.amount,
            Self::PaidOffer { fee, offer } => offer.terms.amount.saturating_add(*fee),
            Self::RemoveContract { .. } | Self::UpgradeContract { .. } | Self::Meta(_) => 0,
            Self::Fail { .. } | Self::Claim { .. } | Self::Refund { .. } => 0,
        }
    }

    /// A payment's reference; nothing of other changes.
    pub(crate) fn reference(&self) -> &[u8] {
        match self {
            Self::Transfer(payment) => &payment.reference,
            _ => &[],
        }
    }

    /// The contracts of apps that it calls.
    pub fn calls(&self) -> impl Iterator<Item = &ContractId> {
        let (own, beside): (_, &[AppCall]) = match self {
            Self::CallContract { contract, .. } => (Some(contract), &[]),
            Self::Offer(offer) | Self::PaidOffer { offer, .. } => (None, &offer.calls.locking),
            Self::Fail { calls, .. } | Self::Claim { calls, .. } | Self::Refund { calls, .. } => (None, calls),
            Self::Transfer(_)
            | Self::CreateContract(_)
            | Self::RemoveContract { .. }
            | Self::UpgradeContract { .. }
            | Self::Meta(_) => (None, &[]),
        };
        own.into_iter().chain(beside.iter().map(|call| &call.contract))
    }

    /// How many calls of apps it takes.
    pub(crate) fn executions(&self) -> usize {
        usize::from(matches!(self, Self::CreateContract(_))).saturating_add(self.calls().count())
    }

    /// Whether an app runs for it.
    pub(crate) fn executes(&self) -> bool {
        self.executions() > 0
    }

    /// The bytes of its own that it carries.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Transfer(_) | Self::RemoveContract { .. } => 0,
            Self::CreateContract(Creation { input, .. }) | Self::CallContract { input, .. } => input.len(),
            Self::UpgradeContract { state, .. } => state.as_ref().map_or(0, Vec::len),
            Self::Meta(words) => words.len(),
            Self::Offer(offer) | Self::PaidOffer { offer, .. } => {
                offer.instruction.len().saturating_add(offer.calls.words())
            }
            Self::Fail { reason, calls, .. } => reason.0.len().saturating_add(inputs(calls)),
            Self::Claim { calls, .. } | Self::Refund { calls, .. } => inputs(calls),
        }
    }

    /// Whether it begins or ends a conditional transfer (R8.3).
    pub(crate) const fn is_of_transfer(&self) -> bool {
        let ends = matches!(self, Self::Fail { .. } | Self::Claim { .. } | Self::Refund { .. });
        ends || self.offered().is_some()
    }

    /// An offer of a conditional transfer.
    pub(crate) fn of_offer(offer: Offer, fee: Amount) -> Self {
        if fee == 0 { Self::Offer(offer) } else { Self::PaidOffer { fee, offer } }
    }

    /// The conditional transfer that it offers, where it offers one, and what is paid for its place.
    pub(crate) const fn offered(&self) -> Option<(&Offer, Amount)> {
        match self {
            Self::Offer(offer) => Some((offer, 0)),
            Self::PaidOffer { fee, offer } => Some((offer, *fee)),
            _ => None,
        }
    }
}

/// The bytes that calls say.
fn inputs(calls: &[AppCall]) -> usize {
    calls.iter().map(|call| call.input.len()).fold(0, usize::saturating_add)
}

/// A length for a message.
pub(crate) fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

impl Offer {
    /// Checks what does not depend on any state.
    pub(crate) fn check(&self) -> Result<(), ChangeFault> {
        if self.terms.amount == 0 {
            return Err(ChangeFault::PaymentOfNothing);
        }
        if self.instruction.len() > MAX_INSTRUCTION {
            return Err(ChangeFault::InstructionTooLong { got: length(&self.instruction) });
        }
        if !self.calls.are_few() {
            return Err(ChangeFault::TooManyCalls);
        }
        if !self.calls.can_return() {
            return Err(ChangeFault::LockedForGood);
        }
        if self.premium > 0 && !self.calls.is_none() {
            return Err(ChangeFault::PremiumBesideCalls);
        }
        Ok(())
    }
}

impl FailReason {
    /// Checks what does not depend on any state.
    pub(crate) fn check(&self) -> Result<(), ChangeFault> {
        if self.0.len() > MAX_REASON {
            return Err(ChangeFault::ReasonTooLong { got: length(&self.0) });
        }
        Ok(())
    }
}
