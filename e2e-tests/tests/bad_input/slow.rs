//! A peer with a channel that keeps its own task at the node busy: what others notice of it (R6.9c).

use channel::{Change, ChannelRef, Creation, Message, Reestablish, Update};
use devchain::DevAccount;
use e2e_tests::{Actor, App, Asked, UNIT, World, hostile::Intruder, identity, signer, terms, within};
use protocol::{
    Base, ChannelId, Hash, Pair, Party,
    call::Call,
    contracts::{AppContext, Apps, Code, ContractId},
    crypto::Native,
    signing::{StateBody, signed_bytes},
    terms::CallWeight,
};
use sdk::{
    apps::{Registry, deploy},
    chain::arbiter::code_hash,
    node::{OpenChannel, Ward, WardCause},
};

/// An app that goes round so many times in each call, and does nothing else.
fn app_that_works(rounds: u64) -> Vec<u8> {
    let text = format!(
        r#"(module
        (import "env" "memory" (memory 2 16))
        (import "seal0" "seal_return" (func $return (param i32 i32 i32)))
        (func (export "deploy"))
        (func (export "call") (local $left i64)
            (local.set $left (i64.const {rounds}))
            (loop $again
                (local.set $left (i64.sub (local.get $left) (i64.const 1)))
                (br_if $again (i64.ne (local.get $left) (i64.const 0))))
            (call $return (i32.const 0) (i32.const 1024) (i32.const 36))))"#
    );
    wat::parse_str(text).unwrap()
}

/// How often the most expensive app goes round that the arbiter allows.
fn most_work() -> u64 {
    let (channel, contract) = (ChannelId([1; 32]), ContractId([2; 32]));
    let context = AppContext { channel, contract, round: 3, caller: Party::Initiator, value: 0, balance: 0, height: 1 };
    let mut most = 1_000;
    loop {
        let rounds = most * 3 / 2;
        let apps = Registry::in_memory(CallWeight::STANDARD);
        let code = apps.add(&app_that_works(rounds)).unwrap();
        if apps.call(&code, &context, &[], &[]).is_err() {
            return most;
        }
        most = rounds;
    }
}

/// How many calls each of her rounds makes.
const CALLS: u32 = 511;
/// How many such rounds she says: all of them are gathered before what they have done is kept, and they take longer than any answer.
const ROUNDS: u64 = 32;

/// Mallory, who has a channel with Bob and an app that works, and keeps her task at Bob's node busy.
struct Busy {
    bob: Actor,
    mallory: Intruder,
    reference: ChannelRef,
    channel: ChannelId,
    code: Hash,
    agreed: Base,
    /// Her close on the state before she paid Bob.
    old: Call,
}

impl Busy {
    async fn new(world: &World) -> Self {
        let most = tokio::task::spawn_blocking(most_work).await.unwrap();
        // Not the most: what a test can wait for.
        let wasm = app_that_works(most / 50);
        let deployer = DevAccount::Charlie.signer();
        let deploying = deploy(&*world.recorder, &deployer, wasm.clone());
        let deployed = within("an app's deployment", deploying).await.unwrap();
        let code = code_hash(&wasm);
        let config = world.config("bob");
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

    /// Says rounds whose changes are expensive and whose state is wrong: each is executed, and refused.
    async fn keep_busy(&mut self, world: &World) {
        let domain = world.arbiter.info().domain;
        for number in 0..ROUNDS {
            let round = 101 + 2 * number;
            let contract = ContractId::derive(&self.channel, round, 0, &Native);
            let code = Code::Contract(self.code);
            let begin = Change::CreateContract(Creation { code, coins: Pair::new(0, 0), input: vec![] });
            let call = Change::CallContract { contract, value: 0, input: Vec::new() };
            let changes = std::iter::once(begin).chain((0..CALLS).map(|_| call.clone())).collect();
            let (base, state_hash) = (self.agreed, Hash([9; 32]));
            let body = StateBody { round, base, state_hash, valid_until: None };
            let signature = identity("mallory").signing().sign(&signed_bytes(&domain, &self.channel, &body));
            // One that Bob has seen for certain: for the others he would wait.
            let height = world.chain.block_number() - 1;
            let update = Update { round, base, height, refuses: None, changes, state_hash, signature };
            self.mallory.say(self.reference, Message::Update(update)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_with_expensive_rounds_does_not_keep_others_channels_from_seeing_the_chain() {
    let world = World::new().await;
    let mut busy = Busy::new(&world).await;
    let alice = world.start_rich("alice", 200 * UNIT).await;
    alice.connect(&busy.bob).await;
    let (alices, bobs) = alice.open(&busy.bob).await;
    busy.keep_busy(&world).await;
    let hers = busy.bob.node.channels(identity("mallory").public()).await.unwrap().remove(0);
    let until_then = tokio::spawn(async move { hers.head().await });
    // Mallory's own doing is in the first block; the others are the news.
    for _ in 0..3 {
        let deposit = Call::VaultDeposit { key: identity("mallory").public() };
        let _done = within("a block", world.arbiter.call(&signer("mallory"), &deposit, UNIT)).await.unwrap();
    }
    let head = world.chain.block_number();
    e2e_tests::until("the chain to be seen", async || (bobs.head().await.unwrap() >= head).then_some(())).await;
    let _paid = bobs.pays(1, "alive").await;
    let _paid = alices.pays(1, "alive").await;
    assert!(!until_then.is_finished(), "others wait until what Mallory has said is done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_close_is_answered_while_the_closer_keeps_its_own_task_busy() {
    let world = World::new().await;
    let mut busy = Busy::new(&world).await;
    busy.keep_busy(&world).await;
    let _done = within("the old close", world.arbiter.call(&signer("mallory"), &busy.old, 0)).await.unwrap();
    let answered = async || (world.recorder.count("channel_slash").await > 0).then_some(());
    e2e_tests::until("the answer", answered).await;
    let wards = busy.bob.node.wards();
    assert!(matches!(&wards[..], [Ward { cause: WardCause::Late, .. }]), "the task has answered itself: {wards:?}");
}
