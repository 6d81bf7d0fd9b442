//! Stories told by strings of bytes: see [`script`](crate::harness::script).

use crate::harness::script::{CONTRACTS, TRANSFERS, play};
use proptest::{collection::vec, prelude::any, prelude::proptest};

proptest! {
    #![proptest_config(crate::property::config())]

    #[test]
    fn any_string_of_operations_ends_well(bytes in vec(any::<u8>(), 1..200)) {
        play(&bytes);
    }

    #[test]
    fn any_long_string_of_operations_ends_well(bytes in vec(any::<u8>(), 200..1_000)) {
        play(&bytes);
    }
}

/// Bytes that set a scene with contracts.
fn with_contracts(scene: u8, bytes: &[u8]) -> Vec<u8> {
    [&[scene | CONTRACTS], bytes].concat()
}

proptest! {
    #![proptest_config(crate::property::config())]

    #[test]
    fn any_string_of_operations_with_contracts_ends_well(scene in any::<u8>(), bytes in vec(any::<u8>(), 1..200)) {
        play(&with_contracts(scene, &bytes));
    }

    #[test]
    fn any_long_string_of_operations_with_contracts_ends_well(scene in any::<u8>(), bytes in vec(any::<u8>(), 200..1_000)) {
        play(&with_contracts(scene, &bytes));
    }
}

/// Bytes that set a scene with conditional transfers.
fn with_transfers(scene: u8, bytes: &[u8]) -> Vec<u8> {
    [&[scene | TRANSFERS], bytes].concat()
}

proptest! {
    #![proptest_config(crate::property::config())]

    #[test]
    fn any_string_of_operations_with_transfers_ends_well(scene in any::<u8>(), bytes in vec(any::<u8>(), 1..200)) {
        play(&with_transfers(scene, &bytes));
    }

    #[test]
    fn any_long_string_of_operations_with_transfers_ends_well(scene in any::<u8>(), bytes in vec(any::<u8>(), 200..1_000)) {
        play(&with_transfers(scene, &bytes));
    }
}

/// Stories that once ended badly.
#[test]
fn stories_that_once_ended_badly_end_well() {
    let stories: [&[u8]; 7] = [
        // A round said on a connection that had broken, and again on the next one.
        &[72, 162, 6, 1, 132, 140],
        // Both sides say again what the other has answered, and the chain is faster.
        &[
            64, 156, 56, 0, 5, 0, 56, 29, 1, 120, 178, 1, 140, 0, 0, 62, 0, 71, 57, 132, 0, 0, 0, 0, 140, 56, 65, 140,
            140, 222, 0, 0, 166, 66, 66, 192, 56, 0, 0, 56, 61,
        ],
        // A round shown to the user by a side that is parting.
        &[178, 56, 0, 0, 56, 223, 8, 1, 0],
        // The chain tells of a round before its answer comes, and a lower one is still on its way.
        &[170, 132, 140, 2, 0, 57, 253, 6, 1, 56, 84, 236, 192, 57],
        // An operation waits for a close that expires after a restart.
        &[
            32, 184, 1, 120, 37, 0, 1, 0, 56, 174, 0, 230, 0, 232, 72, 192, 56, 140, 0, 0, 0, 0, 70, 192, 179, 1, 0, 0,
            0, 0, 71, 73, 204, 121, 0, 0, 0, 0, 174, 0, 153, 192, 0, 0, 192, 0, 0, 0, 0, 192, 192,
        ],
        // A side that closes alone is open before its peer, and parts from it.
        &[20, 209, 11, 120, 192, 244, 222, 67, 83],
        // A question that expires unanswered while its asker parts: the peer has signed it, and has given up a lower round for it.
        &[
            201, 19, 1, 32, 1, 0, 0, 56, 174, 0, 204, 0, 185, 1, 204, 0, 140, 67, 72, 56, 0, 0, 159, 4, 0, 183, 0, 73,
            0, 0, 0, 0, 214, 100, 0, 0, 69, 0, 0, 0, 0, 0, 0, 174, 0, 163, 204, 146, 192, 140, 0, 0, 57, 223, 204, 181,
            64, 58, 0, 0, 192, 0, 0, 0, 0, 0, 0, 83,
        ],
    ];
    stories.into_iter().for_each(play);
}
