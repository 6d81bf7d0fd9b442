//! Why peers were slowed, refused or cut off: each cause with a name of its own, and counted.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// What a peer, or somebody who is none yet, did that this node does not put up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// A handshake did not come to an end: not this protocol, for somebody else, forged, or too slow.
    HandshakeFailed,
    /// A handshake gave way to another one, because its address or all together had too many.
    HandshakeDisplaced,
    /// A stranger gave way to another one, because its address or all together had too many.
    StrangerDisplaced,
    /// A stranger stayed for too long without any channel: cut off.
    StrangerIdle,
    /// A stranger said more than is read at once: slowed.
    StrangerHasty,
    /// A message was longer than this peer's may be: cut off.
    MessageTooLong,
    /// A frame was altered, or cannot hold anything: cut off.
    FrameDamaged,
    /// A message does not decode: cut off.
    Undecodable,
    /// More pings and pongs than anybody needs: cut off.
    TooManyPings,
    /// Too much waits to be read by the peer: cut off.
    Unread,
    /// The peer read nothing of what waits for it for too long: cut off.
    Stalled,
    /// The peer said nothing for too long: cut off.
    Silent,
    /// A message about a channel that is not here: refused.
    UnknownChannel,
    /// A message that breaks a rule of its channel: refused.
    Violation,
    /// The events that the peer caused wait for a subscriber in great number: slowed.
    EventsWaiting,
    /// Twice as many: cut off.
    EventsOverflow,
    /// More openings of one peer than may be not on chain yet: refused.
    OpeningsOfPeer,
    /// More openings of all strangers than may be not on chain yet: refused.
    OpeningsOfStrangers,
    /// The same of the strangers from one address.
    OpeningsOfAddress,
    /// An opening for which its initiator's vault has too little: refused.
    OpeningUnfunded,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::HandshakeFailed,
        Self::HandshakeDisplaced,
        Self::StrangerDisplaced,
        Self::StrangerIdle,
        Self::StrangerHasty,
        Self::MessageTooLong,
        Self::FrameDamaged,
        Self::Undecodable,
        Self::TooManyPings,
        Self::Unread,
        Self::Stalled,
        Self::Silent,
        Self::UnknownChannel,
        Self::Violation,
        Self::EventsWaiting,
        Self::EventsOverflow,
        Self::OpeningsOfPeer,
        Self::OpeningsOfStrangers,
        Self::OpeningsOfAddress,
        Self::OpeningUnfunded,
    ];

    /// The name under which it is counted, for metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HandshakeFailed => "handshake-failed",
            Self::HandshakeDisplaced => "handshake-displaced",
            Self::StrangerDisplaced => "stranger-displaced",
            Self::StrangerIdle => "stranger-idle",
            Self::StrangerHasty => "stranger-hasty",
            Self::MessageTooLong => "message-too-long",
            Self::FrameDamaged => "frame-damaged",
            Self::Undecodable => "undecodable",
            Self::TooManyPings => "too-many-pings",
            Self::Unread => "unread",
            Self::Stalled => "stalled",
            Self::Silent => "silent",
            Self::UnknownChannel => "unknown-channel",
            Self::Violation => "violation",
            Self::EventsWaiting => "events-waiting",
            Self::EventsOverflow => "events-overflow",
            Self::OpeningsOfPeer => "openings-of-peer",
            Self::OpeningsOfStrangers => "openings-of-strangers",
            Self::OpeningsOfAddress => "openings-of-address",
            Self::OpeningUnfunded => "opening-unfunded",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often each [`Cause`] has come up since the node started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CauseCounts([u64; Cause::ALL.len()]);

impl CauseCounts {
    /// How often this one has.
    #[must_use]
    pub fn of(&self, cause: Cause) -> u64 {
        self.iter().find(|(of, _)| *of == cause).map_or(0, |(_, count)| count)
    }

    /// Each with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Cause, u64)> {
        Cause::ALL.into_iter().zip(self.0)
    }
}

/// Where causes are counted: one for each node.
#[derive(Debug, Default)]
pub(super) struct CauseTally([AtomicU64; Cause::ALL.len()]);

impl CauseTally {
    pub(super) fn count(&self, cause: Cause) {
        let slot = Cause::ALL.iter().zip(&self.0).find(|(of, _)| **of == cause);
        if let Some((_, count)) = slot {
            let _before = count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> CauseCounts {
        CauseCounts(std::array::from_fn(|at| self.0.get(at).map_or(0, |count| count.load(Ordering::Relaxed))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_a_name_and_a_count_of_its_own() {
        let tally = CauseTally::default();
        for (times, cause) in Cause::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| tally.count(cause));
        }
        let counts = tally.read();
        for (times, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(counts.of(cause), times as u64, "{cause}");
        }
        let names: std::collections::BTreeSet<_> = Cause::ALL.into_iter().map(Cause::name).collect();
        assert_eq!(names.len(), Cause::ALL.len());
    }
}
