//! What every app's story needs: a chain with the arbiter and the app, Alice and Bob with a channel, and words for what they do.

use super::words::{both, coins, name, told};
use crate::{
    Couple, Options, SHARE, build, meet, of, open,
    report::{self, Books, Speed, UNIT, signed},
    say, wait_for, wait_for_notice,
    world::World,
};
use anyhow::{Context, Result, bail, ensure};
use channel::{Certainty, Change, ChangeFault, CloseReason, Event, Misuse, Notice, Outcome};
use devchain::DevAccount;
use futures::future::try_join;
use protocol::{
    Amount, BlockNumber, ChannelId, Hash, Pair, Party, Rejection, Round,
    call::ForcedCall,
    contracts::{App, CallFault, ContractId, NativeApps},
    decode_exact,
};
use scale::{Decode, Encode};
use sdk::{
    apps::{AppTerms, Interpreter, Library, Registry, deploy},
    node::{ChannelHandle, EventStream, Node, NodeError},
    store::StoreHandle,
};
use std::{fmt::Debug, marker::PhantomData, sync::Arc, time::Instant};

/// How often the nodes are asked whether they have seen a block that there is: each time they have done something else meanwhile.
const LOOKS: u32 = 100_000;

/// An app that can be talked about.
pub(super) trait Told:
    App<
        State: Debug,
        Creation: Encode + Debug,
        Input: Encode + Debug,
        Output: Decode + Debug,
        Error: Decode + Debug + PartialEq,
    >
{
}

impl<A> Told for A where
    A: App<
            State: Debug,
            Creation: Encode + Debug,
            Input: Encode + Debug,
            Output: Decode + Debug,
            Error: Decode + Debug + PartialEq,
        >
{
}

/// Alice and Bob with a channel, on a chain with the app.
pub(super) struct Stage<A> {
    pub(super) world: World,
    alice: Node,
    /// None while he does not answer.
    bob: Option<Node>,
    stores: Pair<StoreHandle>,
    apps: Pair<Arc<Registry>>,
    channels: Pair<ChannelHandle>,
    /// The channel's id on chain.
    pub(super) channel: ChannelId,
    code: Hash,
    /// How many calls a burst has, about.
    pub(super) calls: u32,
    running: &'static str,
    books: Books,
    speeds: Vec<Speed>,
    began: Instant,
    app: PhantomData<A>,
}

/// What a call did, and in which block.
pub(super) struct Done<O> {
    pub(super) payouts: Pair<Amount>,
    pub(super) output: O,
    /// Off chain: the block that its caller named; on chain: the block that it is in.
    pub(super) height: BlockNumber,
}

impl<A: Told> Stage<A> {
    /// Deploys, has both take part, opens.
    pub(super) async fn set(name: &'static str, worthless_when_empty: bool, options: &Options) -> Result<Self> {
        let began = Instant::now();
        println!("\n=== {name}\n");
        let world = build(options).await?;
        let path = options.contract.with_file_name(format!("{name}.wasm"));
        let wasm = std::fs::read(&path).with_context(|| {
            format!("cannot read {}: build it first with `cargo xtask contract --package {name}`", path.display())
        })?;
        say(&format!(
            "uploading and instantiating the app, {}, {} bytes: once, for everybody",
            path.display(),
            wasm.len()
        ));
        let deployed = deploy(&*world.recorder, &DevAccount::Charlie.signer(), wasm.clone()).await?;
        let registry = async || {
            let limit = world.arbiter.info().limits.call_weight;
            let mut library = Library::new(Interpreter::new(limit));
            let code = library.add(&wasm)?;
            if options.native {
                let mut native = NativeApps::new();
                native.register::<A>(code);
                library = library.with_native(native);
            }
            let registry = Registry::new(library);
            let terms = AppTerms { deployed, worthless_when_empty };
            registry.accept(&world.arbiter, &DevAccount::Charlie.id(), code, terms).await?;
            anyhow::Ok((code, Arc::new(registry)))
        };
        let ((code, alices), (_same, bobs)) = (registry().await?, registry().await?);
        let running = if options.native { "native code" } else { "its Wasm, interpreted" };
        say(&format!("app at {deployed}, code hash {code}; both nodes take part in it, and run {running}"));

        let books = Books::open(&world).await?;
        let stores = Pair::new(world.store(DevAccount::Alice)?, world.store(DevAccount::Bob)?);
        let apps = Pair::new(alices, bobs);
        let start = async |account, party| {
            let (store, apps) = (stores[party].clone(), Arc::clone(&apps[party]));
            Ok::<_, anyhow::Error>(world.start(account, store, Some(apps)).await?.0)
        };
        let alice = start(DevAccount::Alice, Party::Initiator).await?;
        let couple = Couple { alice, bob: start(DevAccount::Bob, Party::Responder).await? };
        let bobs_identity = meet(&couple).await?;
        say(&format!("opening a channel with {} units of each side", SHARE / UNIT));
        let (alices, bobs) = open(&couple, bobs_identity).await?;
        let channel = alices.status().await?.channel.context("an open channel has an id")?;
        let Couple { alice, bob } = couple;
        Ok(Self {
            world,
            alice,
            bob: Some(bob),
            stores,
            apps,
            channels: Pair::new(alices, bobs),
            channel,
            code,
            calls: options.calls,
            running,
            books,
            speeds: Vec::new(),
            began,
            app: PhantomData,
        })
    }

    /// Somebody's view of the channel.
    pub(super) const fn of(&self, who: Party) -> &ChannelHandle {
        match who {
            Party::Initiator => &self.channels.initiator,
            Party::Responder => &self.channels.responder,
        }
    }

    /// A contract begins with these coins; whose coins are asked for by the other, is asked.
    pub(super) async fn begin(&self, by: Party, shares: Pair<Amount>, creation: A::Creation) -> Result<ContractId> {
        let _head = self.head().await?;
        say(&format!("{} begins a contract: {}", name(by), told(&creation)));
        let creating = self.of(by).create_contract(self.code, shares, creation.encode());
        let created = if shares[by.peer()] > 0 { self.agreeing(by.peer(), creating).await? } else { creating.await? };
        let held = coins(self.held(created.contract).await?);
        say(&format!("  agreed in round {}: it holds {held}", created.round));
        Ok(created.contract)
    }

    /// Ends a contract in agreement; its coins are shared out like this.
    pub(super) async fn remove(&self, by: Party, contract: ContractId, shares: Pair<Amount>) -> Result<()> {
        say(&format!("{} removes the contract, which holds {}", name(by), both(shares, "for ")));
        let removing = self.of(by).remove_contract(contract, shares);
        let _round =
            if shares == Pair::default() { removing.await? } else { self.agreeing(by.peer(), removing).await? };
        Ok(())
    }

    /// Waits for something about which `user` is asked, who agrees.
    async fn agreeing<T>(&self, user: Party, asked: impl Future<Output = Result<T, NodeError>>) -> Result<T> {
        let mut events = self.node(user)?.events();
        let agreeing = async {
            let proposed = |notice: &Notice| match notice {
                Notice::Proposed { proposal, .. } => Some(*proposal),
                _ => None,
            };
            let round = wait_for_notice(&mut events, proposed).await?;
            say(&format!("  {} is asked, because it is about coins of {}, and agrees", name(user), name(user)));
            anyhow::Ok(self.of(user).accept(round).await?)
        };
        let (done, ()) = try_join(async { Ok(asked.await?) }, agreeing).await?;
        Ok(done)
    }

    /// What a call would do now; nothing is proposed.
    pub(super) async fn try_call(&self, by: Party, contract: ContractId, input: A::Input) -> Result<Pair<Amount>> {
        let height = self.head().await?;
        let change = Change::CallContract { contract, value: 0, input: input.encode() };
        let Some(Outcome::Called { payouts, output, .. }) = self.of(by).try_change(change).await? else {
            bail!("a call has an outcome")
        };
        let output: A::Output = decode_exact(&output)?;
        let (input, pays, output) = (told(&input), both(payouts, ""), told(&output));
        say(&format!("{} tries at block {height}: {input} would pay {pays}, and answer {output}", name(by)));
        Ok(payouts)
    }

    /// Calls, and waits until it is agreed. Says nothing.
    pub(super) async fn call(
        &self,
        by: Party,
        contract: ContractId,
        value: Amount,
        input: A::Input,
    ) -> Result<Done<A::Output>> {
        let height = self.of(by).head().await?;
        let called = self.of(by).call_contract(contract, value, input.encode()).await?;
        Ok(Done { payouts: called.payouts, output: decode_exact(&called.output)?, height })
    }

    /// The same, told.
    pub(super) async fn calls(
        &self,
        by: Party,
        contract: ContractId,
        value: Amount,
        input: A::Input,
    ) -> Result<Done<A::Output>> {
        let _head = self.head().await?;
        let words = told(&input);
        let done = self.call(by, contract, value, input).await?;
        let (pays, output) = (both(done.payouts, ""), told(&done.output));
        say(&format!("{} calls at block {}: {words}; it pays {pays}, and answers {output}", name(by), done.height));
        Ok(done)
    }

    /// Calls what the app refuses, with this error.
    pub(super) async fn is_refused(
        &self,
        by: Party,
        contract: ContractId,
        value: Amount,
        input: A::Input,
        error: A::Error,
    ) -> Result<()> {
        let height = self.head().await?;
        let before = self.of(by).state().await?;
        match self.of(by).call_contract(contract, value, input.encode()).await {
            Err(NodeError::ChangeFailed { fault: ChangeFault::Call(CallFault::Refused), .. }) => {}
            other => bail!("{input:?} should have been refused: {other:?}"),
        }
        ensure!(self.of(by).state().await? == before, "a refused call changes nothing");
        self.check_error(by, contract, value, &input, &error).await?;
        say(&format!("{} calls at block {height}: {}; refused: {error:?}", name(by), told(&input)));
        Ok(())
    }

    /// Has the app say why it refuses.
    async fn check_error(
        &self,
        by: Party,
        contract: ContractId,
        value: Amount,
        input: &A::Input,
        error: &A::Error,
    ) -> Result<()> {
        let Err(why) = self.of(by).ask_app(contract, value, input.encode()).await? else {
            bail!("{input:?} should be refused")
        };
        let why: A::Error = decode_exact(&why)?;
        ensure!(why == *error, "{input:?} should be refused with {error:?}, not with {why:?}");
        Ok(())
    }

    /// Has the arbiter make calls, in one transaction.
    pub(super) async fn force<const N: usize>(
        &self,
        by: Party,
        contract: ContractId,
        inputs: [A::Input; N],
    ) -> Result<[Done<A::Output>; N]> {
        let _head = self.head().await?;
        let words = inputs.iter().map(told).collect::<Vec<_>>().join(", then ");
        let calls = inputs.iter().map(|input| ForcedCall { contract, value: 0, input: input.encode() }).collect();
        let performed = self.of(by).force(calls, Certainty::ConfirmedByPeer).await?;
        self.world.recorder.quiet().await;
        let entries = self.world.recorder.entries();
        let entry = entries.iter().rfind(|entry| entry.what == "channel_force_progress");
        let entry = entry.context("a forced step is a transaction")?;
        let receipt = entry.receipt.as_ref().context("the forced step is in a block")?;
        let (height, weight) = (receipt.block.number, receipt.weight.ref_time);
        say(&format!("{} forces in block {height}: {words}", name(by)));
        say(&format!("  it took {weight} ps and {} units of fees", report::units(entry.fee)));
        let done = performed.into_iter().map(|performed| match performed.outcome {
            Outcome::Called { payouts, output, .. } => {
                let output = decode_exact::<A::Output>(&output)?;
                say(&format!("  it pays {}, and answers {}", both(payouts, ""), told(&output)));
                Ok(Done { payouts, output, height })
            }
            other => bail!("forced calls are calls, not {other:?}"),
        });
        let done = done.collect::<Result<Vec<_>>>()?;
        done.try_into().ok().context("each call has an outcome")
    }

    /// Tries to force what the app refuses.
    pub(super) async fn is_not_forced(
        &self,
        by: Party,
        contract: ContractId,
        input: A::Input,
        error: A::Error,
    ) -> Result<()> {
        let height = self.head().await?.saturating_add(1);
        self.check_error(by, contract, 0, &input, &error).await?;
        match self
            .of(by)
            .force(vec![ForcedCall { contract, value: 0, input: input.encode() }], Certainty::ConfirmedByPeer)
            .await
        {
            Err(NodeError::Misuse(Misuse::WouldBeRefused(Rejection::CallFailed {
                fault: CallFault::Refused, ..
            }))) => {}
            other => bail!("{input:?} should not be forced: {other:?}"),
        }
        say(&format!("{} would force in block {height}: {}; refused: {error:?}", name(by), told(&input)));
        Ok(())
    }

    /// Many calls off chain, with their speed.
    pub(super) fn note_speed(&mut self, what: &'static str, count: u32, since: Instant) {
        let seconds = since.elapsed().as_secs_f64();
        say(&format!("  {count} calls in {seconds:.2} s"));
        self.speeds.push(Speed { what, of: "calls", count, seconds });
    }

    /// The newest block, once everybody who is there has seen it.
    pub(super) async fn head(&self) -> Result<BlockNumber> {
        let head = self.world.chain.block_number();
        let here = if self.bob.is_some() { &Party::BOTH[..] } else { &[Party::Initiator] };
        for who in here {
            self.has_seen(*who, head).await?;
        }
        Ok(head)
    }

    async fn has_seen(&self, who: Party, block: BlockNumber) -> Result<()> {
        for _ in 0..LOOKS {
            if self.of(who).head().await? >= block {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        bail!("{} does not see block {block}", name(who))
    }

    /// Blocks pass until the newest one is this.
    pub(super) async fn pass_until(&self, block: BlockNumber) -> Result<()> {
        let from = self.world.chain.block_number();
        let blocks = block.checked_sub(from).with_context(|| format!("block {block} has passed: it is {from}"))?;
        say(&format!("{blocks} block{} until block {block}", if blocks == 1 { " passes," } else { "s pass," }));
        let _head = self.world.chain.produce_blocks(blocks).await?;
        let _seen = self.head().await?;
        Ok(())
    }

    /// Bob does not answer any more.
    pub(super) async fn bob_stops(&mut self) -> Result<()> {
        let _head = self.head().await?;
        say("Bob's node stops: nobody answers Alice");
        self.bob.take().context("Bob is there")?.stop().await;
        Ok(())
    }

    /// Bob is back, and follows what Alice has forced.
    pub(super) async fn bob_returns(&mut self) -> Result<()> {
        let (store, apps) = (self.stores.responder.clone(), Arc::clone(&self.apps.responder));
        let (bob, mut events) = self.world.start(DevAccount::Bob, store, Some(apps)).await?;
        let address = bob.address().context("Bob listens")?;
        let _bob = self.alice.connect(&address).await?;
        let followed = self.of(Party::Initiator).status().await?.round.context("the channel is open")?;
        has_followed(&mut events, followed).await?;
        self.channels.responder = of(&bob, &self.alice, self.of(Party::Initiator)).await?;
        self.bob = Some(bob);
        let [alices, bobs] = Party::BOTH.map(|who| self.of(who).state());
        let (alices, bobs) = try_join(alices, bobs).await?;
        ensure!(alices.is_some() && alices == bobs, "Bob should have followed to {alices:?}, has {bobs:?}");
        say(&format!("Bob's node is back, sees on chain what was forced, and follows to round {followed}"));
        Ok(())
    }

    /// What a contract holds.
    pub(super) async fn held(&self, contract: ContractId) -> Result<Amount> {
        Ok(self.of(Party::Initiator).contract(contract).await?.context("the contract is there")?.balance)
    }

    /// A contract's state.
    pub(super) async fn state(&self, contract: ContractId) -> Result<A::State> {
        let contract = self.of(Party::Initiator).contract(contract).await?.context("the contract is there")?;
        Ok(decode_exact(&contract.state)?)
    }

    /// Checks what both have in the channel, outside its contracts.
    pub(super) async fn expect(&self, expected: Pair<Amount>) -> Result<()> {
        let has = self.of(Party::Initiator).balances().await?.context("the channel is open")?;
        let has = Pair::new(has.ours, has.peers);
        ensure!(has == expected, "they should have {expected:?}, have {has:?}");
        Ok(())
    }

    /// Closes in agreement.
    pub(super) async fn close(&self) -> Result<CloseReason> {
        say("closing in agreement");
        let closed = self.of(Party::Initiator).close(0).await?;
        let _too = self.of(Party::Responder).closed().await;
        Ok(closed)
    }

    /// Checks that the channel paid what it should have, and every other coin as well.
    pub(super) async fn end(self, reason: &CloseReason, expected: Pair<Amount>) -> Result<()> {
        let (CloseReason::Mutual { balances } | CloseReason::Settled { balances }) = reason else {
            bail!("the channel should have paid out: {reason:?}")
        };
        ensure!(*balances == expected, "the channel should have paid {expected:?}, paid {balances:?}");
        say(&format!("paid: {}, as was to be expected", both(*balances, "")));
        let gain = |amount| anyhow::Ok(signed(amount)?.saturating_sub(signed(SHARE)?));
        let alices = (DevAccount::Alice.id(), gain(balances.initiator)?);
        let bobs = (DevAccount::Bob.id(), gain(balances.responder)?);
        self.books.close(&self.world, &[alices, bobs]).await?;
        report::speeds(&self.speeds);
        println!("  (each side runs {})", self.running);
        println!("\nEvery coin is accounted for. Wall time {:.1} s.", self.began.elapsed().as_secs_f64());
        Ok(())
    }

    pub(super) fn node(&self, who: Party) -> Result<&Node> {
        match who {
            Party::Initiator => Ok(&self.alice),
            Party::Responder => self.bob.as_ref().context("Bob is there"),
        }
    }
}

async fn has_followed(events: &mut EventStream, forced: Round) -> Result<()> {
    let followed = |event: &Event| match event {
        Event::Executed { round, forced: true, .. } => (*round == forced).then_some(()),
        _ => None,
    };
    wait_for(events, followed).await
}
