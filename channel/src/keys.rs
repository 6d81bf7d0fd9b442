//! What it means to ask for something by a key again (R6.3c, R8.3d).

use crate::{
    error::Misuse,
    state::{ChangeId, IdempotencyKey, MAX_KEY},
};

/// Whether the same was asked for by this key before, where `known` is what is kept by it, and whether that is the same.
///
/// # Errors
/// [`Misuse::KeyLength`], and [`Misuse::KeyInUse`] where it is something else.
pub(crate) fn was_asked(key: &IdempotencyKey, known: Option<(ChangeId, bool)>) -> Result<bool, Misuse> {
    let got = key.0.len();
    if !(1..=MAX_KEY).contains(&got) {
        return Err(Misuse::KeyLength { got, max: MAX_KEY });
    }
    match known {
        None => Ok(false),
        Some((_, true)) => Ok(true),
        Some((by, false)) => Err(Misuse::KeyInUse { key: key.clone(), by }),
    }
}
