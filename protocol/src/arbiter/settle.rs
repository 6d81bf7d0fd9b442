//! `channel_settle` (R5.11).

use super::{CallContext, CallOutcome, pay_parties};
use crate::{
    Amount, Maturity, Pair, Rejection,
    event::ArbiterEvent,
    record::{Penalty, Phase, Record},
};

/// Pays out a close once its lock has run out. Parties and delegates may ask for it from then on, anybody a lock period later: what the
/// channel's storage had laid down goes to whoever ends it, and belongs to those whose channel it was. Coins that contracts inside the channel
/// hold stay there: the channel becomes residual.
///
/// # Errors
/// [`Rejection::NotClosing`]; [`Rejection::StillLocked`] before `unlock_at`; [`Rejection::PartiesSettleFirst`] for anybody else within a lock
/// period after it.
pub fn settle(ctx: &CallContext, mut record: Record) -> Result<CallOutcome, Rejection> {
    let closing = record.closing()?;
    if ctx.now < closing.unlock_at {
        return Err(Rejection::StillLocked { unlock_at: closing.unlock_at, now: ctx.now });
    }
    let from = closing.unlock_at.saturating_add(record.terms.lock_period);
    if ctx.now < from && !record.terms.may_defend(&ctx.caller) {
        return Err(Rejection::PartiesSettleFirst { from, now: ctx.now });
    }
    let balances = after_penalty(closing.balances, closing.penalty, record.terms.penalty);
    let paid = balances.sum().ok_or(Rejection::AmountOverflow)?;
    let remaining = record.total.checked_sub(paid).ok_or(Rejection::BalancesExceedTotal { total: record.total })?;

    let payouts = pay_parties(&record.terms, &balances);
    let event = ArbiterEvent::ChannelSettled { balances, remaining };
    record.total = remaining;
    // Steps are counted anew, and no co-signed state counts any more (R5.11).
    record.forced_steps = Pair::default();
    record.on_chain.maturity = Maturity::default();
    record.phase = Phase::Residual { counted_from: Pair::new(ctx.now, ctx.now) };
    Ok(CallOutcome { record: (remaining > 0).then_some(record), payouts, event })
}

/// Moves the penalty, if one is due, from the closer to its peer. A closer that has less pays what it has.
fn after_penalty(mut balances: Pair<Amount>, penalty: Penalty, amount: Amount) -> Pair<Amount> {
    if let Penalty::Due(closer) = penalty {
        let charged = amount.min(balances[closer]);
        balances[closer] = balances[closer].saturating_sub(charged);
        balances[closer.peer()] = balances[closer.peer()].saturating_add(charged);
    }
    balances
}
