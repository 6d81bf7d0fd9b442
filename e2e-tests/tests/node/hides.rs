//! An endpoint that hides what was registered (R8.31): nothing is known for that.

use channel::transfer::Registered;
use e2e_tests::within;
use protocol::{
    call::Call,
    contracts::conditional::{HashFunction, Preimage},
    crypto::Native,
};
use sdk::{
    chain::{Arbiter, RemoteChain, arbiter::selector, remote::Settings},
    node::{Interest, Node, NodeConfig},
};
use serde_json::{Value, json};
use soketto::{
    Receiver, Sender,
    handshake::{Client, Server, ServerResponse, server::Response},
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

type Socket = Compat<TcpStream>;

/// Passes on what is asked of a node, and what it answers, but for what it lies about.
struct Liar {
    address: SocketAddr,
    lies: watch::Sender<Lies>,
    accepting: JoinHandle<()>,
}

/// What it says in place of the truth.
#[derive(Clone, Debug, Default)]
struct Lies {
    nonce: Option<u64>,
    /// Whether something was registered: what it had answered first.
    registered: Option<Value>,
    /// It goes on saying that.
    repeats: bool,
}

/// What a question is about.
#[derive(Clone, Copy, Debug)]
enum About {
    Nonce,
    Registered,
}

impl About {
    fn of(question: &Value) -> Option<Self> {
        match question["method"].as_str()? {
            "system_accountNextIndex" => Some(Self::Nonce),
            "state_call" => {
                let asked: String = selector("preimage_shown_at").iter().map(|byte| format!("{byte:02x}")).collect();
                question["params"][1].as_str()?.contains(&asked).then_some(Self::Registered)
            }
            _ => None,
        }
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Liar {
    async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, lies) = (listener.local_addr().unwrap(), watch::Sender::new(Lies::default()));
        let told = lies.clone();
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
}

/// Stands between a client and a node until one of them is gone.
async fn relay(stream: TcpStream, port: u16, lies: watch::Sender<Lies>) -> Option<()> {
    let mut server = Server::new(stream.compat());
    let key = server.receive_request().await.ok()?.key();
    server.send_response(&Response::Accept { key, protocol: None }).await.ok()?;
    let node = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let host = format!("127.0.0.1:{port}");
    let mut client = Client::new(node.compat(), &host, "/");
    let ServerResponse::Accepted { .. } = client.handshake().await.ok()? else { return None };
    let (to_client, from_client) = server.into_builder().finish();
    let (to_node, from_node) = client.into_builder().finish();
    // The questions that it lies about, by their ids.
    let asked: Arc<Mutex<HashMap<String, About>>> = Arc::default();
    let note = |question: &mut Value| {
        if let Some(about) = About::of(question) {
            let _new = asked.lock().unwrap().insert(question["id"].to_string(), about);
        }
    };
    let lie = |answer: &mut Value| match asked.lock().unwrap().remove(&answer["id"].to_string()) {
        Some(About::Nonce) => {
            if let Some(nonce) = lies.borrow().nonce {
                answer["result"] = json!(nonce);
            }
        }
        Some(About::Registered) => lies.send_modify(|lies| {
            let first = lies.registered.get_or_insert_with(|| answer["result"].clone());
            if lies.repeats {
                answer["result"] = first.clone();
            }
        }),
        None => {}
    };
    tokio::select! {
        done = pass(from_client, to_node, note) => done,
        done = pass(from_node, to_client, lie) => done,
    }
}

async fn pass(mut from: Receiver<Socket>, mut to: Sender<Socket>, change: impl Fn(&mut Value)) -> Option<()> {
    loop {
        let mut bytes = Vec::new();
        let _kind = from.receive_data(&mut bytes).await.ok()?;
        let mut message = serde_json::from_slice(&bytes).ok()?;
        change(&mut message);
        to.send_text(message.to_string()).await.ok()?;
        to.flush().await.ok()?;
    }
}

/// What is registered was shown, and one endpoint says that it was not: with one other endpoint nothing is known, with two the truth is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_hides_what_was_registered_has_nobody_believe_that_it_was_not() {
    let Some(world) = crate::world().await else { return };
    let liar = Liar::before(world.chain.port()).await;
    let honest = world.chain.url();
    let (preimage, function) = (Preimage([7; 32]), HashFunction::Blake2b256);
    let lock = preimage.lock(function, &Native);
    let through = async |endpoints: Vec<String>, name: &str| {
        let settings = Settings { endpoints, ..Settings::for_instant_seal(liar.url()) };
        let chain = Arc::new(within("a client", RemoteChain::connect(settings)).await.unwrap());
        let address = world.arbiter.info().domain.arbiter;
        let arbiter = Arc::new(within("the arbiter", Arbiter::attach(chain, address, None)).await.unwrap());
        Node::start(NodeConfig { arbiter, ..world.config(name) }).await.unwrap()
    };
    let alice = through(vec![liar.url(), honest.clone()], "alice").await;
    let registry = alice.registry().clone();
    let silent = |known| matches!(known, Registered::Silent { .. });
    let far = registry.best() + 500;
    let first = registry.watch(lock, far, Interest::Paid);
    registry.ask(&lock);
    let mut changes = registry.changes();
    within("the truth, so far", async {
        while !silent(registry.registered(&lock)) {
            changes.changed().await.unwrap();
        }
    })
    .await;
    drop(first);
    // From now on it repeats that.
    liar.lies.send_modify(|lies| lies.repeats = true);
    let call = Call::PreimageRegister { preimage, function };
    let shown = within("a registration", world.arbiter.call(&e2e_tests::signer("bob"), &call, 0)).await.unwrap();
    let at = shown.receipt.block.number;
    let [alone, with_two] = [vec![liar.url(), honest.clone()], vec![liar.url(), honest.clone(), honest.clone()]];
    let two = through(with_two, "hub").await;
    let _watching = two.registry().watch(lock, at + 1, Interest::Paid);
    let known = within("the truth", two.registry().settled(&lock, at + 1)).await;
    assert_eq!(known, Registered::Shown { at });
    let one = through(alone, "mallory").await;
    let expiry = at + 2;
    let _watching = one.registry().watch(lock, expiry, Interest::Paid);
    for _ in 0..4 {
        let mut changes = one.registry().changes();
        let head = one.registry().finalised();
        world.pass(1).await;
        within("the block", async {
            while one.registry().finalised() <= head {
                changes.changed().await.unwrap();
            }
        })
        .await;
        assert_eq!(one.registry().registered(&lock), Registered::Unknown, "two voices say different things");
    }
    for node in [alice, two, one] {
        node.stop().await;
    }
}
