//! Whether what a side has stored is the newest that it has signed, and what waits to be sure of it (R6.6b).
//!
//! ```text
//!   loaded --> the user wants to close alone, or to force --> the peer has said where it stands: made
//!                                |                        '-> the peer or the chain shows a newer round: given up, this side's store is old
//!                                '-- or the user vouches for the store: made at once
//! ```
//!
//! A store does not know that it is old, and a close on an old state costs the penalty. Answers to a peer's older close wait for nobody.

use protocol::{Base, call::ForcedCall};

/// What makes a user sure that the stored state is the newest that its side has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The peer: since this process has started, it has shown no newer one. What is asked for waits until it has said so.
    ConfirmedByPeer,
    /// The user itself: the store was never put back from a copy. Where it was, closing alone costs the penalty (R5.9).
    OwnStoreIsNewest,
}

/// What a user has put on chain out of what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoloStep {
    /// A close by this side alone.
    Close,
    /// Calls that the arbiter makes.
    Force,
}

/// What this side has heard of the age of its store. Never saved: each process hears it anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerConfirmation {
    word: PeerPosition,
    /// The store was put here from elsewhere.
    is_copy: bool,
    /// A close alone that waits for the peer's word.
    close_waits: bool,
    /// Calls to be forced that wait for it.
    force_waits: Option<Vec<ForcedCall>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerPosition {
    /// Nobody's is needed: whatever was signed was signed by this process.
    Unneeded,
    /// The peer has said nothing since the channel was loaded.
    Awaited,
    /// The peer has said that it stands there.
    Stated(Base),
}

impl PeerConfirmation {
    const fn of(word: PeerPosition) -> Self {
        Self { word, is_copy: false, close_waits: false, force_waits: None }
    }

    /// Of a channel that this process has begun.
    pub(crate) const fn begun() -> Self {
        Self::of(PeerPosition::Unneeded)
    }

    /// Of a channel that comes out of a store.
    pub(crate) const fn loaded() -> Self {
        Self::of(PeerPosition::Awaited)
    }

    /// The peer has shown where it stands.
    pub(crate) fn peer_stands_at(&mut self, at: Base) {
        if self.word != PeerPosition::Unneeded {
            self.word = PeerPosition::Stated(at);
        }
    }

    /// Notes that the store was put here from elsewhere.
    pub(crate) const fn store_is_copy(&mut self) {
        self.is_copy = true;
    }

    /// Whether the store was put here from elsewhere.
    pub(crate) const fn is_copy(&self) -> bool {
        self.is_copy
    }

    /// What waits for the peer's word, if anything does.
    pub(crate) const fn waiting(&self) -> Option<SoloStep> {
        match self {
            Self { close_waits: true, .. } => Some(SoloStep::Close),
            Self { force_waits: Some(_), .. } => Some(SoloStep::Force),
            _ => None,
        }
    }

    /// Whether a stored state on top of `base` is as new as it has to be for what the user wants to put on chain.
    pub(crate) fn is_certain(&self, certainty: Certainty, base: Base) -> bool {
        match (certainty, self.word) {
            (Certainty::OwnStoreIsNewest, _) => true,
            (Certainty::ConfirmedByPeer, PeerPosition::Unneeded) => !self.is_copy,
            (Certainty::ConfirmedByPeer, PeerPosition::Awaited) => false,
            (Certainty::ConfirmedByPeer, PeerPosition::Stated(at)) => at <= base,
        }
    }

    /// Defers a close alone until the peer has said where it stands.
    pub(crate) const fn defer_close(&mut self) {
        self.close_waits = true;
    }

    /// Defers calls that are to be forced until the peer has said where it stands. Says whether none were deferred already.
    pub(crate) fn defer_force(&mut self, calls: Vec<ForcedCall>) -> bool {
        let is_first = self.force_waits.is_none();
        if is_first {
            self.force_waits = Some(calls);
        }
        is_first
    }

    /// This step is made or given up: it waits no more. Calls that were to be forced are given back.
    pub(crate) fn take(&mut self, step: SoloStep) -> Vec<ForcedCall> {
        match step {
            SoloStep::Close => {
                self.close_waits = false;
                Vec::new()
            }
            SoloStep::Force => self.force_waits.take().unwrap_or_default(),
        }
    }
}
