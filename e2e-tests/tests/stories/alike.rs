//! One story told to the contract's Wasm on the embedded chain and to the rules in memory: every answer, refusal, event and coin is the same, to
//! the byte.

use e2e_tests::{LIMITS, TestChain, UNIT, World, account, identity, party, signer, within};
use protocol::{
    Amount, Base, BlockNumber, ChannelId, Pair, Party, Round, StateCommitment,
    call::{
        BatchedCall, Call, CloseMutual, CloseSolo, Create, Deposit, Payload, SetDelegates, Slash, SnapshotSolo,
        Withdraw,
    },
    contracts::conditional::{HashFunction, Preimage},
    crypto::Native,
    record::Record,
    signing::{
        CloseMutualBody, CreateBody, DepositBody, SetDelegatesBody, Signed, StateBody, WithdrawBody, signed_bytes,
    },
    terms::{Delegate, Destination, PartyTerms, Terms},
};
use sdk::chain::{Chain, ChainError, ContractEvent, Signer, Transaction, arbiter::selector, testing::MemoryChain};

const PARTIES: [&str; 2] = ["alice", "bob"];
/// May slash for Bob.
const DELEGATE: &str = "hub";
const LOCK_PERIOD: BlockNumber = 20;
const VALID_UNTIL: BlockNumber = 900;

/// Everything that can be seen of one step.
#[derive(Debug, PartialEq)]
struct Told {
    what: &'static str,
    block: BlockNumber,
    /// What the contract answered a dry run, and whether it asked to undo everything.
    answer: Result<(Vec<u8>, bool), ChainError>,
    /// What it emitted once the transaction was in its block; nothing where it was refused before.
    events: Vec<ContractEvent>,
    record: Option<Record>,
    vaults: [Amount; 2],
    /// What each of the three accounts has gained since the beginning, and the arbiter's, fees and storage deposits apart.
    gained: [i128; 4],
}

/// Who tells it, on one chain.
struct Teller<'a, C> {
    world: &'a World<C>,
    channel: ChannelId,
    before: [i128; 4],
    told: Vec<Told>,
}

fn balances(alice: Amount, bob: Amount) -> Pair<Amount> {
    Pair::new(alice * UNIT, bob * UNIT)
}

fn commitment(alice: Amount, bob: Amount) -> StateCommitment {
    StateCommitment::of_balances(balances(alice, bob))
}

fn terms() -> Terms {
    let party = |name: &str, payout, delegates| PartyTerms {
        account: account(name),
        key: identity(name).public(),
        payout,
        delegates,
    };
    Terms {
        parties: Pair::new(
            party("alice", Destination::Account, Vec::new()),
            party("bob", Destination::Vault, vec![Delegate::defender(account(DELEGATE))]),
        ),
        reserve: 5 * UNIT,
        lock_period: LOCK_PERIOD,
        penalty: 2 * UNIT,
        max_forced: 3,
    }
}

impl<'a, C: TestChain> Teller<'a, C> {
    async fn new(world: &'a World<C>) -> Self {
        let mut teller = Self { world, channel: ChannelId([0; 32]), before: [0; 4], told: Vec::new() };
        teller.before = teller.owned().await;
        teller
    }

    /// What the accounts own, with what they have paid for their transactions so far.
    async fn owned(&self) -> [i128; 4] {
        let entries = self.world.recorder.entries();
        let arbiter = self.world.arbiter.info().domain.arbiter;
        let accounts = [account("alice"), account("bob"), account(DELEGATE), arbiter];
        let mut owned = [0; 4];
        for (owned, account) in owned.iter_mut().zip(accounts) {
            let free = i128::try_from(self.world.recorder.free_balance(&account).await.unwrap()).unwrap();
            let paid = entries.iter().filter(|entry| entry.signer == account);
            *owned = free + paid.map(|entry| i128::try_from(entry.fee).unwrap() + entry.deposit()).sum::<i128>();
        }
        owned
    }

    fn sign<T: Signed>(&self, body: &T) -> Pair<protocol::Signature> {
        let bytes = signed_bytes(&self.world.arbiter.info().domain, &self.channel, body);
        Pair::new("alice", "bob").map(|name| identity(name).signing().sign(&bytes))
    }

    fn payload(&self, round: Round, base: Round, state: StateCommitment) -> Payload {
        let (base, state_hash, valid_until) = (Base::of(base), state.hash(&Native), None);
        let signatures = self.sign(&StateBody { round, base, state_hash, valid_until });
        Payload { round, base, state_hash, valid_until, signatures }
    }

    /// A call, in a block whose number is the same on every chain.
    async fn call(&mut self, what: &'static str, who: &str, call: &Call, value: Amount) {
        let transaction = self.world.arbiter.transaction(call, value);
        self.send(what, who, transaction).await;
    }

    async fn send(&mut self, what: &'static str, who: &str, transaction: Transaction) {
        let block = self.world.chain.block_number().await + 1;
        let (chain, signer) = (&self.world.recorder, signer(who));
        let dry_run = within(what, chain.dry_run(&signer.account(), &transaction)).await;
        let answer = dry_run.clone().map(|dry_run| (dry_run.returned, dry_run.reverted));
        let events = match dry_run {
            Ok(dry_run) if !dry_run.reverted => {
                let receipt = within(what, chain.submit(&signer, transaction, &dry_run)).await.unwrap();
                assert_eq!(receipt.block.number, block, "{what}");
                receipt.events
            }
            // What is sent all the same fails in its block, for the same reason, and costs its fee.
            Ok(dry_run) => {
                let failed = within(what, chain.submit(&signer, transaction, &dry_run)).await.unwrap_err();
                assert!(
                    matches!(&failed, ChainError::FailedInBlock { cause, .. } if **cause == ChainError::Reverted),
                    "{what}: {failed}"
                );
                Vec::new()
            }
            Err(_fails) => {
                self.world.pass(1).await;
                Vec::new()
            }
        };
        let owned = self.owned().await;
        let gained = std::array::from_fn(|index| owned[index] - self.before[index]);
        let record = self.world.arbiter.channel(self.channel).await.unwrap();
        let mut vaults = [0; 2];
        for (vault, name) in vaults.iter_mut().zip(PARTIES) {
            *vault = self.world.arbiter.vault_balance(party(name)).await.unwrap();
        }
        self.told.push(Told { what, block, answer, events, record, vaults, gained });
    }

    /// A channel with 60 and 40 units.
    async fn open(&mut self, nonce: u64) {
        let domain = self.world.arbiter.info().domain;
        self.channel = terms().channel_id(&domain, nonce, &Native);
        let body = CreateBody {
            terms: terms(),
            balances: balances(60, 40),
            shares: balances(70, 30),
            valid_until: VALID_UNTIL,
        };
        let signatures = self.sign(&body);
        self.call("an opening", "alice", &Call::ChannelCreate(Create { body, nonce, signatures }), 0).await;
    }

    async fn fill_vaults(&mut self) {
        let nothing = Call::VaultDeposit { key: party("alice").key };
        self.call("a deposit of nothing", "alice", &nothing, 0).await;
        for name in PARTIES {
            let deposit = Call::VaultDeposit { key: party(name).key };
            self.call("a deposit into a vault", name, &deposit, 300 * UNIT).await;
        }
        let too_much = Call::VaultWithdraw { key: party("bob").key, amount: 301 * UNIT };
        self.call("a withdrawal of too much", "bob", &too_much, 0).await;
        self.call("coins with a message that takes none", "bob", &too_much, 1).await;
        let withdraw = Call::VaultWithdraw { key: party("bob").key, amount: UNIT };
        self.call("a withdrawal from a vault", "bob", &withdraw, 0).await;
    }

    /// Deposit, withdrawal, delegates, snapshot: rounds 2 to 5.
    async fn operations(&mut self) {
        let (channel, valid_until) = (self.channel, VALID_UNTIL);
        let (party, amount, base) = (Party::Responder, 15 * UNIT, Base::of(1));
        let state_hash = commitment(60, 55).hash(&Native);
        let body = DepositBody { party, amount, round: 2, base, state_hash, valid_until };
        let signatures = self.sign(&body);
        let swapped = Pair::new(signatures.responder, signatures.initiator);
        let forged = Call::ChannelDeposit(Deposit { channel, body: body.clone(), signatures: swapped });
        self.call("a forged deposit", "bob", &forged, 0).await;
        let deposit = Call::ChannelDeposit(Deposit { channel, body, signatures });
        self.call("a deposit with another's coins", DELEGATE, &deposit, 15 * UNIT).await;
        self.call("a deposit of what comes with it", "bob", &deposit, 15 * UNIT).await;
        self.call("the same deposit again", "bob", &deposit, 0).await;

        let (to, base, state_hash) = (account(DELEGATE), Base::of(2), commitment(60, 45).hash(&Native));
        let body = WithdrawBody { party, amount: 10 * UNIT, to, round: 3, base, state_hash, valid_until };
        let withdraw = Call::ChannelWithdraw(Withdraw { channel, signatures: self.sign(&body), body });
        self.call("a withdrawal to somebody else", "alice", &withdraw, 0).await;

        let delegates = Pair::new(Vec::new(), vec![Delegate::defender(account(DELEGATE))]);
        let (base, state_hash) = (Base::of(3), commitment(60, 45).hash(&Native));
        let body = SetDelegatesBody { delegates, round: 4, base, state_hash, valid_until };
        let set = Call::ChannelSetDelegates(SetDelegates { channel, signatures: self.sign(&body), body });
        self.call("other delegates", "alice", &set, 0).await;

        let payload = self.payload(5, 4, commitment(50, 55));
        let snapshot = Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload });
        self.call("a stranger's snapshot", "mallory", &snapshot, 0).await;
        self.call("a delegate's snapshot", DELEGATE, &snapshot, 0).await;
    }

    /// Alice closes on an old round, is slashed, and pays for it.
    async fn old_close(&mut self) {
        let (channel, old, new) = (self.channel, commitment(105, 0), commitment(20, 85));
        let payload = Some(self.payload(7, 5, old));
        let close = CloseSolo { channel, payload, commitment: old };
        self.call("a close by a stranger", "mallory", &Call::ChannelCloseSolo(close), 0).await;
        let lie = CloseSolo { commitment: new, ..close };
        self.call("a close with another's commitment", "alice", &Call::ChannelCloseSolo(lie), 0).await;
        self.call("a close on an old state", "alice", &Call::ChannelCloseSolo(close), 0).await;
        let payload = self.payload(8, 7, new);
        let slash = Call::ChannelSlash(Slash { channel, payload, commitment: new });
        self.call("a slash by a delegate", DELEGATE, &slash, 0).await;
        self.call("the same slash again", "bob", &slash, 0).await;
        let settle = Call::ChannelSettle { channel };
        self.call("a settlement too early", "bob", &settle, 0).await;
        self.world.pass(LOCK_PERIOD).await;
        self.call("a settlement by a stranger", "mallory", &settle, 0).await;
        self.call("a settlement", "bob", &settle, 0).await;
        self.call("another one", "bob", &settle, 0).await;
    }

    /// Bob closes alone on the state that is on chain.
    async fn honest_close(&mut self) {
        let (channel, commitment) = (self.channel, commitment(60, 40));
        let close = Call::ChannelCloseSolo(CloseSolo { channel, payload: None, commitment });
        self.call("a close on the state on chain", "bob", &close, 0).await;
        self.world.pass(LOCK_PERIOD - 1).await;
        self.call("a settlement in the first block", "alice", &Call::ChannelSettle { channel }, 0).await;
    }

    /// Both agree, and whoever brings it gets the fee.
    async fn agreement(&mut self) {
        let body = CloseMutualBody { balances: balances(30, 69), fee: UNIT, valid_until: VALID_UNTIL };
        let (channel, signatures) = (self.channel, self.sign(&body));
        let too_long = CloseMutualBody { valid_until: VALID_UNTIL * 10, ..body.clone() };
        let signed = self.sign(&too_long);
        let too_long = CloseMutual { channel, body: too_long, signatures: signed };
        self.call("a close that counts for too long", "bob", &Call::ChannelCloseMutual(too_long), 0).await;
        let close = CloseMutual { channel, body, signatures };
        self.call("a close in agreement", DELEGATE, &Call::ChannelCloseMutual(close), 0).await;
    }

    /// What is no channel's business, and what is no message.
    async fn others(&mut self) {
        let (preimage, function) = (Preimage([7; 32]), HashFunction::Sha2_256);
        let show = Call::PreimageRegister { preimage, function };
        self.call("a pre-image", "alice", &show, 0).await;
        let preimages = vec![Preimage([8; 32]), preimage];
        self.call("two pre-images", "bob", &Call::PreimagesRegister { preimages, function }, 0).await;
        self.call("none", "bob", &Call::PreimagesRegister { preimages: Vec::new(), function }, 0).await;
        let payload = self.payload(2, 1, commitment(50, 50));
        let snapshot = BatchedCall::SnapshotSolo(SnapshotSolo { channel: self.channel, payload });
        let batch = vec![snapshot.clone(), snapshot, BatchedCall::Settle(self.channel)];
        self.call("a batch of which two are refused", "alice", &Call::Batch(batch), 0).await;
        let contract = self.world.arbiter.info().domain.arbiter;
        for (what, data) in [
            ("no selector", vec![1, 2, 3]),
            ("an unknown selector", vec![1, 2, 3, 4]),
            ("too few bytes", selector("channel_settle").to_vec()),
            ("a byte too many", [&selector("channel_settle")[..], &self.channel.0, &[0]].concat()),
            ("a read that is sent", selector("version").to_vec()),
        ] {
            self.send(what, "alice", Transaction::Call { contract, value: 0, data }).await;
        }
    }

    async fn story(mut self) -> Vec<Told> {
        self.fill_vaults().await;
        self.open(0).await;
        self.operations().await;
        self.old_close().await;
        self.open(1).await;
        self.honest_close().await;
        self.open(9).await;
        self.others().await;
        self.agreement().await;
        self.open(3).await;
        self.told
    }
}

/// A chain in memory on which the same accounts own the same as on the embedded one, and which has the same genesis: then the arbiter has the
/// same address, and signatures are the same bytes.
async fn twin(world: &World) -> World<MemoryChain> {
    let genesis = world.recorder.genesis().await.unwrap();
    World::in_memory_with(|builder| builder.genesis(genesis)).await
}

#[tokio::test]
async fn the_rules_in_memory_answer_pay_and_tell_as_the_contract_on_the_embedded_chain_does() {
    let embedded = World::new().await;
    let memory = twin(&embedded).await;
    assert_eq!(memory.arbiter.info(), embedded.arbiter.info());
    assert_eq!(memory.arbiter.info().limits, LIMITS);
    let wasm = Teller::new(&embedded).await.story().await;
    let rules = Teller::new(&memory).await.story().await;
    for (wasm, rules) in wasm.iter().zip(&rules) {
        assert_eq!(wasm, rules);
    }
    assert_eq!(wasm.len(), rules.len());
    // The story is what it says: most of it was done, the rest refused.
    let done = wasm.iter().filter(|told| told.answer.as_ref().is_ok_and(|(_, reverted)| !reverted)).count();
    assert_eq!(
        (wasm.len(), done),
        (40, 20),
        "{:?}",
        wasm.iter().map(|told| (told.what, told.answer.is_ok())).collect::<Vec<_>>()
    );
}
