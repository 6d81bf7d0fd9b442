//! Calls of contracts with any state and any input: builtins and the apps never panic, and no call pays more than the contract holds.

#![no_main]

use arbitrary::Arbitrary;
use counter::Counter;
use escrow::Escrow;
use libfuzzer_sys::fuzz_target;
use protocol::{
    ChannelId, Hash, Party,
    contracts::{
        App, AppContext, AppOutcome, Code, Contract, ContractId, Invocation, NativeApps, Predictor,
        conditional::HashLock, execute,
    },
};
use scale::Encode;

#[derive(Arbitrary, Debug)]
struct Input {
    code: u8,
    initiator: bool,
    round: u64,
    height: u32,
    shown_at: Option<u32>,
    value: u128,
    balance: u128,
    state: Bytes,
    input: Bytes,
}

/// Either anything, or something of the right shape.
#[derive(Arbitrary, Debug)]
enum Bytes {
    Any(Vec<u8>),
    Counter { count: u64, goal: u64 },
    Tokens { initiator: u128, responder: u128, deadline: u32 },
    Move { kind: u8, amount: u128 },
    Transfer { to_initiator: bool, opened_by: u8, sha2: bool, expiry: u32 },
    Claim(u8),
}

impl Bytes {
    fn bytes(&self) -> Vec<u8> {
        use protocol::contracts::conditional::{ConditionalInput, ConditionalTransfer, HashFunction, Preimage};
        match self {
            Self::Any(bytes) => bytes.clone(),
            Self::Counter { count, goal } => (count, goal).encode(),
            Self::Tokens { initiator, responder, deadline } => (initiator, responder, deadline).encode(),
            Self::Move { kind, amount } => (kind, amount).encode(),
            Self::Transfer { to_initiator, opened_by, sha2, expiry } => {
                let function = if *sha2 { HashFunction::Sha2_256 } else { HashFunction::Blake2b256 };
                let lock = Preimage([*opened_by; 32]).lock(function, &protocol::crypto::Native);
                ConditionalTransfer { payee: party(*to_initiator), lock, expiry: *expiry }.encode()
            }
            Self::Claim(number) => ConditionalInput::Claim(Preimage([*number; 32])).encode(),
        }
    }
}

const fn party(initiator: bool) -> Party {
    if initiator { Party::Initiator } else { Party::Responder }
}

fuzz_target!(|input: Input| {
    let (state, bytes) = (input.state.bytes(), input.input.bytes());
    let (channel, id) = (ChannelId([1; 32]), ContractId([2; 32]));
    let mut apps = NativeApps::new();
    apps.register::<Counter>(Hash([1; 32]));
    apps.register::<Escrow>(Hash([2; 32]));
    let code = match input.code % 4 {
        0 => Code::Contract(Hash([1; 32])),
        1 => Code::Contract(Hash([2; 32])),
        2 => Code::Builtin(1),
        _ => Code::Builtin(input.code),
    };
    let owner = Party::Initiator;
    let mut contract = Contract { code, balance: input.balance, owner, state: state.clone() };
    let call = Invocation {
        channel,
        contract: id,
        round: input.round,
        caller: party(input.initiator),
        value: input.value,
        height: input.height,
        input: &bytes,
        app: None,
    };
    let shown_at = |_: &HashLock| input.shown_at;
    let mut executor = Predictor::new(&apps, &shown_at);
    if let Ok(executed) = execute(&mut executor, &mut contract, &call) {
        let paid = executed.payouts.sum().expect("what was paid is a number");
        assert_eq!(contract.balance.checked_add(paid), input.balance.checked_add(input.value), "coins go somewhere");
        assert!(!executed.ended || contract.balance == 0, "what ends holds nothing");
    }
    let context = AppContext {
        channel,
        contract: id,
        round: input.round,
        caller: party(input.initiator),
        value: input.value,
        balance: input.balance,
        height: input.height,
    };
    for first in [Counter::init_bytes(&context, &bytes), Escrow::init_bytes(&context, &bytes)] {
        assert!(first.is_err() || first.is_ok_and(|AppOutcome { payouts, .. }| payouts.sum() == Some(0)));
    }
    let _answer = Counter::call_bytes(&context, &state, &bytes);
    let _answer = Escrow::call_bytes(&context, &state, &bytes);
});
