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
    AccountId, Amount, BlockNumber, ChannelId, Hash, Pair, Rejection, Signature, StateCommitment,
    arbiter::{Applied, Context, Ledger},
    call,
    contracts::{
        AppContext, AppReply, CallFault, CallReceipt, Contract, ContractEntry,
        conditional::{ConditionalInput, ConditionalTransfer, HashLock},
    },
    decode_exact,
    event::{Event, Payout},
    record::{Artefact, Closing, OnChain, Penalty, Phase, Record},
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

/// The arbiter's books, and what went over its counter.
struct Books {
    ledger: Ledger,
    now: BlockNumber,
    paid_in: Amount,
    paid_out: Amount,
    ended: BTreeSet<ChannelId>,
    /// Forced steps of channels that were open, closing, and settled.
    forced: [usize; 3],
}

impl Books {
    fn new() -> Self {
        let ledger = Ledger { deployed: apps::deployed(), apps: apps::native(), ..Ledger::default() };
        Self { ledger, now: 1, paid_in: 0, paid_out: 0, ended: BTreeSet::new(), forced: [0; 3] }
    }

    fn call(&mut self, who: Who, call: call::Call, attached: Amount) -> Result<Applied, Rejection> {
        let caller = ACCOUNTS[Who::ALL.iter().position(|other| *other == who).unwrap()];
        let ctx = Context { domain: DOMAIN, limits: LIMITS, now: self.now, caller };
        // The chain refuses small amounts to the responder, so some payouts go to its vault instead.
        let accepts = |to: &AccountId, amount: Amount| *to != ACCOUNTS[1] || amount >= 2 * UNIT;
        let applied = self.ledger.apply(&ctx, call, attached, &accepts);
        if let Ok(applied) = &applied {
            self.paid_in += attached;
            self.paid_out += applied.paid_out.iter().map(|(_, amount)| amount).sum::<Amount>();
        }
        applied
    }

    /// Plays a script, and answers which messages succeeded and which were refused.
    fn play(&mut self, steps: &[Step]) -> Vec<(&'static str, Result<(), Rejection>)> {
        let mut outcomes = Vec::new();
        let mut script = Script::new(DOMAIN, ACCOUNTS, APPS);
        for who in [Who::Initiator, Who::Responder] {
            let _applied = self.call(who, call::Call::VaultDeposit, 60 * UNIT).unwrap();
        }
        for step in steps {
            self.now += 1;
            match script.turn(step, &self.ledger, self.now) {
                Turn::Wait(blocks) => self.now += blocks,
                Turn::Call(who, call, attached) => {
                    let (before, name) = (self.ledger.clone(), call.name());
                    let outcome = self.call(who, *call, attached);
                    match &outcome {
                        Ok(applied) => self.check(&before, applied),
                        Err(_) => assert_eq!(self.ledger, before, "a refusal changes nothing"),
                    }
                    if let Ok(Applied { event: Some((channel, Event::ChannelProgressed { closing, .. }, _)), .. }) =
                        &outcome
                    {
                        let was_residual = before.channels[channel].phase == Phase::Residual;
                        self.forced[if was_residual { 2 } else { usize::from(closing.is_some()) }] += 1;
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
        assert!(self.ledger.vaults.values().all(|balance| *balance > 0), "an empty vault leaves no storage");
        for (pair, nonce) in &before.nonces {
            assert!(self.ledger.nonces[pair] >= *nonce, "nonces only grow");
        }
        for (channel, old) in &before.channels {
            let Some(new) = self.ledger.channels.get(channel) else {
                assert!(self.ended.insert(*channel));
                continue;
            };
            let reached = old.forced_from.unwrap_or(old.round);
            assert!(new.round >= reached, "rounds go down only to replace a forced chain");
            let is_same = new.round == old.round && old.forced_from.is_none();
            assert!(!is_same || new.state_hash == old.state_hash, "a round has one state");
            assert!(
                new.forced_from.is_none_or(|from| from <= new.round && from >= reached),
                "forced steps go on from what is there"
            );
            let order = |phase: &Phase| match phase {
                Phase::Open => 0,
                Phase::Closing(_) => 1,
                Phase::Residual => 2,
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
            assert!(record.phase != Phase::Residual || record.total > 0, "an empty residual leaves no storage");
        }
        let paid: Amount = applied.paid_out.iter().map(|(_, amount)| amount).sum();
        if let Some((_, _, payouts)) = &applied.event {
            let to_accounts = payouts.iter().filter(|payout| payout.destination == terms::Destination::Account);
            assert_eq!(to_accounts.map(|payout| payout.amount).sum::<Amount>(), paid, "the event tells what was paid");
            assert!(payouts.iter().all(|payout| payout.amount > 0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn coins_are_conserved_and_records_only_move_forward(steps in prop::collection::vec(script::step(), 1..80)) {
        let _outcomes = Books::new().play(&steps);
    }
}

#[test]
fn the_scripts_reach_every_message_and_most_refusals_and_faults() {
    let mut runner = TestRunner::deterministic();
    let (mut done, mut refused) = (BTreeSet::new(), BTreeSet::new());
    let (mut reasons, mut faults) = (BTreeSet::new(), BTreeSet::new());
    let mut forced = [0; 3];
    for _ in 0..300 {
        let steps = prop::collection::vec(script::step(), 80).new_tree(&mut runner).unwrap().current();
        let mut books = Books::new();
        let outcomes = books.play(&steps);
        forced.iter_mut().zip(books.forced).for_each(|(sum, more)| *sum += more);
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
    println!("refusals {reasons:?}, faults {faults:?}, forced steps {forced:?}");
    assert!(forced.iter().all(|steps| *steps >= 8), "{forced:?}");
    assert_eq!(done.len(), call::Call::NAMES.len(), "{done:?}");
    // Showing a pre-image again changes nothing, and nothing is wrong with it.
    assert_eq!(refused.len(), call::Call::NAMES.len() - 1, "{refused:?}");
    // The others need terms out of bounds, more coins than the scripts have, or more calls.
    assert!(reasons.len() >= 32, "{reasons:?}");
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
    is_canonical::<Event>(bytes);
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
    }

    #[test]
    fn records_events_and_rejections_survive_their_encoding(
        record in values::record(),
        event in values::event(),
        payout in values::payout(),
        rejection in values::rejection(),
        (domain, limits) in (values::domain(), values::limits()),
    ) {
        survives(&record);
        survives(&record.phase);
        survives(&record.on_chain());
        survives(&event);
        survives(&payout);
        survives(&rejection);
        survives(&domain);
        survives(&limits);
    }
}
