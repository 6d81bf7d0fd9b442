//! What each message refuses by itself, each time with everything else right: the window, the phase, who calls, amounts, both signatures.

use crate::fixture::*;
use protocol::{
    call::SetDelegates,
    signing::SetDelegatesBody,
    terms::{Delegate, MAX_DELEGATES},
};

/// The messages that both sign, by what makes one that is valid until a block.
const CO_SIGNED: [fn(BlockNumber) -> Call; 5] = [
    |valid_until| {
        let mut create = Opening { nonce: 1, ..opening() }.create();
        create.body.valid_until = valid_until;
        create.signatures = Opening { nonce: 1, ..opening() }.sign(&create.body);
        Call::ChannelCreate(create)
    },
    |valid_until| {
        let mut deposit = opening().deposit(Party::Initiator, 50, 2, Pair::new(150, 100));
        deposit.body.valid_until = valid_until;
        deposit.signatures = opening().sign(&deposit.body);
        Call::ChannelDeposit(deposit)
    },
    |valid_until| {
        let mut withdraw = opening().withdraw(Party::Initiator, 50, alice().account, 2);
        withdraw.body.valid_until = valid_until;
        withdraw.signatures = opening().sign(&withdraw.body);
        Call::ChannelWithdraw(withdraw)
    },
    |valid_until| Call::ChannelSetDelegates(set_delegates(Pair::default(), valid_until)),
    |valid_until| {
        let mut close = opening().close_mutual(Pair::new(100, 100), 0);
        close.body.valid_until = valid_until;
        close.signatures = opening().sign(&close.body);
        Call::ChannelCloseMutual(close)
    },
];

fn set_delegates(delegates: Pair<Vec<Delegate>>, valid_until: BlockNumber) -> SetDelegates {
    let state_hash = StateCommitment::of_balances(opening().balances).hash(&Native);
    let body = SetDelegatesBody { delegates, round: 2, base: Base::of(1), state_hash, valid_until };
    SetDelegates { channel: opening().channel(), signatures: opening().sign(&body), body }
}

fn closed() -> World {
    let mut world = World::with_channel(&opening());
    let commitment = StateCommitment::of_balances(opening().balances);
    let close = CloseSolo { channel: opening().channel(), payload: None, commitment };
    let _closed = world.call(alice().account, Call::ChannelCloseSolo(close)).unwrap();
    world
}

#[test]
fn what_both_sign_counts_up_to_its_block_and_no_earlier_than_the_longest_window() {
    const UNTIL: BlockNumber = 160;
    for make in CO_SIGNED {
        for (now, expected) in [
            (109, Err(Rejection::ExpiryTooFar { valid_until: UNTIL, max: 159 })),
            (110, Ok(())),
            (111, Ok(())),
            (159, Ok(())),
            (160, Ok(())),
            (161, Err(Rejection::Expired { valid_until: UNTIL, now: 161 })),
        ] {
            let mut world = World { now, ..World::with_channel(&opening()) };
            let call = make(UNTIL);
            let name = call.name();
            assert_eq!(world.call(thief().account, call).map(drop), expected, "{name} in {now}");
        }
    }
}

#[test]
fn each_signature_is_asked_for_in_every_message_that_both_sign() {
    for make in CO_SIGNED {
        for party in Party::BOTH {
            let mut call = make(NOW + 1);
            let signatures = match &mut call {
                Call::ChannelCreate(call) => &mut call.signatures,
                Call::ChannelDeposit(call) => &mut call.signatures,
                Call::ChannelWithdraw(call) => &mut call.signatures,
                Call::ChannelSetDelegates(call) => &mut call.signatures,
                Call::ChannelCloseMutual(call) => &mut call.signatures,
                other => panic!("{}", other.name()),
            };
            // What the other one signed will not do.
            signatures[party] = signatures[party.peer()];
            let name = call.name();
            let refused = World::with_channel(&opening()).call(alice().account, call);
            assert_eq!(refused, Err(Rejection::SignatureInvalid { party }), "{name}");
        }
    }
}

#[test]
fn while_a_close_waits_only_ends_and_answers_are_taken() {
    let after = StateCommitment::of_balances(Pair::new(120, 80));
    let channel = opening().channel();
    let payload = opening().payload(2, &after);
    let once_more = CloseSolo { channel, payload: None, commitment: StateCommitment::of_balances(opening().balances) };
    let newer = CloseSolo { channel, payload: Some(payload), commitment: after };
    let [_, deposit, withdraw, set_delegates, close_mutual] = CO_SIGNED.map(|make| make(NOW + 1));
    let snapshot = Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload });
    let refused = [deposit, withdraw, set_delegates, snapshot];
    for call in refused.into_iter().chain([once_more, newer].map(Call::ChannelCloseSolo)) {
        let name = call.name();
        assert_eq!(closed().call(alice().account, call), Err(Rejection::NotOpen), "{name}");
    }
    let _ended = closed().call(alice().account, close_mutual).unwrap();
    let slash = Call::ChannelSlash(Slash { channel, payload, commitment: after });
    let _answered = closed().call(alice().account, slash.clone()).unwrap();
    let mut open = World::with_channel(&opening());
    assert_eq!(open.call(alice().account, slash), Err(Rejection::NotClosing));
    assert_eq!(open.call(alice().account, Call::ChannelSettle { channel }), Err(Rejection::NotClosing));
}

#[test]
fn only_a_party_closes_and_neither_a_delegate_nor_a_stranger() {
    let mut world = World::with_channel(&opening());
    let delegates = Pair::new(vec![Delegate::caller(accomplice().account)], Vec::new());
    let _set = world.call(bob().account, Call::ChannelSetDelegates(set_delegates(delegates, NOW))).unwrap();
    let commitment = StateCommitment::of_balances(opening().balances);
    let close = || Call::ChannelCloseSolo(CloseSolo { channel: opening().channel(), payload: None, commitment });
    for caller in [thief(), accomplice()] {
        assert_eq!(world.call(caller.account, close()), Err(Rejection::NotParty));
    }
    let _closed = world.call(bob().account, close()).unwrap();
}

/// Nobody draws a close out by showing what is on chain already.
#[test]
fn a_slash_with_the_state_on_chain_is_refused_and_the_lock_goes_on() {
    let after = StateCommitment::of_balances(Pair::new(120, 80));
    let channel = opening().channel();
    let mut world = closed();
    let slash = || Call::ChannelSlash(Slash { channel, payload: opening().payload(2, &after), commitment: after });
    world.now += 5;
    let _answered = world.call(bob().account, slash()).unwrap();
    world.now += 5;
    let known = Err(Rejection::RoundAlreadyKnown { round: 2 });
    assert_eq!((world.call(bob().account, slash()), world.call(alice().account, slash())), (known.clone(), known));
    assert_eq!(world.ledger.channels[&channel].closing().unwrap().unlock_at, NOW + 5 + 10);
}

#[test]
fn a_state_that_promises_more_than_there_is_is_neither_closed_on_nor_slashed_with() {
    let channel = opening().channel();
    for (initiator, expected) in [
        (99, Ok(())),
        (100, Ok(())),
        (101, Err(Rejection::BalancesExceedTotal { total: 200 })),
        (Amount::MAX, Err(Rejection::BalancesExceedTotal { total: 200 })),
    ] {
        let commitment = StateCommitment::of_balances(Pair::new(initiator, 100));
        let payload = opening().payload(2, &commitment);
        let close = CloseSolo { channel, payload: Some(payload), commitment };
        let closed_on = World::with_channel(&opening()).call(alice().account, Call::ChannelCloseSolo(close));
        let slash = Slash { channel, payload, commitment };
        let slashed = closed().call(alice().account, Call::ChannelSlash(slash));
        assert_eq!((closed_on.map(drop), slashed.map(drop)), (expected, expected), "{initiator}");
    }
}

#[test]
fn a_deposit_of_nothing_is_refused() {
    let deposit = opening().deposit(Party::Responder, 0, 2, opening().balances);
    let refused = World::with_channel(&opening()).call(bob().account, Call::ChannelDeposit(deposit));
    assert_eq!(refused, Err(Rejection::AmountZero));
}

#[test]
fn a_mutual_close_shares_out_exactly_what_there_is() {
    for (balances, fee, got) in [
        (Pair::new(100, 100), 1, Some(201)),
        (Pair::new(100, 100), 0, None),
        (Pair::new(100, 99), 0, Some(199)),
        (Pair::new(0, 0), 0, Some(0)),
        (Pair::new(0, 0), 201, Some(201)),
        (Pair::new(Amount::MAX, 201), 0, None),
        (Pair::new(200, 1), Amount::MAX, None),
    ] {
        let close = Call::ChannelCloseMutual(opening().close_mutual(balances, fee));
        let closed = World::with_channel(&opening()).call(alice().account, close).map(drop);
        let is_whole = balances == Pair::new(100, 100) && fee == 0;
        let expected = if is_whole { Ok(()) } else { Err(Rejection::SumMismatch { got, want: 200 }) };
        assert_eq!(closed, expected, "{balances:?} and {fee}");
    }
}

#[test]
fn each_partys_delegates_become_its_own_and_there_are_eight_at_most() {
    let of = |number: u8, count: usize| vec![Delegate::defender(AccountId([number; 32])); count];
    for (initiator, responder, allowed) in [(8, 0, true), (1, 8, true), (9, 0, false), (0, 9, false)] {
        let mut world = World::with_channel(&opening());
        let before = world.ledger.channels[&opening().channel()].terms.clone();
        let delegates = Pair::new(of(1, initiator), of(2, responder));
        let set = world.call(thief().account, Call::ChannelSetDelegates(set_delegates(delegates.clone(), NOW)));
        if allowed {
            let [(_, ArbiterEvent::ChannelDelegatesSet { delegates: told, round: 2, .. }, _)] =
                &set.unwrap().events[..]
            else {
                panic!()
            };
            assert_eq!(*told, delegates);
            let terms = &world.ledger.channels[&opening().channel()].terms;
            for party in Party::BOTH {
                let expected = PartyTerms { delegates: delegates[party].clone(), ..before.parties[party].clone() };
                assert_eq!(terms.parties[party], expected);
            }
        } else {
            assert_eq!(set, Err(Rejection::TooManyDelegates));
        }
    }
    assert_eq!(MAX_DELEGATES, 8);
}

#[test]
fn a_settled_channel_without_contracts_leaves_no_record() {
    let mut world = closed();
    world.now += 10;
    let applied = world.call(alice().account, Call::ChannelSettle { channel: opening().channel() }).unwrap();
    assert_eq!(applied.paid_out, vec![(alice().account, 100), (bob().account, 100)]);
    assert!(world.ledger.channels.is_empty());
}
