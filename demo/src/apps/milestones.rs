//! Alice has Bob work for her, in parts. He stops answering, and she has back what he did not earn in time. In the end Bob closes alone, while
//! a part is still open: it is to be had by force when its time has come.

use super::{stage::Stage, words::name};
use crate::{LOCK_PERIOD, SHARE, report::UNIT, say, wait_for};
use anyhow::{Result, bail, ensure};
use channel::{Certainty, Event, Misuse};
use futures::future::try_join;
use milestones::{Creation, Error, Input, Milestone, Milestones};
use protocol::{Amount, BlockNumber, Pair, Party};
use sdk::node::NodeError;
use std::time::Instant;

const PAYER: Party = Party::Initiator;
const PAYEE: Party = Party::Responder;
/// The coins of each part.
const PART: Amount = 5 * UNIT;
/// When each part has to be done, counted from the beginning.
const DEADLINES: [BlockNumber; 4] = [20, 40, 80, 300];

pub(super) async fn play(mut stage: Stage<Milestones>) -> Result<()> {
    let start = stage.head().await?;
    let deadlines = DEADLINES.map(|blocks| start.saturating_add(blocks));
    let [first, second, _third, last] = deadlines;
    let milestones = deadlines.map(|deadline| Milestone { amount: PART, deadline }).to_vec();
    let contract = stage.begin(PAYER, Pair::new(4 * PART, 0), Creation { payer: PAYER, milestones }).await?;
    stage.is_refused(PAYEE, contract, 0, Input::Release { count: 1 }, Error::NotThePayer).await?;
    stage.is_refused(PAYER, contract, 0, Input::Expire, Error::NothingExpired).await?;
    stage.pass_until(first.saturating_sub(1)).await?;
    let pays = stage.try_call(PAYER, contract, Input::Release { count: 1 }).await?;
    ensure!(pays == Pair::new(0, PART), "the first part would be Bob's, not {pays:?}");
    let _done = stage.calls(PAYER, contract, 0, Input::Release { count: 1 }).await?;
    stage.expect(Pair::new(SHARE.saturating_sub(4 * PART), SHARE.saturating_add(PART))).await?;

    let (count, expiry) = (stage.calls, stage.head().await?.saturating_add(10));
    say(&format!("they haggle over the rest: {count} proposals, in turn"));
    let began = Instant::now();
    for number in 0..count {
        let by = if number % 2 == 0 { PAYER } else { PAYEE };
        let propose = Input::Propose { to_payee: Amount::from(number) % PART, expiry };
        let _done = stage.call(by, contract, 0, propose).await?;
    }
    stage.note_speed("proposals, one after the other", count, began);

    stage.bob_stops().await?;
    stage.pass_until(second.saturating_sub(2)).await?;
    stage.is_not_forced(PAYER, contract, Input::Expire, Error::NothingExpired).await?;
    stage.pass_until(second.saturating_sub(1)).await?;
    let [expired] = stage.force(PAYER, contract, [Input::Expire]).await?;
    ensure!(expired.height == second, "expired in block {}, the deadline is {second}", expired.height);
    ensure!(expired.payouts == Pair::new(PART, 0), "the second part is Alice's again, not {:?}", expired.payouts);

    stage.bob_returns().await?;
    let _done = stage.calls(PAYER, contract, 0, Input::Release { count: 1 }).await?;
    stage.expect(Pair::new(SHARE.saturating_sub(3 * PART), SHARE.saturating_add(2 * PART))).await?;
    match stage.of(PAYER).close(0).await {
        Err(NodeError::Misuse(Misuse::ContractsHoldCoins { held: PART })) => {}
        other => bail!("a channel with coins in contracts is not closed in agreement: {other:?}"),
    }
    say("a close in agreement is refused: the last part is still open. Bob closes alone");
    let [mut alices, mut bobs] = [stage.node(PAYER)?.events(), stage.node(PAYEE)?.events()];
    let closing = tokio::spawn({
        let channel = stage.of(PAYEE).clone();
        async move { channel.close_solo(Certainty::ConfirmedByPeer).await }
    });
    let unlock_at = wait_for(&mut alices, |event| match event {
        Event::ClosingSolo { unlock_at, .. } => Some(*unlock_at),
        _ => None,
    })
    .await?;
    ensure!(unlock_at.saturating_sub(stage.head().await?) <= LOCK_PERIOD, "the lock period was agreed on");
    stage.pass_until(unlock_at).await?;
    for events in [&mut alices, &mut bobs] {
        let (held, balances) = wait_for(events, |event| match event {
            Event::Residual { held, balances } => Some((*held, *balances)),
            _ => None,
        })
        .await?;
        let paid = Pair::new(SHARE.saturating_sub(3 * PART), SHARE.saturating_add(2 * PART));
        ensure!((held, balances) == (PART, paid), "settled with {balances:?} paid and {held} held");
    }
    say("settled; the last part stays in the channel, which is residual now");
    stage.is_not_forced(PAYER, contract, Input::Expire, Error::NothingExpired).await?;
    stage.pass_until(last.saturating_sub(1)).await?;
    let end = async { Ok(stage.of(PAYER).closed().await?) };
    let (closed, [expired]) = try_join(end, stage.force(PAYER, contract, [Input::Expire])).await?;
    ensure!((expired.height, expired.payouts) == (last, Pair::new(PART, 0)), "{} has the last part", name(PAYER));
    let _bobs = closing.await??;
    let expected = Pair::new(SHARE.saturating_sub(2 * PART), SHARE.saturating_add(2 * PART));
    stage.end(&closed, expected).await
}
