//! Apps that do what apps must not do: refused by name when they are given to a node, or at the call; the channel goes on.

use crate::Witness;
use channel::{AppBook, ChangeFault};
use e2e_tests::{UNIT, World, within};
use protocol::{
    AccountId, Pair,
    contracts::{AppOutcome, AppReply, CallFault, MAX_STATE},
};
use scale::Encode;
use sdk::{
    apps::{
        AcceptAppError, AddError, AppRefused, AppTerms, ChainCosts, Interpreter, Library, PerByte, PricesError,
        Registry, deploy,
    },
    node::NodeError,
};

/// A module that imports what an app may.
fn module(fields: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (import "seal0" "input" (func $input (param i32 i32)))
            (import "seal0" "seal_return" (func $return (param i32 i32 i32)))
            (import "env" "memory" (memory 2 16))
            (func (export "deploy"))
            {fields})"#
    );
    wat::parse_str(text).unwrap()
}

/// Bytes as the text form of a module has them.
fn data(at: usize, bytes: &[u8]) -> String {
    let text: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!(r#"(data (i32.const {at}) "{text}")"#)
}

/// As ink! wraps an app's answer.
fn answer(outcome: AppOutcome) -> Vec<u8> {
    Ok::<AppReply, ()>(Ok(outcome)).encode()
}

/// An app whose contracts begin well, and whose calls do this, with this data at hand.
fn app(call: &str, at_hand: &[u8]) -> Vec<u8> {
    let begun = answer(AppOutcome { state: b"state".to_vec(), ..AppOutcome::default() });
    // The first four bytes of what it is told say whether a contract begins.
    let init = u32::from_le_bytes(protocol::contracts::INIT_SELECTOR);
    module(&format!(
        r#"(func (export "call")
            (i32.store (i32.const 0) (i32.const 900))
            (call $input (i32.const 4) (i32.const 0))
            (if (i32.eq (i32.load (i32.const 4)) (i32.const {init}))
                (then (call $return (i32.const 0) (i32.const 1024) (i32.const {}))))
            {call})
        {} {}"#,
        begun.len(),
        data(1_024, &begun),
        data(4_096, at_hand)
    ))
}

/// One whose calls answer with these bytes.
fn answering(bytes: &[u8]) -> Vec<u8> {
    app(&format!("(call $return (i32.const 0) (i32.const 4096) (i32.const {}))", bytes.len()), bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_app_is_refused_by_name_when_it_is_given_to_a_node() {
    let world = World::new().await;
    let apps = world.config("bob").apps;
    let refused = |code: &[u8]| match apps.add(code) {
        Err(AddError::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    };
    assert!(matches!(refused(b"no wasm"), AppRefused::Invalid { .. }));
    assert!(matches!(refused(&e2e_tests::app_code("hostile")), AppRefused::ForbiddenImport { .. }));
    assert!(matches!(refused(&e2e_tests::arbiter_code()), AppRefused::ForbiddenImport { .. }));
    let float = module(r#"(func (export "call") (drop (f64.add (f64.const 1) (f64.const 2))))"#);
    assert!(matches!(refused(&float), AppRefused::Float { .. }));
    let mute = module("");
    assert!(matches!(refused(&mute), AppRefused::ExportMissing { name: "call" }));
    let start = module(r#"(func (export "call")) (func $start) (start $start)"#);
    assert!(matches!(refused(&start), AppRefused::StartFunction));
    let greedy = r#"(module (import "env" "memory" (memory 2 17)) (func (export "deploy")) (func (export "call")))"#;
    assert!(matches!(refused(&wat::parse_str(greedy).unwrap()), AppRefused::MemoryTooLarge { .. }));
    let code = apps.add(&e2e_tests::app_code("counter")).unwrap();
    assert!(apps.library().code(&code).is_some(), "the node still takes apps");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_misbehave_fail_by_name_and_the_channel_lives_on() {
    let witness = Witness::new().await;
    let outcome = |outcome: AppOutcome| answering(&answer(outcome));
    let rich = AppOutcome { payouts: Pair::new(UNIT + 1, 0), ..AppOutcome::default() };
    let long = AppOutcome { state: vec![7; MAX_STATE + 1], ..AppOutcome::default() };
    let cases = [
        ("traps", app("unreachable", &[]), CallFault::Failed),
        ("never ends", app("(loop $again (br $again))", &[]), CallFault::Failed),
        ("answers nothing", app("", &[]), CallFault::Undecodable),
        ("answers with garbage", answering(&[9; 40]), CallFault::Undecodable),
        ("pays out more than it holds", outcome(rich), CallFault::PaysTooMuch { balance: UNIT }),
        ("outgrows its state", outcome(long), CallFault::TooLarge),
    ];
    for (what, wasm, fault) in cases {
        let chain = &*witness.world.recorder;
        let deployed = within("a deployment", deploy(chain, &e2e_tests::signer("hub"), wasm.clone())).await.unwrap();
        for actor in [&witness.alice, &witness.bob] {
            let apps = actor.node.apps();
            let code = apps.add(&wasm).unwrap();
            let terms = AppTerms { deployed, worthless_when_empty: true };
            apps.accept(&witness.world.arbiter, &e2e_tests::account("hub"), code, terms).await.unwrap();
        }
        let code = witness.alice.node.apps().add(&wasm).unwrap();
        let creating = witness.alices.create_contract(code, Pair::new(UNIT, 0), Vec::new());
        let contract = within("a contract", creating).await.unwrap().contract;
        let called = within("a call", witness.bobs.call_contract(contract, 0, Vec::new())).await;
        match called {
            Err(NodeError::ChangeFailed { fault: ChangeFault::Call(got), .. }) => {
                assert_eq!(got, fault, "one that {what}")
            }
            other => panic!("one that {what}: {other:?}"),
        }
        assert_eq!(witness.bobs.contract(contract).await.unwrap().unwrap().balance, UNIT, "one that {what}");
        // Both may still take the coins out of it: Bob's user is asked.
        let removing = tokio::spawn({
            let alices = witness.alices.clone();
            async move { alices.remove_contract(contract, Pair::new(UNIT, 0)).await }
        });
        let asked = e2e_tests::until("Bob to be asked", || async {
            let proposed = witness.bob.events.notices(witness.bobs.reference()).into_iter().rev();
            let round = witness.bobs.status().await.unwrap().round.unwrap();
            proposed
                .filter_map(|notice| match notice {
                    channel::Notice::Proposed { proposal, .. } => Some(proposal),
                    _ => None,
                })
                .find(|proposed| proposed.round > round)
        })
        .await;
        within("Bob's word", witness.bobs.accept(asked)).await.unwrap();
        let _round = within("the removal", removing).await.unwrap().unwrap();
    }
    witness.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_with_other_prices_is_found_before_an_app_is_taken_part_in() {
    let world = World::new().await;
    let counter = world.deploy_app("counter").await;
    let payer = e2e_tests::account("hub");
    let right = ChainCosts::CONTRACTS_NODE;
    let (input, answer) = (right.input, right.answer);
    let wrong = [
        ChainCosts { fuel: right.fuel - 1, ..right },
        ChainCosts { host_call: right.host_call + 1, ..right },
        ChainCosts { input: PerByte { base: input.base + 1, ..input }, ..right },
        ChainCosts { input: PerByte { byte: input.byte - 1, ..input }, ..right },
        ChainCosts { value_transferred: right.value_transferred - 1, ..right },
        ChainCosts { answer: PerByte { base: answer.base - 1, ..answer }, ..right },
        ChainCosts { answer: PerByte { byte: answer.byte + 1, ..answer }, ..right },
    ];
    for costs in wrong.into_iter().chain([right]) {
        let apps = Registry::new(Library::new(Interpreter::with_costs(e2e_tests::LIMITS.call_weight, costs)));
        let code = apps.add(&counter.wasm).unwrap();
        let terms = AppTerms { deployed: counter.deployed, worthless_when_empty: false };
        let accepted = within("the prices", apps.accept(&world.arbiter, &payer, code, terms)).await;
        match accepted {
            Ok(()) => assert_eq!(costs, right),
            Err(AcceptAppError::Prices(PricesError::Differ { charged, counted, .. })) => {
                assert!(charged != counted && costs != right);
                assert!(!apps.accepts(&code), "nothing may begin with it");
            }
            Err(other) => panic!("{other}"),
        }
    }
    let apps = Registry::in_memory(e2e_tests::LIMITS.call_weight);
    let code = apps.add(&counter.wasm).unwrap();
    let terms = AppTerms { deployed: counter.deployed, worthless_when_empty: false };
    let poor = within("the prices", apps.accept(&world.arbiter, &AccountId([77; 32]), code, terms)).await;
    assert!(matches!(poor, Err(AcceptAppError::Prices(PricesError::Chain(_)))), "{poor:?}");
}
