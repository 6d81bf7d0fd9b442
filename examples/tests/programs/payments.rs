//! Paying a service that is killed.

use crate::stage::{ACCEPT_PAYMENTS, OPEN_AND_PAY, Stage};
use e2e_tests::within;
use std::{collections::BTreeSet, fs, process::Stdio};
use tokio::io::AsyncReadExt;

const SERVICE: [&str; 2] = ["--lock-period-min", "20"];

/// Pays through the channel with the service at `address`; what the payer's program prints, once it has succeeded.
async fn pay(stage: &Stage, address: &str, reference: &str, more: &[&str]) -> Vec<String> {
    let arguments = ["--peer", address, "--amount", "7", "--reference", reference, "--lock-period", "20"];
    let payer = stage.start(OPEN_AND_PAY, "alice", &[&arguments, more].concat());
    let (status, said) = payer.end().await;
    assert!(status.success(), "{said:#?}");
    assert!(said[0].starts_with(&format!("paid 7 for {reference:?} in round ")), "{said:#?}");
    said
}

/// How often a line of `said` tells of this delivery.
fn told(said: &[String], reference: &str) -> usize {
    said.iter().filter(|line| **line == format!("delivered: 7 for {reference}")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_payment_is_delivered_once_by_a_service_that_is_killed_again_and_again() {
    let Some(stage) = Stage::build().await else { return };
    let start = || stage.start_with_environment(ACCEPT_PAYMENTS, "bob", &SERVICE);
    let mut service = start();
    let address = service.says("listening at ").await;
    let _said = pay(&stage, &address, "order 1", &[]).await;
    let _line = service.says("delivered: 7 for order 1").await;
    let mut said = service.kill().await;

    let mut service = start();
    let _line = service.says("1 deliveries were made before").await;
    let address = service.says("listening at ").await;
    let paid = pay(&stage, &address, "order 2", &[]).await;
    assert_eq!(paid[1], "left in the channel: 999999999986", "the same channel, after two payments");
    // Killed at once, whether it has delivered or not.
    said.extend(service.kill().await);

    let mut service = start();
    let address = service.says("listening at ").await;
    let _said = pay(&stage, &address, "order 3", &[]).await;
    let _line = service.says("delivered: 7 for order 3").await;
    let closed = pay(&stage, &address, "order 4", &["--close"]).await;
    assert_eq!(closed[1], "closed: 999999999972 to us, 28 to the peer");
    let _line = service.says("delivered: 7 for order 4").await;
    let (status, last) = service.terminate().await;
    assert!(status.success() && last.last().unwrap().starts_with("stopped"), "{last:#?}");

    said.extend(last);
    let times: Vec<_> = (1..=4).map(|order| told(&said, &format!("order {order}"))).collect();
    // A line about the second may have been lost with the process, its delivery not.
    assert!(times == [1, 1, 1, 1] || times == [1, 0, 1, 1], "{said:#?}");
    let list = fs::read_to_string(stage.folder("bob").join("deliveries")).unwrap();
    let (ids, what): (Vec<_>, Vec<_>) = list.lines().map(|line| line.split_once(' ').unwrap()).unzip();
    assert_eq!(what, ["7 for order 1", "7 for order 2", "7 for order 3", "7 for order 4"]);
    let channels: BTreeSet<_> = ids.iter().map(|id| id.split_once('/').unwrap().0).collect();
    assert_eq!((channels.len(), ids.iter().collect::<BTreeSet<_>>().len()), (1, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terms_that_the_service_does_not_take_and_a_service_that_is_not_there_are_told_apart() {
    let Some(stage) = Stage::build().await else { return };
    let mut service = stage.start(ACCEPT_PAYMENTS, "bob", &SERVICE);
    let address = service.says("listening at ").await;
    let refused = async |lock_period| {
        let arguments =
            ["--peer", &address, "--amount", "7", "--reference", "order", "--lock-period", lock_period, "--share", "8"];
        let mut command = stage.command(OPEN_AND_PAY, "alice", &arguments);
        let command = command.env("CHANNEL_SURI", "//alice").stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut payer = command.kill_on_drop(true).spawn().unwrap();
        let mut said = String::new();
        let _length = within("the refusal", payer.stderr.take().unwrap().read_to_string(&mut said)).await.unwrap();
        assert!(!within("its end", payer.wait()).await.unwrap().success());
        said
    };
    let said = refused("19").await;
    assert!(said.contains("do not suit the peer's policy"), "{said}");
    let _said = service.kill().await;
    let said = refused("20").await;
    assert!(said.contains("check that the node runs there"), "{said}");
}
