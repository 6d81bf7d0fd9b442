//! `kill -9`, for real: peers in processes of their own, which are killed in the middle of what they do and started again.

use crate::{
    Actor, Direction, PeerProcess, Proxy, TestChain, UNIT, World, account, address_at, identity, party, signer, terms,
    until, within,
};
use channel::{ChannelRef, CloseReason};
use protocol::{Amount, Pair, call::Call, crypto::Native, record::Record, terms::channel_id};
use sdk::node::{ChannelHandle, NodeError};

/// What Bob pays at a time.
const BOBS: Amount = 1_000;
/// What Alice pays at a time: so that a balance tells how many payments of each were made.
const ALICES: Amount = 1_000_000;

/// Fills a vault from outside of its owner's process.
async fn fill_vault<C: TestChain>(world: &World<C>, name: &'static str) {
    let (owner, key) = (signer(name), identity(name).public());
    let _done = within("a deposit", world.arbiter.call(&owner, &Call::VaultDeposit { key }, 500 * UNIT)).await.unwrap();
}

/// The channel of Alice and Bob as the arbiter has it; there is one.
async fn record<C: TestChain>(world: &World<C>) -> Record {
    let parties = Pair::new(party("alice"), party("bob"));
    let domain = world.arbiter.info().domain;
    let id = channel_id(&domain, &parties, 0, &Native);
    world.arbiter.channel(id).await.unwrap().unwrap()
}

/// The numbers that Alice was paid, in order.
fn numbers(alice: &Actor, channel: ChannelRef) -> Vec<u32> {
    let number = |reference: Vec<u8>| u32::from_be_bytes(reference.try_into().unwrap());
    alice.events.received(channel).into_iter().map(|payment| number(payment.reference)).collect()
}

/// Alice makes some payments, whatever happens to Bob; how many she was told are made.
fn alice_pays(channel: &ChannelHandle) -> tokio::task::JoinHandle<u128> {
    let channel = channel.clone();
    tokio::spawn(async move {
        for _ in 0..20 {
            let _paid = channel.pay(ALICES, "from Alice").await.unwrap();
        }
        20
    })
}

/// Bob is killed while both pay.
pub async fn a_peer_that_is_killed_again_and_again_loses_nothing_that_anybody_was_told_and_pays_nothing_twice<
    C: TestChain,
>(
    world: &World<C>,
) {
    let before = world.coins().await;
    let alice = world.start_rich("alice", 200 * UNIT).await;
    fill_vault(world, "bob").await;
    let mut bob = PeerProcess::start(world, "bob").await;
    let peer = within("a connection", alice.node.connect(&bob.address().await)).await.unwrap();
    let alices = within("a channel to open", alice.node.open_channel(peer, terms())).await.unwrap();
    let channel = alices.reference();
    let (mut paying, mut alice_paid) = (alice_pays(&alices), 0);
    let mut next = 0;
    for kill_after in [1, 3, 10, 25, 60] {
        let _until_killed = bob.tell(&format!("pay-on alice {BOBS} {next}")).await;
        let _told = bob.pays_on(kill_after).await;
        let told = bob.kill().await.last().copied();
        // A new process goes on where Bob knows to have left off: what he was not told of he must look up first.
        next = numbers(&alice, channel).last().copied().max(told).map_or(0, |last| last + 1_000);
        bob = PeerProcess::start(world, "bob").await;
        let _peer = within("a connection", alice.node.connect(&bob.address().await)).await.unwrap();
        alice_paid += within("Alice's payments", paying).await.unwrap();
        paying = alice_pays(&alices);
        let heard = numbers(&alice, channel);
        assert!(told.is_none_or(|told| heard.contains(&told)), "Bob was told that {told:?} is paid: {heard:?}");
    }
    alice_paid += within("Alice's payments", paying).await.unwrap();

    let heard = numbers(&alice, channel);
    assert!(heard.windows(2).all(|pair| pair[0] < pair[1]), "in order, and each once: {heard:?}");
    let CloseReason::Mutual { balances } = within("the close", alices.close(0)).await.unwrap() else { panic!() };
    let _ended = alice.events.wait_end(channel).await;
    let gain = u128::try_from(numbers(&alice, channel).len()).unwrap() * BOBS;
    let loss = alice_paid * ALICES;
    assert_eq!(balances, Pair::new(100 * UNIT + gain - loss, 100 * UNIT + loss - gain));
    let won = gain.cast_signed() - loss.cast_signed();
    world.coins().await.check(&before, &[(account("alice"), won), (account("bob"), -won)]);
}

/// Alice, and Bob in a process of his own, who dials her through a proxy and has a channel with her.
struct Behind {
    alice: Actor,
    alices: ChannelHandle,
    bob: PeerProcess,
    proxy: Proxy,
    /// How Bob connects.
    dial: String,
}

impl Behind {
    async fn new<C: TestChain>(world: &World<C>) -> Self {
        let alice = world.start_rich("alice", 200 * UNIT).await;
        fill_vault(world, "bob").await;
        let proxy = Proxy::before(alice.socket()).await;
        let dial = format!("connect {}", address_at("alice", proxy.address()));
        let bob = PeerProcess::start(world, "bob").await;
        let _connected = bob.does(&dial).await;
        // Whoever dials is connected before the other one has taken note of it.
        let open = || async {
            match alice.node.open_channel(identity("bob").public(), terms()).await {
                Err(NodeError::NotConnected(_)) => None,
                opened => Some(opened),
            }
        };
        let alices = until("a channel to open", open).await.unwrap();
        Self { alice, alices, bob, proxy, dial }
    }
}

/// Where a deposit of Bob's is when he is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// He has asked Alice for it, and she has not heard of it.
    Asked,
    /// She has signed it, and he has not heard of that.
    Signed,
    /// It is on chain. What he knows of it is anybody's guess.
    OnChain,
}

/// Bob is killed in the middle of a deposit, wherever that is.
pub async fn a_peer_that_is_killed_in_the_middle_of_a_deposit_has_made_it_once_when_it_is_back<C: TestChain>(
    world: &World<C>,
) {
    let before = world.coins().await;
    let Behind { alice, alices, mut bob, proxy, dial } = Behind::new(world).await;
    let mut bobs = 100 * UNIT;
    for moment in [Moment::Asked, Moment::Signed, Moment::OnChain] {
        let total = record(world).await.total;
        match moment {
            Moment::Asked => proxy.swallow(Direction::Forth),
            Moment::Signed => proxy.swallow(Direction::Back),
            Moment::OnChain => {}
        }
        let _never_answered = bob.tell(&format!("deposit alice {}", 50 * UNIT)).await;
        match moment {
            Moment::Asked => proxy.loses(Direction::Forth).await,
            Moment::Signed => {
                until("Alice to sign", || async { alices.status().await.unwrap().operation.map(drop) }).await;
            }
            Moment::OnChain => {
                until("the deposit", || async { (record(world).await.total > total).then_some(()) }).await;
            }
        }
        let _told = bob.kill().await;
        proxy.mend();
        bob = PeerProcess::start(world, "bob").await;
        let _connected = bob.does(&dial).await;
        both_are_idle(world, &bob, &alices).await;
        bobs += 50 * UNIT;
        assert_eq!(record(world).await.total, total + 50 * UNIT, "{moment:?}");
        assert_eq!(bob.has("alice").await, (bobs, 100 * UNIT), "{moment:?}");
        let _round = bob.does(&format!("pay alice {} change", 10 * UNIT)).await;
        let _paid = within("a payment", alices.pay(10 * UNIT, "and back")).await.unwrap();
    }
    let _ended = bob.does("close alice").await;
    let _ended = alice.events.wait_end(alices.reference()).await;
    world.coins().await.check(&before, &[]);
}

/// Where a payment of Bob's is when he is killed.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// It waits for a connection: no round holds it.
    Waits,
    /// It was proposed, and Alice has not heard of it.
    Proposed,
    /// Alice has signed it, and he has not heard of that.
    Signed,
    /// It is made, and he was told so.
    Made,
}

/// Bob is killed between asking for a payment and the answer, wherever that is, and asks again by the same key.
pub async fn a_payment_with_a_key_is_made_once_wherever_its_payer_is_killed<C: TestChain>(world: &World<C>) {
    let before = world.coins().await;
    let Behind { alice, alices, mut bob, proxy, dial } = Behind::new(world).await;
    let channel = alices.reference();
    // A channel that has not seen its opening takes no payments.
    both_are_idle(world, &bob, &alices).await;
    for (count, stage) in (1..).zip([Stage::Waits, Stage::Proposed, Stage::Signed, Stage::Made]) {
        let key = format!("order-{count}");
        let ask = format!("pay-once alice {BOBS} {key}");
        match stage {
            // Bob's node dials again within a second, and must not get through before it is asked.
            Stage::Waits => {
                proxy.stall();
                proxy.cut();
            }
            Stage::Proposed => proxy.swallow(Direction::Forth),
            Stage::Signed => proxy.swallow(Direction::Back),
            Stage::Made => {}
        }
        let asked = bob.tell(&ask).await;
        match stage {
            Stage::Waits => {
                let pending = format!("{key}:pending");
                let is_there = || async { bob.does("payments alice").await.contains(&pending).then_some(()) };
                until("the payment to wait", is_there).await;
                // An answer to a later question comes after the commit.
                assert!(bob.does("payments alice").await.contains(&pending));
                assert_eq!(alice.events.received(channel).len(), 0);
            }
            Stage::Proposed => proxy.loses(Direction::Forth).await,
            Stage::Signed => drop(alice.events.wait_received(channel, count).await),
            Stage::Made => drop(bob.answer(asked).await.unwrap()),
        }
        let _told = bob.kill().await;
        proxy.mend();
        bob = PeerProcess::start(world, "bob").await;
        let _connected = bob.does(&dial).await;
        let first = bob.does(&ask).await;
        assert_eq!(bob.does(&ask).await, first, "{stage:?}: the same payment answers");
        let received = alice.events.wait_received(channel, count).await;
        let this = received.iter().filter(|payment| payment.reference == key.as_bytes()).count();
        assert_eq!((received.len(), this), (count, 1), "{stage:?}");
        assert!(bob.does("payments alice").await.ends_with(&format!("{key}:ended")));
    }
    let other = bob.tell(&format!("pay-once alice {} order-1", 2 * BOBS)).await;
    let refused = bob.answer(other).await.unwrap_err();
    assert!(refused.contains("names another payment"), "{refused}");
    let paid = 4 * BOBS;
    assert_eq!(bob.has("alice").await, (100 * UNIT - paid, 100 * UNIT + paid));
    let _ended = bob.does("close alice").await;
    let _ended = alice.events.wait_end(channel).await;
    let won = paid.cast_signed();
    world.coins().await.check(&before, &[(account("alice"), won), (account("bob"), -won)]);
}

/// Waits until nothing is under way between the two, while blocks come as each of them can see them.
async fn both_are_idle<C: TestChain>(world: &World<C>, bob: &PeerProcess, alices: &ChannelHandle) {
    until("both to be idle", || async {
        let hers = alices.status().await.unwrap();
        if bob.does("status alice").await == "open idle"
            && hers.state == channel::Stage::Open
            && hers.operation.is_none()
        {
            return Some(());
        }
        pass_one(world, &[bob]).await;
        None
    })
    .await;
}

/// A block, which every one of these has seen when this answers: nobody is left behind.
async fn pass_one<C: TestChain>(world: &World<C>, peers: &[&PeerProcess]) {
    world.pass(1).await;
    let head = world.chain.block_number().await;
    for peer in peers {
        let other = if peer.name == "bob" { "alice" } else { "bob" };
        let sees = || async {
            let seen: u32 = peer.does(&format!("head {other}")).await.parse().unwrap();
            (seen >= head).then_some(())
        };
        until("a block to be seen", sees).await;
    }
}

/// Both are processes, and each is killed once.
pub async fn two_processes_open_and_pay_and_close_although_each_is_killed_once<C: TestChain>(world: &World<C>) {
    let before = world.coins().await;
    for name in ["alice", "bob"] {
        fill_vault(world, name).await;
    }
    let mut alice = PeerProcess::start(world, "alice").await;
    let mut bob = PeerProcess::start(world, "bob").await;
    let _connected = alice.does(&format!("connect {}", bob.address().await)).await;
    let _opened = alice.does("open bob").await;
    let _paid = alice.does(&format!("pay bob {UNIT} first")).await;
    // The responder, in the middle of a deposit.
    let _never_answered = bob.tell(&format!("deposit alice {}", 50 * UNIT)).await;
    until("the deposit", || async { (record(world).await.total > 200 * UNIT).then_some(()) }).await;
    let _told = bob.kill().await;
    bob = PeerProcess::start(world, "bob").await;
    let _connected = alice.does(&format!("connect {}", bob.address().await)).await;
    idle(world, &alice, &bob).await;
    assert_eq!(bob.has("alice").await, (151 * UNIT, 99 * UNIT));

    // The initiator, in the middle of payments both ways.
    let _until_killed = alice.tell(&format!("pay-on bob {ALICES} 0")).await;
    let bobs_payments = bob.tell(&format!("pay-on alice {BOBS} 0")).await;
    let _told = alice.pays_on(20).await;
    let alice_told = alice.kill().await.len();
    alice = PeerProcess::start(world, "alice").await;
    let _connected = bob.does(&format!("connect {}", alice.address().await)).await;
    let _stops = bob.does("enough").await;
    let bob_told: u128 = bob.answer(bobs_payments).await.unwrap().parse().unwrap();
    idle(world, &alice, &bob).await;
    let (hers, his) = alice.has("bob").await;
    assert_eq!((his, hers), bob.has("alice").await);
    assert_eq!(hers + his, 250 * UNIT);
    // Every payment that was told is made; one more of hers may have been under way.
    let alice_made = (his + bob_told * BOBS - 151 * UNIT) / ALICES;
    assert_eq!(his, 151 * UNIT + alice_made * ALICES - bob_told * BOBS);
    let more = alice_made - u128::try_from(alice_told).unwrap();
    assert!(more <= 1, "{alice_made} made, {alice_told} told");

    let closing = bob.tell("closed alice").await;
    assert_eq!(alice.does("close bob").await, format!("mutual {hers} {his}"));
    assert_eq!(bob.answer(closing).await.unwrap(), format!("mutual {hers} {his}"));
    let won = hers.cast_signed() - 100 * UNIT.cast_signed();
    world.coins().await.check(&before, &[(account("alice"), won), (account("bob"), -won)]);
}

/// Waits until nothing is under way between two processes, while blocks come as each of them can see them.
async fn idle<C: TestChain>(world: &World<C>, alice: &PeerProcess, bob: &PeerProcess) {
    until("both to be idle", || async {
        if alice.does("status bob").await == "open idle" && bob.does("status alice").await == "open idle" {
            return Some(());
        }
        pass_one(world, &[alice, bob]).await;
        None
    })
    .await;
}

/// Bob is a process that cheats, Alice one that is awake.
pub async fn a_process_that_closes_on_an_old_state_loses_the_penalty_to_one_that_is_awake<C: TestChain>(
    world: &World<C>,
) {
    let before = world.coins().await;
    for name in ["alice", "bob"] {
        fill_vault(world, name).await;
    }
    let alice = PeerProcess::start(world, "alice").await;
    let bob = PeerProcess::start(world, "bob").await;
    let _connected = alice.does(&format!("connect {}", bob.address().await)).await;
    let _opened = alice.does("open bob").await;
    let _kept = bob.does("keep alice").await;
    let _round = bob.does(&format!("pay alice {} regretted", 40 * UNIT)).await;
    let _round = alice.does(&format!("pay bob {UNIT} change")).await;
    let ends = (alice.tell("closed bob").await, bob.tell("closed alice").await);
    let _block = bob.does("cheat alice").await;
    let unlock_at = until("the slash", || async {
        let record = record(world).await;
        record.closing().ok().filter(|_| record.on_chain.round() > 1).map(|closing| closing.unlock_at)
    })
    .await;
    world.pass_until(unlock_at + 5).await;
    let end = format!("settled {} {}", 144 * UNIT, 56 * UNIT);
    assert_eq!(alice.answer(ends.0).await.unwrap(), end);
    assert_eq!(bob.answer(ends.1).await.unwrap(), end);
    let gain = 44 * UNIT.cast_signed();
    world.coins().await.check(&before, &[(account("alice"), gain), (account("bob"), -gain)]);
}
