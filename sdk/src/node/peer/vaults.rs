//! Whether those who want openings signed have the coins for them (R6.7): a signature keeps a place here until it expires, and identities cost
//! nothing.

use super::Peer;
use crate::node::{causes::Cause, inbox::PeerInput};
use channel::{ChannelRef, FundingCreated, Input, Message, RefusalCode};
use protocol::{Amount, PartyId};
use std::sync::Arc;

impl Peer {
    /// Has an opening wait for a look into its initiator's vault.
    pub(super) fn look_for_coins(&mut self, reference: ChannelRef, funding: FundingCreated) {
        // Nothing overtakes what waits.
        if self.unfunded.waiting.is_empty() && self.is_known_to_be_funded(reference) {
            self.answer_opening(reference, funding, Some(true));
        } else if self.unfunded.waiting.iter().all(|(waiting, _)| *waiting != reference) {
            self.unfunded.waiting.push_back((reference, funding));
            self.read_next_vault();
        }
    }

    fn is_known_to_be_funded(&self, reference: ChannelRef) -> bool {
        let wants = self.slots.get(&reference).and_then(|slot| slot.channel.awaited_share());
        wants
            .zip(self.unfunded.last)
            .is_some_and(|((owner, share), (of, has, by))| owner == of && share <= has && by == self.head)
    }

    fn read_next_vault(&mut self) {
        let share = |reference| self.slots.get(reference)?.channel.awaited_share();
        let next = self.unfunded.waiting.iter().find_map(|(reference, _)| share(reference));
        let Some((owner, _share)) = next.filter(|_| !self.unfunded.reading) else { return };
        self.unfunded.reading = true;
        let (arbiter, answers) = (Arc::clone(&self.config.arbiter), self.answers.clone());
        let _task = tokio::spawn(async move {
            let has = arbiter.vault_balance(owner).await;
            if let Err(error) = &has {
                tracing::warn!(%error, "could not read the vault of somebody who wants an opening signed");
            }
            if let Some(answers) = answers.upgrade() {
                let _stopped = answers.send(PeerInput::Vault(owner, has.ok())).await;
            }
        });
    }

    /// Answers all openings out of this vault that wait. Each is held against all of it: what others of them take is not gone yet.
    pub(super) fn on_vault(&mut self, owner: PartyId, has: Option<Amount>) {
        self.unfunded.reading = false;
        self.unfunded.last = has.map(|has| (owner, has, self.head));
        for (reference, funding) in std::mem::take(&mut self.unfunded.waiting) {
            match self.slots.get(&reference).and_then(|slot| slot.channel.awaited_share()) {
                Some((of, share)) if of == owner => {
                    self.answer_opening(reference, funding, has.map(|has| has >= share))
                }
                Some(_other) => self.unfunded.waiting.push_back((reference, funding)),
                // It was given up meanwhile.
                None => {}
            }
        }
        self.read_next_vault();
    }

    fn answer_opening(&mut self, reference: ChannelRef, funding: FundingCreated, is_funded: Option<bool>) {
        let offered = self.slots.get(&reference).and_then(|slot| slot.channel.offered_id(&funding));
        let input = match is_funded {
            Some(true) => match offered.filter(|id| self.is_taken(id)) {
                Some(taken) => Input::IdInUse(taken),
                None => Input::Peer(Message::FundingCreated(funding)),
            },
            Some(false) => {
                self.conduct.count(Cause::OpeningUnfunded);
                Input::OpeningRefused(RefusalCode::UNFUNDED)
            }
            None => Input::OpeningRefused(RefusalCode::BUSY),
        };
        if let (Input::OpeningRefused(_), Some(slot)) = (&input, self.slots.get_mut(&reference)) {
            slot.asked = None;
        }
        let _changed = self.input(reference, input);
    }
}
