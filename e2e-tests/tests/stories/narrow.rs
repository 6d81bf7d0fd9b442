//! The stories that are told on the embedded chain, told on one whose balances have 64 bits, by the same Wasm; and what that chain cannot say.

use channel::Certainty;
use e2e_tests::{UNIT, World, account, identity, party, signer, terms, within};
use protocol::{
    Amount, Rejection,
    call::{Call, ForcedCall},
    contracts::ContractId,
};
use sdk::{
    chain::{CallError, ChainError},
    node::{NodeError, OpenChannel},
};

async fn world() -> Option<World<devchain_narrow::DevChain>> {
    Some(World::narrow().await.with_program(env!("CARGO_BIN_EXE_e2e-peer")))
}

e2e_tests::tell_every_story!(crate::narrow::world);

/// All coins that this chain can say, and one more.
const MOST: Amount = u64::MAX as Amount;
const BEYOND: Amount = MOST + 1;

fn check_too_large(refused: &NodeError, amount: Amount) {
    let (NodeError::Chain(error) | NodeError::Call(CallError::Chain(error))) = refused else { panic!("{refused}") };
    assert_eq!(error, &ChainError::AmountTooLarge { amount, most: MOST });
    assert!(refused.to_string().contains(&MOST.to_string()), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_chain_cannot_say_is_refused_before_anybody_signs() {
    let world = World::narrow().await;
    let (alice, bob) = world.couple().await;
    let (alices, _bobs) = alice.open(&bob).await;
    let before = world.coins().await;
    let round = alices.status().await.unwrap().round;
    let shares = |our_share, peer_share| OpenChannel { our_share, peer_share, ..terms() };
    for (open, amount) in [
        (shares(BEYOND, 0), BEYOND),
        (shares(0, BEYOND), BEYOND),
        (shares(UNIT, MOST), MOST + UNIT),
        (shares(Amount::MAX, 1), Amount::MAX),
        (OpenChannel { reserve: BEYOND, ..terms() }, BEYOND),
        (OpenChannel { penalty: BEYOND, ..terms() }, BEYOND),
        (OpenChannel { push: BEYOND, ..terms() }, BEYOND),
    ] {
        check_too_large(&alice.try_open(&bob, open).await.unwrap_err(), amount);
    }
    check_too_large(&within("a refusal", alice.node.vault_deposit(BEYOND)).await.unwrap_err(), BEYOND);
    check_too_large(&within("a refusal", alice.node.vault_withdraw(BEYOND)).await.unwrap_err(), BEYOND);
    check_too_large(&within("a refusal", alices.deposit(BEYOND)).await.unwrap_err(), BEYOND);
    check_too_large(&within("a refusal", alices.withdraw(BEYOND)).await.unwrap_err(), BEYOND);
    check_too_large(&within("a refusal", alices.pay(BEYOND, "")).await.unwrap_err(), BEYOND);
    check_too_large(&within("a refusal", alices.pay_once("key", BEYOND, "")).await.unwrap_err(), BEYOND);
    check_too_large(&within("a refusal", alices.close(BEYOND)).await.unwrap_err(), BEYOND);
    let contract = ContractId([7; 32]);
    check_too_large(
        &within("a refusal", alices.call_contract(contract, BEYOND, Vec::new())).await.unwrap_err(),
        BEYOND,
    );
    let calls = vec![ForcedCall { contract, value: BEYOND, input: Vec::new() }];
    check_too_large(&within("a refusal", alices.force(calls, Certainty::OwnStoreIsNewest)).await.unwrap_err(), BEYOND);

    assert_eq!(alices.status().await.unwrap().round, round, "nothing was proposed");
    world.coins().await.check(&before, &[]);
    // As much as there is goes as it should.
    let _paid = within("a payment", alices.pay(UNIT, "goes on")).await.unwrap();
}

/// Were amounts cut to 64 bits anywhere on their way, two to the sixty-fourth and a unit would be a unit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_amount_beyond_64_bits_is_never_taken_for_what_is_left_of_it() {
    let world = World::narrow().await;
    let (alice, key) = (signer("alice"), identity("alice").public());
    let deposit = Call::VaultDeposit { key };
    let _done = within("a deposit", world.arbiter.call(&alice, &deposit, 10 * UNIT)).await.unwrap();
    let before = world.coins().await;
    for amount in [BEYOND + UNIT, (1 << 64) * 3 + 10 * UNIT, (1 << 127) + 1] {
        let withdraw = Call::VaultWithdraw { key, amount };
        let refused = within("a refusal", world.arbiter.call(&alice, &withdraw, 0)).await.unwrap_err();
        assert_eq!(refused, CallError::Rejected(Rejection::VaultBalanceTooLow { have: 10 * UNIT, need: amount }));
        let refused = within("a refusal", world.arbiter.call(&alice, &deposit, amount)).await.unwrap_err();
        assert_eq!(refused, CallError::Chain(ChainError::AmountTooLarge { amount, most: MOST }));
    }
    assert_eq!(world.arbiter.vault_balance(party("alice")).await.unwrap(), 10 * UNIT);
    world.coins().await.check(&before, &[]);
    let all = Call::VaultWithdraw { key, amount: 10 * UNIT };
    let _done = within("a withdrawal", world.arbiter.call(&alice, &all, 0)).await.unwrap();
    world.coins().await.check(&before, &[]);
}

/// Entries are cheap here beside bytes, and on the contracts node the other way round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_opening_lays_down_is_told_at_this_chains_prices() {
    let world = World::narrow().await;
    let (alice, bob) = world.couple().await;
    let told = world.arbiter.opening_deposit(&account("alice")).await.unwrap();
    let _channel = alice.open(&bob).await;
    world.recorder.quiet().await;
    let opening = world.recorder.entries().into_iter().find(|entry| entry.what == "channel_create").unwrap();
    let laid_down = Amount::try_from(opening.deposit()).unwrap();
    assert!((laid_down..laid_down * 5).contains(&told), "{laid_down} were laid down, and {told} told");
}
