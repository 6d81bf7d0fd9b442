//! What is left of peers that have come and gone.

use super::Following;
use protocol::PublicKey;

/// A stranger that has come and gone costs nothing, and so it is with the next block, which forgets what is over. While no block comes nothing is forgotten: with each handshake under
/// a new identity the map gets longer by a course and the channel in it, a kilobyte and more, where nobody makes blocks (a chain that makes them on demand), or where
/// none becomes final, without any bound. Right would be that a task that has ended as it should takes its course with it.
#[test]
fn strangers_that_have_gone_leave_nothing_while_no_block_comes() {
    const STRANGERS: u32 = 10_000;
    let following = Following::default();
    for number in 0..STRANGERS {
        let mut key = [0; 32];
        key.iter_mut().zip(number.to_le_bytes()).for_each(|(to, from)| *to = from);
        let mut follower = following.begin(PublicKey(key), 4);
        follower.end();
    }
    let left = following.courses().len();
    assert!(left <= 1_000, "{left} courses are kept of {STRANGERS} strangers that have gone");
}
