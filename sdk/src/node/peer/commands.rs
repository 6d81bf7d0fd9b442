//! What users want of a peer and of the channels with it.

use super::{Peer, amounts::largest};
use crate::node::{
    answer::{Failing, PaymentAnswer, PaymentReply},
    book::Book,
    config::OpenChannel,
    error::NodeError,
    inbox::{Opening, Reply, Request},
    limits::{MAX_CHANNELS_PER_PEER, MAX_OPENINGS_PER_PEER},
    receipt::{ChangesReceipt, PaymentReceipt, PaymentsReceipt},
    slot::{BatchReply, Slot},
};
use channel::{
    Change, ChangeFault, ChangeId, Channel, ChannelOpen, ChannelRef, CloseReason, Command, IdempotencyKey, Input,
    Misuse, OpenRequest, Outcome, Payment, PaymentOutcome, PaymentRecord, Status, Step,
};
use protocol::{
    Amount, Pair,
    contracts::{AppContext, AppReply, Apps, Code, ContractId},
};
use std::{ops::Range, sync::Arc};
use tokio::sync::oneshot;

impl Peer {
    pub(super) fn on_open(&mut self, open: &OpenChannel, reference: ChannelRef, Opening { reply, paid_for }: Opening) {
        let refusal = if !self.link.is_up() {
            NodeError::NotConnected(self.identity)
        } else if let Some(damaged) = self.damaged.first() {
            NodeError::Damaged(*damaged)
        } else if self.slots.len() >= MAX_CHANNELS_PER_PEER {
            NodeError::TooMany { what: "channels with one peer", max: MAX_CHANNELS_PER_PEER }
        } else if self.slots.values().filter(|slot| slot.is_opening()).count() >= MAX_OPENINGS_PER_PEER {
            NodeError::TooMany { what: "openings under way with one peer", max: MAX_OPENINGS_PER_PEER }
        } else {
            match self.propose(open, reference) {
                Ok(step) => {
                    self.befriend();
                    if let Some(slot) = self.slots.get_mut(&reference) {
                        slot.opening = Some(reply);
                        slot.paid_for = Some(paid_for);
                    }
                    self.done(reference, step);
                    return;
                }
                Err(misuse) => misuse,
            }
        };
        let _gone = reply.send(Err(refusal));
    }

    fn propose(&mut self, open: &OpenChannel, reference: ChannelRef) -> Result<Step, NodeError> {
        let config = Arc::clone(&self.config);
        let info = config.arbiter.info();
        let request = OpenRequest {
            reference,
            peer: self.identity,
            limits: info.limits,
            open: ChannelOpen {
                domain: info.domain,
                code_hash: info.code_hash,
                initiator: config.party(),
                reserve: open.reserve,
                lock_period: open.lock_period,
                penalty: open.penalty,
                max_forced: open.max_forced,
                balances: Pair::new(
                    open.our_share.saturating_sub(open.push),
                    open.peer_share.saturating_add(open.push),
                ),
                shares: Pair::new(open.our_share, open.peer_share),
                validity: open.validity,
                transfers: config.channels.transfers,
            },
        };
        let (registry, routing) = (self.registry.clone(), Arc::clone(&self.routing));
        let book = Book { registry: &registry, routing: &routing, channel: reference };
        let ctx = config.context(self.now(), self.head, &book);
        let (channel, step) = Channel::propose(request, config.channels, &ctx)?;
        // Drawn at random: nobody else has it.
        let _free = self.routing.take_name(reference, self.identity);
        let _none = self.slots.insert(reference, Slot::new(channel));
        Ok(step)
    }

    pub(super) fn on_ask(&mut self, reference: ChannelRef, ask: Request) {
        // A dropped reply tells that the channel is not known.
        let Some(slot) = self.slots.get_mut(&reference) else { return };
        match ask {
            Request::Balances(reply) => {
                let balances = slot.channel.balances();
                self.answer(reply, balances);
            }
            Request::Status(reply) => {
                let status = slot.channel.status();
                self.answer(reply, status);
            }
            Request::Evidence(reply) => {
                let evidence = slot.channel.evidence();
                self.answer(reply, evidence);
            }
            Request::State(reply) => {
                let state = slot.channel.state().cloned();
                self.answer(reply, state);
            }
            Request::Make(changes, reply) => self.on_make(reference, changes, reply),
            Request::Try(change, reply) => {
                let outcome = self.try_change(reference, &change);
                self.answer(reply, outcome);
            }
            Request::App { contract, value, input, reply } => {
                let said = self.ask_app(reference, contract, value, &input);
                self.answer(reply, said);
            }
            Request::Head(reply) => {
                let _gone = reply.send(self.head);
            }
            Request::Force(calls, certainty, reply) => {
                self.command_for(reference, Command::Force { calls, certainty }, reply, |slot, reply| {
                    // Those of before waited for the peer's word: these take their place (R6.6b).
                    if let Some(before) = slot.forcing.replace(reply) {
                        let _gone = before.send(Err(Misuse::AlreadyForcing.into()));
                    }
                });
            }
            Request::Closed(reply) => slot.ends.push(reply),
            Request::Pay(payment, reply) => self.on_pay(reference, payment, reply),
            Request::PayOnce(key, payment, reply) => self.on_pay_once(reference, &key, payment, reply),
            Request::PayAllOnce(payments, reply) => self.on_pay_all_once(reference, payments, reply),
            Request::Settings(reply) => {
                let settings = *slot.channel.config();
                self.answer(reply, settings);
            }
            Request::Payment(key, reply) => {
                let payment = slot.channel.payment(&key).cloned();
                self.answer(reply, payment);
            }
            Request::Payments(reply) => {
                let payments = slot.channel.list_payments();
                self.answer(reply, payments);
            }
            Request::Close(command, reply) => self.on_close(reference, command, reply),
            Request::CancelClose(reply) => self.on_cancel_close(reference, reply),
            Request::PayAll(payments, reply) => self.on_pay_all(reference, payments, reply),
            Request::Operate(command, reply) => {
                self.command_for(reference, command, reply, |slot, reply| slot.operation = Some(reply));
            }
            Request::WithdrawOnce(swap, payment, reply) => self.on_withdraw_once(reference, swap, payment, reply),
            Request::Tell(command, reply) => {
                let done = self.command(reference, command);
                self.answer(reply, done);
            }
            Request::AckEvents(up_to, reply) => {
                self.ack_events(reference, up_to);
                self.answer(reply, ());
            }
        }
    }

    /// Answers the user, once what the answer may tell of is committed (R6.4): nobody relies on what a crash takes back.
    pub(super) fn answer<T: Send + 'static>(&mut self, reply: oneshot::Sender<T>, answer: T) {
        let give = move || {
            let _gone = reply.send(answer);
        };
        if self.changed.is_empty() && self.withdrawn.is_empty() {
            give();
        } else {
            self.answers_held.push(Box::new(give));
        }
    }

    fn on_pay(&mut self, reference: ChannelRef, payment: Payment, reply: PaymentReply<PaymentReceipt>) {
        let id = self.next_change(reference);
        self.command_for(reference, Command::Pay(payment), reply, |slot, reply| {
            let _none = slot.payments.insert(id, reply);
        });
    }

    /// Whoever asks by a key that is known already waits with whoever asked before, or is told what has become of the payment once that is
    /// committed.
    fn on_pay_once(
        &mut self,
        reference: ChannelRef,
        key: &IdempotencyKey,
        payment: Payment,
        reply: PaymentReply<PaymentReceipt>,
    ) {
        if let Err(error) = self.command(reference, Command::PayOnce { key: key.clone(), payment }) {
            let _gone = reply.send(PaymentAnswer::failed(error));
            return;
        }
        self.wait_for_keyed(reference, key, reply);
    }

    /// As [`on_pay_once`](Self::on_pay_once) for each, with one commit: whoever asked gets an answer for each, in their order.
    fn on_pay_all_once(
        &mut self,
        reference: ChannelRef,
        payments: Vec<(IdempotencyKey, Payment)>,
        reply: Reply<Vec<oneshot::Receiver<PaymentAnswer<PaymentReceipt>>>>,
    ) {
        let keys: Vec<_> = payments.iter().map(|(key, _)| key.clone()).collect();
        if let Err(error) = self.command(reference, Command::PayAllOnce(payments)) {
            let _gone = reply.send(Err(error));
            return;
        }
        let answers = keys.iter().map(|key| {
            let (reply, answer) = oneshot::channel();
            self.wait_for_keyed(reference, key, reply);
            answer
        });
        let answers = answers.collect();
        let _gone = reply.send(Ok(answers));
    }

    /// Answers with what has become of a payment with a key, or once something has.
    fn wait_for_keyed(&mut self, reference: ChannelRef, key: &IdempotencyKey, reply: PaymentReply<PaymentReceipt>) {
        let Some(slot) = self.slots.get_mut(&reference) else { return };
        let Some(&PaymentRecord { change, outcome, .. }) = slot.channel.payment(key) else { return };
        match outcome {
            PaymentOutcome::Pending => slot.keyed.entry(change).or_default().push(reply),
            outcome => self.answer(reply, paid(change, outcome).into()),
        }
    }

    fn on_pay_all(&mut self, reference: ChannelRef, payments: Vec<Payment>, reply: PaymentReply<PaymentsReceipt>) {
        let ids = self.next_changes(reference, payments.len());
        self.command_for(reference, Command::PayAll(payments), reply, |slot, reply| {
            slot.wait(ids, BatchReply::PaidAll(reply))
        });
    }

    fn on_make(&mut self, reference: ChannelRef, changes: Vec<Change>, reply: Reply<ChangesReceipt>) {
        let ids = self.next_changes(reference, changes.len());
        self.command_for(reference, Command::Make(changes), reply, |slot, reply| {
            slot.wait(ids, BatchReply::Made(reply))
        });
    }

    fn try_change(&self, reference: ChannelRef, change: &Change) -> Result<Option<Outcome>, NodeError> {
        let slot = self.slots.get(&reference).ok_or(NodeError::UnknownChannel)?;
        let book = Book { registry: &self.registry, routing: &self.routing, channel: reference };
        let ctx = self.config.context(self.now(), self.head, &book);
        Ok(slot.channel.try_change(change, &ctx)?)
    }

    fn ask_app(
        &self,
        reference: ChannelRef,
        id: ContractId,
        value: Amount,
        input: &[u8],
    ) -> Result<AppReply, NodeError> {
        let channel = &self.slots.get(&reference).ok_or(NodeError::UnknownChannel)?.channel;
        let contract = channel.contract(&id).ok_or(Misuse::ContractUnknown(id))?;
        let Status { channel: Some(of), round: Some(round), .. } = channel.status() else {
            return Err(NodeError::UnknownChannel);
        };
        let Code::Contract(code) = contract.code else {
            return Err(Misuse::Change(ChangeFault::BuiltinNotAccepted).into());
        };
        let context = AppContext {
            channel: of,
            contract: id,
            round: round.saturating_add(1),
            caller: channel.party(),
            value,
            balance: contract.balance.saturating_add(value),
            height: self.head,
        };
        let reply = self.config.apps.call(&code, &context, &contract.state, input);
        Ok(reply.map_err(|fault| Misuse::Change(ChangeFault::Call(fault)))?)
    }

    /// The id of the next change; of no interest where there can be none, since it will be refused.
    fn next_change(&self, reference: ChannelRef) -> ChangeId {
        self.slots.get(&reference).and_then(|slot| slot.channel.next_change()).unwrap_or(ChangeId(0))
    }

    /// The ids of so many changes from the next one on.
    fn next_changes(&self, reference: ChannelRef, count: usize) -> Range<ChangeId> {
        let first = self.next_change(reference);
        first..ChangeId(first.0.saturating_add(u64::try_from(count).unwrap_or(u64::MAX)))
    }

    fn on_close(&mut self, reference: ChannelRef, command: Command, reply: Reply<CloseReason>) {
        let in_agreement = matches!(command, Command::Shutdown { .. });
        self.command_for(reference, command, reply, |slot, reply| {
            if in_agreement { slot.shutdowns.push(reply) } else { slot.solos.push(reply) }
        });
    }

    /// Whoever waits for the close in agreement is told that it was taken back.
    fn on_cancel_close(&mut self, reference: ChannelRef, reply: Reply<()>) {
        let cancelled = self.command(reference, Command::CancelShutdown);
        let waiting = self.slots.get_mut(&reference).filter(|_| cancelled.is_ok());
        for waiting in waiting.map(|slot| std::mem::take(&mut slot.shutdowns)).unwrap_or_default() {
            self.answer(waiting, Err(NodeError::CloseCancelled));
        }
        self.answer(reply, cancelled);
    }

    /// Gives a channel a command. Who asked is told what is wrong with it, or waits in its slot for what comes of it.
    fn command_for<A: Failing>(
        &mut self,
        reference: ChannelRef,
        command: Command,
        reply: oneshot::Sender<A>,
        wait: impl FnOnce(&mut Slot, oneshot::Sender<A>),
    ) {
        match (self.command(reference, command), self.slots.get_mut(&reference)) {
            (Ok(()), Some(slot)) => wait(slot, reply),
            (Err(error), _) => {
                let _gone = reply.send(A::failed(error));
            }
            (Ok(()), None) => {}
        }
    }

    pub(super) fn command(&mut self, reference: ChannelRef, command: Command) -> Result<(), NodeError> {
        self.config.arbiter.info().check_amount(largest(&command))?;
        let step = self.handle_input(reference, Input::User(command))?;
        self.done(reference, step);
        Ok(())
    }
}

/// What whoever asked for a payment is told of it.
fn paid(payment: ChangeId, outcome: PaymentOutcome) -> Result<PaymentReceipt, NodeError> {
    Err(match outcome {
        PaymentOutcome::Paid(round) => return Ok(PaymentReceipt { payment, round }),
        PaymentOutcome::Refused(code) => NodeError::PaymentRefused { payment, code },
        PaymentOutcome::Failed(fault) => NodeError::ChangeFailed { change: payment, fault },
        PaymentOutcome::Undone(round) => NodeError::PaymentUndone { payment, round },
        PaymentOutcome::Unknown => NodeError::PaymentUnknown(payment),
        PaymentOutcome::Pending | PaymentOutcome::Dropped => NodeError::PaymentDropped(payment),
    })
}
