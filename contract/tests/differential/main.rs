//! Every app three times: native, in the peers' interpreter, and on the real chain; and all three say the same (R7.2).
//!
//! ```text
//!   a life of a contract: init, call, call ...          the same question each time
//!        |--> native code           (Library)
//!        |--> Wasm off chain        (Interpreter)   ==  reply or fault, byte for byte
//!        '--> Wasm on chain         asker.wat: read-only, with the call weight, in a buffer like the arbiter's
//! ```
//!
//! An app is added with a line in [`subjects::all`]. `DIFFERENTIAL_CALLS` sets how many calls of each are compared.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod asker;
mod code;
#[allow(dead_code, unused_imports, reason = "shared with the tests of the arbiter, which use all of it")]
#[path = "../arbiter/harness/mod.rs"]
mod harness;
mod subjects;
mod weight;

use crate::{asker::OnChain, subjects::Subject};
use interpreter::{Interpreter, Library};
use proptest::{
    prelude::*,
    strategy::{NewTree, ValueTree},
    test_runner::{Config, TestRng, TestRunner},
};
use protocol::{
    ChannelId, Hash, Party,
    contracts::{AppContext, AppReply, Apps, CallFault, ContractId, MAX_STATE, NativeApps},
    terms::CallWeight,
};
use std::collections::BTreeMap;

/// How many calls of each app are compared.
const CALLS: usize = 2_500;
/// How many calls one contract lives at most.
const LIFE: usize = 12;

type Answer = Result<AppReply, CallFault>;

/// Draws values, the same in every run.
pub(crate) struct Dice(TestRunner);

impl Dice {
    pub(crate) fn new() -> Self {
        let rng = TestRng::deterministic_rng(Config::default().rng_algorithm);
        Self(TestRunner::new_with_rng(Config::default(), rng))
    }

    pub(crate) fn draw<S: Strategy>(&mut self, strategy: &S) -> S::Value {
        let tree: NewTree<S> = strategy.new_tree(&mut self.0);
        tree.unwrap().current()
    }
}

/// An app in its three forms.
pub(crate) struct Trio {
    pub(crate) code: Hash,
    pub(crate) wasm: Vec<u8>,
    library: Library,
    pub(crate) chain: OnChain,
}

impl Trio {
    pub(crate) async fn new(subject: &Subject) -> Self {
        let wasm = harness::built(subject.wasm);
        let interpreter = Interpreter::new(CallWeight::STANDARD);
        let code = subject.add(&interpreter, &wasm);
        let mut native = NativeApps::new();
        native.register_as(code, subject.init, subject.call);
        let chain = OnChain::deploy(&wasm).await;
        assert_eq!(chain.code_hash().await, code, "the chain knows the code of {} by another hash", subject.wasm);
        Self { code, wasm, library: Library::new(interpreter).with_native(native), chain }
    }

    async fn init(&self, context: &AppContext, input: &[u8]) -> [Answer; 3] {
        let question = asker::init(context, input);
        [
            self.library.init(&self.code, context, input),
            self.library.interpreter().init(&self.code, context, input),
            self.chain.ask(CallWeight::STANDARD, &question).await,
        ]
    }

    async fn call(&self, context: &AppContext, state: &[u8], input: &[u8]) -> [Answer; 3] {
        let question = asker::call(context, state, input);
        [
            self.library.call(&self.code, context, state, input),
            self.library.interpreter().call(&self.code, context, state, input),
            self.chain.ask(CallWeight::STANDARD, &question).await,
        ]
    }
}

/// Anything that an app can be told of its surroundings; small numbers, so that they mean something to each other.
pub(crate) fn contexts() -> impl Strategy<Value = AppContext> {
    let amount = || prop_oneof![8 => 0..200u128, 1 => any::<u128>()];
    let height = prop_oneof![8 => 0..200u32, 1 => any::<u32>()];
    (any::<bool>(), any::<u64>(), prop_oneof![4 => Just(0), 1 => amount()], amount(), height).prop_map(
        |(initiator, round, value, held, height)| AppContext {
            channel: ChannelId([1; 32]),
            contract: ContractId([2; 32]),
            round,
            caller: if initiator { Party::Initiator } else { Party::Responder },
            value,
            balance: value.saturating_add(held),
            height,
        },
    )
}

#[tokio::test]
async fn native_code_the_interpreter_and_the_chain_answer_alike() {
    let calls = std::env::var("DIFFERENTIAL_CALLS").map_or(CALLS, |calls| calls.parse().unwrap());
    let mut dice = Dice::new();
    for subject in subjects::all() {
        let trio = Trio::new(&subject).await;
        let mut met = BTreeMap::<String, usize>::new();
        let mut state = None;
        for number in 0..calls {
            let mut context = dice.draw(&contexts());
            let fresh = state.is_none() || number % LIFE == 0;
            // Now and then a state that the app never made.
            let given = if dice.draw(&(0..16u8)) == 0 {
                dice.draw(&subjects::bytes())
            } else {
                state.clone().unwrap_or_default()
            };
            let (input, answers) = if fresh {
                let input = dice.draw(&subject.first);
                // As a rule the coins add up, or little would ever begin.
                if dice.draw(&(0..8u8)) > 0 {
                    context.balance = (subject.holds)(&input).unwrap_or(context.balance);
                    context.value = context.balance;
                }
                let answers = trio.init(&context, &input).await;
                (input, answers)
            } else {
                let input = dice.draw(&subject.next);
                let answers = trio.call(&context, &given, &input).await;
                (input, answers)
            };
            let [native, interpreted, on_chain] = answers;
            let which = || format!("{} with {context:?}, new: {fresh}, state {given:?}, input {input:?}", subject.wasm);
            assert_eq!(interpreted, on_chain, "interpreted and on chain: {}", which());
            assert_eq!(native, interpreted, "native and interpreted: {}", which());
            let kind = match &interpreted {
                Ok(Ok(_)) => "an outcome".to_owned(),
                Ok(Err(_)) => "the app's own error".to_owned(),
                Err(fault) => fault.to_string(),
            };
            *met.entry(kind).or_default() += 1;
            if let Ok(Ok(outcome)) = interpreted {
                // With a longer one nobody calls the app.
                state = Some(outcome.state).filter(|state| state.len() <= MAX_STATE).or(state);
            }
        }
        println!("{}: {calls} calls, {met:?}", subject.wasm);
        assert!(
            met.get("an outcome").is_some_and(|&count| count > calls / 20),
            "{met:?} says little about {}",
            subject.wasm
        );
    }
}
