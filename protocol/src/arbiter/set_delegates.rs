//! `channel_set_delegates` (R5.7).

use super::{CallContext, CallOutcome, Candidate, advance, check_newer};
use crate::{
    Party, Rejection, call::SetDelegates, crypto::Crypto, event::ArbiterEvent, record::Record, signing::CoSigned,
    terms::MAX_DELEGATES,
};
use alloc::vec::Vec;

/// Replaces both parties' delegates. It takes a round, so that it cannot be replayed. Anybody may submit what both signed.
///
/// # Errors
/// Expiry (R5.3), [`Rejection::NotOpen`], [`Rejection::TooManyDelegates`], a round that is not newer (R5.4), a wrong signature.
pub fn set_delegates(
    ctx: &CallContext,
    mut record: Record,
    call: SetDelegates,
    crypto: &impl Crypto,
) -> Result<CallOutcome, Rejection> {
    let SetDelegates { channel, body, signatures } = call;
    ctx.limits.check_validity(body.valid_until, ctx.now)?;
    record.check_open()?;
    if body.delegates.iter().any(|(_, delegates)| delegates.len() > MAX_DELEGATES) {
        return Err(Rejection::TooManyDelegates);
    }
    let candidate = Candidate { round: body.round, base: body.base, state_hash: body.state_hash, valid_until: None };
    check_newer(&record, &candidate, ctx.now)?;
    let body = CoSigned::check(&ctx.domain, &channel, &record.terms.keys(), body, signatures, crypto)?.into_body();

    advance(&mut record, body.round, body.state_hash);
    let event = ArbiterEvent::ChannelDelegatesSet {
        delegates: body.delegates.clone(),
        round: body.round,
        state_hash: body.state_hash,
    };
    let mut delegates = body.delegates;
    for party in Party::BOTH {
        record.terms.parties[party].delegates = core::mem::take(&mut delegates[party]);
    }
    Ok(CallOutcome { record: Some(record), payouts: Vec::new(), event })
}
