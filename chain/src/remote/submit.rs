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
//!
//! What comes first, because it defends a channel, must reach a block though any one endpoint lies: it goes by the nonce that two endpoints tell, or else
//! the lowest that one does; it is handed to all of them, as is whatever it waits for; what one refuses and another has taken is on its way; and its era
//! is short, so that whatever went wrong is over soon, and it is signed anew with what another endpoint says. Where one endpoint says of it that its nonce
//! is used and knows a higher one, that is tried as well: of two such forms one counts at most, and the other may cost a fee.

use super::{
    endpoints::DIAL_AGAIN,
    extrinsic::{self, Era, Form},
    link::{Complaint, Failure},
    node::{Best, FinalBlock, Node, called},
    nonces::{Held, Lane, Told, Wrong},
    refusal::Refusal,
    runtime::Runtime,
    tracker::{Ticket, Verdict},
    wire::{Status, to_hex},
};
use crate::{ChainError, DryRun, Receipt, Signer, Transaction, Urgency};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use protocol::{AccountId, Amount, BlockNumber};
use serde::de::IgnoredAny;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
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
/// In how many signed forms one is sent at most because a pool keeps it waiting.
const MAX_FORMS: u8 = 8;
/// How often more is offered for one at most: four times for its own sake, and as often for the sake of one behind it.
const MAX_RAISES: u8 = 8;
/// For how many blocks beyond the best one that is valid which comes first; and for how many altogether at most, after a block that two endpoints have.
const FIRST_VALID_FOR: (u32, u32) = (8, 64);
/// How often that is signed anew which comes first and was in no block in its time, before whoever wants it looks again.
const MAX_ERAS: u8 = 2;
/// How long that waits which comes first for what a best block seems to have done already.
const FIRST_WAITS: Duration = Duration::from_secs(24);
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
    /// Somebody says that lower nonces are used.
    least_nonce: u64,
    /// Nonces at which every endpoint has met another program.
    taken: BTreeSet<u64>,
    /// Which endpoints have told nonces that were used.
    wrong: Wrong,
    /// How often it was signed for a block that an endpoint did not like.
    corrections: u8,
}

/// What came of signing and sending once.
enum Outcome {
    Done(Result<Receipt, ChainError>),
    /// In no block with this nonce, now or later: sign it anew.
    Anew(Refusal, u64, Told),
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
    let mut job = Job {
        node,
        signer,
        account,
        transaction,
        dry_run,
        lane,
        urgency,
        is_poor: false,
        began,
        least_nonce: 0,
        taken: BTreeSet::new(),
        wrong: Wrong::default(),
        corrections: 0,
    };
    job.preflight().await?;
    let (mut signatures, mut offers, mut eras) = (0_u8, 0_u8, 0_u8);
    loop {
        let (refusal, nonce, told) = match job.once().await? {
            Outcome::Done(Err(ChainError::Dropped { last })) if urgency.is_first && eras < MAX_ERAS => {
                eras = eras.saturating_add(1);
                job.look_again(last).await?;
                continue;
            }
            Outcome::Done(done) => return done,
            Outcome::Anew(refusal, nonce, told) => (refusal, nonce, told),
            Outcome::GaveWay => continue,
        };
        match refusal {
            Refusal::NonceUsed | Refusal::NonceTaken | Refusal::AlreadyThere => {
                signatures = signatures.saturating_add(1);
                job.pass_over(&refusal, nonce, &told);
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
                job.corrections = job.corrections.saturating_add(1);
                if job.corrections >= MAX_CORRECTIONS {
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
                let (patience, is_first) = (self.node.settings.patience, self.urgency.is_first);
                let waits = if is_first { patience.min(FIRST_WAITS) } else { patience };
                if tokio::time::timeout(waits, there).await.is_err() {
                    if is_first {
                        // A best block is what one endpoint says: at worst a fee is paid for nothing.
                        return Ok(());
                    }
                    return Err(ChainError::Unreachable("the best block does not become final".into()));
                }
                let now = self.node.dry_run(&self.account, &self.transaction, self.node.head()).await?;
                if now.reverted { Err(ChainError::Reverted) } else { Ok(()) }
            }
        }
    }

    /// What comes first was in no block in its time: another endpoint is asked what there is to do, and for all that it is signed with.
    async fn look_again(&mut self, last: BlockNumber) -> Result<(), ChainError> {
        let node = self.node;
        node.endpoints.leave(&format!("a call that defends a channel is in no block up to {last}")).await;
        (self.least_nonce, self.corrections) = (0, 0);
        self.taken.clear();
        self.wrong = Wrong::default();
        self.dry_run = node.dry_run(&self.account, &self.transaction, node.head()).await?;
        if self.dry_run.reverted { Err(ChainError::Reverted) } else { Ok(()) }
    }

    /// Another nonce is to be tried, because of what was said of this one.
    fn pass_over(&mut self, refusal: &Refusal, nonce: u64, told: &Told) {
        match refusal {
            Refusal::NonceTaken => {
                let _new = self.taken.insert(nonce);
            }
            _ => {
                self.least_nonce = nonce.saturating_add(1);
                self.wrong.note(told, nonce);
            }
        }
    }

    /// What endpoints tell of the nonce, and the lowest that it can be.
    async fn nonces(&self, best: &Best) -> Result<(Told, u64), ChainError> {
        let node = self.node;
        let told = match self.urgency.is_first && node.endpoints.are_several() {
            true => node.told_nonces(self.account).await,
            false => Told::default(),
        };
        match told.lowest(self.least_nonce, &self.wrong) {
            Some(lowest) => Ok((told, lowest)),
            None => Ok((told, node.lowest_nonce(self.account, best).await?)),
        }
    }

    /// For which blocks it is signed. What comes first is signed for a short time, after a block that two endpoints have: the head may be made up. Where
    /// such a block is refused as too old, the head is tried.
    fn era(&self, best: BlockNumber) -> Era {
        let Node { settings, endpoints, .. } = self.node;
        let (least, most) = FIRST_VALID_FOR;
        let of_two = endpoints.anchor().filter(|_| self.corrections.is_multiple_of(2));
        match (self.urgency.is_first, of_two) {
            (false, _) => Era::new(self.node.head(), best, settings.valid_for),
            (true, Some(anchor)) => Era::short(anchor, best, (least, most)),
            (true, None) => Era::new(self.node.head(), best, least),
        }
    }

    /// Signs with the lowest free nonce, sends, and waits for what becomes of it.
    async fn once(&self) -> Result<Outcome, ChainError> {
        let node = self.node;
        let best = node.best().await?;
        let ((told, lowest), runtime) = tokio::try_join!(self.nonces(&best), node.runtime(best.at))?;

        let is_first = self.urgency.is_first;
        let turn = self.lane.turn(is_first).await;
        let held = if told.is_empty() { self.lane.take(lowest) } else { self.lane.take_first(lowest, &self.taken) };
        let mut sent = Sent::new(self, told);
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
        if self.urgency.is_first {
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
    /// What is handed to other endpoints besides: whether they have it, and what they say of it otherwise.
    besides: FuturesUnordered<BoxFuture<'a, Option<Refusal>>>,
    /// What endpoints told of the nonce.
    nonces: Told,
    /// Another endpoint than the one in use has it.
    is_taken_besides: bool,
    /// Another endpoint says that the nonce is used, and had not been handed it before: it may be in a block by now.
    is_used_besides: bool,
    /// All that it was handed to at first have answered.
    are_heard: bool,
    /// The node says that it waits for an earlier nonce.
    waits: bool,
    /// What the last form offers on top of the fee.
    tip: Amount,
    /// For which blocks the last form was signed.
    era: Option<Era>,
    /// How often more was offered, and how often it was signed anew for another reason.
    raises: u8,
    renewals: u8,
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
    fn new(job: &'a Job<'a>, nonces: Told) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        Self {
            job,
            text: String::new(),
            last: 0,
            tickets: Vec::new(),
            expired: 0,
            tell,
            told,
            statuses: None,
            besides: FuturesUnordered::new(),
            nonces,
            is_taken_besides: false,
            is_used_besides: false,
            are_heard: false,
            waits: false,
            tip: 0,
            era: None,
            raises: 0,
            renewals: 0,
        }
    }

    /// Signs a form of it for the blocks to come, and begins to look for it; answers its length.
    async fn sign(&mut self, runtime: &Runtime, nonce: u64, best: BlockNumber) -> Result<u32, ChainError> {
        let era = self.job.era(best);
        self.sign_for(runtime, nonce, era).await
    }

    async fn sign_for(&mut self, runtime: &Runtime, nonce: u64, era: Era) -> Result<u32, ChainError> {
        let Job { node, signer, transaction, dry_run, .. } = self.job;
        let tip = self.job.tip(nonce);
        let bytes = extrinsic::sign(runtime, transaction, dry_run, *signer, Form { nonce, era, tip }).await?;
        (self.tip, self.era) = (tip, Some(era));
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
                refusal => {
                    // What one endpoint says must not keep the others from having it.
                    self.hear_others().await;
                    let nonce = held.nonce();
                    match refusal {
                        Refusal::NonceUsed if self.nonces.knows_above(nonce) => {
                            return Ok(Outcome::Anew(Refusal::NonceUsed, nonce, self.nonces));
                        }
                        // Another one has it: the final state says who is right.
                        Refusal::NonceUsed | Refusal::NonceTaken if self.is_taken_besides => {}
                        Refusal::NonceTaken => {
                            held.taken();
                            return Ok(Outcome::Anew(Refusal::NonceTaken, nonce, self.nonces));
                        }
                        refusal => return Ok(Outcome::Anew(refusal, nonce, self.nonces)),
                    }
                }
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
                let nonce = held.nonce();
                held.used();
                Ok(Outcome::Anew(Refusal::NonceUsed, nonce, self.nonces))
            }
            Fate::Doubted => Ok(Outcome::Anew(Refusal::NonceUsed, held.nonce(), self.nonces)),
        }
    }

    async fn hand_over(&mut self) -> Handed {
        let endpoints = &self.job.node.endpoints;
        let link = endpoints.link().await;
        if self.job.urgency.is_first {
            self.hand_besides(link.as_ref().ok().map(|link| link.index));
        }
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

    /// Hands what comes first, or what that waits for, to every other endpoint too: the one in use may take it and keep it to itself.
    fn hand_besides(&mut self, used: Option<usize>) {
        let (endpoints, account) = (&self.job.node.endpoints, self.job.account);
        for index in endpoints.all().filter(|index| Some(*index) != used) {
            let text = self.text.clone();
            let handing = async move {
                let link = endpoints.witness(index).await.ok()?;
                match link.ask::<IgnoredAny>("author_submitExtrinsic", rpc_params![text]).await {
                    Ok(IgnoredAny) => Some(Refusal::AlreadyThere),
                    Err(Failure::Answered(complaint)) => Some(Refusal::of(&complaint, account)),
                    Err(_unknown) => None,
                }
            };
            self.besides.push(async move { tokio::time::timeout(SEND_AGAIN, handing).await.ok()? }.boxed());
        }
    }

    /// Waits for what the other endpoints say to what they were handed.
    async fn hear_others(&mut self) {
        while let Some(said) = self.besides.next().await {
            self.note(said.as_ref());
        }
    }

    /// Notes what another endpoint than the one in use says to what it was handed.
    fn note(&mut self, said: Option<&Refusal>) {
        self.is_taken_besides |= said == Some(&Refusal::AlreadyThere);
        self.is_used_besides |= said == Some(&Refusal::NonceUsed) && !self.are_heard;
        self.are_heard |= self.besides.is_empty();
    }

    /// Whether an endpoint says that the nonce is used, and one knows a higher one. All of them have had this form by then.
    fn is_doubted(&self, nonce: u64) -> bool {
        self.is_used_besides && self.are_heard && self.nonces.knows_above(nonce)
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
                Some(said) = self.besides.next() => {
                    self.note(said.as_ref());
                    if self.is_doubted(nonce) {
                        return Ok(Fate::Doubted);
                    }
                    continue;
                }
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
                    } else if self.waits && self.renewals < MAX_FORMS && self.job.is_next(nonce).await {
                        tracing::info!(nonce, "a node keeps a transaction waiting that is next: signing it anew");
                        self.renewals = self.renewals.saturating_add(1);
                        self.send_anew(nonce, None).await;
                    }
                    self.hand_to_all_where_waited_for(nonce);
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
    async fn send_anew(&mut self, nonce: u64, era: Option<Era>) {
        let node = self.job.node;
        let Ok(best) = node.best().await else { return };
        let Ok(runtime) = node.runtime(best.at).await else { return };
        let era = era.unwrap_or_else(|| self.job.era(best.at.number));
        if self.sign_for(&runtime, nonce, era).await.is_ok() {
            let _handed = self.hand_over().await;
        }
    }

    /// One that comes first cannot be in a block before this one is: the endpoint in use may have kept it to itself.
    fn hand_to_all_where_waited_for(&mut self, nonce: u64) {
        if !self.job.urgency.is_first && self.besides.is_empty() && self.job.lane.is_waited_for(nonce) {
            self.hand_besides(None);
        }
    }

    /// Offers more, where that is due: a pool takes a form that offers more in place of the one that it has.
    async fn raise(&mut self, nonce: u64) {
        let tip = self.job.tip(nonce);
        if tip > self.tip && self.raises < MAX_RAISES {
            tracing::info!(nonce, tip, "a transaction is offered more for, so that a block takes it in time");
            self.raises = self.raises.saturating_add(1);
            // For the same blocks: what went wrong is over as soon, whatever is offered.
            let era = self.era.filter(|_| self.job.urgency.is_first);
            self.send_anew(nonce, era).await;
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
    /// Its nonce is used already, as another endpoint says.
    Doubted,
}

/// The next status, as long as there are any to come.
async fn next(statuses: &mut Option<RpcSubscription<Status>>) -> Option<Status> {
    match statuses {
        Some(statuses) => statuses.next().await.and_then(Result::ok),
        None => std::future::pending().await,
    }
}
