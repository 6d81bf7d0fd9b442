//! Safe expiries of a swap's two legs, computed from how long things take on both chains (D18, A6).
//!
//! ```text
//!   target:  best_B ---- handshake (, Rg_B) ----> lock_by ---- 2 answers (or the lag), M_B ----> E_B ---- f_B ----> final
//!   source:  best_A ----------------- all of that at the target's longest blocks, its tolerated stall, an answer ----> M_A ----> E_A
//! ```
//!
//! What is in brackets is for a premium, which is pledged (R6.5d): the responder may have to show the pledge to the chain by `lock_by`, and the initiator hears of that once it is final.

use super::terms::SwapCode;
use channel::{Millis, transfer::Margins};
use protocol::BlockNumber;

/// How fast a chain makes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockClock {
    /// The shortest time between two blocks that the chain's own rules allow: `b`.
    pub shortest: Millis,
    /// The longest time between two blocks while the chain does not stand still: `B`.
    pub longest: Millis,
    /// How long the chain may stand still without anybody losing anything: `S`.
    pub stall: Millis,
}

/// A chain as a ladder sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainView {
    /// The newest block.
    pub best: BlockNumber,
    /// How fast it makes them.
    pub clock: BlockClock,
    /// How many blocks final ones are behind the newest.
    pub finality: BlockNumber,
    /// What takes how long.
    pub margins: Margins,
    /// How many blocks final ones may be behind the newest, on the target chain of a swap with a premium; none without one.
    pub lag_of_pledge: Option<BlockNumber>,
    /// How many blocks sooner the pledge ends that a hub on the way to the initiator gives than the one that it asks for (R8.5h); zero where there is no hub.
    pub pledge_delta: BlockNumber,
}

impl ChainView {
    /// Blocks until the target leg is locked at the latest: the handshake and, for a premium, what showing the pledge takes, to each that is on its way.
    pub(crate) fn until_locked(&self, handshake: Millis) -> Option<BlockNumber> {
        let shown = self.lag_of_pledge.map_or(0, |_lag| self.margins.register.saturating_add(self.pledge_delta));
        blocks(handshake, self.clock.shortest)?.checked_add(shown)
    }
}

/// The expiries of a swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// The last block of the target chain in which the target leg may be locked.
    pub lock_by: BlockNumber,
    /// The target leg's.
    pub target: BlockNumber,
    /// The source leg's.
    pub source: BlockNumber,
}

/// A ladder that leaves too little time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LadderShort {
    /// Where it ends.
    pub have: BlockNumber,
    /// Where it would have to.
    pub need: BlockNumber,
}

impl From<LadderShort> for SwapCode {
    fn from(LadderShort { have, need }: LadderShort) -> Self {
        Self::Ladder { have, need }
    }
}

/// How many blocks a chain makes at most in a time.
fn blocks(time: Millis, shortest: Millis) -> Option<BlockNumber> {
    BlockNumber::try_from(time.checked_next_multiple_of(shortest)?.checked_div(shortest)?).ok()
}

impl Ladder {
    /// The shortest safe one: `answer` is what a peer has for an answer, `handshake` the time until the target leg is locked, and `delta` how much later that
    /// leg expires where the responder sends it off, for hubs. None where the chains' times are none, or no block numbers.
    #[must_use]
    pub fn shortest(
        source: &ChainView,
        target: &ChainView,
        answer: Millis,
        handshake: Millis,
        delta: BlockNumber,
    ) -> Option<Self> {
        let lock_by = target.best.checked_add(target.until_locked(handshake)?)?;
        let expiry = lock_by.checked_add(Self::after_lock(target, answer)?)?;
        let late = blocks(handshake, source.clock.shortest)?;
        let source = Self::least_source(source, target, expiry.checked_add(delta)?, answer)?.checked_add(late)?;
        Some(Self { lock_by, target: expiry, source })
    }

    /// Whether the responder may lock its leg now: the initiator can only wait until `target` with showing the pre-image, and this side then still claims the source leg in time.
    ///
    /// # Errors
    /// [`LadderShort`], in blocks of the source chain; or of the target chain, where that leg may not be locked any more.
    pub fn check(&self, source: &ChainView, target: &ChainView, answer: Millis) -> Result<(), LadderShort> {
        if target.best > self.lock_by {
            return Err(LadderShort { have: self.lock_by, need: target.best });
        }
        let after = Self::after_lock(target, answer).unwrap_or(BlockNumber::MAX);
        let need = self.lock_by.saturating_add(after);
        if self.target < need {
            return Err(LadderShort { have: self.target, need });
        }
        let need = Self::least_source(source, target, self.target, answer).unwrap_or(BlockNumber::MAX);
        if self.source < need {
            return Err(LadderShort { have: self.source, need });
        }
        Ok(())
    }

    /// Whether the target leg is locked soon, and not for much longer than it has to be: twice what the shortest ladder has, for policies differ. Until it is
    /// claimed or over the initiator may go on with the swap or not, as prices change, and the responder's coins wait.
    ///
    /// # Errors
    /// [`LadderShort`], in blocks of the target chain: what is needed is less than what there is.
    pub fn check_length(&self, target: &ChainView, answer: Millis, handshake: Millis) -> Result<(), LadderShort> {
        let twice = |count: Option<BlockNumber>| count.and_then(|count| count.checked_mul(2));
        let (locks, lasts) = (twice(target.until_locked(handshake)), twice(Self::after_lock(target, answer)));
        let last = target.best.saturating_add(locks.unwrap_or(0));
        let end = last.saturating_add(lasts.unwrap_or(0));
        for (have, need) in [(self.lock_by, last), (self.target, end)] {
            if have > need {
                return Err(LadderShort { have, need });
            }
        }
        Ok(())
    }

    /// Whether the initiator may show the pre-image now: it gets its claim registered before the target leg's expiry, if the responder does not answer.
    ///
    /// # Errors
    /// [`LadderShort`], in blocks of the target chain.
    pub const fn check_reveal(&self, target: &ChainView) -> Result<(), LadderShort> {
        let need = target.best.saturating_add(target.margins.forward());
        if self.target < need {
            return Err(LadderShort { have: self.target, need });
        }
        Ok(())
    }

    /// Blocks of the target chain between the last one in which the leg may be locked and its expiry: `M_B + ceil(2a / b_B)`; for a premium no fewer than finality may
    /// lag in the place of the answers, since a pledge that was shown in its last block is known once that is final.
    fn after_lock(target: &ChainView, answer: Millis) -> Option<BlockNumber> {
        let answers = blocks(answer.checked_mul(2)?, target.clock.shortest)?;
        answers.max(target.lag_of_pledge.unwrap_or(0)).checked_add(target.margins.forward())
    }

    /// The least expiry of the source leg: `best_A + ceil(T / b_A) + M_A`, `T = (E_B - best_B + f_B) * B_B + S_B + a`.
    fn least_source(
        source: &ChainView,
        target: &ChainView,
        expiry: BlockNumber,
        answer: Millis,
    ) -> Option<BlockNumber> {
        let left = expiry.saturating_sub(target.best).checked_add(target.finality)?;
        let lasts = Millis::from(left).checked_mul(target.clock.longest)?;
        let time = lasts.checked_add(target.clock.stall)?.checked_add(answer)?;
        source.best.checked_add(blocks(time, source.clock.shortest)?)?.checked_add(source.margins.forward())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of D18: b 6 s, B 12 s, i 5, f 3, a 30 s, S 10 min.
    fn view(best: BlockNumber) -> ChainView {
        let clock = BlockClock { shortest: 6_000, longest: 12_000, stall: 600_000 };
        ChainView {
            best,
            clock,
            finality: 3,
            margins: Margins { register: 15, answer: 5 },
            lag_of_pledge: None,
            pledge_delta: 0,
        }
    }

    #[test]
    fn the_shortest_ladder_is_safe_and_one_block_less_is_refused_with_what_is_needed() {
        let (source, target) = (view(1_000), view(50));
        let ladder = Ladder::shortest(&source, &target, 30_000, 30_000, 0).unwrap();
        // lock_by = 50 + 5; E_B = 55 + 10 + 20; T = (35 + 3) * 12 s + 600 s + 30 s = 1,086 s = 181 blocks; E_A = 1,000 + 181 + 20 + 5.
        assert_eq!(ladder, Ladder { lock_by: 55, target: 85, source: 1_206 });
        assert_eq!(ladder.check(&source, &target, 30_000), Ok(()));
        // Where it goes through a hub that has it expire ten blocks later: 120 s more.
        let far = Ladder::shortest(&source, &target, 30_000, 30_000, 10).unwrap();
        assert_eq!(far, Ladder { source: 1_226, ..ladder });
        assert_eq!(Ladder { target: 95, ..far }.check(&source, &target, 30_000), Ok(()));
        // What the handshake takes may pass on the source chain.
        assert_eq!(ladder.check(&view(1_005), &target, 30_000), Ok(()));
        let late = ladder.check(&view(1_006), &target, 30_000);
        assert_eq!(late, Err(LadderShort { have: 1_206, need: 1_207 }));
        let short = Ladder { target: 84, ..ladder };
        assert_eq!(short.check(&source, &target, 30_000), Err(LadderShort { have: 84, need: 85 }));
        assert_eq!(ladder.check(&source, &view(55), 30_000), Ok(()));
        assert_eq!(ladder.check(&source, &view(56), 30_000), Err(LadderShort { have: 55, need: 56 }));
        assert_eq!(ladder.check_reveal(&view(65)), Ok(()));
        assert_eq!(ladder.check_reveal(&view(66)), Err(LadderShort { have: 85, need: 86 }));
    }

    #[test]
    fn a_premium_has_its_time_to_be_shown_and_to_be_heard_of() {
        let (source, target) = (view(1_000), ChainView { lag_of_pledge: Some(20), ..view(50) });
        let ladder = Ladder::shortest(&source, &target, 30_000, 30_000, 0).unwrap();
        // lock_by = 50 + 5 + 15; E_B = 70 + 20 + 20; T = (60 + 3) * 12 s + 630 s = 1,386 s = 231 blocks; E_A = 1,000 + 231 + 20 + 5.
        assert_eq!(ladder, Ladder { lock_by: 70, target: 110, source: 1_256 });
        assert_eq!(ladder.check(&source, &target, 30_000), Ok(()));
        assert_eq!(ladder.check_length(&target, 30_000, 30_000), Ok(()));
        let short = Ladder { target: 109, ..ladder };
        assert_eq!(short.check(&source, &target, 30_000), Err(LadderShort { have: 109, need: 110 }));
        // Through a hub whose own pledge ends 35 blocks sooner.
        let far = ChainView { pledge_delta: 35, ..target };
        let ladder = Ladder::shortest(&source, &far, 30_000, 30_000, 0).unwrap();
        assert_eq!((ladder.lock_by, ladder.target), (105, 145));
        assert_eq!(ladder.check_length(&far, 30_000, 30_000), Ok(()));
        assert_eq!(ladder.check_length(&target, 30_000, 30_000), Err(LadderShort { have: 105, need: 90 }));
        // Where finality lags less than the answers take, those count.
        let target = ChainView { lag_of_pledge: Some(3), ..target };
        assert_eq!(Ladder::shortest(&source, &target, 30_000, 30_000, 0).unwrap().target, 100);
    }

    #[test]
    fn a_ladder_that_is_more_than_twice_as_long_as_needed_is_refused() {
        let ladder = Ladder { lock_by: 60, target: 120, source: 2_000 };
        assert_eq!(ladder.check_length(&view(50), 30_000, 30_000), Ok(()));
        let late = Ladder { lock_by: 61, ..ladder };
        assert_eq!(late.check_length(&view(50), 30_000, 30_000), Err(LadderShort { have: 61, need: 60 }));
        let long = Ladder { target: 121, ..ladder };
        assert_eq!(long.check_length(&view(50), 30_000, 30_000), Err(LadderShort { have: 121, need: 120 }));
    }

    #[test]
    fn times_that_are_none_make_no_ladder() {
        let clock = BlockClock { shortest: 0, longest: 0, stall: 0 };
        let none = ChainView { clock, ..view(1) };
        assert_eq!(Ladder::shortest(&none, &view(1), 30_000, 30_000, 0), None);
        assert_eq!(Ladder::shortest(&view(1), &none, 30_000, 30_000, 0), None);
        let far = ChainView { best: BlockNumber::MAX, ..view(1) };
        assert_eq!(Ladder::shortest(&far, &view(1), 30_000, 30_000, 0), None);
        let slow = ChainView { clock: BlockClock { longest: Millis::MAX, ..view(1).clock }, ..view(1) };
        assert_eq!(Ladder::shortest(&view(1), &slow, 30_000, 30_000, 0), None);
    }
}
