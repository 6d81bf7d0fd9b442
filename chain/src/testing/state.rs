//! What a chain in memory keeps, and what a transaction does to it.

use super::{
    accounts::Accounts,
    amounts::LIMITS,
    executed::ExecutedCall,
    instance::Instance,
    message::{NOT_UNDERSTOOD, understood},
};
use crate::{
    ChainError, Transaction, Weight,
    arbiter::{code_hash, instance_address, selector},
};
use interpreter::{
    ChainCosts,
    probe::{self, Trial},
};
use protocol::{AccountId, Amount, BlockNumber, Hash, decode_exact, signing::Domain, terms::Limits};
use scale::Encode;
use std::{collections::BTreeMap, sync::Arc};

/// Everything on the chain. A copy of it is a state to try something on.
#[derive(Clone, Default)]
pub(super) struct ChainState {
    accounts: Accounts,
    arbiters: BTreeMap<AccountId, Instance>,
    /// The code hash of every contract: those of arbiters, which is never run, and those of apps.
    code_hashes: BTreeMap<AccountId, Hash>,
    /// The apps among them.
    apps: BTreeMap<AccountId, Hash>,
    codes: BTreeMap<Hash, Arc<[u8]>>,
}

impl ChainState {
    /// What an account owns.
    pub(super) fn balance(&self, account: &AccountId) -> Amount {
        self.accounts.balance(account)
    }

    /// All coins that there are.
    pub(super) fn total(&self) -> Amount {
        self.accounts.total()
    }

    /// Makes coins for an account.
    pub(super) fn endow(&mut self, account: AccountId, amount: Amount) {
        self.accounts.endow(account, amount);
    }

    /// The code hash of the contract at an address.
    pub(super) fn code_hash(&self, contract: &AccountId) -> Option<Hash> {
        self.code_hashes.get(contract).copied()
    }

    /// The code with this hash.
    pub(super) fn code(&self, hash: &Hash) -> Option<Vec<u8>> {
        self.codes.get(hash).map(|code| code.to_vec())
    }

    /// Checks that an account can pay a fee.
    ///
    /// # Errors
    /// [`ChainError::InsufficientFunds`].
    pub(super) fn check_fee(&self, account: &AccountId, fee: Amount) -> Result<(), ChainError> {
        self.accounts.clone().charge(account, fee)
    }

    /// Executes a transaction in block `now`, for its fee. What fails leaves nothing behind but that.
    ///
    /// # Errors
    /// [`ChainError::FailedInBlock`]; [`ChainError::InsufficientFunds`] where the fee is not there any more.
    pub(super) fn include(
        &mut self,
        from: &AccountId,
        transaction: Transaction,
        now: BlockNumber,
        fee: Amount,
    ) -> Result<ExecutedCall, ChainError> {
        self.accounts.charge(from, fee)?;
        let mut draft = self.clone();
        let failed = |cause| ChainError::FailedInBlock { fee, cause: Box::new(cause) };
        let made = draft.execute(from, transaction, now).map_err(failed)?;
        if made.reverted {
            return Err(failed(ChainError::Reverted));
        }
        *self = draft;
        Ok(made)
    }

    /// Executes a transaction in block `now`. Where it fails or is reverted, the state is not to be used any more.
    ///
    /// # Errors
    /// The chain's own, of a transaction that fails.
    pub(super) fn execute(
        &mut self,
        from: &AccountId,
        transaction: Transaction,
        now: BlockNumber,
    ) -> Result<ExecutedCall, ChainError> {
        match transaction {
            Transaction::Transfer { to, amount } => {
                self.accounts.transfer(from, &to, amount)?;
                Ok(ExecutedCall::default())
            }
            Transaction::Call { contract, value, data } => self.call(*from, contract, value, &data, now),
            Transaction::Instantiate { code, value, data, salt } => self.instantiate(from, &code, value, &data, &salt),
        }
    }

    fn call(
        &mut self,
        from: AccountId,
        contract: AccountId,
        value: Amount,
        data: &[u8],
        now: BlockNumber,
    ) -> Result<ExecutedCall, ChainError> {
        let Some(arbiter) = self.arbiters.get_mut(&contract) else {
            return Err(match self.code_hash(&contract) {
                Some(_app) => ChainError::Failed {
                    cause: "a chain in memory runs an app in a forced step, and not for a call of its own: use the embedded chain".into(),
                },
                None => ChainError::NoContract(contract.into()),
            });
        };
        self.accounts.attach(&from, &contract, value)?;
        arbiter.answer((from, value, now), data, &mut self.accounts, &self.apps)
    }

    fn instantiate(
        &mut self,
        from: &AccountId,
        code: &[u8],
        value: Amount,
        data: &[u8],
        salt: &[u8],
    ) -> Result<ExecutedCall, ChainError> {
        let hash = code_hash(code);
        let at = instance_address(from, &hash, data, salt);
        if self.accounts.is_contract(&at) {
            return Err(ChainError::Failed { cause: "Contracts::DuplicateContract".into() });
        }
        // Neither arbiters nor apps take coins with their constructor.
        if value > 0 {
            return Err(ChainError::Failed { cause: "Contracts::ContractTrapped".into() });
        }
        let Some(arguments) = data.strip_prefix(&selector("new")) else { return Ok(not_understood()) };
        let returned = if arguments.is_empty() {
            self.add_app(at, hash, code)?;
            understood(&())
        } else {
            let Ok((genesis, limits)) = decode_exact::<(Hash, Limits)>(arguments) else { return Ok(not_understood()) };
            let checked = limits.check();
            let returned = understood(&checked.map(drop));
            if checked.is_err() {
                return Ok(ExecutedCall { returned, reverted: true, ..ExecutedCall::default() });
            }
            self.add_arbiter(Domain { genesis, arbiter: at }, limits)?;
            returned
        };
        self.note(at, hash, code);
        Ok(ExecutedCall { returned, instantiated: Some(at), ..ExecutedCall::default() })
    }

    /// Has an arbiter stand somewhere from the first block on.
    pub(super) fn place(&mut self, domain: Domain, limits: Limits, code: &[u8]) {
        let _new = self.arbiters.insert(domain.arbiter, Instance::new(domain, limits));
        self.note(domain.arbiter, code_hash(code), code);
    }

    fn note(&mut self, at: AccountId, hash: Hash, code: &[u8]) {
        self.accounts.add_contract(at);
        let _new = self.code_hashes.insert(at, hash);
        let _known = self.codes.insert(hash, code.into());
    }

    fn add_arbiter(&mut self, domain: Domain, limits: Limits) -> Result<(), ChainError> {
        let arbiter = Instance::new(domain, limits);
        for code in self.apps.values().filter_map(|hash| self.codes.get(hash)) {
            arbiter.add_app(code)?;
        }
        let _new = self.arbiters.insert(domain.arbiter, arbiter);
        Ok(())
    }

    fn add_app(&mut self, at: AccountId, hash: Hash, code: &[u8]) -> Result<(), ChainError> {
        // Refused even where there is no arbiter yet to run it.
        let nowhere = Domain { genesis: Hash::ZERO, arbiter: at };
        Instance::new(nowhere, LIMITS).add_app(code)?;
        for arbiter in self.arbiters.values() {
            arbiter.add_app(code)?;
        }
        let _new = self.apps.insert(at, hash);
        Ok(())
    }
}

fn not_understood() -> ExecutedCall {
    ExecutedCall { returned: NOT_UNDERSTOOD.to_vec(), reverted: true, ..ExecutedCall::default() }
}

/// What the contract that asks a chain for its prices would use here ([`probe::CODE`]): what the interpreter counts, which is what a chain with the
/// weights of `pallet-contracts` 38 charges. None for any other transaction.
pub(super) fn probe(transaction: &Transaction) -> Option<Result<Weight, ChainError>> {
    let Transaction::Instantiate { code, data, .. } = transaction else { return None };
    if code != probe::CODE {
        return None;
    }
    let trial = Trial::all().into_iter().find(|trial| trial.input() == *data).unwrap_or_else(Trial::idle);
    let failed = |error| ChainError::Failed { cause: format!("the probe of prices: {error}") };
    let price = trial.price(ChainCosts::CONTRACTS_NODE).map_err(failed);
    Some(price.map(|ref_time| Weight { ref_time, proof_size: 0 }))
}

/// A transaction as bytes: to sign, and to tell blocks apart by.
pub(super) fn bytes(transaction: &Transaction) -> Vec<u8> {
    match transaction {
        Transaction::Call { contract, value, data } => (0_u8, contract, value, data).encode(),
        Transaction::Instantiate { code, value, data, salt } => (1_u8, code, value, data, salt).encode(),
        Transaction::Transfer { to, amount } => (2_u8, to, amount).encode(),
    }
}

/// Its length in bytes.
pub(super) fn length(transaction: &Transaction) -> u32 {
    u32::try_from(bytes(transaction).len()).unwrap_or(u32::MAX)
}
