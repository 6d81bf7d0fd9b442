//! The test vectors of R3.6: one story of a channel, with every byte that is hashed, signed, sent, stored and announced in it.
//!
//! Whoever implements the protocol anew can replay them; so does the arbiter's own test, on the real contract.

#[path = "vectors/inside.rs"]
mod inside;

use inside::Inside;
use protocol::{
    AccountId, Amount, Base, BlockNumber, ChannelId, Hash, Pair, Party, PartyId, Rejection, Round, Signature,
    StateCommitment,
    arbiter::{Applied, CallContext, Ledger, prove_contract_state},
    call::{
        BatchedCall, Call, CloseMutual, CloseSolo, Create, Deposit, Payload, SetDelegates, Slash, SnapshotSolo,
        Withdraw,
    },
    contracts::conditional::{HashFunction, HashLock},
    crypto::{Crypto, Native, SigningKey},
    signing::{
        CloseMutualBody, CreateBody, DepositBody, Domain, SetDelegatesBody, Signed, StateBody, WithdrawBody,
        signed_bytes,
    },
    terms::{CallWeight, Delegate, Destination, Limits, PartyTerms, Terms},
};
use scale::Encode;
use serde_json::{Map, Value, json};

/// An invented chain, and an address at which the arbiter's own test can make any contract stand (contract/tests/arbiter/vectors.rs).
pub const DOMAIN: Domain = Domain { genesis: Hash([0x5A; 32]), arbiter: AccountId(ARBITER) };
const ARBITER: [u8; 32] = [
    0xe4, 0xe4, 0x8a, 0xf6, 0xe1, 0xd2, 0xfb, 0xcc, 0x69, 0xd3, 0xce, 0xa8, 0x87, 0x09, 0xba, 0x8b, 0xa6, 0x8a, 0xa5,
    0x30, 0x67, 0xa1, 0x8e, 0x92, 0xc6, 0x02, 0xe5, 0x95, 0xb2, 0x52, 0x21, 0xc6,
];
/// What the invented arbiter allows.
pub const LIMITS: Limits = Limits {
    lock_period_min: 10,
    lock_period_max: 100,
    validity_max: 50,
    max_forced_max: 4,
    call_weight: CallWeight::STANDARD,
};

const UNIT: Amount = 1_000_000_000_000;
/// Every co-signed operation of the story counts until this block.
const VALID_UNTIL: BlockNumber = 60;
const LOCK_PERIOD: BlockNumber = 20;

/// The development accounts `//Alice`, `//Bob` and `//Charlie`.
const ALICE: &str = "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";
const BOB: &str = "8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48";
const CHARLIE: &str = "90b5ab205c6974c9ea841be688864633dc9ca8a357843eeacf2314649965fe22";

fn account(hex_digits: &str) -> AccountId {
    AccountId(hex::decode(hex_digits).unwrap().try_into().unwrap())
}

/// A message's selector, as every ink! contract makes it: the first four bytes of its name's hash.
pub fn selector(name: &str) -> [u8; 4] {
    Native.hash(name.as_bytes()).0[..4].try_into().unwrap()
}

struct Generator {
    keys: Pair<SigningKey>,
    channel: ChannelId,
    ledger: Ledger,
    states: Vec<Value>,
    signed: Vec<Value>,
    forced: Vec<Value>,
    story: Vec<Value>,
}

/// All of them.
pub fn generate() -> Value {
    let seeds = Pair::new([0x11; 32], [0x22; 32]);
    let keys = seeds.as_ref().map(SigningKey::from_seed);
    let terms = terms(&keys);
    let channel = terms.channel_id(&DOMAIN, 0, &Native);
    let mut generator = Generator {
        keys: keys.clone(),
        channel,
        ledger: Ledger::default(),
        states: Vec::new(),
        signed: Vec::new(),
        forced: Vec::new(),
        story: Vec::new(),
    };
    generator.tell(&terms);
    let Generator { states, signed, forced, story, .. } = generator;
    json!({
        "about": "Test vectors of the state channel protocol. Bytes are hex, amounts decimal; SPEC.md has the encodings.",
        "version": 1,
        "tag": hex::encode("ink-statechannel"),
        "domain": { "genesis": hex::encode(DOMAIN.genesis.0), "arbiter": hex::encode(DOMAIN.arbiter.0) },
        "domain_encoded": hex::encode(DOMAIN.encode()),
        "limits_encoded": hex::encode(LIMITS.encode()),
        "parties": {
            "initiator": party(&terms.parties.initiator, &seeds.initiator),
            "responder": party(&terms.parties.responder, &seeds.responder),
        },
        "channel": { "pair_nonce": 0, "id": hex::encode(channel.0) },
        "states": states,
        "signed": signed,
        "locks": inside::locks(),
        "contracts": inside::contracts(&channel),
        "proofs": inside::proofs(),
        "app_call": inside::app_call(&channel),
        "forced": forced,
        "story": story,
    })
}

fn terms(keys: &Pair<SigningKey>) -> Terms {
    let party = |account_hex, key: &SigningKey, payout, delegates| PartyTerms {
        account: account(account_hex),
        key: key.public(),
        payout,
        delegates,
    };
    Terms {
        parties: Pair::new(
            party(ALICE, &keys.initiator, Destination::Account, vec![Delegate::defender(account(CHARLIE))]),
            party(BOB, &keys.responder, Destination::Vault, Vec::new()),
        ),
        reserve: 5 * UNIT,
        lock_period: LOCK_PERIOD,
        penalty: 2 * UNIT,
        max_forced: 3,
    }
}

fn party(terms: &PartyTerms, seed: &[u8; 32]) -> Value {
    json!({
        "account": hex::encode(terms.account.0),
        "seed": hex::encode(seed),
        "key": hex::encode(terms.key.0),
    })
}

impl Generator {
    fn tell(&mut self, terms: &Terms) {
        let Pair { initiator, responder } = terms.parties.as_ref().map(|party| party.account);
        let keys = terms.keys();
        let delegate = account(CHARLIE);
        let (party, valid_until) = (Party::Responder, VALID_UNTIL);

        self.step(10, initiator, Call::VaultDeposit { key: keys.initiator }, 500 * UNIT);
        self.step(11, responder, Call::VaultDeposit { key: keys.responder }, 400 * UNIT);
        let balances = Pair::new(60 * UNIT, 40 * UNIT);
        let _first = self.state(1, StateCommitment::of_balances(balances));
        let body = CreateBody { terms: terms.clone(), balances, shares: Pair::new(70 * UNIT, 30 * UNIT), valid_until };
        let signatures = self.sign(&body);
        self.step(20, initiator, Call::ChannelCreate(Create { body, nonce: 0, signatures }), 0);

        let (round, state_hash) = self.balances(2, 60, 55);
        let body = DepositBody { party, amount: 15 * UNIT, round, base: Base::of(1), state_hash, valid_until };
        let (channel, signatures) = (self.channel, self.sign(&body));
        self.step(21, responder, Call::ChannelDeposit(Deposit { channel, body, signatures }), 15 * UNIT);

        let (round, state_hash) = self.balances(3, 60, 45);
        let body =
            WithdrawBody { party, amount: 10 * UNIT, to: delegate, round, base: Base::of(2), state_hash, valid_until };
        let signatures = self.sign(&body);
        self.step(22, initiator, Call::ChannelWithdraw(Withdraw { channel, body, signatures }), 0);

        let (round, state_hash) = self.balances(4, 60, 45);
        let delegates = Pair::new(Vec::new(), vec![Delegate::caller(delegate)]);
        let body = SetDelegatesBody { delegates, round, base: Base::of(3), state_hash, valid_until };
        let signatures = self.sign(&body);
        self.step(23, initiator, Call::ChannelSetDelegates(SetDelegates { channel, body, signatures }), 0);

        let payload = self.payload(5, 4, StateCommitment::of_balances(Pair::new(50 * UNIT, 55 * UNIT)));
        self.step(24, delegate, Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload }), 0);

        let (preimage, function) = (inside::SHOWN_EARLY, HashFunction::Sha2_256);
        self.step(25, delegate, Call::PreimageRegister { preimage, function }, 0);
        let lock = preimage.lock(function, &Native);
        let shown_at = self.ledger.preimages.get(&lock).copied();
        self.answer("preimage_shown_at", &lock.encode(), &shown_at.encode());

        let preimages = vec![inside::SHOWN_TOO, inside::SHOWN_EARLY];
        self.step(26, initiator, Call::PreimagesRegister { preimages, function }, 0);

        // Of a batch of three the second is refused: its round is on chain by then.
        let state = StateCommitment::of_balances(Pair::new(45 * UNIT, 60 * UNIT));
        let payload = Payload { valid_until: Some(VALID_UNTIL), ..self.payload(6, 5, state) };
        let payload = Payload { signatures: self.sign(&payload.body()), ..payload };
        let snapshot = BatchedCall::SnapshotSolo(SnapshotSolo { channel, payload });
        let (round, state_hash) = self.balances(7, 46, 60);
        let body =
            DepositBody { party: Party::Initiator, amount: UNIT, round, base: Base::of(6), state_hash, valid_until };
        let signatures = self.sign(&body);
        let deposit = BatchedCall::Deposit(Deposit { channel, body, signatures });
        self.step(27, responder, Call::Batch(vec![snapshot.clone(), snapshot, deposit]), 0);

        let old = StateCommitment::of_balances(Pair::new(106 * UNIT, 0));
        let payload = Some(self.payload(9, 7, old));
        self.step(30, initiator, Call::ChannelCloseSolo(CloseSolo { channel, payload, commitment: old }), 0);

        // Three conditional transfers inside the channel hold 25 units.
        let mut inside = Inside::first();
        let commitment = inside.commitment();
        let payload = self.payload(inside.round, 9, commitment);
        self.step(31, delegate, Call::ChannelSlash(Slash { channel, payload, commitment }), 0);
        self.read("prove_contract_state", &inside.claim(&channel, inside::FIRST));

        // The responder's delegate claims one of them for it, the initiator another one after settling, and long after its expiry.
        self.force(33, delegate, Party::Responder, &mut inside, inside::FIRST);
        self.step(33 + LOCK_PERIOD, responder, Call::ChannelSettle { channel }, 0);
        self.force(54, initiator, Party::Initiator, &mut inside, inside::SECOND);
        self.read("prove_contract_state", &inside.claim(&channel, inside::THIRD));

        let body = CloseMutualBody { balances: Pair::new(3 * UNIT, 2 * UNIT), fee: UNIT, valid_until };
        let signatures = self.sign(&body);
        self.step(55, delegate, Call::ChannelCloseMutual(CloseMutual { channel, body, signatures }), 0);
        self.step(56, initiator, Call::VaultWithdraw { key: keys.initiator, amount: 429 * UNIT }, 0);
    }

    /// A forced step that claims one of the transfers.
    fn force(&mut self, block: BlockNumber, caller: AccountId, party: Party, inside: &mut Inside, id: inside::Id) {
        let record = self.ledger.channels[&self.channel].clone();
        let (plan, noted) = inside.claims(&self.channel, &record, party, id, block, &self.ledger.preimages);
        let _hash = self.state(inside.round, inside.commitment());
        self.forced.push(noted);
        self.step(block, caller, Call::ChannelForceProgress(plan), 0);
        assert_eq!(self.ledger.channels[&self.channel].on_chain.state_hash, inside.commitment().hash(&Native));
    }

    /// A read after the last step, and what it answers.
    fn read(&mut self, message: &str, claim: &protocol::call::ProveContractState) {
        let artefact = prove_contract_state(&self.ledger.channels[&self.channel], claim, &Native);
        self.answer(message, &claim.encode(), &artefact.encode());
    }

    fn answer(&mut self, message: &str, arguments: &[u8], answer: &[u8]) {
        let data = [&selector(message)[..], arguments].concat();
        let read = json!({ "message": message, "data": hex::encode(data), "answer": hex::encode(answer) });
        let reads = self.story.last_mut().unwrap()["reads"].as_array_mut().unwrap();
        reads.push(read);
    }

    /// Notes a state down.
    fn state(&mut self, round: Round, commitment: StateCommitment) -> Hash {
        let hash = commitment.hash(&Native);
        self.states.push(json!({
            "round": round,
            "balances": amounts(&commitment.balances),
            "contracts_root": hex::encode(commitment.contracts_root.0),
            "calls_root": hex::encode(commitment.calls_root.0),
            "commitment": hex::encode(commitment.encode()),
            "hash": hex::encode(hash.0),
        }));
        hash
    }

    /// A state of balances in whole units.
    fn balances(&mut self, round: Round, initiator: Amount, responder: Amount) -> (Round, Hash) {
        let balances = Pair::new(initiator * UNIT, responder * UNIT);
        (round, self.state(round, StateCommitment::of_balances(balances)))
    }

    /// A co-signed round that goes on from the co-signed round `base`.
    fn payload(&mut self, round: Round, base: Round, commitment: StateCommitment) -> Payload {
        let (base, state_hash, valid_until) = (Base::of(base), self.state(round, commitment), None);
        let signatures = self.sign(&StateBody { round, base, state_hash, valid_until });
        Payload { round, base, state_hash, valid_until, signatures }
    }

    /// Both parties' signatures, noted down with all that goes into them.
    fn sign<T: Signed>(&mut self, body: &T) -> Pair<Signature> {
        let bytes = signed_bytes(&DOMAIN, &self.channel, body);
        let signatures = self.keys.as_ref().map(|key| key.sign(&bytes));
        self.signed.push(json!({
            "kind": format!("{:?}", T::KIND),
            "kind_index": T::KIND.encode()[0],
            "body": hex::encode(body.encode()),
            "signed_bytes": hex::encode(&bytes),
            "signatures": {
                "initiator": hex::encode(signatures.initiator.0),
                "responder": hex::encode(signatures.responder.0),
            },
        }));
        signatures
    }

    /// A call that succeeds in `block`, with what the arbiter announces and holds after it.
    fn step(&mut self, block: BlockNumber, caller: AccountId, call: Call, attached: Amount) {
        let data = [&selector(call.name())[..], &call.arguments()].concat();
        let name = call.name();
        let key = match call {
            Call::VaultDeposit { key } | Call::VaultWithdraw { key, .. } => Some(key),
            _ => None,
        };
        let ctx = CallContext { domain: DOMAIN, limits: LIMITS, now: block, caller };
        let applied = self.ledger.apply(&ctx, call, attached, &|_, _| true).unwrap();
        let events = self.events(&applied, key.map(|key| PartyId { account: caller, key }));
        let refused = |refused: &Rejection| hex::encode(refused.encode());
        let batch: Vec<_> = applied.batch.iter().map(|outcome| outcome.as_ref().err().map(refused)).collect();
        let paid_out = applied
            .paid_out
            .iter()
            .map(|(to, amount)| json!({ "to": hex::encode(to.0), "amount": amount.to_string() }));
        let vaults: Map<String, Value> = self
            .ledger
            .vaults
            .iter()
            .map(|(owner, balance)| (hex::encode(owner.encode()), balance.to_string().into()))
            .collect();
        self.story.push(json!({
            "block": block,
            "caller": hex::encode(caller.0),
            "message": name,
            "attached": attached.to_string(),
            "data": hex::encode(data),
            "events": events,
            "batch": batch,
            "paid_out": paid_out.collect::<Vec<_>>(),
            "record": self.ledger.channels.get(&self.channel).map(|record| hex::encode(record.encode())),
            "vaults": vaults,
            "reads": [],
        }));
    }

    /// The data of all events, in their order: pre-images first.
    fn events(&self, applied: &Applied, vault: Option<PartyId>) -> Vec<String> {
        let preimages = applied.preimages.iter().map(|(lock, preimage, shown_at)| {
            let HashLock { function, digest } = lock;
            (digest, function, preimage, shown_at).encode()
        });
        let vault = vault.map(|owner| (owner, self.ledger.vaults.get(&owner).copied().unwrap_or(0)).encode());
        preimages.chain(applied.events.iter().map(Encode::encode)).chain(vault).map(hex::encode).collect()
    }
}

fn amounts(pair: &Pair<Amount>) -> Value {
    json!([pair.initiator.to_string(), pair.responder.to_string()])
}
