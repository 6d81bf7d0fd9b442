//! A transaction that was signed: sent, sent again, offered more for, until it is known what became of it.

use super::job::Job;
use crate::{
    ChainError, Receipt,
    remote::{
        era::Era,
        extrinsic::{self, SignedForm},
        follow::MAX_LAG,
        link::{Complaint, Failure},
        node::called,
        nonces::{HeldNonce, Told},
        refusal::Refusal,
        runtime::Runtime,
        tracker::{Ticket, Verdict},
        wire::{Status, to_hex},
    },
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use protocol::{Amount, BlockNumber};
use serde::de::IgnoredAny;
use std::{pin::pin, time::Duration};
use subxt::rpcs::{client::RpcSubscription, rpc_params};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};

/// In how many signed forms one is sent at most because a pool keeps it waiting.
const MAX_FORMS: u8 = 8;
/// How often more is offered for one at most: four times for its own sake, and as often for the sake of one behind it.
const MAX_RAISES: u8 = 8;
/// How long to wait before the same bytes are sent again.
const SEND_AGAIN: Duration = Duration::from_secs(6);

/// What came of signing and sending once.
pub(super) enum Outcome {
    Done(Result<Receipt, ChainError>),
    /// In no block with this nonce, now or later: sign it anew.
    Anew(Refusal, u64, Told),
    /// Nothing was sent: another one comes first.
    GaveWay,
}

/// A transaction that may be on its way, in one signed form or several: they share a nonce, so at most one of them counts.
pub(super) struct Sent<'a> {
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
    /// The endpoint in use would not have it, and another one has it.
    is_in_doubt: bool,
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
    /// Two endpoints have reached the block after which the last form is valid.
    is_era_known: bool,
    /// How many forms are valid after a block that nobody but one endpoint has: their eras may never be over.
    made_up: usize,
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

/// What has become of it.
enum Fate {
    Included(Verdict),
    NonceGone,
    /// Its nonce is used already, as another endpoint says.
    Doubted,
}

impl<'a> Sent<'a> {
    pub(super) fn new(job: &'a Job<'a>, nonces: Told) -> Self {
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
            is_in_doubt: false,
            is_taken_besides: false,
            is_used_besides: false,
            are_heard: false,
            waits: false,
            tip: 0,
            era: None,
            is_era_known: false,
            made_up: 0,
            raises: 0,
            renewals: 0,
        }
    }

    /// Signs a form of it for the blocks to come, and begins to look for it; answers its length.
    pub(super) async fn sign(&mut self, runtime: &Runtime, nonce: u64, best: BlockNumber) -> Result<u32, ChainError> {
        let era = self.job.era(best);
        self.sign_for(runtime, nonce, era).await
    }

    async fn sign_for(&mut self, runtime: &Runtime, nonce: u64, era: Era) -> Result<u32, ChainError> {
        let Job { node, signer, transaction, dry_run, .. } = self.job;
        let tip = self.job.tip(nonce);
        let bytes = extrinsic::sign(runtime, transaction, dry_run, *signer, SignedForm { nonce, era, tip }).await?;
        (self.tip, self.era, self.is_era_known) = (tip, Some(era), false);
        let length =
            u32::try_from(bytes.len()).map_err(|_| ChainError::Invalid { cause: "it is longer than 4 GiB".into() })?;
        self.text = to_hex(&bytes);
        self.last = self.last.max(era.last());
        let ticket = node.tracker.look_for(self.text.clone(), era.from.number, era.last(), self.tell.clone());
        self.tickets.push(ticket);
        Ok(length)
    }

    /// Sends it for the first time, and waits for what becomes of it.
    pub(super) async fn first(
        mut self,
        held: HeldNonce,
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
                        // Another one has it, and it may be in a block by now: the final state says who is right.
                        Refusal::NonceUsed | Refusal::NonceTaken | Refusal::SeenLately if self.is_taken_besides => {
                            self.is_in_doubt = true;
                        }
                        Refusal::NonceUsed if self.nonces.knows_above(nonce) => {
                            return Ok(Outcome::Anew(Refusal::NonceUsed, nonce, self.nonces));
                        }
                        // Two addresses may lead to one node, which has refused it just now.
                        Refusal::SeenLately if self.is_doubted(nonce) => {
                            return Ok(Outcome::Anew(Refusal::NonceUsed, nonce, self.nonces));
                        }
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

    /// Hands it to the endpoint in use, and what comes first to all others at the same time: none of them waits for another.
    async fn hand_over(&mut self) -> Handed {
        let endpoints = &self.job.node.endpoints;
        let mut linking = pin!(endpoints.link());
        // Where there is none yet, it may take its time to come.
        let linked = linking.as_mut().now_or_never();
        if self.job.urgency.is_first {
            let used = linked.as_ref().and_then(|link| link.as_ref().ok());
            self.hand_besides(used.map(|link| link.index));
        }
        let linked = match linked {
            Some(linked) => linked,
            None => self.beside(linking).await,
        };
        let Ok(link) = linked else { return Handed::Lost };
        let (method, end) = ("author_submitAndWatchExtrinsic", "author_unwatchExtrinsic");
        let handing = link.subscribe(method, rpc_params![&self.text], end);
        let handing = async {
            if !endpoints.are_several() {
                return handing.await;
            }
            let in_time = tokio::time::timeout(SEND_AGAIN, handing).await;
            in_time
                .unwrap_or_else(|_elapsed| Err(Failure::Lost(format!("no answer within {} s", SEND_AGAIN.as_secs()))))
        };
        match self.beside(handing).await {
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

    /// Waits for an answer, and hears meanwhile what the other endpoints say.
    async fn beside<T>(&mut self, answer: impl Future<Output = T>) -> T {
        let mut answer = pin!(answer);
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer,
                Some(said) = self.besides.next() => self.note(said.as_ref()),
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
        // Whether its nonce may have been used by another, and whether to look now.
        let mut doubtful = self.is_in_doubt;
        let mut look = doubtful;
        let mut again = tokio::time::interval(SEND_AGAIN);
        again.reset();
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.is_doubted(nonce) {
                return Ok(Fate::Doubted);
            }
            if std::mem::take(&mut look) && self.is_overtaken(nonce).await {
                while let Ok(verdict) = self.told.try_recv() {
                    if let Some(verdict) = self.judge(verdict) {
                        return Ok(Fate::Included(verdict));
                    }
                }
                return Ok(Fate::NonceGone);
            }
            tokio::select! {
                biased;
                Some(verdict) = self.told.recv() => match self.judge(verdict) {
                    Some(verdict) => return Ok(Fate::Included(verdict)),
                    None => continue,
                },
                Some(said) = self.besides.next() => {
                    self.note(said.as_ref());
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
                    self.come_within_reach(nonce).await?;
                    if moved.elapsed() >= node.settings.patience {
                        return Err(ChainError::Unreachable(format!(
                            "no block has become final for {} s; the transaction was sent and may still be included",
                            moved.elapsed().as_secs()
                        )));
                    }
                }
            }
            look = doubtful;
        }
    }

    async fn is_overtaken(&mut self, nonce: u64) -> bool {
        let job = self.job;
        self.beside(job.is_overtaken(nonce)).await
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

    /// The head after which the last form is valid may have been made up: then no block takes that form, and none ends its era. Where two endpoints are
    /// not near that head, another form is signed that is valid after the one that they have, as soon as possible and whenever that is over, and handed to all.
    ///
    /// The form before it still counts as one that may be in a block: whoever is ahead of two others may be right.
    async fn come_within_reach(&mut self, nonce: u64) -> Result<(), ChainError> {
        let node = self.job.node;
        let Some(era) = self.era.filter(|_| node.endpoints.are_several()) else { return Ok(()) };
        let of_two = node.endpoints.anchor().map_or(0, |anchor| anchor.number);
        self.is_era_known |= era.from.number <= of_two;
        if self.is_era_known && self.made_up == 0 {
            return Ok(());
        }
        let Some(head) = node.head_of_two(era.from.number).await else { return Ok(()) };
        self.is_era_known |= era.from.number <= head.number;
        let is_made_up = era.from.number > head.number.saturating_add(MAX_LAG);
        let is_over = self.made_up > 0 && head.number >= era.last();
        if !is_made_up && !is_over {
            return Ok(());
        }
        if self.renewals >= MAX_FORMS {
            let cause =
                "an endpoint tells of blocks that no other one has; the transaction was sent and may still be included";
            return Err(ChainError::Unreachable(cause.into()));
        }
        tracing::warn!(
            nonce,
            from = era.from.number,
            head = head.number,
            "signing for blocks that two endpoints have reached"
        );
        self.renewals = self.renewals.saturating_add(1);
        let Ok(best) = node.best().await else { return Ok(()) };
        let forms = self.tickets.len();
        node.tracker.look_from(head.number);
        self.send_anew(nonce, Some(self.job.era_after(head, best.at.number))).await;
        if self.tickets.len() > forms {
            self.made_up = self.made_up.saturating_add(usize::from(is_made_up));
            // The endpoint in use may be the one.
            self.hand_besides(None);
        }
        Ok(())
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

/// The next status, as long as there are any to come.
async fn next(statuses: &mut Option<RpcSubscription<Status>>) -> Option<Status> {
    match statuses {
        Some(statuses) => statuses.next().await.and_then(Result::ok),
        None => std::future::pending().await,
    }
}
