//! Blocks that are not final yet: who waits for them, and the states to which a reader that sees only final ones is kept.

use super::state::ChainState;
use crate::{ChainError, Receipt};
use protocol::{AccountId, Amount, BlockNumber};
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// What becomes known of a transaction once its block is final.
pub(super) struct PendingAnswer {
    pub(super) answer: oneshot::Sender<Result<Receipt, ChainError>>,
    pub(super) told: Result<Receipt, ChainError>,
}

/// The newest blocks, the oldest of them first.
#[derive(Default)]
pub(super) struct Unfinal {
    /// How many blocks stay behind the newest one.
    pub(super) lag: BlockNumber,
    blocks: VecDeque<(Option<ChainState>, Vec<PendingAnswer>)>,
}

impl Unfinal {
    /// A block was made: the state before it, and what came of its transactions.
    pub(super) fn push(&mut self, before: Option<ChainState>, outcomes: Vec<PendingAnswer>) {
        self.blocks.push_back((before, outcomes));
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// The oldest block becomes final.
    pub(super) fn finalise_first(&mut self) {
        for PendingAnswer { answer, told } in self.blocks.pop_front().into_iter().flat_map(|(_, outcomes)| outcomes) {
            // Whoever sent it may have gone.
            let _gone = answer.send(told);
        }
    }

    /// The state before the oldest block, which is that after the newest final one.
    pub(super) fn first_state(&self) -> Option<&ChainState> {
        self.blocks.front().and_then(|(before, _)| before.as_ref())
    }

    /// Coins from nowhere were there all the time.
    pub(super) fn endow(&mut self, account: AccountId, amount: Amount) {
        for before in self.blocks.iter_mut().filter_map(|(before, _)| before.as_mut()) {
            before.endow(account, amount);
        }
    }
}
