//! How a side ends transfers by force, with the calls of apps that go with them (R8.3d, R8.3g).

use crate::{
    channel::Channel,
    event::Event,
    input::Context,
    phase::{
        Phase,
        closing::ClosePath,
        live::{Live, forcing::Forcing},
    },
    state::AppCall,
    step::Step,
    transfer::{IncomingTransfer, Intent, TransferBook, TransferId, TransferRow, marks::LeftCall},
    wait::Act,
};
use protocol::{
    BlockNumber, Rejection,
    arbiter::MAX_FORCED_CALLS,
    call::{CallKind, ForcedCall},
    contracts::{
        CallFault, ContractId,
        conditional::{ConditionalInput, HashLock},
    },
};
use scale::Encode;

/// How a transfer is ended by force.
#[derive(Default)]
struct ForcedEnd {
    /// The calls of apps that go with it, and which of the transfer's they are.
    calls: Vec<(LeftCall, ForcedCall)>,
    /// The transfer, and its premium.
    transfers: Vec<ForcedCall>,
    expiry: BlockNumber,
}

impl ForcedEnd {
    fn len(&self) -> usize {
        self.calls.len().saturating_add(self.transfers.len())
    }
}

/// What a forced step that ends transfers has.
#[derive(Default)]
pub(crate) struct StepOfEnds {
    /// Its calls, in their order.
    pub(crate) calls: Vec<ForcedCall>,
    /// Calls that are left and that apps refuse: they are not among them.
    refused: Vec<LeftCall>,
}

impl Channel {
    /// What has been over for some time and what the peer does not answer is forced: nothing is lost by waiting, so that it is done in few steps (A3). A settled
    /// channel has nobody to ask; and what goes with transfers is forced before a channel that closes may have come to its end.
    pub(crate) fn force_ends(&mut self, ctx: &Context<'_>) -> Step {
        let Some(patience) = self.patience_with_ends() else { return Step::default() };
        let is_residual = matches!(self.phase, Phase::Closing(_, ClosePath::Residual(_)));
        let is_hurried = !self.hurried_ends().is_empty();
        let is_quiet = is_hurried || is_residual;
        let is_free = is_residual || is_hurried || self.waits_for(Act::Force, ctx.head).is_none();
        let (Phase::Open(live) | Phase::Closing(live, _)) = &self.phase else { return Step::default() };
        // An old store makes no claim of its own (R6.6a), but where the state is final.
        let is_known = !live.store.is_doubtful() || self.is_settled_as_known();
        if !is_free || live.dispute.forcing().is_some() || live.dispute.pending_replay().is_some() || !is_known {
            return Step::default();
        }
        let patience = if is_hurried { 0 } else { patience };
        if !self.transfers.may_force(ctx.head, patience) {
            return Step::default();
        }
        let StepOfEnds { calls, refused } = self.ends_to_force(live, ctx);
        let dropped = self.drop_refused(refused);
        if calls.is_empty() {
            return dropped;
        }
        self.transfers.note_try(ctx.head);
        let forcing = Forcing::of_ends(calls);
        match self.plan_of(&forcing, ctx) {
            Ok(submit) => dropped.and(self.begin_forcing(forcing)).and(Step::act(vec![submit])),
            // While a channel closes, and once it is settled, it is tried with each block: what is refused for now is not told of.
            Err(_) if is_quiet => dropped,
            Err(rejection) if self.is_known_rejection(CallKind::ChannelForceProgress, rejection) => dropped,
            Err(rejection) => dropped.and(Step::tell([Event::ForceFailed { changes: Vec::new(), rejection }])),
        }
    }

    /// What an app refuses of calls that are left is left no more.
    fn drop_refused(&mut self, refused: Vec<LeftCall>) -> Step {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return Step::default() };
        if refused.is_empty() {
            return Step::default();
        }
        for call in refused {
            self.transfers.drop_left(call, live);
        }
        Step::commit(Vec::new())
    }

    /// How many blocks after its expiry a transfer is ended by force: at once where nobody is there to be asked. None where it is not.
    fn patience_with_ends(&self) -> Option<BlockNumber> {
        let is_residual = matches!(self.phase, Phase::Closing(_, ClosePath::Residual(_)));
        self.config.force_transfers_after.map(|patience| if is_residual { 0 } else { patience })
    }

    /// The transfers that are ended by force as soon as the arbiter would do it: were the channel settled, whoever comes first with its last coin would end it, and the
    /// apps with it.
    fn hurried_ends(&self) -> Vec<TransferId> {
        match &self.phase {
            Phase::Closing(_, ClosePath::Solo(_) | ClosePath::Residual(_)) => self.transfers.with_calls(),
            _ => Vec::new(),
        }
    }

    /// The calls of the next forced step that ends transfers.
    pub(crate) fn ends_to_force(&self, live: &Live, ctx: &Context<'_>) -> StepOfEnds {
        let Some(patience) = self.patience_with_ends() else { return StepOfEnds::default() };
        let is_closing = matches!(self.phase, Phase::Closing(_, ClosePath::Solo(_)));
        let begun = live.dispute.forcing().filter(|forcing| forcing.are_ends());
        // While a channel closes only what is being forced already goes on beside them.
        let goes_on = |contract: &ContractId| !is_closing || begun.is_some_and(|forcing| forcing.calls(contract));
        let until = ctx.head.saturating_sub(patience);
        let mut due = self.hurried_ends();
        let others = self.transfers.due(until).into_iter().filter(|id| !due.contains(id));
        let others = others.filter(|id| self.transfers.contract_of(*id).is_some_and(|contract| goes_on(&contract)));
        due.extend(others.collect::<Vec<_>>());
        let is_due = |expiry: BlockNumber, lock: &HashLock| {
            expiry <= until && ctx.transfers.registered(lock).is_silent_at(expiry)
        };
        let orphans = self.transfers.orphans().filter(|(id, expiry, lock)| goes_on(id) && is_due(*expiry, lock));
        let orphans = orphans.map(|(contract, ..)| call_of(contract, ConditionalInput::Refund));
        let mut step = StepOfEnds::default();
        let mut needs_step = false;
        for id in due {
            let end = self.end_of(id, live, ctx.transfers);
            // A transfer, its premium and its calls are in one step.
            if step.calls.len().saturating_add(end.len()) > MAX_FORCED_CALLS {
                break;
            }
            let before = step.calls.len();
            self.extend_step(&mut step, end, ctx);
            needs_step |= step.calls.len() > before && self.transfers.has_calls(id);
        }
        let room = MAX_FORCED_CALLS.saturating_sub(step.calls.len());
        step.calls.extend(orphans.take(room));
        if !needs_step && !self.may_spare_a_step(ctx) {
            step.calls.clear();
        }
        step
    }

    /// Whether a step may be made that ends no transfer with calls: each of these may need one, until the channel is settled (R8.3g).
    pub(crate) fn may_spare_a_step(&self, ctx: &Context<'_>) -> bool {
        let (Phase::Open(live) | Phase::Closing(live, ClosePath::Solo(_))) = &self.phase else { return true };
        let with_calls = self.transfers.may_need_steps(live.agreed.state(), ctx.transfers);
        if with_calls == 0 {
            return true;
        }
        let is_anew = live.newer_than_chain(ctx.head).is_some();
        let made = if is_anew { 0 } else { live.dispute.forced_steps()[self.me] };
        usize::from(live.funding.terms().max_forced.saturating_sub(made)) > with_calls
    }

    /// Adds the end of a transfer to a step, without those calls of apps that keep the step from being made: one that is refused holds up nothing else. For code that is
    /// fetched it waits, for a bounded time.
    fn extend_step(&self, step: &mut StepOfEnds, mut end: ForcedEnd, ctx: &Context<'_>) {
        let all = end.calls.len();
        end.calls.retain(|(_, call)| !self.transfers.is_left_out(call));
        let mut waits_for_some = end.calls.len() < all;
        let StepOfEnds { calls, refused } = step;
        let before = calls.len();
        let is_made =
            |calls: &[ForcedCall]| self.plan_of(&Forcing::of(calls.to_vec(), Vec::new()), ctx).map(|_submit| ());
        let waits = self.config.waits_for_code(end.expiry, ctx.head);
        calls.extend(end.calls.iter().map(|(_, call)| call).chain(&end.transfers).cloned());
        if end.calls.is_empty() {
            return;
        }
        match is_made(calls) {
            // It is no matter of these calls, and the user is told of it with the step.
            Ok(()) | Err(Rejection::ForcedStepsUsedUp { .. }) => return,
            Err(_) => calls.truncate(before),
        }
        let is_left = end.transfers.is_empty();
        let known = refused.len();
        for (left, call) in end.calls {
            calls.push(call);
            match is_made(calls) {
                Ok(()) => continue,
                Err(Rejection::CallFailed { fault: CallFault::CodeNotThere, .. }) if waits => {
                    calls.truncate(before);
                    return;
                }
                // Beside others it may be refused because of them, and none of them is made yet.
                Err(Rejection::CallFailed { fault, .. }) if is_left && calls.len() == 1 && !may_pass(fault) => {
                    refused.push(left);
                }
                // For code that never comes nothing else waits.
                Err(Rejection::CallFailed { fault: CallFault::CodeNotThere, .. }) => {}
                Err(_) => waits_for_some = true,
            }
            let _left_out = calls.pop();
        }
        if waits_for_some {
            // What is refused may build on what waits.
            refused.truncate(known);
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
            calls: calls.into_iter().map(|(place, call)| ((contract, place), forced(call))).collect(),
            transfers: there.map(|contract| call_of(contract, input)).collect(),
            expiry: terms.expiry,
        }
    }
}

fn call_of(contract: ContractId, input: ConditionalInput) -> ForcedCall {
    ForcedCall { contract, value: 0, input: input.encode() }
}

/// Whether a call that fails so may be made in a later block.
const fn may_pass(fault: CallFault) -> bool {
    matches!(fault, CallFault::CodeNotThere | CallFault::TooEarly { .. })
}
