//! Contracts inside a channel, one story for each example app. Each begins, is played off chain by both, goes on by force while Bob does not
//! answer, goes on off chain when he is back, and ends with every coin where it was to be expected.

mod exchange;
mod hidden;
mod milestones;
mod stage;
mod stream;
mod words;

use super::Options;
use anyhow::Result;
use clap::ValueEnum;
use stage::Stage;

/// Whose story is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Which {
    /// Payments by the block.
    Stream,
    /// Orders.
    Exchange,
    /// Rock, paper, scissors with hidden moves.
    Hidden,
    /// An escrow in parts.
    Milestones,
    /// One after the other, each on a chain of its own.
    All,
}

pub(super) async fn play(which: Which, options: &Options) -> Result<()> {
    let all = [Which::Stream, Which::Exchange, Which::Hidden, Which::Milestones];
    // Tokens are worth something without coins; the other contracts are worth nothing when they are empty.
    for one in all.into_iter().filter(|one| which == Which::All || which == *one) {
        match one {
            Which::Stream => stream::play(Stage::set("stream", true, options).await?).await?,
            Which::Exchange => exchange::play(Stage::set("exchange", false, options).await?).await?,
            Which::Hidden => hidden::play(Stage::set("hidden", true, options).await?).await?,
            Which::Milestones => milestones::play(Stage::set("milestones", true, options).await?).await?,
            Which::All => {}
        }
    }
    Ok(())
}
