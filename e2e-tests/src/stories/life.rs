//! Channels as they should be: opened, paid through, filled and emptied, closed in agreement.

use crate::{Asked, TestChain, UNIT, World, account, terms, within};
use channel::{CloseReason, Event};
use protocol::{AccountId, ChannelId, Pair, Party, Rejection, terms::Destination};
use sdk::{
    chain::{CallError, Chain},
    node::{ChannelHandle, NodeError, OpenChannel},
};

/// Opening, paying, closing in agreement.
pub async fn a_channel_is_opened_paid_through_both_ways_and_closed_and_every_coin_is_accounted_for<C: TestChain>(
    world: &World<C>,
) {
    let before = world.coins().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    assert_eq!(alice.node.vault_balance().await.unwrap(), 900 * UNIT, "her share is in the channel");

    for number in 1..=20_u32 {
        let _paid = alices.pays(2 * UNIT, &format!("to Bob {number}")).await;
        let _paid = bobs.pays(UNIT, &format!("to Alice {number}")).await;
    }
    let has = alices.has().await;
    assert_eq!((has.ours, has.peers, has.spendable), (80 * UNIT, 120 * UNIT, 70 * UNIT));
    let received = bob.events.wait_received(bobs.reference(), 20).await;
    let words: Vec<_> = received.into_iter().map(|payment| payment.reference).collect();
    let said: Vec<_> = (1..=20).map(|number| format!("to Bob {number}").into_bytes()).collect();
    assert_eq!(words, said);

    let balances = Pair::new(80 * UNIT - 1_000, 120 * UNIT);
    let ended = within("the close", alices.close(1_000)).await.unwrap();
    assert_eq!(ended, CloseReason::Mutual { balances });
    assert_eq!(bob.events.wait_end(bobs.reference()).await, ended);
    assert_eq!(alice.node.channels(bob.identity()).await.unwrap().len(), 0);

    // Whoever submitted the close has the fee, and Alice did: she offered it.
    let gain = i128::try_from(20 * UNIT).unwrap();
    world.coins().await.check(&before, &[(alice.account(), -gain), (bob.account(), gain)]);
    assert_eq!(
        (world.recorder.count("channel_create").await, world.recorder.count("channel_close_mutual").await),
        (1, 1)
    );
}

/// Coins go in and out of an open channel.
pub async fn both_deposit_and_withdraw_while_the_channel_is_open_and_no_coin_is_lost<C: TestChain>(world: &World<C>) {
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let (before, vault) = (world.coins().await, alice.node.vault_balance().await.unwrap());
    let deposited = within("a deposit into the channel", alices.deposit(50 * UNIT)).await.unwrap();
    assert_eq!(alice.node.vault_balance().await.unwrap(), vault - 50 * UNIT);
    assert_eq!(alices.has().await.ours, 150 * UNIT);
    let _paid = alices.pays(20 * UNIT, "out of the deposit").await;
    let withdrawn = within("a withdrawal", bobs.withdraw(100 * UNIT)).await.unwrap();
    assert!(deposited < withdrawn, "rounds only grow");
    assert_eq!(bobs.has().await.ours, 20 * UNIT);
    // The other side has heard of each.
    let reference = alices.reference();
    let deposit = |event: &Event| matches!(event, Event::Deposited { party: Party::Initiator, .. }).then_some(());
    bob.events.wait("Alice's deposit", reference, deposit).await;
    let withdrawal = |event: &Event| matches!(event, Event::Withdrawn { party: Party::Responder, .. }).then_some(());
    alice.events.wait("Bob's withdrawal", reference, withdrawal).await;
    let _closed = within("the close", alices.close(0)).await.unwrap();
    // Alice put in 50 and is paid 130; Bob took 100 out and is paid 20.
    let gains = [(alice.account(), 80 * UNIT.cast_signed()), (bob.account(), 120 * UNIT.cast_signed())];
    world.coins().await.check(&before, &gains);
}

/// Alice pays a shop out of the channel, and then one that cannot be paid.
pub async fn a_withdrawal_pays_whatever_account_its_owner_names<C: TestChain>(world: &World<C>) {
    let before = world.coins().await;
    let (alice, bob) = world.couple().await;
    let (alices, bobs) = alice.open(&bob).await;
    let shop = account("peer9");
    let withdrawn = within("a withdrawal", alices.withdraw_to(shop, 30 * UNIT)).await.unwrap();
    let told = |event: &Event| match event {
        Event::Withdrawn { party, amount, round } => Some((*party, *amount, *round)),
        _ => None,
    };
    let bobs_view = bob.events.wait("Alice's withdrawal", bobs.reference(), told).await;
    assert_eq!(bobs_view, (Party::Initiator, 30 * UNIT, withdrawn));
    assert_eq!((alices.has().await.ours, alice.node.vault_balance().await.unwrap()), (70 * UNIT, 900 * UNIT));
    // One coin is too little for an account that is not there: it goes to her vault.
    let nobody = AccountId([77; 32]);
    let _round = within("a withdrawal", alices.withdraw_to(nobody, 1)).await.unwrap();
    assert_eq!(world.recorder.free_balance(&nobody).await.unwrap(), 0);
    assert_eq!(alice.node.vault_balance().await.unwrap(), 900 * UNIT + 1);
    let _paid = bobs.pays(UNIT, "goes on").await;
    let _ended = within("the close", alices.close(0)).await.unwrap();
    let _ended = bob.events.wait_end(bobs.reference()).await;
    let gain = |units: i128| units * UNIT.cast_signed();
    let gains = [(alice.account(), gain(-29)), (shop, gain(30)), (bob.account(), gain(-1))];
    world.coins().await.check(&before, &gains);
}

/// One is paid to its vault, the other to its account.
pub async fn payouts_go_to_the_vault_or_to_the_account_as_each_party_wants_it<C: TestChain>(world: &World<C>) {
    let before = world.coins().await;
    let mut to_the_vault = world.config("alice");
    to_the_vault.payout = Destination::Vault;
    let (alice, bob) = world.couple_on(to_the_vault, world.config("bob")).await;
    let (alices, bobs) = alice.open(&bob).await;
    let _paid = alices.pays(10 * UNIT, "").await;
    let _round = within("a withdrawal", alices.withdraw(20 * UNIT)).await.unwrap();
    assert_eq!(alice.node.vault_balance().await.unwrap(), 920 * UNIT, "a withdrawal is a payout too");
    let free = world.recorder.free_balance(&bob.account()).await.unwrap();
    let _ended = within("the close", alices.close(0)).await.unwrap();
    let _ended = bob.events.wait_end(bobs.reference()).await;
    assert_eq!(alice.node.vault_balance().await.unwrap(), 990 * UNIT);
    assert_eq!(bob.node.vault_balance().await.unwrap(), 900 * UNIT);
    assert_eq!(world.recorder.free_balance(&bob.account()).await.unwrap(), free + 110 * UNIT);

    // Out of the vault the next channel is paid, and the rest goes back to the account.
    let refused = within("a withdrawal", alice.node.vault_withdraw(991 * UNIT)).await.unwrap_err();
    let NodeError::Call(CallError::Rejected(rejection)) = refused else { panic!("{refused}") };
    assert_eq!(rejection, Rejection::VaultBalanceTooLow { have: 990 * UNIT, need: 991 * UNIT });
    let _done = within("a withdrawal", alice.node.vault_withdraw(990 * UNIT)).await.unwrap();
    assert_eq!(alice.node.vault_balance().await.unwrap(), 0);
    let gain = 10 * UNIT.cast_signed();
    world.coins().await.check(&before, &[(alice.account(), -gain), (bob.account(), gain)]);
}

async fn id(channel: &ChannelHandle) -> ChannelId {
    channel.status().await.unwrap().channel.unwrap()
}

/// Two channels that share a connection and nothing else.
pub async fn two_channels_between_the_same_peers_are_opened_at_once_and_live_side_by_side<C: TestChain>(
    world: &World<C>,
) {
    let before = world.coins().await;
    let (alice, bob) = world.couple().await;
    let (first, second) = tokio::join!(alice.open(&bob), alice.open_on(&bob, OpenChannel { push: UNIT, ..terms() }));
    assert_ne!(id(&first.0).await, id(&second.0).await);
    assert_eq!((id(&first.0).await, id(&second.0).await), (id(&first.1).await, id(&second.1).await));

    let (_a, _b) = tokio::join!(first.0.pays(10 * UNIT, "in the first"), second.1.pays(20 * UNIT, "in the second"));
    assert_eq!((first.1.has().await.ours, second.0.has().await.ours), (110 * UNIT, 119 * UNIT));

    let _ended = within("the first to close", first.0.close(0)).await.unwrap();
    let _paid = second.0.pays(UNIT, "goes on").await;
    let _ended = within("the second to close", second.1.close(0)).await.unwrap();
    let gain = 8 * UNIT.cast_signed();
    world.coins().await.check(&before, &[(alice.account(), gain), (bob.account(), -gain)]);
}
