//! Deeds in a world: things of one party's in an app, which move with a conditional transfer (R8.3g). And counters, whose calls may go with one as well.

use super::{World, apps, contracts::creation};
use channel::{
    Change, Outcome,
    transfer::{AppCall, LockedCalls},
};
use protocol::{
    BlockNumber, Pair, Party,
    contracts::{ContractId, conditional::HashLock},
    decode_exact,
};
use scale::Encode;

/// A deed of `owner`'s.
pub(crate) fn deed(owner: Party) -> Change {
    creation(apps::DEED.code, Pair::default(), owner.encode())
}

/// The calls by which deeds move with a transfer.
pub(crate) fn with_deeds(deeds: &[ContractId]) -> LockedCalls {
    let call = |input: u8| deeds.iter().map(|deed| AppCall { contract: *deed, input: vec![input] }).collect();
    LockedCalls { locking: call(0), claiming: call(1), returning: call(2) }
}

/// Who owns a deed as a side sees it, and whether it is locked. None where the channel or the deed is not there any more.
pub(crate) fn deed_of(world: &World, side: Party, deed: ContractId) -> Option<(Party, bool)> {
    let contracts = world.sides[side].channel.as_ref()?.contracts()?;
    let (owner, locked): (Party, Option<(HashLock, BlockNumber)>) = decode_exact(&contracts.get(&deed)?.state).ok()?;
    Some((owner, locked.is_some()))
}

/// How often a contract was called, as a side was told: a deed once where it is locked, twice where it is claimed after that. So it can be told of a channel that has ended.
pub(crate) fn calls_of(world: &World, side: Party, contract: ContractId) -> usize {
    let is_of = |outcome: &Outcome| matches!(outcome, Outcome::Called { contract: of, .. } if *of == contract);
    world.outcomes(side).iter().filter(|outcome| is_of(outcome)).count()
}

/// Deeds of the initiator's.
pub(crate) fn deeds(world: &mut World, count: usize) -> Vec<ContractId> {
    world.create(Party::Initiator, (0..count).map(|_| deed(Party::Initiator)).collect())
}

/// How far a counter has come, as a side sees it.
pub(crate) fn count_of(world: &World, side: Party, counter: ContractId) -> u64 {
    let state = &world.sides[side].machine().contracts().unwrap().get(&counter).unwrap().state;
    decode_exact::<(u64, u64)>(state).unwrap().0
}

/// A call that counts by one.
pub(crate) fn one_more(counter: ContractId) -> AppCall {
    AppCall { contract: counter, input: 1_u64.encode() }
}

/// What returns is a call that counts by one.
pub(crate) fn returning(counter: ContractId) -> LockedCalls {
    LockedCalls { returning: vec![one_more(counter)], ..LockedCalls::NONE }
}
