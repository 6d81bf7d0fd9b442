//! Two machines, a simulated chain, a link that breaks and stores that lag: the bytes say what happens, then everything is allowed to
//! finish. Coins conserved, each payment once, nobody below its last co-signed state, both agreed or closed: `channel/tests/harness/script.rs`.

#![no_main]
#![allow(dead_code, unused_imports, reason = "shared with the tests, which use more of it")]

#[path = "../../channel/tests/harness/mod.rs"]
mod harness;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| harness::script::play(bytes));
