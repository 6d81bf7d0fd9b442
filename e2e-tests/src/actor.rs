//! Somebody with a node.

use crate::{EventLog, account, address_at, terms, until, within};
use channel::{Balances, ChannelRef, Event, Payment};
use futures::future::join_all;
use protocol::{AccountId, Amount, PublicKey};
use sdk::{
    keys::PeerAddress,
    node::{ChannelHandle, Node, NodeConfig, NodeError, OpenChannel, PaymentReceipt, Storage},
    store::{Durability, OpenError, StoreHandle},
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

pub(crate) const START: &str = "a node to start";

/// The store in a directory, once it is free: the node that had it may be on its way out.
pub(crate) async fn free_store(path: &Path) -> StoreHandle {
    let open = || async {
        match StoreHandle::open(path, Durability::Immediate) {
            Err(OpenError::InUse { .. }) => None,
            opened_or_not => Some(opened_or_not.unwrap()),
        }
    };
    until("the store to be free", open).await
}

/// A node with everything it has told.
#[derive(Debug)]
pub struct Actor {
    /// What it is called.
    pub name: &'static str,
    /// Its node.
    pub node: Node,
    /// What its node has told since it started.
    pub events: EventLog,
}

impl Actor {
    /// Starts a node, on the store in a directory where one is given.
    pub(crate) async fn start(name: &'static str, mut config: NodeConfig, store: Option<PathBuf>) -> Self {
        if let Some(path) = store {
            config.storage = Storage::Disk(free_store(&path).await);
        }
        let (node, events) = Node::start_with_events(config).await.unwrap();
        let events = EventLog::of(events);
        Self { name, node, events }
    }

    /// Who it is to its peers.
    #[must_use]
    pub fn identity(&self) -> PublicKey {
        self.node.identity()
    }

    /// Its chain account.
    #[must_use]
    pub fn account(&self) -> AccountId {
        account(self.name)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> PeerAddress {
        self.node.address().unwrap()
    }

    /// The socket at which it listens.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        self.node.local_addr().unwrap()
    }

    /// Dials a peer.
    pub async fn connect(&self, peer: &Self) {
        let connected = within("a connection", self.node.connect(&peer.address())).await.unwrap();
        assert_eq!(connected, peer.identity());
    }

    /// Dials a peer at another place than where it listens: a proxy's.
    pub async fn connect_at(&self, peer: &Self, at: SocketAddr) {
        let _peer = within("a connection", self.node.connect(&address_at(peer.name, at))).await.unwrap();
    }

    /// Opens a channel with the usual terms: this side's view and the peer's.
    pub async fn open(&self, peer: &Self) -> (ChannelHandle, ChannelHandle) {
        self.open_on(peer, terms()).await
    }

    /// Opens a channel: this side's view and the peer's.
    pub async fn open_on(&self, peer: &Self, terms: OpenChannel) -> (ChannelHandle, ChannelHandle) {
        let ours = self.try_open(peer, terms).await.unwrap();
        (ours.clone(), peer.view_of(self, ours.reference()).await)
    }

    /// Tries to open a channel.
    ///
    /// # Errors
    /// The node's own.
    pub async fn try_open(&self, peer: &Self, terms: OpenChannel) -> Result<ChannelHandle, NodeError> {
        within("a channel to open", self.node.open_channel(peer.identity(), terms)).await
    }

    /// This side's view of a channel that `peer` opened with it, once it is open here too.
    pub async fn view_of(&self, peer: &Self, channel: ChannelRef) -> ChannelHandle {
        let opened = |event: &Event| matches!(event, Event::Opened { .. }).then_some(());
        self.events.wait("the channel to be open on the other side", channel, opened).await;
        self.channel(peer, channel).await
    }

    /// A channel that is known to be here.
    pub async fn channel(&self, peer: &Self, channel: ChannelRef) -> ChannelHandle {
        let channels = within("the list of channels", self.node.channels(peer.identity())).await.unwrap();
        channels.into_iter().find(|known| known.reference() == channel).unwrap()
    }

    /// Stops the node, as its user would.
    pub fn stop(self) {
        drop(self);
    }

    /// Stops the node, and waits until nothing of it runs any more.
    pub async fn stop_and_wait(self) {
        within("the node to stop", self.node.stop()).await;
    }
}

/// What is often asked of a channel, with patience and without errors.
#[allow(async_fn_in_trait, reason = "for tests only")]
pub trait Asked {
    /// Pays, and waits until it is agreed.
    async fn pays(&self, amount: Amount, reference: &str) -> PaymentReceipt;
    /// Who has what.
    async fn has(&self) -> Balances;
    /// Makes payments all at once. What was paid, in the order in which the node took it.
    async fn pays_all(&self, payments: Vec<Payment>) -> Vec<Payment>;
}

impl Asked for ChannelHandle {
    async fn pays(&self, amount: Amount, reference: &str) -> PaymentReceipt {
        within("a payment", self.pay(amount, reference)).await.unwrap()
    }

    async fn has(&self) -> Balances {
        within("balances", self.balances()).await.unwrap().unwrap()
    }

    async fn pays_all(&self, payments: Vec<Payment>) -> Vec<Payment> {
        let paying = payments.into_iter().map(|payment| async {
            let paid = self.pay(payment.amount, payment.reference.clone()).await.unwrap();
            (paid, payment)
        });
        let mut paid = within("all payments", join_all(paying)).await;
        paid.sort_by_key(|(paid, _)| paid.payment);
        assert!(paid.windows(2).all(|pair| pair[0].0.round <= pair[1].0.round), "rounds go with the payments' numbers");
        paid.into_iter().map(|(_, payment)| payment).collect()
    }
}

/// So many payments, each with its number as its reference.
pub fn numbered(amount: Amount, count: u32) -> Vec<Payment> {
    (0..count).map(|number| Payment { amount, reference: number.to_be_bytes().into() }).collect()
}
