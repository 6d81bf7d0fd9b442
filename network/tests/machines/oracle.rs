//! What has to hold in the end: each payment has moved all of its coins or none, nobody who carries on has less, and no channel has closed.

use super::{
    link::{DOMAIN, SHARE},
    net::Net,
};
use network::PaymentState;
use protocol::{Amount, Party};

/// A payment that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) payer: usize,
    pub(super) payee: usize,
    pub(super) id: u8,
    pub(super) amount: Amount,
}

fn signed(amount: Amount) -> i128 {
    i128::try_from(amount).unwrap()
}

impl Net {
    /// What a node has in its channels beyond what it began with, plain payments and deposits apart.
    pub(super) fn gain(&self, node: usize) -> i128 {
        let of_side = |(link, party): (usize, Party)| {
            let side = &self.links[link].sides[party];
            let open = side.machine().outgoing_transfers().values().filter(|row| !row.is_decided());
            let under_way: Amount = open.map(|row| row.offer.terms.amount).sum();
            let (paid, received) = side.turnover();
            signed(side.balances().ours + under_way + paid + side.withdrawn) - signed(SHARE + received + side.deposited)
        };
        self.sides_of(node).into_iter().map(of_side).sum()
    }

    fn fees_of(&self, node: usize) -> i128 {
        self.node(node).shared().router.earned(DOMAIN).iter().map(|earned| signed(earned.amount)).sum()
    }

    /// Nothing is under way, and no channel was closed.
    pub(super) fn assert_quiet(&self) {
        for (number, link) in self.links.iter().enumerate() {
            assert_eq!(link.states(), ("open", "open"), "channel {number}");
            for party in Party::BOTH {
                let side = &link.sides[party];
                let rows = &side.transfers;
                assert!(rows.is_empty(), "the {party:?} of channel {number} keeps {rows:#?} at {}", self.head());
                for call in ["channel_close_solo", "channel_close_mutual", "channel_slash", "channel_settle"] {
                    assert_eq!(link.chain.times_asked(party, call), 0, "{call} in channel {number}");
                }
                assert_eq!(side.machine().contracts().unwrap().transfers(), 0, "channel {number}");
            }
        }
        for node in 0..self.count() {
            assert_eq!(self.node(node).shared().router.open(), (0, 0), "node {node}");
        }
    }

    /// Each payment has at most one debit and one credit, no coin is lost or made, and whoever only carries on has its fees. Says how many were made.
    pub(super) fn assert_ended_well(&self, asked: &[Asked]) -> usize {
        self.assert_quiet();
        let (mut least, mut made) = (vec![0_i128; self.count()], 0);
        let mut fees_paid = vec![0_i128; self.count()];
        for Asked { payer, payee, id, amount } in asked {
            match self.payment(*payer, *id) {
                Some(PaymentState::Paid(_)) => {
                    made += 1;
                    least[*payer] -= signed(*amount);
                    least[*payee] += signed(*amount);
                    // Two hubs at most are on the way, one of which is known to the payer.
                    fees_paid[*payer] += 10 + signed(*amount / 100);
                }
                Some(PaymentState::Failed(_)) | None => {}
                Some(PaymentState::Pending) => panic!("payment {id} of node {payer} is stuck"),
            }
        }
        let gains: Vec<i128> = (0..self.count()).map(|node| self.gain(node)).collect();
        assert_eq!(gains.iter().sum::<i128>(), 0, "coins are lost or made: {gains:?}");
        for (node, gain) in gains.into_iter().enumerate() {
            let most = least[node] + self.fees_of(node);
            let least = most - fees_paid[node];
            assert!((least..=most).contains(&gain), "node {node} has {gain}, and {least} to {most} are right");
        }
        made
    }
}
