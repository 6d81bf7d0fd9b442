//! What the demo prints at its end, and the sums it checks.

use super::world::{Holdings, World};
use anyhow::{Result, ensure};
use protocol::{AccountId, Amount};
use sdk::chain::recorder::RecordedCall;

/// One unit of the chain's coin in its smallest unit.
pub(super) const UNIT: Amount = 1_000_000_000_000;

/// How one stretch off chain went.
pub(super) struct Speed {
    pub(super) what: &'static str,
    /// What was counted: payments, calls.
    pub(super) of: &'static str,
    pub(super) count: u32,
    pub(super) seconds: f64,
}

/// Every coin, as it was before the story began.
pub(super) struct Books {
    issued: Amount,
    /// How many transactions had been made.
    transactions: usize,
    before: Vec<Holdings>,
}

impl Books {
    /// Counts the coins, once everything is deployed.
    pub(super) async fn open(world: &World) -> Result<Self> {
        let before = world.holdings().await?;
        let issued = world.chain.total_issuance().await?;
        Ok(Self { issued, transactions: world.recorder.entries().len(), before })
    }

    /// Counts them again, prints where they went, and checks every one: `gains` is what each account won or lost in its channels.
    pub(super) async fn close(self, world: &World, gains: &[(AccountId, i128)]) -> Result<()> {
        let after = world.holdings().await?;
        let entries = world.recorder.entries();
        costs(&entries, world);
        let since = entries.get(self.transactions..).unwrap_or_default();
        balances(world, &self.before, &after, since, gains)?;
        let burned: Amount = since.iter().map(|entry| entry.fee).sum();
        let (issued, left) = (self.issued, world.chain.total_issuance().await?);
        ensure!(
            issued.checked_sub(burned) == Some(left),
            "coins are missing: {issued} were there, {burned} were burned as fees, {left} are left"
        );
        Ok(())
    }
}

/// Prints what each call cost.
fn costs(entries: &[RecordedCall], world: &World) {
    println!("\nWhat the chain charged");
    println!(
        "  {:<24} {:<8} {:>13} {:>11} {:>7} {:>16} {:>18}",
        "call", "by", "ref_time (ps)", "proof (B)", "ext (B)", "fee (unit)", "storage deposit"
    );
    for entry @ RecordedCall { what, signer, fee, receipt } in entries {
        let name = world.name(signer);
        match receipt {
            Some(receipt) => println!(
                "  {what:<24} {name:<8} {:>13} {:>11} {:>7} {:>16} {:>18}",
                receipt.weight.ref_time,
                receipt.weight.proof_size,
                receipt.length,
                units(*fee),
                signed_units(entry.deposit()),
            ),
            None => println!("  {what:<24} {name:<8} {:>13} {:>36}", "too late", units(*fee)),
        }
    }
}

/// Prints what each party owns before and after, and checks every coin of it.
///
/// `gains` is what each won or lost in its channels.
fn balances(
    world: &World,
    before: &[Holdings],
    after: &[Holdings],
    entries: &[RecordedCall],
    gains: &[(AccountId, i128)],
) -> Result<()> {
    println!("\nOn-chain balances (units): account and vault together");
    println!(
        "  {:<8} {:>22} {:>22} {:>20} {:>18} {:>18}",
        "", "before", "after", "won in channels", "fees", "deposits"
    );
    for (was, is) in before.iter().zip(after) {
        let own = entries.iter().filter(|entry| entry.signer == was.account);
        let (fees, deposits) = own.fold((0, 0), |(fees, deposits): (Amount, i128), entry| {
            (fees.saturating_add(entry.fee), deposits.saturating_add(entry.deposit()))
        });
        let gain: i128 = gains.iter().filter(|(account, _)| *account == was.account).map(|(_, gain)| *gain).sum();
        println!(
            "  {:<8} {:>22} {:>22} {:>20} {:>18} {:>18}",
            world.name(&was.account),
            units(was.total()),
            units(is.total()),
            signed_units(gain),
            units(fees),
            signed_units(deposits),
        );
        let expected = signed(was.total())?.saturating_add(gain).saturating_sub(signed(fees)?).saturating_sub(deposits);
        ensure!(
            signed(is.total())? == expected,
            "coins are missing: {} should own {expected}, owns {}",
            world.name(&was.account),
            is.total()
        );
    }
    Ok(())
}

/// Prints what was done per second.
pub(super) fn speeds(speeds: &[Speed]) {
    println!("\nOff chain");
    for Speed { what, of, count, seconds } in speeds {
        println!("  {what:<60} {count:>7} {of} {:>10.0} per second", f64::from(*count) / seconds);
    }
}

/// An amount in units, as short as it can be said.
pub(super) fn short(amount: Amount) -> String {
    units(amount).trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// An amount in units.
pub(super) fn units(amount: Amount) -> String {
    format!("{}.{:012}", amount / UNIT, amount % UNIT)
}

fn signed_units(amount: i128) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    format!("{sign}{}", units(amount.unsigned_abs()))
}

/// An amount with a sign.
pub(super) fn signed(amount: Amount) -> Result<i128> {
    Ok(i128::try_from(amount)?)
}
