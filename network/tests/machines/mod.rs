//! Real machines with real routers: nodes whose channels are the two sides of `channel/tests/harness`, each with its rows.
//!
//! Each channel has a ledger of its own, and all have one registry of pre-images: whatever is shown in one block is shown in all of them. A router is told
//! of a machine's step before that step is committed, its rows are in the same commit, and what it wants of other channels leaves after it. A crash
//! of a machine at one of its commits is the crash of its node. Nothing here is random: who asks for an order gives it.

mod calls;
mod calls_crossed;
mod cases;
mod crashes;
mod net;
mod node;
mod oracle;
mod places;
mod places_audit;
mod premiums;
mod premiums_attack;
mod premiums_attack3;
mod premiums_attack_swaps;
mod premiums_beside;
mod premiums_direct;
mod premiums_direct_attack;
mod premiums_direct_attack2;
mod premiums_game;
mod premiums_in_front;
mod premiums_refused;
mod stories;

#[path = "../../../channel/tests/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests of channels use all of it")]
mod link;
