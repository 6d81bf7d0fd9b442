//! What runs of a node beside the tasks that it starts with: whoever stops it waits until nothing of that has the node or its store any more.

use std::{future::Future, sync::Arc};
use tokio::sync::watch;

/// Counts what runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Running(Arc<watch::Sender<Count>>);

#[derive(Debug, Default)]
struct Count {
    running: usize,
    is_over: bool,
}

/// Something runs until this is dropped.
#[derive(Debug)]
pub(super) struct Runs(Arc<watch::Sender<Count>>);

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.send_modify(|count| count.running = count.running.saturating_sub(1));
    }
}

impl Running {
    /// Something of the node begins to run.
    fn begin(&self) -> Runs {
        self.0.send_modify(|count| count.running = count.running.saturating_add(1));
        Runs(Arc::clone(&self.0))
    }

    /// Something begins to run that comes from outside: nothing does once the node stops.
    pub(super) fn enter(&self) -> Option<Runs> {
        let entered = self.0.send_if_modified(|count| {
            count.running = count.running.saturating_add(usize::from(!count.is_over));
            !count.is_over
        });
        entered.then(|| Runs(Arc::clone(&self.0)))
    }

    /// A task of the node's, which runs until it is let go of.
    pub(super) fn track<F: Future>(&self, task: F) -> impl Future<Output = F::Output> + use<F> {
        let runs = self.begin();
        async move {
            let _until_it_is_dropped = runs;
            task.await
        }
    }

    /// The node stops: nothing enters any more.
    pub(super) fn end(&self) {
        self.0.send_modify(|count| count.is_over = true);
    }

    /// Waits until nothing runs.
    pub(super) async fn over(&self) {
        let mut count = self.0.subscribe();
        let _sender_is_here = count.wait_for(|count| count.running == 0).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::future::pending;

    /// Notes whether it is there when the count falls.
    struct Held(Running);

    impl Drop for Held {
        fn drop(&mut self) {
            assert!(self.0.over().now_or_never().is_none(), "the task has not let go of it");
        }
    }

    #[test]
    fn a_task_runs_until_it_has_let_go_of_all_that_it_has_whether_it_ends_or_is_dropped() {
        let running = Running::default();
        assert!(running.over().now_or_never().is_some());
        let held = Held(running.clone());
        let ends = running.track(async move { drop(held) });
        let held = Held(running.clone());
        let mut dropped = Box::pin(running.track(async move {
            let _held = held;
            pending::<()>().await;
        }));
        assert!(dropped.as_mut().now_or_never().is_none() && running.over().now_or_never().is_none());
        drop(dropped);
        assert!(running.over().now_or_never().is_none(), "the other one has not ended");
        assert!(ends.now_or_never().is_some() && running.over().now_or_never().is_some());
    }

    #[test]
    fn nothing_enters_a_node_that_stops_and_what_has_entered_is_waited_for() {
        let running = Running::default();
        let entered = running.enter();
        running.end();
        assert!(running.enter().is_none() && running.over().now_or_never().is_none());
        drop(entered);
        assert!(running.over().now_or_never().is_some());
    }
}
