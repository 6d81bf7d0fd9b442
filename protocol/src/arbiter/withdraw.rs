//! `channel_withdraw` (R5.5).

use super::{Context, Outcome, advance, check_newer};
use crate::{
    Rejection,
    call::Withdraw,
    crypto::Crypto,
    event::{Event, Payout},
    record::Record,
    signing::CoSigned,
};
use alloc::vec;

/// Pays coins out of an open channel to one party. Anybody may submit what both signed.
///
/// # Errors
/// Expiry (R5.3), [`Rejection::NotOpen`], [`Rejection::AmountZero`], [`Rejection::BelowReserves`] where less than twice the reserve
/// would remain, a round that is not newer (R5.4), a wrong signature.
pub fn withdraw(ctx: &Context, mut record: Record, call: Withdraw, crypto: &impl Crypto) -> Result<Outcome, Rejection> {
    let Withdraw { channel, body, signatures } = call;
    ctx.limits.check_validity(body.valid_until, ctx.now)?;
    record.check_open()?;
    if body.amount == 0 {
        return Err(Rejection::AmountZero);
    }
    let need = record.terms.reserve.saturating_mul(2);
    let left = record.total.checked_sub(body.amount).filter(|&left| left >= need);
    let total = left.ok_or(Rejection::BelowReserves { total: record.total, amount: body.amount, need })?;
    check_newer(&record, body.round, &body.state_hash)?;
    let body = CoSigned::check(&ctx.domain, &channel, &record.terms.keys(), body, signatures, crypto)?.into_body();

    record.total = total;
    advance(&mut record, body.round, body.state_hash);
    let to = &record.terms.parties[body.party];
    let payout = Payout { to: to.account, amount: body.amount, destination: to.payout };
    let event = Event::ChannelWithdrawn {
        party: body.party,
        amount: body.amount,
        total,
        round: record.round,
        state_hash: record.state_hash,
    };
    Ok(Outcome { record: Some(record), payouts: vec![payout], event })
}
