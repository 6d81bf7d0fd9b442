//! A channel with everybody who waits for something of it.

use super::{
    answer::{Failing, PaymentAnswer, PaymentReply},
    aside::Pulse,
    disputes::UnconfirmedDisputes,
    error::NodeError,
    events::Notification,
    inbox::Reply,
    purse::PaidOpening,
    receipt::{ChangesReceipt, PaymentReceipt, PaymentsReceipt},
    submitted::{Calls, FailureKind},
    transit::Transit,
};
use crate::chain::CallError;
use channel::{
    ChangeId, Channel, ChannelRef, CloseReason, Event, EventNumber, Misuse, Notice, Outcome, Performed, SoloStep, Step,
};
use protocol::{ChannelId, Pair, Party, PartyId, Rejection, Round, call::CallKind};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    ops::Range,
    sync::Arc,
};
use tokio::sync::{Notify, OwnedSemaphorePermit};

/// The places that an opening takes until it is on chain: of the peer's and, where the peer is a stranger, of all strangers' and of its address's.
pub(super) type Asked = Vec<OwnedSemaphorePermit>;

/// One channel of a peer.
pub(super) struct Slot {
    pub(super) channel: Channel,
    /// Its id on chain, once known; kept beyond its end.
    pub(super) id: Option<ChannelId>,
    /// The nonce that this side has named for it, and of which pair; kept as long as the slot, so that none is named twice. None where it was
    /// on chain before this node started: what the chain says is above it.
    pub(super) nonce: Option<(Pair<PartyId>, u64)>,
    /// The store has a row of it.
    pub(super) is_stored: bool,
    /// Waits for the channel to open.
    pub(super) opening: Option<Reply<ChannelRef>>,
    /// Held by an opening that the account pays for until it has ended, well or not.
    pub(super) paid_for: Option<PaidOpening>,
    /// Wait for payments to be agreed.
    pub(super) payments: HashMap<ChangeId, PaymentReply<PaymentReceipt>>,
    /// What was told of calls that do not reach the arbiter: each kind of reason once; forgotten when one does.
    pub(super) failing: HashMap<CallKind, Vec<FailureKind>>,
    /// Wait for payments with a key to be agreed: whoever asked for the same one.
    pub(super) keyed: HashMap<ChangeId, Vec<PaymentReply<PaymentReceipt>>>,
    /// Wait for several changes to be agreed, in the order of those changes.
    waiting: VecDeque<BatchWaiter>,
    /// Those that are about to be told of as not made, and may have been made all the same.
    unknown: HashSet<ChangeId>,
    /// Waits for calls to be forced.
    pub(super) forcing: Option<Reply<Vec<Performed>>>,
    /// Waits for the own deposit, withdrawal or other delegates.
    pub(super) operation: Option<Reply<Round>>,
    /// The number of the event that tells of the channel's end, once it was told.
    pub(super) last_event: Option<EventNumber>,
    /// Asked for a close in agreement.
    pub(super) shutdowns: Vec<Reply<CloseReason>>,
    /// The channel has ended, and what the store had of it is kept elsewhere.
    pub(super) is_kept: bool,
    /// Asked for a close alone.
    pub(super) solos: Vec<Reply<CloseReason>>,
    /// Wait for the channel's end.
    pub(super) ends: Vec<Reply<CloseReason>>,
    /// Held by an opening that the peer asked for until it is on chain.
    pub(super) asked: Option<Asked>,
    /// Calls of the arbiter: the same one is not made twice at once.
    pub(super) calls: Calls,
    pub(super) pulse: Pulse,
    /// Conditional transfers, as far as they are told elsewhere.
    pub(super) transit: Transit,
    /// What nobody has confirmed.
    pub(super) disputes: UnconfirmedDisputes,
}

/// Somebody who waits for changes with ids in a row.
struct BatchWaiter {
    first: ChangeId,
    /// Those that are not agreed yet.
    ids: Range<ChangeId>,
    /// What they did, as far as it was told.
    outcomes: Vec<Outcome>,
    told: BatchReply,
}

/// What is said once all of the changes are agreed.
pub(super) enum BatchReply {
    /// That these payments are made.
    PaidAll(PaymentReply<PaymentsReceipt>),
    /// What each has done.
    Made(Reply<ChangesReceipt>),
}

impl BatchWaiter {
    /// Whoever has stopped waiting is not missed.
    fn done(self, round: Round) {
        let _gone = match self.told {
            BatchReply::PaidAll(reply) => reply.send(Ok(PaymentsReceipt { first: self.first, round }).into()).is_err(),
            BatchReply::Made(reply) => reply.send(Ok(ChangesReceipt { round, outcomes: self.outcomes })).is_err(),
        };
    }

    fn failed(self, error: NodeError) {
        let _gone = match self.told {
            BatchReply::PaidAll(reply) => reply.send(PaymentAnswer::failed(error)).is_err(),
            BatchReply::Made(reply) => reply.send(Err(error)).is_err(),
        };
    }
}

impl Slot {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            id: channel.channel_id(),
            nonce: channel.named_nonce(),
            channel,
            is_stored: false,
            opening: None,
            paid_for: None,
            payments: HashMap::new(),
            failing: HashMap::new(),
            keyed: HashMap::new(),
            waiting: VecDeque::new(),
            unknown: HashSet::new(),
            forcing: None,
            operation: None,
            last_event: None,
            is_kept: false,
            shutdowns: Vec::new(),
            solos: Vec::new(),
            ends: Vec::new(),
            asked: None,
            calls: Calls::default(),
            pulse: Pulse::default(),
            transit: Transit::default(),
            disputes: UnconfirmedDisputes::default(),
        }
    }

    /// Whether it is on its way to the chain: somebody waits for it, or its nonce may still come to be there, although it was refused.
    pub(super) fn is_opening(&self) -> bool {
        self.opening.is_some() || (self.channel.named_nonce().is_some() && !self.channel.is_on_chain())
    }

    /// Whether this side pays for an opening that may yet come to be on chain.
    pub(super) fn is_paid_opening(&self) -> bool {
        self.channel.party() == Party::Initiator && !self.channel.is_on_chain() && self.channel.named_nonce().is_some()
    }

    /// Whether its peer is no stranger because of it: it has been on chain, or this node wants it there.
    pub(super) fn is_known(&self) -> bool {
        self.channel.state().is_some() || self.channel.party() == Party::Initiator
    }

    /// Notes for which changes that are not made the peer still holds a signature. To be asked with the step that says so: what comes after it may be
    /// told together with it.
    pub(super) fn note_doubt(&mut self, step: &Step) {
        for event in step.events() {
            let (Event::Refused { payments: unmade, .. }
            | Event::Dropped { payments: unmade }
            | Event::Failed { changes: unmade, .. }) = event
            else {
                continue;
            };
            self.unknown.extend(unmade.ids().iter().filter(|change| self.channel.may_be_made(**change)));
        }
    }

    /// Answers whoever waits for what `event` tells. Whoever has stopped waiting is not missed.
    pub(super) fn answer(&mut self, event: &Notification) {
        match event {
            Notification::Event(event) => self.answer_event(event),
            Notification::Notice(Notice::SoloStepCancelled { step, why }) => self.give_up_step(*step, why),
            Notification::Notice(Notice::NotOpened { code }) => {
                self.answer_end(&CloseReason::NotOpened { code: *code });
            }
            Notification::Notice(Notice::CallRejected { call: CallKind::ChannelCreate, rejection }) => {
                self.end_opening(Err(CallError::Rejected(*rejection).into()));
            }
            Notification::Notice(_) => {}
        }
    }

    /// Whether somebody waits for changes.
    pub(super) fn has_waiting(&self) -> bool {
        !(self.payments.is_empty() && self.keyed.is_empty() && self.waiting.is_empty())
    }

    /// Answers whoever waits for payments that are agreed and not kept yet (R6.4c); `taken` is notified once somebody has taken that. What changes of other
    /// kinds did is told once it is kept.
    pub(super) fn answer_agreed(&mut self, payments: &[ChangeId], round: Round, taken: &Arc<Notify>) {
        let Some(&last) = payments.last() else { return };
        self.answer_payments(payments, |payment| PaymentAnswer::of_agreed(PaymentReceipt { payment, round }, taken));
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting {
                BatchWaiter { first, ids, told: BatchReply::PaidAll(reply), .. } if ids.end <= after(last) => {
                    let _gone = reply.send(PaymentAnswer::of_agreed(PaymentsReceipt { first, round }, taken));
                }
                waiting => self.waiting.push_back(waiting),
            }
        }
    }

    fn answer_event(&mut self, event: &Event) {
        match event {
            Event::Opened { .. } => {
                self.end_opening(Ok(self.channel.reference()));
            }
            Event::Paid { payments, round } => {
                self.answer_payments(payments.ids(), |payment| Ok(PaymentReceipt { payment, round: *round }).into());
                self.answer_waiting(payments.ids(), *round);
            }
            Event::Executed { round, forced, performed } => self.note_performed(*round, *forced, performed),
            Event::Refused { payments, code } => {
                self.fail_changes(payments.ids(), |change| NodeError::PaymentRefused { payment: change, code: *code });
            }
            Event::Dropped { payments } => self.fail_changes(payments.ids(), NodeError::PaymentDropped),
            Event::Failed { changes, fault } => {
                self.fail_changes(changes.ids(), |change| NodeError::ChangeFailed { change, fault: *fault });
            }
            Event::ForceFailed { changes, rejection } => {
                self.fail_changes(changes, |_| CallError::Rejected(*rejection).into());
                self.fail_forcing(*rejection);
            }
            Event::ShutdownRefused { code } => {
                for reply in self.shutdowns.drain(..) {
                    let _gone = reply.send(Err(NodeError::ShutdownRefused(*code)));
                }
            }
            Event::Closed(reason) => self.answer_end(reason),
            Event::Deposited { party, round, .. } | Event::Withdrawn { party, round, .. }
                if *party == self.channel.party() =>
            {
                self.answer_operation(Ok(*round));
            }
            // The peer's are told in the same words: it is one's own that waits when there is none under way any more.
            Event::DelegatesSet { round, .. } if !self.channel.is_operation_pending() => {
                self.answer_operation(Ok(*round));
            }
            Event::OperationUnseen { operation } => {
                self.answer_operation(Err(NodeError::OperationUnseen { operation: *operation }));
            }
            Event::OperationFailed { operation, code } => {
                self.answer_operation(Err(NodeError::OperationFailed { operation: *operation, code: *code }));
            }
            // Nobody waits for these, nor for what later versions may add.
            _ => {}
        }
    }

    /// The opening has ended: this account lays nothing more down for it, and whoever waits for it is told.
    fn end_opening(&mut self, answer: Result<ChannelRef, NodeError>) {
        self.paid_for = None;
        if let Some(reply) = self.opening.take() {
            let _gone = reply.send(answer);
        }
    }

    /// Tells whoever waits for the channel to open why it does not; false where the same call may succeed later.
    pub(super) fn give_up_opening(&mut self, error: CallError) -> bool {
        let helpless = !matches!(&error, CallError::Chain(error) if error.may_pass());
        if helpless {
            self.end_opening(Err(error.into()));
        }
        helpless
    }

    /// Somebody waits for the changes with these ids, the last that were asked for.
    pub(super) fn wait(&mut self, ids: Range<ChangeId>, told: BatchReply) {
        self.waiting.push_back(BatchWaiter { first: ids.start, ids, outcomes: Vec::new(), told });
    }

    /// Changes that will not be made, whose ids follow each other: whoever waits for some of them is told.
    fn fail_changes(&mut self, changes: &[ChangeId], error: impl Fn(ChangeId) -> NodeError) {
        let unknown: HashSet<_> = changes.iter().copied().filter(|change| self.unknown.remove(change)).collect();
        let error = |change| if unknown.contains(&change) { NodeError::PaymentUnknown(change) } else { error(change) };
        self.answer_payments(changes, |change| PaymentAnswer::failed(error(change)));
        let (Some(&lowest), Some(&highest)) = (changes.first(), changes.last()) else { return };
        for waiting in std::mem::take(&mut self.waiting) {
            if waiting.ids.start <= highest && lowest < waiting.ids.end {
                let first = lowest.max(waiting.ids.start);
                waiting.failed(error(first));
            } else {
                self.waiting.push_back(waiting);
            }
        }
    }

    /// Counts off changes that are agreed, which they are in the order of their ids; what they did was told before.
    fn answer_waiting(&mut self, changes: &[ChangeId], round: Round) {
        let Some(&last) = changes.last() else { return };
        while let Some(waiting) = self.waiting.front_mut().filter(|waiting| waiting.ids.start <= last) {
            waiting.ids.start = waiting.ids.end.min(after(last));
            if waiting.ids.start < waiting.ids.end {
                return;
            }
            if let Some(waiting) = self.waiting.pop_front() {
                waiting.done(round);
            }
        }
    }

    /// Notes what changes did, for whoever waits for them. Those that were forced are not told of in another way.
    fn note_performed(&mut self, round: Round, forced: bool, performed: &[Performed]) {
        let party = self.channel.party();
        for done in performed.iter().filter(|done| done.by == party) {
            let Some(change) = done.change else { continue };
            if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.ids.contains(&change)) {
                waiting.outcomes.push(done.outcome.clone());
            }
        }
        if forced {
            let changes: Vec<_> = performed.iter().filter_map(|done| done.change).collect();
            self.answer_waiting(&changes, round);
            if performed.iter().all(|done| done.by == party && done.change.is_none())
                && let Some(reply) = self.forcing.take()
            {
                let _gone = reply.send(Ok(performed.to_vec()));
            }
        }
    }

    /// What waited for the peer's word is not made (R6.6b).
    fn give_up_step(&mut self, step: SoloStep, why: &Misuse) {
        match step {
            SoloStep::Close => {
                for reply in self.solos.drain(..) {
                    let _gone = reply.send(Err(why.clone().into()));
                }
            }
            SoloStep::Force => {
                if let Some(reply) = self.forcing.take() {
                    let _gone = reply.send(Err(why.clone().into()));
                }
            }
        }
    }

    fn fail_forcing(&mut self, rejection: Rejection) {
        if let Some(reply) = self.forcing.take() {
            let _gone = reply.send(Err(CallError::Rejected(rejection).into()));
        }
    }

    fn answer_payments(&mut self, payments: &[ChangeId], answer: impl Fn(ChangeId) -> PaymentAnswer<PaymentReceipt>) {
        if self.payments.is_empty() && self.keyed.is_empty() {
            return;
        }
        for &payment in payments {
            for reply in self.keyed.remove(&payment).unwrap_or_default() {
                let _gone = reply.send(answer(payment));
            }
            if let Some(reply) = self.payments.remove(&payment) {
                let _gone = reply.send(answer(payment));
            }
        }
    }

    fn answer_operation(&mut self, answer: Result<Round, NodeError>) {
        if let Some(reply) = self.operation.take() {
            let _gone = reply.send(answer);
        }
    }

    fn answer_end(&mut self, reason: &CloseReason) {
        self.end_opening(Err(NodeError::Ended(reason.clone())));
        let channel = &self.channel;
        let unmade = |change| match channel.may_be_made(change) {
            true => NodeError::PaymentUnknown(change),
            false => NodeError::PaymentDropped(change),
        };
        for (payment, reply) in self.payments.drain() {
            let _gone = reply.send(PaymentAnswer::failed(unmade(payment)));
        }
        for (payment, replies) in self.keyed.drain() {
            for reply in replies {
                let _gone = reply.send(PaymentAnswer::failed(unmade(payment)));
            }
        }
        for waiting in self.waiting.drain(..) {
            let next = waiting.ids.start;
            waiting.failed(unmade(next));
        }
        if let Some(reply) = self.forcing.take() {
            let _gone = reply.send(Err(NodeError::Ended(reason.clone())));
        }
        self.answer_operation(Err(NodeError::Ended(reason.clone())));
        for reply in self.shutdowns.drain(..).chain(self.solos.drain(..)).chain(self.ends.drain(..)) {
            let _gone = reply.send(Ok(reason.clone()));
        }
    }
}

/// The id that follows.
const fn after(id: ChangeId) -> ChangeId {
    ChangeId(id.0.saturating_add(1))
}
