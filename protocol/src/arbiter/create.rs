//! `channel_create` (R5.1 to R5.4a).

use super::{CallContext, CallOutcome};
use crate::{
    ChannelId, Pair, Rejection, StateCommitment,
    call::Create,
    crypto::Crypto,
    event::ArbiterEvent,
    record::{OnChain, Phase, Record},
    signing::CoSigned,
};
use alloc::vec::Vec;

/// The round that `channel_create` makes (R5.4a).
const FIRST_ROUND: crate::Round = 1;

/// Opens `channel`, whose id the nonce gave (R5.2). Anybody may submit what both parties signed;
/// the shares still have to be taken from the parties' vaults ([`super::vault::pay_shares`]).
///
/// # Errors
/// Terms out of bounds ([`crate::terms::Terms::check`]), expiry (R5.3), a first balance below the reserve (R4.4),
/// shares that do not sum to the balances, a wrong signature.
pub fn create(
    ctx: &CallContext,
    channel: &ChannelId,
    call: Create,
    crypto: &impl Crypto,
) -> Result<CallOutcome, Rejection> {
    let Create { body, nonce: _, signatures } = call;
    ctx.limits.check_validity(body.valid_until, ctx.now)?;
    let total = body.check(&ctx.limits)?;
    let keys = body.terms.keys();
    let body = CoSigned::check(&ctx.domain, channel, &keys, body, signatures, crypto)?.into_body();

    let record = Record {
        on_chain: OnChain::agreed(FIRST_ROUND, StateCommitment::of_balances(body.balances).hash(crypto)),
        terms: body.terms,
        total,
        forced_steps: Pair::default(),
        phase: Phase::Open,
    };
    Ok(CallOutcome {
        event: ArbiterEvent::ChannelCreated { record: record.clone() },
        record: Some(record),
        payouts: Vec::new(),
    })
}
