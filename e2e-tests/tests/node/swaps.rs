//! Swaps between two real nodes: of one genesis, with arbiters at different addresses.

use e2e_tests::{
    NodeChain, World,
    stories::swap::{
        TwoChains, a_responder_that_vanishes_is_paid_when_it_is_back, a_swap_moves_both_legs,
        a_swap_survives_a_crash_of_either_party,
    },
    stories::titles::a_title_is_swapped_for_coins,
};
use network::SwapEvent;

async fn two() -> Option<TwoChains<NodeChain>> {
    let (first, second) = (NodeChain::start().await?, NodeChain::start().await?);
    Some(TwoChains { first: World::on(first).await, second: World::salted(second, b"second".to_vec()).await })
}

#[tokio::test]
async fn both_legs_of_a_swap_move() {
    if let Some(chains) = two().await {
        a_swap_moves_both_legs(chains).await;
    }
}

#[tokio::test]
async fn a_swap_survives_a_crash_of_the_responder() {
    if let Some(chains) = two().await {
        a_swap_survives_a_crash_of_either_party(chains, false, SwapEvent::Revealed).await;
    }
}

#[tokio::test]
async fn a_swap_ends_well_for_a_responder_that_vanishes() {
    if let Some(chains) = two().await {
        a_responder_that_vanishes_is_paid_when_it_is_back(chains).await;
    }
}

#[tokio::test]
async fn a_title_is_swapped_for_coins_on_two_real_nodes() {
    if let Some(chains) = two().await {
        a_title_is_swapped_for_coins(chains).await;
    }
}
