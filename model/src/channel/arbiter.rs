//! What is on chain, moved by the arbiter's own rules; or by broken ones, to see that the model would notice.

use super::{Channel, Content, Signed, content::Ask, content::CONTRACT};
use crate::{
    Rules,
    chain::{CHANNEL, Chain, OFFER, context},
};
use protocol::{
    Base, BlockNumber, Hash, Mark, Maturity, Party,
    arbiter::{CallOutcome, Start, close_solo, force_progress, plan, set_delegates, settle, slash, snapshot_solo},
    call::{CloseSolo, ForcedCall, Slash, SnapshotSolo},
    record::{Closing, Penalty, Phase, Record},
};
use scale::{Decode, Encode};
use std::sync::Arc;

/// A transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tx {
    /// `channel_snapshot_solo`.
    Snapshot(Signed),
    /// `channel_slash`.
    Slash(Signed),
    /// `channel_set_delegates`: the smallest operation.
    Operate(Signed),
    /// `channel_force_progress` with as many calls for the call's sake, on the state on chain.
    Stall(u8),
    /// `channel_force_progress` that takes the offer, on this state or on the one on chain.
    Take(On),
    /// `channel_force_progress` that takes the offer back.
    Withdraw,
    /// `channel_close_solo`, on this state or on the one on chain.
    Close(On),
    /// `channel_settle`.
    Settle,
}

/// What a transaction goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum On {
    /// A round that it shows.
    Shown(Signed),
    /// The state that was on chain when it was made: its commitment is no other's.
    Chain(Base),
}

/// What is on chain.
#[derive(Clone, Debug)]
pub struct OnChain {
    /// What the arbiter stores; none once the channel has ended.
    pub record: Option<Arc<Record>>,
    /// What the state on chain says.
    pub content: Content,
    /// The root of its last call.
    pub(crate) calls_root: Hash,
}

impl OnChain {
    /// The close under way.
    #[must_use]
    pub fn closing(&self) -> Option<&Closing> {
        self.record.as_ref()?.closing().ok()
    }

    /// Whether coins of contracts are all that is left.
    #[must_use]
    pub fn is_residual(&self) -> bool {
        self.record.as_ref().is_some_and(|record| matches!(record.phase, Phase::Residual { .. }))
    }

    /// What becomes of it; none where the arbiter refuses.
    pub(crate) fn after(&self, model: &Channel, party: Party, tx: Tx, now: BlockNumber) -> Option<Self> {
        let before = self.record.as_ref()?;
        let ctx = context(party, now);
        let (roots, honest, rules) = (&model.roots, model.scenario.honest, model.scenario.rules);
        let shown = match tx {
            Tx::Snapshot(shown) | Tx::Slash(shown) | Tx::Operate(shown) => Some(shown),
            Tx::Take(On::Shown(shown)) | Tx::Close(On::Shown(shown)) => Some(shown),
            Tx::Take(On::Chain(_)) | Tx::Close(On::Chain(_)) | Tx::Stall(_) | Tx::Withdraw | Tx::Settle => None,
        };
        if let Tx::Take(On::Chain(on)) | Tx::Close(On::Chain(on)) = tx
            && on != before.on_chain.at
        {
            return None;
        }
        let record = bent(rules, before, shown, now);
        let (content, calls_root) = shown.map_or((self.content, self.calls_root), |shown| (shown.content, Hash::ZERO));
        let commitment = roots.commitment(honest, content, calls_root);
        let payload = || shown.map(|shown| shown.payload(&commitment));
        let mut chain = Chain { shown_at: None };
        let mut after = Self { content, calls_root, record: None };
        let CallOutcome { record, .. } = match tx {
            Tx::Snapshot(_) => {
                snapshot_solo(&ctx, record, &SnapshotSolo { channel: CHANNEL, payload: payload()? }, &chain)
            }
            Tx::Slash(_) => slash(&ctx, record, &Slash { channel: CHANNEL, payload: payload()?, commitment }, &chain),
            Tx::Operate(shown) => set_delegates(&ctx, record, shown.operation(CHANNEL, &commitment)?, &chain),
            Tx::Close(_) => {
                close_solo(&ctx, record, &CloseSolo { channel: CHANNEL, payload: payload(), commitment }, &chain)
            }
            Tx::Settle => settle(&ctx, record),
            Tx::Stall(_) | Tx::Take(_) | Tx::Withdraw => {
                let (ask, calls) = match tx {
                    Tx::Take(_) => (Ask::Take, 1),
                    Tx::Withdraw => (Ask::Withdraw, 1),
                    Tx::Stall(calls) => (Ask::Nothing, calls),
                    _ => return None,
                };
                let contracts = content.contracts(&model.scenario);
                let start = Start {
                    channel: CHANNEL,
                    record: &record,
                    payload: payload(),
                    balances: commitment.balances,
                    contracts: &contracts,
                    calls_root,
                };
                let call = || ForcedCall { contract: CONTRACT, value: 0, input: ask.encode() };
                let calls = (0..calls).map(|_| call()).collect();
                let deployed = |code: &Hash| (*code == OFFER.1).then_some(OFFER.0);
                let planned = plan(&start, party, calls, now, &deployed, &mut Chain { shown_at: None }).ok()?;
                after.content = content.after(ask);
                after.calls_root = planned.calls_root;
                force_progress(&ctx, record, &planned.call, &mut chain)
            }
        }
        .ok()?;
        after.record = record.map(|record| Arc::new(unbent(rules, before, shown, record, now)));
        Some(after)
    }
}

/// The record as a broken rule takes it.
fn bent(rules: Rules, before: &Record, shown: Option<Signed>, now: BlockNumber) -> Record {
    let mut record = before.clone();
    match (rules, shown) {
        (Rules::NoQuota, _) => record.forced_steps = protocol::Pair::default(),
        (Rules::NoMaturity, _) => record.on_chain.maturity = Maturity::default(),
        (Rules::BaseAsNumber, Some(shown)) => {
            let floor = record.on_chain.maturity.floor(now, record.terms.lock_period);
            let beyond = Base { agreed: u64::MAX, steps: 0 };
            let counts = shown.base.round() >= floor.round();
            record.on_chain.maturity = maturity(if counts { Base::default() } else { beyond }, Vec::new());
        }
        _ => {}
    }
    if let (Rules::NoLock, Phase::Closing(closing)) = (rules, &mut record.phase) {
        closing.unlock_at = now;
    }
    record
}

/// The record as a broken rule leaves it.
fn unbent(rules: Rules, before: &Record, shown: Option<Signed>, mut after: Record, now: BlockNumber) -> Record {
    let had = &before.on_chain.maturity;
    let lock_period = before.terms.lock_period;
    let adopted = after.on_chain.at.agreed != before.on_chain.at.agreed;
    let forced = after.on_chain.is_forced() && after.on_chain.at != before.on_chain.at;
    let mark = |reached| Mark { reached, block: now };
    let added = forced.then_some(after.on_chain.at);
    let keep = |added: Option<Base>| {
        let young = had.marks().iter().filter(|mark| now < mark.block.saturating_add(lock_period)).copied();
        maturity(had.floor(now, lock_period), young.chain(added.map(mark)).collect())
    };
    let anew = |added: Option<Base>| maturity(Base::default(), added.map(mark).into_iter().collect());
    let first = |reached: Base| Base { steps: 1, ..reached };
    after.on_chain.maturity = match rules {
        Rules::NoMaturity => Maturity::default(),
        Rules::BaseAsNumber => keep(added),
        Rules::OneMark if adopted || *had == Maturity::default() => anew(added.map(first)),
        Rules::OneMark => had.clone(),
        Rules::MarksDropped if adopted => anew(added),
        _ => after.on_chain.maturity,
    };
    if let (Rules::PenaltyByParity, Some(shown), Ok(closing)) = (rules, shown, before.closing())
        && let Phase::Closing(now_closing) = &mut after.phase
        && Party::owner_of(shown.round) == closing.penalty.closer()
    {
        now_closing.penalty = closing.penalty;
    }
    after
}

/// A channel's marks, put together.
fn maturity(floor: Base, marks: Vec<Mark>) -> Maturity {
    Maturity::decode(&mut (floor, marks).encode().as_slice()).unwrap_or_default()
}

/// Whether `party` owes the penalty.
pub(crate) fn owes(chain: &OnChain, party: Party) -> bool {
    chain.closing().is_some_and(|closing| closing.penalty == Penalty::Due(party))
}
