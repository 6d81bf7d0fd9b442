//! The apps of this workspace as `cargo xtask contract` built them. Native code and the chain are compared with them in
//! `contract/tests/differential`; here is what peers rely on.

use crate::{CONTEXT, interpreter};
use interpreter::AppRefused;
use protocol::contracts::{AppOutcome, Apps};
use protocol::{Pair, Party};
use scale::Encode;
use std::path::PathBuf;

/// The Wasm of an app; from another folder where `CONTRACTS_DIR` names one.
fn built(package: &str) -> Vec<u8> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/contract");
    let folder = std::env::var_os("CONTRACTS_DIR").map_or_else(|| PathBuf::from(default), PathBuf::from);
    let path = folder.join(format!("{package}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("cannot read {} ({error}): build it with `cargo xtask contract --package {package}`", path.display())
    })
}

#[test]
fn an_app_of_the_kit_counts_and_pays_out() {
    let interpreter = interpreter();
    let code = interpreter.add(&built("counter")).unwrap();
    let begun = interpreter.init(&code, &CONTEXT, &3u64.encode()).unwrap().unwrap();
    let state = (0u64, 3u64).encode();
    assert_eq!(begun, AppOutcome { state: state.clone(), ..AppOutcome::default() });
    let outcome = interpreter.call(&code, &CONTEXT, &state, &3u64.encode()).unwrap().unwrap();
    let mut payouts = Pair::default();
    payouts[Party::Responder] = CONTEXT.balance;
    assert_eq!(outcome, AppOutcome { state: (3u64, 3u64).encode(), payouts, output: 3u64.encode(), requirement: None });
    let refused = interpreter.call(&code, &CONTEXT, &outcome.state, &1u64.encode()).unwrap();
    assert_eq!(refused, Err(vec![0]));
    // What is no input is refused without a word.
    assert_eq!(interpreter.call(&code, &CONTEXT, &outcome.state, &[1]).unwrap(), Err(Vec::new()));
}

#[test]
fn the_hostile_app_is_refused_by_the_first_function_that_it_may_not_have() {
    let refused = interpreter().add(&built("hostile")).unwrap_err();
    assert!(matches!(&refused, AppRefused::ForbiddenImport { module, .. } if module.starts_with("seal")), "{refused}");
}

#[test]
fn the_arbiter_is_no_app() {
    assert!(matches!(interpreter().add(&built("contract")), Err(AppRefused::ForbiddenImport { .. })));
}
