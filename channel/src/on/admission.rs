//! The one way in for what a peer proposes: a round, an operation, a close.

use crate::{
    channel::Channel,
    effect::Effect,
    error::Violation,
    message::{RefusalCode, Shutdown},
    operation::OperationBody,
    phase::Phase,
    step::{RefusalReply, Step},
    wait::{Act, WaitReason},
};
use protocol::{BlockNumber, Round};
use std::ops::ControlFlow;

/// What a peer proposes, of any kind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PeerProposal<'a> {
    Round(Round),
    /// The round that this side has pledged.
    Pledged(Round),
    Operation(&'a OperationBody),
    Shutdown(&'a Shutdown),
}

impl PeerProposal<'_> {
    const fn act(self) -> Act {
        match self {
            Self::Round(_) => Act::AgreeToRound,
            Self::Pledged(_) => Act::AgreeToPledged,
            Self::Operation(_) => Act::AgreeToOperation,
            Self::Shutdown(_) => Act::AgreeToShutdown,
        }
    }

    /// The name of the message that brings it.
    const fn name(self) -> &'static str {
        match self {
            Self::Round(_) | Self::Pledged(_) => "update",
            Self::Operation(body) => {
                let [created, ..] = body.kind().names();
                created
            }
            Self::Shutdown(_) => "shutdown",
        }
    }

    fn refused(self, code: RefusalCode) -> Step {
        let answer = match self {
            Self::Round(round) | Self::Pledged(round) => RefusalReply::UpdateError(round),
            Self::Operation(body) => RefusalReply::OperationError(body.kind(), body.round()),
            Self::Shutdown(_) => RefusalReply::ShutdownError,
        };
        Step::act(vec![Effect::Send(answer.with(code))])
    }
}

impl Channel {
    /// Whether a peer's proposal is looked at now. Where it is not, the step is all that becomes of it.
    ///
    /// # Errors
    /// [`Violation::OutOfPlace`] before the channel is open and after it has ended.
    pub(crate) fn admit(
        &mut self,
        proposal: PeerProposal<'_>,
        head: BlockNumber,
    ) -> Result<ControlFlow<Step>, Violation> {
        if self.phase.live().is_none() {
            return Err(self.out_of_place(proposal.name()));
        }
        let Some(reason) = self.waits_for(proposal.act(), head) else { return Ok(ControlFlow::Continue(())) };
        Ok(ControlFlow::Break(match (reason, proposal) {
            // From before a parting: the peer says it again once both know the same.
            (WaitReason::Disconnected | WaitReason::Left | WaitReason::Reestablishing, _) => Step::default(),
            // A signed close may be on its way: after it nothing else is agreed (R6.5).
            (WaitReason::ClosingOnChain | WaitReason::ClosingMutual | WaitReason::ClosingSolo, _) => {
                proposal.refused(RefusalCode::CLOSING)
            }
            (WaitReason::StaleStore, _) => proposal.refused(RefusalCode::STALE_STORE),
            // Said again after a lost connection.
            (WaitReason::Operation, PeerProposal::Operation(body)) if self.has_signed_for_peer(body) => {
                Step::act(self.signed_again())
            }
            // The peer refuses our proposal, or has signed it: its answer decides. Or it has seen before us that an operation expired.
            (WaitReason::Operation | WaitReason::Pledge | WaitReason::Answer, PeerProposal::Shutdown(shutdown)) => {
                self.defer_shutdown(shutdown);
                Step::default()
            }
            // What is signed or forced goes first, and the peer may not have seen it yet: signed now, the proposal would replace it (R5.4).
            _ => proposal.refused(RefusalCode::NOT_NOW),
        }))
    }

    fn has_signed_for_peer(&self, body: &OperationBody) -> bool {
        self.phase.live().is_some_and(|live| live.operation.is_signed_for_peer(body))
    }

    fn defer_shutdown(&mut self, shutdown: &Shutdown) {
        if let Phase::Open(live) = &mut self.phase {
            live.incoming.defer_shutdown(shutdown.clone());
        }
    }
}
