//! How far the chain is, as a careful node has to see it (R8.30): "still in time?" is judged by the newest block that anybody shows, "is it over?" by the
//! newest final one that counts.

use crate::chain::BlockRef;
use protocol::BlockNumber;
use std::time::Duration;
use tokio::time::Instant;

/// Both ends of the chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    /// The newest final block that counts (R6.9a); none before one was told since the node started.
    told: Option<BlockRef>,
    /// The newest final block at the start, as one endpoint told it.
    began: BlockNumber,
    /// The newest block that any endpoint shows, and since when it is this one.
    shown: (BlockNumber, Instant),
    /// The least time from block to block; none where blocks are made on demand, and no clock says anything.
    least: Option<Duration>,
}

impl Heads {
    pub(super) const fn new(began: BlockNumber, now: Instant) -> Self {
        Self { told: None, began, shown: (began, now), least: None }
    }

    pub(super) const fn told(&self) -> Option<BlockRef> {
        self.told
    }

    /// The number of the newest final block that counts.
    pub(super) fn finalised(&self) -> BlockNumber {
        self.told.map_or(0, |at| at.number)
    }

    pub(super) const fn least(&self) -> Option<Duration> {
        self.least
    }

    pub(super) const fn set_least(&mut self, least: Option<Duration>) {
        self.least = least;
    }

    /// A final block counts.
    pub(super) fn tell(&mut self, at: BlockRef) {
        self.told = self.told.filter(|told| told.number > at.number).or(Some(at));
    }

    /// The newest block that any endpoint shows is this one.
    pub(super) fn show(&mut self, number: BlockNumber, now: Instant) {
        if self.shown.0 != number {
            self.shown = (number, now);
        }
    }

    /// The newest block that there may be: no chain makes blocks faster than at its least time, so that none is newer, whoever hides what. Never below the
    /// newest final one.
    pub(super) fn best(&self, now: Instant) -> BlockNumber {
        let (shown, since) = self.shown;
        let silent = now.saturating_duration_since(since).as_millis();
        let passed = self.least.and_then(|least| silent.checked_div(least.as_millis())).unwrap_or_default();
        let carried = shown.saturating_add(BlockNumber::try_from(passed).unwrap_or(BlockNumber::MAX));
        carried.max(self.finalised()).max(self.began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Hash;

    const fn at(number: BlockNumber) -> BlockRef {
        BlockRef { number, hash: Hash::ZERO }
    }

    #[test]
    fn the_newest_block_that_is_shown_counts_and_never_less_than_the_final_one() {
        let now = Instant::now();
        let mut heads = Heads::new(100, now);
        assert_eq!((heads.best(now), heads.finalised()), (100, 0), "nothing is final that was not told");
        heads.show(107, now);
        heads.tell(at(101));
        assert_eq!((heads.best(now), heads.finalised()), (107, 101));
        heads.tell(at(109));
        assert_eq!(heads.best(now), 109);
        heads.tell(at(104));
        assert_eq!(heads.finalised(), 109, "what is final stays so");
    }

    #[test]
    fn while_nobody_shows_anything_the_clock_carries_the_head_on() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let mut heads = Heads::new(100, began);
        assert_eq!(heads.best(after(1_000)), 100, "blocks are made on demand");
        heads.set_least(Some(Duration::from_secs(6)));
        assert_eq!([5, 6, 60].map(|seconds| heads.best(after(seconds))), [100, 101, 110]);
        heads.show(101, after(7));
        assert_eq!([7, 12, 13].map(|seconds| heads.best(after(seconds))), [101, 101, 102]);
        heads.show(101, after(13));
        assert_eq!(heads.best(after(13)), 102, "shown once more it is not younger");
    }

    #[test]
    fn an_endpoint_that_takes_its_boast_back_is_not_believed_for_ever() {
        let now = Instant::now();
        let mut heads = Heads::new(100, now);
        heads.show(BlockNumber::MAX, now);
        assert_eq!(heads.best(now), BlockNumber::MAX);
        heads.show(101, now);
        assert_eq!(heads.best(now), 101);
    }
}
