//! The hub in a process of its own, and how the story speaks with it: a line asks, a line answers.
//!
//! ```text
//!   story                     hub
//!     | <-- listens ADDRESS --- |     once it is there
//!     | --- COMMAND ----------> |
//!     | <-- ok WORDS ---------- |     or: failed WORDS
//! ```
//!
//! The hub ends when its standard input does, and that ends with the story.

use super::hub_policy;
use crate::world::{World, config, identity};
use anyhow::{Context, Result, bail, ensure};
use channel::{Certainty, Misuse};
use clap::Args;
use devchain::{DevAccount, Endpoint, RemoteChain};
use protocol::{
    AccountId, Amount, Rejection,
    call::{Call, ForcedCall},
    contracts::{
        CallFault,
        conditional::{ConditionalInput, Preimage},
    },
};
use scale::Encode;
use sdk::{
    chain::Arbiter,
    keys::PeerAddress,
    node::{ChannelHandle, Node, NodeError},
    store::{Durability, StoreHandle},
};
use std::{
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
};

/// Whose node the hub is.
pub(super) const ACCOUNT: DevAccount = DevAccount::Bob;
/// The word by which the demo starts it.
pub(crate) const PROCESS: &str = "hub-process";
const LISTENS: &str = "listens ";
const DONE: &str = "ok";

/// What the hub's process is told when it starts.
#[derive(Args)]
pub(crate) struct Options {
    /// The socket at which the chain answers.
    #[arg(long)]
    chain: PathBuf,
    /// The arbiter's account.
    #[arg(long)]
    arbiter: String,
    /// Where its node keeps its channels.
    #[arg(long)]
    store: PathBuf,
    /// Do not wait for the disk.
    #[arg(long)]
    not_durable: bool,
}

/// The hub, as the story sees it. It is killed when this is dropped.
pub(super) struct Hub {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
    pub(super) address: PeerAddress,
}

impl Hub {
    /// Starts the hub's node, with what its store holds.
    pub(super) fn start(world: &World, endpoint: &Endpoint, not_durable: bool) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let _command = command
            .arg(PROCESS)
            .args(["--arbiter", &world.arbiter.info().domain.arbiter.to_string()])
            .args(["--chain".as_ref(), endpoint.path().as_os_str()])
            .args(["--store".as_ref(), world.store_path(ACCOUNT).as_os_str()])
            .args(not_durable.then_some("--not-durable"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the hub's process")?;
        let stdin = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().context("its output is piped")?);
        let first = tokio::task::block_in_place(|| read_line(&mut lines))?;
        let address = first.strip_prefix(LISTENS).context("the hub's process did not start")?;
        let address = address.parse().map_err(|error| anyhow::anyhow!("{address}: {error}"))?;
        Ok(Self { child, stdin, lines, address })
    }

    /// Has the hub do something, and waits for its answer.
    pub(super) fn does(&mut self, command: &str) -> Result<String> {
        tokio::task::block_in_place(|| {
            writeln!(self.stdin.as_mut().context("the hub is there")?, "{command}")?;
            let answer = read_line(&mut self.lines)?;
            match answer.split_once(' ') {
                Some((DONE, words)) => Ok(words.to_owned()),
                _ => bail!("the hub cannot {command}: {answer}"),
            }
        })
    }

    /// What the hub says about something that is a number.
    pub(super) fn count(&mut self, command: &str) -> Result<Amount> {
        Ok(self.does(command)?.parse()?)
    }

    /// `kill -9`; then a new process starts on the same store, at another port.
    pub(super) fn kill_and_start_again(&mut self, world: &World, endpoint: &Endpoint, not_durable: bool) -> Result<()> {
        self.child.kill()?;
        let _status = self.child.wait()?;
        *self = Self::start(world, endpoint, not_durable)?;
        Ok(())
    }

    /// Ends it, as its user would.
    pub(super) fn end(mut self) -> Result<()> {
        drop(self.stdin.take());
        let status = tokio::task::block_in_place(|| self.child.wait())?;
        ensure!(status.success(), "the hub's process ended with {status}");
        Ok(())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _over = self.child.kill();
        let _status = self.child.wait();
    }
}

fn read_line(lines: &mut BufReader<ChildStdout>) -> Result<String> {
    let mut line = String::new();
    ensure!(lines.read_line(&mut line)? > 0, "the hub's process has ended: see what it said above");
    Ok(line.trim_end_matches('\n').to_owned())
}

/// The hub's own side: starts the node, obeys until standard input ends.
pub(crate) fn be(options: &Options) -> Result<()> {
    let runtime = crate::runtime()?;
    let node = runtime.block_on(start(options))?;
    println!("{LISTENS}{}", node.address().context("the hub listens")?);
    let mut hub = Obeying { node, kept: None };
    for line in io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match runtime.block_on(hub.obey(&words)) {
            Ok(words) => println!("{DONE} {words}"),
            Err(error) => println!("failed {error:#}"),
        }
    }
    runtime.block_on(hub.node.stop());
    Ok(())
}

async fn start(options: &Options) -> Result<Node> {
    let mut account = AccountId([0; 32]);
    hex::decode_to_slice(options.arbiter.trim_start_matches("0x"), &mut account.0)?;
    let chain = Arc::new(RemoteChain::at(options.chain.clone()));
    let arbiter = Arc::new(Arbiter::attach(chain, account, None).await?);
    let durability = if options.not_durable { Durability::DangerNone } else { Durability::Immediate };
    let mut config = config(ACCOUNT, arbiter, StoreHandle::open(&options.store, durability)?);
    config.routing = hub_policy();
    let (node, mut events) = Node::start_with_events(config).await?;
    // They are acknowledged as they are delivered; what this story wants to know it asks for.
    let _task = tokio::spawn(async move { while events.next().await.is_ok() {} });
    Ok(node)
}

/// The hub's node, and a state that it would rather close on.
struct Obeying {
    node: Node,
    kept: Option<Call>,
}

impl Obeying {
    async fn obey(&mut self, command: &[&str]) -> Result<String> {
        match command {
            ["vault", coins] => {
                let _done = self.node.vault_deposit(coins.parse()?).await?;
                Ok(String::new())
            }
            // What it has in both channels.
            ["has"] => {
                let mut sum: Amount = 0;
                for peer in [DevAccount::Alice, DevAccount::Charlie] {
                    let balances = self.channel(peer).await?.balances().await?.context("the channel is open")?;
                    sum = sum.saturating_add(balances.ours);
                }
                Ok(sum.to_string())
            }
            ["earned"] => Ok(self.node.fees_earned().iter().map(|of| of.amount).sum::<Amount>().to_string()),
            ["open"] => Ok(self.node.hub_load().open.to_string()),
            // The newest block that it has looked at; nothing of it waits to be registered then.
            ["seen"] => {
                let report = self.node.registry().report();
                let is_done = report.waiting == 0 && report.under_way == 0;
                Ok(if is_done { report.finalised.to_string() } else { "0".to_owned() })
            }
            ["steal"] => self.steal().await,
            ["keep"] => {
                let evidence = self.channel(DevAccount::Charlie).await?.evidence().await?;
                self.kept = Some(Call::ChannelCloseSolo(evidence.context("there is a state")?));
                Ok(String::new())
            }
            ["cheat"] => {
                let call = self.kept.take().context("a state is kept")?;
                let done = self.node.arbiter().call(&ACCOUNT.signer(), &call, 0).await?;
                Ok(done.receipt.block.number.to_string())
            }
            other => bail!("{other:?} is no command"),
        }
    }

    async fn channel(&self, peer: DevAccount) -> Result<ChannelHandle> {
        let channels = self.node.channels(identity(peer).public()).await?;
        channels.into_iter().next().context("there is a channel")
    }

    /// Tries to have what Alice has under way, by a pre-image that it made up.
    async fn steal(&self) -> Result<String> {
        let channel = self.channel(DevAccount::Alice).await?;
        let state = channel.state().await?.context("the channel is open")?;
        let transfer = state.contracts.iter().find(|(_, contract)| contract.is_transfer()).map(|(id, _)| *id);
        let contract = transfer.context("a transfer is under way")?;
        let mut guess = Preimage([0; 32]);
        getrandom::fill(&mut guess.0).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        let call = ForcedCall { contract, value: 0, input: ConditionalInput::Claim(guess).encode() };
        match channel.force(vec![call], Certainty::ConfirmedByPeer).await {
            Err(NodeError::Misuse(Misuse::WouldBeRefused(Rejection::CallFailed {
                fault: CallFault::WrongPreimage,
                ..
            }))) => Ok("wrong pre-image".to_owned()),
            other => bail!("a claim by a made-up pre-image should have been refused for it: {other:?}"),
        }
    }
}
