//! What is to be sent, and what is known of it before it is signed: its nonce, its era, its tip.

use crate::{
    BlockRef, ChainError, DryRun, Signer, Transaction, Urgency,
    remote::{
        endpoints::DIAL_AGAIN,
        era::Era,
        node::{Best, FinalBlock, Node},
        nonces::{Lane, Told, Wrong},
        refusal::Refusal,
    },
};
use protocol::{AccountId, Amount, BlockNumber};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::Instant;

/// For how many blocks beyond the best one that is valid which comes first; and for how many altogether at most, after a block that two endpoints have.
const FIRST_VALID_FOR: (u32, u32) = (8, 64);
/// How long is waited until every block up to the head was looked at, before something else is heard: the head may be made up.
const LOOKED_WITHIN: Duration = Duration::from_secs(3);
/// How long that waits which comes first for what a best block seems to have done already.
const FIRST_WAITS: Duration = Duration::from_secs(24);

/// What is to be sent.
pub(super) struct Job<'a> {
    pub(super) node: &'a Node,
    pub(super) signer: &'a dyn Signer,
    pub(super) account: AccountId,
    pub(super) transaction: Transaction,
    pub(super) dry_run: DryRun,
    pub(super) lane: Arc<Lane>,
    pub(super) urgency: Urgency,
    /// The account cannot pay for more than the fee.
    pub(super) is_poor: bool,
    /// The final head when it was first thought of.
    pub(super) began: BlockNumber,
    /// Somebody says that lower nonces are used.
    pub(super) least_nonce: u64,
    /// Nonces at which every endpoint has met another program.
    pub(super) taken: BTreeSet<u64>,
    /// Which endpoints have told nonces that were used.
    pub(super) wrong: Wrong,
    /// How often it was signed for a block that an endpoint did not like.
    pub(super) corrections: u8,
}

impl Job<'_> {
    /// The dry run saw the final state. What is in a block already but not final may have done the same, or have made it impossible: that is
    /// waited for, so that nothing is sent twice and no fee is paid for nothing.
    pub(super) async fn preflight(&mut self) -> Result<(), ChainError> {
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
    pub(super) async fn look_again(&mut self, last: BlockNumber) -> Result<(), ChainError> {
        let node = self.node;
        node.endpoints.leave(&format!("a call that defends a channel is in no block up to {last}")).await;
        (self.least_nonce, self.corrections) = (0, 0);
        self.taken.clear();
        self.wrong = Wrong::default();
        self.dry_run = node.dry_run(&self.account, &self.transaction, node.head()).await?;
        if self.dry_run.reverted { Err(ChainError::Reverted) } else { Ok(()) }
    }

    /// Another nonce is to be tried, because of what was said of this one.
    pub(super) fn pass_over(&mut self, refusal: &Refusal, nonce: u64, told: &Told) {
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
    pub(super) async fn nonces(&self, best: &Best) -> Result<(Told, u64), ChainError> {
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
    pub(super) fn era(&self, best: BlockNumber) -> Era {
        let Node { settings, endpoints, .. } = self.node;
        let (least, most) = self.first_valid_for();
        let of_two = endpoints.anchor().filter(|_| self.corrections.is_multiple_of(2));
        match (self.urgency.is_first, of_two) {
            (false, _) => Era::new(self.node.head(), best, (settings.valid_for, self.node.longest_era())),
            (true, Some(anchor)) => Era::short(anchor, best, (least, most)),
            (true, None) => Era::new(self.node.head(), best, (least, self.node.longest_era())),
        }
    }

    /// For which blocks it is signed after a final block that two endpoints have reached, whatever head the endpoint in use tells of.
    pub(super) fn era_after(&self, from: BlockRef, best: BlockNumber) -> Era {
        let (least, most) = self.first_valid_for();
        match self.urgency.is_first {
            true => Era::short(from, best, (least, most)),
            false => Era::new(from, best, (self.node.settings.valid_for, self.node.longest_era())),
        }
    }

    fn first_valid_for(&self) -> (u32, u32) {
        let (least, most) = FIRST_VALID_FOR;
        (least, most.min(self.node.longest_era()))
    }

    /// What is to be offered for it now: for its own sake, or for that of one behind it.
    pub(super) fn tip(&self, nonce: u64) -> Amount {
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
    pub(super) async fn read_block(&self, number: BlockNumber) -> Result<Arc<FinalBlock>, ChainError> {
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
    pub(super) async fn is_next(&self, nonce: u64) -> bool {
        matches!(self.node.nonce(self.account, self.node.head()).await, Ok(next) if next == nonce)
    }

    /// Whether the final state has gone beyond `nonce`, and every block of it was looked at: then another transaction has it, or there is a
    /// verdict.
    pub(super) async fn is_overtaken(&self, nonce: u64) -> bool {
        let node = self.node;
        let head = node.head();
        let mut seen = node.tracker.seen();
        let looked = seen.wait_for(|seen| *seen >= head.number);
        if tokio::time::timeout(node.settings.request_timeout.min(LOOKED_WITHIN), looked).await.is_err() {
            return false;
        }
        matches!(node.nonce(self.account, head).await, Ok(used) if used > nonce)
    }
}
