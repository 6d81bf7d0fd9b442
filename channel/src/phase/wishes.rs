//! What the user has asked for and the peer has not signed: what it waits for, and taking it back.

use super::{Phase, closing::How};
use crate::{
    effect::{Effect, Event, Notice},
    error::Misuse,
    machine::{Channel, Link, Step},
};
use protocol::BlockNumber;

/// How far a close in agreement that the user asked for has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownStage {
    /// Nothing is signed: the peer cannot be reached.
    AwaitsPeer,
    /// Nothing is signed: own changes are to be answered first.
    AwaitsChanges,
    /// Nothing is signed: a deposit, a withdrawal or other delegates go first.
    AwaitsOperation,
    /// Nothing is signed: the chain, or a round that waits for one's own user, goes first.
    AwaitsTurn,
    /// Signed, and with the peer: nothing else is agreed until it is on chain, or this block is over.
    Offered {
        /// The last block that takes it.
        until: BlockNumber,
    },
    /// Signed by both, and on its way to the chain until this block is over.
    Agreed {
        /// The last block that takes it.
        until: BlockNumber,
    },
}

impl Channel {
    /// How far the close in agreement has come that the user asked for, or that the peer's has become.
    pub(crate) fn shutdown_stage(&self) -> Option<ShutdownStage> {
        match &self.phase {
            Phase::Open(live) if live.shutdown_wanted.is_some() => Some(if self.link != Link::Up {
                ShutdownStage::AwaitsPeer
            } else if live.pending() > 0 || live.out.highest_open().is_some() {
                ShutdownStage::AwaitsChanges
            } else if !live.operating.is_idle() {
                ShutdownStage::AwaitsOperation
            } else {
                ShutdownStage::AwaitsTurn
            }),
            Phase::Closing(_, How::Offered(offer)) => Some(ShutdownStage::Offered { until: offer.body.valid_until }),
            Phase::Closing(_, How::Agreed(agreed)) => Some(ShutdownStage::Agreed { until: agreed.body.valid_until }),
            _ => None,
        }
    }

    /// What is told of a close that was asked for while the peer cannot be reached: it waits, and can be taken back.
    pub(crate) fn shutdown_waits(&self) -> Step {
        match self.shutdown_stage() {
            Some(ShutdownStage::AwaitsPeer) => {
                Step::act(vec![Effect::Notify(Event::Notice(Notice::ShutdownAwaitsPeer))])
            }
            _ => Step::default(),
        }
    }

    /// Transition: open -> open
    pub(crate) fn on_user_cancel_shutdown(&mut self) -> Result<Step, Misuse> {
        let (state, stage) = (self.phase.name(), self.shutdown_stage());
        if let Some(ShutdownStage::Offered { until } | ShutdownStage::Agreed { until }) = stage {
            return Err(Misuse::ShutdownSigned { until });
        }
        match &mut self.phase {
            Phase::Open(live) => match live.shutdown_wanted.take() {
                Some(_fee) => Ok(Step::commit(Vec::new())),
                None => Err(Misuse::NoShutdown),
            },
            Phase::Closing(..) => Err(Misuse::AlreadyClosing),
            _ => Err(Misuse::NotOpen { state }),
        }
    }
}
