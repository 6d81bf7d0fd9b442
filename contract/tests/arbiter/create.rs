//! `channel_create` (R5.1 to R5.4a): a healthy opening, and every single way in which one can be wrong.

use crate::harness::*;
use protocol::{
    AccountId, Amount, BlockNumber, Hash, Pair, Party, PublicKey, Rejection, Signature,
    call::{Call, Create},
    crypto::{Crypto, Native},
    event::ArbiterEvent,
    record::{OnChain, Phase, Record},
    signing::{CreateBody, Kind},
    terms::{Delegate, MAX_DELEGATES, Power},
};
use scale::Encode;
use sdk::chain::{Chain, arbiter::ChannelEvent};

#[tokio::test]
async fn opening_stores_the_record_takes_both_shares_and_announces_the_channel() {
    let mut world = World::funded().await;
    let before = world.snapshot().await;
    let body = create_body(world.now() + 5);
    let call = world.create_call(&body);
    let channel = world.next_channel(&parties());

    let dry_run = world.chain.dry_run(&Actor::Initiator.id(), &world.arbiter.transaction(&call, 0)).await.unwrap();
    assert_eq!(dry_run.returned, [&[0, 0], &channel.id.0[..]].concat(), "it answers the channel's id");
    let done = world.accept(Actor::Initiator, &call, 0).await;

    let state = (BALANCES.initiator, BALANCES.responder, [0u8; 32], [0u8; 32]);
    let record = Record {
        terms: terms(),
        total: TOTAL,
        on_chain: OnChain::agreed(1, Native.hash(&state.encode())),
        forced_steps: Pair::new(0, 0),
        phase: Phase::Open,
    };
    let event = ArbiterEvent::ChannelCreated { record: record.clone() };
    assert_eq!(done.events, [ChannelEvent { channel: channel.id, event, payouts: Vec::new() }]);
    assert_eq!(done.receipt.events[0].topics[1], Hash(channel.id.0), "indexed by channel");
    assert_eq!(world.record(&channel).await, Some(record));

    let after = world.snapshot().await;
    assert_eq!(after.vaults[&Actor::Initiator.vault()], VAULT - SHARES.initiator);
    assert_eq!(after.vaults[&Actor::Responder.vault()], VAULT - SHARES.responder);
    assert_eq!(after.free[&world.address()], before.free[&world.address()], "the coins were in the arbiter already");
    assert_eq!(after.nonces[&parties()], 1);
    assert_eq!(after.info.items, before.info.items + 2, "a record, and the pair's nonce");
    let deposit = Amount::try_from(done.receipt.storage_deposit).unwrap();
    assert_eq!(deposit, after.info.deposit - before.info.deposit, "whoever submits pays the storage deposit");
}

#[tokio::test]
async fn anybody_may_submit_what_both_signed() {
    let world = World::funded().await;
    for who in Actor::ALL {
        let mut world = world.fork_for(&who).await;
        let call = world.create_call(&create_body(world.now()));
        let _done = world.accept(who, &call, 0).await;
    }
}

#[tokio::test]
async fn what_the_caller_attaches_counts_for_the_caller() {
    // Vault before, coins attached, vault after: the share is 100 units, of which the vault may hold any part.
    for (vault, attached, left) in
        [(0, SHARES.initiator, 0), (SHARES.initiator - 1, 1, 0), (SHARES.initiator, 7, 7), (0, SHARES.initiator + 1, 1)]
    {
        println!("{vault} in the vault, {attached} attached");
        let mut world = World::deployed().await;
        let _done = world.accept(Actor::Responder, &Actor::Responder.vault_deposit(), VAULT).await;
        if vault > 0 {
            let _done = world.accept(Actor::Initiator, &Actor::Initiator.vault_deposit(), vault).await;
        }
        let call = world.create_call(&create_body(world.now()));
        let _done = world.accept(Actor::Initiator, &call, attached).await;
        assert_eq!(world.vault(&Actor::Initiator.vault()), left);
    }
}

#[tokio::test]
async fn what_a_party_attaches_beyond_its_share_goes_to_its_vault() {
    for (who, share) in [(Actor::Initiator, SHARES.initiator), (Actor::Responder, SHARES.responder)] {
        let mut world = World::funded().await;
        let call = world.create_call(&create_body(world.now()));
        let _done = world.accept(who, &call, 3 * UNIT).await;
        assert_eq!(world.vault(&who.vault()), VAULT - share + 3 * UNIT);
    }
}

mutations! {
    /// Openings on the very edge of what is allowed.
    Edge {
        /// In the last block in which it counts (R5.3).
        ValidUntilNow,
        ValidUntilTheNextBlock,
        /// As far ahead as the arbiter allows (R5.13).
        ValidAsLongAsAllowed,
        ShortestLock,
        LongestLock,
        OneForcedStep,
        MostForcedSteps,
        PenaltyOfTheWholeReserve,
        NoPenalty,
        NoReserve,
        BothAtTheReserve,
        MostDelegates,
        NoDelegates,
        InitiatorsWholeVault,
        RespondersWholeVault,
        /// One funds it all and pushes a part to the other.
        OnlyTheInitiatorPays,
        /// All coins of the channel belong to one of them.
        AllToTheResponder,
        /// Useless, but harmless.
        NothingAtAll,
    }
}

impl Edge {
    fn of(self, now: BlockNumber) -> CreateBody {
        let mut body = create_body(now + 1);
        let CreateBody { terms, balances, shares, valid_until } = &mut body;
        match self {
            Self::ValidUntilNow => *valid_until = now,
            Self::ValidUntilTheNextBlock => *valid_until = now + 1,
            Self::ValidAsLongAsAllowed => *valid_until = now + LIMITS.validity_max,
            Self::ShortestLock => terms.lock_period = LIMITS.lock_period_min,
            Self::LongestLock => terms.lock_period = LIMITS.lock_period_max,
            Self::OneForcedStep => terms.max_forced = 1,
            Self::MostForcedSteps => terms.max_forced = LIMITS.max_forced_max,
            Self::PenaltyOfTheWholeReserve => terms.penalty = RESERVE,
            Self::NoPenalty => terms.penalty = 0,
            Self::NoReserve => (terms.reserve, terms.penalty) = (0, 0),
            Self::BothAtTheReserve => {
                *balances = Pair::new(RESERVE, RESERVE);
                *shares = Pair::new(2 * RESERVE, 0);
            }
            Self::MostDelegates => {
                terms.parties.initiator.delegates = crowd(1, MAX_DELEGATES);
                terms.parties.responder.delegates = crowd(2, MAX_DELEGATES);
            }
            Self::NoDelegates => terms.parties.responder.delegates.clear(),
            Self::InitiatorsWholeVault => give(shares, balances, Party::Initiator, VAULT),
            Self::RespondersWholeVault => give(shares, balances, Party::Responder, VAULT),
            Self::OnlyTheInitiatorPays => *shares = Pair::new(TOTAL, 0),
            Self::AllToTheResponder => {
                (terms.reserve, terms.penalty) = (0, 0);
                *balances = Pair::new(0, TOTAL);
            }
            Self::NothingAtAll => {
                (terms.reserve, terms.penalty) = (0, 0);
                (*balances, *shares) = (Pair::new(0, 0), Pair::new(0, 0));
            }
        }
        body
    }
}

fn crowd(account: u8, size: usize) -> Vec<Delegate> {
    vec![Delegate::caller(AccountId([account; 32])); size]
}

/// Makes `party` put in `share`, all of it for itself.
fn give(shares: &mut Pair<Amount>, balances: &mut Pair<Amount>, party: Party, share: Amount) {
    (*shares, *balances) = (SHARES, SHARES);
    shares[party] = share;
    balances[party] = share;
}

#[tokio::test]
async fn openings_on_the_edge_of_what_is_allowed_succeed() {
    let world = World::funded().await;
    for &edge in Edge::ALL {
        let mut world = world.fork_for(&edge).await;
        let _channel = world.create(&edge.of(world.now())).await;
    }
}

mutations! {
    /// One thing wrong with an opening that both parties signed all the same.
    Mutation {
        /// R5.3: agreed too long ago.
        ExpiredOneBlockAgo,
        /// R5.13: an opening that hangs over both parties for longer than the arbiter allows.
        ValidTooLong,
        /// R5.13: a close that nobody could answer.
        LockPeriodZero,
        LockPeriodBelowMinimum,
        LockPeriodAboveMaximum,
        LockPeriodBeyondTime,
        /// R5.10: a party that could never force anything.
        NoForcedSteps,
        /// R5.10: a dispute that would take too long.
        TooManyForcedSteps,
        /// R5.9: nothing would be left to pay the rest of the penalty from.
        PenaltyAboveReserve,
        /// Each delegate is read with every dispute call: a bound on what a peer makes one pay for.
        TooManyDelegatesOfInitiator,
        TooManyDelegatesOfResponder,
        /// One account would be both sides.
        SameAccount,
        /// One key would be both signatures.
        SameKey,
        /// R4.4
        InitiatorBelowReserve,
        ResponderBelowReserve,
        /// R5.4a: coins from nowhere.
        SharesOneShort,
        /// R5.4a: coins to nowhere.
        SharesOneOver,
        /// R3.3: shares whose sum wraps round.
        SharesOverflow,
        /// R3.3: balances whose sum wraps round to something small.
        BalancesOverflow,
        /// R5.1: the initiator's vault is one coin short.
        InitiatorsVaultTooLow,
        /// R5.1: the responder's vault is one coin short.
        RespondersVaultTooLow,
    }
}

impl Mutation {
    fn make(self, body: &mut CreateBody, now: BlockNumber) -> Rejection {
        let CreateBody { terms, balances, shares, valid_until } = body;
        let lock = |got| Rejection::LockPeriodOutOfBounds { got, min: 10, max: 100 };
        let reserve = RESERVE;
        match self {
            Self::ExpiredOneBlockAgo => {
                *valid_until = now - 1;
                Rejection::Expired { valid_until: now - 1, now }
            }
            Self::ValidTooLong => {
                *valid_until = now + 51;
                Rejection::ExpiryTooFar { valid_until: now + 51, max: now + 50 }
            }
            Self::LockPeriodZero => {
                terms.lock_period = 0;
                lock(0)
            }
            Self::LockPeriodBelowMinimum => {
                terms.lock_period = 9;
                lock(9)
            }
            Self::LockPeriodAboveMaximum => {
                terms.lock_period = 101;
                lock(101)
            }
            Self::LockPeriodBeyondTime => {
                terms.lock_period = BlockNumber::MAX;
                lock(BlockNumber::MAX)
            }
            Self::NoForcedSteps => {
                terms.max_forced = 0;
                Rejection::MaxForcedOutOfBounds { got: 0, max: 4 }
            }
            Self::TooManyForcedSteps => {
                terms.max_forced = 5;
                Rejection::MaxForcedOutOfBounds { got: 5, max: 4 }
            }
            Self::PenaltyAboveReserve => {
                terms.penalty = RESERVE + 1;
                Rejection::PenaltyAboveReserve { penalty: RESERVE + 1, reserve }
            }
            Self::TooManyDelegatesOfInitiator => {
                terms.parties.initiator.delegates = crowd(1, 9);
                Rejection::TooManyDelegates
            }
            Self::TooManyDelegatesOfResponder => {
                terms.parties.responder.delegates = crowd(1, 9);
                Rejection::TooManyDelegates
            }
            Self::SameAccount => {
                terms.parties.responder.account = terms.parties.initiator.account;
                Rejection::PartiesShareAccount
            }
            Self::SameKey => {
                terms.parties.responder.key = terms.parties.initiator.key;
                Rejection::PartiesShareKey
            }
            Self::InitiatorBelowReserve => {
                *balances = Pair::new(RESERVE - 1, TOTAL - (RESERVE - 1));
                Rejection::BalanceBelowReserve { party: Party::Initiator, balance: RESERVE - 1, reserve }
            }
            Self::ResponderBelowReserve => {
                *balances = Pair::new(TOTAL - (RESERVE - 1), RESERVE - 1);
                Rejection::BalanceBelowReserve { party: Party::Responder, balance: RESERVE - 1, reserve }
            }
            Self::SharesOneShort => {
                shares.initiator -= 1;
                Rejection::SumMismatch { got: Some(TOTAL - 1), want: TOTAL }
            }
            Self::SharesOneOver => {
                shares.responder += 1;
                Rejection::SumMismatch { got: Some(TOTAL + 1), want: TOTAL }
            }
            Self::SharesOverflow => {
                *shares = Pair::new(Amount::MAX, TOTAL + 1);
                Rejection::SumMismatch { got: None, want: TOTAL }
            }
            Self::BalancesOverflow => {
                *balances = Pair::new(Amount::MAX, TOTAL + 1);
                Rejection::AmountOverflow
            }
            Self::InitiatorsVaultTooLow => {
                give(shares, balances, Party::Initiator, VAULT + 1);
                Rejection::VaultTooLow { party: Party::Initiator, have: VAULT, need: VAULT + 1 }
            }
            Self::RespondersVaultTooLow => {
                give(shares, balances, Party::Responder, VAULT + 1);
                Rejection::VaultTooLow { party: Party::Responder, have: VAULT, need: VAULT + 1 }
            }
        }
    }
}

#[tokio::test]
async fn each_thing_wrong_with_an_opening_is_refused_by_its_own_error_and_changes_nothing() {
    let world = World::funded().await;
    for &mutation in Mutation::ALL {
        let mut world = world.fork_for(&mutation).await;
        let mut body = create_body(world.now() + 5);
        let rejection = mutation.make(&mut body, world.now());
        let call = world.create_call(&body);
        world.refuse(Actor::Initiator, &call, 0, rejection).await;
    }
}

#[tokio::test]
async fn an_opening_with_forged_signatures_is_refused_and_changes_nothing() {
    let world = World::funded().await;
    let (body, binding) = (create_body(world.now() + 5), world.next_channel(&parties()).binding(Kind::Create));
    let call = |signatures| Call::ChannelCreate(Create { body: body.clone(), nonce: 0, signatures });
    world.refuse_forgeries(Actor::Initiator, &binding, &body, call).await;
}

#[tokio::test]
async fn an_opening_changed_after_it_was_signed_is_refused_and_changes_nothing() {
    let changes: [fn(&mut CreateBody); 10] = [
        |body| body.balances = SHARES,
        |body| body.shares = BALANCES,
        |body| body.valid_until += 1,
        |body| body.terms.reserve -= 1,
        |body| body.terms.penalty += 1,
        |body| body.terms.lock_period += 1,
        |body| body.terms.max_forced += 1,
        |body| body.terms.parties.initiator.payout = protocol::terms::Destination::Vault,
        |body| body.terms.parties.responder.delegates.push(Delegate::defender(Actor::Stranger.id())),
        |body| body.terms.parties.responder.delegates[0].power = Power::Defend,
    ];
    let mut world = World::funded().await;
    for change in changes {
        let mut body = create_body(world.now() + 5);
        let Call::ChannelCreate(mut create) = world.create_call(&body) else { unreachable!() };
        change(&mut body);
        create.body = body;
        let rejection = Rejection::SignatureInvalid { party: Party::Initiator };
        world.refuse(Actor::Initiator, &Call::ChannelCreate(create), 0, rejection).await;
    }
}

#[tokio::test]
async fn coins_attached_by_somebody_else_do_not_fill_a_partys_vault() {
    let world = World::funded().await;
    for who in [Actor::Stranger, Actor::Responder, Actor::InitiatorsDelegate] {
        let mut world = world.fork_for(&who).await;
        let mut body = create_body(world.now());
        let too_low = Mutation::InitiatorsVaultTooLow.make(&mut body, world.now());
        let rejection = if who == Actor::Responder { too_low } else { Rejection::NotParty };
        let call = world.create_call(&body);
        world.refuse(who, &call, UNIT, rejection).await;
        let _done = world.accept(Actor::Initiator, &call_again(&world, &mut body), UNIT).await;
    }
}

fn call_again(world: &World, body: &mut CreateBody) -> Call {
    body.valid_until = world.now();
    world.create_call(body)
}

#[tokio::test]
async fn a_key_of_small_order_for_which_anybody_can_sign_is_refused() {
    // With the group's neutral element as key and as nonce, zero is a valid scalar for every message, unless one is strict (R3.4).
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut world = World::funded().await;
    let mut body = create_body(world.now());
    body.terms.parties.initiator.key = PublicKey(neutral);
    let Call::ChannelCreate(mut create) = world.create_call(&body) else { unreachable!() };
    create.signatures.initiator = Signature([neutral, [0; 32]].concat().try_into().unwrap());
    let rejection = Rejection::SignatureInvalid { party: Party::Initiator };
    world.refuse(Actor::Initiator, &Call::ChannelCreate(create), 0, rejection).await;
}
