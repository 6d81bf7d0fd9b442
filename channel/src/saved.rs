//! The form in which a channel is stored: versioned, decoded whole or refused. Old versions stay readable.

use crate::{
    config::Config,
    machine::{Channel, Link},
    message::ChannelRef,
    phase::Phase,
};
use protocol::{Party, PublicKey, decode_exact, signing::Domain};
use scale::{Decode, Encode};
use thiserror::Error;

/// Why stored bytes are no channel.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SavedError {
    /// Written by a later version of this software.
    #[error("stored channel has version {0}, this software reads up to {VERSION}: use the newer software")]
    Newer(u8),
    /// Damaged.
    #[error("stored channel does not decode: {0}; restore the store from a copy, or close with the peer's help")]
    Damaged(scale::Error),
}

const VERSION: u8 = 1;

/// Version 1.
#[derive(Encode, Decode)]
struct Saved<P> {
    reference: ChannelRef,
    me: Party,
    peer: PublicKey,
    domain: Domain,
    config: Config,
    phase: P,
}

impl Channel {
    /// The bytes to store.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let Self { reference, me, peer, domain, config, phase, .. } = self;
        let saved = Saved { reference: *reference, me: *me, peer: *peer, domain: *domain, config: *config, phase };
        let mut bytes = vec![VERSION];
        saved.encode_to(&mut bytes);
        bytes
    }

    /// The channel that was stored. It is without a link; tell it [`Input::Restarted`](crate::Input::Restarted) first.
    ///
    /// # Errors
    /// [`SavedError`].
    pub fn load(bytes: &[u8]) -> Result<Self, SavedError> {
        let (&version, rest) = bytes.split_first().ok_or_else(|| SavedError::Damaged("no bytes".into()))?;
        if version > VERSION {
            return Err(SavedError::Newer(version));
        }
        let Saved { reference, me, peer, domain, config, phase } =
            decode_exact::<Saved<Phase>>(rest).map_err(SavedError::Damaged)?;
        let (link, waiting, last_rejection) = (Link::Down, None, None);
        Ok(Self { reference, me, peer, domain, config, phase, link, waiting, last_rejection })
    }
}
