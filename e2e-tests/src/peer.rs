//! A node in a process of its own, for stories in which processes are killed: the program `e2e-peer`.
//!
//! ```text
//!  e2e-peer node NAME CHAIN ARBITER STORE         stdin: "<number> <command>" lines    stdout: "listens <address>",
//!  e2e-peer wallet NAME                                                                        "answer <number> ok|failed <words>", "paid <number>"
//! ```
//!
//! It ends when its standard input does, and that ends with whoever started it.

use crate::{RemoteChain, identity, signer, terms, until};
use channel::{CloseReason, PaymentOutcome, PaymentRecord};
use protocol::{AccountId, Amount, call::Call};
use sdk::{
    chain::{Arbiter, ChainSignature, SharedChain, Signer, remote::Settings},
    node::{Ack, ChannelHandle, Node, NodeConfig, Storage},
    store::{Durability, StoreHandle},
};
use std::{
    collections::HashMap,
    env,
    fmt::Display,
    io,
    path::PathBuf,
    process,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use tokio::sync::mpsc;

/// What a line begins with that tells where the node listens.
pub(crate) const LISTENS: &str = "listens ";
/// What one begins with that answers a command.
pub(crate) const ANSWER: &str = "answer ";
/// What one begins with that tells that a payment is agreed.
pub(crate) const PAID: &str = "paid ";

/// Does what the command line says, until standard input ends.
pub async fn run() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["node", name, chain, arbiter, store] => node(name, chain, arbiter, store).await,
        ["wallet", name] => wallet(name).await,
        other => panic!("e2e-peer: {other:?} is nothing to do"),
    }
    process::exit(0);
}

/// The lines of standard input, until it ends.
fn standard_input() -> mpsc::Receiver<String> {
    let (to, lines) = mpsc::channel(1);
    let _thread = thread::spawn(move || {
        for line in io::stdin().lines() {
            let Ok(line) = line else { break };
            if to.blocking_send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// Signs whatever it is shown, a payload on each line.
async fn wallet(name: &str) {
    let key = signer(name);
    let mut lines = standard_input();
    while let Some(line) = lines.recv().await {
        let ChainSignature::Sr25519(signature) = key.sign(&hex::decode(line).unwrap()).await.unwrap() else { return };
        println!("{}", hex::encode(signature));
    }
}

/// A running node, and what its commands share.
struct Peer {
    name: String,
    node: Node,
    /// What it may close on later, by peer.
    kept: Mutex<HashMap<String, Call>>,
    /// Payments that go on and on end.
    enough: AtomicBool,
}

async fn node(name: &str, chain: &str, arbiter: &str, store: &str) {
    let chain: SharedChain = if chain.starts_with("ws://") {
        Arc::new(sdk::chain::RemoteChain::connect(Settings::for_instant_seal(chain)).await.unwrap())
    } else {
        Arc::new(RemoteChain::at(PathBuf::from(chain)))
    };
    let arbiter: [u8; 32] = hex::decode(arbiter.trim_start_matches("0x")).unwrap().try_into().unwrap();
    let arbiter = Arc::new(Arbiter::attach(chain, AccountId(arbiter), None).await.unwrap());
    let store = StoreHandle::open(&PathBuf::from(store), Durability::Immediate).unwrap();
    let mut config = NodeConfig::new(identity(name), Arc::new(signer(name)), arbiter, Storage::Disk(store));
    config.policy.share_max = Amount::MAX;
    config.ack = Ack::OnDelivery;
    config.listen = Some("127.0.0.1:0".into());
    config.redial = None;
    let node = Node::start(config).await.unwrap();
    println!("{LISTENS}{}", node.address().unwrap());
    let peer = Peer { name: name.into(), node, kept: Mutex::default(), enough: AtomicBool::new(false) };
    let peer = Arc::new(peer);
    let mut lines = standard_input();
    while let Some(line) = lines.recv().await {
        let peer = Arc::clone(&peer);
        let _task = tokio::spawn(async move {
            let words: Vec<&str> = line.split(' ').collect();
            let (number, command) = words.split_first().unwrap();
            match peer.obey(command).await {
                Ok(words) => println!("{ANSWER}{number} ok {words}"),
                Err(words) => println!("{ANSWER}{number} failed {words}"),
            }
        });
    }
}

fn say<T>(done: Result<T, impl Display>, words: impl FnOnce(T) -> String) -> Result<String, String> {
    done.map(words).map_err(|error| error.to_string())
}

fn ended(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Mutual { balances } => format!("mutual {} {}", balances.initiator, balances.responder),
        CloseReason::Settled { balances } => format!("settled {} {}", balances.initiator, balances.responder),
        other => format!("{other:?}"),
    }
}

impl Peer {
    async fn obey(&self, command: &[&str]) -> Result<String, String> {
        let amount = |text: &str| text.parse::<Amount>().map_err(|error| error.to_string());
        let round = |round| format!("{round}");
        match command {
            ["vault", coins] => say(self.node.vault_deposit(amount(coins)?).await, |_done| String::new()),
            ["connect", address] => {
                let address = address.parse().map_err(|error| format!("{error}"))?;
                say(self.node.connect(&address).await, |_peer| String::new())
            }
            ["open", peer] => {
                say(self.node.open_channel(identity(peer).public(), terms()).await, |_channel| String::new())
            }
            ["pay", peer, coins, reference] => {
                let channel = self.channel(peer).await;
                say(channel.pay(amount(coins)?, *reference).await, |paid| round(paid.round))
            }
            ["pay-once", peer, coins, key] => {
                let channel = self.channel(peer).await;
                say(channel.pay_once(*key, amount(coins)?, *key).await, |paid| round(paid.round))
            }
            ["payments", peer] => say(self.channel(peer).await.payments().await, |payments| {
                let words = |record: PaymentRecord| {
                    let is_pending = record.outcome == PaymentOutcome::Pending;
                    let reference = String::from_utf8_lossy(&record.payment.reference).into_owned();
                    format!("{reference}:{}", if is_pending { "pending" } else { "ended" })
                };
                payments.into_iter().map(words).collect::<Vec<_>>().join(" ")
            }),
            ["pay-on", peer, coins, first] => self.pay_on(peer, amount(coins)?, first).await,
            ["enough"] => {
                self.enough.store(true, Ordering::Release);
                Ok(String::new())
            }
            ["deposit", peer, coins] => say(self.channel(peer).await.deposit(amount(coins)?).await, round),
            ["has", peer] => say(self.channel(peer).await.balances().await, |has| {
                has.map(|has| format!("{} {}", has.ours, has.peers)).unwrap_or_default()
            }),
            ["status", peer] => say(self.channel(peer).await.status().await, |status| {
                let doing = if status.operation.is_some() || status.pending > 0 { "busy" } else { "idle" };
                format!("{} {doing}", status.state)
            }),
            ["head", peer] => say(self.channel(peer).await.head().await, |head| head.to_string()),
            ["close", peer] => say(self.channel(peer).await.close(0).await, |reason| ended(&reason)),
            ["closed", peer] => say(self.channel(peer).await.closed().await, |reason| ended(&reason)),
            ["keep", peer] => {
                let evidence = self.channel(peer).await.evidence().await.map_err(|error| error.to_string())?;
                let close = Call::ChannelCloseSolo(evidence.ok_or("there is nothing to keep")?);
                let _none = self.kept.lock().unwrap().insert((*peer).into(), close);
                Ok(String::new())
            }
            ["cheat", peer] => {
                let close = self.kept.lock().unwrap().get(*peer).cloned().ok_or("nothing was kept")?;
                let (arbiter, signer) = (self.node.arbiter(), signer(&self.name));
                say(arbiter.call(&signer, &close, 0).await, |done| done.receipt.block.number.to_string())
            }
            other => Err(format!("{other:?} is no command")),
        }
    }

    /// The one channel with a peer, once it is known.
    async fn channel(&self, peer: &str) -> ChannelHandle {
        let peer = identity(peer).public();
        until("a channel", || async { self.node.channels(peer).await.ok()?.into_iter().next() }).await
    }

    /// Pays numbers one after the other, each once the one before is agreed, and tells each, until it is enough or the channel closes.
    async fn pay_on(&self, peer: &str, coins: Amount, first: &str) -> Result<String, String> {
        let channel = self.channel(peer).await;
        let open = || async { (channel.status().await.ok()?.state == channel::Stage::Open).then_some(()) };
        until("the channel to be open", open).await;
        let mut number: u32 = first.parse().map_err(|error| format!("{error}"))?;
        while !self.enough.swap(false, Ordering::AcqRel) {
            if let Err(error) = channel.pay(coins, number.to_be_bytes()).await {
                return Err(error.to_string());
            }
            println!("{PAID}{number}");
            number += 1;
        }
        Ok(number.to_string())
    }
}
