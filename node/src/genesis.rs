//! Block 0: that of the official node's development chain, with the runtime's Wasm as `scripts/node.sh` built it.

use contracts_node_runtime::{AccountId, BalancesConfig, BuildStorage, RuntimeGenesisConfig, SudoConfig};
use sc_service::{ChainType, GenericChainSpec};
use sp_core::{
    Pair, sr25519,
    storage::{Storage, well_known_keys},
};

/// The runtime's Wasm, which becomes the chain's code.
const RUNTIME: &[u8] = include_bytes!(env!("NODE_RUNTIME_WASM", "build this with scripts/node.sh --build-only"));

/// What the official node endows each development account with.
const ENDOWMENT: u128 = 1 << 60;

/// The development accounts; each also has a stash, `//Alice//stash`.
const ACCOUNTS: [&str; 6] = ["Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie"];

/// How the chain calls itself.
pub(crate) fn chain_spec() -> GenericChainSpec {
    GenericChainSpec::builder(RUNTIME, None)
        .with_name("Development")
        .with_id("dev")
        .with_chain_type(ChainType::Development)
        .build()
}

/// What the state is at first. Built natively: the chain spec's own way compiles the Wasm for this alone, seconds at each start.
pub(crate) struct Genesis;

impl BuildStorage for Genesis {
    fn assimilate_storage(&self, storage: &mut Storage) -> Result<(), String> {
        let endowed = ACCOUNTS.iter().flat_map(|name| [format!("//{name}"), format!("//{name}//stash")]);
        let balances = endowed.map(|uri| (account(&uri), ENDOWMENT)).collect();
        let config = RuntimeGenesisConfig {
            balances: BalancesConfig { balances },
            sudo: SudoConfig { key: Some(account("//Alice")) },
            ..Default::default()
        };
        config.assimilate_storage(storage)?;
        let _none = storage.top.insert(well_known_keys::CODE.to_vec(), RUNTIME.to_vec());
        Ok(())
    }
}

fn account(uri: &str) -> AccountId {
    let pair = sr25519::Pair::from_string(uri, None).expect("development accounts derive");
    AccountId::new(pair.public().0)
}
