//! What whoever asked for payments is told of them, and that it has been taken (R6.4c).

use super::error::NodeError;
use std::sync::Arc;
use tokio::sync::{Notify, oneshot};

/// How whoever asked for payments is answered.
pub(super) type PaymentReply<T> = oneshot::Sender<PaymentAnswer<T>>;

/// An answer that can be an error.
pub(super) trait Failing {
    /// That error.
    fn failed(error: NodeError) -> Self;
}

impl<T> Failing for Result<T, NodeError> {
    fn failed(error: NodeError) -> Self {
        Err(error)
    }
}

impl<T> Failing for PaymentAnswer<T> {
    fn failed(error: NodeError) -> Self {
        Err(error).into()
    }
}

/// An answer about payments.
#[derive(Debug)]
pub(super) struct PaymentAnswer<T> {
    said: Result<T, NodeError>,
    taken: Option<Taken>,
}

/// Says, once it is dropped, that an answer was taken, or that nobody takes it.
#[derive(Debug)]
struct Taken(Arc<Notify>);

impl<T> PaymentAnswer<T> {
    /// About what is not kept yet: `taken` is notified within the turn of whoever takes it.
    pub(super) fn of_agreed(said: T, taken: &Arc<Notify>) -> Self {
        Self { said: Ok(said), taken: Some(Taken(Arc::clone(taken))) }
    }

    pub(super) fn take(self) -> Result<T, NodeError> {
        let Self { said, taken } = self;
        drop(taken);
        said
    }
}

impl<T> From<Result<T, NodeError>> for PaymentAnswer<T> {
    fn from(said: Result<T, NodeError>) -> Self {
        Self { said, taken: None }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn is_taken(taken: &Notify) -> bool {
        taken.notified().now_or_never().is_some()
    }

    #[test]
    fn an_answer_is_taken_by_whoever_reads_it_and_where_nobody_does() {
        let taken = Arc::new(Notify::new());
        let (reply, mut answer) = oneshot::channel();
        reply.send(PaymentAnswer::of_agreed(7, &taken)).unwrap();
        assert!(!is_taken(&taken), "nobody has read it");
        assert_eq!(answer.try_recv().unwrap().take().unwrap(), 7);
        assert!(is_taken(&taken));

        let (reply, answer) = oneshot::channel();
        reply.send(PaymentAnswer::of_agreed(7, &taken)).unwrap();
        drop(answer);
        assert!(is_taken(&taken), "whoever asked has gone after it was sent");

        let (reply, answer) = oneshot::channel();
        drop(answer);
        drop(reply.send(PaymentAnswer::of_agreed(7, &taken)));
        assert!(is_taken(&taken), "whoever asked has gone before");
    }
}
