//! Calls of the arbiter for one channel: the same one is not made twice at once.

use super::rumours::ANSWERS;
use crate::chain::{Arbiter, CallError, ChainError, Signer, Urgency};
use protocol::{
    BlockNumber,
    call::{Call, CallKind},
};
use std::{collections::HashMap, sync::Arc};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
