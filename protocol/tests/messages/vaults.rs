//! A vault belongs to an account and a key (R5.1): the account alone takes coins out, the key's signature alone moves them into channels.

use crate::fixture::*;

/// Both keys of the channel are the thief's; the victim has signed nothing, and called nothing but `vault_deposit`.
fn of_thief(victim: &Person) -> Opening {
    Opening {
        parties: Pair::new(victim.under(&accomplice()), thief()),
        reserve: 0,
        balances: Pair::new(0, 0),
        shares: Pair::new(0, 0),
        ..opening()
    }
}

fn too_low(party: Party, need: Amount) -> Rejection {
    Rejection::VaultTooLow { party, have: 0, need }
}

#[test]
fn nobody_opens_a_channel_out_of_a_vault_with_keys_of_its_own() {
    for (victim_is, other) in [(Party::Initiator, Party::Responder), (Party::Responder, Party::Initiator)] {
        let mut world = World::with_vaults();
        let mut theft = of_thief(&alice());
        if victim_is == Party::Responder {
            theft.parties = Pair::new(thief(), alice().under(&accomplice()));
        }
        (theft.shares[victim_is], theft.balances[other]) = (1_000, 1_000);
        let refused = world.call(thief().account, Call::ChannelCreate(theft.create()));
        assert_eq!(refused, Err(too_low(victim_is, 1_000)));
        // Nor with the victim's key named and signed by another.
        theft.parties[victim_is] = alice();
        let mut create = theft.create();
        let bytes = signed_bytes(&DOMAIN, &theft.channel(), &create.body);
        create.signatures[victim_is] = accomplice().key.sign(&bytes);
        let refused = world.call(thief().account, Call::ChannelCreate(create));
        assert_eq!(refused, Err(Rejection::SignatureInvalid { party: victim_is }));
        assert_eq!(world.vault(&alice()), Some(1_000));
    }
}

#[test]
fn a_channel_made_ready_while_a_vault_was_empty_takes_none_of_its_later_coins() {
    let mut world = World::new();
    let theft = of_thief(&alice());
    let _prepared = world.call(thief().account, Call::ChannelCreate(theft.create())).unwrap();
    world.vault_deposit(&alice(), 500);
    let deposit = theft.deposit(Party::Initiator, 500, 2, Pair::new(0, 500));
    let refused = world.call(thief().account, Call::ChannelDeposit(deposit.clone()));
    assert_eq!(refused, Err(too_low(Party::Initiator, 500)));
    let applied = world.call(thief().account, Call::Batch(vec![BatchedCall::Deposit(deposit)])).unwrap();
    assert_eq!(applied.batch, vec![Err(too_low(Party::Initiator, 500))]);
    assert_eq!((world.vault(&alice()), world.ledger.channels[&theft.channel()].total), (Some(500), 0));
}

/// Whatever credits a vault in a channel that names somebody's account under another's key goes to a vault of its own, which that account
/// may empty, and nobody else.
#[test]
fn what_a_channel_pays_to_a_vault_does_not_meet_the_accounts_other_vaults() {
    let mut theft = Opening {
        balances: Pair::new(60, 40),
        shares: Pair::new(0, 100),
        payouts: Pair::new(Destination::Vault, Destination::Vault),
        ..of_thief(&alice())
    };
    let named = theft.parties.initiator.clone();
    let mut world = World::with_vaults();
    world.vault_deposit(&thief(), 300);
    for (nonce, way) in ["mutual", "settled", "withdrawn"].into_iter().enumerate() {
        theft.nonce = nonce as u64;
        let before = world.vault(&named).unwrap_or(0);
        let _opened = world.call(thief().account, Call::ChannelCreate(theft.create())).unwrap();
        let close = Call::ChannelCloseMutual(theft.close_mutual(theft.balances, 0));
        let paid = match way {
            "mutual" => {
                let _closed = world.call(thief().account, close).unwrap();
                60
            }
            "settled" => {
                let commitment = StateCommitment::of_balances(theft.balances);
                let solo = CloseSolo { channel: theft.channel(), payload: None, commitment };
                let _closed = world.call(thief().account, Call::ChannelCloseSolo(solo)).unwrap();
                world.now += 10;
                let _settled = world.call(thief().account, Call::ChannelSettle { channel: theft.channel() }).unwrap();
                60
            }
            _ => {
                let withdraw = theft.withdraw(Party::Initiator, 25, alice().account, 2);
                let _withdrawn = world.call(thief().account, Call::ChannelWithdraw(withdraw)).unwrap();
                25
            }
        };
        assert_eq!(world.vault(&named), Some(before + paid), "{way}");
        assert_eq!((world.vault(&alice()), world.vault(&bob())), (Some(1_000), Some(1_000)), "{way}");
    }
    // The thief's own key and the victim's, under the thief's account: both are vaults of its own, and empty.
    let held = |world: &mut World, who: &Person, key: &Person, amount| {
        world.call(who.account, Call::VaultWithdraw { key: key.key.public(), amount }).map(|applied| applied.paid_out)
    };
    for key in [alice(), accomplice()] {
        let low = Rejection::VaultBalanceTooLow { have: 0, need: 1 };
        assert_eq!(held(&mut world, &thief(), &key, 1), Err(low));
    }
    assert_eq!(held(&mut world, &alice(), &accomplice(), 145), Ok(vec![(alice().account, 145)]));
    assert_eq!(world.vault(&named), None);
}

#[test]
fn paying_in_under_anothers_key_is_a_vault_of_ones_own() {
    let mut world = World::with_vaults();
    let own = thief().under(&alice());
    world.vault_deposit(&own, 70);
    assert_eq!((world.vault(&own), world.vault(&alice())), (Some(70), Some(1_000)));
    let key = alice().key.public();
    let low = Rejection::VaultBalanceTooLow { have: 70, need: 71 };
    assert_eq!(world.call(thief().account, Call::VaultWithdraw { key, amount: 71 }), Err(low));
    let applied = world.call(thief().account, Call::VaultWithdraw { key, amount: 70 }).unwrap();
    assert_eq!(applied.paid_out, vec![(thief().account, 70)]);
    assert_eq!((world.vault(&own), world.vault(&alice())), (None, Some(1_000)));
}

/// An account has as many vaults as it names keys; a channel takes from the one of its key.
#[test]
fn a_channel_takes_its_shares_from_the_vaults_of_its_own_keys() {
    let mut world = World::with_vaults();
    let second = alice().under(&accomplice());
    world.vault_deposit(&second, 300);
    let with_second = Opening { parties: Pair::new(second.clone(), bob()), ..opening() };
    let _opened = world.call(alice().account, Call::ChannelCreate(with_second.create())).unwrap();
    assert_eq!((world.vault(&second), world.vault(&alice()), world.vault(&bob())), (Some(200), Some(1_000), Some(900)));
    let deposit = with_second.deposit(Party::Initiator, 201, 2, Pair::new(301, 100));
    let low = Rejection::VaultTooLow { party: Party::Initiator, have: 200, need: 201 };
    assert_eq!(world.call(alice().account, Call::ChannelDeposit(deposit)), Err(low), "there are 1,000 in the other");
}

/// Who attaches, and what is left in the vaults of the two then. The rest of what is attached stays in the caller's vault.
#[test]
fn coins_attached_count_for_the_caller_who_is_a_party() {
    let key = |party: Party| if party == Party::Initiator { alice() } else { bob() };
    for caller in Party::BOTH {
        for (had, attached, left) in
            [(0, 100, None), (0, 130, Some(30)), (60, 40, Some(0)), (60, 100, Some(60)), (100, 0, Some(0))]
        {
            let mut world = World::new();
            world.vault_deposit(&key(caller.peer()), 100);
            if had > 0 {
                world.vault_deposit(&key(caller), had);
            }
            let create = Call::ChannelCreate(opening().create());
            let _opened = world.call_with(key(caller).account, create, attached).unwrap();
            assert_eq!(world.vault(&key(caller)), left, "{caller:?} had {had} and attached {attached}");
            assert_eq!(world.vault(&key(caller.peer())), Some(0));

            // The same in a deposit, whose coins may be the peer's as well.
            let mut world = World::with_channel(&opening());
            for depositor in Party::BOTH {
                let mut world = world.clone();
                let mut after = Pair::new(100, 100);
                after[depositor] += 50;
                let deposit = Call::ChannelDeposit(opening().deposit(depositor, 50, 2, after));
                let _deposited = world.call_with(key(caller).account, deposit, attached).unwrap();
                let expected = |party| 900 + if party == caller { attached } else { 0 };
                assert_eq!(world.vault(&key(depositor)), Some(expected(depositor) - 50));
                assert_eq!(world.vault(&key(depositor.peer())), Some(expected(depositor.peer())));
            }
            // One short is refused, and what was attached is not kept.
            world.ledger.vaults.clear();
            let deposit = Call::ChannelDeposit(opening().deposit(caller, attached + 1, 2, Pair::new(100, 100)));
            let low = Rejection::VaultTooLow { party: caller, have: attached, need: attached + 1 };
            assert_eq!(world.call_with(key(caller).account, deposit, attached), Err(low));
        }
    }
}

#[test]
fn coins_attached_by_anybody_else_are_refused() {
    let mut world = World::with_vaults();
    let create = Call::ChannelCreate(opening().create());
    let refused = world.call_with(thief().account, create.clone(), 1);
    assert_eq!(refused, Err(Rejection::NotParty));
    // Without any, anybody may submit what the two signed.
    let _opened = world.call_with(thief().account, create, 0).unwrap();
    let deposit = Call::ChannelDeposit(opening().deposit(Party::Initiator, 50, 2, Pair::new(150, 100)));
    assert_eq!(world.call_with(thief().account, deposit.clone(), 1), Err(Rejection::NotParty));
    let _deposited = world.call_with(thief().account, deposit, 0).unwrap();
    assert_eq!((world.vault(&alice()), world.vault(&bob()), world.vault(&thief())), (Some(850), Some(900), None));
}

/// What a vault's storage laid down is its owner's: an emptied one stays until the owner's own withdrawal empties it.
#[test]
fn an_emptied_vault_stays_until_its_owner_takes_the_last_of_it() {
    let mut world = World::new();
    world.vault_deposit(&alice(), 100);
    world.vault_deposit(&bob(), 100);
    let _opened = world.call(thief().account, Call::ChannelCreate(opening().create())).unwrap();
    assert_eq!((world.vault(&alice()), world.vault(&bob())), (Some(0), Some(0)));
    let key = alice().key.public();
    let low = Rejection::VaultBalanceTooLow { have: 0, need: 1 };
    assert_eq!(world.call(alice().account, Call::VaultWithdraw { key, amount: 1 }), Err(low));
    assert_eq!(world.call(alice().account, Call::VaultWithdraw { key, amount: 0 }), Err(Rejection::AmountZero));
    world.vault_deposit(&alice(), 30);
    let _some = world.call(alice().account, Call::VaultWithdraw { key, amount: 29 }).unwrap();
    assert_eq!(world.vault(&alice()), Some(1));
    let _rest = world.call(alice().account, Call::VaultWithdraw { key, amount: 1 }).unwrap();
    assert_eq!((world.vault(&alice()), world.vault(&bob())), (None, Some(0)));
}

#[test]
fn a_withdrawal_that_the_chain_refuses_leaves_the_vault_as_it_was() {
    let mut world = World::with_vaults();
    world.refuses = vec![alice().account];
    let key = alice().key.public();
    for amount in [1, 1_000] {
        let refused = world.call(alice().account, Call::VaultWithdraw { key, amount });
        assert_eq!(refused, Err(Rejection::TransferFailed));
    }
}
