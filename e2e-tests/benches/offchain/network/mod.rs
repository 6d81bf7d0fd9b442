//! Payments across channels: conditional transfers by the nodes' routers, directly and through a hub, one at a time and a hundred in flight.
//!
//! ```text
//!   payments   payer --> payee, payer --> hub --> payee: how many per second, and how long each takes
//!   open       ten thousand transfers that wait: what is kept of them, and how long a start takes with them
//!   kept       what a party keeps of a channel: after a million rounds' worth of payments, with contracts, with open transfers
//! ```

mod kept;
mod open;
mod page;
mod payments;
mod three;

use page::Page;

pub(crate) async fn run(is_quick: bool) {
    let share = if is_quick { 10 } else { 1 };
    let mut page = Page::default();
    payments::run(share, &mut page).await;
    open::run(share, &mut page).await;
    kept::run(share, &mut page).await;
    if !is_quick {
        page.write();
    }
}
