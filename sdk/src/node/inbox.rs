//! What reaches a peer's task.

use super::{
    answer::{PaymentAnswer, PaymentReply},
    config::OpenChannel,
    error::NodeError,
    purse::PaidOpening,
    receipt::{ChangesReceipt, PaymentReceipt, PaymentsReceipt},
};
use crate::{chain::CallError, keys::PeerAddress, transport::Session};
use channel::transfer::TransferCommand;
use channel::{
    Balances, Certainty, Change, ChannelRef, CloseReason, Command, Config, EventNumber, IdempotencyKey, Outcome,
    Payment, PaymentRecord, Performed, State, Status,
};
use network::SwapId;
use protocol::{
    AccountId, Amount, BlockNumber, Hash, Pair, PartyId, Round,
    call::{CallKind, CloseSolo, ForcedCall},
    contracts::{AppReply, ContractId, conditional::HashLock},
};
use tokio::sync::{mpsc, oneshot};

/// How many inputs wait for a peer's task before whoever sends them has to wait.
pub(super) const INBOX: usize = 4_096;

/// How a user is answered.
pub(super) type Reply<T> = oneshot::Sender<Result<T, NodeError>>;

/// How a peer's task is reached.
pub(super) type Inbox = mpsc::Sender<PeerInput>;

/// What reaches a peer's task.
#[derive(Debug)]
pub(super) enum PeerInput {
    /// A connection to it, made by either side.
    Connected(Box<Connected>),
    /// It was not there when it was dialled again.
    NotFound,
    /// It has no channel here, and its place is needed for somebody else.
    Displaced,
    /// The user wants a channel with it.
    Open(OpenChannel, ChannelRef, Opening),
    /// The user wants something of a channel.
    Request(ChannelRef, Request),
    /// All channels with it.
    List(oneshot::Sender<Vec<ChannelRef>>),
    /// How a call of the arbiter ended: in which block it is, or why it is in none, by what the chain had up to that block.
    Called(ChannelRef, CallKind, BlockNumber, Result<(), CallError>),
    /// What the chain has of an app.
    Code(Hash, Option<Vec<u8>>),
    /// The answer to a question about a pair's nonce.
    Nonce(ChannelRef, Pair<PartyId>, u64),
    /// What somebody has in its vault; none where the chain did not say.
    Vault(PartyId, Option<Amount>),
    /// The router wants something of a channel.
    Command(ChannelRef, TransferCommand),
    /// The own terms, signed, for the peer.
    Announce(Vec<u8>),
    /// What the peer is told about swaps.
    Say(Vec<u8>),
    /// Something became known of heads or locks.
    Locks,
    /// The node is going away.
    Stop,
}

/// Who waits for a channel to open, and what the account pays for it.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) reply: Reply<ChannelRef>,
    pub(super) paid_for: PaidOpening,
}

/// A new connection.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) session: Session,
    /// Where it was dialled, if the user said so.
    pub(super) address: Option<PeerAddress>,
    /// Who asked for it: told once it is in use.
    pub(super) told: Vec<oneshot::Sender<()>>,
}

/// What a user wants of a channel.
#[derive(Debug)]
pub(super) enum Request {
    Pay(Payment, PaymentReply<PaymentReceipt>),
    PayOnce(IdempotencyKey, Payment, PaymentReply<PaymentReceipt>),
    PayAllOnce(Vec<(IdempotencyKey, Payment)>, Reply<Vec<oneshot::Receiver<PaymentAnswer<PaymentReceipt>>>>),
    Settings(oneshot::Sender<Config>),
    Payment(IdempotencyKey, oneshot::Sender<Option<PaymentRecord>>),
    Payments(oneshot::Sender<Vec<PaymentRecord>>),
    Balances(oneshot::Sender<Option<Balances>>),
    Status(oneshot::Sender<Status>),
    Evidence(oneshot::Sender<Option<CloseSolo>>),
    Close(Command, Reply<CloseReason>),
    CancelClose(Reply<()>),
    Closed(Reply<CloseReason>),
    PayAll(Vec<Payment>, PaymentReply<PaymentsReceipt>),
    Make(Vec<Change>, Reply<ChangesReceipt>),
    Try(Change, Reply<Option<Outcome>>),
    App {
        contract: ContractId,
        value: Amount,
        input: Vec<u8>,
        reply: Reply<AppReply>,
    },
    Head(oneshot::Sender<BlockNumber>),
    Force(Vec<ForcedCall>, Certainty, Reply<Vec<Performed>>),
    State(oneshot::Sender<Option<State>>),
    Operate(Command, Reply<Round>),
    /// A withdrawal for a swap, made once.
    WithdrawOnce((SwapId, HashLock), (Amount, AccountId), Reply<Round>),
    /// Whatever is done at once.
    Tell(Command, Reply<()>),
    AckEvents(EventNumber, oneshot::Sender<()>),
}
