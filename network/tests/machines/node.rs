//! A node: one router with its rows, and what it wants done once they are durable.

use super::link::{process::Route, registry::Asked};
use channel::{
    Channel, IdempotencyKey, Misuse,
    transfer::{Offer, Registered, Stake, TransferCommand, TransferEvent, TransferLimits, TransferTerms, Verdict},
};
use network::{At, CommandRefusal, Router, RouterInput, RouterNotice, RouterOutput, RoutingPolicy, RowKey, SealKey};
use protocol::{
    Amount, PublicKey,
    contracts::{
        ContractId,
        conditional::{HashLock, Preimage},
    },
    crypto::SigningKey,
    signing::Domain,
};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

/// What all tasks of a node share.
pub(super) struct Shared {
    pub(super) router: Router,
    /// What the router said since the last commit.
    said: Vec<RouterOutput>,
    /// The router's rows in the store of each chain, durable.
    pub(super) rows: BTreeMap<(Domain, RowKey), Vec<u8>>,
    pub(super) notices: Vec<RouterNotice>,
    /// What leaves now that its commit is durable.
    pub(super) outbox: VecDeque<RouterOutput>,
}

#[derive(Clone)]
pub(super) struct Node(Arc<Mutex<Shared>>);

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Node")
    }
}

fn router(seed: u8, policy: RoutingPolicy) -> Router {
    Router::new(SigningKey::from_seed(&[seed; 32]), SealKey::from_seed(&[seed; 32]), policy)
}

impl Node {
    pub(super) fn new(seed: u8, policy: RoutingPolicy) -> Self {
        let (said, rows, notices, outbox) = Default::default();
        Self(Arc::new(Mutex::new(Shared { router: router(seed, policy), said, rows, notices, outbox })))
    }

    pub(super) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().expect("no test goes on after a panic")
    }

    /// What was not committed is lost with the process; another one starts with a router that knows nothing.
    pub(super) fn crash(&self, seed: u8, policy: RoutingPolicy) {
        let mut shared = self.shared();
        shared.said.clear();
        shared.outbox.clear();
        shared.router = router(seed, policy);
    }

    /// Tells the router something outside of any machine's commit, and commits what it says.
    pub(super) fn tell(&self, inputs: impl IntoIterator<Item = RouterInput>) {
        let mut shared = self.shared();
        for input in inputs {
            let said = shared.router.handle(input);
            shared.said.extend(said);
        }
        shared.commit();
    }

    /// Has the router do something by itself, and commits it.
    pub(super) fn act<T, E>(&self, act: impl FnOnce(&mut Router) -> Result<(T, Vec<RouterOutput>), E>) -> Result<T, E> {
        let mut shared = self.shared();
        let (value, said) = act(&mut shared.router)?;
        shared.said.extend(said);
        shared.commit();
        Ok(value)
    }
}

impl Shared {
    fn commit(&mut self) {
        for output in std::mem::take(&mut self.said) {
            match output {
                RouterOutput::Row { chain, key, value: Some(value) } => drop(self.rows.insert((chain, key), value)),
                RouterOutput::Row { chain, key, value: None } => drop(self.rows.remove(&(chain, key))),
                RouterOutput::Notify(notice) if notice.is_durable() => self.notices.push(notice),
                RouterOutput::Notify(_) => {}
                effect => self.outbox.push_back(effect),
            }
        }
    }
}

/// A machine's task: it tells the router of its own channel.
pub(super) struct Task {
    pub(super) node: Node,
    pub(super) at: At,
    pub(super) peer: PublicKey,
    pub(super) told: Option<(TransferLimits, Amount, Amount)>,
}

impl Task {
    /// What can be offered now, where that is news.
    fn news(&mut self, channel: &Channel) -> Vec<RouterInput> {
        let (at, peer) = (self.at, self.peer);
        let balances = channel.balances().filter(|_| channel.takes_offers());
        let now = balances.map(|balances| (*channel.peer_limits(), channel.spendable(), balances.peers));
        let before = std::mem::replace(&mut self.told, now);
        match (before, now) {
            (before, Some(now)) if before != Some(now) => {
                let (limits, amount, risked) = now;
                let up = before.map(|before| before.0) != Some(limits);
                let up = up.then_some(RouterInput::ChannelUp { at, peer, limits });
                let last = channel.pledges_last().map(|last| RouterInput::Pledges { at, last });
                up.into_iter().chain(last).chain([RouterInput::Spendable { at, amount, risked }]).collect()
            }
            (Some(_), None) => vec![RouterInput::ChannelDown(at)],
            _ => Vec::new(),
        }
    }

    fn ask(&self, inputs: Vec<RouterInput>) -> Vec<TransferCommand> {
        let mut shared = self.node.shared();
        let mut ours = Vec::new();
        for input in inputs {
            for output in shared.router.handle(input) {
                match output {
                    RouterOutput::Command { at, command } if at == self.at => ours.push(command),
                    other => shared.said.push(other),
                }
            }
        }
        ours
    }
}

impl Route for Task {
    fn route(&mut self, channel: &Channel, events: Vec<TransferEvent>) -> Vec<TransferCommand> {
        let mut inputs = self.news(channel);
        inputs.extend(events.into_iter().map(|event| RouterInput::Transfer(self.at, event)));
        self.ask(inputs)
    }

    fn refused(&mut self, command: TransferCommand, misuse: &Misuse) -> Vec<TransferCommand> {
        self.ask(vec![RouterInput::Refused { at: self.at, command, why: refusal(misuse) }])
    }

    fn committed(&mut self) {
        self.node.shared().commit();
    }
}

/// What the router is told of a refused command, as a node tells it.
pub(super) const fn refusal(misuse: &Misuse) -> CommandRefusal {
    match misuse {
        Misuse::InsufficientBalance { .. } => CommandRefusal::Coins,
        Misuse::TransferLimits { .. } | Misuse::QueueFull { .. } => CommandRefusal::Limits,
        Misuse::ExpiryTooNear { .. } => CommandRefusal::Expiry,
        Misuse::NotOpen { .. } | Misuse::Disconnected | Misuse::AlreadyClosing => CommandRefusal::NotOpen,
        _ => CommandRefusal::Other,
    }
}

/// The router as one channel's transfer book asks it.
#[derive(Clone, Debug)]
pub(super) struct Verdicts {
    pub(super) node: Node,
    pub(super) at: At,
}

impl Asked for Verdicts {
    fn may_be_claimed(&self, key: &IdempotencyKey, terms: &TransferTerms, registered: Registered) -> Verdict {
        self.node.shared().router.may_be_claimed(&self.at, key, terms, registered)
    }

    fn preimage(&self, lock: &HashLock) -> Option<Preimage> {
        self.node.shared().router.preimage(lock)
    }

    fn is_owed(&self, contract: &ContractId) -> bool {
        self.node.shared().router.is_owed(&self.at, contract)
    }

    fn takes_calls(&self, offer: &Offer) -> bool {
        self.node.shared().router.takes_calls(&self.at, offer)
    }

    fn stakes(&self, contract: &ContractId, offer: &Offer) -> Stake {
        self.node.shared().router.stakes(&self.at, contract, offer)
    }
}
