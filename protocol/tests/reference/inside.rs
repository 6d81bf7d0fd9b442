//! What is inside a channel, and what calls do to it (section 7, R8.1, R8.2).

use crate::tree::{self, hash};
use protocol::{
    AccountId, Amount, BlockNumber, ChannelId, Hash, Pair, Party, Round, StateCommitment,
    call::ForcedCall,
    contracts::{
        AppContext, Apps, CallFault, Code, Contract, ContractId, NativeApps, Requirement,
        conditional::{ConditionalInput, ConditionalTransfer, HashFunction, HashLock, Preimage},
    },
    decode_exact,
};
use scale::Encode;
use std::collections::BTreeMap;

/// A state as both parties know it, in full.
#[derive(Clone, Debug)]
pub struct Inside {
    pub balances: Pair<Amount>,
    pub contracts: BTreeMap<ContractId, Contract>,
    pub calls_root: Hash,
}

impl Inside {
    pub fn root(&self) -> Hash {
        tree::root(&self.contracts.iter().map(|(id, contract)| (Hash(id.0), leaf(contract))).collect())
    }

    pub fn state_hash(&self) -> Hash {
        state_hash(&StateCommitment {
            balances: self.balances,
            contracts_root: self.root(),
            calls_root: self.calls_root,
        })
    }
}

/// R4.1: both balances, the contracts' root, the calls' root.
pub fn state_hash(commitment: &StateCommitment) -> Hash {
    let Pair { initiator, responder } = commitment.balances;
    hash(&[&initiator.to_le_bytes(), &responder.to_le_bytes(), &commitment.contracts_root.0, &commitment.calls_root.0])
}

/// R4.2: the hash of the entry `code, balance, hash of the state, owner`.
pub fn leaf(contract: &Contract) -> Hash {
    let Contract { code, balance, owner, state } = contract;
    hash(&[&code.encode(), &balance.to_le_bytes(), &hash(&[state]).0, &owner.encode()])
}

/// R8.1.
pub fn lock(preimage: &Preimage, function: HashFunction) -> HashLock {
    let digest = match function {
        HashFunction::Blake2b256 => hash(&[&preimage.0]),
        HashFunction::Sha2_256 => Hash(<sha2::Sha256 as sha2::Digest>::digest(preimage.0).into()),
    };
    HashLock { function, digest }
}

/// Where a call is made.
pub struct Place<'a> {
    pub channel: ChannelId,
    pub round: Round,
    pub caller: Party,
    pub height: BlockNumber,
    /// Where the contract's app is said to stand.
    pub app: Option<AccountId>,
    pub deployed: &'a BTreeMap<AccountId, Hash>,
    pub apps: &'a NativeApps,
}

/// What a call did.
pub struct Done {
    /// None where the contract has ended.
    pub contract: Option<Contract>,
    pub payouts: Pair<Amount>,
    /// What the state keeps of it.
    pub receipt: Vec<u8>,
    pub shown: Option<(HashLock, Preimage, BlockNumber)>,
}

/// One call. Checked in this order: the sizes; the coins that come in; the code; what it answers; what it pays.
pub fn call(
    place: &Place<'_>,
    contract: &Contract,
    call: &ForcedCall,
    preimages: &BTreeMap<HashLock, BlockNumber>,
) -> Result<Done, CallFault> {
    if contract.state.len() > 16_384 || call.input.len() > 8_192 {
        return Err(CallFault::TooLarge);
    }
    let balance = contract.balance.checked_add(call.value).ok_or(CallFault::Overflow)?;
    let (mut payouts, mut output, mut shown) = (Pair::<Amount>::default(), Vec::new(), None);
    let state = match contract.code {
        Code::Contract(code) => {
            let context = AppContext {
                channel: place.channel,
                contract: call.contract,
                round: place.round,
                caller: place.caller,
                value: call.value,
                balance,
                height: place.height,
            };
            // The app must stand where it is said to stand, with the very code of the entry. What it answers is a fact.
            if place.app.and_then(|at| place.deployed.get(&at)) != Some(&code) {
                return Err(CallFault::CodeNotThere);
            }
            let answer = place.apps.call(&code, &context, &contract.state, &call.input)?;
            let answer = answer.map_err(|_| CallFault::Refused)?;
            if answer.state.len() > 16_384 {
                return Err(CallFault::TooLarge);
            }
            match answer.requirement {
                Some(Requirement::Shown { lock: required, preimage, before }) => {
                    shown = Some(show(required, preimage, before, place.height, preimages)?);
                }
                Some(Requirement::Silent { lock, from }) => is_silent(lock, from, place.height, preimages)?,
                None => {}
            }
            (payouts, output) = (answer.payouts, answer.output);
            Some(answer.state)
        }
        Code::Builtin(1) => {
            let to;
            (to, shown) = transfer(contract, call, place.height, preimages)?;
            payouts[to] = balance;
            None
        }
        Code::Builtin(other) => return Err(CallFault::BuiltinUnknown(other)),
    };
    let paid = payouts.initiator.checked_add(payouts.responder).ok_or(CallFault::Overflow)?;
    if paid > balance {
        return Err(CallFault::PaysTooMuch { balance });
    }
    let receipt = (
        (call.contract, place.caller, call.value, hash(&[&call.input])),
        (payouts.initiator, payouts.responder, hash(&[&output])),
    );
    let contract = state.map(|state| Contract { balance: balance - paid, state, ..contract.clone() });
    Ok(Done { contract, payouts, receipt: receipt.encode(), shown })
}

/// Whose the coins of a conditional transfer are. A pre-image counts from the block in which it was first shown (R8.2).
#[allow(clippy::type_complexity, reason = "said in one place")]
fn transfer(
    contract: &Contract,
    call: &ForcedCall,
    height: BlockNumber,
    preimages: &BTreeMap<HashLock, BlockNumber>,
) -> Result<(Party, Option<(HashLock, Preimage, BlockNumber)>), CallFault> {
    if call.value != 0 {
        return Err(CallFault::TakesNoCoins);
    }
    let transfer: ConditionalTransfer = decode_exact(&contract.state).map_err(|_| CallFault::Malformed)?;
    let input: ConditionalInput = decode_exact(&call.input).map_err(|_| CallFault::Malformed)?;
    match input {
        ConditionalInput::Claim(preimage) => {
            let shown = show(transfer.lock, preimage, transfer.expiry, height, preimages)?;
            Ok((transfer.payee, Some(shown)))
        }
        ConditionalInput::Refund => {
            is_silent(transfer.lock, transfer.expiry, height, preimages)?;
            Ok((transfer.payee.peer(), None))
        }
    }
}

/// A pre-image that has to be shown before a block, and the block that counts for it.
fn show(
    required: HashLock,
    preimage: Preimage,
    before: BlockNumber,
    height: BlockNumber,
    preimages: &BTreeMap<HashLock, BlockNumber>,
) -> Result<(HashLock, Preimage, BlockNumber), CallFault> {
    if lock(&preimage, required.function) != required {
        return Err(CallFault::WrongPreimage);
    }
    match preimages.get(&required).copied().unwrap_or(height) {
        counts if counts < before => Ok((required, preimage, counts)),
        _ => Err(CallFault::TooLate { expiry: before }),
    }
}

/// A lock whose pre-image must not have been shown before a block, which has come.
fn is_silent(
    lock: HashLock,
    from: BlockNumber,
    height: BlockNumber,
    preimages: &BTreeMap<HashLock, BlockNumber>,
) -> Result<(), CallFault> {
    match preimages.get(&lock) {
        _ if height < from => Err(CallFault::TooEarly { expiry: from, height }),
        Some(shown_at) if *shown_at < from => Err(CallFault::ShownInTime),
        _ => Ok(()),
    }
}
