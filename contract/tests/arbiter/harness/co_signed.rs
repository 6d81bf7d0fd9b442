//! The messages that bring a co-signed round to a channel (R5.4), in one list for whoever tries them all.

use super::{Actor, Channel, Inside, UNIT, World, count, mutations};
use protocol::{
    Pair, Party,
    call::Call,
    signing::{DepositBody, SetDelegatesBody, WithdrawBody},
};

mutations! {
    /// What brings a co-signed round to an open channel.
    pub(crate) WhileOpen {
        CloseSolo,
        Snapshot,
        ForceProgress,
        Deposit,
        Withdraw,
        SetDelegates,
    }
}

mutations! {
    /// What brings one to a channel that closes.
    pub(crate) WhileClosing {
        Slash,
        ForceProgress,
    }
}

impl WhileOpen {
    /// The responder's call that brings this state; a step counts once on top of it.
    pub(crate) fn with(self, world: &World, channel: &Channel, state: &Inside) -> Call {
        let (party, amount, to, valid_until) = (Party::Responder, UNIT, Actor::Responder.id(), world.now());
        let (round, base, state_hash) = (state.round, state.base, state.state().hash());
        match self {
            Self::CloseSolo => channel.close_solo(&state.state()),
            Self::Snapshot => channel.snapshot(&state.state()),
            Self::ForceProgress => forced_step(world, channel, state),
            Self::Deposit => {
                let body = DepositBody { party, amount, round, base, state_hash, valid_until };
                Call::ChannelDeposit(channel.deposit(body))
            }
            Self::Withdraw => {
                let body = WithdrawBody { party, amount, to, round, base, state_hash, valid_until };
                Call::ChannelWithdraw(channel.withdraw(body))
            }
            Self::SetDelegates => {
                let body = SetDelegatesBody { delegates: Pair::default(), round, base, state_hash, valid_until };
                Call::ChannelSetDelegates(channel.set_delegates(body))
            }
        }
    }
}

impl WhileClosing {
    /// The responder's call that brings this state; a step counts once on top of it.
    pub(crate) fn with(self, world: &World, channel: &Channel, state: &Inside) -> Call {
        match self {
            Self::Slash => channel.slash(&state.state()),
            Self::ForceProgress => forced_step(world, channel, state),
        }
    }
}

fn forced_step(world: &World, channel: &Channel, state: &Inside) -> Call {
    Call::ChannelForceProgress(world.blind(&channel.step(state, Party::Responder, vec![count(1)])))
}
