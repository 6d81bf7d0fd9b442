//! The life of one channel: an honest party that signs, looks and acts as the rules say, and a peer that does anything else.
//!
//! ```text
//!   block n   Signing                         Executing                                        end of block
//!             propose, countersign,           the peer's transactions in any order,            the honest party looks,
//!             counter-round, operation,  -->  the honest party's somewhere among them,    -->  at every W-th block at least,
//!             answers late or never           D blocks after its look at the latest            and submits; or sleeps
//! ```
//!
//! Bounded are the rounds that are signed and the size of a forced step. Time is not: moments that differ in the block number alone are one
//! ([`Moment`]), so that where a search ends it has seen all times, but for scenarios with a deadline or a measurement.

mod arbiter;
mod content;
mod memory;
mod moment;
mod scenario;
mod signed;

pub use arbiter::{On, OnChain, Tx};
pub(crate) use content::Offer;
pub use content::{Content, Offered};
pub use memory::{Agreed, Habit, Memory, Unanswered};
pub use moment::{Faults, Moment, Stage};
pub use scenario::{Scenario, disputes, scenarios};
pub use signed::Signed;

use arbiter::owes;
use content::{Roots, TOTAL};
use protocol::{
    Amount, Base, BlockNumber, Hash, Pair, Party, Round,
    crypto::Native,
    record::{Penalty, Phase, Record},
};
use stateright::{Model, Property};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// What the honest party has at first; a payment moves one coin.
const FIRST: Content = Content { own: 10, offered: Offered::Taken };

/// One step in a channel's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The honest party signs; and whether that leaves before its process stops.
    Sign(Sign, bool),
    /// What it had committed before it stopped leaves at last.
    Resend,
    /// Its peer answers an open round.
    Answer(Signed),
    /// The honest party's store is copied.
    Backup,
    /// The honest party goes on with the copy.
    Restore,
    /// The block is made from here on.
    Execute,
    /// A transaction of the peer's.
    Peer(Tx),
    /// The honest party's transaction.
    Own,
    /// The block ends, and the honest party does not look.
    Sleep,
    /// The block ends, the honest party looks and chooses this of what it may submit.
    Look(usize),
}

/// What the honest party may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sign {
    /// Its own proposal: it pays a coin.
    Payment,
    /// Its peer's proposal, by which it gains a coin.
    Countersign,
    /// A counter-round, by which it refuses its peer's proposal.
    Refusal,
    /// An operation, before its peer does.
    Operation,
}

/// All that can happen to a channel.
#[derive(Debug)]
pub struct Channel {
    /// Its terms and the bounds of the search.
    pub scenario: Scenario,
    roots: Roots,
    longest_seen: AtomicU32,
}

impl Channel {
    /// The lives of this channel.
    #[must_use]
    pub fn of(scenario: Scenario) -> Self {
        let roots = Roots::of(&scenario);
        Self { scenario, roots, longest_seen: AtomicU32::new(0) }
    }

    /// From the close to the settlement, in the longest dispute that was seen.
    #[must_use]
    pub fn longest_seen(&self) -> BlockNumber {
        self.longest_seen.load(Ordering::Relaxed)
    }

    fn first(&self) -> Moment {
        let scenario = &self.scenario;
        let content = match scenario.deadline {
            Some(_) => Content { offered: Offered::Open, ..FIRST },
            None => FIRST,
        };
        let hash = self.roots.commitment(scenario.honest, content, Hash::ZERO).hash(&Native);
        let record = Record {
            terms: scenario.terms(),
            total: TOTAL,
            on_chain: protocol::record::OnChain::agreed(1, hash),
            forced_steps: Pair::default(),
            phase: Phase::Open,
        };
        let chain = OnChain { record: Some(Arc::new(record)), content, calls_root: Hash::ZERO };
        let mut moment = Moment::new(scenario, chain, Memory::new(Base::of(1), content));
        // The peer had more in the round before the last, and less in the others.
        for before in 1..=u64::from(scenario.history) {
            let last = before == u64::from(scenario.history);
            let own = if last || before % 2 == 1 { content.own } else { content.own.saturating_sub(2) };
            let signed = Signed::state(before.saturating_add(1), Base::of(before), Content { own, ..content });
            moment.memory.agree(signed);
            moment.memory.top = signed.round;
            moment.hand.push(signed);
        }
        moment
    }

    fn signs(&self, moment: &Moment, actions: &mut Vec<Action>) {
        let (scenario, memory) = (&self.scenario, &moment.memory);
        if memory.unsent.is_some() {
            actions.push(Action::Resend);
        }
        if moment.rounds_left > 0 && memory.may_sign() {
            let base = memory.agreed.base();
            let proposed = memory.open.iter().any(|open| open.signed.base == base);
            let refused = memory.open.iter().any(|open| open.signed.base == base && open.is_counter_round);
            let signs = [
                (!proposed).then_some(Sign::Payment),
                Some(Sign::Countersign),
                (!refused).then_some(Sign::Refusal),
                (scenario.operations && memory.open.is_empty()).then_some(Sign::Operation),
            ];
            for sign in signs.into_iter().flatten() {
                actions.push(Action::Sign(sign, true));
                if scenario.stops {
                    actions.push(Action::Sign(sign, false));
                }
            }
        }
        for open in memory.open.iter().filter(|open| !open.late_answer && memory.unsent != Some(open.signed)) {
            // What lies below the agreed round is dead.
            if open.signed.round > memory.agreed.base().agreed {
                actions.push(Action::Answer(open.signed));
            }
        }
        if scenario.restores {
            match &moment.backup {
                None => actions.push(Action::Backup),
                Some(_) if !memory.is_old => actions.push(Action::Restore),
                Some(_) => {}
            }
        }
    }

    fn executes(&self, moment: &Moment, actions: &mut Vec<Action>) {
        let (scenario, memory) = (&self.scenario, &moment.memory);
        let Some(record) = &moment.chain.record else { return };
        let is_closing = record.closing().is_ok();
        let peer = Action::Peer;
        for shown in &moment.hand {
            actions.push(peer(match shown.operation {
                Some(_) => Tx::Operate(*shown),
                None if is_closing => Tx::Slash(*shown),
                None => Tx::Snapshot(*shown),
            }));
        }
        actions.extend(scenario.stalls.iter().copied().map(Tx::Stall).map(peer));
        if moment.chain.content.offered == Offered::Open && moment.now >= scenario.deadline() {
            actions.push(peer(Tx::Withdraw));
        }
        if record.phase == Phase::Open && scenario.peer_closes {
            actions.push(peer(Tx::Close(On::Chain(record.on_chain.at))));
        }
        if record
            .closing()
            .is_ok_and(|closing| moment.now >= closing.unlock_at || scenario.rules == crate::Rules::NoLock)
        {
            actions.push(peer(Tx::Settle));
        }
        if memory.pending.is_some() {
            actions.push(Action::Own);
        }
        if memory.pending.is_none_or(|(_, age)| age < scenario.include_within) {
            if memory.unlooked.saturating_add(1) < scenario.look_within {
                actions.push(Action::Sleep);
            }
            let (_, choices) = memory.clone().look(self, &moment.chain, moment.now);
            actions.extend((0..choices.len()).map(Action::Look));
        }
    }

    /// What the honest party commits when it signs, and what leaves.
    fn sign(&self, moment: &mut Moment, sign: Sign, leaves: bool) -> Option<()> {
        let honest = self.scenario.honest;
        let memory = &mut moment.memory;
        let (base, content) = (memory.agreed.base(), memory.agreed.content());
        let above = memory.top.max(base.round());
        let more = Content { own: content.own.saturating_add(1), ..content };
        let less = Content { own: content.own.saturating_sub(1), ..content };
        let theirs = Memory::next(honest.peer(), above);
        let unanswered = |signed, is_counter_round| Unanswered { signed, is_counter_round, late_answer: false };
        let signed = match sign {
            Sign::Payment => {
                let signed = Signed::state(Memory::next(honest, above), base, less);
                memory.open.push(unanswered(signed, false));
                signed
            }
            Sign::Countersign => {
                let signed = Signed::state(theirs, base, more);
                memory.agree(signed);
                signed
            }
            Sign::Refusal => {
                let signed = Signed::state(Memory::next(honest, theirs), base, content);
                memory.open.push(unanswered(signed, true));
                signed
            }
            Sign::Operation => {
                let last = moment.now.saturating_add(self.scenario.lock_period);
                let signed = Signed { operation: Some(last), ..Signed::state(theirs, base, content) };
                memory.operation = Some(signed);
                signed
            }
        };
        memory.top = signed.round;
        if leaves {
            moment.hand.push(signed);
        } else {
            memory.unsent = Some(signed);
        }
        if let Some((_, least)) = &mut moment.backup {
            *least = (*least).min(signed.content.own);
        }
        moment.rounds_left = moment.rounds_left.checked_sub(1)?;
        Some(())
    }

    /// A transaction is executed, for whomever.
    fn execute(&self, moment: &mut Moment, party: Party, tx: Tx) -> Option<()> {
        let was_closing = moment.chain.closing().cloned();
        let after = moment.chain.after(self, party, tx, moment.now)?;
        let honest = self.scenario.honest;
        moment.chain = after;
        if tx == Tx::Settle
            && let Some(closing) = was_closing
        {
            self.judge(moment, closing.penalty);
        }
        if moment.closed_at.is_none() && moment.chain.closing().is_some() {
            moment.closed_at = Some(moment.now);
            moment.cheated = self.cheats(moment);
        }
        if party == honest && matches!(tx, Tx::Take(_)) {
            moment.claimed_at = moment.claimed_at.or(Some(moment.now));
        }
        moment.faults.penalised |= owes(&moment.chain, honest);
        Some(())
    }

    /// Whether the peer has closed below a round that it provably holds, as the honest party can show.
    fn cheats(&self, moment: &Moment) -> bool {
        let penalty = moment.chain.closing().map(|closing| closing.penalty);
        let held = moment.memory.co_signed.filter(|_| !moment.memory.is_old);
        let (Some(penalty), Some(held)) = (penalty, held) else { return false };
        let peer = self.scenario.honest.peer();
        penalty != Penalty::Due(peer) && penalty.shown(held.round, held.base) == Penalty::Due(peer)
    }

    /// The channel was settled.
    fn judge(&self, moment: &mut Moment, penalty: Penalty) {
        let (honest, memory) = (self.scenario.honest, &moment.memory);
        let since_backup = moment.backup.as_ref().filter(|_| memory.is_old).map_or(Amount::MAX, |(_, least)| *least);
        moment.faults.underpaid |= moment.chain.content.own < memory.guarantee().min(since_backup);
        moment.faults.let_off |= moment.cheated && penalty != Penalty::Due(honest.peer());
        if let Some(since) = moment.closed_at {
            let _before = self.longest_seen.fetch_max(moment.now.saturating_sub(since), Ordering::Relaxed);
        }
    }

    /// The block ends.
    fn tick(&self, moment: &mut Moment, look: Option<usize>) -> Option<()> {
        let scenario = &self.scenario;
        match look {
            None => moment.memory.unlooked = moment.memory.unlooked.saturating_add(1),
            Some(choice) => {
                let (unusable, choices) = moment.memory.look(self, &moment.chain, moment.now);
                moment.faults.unusable |= unusable;
                if let Some(tx) = *choices.get(choice)? {
                    moment.memory.claims |= matches!(tx, Tx::Take(_));
                    moment.memory.pending = Some((tx, 0));
                }
            }
        }
        if let Some((_, age)) = &mut moment.memory.pending {
            *age = age.saturating_add(1);
        }
        moment.now = moment.now.saturating_add(1);
        moment.stage = Stage::Signing;
        if let (Some(claimed), Some(deadline)) = (moment.claimed_at, scenario.deadline) {
            let in_time = claimed.saturating_add(scenario.margin()) <= deadline;
            // An agreed round in which the claim was made already is as good, since it can be shown.
            let stands = moment.chain.content.offered == Offered::Taken
                || matches!(moment.memory.agreed, Agreed::Round(round) if round.content.offered == Offered::Taken);
            // With an old store a party forces nothing (R6.6a), so that nobody makes its claim again.
            moment.faults.undone |= in_time && moment.now >= deadline && !stands && !moment.memory.is_old;
        }
        if let Some(since) = moment.closed_at.filter(|_| scenario.measures) {
            let lasts = moment.now.saturating_sub(since);
            moment.faults.too_long |= moment.chain.closing().is_some() && lasts > scenario.longest();
        }
        Some(())
    }

    /// Whether nothing more is searched from here.
    #[must_use]
    pub fn has_ended(&self, moment: &Moment) -> bool {
        let claimable = moment.chain.content.offered == Offered::Open && moment.memory.claims;
        let is_over = moment.chain.record.is_none() || moment.chain.is_residual() && !claimable;
        let late = self.scenario.deadline.is_some_and(|deadline| moment.now > deadline.saturating_add(1));
        is_over || late || moment.faults != Faults::default()
    }
}

impl Model for Channel {
    type State = Moment;
    type Action = Action;

    fn init_states(&self) -> Vec<Moment> {
        vec![self.first()]
    }

    fn actions(&self, moment: &Moment, actions: &mut Vec<Action>) {
        if self.has_ended(moment) {
            return;
        }
        match moment.stage {
            Stage::Signing => {
                self.signs(moment, actions);
                actions.push(Action::Execute);
            }
            Stage::Executing => self.executes(moment, actions),
        }
    }

    fn next_state(&self, moment: &Moment, action: Action) -> Option<Moment> {
        let mut after = moment.clone();
        match action {
            Action::Sign(sign, leaves) => self.sign(&mut after, sign, leaves)?,
            Action::Resend => after.hand.push(after.memory.unsent.take()?),
            Action::Answer(signed) => after.memory.on_answer(signed, self.scenario.habit),
            Action::Backup => after.backup = Some((Arc::new(moment.memory.clone()), moment.memory.guarantee())),
            Action::Restore => {
                let (backup, _) = moment.backup.as_ref()?;
                let Memory { pending, unlooked, .. } = moment.memory;
                // Until it has looked, any forced step may have been made.
                let unknown = Base { agreed: Round::MAX, steps: 0 };
                let looks_first = self.scenario.habit != Habit::AnswersBeforeLooking;
                let mark = if looks_first { unknown } else { backup.mark };
                // What it could have proved is lost.
                after.cheated = false;
                after.memory = Memory { pending, unlooked, mark, is_old: true, ..Memory::clone(backup) };
            }
            Action::Execute => after.stage = Stage::Executing,
            Action::Peer(tx) => self.execute(&mut after, self.scenario.honest.peer(), tx)?,
            Action::Own => {
                let (tx, _) = after.memory.pending.take()?;
                // It learns what became of it, and looks again.
                after.memory.unlooked = self.scenario.look_within;
                // What is refused changes nothing.
                let _done = self.execute(&mut after, self.scenario.honest, tx);
            }
            Action::Sleep => self.tick(&mut after, None)?,
            Action::Look(choice) => self.tick(&mut after, Some(choice))?,
        }
        after.prune();
        Some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the honest party is paid what it had agreed to at least", |_: &Self, moment: &Moment| {
                !moment.faults.underpaid
            }),
            Property::always("an honest party never owes the penalty", |_: &Self, moment: &Moment| {
                !moment.faults.penalised
            }),
            Property::always(
                "whoever closes below what it provably held owes the penalty",
                |_: &Self, moment: &Moment| !moment.faults.let_off,
            ),
            Property::always("an agreed round stays usable for whoever looks", |_: &Self, moment: &Moment| {
                !moment.faults.unusable
            }),
            Property::always("a claim in time stands when its deadline has passed", |_: &Self, moment: &Moment| {
                !moment.faults.undone
            }),
            Property::always("no dispute is longer than the longest", |_: &Self, moment: &Moment| {
                !moment.faults.too_long
            }),
            Property::sometimes("a closer owes the penalty", |model: &Self, moment: &Moment| {
                owes(&moment.chain, model.scenario.honest.peer())
            }),
            Property::sometimes("a channel ends", |_: &Self, moment: &Moment| {
                moment.chain.record.is_none() || moment.chain.is_residual()
            }),
            Property::sometimes("an answer comes late", |_: &Self, moment: &Moment| {
                moment.memory.open.iter().any(|open| open.late_answer)
            }),
        ]
    }
}
