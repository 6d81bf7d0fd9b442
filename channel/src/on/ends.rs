//! How a side ends transfers: in its next round, with the calls of apps that go with them, or by force (R8.3d, R8.3e, R8.3g).

use crate::{
    channel::Channel,
    input::Context,
    phase::{
        Phase,
        closing::ClosePath,
        live::{Live, forcing::Forcing},
    },
    state::{AppCall, Change, ChangeFault},
    step::Step,
    transfer::{IncomingTransfer, Intent, TransferBook, TransferId, TransferRow},
    wait::Act,
};
use protocol::{
    BlockNumber, Hash, Rejection,
    arbiter::MAX_FORCED_CALLS,
    call::ForcedCall,
    contracts::{
        CallFault, Code, ContractId,
        conditional::{ConditionalInput, HashLock},
    },
};
use scale::Encode;
use std::collections::BTreeSet;

impl Channel {
    /// Has what is wanted of transfers wait for the next round, with everything else that waits.
    pub(crate) fn ask_for_ends(&mut self, ctx: &Context<'_>) {
        let me = self.me;
        let Phase::Open(live) = &mut self.phase else { return };
        for (contract, change) in self.transfers.wanted() {
            let contracts = &live.agreed.state().contracts;
            let parts = std::iter::once(contract).chain(self.transfers.premium_of(&contract));
            // One of them may have ended alone, by force.
            let parts: Vec<_> = parts.filter(|part| contracts.get(part).is_some()).collect();
            let tried = change.executes().then(|| live.try_change(me, &change, &self.config, ctx));
            let change = match tried {
                Some(Err(fault)) if is_of_code(&fault) => {
                    // It is asked for with the block in which the code is here.
                    self.transfers.postpone(contract);
                    continue;
                }
                // A failure goes with its calls alone.
                Some(Err(_refused)) if !matches!(change, Change::Fail { .. }) => alone(&change, contract),
                Some(_) | None => change,
            };
            for part in parts {
                let id = live.next_change();
                let change = if part == contract { change.clone() } else { alone(&change, part) };
                live.outgoing.enqueue(me, change);
                self.transfers.ask(id, contract);
            }
            let mut left = self.transfers.calls_to_ask(&contract);
            // They are made in their order: a later one may build on those before it.
            while !left.is_empty() {
                let changes: Vec<_> = left.iter().cloned().map(calling).collect();
                match live.try_changes(me, &changes, &self.config, ctx) {
                    Ok(()) => {
                        for (change, call) in changes.into_iter().zip(std::mem::take(&mut left)) {
                            let id = live.next_change();
                            live.outgoing.enqueue(me, change);
                            self.transfers.ask_left(id, contract, call);
                        }
                    }
                    // The app says that there is nothing to be done: the peer may have made the call itself.
                    Err((at, fault)) if is_of_app(&fault) && live.outgoing.proposal().is_none() => {
                        let call = left.remove(at);
                        self.transfers.drop_left(&contract, &call);
                    }
                    Err(_not_now) => {
                        self.transfers.postpone(contract);
                        break;
                    }
                }
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
        self.transfers.apps().filter_map(code).collect()
    }

    /// What has been over for some time and what the peer does not answer is forced: nothing is lost by waiting, so that it is done in few steps (A3). A settled
    /// channel has nobody to ask; and what goes with transfers is forced before a channel that closes may have come to its end.
    pub(crate) fn force_ends(&mut self, ctx: &Context<'_>) -> Step {
        let is_residual = matches!(self.phase, Phase::Closing(_, ClosePath::Residual(_)));
        let is_closing = matches!(self.phase, Phase::Closing(_, ClosePath::Solo(_)));
        let Some(patience) = self.config.force_transfers_after else { return Step::default() };
        let patience = if is_residual { 0 } else { patience };
        // Were the channel settled, whoever comes first with its last coin would end it, and the apps with it.
        let hurried = if is_closing || is_residual { self.transfers.with_calls() } else { Vec::new() };
        let is_hurried = !hurried.is_empty();
        let is_free = is_residual || is_hurried || self.waits_for(Act::Force, ctx.head).is_none();
        let (Phase::Open(live) | Phase::Closing(live, _)) = &self.phase else { return Step::default() };
        // An old store makes no claim of its own (R6.6a), but where the state is final.
        let is_known = !live.store.is_doubtful() || self.is_settled_as_known();
        if !is_free || live.dispute.forcing().is_some() || live.dispute.pending_replay().is_some() || !is_known {
            return Step::default();
        }
        let until = ctx.head.saturating_sub(patience);
        let mut due = if is_closing { Vec::new() } else { self.transfers.due(until) };
        due.extend(hurried.into_iter().filter(|id| !due.contains(id)).collect::<Vec<_>>());
        let is_due = |expiry: BlockNumber, lock: &HashLock| {
            expiry <= until && ctx.transfers.registered(lock).is_silent_at(expiry)
        };
        let orphans = self.transfers.orphans().filter(|(_, expiry, lock)| !is_closing && is_due(*expiry, lock));
        let orphans = orphans.map(|(contract, ..)| call_of(contract, ConditionalInput::Refund));
        let mut calls = Vec::new();
        for id in due {
            let end = self.end_of(id, live, ctx.transfers);
            // A transfer, its premium and its calls are in one step.
            if calls.len().saturating_add(end.len()) > MAX_FORCED_CALLS {
                break;
            }
            self.extend_step(&mut calls, end, ctx);
        }
        let room = MAX_FORCED_CALLS.saturating_sub(calls.len());
        calls.extend(orphans.take(room));
        let patience = if is_hurried { 0 } else { patience };
        if calls.is_empty() || !self.transfers.may_force(ctx.head, patience) {
            return Step::default();
        }
        let forcing = Forcing::of(calls, Vec::new());
        // While a channel closes it is tried with each block: what is refused for now is not told of each time.
        if is_hurried && self.plan_of(&forcing, ctx).is_err() {
            return Step::default();
        }
        self.begin_forcing(forcing).and(self.force_again(ctx))
    }

    /// Adds the end of a transfer to a step: without the calls of apps where an app refuses them in it. For code that is fetched it waits, for a bounded time.
    fn extend_step(&self, calls: &mut Vec<ForcedCall>, end: ForcedEnd, ctx: &Context<'_>) {
        let before = calls.len();
        calls.extend(end.calls.iter().cloned());
        calls.extend(end.transfers.iter().cloned());
        if end.calls.is_empty() {
            return;
        }
        let Err(Rejection::CallFailed { fault, .. }) = self.plan_of(&Forcing::of(calls.clone(), Vec::new()), ctx)
        else {
            return;
        };
        calls.truncate(before);
        let patience = self.config.force_transfers_after.unwrap_or(0);
        let waits = fault == CallFault::CodeNotThere && ctx.head < end.expiry.saturating_add(patience);
        if !waits {
            calls.extend(end.transfers);
        }
    }

    /// The calls that end a transfer on chain, where the arbiter would make them now. Those of apps go first: no part of a step ends a channel that holds nothing else before they are
    /// made.
    fn end_of(&self, id: TransferId, live: &Live, book: &dyn TransferBook) -> ForcedEnd {
        let (terms, contract, premium, input) = match self.transfers.row(id) {
            Some(TransferRow::Incoming(IncomingTransfer {
                contract,
                premium,
                terms,
                intent: Intent::Claim(preimage),
                ..
            })) => (terms, contract, premium, ConditionalInput::Claim(preimage)),
            Some(TransferRow::Outgoing(row)) => {
                let Some(contract) = row.contract else { return ForcedEnd::default() };
                (row.offer.terms, contract, row.premium, ConditionalInput::Refund)
            }
            Some(TransferRow::Incoming(_)) | None => return ForcedEnd::default(),
        };
        let registered = book.registered(&terms.lock);
        let would_be_made = match input {
            ConditionalInput::Claim(_) => registered.is_shown_before(terms.expiry),
            ConditionalInput::Refund => registered.is_silent_at(terms.expiry),
        };
        if !would_be_made {
            return ForcedEnd::default();
        }
        let contracts = &live.agreed.state().contracts;
        let is_there = contracts.get(&contract).is_some();
        let calls =
            if is_there { self.transfers.calls_at(&contract, &input) } else { self.transfers.calls_left(&contract) };
        let there = std::iter::once(contract).chain(premium).filter(|id| contracts.get(id).is_some());
        ForcedEnd {
            calls: calls
                .into_iter()
                .map(|AppCall { contract, input }| ForcedCall { contract, value: 0, input })
                .collect(),
            transfers: there.map(|contract| call_of(contract, input)).collect(),
            expiry: terms.expiry,
        }
    }
}

/// How a transfer is ended by force.
#[derive(Default)]
struct ForcedEnd {
    /// The calls of apps that go with it.
    calls: Vec<ForcedCall>,
    /// The transfer, and its premium.
    transfers: Vec<ForcedCall>,
    expiry: BlockNumber,
}

impl ForcedEnd {
    fn len(&self) -> usize {
        self.calls.len().saturating_add(self.transfers.len())
    }
}

/// A call that goes with a transfer, as a change of its own.
fn calling(AppCall { contract, input }: AppCall) -> Change {
    Change::CallContract { contract, value: 0, input }
}

/// Whether a change cannot be made because the code of an app is not here.
const fn is_of_code(fault: &ChangeFault) -> bool {
    matches!(fault, ChangeFault::CodeUnknown(_) | ChangeFault::Call(CallFault::CodeNotThere))
}

/// Whether an app refuses a change, or is not there any more.
const fn is_of_app(fault: &ChangeFault) -> bool {
    matches!(fault, ChangeFault::Call(_) | ChangeFault::ContractUnknown(_)) && !is_of_code(fault)
}

fn call_of(contract: ContractId, input: ConditionalInput) -> ForcedCall {
    ForcedCall { contract, value: 0, input: input.encode() }
}

/// The same end, of this contract and without calls: as a premium ends, since what is called goes with the transfer itself, or a transfer whose app refuses.
fn alone(change: &Change, contract: ContractId) -> Change {
    let calls = Vec::new();
    match change {
        Change::Claim { preimage, .. } => Change::Claim { contract, preimage: *preimage, calls },
        Change::Fail { reason, .. } => Change::Fail { contract, reason: reason.clone(), calls },
        _ => Change::Refund { contract, calls },
    }
}
