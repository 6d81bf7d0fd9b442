//! Deposits, withdrawals and other delegates with a peer that lies: what is wrong is refused, what is signed binds, and nothing is paid twice.

use crate::harness::{Fate, Initiator, LOCK, RESERVE, Responder, SHARE, World, account, failed, forge::sign};
use channel::{Input, Message, Notice, OperationKind, RefusalCode, Violation};
use protocol::{
    AccountId, Amount, Pair, Party, Rejection,
    call::{Call, CloseSolo, Payload, SnapshotSolo},
    signing::{DepositBody, SetDelegatesBody, StateBody, WithdrawBody},
};

#[test]
fn an_operation_that_is_wrong_in_any_way_meets_its_own_violation() {
    for party in Party::BOTH {
        let peer = party.peer();
        let mut world = World::opened();
        let _id = world.pay(peer, 100).unwrap();
        world.run();
        let (head, agreed, round) = (world.chain.head(), world.agreed(party), world.sides[party].round() + 2);
        let max = head + 2 * world.sides[party].config.operation_validity;
        let hash = |change: i128| {
            let mut balances = agreed;
            balances[peer] = balances[peer].checked_add_signed(change).unwrap();
            channel::State::of(balances).hash()
        };
        let deposit = DepositBody { party: peer, amount: 10, round, state_hash: hash(10), valid_until: head + 10 };
        let withdraw = WithdrawBody { party: peer, amount: 10, round, state_hash: hash(-10), valid_until: head + 10 };
        let deposits = |change: &dyn Fn(&mut DepositBody)| {
            let mut body = deposit.clone();
            change(&mut body);
            Message::DepositCreated(body)
        };
        let withdrawals = |change: &dyn Fn(&mut WithdrawBody)| {
            let mut body = withdraw.clone();
            change(&mut body);
            Message::WithdrawCreated(body)
        };
        let mut delegates = Pair::<Vec<AccountId>>::default();
        delegates[party] = vec![account(peer)];
        let ours = SetDelegatesBody { delegates, round, state_hash: hash(0), valid_until: head + 10 };
        let mut delegates = Pair::<Vec<AccountId>>::default();
        delegates[peer] = vec![account(peer); 9];
        let many = SetDelegatesBody { delegates, ..ours.clone() };
        let (have, reserve) = (agreed[peer], RESERVE);
        let (validation, policy) = (RefusalCode::VALIDATION, RefusalCode::POLICY);
        let too_much = have - RESERVE + 1;
        let cases = [
            (deposits(&|body| body.party = party), Violation::OnBehalfOfOther, validation),
            (deposits(&|body| body.amount = 0), Violation::PaymentOfNothing, validation),
            (deposits(&|body| body.amount = Amount::MAX), Violation::BadTerms(Rejection::AmountOverflow), policy),
            (
                deposits(&|body| body.amount = 11),
                Violation::StateHashMismatch { got: hash(10), want: hash(11) },
                validation,
            ),
            (deposits(&|body| body.round += 1), Violation::WrongParity { got: round + 1, owner: party }, validation),
            (deposits(&|body| body.round -= 2), Violation::RoundTooOld { got: round - 2, have: round - 2 }, validation),
            (
                deposits(&|body| body.valid_until = max + 1),
                Violation::ValidityOutOfBounds { got: max + 1, min: head, max },
                policy,
            ),
            (withdrawals(&|body| body.party = party), Violation::OnBehalfOfOther, validation),
            (withdrawals(&|body| body.amount = 0), Violation::PaymentOfNothing, validation),
            (
                withdrawals(&|body| body.amount = too_much),
                Violation::BelowReserve { have, amount: too_much, reserve },
                validation,
            ),
            (Message::SetDelegatesCreated(ours), Violation::OnBehalfOfOther, validation),
            (Message::SetDelegatesCreated(many), Violation::BadTerms(Rejection::TooManyDelegates), policy),
        ];
        for (message, violation, code) in cases {
            world.wire[peer].clear();
            world.hear(party, message.clone());
            let said = match (&message, world.steal(peer)) {
                (Message::DepositCreated(body), Message::DepositError { round, code }) => (body.round == round, code),
                (Message::WithdrawCreated(body), Message::WithdrawError { round, code }) => (body.round == round, code),
                (Message::SetDelegatesCreated(body), Message::SetDelegatesError { round, code }) => {
                    (body.round == round, code)
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(said, (true, code), "{message:?}");
            assert_eq!(world.sides[party].notices().last(), Some(&Notice::PeerViolated(violation)));
        }
        // One that is too late is no wrong.
        world.hear(party, deposits(&|body| body.valid_until = head - 1));
        assert_eq!(world.steal(peer), Message::DepositError { round, code: RefusalCode::NOT_NOW });
        // The sound one is signed after all of them, once and the same when asked for again.
        for _ in 0..2 {
            world.hear(party, Message::DepositCreated(deposit.clone()));
            let Message::DepositSigned { round: signed, .. } = world.steal(peer) else { panic!("a signature") };
            assert_eq!(signed, round);
        }
        world.hear(party, Message::WithdrawCreated(withdraw.clone()));
        assert_eq!(world.steal(peer), Message::WithdrawError { round, code: RefusalCode::NOT_NOW });
    }
}

#[test]
fn a_signature_that_does_not_fit_or_answers_nothing_is_no_answer() {
    for party in Party::BOTH {
        let (mut world, peer) = (World::opened(), party.peer());
        world.deposit(party, 50).unwrap();
        let Message::DepositCreated(body) = world.steal(peer) else { panic!("the question") };
        let (round, channel) = (body.round, world.channel_id());
        let sound = sign(peer, channel, &body);
        let state = StateBody { round, state_hash: body.state_hash };
        let withdraw = WithdrawBody {
            party,
            amount: body.amount,
            round,
            state_hash: body.state_hash,
            valid_until: body.valid_until,
        };
        for signature in [sign(party, channel, &body), sign(peer, channel, &state), sign(peer, channel, &withdraw)] {
            world.hear(party, Message::DepositSigned { round, signature });
            assert_eq!(world.sides[party].notices().last(), Some(&Notice::PeerViolated(Violation::SignatureInvalid)));
        }
        world.hear(party, Message::DepositSigned { round: round + 2, signature: sound });
        let violation = Violation::RoundNotProposed { got: round + 2 };
        assert_eq!(world.sides[party].notices().last(), Some(&Notice::PeerViolated(violation)));
        world.hear(party, Message::WithdrawSigned { round, signature: sound });
        assert_eq!(world.chain.times_asked(party, "channel_deposit"), 0);
        world.hear(party, Message::DepositSigned { round, signature: sound });
        assert_eq!(world.chain.times_asked(party, "channel_deposit"), 1);
    }
}

#[test]
fn a_peer_that_refuses_an_operation_ends_it_and_the_code_is_told() {
    let mut world = World::opened();
    world.withdraw(Initiator, 50).unwrap();
    let Message::WithdrawCreated(body) = world.steal(Responder) else { panic!("the question") };
    let code = RefusalCode(200);
    // About another one: nothing.
    world.hear(Initiator, Message::WithdrawError { round: body.round + 2, code });
    world.hear(Initiator, Message::DepositError { round: body.round, code });
    assert!(failed(&world, Initiator).is_empty());
    world.hear(Initiator, Message::WithdrawError { round: body.round, code });
    assert_eq!(failed(&world, Initiator), [(OperationKind::Withdraw, code)]);
    // Its late signature changes nothing: the coins are not gone, and what is agreed goes on.
    let signature = sign(Responder, world.channel_id(), &body);
    world.hear(Initiator, Message::WithdrawSigned { round: body.round, signature });
    assert_eq!(world.chain.times_asked(Initiator, "channel_withdraw"), 0);
    for party in Party::BOTH {
        let _id = world.pay(party, 30).unwrap();
        world.run();
    }
    world.assert_agreed();
}

#[test]
fn a_signed_deposit_binds_until_it_has_expired_whatever_the_peer_says() {
    for asker in Party::BOTH {
        let (mut world, cheat) = (World::opened(), asker.peer());
        let _new = world.chain.censored.insert("channel_deposit");
        world.deposit(asker, 50).unwrap();
        world.run();
        let above = world.sides[asker].signed.last_key_value().unwrap().0 + 1;
        let update = world.forge_update(cheat, above, &[5]);
        for _ in 0..3 {
            world.hear(asker, Message::Update(update.clone()));
            assert_eq!(world.steal(cheat), Message::UpdateError { round: above, code: RefusalCode::NOT_NOW });
            world.hear(asker, Message::DepositError { round: above - 1, code: RefusalCode::VALIDATION });
            let close = world.forge_shutdown(cheat, 0, world.chain.head() + 10);
            world.hear(asker, Message::Shutdown(close));
            assert_eq!(world.sides[asker].state(), "open");
            world.crash(asker);
            world.run();
        }
        assert_eq!(world.sides[asker].round(), 1);
    }
}

/// A payer's round that lost to the cheat's deposit, which then expires: the payer's signature is with the cheat.
fn round_beaten_by_a_deposit_that_expires(payer: Party) -> (World, CloseSolo) {
    let (mut world, cheat) = (World::opened(), payer.peer());
    let _id = world.pay(payer, 30).unwrap();
    let Message::Update(kept) = world.steal(cheat) else { panic!("the round") };
    let mut balances = Pair::new(SHARE, SHARE);
    balances[payer] -= 30;
    balances[cheat] += 30;
    let evidence = world.co_sign(payer, &kept, balances);
    let mut after = Pair::new(SHARE, SHARE);
    after[cheat] += 50;
    let (round, valid_until) = (kept.round + 1, world.chain.head() + 2);
    let state_hash = channel::State::of(after).hash();
    let body = DepositBody { party: cheat, amount: 50, round, state_hash, valid_until };
    world.hear(payer, Message::DepositCreated(body));
    let Message::DepositSigned { .. } = world.steal(cheat) else { panic!("the signature") };
    // Its own machine is no help from now on.
    world.kill(cheat);
    (world, evidence)
}

#[test]
fn a_round_that_lost_to_an_expired_deposit_cannot_be_paid_twice() {
    for payer in Party::BOTH {
        let (mut world, evidence) = round_beaten_by_a_deposit_that_expires(payer);
        let cheat = payer.peer();
        world.mine_blocks(3);
        // While the payment waits again, the cheat shows the round as agreed.
        let Payload { round, signatures, .. } = evidence.payload.unwrap();
        let state = evidence.commitment;
        let shown = channel::Reestablish { round, state, signatures: Some(signatures) };
        world.linked = true;
        world.input(payer, Input::LinkUp).unwrap();
        world.hear(payer, Message::Reestablish(shown));
        let violation = Violation::RoundTooOld { got: round, have: round + 1 };
        assert_eq!(world.sides[payer].notices().last(), Some(&Notice::PeerViolated(violation)));
        // On chain it counts, and the payment with it: once.
        let channel = world.channel_id();
        let payload = evidence.payload.unwrap();
        world.chain.submit(cheat, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
        world.mine();
        assert_eq!(world.sides[payer].round(), round);
        assert!(world.sides[payer].sent.values().all(|(_, fate)| *fate == Fate::Paid(round)));
        assert_eq!(world.sides[payer].machine().status().pending, 0);
        assert_eq!(world.agreed(payer), evidence.commitment.balances);
        // And the payer can close: it knows the state that the chain has.
        world.close_solo(payer).unwrap();
        world.mine_blocks(LOCK + 5);
        let mut balances = Pair::new(SHARE, SHARE);
        balances[payer] -= 30;
        balances[cheat] += 30;
        world.assert_paid_out(balances.initiator, balances.responder);
    }
}

#[test]
fn a_payment_that_the_chain_has_made_is_not_made_again_by_the_round_that_repeats_it() {
    for payer in Party::BOTH {
        let (mut world, evidence) = round_beaten_by_a_deposit_that_expires(payer);
        let cheat = payer.peer();
        world.mine_blocks(3);
        world.linked = true;
        world.input(payer, Input::LinkUp).unwrap();
        let first = channel::State::of(Pair::new(SHARE, SHARE)).commitment();
        world.hear(payer, Message::Reestablish(channel::Reestablish { round: 1, state: first, signatures: None }));
        let Message::Update(again) = world.steal(cheat) else { panic!("the payment once more") };
        let also = world.pay(payer, 5).unwrap();
        // The cheat puts the first on chain, and beats the second by another deposit that expires.
        let (channel, payload) = (world.channel_id(), evidence.payload.unwrap());
        world.chain.submit(cheat, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
        world.mine();
        let mut balances = evidence.commitment.balances;
        assert_eq!(world.agreed(payer), balances);
        let mut after = balances;
        after[cheat] += 50;
        let (round, state_hash) = (again.round + 1, channel::State::of(after).hash());
        let valid_until = world.chain.head() + 2;
        let body = DepositBody { party: cheat, amount: 50, round, state_hash, valid_until };
        world.hear(payer, Message::DepositCreated(body));
        let Message::DepositSigned { .. } = world.steal(cheat) else { panic!("the signature") };
        world.mine_blocks(3);
        // What is proposed on top is the other payment, and nothing else.
        let Message::Update(next) = world.steal(cheat) else { panic!("what is left") };
        balances[payer] -= 5;
        balances[cheat] += 5;
        assert_eq!(next.state_hash, channel::State::of(balances).hash());
        assert_eq!(next.changes.len(), 1);
        assert_eq!(world.sides[payer].sent[&also].1, Fate::Pending);
    }
}

#[test]
fn a_round_that_was_refused_and_put_on_chain_all_the_same_is_told_as_paid() {
    for payer in Party::BOTH {
        let (mut world, cheat) = (World::opened(), payer.peer());
        let id = world.pay(payer, 40).unwrap();
        let Message::Update(kept) = world.steal(cheat) else { panic!("the round") };
        let (round, code) = (kept.round, RefusalCode(200));
        world.hear(payer, Message::UpdateError { round, code });
        assert_eq!(world.sides[payer].sent[&id].1, Fate::Refused);
        let mut balances = Pair::new(SHARE, SHARE);
        balances[payer] -= 40;
        balances[cheat] += 40;
        let evidence = world.co_sign(payer, &kept, balances);
        world.crash(payer);
        let channel = world.channel_id();
        let payload = evidence.payload.unwrap();
        world.chain.submit(cheat, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
        world.mine();
        assert_eq!(world.sides[payer].sent[&id].1, Fate::Paid(round));
        world.kill(cheat);
        world.close_solo(payer).unwrap();
        world.mine_blocks(LOCK + 5);
        world.assert_paid_out(balances.initiator, balances.responder);
    }
}

#[test]
fn an_own_proposal_that_the_peer_puts_on_chain_without_answering_is_agreed() {
    for payer in Party::BOTH {
        let (mut world, cheat) = (World::opened(), payer.peer());
        let id = world.pay(payer, 40).unwrap();
        let Message::Update(kept) = world.steal(cheat) else { panic!("the round") };
        let mut balances = Pair::new(SHARE, SHARE);
        balances[payer] -= 40;
        balances[cheat] += 40;
        let payload = world.co_sign(payer, &kept, balances).payload.unwrap();
        let channel = world.channel_id();
        world.chain.submit(cheat, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
        world.mine();
        assert_eq!(world.sides[payer].sent[&id].1, Fate::Paid(kept.round));
        assert_eq!(world.agreed(payer), balances);
        assert_eq!(world.sides[payer].machine().evidence().unwrap().payload, None);
    }
}
