//! A hub's story: Alice pays Charlie through Bob, who is the hub and lives in a process of its own. He is killed with payments under way and comes back;
//! each of the other two vanishes at the worst moment for him; he tries to cheat both. Every coin is counted at the end.

mod payments;
mod process;

pub(super) use process::{Options, PROCESS, be};

use super::{
    LOCK_PERIOD, LOOK, PENALTY, build,
    report::{self, Books, UNIT, short, signed, units},
    say, terms, until_within, wait_for,
    world::World,
};
use anyhow::{Context, Result, bail, ensure};
use channel::{CloseReason, Event, IdempotencyKey};
use devchain::{DevAccount, Endpoint};
use network::{Fee, InvoiceState, PaymentState, RoutingPolicy};
use process::Hub;
use protocol::{
    Amount, PublicKey,
    call::Call,
    contracts::conditional::{HashLock, Preimage},
};
use sdk::{
    node::{ChannelHandle, NewInvoice, Node, invoice_lock},
    store::StoreHandle,
};
use std::time::{Duration, Instant};

/// One of the many payments: above what showing a pre-image on chain costs, since no hub carries less.
const PAYMENT: Amount = UNIT / 5;
/// One of those whose end is told step by step.
const LARGE: Amount = 20 * UNIT;
/// How many of those there are.
const LARGE_COUNT: u32 = 3;
/// What the hub takes: so much, and one percent.
const FEE: Fee = Fee { base: UNIT / 1_000, parts_per_million: 10_000 };
/// The most that Alice would pay for it.
const MAX_FEE: Amount = UNIT;
/// What everybody has in a channel beyond what is paid through it.
const SPARE: Amount = 100 * UNIT;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most blocks that pass until the hub has had something done on chain.
const MOST_BLOCKS: u32 = 400;

/// How the hub treats what it carries on.
fn hub_policy() -> RoutingPolicy {
    RoutingPolicy { is_hub: true, fee: FEE, ..RoutingPolicy::default() }
}

fn fee(amount: Amount) -> Result<Amount> {
    FEE.of(amount).context("a small fee")
}

const fn times(amount: Amount, count: u32) -> Amount {
    amount.saturating_mul(count as Amount)
}

/// What Alice, the hub and Charlie have once this is paid.
fn after([alice, hub, charlie]: [Amount; 3], paid: Amount, fees: Amount) -> Result<[Amount; 3]> {
    let alice = alice.checked_sub(paid.saturating_add(fees)).context("Alice has what she pays")?;
    Ok([alice, hub.saturating_add(fees), charlie.saturating_add(paid)])
}

/// Asks again and again until there is an answer.
async fn until<T>(what: &str, ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    until_within(PATIENCE, what, ask).await
}

/// The three and their two channels.
struct Three {
    world: World,
    endpoint: Endpoint,
    hub: Hub,
    alice: Node,
    charlie: Node,
    stores: [StoreHandle; 2],
    /// Alice's view of her channel with the hub.
    upstream: ChannelHandle,
    /// Charlie's view of his.
    downstream: ChannelHandle,
    /// What Alice and Charlie put in, and what the hub put in beside each.
    shares: Shares,
    not_durable: bool,
}

/// What was put into the channels.
#[derive(Clone, Copy)]
struct Shares {
    alices: Amount,
    hubs_upstream: Amount,
    hubs_downstream: Amount,
    charlies: Amount,
}

impl Shares {
    fn for_payments(count: u32) -> Result<Self> {
        let small = times(PAYMENT.saturating_add(fee(PAYMENT)?), count);
        let large = times(LARGE.saturating_add(fee(LARGE)?), LARGE_COUNT);
        let paid = small.saturating_add(large).saturating_add(SPARE);
        Ok(Self { alices: paid, hubs_upstream: SPARE, hubs_downstream: paid, charlies: SPARE })
    }

    const fn hubs(self) -> Amount {
        self.hubs_upstream.saturating_add(self.hubs_downstream)
    }
}

/// What the owner of this view has in the channel.
async fn ours(channel: &ChannelHandle) -> Result<Amount> {
    Ok(channel.balances().await?.context("the channel is open")?.ours)
}

/// A payment that Charlie holds: Alice has locked its coins, the hub has locked its own, and only Charlie knows the pre-image.
struct Held {
    key: IdempotencyKey,
    lock: HashLock,
    preimage: Preimage,
}

pub(super) async fn play(options: &super::Options) -> Result<()> {
    let began = Instant::now();
    let world = build(options).await?;
    let books = Books::open(&world).await?;
    let mut three = Three::meet(world, options).await?;
    let speeds = three.pay_many(options.payments).await?;
    say("\nThe hub keeps the state of its channel with Charlie as it is now, for later");
    let _kept = three.hub.does("keep")?;
    three.hub_has_no_preimage().await?;
    three.payee_vanishes().await?;
    three.payer_vanishes().await?;
    three.end(options.payments, books).await?;
    report::speeds(&speeds);
    println!("\nEvery coin is accounted for. Wall time {:.1} s.", began.elapsed().as_secs_f64());
    Ok(())
}

impl Three {
    /// Starts all, funds the vaults, opens both channels.
    async fn meet(world: World, options: &super::Options) -> Result<Self> {
        let endpoint = world.serve_chain()?;
        let stores = [world.store(DevAccount::Alice)?, world.store(DevAccount::Charlie)?];
        let [first, second] = stores.clone();
        let (alice, _events) = world.start(DevAccount::Alice, first, None).await?;
        let (charlie, _events) = world.start(DevAccount::Charlie, second, None).await?;
        say("starting the hub, Bob, in a process of its own");
        let mut hub = Hub::start(&world, &endpoint, options.not_durable)?;
        let shares = Shares::for_payments(options.payments)?;
        let Shares { alices, hubs_upstream, hubs_downstream, charlies } = shares;
        let all = [alices, shares.hubs(), charlies].map(short).join(", ");
        say(&format!("funding the vaults of Alice, the hub and Charlie with {all} units"));
        let _done = alice.vault_deposit(alices).await?;
        let _done = hub.does(&format!("vault {}", shares.hubs()))?;
        let _done = charlie.vault_deposit(charlies).await?;
        say("Alice opens a channel with the hub, and so does Charlie; Alice and Charlie have none with each other");
        let hubs = alice.connect(&hub.address).await?;
        let _same = charlie.connect(&hub.address).await?;
        let upstream = alice.open_channel(hubs, terms(alices, hubs_upstream)).await?;
        let downstream = charlie.open_channel(hubs, terms(charlies, hubs_downstream)).await?;
        let not_durable = options.not_durable;
        let three = Self { world, endpoint, hub, alice, charlie, stores, upstream, downstream, shares, not_durable };
        three.is_served().await?;
        let terms = three.alice.hub_terms(hubs).context("the hub has told its terms")?.terms;
        let (base, percent) = (short(terms.fee.base), f64::from(terms.fee.parts_per_million) / 10_000.0);
        say(&format!(
            "the hub tells its terms: {base} units and {percent} % of what it carries, and that it serves Charlie"
        ));
        Ok(three)
    }

    const fn hubs(&self) -> PublicKey {
        self.hub.address.identity()
    }

    /// Waits until the hub has told Alice that it serves Charlie.
    async fn is_served(&self) -> Result<()> {
        let (hub, charlie) = (self.hubs(), self.charlie.identity());
        until("the hub's terms", async || {
            let told = self.alice.hub_terms(hub);
            Ok(told.filter(|told| told.serves.contains(&charlie)).map(drop))
        })
        .await
    }

    /// Waits until Alice, the hub and Charlie have exactly this in their channels, outside of what is under way.
    async fn have(&mut self, expected: [Amount; 3]) -> Result<()> {
        let began = Instant::now();
        loop {
            let now = self.now().await?;
            if now == expected {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "Alice, the hub and Charlie should have {expected:?}, have {now:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Who has what now: Alice, the hub, Charlie.
    async fn now(&mut self) -> Result<[Amount; 3]> {
        Ok([ours(&self.upstream).await?, self.hub.count("has")?, ours(&self.downstream).await?])
    }

    /// Alice begins a large payment, and Charlie holds it.
    async fn begin_large(&mut self, name: &str) -> Result<Held> {
        let mut preimage = Preimage([0; 32]);
        getrandom::fill(&mut preimage.0).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        let lock = invoice_lock(&preimage);
        let new = NewInvoice { held: Some(lock), ..NewInvoice::new(LARGE, self.hubs()) };
        let (_invoice, text) = self.charlie.create_invoice(new).await?;
        let key = IdempotencyKey::from(name);
        let _begun = self.alice.pay_invoice(&key, &text, None, MAX_FEE).await?;
        until("the payment to reach Charlie", async || {
            let state = self.charlie.invoice_state(&lock);
            Ok(matches!(state, Some(InvoiceState::Held { .. })).then_some(()))
        })
        .await?;
        Ok(Held { key, lock, preimage })
    }

    /// Waits until Alice knows that a large payment is made, with its proof.
    async fn is_paid(&self, held: &Held) -> Result<()> {
        let ended = tokio::time::timeout(PATIENCE, self.alice.routed_payment_ended(&held.key)).await?;
        ensure!(ended == Some(PaymentState::Paid(held.preimage)), "the payment should be made: {ended:?}");
        Ok(())
    }

    /// The hub has coins of Alice's locked for it, and cannot have them without paying Charlie.
    async fn hub_has_no_preimage(&mut self) -> Result<()> {
        say(&format!("\nAlice begins to pay {} units; Charlie, who alone has the pre-image, waits", short(LARGE)));
        let then = after(self.now().await?, LARGE, fee(LARGE)?)?;
        let held = self.begin_large("with a thief on the way").await?;
        let said = self.hub.does("steal")?;
        say(&format!("the hub tries to take Alice's coins by force, with a pre-image that it made up: {said}"));
        self.charlie.settle_invoice(held.lock, held.preimage).await?;
        self.is_paid(&held).await?;
        self.have(then).await?;
        let fee = short(fee(LARGE)?);
        say(&format!("Charlie shows the pre-image and is paid; the hub has its fee, {fee} units, and no coin more"));
        Ok(())
    }

    /// Charlie shows the pre-image on chain, and vanishes.
    async fn payee_vanishes(&mut self) -> Result<()> {
        say(&format!(
            "\nAlice begins to pay {} units, and Charlie vanishes with the payment in his hands",
            short(LARGE)
        ));
        let then = after(self.now().await?, LARGE, fee(LARGE)?)?;
        let held = self.begin_large("to one who vanishes").await?;
        self.charlie.clone().stop().await;
        let register = Call::PreimageRegister { preimage: held.preimage, function: held.lock.function };
        let shown = self.world.arbiter.call(&DevAccount::Charlie.signer(), &register, 0).await?;
        say(&format!("his pre-image is shown on chain alone, in block {}", shown.receipt.block.number));
        self.is_paid(&held).await?;
        until("the hub to be paid by Alice", async || Ok((ours(&self.upstream).await? == then[0]).then_some(())))
            .await?;
        say("the hub has read it there, and Alice has paid the hub for it: Charlie's silence costs nobody anything");
        let store = self.stores[1].clone();
        (self.charlie, _) = self.world.start(DevAccount::Charlie, store, None).await?;
        self.charlie_returns().await?;
        self.charlie.settle_invoice(held.lock, held.preimage).await?;
        self.have(then).await?;
        say("Charlie is back, and the hub pays him what it owes him, for he had shown it in time");
        Ok(())
    }

    async fn charlie_returns(&mut self) -> Result<()> {
        let hub = self.charlie.connect(&self.hub.address).await?;
        self.downstream = self.charlie.channels(hub).await?.into_iter().next().context("Charlie has a channel")?;
        Ok(())
    }

    /// Charlie is paid by the hub, and Alice is not there to pay the hub.
    async fn payer_vanishes(&mut self) -> Result<()> {
        say(&format!(
            "\nAlice begins to pay {} units, and vanishes; Charlie then shows the hub his pre-image",
            short(LARGE)
        ));
        let then = after(self.now().await?, LARGE, fee(LARGE)?)?;
        let held = self.begin_large("from one who vanishes").await?;
        self.alice.clone().stop().await;
        self.charlie.settle_invoice(held.lock, held.preimage).await?;
        until("Charlie to be paid", async || Ok((ours(&self.downstream).await? == then[2]).then_some(()))).await?;
        say("the hub has paid Charlie, and Alice does not answer");
        let block = self.pass_until_hub_has("preimages_register").await?;
        say(&format!(
            "before Alice's coins could go back to her, in block {block}, the hub shows the pre-image on chain"
        ));
        let block = self.pass_until_hub_has("channel_force_progress").await?;
        say(&format!(
            "Alice stays away: in block {block} the arbiter pays the hub out of her channel, which stays open"
        ));
        until("the hub to have it", async || Ok((self.hub.count("has")? == then[1]).then_some(()))).await?;
        let store = self.stores[0].clone();
        (self.alice, _) = self.world.start(DevAccount::Alice, store, None).await?;
        let peer = self.alice.connect(&self.hub.address).await?;
        self.upstream = self.alice.channels(peer).await?.into_iter().next().context("Alice has a channel")?;
        self.is_paid(&held).await?;
        self.have(then).await?;
        say("Alice is back, follows what the arbiter did, and has the proof of her payment");
        Ok(())
    }

    /// Blocks pass, each once the hub has done what it does about the one before, until the hub has had this called. Gives the block in which it was.
    async fn pass_until_hub_has(&mut self, what: &str) -> Result<u32> {
        let ours = process::ACCOUNT.id();
        let before = self.world.recorder.entries().len();
        for _ in 0..MOST_BLOCKS {
            self.world.recorder.quiet().await;
            let entries = self.world.recorder.entries();
            let called = entries.iter().skip(before).find(|entry| entry.what == what && entry.signer == ours);
            if let Some(receipt) = called.and_then(|entry| entry.receipt.as_ref()) {
                return Ok(receipt.block.number);
            }
            let head = Amount::from(self.world.chain.produce_blocks(1).await?.number);
            let began = Instant::now();
            while self.hub.count("seen")? < head {
                ensure!(began.elapsed() < PATIENCE, "the hub does not see block {head}");
                tokio::time::sleep(LOOK).await;
            }
        }
        bail!("the hub did not have {what} called within {MOST_BLOCKS} blocks")
    }

    /// One channel is closed in agreement; the hub closes the other one on an old state, and is slashed. Then every coin is counted.
    async fn end(mut self, count: u32, books: Books) -> Result<()> {
        let earned = self.hub.count("earned")?;
        let expected = times(fee(PAYMENT)?, count).saturating_add(times(fee(LARGE)?, LARGE_COUNT));
        ensure!(earned == expected, "the hub should have earned {expected}, counts {earned}");
        say(&format!("\nThe hub counts {} units of fees in all. Alice and the hub close in agreement", short(earned)));
        let CloseReason::Mutual { balances: first } = self.upstream.close(0).await? else {
            bail!("not closed in agreement")
        };
        let due = self.downstream.balances().await?.context("Charlie's channel is open")?.ours;
        let mut events = self.charlie.events();
        say(&format!(
            "the hub closes its channel with Charlie alone, on the state it kept, from {LARGE_COUNT} large payments ago"
        ));
        let _block = self.hub.does("cheat")?;
        let round = wait_for(&mut events, |event| match event {
            Event::Slashed { round, .. } => Some(*round),
            _ => None,
        })
        .await?;
        say(&format!("Charlie's node has answered by itself with round {round}"));
        say(&format!("the lock period passes: {LOCK_PERIOD} blocks"));
        let _head = self.world.chain.produce_blocks(LOCK_PERIOD).await?;
        let CloseReason::Settled { balances: second } = self.downstream.closed().await? else { bail!("not settled") };
        let due = due.saturating_add(PENALTY);
        ensure!(second.initiator == due, "Charlie should be paid {due}, was paid {}", second.initiator);
        say(&format!(
            "settled: Charlie {}, the hub {}, the penalty of {} units included",
            units(second.initiator),
            units(second.responder),
            short(PENALTY)
        ));
        let Shares { alices, hubs_upstream, hubs_downstream, charlies } = self.shares;
        let won = |has, had| anyhow::Ok(signed(has)?.saturating_sub(signed(had)?));
        let hubs = won(first.responder, hubs_upstream)?.saturating_add(won(second.responder, hubs_downstream)?);
        let all = [won(first.initiator, alices)?, hubs, won(second.initiator, charlies)?];
        let paid = times(PAYMENT, count).saturating_add(times(LARGE, LARGE_COUNT));
        let expected =
            [won(0, paid.saturating_add(earned))?, won(earned, PENALTY)?, won(paid.saturating_add(PENALTY), 0)?];
        ensure!(
            all == expected,
            "Alice, the hub and Charlie should have won {expected:?} in their channels, won {all:?}"
        );
        self.hub.end()?;
        let [alice, hub, charlie] = all;
        let gains =
            [(DevAccount::Alice.id(), alice), (process::ACCOUNT.id(), hub), (DevAccount::Charlie.id(), charlie)];
        books.close(&self.world, &gains).await
    }
}
