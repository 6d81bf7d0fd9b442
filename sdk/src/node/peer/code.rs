//! Apps that a channel needs and that are not here: fetched by their hash, from the chain first, then from the peer in pieces (R7.2a).

use super::{
    Peer,
    fetches::{Fetch, MAX_FETCHES},
};
use crate::node::{
    inbox::PeerInput,
    packet::{MAX_PIECE, Packet},
};
use channel::{ChannelRef, Input};
use interpreter::MAX_CODE;
use protocol::{Hash, contracts::Apps};
use std::sync::Arc;

impl Peer {
    pub(super) fn fetch_code(&mut self, reference: ChannelRef, code: Hash) {
        if let Some(fetch) = self.fetches.0.get_mut(&code) {
            fetch.channels.push(reference);
            return;
        }
        if self.fetches.0.len() >= MAX_FETCHES || self.config.apps.knows(&code) {
            let _changed = self.input(reference, Input::Code(code));
            return;
        }
        let _none = self.fetches.0.insert(code, Fetch { channels: vec![reference], bytes: Vec::new() });
        let (arbiter, answers) = (Arc::clone(&self.config.arbiter), self.answers.clone());
        let _task = tokio::spawn(async move {
            let wasm = arbiter.chain().code(&code).await.unwrap_or_else(|error| {
                tracing::warn!(%code, %error, "could not ask the chain for an app");
                None
            });
            if let Some(answers) = answers.upgrade() {
                let _stopped = answers.send(PeerInput::Code(code, wasm)).await;
            }
        });
    }

    pub(super) fn on_code_of_chain(&mut self, code: Hash, wasm: Option<Vec<u8>>) {
        if !self.fetches.0.contains_key(&code) {
            return;
        }
        match wasm {
            Some(wasm) => self.on_code(code, &wasm),
            None => self.link.feed(&Packet::CodeWanted { code, from: 0 }),
        }
    }

    /// The peer asks for an app: it gets the next piece of it, if it is here. A stranger has no channel that could need one.
    pub(super) fn on_code_wanted(&mut self, code: Hash, from: u32) {
        let wasm = if self.is_stranger() { None } else { self.config.apps.library().code(&code) };
        let wasm = wasm.as_deref().unwrap_or_default();
        let start = usize::try_from(from).unwrap_or(usize::MAX);
        let rest = wasm.get(start..).unwrap_or_default();
        let bytes = rest.get(..MAX_PIECE).unwrap_or(rest).to_vec();
        let total = u32::try_from(wasm.len()).unwrap_or(0);
        self.link.feed(&Packet::CodePiece { code, total, from, bytes });
    }

    pub(super) fn on_code_piece(&mut self, code: Hash, (total, from): (u32, u32), bytes: &[u8]) {
        let Some(fetch) = self.fetches.0.get_mut(&code) else { return };
        let (total, from) = (usize::try_from(total).unwrap_or(usize::MAX), usize::try_from(from).unwrap_or(usize::MAX));
        let sound = from == fetch.bytes.len() && !bytes.is_empty() && total <= MAX_CODE;
        if sound {
            fetch.bytes.extend_from_slice(bytes);
        }
        if !sound || fetch.bytes.len() > total {
            return self.give_up_code(code);
        }
        if fetch.bytes.len() == total {
            let wasm = std::mem::take(&mut fetch.bytes);
            return self.on_code(code, &wasm);
        }
        let from = u32::try_from(fetch.bytes.len()).unwrap_or(u32::MAX);
        self.link.feed(&Packet::CodeWanted { code, from });
    }

    fn on_code(&mut self, code: Hash, wasm: &[u8]) {
        if let Err(error) = self.config.apps.library().add_expected(&code, wasm) {
            tracing::warn!(%code, %error, peer = %self.identity, "an app that was fetched cannot be used");
        }
        self.give_up_code(code);
    }

    /// It is here, or nobody has it: the channels see for themselves.
    fn give_up_code(&mut self, code: Hash) {
        let Some(Fetch { channels, .. }) = self.fetches.0.remove(&code) else { return };
        for reference in channels {
            let _changed = self.input(reference, Input::Code(code));
        }
    }
}
