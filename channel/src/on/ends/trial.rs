//! What a side asks for because of transfers, tried on what its next round goes on from (R8.3g).

use crate::{
    config::Config,
    input::Context,
    phase::live::Live,
    state::{AppCall, Change, ChangeFault},
    transfer::{TransferBook, marks::PlacedCall},
};
use protocol::{
    BlockNumber, Party,
    contracts::{CallFault, ContractId, Requirement},
};

/// Tries what a side asks for on what its next round goes on from.
pub(super) struct Trial<'a> {
    pub(super) live: &'a Live,
    pub(super) me: Party,
    pub(super) config: &'a Config,
    pub(super) ctx: &'a Context<'a>,
    /// What is asked for before it and makes calls of apps: it may build on that.
    pub(super) before: &'a [Change],
    /// The expiry of the transfer.
    pub(super) expiry: BlockNumber,
}

/// Why a change cannot be made in the next round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hindrance {
    /// An app refuses it, or what it requires of a hash lock will never be met, or not in time.
    Refused,
    /// The code of an app is not here.
    Code,
    /// It is too much for the round, or something else that may pass.
    NotNow,
}

/// Calls that are left, by what can be done about them.
pub(super) struct Sorted {
    /// They can be made in the next round.
    pub(super) made: Vec<PlacedCall>,
    /// They can never be made.
    pub(super) refused: Vec<PlacedCall>,
}

impl Trial<'_> {
    fn tried(&self, changes: &[Change]) -> Result<(), (usize, Hindrance)> {
        let Self { live, me, config, ctx, before, .. } = *self;
        let hindered = |at: usize, by| Err(at.checked_sub(before.len()).map_or((0, Hindrance::NotNow), |at| (at, by)));
        let requirements = match live.try_changes(me, &[before, changes].concat(), config, ctx) {
            Ok(requirements) => requirements,
            Err((at, fault)) => return hindered(at, Hindrance::of(&fault, self.waits_until(changes))),
        };
        let never = requirements.iter().find(|(_, requirement)| is_never_met(requirement, ctx.transfers));
        never.map_or(Ok(()), |(at, _)| hindered(usize::try_from(*at).unwrap_or(0), Hindrance::Refused))
    }

    /// Up to which block a call that is too early is waited for: of a claim as long as the peer has time to agree to it, else as long as code is waited for.
    fn waits_until(&self, changes: &[Change]) -> BlockNumber {
        match changes {
            [Change::Claim { .. }] => self.expiry.saturating_sub(self.ctx.transfers.margins().forward()),
            _ => self.config.code_is_awaited_until(self.expiry),
        }
    }

    /// Whether it can be made in the next round, so that others may build on it.
    pub(super) fn is_makeable(&self, change: &Change) -> bool {
        self.tried(std::slice::from_ref(change)).is_ok()
    }

    /// The end of a transfer, without those of its calls that cannot be made. None where it waits for the next block.
    pub(super) fn makeable(&self, change: Change) -> Option<Change> {
        let fault = match self.tried(std::slice::from_ref(&change)) {
            Ok(()) => return Some(change),
            Err((_, fault)) => fault,
        };
        match &change {
            _ if fault != Hindrance::Refused => None,
            Change::Claim { contract, calls, .. } | Change::Refund { contract, calls } => {
                let mut with = Vec::new();
                for call in calls {
                    with.push(call.clone());
                    match self.tried(&[with_calls(&change, *contract, with.clone())]) {
                        Ok(()) => {}
                        Err((_, Hindrance::Refused)) => drop(with.pop()),
                        Err((_, Hindrance::Code | Hindrance::NotNow)) => return None,
                    }
                }
                // What is proposed, or asked for, may be what an app refuses it for.
                let is_alone = self.live.outgoing.proposal().is_none() && self.before.is_empty();
                is_alone.then(|| with_calls(&change, *contract, with))
            }
            // A failure goes with its calls alone.
            _ => Some(change),
        }
    }

    /// Sorts calls that are left. They are made in their order, since a later one may build on those before it; for code that is fetched those behind it wait if `code_may_come`. None where all of them
    /// wait for the next block.
    pub(super) fn sort(&self, left: Vec<PlacedCall>, code_may_come: bool) -> Option<Sorted> {
        let (mut made, mut refused) = (left, Vec::new());
        let (mut waits, mut lacks_code) = (false, false);
        loop {
            let changes: Vec<_> = made.iter().map(|(_, call)| calling(call.clone())).collect();
            match self.tried(&changes) {
                Ok(()) => break,
                // With others before it, it may be refused because of them, and none of them is made yet.
                Err((0, Hindrance::Refused)) if !waits => refused.push(made.remove(0)),
                Err((at, Hindrance::Refused)) => {
                    let _waits = made.remove(at);
                    waits = true;
                }
                Err((at, Hindrance::Code)) => {
                    let _lacks = made.remove(at);
                    (waits, lacks_code) = (waits || code_may_come, true);
                }
                Err((at, Hindrance::NotNow)) => {
                    made.truncate(at);
                    waits = true;
                }
            }
        }
        // What is proposed, or asked for, may be what it is refused for.
        if self.live.outgoing.proposal().is_some() || !self.before.is_empty() {
            waits |= !refused.is_empty();
            refused.clear();
        }
        let is_something = !made.is_empty() || !refused.is_empty() || !(waits || lacks_code);
        is_something.then_some(Sorted { made, refused })
    }
}

impl Hindrance {
    const fn of(fault: &ChangeFault, until: BlockNumber) -> Self {
        match fault {
            ChangeFault::Call(CallFault::TooEarly { expiry, .. }) if *expiry < until => Self::NotNow,
            ChangeFault::CodeUnknown(_) | ChangeFault::Call(CallFault::CodeNotThere) => Self::Code,
            ChangeFault::Call(_) | ChangeFault::ContractUnknown(_) | ChangeFault::BuiltinNotAccepted => Self::Refused,
            _ => Self::NotNow,
        }
    }
}

/// Whether what a call requires of a hash lock is known to be met never.
fn is_never_met(requirement: &Requirement, book: &dyn TransferBook) -> bool {
    match requirement {
        Requirement::Shown { lock, before, .. } => book.registered(lock).is_silent_at(*before),
        Requirement::Silent { lock, from } => book.registered(lock).is_shown_before(*from),
    }
}

/// A call that goes with a transfer, as a change of its own.
pub(super) fn calling(AppCall { contract, input }: AppCall) -> Change {
    Change::CallContract { contract, value: 0, input }
}

/// The same end, of this contract and without calls: as a premium ends, since what is called goes with the transfer itself.
pub(super) fn alone(change: &Change, contract: ContractId) -> Change {
    with_calls(change, contract, Vec::new())
}

/// The same end, of this contract and with these calls.
fn with_calls(change: &Change, contract: ContractId, calls: Vec<AppCall>) -> Change {
    match change {
        Change::Claim { preimage, .. } => Change::Claim { contract, preimage: *preimage, calls },
        Change::Fail { reason, .. } => Change::Fail { contract, reason: reason.clone(), calls },
        _ => Change::Refund { contract, calls },
    }
}
