//! The arbiter's messages, whole: checks by the pure rules, effects on the host's storage, interactions last.
//!
//! A message that is refused may have touched the host's storage: the host undoes it all (R5.14).

use super::{
    CallContext, CallOutcome, Host, close_mutual, close_solo, create, deposit, force_progress, set_delegates, settle,
    slash, snapshot_solo, vault, withdraw,
};
use crate::{
    Amount, BlockNumber, ChannelId, Pair, PartyId, PublicKey, Rejection,
    call::{
        BatchedCall, CloseMutual, CloseSolo, Create, Deposit, ForceProgress, MAX_BATCH, MAX_PREIMAGES, SetDelegates,
        Slash, SnapshotSolo, Withdraw,
    },
    contracts::conditional::{HashFunction, Preimage},
    record::Record,
    terms::{Destination, MAX_NONCE_AHEAD, channel_id},
};
use alloc::vec::Vec;

/// `vault_deposit`: adds `attached` to the caller's vault under `key` (R5.1).
///
/// # Errors
/// [`Rejection::AmountZero`], [`Rejection::AmountOverflow`].
pub fn vault_deposit(
    host: &mut impl Host,
    ctx: &CallContext,
    key: PublicKey,
    attached: Amount,
) -> Result<(), Rejection> {
    let owner = PartyId { account: ctx.caller, key };
    let balance = vault::deposit(host.vault(&owner), attached)?;
    host.set_vault(&owner, balance);
    host.announce_vault(owner, balance);
    Ok(())
}

/// `vault_withdraw`: pays `amount` from the caller's vault under `key` to the caller's account (R5.1).
///
/// # Errors
/// [`Rejection::AmountZero`], [`Rejection::VaultBalanceTooLow`], [`Rejection::TransferFailed`].
pub fn vault_withdraw(
    host: &mut impl Host,
    ctx: &CallContext,
    key: PublicKey,
    amount: Amount,
) -> Result<(), Rejection> {
    let owner = PartyId { account: ctx.caller, key };
    let balance = vault::withdraw(host.vault(&owner), amount)?;
    if balance == 0 {
        host.free_vault(&owner);
    } else {
        host.set_vault(&owner, balance);
    }
    host.announce_vault(owner, balance);
    if host.transfer(&ctx.caller, amount) { Ok(()) } else { Err(Rejection::TransferFailed) }
}

/// `channel_create` ([`create()`]). Each share comes out of the party's vault, which its signature moves; what the caller attaches counts for
/// the caller, which is a party then (R5.1).
///
/// # Errors
/// Those of [`create()`]; [`Rejection::NonceOutOfBounds`], [`Rejection::NotParty`] for coins attached by anybody else,
/// [`Rejection::VaultTooLow`].
pub fn channel_create(
    host: &mut impl Host,
    ctx: &CallContext,
    call: Create,
    attached: Amount,
) -> Result<ChannelId, Rejection> {
    let parties = call.body.terms.ids();
    let (got, next) = (call.nonce, host.nonce(&parties));
    let following = got.checked_add(1).filter(|_| got >= next && got.saturating_sub(next) < MAX_NONCE_AHEAD);
    let following = following.ok_or(Rejection::NonceOutOfBounds { got, next })?;
    let channel = channel_id(&ctx.domain, &parties, got, host);
    let shares = call.body.shares;
    let outcome = create(ctx, &channel, call, host)?;

    take_shares(host, ctx, &parties, &shares, attached)?;
    host.set_nonce(&parties, following);
    conclude(host, channel, &parties, outcome)?;
    Ok(channel)
}

/// `channel_deposit` ([`deposit()`]): out of the depositor's vault; what the caller attaches counts for the caller, which is a party then
/// (R5.1).
///
/// # Errors
/// Those of [`deposit()`]; [`Rejection::ChannelUnknown`], [`Rejection::NotParty`] for coins attached by anybody else,
/// [`Rejection::VaultTooLow`].
pub fn channel_deposit(
    host: &mut impl Host,
    ctx: &CallContext,
    call: Deposit,
    attached: Amount,
) -> Result<(), Rejection> {
    let (channel, party, amount) = (call.channel, call.body.party, call.body.amount);
    let record = known(host, &channel)?;
    let parties = record.terms.ids();
    let outcome = deposit(ctx, record, call, host)?;

    let mut shares = Pair::default();
    shares[party] = amount;
    take_shares(host, ctx, &parties, &shares, attached)?;
    conclude(host, channel, &parties, outcome)
}

/// `channel_withdraw` ([`withdraw()`]).
///
/// # Errors
/// Those of [`withdraw()`]; [`Rejection::ChannelUnknown`].
pub fn channel_withdraw(host: &mut impl Host, ctx: &CallContext, call: Withdraw) -> Result<(), Rejection> {
    let channel = call.channel;
    let (record, parties) = of_parties(host, &channel)?;
    let outcome = withdraw(ctx, record, call, host)?;
    conclude(host, channel, &parties, outcome)
}

/// `channel_snapshot_solo` ([`snapshot_solo()`]).
///
/// # Errors
/// Those of [`snapshot_solo()`]; [`Rejection::ChannelUnknown`].
pub fn channel_snapshot_solo(host: &mut impl Host, ctx: &CallContext, call: &SnapshotSolo) -> Result<(), Rejection> {
    let (record, parties) = of_parties(host, &call.channel)?;
    let outcome = snapshot_solo(ctx, record, call, host)?;
    conclude(host, call.channel, &parties, outcome)
}

/// `channel_set_delegates` ([`set_delegates()`]).
///
/// # Errors
/// Those of [`set_delegates()`]; [`Rejection::ChannelUnknown`].
pub fn channel_set_delegates(host: &mut impl Host, ctx: &CallContext, call: SetDelegates) -> Result<(), Rejection> {
    let channel = call.channel;
    let (record, parties) = of_parties(host, &channel)?;
    let outcome = set_delegates(ctx, record, call, host)?;
    conclude(host, channel, &parties, outcome)
}

/// `channel_close_mutual` ([`close_mutual()`]).
///
/// # Errors
/// Those of [`close_mutual()`]; [`Rejection::ChannelUnknown`].
pub fn channel_close_mutual(host: &mut impl Host, ctx: &CallContext, call: CloseMutual) -> Result<(), Rejection> {
    let channel = call.channel;
    let (record, parties) = of_parties(host, &channel)?;
    let outcome = close_mutual(ctx, &record, call, host)?;
    conclude(host, channel, &parties, outcome)
}

/// `channel_close_solo` ([`close_solo()`]).
///
/// # Errors
/// Those of [`close_solo()`]; [`Rejection::ChannelUnknown`].
pub fn channel_close_solo(host: &mut impl Host, ctx: &CallContext, call: &CloseSolo) -> Result<(), Rejection> {
    let (record, parties) = of_parties(host, &call.channel)?;
    let outcome = close_solo(ctx, record, call, host)?;
    conclude(host, call.channel, &parties, outcome)
}

/// `channel_slash` ([`slash()`]).
///
/// # Errors
/// Those of [`slash()`]; [`Rejection::ChannelUnknown`].
pub fn channel_slash(host: &mut impl Host, ctx: &CallContext, call: &Slash) -> Result<(), Rejection> {
    let (record, parties) = of_parties(host, &call.channel)?;
    let outcome = slash(ctx, record, call, host)?;
    conclude(host, call.channel, &parties, outcome)
}

/// `channel_settle` ([`settle()`]).
///
/// # Errors
/// Those of [`settle()`]; [`Rejection::ChannelUnknown`].
pub fn channel_settle(host: &mut impl Host, ctx: &CallContext, channel: ChannelId) -> Result<(), Rejection> {
    let (record, parties) = of_parties(host, &channel)?;
    let outcome = settle(ctx, record)?;
    conclude(host, channel, &parties, outcome)
}

/// `channel_force_progress` ([`force_progress()`]).
///
/// # Errors
/// Those of [`force_progress()`]; [`Rejection::ChannelUnknown`].
pub fn channel_force_progress(host: &mut impl Host, ctx: &CallContext, call: &ForceProgress) -> Result<(), Rejection> {
    let (record, parties) = of_parties(host, &call.channel)?;
    let outcome = force_progress(ctx, record, call, host)?;
    conclude(host, call.channel, &parties, outcome)
}

/// `preimage_register`: shows a pre-image to every channel of this arbiter, and gives the block that counts: the first in which it was
/// shown (R8.2). Showing it again changes nothing, so nobody can be kept from it.
pub fn preimage_register(
    host: &mut impl Host,
    ctx: &CallContext,
    preimage: &Preimage,
    function: HashFunction,
) -> BlockNumber {
    let lock = preimage.lock(function, host);
    host.show(&lock, preimage, ctx.now)
}

/// `preimages_register`: as [`preimage_register`], for several; gives the block of each.
///
/// # Errors
/// [`Rejection::ListLength`].
pub fn preimages_register(
    host: &mut impl Host,
    ctx: &CallContext,
    preimages: &[Preimage],
    function: HashFunction,
) -> Result<Vec<BlockNumber>, Rejection> {
    check_length(preimages.len(), MAX_PREIMAGES)?;
    Ok(preimages.iter().map(|preimage| preimage_register(host, ctx, preimage, function)).collect())
}

/// `batch`: makes several calls, in order, each by itself (R5.18). Each of them checks everything before it changes anything, so that a
/// refused one leaves nothing behind.
///
/// # Errors
/// [`Rejection::ListLength`]; what a single call refuses stands in its place of the answer.
pub fn batch(
    host: &mut impl Host,
    ctx: &CallContext,
    calls: Vec<BatchedCall>,
) -> Result<Vec<Result<(), Rejection>>, Rejection> {
    check_length(calls.len(), MAX_BATCH)?;
    let make = |call| match call {
        BatchedCall::Create(call) => channel_create(host, ctx, call, 0).map(|_channel| ()),
        BatchedCall::CloseMutual(call) => channel_close_mutual(host, ctx, call),
        BatchedCall::CloseSolo(call) => channel_close_solo(host, ctx, &call),
        BatchedCall::Slash(call) => channel_slash(host, ctx, &call),
        BatchedCall::Settle(channel) => channel_settle(host, ctx, channel),
        BatchedCall::Deposit(call) => channel_deposit(host, ctx, call, 0),
        BatchedCall::Withdraw(call) => channel_withdraw(host, ctx, call),
        BatchedCall::SnapshotSolo(call) => channel_snapshot_solo(host, ctx, &call),
        BatchedCall::SetDelegates(call) => channel_set_delegates(host, ctx, call),
    };
    Ok(calls.into_iter().map(make).collect())
}

fn check_length(got: usize, most: usize) -> Result<(), Rejection> {
    let number = |length| u32::try_from(length).unwrap_or(u32::MAX);
    if got == 0 || got > most { Err(Rejection::ListLength { got: number(got), max: number(most) }) } else { Ok(()) }
}

fn known(host: &impl Host, channel: &ChannelId) -> Result<Record, Rejection> {
    host.record(channel).ok_or(Rejection::ChannelUnknown)
}

/// A channel's record, and whose vaults take what its accounts cannot.
fn of_parties(host: &impl Host, channel: &ChannelId) -> Result<(Record, Pair<PartyId>), Rejection> {
    let record = known(host, channel)?;
    let parties = record.terms.ids();
    Ok((record, parties))
}

/// Takes `shares` out of the parties' vaults, to which what the caller attaches to its own counts. Both are checked before either changes.
/// An empty one stays: its storage was laid down by its owner, and the caller may be another.
fn take_shares(
    host: &mut impl Host,
    ctx: &CallContext,
    parties: &Pair<PartyId>,
    shares: &Pair<Amount>,
    attached: Amount,
) -> Result<(), Rejection> {
    let mut more = Pair::default();
    if attached > 0 {
        let caller = parties.iter().find(|(_, party)| party.account == ctx.caller);
        let (caller, _) = caller.ok_or(Rejection::NotParty)?;
        more[caller] = attached;
    }
    let mut held = Pair::default();
    let mut balances = Pair::default();
    for (party, owner) in parties.iter().filter(|&(party, _)| shares[party] > 0 || more[party] > 0) {
        held[party] = host.vault(owner);
        balances[party] = vault::credit(held[party], more[party])?;
    }
    let left = vault::pay_shares(&balances, shares)?;
    for (party, owner) in parties.iter().filter(|&(party, _)| left[party] != held[party]) {
        host.set_vault(owner, left[party]);
    }
    Ok(())
}

/// Pays the fee, stores the record, pays out, announces. A payout that the chain refuses goes to the party's vault (R5.1).
fn conclude(
    host: &mut impl Host,
    channel: ChannelId,
    parties: &Pair<PartyId>,
    outcome: CallOutcome,
) -> Result<(), Rejection> {
    let CallOutcome { record, mut payouts, event } = outcome;
    // The submitter's own fee is the one payout that may fail: before anything has changed (R5.14).
    let mut fees = payouts.iter().filter(|payout| payout.party.is_none());
    if !fees.all(|fee| host.transfer(&fee.to, fee.amount)) {
        return Err(Rejection::TransferFailed);
    }
    host.set_record(&channel, record);
    for payout in &mut payouts {
        let Some(party) = payout.party else { continue };
        if payout.destination == Destination::Vault || !host.transfer(&payout.to, payout.amount) {
            payout.destination = Destination::Vault;
            let owner = &parties[party];
            let balance = vault::credit(host.vault(owner), payout.amount)?;
            host.set_vault(owner, balance);
        }
    }
    host.announce(channel, event, payouts);
    Ok(())
}
