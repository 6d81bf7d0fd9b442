//! What is under way, with an index for each question that is asked of it: nothing is searched.

use super::io::{At, Origin};
use crate::{
    keys::{OfferName, PaymentId},
    swap::SwapId,
};
use channel::{
    ChannelRef, IdempotencyKey,
    transfer::{Failure, Intent, PledgesLast, TransferLimits, TransferTerms},
};
use protocol::{
    Amount, BlockNumber, PublicKey,
    contracts::{
        ContractId,
        conditional::{HashLock, Preimage},
    },
    signing::Domain,
};
use std::collections::{BTreeMap, BTreeSet};

/// A channel as the router sees it.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) peer: PublicKey,
    pub(super) is_up: bool,
    /// It came up, and what can be spent in it has not been told yet.
    pub(super) is_fresh: bool,
    pub(super) limits: TransferLimits,
    /// For how long pledges may last in it.
    pub(super) pledges: PledgesLast,
    /// What can be spent in it: as it was told, less what was offered since.
    pub(super) spendable: Amount,
    /// As it was told last.
    pub(super) told: Amount,
    pub(super) risked: Amount,
    /// Own transfers in it that may still be paid.
    pub(super) open: u32,
    pub(super) amount: Amount,
    /// Of those, what came from peers that bring no revenue.
    pub(super) general_open: u32,
    pub(super) general_amount: Amount,
}

/// The channels, by name and by peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    by_name: BTreeMap<At, Link>,
    by_peer: BTreeMap<(Domain, PublicKey), BTreeSet<At>>,
    /// Those whose rows could not all be read at the start.
    unread: BTreeSet<At>,
}

impl Links {
    pub(super) fn get(&self, at: &At) -> Option<&Link> {
        self.by_name.get(at)
    }

    pub(super) fn get_mut(&mut self, at: &At) -> Option<&mut Link> {
        self.by_name.get_mut(at)
    }

    pub(super) fn entry(&mut self, at: At, peer: PublicKey) -> &mut Link {
        let _is_new = self.by_peer.entry((at.chain, peer)).or_default().insert(at);
        self.by_name.entry(at).or_insert_with(|| Link {
            peer,
            is_up: false,
            is_fresh: false,
            limits: TransferLimits::default(),
            pledges: PledgesLast { asked: BlockNumber::MAX, kept_back: BlockNumber::MAX },
            spendable: 0,
            told: 0,
            risked: 0,
            open: 0,
            amount: 0,
            general_open: 0,
            general_amount: 0,
        })
    }

    pub(super) fn remove(&mut self, at: &At) {
        if let Some(link) = self.by_name.remove(at)
            && let Some(all) = self.by_peer.get_mut(&(at.chain, link.peer))
        {
            let _was_there = all.remove(at);
            let _was_unread = self.unread.remove(at);
            if all.is_empty() {
                let _empty = self.by_peer.remove(&(at.chain, link.peer));
            }
        }
    }

    /// Notes that not all rows of a channel could be read.
    pub(super) fn note_unread(&mut self, at: At) {
        let _is_new = self.unread.insert(at);
    }

    /// Whether not all rows of a channel could be read.
    pub(super) fn is_unread(&self, at: &At) -> bool {
        self.unread.contains(at)
    }

    /// The channels whose rows could not all be read.
    pub(super) fn unread(&self) -> impl Iterator<Item = At> {
        self.unread.iter().copied()
    }

    /// The channels to a peer.
    pub(super) fn to(&self, chain: Domain, peer: PublicKey) -> impl Iterator<Item = (At, &Link)> {
        let all = self.by_peer.get(&(chain, peer)).into_iter().flatten();
        all.filter_map(|at| Some((*at, self.by_name.get(at)?)))
    }

    /// The peers that are there on a chain, in order.
    pub(super) fn peers_up(&self, chain: Domain) -> impl Iterator<Item = PublicKey> {
        let from = (chain, PublicKey([0; 32]))..=(chain, PublicKey([0xff; 32]));
        let is_up = |at: &At| self.by_name.get(at).is_some_and(|link| link.is_up);
        self.by_peer.range(from).filter(move |(_, all)| all.iter().any(is_up)).map(|((_, peer), _)| *peer)
    }

    /// Whether there are channels on a chain.
    pub(super) fn are_on(&self, chain: Domain) -> bool {
        let from = (chain, PublicKey([0; 32]));
        self.by_peer.range(from..).next().is_some_and(|((on, _), _)| *on == chain)
    }

    /// The chains that have channels, in order.
    pub(super) fn chains(&self) -> BTreeSet<Domain> {
        self.by_peer.keys().map(|(chain, _)| *chain).collect()
    }
}

/// A transfer that came in.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) peer: PublicKey,
    pub(super) terms: TransferTerms,
    pub(super) intent: Intent,
    /// This side has staked a premium beside it.
    pub(super) is_staked: bool,
    /// Calls of apps go with it.
    pub(super) has_calls: bool,
    /// Where it is to be claimed: the block in which the peer has had its time to answer.
    pub(super) due: Option<BlockNumber>,
    /// Where it goes on.
    pub(super) onward: Option<At>,
    /// It was counted as that of a peer that brings no revenue.
    pub(super) is_general: bool,
    /// It counts among what the hub may have to register.
    pub(super) is_counted: bool,
    /// Channels that refused to carry it on.
    pub(super) refused: Vec<At>,
    /// What it says, as long as nothing is decided.
    pub(super) instruction: Vec<u8>,
}

/// Where an own transfer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// It carries another one on, which is still there or, if none, has ended.
    Forward(Option<Origin>),
    /// A part of a local payment.
    Part(PaymentId, u32),
    /// A transfer of this side's leg of a swap.
    Leg(SwapId, u32),
}

/// How far an own transfer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// It may be paid.
    Live,
    Fulfilled(Preimage),
    Failed(Failure),
}

/// A transfer of one's own.
#[derive(Clone, Debug)]
pub(super) struct Onward {
    pub(super) source: Source,
    pub(super) terms: TransferTerms,
    pub(super) reached: Reached,
    /// The peer has its coins in a state that counts, or may have: after a start that is not told apart from a pre-image that is known.
    pub(super) is_claimed: bool,
    /// It takes of the places and coins that are for everybody.
    pub(super) is_general: bool,
}

/// Who has to do with a lock.
#[derive(Clone, Debug, Default)]
pub(super) struct LockUse {
    pub(super) incoming: BTreeSet<Origin>,
    pub(super) outgoing: u32,
    pub(super) preimage: Option<Preimage>,
    /// The first final block of each registry that has it.
    pub(super) shown: BTreeMap<Domain, BlockNumber>,
}

/// Transfers of all channels.
#[derive(Clone, Debug, Default)]
pub(super) struct Transfers {
    incoming: BTreeMap<Origin, Entry>,
    /// Contracts are named by hashes: a key finds its origin by them whatever the chain.
    named: BTreeMap<(ChannelRef, ContractId), Origin>,
    outgoing: BTreeMap<(At, IdempotencyKey), Onward>,
    locks: BTreeMap<HashLock, LockUse>,
    /// Locks that nothing uses any more, since this was asked last.
    unused: Vec<HashLock>,
}

impl Transfers {
    pub(super) fn incoming(&self, origin: &Origin) -> Option<&Entry> {
        self.incoming.get(origin)
    }

    pub(super) fn incoming_mut(&mut self, origin: &Origin) -> Option<&mut Entry> {
        self.incoming.get_mut(origin)
    }

    pub(super) fn outgoing(&self, at: At, key: &IdempotencyKey) -> Option<&Onward> {
        self.outgoing.get(&(at, key.clone()))
    }

    pub(super) fn outgoing_mut(&mut self, at: At, key: &IdempotencyKey) -> Option<&mut Onward> {
        self.outgoing.get_mut(&(at, key.clone()))
    }

    pub(super) fn lock(&self, lock: &HashLock) -> Option<&LockUse> {
        self.locks.get(lock)
    }

    pub(super) fn lock_mut(&mut self, lock: &HashLock) -> Option<&mut LockUse> {
        self.locks.get_mut(lock)
    }

    /// The transfer that such a key carries on.
    pub(super) fn named(&self, channel: ChannelRef, contract: ContractId) -> Option<Origin> {
        self.named.get(&(channel, contract)).copied()
    }

    pub(super) fn open(&self) -> (usize, usize) {
        (self.incoming.len(), self.outgoing.len())
    }

    pub(super) fn insert_incoming(&mut self, origin: Origin, entry: Entry) {
        let used = self.locks.entry(entry.terms.lock).or_default();
        let _is_new = used.incoming.insert(origin);
        let _former = self.named.insert((origin.at.channel, origin.contract), origin);
        let _former = self.incoming.insert(origin, entry);
    }

    pub(super) fn remove_incoming(&mut self, origin: &Origin) -> Option<Entry> {
        let entry = self.incoming.remove(origin)?;
        let _named = self.named.remove(&(origin.at.channel, origin.contract));
        if let Some(used) = self.locks.get_mut(&entry.terms.lock) {
            let _was_there = used.incoming.remove(origin);
        }
        self.tidy(&entry.terms.lock);
        Some(entry)
    }

    pub(super) fn insert_outgoing(&mut self, at: At, key: IdempotencyKey, onward: Onward) {
        let lock = onward.terms.lock;
        if self.outgoing.insert((at, key), onward).is_none() {
            let used = self.locks.entry(lock).or_default();
            used.outgoing = used.outgoing.saturating_add(1);
        }
    }

    pub(super) fn remove_outgoing(&mut self, at: At, key: &IdempotencyKey) -> Option<Onward> {
        let onward = self.outgoing.remove(&(at, key.clone()))?;
        if let Some(used) = self.locks.get_mut(&onward.terms.lock) {
            used.outgoing = used.outgoing.saturating_sub(1);
        }
        self.tidy(&onward.terms.lock);
        Some(onward)
    }

    fn tidy(&mut self, lock: &HashLock) {
        if self.locks.get(lock).is_some_and(|used| used.outgoing == 0 && used.incoming.is_empty()) {
            let _unused = self.locks.remove(lock);
            self.unused.push(*lock);
        }
    }

    /// Locks that nothing has used since this was asked last: others may use them again by now.
    pub(super) fn take_unused(&mut self) -> Vec<HashLock> {
        std::mem::take(&mut self.unused)
    }

    /// The transfers on a chain that are to be claimed.
    pub(super) fn claims(&self, chain: Domain) -> impl Iterator<Item = (Origin, Preimage)> {
        let of_chain = self.incoming.iter().filter(move |(origin, _)| origin.at.chain == chain);
        of_chain.filter_map(|(origin, entry)| match entry.intent {
            Intent::Claim(preimage) => Some((*origin, preimage)),
            Intent::Undecided | Intent::Fail(_) => None,
        })
    }

    /// The locks of which it is not known what a registry has, or what opens them.
    pub(super) fn unseen(&self, chain: Domain) -> Vec<HashLock> {
        let is_unseen = |used: &LockUse| used.preimage.is_none() || !used.shown.contains_key(&chain);
        self.locks.iter().filter(|(_, used)| is_unseen(used)).map(|(lock, _)| *lock).collect()
    }

    /// The own transfers of a channel that may still be paid, and have this lock.
    pub(super) fn live(&self, at: At, lock: HashLock) -> Vec<IdempotencyKey> {
        let from = (at, IdempotencyKey(Vec::new()));
        let of_channel = self.outgoing.range(from..).take_while(|((of, _), _)| *of == at);
        let live = of_channel.filter(|(_, onward)| onward.reached == Reached::Live && onward.terms.lock == lock);
        live.map(|((_, key), _)| key.clone()).collect()
    }

    /// The key of what carries a transfer on.
    pub(super) fn onward_key(origin: &Origin) -> IdempotencyKey {
        OfferName::Forward(origin.at.channel, origin.contract).key()
    }
}
