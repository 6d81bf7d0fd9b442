//! Stories that hold on every chain: told on the embedded one and in memory in seconds, and on a real node.
//!
//! Each is a function of a [`World`](crate::World), and each stands in the list below: what is in it is told wherever all of them are.

pub mod accounts;
pub mod apps;
pub mod contracts;
pub mod crashes;
pub mod disputes;
pub mod flood;
pub mod hub;
pub mod life;
pub mod many;
pub mod registry;
pub mod swap;
pub mod titles;

/// Makes a test of every story. `$world` is a function that makes a new world, or answers none where the stories are to be skipped.
#[macro_export]
macro_rules! tell_every_story {
    ($world:path) => {
        $crate::tell! { $world, life:
            a_channel_is_opened_paid_through_both_ways_and_closed_and_every_coin_is_accounted_for
            both_deposit_and_withdraw_while_the_channel_is_open_and_no_coin_is_lost
            a_withdrawal_pays_whatever_account_its_owner_names
            payouts_go_to_the_vault_or_to_the_account_as_each_party_wants_it
            two_channels_between_the_same_peers_are_opened_at_once_and_live_side_by_side
        }
        $crate::tell! { $world, disputes:
            a_close_alone_on_the_latest_state_is_settled_after_the_lock_period
            a_close_on_an_old_state_is_slashed_by_the_node_itself_and_costs_the_penalty
            a_node_that_was_away_while_its_peer_closed_on_an_old_state_slashes_when_it_is_back
            a_delegate_slashes_for_a_party_that_is_away_and_nobody_else_may
        }
        $crate::tell! { $world, contracts:
            both_call_a_contract_and_whoever_reaches_the_goal_has_its_coins
            a_silent_peer_is_overtaken_on_chain_and_on_its_return_both_go_on_without_closing
            calls_that_the_peer_leaves_unanswered_are_forced_by_themselves
            what_contracts_hold_at_the_end_is_to_be_had_by_force
            a_step_forced_while_closing_restarts_the_lock_and_is_settled_with_the_rest
            a_delegate_calls_for_a_party_that_is_away_where_it_may_and_a_defender_may_not
        }
        $crate::tell! { $world, hub:
            a_payment_crosses_a_hub_and_is_made_once
            a_payment_that_is_held_too_long_goes_back_and_every_channel_stays_open
            a_payment_that_nobody_decides_about_goes_back_by_itself_and_every_channel_stays_open
            an_invoice_of_another_chain_or_arbiter_is_refused_and_nothing_is_paid
            a_payee_that_vanishes_after_showing_its_pre_image_costs_the_hub_nothing
            a_hub_that_goes_away_with_payments_under_way_ends_them_when_it_is_back
        }
        $crate::tell! { $world, flood:
            a_peer_whose_claims_all_come_due_together_costs_a_hub_no_more_than_the_peer_has_at_risk
            a_peer_whose_claims_all_come_due_together_gets_no_more_of_them_in_than_the_chain_registers_in_time
        }
        $crate::tell! { $world, registry:
            pre_images_that_wait_are_registered_in_one_call_at_the_price_that_was_told
            a_lock_that_nobody_opens_is_silent_once_its_expiry_is_final
        }
        $crate::tell! { $world, apps:
            a_stream_is_collected_by_force_from_its_first_block_on_and_stopped_when_the_payer_is_back
            an_order_is_taken_by_force_until_its_last_block_and_its_taker_withdraws_alone
            a_hidden_move_that_is_never_shown_loses_both_stakes_at_the_deadline
            a_milestone_is_released_by_force_before_its_deadline_and_refunded_from_it_on
        }
        $crate::tell! { $world, accounts:
            an_ecdsa_account_opens_and_closes_a_channel
            a_wallet_in_another_process_signs_everything_that_a_channel_needs
        }
        $crate::tell! { $world, crashes:
            a_peer_that_is_killed_again_and_again_loses_nothing_that_anybody_was_told_and_pays_nothing_twice
            a_peer_that_is_killed_in_the_middle_of_a_deposit_has_made_it_once_when_it_is_back
            a_payment_with_a_key_is_made_once_wherever_its_payer_is_killed
            two_processes_open_and_pay_and_close_although_each_is_killed_once
            a_process_that_closes_on_an_old_state_loses_the_penalty_to_one_that_is_awake
        }
        $crate::tell! { $world, many:
            a_hub_opens_a_hundred_channels_at_once
        }
    };
}

/// Makes a module of tests, one for each of a theme's stories.
#[macro_export]
macro_rules! tell {
    ($world:path, $theme:ident: $($story:ident)*) => {
        mod $theme {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                if let Some(world) = $world().await {
                    $crate::stories::$theme::$story(&world).await;
                }
            })*
        }
    };
}
