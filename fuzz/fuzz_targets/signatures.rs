//! The check of two signatures against `verify_strict` one by one, which may answer otherwise only as the oracle says: never for anybody
//! who does not have both keys, and never refusing what is valid (R3.4). Keys and signatures are good ones, good but for small orders, good
//! ones that were changed, and any bytes.

#![no_main]

#[path = "../../protocol/tests/support/crafted.rs"]
mod crafted;
#[allow(dead_code)]
#[path = "../../protocol/tests/support/signatures.rs"]
mod signatures;

use arbitrary::Arbitrary;
use crafted::{CraftedKey, ORDERS, encodings_of_small_order, joined, nonce_of, with_orders_added, with_torsion_added};
use libfuzzer_sys::fuzz_target;
use protocol::{Pair, PublicKey, Signature};
use signatures::BothShown;
use std::sync::LazyLock;

static OF_SMALL_ORDER: LazyLock<Vec<[u8; 32]>> = LazyLock::new(encodings_of_small_order);

fn of_small_order(choice: u8) -> [u8; 32] {
    OF_SMALL_ORDER[usize::from(choice) % OF_SMALL_ORDER.len()]
}

#[derive(Arbitrary, Debug)]
struct Input {
    message: Vec<u8>,
    one: Signer,
    /// Nobody: the first's key and signature are shown twice.
    two: Option<Signer>,
}

#[derive(Arbitrary, Debug)]
struct Signer {
    key: Key,
    nonce: Nonce,
    /// What is signed instead of the message.
    another: Option<u8>,
    tampering: Vec<Tampering>,
}

#[derive(Arbitrary, Debug)]
enum Key {
    Crafted { secret: u64, torsion: u8 },
    OfSmallOrder(u8),
    Any([u8; 32]),
}

#[derive(Arbitrary, Debug)]
enum Nonce {
    Crafted {
        nonce: u64,
        torsion: u8,
    },
    /// With the component of small order that the key needs.
    Fitting(u64),
    OfSmallOrder(u8),
    Any([u8; 32]),
}

#[derive(Arbitrary, Debug)]
enum Tampering {
    AddTorsion(u8),
    AddOrders(u8),
    FlipKey(u8),
    FlipSignature(u16),
    ReplaceKey(u8),
    ReplaceNonce(u8),
    ReplaceScalar([u8; 32]),
}

impl Signer {
    fn show(&self, message: &[u8]) -> (PublicKey, Signature) {
        let key = match self.key {
            Key::Crafted { secret, torsion } => CraftedKey::new(secret, torsion),
            Key::OfSmallOrder(choice) => CraftedKey::written(of_small_order(choice)),
            Key::Any(bytes) => CraftedKey::written(bytes),
        };
        let signed = self.another.as_ref().map_or(message, std::slice::from_ref);
        let made = match self.nonce {
            Nonce::Crafted { nonce, torsion } => key.sign(signed, nonce, torsion),
            Nonce::Fitting(nonce) => key.sign_fitting(signed, nonce).unwrap_or_else(|| key.sign(signed, nonce, 0)),
            Nonce::OfSmallOrder(choice) => key.sign_with(signed, 0, &of_small_order(choice), &key.public().0),
            Nonce::Any(r) => key.sign_with(signed, 0, &r, &key.public().0),
        };
        self.tampering.iter().take(4).fold((key.public(), made), |(key, made), tampering| tampering.apply(key, made))
    }
}

impl Tampering {
    fn apply(&self, mut key: PublicKey, mut made: Signature) -> (PublicKey, Signature) {
        let scalar = *made.0.last_chunk().unwrap();
        match *self {
            Self::AddTorsion(torsion) => made = with_torsion_added(&made, torsion).unwrap_or(made),
            Self::AddOrders(times) => made = with_orders_added(&made, times % (ORDERS + 1)).unwrap_or(made),
            Self::FlipKey(bit) => key.0[usize::from(bit / 8)] ^= 1 << (bit % 8),
            Self::FlipSignature(bit) => made.0[usize::from(bit / 8) % 64] ^= 1 << (bit % 8),
            Self::ReplaceKey(choice) => key = PublicKey(of_small_order(choice)),
            Self::ReplaceNonce(choice) => made = joined(&of_small_order(choice), &scalar),
            Self::ReplaceScalar(scalar) => made = joined(&nonce_of(&made), &scalar),
        }
        (key, made)
    }
}

fuzz_target!(|input: Input| {
    let Input { message, one, two } = input;
    let one = one.show(&message);
    let two = two.map_or(one, |two| two.show(&message));
    let both = BothShown { keys: Pair::new(one.0, two.0), message, signatures: Pair::new(one.1, two.1) };
    let _answer = both.check();
});
