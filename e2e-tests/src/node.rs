//! A real node for stories: a process of its own on a free port, which ends with whoever started it, however that one ends.

use crate::{
    PATIENCE, TestChain, account,
    seal::Seal,
    until, within,
    world::{CAST, ENDOWMENT},
};
use async_trait::async_trait;
use devchain::DevAccount;
use futures::future::join_all;
use protocol::{AccountId, Amount, BlockNumber};
use scale::Decode;
use sdk::chain::{Chain, Receipt, RemoteChain, SharedChain, Signer, Transaction, remote::Settings};
use std::{
    env,
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};
use subxt::rpcs::{RpcClient, rpc_params};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::Mutex,
};

/// Names the node's program: `scripts/node.sh --build-only` prints its path.
const PROGRAM: &str = "CONTRACTS_NODE";
/// Our own node's name: any other program is the official one, which `SCRIPT` runs.
const OURS: &str = "channel-dev-node";
/// Gives the official node what ours has: an address on the first line, and an end when its input ends.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/node.sh");
/// Where a state has all coins there are: the hashes of `Balances` and `TotalIssuance`.
const TOTAL_ISSUANCE: &str = "0xc2261276cc9d1f8598ea4b6a74b15c2f57c875e4cff74148e4628f264b974c80";

/// A node, and a client of it. Blocks are final as soon as they are made; each transaction makes one.
#[derive(Debug)]
pub struct NodeChain {
    client: RemoteChain,
    port: u16,
    process: Mutex<Process>,
    how: How,
}

/// How the node is started, again and again.
#[derive(Debug)]
struct How {
    program: PathBuf,
    directory: TempDir,
    manual_seal: bool,
    /// Seconds.
    final_after: u8,
}

#[derive(Debug)]
struct Process {
    child: Child,
    rpc: RpcClient,
    seal: Seal,
}

/// How long a killed node may take to be gone: beyond it the test ends all the same.
const GONE: Duration = Duration::from_secs(5);

impl Drop for Process {
    /// Nothing of a story outlives it.
    fn drop(&mut self) {
        let _gone_already = self.child.start_kill();
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && began.elapsed() < GONE {
            std::thread::yield_now();
        }
    }
}

impl NodeChain {
    /// Starts a node on which the cast is rich, or says why not and answers none where no node is configured.
    pub async fn start() -> Option<Self> {
        Self::start_with_finality(0).await
    }

    /// As [`start`](Self::start), with blocks that are final so many seconds after they are made.
    pub async fn start_with_finality(seconds: u8) -> Option<Self> {
        let chain = Self::start_how(false, seconds).await?;
        let funding = CAST.map(|name| chain.fund(account(name), ENDOWMENT));
        let _receipts = within("the cast to be funded", join_all(funding)).await;
        Some(chain)
    }

    /// As [`start`](Self::start), with nobody rich but the development accounts.
    pub async fn start_bare() -> Option<Self> {
        Self::start_how(false, 0).await
    }

    /// As [`start_bare`](Self::start_bare), with blocks only when told to; none where the node cannot.
    pub async fn start_with_manual_seal() -> Option<Self> {
        Self::start_how(true, 0).await
    }

    async fn start_how(manual_seal: bool, final_after: u8) -> Option<Self> {
        let Some(program) = env::var_os(PROGRAM) else {
            println!("SKIPPED: {PROGRAM} names no node; run `just e2e`, which builds one");
            return None;
        };
        let how =
            How { program: PathBuf::from(program), directory: tempfile::tempdir().unwrap(), manual_seal, final_after };
        if manual_seal && !how.is_ours() {
            println!("SKIPPED: the official node makes blocks by itself");
            return None;
        }
        let (process, port) = how.launch(0).await;
        let client = within("a client", RemoteChain::connect(settings(port))).await.unwrap();
        Some(Self { client, port, process: Mutex::new(process), how })
    }

    /// Where it is reached.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// The port on which it is reached.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The client that stories use.
    #[must_use]
    pub const fn remote(&self) -> &RemoteChain {
        &self.client
    }

    /// Sends coins from the richest account.
    pub async fn fund(&self, to: AccountId, amount: Amount) -> Receipt {
        let rich = DevAccount::Alice.signer();
        let transfer = Transaction::Transfer { to, amount };
        let dry_run = self.client.dry_run(&rich.account(), &transfer).await.unwrap();
        self.client.submit(&rich, transfer, &dry_run).await.unwrap()
    }

    /// Ends the node in peace.
    pub async fn stop(&self) {
        let mut process = self.process.lock().await;
        drop(process.child.stdin.take());
        let _status = within("the node to end", process.child.wait()).await.unwrap();
    }

    /// How many transactions wait in its pool.
    pub async fn pool_length(&self) -> usize {
        let process = self.process.lock().await;
        let waiting: Vec<String> = process.rpc.request("author_pendingExtrinsics", rpc_params![]).await.unwrap();
        waiting.len()
    }

    /// Starts it again on the same chain and port, with an empty pool.
    pub async fn start_again(&self) {
        let mut process = self.process.lock().await;
        *process = self.how.launch(self.port).await.0;
    }
}

/// The client's settings for such a node.
fn settings(port: u16) -> Settings {
    Settings { patience: PATIENCE, ..Settings::for_instant_seal(format!("ws://127.0.0.1:{port}")) }
}

impl How {
    fn is_ours(&self) -> bool {
        self.program.ends_with(OURS)
    }

    async fn launch(&self, port: u16) -> (Process, u16) {
        let mut command = Command::new(if self.is_ours() { self.program.as_os_str() } else { SCRIPT.as_ref() });
        let _command = command
            .args(["--base-path".as_ref(), self.directory.path().as_os_str()])
            .args([
                "--rpc-port",
                &port.to_string(),
                "--finalize-delay-sec",
                &self.final_after.to_string(),
                "--until-stdin-closes",
                "--log",
                "error",
            ])
            .args(self.manual_seal.then_some("--manual-seal"))
            // Stories count the coins of all blocks at their end; ours keeps every state anyway.
            .args(if self.is_ours() { &[][..] } else { &["--state-pruning", "archive"] })
            // Its other end closes with this process, and the node ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let program = self.program.display();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = within("the node's address", lines.next_line()).await.unwrap();
        let address = address.unwrap_or_else(|| panic!("{program} said nothing: see its log above"));
        let port = address.rsplit_once(':').and_then(|(_, port)| port.trim().parse().ok());
        let port = port.unwrap_or_else(|| panic!("{address:?} is no address"));
        let url = format!("ws://127.0.0.1:{port}");
        let connect = || async { RpcClient::from_insecure_url(&url).await.ok() };
        let rpc = until("the node to answer", connect).await;
        let seal = if self.is_ours() { Seal::OnDemand } else { Seal::by_transactions(&rpc).await };
        (Process { child, rpc, seal }, port)
    }
}

#[async_trait]
impl TestChain for NodeChain {
    fn client(&self) -> SharedChain {
        Arc::new(self.client.clone())
    }

    async fn produce_blocks(&self, count: u32) {
        let best = {
            let process = self.process.lock().await;
            process.seal.produce(&process.rpc, count).await
        };
        let _head = within("the blocks to be final", self.client.reached(best)).await;
    }

    async fn block_number(&self) -> BlockNumber {
        self.client.finalised_head().await.unwrap().number
    }

    async fn total_issuance(&self) -> Amount {
        let head = self.client.finalised_head().await.unwrap().hash.to_string();
        let process = self.process.lock().await;
        let text: String = process.rpc.request("state_getStorage", rpc_params![TOTAL_ISSUANCE, head]).await.unwrap();
        let bytes = hex::decode(text.trim_start_matches("0x")).unwrap();
        Amount::decode(&mut &*bytes).unwrap()
    }

    fn url(&self) -> Option<String> {
        Some(Self::url(self))
    }
}
