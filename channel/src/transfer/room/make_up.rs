//! The calls of apps that go with transfers, as far as they are not made yet (R8.3g).

use super::Transfers;
use crate::{
    phase::live::dispute::PendingReplay,
    state::{AppCall, ChangeId, LockedCalls, State, TransferTerms},
    transfer::{
        TransferBook,
        marks::{CallMarks, EndKind, PlacedCall},
        row::{Intent, OutgoingTransfer, TransferId, TransferRow},
    },
};
use protocol::{
    BlockNumber, Party,
    call::ForcedCall,
    contracts::{
        ContractId, Contracts,
        conditional::{ConditionalInput, HashLock},
    },
    decode_exact,
};
use std::collections::BTreeSet;

impl Transfers {
    /// The calls that go with a transfer which ends so, as its row says, whoever makes them.
    fn calls_at(&self, contract: &ContractId, end: &ConditionalInput) -> Vec<AppCall> {
        let Some(calls) = self.calls_of(contract) else { return Vec::new() };
        match end {
            ConditionalInput::Claim(preimage) => calls.to_claim(preimage),
            ConditionalInput::Refund => calls.returning.clone(),
        }
    }

    /// How a transfer ends for this side: the payee claims, the payer has its coins back.
    pub(super) fn own_kind(&self, contract: &ContractId) -> EndKind {
        if self.incoming.contains(contract) { EndKind::Claim } else { EndKind::Return }
    }

    /// The end of a transfer by which this side has something, as far as its row says.
    fn own_end(&self, contract: &ContractId) -> Option<ConditionalInput> {
        match self.incoming.get(contract).map(|row| &row.intent) {
            None => Some(ConditionalInput::Refund),
            Some(Intent::Claim(preimage)) => Some(ConditionalInput::Claim(*preimage)),
            Some(Intent::Undecided | Intent::Fail(_)) => None,
        }
    }

    /// The calls that go with a transfer which ends so, but for those that were made on the way to this state, and those whose contracts are not in it.
    pub(crate) fn calls_to_make(
        &self,
        state: &State,
        contract: &ContractId,
        end: &ConditionalInput,
    ) -> Vec<PlacedCall> {
        let kind = kind_of(end);
        let is_there = |call: &AppCall| state.contracts.get(&call.contract).is_some() || !state.is_whole();
        let all = (0_u8..).zip(self.calls_at(contract, end));
        all.filter(|(place, call)| !state.marks.is_made(contract, kind, usize::from(*place)) && is_there(call))
            .collect()
    }

    /// The same with the end by which this side has something.
    pub(super) fn own_calls_to_make(&self, state: &State, contract: &ContractId) -> Vec<PlacedCall> {
        self.own_end(contract).map_or_else(Vec::new, |end| self.calls_to_make(state, contract, &end))
    }

    /// A step made these calls on the way to a state with these contracts and marks. Each of them is one of one transfer: of what the step has ended, whoever made
    /// it; or, of what was left before or is to end with a later step, one that was for the step's party to make.
    pub(crate) fn note_forced(
        &mut self,
        made: &PendingReplay,
        me: Party,
        (contracts, marks): (&Contracts, &mut CallMarks),
    ) {
        let PendingReplay { party, calls: step, height, .. } = made;
        let by = *party;
        self.wants.note_step();
        let with_calls = self.with_calls();
        if with_calls.is_empty() {
            return;
        }
        let mut ended = Vec::new();
        for call in step {
            let Ok(end) = decode_exact::<ConditionalInput>(&call.input) else { continue };
            let is_with_calls = self.calls_of(&call.contract).is_some_and(|calls| !calls.is_none());
            if !is_with_calls {
                continue;
            }
            if let ConditionalInput::Claim(preimage) = end {
                self.incoming.note_claimed(&call.contract, &preimage, &mut self.news);
            }
            ended.push((call.contract, end));
        }
        // What has ended now goes first, then what is due and ends with a later step: both sides know of these. Then what was left before.
        let before: Vec<_> = marks.ended().filter(|_| by == me).copied().collect();
        let is_later = |id: &ContractId| {
            contracts.get(id).is_some() && !marks.has_ended(id) && ended.iter().all(|(of, _)| of != id)
        };
        let later = with_calls.into_iter().filter_map(|id| self.contract_of(id)).filter(is_later);
        let later: BTreeSet<_> = later.collect();
        let before = before.iter().filter_map(|contract| Some((*contract, self.own_end(contract)?)));
        let is_due = |contract: &ContractId, end: &ConditionalInput| match end {
            // Calls with this pre-image are of no other lock.
            ConditionalInput::Claim(_) => true,
            ConditionalInput::Refund => self.any_terms_of(contract).is_some_and(|terms| terms.expiry <= *height),
        };
        let later = later.iter().filter_map(|contract| {
            let end = self.end_of_maker(contract, by, me)?;
            is_due(contract, &end).then_some((*contract, end))
        });
        let all: Vec<_> = ended.iter().copied().chain(later).chain(before).collect();
        let mut made: Vec<&ForcedCall> = step.iter().collect();
        for (contract, end) in all {
            let kind = kind_of(&end);
            for (place, call) in self.calls_at(&contract, &end).iter().enumerate() {
                let is_it = |made: &&ForcedCall| made.contract == call.contract && made.input == call.input;
                if !marks.is_made(&contract, kind, place)
                    && let Some(at) = made.iter().position(is_it)
                {
                    let _made = made.swap_remove(at);
                    marks.make(contract, kind, place);
                }
            }
        }
        for (contract, end) in ended {
            if kind_of(&end) == self.own_kind(&contract) {
                marks.end(contract);
            }
        }
    }

    /// The end with which calls of `by` go: of a payer those that return, of a payee those that claim. What the peer claims is nothing that this side has to know.
    fn end_of_maker(&self, contract: &ContractId, by: Party, me: Party) -> Option<ConditionalInput> {
        let payee = if self.incoming.contains(contract) { me } else { me.peer() };
        match (by == payee, by == me) {
            (true, true) => self.own_end(contract),
            (true, false) => None,
            (false, _) => Some(ConditionalInput::Refund),
        }
    }

    /// The terms of a transfer of either side.
    pub(crate) fn any_terms_of(&self, contract: &ContractId) -> Option<TransferTerms> {
        let own = || self.outgoing_of(contract).map(|row| row.offer.terms);
        self.incoming.get(contract).map(|row| row.terms).or_else(own)
    }

    /// When a transfer of either side expires; zero where it is not known.
    pub(crate) fn expiry_of(&self, contract: &ContractId) -> BlockNumber {
        self.any_terms_of(contract).map_or(0, |terms| terms.expiry)
    }

    /// The contract of a transfer, where it has one.
    pub(crate) fn contract_of(&self, id: TransferId) -> Option<ContractId> {
        match id {
            TransferId::Incoming(contract) => Some(contract),
            TransferId::Outgoing(change) => self.outgoing.get(change).and_then(|row| row.contract),
        }
    }

    /// Whether a transfer has a row, with a contract.
    pub(crate) fn has_row(&self, contract: &ContractId) -> bool {
        self.incoming.contains(contract) || self.outgoing.id_of(contract).is_some()
    }

    /// Whether calls of apps go with a transfer.
    pub(crate) fn has_calls(&self, id: TransferId) -> bool {
        match id {
            TransferId::Incoming(contract) => self.incoming.get(&contract).is_some_and(|row| !row.calls.is_none()),
            TransferId::Outgoing(change) => self.outgoing.get(change).is_some_and(|row| !row.offer.calls.is_none()),
        }
    }

    /// Whether there are transfers with which calls of apps go.
    pub(crate) fn has_any_calls(&self) -> bool {
        self.all_calls().any(|calls| !calls.is_none())
    }

    /// The transfers with which calls of apps go.
    pub(crate) fn with_calls(&self) -> Vec<TransferId> {
        let incoming = self.incoming().keys().copied().map(TransferId::Incoming);
        let all = incoming.chain(self.outgoing().keys().copied().map(TransferId::Outgoing));
        all.filter(|id| self.has_calls(*id)).collect()
    }

    /// How many transfers with which calls go may take a forced step.
    pub(crate) fn open_with_calls(&self, agreed: &State) -> usize {
        self.with_calls().into_iter().filter(|id| self.takes_steps(*id, agreed)).count()
    }

    /// Whether a transfer may take a forced step, as far as its own kind says.
    fn takes_steps(&self, id: TransferId, agreed: &State) -> bool {
        match id {
            TransferId::Incoming(_) => true,
            TransferId::Outgoing(change) => {
                self.outgoing.is_open(change) || self.contract_of(id).is_some_and(|it| self.has_left(agreed, &it))
            }
        }
    }

    /// How many transfers with which calls go may still take a forced step of this side's: not what it gives back, nor what nobody can claim any more.
    pub(crate) fn may_need_steps(&self, agreed: &State, book: &dyn TransferBook) -> usize {
        let may_be = |id: &TransferId| match self.row(*id) {
            Some(TransferRow::Incoming(row)) => {
                let is_late = || book.registered(&row.terms.lock).is_silent_at(row.terms.expiry);
                let is_decided = matches!(row.intent, Intent::Fail(_)) || is_late();
                !is_decided || (matches!(row.intent, Intent::Claim(_)) && self.has_left(agreed, &row.contract))
            }
            Some(TransferRow::Outgoing(row)) => {
                let TransferTerms { lock, expiry, .. } = row.offer.terms;
                let has_left = || row.contract.is_some_and(|contract| self.has_left(agreed, &contract));
                // What was shown in time is never refunded.
                has_left() || (self.takes_steps(*id, agreed) && !book.registered(&lock).is_shown_before(expiry))
            }
            None => false,
        };
        self.with_calls().iter().filter(|id| may_be(id)).count()
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
    pub(crate) fn apps(&self, agreed: &State) -> impl Iterator<Item = &ContractId> {
        let incoming = self.incoming().values().flat_map(|row| row.calls.claiming.iter().chain(&row.calls.returning));
        let may_return = |(id, row): &(&ChangeId, &OutgoingTransfer)| {
            self.outgoing.is_open(**id) || row.contract.is_some_and(|contract| self.has_left(agreed, &contract))
        };
        let outgoing = self.outgoing().iter().filter(may_return).flat_map(|(_, row)| &row.offer.calls.returning);
        incoming.chain(outgoing).map(|call| &call.contract)
    }

    /// The calls that go with transfers of either side.
    fn all_calls(&self) -> impl Iterator<Item = &LockedCalls> {
        let incoming = self.incoming().values().map(|row| &row.calls);
        incoming.chain(self.outgoing().values().map(|row| &row.offer.calls))
    }

    /// Whether a call of this contract goes with a transfer of either side.
    pub(super) fn goes_with_any(&self, app: &ContractId) -> bool {
        self.all_calls().any(|calls| calls.claiming.iter().chain(&calls.returning).any(|call| call.contract == *app))
    }

    /// What is wanted of a transfer waits for the next block.
    pub(crate) fn postpone(&mut self, contract: ContractId) {
        self.wants.postpone(contract);
    }
}

const fn kind_of(end: &ConditionalInput) -> EndKind {
    match end {
        ConditionalInput::Claim(_) => EndKind::Claim,
        ConditionalInput::Refund => EndKind::Return,
    }
}
