//! Windows, limits and terms at their bounds, delegates, and what a channel's id is made of (R5.2, R5.3, R5.13).

use crate::*;
use protocol::terms::MAX_FORCED_PER_BASE;

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
fn limits_are_sound_when_nothing_is_zero_or_crossed() {
    let limits = |lock_period_min, lock_period_max, validity_max, max_forced_max| Limits {
        lock_period_min,
        lock_period_max,
        validity_max,
        max_forced_max,
        call_weight: CallWeight::STANDARD,
    };
    let sound = |min, max, validity, forced| limits(min, max, validity, forced).check().is_ok();
    assert!(sound(1, 1, 1, 1) && sound(1, u32::MAX, u32::MAX, MAX_FORCED_PER_BASE));
    assert!(!sound(1, 1, 1, MAX_FORCED_PER_BASE + 1) && !sound(1, 1, 1, u8::MAX));
    assert!(!sound(0, 1, 1, 1) && !sound(0, 0, 1, 1) && !sound(2, 1, 1, 1) && !sound(1, 1, 0, 1) && !sound(1, 1, 1, 0));
    for (ref_time, proof_size, expected) in [(0, 1, false), (1, 0, false), (1, 1, true)] {
        let weighed = Limits { call_weight: CallWeight { ref_time, proof_size }, ..limits(1, 1, 1, 1) }.check();
        assert_eq!(weighed.is_ok(), expected);
        assert!(expected || weighed == Err(Rejection::LimitsUnsound));
    }
}

#[test]
fn terms_are_within_the_arbiters_limits() {
    let limits = Limits { lock_period_min: 10, lock_period_max: 30, ..LIMITS };
    let checked = |change: fn(&mut Terms)| {
        let mut terms = record(1, 0, &balances(60)).terms;
        change(&mut terms);
        terms.check(&limits)
    };
    assert_eq!(protocol::terms::MAX_DELEGATES, 8);
    let lock = |got| Err(Rejection::LockPeriodOutOfBounds { got, min: 10, max: 30 });
    let forced = |got| Err(Rejection::MaxForcedOutOfBounds { got, max: 4 });
    type Line = (fn(&mut Terms), Result<(), Rejection>);
    let lines: [Line; 17] = [
        (|_| {}, Ok(())),
        (|terms| terms.lock_period = 9, lock(9)),
        (|terms| terms.lock_period = 10, Ok(())),
        (|terms| terms.lock_period = 30, Ok(())),
        (|terms| terms.lock_period = 31, lock(31)),
        (|terms| terms.max_forced = 0, forced(0)),
        (|terms| terms.max_forced = 1, Ok(())),
        (|terms| terms.max_forced = 4, Ok(())),
        (|terms| terms.max_forced = 5, forced(5)),
        (|terms| terms.penalty = terms.reserve, Ok(())),
        (|terms| terms.penalty = 11, Err(Rejection::PenaltyAboveReserve { penalty: 11, reserve: 10 })),
        (|terms| terms.parties.responder.account = account(Party::Initiator), Err(Rejection::PartiesShareAccount)),
        (|terms| terms.parties.responder.key = keys().initiator.public(), Err(Rejection::PartiesShareKey)),
        (|terms| terms.parties.initiator.delegates = vec![Delegate::defender(DEFENDER); 8], Ok(())),
        (|terms| terms.parties.responder.delegates = vec![Delegate::caller(DEFENDER); 8], Ok(())),
        (
            |terms| terms.parties.initiator.delegates = vec![Delegate::defender(DEFENDER); 9],
            Err(Rejection::TooManyDelegates),
        ),
        (
            |terms| terms.parties.responder.delegates = vec![Delegate::caller(DEFENDER); 9],
            Err(Rejection::TooManyDelegates),
        ),
    ];
    for (place, (change, expected)) in lines.into_iter().enumerate() {
        assert_eq!(checked(change), expected, "line {place}");
    }
}

#[test]
fn of_a_delegate_named_twice_the_greater_power_counts() {
    let (one, two) = (Delegate::defender(DEFENDER), Delegate::caller(DEFENDER));
    assert_eq!(one.power, Power::default(), "to slash and snapshot, unless the terms say more");
    for (delegates, expected) in [
        (vec![], None),
        (vec![Delegate::caller(CALLER)], None),
        (vec![one], Some(Power::Defend)),
        (vec![two], Some(Power::Call)),
        (vec![one, two], Some(Power::Call)),
        (vec![two, one], Some(Power::Call)),
        (vec![one, one], Some(Power::Defend)),
    ] {
        let mut party = record(1, 0, &balances(60)).terms.parties.initiator;
        party.delegates = delegates;
        assert_eq!(party.power_of(&DEFENDER), expected);
    }
}

#[test]
fn parties_and_the_delegates_of_both_defend_and_nobody_else() {
    let terms = with_delegates(record(1, 0, &balances(60))).terms;
    for who in [account(Party::Initiator), account(Party::Responder), DEFENDER, CALLER] {
        assert!(terms.may_defend(&who));
    }
    assert!(!terms.may_defend(&STRANGER));
    for party in Party::BOTH {
        assert_eq!(terms.party_of(&account(party)), Some(party));
    }
    assert_eq!((terms.party_of(&DEFENDER), terms.party_of(&STRANGER)), (None, None));
}

/// R5.2: domain, accounts, keys, nonce, and which of the two is the initiator.
#[test]
fn a_channels_id_is_of_domain_accounts_keys_and_nonce() {
    let id = |account, key| PartyId { account: AccountId([account; 32]), key: protocol::PublicKey([key; 32]) };
    let (one, two) = (id(11, 12), id(21, 22));
    let of = |domain: &Domain, parties: Pair<PartyId>, nonce| channel_id(domain, &parties, nonce, &Native);
    let honest = of(&DOMAIN, Pair::new(one, two), 5);
    let bytes = [
        &b"ink-statechannel"[..],
        &1u16.to_le_bytes(),
        &[1; 32],
        &[2; 32],
        &[11; 32],
        &[12; 32],
        &[21; 32],
        &[22; 32],
        &5u64.to_le_bytes(),
    ];
    assert_eq!(honest.0, Native.hash(&bytes.concat()).0);
    let others = [
        of(&Domain { genesis: OURS, ..DOMAIN }, Pair::new(one, two), 5),
        of(&Domain { arbiter: AccountId([9; 32]), ..DOMAIN }, Pair::new(one, two), 5),
        of(&DOMAIN, Pair::new(two, one), 5),
        of(&DOMAIN, Pair::new(id(9, 12), two), 5),
        of(&DOMAIN, Pair::new(id(11, 9), two), 5),
        of(&DOMAIN, Pair::new(one, id(9, 22)), 5),
        of(&DOMAIN, Pair::new(one, id(21, 9)), 5),
        of(&DOMAIN, Pair::new(one, two), 6),
    ];
    let different: std::collections::BTreeSet<_> = others.into_iter().chain([honest]).collect();
    assert_eq!(different.len(), 9);
}
