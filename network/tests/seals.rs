//! What is sealed for a payee is opened by the payee alone, under its own lock.

use network::SealKey;
use protocol::{
    Hash,
    contracts::conditional::{HashFunction, HashLock},
};

#[test]
fn what_nobody_sealed_does_not_open() {
    let key = SealKey::from_seed(&[1; 32]);
    let lock = HashLock { function: HashFunction::Blake2b256, digest: Hash([2; 32]) };
    for bytes in [vec![], vec![0; 31], vec![0; 48], vec![0; 200], vec![1; 80]] {
        assert_eq!(key.open(&bytes, &lock), None);
    }
    assert!(!format!("{key:?}").contains("scalar"));
}
