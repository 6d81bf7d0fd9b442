//! A peer with a channel that keeps its own task at the node busy: what others notice of it (R6.9c).

use channel::{Change, ChannelRef, Creation, Message, Reestablish, Update};
use devchain::DevAccount;
use e2e_tests::{Actor, App, Asked, UNIT, World, hostile::Intruder, identity, signer, terms, until, within};
use protocol::{
    Base, ChannelId, Hash, Pair,
    call::Call,
    contracts::{AppContext, AppOutcome, AppReply, CallFault, Code, ContractId, NativeApps},
    crypto::Native,
    signing::{StateBody, signed_bytes},
};
use sdk::{
    apps::{Interpreter, Library, Registry, deploy},
    chain::arbiter::code_hash,
    node::{DefenceCause, DefendedPeer, OpenChannel},
};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// An app that says nothing.
const APP: &str = r#"(module
    (import "env" "memory" (memory 2 16))
    (import "seal0" "seal_return" (func $return (param i32 i32 i32)))
    (func (export "deploy"))
    (func (export "call") (call $return (i32.const 0) (i32.const 1024) (i32.const 37))))"#;

/// Keeps whoever calls an app until it is opened: each story has its own.
struct Gate(Mutex<At>, Condvar);

/// Who is at a gate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Nobody,
    Waiting,
    Open,
}

static GATES: [Gate; 2] = [const { Gate(Mutex::new(At::Nobody), Condvar::new()) }; 2];

impl Gate {
    fn lock(&self) -> MutexGuard<'_, At> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self) {
        let mut at = self.lock();
        if *at == At::Nobody {
            *at = At::Waiting;
        }
        drop(self.1.wait_while(at, |at| *at != At::Open));
    }

    fn open(&self) {
        *self.lock() = At::Open;
        self.1.notify_all();
    }
}

/// The app as native code: waits at a gate, and fails.
fn waits<const GATE: usize>(_context: &AppContext, _state: &[u8], _input: &[u8]) -> Result<AppReply, CallFault> {
    GATES[GATE].pass();
    Err(CallFault::Failed)
}

fn begins(_context: &AppContext, _input: &[u8]) -> Result<AppReply, CallFault> {
    Ok(Ok(AppOutcome::default()))
}

/// Mallory, who has a channel with Bob and an app that takes its time, and keeps her task at Bob's node busy.
struct Busy<const GATE: usize> {
    bob: Actor,
    mallory: Intruder,
    reference: ChannelRef,
    channel: ChannelId,
    code: Hash,
    agreed: Base,
    /// Her close on the state before she paid Bob.
    old: Call,
}

/// Whatever waits goes on, so that the node can end.
impl<const GATE: usize> Drop for Busy<GATE> {
    fn drop(&mut self) {
        GATES[GATE].open();
    }
}

impl<const GATE: usize> Busy<GATE> {
    async fn new(world: &World) -> Self {
        let wasm = wat::parse_str(APP).unwrap();
        let deployer = DevAccount::Charlie.signer();
        let deploying = deploy(&*world.recorder, &deployer, wasm.clone());
        let deployed = within("an app's deployment", deploying).await.unwrap();
        let code = code_hash(&wasm);
        let mut config = world.config("bob");
        let mut native = NativeApps::new();
        native.register_as(code, begins, waits::<GATE>);
        let library = Library::new(Interpreter::new(e2e_tests::LIMITS.call_weight)).with_native(native);
        config.apps = Arc::new(Registry::new(library));
        world.give_app(&config, &App { code, deployed, wasm }).await;
        let bob = world.start_with("bob", |settings| *settings = config).await;
        let _done = within("a deposit", bob.node.vault_deposit(200 * UNIT)).await.unwrap();
        let mallory = world.start_rich("mallory", 200 * UNIT).await;
        mallory.connect(&bob).await;
        let (theirs, _bobs) = mallory.open_on(&bob, OpenChannel { peer_share: 0, push: 20 * UNIT, ..terms() }).await;
        let old = Call::ChannelCloseSolo(theirs.evidence().await.unwrap().unwrap());
        let _paid = theirs.pays(10 * UNIT, "what Mallory regrets").await;
        let _paid = bob.view_of(&mallory, theirs.reference()).await.pays(UNIT, "change").await;
        let channel = theirs.status().await.unwrap().channel.unwrap();
        let (reference, agreed) = (theirs.reference(), theirs.status().await.unwrap().round.unwrap());
        let state = within("the state", theirs.state()).await.unwrap().unwrap();
        drop(theirs);
        mallory.stop_and_wait().await;
        let mut mallory = Intruder::connect("mallory", "bob", bob.socket()).await;
        let agreed = Base::of(agreed);
        let notes = Reestablish { at: agreed, base: Base::default(), state: state.commitment(), signatures: None };
        mallory.say(reference, Message::Reestablish(notes)).await;
        Self { bob, mallory, reference, channel, code, agreed, old }
    }

    /// Says a round with a call that takes its time, and waits until it is made.
    async fn keep_busy(&mut self, world: &World) {
        let domain = world.arbiter.info().domain;
        let round = 101;
        let contract = ContractId::derive(&self.channel, round, 0, &Native);
        let code = Code::Contract(self.code);
        let begin = Change::CreateContract(Creation { code, coins: Pair::new(0, 0), input: vec![] });
        let call = Change::CallContract { contract, value: 0, input: Vec::new() };
        let (base, state_hash) = (self.agreed, Hash([9; 32]));
        let body = StateBody { round, base, state_hash, valid_until: None };
        let signature = identity("mallory").signing().sign(&signed_bytes(&domain, &self.channel, &body));
        // One that Bob has seen for certain: for the others he would wait.
        let height = world.chain.block_number() - 1;
        let changes = vec![begin, call];
        let update = Update { round, base, height, refuses: None, changes, state_hash, signature };
        self.mallory.say(self.reference, Message::Update(update)).await;
        until("the call to be made", async || (*GATES[GATE].lock() == At::Waiting).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_with_expensive_rounds_does_not_keep_others_channels_from_seeing_the_chain() {
    let world = World::new().await;
    let mut busy = Busy::<0>::new(&world).await;
    let alice = world.start_rich("alice", 200 * UNIT).await;
    alice.connect(&busy.bob).await;
    let (alices, bobs) = alice.open(&busy.bob).await;
    let hers = busy.bob.node.channels(identity("mallory").public()).await.unwrap().remove(0);
    busy.keep_busy(&world).await;
    let until_then = tokio::spawn(async move { hers.head().await });
    // Mallory's own doing is in the first block; the others are the news.
    for _ in 0..3 {
        let deposit = Call::VaultDeposit { key: identity("mallory").public() };
        let _done = within("a block", world.arbiter.call(&signer("mallory"), &deposit, UNIT)).await.unwrap();
    }
    let head = world.chain.block_number();
    until("the chain to be seen", async || (bobs.head().await.unwrap() >= head).then_some(())).await;
    let _paid = bobs.pays(1, "alive").await;
    let _paid = alices.pays(1, "alive").await;
    assert!(!until_then.is_finished(), "others wait until what Mallory has said is done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_close_is_answered_while_the_closer_keeps_its_own_task_busy() {
    let world = World::new().await;
    let mut busy = Busy::<1>::new(&world).await;
    busy.keep_busy(&world).await;
    let _done = within("the old close", world.arbiter.call(&signer("mallory"), &busy.old, 0)).await.unwrap();
    let answered = async || (world.recorder.count("channel_slash").await > 0).then_some(());
    until("the answer", answered).await;
    let defended_peers = busy.bob.node.defended_peers();
    assert!(
        matches!(&defended_peers[..], [DefendedPeer { cause: DefenceCause::Late, .. }]),
        "the task has answered itself: {defended_peers:?}"
    );
}
