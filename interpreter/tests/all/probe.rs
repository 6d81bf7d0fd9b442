//! The contract that chains are asked for their prices with.

use interpreter::{
    ChainCosts, PerByte,
    probe::{CODE, Trial},
};

/// `UPDATE_PROBE=1` makes the Wasm anew.
#[test]
fn the_probe_is_made_of_its_text() {
    let made = wat::parse_file("src/probe/probe.wat").unwrap();
    if std::env::var_os("UPDATE_PROBE").is_some() {
        std::fs::write("src/probe/probe.wasm", &made).unwrap();
    }
    assert_eq!(made, std::fs::read("src/probe/probe.wasm").unwrap());
}

fn dearer(change: impl Fn(&mut ChainCosts)) -> [bool; 5] {
    let mut costs = ChainCosts::CONTRACTS_NODE;
    change(&mut costs);
    let price = |trial: &Trial, costs| trial.price(costs).unwrap();
    Trial::all().map(|trial| price(&trial, costs) > price(&trial, ChainCosts::CONTRACTS_NODE))
}

#[test]
fn no_price_can_change_unseen() {
    assert!(!CODE.is_empty());
    assert_eq!(dearer(|costs| costs.fuel += 1), [true; 5]);
    assert_eq!(dearer(|costs| costs.host_call += 1), [false, true, true, true, true]);
    let byte = |price: &mut PerByte| price.byte += 1;
    let base = |price: &mut PerByte| price.base += 1;
    assert_eq!(dearer(|costs| base(&mut costs.input)), [false, true, false, false, false]);
    assert_eq!(dearer(|costs| byte(&mut costs.input)), [false, true, false, false, false]);
    assert_eq!(dearer(|costs| costs.value_transferred += 1), [false, false, true, false, false]);
    assert_eq!(dearer(|costs| base(&mut costs.answer)), [false, false, false, true, true]);
    assert_eq!(dearer(|costs| byte(&mut costs.answer)), [false, false, false, false, true]);
}
