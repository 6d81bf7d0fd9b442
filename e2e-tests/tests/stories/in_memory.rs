//! The stories that are told on the embedded chain, told on the one in memory: whoever tests on it sees what a real chain would show.

use e2e_tests::World;
use sdk::chain::testing::MemoryChain;

async fn world() -> Option<World<MemoryChain>> {
    Some(World::in_memory().await.with_program(env!("CARGO_BIN_EXE_e2e-peer")))
}

e2e_tests::tell_every_story!(crate::in_memory::world);
