//! A service that is paid: it accepts channels, and turns each payment into one delivery. It may be killed at any time: nothing is lost or
//! delivered twice.
//!
//! ```text
//!   payment agreed, event stored --> told --> delivered, noted durably --> event acknowledged
//!                                     ^------ killed in between: told again, by the same number
//! ```

use anyhow::{Context, Result};
use clap::Parser;
use examples::NodeOptions;
use sdk::{
    channel::{Event, Payment},
    node::{EventStream, Node, NodeConfig},
    protocol::{Amount, BlockNumber},
};
use std::{
    collections::HashSet,
    fs::File,
    io::{Read, Write},
    path::Path,
};

/// Which channels strangers may open with us: those that leave us time to answer a false close, and ask for few of our coins, or none.
fn accept_channels(config: &mut NodeConfig, lock_period_min: BlockNumber, share_max: Amount) {
    config.policy.lock_period_min = config.policy.lock_period_min.max(lock_period_min);
    config.policy.share_max = share_max; // none by default: strangers lock no coins of ours
}

/// Has every payment delivered by an id of its own. `deliver` may see one again that it saw just before a crash.
async fn serve(
    node: &Node,
    events: &mut EventStream,
    mut deliver: impl FnMut(String, &Payment) -> Result<()>,
) -> Result<()> {
    loop {
        // An error ends the service. Unacknowledged events are delivered again at the next start: never acknowledge past a gap.
        let told = events.next().await?;
        if let (Some(number), Some(Event::Received { payments, .. })) = (told.number, told.event.event()) {
            for (index, payment) in payments.iter().enumerate() {
                deliver(format!("{:?}/{}/{index}", told.reference, number.0), payment)?;
            }
        }
        node.ack(&told).await?; // other events too: they would pile up
    }
}

/// The deliveries made so far, one a line. Your service has a database for them, in which the payment's id is unique.
struct Deliveries {
    file: File,
    ids: HashSet<String>,
}

impl Deliveries {
    fn open(folder: &Path) -> Result<Self> {
        let mut file = File::options().read(true).append(true).create(true).open(folder.join("deliveries"))?;
        File::open(folder)?.sync_all()?; // so that the file itself survives a power cut
        let mut text = String::new();
        let _length = file.read_to_string(&mut text)?;
        // A last line that a crash has cut short counts for nothing: its payment is told again.
        let (whole, cut) = text.rsplit_once('\n').unwrap_or(("", &text));
        if !cut.is_empty() {
            file.set_len(u64::try_from(text.len().saturating_sub(cut.len()))?)?;
        }
        let ids: HashSet<_> = whole.lines().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect();
        println!("{} deliveries were made before", ids.len());
        Ok(Self { file, ids })
    }

    /// Delivers for a payment, unless that was done before.
    fn deliver(&mut self, id: String, Payment { amount, reference }: &Payment) -> Result<()> {
        if self.ids.contains(&id) {
            return Ok(());
        }
        // The reference is the payer's: any bytes.
        let what = format!("{amount} for {}", reference.escape_ascii());
        self.file.write_all(format!("{id} {what}\n").as_bytes())?;
        self.file.sync_all()?;
        println!("delivered: {what}");
        let _new = self.ids.insert(id);
        Ok(())
    }
}

/// Accepts channels and payments until it is told to stop, and prints each delivery.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    node: NodeOptions,
    /// Where to listen for payers; port 0 is any that is free.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    listen: String,
    /// The least time to answer a close on an old state, in blocks: far longer than this service is ever away.
    #[arg(long, value_name = "BLOCKS", default_value_t = 100)]
    lock_period_min: BlockNumber,
    /// The most coins of our vault's that a payer may ask into its channel.
    #[arg(long, value_name = "COINS", default_value_t = 0)]
    share_max: Amount,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    examples::log();
    let mut config = options.node.config().await?;
    accept_channels(&mut config, options.lock_period_min, options.share_max);
    config.listen = Some(options.listen);
    let folder = options.node.folder();
    let mut deliveries = Deliveries::open(folder).with_context(|| {
        format!("cannot use the file deliveries in {}: it must be text, and ours", folder.display())
    })?;
    let (node, mut events) = Node::start_with_events(config).await?;
    let stop = options.node.stop()?; // a signal before this just ends the program, which harms nothing
    println!("listening at {}", node.address().context("it listens nowhere")?);
    let done = tokio::select! {
        done = serve(&node, &mut events, |id, payment| deliveries.deliver(id, payment)) => done,
        () = stop => Ok(()),
    };
    node.stop().await;
    println!("stopped: the channels stay open, and go on when this service does");
    done
}
