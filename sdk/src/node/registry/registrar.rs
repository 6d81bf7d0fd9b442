//! Registers pre-images (R8.32): as many as wait in one call, before all other calls of the account, again and again until they are shown in a final block
//! that counts.

use super::{
    Shared,
    queue::{CallNumber, RegistrationBatch},
};
use crate::{
    chain::{Arbiter, CallError, ChainError, Receipt, Signer, Urgency},
    node::random::random,
};
use futures::{StreamExt, stream::FuturesUnordered};
use protocol::{Amount, BlockNumber, PublicKey, call::Call, contracts::conditional::Preimage};
use std::{future::pending, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};

/// How long to wait at most after a call that failed.
const RETRY: Duration = Duration::from_secs(3);
/// How long an answer to what registrations cost stands: one endpoint says so, and it changes with the chain's runtime.
const COSTS_STAND: Duration = Duration::from_secs(60);

/// A call whose answer is here.
struct Called {
    number: CallNumber,
    peers: Vec<PublicKey>,
    answer: Result<Receipt, CallError>,
}

/// Registers until it is dropped.
pub(super) async fn run(
    shared: &Shared,
    arbiter: &Arc<Arbiter>,
    signer: &Arc<dyn Signer>,
    urgency: impl Fn(BlockNumber) -> Urgency,
) {
    let mut changed = shared.work.subscribe();
    let mut calls = FuturesUnordered::new();
    let mut pause: Option<Pause> = None;
    loop {
        let _seen = *changed.borrow_and_update();
        let best = shared.state().heads.best(Instant::now());
        pause = pause.filter(|pause| pause.failed_with == best);
        while pause.is_none()
            && let Some(batch) = shared.next_batch()
        {
            let urgency = urgency(batch.until);
            calls.push(make(Arc::clone(arbiter), Arc::clone(signer), batch, urgency));
        }
        tokio::select! {
            Some(called) = calls.next(), if !calls.is_empty() => {
                if called.answer.is_err() {
                    pause = Instant::now().checked_add(RETRY).map(|until| Pause { until, failed_with: best });
                }
                shared.on_called(called);
            }
            () = over(pause) => pause = None,
            // The sender is here as long as we are.
            _changed = changed.changed() => {}
        }
    }
}

/// After a call that failed nothing is sent before the next block, or for a while.
#[derive(Clone, Copy, Debug)]
struct Pause {
    until: Instant,
    /// The newest block then.
    failed_with: BlockNumber,
}

async fn over(pause: Option<Pause>) {
    match pause {
        Some(Pause { until, .. }) => sleep_until(until).await,
        None => pending().await,
    }
}

async fn make(arbiter: Arc<Arbiter>, signer: Arc<dyn Signer>, batch: RegistrationBatch, urgency: Urgency) -> Called {
    let RegistrationBatch { number, function, preimages, until, peers } = batch;
    tracing::info!(preimages = preimages.len(), until, "registering pre-images");
    let chain = Arc::clone(arbiter.chain());
    let call = Call::PreimagesRegister { preimages, function };
    // In a task of its own: where a wallet breaks down, the call is made again.
    let calling = tokio::spawn(async move { arbiter.call_urgently(&*signer, &call, 0, urgency).await });
    let broken = |_error| Err(ChainError::Unreachable("the wallet has broken down".into()).into());
    let answer = calling.await.unwrap_or_else(broken).map(|done| done.receipt);
    if let Err(error) = &answer {
        tracing::warn!(%error, "pre-images were not registered: trying again");
        // What one endpoint refuses may be what it wants to be kept off chain: the next try is another one's.
        if !matches!(error, CallError::Chain(ChainError::NotSigned { .. })) {
            let why = ChainError::Unreachable(format!("a registration did not get on chain: {error}"));
            chain.leave_endpoint(&why).await;
        }
    }
    Called { number, peers, answer }
}

impl Shared {
    fn next_batch(&self) -> Option<RegistrationBatch> {
        let mut state = self.state();
        let best = state.heads.best(Instant::now());
        state.queue.next(best)
    }

    fn on_called(&self, Called { number, peers, answer }: Called) {
        let mut state = self.state();
        let head = state.heads.finalised();
        match answer {
            Ok(receipt) => {
                let deposit = Amount::try_from(receipt.storage_deposit).unwrap_or_default();
                state.tally.paid(receipt.fee.saturating_add(deposit), &peers);
                state.tally.failing = None;
                state.queue.end(number, Some(receipt.block.number), head);
            }
            Err(error) => {
                if let CallError::Chain(ChainError::FailedInBlock { fee, .. }) = &error {
                    state.tally.paid(*fee, &peers);
                }
                state.tally.failing = Some(error.to_string());
                state.queue.end(number, None, head);
            }
        }
        drop(state);
        self.review();
    }
}

/// Keeps what registrations cost, as long as there is something that may have to be registered.
pub(super) async fn keep_costs(shared: &Shared, arbiter: &Arbiter, signer: &Arc<dyn Signer>) {
    let mut changed = shared.work.subscribe();
    loop {
        let _seen = *changed.borrow_and_update();
        if shared.state().facts.at_risk() == 0 {
            // The sender is here as long as we are.
            let _changed = changed.changed().await;
            continue;
        }
        match ask_costs(shared, arbiter, signer).await {
            Ok(()) => sleep(COSTS_STAND).await,
            Err(error) => {
                tracing::warn!(%error, "what registrations cost is not known: asking again");
                sleep(RETRY).await;
            }
        }
    }
}

async fn ask_costs(shared: &Shared, arbiter: &Arbiter, signer: &Arc<dyn Signer>) -> Result<(), CallError> {
    let no_random = |error: crate::node::NodeError| ChainError::Unreachable(error.to_string());
    let (one, two) = (random().map_err(no_random)?, random().map_err(no_random)?);
    let costs = arbiter.registration_costs(&signer.account(), [Preimage(one), Preimage(two)]).await?;
    shared.state().costs = Some(costs);
    shared.wake();
    Ok(())
}
