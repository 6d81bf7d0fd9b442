//! Each message once, alone.

use crate::{
    examples::{self, Example},
    harness::{apps, *},
    inside::{self, From, Inside, claim, count, counter, id, opened},
    measure::Cost,
    page::{Cell, Page, Table, Unit},
};
use devchain::DevChain;
use protocol::{
    Pair, Party,
    call::{Call, ProveContractState, Read},
    contracts::{
        Contract, Contracts,
        conditional::{HashFunction, Preimage},
    },
    signing::{CloseMutualBody, DepositBody, SetDelegatesBody, WithdrawBody},
    tree::TreeChange,
};
use sdk::chain::{
    Arbiter, Chain, Transaction,
    arbiter::{HEAVIEST, selector},
};
use std::sync::Arc;

/// The most computation that a message with one co-signed payload may be charged for, in picoseconds.
pub(crate) const MAX_REF_TIME: u64 = HEAVIEST.ref_time;
/// The same where it calls an app that ships, which may have the arbiter show a pre-image besides (R7.1a): `HEAVIEST` leaves apps apart.
const MAX_WITH_APP: u64 = MAX_REF_TIME + 500_000_000;
/// How many pairs of signatures are compared.
const PAIRS: u64 = 32;

/// What was measured of the messages.
#[derive(Default)]
pub(crate) struct Messages {
    rows: Vec<Row>,
    signatures: Vec<u64>,
}

struct Row {
    name: String,
    message: &'static str,
    cost: Cost,
    /// Whether it carries one payload that both signed.
    is_co_signed: bool,
    /// What it may take at most where it does.
    max: u64,
}

impl Messages {
    pub(crate) async fn measure() -> Self {
        let mut all = Self::default();
        all.deployment().await;
        all.life().await;
        all.forced_steps().await;
        all.examples().await;
        all.preimages().await;
        all.signatures().await;
        all
    }

    fn row(&mut self, message: &'static str, which: &str, is_co_signed: bool, cost: Cost) {
        let name = if which.is_empty() { format!("`{message}`") } else { format!("`{message}`, {which}") };
        self.rows.push(Row { name, message, cost, is_co_signed, max: MAX_REF_TIME });
    }

    async fn call(&mut self, world: &mut World, who: Actor, call: &Call, which: &str) {
        let attached = if matches!(call, Call::VaultDeposit { .. }) { VAULT } else { 0 };
        let done = world.accept(who, call, attached).await;
        let signed = matches!(
            call,
            Call::ChannelCreate(_)
                | Call::ChannelDeposit(_)
                | Call::ChannelWithdraw(_)
                | Call::ChannelSnapshotSolo(_)
                | Call::ChannelSetDelegates(_)
                | Call::ChannelCloseMutual(_)
                | Call::ChannelSlash(_)
                | Call::Batch(_)
        );
        let shows = match call {
            Call::ChannelCloseSolo(call) => call.payload.is_some(),
            Call::ChannelForceProgress(call) => call.payload.is_some(),
            _ => signed,
        };
        self.row(call.name(), which, shows, Cost::from(&done.receipt));
    }

    async fn deployment(&mut self) {
        let chain = DevChain::new().unwrap();
        let deployer = Actor::Deployer.dev().signer();
        let deployed = Arbiter::deploy(Arc::new(chain.clone()), &deployer, wasm(), LIMITS, Vec::new()).await;
        self.row("upload and instantiate", "the arbiter", false, Cost::from(&deployed.unwrap().1));
        let data = selector("new").to_vec();
        let transaction = Transaction::Instantiate { code: built("counter"), value: 0, data, salt: Vec::new() };
        let dry_run = chain.dry_run(&Actor::Deployer.id(), &transaction).await.unwrap();
        let receipt = chain.submit(&deployer, transaction, &dry_run).await.unwrap();
        self.row("upload and instantiate", "the app `counter`", false, Cost::from(&receipt));
    }

    /// A channel that sees every message.
    async fn life(&mut self) {
        let mut world = World::deployed().await;
        let world = &mut world;
        self.call(world, Actor::Initiator, &Actor::Initiator.vault_deposit(), "a new vault").await;
        self.call(world, Actor::Initiator, &Actor::Initiator.vault_deposit(), "an old vault").await;
        let _done = world.accept(Actor::Responder, &Actor::Responder.vault_deposit(), VAULT).await;
        self.call(world, Actor::Initiator, &Actor::Initiator.vault_withdraw(UNIT), "").await;

        let body = create_body(world.now());
        let channel = world.next_channel(&parties());
        let create = world.create_call(&body);
        self.call(world, Actor::Initiator, &create, "a pair's first").await;
        let create = world.create_call(&create_body(world.now()));
        self.call(&mut world.fork().await, Actor::Initiator, &create, "a pair's second").await;

        let state = |round, total| State::new(round, 60 * UNIT, total - 60 * UNIT);
        let (amount, valid_until) = (10 * UNIT, world.now() + 10);
        let (party, after) = (Party::Initiator, state(2, TOTAL + amount));
        let deposit = DepositBody { party, amount, round: 2, base: OPENING, state_hash: after.hash(), valid_until };
        self.call(world, Actor::Initiator, &Call::ChannelDeposit(channel.deposit(deposit)), "").await;
        let (to, base, state_hash) = (Actor::Initiator.id(), OPENING, state(3, TOTAL).hash());
        let withdraw = WithdrawBody { party, amount, to, round: 3, base, state_hash, valid_until };
        self.call(world, Actor::Initiator, &Call::ChannelWithdraw(channel.withdraw(withdraw)), "").await;
        self.call(world, Actor::Initiator, &channel.snapshot(&state(4, TOTAL)), "").await;
        let delegates = terms().parties.map(|party| party.delegates);
        let state_hash = state(5, TOTAL).hash();
        let set = SetDelegatesBody { delegates, round: 5, base, state_hash, valid_until };
        self.call(world, Actor::Initiator, &Call::ChannelSetDelegates(channel.set_delegates(set)), "").await;

        let body = CloseMutualBody { balances: Pair::new(60 * UNIT, 99 * UNIT), fee: UNIT, valid_until };
        let close = Call::ChannelCloseMutual(channel.close_mutual_as(body));
        self.call(&mut world.fork().await, Actor::Initiator, &close, "").await;
        let close = channel.close_solo_on_chain(state(4, TOTAL).commitment);
        self.call(&mut world.fork().await, Actor::Initiator, &close, "on the state on chain").await;
        self.call(world, Actor::Initiator, &channel.close_solo(&state(6, TOTAL)), "on a payload").await;
        let batch = Call::Batch(vec![channel.batched_slash(&state(7, TOTAL))]);
        self.call(&mut world.fork().await, Actor::Responder, &batch, "of one `channel_slash`").await;
        self.call(world, Actor::Responder, &channel.slash(&state(7, TOTAL)), "").await;
        world.travel_to(world.now() + LOCK_PERIOD).await;
        self.call(world, Actor::Initiator, &channel.settle(), "").await;
    }

    async fn forced_steps(&mut self) {
        let world = World::deployed().await;
        let cases: [(&str, Contract, _); 2] = [
            ("a claim of a conditional transfer", inside::transfer(id(0)), claim(id(0))),
            ("a call of the app `counter`", counter(&world, UNIT, 3), count(id(0), 3)),
        ];
        for (what, contract, call) in cases {
            let inside = Inside::new(Contracts::from_iter([(id(0), contract)]));
            for (from, which) in [(From::Chain, "from the state on chain"), (From::Payload, "from a payload")] {
                let (mut world, channel) = opened(&inside, from).await;
                let plan = inside.plan(&world, &channel, from, vec![call.clone()]).await.unwrap();
                let force = Call::ChannelForceProgress(plan.call);
                self.call(&mut world, Actor::Initiator, &force, &format!("{what} {which}")).await;
            }
            if what.contains("app") {
                self.proof_of_state(&inside).await;
            }
        }
    }

    /// A call of each app that ships, as a dispute would make it.
    async fn examples(&mut self) {
        let (_world, channel) = opened(&Inside::new(Contracts::new()), From::Payload).await;
        for Example { package, what, contract, call, register } in examples::all(&channel.id, id(0)) {
            let inside = Inside::new(Contracts::from_iter([(id(0), contract)]));
            for (from, which) in [(From::Chain, "from the state on chain"), (From::Payload, "from a payload")] {
                let (mut world, channel) = opened(&inside, from).await;
                let app = apps::deploy(&world.chain, package).await;
                let _new = world.ledger.deployed.insert(app.account, app.code);
                register(&mut world.ledger.apps, app.code);
                let plan = inside.plan(&world, &channel, from, vec![call.clone()]).await.unwrap();
                let force = Call::ChannelForceProgress(plan.call);
                let which = format!("the app `{package}`: {what}, {which}");
                self.call(&mut world, Actor::Initiator, &force, &which).await;
                self.rows.last_mut().unwrap().max = MAX_WITH_APP;
            }
        }
    }

    /// A dry run: nobody pays for it, unless a contract asks.
    async fn proof_of_state(&mut self, inside: &Inside) {
        let (world, channel) = opened(inside, From::Chain).await;
        let contract = inside.contracts.get(&id(0)).unwrap().clone();
        let change = TreeChange { key: id(0).key(), before: None, after: None };
        let proof = inside.contracts.prove(&[change]);
        let (channel, commitment) = (channel.id, inside.commitment());
        let claim = ProveContractState { channel, commitment, id: id(0), contract, proof };
        let _artefact = world.arbiter.prove_contract_state(claim.clone()).await.unwrap();
        let read = Read::ProveContractState(claim);
        let data = [&selector(read.name())[..], &read.arguments()].concat();
        let transaction = Transaction::Call { contract: world.address(), value: 0, data };
        let used = world.chain.dry_run(&Actor::Stranger.id(), &transaction).await.unwrap().used;
        let cost = Cost { ref_time: used.ref_time, proof_size: used.proof_size, ..Cost::default() };
        self.row(read.name(), "asked by a dry run", false, cost);
    }

    async fn preimages(&mut self) {
        let mut world = World::deployed().await;
        let register = Call::PreimageRegister { preimage: Preimage([0x5E; 32]), function: HashFunction::Blake2b256 };
        self.call(&mut world, Actor::Stranger, &register, "new").await;
        self.call(&mut world, Actor::Stranger, &register, "known").await;
        let register = Call::PreimageRegister { preimage: Preimage([0x5E; 32]), function: HashFunction::Sha2_256 };
        self.call(&mut world, Actor::Stranger, &register, "new, by sha2-256").await;
        let preimages = vec![Preimage([1; 32])];
        let register = Call::PreimagesRegister { preimages, function: HashFunction::Blake2b256 };
        self.call(&mut world, Actor::Stranger, &register, "a single new one").await;
    }

    /// The same message with different signatures.
    async fn signatures(&mut self) {
        let (world, channel) = World::open().await;
        for round in 2..2 + PAIRS {
            let call = channel.snapshot(&State::new(round, BALANCES.initiator, BALANCES.responder));
            let done = world.fork().await.accept(Actor::Initiator, &call, 0).await;
            self.signatures.push(done.receipt.weight.ref_time);
        }
    }

    /// How long each takes that carries one co-signed payload, and how long it may.
    pub(crate) fn co_signed(&self) -> impl Iterator<Item = (String, u64, u64)> + '_ {
        self.rows.iter().filter(|row| row.is_co_signed).map(|row| (row.name.clone(), row.cost.ref_time, row.max))
    }

    pub(crate) fn write(&self, page: &mut Page) {
        let measured = |name: &&&str| self.rows.iter().any(|row| row.message == **name);
        assert_eq!(Call::NAMES.iter().filter(measured).count(), Call::NAMES.len(), "each message is measured");

        page.heading(2, "Messages");
        page.text(
            "Each party has one delegate. A storage deposit is given back by whichever call frees the storage, to whoever sent it. Calls that \
             carry a payload that both parties signed are marked \u{270d}; each may take at most 6.5e9 ps, which is asserted, also of forced steps in \
             channels with 100,000 contracts and of terms with as many delegates as are allowed.",
        );
        let mut table = Table::of_costs("message");
        for Row { name, message, cost, is_co_signed, .. } in &self.rows {
            let cells = match *message {
                "upload and instantiate" => cost.cells_of_upload(),
                "prove_contract_state" => cost.cells_of_dry_run(),
                _ => cost.cells(),
            };
            table.row(format!("{name}{}", if *is_co_signed { " \u{270d}" } else { "" }), cells);
        }
        page.table(table);

        page.heading(2, "Signatures");
        page.text(
            "How long two signatures take to check depends on their bits, and so on the arbiter's address, which follows from its code: any \
             change of the code moves each co-signed call a little, up or down.",
        );
        let mut table = Table::new(&["`channel_snapshot_solo`", "ref_time (ps)"]);
        let (least, most) = (self.signatures.iter().min().unwrap(), self.signatures.iter().max().unwrap());
        let mean = self.signatures.iter().sum::<u64>() / PAIRS;
        for (name, time) in [("least", *least), ("mean", mean), ("most", *most)] {
            table.row(format!("{name} of {PAIRS} pairs"), vec![Cell::new(time, Unit::Time)]);
        }
        page.table(table);
    }
}
