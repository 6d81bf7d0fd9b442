//! What the honest party remembers, and what it does about what it sees on chain (R6.1a, R6.5, R6.6a, R6.9, R7.6a).

use super::{
    Channel, Content, OnChain, Signed,
    arbiter::{On, Tx},
    content::Offered,
};
use protocol::{
    Amount, Base, BlockNumber, Party, Round,
    record::{Penalty, Phase, Record},
};

/// How the honest party keeps to the rules, or does not, to see that the model would notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Habit {
    /// As it should.
    #[default]
    Keeps,
    /// Takes an answer for agreed at once, though its base is older than a forced step (against R7.6a).
    TrustsLateAnswers,
    /// Takes an answer for agreed at once, though the channel is closing (against R7.6a).
    TrustsAnswersToAClose,
    /// Claims, and shows its agreed round with the claim, though it may be executed after the deadline and come to nothing.
    ClaimsLate,
    /// Goes on with an old store and takes answers before it has looked at the chain (against R6.6a).
    AnswersBeforeLooking,
    /// Acts on an old store as on a new one (against R6.6a).
    TrustsOldStores,
}

/// The newest agreed state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Agreed {
    /// What the chain had when the party last looked, or when the channel began.
    OnChain(Base, Content),
    /// A round that both signed, and that is newer.
    Round(Signed),
}

impl Agreed {
    /// The base of what goes on from it.
    #[must_use]
    pub const fn base(&self) -> Base {
        match self {
            Self::OnChain(at, _) => *at,
            Self::Round(signed) => Base::of(signed.round),
        }
    }

    /// What it says.
    #[must_use]
    pub const fn content(&self) -> Content {
        match self {
            Self::OnChain(_, content) => *content,
            Self::Round(signed) => signed.content,
        }
    }
}

/// A round that the party has signed, and that its peer has not answered, or too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unanswered {
    /// The round.
    pub signed: Signed,
    /// Whether it refuses another.
    pub is_counter_round: bool,
    /// Whether it was answered once a close had been seen, or a forced step that its base does not include (R7.6a).
    pub late_answer: bool,
}

/// All that the honest party knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Memory {
    /// The newest agreed state.
    pub agreed: Agreed,
    /// The newest co-signed round that was agreed, on chain or not.
    pub co_signed: Option<Signed>,
    /// Its own open rounds.
    pub open: Vec<Unanswered>,
    /// What it has committed and not sent: it stopped in between.
    pub unsent: Option<Signed>,
    /// The highest number that it has signed or seen.
    pub top: Round,
    /// The highest mark on chain when it last looked.
    pub mark: Base,
    /// The operation that its signature lives on.
    pub operation: Option<Signed>,
    /// Whether it saw the channel closing.
    pub saw_close: bool,
    /// Whether it has begun to claim what is offered.
    pub claims: bool,
    /// What it has submitted, and for how many blocks.
    pub pending: Option<(Tx, BlockNumber)>,
    /// For how many whole blocks it has not looked.
    pub unlooked: BlockNumber,
    /// Whether its store is an old one (R6.6).
    pub is_old: bool,
}

impl Memory {
    pub(crate) fn new(at: Base, content: Content) -> Self {
        Self {
            agreed: Agreed::OnChain(at, content),
            co_signed: None,
            open: Vec::new(),
            unsent: None,
            top: at.round(),
            mark: Base::default(),
            operation: None,
            saw_close: false,
            claims: false,
            pending: None,
            unlooked: 0,
            is_old: false,
        }
    }

    /// The least that the party has reason to expect: its newest agreed state, or one of its own open rounds.
    pub(crate) fn guarantee(&self) -> Amount {
        let open = self.open.iter().map(|open| open.signed.content.own).min();
        self.agreed.content().own.min(open.unwrap_or(Amount::MAX))
    }

    /// Whether it may sign something: nothing of its own on the way to the chain, no close, no operation, nothing left to send.
    pub(crate) fn may_sign(&self) -> bool {
        let claiming = self.claims && self.agreed.content().offered == Offered::Open;
        let acting = matches!(self.pending, Some((Tx::Take(_) | Tx::Close(_), _)));
        !(claiming || acting || self.saw_close || self.is_old) && self.operation.is_none() && self.unsent.is_none()
    }

    /// The first round of `party`'s above this one.
    pub(crate) fn next(party: Party, above: Round) -> Round {
        let next = above.saturating_add(1);
        if Party::owner_of(next) == party { next } else { next.saturating_add(1) }
    }

    /// Its peer has answered an open round.
    pub(crate) fn on_answer(&mut self, answered: Signed, habit: Habit) {
        let forced = answered.base < self.mark && habit != Habit::TrustsLateAnswers;
        let closing = self.saw_close && habit != Habit::TrustsAnswersToAClose;
        if forced || closing {
            let late = self.open.iter_mut().filter(|open| open.signed == answered);
            late.for_each(|open| open.late_answer = true);
        } else {
            self.agree(answered);
        }
    }

    /// A round is agreed: what lies below it is dead.
    pub(crate) fn agree(&mut self, signed: Signed) {
        self.agreed = Agreed::Round(signed);
        self.co_signed = Some(signed);
        self.open.retain(|open| open.signed.round > signed.round);
    }

    /// Looks at the chain at the end of block `now`. Whether an agreed round has become unusable, which must not be; and what it might submit:
    /// each of these is as good as the others, none only where that is one of them.
    pub(crate) fn look(&mut self, model: &Channel, chain: &OnChain, now: BlockNumber) -> (bool, Vec<Option<Tx>>) {
        self.unlooked = 0;
        let Some(record) = &chain.record else { return (false, vec![None]) };
        let next = now.saturating_add(1);
        let at = record.on_chain.at;
        self.saw_close |= record.phase != Phase::Open;
        self.mark = record.on_chain.maturity.highest();
        self.top = self.top.max(at.round());
        let is_over = |operation: &Signed| {
            let expired = operation.operation.is_none_or(|last| now >= last);
            expired || at.agreed >= operation.round || record.phase != Phase::Open
        };
        self.operation = self.operation.take_if(|operation| !is_over(operation));

        let (mut unusable, mut show) = (false, None);
        match self.agreed {
            Agreed::Round(round) if round.round > at.agreed && !chain.is_residual() => {
                if round.is_newer(record, next) {
                    show = Some(round);
                } else {
                    unusable = true;
                    self.agreed = Agreed::OnChain(at, chain.content);
                }
            }
            _ => self.agreed = Agreed::OnChain(at, chain.content),
        }
        let floor = record.on_chain.maturity.floor(next, record.terms.lock_period);
        self.open.retain(|open| open.signed.round > at.agreed && open.signed.base >= floor);
        if self.pending.is_some() {
            return (unusable, vec![None]);
        }
        (unusable, self.wants(model, record, chain, show, next))
    }

    fn wants(
        &self,
        model: &Channel,
        record: &Record,
        chain: &OnChain,
        show: Option<Signed>,
        next: BlockNumber,
    ) -> Vec<Option<Tx>> {
        let scenario = &model.scenario;
        let old = self.is_old && scenario.habit != Habit::TrustsOldStores;
        let on = |shown: Option<Signed>| shown.map_or(On::Chain(record.on_chain.at), On::Shown);
        let content = show.map_or(chain.content, |shown| shown.content);
        let is_closing = record.closing().is_ok();
        let answer = |shown| if is_closing { Tx::Slash(shown) } else { Tx::Snapshot(shown) };

        let quota = show.is_some() || record.forced_steps[scenario.honest] < record.terms.max_forced;
        let can_claim = content.offered == Offered::Open && scenario.is_in_time(next) && quota && !old;
        let claim = can_claim.then(|| Tx::Take(on(show)));
        if let Some(claim) = claim.filter(|_| self.claims) {
            let mut all = vec![Some(claim)];
            // Nothing that was answered late goes before a claim: it may come to nothing as well.
            let repeats = |tx: &Tx| matches!(tx, Tx::Take(_));
            all.extend(self.late(model, record, chain, next).filter(repeats).map(Some));
            return all;
        }
        let mut all = Vec::new();
        all.extend(claim.filter(|_| scenario.claims_from <= next).map(Some));
        if record.phase == Phase::Open && scenario.leaves && !old {
            all.push(Some(Tx::Close(on(show))));
        }
        all.extend(self.late(model, record, chain, next).map(Some));
        let unlocked = record.closing().is_ok_and(|closing| next >= closing.unlock_at);
        all.push(show.map(answer).or(unlocked.then_some(Tx::Settle)));
        all
    }

    /// Rounds that were answered late may be shown, but not in place of its own claim unless the claim is repeated with it (R7.6a).
    fn late<'a>(
        &'a self,
        model: &'a Channel,
        record: &'a Record,
        chain: &'a OnChain,
        next: BlockNumber,
    ) -> impl Iterator<Item = Tx> + 'a {
        let (scenario, closing) = (&model.scenario, record.closing().ok());
        let honest = scenario.honest;
        let old = self.is_old && scenario.habit != Habit::TrustsOldStores;
        let late = self.open.iter().filter(move |open| open.late_answer && scenario.shows_late && !old);
        let shown = late.map(|open| open.signed).filter(move |shown| {
            let convicts = |penalty: Penalty| penalty.shown(shown.round, shown.base) == Penalty::Due(honest);
            shown.is_newer(record, next) && !closing.is_some_and(|closing| convicts(closing.penalty))
        });
        shown.filter_map(move |shown| {
            let replaces_claim = chain.content.offered == Offered::Taken && shown.content.offered == Offered::Open;
            let claims = shown.content.offered == Offered::Open && self.claims;
            match (replaces_claim || claims, closing) {
                (true, _) => scenario.is_in_time(next).then_some(Tx::Take(On::Shown(shown))),
                (false, Some(_)) => Some(Tx::Slash(shown)),
                (false, None) => Some(Tx::Snapshot(shown)),
            }
        })
    }
}
