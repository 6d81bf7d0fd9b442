//! Attacks on what a swap's coins are paid out by (R8.5g).

use crate::parties::{Chains, ID, at_once, connect};
use sdk::{
    Node, OpenChannel,
    network::{RouterNotice, RoutingPolicy, SwapEvent, SwapId, SwapPolicy, SwapQuote, SwapStage},
    node::{NewSwap, open_on_both},
    protocol::{AccountId, Amount},
};
use std::time::Duration;

/// Somebody without a node.
const PAYEE: AccountId = AccountId([77; 32]);

async fn policy(chains: &Chains, rate: (u64, u64), premium: u32) -> RoutingPolicy {
    let [source, target] = [0, 1].map(|chain: usize| chains.0[chain].clone());
    let quote = SwapQuote {
        source: source.arbiter().await.unwrap().info().domain,
        target: target.arbiter().await.unwrap().info().domain,
        rate,
        amounts: (1, Amount::MAX),
        premium,
        inventory: 500_000,
        expires_at: u64::MAX,
    };
    let swaps = SwapPolicy { quotes: vec![quote], idle_share: 1_000_000, ..SwapPolicy::default() };
    RoutingPolicy { swaps, ..RoutingPolicy::default() }
}

async fn has(chains: &Chains) -> Amount {
    chains.0[1].arbiter().await.unwrap().chain().free_balance(&PAYEE).await.unwrap()
}

struct Met {
    chains: Chains,
    _directory: tempfile::TempDir,
    alice: [Node; 2],
    bob: [Node; 2],
    channel: sdk::node::ChannelHandle,
    swap: NewSwap,
    before: Amount,
}

/// Both swap coins of the first chain for coins of the second one; alice, who keeps what she knows, for a premium.
async fn meet() -> Met {
    let (chains, directory) = (Chains::new(), tempfile::tempdir().unwrap());
    // An account that exists takes any amount.
    chains.0[1].endow(PAYEE, 1_000_000_000_000);
    let before = has(&chains).await;
    let alice = chains.start("alice", policy(&chains, (1, 1), 10_000).await, Some(directory.path())).await;
    let bob = chains.start("bob", policy(&chains, (2, 1), 0).await, None).await;
    for node in alice.iter().chain(&bob) {
        let _done = node.vault_deposit(2_000_000).await.unwrap();
    }
    connect(&alice, &bob).await;
    let peer = bob[0].identity();
    let [first, second] = [OpenChannel::new(500_000, 500_000), OpenChannel::new(500_000, 500_000)];
    let [_, channel] = open_on_both((&alice[0], first), (&alice[1], second), peer).await.unwrap();
    let target = chains.0[1].arbiter().await.unwrap().info().domain;
    let swap = NewSwap { responder: peer, pay: 1_000, target, get: 2_000, premium: 0 };
    Met { chains, _directory: directory, alice, bob, channel, swap, before }
}

/// Swaps for a premium that bob proposes: alice locks her legs of them one after the other in the one channel.
async fn waiting_legs(met: &Met, count: u8) -> Vec<SwapId> {
    let other = NewSwap { responder: met.alice[0].identity(), pay: 1_000, get: 1_000, premium: 10, ..met.swap };
    // The first one is declined, by its number (`both_sides_may_propose_swaps`).
    let first = SwapId([199; 32]);
    let _begun = met.bob[0].propose_swap(first, other).await.unwrap();
    let _ended = at_once(met.bob[0].swap_ended(&first)).await.unwrap();
    let all: Vec<_> = (0..count).map(|number| (SwapId([200 + number; 32]), other)).collect();
    let mut notices = met.alice[0].routing_notices();
    for begun in met.bob[0].propose_swaps(&all).await.unwrap() {
        let _begun = begun.unwrap();
    }
    let mut offered = 0;
    while offered < count {
        if let Some(RouterNotice::Swap { event: SwapEvent::TargetLocked, .. }) = at_once(notices.next()).await {
            offered += 1;
        }
    }
    all.into_iter().map(|(id, _)| id).collect()
}

/// Alice's swap has brought her coins, and she has them paid out while own offers wait for their pledges in the same channel. The withdrawal is made; the row that
/// says so is not written, since the channel still has something under way, the next pledge, when it tells of it (`once.rs`, `note_withdrawal`). Asked again, she
/// waits without end; and once the channel has been closed the row says that nothing was paid, so that another channel pays it once more. Right would be the round
/// of the first withdrawal each time.
#[tokio::test]
async fn a_withdrawal_that_was_made_while_a_pledge_is_wanted_is_made_once() {
    let met = meet().await;
    let (source, target) = (&met.alice[0], &met.alice[1]);
    let _begun = source.propose_swap(ID, met.swap).await.unwrap();
    let _ended = at_once(source.swap_ended(&ID)).await.unwrap();
    let others = waiting_legs(&met, 8).await;
    let round = at_once(target.withdraw_swapped(&ID, PAYEE)).await.unwrap();
    assert_eq!(has(&met.chains).await - met.before, met.swap.get);
    let again = tokio::time::timeout(Duration::from_secs(10), target.withdraw_swapped(&ID, PAYEE)).await;
    println!("asked again: {again:?}, after {round}");
    // The other swaps end, the channel with them, and there is another one.
    for id in &others {
        let _ended = at_once(source.swap_ended(id)).await.unwrap();
    }
    let _another =
        at_once(target.open_channel(met.bob[0].identity(), OpenChannel::new(500_000, 500_000))).await.unwrap();
    let closed = at_once(met.channel.close(0)).await;
    println!("closed: {closed:?}");
    let later = tokio::time::timeout(Duration::from_secs(10), target.withdraw_swapped(&ID, PAYEE)).await;
    println!("asked after the close: {later:?}");
    let paid = has(&met.chains).await - met.before;
    assert_eq!(paid, met.swap.get, "paid twice");
    assert_eq!(again.expect("it waits without end").unwrap(), round);
}

/// An initiator uses the id of a swap once more that the responder has had paid out and has forgotten, by its other node. What was withdrawn for the first one is
/// kept by the node of the chain on which it was (`forget_swap` forgets it on the node alone that is asked, and there only what is made by then), and is taken for
/// the second one's: nothing is paid, and the responder is told that it was. Right would be that the second swap's coins are paid out as well.
#[tokio::test]
async fn the_coins_of_a_swap_whose_id_is_used_again_are_paid_out_too() {
    let met = meet().await;
    met.chains.0[0].endow(PAYEE, 1_000_000_000_000);
    let paid = async || met.chains.0[0].arbiter().await.unwrap().chain().free_balance(&PAYEE).await.unwrap();
    let before = paid().await;
    let mut rounds = Vec::new();
    for _ in 0..2 {
        let _begun = met.alice[0].propose_swap(ID, met.swap).await.unwrap();
        let _ended = at_once(met.alice[0].swap_ended(&ID)).await.unwrap();
        rounds.push(at_once(met.bob[0].withdraw_swapped(&ID, PAYEE)).await.unwrap());
        met.alice[0].forget_swap(ID).await.unwrap();
        met.bob[1].forget_swap(ID).await.unwrap();
    }
    assert_eq!(paid().await - before, 2 * met.swap.pay, "{rounds:?}");
}

/// A party that has agreed to its peer's swap proposes one of its own, in the same channels. Its word of agreement had a number of the same row as its proposals
/// (`next_own`), which the peer does not count (`on_body` notes nothing as heard, `on_unknown` counts proposals alone): so its next proposal, and all of one
/// message, are declined by their number, and so each time that the two change sides. Right would be that what is proposed next has the number that is expected.
#[tokio::test]
async fn both_sides_may_propose_swaps() {
    let met = meet().await;
    let other = NewSwap { responder: met.alice[0].identity(), pay: 1_000, get: 1_000, premium: 10, ..met.swap };
    let mut declined = Vec::new();
    for number in 0..3_u8 {
        let (ours, theirs) = (SwapId([number; 32]), SwapId([100 + number; 32]));
        for (node, id, swap) in [(&met.alice[0], ours, met.swap), (&met.bob[0], theirs, other)] {
            let _begun = node.propose_swap(id, swap).await.unwrap();
            let ended = at_once(node.swap_ended(&id)).await.unwrap();
            if let SwapStage::Ended { code: Some(code), .. } = ended.stage {
                declined.push((id.0[0], code));
            }
        }
    }
    assert!(declined.is_empty(), "{declined:?}");
}
