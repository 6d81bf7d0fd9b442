//! Watches channels for what goes wrong. The node answers on chain by itself; this says what it does, and what is left to do for you.
//!
//! It is a node that others may open channels with, such as open_and_pay. Your service would do the same beside serving.

use anyhow::{Context, Result};
use clap::Parser;
use examples::NodeOptions;
use sdk::{
    channel::{ChannelRef, CloseReason, Event, Notice},
    node::{EventStream, Node, Notification},
    protocol::BlockNumber,
};
use std::{collections::BTreeMap, mem::discriminant, time::Duration};
use tokio::time::interval;

/// What a close by one side means, and what to do: the node slashes and settles by itself, for as long as it runs and can pay the fees.
fn about_closing(event: &Event) -> Option<String> {
    Some(match event {
        Event::ClosingSolo { round, unlock_at, outdated: true } => format!(
            "closed on round {round}, which is OLD; the node answers with the newest. Deliver nothing more, tell your operator, and keep \
             the node running until block {unlock_at}"
        ),
        Event::ClosingSolo { round, unlock_at, outdated: false } => format!(
            "closed by one side on round {round}, the newest: nothing is lost. Deliver nothing more; settled once block {unlock_at} is there"
        ),
        Event::Slashed { round, unlock_at } => {
            format!("slashed: round {round} counts, settled once block {unlock_at} is there. Keep the node running")
        }
        Event::Closed(CloseReason::Mutual { balances } | CloseReason::Settled { balances }) => {
            let (initiators, responders) = (balances.initiator, balances.responder);
            format!("over: {initiators} went to the initiator, {responders} to the responder. Book it")
        }
        _ => return None,
    })
}

/// What calls mean that the arbiter makes because one side does not answer, and what comes of them.
fn about_force(event: &Event) -> Option<String> {
    Some(match event {
        Event::Forcing { .. } => "the peer does not answer: the arbiter is asked to make our calls".into(),
        Event::Executed { round, forced: true, performed } => format!(
            "{} calls were forced, up to round {round}. Look at the contracts, and answer within their deadlines: by calls while the peer \
             answers, by force where it does not",
            performed.len()
        ),
        Event::ForceFailed { rejection, .. } => format!("the arbiter does not make our calls: {rejection}"),
        Event::Replaced { forced, round } => {
            format!(
                "round {round} counts, not what was forced from round {forced} on: undo what you did because of that"
            )
        }
        Event::Residual { held, .. } => {
            format!("paid out, but contracts hold {held}: force the calls that pay it to you")
        }
        _ => return None,
    })
}

/// What other troubles mean, which are told in passing.
fn about_trouble(notice: &Notice) -> Option<String> {
    Some(match notice {
        Notice::PendingReplay { round } => {
            format!("calls were forced up to round {round} with an app that is not here: add it to NodeConfig::apps")
        }
        Notice::StaleStore { .. } => {
            "this store is OLD: restore the newest copy. The node signs nothing more but a close in agreement".into()
        }
        Notice::StoreCopied => {
            "this store was copied here and may be OLD: nothing new is signed. Where it is the newest there is, stop, \
             delete its lock file, and start again"
                .into()
        }
        Notice::AwaitsPeerConfirmation { step } => {
            format!(
                "{step:?} waits until the peer was heard: the store may be old. `Certainty::OwnStoreIsNewest` does not wait"
            )
        }
        Notice::CallRejected { call, rejection } => format!("the arbiter refuses {call}: {rejection}"),
        Notice::CallFailed { call, cause, until: Some(until) } => {
            format!("{call} is not sent ({cause}): until block {until} it can be mended")
        }
        Notice::OperationRefused { operation, until, .. } => format!(
            "the arbiter refuses a {operation:?} that both have signed: nothing else is agreed until it takes it, or block {until} is over"
        ),
        Notice::PeerSilent => "the peer does not answer: wait, or close alone".into(),
        _ => return None,
    })
}

/// Says what happens, and notes the disputes that are open, each with the block that ends it.
async fn watch(node: &Node, events: &mut EventStream, disputes: &mut BTreeMap<ChannelRef, BlockNumber>) -> Result<()> {
    let (mut looks, mut health) = (interval(Duration::from_secs(1)), node.chain_health());
    println!("chain: {health}");
    loop {
        let told = tokio::select! {
            told = events.next() => told?,
            _ = looks.tick() => {
                let seen = node.chain_health();
                if discriminant(&seen) != discriminant(&health) {
                    println!("chain: {seen}"); // while it is not well, nothing can be defended: tell your operator
                    health = seen;
                }
                continue;
            }
        };
        let channel = told.reference;
        let words = match &told.event {
            Notification::Event(event) => about_closing(event).or_else(|| about_force(event)),
            Notification::Notice(notice) => about_trouble(notice),
        };
        if let Some(words) = words {
            println!("channel {channel:?}: {words}");
        }
        let _other = match told.event.event() {
            Some(Event::ClosingSolo { unlock_at, .. } | Event::Slashed { unlock_at, .. }) => {
                disputes.insert(channel, *unlock_at)
            }
            Some(Event::Closed(_)) => disputes.remove(&channel),
            _ => None,
        };
        // While a dispute is open nothing is acknowledged: whoever starts this again is told all of it again.
        if !disputes.contains_key(&channel) {
            node.ack(&told).await?;
        }
    }
}

/// Runs a node, says what happens to its channels when somebody closes alone or does not answer, and what to do.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    node: NodeOptions,
    /// Where to listen for peers; port 0 is any that is free.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    listen: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    examples::log();
    let mut config = options.node.config().await?;
    config.listen = Some(options.listen);
    let (node, mut events) = Node::start_with_events(config).await?;
    let stop = options.node.stop()?; // a signal before this just ends the program, which harms nothing
    println!("listening at {}", node.address().context("it listens nowhere")?);
    let mut disputes = BTreeMap::new();
    let done = tokio::select! {
        done = watch(&node, &mut events, &mut disputes) => done,
        () = stop => Ok(()),
    };
    node.stop().await;
    for (channel, unlock_at) in disputes {
        println!("channel {channel:?}: still disputed: start again long before block {unlock_at}");
    }
    done
}
