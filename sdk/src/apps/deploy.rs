//! Putting an app on a chain: once, for everybody.

use crate::chain::{
    Chain, ChainError, Signer, Transaction,
    arbiter::{code_hash, instance_address, selector},
};
use protocol::AccountId;

/// Uploads and instantiates an app's Wasm, unless `signer` has done so before, and answers where it stands. An app stores nothing and serves
/// every channel of the chain.
///
/// # Errors
/// The chain's own.
pub async fn deploy(chain: &dyn Chain, signer: &dyn Signer, wasm: Vec<u8>) -> Result<AccountId, ChainError> {
    let code = code_hash(&wasm);
    let data = selector("new").to_vec();
    let salt = Vec::new();
    let at = instance_address(&signer.account(), &code, &data, &salt);
    if chain.code_hash(&at).await? == Some(code) {
        return Ok(at);
    }
    let transaction = Transaction::Instantiate { code: wasm, value: 0, data, salt };
    let dry_run = chain.dry_run(&signer.account(), &transaction).await?;
    let receipt = chain.submit(signer, transaction, &dry_run).await?;
    Ok(receipt.instantiated.unwrap_or(at))
}
