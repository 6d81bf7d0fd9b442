//! Rock, paper, scissors for a stake. Bob has lost when he sees Alice's move, and does not show his own: she claims both stakes when his time is up.

use super::stage::Stage;
use crate::{SHARE, report::UNIT, say};
use anyhow::{Context, Result, ensure};
use hidden::{Choice, Creation, Error, Hidden, Input, Salt, Terms, commitment};
use protocol::{Amount, BlockNumber, Pair, Party, contracts::ContractId};
use std::time::Instant;

const ALICE: Party = Party::Initiator;
const BOB: Party = Party::Responder;
const STAKE: Amount = 5 * UNIT;
const SECOND_STAKE: Amount = 2 * UNIT;
/// Longer than the window by which heights may differ.
const PATIENCE: BlockNumber = 30;
/// The most games of the first match but the last, so that a byte counts them all.
const MAX_GAMES: u32 = 240;

pub(super) async fn play(mut stage: Stage<Hidden>) -> Result<()> {
    // As many as make the calls that were asked for, each side winning as many, and one more.
    let even = u8::try_from((stage.calls / 8).saturating_mul(2).min(MAX_GAMES))?;
    let contract = begin(&stage, STAKE, even.saturating_add(1)).await?;
    stage.is_refused(BOB, contract, 0, Input::Claim, Error::TooEarly).await?;

    say(&format!("{even} games, each four calls: two hidden moves, both shown"));
    let began = Instant::now();
    for number in 0..even {
        let moves = match number % 2 {
            0 => Pair::new(Choice::Paper, Choice::Rock),
            _ => Pair::new(Choice::Rock, Choice::Paper),
        };
        let salts = commit(&stage, contract, number, moves).await?;
        for who in Party::BOTH {
            let _done = stage.call(who, contract, 0, Input::Reveal { choice: moves[who], salt: salts[who] }).await?;
        }
    }
    stage.note_speed("moves, one after the other", u32::from(even).saturating_mul(4), began);
    let state = stage.state(contract).await?;
    ensure!(state.won == Pair::new(even / 2, even / 2), "each has won half of the games: {state:?}");

    say("the last game decides");
    let moves = Pair::new(Choice::Scissors, Choice::Paper);
    let salt = salt()?;
    let hash = commitment(&stage.channel, &contract, even, ALICE, moves.initiator, &salt);
    let _done = stage.calls(ALICE, contract, 0, Input::Commit(hash)).await?;
    let show = Input::Reveal { choice: moves.initiator, salt };
    stage.is_refused(ALICE, contract, 0, show, Error::NotNow).await?;
    let bobs = commitment(&stage.channel, &contract, even, BOB, moves.responder, &self::salt()?);
    let _done = stage.calls(BOB, contract, 0, Input::Commit(bobs)).await?;
    let _done = stage.calls(ALICE, contract, 0, show).await?;
    say("Bob has received Alice's move, and sees that he has lost");
    stage.bob_stops().await?;
    let deadline = stage.state(contract).await?.deadline;
    stage.pass_until(deadline.saturating_sub(2)).await?;
    stage.is_not_forced(ALICE, contract, Input::Claim, Error::TooEarly).await?;
    stage.pass_until(deadline.saturating_sub(1)).await?;
    let [claimed] = stage.force(ALICE, contract, [Input::Claim]).await?;
    ensure!(claimed.height == deadline, "claimed in block {}, the deadline is {deadline}", claimed.height);
    ensure!(claimed.payouts == Pair::new(2 * STAKE, 0), "both stakes are Alice's, not {:?}", claimed.payouts);

    stage.bob_returns().await?;
    stage.is_refused(BOB, contract, 0, Input::Claim, Error::Over).await?;
    stage.remove(BOB, contract, Pair::default()).await?;
    say("a second match, for a smaller stake");
    let contract = begin(&stage, SECOND_STAKE, 1).await?;
    let moves = Pair::new(Choice::Paper, Choice::Scissors);
    let salts = commit(&stage, contract, 0, moves).await?;
    for who in Party::BOTH {
        let _done = stage.calls(who, contract, 0, Input::Reveal { choice: moves[who], salt: salts[who] }).await?;
    }
    stage.remove(ALICE, contract, Pair::default()).await?;
    let won = STAKE.checked_sub(SECOND_STAKE).context("the first stake is the higher one")?;
    let expected = Pair::new(SHARE.saturating_add(won), SHARE.saturating_sub(won));
    stage.expect(expected).await?;
    let closed = stage.close().await?;
    stage.end(&closed, expected).await
}

async fn begin(stage: &Stage<Hidden>, stake: Amount, games: u8) -> Result<ContractId> {
    let terms = Terms { stake, patience: PATIENCE, games };
    let joined = Pair::new(true, true);
    stage.begin(ALICE, Pair::new(stake, stake), Creation { terms, joined }).await
}

/// Both commit. Gives what their moves are hidden with.
async fn commit(stage: &Stage<Hidden>, contract: ContractId, game: u8, moves: Pair<Choice>) -> Result<Pair<Salt>> {
    let salts = Pair::new(salt()?, salt()?);
    for who in Party::BOTH {
        let hash = commitment(&stage.channel, &contract, game, who, moves[who], &salts[who]);
        let _done = stage.call(who, contract, 0, Input::Commit(hash)).await?;
    }
    Ok(salts)
}

fn salt() -> Result<Salt> {
    let mut salt = Salt::default();
    getrandom::fill(&mut salt).context("the operating system gives no random bytes")?;
    Ok(salt)
}
