//! The largest of everything that one call takes, run; and that one more is refused.

use crate::{
    growth::{self, delegated},
    harness::*,
    inside::{From, Inside, claim, count, counter, echo, echo_call, id, opened, transfer},
    measure::Cost,
    page::{Cell, Page, Table, Unit, thousands},
    stories::Crowded,
};
use protocol::{
    Rejection,
    arbiter::{MAX_FORCED_CALLS, MAX_FORCED_INPUTS, Plan},
    call::{Call, ForcedCall},
    contracts::{CallFault, Contract, ContractId, Contracts, MAX_INPUT, MAX_STATE},
    terms::MAX_DELEGATES,
    tree::{MAX_NODES, TreeChange},
};
use scale::Encode;
use sdk::chain::{Chain, arbiter::FinalisedCall};

/// The longest event that the pallet takes: its data, topics apart.
const MAX_EVENT: usize = 16 * 1024;

struct Limits {
    table: Table,
}

impl Limits {
    fn row(&mut self, what: &str, largest: usize, bound_by: impl Into<String>, done: &FinalisedCall) {
        let cost = Cost::from(&done.receipt);
        let event = done.receipt.events.iter().map(|event| event.data.len()).max().unwrap_or(0);
        assert!(event <= MAX_EVENT, "{what}: an event of {event} bytes");
        let cells = vec![
            Cell::new(largest as u128, Unit::Bytes),
            Cell::text(bound_by),
            Cell::new(cost.ref_time, Unit::Time),
            Cell::new(cost.length, Unit::Bytes),
            Cell::new(event as u128, Unit::Bytes),
        ];
        self.table.row(what, cells);
    }
}

pub(crate) async fn measure(crowds: &[Crowded]) -> Page {
    let head = [
        "largest",
        "how large",
        "what binds",
        "ref_time (ps)",
        "extrinsic (bytes)",
        "longest event (bytes, at most 16,384)",
    ];
    let mut limits = Limits { table: Table::new(&head) };
    calls(&mut limits).await;
    inputs(&mut limits).await;
    states(&mut limits).await;
    let crowded = crowds.last().unwrap();
    let many = thousands(crowded.contracts.len() as u128);
    let world = World::deployed().await;
    let what = format!("apps called in one step, of {many} contracts");
    spread(&mut limits, &what, crowded, &|_id| counter(&world, 0, 3), |id| count(id, 1)).await;
    let what = format!("conditional transfers claimed in one step, of {many} contracts");
    spread(&mut limits, &what, crowded, &transfer, claim).await;
    delegates(&mut limits).await;

    let (inside, calls) = touching(crowded, MAX_FORCED_CALLS, &transfer, claim);
    let nodes = nodes(&inside, &calls);
    let mut page = Page::default();
    page.heading(2, "Limits");
    page.text(
        "The largest of each that goes through, in a block, and what refuses one more: both run on the embedded chain.",
    );
    page.table(limits.table);
    let space = growth::limits();
    let weight = LIMITS.call_weight.ref_time;
    page.text(format!(
        "An app may use up to {} ps in each of its calls ({} bytes of proof); {} such calls fill a block. A proof has at most {} nodes; \
         the one for 64 of {many} contracts has {nodes}. The number of contracts in a channel is bounded by nothing but the peers' memory: a step in a channel \
         with 2^64 of them would carry about three times the proof of one with 2^20.",
        thousands(weight.into()),
        thousands(LIMITS.call_weight.proof_size.into()),
        space.weight.ref_time / weight,
        thousands(MAX_NODES as u128),
    ));
    page
}

/// How many nodes the proof for these calls has.
fn nodes(inside: &Inside, calls: &[ForcedCall]) -> usize {
    let change = |call: &ForcedCall| TreeChange { key: call.contract.key(), before: None, after: None };
    let mut changes: Vec<_> = calls.iter().map(change).collect();
    changes.sort_unstable_by_key(|change| change.key);
    inside.contracts.prove(&changes).nodes.len()
}

async fn force(inside: &Inside, calls: Vec<ForcedCall>) -> FinalisedCall {
    let (mut world, channel) = opened(inside, From::Chain).await;
    inside.clone().force(&mut world, &channel, From::Chain, calls).await
}

/// Whether the chain would take these calls; the reason where it would not.
async fn attempt(inside: &Inside, calls: Vec<ForcedCall>) -> Result<usize, String> {
    let (world, channel) = opened(inside, From::Chain).await;
    let Plan { call, .. } = inside.plan(&world, &channel, From::Chain, calls).await.map_err(|no| no.to_string())?;
    let bytes = call.encoded_size() + 4;
    let transaction = world.arbiter.transaction(&Call::ChannelForceProgress(call), 0);
    match world.chain.dry_run(&Actor::Initiator.id(), &transaction).await {
        Ok(dry_run) => refusal(&dry_run).map_or(Ok(bytes), |no| Err(no.to_string())),
        Err(error) => Err(error.to_string()),
    }
}

/// Refused with one thing more than a step that goes through.
async fn refused(inside: &Inside, calls: Vec<ForcedCall>, change: impl Fn(&mut Vec<ForcedCall>), why: Rejection) {
    let (mut world, channel) = opened(inside, From::Chain).await;
    let mut plan = inside.plan(&world, &channel, From::Chain, calls).await.unwrap();
    change(&mut plan.call.calls);
    world.refuse(Actor::Initiator, &Call::ChannelForceProgress(plan.call), 0, why).await;
}

async fn calls(limits: &mut Limits) {
    let world = World::deployed().await;
    let inside = Inside::new(Contracts::from_iter([(id(0), counter(&world, 0, 1_000))]));
    let calls = vec![count(id(0), 1); MAX_FORCED_CALLS];
    limits.row("calls in one step", calls.len(), "`MAX_FORCED_CALLS`", &force(&inside, calls.clone()).await);
    refused(&inside, calls, |calls| calls.push(count(id(0), 1)), Rejection::CallsTooLarge).await;
}

async fn inputs(limits: &mut Limits) {
    let world = World::deployed().await;
    let inside = Inside::new(Contracts::from_iter([(id(0), echo(&world, 0))]));
    let one = vec![echo_call(id(0), MAX_INPUT)];
    limits.row("bytes of input to one call", MAX_INPUT, "`MAX_INPUT`", &force(&inside, one.clone()).await);
    let too_large = Rejection::CallFailed { round: crate::inside::BASE + 1, fault: CallFault::TooLarge };
    refused(&inside, one, |calls| calls[0].input.push(0), too_large).await;

    let each = MAX_FORCED_INPUTS / MAX_FORCED_CALLS;
    assert_eq!(each * MAX_FORCED_CALLS, MAX_FORCED_INPUTS, "as many in each");
    let all = vec![echo_call(id(0), each); MAX_FORCED_CALLS];
    let done = force(&inside, all.clone()).await;
    limits.row("bytes of input to 64 calls together", MAX_FORCED_INPUTS, "`MAX_FORCED_INPUTS`", &done);
    refused(&inside, all, |calls| calls[0].input.push(0), Rejection::CallsTooLarge).await;
}

async fn states(limits: &mut Limits) {
    let world = World::deployed().await;
    let call = || vec![echo_call(id(0), 1)];
    let inside = |bytes: &[usize]| {
        let contracts = (0..).map(id).zip(bytes.iter().map(|bytes| echo(&world, *bytes)));
        Inside::new(contracts.collect())
    };
    limits.row("bytes of state of one contract", MAX_STATE, "`MAX_STATE`", &force(&inside(&[MAX_STATE]), call()).await);
    assert!(attempt(&inside(&[MAX_STATE + 1]), call()).await.is_err());

    let many = |size| vec![echo_call(id(0), 1); size];
    let largest = largest_of(1, MAX_FORCED_CALLS, async |size| attempt(&inside(&[MAX_STATE]), many(size)).await).await;
    let done = force(&inside(&[MAX_STATE]), many(largest.size)).await;
    let bound_by = largest.bound_by("`MAX_FORCED_ANSWERS`", "`MAX_FORCED_CALLS`");
    limits.row("calls in one step, on one state of 16 KiB", largest.size, bound_by, &done);

    let four = |size| inside(&[MAX_STATE, MAX_STATE, MAX_STATE, size]);
    let one_each = || (0..4).map(|index| echo_call(id(index), 1)).collect::<Vec<_>>();
    let most = largest_of(0, MAX_STATE, async |size| attempt(&four(size), one_each()).await).await;
    let done = force(&four(most.size), one_each()).await;
    let bytes = attempt(&four(most.size), one_each()).await.unwrap();
    let bound_by = most.bound_by("`MAX_FORCED_STEP`", "`MAX_STATE`");
    limits.row("bytes of one call, with four large states", bytes, bound_by, &done);
}

/// So many of the contracts of a channel changed into `contract`, and called.
fn touching(
    crowded: &Crowded,
    size: usize,
    contract: &impl Fn(ContractId) -> Contract,
    call: fn(ContractId) -> ForcedCall,
) -> (Inside, Vec<ForcedCall>) {
    let mut contracts = crowded.contracts.clone();
    let indices = 0..u32::try_from(size).unwrap();
    for index in indices.clone() {
        contracts.insert(id(index), contract(id(index)));
    }
    (Inside::new(contracts), indices.map(|index| call(id(index))).collect())
}

async fn spread(
    limits: &mut Limits,
    what: &str,
    crowded: &Crowded,
    contract: &impl Fn(ContractId) -> Contract,
    call: fn(ContractId) -> ForcedCall,
) {
    let largest = largest_of(1, MAX_FORCED_CALLS, async |size| {
        let (inside, calls) = touching(crowded, size, contract, call);
        attempt(&inside, calls).await
    })
    .await;
    let (inside, calls) = touching(crowded, largest.size, contract, call);
    let bound_by = largest.bound_by("`MAX_FORCED_STEP`", "`MAX_FORCED_CALLS`");
    limits.row(what, largest.size, bound_by, &force(&inside, calls).await);
}

async fn delegates(limits: &mut Limits) {
    let mut world = World::funded().await;
    let mut body = create_body(world.now());
    body.terms = delegated(MAX_DELEGATES + 1);
    let call = world.create_call(&body);
    world.refuse(Actor::Initiator, &call, 0, Rejection::TooManyDelegates).await;
    let mut body = create_body(world.now());
    body.terms = delegated(MAX_DELEGATES);
    let call = world.create_call(&body);
    let done = world.accept(Actor::Initiator, &call, 0).await;
    limits.row("delegates of each party", MAX_DELEGATES, "`MAX_DELEGATES`", &done);
}

/// The largest that goes through, and what was said to the next one; nothing where there is no next one.
struct Largest {
    size: usize,
    refused: Option<String>,
}

impl Largest {
    /// What binds: the bound of a step that is too large, the cause of another refusal, or `otherwise` where nothing was refused.
    fn bound_by(&self, of_the_step: &str, otherwise: &str) -> String {
        match self.refused.as_deref() {
            None => otherwise.to_owned(),
            Some(cause) if cause == Rejection::StepTooLarge.to_string() => of_the_step.to_owned(),
            Some(cause) => cause.to_owned(),
        }
    }
}

/// By halving: whatever is larger than what is refused is refused as well.
async fn largest_of(least: usize, most: usize, attempt: impl AsyncFn(usize) -> Result<usize, String>) -> Largest {
    let Err(mut refused) = attempt(most).await else { return Largest { size: most, refused: None } };
    let (mut fits, mut too_large) = (least, most);
    while too_large - fits > 1 {
        let middle = fits + (too_large - fits) / 2;
        match attempt(middle).await {
            Ok(_bytes) => fits = middle,
            Err(error) => (too_large, refused) = (middle, error),
        }
    }
    Largest { size: fits, refused: Some(refused) }
}
