//! What the chain has of channels, read in place of events.

use crate::chain::{Arbiter, BlockRef, CallError, ChainError};
use channel::UnconfirmedDispute;
use futures::{StreamExt, TryStreamExt, stream};
use protocol::{BlockNumber, ChannelId, Pair, PartyId, record::Record};
use std::collections::HashMap;

/// How many channels are read at once.
const AT_ONCE: usize = 16;

/// What the chain has of one channel.
#[derive(Clone, Debug)]
pub(in crate::node) struct Found {
    pub(in crate::node) record: Option<Record>,
    /// The least nonce that its parties may name next, not newer than the record.
    pub(in crate::node) nonce: u64,
}

/// What the chain has of this node's channels, and from which block on their events were not read.
#[derive(Debug)]
pub(in crate::node) struct Records {
    pub(in crate::node) from: BlockNumber,
    pub(in crate::node) found: HashMap<ChannelId, Found>,
}

impl Records {
    /// Reads them on the state after `at`, a final block.
    pub(super) async fn read(
        arbiter: &Arbiter,
        channels: Vec<(ChannelId, Pair<PartyId>)>,
        from: BlockNumber,
        at: BlockRef,
    ) -> Result<Self, ChainError> {
        arbiter.chain().confirm_at(at).await?;
        let mut reads = Vec::with_capacity(channels.len());
        for (channel, parties) in channels {
            reads.push(Found::read_if_readable(arbiter, channel, parties, at));
        }
        let found: Vec<_> = stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(Self { from, found: found.into_iter().flatten().collect() })
    }
}

/// What may have to be answered, as the endpoint in use has it: nobody has confirmed it.
pub(super) async fn disputes(
    arbiter: &Arbiter,
    channels: &[(ChannelId, Pair<PartyId>)],
) -> Result<Vec<(ChannelId, UnconfirmedDispute)>, ChainError> {
    let mut reads = Vec::with_capacity(channels.len());
    for (channel, _) in channels {
        reads.push(dispute_of(arbiter, *channel));
    }
    let found: Vec<_> = stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

async fn dispute_of(
    arbiter: &Arbiter,
    channel: ChannelId,
) -> Result<Option<(ChannelId, UnconfirmedDispute)>, ChainError> {
    match arbiter.channel(channel).await {
        Ok(record) => Ok(record.and_then(|record| Some((channel, UnconfirmedDispute::of_record(&record)?)))),
        Err(CallError::Chain(error)) => Err(error),
        Err(_its_own_trouble) => Ok(None),
    }
}

impl Found {
    /// None where the record makes no sense: that is this channel's trouble, and no other's.
    async fn read_if_readable(
        arbiter: &Arbiter,
        channel: ChannelId,
        parties: Pair<PartyId>,
        at: BlockRef,
    ) -> Result<Option<(ChannelId, Self)>, ChainError> {
        match Self::read(arbiter, channel, parties, at).await {
            Ok(found) => Ok(Some((channel, found))),
            Err(CallError::Chain(error)) => Err(error),
            Err(error) => {
                tracing::error!(%channel, %error, "the record of a channel cannot be read");
                Ok(None)
            }
        }
    }

    async fn read(
        arbiter: &Arbiter,
        channel: ChannelId,
        parties: Pair<PartyId>,
        at: BlockRef,
    ) -> Result<Self, CallError> {
        // In this order: an opening that gets on chain between the two is there, and not taken for one that can never be.
        let nonce = arbiter.confirmed_nonce(parties, at).await?;
        Ok(Self { record: arbiter.confirmed_channel(channel, at).await?, nonce })
    }
}
