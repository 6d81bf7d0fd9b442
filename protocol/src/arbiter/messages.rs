//! The arbiter's messages, whole: checks by the pure rules, effects on the host's storage, interactions last.
//!
//! A message that is refused may have touched the host's storage: the host undoes it all (R5.14).

use super::{
    Context, Host, Outcome, close_mutual, close_solo, create, deposit, force_progress, set_delegates, settle, slash,
    snapshot_solo, vault, withdraw,
};
use crate::{
    AccountId, Amount, BlockNumber, ChannelId, Rejection,
    call::{CloseMutual, CloseSolo, Create, Deposit, ForceProgress, SetDelegates, Slash, SnapshotSolo, Withdraw},
    contracts::conditional::{HashFunction, Preimage},
    record::Record,
    terms::{Destination, channel_id},
};

/// `vault_deposit`: adds `attached` to the caller's vault (R5.1).
///
/// # Errors
/// [`Rejection::AmountZero`], [`Rejection::AmountOverflow`].
pub fn vault_deposit(host: &mut impl Host, ctx: &Context, attached: Amount) -> Result<(), Rejection> {
    let balance = vault::deposit(host.vault(&ctx.caller), attached)?;
    host.set_vault(&ctx.caller, balance);
    host.announce_vault(ctx.caller, balance);
    Ok(())
}

/// `vault_withdraw`: pays `amount` from the caller's vault to the caller's account (R5.1).
///
/// # Errors
/// [`Rejection::AmountZero`], [`Rejection::VaultBalanceTooLow`], [`Rejection::TransferFailed`].
pub fn vault_withdraw(host: &mut impl Host, ctx: &Context, amount: Amount) -> Result<(), Rejection> {
    let balance = vault::withdraw(host.vault(&ctx.caller), amount)?;
    host.set_vault(&ctx.caller, balance);
    host.announce_vault(ctx.caller, balance);
    if host.transfer(&ctx.caller, amount) { Ok(()) } else { Err(Rejection::TransferFailed) }
}

/// `channel_create` ([`create()`]). What the caller attaches counts for the caller: it passes through its vault (R5.1).
///
/// # Errors
/// Those of [`create()`]; [`Rejection::VaultTooLow`].
pub fn channel_create(
    host: &mut impl Host,
    ctx: &Context,
    call: Create,
    attached: Amount,
) -> Result<ChannelId, Rejection> {
    let accounts = call.body.terms.accounts();
    let nonce = host.nonce(&accounts);
    let channel = channel_id(&ctx.domain, &accounts, nonce, host);
    let shares = call.body.shares;
    let outcome = create(ctx, &channel, call, host)?;

    if attached > 0 {
        credit(host, &ctx.caller, attached)?;
    }
    let balances = accounts.map(|account| host.vault(&account));
    let left = vault::pay_shares(&balances, &shares)?;
    for (party, balance) in left.iter().filter(|&(party, &balance)| balance != balances[party]) {
        host.set_vault(&accounts[party], *balance);
    }
    host.set_nonce(&accounts, nonce.checked_add(1).ok_or(Rejection::AmountOverflow)?);
    conclude(host, channel, outcome)?;
    Ok(channel)
}

/// `channel_deposit` ([`deposit()`]): out of the depositor's vault; what the caller attaches passes through its own (R5.1).
///
/// # Errors
/// Those of [`deposit()`]; [`Rejection::ChannelUnknown`], [`Rejection::VaultTooLow`].
pub fn channel_deposit(host: &mut impl Host, ctx: &Context, call: Deposit, attached: Amount) -> Result<(), Rejection> {
    let (channel, party, amount) = (call.channel, call.body.party, call.body.amount);
    let record = known(host, &channel)?;
    let depositor = record.terms.parties[party].account;
    let outcome = deposit(ctx, record, call, host)?;

    if attached > 0 {
        credit(host, &ctx.caller, attached)?;
    }
    let have = host.vault(&depositor);
    let left = have.checked_sub(amount).ok_or(Rejection::VaultTooLow { party, have, need: amount })?;
    host.set_vault(&depositor, left);
    conclude(host, channel, outcome)
}

/// `channel_withdraw` ([`withdraw()`]).
///
/// # Errors
/// Those of [`withdraw()`]; [`Rejection::ChannelUnknown`].
pub fn channel_withdraw(host: &mut impl Host, ctx: &Context, call: Withdraw) -> Result<(), Rejection> {
    let channel = call.channel;
    let outcome = withdraw(ctx, known(host, &channel)?, call, host)?;
    conclude(host, channel, outcome)
}

/// `channel_snapshot_solo` ([`snapshot_solo()`]).
///
/// # Errors
/// Those of [`snapshot_solo()`]; [`Rejection::ChannelUnknown`].
pub fn channel_snapshot_solo(host: &mut impl Host, ctx: &Context, call: &SnapshotSolo) -> Result<(), Rejection> {
    let outcome = snapshot_solo(ctx, known(host, &call.channel)?, call, host)?;
    conclude(host, call.channel, outcome)
}

/// `channel_set_delegates` ([`set_delegates()`]).
///
/// # Errors
/// Those of [`set_delegates()`]; [`Rejection::ChannelUnknown`].
pub fn channel_set_delegates(host: &mut impl Host, ctx: &Context, call: SetDelegates) -> Result<(), Rejection> {
    let channel = call.channel;
    let outcome = set_delegates(ctx, known(host, &channel)?, call, host)?;
    conclude(host, channel, outcome)
}

/// `channel_close_mutual` ([`close_mutual()`]).
///
/// # Errors
/// Those of [`close_mutual()`]; [`Rejection::ChannelUnknown`].
pub fn channel_close_mutual(host: &mut impl Host, ctx: &Context, call: CloseMutual) -> Result<(), Rejection> {
    let channel = call.channel;
    let outcome = close_mutual(ctx, &known(host, &channel)?, call, host)?;
    conclude(host, channel, outcome)
}

/// `channel_close_solo` ([`close_solo()`]).
///
/// # Errors
/// Those of [`close_solo()`]; [`Rejection::ChannelUnknown`].
pub fn channel_close_solo(host: &mut impl Host, ctx: &Context, call: &CloseSolo) -> Result<(), Rejection> {
    let outcome = close_solo(ctx, known(host, &call.channel)?, call, host)?;
    conclude(host, call.channel, outcome)
}

/// `channel_slash` ([`slash()`]).
///
/// # Errors
/// Those of [`slash()`]; [`Rejection::ChannelUnknown`].
pub fn channel_slash(host: &mut impl Host, ctx: &Context, call: &Slash) -> Result<(), Rejection> {
    let outcome = slash(ctx, known(host, &call.channel)?, call, host)?;
    conclude(host, call.channel, outcome)
}

/// `channel_settle` ([`settle()`]).
///
/// # Errors
/// Those of [`settle()`]; [`Rejection::ChannelUnknown`].
pub fn channel_settle(host: &mut impl Host, ctx: &Context, channel: ChannelId) -> Result<(), Rejection> {
    let outcome = settle(ctx, known(host, &channel)?)?;
    conclude(host, channel, outcome)
}

/// `channel_force_progress` ([`force_progress()`]).
///
/// # Errors
/// Those of [`force_progress()`]; [`Rejection::ChannelUnknown`].
pub fn channel_force_progress(host: &mut impl Host, ctx: &Context, call: &ForceProgress) -> Result<(), Rejection> {
    let outcome = force_progress(ctx, known(host, &call.channel)?, call, host)?;
    conclude(host, call.channel, outcome)
}

/// `preimage_register`: shows a pre-image to every channel of this arbiter, and gives the block that counts: the first in which it was
/// shown (R8.2). Showing it again changes nothing, so nobody can be kept from it.
pub fn preimage_register(
    host: &mut impl Host,
    ctx: &Context,
    preimage: &Preimage,
    function: HashFunction,
) -> BlockNumber {
    let lock = preimage.lock(function, host);
    host.show(&lock, preimage, ctx.now)
}

fn known(host: &impl Host, channel: &ChannelId) -> Result<Record, Rejection> {
    host.record(channel).ok_or(Rejection::ChannelUnknown)
}

/// Stores the record, pays out, announces. A payout that the chain refuses goes to the payee's vault (R5.1).
fn conclude(host: &mut impl Host, channel: ChannelId, outcome: Outcome) -> Result<(), Rejection> {
    let Outcome { record, mut payouts, event } = outcome;
    host.set_record(&channel, record);
    for payout in &mut payouts {
        if payout.destination == Destination::Vault || !host.transfer(&payout.to, payout.amount) {
            payout.destination = Destination::Vault;
            credit(host, &payout.to, payout.amount)?;
        }
    }
    host.announce(channel, event, payouts);
    Ok(())
}

fn credit(host: &mut impl Host, account: &AccountId, amount: Amount) -> Result<(), Rejection> {
    let balance = vault::credit(host.vault(account), amount)?;
    host.set_vault(account, balance);
    Ok(())
}
