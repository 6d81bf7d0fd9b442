//! What a peer's task asks of the chain, and what becomes of the answers.

use super::{Peer, PeerInput};
use crate::{
    chain::{CallError, ChainError, ChainSignature, NotSigned, Signer},
    node::submitted::{self, defends},
};
use async_trait::async_trait;
use channel::{ChainInput, ChannelRef, Effect, Input, Notice};
use protocol::{
    AccountId, BlockNumber, Pair, PartyId,
    call::{Call, CallKind},
};
use std::{
    convert::Infallible,
    mem::{Discriminant, discriminant},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::oneshot;

/// What kind of failure a call has met. Its words name blocks and endpoints, and may be others each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) struct Kind(Discriminant<CallError>, Option<Discriminant<ChainError>>);

impl Kind {
    fn of(error: &CallError) -> Self {
        let chain = match error {
            CallError::Chain(error) => Some(discriminant(error)),
            _ => None,
        };
        Self(discriminant(error), chain)
    }
}

/// Opens a channel.
const CREATE: CallKind = CallKind::ChannelCreate;
/// Forces calls.
const FORCE: CallKind = CallKind::ChannelForceProgress;

/// The nonce of the opening that an effect submits, if it does.
pub(super) fn nonce_of(effect: &Effect) -> Option<u64> {
    match effect {
        Effect::Submit(call) => match &**call {
            Call::ChannelCreate(create) => Some(create.nonce),
            _ => None,
        },
        _ => None,
    }
}

/// Openings with one peer are signed one after the other, in the order in which they were submitted: an account's transactions are included
/// in the order in which they are signed, and the pair's nonces have to ascend (R5.2). They need not wait for each other's blocks.
#[derive(Debug, Default)]
pub(super) struct CreateTurn(Option<oneshot::Receiver<Infallible>>);

impl CreateTurn {
    /// A place behind those that were submitted before.
    fn queue(&mut self) -> Turn {
        let (mine, after_me) = oneshot::channel();
        Turn { before: self.0.replace(after_me), mine }
    }
}

struct Turn {
    /// Says nothing, and ends when the one before is signed or given up.
    before: Option<oneshot::Receiver<Infallible>>,
    mine: oneshot::Sender<Infallible>,
}

impl Turn {
    /// Waits for the turn, and gives a signer that passes it on when it is asked to sign.
    async fn come(self, signer: Arc<dyn Signer>) -> InTurn {
        if let Some(before) = self.before {
            let _ended = before.await;
        }
        InTurn { signer, turn: Mutex::new(Some(self.mine)) }
    }
}

/// A signer that holds a turn until it has given the first signature: then the account's nonce is settled. Whoever has asked for one and gives way to a
/// call that comes first has not, and asks again. Dropped, it holds it no more.
struct InTurn {
    signer: Arc<dyn Signer>,
    turn: Mutex<Option<oneshot::Sender<Infallible>>>,
}

#[async_trait]
impl Signer for InTurn {
    fn account(&self) -> AccountId {
        self.signer.account()
    }

    async fn sign(&self, payload: &[u8]) -> Result<ChainSignature, NotSigned> {
        let signed = self.signer.sign(payload).await;
        drop(self.turn.lock().unwrap_or_else(PoisonError::into_inner).take());
        signed
    }
}

impl Peer {
    pub(super) fn ask_nonce(&self, reference: ChannelRef, parties: Pair<PartyId>) {
        let (arbiter, answers) = (Arc::clone(&self.config.arbiter), self.answers.clone());
        let _task = tokio::spawn(async move {
            match arbiter.pair_nonce(parties).await {
                Ok(next) => {
                    if let Some(answers) = answers.upgrade() {
                        let _stopped = answers.send(PeerInput::Nonce(reference, parties, next)).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "could not read a pair's nonce: the opening will time out"),
            }
        });
    }

    /// Names an opening's nonce: above all that are on chain, and above all that this side has named for the pair and not forgotten.
    pub(super) fn on_nonce(&mut self, reference: ChannelRef, parties: Pair<PartyId>, next: u64) {
        let named = self.slots.values().filter_map(|slot| slot.nonce.filter(|(pair, _)| *pair == parties));
        let nonce = named.map(|(_, nonce)| nonce.saturating_add(1)).fold(next, u64::max);
        let _changed = self.input(reference, Input::Chain(ChainInput::Nonce { parties, nonce }));
    }

    pub(super) fn submit(&mut self, reference: ChannelRef, call: Call) {
        let kind = call.kind();
        if kind == CREATE && self.is_overtaken(reference) {
            return;
        }
        let Some(slot) = self.slots.get_mut(&reference) else { return };
        if !slot.calls.begin(kind) {
            return;
        }
        let until = slot.rumours.defend_by(&slot.channel, self.head);
        let first = defends(&call) || kind == FORCE;
        let urgency =
            self.peers.upgrade().filter(|_| first).map(|peers| peers.purse.urgency(until)).unwrap_or_default();
        let turn = (kind == CREATE).then(|| self.create_turn.queue());
        // Nothing of the store: a node that was stopped lets go of it, whatever is still under way.
        let (arbiter, signer) = (Arc::clone(&self.config.arbiter), Arc::clone(&self.config.signer));
        let answers = self.answers.clone();
        let defending = self.peers.upgrade().filter(|_| defends(&call)).map(|peers| Arc::clone(&peers.defending));
        let answer = (self.identity, reference, kind);
        let _task = tokio::spawn(async move {
            let signer = async move {
                match turn {
                    Some(turn) => Arc::new(turn.come(signer).await),
                    None => signer,
                }
            };
            let calling = submitted::call(arbiter, signer, call, urgency);
            let (block, result) = match defending {
                Some(defending) => defending.make(answer, calling).await,
                None => calling.await,
            };
            if let Some(answers) = answers.upgrade() {
                let _stopped = answers.send(PeerInput::Called(reference, kind, block, result)).await;
            }
        });
    }

    /// Tells the user why a call does not reach the arbiter: at once where it defends the channel, otherwise where waiting is no help.
    fn tell_failing(&mut self, reference: ChannelRef, call: CallKind, error: &CallError) {
        let Some(slot) = self.slots.get_mut(&reference) else { return };
        let until = slot.rumours.defend_by(&slot.channel, self.head);
        let may_pass = matches!(error, CallError::Chain(error) if error.may_pass());
        let kind = Kind::of(error);
        if (may_pass && until.is_none()) || slot.failing.get(&call).is_some_and(|told| told.contains(&kind)) {
            return;
        }
        slot.failing.entry(call).or_default().push(kind);
        let cause = error.to_string();
        self.tell(reference, Notice::CallFailed { call, cause, until }.into(), None);
    }

    /// Whether an opening of the same two with a higher nonce is under way: where that comes to be, this one can only fail in a block (R5.2). It
    /// waits for what becomes of the other, and is asked for again with the next head.
    fn is_overtaken(&self, reference: ChannelRef) -> bool {
        let Some((pair, nonce)) = self.slots.get(&reference).and_then(|slot| slot.nonce) else { return false };
        let mut under_way = self.slots.values().filter(|slot| slot.calls.has(CREATE));
        under_way.any(|slot| slot.nonce.is_some_and(|(of, later)| of == pair && later > nonce))
    }

    /// What has become of an opening is known: those that it held back are asked for now, since the next head may be long in coming.
    fn ask_for_others_again(&mut self, decided: ChannelRef) {
        let openings = self.slots.iter().filter(|(reference, slot)| **reference != decided && slot.is_opening());
        for reference in openings.map(|(reference, _)| *reference).collect::<Vec<_>>() {
            let _changed = self.input(reference, Input::Chain(ChainInput::Head));
        }
    }

    pub(super) fn on_called(
        &mut self,
        reference: ChannelRef,
        call: CallKind,
        block: BlockNumber,
        result: Result<(), CallError>,
    ) {
        let Some(slot) = self.slots.get_mut(&reference) else { return };
        let wanted_again = slot.calls.end(call);
        let failed = result.is_err();
        if matches!(result, Ok(()) | Err(CallError::Rejected(_))) {
            let _told = slot.failing.remove(&call);
        }
        let is_decided = matches!(result, Ok(()) | Err(CallError::Rejected(_)));
        match result {
            // Its event comes with its block, once that is confirmed: until then it is not asked for again. So may come what it was refused for, its
            // own doing perhaps, where the answer to it was lost: a refusal counts by what was looked at.
            Ok(()) | Err(CallError::Rejected(_)) if block > self.head => {
                slot.calls.wait_for(call, block, self.head);
            }
            // Whoever has both signatures may put an opening on chain: it is there.
            Err(_) if call == CREATE && slot.channel.is_on_chain() => {}
            // Its event was faster than this answer: what was wanted in between, and was held back because of it, is asked for now.
            Ok(()) => {
                let _changed = self.input(reference, Input::Chain(ChainInput::Head));
            }
            Err(CallError::Rejected(rejection)) => {
                let _changed = self.input(reference, Input::Chain(ChainInput::Rejected { call, rejection }));
            }
            Err(error) => {
                tracing::warn!(peer = %self.identity, %call, %error, "a call did not reach the arbiter");
                self.tell_failing(reference, call, &error);
                let Some(slot) = self.slots.get_mut(&reference) else { return };
                // Another head, another try; but whoever waits for an opening hears what is wrong when trying again is no help.
                let is_beyond_the_chain = call == FORCE
                    && matches!(
                        error,
                        CallError::Chain(
                            ChainError::Failed { .. } | ChainError::Reverted | ChainError::FailedInBlock { .. }
                        )
                    );
                if is_beyond_the_chain || (call == CREATE && slot.give_up_opening(error)) {
                    let _changed = self.input(reference, Input::Chain(ChainInput::Undeliverable { call }));
                }
            }
        }
        // A head came meanwhile, and the next one may be long in coming.
        if failed && wanted_again {
            let _changed = self.input(reference, Input::Chain(ChainInput::Head));
        }
        if call == CREATE && is_decided {
            self.ask_for_others_again(reference);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    /// A wallet that signs once its owner has looked.
    struct Slow(tokio::sync::Semaphore);

    #[async_trait]
    impl Signer for Slow {
        fn account(&self) -> AccountId {
            AccountId([7; 32])
        }

        async fn sign(&self, _payload: &[u8]) -> Result<ChainSignature, NotSigned> {
            let _looked = self.0.acquire().await;
            Err(NotSigned("for this test".into()))
        }
    }

    #[tokio::test]
    async fn an_opening_that_gives_way_while_it_is_signed_is_not_overtaken_by_the_next() {
        let wallet = Arc::new(Slow(tokio::sync::Semaphore::new(0)));
        let mut turns = CreateTurn::default();
        let (first, second) = (turns.queue(), turns.queue());
        let first = first.come(wallet.clone()).await;
        let mut second = Box::pin(second.come(wallet.clone()));
        assert!(first.sign(b"gives way").now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none(), "nothing is signed of the first one yet");
        wallet.0.add_permits(1);
        assert!(first.sign(b"once more").await.is_err());
        assert!(second.now_or_never().is_some());
    }

    #[test]
    fn what_fails_with_each_block_for_the_same_kind_of_reason_is_of_one_kind() {
        let dropped = |last| Kind::of(&CallError::Chain(ChainError::Dropped { last }));
        let unreachable = |words: &str| Kind::of(&CallError::Chain(ChainError::Unreachable(words.into())));
        assert_eq!(dropped(1), dropped(2));
        assert_eq!(unreachable("ws://a"), unreachable("ws://b"));
        assert_ne!(dropped(1), unreachable("ws://a"));
    }
}
