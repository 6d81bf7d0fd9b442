//! Sending a transaction, and finding out what became of it.
//!
//! ```text
//!   preflight: has the best block changed what the dry run said?
//!      |
//!      v          .---- nonce used or taken, era over, pool full: anew, so many times -----.
//!   lowest nonce, sign, look for it in final blocks, send                                  |
//!      |                                                                                   |
//!      '--> in a final block ----------------> receipt, or why it failed there             |
//!      '--> let go, or the connection broke -> the same bytes again                        |
//!      '--> its nonce is on chain, it is not ----------------------------------------------'
//!      '--> the last block of its era is final: dropped
//! ```
//!
//! The same bytes may be sent as often as one likes: a nonce counts once. With another nonce only that is signed anew which can be in no block any
//! more; with the same one, all forms are looked for.

use super::{
    endpoints::DIAL_AGAIN,
    extrinsic::{self, Era, Form},
    link::{Complaint, Failure},
    node::{FinalBlock, Node, called},
    nonces::{Held, Lane},
    refusal::Refusal,
    runtime::Runtime,
    tracker::{Ticket, Verdict},
    wire::{Status, to_hex},
};
use crate::{ChainError, DryRun, Receipt, Signer, Transaction, Urgency};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use protocol::{AccountId, Amount, BlockNumber};
use serde::de::IgnoredAny;
use std::{sync::Arc, time::Duration};
use subxt::rpcs::{client::RpcSubscription, rpc_params};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};

/// How often a transaction is signed anew because its nonce had been used by somebody else.
const MAX_SIGNATURES: u8 = 16;
/// How often one is offered to a pool that has no room, and how long is waited in between.
const MAX_OFFERS: u8 = 30;
/// How long is waited for room in the pool.
const ROOM: Duration = Duration::from_secs(2);
/// How often one is signed anew because the node did not like what it was signed for.
const MAX_CORRECTIONS: u8 = 3;
/// In how many signed forms one is sent at most.
const MAX_FORMS: usize = 8;
/// How long to wait before the same bytes are sent again.
const SEND_AGAIN: Duration = Duration::from_secs(6);

/// What is to be sent.
struct Job<'a> {
    node: &'a Node,
    signer: &'a dyn Signer,
    account: AccountId,
    transaction: Transaction,
    dry_run: DryRun,
    lane: Arc<Lane>,
    urgency: Urgency,
    /// The account cannot pay for more than the fee.
    is_poor: bool,
    /// The final head when it was first thought of.
    began: BlockNumber,
}

/// What came of signing and sending once.
enum Outcome {
    Done(Result<Receipt, ChainError>),
    /// In no block, now or later: sign it anew.
    Anew(Refusal),
    /// Nothing was sent: another one comes first.
    GaveWay,
}

pub(super) async fn submit(
    node: &Node,
    signer: &dyn Signer,
    transaction: Transaction,
    dry_run: &DryRun,
    urgency: Urgency,
) -> Result<Receipt, ChainError> {
    let stopped = |_closed| ChainError::Unreachable("the client has stopped".into());
    let _place = match urgency.is_first {
        true => None,
        false => Some(node.in_flight.acquire().await.map_err(stopped)?),
    };
    let account = signer.account();
    let lane = node.nonces.lane(account);
    let (dry_run, began) = (dry_run.clone(), node.head().number);
    let mut job = Job { node, signer, account, transaction, dry_run, lane, urgency, is_poor: false, began };
    job.preflight().await?;
    let (mut signatures, mut offers, mut corrections) = (0_u8, 0_u8, 0_u8);
    loop {
        let refusal = match job.once().await? {
            Outcome::Done(done) => return done,
            Outcome::Anew(refusal) => refusal,
            Outcome::GaveWay => continue,
        };
        match refusal {
            Refusal::NonceUsed | Refusal::NonceTaken | Refusal::AlreadyThere => {
                signatures = signatures.saturating_add(1);
                tracing::info!(%account, signatures, "a nonce was taken by another program: signing anew");
                if signatures >= MAX_SIGNATURES {
                    return Err(ChainError::NonceRace { account, tries: signatures });
                }
            }
            Refusal::NoRoom => {
                offers = offers.saturating_add(1);
                if offers >= MAX_OFFERS {
                    return Err(ChainError::Invalid { cause: "the node's pool has had no room for it".into() });
                }
                tokio::time::sleep(ROOM).await;
            }
            Refusal::SignAnew => {
                corrections = corrections.saturating_add(1);
                if corrections >= MAX_CORRECTIONS {
                    return Err(ChainError::Invalid {
                        cause: "the node accepts its signature for no block and no runtime that it has".into(),
                    });
                }
                // Another block, another signature.
                let mut head = node.head.subscribe();
                let _waited = tokio::time::timeout(ROOM, head.changed()).await;
            }
            // What was offered on top of the fee may be what is lacking: without it the transaction is still worth sending.
            Refusal::Final(ChainError::InsufficientFunds { .. }) if urgency.is_first && !job.is_poor => {
                job.is_poor = true;
            }
            Refusal::Final(error) => return Err(error),
        }
    }
}

impl Job<'_> {
    /// The dry run saw the final state. What is in a block already but not final may have done the same, or have made it impossible: that is
    /// waited for, so that nothing is sent twice and no fee is paid for nothing.
    async fn preflight(&mut self) -> Result<(), ChainError> {
        if self.dry_run.reverted || matches!(self.transaction, Transaction::Transfer { .. }) {
            return Ok(());
        }
        let best = self.node.best().await?;
        if best.at.number <= self.node.head().number {
            return Ok(());
        }
        match self.node.dry_run(&self.account, &self.transaction, best.at).await {
            Ok(now) if !now.reverted => {
                let (before, after) = (self.dry_run.required, now.required);
                self.dry_run.required.ref_time = before.ref_time.max(after.ref_time);
                self.dry_run.required.proof_size = before.proof_size.max(after.proof_size);
                self.dry_run.storage_deposit = self.dry_run.storage_deposit.max(now.storage_deposit);
                Ok(())
            }
            // The best block may be gone before it was asked about.
            Err(ChainError::Unreachable(_) | ChainError::Pruned { .. }) => Ok(()),
            Ok(_) | Err(_) => {
                let mut head = self.node.head.subscribe();
                let there = head.wait_for(|head| head.number >= best.at.number);
                if tokio::time::timeout(self.node.settings.patience, there).await.is_err() {
                    return Err(ChainError::Unreachable("the best block does not become final".into()));
                }
                let now = self.node.dry_run(&self.account, &self.transaction, self.node.head()).await?;
                if now.reverted { Err(ChainError::Reverted) } else { Ok(()) }
            }
        }
    }

    /// Signs with the lowest free nonce, sends, and waits for what becomes of it.
    async fn once(&self) -> Result<Outcome, ChainError> {
        let node = self.node;
        let best = node.best().await?;
        let (lowest, runtime) = tokio::try_join!(node.lowest_nonce(self.account, &best), node.runtime(best.at))?;

        let is_first = self.urgency.is_first;
        let turn = self.lane.turn(is_first).await;
        let held = self.lane.take(lowest);
        let mut sent = Sent::new(self);
        let length = tokio::select! {
            biased;
            length = sent.sign(&runtime, held.nonce(), best.at.number) => length?,
            // A wallet may take its time.
            () = self.lane.is_pressed(), if !is_first => return Ok(Outcome::GaveWay),
        };
        sent.first(held, turn, length).await
    }

    /// What is to be offered for it now: for its own sake, or for that of one behind it.
    fn tip(&self, nonce: u64) -> Amount {
        if self.is_poor {
            return 0;
        }
        let own = self.urgency.tip(self.began, self.node.head().number);
        if own > 0 {
            self.lane.offer(nonce, own);
        }
        own.max(self.lane.offered(nonce))
    }

    /// What is in a final block is a fact: it is asked for until somebody knows.
    async fn read_block(&self, number: BlockNumber) -> Result<Arc<FinalBlock>, ChainError> {
        let node = self.node;
        let began = Instant::now();
        loop {
            match node.block(number).await {
                Err(ChainError::Unreachable(cause)) if began.elapsed() < node.settings.patience => {
                    tracing::warn!(cause, number, "a transaction's block could not be read: asking again");
                    tokio::time::sleep(DIAL_AGAIN).await;
                }
                done => return done,
            }
        }
    }

    /// Whether the next transaction that the final state takes is the one with `nonce`.
    async fn is_next(&self, nonce: u64) -> bool {
        matches!(self.node.nonce(self.account, self.node.head()).await, Ok(next) if next == nonce)
    }

    /// Whether the final state has gone beyond `nonce`, and every block of it was looked at: then another transaction has it, or there is a
    /// verdict.
    async fn is_overtaken(&self, nonce: u64) -> bool {
        let node = self.node;
        let head = node.head();
        let mut seen = node.tracker.seen();
        let looked = seen.wait_for(|seen| *seen >= head.number);
        if tokio::time::timeout(node.settings.request_timeout, looked).await.is_err() {
            return false;
        }
        matches!(node.nonce(self.account, head).await, Ok(used) if used > nonce)
    }
}

/// A transaction that may be on its way, in one signed form or several: they share a nonce, so at most one of them counts.
struct Sent<'a> {
    job: &'a Job<'a>,
    /// The last form, as it is sent.
    text: String,
    /// The last block that can take any of them.
    last: BlockNumber,
    /// One for each form that is looked for.
    tickets: Vec<Ticket>,
    expired: usize,
    tell: mpsc::UnboundedSender<Verdict>,
    told: mpsc::UnboundedReceiver<Verdict>,
    statuses: Option<RpcSubscription<Status>>,
    /// What is handed to other endpoints besides. Nobody waits for their answers.
    besides: FuturesUnordered<BoxFuture<'a, ()>>,
    /// The node says that it waits for an earlier nonce.
    waits: bool,
    /// What the last form offers on top of the fee.
    tip: Amount,
}

/// What came of handing the bytes to a node.
enum Handed {
    /// It has them.
    Over,
    Refused(Complaint),
    /// Nobody knows.
    Lost,
}

impl<'a> Sent<'a> {
    fn new(job: &'a Job<'a>) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let (text, tickets) = (String::new(), Vec::new());
        let besides = FuturesUnordered::new();
        Self { job, text, last: 0, tickets, expired: 0, tell, told, statuses: None, besides, waits: false, tip: 0 }
    }

    /// Signs a form of it that is valid from the final head on, and begins to look for it; answers its length.
    async fn sign(&mut self, runtime: &Runtime, nonce: u64, best: BlockNumber) -> Result<u32, ChainError> {
        let Job { node, signer, transaction, dry_run, .. } = self.job;
        let era = Era::new(node.head(), best, node.settings.valid_for);
        let tip = self.job.tip(nonce);
        let bytes = extrinsic::sign(runtime, transaction, dry_run, *signer, Form { nonce, era, tip }).await?;
        self.tip = tip;
        let length =
            u32::try_from(bytes.len()).map_err(|_| ChainError::Invalid { cause: "it is longer than 4 GiB".into() })?;
        self.text = to_hex(&bytes);
        self.last = self.last.max(era.last());
        self.tickets.push(node.tracker.look_for(self.text.clone(), era.last(), self.tell.clone()));
        Ok(length)
    }

    async fn first(
        mut self,
        held: Held,
        turn: tokio::sync::MutexGuard<'_, ()>,
        length: u32,
    ) -> Result<Outcome, ChainError> {
        match self.hand_over().await {
            Handed::Over | Handed::Lost => {}
            Handed::Refused(complaint) => match Refusal::of(&complaint, self.job.account) {
                // The same bytes: ours, over a connection that broke.
                Refusal::AlreadyThere => {}
                Refusal::NonceTaken => {
                    held.taken();
                    return Ok(Outcome::Anew(Refusal::NonceTaken));
                }
                refusal => return Ok(Outcome::Anew(refusal)),
            },
        }
        drop(turn);
        tracing::debug!(account = %self.job.account, nonce = held.nonce(), last = self.last, "sent a transaction");
        match self.fate(held.nonce()).await? {
            Fate::Included(Verdict::Included { block, index }) => {
                held.used();
                let (account, contract) = (self.job.account, called(&self.job.transaction));
                let read = self.job.read_block(block.number).await?;
                Ok(Outcome::Done(read.events.receipt(block, index, length, account, contract)))
            }
            Fate::Included(Verdict::Expired) => Ok(Outcome::Done(Err(ChainError::Dropped { last: self.last }))),
            Fate::NonceGone => {
                held.used();
                Ok(Outcome::Anew(Refusal::NonceUsed))
            }
        }
    }

    async fn hand_over(&mut self) -> Handed {
        let endpoints = &self.job.node.endpoints;
        let link = endpoints.link().await;
        self.hand_besides(link.as_ref().ok().map(|link| link.index));
        let Ok(link) = link else { return Handed::Lost };
        match link.subscribe("author_submitAndWatchExtrinsic", rpc_params![&self.text], "author_unwatchExtrinsic").await
        {
            Ok(statuses) => {
                self.statuses = Some(statuses);
                Handed::Over
            }
            // It has not looked at it: sent again before its era is over, over another connection or over this one.
            Err(Failure::Limited(words)) => {
                let _rests = endpoints.note_limit(&link, &words).await;
                Handed::Lost
            }
            Err(Failure::Answered(complaint)) => Handed::Refused(complaint),
            Err(Failure::Lost(cause)) => {
                endpoints.give_up(&link, &cause).await;
                Handed::Lost
            }
        }
    }

    /// Hands what comes first to every other endpoint too: the one in use may take it and keep it to itself.
    fn hand_besides(&mut self, used: Option<usize>) {
        let endpoints = &self.job.node.endpoints;
        if !self.job.urgency.is_first {
            return;
        }
        for index in endpoints.all().filter(|index| Some(*index) != used) {
            let text = self.text.clone();
            let handing = async move {
                let Ok(link) = endpoints.witness(index).await else { return };
                let _there_or_not = link.ask::<IgnoredAny>("author_submitExtrinsic", rpc_params![text]).await;
            };
            self.besides.push(async move { drop(tokio::time::timeout(SEND_AGAIN, handing).await) }.boxed());
        }
    }

    /// Waits until it is in a final block or can be in none.
    async fn fate(&mut self, nonce: u64) -> Result<Fate, ChainError> {
        let node = self.job.node;
        let (mut made, mut head) = (node.endpoints.made(), node.head.subscribe());
        let mut moved = Instant::now();
        // Whether its nonce may have been used by another.
        let mut doubtful = false;
        let mut again = tokio::time::interval(SEND_AGAIN);
        again.reset();
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some(verdict) = self.told.recv() => match self.judge(verdict) {
                    Some(verdict) => return Ok(Fate::Included(verdict)),
                    None => continue,
                },
                Some(()) = self.besides.next() => continue,
                status = next(&mut self.statuses) => match status {
                    Some(status) if status.is_last() => {
                        tracing::debug!(?status, nonce, "a node is done with a transaction");
                        doubtful = true;
                        self.statuses = None;
                    }
                    Some(on_its_way) => {
                        self.waits = on_its_way == Status::Future;
                        continue;
                    }
                    None => self.statuses = None,
                },
                // Another connection, and perhaps another node: it may never have heard of it.
                _made = made.changed() => doubtful |= self.send_again().await,
                moved_on = head.changed() => {
                    let _node_is_here = moved_on;
                    moved = Instant::now();
                    self.raise(nonce).await;
                    if !doubtful {
                        continue;
                    }
                }
                _tick = again.tick() => {
                    // Whatever a node tells or does not tell: the final state knows.
                    doubtful = true;
                    if self.statuses.is_none() {
                        let _refused = self.send_again().await;
                    } else if self.waits && self.tickets.len() < MAX_FORMS && self.job.is_next(nonce).await {
                        tracing::info!(nonce, "a node keeps a transaction waiting that is next: signing it anew");
                        self.send_anew(nonce).await;
                    }
                    if moved.elapsed() >= node.settings.patience {
                        return Err(ChainError::Unreachable(format!(
                            "no block has become final for {} s; the transaction was sent and may still be included",
                            moved.elapsed().as_secs()
                        )));
                    }
                }
            }
            if doubtful && self.job.is_overtaken(nonce).await {
                while let Ok(verdict) = self.told.try_recv() {
                    if let Some(verdict) = self.judge(verdict) {
                        return Ok(Fate::Included(verdict));
                    }
                }
                return Ok(Fate::NonceGone);
            }
        }
    }

    /// The verdict on all forms: one is in a block, or all have expired.
    fn judge(&mut self, verdict: Verdict) -> Option<Verdict> {
        if verdict == Verdict::Expired {
            self.expired = self.expired.saturating_add(1);
            return (self.expired >= self.tickets.len()).then_some(verdict);
        }
        Some(verdict)
    }

    /// Sends another form with the same nonce. A pool that has judged the last one by an old block, while blocks came fast, keeps it waiting for
    /// a nonce that is long in a block, and does not look again: another form it looks at anew.
    async fn send_anew(&mut self, nonce: u64) {
        let node = self.job.node;
        let Ok(best) = node.best().await else { return };
        let Ok(runtime) = node.runtime(best.at).await else { return };
        if self.sign(&runtime, nonce, best.at.number).await.is_ok() {
            let _handed = self.hand_over().await;
        }
    }

    /// Offers more, where that is due: a pool takes a form that offers more in place of the one that it has.
    async fn raise(&mut self, nonce: u64) {
        let tip = self.job.tip(nonce);
        if tip > self.tip && self.tickets.len() < MAX_FORMS {
            tracing::info!(nonce, tip, "a transaction is offered more for, so that a block takes it in time");
            self.send_anew(nonce).await;
        }
    }

    /// Sends the same bytes again; says whether the node would not have them.
    async fn send_again(&mut self) -> bool {
        match self.hand_over().await {
            Handed::Over | Handed::Lost => false,
            Handed::Refused(complaint) => !matches!(Refusal::of(&complaint, self.job.account), Refusal::AlreadyThere),
        }
    }
}

enum Fate {
    Included(Verdict),
    NonceGone,
}

/// The next status, as long as there are any to come.
async fn next(statuses: &mut Option<RpcSubscription<Status>>) -> Option<Status> {
    match statuses {
        Some(statuses) => statuses.next().await.and_then(Result::ok),
        None => std::future::pending().await,
    }
}
