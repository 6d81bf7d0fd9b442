//! Whether what a call requires of a hash lock is so (R7.1a): asked of conditional transfers (R8.1), and of the apps that say what they require.

use super::{
    executor::{CallFault, Executor},
    lock::Requirement,
};
use crate::BlockNumber;

impl Requirement {
    /// Whether it is met in block `height`. A pre-image is shown on chain first: were the forced chain replaced afterwards, the call can be made again at any time
    /// (R8.2).
    pub(super) fn check(&self, executor: &mut impl Executor, height: BlockNumber) -> Result<(), CallFault> {
        match self {
            Self::Shown { lock, preimage, .. } if preimage.lock(lock.function, executor) != *lock => {
                Err(CallFault::WrongPreimage)
            }
            Self::Shown { lock, preimage, before: expiry } => {
                let in_time = executor.show(lock, preimage, height) < *expiry;
                in_time.then_some(()).ok_or(CallFault::TooLate { expiry: *expiry })
            }
            Self::Silent { from: expiry, .. } if height < *expiry => {
                Err(CallFault::TooEarly { expiry: *expiry, height })
            }
            Self::Silent { lock, from } => {
                let in_time = executor.shown_at(lock).is_some_and(|shown| shown < *from);
                if in_time { Err(CallFault::ShownInTime) } else { Ok(()) }
            }
        }
    }
}
