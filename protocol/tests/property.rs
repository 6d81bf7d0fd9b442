//! What holds for every sequence of calls, and for every sequence of bytes.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs, unreachable_pub)]

#[path = "support/apps.rs"]
mod apps;
#[path = "support/script.rs"]
mod script;
#[path = "support/values.rs"]
mod values;

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use protocol::{
    AccountId, Amount, Base, BlockNumber, ChannelId, Hash, Mark, Maturity, Pair, PartyId, PublicKey, Rejection,
    Signature, StateCommitment,
    arbiter::{Applied, CallContext, Ledger},
    call,
    contracts::{
        AppContext, AppReply, CallFault, CallReceipt, Contract, ContractEntry,
        conditional::{ConditionalInput, ConditionalTransfer, HashLock},
    },
    crypto, decode_exact,
    event::{ArbiterEvent, Payout},
    record::{Artefact, Closing, OnChain, Penalty, Permanence, Phase, Record},
    signing, terms,
    tree::{Proof, ProofError},
};
use scale::{Decode, Encode};
use script::{LIMITS, Script, Step, Turn, UNIT, Who};
use std::{collections::BTreeSet, fmt::Debug};

const ACCOUNTS: [AccountId; 4] = [AccountId([11; 32]), AccountId([22; 32]), AccountId([33; 32]), AccountId([44; 32])];
const DOMAIN: signing::Domain = signing::Domain { genesis: Hash([1; 32]), arbiter: AccountId([2; 32]) };

const APPS: script::Apps = script::Apps {
    counter: script::App { account: apps::COUNTER.account, code: apps::COUNTER.code },
    escrow: script::App { account: apps::ESCROW.account, code: apps::ESCROW.code },
};

fn key_of(who: Who) -> PublicKey {
    crypto::SigningKey::from_seed(&[if who == Who::Responder { 2 } else { 1 }; 32]).public()
}

/// The arbiter's books, and what went over its counter.
struct Books {
    ledger: Ledger,
    now: BlockNumber,
    paid_in: Amount,
    paid_out: Amount,
    ended: BTreeSet<ChannelId>,
    /// Forced steps of channels that were open, closing, and settled.
    forced: [usize; 3],
    /// Calls of batches that were accepted, and refused.
    batched: [usize; 2],
}

impl Books {
    fn new() -> Self {
        let ledger = Ledger { deployed: apps::deployed(), apps: apps::native(), ..Ledger::default() };
        Self { ledger, now: 1, paid_in: 0, paid_out: 0, ended: BTreeSet::new(), forced: [0; 3], batched: [0; 2] }
    }

    fn call(&mut self, who: Who, call: call::Call, attached: Amount) -> Result<Applied, Rejection> {
        let caller = ACCOUNTS[Who::ALL.iter().position(|other| *other == who).unwrap()];
        let ctx = CallContext { domain: DOMAIN, limits: LIMITS, now: self.now, caller };
        // The chain refuses small amounts to the responder, so some payouts go to its vault instead.
        let accepts = |to: &AccountId, amount: Amount| *to != ACCOUNTS[1] || amount >= 2 * UNIT;
        let applied = self.ledger.apply(&ctx, call, attached, &accepts);
        if let Ok(applied) = &applied {
            self.paid_in += attached;
            self.paid_out += applied.paid_out.iter().map(|(_, amount)| amount).sum::<Amount>();
        }
        applied
    }

    /// What the calls of a batch come to when each is made alone: the books after them, and everything that they announced. Nothing for a
    /// batch that is too short or too long.
    fn made_alone(&self, who: Who, calls: &[call::BatchedCall]) -> Option<(Ledger, Applied)> {
        let mut other = Self { ledger: self.ledger.clone(), now: self.now, ..Self::new() };
        let mut whole = Applied::default();
        for call in calls {
            let outcome = other.call(who, script::alone(call.clone()), 0);
            whole.batch.push(outcome.as_ref().map(drop).map_err(|refused| *refused));
            let Applied { events, paid_out, .. } = outcome.unwrap_or_default();
            whole.events.extend(events);
            whole.paid_out.extend(paid_out);
        }
        (1..=call::MAX_BATCH).contains(&calls.len()).then_some((other.ledger, whole))
    }

    /// Plays a script, and answers which messages succeeded and which were refused.
    fn play(&mut self, steps: &[Step]) -> Vec<(&'static str, Result<(), Rejection>)> {
        let mut outcomes = Vec::new();
        let mut script = Script::new(DOMAIN, ACCOUNTS, APPS);
        for who in [Who::Initiator, Who::Responder] {
            let _applied = self.call(who, call::Call::VaultDeposit { key: key_of(who) }, 60 * UNIT).unwrap();
        }
        for step in steps {
            self.now += 1;
            match script.turn(step, &self.ledger, self.now) {
                Turn::Wait(blocks) => self.now += blocks,
                Turn::Call(who, call, attached) => {
                    let (before, name) = (self.ledger.clone(), call.name());
                    let one_by_one =
                        if let call::Call::Batch(calls) = &*call { self.made_alone(who, calls) } else { None };
                    let outcome = self.call(who, *call, attached);
                    if let Some((ledger, expected)) = one_by_one {
                        assert_eq!(outcome, Ok(expected));
                        assert_eq!(self.ledger, ledger);
                    }
                    match &outcome {
                        Ok(applied) => self.check(&before, applied),
                        Err(_) => assert_eq!(self.ledger, before, "a refusal changes nothing"),
                    }
                    let applied = outcome.as_ref().ok();
                    if let Some((channel, ArbiterEvent::ChannelProgressed { closing, .. }, _)) =
                        applied.and_then(|applied| applied.events.first())
                    {
                        let was_residual = matches!(before.channels[channel].phase, Phase::Residual { .. });
                        self.forced[if was_residual { 2 } else { usize::from(closing.is_some()) }] += 1;
                    }
                    for one in applied.into_iter().flat_map(|applied| &applied.batch) {
                        self.batched[usize::from(one.is_err())] += 1;
                    }
                    outcomes.push((name, outcome.map(drop)));
                }
            }
        }
        outcomes
    }

    /// What holds after every call.
    fn check(&mut self, before: &Ledger, applied: &Applied) {
        assert_eq!(self.ledger.held() + self.paid_out, self.paid_in, "coins are neither made nor lost");
        for (owner, balance) in &before.vaults {
            let is_freed = !self.ledger.vaults.contains_key(owner);
            assert!(!is_freed || *balance > 0 && applied.paid_out == [(owner.account, *balance)], "freed by its owner");
        }
        for (pair, nonce) in &before.nonces {
            assert!(self.ledger.nonces[pair] >= *nonce, "nonces only grow");
        }
        for (channel, old) in &before.channels {
            let Some(new) = self.ledger.channels.get(channel) else {
                assert!(self.ended.insert(*channel));
                continue;
            };
            let (was, is) = (&old.on_chain, &new.on_chain);
            assert!(is.at >= was.at, "rounds go down only to replace a forced chain by a newer co-signed round");
            assert!(is.at != was.at || is.state_hash == was.state_hash, "a base names one state");
            let settled = matches!(new.phase, Phase::Residual { .. });
            let [floor, floor_was] = [is, was].map(|side| side.maturity.floor(self.now, old.terms.lock_period));
            assert!(
                settled || floor >= floor_was && is.maturity.highest() >= was.maturity.highest(),
                "marks outlive all"
            );
            assert!(settled || !is.is_forced() || is.maturity.highest() == is.at, "a forced state is the newest mark");
            let order = |phase: &Phase| match phase {
                Phase::Open => 0,
                Phase::Closing(_) => 1,
                Phase::Residual { .. } => 2,
            };
            assert!(order(&new.phase) >= order(&old.phase), "a channel does not open again");
        }
        for (lock, shown_at) in &before.preimages {
            assert_eq!(self.ledger.preimages[lock], *shown_at, "the first time counts");
        }
        for (channel, record) in &self.ledger.channels {
            assert!(!self.ended.contains(channel), "an ended channel does not come back");
            if let Phase::Closing(closing) = &record.phase {
                assert!(closing.balances.sum().is_some_and(|sum| sum <= record.total));
                assert!(closing.unlock_at <= self.now + record.terms.lock_period);
            }
            let (steps, max) = (record.forced_steps, record.terms.max_forced);
            assert!(steps.initiator <= max && steps.responder <= max, "a dispute ends");
            let settled = matches!(record.phase, Phase::Residual { .. });
            assert!(!settled || record.total > 0, "an empty residual leaves no storage");
            assert!(record.on_chain.maturity.marks().len() <= 8 * usize::from(max), "marks are bounded");
        }
        let paid: Amount = applied.paid_out.iter().map(|(_, amount)| amount).sum();
        if !applied.events.is_empty() {
            let payouts: Vec<_> = applied.events.iter().flat_map(|(_, _, payouts)| payouts).collect();
            let to_accounts = payouts.iter().filter(|payout| payout.destination == terms::Destination::Account);
            assert_eq!(to_accounts.map(|payout| payout.amount).sum::<Amount>(), paid, "the event tells what was paid");
            assert!(payouts.iter().all(|payout| payout.amount > 0));
        }
        let accepted = applied.batch.iter().filter(|outcome| outcome.is_ok()).count();
        assert!(applied.batch.is_empty() || accepted == applied.events.len(), "one event for each success");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn coins_are_conserved_and_records_only_move_forward(steps in prop::collection::vec(script::step(), 1..80)) {
        let _outcomes = Books::new().play(&steps);
    }
}

/// Steps of which every other one is a batch.
fn batches() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((script::step(), script::step()), 1..30).prop_map(|pairs| {
        let both = |(one, two): (Step, Step)| [one, Step { action: script::Action::Batch, ..two }];
        pairs.into_iter().flat_map(both).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// [`Books::play`] makes each of them twice.
    #[test]
    fn a_batch_is_its_calls_one_by_one(steps in batches()) {
        let _outcomes = Books::new().play(&steps);
    }
}

#[test]
fn the_scripts_reach_every_message_and_most_refusals_and_faults() {
    let mut runner = TestRunner::deterministic();
    let (mut done, mut refused) = (BTreeSet::new(), BTreeSet::new());
    let (mut reasons, mut faults) = (BTreeSet::new(), BTreeSet::new());
    let (mut forced, mut batched) = ([0; 3], [0; 2]);
    for _ in 0..300 {
        let steps = prop::collection::vec(script::step(), 80).new_tree(&mut runner).unwrap().current();
        let mut books = Books::new();
        let outcomes = books.play(&steps);
        forced.iter_mut().zip(books.forced).for_each(|(sum, more)| *sum += more);
        batched.iter_mut().zip(books.batched).for_each(|(sum, more)| *sum += more);
        for (name, outcome) in outcomes {
            if let Err(Rejection::CallFailed { fault, .. }) = outcome {
                let _new = faults.insert(fault.encode()[0]);
            }
            let _new = match outcome {
                Ok(()) => done.insert(name),
                Err(rejection) => refused.insert(name) | reasons.insert(rejection.encode()[0]),
            };
        }
    }
    println!("refusals {reasons:?}, faults {faults:?}, forced steps {forced:?}, batched {batched:?}");
    assert!(batched.iter().all(|calls| *calls >= 200), "{batched:?}");
    assert!(forced.iter().all(|steps| *steps >= 8), "{forced:?}");
    assert_eq!(done.len(), call::Call::NAMES.len(), "{done:?}");
    // Showing a pre-image again changes nothing, and nothing is wrong with it.
    assert_eq!(refused.len(), call::Call::NAMES.len() - 1, "{refused:?}");
    // The others need terms out of bounds, more coins than the scripts have, or more calls.
    assert!(reasons.len() >= 37, "{reasons:?}");
    // All but those of an app that fails, or answers with garbage.
    assert!(faults.len() >= 12, "{faults:?}");
}

/// Bytes that decode are exactly what their value encodes to: no two encodings mean the same (R3.2).
fn is_canonical<T: Decode + Encode>(bytes: &[u8]) {
    if let Ok(value) = decode_exact::<T>(bytes) {
        assert_eq!(value.encode(), bytes);
    }
}

fn every_type_is_canonical(bytes: &[u8]) {
    is_canonical::<call::Create>(bytes);
    is_canonical::<call::CloseMutual>(bytes);
    is_canonical::<call::CloseSolo>(bytes);
    is_canonical::<call::Slash>(bytes);
    is_canonical::<call::Deposit>(bytes);
    is_canonical::<call::Withdraw>(bytes);
    is_canonical::<call::SnapshotSolo>(bytes);
    is_canonical::<call::SetDelegates>(bytes);
    is_canonical::<call::BatchedCall>(bytes);
    is_canonical::<call::Payload>(bytes);
    is_canonical::<signing::CreateBody>(bytes);
    is_canonical::<signing::StateBody>(bytes);
    is_canonical::<signing::DepositBody>(bytes);
    is_canonical::<signing::WithdrawBody>(bytes);
    is_canonical::<signing::CloseMutualBody>(bytes);
    is_canonical::<signing::SetDelegatesBody>(bytes);
    is_canonical::<signing::Domain>(bytes);
    is_canonical::<signing::Kind>(bytes);
    is_canonical::<terms::Terms>(bytes);
    is_canonical::<terms::PartyTerms>(bytes);
    is_canonical::<terms::Limits>(bytes);
    is_canonical::<terms::Destination>(bytes);
    is_canonical::<Record>(bytes);
    is_canonical::<Phase>(bytes);
    is_canonical::<Closing>(bytes);
    is_canonical::<Penalty>(bytes);
    is_canonical::<OnChain>(bytes);
    is_canonical::<Maturity>(bytes);
    is_canonical::<Mark>(bytes);
    is_canonical::<Base>(bytes);
    is_canonical::<Permanence>(bytes);
    is_canonical::<PartyId>(bytes);
    is_canonical::<terms::Delegate>(bytes);
    is_canonical::<ArbiterEvent>(bytes);
    is_canonical::<Payout>(bytes);
    is_canonical::<Rejection>(bytes);
    is_canonical::<StateCommitment>(bytes);
    is_canonical::<call::ForceProgress>(bytes);
    is_canonical::<call::ProveContractState>(bytes);
    is_canonical::<Artefact>(bytes);
    is_canonical::<Proof>(bytes);
    is_canonical::<ProofError>(bytes);
    is_canonical::<Contract>(bytes);
    is_canonical::<ContractEntry>(bytes);
    is_canonical::<CallReceipt>(bytes);
    is_canonical::<CallFault>(bytes);
    is_canonical::<AppContext>(bytes);
    is_canonical::<AppReply>(bytes);
    is_canonical::<ConditionalTransfer>(bytes);
    is_canonical::<ConditionalInput>(bytes);
    is_canonical::<HashLock>(bytes);
    is_canonical::<Pair<Signature>>(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes_never_panic_and_decode_to_at_most_one_value(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        every_type_is_canonical(&bytes);
    }

    /// Mostly zeros and small numbers, which get much further into a decoder than random bytes do.
    #[test]
    fn small_bytes_never_panic_and_decode_to_at_most_one_value(
        bytes in prop::collection::vec(prop_oneof![6 => Just(0u8), 3 => 0u8..12, 1 => any::<u8>()], 0..600)
    ) {
        every_type_is_canonical(&bytes);
    }
}

/// A value survives its encoding; with a byte more or less, or a length that promises more than there is, nothing decodes.
fn survives<T: Decode + Encode + Debug + PartialEq>(value: &T) {
    let bytes = value.encode();
    assert_eq!(decode_exact::<T>(&bytes).as_ref(), Ok(value));
    assert!(decode_exact::<T>(&[&bytes[..], &[0]].concat()).is_err(), "leftover bytes are an error");
    for length in [0, bytes.len() / 2, bytes.len() - 1] {
        assert!(decode_exact::<T>(&bytes[..length]).is_err(), "missing bytes are an error");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn calls_survive_their_encoding(
        create in values::create(),
        (solo, slash, snapshot) in (values::close_solo(), values::slash(), values::snapshot_solo()),
        (mutual, deposit, withdraw, delegates) in
            (values::close_mutual(), values::deposit(), values::withdraw(), values::set_delegates()),
        (force, claim) in (values::force_progress(), values::prove_contract_state()),
        batched in values::batched_call(),
    ) {
        survives(&create);
        survives(&create.body);
        survives(&create.body.terms);
        survives(&solo);
        survives(&slash);
        survives(&slash.payload);
        survives(&slash.payload.body());
        survives(&slash.commitment);
        survives(&snapshot);
        survives(&mutual);
        survives(&mutual.body);
        survives(&deposit);
        survives(&deposit.body);
        survives(&withdraw);
        survives(&withdraw.body);
        survives(&delegates);
        survives(&delegates.body);
        survives(&force);
        survives(&force.proof);
        survives(&claim);
        survives(&claim.contract);
        survives(&batched);
    }

    #[test]
    fn records_events_and_rejections_survive_their_encoding(
        record in values::record(),
        event in values::event(),
        payout in values::payout(),
        rejection in values::rejection(),
        (domain, limits) in (values::domain(), values::limits()),
        (artefact, owner) in (values::artefact(), values::party_id()),
    ) {
        survives(&record);
        survives(&record.phase);
        survives(&record.on_chain);
        survives(&record.on_chain.maturity);
        survives(&event);
        survives(&payout);
        survives(&rejection);
        survives(&domain);
        survives(&limits);
        survives(&artefact);
        survives(&owner);
    }
}
