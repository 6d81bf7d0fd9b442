//! The rules alone, where a chain could not get at them: every place in a forced chain, numbers at the end of their range, and tables that
//! are cheaper to read in full here.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

#[path = "rules/closing.rs"]
mod closing;
#[path = "rules/terms.rs"]
mod terms;

use protocol::{
    AccountId, Amount, Base, BlockNumber, ChannelId, Hash, Mark, Maturity, Pair, Party, PartyId, Rejection, Round,
    Signature, StateCommitment,
    arbiter::{
        CallContext, CallOutcome, Candidate, Standing, close_solo, deposit, settle, slash, snapshot_solo, standing,
        vault,
    },
    call::{CloseSolo, Deposit, Payload, Slash, SnapshotSolo},
    contracts::{CallFault, ContractId},
    crypto::{Crypto, Native, SigningKey},
    decode_exact,
    event::ArbiterEvent,
    record::{Closing, OnChain, Penalty, Phase, Record},
    signing::{DepositBody, Domain, StateBody, signed_bytes},
    terms::{CallWeight, Delegate, Destination, Limits, PartyTerms, Power, Terms, channel_id},
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

fn at(now: BlockNumber, caller: AccountId) -> CallContext {
    CallContext { domain: DOMAIN, limits: LIMITS, now, caller }
}

fn balances(initiator: Amount) -> StateCommitment {
    StateCommitment::of_balances(Pair::new(initiator, TOTAL - initiator))
}

/// A co-signed round that goes on from the co-signed round 7.
fn payload(round: Round, commitment: &StateCommitment) -> Payload {
    payload_on(Base::of(7), round, commitment)
}

fn payload_on(base: Base, round: Round, commitment: &StateCommitment) -> Payload {
    let body = StateBody { round, base, state_hash: commitment.hash(&Native), valid_until: None };
    let bytes = signed_bytes(&DOMAIN, &CHANNEL, &body);
    let signatures = keys().as_ref().map(|key| key.sign(&bytes));
    Payload { round, base, state_hash: body.state_hash, valid_until: None, signatures }
}

/// Marks as the arbiter stores them.
fn maturity(floor: Base, marks: &[Mark]) -> Maturity {
    decode_exact(&(floor, marks).encode()).unwrap()
}

fn base(agreed: Round, steps: u32) -> Base {
    Base { agreed, steps }
}

/// An open channel whose state on chain is this one: so many steps were forced on the co-signed round, in block 95.
fn record(agreed: Round, steps: u32, state: &StateCommitment) -> Record {
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
        on_chain: OnChain { at: base(agreed, steps), state_hash: state.hash(&Native), maturity: marked(agreed, steps) },
        forced_steps: if steps > 0 { Pair::new(1, 2) } else { Pair::default() },
        phase: Phase::Open,
    }
}

fn marked(agreed: Round, steps: u32) -> Maturity {
    let mark = (steps > 0).then_some(Mark { reached: base(agreed, steps), block: 95 });
    maturity(Base::default(), mark.as_slice())
}

/// A co-signed state that took the place of a chain forced on round 7: its mark stays.
fn after_chain(round: Round, state: &StateCommitment) -> Record {
    let mut record = record(round, 0, state);
    record.on_chain.maturity = marked(7, 3);
    record
}

/// Delegates of both powers, one of each side.
const DEFENDER: AccountId = AccountId([33; 32]);
const CALLER: AccountId = AccountId([34; 32]);
const STRANGER: AccountId = AccountId([9; 32]);

fn with_delegates(mut record: Record) -> Record {
    record.terms.parties.initiator.delegates = vec![Delegate::defender(DEFENDER)];
    record.terms.parties.responder.delegates = vec![Delegate::caller(CALLER)];
    record
}

fn stands(record: &Record, round: Round, state_hash: Hash) -> Result<Standing, Rejection> {
    let candidate = Candidate { round, base: Base::of(7), state_hash, valid_until: None };
    standing(&record.on_chain, &record.terms, &candidate, 100)
}

#[test]
fn a_co_signed_state_stands_to_a_co_signed_one_by_its_round() {
    let on_chain = on_chain(10, 0);
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
        assert_eq!(stands(&on_chain, round, hash), expected, "round {round}");
    }
}

/// A record whose state on chain has the hash of [`OURS`].
fn on_chain(agreed: Round, steps: u32) -> Record {
    let mut record = record(agreed, steps, &balances(60));
    record.on_chain.state_hash = OURS;
    record
}

#[test]
fn a_co_signed_state_replaces_a_whole_forced_chain_from_its_first_round_on() {
    // Forced are the rounds 8, 9 and 10.
    let on_chain = on_chain(7, 3);
    assert_eq!((on_chain.on_chain.round(), on_chain.on_chain.is_forced()), (10, true));
    for (round, hash, expected) in [
        (15, OTHER, Ok(Standing::Newer)),
        (11, OTHER, Ok(Standing::Newer)),
        // The forced tip itself is no known state: nobody co-signed it, even where the hash is the same.
        (10, OURS, Ok(Standing::Newer)),
        (10, OTHER, Ok(Standing::Newer)),
        (9, OTHER, Ok(Standing::Newer)),
        (8, OTHER, Ok(Standing::Newer)),
        // Nor is the round that the chain went on from, any more.
        (7, OURS, Err(Rejection::RoundTooOld { got: 7, have: 7 })),
        (7, OTHER, Err(Rejection::RoundTooOld { got: 7, have: 7 })),
        (6, OTHER, Err(Rejection::RoundTooOld { got: 6, have: 7 })),
        (0, OTHER, Err(Rejection::RoundTooOld { got: 0, have: 7 })),
    ] {
        assert_eq!(stands(&on_chain, round, hash), expected, "round {round}");
    }
}

#[test]
fn a_forced_chain_of_one_round_is_replaced_by_that_round() {
    let on_chain = on_chain(7, 1);
    assert_eq!(stands(&on_chain, 8, OURS), Ok(Standing::Newer));
    assert_eq!(stands(&on_chain, 7, OURS), Err(Rejection::RoundTooOld { got: 7, have: 7 }));
}

#[test]
fn at_the_end_of_the_rounds_nothing_wraps_round() {
    let last = on_chain(u64::MAX, 0);
    assert_eq!(stands(&last, u64::MAX, OURS), Ok(Standing::AlreadyKnown));
    let old = Err(Rejection::RoundTooOld { got: u64::MAX - 1, have: u64::MAX });
    assert_eq!(stands(&last, u64::MAX - 1, OURS), old);
    assert_eq!((base(u64::MAX, 1).round(), base(u64::MAX - 1, 1).round()), (u64::MAX, u64::MAX));
}

#[test]
fn a_snapshot_ends_a_forced_chain_even_where_the_round_goes_down_and_its_mark_stays() {
    for round in [8, 9, 10, 11] {
        let call = SnapshotSolo { channel: CHANNEL, payload: payload(round, &balances(30)) };
        let before = record(7, 3, &balances(60));
        let ctx = at(100, account(Party::Responder));
        let CallOutcome { record: after, .. } = snapshot_solo(&ctx, before, &call, &Native).unwrap();
        assert_eq!(after, Some(after_chain(round, &balances(30))), "no forced step counts any more");
    }
    let call = SnapshotSolo { channel: CHANNEL, payload: payload(7, &balances(30)) };
    let refused = snapshot_solo(&at(100, account(Party::Responder)), record(7, 3, &balances(60)), &call, &Native);
    assert_eq!(refused, Err(Rejection::RoundTooOld { got: 7, have: 7 }));
}

#[test]
fn a_deposit_ends_a_forced_chain_even_where_the_round_goes_down() {
    let body = DepositBody {
        party: Party::Initiator,
        amount: 7,
        round: 8,
        base: Base::of(7),
        state_hash: OTHER,
        valid_until: 100,
    };
    let bytes = signed_bytes(&DOMAIN, &CHANNEL, &body);
    let signatures = keys().as_ref().map(|key| key.sign(&bytes));
    let call = Deposit { channel: CHANNEL, body, signatures };
    let ctx = at(100, account(Party::Initiator));
    let after = deposit(&ctx, record(7, 3, &balances(60)), call, &Native).unwrap().record.unwrap();
    let OnChain { at, state_hash, maturity } = after.on_chain;
    assert_eq!((at, state_hash, maturity), (Base::of(8), OTHER, marked(7, 3)));
    assert_eq!((after.forced_steps, after.total), (Pair::new(0, 0), 107));
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
    let (party, base) = (Party::Initiator, Base::of(1));
    let body = DepositBody { party, amount: Amount::MAX, round: 2, base, state_hash: OTHER, valid_until: 100 };
    let bytes = signed_bytes(&DOMAIN, &CHANNEL, &body);
    let signatures = keys().as_ref().map(|key| key.sign(&bytes));
    let call = Deposit { channel: CHANNEL, body, signatures };
    let refused = deposit(&at(100, account(Party::Initiator)), record(1, 0, &balances(60)), call, &Native);
    assert_eq!(refused, Err(Rejection::AmountOverflow));
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
        (5, Rejection::DelegateMayNotCall { party }),
        (10, Rejection::NotOpen),
        (11, Rejection::NotClosing),
        (12, Rejection::StillLocked { unlock_at: 0, now: 0 }),
        (13, Rejection::StateFinal),
        (14, Rejection::PartiesSettleFirst { from: 0, now: 0 }),
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
        (39, Rejection::BaseTooOld { got: Base::of(0), floor: Base::of(0) }),
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
        (54, Rejection::NonceOutOfBounds { got: 0, next: 0 }),
        (55, Rejection::CallsMissing),
        (56, Rejection::CallsTooLarge),
        (57, Rejection::ContractNotShown { contract: ContractId([0; 32]) }),
        (58, Rejection::CallFailed { round: 0, fault: CallFault::Refused }),
        (59, Rejection::StepTooLarge),
        (60, Rejection::LimitsUnsound),
        (61, Rejection::TransferFailed),
        (62, Rejection::ListLength { got: 0, max: 0 }),
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
        CallFault::OutputTooLong,
    ];
    for (number, fault) in (0..).zip(faults) {
        assert_eq!(fault.encode()[0], number, "{fault:?}");
    }
}
