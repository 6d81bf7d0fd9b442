//! What was asked to be paid out of swapped coins, and what has come of it (R8.5g).
//!
//! It is kept in one commit with the channel's own step: a withdrawal is either not asked for, or under way in the channel that the row names, or made. What is said of a
//! swap that had the same id before, and another lock, is not said of this one.
//!
//! All tasks share what is known here, and each writes rows of its own channels alone. A withdrawal that is under way keeps every other task from its row until what has
//! become of it is in the store: so no task's row is written over another one's.

use crate::store::{StoreError, StoreHandle, Table};
use channel::ChannelRef;
use network::SwapId;
use protocol::{AccountId, PublicKey, Round, contracts::conditional::HashLock, decode_exact};
use scale::{Decode, Encode};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What is before a swap's id in the key of its row.
const PREFIX: &[u8] = b"withdrawal/";
/// The version in front of a row.
const VERSION: u8 = 1;

/// A withdrawal for a swap, in a channel with this peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Withdrawal {
    pub(super) peer: PublicKey,
    pub(super) reference: ChannelRef,
    /// The swap's lock: its initiator may use an id again.
    pub(super) lock: HashLock,
    /// Who is paid.
    pub(super) to: AccountId,
    /// The round after it, once it is final on chain.
    pub(super) round: Option<Round>,
}

impl Withdrawal {
    /// The row of one that is kept.
    pub(super) fn row(&self) -> Vec<u8> {
        (VERSION, self).encode()
    }
}

/// What a task's next commit makes of withdrawals, by their swaps: none for one that may be asked for again.
pub(super) type Becoming = BTreeMap<SwapId, Option<Withdrawal>>;

/// All withdrawals for swaps, those under way and those that were made, as the store has them, but for those that are just being asked for.
#[derive(Debug, Default)]
pub(super) struct Withdrawals(Mutex<BTreeMap<SwapId, Withdrawal>>);

/// The key of a row.
pub(super) fn key(id: &SwapId) -> Vec<u8> {
    [PREFIX, &id.0].concat()
}

impl Withdrawals {
    /// Those that a store has. One that cannot be read is left alone: its swap's coins are not withdrawn once more by this.
    pub(super) fn load(store: Option<&StoreHandle>) -> Result<Self, StoreError> {
        let mut all = BTreeMap::new();
        for (row, value) in store.map_or_else(|| Ok(Vec::new()), |store| store.load(Table::Meta, PREFIX))? {
            let id = row.strip_prefix(PREFIX).and_then(|id| id.try_into().ok()).map(SwapId);
            let kept = value.split_first().filter(|(version, _)| **version == VERSION);
            match id.zip(kept.and_then(|(_, kept)| decode_exact(kept).ok())) {
                Some((id, kept)) => drop(all.insert(id, kept)),
                None => tracing::error!("what was withdrawn for a swap cannot be read"),
            }
        }
        Ok(Self(Mutex::new(all)))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<SwapId, Withdrawal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: &SwapId) -> Option<Withdrawal> {
        self.all().get(id).copied()
    }

    /// Notes a withdrawal that is to be asked for, unless one is there for this swap that is under way or was made: then that one. Gives the one that was made for
    /// another swap by the same id.
    pub(super) fn begin(&self, id: SwapId, withdrawal: Withdrawal) -> Result<Option<Withdrawal>, Withdrawal> {
        let mut all = self.all();
        match all.get(&id) {
            Some(former) if former.round.is_none() || former.lock == withdrawal.lock => Err(*former),
            _ => Ok(all.insert(id, withdrawal)),
        }
    }

    /// Notes how a withdrawal stands: none where it may be asked for again.
    pub(super) fn note(&self, id: SwapId, one: Option<Withdrawal>) {
        let mut all = self.all();
        let _former = match one {
            Some(one) => all.insert(id, one),
            None => all.remove(&id),
        };
    }

    /// The one that is under way in a channel was made, or has come to nothing: what becomes of it with the next commit of the channel's task. The first word counts.
    pub(super) fn end(&self, reference: ChannelRef, round: Option<Round>, becoming: &mut Becoming) {
        let has_ended = |id: &SwapId| becoming.get(id).is_some_and(|one| one.is_none_or(|one| one.round.is_some()));
        let is_it = |id: &SwapId, one: &Withdrawal| one.reference == reference && one.round.is_none() && !has_ended(id);
        let under_way = self.all().iter().find(|(id, one)| is_it(id, one)).map(|(id, one)| (*id, *one));
        if let Some((id, one)) = under_way {
            let _begun = becoming.insert(id, round.map(|round| Withdrawal { round: Some(round), ..one }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Hash, contracts::conditional::HashFunction};

    #[test]
    fn a_row_is_what_the_rules_say_and_the_withdrawal_that_ends_is_the_one_under_way_in_the_channel() {
        let all = Withdrawals::default();
        let (id, reference) = (SwapId([3; 32]), ChannelRef([2; 16]));
        let lock = HashLock { function: HashFunction::Sha2_256, digest: Hash([5; 32]) };
        let one = Withdrawal { peer: PublicKey([1; 32]), reference, lock, to: AccountId([6; 32]), round: None };
        assert_eq!(key(&id), [&b"withdrawal/"[..], &[3; 32]].concat());
        let of = [&[1][..], &[1; 32], &[2; 16], &lock.encode(), &[6; 32]].concat();
        assert_eq!(one.row(), [&of[..], &[0]].concat());
        assert_eq!(all.begin(id, one), Ok(None));
        assert_eq!(all.begin(id, Withdrawal { to: AccountId([7; 32]), ..one }), Err(one), "it is under way");
        let mut becoming = Becoming::from([(id, Some(one))]);
        all.end(ChannelRef([9; 16]), Some(7), &mut becoming);
        assert_eq!(becoming[&id], Some(one), "another channel's");
        all.end(reference, Some(7), &mut becoming);
        let made = Withdrawal { round: Some(7), ..one };
        assert_eq!(made.row(), [&of[..], &[1, 7, 0, 0, 0, 0, 0, 0, 0]].concat());
        assert_eq!(becoming[&id], Some(made));
        all.end(reference, None, &mut becoming);
        assert_eq!(becoming[&id], Some(made), "it was made");
        assert_eq!(all.get(&id), Some(one), "nobody is told before the row is there");
        all.note(id, Some(made));
        assert_eq!(all.begin(id, one), Err(made));
        let (another, mut becoming) = (SwapId([4; 32]), Becoming::new());
        assert_eq!(all.begin(another, one), Ok(None));
        all.end(reference, None, &mut becoming);
        assert_eq!(becoming, Becoming::from([(another, None)]));
        assert_eq!(all.begin(another, one), Err(one), "the row is still there");
        all.note(another, None);
        assert_eq!(all.begin(another, one), Ok(None), "it may be asked for again");
        let digest = Hash([8; 32]);
        let later = Withdrawal { lock: HashLock { digest, ..lock }, ..one };
        assert_eq!(all.begin(id, later), Ok(Some(made)), "another swap's, by the same id");
    }
}
