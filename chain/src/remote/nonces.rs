//! Which nonce the next transaction of an account gets.
//!
//! The chain (or its pool) says which is the lowest that it has not seen. From there on, those are passed over that this process has in
//! flight, and those that another program was met at. Nothing else is remembered, so nothing can drift: a nonce whose transaction was lost is
//! simply the lowest free one again, and fills its own gap.
//!
//! One endpoint that makes a nonce up could keep a call that defends a channel out of every block: too high a one is held back by honest nodes until the
//! ones below it are used. So whatever comes first goes by what several endpoints tell ([`Told`]), and by nothing that one of them has said before.

use crate::counting::Counted;
use protocol::{AccountId, Amount};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Every account that has sent something.
#[derive(Default)]
pub(super) struct Nonces {
    lanes: Mutex<HashMap<AccountId, Arc<Lane>>>,
}

/// One account.
#[derive(Default)]
pub(super) struct Lane {
    /// Signing and sending take turns, so that transactions reach the pool in the order of their nonces.
    turn: tokio::sync::Mutex<()>,
    /// How many that come first wait for their turn.
    pressing: watch::Sender<usize>,
    /// What is offered at most for any that is under way: an earlier nonce is as urgent as the most urgent one behind it.
    tips: Mutex<BTreeMap<u64, Amount>>,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// No nonce below it can be used any more.
    floor: u64,
    in_flight: BTreeSet<u64>,
    /// In the chain's pool, by another program.
    taken: BTreeSet<u64>,
}

impl Book {
    fn take(&mut self, lowest: u64) -> u64 {
        let from = lowest.max(self.floor);
        self.taken = self.taken.split_off(&from);
        let nonce = (from..=u64::MAX).find(|nonce| !self.in_flight.contains(nonce) && !self.taken.contains(nonce));
        let nonce = nonce.unwrap_or(u64::MAX);
        let _new = self.in_flight.insert(nonce);
        nonce
    }

    /// As [`take`](Self::take), by nothing that one endpoint alone may have said before.
    fn take_first(&mut self, lowest: u64, taken: &BTreeSet<u64>) -> u64 {
        let nonce = (lowest..=u64::MAX).find(|nonce| !self.in_flight.contains(nonce) && !taken.contains(nonce));
        let nonce = nonce.unwrap_or(u64::MAX);
        let _new = self.in_flight.insert(nonce);
        nonce
    }
}

/// How often an endpoint may tell a nonce that turns out to be used before another one is believed instead. A pool that has just heard of a transaction
/// of somebody else's is wrong once; whoever tells the next number each time is wrong as often as it is asked.
const MAX_WRONG: u8 = 2;

/// What endpoints tell of the lowest nonce of an account that they have not seen, one number for each of them, by their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told(Vec<(usize, u64)>);

/// How often endpoints have told a nonce that was used, as far as one transaction goes: without it a lying endpoint that counts on from what it sees
/// handed over would be tried again and again, and nobody else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wrong(BTreeMap<usize, u8>);

impl Wrong {
    /// This nonce is used: whoever told it was wrong.
    pub(super) fn note(&mut self, told: &Told, nonce: u64) {
        for (index, _) in told.0.iter().filter(|(_, told)| *told == nonce) {
            let times = self.0.entry(*index).or_default();
            *times = times.saturating_add(1);
        }
    }

    fn is_believed(&self, index: usize) -> bool {
        self.0.get(&index).is_none_or(|times| *times < MAX_WRONG)
    }
}

impl Told {
    /// One more endpoint tells of it; says whether it has told what another one has told.
    pub(super) fn hear(&mut self, index: usize, nonce: u64) -> bool {
        let is_agreed = self.0.iter().any(|(_, told)| *told == nonce);
        self.0.push((index, nonce));
        is_agreed
    }

    /// The nonce to begin with, at least `least`: what two tell, or else the lowest, of those who were not wrong too often. A nonce that is too low is
    /// refused at once by whoever is honest, and the next one is tried; one that is too high is held back. Where all are below `least`, it is begun
    /// anew. None where nobody tells any.
    pub(super) fn lowest(&self, least: u64, wrong: &Wrong) -> Option<u64> {
        let is_agreed = |nonce: &u64| self.0.iter().filter(|(_, told)| told == nonce).count() > 1;
        let at_least = |least: u64| {
            let told = || self.0.iter().filter(move |(_, nonce)| *nonce >= least);
            let believed = told().filter(|(index, _)| wrong.is_believed(*index)).map(|(_, nonce)| *nonce).min();
            let nonces = || told().map(|(_, nonce)| *nonce);
            nonces().filter(is_agreed).min().or(believed).or_else(|| nonces().min())
        };
        at_least(least).or_else(|| at_least(0))
    }

    /// Whether nobody tells any.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any endpoint tells of a higher one.
    pub(super) fn knows_above(&self, nonce: u64) -> bool {
        self.0.iter().any(|(_, told)| *told > nonce)
    }
}

/// A nonce that a transaction is under way with. Dropped, it is free again, unless it was [used](Self::used) or [taken](Self::taken).
pub(super) struct HeldNonce {
    lane: Arc<Lane>,
    nonce: u64,
}

impl Nonces {
    pub(super) fn lane(&self, account: AccountId) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lanes.entry(account).or_default())
    }
}

impl Lane {
    /// The lowest free nonce, the chain's own answer being `lowest`.
    pub(super) fn take(self: &Arc<Self>, lowest: u64) -> HeldNonce {
        let nonce = self.book().take(lowest);
        HeldNonce { lane: Arc::clone(self), nonce }
    }

    /// The lowest free nonce for what comes first: from `lowest` on, without those at which every endpoint has met another program.
    pub(super) fn take_first(self: &Arc<Self>, lowest: u64, taken: &BTreeSet<u64>) -> HeldNonce {
        let nonce = self.book().take_first(lowest, taken);
        HeldNonce { lane: Arc::clone(self), nonce }
    }

    /// Waits for the turn to sign and send: whoever comes first before all others, however long those have waited.
    pub(super) async fn turn(&self, is_first: bool) -> tokio::sync::MutexGuard<'_, ()> {
        if is_first {
            let _pressing = Counted::new(&self.pressing);
            return self.turn.lock().await;
        }
        let mut pressing = self.pressing.subscribe();
        loop {
            // The sender is here as long as we are.
            drop(pressing.wait_for(|count| *count == 0).await);
            let turn = self.turn.lock().await;
            if *pressing.borrow() == 0 {
                return turn;
            }
        }
    }

    /// Waits until somebody waits who comes first: whoever has the turn, and has nothing sent yet, gives way.
    pub(super) async fn is_pressed(&self) {
        let mut pressing = self.pressing.subscribe();
        drop(pressing.wait_for(|count| *count > 0).await);
    }

    /// Notes what is offered for the transaction with this nonce.
    pub(super) fn offer(&self, nonce: u64, tip: Amount) {
        let _before = self.tips().insert(nonce, tip);
    }

    /// What is offered for this nonce or for any after it.
    pub(super) fn offered(&self, nonce: u64) -> Amount {
        self.tips().range(nonce..).map(|(_, tip)| *tip).max().unwrap_or_default()
    }

    /// Whether one that comes first is under way behind this nonce: then none of them is in a block before this one is.
    pub(super) fn is_waited_for(&self, nonce: u64) -> bool {
        self.tips().range(nonce.saturating_add(1)..).next().is_some()
    }

    fn tips(&self) -> MutexGuard<'_, BTreeMap<u64, Amount>> {
        self.tips.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldNonce {
    pub(super) const fn nonce(&self) -> u64 {
        self.nonce
    }

    /// It is in a final block, by whomever.
    pub(super) fn used(self) {
        let mut book = self.lane.book();
        book.floor = book.floor.max(self.nonce.saturating_add(1));
    }

    /// Another program's transaction with this nonce is in the chain's pool.
    pub(super) fn taken(self) {
        let _new = self.lane.book().taken.insert(self.nonce);
    }
}

impl Drop for HeldNonce {
    fn drop(&mut self) {
        let _was_there = self.lane.book().in_flight.remove(&self.nonce);
        let _none_offered = self.lane.tips().remove(&self.nonce);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use proptest::prelude::*;

    fn lane() -> Arc<Lane> {
        Nonces::default().lane(AccountId([1; 32]))
    }

    fn take(lane: &Arc<Lane>, lowest: u64) -> HeldNonce {
        lane.take(lowest)
    }

    #[test]
    fn many_in_flight_get_nonces_in_a_row() {
        let lane = lane();
        let held: Vec<_> = (0..100).map(|_| take(&lane, 7)).collect();
        let nonces: Vec<_> = held.iter().map(HeldNonce::nonce).collect();
        assert_eq!(nonces, (7..107).collect::<Vec<_>>());
    }

    #[test]
    fn a_lost_nonce_is_the_next_ones() {
        let lane = lane();
        let (first, second, third) = (take(&lane, 0), take(&lane, 0), take(&lane, 0));
        drop(second);
        assert_eq!(take(&lane, 0).nonce(), 1, "the gap comes first");
        first.used();
        assert_eq!(third.nonce(), 2);
        assert_eq!(take(&lane, 0).nonce(), 1, "whatever the endpoint says, 0 is used");
    }

    #[test]
    fn another_programs_nonce_is_passed_over_until_the_chain_has_it() {
        let lane = lane();
        let clash = take(&lane, 3);
        clash.taken();
        let next = take(&lane, 3);
        assert_eq!(next.nonce(), 4);
        drop(next);
        assert_eq!(take(&lane, 4).nonce(), 4);
        // A chain that was started anew begins at 0, and remembers no clash above what it says itself.
        assert_eq!(take(&lane, 5).nonce(), 5);
    }

    #[test]
    fn what_another_program_has_sent_moves_everything_on() {
        let lane = lane();
        let ours = take(&lane, 0);
        assert_eq!(take(&lane, 10).nonce(), 10);
        drop(ours);
        assert_eq!(take(&lane, 10).nonce(), 10);
    }

    #[tokio::test]
    async fn whoever_comes_first_has_the_next_turn_and_whoever_has_it_hears_of_that() {
        let lane = lane();
        let turn = lane.turn(false).await;
        let (mut usual, mut first) = (Box::pin(lane.turn(false)), Box::pin(lane.turn(true)));
        assert!(lane.is_pressed().now_or_never().is_none());
        assert!((&mut usual).now_or_never().is_none() && (&mut first).now_or_never().is_none());
        lane.is_pressed().await;
        drop(turn);
        // The one that waits for longer is asked first.
        assert!((&mut usual).now_or_never().is_none());
        let turn = (&mut first).now_or_never().expect("it comes first");
        assert!((&mut usual).now_or_never().is_none());
        drop(turn);
        let _turn = usual.await;
    }

    #[test]
    fn an_earlier_nonce_is_as_urgent_as_any_behind_it() {
        let lane = lane();
        let (first, second) = (take(&lane, 3), take(&lane, 3));
        lane.offer(second.nonce(), 70);
        assert_eq!([3, 4, 5].map(|nonce| lane.offered(nonce)), [70, 70, 0]);
        drop(second);
        assert_eq!(lane.offered(first.nonce()), 0, "what is in a block presses no more");
    }

    fn told(nonces: &[u64]) -> Told {
        Told(nonces.iter().copied().enumerate().collect())
    }

    #[test]
    fn a_nonce_that_one_endpoint_makes_up_is_not_begun_with() {
        let lowest = |nonces: &[u64], least| told(nonces).lowest(least, &Wrong::default());
        assert_eq!(lowest(&[1_000, 7, 7], 0), Some(7), "two tell the same");
        assert_eq!(lowest(&[0, 7, 7], 0), Some(7), "one that is too low is not taken where two say otherwise");
        assert_eq!(lowest(&[1_000, 7], 0), Some(7), "one that is too high is held back by honest nodes");
        assert_eq!(lowest(&[0, 7], 0), Some(0), "one that is too low is refused at once");
        assert_eq!(lowest(&[0, 7], 1), Some(7), "and then the next one is tried");
        assert_eq!(lowest(&[7, 7], 8), Some(7), "whoever says that it was too low may lie");
        assert_eq!(lowest(&[], 0), None);
        assert!(told(&[0, 7]).knows_above(0) && !told(&[0, 7]).knows_above(7));
    }

    /// An account that is in use for long has a nonce above the signatures that are made for one call ([`submit`](super::super::submit)).
    #[test]
    fn an_endpoint_that_counts_on_from_what_was_refused_does_not_use_up_all_signatures() {
        let (honest, mut lie) = (1_000, 0);
        let (mut least, mut wrong) = (0, Wrong::default());
        for signatures in 1.. {
            let told = told(&[lie, honest]);
            let nonce = told.lowest(least, &wrong).unwrap();
            if nonce == honest {
                break;
            }
            assert!(signatures < 4, "nobody but the liar is tried");
            // An honest node refuses it at once, and the liar has seen what it was.
            wrong.note(&told, nonce);
            (least, lie) = (nonce + 1, nonce + 1);
        }
        // One that was overtaken by another program's transaction is believed as before.
        let mut wrong = Wrong::default();
        wrong.note(&told(&[5_000, 7]), 7);
        assert_eq!(told(&[5_000, 8]).lowest(8, &wrong), Some(8));
        // Where all were wrong, the lowest is tried as before.
        for index in [0, 0, 1, 1] {
            wrong.note(&Told(vec![(index, 7)]), 7);
        }
        assert_eq!(told(&[5_000, 8]).lowest(8, &wrong), Some(8));
    }

    #[test]
    fn what_comes_first_goes_by_nothing_that_one_endpoint_has_said_before() {
        let lane = lane();
        let (used, clash) = (take(&lane, 7), take(&lane, 8));
        used.used();
        clash.taken();
        let ours = take(&lane, 7);
        assert_eq!(ours.nonce(), 9);
        let first = lane.take_first(7, &BTreeSet::new());
        assert_eq!(first.nonce(), 7, "whether it was used is what one endpoint says");
        assert_eq!(lane.take_first(7, &BTreeSet::from([8])).nonce(), 10);
        lane.offer(first.nonce(), 0);
        assert!(lane.is_waited_for(6) && !lane.is_waited_for(7));
    }

    #[test]
    fn accounts_do_not_share_nonces() {
        let nonces = Nonces::default();
        let (a, b) = (nonces.lane(AccountId([1; 32])), nonces.lane(AccountId([2; 32])));
        let _held = (take(&a, 0), take(&a, 0));
        assert_eq!(take(&b, 0).nonce(), 0);
        assert_eq!(take(&nonces.lane(AccountId([1; 32])), 0).nonce(), 2, "an account keeps its lane");
    }

    proptest! {
        #[test]
        fn no_nonce_is_in_flight_twice_and_none_is_below_what_the_chain_has(steps in prop::collection::vec((0_u8..4, 0_u64..6), 0..60)) {
            let lane = lane();
            let mut held: Vec<HeldNonce> = Vec::new();
            let mut chain = 0_u64;
            for (step, number) in steps {
                match step {
                    0 => {
                        let next = take(&lane, chain);
                        prop_assert!(next.nonce() >= chain);
                        prop_assert!(held.iter().all(|other| other.nonce() != next.nonce()));
                        held.push(next);
                    }
                    1 => chain = chain.saturating_add(number),
                    2 => drop(held.pop()),
                    _ => held.drain(..1.min(held.len())).for_each(HeldNonce::taken),
                }
            }
        }
    }
}
