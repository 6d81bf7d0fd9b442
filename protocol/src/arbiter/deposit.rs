//! `channel_deposit` (R5.5).

use super::{CallContext, CallOutcome, Candidate, advance, check_newer};
use crate::{Rejection, call::Deposit, crypto::Crypto, event::ArbiterEvent, record::Record, signing::CoSigned};
use alloc::vec::Vec;

/// Adds coins of one party to an open channel; they still have to be taken from its vault. Anybody may submit what both signed.
///
/// # Errors
/// Expiry (R5.3), [`Rejection::NotOpen`], [`Rejection::AmountZero`], a round that is not newer (R5.4), a wrong signature.
pub fn deposit(
    ctx: &CallContext,
    mut record: Record,
    call: Deposit,
    crypto: &impl Crypto,
) -> Result<CallOutcome, Rejection> {
    let Deposit { channel, body, signatures } = call;
    ctx.limits.check_validity(body.valid_until, ctx.now)?;
    record.check_open()?;
    if body.amount == 0 {
        return Err(Rejection::AmountZero);
    }
    let candidate = Candidate { round: body.round, base: body.base, state_hash: body.state_hash, valid_until: None };
    check_newer(&record, &candidate, ctx.now)?;
    let body = CoSigned::check(&ctx.domain, &channel, &record.terms.keys(), body, signatures, crypto)?.into_body();

    record.total = record.total.checked_add(body.amount).ok_or(Rejection::AmountOverflow)?;
    advance(&mut record, body.round, body.state_hash);
    let event = ArbiterEvent::ChannelDeposited {
        party: body.party,
        amount: body.amount,
        total: record.total,
        round: body.round,
        state_hash: body.state_hash,
    };
    Ok(CallOutcome { record: Some(record), payouts: Vec::new(), event })
}
