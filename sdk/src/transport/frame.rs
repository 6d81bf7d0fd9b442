//! Frames: two bytes of length, big-endian, and so many bytes.

/// The most bytes in one frame, its length apart: what Noise allows in one message.
pub const MAX_FRAME: usize = 65_535;
/// The authentication tag at the end of what is sealed.
pub(super) const TAG: usize = 16;
/// The most bytes that one frame seals.
pub(super) const MAX_PLAIN: usize = MAX_FRAME - TAG;
/// A sealed frame holds at least one byte, so that a peer cannot keep this side busy with nothing.
pub(super) const LEAST_SEALED: usize = TAG + 1;
/// The most bytes in one frame of a handshake. A later version may need more than this one; what exceeds it is not this protocol.
pub(super) const MAX_HANDSHAKE_FRAME: usize = 512;
/// The bytes of a frame's length.
pub(super) const LENGTH: usize = 2;

/// What stands at the front of the bytes received so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Front<'a> {
    /// A whole frame.
    Whole(&'a [u8]),
    /// Less than a frame: so many bytes must be there in all.
    Needs(usize),
}

/// Looks for a frame at the front of `received`.
pub(super) fn front(received: &[u8]) -> Front<'_> {
    let Some((length, rest)) = received.split_first_chunk::<LENGTH>() else {
        return Front::Needs(LENGTH);
    };
    let length = usize::from(u16::from_be_bytes(*length));
    match rest.get(..length) {
        Some(frame) => Front::Whole(frame),
        None => Front::Needs(length.saturating_add(LENGTH)),
    }
}

/// The length bytes of a frame of so many bytes, or none where no frame can be that long.
pub(super) fn length_bytes(length: usize) -> Option<[u8; LENGTH]> {
    u16::try_from(length).ok().map(u16::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_frame_has_a_length_and_one_more_byte_has_none() {
        assert_eq!(length_bytes(MAX_FRAME), Some([0xff, 0xff]));
        assert_eq!(length_bytes(MAX_FRAME + 1), None);
        assert_eq!(MAX_PLAIN + TAG, MAX_FRAME);
    }

    proptest! {
        #[test]
        fn a_frame_is_found_once_its_last_byte_is_there(frame in prop::collection::vec(any::<u8>(), 0..300), more: Vec<u8>) {
            let mut bytes = length_bytes(frame.len()).unwrap().to_vec();
            bytes.extend(&frame);
            let whole = bytes.len();
            bytes.extend(more);
            for got in 0..whole {
                prop_assert_eq!(front(&bytes[..got]), Front::Needs(if got < LENGTH { LENGTH } else { whole }));
            }
            prop_assert_eq!(front(&bytes), Front::Whole(&frame));
        }

        #[test]
        fn random_bytes_are_a_frame_or_need_more(bytes: Vec<u8>) {
            match front(&bytes) {
                Front::Whole(frame) => prop_assert!(bytes[LENGTH..].starts_with(frame)),
                Front::Needs(needs) => prop_assert!(needs > bytes.len() && needs <= MAX_FRAME + LENGTH),
            }
        }
    }
}
