//! Attacks on what a user is told of its own changes, where the peer keeps rounds back and shows them in an order of its own (R6.2a, R6.3c).

use super::*;
use crate::harness::{
    Fate,
    contracts::{call, counter, forced},
    deeds::count_of,
    forge::{sign, state_body},
};
use channel::{ChangeId, Event, PaymentOutcome, RefusalCode, Update};
use protocol::{Pair, Round};

const STALE: RefusalCode = RefusalCode::STALE_STORE;

impl World {
    /// The initiator's round that is on its way; the peer answers nothing.
    fn kept_back(&mut self) -> Update {
        let Message::Update(update) = self.steal(Responder) else { panic!("a round") };
        self.wire[Responder].clear();
        update
    }

    /// The peer shows the initiator's round to the arbiter alone.
    fn put_on_chain(&mut self, update: &Update) {
        let (channel, payload) = (self.channel_id(), self.co_signed(Initiator, update));
        self.chain.submit(Responder, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
        self.mine();
    }

    fn answer(&mut self, update: &Update) {
        let Update { round, base, state_hash, .. } = *update;
        let signature = sign(Responder, self.channel_id(), &state_body(round, base, state_hash));
        self.hear(Initiator, Message::UpdateAck { round, signature });
    }

    /// A new link, on which the initiator hears what the responder says, and the responder nothing.
    fn link_anew(&mut self) {
        self.disconnect();
        self.connect();
        for _ in 0..6 {
            let _moved = (self.deliver(Initiator), self.wire[Responder].pop_front());
        }
    }

    fn sees(&mut self, round: Round) {
        self.hear(Initiator, Message::ForceProgressLocked { round });
    }
}

/// A payment is made by a round that the peer has put on chain, and held by another one from before, on a forced step. A third round goes on from the first. The peer shows
/// the second one, then the third: the payment is made in that as well, and its user is told that it is undone. Whoever makes it anew pays twice.
#[test]
fn what_is_in_the_base_of_the_round_that_counts_is_not_told_of_as_undone() {
    let mut world = World::opened();
    let app = world.create(Initiator, vec![counter(Pair::default(), 9)])[0];
    world.sides[Responder].is_cheat = true;
    let before = world.ours(Initiator);
    let key = IdempotencyKey::from("rent");
    world.pay_once(Initiator, "rent", 5).unwrap();
    let first = world.kept_back();
    // A step of the peer's: the payment waits for a round on the forced state.
    let (state, payload) = kept_state(&world, Initiator);
    world.force_by_hand(Responder, &state, payload, vec![forced(app, 0, &1_u64)]);
    world.mine();
    world.sees(world.sides[Initiator].round());
    let second = world.kept_back();
    assert!(second.base.steps > 0 && second.changes == first.changes, "the same payment once more");
    world.put_on_chain(&first);
    assert_eq!(world.ours(Initiator), before - 5, "it is made");
    world.pay_once(Initiator, "other", 3).unwrap();
    let third = world.kept_back();
    assert_eq!(
        (third.base.agreed, third.changes.len()),
        (first.round, 1),
        "it goes on from the round that has made it"
    );
    world.put_on_chain(&second);
    world.put_on_chain(&third);
    assert_eq!(world.sides[Initiator].round(), third.round);
    assert_eq!(world.ours(Initiator), before - 5 - 3, "both are made");
    let undone = |event: &Event| matches!(event, Event::Undone { .. });
    assert_eq!(world.sides[Initiator].was_told(undone), 0, "neither is undone");
    let outcome = world.sides[Initiator].machine().payment(&key).unwrap().outcome;
    assert!(matches!(outcome, PaymentOutcome::Paid(_)), "{outcome:?}: nobody asks for it anew");
}

/// A call that was to be forced was told of as given up. Its round is open again, and the peer says that its store is old: the call is told of a second time.
#[test]
fn what_was_told_of_as_not_forced_is_not_told_of_as_refused_too() {
    let mut world = World::opened_with(Initiator, |config| config.force_after = Some(1_000));
    let app = world.create(Initiator, vec![counter(Pair::default(), 9)])[0];
    world.sides[Responder].is_cheat = true;
    let id = world.make_one(Initiator, call(app, 0, &1_u64)).unwrap();
    let first = world.kept_back();
    world.tick(1);
    world.tick(2_000);
    assert!(world.sides[Initiator].machine().status().forcing);
    world.refuse_step(Initiator);
    assert_eq!(world.fate(Initiator, id), Fate::ForceFailed);
    let told = |world: &World| {
        world.sides[Initiator].was_told(
            |event| matches!(event, Event::Refused { payments, .. } | Event::Dropped { payments } if payments.ids().contains(&id)),
        )
    };
    // The bookkeeper of the tests takes no second end.
    world.sides[Initiator].is_cheat = true;
    let number = world.sides[Initiator].taken.0;
    world.hear(Initiator, Message::UpdateError { round: first.round, code: STALE });
    assert_eq!(told(&world), 0);
    assert_eq!(world.sides[Initiator].taken.0, number, "nothing more is told");
}

/// A payment is told of as refused with each new link on which the peer says that its store is old.
#[test]
fn what_was_refused_is_not_told_of_again_with_each_link() {
    let mut world = World::opened();
    let id = world.pay_without_key(Initiator, 5).unwrap();
    let first = world.kept_back();
    world.sides[Responder].is_cheat = true;
    for _ in 0..50 {
        world.hear(Initiator, Message::UpdateError { round: first.round, code: STALE });
        world.link_anew();
    }
    let refused = |event: &Event| matches!(event, Event::Refused { payments, .. } if payments.ids().contains(&id));
    assert_eq!(world.sides[Initiator].was_told(refused), 1);
}

/// A payment was told of as refused, and its round is open again when the channel is settled. What is kept of it goes with a commit.
#[test]
fn what_was_given_up_is_forgotten_with_a_commit() {
    let mut world = World::opened();
    // Something stays in the channel once it is settled.
    world.offer(Initiator, 1, 100, 500).unwrap();
    world.run();
    let _id = world.pay_without_key(Initiator, 5).unwrap();
    let first = world.kept_back();
    world.sides[Responder].is_cheat = true;
    world.hear(Initiator, Message::UpdateError { round: first.round, code: STALE });
    world.link_anew();
    assert_eq!(world.sides[Initiator].machine().status().pending, 1, "it is open again");
    world.close_solo(Initiator).unwrap();
    world.mine_blocks(40);
    assert!(world.is_residual(Initiator));
}

/// Two calls are forced, and one of them is made by a round instead, so that the other one waits for a round again. The process starts anew: its user was told, for good, that the
/// arbiter is to make it, and is told of it nothing more.
#[test]
fn a_call_that_was_to_be_forced_is_told_of_after_a_start() {
    let ends = [false, true].map(|crashes| {
        let mut world = World::opened_with(Initiator, |config| config.force_after = Some(1_000));
        let app = world.create(Initiator, vec![counter(Pair::default(), 900)])[0];
        world.sides[Responder].is_cheat = true;
        let one = world.make_one(Initiator, call(app, 0, &1_u64)).unwrap();
        let first = world.kept_back();
        let two = world.make_one(Initiator, call(app, 0, &10_u64)).unwrap();
        world.tick(1);
        world.tick(2_000);
        assert_eq!([one, two].map(|id| world.fate(Initiator, id)), [Fate::Forcing; 2]);
        world.chain.drop_pool();
        world.put_on_chain(&first);
        assert!(!world.sides[Initiator].machine().status().forcing, "the second one waits for a round");
        world.chain.drop_pool();
        if crashes {
            world.crash(Initiator);
        }
        for _ in 0..20 {
            world.disconnect();
            world.connect();
            for _ in 0..6 {
                let _heard = world.deliver(Initiator);
                let said: Vec<_> = world.wire[Responder].drain(..).collect();
                for message in said {
                    if let Message::Update(update) = message {
                        world.answer(&update);
                    }
                }
            }
            world.mine();
        }
        let second: ChangeId = two;
        (world.fate(Initiator, second) == Fate::Forcing, count_of(&world, Initiator, app))
    });
    assert_eq!(ends.map(|(is_untold, _)| is_untold), [false, false], "it has an end");
}
