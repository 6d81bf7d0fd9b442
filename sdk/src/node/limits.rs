//! Every limit on what peers may ask of a node and make it hold, in one place, each with its reason (R6.9c). `docs/security/node.md` has the
//! table, which a test holds equal to the defaults here.
//!
//! A peer is a *stranger* as long as none of its channels here has been on chain and this node has neither dialled it nor opened a channel with it:
//! identities cost nothing, channels do. Strangers get the least of everything.

use protocol::terms::MAX_NONCE_AHEAD;
use std::time::Duration;

/// The most peers that one node serves at once, with channels or without: bounds tasks and sockets.
pub const MAX_PEERS: usize = 10_000;
/// The most channels with one peer: each is a row in the store and a place in the peer's task.
pub const MAX_CHANNELS_PER_PEER: usize = 20_000;
/// The most openings with one peer that are under way at once, for each side that asked, those among them that were refused and have not
/// expired: beyond them the arbiter would refuse their
/// nonces (R5.2).
pub const MAX_OPENINGS_PER_PEER: usize = 1_024;
const _: () = assert!(MAX_OPENINGS_PER_PEER as u64 <= MAX_NONCE_AHEAD, "each opening takes a nonce");
/// The longest message about a channel that is not here whose inside is looked at: an opening with all its delegates fits twice.
pub const MAX_UNKNOWN: usize = 2 * 1024;
/// How many vaults are read for a stranger within one block (R6.7): whoever is honest has one, and may have taken another account just now.
pub(super) const MAX_VAULTS_OF_STRANGER: usize = 4;

/// What each peer may ask of a node, and make it hold (R6.9c). What exceeds a limit is slowed, refused or cut off, and counted under its
/// [`Cause`](super::Cause).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimits {
    /// How many messages of one peer are handled before other tasks have their turn: a message may cost two verifications, so a turn stays
    /// near a millisecond.
    pub turn_messages: usize,
    /// The same in bytes: what is decoded in well under a millisecond.
    pub turn_bytes: usize,
    /// How many signs of life a peer may send at once: an honest one sends one in [`ping_interval`](super::NodeConfig::ping_interval).
    pub ping_burst: u32,
    /// How many more it may send with each second.
    pub pings_per_second: u32,
    /// How many messages a stranger may send at once: what a peer says at first, and a few openings. A new name, which costs a handshake, may send
    /// as many again.
    pub stranger_burst: u32,
    /// How many more are read with each second; the others wait. Each costs at most one verification: 30 strangers take a fifth of a core.
    pub stranger_messages_per_second: u32,
    /// The longest message of a stranger, in bytes: each may make the node hold one that never becomes whole.
    pub stranger_message: usize,
    /// How many bytes are held for a peer to read: four messages of full length. A slower one is dropped: when it comes back, both compare
    /// notes (R6.6).
    pub unsent: usize,
    /// The same for a stranger, who is told little.
    pub stranger_unsent: usize,
    /// How many events that a peer caused may wait for the slowest subscriber: beyond them the peer is slowed, beyond twice as many cut off.
    pub events: usize,
    /// The same in encoded bytes: 128 in-band messages of full length.
    pub event_bytes: usize,
    /// As [`events`](Self::events), for a stranger, who has nothing to tell.
    pub stranger_events: usize,
    /// How many messages of a peer with too many events waiting are read with each second: enough for the answers that its own events' reader
    /// may wait for.
    pub slowed_messages_per_second: u32,
    /// How many openings that a stranger asked for may be not on chain yet: a hub opens several at once. Each takes 8 KiB.
    pub stranger_openings: usize,
    /// The same for all strangers together: 8 MiB.
    pub strangers_openings: usize,
    /// The same for all strangers from one address, which is an IPv6 network of 64 bits: nobody alone has all places.
    pub openings_per_address: usize,
    /// How many strangers may be connected: each may hold half a MiB. When another one comes, the oldest of the address with the most of them
    /// gives way. Fewer where descriptors are few.
    pub strangers: usize,
    /// How many of them from one address, which is an IPv6 network of 64 bits: so that nobody alone has all places, and a few neighbours have
    /// room.
    pub strangers_per_address: usize,
    /// How long a stranger may stay without any channel.
    pub stranger_stays: Duration,
    /// How many handshakes may be under way: at a thousand connections a second from as many addresses each has a tenth of a second, two round
    /// trips across a continent. When another one comes, the oldest of the address with the most of them gives way. Fewer where descriptors
    /// are few.
    pub handshakes: usize,
    /// How many of them from one address: what an address opens beyond displaces its own.
    pub handshakes_per_address: usize,
    /// How many of the process's file descriptors are never used for strangers and handshakes: those of the store, of the chain's endpoints, of
    /// whatever else runs in the process.
    pub kept_descriptors: usize,
}

impl Default for NodeLimits {
    fn default() -> Self {
        Self {
            turn_messages: 16,
            turn_bytes: 128 * 1024,
            ping_burst: 64,
            pings_per_second: 8,
            stranger_burst: 256,
            stranger_messages_per_second: 128,
            stranger_message: 64 * 1024,
            unsent: 16 * 1024 * 1024,
            stranger_unsent: 512 * 1024,
            events: 2_048,
            event_bytes: 8 * 1024 * 1024,
            stranger_events: 16,
            slowed_messages_per_second: 100,
            stranger_openings: 32,
            strangers_openings: 1_024,
            openings_per_address: 256,
            strangers: 128,
            strangers_per_address: 32,
            stranger_stays: Duration::from_secs(120),
            handshakes: 128,
            handshakes_per_address: 32,
            kept_descriptors: 64,
        }
    }
}

impl NodeLimits {
    /// These limits where the process may have so many descriptors: half of what is not kept back goes to strangers and a quarter to handshakes
    /// at most, the rest is for peers with channels.
    pub(super) fn within(self, descriptors: usize) -> Self {
        let free = descriptors.saturating_sub(self.kept_descriptors);
        let (half, quarter) = (free.checked_div(2).unwrap_or_default(), free.checked_div(4).unwrap_or_default());
        Self { strangers: self.strangers.min(half).max(1), handshakes: self.handshakes.min(quarter).max(1), ..self }
    }
}

/// How many descriptors this process may have, where the system says so.
pub(super) fn descriptors() -> Option<usize> {
    soft_limit(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_descriptors_leave_room_for_peers_with_channels() {
        let limits = NodeLimits::default();
        assert_eq!(limits.within(100_000), limits);
        let few = limits.within(256);
        assert_eq!((few.strangers, few.handshakes), (96, 48));
        assert!(few.strangers + few.handshakes + limits.kept_descriptors <= 256 - 48);
        assert_eq!((limits.within(0).strangers, limits.within(0).handshakes), (1, 1));
    }

    #[test]
    fn the_systems_own_table_is_read() {
        let table = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(table), Some(1024));
        assert_eq!(soft_limit("Max open files            unlimited   unlimited   files"), None);
        assert_eq!(soft_limit(""), None);
    }

    /// What a page has between bars, without its quotation marks.
    fn cells(page: &str) -> Vec<Vec<String>> {
        let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
        page.lines().filter(|line| line.starts_with('|')).map(cells).collect()
    }

    #[test]
    fn the_page_has_every_limit_with_its_default() {
        let page = include_str!("../../../docs/security/node.md");
        let rows = cells(page);
        let told = |name: &str, value: &str| rows.iter().any(|row| row[0] == name && row[1].replace(',', "") == value);
        let defaults = format!("{:#?}", NodeLimits::default());
        let fields: Vec<_> =
            defaults.lines().filter_map(|line| line.trim().trim_end_matches(',').split_once(": ")).collect();
        assert!(fields.len() >= 21);
        for (name, value) in fields {
            assert!(told(name, value), "{name} is {value}");
        }
        for (name, value) in [
            ("MAX_PEERS", MAX_PEERS),
            ("MAX_CHANNELS_PER_PEER", MAX_CHANNELS_PER_PEER),
            ("MAX_OPENINGS_PER_PEER", MAX_OPENINGS_PER_PEER),
            ("MAX_UNKNOWN", MAX_UNKNOWN),
            ("MAX_VAULTS_OF_STRANGER", MAX_VAULTS_OF_STRANGER),
            ("MAX_ERRANDS", crate::node::carrying::MAX_ERRANDS),
        ] {
            assert!(told(name, &value.to_string()), "{name} is {value}");
        }
        assert!(told("MAX_ROUND_TIME", &channel::MAX_ROUND_TIME.to_string()));
        for cause in crate::node::Cause::ALL {
            assert!(rows.iter().any(|row| row[0] == cause.name()), "{cause} is not told of");
        }
    }
}
