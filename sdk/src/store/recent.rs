use super::{Entry, Table, batch::Change};
use std::collections::{BTreeMap, btree_map};

/// What a key has: a value, or none where it was removed.
type Value = Option<Vec<u8>>;

/// What the journal holds and the values do not yet.
#[derive(Debug, Default)]
pub(super) struct Journalled {
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Value>>,
}

impl Journalled {
    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.tables.clear();
    }

    pub(super) fn apply<'a>(&mut self, changes: impl Iterator<Item = &'a Change>) {
        for Change { table, key, value } in changes {
            match self.tables.entry(*table).or_default().entry(key.clone()) {
                btree_map::Entry::Occupied(mut known) => known.get_mut().clone_from(value),
                btree_map::Entry::Vacant(unknown) => drop(unknown.insert(value.clone())),
            }
        }
    }

    /// The change of a key, where it has changed.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Option<&Value> {
        self.tables.get(&table)?.get(key)
    }

    /// All changes, table by table.
    pub(super) fn changes(&self) -> impl Iterator<Item = (Table, &[u8], Option<&[u8]>)> {
        self.tables
            .iter()
            .flat_map(|(table, keys)| keys.iter().map(|(key, value)| (*table, key.as_slice(), value.as_deref())))
    }

    /// Changes of keys that begin with `prefix`, ordered by key.
    pub(super) fn of_prefix(&self, table: Table, prefix: &[u8]) -> Vec<(Vec<u8>, Value)> {
        let keys = self.tables.get(&table).into_iter().flat_map(|keys| keys.range(prefix.to_vec()..));
        keys.take_while(|(key, _)| key.starts_with(prefix)).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// Values with changes on top, both ordered by key.
pub(super) fn merge(values: Vec<Entry>, changes: Vec<(Vec<u8>, Value)>) -> Vec<Entry> {
    if changes.is_empty() {
        return values;
    }
    let mut merged: BTreeMap<_, _> = values.into_iter().map(|(key, value)| (key, Some(value))).collect();
    merged.extend(changes);
    merged.into_iter().filter_map(|(key, value)| value.map(|value| (key, value))).collect()
}
