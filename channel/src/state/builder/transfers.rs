//! Conditional transfers in a round: offered, claimed, failed and refunded (R8.3). What is decided here follows from the state and the change alone, so
//! that both sides always compute the same; whether a side agrees to it now is another question (R8.3c).

use super::RoundBuilder;
use crate::state::{ChangeFault, FailReason, Offer, Outcome};
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
    /// The proposer's coins are locked for its peer; and where the peer stakes a premium, the peer's own, under the same lock.
    pub(super) fn offer(&mut self, offer: &Offer) -> Result<Option<Outcome>, ChangeFault> {
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
        Ok(None)
    }

    /// As [`offer`](Self::offer), with a fee for its place, which moves whatever comes of it.
    pub(super) fn paid_offer(&mut self, fee: Amount, offer: &Offer) -> Result<Option<Outcome>, ChangeFault> {
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
    pub(super) fn fail(&mut self, id: ContractId, reason: &FailReason) -> Result<Option<Outcome>, ChangeFault> {
        reason.check()?;
        let (transfer, balance) = self.transfer(id)?;
        self.end(id, transfer.payee == self.context.proposer, transfer.payee.peer(), balance)
    }

    /// The payee shows the pre-image, and has the coins.
    pub(super) fn claim(&mut self, id: ContractId, preimage: &Preimage) -> Result<Option<Outcome>, ChangeFault> {
        let (transfer, balance) = self.transfer(id)?;
        if preimage.lock(transfer.lock.function, &Native) != transfer.lock {
            return Err(CallFault::WrongPreimage.into());
        }
        self.end(id, transfer.payee == self.context.proposer, transfer.payee, balance)
    }

    /// The payer has the coins back.
    pub(super) fn refund(&mut self, id: ContractId) -> Result<Option<Outcome>, ChangeFault> {
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
    ) -> Result<Option<Outcome>, ChangeFault> {
        if !is_theirs {
            return Err(ChangeFault::NotTheirs(id));
        }
        let mut payouts = Pair::default();
        payouts[to] = balance;
        self.balances = self.moved(&Pair::default(), &payouts)?;
        self.put(id, None);
        self.transfers = self.transfers.saturating_sub(1);
        Ok(None)
    }
}
