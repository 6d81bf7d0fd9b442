//! What is shown as signatures, and what may be said of it: the contract's check and `verify_strict` of ed25519-dalek side by side (R3.4).

use crate::crafted::{has_small_order, has_torsion, is_equal_but_for_small_order};
use protocol::{
    Hash, Pair, Party, PublicKey, Signature,
    crypto::{Crypto, Native, SigningKey, VerifyingKey},
};

/// [`Crypto`] as the contract has it: two hashes, and the checks that come with the trait.
pub struct OnChain;

impl Crypto for OnChain {
    fn hash(&self, bytes: &[u8]) -> Hash {
        Native.hash(bytes)
    }

    fn sha2_256(&self, bytes: &[u8]) -> Hash {
        Native.sha2_256(bytes)
    }
}

/// What somebody shows as a signature.
#[derive(Clone, Debug)]
pub struct Shown {
    pub key: PublicKey,
    pub message: Vec<u8>,
    pub signature: Signature,
}

impl Shown {
    /// What ed25519-dalek says of it.
    pub fn is_strictly_valid(&self) -> bool {
        ed25519_dalek::VerifyingKey::from_bytes(&self.key.0).is_ok_and(|key| {
            key.verify_strict(&self.message, &ed25519_dalek::Signature::from_bytes(&self.signature.0)).is_ok()
        })
    }

    /// Both signatures over one message: this one at `place`, and a good one by another key at the other.
    pub fn beside_a_good_one(&self, place: Party) -> BothShown {
        let good = SigningKey::from_seed(b"a key of nobody in these vectors");
        let (key, signature) = (good.public(), good.sign(&self.message));
        let mut both = BothShown {
            keys: Pair::new(key, key),
            message: self.message.clone(),
            signatures: Pair::new(signature, signature),
        };
        (both.keys[place], both.signatures[place]) = (self.key, self.signature);
        both
    }

    /// Checks that the answer is `verify_strict`'s alone and, beside a good signature, at both places. Gives it back.
    #[track_caller]
    pub fn check_everywhere(&self) -> bool {
        for place in Party::BOTH {
            self.check_at(place);
        }
        self.check_alone()
    }

    #[track_caller]
    pub fn check_alone(&self) -> bool {
        let valid = self.is_strictly_valid();
        assert_eq!(OnChain.verify(&self.key, &self.message, &self.signature), valid, "alone: {self:?}");
        let ready = VerifyingKey::from(self.key);
        assert_eq!(ready.verify(&self.message, &self.signature), valid, "by a peer: {self:?}");
        valid
    }

    #[track_caller]
    pub fn check_at(&self, place: Party) {
        let expected = if self.is_strictly_valid() { Ok(()) } else { Err(place) };
        assert_eq!(self.beside_a_good_one(place).verify(), expected, "beside a good one: {self:?}");
    }
}

/// What two parties show as their signatures over one message.
#[derive(Clone, Debug)]
pub struct BothShown {
    pub keys: Pair<PublicKey>,
    pub message: Vec<u8>,
    pub signatures: Pair<Signature>,
}

impl BothShown {
    pub fn verify(&self) -> Result<(), Party> {
        OnChain.verify_both(&self.keys, &self.message, &self.signatures)
    }

    pub fn one(&self, party: Party) -> Shown {
        Shown { key: self.keys[party], message: self.message.clone(), signature: self.signatures[party] }
    }

    /// The first party whose signature is not strictly valid.
    pub fn one_by_one(&self) -> Result<(), Party> {
        Party::BOTH.into_iter().find(|party| !self.one(*party).is_strictly_valid()).map_or(Ok(()), Err)
    }

    /// Checks all that holds for any two signatures.
    ///
    /// Together they are answered as one by one, with one exception: where both lack nothing but a component of small order, and so were
    /// made by the owners of the keys, they may pass. It takes a responder's key with such a component, or a defect in both.
    #[track_caller]
    pub fn check(&self) -> Result<(), Party> {
        for party in Party::BOTH {
            let _valid = self.one(party).check_alone();
        }
        let (together, one_by_one) = (self.verify(), self.one_by_one());
        if together != one_by_one {
            assert_eq!(together, Ok(()), "what is valid one by one is not refused: {self:?}");
            for (party, key) in self.keys.iter() {
                let Shown { message, signature, .. } = self.one(party);
                assert!(is_equal_but_for_small_order(key, &message, &signature), "forged for {party:?}: {self:?}");
                assert!(!has_small_order(key, &signature), "a key or nonce of small order, {party:?}: {self:?}");
            }
            let both_fail = !Party::BOTH.into_iter().any(|party| self.one(party).is_strictly_valid());
            assert!(both_fail || has_torsion(&self.keys.responder), "a defect beside a good signature: {self:?}");
        }
        together
    }
}
