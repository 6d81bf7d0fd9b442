//! Conditional transfers in stories: offered, claimed and failed by whatever the bytes say.

use super::{Bytes, Story};
use channel::{
    Channel, Command, IdempotencyKey,
    transfer::{FailReason, Intent, LockedCalls, Offer, TransferCommand, TransferTerms},
};
use protocol::{
    Party,
    contracts::conditional::{HashFunction, HashLock, Preimage},
    crypto::Native,
};

/// The most transfers in a story.
const MOST: u8 = 200;

fn secret(number: u8) -> (Preimage, HashLock) {
    let preimage = Preimage([number; 32]);
    (preimage, preimage.lock(HashFunction::Blake2b256, &Native))
}

impl Story {
    /// A step that is about contracts, or about transfers, in a scene that has them.
    pub(super) fn step_within(&mut self, kind: u8, party: Party, bytes: &mut Bytes<'_>) {
        if self.contracts && kind < 16 {
            self.step_of_contracts(party, bytes);
        } else {
            self.step_of_transfers(party, bytes);
        }
    }

    /// What is not possible now is refused, and nothing else.
    fn step_of_transfers(&mut self, party: Party, bytes: &mut Bytes<'_>) {
        match bytes.next() {
            0..=109 if self.offered < MOST => self.offer(party, bytes),
            0..=199 => self.decide_transfer(party, bytes, true),
            200..=229 => self.decide_transfer(party, bytes, false),
            _ => self.forget(party),
        }
    }

    fn offer(&mut self, party: Party, bytes: &mut Bytes<'_>) {
        self.offered += 1;
        let (amount, blocks) = (1 + bytes.amount(1) / 3, bytes.blocks(40));
        let terms = TransferTerms { amount, lock: secret(self.offered).1, expiry: self.world.chain.head() + blocks };
        let offer = Offer { terms, premium: 0, calls: LockedCalls::NONE, instruction: vec![self.offered] };
        self.transfer(party, TransferCommand::Offer { key: IdempotencyKey::from([self.offered]), offer, fee: 0 });
    }

    /// The payee claims one that is undecided, or gives it back.
    fn decide_transfer(&mut self, payee: Party, bytes: &mut Bytes<'_>, is_claimed: bool) {
        let Some(channel) = &self.world.sides[payee].channel else { return };
        let undecided = |row: &&channel::transfer::IncomingTransfer| row.intent == Intent::Undecided;
        let rows: Vec<_> = channel.incoming_transfers().values().filter(undecided).collect();
        let Some(row) = rows.get(usize::from(bytes.next()) % rows.len().max(1)) else { return };
        let contract = row.contract;
        let command = match row.instruction[..] {
            [number] if is_claimed => TransferCommand::Claim { contract, preimage: secret(number).0 },
            _ => TransferCommand::Fail { contract, reason: FailReason(Vec::new()) },
        };
        self.transfer(payee, command);
    }

    /// The payer forgets what is over.
    fn forget(&mut self, payer: Party) {
        let Some(channel) = &self.world.sides[payer].channel else { return };
        let over = channel.outgoing_transfers().values().find(|row| row.is_decided()).map(|row| row.key.clone());
        if let Some(key) = over {
            self.transfer(payer, TransferCommand::Forget { key });
        }
    }

    fn transfer(&mut self, party: Party, command: TransferCommand) {
        drop(self.world.command(party, Command::Transfer(command)));
    }

    /// Nothing is left of any of them.
    pub(super) fn check_transfers(&self) {
        for party in Party::BOTH {
            let left = self.world.sides[party].channel.as_ref().and_then(Channel::contracts);
            let left = left.map_or(0, protocol::contracts::Contracts::transfers);
            assert_eq!(left, 0, "the {party:?} has transfers under way in the end");
        }
    }
}
