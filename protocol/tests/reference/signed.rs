//! Who signed what (R3.4, R3.5): the signed bytes written out, and the library's own check.

use protocol::{ChannelId, Pair, Party, PublicKey, Rejection, Signature, signing::Domain};
use scale::Encode;

/// The kinds of R3.5, by their numbers.
pub const CREATE: u8 = 0;
pub const STATE: u8 = 1;
pub const DEPOSIT: u8 = 2;
pub const WITHDRAW: u8 = 3;
pub const CLOSE_MUTUAL: u8 = 4;
pub const SET_DELEGATES: u8 = 5;

/// Whether both parties signed; the initiator is asked first.
pub fn by_both(
    domain: &Domain,
    channel: &ChannelId,
    keys: Pair<PublicKey>,
    kind: u8,
    body: &impl Encode,
    signatures: &Pair<Signature>,
) -> Result<(), Rejection> {
    let mut message = b"ink-statechannel".to_vec();
    message.extend(1u16.to_le_bytes());
    message.extend(domain.genesis.0);
    message.extend(domain.arbiter.0);
    message.extend(channel.0);
    message.push(kind);
    message.extend(body.encode());
    for party in [Party::Initiator, Party::Responder] {
        let signature = ed25519_dalek::Signature::from_bytes(&signatures[party].0);
        let signed = ed25519_dalek::VerifyingKey::from_bytes(&keys[party].0)
            .is_ok_and(|key| key.verify_strict(&message, &signature).is_ok());
        if !signed {
            return Err(Rejection::SignatureInvalid { party });
        }
    }
    Ok(())
}
