//! Calls of the arbiter for one channel: the same one is not made twice at once.

use super::disputes::ANSWERS;
use crate::chain::{Arbiter, CallError, ChainError, Signer, Urgency};
use channel::ChannelRef;
use protocol::{
    BlockNumber, PublicKey,
    call::{Call, CallKind},
};
use std::{
    collections::{HashMap, hash_map::Entry},
    mem::{Discriminant, discriminant},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// How far above the last block that was looked at an answer is believed to lie: which head it was given for is what one endpoint says, and may be made
/// up.
const BELIEVED: BlockNumber = 4;

/// The calls that were made, by their kinds.
#[derive(Debug, Default)]
pub(super) struct Calls(HashMap<CallKind, Submitted>);

#[derive(Debug)]
enum Submitted {
    /// Its answer is not here. It may have been wanted once more since, in a later block.
    UnderWay { wanted_again: bool },
    /// It is final, or was refused, in a block that was not looked at yet.
    In(BlockNumber),
}

impl Calls {
    /// Whether a call is to be made now; where one of that kind is under way, it is noted that it was wanted again.
    pub(super) fn begin(&mut self, kind: CallKind) -> bool {
        match self.0.get_mut(&kind) {
            Some(Submitted::UnderWay { wanted_again }) => {
                *wanted_again = true;
                false
            }
            Some(Submitted::In(_)) => false,
            None => {
                let _none = self.0.insert(kind, Submitted::UnderWay { wanted_again: false });
                true
            }
        }
    }

    /// Its answer is here; whether it was wanted again meanwhile.
    pub(super) fn end(&mut self, kind: CallKind) -> bool {
        matches!(self.0.remove(&kind), Some(Submitted::UnderWay { wanted_again: true }))
    }

    /// It is in a block that was not looked at yet, `head` being the last one that was: until then it is not asked for again, but no longer than an
    /// endpoint is believed.
    pub(super) fn wait_for(&mut self, kind: CallKind, block: BlockNumber, head: BlockNumber) {
        let _none = self.0.insert(kind, Submitted::In(block.min(head.saturating_add(BELIEVED))));
    }

    /// Every block up to this one was looked at.
    pub(super) fn saw(&mut self, head: BlockNumber) {
        self.0.retain(|_, call| !matches!(call, Submitted::In(block) if *block <= head));
    }

    /// Has these calls made again, though they are in a block that was not looked at: what was said of it is in doubt.
    pub(super) fn ask_again(&mut self, kinds: &[CallKind]) {
        self.0.retain(|kind, call| !(matches!(call, Submitted::In(_)) && kinds.contains(kind)));
    }

    pub(super) fn has(&self, kind: CallKind) -> bool {
        self.0.contains_key(&kind)
    }

    /// The kinds of those whose answers are not here.
    pub(super) fn under_way(&self) -> impl Iterator<Item = CallKind> {
        self.0.iter().filter(|(_, call)| matches!(call, Submitted::UnderWay { .. })).map(|(kind, _)| *kind)
    }
}

/// How long is waited for a call that somebody else makes: a few blocks.
const WAITS: Duration = Duration::from_secs(30);

/// For which channel, and which call.
pub(super) type Answer = (PublicKey, ChannelRef, CallKind);

/// Calls that defend channels and are under way, whoever makes them: a peer's task that is late, or the defence that acts in its place. No two pay for
/// one answer.
#[derive(Debug, Default)]
pub(super) struct Defending(Mutex<HashMap<Answer, watch::Receiver<Option<BlockNumber>>>>);

impl Defending {
    /// Makes a call, unless somebody else makes the same one: then its outcome is this one's where it is in a block, and this one takes over where it is
    /// in none, or where nothing is known of it for so long that whoever makes it may have come to a standstill.
    pub(super) async fn make(
        &self,
        answer: Answer,
        call: impl Future<Output = (BlockNumber, Result<(), CallError>)>,
    ) -> (BlockNumber, Result<(), CallError>) {
        self.make_within(WAITS, answer, call).await
    }

    async fn make_within(
        &self,
        waits: Duration,
        answer: Answer,
        call: impl Future<Output = (BlockNumber, Result<(), CallError>)>,
    ) -> (BlockNumber, Result<(), CallError>) {
        let (tell, told) = watch::channel(None);
        while let Some(mut other) = self.begin(answer, &told) {
            match timeout(waits, other.wait_for(Option::is_some)).await.map(|made| made.map(|block| *block)) {
                Ok(Ok(Some(block))) => return (block, Ok(())),
                Ok(Ok(None) | Err(_)) => {}
                Err(_elapsed) => {
                    let _standing_still = self.lock().insert(answer, told.clone());
                    break;
                }
            }
        }
        let under_way = UnderWay { defending: self, answer, told };
        let (block, result) = call.await;
        if result.is_ok() {
            let _none = tell.send_replace(Some(block));
        }
        // Whoever takes over finds nobody.
        drop(under_way);
        (block, result)
    }

    /// Notes that this one makes the call; none where nobody else does.
    fn begin(
        &self,
        answer: Answer,
        told: &watch::Receiver<Option<BlockNumber>>,
    ) -> Option<watch::Receiver<Option<BlockNumber>>> {
        match self.lock().entry(answer) {
            Entry::Occupied(other) => Some(other.get().clone()),
            Entry::Vacant(free) => {
                let _mine = free.insert(told.clone());
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Answer, watch::Receiver<Option<BlockNumber>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct UnderWay<'a> {
    defending: &'a Defending,
    answer: Answer,
    told: watch::Receiver<Option<BlockNumber>>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(noted) = self.defending.lock().entry(self.answer)
            && noted.get().same_channel(&self.told)
        {
            let _mine = noted.remove();
        }
    }
}

/// Whether a call shows the chain what both have signed long ago, or takes what is due: it needs no new signature of a state.
pub(super) const fn defends(call: &Call) -> bool {
    matches!(call, Call::ChannelSlash(_) | Call::ChannelSnapshotSolo(_) | Call::ChannelSettle { .. })
}

/// Makes a call: in which block it is, or why it is in none, by what the chain had up to that block.
pub(super) async fn call(
    arbiter: Arc<Arbiter>,
    signer: impl Future<Output = Arc<dyn Signer>> + Send + 'static,
    call: Call,
    urgency: Urgency,
) -> (BlockNumber, Result<(), CallError>) {
    let (chain, is_answer) = (Arc::clone(&arbiter), ANSWERS.contains(&call.kind()));
    // In a task of its own: where a wallet breaks down, the call is made again.
    let calling = tokio::spawn(async move { arbiter.call_urgently(&*signer.await, &call, 0, urgency).await });
    let broken = |_error| Err(ChainError::Unreachable("the wallet has broken down".into()).into());
    match calling.await.unwrap_or_else(broken) {
        Ok(done) => (done.receipt.block.number, Ok(())),
        Err(error) => {
            let head = chain.finalised_head().await.map_or(0, |head| head.number);
            // What one endpoint refuses may be what it wants to be kept off chain: the next try is another one's.
            if is_answer && !matches!(error, CallError::Chain(ChainError::NotSigned { .. })) {
                let why =
                    ChainError::Unreachable(format!("an answer that defends a channel did not get on chain: {error}"));
                chain.chain().leave_endpoint(&why).await;
            }
            (head, Err(error))
        }
    }
}

/// What kind of failure a call has met. Its words name blocks and endpoints, and may be others each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FailureKind(Discriminant<CallError>, Option<Discriminant<ChainError>>);

impl FailureKind {
    pub(super) fn of(error: &CallError) -> Self {
        let chain = match error {
            CallError::Chain(error) => Some(discriminant(error)),
            _ => None,
        };
        Self(discriminant(error), chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, future::pending};
    use tokio::sync::oneshot;

    const ANSWER: Answer = (PublicKey([1; 32]), ChannelRef([2; 16]), CallKind::ChannelSlash);

    #[tokio::test]
    async fn an_answer_that_a_late_task_makes_is_not_made_by_the_defence_as_well_and_taken_over_where_it_fails() {
        let defending = Defending::default();
        let failed = || Err(ChainError::Unreachable("for this test".into()).into());
        let making = |done: oneshot::Receiver<Result<(), CallError>>| {
            Box::pin(defending.make(ANSWER, async { (7, done.await.unwrap()) }))
        };
        for succeeds in [true, false] {
            let (end, done) = oneshot::channel();
            let mut first = making(done);
            assert!((&mut first).now_or_never().is_none());
            let mut takes_over = false;
            let mut second = Box::pin(defending.make(ANSWER, async {
                takes_over = true;
                (9, Ok(()))
            }));
            assert!((&mut second).now_or_never().is_none(), "nobody pays twice");
            end.send(if succeeds { Ok(()) } else { failed() }).unwrap();
            assert_eq!(first.await.1.is_ok(), succeeds);
            assert_eq!(second.await.0, if succeeds { 7 } else { 9 });
            assert_eq!(takes_over, !succeeds);
        }
        // One that stands still is not waited for for ever, and leaves whoever made it meanwhile alone.
        let mut still = Box::pin(defending.make(ANSWER, pending()));
        assert!((&mut still).now_or_never().is_none());
        let mut another = Box::pin(defending.make_within(Duration::ZERO, ANSWER, pending()));
        let own = |defending: &Defending| defending.lock().get(&ANSWER).cloned().unwrap();
        let of_the_first = own(&defending);
        while own(&defending).same_channel(&of_the_first) {
            assert!((&mut another).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        drop(still);
        assert_eq!(defending.lock().len(), 1);
        drop(another);
        // One whose task is gone is taken over as well, and nothing of it stays.
        let mut gone = Box::pin(defending.make(ANSWER, pending()));
        assert!((&mut gone).now_or_never().is_none());
        drop(gone);
        assert_eq!(defending.make(ANSWER, async { (3, Ok(())) }).await.0, 3);
        assert!(defending.lock().is_empty());
    }

    #[test]
    fn a_call_is_not_waited_for_until_a_block_that_an_endpoint_has_made_up() {
        let mut calls = Calls::default();
        assert!(calls.begin(CallKind::ChannelSlash));
        assert!(!calls.end(CallKind::ChannelSlash));
        calls.wait_for(CallKind::ChannelSlash, BlockNumber::MAX, 100);
        calls.saw(101);
        assert!(!calls.begin(CallKind::ChannelSlash), "it may be there");
        calls.saw(100 + BELIEVED);
        assert!(calls.begin(CallKind::ChannelSlash));
    }

    #[test]
    fn what_fails_with_each_block_for_the_same_kind_of_reason_is_of_one_kind() {
        let dropped = |last| FailureKind::of(&CallError::Chain(ChainError::Dropped { last }));
        let unreachable = |words: &str| FailureKind::of(&CallError::Chain(ChainError::Unreachable(words.into())));
        assert_eq!(dropped(1), dropped(2));
        assert_eq!(unreachable("ws://a"), unreachable("ws://b"));
        assert_ne!(dropped(1), unreachable("ws://a"));
    }
}
