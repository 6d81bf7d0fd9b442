//! How a side ends transfers: in its next round, with the calls of apps that go with them, or by force (R8.3d, R8.3e, R8.3g).

mod forced;
mod trial;

use crate::{
    channel::Channel,
    input::Context,
    phase::Phase,
    state::Change,
    transfer::{done::ended_by, room::QueuedEnd},
};
use protocol::{
    Hash,
    contracts::{Code, ContractId},
};
use std::collections::BTreeSet;
use trial::{Sorted, Trial, alone, calling};

/// How many changes that make calls of apps are asked for in one turn, before others wait for the next block.
const MAX_BEFORE: usize = 32;

impl Channel {
    /// What waits for a round already, because it was proposed on another state, is made up anew where other calls of apps are to be made in this one (R8.3g).
    fn make_up_anew(&mut self, ctx: &Context<'_>) {
        let me = self.me;
        // The queue may be long: few channels have such transfers. What was asked for may outlive the last of them.
        let Phase::Open(live) = &mut self.phase else { return };
        if !self.transfers.has_any_calls() && !self.transfers.asks_for_left() {
            return;
        }
        // What was given up may have come back.
        for (id, change) in live.outgoing.waiting() {
            self.transfers.note_waiting(id, change);
        }
        let agreed = live.agreed.state();
        let mut calls: BTreeSet<_> =
            live.outgoing.proposed().filter_map(|id| self.transfers.left_call_of(id)).collect();
        let mut before = Vec::new();
        let is_another = |id, change: &Change| {
            let is_left = self.transfers.left_call_of(id);
            let contract = is_left.map(|(contract, _)| contract).or_else(|| Some(ended_by(change)?.0));
            let expiry = contract.map_or(0, |contract| self.transfers.expiry_of(&contract));
            let trial = Trial { live, me, config: &self.config, ctx, before: &before, expiry };
            let is_another = match self.transfers.queued_end(agreed, id, change) {
                // The same call waits before it.
                _ if is_left.is_some_and(|call| !calls.insert(call)) => true,
                QueuedEnd::Other => false,
                QueuedEnd::Over => true,
                QueuedEnd::Now(end) => trial.makeable(end).as_ref() != Some(change),
            };
            if !is_another && (is_left.is_some() || has_calls(change)) && trial.is_makeable(change) {
                before.push(change.clone());
            }
            is_another
        };
        for id in live.outgoing.queued_that(is_another) {
            live.outgoing.unqueue_one(me, id);
            self.transfers.want_anew(id, live.outgoing.is_signed(id));
        }
    }

    /// Has what is wanted of transfers wait for the next round, with everything else that waits.
    pub(crate) fn ask_for_ends(&mut self, ctx: &Context<'_>) {
        self.make_up_anew(ctx);
        let me = self.me;
        let Phase::Open(live) = &mut self.phase else { return };
        let mut before = Vec::new();
        for (contract, change) in self.transfers.wanted(live.agreed.state()) {
            let contracts = &live.agreed.state().contracts;
            let parts = std::iter::once(contract).chain(self.transfers.premium_of(&contract));
            // One of them may have ended alone, by force.
            let parts: Vec<_> = parts.filter(|part| contracts.get(part).is_some()).collect();
            let left = self.transfers.calls_to_ask(live.agreed.state(), &contract);
            let expiry = self.transfers.expiry_of(&contract);
            // Each is tried on top of all before it: what is too much for one turn is asked for with the next block.
            let makes_calls = has_calls(&change) || !left.is_empty();
            if before.len() >= MAX_BEFORE && makes_calls {
                self.transfers.postpone(contract);
                continue;
            }
            // What makes no calls builds on none.
            let before_it: &[Change] = if makes_calls { &before } else { &[] };
            let trial = Trial { live, me, config: &self.config, ctx, before: before_it, expiry };
            let change = if parts.is_empty() { Some(change) } else { trial.makeable(change) };
            let found = change
                .and_then(|change| Some((change, trial.sort(left, self.config.waits_for_code(expiry, ctx.head))?)));
            let Some((change, Sorted { made, refused })) = found else {
                self.transfers.postpone(contract);
                continue;
            };
            // A failure goes with its calls alone, and is asked for whether or not it can be made.
            let is_built_on = has_calls(&change) && trial.is_makeable(&change);
            let is_nothing_asked = parts.is_empty() && made.is_empty();
            for part in parts {
                let id = live.next_change();
                let change = if part == contract { change.clone() } else { alone(&change, part) };
                before.extend((is_built_on && part == contract).then(|| change.clone()));
                live.outgoing.enqueue(me, change);
                self.transfers.ask(id, contract);
            }
            for (place, call) in made {
                let id = live.next_change();
                before.push(calling(call.clone()));
                live.outgoing.enqueue(me, calling(call));
                self.transfers.ask_left(id, (contract, place));
            }
            // The app says that there is nothing to be done: the peer may have made the call itself.
            for (place, _call) in refused {
                self.transfers.drop_left((contract, place), live);
            }
            if is_nothing_asked && self.transfers.calls_to_ask(live.agreed.state(), &contract).is_empty() {
                self.transfers.want_nothing(&contract);
            } else if is_nothing_asked {
                self.transfers.postpone(contract);
            }
        }
    }

    /// The codes of apps that go with transfers, and that are not here.
    pub(crate) fn codes_to_fetch(&self, ctx: &Context<'_>) -> BTreeSet<Hash> {
        let Some(live) = self.phase.live() else { return BTreeSet::new() };
        let contracts = &live.agreed.state().contracts;
        let code = |contract: &ContractId| match contracts.get(contract)?.code {
            Code::Contract(code) if !ctx.apps.knows(&code) => Some(code),
            _ => None,
        };
        self.transfers.apps(live.agreed.state()).filter_map(code).collect()
    }

    /// Whether a close in agreement waits for calls that are left: with the channel they would be gone (R8.3g). For code that is fetched it waits for a bounded time.
    pub(crate) fn waits_for_left(&self, ctx: &Context<'_>) -> bool {
        let Some(live) = self.phase.live() else { return false };
        let agreed = live.agreed.state();
        self.transfers.has_any_left(agreed, |call, expiry| {
            let code = agreed.contracts.get(&call.contract).map(|contract| contract.code);
            let is_here = !matches!(code, Some(Code::Contract(code)) if !ctx.apps.knows(&code));
            is_here || self.config.waits_for_code(expiry, ctx.head)
        })
    }
}

/// Whether calls of apps go with the end of a transfer.
fn has_calls(change: &Change) -> bool {
    match change {
        Change::Claim { calls, .. } | Change::Fail { calls, .. } | Change::Refund { calls, .. } => !calls.is_empty(),
        _ => false,
    }
}
