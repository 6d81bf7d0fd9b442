//! Contracts inside the channel: their lives, whose consent they need, their limits, calls by force, ends, crashes, and cheats.

mod closing;
mod code;
mod consent;
mod crash;
mod crossing;
mod forced;
mod hostile;
mod impatient;
mod late;
mod life;
mod limits;
