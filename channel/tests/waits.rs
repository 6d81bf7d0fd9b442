//! Why a channel stands still, as its status says it.

use crate::harness::{Initiator, LOCK, Responder, World};
use channel::{Acceptance, Certainty, Command, Input, WaitReason};
use protocol::Party;
use std::collections::BTreeSet;

fn waits(world: &World) -> (Option<WaitReason>, Option<WaitReason>) {
    let of = |party: Party| world.sides[party].machine().status().waits_for;
    (of(Initiator), of(Responder))
}

#[test]
fn every_reason_has_a_name_of_its_own() {
    let names: BTreeSet<_> = WaitReason::ALL.into_iter().map(WaitReason::name).collect();
    assert_eq!(names.len(), WaitReason::ALL.len());
    assert_eq!(WaitReason::PendingReview.to_string(), "pending_review");
}

#[test]
fn a_channel_says_what_it_waits_for_until_it_is_open() {
    let mut world = World::new();
    world.open();
    world.run();
    assert_eq!(waits(&world), (Some(WaitReason::Opening), Some(WaitReason::Opening)));
    world.mine();
    world.run();
    assert_eq!(waits(&world), (None, None), "nothing is under way");
}

#[test]
fn a_round_that_is_not_answered_holds_its_proposer_up_and_nobody_else() {
    let mut world = World::opened();
    let _id = world.pay(Initiator, 1).unwrap();
    assert_eq!(waits(&world), (Some(WaitReason::Answer), None));
    world.run();
    assert_eq!(waits(&world), (None, None));
}

#[test]
fn a_round_that_a_user_decides_on_holds_both_up() {
    let mut world = World::new();
    world.sides[Responder].config.acceptance = Acceptance::Manual;
    world.open();
    world.run();
    world.mine();
    world.run();
    let _id = world.pay(Initiator, 1).unwrap();
    world.run();
    assert_eq!(waits(&world), (Some(WaitReason::Answer), Some(WaitReason::PendingReview)));
    let round = world.asked(Responder).unwrap();
    world.accept(Responder, round).unwrap();
    world.run();
    assert_eq!(waits(&world), (None, None));
}

#[test]
fn an_operation_holds_up_until_both_have_seen_it_on_chain() {
    let mut world = World::opened();
    world.deposit(Initiator, 5).unwrap();
    assert_eq!(waits(&world), (Some(WaitReason::OperationAnswer), None));
    world.run();
    assert_eq!(waits(&world), (Some(WaitReason::Operation), Some(WaitReason::Operation)));
    world.mine();
    world.run();
    assert_eq!(waits(&world), (None, None));
}

#[test]
fn a_link_that_is_lost_left_or_new_is_what_is_waited_for() {
    let mut world = World::opened();
    world.command(Initiator, Command::Leave).unwrap();
    assert_eq!(waits(&world), (Some(WaitReason::Leaving), None));
    world.run();
    assert_eq!(waits(&world), (Some(WaitReason::Left), Some(WaitReason::Left)));
    world.disconnect();
    assert_eq!(waits(&world), (Some(WaitReason::Disconnected), Some(WaitReason::Disconnected)));
    world.input(Initiator, Input::LinkUp).unwrap();
    assert_eq!(waits(&world).0, Some(WaitReason::Reestablishing));
}

#[test]
fn a_close_is_waited_for_by_the_way_it_goes() {
    let mut world = World::opened();
    world.shutdown(Initiator, 0).unwrap();
    assert_eq!(waits(&world), (Some(WaitReason::ClosingMutual), None));
    let mut world = World::opened();
    world.input(Responder, Input::User(Command::CloseSolo { certainty: Certainty::OwnStoreIsNewest })).unwrap();
    assert_eq!(waits(&world), (None, Some(WaitReason::ClosingSolo)));
    world.mine();
    assert_eq!(waits(&world), (Some(WaitReason::ClosingOnChain), Some(WaitReason::ClosingOnChain)));
    world.mine_blocks(LOCK + 5);
    assert_eq!(waits(&world), (None, None), "it is over");
}

#[test]
fn a_chain_that_nobody_confirms_and_events_that_nobody_takes_are_told_of() {
    let mut world = World::opened();
    let far = world.sides[Responder].seen + 1_000;
    world.input(Responder, Input::Chain(channel::ChainInput::UnconfirmedHead(far))).unwrap();
    assert_eq!(waits(&world), (None, Some(WaitReason::ChainUnconfirmed)));
    // The peer's round is not agreed to meanwhile, and is said again once the chain is known.
    let _id = world.pay(Initiator, 1).unwrap();
    world.run();
    assert_eq!(waits(&world), (Some(WaitReason::Postponed), Some(WaitReason::ChainUnconfirmed)));
    world.mine();
    world.run();
    assert_eq!(waits(&world), (None, None));
    world.assert_agreed();
}
