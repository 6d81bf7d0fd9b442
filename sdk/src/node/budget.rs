//! How much of something a peer may have: in one turn, and over time.

use super::limits::NodeLimits;
use std::time::Duration;
use tokio::time::Instant;

/// What is left of a peer's turn: once it is used up, other tasks have theirs.
#[derive(Clone, Copy, Debug)]
pub(super) struct TurnBudget {
    messages: usize,
    bytes: usize,
}

impl TurnBudget {
    pub(super) const fn new(limits: &NodeLimits) -> Self {
        Self { messages: limits.turn_messages, bytes: limits.turn_bytes }
    }

    /// Counts a message of so many bytes.
    pub(super) const fn spend(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(super) const fn is_over(&self) -> bool {
        self.messages == 0 || self.bytes == 0
    }
}

/// So many at once, and so many more with each second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// When everything that was had so far has come back, one after the other.
    whole_again: Instant,
    /// How long one takes to come back.
    each: Duration,
    /// How long all of them take.
    all: Duration,
}

impl Allowance {
    pub(super) fn new(burst: u32, per_second: u32) -> Self {
        let each = pace(per_second);
        Self { whole_again: Instant::now(), each, all: each.saturating_mul(burst) }
    }

    /// Has one; whether it was there.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let was_there = self.wait(now).is_zero();
        let from = self.whole_again.max(now);
        self.whole_again = from.checked_add(self.each).unwrap_or(from);
        was_there
    }

    /// How long it is until the next one is there.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let missing = self.whole_again.saturating_duration_since(now);
        missing.saturating_add(self.each).saturating_sub(self.all)
    }
}

/// How long one of so many in a second takes; where there are none, longer than anybody waits, and not longer than a clock can tell.
pub(super) fn pace(per_second: u32) -> Duration {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    Duration::from_secs(1).checked_div(per_second).unwrap_or(YEAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_over_by_messages_or_by_bytes() {
        let limits = NodeLimits { turn_messages: 2, turn_bytes: 100, ..NodeLimits::default() };
        let mut turn = TurnBudget::new(&limits);
        turn.spend(0);
        assert!(!turn.is_over());
        turn.spend(0);
        assert!(turn.is_over());
        let mut turn = TurnBudget::new(&limits);
        turn.spend(99);
        assert!(!turn.is_over());
        turn.spend(1);
        assert!(turn.is_over());
    }

    #[test]
    fn an_allowance_gives_its_burst_at_once_and_then_so_many_in_a_second() {
        let mut allowance = Allowance::new(3, 10);
        let mut now = Instant::now();
        let mut four = |now| [(); 4].map(|()| allowance.take(now));
        assert_eq!(four(now), [true, true, true, false]);
        assert_eq!(allowance.wait(now), Duration::from_millis(200));
        now += Duration::from_millis(200);
        assert_eq!([(); 2].map(|()| allowance.take(now)), [true, false]);
        now += Duration::from_secs(60);
        let mut four = |now| [(); 4].map(|()| allowance.take(now));
        assert_eq!(four(now), [true, true, true, false]);
    }

    #[test]
    fn none_in_a_second_is_none_beyond_the_burst() {
        let mut allowance = Allowance::new(2, 0);
        let now = Instant::now();
        assert_eq!([(); 4].map(|()| allowance.take(now)), [true, true, false, false]);
        assert!(now.checked_add(pace(0)).is_some(), "a pause of that length is one");
    }
}
