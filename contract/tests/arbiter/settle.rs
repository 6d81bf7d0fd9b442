//! `channel_settle` (R5.11, R5.13) and the penalty that it charges (R5.9).

use crate::harness::*;
use protocol::{
    Amount, BlockNumber, ChannelId, Pair, Party, Rejection, Round,
    event::{ArbiterEvent, Payout},
    record::Penalty,
    terms::Destination,
};
use sdk::chain::arbiter::ChannelEvent;

const STATE: State = State::new(6, 30 * UNIT, 130 * UNIT);

/// A channel that closes, and the first block in which it may be settled.
async fn closed() -> (World, Channel, BlockNumber) {
    let (mut world, channel) = World::open().await;
    let _done = world.accept(Actor::Responder, &channel.close_solo(&STATE), 0).await;
    let unlock_at = world.record(&channel).await.unwrap().closing().unwrap().unlock_at;
    (world, channel, unlock_at)
}

#[tokio::test]
async fn settling_pays_the_closing_balances_and_leaves_only_the_pairs_nonce() {
    let empty = World::funded().await.snapshot().await;
    let (mut world, channel, unlock_at) = closed().await;
    world.travel_to(unlock_at).await;
    let before = world.snapshot().await;
    let done = world.accept(Actor::Initiator, &channel.settle(), 0).await;

    let account = |party: Party, amount| {
        let to = Actor::from(party).id();
        Payout { party: Some(party), to, amount, destination: Destination::Account }
    };
    let payouts = vec![account(Party::Initiator, 30 * UNIT), account(Party::Responder, 130 * UNIT)];
    let event = ArbiterEvent::ChannelSettled { balances: STATE.commitment.balances, remaining: 0 };
    assert_eq!(done.events, [ChannelEvent { channel: channel.id, event, payouts }]);
    assert_eq!(world.record(&channel).await, None);

    let after = world.snapshot().await;
    assert_eq!(after.info.items, empty.info.items + 1, "the pair's nonce is all that stays (R5.15)");
    assert_eq!(after.vaults, before.vaults);
    let returned = Amount::try_from(-done.receipt.storage_deposit).unwrap();
    assert_eq!(returned, before.info.deposit - after.info.deposit, "the deposit goes to whoever settles");
    let responder = Actor::Responder.id();
    assert_eq!(after.free[&responder] - before.free[&responder], 130 * UNIT);
}

#[tokio::test]
async fn parties_and_delegates_settle_from_the_end_of_the_lock_on_and_anybody_a_lock_period_later() {
    let (world, channel, unlock_at) = closed().await;
    let from = unlock_at + LOCK_PERIOD;
    for who in Actor::ALL {
        for block in [unlock_at, unlock_at + 1, from - 1, from, from + 1, from + 1_000] {
            let mut world = world.fork_for(&(who, block)).await;
            world.travel_to(block).await;
            if Actor::DEFENDERS.contains(&who) || block >= from {
                let _done = world.accept(who, &channel.settle(), 0).await;
            } else {
                let first = Rejection::PartiesSettleFirst { from, now: block };
                world.refuse(who, &channel.settle(), 0, first).await;
            }
        }
    }
}

#[tokio::test]
async fn a_slash_moves_the_block_from_which_anybody_settles() {
    let (mut world, channel, unlock_at) = closed().await;
    world.travel_to(unlock_at + LOCK_PERIOD - 1).await;
    let _done = world.accept(Actor::Initiator, &channel.slash(&State { round: 7, ..STATE }), 0).await;
    let from = unlock_at + LOCK_PERIOD - 1 + 2 * LOCK_PERIOD;
    world.travel_to(from - 1).await;
    let first = Rejection::PartiesSettleFirst { from, now: from - 1 };
    world.refuse(Actor::Stranger, &channel.settle(), 0, first).await;
    let _done = world.accept(Actor::Stranger, &channel.settle(), 0).await;
}

#[tokio::test]
async fn nobody_may_settle_before_the_end_of_the_lock() {
    let (world, channel, unlock_at) = closed().await;
    for who in Actor::ALL {
        for block in [world.now(), unlock_at - 1] {
            let mut world = world.fork_for(&(who, block)).await;
            world.travel_to(block).await;
            world.refuse(who, &channel.settle(), 0, Rejection::StillLocked { unlock_at, now: block }).await;
        }
    }
}

#[tokio::test]
async fn an_open_channel_is_not_settled() {
    let (mut world, channel) = World::open().await;
    world.refuse(Actor::Initiator, &channel.settle(), 0, Rejection::NotClosing).await;
    world.travel_to(world.now() + 2 * LOCK_PERIOD).await;
    world.refuse(Actor::Initiator, &channel.settle(), 0, Rejection::NotClosing).await;
}

#[tokio::test]
async fn a_channel_that_is_unknown_or_over_is_not_settled() {
    let (mut world, channel, unlock_at) = closed().await;
    world.travel_to(unlock_at + LOCK_PERIOD).await;
    let nowhere = Channel { id: ChannelId([7; 32]), ..channel };
    world.refuse(Actor::Stranger, &nowhere.settle(), 0, Rejection::ChannelUnknown).await;
    let _done = world.accept(Actor::Stranger, &channel.settle(), 0).await;
    world.refuse(Actor::Stranger, &channel.settle(), 0, Rejection::ChannelUnknown).await;
}

/// One dispute: who closed on what, which states were shown against it, and what follows.
struct Dispute {
    /// What makes it different from the others.
    what: &'static str,
    closer: Party,
    /// The round closed on; without one, the state on chain.
    closed_on: Option<Round>,
    /// Who showed which newer rounds, each with the co-signed round that it goes on from.
    slashes: &'static [(Actor, Round, Round)],
    is_due: bool,
}

/// The initiator owns the odd rounds, the responder the even ones (R6.1).
const DISPUTES: &[Dispute] = &[
    Dispute {
        what: "nobody objects to the newest state",
        closer: Party::Responder,
        closed_on: Some(6),
        slashes: &[],
        is_due: false,
    },
    Dispute {
        what: "the closer signed the peer's newer round last, so it held it",
        closer: Party::Responder,
        closed_on: Some(6),
        slashes: &[(Actor::Initiator, 7, 6)],
        is_due: true,
    },
    Dispute {
        what: "whatever that round goes on from",
        closer: Party::Responder,
        closed_on: Some(6),
        slashes: &[(Actor::Initiator, 7, 1)],
        is_due: true,
    },
    Dispute {
        what: "the closer may never have got the peer's answer to a round of its own",
        closer: Party::Responder,
        closed_on: Some(6),
        slashes: &[(Actor::Initiator, 8, 6)],
        is_due: false,
    },
    Dispute {
        what: "a round of its own that goes on from a newer one: that one it held",
        closer: Party::Responder,
        closed_on: Some(6),
        slashes: &[(Actor::Initiator, 8, 7)],
        is_due: true,
    },
    Dispute {
        what: "one-way payments: the payer made every round, and each but the first after the close goes on from one above it",
        closer: Party::Initiator,
        closed_on: Some(3),
        slashes: &[(Actor::Responder, 201, 199)],
        is_due: true,
    },
    Dispute {
        what: "a payer that closed on its last answered round: the peer kept back its answers since",
        closer: Party::Initiator,
        closed_on: Some(199),
        slashes: &[(Actor::Responder, 201, 199)],
        is_due: false,
    },
    Dispute {
        what: "an honest closer whose peer kept its answers back is not charged for a row of them",
        closer: Party::Initiator,
        closed_on: Some(9),
        slashes: &[(Actor::Responder, 11, 9), (Actor::RespondersDelegate, 13, 9), (Actor::Responder, 15, 9)],
        is_due: false,
    },
    Dispute {
        what: "a cheater that shows its own newest round first",
        closer: Party::Initiator,
        closed_on: Some(9),
        slashes: &[(Actor::Initiator, 11, 10)],
        is_due: true,
    },
    Dispute {
        what: "the closed-on round is the one at the close: an answer does not move it",
        closer: Party::Responder,
        closed_on: Some(6),
        slashes: &[(Actor::Initiator, 8, 6), (Actor::Initiator, 10, 8)],
        is_due: true,
    },
    Dispute {
        what: "the same for the initiator, on the state on chain",
        closer: Party::Initiator,
        closed_on: None,
        slashes: &[(Actor::Responder, 2, 1)],
        is_due: true,
    },
    Dispute {
        what: "the initiator's own round on what it closed on proves nothing",
        closer: Party::Initiator,
        closed_on: None,
        slashes: &[(Actor::Responder, 3, 1)],
        is_due: false,
    },
    Dispute {
        what: "nor does one on something older",
        closer: Party::Initiator,
        closed_on: None,
        slashes: &[(Actor::Responder, 3, 0)],
        is_due: false,
    },
    Dispute {
        what: "a closer cannot escape by slashing itself first (docs/adr/0001)",
        closer: Party::Responder,
        closed_on: Some(6),
        slashes: &[(Actor::Responder, 7, 6)],
        is_due: true,
    },
    Dispute {
        what: "a delegate's proof is as good, also of the closer's side",
        closer: Party::Responder,
        closed_on: Some(6),
        slashes: &[(Actor::RespondersDelegate, 9, 1)],
        is_due: true,
    },
    Dispute {
        what: "the proof may come second",
        closer: Party::Responder,
        closed_on: Some(6),
        slashes: &[(Actor::Initiator, 8, 6), (Actor::Initiator, 9, 6)],
        is_due: true,
    },
    Dispute {
        what: "a later round that proves nothing takes no proof back",
        closer: Party::Responder,
        closed_on: Some(6),
        slashes: &[(Actor::Initiator, 7, 6), (Actor::Responder, 8, 6)],
        is_due: true,
    },
    Dispute {
        what: "two proofs are charged once",
        closer: Party::Responder,
        closed_on: Some(6),
        slashes: &[(Actor::Initiator, 7, 6), (Actor::Initiator, 9, 7), (Actor::InitiatorsDelegate, 11, 9)],
        is_due: true,
    },
];

#[tokio::test]
async fn the_penalty_is_charged_once_and_only_where_the_closer_provably_held_a_newer_state() {
    let (world, channel) = World::open().await;
    for dispute in DISPUTES {
        let mut world = world.fork_for(&dispute.what).await;
        let closer = Actor::from(dispute.closer);
        let state = |round| State { round, ..STATE };
        let close = match dispute.closed_on {
            Some(round) => channel.close_solo(&state(round)),
            None => channel.close_solo_on_chain(protocol::StateCommitment::of_balances(BALANCES)),
        };
        let _done = world.accept(closer, &close, 0).await;
        for &(who, round, base) in dispute.slashes {
            let _done = world.accept(who, &channel.slash(&state(round).from(base, 0)), 0).await;
        }
        let closing = world.record(&channel).await.unwrap().closing().unwrap().clone();
        let at_risk = Penalty::AtRisk { closer: dispute.closer, closed_on: dispute.closed_on.unwrap_or(1) };
        assert_eq!(closing.penalty, if dispute.is_due { Penalty::Due(dispute.closer) } else { at_risk });

        world.travel_to(closing.unlock_at).await;
        let done = world.accept(Actor::InitiatorsDelegate, &channel.settle(), 0).await;
        let mut paid = closing.balances;
        if dispute.is_due {
            paid[dispute.closer] -= PENALTY;
            paid[dispute.closer.peer()] += PENALTY;
        }
        assert_eq!(done.events[0].event, ArbiterEvent::ChannelSettled { balances: paid, remaining: 0 });
    }
}

#[tokio::test]
async fn whose_round_it_is_and_what_it_goes_on_from_decide_the_penalty_in_every_combination() {
    const CLOSED_ON: Round = 6;
    let (world, channel) = World::open().await;
    for closer in Party::BOTH {
        let mut world = world.fork().await;
        let _done = world.accept(closer.into(), &channel.close_solo(&State { round: CLOSED_ON, ..STATE }), 0).await;
        for round in [9, 10] {
            for base in [0, CLOSED_ON - 1, CLOSED_ON, CLOSED_ON + 1, round - 1, round + 5] {
                // Forced rounds in what it goes on from change nothing.
                for steps in [0, 3] {
                    let mut world = world.fork_for(&(closer, round, base, steps)).await;
                    let slash = channel.slash(&State { round, ..STATE }.from(base, steps));
                    let _done = world.accept(Actor::InitiatorsDelegate, &slash, 0).await;
                    let penalty = world.recorded(&channel).closing().unwrap().penalty;
                    let is_due = Party::owner_of(round) == closer.peer() || base > CLOSED_ON;
                    let at_risk = Penalty::AtRisk { closer, closed_on: CLOSED_ON };
                    assert_eq!(penalty, if is_due { Penalty::Due(closer) } else { at_risk });
                }
            }
        }
    }
}

/// Settles a channel with these terms in which the responder closed on round 2 and was shown round 3 with these balances.
async fn after_a_proof(penalty: Amount, newest: Pair<Amount>) -> (World, Pair<Amount>) {
    let mut world = World::funded().await;
    let mut body = create_body(world.now());
    body.terms.penalty = penalty;
    let channel = world.create(&body).await;
    let _done = world.accept(Actor::Responder, &channel.close_solo(&State::new(2, 0, TOTAL)), 0).await;
    let newest = State::new(3, newest.initiator, newest.responder);
    let _done = world.accept(Actor::Initiator, &channel.slash(&newest), 0).await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    let done = world.accept(Actor::Initiator, &channel.settle(), 0).await;
    let ArbiterEvent::ChannelSettled { balances, remaining: 0 } = done.events[0].event else {
        panic!("{:?}", done.events)
    };
    (world, balances)
}

#[tokio::test]
async fn a_closer_that_has_less_than_the_penalty_pays_what_it_has() {
    for (left, paid) in [(PENALTY + 1, 1), (PENALTY, 0), (PENALTY - 1, 0), (1, 0), (0, 0)] {
        let (_world, balances) = after_a_proof(PENALTY, Pair::new(TOTAL - left, left)).await;
        assert_eq!(balances, Pair::new(TOTAL - paid, paid));
    }
}

#[tokio::test]
async fn a_penalty_of_zero_moves_nothing() {
    let newest = Pair::new(100 * UNIT, 60 * UNIT);
    let (_world, balances) = after_a_proof(0, newest).await;
    assert_eq!(balances, newest);
}

#[tokio::test]
async fn an_agreement_overrides_a_penalty_that_is_due() {
    let (mut world, channel, _unlock_at) = closed().await;
    let _done = world.accept(Actor::Initiator, &channel.slash(&State { round: 7, ..STATE }), 0).await;
    let agreed = Pair::new(80 * UNIT, 80 * UNIT);
    let done = world.accept(Actor::Initiator, &channel.close_mutual(agreed, 0, world.now()), 0).await;
    assert_eq!(done.events[0].event, ArbiterEvent::ChannelClosedMutually { balances: agreed, fee: 0 });
}
