//! Which channels are searched, and how far.
//!
//! All of these leave time enough to answer ([`Scenario::can_answer`]).

use super::memory::Habit;
use crate::Rules;
use protocol::{BlockNumber, Party, terms::Terms};

/// The terms of a channel, what its parties may do, and for how long.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it shows.
    pub name: &'static str,
    /// Who keeps to the rules. Its peer does whatever the arbiter and the honest party let it.
    pub honest: Party,
    /// L: the lock period.
    pub lock_period: BlockNumber,
    /// The quota of forced steps.
    pub max_forced: u8,
    /// W: the honest party looks at the chain at the end of every so manieth block at least.
    pub look_within: BlockNumber,
    /// D: its transactions are executed at most so many blocks after the one at whose end it looked.
    pub include_within: BlockNumber,
    /// How many rounds are signed, operations included.
    pub rounds: u8,
    /// Of how many calls a forced step of the peer's may be.
    pub stalls: &'static [u8],
    /// Whether the peer closes.
    pub peer_closes: bool,
    /// Whether the honest party may close, whenever it looks.
    pub leaves: bool,
    /// Whether the peer asks for operations on chain, which the honest party signs first.
    pub operations: bool,
    /// Whether the honest party's process may stop between commit and send.
    pub stops: bool,
    /// Whether the honest party may fall back to an older store, once.
    pub restores: bool,
    /// Whether it shows rounds that were answered late.
    pub shows_late: bool,
    /// The block from which the offer inside can no longer be taken; none where there is no offer.
    pub deadline: Option<BlockNumber>,
    /// The first block in which the honest party may take the offer.
    pub claims_from: BlockNumber,
    /// How many blocks before the deadline the first claim has to be executed to be safe; none for the margin of R5.4b.
    pub margin: Option<BlockNumber>,
    /// How many rounds are agreed at first, and not on chain.
    pub history: u8,
    /// Whether the length of disputes is checked.
    pub measures: bool,
    /// How the honest party keeps to the rules.
    pub habit: Habit,
    /// What judges.
    pub rules: Rules,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "payments",
            honest: Party::Initiator,
            lock_period: 3,
            max_forced: 1,
            look_within: 1,
            include_within: 1,
            rounds: 2,
            stalls: &[1],
            peer_closes: true,
            leaves: true,
            operations: false,
            stops: false,
            restores: false,
            shows_late: false,
            deadline: None,
            claims_from: 1,
            margin: None,
            history: 0,
            measures: false,
            habit: Habit::Keeps,
            rules: Rules::Real,
        }
    }
}

impl Scenario {
    pub(crate) fn deadline(&self) -> BlockNumber {
        self.deadline.unwrap_or(0)
    }

    /// Whether a claim that may be executed from block `next` on is executed before the deadline. Else it would be refused, and what it shows
    /// with it.
    pub(crate) fn is_in_time(&self, next: BlockNumber) -> bool {
        let waits = if self.habit == Habit::ClaimsLate { 0 } else { self.include_within.saturating_sub(1) };
        next.saturating_add(waits) < self.deadline()
    }

    /// The channel's terms.
    #[must_use]
    pub fn terms(&self) -> Terms {
        crate::chain::terms(self.lock_period, self.max_forced, 1)
    }

    /// The margin of R5.4b: `L + max(W, D) + D(1 + max_forced) - 1`. What is on its way when the claim is undone, a repetition of the claim on
    /// another round say, keeps the honest party from making it again for `D`.
    #[must_use]
    pub fn margin(&self) -> BlockNumber {
        let steps = BlockNumber::from(self.max_forced).saturating_add(1);
        let needed = self.lock_period.saturating_add(self.look_within.max(self.include_within));
        let needed = needed.saturating_add(self.include_within.saturating_mul(steps)).saturating_sub(1);
        self.margin.unwrap_or(needed)
    }

    /// The longest dispute: every round that is signed may be open, and the newest agreed one be shown; the honest party settles at the first
    /// look that shows the lock to have run out, and forces one step, if any.
    #[must_use]
    pub fn longest(&self) -> BlockNumber {
        let rounds = u32::from(self.rounds).saturating_add(u32::from(self.history > 0));
        let settle_within = self.look_within.saturating_add(self.include_within).saturating_sub(2);
        self.terms().longest_dispute(u8::from(self.deadline.is_some()), rounds, settle_within)
    }

    /// Whether the lock period leaves time enough to answer: `L >= max(W, D) + D x max(2, max_forced)` (R6.9d). Not only the next look may be
    /// `W` away: a transaction that is on its way keeps the honest party from the next one for `D`.
    #[must_use]
    pub fn can_answer(&self) -> bool {
        let answers = BlockNumber::from(self.max_forced).max(2);
        let until_submitted = self.look_within.max(self.include_within);
        self.lock_period >= until_submitted.saturating_add(self.include_within.saturating_mul(answers))
    }
}

/// The scenarios that are checked: `quick` ones in seconds, the others in minutes.
#[must_use]
pub fn scenarios(quick: bool) -> Vec<Scenario> {
    if quick { quick_ones() } else { deep_ones() }
}

fn quick_ones() -> Vec<Scenario> {
    let one = Scenario { rounds: 1, shows_late: true, ..Scenario::default() };
    let seldom = Scenario { lock_period: 4, look_within: 2, ..one.clone() };
    let slow = Scenario { lock_period: 6, include_within: 2, ..seldom.clone() };
    let offer = Scenario { name: "an offer to take in time", deadline: Some(8), leaves: false, ..one.clone() };
    vec![
        Scenario { rounds: 2, shows_late: true, ..Scenario::default() },
        Scenario { honest: Party::Responder, rounds: 2, ..Scenario::default() },
        Scenario { name: "seldom looks", ..seldom.clone() },
        Scenario { name: "slow inclusion", honest: Party::Responder, ..slow.clone() },
        Scenario { name: "slower inclusion than looks", look_within: 1, ..slow },
        Scenario { name: "a past that is not on chain", history: 2, ..one.clone() },
        Scenario { name: "steps of one call and of three", stalls: &[1, 3], ..one.clone() },
        Scenario { name: "two steps each", max_forced: 2, ..one.clone() },
        Scenario { name: "operations", operations: true, rounds: 2, leaves: false, ..Scenario::default() },
        Scenario { name: "stops between commit and send", stops: true, ..seldom.clone() },
        Scenario { name: "an old store", restores: true, ..one.clone() },
        offer.clone(),
        Scenario { name: "an offer, two steps each", peer_closes: false, deadline: Some(9), max_forced: 2, ..offer },
    ]
}

fn deep_ones() -> Vec<Scenario> {
    let two = Scenario { shows_late: true, ..Scenario::default() };
    let seldom = Scenario { lock_period: 4, look_within: 2, ..two.clone() };
    let slow = Scenario { lock_period: 6, include_within: 2, ..seldom.clone() };
    let offer = Scenario { name: "an offer to take in time", deadline: Some(8), ..two.clone() };
    let open =
        Scenario { name: "an offer, the channel stays open", leaves: false, peer_closes: false, ..offer.clone() };
    let mut all = vec![
        Scenario { name: "three rounds", rounds: 3, ..two.clone() },
        Scenario { name: "three rounds", rounds: 3, honest: Party::Responder, operations: true, ..two.clone() },
        Scenario { name: "everything, slowly", operations: true, stops: true, ..slow.clone() },
        Scenario { name: "a past that is not on chain", history: 3, ..two.clone() },
        Scenario { name: "two steps each, of one call and of three", max_forced: 2, stalls: &[1, 3], ..two.clone() },
        Scenario { name: "an old store", restores: true, ..seldom },
        offer.clone(),
        Scenario { name: "an offer, two steps each", deadline: Some(9), max_forced: 2, ..open.clone() },
        Scenario { name: "an offer, slow inclusion", deadline: Some(14), lock_period: 6, include_within: 2, ..open },
        Scenario { name: "an offer, slowly, and closes", rounds: 1, deadline: Some(14), ..slow },
        Scenario { name: "an offer and an old store", rounds: 1, restores: true, ..offer },
    ];
    all.extend(disputes());
    all
}

/// Scenarios in which the length of disputes is checked, and reached.
#[must_use]
pub fn disputes() -> Vec<Scenario> {
    let one = Scenario { name: "the longest dispute", rounds: 1, leaves: false, measures: true, ..Scenario::default() };
    let slow = Scenario { lock_period: 6, look_within: 2, include_within: 2, ..one.clone() };
    vec![
        Scenario { rounds: 0, ..one.clone() },
        Scenario { rounds: 0, max_forced: 3, lock_period: 4, ..one.clone() },
        Scenario { rounds: 0, deadline: Some(30), ..one.clone() },
        Scenario { honest: Party::Responder, max_forced: 2, shows_late: true, ..one.clone() },
        Scenario { rounds: 2, ..one },
        slow,
    ]
}
