//! Endpoints that fail: each failure has its name, and what can be mended is.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    unreachable_pub,
    reason = "a test fails by panicking, and so do its helpers"
)]
#![cfg(feature = "remote")]

mod fake;

use chain::{
    BestBlock, BlockRef, Chain, ChainError, Health, RemoteChain,
    remote::{
        Settings,
        for_test_only::{confirm, nonce_of_what_comes_first},
    },
};
use fake::{Blocks, Fake};
use futures::{StreamExt, stream::BoxStream};
use protocol::{AccountId, BlockNumber, Hash};
use scale::{Compact, Encode};
use std::time::Duration;
use tokio::sync::watch;

/// Long enough for a busy machine; a test that works never waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

fn blocks() -> Blocks {
    Blocks::new(1, 100, 0, 0)
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_elapsed) => panic!("waited in vain for {what}"),
    }
}

async fn connect(settings: Settings) -> Result<RemoteChain, ChainError> {
    within("a connection", RemoteChain::connect(settings)).await
}

fn to(endpoints: &[&Fake]) -> Settings {
    let endpoints = endpoints.iter().map(|fake| fake.url()).collect();
    Settings { endpoints, ..Settings::default() }
}

async fn wait_head(chain: &RemoteChain, number: BlockNumber) {
    assert_eq!(within("a head", chain.reached(number)).await.number, number);
}

async fn wait_at_least(chain: &RemoteChain, number: BlockNumber) {
    let _head = within("a head", chain.reached(number)).await;
}

async fn wait_health(health: &mut watch::Receiver<Health>, what: &str, is: impl Fn(&Health) -> bool) -> Health {
    within(what, health.wait_for(|health| is(health))).await.unwrap().clone()
}

#[tokio::test]
async fn a_url_that_is_none_is_refused_before_anything_is_dialled() {
    for url in ["", "127.0.0.1:9944", "http://127.0.0.1:9944", "ws://"] {
        let error = connect(Settings::new(url)).await.unwrap_err();
        assert!(matches!(error, ChainError::BadUrl { .. }), "{url}: {error}");
    }
    assert!(matches!(connect(Settings::default()).await.unwrap_err(), ChainError::BadUrl { .. }));
}

#[tokio::test]
async fn where_nobody_listens_every_endpoint_is_told_with_its_cause() {
    let (mut first, mut second) = (Fake::start(blocks(), 1).await, Fake::start(blocks(), 1).await);
    let settings = to(&[&first, &second]);
    first.vanish();
    second.vanish();
    let error = connect(settings).await.unwrap_err();
    let ChainError::Unreachable(cause) = &error else { panic!("{error}") };
    assert!(cause.contains(&first.url()) && cause.contains(&second.url()) && cause.contains("refused"), "{cause}");
}

#[tokio::test]
async fn something_that_is_no_node_is_not_mistaken_for_one() {
    let fake = Fake::start(blocks(), 1).await;
    fake.change(|behaviour| behaviour.talks_nonsense = true);
    let settings = Settings { request_timeout: Duration::from_secs(2), ..to(&[&fake]) };
    let error = connect(settings).await.unwrap_err();
    assert!(matches!(error, ChainError::Unreachable(_)), "{error}");

    // Takes connections and says nothing.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", mute.local_addr().unwrap());
    let settings = Settings { connect_timeout: Duration::from_millis(300), ..Settings::new(url) };
    let error = connect(settings).await.unwrap_err();
    assert!(matches!(error, ChainError::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn another_chain_is_refused_and_both_genesis_hashes_are_told() {
    let fake = Fake::start(blocks(), 1).await;
    let settings = Settings { genesis: Some(Hash([7; 32])), ..to(&[&fake]) };
    let error = connect(settings).await.unwrap_err();
    let (url, found) = (fake.url(), blocks().hash(0));
    assert_eq!(error, ChainError::WrongChain { url, block: 0, expected: Hash([7; 32]), found });
    let settings = Settings { genesis: Some(found), ..to(&[&fake]) };
    assert_eq!(connect(settings).await.unwrap().genesis().await.unwrap(), found);
}

#[tokio::test]
async fn an_endpoint_of_another_chain_is_passed_over_for_one_of_the_right_chain() {
    let (wrong, right) = (Fake::start(Blocks::new(2, 9, 0, 0), 9).await, Fake::start(blocks(), 3).await);
    let settings = Settings { genesis: Some(blocks().hash(0)), ..to(&[&wrong, &right]) };
    let chain = connect(settings).await.unwrap();
    assert_eq!(chain.finalised_head().await.unwrap().number, 3);
}

#[tokio::test]
async fn a_socket_that_drops_is_made_anew_and_heads_go_on() {
    let fake = Fake::start(blocks(), 3).await;
    let chain = connect(to(&[&fake])).await.unwrap();
    for number in 4..8 {
        fake.cut();
        fake.finalise(number);
        wait_head(&chain, number).await;
    }
    assert!(chain.health().is_good());
}

#[tokio::test]
async fn while_nobody_is_there_the_health_says_so_and_afterwards_all_is_well() {
    let mut fake = Fake::start(blocks(), 3).await;
    let chain = connect(to(&[&fake])).await.unwrap();
    let mut health = chain.watch_health();
    fake.vanish();
    let lost = wait_health(&mut health, "the loss", |health| matches!(health, Health::Lost(_))).await;
    assert!(lost.to_string().contains(&fake.url()), "{lost}");
    assert!(matches!(chain.free_balance(&AccountId([1; 32])).await, Err(ChainError::Unreachable(_))));

    let again = Fake::resurrect(&fake).await;
    again.finalise(5);
    let _well = wait_health(&mut health, "health", Health::is_good).await;
    wait_head(&chain, 5).await;
}

#[tokio::test]
async fn a_lost_endpoint_gives_way_to_the_next() {
    let (mut first, second) = (Fake::start(blocks(), 3).await, Fake::start(blocks(), 3).await);
    let chain = connect(to(&[&first, &second])).await.unwrap();
    wait_head(&chain, 3).await;
    first.vanish();
    second.finalise(4);
    wait_head(&chain, 4).await;
}

#[tokio::test]
async fn an_endpoint_that_lags_behind_what_two_have_is_not_used() {
    let (mut first, mut second) = (Fake::start(blocks(), 9).await, Fake::start(blocks(), 9).await);
    let late = Fake::start(blocks(), 5).await;
    let chain = connect(to(&[&first, &late, &second])).await.unwrap();
    assert_eq!(within("the others' word", chain.confirm_at(block(9))).await, Ok(()));
    let mut health = chain.watch_health();
    first.vanish();
    second.vanish();
    let lost = wait_health(&mut health, "the loss", |health| matches!(health, Health::Lost(_))).await;
    assert!(lost.to_string().contains("it lags behind: block 9 is final"), "{lost}");
    late.finalise(10);
    wait_head(&chain, 10).await;
    let _well = wait_health(&mut health, "health", Health::is_good).await;
}

#[tokio::test]
async fn an_endpoint_that_has_the_newest_block_is_preferred_to_one_that_lags() {
    let (mut first, late) = (Fake::start(blocks(), 9).await, Fake::start(blocks(), 5).await);
    let level = Fake::start(blocks(), 9).await;
    let chain = connect(to(&[&first, &late, &level])).await.unwrap();
    wait_head(&chain, 9).await;
    first.vanish();
    level.finalise(10);
    wait_head(&chain, 10).await;
}

/// One that tells of a block now and then does not stand still, and is left all the same.
#[tokio::test]
async fn an_endpoint_that_is_slow_to_tell_of_blocks_is_left_for_one_that_is_not() {
    let (slow, level) = (Fake::start(blocks(), 5).await, Fake::start(blocks(), 5).await);
    let settings = Settings { stalled_after: Some(Duration::from_secs(2)), ..to(&[&slow, &level]) };
    let chain = connect(settings).await.unwrap();
    wait_head(&chain, 5).await;
    level.finalise(40);
    let slowly = async {
        for number in 6..14 {
            slow.finalise(number);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let left = tokio::select! {
        () = slowly => false,
        _ = chain.reached(40) => true,
    };
    assert!(left);
}

#[tokio::test]
async fn an_endpoint_is_not_left_for_one_that_boasts_of_blocks_which_nobody_else_has() {
    let (honest, boaster) = (Fake::start(blocks(), 5).await, Fake::start(blocks(), 5).await);
    let third = Fake::start(blocks(), 5).await;
    let settings = Settings { stalled_after: Some(Duration::from_secs(2)), ..to(&[&honest, &boaster, &third]) };
    let chain = connect(settings).await.unwrap();
    wait_head(&chain, 5).await;
    boaster.finalise(100);
    let goes_on = async {
        for number in 6..14 {
            honest.finalise(number);
            third.finalise(number);
            wait_at_least(&chain, number).await;
            // Long enough for the boast to be looked at.
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    let left = tokio::select! {
        () = goes_on => false,
        _ = chain.reached(100) => true,
    };
    assert!(!left, "an honest endpoint was left");
}

/// A call that defends a channel with a nonce which is too high is held back by every honest node.
#[tokio::test]
async fn one_endpoint_that_makes_a_nonce_up_is_not_believed() {
    let fakes = [Fake::start(blocks(), 9).await, Fake::start(blocks(), 9).await, Fake::start(blocks(), 9).await];
    let [liar, second, third] = &fakes;
    let tell = |nonces: [u64; 3]| {
        for (fake, nonce) in fakes.iter().zip(nonces) {
            fake.change(|behaviour| behaviour.nonce = nonce);
        }
    };
    let nonce =
        async |chain: &RemoteChain| within("a nonce", nonce_of_what_comes_first(chain, AccountId([1; 32]))).await;
    let chain = connect(to(&[liar, second, third])).await.unwrap();
    for lie in [1_000, 0] {
        tell([lie, 7, 7]);
        assert_eq!(nonce(&chain).await, Some(7));
    }
    tell([1_000, 7, 8]);
    assert_eq!(nonce(&chain).await, Some(7), "pools may differ, and no one is believed for a high one");
    // With two endpoints nobody knows which one lies: the lower one is refused at once where it was used.
    let chain = connect(to(&[liar, second])).await.unwrap();
    assert_eq!(nonce(&chain).await, Some(7));
    // One that says nothing is not waited for.
    second.change(|behaviour| behaviour.is_mute = true);
    assert_eq!(nonce(&chain).await, Some(1_000));
}

/// Blocks that an endpoint tells of and does not have are asked of another one.
#[tokio::test]
async fn an_endpoint_that_tells_of_a_head_and_has_no_blocks_is_left_for_the_next() {
    let (boaster, honest) = (Fake::start(blocks(), 5).await, Fake::start(blocks(), 5).await);
    let chain = connect(to(&[&boaster, &honest])).await.unwrap();
    wait_head(&chain, 5).await;
    boaster.finalise(100);
    boaster.change(|behaviour| behaviour.keeps_no_numbers = true);
    wait_head(&chain, 100).await;
    let mut blocks = chain.finalised_blocks(6).await.unwrap();
    let _none = tokio::time::timeout(Duration::from_millis(1), blocks.next()).await;
    let following = tokio::spawn(async move { blocks.next().await });
    let well = async {
        while chain.finalised_head().await.unwrap().number == 100 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("another endpoint", well).await;
    following.abort();
}

#[tokio::test]
async fn a_chain_that_was_started_anew_is_another_chain() {
    let mut fake = Fake::start(Blocks::new(1, 20, 2, 1), 5).await;
    let chain = connect(to(&[&fake])).await.unwrap();
    let mut health = chain.watch_health();
    fake.vanish();
    let _again = Fake::resurrect_with(&fake, Blocks::new(1, 20, 2, 9), 7).await;
    let lost =
        wait_health(&mut health, "the loss", |health| matches!(health, Health::Lost(ChainError::WrongChain { .. })));
    let Health::Lost(ChainError::WrongChain { block, expected, found, .. }) = lost.await else { panic!() };
    let hashes = (Blocks::new(1, 20, 2, 1).hash(5), Blocks::new(1, 20, 2, 9).hash(5));
    assert_eq!((block, (expected, found)), (5, hashes));
    assert_eq!(chain.finalised_head().await.unwrap().number, 5, "nothing of it is believed");
}

#[tokio::test]
async fn a_chain_that_stands_still_is_told_and_so_is_its_going_on() {
    let fake = Fake::start(blocks(), 3).await;
    let settings = Settings { stalled_after: Some(Duration::from_secs(1)), ..to(&[&fake]) };
    let chain = connect(settings).await.unwrap();
    let mut health = chain.watch_health();
    let stalled = wait_health(&mut health, "the standstill", |health| matches!(health, Health::Stalled { .. })).await;
    assert!(stalled.to_string().contains("no block has become final after 3"), "{stalled}");
    fake.finalise(4);
    let _well = wait_health(&mut health, "health", Health::is_good).await;
}

#[tokio::test]
async fn a_stalled_endpoint_gives_way_to_one_that_goes_on() {
    let (stalled, live) = (Fake::start(blocks(), 3).await, Fake::start(blocks(), 3).await);
    let settings = Settings { stalled_after: Some(Duration::from_secs(1)), ..to(&[&stalled, &live]) };
    let chain = connect(settings).await.unwrap();
    live.finalise(6);
    wait_head(&chain, 6).await;
    assert!(chain.health().is_good());
}

#[tokio::test]
async fn a_block_whose_state_nobody_keeps_is_told_by_its_number() {
    let fake = Fake::start(blocks(), 50).await;
    fake.change(|behaviour| behaviour.keeps_from = 40);
    let chain = connect(to(&[&fake])).await.unwrap();
    let mut blocks = chain.finalised_blocks(10).await.unwrap();
    let error = within("the error", blocks.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, ChainError::Pruned { block: 10..26 }), "{error}");
    assert!(within("the end", blocks.next()).await.is_none());
}

#[tokio::test]
async fn an_endpoint_that_allows_no_more_questions_is_left_for_the_next_while_its_heads_flow() {
    let (limited, other) = (Fake::start(blocks(), 9).await, Fake::start(blocks(), 9).await);
    let chain = connect(to(&[&limited, &other])).await.unwrap();
    wait_head(&chain, 9).await;
    limited.change(|behaviour| behaviour.limits = usize::MAX);
    assert_eq!(within("an answer", chain.block_hash(5)).await, Ok(Some(blocks().hash(5))));
    // Heads come from where questions are answered.
    other.finalise(10);
    wait_head(&chain, 10).await;
    assert!(chain.health().is_good());
}

#[tokio::test]
async fn a_single_endpoint_that_allows_no_more_questions_is_asked_again_later_and_later() {
    let fake = Fake::start(blocks(), 9).await;
    let chain = connect(to(&[&fake])).await.unwrap();
    fake.change(|behaviour| behaviour.limits = 2);
    assert_eq!(within("an answer", chain.block_hash(5)).await, Ok(Some(blocks().hash(5))));
    assert!(chain.health().is_good());
}

fn block(number: BlockNumber) -> BlockRef {
    BlockRef { number, hash: blocks().hash(number) }
}

async fn confirms(chain: &RemoteChain, number: BlockNumber, events: &[u8]) -> Result<(), ChainError> {
    within("the others' word", confirm(chain, block(number), events)).await
}

#[tokio::test]
async fn what_a_block_has_counts_once_two_endpoints_say_it() {
    let fakes = [Fake::start(blocks(), 9).await, Fake::start(blocks(), 9).await, Fake::start(blocks(), 9).await];
    for fake in &fakes {
        fake.change(|behaviour| behaviour.events = Some(vec![1, 2, 3]));
    }
    let [first, second, third] = &fakes;
    let chain = connect(to(&[first, second])).await.unwrap();
    assert_eq!(confirms(&chain, 7, &[1, 2, 3]).await, Ok(()));
    // The endpoint that is used lies, and nobody bears it out.
    first.change(|behaviour| behaviour.events = Some(vec![6, 6, 6]));
    let error = confirms(&chain, 7, &[6, 6, 6]).await.unwrap_err();
    assert!(matches!(&error, ChainError::Disputed { block: 7, cause } if cause.contains(&second.url())), "{error}");
    // With a third one the truth has two voices, whoever is used.
    let chain = connect(to(&[first, second, third])).await.unwrap();
    assert_eq!(confirms(&chain, 7, &[1, 2, 3]).await, Ok(()));
    assert!(matches!(confirms(&chain, 7, &[6, 6, 6]).await, Err(ChainError::Disputed { block: 7, .. })));
    // One endpoint is believed: there is nobody to ask.
    let chain = connect(to(&[first])).await.unwrap();
    let any = chain::Block { at: block(7), events: Vec::new() };
    assert_eq!(within("nobody", chain.confirm(&any)).await, Ok(()));
}

#[tokio::test]
async fn an_endpoint_that_is_away_or_on_another_fork_confirms_nothing() {
    let (first, mut second) = (Fake::start(blocks(), 9).await, Fake::start(blocks(), 9).await);
    let chain = connect(to(&[&first, &second])).await.unwrap();
    second.vanish();
    let error = confirms(&chain, 7, &[]).await.unwrap_err();
    assert!(matches!(error, ChainError::Unconfirmed { block: 7, .. }), "{error}");
    let fork = Fake::resurrect_with(&second, Blocks::new(1, 100, 5, 9), 9).await;
    let error = confirms(&chain, 7, &[]).await.unwrap_err();
    assert!(matches!(&error, ChainError::Disputed { block: 7, cause } if cause.contains(&fork.url())), "{error}");
}

/// What the contracts pallet answers to a question about a contract that returns `data`.
fn answer(data: &[u8]) -> Vec<u8> {
    let weight = (Compact(7_u64), Compact(7_u64));
    ((weight, weight), (1_u8, 0_u128), Vec::<u8>::new(), (0_u8, 0_u32, data.to_vec()), 0_u8).encode()
}

#[tokio::test]
async fn what_a_contract_holds_counts_once_two_endpoints_say_it() {
    let (first, second) = (Fake::start(blocks(), 9).await, Fake::start(blocks(), 9).await);
    let chain = connect(to(&[&first, &second])).await.unwrap();
    let read = async || within("an answer", chain.confirmed_read(&AccountId([1; 32]), vec![1], block(7))).await;
    first.change(|behaviour| behaviour.answer = Some(answer(b"gone")));
    second.change(|behaviour| behaviour.answer = Some(answer(b"there")));
    assert!(matches!(read().await, Err(ChainError::Disputed { block: 7, .. })));
    first.change(|behaviour| behaviour.answer = Some(answer(b"there")));
    assert_eq!(read().await, Ok(b"there".to_vec()));
    second.change(|behaviour| behaviour.answer = None);
    assert!(matches!(read().await, Err(ChainError::Unconfirmed { block: 7, .. })));
}

#[tokio::test]
async fn a_block_that_another_endpoint_has_and_not_as_a_final_one_is_not_confirmed_as_final() {
    let (first, second) = (Fake::start(blocks(), 9).await, Fake::start(blocks(), 5).await);
    second.change(|behaviour| behaviour.best = 9);
    let chain = connect(to(&[&first, &second])).await.unwrap();
    assert_eq!(within("the other's word", chain.confirm_at(block(9))).await, Ok(()), "it has such a block");
    let error = within("no word", chain.confirm_final(block(9))).await.unwrap_err();
    assert!(matches!(error, ChainError::Unconfirmed { block: 9, .. }), "{error}");
    second.finalise(9);
    assert_eq!(within("the other's word", chain.confirm_final(block(9))).await, Ok(()));
    let alone = connect(to(&[&first])).await.unwrap();
    assert_eq!(within("nobody", alone.confirm_final(block(9))).await, Ok(()), "a single one is believed");
}

/// The newest block that is told, once it is this one.
async fn shows(newest: &mut BoxStream<'static, BestBlock>, number: BlockNumber) {
    let told = async { while newest.next().await.is_some_and(|block| block.number != number) {} };
    within("a newest block", told).await;
}

#[tokio::test]
async fn the_newest_block_is_told_that_any_endpoint_shows_final_or_not() {
    let [first, mut second] = [Fake::start(blocks(), 9).await, Fake::start(blocks(), 9).await];
    let chain = connect(to(&[&first, &second])).await.unwrap();
    let mut newest = chain.best_blocks().await.unwrap();
    shows(&mut newest, 9).await;
    second.change(|behaviour| behaviour.best = 20);
    shows(&mut newest, 20).await;
    assert_eq!(chain.finalised_head().await, Ok(block(9)), "nothing of it is final");
    first.change(|behaviour| behaviour.best = 21);
    shows(&mut newest, 21).await;
    // What one has taken back does not count; what was shown by one that is lost does.
    first.change(|behaviour| behaviour.best = 15);
    shows(&mut newest, 20).await;
    second.vanish();
    first.change(|behaviour| behaviour.best = 16);
    shows(&mut newest, 20).await;
    first.change(|behaviour| behaviour.best = 30);
    shows(&mut newest, 30).await;
}

/// One endpoint of three tells of a head that is not there, and is gone. The others go on.
#[tokio::test]
async fn a_head_that_one_endpoint_has_made_up_is_not_held_against_the_others() {
    let mut liar = Fake::start(Blocks::new(1, 1_000, 6, 9), 5).await;
    let (second, third) = (Fake::start(blocks(), 5).await, Fake::start(blocks(), 5).await);
    let chain = connect(to(&[&liar, &second, &third])).await.unwrap();
    liar.finalise(1_000);
    wait_head(&chain, 1_000).await;
    liar.vanish();
    second.finalise(7);
    third.finalise(7);
    let mut health = chain.watch_health();
    let well = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            // Any question that an honest endpoint answers.
            if chain.block_hash(6).await == Ok(Some(blocks().hash(6))) && health.borrow_and_update().is_good() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(well.await.is_ok(), "two of three endpoints are well, and none is used: {}", chain.health());
}

/// An endpoint that takes questions and answers none: how long a block of ours waits for it.
#[tokio::test]
async fn an_endpoint_that_says_nothing_is_waited_for_no_longer_than_one_that_lags() {
    let (first, mute) = (Fake::start(blocks(), 9).await, Fake::start(blocks(), 9).await);
    let chain = connect(to(&[&first, &mute])).await.unwrap();
    mute.change(|behaviour| behaviour.is_mute = true);
    let asked = tokio::time::timeout(Duration::from_secs(15), confirms(&chain, 9, b"events")).await;
    assert!(asked.is_ok(), "more than two blocks later there is no word");
}
