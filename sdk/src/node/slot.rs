//! A channel with everybody who waits for something of it.

use super::{Made, NodeError, Paid, PaidAll, handle::ChannelHandle};
use crate::chain::CallError;
use channel::{ChangeId, Channel, CloseReason, Event, EventNumber, Notice, Performed};
use protocol::{BlockNumber, ChannelId, Rejection, Round};
use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
};
use tokio::sync::oneshot;

pub(super) type Reply<T> = oneshot::Sender<Result<T, NodeError>>;

/// One channel of a peer.
pub(super) struct Slot {
    pub(super) channel: Channel,
    /// Its id on chain, once known; kept beyond its end.
    pub(super) id: Option<ChannelId>,
    /// Waits for the channel to open.
    pub(super) opening: Option<(Reply<ChannelHandle>, ChannelHandle)>,
    /// Wait for payments to be agreed.
    pub(super) payments: HashMap<ChangeId, Reply<Paid>>,
    /// Wait for several payments to be agreed, in the order of those payments.
    pub(super) batches: VecDeque<Waiting>,
    /// Wait for changes to be made, in the order of those changes.
    pub(super) making: VecDeque<Making>,
    /// Waits for calls to be forced.
    pub(super) forcing: Option<Reply<Vec<Performed>>>,
    /// Waits for the own deposit, withdrawal or other delegates.
    pub(super) operation: Option<Reply<Round>>,
    /// The number of the event that tells of the channel's end, once it was told.
    pub(super) last_event: Option<EventNumber>,
    /// Asked for a close in agreement.
    pub(super) shutdowns: Vec<Reply<CloseReason>>,
    /// Wait for the channel's end.
    pub(super) ends: Vec<Reply<CloseReason>>,
    /// Calls of the arbiter that are under way, or final in a block that was not looked at yet: the same one is not made twice at once.
    pub(super) calls: HashMap<&'static str, Option<BlockNumber>>,
}

/// Somebody who waits for changes with ids in a row, and for what they did.
pub(super) struct Making {
    /// Those that are not agreed yet.
    pub(super) ids: Range<ChangeId>,
    pub(super) made: Made,
    pub(super) reply: Reply<Made>,
}

/// Somebody who waits for payments with ids in a row.
pub(super) struct Waiting {
    pub(super) first: ChangeId,
    /// The first that is not agreed yet.
    pub(super) next: ChangeId,
    /// The first beyond them.
    pub(super) end: ChangeId,
    pub(super) reply: Reply<PaidAll>,
}

impl Slot {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            id: channel.channel_id(),
            channel,
            opening: None,
            payments: HashMap::new(),
            batches: VecDeque::new(),
            making: VecDeque::new(),
            forcing: None,
            operation: None,
            last_event: None,
            shutdowns: Vec::new(),
            ends: Vec::new(),
            calls: HashMap::new(),
        }
    }

    /// Answers whoever waits for what `event` tells. Whoever has stopped waiting is not missed.
    pub(super) fn answer(&mut self, event: &Event) {
        match event {
            Event::Opened { .. } => {
                if let Some((reply, handle)) = self.opening.take() {
                    let _gone = reply.send(Ok(handle));
                }
            }
            Event::Paid { payments, round } => {
                self.answer_payments(payments, |payment| Ok(Paid { payment, round: *round }));
                self.answer_batches(payments, *round);
                self.answer_making(payments, *round);
            }
            Event::Executed { round, forced, performed } => self.note_performed(*round, *forced, performed),
            Event::Refused { payments, code } => {
                self.fail_changes(payments, |change| NodeError::PaymentRefused { payment: change, code: *code });
            }
            Event::Dropped { payments } => self.fail_changes(payments, NodeError::PaymentDropped),
            Event::Failed { change, fault } => {
                self.fail_changes(&[*change], |change| NodeError::ChangeFailed { change, fault: *fault });
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
            Event::Notice(Notice::CallRejected { call: "channel_create", rejection }) => {
                if let Some((reply, _)) = self.opening.take() {
                    let _gone = reply.send(Err(CallError::Rejected(*rejection).into()));
                }
            }
            Event::Deposited { party, round, .. } | Event::Withdrawn { party, round, .. } => {
                if *party == self.channel.party() {
                    self.answer_operation(Ok(*round));
                }
            }
            // The peer's are told in the same words: it is one's own that waits when there is none under way any more.
            Event::DelegatesSet { round, .. } => {
                if self.channel.status().operation.is_none() {
                    self.answer_operation(Ok(*round));
                }
            }
            Event::OperationFailed { operation, code } => {
                self.answer_operation(Err(NodeError::OperationFailed { operation: *operation, code: *code }));
            }
            Event::Signed { .. }
            | Event::Received { .. }
            | Event::ClosingSolo { .. }
            | Event::Slashed { .. }
            | Event::Proposed { .. }
            | Event::Left { .. }
            | Event::Message(_)
            | Event::Forcing { .. }
            | Event::Residual { .. }
            | Event::Replaced { .. }
            | Event::Notice(_) => {}
        }
    }

    /// Tells whoever waits for the channel to open why it does not; false where the same call may succeed later.
    pub(super) fn give_up_opening(&mut self, error: CallError) -> bool {
        let helpless = !matches!(&error, CallError::Chain(error) if error.may_pass());
        if helpless && let Some((reply, _)) = self.opening.take() {
            let _gone = reply.send(Err(error.into()));
        }
        helpless
    }

    /// Changes that will not be made: whoever waits for them is told.
    fn fail_changes(&mut self, changes: &[ChangeId], error: impl Fn(ChangeId) -> NodeError) {
        self.answer_payments(changes, |change| Err(error(change)));
        self.fail_batches(changes, &error);
        let (Some(&lowest), Some(&highest)) = (changes.first(), changes.last()) else { return };
        for making in std::mem::take(&mut self.making) {
            if making.ids.start <= highest && lowest < making.ids.end {
                let _gone = making.reply.send(Err(error(lowest.max(making.ids.start))));
            } else {
                self.making.push_back(making);
            }
        }
    }

    /// Changes are agreed, in the order of their ids; what they did was told before.
    fn answer_making(&mut self, changes: &[ChangeId], round: Round) {
        let Some(&last) = changes.last() else { return };
        while let Some(making) = self.making.front_mut().filter(|making| making.ids.start <= last) {
            making.made.round = round;
            making.ids.start = making.ids.end.min(ChangeId(last.0.saturating_add(1)));
            if making.ids.start < making.ids.end {
                return;
            }
            if let Some(Making { made, reply, .. }) = self.making.pop_front() {
                let _gone = reply.send(Ok(made));
            }
        }
    }

    /// Notes what changes did, for whoever waits for them. Those that were forced are not told of in another way.
    fn note_performed(&mut self, round: Round, forced: bool, performed: &[Performed]) {
        let party = self.channel.party();
        for done in performed.iter().filter(|done| done.by == party) {
            let Some(change) = done.change else { continue };
            if let Some(making) = self.making.iter_mut().find(|making| making.ids.contains(&change)) {
                making.made.outcomes.push(done.outcome.clone());
            }
        }
        if forced {
            let changes: Vec<_> = performed.iter().filter_map(|done| done.change).collect();
            self.answer_making(&changes, round);
            if performed.iter().all(|done| done.by == party && done.change.is_none())
                && let Some(reply) = self.forcing.take()
            {
                let _gone = reply.send(Ok(performed.to_vec()));
            }
        }
    }

    fn fail_forcing(&mut self, rejection: Rejection) {
        if let Some(reply) = self.forcing.take() {
            let _gone = reply.send(Err(CallError::Rejected(rejection).into()));
        }
    }

    fn answer_payments(&mut self, payments: &[ChangeId], answer: impl Fn(ChangeId) -> Result<Paid, NodeError>) {
        if self.payments.is_empty() {
            return;
        }
        for &payment in payments {
            if let Some(reply) = self.payments.remove(&payment) {
                let _gone = reply.send(answer(payment));
            }
        }
    }

    /// Counts off payments that are agreed, which they are in the order of their ids.
    fn answer_batches(&mut self, payments: &[ChangeId], round: Round) {
        let Some(&last) = payments.last() else { return };
        while let Some(waiting) = self.batches.front_mut().filter(|waiting| waiting.next <= last) {
            waiting.next = waiting.end.min(ChangeId(last.0.saturating_add(1)));
            if waiting.next < waiting.end {
                return;
            }
            if let Some(Waiting { first, reply, .. }) = self.batches.pop_front() {
                let _gone = reply.send(Ok(PaidAll { first, round }));
            }
        }
    }

    /// Answers whoever waits for some of these payments, whose ids follow each other: not all of theirs are made.
    fn fail_batches(&mut self, payments: &[ChangeId], error: impl Fn(ChangeId) -> NodeError) {
        let (Some(&lowest), Some(&highest)) = (payments.first(), payments.last()) else { return };
        for waiting in std::mem::take(&mut self.batches) {
            if waiting.next <= highest && lowest < waiting.end {
                let _gone = waiting.reply.send(Err(error(lowest.max(waiting.next))));
            } else {
                self.batches.push_back(waiting);
            }
        }
    }

    fn answer_operation(&mut self, answer: Result<Round, NodeError>) {
        if let Some(reply) = self.operation.take() {
            let _gone = reply.send(answer);
        }
    }

    fn answer_end(&mut self, reason: &CloseReason) {
        if let Some((reply, _)) = self.opening.take() {
            let _gone = reply.send(Err(NodeError::Ended(reason.clone())));
        }
        for (payment, reply) in self.payments.drain() {
            let _gone = reply.send(Err(NodeError::PaymentDropped(payment)));
        }
        for waiting in self.batches.drain(..) {
            let _gone = waiting.reply.send(Err(NodeError::PaymentDropped(waiting.next)));
        }
        for making in self.making.drain(..) {
            let _gone = making.reply.send(Err(NodeError::PaymentDropped(making.ids.start)));
        }
        if let Some(reply) = self.forcing.take() {
            let _gone = reply.send(Err(NodeError::Ended(reason.clone())));
        }
        self.answer_operation(Err(NodeError::Ended(reason.clone())));
        for reply in self.shutdowns.drain(..).chain(self.ends.drain(..)) {
            let _gone = reply.send(Ok(reason.clone()));
        }
    }
}
