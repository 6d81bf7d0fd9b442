//! Peers and wallets that are processes of their own, from the side of the story.

use crate::{
    TestChain, World,
    peer::{ANSWER, LISTENS, PAID},
    signer, within,
};
use async_trait::async_trait;
use protocol::AccountId;
use sdk::{
    chain::{ChainSignature, NotSigned, Signer},
    keys::PeerAddress,
};
use std::{
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::watch,
};

/// Starts the program. It ends when this value is dropped, and when this process ends, however that comes to be.
fn start<C>(world: &World<C>, arguments: &[&str]) -> (Child, ChildStdin, Lines<BufReader<ChildStdout>>) {
    let mut command = Command::new(world.peer_program());
    let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    (child, stdin, BufReader::new(stdout).lines())
}

/// A node in a process of its own.
#[derive(Debug)]
pub struct PeerProcess {
    /// What it is called.
    pub name: &'static str,
    child: Child,
    stdin: tokio::sync::Mutex<ChildStdin>,
    said: Said,
    commands: AtomicU32,
}

/// Everything that a process has said, and whether it will say no more.
#[derive(Clone, Debug)]
struct Said {
    lines: Arc<Mutex<Vec<String>>>,
    told: watch::Receiver<(usize, bool)>,
}

/// A command that was given, to be answered later.
#[derive(Clone, Copy, Debug)]
pub struct Given(u32);

impl Said {
    fn by(mut lines: Lines<BufReader<ChildStdout>>) -> Self {
        let said = Arc::<Mutex<Vec<String>>>::default();
        let (tell, told) = watch::channel((0, false));
        let kept = Arc::clone(&said);
        let _task = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().unwrap().push(line);
                tell.send_modify(|(count, _over)| *count += 1);
            }
            tell.send_modify(|(_count, over)| *over = true);
        });
        Self { lines: said, told }
    }

    /// The first line that `pick` takes; none where the process has ended without it.
    async fn wait<T>(&self, what: &str, pick: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.wait_all(what, |lines| lines.iter().find_map(|line| pick(line))).await
    }

    /// What `pick` makes of all lines, once it makes something of them; none where the process has ended before.
    async fn wait_all<T>(&self, what: &str, pick: impl Fn(&[String]) -> Option<T>) -> Option<T> {
        let mut told = self.told.clone();
        within(what, async {
            loop {
                let (_count, over) = *told.borrow_and_update();
                let found = pick(&self.lines.lock().unwrap());
                if found.is_some() {
                    return found;
                }
                if over || told.changed().await.is_err() {
                    return None;
                }
            }
        })
        .await
    }

    async fn to_the_end(&self) {
        let mut told = self.told.clone();
        let _over = within("the process to fall silent", told.wait_for(|(_count, over)| *over)).await.unwrap();
    }
}

impl PeerProcess {
    /// Starts the node of `name`, with what its store holds.
    pub async fn start<C: TestChain>(world: &World<C>, name: &'static str) -> Self {
        let (store, arbiter) = (world.store_of(name), world.arbiter.info().domain.arbiter.to_string());
        let chain = world.reached_at();
        let (child, stdin, lines) = start(world, &["node", name, &chain, &arbiter, store.to_str().unwrap()]);
        let stdin = tokio::sync::Mutex::new(stdin);
        let peer = Self { name, child, stdin, said: Said::by(lines), commands: AtomicU32::new(0) };
        let _address = peer.address().await;
        peer
    }

    /// Where it listens.
    pub async fn address(&self) -> PeerAddress {
        let address = |line: &str| line.strip_prefix(LISTENS)?.parse().ok();
        let told = self.said.wait("a process to listen", address).await;
        told.unwrap_or_else(|| panic!("{} ended before it listened: see its log above", self.name))
    }

    /// Gives a command.
    pub async fn tell(&self, command: &str) -> Given {
        let number = self.commands.fetch_add(1, Ordering::Relaxed);
        self.stdin.lock().await.write_all(format!("{number} {command}\n").as_bytes()).await.unwrap();
        Given(number)
    }

    /// The answer to a command: what came of it, or why nothing did.
    ///
    /// # Errors
    /// In the process's words.
    pub async fn answer(&self, Given(number): Given) -> Result<String, String> {
        let prefix = format!("{ANSWER}{number} ");
        let answer = |line: &str| line.strip_prefix(&prefix).map(str::to_owned);
        let answer = self.said.wait(&format!("{}'s answer", self.name), answer).await;
        let answer = answer.unwrap_or_else(|| panic!("{} ended without an answer", self.name));
        match answer.split_once(' ') {
            Some(("ok", words)) => Ok(words.to_owned()),
            Some((_failed, words)) => Err(words.to_owned()),
            None => Err(answer),
        }
    }

    /// Gives a command that succeeds.
    pub async fn does(&self, command: &str) -> String {
        let given = self.tell(command).await;
        self.answer(given).await.unwrap_or_else(|error| panic!("{} cannot {command}: {error}", self.name))
    }

    /// What it has, and its peer.
    pub async fn has(&self, peer: &str) -> (u128, u128) {
        let words = self.does(&format!("has {peer}")).await;
        let (ours, peers) = words.split_once(' ').unwrap();
        (ours.parse().unwrap(), peers.parse().unwrap())
    }

    /// Waits until it has told so many payments, and gives their numbers.
    pub async fn pays_on(&self, count: usize) -> Vec<u32> {
        let enough = |lines: &[String]| Some(paid(lines)).filter(|paid| paid.len() >= count);
        let told = self.said.wait_all("payments", enough).await;
        told.unwrap_or_else(|| panic!("{} ended before it had paid {count} times", self.name))
    }

    /// Kills it, and answers the numbers of all payments that it has told.
    pub async fn kill(mut self) -> Vec<u32> {
        self.child.kill().await.unwrap();
        self.said.to_the_end().await;
        paid(&self.said.lines.lock().unwrap())
    }
}

/// The payments that a process has told, in order.
fn paid(lines: &[String]) -> Vec<u32> {
    lines.iter().filter_map(|line| line.strip_prefix(PAID)?.parse().ok()).collect()
}

/// A key in a process of its own: it signs what it is shown, and that is all that is known of it here.
#[derive(Debug)]
pub struct Wallet {
    account: AccountId,
    asked: AtomicU32,
    line: tokio::sync::Mutex<(Child, ChildStdin, Lines<BufReader<ChildStdout>>)>,
}

impl Wallet {
    /// Starts the wallet of `name`.
    #[must_use]
    pub fn start<C>(world: &World<C>, name: &'static str) -> Self {
        let line = tokio::sync::Mutex::new(start(world, &["wallet", name]));
        Self { account: signer(name).account(), asked: AtomicU32::new(0), line }
    }

    /// How many signatures were asked of it.
    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Ends it for good.
    pub async fn take_away(&self) {
        let (child, ..) = &mut *self.line.lock().await;
        child.kill().await.unwrap();
    }
}

#[async_trait]
impl Signer for Wallet {
    fn account(&self) -> AccountId {
        self.account
    }

    async fn sign(&self, payload: &[u8]) -> Result<ChainSignature, NotSigned> {
        let _count = self.asked.fetch_add(1, Ordering::Relaxed);
        let (_child, to, from) = &mut *self.line.lock().await;
        let gone = || NotSigned("the wallet is gone".into());
        to.write_all(format!("{}\n", hex::encode(payload)).as_bytes()).await.map_err(|_broken| gone())?;
        let line = from.next_line().await.ok().flatten().ok_or_else(gone)?;
        let signature = hex::decode(line).ok().and_then(|bytes| bytes.try_into().ok());
        signature.map(ChainSignature::Sr25519).ok_or_else(|| NotSigned("that is no signature".into()))
    }
}
