//! What was told of and is not kept yet (R6.4c).

use std::sync::Arc;
use tokio::sync::Notify;

/// What was told and is not kept.
#[derive(Debug, Default)]
pub(super) struct Unkept {
    /// Notified once somebody has taken what was told in this gathering; none where nobody was told.
    taken: Option<Arc<Notify>>,
    /// The last commit that could wait has waited: this one does not.
    has_waited: bool,
}

impl Unkept {
    /// To be notified once somebody has taken what is told now.
    pub(super) fn tell(&mut self) -> &Arc<Notify> {
        self.taken.get_or_insert_with(Arc::default)
    }

    /// What the commit is to wait for: once, and where it may wait.
    pub(super) fn awaited(&mut self, may_wait: bool) -> Option<Arc<Notify>> {
        let taken = self.taken.take().filter(|_| may_wait && !self.has_waited);
        self.has_waited = taken.is_some();
        taken
    }
}

/// Until an answer is taken; never, where none is awaited.
pub(super) async fn taken(awaited: Option<Arc<Notify>>) {
    match awaited {
        Some(taken) => taken.notified().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_waits_once_for_what_was_told_and_the_next_one_does_not() {
        let mut unkept = Unkept::default();
        assert!(unkept.awaited(true).is_none(), "nobody was told");
        let _told = unkept.tell();
        assert!(unkept.awaited(true).is_some());
        let _told = unkept.tell();
        assert!(unkept.awaited(true).is_none(), "it has waited");
        let _told = unkept.tell();
        assert!(unkept.awaited(false).is_none(), "others would wait with it");
        assert!(unkept.awaited(true).is_none(), "what was told then is kept");
    }
}
