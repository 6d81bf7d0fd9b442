//! What goes out on top of what is agreed: own changes as a round (R6.3), the refusal of the peer's (R6.1a), and the question for an operation.

use super::{Live, open_round::OpenRound};
use crate::{
    config::Config,
    effect::Effect,
    error::Misuse,
    event::Event,
    input::Context,
    message::{Message, Refusal, RefusalCode, Update},
    operation::OperationRequest,
    rounds::{first_above, next_round},
    state::{
        Change, ChangeFault, ChangeId, Ids, MAX_META, MAX_REFERENCE, Outcome, Payment, Results, RoundBuilder, State,
        check_code, length,
    },
    step::Step,
};
use protocol::{
    Amount, Base, BlockNumber, Party, Round,
    contracts::{Code, ContractId, MAX_INPUT, Requirement},
    signing::{Domain, signed_bytes},
};
use std::collections::BTreeSet;

/// How many own calls that an app fails on are given up in one turn: what a failed one took is not known, and may be as much as any call may take.
/// The others are tried with the next turn, the next block's at the latest (R7.4a).
const MAX_FAILED_CALLS: usize = 32;

/// What a round is signed for and by.
#[derive(Clone, Copy)]
pub(crate) struct Sign<'a> {
    pub(crate) domain: &'a Domain,
    pub(crate) ctx: &'a Context<'a>,
}

/// The last blocks for which the peer may be asked for something.
#[derive(Clone, Copy)]
pub(crate) struct Latest {
    pub(crate) operation: BlockNumber,
    pub(crate) pledge: BlockNumber,
}

impl Live {
    /// The next round of one's own, where rounds have not run out.
    pub(crate) fn next_round(&self, me: Party) -> Option<Round> {
        let forced_by = self.agreed.forced().map(|forced| forced.by);
        next_round(me, self.agreed.round(), forced_by, self.highest_signed().max(self.operation.asked_up_to()))
    }

    /// Proposes the next round with what waits (R6.3), if something does and nothing is unanswered. What cannot be made on the agreed state is
    /// given up.
    pub(crate) fn propose(&mut self, me: Party, config: &Config, domain: &Domain, ctx: &Context<'_>) -> Step {
        let base = self.agreed.base();
        if self.outgoing.highest_open().is_some() || self.outgoing.queued() == 0 || !self.outgoing.may_sign_on(base) {
            return Step::default();
        }
        let Some(round) = self.next_round(me) else { return Step::default() };
        let height = ctx.head.max(self.agreed.height());
        let mut step = Step::default();
        let mut failed_calls: usize = 0;
        loop {
            if self.outgoing.queued() == 0 || failed_calls >= MAX_FAILED_CALLS {
                return step;
            }
            let mut builder =
                RoundBuilder::new(self.round_context(me, round, height, config, ctx), self.agreed.state());
            let mut count: usize = 0;
            let mut fault = None;
            for change in self.outgoing.next_changes() {
                if let Err(why) = builder.make(change) {
                    fault = Some(why);
                    break;
                }
                count = count.saturating_add(1);
            }
            let (changes, state, results) = match (count, fault, builder.finish()) {
                (1.., _, Ok((state, results))) => (self.outgoing.unqueue(me, count), state, results),
                // The first one cannot be made: the peer's rounds or the clock have overtaken it.
                (_, fault, finished) => {
                    let Some(fault) = fault.or(finished.err()) else { return step };
                    failed_calls = failed_calls.saturating_add(usize::from(matches!(fault, ChangeFault::Call(_))));
                    let changes = self.outgoing.unqueue(me, 1).iter().collect();
                    step = step.and(Step::tell([Event::Failed { changes, fault }]));
                    continue;
                }
            };
            let (ids, changes): (Vec<_>, Vec<_>) = changes.into_iter().unzip();
            let place = (round, base, height);
            let ours = self.sign_round(place, None, changes, (state, results, ids), Sign { domain, ctx });
            let say = Effect::Send(Message::Update(ours.update().clone()));
            self.outgoing.set_proposal(ours);
            return step.and(Step::commit(vec![say]));
        }
    }

    /// Refuses a round of the peer's by a counter-round above it (R6.1a). None where nothing may be signed now.
    pub(crate) fn counter(
        &mut self,
        me: Party,
        refusal: Refusal,
        config: &Config,
        domain: &Domain,
        ctx: &Context<'_>,
    ) -> Option<Effect> {
        let base = self.agreed.base();
        let is_bound = self.operation.is_signed() || self.open_pledge().is_some();
        if self.outgoing.has_counter() || is_bound || !self.outgoing.may_sign_on(base) {
            return None;
        }
        let highest =
            refusal.round.max(self.agreed.round()).max(self.highest_signed()).max(self.operation.asked_up_to());
        let round = first_above(me, highest)?;
        let builder =
            RoundBuilder::new(self.round_context(me, round, self.agreed.height(), config, ctx), self.agreed.state());
        let (state, results) = builder.finish().ok()?;
        let place = (round, base, self.agreed.height());
        let ours =
            self.sign_round(place, Some(refusal), Vec::new(), (state, results, Vec::new()), Sign { domain, ctx });
        let say = Effect::Send(Message::Update(ours.update().clone()));
        self.outgoing.set_counter(ours);
        Some(say)
    }

    pub(super) fn sign_round(
        &self,
        (round, base, height): (Round, Base, BlockNumber),
        refuses: Option<Refusal>,
        changes: Vec<Change>,
        (state, results, ids): (State, Results, Vec<ChangeId>),
        Sign { domain, ctx }: Sign<'_>,
    ) -> OpenRound {
        let state_hash = state.hash();
        let body = Self::body(round, base, state_hash);
        let signature = ctx.key.sign(&signed_bytes(domain, &self.funding.channel(), &body));
        let update = Update { round, base, height, refuses, changes, state_hash, signature };
        OpenRound::new(update, state, results, ids.into_iter().collect()).above(self.may_be_undone())
    }

    /// The own changes in what is agreed of whose round another one, or a forced step, may take the place.
    fn may_be_undone(&self) -> Ids {
        let (made, last) = (self.outgoing.made(), self.agreed.made());
        if made.is_empty() {
            return last.clone();
        }
        let all: BTreeSet<ChangeId> = made.into_iter().chain(last.iter()).collect();
        all.into_iter().collect()
    }

    /// Asks the peer for what the user wants, or an own offer needs, if nothing is unanswered: for something that lasts until this block at most.
    pub(crate) fn ask(&mut self, me: Party, latest: Latest, config: &Config, ctx: &Context<'_>) -> Step {
        if self.outgoing.highest_open().is_some() {
            return Step::default();
        }
        let (round, base) = (self.next_round(me), self.agreed.base());
        let Some(request) = self.operation.to_be_asked() else { return Step::default() };
        if matches!(request, OperationRequest::Pledge { until, .. } if *until > latest.pledge) {
            // Other transfers are nearer to their expiry than it lasts (R8.3f).
            return Step::default();
        }
        let Some(context) = round.map(|round| self.round_context(me, round, self.agreed.height(), config, ctx)) else {
            return Step::default();
        };
        if let Some(fault) = request.fault(context, self.agreed.state()) {
            let changes = self.outgoing.unqueue(me, 1).iter().collect();
            self.want_pledge();
            return Step::tell([Event::Failed { changes, fault }]);
        }
        let body = request.body(context, self.agreed.state(), self.funding.terms(), (base, latest.operation));
        let Some(body) = body else {
            // It was checked when it came, and what has come since only adds to the own balance; but the peer's may have grown too far.
            let failed = self.operation.give_up_unsigned(RefusalCode::VALIDATION);
            return Step::tell(failed);
        };
        let created = Effect::Send(body.created());
        self.operation.ask(body);
        Step::commit(vec![created])
    }

    /// Whether the user may have these changes wait for the next round.
    pub(crate) fn check_changes(
        &self,
        me: Party,
        changes: &[Change],
        config: &Config,
        ctx: &Context<'_>,
    ) -> Result<(), Misuse> {
        let available = self.spendable(me);
        let max = usize::try_from(config.max_queued).unwrap_or(usize::MAX);
        let amount = changes.iter().map(|change| change.takes(me)).fold(0, Amount::saturating_add);
        self.store.check()?;
        if changes.is_empty() {
            return Err(Misuse::NoChanges);
        }
        changes.iter().try_for_each(|change| self.check_change(change, ctx))?;
        if amount > available {
            Err(Misuse::InsufficientBalance { amount, available })
        } else if !self.wish.is_none() {
            Err(Misuse::AlreadyClosing)
        } else if changes.len() > max.saturating_sub(self.outgoing.queued()) {
            Err(Misuse::QueueFull { max })
        } else if self.next_round(me).is_none() {
            Err(Misuse::RoundsExhausted)
        } else {
            Ok(())
        }
    }

    /// What can be told of one change before its turn comes.
    fn check_change(&self, change: &Change, ctx: &Context<'_>) -> Result<(), Misuse> {
        let input = |input: &[u8]| match input.len() <= MAX_INPUT {
            true => Ok(()),
            false => Err(Misuse::Change(ChangeFault::Call(protocol::contracts::CallFault::TooLarge))),
        };
        let code = |code: &Code| check_code(code, ctx.apps).map_err(Misuse::Change);
        let known = |id: &ContractId| {
            let proposed = self.outgoing.proposal().is_some_and(|ours| ours.state().contracts.get(id).is_some());
            let known = proposed || self.agreed.state().contracts.get(id).is_some();
            if known { Ok(()) } else { Err(Misuse::ContractUnknown(*id)) }
        };
        match change {
            Change::Transfer(payment) if payment.amount == 0 => Err(Misuse::AmountZero),
            Change::Transfer(Payment { reference, .. }) if reference.len() > MAX_REFERENCE => {
                Err(Misuse::ReferenceTooLong { got: reference.len(), max: MAX_REFERENCE })
            }
            Change::Transfer(_) => Ok(()),
            Change::CreateContract(creation) => code(&creation.code).and_then(|()| input(&creation.input)),
            Change::CallContract { contract, input: words, .. } => known(contract).and_then(|()| input(words)),
            Change::RemoveContract { contract, .. } => known(contract),
            Change::UpgradeContract { contract, code: new, .. } => known(contract).and_then(|()| code(new)),
            Change::Meta(words) if words.len() > MAX_META => {
                Err(Misuse::Change(ChangeFault::MetaTooLong { got: length(words) }))
            }
            Change::Meta(_) => Ok(()),
            Change::Offer(offer) | Change::PaidOffer { offer, .. } => {
                offer.check().map_err(Misuse::Change)?;
                offer.calls.locking.iter().try_for_each(|call| known(&call.contract))
            }
            // They are made by commands of their own, which keep a row of each.
            Change::Claim { contract, .. } | Change::Fail { contract, .. } | Change::Refund { contract, .. } => {
                known(contract)
            }
        }
    }

    /// A round on top of what is proposed, or agreed.
    fn next_builder<'a>(&'a self, me: Party, config: &Config, ctx: &'a Context<'a>) -> RoundBuilder<'a> {
        let before = self.outgoing.proposal().map_or_else(|| self.agreed.state(), OpenRound::state);
        let round = self.next_round(me).unwrap_or(Round::MAX);
        let height = ctx.head.max(self.agreed.height());
        RoundBuilder::new(self.round_context(me, round, height, config, ctx), before)
    }

    /// Whether these changes could be made, one after the other, were their turn next: what they require of hash locks, by their places.
    ///
    /// # Errors
    /// The place of the first that could not, and why.
    pub(crate) fn try_changes(
        &self,
        me: Party,
        changes: &[Change],
        config: &Config,
        ctx: &Context<'_>,
    ) -> Result<Vec<(u32, Requirement)>, (usize, ChangeFault)> {
        let mut builder = self.next_builder(me, config, ctx);
        for (place, change) in changes.iter().enumerate() {
            builder.make(change).map_err(|fault| (place, fault))?;
        }
        Ok(builder.requirements().to_vec())
    }

    /// What a change would do, were its turn next.
    pub(crate) fn try_change(
        &self,
        me: Party,
        change: &Change,
        config: &Config,
        ctx: &Context<'_>,
    ) -> Result<Option<Outcome>, ChangeFault> {
        let mut builder = self.next_builder(me, config, ctx);
        builder.make(change)?;
        let (_state, results) = builder.finish()?;
        Ok(results.into_iter().next().map(|(_, outcome)| outcome))
    }
}
