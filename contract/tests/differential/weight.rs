//! A call runs out of its weight off chain exactly where it does on chain.

use crate::{Answer, Dice, Trio, asker, contexts, subjects};
use interpreter::Interpreter;
use protocol::{
    contracts::{AppContext, Apps, CallFault},
    terms::CallWeight,
};
use scale::Encode;

/// What one call says.
struct Question<'a> {
    trio: &'a Trio,
    context: AppContext,
    state: Vec<u8>,
    input: Vec<u8>,
}

const fn limit(ref_time: u64) -> CallWeight {
    CallWeight { ref_time, ..CallWeight::STANDARD }
}

impl Question<'_> {
    async fn on_chain(&self, ref_time: u64) -> Answer {
        let question = asker::call(&self.context, &self.state, &self.input);
        self.trio.chain.ask(limit(ref_time), &question).await
    }

    fn off_chain(&self, ref_time: u64) -> Answer {
        let interpreter = Interpreter::new(limit(ref_time));
        let code = interpreter.add_with_any_imports_for_test_only(&self.trio.wasm).unwrap();
        interpreter.call(&code, &self.context, &self.state, &self.input)
    }

    /// The least with which the call goes through on chain.
    async fn least(&self) -> u64 {
        let (mut too_little, mut enough) = (0, CallWeight::STANDARD.ref_time);
        assert!(self.on_chain(enough).await.is_ok());
        while enough - too_little > 1 {
            let middle = too_little + (enough - too_little) / 2;
            if self.on_chain(middle).await.is_ok() {
                enough = middle;
            } else {
                too_little = middle;
            }
        }
        enough
    }
}

#[tokio::test]
async fn the_least_weight_that_a_call_needs_is_the_same_off_chain_to_the_picosecond() {
    let mut dice = Dice::new();
    let hostile_input = |input: hostile::Input| (vec![1, 2, 3], input.encode());
    let cases = [
        (
            "counter",
            vec![
                ((0u64, 9u64).encode(), 3u64.encode()),
                ((0u64, 9u64).encode(), 9u64.encode()),
                (vec![1], vec![2; 8_000]),
            ],
        ),
        ("escrow", vec![((5u128, 6u128, 90u32).encode(), escrow::Input::Move(4).encode()), (vec![9; 16_000], vec![])]),
        (
            "hostile",
            vec![
                hostile_input(hostile::Input::Behave),
                hostile_input(hostile::Input::State(16_384)),
                hostile_input(hostile::Input::Output(40_000)),
                hostile_input(hostile::Input::Work(1_000)),
                hostile_input(hostile::Input::Work(1_000_000)),
            ],
        ),
    ];
    let all = subjects::all();
    for (wasm, questions) in cases {
        let subject = all.iter().find(|subject| subject.wasm == wasm).unwrap();
        let trio = Trio::new(subject).await;
        for (state, input) in questions {
            let question = Question { trio: &trio, context: dice.draw(&contexts()), state, input };
            let least = question.least().await;
            assert_eq!(question.off_chain(least), question.on_chain(least).await, "{wasm} with {least} ps");
            assert_eq!(question.off_chain(least - 1), Err(CallFault::Failed), "{wasm} with {least} ps less one");
            // Not only at the edge: less is never enough, and more always is.
            for _ in 0..20 {
                let ref_time = dice.draw(&(1..least.saturating_mul(2)));
                assert_eq!(
                    question.off_chain(ref_time),
                    question.on_chain(ref_time).await,
                    "{wasm} with {ref_time} ps"
                );
            }
            println!(
                "{wasm}: {} bytes of state, {} of input need {least} ps",
                question.state.len(),
                question.input.len()
            );
        }
    }
}
