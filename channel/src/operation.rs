//! What both parties agree to do on chain while the channel goes on (R5.5, R5.7): its words, and the state after it.

use crate::{
    error::Violation,
    message::{Message, RefusalCode},
    pledge::PledgeBody,
    state::{Change, ChangeFault, ChangeId, Offer, RoundBuilder, RoundContext, State},
};
use protocol::{
    AccountId, Amount, Base, BlockNumber, ChannelId, Hash, Pair, Party, Rejection, Round, Signature,
    call::{Call, CallKind, Deposit, SetDelegates, SnapshotSolo, Withdraw},
    signing::{DepositBody, Domain, SetDelegatesBody, WithdrawBody, signed_bytes},
    terms::{Delegate, MAX_DELEGATES, Terms},
};
use scale::{Decode, Encode};

/// The operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum OperationKind {
    /// Coins of a party's vault into the channel.
    #[codec(index = 0)]
    Deposit,
    /// A party's coins out of the channel.
    #[codec(index = 1)]
    Withdraw,
    /// Other accounts may defend a party.
    #[codec(index = 2)]
    SetDelegates,
    /// The peer pledges that it stakes coins of its own beside an offer (R6.5d).
    #[codec(index = 3)]
    Pledge,
}

/// What a user asks for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum OperationRequest {
    #[codec(index = 0)]
    Deposit { amount: Amount },
    #[codec(index = 1)]
    Withdraw { amount: Amount, to: Option<AccountId> },
    #[codec(index = 2)]
    SetDelegates { delegates: Vec<Delegate> },
    /// An own offer with a premium waits for its peer's pledge: the id of the change, and the last block of the pledge.
    #[codec(index = 3)]
    Pledge { change: ChangeId, offer: Offer, until: BlockNumber },
}

/// What both sign. It carries the round and the state after it, and is no state itself: past `valid_until` it is worth nothing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum OperationBody {
    #[codec(index = 0)]
    Deposit(DepositBody),
    #[codec(index = 1)]
    Withdraw(WithdrawBody),
    #[codec(index = 2)]
    SetDelegates(SetDelegatesBody),
    #[codec(index = 3)]
    Pledge(PledgeBody),
}

impl OperationRequest {
    pub(crate) const fn kind(&self) -> OperationKind {
        match self {
            Self::Deposit { .. } => OperationKind::Deposit,
            Self::Withdraw { .. } => OperationKind::Withdraw,
            Self::SetDelegates { .. } => OperationKind::SetDelegates,
            Self::Pledge { .. } => OperationKind::Pledge,
        }
    }

    /// How much of the agreed balance it will take.
    pub(crate) const fn takes(&self) -> Amount {
        match self {
            Self::Withdraw { amount, .. } => *amount,
            // What is offered is counted where it waits.
            Self::Deposit { .. } | Self::SetDelegates { .. } | Self::Pledge { .. } => 0,
        }
    }

    /// Why an own offer cannot be made with its premium, where that is what waits.
    pub(crate) fn fault(&self, context: RoundContext<'_>, state: &State) -> Option<ChangeFault> {
        match self {
            Self::Pledge { offer, .. } => with_offer(context, state, offer).err(),
            Self::Deposit { .. } | Self::Withdraw { .. } | Self::SetDelegates { .. } => None,
        }
    }

    /// What is asked for on top of `state`, in the round of `context` and by its proposer; none where the amounts do not allow it.
    pub(crate) fn body(
        &self,
        context: RoundContext<'_>,
        state: &State,
        terms: &Terms,
        (base, valid_until): (Base, BlockNumber),
    ) -> Option<OperationBody> {
        let (party, round) = (context.proposer, context.round);
        Some(match self {
            Self::Deposit { amount } => {
                let (amount, state_hash) = (*amount, with_more(state, party, *amount)?.hash());
                OperationBody::Deposit(DepositBody { party, amount, round, base, state_hash, valid_until })
            }
            Self::Withdraw { amount, to } => {
                let to = to.unwrap_or(terms.parties[party].account);
                let (amount, state_hash) = (*amount, with_less(state, party, *amount, terms.reserve)?.hash());
                OperationBody::Withdraw(WithdrawBody { party, amount, to, round, base, state_hash, valid_until })
            }
            Self::SetDelegates { delegates: ours } => {
                let mut delegates = delegates_of(terms);
                delegates[party].clone_from(ours);
                OperationBody::SetDelegates(SetDelegatesBody {
                    delegates,
                    round,
                    base,
                    state_hash: state.with_balances(state.balances).hash(),
                    valid_until,
                })
            }
            Self::Pledge { offer, until, .. } => {
                let (offer, state_hash) = (offer.clone(), with_offer(context, state, offer).ok()?.hash());
                OperationBody::Pledge(PledgeBody { round, base, offer, state_hash, valid_until: *until })
            }
        })
    }
}

impl OperationBody {
    pub(crate) const fn kind(&self) -> OperationKind {
        match self {
            Self::Deposit(_) => OperationKind::Deposit,
            Self::Withdraw(_) => OperationKind::Withdraw,
            Self::SetDelegates(_) => OperationKind::SetDelegates,
            Self::Pledge(_) => OperationKind::Pledge,
        }
    }

    pub(crate) const fn round(&self) -> Round {
        match self {
            Self::Deposit(DepositBody { round, .. })
            | Self::Withdraw(WithdrawBody { round, .. })
            | Self::SetDelegates(SetDelegatesBody { round, .. })
            | Self::Pledge(PledgeBody { round, .. }) => *round,
        }
    }

    pub(crate) const fn base(&self) -> Base {
        match self {
            Self::Deposit(DepositBody { base, .. })
            | Self::Withdraw(WithdrawBody { base, .. })
            | Self::SetDelegates(SetDelegatesBody { base, .. })
            | Self::Pledge(PledgeBody { base, .. }) => *base,
        }
    }

    pub(crate) const fn valid_until(&self) -> BlockNumber {
        match self {
            Self::Deposit(DepositBody { valid_until, .. })
            | Self::Withdraw(WithdrawBody { valid_until, .. })
            | Self::SetDelegates(SetDelegatesBody { valid_until, .. })
            | Self::Pledge(PledgeBody { valid_until, .. }) => *valid_until,
        }
    }

    pub(crate) const fn state_hash(&self) -> Hash {
        match self {
            Self::Deposit(DepositBody { state_hash, .. })
            | Self::Withdraw(WithdrawBody { state_hash, .. })
            | Self::SetDelegates(SetDelegatesBody { state_hash, .. })
            | Self::Pledge(PledgeBody { state_hash, .. }) => *state_hash,
        }
    }

    /// The bytes that both sign.
    pub(crate) fn signed_bytes(&self, domain: &Domain, channel: &ChannelId) -> Vec<u8> {
        match self {
            Self::Deposit(body) => signed_bytes(domain, channel, body),
            Self::Withdraw(body) => signed_bytes(domain, channel, body),
            Self::SetDelegates(body) => signed_bytes(domain, channel, body),
            Self::Pledge(body) => signed_bytes(domain, channel, &body.state_body()),
        }
    }

    /// The call that does it. A deposit comes out of the vault: nothing is attached (R5.1).
    pub(crate) fn call(&self, channel: ChannelId, signatures: Pair<Signature>) -> Call {
        match self.clone() {
            Self::Deposit(body) => Call::ChannelDeposit(Deposit { channel, body, signatures }),
            Self::Withdraw(body) => Call::ChannelWithdraw(Withdraw { channel, body, signatures }),
            Self::SetDelegates(body) => Call::ChannelSetDelegates(SetDelegates { channel, body, signatures }),
            Self::Pledge(body) => {
                Call::ChannelSnapshotSolo(SnapshotSolo { channel, payload: body.payload(signatures) })
            }
        }
    }

    /// The state after it, on top of `state`, where the proposer of `context` may ask for it: only for itself, and only what the arbiter would do.
    pub(crate) fn state_after(
        &self,
        context: RoundContext<'_>,
        state: &State,
        terms: &Terms,
    ) -> Result<State, Violation> {
        let proposer = context.proposer;
        let after = match self {
            Self::Deposit(DepositBody { party, .. }) | Self::Withdraw(WithdrawBody { party, .. })
                if *party != proposer =>
            {
                return Err(Violation::OnBehalfOfOther);
            }
            Self::Deposit(DepositBody { amount: 0, .. }) | Self::Withdraw(WithdrawBody { amount: 0, .. }) => {
                return Err(Violation::PaymentOfNothing);
            }
            Self::Deposit(DepositBody { amount, .. }) => {
                with_more(state, proposer, *amount).ok_or(Violation::BadTerms(Rejection::AmountOverflow))?
            }
            Self::Withdraw(WithdrawBody { amount, .. }) => {
                let (have, reserve) = (state.balances[proposer], terms.reserve);
                let below = Violation::BelowReserve { have, amount: *amount, reserve };
                with_less(state, proposer, *amount, reserve).ok_or(below)?
            }
            Self::SetDelegates(SetDelegatesBody { delegates, .. }) => {
                if delegates[proposer.peer()] != terms.parties[proposer.peer()].delegates {
                    return Err(Violation::OnBehalfOfOther);
                }
                if delegates[proposer].len() > MAX_DELEGATES {
                    return Err(Violation::BadTerms(Rejection::TooManyDelegates));
                }
                state.with_balances(state.balances)
            }
            // Nothing of the peer's is staked beside it: there is nothing to pledge.
            Self::Pledge(PledgeBody { offer, .. }) if offer.premium == 0 => return Err(Violation::NoChanges),
            Self::Pledge(PledgeBody { offer, .. }) => with_offer(context, state, offer)?,
        };
        let (got, want) = (self.state_hash(), after.hash());
        if got == want { Ok(after) } else { Err(Violation::StateHashMismatch { got, want }) }
    }

    /// Asks for it. Nothing is signed yet.
    pub(crate) fn created(&self) -> Message {
        match self.clone() {
            Self::Deposit(body) => Message::DepositCreated(body),
            Self::Withdraw(body) => Message::WithdrawCreated(body),
            Self::SetDelegates(body) => Message::SetDelegatesCreated(body),
            Self::Pledge(body) => Message::PledgeCreated(body),
        }
    }

    /// Agrees to it.
    pub(crate) const fn signed(&self, signature: Signature) -> Message {
        let round = self.round();
        match self {
            Self::Deposit(_) => Message::DepositSigned { round, signature },
            Self::Withdraw(_) => Message::WithdrawSigned { round, signature },
            Self::SetDelegates(_) => Message::SetDelegatesSigned { round, signature },
            Self::Pledge(_) => Message::PledgeSigned { round, signature },
        }
    }
}

impl OperationKind {
    /// The arbiter's call.
    pub(crate) const fn call(self) -> CallKind {
        match self {
            Self::Deposit => CallKind::ChannelDeposit,
            Self::Withdraw => CallKind::ChannelWithdraw,
            Self::SetDelegates => CallKind::ChannelSetDelegates,
            Self::Pledge => CallKind::ChannelSnapshotSolo,
        }
    }

    /// The names of its messages. Nobody says of a pledge that it is final: what it locks is in a round.
    pub(crate) const fn names(self) -> [&'static str; 4] {
        match self {
            Self::Deposit => ["deposit_created", "deposit_signed", "deposit_locked", "deposit_error"],
            Self::Withdraw => ["withdraw_created", "withdraw_signed", "withdraw_locked", "withdraw_error"],
            Self::SetDelegates => {
                ["set_delegates_created", "set_delegates_signed", "set_delegates_locked", "set_delegates_error"]
            }
            Self::Pledge => ["pledge_created", "pledge_signed", "update_ack", "pledge_error"],
        }
    }

    /// Says that it is final here, of an operation of which that is said.
    pub(crate) const fn locked(self, round: Round) -> Option<Message> {
        match self {
            Self::Deposit => Some(Message::DepositLocked { round }),
            Self::Withdraw => Some(Message::WithdrawLocked { round }),
            Self::SetDelegates => Some(Message::SetDelegatesLocked { round }),
            Self::Pledge => None,
        }
    }

    /// Refuses it.
    pub(crate) const fn error(self, round: Round, code: RefusalCode) -> Message {
        match self {
            Self::Deposit => Message::DepositError { round, code },
            Self::Withdraw => Message::WithdrawError { round, code },
            Self::SetDelegates => Message::SetDelegatesError { round, code },
            Self::Pledge => Message::PledgeError { round, code },
        }
    }
}

pub(crate) fn delegates_of(terms: &Terms) -> Pair<Vec<Delegate>> {
    terms.parties.as_ref().map(|party| party.delegates.clone())
}

/// The state after an offer, by the proposer of `context`.
fn with_offer(context: RoundContext<'_>, state: &State, offer: &Offer) -> Result<State, ChangeFault> {
    let mut builder = RoundBuilder::new(context, state);
    builder.make(&Change::Offer(offer.clone()))?;
    builder.finish().map(|(state, _results)| state)
}

/// More coins for one party; none where they are beyond the number range.
pub(crate) fn with_more(state: &State, party: Party, amount: Amount) -> Option<State> {
    let mut balances = state.balances;
    balances[party] = balances[party].checked_add(amount)?;
    balances.sum().map(|_total| state.with_balances(balances))
}

/// Fewer coins for one party; none where it would keep less than the reserve.
pub(crate) fn with_less(state: &State, party: Party, amount: Amount, reserve: Amount) -> Option<State> {
    let mut balances = state.balances;
    balances[party] = balances[party].checked_sub(amount).filter(|&left| left >= reserve)?;
    Some(state.with_balances(balances))
}
