//! What a peer's task asks of the chain, and what becomes of the answers.

use super::Peer;
use crate::{
    chain::{CallError, ChainError},
    node::{
        inbox::PeerInput,
        submitted::{self, FailureKind, defends},
    },
};
use channel::{ChainInput, ChannelRef, Input, Notice};
use protocol::{
    BlockNumber, Pair, PartyId,
    call::{Call, CallKind},
};
use std::sync::Arc;

/// Opens a channel.
const CREATE: CallKind = CallKind::ChannelCreate;
/// Forces calls.
const FORCE: CallKind = CallKind::ChannelForceProgress;

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
        let until = slot.disputes.defend_by(&slot.channel, self.head);
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
        let until = slot.disputes.defend_by(&slot.channel, self.head);
        let may_pass = matches!(error, CallError::Chain(error) if error.may_pass());
        let kind = FailureKind::of(error);
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
