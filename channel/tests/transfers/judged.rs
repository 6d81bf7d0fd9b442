//! What each side agrees to: by its own heads and its own view of the registry, never by what the peer names (trap 0.1 of the design).

use super::*;
use channel::{
    Change, Message, Notice, Update,
    transfer::{TransferCommand, Verdict},
};
use protocol::Pair;

#[test]
fn a_payer_cannot_have_its_coins_back_while_the_payee_may_still_show_the_pre_image() {
    // The payee's node sees the chain three blocks late.
    for lag in 0..=3 {
        let mut world = World::opened();
        world.offer(Initiator, 1, 100, 6).unwrap();
        world.run();
        world.lag[Responder] = lag;
        world.mine_blocks(6);
        world.run();
        assert_eq!(
            world.open_transfers(),
            usize::from(lag > 0),
            "refunded only once the payee has seen the expiry itself"
        );
        world.lag[Responder] = 0;
        for _ in 0..2 {
            world.mine();
            world.run();
        }
        assert_eq!((world.open_transfers(), world.ours(Initiator)), (0, SHARE));
    }
}

#[test]
fn a_pre_image_that_was_shown_in_time_is_never_refunded_and_the_payee_is_paid_long_after() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 6).unwrap();
    world.run();
    world.disconnect();
    // The payee decides while nobody can be reached: the registry has it before the expiry.
    world.claim(Responder, 1).unwrap();
    world.mine_blocks(10);
    assert!(world.chain.preimages.contains_key(&secret(1).1), "shown without the peer");
    assert_eq!(world.chain.times_asked(Responder, "preimage_register"), 1, "and once");
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Fulfilled(secret(1).0)), "the payer has it from there");
    world.run();
    assert_eq!((world.open_transfers(), world.ours(Responder)), (0, SHARE + 100));
    assert_eq!(world.states(), ("open", "open"), "no channel was closed for it");
}

#[test]
fn a_claim_that_a_forwarder_cannot_agree_to_is_looked_at_again_and_then_refused_and_its_pre_image_is_known() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 20).unwrap();
    world.run();
    world.sides[Initiator].registry.verdict = Some(Verdict::NotYet);
    world.claim(Responder, 1).unwrap();
    world.run();
    assert_eq!(world.open_transfers(), 1, "not agreed to");
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Fulfilled(secret(1).0)), "and known all the same (I3)");
    world.crash(Initiator);
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Fulfilled(secret(1).0)));
    world.run();
    world.mine_blocks(3);
    world.run();
    assert_eq!(world.open_transfers(), 1);
    assert!(world.sides[Responder].machine().status().waits_for.is_none(), "the channel goes on");
    let _id = world.pay(Responder, 5).unwrap();
    world.run();
    assert_eq!(world.ours(Initiator), SHARE - 100 + 5);
    world.sides[Initiator].registry.verdict = None;
    world.mine();
    world.run();
    assert_eq!((world.open_transfers(), world.ours(Responder)), (0, SHARE - 5 + 100), "asked for again by itself");
}

#[test]
fn silence_is_never_inferred_a_side_that_cannot_read_the_registry_refunds_nothing() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 6).unwrap();
    world.run();
    world.sides[Responder].registry.blind = true;
    world.mine_blocks(12);
    world.run();
    assert_eq!(world.open_transfers(), 1);
    assert_eq!(world.contract_of(Responder, 1).map(|_| ()), Some(()));
    world.sides[Responder].registry.blind = false;
    world.mine_blocks(2);
    world.run();
    assert_eq!((world.open_transfers(), world.ours(Initiator)), (0, SHARE));
}

#[test]
fn a_payer_that_is_blind_fails_nothing_and_keeps_its_row() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 6).unwrap();
    world.run();
    world.sides[Initiator].registry.blind = true;
    world.mine_blocks(12);
    world.run();
    assert_eq!(world.progress(Initiator, 1), Some(Progress::Offered));
    assert_eq!(world.was_routed(Initiator, |it| matches!(it, TransferEvent::Failed { .. })), 0);
}

#[test]
fn a_wrong_pre_image_an_unknown_transfer_and_the_wrong_party_are_refused_by_name() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 20).unwrap();
    world.run();
    let contract = world.contract_of(Responder, 1).unwrap();
    let wrong = world.command(Responder, Command::Transfer(TransferCommand::Claim { contract, preimage: secret(2).0 }));
    assert_eq!(wrong, Err(Misuse::WrongPreimage(contract)));
    let unknown = ContractId([7; 32]);
    assert_eq!(
        world
            .command(Responder, Command::Transfer(TransferCommand::Claim { contract: unknown, preimage: secret(1).0 })),
        Err(Misuse::TransferUnknown(unknown))
    );
    let theirs =
        world.command(Initiator, Command::Transfer(TransferCommand::Claim { contract, preimage: secret(1).0 }));
    assert_eq!(theirs, Err(Misuse::TransferUnknown(contract)));
    // A peer that does not keep to it.
    for change in [
        Change::Claim { contract, preimage: secret(2).0, calls: Vec::new() },
        Change::Claim { contract: unknown, preimage: secret(1).0, calls: Vec::new() },
        Change::Refund { contract, calls: Vec::new() },
        Change::RemoveContract { contract, shares: Pair::new(0, 100) },
        Change::UpgradeContract { contract, code: protocol::contracts::Code::Builtin(1), state: None },
        Change::CallContract { contract, value: 0, input: vec![1] },
    ] {
        let noticed = world.sides[Initiator].was_noticed(|it| matches!(it, Notice::PeerViolated(_)));
        let round = world.sides[Initiator].round() + 1;
        let round = if Party::owner_of(round) == Responder { round } else { round + 1 };
        let height = world.sides[Initiator].seen;
        let update = world.forge_update_to(Responder, round, vec![change.clone()], world.agreed(Initiator));
        world.hear(Initiator, Message::Update(Update { height, ..update }));
        let _code = world.refusal(Initiator);
        let now = world.sides[Initiator].was_noticed(|it| matches!(it, Notice::PeerViolated(_)));
        assert_eq!(now, noticed + 1, "{change:?}");
        assert!(world.sides[Initiator].machine().contract(&contract).is_some());
    }
}

#[test]
fn what_is_decided_stays_decided() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 20).unwrap();
    world.offer(Initiator, 2, 100, 20).unwrap();
    world.run();
    world.disconnect();
    world.claim(Responder, 1).unwrap();
    world.fail(Responder, 2).unwrap();
    assert!(
        matches!(world.fail(Responder, 1), Err(Misuse::TransferDecided(_))),
        "never failed once the pre-image is known (I4)"
    );
    assert!(matches!(world.claim(Responder, 2), Err(Misuse::TransferDecided(_))));
    world.crash(Responder);
    assert!(matches!(world.fail(Responder, 1), Err(Misuse::TransferDecided(_))));
    world.run();
    assert_eq!((world.ours(Initiator), world.ours(Responder)), (SHARE - 100, SHARE + 100));
}

/// The router knows whether anything has gone on because of it: if nothing has, whoever shows a pre-image keeps no transfer from going back.
#[test]
fn what_is_given_back_goes_back_although_its_pre_image_is_out() {
    let mut world = World::opened();
    world.offer(Initiator, 1, 100, 20).unwrap();
    world.run();
    let (preimage, lock) = secret(1);
    world.chain.submit(Initiator, Call::PreimageRegister { preimage, function: lock.function });
    world.mine();
    world.fail(Responder, 1).unwrap();
    world.run();
    assert_eq!((world.ours(Initiator), world.open_transfers()), (SHARE, 0));
}

#[test]
fn a_lock_whose_pre_image_is_out_is_not_offered() {
    let mut world = World::opened();
    let (preimage, lock) = secret(1);
    world.chain.submit(Responder, Call::PreimageRegister { preimage, function: lock.function });
    world.mine();
    assert_eq!(world.offer(Initiator, 1, 100, 20), Err(Misuse::LockUsed));
    assert!(matches!(world.offer(Initiator, 2, 100, 3), Err(Misuse::ExpiryTooNear { .. })));
    assert!(matches!(world.offer(Initiator, 2, 0, 20), Err(Misuse::Change(_))));
    assert!(matches!(world.offer(Initiator, 2, SHARE, 20), Err(Misuse::InsufficientBalance { .. })));
}
