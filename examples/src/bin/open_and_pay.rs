//! Opens a channel with a peer, or goes on with the one of an earlier run, and pays through it.
//!
//! The receipt is printed once the payment is agreed: then it cannot be undone. A run that ended before may have paid all the same, because what
//! it began is stored and made when both are there again. So run it again with the same reference until there is a receipt: nothing is paid twice.

use anyhow::{Context, Result, bail};
use clap::Parser;
use examples::NodeOptions;
use sdk::{
    channel::{CloseReason, Payment, Stage, Status},
    keys::PeerAddress,
    node::{Ack, ChannelHandle, EventStream, Node, NodeError, OpenChannel, PaymentReceipt},
    protocol::{Amount, BlockNumber, PublicKey},
};

/// Pays once through the channel with a peer. Whatever counts is on disk first: the program may be killed at any time, and run again.
async fn pay(
    node: &Node,
    events: &mut EventStream,
    (to, terms): (&PeerAddress, OpenChannel),
    Payment { amount, reference }: Payment,
) -> Result<(ChannelHandle, PaymentReceipt)> {
    let peer = node.connect(to).await?;
    let channel = match earlier_channel(node, events, peer, &reference).await? {
        Some(channel) => channel,
        None => new_channel(node, peer, terms).await?,
    };
    // Agreed by both. Our key for it is what it is for: asked again, the payment that was begun answers, and none is made twice.
    let paid = channel.pay_once(reference.clone(), amount, reference).await?;
    Ok((channel, paid))
}

/// The channel of an earlier run: the one that knows this payment, or else one that is open. Where that run ended while a channel was being
/// opened, it opens yet or is given up: events say when.
async fn earlier_channel(
    node: &Node,
    events: &mut EventStream,
    peer: PublicKey,
    key: &[u8],
) -> Result<Option<ChannelHandle>> {
    let channels = node.channels(peer).await?;
    for channel in &channels {
        if let Ok(Some(_begun)) = channel.payment(key).await {
            return Ok(Some(channel.clone()));
        }
    }
    for channel in channels {
        loop {
            match channel.status().await {
                Ok(Status { phase: Stage::Open, .. }) => return Ok(Some(channel)),
                Ok(Status { phase: Stage::Closing | Stage::Closed, .. }) | Err(NodeError::UnknownChannel) => break,
                _ => drop(events.next().await?),
            }
        }
    }
    Ok(None)
}

/// Fills the vault as far as our share needs it, and opens a channel: one transaction each.
async fn new_channel(node: &Node, peer: PublicKey, terms: OpenChannel) -> Result<ChannelHandle> {
    let missing = terms.our_share.saturating_sub(node.vault_balance().await?);
    if missing > 0 {
        let _done = node.vault_deposit(missing).await?;
    }
    Ok(node.open_channel(peer, terms).await?)
}

/// Opens a channel with a peer, or goes on with the one of an earlier run, and pays through it.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    node: NodeOptions,
    /// Whom to pay and where: `<identity>@<host>:<port>`, as accept_payments prints it.
    #[arg(long)]
    peer: PeerAddress,
    /// How much, in the chain's smallest unit.
    #[arg(long)]
    amount: Amount,
    /// What for, in at most 64 bytes: the peer gets it with the payment. For the same reference nothing is paid twice.
    #[arg(long)]
    reference: String,
    /// What a new channel is opened with, in the chain's smallest unit: all that can be paid through it, so at least the amount.
    #[arg(long, default_value_t = 1_000_000_000_000)]
    share: Amount,
    /// How long a close by one side waits for the other to answer, in blocks.
    #[arg(long, default_value_t = 100)]
    lock_period: BlockNumber,
    /// Close the channel after the payment: both are paid out on chain.
    #[arg(long)]
    close: bool,
}

impl Options {
    /// Of a channel whose coins are all ours at first. Going back to an old state would help us only, so the peer's node answers it; a penalty on
    /// top would need a reserve of the peer's too.
    fn terms(&self) -> OpenChannel {
        OpenChannel { lock_period: self.lock_period, ..OpenChannel::new(self.share.max(self.amount), 0) }
    }
}

async fn run(options: &Options) -> Result<()> {
    let mut config = options.node.config().await?;
    config.ack = Ack::OnDelivery; // what became of a payment is asked for by its key: events need not be kept for us
    let (node, mut events) = Node::start_with_events(config).await?;
    let payment = Payment { amount: options.amount, reference: options.reference.clone().into() };
    let paying = pay(&node, &mut events, (&options.peer, options.terms()), payment);
    let (channel, paid) = paying.await.with_context(|| format!("no receipt of {}", options.peer))?;
    println!("paid {} for {:?} in round {}", options.amount, options.reference, paid.round);
    if options.close {
        let CloseReason::Mutual { balances } = channel.close(0).await? else { bail!("not closed in agreement") };
        println!("closed: {} to us, {} to the peer", balances.initiator, balances.responder);
    } else if let Some(balances) = channel.balances().await? {
        println!("left in the channel: {}", balances.spendable);
    }
    node.stop().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    examples::log();
    tokio::select! {
        done = run(&options) => done,
        () = options.node.stop()? => bail!("stopped: a payment that was begun is made when this program runs again, once for each reference"),
    }
}
