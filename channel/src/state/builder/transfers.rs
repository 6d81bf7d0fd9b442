//! Conditional transfers in a round: offered, claimed, failed and refunded (R8.3). What is decided here follows from the state and the change alone, so
//! that both sides always compute the same; whether a side agrees to it now is another question (R8.3c).

use super::RoundBuilder;
use crate::state::{AppCall, Change, ChangeFault, FailReason, MAX_LOCKED_CALLS, Offer};
use protocol::{
    Amount, Pair,
    contracts::{
        CallFault, Code, Contract, ContractId,
        conditional::{BUILTIN, ConditionalTransfer, Preimage},
    },
    crypto::Native,
    decode_exact,
};
use scale::Encode;

impl RoundBuilder<'_> {
    /// A change that begins or ends a transfer, and the calls of apps that go with it: all of it, or nothing (R8.3g).
    pub(super) fn make_of_transfer(&mut self, change: &Change) -> Result<(), ChangeFault> {
        let before = change.executes().then(|| self.clone());
        let made = match change {
            Change::Offer(offer) => self.offer(offer).and_then(|()| self.lock_apps(offer)),
            Change::PaidOffer { fee, offer } => self.paid_offer(*fee, offer).and_then(|()| self.lock_apps(offer)),
            Change::Fail { contract, reason, calls } => {
                self.fail(*contract, reason).and_then(|()| self.call_apps(calls))
            }
            Change::Claim { contract, preimage, calls } => {
                self.claim(*contract, preimage).and_then(|()| self.call_apps(calls))
            }
            Change::Refund { contract, calls } => self.refund(*contract).and_then(|()| self.call_apps(calls)),
            _ => Ok(()),
        };
        if let Some(before) = before.filter(|_| made.is_err()) {
            *self = before;
        }
        made
    }

    /// The calls that go with an offer. They depend on nothing but the state, so that a round with an offer is judged by the offer alone.
    fn lock_apps(&mut self, offer: &Offer) -> Result<(), ChangeFault> {
        let required = self.requirements.len();
        self.call_apps(&offer.calls.to_lock(&offer.terms))?;
        if self.requirements.len() > required {
            return Err(ChangeFault::RequiresInOffer);
        }
        Ok(())
    }

    fn call_apps(&mut self, calls: &[AppCall]) -> Result<(), ChangeFault> {
        if calls.len() > MAX_LOCKED_CALLS {
            return Err(ChangeFault::TooManyCalls);
        }
        for AppCall { contract, input } in calls {
            let outcome = self.call(*contract, 0, input)?;
            self.results.push((self.changes, outcome));
        }
        Ok(())
    }

    /// The proposer's coins are locked for its peer; and where the peer stakes a premium, the peer's own, under the same lock.
    pub(super) fn offer(&mut self, offer: &Offer) -> Result<(), ChangeFault> {
        self.check_whole()?;
        offer.check()?;
        let proposer = self.context.proposer;
        let mut coins = self.taking(offer.terms.amount);
        coins[proposer.peer()] = offer.premium;
        self.balances = self.moved(&coins, &Pair::default())?;
        let state = ConditionalTransfer { payee: proposer.peer(), lock: offer.terms.lock, expiry: offer.terms.expiry };
        self.lock(offer.terms.amount, &state);
        if offer.premium > 0 {
            self.lock(offer.premium, &state);
        }
        Ok(())
    }

    /// As [`offer`](Self::offer), with a fee for its place, which moves whatever comes of it.
    pub(super) fn paid_offer(&mut self, fee: Amount, offer: &Offer) -> Result<(), ChangeFault> {
        if fee == 0 {
            return Err(ChangeFault::PaymentOfNothing);
        }
        let before = self.balances;
        let mut shares = Pair::default();
        shares[self.context.proposer.peer()] = fee;
        self.balances = self.moved(&self.taking(fee), &shares)?;
        let offered = self.offer(offer);
        if offered.is_err() {
            self.balances = before;
        }
        offered
    }

    fn lock(&mut self, balance: Amount, state: &ConditionalTransfer) {
        let id = self.next_id();
        let (code, owner) = (Code::Builtin(BUILTIN), self.context.proposer);
        let new = Contract { code, balance, owner, state: state.encode() };
        self.contracts = self.contracts.saturating_add(1);
        self.transfers = self.transfers.saturating_add(1);
        self.created.push(id);
        let _none = self.touched.insert(id, Some(new));
    }

    /// The payee gives the coins back.
    pub(super) fn fail(&mut self, id: ContractId, reason: &FailReason) -> Result<(), ChangeFault> {
        reason.check()?;
        let (transfer, balance) = self.transfer(id)?;
        self.end(id, transfer.payee == self.context.proposer, transfer.payee.peer(), balance)
    }

    /// The payee shows the pre-image, and has the coins.
    pub(super) fn claim(&mut self, id: ContractId, preimage: &Preimage) -> Result<(), ChangeFault> {
        let (transfer, balance) = self.transfer(id)?;
        if preimage.lock(transfer.lock.function, &Native) != transfer.lock {
            return Err(CallFault::WrongPreimage.into());
        }
        self.end(id, transfer.payee == self.context.proposer, transfer.payee, balance)
    }

    /// The payer has the coins back.
    pub(super) fn refund(&mut self, id: ContractId) -> Result<(), ChangeFault> {
        let (transfer, balance) = self.transfer(id)?;
        self.end(id, transfer.payee != self.context.proposer, transfer.payee.peer(), balance)
    }

    fn transfer(&self, id: ContractId) -> Result<(ConditionalTransfer, Amount), ChangeFault> {
        let Contract { code, balance, state, .. } = self.contract(id)?;
        match decode_exact(&state) {
            Ok(transfer) if code == Code::Builtin(BUILTIN) => Ok((transfer, balance)),
            _ => Err(ChangeFault::NotATransfer(id)),
        }
    }

    fn end(
        &mut self,
        id: ContractId,
        is_theirs: bool,
        to: protocol::Party,
        balance: Amount,
    ) -> Result<(), ChangeFault> {
        if !is_theirs {
            return Err(ChangeFault::NotTheirs(id));
        }
        let mut payouts = Pair::default();
        payouts[to] = balance;
        self.balances = self.moved(&Pair::default(), &payouts)?;
        self.put(id, None);
        self.transfers = self.transfers.saturating_sub(1);
        Ok(())
    }
}
