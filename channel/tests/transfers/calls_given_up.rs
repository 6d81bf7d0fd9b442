//! Attacks on calls that are left of transfers (R8.3g) and that were asked for in a round which this side has given up.

use super::*;
use crate::harness::{
    LOCK,
    contracts::{counter, forced},
    deeds::{calls_of, count_of, returning},
    forge::{payment, sign, state_body},
};
use channel::{Change, Event, RefusalCode, Update, transfer::AppCall};
use protocol::{Pair, contracts::calls_root, crypto::Native};

/// How long own calls of the user's wait for the peer before they are forced.
const PATIENCE: u64 = 1_000;

/// A round of the payer's that asks for a call which the payee's forced refund has left, on its way to the payee.
struct Asked {
    world: World,
    counter: ContractId,
    round: Update,
}

impl Asked {
    fn new() -> Self {
        let mut world = World::opened_with(Initiator, |config| {
            (config.force_after, config.force_transfers_after) = (Some(PATIENCE), Some(40));
        });
        let counter = world.create(Initiator, vec![counter(Pair::default(), 9)])[0];
        world.offer_with(1, returning(counter), 20);
        let contract = world.contract_of(Responder, 1).unwrap();
        world.leave_what_returns(contract);
        world.connect();
        for _ in 0..20 {
            if let Some(Message::Update(_)) = world.wire[Responder].back() {
                break;
            }
            let _moved = (world.deliver(Initiator), world.deliver(Responder));
        }
        let Message::Update(round) = world.steal(Responder) else { panic!("the call that is left is asked for") };
        assert_eq!(round.changes.len(), 1);
        world.deliver_all();
        Self { world, counter, round }
    }

    /// The payee says that its store is old: the round is given up, and with the next block its call is asked for again and waits.
    fn give_up(&mut self) {
        let (round, code) = (self.round.round, RefusalCode::STALE_STORE);
        self.world.hear(Initiator, Message::UpdateError { round, code });
        self.world.mine();
        assert_eq!(self.world.sides[Initiator].machine().status().pending, 1, "it is asked for again");
    }

    /// The call waits for longer than the payer's patience with its own calls, and is not forced as one of these.
    fn wait(&mut self) {
        let before = self.world.sides[Initiator].machine().status().forcing;
        self.world.tick(1);
        self.world.tick(PATIENCE.saturating_add(1));
        assert_eq!(self.world.sides[Initiator].machine().status().forcing, before, "it is none of the user's calls");
    }

    /// The call waits until it is forced as its transfer would have been.
    fn wait_for_force(&mut self) {
        for _ in 0..200 {
            self.world.mine();
            if self.world.sides[Initiator].machine().status().forcing {
                return;
            }
        }
        panic!("it is never forced");
    }

    /// The payee signs the round after all.
    fn acknowledge(&mut self) {
        let Update { round, base, state_hash, .. } = self.round;
        let signature = sign(Responder, self.world.channel_id(), &state_body(round, base, state_hash));
        self.world.hear(Initiator, Message::UpdateAck { round, signature });
    }

    /// The payee signs the round and shows it to the arbiter alone.
    fn show(&mut self) {
        let (channel, payload) = (self.world.channel_id(), self.world.co_signed(Initiator, &self.round));
        self.world.chain.submit(Responder, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
    }

    /// How often the call has been made, as the payer has it.
    fn count(&self) -> u64 {
        count_of(&self.world, Initiator, self.counter)
    }

    /// The same in the end.
    fn count_in_the_end(mut self) -> u64 {
        for _ in 0..60 {
            self.world.mine();
            self.world.wire = Pair::default();
        }
        self.world.disconnect();
        for _ in 0..70 {
            self.world.run();
            self.world.mine();
        }
        self.count()
    }

    /// The payer's round from before a new link is open again, while another change waits for the same call.
    fn reclaim(&mut self) {
        self.world.disconnect();
        self.world.connect();
        for _ in 0..6 {
            let _moved = (self.world.deliver(Initiator), self.world.wire[Responder].pop_front());
        }
        let pending = self.world.sides[Initiator].machine().status().pending;
        assert_eq!(pending, 2, "the round is open again, and another call waits");
    }

    /// The payee proposes a payment of so much in the round above the payer's. What the payer answers.
    fn propose_above(&mut self, amount: Amount) -> Vec<Update> {
        let round = self.round.round + 1;
        assert_eq!(Party::owner_of(round), Responder);
        let machine = self.world.sides[Initiator].machine();
        let mut state = machine.state().unwrap().clone();
        let paid = amount.min(state.balances[Responder]);
        state.balances[Responder] -= paid;
        state.balances[Initiator] += paid;
        state.calls_root = calls_root(&[], &Native);
        let (state_hash, base, height) = (state.hash(), self.world.base(Initiator), self.world.chain.head());
        let changes = vec![Change::Transfer(payment(amount))];
        let signature = sign(Responder, self.world.channel_id(), &state_body(round, base, state_hash));
        let update = Update { round, base, height, refuses: None, changes, state_hash, signature };
        self.world.sides[Responder].is_cheat = true;
        self.world.hear(Initiator, Message::Update(update));
        let said = self.world.wire[Responder].drain(..);
        said.filter_map(|message| if let Message::Update(update) = message { Some(update) } else { None }).collect()
    }
}

/// The payee answers a round that was given up while the same call, asked for again, is being forced: before the step has reached the chain, or after.
#[test]
fn an_answer_to_a_round_that_was_given_up_makes_its_call_once_whatever_is_forced() {
    for drops in [false, true] {
        let mut asked = Asked::new();
        asked.give_up();
        asked.wait();
        asked.wait_for_force();
        if drops {
            asked.world.chain.drop_pool();
        }
        asked.acknowledge();
        assert_eq!(asked.count(), 1, "{drops}");
        assert_eq!(asked.count_in_the_end(), 1, "{drops}");
    }
}

/// The payee shows the round on chain alone, where the payer sees that its call is made while another change waits for it.
#[test]
fn a_round_that_was_given_up_and_comes_by_the_chain_makes_its_call_once() {
    for disconnects in [false, true] {
        let mut asked = Asked::new();
        asked.give_up();
        asked.show();
        if disconnects {
            asked.world.disconnect();
        }
        asked.world.mine();
        assert_eq!(asked.count(), 1);
        asked.wait();
        assert_eq!(asked.count_in_the_end(), 1, "{disconnects}");
    }
}

/// The payee's round above one that is open again is agreed: what was in the payer's waits, and so does the same call from another change.
#[test]
fn a_round_that_is_open_again_and_buried_makes_its_call_once() {
    let mut asked = Asked::new();
    asked.give_up();
    asked.reclaim();
    let said = asked.propose_above(5);
    assert_eq!(said.iter().map(|it| it.changes.len()).collect::<Vec<_>>(), [1], "it is asked for once");
    asked.round = said[0].clone();
    asked.acknowledge();
    asked.wait();
    assert_eq!(asked.count_in_the_end(), 1);
}

/// The payee's round above one that is open again is refused by a counter-round, which comes on chain while the link is down.
#[test]
fn a_counter_round_to_one_above_an_open_one_makes_its_call_once() {
    let mut asked = Asked::new();
    asked.world.sides[Initiator].is_cheat = true;
    asked.give_up();
    asked.reclaim();
    let refusal = asked.propose_above(100_000).into_iter().find(|update| update.refuses.is_some());
    asked.round = refusal.expect("it is refused");
    asked.show();
    asked.world.disconnect();
    asked.world.mine();
    asked.wait();
    assert_eq!(asked.count_in_the_end(), 1);
}

/// What is forced as the end of its transfer, while a change waits for it.
#[test]
fn a_call_that_was_forced_is_not_asked_for_by_what_waits() {
    let mut asked = Asked::new();
    asked.world.disconnect();
    asked.wait_for_force();
    asked.world.mine_blocks(3);
    assert_eq!(asked.count(), 1, "it is forced as the transfer would have been");
    asked.wait();
    assert_eq!(asked.count_in_the_end(), 1);
}

/// A crash while the call is being forced: before the step has reached the chain, or after, with an answer to the round that was given up, or with that on chain.
#[test]
fn a_call_that_is_being_forced_over_a_crash_is_made_once() {
    for drops in [false, true] {
        for (way, then) in ["nothing", "answers", "shows", "restarts later"].into_iter().enumerate() {
            let mut asked = Asked::new();
            asked.wait_for_force();
            if drops {
                asked.world.chain.drop_pool();
            }
            if way == 2 {
                asked.world.sides[Responder].is_cheat = true;
                asked.show();
            }
            if way == 3 {
                asked.world.kill(Initiator);
                asked.world.mine();
                asked.world.restart(Initiator);
            } else {
                asked.world.crash(Initiator);
            }
            if way == 1 {
                asked.world.connect();
                asked.acknowledge();
            }
            let names_changes = |event: &Event| match event {
                Event::Forcing { changes } | Event::ForceFailed { changes, .. } => !changes.is_empty(),
                _ => false,
            };
            let told = asked.world.sides[Initiator].was_told(names_changes);
            assert_eq!((asked.count_in_the_end(), told), (1, 0), "{drops}, {then}");
        }
    }
}

/// A close by the payee alone while the call is being forced.
#[test]
fn a_call_that_is_being_forced_goes_on_in_a_close() {
    for (drops, crashes) in [(false, false), (true, false), (true, true)] {
        let mut asked = Asked::new();
        asked.wait_for_force();
        if drops {
            asked.world.chain.drop_pool();
        }
        asked.world.close_solo(Responder).unwrap();
        if crashes {
            asked.world.crash(Initiator);
        }
        asked.world.mine_blocks(4 * LOCK);
        let calls = calls_of(&asked.world, Initiator, asked.counter);
        let status = asked.world.sides[Initiator].machine().status();
        assert_eq!((calls, status.forcing), (1, false), "{drops} {crashes}");
    }
}

/// Whoever refuses a round as one with an old store does, time and again, makes nothing grow.
#[test]
fn rounds_that_are_given_up_time_and_again_leave_nothing_behind() {
    let mut asked = Asked::new();
    asked.world.sides[Responder].is_cheat = true;
    let mut sizes = Vec::new();
    for _ in 0..30 {
        let (round, code) = (asked.round.round, RefusalCode::STALE_STORE);
        asked.world.hear(Initiator, Message::UpdateError { round, code });
        asked.world.mine();
        asked.reclaim();
        let side = &asked.world.sides[Initiator];
        sizes.push((side.machine().save().len(), side.machine().status().pending, side.events.len()));
    }
    assert_eq!(sizes[5], sizes[29]);
}

/// Two calls of one app, of which the app makes only one now: with what stands before the other in a step it is refused, and alone it is not. The step never comes on chain.
#[test]
fn a_call_that_is_refused_beside_others_is_still_left() {
    for runs_ahead in [false, true] {
        let mut world = World::opened_with(Initiator, |config| config.force_transfers_after = Some(10));
        let counter = world.create(Initiator, vec![counter(Pair::default(), 2)])[0];
        for (number, by) in [(1, 2_u64), (2, 1)] {
            let call = AppCall { contract: counter, input: by.encode() };
            world.offer_with(number, LockedCalls { returning: vec![call], ..LockedCalls::NONE }, 20);
        }
        let second = world.contract_of(Responder, 2).unwrap();
        world.disconnect();
        world.mine_blocks(21);
        world.force(Responder, vec![refund(second)]).unwrap();
        world.mine();
        for _ in 0..40 {
            world.mine();
            if world.sides[Initiator].machine().status().forcing {
                break;
            }
        }
        assert!(world.sides[Initiator].machine().status().forcing);
        assert_eq!(count_of(&world, Initiator, counter), 0);
        if runs_ahead {
            world.chain.drop_pool();
            world.force(Responder, vec![forced(counter, 0, &1_u64)]).unwrap();
        }
        world.mine_blocks(60);
        world.run();
        world.mine_blocks(60);
        world.run();
        assert_eq!(count_of(&world, Initiator, counter), 2, "{runs_ahead}");
    }
}

/// Forced steps that are used up are told of once, also where they are tried with each block.
#[test]
fn forced_steps_that_are_used_up_are_told_of_once() {
    for patience in [0, 1, 40] {
        let mut world = World::opened_with(Initiator, |config| config.force_transfers_after = Some(patience));
        for number in 1..=5 {
            world.offer(Initiator, number, 10, 10 + 50 * BlockNumber::from(number)).unwrap();
            world.run();
        }
        world.kill(Responder);
        world.mine_blocks(600);
        let failed = world.sides[Initiator].was_told(|event| matches!(event, Event::ForceFailed { .. }));
        assert_eq!(failed, 1, "{patience}");
    }
}
