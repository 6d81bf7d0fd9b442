//! A payer goes back to an old state; a chain goes away.

use crate::stage::{OPEN_AND_PAY, REACT_TO_DISPUTE, Stage};
use e2e_tests::{TestChain, UNIT, account, signer, within};
use sdk::protocol::call::{Call, CloseSolo};
use sdk::{chain::remote::Settings, keys::PeerAddress, node::Node};
use std::{fs, sync::Arc};

/// What the payer could close on now. Taken from a copy of its folder: a node of its own must not sign anything there.
async fn evidence(stage: &Stage, peer: &PeerAddress) -> CloseSolo {
    let (from, copy) = (stage.folder("alice"), stage.folder("copy of alice"));
    fs::create_dir_all(copy.join("store")).unwrap();
    for file in ["identity.key", "store/store.redb", "store/journal", "store/lock"] {
        let _bytes = fs::copy(from.join(file), copy.join(file)).unwrap();
    }
    let (deployment, chain) = (stage.deployment(), Settings::for_instant_seal(""));
    let config = examples::node_config(&deployment, chain, Arc::new(signer("alice")), &copy);
    let mut config = within("a node's settings", config).await.unwrap();
    config.redial = None;
    let node = Node::start(config).await.unwrap();
    let [channel] = &node.channels(peer.identity()).await.unwrap()[..] else { panic!("one channel") };
    let evidence = channel.evidence().await.unwrap().unwrap();
    node.stop().await;
    evidence
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_on_an_old_state_is_told_slashed_and_paid_out_also_to_a_program_that_was_started_again() {
    let Some(stage) = Stage::build().await else { return };
    let start = || stage.start(REACT_TO_DISPUTE, "bob", &[]);
    let before = stage.chain.client().free_balance(&account("bob")).await.unwrap();
    let mut watcher = start();
    let address = watcher.says("listening at ").await;
    let share = (100 * UNIT).to_string();
    let pay = |units: u128, reference| {
        let amount = (units * UNIT).to_string();
        let terms = ["--peer", &address, "--share", &share, "--lock-period", "20"];
        stage.start(OPEN_AND_PAY, "alice", &[&terms[..], &["--amount", &amount, "--reference", reference]].concat())
    };
    let (status, said) = pay(10, "fair").end().await;
    assert!(status.success(), "{said:#?}");
    let old = evidence(&stage, &address.parse().unwrap()).await;
    let mut payer = pay(40, "what the payer regrets");
    let _round = payer.says("paid").await;
    let _said = payer.kill().await;

    let close = Call::ChannelCloseSolo(old);
    let _done = within("a close on an old state", stage.arbiter.call(&signer("alice"), &close, 0)).await.unwrap();
    let _advice = watcher.says("which is OLD").await;
    let slashed = watcher.says("slashed: ").await;
    let (status, said) = watcher.close_input().await;
    assert!(status.success() && said.last().unwrap().contains("still disputed"), "{said:#?}");

    let mut watcher = start();
    let _again = watcher.says("which is OLD").await;
    assert_eq!(watcher.says("slashed: ").await, slashed, "a dispute that is open is told again");
    within("the lock to pass", stage.chain.produce_blocks(25)).await;
    let halves = format!("{0} went to the initiator, {0} to the responder", 50 * UNIT);
    let _booked = watcher.says(&halves).await;
    let (status, said) = watcher.terminate().await;
    assert!(status.success() && !said.iter().any(|line| line.contains("still disputed")), "{said:#?}");
    let after = stage.chain.client().free_balance(&account("bob")).await.unwrap();
    assert!(after > before + 49 * UNIT, "from {before} to {after}: 50 units, less the fees");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_is_lost_and_found_is_told() {
    let Some(stage) = Stage::build().await else { return };
    let mut watcher = stage.start(REACT_TO_DISPUTE, "bob", &[]);
    let _health = watcher.says("chain: the chain is well").await;
    stage.chain.stop().await;
    let lost = watcher.says("chain: ").await;
    assert!(lost.contains(&stage.chain.url()), "{lost}");
    stage.chain.start_again().await;
    let _health = watcher.says("chain: the chain is well").await;
    assert!(watcher.close_input().await.0.success());
}
