//! What the chain has new, told to the channels with the peer.

use super::Peer;
use crate::{
    chain::arbiter::ChannelEvent,
    node::{
        disputes::ANSWERS,
        following::News,
        watcher::{Found, Records, UnconfirmedBlock, WatchedBlock},
    },
};
use channel::{ChainInput, Effect, Input, Step};
use protocol::BlockNumber;

impl Peer {
    pub(super) fn on_news(&mut self, news: &News) {
        match news {
            News::Block(block) => self.on_block(block),
            News::Head(number) if *number > self.head => self.on_head(*number),
            News::Head(_) => {}
            News::Unconfirmed(unconfirmed) => self.on_unconfirmed(unconfirmed),
            News::Looked => self.on_looked(),
        }
    }

    pub(super) fn on_block(&mut self, block: &WatchedBlock) {
        self.head = block.at.number;
        self.on_records(block);
        for event in &block.contents.events {
            self.on_arbiter(event);
        }
        self.on_head(block.at.number);
    }

    /// Every block up to this one was told, or needs not to be.
    fn on_head(&mut self, number: BlockNumber) {
        self.head = number;
        for slot in self.slots.values_mut() {
            slot.disputes.know(self.head);
            slot.calls.saw(self.head);
        }
        self.on_link(&Input::Chain(ChainInput::Head));
    }

    /// Every block up to the head was looked at: who waited for that is heard.
    pub(super) fn on_looked(&mut self) {
        self.has_looked = true;
        for connected in std::mem::take(&mut self.held) {
            self.on_connected(connected);
        }
    }

    /// One endpoint alone tells of a block: what needs an answer is answered, once more with each such block, and nothing becomes known by it (R6.9a).
    pub(super) fn on_unconfirmed(&mut self, UnconfirmedBlock { number, disputes }: &UnconfirmedBlock) {
        if *number <= self.head {
            return;
        }
        for (channel, dispute) in disputes {
            let slot = self.by_id.get(channel).and_then(|reference| self.slots.get_mut(reference));
            if let Some(slot) = slot {
                slot.disputes.hear(*number, dispute);
            }
        }
        for slot in self.slots.values_mut() {
            slot.calls.ask_again(&ANSWERS);
        }
        self.on_link(&Input::Chain(ChainInput::UnconfirmedHead(*number)));
        for (reference, slot) in &self.slots {
            let answers = slot.disputes.answers(&slot.channel).into_iter();
            let submit = answers.map(|call| Effect::Submit(Box::new(call))).collect();
            self.steps.push(*reference, Step::Act(submit));
        }
    }

    /// Tells channels what the chain has of them, where blocks were skipped.
    pub(super) fn on_records(&mut self, block: &WatchedBlock) {
        let Some(Records { from, found }) = &block.contents.records else { return };
        for (channel, Found { record, nonce }) in found {
            let Some(reference) = self.by_id.get(channel).copied() else { continue };
            let record = ChainInput::Record { from: *from, record: record.clone(), nonce: *nonce };
            let _changed = self.input(reference, Input::Chain(record));
        }
    }

    /// Tells a channel what the arbiter announced about it.
    pub(super) fn on_arbiter(&mut self, ChannelEvent { channel, event, .. }: &ChannelEvent) {
        if let Some(reference) = self.by_id.get(channel).copied() {
            let _changed = self.input(reference, Input::Chain(ChainInput::Event(event.clone())));
        }
    }
}
