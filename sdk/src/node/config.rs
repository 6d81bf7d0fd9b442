//! What a node needs to start, and what it offers to peers.

use super::{Backoff, Limits, Taking, purse::FeeReserve};
use crate::{
    apps::Registry,
    chain::{Arbiter, Signer},
    keys::Identity,
    store::StoreHandle,
    transport,
};
use channel::{Config as ChannelConfig, Context, Millis, Pace, Policy};
use protocol::{
    Amount, BlockNumber, PartyId,
    terms::{Delegate, Destination, PartyTerms},
};
use std::{sync::Arc, time::Duration};

/// Everything a node needs.
#[derive(Clone)]
pub struct NodeConfig {
    /// Who this node is to its peers; signs channel states (R3.4).
    pub identity: Arc<Identity>,
    /// The chain account: pays fees, owns the vault, receives payouts.
    pub signer: Arc<dyn Signer>,
    /// The arbiter.
    pub arbiter: Arc<Arbiter>,
    /// Where channels are kept (R6.4).
    pub keeping: Keeping,
    /// Where to listen, `host:port` (port 0 for any); none to only dial.
    pub listen: Option<String>,
    /// Where payouts go (R5.1).
    pub payout: Destination,
    /// Accounts that may act for this node in its channels; [`Delegate::defender`] for those that only defend them.
    pub delegates: Vec<Delegate>,
    /// The openings it accepts.
    pub policy: Policy,
    /// How soon it sees what happens on chain, and how soon what it sends is in a block: a channel's lock period must leave time for it (R6.9d).
    pub pace: Pace,
    /// Settings of its channels.
    pub channels: ChannelConfig,
    /// How long connections may take.
    pub timeouts: transport::Timeouts,
    /// How often a silent connection is asked for a sign of life.
    pub ping_interval: Duration,
    /// When events count as taken.
    pub taking: Taking,
    /// The apps that contracts in its channels run.
    pub apps: Arc<Registry>,
    /// What the account keeps for the defence of channels: with less, none is opened, accepted or filled from the account (R6.9e).
    pub fee_reserve: FeeReserve,
    /// The most that is offered on top of the fee for a call that defends a channel, once its last block comes near ([`Urgency`](crate::chain::Urgency));
    /// none for ten times the fee of the heaviest such call.
    pub tip_max: Option<Amount>,
    /// For how many blocks the proof of a channel's last state is kept after the channel has ended ([`Node::ended_channels`](super::Node::ended_channels)):
    /// an end that one endpoint made up can be mended for so long (R6.9a).
    pub keep_ended: BlockNumber,
    /// How a lost peer that this node has channels with is dialled again, where it was last found; none to wait for it or for
    /// [`Node::connect`](super::Node::connect).
    pub redial: Option<Backoff>,
    /// What each peer may ask of this node and make it hold.
    pub limits: Limits,
}

/// For how many blocks the proof of an ended channel is kept, unless told otherwise: a week of blocks of six seconds.
pub const KEEP_ENDED: BlockNumber = 7 * 24 * 600;

/// Where a node keeps its channels.
#[derive(Clone, Debug)]
pub enum Keeping {
    /// On disk: nothing leaves the node before it is there.
    Store(StoreHandle),
    /// Nowhere: every coin in a channel is at the peer's mercy once the process ends, however it does. For tests, and for measuring.
    DangerInMemory,
}

impl NodeConfig {
    /// A node that accepts any sound opening which asks for none of its coins, waits to be told that events are taken, and listens nowhere: set
    /// what should differ. Coins of its own for channels that peers open are [`Policy::share_max`]'s to allow.
    #[must_use]
    pub fn new(identity: Identity, signer: Arc<dyn Signer>, arbiter: Arc<Arbiter>, keeping: Keeping) -> Self {
        let info = *arbiter.info();
        Self {
            identity: Arc::new(identity),
            signer,
            arbiter,
            keeping,
            listen: None,
            payout: Destination::Account,
            delegates: Vec::new(),
            policy: Policy {
                domain: info.domain,
                code_hash: info.code_hash,
                limits: info.limits,
                lock_period_min: info.limits.lock_period_min,
                lock_period_max: info.limits.lock_period_max,
                share_max: 0,
                reserve_min: 0,
                reserve_max: Amount::MAX,
                penalty_min: 0,
                penalty_max: Amount::MAX,
                validity_max: info.limits.validity_max,
            },
            pace: Pace::default(),
            channels: ChannelConfig::default(),
            timeouts: transport::Timeouts::default(),
            ping_interval: Duration::from_secs(15),
            taking: Taking::ByUser,
            apps: Arc::new(Registry::in_memory(info.limits.call_weight)),
            fee_reserve: FeeReserve::default(),
            tip_max: None,
            keep_ended: KEEP_ENDED,
            redial: Some(Backoff::default()),
            limits: Limits::default(),
        }
    }

    /// The store, where there is one.
    pub(super) const fn store(&self) -> Option<&StoreHandle> {
        match &self.keeping {
            Keeping::Store(store) => Some(store),
            Keeping::DangerInMemory => None,
        }
    }

    /// What a channel may know of this node at one moment.
    pub(super) fn context(&self, now: Millis, head: BlockNumber) -> Context<'_> {
        Context { key: self.identity.signing(), now, head, apps: &*self.apps, pace: self.pace }
    }

    /// This node as the arbiter knows it: owns its vault, and is one of a pair (R5.1, R5.2).
    pub(super) fn id(&self) -> PartyId {
        PartyId { account: self.signer.account(), key: self.identity.public() }
    }

    /// This node as a party of a channel.
    pub(super) fn party(&self) -> PartyTerms {
        PartyTerms {
            account: self.signer.account(),
            key: self.identity.public(),
            payout: self.payout,
            delegates: self.delegates.clone(),
        }
    }
}

/// A channel to open with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenChannel {
    /// What this node puts in, out of its vault.
    pub our_share: Amount,
    /// What the peer is asked to put in, out of its vault.
    pub peer_share: Amount,
    /// Coins of our share that the peer starts with.
    pub push: Amount,
    /// The least each party keeps while the channel is open.
    pub reserve: Amount,
    /// Blocks a solo close waits for an answer.
    pub lock_period: BlockNumber,
    /// What closing on an old state costs; at most `reserve`.
    pub penalty: Amount,
    /// Forced steps each party may take on one base.
    pub max_forced: u8,
    /// Within how many blocks the opening must be on chain.
    pub validity: BlockNumber,
}
