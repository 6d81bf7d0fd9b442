//! Ids of changes, as many of them are kept: in runs.

use super::ChangeId;
use scale::{Decode, Encode};

/// Ids of a round's changes in the order of the changes, as runs of consecutive ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Ids(Vec<(ChangeId, u32)>);

impl Ids {
    fn push(&mut self, id: ChangeId) {
        match self.0.last_mut() {
            Some((first, count)) if after(*first, *count) == id && *count < u32::MAX => {
                *count = count.saturating_add(1)
            }
            _ => self.0.push((id, 1)),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = ChangeId> {
        self.0.iter().flat_map(|(ChangeId(first), count)| (*first..).take(to_usize(*count)).map(ChangeId))
    }

    pub(crate) fn contains(&self, id: ChangeId) -> bool {
        self.0.iter().any(|(first, count)| (*first..after(*first, *count)).contains(&id))
    }

    /// The highest one: they ascend.
    pub(crate) fn last(&self) -> Option<ChangeId> {
        self.0.last().map(|(first, count)| after(*first, count.saturating_sub(1)))
    }

    /// The id of the change at this place.
    pub(crate) fn at(&self, place: u32) -> Option<ChangeId> {
        let mut left = place;
        for (first, count) in &self.0 {
            match left.checked_sub(*count) {
                Some(beyond) => left = beyond,
                None => return Some(after(*first, left)),
            }
        }
        None
    }
}

impl FromIterator<ChangeId> for Ids {
    fn from_iter<I: IntoIterator<Item = ChangeId>>(iter: I) -> Self {
        let mut ids = Self::default();
        iter.into_iter().for_each(|id| ids.push(id));
        ids
    }
}

/// The id that comes so many after this one.
pub(crate) fn after(ChangeId(first): ChangeId, count: u32) -> ChangeId {
    ChangeId(first.saturating_add(u64::from(count)))
}

fn to_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_in_runs_and_found_by_place() {
        let ids: Ids = [3, 4, 5, 9, 10].map(ChangeId).into_iter().collect();
        assert_eq!(ids.0, vec![(ChangeId(3), 3), (ChangeId(9), 2)]);
        assert_eq!(ids.at(0), Some(ChangeId(3)));
        assert_eq!(ids.at(3), Some(ChangeId(9)));
        assert_eq!(ids.at(5), None);
        assert!(ids.contains(ChangeId(10)) && !ids.contains(ChangeId(6)));
        assert_eq!(ids.iter().map(|ChangeId(id)| id).collect::<Vec<_>>(), vec![3, 4, 5, 9, 10]);
    }
}
