//! Payments across channels as a node's user makes and takes them: invoices, payments, what a hub earns.

use super::{Node, random::random, routing::now};
use channel::IdempotencyKey;
use network::{
    Announcement, Earned, HubLoad, Invoice, InvoiceError, InvoiceRequest, InvoiceState, Opening, PayError, PaymentId,
    PaymentState, ReceiveError, Router, RouterNotice, RoutingPolicy, Spontaneous,
};
use protocol::{
    Amount, BlockNumber, PublicKey,
    contracts::conditional::{HashFunction, HashLock, Preimage},
    crypto::{Crypto, Native},
    signing::Domain,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::sync::{broadcast, watch};

/// Why a payment across channels, or an invoice, is not made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RoutedPaymentError {
    /// The text is no invoice that can be paid here.
    #[error(transparent)]
    Invoice(#[from] InvoiceError),
    /// The payment is not begun.
    #[error(transparent)]
    Pay(#[from] PayError),
    /// The invoice, or what is held for it, does not allow it.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// The system gives no randomness.
    #[error("the operating system gives no randomness: nothing was begun")]
    NoRandomness,
    /// The node stops, or its store takes nothing more.
    #[error("the node has stopped, or keeps nothing more: what has become of it is known after the next start")]
    Stopped,
}

/// An invoice to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInvoice {
    /// How much; none for any amount.
    pub amount: Option<Amount>,
    /// For people, at most 256 bytes.
    pub description: String,
    /// How long it is taken.
    pub expires_in: Duration,
    /// The least expiry of a transfer for it, in blocks above the newest when it comes; never less than the node's margin.
    pub least_expiry: BlockNumber,
    /// Through whom this node is reached: those it has channels with.
    pub hubs: Vec<PublicKey>,
    /// The lock of a hold invoice: what comes for it is held until it is settled with the pre-image, or cancelled. None to take it at once.
    pub held: Option<HashLock>,
}

impl NewInvoice {
    /// One for this amount, to be paid within an hour, through this hub.
    #[must_use]
    pub fn new(amount: Amount, hub: PublicKey) -> Self {
        Self {
            amount: Some(amount),
            description: String::new(),
            expires_in: Duration::from_secs(3_600),
            least_expiry: 0,
            hubs: vec![hub],
            held: None,
        }
    }
}

/// The notices of a node's router: what has become of payments and invoices. Told in passing: [`Node::routed_payment`] and [`Node::invoice_state`] say at any
/// time how far each is, after a crash too.
#[derive(Debug)]
pub struct RoutingNotices {
    notices: broadcast::Receiver<RouterNotice>,
    stops: watch::Receiver<BTreeSet<Domain>>,
    chain: Domain,
}

impl RoutingNotices {
    /// The next one; none once the node has stopped. A subscriber that is too slow misses the oldest.
    pub async fn next(&mut self) -> Option<RouterNotice> {
        let Self { notices, stops, chain } = self;
        loop {
            let heard = tokio::select! {
                biased;
                heard = notices.recv() => heard,
                _stopped = stops.wait_for(|stopped| stopped.contains(chain)) => return None,
            };
            match heard {
                Ok(notice) => return Some(notice),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "a subscriber of routing notices is too slow");
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// The router's name for a payment that its user knows by this key: what notices call it.
#[must_use]
pub fn payment_id(key: &IdempotencyKey) -> PaymentId {
    PaymentId(Native.hash(&key.0).0)
}

/// The node stops, or its store takes nothing more: what the router was to do is not kept.
pub(super) struct RouterStopped;

impl From<RouterStopped> for RoutedPaymentError {
    fn from(_stopped: RouterStopped) -> Self {
        Self::Stopped
    }
}

fn secret() -> Result<[u8; 32], RoutedPaymentError> {
    random().map_err(|_none| RoutedPaymentError::NoRandomness)
}

impl Node {
    /// What becomes of payments, invoices and transfers that are carried on, from now on.
    #[must_use]
    pub fn routing_notices(&self) -> RoutingNotices {
        let routing = &self.inner.peers.routing;
        RoutingNotices { notices: routing.notices(), stops: routing.group().stops(), chain: routing.chain() }
    }

    /// Makes an invoice: its text is for the payer. It is durable when this returns.
    ///
    /// # Errors
    /// [`RoutedPaymentError::Receive`], [`RoutedPaymentError::NoRandomness`], [`RoutedPaymentError::Stopped`].
    pub async fn create_invoice(&self, new: NewInvoice) -> Result<(Invoice, String), RoutedPaymentError> {
        let opening = match new.held {
            Some(lock) => Opening::Held(lock),
            None => Opening::AtOnce(Preimage(secret()?)),
        };
        let seconds = now().saturating_div(1_000).saturating_add(new.expires_in.as_secs());
        let request = InvoiceRequest {
            chain: self.inner.peers.routing.chain(),
            amount: new.amount,
            opening,
            secret: secret()?,
            least_expiry: new.least_expiry,
            description: new.description,
            expires_at: seconds,
            hubs: new.hubs,
        };
        self.with_router(move |router| {
            let (invoice, text, outputs) = router.add_invoice(request)?;
            Ok::<_, RoutedPaymentError>(((invoice, text), outputs))
        })
        .await
    }

    /// How far an invoice of this node is; none where it has none with this lock, or cannot read it.
    #[must_use]
    pub fn invoice_state(&self, lock: &HashLock) -> Option<InvoiceState> {
        self.inner.peers.routing.ask(|router| router.invoice(lock))
    }

    /// Takes what is held for an invoice.
    ///
    /// # Errors
    /// [`RoutedPaymentError::Receive`], [`RoutedPaymentError::Stopped`].
    pub async fn settle_invoice(&self, lock: HashLock, preimage: Preimage) -> Result<(), RoutedPaymentError> {
        self.with_router(move |router| Ok::<_, RoutedPaymentError>(((), router.settle(lock, preimage)?))).await
    }

    /// Gives back what is held for an invoice, which is paid by nobody any more.
    ///
    /// # Errors
    /// [`RoutedPaymentError::Receive`], [`RoutedPaymentError::Stopped`].
    pub async fn cancel_invoice(&self, lock: HashLock) -> Result<(), RoutedPaymentError> {
        self.with_router(move |router| Ok::<_, RoutedPaymentError>(((), router.cancel(lock)?))).await
    }

    /// Pays an invoice, once by this key: asked again, also after a crash, it says how far the payment is. `amount` is given where the invoice asks for any.
    /// It returns when the payment is durable; [`Node::routed_payment_ended`] waits for its end.
    ///
    /// # Errors
    /// [`RoutedPaymentError`]; nothing is begun then, but for [`RoutedPaymentError::Stopped`].
    pub async fn pay_invoice(
        &self,
        key: &IdempotencyKey,
        text: &str,
        amount: Option<Amount>,
        max_fee: Amount,
    ) -> Result<PaymentState, RoutedPaymentError> {
        let (id, invoice, seed) = (payment_id(key), Invoice::parse(text)?, secret()?);
        self.with_router(move |router| Ok::<_, RoutedPaymentError>(router.pay(id, &invoice, amount, max_fee, seed)?))
            .await
    }

    /// Pays somebody who has not asked for it, once by this key.
    ///
    /// # Errors
    /// [`RoutedPaymentError`]; nothing is begun then, but for [`RoutedPaymentError::Stopped`].
    pub async fn pay_spontaneously(
        &self,
        key: &IdempotencyKey,
        payee: PublicKey,
        hubs: Vec<PublicKey>,
        amount: Amount,
        max_fee: Amount,
    ) -> Result<PaymentState, RoutedPaymentError> {
        let (id, seed) = (payment_id(key), secret()?);
        let order =
            Spontaneous { chain: self.inner.peers.routing.chain(), payee, hubs, amount, max_fee, note: Vec::new() };
        self.with_router(move |router| Ok::<_, RoutedPaymentError>(router.pay_spontaneously(id, order, seed)?)).await
    }

    /// How far the payment of this key is; none where there is none, or it cannot be read.
    #[must_use]
    pub fn routed_payment(&self, key: &IdempotencyKey) -> Option<PaymentState> {
        self.inner.peers.routing.ask(|router| router.payment(&payment_id(key)))
    }

    /// Waits until the payment of this key is made, or has come to nothing; none where there is none, or the node stops.
    pub async fn routed_payment_ended(&self, key: &IdempotencyKey) -> Option<PaymentState> {
        let mut notices = self.routing_notices();
        loop {
            match self.routed_payment(key)? {
                PaymentState::Pending => {}
                ended => return Some(ended),
            }
            let _notice = notices.next().await?;
        }
    }

    /// Forgets the payment of this key once it is over: its row is kept until then, and a policy says how many are ([`RoutingPolicy::max_kept`]). Asked for again
    /// by its key it would be made again. False where it is under way, or there is none.
    ///
    /// # Errors
    /// [`RoutedPaymentError::Stopped`].
    pub async fn forget_routed_payment(&self, key: &IdempotencyKey) -> Result<bool, RoutedPaymentError> {
        let id = payment_id(key);
        self.with_router(move |router| {
            let outputs = router.forget_payment(id);
            Ok::<_, RoutedPaymentError>((outputs.is_some(), outputs.unwrap_or_default()))
        })
        .await
    }

    /// Forgets an invoice that is over: paid to its end, cancelled, or expired with nothing on its way.
    ///
    /// # Errors
    /// [`RoutedPaymentError::Receive`], [`RoutedPaymentError::Stopped`].
    pub async fn forget_invoice(&self, lock: HashLock) -> Result<(), RoutedPaymentError> {
        self.with_router(move |router| Ok::<_, RoutedPaymentError>(((), router.forget_invoice(lock)?))).await
    }

    /// Takes another policy for what crosses this node's channels, from now on; peers are told the new terms.
    pub async fn set_routing(&self, mut policy: RoutingPolicy) {
        let configure = move |router: &mut Router| {
            // What the chains take, and what they cost, is not the policy's to say.
            policy.chains.extend(router.policy().chains.clone());
            Ok::<_, RoutedPaymentError>(((), router.configure(policy)))
        };
        let done = self.with_router(configure).await;
        if let Err(error) = done {
            tracing::error!(%error, "the new routing policy is in use, and peers are not told of it");
        }
    }

    /// The policy for what crosses this node's channels.
    #[must_use]
    pub fn routing(&self) -> RoutingPolicy {
        self.inner.peers.routing.ask(|router| router.policy().clone())
    }

    /// The fees that transfers have earned this node, by whose they were.
    #[must_use]
    pub fn fees_earned(&self) -> Vec<Earned> {
        let routing = &self.inner.peers.routing;
        routing.ask(|router| router.earned(routing.chain()))
    }

    /// What is open across this node's channels, against its bounds.
    #[must_use]
    pub fn hub_load(&self) -> HubLoad {
        let routing = &self.inner.peers.routing;
        routing.ask(|router| router.load(routing.chain()))
    }

    /// What a hub has told of itself: its terms, and whom it serves.
    #[must_use]
    pub fn hub_terms(&self, hub: PublicKey) -> Option<Announcement> {
        let routing = &self.inner.peers.routing;
        routing.ask(|router| router.announcement(routing.chain(), hub).cloned())
    }

    /// Lets a peer offer transfers again that left a claim unanswered (R8.4f).
    pub async fn let_offer(&self, peer: PublicKey) {
        let chain = self.inner.peers.routing.chain();
        let _kept =
            self.with_router(move |router| Ok::<_, RoutedPaymentError>(((), router.let_offer(chain, peer)))).await;
    }

    /// Has the router do something, keeps what it has to keep, and has done what it wants: also where nobody waits for it any more.
    pub(super) async fn with_router<T: Send + 'static, E: From<RouterStopped> + Send + 'static>(
        &self,
        act: impl FnOnce(&mut Router) -> Result<(T, Vec<network::RouterOutput>), E> + Send + 'static,
    ) -> Result<T, E> {
        let peers = Arc::clone(&self.inner.peers);
        let running = peers.running.clone();
        let done = tokio::spawn(running.track(async move {
            let mut turn = peers.routing.turn().await;
            if peers.is_over() || peers.routing.ask(Router::is_ahead) {
                return Err(RouterStopped.into());
            }
            let (value, outgoing) = peers.routing.with(&mut turn, act)?;
            peers.keep(turn, outgoing).await.then_some(value).ok_or_else(|| RouterStopped.into())
        }));
        done.await.unwrap_or_else(|_ended| Err(RouterStopped.into()))
    }
}

/// The lock of a pre-image, as invoices have it: known to other chains too.
#[must_use]
pub fn invoice_lock(preimage: &Preimage) -> HashLock {
    preimage.lock(HashFunction::Sha2_256, &Native)
}
