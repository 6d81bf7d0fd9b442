//! Calls of apps that a forced step has left undone: it has ended a transfer, and not called what goes with its end (R8.3g). The row of the transfer stays until they are
//! made, or an app refuses them. What was made is noted in each state ([`CallMarks`]); here is what was asked for of the rest.

use super::Transfers;
use crate::{
    phase::live::Live,
    state::{AppCall, Change, ChangeId, LockedCalls, State},
    transfer::{
        done::ended_by,
        marks::{CallMarks, LeftCall, PlacedCall},
        row::TransferId,
    },
};
use protocol::{BlockNumber, call::ForcedCall, contracts::ContractId};

/// What a change that waits would be.
pub(crate) enum QueuedEnd {
    /// As it is, or it has nothing to do with calls of transfers.
    Other,
    /// Nothing: what it makes is made.
    Over,
    /// This, as far as it can be made.
    Now(Change),
}

impl Transfers {
    /// The calls that are left of a transfer which a forced step has ended on the way to this state. A call is nothing that is left where its contract is gone.
    pub(crate) fn calls_left(&self, state: &State, contract: &ContractId) -> Vec<PlacedCall> {
        if state.marks.has_ended(contract) { self.own_calls_to_make(state, contract) } else { Vec::new() }
    }

    /// Whether there are any.
    pub(super) fn has_left(&self, state: &State, contract: &ContractId) -> bool {
        !self.calls_left(state, contract).is_empty()
    }

    /// Whether any call is left in this state of which this is true, given the expiry of its transfer.
    pub(crate) fn has_any_left(&self, state: &State, is_such: impl Fn(&AppCall, BlockNumber) -> bool) -> bool {
        state.marks.ended().any(|contract| {
            let expiry = self.expiry_of(contract);
            self.calls_left(state, contract).iter().any(|(_, call)| is_such(call, expiry))
        })
    }

    /// The calls that are left of a transfer, and that are not asked for.
    pub(crate) fn calls_to_ask(&self, state: &State, contract: &ContractId) -> Vec<PlacedCall> {
        let mut left = self.calls_left(state, contract);
        left.retain(|(place, _)| !self.asked_calls.is_asked(*contract, *place, |id| self.wants.waits_for(id)));
        left
    }

    /// What is left of calls in this state, which is agreed, is wanted.
    pub(crate) fn want_left(&mut self, state: &State) {
        for contract in state.marks.ended() {
            if self.has_left(state, contract) {
                self.want(*contract);
            }
        }
    }

    /// This change makes a call that is left.
    pub(crate) fn ask_left(&mut self, change: ChangeId, (contract, place): LeftCall) {
        self.asked_calls.ask(change, (contract, place));
        self.ask(change, contract);
    }

    /// Which call that was left this change makes, where it makes one.
    pub(crate) fn left_call_of(&self, change: ChangeId) -> Option<LeftCall> {
        self.asked_calls.of(change)
    }

    /// Whether there are such changes.
    pub(crate) fn asks_for_left(&self) -> bool {
        !self.asked_calls.is_empty()
    }

    /// A change waits for a round, or for an answer to it: what was given up and has come back is asked for.
    pub(crate) fn note_waiting(&mut self, id: ChangeId, change: &Change) {
        if !self.wants.is_given_up(id) {
            return;
        }
        let contract = self.left_call_of(id).map(|(contract, _)| contract);
        if let Some(contract) = contract.or_else(|| ended_by(change).map(|(contract, _)| contract)) {
            self.ask(id, contract);
        }
    }

    /// What a change that waits, and that was asked for because of a transfer with calls, would be in this state.
    pub(crate) fn queued_end(&self, agreed: &State, id: ChangeId, change: &Change) -> QueuedEnd {
        if !self.wants.knows(id) {
            return QueuedEnd::Other;
        }
        if let Some((contract, place)) = self.left_call_of(id) {
            let is_left = self.calls_left(agreed, &contract).iter().any(|(left, _)| *left == place);
            return if is_left { QueuedEnd::Other } else { QueuedEnd::Over };
        }
        let Some((contract, _)) = ended_by(change) else { return QueuedEnd::Other };
        if self.calls_of(&contract).is_none_or(LockedCalls::is_none) {
            return QueuedEnd::Other;
        }
        self.end_of(agreed, contract).map_or(QueuedEnd::Over, QueuedEnd::Now)
    }

    /// What was asked for by a change that does not wait any more is wanted again. Where the change was never signed its id may be another one's from here on.
    pub(crate) fn want_anew(&mut self, change: ChangeId, is_signed: bool) {
        self.wants.want_anew(change, is_signed);
        if !is_signed {
            self.asked_calls.forget(change);
        }
    }

    /// After a start: a round that was signed holds a call that was left.
    pub(crate) fn note_signed_left(&mut self, change: ChangeId, call: LeftCall, is_proposed: bool) {
        self.asked_calls.ask(change, call);
        self.note_signed(change, call.0, is_proposed);
    }

    /// Marks the calls in the state after a round that makes them.
    pub(crate) fn mark_asked(&self, ids: impl Iterator<Item = ChangeId>, marks: &mut CallMarks) {
        if !self.asks_for_left() {
            return;
        }
        for (contract, place) in ids.filter_map(|id| self.left_call_of(id)) {
            let kind = self.own_kind(&contract);
            marks.make(contract, kind, usize::from(place));
        }
    }

    /// The chain has refused a step for this call: the next one is made without it, at once. Only calls that go with transfers are left out.
    pub(crate) fn leave_out(&mut self, call: &ForcedCall) {
        if self.goes_with_any(&call.contract) {
            self.wants.leave_out(call);
        }
    }

    /// Whether forced steps are made without this call.
    pub(crate) fn is_left_out(&self, call: &ForcedCall) -> bool {
        self.wants.is_left_out(call)
    }

    /// There is no need for a call that is left.
    pub(crate) fn drop_left(&mut self, call @ (contract, _place): LeftCall, live: &mut Live) {
        live.leave_call(call, self.own_kind(&contract));
        let id = self.outgoing.id_of(&contract).map_or(TransferId::Incoming(contract), TransferId::Outgoing);
        self.news.change(id);
    }
}
