//! How a peer's task ends before its node does: its store takes nothing more, or the peer is gone and has no channel here.

use super::Peer;
use crate::{
    node::{
        NodeError,
        inbox::{Opening, PeerInput},
    },
    store::StoreError,
};
use channel::transfer::TransferCommand;

impl Peer {
    /// Nothing can be kept any more: the channels go to the defence, which needs no store. Whoever waits for something of them is told.
    pub(super) fn hand_over(mut self, error: &StoreError) {
        let cause = error.to_string();
        tracing::error!(peer = %self.identity, cause, "nothing more is agreed with this peer: its channels are only defended");
        // What the router wants claimed is registered by the defence, whatever is signed or kept (I11). Whoever waits for an answer goes on waiting.
        let mut unanswered = Vec::new();
        while let Ok(input) = self.inbox.try_recv() {
            match input {
                PeerInput::Command(reference, command @ TransferCommand::Claim { .. }) => {
                    self.on_command(reference, command);
                }
                other => unanswered.push(other),
            }
        }
        // First of all: a defence that met a task that has ended before it had the channels would read them from the store, and pass over the blocks
        // that they have not heard of.
        let peers = self.peers.upgrade();
        if let Some(peers) = &peers {
            let channels = self.slots.values().map(|slot| slot.channel.clone()).collect();
            peers.take_over(self.identity, channels, self.head, cause.clone(), error);
        }
        // Whoever waits for something asks for the reason as soon as nobody can answer any more: so that is noted before.
        self.follower.fail(cause);
        self.inbox.close();
        let late = std::iter::from_fn(|| self.inbox.try_recv().ok());
        for input in unanswered.into_iter().chain(late) {
            if let (PeerInput::Command(reference, command), Some(peers)) = (input, &peers) {
                self.routing.refuse(reference, command, peers);
            }
        }
    }

    /// Whether nothing is left to do for this peer: a stranger that came and went costs nothing.
    pub(super) fn is_idle(&self) -> bool {
        self.link.was_up()
            && !self.link.is_up()
            && self.slots.is_empty()
            && self.steps.is_empty()
            && self.heard.is_empty()
    }

    /// Ends the task, and hands on or answers what has reached it just now.
    pub(super) async fn retire(mut self) {
        self.follower.end();
        self.leave_place();
        self.inbox.close();
        if let Some(peers) = self.peers.upgrade() {
            peers.forget(&self.identity);
        }
        while let Some(input) = self.inbox.recv().await {
            match input {
                // It has come back just now: to a new task.
                PeerInput::Connected(connected) => {
                    if let Some(peers) = self.peers.upgrade() {
                        let running = peers.running.clone();
                        let _task = tokio::spawn(running.track(async move { drop(peers.connected(*connected).await) }));
                    }
                }
                PeerInput::Open(_, _, Opening { reply, .. }) => {
                    let _gone = reply.send(Err(NodeError::NotConnected(self.identity)));
                }
                PeerInput::List(reply) => {
                    let _gone = reply.send(Vec::new());
                }
                PeerInput::Command(reference, command) => {
                    let (at, why) = (self.routing.at(reference), network::CommandRefusal::NotOpen);
                    if let Some(errands) = self.peers.upgrade().map(|peers| peers.errands.clone()) {
                        let _over = errands.send(network::RouterInput::Refused { at, command, why }).await;
                    }
                }
                // About channels that are not there (any more).
                PeerInput::Request(..)
                | PeerInput::Called(..)
                | PeerInput::Nonce(..)
                | PeerInput::Vault(..)
                | PeerInput::Code(..)
                | PeerInput::NotFound
                | PeerInput::Displaced
                | PeerInput::Announce(_)
                | PeerInput::Say(_)
                | PeerInput::Locks
                | PeerInput::Stop => {}
            }
        }
    }
}
