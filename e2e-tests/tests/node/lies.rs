//! An endpoint that lies about what a transaction is signed with (R6.9a): whatever defends a channel is in a block all the same.

use devchain::DevAccount;
use e2e_tests::{NodeChain, UNIT, within};
use protocol::AccountId;
use sdk::chain::{Chain, RemoteChain, Signer, Transaction, Urgency, remote::Settings};
use serde_json::{Value, json};
use soketto::{
    Receiver, Sender,
    handshake::{Client, Server, ServerResponse, server::Response},
};
use std::{
    collections::HashSet,
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

/// Passes on what is asked of a node, and what it answers, but for nonces.
struct Liar {
    address: SocketAddr,
    nonce: watch::Sender<u64>,
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
        let (address, nonce) = (listener.local_addr().unwrap(), watch::Sender::new(0));
        let lies = nonce.subscribe();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _task = tokio::spawn(relay(stream, port, lies.clone()));
            }
        });
        Self { address, nonce, accepting }
    }

    fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

/// Stands between a client and a node until one of them is gone.
async fn relay(stream: TcpStream, port: u16, lies: watch::Receiver<u64>) -> Option<()> {
    let mut server = Server::new(stream.compat());
    let key = server.receive_request().await.ok()?.key();
    server.send_response(&Response::Accept { key, protocol: None }).await.ok()?;
    let node = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let host = format!("127.0.0.1:{port}");
    let mut client = Client::new(node.compat(), &host, "/");
    let ServerResponse::Accepted { .. } = client.handshake().await.ok()? else { return None };
    let (to_client, from_client) = server.into_builder().finish();
    let (to_node, from_node) = client.into_builder().finish();
    // The questions about nonces, by their ids.
    let asked: Arc<Mutex<HashSet<String>>> = Arc::default();
    let note = |question: &mut Value| {
        if question["method"] == json!("system_accountNextIndex") {
            let _new = asked.lock().unwrap().insert(question["id"].to_string());
        }
    };
    let lie = |answer: &mut Value| {
        if asked.lock().unwrap().remove(&answer["id"].to_string()) {
            answer["result"] = json!(*lies.borrow());
        }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_defends_a_channel_is_in_a_block_though_the_endpoint_in_use_makes_its_nonce_up() {
    let Some(chain) = NodeChain::start_bare().await else { return };
    let (from, to) = (DevAccount::Dave.signer(), AccountId([5; 32]));
    let transfer = Transaction::Transfer { to, amount: UNIT };
    let dry_run = chain.remote().dry_run(&from.account(), &transfer).await.unwrap();
    let _receipt = within("a block", chain.remote().submit(&from, transfer.clone(), &dry_run)).await.unwrap();
    let liar = Liar::before(chain.port()).await;
    let settings = Settings::for_instant_seal(liar.url());
    let settings = Settings { endpoints: vec![liar.url(), chain.url()], ..settings };
    let first = Urgency { is_first: true, ..Urgency::default() };
    for nonce in [1_000, 0] {
        let _was = liar.nonce.send_replace(nonce);
        let client = within("a client", RemoteChain::connect(settings.clone())).await.unwrap();
        let sending = client.submit_urgently(&from, transfer.clone(), &dry_run, first);
        let sent = within("a block", sending).await;
        assert!(sent.is_ok(), "told of nonce {nonce}: {sent:?}");
    }
    assert_eq!(chain.remote().free_balance(&to).await.unwrap(), 3 * UNIT);
}
