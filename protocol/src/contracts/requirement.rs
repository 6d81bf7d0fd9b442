//! What has to be true of a hash lock for a call of a contract to count (R7.1a). Conditional transfers are judged by it (R8.1), and so are apps that ask for it.

use super::{
    executor::{CallFault, Executor},
    lock::{HashLock, Preimage},
};
use crate::BlockNumber;
use scale::{Decode, Encode, MaxEncodedLen};

/// A fact of the registry of pre-images (R8.2) without which a call has not happened. The registry is one for all channels of an arbiter, and its facts are final at
/// the block that they name: so a call that requires one of them may be made by force at any time after that block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen)]
#[cfg_attr(feature = "std", derive(scale_info::TypeInfo))]
pub enum Requirement {
    /// The pre-image was shown before this block. Where it was not shown yet, the call shows it.
    #[codec(index = 0)]
    Shown {
        /// The lock.
        lock: HashLock,
        /// What opens it.
        preimage: Preimage,
        /// The first block in which it is too late.
        before: BlockNumber,
    },
    /// This block has come, and the pre-image was not shown before it.
    #[codec(index = 1)]
    Silent {
        /// The lock.
        lock: HashLock,
        /// The first block in which it is too late to show it.
        from: BlockNumber,
    },
}

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
