//! An own round that is signed and not dead.

use crate::{
    message::Update,
    state::{Change, ChangeId, Ids, OwnChange, OwnChanges, Results, State},
    transfer::done::{Done, of_round},
};
use protocol::{Base, BlockNumber, ChannelId, Hash, Party, Round};
use scale::{Decode, Encode};

/// An own round that is signed and not dead: the peer may make it co-signed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct OpenRound {
    update: Update,
    state: State,
    results: Results,
    ids: Ids,
    /// Own changes that its base has, and whose round another one, or a forced step, may take the place of.
    below: Ids,
    /// It was not said: the peer has pledged for it, and this side waits with it for what it carries on (R8.5h).
    is_kept_back: bool,
    /// The peer does not answer it now: it is said again when that may have changed.
    #[codec(skip)]
    deferred: bool,
    /// How often the peer said so.
    #[codec(skip)]
    postponed: u8,
}

impl OpenRound {
    /// A round that was just signed: an answer is owed to it.
    pub(crate) fn new(update: Update, state: State, results: Results, ids: Ids) -> Self {
        let below = Ids::default();
        Self { update, state, results, ids, below, is_kept_back: false, deferred: false, postponed: 0 }
    }

    pub(crate) const fn update(&self) -> &Update {
        &self.update
    }

    /// The state after it.
    pub(crate) const fn state(&self) -> &State {
        &self.state
    }

    /// The state after it, to be filled with its contracts.
    pub(crate) const fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// Does this with the ids of its changes and the state after it.
    pub(super) fn with_state(&mut self, mark: impl FnOnce(&Ids, &mut State)) {
        mark(&self.ids, &mut self.state);
    }

    /// The state after it, what its changes do, and their ids.
    pub(crate) fn into_outcome(self) -> (State, Results, Ids) {
        (self.state, self.results, self.ids)
    }

    pub(crate) const fn round(&self) -> Round {
        self.update.round
    }

    /// The height that counts for what it executes, where it executes something (R7.3).
    pub(crate) fn executes_at(&self) -> Option<BlockNumber> {
        self.update.changes.iter().any(Change::executes).then_some(self.update.height)
    }

    /// What it does to conditional transfers.
    pub(crate) fn transfers(&self, channel: &ChannelId, me: Party) -> Vec<Done> {
        of_round((channel, self.update.round, me), &self.update.changes, |place| self.ids.at(place))
    }

    /// The same round, on a base that has these own changes, whose round another one, or a forced step, may take the place of.
    pub(super) fn above(self, below: Ids) -> Self {
        Self { below, ..self }
    }

    /// These own changes, after those of its base that are called something here.
    pub(super) fn with_below<'a>(
        &self,
        own: &'a OwnChanges,
        called: impl Fn(ChangeId) -> Option<&'a [u8]>,
    ) -> OwnChanges {
        let below = self.below.iter().filter(|id| !self.ids.contains(*id)).filter_map(|id| Some((id, called(id)?)));
        below.chain(own.iter().map(|OwnChange { id, reference, .. }| (id, reference))).collect()
    }

    /// Whether a state in which this change is made comes to be with it.
    pub(super) fn has(&self, id: ChangeId) -> bool {
        self.ids.contains(id) || self.is_above(id)
    }

    /// Whether its base has this change, and another round may take the place of the one that made it.
    pub(super) fn is_above(&self, id: ChangeId) -> bool {
        self.below.contains(id)
    }

    /// The same round, which the peer does not hear of until it is released.
    pub(super) fn kept_back(self) -> Self {
        Self { is_kept_back: true, ..self }
    }

    /// Whether the peer has not heard of it.
    pub(crate) const fn is_kept_back(&self) -> bool {
        self.is_kept_back
    }

    /// Whether this change is among those that it makes.
    pub(crate) fn makes(&self, id: ChangeId) -> bool {
        self.ids.contains(id)
    }

    /// The peer may hear of it.
    pub(super) const fn release(&mut self) {
        self.is_kept_back = false;
    }

    /// The state that it goes on from.
    pub(super) const fn base(&self) -> Base {
        self.update.base
    }

    /// Whether the peer said that it does not answer it now.
    pub(super) const fn is_deferred(&self) -> bool {
        self.deferred
    }

    /// No answer is owed to it for now.
    pub(super) const fn defer(&mut self) {
        self.deferred = true;
    }

    /// The peer does not answer it now. How often it has said so.
    pub(super) const fn postpone(&mut self) -> u8 {
        self.deferred = true;
        self.postponed = self.postponed.saturating_add(1);
        self.postponed
    }

    /// What is said to have it answered.
    pub(super) fn say(&mut self) -> Update {
        self.deferred = false;
        self.update.clone()
    }

    /// It is to be answered again, once it was said again.
    pub(super) fn reopened(self) -> Self {
        Self { deferred: true, postponed: 0, ..self }
    }

    /// The ids of its changes.
    pub(super) const fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Its changes with their ids.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (ChangeId, &Change)> {
        self.ids.iter().zip(&self.update.changes)
    }

    /// Its changes as the user knows them.
    pub(crate) fn own_changes(&self) -> OwnChanges {
        self.ids.iter().zip(self.update.changes.iter().map(Change::reference)).collect()
    }

    /// Its changes with their ids, in the order in which they are made.
    pub(super) fn changes(self) -> impl DoubleEndedIterator<Item = (ChangeId, Change)> {
        self.ids.iter().collect::<Vec<_>>().into_iter().zip(self.update.changes)
    }

    pub(super) fn is(&self, round: Round, hash: &Hash) -> bool {
        self.update.round == round && self.update.state_hash == *hash
    }
}
