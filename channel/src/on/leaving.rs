//! Parting from a peer and coming back, and the application's own words.
//!
//! ```text
//!  leave  -->            parts
//!         <-- leave_ack
//!  parts; later either says reestablish, and the other answers
//! ```

use crate::{
    channel::{Channel, LinkState},
    effect::Effect,
    error::{Misuse, Violation},
    event::Notice,
    message::{MAX_INBAND, Message},
    phase::Phase,
    step::Step,
};
use protocol::Party;

impl Channel {
    /// Transition: open | closing -> disconnected, once the peer has answered
    pub(crate) fn on_user_leave(&mut self) -> Result<Step, Misuse> {
        let state = self.phase.name();
        if self.phase.live().is_none() {
            return Err(Misuse::NotOpen { state });
        }
        if self.link != LinkState::Up {
            return Err(Misuse::Disconnected);
        }
        self.link = LinkState::Leaving;
        Ok(Step::act(vec![Effect::Send(Message::Leave)]))
    }

    /// Transition: disconnected -> open | closing, once both know the same
    pub(crate) fn on_user_rejoin(&mut self) -> Result<Step, Misuse> {
        let state = self.phase.name();
        match (self.phase.live(), self.link) {
            (None, _) => Err(Misuse::NotOpen { state }),
            (_, LinkState::Down) => Err(Misuse::Disconnected),
            // It has not parted yet, or has not begun to.
            (_, LinkState::Syncing | LinkState::Up | LinkState::Leaving) => Ok(Step::default()),
            (_, LinkState::Left) => Ok(self.begin_to_sync()),
        }
    }

    /// Transition: open | closing -> disconnected
    pub(crate) fn on_peer_leave(&mut self) -> Result<Step, Violation> {
        // A peer that closes alone is open before we are.
        if self.phase.live().is_none() && !matches!(self.phase, Phase::Signed(_)) {
            return Err(self.out_of_place("leave"));
        }
        let by = if self.link == LinkState::Leaving { self.me } else { self.me.peer() };
        let told = self.part(by);
        Ok(Step::act(vec![Effect::Send(Message::LeaveAck)]).and(told))
    }

    /// Transition: open | closing -> disconnected
    pub(crate) fn on_peer_leave_ack(&mut self) -> Result<Step, Violation> {
        match self.phase {
            Phase::Open(_) | Phase::Closing(..) if self.link == LinkState::Leaving => Ok(self.part(self.me)),
            // Both left at once, or it took too long; or the channel has ended meanwhile.
            Phase::Open(_) | Phase::Closing(..) | Phase::Closed(_) => Ok(Step::default()),
            _ => Err(self.out_of_place("leave_ack")),
        }
    }

    /// The peer did not answer: this side parts all the same.
    pub(crate) fn leave_unanswered(&mut self) -> Step {
        self.part(self.me)
    }

    fn part(&mut self, by: Party) -> Step {
        if self.link == LinkState::Left {
            return Step::default();
        }
        self.link = LinkState::Left;
        self.forget_unsaved();
        Step::notify(Notice::Left { by })
    }

    /// Transition: none
    pub(crate) fn on_user_message(&self, words: Vec<u8>) -> Result<Step, Misuse> {
        let state = self.phase.name();
        if matches!(self.phase, Phase::Closed(_)) {
            return Err(Misuse::NotOpen { state });
        }
        if words.len() > MAX_INBAND {
            return Err(Misuse::InbandTooLong { got: words.len(), max: MAX_INBAND });
        }
        if self.link != LinkState::Up {
            return Err(Misuse::Disconnected);
        }
        Ok(Step::act(vec![Effect::Send(Message::Inband(words))]))
    }

    /// Transition: none
    pub(crate) fn on_peer_inband(&self, words: Vec<u8>) -> Result<Step, Violation> {
        if matches!(self.phase, Phase::Closed(_)) {
            return Err(self.out_of_place("inband_message"));
        }
        if words.len() > MAX_INBAND {
            return Err(Violation::InbandTooLong { got: words.len() });
        }
        Ok(Step::notify(Notice::Message(words)))
    }
}
