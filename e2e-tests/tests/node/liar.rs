//! An endpoint that lies, and how: it stands between clients and a node.

use e2e_tests::NodeChain;
use protocol::{
    Hash,
    crypto::{Crypto, Native},
};
use scale::{Compact, Encode};
use sdk::chain::{arbiter::selector, remote::Settings};
use serde_json::{Value, json};
use soketto::{
    Receiver, Sender,
    handshake::{Client, Server, ServerResponse, server::Response},
};
use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, watch},
    task::JoinHandle,
};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

type Socket = Compat<TcpStream>;
type Shared = Arc<Mutex<Sender<Socket>>>;

/// The head that a boaster tells of.
pub(crate) const BOAST: u32 = 1_000_000;

/// In what an endpoint lies; it passes everything else on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lies {
    /// The next nonce of every account.
    pub(crate) nonce: Option<u64>,
    /// Tells of a finalised head that nobody else has.
    pub(crate) boasts: bool,
    /// What it does with transactions.
    pub(crate) sent: Sent,
    /// Answers whether a lock was registered as it has answered that first.
    pub(crate) hides: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sent {
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

/// What was answered first of registrations.
#[derive(Debug, Default)]
struct Registrations {
    /// The questions that have no answer yet, by their ids.
    asked: std::sync::Mutex<HashSet<String>>,
    first: OnceLock<Value>,
}

impl Registrations {
    /// Notes a question about a registration. What it was answered first, where it is one.
    fn on_question(&self, question: &Value) -> Option<&Value> {
        let asked: String = selector("preimage_shown_at").iter().map(|byte| format!("{byte:02x}")).collect();
        let is_one = question["method"] == json!("state_call")
            && question["params"][1].as_str().is_some_and(|params| params.contains(&asked));
        if is_one {
            let _new = self.asked.lock().unwrap().insert(question["id"].to_string());
        }
        self.first.get().filter(|_| is_one)
    }

    fn on_answer(&self, answer: &Value) {
        if self.asked.lock().unwrap().remove(&answer["id"].to_string()) {
            let _first = self.first.get_or_init(|| answer["result"].clone());
        }
    }
}

/// Stands between clients and a node.
pub(crate) struct Liar {
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
    pub(crate) async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, lies) = (listener.local_addr().unwrap(), watch::Sender::default());
        let (told, registrations) = (lies.subscribe(), Arc::<Registrations>::default());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _task = tokio::spawn(relay(stream, port, told.clone(), Arc::clone(&registrations)));
            }
        });
        Self { address, lies, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub(crate) fn lies(&self, change: impl FnOnce(&mut Lies)) {
        self.lies.send_modify(change);
    }

    /// Settings for the liar first, and then the node itself.
    pub(crate) fn then(&self, chain: &NodeChain) -> Settings {
        let settings = Settings::for_instant_seal(self.url());
        Settings { endpoints: vec![self.url(), chain.url()], ..settings }
    }
}

/// Stands between a client and a node until one of them is gone.
async fn relay(
    stream: TcpStream,
    port: u16,
    lies: watch::Receiver<Lies>,
    registrations: Arc<Registrations>,
) -> Option<()> {
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
        done = questions(from_client, &to_node, &to_client, (&lies, &registrations)) => done,
        done = answers(from_node, &to_client, (&lies, &registrations)) => done,
    }
}

async fn questions(
    mut from: Receiver<Socket>,
    to_node: &Shared,
    to_client: &Shared,
    (lies, registrations): (&watch::Receiver<Lies>, &Registrations),
) -> Option<()> {
    loop {
        let question = receive(&mut from).await?;
        let now = *lies.borrow();
        let hidden = registrations.on_question(&question).filter(|_| now.hides).cloned();
        match hidden.map_or_else(|| now.on_question(&question), Asked::Answered) {
            Asked::Passed => send(to_node, &question).await?,
            Asked::Answered(result) => {
                let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": result });
                send(to_client, &answer).await?;
            }
            Asked::Ignored => {}
        }
    }
}

async fn answers(
    mut from: Receiver<Socket>,
    to_client: &Shared,
    (lies, registrations): (&watch::Receiver<Lies>, &Registrations),
) -> Option<()> {
    loop {
        let mut answer = receive(&mut from).await?;
        registrations.on_answer(&answer);
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
