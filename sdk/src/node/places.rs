//! Who gets a place where places are few: handshakes under way, and strangers. Whoever has a channel here needs none (R6.9c).

use super::limits::NodeLimits;
use protocol::PublicKey;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::Semaphore;

/// Where somebody comes from, as far as one pays for being somewhere else: an IPv4 address, or an IPv6 network of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Origin(IpAddr);

impl Origin {
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// A bounded number of places, and of those for one origin. Whoever comes gets one: where there is none left, the oldest of an origin that has too
/// many gives way.
#[derive(Debug)]
pub(super) struct Places<K> {
    most: usize,
    most_per_origin: usize,
    next: u64,
    /// By when they came.
    taken: BTreeMap<u64, (K, Origin)>,
    by_key: HashMap<K, u64>,
}

impl<K: Copy + Eq + Hash> Places<K> {
    pub(super) fn new(most: usize, most_per_origin: usize) -> Self {
        Self { most, most_per_origin, next: 0, taken: BTreeMap::new(), by_key: HashMap::new() }
    }

    /// Gives a place to `key`, and says who has to give way for it.
    pub(super) fn enter(&mut self, key: K, origin: Origin) -> Option<K> {
        self.leave(&key);
        let displaced = self.displaced_by(origin);
        if let Some(displaced) = displaced {
            self.leave(&displaced);
        }
        let _none = self.by_key.insert(key, self.next);
        let _none = self.taken.insert(self.next, (key, origin));
        self.next = self.next.wrapping_add(1);
        displaced
    }

    pub(super) fn leave(&mut self, key: &K) {
        if let Some(number) = self.by_key.remove(key) {
            let _was_there = self.taken.remove(&number);
        }
    }

    fn displaced_by(&self, origin: Origin) -> Option<K> {
        let mut counts = BTreeMap::<Origin, usize>::new();
        for (_, origin) in self.taken.values() {
            let count = counts.entry(*origin).or_default();
            *count = count.saturating_add(1);
        }
        let crowded = if counts.get(&origin).is_some_and(|count| *count >= self.most_per_origin) {
            origin
        } else if self.taken.len() >= self.most {
            counts.into_iter().max_by_key(|(_, count)| *count)?.0
        } else {
            return None;
        };
        self.taken.values().find(|(_, origin)| *origin == crowded).map(|(key, _)| *key)
    }
}

/// So many places of one kind for each origin.
#[derive(Debug)]
pub(super) struct PerOrigin {
    most: usize,
    taken: Mutex<HashMap<Origin, Weak<Semaphore>>>,
}

impl PerOrigin {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.min(Semaphore::MAX_PERMITS), taken: Mutex::default() }
    }

    /// The places of one origin. Origins that have none taken are forgotten.
    pub(super) fn of(&self, origin: Origin) -> Arc<Semaphore> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = taken.get(&origin).and_then(Weak::upgrade) {
            return places;
        }
        taken.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(self.most));
        let _none = taken.insert(origin, Arc::downgrade(&places));
        places
    }
}

/// The strangers that are connected, and everybody who is none.
#[derive(Debug)]
pub(super) struct Strangers {
    places: Places<PublicKey>,
    known: HashSet<PublicKey>,
}

impl Strangers {
    pub(super) fn new(limits: &NodeLimits) -> Self {
        Self { places: Places::new(limits.strangers, limits.strangers_per_address), known: HashSet::new() }
    }

    /// `peer` has connected: who has to give way, where it is a stranger.
    pub(super) fn enter(&mut self, peer: PublicKey, origin: Origin) -> Option<PublicKey> {
        if self.known.contains(&peer) { None } else { self.places.enter(peer, origin) }
    }

    /// `peer` has a channel here, or this node wants one with it.
    pub(super) fn befriend(&mut self, peer: PublicKey) {
        self.places.leave(&peer);
        let _was_not = self.known.insert(peer);
    }

    /// `peer` has none any more.
    pub(super) fn estrange(&mut self, peer: &PublicKey) {
        let _was = self.known.remove(peer);
    }

    /// `peer` has gone.
    pub(super) fn leave(&mut self, peer: &PublicKey) {
        self.places.leave(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(last: u8) -> Origin {
        Origin::of(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn an_origin_with_too_many_displaces_its_own_oldest() {
        let mut places = Places::new(10, 2);
        assert_eq!((places.enter(1, origin(1)), places.enter(2, origin(1))), (None, None));
        assert_eq!(places.enter(3, origin(2)), None);
        assert_eq!(places.enter(4, origin(1)), Some(1));
        assert_eq!(places.enter(5, origin(1)), Some(2));
        places.leave(&4);
        assert_eq!(places.enter(6, origin(1)), None);
    }

    #[test]
    fn where_all_places_are_taken_the_origin_with_the_most_gives_one() {
        let mut places = Places::new(4, 3);
        for (key, from) in [(1, 1), (2, 2), (3, 2), (4, 2)] {
            assert_eq!(places.enter(key, origin(from)), None);
        }
        assert_eq!(places.enter(5, origin(3)), Some(2), "the oldest of the crowd, not the oldest of all");
        assert_eq!(places.enter(5, origin(3)), None, "it had a place already");
        assert_eq!(places.taken.len(), 4);
    }

    #[test]
    fn who_has_a_channel_needs_no_place() {
        let mut strangers = Strangers::new(&NodeLimits { strangers: 1, ..NodeLimits::default() });
        let [friend, one, other] = [1, 2, 3].map(|byte| PublicKey([byte; 32]));
        strangers.befriend(friend);
        assert_eq!(strangers.enter(one, origin(1)), None);
        assert_eq!(strangers.enter(friend, origin(1)), None);
        assert_eq!(strangers.enter(other, origin(2)), Some(one));
        strangers.estrange(&friend);
        assert_eq!(strangers.enter(friend, origin(1)), Some(other));
        strangers.befriend(friend);
        assert_eq!(strangers.enter(other, origin(1)), None);
    }

    #[test]
    fn each_origin_has_places_of_its_own_and_gets_them_back() {
        let places = PerOrigin::new(1);
        let taken = places.of(origin(1)).try_acquire_owned();
        assert!(taken.is_ok() && places.of(origin(1)).try_acquire_owned().is_err());
        assert!(places.of(origin(2)).try_acquire_owned().is_ok());
        drop(taken);
        assert!(places.of(origin(1)).try_acquire_owned().is_ok());
    }

    #[test]
    fn neighbours_in_one_network_are_one_origin() {
        let of = |address: &str| Origin::of(address.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), origin(1));
        assert_ne!(origin(1), origin(2));
    }
}
