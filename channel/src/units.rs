//! Units of what has no type of its own.

/// Milliseconds since an origin that the caller chooses and keeps.
pub type Millis = u64;
