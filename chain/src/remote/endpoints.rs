//! Which endpoint is used: the first that is up and serves the right chain. One that fails gives way to the next.

use super::{
    link::{Complaint, Failure, Link},
    settings::{Settings, Url},
    wire::{Header, Hex32},
};
use crate::{BlockRef, ChainError};
use protocol::{BlockNumber, Hash};
use serde::de::DeserializeOwned;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use subxt::rpcs::{client::RpcParams, rpc_params};
use tokio::{sync::watch, time::Instant};

/// For how long an answer "nobody is there" stands before the endpoints are dialled again.
pub(super) const DIAL_AGAIN: Duration = Duration::from_secs(1);
/// How long an endpoint is left alone that allows no more questions for now: so long at first, twice as long each time, and no longer than this.
const REST: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// How often a question is asked again that no endpoint allows for now.
const MAX_RESTS: u32 = 6;
/// How long an answer may take where another endpoint can be asked instead.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);
/// How long a question waits for a connection where there is none: long enough for a node to restart.
const WAIT_FOR_LINK: Duration = Duration::from_secs(3);

pub(super) struct Endpoints {
    urls: Vec<Url>,
    settings: Settings,
    genesis: OnceLock<Hash>,
    /// A finalised block that every endpoint must have: two have it, or there is but one endpoint.
    anchor: Mutex<Option<BlockRef>>,
    /// The newest finalised block that an endpoint has told. One that has it is preferred, and none is held to it: it may be made up.
    newest: Mutex<Option<BlockRef>>,
    state: tokio::sync::Mutex<Connections>,
    /// Which endpoints are left alone for now, in their order.
    rests: Mutex<Vec<Rest>>,
    /// Connections to endpoints that are asked whether another one tells the truth, by their places.
    witnesses: tokio::sync::Mutex<HashMap<usize, Arc<Link>>>,
    /// Counts the connections that were made: whoever has sent something over an earlier one may have to send it again.
    made: watch::Sender<u64>,
}

/// An endpoint that allows no more questions for now is used last until this is over.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Instant,
    /// How long the next one is.
    next: Duration,
}

impl Rest {
    /// Begins another one; says how long it is.
    fn begin(&mut self, now: Instant) -> Duration {
        // What was well for as long as it rested begins anew.
        let length = if now.saturating_duration_since(self.until) > self.next { REST.0 } else { self.next };
        *self = Self { until: now.checked_add(length).unwrap_or(now), next: length.saturating_mul(2).min(REST.1) };
        length
    }
}

#[derive(Default)]
struct Connections {
    current: Option<Arc<Link>>,
    /// Where to begin when a new connection is needed.
    next: usize,
    /// When all endpoints were dialled in vain, and what came of it.
    failed: Option<(Instant, ChainError)>,
}

impl Endpoints {
    pub(super) fn new(settings: Settings) -> Result<Self, ChainError> {
        let urls = settings.endpoints.iter().map(|url| Url::parse(url)).collect::<Result<Vec<_>, _>>()?;
        if urls.is_empty() {
            return Err(ChainError::BadUrl { url: String::new(), cause: "no endpoint is given".into() });
        }
        let genesis = OnceLock::new();
        if let Some(expected) = settings.genesis {
            let _first = genesis.set(expected);
        }
        let made = watch::Sender::new(0);
        let rests = Mutex::new(vec![Rest { until: Instant::now(), next: REST.0 }; urls.len()]);
        let (anchor, newest) = (Mutex::default(), Mutex::default());
        let (state, witnesses) = (Default::default(), Default::default());
        Ok(Self { urls, settings, genesis, anchor, newest, state, rests, witnesses, made })
    }

    /// The genesis, once a connection was made or it was given.
    pub(super) fn genesis(&self) -> Option<Hash> {
        self.genesis.get().copied()
    }

    pub(super) fn are_several(&self) -> bool {
        self.urls.len() > 1
    }

    /// The place of each endpoint.
    pub(super) fn all(&self) -> impl Iterator<Item = usize> {
        0..self.urls.len()
    }

    /// An endpoint's URL, as it may be shown.
    pub(super) fn name(&self, index: usize) -> String {
        self.urls.get(index).map(|url| url.shown.clone()).unwrap_or_default()
    }

    /// A connection to this very endpoint, which serves the right chain and may lag behind.
    pub(super) async fn witness(&self, index: usize) -> Result<Arc<Link>, ChainError> {
        let known = self.witnesses.lock().await.get(&index).filter(|link| link.is_up()).cloned();
        if let Some(link) = known {
            return Ok(link);
        }
        let url = self.urls.get(index).ok_or_else(|| ChainError::Unreachable("no endpoint".into()))?;
        let link = Arc::new(self.open_any(index, url).await?);
        let _lost = self.witnesses.lock().await.insert(index, Arc::clone(&link));
        Ok(link)
    }

    /// Changes whenever a new connection was made.
    pub(super) fn made(&self) -> watch::Receiver<u64> {
        self.made.subscribe()
    }

    /// Every endpoint must have this finalised block from now on, or the later one that it must have already.
    pub(super) fn hold_to(&self, block: BlockRef) {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        *anchor = anchor.filter(|earlier| earlier.number > block.number).or(Some(block));
    }

    /// The finalised block that every endpoint must have.
    pub(super) fn anchor(&self) -> Option<BlockRef> {
        *self.anchor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The endpoint in use tells of this finalised head. A single endpoint is held to it.
    pub(super) fn saw_head(&self, head: BlockRef) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(head);
        if !self.are_several() {
            self.hold_to(head);
        }
    }

    /// A connection that is up, made anew where necessary.
    pub(super) async fn link(&self) -> Result<Arc<Link>, ChainError> {
        let mut state = self.state.lock().await;
        if let Some(link) = state.current.as_ref().filter(|link| link.is_up()) {
            return Ok(Arc::clone(link));
        }
        if let Some((at, error)) = &state.failed
            && at.elapsed() < DIAL_AGAIN
        {
            return Err(error.clone());
        }
        let (mut causes, mut behind) = (Vec::new(), None);
        let count = self.urls.len();
        let in_turn = (0..count).map(|step| state.next.wrapping_add(step).checked_rem(count).unwrap_or_default());
        let mut indices: Vec<_> = in_turn.collect();
        indices.sort_by_key(|index| self.is_resting(*index));
        for index in indices {
            let Some(url) = self.urls.get(index) else { continue };
            match self.open(index, url).await {
                Ok(link) if self.is_level(&link).await => return Ok(self.take(&mut state, link)),
                Ok(link) => behind = behind.or(Some(link)),
                Err(error) => causes.push((url.shown.clone(), error)),
            }
        }
        // Nobody has the newest head that was told: it may have been made up.
        if let Some(link) = behind {
            return Ok(self.take(&mut state, link));
        }
        let error = combined(causes);
        state.current = None;
        state.failed = Some((Instant::now(), error.clone()));
        Err(error)
    }

    /// Uses a connection from now on.
    fn take(&self, state: &mut Connections, link: Link) -> Arc<Link> {
        let link = Arc::new(link);
        if link.index != state.next || *self.made.borrow() > 0 {
            tracing::info!(endpoint = %link.url, "connected to the chain");
        }
        *state = Connections { current: Some(Arc::clone(&link)), next: link.index, failed: None };
        self.made.send_modify(|made| *made = made.wrapping_add(1));
        link
    }

    /// Whether an endpoint has the newest finalised head that was told.
    async fn is_level(&self, link: &Link) -> bool {
        let newest = *self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        match newest.filter(|_| self.are_several()) {
            Some(BlockRef { number, hash }) => {
                self.block_hash(link, number).await.is_ok_and(|found| found == Some(hash))
            }
            None => true,
        }
    }

    /// As [`link`](Self::link); where there is none, one that comes up shortly.
    async fn link_soon(&self) -> Result<Arc<Link>, ChainError> {
        let mut made = self.made.subscribe();
        match self.link().await {
            Err(ChainError::Unreachable(_)) => {
                // Whoever follows the heads dials again and again.
                let _made_or_not = tokio::time::timeout(WAIT_FOR_LINK, made.changed()).await;
                self.link().await
            }
            linked_or_wrong => linked_or_wrong,
        }
    }

    /// Leaves an endpoint for the next one; on one's own, for a new connection to the same.
    pub(super) async fn give_up(&self, link: &Arc<Link>, cause: &str) {
        let mut state = self.state.lock().await;
        if state.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, link)) {
            tracing::warn!(endpoint = %link.url, cause, "leaving an endpoint of the chain");
            state.current = None;
            state.next = link.index.wrapping_add(1).checked_rem(self.urls.len()).unwrap_or_default();
        }
    }

    /// Leaves the endpoint in use for the next one, where there are several.
    pub(super) async fn leave(&self, cause: &str) {
        if self.are_several()
            && let Ok(link) = self.link().await
        {
            self.give_up(&link, cause).await;
        }
    }

    fn is_resting(&self, index: usize) -> bool {
        let rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        rests.get(index).is_some_and(|rest| Instant::now() < rest.until)
    }

    /// An endpoint allows no more questions for now: it is left for another one. Where there is none that is not resting too, this waits.
    pub(super) async fn rest(&self, link: &Arc<Link>, cause: &str) {
        let length = self.note_limit(link, cause).await;
        if (0..self.urls.len()).all(|index| self.is_resting(index)) {
            tokio::time::sleep(length).await;
        }
    }

    /// The same, without waiting; says how long the endpoint rests.
    pub(super) async fn note_limit(&self, link: &Arc<Link>, cause: &str) -> Duration {
        let length = {
            let mut rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
            rests.get_mut(link.index).map_or(REST.0, |rest| rest.begin(Instant::now()))
        };
        tracing::warn!(endpoint = %link.url, cause, ?length, "an endpoint allows no more questions for now");
        if self.are_several() {
            self.give_up(link, cause).await;
        }
        length
    }

    /// A connection to an endpoint that has the block which every endpoint must have.
    async fn open(&self, index: usize, url: &Url) -> Result<Link, ChainError> {
        let link = self.open_any(index, url).await?;
        if let Some(BlockRef { number, hash }) = self.anchor() {
            match self.block_hash(&link, number).await? {
                Some(found) if found == hash => {}
                Some(found) => {
                    return Err(ChainError::WrongChain {
                        url: url.shown.clone(),
                        block: number,
                        expected: hash,
                        found,
                    });
                }
                None => {
                    return Err(ChainError::Unreachable(format!(
                        "it lags behind: block {number} is final, and it has none such"
                    )));
                }
            }
        }
        Ok(link)
    }

    async fn open_any(&self, index: usize, url: &Url) -> Result<Link, ChainError> {
        let link = Link::open(index, url, &self.settings).await.map_err(ChainError::Unreachable)?;
        let found = self
            .block_hash(&link, 0)
            .await?
            .ok_or_else(|| ChainError::Unreachable("it has no genesis block".into()))?;
        let expected = *self.genesis.get_or_init(|| found);
        if found != expected {
            return Err(ChainError::WrongChain { url: url.shown.clone(), block: 0, expected, found });
        }
        Ok(link)
    }

    async fn block_hash(&self, link: &Link, number: BlockNumber) -> Result<Option<Hash>, ChainError> {
        let answer = self.answer_of::<Option<Hex32>>(link, "chain_getBlockHash", rpc_params![number]).await;
        answer.map(|hash| hash.map(|Hex32(hash)| hash)).map_err(|failure| ChainError::Unreachable(failure.words()))
    }

    /// What an endpoint answers. Where there are several, one that takes a question and says nothing is not waited for until the connection gives up.
    async fn answer_of<R: DeserializeOwned>(
        &self,
        link: &Link,
        method: &'static str,
        params: RpcParams,
    ) -> Result<R, Failure> {
        if !self.are_several() {
            return link.ask(method, params).await;
        }
        let in_time = tokio::time::timeout(ANSWER_WITHIN, link.ask(method, params)).await;
        in_time.unwrap_or_else(|_elapsed| Err(Failure::Lost(format!("no answer within {} s", ANSWER_WITHIN.as_secs()))))
    }

    /// Asks whichever endpoint is up. The question must be one that may be asked twice.
    pub(super) async fn ask<R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: RpcParams,
    ) -> Result<(Arc<Link>, Result<R, Complaint>), ChainError> {
        let (mut tries, mut rests) = (0_usize, 0_u32);
        loop {
            let link = self.link_soon().await?;
            match self.answer_of(&link, method, params.clone()).await {
                Ok(answer) => return Ok((link, Ok(answer))),
                Err(Failure::Limited(words)) => {
                    rests = rests.saturating_add(1);
                    if rests > MAX_RESTS {
                        return Err(ChainError::Unreachable(format!("{} allows no more questions: {words}", link.url)));
                    }
                    self.rest(&link, &words).await;
                }
                Err(Failure::Answered(complaint)) => return Ok((link, Err(complaint))),
                Err(Failure::Lost(cause)) => {
                    self.give_up(&link, &cause).await;
                    tries = tries.saturating_add(1);
                    if tries > self.urls.len() {
                        return Err(ChainError::Unreachable(format!("{}: {cause}", link.url)));
                    }
                }
            }
        }
    }

    /// Asks something that every node of the chain can answer, about `block` where it is about one's state.
    pub(super) async fn ask_about<R: DeserializeOwned>(
        &self,
        block: Option<BlockNumber>,
        method: &'static str,
        params: RpcParams,
    ) -> Result<R, ChainError> {
        let mut worst = ChainError::Unreachable("no endpoint".into());
        for _ in 0..self.urls.len() {
            let (link, answer) = self.ask(method, params.clone()).await?;
            let complaint = match answer {
                Ok(answer) => return Ok(answer),
                Err(complaint) => complaint,
            };
            worst = match block {
                Some(block) if complaint.is_pruned() => ChainError::Pruned { block },
                _ => ChainError::Unreachable(format!("{} answers {method} with: {}", link.url, complaint.words())),
            };
            let others_may_know =
                complaint.is_pruned() || complaint.is_unknown_block() || complaint.is_unknown_method();
            if !others_may_know || !self.are_several() {
                break;
            }
            self.give_up(&link, &complaint.words()).await;
        }
        Err(worst)
    }

    /// The newest finalised block as an endpoint has it.
    pub(super) async fn finalised_head(&self) -> Result<BlockRef, ChainError> {
        let Hex32(hash) = self.ask_about(None, "chain_getFinalizedHead", rpc_params![]).await?;
        let header: Option<Header> = self.ask_about(None, "chain_getHeader", rpc_params![hash.to_string()]).await?;
        match header {
            Some(header) if header.hash() == hash => Ok(BlockRef { number: header.number, hash }),
            _ => Err(ChainError::Unreachable("the finalised head has no such header".into())),
        }
    }
}

/// Nobody is there: why not. If every endpoint is of another chain, that is what is wrong.
fn combined(causes: Vec<(String, ChainError)>) -> ChainError {
    let wrong = |(_, error): &(String, ChainError)| matches!(error, ChainError::WrongChain { .. });
    if causes.iter().all(wrong)
        && let Some((_, error)) = causes.first()
    {
        return error.clone();
    }
    let told = causes.into_iter().map(|(url, error)| match error {
        ChainError::Unreachable(cause) => format!("{url}: {cause}"),
        other => other.to_string(),
    });
    ChainError::Unreachable(told.collect::<Vec<_>>().join("; "))
}
