//! A record rebuilt from the arbiter's events alone (R5.14).

use protocol::{
    event::Event,
    record::{Phase, Record},
    Pair,
};

/// What the record is after `event`, seen by somebody who reads nothing but events.
pub(crate) fn rebuilt(before: Option<Record>, event: &Event) -> Option<Record> {
    if let Event::ChannelCreated { record } = event {
        assert_eq!(before, None, "a channel is created once");
        return Some(record.clone());
    }
    let mut record = before.expect("what happens to a channel follows its creation");
    match event {
        Event::ChannelCreated { .. } => unreachable!("handled above"),
        Event::ChannelClosedMutually { .. } => return None,
        Event::ChannelClosedSolo { round, state_hash, forced_from, closing } => {
            record.round = *round;
            record.state_hash = *state_hash;
            record.forced_from = *forced_from;
            record.phase = Phase::Closing(closing.clone());
        }
        Event::ChannelSlashed { round, state_hash, closing } => {
            record.round = *round;
            record.state_hash = *state_hash;
            record.forced_from = None;
            record.phase = Phase::Closing(closing.clone());
        }
        Event::ChannelSettled { remaining: 0, .. } => return None,
        Event::ChannelSettled { remaining, .. } => {
            record.total = *remaining;
            record.phase = Phase::Residual;
        }
    }
    if record.forced_from.is_none() {
        record.forced_steps = Pair::default();
    }
    Some(record)
}
