//! A record rebuilt from the arbiter's events alone (R5.14).

use protocol::{
    Base, BlockNumber, Hash, Mark, Pair, Round,
    event::ArbiterEvent,
    record::{OnChain, Phase, Record},
};
use scale::{Decode, Encode};

/// What the record is after `event` in block `now`, seen by somebody who reads nothing but events.
pub(crate) fn rebuilt(before: Option<Record>, event: &ArbiterEvent, now: BlockNumber) -> Option<Record> {
    if let ArbiterEvent::ChannelCreated { record } = event {
        assert_eq!(before, None, "a channel is created once");
        return Some(record.clone());
    }
    let mut record = before.expect("what happens to a channel follows its creation");
    match event {
        ArbiterEvent::ChannelCreated { .. } => unreachable!("handled above"),
        ArbiterEvent::ChannelClosedMutually { .. } => return None,
        ArbiterEvent::ChannelClosedSolo { at, state_hash, closing } => {
            if at.agreed != record.on_chain.at.agreed {
                record.forced_steps = Pair::default();
            }
            (record.on_chain.at, record.on_chain.state_hash) = (*at, *state_hash);
            record.phase = Phase::Closing(closing.clone());
        }
        ArbiterEvent::ChannelSlashed { round, state_hash, closing } => {
            advance(&mut record, *round, *state_hash);
            record.phase = Phase::Closing(closing.clone());
        }
        ArbiterEvent::ChannelDeposited { total, round, state_hash, .. }
        | ArbiterEvent::ChannelWithdrawn { total, round, state_hash, .. } => {
            record.total = *total;
            advance(&mut record, *round, *state_hash);
        }
        ArbiterEvent::ChannelSnapshotted { round, state_hash } => advance(&mut record, *round, *state_hash),
        ArbiterEvent::ChannelDelegatesSet { delegates, round, state_hash } => {
            record.terms.parties.initiator.delegates.clone_from(&delegates.initiator);
            record.terms.parties.responder.delegates.clone_from(&delegates.responder);
            advance(&mut record, *round, *state_hash);
        }
        ArbiterEvent::ChannelProgressed { party, at, state_hash, forced_steps, total, closing, .. } => {
            (record.on_chain.at, record.on_chain.state_hash) = (*at, *state_hash);
            record.total = *total;
            let (lock_period, max_forced) = (record.terms.lock_period, record.terms.max_forced);
            if let Phase::Residual { counted_from } = &mut record.phase {
                if record.forced_steps[*party] == 0 || now >= counted_from[*party] + lock_period {
                    counted_from[*party] = now;
                }
                if *total == 0 {
                    return None;
                }
            } else {
                mark(&mut record.on_chain, now, lock_period, max_forced);
            }
            record.forced_steps = *forced_steps;
            if let Some(closing) = closing {
                record.phase = Phase::Closing(closing.clone());
            }
        }
        ArbiterEvent::ChannelSettled { remaining: 0, .. } => return None,
        ArbiterEvent::ChannelSettled { remaining, .. } => {
            record.total = *remaining;
            record.on_chain = OnChain { maturity: protocol::Maturity::default(), ..record.on_chain };
            record.phase = Phase::Residual { counted_from: Pair::new(now, now) };
            record.forced_steps = Pair::default();
        }
    }
    Some(record)
}

/// A co-signed state replaces whatever was forced, and steps are counted anew.
fn advance(record: &mut Record, round: Round, state_hash: Hash) {
    (record.on_chain.at, record.on_chain.state_hash) = (Base { agreed: round, steps: 0 }, state_hash);
    record.forced_steps = Pair::default();
}

/// Adds the mark of a forcing transaction, written down anew from R5.4b: what is mature by now is the floor, what is above it stays, and
/// beyond `8 x max_forced` the lowest go.
fn mark(on_chain: &mut OnChain, now: BlockNumber, lock_period: BlockNumber, max_forced: u8) {
    let (mut floor, mut marks) = <(Base, Vec<Mark>)>::decode(&mut &on_chain.maturity.encode()[..]).unwrap();
    for mark in &marks {
        if mark.block + lock_period <= now && mark.reached > floor {
            floor = mark.reached;
        }
    }
    marks.retain(|mark| mark.reached > floor);
    marks.push(Mark { reached: on_chain.at, block: now });
    while marks.len() > 8 * usize::from(max_forced) {
        let _lowest = marks.remove(0);
    }
    on_chain.maturity = Decode::decode(&mut &(floor, marks).encode()[..]).unwrap();
}
