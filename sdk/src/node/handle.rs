//! A channel as its user holds it.

use super::{
    answer::PaymentAnswer,
    error::NodeError,
    inbox::{Inbox, PeerInput, Request},
    peers::Peers,
    receipt::{ChangesReceipt, ContractCallReceipt, CreationReceipt, PaymentReceipt, PaymentsReceipt},
};
use channel::{
    Balances, Certainty, Change, ChannelRef, CloseReason, Command, Config, Creation, EventNumber, IdempotencyKey,
    Outcome, Payment, PaymentRecord, Performed, ProposalId, RefusalCode, State, Status,
};
use protocol::{
    AccountId, Amount, BlockNumber, Hash, Pair, PublicKey, Round,
    call::{CloseSolo, ForcedCall},
    contracts::{AppReply, Code, Contract, ContractId},
    terms::Delegate,
};
use std::sync::{Arc, Weak};
use tokio::sync::oneshot;

/// One channel of a node. Cheap to clone; outlives neither the node nor the channel.
#[derive(Clone, Debug)]
pub struct ChannelHandle {
    pub(super) peer: PublicKey,
    pub(super) reference: ChannelRef,
    pub(super) inbox: Inbox,
    pub(super) node: Weak<Peers>,
}

impl ChannelHandle {
    /// The peer's identity.
    #[must_use]
    pub const fn peer(&self) -> PublicKey {
        self.peer
    }

    /// How the two peers name the channel.
    #[must_use]
    pub const fn reference(&self) -> ChannelRef {
        self.reference
    }

    /// Pays the peer, and waits until the payment is agreed: then it cannot be undone. Payments made meanwhile share the next round (R6.3).
    ///
    /// # Errors
    /// [`NodeError::Misuse`] where it is not possible now; [`NodeError::PaymentRefused`], [`NodeError::PaymentDropped`];
    /// [`NodeError::PaymentUnknown`] where it may have been made all the same, or may be yet.
    pub async fn pay(&self, amount: Amount, reference: impl Into<Vec<u8>>) -> Result<PaymentReceipt, NodeError> {
        let payment = Payment { amount, reference: reference.into() };
        self.ask(|reply| Request::Pay(payment, reply)).await?.take()
    }

    /// Pays the peer once, however often this is asked for by this key, and waits until the payment is agreed. It is on disk before anything
    /// leaves: after a crash, a dropped future or a time-out ask again by the same key, and the payment that is on its way, or made, answers
    /// (R6.3c). So does one that was refused: another attempt wants another key.
    ///
    /// A key is 1 to [`MAX_KEY`](channel::MAX_KEY) bytes, and names one payment of this channel: words, a number's bytes, an order's id. It is
    /// remembered while the payment is on its way, and then among the [`MAX_REMEMBERED`](channel::MAX_REMEMBERED) that ended last, until the
    /// channel's last event is taken. The peer never sees it.
    ///
    /// # Errors
    /// As [`pay`](Self::pay); [`NodeError::Misuse`] where the key names another payment already: nothing is paid then.
    pub async fn pay_once(
        &self,
        key: impl Into<IdempotencyKey>,
        amount: Amount,
        reference: impl Into<Vec<u8>>,
    ) -> Result<PaymentReceipt, NodeError> {
        let payment = Payment { amount, reference: reference.into() };
        let key = key.into();
        self.ask(|reply| Request::PayOnce(key, payment, reply)).await?.take()
    }

    /// The own payment that was asked for by this key, with what has become of it, as long as it is remembered ([`pay_once`](Self::pay_once)).
    ///
    /// # Errors
    /// [`NodeError::UnknownChannel`], [`NodeError::Stopped`].
    pub async fn payment(&self, key: impl Into<IdempotencyKey>) -> Result<Option<PaymentRecord>, NodeError> {
        let key = key.into();
        self.ask(|reply| Request::Payment(key, reply)).await
    }

    /// Every own payment that this channel knows of, in the order of their making: those with a key as long as they are remembered
    /// ([`pay_once`](Self::pay_once)), others while they are on their way.
    ///
    /// # Errors
    /// [`NodeError::UnknownChannel`], [`NodeError::Stopped`].
    pub async fn payments(&self) -> Result<Vec<PaymentRecord>, NodeError> {
        self.ask(Request::Payments).await
    }

    /// Makes many payments, in order, and waits until all are agreed. Where one is not possible now, none is made. Cheaper than
    /// [`pay`](Self::pay) for each: the receiver still sees every one with its own amount and reference.
    ///
    /// # Errors
    /// As [`pay`](Self::pay); [`NodeError::PaymentRefused`] and [`NodeError::PaymentDropped`] name the first that is not made, those before it are.
    pub async fn pay_all(&self, payments: Vec<Payment>) -> Result<PaymentsReceipt, NodeError> {
        self.ask(|reply| Request::PayAll(payments, reply)).await?.take()
    }

    /// Makes many payments, in order, each once by its key ([`pay_once`](Self::pay_once)), and waits until something has become of all. Those that
    /// are not known by their keys are put on disk together, by one write, before anything leaves; where one of them is not possible now, none is
    /// made. The others answer as they are: after a crash, a dropped future or a time-out ask for the same again. What is returned is in the order
    /// of `payments`; a key that is named twice for the same payment is paid once.
    ///
    /// # Errors
    /// [`NodeError::Misuse`] where nothing was made by this call. Each payment's own as for [`pay_once`](Self::pay_once).
    pub async fn pay_all_once(
        &self,
        payments: Vec<(IdempotencyKey, Payment)>,
    ) -> Result<Vec<Result<PaymentReceipt, NodeError>>, NodeError> {
        let answers = self.ask(|reply| Request::PayAllOnce(payments, reply)).await??;
        let mut paid = Vec::with_capacity(answers.len());
        for answer in answers {
            paid.push(answer.await.map_or_else(|_dropped| Err(self.gone()), PaymentAnswer::take));
        }
        Ok(paid)
    }

    /// The settings of this channel that are this node's alone.
    ///
    /// # Errors
    /// [`NodeError::UnknownChannel`], [`NodeError::Stopped`].
    pub async fn settings(&self) -> Result<Config, NodeError> {
        self.ask(Request::Settings).await
    }

    /// Takes other settings for this channel from now on, also after a restart; they are on disk when this returns. The peer need not know, and what
    /// both have signed at the opening ([`Terms`](protocol::terms::Terms)) is none of them. [`NodeConfig::channels`](super::NodeConfig::channels)
    /// only counts for channels that begin. A round that was shown to the user still waits for its decision.
    ///
    /// # Errors
    /// [`NodeError::Misuse`] where the channel has ended.
    pub async fn configure(&self, settings: Config) -> Result<(), NodeError> {
        self.ask(|reply| Request::Tell(Command::Configure(Box::new(settings)), reply)).await?
    }

    /// Begins a contract with the app of this code hash, and waits until it is agreed. `coins` come out of both balances as they say; where
    /// the peer's do, its user is asked. `input` is what the app's `init` is told, its `App::Creation`, SCALE-encoded.
    ///
    /// # Errors
    /// [`NodeError::Misuse`]; [`NodeError::ChangeFailed`] where the app refuses; [`NodeError::PaymentRefused`] where the peer does.
    pub async fn create_contract(
        &self,
        app: Hash,
        coins: Pair<Amount>,
        input: Vec<u8>,
    ) -> Result<CreationReceipt, NodeError> {
        let creation = Creation { code: Code::Contract(app), coins, input };
        match self.make_one(Change::CreateContract(creation)).await? {
            (round, Some(Outcome::Created { contract, .. })) => Ok(CreationReceipt { contract, round }),
            _ => Err(NodeError::Stopped),
        }
    }

    /// Calls a contract, with coins of the own balance, and waits until that is agreed. Calls made meanwhile share the next round (R6.3).
    ///
    /// # Errors
    /// As [`create_contract`](Self::create_contract).
    pub async fn call_contract(
        &self,
        contract: ContractId,
        value: Amount,
        input: Vec<u8>,
    ) -> Result<ContractCallReceipt, NodeError> {
        match self.make_one(Change::CallContract { contract, value, input }).await? {
            (round, Some(Outcome::Called { payouts, output, ended, .. })) => {
                Ok(ContractCallReceipt { round, payouts, output, ended })
            }
            _ => Err(NodeError::Stopped),
        }
    }

    /// Ends a contract and shares out what it holds, and waits until the peer's user has agreed.
    ///
    /// # Errors
    /// As [`create_contract`](Self::create_contract).
    pub async fn remove_contract(&self, contract: ContractId, shares: Pair<Amount>) -> Result<Round, NodeError> {
        Ok(self.make_one(Change::RemoveContract { contract, shares }).await?.0)
    }

    /// Has a contract go on with another app, from its state or the one given, and waits until the peer's user has agreed.
    ///
    /// # Errors
    /// As [`create_contract`](Self::create_contract).
    pub async fn upgrade_contract(
        &self,
        contract: ContractId,
        app: Hash,
        state: Option<Vec<u8>>,
    ) -> Result<Round, NodeError> {
        let code = Code::Contract(app);
        Ok(self.make_one(Change::UpgradeContract { contract, code, state }).await?.0)
    }

    /// Makes changes of any kind, in order, and waits until all are agreed. Where one is not possible now, none is made.
    ///
    /// # Errors
    /// As [`create_contract`](Self::create_contract); the error names the first that is not made, those before it are.
    pub async fn make(&self, changes: Vec<Change>) -> Result<ChangesReceipt, NodeError> {
        self.ask(|reply| Request::Make(changes, reply)).await?
    }

    /// What a change would do, were its turn next; nothing is proposed. None for a payment.
    ///
    /// # Errors
    /// [`NodeError::Misuse`] says why it cannot be made.
    pub async fn try_change(&self, change: Change) -> Result<Option<Outcome>, NodeError> {
        self.ask(|reply| Request::Try(change, reply)).await?
    }

    /// What the app of a contract itself says to a call, were its turn next: what it would do, or its own error, SCALE-encoded. The protocol
    /// only says that an app refuses ([`CallFault::Refused`](protocol::contracts::CallFault::Refused)); this says why.
    ///
    /// # Errors
    /// [`NodeError::Misuse`] where there is no such contract, or no channel that is open or closing; where the app does not answer at all.
    pub async fn ask_app(&self, contract: ContractId, value: Amount, input: Vec<u8>) -> Result<AppReply, NodeError> {
        self.ask(|reply| Request::App { contract, value, input, reply }).await?
    }

    /// The newest final block that this channel has seen. Own calls name it as their height (R7.3), and forced ones come after it.
    ///
    /// # Errors
    /// [`NodeError::UnknownChannel`], [`NodeError::Stopped`].
    pub async fn head(&self) -> Result<BlockNumber, NodeError> {
        self.ask(Request::Head).await
    }

    /// Has the arbiter make these calls without the peer, one after the other, and waits until that is final (R5.10). They go on from what is
    /// stored; `certainty` as for [`close_solo`](Self::close_solo).
    ///
    /// # Errors
    /// [`NodeError::Misuse`] or [`NodeError::Call`] with the arbiter's reason.
    pub async fn force(&self, calls: Vec<ForcedCall>, certainty: Certainty) -> Result<Vec<Performed>, NodeError> {
        self.ask(|reply| Request::Force(calls, certainty, reply)).await?
    }

    /// The latest agreed state, contracts included; none before the channel is open and after it has ended.
    ///
    /// # Errors
    /// [`NodeError::UnknownChannel`], [`NodeError::Stopped`].
    pub async fn state(&self) -> Result<Option<State>, NodeError> {
        self.ask(Request::State).await
    }

    /// A contract of the latest agreed state.
    ///
    /// # Errors
    /// [`NodeError::UnknownChannel`], [`NodeError::Stopped`].
    pub async fn contract(&self, contract: ContractId) -> Result<Option<Contract>, NodeError> {
        Ok(self.state().await?.and_then(|state| state.contracts.get(&contract).cloned()))
    }

    async fn make_one(&self, change: Change) -> Result<(Round, Option<Outcome>), NodeError> {
        let ChangesReceipt { round, outcomes } = self.make(vec![change]).await?;
        Ok((round, outcomes.into_iter().next()))
    }

    /// Puts coins of this node's vault into the channel, and waits until that is final on chain (R5.5). Gives the round after it.
    ///
    /// # Errors
    /// [`NodeError::Misuse`]; [`NodeError::VaultTooLow`] before anything is signed; [`NodeError::OperationFailed`] where the peer refuses or the
    /// chain does not take it in time.
    pub async fn deposit(&self, amount: Amount) -> Result<Round, NodeError> {
        let config = self.node.upgrade().map(|node| Arc::clone(&node.config)).ok_or(NodeError::Stopped)?;
        config.arbiter.info().check_amount(amount)?;
        let have = config.arbiter.vault_balance(config.id()).await?;
        if have < amount {
            return Err(NodeError::VaultTooLow { have, need: amount });
        }
        self.ask(|reply| Request::Operate(Command::Deposit { amount }, reply)).await?
    }

    /// Takes coins of this node out of the channel, to where its payouts go, and waits until that is final on chain (R5.5). Gives the round
    /// after it.
    ///
    /// # Errors
    /// As [`deposit`](Self::deposit).
    pub async fn withdraw(&self, amount: Amount) -> Result<Round, NodeError> {
        self.ask(|reply| Request::Operate(Command::Withdraw { amount, to: None }, reply)).await?
    }

    /// As [`withdraw`](Self::withdraw), and pays the coins to any account. Where the chain refuses that transfer they come to this node's vault.
    ///
    /// # Errors
    /// As [`deposit`](Self::deposit).
    pub async fn withdraw_to(&self, to: AccountId, amount: Amount) -> Result<Round, NodeError> {
        self.ask(|reply| Request::Operate(Command::Withdraw { amount, to: Some(to) }, reply)).await?
    }

    /// Has other accounts act for this node's side, and waits until that is final on chain (R5.7). Gives the round after it. An account of
    /// which nothing else is said may slash and snapshot; [`Delegate::caller`] names one that may also call contracts in this node's name.
    ///
    /// # Errors
    /// As [`deposit`](Self::deposit).
    pub async fn set_delegates(&self, delegates: Vec<impl Into<Delegate>>) -> Result<Round, NodeError> {
        let delegates = delegates.into_iter().map(Into::into).collect();
        self.ask(|reply| Request::Operate(Command::SetDelegates { delegates }, reply)).await?
    }

    /// Parts from the peer; the channel stays. The event `Left` says when both know.
    ///
    /// # Errors
    /// [`NodeError::Misuse`].
    pub async fn leave(&self) -> Result<(), NodeError> {
        self.ask(|reply| Request::Tell(Command::Leave, reply)).await?
    }

    /// Comes back to a peer that this node has parted from.
    ///
    /// # Errors
    /// [`NodeError::Misuse`].
    pub async fn rejoin(&self) -> Result<(), NodeError> {
        self.ask(|reply| Request::Tell(Command::Rejoin, reply)).await?
    }

    /// Says something to the peer's application, at most [`MAX_INBAND`](channel::MAX_INBAND) bytes. It is said once, if the connection holds.
    ///
    /// # Errors
    /// [`NodeError::Misuse`].
    pub async fn send_message(&self, words: Vec<u8>) -> Result<(), NodeError> {
        self.ask(|reply| Request::Tell(Command::SendMessage(words), reply)).await?
    }

    /// Agrees to a round of the peer's that waits for a decision ([`Acceptance::Manual`](channel::Acceptance::Manual)), named as
    /// [`Notice::Proposed`](channel::Notice::Proposed) names it: to what was shown, and to nothing else.
    ///
    /// # Errors
    /// [`NodeError::Misuse`]: [`NotProposed`](channel::Misuse::NotProposed) where it does not wait any more,
    /// [`OtherProposal`](channel::Misuse::OtherProposal) where something else with its number does.
    pub async fn accept(&self, proposal: ProposalId) -> Result<(), NodeError> {
        self.ask(|reply| Request::Tell(Command::Accept { proposal }, reply)).await?
    }

    /// Refuses it, with a code of the application's own: the peer's user is told.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub async fn refuse(&self, proposal: ProposalId, code: RefusalCode) -> Result<(), NodeError> {
        self.ask(|reply| Request::Tell(Command::Refuse { proposal, code }, reply)).await?
    }

    /// Acknowledges every event up to this number ([`Ack::Manual`](super::Ack::Manual)): none of them is delivered again.
    ///
    /// # Errors
    /// [`NodeError::UnknownChannel`], [`NodeError::Stopped`].
    pub async fn ack_events(&self, up_to: EventNumber) -> Result<(), NodeError> {
        self.ask(|reply| Request::AckEvents(up_to, reply)).await
    }

    /// Who has what, as far as agreed; none before the channel is open and after it has ended.
    ///
    /// # Errors
    /// [`NodeError::UnknownChannel`], [`NodeError::Stopped`].
    pub async fn balances(&self) -> Result<Option<Balances>, NodeError> {
        self.ask(Request::Balances).await
    }

    /// What the channel is doing.
    ///
    /// # Errors
    /// [`NodeError::UnknownChannel`], [`NodeError::Stopped`].
    pub async fn status(&self) -> Result<Status, NodeError> {
        self.ask(Request::Status).await
    }

    /// The latest agreed state as the arbiter takes it: enough to close without this node. Keep it where the node's disk is not.
    ///
    /// # Errors
    /// [`NodeError::UnknownChannel`], [`NodeError::Stopped`].
    pub async fn evidence(&self) -> Result<Option<CloseSolo>, NodeError> {
        self.ask(Request::Evidence).await
    }

    /// Closes in agreement, once everything under way is answered, and waits until the coins are paid out. `fee` comes out of one's own
    /// balance and goes to whoever submits the close. [`Status::shutdown`] says what it waits for; as long as nothing is signed
    /// [`cancel_close`](Self::cancel_close) takes it back.
    ///
    /// # Errors
    /// [`NodeError::Misuse`]; [`NodeError::ShutdownRefused`]; [`NodeError::Ended`] where the channel ended in another way.
    pub async fn close(&self, fee: Amount) -> Result<CloseReason, NodeError> {
        match self.ask(|reply| Request::Close(Command::Shutdown { fee }, reply)).await?? {
            reason @ CloseReason::Mutual { .. } => Ok(reason),
            other => Err(NodeError::Ended(other)),
        }
    }

    /// Takes a close in agreement back that was asked for, as long as nothing of it is signed: whoever waits for it is told
    /// [`NodeError::CloseCancelled`], and the channel goes on.
    ///
    /// # Errors
    /// [`NodeError::Misuse`] where there is none, or where it is signed, with the block until which it may be put on chain.
    pub async fn cancel_close(&self) -> Result<(), NodeError> {
        self.ask(Request::CancelClose).await?
    }

    /// Closes alone on the latest agreed state, and waits until it is settled: the lock period at least.
    ///
    /// A store that was put back from a copy does not know that it is old, and a close on an old state costs the penalty (R5.9). With
    /// [`Certainty::ConfirmedByPeer`] the close waits until the peer has shown, since this node has started, that it knows of no newer state
    /// ([`Status::awaits_peer_confirmation`] and [`Notice::AwaitsPeerConfirmation`](channel::Notice::AwaitsPeerConfirmation) say so); where it shows one, the close is given
    /// up. A peer that stays away keeps it waiting: ask again with [`Certainty::OwnStoreIsNewest`], if that is so.
    ///
    /// # Errors
    /// [`NodeError::Misuse`].
    pub async fn close_solo(&self, certainty: Certainty) -> Result<CloseReason, NodeError> {
        self.ask(|reply| Request::Close(Command::CloseSolo { certainty }, reply)).await?
    }

    /// Waits until the channel has ended, however it does.
    ///
    /// # Errors
    /// [`NodeError::UnknownChannel`], [`NodeError::Stopped`].
    pub async fn closed(&self) -> Result<CloseReason, NodeError> {
        self.ask(Request::Closed).await?
    }

    pub(super) async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, NodeError> {
        let (reply, answer) = oneshot::channel();
        let input = PeerInput::Request(self.reference, ask(reply));
        self.inbox.send(input).await.map_err(|_closed| self.gone())?;
        answer.await.map_err(|_dropped| self.gone())
    }

    /// Why nobody answers.
    fn gone(&self) -> NodeError {
        self.node.upgrade().map_or(NodeError::Stopped, |node| node.gone(&self.peer))
    }
}
