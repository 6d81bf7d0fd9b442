//! Calls of the arbiter for one channel: the same one is not made twice at once.

use crate::chain::{Arbiter, CallError, ChainError, Signer, Urgency};
use protocol::{BlockNumber, call::Call};
use std::{collections::HashMap, sync::Arc};

/// The calls that were made, by their names.
#[derive(Debug, Default)]
pub(super) struct Calls(HashMap<&'static str, Submitted>);

#[derive(Debug)]
enum Submitted {
    /// Its answer is not here. It may have been wanted once more since, in a later block.
    UnderWay { wanted_again: bool },
    /// It is final, or was refused, in a block that was not looked at yet.
    In(BlockNumber),
}

impl Calls {
    /// Whether a call is to be made now; where one of that name is under way, it is noted that it was wanted again.
    pub(super) fn begin(&mut self, name: &'static str) -> bool {
        match self.0.get_mut(name) {
            Some(Submitted::UnderWay { wanted_again }) => {
                *wanted_again = true;
                false
            }
            Some(Submitted::In(_)) => false,
            None => {
                let _none = self.0.insert(name, Submitted::UnderWay { wanted_again: false });
                true
            }
        }
    }

    /// Its answer is here; whether it was wanted again meanwhile.
    pub(super) fn end(&mut self, name: &'static str) -> bool {
        matches!(self.0.remove(name), Some(Submitted::UnderWay { wanted_again: true }))
    }

    /// It is in a block that was not looked at yet: until then it is not asked for again.
    pub(super) fn wait_for(&mut self, name: &'static str, block: BlockNumber) {
        let _none = self.0.insert(name, Submitted::In(block));
    }

    /// Every block up to this one was looked at.
    pub(super) fn saw(&mut self, head: BlockNumber) {
        self.0.retain(|_, call| !matches!(call, Submitted::In(block) if *block <= head));
    }

    /// Has these calls made again, though they are in a block that was not looked at: what was said of it is in doubt.
    pub(super) fn ask_again(&mut self, names: &[&str]) {
        self.0.retain(|name, call| !(matches!(call, Submitted::In(_)) && names.contains(name)));
    }

    pub(super) fn has(&self, name: &'static str) -> bool {
        self.0.contains_key(name)
    }

    /// The names of those whose answers are not here.
    pub(super) fn under_way(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().filter(|(_, call)| matches!(call, Submitted::UnderWay { .. })).map(|(name, _)| *name)
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
    let chain = Arc::clone(&arbiter);
    // In a task of its own: where a wallet breaks down, the call is made again.
    let calling = tokio::spawn(async move { arbiter.call_urgently(&*signer.await, &call, 0, urgency).await });
    let broken = |_error| Err(ChainError::Unreachable("the wallet has broken down".into()).into());
    match calling.await.unwrap_or_else(broken) {
        Ok(done) => (done.receipt.block.number, Ok(())),
        Err(error) => (chain.finalised_head().await.map_or(0, |head| head.number), Err(error)),
    }
}
