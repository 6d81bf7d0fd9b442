//! Any value of every type that is signed, sent, stored or announced.

use proptest::prelude::*;
use protocol::{
    AccountId, Amount, Base, ChannelId, Hash, Mark, Maturity, Pair, Party, PartyId, PublicKey, Rejection, Signature,
    StateCommitment,
    call::{
        BatchedCall, CloseMutual, CloseSolo, Create, Deposit, ForceProgress, ForcedCall, Payload, ProveContractState,
        SetDelegates, ShownContract, Slash, SnapshotSolo, Withdraw,
    },
    contracts::{CallFault, Code, Contract, ContractId},
    decode_exact,
    event::{ArbiterEvent, Payout},
    record::{Artefact, Closing, OnChain, Penalty, Permanence, Phase, Record},
    signing::{CloseMutualBody, CreateBody, DepositBody, Domain, SetDelegatesBody, WithdrawBody},
    terms::{CallWeight, Delegate, Destination, Limits, PartyTerms, Power, Terms},
    tree::{Proof, ProofError, TreeNode},
};
use scale::Encode;

fn pair<T: Clone + std::fmt::Debug>(one: impl Strategy<Value = T> + Clone) -> impl Strategy<Value = Pair<T>> + Clone {
    (one.clone(), one).prop_map(|(initiator, responder)| Pair::new(initiator, responder))
}

fn party() -> impl Strategy<Value = Party> + Clone {
    prop::sample::select(&Party::BOTH[..])
}

fn account() -> impl Strategy<Value = AccountId> + Clone {
    any::<[u8; 32]>().prop_map(AccountId)
}

fn hash() -> impl Strategy<Value = Hash> + Clone {
    any::<[u8; 32]>().prop_map(Hash)
}

fn channel() -> impl Strategy<Value = ChannelId> + Clone {
    any::<[u8; 32]>().prop_map(ChannelId)
}

fn signatures() -> impl Strategy<Value = Pair<Signature>> + Clone {
    pair(
        (any::<[u8; 32]>(), any::<[u8; 32]>())
            .prop_map(|(nonce, scalar)| Signature([nonce, scalar].concat().try_into().unwrap())),
    )
}

fn amounts() -> impl Strategy<Value = Pair<Amount>> + Clone {
    pair(any::<Amount>())
}

fn base() -> impl Strategy<Value = Base> + Clone {
    any::<(u64, u32)>().prop_map(|(agreed, steps)| Base { agreed, steps })
}

pub fn party_id() -> impl Strategy<Value = PartyId> + Clone {
    (account(), any::<[u8; 32]>()).prop_map(|(account, key)| PartyId { account, key: PublicKey(key) })
}

fn delegate() -> impl Strategy<Value = Delegate> + Clone {
    let power = prop_oneof![Just(Power::Defend), Just(Power::Call)];
    (account(), power).prop_map(|(account, power)| Delegate { account, power })
}

fn delegates() -> impl Strategy<Value = Vec<Delegate>> + Clone {
    prop::collection::vec(delegate(), 0..10)
}

fn destination() -> impl Strategy<Value = Destination> + Clone {
    prop_oneof![Just(Destination::Account), Just(Destination::Vault)]
}

fn party_terms() -> impl Strategy<Value = PartyTerms> + Clone {
    (account(), any::<[u8; 32]>(), destination(), delegates())
        .prop_map(|(account, key, payout, delegates)| PartyTerms { account, key: PublicKey(key), payout, delegates })
}

fn terms() -> impl Strategy<Value = Terms> + Clone {
    (pair(party_terms()), any::<Amount>(), any::<u32>(), any::<Amount>(), any::<u8>()).prop_map(
        |(parties, reserve, lock_period, penalty, max_forced)| Terms {
            parties,
            reserve,
            lock_period,
            penalty,
            max_forced,
        },
    )
}

fn commitment() -> impl Strategy<Value = StateCommitment> + Clone {
    (amounts(), hash(), hash()).prop_map(|(balances, contracts_root, calls_root)| StateCommitment {
        balances,
        contracts_root,
        calls_root,
    })
}

fn payload() -> impl Strategy<Value = Payload> + Clone {
    (any::<u64>(), base(), hash(), any::<Option<u32>>(), signatures()).prop_map(
        |(round, base, state_hash, valid_until, signatures)| Payload {
            round,
            base,
            state_hash,
            valid_until,
            signatures,
        },
    )
}

pub fn create() -> impl Strategy<Value = Create> {
    (terms(), amounts(), amounts(), any::<u32>(), any::<u64>(), signatures()).prop_map(
        |(terms, balances, shares, valid_until, nonce, signatures)| Create {
            body: CreateBody { terms, balances, shares, valid_until },
            nonce,
            signatures,
        },
    )
}

pub fn close_solo() -> impl Strategy<Value = CloseSolo> {
    (channel(), prop::option::of(payload()), commitment()).prop_map(|(channel, payload, commitment)| CloseSolo {
        channel,
        payload,
        commitment,
    })
}

pub fn slash() -> impl Strategy<Value = Slash> {
    (channel(), payload(), commitment()).prop_map(|(channel, payload, commitment)| Slash {
        channel,
        payload,
        commitment,
    })
}

pub fn snapshot_solo() -> impl Strategy<Value = SnapshotSolo> {
    (channel(), payload()).prop_map(|(channel, payload)| SnapshotSolo { channel, payload })
}

pub fn close_mutual() -> impl Strategy<Value = CloseMutual> {
    (channel(), amounts(), any::<Amount>(), any::<u32>(), signatures()).prop_map(
        |(channel, balances, fee, valid_until, signatures)| CloseMutual {
            channel,
            body: CloseMutualBody { balances, fee, valid_until },
            signatures,
        },
    )
}

pub fn deposit() -> impl Strategy<Value = Deposit> {
    (channel(), (party(), any::<Amount>(), any::<u64>(), base(), hash(), any::<u32>()), signatures()).prop_map(
        |(channel, (party, amount, round, base, state_hash, valid_until), signatures)| Deposit {
            channel,
            body: DepositBody { party, amount, round, base, state_hash, valid_until },
            signatures,
        },
    )
}

pub fn withdraw() -> impl Strategy<Value = Withdraw> {
    (deposit(), account()).prop_map(|(Deposit { channel, body, signatures }, to)| {
        let DepositBody { party, amount, round, base, state_hash, valid_until } = body;
        Withdraw { channel, body: WithdrawBody { party, amount, to, round, base, state_hash, valid_until }, signatures }
    })
}

pub fn set_delegates() -> impl Strategy<Value = SetDelegates> {
    (channel(), (pair(delegates()), any::<u64>(), base(), hash(), any::<u32>()), signatures()).prop_map(
        |(channel, (delegates, round, base, state_hash, valid_until), signatures)| SetDelegates {
            channel,
            body: SetDelegatesBody { delegates, round, base, state_hash, valid_until },
            signatures,
        },
    )
}

fn contract_id() -> impl Strategy<Value = ContractId> + Clone {
    any::<[u8; 32]>().prop_map(ContractId)
}

fn contract() -> impl Strategy<Value = Contract> + Clone {
    let code = prop_oneof![hash().prop_map(Code::Contract), any::<u8>().prop_map(Code::Builtin)];
    let state = prop::collection::vec(any::<u8>(), 0..40);
    (code, any::<Amount>(), party(), state).prop_map(|(code, balance, owner, state)| Contract {
        code,
        balance,
        owner,
        state,
    })
}

fn proof() -> impl Strategy<Value = Proof> + Clone {
    let node = prop_oneof![
        Just(TreeNode::Empty),
        (hash(), hash()).prop_map(|(key, value)| TreeNode::Leaf { key, value }),
        hash().prop_map(TreeNode::Opaque),
        Just(TreeNode::Branch),
        (hash(), hash()).prop_map(|(left, right)| TreeNode::Pruned { left, right }),
    ];
    prop::collection::vec(node, 0..20).prop_map(|nodes| Proof { nodes })
}

fn forced_call() -> impl Strategy<Value = ForcedCall> + Clone {
    (contract_id(), any::<Amount>(), prop::collection::vec(any::<u8>(), 0..20))
        .prop_map(|(contract, value, input)| ForcedCall { contract, value, input })
}

pub fn force_progress() -> impl Strategy<Value = ForceProgress> {
    let shown = (contract_id(), contract(), prop::option::of(account()))
        .prop_map(|(id, contract, app)| ShownContract { id, contract, app });
    let state = (prop::option::of(payload()), commitment(), prop::option::of(hash()));
    let calls = prop::collection::vec(forced_call(), 0..5);
    (channel(), party(), state, prop::collection::vec(shown, 0..4), proof(), calls).prop_map(
        |(channel, party, (payload, commitment, state_hash), contracts, proof, calls)| ForceProgress {
            channel,
            party,
            payload,
            commitment,
            contracts,
            proof,
            calls,
            state_hash,
        },
    )
}

pub fn prove_contract_state() -> impl Strategy<Value = ProveContractState> {
    (channel(), commitment(), contract_id(), contract(), proof()).prop_map(
        |(channel, commitment, id, contract, proof)| ProveContractState { channel, commitment, id, contract, proof },
    )
}

pub fn batched_call() -> impl Strategy<Value = BatchedCall> {
    prop_oneof![
        create().prop_map(BatchedCall::Create),
        close_mutual().prop_map(BatchedCall::CloseMutual),
        close_solo().prop_map(BatchedCall::CloseSolo),
        slash().prop_map(BatchedCall::Slash),
        channel().prop_map(BatchedCall::Settle),
        deposit().prop_map(BatchedCall::Deposit),
        withdraw().prop_map(BatchedCall::Withdraw),
        snapshot_solo().prop_map(BatchedCall::SnapshotSolo),
        set_delegates().prop_map(BatchedCall::SetDelegates),
    ]
}

fn closing() -> impl Strategy<Value = Closing> + Clone {
    let at_risk = (party(), any::<u64>()).prop_map(|(closer, closed_on)| Penalty::AtRisk { closer, closed_on });
    let penalty = prop_oneof![at_risk, party().prop_map(Penalty::Due)];
    (amounts(), any::<u32>(), penalty).prop_map(|(balances, unlock_at, penalty)| Closing {
        balances,
        unlock_at,
        penalty,
    })
}

/// Any marks, in any order: what is stored is made by the arbiter alone, and its bytes have to survive all the same.
fn maturity() -> impl Strategy<Value = Maturity> + Clone {
    let mark = (base(), any::<u32>()).prop_map(|(reached, block)| Mark { reached, block });
    let parts = (base(), prop::collection::vec(mark, 0..6));
    parts.prop_map(|parts| decode_exact(&parts.encode()).unwrap())
}

fn on_chain() -> impl Strategy<Value = OnChain> + Clone {
    (base(), hash(), maturity()).prop_map(|(at, state_hash, maturity)| OnChain { at, state_hash, maturity })
}

pub fn artefact() -> impl Strategy<Value = Artefact> {
    let permanence = prop_oneof![Just(Permanence::Replaceable), Just(Permanence::OwnCallsOnly)];
    (base(), permanence).prop_map(|(state, permanence)| Artefact { state, permanence })
}

pub fn record() -> impl Strategy<Value = Record> + Clone {
    let residual = pair(any::<u32>()).prop_map(|counted_from| Phase::Residual { counted_from });
    let phase = prop_oneof![Just(Phase::Open), closing().prop_map(Phase::Closing), residual];
    (terms(), any::<Amount>(), on_chain(), pair(any::<u8>()), phase).prop_map(
        |(terms, total, on_chain, forced_steps, phase)| Record { terms, total, on_chain, forced_steps, phase },
    )
}

pub fn event() -> impl Strategy<Value = ArbiterEvent> {
    let moved = || (party(), any::<Amount>(), any::<Amount>(), any::<u64>(), hash());
    prop_oneof![
        record().prop_map(|record| ArbiterEvent::ChannelCreated { record }),
        (amounts(), any::<Amount>()).prop_map(|(balances, fee)| ArbiterEvent::ChannelClosedMutually { balances, fee }),
        (base(), hash(), closing()).prop_map(|(at, state_hash, closing)| ArbiterEvent::ChannelClosedSolo {
            at,
            state_hash,
            closing
        }),
        (any::<u64>(), hash(), closing()).prop_map(|(round, state_hash, closing)| ArbiterEvent::ChannelSlashed {
            round,
            state_hash,
            closing
        }),
        (amounts(), any::<Amount>())
            .prop_map(|(balances, remaining)| ArbiterEvent::ChannelSettled { balances, remaining }),
        moved().prop_map(|(party, amount, total, round, state_hash)| ArbiterEvent::ChannelDeposited {
            party,
            amount,
            total,
            round,
            state_hash
        }),
        moved().prop_map(|(party, amount, total, round, state_hash)| ArbiterEvent::ChannelWithdrawn {
            party,
            amount,
            total,
            round,
            state_hash
        }),
        (any::<u64>(), hash()).prop_map(|(round, state_hash)| ArbiterEvent::ChannelSnapshotted { round, state_hash }),
        (pair(delegates()), any::<u64>(), hash()).prop_map(|(delegates, round, state_hash)| {
            ArbiterEvent::ChannelDelegatesSet { delegates, round, state_hash }
        }),
        (moved(), base(), pair(any::<u8>()), prop::option::of(closing()), prop::collection::vec(forced_call(), 0..4))
            .prop_map(|((party, _, total, _, state_hash), at, forced_steps, closing, calls)| {
                ArbiterEvent::ChannelProgressed { party, at, state_hash, forced_steps, total, closing, calls }
            }),
    ]
}

pub fn payout() -> impl Strategy<Value = Payout> {
    (prop::option::of(party()), account(), any::<Amount>(), destination())
        .prop_map(|(party, to, amount, destination)| Payout { party, to, amount, destination })
}

pub fn domain() -> impl Strategy<Value = Domain> {
    (hash(), account()).prop_map(|(genesis, arbiter)| Domain { genesis, arbiter })
}

pub fn limits() -> impl Strategy<Value = Limits> {
    (any::<u32>(), any::<u32>(), any::<u32>(), any::<u8>(), any::<(u64, u64)>()).prop_map(
        |(lock_period_min, lock_period_max, validity_max, max_forced_max, (ref_time, proof_size))| Limits {
            lock_period_min,
            lock_period_max,
            validity_max,
            max_forced_max,
            call_weight: CallWeight { ref_time, proof_size },
        },
    )
}

pub fn rejection() -> impl Strategy<Value = Rejection> {
    let blocks = (any::<u32>(), any::<u32>(), any::<u32>());
    let amounts = (any::<Amount>(), any::<Amount>(), any::<Amount>(), any::<Option<Amount>>());
    (blocks, amounts, any::<u64>(), any::<u64>(), any::<u8>(), any::<u8>(), party()).prop_flat_map(
        |((a, b, c), (x, y, z, sum), got, have, steps, most, party)| {
            prop::sample::select(vec![
                Rejection::ChannelUnknown,
                Rejection::NotParty,
                Rejection::NotPartyOrDelegate,
                Rejection::NotOpen,
                Rejection::NotClosing,
                Rejection::StillLocked { unlock_at: a, now: b },
                Rejection::SignatureInvalid { party },
                Rejection::Expired { valid_until: a, now: b },
                Rejection::ExpiryTooFar { valid_until: a, max: b },
                Rejection::RoundTooOld { got, have },
                Rejection::RoundAlreadyKnown { round: got },
                Rejection::RoundHasOtherState { round: got },
                Rejection::CommitmentMismatch,
                Rejection::BalancesExceedTotal { total: x },
                Rejection::PartiesShareAccount,
                Rejection::PartiesShareKey,
                Rejection::LockPeriodOutOfBounds { got: a, min: b, max: c },
                Rejection::MaxForcedOutOfBounds { got: steps, max: most },
                Rejection::PenaltyAboveReserve { penalty: x, reserve: y },
                Rejection::TooManyDelegates,
                Rejection::BalanceBelowReserve { party, balance: x, reserve: y },
                Rejection::SumMismatch { got: sum, want: x },
                Rejection::VaultTooLow { party, have: x, need: y },
                Rejection::VaultBalanceTooLow { have: x, need: y },
                Rejection::AmountZero,
                Rejection::AmountOverflow,
                Rejection::BelowReserves { total: x, amount: y, need: z },
                Rejection::MayNotForce { party },
                Rejection::DelegateAttachesCoins,
                Rejection::DelegateMayNotCall { party },
                Rejection::PartiesSettleFirst { from: a, now: b },
                Rejection::BaseTooOld { got: Base { agreed: got, steps: a }, floor: Base { agreed: have, steps: b } },
                Rejection::NonceOutOfBounds { got, next: have },
                Rejection::ListLength { got: a, max: b },
                Rejection::StateFinal,
                Rejection::ForcedStepsUsedUp { max: most },
                Rejection::ForcedStateDiffers { computed: Hash([steps; 32]) },
                Rejection::ProofInvalid(ProofError::NotCovered),
                Rejection::ProofOfAnotherState,
                Rejection::CannotAttach { have: x, value: y, reserve: z },
                Rejection::CallsMissing,
                Rejection::CallsTooLarge,
                Rejection::ContractNotShown { contract: ContractId([steps; 32]) },
                Rejection::CallFailed { round: got, fault: CallFault::Refused },
                Rejection::CallFailed { round: got, fault: CallFault::PaysTooMuch { balance: x } },
                Rejection::CallFailed { round: got, fault: CallFault::TooEarly { expiry: a, height: b } },
                Rejection::LimitsUnsound,
                Rejection::TransferFailed,
            ])
        },
    )
}
