//! A channel with everybody who waits for something of it.

use super::{NodeError, Paid, handle::ChannelHandle};
use crate::chain::{CallError, ChainError};
use channel::{Channel, CloseReason, Event, Notice, PaymentId};
use protocol::{BlockNumber, ChannelId};
use std::collections::HashMap;
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
    pub(super) payments: HashMap<PaymentId, Reply<Paid>>,
    /// Asked for a close in agreement.
    pub(super) shutdowns: Vec<Reply<CloseReason>>,
    /// Wait for the channel's end.
    pub(super) ends: Vec<Reply<CloseReason>>,
    /// Calls of the arbiter that are under way, or final in a block that was not looked at yet: the same one is not made twice at once.
    pub(super) calls: HashMap<&'static str, Option<BlockNumber>>,
    /// The opening was refused on chain: it is not asked for again, and expires.
    pub(super) create_refused: bool,
}

impl Slot {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            id: channel.channel_id(),
            channel,
            opening: None,
            payments: HashMap::new(),
            shutdowns: Vec::new(),
            ends: Vec::new(),
            calls: HashMap::new(),
            create_refused: false,
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
            }
            Event::Refused { payments, code } => {
                self.answer_payments(payments, |payment| Err(NodeError::PaymentRefused { payment, code: *code }));
            }
            Event::Dropped { payments } => {
                self.answer_payments(payments, |payment| Err(NodeError::PaymentDropped(payment)));
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
            Event::Signed { .. }
            | Event::Received { .. }
            | Event::ClosingSolo { .. }
            | Event::Slashed { .. }
            | Event::Notice(_) => {}
        }
    }

    /// Tells whoever waits for the channel to open why it does not; false where the same call may succeed later.
    pub(super) fn give_up_opening(&mut self, error: CallError) -> bool {
        let helpless =
            !matches!(error, CallError::Chain(ChainError::Unreachable(_) | ChainError::FailedInBlock { .. }));
        if helpless {
            self.create_refused = true;
            if let Some((reply, _)) = self.opening.take() {
                let _gone = reply.send(Err(error.into()));
            }
        }
        helpless
    }

    fn answer_payments(&mut self, payments: &[PaymentId], answer: impl Fn(PaymentId) -> Result<Paid, NodeError>) {
        if self.payments.is_empty() {
            return;
        }
        for &payment in payments {
            if let Some(reply) = self.payments.remove(&payment) {
                let _gone = reply.send(answer(payment));
            }
        }
    }

    fn answer_end(&mut self, reason: &CloseReason) {
        if let Some((reply, _)) = self.opening.take() {
            let _gone = reply.send(Err(NodeError::Ended(reason.clone())));
        }
        for (payment, reply) in self.payments.drain() {
            let _gone = reply.send(Err(NodeError::PaymentDropped(payment)));
        }
        for reply in self.shutdowns.drain(..).chain(self.ends.drain(..)) {
            let _gone = reply.send(Ok(reason.clone()));
        }
    }
}
