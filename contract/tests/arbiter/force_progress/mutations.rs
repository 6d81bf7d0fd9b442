//! Every single way in which a forced step can be wrong. The proofs' ways are in [`super::proofs`].

use super::*;
use protocol::{
    AccountId, Amount, ChannelId, Hash, Rejection, StateCommitment,
    call::{Call, ForceProgress, Payload},
    contracts::{CallFault, Code, ContractId, MAX_INPUT},
    signing::Kind,
    tree::ProofError,
};

/// What is on chain, beside the healthy step's payload of round 6.
const ON_CHAIN: State = State::new(4, 60 * UNIT, 100 * UNIT);

/// A co-signed state of several contracts.
pub(super) fn healthy_base(world: &World) -> Inside {
    let mut base = agreed(world, 6);
    base.balances = Pair::new(80 * UNIT, 60 * UNIT);
    base.contracts.insert(ESCROW, world.apps.escrowing(Pair::new(UNIT, 2 * UNIT), world.now() + 500));
    for n in 0..20u8 {
        base.contracts
            .insert(ContractId([n.wrapping_mul(37) | 1; 32]), world.apps.counting(UNIT / 4, u64::from(n), 99));
    }
    base
}

/// The counter's input is also one that the hostile app takes.
pub(super) fn healthy_step(channel: &Channel, base: &Inside) -> Step {
    let calls = vec![call(COUNTER, UNIT, &256u64), call(ESCROW, 0, &escrow::Input::Move(UNIT))];
    channel.step(base, Party::Initiator, calls)
}

/// A channel with [`ON_CHAIN`] on chain, and the healthy step of the initiator.
pub(super) async fn healthy() -> (World, Channel, Inside, ForceProgress) {
    let (mut world, channel) = World::open().await;
    let _done = world.accept(Actor::Initiator, &channel.snapshot(&ON_CHAIN), 0).await;
    let base = healthy_base(&world);
    let (call, _after) = world.plan(&healthy_step(&channel, &base)).unwrap();
    (world, channel, base, call)
}

mutations! {
    /// One thing wrong with a forced step on an open channel. The escrow is shown first, as the smaller key.
    Mutation {
        // Who, and of which channel.
        ByStranger,
        /// R5.10: a party makes its own calls only.
        ByThePeerInTheCallersName,
        InThePeersName,
        /// While open a party has to come itself.
        ByItsDelegateWhileOpen,
        ByThePeersDelegate,
        OfNoChannel,

        // The state to go on from (R5.4).
        PayloadOld,
        PayloadOfRoundZero,
        PayloadOfTheRoundOnChainWithAnotherState,
        PayloadSignedForAnotherRound,
        PayloadSignedForAnotherBase,
        PayloadSignedForAnotherState,
        /// R3.5a: a block too late.
        PayloadExpired,
        /// The commitment is then not the one of the state on chain.
        PayloadLeftOut,
        PayloadOfAnotherState,
        CommitmentOfOtherBalances,
        CommitmentOfOtherContracts,
        CommitmentOfOtherCalls,
        CommitmentOnChain,
        /// R4.4: both signed more than there is, by one coin.
        BalancesOneAboveTotal,
        BalancesOverflow,

        // The contracts (R4.2).
        ShownWithOneCoinMore,
        ShownWithOneCoinLess,
        ShownWithAnotherState,
        ShownWithATrailingByte,
        ShownWithAnotherCode,
        ShownAsABuiltin,
        ShownWithAnotherOwner,
        ShownUnderAnotherId,
        ShownTwice,
        ShownOutOfOrder,
        ShownThoughItIsNotThere,
        NotShown,
        NoneShown,

        // The calls.
        NoCalls,
        OneCallTooMany,
        InputOneByteTooLong,
        InputUndecodable,
        InputEmpty,
        InputRefusedByTheApp,
        /// Nothing of a step counts unless all of it does.
        SecondCallRefused,
        CallOfAnotherContract,
        CoinsIntoTheReserve,
        CoinsBeyondTheBalance,
        CoinsBeyondAllThereAre,
        CoinsOfThePeer,

        // Where the app stands (R7.1).
        AppLeftOut,
        AppAtAnAccountWithoutCode,
        AppAtAnAccountThatDoesNotExist,
        AppAtAnAccountWithOtherCode,
        AppIsTheArbiter,

        // What it comes to.
        ExpectedStateOff,
        ExpectedStateIsTheBase,
        ExpectedStateZero,
    }
}

impl Mutation {
    #[allow(clippy::too_many_lines, reason = "one short arm for each")]
    fn make(
        self,
        world: &World,
        channel: &Channel,
        base: &Inside,
        call: &ForceProgress,
    ) -> (Actor, ForceProgress, Rejection) {
        let mut call = call.clone();
        let mut who = Actor::Initiator;
        let may_not = |party| Rejection::MayNotForce { party };
        let failed = |fault| Rejection::CallFailed { round: 7, fault };
        let with = |state: &State| (Some(channel.payload(state)), state.commitment);
        let (escrow, counter) = (0, 1);
        let computed = call.state_hash.unwrap();
        let signature = Rejection::SignatureInvalid { party: Party::Initiator };
        let wrong_leaf = Rejection::ProofInvalid(ProofError::WrongLeaf);
        let rejection = match self {
            Self::ByStranger => {
                who = Actor::Stranger;
                may_not(Party::Initiator)
            }
            Self::ByThePeerInTheCallersName => {
                who = Actor::Responder;
                may_not(Party::Initiator)
            }
            Self::InThePeersName => {
                call.party = Party::Responder;
                may_not(Party::Responder)
            }
            Self::ByItsDelegateWhileOpen => {
                who = Actor::InitiatorsDelegate;
                may_not(Party::Initiator)
            }
            Self::ByThePeersDelegate => {
                who = Actor::RespondersDelegate;
                may_not(Party::Initiator)
            }
            Self::OfNoChannel => {
                call.channel = ChannelId([7; 32]);
                Rejection::ChannelUnknown
            }
            Self::PayloadOld => {
                (call.payload, call.commitment) = with(&base.at(3).state());
                Rejection::RoundTooOld { got: 3, have: 4 }
            }
            Self::PayloadOfRoundZero => {
                (call.payload, call.commitment) = with(&base.at(0).state());
                Rejection::RoundTooOld { got: 0, have: 4 }
            }
            Self::PayloadOfTheRoundOnChainWithAnotherState => {
                (call.payload, call.commitment) = with(&base.at(4).state());
                Rejection::RoundHasOtherState { round: 4 }
            }
            Self::PayloadSignedForAnotherRound => {
                call.payload.as_mut().unwrap().round = 5;
                signature
            }
            Self::PayloadSignedForAnotherBase => {
                call.payload.as_mut().unwrap().base.agreed = 4;
                signature
            }
            Self::PayloadExpired => {
                let expired = State { valid_until: Some(world.now() - 1), ..base.state() };
                call.payload = Some(channel.payload(&expired));
                Rejection::Expired { valid_until: world.now() - 1, now: world.now() }
            }
            Self::PayloadSignedForAnotherState => {
                call.payload.as_mut().unwrap().signatures = channel.payload(&State { round: 6, ..ON_CHAIN }).signatures;
                signature
            }
            Self::PayloadLeftOut => {
                call.payload = None;
                Rejection::CommitmentMismatch
            }
            Self::PayloadOfAnotherState => {
                call.payload = Some(channel.payload(&State { round: 6, ..ON_CHAIN }));
                Rejection::CommitmentMismatch
            }
            Self::CommitmentOfOtherBalances => {
                call.commitment.balances = Pair::new(81 * UNIT, 59 * UNIT);
                Rejection::CommitmentMismatch
            }
            Self::CommitmentOfOtherContracts => {
                call.commitment.contracts_root.0[31] ^= 1;
                Rejection::CommitmentMismatch
            }
            Self::CommitmentOfOtherCalls => {
                call.commitment.calls_root.0[31] ^= 1;
                Rejection::CommitmentMismatch
            }
            Self::CommitmentOnChain => {
                call.commitment = ON_CHAIN.commitment;
                Rejection::CommitmentMismatch
            }
            Self::BalancesOneAboveTotal => {
                let balances = Pair::new(100 * UNIT, 60 * UNIT + 1);
                let commitment = StateCommitment { balances, ..base.commitment() };
                (call.payload, call.commitment) = with(&State::of(6, commitment));
                Rejection::BalancesExceedTotal { total: TOTAL }
            }
            Self::BalancesOverflow => {
                let commitment = StateCommitment { balances: Pair::new(Amount::MAX, 2), ..base.commitment() };
                (call.payload, call.commitment) = with(&State::of(6, commitment));
                Rejection::BalancesExceedTotal { total: TOTAL }
            }
            Self::ShownWithOneCoinMore => {
                call.contracts[counter].contract.balance += 1;
                wrong_leaf
            }
            Self::ShownWithOneCoinLess => {
                call.contracts[counter].contract.balance -= 1;
                wrong_leaf
            }
            Self::ShownWithAnotherState => {
                call.contracts[counter].contract.state[0] = 1;
                wrong_leaf
            }
            Self::ShownWithATrailingByte => {
                // An app takes its state whole or not at all (R3.2).
                call.contracts[counter].contract.state.push(0);
                failed(CallFault::Refused)
            }
            Self::ShownWithAnotherCode => {
                call.contracts[counter].contract.code = Code::Contract(world.apps.hostile.code);
                call.contracts[counter].app = Some(world.apps.hostile.account);
                wrong_leaf
            }
            Self::ShownAsABuiltin => {
                call.contracts[counter].contract.code = Code::Builtin(1);
                failed(CallFault::TakesNoCoins)
            }
            Self::ShownWithAnotherOwner => {
                call.contracts[counter].contract.owner = Party::Responder;
                wrong_leaf
            }
            Self::ShownUnderAnotherId => {
                call.contracts[counter].id.0[31] ^= 1;
                call.calls[0].contract.0[31] ^= 1;
                wrong_leaf
            }
            Self::ShownTwice => {
                let again = call.contracts[counter].clone();
                call.contracts.push(again);
                Rejection::ProofInvalid(ProofError::KeysUnsorted)
            }
            Self::ShownOutOfOrder => {
                call.contracts.swap(escrow, counter);
                Rejection::ProofInvalid(ProofError::KeysUnsorted)
            }
            Self::ShownThoughItIsNotThere => {
                let mut more = call.contracts[counter].clone();
                more.id.0[31] ^= 1;
                call.contracts.push(more);
                wrong_leaf
            }
            Self::NotShown => {
                let _counter = call.contracts.remove(counter);
                Rejection::ContractNotShown { contract: COUNTER }
            }
            Self::NoneShown => {
                call.contracts.clear();
                Rejection::ContractNotShown { contract: COUNTER }
            }
            Self::NoCalls => {
                call.calls.clear();
                Rejection::CallsMissing
            }
            Self::OneCallTooMany => {
                call.calls = vec![count(1); 65];
                Rejection::CallsTooLarge
            }
            Self::InputOneByteTooLong => {
                call.calls[0].input.resize(MAX_INPUT + 1, 0);
                failed(CallFault::TooLarge)
            }
            Self::InputUndecodable => {
                call.calls[0].input.push(0);
                failed(CallFault::Refused)
            }
            Self::InputEmpty => {
                call.calls[0].input.clear();
                failed(CallFault::Refused)
            }
            Self::InputRefusedByTheApp => {
                call.calls[0] = count(0);
                failed(CallFault::Refused)
            }
            Self::SecondCallRefused => {
                call.calls[1] = harness_call(ESCROW, &escrow::Input::Move(UNIT + 1));
                Rejection::CallFailed { round: 8, fault: CallFault::Refused }
            }
            Self::CallOfAnotherContract => {
                let contract = ContractId([9; 32]);
                call.calls[0].contract = contract;
                Rejection::ContractNotShown { contract }
            }
            Self::CoinsIntoTheReserve
            | Self::CoinsBeyondTheBalance
            | Self::CoinsBeyondAllThereAre
            | Self::CoinsOfThePeer => {
                let value = match self {
                    Self::CoinsIntoTheReserve => 70 * UNIT + 1,
                    Self::CoinsBeyondTheBalance => 80 * UNIT + 1,
                    Self::CoinsOfThePeer => 100 * UNIT,
                    _ => Amount::MAX,
                };
                call.calls[0].value = value;
                Rejection::CannotAttach { have: 80 * UNIT, value, reserve: RESERVE }
            }
            Self::AppLeftOut => {
                call.contracts[counter].app = None;
                failed(CallFault::CodeNotThere)
            }
            Self::AppAtAnAccountWithoutCode => {
                call.contracts[counter].app = Some(Actor::Initiator.id());
                failed(CallFault::CodeNotThere)
            }
            Self::AppAtAnAccountThatDoesNotExist => {
                call.contracts[counter].app = Some(AccountId([0xAB; 32]));
                failed(CallFault::CodeNotThere)
            }
            Self::AppAtAnAccountWithOtherCode => {
                call.contracts[counter].app = Some(world.apps.escrow.account);
                failed(CallFault::CodeNotThere)
            }
            Self::AppIsTheArbiter => {
                call.contracts[counter].app = Some(world.address());
                failed(CallFault::CodeNotThere)
            }
            Self::ExpectedStateOff => {
                call.state_hash.as_mut().unwrap().0[31] ^= 1;
                Rejection::ForcedStateDiffers { computed }
            }
            Self::ExpectedStateIsTheBase => {
                call.state_hash = Some(base.state().hash());
                Rejection::ForcedStateDiffers { computed }
            }
            Self::ExpectedStateZero => {
                call.state_hash = Some(Hash::ZERO);
                Rejection::ForcedStateDiffers { computed }
            }
        };
        (who, call, rejection)
    }
}

fn harness_call(contract: ContractId, input: &escrow::Input) -> protocol::call::ForcedCall {
    crate::harness::call(contract, 0, input)
}

#[tokio::test]
async fn each_thing_wrong_with_a_forced_step_is_refused_by_its_own_error_and_changes_nothing() {
    let (world, channel, base, healthy) = healthy().await;
    let _done = world.fork().await.accept(Actor::Initiator, &Call::ChannelForceProgress(healthy.clone()), 0).await;
    for &mutation in Mutation::ALL {
        let mut world = world.fork_for(&mutation).await;
        let (who, call, rejection) = mutation.make(&world, &channel, &base, &healthy);
        world.refuse(who, &Call::ChannelForceProgress(call), 0, rejection).await;
    }
}

#[tokio::test]
async fn a_forced_step_on_a_payload_with_forged_signatures_is_refused_and_changes_nothing() {
    let (world, channel, _base, healthy) = healthy().await;
    let payload = healthy.payload.unwrap();
    let call = |signatures| {
        let payload = Some(Payload { signatures, ..payload });
        Call::ChannelForceProgress(ForceProgress { payload, ..healthy.clone() })
    };
    world.refuse_forgeries(Actor::Initiator, &channel.binding(Kind::State), &payload.body(), call).await;
}

#[tokio::test]
async fn a_forced_step_takes_no_coins_from_its_caller() {
    // Coins for a contract come out of the channel; the message itself takes none.
    let (mut world, _channel, _base, healthy) = healthy().await;
    let call = Call::ChannelForceProgress(healthy);
    world.fails_on_chain(Actor::Initiator, &call, UNIT, "Contracts::ContractTrapped").await;
}

#[tokio::test]
async fn nothing_is_forced_on_a_channel_that_has_ended() {
    let (mut world, channel, _base, healthy) = healthy().await;
    let _done = world.accept(Actor::Responder, &channel.close_mutual(BALANCES, 0, world.now()), 0).await;
    let call = Call::ChannelForceProgress(healthy);
    world.refuse(Actor::Initiator, &call, 0, Rejection::ChannelUnknown).await;
}
