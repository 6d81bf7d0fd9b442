//! All that a router knows, and the few things that are done to it from everywhere.

use super::{
    claims::Claims,
    guard::{self, Guard},
    io::{At, Millis, Origin, RouterNotice, RouterOutput, RowKey},
    policy::RoutingPolicy,
    rows::{InvoiceRow, NamedPeer, PaymentRow, RowName, row},
    stakes::Stakes,
    swaps::tables::Swaps,
    tables::{Entry, Link, Links, Onward, Reached, Source, Transfers},
};
use crate::{
    announce::Announcements,
    instruction::RouteFailure,
    keys::PaymentId,
    seal::SealKey,
    swap::{MAX_SWAP_ITEMS, SwapWords},
};
use channel::{
    IdempotencyKey,
    transfer::{Intent, Offer, TransferCommand, TransferTerms},
};
use protocol::{
    Amount, BlockNumber, PublicKey,
    contracts::conditional::{HashLock, Preimage},
    crypto::{Native, SigningKey},
    signing::Domain,
};
use std::collections::{BTreeMap, BTreeSet};

/// The heads of a chain (A2).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heads {
    pub(super) best: BlockNumber,
    pub(super) finalised: BlockNumber,
}

/// Parts of a payment to this side, until they are complete.
#[derive(Clone, Debug)]
pub(super) struct Gathering {
    pub(super) since: Millis,
    pub(super) secret: [u8; 32],
    pub(super) total: Amount,
    pub(super) amount: Amount,
    pub(super) preimage: Option<Preimage>,
    pub(super) note: Vec<u8>,
    pub(super) parts: BTreeSet<Origin>,
}

/// A payment with what is remembered of it only while the process lasts.
#[derive(Clone, Debug)]
pub(super) struct Paying {
    pub(super) row: PaymentRow,
    /// Channels that could not carry a part.
    pub(super) avoid: Vec<At>,
}

/// What is beside an own offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// What its place costs.
    Fee(Amount),
    /// The payee's premium: the last block of its pledge, and whether the round is kept back then (R8.5h).
    Pledge { until: BlockNumber, is_kept_back: bool },
}

impl Beside {
    const fn costs(self) -> Amount {
        match self {
            Self::Fee(fee) => fee,
            Self::Pledge { .. } => 0,
        }
    }
}

/// All that a router knows.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) identity: SigningKey,
    pub(super) seal: SealKey,
    pub(super) policy: RoutingPolicy,
    pub(super) now: Millis,
    /// When it took its rows over: for a while, peers may still be coming back.
    pub(super) started: Option<Millis>,
    /// The chains whose stores have been taken over.
    pub(super) joined: BTreeSet<Domain>,
    pub(super) heads: BTreeMap<Domain, Heads>,
    pub(super) links: Links,
    pub(super) transfers: Transfers,
    pub(super) guard: Guard,
    pub(super) claims: BTreeMap<Domain, Claims>,
    pub(super) stakes: Stakes,
    /// Transfers that wait after a restart for a peer to come back, and since when.
    pub(super) waiting: BTreeMap<Origin, Millis>,
    pub(super) payments: BTreeMap<PaymentId, Paying>,
    pub(super) paying: BTreeMap<HashLock, PaymentId>,
    /// Parts that were not signed before a restart, and since when they wait.
    pub(super) unsent: BTreeMap<(PaymentId, u32), Millis>,
    pub(super) invoices: BTreeMap<HashLock, InvoiceRow>,
    pub(super) gathering: BTreeMap<HashLock, Gathering>,
    /// What is held, by the block in which it is given back.
    pub(super) holds: BTreeMap<Domain, BTreeSet<(BlockNumber, HashLock)>>,
    /// Locks whose pre-images have rows of the router's own, and in which chain's store.
    pub(super) kept: BTreeMap<HashLock, Domain>,
    /// Rows of the router's own that could not be read at the start: nothing is begun by their names, and what they may have told of is not given up.
    pub(super) unread: BTreeSet<RowKey>,
    pub(super) announcements: Announcements,
    /// When the own terms are told again.
    pub(super) announce_at: BTreeMap<Domain, Millis>,
    pub(super) swaps: Swaps,
    pub(super) outputs: Vec<RouterOutput>,
    /// Something was said that no store has (B9): only what is right whatever the stores have is said from then on.
    pub(super) is_ahead: bool,
}

impl Core {
    pub(super) fn new(identity: SigningKey, seal: SealKey, policy: RoutingPolicy) -> Self {
        Self {
            identity,
            seal,
            policy,
            now: 0,
            started: None,
            joined: BTreeSet::new(),
            heads: BTreeMap::new(),
            links: Links::default(),
            transfers: Transfers::default(),
            guard: Guard::default(),
            claims: BTreeMap::new(),
            waiting: BTreeMap::new(),
            payments: BTreeMap::new(),
            paying: BTreeMap::new(),
            unsent: BTreeMap::new(),
            invoices: BTreeMap::new(),
            gathering: BTreeMap::new(),
            holds: BTreeMap::new(),
            kept: BTreeMap::new(),
            unread: BTreeSet::new(),
            announcements: Announcements::default(),
            stakes: Stakes::default(),
            announce_at: BTreeMap::new(),
            swaps: Swaps::default(),
            outputs: Vec::new(),
            is_ahead: false,
        }
    }

    pub(super) fn best(&self, chain: &Domain) -> BlockNumber {
        self.heads.get(chain).map_or(0, |heads| heads.best)
    }

    /// The newest block that an endpoint alone cannot make up: as far beyond the final one as finality may lag (R8.30).
    pub(super) fn sure(&self, chain: &Domain) -> BlockNumber {
        let heads = self.heads.get(chain).copied().unwrap_or_default();
        heads.best.min(heads.finalised.saturating_add(self.policy.chain(chain).max_lag))
    }

    /// Whether it started so lately that peers may still be coming back.
    pub(super) fn is_new(&self) -> bool {
        self.started.is_some_and(|started| self.now.saturating_sub(started) < self.policy.patience)
    }

    /// Whether this row of the router's own was there at the start and could not be read.
    pub(super) fn is_unread(&self, name: RowName) -> bool {
        self.unread.contains(&name.key())
    }

    pub(super) const fn seconds(&self) -> u64 {
        self.now / 1_000
    }

    pub(super) fn command(&mut self, at: At, command: TransferCommand) {
        self.outputs.push(RouterOutput::Command { at, command });
    }

    /// Has the pre-image of a transfer with these terms shown in a registry, where it is not too late for that; on account of whom, where that is known.
    pub(super) fn register(
        &mut self,
        chain: Domain,
        TransferTerms { lock, expiry, .. }: TransferTerms,
        preimage: Preimage,
        peer: Option<PublicKey>,
    ) {
        if self.sure(&chain) < expiry {
            self.outputs.push(RouterOutput::Register { chain, lock, preimage, expiry, peer });
        }
    }

    /// Says something to a peer, by the node of this chain.
    pub(super) fn say_to(&mut self, chain: Domain, peer: PublicKey, bytes: Vec<u8>) {
        self.outputs.push(RouterOutput::Tell { chain, peer, bytes });
    }

    /// What is to be done, with what is to be said about swaps in as few messages as may be.
    pub(super) fn take_outputs(&mut self) -> Vec<RouterOutput> {
        if self.is_ahead {
            // A pre-image proves itself: by it alone nobody loses anything (I3, I4).
            self.outputs.retain(is_of_preimage);
            return std::mem::take(&mut self.outputs);
        }
        for (chain, peer, items) in self.swaps.take_words() {
            for items in items.chunks(MAX_SWAP_ITEMS) {
                self.say_to(chain, peer, SwapWords::Items(items.to_vec()).to_bytes());
            }
        }
        std::mem::take(&mut self.outputs)
    }

    pub(super) fn notify(&mut self, notice: RouterNotice) {
        self.outputs.push(RouterOutput::Notify(notice));
    }

    /// Writes a row of the router's own in a chain's store, or erases it.
    pub(super) fn write(&mut self, chain: Domain, name: RowName, value: Option<Vec<u8>>) {
        self.outputs.push(RouterOutput::Row { chain, key: name.key(), value });
    }

    /// Writes what is remembered of a peer, but over nothing that cannot be read.
    pub(super) fn write_peer(&mut self, chain: Domain, peer: PublicKey) {
        if self.is_unread(RowName::peer(chain, peer)) {
            return;
        }
        let named = NamedPeer { chain, peer, row: self.guard.row(&(chain, peer)) };
        self.write(chain, RowName::peer(chain, peer), Some(row(&named)));
    }

    /// A channel, and whose it is too. What cannot be read of a peer may have said that it offers nothing more (B1): it offers nothing until it is let.
    pub(super) fn link(&mut self, at: At, peer: PublicKey) -> &mut Link {
        if self.is_unread(RowName::peer(at.chain, peer)) {
            self.guard.row_mut((at.chain, peer)).is_barred = true;
        }
        self.links.entry(at, peer)
    }

    /// Lets a peer offer again.
    pub(super) fn let_offer(&mut self, chain: Domain, peer: PublicKey) {
        self.guard.row_mut((chain, peer)).is_barred = false;
        if let Some(claims) = self.claims.get_mut(&chain) {
            claims.forgive(&peer);
        }
        let _was_unread = self.unread.remove(&RowName::peer(chain, peer).key());
        self.write_peer(chain, peer);
    }

    /// Whether this side loses coins where it is not paid for what came in, though it has the pre-image (R8.4h). What went on in the same registry is paid once its
    /// claim is agreed, which is only while there is time (R8.4f), or once its pre-image is shown, which pays what came in as well: else nothing is owed.
    pub(super) fn is_owed(&self, origin: &Origin) -> bool {
        let Some(at) = self.transfers.incoming(origin).and_then(|entry| entry.onward) else { return true };
        if at.chain != origin.at.chain || self.links.is_unread(&at) || self.links.is_unread(&origin.at) {
            return true;
        }
        // Where this one has failed, another one was paid, or it would not be claimed.
        let is_paid = |onward: &Onward| onward.is_claimed || matches!(onward.reached, Reached::Failed(_));
        self.transfers.outgoing(at, &Transfers::onward_key(origin)).is_none_or(is_paid)
    }

    /// The peer has the coins of an own transfer in a state that counts: what came in for it is owed from now on.
    pub(super) fn note_claimed(&mut self, at: At, key: &IdempotencyKey) {
        let Some(onward) = self.transfers.outgoing_mut(at, key) else { return };
        if std::mem::replace(&mut onward.is_claimed, true) {
            return;
        }
        if let Source::Forward(Some(origin)) = onward.source
            && self.transfers.incoming(&origin).is_some_and(|entry| matches!(entry.intent, Intent::Claim(_)))
        {
            self.await_claim(&origin);
        }
    }

    /// Counts a transfer that came in.
    pub(super) fn admit(&mut self, origin: Origin, mut entry: Entry) {
        let peer = (origin.at.chain, entry.peer);
        entry.is_general = !self.guard.brings_revenue(&peer, &self.policy);
        entry.is_counted = !matches!(entry.intent, Intent::Fail(_));
        self.guard.open(peer);
        if entry.is_counted {
            self.guard.load_with(origin.at.chain, entry.terms.expiry, entry.is_general);
        }
        let is_claimed = matches!(entry.intent, Intent::Claim(_));
        self.transfers.insert_incoming(origin, entry);
        if is_claimed {
            self.await_claim(&origin);
        }
    }

    /// Counts it no more that has ended.
    pub(super) fn dismiss(&mut self, origin: &Origin) -> Option<Entry> {
        let entry = self.transfers.remove_incoming(origin)?;
        self.guard.close((origin.at.chain, entry.peer));
        if entry.is_counted {
            self.guard.unload(origin.at.chain, entry.terms.expiry, entry.is_general);
        }
        if let (Some(due), Some(claims)) = (entry.due, self.claims.get_mut(&origin.at.chain)) {
            claims.remove(origin, due);
        }
        let _waited = self.waiting.remove(origin);
        self.stakes.ended(origin);
        let _parked = self.swaps.parked.remove(origin);
        Some(entry)
    }

    /// Awaits a claim until the block in which its pre-image has to be registered, and no longer than before. Where the peer cannot have its time until then any
    /// more, the pre-image is registered with the next block from then on.
    pub(super) fn await_claim(&mut self, origin: &Origin) {
        let chain = origin.at.chain;
        let margins = self.policy.chain(&chain).margins;
        let (best, sure) = (self.best(&chain), self.sure(&chain));
        let Some(entry) = self.transfers.incoming_mut(origin) else { return };
        let last = entry.terms.expiry.saturating_sub(margins.register);
        let has_time = best.saturating_add(margins.answer) <= last;
        let due = if has_time { last } else { last.max(sure).saturating_add(1) };
        let claims = self.claims.entry(chain).or_default();
        // What it was given at a start, before any block was shown, counts for nothing.
        let counts = entry.due.filter(|_| claims.has_begun());
        let due = counts.map_or(due, |before| due.min(before));
        let former = entry.due.replace(due);
        claims.wait(*origin, due, former);
    }

    /// Gives a transfer back, unless it is to be claimed (I4).
    pub(super) fn fail(&mut self, origin: &Origin, failure: &RouteFailure) {
        let Some(entry) = self.transfers.incoming_mut(origin) else { return };
        if entry.intent != Intent::Undecided {
            return;
        }
        let reason = failure.to_reason();
        entry.intent = Intent::Fail(reason.clone());
        entry.instruction = Vec::new();
        if std::mem::take(&mut entry.is_counted) {
            self.guard.unload(origin.at.chain, entry.terms.expiry, entry.is_general);
        }
        let _waited = self.waiting.remove(origin);
        self.command(origin.at, TransferCommand::Fail { contract: origin.contract, reason });
    }

    /// Has a transfer claimed; from here on it is never failed (I4).
    pub(super) fn claim(&mut self, origin: &Origin, preimage: Preimage) {
        let is_ahead = self.is_ahead;
        let Some(entry) = self.transfers.incoming_mut(origin) else { return };
        // What a router that is ahead wanted to give back its channel may never have heard of.
        let is_open = entry.intent == Intent::Undecided || (is_ahead && matches!(entry.intent, Intent::Fail(_)));
        if !is_open {
            return;
        }
        entry.intent = Intent::Claim(preimage);
        entry.instruction = Vec::new();
        let _waited = self.waiting.remove(origin);
        self.await_claim(origin);
        self.command(origin.at, TransferCommand::Claim { contract: origin.contract, preimage });
    }

    /// Has everything claimed again that is to be claimed: commands may have been lost. A channel that has it does nothing.
    pub(super) fn claim_again(&mut self, chain: Domain) {
        let claims: Vec<_> = self.transfers.claims(chain).collect();
        for (Origin { at, contract }, preimage) in claims {
            self.command(at, TransferCommand::Claim { contract, preimage });
        }
    }

    /// A pre-image is known: what goes on under its lock is claimed where it came in, whoever said it (I3, I4). What has not gone on is not: it is
    /// decided by its own.
    pub(super) fn learn(&mut self, lock: HashLock, preimage: Preimage) {
        if preimage.lock(lock.function, &Native) != lock {
            return;
        }
        let Some(used) = self.transfers.lock_mut(&lock) else { return };
        used.preimage = Some(preimage);
        let origins: Vec<Origin> = used.incoming.iter().copied().collect();
        for origin in origins {
            if self.transfers.incoming(&origin).is_some_and(|entry| entry.onward.is_some()) {
                self.claim(&origin, preimage);
            }
        }
    }

    /// Writes a pre-image down that no channel's row has (I3), as long as a transfer may need it.
    pub(super) fn keep(&mut self, chain: Domain, lock: HashLock, preimage: Preimage) {
        let is_new = self.transfers.lock(&lock).is_some_and(|used| used.preimage.is_none());
        if is_new && !self.kept.contains_key(&lock) {
            let _former = self.kept.insert(lock, chain);
            self.write(chain, RowName::Preimage(lock), Some(row(&preimage)));
        }
    }

    /// Erases the pre-images of these locks, as far as no transfer needs them any more.
    pub(super) fn sweep(&mut self, locks: Vec<HashLock>) {
        for lock in locks {
            if self.transfers.lock(&lock).is_none()
                && let Some(chain) = self.kept.remove(&lock)
            {
                self.write(chain, RowName::Preimage(lock), None);
            }
        }
    }

    /// Offers something, unless it is offered already.
    pub(super) fn offer(
        &mut self,
        at: At,
        key: IdempotencyKey,
        source: Source,
        (offer, beside): (Offer, Beside),
        is_general: bool,
    ) {
        if self.transfers.outgoing(at, &key).is_some() {
            return;
        }
        if let Some(link) = self.links.get_mut(&at) {
            guard::take_room(link, offer.terms.amount, is_general);
            link.spendable = link.spendable.saturating_sub(beside.costs());
        }
        let (reached, is_claimed) = (Reached::Live, false);
        let onward = Onward { source, terms: offer.terms, reached, is_claimed, is_general };
        self.transfers.insert_outgoing(at, key.clone(), onward);
        self.command(
            at,
            match beside {
                Beside::Pledge { until: pledged_until, is_kept_back } => {
                    TransferCommand::OfferStaked { key, offer, pledged_until, is_kept_back }
                }
                Beside::Fee(fee) => TransferCommand::Offer { key, offer, fee },
            },
        );
    }

    /// Notes how far an own transfer is. True where that is new.
    pub(super) fn reach(&mut self, at: At, key: &IdempotencyKey, reached: Reached) -> bool {
        let Some(onward) = self.transfers.outgoing_mut(at, key) else { return false };
        if onward.reached != Reached::Live {
            return false;
        }
        onward.reached = reached;
        let (amount, is_general) = (onward.terms.amount, onward.is_general);
        if let Some(link) = self.links.get_mut(&at) {
            guard::give_room(link, amount, is_general);
        }
        true
    }

    /// An own transfer was never signed: it is as if it had not been asked for.
    pub(super) fn unmake(&mut self, at: At, key: &IdempotencyKey) -> Option<Onward> {
        let onward = self.transfers.remove_outgoing(at, key)?;
        if onward.reached == Reached::Live
            && let Some(link) = self.links.get_mut(&at)
        {
            guard::give_room(link, onward.terms.amount, onward.is_general);
        }
        Some(onward)
    }

    /// The row of an own transfer that is over is not needed any more.
    pub(super) fn forget(&mut self, at: At, key: IdempotencyKey) {
        let _gone = self.unmake(at, &key);
        self.command(at, TransferCommand::Forget { key });
    }
}

/// Whether something follows from a pre-image that is known, and from nothing else.
const fn is_of_preimage(output: &RouterOutput) -> bool {
    matches!(
        output,
        RouterOutput::Register { .. } | RouterOutput::Command { command: TransferCommand::Claim { .. }, .. }
    )
}
