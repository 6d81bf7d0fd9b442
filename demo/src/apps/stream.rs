//! Bob pays Alice by the block. He stops answering, and she collects by force.

use super::{stage::Stage, words::name};
use crate::{SHARE, report::UNIT, say};
use anyhow::{Context, Result, ensure};
use protocol::{Amount, BlockNumber, Pair, Party};
use std::time::Instant;
use stream::{Creation, Error, Input, Stream};

const PAYEE: Party = Party::Initiator;
const PAYER: Party = Party::Responder;
/// Coins for each block.
const RATE: Amount = UNIT / 10;
/// What the stream holds at first.
const FIRST: Amount = 20 * UNIT;
/// As many as Bob can pay for, one after the other and at once.
const MAX_TOP_UPS: u32 = 3_000;
/// What one top-up adds.
const MORE: Amount = UNIT / 100;

pub(super) async fn play(mut stage: Stage<Stream>) -> Result<()> {
    let start = stage.head().await?;
    let creation = Creation { payer: PAYER, rate: RATE, start, end: None };
    let contract = stage.begin(PAYER, Pair::new(0, FIRST), creation).await?;
    stage.is_refused(PAYEE, contract, 0, Input::Collect, Error::NothingDue).await?;
    stage.is_refused(PAYEE, contract, MORE, Input::TopUp, Error::NotThePayer).await?;
    stage.pass_until(start.saturating_add(10)).await?;
    let due = stage.try_call(PAYEE, contract, Input::Collect).await?;
    ensure!(due == Pair::new(rate_times(10), 0), "10 blocks are due, not {due:?}");
    let _done = stage.calls(PAYEE, contract, 0, Input::Collect).await?;
    stage.expect(Pair::new(SHARE.saturating_add(rate_times(10)), SHARE.saturating_sub(FIRST))).await?;

    let count = stage.calls.min(MAX_TOP_UPS);
    say(&format!("{} tops up {count} times, one after the other", name(PAYER)));
    let began = Instant::now();
    for _ in 0..count {
        let _done = stage.call(PAYER, contract, MORE, Input::TopUp).await?;
    }
    stage.note_speed("top-ups, one after the other", count, began);
    say(&format!("and {count} times at once: what waits shares a round"));
    let began = Instant::now();
    let all = (0..count).map(|_| stage.call(PAYER, contract, MORE, Input::TopUp));
    let _done = futures::future::try_join_all(all).await?;
    stage.note_speed("top-ups, batched", count, began);

    stage.bob_stops().await?;
    stage.pass_until(start.saturating_add(39)).await?;
    // In the next block: 30 have passed since she collected last.
    let [done] = stage.force(PAYEE, contract, [Input::Collect]).await?;
    ensure!(done.payouts == Pair::new(rate_times(30), 0), "30 blocks were due, not {:?}", done.payouts);
    stage.pass_until(start.saturating_add(60)).await?;
    let [done] = stage.force(PAYEE, contract, [Input::Collect]).await?;
    ensure!(done.payouts == Pair::new(rate_times(21), 0), "21 blocks were due, not {:?}", done.payouts);

    stage.bob_returns().await?;
    stage.pass_until(start.saturating_add(70)).await?;
    let done = stage.calls(PAYER, contract, 0, Input::Stop).await?;
    let blocks = done.height.checked_sub(start).context("it stops after it has started")?;
    ensure!(stage.held(contract).await? == 0, "a stopped stream holds nothing");
    let paid = rate_times(blocks);
    say(&format!("it has flowed for {blocks} blocks; what was left is {}'s again", name(PAYER)));
    stage.remove(PAYEE, contract, Pair::default()).await?;
    let expected = Pair::new(SHARE.saturating_add(paid), SHARE.saturating_sub(paid));
    stage.expect(expected).await?;
    let closed = stage.close().await?;
    stage.end(&closed, expected).await
}

fn rate_times(blocks: BlockNumber) -> Amount {
    RATE.saturating_mul(blocks.into())
}
