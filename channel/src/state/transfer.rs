//! What a change of a round says about a conditional transfer (R8.3).

use protocol::{
    Amount, BlockNumber,
    contracts::{
        ContractId,
        conditional::{HashLock, Preimage},
    },
};
use scale::{Decode, Encode};

/// The longest instruction of an offer, in bytes.
pub const MAX_INSTRUCTION: usize = 1_024;
/// The longest reason of a failure, in bytes.
pub const MAX_REASON: usize = 512;

/// The most calls that may go with the offer of a conditional transfer, with its claim, and with its return: so many each.
pub const MAX_LOCKED_CALLS: usize = 8;
/// The most bytes of words that all calls of one conditional transfer have together.
pub const MAX_LOCKED_WORDS: usize = 4_096;

/// A call of an app that goes with a conditional transfer. No coins are attached: what is paid is in the transfer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AppCall {
    /// The app's contract in the channel.
    pub contract: ContractId,
    /// What the call says.
    pub input: Vec<u8>,
}

/// The calls of apps under the lock of a conditional transfer (R8.3g). Both sides know all of them from the offer; only what is called in a round is in its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct LockedCalls {
    /// Made by the payer in the round of the offer. After the input stand the lock and the expiry of the transfer.
    pub locking: Vec<AppCall>,
    /// Made by the payee in the round of the claim. After the input stands the pre-image.
    pub claiming: Vec<AppCall>,
    /// Made in the round in which the transfer goes back, by whoever ends it: the payee fails it, the payer has it refunded.
    pub returning: Vec<AppCall>,
}

impl LockedCalls {
    /// None.
    pub const NONE: Self = Self { locking: Vec::new(), claiming: Vec::new(), returning: Vec::new() };

    /// Whether there is none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.locking.is_empty() && self.claiming.is_empty() && self.returning.is_empty()
    }

    /// What is called in the round of the offer.
    #[must_use]
    pub fn to_lock(&self, terms: &TransferTerms) -> Vec<AppCall> {
        with_words(&self.locking, &(terms.lock, terms.expiry).encode())
    }

    /// What is called in the round of the claim.
    #[must_use]
    pub fn to_claim(&self, preimage: &Preimage) -> Vec<AppCall> {
        with_words(&self.claiming, &preimage.0)
    }

    fn each(&self) -> [&Vec<AppCall>; 3] {
        [&self.locking, &self.claiming, &self.returning]
    }

    /// How many bytes of words they have.
    pub(crate) fn words(&self) -> usize {
        self.each().into_iter().flatten().map(|call| call.input.len()).fold(0, usize::saturating_add)
    }

    /// Whether what they lock is returned where the transfer fails: whoever gives the coins back else keeps the rest for itself (I4).
    #[must_use]
    pub const fn can_return(&self) -> bool {
        self.locking.is_empty() || !self.returning.is_empty()
    }

    /// Whether they are no more than may go with one transfer.
    #[must_use]
    pub fn are_few(&self) -> bool {
        self.each().into_iter().all(|calls| calls.len() <= MAX_LOCKED_CALLS) && self.words() <= MAX_LOCKED_WORDS
    }
}

fn with_words(calls: &[AppCall], words: &[u8]) -> Vec<AppCall> {
    let told = |call: &AppCall| AppCall { contract: call.contract, input: [&call.input, words].concat() };
    calls.iter().map(told).collect()
}

/// What a conditional transfer says; both sides see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TransferTerms {
    /// What the payee gets, in coins of the payer's; more than none.
    pub amount: Amount,
    /// What unlocks it.
    pub lock: HashLock,
    /// The first block in which showing the pre-image is too late.
    pub expiry: BlockNumber,
}

/// A conditional transfer that a party offers to its peer: the peer is the payee.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Offer {
    /// Its terms.
    pub terms: TransferTerms,
    /// What the *payee* stakes beside it, under the same lock and expiry: back to the payee with the pre-image, the payer's without. Zero where none is.
    pub premium: Amount,
    /// The calls of apps under its lock. Where there are any the offer has no premium.
    pub calls: LockedCalls,
    /// What the payee's router is told, at most [`MAX_INSTRUCTION`] bytes. It is in no hash, and no chain sees it.
    pub instruction: Vec<u8>,
}

/// Why a transfer comes to nothing, in the words of whoever fails it: at most [`MAX_REASON`] bytes, which a router reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct FailReason(pub Vec<u8>);
