//! The order in which openings with one peer are signed.

use crate::chain::{ChainSignature, NotSigned, Signer};
use async_trait::async_trait;
use channel::Effect;
use protocol::{AccountId, call::Call};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::oneshot;

/// The nonce of the opening that an effect submits, if it does.
pub(super) fn nonce_of(effect: &Effect) -> Option<u64> {
    match effect {
        Effect::Submit(call) => match &**call {
            Call::ChannelCreate(create) => Some(create.nonce),
            _ => None,
        },
        _ => None,
    }
}

/// Openings with one peer are signed one after the other, in the order in which they were submitted: an account's transactions are included
/// in the order in which they are signed, and the pair's nonces have to ascend (R5.2). They need not wait for each other's blocks.
#[derive(Debug, Default)]
pub(super) struct CreateTurn(Option<oneshot::Receiver<Infallible>>);

impl CreateTurn {
    /// A place behind those that were submitted before.
    pub(super) fn queue(&mut self) -> Turn {
        let (mine, after_me) = oneshot::channel();
        Turn { before: self.0.replace(after_me), mine }
    }
}

/// One place in that order.
pub(super) struct Turn {
    /// Says nothing, and ends when the one before is signed or given up.
    before: Option<oneshot::Receiver<Infallible>>,
    mine: oneshot::Sender<Infallible>,
}

impl Turn {
    /// Waits for the turn, and gives a signer that passes it on when it is asked to sign.
    pub(super) async fn come(self, signer: Arc<dyn Signer>) -> InTurn {
        if let Some(before) = self.before {
            let _ended = before.await;
        }
        InTurn { signer, turn: Mutex::new(Some(self.mine)) }
    }
}

/// A signer that holds a turn until it has given the first signature: then the account's nonce is settled. Whoever has asked for one and gives way to a
/// call that comes first has not, and asks again. Dropped, it holds it no more.
pub(super) struct InTurn {
    signer: Arc<dyn Signer>,
    turn: Mutex<Option<oneshot::Sender<Infallible>>>,
}

#[async_trait]
impl Signer for InTurn {
    fn account(&self) -> AccountId {
        self.signer.account()
    }

    async fn sign(&self, payload: &[u8]) -> Result<ChainSignature, NotSigned> {
        let signed = self.signer.sign(payload).await;
        drop(self.turn.lock().unwrap_or_else(PoisonError::into_inner).take());
        signed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    /// A wallet that signs once its owner has looked.
    struct Slow(tokio::sync::Semaphore);

    #[async_trait]
    impl Signer for Slow {
        fn account(&self) -> AccountId {
            AccountId([7; 32])
        }

        async fn sign(&self, _payload: &[u8]) -> Result<ChainSignature, NotSigned> {
            let _looked = self.0.acquire().await;
            Err(NotSigned("for this test".into()))
        }
    }

    #[tokio::test]
    async fn an_opening_that_gives_way_while_it_is_signed_is_not_overtaken_by_the_next() {
        let wallet = Arc::new(Slow(tokio::sync::Semaphore::new(0)));
        let mut turns = CreateTurn::default();
        let (first, second) = (turns.queue(), turns.queue());
        let first = first.come(wallet.clone()).await;
        let mut second = Box::pin(second.come(wallet.clone()));
        assert!(first.sign(b"gives way").now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none(), "nothing is signed of the first one yet");
        wallet.0.add_permits(1);
        assert!(first.sign(b"once more").await.is_err());
        assert!(second.now_or_never().is_some());
    }
}
