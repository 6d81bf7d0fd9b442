//! Withdrawals that are made once for a swap, kept in one commit with the channel's own step (R8.5g).

use super::Peer;
use crate::node::{inbox::Reply, slot::Slot, withdrawals::Withdrawal};
use channel::{ChannelRef, Command, Event, Misuse, OperationKind, Step};
use network::SwapId;
use protocol::Round;

impl Peer {
    /// The user wants coins of a swap withdrawn: asked again, it waits for what is under way, or hears what has come of it.
    pub(super) fn on_withdraw_once(
        &mut self,
        reference: ChannelRef,
        id: SwapId,
        command: Command,
        reply: Reply<Round>,
    ) {
        let Some(peers) = self.peers.upgrade() else { return };
        let waits = |slot: &mut Slot, reply| {
            if let Some(before) = slot.operation.replace(reply) {
                let _gone = before.send(Err(Misuse::OperationPending.into()));
            }
        };
        match peers.withdrawals.get(&id) {
            Some(Withdrawal { round: Some(round), .. }) => {
                let _gone = reply.send(Ok(round));
            }
            Some(one) if one.reference == reference => {
                if let Some(slot) = self.slots.get_mut(&reference) {
                    waits(slot, reply);
                }
            }
            Some(_elsewhere) => {
                let _gone = reply.send(Err(Misuse::OperationPending.into()));
            }
            None => {
                // What is noted is kept with what the channel notes, and erased where that refuses.
                let one = Withdrawal { peer: self.identity, reference, round: None };
                match self.command(reference, command) {
                    Ok(()) => {
                        self.withdrawn.push(peers.withdrawals.note(id, one));
                        if let Some(slot) = self.slots.get_mut(&reference) {
                            waits(slot, reply);
                        }
                    }
                    Err(error) => {
                        let _gone = reply.send(Err(error));
                    }
                }
            }
        }
    }

    /// Notes what a channel's step tells of a withdrawal for a swap.
    pub(super) fn note_withdrawal(&mut self, reference: ChannelRef, step: &Step) {
        let Some(channel) = self.slots.get(&reference).map(|slot| &slot.channel) else { return };
        if channel.status().operation.is_some() {
            // What is told is told again, of one before.
            return;
        }
        let own = channel.party();
        for event in step.events() {
            let round = match event {
                Event::Withdrawn { party, round, .. } if *party == own => Some(*round),
                Event::OperationFailed { operation: OperationKind::Withdraw, .. } | Event::Closed(_) => None,
                _ => continue,
            };
            if let Some(peers) = self.peers.upgrade() {
                self.withdrawn.extend(peers.withdrawals.end(reference, round));
            }
        }
    }
}
