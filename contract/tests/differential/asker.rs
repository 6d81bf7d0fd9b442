//! An app on the chain, asked as the arbiter asks.

use crate::{Answer, harness::Actor};
use devchain::DevChain;
use protocol::{
    AccountId, Hash,
    contracts::{AppContext, AppReply, CALL_SELECTOR, CallFault, INIT_SELECTOR},
    decode_exact,
    terms::CallWeight,
};
use scale::{Decode, Encode};
use sdk::chain::{Chain, ChainError, Transaction, arbiter::selector};

/// The chain's answers to a call: it went well, and the app asked to undo it.
const SUCCESS: u32 = 0;
const REVERTED: u32 = 2;

/// As ink! has it, which is what the arbiter decodes.
#[derive(Decode)]
enum LangError {
    #[codec(index = 1)]
    CouldNotReadInput,
}

/// What an app is told that shall begin.
pub(crate) fn init(context: &AppContext, input: &[u8]) -> Vec<u8> {
    (INIT_SELECTOR, context, input).encode()
}

/// What an app is told that is called.
pub(crate) fn call(context: &AppContext, state: &[u8], input: &[u8]) -> Vec<u8> {
    (CALL_SELECTOR, context, state, input).encode()
}

/// An app, and who asks it, on a chain of their own.
pub(crate) struct OnChain {
    chain: DevChain,
    asker: AccountId,
    app: AccountId,
}

impl OnChain {
    pub(crate) async fn deploy(wasm: &[u8]) -> Self {
        let chain = DevChain::new().unwrap();
        let asker = wat::parse_str(include_str!("asker.wat")).unwrap();
        let asker = instantiate(&chain, asker).await.unwrap();
        let app = instantiate(&chain, wasm.to_vec()).await.unwrap();
        Self { chain, asker, app }
    }

    pub(crate) async fn code_hash(&self) -> Hash {
        self.chain.code_hash(&self.app).await.unwrap().unwrap()
    }

    /// What the arbiter would make of the app's answer.
    pub(crate) async fn ask(&self, limit: CallWeight, question: &[u8]) -> Answer {
        let told = (self.app, limit.ref_time, limit.proof_size).encode();
        let data = [&told, question].concat();
        let transaction = Transaction::Call { contract: self.asker, value: 0, data };
        let returned = match self.chain.dry_run(&Actor::Stranger.id(), &transaction).await {
            Ok(dry_run) => dry_run.returned,
            // Like the arbiter, the asker is broken off by an answer that does not fit.
            Err(ChainError::Failed { cause }) if cause == "Contracts::OutputBufferTooSmall" => {
                return Err(CallFault::Failed);
            }
            Err(error) => panic!("the asker failed: {error}"),
        };
        let (said, answer) = returned.split_at(4);
        match u32::from_le_bytes(said.try_into().unwrap()) {
            SUCCESS | REVERTED => match decode_exact::<Result<AppReply, LangError>>(answer) {
                Ok(Ok(reply)) => Ok(reply),
                Ok(Err(LangError::CouldNotReadInput)) | Err(_) => Err(CallFault::Undecodable),
            },
            _ => Err(CallFault::Failed),
        }
    }
}

/// Deploys code.
pub(crate) async fn instantiate(chain: &DevChain, code: Vec<u8>) -> Result<AccountId, ChainError> {
    let data = selector("new").to_vec();
    let transaction = Transaction::Instantiate { code, value: 0, data, salt: Vec::new() };
    let dry_run = chain.dry_run(&Actor::Deployer.id(), &transaction).await?;
    let receipt = chain.submit(&Actor::Deployer.dev().signer(), transaction, &dry_run).await?;
    Ok(receipt.instantiated.unwrap())
}
