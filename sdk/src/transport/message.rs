//! Messages in the stream of sealed bytes: four bytes of length, big-endian, and so many bytes.

use std::mem;

/// The most bytes in one message. A longer one is refused before anything is sent, or before anything is allocated for it.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// The bytes of a message's length.
const LENGTH: usize = 4;
/// What is allocated for a message before its bytes are there; the rest grows with what has come.
const FIRST_ALLOCATION: usize = 64 * 1024;

/// The peer announced so many bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong(pub(super) u32);

/// The length bytes of a message, or none where it is over the limit.
pub(super) fn length_bytes(length: usize) -> Option<[u8; LENGTH]> {
    if length > MAX_MESSAGE { None } else { u32::try_from(length).ok().map(u32::to_be_bytes) }
}

/// Joins messages from the pieces in which they come.
#[derive(Debug)]
pub(super) struct Assembler {
    state: Reading,
    /// The most bytes in one message, at most [`MAX_MESSAGE`].
    limit: usize,
}

impl Default for Assembler {
    fn default() -> Self {
        Self { state: Reading::default(), limit: MAX_MESSAGE }
    }
}

#[derive(Debug)]
enum Reading {
    /// Some of the length bytes have come.
    Length { bytes: [u8; LENGTH], have: usize },
    /// The length is known and within the limit; some of the body has come.
    Body { body: Vec<u8>, length: usize },
}

impl Default for Reading {
    fn default() -> Self {
        Self::Length { bytes: [0; LENGTH], have: 0 }
    }
}

impl Assembler {
    /// Changes the most bytes in one message, from the next message on.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(MAX_MESSAGE);
    }

    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Whether the stream may end here.
    pub(super) const fn is_between_messages(&self) -> bool {
        matches!(self.state, Reading::Length { have: 0, .. })
    }

    /// Takes what the next message needs off the front of `plain`, and the message once it is whole; none when `plain` is used up before.
    pub(super) fn next(&mut self, plain: &mut &[u8]) -> Result<Option<Vec<u8>>, TooLong> {
        if let Reading::Length { bytes, have } = &mut self.state {
            let missing = bytes.get_mut(*have..).unwrap_or_default();
            let taken = take(plain, missing.len());
            missing.iter_mut().zip(taken).for_each(|(to, from)| *to = *from);
            *have = have.saturating_add(taken.len());
            if *have < LENGTH {
                return Ok(None);
            }
            let announced = u32::from_be_bytes(*bytes);
            let length = usize::try_from(announced).ok().filter(|length| *length <= self.limit);
            let length = length.ok_or(TooLong(announced))?;
            self.state = Reading::Body { body: Vec::with_capacity(length.min(FIRST_ALLOCATION)), length };
        }
        if let Reading::Body { body, length } = &mut self.state {
            body.extend_from_slice(take(plain, length.saturating_sub(body.len())));
            if body.len() == *length {
                let message = mem::take(body);
                self.state = Reading::default();
                return Ok(Some(message));
            }
        }
        Ok(None)
    }
}

/// Takes up to `most` bytes off the front.
fn take<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(messages: &[Vec<u8>]) -> Vec<u8> {
        messages.iter().flat_map(|m| [&length_bytes(m.len()).unwrap()[..], m].concat()).collect()
    }

    fn all(assembler: &mut Assembler, mut plain: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut messages = Vec::new();
        while let Some(message) = assembler.next(&mut plain)? {
            messages.push(message);
        }
        assert!(plain.is_empty(), "none means used up");
        Ok(messages)
    }

    #[test]
    fn the_limit_itself_passes_and_one_byte_more_is_refused_before_its_body_comes() {
        assert!(length_bytes(MAX_MESSAGE).is_some());
        assert_eq!(length_bytes(MAX_MESSAGE + 1), None);

        let limit = u32::try_from(MAX_MESSAGE).unwrap();
        assert_eq!(Assembler::default().next(&mut &limit.to_be_bytes()[..]), Ok(None));
        assert_eq!(Assembler::default().next(&mut &(limit + 1).to_be_bytes()[..]), Err(TooLong(limit + 1)));
        assert_eq!(Assembler::default().next(&mut &[0xff; 4][..]), Err(TooLong(u32::MAX)));
    }

    #[test]
    fn a_lower_limit_counts_from_the_next_message_on() {
        let mut assembler = Assembler::default();
        let long = stream(&[vec![7; 100]]);
        assert_eq!(assembler.next(&mut &long[..50]), Ok(None));
        assembler.set_limit(99);
        assert_eq!(assembler.next(&mut &long[50..]), Ok(Some(vec![7; 100])));
        assert_eq!(assembler.next(&mut &long[..]), Err(TooLong(100)));
        assembler.set_limit(usize::MAX);
        assert_eq!(assembler.limit(), MAX_MESSAGE);
    }

    #[test]
    fn a_long_message_that_does_not_come_costs_little_memory() {
        let mut assembler = Assembler::default();
        let announced = length_bytes(MAX_MESSAGE).unwrap();
        assert_eq!(assembler.next(&mut &announced[..]), Ok(None));
        assert!(matches!(assembler.state, Reading::Body { ref body, .. } if body.capacity() <= FIRST_ALLOCATION));
        assert!(!assembler.is_between_messages());
    }

    proptest! {
        #[test]
        fn messages_cut_anywhere_are_joined_again(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
            piece in 1_usize..50,
        ) {
            let mut assembler = Assembler::default();
            let mut joined = Vec::new();
            for part in stream(&messages).chunks(piece) {
                joined.extend(all(&mut assembler, part).unwrap());
            }
            prop_assert_eq!(joined, messages);
            prop_assert!(assembler.is_between_messages());
        }

        #[test]
        fn random_bytes_never_panic(parts: Vec<Vec<u8>>) {
            let mut assembler = Assembler::default();
            for part in parts {
                if all(&mut assembler, &part).is_err() {
                    break;
                }
            }
        }
    }
}
