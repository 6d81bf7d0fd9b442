//! What an account has inside the arbiter under each of its keys (R5.1), and that nobody else moves it.

use crate::harness::*;
use protocol::{
    Amount, Pair, Party, PartyId, PublicKey, Rejection,
    call::{Call, Create, Deposit, Read},
    crypto::SigningKey,
    signing::{CreateBody, DepositBody, Kind},
    terms::{Destination, PartyTerms},
};

const DEPOSIT: Amount = 3 * UNIT;
/// The pallet rounds what it gives back, by so much at most.
const ROUNDING: i128 = 1;

#[tokio::test]
async fn what_is_deposited_belongs_to_the_depositor_and_can_be_withdrawn_to_the_last_coin() {
    let mut world = World::deployed().await;
    let empty = world.snapshot().await;
    let (stranger, vault, arbiter) = (Actor::Stranger.id(), Actor::Stranger.vault(), world.address());

    let deposited = world.accept(Actor::Stranger, &Actor::Stranger.vault_deposit(), DEPOSIT).await;
    let after = world.snapshot().await;
    assert_eq!(after.vaults[&vault], DEPOSIT);
    assert_eq!(after.free[&arbiter] - empty.free[&arbiter], DEPOSIT);
    assert_eq!(after.info.items, empty.info.items + 1);
    let deposit = Amount::try_from(deposited.receipt.storage_deposit).unwrap();
    assert_eq!(after.free[&stranger], empty.free[&stranger] - DEPOSIT - deposit - deposited.receipt.fee);

    // A second deposit adds to the first; a part may stay.
    let _done = world.accept(Actor::Stranger, &Actor::Stranger.vault_deposit(), 1).await;
    let _done = world.accept(Actor::Stranger, &Actor::Stranger.vault_withdraw(UNIT), 0).await;
    assert_eq!(world.snapshot().await.vaults[&vault], DEPOSIT + 1 - UNIT);

    let done = world.accept(Actor::Stranger, &Actor::Stranger.vault_withdraw(DEPOSIT + 1 - UNIT), 0).await;
    let kept = deposited.receipt.storage_deposit + done.receipt.storage_deposit;
    assert!((0..=ROUNDING).contains(&kept), "its owner has all of it back, but for {kept}");
    let after = world.snapshot().await;
    assert_eq!(after.vaults.get(&vault), None);
    assert_eq!(after.info.items, empty.info.items, "a vault that its owner emptied leaves no storage");
    assert_eq!(after.free[&arbiter], empty.free[&arbiter]);
}

#[tokio::test]
async fn everybody_has_a_vault_of_their_own() {
    let mut world = World::deployed().await;
    for (who, amount) in Actor::ALL.into_iter().zip(1..) {
        let _done = world.accept(who, &who.vault_deposit(), amount * UNIT).await;
    }
    let _done = world.accept(Actor::Responder, &Actor::Responder.vault_withdraw(UNIT), 0).await;
    let vaults = world.snapshot().await.vaults;
    assert_eq!(Actor::ALL.map(|who| vaults[&who.vault()] / UNIT), [1, 1, 3, 4, 5, 6]);
}

#[tokio::test]
async fn an_account_has_a_vault_under_each_key_and_none_of_them_pays_for_another() {
    let mut world = World::deployed().await;
    let under = |key| PartyId { key, ..Actor::Initiator.vault() };
    let (own, other) = (Actor::Initiator.key(), strangers_key().public());
    let _done = world.accept(Actor::Initiator, &Call::VaultDeposit { key: own }, UNIT).await;
    let _done = world.accept(Actor::Initiator, &Call::VaultDeposit { key: other }, 2 * UNIT).await;
    assert_eq!((world.vault(&under(own)), world.vault(&under(other))), (UNIT, 2 * UNIT));
    let too_low = Rejection::VaultBalanceTooLow { have: UNIT, need: UNIT + 1 };
    world.refuse(Actor::Initiator, &Call::VaultWithdraw { key: own, amount: UNIT + 1 }, 0, too_low).await;
    let _done = world.accept(Actor::Initiator, &Call::VaultWithdraw { key: other, amount: 2 * UNIT }, 0).await;
    assert_eq!((world.vault(&under(own)), world.vault(&under(other))), (UNIT, 0));
}

mutations! {
    /// One thing wrong with a use of a vault that holds 3 units.
    Mutation {
        /// A deposit that moves nothing.
        DepositOfNothing,
        /// A withdrawal that moves nothing.
        WithdrawNothing,
        /// Coins of everybody else.
        WithdrawOneTooMany,
        /// More than there is anywhere.
        WithdrawEverythingThereIs,
        /// The vault under another of one's own keys.
        WithdrawUnderAnotherKey,
        /// Somebody else's coins, under the key that they lie under.
        WithdrawFromAnothersVault,
        WithdrawFromAnEmptyVault,
    }
}

#[tokio::test]
async fn each_thing_wrong_with_a_use_of_a_vault_is_refused_by_its_own_error_and_changes_nothing() {
    let mut world = World::funded().await;
    let _done = world.accept(Actor::Stranger, &Actor::Stranger.vault_deposit(), DEPOSIT).await;
    for &mutation in Mutation::ALL {
        let mut world = world.fork_for(&mutation).await;
        let withdraw = |amount| Actor::Stranger.vault_withdraw(amount);
        let too_low = |have, need| Rejection::VaultBalanceTooLow { have, need };
        let (who, call, rejection) = match mutation {
            Mutation::DepositOfNothing => (Actor::Stranger, Actor::Stranger.vault_deposit(), Rejection::AmountZero),
            Mutation::WithdrawNothing => (Actor::Stranger, withdraw(0), Rejection::AmountZero),
            Mutation::WithdrawOneTooMany => (Actor::Stranger, withdraw(DEPOSIT + 1), too_low(DEPOSIT, DEPOSIT + 1)),
            Mutation::WithdrawEverythingThereIs => {
                (Actor::Stranger, withdraw(Amount::MAX), too_low(DEPOSIT, Amount::MAX))
            }
            Mutation::WithdrawUnderAnotherKey => {
                (Actor::Stranger, Actor::Deployer.vault_withdraw(DEPOSIT), too_low(0, DEPOSIT))
            }
            Mutation::WithdrawFromAnothersVault => {
                (Actor::Deployer, Actor::Initiator.vault_withdraw(VAULT), too_low(0, VAULT))
            }
            Mutation::WithdrawFromAnEmptyVault => {
                (Actor::Deployer, Actor::Deployer.vault_withdraw(DEPOSIT), too_low(0, DEPOSIT))
            }
        };
        world.refuse(who, &call, 0, rejection).await;
    }
}

/// Two keys of somebody who has neither party's.
fn thiefs_keys() -> Pair<SigningKey> {
    Pair::new(strangers_key(), SigningKey::from_seed(&[0xEF; 32]))
}

/// An opening between the victim and the thief, both under the thief's keys: the victim signed nothing of it.
fn with_the_victim(world: &World, victim: Party, shares: Pair<Amount>) -> (Channel, Create) {
    let keys = thiefs_keys();
    let party = |account, key: &SigningKey| PartyTerms {
        account,
        key: key.public(),
        payout: Destination::Account,
        delegates: Vec::new(),
    };
    let mut accounts = Pair::new(Actor::Stranger.id(), Actor::Stranger.id());
    accounts[victim] = Actor::Initiator.id();
    let mut terms = terms();
    (terms.reserve, terms.penalty) = (0, 0);
    terms.parties = Pair::new(party(accounts.initiator, &keys.initiator), party(accounts.responder, &keys.responder));
    let total = shares.sum().unwrap();
    let mut balances = Pair::default();
    balances[victim.peer()] = total;
    let body = CreateBody { terms, balances, shares, valid_until: world.now() + 20 };
    let channel = world.next_channel(&body.terms.ids());
    let signatures = channel.binding(Kind::Create).sign(&keys, &body);
    (channel, Create { nonce: 0, body, signatures })
}

#[tokio::test]
async fn nobody_opens_a_channel_out_of_the_vault_of_an_account_whose_key_it_has_not() {
    let world = World::funded().await;
    for party in Party::BOTH {
        let mut world = world.fork_for(&party).await;
        let mut shares = Pair::default();
        shares[party] = VAULT;
        let (_channel, create) = with_the_victim(&world, party, shares);
        let call = Call::ChannelCreate(create);
        let too_low = Rejection::VaultTooLow { party, have: 0, need: VAULT };
        for who in [Actor::Stranger, Actor::Deployer] {
            world.refuse(who, &call, 0, too_low).await;
        }
        // Not with a coin of its own either, which counts for the thief alone.
        world.refuse(Actor::Stranger, &call, VAULT, too_low).await;
        assert_eq!(world.vault(&Actor::Initiator.vault()), VAULT);
    }
}

#[tokio::test]
async fn what_is_deposited_later_cannot_be_moved_into_a_channel_that_was_prepared_while_the_vault_was_empty() {
    let mut world = World::deployed().await;
    let (channel, create) = with_the_victim(&world, Party::Initiator, Pair::default());
    let _done = world.accept(Actor::Stranger, &Call::ChannelCreate(create), 0).await;
    let _done = world.accept(Actor::Initiator, &Actor::Initiator.vault_deposit(), DEPOSIT).await;
    let (base, valid_until) = (OPENING, world.now() + 1);
    let state_hash = State::new(2, 0, DEPOSIT).hash();
    let body = DepositBody { party: Party::Initiator, amount: DEPOSIT, round: 2, base, state_hash, valid_until };
    let signatures = channel.binding(Kind::Deposit).sign(&thiefs_keys(), &body);
    let call = Call::ChannelDeposit(Deposit { channel: channel.id, body, signatures });
    let too_low = Rejection::VaultTooLow { party: Party::Initiator, have: 0, need: DEPOSIT };
    world.refuse(Actor::Stranger, &call, 0, too_low).await;
    assert_eq!(world.vault(&Actor::Initiator.vault()), DEPOSIT);
}

#[tokio::test]
async fn a_key_moves_coins_of_the_account_that_named_it_and_of_no_other() {
    // The initiator's key, and the stranger's account: another vault, and an empty one.
    let mut world = World::funded().await;
    let mut body = create_body(world.now());
    body.terms.parties.initiator.account = Actor::Stranger.id();
    let need = SHARES.initiator;
    let too_low = Rejection::VaultTooLow { party: Party::Initiator, have: 0, need };
    let call = world.create_call(&body);
    world.refuse(Actor::Initiator, &call, 0, too_low).await;
    // Once that account itself named the key, its coins move.
    let deposit = Call::VaultDeposit { key: Actor::Initiator.key() };
    let _done = world.accept(Actor::Stranger, &deposit, need).await;
    body.valid_until = world.now();
    let call = world.create_call(&body);
    let _done = world.accept(Actor::Stranger, &call, 0).await;
    assert_eq!(world.vault(&Actor::Initiator.vault()), VAULT);
}

#[tokio::test]
async fn coins_of_whoever_is_no_party_are_refused_wherever_coins_may_be_attached() {
    let (world, channel) = World::open().await;
    let strangers = [Actor::Stranger, Actor::InitiatorsDelegate, Actor::Deployer];
    for who in strangers {
        let mut world = world.fork_for(&who).await;
        let create = world.create_call(&create_body(world.now() + 9));
        world.refuse(who, &create, UNIT, Rejection::NotParty).await;
        let after = State::new(2, BALANCES.initiator + UNIT, BALANCES.responder);
        let (state_hash, valid_until) = (after.hash(), world.now() + 9);
        let (party, amount, base) = (Party::Initiator, UNIT, OPENING);
        let body = DepositBody { party, amount, round: 2, base, state_hash, valid_until };
        let deposit = Call::ChannelDeposit(channel.deposit(body));
        world.refuse(who, &deposit, UNIT, Rejection::NotParty).await;
        // Without coins anybody may bring both.
        let _done = world.accept(who, &create, 0).await;
        let _done = world.accept(who, &deposit, 0).await;
    }
}

#[tokio::test]
async fn a_vault_that_an_opening_emptied_keeps_its_storage_for_its_owner() {
    let mut world = World::deployed().await;
    let laid_down = world.accept(Actor::Responder, &Actor::Responder.vault_deposit(), SHARES.responder).await;
    let laid_down = laid_down.receipt.storage_deposit;
    let create = world.create_call(&create_body(world.now()));
    let items = world.snapshot().await.info.items;
    let done = world.accept(Actor::Initiator, &create, SHARES.initiator).await;
    assert!(done.receipt.storage_deposit > 0, "nothing of it comes back to somebody else");
    assert_eq!(world.snapshot().await.info.items, items + 2, "the record and the nonce; the vault is still there");
    assert_eq!(world.read::<Amount>(Read::VaultBalance(Actor::Responder.vault())).await, 0);
    // The owner fills it again at no further deposit, and has the first one back with the last coin.
    let again = world.accept(Actor::Responder, &Actor::Responder.vault_deposit(), UNIT).await;
    assert_eq!(again.receipt.storage_deposit, 0);
    let freed = world.accept(Actor::Responder, &Actor::Responder.vault_withdraw(UNIT), 0).await;
    assert!((0..=ROUNDING).contains(&(laid_down + freed.receipt.storage_deposit)));
}

#[tokio::test]
async fn a_vault_is_announced_with_its_account_and_its_key() {
    let mut world = World::deployed().await;
    let key = PublicKey([7; 32]);
    let done = world.accept(Actor::Stranger, &Call::VaultDeposit { key }, DEPOSIT).await;
    let [event] = &done.receipt.events[..] else { panic!("one event") };
    assert_eq!(event.data, [&Actor::Stranger.id().0[..], &key.0, &DEPOSIT.to_le_bytes()].concat());
    assert_eq!(event.topics[1].0, Actor::Stranger.id().0, "indexed by account");
}
