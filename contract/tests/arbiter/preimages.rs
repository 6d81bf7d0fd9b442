//! `preimage_register` (R8.2): what is shown once counts in every channel of the arbiter, from the first block on.

use crate::harness::*;
use protocol::{
    Hash,
    call::Call,
    contracts::conditional::{HashFunction, HashLock, Preimage},
    crypto::{Crypto, Native},
};

const SECRET: Preimage = Preimage([42; 32]);
const BOTH: [HashFunction; 2] = [HashFunction::Blake2b256, HashFunction::Sha2_256];

fn register(preimage: Preimage, function: HashFunction) -> Call {
    Call::PreimageRegister { preimage, function }
}

#[tokio::test]
async fn anybody_may_show_a_pre_image_whether_or_not_there_is_any_channel() {
    let world = World::deployed().await;
    for function in BOTH {
        for who in [Actor::Initiator, Actor::InitiatorsDelegate, Actor::Stranger] {
            let mut world = world.fork_for(&(function, who)).await;
            let block = world.now();
            let done = world.accept(who, &register(SECRET, function), 0).await;
            let [shown] = &done.preimages[..] else { panic!("it is announced once") };
            assert_eq!((shown.function, shown.preimage, shown.shown_at), (function, SECRET, block));
            assert_eq!(done.events, []);
            let lock = HashLock { function, digest: shown.digest };
            assert_eq!(world.arbiter.preimage_shown_at(lock).await.unwrap(), Some(block));
        }
    }
}

#[tokio::test]
async fn the_hashes_are_the_ones_that_everybody_else_computes() {
    // The first half of sha256 of 32 bytes 0x2a, as any other implementation gives it.
    let sha2 = "544e62cee8033709e389e5b2755343d0";
    let mut world = World::deployed().await;
    let done = world.accept(Actor::Stranger, &register(SECRET, HashFunction::Sha2_256), 0).await;
    let digest = done.preimages[0].digest;
    assert_eq!(digest, Native.sha2_256(&SECRET.0));
    assert_eq!(hex::encode(&digest.0[..16]), sha2);
    let done = world.accept(Actor::Stranger, &register(SECRET, HashFunction::Blake2b256), 0).await;
    assert_eq!(done.preimages[0].digest, Native.hash(&SECRET.0));
    assert_eq!(world.ledger.preimages.len(), 2, "each function has a lock of its own");
}

#[tokio::test]
async fn the_first_block_counts_however_often_it_is_shown() {
    let mut world = World::deployed().await;
    let first = world.now();
    let call = register(SECRET, HashFunction::Sha2_256);
    let _done = world.accept(Actor::Stranger, &call, 0).await;
    for who in [Actor::Stranger, Actor::Initiator] {
        world.travel_to(world.now() + 10).await;
        let before = world.snapshot().await;
        let done = world.accept(who, &call, 0).await;
        assert_eq!(done.preimages[0].shown_at, first);
        assert_eq!(done.receipt.storage_deposit, 0);
        assert_eq!(world.snapshot().await.info, before.info, "nothing is stored anew");
    }
}

#[tokio::test]
async fn the_answer_is_the_block_that_counts() {
    let mut world = World::deployed().await;
    let call = register(SECRET, HashFunction::Blake2b256);
    let first = world.now();
    for _ in 0..2 {
        let transaction = world.arbiter.transaction(&call, 0);
        let dry_run = sdk::chain::Chain::dry_run(&world.chain, &Actor::Stranger.id(), &transaction).await.unwrap();
        assert_eq!(dry_run.returned, [&[0, 0][..], &first.to_le_bytes()].concat());
        let _done = world.accept(Actor::Stranger, &call, 0).await;
    }
}

#[tokio::test]
async fn what_was_never_shown_is_not_known() {
    let mut world = World::deployed().await;
    let _done = world.accept(Actor::Stranger, &register(SECRET, HashFunction::Blake2b256), 0).await;
    for (function, digest) in [
        (HashFunction::Blake2b256, Hash::ZERO),
        (HashFunction::Sha2_256, Native.sha2_256(&SECRET.0)),
        (HashFunction::Sha2_256, Native.hash(&SECRET.0)),
    ] {
        assert_eq!(world.arbiter.preimage_shown_at(HashLock { function, digest }).await.unwrap(), None);
    }
}

#[tokio::test]
async fn showing_a_pre_image_takes_a_storage_deposit_once_and_for_good() {
    let mut world = World::deployed().await;
    let before = world.snapshot().await;
    let done = world.accept(Actor::Stranger, &register(SECRET, HashFunction::Blake2b256), 0).await;
    let after = world.snapshot().await;
    assert_eq!(after.info.items, before.info.items + 1);
    assert_eq!(u128::try_from(done.receipt.storage_deposit).unwrap(), after.info.deposit - before.info.deposit);
}

#[tokio::test]
async fn showing_a_pre_image_takes_no_coins() {
    let mut world = World::deployed().await;
    let call = register(SECRET, HashFunction::Blake2b256);
    world.fails_on_chain(Actor::Stranger, &call, UNIT, "Contracts::ContractTrapped").await;
}
