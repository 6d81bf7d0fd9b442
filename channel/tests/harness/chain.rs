//! The chain: the arbiter's own rules on a ledger, a pool, and blocks that both sides get told of in their own time.

use super::{DOMAIN, LIMITS, account, apps, party_terms};
use channel::ChannelRef;
use protocol::{
    AccountId, Amount, BlockNumber, Pair, Party, PartyId, Rejection,
    arbiter::{CallContext, Ledger},
    call::{Call, CallKind},
    contracts::conditional::{HashLock, Preimage},
    event::ArbiterEvent,
};
use std::collections::{BTreeMap, BTreeSet};

/// What both accounts put into their vaults at the start.
pub(crate) const FUNDS: Amount = 5_000;
/// The number of the block before the first one that is mined.
pub(crate) const GENESIS: BlockNumber = 100;

/// What happened in one block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    pub(crate) events: Vec<ArbiterEvent>,
    pub(crate) rejected: Vec<(Party, CallKind, Rejection)>,
}

pub(crate) struct SimChain {
    pub(crate) ledger: Ledger,
    /// What has left the arbiter, by account.
    pub(crate) paid_out: BTreeMap<AccountId, Amount>,
    /// Calls with these names never get into a block.
    pub(crate) censored: BTreeSet<&'static str>,
    /// Every call that was asked for, in order.
    pub(crate) asked: Vec<(Party, &'static str)>,
    /// What submitting closes has earned each party.
    pub(crate) fees_earned: Pair<Amount>,
    /// Pre-images that were shown, and in which block.
    pub(crate) preimages: BTreeMap<HashLock, (Preimage, BlockNumber)>,
    pool: Vec<(Party, Call)>,
    blocks: Vec<Block>,
    deposited: Amount,
}

impl SimChain {
    pub(crate) fn new() -> Self {
        let (deployed, apps) = (apps::deployed(), apps::native());
        let mut chain = Self {
            ledger: Ledger { deployed, apps, ..Ledger::default() },
            paid_out: BTreeMap::new(),
            censored: BTreeSet::new(),
            asked: Vec::new(),
            fees_earned: Pair::default(),
            preimages: BTreeMap::new(),
            pool: Vec::new(),
            blocks: Vec::new(),
            deposited: 0,
        };
        for party in Party::BOTH {
            chain.deposit(party, FUNDS);
        }
        chain
    }

    pub(crate) fn head(&self) -> BlockNumber {
        GENESIS + BlockNumber::try_from(self.blocks.len()).unwrap()
    }

    pub(crate) fn block(&self, number: BlockNumber) -> &Block {
        &self.blocks[usize::try_from(number - GENESIS - 1).unwrap()]
    }

    pub(crate) fn deposit(&mut self, party: Party, amount: Amount) {
        let ctx = self.context(party);
        let _applied =
            self.ledger.apply(&ctx, Call::VaultDeposit { key: party_terms(party).key }, amount, &|_, _| true).unwrap();
        self.deposited += amount;
    }

    pub(crate) fn empty_vault(&mut self, party: Party) {
        let ctx = self.context(party);
        let amount = self.ledger.vaults[&party_terms(party).id()];
        let _applied = self
            .ledger
            .apply(&ctx, Call::VaultWithdraw { key: party_terms(party).key, amount }, 0, &|_, _| true)
            .unwrap();
        self.deposited -= amount;
    }

    pub(crate) fn nonce(&self, parties: &Pair<PartyId>) -> u64 {
        self.ledger.nonces.get(parties).copied().unwrap_or(0)
    }

    /// Puts a call into the pool; the same call of the same party only once.
    pub(crate) fn submit(&mut self, party: Party, call: Call) {
        self.asked.push((party, call.name()));
        if !self.censored.contains(call.name()) && !self.pool.contains(&(party, call.clone())) {
            self.pool.push((party, call));
        }
    }

    /// What waits for the next block is lost.
    pub(crate) fn drop_pool(&mut self) {
        self.pool.clear();
    }

    /// What waits for the next block.
    pub(crate) fn waiting(&self) -> Vec<Call> {
        self.pool.iter().map(|(_, call)| call.clone()).collect()
    }

    /// A hostile maker of blocks: what waits is executed in another order.
    pub(crate) fn reorder(&mut self, by: usize) {
        let count = self.pool.len();
        if count > 1 {
            self.pool.rotate_left(by % count);
            if by % 2 == 1 {
                self.pool.reverse();
            }
        }
    }

    pub(crate) fn times_asked(&self, party: Party, name: &str) -> usize {
        self.asked.iter().filter(|&&(by, asked)| by == party && asked == name).count()
    }

    /// Executes the pool in the next block. No coin appears or vanishes.
    pub(crate) fn mine(&mut self) {
        let mut block = Block::default();
        for (party, call) in std::mem::take(&mut self.pool) {
            let kind = call.kind();
            match self.ledger.apply(&self.context(party), call, 0, &|_, _| true) {
                Ok(applied) => {
                    for (_, event, _) in applied.events {
                        if let ArbiterEvent::ChannelClosedMutually { fee, .. } = &event {
                            self.fees_earned[party] += fee;
                        }
                        block.events.push(event);
                    }
                    for (lock, preimage, at) in applied.preimages {
                        let _first = self.preimages.entry(lock).or_insert((preimage, at));
                    }
                    for (to, amount) in applied.paid_out {
                        *self.paid_out.entry(to).or_default() += amount;
                    }
                }
                Err(rejection) => block.rejected.push((party, kind, rejection)),
            }
        }
        self.blocks.push(block);
        assert_eq!(self.ledger.held() + self.paid_out.values().sum::<Amount>(), self.deposited, "coins are conserved");
    }

    /// What a party has outside of any channel.
    pub(crate) fn wealth(&self, party: Party) -> Amount {
        let vault = self.ledger.vaults.get(&party_terms(party).id()).copied().unwrap_or(0);
        vault + self.paid_out.get(&account(party)).copied().unwrap_or(0)
    }

    /// The channel between the two, where there is one on chain.
    pub(crate) fn is_closed(&self) -> bool {
        self.ledger.channels.is_empty()
    }

    /// Calls are executed in the next block.
    fn context(&self, party: Party) -> CallContext {
        CallContext { domain: DOMAIN, limits: LIMITS, now: self.head() + 1, caller: account(party) }
    }
}

/// How the one channel of a test is called between the peers.
pub(crate) const REFERENCE: ChannelRef = ChannelRef([9; 16]);
