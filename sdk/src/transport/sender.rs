use super::{
    MAX_MESSAGE, SessionCounters,
    error::SendError,
    frame::{self, LENGTH, MAX_PLAIN, TAG},
    message,
};
use snow::StatelessTransportState;
use std::{io, mem, sync::Arc, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    net::tcp::OwnedWriteHalf,
    time::{Instant, timeout_at},
};

/// The writing half of a session.
///
/// [`feed`](Self::feed) takes a message, [`flush`](Self::flush) puts everything fed on the wire: messages fed together share frames and system calls.
///
/// Cancel-safe in this sense: a message is taken whole before the first wait. A dropped call leaves what is unwritten
/// for the next one and never tears a message. Dropping the sender loses what is not flushed.
#[derive(Debug)]
pub struct Sender {
    socket: OwnedWriteHalf,
    cipher: Arc<StatelessTransportState>,
    nonce: u64,
    /// Fed and not sealed yet; less than a full frame between calls.
    plain: Vec<u8>,
    /// Sealed, with lengths; written up to `written`.
    sealed: Vec<u8>,
    written: usize,
    stall: Duration,
    /// Since when the peer has taken none of what waits for it. Kept between calls: a dropped one gives the peer no new time.
    waiting_since: Option<Instant>,
    over: bool,
    counters: SessionCounters,
}

impl Sender {
    pub(super) fn new(socket: OwnedWriteHalf, cipher: Arc<StatelessTransportState>, stall: Duration) -> Self {
        Self {
            socket,
            cipher,
            nonce: 0,
            plain: Vec::new(),
            sealed: Vec::new(),
            written: 0,
            stall,
            waiting_since: None,
            over: false,
            counters: SessionCounters::default(),
        }
    }

    /// Its socket, and itself with another one in that place.
    pub(super) fn part(self) -> (OwnedWriteHalf, impl FnOnce(OwnedWriteHalf) -> Self) {
        let Self { socket, cipher, nonce, plain, sealed, written, stall, waiting_since, over, counters } = self;
        let with =
            move |socket| Self { socket, cipher, nonce, plain, sealed, written, stall, waiting_since, over, counters };
        (socket, with)
    }

    /// Sends one message now: [`feed`](Self::feed) and [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`SendError::TooLong`] concerns this message only; every other error ends the session.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.push(message)?;
        self.flush().await
    }

    /// Takes one message to be sent with the next [`flush`](Self::flush). Waits for the peer only where more than
    /// 64 KiB have gathered.
    ///
    /// # Errors
    /// [`SendError::TooLong`] concerns this message only; every other error ends the session.
    pub async fn feed(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.push(message)?;
        if self.sealed.len() > HIGH_WATER { self.write_sealed().await } else { Ok(()) }
    }

    /// Writes everything fed so far to the connection.
    ///
    /// # Errors
    /// Every error ends the session.
    pub async fn flush(&mut self) -> Result<(), SendError> {
        self.check()?;
        if !self.plain.is_empty() {
            self.seal()?;
        }
        self.write_sealed().await
    }

    /// Flushes and tells the peer that nothing more comes. The other direction stays open.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub async fn close(mut self) -> Result<(), SendError> {
        self.flush().await?;
        self.socket.shutdown().await.map_err(SendError::Lost)
    }

    /// How many bytes were fed and are not written yet.
    #[must_use]
    pub const fn unsent(&self) -> usize {
        self.plain.len().saturating_add(self.sealed.len()).saturating_sub(self.written)
    }

    /// How many bytes of memory this sender holds for what waits to be written, room for more included. A sender that has nothing to write keeps
    /// less than 400 KiB.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.plain.capacity().saturating_add(self.sealed.capacity())
    }

    /// What has been sealed so far in this direction.
    #[must_use]
    pub const fn counters(&self) -> SessionCounters {
        self.counters
    }

    const fn check(&self) -> Result<(), SendError> {
        if self.over { Err(SendError::Over) } else { Ok(()) }
    }

    /// Takes a message in, and seals every frame that it fills.
    fn push(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.check()?;
        let too_long = SendError::TooLong { length: message.len(), limit: MAX_MESSAGE };
        let length = message::length_bytes(message.len()).ok_or(too_long)?;
        for mut part in [&length[..], message] {
            while !part.is_empty() {
                let room = MAX_PLAIN.saturating_sub(self.plain.len());
                let (now, later) = part.split_at(room.min(part.len()));
                self.plain.extend_from_slice(now);
                part = later;
                if self.plain.len() == MAX_PLAIN {
                    self.seal()?;
                }
            }
        }
        self.counters.count_message();
        Ok(())
    }

    /// Seals what is in `plain` as one frame.
    fn seal(&mut self) -> Result<(), SendError> {
        let start = self.sealed.len();
        let body = self.plain.len().saturating_add(TAG);
        let frame = body.saturating_add(LENGTH);
        if self.sealed.capacity() < start.saturating_add(frame) {
            // By a quarter and not to twice the size: room that nobody needs counts as held.
            self.sealed.reserve_exact(frame.max(start.checked_div(4).unwrap_or_default()));
        }
        self.sealed.resize(start.saturating_add(frame), 0);
        let space = self.sealed.get_mut(start..).and_then(<[u8]>::split_first_chunk_mut::<LENGTH>);
        let outcome = match (space, frame::length_bytes(body)) {
            (Some((length, space)), Some(bytes)) => {
                *length = bytes;
                self.cipher.write_message(self.nonce, &self.plain, space)
            }
            _ => Err(snow::Error::Input),
        };
        // The length fits by construction, so the one thing left to run out is the nonce.
        if outcome.is_err() {
            self.over = true;
            return Err(SendError::Exhausted);
        }
        // Sealing refuses the last nonce, so this never wraps.
        self.nonce = self.nonce.wrapping_add(1);
        self.plain.clear();
        self.counters.count_frame(frame);
        Ok(())
    }

    async fn write_sealed(&mut self) -> Result<(), SendError> {
        while let Some(rest) = self.sealed.get(self.written..).filter(|rest| !rest.is_empty()) {
            let since = *self.waiting_since.get_or_insert_with(Instant::now);
            // A limit beyond what the clock can tell is none.
            let deadline = since.checked_add(self.stall).unwrap_or_else(|| far_from(since));
            let error = match timeout_at(deadline, self.socket.write(rest)).await {
                Ok(Ok(0)) => SendError::Lost(io::ErrorKind::WriteZero.into()),
                Ok(Ok(written)) => {
                    self.waiting_since = None;
                    self.written = self.written.saturating_add(written);
                    self.release();
                    continue;
                }
                Ok(Err(error)) => SendError::Lost(error),
                Err(_) => SendError::Stalled { after: self.stall },
            };
            self.over = true;
            return Err(error);
        }
        self.waiting_since = None;
        self.written = 0;
        if self.sealed.capacity() > KEPT {
            drop(mem::take(&mut self.sealed));
        } else {
            self.sealed.clear();
        }
        Ok(())
    }

    /// Gives back what has been written, as soon as that is at least half of everything: so each byte is moved once at most on average, also where
    /// the peer never reads quite all.
    fn release(&mut self) {
        let left = self.sealed.len().saturating_sub(self.written);
        if left == 0 || self.written < HIGH_WATER || self.written < left {
            return;
        }
        self.sealed.copy_within(self.written.., 0);
        self.sealed.truncate(left);
        self.written = 0;
        let room = left.saturating_mul(2).max(KEPT);
        if self.sealed.capacity() > room.saturating_mul(2) {
            self.sealed.shrink_to(room);
        }
    }
}

/// A moment that does not come.
fn far_from(now: Instant) -> Instant {
    const YEARS: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    now.checked_add(YEARS).unwrap_or(now)
}

/// The sealed bytes at which [`Sender::feed`] begins to write.
const HIGH_WATER: usize = 64 * 1024;
/// The buffer that an idle sender keeps; what a long message needed beyond it is given back.
const KEPT: usize = 4 * HIGH_WATER;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::session::tests::pair;
    use futures::FutureExt;
    use tokio::time::timeout;

    #[tokio::test]
    async fn the_last_nonce_is_never_used() {
        let (session, _peer) = pair().await;
        let (mut sender, _receiver) = session.split();
        sender.nonce = u64::MAX - 1;
        sender.send(b"the last one").await.unwrap();
        assert!(matches!(sender.send(b"too many").await, Err(SendError::Exhausted)));
        assert!(matches!(sender.send(b"again").await, Err(SendError::Over)));
    }

    #[tokio::test]
    async fn a_long_message_leaves_no_long_buffer_behind() {
        let (session, peer) = pair().await;
        let ((mut sender, _a), (_b, mut receiver)) = (session.split(), peer.split());
        let (sent, received) = tokio::join!(async { sender.send(&[7; MAX_MESSAGE]).await }, receiver.recv());
        sent.unwrap();
        assert_eq!(received.unwrap().len(), MAX_MESSAGE);
        assert!(sender.sealed.capacity() <= KEPT && sender.plain.capacity() <= 2 * MAX_PLAIN);
    }

    /// Feeds and reads so that something always waits, until so many bytes have passed.
    #[allow(clippy::while_immutable_condition, reason = "what is awaited inside ends it")]
    async fn never_quite_empty(passed: usize, ahead: usize) -> Sender {
        const PIECE: usize = 48 * 1024;
        let (session, peer) = pair().await;
        let ((mut sender, _a), (_b, mut receiver)) = (session.split(), peer.split());
        let message = vec![7; PIECE];
        for number in 0..passed / PIECE {
            let _written_or_waiting = sender.feed(&message).now_or_never().transpose().unwrap();
            while number >= ahead / PIECE {
                tokio::select! {
                    biased;
                    received = receiver.recv() => {
                        assert_eq!(received.unwrap().len(), PIECE);
                        break;
                    }
                    sent = sender.flush(), if sender.unsent() > 0 => sent.unwrap(),
                }
            }
        }
        assert!(sender.unsent() > 0, "the peer has read everything");
        sender
    }

    #[tokio::test]
    async fn what_is_written_is_given_back_though_something_always_waits() {
        const AHEAD: usize = 16 * 1024 * 1024;
        let sender = never_quite_empty(8 * AHEAD, AHEAD).await;
        assert!(sender.held() >= sender.unsent(), "all that waits is counted");
        assert!(sender.held() <= 5 * AHEAD / 2, "{} bytes are held for {} unsent ones", sender.held(), sender.unsent());
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up_though_each_call_is_dropped_before_its_time() {
        let (session, _peer) = pair().await;
        let (mut sender, _receiver) = session.split();
        sender.stall = Duration::from_millis(200);
        let message = vec![7; MAX_MESSAGE];
        // Until the buffers on the way are full.
        while sender.feed(&message).now_or_never().is_some() {}
        let began = Instant::now();
        let error = loop {
            // As a loop does that looks at its clock in between.
            match timeout(Duration::from_millis(20), sender.flush()).await {
                Ok(Err(error)) => break error,
                Ok(Ok(())) => panic!("nobody reads"),
                Err(_dropped) => assert!(began.elapsed() < Duration::from_secs(60), "each call begins anew"),
            }
        };
        assert!(matches!(error, SendError::Stalled { .. }), "{error}");
    }
}
