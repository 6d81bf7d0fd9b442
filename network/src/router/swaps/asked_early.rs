//! The target legs whose pledges a responder has asked for early, and the questions that an initiator has put off (R8.5c).

use super::counts::{less, more};
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
    /// The source leg is here since then: the target leg is offered as soon as the peer has pledged.
    Due(Millis),
    /// It is taken back.
    TakenBack,
    /// It is taken back, and the source leg has come since: it is offered anew once that is done.
    Anew,
}

/// The target legs whose pledges this side has asked for early, and that are not agreed.
#[derive(Clone, Debug, Default)]
pub(in crate::router) struct Early {
    pub(super) asked: BTreeMap<SwapId, (At, EarlyStage)>,
    /// How many there are in a channel: one is asked for at a time, and after a start there may be others that had waited for their pledges.
    in_channel: BTreeMap<At, usize>,
    /// Questions of responders that came before their words of agreement, and since when they are put off.
    pub(super) put_off: BTreeMap<SwapId, (Origin, Millis)>,
    /// Swaps whose source legs are here, and whose early questions have come to nothing since then: their target legs are offered anew.
    pub(super) lapsed: BTreeMap<SwapId, Millis>,
}

impl Early {
    /// Whether something is kept back in this channel, or is going to be.
    pub(in crate::router) fn is_in(&self, at: &At) -> bool {
        self.in_channel.contains_key(at)
    }

    pub(super) fn insert(&mut self, at: At, id: SwapId, stage: EarlyStage) {
        if let Some((former, _)) = self.asked.insert(id, (at, stage)) {
            less(&mut self.in_channel, &former);
        }
        more(&mut self.in_channel, at);
    }

    pub(super) fn remove(&mut self, at: At, id: SwapId) -> Option<EarlyStage> {
        let (asked, stage) = *self.asked.get(&id)?;
        if asked != at {
            return None;
        }
        let _gone = self.asked.remove(&id);
        less(&mut self.in_channel, &at);
        Some(stage)
    }

    pub(super) fn of(&self, id: SwapId) -> Option<(At, EarlyStage)> {
        self.asked.get(&id).copied()
    }

    /// From now on it is that far. Returns its channel, where there is one.
    pub(super) fn set(&mut self, id: SwapId, to: EarlyStage) -> Option<At> {
        let (at, stage) = self.asked.get_mut(&id)?;
        *stage = to;
        Some(*at)
    }
}
