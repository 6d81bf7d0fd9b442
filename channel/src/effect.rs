//! Everything a channel wants done. Each may be done twice without harm.

use crate::{
    event::{Event, EventNumber, Notice},
    message::Message,
    transfer::TransferEvent,
};
use protocol::{
    BlockNumber, Hash, Pair, PartyId,
    call::Call,
    contracts::conditional::{HashLock, Preimage},
};

/// What a channel wants done, in order, after it was committed (R6.4).
pub type Effects = Vec<Effect>;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Say it to the peer, on the connection of its time: what has not been said when the connection is lost is never said. What matters of it
    /// is said again on the next one.
    Send(Message),
    /// Call the arbiter. The same call may be asked for again while it is under way; once is enough.
    Submit(Box<Call>),
    /// Find out the least nonce that these two may name next (R5.2), at the finalised head.
    AskNonce(Pair<PartyId>),
    /// Get the app with this code hash, from the chain or from the peer, and say [`Input::Code`](crate::Input::Code).
    FetchCode(Hash),
    /// Tell the user in passing: a crash may lose it.
    Notify(Notice),
    /// Tell the user, and say [`EventsAcked`](crate::Input::EventsAcked) once the user has it. Until then it is stored with the channel, and
    /// delivered again after a restart.
    Deliver {
        /// Grows with each event of the channel.
        number: EventNumber,
        /// What happened.
        event: Event,
    },
    /// A router is to know of a transfer. Whoever calls it within the same commit has it from [`Step::transfers`](crate::Step::transfers) before.
    Transfer(TransferEvent),
    /// Show this pre-image to the arbiter's registry before a block, again and again until it is there (R8.3e). Asked for with each head.
    Register {
        /// The lock.
        lock: HashLock,
        /// What opens it.
        preimage: Preimage,
        /// The first block in which showing it is too late.
        expiry: BlockNumber,
    },
    /// Forget the channel: it has ended, and the user has acknowledged everything that it was told. Asked for at each start, where the process was
    /// stopped before the channel was forgotten.
    Forget,
}
