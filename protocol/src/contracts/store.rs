//! A channel's contracts as peers keep them.

use super::{Contract, ContractId};
use crate::{
    Amount, Hash,
    crypto::Native,
    tree::{Proof, Tree, TreeChange},
};
use rpds::HashTrieMapSync;
use std::sync::Arc;

/// All contracts of one state, with the tree over them (R4.2). Cloning it is cheap, and a change costs about log(contracts), so that old
/// states can be kept.
#[derive(Clone, Debug, Default)]
pub struct Contracts {
    tree: Tree,
    contracts: HashTrieMapSync<ContractId, Arc<Contract>>,
    held: Amount,
    transfers: usize,
}

/// Equal where the roots are: the tree commits to everything.
impl PartialEq for Contracts {
    fn eq(&self, other: &Self) -> bool {
        self.root() == other.root()
    }
}

impl Eq for Contracts {}

impl Contracts {
    /// No contracts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `contracts_root` (R4.2).
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: &ContractId) -> Option<&Contract> {
        self.contracts.get(id).map(AsRef::as_ref)
    }

    /// Each with its id, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&ContractId, &Contract)> {
        self.contracts.iter().map(|(id, contract)| (id, contract.as_ref()))
    }

    /// The coins that they hold together. They are coins of one channel (R4.4), so the sum is within the number range.
    #[must_use]
    pub const fn held(&self) -> Amount {
        self.held
    }

    /// How many of them are conditional transfers (R8.1).
    #[must_use]
    pub const fn transfers(&self) -> usize {
        self.transfers
    }

    /// How many branches stand above this contract's leaf, or above the place where it would be.
    #[must_use]
    pub fn depth(&self, id: &ContractId) -> usize {
        self.tree.depth(&id.key())
    }

    /// The contracts that differ between two states, in ascending order; what they have in common is not visited.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<ContractId> {
        self.tree.differences(&other.tree).into_iter().map(|key| ContractId(key.0)).collect()
    }

    /// Adds a contract, or changes one.
    pub fn insert(&mut self, id: ContractId, contract: Contract) {
        let _before = self.tree.set(id.key(), Some(contract.leaf(&Native)));
        self.uncount(&id);
        self.held = self.held.saturating_add(contract.balance);
        self.transfers = self.transfers.saturating_add(usize::from(contract.is_transfer()));
        self.contracts.insert_mut(id, Arc::new(contract));
    }

    /// Removes a contract.
    pub fn remove(&mut self, id: &ContractId) {
        let _before = self.tree.set(id.key(), None);
        self.uncount(id);
        let _was_there = self.contracts.remove_mut(id);
    }

    fn uncount(&mut self, id: &ContractId) {
        let (balance, is_transfer) =
            self.get(id).map_or((0, false), |contract| (contract.balance, contract.is_transfer()));
        self.held = self.held.saturating_sub(balance);
        self.transfers = self.transfers.saturating_sub(usize::from(is_transfer));
    }

    /// What a contract is now; none where it is gone.
    pub fn set(&mut self, id: ContractId, contract: Option<Contract>) {
        match contract {
            Some(contract) => self.insert(id, contract),
            None => self.remove(&id),
        }
    }

    /// What shows the arbiter these `changes`, which are in ascending order of their keys.
    #[must_use]
    pub fn prove(&self, changes: &[TreeChange]) -> Proof {
        self.tree.prove(changes)
    }
}

impl FromIterator<(ContractId, Contract)> for Contracts {
    fn from_iter<I: IntoIterator<Item = (ContractId, Contract)>>(contracts: I) -> Self {
        let mut all = Self::new();
        for (id, contract) in contracts {
            all.insert(id, contract);
        }
        all
    }
}
