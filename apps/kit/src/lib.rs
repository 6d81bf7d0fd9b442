//! What an app is made with: implement [`App`], then wrap it for the chain with [`shell!`] (R7.5).
//!
//! An app is one crate: pure logic, and a thin ink! shell that the macro writes. The same crate is the Wasm that is deployed, and native
//! code for tests and for peers that want to be fast. Tests drive it on a `testing::Bench` (feature `testing`).

#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "testing")]
pub mod testing;

pub use protocol::{
    Amount, BlockNumber, ChannelId, Pair, Party, Round,
    contracts::{
        App, AppContext, AppOutcome, AppReply, CALL_SELECTOR, ContractId, INIT_SELECTOR, MAX_INPUT, MAX_STATE,
    },
};

/// Wraps an [`App`] as a contract for the chain: nothing stored, `init` and `call` by the selectors that the arbiter and the peers use.
///
/// The crate depends on `ink` itself, is of edition 2021 and has `#![cfg_attr(not(feature = "std"), no_std, no_main)]` at its top. Whoever
/// wants its logic alone depends on it with the feature `ink-as-dependency`.
#[macro_export]
macro_rules! shell {
    ($app:ty) => {
        // One process may link many apps, but only one shell.
        #[cfg(not(feature = "ink-as-dependency"))]
        #[ink::contract]
        mod shell {
            use ink::prelude::vec::Vec;
            use $crate::{App, AppContext, AppReply};

            /// Nothing: what an app remembers is in the channel.
            #[ink(storage)]
            pub struct Shell {}

            impl Shell {
                /// Deploys the app, for everybody.
                #[ink(constructor)]
                #[allow(clippy::new_without_default)]
                pub fn new() -> Self {
                    Self {}
                }

                /// The first state of a new contract (R7.1).
                ///
                /// # Errors
                /// The app's own, encoded.
                #[ink(message, selector = 0x494E4954)]
                pub fn init(&self, context: AppContext, input: Vec<u8>) -> AppReply {
                    <$app as App>::init_bytes(&context, &input)
                }

                /// One call (R7.1).
                ///
                /// # Errors
                /// The app's own, encoded.
                #[ink(message, selector = 0x43414C4C)]
                pub fn call(&self, context: AppContext, state: Vec<u8>, input: Vec<u8>) -> AppReply {
                    <$app as App>::call_bytes(&context, &state, &input)
                }
            }
        }
    };
}
