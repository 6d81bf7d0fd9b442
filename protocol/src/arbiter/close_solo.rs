//! `channel_close_solo` (R5.8).

use super::{CallContext, CallOutcome, adopt, balances_of};
use crate::{
    Rejection,
    call::CloseSolo,
    crypto::Crypto,
    event::ArbiterEvent,
    record::{Closing, Penalty, Phase, Record},
};
use alloc::vec::Vec;

/// Starts a close by one party, on the state it shows or on the one on chain, and locks it for an answer.
///
/// # Errors
/// [`Rejection::NotParty`], [`Rejection::NotOpen`], an old payload (R5.4), a wrong signature,
/// a commitment that does not fit or sums to more than the total.
pub fn close_solo(
    ctx: &CallContext,
    mut record: Record,
    call: &CloseSolo,
    crypto: &impl Crypto,
) -> Result<CallOutcome, Rejection> {
    let closer = record.terms.party_of(&ctx.caller).ok_or(Rejection::NotParty)?;
    record.check_open()?;
    if let Some(payload) = &call.payload {
        // "Already known" is success here: nobody can be blocked by someone posting the same state first (R5.4).
        let _standing = adopt(ctx, &call.channel, &mut record, payload, crypto)?;
    }
    let closing = Closing {
        balances: balances_of(&record, &call.commitment, crypto)?,
        unlock_at: ctx.unlock_at(&record),
        penalty: Penalty::AtRisk { closer, closed_on: record.on_chain.at.agreed },
    };
    let event = ArbiterEvent::ChannelClosedSolo {
        at: record.on_chain.at,
        state_hash: record.on_chain.state_hash,
        closing: closing.clone(),
    };
    record.phase = Phase::Closing(closing);
    Ok(CallOutcome { record: Some(record), payouts: Vec::new(), event })
}
