//! How soon an old close is answered beside the hostile peers, where every sync of Bob's store takes 50 ms more.

use crate::{BEGINNING, Bob, Crowd, peers};
use e2e_tests::{Endpoint, UNIT, World, account, identity, signer};
use protocol::{ChannelId, call::Call, record::Record};
use sdk::node::{Node, OpenChannel};
use std::{
    collections::BTreeMap,
    process::Command,
    time::{Duration, Instant},
};

/// How many old closes there are, one after the other.
const CLOSES: usize = 10;
/// How often the chain makes an empty block meanwhile.
const BLOCK: Duration = Duration::from_secs(1);
/// How much longer each sync of the store takes.
pub(crate) const SYNC_DELAY: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_millis(5);

/// The answer to one old close.
pub(crate) struct Answer {
    /// How long after the close was final.
    pub(crate) after: Duration,
    /// How many blocks after the close's own.
    pub(crate) blocks: u32,
}

/// The answers to all of them.
#[derive(Default)]
pub(crate) struct Answers {
    /// How long Carol's payments took, at most: Bob's store is slow.
    pub(crate) payment: Duration,
    pub(crate) answers: Vec<Answer>,
}

/// Whether this machine has the program that delays syncs.
pub(crate) fn can_delay_syncs() -> bool {
    Command::new("strace").arg("-V").output().is_ok_and(|told| told.status.success())
}

/// Carol closes channel after channel with Bob on an old state, and is answered.
pub(crate) async fn measure(world: &World, endpoint: &Endpoint) -> Answers {
    let bob = Bob::start_on_a_slow_disk(world, endpoint, "slow-bob").await;
    let (closes, payment) = old_closes(world, &bob).await;
    let crowd = Crowd::start(peers::KINDS.into_iter().cycle(), &bob);
    tokio::time::sleep(BEGINNING).await;
    let chain = world.chain.clone();
    let blocks = tokio::spawn(async move {
        loop {
            tokio::time::sleep(BLOCK).await;
            let _head = chain.produce_blocks(1).await.unwrap();
        }
    });
    let mut answers = Vec::new();
    for (channel, close) in closes {
        let done = world.arbiter.call(&signer("carol"), &close, 0).await.unwrap();
        let closed = (Instant::now(), done.receipt.block.number);
        answers.push(answer(world, channel, closed).await);
        println!(
            "answered after {:.2?}, {} blocks",
            answers[answers.len() - 1].after,
            answers[answers.len() - 1].blocks
        );
    }
    blocks.abort();
    drop((crowd, bob));
    Answers { payment, answers }
}

/// Carol's closes on states from before she paid most of what she has, one for each of her channels; and how long a payment took at
/// most.
async fn old_closes(world: &World, bob: &Bob) -> (BTreeMap<ChannelId, Call>, Duration) {
    let terms = OpenChannel {
        our_share: 10 * UNIT,
        peer_share: 0,
        push: UNIT,
        reserve: 0,
        lock_period: 100,
        penalty: 0,
        max_forced: 3,
        validity: 1_000,
    };
    world.fund(account("carol"), 2_000 * UNIT).await;
    let carol = Node::start(world.config("carol")).await.unwrap();
    let _done = carol.vault_deposit(1_000 * UNIT).await.unwrap();
    let _peer = carol.connect(&bob.address).await.unwrap();
    let (mut closes, mut longest) = (BTreeMap::new(), Duration::ZERO);
    for _ in 0..CLOSES {
        let channel = carol.open_channel(identity("bob").public(), terms).await.unwrap();
        let _paid = channel.pay(UNIT, "what she has to show").await.unwrap();
        let old = channel.evidence().await.unwrap().unwrap();
        let began = Instant::now();
        let _paid = channel.pay(7 * UNIT, "what she regrets").await.unwrap();
        longest = longest.max(began.elapsed());
        let _new = closes.insert(old.channel, Call::ChannelCloseSolo(old));
    }
    carol.stop().await;
    (closes, longest)
}

/// Waits until the chain has a newer state than the one that the channel was closed on.
async fn answer(world: &World, channel: ChannelId, (began, block): (Instant, u32)) -> Answer {
    let record = async || -> Record { world.arbiter.channel(channel).await.unwrap().unwrap() };
    let old = record().await.on_chain;
    loop {
        if record().await.on_chain != old {
            let blocks = world.chain.block_number().saturating_sub(block);
            return Answer { after: began.elapsed(), blocks };
        }
        tokio::time::sleep(POLL).await;
    }
}
