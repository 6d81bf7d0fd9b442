//! The rules alone, where a chain could not get at them: every place in a forced chain, numbers at the end of their range, and tables that
//! are cheaper to read in full here.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use protocol::{
    AccountId, Amount, BlockNumber, ChannelId, Hash, Pair, Party, Rejection, Round, Signature, StateCommitment,
    arbiter::{Context, Outcome, Standing, close_solo, deposit, settle, slash, snapshot_solo, standing, vault},
    call::{CloseSolo, Deposit, Payload, Slash, SnapshotSolo},
    contracts::{CallFault, ContractId},
    crypto::{Crypto, Native, SigningKey},
    event::Event,
    record::{Closing, OnChain, Penalty, Phase, Record},
    signing::{DepositBody, Domain, StateBody, signed_bytes},
    terms::{CallWeight, Destination, Limits, PartyTerms, Terms},
    tree::ProofError,
};
use scale::Encode;

const DOMAIN: Domain = Domain { genesis: Hash([1; 32]), arbiter: AccountId([2; 32]) };
const LIMITS: Limits = Limits {
    lock_period_min: 10,
    lock_period_max: u32::MAX,
    validity_max: 50,
    max_forced_max: 4,
    call_weight: CallWeight::STANDARD,
};
const CHANNEL: ChannelId = ChannelId([3; 32]);
const TOTAL: Amount = 100;
const OURS: Hash = Hash([4; 32]);
const OTHER: Hash = Hash([5; 32]);

fn keys() -> Pair<SigningKey> {
    Pair::new(SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]))
}

fn account(party: Party) -> AccountId {
    match party {
        Party::Initiator => AccountId([11; 32]),
        Party::Responder => AccountId([22; 32]),
    }
}

fn at(now: BlockNumber, caller: AccountId) -> Context {
    Context { domain: DOMAIN, limits: LIMITS, now, caller }
}

fn balances(initiator: Amount) -> StateCommitment {
    StateCommitment::of_balances(Pair::new(initiator, TOTAL - initiator))
}

fn payload(round: Round, commitment: &StateCommitment) -> Payload {
    let body = StateBody { round, state_hash: commitment.hash(&Native) };
    let bytes = signed_bytes(&DOMAIN, &CHANNEL, &body);
    let signatures = keys().as_ref().map(|key| key.sign(&bytes));
    Payload { round, state_hash: body.state_hash, signatures }
}

/// An open channel whose state on chain is this one.
fn record(round: Round, forced_from: Option<Round>, state: &StateCommitment) -> Record {
    let party = |party, key: &SigningKey| PartyTerms {
        account: account(party),
        key: key.public(),
        payout: Destination::Account,
        delegates: Vec::new(),
    };
    let keys = keys();
    let parties = Pair::new(party(Party::Initiator, &keys.initiator), party(Party::Responder, &keys.responder));
    Record {
        terms: Terms { parties, reserve: 10, lock_period: 20, penalty: 5, max_forced: 3 },
        total: TOTAL,
        round,
        forced_from,
        state_hash: state.hash(&Native),
        forced_steps: if forced_from.is_some() { Pair::new(1, 2) } else { Pair::default() },
        phase: Phase::Open,
    }
}

#[test]
fn a_co_signed_state_stands_to_a_co_signed_one_by_its_round() {
    let on_chain = OnChain { round: 10, forced_from: None, state_hash: OURS };
    for (round, hash, expected) in [
        (u64::MAX, OTHER, Ok(Standing::Newer)),
        (15, OTHER, Ok(Standing::Newer)),
        (11, OTHER, Ok(Standing::Newer)),
        (11, OURS, Ok(Standing::Newer)),
        (10, OURS, Ok(Standing::AlreadyKnown)),
        (10, OTHER, Err(Rejection::RoundHasOtherState { round: 10 })),
        (9, OURS, Err(Rejection::RoundTooOld { got: 9, have: 10 })),
        (9, OTHER, Err(Rejection::RoundTooOld { got: 9, have: 10 })),
        (5, OTHER, Err(Rejection::RoundTooOld { got: 5, have: 10 })),
        (0, OTHER, Err(Rejection::RoundTooOld { got: 0, have: 10 })),
    ] {
        assert_eq!(standing(&on_chain, round, &hash), expected, "round {round}");
    }
}

#[test]
fn a_co_signed_state_replaces_a_whole_forced_chain_from_its_first_round_on() {
    // Forced are the rounds 8, 9 and 10.
    let on_chain = OnChain { round: 10, forced_from: Some(8), state_hash: OURS };
    for (round, hash, expected) in [
        (15, OTHER, Ok(Standing::Newer)),
        (11, OTHER, Ok(Standing::Newer)),
        // The forced tip itself is no known state: nobody co-signed it, even where the hash is the same.
        (10, OURS, Ok(Standing::Newer)),
        (10, OTHER, Ok(Standing::Newer)),
        (9, OTHER, Ok(Standing::Newer)),
        (8, OTHER, Ok(Standing::Newer)),
        (7, OURS, Err(Rejection::RoundTooOld { got: 7, have: 8 })),
        (7, OTHER, Err(Rejection::RoundTooOld { got: 7, have: 8 })),
        (6, OTHER, Err(Rejection::RoundTooOld { got: 6, have: 8 })),
        (0, OTHER, Err(Rejection::RoundTooOld { got: 0, have: 8 })),
    ] {
        assert_eq!(standing(&on_chain, round, &hash), expected, "round {round}");
    }
}

#[test]
fn a_forced_chain_of_one_round_is_replaced_by_that_round() {
    let on_chain = OnChain { round: 2, forced_from: Some(2), state_hash: OURS };
    assert_eq!(standing(&on_chain, 2, &OURS), Ok(Standing::Newer));
    assert_eq!(standing(&on_chain, 1, &OURS), Err(Rejection::RoundTooOld { got: 1, have: 2 }));
}

#[test]
fn a_snapshot_ends_a_forced_chain_even_where_the_round_goes_down() {
    for round in [8, 9, 10, 11] {
        let call = SnapshotSolo { channel: CHANNEL, payload: payload(round, &balances(30)) };
        let before = record(10, Some(8), &balances(60));
        let ctx = at(100, account(Party::Responder));
        let Outcome { record: after, .. } = snapshot_solo(&ctx, before, &call, &Native).unwrap();
        assert_eq!(after, Some(record(round, None, &balances(30))), "no forced step counts any more");
    }
    let call = SnapshotSolo { channel: CHANNEL, payload: payload(7, &balances(30)) };
    let refused =
        snapshot_solo(&at(100, account(Party::Responder)), record(10, Some(8), &balances(60)), &call, &Native);
    assert_eq!(refused, Err(Rejection::RoundTooOld { got: 7, have: 8 }));
}

#[test]
fn a_deposit_ends_a_forced_chain_even_where_the_round_goes_down() {
    let body = DepositBody { party: Party::Initiator, amount: 7, round: 8, state_hash: OTHER, valid_until: 100 };
    let bytes = signed_bytes(&DOMAIN, &CHANNEL, &body);
    let signatures = keys().as_ref().map(|key| key.sign(&bytes));
    let call = Deposit { channel: CHANNEL, body, signatures };
    let ctx = at(100, account(Party::Initiator));
    let after = deposit(&ctx, record(10, Some(8), &balances(60)), call, &Native).unwrap().record.unwrap();
    assert_eq!((after.round, after.forced_from, after.forced_steps, after.total), (8, None, Pair::new(0, 0), 107));
}

#[test]
fn closing_on_a_forced_state_risks_the_penalty_and_keeps_the_forced_chain() {
    for closer in Party::BOTH {
        let before = record(10, Some(8), &balances(60));
        let call = CloseSolo { channel: CHANNEL, payload: None, commitment: balances(60) };
        let ctx = at(100, account(closer));
        let Outcome { record: after, event, .. } = close_solo(&ctx, before.clone(), &call, &Native).unwrap();
        let closing = Closing { balances: Pair::new(60, 40), unlock_at: 120, penalty: Penalty::AtRisk(closer) };
        let state_hash = before.state_hash;
        assert_eq!(
            event,
            Event::ChannelClosedSolo { round: 10, state_hash, forced_from: Some(8), closing: closing.clone() }
        );
        assert_eq!(after, Some(Record { phase: Phase::Closing(closing), ..before }));
    }
}

#[test]
fn closing_with_a_payload_drops_the_forced_chain_and_risks_the_penalty() {
    let call = CloseSolo { channel: CHANNEL, payload: Some(payload(8, &balances(30))), commitment: balances(30) };
    let ctx = at(100, account(Party::Responder));
    let after = close_solo(&ctx, record(10, Some(8), &balances(60)), &call, &Native).unwrap().record.unwrap();
    let closing = Closing { balances: Pair::new(30, 70), unlock_at: 120, penalty: Penalty::AtRisk(Party::Responder) };
    assert_eq!(after, Record { phase: Phase::Closing(closing), ..record(8, None, &balances(30)) });
}

/// Any co-signed round from the chain's first one on is newer than a forced state. Where it is the closer's peer's, the closer signed it
/// last and so held it when it closed; where it is the closer's own, its peer may have kept the answer back.
#[test]
fn slashing_a_close_on_a_forced_state_charges_a_closer_that_provably_held_the_newer_round() {
    for round in [8, 9, 10, 11] {
        for (slasher, closer) in Party::BOTH.into_iter().flat_map(|party| Party::BOTH.map(|other| (party, other))) {
            let closing = Closing { balances: Pair::new(60, 40), unlock_at: 120, penalty: Penalty::AtRisk(closer) };
            let before = Record { phase: Phase::Closing(closing), ..record(10, Some(8), &balances(60)) };
            let call = Slash { channel: CHANNEL, payload: payload(round, &balances(30)), commitment: balances(30) };
            let after = slash(&at(110, account(slasher)), before, &call, &Native).unwrap().record.unwrap();
            assert_eq!((after.round, after.forced_from, after.forced_steps), (round, None, Pair::new(0, 0)));
            let held = Party::owner_of(round) == closer.peer();
            let penalty = if held { Penalty::Due(closer) } else { Penalty::AtRisk(closer) };
            let closing = Closing { balances: Pair::new(30, 70), unlock_at: 130, penalty };
            assert_eq!(after.phase, Phase::Closing(closing), "{closer:?} closed, {slasher:?} showed {round}");
        }
    }
}

#[test]
fn odd_rounds_are_the_initiators_and_even_ones_the_responders() {
    for (round, owner) in [
        (0, Party::Responder),
        (1, Party::Initiator),
        (2, Party::Responder),
        (3, Party::Initiator),
        (u64::MAX - 1, Party::Responder),
        (u64::MAX, Party::Initiator),
    ] {
        assert_eq!(Party::owner_of(round), owner);
    }
}

/// Who closed, the round shown, and what becomes of the penalty.
#[test]
fn only_the_closers_peers_round_proves_that_the_closer_held_it() {
    for closer in Party::BOTH {
        for round in [11, 12] {
            let closing = Closing { balances: Pair::new(60, 40), unlock_at: 120, penalty: Penalty::AtRisk(closer) };
            let before = Record { phase: Phase::Closing(closing), ..record(10, None, &balances(60)) };
            let call = Slash { channel: CHANNEL, payload: payload(round, &balances(30)), commitment: balances(30) };
            let after = slash(&at(110, account(Party::Initiator)), before, &call, &Native).unwrap().record.unwrap();
            let proven = Party::owner_of(round) != closer;
            let expected = if proven { Penalty::Due(closer) } else { Penalty::AtRisk(closer) };
            assert_eq!(after.closing().unwrap().penalty, expected, "{closer:?} closed, {round} was shown");
        }
    }
}

fn closing(balances: Pair<Amount>, penalty: Penalty, amount: Amount) -> Record {
    let closing = Closing { balances, unlock_at: 120, penalty };
    let mut record =
        Record { phase: Phase::Closing(closing), ..record(10, None, &StateCommitment::of_balances(balances)) };
    record.terms.penalty = amount;
    record
}

#[test]
fn settling_moves_a_penalty_that_is_due_and_no_other() {
    const WHO: Party = Party::Responder;
    for (balances, penalty, amount, paid) in [
        (Pair::new(60, 40), Penalty::AtRisk(Party::Initiator), 5, Pair::new(60, 40)),
        (Pair::new(60, 40), Penalty::AtRisk(WHO), 5, Pair::new(60, 40)),
        (Pair::new(60, 40), Penalty::Due(WHO), 5, Pair::new(65, 35)),
        (Pair::new(60, 40), Penalty::Due(Party::Initiator), 5, Pair::new(55, 45)),
        (Pair::new(60, 40), Penalty::Due(WHO), 40, Pair::new(100, 0)),
        (Pair::new(60, 40), Penalty::Due(WHO), 41, Pair::new(100, 0)),
        (Pair::new(60, 40), Penalty::Due(WHO), Amount::MAX, Pair::new(100, 0)),
        (Pair::new(100, 0), Penalty::Due(WHO), 5, Pair::new(100, 0)),
        (Pair::new(60, 40), Penalty::Due(WHO), 0, Pair::new(60, 40)),
        // Contracts hold the rest: the penalty does not come out of it.
        (Pair::new(60, 3), Penalty::Due(WHO), 5, Pair::new(63, 0)),
    ] {
        let remaining = TOTAL - paid.sum().unwrap();
        let outcome = settle(&at(120, AccountId([9; 32])), closing(balances, penalty, amount)).unwrap();
        assert_eq!(outcome.event, Event::ChannelSettled { balances: paid, remaining });
        assert_eq!(outcome.payouts.iter().map(|payout| payout.amount).sum::<Amount>(), paid.sum().unwrap());
        assert_eq!(outcome.record.map_or(0, |record| record.total), remaining);
    }
}

#[test]
fn a_lock_ends_exactly_at_its_block() {
    let settled = |now| {
        settle(&at(now, AccountId([9; 32])), closing(Pair::new(60, 40), Penalty::AtRisk(Party::Initiator), 5)).map(drop)
    };
    assert_eq!(settled(119), Err(Rejection::StillLocked { unlock_at: 120, now: 119 }));
    assert_eq!((settled(120), settled(121), settled(BlockNumber::MAX)), (Ok(()), Ok(()), Ok(())));
}

#[test]
fn a_lock_that_would_end_beyond_time_ends_with_the_last_block() {
    for (now, lock_period) in [(BlockNumber::MAX, 20), (BlockNumber::MAX - 5, 20), (1, BlockNumber::MAX)] {
        let mut before = record(1, None, &balances(60));
        before.terms.lock_period = lock_period;
        let call = CloseSolo { channel: CHANNEL, payload: None, commitment: balances(60) };
        let after = close_solo(&at(now, account(Party::Initiator)), before, &call, &Native).unwrap().record.unwrap();
        assert_eq!(after.closing().unwrap().unlock_at, BlockNumber::MAX);
    }
}

#[test]
fn validity_ends_exactly_at_its_block_and_starts_no_earlier_than_allowed() {
    for (valid_until, now, expected) in [
        (99, 100, Err(Rejection::Expired { valid_until: 99, now: 100 })),
        (0, 1, Err(Rejection::Expired { valid_until: 0, now: 1 })),
        (100, 100, Ok(())),
        (101, 100, Ok(())),
        (149, 100, Ok(())),
        (150, 100, Ok(())),
        (151, 100, Err(Rejection::ExpiryTooFar { valid_until: 151, max: 150 })),
        (BlockNumber::MAX, 100, Err(Rejection::ExpiryTooFar { valid_until: BlockNumber::MAX, max: 150 })),
        // At the end of time nothing wraps round.
        (BlockNumber::MAX, BlockNumber::MAX - 50, Ok(())),
        (BlockNumber::MAX, BlockNumber::MAX, Ok(())),
        (
            BlockNumber::MAX - 1,
            BlockNumber::MAX,
            Err(Rejection::Expired { valid_until: BlockNumber::MAX - 1, now: BlockNumber::MAX }),
        ),
    ] {
        assert_eq!(LIMITS.check_validity(valid_until, now), expected, "{valid_until} at {now}");
    }
}

#[test]
fn vaults_neither_overflow_nor_go_below_zero() {
    assert_eq!(vault::deposit(Amount::MAX - 1, 1), Ok(Amount::MAX));
    assert_eq!(vault::deposit(Amount::MAX, 1), Err(Rejection::AmountOverflow));
    assert_eq!(vault::deposit(0, 0), Err(Rejection::AmountZero));
    assert_eq!(vault::credit(1, Amount::MAX), Err(Rejection::AmountOverflow));
    assert_eq!(vault::credit(1, 0), Ok(1));
    assert_eq!(vault::withdraw(5, 5), Ok(0));
    assert_eq!(vault::withdraw(5, 6), Err(Rejection::VaultBalanceTooLow { have: 5, need: 6 }));
    assert_eq!(vault::withdraw(5, 0), Err(Rejection::AmountZero));
    assert_eq!(vault::pay_shares(&Pair::new(5, 6), &Pair::new(5, 4)), Ok(Pair::new(0, 2)));
    let low = |party, have, need| Err(Rejection::VaultTooLow { party, have, need });
    assert_eq!(vault::pay_shares(&Pair::new(5, 6), &Pair::new(6, 7)), low(Party::Initiator, 5, 6));
    assert_eq!(vault::pay_shares(&Pair::new(5, 6), &Pair::new(5, 7)), low(Party::Responder, 6, 7));
}

#[test]
fn a_total_that_overflows_is_refused_and_not_wrapped() {
    let body =
        DepositBody { party: Party::Initiator, amount: Amount::MAX, round: 2, state_hash: OTHER, valid_until: 100 };
    let bytes = signed_bytes(&DOMAIN, &CHANNEL, &body);
    let signatures = keys().as_ref().map(|key| key.sign(&bytes));
    let call = Deposit { channel: CHANNEL, body, signatures };
    let refused = deposit(&at(100, account(Party::Initiator)), record(1, None, &balances(60)), call, &Native);
    assert_eq!(refused, Err(Rejection::AmountOverflow));
}

#[test]
fn limits_are_sound_when_nothing_is_zero_or_crossed() {
    let sound = |lock_period_min, lock_period_max, validity_max, max_forced_max| {
        Limits { lock_period_min, lock_period_max, validity_max, max_forced_max, call_weight: CallWeight::STANDARD }
            .check()
            .is_ok()
    };
    assert!(sound(1, 1, 1, 1) && sound(1, u32::MAX, u32::MAX, u8::MAX));
    assert!(!sound(0, 1, 1, 1) && !sound(0, 0, 1, 1) && !sound(2, 1, 1, 1) && !sound(1, 1, 0, 1) && !sound(1, 1, 1, 0));
}

#[test]
fn a_state_hash_covers_every_part_of_the_state() {
    let state = StateCommitment { balances: Pair::new(1, 2), contracts_root: Hash([3; 32]), calls_root: Hash([4; 32]) };
    let bytes = [&1u128.to_le_bytes()[..], &2u128.to_le_bytes(), &[3; 32], &[4; 32]].concat();
    assert_eq!(state.hash(&Native), Native.hash(&bytes));
}

#[test]
fn the_hash_is_blake2b_256() {
    // The empty message and "abc", from the reference implementation.
    for (message, digest) in [
        (&b""[..], "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"),
        (b"abc", "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"),
    ] {
        assert_eq!(hex::encode(Native.hash(message).0), digest);
    }
}

#[test]
fn signatures_are_ed25519() {
    // RFC 8032, section 7.1, test 2.
    let seed = hex::decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
    let key = SigningKey::from_seed(&seed.try_into().unwrap());
    assert_eq!(hex::encode(key.public().0), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    let Signature(bytes) = key.sign(&[0x72]);
    let expected = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                    085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    assert_eq!(hex::encode(bytes), expected);
    assert!(Native.verify(&key.public(), &[0x72], &Signature(bytes)));
    assert!(!Native.verify(&key.public(), &[0x73], &Signature(bytes)));
}

#[test]
fn the_numbers_of_the_refusals_are_fixed_for_good() {
    let party = Party::Initiator;
    let numbered = [
        (0, Rejection::ChannelUnknown),
        (1, Rejection::NotParty),
        (2, Rejection::NotPartyOrDelegate),
        (3, Rejection::MayNotForce { party }),
        (4, Rejection::DelegateAttachesCoins),
        (10, Rejection::NotOpen),
        (11, Rejection::NotClosing),
        (12, Rejection::StillLocked { unlock_at: 0, now: 0 }),
        (13, Rejection::StateFinal),
        (20, Rejection::SignatureInvalid { party }),
        (21, Rejection::Expired { valid_until: 0, now: 0 }),
        (22, Rejection::ExpiryTooFar { valid_until: 0, max: 0 }),
        (30, Rejection::RoundTooOld { got: 0, have: 0 }),
        (31, Rejection::RoundAlreadyKnown { round: 0 }),
        (32, Rejection::RoundHasOtherState { round: 0 }),
        (33, Rejection::CommitmentMismatch),
        (34, Rejection::BalancesExceedTotal { total: 0 }),
        (35, Rejection::ForcedStepsUsedUp { max: 0 }),
        (36, Rejection::ForcedStateDiffers { computed: OURS }),
        (37, Rejection::ProofInvalid(ProofError::WrongLength)),
        (38, Rejection::ProofOfAnotherState),
        (40, Rejection::PartiesShareAccount),
        (41, Rejection::PartiesShareKey),
        (42, Rejection::LockPeriodOutOfBounds { got: 0, min: 0, max: 0 }),
        (43, Rejection::MaxForcedOutOfBounds { got: 0, max: 0 }),
        (44, Rejection::PenaltyAboveReserve { penalty: 0, reserve: 0 }),
        (45, Rejection::TooManyDelegates),
        (46, Rejection::BalanceBelowReserve { party, balance: 0, reserve: 0 }),
        (47, Rejection::SumMismatch { got: None, want: 0 }),
        (48, Rejection::VaultTooLow { party, have: 0, need: 0 }),
        (49, Rejection::VaultBalanceTooLow { have: 0, need: 0 }),
        (50, Rejection::AmountZero),
        (51, Rejection::AmountOverflow),
        (52, Rejection::BelowReserves { total: 0, amount: 0, need: 0 }),
        (53, Rejection::CannotAttach { have: 0, value: 0, reserve: 0 }),
        (55, Rejection::CallsMissing),
        (56, Rejection::CallsTooLarge),
        (57, Rejection::ContractNotShown { contract: ContractId([0; 32]) }),
        (58, Rejection::CallFailed { round: 0, fault: CallFault::Refused }),
        (60, Rejection::LimitsUnsound),
        (61, Rejection::TransferFailed),
    ];
    for (number, rejection) in numbered {
        assert_eq!(rejection.encode()[0], number, "{rejection:?}");
    }
    let (expiry, height) = (0, 0);
    let faults = [
        CallFault::Refused,
        CallFault::Failed,
        CallFault::Undecodable,
        CallFault::CodeNotThere,
        CallFault::TooLarge,
        CallFault::PaysTooMuch { balance: 0 },
        CallFault::Overflow,
        CallFault::BuiltinUnknown(0),
        CallFault::Malformed,
        CallFault::TakesNoCoins,
        CallFault::WrongPreimage,
        CallFault::TooLate { expiry },
        CallFault::TooEarly { expiry, height },
        CallFault::ShownInTime,
    ];
    for (number, fault) in (0..).zip(faults) {
        assert_eq!(fault.encode()[0], number, "{fault:?}");
    }
}
