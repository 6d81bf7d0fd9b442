//! Which history a store has seen: a chain that was started anew has the same genesis and other blocks.

use crate::{
    chain::{BlockRef, Chain, ChainError},
    store::{Batch, Table},
};
use protocol::{BlockNumber, Hash};
use scale::{Decode, Encode};

/// Where the store keeps the number of the next block to look at.
pub(in crate::node) const NEXT_BLOCK: &[u8] = b"next-block";
/// Where the store keeps the last block that was seen.
const SEEN_BLOCK: &[u8] = b"seen-block";

/// A final block that this node has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(in crate::node) struct Seen {
    pub(in crate::node) number: BlockNumber,
    pub(in crate::node) hash: Hash,
}

impl Seen {
    /// Where the store keeps it.
    pub(in crate::node) const KEY: &'static [u8] = SEEN_BLOCK;
}

impl From<BlockRef> for Seen {
    fn from(BlockRef { number, hash }: BlockRef) -> Self {
        Self { number, hash }
    }
}

/// What is stored of how far the chain was followed.
pub(in crate::node) fn noted(next: BlockNumber, seen: Option<Seen>) -> Batch {
    let batch = Batch::default().put(Table::Meta, NEXT_BLOCK, next.encode());
    match seen {
        Some(seen) => batch.put(Table::Meta, SEEN_BLOCK, seen.encode()),
        None => batch,
    }
}

/// The same, where this block was the last one.
pub(in crate::node) fn noted_at(at: BlockRef) -> Batch {
    noted(at.number.saturating_add(1), Some(at.into()))
}

/// Whether a chain has the block that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Verdict {
    /// It has.
    Same,
    /// It has forgotten which block that was.
    Forgotten,
}

/// Checks that this is the history that was seen.
///
/// # Errors
/// [`ChainError::WrongChain`] where the block is another one there; [`ChainError::BehindSeen`] where the chain is not so far.
pub(in crate::node) async fn verify(chain: &dyn Chain, seen: Seen) -> Result<Verdict, ChainError> {
    let Seen { number, hash: expected } = seen;
    match chain.block_hash(number).await? {
        Some(found) if found == expected => Ok(Verdict::Same),
        Some(found) => Err(ChainError::WrongChain { url: "the endpoint".into(), block: number, expected, found }),
        None => {
            let head = chain.finalised_head().await?.number;
            if head < number {
                return Err(ChainError::BehindSeen { block: number, expected, head });
            }
            tracing::warn!(block = number, %expected, "the chain has forgotten which block this was: it cannot be compared");
            Ok(Verdict::Forgotten)
        }
    }
}
