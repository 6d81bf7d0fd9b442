//! Which bases still count (R5.4b), and until when a state that expires does (R3.5a): in every message that brings a co-signed state, a
//! block before, in, and a block after.

use crate::fixture::*;
use protocol::{
    Signature,
    call::{BatchedCall, CloseSolo, Deposit, SetDelegates, Slash, Withdraw},
    signing::{DepositBody, SetDelegatesBody, Signed, WithdrawBody},
};

/// Every message that brings a co-signed state.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Message {
    CloseSolo,
    Slash,
    Snapshot,
    ForceOpen,
    ForceClosing,
    Deposit,
    Withdraw,
    SetDelegates,
}

const ALL: [Message; 8] = [
    Message::CloseSolo,
    Message::Slash,
    Message::Snapshot,
    Message::ForceOpen,
    Message::ForceClosing,
    Message::Deposit,
    Message::Withdraw,
    Message::SetDelegates,
];

/// Those in which the state is a payload, and may expire.
fn with_payload() -> impl Iterator<Item = Message> {
    ALL.into_iter().filter(|message| !matches!(message, Message::Deposit | Message::Withdraw | Message::SetDelegates))
}

fn signed<T: Signed>(body: &T) -> Pair<Signature> {
    let bytes = signed_bytes(&DOMAIN, &CHANNEL, body);
    keys().as_ref().map(|key| key.sign(&bytes))
}

impl Message {
    /// The initiator's call that brings a round on a base, in the phase that the message needs.
    fn call(self, world: &mut World, body: &StateBody, state: &State) -> Call {
        let StateBody { round, base, state_hash, .. } = *body;
        let (channel, commitment, valid_until) = (CHANNEL, state.commitment(), world.now);
        let payload = payload_of(body);
        match self {
            Self::CloseSolo => Call::ChannelCloseSolo(CloseSolo { channel, payload: Some(payload), commitment }),
            Self::Slash => {
                *world = world.clone().closing(state.balances);
                Call::ChannelSlash(Slash { channel, payload, commitment })
            }
            Self::Snapshot => Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }),
            Self::ForceOpen | Self::ForceClosing => {
                if self == Self::ForceClosing {
                    *world = world.clone().closing(state.balances);
                }
                let plan = world.plan(state, Some(payload), Party::Initiator, vec![redeem(1)]).unwrap();
                Call::ChannelForceProgress(plan.call)
            }
            Self::Deposit => {
                let owner = world.record().terms.ids().initiator;
                let _before = world.ledger.vaults.insert(owner, 50);
                let body = DepositBody { party: Party::Initiator, amount: 50, round, base, state_hash, valid_until };
                Call::ChannelDeposit(Deposit { channel, signatures: signed(&body), body })
            }
            Self::Withdraw => {
                let (party, to) = (Party::Initiator, INITIATOR);
                let body = WithdrawBody { party, amount: 50, to, round, base, state_hash, valid_until };
                Call::ChannelWithdraw(Withdraw { channel, signatures: signed(&body), body })
            }
            Self::SetDelegates => {
                let delegates = Pair::default();
                let body = SetDelegatesBody { delegates, round, base, state_hash, valid_until };
                Call::ChannelSetDelegates(SetDelegates { channel, signatures: signed(&body), body })
            }
        }
    }
}

fn on(base: Base, round: Round, state: &State) -> StateBody {
    StateBody { round, base, state_hash: state.hash(), valid_until: None }
}

const fn base(agreed: Round, steps: u32) -> Base {
    Base { agreed, steps }
}

/// The responder forced a step in block 100 on what both had agreed. A mark is mature 20 blocks later.
fn forced() -> (World, State) {
    let state = state();
    let mut world = World::on(&state);
    let (step, after) = world.step(&state, Party::Responder, vec![redeem(1)]);
    let _forced = world.force(RESPONDER, step).unwrap();
    assert_eq!((world.now, world.record().on_chain.at), (100, base(ROUND, 1)));
    (world, after)
}

fn outcome(
    world: &World,
    now: BlockNumber,
    message: Message,
    body: &StateBody,
    state: &State,
) -> Result<(), Rejection> {
    let mut world = World { now, ..world.clone() };
    let call = message.call(&mut world, body, state);
    let applied = world.apply(INITIATOR, call)?;
    assert_eq!(applied.events.len(), 1);
    assert_eq!(world.record().on_chain.at.agreed, body.round, "it is on chain now");
    Ok(())
}

#[test]
fn a_round_from_before_a_forced_step_counts_for_one_lock_period_in_every_message() {
    let (world, _) = forced();
    let state = state();
    let old = Err(Rejection::BaseTooOld { got: base(ROUND, 0), floor: base(ROUND, 1) });
    for message in ALL {
        for (now, expected) in [(100, Ok(())), (118, Ok(())), (119, Ok(())), (120, old), (121, old), (5_000, old)] {
            let body = on(base(ROUND, 0), ROUND + 2, &state);
            assert_eq!(outcome(&world, now, message, &body, &state), expected, "{message:?} in {now}");
        }
    }
}

#[test]
fn a_round_on_the_forced_state_or_on_a_later_one_counts_for_ever() {
    let (world, _) = forced();
    let state = state();
    let lower = base(ROUND - 1, 9);
    let old = Err(Rejection::BaseTooOld { got: lower, floor: base(ROUND, 1) });
    for message in ALL {
        for (on_base, expected) in
            [(lower, old), (base(ROUND, 1), Ok(())), (base(ROUND, 2), Ok(())), (base(ROUND + 1, 0), Ok(()))]
        {
            for now in [120, 121, 5_000] {
                let body = on(on_base, ROUND + 2, &state);
                assert_eq!(outcome(&world, now, message, &body, &state), expected, "{message:?} on {on_base:?}");
            }
        }
    }
}

/// The round that both know is compared before its base: closing on what is on chain needs no base at all.
#[test]
fn the_state_on_chain_is_known_whatever_its_base_is_and_however_old() {
    let (mut world, _) = forced();
    let state = state();
    let _adopted = world.apply(INITIATOR, snapshot(&on(base(ROUND, 0), ROUND + 2, &state))).unwrap();
    world.now = 5_000;
    let known = StateBody { valid_until: Some(7), ..on(base(0, 0), ROUND + 2, &state) };
    assert_eq!(
        world.apply(INITIATOR, snapshot(&known)).map(drop),
        Err(Rejection::RoundAlreadyKnown { round: ROUND + 2 })
    );
    let close = CloseSolo { channel: CHANNEL, payload: Some(payload_of(&known)), commitment: state.commitment() };
    let _closed = world.apply(INITIATOR, Call::ChannelCloseSolo(close)).unwrap();
}

fn snapshot(body: &StateBody) -> Call {
    Call::ChannelSnapshotSolo(SnapshotSolo { channel: CHANNEL, payload: payload_of(body) })
}

/// The responder claims a conditional transfer; its peer had that round countersigned which takes it back, and holds it for later.
#[test]
fn a_forced_claim_is_not_undone_after_a_lock_period() {
    let state = state();
    let claim = || call(TRANSFER, 0, ConditionalInput::Claim(SECRET));
    let taken_back = on(base(ROUND, 0), ROUND + 2, &state);
    for (now, undone) in [(119, true), (120, false), (121, false)] {
        let mut world = World::on(&state);
        let (step, after) = world.step(&state, Party::Responder, vec![claim()]);
        assert_eq!(after.balances, Pair::new(300, 400));
        let _forced = world.force(RESPONDER, step).unwrap();
        world.now = now;
        let refused = Rejection::BaseTooOld { got: base(ROUND, 0), floor: base(ROUND, 1) };
        for message in [Message::Slash, Message::CloseSolo, Message::Snapshot] {
            let expected = if undone { Ok(()) } else { Err(refused) };
            assert_eq!(outcome(&world, now, message, &taken_back, &state), expected, "{message:?} in {now}");
        }
        if !undone {
            let close = CloseSolo { channel: CHANNEL, payload: None, commitment: after.commitment() };
            let _closed = world.apply(RESPONDER, Call::ChannelCloseSolo(close)).unwrap();
            world.now += 20;
            let settled = world.apply(RESPONDER, Call::ChannelSettle { channel: CHANNEL }).unwrap();
            assert_eq!(settled.paid_out, vec![(INITIATOR, 300), (RESPONDER, 400)]);
        }
    }
}

/// A claim is undone in its last block, made again on the state that undid it, and then no round from before the first claim counts, though
/// the second has not stood for long.
#[test]
fn marks_outlive_the_chain_that_they_were_made_on() {
    let state = state();
    let claim = || call(TRANSFER, 0, ConditionalInput::Claim(SECRET));
    let mut world = World::on(&state);
    let (step, _) = world.step(&state, Party::Responder, vec![claim()]);
    let _forced = world.force(RESPONDER, step).unwrap();
    world.now = 119;
    let _undone = world.apply(INITIATOR, snapshot(&on(base(ROUND, 0), ROUND + 2, &state))).unwrap();
    assert_eq!(world.record().on_chain.maturity.marks().len(), 1);
    let (step, _) = world.step(&state, Party::Responder, vec![claim()]);
    let _again = world.force(RESPONDER, step).unwrap();
    let marks = [Mark { reached: base(ROUND, 1), block: 100 }, Mark { reached: base(ROUND + 2, 1), block: 119 }];
    assert_eq!(world.record().on_chain.maturity.marks(), marks);

    let old = on(base(ROUND, 0), ROUND + 4, &state);
    let newer = on(base(ROUND + 2, 0), ROUND + 4, &state);
    let floor = |reached| Err(Rejection::BaseTooOld { got: base(ROUND, 0), floor: reached });
    for (now, of_old, of_newer) in [
        (119, Ok(()), Ok(())),
        (120, floor(base(ROUND, 1)), Ok(())),
        (138, floor(base(ROUND, 1)), Ok(())),
        (
            139,
            floor(base(ROUND + 2, 1)),
            Err(Rejection::BaseTooOld { got: base(ROUND + 2, 0), floor: base(ROUND + 2, 1) }),
        ),
    ] {
        assert_eq!(outcome(&world, now, Message::Snapshot, &old, &state), of_old, "the old one in {now}");
        assert_eq!(outcome(&world, now, Message::Snapshot, &newer, &state), of_newer, "the newer one in {now}");
    }
}

/// Each step of a chain is a mark of its own: the last of them does not give the first ones another lock period.
#[test]
fn each_step_of_a_chain_matures_by_itself() {
    let state = state();
    let mut world = World::on(&state);
    let (step, one) = world.step(&state, Party::Responder, vec![redeem(1)]);
    let _first = world.force(RESPONDER, step).unwrap();
    world.now = 110;
    let (step, _) = world.step(&one, Party::Initiator, vec![redeem(1), redeem(1)]);
    let _second = world.force(INITIATOR, step).unwrap();
    let reached = |floor| Err(Rejection::BaseTooOld { got: base(ROUND, 0), floor });
    for (now, expected) in [(119, Ok(())), (120, reached(base(ROUND, 1))), (130, reached(base(ROUND, 3)))] {
        let body = on(base(ROUND, 0), ROUND + 2, &state);
        assert_eq!(outcome(&world, now, Message::Snapshot, &body, &state), expected, "in {now}");
    }
    let half_way = on(base(ROUND, 1), ROUND + 2, &state);
    assert_eq!(outcome(&world, 129, Message::Snapshot, &half_way, &state), Ok(()));
    let refused = Rejection::BaseTooOld { got: base(ROUND, 1), floor: base(ROUND, 3) };
    assert_eq!(outcome(&world, 130, Message::Snapshot, &half_way, &state), Err(refused));
}

/// Steps in block 101, `more` of them, after one in block 100. As many marks are kept as eight for each step allowed: two.
fn many_marks(more: u32) -> World {
    let state = state();
    let mut world = World::on(&state);
    let (step, _) = world.step(&state, Party::Responder, vec![redeem(1)]);
    let _first = world.force(RESPONDER, step).unwrap();
    world.now = 101;
    for _ in 0..more {
        let on_chain = world.record().on_chain.clone();
        let next = on(on_chain.at, on_chain.at.agreed + 1, &state);
        let plan = world.plan(&state, Some(payload_of(&next)), Party::Initiator, vec![redeem(1)]).unwrap();
        let _step = world.force(INITIATOR, plan.call).unwrap();
    }
    world
}

#[test]
fn sixteen_marks_are_kept_where_two_steps_are_allowed_and_the_lowest_goes_first() {
    let state = state();
    let late = |world: &World, now| {
        let round = world.ledger.channels[&CHANNEL].on_chain.round() + 1;
        outcome(world, now, Message::Snapshot, &on(base(ROUND, 0), round, &state), &state)
    };
    let world = many_marks(15);
    assert_eq!(world.ledger.channels[&CHANNEL].on_chain.maturity.marks().len(), 16);
    assert_eq!(late(&world, 119), Ok(()));
    let first = Rejection::BaseTooOld { got: base(ROUND, 0), floor: base(ROUND, 1) };
    assert_eq!(late(&world, 120), Err(first));

    let world = many_marks(16);
    let marks = world.ledger.channels[&CHANNEL].on_chain.maturity.marks().to_vec();
    assert_eq!((marks.len(), marks[0]), (16, Mark { reached: base(ROUND + 1, 1), block: 101 }));
    assert_eq!(late(&world, 120), Ok(()), "the first mark has gone");
    let last = Rejection::BaseTooOld { got: base(ROUND, 0), floor: base(ROUND + 16, 1) };
    assert_eq!(late(&world, 121), Err(last));
}

/// Mature marks do not count against those that are kept.
#[test]
fn marks_that_are_mature_make_room() {
    let mut world = many_marks(15);
    let state = state();
    world.now = 120;
    let on_chain = world.record().on_chain.clone();
    let next = on(on_chain.at, on_chain.at.agreed + 1, &state);
    let plan = world.plan(&state, Some(payload_of(&next)), Party::Initiator, vec![redeem(1)]).unwrap();
    let _step = world.force(INITIATOR, plan.call).unwrap();
    let maturity = &world.record().on_chain.maturity;
    assert_eq!((maturity.marks().len(), maturity.marks()[0].reached), (16, base(ROUND + 1, 1)));
    assert_eq!(maturity.floor(120, 20), base(ROUND, 1));
    assert_eq!(maturity.highest(), base(ROUND + 16, 1));
}

/// The initiator forces, and closes. Its peer holds 256 of its refused proposals, all from before the step, and shows each just before the
/// lock ends.
#[test]
fn refused_proposals_from_before_a_forced_step_draw_a_close_out_once() {
    let state = state();
    let mut world = World::on(&state);
    let (step, after) = world.step(&state, Party::Initiator, vec![count()]);
    let _forced = world.force(INITIATOR, step).unwrap();
    let close = CloseSolo { channel: CHANNEL, payload: None, commitment: after.commitment() };
    let _closed = world.apply(INITIATOR, Call::ChannelCloseSolo(close)).unwrap();
    let mut slashes = 0;
    for at in 0..256 {
        let unlock_at = world.record().closing().unwrap().unlock_at;
        world.now = unlock_at - 1;
        let proposal = payload_on(base(ROUND, 0), ROUND + 2 + 2 * at, &state);
        let slash = Slash { channel: CHANNEL, payload: proposal, commitment: state.commitment() };
        match world.apply(RESPONDER, Call::ChannelSlash(slash)) {
            Ok(_) => slashes += 1,
            Err(refused) => {
                assert_eq!(refused, Rejection::BaseTooOld { got: base(ROUND, 0), floor: base(ROUND, 1) });
            }
        }
    }
    let unlock_at = world.record().closing().unwrap().unlock_at;
    assert_eq!((slashes, unlock_at), (1, 100 + 20 - 1 + 20));
}

#[test]
fn a_state_that_expires_counts_up_to_its_block_in_every_message_that_takes_a_payload() {
    let state = state();
    let world = World::on(&State { balances: Pair::new(500, 100), ..state.clone() });
    for message in with_payload() {
        for (now, is_late) in [(103, false), (104, false), (105, true), (5_000, true)] {
            let body = StateBody { valid_until: Some(104), ..on(base(ROUND, 0), ROUND + 1, &state) };
            let expected = if is_late { Err(Rejection::Expired { valid_until: 104, now }) } else { Ok(()) };
            assert_eq!(outcome(&world, now, message, &body, &state), expected, "{message:?} in {now}");
        }
        // However far ahead it lies: this is no bound of the arbiter's (R5.13).
        let body = StateBody { valid_until: Some(BlockNumber::MAX), ..on(base(ROUND, 0), ROUND + 1, &state) };
        assert_eq!(outcome(&world, 105, message, &body, &state), Ok(()), "{message:?}");
    }
}

/// What expires is signed: neither is it left out of a state that has it, nor put into one that has none, nor moved.
#[test]
fn base_and_expiry_are_under_the_signatures() {
    let state = state();
    let world = World::on(&State { balances: Pair::new(500, 100), ..state.clone() });
    let honest = payload_of(&StateBody { valid_until: Some(104), ..on(base(ROUND, 0), ROUND + 1, &state) });
    let forged = [
        Payload { valid_until: None, ..honest },
        Payload { valid_until: Some(105), ..honest },
        Payload { base: base(ROUND, 1), ..honest },
        Payload { base: base(ROUND + 1, 0), ..honest },
        Payload { round: ROUND + 2, ..honest },
    ];
    for payload in forged {
        let refused = Err(Rejection::SignatureInvalid { party: Party::Initiator });
        let snapshot = Call::ChannelSnapshotSolo(SnapshotSolo { channel: CHANNEL, payload });
        assert_eq!(world.clone().apply(INITIATOR, snapshot), refused);
        let batched = BatchedCall::SnapshotSolo(SnapshotSolo { channel: CHANNEL, payload });
        let mut after = world.clone();
        let applied = after.apply(INITIATOR, Call::Batch(vec![batched])).unwrap();
        assert_eq!((applied.batch, applied.events), (vec![refused.map(|_: Applied| ())], Vec::new()));
        assert_eq!(after.ledger, world.ledger);
    }
}

/// Of a settled channel no co-signed state counts, however new its base.
#[test]
fn no_base_is_new_enough_for_a_settled_channel() {
    let state = state();
    let mut world = World::on(&state).residual(400);
    for on_base in [base(ROUND, 0), base(ROUND + 8, 3)] {
        let newer = payload_of(&on(on_base, ROUND + 9, &state));
        let plan = world.plan(&state, Some(newer), Party::Initiator, vec![count()]).unwrap();
        assert_eq!(world.force(INITIATOR, plan.call), Err(Rejection::StateFinal));
        assert_eq!(world.apply(INITIATOR, snapshot(&on(on_base, ROUND + 9, &state))), Err(Rejection::NotOpen));
    }
}

/// The class of delegates that watchtowers are of answers with newer states, and moves no coins by calls.
#[test]
fn both_classes_of_delegates_answer_with_newer_states_and_one_of_them_calls() {
    let state = state();
    let newer = on(base(ROUND, 0), ROUND + 2, &state);
    for delegate in [DELEGATE, WATCHER] {
        for message in [Message::Slash, Message::Snapshot] {
            let mut world = World::on(&state);
            let call = message.call(&mut world, &newer, &state);
            assert_eq!(world.clone().apply(STRANGER, call.clone()), Err(Rejection::NotPartyOrDelegate));
            let _answered = world.apply(delegate, call).unwrap();
            assert_eq!(world.record().on_chain.at, Base::of(ROUND + 2));
        }
        // The peer has closed; tokens of the principal's would go to the peer.
        let mut world = World::on(&state).closing(state.balances);
        let (step, _) = world.step(&state, Party::Initiator, vec![call(ESCROW, 0, crate::apps::Tokens::Move(60))]);
        let expected = match delegate {
            DELEGATE => Ok(()),
            _ => Err(Rejection::DelegateMayNotCall { party: Party::Initiator }),
        };
        assert_eq!(world.force(delegate, step).map(drop), expected);
    }
}
