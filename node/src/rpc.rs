//! JSON-RPC over HTTP and web sockets, on loopback.

use crate::{
    chain::{self, Chain, Client},
    seal::Engine,
};
use anyhow::Context;
use contracts_node_runtime::opaque::Block;
use futures::StreamExt;
use jsonrpsee::{
    RpcModule,
    server::{BatchRequestConfig, HttpRequest, RandomStringIdProvider, Server, ServerHandle},
};
use pallet_transaction_payment_rpc::{TransactionPayment, TransactionPaymentApiServer};
use sc_client_api::UsageProvider;
use sc_consensus_manual_seal::rpc::{ManualSeal, ManualSealApiServer};
use sc_rpc::{
    DenyUnsafe,
    system::{Health, NodeRole, Request, SyncState, error::Error as SystemError},
};
use sc_service::TaskManager;
use sc_utils::mpsc::{TracingUnboundedReceiver, tracing_unbounded};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use substrate_frame_rpc_system::{System, SystemApiServer};

/// Of a request or an answer, in bytes: what the official node allows.
const MAX_BODY: u32 = 15 * 1024 * 1024;
/// Connections at once: tests with many peers open several each.
const MAX_CONNECTIONS: u32 = 1000;
/// Subscriptions of one connection.
const MAX_SUBSCRIPTIONS: u32 = 1024;
/// Notifications that wait for a slow reader before its connection is closed.
const MAX_WAITING: u32 = 64;
/// Requests in one batch.
const MAX_BATCH: u32 = 1024;
/// Questions about the system that wait before a warning is logged.
const SYSTEM_QUEUE_WARNING: usize = 10_000;

/// A server at work, until it is stopped.
pub(crate) struct Rpc {
    pub(crate) address: SocketAddr,
    pub(crate) handle: ServerHandle,
}

/// Starts to serve on a port of 127.0.0.1; port 0 takes a free one.
pub(crate) async fn start(chain: &Chain, engine: Engine, port: u16, tasks: &TaskManager) -> anyhow::Result<Rpc> {
    let methods = methods(chain, engine, tasks)?;
    // Only this machine can reach us, and the chain is worth nothing: every method is served.
    let all_methods = |mut request: HttpRequest| {
        let _none = request.extensions_mut().insert(DenyUnsafe::No);
        request
    };
    let server = Server::builder()
        .set_http_middleware(tower::ServiceBuilder::new().map_request(all_methods))
        .max_request_body_size(MAX_BODY)
        .max_response_body_size(MAX_BODY)
        .max_connections(MAX_CONNECTIONS)
        .max_subscriptions_per_connection(MAX_SUBSCRIPTIONS)
        .set_message_buffer_capacity(MAX_WAITING)
        .set_batch_request_config(BatchRequestConfig::Limit(MAX_BATCH))
        .set_id_provider(RandomStringIdProvider::new(16))
        .build((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("listening on port {port}"))?;
    let address = server.local_addr()?;
    Ok(Rpc { address, handle: server.start(methods) })
}

/// Everything that can be called.
fn methods(chain: &Chain, engine: Engine, tasks: &TaskManager) -> anyhow::Result<RpcModule<()>> {
    let (system, questions) = tracing_unbounded("system-rpc", SYSTEM_QUEUE_WARNING);
    tasks.spawn_handle().spawn("system-rpc", None, answer(questions, Arc::clone(&chain.client)));
    let mut methods = sc_service::gen_rpc_module(
        tasks.spawn_handle(),
        Arc::clone(&chain.client),
        Arc::clone(&chain.pool),
        chain.keystore.keystore(),
        system,
        env!("CARGO_PKG_NAME").to_owned(),
        env!("CARGO_PKG_VERSION").to_owned(),
        &chain.spec,
        &Some(chain::STATES),
        chain::BLOCKS,
        Arc::clone(&chain.backend),
        &|_executor| Ok(RpcModule::new(())),
    )?;
    methods.merge(System::new(Arc::clone(&chain.client), Arc::clone(&chain.pool)).into_rpc())?;
    methods.merge(TransactionPayment::new(Arc::clone(&chain.client)).into_rpc())?;
    methods.merge(ManualSeal::new(engine).into_rpc())?;

    let mut names: Vec<_> = methods.method_names().chain(["rpc_methods"]).collect();
    names.sort_unstable();
    let list = serde_json::json!({ "methods": names });
    let _callback = methods.register_method("rpc_methods", move |_, _, _| list.clone())?;
    Ok(methods)
}

/// Answers what only a network could know: there is none. Whoever asked may have gone meanwhile.
async fn answer(mut questions: TracingUnboundedReceiver<Request<Block>>, client: Arc<Client>) {
    let no_network = || SystemError::MalformattedPeerArg("this node has no network".to_owned());
    while let Some(question) = questions.next().await {
        match question {
            Request::Health(to) => {
                drop(to.send(Health { peers: 0, is_syncing: false, should_have_peers: false }));
            }
            Request::LocalPeerId(to) => drop(to.send(String::new())),
            Request::LocalListenAddresses(to) | Request::NetworkReservedPeers(to) => drop(to.send(Vec::new())),
            Request::Peers(to) => drop(to.send(Vec::new())),
            Request::NetworkState(to) => drop(to.send(serde_json::Value::Null)),
            Request::NetworkAddReservedPeer(_, to) | Request::NetworkRemoveReservedPeer(_, to) => {
                drop(to.send(Err(no_network())));
            }
            Request::NodeRoles(to) => drop(to.send(vec![NodeRole::Authority])),
            Request::SyncState(to) => {
                let best = client.usage_info().chain.best_number;
                drop(to.send(SyncState { starting_block: best, current_block: best, highest_block: best }));
            }
        }
    }
}
