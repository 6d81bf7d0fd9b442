//! What parties sign, byte for byte (R3.5), and proof by type that both did.
//!
//! ```text
//! signed bytes = tag[16] | version u16 | genesis[32] | arbiter[32] | channel id[32] | kind u8 | SCALE(body)
//! ```

pub use crate::domain::{Domain, TAG, VERSION};

use crate::{
    AccountId, Amount, Base, BlockNumber, ChannelId, Hash, Pair, Party, PublicKey, Rejection, Round, Signature,
    crypto::Crypto,
    terms::{Delegate, Limits, Terms},
};
use alloc::vec::Vec;
use scale::{Decode, Encode, MaxEncodedLen};

/// The kinds of things that are signed; no two share bytes (R3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub enum Kind {
    /// [`CreateBody`].
    #[codec(index = 0)]
    Create,
    /// [`StateBody`].
    #[codec(index = 1)]
    State,
    /// [`DepositBody`].
    #[codec(index = 2)]
    Deposit,
    /// [`WithdrawBody`].
    #[codec(index = 3)]
    Withdraw,
    /// [`CloseMutualBody`].
    #[codec(index = 4)]
    CloseMutual,
    /// [`SetDelegatesBody`].
    #[codec(index = 5)]
    SetDelegates,
}

/// A body that parties co-sign.
pub trait Signed: Encode {
    /// What makes its bytes unlike every other body's.
    const KIND: Kind;
}

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident = $kind:ident { $($(#[$fdoc:meta])* $field:ident: $ty:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
        #[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty),* }
        impl Signed for $name { const KIND: Kind = Kind::$kind; }
    )*};
}

bodies! {
    /// Opens a channel (R5.4a). Both shares are taken from the parties' vaults.
    CreateBody = Create {
        /// What never changes.
        terms: Terms,
        /// The agreed first balances; their sum becomes the total.
        balances: Pair<Amount>,
        /// What each party puts in; their sum equals the sum of `balances`.
        shares: Pair<Amount>,
        /// The last block in which this counts (R5.3).
        valid_until: BlockNumber,
    }
    /// A round of the channel (R4.6).
    StateBody = State {
        /// Its number.
        round: Round,
        /// What it goes on from (R3.5a).
        base: Base,
        /// The hash of its [`StateCommitment`](crate::StateCommitment).
        state_hash: Hash,
        /// The last block in which it may be shown to the arbiter; none as a rule (R3.5a).
        valid_until: Option<BlockNumber>,
    }
    /// Adds coins of one party (R5.5).
    DepositBody = Deposit {
        /// Who pays.
        party: Party,
        /// How much.
        amount: Amount,
        /// The round after it.
        round: Round,
        /// What that round goes on from (R3.5a).
        base: Base,
        /// The state after it.
        state_hash: Hash,
        /// The last block in which this counts (R5.3).
        valid_until: BlockNumber,
    }
    /// Takes coins out for one party (R5.5).
    WithdrawBody = Withdraw {
        /// Whose coins.
        party: Party,
        /// How much.
        amount: Amount,
        /// The account that is paid. For the party's own account its payout destination counts.
        to: AccountId,
        /// The round after it.
        round: Round,
        /// What that round goes on from (R3.5a).
        base: Base,
        /// The state after it.
        state_hash: Hash,
        /// The last block in which this counts (R5.3).
        valid_until: BlockNumber,
    }
    /// Ends a channel in agreement (R5.12).
    CloseMutualBody = CloseMutual {
        /// What each party is paid.
        balances: Pair<Amount>,
        /// What whoever submits it is paid, out of the channel.
        fee: Amount,
        /// The last block in which this counts (R5.3).
        valid_until: BlockNumber,
    }
    /// Replaces both parties' delegates (R5.7).
    SetDelegatesBody = SetDelegates {
        /// The new lists.
        delegates: Pair<Vec<Delegate>>,
        /// The round after it.
        round: Round,
        /// What that round goes on from (R3.5a).
        base: Base,
        /// The state after it.
        state_hash: Hash,
        /// The last block in which this counts (R5.3).
        valid_until: BlockNumber,
    }
}

impl CreateBody {
    /// Checks terms and amounts, and gives the channel's total (R4.4, R5.4a, R5.13).
    ///
    /// # Errors
    /// Those of [`Terms::check`]; [`Rejection::BalanceBelowReserve`], [`Rejection::AmountOverflow`], [`Rejection::SumMismatch`].
    pub fn check(&self, limits: &Limits) -> Result<Amount, Rejection> {
        self.terms.check(limits)?;
        let reserve = self.terms.reserve;
        for (party, &balance) in self.balances.iter() {
            if balance < reserve {
                return Err(Rejection::BalanceBelowReserve { party, balance, reserve });
            }
        }
        let total = self.balances.sum().ok_or(Rejection::AmountOverflow)?;
        if self.shares.sum() == Some(total) {
            Ok(total)
        } else {
            Err(Rejection::SumMismatch { got: self.shares.sum(), want: total })
        }
    }
}

/// The exact bytes a party signs (R3.5).
pub fn signed_bytes<T: Signed>(domain: &Domain, channel: &ChannelId, body: &T) -> Vec<u8> {
    let mut bytes = before_body(domain, channel, T::KIND);
    body.encode_to(&mut bytes);
    bytes
}

/// Apart from the body, so that the arbiter has it once and not once for each kind.
#[inline(never)]
fn before_body(domain: &Domain, channel: &ChannelId, kind: Kind) -> Vec<u8> {
    (domain.tag(), channel, kind).encode()
}

/// A body that both parties signed, for this domain and channel. There is no way to make one but to check it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoSigned<T> {
    body: T,
    signatures: Pair<Signature>,
}

impl<T: Signed> CoSigned<T> {
    /// Checks both signatures.
    ///
    /// # Errors
    /// [`Rejection::SignatureInvalid`], naming the party whose signature fails.
    pub fn check(
        domain: &Domain,
        channel: &ChannelId,
        keys: &Pair<PublicKey>,
        body: T,
        signatures: Pair<Signature>,
        crypto: &impl Crypto,
    ) -> Result<Self, Rejection> {
        let message = signed_bytes(domain, channel, &body);
        crypto.verify_both(keys, &message, &signatures).map_err(|party| Rejection::SignatureInvalid { party })?;
        Ok(Self { body, signatures })
    }

    /// What was signed.
    pub const fn body(&self) -> &T {
        &self.body
    }

    /// What was signed, without the proof.
    pub fn into_body(self) -> T {
        self.body
    }

    /// Both signatures.
    pub const fn signatures(&self) -> &Pair<Signature> {
        &self.signatures
    }
}
