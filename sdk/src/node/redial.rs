//! Finding a lost peer again: where it was last found, and when to dial it next.

use super::random::random;
use crate::keys::PeerAddress;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How often a lost peer is dialled again: first after `first`, then each time twice as late, at most `longest` apart. Each wait is cut
/// at random by up to half, so that peers of a node that was down do not all come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first try.
    pub first: Duration,
    /// Between two tries, in the end.
    pub longest: Duration,
}

impl Backoff {
    /// Before try number `attempt`, counted from zero; `cut` says how much of the possible cut is made, in 256ths.
    fn wait(&self, attempt: u32, cut: u8) -> Duration {
        let doubled = self.first.saturating_mul(2u32.saturating_pow(attempt));
        let wait = doubled.min(self.longest);
        let largest_cut = wait.checked_div(2).unwrap_or_default();
        wait.saturating_sub(largest_cut.mul_f64(f64::from(cut) / 256.0))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(60) }
    }
}

/// The state of looking for one peer.
#[derive(Debug)]
pub(super) struct Redial {
    backoff: Option<Backoff>,
    address: Option<PeerAddress>,
    attempt: u32,
    due: Option<Instant>,
}

impl Redial {
    /// `address` is where the peer was found before this node started, if it was.
    pub(super) const fn new(backoff: Option<Backoff>, address: Option<PeerAddress>) -> Self {
        Self { backoff, address, attempt: 0, due: None }
    }

    /// Where the peer was last found.
    pub(super) const fn address(&self) -> Option<&PeerAddress> {
        self.address.as_ref()
    }

    /// Notes where the peer was found; whether that is news.
    pub(super) fn learn(&mut self, address: PeerAddress) -> bool {
        let is_new = self.address.as_ref() != Some(&address);
        self.address = Some(address);
        is_new
    }

    /// There is a connection: nothing to look for.
    pub(super) const fn found(&mut self) {
        self.attempt = 0;
        self.due = None;
    }

    /// The peer is missed, or was not found where it should be: dial it after a while.
    pub(super) fn missed(&mut self) {
        let (Some(backoff), Some(_)) = (&self.backoff, &self.address) else { return };
        // Without randomness the wait is not cut.
        let [cut] = random().unwrap_or([0]);
        self.due = Instant::now().checked_add(backoff.wait(self.attempt, cut));
        self.attempt = self.attempt.saturating_add(1);
    }

    /// Nobody needs the peer any more.
    pub(super) const fn give_up(&mut self) {
        self.due = None;
    }

    /// Waits until the peer is to be dialled, and says where; never, where it is not missed. Cancel-safe.
    pub(super) async fn due(&mut self) -> PeerAddress {
        match (self.due, &self.address) {
            (Some(due), Some(address)) => {
                sleep_until(due).await;
                self.due = None;
                address.clone()
            }
            _ => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_the_longest_and_is_cut_by_half_at_most() {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(10) };
        let waits = (0..6).map(|attempt| backoff.wait(attempt, 0).as_secs());
        assert_eq!(waits.collect::<Vec<_>>(), [1, 2, 4, 8, 10, 10]);
        assert!(backoff.wait(3, 255) >= Duration::from_secs(4) && backoff.wait(3, 255) < Duration::from_millis(4_020));
        assert_eq!(backoff.wait(u32::MAX, 0), Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_peer_whose_address_is_not_known_is_never_due() {
        let mut redial = Redial::new(Some(Backoff::default()), None);
        redial.missed();
        assert!(futures::poll!(std::pin::pin!(redial.due())).is_pending());
        assert_eq!(redial.due, None);
    }
}
