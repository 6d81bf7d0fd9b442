//! Processes that are away, or run without their node on the second chain, and are back.

use super::{
    Work,
    world::{OTHER, OTHER_CHAIN, World, at},
};
use network::{Restored, RestoredChannel, RouterInput};

impl World {
    /// A node does nothing more, and says nothing.
    pub(crate) fn vanish(&mut self, node: usize) {
        self.nodes[node].is_away = true;
        self.nodes[node].queues.clear();
        for channel in self.channels_of(node) {
            let peer = self.peer(node, channel);
            self.give(peer, channel, Work::Down);
        }
    }

    /// It is back, from its store.
    pub(crate) fn come_back(&mut self, node: usize) {
        self.nodes[node].is_away = false;
        self.crash(node);
    }

    /// A node's process goes on without its node on the second chain.
    pub(crate) fn lose_second(&mut self, node: usize) {
        let _is_new = self.without_second.insert(node);
        self.crash(node);
    }

    /// The node on the second chain joins the running process, from its store.
    pub(crate) fn join_second(&mut self, node: usize) {
        let _was_missing = self.without_second.remove(&node);
        let store = &self.nodes[node].store;
        let sides = store.sides.iter().filter(|(channel, _)| **channel >= OTHER);
        let channels = sides.map(|(channel, side)| RestoredChannel {
            at: at(*channel),
            peer: self.key(self.peer(node, *channel)),
            incoming: side.incoming.values().cloned().collect(),
            outgoing: side.outgoing.values().cloned().collect(),
            is_whole: true,
        });
        let rows = store.other_rows.clone().into_iter().collect();
        let restored = Restored { chain: OTHER_CHAIN, channels: channels.collect(), rows };
        let [_, head] = self.heads(node);
        let mut outputs = self.nodes[node].router.handle(head);
        outputs.extend(self.nodes[node].router.handle(RouterInput::Restored(restored)));
        self.commit_outside(node, outputs);
        for channel in self.channels_of(node).into_iter().filter(|channel| *channel >= OTHER) {
            self.link(channel);
        }
    }
}
