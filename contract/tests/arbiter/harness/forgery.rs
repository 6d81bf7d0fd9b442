//! Signatures that look right and are not: what each co-signed call must see through (R3.5, R4.6).

use super::{
    actors::{keys, strangers_key},
    mutations,
    signing::Binding,
};
use protocol::{AccountId, Hash, Pair, Party, Rejection, Signature, signing::Kind};
use scale::Encode;

mutations! {
    /// One thing wrong with the signatures of an otherwise healthy call.
    pub(crate) Forgery {
        /// A channel with the same accounts and nonce on a sister chain: its signatures must not count here.
        MadeForAnotherGenesis,
        /// Another arbiter on the same chain, perhaps of an earlier deployment.
        MadeForAnotherArbiter,
        /// An earlier or a parallel channel of the same two parties.
        MadeForAnotherChannel,
        /// A body of another kind whose bytes happen to be the same.
        MadeForAnotherKind,
        /// Rules of a later version, under which the same body may mean something else.
        MadeForAnotherVersion,
        /// Another protocol altogether that signs with the same keys.
        MadeForAnotherProtocol,
        /// Both signed, but each stands in the other's place.
        Swapped,
        /// The initiator never signed.
        InitiatorsMissing,
        /// The responder never signed: what the initiator could post alone.
        RespondersMissing,
        /// The responder signs for both: what it could post alone.
        InitiatorsByResponder,
        /// The initiator signs for both.
        RespondersByInitiator,
        /// Somebody else signs for the initiator.
        InitiatorsByStranger,
        /// Somebody else signs for the responder.
        RespondersByStranger,
        /// The same signature written with another scalar: strictness is what keeps signatures unique (R3.4).
        InitiatorsScalarNotReduced,
        /// The last bit of the second signature.
        RespondersDamaged,
    }
}

impl Forgery {
    /// The forged signatures, and what they must be refused with.
    pub(crate) fn forge(self, healthy: &Binding, body: &impl Encode) -> (Pair<Signature>, Rejection) {
        let keys = keys();
        let mut binding = *healthy;
        let mut signatures = healthy.sign(&keys, body);
        let mut blamed = Party::Initiator;
        match self {
            Self::MadeForAnotherGenesis => binding.domain.genesis = flipped(binding.domain.genesis),
            Self::MadeForAnotherArbiter => {
                binding.domain.arbiter = AccountId(flipped(Hash(binding.domain.arbiter.0)).0)
            }
            Self::MadeForAnotherChannel => binding.channel.0 = flipped(Hash(binding.channel.0)).0,
            Self::MadeForAnotherKind => {
                binding.kind = if binding.kind == Kind::State { Kind::CloseMutual } else { Kind::State };
            }
            Self::MadeForAnotherVersion => binding.version = 2,
            Self::MadeForAnotherProtocol => binding.tag = *b"ink-statechannes",
            Self::Swapped => signatures = Pair::new(signatures.responder, signatures.initiator),
            Self::InitiatorsMissing => signatures.initiator = Signature([0; 64]),
            Self::RespondersMissing => signatures.responder = Signature([0; 64]),
            Self::InitiatorsByResponder => signatures.initiator = signatures.responder,
            Self::RespondersByInitiator => signatures.responder = signatures.initiator,
            Self::InitiatorsByStranger => signatures.initiator = strangers_key().sign(&healthy.bytes(body)),
            Self::RespondersByStranger => signatures.responder = strangers_key().sign(&healthy.bytes(body)),
            Self::InitiatorsScalarNotReduced => add_group_order(&mut signatures.initiator),
            Self::RespondersDamaged => signatures.responder.0[63] ^= 1,
        }
        match self {
            Self::MadeForAnotherGenesis
            | Self::MadeForAnotherArbiter
            | Self::MadeForAnotherChannel
            | Self::MadeForAnotherKind
            | Self::MadeForAnotherVersion
            | Self::MadeForAnotherProtocol => signatures = binding.sign(&keys, body),
            Self::RespondersMissing
            | Self::RespondersByInitiator
            | Self::RespondersByStranger
            | Self::RespondersDamaged => blamed = Party::Responder,
            Self::Swapped
            | Self::InitiatorsMissing
            | Self::InitiatorsByResponder
            | Self::InitiatorsByStranger
            | Self::InitiatorsScalarNotReduced => {}
        }
        (signatures, Rejection::SignatureInvalid { party: blamed })
    }
}

fn flipped(Hash(mut bytes): Hash) -> Hash {
    bytes[0] ^= 1;
    Hash(bytes)
}

/// Adds the order of the curve's group to the signature's scalar: a lax verifier takes both, a strict one only the smaller.
fn add_group_order(Signature(bytes): &mut Signature) {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, order) in bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        [*byte, _] = sum.to_le_bytes();
        carry = sum >> 8;
    }
    assert_eq!(carry, 0, "the sum fits");
}
