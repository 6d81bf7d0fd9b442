//! What one endpoint has said of a channel and nobody has confirmed (R6.9a): remembered as long as it is in doubt, so that the answer to it is made
//! again with each block. Nothing of it is stored.

use channel::{Channel, Rumour};
use protocol::{BlockNumber, Party, call::Call};
use std::collections::BTreeMap;

/// The calls that answer rumours: what was said of one of them before is as doubtful as the rumour.
pub(super) const ANSWERS: [&str; 2] = ["channel_slash", "channel_snapshot_solo"];

/// The rumours of one channel: one of a close by each side and one of a forced step, so that none that was made up stands before one that is true,
/// and so that no number of them takes more than this.
#[derive(Debug, Default)]
pub(super) struct Rumours(BTreeMap<Option<Party>, Heard>);

#[derive(Debug)]
struct Heard {
    rumour: Rumour,
    /// The first block of which it was said, and the last.
    first: BlockNumber,
    last: BlockNumber,
}

impl Rumours {
    /// Notes what is said of a block. Of two of one kind the one of the lower state is kept: whatever answers the other answers it.
    pub(super) fn hear(&mut self, block: BlockNumber, rumour: &Rumour) {
        let heard = self.0.entry(rumour.closer()).or_insert_with(|| Heard {
            rumour: rumour.clone(),
            first: block,
            last: block,
        });
        heard.last = heard.last.max(block);
        if rumour.at() < heard.rumour.at() {
            heard.rumour = rumour.clone();
        }
    }

    /// What happened up to this block is known for certain now.
    pub(super) fn know(&mut self, block: BlockNumber) {
        self.0.retain(|_, heard| heard.last > block);
    }

    /// What answers them, by what `channel` holds now.
    pub(super) fn answers(&self, channel: &Channel) -> Vec<Call> {
        self.0.values().filter_map(|heard| channel.answer_to(&heard.rumour)).collect()
    }

    /// The last block in which an answer counts for certain, where one is wanted.
    pub(super) fn answer_by(&self, channel: &Channel) -> Option<BlockNumber> {
        let lock_period = channel.terms()?.lock_period;
        let wanted = self.0.values().filter(|heard| channel.answer_to(&heard.rumour).is_some());
        wanted.map(|heard| heard.rumour.answer_by(heard.first, lock_period)).min()
    }
}
