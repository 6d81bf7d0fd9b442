//! What every transaction has cost whom: as the chain itself tells it where it is a node's, since other processes send there too.

use crate::TestChain;
use protocol::{AccountId, Amount, BlockNumber, Hash};
use scale::{Compact, Decode};
use sdk::chain::{BlockRef, ChainError, Recorder, remote::for_test_only::Codec};
use serde_json::Value;
use subxt::rpcs::{RpcClient, client::RpcParams, rpc_params};
use tokio::sync::Mutex;

/// Where a block's state has its events: the hashes of `System` and `Events`.
const EVENTS: &str = "0x26aa394eea5630e07c48ae0c9558cef780d41e5e16056765bc8461851072c9d7";

/// What one transaction in a block has cost its signer, apart from coins it moved.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Who paid.
    pub signer: AccountId,
    /// What was paid for inclusion.
    pub fee: Amount,
    /// The storage deposit taken from its signer, or given back where negative.
    pub deposit: i128,
}

/// Costs up to a block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Costs {
    /// One for each transaction.
    pub(crate) paid: Vec<Cost>,
    /// The last block that is counted.
    pub(crate) up_to: BlockNumber,
}

/// Every transaction's cost from the first block on. It grows with the chain.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    read: Mutex<Costs>,
}

impl Ledger {
    /// All costs up to the newest final block: the chain's own account of them, or the recorder's where the chain lives in this process.
    pub(crate) async fn costs(&self, chain: &impl TestChain, recorder: &Recorder) -> Costs {
        // In this order: what is in a block up to it is noted, or under way.
        let head = chain.block_number().await;
        recorder.quiet().await;
        let Some(url) = chain.url() else {
            let cost = |entry: &sdk::chain::recorder::RecordedCall| Cost {
                signer: entry.signer,
                fee: entry.fee,
                deposit: entry.deposit(),
            };
            return Costs { paid: recorder.entries().iter().map(cost).collect(), up_to: head };
        };
        let mut read = self.read.lock().await;
        let node = Books::open(&url).await;
        for number in read.up_to + 1..=head {
            read.paid.extend(node.costs_of(number).await);
            read.up_to = number;
        }
        read.clone()
    }
}

/// A node's books.
struct Books {
    rpc: RpcClient,
    codec: Codec,
}

impl Books {
    async fn open(url: &str) -> Self {
        let rpc = RpcClient::from_insecure_url(url).await.unwrap();
        let metadata = bytes(&ask(&rpc, "state_getMetadata", rpc_params![]).await);
        let genesis: Value = ask(&rpc, "chain_getBlockHash", rpc_params![0]).await;
        let genesis = Hash(bytes(&genesis).try_into().unwrap());
        let version: Value = ask(&rpc, "state_getRuntimeVersion", rpc_params![]).await;
        let number = |name: &str| version[name].as_u64().and_then(|number| u32::try_from(number).ok()).unwrap();
        let codec = Codec::new(genesis, number("specVersion"), number("transactionVersion"), &metadata).unwrap();
        Self { rpc, codec }
    }

    async fn costs_of(&self, number: BlockNumber) -> Vec<Cost> {
        let hash: Value = ask(&self.rpc, "chain_getBlockHash", rpc_params![number]).await;
        let at = BlockRef { number, hash: Hash(bytes(&hash).try_into().unwrap()) };
        let block: Value = ask(&self.rpc, "chain_getBlock", rpc_params![&hash]).await;
        let events = bytes(&ask(&self.rpc, "state_getStorage", rpc_params![EVENTS, &hash]).await);
        let extrinsics = block["block"]["extrinsics"].as_array().unwrap();
        let signed = (0_u32..).zip(extrinsics).filter_map(|(index, extrinsic)| Some((index, signer(extrinsic)?)));
        let cost = |(index, signer)| match self.codec.receipt(events.clone(), at, index, signer, None) {
            Ok(receipt) => Cost { signer, fee: receipt.fee, deposit: receipt.storage_deposit },
            Err(ChainError::FailedInBlock { fee, .. }) => Cost { signer, fee, deposit: 0 },
            Err(other) => panic!("{other}"),
        };
        signed.map(cost).collect()
    }
}

/// Who signed an extrinsic; nobody where it is the block's own.
fn signer(extrinsic: &Value) -> Option<AccountId> {
    /// Signed, of the fourth version; by an account that is named by its id.
    const SIGNED: [u8; 2] = [0x84, 0];
    let bytes = bytes(extrinsic);
    let mut rest = &bytes[..];
    let _length = Compact::<u32>::decode(&mut rest).unwrap();
    let account = rest.strip_prefix(&SIGNED[..])?;
    Some(AccountId(account[..32].try_into().unwrap()))
}

async fn ask(rpc: &RpcClient, method: &str, parameters: RpcParams) -> Value {
    rpc.request(method, parameters).await.unwrap()
}

fn bytes(text: &Value) -> Vec<u8> {
    hex::decode(text.as_str().unwrap().trim_start_matches("0x")).unwrap()
}
