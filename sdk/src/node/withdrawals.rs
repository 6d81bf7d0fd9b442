//! What was asked to be paid out of swapped coins, and what has come of it (R8.5g).
//!
//! It is kept in one commit with the channel's own step: a withdrawal is either not asked for, or under way in the channel that the row names, or made. What is said of a
//! swap that had the same id before, and another lock, is not said of this one.

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

/// A row as it is to be kept: none for one that is erased.
pub(super) type WithdrawalRow = (Vec<u8>, Option<Vec<u8>>);

/// All withdrawals for swaps, those under way and those that were made.
#[derive(Debug, Default)]
pub(super) struct Withdrawals(Mutex<BTreeMap<SwapId, Withdrawal>>);

fn key(id: &SwapId) -> Vec<u8> {
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

    /// Notes a withdrawal that is to be asked for, unless one is there for this swap that is under way or was made: then that one.
    pub(super) fn begin(&self, id: SwapId, withdrawal: Withdrawal) -> Result<WithdrawalRow, Withdrawal> {
        let mut all = self.all();
        match all.get(&id) {
            Some(former) if former.round.is_none() || former.lock == withdrawal.lock => Err(*former),
            _ => {
                let _former = all.insert(id, withdrawal);
                Ok((key(&id), Some((VERSION, withdrawal).encode())))
            }
        }
    }

    /// Notes how a withdrawal stands, and gives the row.
    fn note(&self, id: SwapId, withdrawal: Withdrawal) -> WithdrawalRow {
        let _former = self.all().insert(id, withdrawal);
        (key(&id), Some((VERSION, withdrawal).encode()))
    }

    /// The one that is under way in a channel was made, or has come to nothing: then it may be asked for again. Gives the row, where there is one.
    pub(super) fn end(&self, reference: ChannelRef, round: Option<Round>) -> Option<WithdrawalRow> {
        let under_way = |(_, one): &(&SwapId, &Withdrawal)| one.reference == reference && one.round.is_none();
        let (id, one) = self.all().iter().find(under_way).map(|(id, one)| (*id, *one))?;
        match round {
            Some(_) => Some(self.note(id, Withdrawal { round, ..one })),
            None => self.forget(&id),
        }
    }

    /// Forgets one, and gives the row that is erased.
    pub(super) fn forget(&self, id: &SwapId) -> Option<WithdrawalRow> {
        self.all().remove(id).map(|_| (key(id), None))
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
        let (key, row) = all.begin(id, one).unwrap();
        assert_eq!(key, [&b"withdrawal/"[..], &[3; 32]].concat());
        let of = [&[1][..], &[1; 32], &[2; 16], &lock.encode(), &[6; 32]].concat();
        assert_eq!(row.unwrap(), [&of[..], &[0]].concat());
        assert_eq!(all.begin(id, Withdrawal { to: AccountId([7; 32]), ..one }), Err(one), "it is under way");
        assert_eq!(all.end(ChannelRef([9; 16]), Some(7)), None, "another channel's");
        let (_, row) = all.end(reference, Some(7)).unwrap();
        assert_eq!(row.unwrap(), [&of[..], &[1, 7, 0, 0, 0, 0, 0, 0, 0]].concat());
        assert_eq!(all.begin(id, one).unwrap_err().round, Some(7), "it was made");
        assert_eq!(all.end(reference, None), None, "it was made");
        assert_eq!(all.get(&id).unwrap().round, Some(7));
        let another = SwapId([4; 32]);
        let _row = all.begin(another, one).unwrap();
        assert_eq!(all.end(reference, None), Some(([&b"withdrawal/"[..], &[4; 32]].concat(), None)));
        assert_eq!(all.get(&another), None, "it may be asked for again");
        let digest = Hash([8; 32]);
        let later = Withdrawal { lock: HashLock { digest, ..lock }, ..one };
        assert!(all.begin(id, later).is_ok(), "another swap's, by the same id");
    }
}
