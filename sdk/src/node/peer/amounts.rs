//! What a command says of coins, for a chain whose balances cannot say everything.

use channel::{Change, Command};
use protocol::Amount;

/// The largest amount that a command names.
pub(super) fn largest(command: &Command) -> Amount {
    match command {
        Command::Pay(payment) | Command::PayOnce { payment, .. } => payment.amount,
        Command::PayAll(payments) => payments.iter().map(|payment| payment.amount).max().unwrap_or(0),
        Command::PayAllOnce(payments) => payments.iter().map(|(_, payment)| payment.amount).max().unwrap_or(0),
        Command::Make(changes) => changes.iter().map(of_change).max().unwrap_or(0),
        Command::Force { calls, .. } => calls.iter().map(|call| call.value).max().unwrap_or(0),
        Command::Shutdown { fee } => *fee,
        Command::Deposit { amount } | Command::Withdraw { amount, .. } => *amount,
        _ => 0,
    }
}

fn of_change(change: &Change) -> Amount {
    match change {
        Change::Transfer(payment) => payment.amount,
        Change::CreateContract(creation) => creation.coins.initiator.max(creation.coins.responder),
        Change::CallContract { value, .. } => *value,
        Change::RemoveContract { shares, .. } => shares.initiator.max(shares.responder),
        _ => 0,
    }
}
