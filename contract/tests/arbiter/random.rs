//! The real contract against the rules in memory, over random sequences of calls: same answer or same refusal, same records and
//! vaults, same payouts and events, and never less in the arbiter than it owes.

use crate::{
    harness::{self, *},
    script::{self, App, Apps, Script, Step, Turn, Who},
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner},
};
use protocol::{call::Call, crypto::SigningKey};
use std::collections::BTreeSet;

/// Sequences in one test, and steps in a sequence.
const SEQUENCES: u32 = 2;
const STEPS: usize = 80;
/// How many of the messages a test must have seen succeed.
const MESSAGES: usize = 10;

impl From<Who> for Actor {
    fn from(who: Who) -> Self {
        match who {
            Who::Initiator => Self::Initiator,
            Who::Responder => Self::Responder,
            Who::Delegate => Self::InitiatorsDelegate,
            Who::Stranger => Self::Stranger,
        }
    }
}

/// What the sequences of one test tried.
#[derive(Default)]
struct Tried {
    calls: usize,
    accepted: BTreeSet<&'static str>,
}

async fn play(base: &World, steps: &[Step], tried: &mut Tried) {
    let mut world = base.fork().await;
    let app = |deployed: harness::apps::Deployed| App { account: deployed.account, code: deployed.code };
    let apps = Apps { counter: app(world.apps.counter), escrow: app(world.apps.escrow) };
    let mut script = Script::new(world.domain(), Who::ALL.map(|who| Actor::from(who).id()), apps);
    for step in steps {
        match script.turn(step, &world.ledger, world.now()) {
            Turn::Wait(blocks) => world.travel_to(world.now() + blocks).await,
            Turn::Call(who, call, attached) => {
                tried.calls += 1;
                if world.accept_or_refuse(who.into(), &call, attached).await.is_ok() {
                    let _new = tried.accepted.insert(call.name());
                }
            }
        }
    }
}

/// An arbiter in which both parties have filled the vaults whose keys a script signs with.
async fn funded() -> World {
    let mut world = World::deployed().await;
    for (who, seed) in [(Actor::Initiator, 1), (Actor::Responder, 2)] {
        let key = SigningKey::from_seed(&[seed; 32]).public();
        let _done = world.accept(who, &Call::VaultDeposit { key }, VAULT).await;
    }
    world
}

/// Each seed is a test of its own, so that they run side by side. What fails is made smaller before it is shown.
fn compare(seed: u8) -> Tried {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let base = runtime.block_on(funded());
    let config = Config { cases: SEQUENCES, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]));
    let tried = std::cell::RefCell::new(Tried::default());
    let outcome = runner.run(&prop::collection::vec(script::step(), STEPS), |steps| -> TestCaseResult {
        runtime.block_on(play(&base, &steps, &mut tried.borrow_mut()));
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    tried.into_inner()
}

macro_rules! seeds {
    ($($name:ident = $seed:literal),* $(,)?) => {$(
        #[test]
        fn $name() {
            let tried = compare($seed);
            println!("{} calls; accepted: {:?}", tried.calls, tried.accepted);
            // Nearly every message must have got further than its refusals.
            assert!(tried.calls >= 100 && tried.accepted.len() >= MESSAGES, "choose another seed");
        }
    )*};
}

seeds! {
    the_contract_does_what_the_rules_say_in_random_lives_of_channels = 3,
    the_contract_does_what_the_rules_say_in_other_random_lives = 10,
    the_contract_does_what_the_rules_say_in_yet_other_random_lives = 11,
    the_contract_does_what_the_rules_say_in_still_other_random_lives = 12,
}
