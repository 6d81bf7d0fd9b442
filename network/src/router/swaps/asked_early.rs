//! The target legs whose pledges a responder has asked for early, and the questions that an initiator has put off (R8.5c).

use crate::{
    router::io::{At, Millis, Origin},
    swap::SwapId,
};
use std::collections::BTreeMap;

/// How far a target leg is whose pledge was asked for early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EarlyStage {
    /// The source leg is awaited since then.
    Awaits(Millis),
    /// The peer has pledged, and the round is kept back; or it was asked for before the start.
    Held,
    /// The source leg is here: the target leg is offered as soon as the peer has pledged.
    Due,
    /// It is taken back.
    TakenBack,
    /// It is taken back, and the source leg has come since: it is offered anew once that is done.
    Anew,
}

/// The target legs whose pledges this side has asked for early, and that are not agreed: one in a channel at a time.
#[derive(Clone, Debug, Default)]
pub(in crate::router) struct Early {
    pub(super) asked: BTreeMap<At, (SwapId, EarlyStage)>,
    by_swap: BTreeMap<SwapId, At>,
    /// Questions of responders that came before their words of agreement, and since when they are put off.
    pub(super) put_off: BTreeMap<SwapId, (Origin, Millis)>,
    /// Swaps whose source legs are here, and whose early questions have come to nothing since then: their target legs are offered anew.
    pub(super) lapsed: BTreeMap<SwapId, Millis>,
}

impl Early {
    /// Whether something is kept back in this channel, or is going to be.
    pub(in crate::router) fn is_in(&self, at: &At) -> bool {
        self.asked.contains_key(at)
    }

    pub(super) fn insert(&mut self, at: At, id: SwapId, stage: EarlyStage) {
        let _former = self.asked.insert(at, (id, stage));
        let _former = self.by_swap.insert(id, at);
    }

    pub(super) fn remove(&mut self, at: At, id: SwapId) -> Option<EarlyStage> {
        if self.by_swap.get(&id) != Some(&at) {
            return None;
        }
        let _at = self.by_swap.remove(&id);
        self.asked.remove(&at).map(|(_, stage)| stage)
    }

    pub(super) fn of(&self, id: SwapId) -> Option<(At, EarlyStage)> {
        let at = self.by_swap.get(&id)?;
        self.asked.get(at).map(|(_, stage)| (*at, *stage))
    }

    /// From now on it is that far. Returns its channel, where there is one.
    pub(super) fn set(&mut self, id: SwapId, to: EarlyStage) -> Option<At> {
        let at = *self.by_swap.get(&id)?;
        let (_, stage) = self.asked.get_mut(&at)?;
        *stage = to;
        Some(at)
    }
}
