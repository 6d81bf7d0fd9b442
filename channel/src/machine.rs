//! [`Channel::handle`]: which handler gets which input. No rule lives here.

use crate::{
    channel::Channel,
    error::{Misuse, Violation},
    input::{ChainInput, Command, Context, Input},
    message::{Message, Update},
    operation::{OperationBody, OperationKind, OperationRequest},
    state::Change,
    step::{ChangedRows, RefusalReply, Step},
};
use protocol::contracts::{ContractId, conditional::Preimage};

impl Channel {
    /// Takes one input. Decides first: when it refuses, the channel is as it was.
    ///
    /// # Errors
    /// [`Misuse`] for a user's command that is not possible now. What the peer does wrong is no error here: the peer is
    /// told, the user gets a [`Notice::PeerViolated`](crate::Notice::PeerViolated), and the channel goes on.
    pub fn handle(&mut self, input: Input, ctx: &Context<'_>) -> Result<Step, Misuse> {
        let mut step = match input {
            Input::User(command) => self.on_user(command, ctx)?,
            Input::Peer(message) => {
                let answer = RefusalReply::to(&message);
                self.on_peer(message, ctx).unwrap_or_else(|violation| answer.refusing(violation))
            }
            Input::IdInUse(channel) => RefusalReply::Error.refusing(Violation::IdInUse(channel)),
            Input::OpeningRefused(code) => self.refuse_opening(code),
            Input::Congested => self.put_off_rounds(),
            Input::Drained => self.resume(ctx),
            Input::Chain(input) => self.on_chain(input, ctx),
            Input::Tick => self.on_tick(ctx),
            Input::LinkUp => self.on_link_up(),
            Input::LinkDown => self.on_link_down(),
            Input::Restarted => self.on_restarted(ctx),
            Input::RestartedFromCopy => self.on_restarted_from_copy(ctx),
            Input::EventsAcked { up_to } => {
                self.outbox.ack(up_to);
                self.advance(ctx)
            }
            Input::Code(code) => self.on_code(code, ctx),
        };
        self.watch_answers(ctx);
        self.note_own_transfers(&mut step);
        let (phase, all_unknown) = (&self.phase, self.phase.is_unsure());
        if self.payments.note(step.effects_mut(), all_unknown, |change| phase.may_appear(change)) {
            step = step.and(Step::commit(Vec::new()));
        }
        let contracts = if step.is_commit() { self.take_changed_contracts() } else { Vec::new() };
        step = self.note_transfers(step, &contracts);
        if let Step::Commit(commit) = &mut step {
            let (payments, transfers) = (self.payments.take_changed(), self.transfers.take_changed());
            self.outbox.keep(commit.complete(ChangedRows { contracts, payments, transfers }));
        }
        Ok(step)
    }

    /// The contracts of the agreed state that have changed since this was asked last.
    fn take_changed_contracts(&mut self) -> Vec<ContractId> {
        let now = self.phase.live().map(|live| live.agreed.state().contracts.clone()).unwrap_or_default();
        let changed = self.stored.differences(&now);
        self.stored = now;
        changed
    }

    fn on_user(&mut self, command: Command, ctx: &Context<'_>) -> Result<Step, Misuse> {
        match command {
            Command::Pay(payment) => self.on_user_changes(vec![Change::Transfer(payment)], ctx),
            Command::PayAll(payments) => {
                self.on_user_changes(payments.into_iter().map(Change::Transfer).collect(), ctx)
            }
            Command::PayOnce { key, payment } => self.on_user_pay_once(key, payment, ctx),
            Command::PayAllOnce(payments) => self.on_user_pay_all_once(payments, ctx),
            Command::Make(changes) => self.on_user_changes(changes, ctx),
            Command::Force { calls, certainty } => self.on_user_force(calls, certainty, ctx),
            Command::Shutdown { fee } => Ok(self.on_user_shutdown(fee, ctx)?.and(self.shutdown_waits())),
            Command::CancelShutdown => self.on_user_cancel_shutdown(),
            Command::CloseSolo { certainty } => self.on_user_close_solo(certainty),
            Command::Deposit { amount } => self.on_user_operation(OperationRequest::Deposit { amount }, ctx),
            Command::Withdraw { amount, to } => self.on_user_operation(OperationRequest::Withdraw { amount, to }, ctx),
            Command::SetDelegates { delegates } => {
                self.on_user_operation(OperationRequest::SetDelegates { delegates }, ctx)
            }
            Command::Configure(config) => self.on_user_configure(*config, ctx),
            Command::Leave => self.on_user_leave(),
            Command::Rejoin => self.on_user_rejoin(),
            // Before it is open the peer may be anybody: it has put in nothing.
            Command::SendMessage(_) if self.phase.live().is_none() => Err(Misuse::NotOpen { state: self.phase.name() }),
            Command::SendMessage(words) => self.on_user_message(words),
            Command::Accept { proposal } => self.on_user_accept(proposal, ctx),
            Command::Refuse { proposal, code } => self.on_user_refuse(proposal, code, ctx),
            Command::Transfer(command) => self.on_transfer_command(command, ctx),
        }
    }

    fn on_peer(&mut self, message: Message, ctx: &Context<'_>) -> Result<Step, Violation> {
        use OperationKind::{Deposit, Pledge, SetDelegates, Withdraw};
        let name = message.name();
        match message {
            Message::Update(update) => {
                let shown = shown_by(&update);
                let answer = self.on_peer_update(update, ctx)?;
                // Also where the round is not looked at, because it crosses another one, say (R8.3c).
                self.transfers.learn_shown(&shown);
                Ok(answer)
            }
            Message::UpdateAck { round, signature } => self.on_peer_update_ack(round, signature, ctx),
            Message::UpdateError { round, code } => self.on_peer_update_error(round, code, ctx),
            Message::ChannelAccept(accept) => self.on_peer_accept(accept, ctx),
            Message::FundingCreated(funding) => self.on_peer_funding_created(funding, ctx),
            Message::FundingSigned(funding) => self.on_peer_funding_signed(funding),
            Message::FundingLocked => self.on_peer_funding_locked(),
            Message::Shutdown(shutdown) => self.on_peer_shutdown(shutdown, ctx),
            Message::ShutdownAck { valid_until, signature } => self.on_peer_shutdown_ack(valid_until, signature),
            Message::ShutdownError { code } => self.on_peer_shutdown_error(code),
            Message::DepositCreated(body) => self.on_peer_created(OperationBody::Deposit(body), ctx),
            Message::DepositSigned { round, signature } => self.on_peer_signed(Deposit, round, signature, ctx),
            Message::DepositLocked { round } => self.on_peer_locked(Deposit, round, ctx),
            Message::DepositError { round, code } => self.on_peer_operation_error(Deposit, (round, code), ctx),
            Message::WithdrawCreated(body) => self.on_peer_created(OperationBody::Withdraw(body), ctx),
            Message::WithdrawSigned { round, signature } => self.on_peer_signed(Withdraw, round, signature, ctx),
            Message::WithdrawLocked { round } => self.on_peer_locked(Withdraw, round, ctx),
            Message::WithdrawError { round, code } => self.on_peer_operation_error(Withdraw, (round, code), ctx),
            Message::SetDelegatesCreated(body) => self.on_peer_created(OperationBody::SetDelegates(body), ctx),
            Message::SetDelegatesSigned { round, signature } => {
                self.on_peer_signed(SetDelegates, round, signature, ctx)
            }
            Message::SetDelegatesLocked { round } => self.on_peer_locked(SetDelegates, round, ctx),
            Message::SetDelegatesError { round, code } => {
                self.on_peer_operation_error(SetDelegates, (round, code), ctx)
            }
            Message::PledgeCreated(body) => self.on_peer_created(OperationBody::Pledge(body), ctx),
            Message::PledgeSigned { round, signature } => self.on_peer_signed(Pledge, round, signature, ctx),
            Message::PledgeError { round, code } => self.on_peer_operation_error(Pledge, (round, code), ctx),
            Message::ForceProgressLocked { round } => self.on_peer_force_progress_locked(round, ctx),
            Message::Reestablish(theirs) | Message::ReestablishAck(theirs) => {
                self.on_peer_reestablish(theirs, name, ctx)
            }
            Message::Leave => self.on_peer_leave(),
            Message::LeaveAck => self.on_peer_leave_ack(),
            Message::Inband(_) if self.phase.live().is_none() => Err(self.out_of_place(name)),
            Message::Inband(words) => self.on_peer_inband(words),
            Message::Error { code } => Ok(self.on_peer_error(code)),
            Message::ChannelOpen(_) => Err(self.out_of_place(name)),
        }
    }

    fn on_chain(&mut self, input: ChainInput, ctx: &Context<'_>) -> Step {
        match input {
            ChainInput::Head => self.on_chain_head(ctx),
            ChainInput::Locks => self.on_locks(ctx),
            ChainInput::UnconfirmedHead(block) => self.on_unconfirmed_head(block, ctx),
            ChainInput::Event(event) => self.on_chain_event(event, ctx),
            ChainInput::Record { from, record, nonce } => self.on_chain_record(from, record, nonce, ctx),
            ChainInput::Nonce { parties, nonce } => self.on_chain_nonce(&parties, nonce, ctx),
            ChainInput::Rejected { call, rejection } => self.on_chain_rejected(call, rejection, ctx),
            ChainInput::Undeliverable { call } => match self.on_force_undeliverable(call, ctx) {
                Some(step) => step,
                None => self.abandon_create(call, None),
            },
        }
    }
}

/// The pre-images that a round shows.
fn shown_by(update: &Update) -> Vec<(ContractId, Preimage)> {
    let claim = |change: &Change| match change {
        Change::Claim { contract, preimage, .. } => Some((*contract, *preimage)),
        _ => None,
    };
    update.changes.iter().filter_map(claim).collect()
}
