//! Everything of this crate that takes bytes from somebody else: it never panics, what is read is written as the very same bytes, and a router that is
//! told of them gives back what it cannot read, and does nothing else. `fuzz/fuzz_targets/decode.rs` includes this file by its path.

use channel::{
    ChannelRef,
    transfer::{
        FailReason, IncomingTransfer, Intent, LockedCalls, TransferCommand, TransferEvent, TransferLimits,
        TransferTerms,
    },
};
use network::{
    Announcement, At, Delivery, FailureCode, Instruction, Invoice, RouteFailure, Router, RouterInput, RouterOutput,
    RoutingPolicy, SealKey,
};
use protocol::{
    AccountId, Hash,
    contracts::{
        ContractId,
        conditional::{HashFunction, HashLock},
    },
    crypto::SigningKey,
    decode_exact,
    signing::Domain,
};
use scale::Encode;

const CHAIN: Domain = Domain { genesis: Hash([7; 32]), arbiter: AccountId([8; 32]) };
const AT: At = At { chain: CHAIN, channel: ChannelRef([1; 16]) };
const LOCK: HashLock = HashLock { function: HashFunction::Blake2b256, digest: Hash([2; 32]) };
const MAX_REASON: usize = channel::transfer::MAX_REASON;

/// How many readers there are.
pub(crate) const READERS: u8 = 7;

/// Has one of the readers, which the first byte chooses, read the others.
pub(crate) fn read(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    match choice {
        0 => instruction(bytes),
        1 => reason(bytes),
        2 => delivery(bytes),
        3 => announcement(bytes),
        4 => invoice(bytes),
        5 => assert_eq!(seal().open(bytes, &LOCK), None, "nobody sealed it"),
        6 => offered(bytes),
        _ => {}
    }
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[9; 32])
}

fn seal() -> SealKey {
    SealKey::from_seed(&[9; 32])
}

fn instruction(bytes: &[u8]) {
    if let Some(read) = Instruction::from_bytes(bytes)
        && let Some(written) = read.to_bytes()
    {
        assert_eq!(written, bytes);
    }
}

fn reason(bytes: &[u8]) {
    let read = RouteFailure::from_reason(&FailReason(bytes.to_vec()));
    let written = read.to_reason();
    assert!(written.0.len() <= MAX_REASON);
    assert_eq!(RouteFailure::from_reason(&written).code, read.code);
    let is_unknown = read == RouteFailure::new(FailureCode::UnknownOrWrong);
    assert!(is_unknown || bytes.len() > MAX_REASON || written.0 == bytes, "what can be read is passed on as it is");
}

fn delivery(bytes: &[u8]) {
    if let Ok(read) = decode_exact::<Delivery>(bytes) {
        assert_eq!(read.encode(), bytes);
    }
}

fn announcement(bytes: &[u8]) {
    let _unsigned = Announcement::read(bytes, &key().public(), 0);
    if let Ok(mut read) = decode_exact::<Announcement>(bytes) {
        assert_eq!(read.encode(), bytes);
        read.hub = key().public();
        if let Ok(signed) = read.sign(&key()) {
            let valid_until = read.valid_until;
            assert_eq!(Announcement::read(&signed, &key().public(), valid_until), Ok(read));
        }
    }
}

fn invoice(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _read = Invoice::parse(text);
    }
    if let Ok(mut read) = decode_exact::<Invoice>(bytes) {
        assert_eq!(read.encode(), bytes);
        read.payee = key().public();
        if let Ok(text) = read.sign(&key()) {
            assert_eq!(Invoice::parse(&text), Ok(read));
        }
    }
}

/// An offer with these words comes to a hub that has no second channel, and these words are told as terms.
fn offered(bytes: &[u8]) {
    let mut router = Router::new(key(), seal(), RoutingPolicy { is_hub: true, ..RoutingPolicy::default() });
    let peer = SigningKey::from_seed(&[1; 32]).public();
    let terms = TransferTerms { amount: 1_000, lock: LOCK, expiry: 1_000 };
    let contract = ContractId([3; 32]);
    let (instruction, intent) = (bytes.to_vec(), Intent::Undecided);
    let row = IncomingTransfer { contract, premium: None, terms, calls: LockedCalls::NONE, instruction, intent };
    for input in [
        RouterInput::Tick(100_000),
        RouterInput::Head { chain: CHAIN, best: 100, finalised: 100 },
        RouterInput::ChannelUp { at: AT, peer, limits: TransferLimits::default() },
        RouterInput::Spendable { at: AT, amount: 1_000_000, risked: 1_000_000 },
        RouterInput::Tick(200_000),
        RouterInput::Announced { peer, bytes: bytes.to_vec() },
    ] {
        let outputs = router.handle(input);
        assert!(outputs.iter().all(|output| matches!(output, RouterOutput::Announce { .. })), "{outputs:?}");
    }
    let outputs = router.handle(RouterInput::Transfer(AT, TransferEvent::Offered(row)));
    match &outputs[..] {
        [RouterOutput::Command { at: AT, command: TransferCommand::Fail { contract: failed, .. } }] => {
            assert_eq!(*failed, contract);
        }
        // What may go back to whom it came from is an instruction like another.
        [RouterOutput::Command { at: AT, command: TransferCommand::Offer { .. } }] => {
            assert!(
                matches!(Instruction::from_bytes(bytes), Some(Instruction::Forward(forward)) if forward.next == peer)
            );
        }
        other => panic!("{other:?}"),
    }
}
