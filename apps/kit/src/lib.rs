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
        App, AppContext, AppOutcome, AppReply, CALL_SELECTOR, ContractId, INIT_SELECTOR, MAX_INPUT, MAX_OUTPUT,
        MAX_STATE, Requirement,
        conditional::{HashFunction, HashLock, Preimage},
    },
};

/// Wraps an [`App`] as a contract for the chain: `init` and `call` by the selectors that the arbiter and the peers use.
///
/// What ink! writes of a contract serves as its description (metadata). The Wasm has entry points of its own, because ink!'s load and
/// store the contract's storage, and an app must import nothing by which it could tell one deployment from another: neither code that
/// reads storage nor code that writes it is run by peers (R7.2).
///
/// The crate depends on `ink` itself, is of edition 2021 and has `#![cfg_attr(not(feature = "std"), no_std, no_main)]` at its top. Whoever
/// wants its logic alone depends on it with the feature `ink-as-dependency`.
#[macro_export]
macro_rules! shell {
    ($app:ty) => {
        // One process may link many apps, but only one shell.
        #[cfg(all(feature = "std", not(feature = "ink-as-dependency")))]
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

        $crate::entry_points!(<$app as $crate::App>::init_bytes, <$app as $crate::App>::call_bytes);
    };
}

/// Writes the entry points of an app's Wasm around two functions on bytes. [`shell!`] does, for an [`App`].
#[macro_export]
macro_rules! entry_points {
    ($init:expr, $call:expr) => {
        #[cfg(not(any(feature = "std", feature = "ink-as-dependency")))]
        mod entry_points {
            #[allow(unused_imports)]
            use super::*;
            use ink::{
                env::ReturnFlags,
                prelude::vec::Vec,
                scale::{Decode, Error, Input},
            };
            use $crate::{AppContext, AppReply};

            enum Message {
                Init(AppContext, Vec<u8>),
                Call(AppContext, Vec<u8>, Vec<u8>),
            }

            impl Decode for Message {
                fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
                    match <[u8; 4]>::decode(input)? {
                        $crate::INIT_SELECTOR => Ok(Self::Init(Decode::decode(input)?, Decode::decode(input)?)),
                        $crate::CALL_SELECTOR => {
                            Ok(Self::Call(Decode::decode(input)?, Decode::decode(input)?, Decode::decode(input)?))
                        }
                        _ => Err("no such message".into()),
                    }
                }
            }

            /// Coins sent to an app's account would be nobody's.
            fn refuse_coins() {
                assert_eq!(ink::env::transferred_value::<ink::env::DefaultEnvironment>(), 0);
            }

            /// Called by whoever deploys the app. Nothing is stored, and nothing asked.
            #[no_mangle]
            pub extern "C" fn deploy() {
                refuse_coins();
            }

            /// Called by the arbiter and the peers.
            #[no_mangle]
            pub extern "C" fn call() {
                refuse_coins();
                let reply: AppReply = match ink::env::decode_input() {
                    Ok(Message::Init(context, input)) => $init(&context, &input),
                    Ok(Message::Call(context, state, input)) => $call(&context, &state, &input),
                    Err(_) => ink::env::return_value(
                        ReturnFlags::REVERT,
                        &ink::MessageResult::<AppReply>::Err(ink::LangError::CouldNotReadInput),
                    ),
                };
                let flags = if reply.is_ok() { ReturnFlags::empty() } else { ReturnFlags::REVERT };
                ink::env::return_value(flags, &ink::MessageResult::Ok(reply))
            }
        }
    };
}
