//! What one endpoint says, held against what others say (R6.9a): it counts once two have said the same.
//!
//! Each endpoint of the settings is asked over a connection of its own, whichever is used for everything else, so that none confirms itself.

use super::{
    balance::BalanceWidth,
    dry_run::{Answer, Question},
    endpoints::Endpoints,
    events::digest,
    link::{Failure, Link},
    node::{EVENTS, Node},
    nonces::Told,
    runtime::unusual,
    wire::{Bytes, Header, Hex32},
};
use crate::{Block, BlockRef, ChainError, Transaction};
use futures::{StreamExt, stream::FuturesUnordered};
use protocol::{AccountId, BlockNumber, Hash};
use serde::de::DeserializeOwned;
use std::{cmp::Reverse, time::Duration};
use subxt::{
    rpcs::{client::RpcParams, rpc_params},
    utils::AccountId32,
};
use tokio::time::Instant;

/// How far an endpoint may lag behind another, as a rule: so long it is waited for, and so long its answers may take.
const LAG: Duration = Duration::from_secs(12);
/// How often it is asked meanwhile.
const LOOK: Duration = Duration::from_millis(500);
/// How long is waited for what each endpoint says of a nonce, before a call that presses goes by those that have spoken.
const NONCES_WITHIN: Duration = Duration::from_secs(3);
/// How long is waited for what each endpoint says of its head, before a transaction is judged by those that have spoken.
const HEADS_WITHIN: Duration = Duration::from_secs(3);
/// How many endpoints have to say the same.
const VOICES: usize = 2;

impl Node {
    /// Two endpoints have this block with these events, or there is but one endpoint.
    pub(super) async fn confirm(&self, block: &Block) -> Result<(), ChainError> {
        let number = block.at.number;
        if !self.endpoints.are_several() {
            return Ok(());
        }
        let told = self.block(number).await?;
        if told.at != block.at || told.events.of_contracts() != block.events {
            return Err(self.disputed(number, "it was told otherwise before".into()).await);
        }
        self.confirm_events(block.at, told.digest).await
    }

    /// Two endpoints have this block with events of this digest.
    pub(super) async fn confirm_events(&self, at: BlockRef, events: Hash) -> Result<(), ChainError> {
        self.agree_about(at, Some(events)).await
    }

    /// Two endpoints have this block, or there is but one endpoint.
    pub(super) async fn confirm_at(&self, at: BlockRef) -> Result<(), ChainError> {
        if self.endpoints.are_several() { self.agree_about(at, None).await } else { Ok(()) }
    }

    /// Two endpoints have this block as a final one, or there is but one endpoint. That an endpoint has a block among others does not say that it is final.
    pub(super) async fn confirm_final(&self, at: BlockRef) -> Result<(), ChainError> {
        if !self.endpoints.are_several() {
            return Ok(());
        }
        self.agree_about(at, None).await?;
        let ask = |index| async move { (index, soon(self.has_as_final(index, at)).await) };
        let mut asked: FuturesUnordered<_> = self.endpoints.all().map(ask).collect();
        let (mut voices, mut silent) = (0_usize, Vec::new());
        while let Some((index, is_final)) = asked.next().await {
            match is_final {
                Ok(()) => voices = voices.saturating_add(1),
                Err(error) => silent.push((self.endpoints.name(index), error)),
            }
            if voices >= VOICES {
                return Ok(());
            }
        }
        Err(unconfirmed(at.number, &silent))
    }

    /// Waits until this block is final on an endpoint.
    async fn has_as_final(&self, index: usize, at: BlockRef) -> Result<(), ChainError> {
        while self.head_of(index).await?.number < at.number {
            tokio::time::sleep(LOOK).await;
        }
        if self.has_same(index, at, None).await? {
            return Ok(());
        }
        Err(ChainError::Unreachable("it has another block there".into()))
    }

    /// Two endpoints have this block, and with events of this digest where there is one. Every endpoint has to have it from then on.
    async fn agree_about(&self, at: BlockRef, events: Option<Hash>) -> Result<(), ChainError> {
        let number = at.number;
        let ask = |index| async move { (index, soon(self.has_same(index, at, events)).await) };
        let mut asked: FuturesUnordered<_> = self.endpoints.all().map(ask).collect();
        let (mut voices, mut against, mut silent) = (0_usize, Vec::new(), Vec::new());
        while let Some((index, same)) = asked.next().await {
            match same {
                Ok(true) => voices = voices.saturating_add(1),
                Ok(false) => against.push(self.endpoints.name(index)),
                Err(error) => silent.push((self.endpoints.name(index), error)),
            }
            if voices >= VOICES {
                if !against.is_empty() {
                    tracing::warn!(
                        number,
                        endpoints = against.join(", "),
                        "endpoints tell of a block what two others do not"
                    );
                }
                self.endpoints.hold_to(at);
                return Ok(());
            }
        }
        drop(asked);
        if against.is_empty() {
            return Err(unconfirmed(number, &silent));
        }
        Err(self.disputed(number, format!("{} has it otherwise", against.join(", "))).await)
    }

    /// What a contract answers to a question on the state after a final block, once two endpoints have given the same answer, or there is but one.
    pub(super) async fn confirmed_read(
        &self,
        contract: &AccountId,
        data: Vec<u8>,
        at: BlockRef,
    ) -> Result<Vec<u8>, ChainError> {
        let transaction = Transaction::Call { contract: *contract, value: 0, data };
        if !self.endpoints.are_several() {
            return Ok(self.dry_run(contract, &transaction, at).await?.returned);
        }
        let transaction = &transaction;
        let mut asked: FuturesUnordered<_> = self
            .endpoints
            .all()
            .map(|index| async move { (index, soon(self.read_at(index, contract, transaction, at)).await) })
            .collect();
        let (mut answers, mut silent) = (Vec::<Vec<u8>>::new(), Vec::new());
        while let Some((index, answer)) = asked.next().await {
            match answer {
                Ok(answer) if answers.contains(&answer) => return Ok(answer),
                Ok(answer) => answers.push(answer),
                Err(error) => silent.push((self.endpoints.name(index), error)),
            }
        }
        if answers.len() > 1 {
            let cause = "endpoints have different states after it".into();
            return Err(ChainError::Disputed { block: at.number, cause });
        }
        Err(unconfirmed(at.number, &silent))
    }

    /// The numbers of the finalised heads that endpoints tell of, by their places.
    pub(super) async fn heads(&self) -> Vec<(usize, BlockNumber)> {
        let head = |index| async move { Some((index, soon(self.head_of(index)).await.ok()?.number)) };
        let asked: FuturesUnordered<_> = self.endpoints.all().map(head).collect();
        asked.filter_map(std::future::ready).collect().await
    }

    /// The furthest finalised head that two endpoints have reached, as one of them tells it: the first that is `enough`, or what there is in a moment.
    pub(super) async fn head_of_two(&self, enough: BlockNumber) -> Option<BlockRef> {
        let mut told = Vec::new();
        let mut asked: FuturesUnordered<_> = self.endpoints.all().map(|index| self.head_of(index)).collect();
        let hear = async {
            while let Some(head) = asked.next().await {
                told.extend(head.ok());
                if of_two(&told).is_some_and(|head| head.number >= enough) {
                    return;
                }
            }
        };
        let _all_or_in_time = tokio::time::timeout(HEADS_WITHIN, hear).await;
        of_two(&told)
    }

    /// What endpoints tell of the lowest nonce of an account that neither the chain nor their pools have seen: until two tell the same, or a moment is over.
    pub(super) async fn told_nonces(&self, account: AccountId) -> Told {
        let mut told = Told::default();
        let mut asked: FuturesUnordered<_> =
            self.endpoints.all().map(|index| async move { (index, self.nonce_of(index, account).await) }).collect();
        let hear = async {
            while let Some((index, answer)) = asked.next().await {
                if answer.is_ok_and(|nonce| told.hear(index, nonce)) {
                    return;
                }
            }
        };
        let _all_or_in_time = tokio::time::timeout(NONCES_WITHIN, hear).await;
        told
    }

    async fn nonce_of(&self, index: usize, account: AccountId) -> Result<u64, ChainError> {
        let link = self.endpoints.witness(index).await?;
        ask(&link, 0, "system_accountNextIndex", rpc_params![AccountId32(account.0)]).await
    }

    async fn head_of(&self, index: usize) -> Result<BlockRef, ChainError> {
        let link = self.endpoints.witness(index).await?;
        let Hex32(hash) = ask(&link, 0, "chain_getFinalizedHead", rpc_params![]).await?;
        let header: Header = ask(&link, 0, "chain_getHeader", rpc_params![hash.to_string()]).await?;
        Ok(BlockRef { number: header.number, hash })
    }

    /// Two endpoints tell two histories: what was read is forgotten, and the next endpoint is read from.
    async fn disputed(&self, block: BlockNumber, cause: String) -> ChainError {
        let error = ChainError::Disputed { block, cause };
        self.endpoints.leave(&error.to_string()).await;
        self.forget_blocks();
        error
    }

    /// Whether an endpoint has this block, and with events of this digest where there is one: a few bytes each way.
    async fn has_same(&self, index: usize, at: BlockRef, events: Option<Hash>) -> Result<bool, ChainError> {
        let link = self.endpoints.witness(index).await?;
        if self.endpoints.hash_soon(&link, at.number).await? != at.hash {
            return Ok(false);
        }
        match events {
            Some(events) => Ok(digest_of(&link, at).await? == events),
            None => Ok(true),
        }
    }

    async fn read_at(
        &self,
        index: usize,
        contract: &AccountId,
        transaction: &Transaction,
        at: BlockRef,
    ) -> Result<Vec<u8>, ChainError> {
        let link = self.endpoints.witness(index).await?;
        let found = self.endpoints.hash_soon(&link, at.number).await?;
        if found != at.hash {
            let (url, block, expected) = (link.url.clone(), at.number, at.hash);
            return Err(ChainError::WrongChain { url, block, expected, found });
        }
        // Of a chain whose endpoint does not tell it the answer then decides: read in the wrong width it does not decode.
        let balances = self.runtime(at).await.map_or(BalanceWidth::Bits128, |runtime| runtime.balances);
        let question =
            Question::about(contract, transaction, balances)?.ok_or(ChainError::NoContract((*contract).into()))?;
        let parameters = rpc_params![question.method, question.arguments(), at.hash.to_string()];
        let Bytes(bytes) = ask(&link, at.number, "state_call", parameters).await?;
        match Answer::decode(transaction, &bytes, balances).map_err(|error| unusual(&error))? {
            Answer::Ran(dry_run) => Ok(dry_run.returned),
            Answer::Failed { .. } => Err(ChainError::Unreachable(format!("{} cannot read the contract", link.url))),
        }
    }
}

impl Endpoints {
    /// The hash of a block that is final elsewhere, on an endpoint that may lag a little.
    async fn hash_soon(&self, link: &Link, number: BlockNumber) -> Result<Hash, ChainError> {
        let began = Instant::now();
        loop {
            let hash: Option<Hex32> = ask(link, number, "chain_getBlockHash", rpc_params![number]).await?;
            match hash {
                Some(Hex32(hash)) => return Ok(hash),
                None if began.elapsed() < LAG => tokio::time::sleep(LOOK).await,
                None => return Err(ChainError::Unreachable(format!("{} has no block {number} yet", link.url))),
            }
        }
    }
}

/// The furthest of these heads that two endpoints have reached.
fn of_two(heads: &[BlockRef]) -> Option<BlockRef> {
    let mut heads = heads.to_vec();
    heads.sort_by_key(|head| Reverse(head.number));
    heads.get(1).copied()
}

/// An endpoint that takes a question and does not answer is waited for no longer than one that lags.
async fn soon<T>(answer: impl Future<Output = Result<T, ChainError>>) -> Result<T, ChainError> {
    let in_time = tokio::time::timeout(LAG, answer).await;
    in_time.unwrap_or_else(|_elapsed| Err(ChainError::Unreachable(format!("no answer within {} s", LAG.as_secs()))))
}

/// Why nobody has confirmed a block: whoever was asked has forgotten its state, or has not answered.
fn unconfirmed(block: BlockNumber, silent: &[(String, ChainError)]) -> ChainError {
    if silent.iter().any(|(_, error)| matches!(error, ChainError::Pruned { .. })) {
        return ChainError::Pruned { block };
    }
    let told: Vec<_> = silent.iter().map(|(name, error)| format!("{name}: {error}")).collect();
    ChainError::Unconfirmed { block, cause: told.join("; ") }
}

/// What an endpoint's events of a block are compared by. Endpoints without a word for it give the events themselves.
async fn digest_of(link: &Link, at: BlockRef) -> Result<Hash, ChainError> {
    let parameters = || rpc_params![EVENTS, at.hash.to_string()];
    match link.ask::<Option<Hex32>>("state_getStorageHash", parameters()).await {
        Ok(found) => Ok(found.map_or_else(|| digest(&[]), |Hex32(hash)| hash)),
        Err(Failure::Answered(complaint)) if complaint.is_unknown_method() => Ok(digest(&events_of(link, at).await?)),
        Err(failure) => Err(silence(link, at.number, failure)),
    }
}

/// An endpoint's events of a block, as they are stored.
pub(super) async fn events_of(link: &Link, at: BlockRef) -> Result<Vec<u8>, ChainError> {
    let found: Option<Bytes> =
        ask(link, at.number, "state_getStorage", rpc_params![EVENTS, at.hash.to_string()]).await?;
    Ok(found.map(|Bytes(bytes)| bytes).unwrap_or_default())
}

/// Asks an endpoint about `block`.
async fn ask<R: DeserializeOwned>(
    link: &Link,
    block: BlockNumber,
    method: &'static str,
    parameters: RpcParams,
) -> Result<R, ChainError> {
    link.ask(method, parameters).await.map_err(|failure| silence(link, block, failure))
}

fn silence(link: &Link, block: BlockNumber, failure: Failure) -> ChainError {
    match failure {
        Failure::Answered(complaint) if complaint.is_pruned() => ChainError::Pruned { block },
        failure => ChainError::Unreachable(format!("{}: {}", link.url, failure.words())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_have_reached_is_what_one_of_them_tells_whatever_a_third_boasts_of() {
        let head = |number| BlockRef { number, hash: Hash([number.to_le_bytes()[0]; 32]) };
        assert_eq!(of_two(&[head(7), head(1_000), head(9)]), Some(head(9)));
        assert_eq!(of_two(&[head(1_000), head(7)]), Some(head(7)), "nobody else says so");
        assert_eq!(of_two(&[head(7)]), None);
    }
}
