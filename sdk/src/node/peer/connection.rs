//! The connection to the peer: taken into use, kept for later, made again.

use super::Peer;
use crate::{
    keys::PeerAddress,
    node::inbox::{Connected, PeerInput},
    transport::Role,
};
use channel::Input;
use std::sync::Arc;

impl Peer {
    pub(super) fn on_connected(&mut self, connected: Box<Connected>) {
        self.redial.found();
        if !self.has_looked && !self.slots.is_empty() {
            // An old store does not know that it is old before it has seen what the chain took meanwhile: it must take no answer (R6.6a).
            return self.hold(connected);
        }
        let Connected { session, address, told } = *connected;
        let ours = self.config.identity.public();
        let session = match session.role() {
            // It was accepted among strangers, where this task runs.
            Role::Listener if self.is_outside => Ok(session),
            // Among strangers, or wherever its dialler runs: that may be gone sooner than the connection.
            _ => session.watched_here(),
        };
        let session = match session {
            Ok(session) => session,
            Err(error) => {
                tracing::info!(peer = %self.identity, %error, "connection lost");
                if !self.link.is_up() && !self.slots.is_empty() {
                    self.redial.missed();
                }
                return;
            }
        };
        if self.link.adopt(session, &ours) {
            self.settle_place();
            self.on_new_link();
        }
        self.set_bounds();
        if let Some(address) = address {
            self.address_changed |= self.redial.learn(address);
        }
        for told in told {
            let _gone = told.send(());
        }
    }

    /// Keeps a connection for later. Of two that the same side dialled, the later one stays; of two that crossed both do: which one the peer keeps
    /// is not known yet.
    pub(super) fn hold(&mut self, mut connected: Box<Connected>) {
        let role = connected.session.role();
        if let Some(at) = self.held.iter().position(|held| held.session.role() == role) {
            let mut earlier = self.held.swap_remove(at);
            if connected.session.number() < earlier.session.number() {
                std::mem::swap(&mut connected, &mut earlier);
            }
            connected.told.extend(earlier.told);
            connected.address = connected.address.or(earlier.address);
        }
        self.held.push(connected);
    }

    /// Dials a lost peer again, beside everything else.
    pub(super) fn dial_again(&mut self, address: PeerAddress) {
        let Some(peers) = self.peers.upgrade() else { return };
        let (dialler, running) = (Arc::clone(&peers.dialler), peers.running.clone());
        let (ours, timeouts) = (Arc::clone(&self.config.identity), self.config.timeouts);
        let (peers, answers) = (self.peers.clone(), self.answers.clone());
        let _task = tokio::spawn(async move {
            match dialler.dial(&ours, &address, timeouts).await {
                Ok(session) => {
                    let Some(_runs) = running.enter() else { return };
                    if let Some(peers) = peers.upgrade() {
                        let _stopped = peers.connected(Connected { session, address: None, told: Vec::new() }).await;
                    }
                }
                Err(error) => {
                    tracing::info!(%address, %error, "a lost peer was not found");
                    if let Some(answers) = answers.upgrade() {
                        let _stopped = answers.send(PeerInput::NotFound).await;
                    }
                }
            }
        });
    }

    pub(super) fn on_new_link(&mut self) {
        self.on_link(&Input::LinkDown);
        self.on_link(&Input::LinkUp);
    }
}
