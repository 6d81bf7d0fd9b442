//! Many payments across the hub, which is killed in the middle of them.

use super::{
    super::{
        report::{Speed, short},
        say,
    },
    MAX_FEE, PATIENCE, PAYMENT, Three, after, fee, times, until,
};
use anyhow::{Context, Result, bail, ensure};
use channel::IdempotencyKey;
use futures::{StreamExt, TryStreamExt, stream};
use network::{FailureCode, InvoiceState, PayError, PaymentState};
use protocol::contracts::conditional::HashLock;
use sdk::node::{NewInvoice, Node, RoutedPaymentError};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// How many payments are under way at once; a third of all where that is less, so that some come before and after the hub's death.
const IN_FLIGHT: u32 = 100;
/// How often one payment is begun anew after it has come to nothing.
const ATTEMPTS: u32 = 20;
/// How long Alice waits before she looks again whether the hub is back.
const AGAIN: Duration = Duration::from_millis(20);

/// What Charlie asks for.
struct Bill {
    number: u32,
    lock: HashLock,
    text: String,
}

/// What has become of all payments so far.
#[derive(Default)]
struct Counts {
    begun: Cell<u32>,
    ended: Cell<u32>,
    came_to_nothing: RefCell<BTreeMap<FailureCode, u32>>,
    /// When the hub is to die: once so many have ended and so many are under way, or when the last one has begun.
    moment: Moment,
    reached: Notify,
}

#[derive(Default)]
struct Moment {
    ended: u32,
    under_way: u32,
    last: u32,
}

impl Counts {
    const fn under_way(&self) -> u32 {
        self.begun.get().saturating_sub(self.ended.get())
    }

    fn fail(&self, code: FailureCode) {
        let mut failed = self.came_to_nothing.borrow_mut();
        let count = failed.entry(code).or_default();
        *count = count.saturating_add(1);
    }

    fn begin(&self) {
        add_one(&self.begun);
        let Moment { ended, under_way, last } = self.moment;
        if self.ended.get() >= ended && self.under_way() >= under_way || self.begun.get() == last {
            self.reached.notify_one();
        }
    }
}

fn add_one(count: &Cell<u32>) {
    count.set(count.get().saturating_add(1));
}

/// Pays a bill, once: by one key as long as the payment has not come to nothing, by another one after that.
async fn pay(alice: &Node, bill: &Bill, counts: &Counts) -> Result<()> {
    let began = Instant::now();
    for attempt in 1..=ATTEMPTS {
        let key = IdempotencyKey::from(format!("bill {}, attempt {attempt}", bill.number).as_str());
        loop {
            match alice.pay_invoice(&key, &bill.text, None, MAX_FEE).await {
                Ok(_state) => break,
                // Nothing was begun: there is no hub, or as much is under way as the hub takes.
                Err(RoutedPaymentError::Pay(PayError::NoWay(code)))
                    if matches!(code, FailureCode::PeerAway | FailureCode::Limits | FailureCode::Liquidity) =>
                {
                    ensure!(began.elapsed() < PATIENCE, "bill {} finds no way: {code}", bill.number);
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        if attempt == 1 {
            counts.begin();
        }
        match tokio::time::timeout(PATIENCE, alice.routed_payment_ended(&key)).await? {
            Some(PaymentState::Paid(_proof)) => {
                add_one(&counts.ended);
                return Ok(());
            }
            Some(PaymentState::Failed(code)) => counts.fail(code),
            other => bail!("bill {} is neither paid nor given back: {other:?}", bill.number),
        }
    }
    bail!("bill {} came to nothing {ATTEMPTS} times", bill.number)
}

impl Three {
    /// So many payments, the hub's death in the middle of them, and what everybody has in the end.
    pub(super) async fn pay_many(&mut self, count: u32) -> Result<Vec<Speed>> {
        let in_flight = IN_FLIGHT.min(count / 3).max(1);
        let at_once = usize::try_from(in_flight)?;
        say(&format!("\nCharlie writes {count} invoices of {} units", short(PAYMENT)));
        let bills: Vec<Bill> = stream::iter(0..count)
            .map(async |number| {
                let (invoice, text) = self.charlie.create_invoice(NewInvoice::new(PAYMENT, self.hubs())).await?;
                anyhow::Ok(Bill { number, lock: invoice.lock, text })
            })
            .buffered(at_once)
            .try_collect()
            .await?;
        let registrations = self.world.recorder.count("preimages_register").await;
        let before_all = self.now().await?;
        say(&format!(
            "Alice pays them through the hub, up to {in_flight} at once, each step durable on all three sides"
        ));
        let moment = Moment { ended: count / 2, under_way: in_flight.saturating_mul(3) / 4, last: count };
        let counts = Counts { moment, ..Counts::default() };
        let (alice, charlie) = (self.alice.clone(), self.charlie.clone());
        let mut paying = stream::iter(&bills).map(|bill| pay(&alice, bill, &counts)).buffer_unordered(at_once);
        let began = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = counts.reached.notified() => break,
                paid = paying.next() => paid.context("payments are left")??,
            }
        }
        let (ended, under_way) = (counts.ended.get(), counts.under_way());
        let first = (ended, began.elapsed());
        self.hub.kill_and_start_again(&self.world, &self.endpoint, self.not_durable)?;
        say(&format!(
            "the hub was killed (kill -9) once {ended} were paid, with {under_way} under way, and has started again"
        ));
        let address = self.hub.address.clone();
        let dialling = async {
            // Charlie first: what Alice offers before he is there comes to nothing.
            let _hub = charlie.connect(&address).await?;
            let _hub = alice.connect(&address).await?;
            anyhow::Ok(Instant::now())
        };
        let rest = async {
            while let Some(paid) = paying.next().await {
                paid?;
            }
            Ok(())
        };
        let (back, ()) = futures::future::try_join(dialling, rest).await?;
        let second = (count.saturating_sub(first.0), back.elapsed());
        drop(paying);
        for bill in &bills {
            let paid = InvoiceState::Paid { amount: PAYMENT, open_parts: 0 };
            until("an invoice to be paid to its end", async || {
                Ok((charlie.invoice_state(&bill.lock) == Some(paid)).then_some(()))
            })
            .await?;
        }
        let (paid, fees) = (times(PAYMENT, count), times(fee(PAYMENT)?, count));
        self.have(after(before_all, paid, fees)?).await?;
        say(&format!(
            "all {count} are paid, each invoice exactly once: Charlie has {} units more, the hub its fees, {}",
            short(paid),
            short(fees)
        ));
        for (code, again) in counts.came_to_nothing.borrow().iter() {
            say(&format!(
                "  {again} came to nothing at first, without a coin being moved, and were begun anew: {code}"
            ));
        }
        let shown = self.world.recorder.count("preimages_register").await.saturating_sub(registrations);
        say(&format!("  {shown} pre-images had to be shown on chain for it"));
        let speed =
            |what, (count, time): (u32, Duration)| Speed { what, of: "payments", count, seconds: time.as_secs_f64() };
        Ok(vec![
            speed("across the hub, many at once, until it was killed", first),
            speed("across the hub, many at once, once it was back", second),
        ])
    }
}
