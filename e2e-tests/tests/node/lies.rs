//! An endpoint that lies about what a transaction is signed with, or keeps it (R6.9a): whatever is sent is in a block all the same.

use devchain::DevAccount;
use e2e_tests::{NodeChain, UNIT, within};
use protocol::{
    AccountId, Hash,
    crypto::{Crypto, Native},
};
use scale::{Compact, Encode};
use sdk::chain::{Chain, RemoteChain, Signer, Transaction, Urgency, remote::Settings};
use serde_json::{Value, json};
use soketto::{
    Receiver, Sender,
    handshake::{Client, Server, ServerResponse, server::Response},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, watch},
    task::JoinHandle,
};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

type Socket = Compat<TcpStream>;
type Shared = Arc<Mutex<Sender<Socket>>>;

/// What comes first because it defends a channel.
const FIRST: Urgency = Urgency { is_first: true, until: None, tip_max: 0 };
/// The head that a boaster tells of.
const BOAST: u32 = 1_000_000;

/// In what an endpoint lies; it passes everything else on.
#[derive(Clone, Copy, Debug, Default)]
struct Lies {
    /// The next nonce of every account.
    nonce: Option<u64>,
    /// Tells of a finalised head that nobody else has.
    boasts: bool,
    /// What it does with transactions.
    sent: Sent,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sent {
    #[default]
    PassedOn,
    /// Says that it has them.
    Kept,
    /// Says nothing.
    Unanswered,
}

/// What becomes of a question.
enum Asked {
    Passed,
    Answered(Value),
    Ignored,
}

impl Lies {
    fn on_question(&self, question: &Value) -> Asked {
        let first = &question["params"][0];
        match question["method"].as_str().unwrap_or_default() {
            "author_submitAndWatchExtrinsic" if self.sent == Sent::Kept => {
                Asked::Answered(json!(format!("kept {}", question["id"])))
            }
            "author_submitAndWatchExtrinsic" if self.sent == Sent::Unanswered => Asked::Ignored,
            "system_accountNextIndex" if self.nonce.is_some() => Asked::Answered(json!(self.nonce)),
            "chain_getFinalizedHead" if self.boasts => Asked::Answered(json!(boasted().0.to_string())),
            "chain_getBlockHash" if self.boasts && *first == json!(BOAST) => {
                Asked::Answered(json!(boasted().0.to_string()))
            }
            "chain_getHeader" if *first == json!(boasted().0.to_string()) => Asked::Answered(boasted().1),
            _ => Asked::Passed,
        }
    }

    /// Changes what the node tells of finalised heads.
    fn on_news(&self, news: &mut Value) {
        if self.boasts && news["method"] == json!("chain_finalizedHead") {
            news["params"]["result"] = boasted().1;
        }
    }
}

/// A header that no chain has, and its hash.
fn boasted() -> (Hash, Value) {
    let zero = Hash::ZERO;
    let hash = Native.hash(&(zero, Compact(BOAST), zero, zero, Compact(0_u32)).encode());
    let header = json!({
        "parentHash": zero.to_string(),
        "number": format!("{BOAST:#x}"),
        "stateRoot": zero.to_string(),
        "extrinsicsRoot": zero.to_string(),
        "digest": { "logs": [] },
    });
    (hash, header)
}

/// Stands between clients and a node.
struct Liar {
    address: SocketAddr,
    lies: watch::Sender<Lies>,
    accepting: JoinHandle<()>,
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Liar {
    async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, lies) = (listener.local_addr().unwrap(), watch::Sender::default());
        let told = lies.subscribe();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _task = tokio::spawn(relay(stream, port, told.clone()));
            }
        });
        Self { address, lies, accepting }
    }

    fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    fn lies(&self, change: impl FnOnce(&mut Lies)) {
        self.lies.send_modify(change);
    }

    /// Settings for the liar first, and then the node itself.
    fn then(&self, chain: &NodeChain) -> Settings {
        let settings = Settings::for_instant_seal(self.url());
        Settings { endpoints: vec![self.url(), chain.url()], ..settings }
    }
}

/// Stands between a client and a node until one of them is gone.
async fn relay(stream: TcpStream, port: u16, lies: watch::Receiver<Lies>) -> Option<()> {
    let mut server = Server::new(stream.compat());
    let key = server.receive_request().await.ok()?.key();
    server.send_response(&Response::Accept { key, protocol: None }).await.ok()?;
    let node = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let host = format!("127.0.0.1:{port}");
    let mut client = Client::new(node.compat(), &host, "/");
    let ServerResponse::Accepted { .. } = client.handshake().await.ok()? else { return None };
    let (to_client, from_client) = server.into_builder().finish();
    let (to_node, from_node) = client.into_builder().finish();
    let (to_client, to_node) = (Arc::new(Mutex::new(to_client)), Arc::new(Mutex::new(to_node)));
    tokio::select! {
        done = questions(from_client, &to_node, &to_client, &lies) => done,
        done = answers(from_node, &to_client, &lies) => done,
    }
}

async fn questions(
    mut from: Receiver<Socket>,
    to_node: &Shared,
    to_client: &Shared,
    lies: &watch::Receiver<Lies>,
) -> Option<()> {
    loop {
        let question = receive(&mut from).await?;
        let now = *lies.borrow();
        match now.on_question(&question) {
            Asked::Passed => send(to_node, &question).await?,
            Asked::Answered(result) => {
                let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": result });
                send(to_client, &answer).await?;
            }
            Asked::Ignored => {}
        }
    }
}

async fn answers(mut from: Receiver<Socket>, to_client: &Shared, lies: &watch::Receiver<Lies>) -> Option<()> {
    loop {
        let mut answer = receive(&mut from).await?;
        let now = *lies.borrow();
        now.on_news(&mut answer);
        send(to_client, &answer).await?;
    }
}

async fn receive(from: &mut Receiver<Socket>) -> Option<Value> {
    let mut bytes = Vec::new();
    let _kind = from.receive_data(&mut bytes).await.ok()?;
    serde_json::from_slice(&bytes).ok()
}

async fn send(to: &Shared, message: &Value) -> Option<()> {
    let mut to = to.lock().await;
    to.send_text(message.to_string()).await.ok()?;
    to.flush().await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_defends_a_channel_is_in_a_block_though_the_endpoint_in_use_makes_its_nonce_up() {
    let Some(chain) = NodeChain::start_bare().await else { return };
    let (from, to) = (DevAccount::Dave.signer(), AccountId([5; 32]));
    let transfer = Transaction::Transfer { to, amount: UNIT };
    let dry_run = chain.remote().dry_run(&from.account(), &transfer).await.unwrap();
    let _receipt = within("a block", chain.remote().submit(&from, transfer.clone(), &dry_run)).await.unwrap();
    let liar = Liar::before(chain.port()).await;
    for nonce in [1_000, 0] {
        liar.lies(|lies| lies.nonce = Some(nonce));
        let client = within("a client", RemoteChain::connect(liar.then(&chain))).await.unwrap();
        let sending = client.submit_urgently(&from, transfer.clone(), &dry_run, FIRST);
        let sent = within("a block", sending).await;
        assert!(sent.is_ok(), "told of nonce {nonce}: {sent:?}");
    }
    assert_eq!(chain.remote().free_balance(&to).await.unwrap(), 3 * UNIT);
}

/// What is signed for blocks after a head that nobody else has is in no block, and its era is never over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_signed_after_a_made_up_head_is_in_a_block_once_all_the_same() {
    let Some(chain) = NodeChain::start_bare().await else { return };
    let (from, to) = (DevAccount::Dave.signer(), AccountId([5; 32]));
    let transfer = Transaction::Transfer { to, amount: UNIT };
    let dry_run = chain.remote().dry_run(&from.account(), &transfer).await.unwrap();
    let liar = Liar::before(chain.port()).await;
    let client = within("a client", RemoteChain::connect(liar.then(&chain))).await.unwrap();
    liar.lies(|lies| (lies.boasts, lies.sent) = (true, Sent::Kept));
    // A block, and with it news of a head.
    let _receipt = within("a block", chain.remote().submit(&from, transfer.clone(), &dry_run)).await.unwrap();
    let _boasted = within("the made-up head", client.reached(BOAST)).await;
    let sent = within("a block", client.submit(&from, transfer, &dry_run)).await;
    assert!(sent.is_ok(), "{sent:?}");
    assert_eq!(chain.remote().free_balance(&to).await.unwrap(), 2 * UNIT);
}

/// The account's other calls wait for their turn meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_defends_a_channel_does_not_wait_for_the_endpoint_in_use_to_say_something() {
    let Some(chain) = NodeChain::start_bare().await else { return };
    let (from, to) = (DevAccount::Dave.signer(), AccountId([5; 32]));
    let transfer = Transaction::Transfer { to, amount: UNIT };
    let dry_run = chain.remote().dry_run(&from.account(), &transfer).await.unwrap();
    let liar = Liar::before(chain.port()).await;
    liar.lies(|lies| lies.sent = Sent::Unanswered);
    let settings = Settings { request_timeout: Duration::from_secs(3_600), ..liar.then(&chain) };
    let client = within("a client", RemoteChain::connect(settings)).await.unwrap();
    let send = || client.submit_urgently(&from, transfer.clone(), &dry_run, FIRST);
    let sent = within("two blocks", async { tokio::join!(send(), send()) }).await;
    assert!(sent.0.is_ok() && sent.1.is_ok(), "{sent:?}");
    assert_eq!(chain.remote().free_balance(&to).await.unwrap(), 2 * UNIT);
}
