//! The arbiter's messages whole, in its books: vaults and whose key moves them, nonces, where coins go, what is refused,
//! batches, pre-images.

// Clippy knows tests, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs, unreachable_pub)]

mod batch;
mod fixture;
mod nonces;
mod payouts;
mod preimages;
mod refusals;
mod vaults;
