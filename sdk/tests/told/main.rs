//! What a program is told of payments once both have signed them, before that is kept (R6.4c): the node ends, or the channel does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking, and so do its helpers")]

mod closed;
mod ended;
