//! What a peer's task asks of the chain, and what becomes of the answers.

use super::{Peer, PeerInput, Submitted};
use crate::chain::CallError;
use channel::{ChainInput, ChannelRef, Event, Input, Notice};
use protocol::{AccountId, BlockNumber, Pair, call::Call};
use std::{collections::VecDeque, sync::Arc};

/// The message that opens a channel.
const CREATE: &str = "channel_create";

/// Whose turn it is to open a channel: the pair's nonce, of which the id is made, counts up only when a channel is on chain (R5.2). So
/// openings take turns, or two of them would claim one id.
#[derive(Debug, Default)]
pub(super) struct NonceTurn {
    holder: Option<ChannelRef>,
    waiting: VecDeque<(ChannelRef, Pair<AccountId>)>,
}

impl Peer {
    pub(super) fn want_nonce(&mut self, reference: ChannelRef, accounts: Pair<AccountId>) {
        if self.nonce.holder.is_some() {
            self.nonce.waiting.push_back((reference, accounts));
        } else {
            self.ask_nonce(reference, accounts);
        }
    }

    /// Passes the turn on once it is known what becomes of an opening.
    pub(super) fn watch_nonce(&mut self, reference: ChannelRef, event: &Event) {
        let decided = matches!(
            event,
            Event::Opened { .. } | Event::Closed(_) | Event::Notice(Notice::CallRejected { call: CREATE, .. })
        );
        if decided {
            self.pass_turn(reference);
        }
    }

    fn pass_turn(&mut self, reference: ChannelRef) {
        self.nonce.waiting.retain(|(waiting, _)| *waiting != reference);
        if self.nonce.holder == Some(reference) {
            self.nonce.holder = None;
            if let Some((next, accounts)) = self.nonce.waiting.pop_front() {
                self.ask_nonce(next, accounts);
            }
        }
    }

    fn ask_nonce(&mut self, reference: ChannelRef, accounts: Pair<AccountId>) {
        self.nonce.holder = Some(reference);
        let (config, answers) = (Arc::clone(&self.config), self.answers.clone());
        let _task = tokio::spawn(async move {
            match config.arbiter.pair_nonce(accounts).await {
                Ok(nonce) => {
                    if let Some(answers) = answers.upgrade() {
                        let _stopped = answers.send(PeerInput::Nonce(reference, accounts, nonce)).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "could not read a pair's nonce: the opening will time out"),
            }
        });
    }

    pub(super) fn submit(&mut self, reference: ChannelRef, call: Call) {
        let name = call.name();
        let Some(slot) = self.slots.get_mut(&reference) else { return };
        match slot.calls.get_mut(name) {
            Some(Submitted::UnderWay { wanted_again }) => {
                *wanted_again = true;
                return;
            }
            Some(Submitted::In(_)) => return,
            None => {}
        }
        let _none = slot.calls.insert(name, Submitted::UnderWay { wanted_again: false });
        let (config, answers) = (Arc::clone(&self.config), self.answers.clone());
        let _task = tokio::spawn(async move {
            let result = config.arbiter.call(&*config.signer, &call, 0).await.map(|done| done.receipt.block.number);
            if let Some(answers) = answers.upgrade() {
                let _stopped = answers.send(PeerInput::Called(reference, name, result)).await;
            }
        });
    }

    pub(super) fn on_called(
        &mut self,
        reference: ChannelRef,
        call: &'static str,
        result: Result<BlockNumber, CallError>,
    ) {
        let Some(slot) = self.slots.get_mut(&reference) else { return };
        let wanted_again = matches!(slot.calls.remove(call), Some(Submitted::UnderWay { wanted_again: true }));
        let failed = result.is_err();
        match result {
            // Its event comes with its block: until then it is not asked for again.
            Ok(block) if block > self.head => {
                let _none = slot.calls.insert(call, Submitted::In(block));
            }
            // Its event was faster than this answer: what was wanted in between, and was held back because of it, is asked for now.
            Ok(_told) => {
                let _changed = self.input(reference, Input::Chain(ChainInput::Head));
            }
            Err(CallError::Rejected(rejection)) => {
                let _changed = self.input(reference, Input::Chain(ChainInput::Rejected { call, rejection }));
            }
            Err(error) => {
                tracing::warn!(peer = %self.identity, call, %error, "a call did not reach the arbiter");
                // Another head, another try; but whoever waits for an opening hears what is wrong when trying again is no help.
                if call == CREATE && slot.give_up_opening(error) {
                    let _changed = self.input(reference, Input::Chain(ChainInput::Undeliverable { call }));
                    self.pass_turn(reference);
                }
            }
        }
        // A head came meanwhile, and the next one may be long in coming.
        if failed && wanted_again {
            let _changed = self.input(reference, Input::Chain(ChainInput::Head));
        }
    }
}
