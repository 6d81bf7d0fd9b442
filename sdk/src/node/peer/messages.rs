//! What the peer says.

use super::Peer;
use crate::node::{
    book::Book,
    causes::Cause,
    limits::{MAX_CHANNELS_PER_PEER, MAX_UNKNOWN},
    link::Received,
    packet::Packet,
    slot::Slot,
};
use channel::{Channel, ChannelOpen, ChannelRef, Effect, Input, Message, RefusalCode, Step};
use protocol::ChannelId;
use std::sync::Arc;

impl Peer {
    pub(super) fn on_received(&mut self, received: Received) {
        match received {
            Received::Message(bytes) => {
                self.on_bytes(&bytes);
                self.restrain(bytes.len());
            }
            Received::Lost => {
                self.leave_place();
                self.on_link(&Input::LinkDown);
                if !self.slots.is_empty() {
                    self.redial.missed();
                }
            }
            Received::Replaced => {
                self.settle_place();
                self.set_bounds();
                self.on_new_link();
            }
            Received::Drained => self.on_drained(),
        }
    }

    /// Has one channel say what it could not: each may have a round of full length.
    pub(super) fn on_drained(&mut self) {
        if let Some(reference) = self.unsaid.pop_first() {
            let _changed = self.input(reference, Input::Drained);
        }
        if !self.unsaid.is_empty() {
            self.link.tell_when_drained();
        }
    }

    pub(super) fn on_bytes(&mut self, bytes: &[u8]) {
        if let Some(reference) = Packet::channel_of(bytes).filter(|_| bytes.len() > MAX_UNKNOWN)
            && !self.slots.contains_key(&reference)
        {
            // Too long for an opening, and about nothing that is here: not worth a look inside.
            return self.refuse(reference, self.code_for_unknown(reference));
        }
        match Packet::from_bytes(bytes) {
            Ok(packet) => self.on_packet(packet),
            Err(error) => self.link.cut_off(Cause::Undecodable, &error),
        }
    }

    pub(super) fn on_packet(&mut self, packet: Packet) {
        match packet {
            Packet::Channel(reference, message) => self.on_message(reference, message),
            Packet::Ping => {
                if self.takes_sign_of_life() {
                    self.link.pong();
                }
            }
            Packet::Pong => {
                if self.takes_sign_of_life() {
                    self.link.answered();
                }
            }
            Packet::Terms(bytes) => self.on_terms(bytes),
            Packet::Swap(bytes) => self.on_swap(bytes),
            Packet::CodeWanted { code, from } => self.on_code_wanted(code, from),
            Packet::CodePiece { code, total, from, bytes } => self.on_code_piece(code, (total, from), &bytes),
        }
    }

    pub(super) fn on_message(&mut self, reference: ChannelRef, message: Message) {
        if let Some(slot) = self.slots.get(&reference) {
            let offered = match &message {
                Message::FundingCreated(funding) => slot.channel.offered_id(funding),
                _ => None,
            };
            let input = match (offered.filter(|id| self.is_taken(id)), message) {
                (Some(taken), _) => Input::IdInUse(taken),
                (None, Message::FundingCreated(funding)) if offered.is_some() => {
                    return self.look_for_coins(reference, funding);
                }
                (None, message) => Input::Peer(message),
            };
            let _changed = self.input(reference, input);
            return;
        }
        let refusal = match message {
            Message::ChannelOpen(open) => match self.accept(reference, open) {
                Ok(()) => return,
                Err(code) => code,
            },
            // An error about nothing is answered by nothing, or two nodes would go on for ever.
            last if last.is_last_word() => return,
            _ => self.code_for_unknown(reference),
        };
        self.refuse(reference, refusal);
    }

    /// What is said of a channel that is not here. One that the store has and that cannot be read is not unknown: its peer is not to forget it.
    pub(super) fn code_for_unknown(&self, reference: ChannelRef) -> RefusalCode {
        match self.damaged.contains(&reference) {
            true => RefusalCode::BUSY,
            false => RefusalCode::UNKNOWN_CHANNEL,
        }
    }

    pub(super) fn refuse(&mut self, reference: ChannelRef, code: RefusalCode) {
        if code == RefusalCode::UNKNOWN_CHANNEL {
            self.conduct.count(Cause::UnknownChannel);
        }
        self.steps.push(reference, Step::Act(vec![Effect::Send(Message::Error { code })]));
    }

    /// Whether this is the id of a channel that has not ended. That of an opening that has expired may be used by the next (R5.2, R5.3).
    pub(super) fn is_taken(&self, id: &ChannelId) -> bool {
        let owner = self.by_id.get(id).and_then(|owner| self.slots.get(owner));
        owner.is_some_and(|slot| slot.channel.channel_id() == Some(*id))
    }

    pub(super) fn accept(&mut self, reference: ChannelRef, open: ChannelOpen) -> Result<(), RefusalCode> {
        // While the chain is not seen as it is, or fees cannot be paid, a new channel could not be defended (R6.9a, R6.9e).
        let can_defend =
            self.peers.upgrade().is_some_and(|peers| peers.health().is_good() && peers.has_fees_for_another());
        // Which id a channel has that cannot be read is not known: no opening may get the same (R5.2).
        if self.slots.len() >= MAX_CHANNELS_PER_PEER || !can_defend || !self.damaged.is_empty() {
            return Err(RefusalCode::BUSY);
        }
        let its_address = self.link.origin().and_then(|origin| Some(self.peers.upgrade()?.openings_of.of(origin)));
        let asked = self.conduct.ask_for_opening(self.is_stranger(), its_address.as_ref());
        let asked = asked.map_err(|()| RefusalCode::BUSY)?;
        let (config, identity) = (Arc::clone(&self.config), self.identity);
        let (registry, routing) = (self.registry.clone(), Arc::clone(&self.routing));
        let book = Book { registry: &registry, routing: &routing, channel: reference };
        let ctx = config.context(self.now(), self.head, &book);
        let accepted =
            Channel::accept(reference, identity, open, config.party(), &config.policy, config.channels, &ctx);
        let (channel, step) = accepted.map_err(|violation| {
            tracing::info!(peer = %identity, %violation, "refused a channel");
            violation.code()
        })?;
        if !self.routing.take_name(reference, self.identity) {
            return Err(RefusalCode::BUSY);
        }
        let mut slot = Slot::new(channel);
        slot.asked = Some(asked);
        let _none = self.slots.insert(reference, slot);
        self.done(reference, step);
        Ok(())
    }
}
