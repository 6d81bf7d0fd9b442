//! Contracts inside a channel: begun, called, forced and followed, with the real Wasm off chain and on it.

use crate::{Actor, App, Asked, TestChain, UNIT, World, account, signer, within};
use channel::{Certainty, Change, CloseReason, Event, Misuse, Outcome};
use protocol::{
    Amount, Pair, Party, Rejection,
    arbiter::{Start, plan},
    call::{Call, ForcedCall},
    contracts::{ContractId, Predictor},
    event::ArbiterEvent,
    terms::Delegate,
};
use scale::Encode;
use sdk::{
    chain::CallError,
    node::{ChannelHandle, NodeConfig, NodeError},
};

/// Alice and Bob with the counter, and a channel between them.
#[derive(Debug)]
pub struct Stage<'a, C> {
    /// Where all of it is.
    pub world: &'a World<C>,
    /// Who opened the channel.
    pub alice: Actor,
    /// Her peer, while he is there.
    bob: Option<Actor>,
    /// Her view of the channel.
    pub alices: ChannelHandle,
    /// His.
    pub bobs: ChannelHandle,
    /// What the contract runs.
    pub counter: App,
}

impl<'a, C: TestChain> Stage<'a, C> {
    /// Both with the usual settings.
    pub async fn new(world: &'a World<C>) -> Self {
        Self::with(world, |_alice| {}).await
    }

    /// The same, with other settings of Alice's.
    pub async fn with(world: &'a World<C>, change: impl FnOnce(&mut NodeConfig)) -> Self {
        let counter = world.deploy_app("counter").await;
        let mut alices = world.config("alice");
        change(&mut alices);
        world.give_app(&alices, &counter).await;
        let bobs = world.config("bob");
        world.give_app(&bobs, &counter).await;
        let (alice, bob) = world.couple_on(alices, bobs).await;
        let (alices, bobs) = alice.open(&bob).await;
        Self { world, alice, bob: Some(bob), alices, bobs, counter }
    }

    /// Alice begins a counter up to `goal` with so many of her coins.
    pub async fn begin(&self, goal: u64, coins: Amount) -> ContractId {
        let creating = self.alices.create_contract(self.counter.code, Pair::new(coins, 0), goal.encode());
        within("a contract", creating).await.unwrap().contract
    }

    /// Her peer.
    ///
    /// # Panics
    /// While he is not there.
    #[must_use]
    pub fn bob(&self) -> &Actor {
        self.bob.as_ref().unwrap()
    }

    /// Bob's node ends; nothing of it runs any more.
    async fn bob_stops(&mut self) {
        self.bob.take().unwrap().stop_and_wait().await;
    }

    /// Bob comes back, and is connected.
    async fn bob_returns(&mut self) {
        let config = self.world.config("bob");
        self.world.give_app(&config, &self.counter).await;
        let bob = self.world.start_with("bob", |it| *it = config).await;
        self.alice.connect(&bob).await;
        self.bobs = bob.channel(&self.alice, self.alices.reference()).await;
        self.bob = Some(bob);
    }
}

/// Counts on by so much, with so many coins attached, and gives the count and what was paid.
pub async fn count(channel: &ChannelHandle, contract: ContractId, by: u64, value: Amount) -> (u64, Pair<Amount>) {
    let called = within("a call", channel.call_contract(contract, value, by.encode())).await.unwrap();
    (protocol::decode_exact(&called.output).unwrap(), called.payouts)
}

fn forced(contract: ContractId, by: u64) -> ForcedCall {
    ForcedCall { contract, value: 0, input: by.encode() }
}

/// Off chain, from the beginning to the goal.
pub async fn both_call_a_contract_and_whoever_reaches_the_goal_has_its_coins<C: TestChain>(world: &World<C>) {
    let stage = Stage::new(world).await;
    let before = world.coins().await;
    let contract = stage.begin(5, 10 * UNIT).await;
    assert_eq!(count(&stage.alices, contract, 1, 0).await, (1, Pair::new(0, 0)));
    assert_eq!(count(&stage.bobs, contract, 2, UNIT).await, (3, Pair::new(0, 0)));
    let goal = Change::CallContract { contract, value: 0, input: 2_u64.encode() };
    let tried = within("a dry run", stage.bobs.try_change(goal)).await.unwrap();
    assert!(
        matches!(tried, Some(Outcome::Called { payouts: Pair { initiator: 0, responder }, .. }) if responder == 11 * UNIT)
    );
    assert_eq!(stage.bobs.contract(contract).await.unwrap().unwrap().balance, 11 * UNIT, "a dry run changes nothing");
    assert_eq!(count(&stage.bobs, contract, 2, 0).await, (5, Pair::new(0, 11 * UNIT)));
    assert_eq!((stage.alices.has().await.ours, stage.bobs.has().await.ours), (90 * UNIT, 110 * UNIT));
    // Alice has heard of Bob's calls and of what they did.
    let bobs_goal = |event: &Event| match event {
        Event::Executed { performed, .. } => performed.iter().find_map(|done| match &done.outcome {
            Outcome::Called { payouts, output, .. } if payouts.responder > 0 => Some(output.clone()),
            _ => None,
        }),
        _ => None,
    };
    let output = stage.alice.events.wait("the goal", stage.alices.reference(), bobs_goal).await;
    assert_eq!(output, 5_u64.encode());
    let closed = within("the close", stage.alices.close(0)).await;
    assert!(closed.is_ok(), "an empty contract keeps nobody from closing: {closed:?}");
    let gains = [(stage.alice.account(), 90 * UNIT.cast_signed()), (stage.bob().account(), 110 * UNIT.cast_signed())];
    world.coins().await.check(&before, &gains);
}

/// Bob is silent while Alice needs her calls, and comes back.
pub async fn a_silent_peer_is_overtaken_on_chain_and_on_its_return_both_go_on_without_closing<C: TestChain>(
    world: &World<C>,
) {
    let mut stage = Stage::new(world).await;
    let contract = stage.begin(10, 10 * UNIT).await;
    assert_eq!(count(&stage.bobs, contract, 3, 0).await.0, 3);
    let before = world.coins().await;
    stage.bob_stops().await;
    // Alice goes on alone, twice in one transaction and once in another.
    let done = within(
        "forced calls",
        stage.alices.force(vec![forced(contract, 1), forced(contract, 2)], Certainty::ConfirmedByPeer),
    )
    .await
    .unwrap();
    assert_eq!(done.len(), 2);
    let done = within("another forced call", stage.alices.force(vec![forced(contract, 1)], Certainty::ConfirmedByPeer))
        .await
        .unwrap();
    let Outcome::Called { output, .. } = &done[0].outcome else { panic!("{done:?}") };
    assert_eq!(*output, 7_u64.encode());
    // Bob comes back, sees it on chain, and counts on from there.
    stage.bob_returns().await;
    assert_eq!(count(&stage.bobs, contract, 1, 0).await.0, 8);
    assert_eq!(count(&stage.alices, contract, 2, 0).await, (10, Pair::new(10 * UNIT, 0)));
    let _paid = stage.bobs.pays(UNIT, "no hard feelings").await;
    let _closed = within("the close", stage.bobs.close(0)).await.unwrap();
    let gains = [(stage.alice.account(), 101 * UNIT.cast_signed()), (stage.bob().account(), 99 * UNIT.cast_signed())];
    world.coins().await.check(&before, &gains);
}

/// Alice's node does not wait for ever.
pub async fn calls_that_the_peer_leaves_unanswered_are_forced_by_themselves<C: TestChain>(world: &World<C>) {
    let mut stage = Stage::with(world, |alice| alice.channels.force_after = Some(1)).await;
    let before = world.coins().await;
    let contract = stage.begin(2, 10 * UNIT).await;
    stage.bob_stops().await;
    let alices = &stage.alices;
    let (one, two) = within("both calls", async {
        tokio::join!(
            alices.call_contract(contract, 0, 1_u64.encode()),
            alices.call_contract(contract, 0, 1_u64.encode())
        )
    })
    .await;
    assert_eq!(one.unwrap().output, 1_u64.encode());
    assert_eq!(two.unwrap().payouts, Pair::new(10 * UNIT, 0));
    assert_eq!(alices.has().await.ours, 100 * UNIT);
    stage.bob_returns().await;
    let _paid = stage.bobs.pays(UNIT, "no hard feelings").await;
    let _closed = within("the close", stage.alices.close(0)).await.unwrap();
    let gains = [(stage.alice.account(), 101 * UNIT.cast_signed()), (stage.bob().account(), 99 * UNIT.cast_signed())];
    world.coins().await.check(&before, &gains);
}

/// Bob closes alone while a contract holds coins; Alice counts on while the lock runs, and Bob when it has run out.
pub async fn what_contracts_hold_at_the_end_is_to_be_had_by_force<C: TestChain>(world: &World<C>) {
    let stage = Stage::new(world).await;
    let contract = stage.begin(4, 10 * UNIT).await;
    let before = world.coins().await;
    match stage.alices.close(0).await {
        Err(NodeError::Misuse(Misuse::ContractsHoldCoins { held })) => assert_eq!(held, 10 * UNIT),
        other => panic!("{other:?}"),
    }
    let closing = tokio::spawn({
        let bobs = stage.bobs.clone();
        async move { bobs.close_solo(Certainty::ConfirmedByPeer).await }
    });
    let solo = |event: &Event| matches!(event, Event::ClosingSolo { .. }).then_some(());
    stage.alice.events.wait("the close", stage.alices.reference(), solo).await;
    // While closing: Alice counts on.
    let _done = within("a forced call", stage.alices.force(vec![forced(contract, 1)], Certainty::ConfirmedByPeer))
        .await
        .unwrap();
    let residual = |event: &Event| match event {
        Event::Residual { held, .. } => Some(*held),
        _ => None,
    };
    world.pass(200).await;
    let held = stage.bob().events.wait("what is left", stage.bobs.reference(), residual).await;
    assert_eq!(held, 10 * UNIT);
    let _held = stage.alice.events.wait("what is left", stage.alices.reference(), residual).await;
    // Bob reaches the goal, with nobody's help.
    let done =
        within("the last call", stage.bobs.force(vec![forced(contract, 3)], Certainty::ConfirmedByPeer)).await.unwrap();
    assert!(matches!(&done[0].outcome, Outcome::Called { payouts, .. } if payouts.responder == 10 * UNIT));
    let _closed = within("Bob's end", closing).await.unwrap().unwrap();
    let _closed = within("Alice's end", stage.alices.closed()).await;
    let gains = [(stage.alice.account(), 90 * UNIT.cast_signed()), (stage.bob().account(), 110 * UNIT.cast_signed())];
    world.coins().await.check(&before, &gains);
}

/// Bob closes alone, and is silent while Alice's contract comes to its end.
pub async fn a_step_forced_while_closing_restarts_the_lock_and_is_settled_with_the_rest<C: TestChain>(
    world: &World<C>,
) {
    let stage = Stage::new(world).await;
    let contract = stage.begin(4, 10 * UNIT).await;
    let (before, channel) = (world.coins().await, stage.alices.reference());
    let id = stage.alices.status().await.unwrap().channel.unwrap();
    let closing = tokio::spawn({
        let bobs = stage.bobs.clone();
        async move { bobs.close_solo(Certainty::ConfirmedByPeer).await }
    });
    let unlock_at = |event: &Event| match event {
        Event::ClosingSolo { unlock_at, .. } => Some(*unlock_at),
        _ => None,
    };
    let first = stage.alice.events.wait("the close", channel, unlock_at).await;
    world.pass(5).await;
    let done = within("a forced call", stage.alices.force(vec![forced(contract, 4)], Certainty::ConfirmedByPeer))
        .await
        .unwrap();
    assert!(matches!(&done[0].outcome, Outcome::Called { payouts, .. } if payouts.initiator == 10 * UNIT));
    let record = world.arbiter.channel(id).await.unwrap().unwrap();
    let second = record.closing().unwrap().unlock_at;
    assert!(second > first, "{first} and {second}");
    // Where the first lock would have run out, nothing is paid.
    world.pass_until(first).await;
    let settle = Call::ChannelSettle { channel: id };
    let refused = within("a refusal", world.arbiter.call(&signer("mallory"), &settle, 0)).await.unwrap_err();
    assert!(matches!(refused, CallError::Rejected(Rejection::StillLocked { .. })), "{refused}");
    world.pass_lock(second).await;
    let settled = CloseReason::Settled { balances: Pair::new(100 * UNIT, 100 * UNIT) };
    assert_eq!(within("Bob's end", closing).await.unwrap().unwrap(), settled);
    assert_eq!(stage.alice.events.wait_end(channel).await, settled);
    let gain = 100 * UNIT.cast_signed();
    world.coins().await.check(&before, &[(stage.alice.account(), gain), (stage.bob().account(), gain)]);
}

/// Bob closes alone while Alice is away. She trusts the hub to defend her, and Mallory to play for her as well.
pub async fn a_delegate_calls_for_a_party_that_is_away_where_it_may_and_a_defender_may_not<C: TestChain>(
    world: &World<C>,
) {
    let stage = Stage::new(world).await;
    let contract = stage.begin(4, 10 * UNIT).await;
    let delegates = vec![Delegate::defender(account("hub")), Delegate::caller(account("mallory"))];
    let _round = within("delegates", stage.alices.set_delegates(delegates.clone())).await.unwrap();
    let (before, channel) = (world.coins().await, stage.alices.reference());
    let id = stage.alices.status().await.unwrap().channel.unwrap();
    let record = world.arbiter.channel(id).await.unwrap().unwrap();
    assert_eq!(record.terms.parties.initiator.delegates, delegates);
    let solo = |event: &Event| matches!(event, Event::ClosingSolo { .. }).then_some(());
    let closing = tokio::spawn({
        let bobs = stage.bobs.clone();
        async move { bobs.close_solo(Certainty::ConfirmedByPeer).await }
    });
    stage.alice.events.wait("the close", channel, solo).await;
    let state = stage.alices.state().await.unwrap().unwrap();
    let apps = stage.alice.node.apps().clone();
    let Stage { alice, bob, alices, counter, .. } = stage;
    drop(alices);
    alice.stop_and_wait().await;

    // The step that reaches the goal, as whoever acts for Alice makes it of what she has left.
    let record = world.arbiter.channel(id).await.unwrap().unwrap();
    let (contracts, balances, calls_root) = (&state.contracts, state.balances, state.calls_root);
    let start = Start { channel: id, record: &record, payload: None, balances, contracts, calls_root };
    let mut executor = Predictor::new(&*apps, &|_| None);
    let deployed = |_code: &_| Some(counter.deployed);
    let height = world.chain.block_number().await + 1;
    let planned = plan(&start, Party::Initiator, vec![forced(contract, 4)], height, &deployed, &mut executor).unwrap();
    let step = Call::ChannelForceProgress(planned.call);
    let refused = within("a refusal", world.arbiter.call(&signer("hub"), &step, 0)).await.unwrap_err();
    assert_eq!(refused, CallError::Rejected(Rejection::DelegateMayNotCall { party: Party::Initiator }));
    let refused = within("a refusal", world.arbiter.call(&signer("peer0"), &step, 0)).await.unwrap_err();
    assert_eq!(refused, CallError::Rejected(Rejection::MayNotForce { party: Party::Initiator }));
    assert_eq!(world.arbiter.channel(id).await.unwrap().as_ref(), Some(&record), "neither has changed anything");
    let done = within("a step", world.arbiter.call(&signer("mallory"), &step, 0)).await.unwrap();
    let events: Vec<_> = done.events.iter().map(|announced| &announced.event).collect();
    let [ArbiterEvent::ChannelProgressed { party: Party::Initiator, .. }] = events[..] else { panic!("{events:?}") };

    let record = world.arbiter.channel(id).await.unwrap().unwrap();
    world.pass_lock(record.closing().unwrap().unlock_at).await;
    // Alice's side would settle first; she is away, and Bob's node follows two blocks later.
    world.pass(3).await;
    let settled = CloseReason::Settled { balances: Pair::new(100 * UNIT, 100 * UNIT) };
    assert_eq!(within("Bob's end", closing).await.unwrap().unwrap(), settled);
    let (alice, gain) = (account("alice"), 100 * UNIT.cast_signed());
    world.coins().await.check(&before, &[(alice, gain), (bob.unwrap().account(), gain)]);
}
