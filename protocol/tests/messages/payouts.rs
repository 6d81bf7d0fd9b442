//! Where coins go that leave a channel (R5.1, R5.5, R5.12), and where instead when the chain does not move them there.

use crate::fixture::*;

fn named(party: Party) -> Person {
    if party == Party::Initiator { alice() } else { bob() }
}

fn payouts(applied: &Applied) -> &[Payout] {
    let [(_, _, payouts)] = &applied.events[..] else { panic!("one event") };
    payouts
}

/// The account paid, the destination that the party named for itself, whether the chain moves coins to that account, and where they are
/// then.
#[test]
fn a_withdrawal_goes_to_the_account_that_both_named() {
    const SOMEBODY: AccountId = AccountId([0x77; 32]);
    for party in Party::BOTH {
        let (own, peer) = (named(party).account, named(party.peer()).account);
        for (to, payout, refuses, paid) in [
            (own, Destination::Account, false, true),
            (own, Destination::Account, true, false),
            // One's own account honours the destination that one named at opening.
            (own, Destination::Vault, false, false),
            // Anybody else's is paid, whatever the destination of the party, or the peer.
            (SOMEBODY, Destination::Account, false, true),
            (SOMEBODY, Destination::Vault, false, true),
            (SOMEBODY, Destination::Account, true, false),
            (SOMEBODY, Destination::Vault, true, false),
            (peer, Destination::Vault, false, true),
            (peer, Destination::Account, true, false),
        ] {
            let opening = Opening { payouts: Pair::new(payout, payout), ..opening() };
            let mut world = World::with_channel(&opening);
            if refuses {
                world.refuses = vec![to];
            }
            let withdraw = opening.withdraw(party, 40, to, 2);
            let applied = world.call(thief().account, Call::ChannelWithdraw(withdraw)).unwrap();
            let destination = if paid { Destination::Account } else { Destination::Vault };
            assert_eq!(payouts(&applied), [Payout { party: Some(party), to, amount: 40, destination }]);
            assert_eq!(applied.paid_out, if paid { vec![(to, 40)] } else { Vec::new() });
            // What cannot be paid is the party's, and nobody's else.
            let expected = 900 + if paid { 0 } else { 40 };
            assert_eq!((world.vault(&named(party)), world.vault(&named(party.peer()))), (Some(expected), Some(900)));
            assert_eq!(world.ledger.vaults.len(), 2);
            assert_eq!(world.ledger.channels[&opening.channel()].total, 160);
        }
    }
}

#[test]
fn whom_a_withdrawal_pays_is_under_the_signatures() {
    let opening = opening();
    let mut world = World::with_channel(&opening);
    let mut withdraw = opening.withdraw(Party::Initiator, 40, alice().account, 2);
    withdraw.body.to = thief().account;
    let refused = world.call(thief().account, Call::ChannelWithdraw(withdraw));
    assert_eq!(refused, Err(Rejection::SignatureInvalid { party: Party::Initiator }));
}

#[test]
fn a_withdrawal_leaves_both_reserves() {
    let opening = Opening { balances: Pair::new(190, 10), ..opening() };
    for (amount, expected) in [
        (0, Err(Rejection::AmountZero)),
        (179, Ok(())),
        (180, Ok(())),
        (181, Err(Rejection::BelowReserves { total: 200, amount: 181, need: 20 })),
        (190, Err(Rejection::BelowReserves { total: 200, amount: 190, need: 20 })),
    ] {
        let mut world = World::with_channel(&opening);
        let withdraw = opening.withdraw(Party::Initiator, amount, alice().account, 2);
        assert_eq!(world.call(bob().account, Call::ChannelWithdraw(withdraw)).map(drop), expected);
    }
}

#[test]
fn a_fee_that_cannot_be_paid_refuses_the_close_and_nothing_else_does() {
    let opening = opening();
    for (refuses, fee, expected) in [
        (vec![thief().account], 5, Err(Rejection::TransferFailed)),
        (vec![thief().account], 0, Ok(vec![(alice().account, 100), (bob().account, 100)])),
        (vec![], 5, Ok(vec![(thief().account, 5), (alice().account, 95), (bob().account, 100)])),
        // A party that takes nothing does not keep the submitter from its fee.
        (vec![alice().account], 5, Ok(vec![(thief().account, 5), (bob().account, 100)])),
    ] {
        let mut world = World { refuses: refuses.clone(), ..World::with_channel(&opening) };
        let balances = Pair::new(100 - fee, 100);
        let close = Call::ChannelCloseMutual(opening.close_mutual(balances, fee));
        let applied = world.call(thief().account, close);
        assert_eq!(applied.as_ref().map(|applied| applied.paid_out.clone()).map_err(|refused| *refused), expected);
        let Ok(applied) = applied else { continue };
        let destination = |who: &Person| {
            if refuses.contains(&who.account) { Destination::Vault } else { Destination::Account }
        };
        let mut told = vec![
            Payout {
                party: Some(Party::Initiator),
                to: alice().account,
                amount: 100 - fee,
                destination: destination(&alice()),
            },
            Payout { party: Some(Party::Responder), to: bob().account, amount: 100, destination: destination(&bob()) },
        ];
        if fee > 0 {
            told.push(Payout { party: None, to: thief().account, amount: fee, destination: Destination::Account });
        }
        assert_eq!(payouts(&applied), told);
        let in_vault = if refuses == [alice().account] { 95 } else { 0 };
        assert_eq!((world.vault(&alice()), world.vault(&thief())), (Some(900 + in_vault), None));
        assert!(world.ledger.channels.is_empty());
    }
}

/// A fee is no party's coins, also where a party earns it: it goes to the account, never to a vault.
#[test]
fn a_party_that_submits_earns_the_fee_to_its_account_or_nothing_happens() {
    let opening = Opening { payouts: Pair::new(Destination::Vault, Destination::Vault), ..opening() };
    let close = Call::ChannelCloseMutual(opening.close_mutual(Pair::new(95, 100), 5));
    let mut world = World::with_channel(&opening);
    let applied = world.clone().call(alice().account, close.clone()).unwrap();
    assert_eq!(applied.paid_out, vec![(alice().account, 5)]);
    world.refuses = vec![alice().account];
    assert_eq!(world.call(alice().account, close), Err(Rejection::TransferFailed));
}

/// A settlement, whose coins no account takes: each party has them in its vault of that key.
#[test]
fn what_no_account_takes_goes_to_the_partys_vault() {
    let opening = opening();
    let mut world = World::with_channel(&opening);
    world.refuses = vec![alice().account, bob().account];
    let commitment = StateCommitment::of_balances(opening.balances);
    let close = CloseSolo { channel: opening.channel(), payload: None, commitment };
    let _closed = world.call(alice().account, Call::ChannelCloseSolo(close)).unwrap();
    world.now += 10;
    let applied = world.call(bob().account, Call::ChannelSettle { channel: opening.channel() }).unwrap();
    assert!(payouts(&applied).iter().all(|payout| payout.destination == Destination::Vault));
    assert!(applied.paid_out.is_empty());
    assert_eq!((world.vault(&alice()), world.vault(&bob())), (Some(1_000), Some(1_000)));
    assert_eq!(world.ledger.vaults.len(), 2);
}
