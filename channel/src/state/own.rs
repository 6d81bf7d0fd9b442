//! Own changes as their user knows them: by id, by the payment's reference, and by the key it was asked for with.

use super::{Change, ChangeId, Ids, length};
use scale::{Decode, Encode, Input, Output};

/// The longest [`IdempotencyKey`], in bytes.
pub const MAX_KEY: usize = 64;

/// The user's own name for one payment of a channel, 1 to [`MAX_KEY`] bytes: asked for twice by one key, a payment is made once (R6.3c). The
/// peer never sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct IdempotencyKey(pub Vec<u8>);

impl From<Vec<u8>> for IdempotencyKey {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for IdempotencyKey {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<&str> for IdempotencyKey {
    fn from(words: &str) -> Self {
        Self(words.into())
    }
}

impl From<String> for IdempotencyKey {
    fn from(words: String) -> Self {
        Self(words.into())
    }
}

impl<const N: usize> From<[u8; N]> for IdempotencyKey {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes.into())
    }
}

/// One of [`OwnChanges`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnChange<'a> {
    /// Its id.
    pub id: ChangeId,
    /// A payment's reference; empty for other changes.
    pub reference: &'a [u8],
    /// The key of a payment that was asked for by one.
    pub key: Option<&'a IdempotencyKey>,
}

/// Own changes that an event tells of, in the order in which they were made. Their references lie in one piece: an event of many payments is
/// copied at the price of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnChanges {
    ids: Vec<ChangeId>,
    /// One after the other.
    references: Vec<u8>,
    /// How long each of them is.
    lengths: Vec<u8>,
    /// Of those that have one, with their places, which ascend.
    keys: Vec<(u32, IdempotencyKey)>,
}

/// As they are stored: the ids in runs, the rest in one piece each.
impl Encode for OwnChanges {
    fn encode_to<W: Output + ?Sized>(&self, out: &mut W) {
        let Self { ids, references, lengths, keys } = self;
        (ids.iter().copied().collect::<Ids>(), references, lengths, keys).encode_to(out);
    }
}

impl Decode for OwnChanges {
    fn decode<I: Input>(input: &mut I) -> Result<Self, scale::Error> {
        let (runs, references, lengths, keys) = <(Ids, Vec<u8>, Vec<u8>, _)>::decode(input)?;
        // No more than there are lengths, whatever the runs say.
        let ids: Vec<_> = runs.iter().take(lengths.len()).collect();
        if ids.len() == lengths.len() && ids.iter().copied().collect::<Ids>() == runs {
            Ok(Self { ids, references, lengths, keys })
        } else {
            Err("ids and references that do not fit".into())
        }
    }
}

impl OwnChanges {
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self { ids: Vec::with_capacity(count), lengths: Vec::with_capacity(count), ..Self::default() }
    }

    pub(crate) fn push(&mut self, id: ChangeId, reference: &[u8]) {
        // None is longer: it was checked when it was asked for.
        let reference = reference.get(..usize::from(u8::MAX)).unwrap_or(reference);
        self.ids.push(id);
        self.references.extend_from_slice(reference);
        self.lengths.push(u8::try_from(reference.len()).unwrap_or(u8::MAX));
    }

    /// Names the key of one of them; in the order of their places.
    pub(crate) fn name(&mut self, place: usize, key: IdempotencyKey) {
        self.keys.extend(u32::try_from(place).ok().map(|place| (place, key)));
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Their ids alone.
    #[must_use]
    pub fn ids(&self) -> &[ChangeId] {
        &self.ids
    }

    /// Each with what its user called it.
    pub fn iter(&self) -> impl Iterator<Item = OwnChange<'_>> {
        let mut references = self.references.as_slice();
        let mut keys = self.keys.iter().peekable();
        (0_u32..).zip(self.ids.iter().zip(&self.lengths)).map(move |(place, (&id, &length))| {
            let (reference, rest) = references.split_at_checked(usize::from(length)).unwrap_or_default();
            references = rest;
            let key = keys.next_if(|(at, _)| *at == place).map(|(_, key)| key);
            OwnChange { id, reference, key }
        })
    }

    /// Only those of which this is true.
    pub(crate) fn only(&self, test: impl Fn(ChangeId) -> bool) -> Self {
        self.iter().filter(|own| test(own.id)).map(|own| (own.id, own.reference)).collect()
    }
}

impl<'a> FromIterator<(ChangeId, &'a [u8])> for OwnChanges {
    fn from_iter<I: IntoIterator<Item = (ChangeId, &'a [u8])>>(iter: I) -> Self {
        let iter = iter.into_iter();
        let mut changes = Self::with_capacity(iter.size_hint().0);
        iter.for_each(|(id, reference)| changes.push(id, reference));
        changes
    }
}

impl<'a> FromIterator<&'a (ChangeId, Change)> for OwnChanges {
    fn from_iter<I: IntoIterator<Item = &'a (ChangeId, Change)>>(iter: I) -> Self {
        iter.into_iter().map(|(id, change)| (*id, change.reference())).collect()
    }
}

/// Changes without references.
impl<const N: usize> From<[ChangeId; N]> for OwnChanges {
    fn from(ids: [ChangeId; N]) -> Self {
        ids.into_iter().map(|id| (id, &[][..])).collect()
    }
}

/// For a message.
impl std::fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match std::str::from_utf8(&self.0) {
            Ok(words) => write!(f, "{words:?}"),
            Err(_) => write!(f, "{} bytes {:02x?}", length(&self.0), self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::decode_exact;

    #[test]
    fn ids_without_references_are_no_changes() {
        let stored = |count: u32, lengths: Vec<u8>| {
            (vec![(ChangeId(1), count)], vec![0_u8; 4], lengths, Vec::<(u32, IdempotencyKey)>::new()).encode()
        };
        assert!(decode_exact::<OwnChanges>(&stored(2, vec![2, 2])).is_ok());
        for wrong in [stored(3, vec![2, 2]), stored(1, vec![2, 2]), stored(u32::MAX, vec![2, 2])] {
            assert!(decode_exact::<OwnChanges>(&wrong).is_err());
        }
    }

    #[test]
    fn each_change_is_told_with_its_own_reference_and_key() {
        let mut changes: OwnChanges =
            [(ChangeId(3), &b"first"[..]), (ChangeId(4), b""), (ChangeId(9), b"third")].into_iter().collect();
        changes.name(1, "k".into());
        let all: Vec<_> = changes.iter().map(|own| (own.id.0, own.reference, own.key.is_some())).collect();
        assert_eq!(all, vec![(3, &b"first"[..], false), (4, b"", true), (9, b"third", false)]);
        assert_eq!(decode_exact::<OwnChanges>(&changes.encode()), Ok(changes.clone()));
        assert_eq!(
            changes.only(|id| id.0 > 3).iter().map(|own| own.reference).collect::<Vec<_>>(),
            vec![&b""[..], b"third"]
        );
    }
}
