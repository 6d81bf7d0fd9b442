//! What came in from the peer and is not answered yet. Nothing of it is signed, so nothing is saved: the peer says it again.
//!
//! Invariants: at most one round waits; no round number that the user was shown comes to mean anything else (R6.3a).

use crate::{
    effect::Effect,
    error::Violation,
    message::{Message, RefusalCode, Shutdown, Update},
    units::Millis,
};
use protocol::{
    BlockNumber, Hash, Round,
    crypto::{Crypto, Native},
};
use scale::Encode;

/// The peer's proposals that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Incoming {
    /// The peer's shutdown, deferred until our proposal is answered. It counts only if that answer is that the peer is closing.
    deferred_shutdown: Option<Shutdown>,
    pending_review: Option<PendingReview>,
    /// The highest round that the user was asked about, and the hash of what it was told of it. The user decides by the round's number, so no
    /// number may come to mean anything else.
    shown: Option<(Round, Hash)>,
    /// The round whose transfers could not be judged, and the first block in which that was so.
    judged: Option<(Round, BlockNumber)>,
}

/// The peer's round that waits for the user, who was shown it; for its app; or for its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingReview {
    update: Update,
    since: Millis,
    awaits: Awaits,
}

/// What a round of the peer's that is not answered waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// The user, who was shown it.
    User,
    /// This app, which has to be fetched first.
    Code(Hash),
    /// The block that it names, which this side has not seen (R7.3).
    Head,
    /// What this side does not know yet of the registry, or of another channel, and what it needs to judge a conditional transfer (R8.3c).
    Judgement,
}

impl PendingReview {
    pub(crate) const fn update(&self) -> &Update {
        &self.update
    }

    pub(crate) const fn since(&self) -> Millis {
        self.since
    }

    pub(crate) const fn awaits(&self) -> Awaits {
        self.awaits
    }

    pub(crate) fn into_update(self) -> Update {
        self.update
    }
}

impl Incoming {
    /// The round that waits, if one does.
    pub(crate) const fn pending_review(&self) -> Option<&PendingReview> {
        self.pending_review.as_ref()
    }

    /// Has a round wait, in the place of any other.
    pub(crate) fn await_review(&mut self, update: Update, now: Millis, awaits: Awaits) {
        self.pending_review = Some(PendingReview { update, since: now, awaits });
    }

    /// Has a round shown to the user.
    pub(crate) fn show(&mut self, update: Update, now: Millis) {
        self.shown = Some((update.round, Native.hash(&update.encode())));
        self.await_review(update, now, Awaits::User);
    }

    /// Since which block this side tries to judge the transfers of this round.
    pub(crate) fn judged_since(&mut self, round: Round, head: BlockNumber) -> BlockNumber {
        match self.judged {
            Some((judged, since)) if judged == round => since,
            _ => {
                self.judged = Some((round, head));
                head
            }
        }
    }

    /// Whether the user may be asked about this round: no number that it was told may come to mean anything else.
    pub(crate) fn check_shown(&self, update: &Update) -> Result<(), Violation> {
        match self.shown {
            Some((round, hash))
                if update.round < round || (update.round == round && Native.hash(&update.encode()) != hash) =>
            {
                Err(Violation::RoundTooOld { got: update.round, have: round })
            }
            _ => Ok(()),
        }
    }

    /// Takes the round that waits, where this is true of it.
    pub(crate) fn take_review_if(&mut self, is_due: impl Fn(&PendingReview) -> bool) -> Option<PendingReview> {
        self.pending_review.take_if(|pending| is_due(pending))
    }

    /// Forgets the round that waits, without a word.
    pub(crate) fn drop_review(&mut self) {
        self.pending_review = None;
    }

    /// Takes the round that waits back, with a word to the peer: something else goes first, and later the peer says it again.
    pub(crate) fn postpone_review(&mut self, code: RefusalCode) -> Option<Effect> {
        let PendingReview { update: Update { round, .. }, .. } = self.pending_review.take()?;
        Some(Effect::Send(Message::UpdateError { round, code }))
    }

    /// Defers the peer's shutdown until our proposal is answered.
    pub(crate) fn defer_shutdown(&mut self, shutdown: Shutdown) {
        self.deferred_shutdown = Some(shutdown);
    }

    /// Takes the shutdown that was deferred, to answer it or to let it go.
    pub(crate) const fn take_shutdown(&mut self) -> Option<Shutdown> {
        self.deferred_shutdown.take()
    }

    /// Forgets what the peer says again, if it still wants it.
    pub(crate) fn forget(&mut self) {
        (self.deferred_shutdown, self.pending_review) = (None, None);
    }
}
