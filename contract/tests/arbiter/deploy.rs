//! Instantiation and the free reads.

use crate::harness::*;
use devchain::DevChain;
use protocol::{
    AccountId, BlockNumber, ChannelId, Hash, Pair, PartyId, Rejection,
    call::Read,
    contracts::conditional::{HashFunction, HashLock},
    record::Record,
    signing::Domain,
    terms::{CallWeight, Limits, MAX_FORCED_PER_BASE},
};
use scale::Encode;
use sdk::chain::{
    Arbiter, CallError, Chain, Transaction,
    arbiter::{code_hash, selector},
    released,
};
use std::sync::Arc;

mutations! {
    /// Limits with which the arbiter could not keep its promises (R5.13).
    Unsound {
        /// Closes that nobody could answer.
        NoLockPeriod,
        /// No lock period would fit.
        MinimumAboveMaximum,
        /// Nothing co-signed would ever count for longer than a moment.
        NoValidity,
        /// Nobody could ever force anything.
        NoForcedSteps,
        /// Marks of forced steps could fill an entry of the chain's storage: nobody could close then.
        TooManyForcedSteps,
        NothingAtAll,
    }
}

/// What stands in the changelog as long as the arbiter is another one than was released last.
const CHANGED: &str = "The arbiter's code has changed since release";

#[test]
fn the_arbiter_that_is_built_by_the_recipe_is_the_newest_release_or_the_changelog_says_that_it_has_changed() {
    let read = |path: &str| std::fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let bundle: serde_json::Value = serde_json::from_str(&read("target/contract/contract.json")).unwrap();
    let Some(_recipe) = bundle.pointer("/source/build_info/recipe") else {
        println!(
            "SKIPPED: it was built by other programs than the recipe's (contract/recipe.txt), which give other bytes"
        );
        return;
    };
    let built = code_hash(&wasm());
    let (version, released) = released::newest().unwrap();
    let changelog = read("CHANGELOG.md");
    let says_so = changelog.contains(&format!("{CHANGED} {version}"));
    assert_eq!(
        built != released,
        says_so,
        "built is {built}, release {version} is {released}: where they differ, and only then, CHANGELOG.md says `{CHANGED} {version}`"
    );
}

#[tokio::test]
async fn an_arbiter_with_unsound_limits_is_not_instantiated() {
    let chain = DevChain::new().unwrap();
    for &unsound in Unsound::ALL {
        let mut limits = LIMITS;
        match unsound {
            Unsound::NoLockPeriod => limits.lock_period_min = 0,
            Unsound::MinimumAboveMaximum => limits.lock_period_min = limits.lock_period_max + 1,
            Unsound::NoValidity => limits.validity_max = 0,
            Unsound::NoForcedSteps => limits.max_forced_max = 0,
            Unsound::TooManyForcedSteps => limits.max_forced_max = MAX_FORCED_PER_BASE + 1,
            Unsound::NothingAtAll => {
                limits = Limits {
                    lock_period_min: 0,
                    lock_period_max: 0,
                    validity_max: 0,
                    max_forced_max: 0,
                    call_weight: CallWeight::STANDARD,
                };
            }
        }
        let signer = Actor::Deployer.dev().signer();
        let refused = Arbiter::deploy(Arc::new(chain.clone()), &signer, wasm(), limits, Vec::new()).await;
        assert_eq!(refused.map(drop), Err(CallError::Rejected(Rejection::LimitsUnsound)), "{unsound:?}");

        // The same in a block: the fee is paid, and there is no contract.
        let data = [&selector("new")[..], &(chain.genesis().await.unwrap(), limits).encode()].concat();
        let transaction = Transaction::Instantiate { code: wasm(), value: 0, data, salt: Vec::new() };
        let dry_run = chain.dry_run(&Actor::Deployer.id(), &transaction).await.unwrap();
        assert_eq!((refusal(&dry_run), dry_run.instantiated), (Some(Rejection::LimitsUnsound), None));
        let refused = chain.submit(&signer, transaction, &dry_run).await.unwrap_err();
        assert!(matches!(refused, sdk::chain::ChainError::FailedInBlock { .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn limits_whose_minimum_is_their_maximum_are_sound() {
    let chain = DevChain::new().unwrap();
    let limits = Limits {
        lock_period_min: 1,
        lock_period_max: 1,
        validity_max: 1,
        max_forced_max: 1,
        call_weight: CallWeight::STANDARD,
    };
    let signer = Actor::Deployer.dev().signer();
    let (arbiter, _receipt) = Arbiter::deploy(Arc::new(chain), &signer, wasm(), limits, Vec::new()).await.unwrap();
    assert_eq!(arbiter.info().limits, limits);
}

#[tokio::test]
async fn the_reads_tell_what_the_arbiter_is() {
    let world = World::deployed().await;
    assert_eq!(world.read::<Limits>(Read::Limits).await, LIMITS);
    let domain = Domain { genesis: world.chain.genesis().await.unwrap(), arbiter: world.address() };
    assert_eq!(world.read::<Domain>(Read::Domain).await, domain);
    assert_eq!(world.read::<u16>(Read::Version).await, 1);
}

#[tokio::test]
async fn the_reads_tell_what_the_arbiter_holds() {
    let (world, channel) = World::open().await;
    let record = world.read::<Option<Record>>(Read::Channel(channel.id)).await;
    assert_eq!(record.as_ref(), world.ledger.channels.get(&channel.id));
    assert_eq!(world.read::<u128>(Read::VaultBalance(Actor::Initiator.vault())).await, VAULT - SHARES.initiator);
    assert_eq!(world.read::<u64>(Read::PairNonce(parties())).await, 1);
}

#[tokio::test]
async fn the_reads_of_what_is_not_there_answer_nothing() {
    let (world, _channel) = World::open().await;
    assert_eq!(world.read::<Option<Record>>(Read::Channel(ChannelId([7; 32]))).await, None);
    let initiator = Actor::Initiator.vault();
    for nobody in [
        PartyId { account: AccountId([7; 32]), ..initiator },
        PartyId { key: strangers_key().public(), ..initiator },
        PartyId { account: Actor::Responder.id(), ..initiator },
    ] {
        assert_eq!(world.read::<u128>(Read::VaultBalance(nobody)).await, 0);
        assert_eq!(world.read::<u64>(Read::PairNonce(Pair::new(nobody, Actor::Responder.vault()))).await, 0);
    }
    let reversed = Pair::new(parties().responder, parties().initiator);
    assert_eq!(world.read::<u64>(Read::PairNonce(reversed)).await, 0);
    let lock = HashLock { function: HashFunction::Sha2_256, digest: Hash([7; 32]) };
    assert_eq!(world.read::<Option<BlockNumber>>(Read::PreimageShownAt(lock)).await, None);
}

#[tokio::test]
async fn a_read_sent_as_a_transaction_changes_nothing() {
    let (world, channel) = World::open().await;
    let before = world.snapshot().await;
    let data = [&selector("channel")[..], &channel.id.encode()].concat();
    let transaction = Transaction::Call { contract: world.address(), value: 0, data };
    let stranger = Actor::Stranger.dev().signer();
    let dry_run = world.chain.dry_run(&Actor::Stranger.id(), &transaction).await.unwrap();
    let receipt = world.chain.submit(&stranger, transaction, &dry_run).await.unwrap();
    let mut expected = before;
    expected.issuance -= receipt.fee;
    *expected.free.get_mut(&Actor::Stranger.id()).unwrap() -= receipt.fee;
    assert_eq!(world.snapshot().await, expected);
}

#[tokio::test]
async fn an_arbiter_made_for_another_chain_says_so_and_takes_no_signature_of_this_one() {
    let chain = DevChain::new().unwrap();
    let deployer = Actor::Deployer.dev().signer();
    let data = [&selector("new")[..], &(Hash([9; 32]), LIMITS).encode()].concat();
    let transaction = Transaction::Instantiate { code: wasm(), value: 0, data, salt: Vec::new() };
    let dry_run = chain.dry_run(&Actor::Deployer.id(), &transaction).await.unwrap();
    let address = chain.submit(&deployer, transaction, &dry_run).await.unwrap().instantiated.unwrap();
    let attached = Arbiter::attach(Arc::new(chain.clone()), address, None).await;
    assert!(matches!(attached, Err(CallError::NotAnArbiter { .. })));
}

#[test]
fn the_arbiter_can_neither_change_its_code_nor_end_nor_run_others_code_as_its_own() {
    let code = wasm();
    let asks_for = |name: &str| code.windows(name.len()).any(|window| window == name.as_bytes());
    assert!(asks_for("seal_return") && asks_for("transfer"), "what it does ask for is found");
    for name in ["terminate", "set_code_hash", "delegate_call", "instantiate", "call_runtime", "chain_extension"] {
        assert!(!asks_for(name), "{name}");
    }
}
