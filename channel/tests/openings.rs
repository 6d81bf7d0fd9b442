//! What a responder accepts, and what an opening's messages must be (R6.7).

use crate::harness::{
    Initiator, LIMITS, PACE, PENALTY, RESERVE, Responder, SHARE, VALIDITY, World, account,
    chain::REFERENCE,
    forge::{create_call, sign},
    key, opening, party_terms, policy,
};
use channel::{
    Channel, ChannelAccept, ChannelOpen, CloseReason, Config, Context, FundingCreated, FundingSigned, Message, Misuse,
    NoApps, Notice, OpenRequest, Pace, Policy, PolicyRefusal, RefusalCode, Stage, Violation, transfer::NoTransfers,
};
use protocol::{
    AccountId, Amount, Hash, Pair, Party, Rejection, Signature,
    call::{Call, Create},
    crypto::SigningKey,
    terms::{Delegate, Limits, MAX_DELEGATES},
};

/// What a responder says to an opening.
fn accept(change: impl Fn(&mut ChannelOpen)) -> Result<Channel, Violation> {
    let mut open = opening();
    change(&mut open);
    accept_at(PACE, open)
}

/// What somebody knows that has seen block 100 and sees and answers at this pace.
fn context(key: &SigningKey, pace: Pace) -> Context<'_> {
    Context { key, now: 0, head: 100, apps: &NoApps, pace, transfers: &NoTransfers }
}

/// What one says that sees and answers at this pace.
fn accept_at(pace: Pace, open: ChannelOpen) -> Result<Channel, Violation> {
    let key = key(Responder);
    let ctx = context(&key, pace);
    let (peer, terms) = (open.initiator.key, party_terms(Responder));
    let peer = if open.initiator == party_terms(Initiator) { peer } else { crate::harness::key(Initiator).public() };
    Channel::accept(REFERENCE, peer, open, terms, &policy(), Config::default(), &ctx).map(|(channel, _)| channel)
}

fn refused(change: impl Fn(&mut ChannelOpen), refusal: PolicyRefusal) {
    let violation = accept(change).unwrap_err();
    assert_eq!(violation, Violation::Policy(refusal));
    assert_eq!(violation.code(), RefusalCode::POLICY);
}

#[test]
fn an_opening_at_the_edges_of_the_policy_is_accepted() {
    let accepted = accept(|open| {
        open.lock_period = policy().lock_period_max;
        open.reserve = policy().reserve_max;
        open.penalty = policy().penalty_max;
        open.shares.responder = policy().share_max;
        open.balances.responder = policy().share_max;
        open.validity = policy().validity_max;
    });
    assert_eq!(accepted.unwrap().status().state, Stage::Accepted);
    assert!(accept(|open| open.lock_period = policy().lock_period_min).is_ok());
    assert!(accept(|open| open.penalty = 0).is_ok());
    assert!(accept(|open| (open.shares, open.balances) = (Pair::new(SHARE, 0), Pair::new(SHARE - 10, 10))).is_ok());
}

#[test]
fn shares_that_are_together_more_than_the_chain_can_say_are_refused() {
    let most = policy().largest_amount;
    let all = |open: &mut ChannelOpen| {
        open.shares.initiator = most - SHARE;
        open.balances.initiator = most - SHARE;
    };
    assert!(accept(all).is_ok());
    for initiator in [most - SHARE + 1, most, Amount::MAX - SHARE] {
        let shares = Pair::new(initiator, SHARE);
        refused(|open| open.shares = shares, PolicyRefusal::AmountTooLarge { shares, most });
    }
}

#[test]
fn another_arbiter_is_refused() {
    refused(|open| open.domain.arbiter = AccountId([1; 32]), PolicyRefusal::Domain);
}

#[test]
fn another_chain_is_refused() {
    refused(|open| open.domain.genesis = Hash([1; 32]), PolicyRefusal::Domain);
}

#[test]
fn another_code_of_the_arbiter_is_refused() {
    let (got, want) = (Hash([1; 32]), policy().code_hash);
    refused(|open| open.code_hash = got, PolicyRefusal::CodeHash { got, want });
}

#[test]
fn a_lock_period_too_short_to_answer_in_is_refused() {
    let (min, max) = (policy().lock_period_min, policy().lock_period_max);
    refused(|open| open.lock_period = min - 1, PolicyRefusal::LockPeriod { got: min - 1, min, max });
}

#[test]
fn a_lock_period_too_long_is_refused() {
    let (min, max) = (policy().lock_period_min, policy().lock_period_max);
    refused(|open| open.lock_period = max + 1, PolicyRefusal::LockPeriod { got: max + 1, min, max });
}

#[test]
fn a_share_of_ours_too_large_is_refused() {
    let max = policy().share_max;
    let change = |open: &mut ChannelOpen| (open.shares.responder, open.balances.responder) = (max + 1, max + 1);
    refused(change, PolicyRefusal::Share { got: max + 1, max });
}

#[test]
fn a_reserve_too_large_is_refused() {
    let max = policy().reserve_max;
    refused(|open| open.reserve = max + 1, PolicyRefusal::Reserve { got: max + 1, min: policy().reserve_min, max });
}

#[test]
fn a_penalty_too_large_is_refused() {
    let max = policy().penalty_max;
    refused(
        |open| (open.penalty, open.reserve) = (max + 1, policy().reserve_max),
        PolicyRefusal::Penalty { got: max + 1, min: policy().penalty_min, max },
    );
}

#[test]
fn a_reserve_or_a_penalty_below_what_the_operator_asks_for_is_refused() {
    let policy = Policy { reserve_min: RESERVE, penalty_min: PENALTY, ..policy() };
    assert_eq!(policy.check(&opening(), PACE), Ok(()));
    let low = ChannelOpen { reserve: RESERVE - 1, ..opening() };
    let refusal = PolicyRefusal::Reserve { got: RESERVE - 1, min: RESERVE, max: policy.reserve_max };
    assert_eq!(policy.check(&low, PACE), Err(refusal));
    let low = ChannelOpen { penalty: PENALTY - 1, ..opening() };
    let refusal = PolicyRefusal::Penalty { got: PENALTY - 1, min: PENALTY, max: policy.penalty_max };
    assert_eq!(policy.check(&low, PACE), Err(refusal));
}

#[test]
fn a_validity_of_nothing_or_too_long_is_refused() {
    let max = policy().validity_max;
    for got in [0, max + 1] {
        refused(|open| open.validity = got, PolicyRefusal::Validity { got, max });
    }
}

#[test]
fn starting_with_less_than_we_put_in_is_refused() {
    let change = |open: &mut ChannelOpen| open.balances = Pair::new(SHARE + 1, SHARE - 1);
    refused(change, PolicyRefusal::PushFromResponder);
}

#[test]
fn an_opening_in_the_name_of_another_key_is_refused() {
    let violation = accept(|open| open.initiator.key = key(Responder).public()).unwrap_err();
    assert_eq!(violation, Violation::SignatureInvalid);
}

#[test]
fn what_the_arbiter_would_refuse_is_refused_by_the_responder() {
    let bad = |change: &dyn Fn(&mut ChannelOpen)| match accept(change).unwrap_err() {
        Violation::BadTerms(rejection) => rejection,
        other => panic!("{other:?}"),
    };
    assert_eq!(bad(&|open| open.initiator.account = account(Responder)), Rejection::PartiesShareAccount);
    assert_eq!(
        bad(&|open| open.initiator.delegates = vec![Delegate::defender(AccountId([1; 32])); MAX_DELEGATES + 1]),
        Rejection::TooManyDelegates
    );
    assert!(matches!(bad(&|open| open.max_forced = 0), Rejection::MaxForcedOutOfBounds { .. }));
    assert!(matches!(bad(&|open| open.max_forced = 17), Rejection::MaxForcedOutOfBounds { .. }));
    assert!(matches!(bad(&|open| open.penalty = 11), Rejection::PenaltyAboveReserve { .. }));
    assert!(matches!(bad(&|open| open.balances.initiator += 1), Rejection::SumMismatch { .. }));
    assert!(matches!(
        bad(&|open| (open.shares, open.balances) = (Pair::new(5, SHARE), Pair::new(5, SHARE))),
        Rejection::BalanceBelowReserve { party: Initiator, .. }
    ));
    assert_eq!(
        bad(&|open| (open.shares.initiator, open.balances.initiator) = (u128::MAX, u128::MAX)),
        Rejection::AmountOverflow
    );
}

#[test]
fn what_the_arbiter_would_refuse_is_refused_to_the_initiators_user() {
    let mut open = opening();
    open.lock_period = LIMITS.lock_period_max + 1;
    assert!(matches!(World::new().propose(open), Err(Misuse::WouldBeRefused(Rejection::LockPeriodOutOfBounds { .. }))));
    let mut open = opening();
    open.validity = LIMITS.validity_max + 1;
    assert!(matches!(World::new().propose(open), Err(Misuse::WouldBeRefused(Rejection::ExpiryTooFar { .. }))));
}

#[test]
fn a_refused_opening_ends_on_both_sides_with_the_code() {
    let mut world = World::new();
    world.sides[Responder].policy.reserve_max = 1;
    world.open();
    world.run();
    assert_eq!(world.sides[Initiator].closed(), Some(CloseReason::NotOpened { code: Some(RefusalCode::POLICY) }));
    assert!(world.sides[Responder].channel.is_none());
}

fn violation(world: &World, party: Party) -> Violation {
    match world.sides[party].noticed.last() {
        Some(Notice::PeerViolated(violation)) => violation.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_acceptance_in_other_names_is_refused() {
    let mut world = World::new();
    world.open();
    let mut cases = vec![(party_terms(Initiator), Violation::SignatureInvalid)];
    let mut same_account = party_terms(Responder);
    same_account.account = account(Initiator);
    cases.push((same_account, Violation::BadTerms(Rejection::PartiesShareAccount)));
    let mut crowd = party_terms(Responder);
    crowd.delegates = vec![Delegate::defender(AccountId([1; 32])); MAX_DELEGATES + 1];
    cases.push((crowd, Violation::BadTerms(Rejection::TooManyDelegates)));
    for (responder, want) in cases {
        world.hear(
            Initiator,
            Message::ChannelAccept(ChannelAccept {
                responder,
                transfers: channel::transfer::TransferLimits::default(),
            }),
        );
        assert_eq!(violation(&world, Initiator), want);
        assert_eq!(world.sides[Initiator].state(), "initialized");
        let Message::Error { code } = world.steal(Responder) else { panic!("the refusal") };
        assert_eq!(code, want.code());
    }
    world.run();
    assert_eq!(world.states(), ("signed", "signed"));
}

#[test]
fn an_opening_signed_wrongly_is_refused_by_the_responder() {
    let mut world = World::new();
    world.open();
    assert!(world.deliver(Responder) && world.deliver(Initiator));
    let Message::FundingCreated(sound) = world.steal(Responder) else { panic!("the signature") };
    let head = world.chain.head();
    let max = head + VALIDITY + 20;
    let cases = [
        (FundingCreated { signature: Signature([1; 64]), ..sound }, Violation::SignatureInvalid),
        (FundingCreated { nonce: 1, ..sound }, Violation::SignatureInvalid),
        (FundingCreated { valid_until: sound.valid_until + 1, ..sound }, Violation::SignatureInvalid),
        (
            FundingCreated { valid_until: max + 1, ..sound },
            Violation::ValidityOutOfBounds { got: max + 1, min: head, max },
        ),
    ];
    for (created, want) in cases {
        world.hear(Responder, Message::FundingCreated(created));
        assert_eq!(violation(&world, Responder), want);
        assert_eq!(world.sides[Responder].state(), "accepted");
    }
    world.hear(Responder, Message::FundingCreated(sound));
    assert_eq!(world.sides[Responder].state(), "signed");
}

#[test]
fn an_opening_signed_too_late_ends_without_a_signature() {
    let mut world = World::new();
    world.open();
    assert!(world.deliver(Responder) && world.deliver(Initiator));
    world.mine_blocks(VALIDITY + 1);
    assert!(world.deliver(Responder));
    let timeout = Some(CloseReason::NotOpened { code: Some(RefusalCode::TIMEOUT) });
    assert_eq!(world.sides[Responder].closed(), timeout);
    world.run();
    assert_eq!(world.sides[Initiator].closed(), Some(CloseReason::OpeningExpired { rejection: None }));
}

#[test]
fn an_answer_signed_wrongly_is_refused_by_the_initiator() {
    let mut world = World::new();
    world.open();
    assert!(world.deliver(Responder) && world.deliver(Initiator));
    let Some(&Message::FundingCreated(created)) = world.wire[Responder].front() else { panic!("the signature") };
    assert!(world.deliver(Responder));
    let Message::FundingSigned(sound) = world.steal(Initiator) else { panic!("the answer") };
    let Call::ChannelCreate(Create { mut body, .. }) = create_call(&opening(), created, sound) else {
        panic!("a create")
    };
    body.valid_until += 1;
    let other = sign(Responder, world.channel_id(), &body);
    for signature in [Signature([1; 64]), created.signature, other] {
        world.hear(Initiator, Message::FundingSigned(FundingSigned { signature }));
        assert_eq!(violation(&world, Initiator), Violation::SignatureInvalid);
        assert_eq!(world.sides[Initiator].state(), "half_signed");
    }
    assert_eq!(world.chain.times_asked(Initiator, "channel_create"), 0);
    world.hear(Initiator, Message::FundingSigned(sound));
    assert_eq!(world.sides[Initiator].state(), "signed");
}

#[test]
fn an_opening_that_is_never_answered_is_over_when_its_signature_is() {
    let mut world = World::new();
    world.open();
    assert!(world.deliver(Responder) && world.deliver(Initiator) && world.deliver(Responder));
    let _lost = world.steal(Initiator);
    world.mine_blocks(VALIDITY);
    assert_eq!(world.states(), ("half_signed", "signed"), "in its last block it still counts");
    world.mine();
    assert_eq!(world.states(), ("closed", "closed"));
}

#[test]
fn a_refusal_before_anybody_signed_ends_the_opening_and_afterwards_does_not() {
    let mut world = World::new();
    world.open();
    assert!(world.deliver(Responder));
    world.hear(Initiator, Message::Error { code: RefusalCode::BUSY });
    assert_eq!(world.sides[Initiator].closed(), Some(CloseReason::NotOpened { code: Some(RefusalCode::BUSY) }));

    let mut world = World::new();
    world.open();
    assert!(world.deliver(Responder) && world.deliver(Initiator));
    // The peer may hold our signature and use it until it expires, whatever it says.
    world.hear(Initiator, Message::Error { code: RefusalCode::BUSY });
    assert_eq!(world.sides[Initiator].state(), "half_signed");
}

#[test]
fn a_nonce_of_other_accounts_or_an_unasked_one_changes_nothing() {
    let mut world = World::new();
    world.answer_nonce = false;
    world.open();
    world.run();
    let ids = Pair::new(party_terms(Initiator).id(), party_terms(Responder).id());
    let nonce = |parties| channel::Input::Chain(channel::ChainInput::Nonce { parties, nonce: 0 });
    let mut others = ids;
    others.responder.account = AccountId([1; 32]);
    world.input(Initiator, nonce(others)).unwrap();
    assert_eq!(world.sides[Initiator].state(), "initialized");
    let mut others = ids;
    others.responder.key = protocol::PublicKey([1; 32]);
    world.input(Initiator, nonce(others)).unwrap();
    assert_eq!(world.sides[Initiator].state(), "initialized");
    world.input(Initiator, nonce(ids)).unwrap();
    assert_eq!(world.sides[Initiator].state(), "half_signed");
    world.input(Initiator, nonce(ids)).unwrap();
    world.run();
    assert_eq!(world.states(), ("signed", "signed"));
}

#[test]
fn a_lock_period_that_leaves_no_time_to_answer_is_neither_proposed_nor_accepted() {
    let slow = Pace { look_within: 7, include_within: 3 };
    for (pace, max_forced, min) in [(slow, 1, 13), (slow, 2, 13), (slow, 4, 19), (PACE, 3, 5), (PACE, 9, 10)] {
        for lock_period in [min - 1, min] {
            let open = ChannelOpen { lock_period, max_forced, ..opening() };
            let accepted = accept_at(pace, open.clone()).map(drop);
            let limits = Limits { max_forced_max: 9, ..LIMITS };
            let key = key(Initiator);
            let ctx = context(&key, pace);
            let request =
                OpenRequest { reference: REFERENCE, peer: crate::harness::key(Responder).public(), open, limits };
            let proposed = Channel::propose(request, Config::default(), &ctx).map(drop);
            if lock_period < min {
                let (got, max) = (lock_period, policy().lock_period_max);
                assert_eq!(accepted, Err(Violation::Policy(PolicyRefusal::LockPeriod { got, min, max })));
                if min > policy().lock_period_min {
                    assert_eq!(proposed, Err(Misuse::LockTooShort { got, min }));
                }
            } else {
                assert_eq!((accepted, proposed), (Ok(()), Ok(())));
            }
        }
    }
}
