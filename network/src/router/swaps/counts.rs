//! Counts by name, of which nothing is kept where there is none.

use std::collections::BTreeMap;

/// Counts one more.
pub(super) fn more<K: Ord>(counts: &mut BTreeMap<K, usize>, of: K) {
    let count = counts.entry(of).or_default();
    *count = count.saturating_add(1);
}

/// Counts one less; nothing is kept of what there is none of.
pub(super) fn less<K: Ord>(counts: &mut BTreeMap<K, usize>, of: &K) {
    let Some(count) = counts.get_mut(of) else { return };
    *count = count.saturating_sub(1);
    if *count == 0 {
        let _none = counts.remove(of);
    }
}
