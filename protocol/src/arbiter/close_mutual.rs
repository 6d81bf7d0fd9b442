//! `channel_close_mutual` (R5.12).

use super::{CallContext, CallOutcome, pay_parties};
use crate::{
    Rejection,
    call::CloseMutual,
    crypto::Crypto,
    event::{ArbiterEvent, Payout},
    record::Record,
    signing::CoSigned,
    terms::Destination,
};

/// Ends a channel as both agreed, in whatever phase it is. Anybody may submit it, and earns the fee.
///
/// # Errors
/// Expiry (R5.3), parts that do not sum to the total, a wrong signature.
pub fn close_mutual(
    ctx: &CallContext,
    record: &Record,
    call: CloseMutual,
    crypto: &impl Crypto,
) -> Result<CallOutcome, Rejection> {
    let CloseMutual { channel, body, signatures } = call;
    ctx.limits.check_validity(body.valid_until, ctx.now)?;
    let sum = body.balances.sum().and_then(|sum| sum.checked_add(body.fee));
    if sum != Some(record.total) {
        return Err(Rejection::SumMismatch { got: sum, want: record.total });
    }
    let body = CoSigned::check(&ctx.domain, &channel, &record.terms.keys(), body, signatures, crypto)?.into_body();

    let mut payouts = pay_parties(&record.terms, &body.balances);
    if body.fee > 0 {
        payouts.push(Payout { party: None, to: ctx.caller, amount: body.fee, destination: Destination::Account });
    }
    let event = ArbiterEvent::ChannelClosedMutually { balances: body.balances, fee: body.fee };
    Ok(CallOutcome { record: None, payouts, event })
}
