//! What a channel makes of its inputs: one file for each source of them.

pub(crate) mod admission;
pub(crate) mod chain;
pub(crate) mod closing;
pub(crate) mod ends;
mod forcing;
pub(crate) mod judge;
pub(crate) mod leaving;
mod offers;
pub(crate) mod opening;
pub(crate) mod operations;
pub(crate) mod payments;
mod pledges;
pub(crate) mod progress;
pub(crate) mod record;
pub(crate) mod reestablish;
pub(crate) mod restart;
pub(crate) mod settings;
pub(crate) mod tick;
pub(crate) mod transfers;
pub(crate) mod turns;
pub(crate) mod unconfirmed;
pub(crate) mod updates;
