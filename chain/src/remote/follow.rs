//! Keeps up with the chain: the finalised head, how well it is seen, and the blocks in which sent transactions are looked for.

use super::{
    endpoints::DIAL_AGAIN,
    link::{Failure, Link},
    node::Node,
    wire::Header,
};
use crate::{BlockRef, ChainError, Health};
use protocol::BlockNumber;
use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use subxt::rpcs::{client::RpcSubscription, rpc_params};
use tokio::time::Instant;

/// Follows finalised heads until the node is gone, over whichever endpoint is up.
pub(super) async fn heads(node: Weak<Node>) {
    let mut newest = Instant::now();
    while let Some(node) = node.upgrade() {
        if let Err(error) = follow(node, &mut newest).await {
            tracing::warn!(%error, "the finalised heads were lost: asking again");
            tokio::time::sleep(DIAL_AGAIN).await;
        }
    }
}

async fn follow(node: Arc<Node>, newest: &mut Instant) -> Result<(), ChainError> {
    let link = node.endpoints.link().await.inspect_err(|error| lost(&node, error))?;
    let subscribed =
        link.subscribe("chain_subscribeFinalizedHeads", rpc_params![], "chain_unsubscribeFinalizedHeads").await;
    let heads: RpcSubscription<Header> = match subscribed {
        Ok(heads) => heads,
        // It went in this very moment: whether another one comes is told by whoever dials.
        Err(Failure::Lost(cause)) => {
            node.endpoints.give_up(&link, &cause).await;
            return Err(ChainError::Unreachable(format!("{}: {cause}", link.url)));
        }
        Err(failure) => {
            let is_limit = matches!(failure, Failure::Limited(_));
            let words = failure.words();
            if is_limit {
                node.endpoints.rest(&link, &words).await;
            } else {
                node.endpoints.give_up(&link, &words).await;
            }
            let error =
                ChainError::Unreachable(format!("{} lets nobody follow its finalised heads: {words}", link.url));
            lost(&node, &error);
            return Err(error);
        }
    };
    let weak = Arc::downgrade(&node);
    drop(node);
    read(&weak, &link, heads, newest).await
}

fn lost(node: &Node, error: &ChainError) {
    let _was = node.health.send_replace(Health::Lost(error.clone()));
}

/// How often it is looked whether the chain stands still, and whether anybody still wants to know.
const LOOK: Duration = Duration::from_secs(1);

/// Reads heads from one endpoint until another one is to be read from.
async fn read(
    node: &Weak<Node>,
    link: &Arc<Link>,
    mut heads: RpcSubscription<Header>,
    newest: &mut Instant,
) -> Result<(), ChainError> {
    loop {
        let next = tokio::time::timeout(LOOK, heads.next()).await;
        let Some(node) = node.upgrade() else { return Ok(()) };
        match next {
            Ok(Some(Ok(header))) => {
                if note(&node, link, &header).await? {
                    *newest = Instant::now();
                }
            }
            Ok(Some(Err(error))) => {
                node.endpoints.give_up(link, &error.to_string()).await;
                return Err(ChainError::Unreachable(error.to_string()));
            }
            Ok(None) => {
                node.endpoints.give_up(link, "its subscription ended").await;
                // At once: a connection that broke is made anew without a pause.
                return Ok(());
            }
            Err(_elapsed) => {}
        }
        // Others may have left this endpoint: then so do we.
        let current = node.endpoints.link().await.inspect_err(|error| lost(&node, error))?;
        if !Arc::ptr_eq(&current, link) {
            return Ok(());
        }
        if let Some(limit) = node.settings.stalled_after
            && newest.elapsed() >= limit
        {
            let health = Health::Stalled { head: node.head(), since: newest.elapsed() };
            let known = matches!(*node.health.borrow(), Health::Stalled { .. });
            let _was = node.health.send_replace(health.clone());
            if !known {
                tracing::warn!(%health, endpoint = %link.url, "the chain stands still");
                if node.endpoints.are_several() {
                    node.endpoints.give_up(link, "no finalised block for too long").await;
                    return Ok(());
                }
            }
        }
    }
}

/// Takes note of a finalised head; says whether it is news.
async fn note(node: &Node, link: &Arc<Link>, header: &Header) -> Result<bool, ChainError> {
    let head = BlockRef { number: header.number, hash: header.hash() };
    let known = node.head();
    let anchor = node.endpoints.anchor();
    if let Some(anchor) = anchor.filter(|anchor| head.number == anchor.number && head.hash != anchor.hash) {
        let error = ChainError::WrongChain {
            url: link.url.clone(),
            block: head.number,
            expected: anchor.hash,
            found: head.hash,
        };
        node.endpoints.give_up(link, &error.to_string()).await;
        lost(node, &error);
        return Err(error);
    }
    // The first head of a new connection may be old news: the endpoint is well all the same, unless the chain was seen to stand still.
    let is_news = head.number > known.number;
    tracing::trace!(head = head.number, is_news, endpoint = %link.url, "a finalised head");
    // What one of several endpoints has told is not held against another one, beyond what two have said.
    let is_other = head != known && node.endpoints.are_several() && anchor.is_none_or(|at| head.number >= at.number);
    if is_news || is_other {
        node.endpoints.saw_head(head);
        let _was = node.head.send_replace(head);
    }
    let well_again = is_news || matches!(*node.health.borrow(), Health::Lost(_));
    if well_again && !node.health.borrow().is_good() {
        tracing::info!(head = head.number, endpoint = %link.url, "the chain is seen again");
        let _was = node.health.send_replace(Health::Good);
    }
    Ok(is_news)
}

/// The furthest that an endpoint may lie behind another one: what is two blocks in coming to it is nothing, and a minute is much.
pub(super) const MAX_LAG: BlockNumber = 8;

/// The head by which others are measured: the furthest that two endpoints have reached. Where no more than two say anything, nobody can confirm what one
/// of them is ahead by: then it is that one's word, with its place.
fn furthest(mut heads: Vec<(usize, BlockNumber)>) -> Option<(BlockNumber, Option<usize>)> {
    heads.sort_by_key(|(_, head)| Reverse(*head));
    match &heads[..] {
        [] => None,
        [_, (_, second), _, ..] => Some((*second, None)),
        [(index, first), ..] => Some((*first, Some(*index))),
    }
}

/// Leaves an endpoint that is slow to tell of blocks for one that is faster, until the node is gone. It would not be seen to stand still, and a close
/// would be told of too late. Whoever boasts of blocks that nobody else has makes a laggard of nobody; where nobody else is there to say, of one
/// endpoint once, and again only when two have the head that it was left for.
pub(super) async fn laggards(weak: Weak<Node>) {
    let Some(node) = weak.upgrade() else { return };
    let Some(limit) = node.settings.stalled_after.filter(|_| node.endpoints.are_several()) else { return };
    drop(node);
    // Four times before it would count as standing still.
    let pause = limit.checked_div(4).unwrap_or(limit);
    let mut believed: HashMap<usize, BlockNumber> = HashMap::new();
    loop {
        tokio::time::sleep(pause).await;
        let Some(node) = weak.upgrade() else { return };
        let Some((furthest, alone)) = furthest(node.heads().await) else { continue };
        let two_have = node.endpoints.anchor().map_or(0, |anchor| anchor.number);
        let has_boasted = alone.and_then(|index| believed.get(&index)).is_some_and(|told| *told > two_have);
        if furthest > node.head().number.saturating_add(MAX_LAG) && !has_boasted {
            believed.extend(alone.map(|index| (index, furthest)));
            node.endpoints.leave(&format!("another one tells of block {furthest}")).await;
        }
    }
}

/// Looks for sent transactions in every block that becomes final, until the node is gone.
pub(super) async fn transactions(weak: Weak<Node>) {
    let Some(node) = weak.upgrade() else { return };
    let (mut head, mut begun) = (node.head.subscribe(), node.tracker.begun());
    drop(node);
    loop {
        let Some(node) = weak.upgrade() else { return };
        let newest = head.borrow_and_update().number;
        let _count = *begun.borrow_and_update();
        match node.tracker.next(newest) {
            Some(number) => match node.body(number).await {
                Ok((at, extrinsics)) => {
                    tracing::trace!(number, extrinsics = extrinsics.len(), "looking for transactions");
                    node.tracker.judge(at, &extrinsics);
                }
                Err(error) => {
                    tracing::warn!(%error, number, "could not look for transactions in a block: asking again");
                    drop(node);
                    tokio::time::sleep(DIAL_AGAIN).await;
                }
            },
            None => {
                drop(node);
                tokio::select! {
                    changed = head.changed() => if changed.is_err() { return },
                    changed = begun.changed() => if changed.is_err() { return },
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_boasts_of_blocks_that_nobody_else_has_makes_a_laggard_of_nobody() {
        assert_eq!(furthest(vec![(0, 10), (1, 1_000), (2, 11)]), Some((11, None)));
        assert_eq!(furthest(vec![(0, 10), (1, 40), (2, 40)]), Some((40, None)));
        assert_eq!(furthest(vec![(0, 10), (1, 1_000)]), Some((1_000, Some(1))), "nobody is there to say otherwise");
        assert_eq!(furthest(Vec::new()), None);
    }
}
