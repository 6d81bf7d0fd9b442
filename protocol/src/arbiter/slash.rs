//! `channel_slash` (R5.9).

use super::{CallContext, CallOutcome, adopt, balances_of, check_newer};
use crate::{
    Rejection,
    call::Slash,
    crypto::Crypto,
    event::ArbiterEvent,
    record::{Closing, Phase, Record},
};
use alloc::vec::Vec;

/// Answers a close with a strictly newer co-signed state and restarts the lock; also after the lock ran out, as long as nobody settled.
///
/// # Errors
/// [`Rejection::NotPartyOrDelegate`], [`Rejection::NotClosing`], a payload that is not newer (R5.4), a wrong
/// signature, a commitment that does not fit or sums to more than the total.
pub fn slash(
    ctx: &CallContext,
    mut record: Record,
    call: &Slash,
    crypto: &impl Crypto,
) -> Result<CallOutcome, Rejection> {
    if !record.terms.may_defend(&ctx.caller) {
        return Err(Rejection::NotPartyOrDelegate);
    }
    let _closing = record.closing()?;
    check_newer(&record, &(&call.payload).into(), ctx.now)?;
    let _newer = adopt(ctx, &call.channel, &mut record, &call.payload, crypto)?;
    let closing = Closing {
        balances: balances_of(&record, &call.commitment, crypto)?,
        unlock_at: ctx.unlock_at(&record),
        penalty: record.closing()?.penalty,
    };
    let event = ArbiterEvent::ChannelSlashed {
        round: call.payload.round,
        state_hash: call.payload.state_hash,
        closing: closing.clone(),
    };
    record.phase = Phase::Closing(closing);
    Ok(CallOutcome { record: Some(record), payouts: Vec::new(), event })
}
