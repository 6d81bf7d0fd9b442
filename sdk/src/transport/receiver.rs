use super::{
    MAX_FRAME, SessionCounters,
    error::RecvError,
    frame::{Front, LEAST_SEALED, LENGTH, front},
    message::{Assembler, TooLong},
};
use snow::{StatelessTransportState, error::StateProblem};
use std::{sync::Arc, time::Duration};
use tokio::{io::AsyncReadExt, net::tcp::OwnedReadHalf, time::timeout};

/// The reading half of a session.
#[derive(Debug)]
pub struct Receiver {
    socket: OwnedReadHalf,
    cipher: Arc<StatelessTransportState>,
    nonce: u64,
    /// Read and not opened yet: the bytes from `start` to `end`.
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// The frame opened last: its bytes from `plain_start` to `plain_end` are not used yet.
    plain: Vec<u8>,
    plain_start: usize,
    plain_end: usize,
    assembler: Assembler,
    idle: Duration,
    over: bool,
    counters: SessionCounters,
}

impl Receiver {
    pub(super) fn new(socket: OwnedReadHalf, cipher: Arc<StatelessTransportState>, idle: Duration) -> Self {
        Self {
            socket,
            cipher,
            nonce: 0,
            input: Vec::new(),
            start: 0,
            end: 0,
            plain: Vec::new(),
            plain_start: 0,
            plain_end: 0,
            assembler: Assembler::default(),
            idle,
            over: false,
            counters: SessionCounters::default(),
        }
    }

    /// Its socket, and itself with another one in that place.
    pub(super) fn part(self) -> (OwnedReadHalf, impl FnOnce(OwnedReadHalf) -> Self) {
        let Self {
            socket,
            cipher,
            nonce,
            input,
            start,
            end,
            plain,
            plain_start,
            plain_end,
            assembler,
            idle,
            over,
            counters,
        } = self;
        let with = move |socket| Self {
            socket,
            cipher,
            nonce,
            input,
            start,
            end,
            plain,
            plain_start,
            plain_end,
            assembler,
            idle,
            over,
            counters,
        };
        (socket, with)
    }

    /// The next message. Waits at most [`ConnectionTimeouts::idle`](super::ConnectionTimeouts::idle) for each next piece of it.
    ///
    /// Cancel-safe: a dropped call loses nothing, and its idle time starts anew with the next one.
    ///
    /// # Errors
    /// Every error ends the session; [`RecvError::Closed`] is the orderly one.
    pub async fn recv(&mut self) -> Result<Vec<u8>, RecvError> {
        if self.over {
            return Err(RecvError::Over);
        }
        let received = self.next_message().await;
        self.over = received.is_err();
        received
    }

    /// Changes how long [`recv`](Self::recv) waits, from its next call on.
    pub const fn set_idle(&mut self, idle: Duration) {
        self.idle = idle;
    }

    /// Changes how long a message may be, from the next one on: at most [`MAX_MESSAGE`](super::MAX_MESSAGE), which is the limit at first.
    pub fn set_limit(&mut self, limit: usize) {
        self.assembler.set_limit(limit);
    }

    /// What has been opened so far in this direction.
    #[must_use]
    pub const fn counters(&self) -> SessionCounters {
        self.counters
    }

    async fn next_message(&mut self) -> Result<Vec<u8>, RecvError> {
        loop {
            if let Some(message) = self.buffered_message()? {
                return Ok(message);
            }
            match self.open_frame()? {
                Opened::Frame => {}
                Opened::Needs(bytes) => self.read(bytes).await?,
            }
        }
    }

    /// The next message, where the opened frame completes it.
    fn buffered_message(&mut self) -> Result<Option<Vec<u8>>, RecvError> {
        let mut unused = self.plain.get(self.plain_start..self.plain_end).unwrap_or_default();
        let limit = self.assembler.limit();
        let message =
            self.assembler.next(&mut unused).map_err(|TooLong(length)| RecvError::TooLong { length, limit })?;
        self.plain_start = self.plain_end.saturating_sub(unused.len());
        if message.is_some() {
            self.counters.count_message();
        }
        Ok(message)
    }

    /// Opens the next frame into `plain`, which is used up by now.
    fn open_frame(&mut self) -> Result<Opened, RecvError> {
        let sealed = match front(self.input.get(self.start..self.end).unwrap_or_default()) {
            Front::Needs(bytes) => return Ok(Opened::Needs(bytes)),
            Front::Whole(sealed) => sealed,
        };
        if sealed.len() < LEAST_SEALED {
            return Err(RecvError::FrameTooShort { length: sealed.len(), least: LEAST_SEALED });
        }
        // Room for the tag too, so that the cipher works in place.
        if self.plain.len() < sealed.len() {
            self.plain.resize(sealed.len().next_power_of_two().min(MAX_FRAME), 0);
        }
        self.plain_end =
            self.cipher.read_message(self.nonce, sealed, &mut self.plain).map_err(|error| match error {
                snow::Error::State(StateProblem::Exhausted) => RecvError::Exhausted,
                _ => RecvError::Tampered,
            })?;
        self.plain_start = 0;
        // Opening refuses the last nonce, so this never wraps.
        self.nonce = self.nonce.wrapping_add(1);
        let frame = sealed.len().saturating_add(LENGTH);
        self.counters.count_frame(frame);
        self.start = self.start.saturating_add(frame);
        Ok(Opened::Frame)
    }

    /// Reads what is there, with room for a frame of `needed` bytes.
    async fn read(&mut self, needed: usize) -> Result<(), RecvError> {
        self.make_room(needed);
        let room = self.input.get_mut(self.end..).unwrap_or_default();
        let read = timeout(self.idle, self.socket.read(room))
            .await
            .map_err(|_| RecvError::Idle { after: self.idle })?
            .map_err(RecvError::Lost)?;
        if read == 0 {
            let orderly = self.start == self.end && self.assembler.is_between_messages();
            return Err(if orderly { RecvError::Closed } else { RecvError::Truncated });
        }
        self.end = self.end.saturating_add(read);
        Ok(())
    }

    /// Moves what is unused to the front and makes the buffer longer where it was full, or is too short for the next frame.
    fn make_room(&mut self, needed: usize) {
        let was_full = self.end == self.input.len();
        if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.end = self.end.saturating_sub(self.start);
            self.start = 0;
        }
        let doubled = if was_full { self.input.len().saturating_mul(2).min(MOST_INPUT) } else { 0 };
        let length = needed.max(doubled).max(LEAST_INPUT);
        if self.input.len() < length {
            self.input.resize(length, 0);
        }
    }
}

enum Opened {
    /// `plain` is filled again.
    Frame,
    /// The next frame is not there yet: so many bytes must be.
    Needs(usize),
}

/// The buffer of a quiet connection.
const LEAST_INPUT: usize = 4 * 1024;
/// The buffer of a busy one: two frames of full length.
const MOST_INPUT: usize = 2 * (LENGTH + MAX_FRAME);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::session::tests::pair;

    #[tokio::test]
    async fn the_last_nonce_is_never_used() {
        let (session, peer) = pair().await;
        let ((mut sender, _a), (_b, mut receiver)) = (session.split(), peer.split());
        receiver.nonce = u64::MAX;
        sender.send(b"too many").await.unwrap();
        assert!(matches!(receiver.recv().await, Err(RecvError::Exhausted)));
        assert!(matches!(receiver.recv().await, Err(RecvError::Over)));
    }

    #[tokio::test]
    async fn buffers_stay_small_on_a_quiet_connection_and_bounded_on_a_busy_one() {
        let (session, peer) = pair().await;
        let ((mut sender, _a), (_b, mut receiver)) = (session.split(), peer.split());
        sender.send(&[7; 200]).await.unwrap();
        assert_eq!(receiver.recv().await.unwrap(), [7; 200]);
        assert!(receiver.input.len() + receiver.plain.len() <= 2 * LEAST_INPUT);

        let sending = tokio::spawn(async move {
            for _ in 0..100 {
                sender.send(&[7; 100_000]).await.unwrap();
            }
        });
        for _ in 0..100 {
            assert_eq!(receiver.recv().await.unwrap().len(), 100_000);
        }
        sending.await.unwrap();
        assert!(receiver.input.len() <= MOST_INPUT && receiver.plain.len() <= MAX_FRAME);
    }
}
