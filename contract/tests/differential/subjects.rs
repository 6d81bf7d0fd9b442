//! The apps under test, and what they are told.

use crate::harness::{TOO_MUCH_WORK, apps::hostile_call};
use counter::Counter;
use escrow::Escrow;
use interpreter::{AppRefused, Interpreter};
use proptest::{collection::vec, prelude::*};
use protocol::{
    Hash,
    contracts::{App, AppOutcome, NativeCall, NativeInit},
};
use scale::Encode;

/// An app: its native code, its Wasm, and what it is told.
pub(crate) struct Subject {
    pub(crate) wasm: &'static str,
    pub(crate) init: NativeInit,
    pub(crate) call: NativeCall,
    pub(crate) first: BoxedStrategy<Vec<u8>>,
    pub(crate) next: BoxedStrategy<Vec<u8>>,
}

/// All of them.
pub(crate) fn all() -> Vec<Subject> {
    vec![
        Subject::of::<Counter>("counter", 1..200u64, small()),
        Subject::of::<Escrow>("escrow", escrow_begins(), escrow_goes_on()),
        hostile(),
    ]
}

impl Subject {
    /// An app with what begins it and what it is called with; each is also told bytes that are neither.
    fn of<A: App>(
        wasm: &'static str,
        first: impl Strategy<Value = impl Encode> + 'static,
        next: impl Strategy<Value = impl Encode> + 'static,
    ) -> Self {
        Self {
            wasm,
            init: |context, input| Ok(A::init_bytes(context, input)),
            call: |context, state, input| Ok(A::call_bytes(context, state, input)),
            first: or_bytes(first),
            next: or_bytes(next),
        }
    }

    /// Has it interpreted; the hostile one is refused by its imports, and let in to be seen to fail.
    pub(crate) fn add(&self, interpreter: &Interpreter, wasm: &[u8]) -> Hash {
        interpreter.add(wasm).unwrap_or_else(|refused| {
            assert!(matches!(refused, AppRefused::ForbiddenImport { .. }) && self.wasm == "hostile", "{refused}");
            interpreter.add_with_any_imports_for_test_only(wasm).unwrap()
        })
    }
}

/// Bytes that are no app's.
pub(crate) fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => vec(any::<u8>(), 0..64), 1 => vec(any::<u8>(), 0..8_192)]
}

fn or_bytes<T: Encode>(meant: impl Strategy<Value = T> + 'static) -> BoxedStrategy<Vec<u8>> {
    let encoded = meant.prop_map(|input| input.encode());
    prop_oneof![15 => encoded, 1 => bytes()].boxed()
}

fn small() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..20u64, 1 => any::<u64>()]
}

fn escrow_begins() -> impl Strategy<Value = escrow::Input> {
    prop_oneof![
        8 => (0..400u32).prop_map(|deadline| escrow::Input::Create { deadline }),
        1 => escrow_goes_on(),
    ]
}

fn escrow_goes_on() -> impl Strategy<Value = escrow::Input> {
    let amount = || prop_oneof![8 => 0..60u128, 1 => any::<u128>()];
    prop_oneof![
        4 => Just(escrow::Input::Issue),
        4 => amount().prop_map(escrow::Input::Move),
        4 => amount().prop_map(escrow::Input::Redeem),
        1 => any::<u32>().prop_map(|deadline| escrow::Input::Create { deadline }),
    ]
}

/// The app that misbehaves. What its native form says is what the arbiter's own tests expect of it.
fn hostile() -> Subject {
    use hostile::Input;
    let size = || prop_oneof![4 => 0..2_000u32, 2 => 15_000..66_000u32, 1 => any::<u32>()];
    let next = prop_oneof![
        20 => Just(Input::Behave),
        4 => Just(Input::Trap),
        1 => Just(Input::Loop),
        4 => Just(Input::Garbage),
        4 => Just(Input::Silence),
        4 => Just(Input::Trailing),
        20 => size().prop_map(Input::State),
        20 => size().prop_map(Input::Output),
        8 => any::<(u128, u128)>().prop_map(|(initiator, responder)| Input::Pay(initiator, responder)),
        4 => (any::<[u8; 4]>(), bytes()).prop_map(|(selector, arguments)| Input::CallBack { selector, arguments }),
        4 => Just(Input::Write),
        4 => Just(Input::Announce),
        4 => Just(Input::Send),
        4 => Just(Input::Terminate),
        4 => any::<[u8; 32]>().prop_map(Input::ChangeCode),
        8 => size().prop_map(Input::Refuse),
        4 => Just(Input::TakeMemory),
        8 => Just(Input::RevertWithOutcome),
        8 => (0..TOO_MUCH_WORK / 100).prop_map(Input::Work),
    ];
    Subject {
        wasm: "hostile",
        init: |_context, input| Ok(Ok(AppOutcome { state: input.to_vec(), ..AppOutcome::default() })),
        call: hostile_call,
        first: bytes().boxed(),
        next: or_bytes(next),
    }
}
