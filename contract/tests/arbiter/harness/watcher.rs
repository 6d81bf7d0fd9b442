//! A record rebuilt from the arbiter's events alone (R5.14).

use protocol::{
    Hash, Pair, Round,
    event::Event,
    record::{Phase, Record},
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
            advance(&mut record, *round, *state_hash);
            record.phase = Phase::Closing(closing.clone());
        }
        Event::ChannelDeposited { total, round, state_hash, .. }
        | Event::ChannelWithdrawn { total, round, state_hash, .. } => {
            record.total = *total;
            advance(&mut record, *round, *state_hash);
        }
        Event::ChannelSnapshotted { round, state_hash } => advance(&mut record, *round, *state_hash),
        Event::ChannelDelegatesSet { delegates, round, state_hash } => {
            record.terms.parties.initiator.delegates.clone_from(&delegates.initiator);
            record.terms.parties.responder.delegates.clone_from(&delegates.responder);
            advance(&mut record, *round, *state_hash);
        }
        Event::ChannelProgressed { round, forced_from, state_hash, forced_steps, total, closing, .. } => {
            record.round = *round;
            record.state_hash = *state_hash;
            record.forced_from = *forced_from;
            record.forced_steps = *forced_steps;
            record.total = *total;
            match closing {
                Some(closing) => record.phase = Phase::Closing(closing.clone()),
                None if record.phase == Phase::Residual && *total == 0 => return None,
                None => {}
            }
        }
        Event::ChannelSettled { remaining: 0, .. } => return None,
        Event::ChannelSettled { remaining, .. } => {
            record.total = *remaining;
            record.phase = Phase::Residual;
            record.forced_steps = Pair::default();
        }
    }
    if record.forced_from.is_none() {
        record.forced_steps = Pair::default();
    }
    Some(record)
}

/// A co-signed state replaces whatever was forced.
fn advance(record: &mut Record, round: Round, state_hash: Hash) {
    (record.round, record.state_hash, record.forced_from) = (round, state_hash, None);
}
