//! `channel_withdraw` (R5.5).

use super::{CallContext, CallOutcome, Candidate, advance, check_newer};
use crate::{
    Rejection,
    call::Withdraw,
    crypto::Crypto,
    event::{ArbiterEvent, Payout},
    record::Record,
    signing::CoSigned,
    terms::Destination,
};
use alloc::vec;

/// Pays coins of one party out of an open channel, to the account that both named. Anybody may submit what both signed.
///
/// # Errors
/// Expiry (R5.3), [`Rejection::NotOpen`], [`Rejection::AmountZero`], [`Rejection::BelowReserves`] where less than twice the reserve
/// would remain, a round that is not newer (R5.4), a wrong signature.
pub fn withdraw(
    ctx: &CallContext,
    mut record: Record,
    call: Withdraw,
    crypto: &impl Crypto,
) -> Result<CallOutcome, Rejection> {
    let Withdraw { channel, body, signatures } = call;
    ctx.limits.check_validity(body.valid_until, ctx.now)?;
    record.check_open()?;
    if body.amount == 0 {
        return Err(Rejection::AmountZero);
    }
    let need = record.terms.reserve.saturating_mul(2);
    let left = record.total.checked_sub(body.amount).filter(|&left| left >= need);
    let total = left.ok_or(Rejection::BelowReserves { total: record.total, amount: body.amount, need })?;
    let candidate = Candidate { round: body.round, base: body.base, state_hash: body.state_hash, valid_until: None };
    check_newer(&record, &candidate, ctx.now)?;
    let body = CoSigned::check(&ctx.domain, &channel, &record.terms.keys(), body, signatures, crypto)?.into_body();

    record.total = total;
    advance(&mut record, body.round, body.state_hash);
    let own = &record.terms.parties[body.party];
    // Paid to the arbiter itself they would be nobody's.
    let destination = match body.to {
        to if to == ctx.domain.arbiter => Destination::Vault,
        to if to == own.account => own.payout,
        _ => Destination::Account,
    };
    let payout = Payout { party: Some(body.party), to: body.to, amount: body.amount, destination };
    let event = ArbiterEvent::ChannelWithdrawn {
        party: body.party,
        amount: body.amount,
        total,
        round: body.round,
        state_hash: body.state_hash,
    };
    Ok(CallOutcome { record: Some(record), payouts: vec![payout], event })
}
