//! `channel_slash` (R5.9).

use super::{Context, Outcome, adopt, balances_of, check_newer};
use crate::{
    Party, Rejection, Round,
    call::Slash,
    crypto::Crypto,
    event::Event,
    record::{Closing, Penalty, Phase, Record},
};
use alloc::vec::Vec;

/// Answers a close with a strictly newer co-signed state and restarts the lock; also after the lock ran out, as long as nobody settled.
///
/// # Errors
/// [`Rejection::NotPartyOrDelegate`], [`Rejection::NotClosing`], a payload that is not newer (R5.4), a wrong
/// signature, a commitment that does not fit or sums to more than the total.
pub fn slash(ctx: &Context, mut record: Record, call: &Slash, crypto: &impl Crypto) -> Result<Outcome, Rejection> {
    if !record.terms.may_defend(&ctx.caller) {
        return Err(Rejection::NotPartyOrDelegate);
    }
    let penalty = record.closing()?.penalty;
    check_newer(&record, call.payload.round, &call.payload.state_hash)?;
    let _newer = adopt(ctx, &call.channel, &mut record, &call.payload, crypto)?;
    let closing = Closing {
        balances: balances_of(&record, &call.commitment, crypto)?,
        unlock_at: ctx.unlock_at(&record),
        penalty: penalty.shown_round(call.payload.round),
    };
    let event = Event::ChannelSlashed { round: record.round, state_hash: record.state_hash, closing: closing.clone() };
    record.phase = Phase::Closing(closing);
    Ok(Outcome { record: Some(record), payouts: Vec::new(), event })
}

impl Penalty {
    /// The penalty once a newer `round` is shown. A round that the closer's peer proposed became co-signed by the
    /// closer's own signature, so the closer held it; a round of the closer's own proves nothing. Whoever shows it,
    /// the proof is the same: a closer cannot escape by slashing itself first (docs/adr/0001).
    pub(super) fn shown_round(self, round: Round) -> Self {
        match self {
            Self::AtRisk(closer) if Party::owner_of(round) == closer.peer() => Self::Due(closer),
            unchanged => unchanged,
        }
    }
}
