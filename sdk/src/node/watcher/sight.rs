//! Whether this node sees what happens to its channels.

use crate::chain::{ChainError, Health};
use protocol::BlockNumber;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// How many blocks may be final and not told yet before that is said: a busy moment is not worth a word.
const MAX_BEHIND: BlockNumber = 32;

/// How far the chain is followed. Shared by the watcher and whoever asks for the node's health.
#[derive(Debug)]
pub(in crate::node) struct Sight(Mutex<Sighted>);

#[derive(Debug)]
struct Sighted {
    /// The last block that was told.
    told: BlockNumber,
    /// The newest final block that is known.
    head: BlockNumber,
    /// When the last block was told.
    at: Instant,
    /// What is in the way, and since when.
    blind: Option<(Instant, ChainError)>,
    /// The first block that is not confirmed, why not, and since when.
    doubt: Option<(Instant, BlockNumber, ChainError)>,
}

impl Sight {
    pub(in crate::node) fn new(told: BlockNumber, head: BlockNumber) -> Self {
        Self(Mutex::new(Sighted { told, head: head.max(told), at: Instant::now(), blind: None, doubt: None }))
    }

    fn state(&self) -> MutexGuard<'_, Sighted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block was told, for certain: what was in the way is not any more.
    pub(super) fn followed(&self, number: BlockNumber) {
        let mut state = self.state();
        if state.doubt.take().is_some() {
            tracing::info!(number, "what was in doubt is confirmed");
        }
        state.told = number;
        state.head = state.head.max(number);
        state.at = Instant::now();
        if state.blind.take().is_some() {
            tracing::info!(number, "the chain is followed again");
        }
    }

    /// So many blocks are final.
    pub(super) fn saw_head(&self, head: BlockNumber) {
        let mut state = self.state();
        // An endpoint may have boasted before.
        state.head = head.max(state.told);
        if state.head <= state.told {
            state.blind = None;
        }
    }

    /// The next block cannot be had, or not be believed.
    pub(super) fn blind(&self, cause: ChainError) {
        let mut state = self.state();
        let since = state.blind.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        state.blind = Some((since, cause));
    }

    /// No second endpoint says what one says of a block.
    pub(super) fn doubt(&self, block: BlockNumber, cause: ChainError) {
        let mut state = self.state();
        let (since, block) =
            state.doubt.as_ref().map_or_else(|| (Instant::now(), block), |(since, first, _)| (*since, *first));
        state.doubt = Some((since, block, cause));
    }

    /// What this says of the node's health.
    pub(in crate::node) fn health(&self) -> Health {
        let Sighted { told, head, at, blind, doubt } = &*self.state();
        match (blind, doubt) {
            (Some((since, cause)), _) => {
                Health::Blind { next: told.saturating_add(1), since: since.elapsed(), cause: cause.clone() }
            }
            (None, Some((since, block, cause))) => {
                Health::Blind { next: *block, since: since.elapsed(), cause: cause.clone() }
            }
            (None, None) if head.saturating_sub(*told) > MAX_BEHIND => {
                Health::Behind { processed: *told, head: *head, since: at.elapsed() }
            }
            (None, None) => Health::Good,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_far_behind_the_head_is_said_and_what_is_near_is_not() {
        let sight = Sight::new(100, 100 + MAX_BEHIND);
        assert_eq!(sight.health(), Health::Good);
        sight.saw_head(101 + MAX_BEHIND);
        assert!(matches!(sight.health(), Health::Behind { processed: 100, head: 133, .. }));
        sight.followed(101);
        assert_eq!(sight.health(), Health::Good);
        sight.saw_head(1_000_000);
        sight.saw_head(101);
        assert_eq!(sight.health(), Health::Good, "one endpoint had boasted");
    }

    #[test]
    fn blindness_is_told_until_a_block_is_told_and_doubt_until_it_is_cleared() {
        let sight = Sight::new(100, 100);
        let is = |block, error: &ChainError| matches!(sight.health(), Health::Blind { next, cause, .. } if (next, &cause) == (block, error));
        let (pruned, open) =
            (ChainError::Pruned { block: 101 }, ChainError::Unconfirmed { block: 102, cause: String::new() });
        sight.blind(pruned.clone());
        assert!(is(101, &pruned));
        sight.followed(101);
        assert_eq!(sight.health(), Health::Good);
        sight.doubt(102, open.clone());
        sight.doubt(103, open.clone());
        assert!(is(102, &open), "the first one is told");
        sight.followed(102);
        assert_eq!(sight.health(), Health::Good);
    }
}
