//! Payments across channels: conditional transfers by the nodes' routers, directly and through a hub, one at a time and a hundred in flight.
//!
//! ```text
//!   payments   payer --> payee, payer --> hub --> payee: how many per second, and how long each takes
//!   open       ten thousand transfers that wait: what is kept of them, and how long a start takes with them
//!   swaps      between two chains: a page of its own
//!   kept       what a party keeps of a channel: after a million rounds' worth of payments, with contracts, with open transfers
//! ```

mod kept;
mod open;
mod page;
mod payments;
mod swaps;
mod three;

use page::Page;

/// `how`: "quick" for a tenth of everything; "open", "kept", "swaps" or part of the names of payments for what is wanted alone.
pub(crate) async fn run(how: Option<&str>) {
    let mut page = Page::default();
    match how {
        None | Some("quick") => {}
        Some("open") => return open::run(1, &mut page).await,
        Some("swaps") => return swaps::run(1).await,
        Some("swaps quick") => return swaps::run(10).await,
        Some("kept") => return kept::run(1, &mut page).await,
        Some(name) => return payments::run(1, |row| row.contains(name), &mut page).await,
    }
    let share = if how.is_some() { 10 } else { 1 };
    payments::run(share, |_all| true, &mut page).await;
    open::run(share, &mut page).await;
    kept::run(share, &mut page).await;
    if how.is_none() {
        page.write();
    }
}
