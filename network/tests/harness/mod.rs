//! Nodes with routers over modelled channels.
//!
//! A channel is modelled by what a router sees of one: rows that are committed with what the router says, messages that may be lost, and a peer who
//! answers by itself. Each node has one store; each of its channels a task that takes one thing at a time, commits, and then lets effects out.
//! A crash is possible before each commit and after it, before the effects. Nothing here is random: who asks for an order gives it.

mod chain;
mod channel;
mod faults;
mod joining;
mod oracle;
mod payments;
mod staking;
mod world;

pub(crate) use channel::{Msg, Work};
pub(crate) use faults::{Flight, Meddling, Order, Tamper};
pub(crate) use oracle::{assert_coins_are_kept, assert_ended_well, assert_ended_well_after, assert_nothing_is_open};
pub(crate) use world::{CHAIN, Crash, CrashPoint, OTHER, OTHER_CHAIN, World, at, hub_policy};
