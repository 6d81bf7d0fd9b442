//! The state machine that is searched, and what must hold everywhere in it.

use crate::{
    Move, Scenario, World,
    honest::{has_ended, must_register, wants},
};
use protocol::{
    Party,
    record::{Penalty, Phase},
};
use stateright::{Model, Property};

/// One step of a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The honest party submits what it wants, having seen everything so far.
    Submit,
    /// What it submitted is executed, or refused where it comes too late.
    Include,
    /// It submits the pre-image of the conditional transfer.
    SubmitPreimage,
    /// The pre-image comes on chain.
    IncludePreimage,
    /// Its peer does something that the arbiter allows.
    Malicious(Move),
    /// A block passes.
    Tick,
}

/// All that can happen in a scenario.
#[derive(Clone, Debug)]
pub struct Dispute {
    /// About what, and between whom.
    pub scenario: Scenario,
    moves: Vec<Move>,
}

impl Dispute {
    /// The disputes of a scenario.
    #[must_use]
    pub fn of(scenario: Scenario) -> Self {
        let states = 0..scenario.states().len();
        let places = || std::iter::once(None).chain(states.clone().map(Some));
        let calls = &scenario.calls;
        let forced = places().flat_map(|place| calls.iter().map(move |calls| Move::Force(place, *calls)));
        let moves = (places().map(Move::Close))
            .chain(states.clone().map(Move::Slash))
            .chain(states.clone().map(Move::Snapshot))
            .chain(forced)
            .chain([Move::Settle])
            .collect();
        Self { scenario, moves }
    }

    fn peer(&self) -> Party {
        self.scenario.honest.peer()
    }
}

impl Model for Dispute {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.scenario)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        // What the peer does afterwards is its own affair: all that the honest party is due is paid out.
        if world.now > self.scenario.horizon() || has_ended(&self.scenario, world) {
            return;
        }
        // What is refused changes nothing, so trying it is no step.
        let peer = self.peer();
        let allowed = |made: &Move| world.with(&self.scenario, peer, *made).is_some();
        let wanted = wants(&self.scenario, world).is_some();
        let is_over =
            !wanted && !matches!(&world.record, Some(record) if !matches!(record.phase, Phase::Residual { .. }));
        actions.extend(self.moves.iter().filter(|_| !is_over).copied().filter(allowed).map(Action::Malicious));
        match world.pending {
            Some(_) => actions.push(Action::Include),
            None if wanted => actions.push(Action::Submit),
            None => {}
        }
        let must_register = must_register(&self.scenario, world);
        match world.registering {
            Some(_) => actions.push(Action::IncludePreimage),
            None if must_register => actions.push(Action::SubmitPreimage),
            None => {}
        }
        // Blocks pass only where nothing is overdue.
        let late = |age: u32| age >= self.scenario.delay;
        let is_idle = world.pending.map_or(!wanted, |(_, age)| !late(age))
            && world.registering.map_or(!must_register, |age| !late(age));
        if is_idle {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let scenario = &self.scenario;
        match action {
            Action::Malicious(made) => world.with(scenario, self.peer(), made),
            Action::Submit => Some(World { pending: wants(scenario, world).map(|made| (made, 0)), ..world.clone() }),
            Action::Include => {
                let (made, _) = world.pending?;
                let seen = World { pending: None, ..world.clone() };
                Some(match seen.with(scenario, scenario.honest, made) {
                    Some(after) => after,
                    None => World { outrun: true, ..seen },
                })
            }
            Action::SubmitPreimage => Some(World { registering: Some(0), ..world.clone() }),
            Action::IncludePreimage => {
                World { registering: None, ..world.clone() }.with(scenario, scenario.honest, Move::Register)
            }
            Action::Tick => Some(World {
                now: world.now.saturating_add(1),
                registering: world.registering.map(|age| age.saturating_add(1)),
                pending: world.pending.map(|(made, age)| (made, age.saturating_add(1))),
                ..world.clone()
            }),
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("coins are neither made nor lost", |model: &Self, world: &World| {
                world.coins() == World::new(&model.scenario).coins()
            }),
            Property::always("in the end the honest party has what it is due", |model: &Self, world: &World| {
                !has_ended(&model.scenario, world)
                    || world.paid[model.scenario.honest] >= model.scenario.due(world.proposal_shown)
            }),
            Property::always("every dispute ends in time", |model: &Self, world: &World| {
                world.now < model.scenario.horizon() || has_ended(&model.scenario, world)
            }),
            Property::always("until it has ended something can happen", |model: &Self, world: &World| {
                let mut actions = Vec::new();
                model.actions(world, &mut actions);
                !actions.is_empty() || has_ended(&model.scenario, world)
            }),
            Property::always("locks restart only so often", |model: &Self, world: &World| {
                world.locks <= model.scenario.most_locks()
            }),
            Property::always("an honest closer never owes the penalty", |model: &Self, world: &World| {
                let honest = model.scenario.honest;
                !matches!(&world.record, Some(record) if matches!(&record.phase,
                    Phase::Closing(closing) if closing.penalty == Penalty::Due(honest)))
            }),
            Property::sometimes("a transaction of the honest party is outrun", |_: &Self, world: &World| world.outrun),
            Property::sometimes("a dispute ends", |model: &Self, world: &World| has_ended(&model.scenario, world)),
            Property::sometimes("a closer owes the penalty", |model: &Self, world: &World| {
                let peer = model.scenario.honest.peer();
                matches!(&world.record, Some(record) if matches!(&record.phase,
                    Phase::Closing(closing) if closing.penalty == Penalty::Due(peer)))
            }),
        ]
    }
}
