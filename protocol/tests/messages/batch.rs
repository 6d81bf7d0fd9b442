//! Batches (R5.18): each call by itself.

use crate::fixture::*;

fn third(nonce: u64) -> Opening {
    Opening { nonce, ..opening() }
}

#[test]
fn a_refused_call_between_two_good_ones_leaves_nothing_behind_and_stops_neither() {
    let first = third(0);
    // Everything of it is right but the vault that pays, which is looked at last.
    let too_dear = Opening { balances: Pair::new(100, 950), shares: Pair::new(100, 950), ..third(1) };
    let low = Rejection::VaultTooLow { party: Party::Responder, have: 900, need: 950 };
    let second = third(2);
    let opens = [&first, &too_dear, &second].map(|opening| BatchedCall::Create(opening.create()));
    let mut world = World::with_vaults();
    let applied = world.call(alice().account, Call::Batch(opens.to_vec())).unwrap();
    assert_eq!(applied.batch, vec![Ok(()), Err(low), Ok(())]);
    assert_eq!(applied.events.len(), 2);

    let mut alone = World::with_vaults();
    for opening in [&first, &second] {
        let _opened = alone.call(alice().account, Call::ChannelCreate(opening.create())).unwrap();
    }
    assert_eq!(world.ledger, alone.ledger);
}

/// A close whose fee cannot be paid is the one call in which an effect can fail: nothing of it may stay.
#[test]
fn a_close_whose_fee_cannot_be_paid_leaves_its_channel_as_it_was() {
    let (first, second) = (third(0), third(1));
    let mut world = World::with_channel(&first);
    let _opened = world.call(alice().account, Call::ChannelCreate(second.create())).unwrap();
    world.refuses = vec![thief().account];
    let before = world.ledger.clone();
    let unpaid = BatchedCall::CloseMutual(first.close_mutual(Pair::new(95, 100), 5));
    let free = BatchedCall::CloseMutual(second.close_mutual(Pair::new(100, 100), 0));
    let applied = world.call(thief().account, Call::Batch(vec![unpaid.clone(), free, unpaid])).unwrap();
    assert_eq!(applied.batch, vec![Err(Rejection::TransferFailed), Ok(()), Err(Rejection::TransferFailed)]);
    assert_eq!(applied.paid_out, vec![(alice().account, 100), (bob().account, 100)]);
    assert_eq!(world.ledger.vaults, before.vaults);
    assert_eq!(world.ledger.channels[&first.channel()], before.channels[&first.channel()]);
    assert_eq!(world.ledger.channels.len(), 1);
}

/// Calls are made one after the other: a later one stands on what an earlier one did.
#[test]
fn a_life_of_a_channel_fits_one_batch() {
    let opening = opening();
    let after = StateCommitment::of_balances(Pair::new(120, 80));
    let payload = opening.payload(2, &after);
    let channel = opening.channel();
    let calls = vec![
        BatchedCall::SnapshotSolo(SnapshotSolo { channel, payload }),
        BatchedCall::Create(opening.create()),
        BatchedCall::SnapshotSolo(SnapshotSolo { channel, payload }),
        BatchedCall::SnapshotSolo(SnapshotSolo { channel, payload }),
        BatchedCall::CloseSolo(CloseSolo { channel, payload: Some(payload), commitment: after }),
        BatchedCall::Slash(Slash { channel, payload: opening.payload(3, &after), commitment: after }),
        BatchedCall::Settle(channel),
        BatchedCall::CloseMutual(opening.close_mutual(Pair::new(120, 79), 1)),
        BatchedCall::Settle(channel),
    ];
    let mut world = World::with_vaults();
    let applied = world.call(bob().account, Call::Batch(calls)).unwrap();
    let outcomes = vec![
        Err(Rejection::ChannelUnknown),
        Ok(()),
        Ok(()),
        Err(Rejection::RoundAlreadyKnown { round: 2 }),
        Ok(()),
        Ok(()),
        Err(Rejection::StillLocked { unlock_at: NOW + 10, now: NOW }),
        Ok(()),
        Err(Rejection::ChannelUnknown),
    ];
    assert_eq!(applied.batch, outcomes);
    assert!(applied.events.iter().all(|(id, _, _)| *id == channel));
    assert_eq!(applied.events.len(), 5, "one event for each success");
    assert_eq!(applied.paid_out, vec![(bob().account, 1), (alice().account, 120), (bob().account, 79)]);
}

#[test]
fn a_batch_has_one_to_sixty_four_calls() {
    let mut world = World::new();
    for count in [0, 1, 63, 64, 65, 1_000] {
        let calls = vec![BatchedCall::Settle(ChannelId([9; 32])); count];
        let applied = world.call(alice().account, Call::Batch(calls));
        if (1..=64).contains(&count) {
            let batch = vec![Err(Rejection::ChannelUnknown); count];
            assert_eq!(applied.unwrap(), Applied { batch, ..Applied::default() });
        } else {
            let got = u32::try_from(count).unwrap();
            assert_eq!(applied, Err(Rejection::ListLength { got, max: 64 }));
        }
    }
}
