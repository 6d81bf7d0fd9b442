//! What transactions lead to.

use crate::ContractEvent;
use protocol::AccountId;

/// What executing a transaction led to.
#[derive(Debug, Default)]
pub(super) struct ExecutedCall {
    /// What the contract returned.
    pub(super) returned: Vec<u8>,
    /// Whether it asked to undo everything.
    pub(super) reverted: bool,
    /// The address of a new contract.
    pub(super) instantiated: Option<AccountId>,
    /// What was emitted.
    pub(super) events: Vec<ContractEvent>,
}
