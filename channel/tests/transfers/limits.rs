//! How much may be open, and that one bad item never stops a batch (R8.3b).

use super::*;

#[test]
fn more_than_was_agreed_at_opening_is_not_offered() {
    let limits = TransferLimits { max_open: 2, max_amount: 250, min_amount: 10, max_lock: 100 };
    let mut world = World::opened_with(Responder, |config| config.transfers = limits);
    assert!(matches!(world.offer(Initiator, 1, 9, 20), Err(Misuse::TransferLimits { .. })));
    world.offer(Initiator, 1, 100, 20).unwrap();
    assert!(matches!(world.offer(Initiator, 2, 200, 20), Err(Misuse::TransferLimits { .. })));
    world.offer(Initiator, 2, 100, 20).unwrap();
    assert!(matches!(world.offer(Initiator, 3, 10, 20), Err(Misuse::TransferLimits { .. })));
    world.run();
    world.offer(Responder, 11, 100, 20).unwrap();
    world.run();
    assert_eq!(world.open_transfers(), 3, "each direction has its own");
    world.fail(Responder, 1).unwrap();
    world.run();
    world.offer(Initiator, 3, 10, 20).unwrap();
    world.run();
    assert_eq!(world.open_transfers(), 3);
}

#[test]
fn what_exceeds_the_limits_is_refused_item_by_item_and_the_rest_of_the_batch_is_made() {
    let limits = TransferLimits { max_open: 3, ..TransferLimits::default() };
    let mut world = World::opened_with_wrong_limits(limits);
    for number in 1..=6 {
        world.offer(Initiator, number, 10, 20).unwrap();
    }
    let _id = world.pay(Initiator, 7).unwrap();
    world.run();
    assert_eq!(world.open_transfers(), 3);
    let refused = (1..=6).filter(|number| {
        matches!(
            world.progress(Initiator, *number),
            Some(Progress::Failed(Failure::Refused(channel::RefusalCode::LIMITS)))
        )
    });
    assert_eq!(refused.count(), 3);
    assert_eq!(world.ours(Responder), SHARE + 7, "the payment among them is made");
}

#[test]
fn a_peer_that_is_away_holds_no_offer_that_it_has_not_seen() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 10, 20).unwrap();
    world.offer(Initiator, 2, 10, 20).unwrap();
    // The first is proposed, the second waits for its answer.
    world.disconnect();
    assert_eq!(world.progress(Initiator, 2), Some(Progress::Failed(Failure::PeerAway)));
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Proposed), "the peer may have its signature");
    assert_eq!(world.offer(Initiator, 3, 10, 20), Err(Misuse::Disconnected));
    world.run();
    assert_eq!(world.open_transfers(), 1);
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Offered));
}
