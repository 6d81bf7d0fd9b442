//! A register of titles: every step, every refusal, every boundary, what a cheat would try, and what holds whatever the two do.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use app_kit::{
    BlockNumber, HashFunction, HashLock, MAX_STATE, Pair, Party, Preimage,
    testing::{Bench, CallFault, Native, Refusal},
};
use proptest::prelude::*;
use titles::{Creation, Error, Input, Lock, MAX_TITLES, State, Title, Titles};

const OWNER: Party = Party::Initiator;
const PEER: Party = Party::Responder;
const NOW: BlockNumber = 50;
const EXPIRY: BlockNumber = 100;
const LONG_AFTER: BlockNumber = EXPIRY + 1_000;
const SECRET: Preimage = Preimage([0x5E; 32]);
const OTHER: Preimage = Preimage([0x07; 32]);
/// The owner's titles are 3 and 7, the peer's is 5.
const TITLES: [(u32, Party); 3] = [(3, OWNER), (5, PEER), (7, OWNER)];
/// The one that tests are about.
const TITLE: u32 = 7;

const TOO_LATE: CallFault = CallFault::TooLate { expiry: EXPIRY };
const fn too_early(height: BlockNumber) -> CallFault {
    CallFault::TooEarly { expiry: EXPIRY, height }
}

fn opened_by(preimage: Preimage) -> HashLock {
    preimage.lock(HashFunction::Blake2b256, &Native)
}

fn give(title: u32) -> Input {
    Input::Give { title }
}

fn lock(title: u32) -> Input {
    Input::Lock { title, lock: opened_by(SECRET), expiry: EXPIRY }
}

fn claim(title: u32) -> Input {
    Input::Claim { title, preimage: SECRET }
}

fn give_back(title: u32) -> Input {
    Input::Return { title }
}

fn created(creation: Creation) -> Result<Bench<Titles>, Refusal<Error>> {
    Bench::create(OWNER, Pair::default(), NOW, creation)
}

fn bench() -> Bench<Titles> {
    created(TITLES.to_vec()).unwrap()
}

/// The title is locked for the peer.
fn locked() -> Bench<Titles> {
    let mut bench = bench();
    does(&mut bench, OWNER, lock(TITLE));
    bench
}

fn does(bench: &mut Bench<Titles>, caller: Party, input: Input) {
    let done = bench.call(caller, input).unwrap();
    assert_eq!((done.payouts, bench.balance()), (Pair::default(), 0), "no coins are about");
}

/// Whose the title is, and what it is locked with.
fn is(bench: &Bench<Titles>) -> (Party, Option<Lock>) {
    let title = *bench.state().title(TITLE).unwrap();
    assert_eq!(bench.state().title(5).unwrap(), &Title { number: 5, owner: PEER, lock: None }, "another title moved");
    (title.owner, title.lock)
}

fn refused(error: Error) -> Option<Refusal<Error>> {
    Some(Refusal::App(error))
}

#[test]
fn a_register_begins_with_titles_in_the_order_of_their_numbers() {
    let title = |(number, owner)| Title { number, owner, lock: None };
    assert_eq!(bench().state(), State { titles: TITLES.map(title).to_vec() });
    let error = |titles| created(titles).err();
    assert_eq!((error(vec![]), error(vec![(0, OWNER), (u32::MAX, PEER)])), (None, None));
    assert_eq!(error(vec![(3, OWNER), (3, PEER)]), refused(Error::NumbersOutOfOrder));
    assert_eq!(error(vec![(3, OWNER), (4, OWNER), (3, OWNER)]), refused(Error::NumbersOutOfOrder));
}

#[test]
fn the_longest_register_fits_into_a_state_also_where_all_is_locked() {
    let numbers = |count: usize| (0..count as u32).map(|number| (number, OWNER)).collect::<Vec<_>>();
    assert_eq!(created(numbers(MAX_TITLES + 1)).err(), refused(Error::TooManyTitles));
    let mut longest = created(numbers(MAX_TITLES)).unwrap();
    (0..MAX_TITLES as u32).for_each(|number| does(&mut longest, OWNER, lock(number)));
    assert!(longest.state_len() < 12 * 1024, "{} bytes of {MAX_STATE}", longest.state_len());
}

#[test]
fn coins_that_nobody_asked_for_are_refused() {
    let with = Bench::<Titles>::create(OWNER, Pair::new(0, 1), NOW, TITLES.to_vec());
    assert_eq!(with.err(), refused(Error::CoinsUnasked));
    for input in [give(TITLE), lock(TITLE)] {
        bench().assert_refused(OWNER, 1, input, Error::CoinsUnasked);
    }
    for input in [claim(TITLE), give_back(TITLE)] {
        locked().assert_refused(PEER, 1, input, Error::CoinsUnasked);
    }
}

#[test]
fn the_owner_gives_a_title_to_its_peer_and_nobody_else_does() {
    let mut bench = bench();
    bench.assert_refused(PEER, 0, give(TITLE), Error::NotTheOwner);
    does(&mut bench, OWNER, give(TITLE));
    assert_eq!(is(&bench), (PEER, None));
    bench.assert_refused(OWNER, 0, give(TITLE), Error::NotTheOwner);
    does(&mut bench, PEER, give(TITLE));
    assert_eq!(is(&bench), (OWNER, None));
}

#[test]
fn a_title_that_is_not_there_is_refused_by_name() {
    for input in [give(4), lock(4), claim(4), give_back(4)] {
        for caller in Party::BOTH {
            bench().assert_refused(caller, 0, input, Error::NoSuchTitle);
        }
    }
}

#[test]
fn a_claim_in_time_makes_the_title_the_peers_whoever_makes_it() {
    for caller in Party::BOTH {
        for height in [NOW, EXPIRY - 1] {
            let mut bench = locked();
            does(bench.at(height), caller, claim(TITLE));
            assert_eq!(is(&bench), (PEER, None));
            bench.assert_refused(caller, 0, claim(TITLE), Error::NotLocked);
        }
        for height in [EXPIRY, EXPIRY + 1, BlockNumber::MAX] {
            locked().at(height).assert_unmet(caller, claim(TITLE), TOO_LATE);
        }
    }
}

#[test]
fn a_claim_needs_the_pre_image_of_the_titles_own_lock() {
    let with = |preimage| Input::Claim { title: TITLE, preimage };
    locked().assert_unmet(PEER, with(OTHER), CallFault::WrongPreimage);
    let sha = Input::Lock { title: TITLE, lock: SECRET.lock(HashFunction::Sha2_256, &Native), expiry: EXPIRY };
    let mut bench = bench();
    does(&mut bench, OWNER, sha);
    let mut other = bench.clone();
    // Shown for the other function, it is not shown.
    other.show(opened_by(SECRET), NOW).at(EXPIRY).assert_unmet(PEER, claim(TITLE), TOO_LATE);
    does(&mut bench, PEER, claim(TITLE));
}

#[test]
fn what_was_shown_in_time_is_claimed_at_any_time_and_the_owner_does_not_have_it_back() {
    for height in [NOW, EXPIRY - 1, EXPIRY, LONG_AFTER] {
        let mut bench = locked();
        let _shown = bench.show(opened_by(SECRET), EXPIRY - 1).at(height);
        let fault = if height < EXPIRY { too_early(height) } else { CallFault::ShownInTime };
        bench.assert_unmet(OWNER, give_back(TITLE), fault);
        does(&mut bench, PEER, claim(TITLE));
        assert_eq!(is(&bench), (PEER, None));
    }
}

#[test]
fn what_was_not_shown_in_time_is_the_owners_from_the_expiry_on_and_never_claimed() {
    for shown_at in [None, Some(EXPIRY), Some(EXPIRY + 7)] {
        let mut bench = locked();
        if let Some(block) = shown_at {
            let _shown = bench.show(opened_by(SECRET), block);
        }
        for height in [NOW, EXPIRY - 1] {
            bench.at(height).assert_unmet(OWNER, give_back(TITLE), too_early(height));
        }
        for height in [EXPIRY, EXPIRY + 8, LONG_AFTER] {
            let mut bench = bench.clone();
            for caller in Party::BOTH {
                bench.at(height).assert_unmet(caller, claim(TITLE), TOO_LATE);
            }
            does(&mut bench, OWNER, give_back(TITLE));
            assert_eq!(is(&bench), (OWNER, None));
        }
    }
}

#[test]
fn the_peer_gives_a_lock_up_at_any_time_and_has_no_claim_from_then_on() {
    for height in [NOW, EXPIRY - 1, EXPIRY, LONG_AFTER] {
        for was_shown in [false, true] {
            let mut bench = locked();
            if was_shown {
                let _shown = bench.show(opened_by(SECRET), NOW);
            }
            does(bench.at(height), PEER, give_back(TITLE));
            assert_eq!(is(&bench), (OWNER, None));
            bench.assert_refused(PEER, 0, claim(TITLE), Error::NotLocked);
            bench.assert_refused(PEER, 0, give_back(TITLE), Error::NotLocked);
            does(&mut bench, OWNER, give(TITLE));
        }
    }
}

#[test]
fn a_locked_title_is_neither_given_nor_locked_anew_at_any_height() {
    let sooner = Input::Lock { title: TITLE, lock: opened_by(OTHER), expiry: NOW };
    for height in [NOW, EXPIRY - 1, EXPIRY, LONG_AFTER] {
        let mut bench = locked();
        for input in [give(TITLE), lock(TITLE), sooner] {
            bench.at(height).assert_refused(OWNER, 0, input, Error::Locked);
            bench.assert_refused(PEER, 0, input, Error::NotTheOwner);
        }
        assert_eq!(is(&bench), (OWNER, Some(Lock { lock: opened_by(SECRET), expiry: EXPIRY })));
    }
}

#[test]
fn nobody_locks_what_belongs_to_the_other() {
    bench().assert_refused(PEER, 0, lock(TITLE), Error::NotTheOwner);
    bench().assert_refused(OWNER, 0, lock(5), Error::NotTheOwner);
}

#[test]
fn a_title_that_is_not_locked_is_neither_claimed_nor_returned() {
    for input in [claim(TITLE), give_back(TITLE)] {
        for caller in Party::BOTH {
            bench().show(opened_by(SECRET), NOW).assert_refused(caller, 0, input, Error::NotLocked);
        }
    }
}

#[test]
fn titles_with_one_lock_are_claimed_or_returned_each_by_itself_and_with_one_pre_image() {
    let mut bench = locked();
    does(&mut bench, OWNER, lock(3));
    does(bench.at(EXPIRY - 1), PEER, claim(3));
    // The claim has shown it, in time for all.
    bench.at(LONG_AFTER).assert_unmet(OWNER, give_back(TITLE), CallFault::ShownInTime);
    does(&mut bench, PEER, claim(TITLE));
    assert_eq!(is(&bench), (PEER, None));
}

#[test]
fn a_lock_counts_by_its_own_expiry_also_where_it_has_expired_when_it_is_made() {
    let mut bench = bench();
    does(bench.at(EXPIRY + 1), OWNER, lock(TITLE));
    let mut shown = bench.clone();
    bench.assert_unmet(PEER, claim(TITLE), TOO_LATE);
    does(&mut bench, OWNER, give_back(TITLE));
    does(shown.show(opened_by(SECRET), EXPIRY - 1), PEER, claim(TITLE));
    assert_eq!((is(&bench).0, is(&shown).0), (OWNER, PEER));
}

#[test]
fn who_claimed_is_the_owner_and_may_lock_for_the_other() {
    let mut bench = locked();
    does(&mut bench, PEER, claim(TITLE));
    bench.assert_refused(OWNER, 0, lock(TITLE), Error::NotTheOwner);
    does(&mut bench, PEER, lock(TITLE));
    bench.assert_unmet(PEER, give_back(TITLE), too_early(NOW));
    does(&mut bench, OWNER, give_back(TITLE));
    assert_eq!(is(&bench), (PEER, None));
}

#[test]
fn the_bytes_of_inputs_and_errors_stay_what_they_are_and_a_lock_and_a_pre_image_come_last() {
    use scale::Encode;
    assert_eq!(TITLES.to_vec().encode(), vec![(3u32, 0u8), (5, 1), (7, 0)].encode());
    let words = |call: u8| (call, TITLE).encode();
    let lock_bytes = [&[0][..], &opened_by(SECRET).digest.0, &EXPIRY.to_le_bytes()].concat();
    assert_eq!(give(TITLE).encode(), words(0));
    assert_eq!(lock(TITLE).encode(), [words(1), lock_bytes.clone()].concat());
    assert_eq!(claim(TITLE).encode(), [words(2), SECRET.0.to_vec()].concat());
    assert_eq!(give_back(TITLE).encode(), words(3));
    assert_eq!([Error::CoinsUnasked.encode(), Error::NotLocked.encode()], [[0], [6]]);
    let title = *locked().state().title(TITLE).unwrap();
    assert_eq!(title.encode(), [TITLE.encode(), vec![0, 1], lock_bytes].concat());
}

fn party() -> impl Strategy<Value = Party> {
    prop_oneof![Just(Party::Initiator), Just(Party::Responder)]
}

/// Few titles, pre-images and expiries, so that calls meet.
fn input() -> impl Strategy<Value = Input> {
    let title = || prop_oneof![8 => prop_oneof![Just(3u32), Just(5), Just(7)], 1 => any::<u32>()];
    let preimage = || prop_oneof![Just(SECRET), Just(OTHER)];
    prop_oneof![
        1 => title().prop_map(give),
        4 => (title(), preimage(), 60..140u32)
            .prop_map(|(title, preimage, expiry)| Input::Lock { title, lock: opened_by(preimage), expiry }),
        4 => (title(), preimage()).prop_map(|(title, preimage)| Input::Claim { title, preimage }),
        3 => title().prop_map(give_back),
    ]
}

/// What befalls the contract: a call at a height, or a pre-image that somebody shows there.
type Event = (BlockNumber, Party, Input, Option<Preimage>);

fn event() -> impl Strategy<Value = Event> {
    let shown = prop_oneof![6 => Just(None), 1 => Just(Some(SECRET)), 1 => Just(Some(OTHER))];
    (50..160u32, party(), input(), shown)
}

/// How a lock ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Claimed,
    GivenUp,
    TakenBack,
}

/// The one way in which the call may end a title's lock, by the rules as they are told; `None` where it may not.
fn may_end(
    title: &Title,
    caller: Party,
    input: Input,
    height: BlockNumber,
    first: Option<BlockNumber>,
) -> Option<Ended> {
    let Lock { lock, expiry } = title.lock?;
    let in_time = first.is_some_and(|block| block < expiry);
    match input {
        Input::Claim { title: number, preimage } if number == title.number && opened_by(preimage) == lock => {
            (in_time || (first.is_none() && height < expiry)).then_some(Ended::Claimed)
        }
        Input::Return { title: number } if number == title.number => {
            let silent = height >= expiry && !in_time;
            (caller != title.owner).then_some(Ended::GivenUp).or(silent.then_some(Ended::TakenBack))
        }
        _ => None,
    }
}

proptest! {
    /// Each title is there, once, and belongs to one of the two. It moves only as its owner said, by a gift or by a lock whose pre-image was shown in time. A lock ends
    /// in exactly one of three ways, and long after the expiry exactly one of the two can end it by need.
    #[test]
    fn a_title_always_has_one_owner_and_a_lock_ends_in_exactly_one_way(events in prop::collection::vec(event(), 0..60)) {
        let mut bench = bench();
        let mut first: Vec<(HashLock, BlockNumber)> = Vec::new();
        let shown = |first: &[(HashLock, BlockNumber)], lock| first.iter().find(|(of, _)| *of == lock).map(|(_, block)| *block);
        for (height, caller, input, preimage) in events {
            if let Some(preimage) = preimage {
                let _shown = bench.show(opened_by(preimage), height);
                if shown(&first, opened_by(preimage)).is_none() {
                    first.push((opened_by(preimage), height));
                }
            }
            let before = bench.state();
            let done = bench.at(height).call(caller, input).is_ok();
            let after = bench.state();
            prop_assert_eq!(before.titles.iter().map(|title| title.number).collect::<Vec<_>>(), [3, 5, 7]);
            let changed = before.titles.iter().zip(&after.titles).filter(|(before, after)| before != after);
            prop_assert_eq!(changed.count(), usize::from(done), "a call that is made changes one title");
            for (before, after) in before.titles.iter().zip(&after.titles) {
                prop_assert_eq!(before.number, after.number);
                let of_lock = before.lock.and_then(|lock| shown(&first, lock.lock));
                let ended = may_end(before, caller, input, height, of_lock);
                match (before.lock, after.lock) {
                    (Some(lock), None) => {
                        let ended = ended.unwrap();
                        let moved = ended == Ended::Claimed;
                        prop_assert_eq!(after.owner, if moved { before.owner.peer() } else { before.owner });
                        if moved && of_lock.is_none() {
                            first.push((lock.lock, height));
                        }
                    }
                    (before_lock, after_lock) if before != after => {
                        prop_assert_eq!(before_lock, None, "a lock is neither replaced nor given away");
                        prop_assert_eq!(caller, before.owner);
                        let given = after.owner != before.owner;
                        prop_assert_eq!(given, after_lock.is_none());
                        let expected = match input {
                            Input::Give { .. } => None,
                            Input::Lock { lock, expiry, .. } => Some(Lock { lock, expiry }),
                            _ => unreachable!("it ends locks"),
                        };
                        prop_assert_eq!(after_lock, expected);
                    }
                    _ => prop_assert_eq!(ended, None, "what may end a lock ends it"),
                }
            }
        }
        let all = bench.state().titles;
        for title in all.into_iter().filter(|title| title.lock.is_some()) {
            let Lock { lock, .. } = title.lock.unwrap();
            let preimage = if opened_by(SECRET) == lock { SECRET } else { OTHER };
            let claimed = bench.clone().at(LONG_AFTER).call(title.owner.peer(), Input::Claim { title: title.number, preimage });
            let returned = bench.clone().at(LONG_AFTER).call(title.owner, give_back(title.number));
            prop_assert_ne!(claimed.is_ok(), returned.is_ok(), "after the expiry it is due to one of the two");
        }
    }

    /// No bytes make it panic, and none of the peer's makes a title its own that is not locked for it.
    #[test]
    fn arbitrary_bytes_take_no_title(bytes in prop::collection::vec(any::<u8>(), 0..50), height: u32) {
        let mut bench = bench();
        let _done = bench.at(height).pay_bytes(PEER, 0, &bytes);
        prop_assert!([3, 7].into_iter().all(|number| bench.state().title(number).unwrap().owner == OWNER));
    }
}
