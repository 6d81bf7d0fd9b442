//! Swaps between two chains, in memory and on two embedded chains.

use e2e_tests::{
    World,
    stories::swap::{
        TwoChains, a_responder_that_vanishes_is_paid_when_it_is_back, a_swap_moves_both_legs,
        a_swap_survives_a_crash_of_either_party,
    },
    stories::titles::{a_title_is_swapped_for_coins, a_title_whose_seller_vanishes_moves_by_force_with_the_coins},
};
use network::SwapEvent;
use protocol::Hash;
use sdk::chain::testing::MemoryChain;

async fn in_memory() -> TwoChains<MemoryChain> {
    let first = World::in_memory().await;
    let second = World::in_memory_with(|builder| builder.genesis(Hash([0xb; 32]))).await;
    TwoChains { first, second }
}

#[tokio::test]
async fn both_legs_move() {
    a_swap_moves_both_legs(in_memory().await).await;
}

#[tokio::test]
async fn both_legs_move_on_two_embedded_chains() {
    a_swap_moves_both_legs(TwoChains { first: World::new().await, second: World::another().await }).await;
}

#[tokio::test]
async fn an_initiator_that_crashes_after_it_has_agreed_gets_all_or_nothing() {
    a_swap_survives_a_crash_of_either_party(in_memory().await, true, SwapEvent::Revealed).await;
}

#[tokio::test]
async fn a_responder_that_crashes_when_its_leg_is_locked_gets_all() {
    a_swap_survives_a_crash_of_either_party(in_memory().await, false, SwapEvent::Revealed).await;
}

#[tokio::test]
async fn a_responder_that_vanishes_loses_nothing() {
    a_responder_that_vanishes_is_paid_when_it_is_back(in_memory().await).await;
}

#[tokio::test]
async fn a_title_moves_with_the_leg_that_carries_it_on_two_embedded_chains() {
    a_title_is_swapped_for_coins(TwoChains { first: World::new().await, second: World::another().await }).await;
}

#[tokio::test]
async fn a_title_moves_by_force_with_its_leg_on_two_embedded_chains() {
    let chains = TwoChains { first: World::new().await, second: World::another().await };
    a_title_whose_seller_vanishes_moves_by_force_with_the_coins(chains).await;
}
