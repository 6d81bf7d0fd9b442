//! What this side says to each transfer of a round of the peer's, by heads and the registry as this side sees them (A2 to A5, R8.3c).

use crate::{
    input::Context,
    message::{RefusalCode, Update},
    phase::live::Live,
    state::{AppCall, Change, LockedCalls, Offer, State},
    transfer::{
        IncomingEnd, OutgoingTransfer, Progress, Stake, TransferBook, Verdict, done::ended_by, room::Transfers,
    },
};
use protocol::{
    Amount, BlockNumber, Party,
    contracts::{
        ContractId, Requirement,
        conditional::{ConditionalInput, ConditionalTransfer, HashLock, Preimage},
    },
    crypto::Native,
    decode_exact,
};
use std::collections::BTreeMap;

/// What the peer wants of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// That it is agreed.
    Round,
    /// That this side pledges for it (R6.5d).
    Pledge,
}

/// Judges the transfers of one round of the peer's.
pub(crate) struct Judge<'a> {
    transfers: &'a mut Transfers,
    me: Party,
    book: &'a dyn TransferBook,
    head: BlockNumber,
    agreed: State,
    /// Whether this side wants to close: nothing new begins.
    is_closing: bool,
    /// What is wanted of the round, and the contract that its first change makes, if it makes one.
    asked: Asked,
    first: ContractId,
    /// What the peer's transfers come to with this round.
    open: usize,
    amount: Amount,
    /// As many transfers with calls of apps as there are forced steps for them.
    max_with_calls: usize,
    /// Whether an offer with calls of apps was agreed to in it.
    has_calls: bool,
    /// The contracts that the round ends, and how.
    ends: BTreeMap<ContractId, IncomingEnd>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(
        transfers: &'a mut Transfers,
        live: &Live,
        (update, asked): (&Update, Asked),
        me: Party,
        ctx: &Context<'a>,
    ) -> Self {
        let (open, amount) = transfers.incoming_open();
        let is_closing = !live.wish.is_none();
        let (book, head, ends) = (ctx.transfers, ctx.head, update.changes.iter().filter_map(ended_by).collect());
        let agreed = live.agreed.state().clone();
        let first = ContractId::derive(&live.funding.channel(), update.round, 0, &Native);
        let max_with_calls = usize::from(live.funding.terms().max_forced);
        let has_calls = false;
        Self {
            transfers,
            me,
            book,
            head,
            agreed,
            is_closing,
            asked,
            first,
            open,
            amount,
            max_with_calls,
            has_calls,
            ends,
        }
    }

    pub(crate) fn change(&mut self, change: &Change) -> Result<(), RefusalCode> {
        match change {
            Change::Offer(offer) | Change::PaidOffer { offer, .. } => self.offer(offer),
            Change::Claim { contract, preimage, calls } => {
                self.claim(contract, preimage).and_then(|()| self.calls(contract, calls, |row| row.to_claim(preimage)))
            }
            Change::Refund { contract, calls } => {
                self.refund(contract).and_then(|()| self.calls(contract, calls, |row| row.returning.clone()))
            }
            // The payee gives it back: this side has its coins, and what was locked in apps has to come with them.
            Change::Fail { contract, calls, .. } => {
                self.whole(contract, IncomingEnd::Failed)?;
                let locked = self.transfers.calls_to_make(&self.agreed, contract, &ConditionalInput::Refund);
                let is_whole = locked.iter().map(|(_, call)| call).eq(calls);
                if is_whole { Ok(()) } else { Err(RefusalCode::VALIDATION) }
            }
            _ => Ok(()),
        }
    }

    /// The calls that go with a claim or a refund are of those of its offer, in their order: without one of them the peer leaves what is its own, or what a forced step has
    /// made.
    fn calls(
        &self,
        contract: &ContractId,
        calls: &[AppCall],
        locked: impl Fn(&LockedCalls) -> Vec<AppCall>,
    ) -> Result<(), RefusalCode> {
        let mut offered = self.transfers.calls_of(contract).map(locked).unwrap_or_default().into_iter();
        let are_offered = calls.iter().all(|call| offered.any(|offered| offered == *call));
        if are_offered { Ok(()) } else { Err(RefusalCode::VALIDATION) }
    }

    /// What a call of an app's requires of a hash lock: the peer is held to what the arbiter would say (R7.1a). A pre-image that it shows is known from here on.
    pub(crate) fn requirement(&mut self, change: &Change, requirement: &Requirement) -> Result<(), RefusalCode> {
        match requirement {
            Requirement::Shown { lock, preimage, before } => {
                self.transfers.learn(lock, preimage);
                if self.is_of_claim(change, lock, *before) || self.book.registered(lock).is_shown_before(*before) {
                    return Ok(());
                }
                self.in_time(lock, *before)?;
                // What this side has under the same lock moves because of it: nothing moves later than a claim of that could, or before this side may claim what comes in.
                let is_late = self.transfers.outgoing_with(lock).any(|row| !self.is_claimable(row, preimage));
                if is_late || self.transfers.has_unclaimed(lock) { Err(RefusalCode::NOT_NOW) } else { Ok(()) }
            }
            Requirement::Silent { lock, from } => self.silent(lock, *from),
        }
    }

    /// Whether a call goes with the claim of an own transfer, which has been judged, and requires what that does.
    fn is_of_claim(&self, change: &Change, lock: &HashLock, before: BlockNumber) -> bool {
        let Change::Claim { contract, .. } = change else { return false };
        let terms = self.transfers.outgoing_of(contract).map(|row| row.offer.terms);
        terms.is_some_and(|terms| terms.lock == *lock && terms.expiry == before)
    }

    /// Whether the peer might claim an own transfer now. Of what has failed only the registry says so (I4).
    fn is_claimable(&self, row: &OutgoingTransfer, preimage: &Preimage) -> bool {
        let has_failed = matches!(row.progress, Progress::Failed(_));
        !has_failed && self.book.may_be_claimed(&row.key, &row.offer.terms, preimage) == Verdict::Agree
    }

    fn offer(&mut self, offer: &Offer) -> Result<(), RefusalCode> {
        let limits = self.transfers.limits()[self.me];
        let (open, amount) = (self.open.saturating_add(1), self.amount.saturating_add(offer.terms.amount));
        let most = usize::try_from(limits.max_open).unwrap_or(usize::MAX);
        if self.is_closing {
            return Err(RefusalCode::CLOSING);
        }
        let is_too_far = limits.is_too_far(offer.terms.expiry, self.book.best());
        if open > most || amount > limits.max_amount || offer.terms.amount < limits.min_amount || is_too_far {
            return Err(RefusalCode::LIMITS);
        }
        // One of a round: what this side's router knows of it is known once it is agreed.
        let has_calls = !offer.calls.is_none();
        if has_calls && (self.has_calls || !self.book.takes_calls(offer)) {
            return Err(RefusalCode::POLICY);
        }
        if has_calls && self.transfers.open_with_calls(&self.agreed) >= self.max_with_calls {
            return Err(RefusalCode::LIMITS);
        }
        if offer.premium > 0 {
            // It is alone in its round, and this side has pledged for that, or does not agree to it (R6.5d).
            let stakes = || self.book.stakes(&self.first, offer) != Stake::No;
            if self.asked == Asked::Round || !stakes() {
                return Err(RefusalCode::POLICY);
            }
        }
        (self.open, self.amount) = (open, amount);
        self.has_calls |= has_calls;
        Ok(())
    }

    /// A transfer and its premium end in one round and in one way (A7), but for what a forced step has left of them.
    fn whole(&self, contract: &ContractId, end: IncomingEnd) -> Result<(), RefusalCode> {
        let other = self.transfers.other_part(contract).filter(|other| self.agreed.contracts.get(other).is_some());
        if other.is_none_or(|other| self.ends.get(&other) == Some(&end)) {
            Ok(())
        } else {
            Err(RefusalCode::VALIDATION)
        }
    }

    fn claim(&mut self, contract: &ContractId, preimage: &Preimage) -> Result<(), RefusalCode> {
        self.transfers.learn_of(contract, preimage);
        self.whole(contract, IncomingEnd::Claimed)?;
        let Some(row) = self.transfers.outgoing_of(contract) else {
            return self.claim_without_row(contract);
        };
        let terms = row.offer.terms;
        let registered = self.book.registered(&terms.lock);
        if registered.is_shown_before(terms.expiry) {
            return Ok(());
        }
        if self.head >= terms.expiry && registered.is_silent_at(terms.expiry) {
            return Err(RefusalCode::EXPIRED);
        }
        if matches!(row.progress, Progress::Failed(_)) {
            // Its router was told so: only the registry says otherwise.
            return Err(RefusalCode::NOT_NOW);
        }
        match self.book.may_be_claimed(&row.key, &terms, preimage) {
            Verdict::Agree => Ok(()),
            Verdict::NotYet => Err(RefusalCode::NOT_NOW),
            Verdict::Refuse => Err(RefusalCode::EXPIRED),
        }
    }

    /// A claim of a premium, or of a transfer that no row tells of any more: in time, or not at all.
    fn claim_without_row(&self, contract: &ContractId) -> Result<(), RefusalCode> {
        let state = self.agreed.contracts.get(contract).map(|contract| contract.state.as_slice());
        let transfer = state.and_then(|state| decode_exact::<ConditionalTransfer>(state).ok());
        let ConditionalTransfer { lock, expiry, .. } = transfer.ok_or(RefusalCode::VALIDATION)?;
        self.in_time(&lock, expiry)
    }

    /// Whether a pre-image was shown before this block, or is known before it.
    fn in_time(&self, lock: &HashLock, expiry: BlockNumber) -> Result<(), RefusalCode> {
        let registered = self.book.registered(lock);
        if registered.is_shown_before(expiry) || self.book.best() < expiry {
            Ok(())
        } else if self.head >= expiry && registered.is_silent_at(expiry) {
            Err(RefusalCode::EXPIRED)
        } else {
            Err(RefusalCode::NOT_NOW)
        }
    }

    /// Whether the registry was read after the expiry, and had nothing from before (A4).
    fn silent(&self, lock: &HashLock, expiry: BlockNumber) -> Result<(), RefusalCode> {
        let registered = self.book.registered(lock);
        if registered.is_shown_before(expiry) {
            return Err(RefusalCode::SHOWN);
        }
        if self.head >= expiry && registered.is_silent_at(expiry) {
            return Ok(());
        }
        Err(RefusalCode::NOT_NOW)
    }

    /// The peer wants its coins back.
    fn refund(&mut self, contract: &ContractId) -> Result<(), RefusalCode> {
        self.whole(contract, IncomingEnd::Refunded)?;
        let terms = self.transfers.terms_of(contract).ok_or(RefusalCode::VALIDATION)?;
        self.silent(&terms.lock, terms.expiry)
    }
}
