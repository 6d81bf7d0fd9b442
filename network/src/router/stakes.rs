//! The pledges that a hub has asked for, or has, for what it is to carry on (R8.5h).

use super::io::{At, Millis, Origin};
use crate::keys::OfferName;
use channel::{IdempotencyKey, transfer::Offer};
use protocol::{BlockNumber, PublicKey, contracts::ContractId};
use std::collections::{BTreeMap, BTreeSet};

/// The most offers of a channel for one next one that may have failed before their time is over: whoever asks in vain waits. What a next one refuses does not keep the
/// channel from asking others.
const MOST_FAILED: usize = 16;
/// The most of a channel for all next ones: what is remembered of them is bounded.
const MOST_FAILED_IN_ALL: usize = 1_024;

/// How far the next one's pledge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PledgeStage {
    /// It is to be asked for since it was wished, and the next one has its time to answer since then, or later, where something else went first in its channel.
    Asked { wished: Millis, since: Millis },
    /// This side has it, and may pledge itself.
    Held,
    /// It did not come.
    Failed,
}

/// What goes on once something comes in, for which the next one pledges first.
#[derive(Clone, Debug)]
pub(super) struct Reservation {
    /// Where it goes on.
    pub(super) at: At,
    /// Whom it goes on to.
    pub(super) next: PublicKey,
    /// What is offered there.
    pub(super) onward: Offer,
    /// The last block of the next one's pledge; none where that is not known any more.
    pub(super) until: Option<BlockNumber>,
    pub(super) stage: PledgeStage,
}

impl Reservation {
    const fn is_open(&self) -> bool {
        !matches!(self.stage, PledgeStage::Failed)
    }

    /// What it waits for has not come, or is not used: nothing of what was to go on is needed any more. Says whether it was open.
    fn fail(&mut self) -> bool {
        self.onward.instruction = Vec::new();
        std::mem::replace(&mut self.stage, PledgeStage::Failed) != PledgeStage::Failed
    }

    /// Its place among those that go on in the same channel.
    const fn wished(&self) -> Millis {
        match self.stage {
            PledgeStage::Asked { wished, .. } => wished,
            PledgeStage::Held | PledgeStage::Failed => 0,
        }
    }
}

/// The pledges that this side has asked for, or has, by what is to come in for each.
#[derive(Clone, Debug, Default)]
pub(super) struct Stakes {
    pub(super) reserved: BTreeMap<Origin, Reservation>,
    /// What has come in, and where what goes on waits to be released: told again with each block, since commands may be lost.
    pub(super) releasing: BTreeMap<Origin, At>,
}

impl Stakes {
    /// Whether the next one has pledged for what this is to be carried on by.
    pub(super) fn is_held(&self, origin: &Origin) -> bool {
        self.reserved.get(origin).is_some_and(|reserved| reserved.stage == PledgeStage::Held)
    }

    /// What has come in is to go on, which was kept back for it.
    pub(super) fn await_release(&mut self, origin: Origin, at: At) {
        let _former = self.releasing.insert(origin, at);
    }

    /// What came in has ended.
    pub(super) fn ended(&mut self, origin: &Origin) {
        let _over = self.releasing.remove(origin);
    }

    /// What goes on is agreed: it was released.
    pub(super) fn accepted(&mut self, at: At, key: &IdempotencyKey) {
        if let Some(OfferName::Forward(channel, contract)) = OfferName::read(key) {
            let _released = self.releasing.remove(&Origin { at: At { chain: at.chain, channel }, contract });
        }
    }

    /// What was asked for in a channel.
    fn of_channel(&self, at: At) -> impl Iterator<Item = (&Origin, &Reservation)> {
        let first = Origin { at, contract: ContractId([0; 32]) };
        self.reserved.range(first..).take_while(move |(origin, _)| origin.at == at)
    }

    /// Whether another offer of a channel waits, or may come: one is carried on at a time.
    pub(super) fn is_busy(&self, with: &Origin) -> bool {
        self.of_channel(with.at).any(|(origin, reserved)| origin != with && reserved.is_open())
    }

    /// Whether so many offers of a channel have failed, for this next one or in all, whose time is not over: what was asked of the next one is not asked again by the
    /// same name.
    pub(super) fn has_failed_too_often(&self, at: At, next: &PublicKey) -> bool {
        let failed = || self.of_channel(at).filter(|(_, reserved)| !reserved.is_open());
        failed().filter(|(_, reserved)| reserved.next == *next).count() >= MOST_FAILED
            || failed().count() >= MOST_FAILED_IN_ALL
    }

    /// Whether something goes first in a channel: what its peer asks for there, or what goes on there already.
    pub(super) fn is_taken(&self, at: At) -> bool {
        let is_in = |(origin, reserved): (&Origin, &Reservation)| origin.at == at || reserved.at == at;
        self.reserved.iter().filter(|(_, reserved)| reserved.is_open()).any(is_in)
    }

    /// Whether what is asked in a channel is said only once a question in that other one is answered: the peer's own question there was put off, and waits for another
    /// channel, and so on.
    pub(super) fn waits_for(&self, at: At, other: At) -> bool {
        let is_asked = |reserved: &Reservation| matches!(reserved.stage, PledgeStage::Asked { .. });
        let next = |at: &At| self.of_channel(*at).find(|(_, reserved)| is_asked(reserved)).map(|(_, it)| it.at);
        std::iter::successors(Some(at), next).take(self.reserved.len().saturating_add(1)).any(|at| at == other)
    }

    /// What the next ones have had their time for, and have not pledged. Where something else goes first in its channel a question has its time once that is over, for
    /// which it waits as long at most.
    pub(super) fn late(&mut self, now: Millis, patience: Millis) -> Vec<(Origin, At)> {
        let open = || self.reserved.iter().filter(|(_, reserved)| reserved.is_open());
        let askers: BTreeSet<At> = open().map(|(origin, _)| origin.at).collect();
        let mut first: BTreeMap<At, (Millis, Origin)> = BTreeMap::new();
        for (origin, reserved) in open() {
            let place = (reserved.wished(), *origin);
            let foremost = first.entry(reserved.at).or_insert(place);
            *foremost = place.min(*foremost);
        }
        let mut late = Vec::new();
        for (origin, Reservation { at, stage, .. }) in &mut self.reserved {
            let PledgeStage::Asked { wished, since } = stage else { continue };
            let is_behind = askers.contains(at) || first.get(at).is_some_and(|(_, foremost)| foremost != origin);
            if is_behind && now.saturating_sub(*wished) < patience {
                *since = now;
            } else if now.saturating_sub(*since) >= patience {
                late.push((*origin, *at));
            }
        }
        late
    }

    /// The next one has not pledged in this channel for what was to come in, or what it has pledged is not used. Says whether that was open.
    pub(super) fn fail(&mut self, at: At, origin: &Origin) -> bool {
        let Some(reserved) = self.reserved.get_mut(origin).filter(|reserved| reserved.at == at) else { return false };
        let was_open = reserved.fail();
        if reserved.until.is_none() {
            // Nothing says when its time would be over.
            let _gone = self.reserved.remove(origin);
        }
        was_open
    }
}
