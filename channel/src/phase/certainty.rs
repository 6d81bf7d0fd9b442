//! Whether what a side has stored is the newest that it has signed, and what waits to be sure of it (R6.6b).
//!
//! ```text
//!   loaded --> the user wants to close alone, or to force --> the peer has said where it stands: made
//!                                |                        '-> the peer or the chain shows a newer round: given up, this side's store is old
//!                                '-- or the user vouches for the store: made at once
//! ```
//!
//! A store does not know that it is old, and a close on an old state costs the penalty. Answers to a peer's older close wait for nobody.

use super::{
    Phase,
    live::{Live, Outdated},
};
use crate::{
    effect::{Effect, Event, Notice},
    error::Misuse,
    input::Context,
    machine::{Channel, Step},
};
use protocol::{Base, call::ForcedCall};

/// What makes a user sure that the stored state is the newest that its side has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The peer: since this process has started, it has shown no newer one. What is asked for waits until it has said so.
    PeerSaidSo,
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
pub(crate) struct Heard {
    word: Word,
    /// The store was put here from elsewhere.
    is_copy: bool,
    /// A close alone that waits for the peer's word.
    close_waits: bool,
    /// Calls to be forced that wait for it.
    force_waits: Option<Vec<ForcedCall>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// Nobody's is needed: whatever was signed was signed by this process.
    Unneeded,
    /// The peer has said nothing since the channel was loaded.
    Awaited,
    /// The peer has said that it stands there.
    Said(Base),
}

impl Heard {
    const fn of(word: Word) -> Self {
        Self { word, is_copy: false, close_waits: false, force_waits: None }
    }

    /// Of a channel that this process has begun.
    pub(crate) const fn begun() -> Self {
        Self::of(Word::Unneeded)
    }

    /// Of a channel that comes out of a store.
    pub(crate) const fn loaded() -> Self {
        Self::of(Word::Awaited)
    }

    /// The peer has shown where it stands.
    pub(crate) fn peer_stands_at(&mut self, at: Base) {
        if self.word != Word::Unneeded {
            self.word = Word::Said(at);
        }
    }

    /// What is known of a channel's store from the moment on in which it is open.
    pub(crate) const fn outdated(&self) -> Option<Outdated> {
        if self.is_copy { Some(Outdated::SUSPECTED) } else { None }
    }
}

impl Channel {
    /// What waits for the peer's word, if anything does.
    pub(crate) const fn waits_for_word(&self) -> Option<SoloStep> {
        match &self.heard {
            Heard { close_waits: true, .. } => Some(SoloStep::Close),
            Heard { force_waits: Some(_), .. } => Some(SoloStep::Force),
            _ => None,
        }
    }

    /// Whether the stored state is as new as it has to be for what the user wants to put on chain.
    pub(crate) fn is_certain(&self, certainty: Certainty) -> bool {
        match (certainty, self.heard.word) {
            (Certainty::OwnStoreIsNewest, _) => true,
            (Certainty::PeerSaidSo, Word::Unneeded) => !self.heard.is_copy,
            (Certainty::PeerSaidSo, Word::Awaited) => false,
            (Certainty::PeerSaidSo, Word::Said(at)) => {
                at <= self.phase.live().map_or(Base::of(1), |live| live.agreed.base())
            }
        }
    }

    /// Puts a close alone by until the peer has said where it stands.
    pub(crate) fn hold_close(&mut self) -> Step {
        self.heard.close_waits = true;
        tell(Notice::AwaitsPeersWord { step: SoloStep::Close })
    }

    /// Puts calls that are to be forced by until the peer has said where it stands.
    pub(crate) fn hold_force(&mut self, calls: Vec<ForcedCall>) -> Result<Step, Misuse> {
        if self.heard.force_waits.is_some() {
            return Err(Misuse::AlreadyForcing);
        }
        self.heard.force_waits = Some(calls);
        Ok(tell(Notice::AwaitsPeersWord { step: SoloStep::Force }))
    }

    /// What the user wants now takes the place of what it wanted, and what has waited.
    pub(crate) fn waits_no_more(&mut self, step: SoloStep) {
        match step {
            SoloStep::Close => self.heard.close_waits = false,
            SoloStep::Force => self.heard.force_waits = None,
        }
    }

    /// Makes what has waited, where the peer or the chain has said enough, or gives it up.
    pub(crate) fn take_held(&mut self, ctx: &Context<'_>) -> Step {
        let Some(held) = self.waits_for_word() else { return Step::default() };
        let is_old = self.phase.live().is_some_and(Live::is_outdated);
        if !is_old && !self.is_certain(Certainty::PeerSaidSo) {
            return Step::default();
        }
        let made = match held {
            SoloStep::Close => {
                self.heard.close_waits = false;
                self.on_user_close_solo(Certainty::PeerSaidSo)
            }
            SoloStep::Force => {
                let calls = self.heard.force_waits.take().unwrap_or_default();
                self.on_user_force(calls, Certainty::PeerSaidSo, ctx)
            }
        };
        made.unwrap_or_else(|why| tell(Notice::StepGivenUp { step: held, why })).and(self.take_held(ctx))
    }

    /// The process started on a store that was copied from elsewhere: nobody knows what was signed after the copy was made. As
    /// [`on_restarted`](Self::on_restarted), but as a side whose store is old (R6.6a), until it starts on a store that its owner vouches for.
    pub(crate) fn on_restarted_from_copy(&mut self, ctx: &Context<'_>) -> Step {
        self.heard.is_copy = true;
        let mut step = Step::default();
        if let Phase::Open(live) | Phase::Closing(live, _) = &mut self.phase
            && live.outdated.is_none()
        {
            live.outdated = Some(Outdated::SUSPECTED);
            step = Step::commit(Vec::new());
        }
        step.and(self.restart_told(ctx))
    }

    /// The process started, and the store is where it always was.
    pub(crate) fn on_restarted(&mut self, ctx: &Context<'_>) -> Step {
        let live = match &mut self.phase {
            Phase::Open(live) | Phase::Closing(live, _) => Some(live),
            _ => None,
        };
        let cleared = live.and_then(|live| live.outdated.take_if(|it| *it == Outdated::SUSPECTED));
        let step = if cleared.is_some() { Step::commit(Vec::new()) } else { Step::default() };
        step.and(self.restart_told(ctx))
    }
}

impl Outdated {
    /// Nothing newer was shown: the store was copied from elsewhere, and may be old.
    pub(crate) const SUSPECTED: Self = Self { from: 0, to: 0 };

    /// What the user is told of it.
    pub(crate) fn notice(self) -> Notice {
        match self {
            Self::SUSPECTED => Notice::StoreCopied,
            Self { from, to } => Notice::CaughtUp { from, to },
        }
    }

    /// Why nothing new can be begun on it.
    pub(crate) fn misuse(self) -> Misuse {
        if self == Self::SUSPECTED { Misuse::StoreCopied } else { Misuse::StoreOutdated }
    }
}

impl Live {
    /// The same on a store of which this is known.
    pub(crate) fn on_store(self, outdated: Option<Outdated>) -> Self {
        Self { outdated, ..self }
    }

    /// Whether a newer state than the stored one was shown.
    pub(crate) fn is_outdated(&self) -> bool {
        self.outdated.is_some_and(|outdated| outdated != Outdated::SUSPECTED)
    }

    /// Whether this side's store is known to be good: then it may begin something.
    pub(crate) fn check_store(&self) -> Result<(), Misuse> {
        self.outdated.map_or(Ok(()), |outdated| Err(outdated.misuse()))
    }
}

fn tell(notice: Notice) -> Step {
    Step::act(vec![Effect::Notify(Event::Notice(notice))])
}
