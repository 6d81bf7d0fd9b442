//! Calls of apps that a forced step of the peer's has left undone: it has ended a transfer, and not called what goes with its end (R8.3g). The row of the transfer stays
//! until they are made, or an app refuses them.

use super::{Transfers, left::Made};
use crate::{
    state::{AppCall, ChangeId},
    transfer::row::{IncomingTransfer, Intent, TransferId},
};
use protocol::{
    call::ForcedCall,
    contracts::{
        ContractId, Contracts,
        conditional::{ConditionalInput, HashLock},
    },
    decode_exact,
};
use std::collections::BTreeMap;

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
            (None, ConditionalInput::Refund) => self.returning(contract),
            _ => Vec::new(),
        }
    }

    /// The calls that go with the refund of an own transfer.
    pub(super) fn returning(&self, contract: &ContractId) -> Vec<AppCall> {
        self.outgoing_of(contract).map(|row| row.offer.calls.returning.clone()).unwrap_or_default()
    }

    /// The calls that this side makes when a transfer ends, as its row says.
    fn own_calls(&self, contract: &ContractId) -> Vec<AppCall> {
        match self.incoming.get(contract) {
            Some(row) => of_incoming(row),
            None => self.returning(contract),
        }
    }

    /// A forced step has made these calls: what goes with the transfers that it has ended, and was not made in it or in a step before, is left. Each call of the step is one of one
    /// transfer.
    pub(crate) fn note_forced(&mut self, step: &[ForcedCall]) {
        let with_calls = self.with_calls();
        if with_calls.is_empty() {
            return;
        }
        let mut ended = Vec::new();
        for end in step {
            let Ok(input) = decode_exact::<ConditionalInput>(&end.input) else { continue };
            if self.calls_at(&end.contract, &input).is_empty() {
                continue;
            }
            if let ConditionalInput::Claim(preimage) = input {
                self.incoming.note_claimed(&end.contract, &preimage, &mut self.news);
            }
            ended.push(end.contract);
        }
        let mut made: Vec<AppCall> = step
            .iter()
            .map(|ForcedCall { contract, input, .. }| AppCall { contract: *contract, input: input.clone() })
            .collect();
        // What was left goes first, then what has ended now, then what may end with a later step.
        let others = with_calls.into_iter().filter_map(|id| match id {
            TransferId::Incoming(contract) => Some(contract),
            TransferId::Outgoing(change) => self.outgoing.get(change).and_then(|row| row.contract),
        });
        let all: Vec<_> = self.left.all().into_iter().chain(ended.iter().copied()).chain(others).collect();
        for contract in all {
            for (place, call) in self.own_calls(&contract).iter().enumerate() {
                if !self.left.is_made(&contract, place)
                    && let Some(at) = made.iter().position(|made| made == call)
                {
                    let _made = made.swap_remove(at);
                    self.left.make(contract, place);
                }
            }
        }
        for contract in ended {
            self.left.made.entry(contract).or_default().has_ended = true;
        }
    }

    /// The calls that are left of a transfer which has ended.
    pub(crate) fn calls_left(&self, contract: &ContractId) -> Vec<AppCall> {
        if !self.left.is_of(contract) {
            return Vec::new();
        }
        let all = self.own_calls(contract).into_iter().enumerate();
        all.filter(|(place, _)| !self.left.is_made(contract, *place)).map(|(_, call)| call).collect()
    }

    /// The calls that are left of a transfer, and that are not asked for.
    pub(crate) fn calls_to_ask(&self, contract: &ContractId) -> Vec<AppCall> {
        let mut to_ask: Vec<AppCall> = Vec::new();
        let left = self.calls_left(contract);
        for call in &left {
            let known = to_ask.iter().filter(|asked| *asked == call).count();
            let all = left.iter().filter(|left| *left == call).count();
            if known.saturating_add(self.left.asked_for(contract, call)) < all {
                to_ask.push(call.clone());
            }
        }
        to_ask
    }

    /// A call that was left is made, or there is no need for it.
    pub(crate) fn drop_left(&mut self, contract: &ContractId, call: &AppCall) {
        let all = self.own_calls(contract);
        let place = all.iter().enumerate().position(|(place, own)| own == call && !self.left.is_made(contract, place));
        if let Some(place) = place {
            self.left.make(*contract, place);
        }
    }

    /// What was made by force, as it is stored with the channel.
    pub(crate) fn made_by_force(&self) -> BTreeMap<ContractId, Made> {
        self.left.made.clone()
    }

    /// Takes over what was stored with the channel.
    pub(crate) fn restore_made(&mut self, made: BTreeMap<ContractId, Made>) {
        self.left.made = made;
    }

    /// What is left of calls whose apps are in these contracts is wanted; what is left of others is nothing.
    pub(crate) fn want_left(&mut self, contracts: &Contracts) {
        if self.left.made.is_empty() {
            return;
        }
        self.forget_left();
        for contract in self.left.all() {
            if contracts.get(&contract).is_some() {
                // The state that it is in counts again, and so do all of its calls.
                let _undone = self.left.made.remove(&contract);
                continue;
            }
            let calls = self.calls_left(&contract);
            let gone = calls.iter().filter(|call| contracts.get(&call.contract).is_none());
            gone.for_each(|call| self.drop_left(&contract, call));
            if !self.calls_left(&contract).is_empty() {
                self.want(contract);
            }
        }
    }

    /// Forgets what was made of transfers that have no row any more.
    pub(crate) fn forget_left(&mut self) {
        let (incoming, outgoing) = (&self.incoming, &self.outgoing);
        self.left.retain(|contract| incoming.contains(contract) || outgoing.id_of(contract).is_some());
    }

    /// Whether calls of any transfer that has ended are left.
    pub(crate) fn has_any_left(&self) -> bool {
        self.left.all().iter().any(|contract| self.has_left(contract))
    }

    /// Whether calls of a transfer that has ended are left.
    pub(super) fn has_left(&self, contract: &ContractId) -> bool {
        !self.calls_left(contract).is_empty()
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

    /// The transfer of which this call is left and not asked for, where it is.
    pub(crate) fn left_of(&self, call: &AppCall) -> Option<ContractId> {
        self.left.all().into_iter().find(|contract| self.calls_to_ask(contract).contains(call))
    }

    /// A change is agreed: what it has called is not left any more.
    pub(super) fn note_called(&mut self, change: ChangeId) {
        if let Some((contract, call)) = self.left.asked.remove(&change) {
            self.drop_left(&contract, &call);
        }
    }
}
