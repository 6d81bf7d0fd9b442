//! `channel_snapshot_solo` (R5.6).

use super::{CallContext, CallOutcome, adopt, check_newer};
use crate::{Rejection, call::SnapshotSolo, crypto::Crypto, event::ArbiterEvent, record::Record};
use alloc::vec::Vec;

/// Puts a newer co-signed state on chain without closing: nothing older counts from then on, and a forced chain ends.
///
/// # Errors
/// [`Rejection::NotPartyOrDelegate`], [`Rejection::NotOpen`], a payload that is not newer (R5.4), a wrong signature.
pub fn snapshot_solo(
    ctx: &CallContext,
    mut record: Record,
    call: &SnapshotSolo,
    crypto: &impl Crypto,
) -> Result<CallOutcome, Rejection> {
    if !record.terms.may_defend(&ctx.caller) {
        return Err(Rejection::NotPartyOrDelegate);
    }
    record.check_open()?;
    check_newer(&record, &(&call.payload).into(), ctx.now)?;
    let _newer = adopt(ctx, &call.channel, &mut record, &call.payload, crypto)?;
    let event = ArbiterEvent::ChannelSnapshotted { round: call.payload.round, state_hash: call.payload.state_hash };
    Ok(CallOutcome { record: Some(record), payouts: Vec::new(), event })
}
