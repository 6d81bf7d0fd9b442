//! What must be true once a channel is over: the chain paid out what the users were told.

use super::{
    SHARE, World,
    chain::FUNDS,
    side::{Fate, Side},
};
use channel::{
    CloseReason, Effect, Event, Notice, Outcome, Performed, RefusalCode,
    transfer::{IncomingEnd, TransferEvent},
};
use protocol::{Amount, Party};

impl World {
    /// What a party has in the channel, as its user was told: payments, coins attached, payouts, shares, and transfers
    /// that were claimed.
    pub(crate) fn told(&self, party: Party) -> Amount {
        let side = &self.sides[party];
        let (paid, received) = side.turnover();
        let created = Party::BOTH.into_iter().flat_map(|party| self.sides[party].created()).collect();
        let (put_in, got) = side.contracts_turnover(&created);
        let [given, taken] = [party.peer(), party].map(|payee| self.sides[payee].taken_of_transfers());
        (SHARE + side.deposited + received + got + taken).checked_sub(paid + side.withdrawn + put_in + given).unwrap()
    }

    /// Whether a party was told that the channel was paid out while contracts hold coins.
    pub(crate) fn is_residual(&self, party: Party) -> bool {
        self.sides[party].was_told(|event| matches!(event, Event::Residual { .. })) > 0
    }

    /// The chain paid each honest party what its user was told, and each payment has counted once. A cheat is owed nothing.
    pub(crate) fn assert_reckoned(&mut self, cheat: Option<Party>) {
        match cheat {
            None => self.assert_books(),
            // A cheat may have signed what it did not let get on chain: that is its own loss.
            Some(cheat) => {
                let (paid, received) = (self.sides[cheat.peer()].paid(), &self.sides[cheat].received);
                assert!(received.starts_with(&paid), "{paid:?} was paid, {received:?} was received");
            }
        }
        for party in Party::BOTH {
            let (wealth, owed) = (self.chain.wealth(party), owed(self, party));
            match cheat {
                None => assert_eq!(wealth, owed, "{party:?}: what the chain paid is what its user was told"),
                Some(cheat) if cheat == party => {}
                Some(_) => assert!(wealth >= owed, "{party:?} has {wealth} and is owed {owed}"),
            }
        }
    }
}

impl Side {
    /// What it has of its peer's transfers: claimed in agreement, or by force as it was told.
    fn taken_of_transfers(&self) -> Amount {
        let mut claimed = self.claimed.clone();
        for (_, _, Performed { outcome, .. }) in &self.performed {
            if let Outcome::Called { contract, payouts, .. } = outcome
                && let Some(amount) = self.offered.get(contract).filter(|_| payouts[self.party] > 0)
            {
                let _known = claimed.insert(*contract, *amount);
            }
        }
        claimed.values().sum()
    }

    /// Notes what is told of the peer's transfers.
    pub(crate) fn note_transfers(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Transfer(TransferEvent::Offered(row)) => {
                    let _known = self.offered.insert(row.contract, row.terms.amount);
                }
                Effect::Transfer(TransferEvent::Ended { contract, end: IncomingEnd::Claimed }) => {
                    let _known = self.claimed.insert(*contract, self.offered[contract]);
                }
                _ => {}
            }
        }
    }
}

/// What a party must have in the end, from what its user was told. A fee that it offered is its own to give. What it put in and took out
/// while the channel was open comes to nothing.
fn owed(world: &World, party: Party) -> Amount {
    let side: &Side = &world.sides[party];
    let outside = FUNDS - SHARE - side.deposited + side.withdrawn;
    let balance = world.told(party);
    match side.closed() {
        // Settled, and what contracts still hold is nobody's.
        None if world.is_residual(party) => outside + balance,
        None | Some(CloseReason::NotOpened { .. } | CloseReason::OpeningExpired { .. }) => FUNDS,
        Some(CloseReason::Settled { .. } | CloseReason::Unseen { .. }) => outside + balance,
        Some(CloseReason::Mutual { balances }) => {
            let fee = side.total - balances.sum().unwrap();
            let given = balance - balances[party];
            assert!(given == 0 || given == fee, "{party:?} gives the fee or nothing");
            outside + balances[party] + world.chain.fees_earned[party]
        }
        Some(other) => panic!("an end that this harness knows nothing of: {other}"),
    }
}

/// Between honest peers the chain may say no to what the other did first, an answer may be late, and a channel that is over is unknown.
pub(crate) fn harmless(notice: &Notice) -> bool {
    match notice {
        Notice::CallRejected { .. }
        | Notice::CallFailed { .. }
        | Notice::OperationRefused { .. }
        | Notice::ShutdownAwaitsPeer
        | Notice::PeerSilent
        | Notice::NotOpened { .. }
        | Notice::Postponed { .. } => true,
        Notice::PeerError(code) => *code == RefusalCode::UNKNOWN_CHANNEL || *code == RefusalCode::TIMEOUT,
        Notice::PeerViolated(_)
        | Notice::StaleStore { .. }
        | Notice::SoloStepCancelled { .. }
        | Notice::StoreCopied
        | Notice::PendingReplay { .. }
        | Notice::Damaged { .. }
        | Notice::DefendOnly { .. } => false,
        Notice::AwaitsPeerConfirmation { .. } | Notice::Proposed { .. } | Notice::Left { .. } | Notice::Message(_) => {
            true
        }
        // None that this harness knows of.
        _ => false,
    }
}

impl Fate {
    /// Whether a user that was told this may be told that next.
    pub(super) const fn may_become(self, new: Self) -> bool {
        match (self, new) {
            (Self::Pending, _) | (Self::Paid(_), Self::Undone) => true,
            // What the peer holds a signature for it may still use (R6.1).
            (Self::Refused | Self::Failed | Self::ForceFailed | Self::Forcing | Self::Undone, Self::Paid(_)) => true,
            // Said again by a peer that would not answer, and still did not.
            (Self::Refused, Self::Refused | Self::Dropped) => true,
            (
                Self::Forcing,
                Self::Forcing | Self::Forced(_) | Self::ForceFailed | Self::Failed | Self::Refused | Self::Dropped,
            ) => true,
            _ => false,
        }
    }
}
