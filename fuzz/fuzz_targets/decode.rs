//! Every decoder that takes bytes from the network, the chain or the disk: it never panics, and what decodes encodes to the very same bytes,
//! so that no two encodings mean the same (R3.2). The first byte chooses the type; from 128 on one of the readers of what crosses channels
//! (`network/tests/decoders.rs`), which a router is told of as well.

#![no_main]

#[path = "../../network/tests/decoders.rs"]
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
mod decoders;

use libfuzzer_sys::fuzz_target;
use protocol::{
    Maturity, Pair, PartyId, Rejection, Signature, StateCommitment, call,
    contracts::{self, conditional},
    decode_exact, event, record, signing, terms, tree,
};
use scale::{Decode, Encode};

fn canonical<T: Decode + Encode>(bytes: &[u8]) {
    if let Ok(value) = decode_exact::<T>(bytes) {
        assert_eq!(value.encode(), bytes);
    }
}

macro_rules! decoders {
    ($($decoded:ty),* $(,)?) => { [$(canonical::<$decoded> as fn(&[u8])),*] };
}

/// The first byte from which on it chooses a reader of what crosses channels.
const ACROSS: u8 = 128;

fuzz_target!(|bytes: &[u8]| {
    let types = decoders![
        // The arguments of every message and read.
        call::Create,
        call::CloseMutual,
        call::CloseSolo,
        call::Slash,
        call::Deposit,
        call::Withdraw,
        call::SnapshotSolo,
        call::SetDelegates,
        call::ForceProgress,
        call::ProveContractState,
        (conditional::Preimage, conditional::HashFunction),
        conditional::HashLock,
        // What is stored, announced and answered.
        record::Record,
        record::OnChain,
        record::Artefact,
        event::ArbiterEvent,
        event::Payout,
        Rejection,
        // What is signed.
        signing::CreateBody,
        signing::StateBody,
        signing::DepositBody,
        signing::WithdrawBody,
        signing::CloseMutualBody,
        signing::SetDelegatesBody,
        signing::Domain,
        StateCommitment,
        call::Payload,
        Pair<Signature>,
        terms::Terms,
        terms::Limits,
        // What is inside channels.
        tree::Proof,
        contracts::Contract,
        contracts::ContractEntry,
        contracts::CallReceipt,
        contracts::CallFault,
        contracts::AppContext,
        contracts::AppReply,
        conditional::ConditionalTransfer,
        conditional::ConditionalInput,
        counter::State,
        escrow::State,
        escrow::Input,
        // The first byte of what was found so far chooses among those above: what comes later stands below.
        Vec<call::BatchedCall>,
        (Vec<conditional::Preimage>, conditional::HashFunction),
        PartyId,
        Maturity,
        escrow::Creation,
    ];
    if let Some((choice, bytes)) = bytes.split_first() {
        if let Some(decoder) = types.get(usize::from(*choice)) {
            decoder(bytes);
        } else if let Some(reader) = choice.checked_sub(ACROSS) {
            decoders::read(&[&[reader], bytes].concat());
        }
    }
});
