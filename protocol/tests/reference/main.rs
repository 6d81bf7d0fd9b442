//! The arbiter against a second one: a slow and simple model, written from the rules' text, that keeps everything in plain maps and shares
//! no rule with the code. For every call of random lives of channels, both must give the same records, payouts, events and refusals.
//!
//! | file | what it is |
//! |---|---|
//! | `model` | the arbiter's messages, in the order of their checks |
//! | `channel` | one channel: what is co-signed, what is forced, what waits |
//! | `forced` | forced steps |
//! | `inside` | contracts and their calls |
//! | `tree` | roots by definition, and what a proof says |
//! | `proofs` | proofs rewritten in every way, held against both |
//! | `signed` | who signed what |

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs, unreachable_pub)]

#[path = "../support/apps.rs"]
mod apps;
mod channel;
mod forced;
mod inside;
mod model;
mod proofs;
#[path = "../support/script.rs"]
mod script;
mod signed;
mod tree;

use inside::Inside;
use model::{Arbiter, Report};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use protocol::{
    AccountId, Amount, BlockNumber, Hash,
    arbiter::{Applied, CallContext, Ledger},
    call::Call,
    crypto::SigningKey,
    record::Record,
    signing::Domain,
};
use script::{LIMITS, Script, State, Step, Turn, UNIT, Who};
use std::collections::BTreeMap;

const ACCOUNTS: [AccountId; 4] = [AccountId([11; 32]), AccountId([22; 32]), AccountId([33; 32]), AccountId([44; 32])];
const DOMAIN: Domain = Domain { genesis: Hash([1; 32]), arbiter: AccountId([2; 32]) };
const APPS: script::Apps = script::Apps {
    counter: script::App { account: apps::COUNTER.account, code: apps::COUNTER.code },
    escrow: script::App { account: apps::ESCROW.account, code: apps::ESCROW.code },
};
/// Sequences of calls in one test, and steps in a sequence.
const SEQUENCES: usize = 1_000;
const STEPS: usize = 80;

/// What the sequences of one test came to, by the name of the message and the outcome's.
type Tally = BTreeMap<(&'static str, String), usize>;

/// Small amounts do not reach the responder's account: some payouts go to its vault instead.
fn accepts(to: &AccountId, amount: Amount) -> bool {
    *to != ACCOUNTS[1] || amount >= 2 * UNIT
}

fn play(steps: &[Step], tally: &mut Tally) {
    let mut ledger = Ledger { deployed: apps::deployed(), apps: apps::native(), ..Ledger::default() };
    let mut model = Arbiter::new(DOMAIN, LIMITS, apps::deployed(), apps::native());
    let mut script = Script::new(DOMAIN, ACCOUNTS, APPS);
    let mut now = 1;
    for who in [Who::Initiator, Who::Responder] {
        let seed = if who == Who::Initiator { 1 } else { 2 };
        let key = SigningKey::from_seed(&[seed; 32]).public();
        let _accepted = compare(&mut ledger, &mut model, now, who, Call::VaultDeposit { key }, 60 * UNIT);
    }
    for step in steps {
        now += 1;
        match script.turn(step, &ledger, now) {
            Turn::Wait(blocks) => now += blocks,
            Turn::Call(who, call, attached) => {
                let name = call.name();
                for State { balances, contracts, calls_root } in script.new_states() {
                    let contracts = contracts.iter().map(|(id, contract)| (*id, contract.clone())).collect();
                    model.learn(Inside { balances, contracts, calls_root });
                }
                let outcome = compare(&mut ledger, &mut model, now, who, *call, attached);
                *tally.entry((name, outcome)).or_default() += 1;
            }
        }
    }
}

/// Makes one call of both, and holds everything together.
fn compare(
    ledger: &mut Ledger,
    model: &mut Arbiter,
    now: BlockNumber,
    who: Who,
    call: Call,
    attached: Amount,
) -> String {
    let caller = ACCOUNTS[Who::ALL.iter().position(|other| *other == who).unwrap()];
    let ctx = CallContext { domain: DOMAIN, limits: LIMITS, now, caller };
    let predicted = model.judge(now, caller, &call, attached, &accepts);
    let shown = format!("{call:?} by {who:?} in {now}");
    let done = ledger.apply(&ctx, call, attached, &accepts);
    let outcome = match &done {
        Ok(_) => "accepted".to_owned(),
        Err(rejection) => format!("{rejection:?}").chars().take_while(|letter| letter.is_alphanumeric()).collect(),
    };
    let done = done.map(|Applied { events, batch, paid_out, preimages, vaults: _ }| Report {
        events,
        batch,
        paid_out,
        preimages,
    });
    assert_eq!(predicted, done, "the model says the first, the rules the second of {shown}");
    assert_eq!(model.coins, ledger.vaults, "after {shown}");
    assert_eq!(model.nonces, ledger.nonces, "after {shown}");
    assert_eq!(model.preimages, ledger.preimages, "after {shown}");
    let records: BTreeMap<_, Record> = model.channels.iter().map(|(id, channel)| (*id, channel.record())).collect();
    assert_eq!(records, ledger.channels, "after {shown}");
    outcome
}

/// Plays the seed's sequences. What fails is made smaller before it is shown.
fn agree(seed: u8) {
    let mut runner = TestRunner::new_with_rng(
        ProptestConfig {
            failure_persistence: None,
            max_shrink_iters: 200,
            ..ProptestConfig::with_cases(SEQUENCES as u32)
        },
        TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]),
    );
    let mut tally = Tally::new();
    let lives = prop::collection::vec(script::step(), STEPS);
    for _ in 0..SEQUENCES {
        let mut life = lives.new_tree(&mut runner).unwrap();
        let steps = life.current();
        let mut these = Tally::new();
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(&steps, &mut these))).is_err() {
            let shrunk = shrink(&mut life);
            play(&shrunk, &mut Tally::new());
        }
        these.into_iter().for_each(|(key, count)| *tally.entry(key).or_default() += count);
    }
    let calls: usize = tally.values().sum();
    let kinds = tally.keys().map(|(_, outcome)| outcome).collect::<std::collections::BTreeSet<_>>();
    println!("{SEQUENCES} sequences, {calls} calls, {} outcomes of {} kinds", tally.len(), kinds.len());
    for ((name, outcome), count) in &tally {
        println!("{count:7} {name} {outcome}");
    }
    let accepted = tally.keys().filter(|(_, outcome)| outcome == "accepted").count();
    assert_eq!(accepted, Call::NAMES.len(), "every message succeeds in some sequence");
    assert!(kinds.len() >= 36, "{kinds:?}");
}

/// The shortest sequence found in which they still disagree.
fn shrink(life: &mut impl ValueTree<Value = Vec<Step>>) -> Vec<Step> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut smallest = life.current();
    for _ in 0..400 {
        let fails = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(&life.current(), &mut Tally::new())));
        let goes_on = if fails.is_err() {
            smallest = life.current();
            life.simplify()
        } else {
            life.complicate()
        };
        if !goes_on {
            break;
        }
    }
    std::panic::set_hook(hook);
    smallest
}

#[test]
fn the_rules_and_the_model_agree_on_random_lives_of_channels() {
    agree(1);
}

#[test]
fn the_rules_and_the_model_agree_on_other_random_lives() {
    agree(2);
}
