//! The chain's state: a trie in memory, and the only place where the runtime runs.

use crate::errors;
use chain::ChainError;
use protocol::Hash;
use sp_io::TestExternalities;
use sp_runtime::Storage;
use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// How many commits may leave dead trie nodes behind before they are swept out.
const COMMITS_PER_SWEEP: u16 = 256;

/// A state trie. What the runtime changes lives in an overlay until it is committed, so whatever fails leaves no trace.
pub(crate) struct State {
    externalities: TestExternalities,
    commits: u16,
}

impl State {
    /// The state that `storage` describes.
    pub(crate) fn new(storage: Storage) -> Self {
        Self { externalities: TestExternalities::new(storage), commits: 0 }
    }

    /// The root of the committed state.
    pub(crate) fn root(&self) -> Hash {
        Hash(self.externalities.backend.root().0)
    }

    /// An independent copy of the committed state.
    pub(crate) fn fork(&self) -> Self {
        let mut externalities = TestExternalities::new_empty();
        externalities.backend = self.externalities.backend.clone();
        Self { externalities, commits: 0 }
    }

    /// Runs `work` with the runtime's storage and forgets what it changed.
    ///
    /// # Errors
    /// Those of `work`; [`ChainError::Failed`] if it panicked.
    pub(crate) fn forget<R>(&mut self, work: impl FnOnce() -> Result<R, ChainError>) -> Result<R, ChainError> {
        let outcome = self.run(work);
        self.discard();
        outcome
    }

    /// Runs `work` with the runtime's storage and commits what it changed, unless it fails.
    ///
    /// # Errors
    /// Those of `work`; [`ChainError::Failed`] if it panicked.
    pub(crate) fn keep<R>(&mut self, work: impl FnOnce() -> Result<R, ChainError>) -> Result<R, ChainError> {
        let outcome = self.run(work).and_then(|value| {
            let committed = self.externalities.commit_all();
            committed.map(|()| value).map_err(|cause| ChainError::Failed { cause })
        });
        if outcome.is_err() {
            self.discard();
        }
        self.sweep();
        outcome
    }

    fn run<R>(&mut self, work: impl FnOnce() -> Result<R, ChainError>) -> Result<R, ChainError> {
        // Nothing behind the unwind boundary survives a panic: the caller discards the overlay, the trie is read-only.
        catch_unwind(AssertUnwindSafe(|| self.externalities.execute_with(work)))
            .unwrap_or_else(|panic| Err(errors::panicked(&*panic)))
    }

    fn discard(&mut self) {
        let backend = mem::take(&mut self.externalities.backend);
        self.externalities = TestExternalities::new_empty();
        self.externalities.backend = backend;
    }

    /// The trie's store keeps nodes that nothing refers to any more, and every block leaves some.
    fn sweep(&mut self) {
        self.commits = self.commits.saturating_add(1);
        if self.commits >= COMMITS_PER_SWEEP {
            self.externalities.backend.backend_storage_mut().purge();
            self.commits = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &[u8]) -> Result<(), ChainError> {
        sp_io::storage::set(key, b"value");
        Ok(())
    }

    fn has(state: &mut State, key: &'static [u8]) -> bool {
        state.forget(|| Ok(sp_io::storage::get(key).is_some())).unwrap()
    }

    #[test]
    fn what_is_kept_stays_and_what_is_forgotten_does_not() {
        let mut state = State::new(Storage::default());
        state.keep(|| put(b"kept")).unwrap();
        state.forget(|| put(b"forgotten")).unwrap();
        assert!(has(&mut state, b"kept"));
        assert!(!has(&mut state, b"forgotten"));
    }

    #[test]
    fn a_panic_is_an_error_and_leaves_no_trace() {
        let mut state = State::new(Storage::default());
        state.keep(|| put(b"kept")).unwrap();
        let root = state.root();
        let refused: Result<(), _> = state.keep(|| {
            sp_io::storage::start_transaction();
            put(b"lost")?;
            panic!("on purpose, with {}", "words");
        });
        let cause = "the runtime panicked: on purpose, with words".to_owned();
        assert_eq!(refused, Err(ChainError::Failed { cause }));
        assert_eq!(state.root(), root);
        assert!(has(&mut state, b"kept"));
        assert!(!has(&mut state, b"lost"));
    }

    #[test]
    fn an_error_leaves_no_trace() {
        let mut state = State::new(Storage::default());
        let root = state.root();
        let refused: Result<(), _> = state.keep(|| {
            put(b"lost")?;
            Err(ChainError::Reverted)
        });
        assert_eq!(refused, Err(ChainError::Reverted));
        assert_eq!(state.root(), root);
        assert!(!has(&mut state, b"lost"));
    }

    #[test]
    fn a_fork_goes_its_own_way() {
        let mut state = State::new(Storage::default());
        state.keep(|| put(b"both")).unwrap();
        let mut fork = state.fork();
        assert_eq!(fork.root(), state.root());
        fork.keep(|| put(b"fork")).unwrap();
        assert!(has(&mut fork, b"both"));
        assert!(has(&mut fork, b"fork"));
        assert!(!has(&mut state, b"fork"));
    }

    #[test]
    fn sweeping_dead_nodes_changes_nothing_that_can_be_read() {
        let mut state = State::new(Storage::default());
        state.keep(|| put(b"first")).unwrap();
        for number in 0..COMMITS_PER_SWEEP * 2 {
            state
                .keep(|| {
                    sp_io::storage::set(b"counter", &number.to_le_bytes());
                    Ok(())
                })
                .unwrap();
        }
        assert!(has(&mut state, b"first"));
        assert!(has(&mut state, b"counter"));
    }
}
