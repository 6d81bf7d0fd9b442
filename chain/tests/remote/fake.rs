//! An endpoint that is bad in every way a story needs: it answers a handful of questions about a chain of empty blocks. It stands in for
//! a node that fails, never for one that works.

use protocol::{
    BlockNumber, Hash,
    crypto::{Crypto, Native},
};
use scale::{Compact, Encode};
use serde_json::{Value, json};
use soketto::{
    Sender,
    handshake::{Server, server::Response},
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

/// A chain of empty blocks, told apart from others by its seed.
#[derive(Clone, Debug)]
pub struct Blocks {
    headers: Vec<(Hash, Value)>,
}

impl Blocks {
    /// A chain up to block `last`. From block `fork` on, `history` makes it differ from others with the same seed.
    pub fn new(seed: u8, last: BlockNumber, fork: BlockNumber, history: u8) -> Self {
        let mut headers: Vec<(Hash, Value)> = Vec::new();
        for number in 0..=last {
            let parent = headers.last().map_or(Hash::ZERO, |(hash, _)| *hash);
            let state = Hash([if number >= fork { history } else { 0 }; 32]);
            let extrinsics = Hash([seed; 32]);
            let hash = Native.hash(&(parent, Compact(number), state, extrinsics, Compact(0_u32)).encode());
            let header = json!({
                "parentHash": parent.to_string(),
                "number": format!("{number:#x}"),
                "stateRoot": state.to_string(),
                "extrinsicsRoot": extrinsics.to_string(),
                "digest": { "logs": [] },
            });
            headers.push((hash, header));
        }
        Self { headers }
    }

    pub fn hash(&self, number: BlockNumber) -> Hash {
        self.headers[usize::try_from(number).unwrap()].0
    }

    fn header(&self, hash: &str) -> Option<&Value> {
        self.headers.iter().find(|(known, _)| known.to_string() == hash).map(|(_, header)| header)
    }
}

/// What the endpoint knows, and how it behaves.
#[derive(Clone, Debug)]
pub struct Behaviour {
    pub blocks: Blocks,
    /// The finalised head.
    pub head: BlockNumber,
    /// The newest block, where it is not the finalised head.
    pub best: BlockNumber,
    /// States below it are discarded.
    pub keeps_from: BlockNumber,
    /// Answers nothing but a word.
    pub talks_nonsense: bool,
    /// Takes questions and answers none, once the first block was asked for.
    pub is_mute: bool,
    /// Knows no block by its number but the first.
    pub keeps_no_numbers: bool,
    /// How many questions about blocks other than the first are answered with "too many requests", while its heads flow.
    pub limits: usize,
    /// The events of every block, as they are stored.
    pub events: Option<Vec<u8>>,
    /// What a call of the runtime is answered with.
    pub answer: Option<Vec<u8>>,
    /// The next nonce of every account.
    pub nonce: u64,
}

impl Behaviour {
    /// The newest block.
    fn best(&self) -> BlockNumber {
        self.best.max(self.head)
    }

    const fn new(blocks: Blocks, head: BlockNumber) -> Self {
        Self {
            blocks,
            head,
            best: 0,
            keeps_from: 0,
            talks_nonsense: false,
            is_mute: false,
            keeps_no_numbers: false,
            limits: 0,
            events: None,
            answer: None,
            nonce: 0,
        }
    }
}

/// A listening endpoint. Dropped, it is gone.
pub struct Fake {
    address: SocketAddr,
    behaviour: watch::Sender<Behaviour>,
    connections: Arc<Mutex<JoinSet<()>>>,
    accepting: Option<JoinHandle<()>>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.vanish();
    }
}

impl Fake {
    pub async fn start(blocks: Blocks, head: BlockNumber) -> Self {
        let behaviour = Behaviour::new(blocks, head);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut fake =
            Self { address, behaviour: watch::Sender::new(behaviour), connections: Arc::default(), accepting: None };
        fake.accept(listener);
        fake
    }

    /// Listens again where `gone` did, with what it knew.
    pub async fn resurrect(gone: &Self) -> Self {
        let Behaviour { blocks, head, .. } = gone.behaviour.borrow().clone();
        Self::resurrect_with(gone, blocks, head).await
    }

    /// Listens again where `gone` did, with another chain.
    pub async fn resurrect_with(gone: &Self, blocks: Blocks, head: BlockNumber) -> Self {
        let behaviour = Behaviour::new(blocks, head);
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        // The listener before it may be on its way out.
        while socket.bind(gone.address).is_err() {
            tokio::task::yield_now().await;
        }
        let mut fake = Self {
            address: gone.address,
            behaviour: watch::Sender::new(behaviour),
            connections: Arc::default(),
            accepting: None,
        };
        fake.accept(socket.listen(64).unwrap());
        fake
    }

    fn accept(&mut self, listener: TcpListener) {
        let (behaviour, connections) = (self.behaviour.clone(), Arc::clone(&self.connections));
        self.accepting = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serve(stream, behaviour.clone());
                let _task = connections.lock().unwrap().spawn(serving);
            }
        }));
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        self.behaviour.send_modify(change);
    }

    /// The finalised head moves on to `head`.
    pub fn finalise(&self, head: BlockNumber) {
        self.change(|behaviour| behaviour.head = head);
    }

    /// Ends every connection; new ones are taken.
    pub fn cut(&self) {
        self.connections.lock().unwrap().abort_all();
    }

    /// Ends every connection and listens no more.
    pub fn vanish(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
        self.cut();
    }
}

type Socket = Compat<TcpStream>;
type Shared = Arc<tokio::sync::Mutex<Sender<Socket>>>;

async fn serve(stream: TcpStream, behaviour: watch::Sender<Behaviour>) {
    let mut server = Server::new(stream.compat());
    let Ok(key) = server.receive_request().await.map(|request| request.key()) else { return };
    if server.send_response(&Response::Accept { key, protocol: None }).await.is_err() {
        return;
    }
    let (sender, mut receiver) = server.into_builder().finish();
    let sender: Shared = Arc::new(tokio::sync::Mutex::new(sender));
    let mut told = JoinSet::new();
    loop {
        let mut bytes = Vec::new();
        if receiver.receive_data(&mut bytes).await.is_err() {
            return;
        }
        let Ok(question) = serde_json::from_slice::<Value>(&bytes) else { return };
        let now = behaviour.borrow().clone();
        if now.talks_nonsense {
            send(&sender, &json!("nonsense")).await;
            continue;
        }
        let method = question["method"].as_str().unwrap_or_default();
        let mut answer = json!({ "jsonrpc": "2.0", "id": question["id"] });
        if now.is_mute && question["params"][0] != json!(0) {
            continue;
        }
        if now.limits > 0 && method == "chain_getBlockHash" && question["params"][0] != json!(0) {
            behaviour.send_modify(|now| now.limits -= 1);
            answer["error"] = json!({ "code": -32005, "message": "Too Many Requests" });
            send(&sender, &answer).await;
            continue;
        }
        match reply(&now, method, &question["params"]) {
            Ok(result) => answer["result"] = result,
            Err(error) => answer["error"] = error,
        }
        send(&sender, &answer).await;
        if method == "chain_subscribeFinalizedHeads" {
            let _task = told.spawn(tell(Arc::clone(&sender), behaviour.subscribe(), FINALISED));
        }
        if method == "chain_subscribeNewHeads" {
            let _task = told.spawn(tell(Arc::clone(&sender), behaviour.subscribe(), NEWEST));
        }
    }
}

fn reply(now: &Behaviour, method: &str, parameters: &Value) -> Result<Value, Value> {
    let hash_at = |place: usize| parameters[place].as_str().unwrap_or_default().to_owned();
    match method {
        "chain_getBlockHash" => {
            let number = parameters[0].as_u64().unwrap();
            let is_known = number <= u64::from(now.best()) && (number == 0 || !now.keeps_no_numbers);
            let hash = is_known.then(|| now.blocks.hash(number.try_into().unwrap()).to_string());
            Ok(json!(hash))
        }
        "chain_getFinalizedHead" => Ok(json!(now.blocks.hash(now.head).to_string())),
        "chain_getHeader" => Ok(now.blocks.header(&hash_at(0)).cloned().unwrap_or(Value::Null)),
        "chain_subscribeFinalizedHeads" => Ok(json!("heads")),
        "chain_subscribeNewHeads" => Ok(json!("newest")),
        "system_accountNextIndex" => Ok(json!(now.nonce)),
        "state_getStorage" | "state_getStorageHash" | "state_getRuntimeVersion" | "state_call" => {
            let hash = hash_at(match method {
                "state_getStorage" | "state_getStorageHash" => 1,
                "state_call" => 2,
                _ => 0,
            });
            let number = now.blocks.header(&hash).and_then(|header| {
                BlockNumber::from_str_radix(header["number"].as_str()?.trim_start_matches("0x"), 16).ok()
            });
            match number {
                None => Err(
                    json!({ "code": 4003, "message": format!("Client error: UnknownBlock: header not found: {hash}") }),
                ),
                Some(number) if number < now.keeps_from => Err(
                    json!({ "code": 4003, "message": format!("Client error: UnknownBlock: State already discarded for {hash}") }),
                ),
                Some(_) if method == "state_getStorageHash" => {
                    Ok(json!(now.events.as_deref().map(|events| Native.hash(events).to_string())))
                }
                Some(_) if method == "state_getStorage" => Ok(json!(now.events.as_deref().map(text))),
                Some(_) if method == "state_call" && now.answer.is_some() => Ok(json!(now.answer.as_deref().map(text))),
                Some(_) => Err(json!({ "code": -32000, "message": "this endpoint runs nothing" })),
            }
        }
        _ => Err(json!({ "code": -32601, "message": "Method not found" })),
    }
}

fn text(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("0x{digits}")
}

/// A subscription: how its news are called, its id, and which block it is about.
type News = (&'static str, &'static str, fn(&Behaviour) -> BlockNumber);

const FINALISED: News = ("chain_finalizedHead", "heads", |now| now.head);
const NEWEST: News = ("chain_newHead", "newest", Behaviour::best);

async fn tell(sender: Shared, mut behaviour: watch::Receiver<Behaviour>, (method, id, which): News) {
    let mut last = None;
    loop {
        let now = behaviour.borrow_and_update().clone();
        let hash = now.blocks.hash(which(&now));
        if last.replace(hash) != Some(hash) {
            let header = now.blocks.header(&hash.to_string()).unwrap();
            let news = json!({
                "jsonrpc": "2.0",
                "method": method,
                "params": { "subscription": id, "result": header },
            });
            send(&sender, &news).await;
        }
        if behaviour.changed().await.is_err() {
            return;
        }
    }
}

async fn send(sender: &Shared, value: &Value) {
    let mut sender = sender.lock().await;
    let _gone = sender.send_text(value.to_string()).await;
    let _gone = sender.flush().await;
}
