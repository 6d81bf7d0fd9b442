//! What a node needs to start, and what it offers to peers.

use super::{events::Ack, group::RouterGroup, limits::NodeLimits, processors::Processors, redial::Backoff};
use crate::{
    apps::Registry,
    chain::{Arbiter, Signer},
    keys::Identity,
    store::StoreHandle,
    transport,
};
use channel::{Config as ChannelConfig, Context, Millis, Pace, Policy, transfer::TransferBook};
#[cfg(feature = "testing")]
use protocol::crypto::{Crypto, Native};
use protocol::{
    Amount, BlockNumber, PartyId,
    terms::{Delegate, Destination, PartyTerms},
};
use std::{sync::Arc, time::Duration};

/// Everything a node needs: four things that only its owner knows, which [`new`](Self::new) asks for, and settings with a safe default each.
#[derive(Clone)]
pub struct NodeConfig {
    /// Who this node is to its peers; signs channel states (R3.4).
    pub identity: Arc<Identity>,
    /// The chain account: pays fees, owns the vault, receives payouts.
    pub signer: Arc<dyn Signer>,
    /// The arbiter.
    pub arbiter: Arc<Arbiter>,
    /// Where channels are kept (R6.4).
    pub storage: Storage,
    /// Where to listen, `host:port` (port 0 for any); none to only dial, which is the default.
    pub listen: Option<String>,
    /// Where payouts go (R5.1); by default to the chain account.
    pub payout: Destination,
    /// Accounts that may act for this node in its channels; [`Delegate::defender`] for those that only defend them. Nobody by default.
    pub delegates: Vec<Delegate>,
    /// The openings of peers that it accepts; by default any within the arbiter's limits that asks for none of this node's coins
    /// ([`Policy::share_max`] is 0).
    pub policy: Policy,
    /// How soon it sees what happens on chain, and how soon what it sends is in a block: a channel's lock period must leave time for it (R6.9d).
    pub pace: Pace,
    /// Settings of its channels.
    pub channels: ChannelConfig,
    /// How long connections may take.
    pub timeouts: transport::ConnectionTimeouts,
    /// How often a silent connection is asked for a sign of life; every 15 seconds by default.
    pub ping_interval: Duration,
    /// When events count as acknowledged; by default once their user says so ([`Ack::Manual`]), so that none is lost in a crash.
    pub ack: Ack,
    /// When whoever asked for a payment is told that it is made; by default once it is kept ([`Told::OnceKept`]).
    pub told: Told,
    /// What this machine's processors do while the node waits for its disk and its peers; by default they sleep as the system has them.
    pub processors: Processors,
    /// The apps that contracts in its channels run; none by default.
    pub apps: Arc<Registry>,
    /// What the account keeps for the defence of channels: with less, none is opened, accepted or filled from the account (R6.9e). Estimated by the
    /// chain's own prices by default.
    pub fee_reserve: FeeReserve,
    /// What crosses this node's channels: whether it carries transfers of others on, at what fee, and what it risks for it. By default it only pays and is paid.
    pub routing: network::RoutingPolicy,
    /// The router that this node shares with nodes on other chains, so that coins of theirs can be swapped; none for a router of its own.
    pub group: Option<RouterGroup>,
    /// The most that is offered on top of the fee for a call that defends a channel, once its last block comes near ([`Urgency`](crate::chain::Urgency));
    /// none for ten times the fee of the heaviest such call.
    pub tip_max: Option<Amount>,
    /// For how many blocks the proof of a channel's last state is kept after the channel has ended ([`Node::ended_channels`](super::Node::ended_channels)):
    /// an end that one endpoint made up can be mended for so long (R6.9a). [`KEEP_ENDED`] by default.
    pub keep_ended: BlockNumber,
    /// How a lost peer that this node has channels with is dialled again, where it was last found; none to wait for it or for
    /// [`Node::connect`](super::Node::connect). By default it is dialled, at growing intervals.
    pub redial: Option<Backoff>,
    /// What each peer may ask of this node and make it hold.
    pub limits: NodeLimits,
}

/// For how many blocks the proof of an ended channel is kept, unless told otherwise: a week of blocks of six seconds.
pub const KEEP_ENDED: BlockNumber = 7 * 24 * 600;

/// What is kept in the account for the defence of channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FeeReserve {
    /// As much as the chain's own prices ask for: four calls of the heaviest kind for each channel, and the most that is offered on top of one
    /// ([`NodeConfig::tip_max`]). The deposit that an opening lays down comes out of the account besides, until the channel ends: whoever opens has to have
    /// it on top of the reserve.
    #[default]
    Estimated,
    /// So much for each channel.
    PerChannel(Amount),
    /// Nothing: whoever cannot pay for an answer loses what an old state takes. For tests, and for accounts that others fill in time.
    DangerNothing,
}

/// When whoever asked for a payment ([`pay`](super::ChannelHandle::pay), [`pay_once`](super::ChannelHandle::pay_once),
/// [`pay_all`](super::ChannelHandle::pay_all) and the like) is told that it is made (R6.4c). Nothing leaves for the peer or the chain sooner by either, and everything else
/// that a user is told, events and what contracts did among it, is told once it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// Once both have signed it and this node keeps both signatures: a payment that was told of is made, whatever crashes and whatever the peer says.
    #[default]
    OnceKept,
    /// As soon as both have signed it. What is agreed is then kept together with the user's next payment, where that is asked for at once, or else alone: one
    /// wait for the disk less for each of many payments in a row.
    ///
    /// A crash in between is to this node as if the peer's answer had been lost on the way: the proposal is kept, and is said again once the peer is back. Until then the
    /// payment is pending to [`payment`](super::ChannelHandle::payment), which it may have been told of by its key, and its coins cannot be spent twice; then
    /// [`Event::Paid`](channel::Event::Paid) tells of it. What differs is a peer that denies what it has signed: it may refuse the payment after all
    /// ([`Event::Refused`](channel::Event::Refused)), or close on the state before it, and this node has nothing to show against that. It gives back the payment's coins so, and this
    /// node loses none; whoever needs the proof of a payment waits for its event.
    OnceAgreed,
}

/// Where a node keeps its channels.
#[derive(Clone, Debug)]
pub enum Storage {
    /// On disk: nothing leaves the node before it is there.
    Disk(StoreHandle),
    /// Nowhere: every coin in a channel is at the peer's mercy once the process ends, however it does. For tests, and for measuring.
    DangerInMemory,
}

impl NodeConfig {
    /// A node that accepts any sound opening which asks for none of its coins, waits for events to be acknowledged, and listens nowhere: set
    /// what should differ. Coins of its own for channels that peers open are [`Policy::share_max`]'s to allow.
    #[must_use]
    pub fn new(identity: Identity, signer: Arc<dyn Signer>, arbiter: Arc<Arbiter>, storage: Storage) -> Self {
        let info = *arbiter.info();
        Self {
            identity: Arc::new(identity),
            signer,
            arbiter,
            storage,
            listen: None,
            payout: Destination::Account,
            delegates: Vec::new(),
            policy: Policy {
                domain: info.domain,
                code_hash: info.code_hash,
                limits: info.limits,
                largest_amount: info.largest_amount,
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
            timeouts: transport::ConnectionTimeouts::default(),
            ping_interval: Duration::from_secs(15),
            ack: Ack::Manual,
            told: Told::default(),
            processors: Processors::default(),
            apps: Arc::new(Registry::in_memory(info.limits.call_weight)),
            fee_reserve: FeeReserve::default(),
            tip_max: None,
            routing: network::RoutingPolicy::default(),
            group: None,
            keep_ended: KEEP_ENDED,
            redial: Some(Backoff::default()),
            limits: NodeLimits::default(),
        }
    }

    /// For tests alone, on a chain in memory: a node named `name`, whose keys anybody can make from its name, with a rich account, that listens on the
    /// loopback interface, keeps nothing on disk, and acknowledges events once they are delivered. Two nodes of one chain need two names.
    ///
    /// # Errors
    /// None that a test must expect: those of [`MemoryChain::arbiter`](crate::chain::testing::MemoryChain::arbiter).
    #[cfg(feature = "testing")]
    pub async fn for_tests(chain: &chain::testing::MemoryChain, name: &str) -> Result<Self, chain::CallError> {
        let identity = Identity::from_seed(&Native.hash(name.as_bytes()).0);
        let signer = Arc::new(chain.rich(name));
        let config = Self::new(identity, signer, chain.arbiter().await?, Storage::DangerInMemory);
        Ok(Self { listen: Some("127.0.0.1:0".into()), ack: Ack::OnDelivery, ..config })
    }

    /// The store, where there is one.
    pub(super) const fn store(&self) -> Option<&StoreHandle> {
        match &self.storage {
            Storage::Disk(store) => Some(store),
            Storage::DangerInMemory => None,
        }
    }

    /// What a channel may know of this node at one moment.
    pub(super) fn context<'a>(
        &'a self,
        now: Millis,
        head: BlockNumber,
        transfers: &'a dyn TransferBook,
    ) -> Context<'a> {
        Context { key: self.identity.signing(), now, head, apps: &*self.apps, pace: self.pace, transfers }
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

/// A channel to open with a peer: two amounts, and terms that have a default each ([`new`](Self::new)).
///
/// ```
/// use sdk::node::OpenChannel;
///
/// let ours_alone = OpenChannel::new(1_000_000, 0);
/// let with_a_long_lock = OpenChannel { lock_period: 14_400, ..OpenChannel::new(500_000, 500_000) };
/// # assert_eq!((ours_alone.reserve, with_a_long_lock.reserve, with_a_long_lock.penalty), (0, 50_000, 50_000));
/// ```
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

/// How long a close by one side waits for an answer, unless said otherwise, in blocks: an hour of blocks of six seconds. A node that is away for longer
/// may come too late to answer a close on an old state.
pub const LOCK_PERIOD: BlockNumber = 600;

impl OpenChannel {
    /// A channel in which this node puts `our_share` and the peer `peer_share`, each out of its vault, with the terms that suit most:
    ///
    /// | term | default |
    /// |---|---|
    /// | `push` | 0: each starts with what it puts in |
    /// | `reserve` | a tenth of the smaller share, so that both have something to lose; 0 where one side puts nothing in |
    /// | `penalty` | the whole reserve |
    /// | `lock_period` | [`LOCK_PERIOD`]: 600 blocks |
    /// | `max_forced` | 3 |
    /// | `validity` | 100 blocks |
    ///
    /// Each of them can be set to something else: `OpenChannel { lock_period: 14_400, ..OpenChannel::new(500, 500) }`. The arbiter's limits and the
    /// peer's policy have the last word.
    #[must_use]
    pub const fn new(our_share: Amount, peer_share: Amount) -> Self {
        let smaller = if our_share < peer_share { our_share } else { peer_share };
        let reserve = smaller / 10;
        Self {
            our_share,
            peer_share,
            push: 0,
            reserve,
            lock_period: LOCK_PERIOD,
            penalty: reserve,
            max_forced: 3,
            validity: 100,
        }
    }
}
