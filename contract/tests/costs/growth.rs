//! How costs grow with the sizes that matter, and where a block would be full.

use crate::{
    fit::Fit,
    harness::*,
    inside::{
        From, Inside, claim, claim_by, count, counter, echo, echo_call, expired, id, opened, premium_of, proof_bytes,
        refund, transfer,
    },
    measure::Cost,
    page::{Cell, Page, Table, Unit, thousands},
    stories::Crowded,
};
use devchain::TransactionLimits;
use protocol::{
    AccountId, Pair,
    call::{Call, ForcedCall, MAX_BATCH},
    contracts::{
        Contract, ContractId, Contracts, MAX_INPUT, MAX_STATE,
        conditional::{HashFunction, Preimage},
    },
    crypto::{Crypto, Native},
    terms::{Delegate, MAX_DELEGATES, Terms},
};

/// What blocks of chains that bound their proofs have room for: three quarters of 5 and of 10 MiB.
const PROOFS: [u64; 2] = [3_932_160, 7_864_320];

/// Sizes and what they cost.
struct Series {
    heading: &'static str,
    /// What is counted; the fit is in it, or in its binary logarithm.
    size: &'static str,
    is_logarithmic: bool,
    points: Vec<(usize, Cost)>,
}

/// What was measured.
#[derive(Default)]
pub(crate) struct Growth {
    pub(crate) page: Page,
    /// How long the longest calls take that carry one co-signed payload.
    pub(crate) co_signed: Vec<(String, u64)>,
}

pub(crate) async fn measure(crowds: &[Crowded]) -> Growth {
    let mut growth = Growth::default();
    growth.by_contracts(crowds).await;
    let Growth { mut page, mut co_signed } = growth;
    page.heading(2, "Fits");
    page.text(format!(
        "Least squares; the residual is that of the farthest point. A block takes {} ps of computation and {} bytes in one ordinary transaction, \
         and this runtime sets no limit on proof sizes. Where a line says what would fill a block, other limits usually bind first: see *Limits*. \
         Forced steps go on from the state on chain, in a channel whose contracts are all called. What further contracts in the channel cost each \
         contract called is the line above.",
        thousands(limits().weight.ref_time.into()),
        thousands(limits().length.into()),
    ));
    let ends = [claims().await, premiums().await, refunds().await];
    for series in [calls().await, touched().await].into_iter().chain(ends).chain([input().await, state().await]) {
        series.write(&mut page);
    }
    let (slashes, preimages) = (slashes().await, preimages().await);
    for series in [&slashes, &preimages] {
        series.write(&mut page);
        page.text(series.each());
    }
    page.text(preimages.in_a_block());
    for series in delegates().await {
        series.write(&mut page);
        let longest = series.points.iter().map(|(_, cost)| cost.ref_time).max().unwrap();
        co_signed.push((series.heading.to_owned(), longest));
    }
    Growth { page, co_signed }
}

pub(crate) fn limits() -> TransactionLimits {
    TransactionLimits::of_the_runtime()
}

async fn step(inside: &Inside, from: From, calls: Vec<ForcedCall>) -> Cost {
    let (mut world, channel) = opened(inside, from).await;
    let done = inside.clone().force(&mut world, &channel, from, calls).await;
    Cost::from(&done.receipt)
}

impl Growth {
    async fn by_contracts(&mut self, crowds: &[Crowded]) {
        let world = World::deployed().await;
        self.page.heading(2, "Forced steps by number of contracts");
        self.page.text(
        "One call of the app `counter` in a channel with so many contracts. Proof bytes are those that the call carries to show one contract (section 4): \
         of the contract in the middle of a thousand by the length of its proof, which is the one called, and of the worst of them.",
    );
        let head = [
            "contracts",
            "proof (bytes)",
            "worst proof (bytes)",
            "extrinsic (bytes)",
            "ref_time (ps)",
            "with a payload (ps)",
        ];
        let mut table = Table::new(&head);
        let mut points = Vec::new();
        let mut proofs = Vec::new();
        for crowded in crowds {
            let inside = crowded.inside(counter(&world, 5 * UNIT, 3));
            let call = || vec![count(crowded.called, 1)];
            let cost = step(&inside, From::Chain, call()).await;
            let with_payload = step(&inside, From::Payload, call()).await;
            let (size, proof) = (inside.contracts.len(), proof_bytes(&inside.contracts, &crowded.called));
            let cells = vec![
                Cell::new(proof as u128, Unit::Bytes),
                Cell::new(crowded.longest as u128, Unit::Bytes),
                Cell::new(cost.length, Unit::Bytes),
                Cell::new(cost.ref_time, Unit::Time),
                Cell::new(with_payload.ref_time, Unit::Time),
            ];
            table.row(thousands(size as u128), cells);
            self.co_signed
                .push((format!("a forced step with {} contracts", thousands(size as u128)), with_payload.ref_time));
            points.push((size, cost));
            proofs.push(((size as f64).log2(), proof as f64));
        }
        self.page.table(table);
        let series = Series { heading: "", size: "log2(contracts)", is_logarithmic: true, points };
        let proof = Fit::of(&proofs);
        self.page.text(format!(
            "{}- proof = {:.0} + {:.1} * log2(contracts) bytes, residual {:.1} %\n",
            series.fits(),
            proof.at_zero,
            proof.slope,
            proof.residual * 100.0
        ));
    }
}

/// Powers of two up to a limit.
fn doubling(from: usize, limit: usize) -> Vec<usize> {
    std::iter::successors(Some(from), |size| Some(size * 2)).take_while(|size| *size <= limit).collect()
}

const STEPS: usize = protocol::arbiter::MAX_FORCED_CALLS;

async fn calls() -> Series {
    let world = World::deployed().await;
    let inside = Inside::new(Contracts::from_iter([(id(0), counter(&world, 5 * UNIT, 1_000))]));
    let mut points = Vec::new();
    for size in doubling(1, STEPS) {
        points.push((size, step(&inside, From::Chain, vec![count(id(0), 1); size]).await));
    }
    Series {
        heading: "Calls of one app in one step, in a channel with one contract",
        size: "calls",
        is_logarithmic: false,
        points,
    }
}

/// A step that calls each contract of a channel with so many.
async fn all_called(
    size: usize,
    contract: impl Fn(ContractId) -> Contract,
    call: impl Fn(ContractId) -> ForcedCall,
) -> Cost {
    let ids: Vec<_> = (0..).map(id).take(size).collect();
    let inside = Inside::new(ids.iter().map(|id| (*id, contract(*id))).collect());
    step(&inside, From::Chain, ids.into_iter().map(call).collect()).await
}

async fn touched() -> Series {
    let contract = counter(&World::deployed().await, 0, 3);
    let mut points = Vec::new();
    for size in doubling(1, STEPS) {
        points.push((size, all_called(size, |_id| contract.clone(), |id| count(id, 1)).await));
    }
    Series {
        heading: "Contracts touched in one step, one call of an app each",
        size: "contracts touched",
        is_logarithmic: false,
        points,
    }
}

async fn claims() -> Series {
    let mut points = Vec::new();
    for size in doubling(1, STEPS) {
        points.push((size, all_called(size, transfer, claim).await));
    }
    Series {
        heading: "Conditional transfers claimed in one step, each with a pre-image of its own",
        size: "transfers claimed",
        is_logarithmic: false,
        points,
    }
}

/// Those that nobody has claimed, by their payer.
async fn refunds() -> Series {
    let mut points = Vec::new();
    for size in doubling(1, STEPS) {
        points.push((size, all_called(size, expired, refund).await));
    }
    Series {
        heading: "Expired conditional transfers taken back in one step",
        size: "transfers taken back",
        is_logarithmic: false,
        points,
    }
}

/// Target legs of swaps with their premiums: two contracts each, under one lock.
async fn premiums() -> Series {
    let mut points = Vec::new();
    for size in doubling(1, STEPS / 2) {
        let legs = || (0..).map(id).step_by(2).zip((1..).map(id).step_by(2)).take(size);
        let both = legs().flat_map(|(leg, premium)| [(leg, transfer(leg)), (premium, premium_of(leg))]);
        let inside = Inside::new(both.collect());
        let calls = legs().flat_map(|(leg, premium)| [claim(leg), claim_by(premium, leg)]);
        points.push((size, step(&inside, From::Chain, calls.collect()).await));
    }
    Series {
        heading: "Conditional transfers claimed in one step with their premiums, each of the two under one lock",
        size: "transfers claimed with a premium",
        is_logarithmic: false,
        points,
    }
}

async fn input() -> Series {
    let world = World::deployed().await;
    let inside = Inside::new(Contracts::from_iter([(id(0), echo(&world, 0))]));
    let mut points = Vec::new();
    for size in [1].into_iter().chain(doubling(512, MAX_INPUT)) {
        points.push((size, step(&inside, From::Chain, vec![echo_call(id(0), size)]).await));
    }
    Series {
        heading: "Bytes of input to one call, in a channel with one contract",
        size: "input bytes",
        is_logarithmic: false,
        points,
    }
}

async fn state() -> Series {
    let world = World::deployed().await;
    let mut points = Vec::new();
    for size in [0].into_iter().chain(doubling(1_024, MAX_STATE)) {
        let inside = Inside::new(Contracts::from_iter([(id(0), echo(&world, size))]));
        points.push((size, step(&inside, From::Chain, vec![echo_call(id(0), 1)]).await));
    }
    Series {
        heading: "Bytes of state of the contract called, in a channel with one contract",
        size: "state bytes",
        is_logarithmic: false,
        points,
    }
}

/// How many calls or pre-images are put together.
const TOGETHER: [usize; 4] = [1, 8, 16, 64];

/// A batch that answers so many closes of channels of one pair, by a delegate as a watchtower would.
async fn slashes() -> Series {
    let mut world = World::funded().await;
    let mut channels = Vec::new();
    let state = |round| State::new(round, 2 * UNIT, 5 * UNIT);
    for _ in 0..MAX_BATCH {
        let mut body = create_body(world.now());
        (body.terms.reserve, body.terms.penalty) = (UNIT, UNIT);
        (body.shares, body.balances) = (Pair::new(4 * UNIT, 3 * UNIT), Pair::new(4 * UNIT, 3 * UNIT));
        channels.push(world.create(&body).await);
    }
    let closes = channels.iter().map(|channel| channel.batched_close(&state(6)));
    let _done = world.accept(Actor::Initiator, &Call::Batch(closes.collect()), 0).await;
    let mut points = Vec::new();
    for size in TOGETHER {
        let slashes = channels.iter().take(size).map(|channel| channel.batched_slash(&state(7)));
        let call = Call::Batch(slashes.collect());
        let done = world.fork().await.accept(Actor::RespondersDelegate, &call, 0).await;
        assert_eq!(done.events.len(), size);
        points.push((size, Cost::from(&done.receipt)));
    }
    Series { heading: "Closes answered in one `batch`", size: "channels", is_logarithmic: false, points }
}

async fn preimages() -> Series {
    let world = World::deployed().await;
    let mut points = Vec::new();
    for size in TOGETHER {
        let preimages = (0..size).map(|number| Preimage([number as u8; 32])).collect();
        let call = Call::PreimagesRegister { preimages, function: HashFunction::Blake2b256 };
        let done = world.fork().await.accept(Actor::Stranger, &call, 0).await;
        points.push((size, Cost::from(&done.receipt)));
    }
    Series {
        heading: "Different pre-images shown by one `preimages_register`",
        size: "pre-images",
        is_logarithmic: false,
        points,
    }
}

/// Terms with so many delegates on either side.
pub(crate) fn delegated(size: usize) -> Terms {
    let crowd = |party: u8| {
        let delegate = |index: usize| Delegate::defender(AccountId(Native.hash(&[party, index as u8]).0));
        (0..size).map(delegate).collect::<Vec<_>>()
    };
    let mut terms = terms();
    terms.parties.initiator.delegates = crowd(0);
    terms.parties.responder.delegates = crowd(1);
    terms
}

async fn delegates() -> [Series; 2] {
    let (mut opening, mut slashing) = (Vec::new(), Vec::new());
    for size in [0].into_iter().chain(doubling(1, MAX_DELEGATES)) {
        let mut world = World::funded().await;
        let mut body = create_body(world.now());
        body.terms = delegated(size);
        let channel = world.next_channel(&parties());
        let create: Call = world.create_call(&body);
        let done = world.accept(Actor::Initiator, &create, 0).await;
        opening.push((2 * size, Cost::from(&done.receipt)));
        let balances = Pair::new(60 * UNIT, 100 * UNIT);
        let state = |round| State::new(round, balances.initiator, balances.responder);
        let _done = world.accept(Actor::Initiator, &channel.close_solo(&state(6)), 0).await;
        let done = world.accept(Actor::Responder, &channel.slash(&state(7)), 0).await;
        slashing.push((2 * size, Cost::from(&done.receipt)));
    }
    let series = |heading, points| Series { heading, size: "delegates", is_logarithmic: false, points };
    [
        series("Delegates in the terms of both parties together: `channel_create`", opening),
        series("Delegates in the terms of both parties together: `channel_slash`", slashing),
    ]
}

impl Series {
    fn write(&self, page: &mut Page) {
        page.heading(3, self.heading);
        let mut table = Table::new(&[
            self.size,
            "ref_time (ps)",
            "proof size (bytes)",
            "extrinsic (bytes)",
            "deposit taken (units)",
        ]);
        for (size, cost) in &self.points {
            let cells = vec![
                Cell::new(cost.ref_time, Unit::Time),
                Cell::new(cost.proof_size, Unit::Code),
                Cell::new(cost.length, Unit::Bytes),
                Cell::coins(cost.taken, Unit::Deposit),
            ];
            table.row(thousands(*size as u128), cells);
        }
        page.table(table);
        page.text(self.fits());
    }

    /// What the largest of them comes to for each.
    fn each(&self) -> String {
        let (size, cost) = self.points.last().expect("there are points");
        let share = |cost: u64| thousands((cost / *size as u64).into());
        let (time, proof) = (share(cost.ref_time), share(cost.proof_size));
        format!("Of {size} together each takes {time} ps and {proof} bytes of proof.")
    }

    /// How many of them a block takes, in calls of the largest size.
    fn in_a_block(&self) -> String {
        let (size, cost) = self.points.last().expect("there are points");
        let times = |limit: u64, each: u64| thousands((limit / each * *size as u64).into());
        let proofs = PROOFS.map(|limit| times(limit, cost.proof_size));
        format!(
            "In such calls a block takes {} of them by computation, which binds here, where proofs are not bounded. Where they are, they bind first: a block with room \
             for {} bytes of proof for ordinary transactions (three quarters of 5 MiB) takes {}, one with {} bytes {}.",
            times(limits().weight.ref_time, cost.ref_time),
            thousands(PROOFS[0].into()),
            proofs[0],
            thousands(PROOFS[1].into()),
            proofs[1],
        )
    }

    /// The lines through the points, as a list.
    fn fits(&self) -> String {
        let limits = limits();
        self.fit("ref_time", "ps", limits.weight.ref_time as f64, |cost| cost.ref_time as f64)
            + &self.fit("extrinsic", "bytes", f64::from(limits.length), |cost| f64::from(cost.length))
    }

    fn fit(&self, name: &str, unit: &str, limit: f64, of: fn(&Cost) -> f64) -> String {
        let size = |size: usize| if self.is_logarithmic { (size as f64).log2() } else { size as f64 };
        let points: Vec<_> = self.points.iter().map(|(count, cost)| (size(*count), of(cost))).collect();
        let fit = Fit::of(&points);
        let Fit { at_zero, slope, residual } = fit;
        let rate = if slope < 100.0 { format!("{slope:.1}") } else { thousands(slope.round() as u128) };
        let line = format!(
            "- {name} = {} + {rate} * {} {unit}, residual {:.1} %",
            thousands(at_zero.round() as u128),
            self.size,
            residual * 100.0
        );
        if slope < 0.5 {
            return line + "\n";
        }
        let full = thousands(fit.reaches(limit) as u128);
        line + &format!("; a block is full at {}{full}\n", if self.is_logarithmic { "2^" } else { "" })
    }
}
