//! The three messages of the handshake, without any I/O: each step consumes the one before it.

use super::error::{HandshakeError, HandshakeStep};
use crate::keys::{self, Identity};
use protocol::PublicKey;
use snow::{Builder, HandshakeState, StatelessTransportState};

/// The version of everything a peer can see of a node: frames, handshake, messages. Two nodes talk only where it is equal.
pub const PROTOCOL_VERSION: u16 = 1;

/// The first bytes of every connection.
pub(super) const MAGIC: [u8; 8] = *b"channels";
const PATTERN: &str = "Noise_XK_25519_ChaChaPoly_BLAKE2b";

/// `MAGIC | version | e (32) | tag`.
pub(super) const HELLO: usize = 8 + 2 + 32 + 16;
/// `WELCOME | e (32) | tag`.
pub(super) const REPLY: usize = 1 + 32 + 16;
/// `s (32) | tag | identity (32) | tag`.
pub(super) const PROOF: usize = 32 + 16 + 32 + 16;

/// The reply goes on with the handshake.
const WELCOME: u8 = 0;
/// The reply ends it: the listener's version follows.
const OTHER_VERSION: u8 = 1;
/// The reply ends it: the hello cannot be read with the listener's key.
const NOT_FOR_US: u8 = 2;

/// Both sides know each other.
#[derive(Debug)]
pub(super) struct Established {
    pub(super) peer: PublicKey,
    pub(super) cipher: StatelessTransportState,
}

/// The dialler, once it has said hello.
#[derive(Debug)]
pub(super) struct AwaitingReply {
    noise: HandshakeState,
    us: PublicKey,
    peer: PublicKey,
}

impl AwaitingReply {
    /// Starts towards `peer`; the second value is the hello.
    pub(super) fn start(us: &Identity, peer: PublicKey) -> Result<(Self, Vec<u8>), HandshakeError> {
        let peer_noise = keys::noise_public(&peer)?;
        let prologue = prologue(&peer);
        let mut noise = builder(us, &prologue)
            .and_then(|builder| builder.remote_public_key(&peer_noise))
            .and_then(Builder::build_initiator)
            .map_err(HandshakeError::Internal)?;
        let mut hello = [&MAGIC[..], &PROTOCOL_VERSION.to_be_bytes()].concat();
        append(&mut noise, &[], &mut hello)?;
        Ok((Self { noise, us: us.public(), peer }, hello))
    }

    /// Reads the listener's reply; the second value is the proof, and the session stands once it is sent.
    pub(super) fn on_reply(mut self, reply: &[u8]) -> Result<(Established, Vec<u8>), HandshakeError> {
        let step = HandshakeStep::Reply;
        match reply.split_first() {
            Some((&WELCOME, noise)) => {
                check_length(step, reply, REPLY)?;
                let _empty = self.noise.read_message(noise, &mut []).map_err(|_| HandshakeError::Forged { step })?;
            }
            Some((&OTHER_VERSION, version)) => {
                let version = version.try_into().map_err(|_| HandshakeError::NotThisProtocol { step })?;
                let theirs = u16::from_be_bytes(version);
                return Err(HandshakeError::VersionMismatch { ours: PROTOCOL_VERSION, theirs });
            }
            Some((&NOT_FOR_US, [])) => return Err(HandshakeError::WrongIdentity { dialled: self.peer }),
            _ => return Err(HandshakeError::NotThisProtocol { step }),
        }
        let mut proof = Vec::new();
        append(&mut self.noise, self.us.as_bytes(), &mut proof)?;
        Ok((established(self.noise, self.peer)?, proof))
    }
}

/// The listener, once it has replied.
#[derive(Debug)]
pub(super) struct AwaitingProof {
    noise: HandshakeState,
}

impl AwaitingProof {
    /// Reads a dialler's hello; the second value is the reply.
    pub(super) fn on_hello(us: &Identity, hello: &[u8]) -> Result<(Self, Vec<u8>), HandshakeError> {
        let step = HandshakeStep::Hello;
        let (magic, rest) = hello.split_first_chunk().ok_or(HandshakeError::NotThisProtocol { step })?;
        let (version, message) = rest.split_first_chunk().ok_or(HandshakeError::NotThisProtocol { step })?;
        if *magic != MAGIC {
            return Err(HandshakeError::NotThisProtocol { step });
        }
        let theirs = u16::from_be_bytes(*version);
        if theirs != PROTOCOL_VERSION {
            return Err(HandshakeError::VersionMismatch { ours: PROTOCOL_VERSION, theirs });
        }
        check_length(step, hello, HELLO)?;

        let prologue = prologue(&us.public());
        let mut noise = builder(us, &prologue).and_then(Builder::build_responder).map_err(HandshakeError::Internal)?;
        let _empty = noise.read_message(message, &mut []).map_err(|_| HandshakeError::NotForUs)?;
        let mut reply = vec![WELCOME];
        append(&mut noise, &[], &mut reply)?;
        Ok((Self { noise }, reply))
    }

    /// Reads the dialler's proof of who it is; the session stands.
    pub(super) fn on_proof(mut self, proof: &[u8]) -> Result<Established, HandshakeError> {
        let step = HandshakeStep::Proof;
        check_length(step, proof, PROOF)?;
        let mut claimed = PublicKey([0; 32]);
        let _length = self.noise.read_message(proof, &mut claimed.0).map_err(|_| HandshakeError::Forged { step })?;
        let expected = keys::noise_public(&claimed)?;
        if self.noise.get_remote_static() != Some(&expected[..]) {
            return Err(HandshakeError::IdentityNotProven { claimed });
        }
        established(self.noise, claimed)
    }
}

/// What the dialler is told before the listener closes: only what helps an honest one, and nothing about keys.
pub(super) fn refusal(error: &HandshakeError) -> Option<Vec<u8>> {
    match error {
        HandshakeError::VersionMismatch { ours, .. } => Some([&[OTHER_VERSION][..], &ours.to_be_bytes()].concat()),
        HandshakeError::NotForUs => Some(vec![NOT_FOR_US]),
        _ => None,
    }
}

/// What both sides must agree on for the handshake to succeed. The listener's identity is in it because its Noise key has lost a sign.
fn prologue(listener: &PublicKey) -> Vec<u8> {
    [&MAGIC[..], &PROTOCOL_VERSION.to_be_bytes(), listener.as_bytes()].concat()
}

fn builder<'a>(us: &'a Identity, prologue: &'a [u8]) -> Result<Builder<'a>, snow::Error> {
    Builder::new(PATTERN.parse()?).local_private_key(us.noise_secret())?.prologue(prologue)
}

fn append(noise: &mut HandshakeState, payload: &[u8], message: &mut Vec<u8>) -> Result<(), HandshakeError> {
    let mut buffer = [0; PROOF];
    let length = noise.write_message(payload, &mut buffer).map_err(HandshakeError::Internal)?;
    message.extend(buffer.iter().take(length));
    Ok(())
}

fn established(noise: HandshakeState, peer: PublicKey) -> Result<Established, HandshakeError> {
    let cipher = noise.into_stateless_transport_mode().map_err(HandshakeError::Internal)?;
    Ok(Established { peer, cipher })
}

const fn check_length(step: HandshakeStep, message: &[u8], expected: usize) -> Result<(), HandshakeError> {
    let got = message.len();
    if got == expected { Ok(()) } else { Err(HandshakeError::WrongLength { step, got, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity(seed: u8) -> Identity {
        Identity::from_seed(&[seed; 32])
    }

    #[test]
    fn both_sides_know_each_other_and_share_keys() {
        let (alice, bob) = (identity(1), identity(2));
        let (dialler, hello) = AwaitingReply::start(&alice, bob.public()).unwrap();
        let (listener, reply) = AwaitingProof::on_hello(&bob, &hello).unwrap();
        let (at_alice, proof) = dialler.on_reply(&reply).unwrap();
        let at_bob = listener.on_proof(&proof).unwrap();
        assert_eq!((hello.len(), reply.len(), proof.len()), (HELLO, REPLY, PROOF));
        assert_eq!((at_alice.peer, at_bob.peer), (bob.public(), alice.public()));

        let (mut sealed, mut opened) = ([0; 18], [0; 2]);
        assert_eq!(at_alice.cipher.write_message(5, b"hi", &mut sealed), Ok(18));
        assert_eq!(at_bob.cipher.read_message(5, &sealed, &mut opened), Ok(2));
        assert_eq!(&opened, b"hi");
        assert!(at_bob.cipher.read_message(6, &sealed, &mut opened).is_err());
    }

    #[test]
    fn the_negated_identity_has_the_same_noise_key_and_is_still_refused() {
        let (alice, bob) = (identity(1), identity(2));
        let mut negated = bob.public();
        negated.0[31] ^= 0x80;
        assert_eq!(keys::noise_public(&negated).unwrap(), keys::noise_public(&bob.public()).unwrap());
        let (_dialler, hello) = AwaitingReply::start(&alice, negated).unwrap();
        assert!(matches!(AwaitingProof::on_hello(&bob, &hello), Err(HandshakeError::NotForUs)));
    }

    #[test]
    fn a_changed_bit_anywhere_is_noticed_by_the_one_who_reads_it() {
        let (alice, bob) = (identity(1), identity(2));
        let (_, hello) = AwaitingReply::start(&alice, bob.public()).unwrap();
        for at in 0..HELLO {
            let mut changed = hello.clone();
            changed[at] ^= 1;
            assert!(AwaitingProof::on_hello(&bob, &changed).is_err(), "hello byte {at}");
        }
        for at in 0..REPLY {
            let (dialler, hello) = AwaitingReply::start(&alice, bob.public()).unwrap();
            let (_, mut reply) = AwaitingProof::on_hello(&bob, &hello).unwrap();
            reply[at] ^= 1;
            assert!(dialler.on_reply(&reply).is_err(), "reply byte {at}");
        }
        for at in 0..PROOF {
            let (dialler, hello) = AwaitingReply::start(&alice, bob.public()).unwrap();
            let (listener, reply) = AwaitingProof::on_hello(&bob, &hello).unwrap();
            let (_, mut proof) = dialler.on_reply(&reply).unwrap();
            proof[at] ^= 1;
            assert!(
                matches!(listener.on_proof(&proof), Err(HandshakeError::Forged { step: HandshakeStep::Proof })),
                "proof byte {at}"
            );
        }
    }

    proptest! {
        #[test]
        fn random_messages_are_refused_without_panic(noise in prop::collection::vec(any::<u8>(), 0..600)) {
            let (alice, bob) = (identity(1), identity(2));
            prop_assert!(AwaitingProof::on_hello(&bob, &noise).is_err());
            let disguised = [&MAGIC[..], &PROTOCOL_VERSION.to_be_bytes(), &noise].concat();
            prop_assert!(AwaitingProof::on_hello(&bob, &disguised).is_err());

            for status in [WELCOME, OTHER_VERSION, NOT_FOR_US, 3] {
                let (dialler, _) = AwaitingReply::start(&alice, bob.public()).unwrap();
                prop_assert!(dialler.on_reply(&[&[status][..], &noise].concat()).is_err());
            }
            let (_, hello) = AwaitingReply::start(&alice, bob.public()).unwrap();
            let (listener, _) = AwaitingProof::on_hello(&bob, &hello).unwrap();
            prop_assert!(listener.on_proof(&noise).is_err());
        }
    }
}
