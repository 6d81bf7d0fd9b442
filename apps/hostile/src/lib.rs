//! An app that does everything an app must not do. The arbiter and the peers are tested against it; never agree to it.

#![cfg_attr(not(feature = "std"), no_std, no_main)]
#![allow(unexpected_cfgs, reason = "ink!'s macros test features of their own")]

use scale::{Decode, Encode};

/// What to do wrong.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Input {
    /// Nothing: behaves.
    #[codec(index = 0)]
    Behave,
    /// Traps.
    #[codec(index = 1)]
    Trap,
    /// Never ends.
    #[codec(index = 2)]
    Loop,
    /// Answers with bytes that are no reply.
    #[codec(index = 3)]
    Garbage,
    /// Answers with no bytes at all.
    #[codec(index = 4)]
    Silence,
    /// Answers with a reply and something after it.
    #[codec(index = 5)]
    Trailing,
    /// Answers with a state of so many bytes.
    #[codec(index = 6)]
    State(u32),
    /// Answers with an output of so many bytes.
    #[codec(index = 7)]
    Output(u32),
    /// Pays out so much.
    #[codec(index = 8)]
    Pay(u128, u128),
    /// Calls a message of the contract that called it.
    #[codec(index = 9)]
    CallBack {
        /// The message.
        selector: [u8; 4],
        /// Its arguments, encoded.
        arguments: ink::prelude::vec::Vec<u8>,
    },
    /// Writes to storage.
    #[codec(index = 10)]
    Write,
    /// Emits an event.
    #[codec(index = 11)]
    Announce,
    /// Sends coins of its own account.
    #[codec(index = 12)]
    Send,
    /// Destroys itself.
    #[codec(index = 13)]
    Terminate,
    /// Changes its own code.
    #[codec(index = 14)]
    ChangeCode([u8; 32]),
    /// Refuses, with an error of so many bytes.
    #[codec(index = 15)]
    Refuse(u32),
    /// Takes as much memory as it can get.
    #[codec(index = 16)]
    TakeMemory,
    /// Answers with an outcome although it reverts.
    #[codec(index = 17)]
    RevertWithOutcome,
    /// Goes round so many times, and then behaves.
    #[codec(index = 18)]
    Work(u64),
}

/// What ink! says of it. What it does is below.
#[cfg(all(feature = "std", not(feature = "ink-as-dependency")))]
#[ink::contract]
mod described {
    use app_kit::{AppContext, AppReply};
    use ink::prelude::vec::Vec;

    /// Nothing.
    #[ink(storage)]
    pub struct Hostile {}

    impl Hostile {
        /// Deploys it, for tests.
        #[ink(constructor)]
        #[allow(clippy::new_without_default)]
        pub fn new() -> Self {
            Self {}
        }

        /// Does what it is told to, and begins.
        #[ink(message, selector = 0x494E4954)]
        pub fn init(&self, context: AppContext, input: Vec<u8>) -> AppReply {
            super::logic::init(&context, &input)
        }

        /// Does what it is told to.
        #[ink(message, selector = 0x43414C4C)]
        pub fn call(&self, context: AppContext, state: Vec<u8>, input: Vec<u8>) -> AppReply {
            super::logic::call(&context, &state, &input)
        }
    }
}

#[cfg(not(feature = "ink-as-dependency"))]
app_kit::entry_points!(logic::init, logic::call);

#[cfg(not(feature = "ink-as-dependency"))]
mod logic {
    use super::Input;
    use app_kit::{AppContext, AppOutcome, AppReply, Pair};
    use ink::{
        env::{
            CallFlags, DefaultEnvironment, ReturnFlags,
            call::{ExecutionInput, Selector, build_call},
        },
        prelude::{vec, vec::Vec},
        primitives::AccountId,
    };
    use scale::Encode;

    /// What it must not say.
    #[ink::event]
    pub struct Noise {
        /// Anything.
        number: u64,
    }

    pub fn init(_context: &AppContext, input: &[u8]) -> AppReply {
        Ok(AppOutcome { state: input.to_vec(), ..AppOutcome::default() })
    }

    pub fn call(_context: &AppContext, state: &[u8], input: &[u8]) -> AppReply {
        let mut outcome = AppOutcome { state: state.to_vec(), ..AppOutcome::default() };
        match app_kit_decode(input) {
            Input::Behave => {}
            Input::Trap => panic!("as asked"),
            Input::Loop => {
                let mut number = 1u64;
                while number != 0 {
                    number = core::hint::black_box(number.wrapping_mul(3) | 1);
                }
            }
            Input::Work(rounds) => {
                let mut number = 1u64;
                for _ in 0..rounds {
                    number = core::hint::black_box(number.wrapping_mul(3) | 1);
                }
            }
            Input::Garbage => ink::env::return_value(ReturnFlags::empty(), &[0xABu8; 33]),
            Input::Silence => ink::env::return_value(ReturnFlags::empty(), &()),
            Input::Trailing => {
                let reply: Result<AppReply, ink::LangError> = Ok(Ok(outcome));
                ink::env::return_value(ReturnFlags::empty(), &(reply, 7u8))
            }
            Input::State(bytes) => outcome.state = vec![7; bytes as usize],
            Input::Output(bytes) => outcome.output = vec![7; bytes as usize],
            Input::Pay(initiator, responder) => outcome.payouts = Pair::new(initiator, responder),
            Input::CallBack { selector, arguments } => {
                let answer = build_call::<DefaultEnvironment>()
                    .call(caller())
                    .call_flags(CallFlags::ALLOW_REENTRY)
                    .exec_input(ExecutionInput::new(Selector::new(selector)).push_arg(Raw(arguments)))
                    .returns::<Vec<u8>>()
                    .try_invoke();
                outcome.output = vec![u8::from(matches!(answer, Ok(Ok(_))))];
            }
            Input::Write => {
                ink::env::set_contract_storage(&7u32, &1u64);
            }
            Input::Announce => ink::env::emit_event::<DefaultEnvironment, _>(Noise { number: 1 }),
            Input::Send => {
                let sent = ink::env::transfer::<DefaultEnvironment>(caller(), 1);
                outcome.output = vec![u8::from(sent.is_ok())];
            }
            Input::Terminate => ink::env::terminate_contract::<DefaultEnvironment>(caller()),
            Input::ChangeCode(hash) => {
                let changed = ink::env::set_code_hash::<DefaultEnvironment>(&hash.into());
                outcome.output = vec![u8::from(changed.is_ok())];
            }
            Input::Refuse(bytes) => return Err(vec![7; bytes as usize]),
            Input::TakeMemory => {
                let mut taken: Vec<Vec<u8>> = Vec::new();
                loop {
                    taken.push(vec![1; 65_536]);
                    if taken.len() > 1_000_000 {
                        break;
                    }
                }
            }
            Input::RevertWithOutcome => {
                let reply: Result<AppReply, ink::LangError> = Ok(Ok(outcome));
                ink::env::return_value(ReturnFlags::REVERT, &reply)
            }
        }
        Ok(outcome)
    }

    fn caller() -> AccountId {
        ink::env::caller::<DefaultEnvironment>()
    }

    /// What this app is told to do; what does not decode is a trap.
    fn app_kit_decode(mut input: &[u8]) -> Input {
        match scale::Decode::decode(&mut input) {
            Ok(input) => input,
            Err(_) => panic!("no such instruction"),
        }
    }

    /// Bytes as they are, without a length before them.
    struct Raw(Vec<u8>);

    impl Encode for Raw {
        fn encode_to<T: scale::Output + ?Sized>(&self, dest: &mut T) {
            dest.write(&self.0);
        }
    }
}
