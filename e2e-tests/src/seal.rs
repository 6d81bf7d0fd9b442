//! How chain time passes on a node: blocks on demand where the node has them, else for transactions that cost nothing.

use crate::until;
use devchain::DevAccount;
use protocol::{AccountId, BlockNumber};
use sdk::chain::{ChainSignature, Signer};
use std::time::{Duration, Instant};
use subxt::{
    OnlineClient,
    config::{DefaultExtrinsicParamsBuilder, substrate::SubstrateConfig},
    dynamic::Value,
    rpcs::{RpcClient, rpc_params},
    transactions::dynamic,
    utils::{AccountId32, MultiSignature},
};

/// The official node drops a block that comes within its time slot of the one before; the next transaction makes one with both in it. Sent too
/// early it makes a block of its own, which a story may not want.
const NEXT_TRY: Duration = Duration::from_secs(2);

/// Makes blocks.
#[derive(Debug)]
pub(crate) enum Seal {
    /// By `engine_createBlock`: with what waits in the pool, or empty, and final at once.
    OnDemand,
    /// The official node makes a block for a transaction only.
    ByTransactions(OnlineClient<SubstrateConfig>),
}

impl Seal {
    /// For the official node behind `rpc`.
    pub(crate) async fn by_transactions(rpc: &RpcClient) -> Self {
        Self::ByTransactions(OnlineClient::from_rpc_client(rpc.clone()).await.unwrap())
    }

    /// Makes at least `count` blocks, and tells the best block's number.
    pub(crate) async fn produce(&self, rpc: &RpcClient, count: u32) -> BlockNumber {
        match self {
            Self::OnDemand => {
                for _ in 0..count {
                    let _made: serde_json::Value =
                        rpc.request("engine_createBlock", rpc_params![true, true]).await.unwrap();
                }
            }
            Self::ByTransactions(client) => {
                for _ in 0..count {
                    let before = best(rpc).await;
                    until("a block for a transaction", || async {
                        send_for_nothing(client, rpc).await;
                        let sent = Instant::now();
                        while sent.elapsed() < NEXT_TRY {
                            if best(rpc).await > before {
                                return Some(());
                            }
                        }
                        None
                    })
                    .await;
                }
            }
        }
        best(rpc).await
    }
}

async fn best(rpc: &RpcClient) -> BlockNumber {
    let header: serde_json::Value = rpc.request("chain_getHeader", rpc_params![]).await.unwrap();
    let number = header["number"].as_str().unwrap().trim_start_matches("0x");
    BlockNumber::from_str_radix(number, 16).unwrap()
}

/// What the administrator of the chain does by `sudo` is free, so no coin is burned that a story would have to account for.
async fn send_for_nothing(client: &OnlineClient<SubstrateConfig>, rpc: &RpcClient) {
    let administrator = DevAccount::Alice.signer();
    let AccountId(account) = administrator.account();
    let account = AccountId32(account);
    let nonce: u64 = rpc.request("system_accountNextIndex", rpc_params![account.to_string()]).await.unwrap();
    let remark = Value::named_variant("remark", [("remark", Value::from_bytes([]))]);
    let call = dynamic("Sudo", "sudo", Value::named_composite([("call", Value::unnamed_variant("System", [remark]))]));
    let parameters = DefaultExtrinsicParamsBuilder::<SubstrateConfig>::new().nonce(nonce).immortal().build();
    let at = client.at_current_block().await.unwrap();
    let mut signable = at.transactions().create_signable_offline(&call, parameters).unwrap();
    let ChainSignature::Sr25519(signature) = administrator.sign(&signable.signer_payload().unwrap()).await.unwrap()
    else {
        panic!("the development accounts are sr25519")
    };
    let signed = signable.sign_with_account_and_signature(&account, &MultiSignature::Sr25519(signature)).unwrap();
    let _hash = signed.submit().await.unwrap();
}
