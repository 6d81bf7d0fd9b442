//! Calls of apps that a forced step of the peer's has left undone: it has ended a transfer, and not called what goes with its end (R8.3g). The row of the transfer stays
//! until they are made, or an app refuses them. What a row of a transfer that has ended says of calls are those that are left.

use super::Transfers;
use crate::{
    state::{AppCall, ChangeId, LockedCalls},
    transfer::row::{IncomingTransfer, Intent, OutgoingTransfer, TransferId},
};
use protocol::{
    call::ForcedCall,
    contracts::{
        ContractId, Contracts,
        conditional::{ConditionalInput, HashLock},
    },
    decode_exact,
};
/// The calls that a payee makes beside its claim.
fn of_incoming(row: &IncomingTransfer) -> Vec<AppCall> {
    match &row.intent {
        Intent::Claim(preimage) => row.calls.to_claim(preimage),
        Intent::Undecided | Intent::Fail(_) => Vec::new(),
    }
}

impl Transfers {
    /// The calls of apps that this side makes with a transfer that ends so, where it is the one that has something of it: the payee that claims, the payer that has its
    /// coins back.
    pub(crate) fn calls_at(&self, contract: &ContractId, end: &ConditionalInput) -> Vec<AppCall> {
        match (self.incoming.get(contract), end) {
            (Some(row), ConditionalInput::Claim(preimage)) => row.calls.to_claim(preimage),
            (None, ConditionalInput::Refund) => {
                self.outgoing_of(contract).map(|row| row.offer.calls.returning.clone()).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// A forced step has made these calls: what goes with the transfers that it has ended, and is not among them, is left.
    pub(crate) fn note_forced(&mut self, made: &[ForcedCall]) {
        let is_made =
            |call: &AppCall| made.iter().any(|made| made.contract == call.contract && made.input == call.input);
        for contract in self.left.of.clone() {
            let calls: Vec<_> = self.calls_left(&contract).into_iter().filter(is_made).collect();
            calls.iter().for_each(|call| self.drop_left(&contract, call));
        }
        for end in made {
            let Ok(input) = decode_exact::<ConditionalInput>(&end.input) else { continue };
            let all = self.calls_at(&end.contract, &input);
            if all.is_empty() || !self.left.of.insert(end.contract) {
                continue;
            }
            if let ConditionalInput::Claim(preimage) = input {
                self.incoming.note_claimed(&end.contract, &preimage, &mut self.news);
            }
            all.iter().filter(|call| is_made(call)).for_each(|call| self.drop_left(&end.contract, call));
        }
    }

    /// The calls that are left of a transfer which has ended.
    pub(crate) fn calls_left(&self, contract: &ContractId) -> Vec<AppCall> {
        if !self.left.of.contains(contract) {
            return Vec::new();
        }
        match self.incoming.get(contract) {
            Some(row) => of_incoming(row),
            None => self.outgoing_of(contract).map(|row| row.offer.calls.returning.clone()).unwrap_or_default(),
        }
    }

    /// A call that was left is made, or its app refuses it.
    pub(crate) fn drop_left(&mut self, contract: &ContractId, call: &AppCall) {
        if let Some(place) = self.calls_left(contract).iter().position(|left| left == call) {
            if let Some(row) = self.incoming.get_mut(contract) {
                let _made = row.calls.claiming.remove(place);
                self.news.change(TransferId::Incoming(*contract));
            } else if let Some(id) = self.outgoing.id_of(contract)
                && let Some(row) = self.outgoing.get_mut(id)
            {
                let _made = row.offer.calls.returning.remove(place);
                self.news.change(TransferId::Outgoing(id));
            }
        }
        if self.calls_left(contract).is_empty() {
            let _was_there = self.left.of.remove(contract);
        }
    }

    /// A transfer has ended in a round: its calls were made with it, or left out by whose they are.
    pub(super) fn settle_calls(&mut self, contract: &ContractId) {
        if self.left.of.contains(contract) {
            return;
        }
        if let Some(row) = self.incoming.get_mut(contract).filter(|row| !row.calls.is_none()) {
            row.calls = LockedCalls::NONE;
            self.news.change(TransferId::Incoming(*contract));
        } else if let Some(id) = self.outgoing.id_of(contract)
            && let Some(row) = self.outgoing.get_mut(id).filter(|row| !row.offer.calls.is_none())
        {
            row.offer.calls = LockedCalls::NONE;
            self.news.change(TransferId::Outgoing(id));
        }
    }

    /// Rows that were stored: transfers which these contracts, which are agreed, do not hold, and of which calls are left.
    pub(super) fn find_left(&mut self, contracts: &Contracts) {
        let is_gone = |contract: &ContractId| contracts.get(contract).is_none();
        let incoming = self.incoming().values().filter(|row| !of_incoming(row).is_empty()).map(|row| row.contract);
        let has_calls = |row: &&OutgoingTransfer| !row.offer.calls.returning.is_empty();
        let outgoing = self.outgoing().values().filter(has_calls).filter_map(|row| row.contract);
        self.left.of = incoming.chain(outgoing).filter(is_gone).collect();
        self.want_left(contracts);
    }

    /// What is left of calls whose apps are in these contracts is wanted; what is left of others is nothing.
    pub(crate) fn want_left(&mut self, contracts: &Contracts) {
        for contract in self.left.of.clone() {
            if contracts.get(&contract).is_some() {
                // The state that it is in counts again, and so do all of its calls that the row still has.
                let _was_there = self.left.of.remove(&contract);
                continue;
            }
            let calls = self.calls_left(&contract);
            let gone = calls.iter().filter(|call| contracts.get(&call.contract).is_none());
            gone.for_each(|call| self.drop_left(&contract, call));
            if self.left.of.contains(&contract) {
                self.want(contract);
            }
        }
    }

    /// This change makes a call that is left.
    pub(crate) fn ask_left(&mut self, change: ChangeId, contract: ContractId, call: AppCall) {
        let _none = self.left.asked.insert(change, (contract, call));
        self.ask(change, contract);
    }

    /// After a start: a round that was signed holds a call that is left.
    pub(crate) fn note_signed_left(
        &mut self,
        change: ChangeId,
        contract: ContractId,
        call: AppCall,
        is_proposed: bool,
    ) {
        if is_proposed {
            return self.ask_left(change, contract, call);
        }
        let _none = self.left.asked.insert(change, (contract, call));
        self.give_up(change);
    }

    /// Whether calls of apps go with a transfer.
    pub(crate) fn has_calls(&self, id: TransferId) -> bool {
        match id {
            TransferId::Incoming(contract) => self.incoming.get(&contract).is_some_and(|row| !row.calls.is_none()),
            TransferId::Outgoing(change) => self.outgoing.get(change).is_some_and(|row| !row.offer.calls.is_none()),
        }
    }

    /// The transfers with which calls of apps go.
    pub(crate) fn with_calls(&self) -> Vec<TransferId> {
        let incoming = self.incoming().keys().copied().map(TransferId::Incoming);
        let all = incoming.chain(self.outgoing().keys().copied().map(TransferId::Outgoing));
        all.filter(|id| self.has_calls(*id)).collect()
    }

    /// Whether transfers of the peer's with this lock are here which this side does not claim yet.
    pub(crate) fn has_unclaimed(&self, lock: &HashLock) -> bool {
        self.incoming().values().any(|row| row.terms.lock == *lock && !matches!(row.intent, Intent::Claim(_)))
    }

    /// Whether a change begins or ends a transfer, or makes a call that goes with one.
    pub(crate) fn is_ours(&self, change: ChangeId) -> bool {
        self.wants.knows(change) || self.outgoing.get(change).is_some()
    }

    /// The contracts of the apps that this side may have to call when transfers end.
    pub(crate) fn apps(&self) -> impl Iterator<Item = &ContractId> {
        let incoming = self.incoming().values().flat_map(|row| row.calls.claiming.iter().chain(&row.calls.returning));
        let outgoing = self.outgoing().values().flat_map(|row| &row.offer.calls.returning);
        incoming.chain(outgoing).map(|call| &call.contract)
    }

    /// What is wanted of a transfer waits for the next block.
    pub(crate) fn postpone(&mut self, contract: ContractId) {
        self.wants.postpone(contract);
    }

    /// The transfer of which this call is left, where it is.
    pub(crate) fn left_of(&self, call: &AppCall) -> Option<ContractId> {
        self.left.of.iter().copied().find(|contract| self.calls_left(contract).contains(call))
    }

    /// A change is agreed: what it has called is not left any more.
    pub(super) fn note_called(&mut self, change: ChangeId) {
        if let Some((contract, call)) = self.left.asked.remove(&change) {
            self.drop_left(&contract, &call);
        }
    }
}
