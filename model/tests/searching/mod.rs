//! What a search has come to.

use stateright::{Checker, Expectation, Model};
use std::collections::BTreeSet;

/// The first property that fails.
pub(crate) fn failure<M>(checker: &impl Checker<M>) -> Option<&'static str>
where
    M: Model<State: Clone + PartialEq, Action: Clone + PartialEq>,
{
    println!("{} states, depth {}", checker.unique_state_count(), checker.max_depth());
    let always = checker.model().properties().into_iter().filter(|it| it.expectation == Expectation::Always);
    always.map(|property| property.name).find(|name| checker.discovery(name).is_some())
}

/// What happens in some states.
///
/// # Panics
/// Where a property fails.
pub(crate) fn happens<M>(title: &str, checker: &impl Checker<M>) -> BTreeSet<&'static str>
where
    M: Model<State: Clone + PartialEq, Action: Clone + PartialEq>,
{
    println!("{title}: {} states, depth {}", checker.unique_state_count(), checker.max_depth());
    let mut happens = BTreeSet::new();
    for property in checker.model().properties() {
        let found = checker.discovery(property.name).is_some();
        assert!(!found || property.expectation == Expectation::Sometimes, "{title}: {}", property.name);
        if found {
            let _new = happens.insert(property.name);
        }
    }
    happens
}
