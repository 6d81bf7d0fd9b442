//! The vectors of what is inside a channel: contracts, their tree, its proofs, and calls by force.

use protocol::{
    Amount, BlockNumber, ChannelId, Hash, Pair, Party, Round, StateCommitment,
    arbiter::{Plan, Start, plan},
    call::{ForceProgress, ForcedCall, ProveContractState},
    contracts::{
        AppContext, AppOutcome, AppReply, CALL_SELECTOR, CallReceipt, Code, Contract, ContractId, Contracts,
        NativeApps, Predictor, Requirement, calls_root,
        conditional::{BUILTIN, ConditionalInput, ConditionalTransfer, HashFunction, HashLock, Preimage},
    },
    crypto::{Crypto, Native},
    record::Record,
    tree::{Tree, TreeChange},
};
use scale::Encode;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub type Id = ContractId;

const UNIT: Amount = 1_000_000_000_000;
/// Claimed by the responder before it expires.
pub const FIRST: Id = ContractId([0x21; 32]);
/// Claimed by the initiator after it expired: its pre-image was shown early.
pub const SECOND: Id = ContractId([0x2F; 32]);
/// Shared out in the end.
pub const THIRD: Id = ContractId([0xE0; 32]);
pub const SHOWN_EARLY: Preimage = Preimage([0x77; 32]);
/// Shown in one call with the other; nothing in the story is locked by it.
pub const SHOWN_TOO: Preimage = Preimage([0x79; 32]);
const SHOWN_LATE: Preimage = Preimage([0x78; 32]);
/// What the app of the vectors is said to be.
const APP: Code = Code::Contract(Hash([0xA9; 32]));

fn transfer(balance: Amount, payee: Party, lock: HashLock, expiry: BlockNumber) -> Contract {
    let state = ConditionalTransfer { payee, lock, expiry }.encode();
    Contract { code: Code::Builtin(BUILTIN), balance: balance * UNIT, owner: payee.peer(), state }
}

fn transfers() -> [(Id, Contract); 3] {
    let early = SHOWN_EARLY.lock(HashFunction::Sha2_256, &Native);
    let late = SHOWN_LATE.lock(HashFunction::Blake2b256, &Native);
    [
        (FIRST, transfer(12, Party::Responder, late, 34)),
        (SECOND, transfer(8, Party::Initiator, early, 26)),
        (THIRD, transfer(5, Party::Initiator, late, 33)),
    ]
}

/// A state of the story, whole.
pub struct Inside {
    pub round: Round,
    balances: Pair<Amount>,
    contracts: Contracts,
    calls_root: Hash,
}

impl Inside {
    pub fn first() -> Self {
        let receipt = CallReceipt {
            contract: FIRST,
            caller: Party::Responder,
            value: 0,
            input: Native.hash(b"input"),
            payouts: Pair::new(1, 2),
            output: Native.hash(b"output"),
        };
        Self {
            round: 10,
            balances: Pair::new(30 * UNIT, 50 * UNIT),
            contracts: transfers().into_iter().collect(),
            calls_root: calls_root(&[receipt], &Native),
        }
    }

    pub fn commitment(&self) -> StateCommitment {
        let Self { balances, calls_root, .. } = *self;
        StateCommitment { balances, contracts_root: self.contracts.root(), calls_root }
    }

    pub fn claim(&self, channel: &ChannelId, id: Id) -> ProveContractState {
        let contract = self.contracts.get(&id).unwrap().clone();
        let leaf = Some(contract.leaf(&Native));
        let proof = self.contracts.prove(&[TreeChange { key: id.key(), before: leaf, after: leaf }]);
        ProveContractState { channel: *channel, commitment: self.commitment(), id, contract, proof }
    }

    /// The step that claims one of the transfers, and what is noted of it; the state afterwards is this one.
    pub fn claims(
        &mut self,
        channel: &ChannelId,
        record: &Record,
        party: Party,
        id: Id,
        block: BlockNumber,
        shown: &BTreeMap<HashLock, BlockNumber>,
    ) -> (ForceProgress, Value) {
        let preimage = if id == SECOND { SHOWN_EARLY } else { SHOWN_LATE };
        let input = ConditionalInput::Claim(preimage).encode();
        let calls = vec![ForcedCall { contract: id, value: 0, input }];
        let start = Start {
            channel: *channel,
            record,
            payload: None,
            balances: self.balances,
            contracts: &self.contracts,
            calls_root: self.calls_root,
        };
        let apps = NativeApps::new();
        let shown_at = |lock: &HashLock| shown.get(lock).copied();
        let mut predictor = Predictor::new(&apps, &shown_at);
        let planned = plan(&start, party, calls, block, &|_code| None, &mut predictor).unwrap();
        let Plan { call, contracts, balances, calls_root, state_hash, .. } = planned;
        let before = self.commitment();
        *self = Self { round: self.round + 1, balances, contracts, calls_root };
        let noted = json!({
            "block": block,
            "party": party.encode()[0],
            "commitment_before": hex::encode(before.encode()),
            "contracts": call.contracts.iter().map(|shown| hex::encode(shown.encode())).collect::<Vec<_>>(),
            "proof": hex::encode(call.proof.encode()),
            "calls": call.calls.iter().map(|call| hex::encode(call.encode())).collect::<Vec<_>>(),
            "encoded": hex::encode(call.encode()),
            "round": self.round,
            "commitment_after": hex::encode(self.commitment().encode()),
            "state_hash": hex::encode(state_hash.0),
        });
        (call, noted)
    }
}

/// Pre-images and their locks.
pub fn locks() -> Vec<Value> {
    let all = [SHOWN_EARLY, SHOWN_LATE, Preimage([0; 32])];
    let functions = [HashFunction::Blake2b256, HashFunction::Sha2_256];
    let lock = |preimage: &Preimage, function: HashFunction| {
        let lock = preimage.lock(function, &Native);
        json!({
            "preimage": hex::encode(preimage.0),
            "function": function.encode()[0],
            "digest": hex::encode(lock.digest.0),
            "encoded": hex::encode(lock.encode()),
        })
    };
    all.iter().flat_map(|preimage| functions.map(|function| lock(preimage, function))).collect()
}

/// Contracts, their entries and the hashes of those, and how their ids are made.
pub fn contracts(channel: &ChannelId) -> Vec<Value> {
    let app = Contract { code: APP, balance: 7, owner: Party::Responder, state: b"state".to_vec() };
    let empty = Contract { code: APP, balance: 0, owner: Party::Initiator, state: Vec::new() };
    let derived = |index| ContractId::derive(channel, 9, index, &Native);
    let all = transfers().into_iter().chain([(derived(0), app), (derived(1), empty)]);
    all.map(|(id, contract)| {
        let entry = contract.entry(&Native);
        json!({
            "id": hex::encode(id.0),
            "contract": hex::encode(contract.encode()),
            "entry": hex::encode(entry.encode()),
            "entry_hash": hex::encode(entry.hash(&Native).0),
        })
    })
    .collect()
}

/// Proofs of trees of several sizes: leaves, changes, nodes, and the roots before and after.
pub fn proofs() -> Vec<Value> {
    let hash = |seed: u8| Native.hash(&[seed]);
    let proof = |what: &str, leaves: &[u8], changed: &[(u8, Option<u8>)]| {
        let tree: Tree = leaves.iter().map(|&seed| (hash(seed), hash(seed ^ 0xFF))).collect();
        let mut changes: Vec<TreeChange> = changed
            .iter()
            .map(|&(seed, after)| TreeChange { key: hash(seed), before: tree.get(&hash(seed)), after: after.map(hash) })
            .collect();
        changes.sort_by_key(|change| change.key);
        let proof = tree.prove(&changes);
        let roots = proof.apply(&changes, &Native).unwrap();
        assert_eq!((roots.before, roots.after), (tree.root(), tree.with(&changes).root()));
        let hex_of = |value: Option<Hash>| value.map(|hash| hex::encode(hash.0));
        json!({
            "what": what,
            "leaves": leaves.iter().map(|&seed| json!([hex::encode(hash(seed).0), hex::encode(hash(seed ^ 0xFF).0)])).collect::<Vec<_>>(),
            "changes": changes.iter().map(|TreeChange { key, before, after }| json!({
                "key": hex::encode(key.0), "before": hex_of(*before), "after": hex_of(*after),
            })).collect::<Vec<_>>(),
            "proof": hex::encode(proof.encode()),
            "root_before": hex::encode(roots.before.0),
            "root_after": hex::encode(roots.after.0),
        })
    };
    let many: Vec<u8> = (0..40).collect();
    vec![
        proof("nothing in an empty tree", &[], &[]),
        proof("a first leaf", &[], &[(1, Some(9))]),
        proof("a lone leaf changed", &[1], &[(1, Some(9))]),
        proof("a lone leaf removed", &[1], &[(1, None)]),
        proof("one of two removed: the other rises", &[1, 2], &[(1, None)]),
        proof("one of many changed", &many, &[(7, Some(9))]),
        proof("one of many shown as it is", &many, &[(7, Some(7 ^ 0xFF))]),
        proof(
            "several of many changed, added and removed",
            &many,
            &[(3, Some(1)), (5, None), (90, Some(2)), (17, None)],
        ),
        proof("one shown to be absent", &many, &[(91, None)]),
    ]
}

/// The bytes by which an app is called, and those of its answers.
pub fn app_call(channel: &ChannelId) -> Value {
    let context = AppContext {
        channel: *channel,
        contract: FIRST,
        round: 9,
        caller: Party::Responder,
        value: 3,
        balance: 10,
        height: 42,
    };
    let (state, input) = (b"state".to_vec(), b"input".to_vec());
    let outcome = AppOutcome {
        state: b"after".to_vec(),
        payouts: Pair::new(4, 5),
        output: b"output".to_vec(),
        requirement: None,
    };
    let lock = HashLock { function: HashFunction::Sha2_256, digest: Hash([8; 32]) };
    let requiring = |requirement| AppOutcome { requirement: Some(requirement), ..outcome.clone() };
    let shown = requiring(Requirement::Shown { lock, preimage: Preimage([7; 32]), before: 43 });
    let silent = requiring(Requirement::Silent { lock, from: 41 });
    // An ink! message's answer stands inside one more result, of its decoding.
    let answer = |reply: &AppReply| hex::encode([&[0][..], &reply.encode()].concat());
    json!({
        "context": hex::encode(context.encode()),
        "data": hex::encode([&CALL_SELECTOR[..], &(context, &state, &input).encode()].concat()),
        "answer": answer(&Ok(outcome)),
        "answer that requires a pre-image": answer(&Ok(shown)),
        "answer that requires silence": answer(&Ok(silent)),
        "refusal": answer(&Err(b"error".to_vec())),
    })
}
