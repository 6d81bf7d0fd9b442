//! The apps that ship, each once through real nodes: played by both, forced at the very block from which it is possible, followed by the peer on
//! its return, and every coin counted.

use crate::{Actor, App, Asked, Coins, TestChain, UNIT, World, account, until, within};
use channel::{Certainty, ChangeFault, Misuse, Notice, Outcome, Performed};
use protocol::{
    Amount, BlockNumber, Pair, Party, Rejection,
    call::ForcedCall,
    contracts::{App as Logic, CallFault, ContractId},
    decode_exact,
};
use scale::{Decode, Encode};
use sdk::{
    chain::Chain,
    node::{ChannelHandle, NodeError},
};
use std::{fmt::Debug, marker::PhantomData};

const ALICE: Party = Party::Initiator;
const BOB: Party = Party::Responder;

/// An app whose creations and calls can be written and whose answers can be read here.
trait Played: Logic<Creation: Encode, Input: Encode, Output: Decode, Error: Decode + Debug + PartialEq> {}

impl<A: Logic<Creation: Encode, Input: Encode, Output: Decode, Error: Decode + Debug + PartialEq>> Played for A {}

/// Alice and Bob with an app, a channel, and a contract in it.
struct Stage<'a, A, C> {
    world: &'a World<C>,
    app: App,
    alice: Actor,
    bob: Option<Actor>,
    channels: Pair<ChannelHandle>,
    contract: ContractId,
    /// The block at which the contract was begun.
    begun: BlockNumber,
    logic: PhantomData<A>,
}

impl<'a, A: Played, C: TestChain> Stage<'a, A, C> {
    /// A contract begun by `by`; whoever else's coins are in it agrees. The creation is made for the block it is begun at.
    async fn begin(
        world: &'a World<C>,
        name: &str,
        by: Party,
        coins: Pair<Amount>,
        creation: impl FnOnce(BlockNumber) -> A::Creation,
    ) -> Self {
        let app = world.deploy_app(name).await;
        let configs = Pair::new(world.config("alice"), world.config("bob"));
        for (_, config) in configs.iter() {
            world.give_app(config, &app).await;
        }
        let (alice, bob) = world.couple_on(configs.initiator, configs.responder).await;
        let (alices, bobs) = alice.open(&bob).await;
        let channels = Pair::new(alices, bobs);
        let (contract, begun) = (ContractId([0; 32]), world.chain.block_number().await);
        let mut stage = Self { world, app, alice, bob: Some(bob), channels, contract, begun, logic: PhantomData };
        let _head = stage.head().await;
        stage.contract = stage.create(by, coins, creation(begun)).await;
        stage
    }

    async fn create(&self, by: Party, coins: Pair<Amount>, creation: A::Creation) -> ContractId {
        let creating = self.channels[by].create_contract(self.app.code, coins, creation.encode());
        let agreeing = async {
            if coins[by.peer()] > 0 {
                self.agree(by.peer()).await;
            }
        };
        let (created, ()) = within("a contract", async { tokio::join!(creating, agreeing) }).await;
        created.unwrap().contract
    }

    /// Agrees to what `who` is asked about.
    async fn agree(&self, who: Party) {
        let proposed = |notice: &Notice| match notice {
            Notice::Proposed { proposal, .. } => Some(*proposal),
            _ => None,
        };
        let channel = &self.channels[who];
        let actor = if who == ALICE { &self.alice } else { self.bob.as_ref().unwrap() };
        let round = actor.events.wait_notice("to be asked", channel.reference(), proposed).await;
        within("consent", channel.accept(round)).await.unwrap();
    }

    /// Waits until whoever is there has seen the newest block.
    async fn head(&self) -> BlockNumber {
        let head = self.world.chain.block_number().await;
        for (who, channel) in self.channels.iter().filter(|(who, _)| *who == ALICE || self.bob.is_some()) {
            until(&format!("{who:?} to see block {head}"), || async {
                (channel.head().await.unwrap() >= head).then_some(())
            })
            .await;
        }
        head
    }

    /// The next transaction is in this block.
    async fn next_is(&self, block: BlockNumber) {
        self.world.pass_until(block - 1).await;
        assert_eq!(self.head().await, block - 1);
    }

    /// Calls, and gives what was paid.
    async fn call(&self, by: Party, value: Amount, input: A::Input) -> Pair<Amount> {
        let called = self.channels[by].call_contract(self.contract, value, input.encode());
        within("a call", called).await.unwrap().payouts
    }

    /// Calls what the app refuses with this error.
    async fn is_refused(&self, by: Party, input: A::Input, error: A::Error) {
        let input = input.encode();
        let why = within("a reason", self.channels[by].ask_app(self.contract, 0, input.clone())).await.unwrap();
        assert_eq!(decode_exact::<A::Error>(&why.unwrap_err()).unwrap(), error);
        match within("a refusal", self.channels[by].call_contract(self.contract, 0, input)).await {
            Err(NodeError::ChangeFailed { fault: ChangeFault::Call(CallFault::Refused), .. }) => {}
            other => panic!("{other:?}"),
        }
    }

    /// Has the arbiter make Alice's call in this block, in which it may be made as in the one before, and gives what was paid.
    async fn force(&self, block: BlockNumber, input: A::Input) -> Pair<Amount> {
        self.next_is(block).await;
        let call = ForcedCall { contract: self.contract, value: 0, input: input.encode() };
        let done =
            within("a forced call", self.channels[ALICE].force(vec![call], Certainty::ConfirmedByPeer)).await.unwrap();
        assert_eq!(self.head().await, block);
        paid(&done)
    }

    /// Has the arbiter make Alice's call, which may be made from this block on, as soon as the chain makes it, and gives that block and what
    /// was paid: a node that tries calls in the block that is there says yes only then, and the call is in the one after it.
    async fn force_from(&self, block: BlockNumber, input: A::Input) -> (BlockNumber, Pair<Amount>) {
        self.next_is(block).await;
        let call = ForcedCall { contract: self.contract, value: 0, input: input.encode() };
        let forcing = tokio::spawn({
            let alices = self.channels[ALICE].clone();
            async move { alices.force(vec![call], Certainty::ConfirmedByPeer).await }
        });
        let mut made_in = block;
        if !self.world.recorder.dry_runs_in_next_block() {
            self.asked().await;
            self.world.pass_until(block).await;
            made_in += 1;
        }
        let done = within("a forced call", forcing).await.unwrap().unwrap();
        assert_eq!(self.head().await, made_in);
        (made_in, paid(&done))
    }

    /// Waits until Alice's node has asked for a call and has its answer.
    async fn asked(&self) {
        let alices = &self.channels[ALICE];
        until("the call to be wanted", || async { alices.status().await.unwrap().forcing.then_some(()) }).await;
        self.world.recorder.quiet().await;
    }

    /// In this block the arbiter would not make Alice's call.
    async fn is_not_forced(&self, block: BlockNumber, input: A::Input) {
        self.next_is(block).await;
        let call = ForcedCall { contract: self.contract, value: 0, input: input.encode() };
        match within("a refusal", self.channels[ALICE].force(vec![call], Certainty::ConfirmedByPeer)).await {
            Err(NodeError::Misuse(Misuse::WouldBeRefused(Rejection::CallFailed {
                fault: CallFault::Refused, ..
            }))) => {}
            other => panic!("{other:?}"),
        }
    }

    async fn bob_stops(&mut self) {
        self.bob.take().unwrap().stop_and_wait().await;
    }

    /// Bob comes back, and has followed what was forced.
    async fn bob_returns(&mut self) {
        let config = self.world.config("bob");
        self.world.give_app(&config, &self.app).await;
        let bob = self.world.start_with("bob", |it| *it = config).await;
        self.alice.connect(&bob).await;
        self.channels.responder = bob.channel(&self.alice, self.channels.initiator.reference()).await;
        self.bob = Some(bob);
        let _head = self.head().await;
        let [alices, bobs] = [&self.channels.initiator, &self.channels.responder].map(ChannelHandle::state);
        assert_eq!(alices.await.unwrap(), bobs.await.unwrap(), "Bob has followed");
    }

    /// The state as both agreed on it.
    async fn state(&self) -> A::State {
        let contract = self.channels.initiator.contract(self.contract).await.unwrap().unwrap();
        decode_exact(&contract.state).unwrap()
    }

    /// Shares out what the contract holds, closes in agreement, and counts: each has gained so much since `before`.
    async fn end(&self, shares: Pair<Amount>, before: &Coins, gains: Pair<i128>) {
        let removing = self.channels[BOB].remove_contract(self.contract, shares);
        let (removed, ()) = within("the removal", async { tokio::join!(removing, self.agree(ALICE)) }).await;
        let _round = removed.unwrap();
        let _paid = self.channels[BOB].pays(UNIT, "no hard feelings").await;
        let _closed = within("the close", self.channels[ALICE].close(0)).await.unwrap();
        // The channel was opened before.
        let share = 100 * UNIT.cast_signed();
        let unit = UNIT.cast_signed();
        let gains =
            [(account("alice"), share + gains.initiator + unit), (account("bob"), share + gains.responder - unit)];
        self.world.coins().await.check(before, &gains);
    }
}

/// What a forced call paid.
fn paid(done: &[Performed]) -> Pair<Amount> {
    match &done[0].outcome {
        Outcome::Called { payouts, .. } => *payouts,
        other => panic!("{other:?}"),
    }
}

/// Bob pays by the block, and is away while Alice collects.
pub async fn a_stream_is_collected_by_force_from_its_first_block_on_and_stopped_when_the_payer_is_back<C: TestChain>(
    world: &World<C>,
) {
    use stream::{Creation, Error, Input, Stream};
    let create = |now| Creation { payer: BOB, rate: UNIT, start: now + 10, end: None };
    let mut stage = Stage::<Stream, C>::begin(world, "stream", BOB, Pair::new(0, 40 * UNIT), create).await;
    let (before, start) = (world.coins().await, stage.begun + 10);
    stage.is_refused(ALICE, Input::Collect, Error::NothingDue).await;
    stage.bob_stops().await;
    stage.is_not_forced(start, Input::Collect).await;
    let due = |blocks: BlockNumber| Pair::new(Amount::from(blocks) * UNIT, 0);
    let (first, paid) = stage.force_from(start + 1, Input::Collect).await;
    assert_eq!(paid, due(first - start));
    assert_eq!(stage.force(start + 8, Input::Collect).await, due(start + 8 - first));
    stage.bob_returns().await;
    assert_eq!(stage.call(BOB, 5 * UNIT, Input::TopUp).await, Pair::new(0, 0), "nothing is due twice");
    world.pass_until(start + 10).await;
    let _head = stage.head().await;
    // The nodes put what was agreed above the forced steps on chain: where that makes blocks, more than two have passed.
    let last = stage.call(BOB, 0, Input::Stop).await;
    assert!(last.initiator >= 2 * UNIT && last.initiator.is_multiple_of(UNIT), "{last:?}");
    assert_eq!(last.sum(), Some(37 * UNIT));
    let streamed = (8 * UNIT + last.initiator).cast_signed();
    stage.end(Pair::new(0, 0), &before, Pair::new(streamed, -streamed)).await;
}

/// Bob sells, and is away while Alice buys and leaves.
pub async fn an_order_is_taken_by_force_until_its_last_block_and_its_taker_withdraws_alone<C: TestChain>(
    world: &World<C>,
) {
    use exchange::{Creation, Error, Exchange, Holdings, Input, Side};
    let coins = Pair::new(20 * UNIT, 10 * UNIT);
    let holdings = Pair::new(Holdings { coins: 20 * UNIT, tokens: 0 }, Holdings { coins: 10 * UNIT, tokens: 1_000 });
    let create = |_now| Creation { holdings, max_validity: 20 };
    let mut stage = Stage::<Exchange, C>::begin(world, "exchange", ALICE, coins, create).await;
    let before = world.coins().await;
    let expiry = stage.begun + 10;
    let price = UNIT / 100;
    let take = |amount| Input::Take { nonce: 1, amount, price };
    let sell = Input::Place { nonce: 1, side: Side::Sell, amount: 500, price, expiry };
    let _nothing = stage.call(BOB, 0, sell).await;
    let _nothing = stage.call(ALICE, 0, take(100)).await;
    stage.is_refused(ALICE, take(401), Error::MoreThanLeft).await;
    stage.bob_stops().await;
    let _nothing = stage.force(expiry - 1, take(100)).await;
    stage.is_not_forced(expiry, take(100)).await;
    let hers = 18 * UNIT;
    stage.is_not_forced(expiry + 1, Input::Withdraw(hers + 1)).await;
    assert_eq!(stage.force(expiry + 1, Input::Withdraw(hers)).await, Pair::new(hers, 0));
    stage.bob_returns().await;
    stage.is_refused(ALICE, take(1), Error::Expired).await;
    let _nothing = stage.call(BOB, 0, Input::Cancel { nonce: 1 }).await;
    let free = Pair::new(Holdings { coins: 0, tokens: 200 }, Holdings { coins: 12 * UNIT, tokens: 800 });
    assert_eq!(stage.state().await.free, free);
    stage.end(Pair::new(0, 12 * UNIT), &before, Pair::new(-2 * UNIT.cast_signed(), 2 * UNIT.cast_signed())).await;
}

/// Bob never shows his move.
pub async fn a_hidden_move_that_is_never_shown_loses_both_stakes_at_the_deadline<C: TestChain>(world: &World<C>) {
    use hidden::{Choice, Creation, Error, Hidden, Input, Stage as Step, Terms, commitment};
    let terms = Terms { stake: 5 * UNIT, patience: 30, games: 1 };
    let create = |_now| Creation { terms, joined: Pair::new(true, true) };
    let stakes = Pair::new(5 * UNIT, 5 * UNIT);
    let mut stage = Stage::<Hidden, C>::begin(world, "hidden", ALICE, stakes, create).await;
    let before = world.coins().await;
    let channel = stage.channels.initiator.status().await.unwrap().channel.unwrap();
    let moves = Pair::new((Choice::Rock, [1; 32]), (Choice::Scissors, [2; 32]));
    let shown = |who: Party| Input::Reveal { choice: moves[who].0, salt: moves[who].1 };
    let hash = |who: Party| commitment(&channel, &stage.contract, 0, who, moves[who].0, &moves[who].1);
    let hashes = Pair::new(hash(ALICE), hash(BOB));
    let _nothing = stage.call(ALICE, 0, Input::Commit(hashes.initiator)).await;
    stage.is_refused(ALICE, shown(ALICE), Error::NotNow).await;
    let _nothing = stage.call(BOB, 0, Input::Commit(hashes.responder)).await;
    let _nothing = stage.call(ALICE, 0, shown(ALICE)).await;
    stage.is_refused(ALICE, Input::Claim, Error::TooEarly).await;
    stage.bob_stops().await;
    let deadline = stage.state().await.deadline;
    stage.is_not_forced(deadline - 1, Input::Claim).await;
    assert_eq!(stage.force_from(deadline, Input::Claim).await.1, Pair::new(10 * UNIT, 0));
    stage.bob_returns().await;
    stage.is_refused(BOB, shown(BOB), Error::Over).await;
    assert_eq!(stage.state().await.stage, Step::Over);
    stage.end(Pair::new(0, 0), &before, Pair::new(5 * UNIT.cast_signed(), -5 * UNIT.cast_signed())).await;
}

/// Alice releases, Bob is away, and what is not released comes back.
pub async fn a_milestone_is_released_by_force_before_its_deadline_and_refunded_from_it_on<C: TestChain>(
    world: &World<C>,
) {
    use milestones::{Creation, Error, Input, Milestone, Milestones};
    let parts = [10, 20, 60];
    let milestone = |now, blocks| Milestone { amount: 10 * UNIT, deadline: now + blocks };
    let create = |now| Creation { payer: ALICE, milestones: parts.map(|blocks| milestone(now, blocks)).to_vec() };
    let mut stage = Stage::<Milestones, C>::begin(world, "milestones", ALICE, Pair::new(30 * UNIT, 0), create).await;
    let before = world.coins().await;
    let [first, second, _third] = parts.map(|blocks| stage.begun + blocks);
    stage.is_refused(BOB, Input::Release { count: 1 }, Error::NotThePayer).await;
    stage.bob_stops().await;
    assert_eq!(stage.force(first - 1, Input::Release { count: 1 }).await, Pair::new(0, 10 * UNIT));
    stage.is_not_forced(second - 1, Input::Expire).await;
    assert_eq!(stage.force_from(second, Input::Expire).await.1, Pair::new(10 * UNIT, 0));
    stage.bob_returns().await;
    let propose = Input::Propose { to_payee: 4 * UNIT, expiry: second + 10 };
    let _nothing = stage.call(BOB, 0, propose).await;
    let accepted = stage.call(ALICE, 0, Input::Accept { to_payee: 4 * UNIT }).await;
    assert_eq!(accepted, Pair::new(6 * UNIT, 4 * UNIT));
    stage.end(Pair::new(0, 0), &before, Pair::new(-14 * UNIT.cast_signed(), 14 * UNIT.cast_signed())).await;
}
