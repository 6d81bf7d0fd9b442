//! Where coins go that leave a channel (R5.1): to an account, to a vault, and to a vault where the chain refuses the account.

use crate::harness::*;
use protocol::{
    AccountId, Amount, Pair, Party, PartyId, Rejection,
    call::{Call, Create},
    event::Payout,
    signing::{CreateBody, Kind},
    terms::Destination,
};
use sdk::chain::Chain;

/// An account that does not exist on the chain.
const PAUPER: AccountId = AccountId([0x0B; 32]);

/// It, as a party with the responder's key.
fn pauper() -> PartyId {
    PartyId { account: PAUPER, ..Actor::Responder.vault() }
}

/// Opens a channel that the initiator funds alone, with terms that a test changes.
async fn open_with(change: impl Fn(&mut CreateBody)) -> (World, Channel) {
    let mut world = World::funded().await;
    world.watch_account(PAUPER);
    let mut body = create_body(world.now());
    (body.terms.reserve, body.terms.penalty) = (0, 0);
    body.shares = Pair::new(TOTAL, 0);
    change(&mut body);
    let channel = world.next_channel(&body.terms.ids());
    let signatures = channel.binding(Kind::Create).sign(&keys(), &body);
    let _done = world.accept(Actor::Initiator, &Call::ChannelCreate(Create { body, nonce: 0, signatures }), 0).await;
    (world, channel)
}

/// Pays these balances out in each of the two ways, and answers both lists of payouts.
async fn both_ways(world: &World, channel: &Channel, balances: Pair<Amount>) -> [(World, Vec<Payout>); 2] {
    let mut agreed = world.fork().await;
    let call = channel.close_mutual(balances, 0, agreed.now());
    let mut done = agreed.accept(Actor::Stranger, &call, 0).await;
    let agreed = (agreed, done.events.remove(0).payouts);

    let mut settled = world.fork().await;
    let state = State::new(2, balances.initiator, balances.responder);
    let _done = settled.accept(Actor::Initiator, &channel.close_solo(&state), 0).await;
    settled.travel_to(settled.now() + LOCK_PERIOD).await;
    let mut done = settled.accept(Actor::InitiatorsDelegate, &channel.settle(), 0).await;
    [agreed, (settled, done.events.remove(0).payouts)]
}

fn payout(party: Party, to: AccountId, amount: Amount, destination: Destination) -> Payout {
    Payout { party: Some(party), to, amount, destination }
}

#[tokio::test]
async fn a_party_that_asked_for_its_vault_is_paid_there() {
    let (initiator, responder) = (Actor::Initiator.id(), Actor::Responder.id());
    for party in Party::BOTH {
        let (world, channel) = open_with(|body| body.terms.parties[party].payout = Destination::Vault).await;
        let mut destinations = Pair::new(Destination::Account, Destination::Account);
        destinations[party] = Destination::Vault;
        let balances = Pair::new(100 * UNIT, 60 * UNIT);
        for (after, payouts) in both_ways(&world, &channel, balances).await {
            let expected = [
                payout(Party::Initiator, initiator, 100 * UNIT, destinations.initiator),
                payout(Party::Responder, responder, 60 * UNIT, destinations.responder),
            ];
            assert_eq!(payouts, expected);
            let vault = Actor::from(party).vault();
            assert_eq!(after.vault(&vault), world.vault(&vault) + balances[party]);
        }
    }
}

#[tokio::test]
async fn a_payout_that_the_chain_refuses_goes_to_the_vault_and_the_channel_closes_all_the_same() {
    let (world, channel) = open_with(|body| body.terms.parties.responder.account = PAUPER).await;
    for (amount, destination) in [
        (1, Destination::Vault),
        (EXISTENTIAL_DEPOSIT - 1, Destination::Vault),
        (EXISTENTIAL_DEPOSIT, Destination::Account),
        (EXISTENTIAL_DEPOSIT + 1, Destination::Account),
    ] {
        for (after, payouts) in both_ways(&world, &channel, Pair::new(TOTAL - amount, amount)).await {
            let first = payout(Party::Initiator, Actor::Initiator.id(), TOTAL - amount, Destination::Account);
            assert_eq!(payouts, [first, payout(Party::Responder, PAUPER, amount, destination)]);
            let vault = after.vault(&pauper());
            let free = after.chain.free_balance(&PAUPER).await.unwrap();
            let expected = if destination == Destination::Vault { (amount, 0) } else { (0, amount) };
            assert_eq!((vault, free), expected);
        }
    }
}

#[tokio::test]
async fn a_withdrawal_that_the_chain_refuses_keeps_the_coins_in_the_vault() {
    let (mut world, channel) = open_with(|body| body.terms.parties.responder.account = PAUPER).await;
    let balances = Pair::new(TOTAL - (EXISTENTIAL_DEPOSIT - 1), EXISTENTIAL_DEPOSIT - 1);
    let _done = world.accept(Actor::Initiator, &channel.close_mutual(balances, 0, world.now()), 0).await;
    // An account that does not exist cannot pay for a transaction, so a dry run is as near as one gets.
    let (key, amount) = (pauper().key, EXISTENTIAL_DEPOSIT - 1);
    let withdraw = world.arbiter.transaction(&Call::VaultWithdraw { key, amount }, 0);
    let dry_run = world.chain.dry_run(&PAUPER, &withdraw).await.unwrap();
    assert_eq!(refusal(&dry_run), Some(Rejection::TransferFailed));
}

#[tokio::test]
async fn the_fee_goes_to_whoever_submits_also_to_a_party_whose_own_payouts_go_to_its_vault() {
    let (mut world, channel) = open_with(|body| body.terms.parties.initiator.payout = Destination::Vault).await;
    let balances = Pair::new(99 * UNIT, 60 * UNIT);
    let done = world.accept(Actor::Initiator, &channel.close_mutual(balances, UNIT, world.now()), 0).await;
    let initiator = Actor::Initiator.id();
    let expected = [
        payout(Party::Initiator, initiator, 99 * UNIT, Destination::Vault),
        payout(Party::Responder, Actor::Responder.id(), 60 * UNIT, Destination::Account),
        Payout { party: None, to: initiator, amount: UNIT, destination: Destination::Account },
    ];
    assert_eq!(done.events[0].payouts, expected);
}

#[tokio::test]
async fn nothing_is_paid_out_where_nothing_is_due() {
    let (world, channel) = open_with(|_| {}).await;
    for (balances, to) in [(Pair::new(TOTAL, 0), Party::Initiator), (Pair::new(0, TOTAL), Party::Responder)] {
        for (_after, payouts) in both_ways(&world, &channel, balances).await {
            assert_eq!(payouts, [payout(to, Actor::from(to).id(), TOTAL, Destination::Account)]);
        }
    }
}

#[tokio::test]
async fn a_fee_that_the_chain_cannot_pay_refuses_the_close_before_anything_has_changed() {
    let (mut world, channel) = open_with(|_| {}).await;
    let close = |fee, now| channel.close_mutual(Pair::new(TOTAL - fee, 0), fee, now);
    for (fee, refused) in [(EXISTENTIAL_DEPOSIT - 1, Some(Rejection::TransferFailed)), (EXISTENTIAL_DEPOSIT, None)] {
        // An account that does not exist cannot pay for a transaction, so a dry run is as near as one gets.
        let before = world.snapshot().await;
        let close = world.arbiter.transaction(&close(fee, world.now()), 0);
        let dry_run = world.chain.dry_run(&PAUPER, &close).await.unwrap();
        assert_eq!(refusal(&dry_run), refused, "a fee of {fee}");
        assert_eq!(world.snapshot().await, before);
    }
    // Somebody whose account stands is paid any fee.
    let _done = world.accept(Actor::Stranger, &close(1, world.now()), 0).await;
}

#[tokio::test]
async fn what_a_vault_cannot_be_paid_for_lies_under_the_partys_own_key_and_is_spent_by_it() {
    // Twice to the same account under another key: two vaults.
    let (mut world, channel) = open_with(|body| body.terms.parties.responder.account = PAUPER).await;
    let balances = Pair::new(TOTAL - 7, 7);
    let _done = world.accept(Actor::Initiator, &channel.close_mutual(balances, 0, world.now()), 0).await;
    assert_eq!(world.vault(&pauper()), 7);
    assert_eq!(world.vault(&PartyId { key: Actor::Initiator.key(), ..pauper() }), 0);
    let mut body = create_body(world.now());
    (body.terms.reserve, body.terms.penalty) = (0, 0);
    body.terms.parties.responder.account = PAUPER;
    (body.balances, body.shares) = (Pair::new(0, 7), Pair::new(0, 7));
    let _channel = world.create(&body).await;
    assert_eq!(world.vault(&pauper()), 0);
}

#[tokio::test]
async fn whoever_pays_into_a_vault_that_its_owner_gave_back_lays_down_for_it_anew_each_time() {
    let (mut world, channel) = open_with(|body| body.terms.parties.responder.payout = Destination::Vault).await;
    let all = world.vault(&Actor::Responder.vault());
    let _done = world.accept(Actor::Responder, &Actor::Responder.vault_withdraw(all), 0).await;
    let hostile = world.apps.hostile(10 * UNIT, Vec::new());
    let mut tip = Inside::new(6, Pair::new(TOTAL - 10 * UNIT, 0), [(HOSTILE, hostile)]);
    let _done = world.accept(Actor::Initiator, &channel.close_solo(&tip.state()), 0).await;
    world.travel_to(world.now() + LOCK_PERIOD).await;
    let _done = world.accept(Actor::Initiator, &channel.settle(), 0).await;
    let item = i128::try_from(UNIT / 10).unwrap();
    for _ in 0..3 {
        // One coin for the peer, and a tenth of a unit for the entry that keeps it: the peer's, as soon as it takes the coin.
        let pay = call(HOSTILE, 0, &hostile::Input::Pay(UNIT, 1));
        let (done, after) =
            world.force_as(Actor::Initiator, &channel.step_on_chain(&tip, Party::Initiator, vec![pay])).await;
        tip = after;
        assert!(done.receipt.storage_deposit > item, "{}", done.receipt.storage_deposit);
        let done = world.accept(Actor::Responder, &Actor::Responder.vault_withdraw(1), 0).await;
        assert!(done.receipt.storage_deposit < -item, "{}", done.receipt.storage_deposit);
    }
}
