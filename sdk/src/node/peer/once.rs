//! Withdrawals that are made once for a swap, kept in one commit with the channel's own step (R8.5g).

use super::Peer;
use crate::node::{
    NodeError,
    inbox::Reply,
    slot::Slot,
    withdrawals::{Becoming, Withdrawal},
};
use channel::{ChannelRef, CloseReason, Command, Event, Misuse, OperationKind, Step};
use network::SwapId;
use protocol::{AccountId, Amount, Round, contracts::conditional::HashLock};

impl Peer {
    /// The user wants coins of a swap withdrawn: asked again, it waits for what is under way, or hears what has come of it.
    pub(super) fn on_withdraw_once(
        &mut self,
        reference: ChannelRef,
        (id, lock): (SwapId, HashLock),
        (amount, to): (Amount, AccountId),
        reply: Reply<Round>,
    ) {
        let Some(peers) = self.peers.upgrade() else { return };
        let waits = |slot: &mut Slot, reply| {
            if let Some(before) = slot.operation.replace(reply) {
                let _gone = before.send(Err(Misuse::OperationPending.into()));
            }
        };
        // It is noted before it is asked for, so that two who ask at once ask for one.
        let one = Withdrawal { peer: self.identity, reference, lock, to, round: None };
        match peers.withdrawals.begin(id, one) {
            Err(Withdrawal { round: Some(round), to: paid, .. }) if paid == to => self.answer(reply, Ok(round)),
            Err(before) if before == one => match (self.withdrawn.get(&id).copied(), self.slots.get_mut(&reference)) {
                // What has become of it is told once it is kept.
                (Some(Some(Withdrawal { round: Some(round), .. })), _) => self.answer(reply, Ok(round)),
                (Some(None), _) => self.answer(reply, Err(Misuse::OperationPending.into())),
                (_, Some(slot)) if slot.channel.status().closed.is_none() => waits(slot, reply),
                _ => {
                    let _gone = reply.send(Err(NodeError::OperationUnseen { operation: OperationKind::Withdraw }));
                }
            },
            Err(_elsewhere) => {
                let _gone = reply.send(Err(Misuse::OperationPending.into()));
            }
            Ok(former) => {
                // What the command tells of it comes after it.
                let _none = self.withdrawn.insert(id, Some(one));
                if let Err(error) = self.command(reference, Command::Withdraw { amount, to: Some(to) }) {
                    // Nothing of it was ever written: another channel's row is not touched by it.
                    let _begun = self.withdrawn.remove(&id);
                    peers.withdrawals.note(id, former);
                    let _gone = reply.send(Err(error));
                } else if let Some(slot) = self.slots.get_mut(&reference) {
                    waits(slot, reply);
                }
            }
        }
    }

    /// Notes what a channel's step tells of a withdrawal for a swap.
    pub(super) fn note_withdrawal(&mut self, reference: ChannelRef, step: &Step) {
        let Some(channel) = self.slots.get(&reference).map(|slot| &slot.channel) else { return };
        if channel.is_operation_pending() {
            // What is told is told again, of one before.
            return;
        }
        let own = channel.party();
        for event in step.events() {
            let round = match event {
                Event::Withdrawn { party, round, .. } if *party == own => Some(*round),
                // Whether it was made before an end that was not seen is not known: then it is not asked for again.
                Event::Closed(CloseReason::Unseen { .. }) => continue,
                Event::OperationFailed { operation: OperationKind::Withdraw, .. } | Event::Closed(_) => None,
                _ => continue,
            };
            if let Some(peers) = self.peers.upgrade() {
                peers.withdrawals.end(reference, round, &mut self.withdrawn);
            }
        }
    }

    /// What has become of withdrawals is kept: from now on whoever asks is told.
    pub(super) fn note_withdrawn(&self, withdrawn: Becoming) {
        if let Some(peers) = self.peers.upgrade() {
            withdrawn.into_iter().for_each(|(id, one)| peers.withdrawals.note(id, one));
        }
    }
}
