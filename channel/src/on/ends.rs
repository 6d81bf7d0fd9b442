//! How a side ends transfers: in its next round, with the calls of apps that go with them, or by force (R8.3d, R8.3e, R8.3g).

use crate::{
    channel::Channel,
    config::Config,
    input::Context,
    phase::{
        Phase,
        closing::ClosePath,
        live::{Live, forcing::Forcing},
    },
    state::{AppCall, Change, ChangeFault},
    step::Step,
    transfer::{IncomingTransfer, Intent, TransferBook, TransferId, TransferRow, marks::PlacedCall},
    wait::Act,
};
use protocol::{
    BlockNumber, Hash, Party, Rejection,
    arbiter::MAX_FORCED_CALLS,
    call::ForcedCall,
    contracts::{
        CallFault, Code, ContractId, Requirement,
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
        for (contract, change) in self.transfers.wanted(live.agreed.state()) {
            let trial = Trial { live, me, config: &self.config, ctx };
            let contracts = &live.agreed.state().contracts;
            let parts = std::iter::once(contract).chain(self.transfers.premium_of(&contract));
            // One of them may have ended alone, by force.
            let parts: Vec<_> = parts.filter(|part| contracts.get(part).is_some()).collect();
            let left = self.transfers.calls_to_ask(live.agreed.state(), &contract);
            let change = if parts.is_empty() { Some(change) } else { trial.makeable(change) };
            let found = change.and_then(|change| Some((change, trial.sort(left)?)));
            let Some((change, Sorted { made, refused })) = found else {
                self.transfers.postpone(contract);
                continue;
            };
            if parts.is_empty() && made.is_empty() {
                self.transfers.want_nothing(&contract);
            }
            for part in parts {
                let id = live.next_change();
                let change = if part == contract { change.clone() } else { alone(&change, part) };
                live.outgoing.enqueue(me, change);
                self.transfers.ask(id, contract);
            }
            for (place, call) in made {
                let id = live.next_change();
                live.outgoing.enqueue(me, calling(call));
                self.transfers.ask_left(id, (contract, place));
            }
            // The app says that there is nothing to be done: the peer may have made the call itself.
            for (place, _call) in refused {
                self.transfers.drop_left((contract, place), live.agreed.marks_mut());
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
        let is_quiet = is_hurried || is_residual;
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
        // While a channel closes, and once it is settled, it is tried with each block: what is refused for now is not told of each time.
        if is_quiet && self.plan_of(&forcing, ctx).is_err() {
            return Step::default();
        }
        self.begin_forcing(forcing).and(self.force_again(ctx))
    }

    /// Adds the end of a transfer to a step, without those calls of apps that keep the step from being made: one that is refused holds up nothing else. For code that is
    /// fetched it waits, for a bounded time.
    fn extend_step(&self, calls: &mut Vec<ForcedCall>, end: ForcedEnd, ctx: &Context<'_>) {
        let before = calls.len();
        let is_made =
            |calls: &[ForcedCall]| self.plan_of(&Forcing::of(calls.to_vec(), Vec::new()), ctx).map(|_submit| ());
        let patience = self.config.force_transfers_after.unwrap_or(0);
        let waits = ctx.head < end.expiry.saturating_add(patience);
        calls.extend(end.calls.iter().chain(&end.transfers).cloned());
        if end.calls.is_empty() || is_made(calls).is_ok() {
            return;
        }
        calls.truncate(before);
        for call in end.calls {
            calls.push(call);
            match is_made(calls) {
                Ok(()) => {}
                Err(Rejection::CallFailed { fault: CallFault::CodeNotThere, .. }) if waits => {
                    calls.truncate(before);
                    return;
                }
                Err(_) => drop(calls.pop()),
            }
        }
        calls.extend(end.transfers);
        if calls.len() > before && is_made(calls).is_err() {
            calls.truncate(before);
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
        let agreed = live.agreed.state();
        let is_there = |id: &ContractId| agreed.contracts.get(id).is_some();
        let calls = if is_there(&contract) {
            self.transfers.calls_to_make(agreed, &contract, &input)
        } else {
            self.transfers.calls_left(agreed, &contract)
        };
        let there = std::iter::once(contract).chain(premium).filter(is_there);
        let forced = |AppCall { contract, input }: AppCall| ForcedCall { contract, value: 0, input };
        ForcedEnd {
            calls: calls.into_iter().map(|(_, call)| forced(call)).collect(),
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

/// Tries what a side asks for on what its next round goes on from.
struct Trial<'a> {
    live: &'a Live,
    me: Party,
    config: &'a Config,
    ctx: &'a Context<'a>,
}

/// Why a change cannot be made in the next round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hindrance {
    /// An app refuses it, or what it requires of a hash lock will never be met.
    Refused,
    /// The code of an app is not here.
    Code,
    /// It is too much for the round, or something else that may pass.
    NotNow,
}

/// Calls that are left, by what can be done about them.
struct Sorted {
    /// They can be made in the next round.
    made: Vec<PlacedCall>,
    /// They can never be made.
    refused: Vec<PlacedCall>,
}

impl Trial<'_> {
    fn tried(&self, changes: &[Change]) -> Result<(), (usize, Hindrance)> {
        let Self { live, me, config, ctx } = *self;
        let requirements =
            live.try_changes(me, changes, config, ctx).map_err(|(at, fault)| (at, Hindrance::of(&fault)))?;
        let never = requirements.iter().find(|(_, requirement)| is_never_met(requirement, ctx.transfers));
        never.map_or(Ok(()), |(at, _)| Err((usize::try_from(*at).unwrap_or(0), Hindrance::Refused)))
    }

    /// The end of a transfer, without those of its calls that cannot be made. None where it waits for the next block.
    fn makeable(&self, change: Change) -> Option<Change> {
        let fault = match self.tried(std::slice::from_ref(&change)) {
            Ok(()) => return Some(change),
            Err((_, fault)) => fault,
        };
        match &change {
            _ if fault != Hindrance::Refused => None,
            Change::Claim { contract, calls, .. } | Change::Refund { contract, calls } => {
                let mut with = Vec::new();
                for call in calls {
                    with.push(call.clone());
                    match self.tried(&[with_calls(&change, *contract, with.clone())]) {
                        Ok(()) => {}
                        Err((_, Hindrance::Refused)) => drop(with.pop()),
                        Err((_, Hindrance::Code | Hindrance::NotNow)) => return None,
                    }
                }
                // What is proposed may be what an app refuses it for.
                self.live.outgoing.proposal().is_none().then(|| with_calls(&change, *contract, with))
            }
            // A failure goes with its calls alone.
            _ => Some(change),
        }
    }

    /// Sorts calls that are left. They are made in their order, since a later one may build on those before it. None where all of them wait for the next block.
    fn sort(&self, left: Vec<PlacedCall>) -> Option<Sorted> {
        let (mut made, mut refused) = (left, Vec::new());
        let mut waits = false;
        loop {
            let changes: Vec<_> = made.iter().map(|(_, call)| calling(call.clone())).collect();
            match self.tried(&changes) {
                Ok(()) => break,
                Err((at, Hindrance::Refused)) => refused.push(made.remove(at)),
                Err((at, Hindrance::Code)) => {
                    let _waits = made.remove(at);
                    waits = true;
                }
                Err((at, Hindrance::NotNow)) => {
                    made.truncate(at);
                    waits = true;
                }
            }
        }
        // What is proposed, or waits, may be what it builds on.
        if waits || self.live.outgoing.proposal().is_some() {
            waits |= !refused.is_empty();
            refused.clear();
        }
        (!made.is_empty() || !waits).then_some(Sorted { made, refused })
    }
}

impl Hindrance {
    const fn of(fault: &ChangeFault) -> Self {
        match fault {
            ChangeFault::CodeUnknown(_) | ChangeFault::Call(CallFault::CodeNotThere) => Self::Code,
            ChangeFault::Call(_) | ChangeFault::ContractUnknown(_) => Self::Refused,
            _ => Self::NotNow,
        }
    }
}

/// Whether what a call requires of a hash lock is known to be met never.
fn is_never_met(requirement: &Requirement, book: &dyn TransferBook) -> bool {
    match requirement {
        Requirement::Shown { lock, before, .. } => book.registered(lock).is_silent_at(*before),
        Requirement::Silent { lock, from } => book.registered(lock).is_shown_before(*from),
    }
}

/// A call that goes with a transfer, as a change of its own.
fn calling(AppCall { contract, input }: AppCall) -> Change {
    Change::CallContract { contract, value: 0, input }
}

fn call_of(contract: ContractId, input: ConditionalInput) -> ForcedCall {
    ForcedCall { contract, value: 0, input: input.encode() }
}

/// The same end, of this contract and without calls: as a premium ends, since what is called goes with the transfer itself.
fn alone(change: &Change, contract: ContractId) -> Change {
    with_calls(change, contract, Vec::new())
}

/// The same end, of this contract and with these calls.
fn with_calls(change: &Change, contract: ContractId, calls: Vec<AppCall>) -> Change {
    match change {
        Change::Claim { preimage, .. } => Change::Claim { contract, preimage: *preimage, calls },
        Change::Fail { reason, .. } => Change::Fail { contract, reason: reason.clone(), calls },
        _ => Change::Refund { contract, calls },
    }
}
