//! What hubs say of themselves, and fees.

use network::{Announcement, AnnouncementError, Fee, HubTerms, MAX_ANNOUNCEMENT, MAX_SERVED, Policy, Router, SealKey};
use protocol::{AccountId, Hash, PublicKey, crypto::SigningKey, signing::Domain};

const CHAIN: Domain = Domain { genesis: Hash([7; 32]), arbiter: AccountId([8; 32]) };

fn signer() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn announcement() -> Announcement {
    let terms =
        HubTerms { fee: Fee::default(), slot_fee: 0, delta: 2, least_expiry: 18, min_amount: 1, max_amount: u128::MAX };
    Announcement { hub: signer().public(), chain: CHAIN, sequence: 5, valid_until: 1_000, terms, serves: Vec::new() }
}

#[test]
fn the_newest_words_of_a_hub_count_and_nobody_elses() {
    let mut router = Router::new(SigningKey::from_seed(&[2; 32]), SealKey::from_seed(&[2; 32]), Policy::default());
    let hub = signer().public();
    let bytes = announcement().sign(&signer()).unwrap();
    assert_eq!(router.announced(&PublicKey([3; 32]), &bytes), Err(AnnouncementError::NotItsOwn));
    assert_eq!(router.announced(&hub, &bytes), Ok(()));
    assert_eq!(router.announced(&hub, &bytes), Err(AnnouncementError::NotNewer { given: 5, have: 5 }));
    let mut changed = bytes.clone();
    changed[70] ^= 1;
    assert_eq!(router.announced(&hub, &changed), Err(AnnouncementError::NotItsOwn));
    assert_eq!(router.announced(&hub, &bytes[1..]), Err(AnnouncementError::Malformed));
    assert_eq!(router.announced(&hub, &vec![1; MAX_ANNOUNCEMENT + 1]), Err(AnnouncementError::TooLong));
    let newer = Announcement { sequence: 6, ..announcement() }.sign(&signer()).unwrap();
    assert_eq!(router.announced(&hub, &newer), Ok(()));
    assert_eq!(router.announcement(CHAIN, hub).map(|kept| kept.sequence), Some(6));
    drop(router.handle(network::Input::Tick(1_001_000)));
    assert!(router.announcement(CHAIN, hub).is_none(), "it is over");
    let late = Announcement { sequence: 7, ..announcement() }.sign(&signer()).unwrap();
    assert_eq!(router.announced(&hub, &late), Err(AnnouncementError::Expired));
    let many = Announcement { serves: vec![PublicKey([0; 32]); MAX_SERVED + 1], ..announcement() };
    assert_eq!(many.sign(&signer()), Err(AnnouncementError::TooLong));
    let full = Announcement { serves: vec![PublicKey([0; 32]); MAX_SERVED], ..announcement() };
    assert!(full.sign(&signer()).is_ok_and(|bytes| bytes.len() <= MAX_ANNOUNCEMENT));
}

#[test]
fn a_fee_is_rounded_up_and_never_overflows() {
    let fee = |base, parts_per_million| Fee { base, parts_per_million };
    assert_eq!(fee(0, 0).of(u128::MAX), Some(0));
    assert_eq!(fee(0, 1).of(1), Some(1));
    assert_eq!(fee(0, 1).of(1_000_000), Some(1));
    assert_eq!(fee(0, 1).of(1_000_001), Some(2));
    assert_eq!(fee(5, 1_000).of(2_001), Some(8));
    assert_eq!(fee(0, 2_000_000).of(u128::MAX), None);
    assert_eq!(fee(1, 0).with(u128::MAX), None);
    assert_eq!(fee(u128::MAX, 0).of(0), Some(u128::MAX));
    assert_eq!(fee(10, 0).without(9), 0);
}

proptest::proptest! {
    #[test]
    fn what_can_go_on_is_the_most_that_the_fee_leaves(base in 0_u128..1_000, parts: u32, incoming in 0_u128..1 << 100) {
        let fee = Fee { base, parts_per_million: parts };
        let most = fee.without(incoming);
        if most > 0 {
            assert!(fee.with(most).is_some_and(|needed| needed <= incoming));
        }
        assert!(fee.with(most + 1).is_some_and(|needed| needed > incoming));
    }
}
