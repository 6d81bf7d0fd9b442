//! What the user wishes at the end of a channel, as long as nothing of it is signed or on chain.
//!
//! Invariant: one wish at a time. A close alone takes the place of a close in agreement.

use protocol::Amount;
use scale::{Decode, Encode, Input, Output};

/// How the user wants the channel to close.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CloseWish {
    /// Not at all.
    #[default]
    None,
    /// In agreement, as soon as everything on its way is answered.
    Mutual {
        /// Out of the own balance, for whoever submits the close.
        fee: Amount,
    },
    /// Alone: nothing may be agreed any more, or the close would be on an old state.
    Solo,
}

impl CloseWish {
    pub(crate) const fn is_none(self) -> bool {
        matches!(self, Self::None)
    }

    pub(crate) const fn is_solo(self) -> bool {
        matches!(self, Self::Solo)
    }

    /// The fee of the close in agreement that is wished for.
    pub(crate) const fn fee(self) -> Option<Amount> {
        match self {
            Self::Mutual { fee } => Some(fee),
            Self::None | Self::Solo => None,
        }
    }

    /// Takes a wish to close in agreement back. Says whether there was one.
    pub(crate) const fn drop_mutual(&mut self) -> bool {
        let is_mutual = matches!(self, Self::Mutual { .. });
        if is_mutual {
            *self = Self::None;
        }
        is_mutual
    }

    /// Takes a wish to close alone back: it is done, or this side has no say any more.
    pub(crate) const fn drop_solo(&mut self) {
        if self.is_solo() {
            *self = Self::None;
        }
    }
}

/// It is stored as two fields were before: the fee of a close in agreement, and whether a close alone is wished for.
impl Encode for CloseWish {
    fn encode_to<W: Output + ?Sized>(&self, out: &mut W) {
        (self.fee(), self.is_solo()).encode_to(out);
    }
}

impl Decode for CloseWish {
    fn decode<I: Input>(input: &mut I) -> Result<Self, scale::Error> {
        Ok(match <(Option<Amount>, bool)>::decode(input)? {
            (_, true) => Self::Solo,
            (Some(fee), false) => Self::Mutual { fee },
            (None, false) => Self::None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::decode_exact;

    #[test]
    fn a_wish_is_stored_as_a_fee_and_a_flag_and_a_close_alone_goes_first() {
        for (wish, stored) in [
            (CloseWish::None, (None, false)),
            (CloseWish::Mutual { fee: 7 }, (Some(7_u128), false)),
            (CloseWish::Solo, (None, true)),
        ] {
            assert_eq!(wish.encode(), stored.encode());
            assert_eq!(decode_exact(&stored.encode()), Ok(wish));
        }
        assert_eq!(decode_exact(&(Some(7_u128), true).encode()), Ok(CloseWish::Solo), "what earlier versions wrote");
    }
}
