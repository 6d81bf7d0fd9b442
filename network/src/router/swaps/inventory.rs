//! What of its coins a responder has promised, and on whose account (R8.5f): an initiator that agrees and locks nothing costs it no more than a share, and no longer
//! than until the target leg may not be locked any more.

use super::{
    ask::{has_gone_on, is_live},
    kinds::{SwapRole, SwapStage},
    tables::{Account, Held, Swap},
};
use crate::{
    router::state::Core,
    swap::{SwapCode, SwapId, SwapTerms},
};
use protocol::PublicKey;

/// On whose account a swap with this peer is.
fn account(core: &Core, terms: &SwapTerms, peer: PublicKey) -> Account {
    let has_channel = |chain| core.links.to(chain, peer).next().is_some();
    (has_channel(terms.source.chain) || has_channel(terms.target.chain)).then_some(peer)
}

/// Counts anew what is kept for a swap: nothing before both have agreed, and nothing where its target leg is neither locked nor may be.
pub(super) fn count(core: &mut Core, id: SwapId) {
    let Some(Swap { row, .. }) = core.swaps.get(&id).filter(|swap| swap.row.role == SwapRole::Responder) else {
        return;
    };
    let held = match row.stage {
        SwapStage::Agreed if !has_gone_on(core, id) => Some(Held::Idle(account(core, &row.terms, row.peer))),
        SwapStage::Agreed | SwapStage::Clearing(_) => is_live(core, id).then_some(Held::Locked),
        SwapStage::Proposed | SwapStage::Ended { .. } => None,
    };
    core.swaps.hold(id, held);
}

/// Whether a quote says that a swap is agreed to by itself; false where the user decides.
pub(super) fn is_quoted(core: &Core, terms: &SwapTerms, peer: PublicKey) -> Result<bool, SwapCode> {
    let policy = &core.policy.swaps;
    let (promised, idle) = core.swaps.promised(terms.target.chain, account(core, terms, peer));
    let idle = idle.saturating_add(terms.target.amount);
    let mut why = None;
    for quote in &policy.quotes {
        match quote.check(terms, promised, core.seconds()) {
            Ok(()) if idle > quote.idle(policy.idle_share) => why = Some(SwapCode::Inventory),
            Ok(()) => return Ok(true),
            Err(SwapCode::Chain) => {}
            Err(code) => why = Some(code),
        }
    }
    match why {
        Some(code) => Err(code),
        None if policy.asks_user => Ok(false),
        None => Err(SwapCode::Rate),
    }
}
