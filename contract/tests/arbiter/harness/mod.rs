//! The real arbiter, deployed once in a test process; each test goes on from there on a fork of that chain.
//!
//! Whatever a test does goes through [`World::accept`] or [`World::refuse`], so that every single call is also compared
//! with the rules in memory ([`Ledger`]) and with what a watcher of events would know, coin by coin.

pub(crate) mod actors;
pub(crate) mod apps;
mod co_signed;
pub(crate) mod forgery;
pub(crate) mod inside;
pub(crate) mod mutations;
pub(crate) mod signing;
mod snapshot;
mod watcher;

pub(crate) use actors::*;
pub(crate) use apps::{Apps, TOO_MUCH_WORK};
pub(crate) use co_signed::{WhileClosing, WhileOpen};
pub(crate) use forgery::Forgery;
pub(crate) use inside::*;
pub(crate) use mutations::mutations;
pub(crate) use signing::{Channel, OPENING, State};
pub(crate) use snapshot::Snapshot;
use snapshot::{Scope, read};

use devchain::DevChain;
use futures::StreamExt;
use protocol::{
    AccountId, Amount, BlockNumber, ChannelId, Pair, PartyId, PublicKey, Rejection, Signature,
    arbiter::{CallContext, Ledger},
    call::{Call, Create, Read},
    contracts::conditional::HashLock,
    decode_exact,
    record::Record,
    signing::{CreateBody, Domain, Kind},
    terms::Limits,
};
use scale::{Decode, Encode};
use sdk::chain::{
    Arbiter, Chain, ChainError, DryRun, Transaction, Weight,
    arbiter::{FinalisedCall, PreimageShown},
};
use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};
use tokio::sync::OnceCell;

/// The arbiter's Wasm.
pub(crate) fn wasm() -> Vec<u8> {
    built("contract")
}

/// The Wasm of a contract crate, as `cargo xtask contract` built it; from another folder where `CONTRACTS_DIR` names one.
pub(crate) fn built(package: &str) -> Vec<u8> {
    built_as(package, "wasm")
}

/// The arbiter's Wasm where a contract has so many pages of memory instead of 16.
pub(crate) fn wasm_with_pages(pages: u8) -> Vec<u8> {
    /// `env.memory`, a memory with a maximum. What it starts with and the maximum follow, a byte each.
    const IMPORT: &[u8] = b"\x03env\x06memory\x02\x01";
    let mut code = wasm();
    let import = code.windows(IMPORT.len()).position(|window| window == IMPORT).expect("it imports its memory");
    let limits = &mut code[import + IMPORT.len()..][..2];
    assert!(limits[0] <= pages && limits[1] == 16, "{limits:?}");
    limits[1] = pages;
    code
}

/// The same as another kind of file: `json` describes it.
pub(crate) fn built_as(package: &str, extension: &str) -> Vec<u8> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/contract");
    let folder = std::env::var_os("CONTRACTS_DIR").map_or_else(|| PathBuf::from(default), PathBuf::from);
    let path = folder.join(format!("{package}.{extension}"));
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("cannot read {} ({error}): build it with `cargo xtask contract --package {package}`", path.display())
    })
}

/// More than any call of the arbiter needs, and as much as a block takes.
const PLENTY: Weight = Weight { ref_time: 1_000_000_000_000, proof_size: 2_000_000 };

/// A dry run of nothing.
const NOTHING: DryRun = DryRun {
    used: Weight { ref_time: 0, proof_size: 0 },
    required: Weight { ref_time: 0, proof_size: 0 },
    storage_deposit: 0,
    returned: Vec::new(),
    reverted: false,
    instantiated: None,
};

/// A chain with the arbiter on it, and what should be there by the rules alone.
pub(crate) struct World {
    pub(crate) chain: DevChain,
    pub(crate) arbiter: Arbiter,
    /// The apps that stand on the chain.
    pub(crate) apps: Apps,
    /// The rules in memory, moved by the same calls.
    pub(crate) ledger: Ledger,
    /// The records as the events tell them.
    watched: BTreeMap<ChannelId, Record>,
    /// What is read before and after each call.
    scope: Scope,
    /// How many storage items the arbiter has by itself.
    own_items: u32,
    /// The bounds that this arbiter was instantiated with.
    limits: Limits,
}

impl World {
    /// A chain with an arbiter that nobody has used yet.
    pub(crate) async fn deployed() -> Self {
        static BASE: OnceCell<(DevChain, AccountId, Apps)> = OnceCell::const_new();
        let (base, address, apps) = BASE
            .get_or_init(|| async {
                let chain = DevChain::new().unwrap();
                let address = deploy_arbiter(&chain, wasm(), LIMITS).await;
                let apps = Apps::deploy(&chain).await;
                (chain, address, apps)
            })
            .await;
        Self::on(base.fork().await.unwrap(), address, *apps, LIMITS).await
    }

    /// A chain with an arbiter of this code and with these bounds.
    pub(crate) async fn deployed_as(code: Vec<u8>, limits: Limits) -> Self {
        let chain = DevChain::new().unwrap();
        let address = deploy_arbiter(&chain, code, limits).await;
        let apps = Apps::deploy(&chain).await;
        Self::on(chain, &address, apps, limits).await
    }

    async fn on(chain: DevChain, address: &AccountId, apps: Apps, limits: Limits) -> Self {
        let arbiter = Arbiter::attach(Arc::new(chain.clone()), *address, None).await.unwrap();
        let accounts = Actor::ALL.map(Actor::id).to_vec();
        let vaults = Actor::ALL.map(Actor::vault).to_vec();
        let scope = Scope { accounts, vaults, pairs: vec![parties()], ..Scope::default() };
        let own_items = chain.contract_info(*address).await.unwrap().expect("the arbiter stands").items;
        let (deployed, native) = (apps.by_account(), apps.native());
        let ledger = Ledger { deployed, apps: native, ..Ledger::default() };
        Self { chain, arbiter, apps, ledger, watched: BTreeMap::new(), scope, own_items, limits }
    }

    /// An arbiter in which both parties have filled their vaults.
    pub(crate) async fn funded() -> Self {
        let mut world = Self::deployed().await;
        world.fund().await;
        world
    }

    /// Fills both parties' vaults.
    pub(crate) async fn fund(&mut self) {
        for party in [Actor::Initiator, Actor::Responder] {
            let _done = self.accept(party, &party.vault_deposit(), VAULT).await;
        }
    }

    /// An arbiter with one healthy channel, open.
    pub(crate) async fn open() -> (Self, Channel) {
        let mut world = Self::funded().await;
        let channel = world.create(&create_body(world.now())).await;
        (world, channel)
    }

    /// A world with the same past, in which one thing will be done wrong, or right in an unusual way.
    pub(crate) async fn fork_for(&self, what: &impl fmt::Debug) -> Self {
        println!("with {what:?}");
        self.fork().await
    }

    /// A world with the same past.
    pub(crate) async fn fork(&self) -> Self {
        let chain = self.chain.fork().await.unwrap();
        let arbiter = Arbiter::attach(Arc::new(chain.clone()), self.address(), None).await.unwrap();
        let (ledger, watched, scope) = (self.ledger.clone(), self.watched.clone(), self.scope.clone());
        Self { chain, arbiter, ledger, watched, scope, ..*self }
    }

    /// Minds a further account's coins.
    pub(crate) fn watch_account(&mut self, account: AccountId) {
        self.scope.accounts.push(account);
    }

    /// What a vault holds by the rules in memory, which is what it holds on chain.
    pub(crate) fn vault(&self, owner: &PartyId) -> Amount {
        self.ledger.vaults.get(owner).copied().unwrap_or(0)
    }

    /// What the arbiter answers to a read.
    pub(crate) async fn read<T: Decode>(&self, what: Read) -> T {
        read(&self.chain, &self.address(), what).await
    }

    /// The arbiter's address.
    pub(crate) fn address(&self) -> AccountId {
        self.domain().arbiter
    }

    pub(crate) fn domain(&self) -> Domain {
        self.arbiter.info().domain
    }

    /// The block that the next call will be in, which is also the one that a dry run sees.
    pub(crate) fn now(&self) -> BlockNumber {
        self.chain.block_number() + 1
    }

    /// Travels in time, so that the next call is in `block`.
    pub(crate) async fn travel_to(&self, block: BlockNumber) {
        let ahead = block.checked_sub(self.now()).expect("time goes forward");
        let _head = self.chain.produce_blocks(ahead).await.unwrap();
        assert_eq!(self.now(), block);
    }

    /// The nonce that these two would name next.
    pub(crate) fn next_nonce(&self, parties: &Pair<PartyId>) -> u64 {
        self.ledger.nonces.get(parties).copied().unwrap_or(0)
    }

    /// The channel that these two would open next.
    pub(crate) fn next_channel(&self, parties: &Pair<PartyId>) -> Channel {
        Channel::of(self.domain(), parties, self.next_nonce(parties))
    }

    /// An opening that both parties' keys signed for the next channel of the two.
    pub(crate) fn create_call(&self, body: &CreateBody) -> Call {
        Call::ChannelCreate(self.create_with(body, self.next_nonce(&body.terms.ids())))
    }

    /// An opening with this nonce that both parties' keys signed.
    pub(crate) fn create_with(&self, body: &CreateBody, nonce: u64) -> Create {
        let channel = Channel::of(self.domain(), &body.terms.ids(), nonce);
        let signatures = channel.binding(Kind::Create).sign(&keys(), body);
        Create { body: body.clone(), nonce, signatures }
    }

    /// Opens a channel, submitted by the initiator.
    pub(crate) async fn create(&mut self, body: &CreateBody) -> Channel {
        let channel = self.next_channel(&body.terms.ids());
        let _done = self.accept(Actor::Initiator, &self.create_call(body), 0).await;
        channel
    }

    /// The channel's record on chain.
    pub(crate) async fn record(&self, channel: &Channel) -> Option<Record> {
        self.arbiter.channel(channel.id).await.unwrap()
    }

    /// Makes a call that succeeds, and checks all that it did against the rules in memory: the answer, the event, every payout,
    /// every vault, every record, the record as a watcher rebuilds it, and each coin of everybody concerned.
    pub(crate) async fn accept(&mut self, who: Actor, call: &Call, attached: Amount) -> FinalisedCall {
        let (before, block) = (self.snapshot().await, self.now());
        let applied = self.apply(who, call, attached, &before).unwrap_or_else(|rejection| {
            panic!("the rules refuse {} by {who:?}: {rejection} ({rejection:?})", call.name())
        });
        let answered: Option<Vec<Result<(), Rejection>>> = match call {
            Call::Batch(_) => Some(self.answer(who, call).await),
            _ => None,
        };
        let done = self.arbiter.call(&who.dev().signer(), call, attached).await;
        let done = done.unwrap_or_else(|error| panic!("the arbiter refuses {} by {who:?}: {error}", call.name()));
        assert!(answered.is_none_or(|answered| answered == applied.batch), "each call of a batch is answered");

        let announced = done.events.iter().map(|event| (event.channel, event.event.clone(), event.payouts.clone()));
        assert_eq!(announced.collect::<Vec<_>>(), applied.events, "{} announces what happened", call.name());
        for (channel, event, _payouts) in &applied.events {
            if let Some(record) = watcher::rebuilt(self.watched.remove(channel), event, block) {
                let _new = self.watched.insert(*channel, record);
            }
            if !self.scope.channels.contains(channel) {
                self.scope.channels.push(*channel);
            }
        }
        let mut others = done.receipt.events.len() - applied.events.len() - applied.preimages.len();
        if let Call::VaultDeposit { key } | Call::VaultWithdraw { key, .. } = call {
            let owner = PartyId { account: who.id(), key: *key };
            let [announced] = &done.receipt.events[..] else { panic!("{} announces once", call.name()) };
            let expected = (who.id(), *key, self.vault(&owner));
            assert_eq!(decode_exact::<(AccountId, PublicKey, Amount)>(&announced.data), Ok(expected));
            others -= 1;
        }
        assert_eq!(others, 0, "{} announces nothing else", call.name());

        let shown = done.preimages.iter().map(|PreimageShown { digest, function, preimage, shown_at }| {
            (HashLock { function: *function, digest: *digest }, *preimage, *shown_at)
        });
        assert_eq!(shown.collect::<Vec<_>>(), applied.preimages);
        self.scope.locks.extend(applied.preimages.iter().map(|(lock, ..)| *lock));
        self.scope.pairs.extend(self.ledger.nonces.keys().filter(|pair| !before.nonces.contains_key(*pair)));
        for owner in self.ledger.vaults.keys() {
            if !self.scope.vaults.contains(owner) {
                self.scope.vaults.push(*owner);
            }
        }
        let after = self.snapshot().await;
        let mut free = before.free;
        let mut change = |account: AccountId, plus: Amount, minus: Amount| {
            let balance = free.entry(account).or_default();
            *balance = *balance + plus - minus;
        };
        change(self.address(), attached, 0);
        for (account, amount) in applied.paid_out {
            change(account, amount, 0);
            change(self.address(), 0, amount);
        }
        let deposit = done.receipt.storage_deposit;
        change(who.id(), Amount::try_from(-deposit).unwrap_or(0), Amount::try_from(deposit).unwrap_or(0));
        change(who.id(), 0, done.receipt.fee + attached);
        assert_eq!(after.free, free, "coins moved otherwise than the rules say by {}", call.name());
        assert_eq!(after.issuance, before.issuance - done.receipt.fee);
        assert!(after.free[&self.address()] >= self.ledger.held(), "the arbiter owes more than it has");
        let filled = self.ledger.vaults.iter().filter(|(_, balance)| **balance > 0);
        assert_eq!(after.vaults, filled.map(|(owner, balance)| (*owner, *balance)).collect());
        assert_eq!(after.info.items, self.items(), "an emptied vault keeps its storage until its owner frees it");
        assert_eq!(after.nonces, self.ledger.nonces);
        assert_eq!(after.preimages, self.ledger.preimages);
        assert_eq!(after.channels, self.ledger.channels);
        assert_eq!(after.channels, self.watched);
        done
    }

    /// Makes a call that succeeds and pays nobody. Of what it does only the record is compared, and only by the next call that is made with
    /// more care.
    pub(crate) async fn hurry(&mut self, who: Actor, call: &Call) {
        let (ctx, block) = (self.context(who), self.now());
        let applied = self.ledger.apply(&ctx, call.clone(), 0, &|_to, _amount| false).unwrap();
        let done = self.arbiter.call(&who.dev().signer(), call, 0).await.unwrap();
        assert_eq!(done.events.len(), applied.events.len());
        for (channel, event, _payouts) in &applied.events {
            if let Some(record) = watcher::rebuilt(self.watched.remove(channel), event, block) {
                let _new = self.watched.insert(*channel, record);
            }
        }
    }

    /// Makes a call that is refused with exactly `rejection`: by the rules in memory, by a dry run, and in a block, where it
    /// changes nothing, announces nothing and moves no coin but the fee (R5.14).
    pub(crate) async fn refuse(&mut self, who: Actor, call: &Call, attached: Amount, rejection: Rejection) {
        let before = self.snapshot().await;
        let ledger = self.ledger.clone();
        assert_eq!(self.apply(who, call, attached, &before), Err(rejection), "by the rules in memory");
        assert_eq!(self.ledger, ledger);

        let transaction = self.arbiter.transaction(call, attached);
        let dry_run = self.chain.dry_run(&who.id(), &transaction).await.unwrap();
        assert_eq!(refusal(&dry_run), Some(rejection), "by a dry run");
        assert_eq!(dry_run.storage_deposit, 0);
        assert_eq!(self.snapshot().await, before, "a dry run changes nothing");

        let fee = self.fail_in_block(who, transaction, &dry_run, ChainError::Reverted).await;
        let mut expected = before;
        *expected.free.get_mut(&who.id()).unwrap() -= fee;
        expected.issuance -= fee;
        assert_eq!(self.snapshot().await, expected, "a refusal costs its fee and nothing else");
    }

    /// Makes a call at which the arbiter itself breaks off, without a reason of its own: the chain says `cause`. Nothing changes, and nothing
    /// but the fee is paid.
    pub(crate) async fn fails_on_chain(&mut self, who: Actor, call: &Call, attached: Amount, cause: &str) {
        let before = self.snapshot().await;
        let transaction = self.arbiter.transaction(call, attached);
        let failed = ChainError::Failed { cause: cause.into() };
        let dry_run = self.chain.dry_run(&who.id(), &transaction).await;
        assert_eq!(dry_run, Err(failed.clone()), "by a dry run");
        assert_eq!(self.snapshot().await, before, "a dry run changes nothing");

        let gas = DryRun { required: PLENTY, used: PLENTY, ..NOTHING };
        let fee = self.fail_in_block(who, transaction, &gas, failed).await;
        let mut expected = before;
        *expected.free.get_mut(&who.id()).unwrap() -= fee;
        expected.issuance -= fee;
        assert_eq!(self.snapshot().await, expected, "it costs its fee and nothing else");
    }

    /// Sends bytes that the arbiter does not take for a message: it answers `answer`, and nothing changes but the fee that is paid.
    pub(crate) async fn not_read(&self, who: Actor, data: Vec<u8>, answer: &[u8]) {
        let before = self.snapshot().await;
        let transaction = Transaction::Call { contract: self.address(), value: 0, data };
        let dry_run = self.chain.dry_run(&who.id(), &transaction).await.unwrap();
        assert_eq!((dry_run.reverted, &dry_run.returned[..], dry_run.storage_deposit), (true, answer, 0));
        assert_eq!(self.snapshot().await, before, "a dry run changes nothing");
        let fee = self.fail_in_block(who, transaction, &dry_run, ChainError::Reverted).await;
        let mut expected = before;
        *expected.free.get_mut(&who.id()).unwrap() -= fee;
        expected.issuance -= fee;
        assert_eq!(self.snapshot().await, expected, "it costs its fee and nothing else");
    }

    /// Makes calls that are healthy but for their signatures over `body`: each [`Forgery`] is refused by its own error, each in a world with
    /// the same past.
    pub(crate) async fn refuse_forgeries(
        &self,
        who: Actor,
        healthy: &signing::Binding,
        body: &impl Encode,
        call: impl Fn(Pair<Signature>) -> Call,
    ) {
        for &forgery in Forgery::ALL {
            let mut world = self.fork_for(&forgery).await;
            let (signatures, rejection) = forgery.forge(healthy, body);
            world.refuse(who, &call(signatures), 0, rejection).await;
        }
    }

    /// Makes a call that must do what the rules in memory say, whichever that is.
    pub(crate) async fn accept_or_refuse(
        &mut self,
        who: Actor,
        call: &Call,
        attached: Amount,
    ) -> Result<(), Rejection> {
        let (before, ledger) = (self.snapshot().await, self.ledger.clone());
        let outcome = self.apply(who, call, attached, &before).map(drop);
        self.ledger = ledger;
        match outcome {
            Ok(()) => drop(self.accept(who, call, attached).await),
            Err(rejection) => self.refuse(who, call, attached, rejection).await,
        }
        outcome
    }

    /// What a call would answer, by a dry run.
    async fn answer<T: Decode>(&self, who: Actor, call: &Call) -> T {
        let transaction = self.arbiter.transaction(call, 0);
        let dry_run = self.chain.dry_run(&who.id(), &transaction).await.unwrap();
        decode_exact::<Result<Result<T, Rejection>, ()>>(&dry_run.returned).unwrap().unwrap().unwrap()
    }

    /// How many storage items the arbiter should have by the rules in memory.
    fn items(&self) -> u32 {
        let Ledger { vaults, nonces, channels, preimages, .. } = &self.ledger;
        let items = vaults.len() + nonces.len() + channels.len() + preimages.len();
        self.own_items + u32::try_from(items).unwrap()
    }

    /// Submits what the contract will undo, and answers the fee that was paid for it.
    async fn fail_in_block(
        &self,
        who: Actor,
        transaction: Transaction,
        dry_run: &DryRun,
        expected: ChainError,
    ) -> Amount {
        let block = self.now();
        let submitted = self.chain.submit(&who.dev().signer(), transaction, dry_run).await;
        let Err(ChainError::FailedInBlock { fee, cause }) = submitted else {
            panic!("it should have failed in a block: {submitted:?}")
        };
        assert_eq!(*cause, expected);
        let mut blocks = self.chain.finalised_blocks(block).await.unwrap();
        let landed = blocks.next().await.unwrap().unwrap();
        assert_eq!((landed.at.number, landed.events), (block, Vec::new()), "a refusal announces nothing");
        fee
    }

    /// What a call would do by the rules alone.
    fn apply(
        &mut self,
        who: Actor,
        call: &Call,
        attached: Amount,
        before: &Snapshot,
    ) -> Result<protocol::arbiter::Applied, Rejection> {
        let ctx = self.context(who);
        let exists = |account: &AccountId| before.free.get(account).is_some_and(|balance| *balance > 0);
        let accepts = |to: &AccountId, amount: Amount| exists(to) || amount >= EXISTENTIAL_DEPOSIT;
        self.ledger.apply(&ctx, call.clone(), attached, &accepts)
    }

    fn context(&self, who: Actor) -> CallContext {
        CallContext { domain: self.domain(), limits: self.limits, now: self.now(), caller: who.id() }
    }

    pub(crate) async fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.chain, &self.address(), &self.scope).await
    }
}

async fn deploy_arbiter(chain: &DevChain, code: Vec<u8>, limits: Limits) -> AccountId {
    let deployer = Actor::Deployer.dev().signer();
    let (arbiter, _receipt) =
        Arbiter::deploy(Arc::new(chain.clone()), &deployer, code, limits, Vec::new()).await.unwrap();
    arbiter.info().domain.arbiter
}

/// What a dry run's answer refuses with; nothing where it accepts.
pub(crate) fn refusal(dry_run: &DryRun) -> Option<Rejection> {
    if !dry_run.reverted {
        assert_eq!(dry_run.returned.get(..2), Some(&[0, 0][..]), "what is not undone says so");
        return None;
    }
    match dry_run.returned[..] {
        // Ok of the message's decoding, Err of the message's own result.
        [0, 1, ref rejection @ ..] => Some(decode_exact(rejection).unwrap()),
        _ => panic!("not an arbiter's answer: {:?}", dry_run.returned),
    }
}
