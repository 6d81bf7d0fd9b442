//! One swap, played in virtual time with something going wrong in it.

use super::cases::{Case, ChainFault, PeerFault, Step};
use crate::{
    harness::{Flight, Meddling, OTHER, Order, World, assert_coins_are_kept},
    swaps::{GOT, ID, INITIATOR, PAID, PREMIUM, RESPONDER, gained, is_ended, on_two_chains, policy, propose},
};
use ::channel::transfer::{Margins, Progress};
use network::{SwapStage, SwapTerms};
use protocol::{
    BlockNumber,
    contracts::conditional::Preimage,
    crypto::{Crypto, Native},
};
use scale::Encode;

/// The time that passes at once: the least time between blocks.
pub(super) const TICK: u64 = 6_000;
/// The longest time between blocks.
pub(super) const LONGEST: u64 = 12_000;
/// How long the target chain may stand still: `S`.
pub(super) const STALL: u64 = 600_000;
/// How many blocks a transaction waits to get into one: `i`.
pub(super) const INCLUSION: BlockNumber = 5;
/// How many blocks final ones are behind the newest: `f`.
pub(super) const FINALITY: BlockNumber = 3;
/// `Rg = 2 i + f + 2`, and the blocks of an answer: together `M`.
pub(super) const MARGINS: Margins = Margins { register: 2 * INCLUSION + FINALITY + 2, answer: 5 };
/// For how many of the shortest blocks a connection is lost: one less than what `Rg` has beyond `i`.
pub(super) const UNSEEN: u64 = 9;
/// How many times `i` a registration takes where a chain is jammed.
pub(super) const JAM: BlockNumber = 8;
/// After so many ticks everything is over, or never is.
const PATIENCE: usize = 1_200;

/// One way in which a case may go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) order: Order,
    /// The times between blocks of the source chain and of the target chain.
    pub(super) paces: (u64, u64),
    /// Whether each message takes a tick.
    pub(super) is_slow: bool,
    /// After how many more pieces of work than the step needs it goes wrong.
    pub(super) after: usize,
    /// Which message after that is meddled with.
    pub(super) message: usize,
    /// What becomes of the messages of whoever vanishes.
    pub(super) flight: Flight,
    /// After how many ticks whoever has vanished is back.
    pub(super) back: usize,
    /// When the chain's fault begins.
    pub(super) begins: Begins,
    /// For how many ticks nothing that is said arrives, from a chain's fault on.
    pub(super) silence: u64,
}

/// When a chain's fault begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    /// With the step.
    AtOnce,
    /// When the pre-image may have to be registered on the target chain.
    BeforeTarget,
    /// When the pre-image may have to be registered on the source chain.
    BeforeSource,
}

/// What has become of a swap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    pub(super) source_moved: bool,
    pub(super) target_moved: bool,
    pub(super) premium_moved: bool,
    /// What the initiator and the responder have lost of their last agreed states but for the premium; nothing where their losses do not count.
    pub(super) lost: [u128; 2],
    /// Blocks for which coins were locked, of the source and the target chain.
    pub(super) locked: [BlockNumber; 2],
}

impl End {
    /// How bad it is.
    pub(super) const fn badness(&self) -> (u128, bool, BlockNumber, BlockNumber) {
        (self.lost[0] + self.lost[1], self.premium_moved, self.locked[0] + self.locked[1], self.locked[0])
    }
}

/// A swap under way.
struct Play {
    world: World,
    case: Case,
    way: Way,
    terms: SwapTerms,
    /// The first and the last block of each chain in which coins were seen locked.
    locked: [Option<(BlockNumber, BlockNumber)>; 2],
    has_begun: bool,
    /// When the chain's fault is over.
    until: u64,
}

/// Plays a case in one way. None where its step is passed before it can go wrong in this way.
pub(super) fn play(case: Case, way: Way) -> Option<End> {
    let mut play = Play::new(case, way);
    play.reach()?;
    play.go_wrong();
    for tick in 0..PATIENCE {
        play.begin_if_due();
        play.look();
        if play.is_over(tick) {
            return Some(play.end());
        }
        play.world.pass_time(TICK);
        play.time_has_passed(tick);
        play.world.run();
    }
    let stages = [INITIATOR, RESPONDER].map(|node| play.world.nodes[node].router.swap(&ID).map(|swap| swap.stage));
    panic!("{case:?} {way:?} never ends: {stages:?}");
}

fn world() -> World {
    let policies = [false, true].map(|responds| {
        let mut policy = policy(responds);
        policy.chain.margins = MARGINS;
        (policy.chain.inclusion, policy.chain.finality) = (INCLUSION, FINALITY);
        policy
    });
    let mut world = on_two_chains(policies.into());
    for view in [&mut world.view, &mut world.other] {
        (view.finality, view.inclusion, view.clock) = (FINALITY, 1, Some(TICK));
        (view.every, view.next_at) = (TICK, world.now + TICK);
    }
    world.pass_time(TICK);
    world.run();
    world
}

impl Play {
    fn new(case: Case, way: Way) -> Self {
        let mut world = world();
        world.faults.order = way.order;
        world.faults.is_slow = way.is_slow;
        (world.view.every, world.other.every) = way.paces;
        propose(&mut world, ID);
        let terms = world.nodes[INITIATOR].router.swap(&ID).unwrap().terms;
        Self { world, case, way, terms, locked: [None; 2], has_begun: false, until: 0 }
    }

    /// How far the swap is.
    fn step(&self) -> Option<Step> {
        let side = |node: usize, channel| &self.world.nodes[node].store.sides[&channel];
        let learned =
            side(RESPONDER, OTHER).outgoing.values().any(|row| matches!(row.progress, Progress::Fulfilled(_)));
        let agreed = self.world.nodes[RESPONDER].router.swap(&ID).is_some_and(|swap| swap.stage == SwapStage::Agreed);
        if learned || is_ended(&self.world, INITIATOR, ID) {
            Some(Step::Shown)
        } else if !side(INITIATOR, OTHER).incoming.is_empty() {
            Some(Step::BothLocked)
        } else if !side(RESPONDER, 0).incoming.is_empty() {
            Some(Step::SourceLocked)
        } else {
            agreed.then_some(Step::Agreed)
        }
    }

    /// Goes on to the place where it goes wrong.
    fn reach(&mut self) -> Option<()> {
        let mut left = self.way.after;
        for _ in 0..400 {
            self.look();
            let step = self.step();
            if step > Some(self.case.step) {
                return None;
            }
            if step == Some(self.case.step) {
                left = match left.checked_sub(1) {
                    Some(left) => left,
                    None => return Some(()),
                };
            }
            match self.world.next_task() {
                Some((node, channel)) => self.world.step(node, channel),
                None => self.world.pass_time(TICK),
            }
        }
        None
    }

    /// The peer's fault begins.
    fn go_wrong(&mut self) {
        let Some((who, fault)) = self.case.peer else { return };
        let (world, way) = (&mut self.world, self.way);
        match fault {
            PeerFault::Lost => world.faults.meddle = Some((way.message, Meddling::Lose)),
            PeerFault::Repeated => world.faults.meddle = Some((way.message, Meddling::Repeat)),
            PeerFault::Reordered => world.faults.meddle = Some((way.message, Meddling::HoldBack)),
            PeerFault::VanishesAndIsBack | PeerFault::VanishesForGood => world.vanish_with(who, way.flight),
            PeerFault::Crashes => world.crash(who),
            PeerFault::ClosesOldSource => world.close_on_old_state(0),
            PeerFault::ClosesOldTarget => world.close_on_old_state(OTHER),
            PeerFault::Cheats(tamper) => world.faults.tamper = Some((who, tamper)),
            PeerFault::SignsNoClaim => world.faults.signs_no_claim = Some(who),
            PeerFault::ShowsLast => {
                world.vanish_with(who, Flight::WithoutClaims);
                let preimage = Preimage(Native.hash(&(b"isc-swap", &ID.0).encode()).0);
                world.show_in(OTHER, self.terms.target.expiry - 1, who, self.terms.lock, preimage);
            }
        }
    }

    /// The chain's fault begins, where its time has come.
    fn begin_if_due(&mut self) {
        let Some(fault) = self.case.chain.filter(|_| !self.has_begun) else { return };
        let (terms, world) = (self.terms, &mut self.world);
        let is_due = match self.way.begins {
            Begins::AtOnce => true,
            Begins::BeforeTarget => world.other.height + MARGINS.register >= terms.target.expiry,
            Begins::BeforeSource => world.view.height + MARGINS.register >= terms.source.expiry,
        };
        if !is_due {
            return;
        }
        self.has_begun = true;
        world.silence(self.way.silence * TICK);
        let mut until = world.now;
        match fault {
            ChainFault::SourceStalls => world.view.next_at += 3 * STALL,
            ChainFault::TargetStallsWithin => world.other.next_at += STALL,
            ChainFault::TargetStallsLonger => world.other.next_at += 3 * STALL,
            ChainFault::SourceUnseenBy(node) => world.view.blind(node),
            ChainFault::TargetUnseenBy(node) => world.other.blind(node),
            ChainFault::SourceFinality => world.view.frozen = Some(world.view.height - FINALITY),
            ChainFault::TargetFinality => world.other.frozen = Some(world.other.height - FINALITY),
            ChainFault::SourceCongested => world.view.inclusion = INCLUSION,
            ChainFault::SourceJammed => world.view.inclusion = JAM * INCLUSION,
            ChainFault::TargetCongested => world.other.inclusion = INCLUSION,
            ChainFault::TargetJammed => world.other.inclusion = JAM * INCLUSION,
        }
        until += match fault {
            ChainFault::SourceUnseenBy(_) | ChainFault::TargetUnseenBy(_) => UNSEEN * TICK,
            ChainFault::SourceFinality | ChainFault::TargetFinality => STALL,
            _ => 0,
        };
        self.until = until;
    }

    /// What is over after some time.
    fn time_has_passed(&mut self, tick: usize) {
        if let Some((who, PeerFault::VanishesAndIsBack)) = self.case.peer
            && tick + 1 == self.way.back
        {
            self.world.come_back(who);
        }
        if self.has_begun && self.world.now >= self.until {
            for view in [&mut self.world.view, &mut self.world.other] {
                view.frozen = None;
                [INITIATOR, RESPONDER].into_iter().for_each(|node| view.see_again(node));
            }
        }
    }

    /// Notes which coins of whoever is there are locked.
    fn look(&mut self) {
        let heights = [self.world.view.height, self.world.other.height];
        for (chain, channel) in [0, OTHER].into_iter().enumerate() {
            let is_locked = |node: usize| {
                let side = &self.world.nodes[node].store.sides[&channel];
                self.case.counts(node)
                    && (!side.incoming.is_empty() || side.own.values().any(|open| open.end.is_none()))
            };
            if [INITIATOR, RESPONDER].into_iter().any(is_locked) {
                let first = self.locked[chain].map_or(heights[chain], |(first, _)| first);
                self.locked[chain] = Some((first, heights[chain]));
            }
        }
    }

    /// Whether nothing is open any more for whoever counts, and what went wrong is over.
    fn is_over(&self, tick: usize) -> bool {
        let is_back = !matches!(self.case.peer, Some((_, PeerFault::VanishesAndIsBack))) || tick >= self.way.back;
        let is_done = |node: usize| {
            let this = &self.world.nodes[node];
            let mut sides = this.store.sides.values();
            let is_idle =
                sides.all(|side| side.incoming.is_empty() && side.own.values().all(|open| open.end.is_some()));
            !self.case.counts(node) || (is_ended(&self.world, node, ID) && is_idle && this.router.open() == (0, 0))
        };
        is_back && [INITIATOR, RESPONDER].into_iter().all(is_done) && self.world.is_quiet()
    }

    /// What has become of it, and whether the two agree on it.
    fn end(&self) -> End {
        let (world, context) = (&self.world, format!("{:?} {:?}", self.case, self.way));
        let [paid, got, premium] = [PAID, GOT, PREMIUM].map(|amount| i128::try_from(amount).unwrap());
        let mut ends = Vec::new();
        for node in [INITIATOR, RESPONDER].into_iter().filter(|node| self.case.counts(*node)) {
            let sign = if node == INITIATOR { 1 } else { -1 };
            let (source, target) = (sign * gained(world, node, 0), sign * gained(world, node, OTHER));
            // Each leg is both or none.
            assert!([0, -paid].contains(&source), "{context}: node {node} has {source} on the source chain");
            assert!([0, got, -premium].contains(&target), "{context}: node {node} has {target} on the target chain");
            ends.push((node, source != 0, target == got, target == -premium));
        }
        let (_, source_moved, target_moved, premium_moved) = ends[0];
        let mut end = End { source_moved, target_moved, premium_moved, ..End::default() };
        for (node, source, target, premium) in &ends {
            assert_eq!(
                (*source, *target, *premium),
                (source_moved, target_moved, premium_moved),
                "{context}: two ends"
            );
            end.lost[*node] = match (*node, source, target) {
                (INITIATOR, true, false) => PAID,
                (RESPONDER, false, true) => GOT,
                _ => 0,
            };
        }
        if ends.len() == 2 {
            assert_coins_are_kept(world);
        }
        end.locked = self.locked.map(|seen| seen.map_or(0, |(first, last)| last + 1 - first));
        end
    }
}
