//! What a hub tells its peers: whom it serves and at what terms (R8.4d).

use crate::fees::Fee;
use protocol::{
    Amount, BlockNumber, PublicKey, Signature,
    crypto::{Crypto, Native, SigningKey},
    decode_exact,
    signing::Domain,
};
use scale::{Decode, Encode};
use std::collections::BTreeMap;

/// The longest announcement, in bytes.
pub const MAX_ANNOUNCEMENT: usize = 64 * 1024;
/// The most peers that one names.
pub const MAX_SERVED: usize = 1_024;
/// The most hubs whose announcements are kept.
pub const MAX_HUBS_KEPT: usize = 1_024;

const VERSION: u8 = 2;
const TAG: &[u8; 16] = b"isc-announcement";

/// At what terms a hub carries transfers on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HubTerms {
    /// What it takes.
    pub fee: Fee,
    /// What it takes for the place of a transfer, paid without condition in the offer's own change (R8.4i); zero for none.
    pub slot_fee: Amount,
    /// How much later what comes in expires than what goes on, at least, in blocks.
    pub delta: BlockNumber,
    /// The least expiry of what goes on, in blocks above the newest.
    pub least_expiry: BlockNumber,
    /// The least amount that goes on.
    pub min_amount: Amount,
    /// The greatest.
    pub max_amount: Amount,
    /// How many blocks before the next one's pledge the hub's own ends, at least, where it carries a premium on; none where it carries none (R8.5h).
    pub pledge_delta: Option<BlockNumber>,
}

/// A hub's own words, of which the newest count.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Announcement {
    /// Who speaks.
    pub hub: PublicKey,
    /// In which registry.
    pub chain: Domain,
    /// The higher one counts.
    pub sequence: u64,
    /// Until when, in seconds since 1970.
    pub valid_until: u64,
    /// At what terms.
    pub terms: HubTerms,
    /// Whom it reaches directly, at most [`MAX_SERVED`].
    pub serves: Vec<PublicKey>,
}

/// Why an announcement is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnouncementError {
    /// More than [`MAX_ANNOUNCEMENT`] bytes, or more than [`MAX_SERVED`] peers.
    #[error("the announcement says too much")]
    TooLong,
    /// Of another version, or no announcement.
    #[error("the announcement cannot be read")]
    Malformed,
    /// Not signed by the hub, or told by somebody else.
    #[error("the announcement is not the hub's own")]
    NotItsOwn,
    /// It is over already.
    #[error("the announcement is not valid any more")]
    Expired,
    /// Another one is newer, or the same.
    #[error("sequence number {given} is not above {have}")]
    NotNewer {
        /// Its number.
        given: u64,
        /// The one that is kept.
        have: u64,
    },
    /// There is no channel with the hub in that registry.
    #[error("there is no channel with the hub in that registry")]
    NoChannel,
    /// As many hubs as fit are known.
    #[error("too many hubs are known")]
    TooMany,
}

impl Announcement {
    /// The signed bytes.
    ///
    /// # Errors
    /// [`AnnouncementError::TooLong`]; [`AnnouncementError::NotItsOwn`] where the key is not the hub's.
    pub fn sign(&self, key: &SigningKey) -> Result<Vec<u8>, AnnouncementError> {
        if key.public() != self.hub {
            return Err(AnnouncementError::NotItsOwn);
        }
        let bytes = (VERSION, self, key.sign(&(TAG, VERSION, self).encode())).encode();
        if self.serves.len() > MAX_SERVED || bytes.len() > MAX_ANNOUNCEMENT {
            return Err(AnnouncementError::TooLong);
        }
        Ok(bytes)
    }

    /// Reads signed bytes that a peer told.
    ///
    /// # Errors
    /// Each thing that can be wrong with them, by its name.
    pub fn read(bytes: &[u8], from: &PublicKey, now: u64) -> Result<Self, AnnouncementError> {
        if bytes.len() > MAX_ANNOUNCEMENT {
            return Err(AnnouncementError::TooLong);
        }
        let (version, announcement, signature): (u8, Self, Signature) =
            decode_exact(bytes).map_err(|_error| AnnouncementError::Malformed)?;
        if version != VERSION {
            return Err(AnnouncementError::Malformed);
        }
        if announcement.serves.len() > MAX_SERVED {
            return Err(AnnouncementError::TooLong);
        }
        let is_signed =
            announcement.hub == *from && Native.verify(from, &(TAG, VERSION, &announcement).encode(), &signature);
        if !is_signed {
            return Err(AnnouncementError::NotItsOwn);
        }
        if announcement.valid_until < now {
            return Err(AnnouncementError::Expired);
        }
        Ok(announcement)
    }
}

/// The newest words of each hub.
#[derive(Clone, Debug, Default)]
pub(crate) struct Announcements(BTreeMap<(Domain, PublicKey), Announcement>);

impl Announcements {
    /// Keeps an announcement. Where there is no room, those give way of which `is_of_use` says no.
    pub(crate) fn take(
        &mut self,
        announcement: Announcement,
        is_of_use: impl Fn(&Announcement) -> bool,
    ) -> Result<(), AnnouncementError> {
        let key = (announcement.chain, announcement.hub);
        if self.0.len() >= MAX_HUBS_KEPT && !self.0.contains_key(&key) {
            self.0.retain(|_, kept| is_of_use(kept));
        }
        match self.0.get(&key) {
            Some(Announcement { sequence, .. }) if *sequence >= announcement.sequence => {
                return Err(AnnouncementError::NotNewer { given: announcement.sequence, have: *sequence });
            }
            None if self.0.len() >= MAX_HUBS_KEPT => return Err(AnnouncementError::TooMany),
            Some(_) | None => {}
        }
        let _former = self.0.insert(key, announcement);
        Ok(())
    }

    /// What a hub says, as long as it is valid.
    pub(crate) fn of(&self, chain: Domain, hub: PublicKey, now: u64) -> Option<&Announcement> {
        self.0.get(&(chain, hub)).filter(|announcement| announcement.valid_until >= now)
    }
}
