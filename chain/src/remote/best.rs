//! The newest blocks that endpoints show, final or not (R8.30): each endpoint is listened to over a connection of its own, so that none that is late, or
//! wants to be, hides what another one shows.

use super::{RemoteChain, confirm::events_of, link::Link, node::Node, wire::Header};
use crate::{BestBlock, BlockRef, ChainError, ContractEvent};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use protocol::BlockNumber;
use std::{collections::HashMap, sync::Arc, time::Duration};
use subxt::rpcs::{client::RpcSubscription, rpc_params};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep,
};

/// How many blocks may wait for whoever listens: the endpoints wait then, and whoever comes back hears of the newest soon.
const HELD_BACK: usize = 64;
/// How long an endpoint is left alone that cannot be listened to: so long at first, twice as long each time, and no longer than this.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long an endpoint may take to tell what is in a block that it has shown.
const EVENTS_WITHIN: Duration = Duration::from_secs(6);

/// What an endpoint shows.
struct Shown {
    /// Its place.
    by: usize,
    number: BlockNumber,
    events: Vec<ContractEvent>,
}

/// Whoever listens.
struct Listening {
    /// Keeps the client alive.
    chain: RemoteChain,
    head: watch::Receiver<BlockRef>,
    told: mpsc::Receiver<Shown>,
    /// What each endpoint has shown last. It stands when the endpoint is lost: the chain does not go back for that.
    newest: HashMap<usize, BlockNumber>,
    begun: bool,
    _endpoints: JoinSet<()>,
}

/// Listens to every endpoint until it is dropped.
pub(super) fn follow(chain: RemoteChain) -> BoxStream<'static, BestBlock> {
    let (tell, told) = mpsc::channel(HELD_BACK);
    let mut endpoints = JoinSet::new();
    for index in chain.node.endpoints.all() {
        let _task = endpoints.spawn(listen(Arc::clone(&chain.node), index, tell.clone()));
    }
    let head = chain.node.head.subscribe();
    let listening = Listening { chain, head, told, newest: HashMap::new(), begun: false, _endpoints: endpoints };
    stream::unfold(listening, |mut listening| async move { Some((listening.next().await?, listening)) }).boxed()
}

impl Listening {
    async fn next(&mut self) -> Option<BestBlock> {
        if !self.begun {
            self.begun = true;
            return Some(self.best(Vec::new()));
        }
        tokio::select! {
            shown = self.told.recv() => {
                let Shown { by, number, events } = shown?;
                let _before = self.newest.insert(by, number);
                Some(self.best(events))
            }
            // The sender is here as long as `chain`.
            changed = self.head.changed() => {
                changed.ok()?;
                Some(self.best(Vec::new()))
            }
        }
    }

    fn best(&mut self, events: Vec<ContractEvent>) -> BestBlock {
        let _seen = *self.head.borrow_and_update();
        let shown = self.newest.values().copied().fold(self.chain.node.head().number, BlockNumber::max);
        BestBlock { number: shown, events }
    }
}

/// Tells of every block that one endpoint shows.
async fn listen(node: Arc<Node>, index: usize, tell: mpsc::Sender<Shown>) {
    let mut pause = AGAIN.0;
    while !tell.is_closed() {
        let mut has_shown = false;
        if let Err(error) = read(&node, index, &tell, &mut has_shown).await {
            tracing::debug!(endpoint = node.endpoints.name(index), %error, "an endpoint shows no new blocks: asking again");
        }
        pause = if has_shown { AGAIN.0 } else { pause.saturating_mul(2).min(AGAIN.1) };
        sleep(pause).await;
    }
}

async fn read(
    node: &Arc<Node>,
    index: usize,
    tell: &mpsc::Sender<Shown>,
    has_shown: &mut bool,
) -> Result<(), ChainError> {
    let link = node.endpoints.witness(index).await?;
    let subscribed = link.subscribe("chain_subscribeNewHeads", rpc_params![], "chain_unsubscribeNewHeads").await;
    let mut heads: RpcSubscription<Header> = subscribed.map_err(|failure| ChainError::Unreachable(failure.words()))?;
    while let Some(header) = heads.next().await {
        let header = header.map_err(|error| ChainError::Unreachable(error.to_string()))?;
        *has_shown = true;
        let at = BlockRef { number: header.number, hash: header.hash() };
        // That there is such a block matters more than what is in it.
        show(tell, index, at.number, Vec::new()).await?;
        if let Ok(Ok(events)) = tokio::time::timeout(EVENTS_WITHIN, events(node, &link, at)).await
            && !events.is_empty()
        {
            show(tell, index, at.number, events).await?;
        }
    }
    Ok(())
}

async fn show(
    tell: &mpsc::Sender<Shown>,
    by: usize,
    number: BlockNumber,
    events: Vec<ContractEvent>,
) -> Result<(), ChainError> {
    let gone = |_gone| ChainError::Unreachable("nobody listens any more".into());
    tell.send(Shown { by, number, events }).await.map_err(gone)
}

/// What contracts announced in a block, as one endpoint has it.
async fn events(node: &Node, link: &Link, at: BlockRef) -> Result<Vec<ContractEvent>, ChainError> {
    let bytes = events_of(link, at).await?;
    node.events_by_newest_runtime(bytes).await
}
