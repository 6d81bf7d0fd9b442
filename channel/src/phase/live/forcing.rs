//! The calls that this side has the arbiter make (R5.10).
//!
//! Invariant: where the calls are changes that waited, there is an id for each, in the order of the calls.

use crate::{event::Event, state::ChangeId};
use protocol::{Rejection, call::ForcedCall, contracts::ContractId};
use scale::{Decode, Encode};

/// How often the arbiter may refuse one forced step for reasons that may pass, as long as nothing else happens on chain.
const MAX_REFUSALS: u8 = 8;

/// The calls that this side is forcing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Forcing {
    calls: Vec<ForcedCall>,
    /// The ids of the calls, in their order, where they are changes that waited.
    ids: Vec<ChangeId>,
    /// Whether they end transfers: they are made up anew with each block, since rounds may have ended some of these meanwhile.
    are_ends: bool,
    #[codec(skip)]
    refusals: u8,
    /// How often it was refused since something else came on chain before it: what its peer is fast enough for is bounded by the peer's quota.
    #[codec(skip)]
    in_vain: u8,
    /// How often the number of calls in one step was halved, because the chain could not make the step.
    #[codec(skip)]
    halved: u32,
}

impl Forcing {
    pub(crate) const fn of(calls: Vec<ForcedCall>, ids: Vec<ChangeId>) -> Self {
        Self { calls, ids, are_ends: false, refusals: 0, in_vain: 0, halved: 0 }
    }

    /// Calls that end transfers.
    pub(crate) fn of_ends(calls: Vec<ForcedCall>) -> Self {
        Self { are_ends: true, ..Self::of(calls, Vec::new()) }
    }

    /// Whether they end transfers.
    pub(crate) const fn are_ends(&self) -> bool {
        self.are_ends
    }

    /// Whether a call of this contract is among them.
    pub(crate) fn calls(&self, contract: &ContractId) -> bool {
        self.calls.iter().any(|call| call.contract == *contract)
    }

    /// These calls are to be made instead. Whether they are others.
    pub(crate) fn renew(&mut self, calls: Vec<ForcedCall>) -> bool {
        let are_others = self.calls != calls;
        self.calls = calls;
        are_others
    }

    /// Whether the arbiter has not refused them so far.
    pub(crate) const fn is_wanted(&self) -> bool {
        self.refusals == 0
    }

    /// The arbiter has refused them; whether they are to be tried again.
    pub(crate) const fn is_tried_again(&mut self) -> bool {
        self.refusals = self.refusals.saturating_add(1);
        self.in_vain = self.in_vain.saturating_add(1);
        self.in_vain < MAX_REFUSALS
    }

    /// Something else has come on chain: what was refused because of it is to be tried on what is there now.
    pub(crate) const fn begin_again(&mut self) {
        self.in_vain = 0;
    }

    /// The calls to make in the next step, if they fit one.
    pub(crate) fn next(&self) -> &[ForcedCall] {
        let most = self.calls.len().checked_shr(self.halved).unwrap_or(0).max(1);
        self.calls.get(..most).unwrap_or(&self.calls)
    }

    /// So many of the calls, if there are.
    pub(crate) fn first_calls(&self, count: usize) -> Option<Vec<ForcedCall>> {
        self.calls.get(..count).map(<[_]>::to_vec)
    }

    /// The changes that are made in this way.
    pub(crate) fn changes(&self) -> &[ChangeId] {
        &self.ids
    }

    /// The calls that are changes, each with its id.
    pub(crate) fn into_calls(self) -> impl DoubleEndedIterator<Item = (ChangeId, ForcedCall)> {
        self.ids.into_iter().zip(self.calls)
    }

    /// What is told where the channel has ended before the arbiter made them.
    pub(crate) fn too_late(&self) -> Event {
        Event::ForceFailed { changes: self.ids.clone(), rejection: Rejection::ChannelUnknown }
    }

    /// The chain could not make the next step: fewer calls are tried. Says whether there were several.
    pub(crate) fn halve(&mut self) -> bool {
        let are_several = self.next().len() > 1;
        if are_several {
            self.halved = self.halved.saturating_add(1);
        }
        are_several
    }

    /// All of the calls that are left.
    pub(crate) fn into_all_calls(self) -> Vec<ForcedCall> {
        self.calls
    }

    /// Whether these are the first of the calls.
    pub(crate) fn begins_with(&self, calls: &[ForcedCall]) -> bool {
        self.calls.starts_with(calls)
    }

    /// The arbiter has made the first calls, so many: their ids, where they are changes, and what is still to be forced.
    pub(crate) fn split(mut self, made: usize) -> (Vec<ChangeId>, Option<Self>) {
        let left = self.calls.split_off(made);
        let ids_left = self.ids.split_off(made.min(self.ids.len()));
        let are_ends = self.are_ends;
        (self.ids, (!left.is_empty()).then(|| Self { are_ends, ..Self::of(left, ids_left) }))
    }
}
