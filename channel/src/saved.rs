//! The form in which a channel is stored: versioned, decoded whole or refused.
//!
//! ```text
//!   channel:    its own bytes, written with each commit; of states only what they commit to, and how they differ from the agreed one
//!   contracts:  a row for each contract of the agreed state, written when it changes: a commit costs what has changed
//!   payments:   a row for each payment with a key that is remembered, likewise
//! ```

use crate::{
    certainty::PeerConfirmation,
    channel::{Channel, LinkState},
    config::Config,
    event::CloseReason,
    message::ChannelRef,
    outbox::Outbox,
    payments::{PaymentRecord, Payments},
    phase::{
        Phase,
        live::{Live, open_round::OpenRound},
        opening::AbandonedOpening,
    },
    state::{ChangeId, Delta, State},
    transfer::{
        TransferLimits, TransferRow,
        marks::{CallMarks, LeftCall},
        room::Transfers,
    },
};
use protocol::{
    Pair, Party, PublicKey,
    contracts::{Contract, ContractId, Contracts},
    decode_exact,
    signing::Domain,
};
use scale::{Decode, Encode};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Why stored bytes are no channel.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SavedError {
    /// Written by a later version of this software.
    #[error("stored channel has version {0}, this software reads version {VERSION}: use the newer software")]
    Newer(u8),
    /// Written before the first release.
    #[error(
        "stored channel has version {0}, this software reads version {VERSION}: close it with the software that wrote it"
    )]
    Older(u8),
    /// Damaged.
    #[error("stored channel does not decode: {0}; restore the store from a copy, or close with the peer's help")]
    Damaged(scale::Error),
}

/// What can be read of a channel whose rows are damaged: enough to defend it, too little to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The channel, without its payments.
    pub channel: Channel,
    /// Whether it has every row of its transfers.
    pub has_all_transfers: bool,
}

const VERSION: u8 = 11;

#[derive(Encode, Decode)]
struct Saved<P, O> {
    reference: ChannelRef,
    me: Party,
    peer: PublicKey,
    domain: Domain,
    config: Config,
    phase: P,
    abandoned_opening: Option<AbandonedOpening>,
    outbox: O,
    /// How the contracts of the states other than the agreed one differ from it.
    deltas: Vec<Delta>,
    /// How many payments with a key lie beside it: without one of them it might be made twice.
    payments: u32,
    /// What each side lets its peer offer.
    limits: Pair<TransferLimits>,
    /// How many conditional transfers lie beside it: without one of them coins might be lost.
    transfers: u32,
    /// Which calls of apps that go with transfers were made by force on the way to each state, the agreed one first (R8.3g). Empty where there are none.
    marks: Vec<CallMarks>,
    /// The changes that make calls which forced steps have left, as far as they are in rounds that were signed.
    left_calls: BTreeMap<ChangeId, LeftCall>,
    /// The changes of agreed rounds that were made because of transfers: should they be undone, the user is not told of it.
    made_of_transfers: BTreeSet<ChangeId>,
}

impl Channel {
    /// The bytes to store. The contracts of the agreed state and the payments with a key are stored beside them, one by one: see
    /// [`Step`](crate::Step).
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let Self { reference, me, peer, domain, config, phase, abandoned_opening, outbox, .. } = self;
        let (reference, me, peer, domain, config) = (*reference, *me, peer.public(), *domain, *config);
        let deltas = phase.live().map(Live::deltas).unwrap_or_default();
        let abandoned_opening = *abandoned_opening;
        let payments = u32::try_from(self.payments.len()).unwrap_or(u32::MAX);
        let limits = *self.transfers.limits();
        let transfers = u32::try_from(self.transfers.len()).unwrap_or(u32::MAX);
        let saved = Saved {
            reference,
            me,
            peer,
            domain,
            config,
            phase,
            abandoned_opening,
            outbox,
            deltas,
            payments,
            limits,
            transfers,
            marks: phase.live().map(Live::marks).unwrap_or_default(),
            left_calls: self.signed_left_calls(),
            made_of_transfers: self.made_of_transfers(),
        };
        let mut bytes = vec![VERSION];
        saved.encode_to(&mut bytes);
        bytes
    }

    /// The changes that make calls which forced steps have left, in rounds that were signed.
    fn signed_left_calls(&self) -> BTreeMap<ChangeId, LeftCall> {
        let signed = self.phase.live().filter(|_| self.transfers.asks_for_left());
        let Some(live) = signed else { return BTreeMap::new() };
        let signed = live.outgoing.signed_of(|id| self.transfers.left_call_of(id));
        signed.into_iter().map(|(id, call, _)| (id, call)).collect()
    }

    /// The changes of agreed rounds that were made because of transfers and may be undone.
    fn made_of_transfers(&self) -> BTreeSet<ChangeId> {
        let Some(live) = self.phase.live() else { return BTreeSet::new() };
        self.transfers.asked_for().filter(|id| live.is_undoable(*id)).collect()
    }

    /// The channel that was stored, with what was stored beside it. It is without a link; tell it [`Input::Restarted`](crate::Input::Restarted) first.
    /// Payments with a key that were on their way wait for their round again.
    ///
    /// # Errors
    /// [`SavedError`].
    pub fn load(
        bytes: &[u8],
        contracts: impl IntoIterator<Item = (ContractId, Contract)>,
        payments: impl IntoIterator<Item = PaymentRecord>,
        transfers: impl IntoIterator<Item = TransferRow>,
    ) -> Result<Self, SavedError> {
        Self::load_with(bytes, contracts, |expected, me, stored| {
            let payments = Payments::stored(payments).filter(|payments| is(payments.len(), expected.payments))?;
            let transfers = Transfers::stored(expected.limits, transfers, me, stored)?;
            is(transfers.len(), expected.transfers).then_some((payments, transfers))
        })
    }

    /// As [`load`](Self::load), without its payments, and with what there is of its transfers: what proves its latest state on chain is all there. Transfers of
    /// the peer's that are in that state and have no row are among them, without what the peer's router said of them.
    ///
    /// # Errors
    /// [`SavedError`].
    pub fn load_evidence(
        bytes: &[u8],
        contracts: impl IntoIterator<Item = (ContractId, Contract)>,
        transfers: impl IntoIterator<Item = TransferRow>,
    ) -> Result<Evidence, SavedError> {
        let mut has_all_transfers = false;
        let channel = Self::load_with(bytes, contracts, |expected, me, stored| {
            let (transfers, rows) = Transfers::salvaged(expected.limits, transfers, me, stored);
            has_all_transfers = is(rows, expected.transfers);
            Some((Payments::default(), transfers))
        })?;
        Ok(Evidence { channel, has_all_transfers })
    }

    fn load_with(
        bytes: &[u8],
        contracts: impl IntoIterator<Item = (ContractId, Contract)>,
        rows: impl FnOnce(Expected, Party, &Contracts) -> Option<(Payments, Transfers)>,
    ) -> Result<Self, SavedError> {
        let (&version, rest) = bytes.split_first().ok_or_else(|| SavedError::Damaged("no bytes".into()))?;
        match version {
            0 => return Err(SavedError::Damaged("there never was a version 0".into())),
            VERSION => {}
            older @ ..VERSION => return Err(SavedError::Older(older)),
            newer => return Err(SavedError::Newer(newer)),
        }
        let Saved {
            reference,
            me,
            peer,
            domain,
            config,
            mut phase,
            abandoned_opening,
            outbox,
            deltas,
            payments,
            limits,
            transfers,
            marks,
            left_calls,
            made_of_transfers,
        } = decode_exact::<Saved<Phase, Outbox>>(rest).map_err(SavedError::Damaged)?;
        let stored: Contracts = contracts.into_iter().collect();
        let rows = rows(Expected { payments, limits, transfers }, me, &stored);
        let (mut payments, mut transfers) =
            rows.ok_or_else(|| SavedError::Damaged("payments or transfers are missing, or too many".into()))?;
        match &mut phase {
            Phase::Open(live) | Phase::Closing(live, _) => {
                live.fill(&stored, deltas)?;
                live.set_marks(marks)?;
                transfers.want_left(live.agreed.state());
                live.outgoing.restore(me, payments.pending());
                for (id, contract, is_proposed) in live.outgoing.signed_ends() {
                    transfers.note_signed(id, contract, is_proposed);
                }
                for (id, call, is_proposed) in live.outgoing.signed_of(|id| left_calls.get(&id).copied()) {
                    transfers.note_signed_left(id, call, is_proposed);
                }
                made_of_transfers.into_iter().for_each(|id| transfers.give_up(id));
                if !live.store.is_doubtful() {
                    payments.watch(|change| live.outgoing.is_signed(change));
                }
            }
            // With a close that was seen everything was told, unless the store was old.
            Phase::Closed(reason) if stored.is_empty() => {
                if transfers.has_undecided() && !matches!(reason, CloseReason::Unseen { .. }) {
                    transfers.leave_untold();
                }
            }
            _ if stored.is_empty() => {}
            _ => return Err(SavedError::Damaged("contracts of a channel that is not open".into())),
        }
        let link = LinkState::Down;
        let new = Self::new(reference, me, peer, domain, config, phase);
        let confirmation = PeerConfirmation::loaded();
        Ok(Self { abandoned_opening, outbox, payments, transfers, link, confirmation, stored, ..new })
    }
}

/// What was stored of what lies beside a channel.
struct Expected {
    payments: u32,
    limits: Pair<TransferLimits>,
    transfers: u32,
}

fn is(got: usize, want: u32) -> bool {
    u32::try_from(got) == Ok(want)
}

impl Live {
    /// Every state but the agreed one.
    fn others(&self) -> impl Iterator<Item = &State> {
        let below = self.agreed.below().map(|(_, state)| state);
        self.outgoing.all().map(OpenRound::state).chain(self.operation.state()).chain(below)
    }

    /// The same, in the same order.
    fn others_mut(&mut self) -> impl Iterator<Item = &mut State> {
        let below = self.agreed.below_mut();
        self.outgoing.all_mut().map(OpenRound::state_mut).chain(self.operation.state_mut()).chain(below)
    }

    /// What is known of calls of apps in each state, as it is stored.
    fn marks(&self) -> Vec<CallMarks> {
        let all: Vec<_> =
            std::iter::once(self.agreed.state()).chain(self.others()).map(|state| state.marks.clone()).collect();
        if all.iter().all(CallMarks::is_empty) { Vec::new() } else { all }
    }

    /// Gives the states back what is known of calls of apps.
    fn set_marks(&mut self, stored: Vec<CallMarks>) -> Result<(), SavedError> {
        if stored.is_empty() {
            return Ok(());
        }
        let mut stored = stored.into_iter();
        let lacking = || SavedError::Damaged("marks of calls are missing".into());
        *self.agreed.marks_mut() = stored.next().ok_or_else(lacking)?;
        for state in self.others_mut() {
            state.marks = stored.next().ok_or_else(lacking)?;
        }
        Ok(())
    }

    fn deltas(&self) -> Vec<Delta> {
        let agreed = &self.agreed.state().contracts;
        let mut deltas: Vec<Delta> = Vec::new();
        for state in self.others() {
            let known = state.contracts == *agreed || deltas.iter().any(|delta| delta.root == state.contracts_root);
            if !known && state.is_whole() {
                deltas.push(state.delta(agreed));
            }
        }
        deltas
    }

    /// Gives the states their contracts again.
    fn fill(&mut self, stored: &Contracts, deltas: Vec<Delta>) -> Result<(), SavedError> {
        let is_whole = self.agreed.fill(stored);
        // Whatever this side does not know of the peer's newer state, it says so itself (R6.6).
        let is_outdated = self.store.is_stale();
        if !is_whole && !is_outdated {
            return Err(SavedError::Damaged("contracts are missing, or others than the agreed ones".into()));
        }
        let known: Vec<_> =
            std::iter::once(stored.clone()).chain(deltas.into_iter().map(|delta| delta.on(stored))).collect();
        for state in self.others_mut() {
            known.iter().for_each(|contracts| state.fill(contracts));
            if !state.is_whole() && !is_outdated {
                return Err(SavedError::Damaged("the contracts of a proposed state are missing".into()));
            }
        }
        Ok(())
    }
}
