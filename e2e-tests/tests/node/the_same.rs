//! The stories that are told on the embedded chain too.

use crate::world;
use e2e_tests::stories;

macro_rules! told_on_a_node {
    ($($story:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $story() {
            if let Some(world) = world().await {
                stories::$story(&world).await;
            }
        })*
    };
}

told_on_a_node! {
    a_channel_is_opened_paid_through_both_ways_and_closed_and_every_coin_is_accounted_for
    a_close_on_an_old_state_is_slashed_by_the_node_itself_and_costs_the_penalty
    a_close_alone_on_the_latest_state_is_settled_after_the_lock_period
    both_deposit_and_withdraw_while_the_channel_is_open_and_no_coin_is_lost
    a_node_that_was_away_while_its_peer_closed_on_an_old_state_slashes_when_it_is_back
}
