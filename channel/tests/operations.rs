//! Deposits, withdrawals and other delegates while the channel is open (R5.5, R5.7, R6.5).

use crate::harness::{
    Fate, Initiator, LOCK, RESERVE, Responder, SHARE, TOTAL, World, account, chain::FUNDS, failed, party_terms,
};
use channel::{Command, Event, Message, Misuse, Notice, OperationKind, RefusalCode, ShutdownStage};
use protocol::{AccountId, Amount, Pair, Party, Rejection, call::CallKind, terms::Delegate};

/// Says, mines and hears until nothing is under way.
fn finish(world: &mut World) {
    for _ in 0..3 {
        world.run();
        world.mine();
    }
    world.run();
}

#[test]
fn a_deposit_adds_coins_of_ones_vault_once_both_have_seen_it_final() {
    for party in Party::BOTH {
        let mut world = World::opened();
        world.deposit(party, 500).unwrap();
        world.run();
        world.assert_balances(SHARE, SHARE);
        assert_eq!(world.sides[party].machine().status().operation, Some(OperationKind::Deposit));
        world.mine();
        world.run();
        let mut balances = Pair::new(SHARE, SHARE);
        balances[party] += 500;
        world.assert_balances(balances.initiator, balances.responder);
        assert_eq!(world.chain.ledger.vaults[&party_terms(party).id()], FUNDS - SHARE - 500);
        for side in Party::BOTH {
            assert_eq!(world.sides[side].was_told(|event| matches!(event, Event::Deposited { .. })), 1);
        }
        // The new coins can be spent, and taken home by a close alone on the state that the chain has.
        world.assert_agreed();
        let evidence = world.sides[party].machine().evidence().unwrap();
        assert_eq!(evidence.payload, None);
        let _id = world.pay(party, SHARE + 400).unwrap();
        world.run();
        world.assert_agreed();
        world.assert_no_complaints();
        world.close_solo(party.peer()).unwrap();
        world.mine_blocks(LOCK + 5);
        assert!(world.chain.is_closed());
        assert_eq!(world.chain.wealth(party), FUNDS - SHARE - 400);
        assert_eq!(world.chain.wealth(party.peer()), FUNDS + SHARE + 400);
    }
}

#[test]
fn a_withdrawal_takes_own_coins_out_and_the_channel_goes_on() {
    for party in Party::BOTH {
        let mut world = World::opened();
        let _id = world.pay(party.peer(), 100).unwrap();
        world.run();
        world.withdraw(party, SHARE + 100 - RESERVE).unwrap();
        assert_eq!(world.sides[party].balances().spendable, 0, "what goes out cannot be spent as well");
        finish(&mut world);
        let left = world.sides[party].balances();
        assert_eq!((left.ours, left.peers), (RESERVE, SHARE - 100));
        assert_eq!(world.chain.paid_out[&account(party)], SHARE + 100 - RESERVE);
        let _id = world.pay(party.peer(), 7).unwrap();
        world.run();
        world.assert_agreed();
        world.assert_no_complaints();
        world.shutdown(party, 0).unwrap();
        finish(&mut world);
        assert!(world.chain.is_closed());
        assert_eq!(world.chain.wealth(party), FUNDS + 107);
        assert_eq!(world.chain.wealth(party.peer()), FUNDS - 107);
    }
}

#[test]
fn other_delegates_take_effect_on_chain_and_in_the_terms_of_both() {
    for party in Party::BOTH {
        let mut world = World::opened();
        let tower = Delegate::defender(AccountId([77; 32]));
        world.command(party, Command::SetDelegates { delegates: vec![tower] }).unwrap();
        finish(&mut world);
        for side in Party::BOTH {
            let terms = world.sides[side].machine().terms().unwrap();
            assert_eq!(terms.parties[party].delegates, [tower]);
            assert!(terms.parties[party.peer()].delegates.is_empty());
            assert_eq!(world.sides[side].was_told(|event| matches!(event, Event::DelegatesSet { .. })), 1);
        }
        let record = world.chain.ledger.channels.values().next().unwrap();
        assert!(record.terms.may_defend(&tower.account));
        // The next ones keep the other side's.
        world
            .command(party.peer(), Command::SetDelegates { delegates: vec![tower, Delegate::caller(account(party))] })
            .unwrap();
        finish(&mut world);
        let terms = world.sides[party].machine().terms().unwrap();
        assert_eq!((terms.parties[party].delegates.len(), terms.parties[party.peer()].delegates.len()), (1, 2));
        let _id = world.pay(Initiator, 1).unwrap();
        let _id = world.pay(Responder, 1).unwrap();
        world.run();
        world.assert_agreed();
        world.assert_no_complaints();
    }
}

#[test]
fn payments_of_either_side_wait_for_an_operation_and_are_made_after_it() {
    for party in Party::BOTH {
        let mut world = World::opened();
        world.deposit(party, 50).unwrap();
        world.run();
        let ids = [Initiator, Responder].map(|payer| (payer, world.pay(payer, 20).unwrap()));
        world.run();
        for (payer, id) in ids {
            assert_eq!(world.sides[payer].sent[&id].1, Fate::Pending, "nothing is proposed past a signed operation");
            assert_eq!(world.sides[payer].round(), 1);
        }
        finish(&mut world);
        for (payer, id) in ids {
            assert!(matches!(world.sides[payer].sent[&id].1, Fate::Paid(_)));
        }
        world.assert_agreed();
        world.assert_no_complaints();
    }
}

#[test]
fn an_operation_waits_for_the_round_before_it_and_a_shutdown_for_the_operation() {
    let mut world = World::opened();
    let (first, second) = (world.pay(Initiator, 5).unwrap(), world.pay(Initiator, 6).unwrap());
    world.deposit(Initiator, 50).unwrap();
    world.shutdown(Initiator, 0).unwrap();
    assert_eq!(world.deposit(Initiator, 50), Err(Misuse::AlreadyClosing));
    world.run();
    assert!(matches!(world.sides[Initiator].sent[&first].1, Fate::Paid(_)));
    assert_eq!(world.sides[Initiator].sent[&second].1, Fate::Pending);
    finish(&mut world);
    world.mine();
    assert!(matches!(world.sides[Initiator].sent[&second].1, Fate::Paid(_)));
    world.assert_paid_out(SHARE - 11, SHARE + 11);
    world.assert_no_complaints();
}

#[test]
fn an_operation_that_never_gets_on_chain_leaves_nothing_behind() {
    for party in Party::BOTH {
        for (kind, name) in [(OperationKind::Deposit, "channel_deposit"), (OperationKind::Withdraw, "channel_withdraw")]
        {
            let mut world = World::opened();
            let _new = world.chain.censored.insert(name);
            match kind {
                OperationKind::Deposit => world.deposit(party, 50).unwrap(),
                _ => world.withdraw(party, 50).unwrap(),
            }
            world.run();
            let used = *world.sides[party].signed.last_key_value().unwrap().0;
            let id = world.pay(party.peer(), 5).unwrap();
            let validity = world.sides[party].config.operation_validity;
            world.mine_blocks(validity - 1);
            let asked = world.chain.times_asked(party, name);
            world.mine();
            assert_eq!(world.chain.times_asked(party, name), asked, "the next block is too late");
            assert_eq!(world.sides[party.peer()].sent[&id].1, Fate::Pending, "in its last block it still counts");
            world.mine();
            world.run();
            assert_eq!(failed(&world, party), [(kind, RefusalCode::TIMEOUT)]);
            assert!(failed(&world, party.peer()).is_empty());
            assert!(matches!(world.sides[party.peer()].sent[&id].1, Fate::Paid(round) if round > used));
            let balances = world.agreed(party);
            assert_eq!(balances.sum(), Some(TOTAL));
            // And once more, this time with success.
            world.chain.censored.clear();
            world.deposit(party, 60).unwrap();
            finish(&mut world);
            world.assert_agreed();
            assert_eq!(world.sides[party].deposited, 60);
        }
    }
}

#[test]
fn a_deposit_from_an_empty_vault_is_told_once_to_both_and_tried_until_it_expires() {
    let mut world = World::opened();
    world.chain.empty_vault(Responder);
    world.deposit(Responder, 50).unwrap();
    world.run();
    world.mine_blocks(5);
    let rejection = Rejection::VaultTooLow { party: Responder, have: 0, need: 50 };
    let notice = Notice::CallRejected { call: CallKind::ChannelDeposit, rejection };
    let until = world.sides[Initiator].machine().status().operation_until.unwrap();
    assert_eq!(world.sides[Responder].machine().status().operation_until, Some(until));
    let refused = |rejection| Notice::OperationRefused { operation: OperationKind::Deposit, rejection, until };
    assert_eq!(world.sides[Responder].notices().collect::<Vec<_>>(), [&notice, &refused(Some(rejection))]);
    world.run();
    assert_eq!(world.sides[Initiator].notices().collect::<Vec<_>>(), [&refused(None)]);
    // Said again it is told no more; of what this side has not signed it is nothing.
    let round = world.sides[Initiator].round() + 3;
    for round in [round, round + 2] {
        world.hear(Initiator, Message::DepositError { round, code: RefusalCode::ON_CHAIN });
    }
    assert_eq!(world.sides[Initiator].notices().count(), 1);
    world.chain.deposit(Responder, 50);
    world.mine();
    world.run();
    world.assert_balances(SHARE, SHARE + 50);
    world.assert_agreed();
}

#[test]
fn a_close_that_waits_for_the_peer_says_so_and_is_taken_back_as_long_as_nothing_is_signed() {
    for party in Party::BOTH {
        let mut world = World::opened();
        assert_eq!(world.command(party, Command::CancelShutdown), Err(Misuse::NoShutdown));
        world.disconnect();
        world.shutdown(party, 0).unwrap();
        assert_eq!(world.sides[party].notices().collect::<Vec<_>>(), [&Notice::ShutdownAwaitsPeer]);
        assert_eq!(world.sides[party].machine().status().shutdown, Some(ShutdownStage::AwaitsPeer));
        assert_eq!(world.pay(party, 1), Err(Misuse::AlreadyClosing));
        // It is stored, and so is that it is taken back.
        world.crash(party);
        assert_eq!(world.sides[party].machine().status().shutdown, Some(ShutdownStage::AwaitsPeer));
        world.command(party, Command::CancelShutdown).unwrap();
        world.crash(party);
        assert_eq!(world.sides[party].machine().status().shutdown, None);
        let _id = world.pay(party, 1).unwrap();
        world.run();
        world.assert_agreed();

        // Asked for beside a payment it waits for that.
        let _id = world.pay(party, 1).unwrap();
        world.shutdown(party, 0).unwrap();
        assert_eq!(world.sides[party].machine().status().shutdown, Some(ShutdownStage::AwaitsChanges));
        world.command(party, Command::CancelShutdown).unwrap();
        world.run();
        world.assert_agreed();

        // Offered, it is the peer's to put on chain.
        world.shutdown(party, 0).unwrap();
        let Some(ShutdownStage::Offered { until }) = world.sides[party].machine().status().shutdown else { panic!() };
        assert_eq!(world.command(party, Command::CancelShutdown), Err(Misuse::ShutdownSigned { until }));
        world.run();
        world.mine();
        assert_eq!(world.command(party, Command::CancelShutdown), Err(Misuse::NotOpen { state: "closed" }));
    }
}

/// What a side may begin.
type Begin = fn(&mut World, Party);

const BEGINNINGS: [(&str, Begin); 5] = [
    ("payment", |world, party| {
        let _id = world.pay(party, 30).unwrap();
    }),
    ("deposit", |world, party| world.deposit(party, 50).unwrap()),
    ("withdrawal", |world, party| world.withdraw(party, 40).unwrap()),
    ("delegates", |world, party| {
        world
            .command(party, Command::SetDelegates { delegates: vec![Delegate::defender(AccountId([9; 32]))] })
            .unwrap();
    }),
    ("shutdown", |world, party| world.shutdown(party, 0).unwrap()),
];

#[test]
fn whatever_the_two_begin_at_once_is_done_without_a_word_to_the_users() {
    for (ours, begin_ours) in BEGINNINGS {
        for (theirs, begin_theirs) in BEGINNINGS {
            // Who is ahead in rounds decides who wins.
            for first in [None, Some(Initiator), Some(Responder)] {
                let mut world = World::opened();
                if let Some(first) = first {
                    let _id = world.pay(first, 1).unwrap();
                    world.run();
                }
                begin_ours(&mut world, Initiator);
                begin_theirs(&mut world, Responder);
                for _ in 0..20 {
                    finish(&mut world);
                }
                let context = format!("{ours} and {theirs} after {first:?}");
                if ours == "shutdown" || theirs == "shutdown" {
                    assert!(world.chain.is_closed(), "{context}");
                    world.assert_books();
                } else {
                    assert_eq!(world.states(), ("open", "open"), "{context}");
                    world.assert_agreed();
                    world.assert_no_complaints();
                    for (name, party) in [(ours, Initiator), (theirs, Responder)] {
                        let side = &world.sides[party];
                        assert_eq!(side.deposited, if name == "deposit" { 50 } else { 0 }, "{context}");
                        assert_eq!(side.withdrawn, if name == "withdrawal" { 40 } else { 0 }, "{context}");
                    }
                }
                let notices = Party::BOTH.iter().flat_map(|&party| world.sides[party].notices());
                let wrong = |notice: &&Notice| matches!(notice, Notice::PeerViolated(_) | Notice::StaleStore { .. });
                assert_eq!(notices.filter(wrong).count(), 0, "{context}");
            }
        }
    }
}

#[test]
fn an_operation_survives_a_broken_link_at_every_message() {
    for (name, begin) in [BEGINNINGS[1], BEGINNINGS[2], BEGINNINGS[3]] {
        for by in Party::BOTH {
            for crossing in [false, true] {
                for mined in [false, true] {
                    for delivered in 0.. {
                        let mut world = World::opened();
                        begin(&mut world, by);
                        if crossing {
                            let _id = world.pay(by.peer(), 5).unwrap();
                        }
                        let mut more = true;
                        for turn in 0..delivered {
                            let first = if turn % 2 == 0 { by.peer() } else { by };
                            if mined {
                                world.mine();
                            }
                            more = world.deliver(first) || world.deliver(first.peer());
                        }
                        world.disconnect();
                        for _ in 0..3 {
                            finish(&mut world);
                        }
                        world.assert_agreed();
                        world.assert_no_complaints();
                        let (deposited, withdrawn) = (world.sides[by].deposited, world.sides[by].withdrawn);
                        let want = match name {
                            "deposit" => (50, 0),
                            "withdrawal" => (0, 40),
                            _ => (0, 0),
                        };
                        assert_eq!((deposited, withdrawn), want, "{name} of {by:?} after {delivered} messages");
                        if !more {
                            break;
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn sides_that_see_the_chain_at_different_times_agree_in_the_end() {
    for (name, begin) in [BEGINNINGS[1], BEGINNINGS[2]] {
        for by in Party::BOTH {
            for lagging in Party::BOTH {
                for censored in [false, true] {
                    let mut world = World::opened();
                    if censored {
                        let _new = world.chain.censored.insert("channel_deposit");
                        let _new = world.chain.censored.insert("channel_withdraw");
                    }
                    world.lag[lagging] = 7;
                    world.mine_blocks(8);
                    begin(&mut world, by);
                    for block in 0..75 {
                        world.run();
                        world.mine();
                        if block % 10 == 5 {
                            for party in Party::BOTH {
                                let _id = world.pay(party, 1).unwrap();
                            }
                        }
                    }
                    world.lag = Pair::default();
                    world.mine();
                    world.run();
                    let context = format!("{name} of {by:?}, {lagging:?} lags");
                    assert_eq!(world.states(), ("open", "open"), "{context}");
                    assert_eq!(failed(&world, by).is_empty(), !censored, "{context}");
                    let wrong = |notice: &&Notice| matches!(notice, Notice::PeerViolated(_));
                    for party in Party::BOTH {
                        assert_eq!(world.sides[party].notices().filter(wrong).count(), 0, "{context}");
                        assert_eq!(world.sides[party].paid().len(), 7, "{context}");
                    }
                    world.assert_agreed();
                }
            }
        }
    }
}

#[test]
fn what_is_impossible_is_refused_to_the_user() {
    let mut world = World::opened();
    assert_eq!(world.deposit(Initiator, 0), Err(Misuse::AmountZero));
    assert_eq!(world.withdraw(Initiator, 0), Err(Misuse::AmountZero));
    let available = SHARE - RESERVE;
    let amount = available + 1;
    assert_eq!(world.withdraw(Initiator, amount), Err(Misuse::InsufficientBalance { amount, available }));
    assert_eq!(world.deposit(Initiator, Amount::MAX), Err(Misuse::WouldBeRefused(Rejection::AmountOverflow)));
    let delegates = vec![Delegate::defender(account(Initiator)); 9];
    let too_many = world.command(Initiator, Command::SetDelegates { delegates });
    assert_eq!(too_many, Err(Misuse::WouldBeRefused(Rejection::TooManyDelegates)));
    world.deposit(Initiator, 5).unwrap();
    assert_eq!(world.deposit(Initiator, 5), Err(Misuse::OperationPending));
    world.run();
    assert_eq!(world.withdraw(Initiator, 5), Err(Misuse::OperationPending));
    assert!(world.withdraw(Responder, 5).is_ok(), "the other side's waits");
    finish(&mut world);
    finish(&mut world);
    assert_eq!((world.sides[Initiator].deposited, world.sides[Responder].withdrawn), (5, 5));
    world.close_solo(Initiator).unwrap();
    assert_eq!(world.deposit(Initiator, 5), Err(Misuse::AlreadyClosing));
    world.mine_blocks(LOCK + 5);
    assert_eq!(world.deposit(Initiator, 5), Err(Misuse::NotOpen { state: "closed" }));
}

#[test]
fn a_close_by_one_side_beats_an_operation_that_is_not_on_chain_yet() {
    for closer in Party::BOTH {
        for asker in Party::BOTH {
            let mut world = World::opened();
            let _new = world.chain.censored.insert("channel_deposit");
            world.deposit(asker, 50).unwrap();
            world.run();
            world.close_solo(closer).unwrap();
            world.mine();
            assert_eq!(failed(&world, asker), [(OperationKind::Deposit, RefusalCode::CLOSING)]);
            world.chain.censored.clear();
            world.mine_blocks(LOCK + 5);
            world.assert_paid_out(SHARE, SHARE);
        }
    }
}

#[test]
fn a_close_by_one_side_that_an_operation_overtakes_is_made_on_the_state_after_it() {
    for closer in Party::BOTH {
        for asker in Party::BOTH {
            let mut world = World::opened();
            let _id = world.pay(Initiator, 10).unwrap();
            world.run();
            world.deposit(asker, 50).unwrap();
            world.run();
            // The deposit is in the pool first.
            world.close_solo(closer).unwrap();
            world.mine_blocks(2 * LOCK);
            world.assert_paid_out(SHARE - 10, SHARE + 10);
            assert_eq!(world.sides[asker].deposited, 50);
        }
    }
}
