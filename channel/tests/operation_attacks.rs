//! Deposits, withdrawals and other delegates with a peer that lies: what is wrong is refused, what is signed binds, and nothing is paid twice.

use crate::harness::{
    Fate, Initiator, LOCK, RESERVE, Responder, SHARE, World, account, failed,
    forge::{sign, state_body},
};
use channel::{Message, Notice, OperationKind, RefusalCode, Violation};
use protocol::{
    Amount, Pair, Party, Rejection,
    call::{Call, SnapshotSolo},
    signing::{DepositBody, SetDelegatesBody, WithdrawBody},
    terms::Delegate,
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
        let (base, to, amount, valid_until) = (world.base(party), account(peer), 10, head + 10);
        let deposit = DepositBody { party: peer, amount, round, base, state_hash: hash(10), valid_until };
        let withdraw = WithdrawBody { party: peer, amount, to, round, base, state_hash: hash(-10), valid_until };
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
        let mut delegates = Pair::<Vec<Delegate>>::default();
        delegates[party] = vec![Delegate::defender(account(peer))];
        let ours = SetDelegatesBody { delegates, round, base, state_hash: hash(0), valid_until };
        let mut delegates = Pair::<Vec<Delegate>>::default();
        delegates[peer] = vec![Delegate::defender(account(peer)); 9];
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
        let state = state_body(round, body.base, body.state_hash);
        let withdraw = WithdrawBody {
            party,
            amount: body.amount,
            to: account(party),
            round,
            base: body.base,
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

#[test]
fn a_question_that_crosses_an_open_round_binds_nobody() {
    for payer in Party::BOTH {
        let (mut world, cheat) = (World::opened(), payer.peer());
        let id = world.pay(payer, 30).unwrap();
        let Message::Update(open) = world.steal(cheat) else { panic!("the round") };
        let mut after = Pair::new(SHARE, SHARE);
        after[cheat] += 50;
        let (base, state_hash) = (world.base(payer), channel::State::of(after).hash());
        // Above the round, and below it: the peer has to answer the round first (R6.5a).
        for round in [open.round + 1, open.round + 3] {
            let valid_until = world.chain.head() + 2;
            let body = DepositBody { party: cheat, amount: 50, round, base, state_hash, valid_until };
            world.hear(payer, Message::DepositCreated(body));
            assert!(world.wire[cheat].is_empty(), "nothing is signed beside the open round");
        }
        // The peer keeps the round, and puts it on chain in the end: it is paid, once.
        let mut balances = Pair::new(SHARE, SHARE);
        balances[payer] -= 30;
        balances[cheat] += 30;
        let payload = world.co_sign(payer, &open, balances).payload.unwrap();
        world.kill(cheat);
        let channel = world.channel_id();
        world.chain.submit(cheat, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }));
        world.mine();
        assert_eq!(world.sides[payer].sent[&id].1, Fate::Paid(open.round));
        assert_eq!(world.sides[payer].machine().status().pending, 0);
        world.close_solo(payer).unwrap();
        world.mine_blocks(LOCK + 5);
        world.assert_paid_out(balances.initiator, balances.responder);
    }
}

#[test]
fn a_round_that_is_refused_without_a_signature_stays_open_and_may_be_put_on_chain() {
    for payer in Party::BOTH {
        let (mut world, cheat) = (World::opened(), payer.peer());
        let id = world.pay(payer, 40).unwrap();
        let Message::Update(kept) = world.steal(cheat) else { panic!("the round") };
        let (round, code) = (kept.round, RefusalCode(200));
        world.hear(payer, Message::UpdateError { round, code });
        // No counter-round, no refusal: the payment waits, and the user is told why.
        assert_eq!(world.sides[payer].notices().last(), Some(&Notice::Postponed { round, code }));
        assert_eq!(world.sides[payer].sent[&id].1, Fate::Pending);
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
