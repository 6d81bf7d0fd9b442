//! What is timed.

use channel::{Certainty, Event};
use e2e_tests::{Actor, App, Asked, NodeChain, TestChain, UNIT, World, signer, terms, within};
use futures::future::join_all;
use protocol::{
    AccountId, BlockNumber, Pair,
    call::{Call, ForcedCall},
};
use scale::Encode;
use sdk::{
    chain::{Chain, Signer, Transaction},
    node::{NodeConfig, OpenChannel},
};
use std::time::{Duration, Instant};

/// One operation's samples: how long it took, and how many blocks were made in the meantime.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) samples: Vec<(Duration, BlockNumber)>,
}

/// Two peers on a node, and a stopwatch.
pub(crate) struct Timed<'a> {
    world: &'a World<NodeChain>,
    counter: App,
    alice: Actor,
    bob: Actor,
    rows: Vec<Row>,
}

impl<'a> Timed<'a> {
    pub(crate) async fn new(world: &'a World<NodeChain>) -> Self {
        let counter = world.deploy_app("counter").await;
        let (alices, bobs) = (world.config("alice"), world.config("bob"));
        world.give_app(&alices, &counter).await;
        world.give_app(&bobs, &counter).await;
        let (alice, bob) = world.couple_on(alices, bobs).await;
        // Each channel takes a share out of the vault, and pays out beside it.
        for actor in [&alice, &bob] {
            let _done = within("a deposit", actor.node.vault_deposit(6_000 * UNIT)).await.unwrap();
        }
        Self { world, counter, alice, bob, rows: Vec::new() }
    }

    pub(crate) fn into_rows(self) -> Vec<Row> {
        self.rows
    }

    /// Everything that both agree on.
    pub(crate) async fn a_life(&mut self) {
        let Self { world, alice, bob, rows, .. } = self;
        let (from, to) = (signer("mallory"), AccountId([5; 32]));
        let transfer = Transaction::Transfer { to, amount: UNIT };
        let sent = async {
            let dry_run = world.recorder.dry_run(&from.account(), &transfer).await.unwrap();
            world.recorder.submit(&from, transfer.clone(), &dry_run).await.unwrap()
        };
        let mut watch = Watch { chain: &world.chain, rows };
        let _receipt = watch.time("a transfer of coins: the limit", sent).await;
        let _done = watch.time("deposit into the vault", alice.node.vault_deposit(UNIT)).await.unwrap();
        let _done = watch.time("withdrawal from the vault", alice.node.vault_withdraw(UNIT)).await.unwrap();
        let (alices, bobs) = watch.time("opening", alice.open(bob)).await;
        let _round = watch.time("deposit into the channel", alices.deposit(UNIT)).await.unwrap();
        let _round = watch.time("withdrawal from the channel", alices.withdraw(UNIT)).await.unwrap();
        let delegates = vec![signer("mallory").account()];
        let _round = watch.time("other delegates", alices.set_delegates(delegates)).await.unwrap();
        let both_end = async { tokio::join!(alices.close(0), bob.events.wait_end(bobs.reference())) };
        let (closed, _same) = watch.time("close in agreement", both_end).await;
        let _closed = closed.unwrap();
    }

    /// A close on an old state, its answer, and the settlement.
    pub(crate) async fn a_dispute(&mut self) {
        let Self { world, alice, bob, rows, .. } = self;
        let (alices, bobs) = alice.open(bob).await;
        let old = bobs.evidence().await.unwrap().unwrap();
        let _paid = bobs.pays(UNIT, "regretted").await;
        let _paid = alices.pays(UNIT, "seen").await;
        let mut watch = Watch { chain: &world.chain, rows };
        let bobs_key = signer("bob");
        let close = Call::ChannelCloseSolo(old);
        let _done = watch.time("close alone", world.arbiter.call(&bobs_key, &close, 0)).await.unwrap();
        let slashed = |event: &Event| match event {
            Event::Slashed { unlock_at, .. } => Some(*unlock_at),
            _ => None,
        };
        let both_slashed = async {
            let _same = bob.events.wait("the slash", bobs.reference(), slashed).await;
            alice.events.wait("the slash", alices.reference(), slashed).await
        };
        let unlock_at = watch.time("answer to a close on an old state, once that is final", both_slashed).await;
        world.pass_lock(unlock_at).await;
        let ends = async { tokio::join!(alices.closed(), bobs.closed()) };
        let (one, other) = watch.time("settlement, once the lock has run out", ends).await;
        let _ends = (one.unwrap(), other.unwrap());
    }

    /// A call that the peer does not answer.
    pub(crate) async fn a_forced_step(self) -> Self {
        let Self { world, counter, alice, bob, mut rows } = self;
        let (alices, _bobs) = alice.open(&bob).await;
        let creating = alices.create_contract(counter.code, Pair::new(UNIT, 0), 2_u64.encode());
        let contract = within("a contract", creating).await.unwrap().contract;
        bob.stop_and_wait().await;
        let mut watch = Watch { chain: &world.chain, rows: &mut rows };
        let call = || vec![ForcedCall { contract, value: 0, input: 1_u64.encode() }];
        let _done = watch
            .time("forced call, with the last agreed state", alices.force(call(), Certainty::ConfirmedByPeer))
            .await
            .unwrap();
        let _done = watch
            .time("forced call, on the state on chain", alices.force(call(), Certainty::ConfirmedByPeer))
            .await
            .unwrap();
        let config = world.config("bob");
        world.give_app(&config, &counter).await;
        let bob = world.start_with("bob", |it| *it = config).await;
        alice.connect(&bob).await;
        let bobs = bob.channel(&alice, alices.reference()).await;
        let _paid = bobs.pays(1, "here again").await;
        let _closed = within("the close", alices.close(0)).await.unwrap();
        let _same = bob.events.wait_end(alices.reference()).await;
        Self { world, counter, alice, bob, rows }
    }

    /// A hundred channels of one hub, opened and closed at once.
    pub(crate) async fn a_hub(&mut self) {
        let Self { world, rows, .. } = self;
        // This chain makes a block of each transaction: before one is final, more of them have passed than a close is valid for as a rule.
        let patient = |config: &mut NodeConfig| config.channels.close_validity = 1_000;
        let hub = world.start_with("hub", patient).await;
        let _done = within("a deposit", hub.node.vault_deposit(2_000 * UNIT)).await.unwrap();
        let names = ["peer0", "peer1", "peer2", "peer3", "peer4", "peer5", "peer6", "peer7", "peer8", "peer9"];
        let peers: Vec<Actor> = join_all(names.map(|name| world.start_rich(name, 200 * UNIT))).await;
        for peer in &peers {
            hub.connect(peer).await;
        }
        let terms = OpenChannel { our_share: 15 * UNIT, peer_share: 15 * UNIT, ..terms() };
        let mut watch = Watch { chain: &world.chain, rows };
        let opening = join_all(peers.iter().flat_map(|peer| (0..10).map(|_| hub.open_on(peer, terms))));
        let channels = watch.time("opening of 100 channels of one hub at once", opening).await;
        let closes = join_all(channels.iter().map(|(hubs, _)| hubs.close(0)));
        let closed = watch.time("close of 100 channels of one hub at once", closes).await;
        let failed: Vec<_> = closed.into_iter().filter_map(Result::err).collect();
        assert!(failed.is_empty(), "{failed:?}");
    }
}

/// A stopwatch.
struct Watch<'a> {
    chain: &'a NodeChain,
    rows: &'a mut Vec<Row>,
}

impl Watch<'_> {
    /// Times `doing`.
    async fn time<T>(&mut self, what: &'static str, doing: impl Future<Output = T>) -> T {
        let block = self.chain.block_number().await;
        let began = Instant::now();
        let done = within(what, doing).await;
        let took = began.elapsed();
        let sample = (took, self.chain.block_number().await - block);
        match self.rows.iter_mut().find(|row| row.what == what) {
            Some(row) => row.samples.push(sample),
            None => self.rows.push(Row { what, samples: vec![sample] }),
        }
        done
    }
}
