//! What hubs say of themselves, and fees.

use ::channel::{ChannelRef, transfer::TransferLimits};
use network::{
    Announcement, AnnouncementError, At, Fee, HubTerms, MAX_ANNOUNCEMENT, MAX_HUBS_KEPT, MAX_SERVED, Router,
    RouterInput, RoutingPolicy, SealKey,
};
use protocol::{AccountId, Hash, PublicKey, crypto::SigningKey, signing::Domain};

const CHAIN: Domain = Domain { genesis: Hash([7; 32]), arbiter: AccountId([8; 32]) };

fn signer() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn announcement() -> Announcement {
    let terms = HubTerms {
        fee: Fee::default(),
        slot_fee: 0,
        delta: 2,
        least_expiry: 18,
        min_amount: 1,
        max_amount: u128::MAX,
        pledge_delta: None,
    };
    Announcement { hub: signer().public(), chain: CHAIN, sequence: 5, valid_until: 1_000, terms, serves: Vec::new() }
}

#[test]
fn the_newest_words_of_a_hub_count_and_nobody_elses() {
    let mut router =
        Router::new(SigningKey::from_seed(&[2; 32]), SealKey::from_seed(&[2; 32]), RoutingPolicy::default());
    let hub = signer().public();
    let bytes = announcement().sign(&signer()).unwrap();
    assert_eq!(router.announced(&hub, &bytes), Err(AnnouncementError::NoChannel));
    drop(router.handle(open(hub, 1)));
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
    drop(router.handle(RouterInput::Tick(1_001_000)));
    assert!(router.announcement(CHAIN, hub).is_none(), "it is over");
    let late = Announcement { sequence: 7, ..announcement() }.sign(&signer()).unwrap();
    assert_eq!(router.announced(&hub, &late), Err(AnnouncementError::Expired));
    let many = Announcement { serves: vec![PublicKey([0; 32]); MAX_SERVED + 1], ..announcement() };
    assert_eq!(many.sign(&signer()), Err(AnnouncementError::TooLong));
    let full = Announcement { serves: vec![PublicKey([0; 32]); MAX_SERVED], ..announcement() };
    assert!(full.sign(&signer()).is_ok_and(|bytes| bytes.len() <= MAX_ANNOUNCEMENT));
}

fn open(peer: PublicKey, number: u16) -> RouterInput {
    let mut channel = [0; 16];
    channel[..2].copy_from_slice(&number.to_le_bytes());
    RouterInput::ChannelUp {
        at: At { chain: CHAIN, channel: ChannelRef(channel) },
        peer,
        limits: TransferLimits::default(),
    }
}

#[test]
fn nobody_takes_the_place_of_others_by_many_words() {
    let mut router =
        Router::new(SigningKey::from_seed(&[2; 32]), SealKey::from_seed(&[2; 32]), RoutingPolicy::default());
    let hub = signer().public();
    drop(router.handle(open(hub, 0)));
    // In the names of chains where it has no channel.
    for number in 0..=MAX_HUBS_KEPT {
        let mut genesis = [0; 32];
        genesis[..8].copy_from_slice(&number.to_le_bytes());
        let elsewhere = Announcement { chain: Domain { genesis: Hash(genesis), ..CHAIN }, ..announcement() };
        let bytes = elsewhere.sign(&signer()).unwrap();
        assert_eq!(router.announced(&hub, &bytes), Err(AnnouncementError::NoChannel));
    }
    assert_eq!(router.announced(&hub, &announcement().sign(&signer()).unwrap()), Ok(()));
    // As many others as fit, whose words are over or whose channels are gone: they give way.
    for number in 1..u16::try_from(MAX_HUBS_KEPT).unwrap() {
        let key = SigningKey::from_seed(&[&number.to_le_bytes()[..], &[7; 30]].concat().try_into().unwrap());
        drop(router.handle(open(key.public(), number)));
        let valid_until = if number % 2 == 0 { 10 } else { 1_000 };
        let theirs = Announcement { hub: key.public(), valid_until, ..announcement() }.sign(&key).unwrap();
        assert_eq!(router.announced(&key.public(), &theirs), Ok(()));
    }
    let last = SigningKey::from_seed(&[9; 32]);
    let theirs = Announcement { hub: last.public(), ..announcement() }.sign(&last).unwrap();
    drop(router.handle(open(last.public(), 5_000)));
    assert_eq!(router.announced(&last.public(), &theirs), Err(AnnouncementError::TooMany));
    drop(router.handle(RouterInput::Tick(11_000)));
    assert_eq!(router.announced(&last.public(), &theirs), Ok(()));
    assert!(router.announcement(CHAIN, hub).is_some(), "who is of use stays");
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
