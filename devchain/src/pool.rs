//! Signed transactions that wait for a block.

use chain::{ChainError, Receipt};
use protocol::AccountId;
use runtime::UncheckedExtrinsic;
use std::collections::VecDeque;
use tokio::sync::{oneshot, watch};

/// How many transactions may wait; further ones are refused. It bounds memory, and a block's size with it.
const MAX_POOL: usize = 8_192;

/// What became of a transaction.
pub(crate) enum Verdict {
    /// It is final, or refused for good.
    Decided(Result<Receipt, ChainError>),
    /// An earlier transaction of its account was refused, so its nonce is no longer the next: sign again.
    NonceGone,
}

/// A transaction in the pool.
pub(crate) struct Pending {
    pub(crate) extrinsic: UncheckedExtrinsic,
    pub(crate) account: AccountId,
    pub(crate) contract: Option<AccountId>,
    pub(crate) length: u32,
    answer: oneshot::Sender<Verdict>,
}

impl Pending {
    /// A transaction, and where to wait for its verdict.
    pub(crate) fn new(
        extrinsic: UncheckedExtrinsic,
        account: AccountId,
        contract: Option<AccountId>,
        length: u32,
    ) -> (Self, oneshot::Receiver<Verdict>) {
        let (answer, verdict) = oneshot::channel();
        (Self { extrinsic, account, contract, length, answer }, verdict)
    }

    /// Tells whoever submitted it; nobody may be waiting any more.
    pub(crate) fn tell(self, verdict: Verdict) {
        drop(self.answer.send(verdict));
    }
}

/// Transactions in the order of their arrival.
pub(crate) struct Pool {
    waiting: VecDeque<Pending>,
    length: watch::Sender<usize>,
}

impl Pool {
    /// An empty pool that tells its length to whoever watches.
    pub(crate) const fn new(length: watch::Sender<usize>) -> Self {
        Self { waiting: VecDeque::new(), length }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pending> {
        self.waiting.iter()
    }

    /// How many transactions of an account wait.
    pub(crate) fn count_of(&self, account: &AccountId) -> usize {
        self.waiting.iter().filter(|pending| pending.account == *account).count()
    }

    /// Appends a transaction.
    ///
    /// # Errors
    /// [`ChainError::Invalid`] where the pool is full.
    pub(crate) fn push(&mut self, pending: Pending) -> Result<(), ChainError> {
        if self.waiting.len() >= MAX_POOL {
            return Err(ChainError::Invalid { cause: format!("{MAX_POOL} transactions already wait for a block") });
        }
        self.waiting.push_back(pending);
        self.announce();
        Ok(())
    }

    /// Takes out one transaction by its place.
    pub(crate) fn remove(&mut self, place: usize) -> Option<Pending> {
        let removed = self.waiting.remove(place);
        self.announce();
        removed
    }

    /// Takes out all of them.
    pub(crate) fn drain(&mut self) -> VecDeque<Pending> {
        let drained = std::mem::take(&mut self.waiting);
        self.announce();
        drained
    }

    fn announce(&self) {
        let _previous = self.length.send_replace(self.waiting.len());
    }
}
