//! The bare cost of a round: both parties sign, each verifies the other; and of storing it.

use curve25519_dalek::{edwards::CompressedEdwardsY, montgomery::MontgomeryPoint};
use protocol::{
    AccountId, Base, ChannelId, Hash, Signature,
    crypto::{SigningKey, VerifyingKey},
    signing::{Domain, StateBody, signed_bytes},
};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

/// How many rounds one measurement makes.
const ROUNDS: u32 = 1_000;
const DURABLE_ROUNDS: u32 = 1_000;
/// How often pages are synced, how many the file has, how far from each other they are written, and their size in bytes.
const SYNCS: usize = 200;
const PAGES: usize = 2_000;
const APART: usize = 37;
const PAGE: usize = 4_096;
/// How many bytes each side says of a round.
const SAID: usize = 256;

/// Two parties that sign what they agree to, and nothing else.
struct Parties {
    keys: [SigningKey; 2],
    /// As channels keep their peer's.
    ready: [VerifyingKey; 2],
    domain: Domain,
}

impl Parties {
    fn new() -> Self {
        let keys = [SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32])];
        let ready = keys.each_ref().map(|key| VerifyingKey::from(key.public()));
        Self { keys, ready, domain: Domain { genesis: Hash([1; 32]), arbiter: AccountId([2; 32]) } }
    }

    /// What is signed of a round.
    fn message(&self, round: u64) -> Vec<u8> {
        let body =
            StateBody { round, base: Base::of(round.saturating_sub(1)), state_hash: Hash([4; 32]), valid_until: None };
        signed_bytes(&self.domain, &ChannelId([3; 32]), &body)
    }

    /// Each signs, keeps that, and the other verifies it.
    fn agree(&self, round: u64, mut keep: impl FnMut()) {
        let message = self.message(round);
        for (key, ready) in self.keys.iter().zip(&self.ready) {
            let signature = key.sign(&message);
            keep();
            assert!(ready.verify(&message, &signature));
        }
    }

    /// One of them signs, keeps that, and says it.
    fn sign(&self, party: usize, round: u64, keep: impl FnOnce()) -> [u8; SAID] {
        let Signature(signature) = self.keys[party].sign(&self.message(round));
        keep();
        let mut said = [0; SAID];
        said[..signature.len()].copy_from_slice(&signature);
        said
    }

    /// The other one verifies what one of them has said.
    fn verify(&self, party: usize, round: u64, said: &[u8; SAID]) {
        let signature = Signature(said[..64].try_into().unwrap());
        assert!(self.ready[party].verify(&self.message(round), &signature));
    }
}

/// Two signatures and two verifications, one after the other, on one core: the median of a few measurements.
pub(crate) fn round() -> Duration {
    let parties = Parties::new();
    let mut measured: Vec<_> = (0..5)
        .map(|_| {
            let began = Instant::now();
            (0..u64::from(ROUNDS)).for_each(|round| parties.agree(round, || {}));
            began.elapsed() / ROUNDS
        })
        .collect();
    measured.sort();
    measured[measured.len() / 2]
}

/// The same with a page synced after each signature: what a round takes that waits for the disk twice and does nothing else. The mean, as rates are.
pub(crate) fn round_with_two_syncs() -> Duration {
    let (parties, mut disk) = (Parties::new(), Disk::new());
    let began = Instant::now();
    (0..u64::from(DURABLE_ROUNDS)).for_each(|round| parties.agree(round, || disk.sync()));
    began.elapsed() / DURABLE_ROUNDS
}

/// The same between two threads, each with a disk's page of its own: one signs, syncs and says so over loopback; the other verifies, signs, syncs and answers; the first one
/// verifies. It is what two nodes do at least that wait for each other. The mean, as rates are.
pub(crate) fn round_between_two() -> Duration {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let answers = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        let (parties, mut disk, mut said) = (Parties::new(), Disk::new(), [0; SAID]);
        for round in 0..u64::from(DURABLE_ROUNDS) {
            stream.read_exact(&mut said).unwrap();
            parties.verify(0, round, &said);
            stream.write_all(&parties.sign(1, round, || disk.sync())).unwrap();
        }
    });
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let (parties, mut disk, mut said) = (Parties::new(), Disk::new(), [0; SAID]);
    let began = Instant::now();
    for round in 0..u64::from(DURABLE_ROUNDS) {
        stream.write_all(&parties.sign(0, round, || disk.sync())).unwrap();
        stream.read_exact(&mut said).unwrap();
        parties.verify(1, round, &said);
    }
    let elapsed = began.elapsed();
    answers.join().unwrap();
    elapsed / DURABLE_ROUNDS
}

/// What sealing words for a payee and opening them costs on the curve, on one core: an ephemeral key, the payee's key in its Montgomery form, and the shared
/// secret twice. The median of a few measurements.
pub(crate) fn sealing() -> Duration {
    let payee = SigningKey::from_seed(&[1; 32]).public();
    let mut measured: Vec<_> = (0..5)
        .map(|_| {
            let began = Instant::now();
            let mut secret = [7; 32];
            for _ in 0..ROUNDS {
                let ephemeral = MontgomeryPoint::mul_base_clamped(secret);
                let shared = CompressedEdwardsY(payee.0).decompress().unwrap().to_montgomery().mul_clamped(secret);
                let opened = ephemeral.mul_clamped(shared.0);
                // Each depends on the one before: none is left out.
                secret = opened.0;
            }
            assert_ne!(secret, [7; 32]);
            began.elapsed() / ROUNDS
        })
        .collect();
    measured.sort();
    measured[measured.len() / 2]
}

/// A file whose pages are written in place and synced.
struct Disk {
    file: File,
    syncs: usize,
}

impl Disk {
    fn new() -> Self {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![0; PAGE * PAGES]).unwrap();
        file.sync_all().unwrap();
        Self { file, syncs: 0 }
    }

    fn sync(&mut self) {
        let place = self.syncs * APART % PAGES;
        self.syncs += 1;
        let _at = self.file.seek(SeekFrom::Start((place * PAGE) as u64)).unwrap();
        self.file.write_all(&[1; PAGE]).unwrap();
        self.file.sync_data().unwrap();
    }
}

/// One `fdatasync` of this disk after a page was written in place: the median of many.
pub(crate) fn sync() -> Duration {
    let mut disk = Disk::new();
    let mut measured: Vec<_> = (0..SYNCS)
        .map(|_| {
            let began = Instant::now();
            disk.sync();
            began.elapsed()
        })
        .collect();
    measured.sort();
    measured[measured.len() / 2]
}
