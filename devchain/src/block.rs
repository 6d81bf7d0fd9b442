//! Block production as a node's block builder does it. Everything here runs inside the state's externalities.

use crate::{errors, extrinsic, pool::Pending};
use chain::{BlockRef, ChainError};
use protocol::AccountId;
use runtime::{Executive, Header, Runtime, RuntimeEvent, System};
use sp_core::H256;
use sp_runtime::{
    DispatchResult,
    traits::Header as _,
    transaction_validity::{InvalidTransaction, TransactionValidityError},
};
use std::{cell::Cell, collections::BTreeSet};

/// The time between two blocks, as their timestamps tell it.
pub const SLOT_MILLIS: u64 = 6_000;
/// What the timestamps count from, in milliseconds since 1970: block `n` says `EPOCH_MILLIS + n * SLOT_MILLIS`.
pub const EPOCH_MILLIS: u64 = 1_700_000_000_000;

pub(crate) type EventRecord = frame_system::EventRecord<RuntimeEvent, <Runtime as frame_system::Config>::Hash>;

/// A finished block.
pub(crate) struct Built {
    pub(crate) header: Header,
    /// What became of each transaction offered, in the same order.
    pub(crate) fates: Vec<Fate>,
    pub(crate) events: Vec<EventRecord>,
}

/// What a block did with a transaction.
pub(crate) enum Fate {
    /// It is in, as extrinsic `index`, and did or did not do what it should.
    Included { index: u32, result: DispatchResult },
    /// It cannot be in any block.
    Refused(TransactionValidityError),
    /// Its nonce is not its account's next.
    NonceGone,
    /// This block is full.
    Postponed,
}

/// Opens the block after `parent`: initialised, its time set, ready for transactions. Answers how many extrinsics it holds.
///
/// # Errors
/// [`ChainError::Failed`] where block numbers are exhausted or the runtime refuses the timestamp.
pub(crate) fn open(parent: BlockRef) -> Result<u32, ChainError> {
    let number = parent
        .number
        .checked_add(1)
        .ok_or_else(|| ChainError::Failed { cause: "block numbers are exhausted".into() })?;
    let parent_hash = H256(parent.hash.0);
    // The digest stays empty: blocks have no author here, and the two roots follow from execution.
    let header = Header::new(number, H256::zero(), H256::zero(), parent_hash, Default::default());
    let _mode = Executive::initialize_block(&header);
    let now = u64::from(number).saturating_mul(SLOT_MILLIS).saturating_add(EPOCH_MILLIS);
    match Executive::apply_extrinsic(extrinsic::timestamp(now)) {
        Ok(Ok(())) => Ok(1),
        other => Err(ChainError::Failed { cause: format!("the timestamp was refused: {other:?}") }),
    }
}

/// Builds the block after `parent` from as many of `waiting` as fit. `at` tells the place of the transaction under execution,
/// so that a panic can be laid at its door.
///
/// # Errors
/// Those of [`open`].
pub(crate) fn build<'a>(
    parent: BlockRef,
    waiting: impl Iterator<Item = &'a Pending>,
    at: &Cell<Option<usize>>,
) -> Result<Built, ChainError> {
    let first = open(parent)?;
    let mut index = first;
    let mut fates = Vec::new();
    let mut postponed: BTreeSet<AccountId> = BTreeSet::new();
    for (place, pending) in waiting.enumerate() {
        if postponed.contains(&pending.account) {
            fates.push(Fate::Postponed);
            continue;
        }
        at.set(Some(place));
        let fate = apply(pending, index, index == first);
        match &fate {
            Fate::Included { .. } => index = index.saturating_add(1),
            Fate::Postponed => drop(postponed.insert(pending.account)),
            Fate::Refused(_) | Fate::NonceGone => {}
        }
        fates.push(fate);
    }
    at.set(None);
    let header = Executive::finalize_block();
    let events = System::read_events_no_consensus().map(|event| *event).collect();
    Ok(Built { header, fates, events })
}

fn apply(pending: &Pending, index: u32, alone: bool) -> Fate {
    sp_io::storage::start_transaction();
    match Executive::apply_extrinsic(pending.extrinsic.clone()) {
        Ok(result) => {
            sp_io::storage::commit_transaction();
            Fate::Included { index, result }
        }
        Err(error) => {
            sp_io::storage::rollback_transaction();
            match error {
                TransactionValidityError::Invalid(InvalidTransaction::Stale | InvalidTransaction::Future) => {
                    Fate::NonceGone
                }
                TransactionValidityError::Invalid(InvalidTransaction::ExhaustsResources) if !alone => Fate::Postponed,
                error => Fate::Refused(error),
            }
        }
    }
}

/// Whether the chain would take a transaction, judged on the state after `head` as a node's pool does.
///
/// # Errors
/// [`ChainError::InsufficientFunds`], [`ChainError::Invalid`].
pub(crate) fn validate(pending: &Pending, head: BlockRef) -> Result<(), ChainError> {
    let source = sp_runtime::transaction_validity::TransactionSource::External;
    Executive::validate_transaction(source, pending.extrinsic.clone(), H256(head.hash.0))
        .map(drop)
        .map_err(|error| errors::validity(error, pending.account))
}
