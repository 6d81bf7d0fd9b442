//! Conditional transfers (R8.3): what a router commands, what the peer proposes, and what each block changes.
//!
//! ```text
//!   command --> row --> wanted --advance--> a change of the next round --agreed--> gone from the state --> the router is told
//!   the peer's round --check (the state alone)--> judge (heads and registry as this side sees them) --> agreed | looked at again | refused, item by item
//!   a block --> pre-images to show before their expiry; refunds of what expired; what the peer leaves unanswered is forced, at leisure
//! ```

use super::{
    judge::{Asked, Judge},
    offers::Offered,
};
use crate::{
    channel::{Channel, LinkState},
    effect::Effect,
    error::Misuse,
    event::Event,
    input::Context,
    message::{RefusalCode, Update},
    phase::{
        Phase,
        closing::ClosePath,
        live::{Live, outgoing::PledgeUse},
    },
    state::{Change, ChangeId, FailReason, IdempotencyKey, OwnChanges, State},
    step::Step,
    transfer::{
        Failure, IncomingTransfer, Intent, OutgoingTransfer, TransferBook, TransferCommand, TransferId, TransferLimits,
        TransferRow,
        room::{Became, Transfers},
    },
};
use protocol::{
    Amount, BlockNumber, Pair, Party,
    contracts::{ContractId, Requirement, conditional::Preimage},
};
use std::collections::{BTreeMap, BTreeSet};

/// How many blocks a round of the peer's is looked at again in, before what cannot be told in it is refused.
const JUDGED_WITHIN: BlockNumber = 2;

/// What this side says to the transfers of a round of the peer's.
pub(crate) enum Judged {
    /// Yes.
    Agreed,
    /// It cannot be told yet: with the next block.
    Later,
    /// No to these, by their places.
    Refused(Vec<(u32, RefusalCode)>),
}

impl Channel {
    /// A transfer, as it is stored beside the channel.
    #[must_use]
    pub fn transfer(&self, id: TransferId) -> Option<TransferRow> {
        self.transfers.row(id)
    }

    /// The rows of all transfers.
    pub fn transfer_ids(&self) -> impl Iterator<Item = TransferId> {
        let outgoing = self.transfers.outgoing().keys().copied().map(TransferId::Outgoing);
        self.transfers.incoming().keys().copied().map(TransferId::Incoming).chain(outgoing)
    }

    /// The transfers that the peer has offered and that are not over.
    #[must_use]
    pub const fn incoming_transfers(&self) -> &BTreeMap<ContractId, IncomingTransfer> {
        self.transfers.incoming()
    }

    /// The own transfers that are not forgotten.
    #[must_use]
    pub const fn outgoing_transfers(&self) -> &BTreeMap<ChangeId, OutgoingTransfer> {
        self.transfers.outgoing()
    }

    /// The own transfer of this key.
    #[must_use]
    pub fn outgoing_transfer(&self, key: &IdempotencyKey) -> Option<&OutgoingTransfer> {
        self.transfers.find(key)
    }

    /// How many coins this side can offer or pay now.
    #[must_use]
    pub fn spendable(&self) -> Amount {
        match &self.phase {
            Phase::Open(live) => live.spendable(self.me),
            _ => 0,
        }
    }

    pub(crate) fn on_transfer_command(&mut self, command: TransferCommand, ctx: &Context<'_>) -> Result<Step, Misuse> {
        match command {
            TransferCommand::Offer { key, offer, fee } => self.on_user_offer(key, Offered::Alone { offer, fee }, ctx),
            TransferCommand::OfferStaked { key, offer, pledged_until: until, is_kept_back } => {
                self.on_user_offer(key, Offered::Staked { offer, pledge: PledgeUse { until, is_kept_back } }, ctx)
            }
            TransferCommand::Release { key } => Ok(self.on_user_release(&key, ctx)),
            TransferCommand::TakeBack { key } => Ok(self.on_user_take_back(&key, ctx)),
            TransferCommand::AnswerPledge { contract } => Ok(self.on_user_answer_pledge(&contract, ctx)),
            TransferCommand::Claim { contract, preimage } => self.on_user_claim(contract, preimage, ctx),
            TransferCommand::Fail { contract, reason } => self.on_user_fail_transfer(contract, reason, ctx),
            TransferCommand::Forget { key } => self.on_user_forget_transfer(&key),
        }
    }

    /// Transition: open | closing -> the same
    fn on_user_claim(&mut self, contract: ContractId, preimage: Preimage, ctx: &Context<'_>) -> Result<Step, Misuse> {
        self.transfers.claim(contract, preimage)?;
        Ok(Step::commit(Vec::new()).and(self.advance(ctx)))
    }

    /// Transition: open | closing -> the same
    fn on_user_fail_transfer(
        &mut self,
        contract: ContractId,
        reason: FailReason,
        ctx: &Context<'_>,
    ) -> Result<Step, Misuse> {
        // Whether its pre-image is known is not asked here: where nothing has gone on because of it, it is given back all the same (R8.4b), and else its router
        // wants it claimed (I4).
        self.transfers.fail(contract, reason)?;
        Ok(Step::commit(Vec::new()).and(self.advance(ctx)))
    }

    /// Forgets an own transfer that is decided: at once, or as soon as its coins have left it.
    fn on_user_forget_transfer(&mut self, key: &IdempotencyKey) -> Result<Step, Misuse> {
        self.transfers.forget(key)?;
        Ok(Step::default())
    }

    /// What this side says to the transfers of the peer's round, which breaks no rule. Pre-images that it shows are known from here on, whatever is said (I3).
    /// `requirements` are those of its calls, by the places of their changes.
    pub(crate) fn judge(&mut self, update: &Update, requirements: &[(u32, Requirement)], ctx: &Context<'_>) -> Judged {
        self.judge_as(Asked::Round, update, requirements, ctx)
    }

    /// The same of a round, or of the question for a pledge for it.
    pub(crate) fn judge_as(
        &mut self,
        asked: Asked,
        update: &Update,
        requirements: &[(u32, Requirement)],
        ctx: &Context<'_>,
    ) -> Judged {
        if requirements.is_empty() && !update.changes.iter().any(Change::is_of_transfer) {
            return Judged::Agreed;
        }
        let me = self.me;
        let Phase::Open(live) = &mut self.phase else { return Judged::Agreed };
        let is_last = live.incoming.judged_since(update.round, ctx.head).saturating_add(JUDGED_WITHIN) <= ctx.head;
        let mut judge = Judge::new(&mut self.transfers, live, (update, asked), me, ctx);
        let mut verdicts: Vec<_> =
            (0_u32..).zip(&update.changes).map(|(place, it)| (place, judge.change(it))).collect();
        for (place, requirement) in requirements {
            let mut all = verdicts.iter_mut().zip(&update.changes);
            let of_change = all.find(|((of, verdict), _)| of == place && verdict.is_ok());
            if let Some(((_, verdict), change)) = of_change {
                *verdict = judge.requirement(change, requirement);
            }
        }
        let refused: Vec<_> = verdicts
            .iter()
            .filter_map(|(place, verdict)| match verdict {
                Err(code) if *code != RefusalCode::NOT_NOW || is_last => Some((*place, *code)),
                _ => None,
            })
            .collect();
        let waits = verdicts.iter().any(|(_, verdict)| *verdict == Err(RefusalCode::NOT_NOW));
        match (refused.is_empty(), waits) {
            (false, _) => Judged::Refused(refused),
            (true, true) => Judged::Later,
            (true, false) => Judged::Agreed,
        }
    }

    /// More is known of locks than before.
    pub(crate) fn on_locks(&mut self, ctx: &Context<'_>) -> Step {
        if self.transfers.is_empty() {
            return Step::default();
        }
        self.on_head_while_transferring(ctx).and(self.look_again(ctx)).and(self.advance(ctx))
    }

    /// Whether an offer of one's own would be proposed now: the channel is open, and its peer there.
    #[must_use]
    pub fn takes_offers(&self) -> bool {
        let is_free = |live: &Live| live.wish.is_none() && !live.store.is_doubtful();
        self.link == LinkState::Up && matches!(&self.phase, Phase::Open(live) if is_free(live))
    }

    /// What the peer lets this side offer.
    #[must_use]
    pub const fn peer_limits(&self) -> &TransferLimits {
        match self.me {
            Party::Initiator => &self.transfers.limits().responder,
            Party::Responder => &self.transfers.limits().initiator,
        }
    }

    /// A block is final: what has to be shown to the registry, what has expired, and what the peer leaves unanswered.
    pub(crate) fn on_head_while_transferring(&mut self, ctx: &Context<'_>) -> Step {
        if self.transfers.is_empty() && self.transfers.orphans().next().is_none() {
            return Step::default();
        }
        self.transfers.want_again(self.phase.live().map(|live| live.agreed.state()));
        let book = ctx.transfers;
        self.learn_from(book);
        let soon = book.best().saturating_add(book.margins().register).max(ctx.head);
        let mut effects = Vec::new();
        for id in self.transfers.due(soon) {
            match self.transfers.row(id) {
                Some(TransferRow::Incoming(row)) => effects.extend(to_register(&row, book)),
                Some(TransferRow::Outgoing(row)) if row.offer.terms.expiry <= ctx.head => {
                    self.on_expired(&row, book);
                }
                _ => {}
            }
        }
        let orphans = self
            .transfers
            .orphans()
            .filter(|(_, expiry, lock)| *expiry <= ctx.head && book.registered(lock).is_silent_at(*expiry));
        orphans.map(|(contract, ..)| contract).collect::<Vec<_>>().into_iter().for_each(|contract| {
            self.transfers.want(contract);
        });
        if matches!(self.phase, Phase::Closing(_, ClosePath::Solo(_) | ClosePath::Residual(_))) {
            // What goes with a claim is made before the channel is settled, or ends with the last coin: the pre-image is shown for it, whatever the expiry (R8.3g).
            for id in self.transfers.with_calls() {
                if let Some(TransferRow::Incoming(row)) = self.transfers.row(id) {
                    effects.extend(to_register(&row, book));
                }
            }
        }
        effects.extend(self.codes_to_fetch(ctx).into_iter().map(Effect::FetchCode));
        Step::act(effects).and(self.force_ends(ctx))
    }

    /// Pre-images of own transfers that are known from elsewhere.
    fn learn_from(&mut self, book: &dyn TransferBook) {
        let undecided = self.transfers.outgoing().values().filter(|row| !row.is_decided());
        let known: Vec<_> =
            undecided.filter_map(|row| Some((row.offer.terms.lock, book.preimage(&row.offer.terms.lock)?))).collect();
        known.iter().for_each(|(lock, preimage)| self.transfers.learn(lock, preimage));
    }

    /// An own transfer has expired, and that is final.
    fn on_expired(&mut self, row: &OutgoingTransfer, book: &dyn TransferBook) {
        let (lock, expiry) = (row.offer.terms.lock, row.offer.terms.expiry);
        let registered = book.registered(&lock);
        if let Some(preimage) = book.preimage(&lock).filter(|_| registered.is_shown_before(expiry)) {
            self.transfers.learn(&lock, &preimage);
        } else if registered.is_silent_at(expiry) {
            let contracts = self.phase.live().map(|live| &live.agreed.state().contracts);
            let is_there = |id: ContractId| contracts.is_some_and(|all| all.get(&id).is_some());
            // It may have been claimed in a round that an old store does not have.
            let is_final = row.contract.is_some_and(is_there) && self.is_settled_as_known();
            if is_final || !self.may_have_forgotten() {
                self.transfers.expire(row.change);
            }
            if let Some(contract) = row.contract.filter(|id| is_there(*id) || row.premium.is_some_and(is_there)) {
                self.transfers.want(contract);
            }
        }
    }

    /// Whether this side's store is or was old, so that rounds may have ended transfers of which it does not know.
    fn may_have_forgotten(&self) -> bool {
        self.transfers.is_untold() || self.phase.live().is_some_and(|live| live.store.is_doubtful())
    }

    /// Whether the channel is settled on a state that is known here whole: nothing that an old store has forgotten counts any more.
    pub(crate) fn is_settled_as_known(&self) -> bool {
        match &self.phase {
            Phase::Closing(live, ClosePath::Residual(_)) => live.is_as_on_chain(),
            _ => false,
        }
    }

    /// Takes what is told of own changes that begin or end transfers out of what the user is told: their router hears of it.
    pub(crate) fn note_own_transfers(&mut self, step: &mut Step) {
        if self.transfers.has_changes() {
            note_own(&mut self.transfers, step.effects_mut());
            let live = self.phase.live();
            self.transfers.retain_given_up(|id| live.is_some_and(|live| live.may_tell_of(id)));
        }
    }

    /// At the end of each input: what the agreed state holds, and what a router has to know of it.
    pub(crate) fn note_transfers(&mut self, mut step: Step, changed: &[ContractId]) -> Step {
        let done = match &mut self.phase {
            Phase::Open(live) | Phase::Closing(live, _) => std::mem::take(&mut live.transfers_done),
            _ => Vec::new(),
        };
        if done.is_empty() && self.transfers.is_empty() && changed.is_empty() {
            // A question for a pledge may be the first word of a transfer.
            step.effects_mut().extend(self.transfers.take_told().into_iter().map(Effect::Transfer));
            return step;
        }
        self.transfers.take_done(self.me, done);
        let is_unsure = self.phase.is_unsure() || self.transfers.is_untold();
        let is_settled = matches!(self.phase, Phase::Closing(_, ClosePath::Residual(_)));
        let live = self.phase.live();
        let may_count = |change: Option<ChangeId>, is_such: &dyn Fn(&State) -> bool| {
            live.is_some_and(|live| !is_settled && live.may_count(change, is_such))
        };
        let none = State::of(Pair::default());
        let agreed = live.map_or(&none, |live| live.agreed.state());
        let now = &agreed.contracts;
        let is_sure = !is_unsure && live.is_none_or(|live| live.agreed.state().is_whole());
        if is_sure {
            self.transfers.reconcile(self.me, changed, now);
            if live.is_none() {
                self.transfers.drop_unproposed(&Failure::Dropped, |_| false);
            }
            self.transfers.settle_absent(|change, contract| {
                may_count(Some(change), &|state| contract.is_some_and(|id| state.contracts.get(&id).is_some()))
            });
        }
        if live.is_none() {
            // The peer's transfers are over with the channel, however it ended.
            self.transfers.note_missing(now);
        }
        if is_sure || live.is_none() {
            self.transfers.want_left(agreed);
            let may_end =
                |id: &ContractId, end| live.is_some_and(|live| !is_settled && live.outgoing.may_end_otherwise(id, end));
            self.transfers.settle_ended(agreed, |is_such| may_count(None, is_such), may_end);
        }
        let agreed = live.map(|live| live.agreed.state());
        self.transfers.forget_over(agreed, |change, is_such| may_count(Some(change), is_such));
        self.forget_marks();
        if self.transfers.has_changed() {
            step = step.and(Step::commit(Vec::new()));
        }
        step.effects_mut().extend(self.transfers.take_told().into_iter().map(Effect::Transfer));
        step
    }

    /// Forgets what is known of calls of transfers that have no row any more.
    fn forget_marks(&mut self) {
        let (Phase::Open(live) | Phase::Closing(live, _)) = &mut self.phase else { return };
        let marks = live.agreed.marks_mut();
        if !marks.is_empty() {
            marks.retain(|contract| self.transfers.has_row(contract));
        }
    }
}

/// The pre-image of a transfer that this side wants to be paid for and that is not safe on chain.
fn to_register(row: &IncomingTransfer, book: &dyn TransferBook) -> Option<Effect> {
    let Intent::Claim(preimage) = row.intent else { return None };
    let (lock, expiry) = (row.terms.lock, row.terms.expiry);
    let registered = book.registered(&lock);
    let is_open = !registered.is_shown_before(expiry) && !registered.is_silent_at(expiry);
    (is_open && book.is_owed(&row.contract)).then_some(Effect::Register { lock, preimage, expiry })
}

/// Notes what became of own changes that begin or end transfers: their router is told, and nobody else.
fn note_own(transfers: &mut Transfers, effects: &mut Vec<Effect>) {
    forget_ids(transfers, effects);
    let mut strip = |changes: &mut OwnChanges, became: &Became| {
        let ours: BTreeSet<_> =
            changes.ids().iter().copied().filter(|id| transfers.note(*id, became.clone())).collect();
        if !ours.is_empty() {
            *changes = changes.only(|id| !ours.contains(&id));
        }
        changes.is_empty() && !ours.is_empty()
    };
    effects.retain_mut(|effect| {
        let Effect::Deliver { event, .. } = effect else { return true };
        let is_empty = match event {
            Event::Paid { payments, .. } => strip(payments, &Became::Agreed),
            Event::Refused { payments, code } => strip(payments, &Became::from(*code)),
            Event::Dropped { payments } => strip(payments, &Became::Not(Failure::Dropped)),
            Event::Failed { changes, fault } => strip(changes, &Became::Not(Failure::NotMade(*fault))),
            Event::Undone { changes, .. } => strip(changes, &Became::Undone),
            _ => false,
        };
        !is_empty
    });
}

/// What was called because of transfers is told without the ids of changes, which the user does not know.
fn forget_ids(transfers: &mut Transfers, effects: &mut [Effect]) {
    for effect in effects {
        let Effect::Deliver { event, .. } = effect else { continue };
        match event {
            Event::Executed { performed, .. } => {
                for performed in performed.iter_mut() {
                    // What was forced is told of here alone.
                    let is_ours = |id| transfers.is_ours(id) && transfers.note(id, Became::Agreed);
                    if performed.change.is_some_and(is_ours) {
                        performed.change = None;
                    }
                }
            }
            Event::Forcing { changes } => changes.retain(|id| !transfers.is_ours(*id)),
            Event::ForceFailed { changes, .. } => {
                changes.retain(|id| !transfers.note(*id, Became::Not(Failure::Dropped)));
            }
            _ => {}
        }
    }
}
