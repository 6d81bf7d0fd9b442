//! Whether those who want openings signed have the coins for them (R6.7): a signature keeps a place here until it expires, and identities cost
//! nothing.

use super::Peer;
use crate::node::{causes::Cause, inbox::PeerInput, limits::MAX_VAULTS_OF_STRANGER};
use channel::{ChannelRef, FundingCreated, Input, Message, RefusalCode};
use protocol::{Amount, PartyId};
use std::sync::Arc;

impl Peer {
    /// Has an opening wait for a look into its initiator's vault. One that would not be signed anyway is refused without.
    pub(super) fn look_for_coins(&mut self, reference: ChannelRef, funding: FundingCreated) {
        let Some(channel) = self.slots.get(&reference).map(|slot| &slot.channel) else { return };
        if !channel.is_signed(&funding, self.head) {
            let _changed = self.input(reference, Input::Peer(Message::FundingCreated(funding)));
            return;
        }
        let known = channel.awaited_share().and_then(|wants| self.unfunded.known(wants, self.head));
        // Nothing overtakes what waits.
        if known.is_some() && self.unfunded.waiting.is_empty() {
            self.answer_opening(reference, funding, known);
        } else if self.unfunded.waiting.iter().all(|(waiting, _)| *waiting != reference) {
            self.unfunded.waiting.push_back((reference, funding));
            self.read_next_vault();
        }
    }

    /// Reads the vault of the first opening that waits. A stranger that has had too many read by this block is answered without.
    fn read_next_vault(&mut self) {
        if self.unfunded.reading.is_some() {
            return;
        }
        let most = if self.is_stranger() { MAX_VAULTS_OF_STRANGER } else { usize::MAX };
        let owner = loop {
            let Some((reference, funding)) = self.unfunded.waiting.front().copied() else { return };
            let wants = self.slots.get(&reference).and_then(|slot| slot.channel.awaited_share());
            match wants.map(|(owner, _)| owner) {
                Some(owner) if self.unfunded.may_read(self.head, most) => break owner,
                Some(_one_too_many) => {
                    let _first = self.unfunded.waiting.pop_front();
                    self.answer_opening(reference, funding, None);
                }
                // It was given up meanwhile.
                None => {
                    let _first = self.unfunded.waiting.pop_front();
                }
            }
        };
        self.unfunded.reading = Some(self.head);
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
        // A later block may have brought more.
        let by = self.unfunded.reading.take();
        self.unfunded.last = has.zip(by).map(|(has, by)| (owner, has, by));
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
