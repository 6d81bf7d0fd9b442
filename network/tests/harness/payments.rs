//! Payments and invoices of nodes, by numbers.

use super::{CHAIN, World};
use network::{Invoice, InvoiceRequest, Opening, PayError, PaymentId, PaymentState};
use protocol::{Amount, contracts::conditional::Preimage};

impl World {
    /// A payment of a node's, by a number.
    pub(crate) fn pay(
        &mut self,
        node: usize,
        id: u8,
        invoice: &Invoice,
        amount: Option<Amount>,
    ) -> Result<PaymentState, PayError> {
        self.pay_within(node, id, invoice, amount, 1_000_000)
    }

    /// Likewise, for so much in fees at most.
    pub(crate) fn pay_within(
        &mut self,
        node: usize,
        id: u8,
        invoice: &Invoice,
        amount: Option<Amount>,
        max_fee: Amount,
    ) -> Result<PaymentState, PayError> {
        let seed = [id; 32];
        let paid = self.nodes[node].router.pay(PaymentId([id; 32]), invoice, amount, max_fee, seed);
        let (state, outputs) = paid?;
        self.commit_outside(node, outputs);
        Ok(state)
    }

    /// An invoice of a node's, by a number; its pre-image is made of it.
    pub(crate) fn invoice(&mut self, node: usize, number: u8, amount: Option<Amount>, hubs: &[usize]) -> Invoice {
        self.invoice_for(node, number, amount, hubs, Opening::AtOnce(Preimage([number; 32])))
    }

    pub(crate) fn invoice_for(
        &mut self,
        node: usize,
        number: u8,
        amount: Option<Amount>,
        hubs: &[usize],
        opening: Opening,
    ) -> Invoice {
        let request = InvoiceRequest {
            chain: CHAIN,
            amount,
            opening,
            secret: [number ^ 0xff; 32],
            least_expiry: 0,
            description: format!("number {number}"),
            expires_at: self.now / 1_000 + 3_600,
            hubs: hubs.iter().map(|hub| self.key(*hub)).collect(),
        };
        let (invoice, text, outputs) = self.nodes[node].router.add_invoice(request).expect("an invoice");
        assert_eq!(Invoice::parse(&text), Ok(invoice.clone()));
        self.commit_outside(node, outputs);
        invoice
    }

    pub(crate) fn payment(&self, node: usize, id: u8) -> Option<PaymentState> {
        self.nodes[node].router.payment(&PaymentId([id; 32]))
    }
}
