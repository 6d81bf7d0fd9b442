//! What a call of an app costs a peer: as Wasm and as native code, next to one check of a signature, which every round takes too.
//!
//! ```sh
//! cargo bench --profile dev --package ink-state-channels-interpreter
//! ```
//!
//! It needs the counter's Wasm (`cargo xtask contract --package counter`); the native form stands below, since the app itself brings all
//! of ink! with it.

use criterion::{Criterion, criterion_group, criterion_main};
use ed25519_dalek::{Signer, SigningKey};
use interpreter::{Interpreter, Library};
use protocol::{
    Amount, ChannelId, Hash, Pair, Party,
    contracts::{App, AppContext, Apps, ContractId, NativeApps},
    terms::CallWeight,
};
use scale::{Decode, Encode};
use std::{
    hint::black_box,
    path::PathBuf,
    time::{Duration, Instant},
};

/// The logic of `apps/counter`.
struct Counter;

#[derive(Encode, Decode)]
struct State {
    count: u64,
    goal: u64,
}

impl App for Counter {
    type State = State;
    type Creation = u64;
    type Input = u64;
    type Output = u64;
    type Error = ();

    fn init(_context: &AppContext, goal: u64) -> Result<State, ()> {
        if goal == 0 { Err(()) } else { Ok(State { count: 0, goal }) }
    }

    fn call(context: &AppContext, state: &mut State, increment: u64) -> Result<(Pair<Amount>, u64), ()> {
        let count = state.count.checked_add(increment).filter(|&count| increment > 0 && count <= state.goal);
        state.count = count.ok_or(())?;
        let mut payouts = Pair::default();
        if state.count == state.goal {
            payouts[context.caller] = context.balance;
        }
        Ok((payouts, state.count))
    }
}

const CONTEXT: AppContext = AppContext {
    channel: ChannelId([1; 32]),
    contract: ContractId([2; 32]),
    round: 7,
    caller: Party::Responder,
    value: 5,
    balance: 50,
    height: 9,
};

/// Something to be measured.
type Work<'a> = (&'static str, Box<dyn Fn() + 'a>);

fn calls(criterion: &mut Criterion) {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/contract");
    let folder = std::env::var_os("CONTRACTS_DIR").map_or_else(|| PathBuf::from(default), PathBuf::from);
    let wasm = std::fs::read(folder.join("counter.wasm")).expect("cargo xtask contract --package counter");
    let interpreter = Interpreter::new(CallWeight::STANDARD);
    let code = interpreter.add(&wasm).expect("an app");
    let mut native = NativeApps::new();
    native.register::<Counter>(code);
    let library = Library::new(interpreter).with_native(native);
    let (state, input) = ((3u64, 9u64).encode(), 2u64.encode());
    assert_eq!(call(&library, &code, &state, &input), call(library.interpreter(), &code, &state, &input));

    let key = SigningKey::from_bytes(&[7; 32]);
    let message = [1; 200];
    let (signature, public) = (key.sign(&message), key.verifying_key());
    let works: [Work<'_>; 4] = [
        ("ed25519 check", Box::new(|| public.verify_strict(black_box(&message), &signature).expect("good"))),
        ("native call", Box::new(|| drop(call(&library, &code, &state, &input)))),
        ("interpreted call", Box::new(|| drop(call(library.interpreter(), &code, &state, &input)))),
        ("checking and compiling code", Box::new(|| drop(Interpreter::new(CallWeight::STANDARD).add(&wasm)))),
    ];
    let mut group = criterion.benchmark_group("counter");
    for (name, work) in &works {
        let _group = group.bench_function(*name, |bencher| bencher.iter(work));
    }
    group.finish();

    // All in turn, so that a machine that is busy for a while is so for all of them.
    let mut taken = [Duration::ZERO; 4];
    for _ in 0..100 {
        for ((_, work), taken) in works.iter().zip(&mut taken) {
            let start = Instant::now();
            for _ in 0..10 {
                work();
            }
            *taken = taken.saturating_add(start.elapsed());
        }
    }
    let [check, ..] = taken;
    for ((name, _), taken) in works.iter().zip(taken) {
        println!("{name:<28} {:>9.2} us   {:>7.3} checks", taken.as_secs_f64() * 1e3, taken.div_duration_f64(check));
    }
}

fn call(apps: &dyn Apps, code: &Hash, state: &[u8], input: &[u8]) -> Vec<u8> {
    let answer = apps.call(black_box(code), &CONTEXT, black_box(state), black_box(input));
    answer.expect("no fault").expect("no refusal").output
}

criterion_group!(benches, calls);
criterion_main!(benches);
