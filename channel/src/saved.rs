//! The form in which a channel is stored: versioned, decoded whole or refused. Old versions stay readable.

mod v1;

use crate::{
    config::Config,
    machine::{Channel, Link},
    message::ChannelRef,
    outbox::Outbox,
    phase::{Phase, opening::GivenUp},
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

const VERSION: u8 = 2;

/// Version 2.
#[derive(Encode, Decode)]
struct Saved<P, O> {
    reference: ChannelRef,
    me: Party,
    peer: PublicKey,
    domain: Domain,
    config: Config,
    phase: P,
    create_given_up: Option<GivenUp>,
    outbox: O,
}

impl Channel {
    /// The bytes to store.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let Self { reference, me, peer, domain, config, phase, create_given_up, outbox, .. } = self;
        let (reference, me, peer, domain, config) = (*reference, *me, *peer, *domain, *config);
        let saved = Saved { reference, me, peer, domain, config, phase, create_given_up: *create_given_up, outbox };
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
        let saved = match version {
            1 => decode_exact::<v1::Saved>(rest).map(Into::into),
            VERSION => decode_exact::<Saved<Phase, Outbox>>(rest),
            0 => Err("there never was a version 0".into()),
            newer => return Err(SavedError::Newer(newer)),
        };
        let Saved { reference, me, peer, domain, config, phase, create_given_up, outbox } =
            saved.map_err(SavedError::Damaged)?;
        let (link, waiting, last_rejection) = (Link::Down, None, None);
        Ok(Self { reference, me, peer, domain, config, phase, create_given_up, outbox, link, waiting, last_rejection })
    }
}
