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

mod job;
mod sent;

use super::{node::Node, nonces::Wrong, refusal::Refusal};
use crate::{ChainError, DryRun, Receipt, Signer, Transaction, Urgency};
use job::Job;
use sent::{Outcome, Sent};
use std::{collections::BTreeSet, time::Duration};

/// How often a transaction is signed anew because its nonce had been used by somebody else.
const MAX_SIGNATURES: u8 = 16;
/// How often one is offered to a pool that has no room, and how long is waited in between.
const MAX_OFFERS: u8 = 30;
/// How long is waited for room in the pool.
const ROOM: Duration = Duration::from_secs(2);
/// How often one is signed anew because the node did not like what it was signed for.
const MAX_CORRECTIONS: u8 = 3;
/// How often that is signed anew which comes first and was in no block in its time, before whoever wants it looks again.
const MAX_ERAS: u8 = 2;

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
                    return Err(ChainError::NonceRace { account: account.into(), tries: signatures });
                }
            }
            Refusal::NoRoom => {
                offers = offers.saturating_add(1);
                if offers >= MAX_OFFERS {
                    return Err(ChainError::Invalid { cause: "the node's pool has had no room for it".into() });
                }
                tokio::time::sleep(ROOM).await;
            }
            Refusal::SignAnew | Refusal::SeenLately => {
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
}
