//! What a round's signatures cost both peers, one after the other on one core: two signatures and two checks. The check as a peer makes it, with the key's
//! point kept and without computing the nonce's, next to `verify_strict` of the library on the key's bytes, in one run.
//!
//! ```sh
//! cargo bench --profile dev --package ink-state-channels-protocol
//! ```

use criterion::{Criterion, criterion_group, criterion_main};
use protocol::{
    AccountId, Base, ChannelId, Hash, PublicKey, Signature,
    crypto::{SigningKey, VerifyingKey},
    signing::{Domain, StateBody, signed_bytes},
};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// How many times all ways are measured in turn, and how often each is done in a turn: so short that most turns are over before anything else gets the core.
const TURNS: usize = 4_000;
const TIMES: u32 = 5;

/// Something to be measured.
type Work<'a> = (&'static str, Box<dyn Fn() + 'a>);

/// The check by the library alone, from bytes.
fn strict(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    ed25519_dalek::VerifyingKey::from_bytes(&key.0)
        .is_ok_and(|key| key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok())
}

fn round(criterion: &mut Criterion) {
    let signers = [SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32])];
    let ready = signers.each_ref().map(|key| VerifyingKey::from(key.public()));
    let domain = Domain { genesis: Hash([1; 32]), arbiter: AccountId([2; 32]) };
    let body = StateBody { round: 7, base: Base::of(6), state_hash: Hash([4; 32]), valid_until: None };
    let message = signed_bytes(&domain, &ChannelId([3; 32]), &body);
    let [signer, _] = &signers;
    let [key, _] = &ready;
    let signature = signer.sign(&message);
    let works: [Work<'_>; 6] = [
        ("a signature", Box::new(|| assert_ne!(signer.sign(black_box(&message)), Signature([0; 64])))),
        ("a check, strict, from bytes", Box::new(|| assert!(strict(&key.public(), black_box(&message), &signature)))),
        (
            "a check, key made ready each time",
            Box::new(|| assert!(VerifyingKey::from(key.public()).verify(black_box(&message), &signature))),
        ),
        ("a check, key kept", Box::new(|| assert!(key.verify(black_box(&message), &signature)))),
        (
            "a round, strict, from bytes",
            Box::new(|| {
                for signer in &signers {
                    let signature = signer.sign(black_box(&message));
                    assert!(strict(&signer.public(), &message, &signature));
                }
            }),
        ),
        (
            "a round, keys kept",
            Box::new(|| {
                for (signer, key) in signers.iter().zip(&ready) {
                    let signature = signer.sign(black_box(&message));
                    assert!(key.verify(&message, &signature));
                }
            }),
        ),
    ];
    let mut group = criterion.benchmark_group("signatures");
    for (name, work) in &works {
        let _group = group.bench_function(*name, |bencher| bencher.iter(work));
    }
    group.finish();

    // All in turn, so that a machine that is busy for a while is so for all of them.
    println!("{:<36} {:>10} {:>10}", "", "median", "least");
    let mut taken: [Vec<Duration>; 6] = Default::default();
    for _ in 0..TURNS {
        for ((_, work), taken) in works.iter().zip(&mut taken) {
            let start = Instant::now();
            for _ in 0..TIMES {
                work();
            }
            taken.push(start.elapsed());
        }
    }
    for ((name, _), taken) in works.iter().zip(&mut taken) {
        taken.sort();
        let at = |place: usize| taken.get(place).copied().unwrap_or_default().as_secs_f64() * 1e6 / f64::from(TIMES);
        println!("{name:<36} {:>7.2} us {:>7.2} us", at(TURNS / 2), at(0));
    }
}

criterion_group!(benches, round);
criterion_main!(benches);
