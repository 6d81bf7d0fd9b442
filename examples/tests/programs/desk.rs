//! The exchange desk, which needs no node.

use std::process::Command;

#[test]
fn the_desk_swaps_for_its_customer_at_its_rate() {
    let output = Command::new(env!("CARGO_BIN_EXE_exchange_desk")).output().unwrap();
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{log}");
    // Three swaps: 650,000 for 1,625,000, of which the last one is more than the desk has for it.
    assert!(said.contains("the customer has 750000 on the first chain, 635000 on the second"), "{said}{log}");
}
