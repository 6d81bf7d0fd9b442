//! Whole stories, from the first deposit to the last coin back.

use crate::{
    harness::*,
    inside::{self, From, Inside, claim, count, counter, crowd, id, proof_bytes},
    measure::Cost,
    page::{Page, Table, thousands},
};
use devchain::ContractInfo;
use protocol::{
    Amount, Party, StateCommitment,
    call::{Call, ForcedCall},
    contracts::{Contract, ContractId, Contracts},
    signing::{DepositBody, WithdrawBody},
};

/// What stays in the arbiter of a pair's first channel: how many channels it has opened (R5.15), an entry of eight bytes.
const NONCE: Left = Left { items: 1, bytes: 8 };
/// What stays of a vault that an opening emptied, until its owner fills it and empties it by a withdrawal (R5.1): a balance of sixteen bytes.
const VAULT_ENTRY: Left = Left { items: 1, bytes: 16 };
/// What stays of a pre-image (R8.2): the block in which it was shown.
const PREIMAGE: Left = Left { items: 1, bytes: 4 };

/// Storage that a story leaves behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Left {
    items: u32,
    bytes: u32,
}

impl Left {
    const fn and(self, other: Self) -> Self {
        Self { items: self.items + other.items, bytes: self.bytes + other.bytes }
    }
}

/// A story under way.
struct Story {
    name: String,
    world: World,
    channel: Channel,
    before: ContractInfo,
    steps: Vec<(Actor, &'static str, Cost)>,
    may_leave: Left,
}

/// A story that has ended.
pub(crate) struct Told {
    name: String,
    steps: Vec<(Actor, &'static str, Cost)>,
}

impl Story {
    /// A channel of a pair that never had one, opened out of nothing: nobody has a vault before, and after it the vaults are empty.
    async fn begin(name: &str) -> Self {
        Self::begin_in(World::deployed().await, name, NONCE.and(VAULT_ENTRY)).await
    }

    async fn begin_in(world: World, name: &str, may_leave: Left) -> Self {
        let channel = world.next_channel(&parties());
        let before = world.chain.contract_info(world.address()).await.unwrap().unwrap();
        let mut story = Self { name: name.to_owned(), world, channel, before, steps: Vec::new(), may_leave };
        story.step_with(Actor::Responder, &Actor::Responder.vault_deposit(), SHARES.responder).await;
        let create = story.world.create_call(&create_body(story.world.now()));
        story.step_with(Actor::Initiator, &create, SHARES.initiator).await;
        story
    }

    async fn step(&mut self, who: Actor, call: &Call) {
        self.step_with(who, call, 0).await;
    }

    async fn step_with(&mut self, who: Actor, call: &Call, attached: Amount) {
        let done = self.world.accept(who, call, attached).await;
        self.steps.push((who, call.name(), Cost::from(&done.receipt)));
    }

    async fn force(&mut self, inside: &mut Inside, call: ForcedCall) {
        let done = inside.force(&mut self.world, &self.channel, From::Payload, vec![call]).await;
        self.steps.push((Actor::Initiator, "channel_force_progress", Cost::from(&done.receipt)));
    }

    async fn close_on_chain(&mut self, commitment: StateCommitment) {
        self.step(Actor::Initiator, &self.channel.close_solo_on_chain(commitment)).await;
    }

    async fn settle(&mut self, who: Actor) {
        self.world.travel_to(self.world.now() + LOCK_PERIOD).await;
        self.step(who, &self.channel.settle()).await;
    }

    /// Nothing of the channel is left on chain, and of its deposits nothing but those for what R5.15 and R8.2 keep.
    async fn end(self) -> Told {
        let Self { name, world, channel, before, steps, may_leave } = self;
        assert_eq!(world.record(&channel).await, None, "{name}");
        let after = world.chain.contract_info(world.address()).await.unwrap().unwrap();
        let left = Left { items: after.items - before.items, bytes: after.bytes - before.bytes };
        assert_eq!(left, may_leave, "{name}");
        let total: Cost = steps.iter().map(|step| step.2).sum();
        let kept = after.deposit - before.deposit;
        assert_eq!(total.taken - total.returned, kept, "{name}: no deposit is lost");
        let price = (Amount::from(left.items) * 100_000 + Amount::from(left.bytes) * 5) * 1_000_000;
        // The pallet rounds what it gives back, by one at each call.
        assert!(kept.abs_diff(price) <= steps.len() as Amount, "{name}: {kept} kept for what costs {price}");
        Told { name, steps }
    }
}

/// The world after a story, for the next of the same pair.
async fn happy(mut story: Story) -> (World, Told) {
    let close = story.channel.close_mutual(BALANCES, 0, story.world.now());
    story.step(Actor::Initiator, &close).await;
    let world = story.world.fork().await;
    (world, story.end().await)
}

async fn solo() -> Told {
    let mut story = Story::begin("solo close").await;
    story.step(Actor::Initiator, &story.channel.close_solo(&balances(6))).await;
    story.settle(Actor::Initiator).await;
    story.end().await
}

/// Somebody closes on an old state; `defender` shows the newer one.
async fn contested(name: &str, defender: Actor) -> Told {
    let mut story = Story::begin(name).await;
    story.step(Actor::Initiator, &story.channel.close_solo(&balances(6))).await;
    story.step(defender, &story.channel.slash(&balances(8))).await;
    story.settle(Actor::Responder).await;
    story.end().await
}

async fn deposit_and_withdraw() -> Told {
    let mut story = Story::begin("deposit and withdraw").await;
    let (party, amount, valid_until) = (Party::Initiator, 10 * UNIT, story.world.now() + 1);
    let after = State::new(2, BALANCES.initiator + amount, BALANCES.responder);
    let (to, base) = (Actor::Initiator.id(), OPENING);
    let deposit = DepositBody { party, amount, round: 2, base, state_hash: after.hash(), valid_until };
    let deposit = Call::ChannelDeposit(story.channel.deposit(deposit));
    story.step_with(Actor::Initiator, &deposit, amount).await;
    let state_hash = balances(3).hash();
    let withdraw = WithdrawBody { party, amount, to, round: 3, base, state_hash, valid_until };
    story.step(Actor::Initiator, &Call::ChannelWithdraw(story.channel.withdraw(withdraw))).await;
    happy(story).await.1
}

async fn claim_by_force() -> Told {
    let mut story = Story::begin("claim of a conditional transfer by force").await;
    story.may_leave = story.may_leave.and(PREIMAGE);
    let mut inside = Inside::new(Contracts::from_iter([(id(0), inside::transfer_of(id(0), 5 * UNIT))]));
    story.force(&mut inside, claim(id(0))).await;
    story.close_on_chain(inside.commitment()).await;
    story.settle(Actor::Initiator).await;
    story.end().await
}

/// A forced step in a channel with so many contracts, then a close.
async fn forced(crowded: &Crowded) -> Told {
    let plural = if crowded.contracts.len() == 1 { "" } else { "s" };
    let name = format!("forced step with {} contract{plural}", thousands(crowded.contracts.len() as u128));
    let mut story = Story::begin(&name).await;
    let mut inside = crowded.inside(counter(&story.world, 5 * UNIT, 3));
    story.force(&mut inside, count(crowded.called, 3)).await;
    story.close_on_chain(inside.commitment()).await;
    story.settle(Actor::Initiator).await;
    story.end().await
}

fn balances(round: u64) -> State {
    State::new(round, BALANCES.initiator, BALANCES.responder)
}

/// Many contracts, one of which will be called: one whose proof is as long as most.
#[derive(Clone)]
pub(crate) struct Crowded {
    pub(crate) contracts: Contracts,
    pub(crate) called: ContractId,
    /// The bytes of the longest proof of any of a thousand of them.
    pub(crate) longest: usize,
}

/// How many proofs are compared to find the usual one.
const SAMPLE: u32 = 1_000;

impl Crowded {
    /// One for each size, in ascending order.
    pub(crate) fn of(sizes: &[u32]) -> Vec<Self> {
        let mut contracts = Contracts::new();
        let mut all = Vec::new();
        let mut from = 0;
        for &until in sizes {
            crowd(&mut contracts, from, until);
            from = until;
            let mut lengths: Vec<_> =
                (0..until.min(SAMPLE)).map(|index| (proof_bytes(&contracts, &id(index)), index)).collect();
            lengths.sort_unstable();
            let (_bytes, median) = lengths[lengths.len() / 2];
            let longest = lengths.last().unwrap().0;
            all.push(Self { contracts: contracts.clone(), called: id(median), longest });
        }
        all
    }

    /// With `contract` in the place of the one to be called.
    pub(crate) fn inside(&self, contract: Contract) -> Inside {
        let mut contracts = self.contracts.clone();
        contracts.insert(self.called, contract);
        Inside::new(contracts)
    }
}

/// All of them.
pub(crate) async fn tell(crowds: &[Crowded]) -> Vec<Told> {
    let (world, first) = happy(Story::begin("happy path").await).await;
    let again = Story::begin_in(world, "happy path, the pair's second channel", Left::default()).await;
    let mut told = vec![first, happy(again).await.1];
    told.push(solo().await);
    told.push(contested("contested close", Actor::Responder).await);
    told.push(contested("delegate slash", Actor::RespondersDelegate).await);
    told.push(deposit_and_withdraw().await);
    told.push(claim_by_force().await);
    for crowded in crowds {
        told.push(forced(crowded).await);
    }
    told
}

pub(crate) fn write(told: &[Told], page: &mut Page) {
    page.heading(2, "Stories");
    page.text(format!(
        "Sums over all transactions of a story, for each who sent some. Nobody has a vault before; the shares are {} and {} \
         units. After each story the arbiter's storage is what it was, but for the pair's nonce (R5.15: 0.10004 units, once for a pair), \
         a pre-image that was shown (R8.2: 0.10002 units), and the entry of a vault that the opening emptied (R5.1: 0.10008 units, which its owner \
         has back with the vault's last coin): asserted, item by item and byte by byte. The deposit for a channel is laid \
         down by whoever opens it and comes back to whoever's call ends it.",
        SHARES.initiator / UNIT,
        SHARES.responder / UNIT,
    ));
    let mut lines = String::new();
    for Told { name, steps } in told {
        let steps: Vec<_> = steps.iter().map(|(who, call, _)| format!("`{call}` ({})", word(*who))).collect();
        lines += &format!("- {name}: {}\n", steps.join(", "));
    }
    page.text(lines);
    let mut table = Table::of_costs("story");
    for Told { name, steps } in told {
        let mut signers: Vec<_> = steps.iter().map(|step| step.0).collect();
        signers.sort_unstable();
        signers.dedup();
        table.row(format!("**{name}**"), steps.iter().map(|step| step.2).sum::<Cost>().cells());
        for signer in signers {
            let own = steps.iter().filter(|step| step.0 == signer).map(|step| step.2);
            table.row(format!("{name}: {}", word(signer)), own.sum::<Cost>().cells());
        }
    }
    page.table(table);
}

const fn word(who: Actor) -> &'static str {
    match who {
        Actor::Initiator => "initiator",
        Actor::Responder => "responder",
        Actor::InitiatorsDelegate => "the initiator's delegate",
        Actor::RespondersDelegate => "the responder's delegate",
        Actor::Stranger => "somebody",
        Actor::Deployer => "the deployer",
    }
}
