//! A channel's contracts as peers keep them.

use super::{Contract, ContractId};
use crate::{
    Amount, Hash,
    crypto::Native,
    tree::{Change, Proof, Tree},
};
use rpds::HashTrieMapSync;
use std::sync::Arc;

/// All contracts of one state, with the tree over them (R4.2). Cloning it is cheap, and a change costs about log(contracts), so that old
/// states can be kept.
#[derive(Clone, Debug, Default)]
pub struct Contracts {
    tree: Tree,
    contracts: HashTrieMapSync<ContractId, Arc<Contract>>,
}

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

    /// The coins that they hold together.
    #[must_use]
    pub fn balance(&self) -> Option<Amount> {
        self.iter().try_fold(0, |sum: Amount, (_id, contract)| sum.checked_add(contract.balance))
    }

    /// Adds a contract, or changes one.
    pub fn insert(&mut self, id: ContractId, contract: Contract) {
        let _before = self.tree.set(id.key(), Some(contract.leaf(&Native)));
        self.contracts.insert_mut(id, Arc::new(contract));
    }

    /// Removes a contract.
    pub fn remove(&mut self, id: &ContractId) {
        let _before = self.tree.set(id.key(), None);
        let _was_there = self.contracts.remove_mut(id);
    }

    /// What shows the arbiter these `changes`, which are in ascending order of their keys.
    #[must_use]
    pub fn prove(&self, changes: &[Change]) -> Proof {
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
